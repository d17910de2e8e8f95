/* agreement.h - what two co-ops agree on about sharing their pools, and what becomes of that.
 *
 * Each co-op keeps its own row of every agreement; the rows follow each other by messages (message.h). A revision lives
 *
 *     drafted -> proposed -> voting -> passed -> signed -> in_effect -> ending -> ended
 *
 * and is never in effect unless both co-ops have passed a ballot of kind "merge", each under its own charter's rule, about the same digest, and both assents are signed. Either side suspends at
 * once. A later revision (renewal) takes the place of the one in effect when both have signed it. When a charter changes so that the agreement would be looser than it, the agreement is
 * suspended until it is renewed, or fits again.
 *
 * It must never put an agreement into effect on anybody's word but the two signed assents, and never let a message loosen anything.
 */
#ifndef COMMONHOLD_AGREEMENT_H
#define COMMONHOLD_AGREEMENT_H

#include "call.h"
#include "crypto.h"
#include "job.h"
#include "lifecycle.h"
#include "terms.h"

enum agreement_state {
	AGREEMENT_DRAFTED,   /* written here; the partner does not know of it */
	AGREEMENT_PROPOSED,  /* both have the document; no ballot here yet */
	AGREEMENT_VOTING,    /* the members here are voting, or about to */
	AGREEMENT_PASSED,    /* they said yes; not signed yet */
	AGREEMENT_SIGNED,    /* our assent is out; the partner's, or the first day, is awaited */
	AGREEMENT_IN_EFFECT,
	AGREEMENT_SUSPENDED, /* by either side, or because it no longer fits a charter */
	AGREEMENT_ENDING,    /* notice was given */
	AGREEMENT_ENDED,
	AGREEMENT_REJECTED,  /* by a ballot, or by an admin before one */
	AGREEMENT_WITHDRAWN, /* before it was in effect */
	AGREEMENT_EXPIRED,   /* not signed by both in time */
	AGREEMENT_RENEWED,   /* a later revision took its place */
	AGREEMENT_STATE_COUNT
};
const char *agreement_state_name(enum agreement_state s);
CH_CHECK bool agreement_state_parse(struct str word, enum agreement_state *out);
bool agreement_over(enum agreement_state s);
/* The table of a revision's life, which docs/agreements.md shows. */
extern const struct lifecycle agreement_life;

/* One revision of an agreement, as one co-op sees it. */
struct agreement {
	struct uuid coop, id, peer;   /* peer: of the partner (peer.h) */
	struct agreement_terms terms; /* terms.revision, terms.digest */
	int us;                       /* which of the parties this co-op is; the partner is !us */
	struct str partner;           /* key name of the partner */
	struct str partner_title;     /* what it is called */
	enum agreement_state state;
	bool proposed_here;           /* this co-op wrote it */
	bool current;                 /* the revision that is in effect, suspended or ending; the newest where there is none */
	bool suspended_here, suspended_there, suspended_by_charter; /* who suspended it */
	struct uuid ballot;           /* nil: none yet */
	struct str assent_ours, assent_theirs; /* DSSE envelopes; absent: not there */
	instant made_at, state_at;    /* when this row was made, and since when it is in its state */
	instant effect_at;            /* when it came into effect; INSTANT_NONE */
	instant ends_at;              /* when it will have ended: terms.ends, or sooner after a notice */
	struct str note;              /* why it is as it is, a sentence; absent */
	bool we_send, we_receive;     /* what the flow means for this co-op */
};

/* ---- Inside an open transaction, for the other parts of merge/ ---- */

/* The revision that counts: in effect, suspended or ending; else the newest. ERR_NOT_FOUND. */
CH_CHECK enum err agreement_get(struct call *c, struct uuid coop, struct uuid id, struct agreement *out);
/* Any revision by the digest of its document. ERR_NOT_FOUND. */
CH_CHECK enum err agreement_by_digest(struct call *c, struct uuid coop, struct sha256 digest, struct agreement *out);
/* The ones that count of every agreement with a partner (nil: with anybody) in one of the states (bits of AGREEMENT_BIT; 0: any). */
#define AGREEMENT_BIT(s) (1u << (s))
#define AGREEMENT_LIVE (AGREEMENT_BIT(AGREEMENT_IN_EFFECT) | AGREEMENT_BIT(AGREEMENT_SUSPENDED) | AGREEMENT_BIT(AGREEMENT_ENDING))
CH_CHECK enum err agreement_all(struct call *c, struct uuid coop, struct uuid peer, unsigned states, struct agreement **out, size_t *n);
/* The key that both sides share (previews, suppression): the same in every revision, and whatever becomes of the co-ops' own keys. */
CH_CHECK enum err agreement_key(struct call *c, struct uuid coop, struct uuid id, uint8_t key[32]);
/* The partner's charter under which a revision was written. Inside. */
CH_CHECK enum err agreement_charter_theirs(struct call *c, struct uuid coop, struct sha256 digest, struct charter *out);
/* Whether bundles may be sent, or taken, now: in effect, or ending. */
bool agreement_flows(const struct agreement *g);

/* ---- Operations; each a transaction of its own, for admins ---- */

