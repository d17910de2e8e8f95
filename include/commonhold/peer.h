/* peer.h - the other co-ops that a co-op knows: where they are, which keys are theirs, and whether an admin has confirmed that.
 *
 * A peer is met once, by asking its instance (/.well-known/commonhold, then its keys.json) or from a file, and its chain of keys is pinned there and then. An admin compares the fingerprint
 * of the key in force with what the other co-op says by another way, and types it: from then on the peer is confirmed. Later looks may only lengthen the chain. A chain that was rewritten or
 * shortened makes the peer suspect, tells the admins, and changes nothing of what is pinned.
 *
 * It must never believe anything of a peer that is not confirmed, and never ask another machine while it holds a transaction.
 */
#ifndef COMMONHOLD_PEER_H
#define COMMONHOLD_PEER_H

#include "call.h"
#include "job.h"
#include "keychain.h"

#define PEER_STATES(X) X(SEEN, "seen") X(CONFIRMED, "confirmed") X(REFUSED, "refused") X(SUSPECT, "suspect")
enum peer_state {
#define X(name, text) PEER_##name,
	PEER_STATES(X)
#undef X
	PEER_STATE_COUNT
};
const char *peer_state_name(enum peer_state s);

struct peer {
	struct uuid coop, id;       /* the co-op that knows it; random */
	struct str url;             /* of its instance, without a slash at the end: "https://host"; empty: known from a file alone */
	struct str name;            /* key name: 16 characters, of its first key; unique among the co-op's peers */
	struct str slug, title;     /* readable address and name, as its instance says; may be empty */
	struct str chain;           /* keys.json as pinned */
	struct str fingerprint;     /* of the key in force, in groups of four */
	enum peer_state state;
	struct uuid here;           /* the co-op itself where it is on this instance; nil otherwise */
	instant met_at, state_at;
	struct uuid by;             /* membership of the admin who confirmed or refused; nil: nobody yet, or the instance itself */
	instant last_seen_at;       /* last look that found what is pinned, or its continuation; INSTANT_NONE: none */
	struct str last_error;      /* what the last look found wrong; absent: nothing */
};

/* Admin: asks the instance at `url` for the co-op called `name` (slug or key name) and pins what it says, in state "seen". A peer that is known already is looked at again (peer_refresh). A
 * co-op of this instance is found without asking anybody. ERR_EXISTS for oneself; the errors of fetch.h, with their reasons, for what cannot be reached. */
CH_CHECK enum err peer_meet(struct call *c, struct uuid coop, struct str url, struct str name, struct peer *out);
/* The same from the text of its keys.json, for instances that cannot reach each other; `url` may be empty. */
CH_CHECK enum err peer_meet_file(struct call *c, struct uuid coop, struct str url, struct str keys_json, struct peer *out);
/* What a peer is called that has not said so itself, since it is known from a file. Own transaction. */
CH_CHECK enum err peer_call(struct call *c, struct uuid coop, struct uuid id, struct str title);
/* Admin: the fingerprint of the key in force, as typed. ERR_INVALID at /fingerprint when it is another. From "seen" and "refused"; from "suspect", too: that the pinned chain is the right one. */
CH_CHECK enum err peer_confirm(struct call *c, struct uuid coop, struct uuid id, struct str fingerprint, struct peer *out);
/* Admin: nothing is taken from it any more. */
CH_CHECK enum err peer_refuse(struct call *c, struct uuid coop, struct uuid id, struct peer *out);
/* Admin or the daily job: looks again. A longer chain is pinned (a confirmed peer stays so: both keys have signed the hand-over); a rewritten one makes it suspect; anything else is noted in last_error
 * and is no error of the call. */
CH_CHECK enum err peer_refresh(struct call *c, struct uuid coop, struct uuid id, struct peer *out);
/* The same with a keys.json that came another way, such as in a bundle. Inside. ERR_CORRUPT, reason "chain", when it contradicts what is pinned; the peer is then suspect (in a transaction that
 * the caller commits all the same, or the mark is lost with it). */
