/* merge_pages.h - what the pages about partners, agreements, dry runs and joint releases share. They show and ask; what may be done is for the operations to say. */
#ifndef COMMONHOLD_MERGE_PAGES_H
#define COMMONHOLD_MERGE_PAGES_H

#include "commonhold/agreement.h"
#include "commonhold/form.h"
#include "commonhold/http.h"
#include "commonhold/peer.h"

#include "server/merge/agreement/agreement_web.h"

/* What a partner is called on pages: its title, else its readable address, else its key name. */
struct str peer_called(const struct peer *p);
/* A state as people say it, and the class of its badge. */
const char *agreement_state_words(enum agreement_state s);
const char *agreement_state_badge(enum agreement_state s);
/* The members of a row of the list of agreements: digest, partner, state_words, badge, revision, since, until. */
void agreement_row_write(struct json_writer *w, struct arena *a, const struct agreement *g);
/* "/coops/<slug>/agreements/<digest>", with more behind. */
struct str agreement_place(struct request *rq, struct sha256 digest, const char *more);
/* dry_run_pages.c: the numbers of a dry run that a ballot's page shows: member "run" of an object that is open. */
struct dry_run;
CH_CHECK enum err dry_run_summary_write(struct json_writer *w, struct call *c, const struct agreement *g, const struct dry_run *run);
/* item_pages.c: the names of homes, read in a transaction of its own; what a home is called (`own`: this co-op); a rid in its parts; the first words of an item, absent where they cannot be read. */
struct origin_names;
CH_CHECK enum err home_names(struct call *c, struct uuid coop, struct origin_names *out);
struct str home_called(const struct origin_names *names, struct str home, struct str own);
bool rid_parts(struct str rid, struct str *home, struct uuid *id);
struct str item_excerpt(struct call *c, struct uuid coop, struct uuid id);
/* peer_pages.c: the page of messages and of what is carried as files; `refused` is what a form of it came to. */
CH_CHECK enum err messages_form(struct request *rq, struct response *rs, enum err refused);
/* draft_pages.c: the form, with what `rq` has filled in. */
CH_CHECK enum err draft_page(struct request *rq, struct response *rs);
CH_CHECK enum err draft_submit(struct request *rq, struct response *rs);

#endif
