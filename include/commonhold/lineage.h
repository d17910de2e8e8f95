/* lineage.h - where a co-op comes from, and what came from it: its parents up to the first of them, and the forks of it that stand. Public.
 *
 * What it says of a parent was proved when the fork was founded and can be proved again by anybody: the parent's signed checkpoint over `size` leaves, which are the first leaves of the fork's
 * own log. What it says of a fork was signed by that fork.
 */
#ifndef COMMONHOLD_LINEAGE_H
#define COMMONHOLD_LINEAGE_H

#include "call.h"
#include "crypto.h"
#include "json.h"

#define LINEAGE_TYPE "application/vnd.commonhold.lineage+json"
#define LINEAGE_DEPTH 32 /* parents of parents that are remembered; a fork of more forks is refused */

/* One co-op of the lineage. */
struct lineage_node {
	int depth;             /* 1: the parent, 2: its parent, …; 0: this co-op; -1: a fork of it */
	struct str name;       /* key name */
	struct str title;      /* as its charter called it then */
	struct str url;        /* base address of its instance then; absent where it is not known */
	instant at;            /* when it was forked off (of a parent: when its child was); of this co-op when it was founded */
	int64_t size;          /* leaves that it shares with its child (a fork: with us) */
	struct sha256 root;    /* over them */
	struct str checkpoint; /* signed note over those leaves; absent for this co-op and for forks */
	struct str keys;       /* keychain document by which the checkpoint's key is its; absent as above */
	int charter;           /* version of the charter that went over; 0: not known */
};
/* Eldest first, then this co-op, then its forks; inside. */
CH_CHECK enum err lineage_get(struct call *c, struct uuid coop, struct lineage_node **out, size_t *n);
CH_CHECK enum err lineage_read(struct call *c, struct uuid coop, struct lineage_node **out, size_t *n);
/* {"at","coop","nodes":[…]} as schemas/lineage.json has it, and the same signed by the co-op's key (DSSE). */
void lineage_write(struct json_writer *w, struct arena *a, const struct lineage_node *nodes, size_t n);
CH_CHECK enum err lineage_signed(struct call *c, struct uuid coop, struct str *dsse);
/* Whether a log begins with another: that the leaves of size and root are its first ones is what the proof shows. Pure. */
CH_CHECK bool lineage_prefix_ok(const struct lineage_node *parent, int64_t size, struct sha256 root, const struct sha256 *path, size_t n);
/* The charters that a parent had, oldest first: version and document. */
struct lineage_charter { struct str name; int version; struct sha256 digest; instant adopted_at; struct str document; };
CH_CHECK enum err lineage_charters(struct call *c, struct uuid coop, struct lineage_charter **out, size_t *n);

/* ---- What the relatives show of themselves ---- */

enum lineage_kin_is { KIN_FOREBEAR, KIN_PARENT, KIN_SIBLING, KIN_FORK };
/* claimed: said of it, and it has not said so itself; verified: its keys and the lineage that it signs agree with what is known; refused: they contradict it. */
enum lineage_kin_state { KIN_CLAIMED, KIN_VERIFIED, KIN_REFUSED };
struct lineage_kin {
	struct str name, title, url;   /* key name; what it was called, and where it was; url may be empty */
	enum lineage_kin_is kin;
	enum lineage_kin_state state;
	int64_t size;                  /* leaves shared with its child (a fork, a sibling: with its parent) */
	struct sha256 root;            /* over them */
	struct str claimed_by;         /* key name of who says that there is such a one; absent: proved by what this co-op holds */
	struct str keys;               /* longest chain that was proved; absent: none */
	struct str signed_text;        /* its latest lineage that agreed, as it signed it; absent: none */
	bool names_us;                 /* it says itself that it is this co-op's parent, or fork */
	instant since, verified_at;    /* since when every answer has agreed, and the last that did; INSTANT_NONE: none did */
	instant looked_at;             /* last look; INSTANT_NONE: none yet */
	struct str why;                /* what was wrong with it; absent: nothing */
};
const char *lineage_kin_word(unsigned kin);
const char *lineage_kin_state_word(unsigned state);
/* All but forebears' own relatives; inside, and as an operation of its own. */
CH_CHECK enum err lineage_kin_get(struct call *c, struct uuid coop, struct lineage_kin **out, size_t *n);
CH_CHECK enum err lineage_kin_read(struct call *c, struct uuid coop, struct lineage_kin **out, size_t *n);
/* Looks at each: asks its instance for its keys and for the lineage that it signs, and holds them against what is known. What contradicts is noted, and told to the admins; what was proved before stays. Daily (the job
 * "fork.feed"); asks other machines, so outside a transaction. */
CH_CHECK enum err lineage_look(struct call *c, struct uuid coop);

#endif