CH_CHECK enum err peer_extend(struct call *c, struct peer *peer, struct str keys_json);
/* One; inside. */
CH_CHECK enum err peer_get(struct call *c, struct uuid coop, struct uuid id, struct peer *out);
/* By key name; inside. ERR_NOT_FOUND. */
CH_CHECK enum err peer_by_name(struct call *c, struct uuid coop, struct str name, struct peer *out);
/* All, by name of theirs; an operation of its own. */
CH_CHECK enum err peer_list(struct call *c, struct uuid coop, struct peer **out, size_t *n);
CH_CHECK enum err peer_read(struct call *c, struct uuid coop, struct uuid id, struct peer *out);
/* The pinned chain, parsed and checked; of a co-op of this instance the chain as it stands. Inside. */
CH_CHECK enum err peer_keys(struct call *c, const struct peer *peer, struct keychain *out);
/* ERR_REFUSED, with a sentence and the reason "peer_unconfirmed", unless it is confirmed. */
CH_CHECK enum err peer_require_confirmed(struct call *c, const struct peer *peer);

/* ---- What a partner may make us keep or do ---- */

/* Somebody who is confirmed may still be careless, or turn. X(name, word, most, within, what it bounds) */
#define PEER_BUDGETS(X) \
	X(MESSAGES, "messages", 5000, CLOCK_DAY, "messages of any kind but those that stop something") \
	X(PROPOSALS, "proposals", 20, CLOCK_DAY, "proposals and renewals of agreements: each brings a charter, and tells the admins") \
	X(RESUMES, "resumes", 3, CLOCK_DAY, "lifted suspensions: all members are told of each, and of the suspension before it") \
	X(PREVIEWS, "previews", 50, CLOCK_DAY, "previews: each is tried out") \
	X(JOINTS, "joint releases", 10, CLOCK_DAY, "proposed joint releases") \
	X(JOINT_STATES, "joint states", 500, CLOCK_DAY, "what is said about joint releases") \
	X(BUNDLES, "bundles", 500, CLOCK_DAY, "announced bundles: each is looked for") \
	X(LINKS, "links", 1000, CLOCK_DAY, "what is said about codes that link accounts") \
	X(TOMBSTONES, "tombstones", 2000, CLOCK_DAY, "messages with tombstones") \
	X(WORDS, "words", 1000000, 30 * CLOCK_DAY, "tombstones, kept for good whether the item is here or not") \
	X(RECEIPTS, "receipts", 2000, CLOCK_DAY, "receipts, kept for good") \
	X(HOMES, "homes", 100, 365 * CLOCK_DAY, "chains of keys of co-ops that are no peers") \
	X(DUTIES, "duties", 20000, CLOCK_DAY, "duties of co-ops farther on, which it says that it passed something to") \
	X(CONFLICTS, "conflicts", 10000, 30 * CLOCK_DAY, "contradictions, each with its proof") \
	X(LOOKS, "looks", 1, 15 * CLOCK_MINUTE, "looks at its keys because a signature did not hold, which anybody can bring about")
enum peer_budget {
#define X(name, word, most, within, what) PEER_BUDGET_##name,
	PEER_BUDGETS(X)
#undef X
	PEER_BUDGET_COUNT
};
const char *peer_budget_word(enum peer_budget what);
int64_t peer_budget_most(enum peer_budget what);
/* Counts `n` more of it against what the co-op called `who` (a key name) may do within the time. ERR_TOO_MANY, reason "peer_budget", when that is more than it may: nothing is counted then.
 * Inside: what is rolled back was not spent. */
CH_CHECK enum err peer_spend(struct call *c, struct uuid coop, struct str who, enum peer_budget what, int64_t n);
/* The same without an error. */
CH_CHECK enum err peer_may_spend(struct call *c, struct uuid coop, struct str who, enum peer_budget what, int64_t n, bool *may);
/* Forgets what was counted too long ago to matter. Inside. */
CH_CHECK enum err peer_spent_forget(struct call *c, struct uuid coop);

/* Looks at one peer soon, unless that was done just now on the same ground. Inside. */
CH_CHECK enum err peer_look_soon(struct call *c, const struct peer *peer);

/* "peer.refresh": looks at all confirmed and suspect peers, daily. */
extern const struct job_kind peer_jobs[];

#endif
