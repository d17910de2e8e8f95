/* release_scope.h - what the co-op's own engine lets through for a purpose that is no release of its own, such as a partner under an agreement.
 *
 * It is the charter in force and every word and control that stands, with other uses, purposes and audience. It decides and writes nothing.
 */
#ifndef COMMONHOLD_RELEASE_SCOPE_H
#define COMMONHOLD_RELEASE_SCOPE_H

#include "call.h"
#include "policy.h"

struct release_scope {
	uint16_t uses;           /* every one of them must be allowed */
	uint32_t purposes;       /* every one of them must be covered */
	uint8_t audience;        /* policy_audience */
	uint8_t kinds;           /* bits; those that the charter does not accept are out in any case */
	uint64_t licences;       /* bits */
	bool (*takes)(void *arg, uint32_t member); /* whether items of this contributor may go out at all; NULL: everybody's */
	void *arg;
};
struct release_scoped {
	size_t n;                /* items */
	uint8_t *in;             /* a bit an item, by item number: it may go out */
	uint8_t *gone;           /* a bit an item: it is a tombstone, or about to be one */
	size_t n_members;        /* numbers of members and guests */
	uint8_t *has;            /* by number: something of theirs may go out */
};
/* Inside a transaction of DB_SERIAL. Memory from the call's arena: about a bit an item and a byte a member; more while it decides. */
CH_CHECK enum err release_scope_decide(struct call *c, struct uuid coop, const struct release_scope *scope, instant at, struct release_scoped *out);
/* Brings the packed columns up to date, which makes that fast; a transaction of its own, before. */
CH_CHECK enum err release_scope_pack(struct call *c, struct uuid coop);

#endif
