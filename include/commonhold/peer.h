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

/* "peer.refresh": looks at all confirmed and suspect peers, daily. */
extern const struct job_kind peer_jobs[];

#endif