/* Drafts an agreement with a confirmed peer from `draft` (schemas/agreement_draft.json), or the next revision of `renews` (nil: a new one). The partner's charter is asked for at its instance, or read from
 * `charter`: its signed charter as charter_exchange_write gives it (absent: asked for). */
CH_CHECK enum err agreement_draft(struct call *c, struct uuid coop, struct uuid peer, const struct json *draft, struct uuid renews, struct str charter, struct agreement *out);
/* Tells the partner. */
CH_CHECK enum err agreement_propose(struct call *c, struct uuid coop, struct sha256 digest, struct agreement *out);
/* Puts it to the vote here, with its dry run before the voters' eyes (preview.h: dry_run_fix). `no_dry_run` (absent: there is one): why there is none, for the voters. */
CH_CHECK enum err agreement_open_ballot(struct call *c, struct uuid coop, struct sha256 digest, struct str no_dry_run, struct agreement *out);
/* Before it is in effect: takes it back (whoever proposed it) or declines it (the other side). */
CH_CHECK enum err agreement_withdraw(struct call *c, struct uuid coop, struct sha256 digest, struct str reason, struct agreement *out);
/* At once, and the partner is told; and back again by the side that did it. */
CH_CHECK enum err agreement_suspend(struct call *c, struct uuid coop, struct uuid id, struct str reason, struct agreement *out);
CH_CHECK enum err agreement_resume(struct call *c, struct uuid coop, struct uuid id, struct agreement *out);
/* Gives notice: it ends after the agreed time. */
CH_CHECK enum err agreement_end(struct call *c, struct uuid coop, struct uuid id, struct str reason, struct agreement *out);
CH_CHECK enum err agreement_read(struct call *c, struct uuid coop, struct sha256 digest, struct agreement *out);
CH_CHECK enum err agreement_read_current(struct call *c, struct uuid coop, struct uuid id, struct agreement *out);
/* Newest first; every revision. */
CH_CHECK enum err agreement_list(struct call *c, struct uuid coop, struct str state, struct str cursor, int limit, struct agreement **out, size_t *n, struct str *next_cursor);
/* What happened to a revision, oldest first. */
struct agreement_event {
	instant at;
	struct str state;            /* it came to; absent for what is no change of state */
	struct str by;               /* admin, ballot, partner, charter, clock */
	struct str note;             /* a sentence */
};
CH_CHECK enum err agreement_history(struct call *c, struct uuid coop, struct sha256 digest, struct agreement_event **out, size_t *n);

/* What a ballot's page shows of the agreement that it is about (ballot_use_subject). Nothing for other ballots. */
struct ballot;
struct json_writer;
CH_CHECK enum err agreement_on_ballot(struct call *c, const struct ballot *b, struct json_writer *w);
/* What its API says of it (ballot_use_about): {"agreement","dry_run","no_dry_run"}, or null for other ballots. */
CH_CHECK enum err agreement_about_ballot(struct call *c, const struct ballot *b, struct json_writer *w);

/* ---- Charters between co-ops ---- */

#define CHARTER_EXCHANGE_TYPE "application/vnd.commonhold.charter+json" /* DSSE's payload type */
/* The charter in force in an envelope signed by the co-op's key: {"at","charter","coop","sha256","v":1,"version"}. For whoever asks; a transaction of its own. */
CH_CHECK enum err charter_exchange_write(struct call *c, struct uuid coop, struct str *envelope);
/* A peer's charter: from such an envelope, or (absent) asked for at its instance, or looked up where it is here. Checked against the peer's keys and its own digest, and a day old at most.
 * Opens its own transactions. */
struct peer;
CH_CHECK enum err charter_exchange_read(struct call *c, struct uuid coop, struct uuid peer, struct str envelope, struct peer *out_peer, struct charter *out);
/* The diff of our charter in force and a peer's (as charter_exchange_read), or a charter's bare document. Each a transaction of its own. */
CH_CHECK enum err terms_diff_with_peer(struct call *c, struct uuid coop, struct uuid peer, struct str envelope, struct charter *ours, struct charter *theirs, struct terms_diff *out);
CH_CHECK enum err terms_diff_with_document(struct call *c, struct uuid coop, const struct json *document, struct charter *ours, struct charter *theirs, struct terms_diff *out);

/* ---- Messages (message.h) ---- */

struct message;
CH_CHECK enum err agreement_take_proposed(struct call *c, struct uuid coop, const struct message *m);
CH_CHECK enum err agreement_take_assent(struct call *c, struct uuid coop, const struct message *m);
CH_CHECK enum err agreement_take_suspended(struct call *c, struct uuid coop, const struct message *m);
CH_CHECK enum err agreement_take_resumed(struct call *c, struct uuid coop, const struct message *m);
CH_CHECK enum err agreement_take_ended(struct call *c, struct uuid coop, const struct message *m);

/* "merge.decided", "charter.changed", "agreement.daily". What comes into effect queues "merge.export" {"coop","agreement"}, what has ended "merge.ended" with the same, what is suspended or has ended "joint.ended". */
extern const struct job_kind agreement_jobs[];

#endif
