/* choices.h - handlers about what a member says, for the table of routes in coop_api.c, and what JSON and pages share about members. Of server/coop only. */
#ifndef COMMONHOLD_COOP_CHOICES_H
#define COMMONHOLD_COOP_CHOICES_H

#include "commonhold/coop.h"
#include "commonhold/http.h"

enum err choices_read_self(struct request *rq, struct response *rs);
enum err choices_give_consent(struct request *rq, struct response *rs);
enum err choices_withdraw_consent(struct request *rq, struct response *rs);
enum err choices_choose_licence(struct request *rq, struct response *rs);
enum err choices_list_statements(struct request *rq, struct response *rs);
enum err choices_make_statements(struct request *rq, struct response *rs);

/* How others see a member: a pseudonym, a public name, or "anonymous". */
struct str member_display(const struct member *m);
/* As JSON; `whole` for oneself and for admins. */
void member_write(struct json_writer *w, struct arena *a, const struct member *m, bool whole);

/* Pages about oneself and about members, for the table in coop_pages.c. */
enum err choices_page(struct request *rq, struct response *rs);
enum err choices_save_consent(struct request *rq, struct response *rs);
enum err choices_end_consent(struct request *rq, struct response *rs);
enum err choices_save_statements(struct request *rq, struct response *rs);
enum err choices_save_licence(struct request *rq, struct response *rs);
enum err choices_save_attribution(struct request *rq, struct response *rs);
enum err choices_leave(struct request *rq, struct response *rs);
enum err members_page(struct request *rq, struct response *rs);
enum err members_act(struct request *rq, struct response *rs);
enum err members_invite(struct request *rq, struct response *rs);
enum err compare_page(struct request *rq, struct response *rs);
enum err found_page(struct request *rq, struct response *rs);
enum err found_submit(struct request *rq, struct response *rs);

/* Words that several pages use. */
const char *standing_in_words(enum policy_standing s);

#endif
