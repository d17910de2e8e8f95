/* coop_internal.h - what the files of server/coop share about memberships. Of server/coop only. */
#ifndef COMMONHOLD_COOP_INTERNAL_H
#define COMMONHOLD_COOP_INTERNAL_H

#include "commonhold/coop.h"
#include "commonhold/db.h"

/* The first row of a membership, with its event and leaf; inside, under the lock. */
CH_CHECK enum err membership_begin(struct call *c, struct uuid coop, struct uuid id, struct uuid account, enum policy_standing to, bool is_admin, const struct charter *charter,
	struct member *out);
/* Who may cause a change of a membership. */
/* Who may take an edge of membership_life. */
enum mover {
	MOVER_SELF = 1,      /* the member */
	MOVER_ADMIN = 2,     /* an admin of the co-op */
	MOVER_SCHEDULE = 4,  /* the daily job */
};
/* The one mutator of the state of a membership that a person acts on: checks the edge, writes the row, the event and the leaf; inside, under the lock. `due` is when the next
 * checkup is (INSTANT_NONE: as it was); `actor` the membership of who acts (nil: the schedule or the instance). What time alone does is membership_daily.c's, set-based. */
CH_CHECK enum err membership_move(struct call *c, struct member *m, enum policy_standing to, enum mover by, struct uuid actor, instant due, struct str reason);
/* Tells somebody who has just become a member; inside. */
CH_CHECK enum err membership_welcome(struct call *c, const struct member *m);
/* Takes the steps that are due now in a co-op, at most `limit` memberships at once (`only`: that one; nil: all); inside, under the lock. *steps counts the moves, *looked the
 * memberships that were looked at: none are left when it is 0. */
CH_CHECK enum err membership_steps(struct call *c, const struct charter *charter, struct uuid only, int limit, int64_t *steps, int64_t *looked);
/* Any member by id, as seen inside the co-op; ERR_NOT_FOUND. */
CH_CHECK enum err member_of_id(struct call *c, struct uuid coop, struct uuid id, struct member *out);
/* Ends the consent of a member who leaves; inside. Writes nothing when none stands. */
CH_CHECK enum err consent_end(struct call *c, const struct member *m, const char *state);

/* The actor's membership, which must not be left or removed; inside. ERR_NOT_FOUND for others: what one is no member of, one does not see. */
CH_CHECK enum err require_member(struct call *c, struct uuid coop, struct member *out);

/* Explains this domain's constraints to people; before the first write. */
void coop_explain_constraints(void);

/* Appends a leaf to the co-op's log; inside, as late as possible. */
CH_CHECK enum err log_act(struct call *c, struct uuid coop, const char *type, struct str data, struct uuid by);
/* Canonical JSON object for a leaf: {"member":…} with one more member when `key` is given. */
struct str leaf_about_member(struct call *c, struct uuid member, const char *key, struct str value);
/* The same with the salted commitment to what was said, which itself stays out of the log. */
struct str leaf_with_commitment(struct call *c, struct uuid member, struct str said, const uint8_t salt[32]);

#endif
