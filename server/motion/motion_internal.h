/* motion_internal.h - what the files of motion/ share. */
#ifndef COMMONHOLD_MOTION_INTERNAL_H
#define COMMONHOLD_MOTION_INTERNAL_H

#include "commonhold/benefit.h"
#include "commonhold/control.h"
#include "commonhold/db.h"
#include "commonhold/motion.h"

/* ---- motion.c ---- */

/* Holds the co-op's motions still until the transaction ends: what passed takes effect once, and no two amendments of one version are adopted. Inside, first of all locks. */
CH_CHECK enum err motion_lock(struct call *c, struct uuid coop);
CH_CHECK enum err motion_get(struct call *c, struct uuid coop, struct uuid id, struct motion *out);
/* Notes what became of it; `note` may be absent. Inside, under the lock. */
CH_CHECK enum err motion_end(struct call *c, const struct motion *m, const char *event, struct str note);
/* Amendments that are still on their way, other than `but`: ids. Inside. */
CH_CHECK enum err motion_live_amendments(struct call *c, struct uuid coop, struct uuid but, struct uuid **out, size_t *n);
/* "/coops/<slug>/motions/<id>", for notices. Inside. */
CH_CHECK enum err motion_url(struct call *c, const struct motion *m, struct str *out);
/* A notice to whoever proposed it. Inside. */
CH_CHECK enum err motion_tell_proposer(struct call *c, const struct motion *m, struct str title, struct str text);

/* ---- document.c ---- */

/* A document as it will be voted on, with its words. */
struct motion_text {
	struct str document;        /* canonical JSON */
	struct str title, question; /* in plain words */
};
/* Checks what somebody proposes, against the charter and the co-op as it is now; faults by pointer ("/document/until"). Inside. */
CH_CHECK enum err motion_check(struct call *c, const struct charter *charter, struct str kind, const struct json *document, struct str reason, struct motion_text *out);
CH_CHECK enum err motion_check_amendment(struct call *c, const struct charter *charter, const struct json *draft, struct motion_text *out);
/* Reads a stored document back. */
CH_CHECK enum err motion_read_control(struct call *c, const struct json *document, struct control *out);
CH_CHECK enum err motion_read_benefit(struct call *c, const struct json *document, struct benefit_draft *out);

/* ---- words for pages and notices ---- */

/* "Purposes: from scientific research to research". */
struct str motion_change_words(struct arena *a, const struct charter_term *t);

#endif
