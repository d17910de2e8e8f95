/* erasure_web.h - how pages say what a request is, how far it is and where its items went. Words and JSON for templates; no operation. */
#ifndef COMMONHOLD_ERASURE_WEB_H
#define COMMONHOLD_ERASURE_WEB_H

#include "commonhold/http.h"
#include "server/erasure/where.h"

/* "Erase 3 contributions" */
struct str erasure_what(struct arena *a, const struct erasure *e);
const char *erasure_state_words(const struct erasure *e);
/* Class of the state's badge. */
const char *erasure_badge(const struct erasure *e);
/* Whether the kind destroys content and withdraws releases. */
static inline bool erasure_purges(enum erasure_kind k) { return k == ERASURE_ERASE || k == ERASURE_CORRECT; }
/* Two sentences: how it stands now, and what happens next (absent where nothing does). */
struct str erasure_now_words(struct arena *a, const struct erasure *e, const struct where *where);
struct str erasure_next_words(struct arena *a, const struct erasure *e, const struct where *where);
/* How far a recipient is. */
const char *duty_state_words(const struct duty *d);
const char *duty_badge(const struct duty *d);
/* "They say that they never held it, though a download is on record", absent while they have said nothing. */
struct str duty_said(struct arena *a, const struct duty *d);

/* Members of the page's data, used by the request's page and the printed statement: id, what, state, badge, dates, "stages" with their "picture". */
void erasure_write(struct json_writer *w, struct arena *a, const struct erasure *e);
void erasure_write_stages(struct json_writer *w, struct arena *a, const struct erasure *e, const struct where *where);
/* "releases", "copies", "flow" and their sums. */
void erasure_write_where(struct json_writer *w, struct arena *a, const struct erasure *e, const struct where *where);
/* "items" with their rids, at most `limit`; `href` when they are the actor's own. */
CH_CHECK enum err erasure_write_items(struct json_writer *w, struct request *rq, const struct erasure *e, int limit, bool linked);
/* A row of a list of requests. */
void erasure_write_row(struct json_writer *w, struct arena *a, const struct erasure *e);
/* A day from a form ("2027-03-01", the beginning of that day in UTC); false for anything else. */
CH_CHECK bool form_day(struct str text, instant *out);
/* Which proof the actor has to show in a form with partial/proof_fields (account_deletion_pages.c). */
CH_CHECK enum err page_write_proof(struct json_writer *w, struct request *rq);
/* Where the request's page is. */
struct str erasure_path(struct arena *a, struct str slug, const struct erasure *e);

#endif
