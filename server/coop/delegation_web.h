/* delegation_web.h - what the pages about delegations share. Of server/coop only. */
#ifndef COMMONHOLD_COOP_DELEGATION_WEB_H
#define COMMONHOLD_COOP_DELEGATION_WEB_H

#include "commonhold/delegation.h"
#include "commonhold/http.h"

/* What every page of these begins with: title, the co-op's slug and name. */
struct json_writer delegation_page_begin(struct request *rq, struct buf *b, const char *title);
/* A path as a member reads it: "why", and its steps with names and what each delegation covers. */
void delegation_path_data(struct json_writer *w, struct arena *a, const struct delegation_path *p);
/* A member's question as they would put it: "How my vote is cast", "What is said about uses of what I contribute". */
const char *delegation_question_words(enum policy_question q);
/* Back to the list with a message. */
enum err delegation_page_done(struct request *rq, struct response *rs, struct str message);

enum err delegation_form_page(struct request *rq, struct response *rs);
enum err delegation_form_submit(struct request *rq, struct response *rs);
enum err delegation_who_page(struct request *rq, struct response *rs);
enum err delegation_preview_page(struct request *rq, struct response *rs);
enum err delegation_report_page(struct request *rq, struct response *rs);
enum err delegation_speak_page(struct request *rq, struct response *rs);
enum err delegation_speak_submit(struct request *rq, struct response *rs);
enum err delegation_board_page(struct request *rq, struct response *rs);
enum err delegation_board_submit(struct request *rq, struct response *rs);

#endif
