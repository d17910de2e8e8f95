/* message.h - what co-ops say to each other: signed envelopes, an outbox that tries again, an inbox that takes each once, and a list of everything that was refused.
 *
 * A message is a DSSE envelope by the sending co-op's key in force over canonical JSON {"at","body","from","id","to","type","v":1}. It goes by HTTP to the partner's inbox
 * (POST /api/v1/coops/{coop}/merge/inbox), straight into it where the partner lives on this instance, or as a file; the checks are the same. Its digest, and its id, make it idempotent: what came
 * before is answered and not taken again. Only the key in force signs: what waits is signed anew after a rotation.
 *
 * It must never take anything from a co-op that is not a confirmed peer, nor let a refused message change anything but the list of refusals.
 */
#ifndef COMMONHOLD_MESSAGE_H
#define COMMONHOLD_MESSAGE_H

#include "call.h"
#include "crypto.h"
#include "job.h"
#include "json.h"

#define MESSAGE_TYPE "application/vnd.commonhold.message+json" /* DSSE's payload type */
#define MESSAGE_MAX (2 * MIB)            /* bytes of an envelope: a proposal brings a charter along */
#define MESSAGE_AHEAD (10 * CLOCK_MINUTE) /* how far the other side's clock may be ahead */
#define MESSAGE_LIFE (60 * CLOCK_DAY)    /* older ones are refused: replays of what nobody remembers */

/* One message as its handler gets it: the sender is a confirmed peer and signed it. */
struct message {
	struct uuid id;           /* as the sender named it */
	struct uuid peer;         /* whom it came from (peer.h) */
	struct str type;          /* "agreement.proposed" */
	struct str from, to;      /* key names */
	instant at;               /* when the sender says it was written */
	const struct json *body;
	struct str envelope;      /* verbatim */
	struct sha256 digest;     /* of the envelope's payload */
	uint8_t key[32];          /* the key that signed it */
};

/* Says something to a peer; inside. `body` is a JSON object. It leaves after the commit; `key` (may be absent) replaces an unsent one of the same type and key: the last word is enough. */
CH_CHECK enum err message_send(struct call *c, struct uuid coop, struct uuid peer, const char *type, struct str key, struct str body);

/* Takes an envelope: checks it, hands it to its type's handler and remembers it, all in one transaction. What is refused is kept as a refusal, and the error says why. The same again
 * is ERR_OK with *again. Opens its own transactions. */
CH_CHECK enum err message_take(struct call *c, struct uuid coop, struct str envelope, bool *again);

/* For files: what waits for a peer (nil: for everybody), as envelopes one a line; and the same for what was read from such a file: how many were taken, how many were there already, how
 * many were refused. */
CH_CHECK enum err message_export(struct call *c, struct uuid coop, struct uuid peer, struct str *lines);
struct message_import { int taken, again, refused; };
CH_CHECK enum err message_import(struct call *c, struct uuid coop, struct str lines, struct message_import *out);

/* What admins see: what goes out and what came in, newest first. */
struct message_row {
	struct uuid id, peer;
	struct str peer_title;
	struct str type;
	bool out;                 /* sent by us */
	struct str state;         /* out: waiting, delivered, dead, dropped; in: taken */
	instant at;               /* written, or taken */
	instant ended_at;         /* delivered or given up; INSTANT_NONE */
	int attempts;
	struct str error;         /* of the last attempt; absent */
};
CH_CHECK enum err message_list(struct call *c, struct uuid coop, struct str cursor, int limit, struct message_row **out, size_t *n, struct str *next_cursor);
/* Tries a dead or waiting one again now. */
CH_CHECK enum err message_again(struct call *c, struct uuid coop, struct uuid id);

/* Forgets what was said or taken 90 days ago and is over, and refusals of a year ago; a transaction of its own. */
CH_CHECK enum err message_forget(struct call *c, struct uuid coop);

/* ---- Refusals: everything that a co-op was offered and did not take ---- */

struct refusal {
	struct uuid id, peer;     /* peer: nil for strangers */
	struct str peer_title;    /* absent for strangers */
	instant at;
	struct str what;          /* "message agreement.assent", "bundle 7" */
	struct str code;          /* stable: the error's reason or code */
	struct str sentence;      /* for people */
	int64_t times;            /* the same thing again the same day only counts up */
};
/* Notes one, in a transaction of its own (c has none open), and tells the admins, once a day for the same. The error that was said in c stays as it is. Never fails loudly: what cannot
 * be noted is logged. `peer` may be nil, `code` and `sentence` short. */
void merge_refuse(struct call *c, struct uuid coop, struct uuid peer, struct str what, struct str code, struct str sentence);
/* The same for what c->error says. */
void merge_refuse_error(struct call *c, struct uuid coop, struct uuid peer, struct str what);
/* Admins. */
CH_CHECK enum err merge_refusals(struct call *c, struct uuid coop, struct str cursor, int limit, struct refusal **out, size_t *n, struct str *next_cursor);

/* "merge.deliver". */
extern const struct job_kind message_jobs[];

#endif
