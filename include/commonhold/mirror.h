/* mirror.h - who holds copies of a co-op's releases, what they are told about deletions, what they owe, and what follows when they do not deliver.
 *
 * Everybody pulls the list of tombstones; nobody is ever asked to upload what they hold. A recipient is a registered mirror, or the holder of a grant who downloaded a version that
 * held an erased item. Each owes a receipt by its due date: a row in `duty`. Receipts are the mirror's word, signed with its key; what it cannot undo (models, copies of copies) it
 * can only declare. Webhooks carry no content and no ids: they say that there is something to pull, and where.
 *
 * Every operation is one transaction of its own unless it says "inside".
 */
#ifndef COMMONHOLD_MIRROR_H
#define COMMONHOLD_MIRROR_H

#include "call.h"
#include "crypto.h"
#include "job.h"
#include "json.h"
#include "lifecycle.h"

/* ---- Signed statements of mirrors: Ed25519 in DSSE (dsse_sign) over canonical JSON ---- */

/* {"at","key","method","mirror","models_affected"?,"releases","upto"}
 *   at        RFC 3339; later than that of the mirror's last receipt, and not in the future
 *   key       key_id() of the registered key
 *   method    patched, deleted, never-held: what was done about the tombstones since the last receipt
 *   mirror    its id, as registered
 *   releases  versions ("1.2.0") that it holds NOW; a withdrawn one among them is refused
 *   upto      index of the last tombstone that it has dealt with
 *   models_affected   optional: up to 4,000 characters about models that were trained on it
 * A refusal carries one of these as `reason`: receipt_forged, receipt_malformed, wrong_mirror, wrong_key, future, replayed and nothing_new (409: it is on record, nothing to be done),
 * older_than_seen, beyond_feed, still_held, mirror_ended. */
#define MIRROR_RECEIPT_TYPE "application/vnd.commonhold.receipt+json"
/* Proof that whoever registers a key has it: {"at","coop","key"}; `coop` is the co-op's id, key name or the name in its address, `at` within the last day, `key` key_id(). */
#define MIRROR_KEY_TYPE "application/vnd.commonhold.mirror-key+json"

/* ---- The registry ---- */

enum mirror_kind { MIRROR_PULL, MIRROR_WEBHOOK, MIRROR_S3, MIRROR_HUGGINGFACE, MIRROR_KIND_COUNT };
enum mirror_state { MIRROR_ACTIVE, MIRROR_SUSPENDED, MIRROR_ENDED, MIRROR_STATE_COUNT };
const char *mirror_kind_name(enum mirror_kind k);
CH_CHECK bool mirror_kind_find(struct str name, enum mirror_kind *out);
const char *mirror_state_name(enum mirror_state s);
/* The table of a mirror's life. */
extern const struct lifecycle mirror_life;

struct mirror {
	struct uuid id, coop;
	struct uuid account;        /* who answers for it */
	struct str account_name;    /* of that account */
	struct str name;            /* public */
	enum mirror_kind kind;
	enum mirror_state state;
	struct str url;             /* of the webhook; absent without */
	uint8_t public_key[32];     /* zeros for the kinds that this instance keeps itself */
	bool has_key;
	struct str reason;          /* of its being suspended or ended; may be empty */
	instant registered_at, state_at;
	instant told_at;            /* when it last said what it holds; INSTANT_NONE: never, so it may hold anything */
	int64_t seen_upto;          /* last tombstone that it has confirmed; -1: none */
	instant seen_at;            /* of its last receipt; INSTANT_NONE: none */
	int64_t owed;               /* duties not confirmed */
	instant due_at;             /* of the first of them; INSTANT_NONE: none */
	bool listed;                /* publicly, as overdue */
};
/* What is to be registered. */
struct mirror_draft {
	struct str name;
	enum mirror_kind kind;
	struct str url;             /* webhook: https, or http where private addresses are allowed */
	struct str public_key;      /* 64 hex digits, or minisign's line; absent for s3 and huggingface */
	struct str proof;           /* DSSE, MIRROR_KEY_TYPE */
	struct str names[3];        /* what the proof may call the co-op: its id, key name, slug */
};
/* An account with a live grant, or an admin; the kinds that this instance keeps itself are for admins. `secret` ("whsec_…") is shown this once; absent without a webhook.
 * Leaf "mirror.registered". */
