/* motion_pages.h - what the pages of motion/ share. */
#ifndef COMMONHOLD_MOTION_PAGES_H
#define COMMONHOLD_MOTION_PAGES_H

#include "commonhold/http.h"
#include "motion_internal.h"

/* To the motion's page. */
void motion_redirect(struct request *rq, struct response *rs, struct uuid motion);
/* new_pages.c: controls, admins, benefit. */
enum err motion_new_page(struct request *rq, struct response *rs);
enum err motion_new_submit(struct request *rq, struct response *rs);
/* amend_pages.c */
enum err amend_page(struct request *rq, struct response *rs);
enum err amend_submit(struct request *rq, struct response *rs);

#endif