CH_CHECK enum err mirror_register(struct call *c, struct uuid coop, const struct mirror_draft *in, struct mirror *out, struct str *secret);
CH_CHECK enum err mirror_read(struct call *c, struct uuid coop, struct uuid mirror, struct mirror *out);
/* Those that are not ended, by name; of everybody: what the public may see is for the caller to pick (name, kind, state, seen_upto, listed). */
CH_CHECK enum err mirror_list(struct call *c, struct uuid coop, struct mirror **out, size_t *n);
/* Its account, or an admin: suspends, resumes, ends. Ending does not end what is owed. Leaf "mirror.<state>". */
CH_CHECK enum err mirror_set_state(struct call *c, struct uuid coop, struct uuid mirror, enum mirror_state state, struct str reason, struct mirror *out);
/* A new secret for its webhook; the old one is void at once. */
CH_CHECK enum err mirror_new_secret(struct call *c, struct uuid coop, struct uuid mirror, struct str *secret);
/* Its account says which versions it holds now. */
CH_CHECK enum err mirror_tell_holdings(struct call *c, struct uuid coop, struct uuid mirror, const struct str *versions, size_t n);
/* For adapters: this instance has put a version there, or has taken it away; inside. */
CH_CHECK enum err mirror_put(struct call *c, struct uuid coop, struct uuid mirror, struct uuid release);
CH_CHECK enum err mirror_took_away(struct call *c, struct uuid coop, struct uuid mirror, struct uuid release);

/* ---- Announcing ---- */

/* After the tombstones of an erasure have been appended: a duty for every recipient that has, or may have, one of the versions they name; deliveries to webhooks; job
 * "adapter.redact" {"coop","mirror","upto"} for the mirrors that this instance keeps. Inside; repeating it changes nothing. Where nobody owes anything, and once all duties are
 * confirmed or at the end of their ladder, job "erasure.complete" {"coop","erasure"} is queued. */
CH_CHECK enum err mirror_announce(struct call *c, struct uuid coop, struct uuid erasure);
/* A version was published: job "adapter.publish" {"coop","mirror","release"} for the mirrors that this instance keeps. Job "mirror.published" {"coop","release"} does it. */
CH_CHECK enum err mirror_published(struct call *c, struct uuid coop, struct uuid release);

/* ---- What is owed ---- */

/* The ladder: X(name, days from the due date, word in the log and the API, what is done). In order; each step once. */
#define DUTY_STEPS(X) \
	X(REMINDED, -2, "reminded", "They are reminded that the deletion is due soon.") \
	X(DUE, 0, "due", "They are told that it is overdue from now on, and what follows.") \
	X(BLOCKED, 3, "blocked", "They are given no new grants until they confirm.") \
	X(LISTED, 7, "listed", "They are listed publicly as overdue.") \
	X(REVOKED, 14, "revoked", "Their grants are revoked.") \
	X(REPORTED, 21, "reported", "The co-op's admins are told that nothing more follows by itself.")
enum duty_step {
	DUTY_ANNOUNCED,
#define X(name, days, word, text) DUTY_##name,
	DUTY_STEPS(X)
#undef X
	DUTY_STEP_COUNT
};
const char *duty_step_name(enum duty_step s); /* "announced", "reminded" … */
const char *duty_step_text(enum duty_step s); /* what is done, a sentence */
/* When a step is due for a duty announced and due then; never before it was announced. Pure. */
instant duty_step_at(enum duty_step s, instant announced, instant due);

struct duty {
	struct uuid id, erasure;
	struct uuid mirror, grant;    /* one of them, the other is nil; both are for a partner */
	struct str partner;           /* key name of another co-op that holds the items themselves; absent */
	struct str through;           /* key name of the partner who passed them on to it; absent: it is our own partner */
	struct uuid account;          /* who answers for it; nil for a partner */
	struct str name;              /* of the mirror, of the co-op; of the organisation that holds the grant, or "holder of a grant": never a person's, unless for admins */
	int64_t first_idx, upto;      /* tombstones */
	struct str *releases;         /* versions concerned */
	size_t n_releases;
	instant announced_at, due_at;
	enum duty_step step;          /* the last one taken */
	instant step_at;              /* INSTANT_NONE: none */
	instant confirmed_at;         /* INSTANT_NONE: not yet */
	struct str method;            /* patched, deleted, never-held; of partners held-back, too (kept there, and in no release); absent */
	bool doubtful;                /* they say never-held although a download is on record */
	struct str models;            /* what they say about models; absent */
};
struct duty_filter {
	struct uuid erasure;          /* nil: of all */
	struct uuid mirror, grant;    /* nil: of all */
	struct uuid account;          /* nil: anybody's */
	bool open_only, overdue_only; /* overdue: from the due date, not confirmed */
	struct str cursor;
	int limit;
};
/* By due date, the earliest first. Inside: the caller has checked who asks. */
CH_CHECK enum err mirror_duties(struct call *c, struct uuid coop, const struct duty_filter *f, struct duty **out, size_t *n, struct str *next_cursor);
/* The same as an operation, for admins. */
CH_CHECK enum err mirror_duties_list(struct call *c, struct uuid coop, struct duty_filter *f, struct duty **out, size_t *n, struct str *next_cursor);
/* What the actor owes, one line a mirror or grant: up to which tombstone, by when. How it is cut into requests (id, erasure, first_idx) is not told: each request is one person's. */
CH_CHECK enum err mirror_owed(struct call *c, struct uuid coop, struct duty **out, size_t *n);
struct duty_counts { int64_t total, confirmed, overdue, ended; instant last_due, next_due; /* of those open; INSTANT_NONE: none */ };
/* Of one erasure, or with nil of all in the co-op; inside. */
CH_CHECK enum err mirror_duty_counts(struct call *c, struct uuid coop, struct uuid erasure, struct duty_counts *out);
/* For the public: those listed as overdue, one line each, as mirror_owed. A transaction of its own; for anybody. */
CH_CHECK enum err mirror_overdue(struct call *c, struct uuid coop, struct duty **out, size_t *n);
/* Another co-op has, or may have, items that tombstones of ours with these indexes are about. What it owes for a request grows with each call, and confirmed is what receipts have covered in full:
 * both may be said in any order, and again. Inside. */
struct partner_duty {
	struct uuid erasure;
	struct str partner, name;     /* key name; what it is called */
	struct str through;           /* key name of the partner who passed them on; absent: our own partner */
	const int64_t *idx;           /* of our feed */
	size_t n;
	instant due;                  /* by when a receipt is owed */
};
CH_CHECK enum err mirror_owe_partner(struct call *c, struct uuid coop, const struct partner_duty *d);
/* It says that it has dealt with these, how, and which receipt says so (digest). *confirmed: the duty is met by now. Inside. */
CH_CHECK enum err mirror_partner_said(struct call *c, struct uuid coop, const struct partner_duty *d, struct str method, bool *confirmed);
/* What the domain that knows partners does at a step of the ladder about one of them; inside. Once, at start. */
typedef enum err (*mirror_partner_step_fn)(struct call *c, struct uuid coop, struct uuid erasure, struct str partner, enum duty_step step);
void mirror_use_partner_steps(mirror_partner_step_fn fn);
/* Takes every step of the ladder that is due in one co-op (nil: in all), each in a transaction of its own. Job "mirror.daily", by tick. */
CH_CHECK enum err mirror_daily(struct call *c, struct uuid coop, int64_t *steps);

/* ---- Receipts ---- */

/* Named apart from pool.h's receipt of a contribution. */
struct purge_receipt {
	struct uuid id, mirror, grant; /* mirror or grant */
	int64_t upto;
	struct str *releases;          /* versions that they hold now */
	size_t n_releases;
	struct str method, models;     /* models: absent without */
	bool doubtful;
	instant said_at, at;           /* as they say; when it came */
	struct sha256 digest;
	struct str envelope;           /* absent where somebody confirmed signed in */
	int64_t confirmed;             /* duties that it confirmed: of the one just taken only */
};
/* A mirror's, in DSSE; from anybody, since the signature says whose it is. Leaf "deletion.receipt". */
CH_CHECK enum err receipt_take(struct call *c, struct uuid coop, struct uuid mirror, struct str envelope, struct purge_receipt *out);
/* A grantee without a mirror, signed in: up to the end of the feed as it is now. method: deleted, never-held. */
CH_CHECK enum err receipt_of_grantee(struct call *c, struct uuid coop, struct uuid grant, struct str method, struct str models, struct purge_receipt *out);
/* For adapters: this instance has deleted everything that the tombstones up to `upto` name from a mirror that it keeps; `checked` is what it found when it asked afterwards, canonical JSON (member
 * "checked" of the receipt), absent: nothing was there to be asked about. Inside. */
CH_CHECK enum err receipt_of_adapter(struct call *c, struct uuid coop, struct uuid mirror, int64_t upto, struct str checked);
/* A mirror's or a grant's, newest first: its account and admins. */
CH_CHECK enum err receipt_list(struct call *c, struct uuid coop, struct uuid mirror, struct uuid grant, struct str cursor, int limit, struct purge_receipt **out, size_t *n, struct str *next_cursor);

/* ---- Deliveries ---- */

struct delivery {
	struct uuid id, mirror;
	struct str mirror_name;
	struct uuid message;           /* webhook-id is "msg_" and this */
	int64_t upto;                  /* tombstones up to this one are announced */
	struct str state;              /* waiting, sending, delivered, dead, dropped */
	int attempts;
	instant created_at, next_at, ended_at; /* INSTANT_NONE: not ended */
	int last_status;               /* 0: no answer came */
	struct str last_error;         /* absent: none */
};
/* Admins: newest first. */
CH_CHECK enum err delivery_list(struct call *c, struct uuid coop, struct str state, struct str cursor, int limit, struct delivery **out, size_t *n, struct str *next_cursor);
/* Admins: a dead one is tried again from the first attempt. */
CH_CHECK enum err delivery_repeat(struct call *c, struct uuid coop, struct uuid delivery, struct delivery *out);
/* Waits until no delivery is under way in this process: for stopping, and tests. */
void mirror_push_drain(void);

/* Gauges for /metrics: duties outstanding and their age, mirrors' lag, deliveries. */
void mirror_metrics(void);
/* mirror.push, mirror.published, mirror.daily. */
extern const struct job_kind mirror_jobs[];

#endif
