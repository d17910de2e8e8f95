/* pool.h - contributions: taking them in, finding personal data, moderation, sealed content, and the packed columns that releases decide on.
 *
 * Content is canonical JSON (RFC 8785; numbers that are not integers within +-2^53 keep their text), hashed over the content alone, sealed under the contributor's key before
 * it reaches the database. Writes are idempotent by content hash per member.
 */
#ifndef COMMONHOLD_POOL_H
#define COMMONHOLD_POOL_H

#include "call.h"
#include "coop.h"
#include "import.h"
#include "job.h"
#include "json.h"

/* A receipt: what a submission answers at once. */
struct receipt {
	struct uuid id;
	struct str rid;             /* dc:<coop>:<uuid> */
	struct sha256 content_sha256;
	struct str status;          /* as of a contribution, below */
	struct str *reasons;        /* why it waits, or what it equals: sentences */
	size_t n_reasons;
	bool duplicate;             /* the member had contributed the same content already: nothing was written, this is the first receipt */
	instant submitted_at;       /* of the first submission */
	int64_t leaf;               /* index in the co-op's log */
	struct str proof;           /* c2sp.org/tlog-proof@v1 of that leaf; single submissions and pool_receipt only */
};

/* What charter and membership let the acting member contribute, for forms. */
struct pool_terms {
	uint8_t kinds;              /* accepted, bits of policy_kind */
	uint64_t licences;          /* to choose from, bits */
	unsigned licence;           /* taken where nothing is said */
	bool has_public_name;       /* may be named publicly */
	bool holds, holds_findings; /* an admin looks at everything; at what seems to hold personal data */
};
CH_CHECK enum err pool_terms(struct call *c, struct uuid coop, struct pool_terms *out);

/* Submits one contribution (schemas/contribution.json) for the acting member. Text is taken as it is: nothing is normalised (NFC or otherwise), since the contributor sees the very
 * bytes that will be released. The same content from the same member answers the first receipt. ERR_INVALID and ERR_REFUSED name the field. */
CH_CHECK enum err pool_submit(struct call *c, struct uuid coop, const struct json *submission, struct receipt *out);
/* The same for whoever has asked ahead (http.h) who contributes; NULL: nobody has. */
struct pool_asked_intake;
CH_CHECK enum err pool_ask_intake(struct call *c, struct pool_asked_intake **out);
CH_CHECK enum err pool_submit_asked(struct call *c, struct uuid coop, const struct pool_asked_intake *asked, const struct json *submission, struct receipt *out);
/* The receipt of a contribution as it stands now, with a fresh inclusion proof; the actor's own, or any for an admin. */
CH_CHECK enum err pool_receipt(struct call *c, struct uuid coop, struct uuid id, struct receipt *out);

/* A batch: many submissions of one member, each decided by itself, written in groups of up to POOL_GROUP lines, a transaction each, so that whatever ends a batch early leaves whole
 * groups. Lines are given as they come and copied; blank ones are skipped; verdicts come back in order through `verdict`, on the caller's thread, after their group is
 * committed. Two threads parse, check and seal, two write, each with a connection while the pool has plenty. Constant memory. An error of `verdict` ends the batch with that error. */
#define POOL_GROUP 4096                /* lines a transaction */
#define POOL_GROUP_BYTES (6 * MIB)     /* text of a group, from which it is closed early */
struct pool_batch;
/* What became of a line. error and receipt live until the callback returns, as does what it takes from the call's arena; one of them is NULL. */
struct verdict { int64_t line; enum err err; const struct error *error; const struct receipt *receipt; };
CH_CHECK enum err pool_batch_begin(struct call *c, struct uuid coop, enum err (*verdict)(void *arg, const struct verdict *v), void *arg, struct pool_batch **out);
CH_CHECK enum err pool_batch_line(struct pool_batch *b, struct str line);
/* Writes what is left, packs full segments and ends the threads. A batch that is not ended drops what was not written when the call's arena is reset. */
CH_CHECK enum err pool_batch_end(struct pool_batch *b);

/* A stream in somebody else's format (import.h), as one batch of the acting member's. */
struct pool_import {
	enum import_format format;
	const struct json *mapping;  /* CSV only: schemas/import_mapping.json */
	struct str lang, licence;    /* for rows that do not say; may be absent */
	void (*progress)(void *arg, const struct import_counts *counts); /* may be NULL */
	void *arg;
};
#define POOL_IMPORT_PROBLEMS 200 /* rows told about one by one; further ones are only counted */
struct pool_import_problem { int64_t line; char code[40], pointer[120], message[240]; };
struct pool_import_report {
	struct import_counts counts;            /* what the importer saw */
	int64_t approved, pending, duplicates;  /* what became of what it emitted */
	int64_t refused;                        /* by the pool */
	struct pool_import_problem *problems;   /* rows not taken, the first ones; deletions at the source are no problems */
	size_t n_problems;
};
CH_CHECK enum err pool_import(struct call *c, struct uuid coop, const struct pool_import *how, const struct import_source *source, struct pool_import_report *out);

/* Notes what items were made from, and has those looked for that were copied from what is erased by now (job "onward.derived"). For who writes rows of contribution, in that transaction. Inside. */
struct pool_derivation { struct uuid item; struct str home; /* key name */ struct uuid source; bool copied; };
CH_CHECK enum err pool_derive(struct call *c, struct uuid coop, const struct pool_derivation *d, size_t n);

/* What a contribution is, for lists and pages. */
struct contribution {
	struct uuid id, member;
	struct str rid;
	int64_t item_no;
	uint32_t member_no;
	unsigned kind, licence;
	struct str lang;
	struct sha256 content_sha256;
	int64_t bytes;
	instant submitted_at;
	uint64_t word, more;
	struct str status;        /* pending, approved, rejected; erased, withdrawn, restricted, embargoed */
	instant embargo_until;    /* by the contributor; INSTANT_NONE for none */
	unsigned findings;        /* pii bits */
	struct str facts;         /* canonical JSON: its circumstances, with the server's own processing steps */
	int64_t leaf;
	struct str contributor;   /* for the moderators' queue: the member's pseudonym */
};
/* The acting member's, newest first. */
CH_CHECK enum err pool_list_mine(struct call *c, struct uuid coop, struct str kind, struct str cursor, int limit, struct contribution **out, size_t *n, struct str *next_cursor);
/* The actor's own, or any for an admin; with the plain content when `content` is given, absent where it was erased. ERR_NOT_FOUND otherwise. */
CH_CHECK enum err pool_read(struct call *c, struct uuid coop, struct uuid id, struct contribution *out, struct str *content);
/* What was decided about an item, oldest first; who may read the item may read this. */
struct moderation { struct str decision, stage, reason; instant at; bool by_person; };
CH_CHECK enum err pool_history(struct call *c, struct uuid coop, struct uuid id, struct moderation **out, size_t *n);
/* An item with its content and what was decided about it, all in one trip. What was asked ahead (http.h), while nobody knows yet who calls, is given as `asked`; with NULL it is
 * asked in a transaction of its own. ERR_NOT_FOUND unless it is the actor's own, or the actor an admin. */
struct pool_asked_item;
CH_CHECK enum err pool_ask_item(struct call *c, struct uuid id, struct pool_asked_item **out);
struct pool_item { struct contribution item; struct str content; struct moderation *history; size_t n_history; };
CH_CHECK enum err pool_read_item(struct call *c, struct uuid coop, struct uuid id, const struct pool_asked_item *asked, struct pool_item *out);
/* A member's items by number after `after` (-1: from the first), erased ones too, with what is left of them: content and circumstances opened, and what was decided, as a JSON array (absent:
 * nothing). For the person's own archive: whose they are is for the caller to have made sure of. Up to about POOL_OWN_BYTES; none: that was all. Own transaction. */
#define POOL_OWN_ITEMS 500
#define POOL_OWN_BYTES (3 * MIB)
struct pool_own { struct contribution item; struct str content, decisions; };
CH_CHECK enum err pool_own_page(struct call *c, struct uuid coop, int member_no, int64_t after, struct pool_own **out, size_t *n);
/* Admin: what waits for a decision, oldest first, and deciding. */
CH_CHECK enum err pool_queue(struct call *c, struct uuid coop, struct str cursor, int limit, struct contribution **out, size_t *n, struct str *next_cursor);
CH_CHECK enum err pool_moderate(struct call *c, struct uuid coop, struct uuid id, bool approve, struct str reason, struct contribution *out);

/* ---- What releases read ----
 *
 * A contribution's row is never deleted: erasure empties it and sets its tombstone bit. Item numbers are dense, so that the position of an item in the pool is its item
 * number, for ever, and a decision can be stored as a code at that position. */

#define POOL_SEGMENT 4096 /* items a segment */
/* Takes the pool's lock of a co-op until the end of the transaction: before changing rows of contribution, so that everybody takes the locks in the same order. Inside. */
CH_CHECK enum err pool_lock(struct call *c, struct uuid coop);
/* Brings the packed segments up to date with the rows; inside a transaction of DB_WRITE. Returns how many were packed. Under a snapshot (DB_SERIAL) it does nothing:
 * pool_scan_columns needs no packed segments, they only make it fast. */
CH_CHECK enum err pool_pack(struct call *c, struct uuid coop, int64_t *packed);
/* One segment's columns; views valid during the callback. */
struct pool_segment {
	int no;                     /* its first item is no * POOL_SEGMENT */
	size_t n;                   /* items in it */
	const uint8_t (*ids)[16];
	const uint32_t *members;
	const uint64_t *words;
	const uint64_t *more;
	const uint8_t (*hashes)[32];
	const uint32_t *shards;
};
typedef enum err (*pool_segment_fn)(void *arg, const struct pool_segment *s);
/* Some columns of all segments in order, streamed by COPY BINARY; the others are NULL. What is not packed is read from the rows, so that the answer is that of the
 * transaction's snapshot. Words come with the bits of withdrawals in force (below). What is not asked for is not read: members and words alone stream six times as fast. POOL_AS_WRITTEN: words without those bits, as they stand in the
 * rows. Inside. */
enum pool_column { POOL_IDS = 1, POOL_MEMBERS = 2, POOL_WORDS = 4, POOL_MORE = 8, POOL_HASHES = 16, POOL_SHARDS = 32, POOL_COLUMNS_ALL = 63, POOL_AS_WRITTEN = 64 };
CH_CHECK enum err pool_scan_columns(struct call *c, struct uuid coop, unsigned columns, pool_segment_fn fn, void *arg);
/* The sealed contents of one shard key with ids from `first` to `last`, in order of id, with the language tag that stands beside them, streamed; inside. */
typedef enum err (*pool_content_fn)(void *arg, const uint8_t id[16], struct str lang, struct str sealed);
CH_CHECK enum err pool_scan_content(struct call *c, struct uuid coop, uint32_t shard, const uint8_t first[16], const uint8_t last[16], pool_content_fn fn, void *arg);
/* Opens what pool_scan_content gave: `context` that content is sealed with, for a contribution. */
void pool_seal_context(struct uuid coop, const uint8_t id[16], uint8_t out[32]);
/* What circumstances, and moderators' reasons, are sealed with, beside the contributor's key. */
struct str pool_facts_context(struct uuid coop, struct uuid item, uint8_t out[48]);
/* The shard keys of a co-op, by number (index = no). */
struct shard_key { unsigned kind, licence; int month; /* year * 12 + month - 1 */ };
CH_CHECK enum err pool_shard_keys(struct call *c, struct uuid coop, struct shard_key **out, size_t *n);

/* ---- Withdrawing ----
 *
 * A withdrawal is one row whatever the number of items, and is in force when its transaction commits: from then on every decision lays its bits over the items' words
 * (pool_scan_columns hands them out like that). What is final is written into the rows afterwards by pool_withdrawal_mark; embargoes and restrictions end, so they are only
 * ever laid over. It takes the pool's lock, as publishing does: what is published after a withdrawal has committed never holds what was withdrawn. */

/* X(name, word, bit of the item's word) */
#define POOL_WITHDRAWAL_KINDS(X) \
	X(ERASE, "erase", POLICY_ITEM_ERASURE)                     /* in no release from now on; to be purged */ \
	X(WITHDRAW_FUTURE, "withdraw_future", POLICY_ITEM_WITHDRAWN) /* in no new release, for good; the content stays with the member */ \
	X(EMBARGO, "embargo", POLICY_ITEM_EMBARGOED)               /* in no release before `until` */ \
	X(RESTRICT, "restrict", POLICY_ITEM_RESTRICTED)            /* in no release until it is lifted */
enum pool_withdrawal_kind {
#define X(name, word, bit) POOL_##name,
	POOL_WITHDRAWAL_KINDS(X)
#undef X
	POOL_WITHDRAWAL_KIND_COUNT
};
const char *pool_withdrawal_word(enum pool_withdrawal_kind kind);

struct pool_withdrawal {
	struct uuid id;                 /* made by the caller */
	enum pool_withdrawal_kind kind;
	struct uuid member;             /* all that this member contributed until now; nil: the items below */
	const int64_t *items;           /* item numbers, in any order; twice is once */
	size_t n;                       /* how many; at most POOL_WITHDRAWN_MAX */
	instant until;                  /* EMBARGO: its end; INSTANT_NONE for the others */
};
#define POOL_WITHDRAWN_MAX 1000000 /* items named one by one in one withdrawal: 4 MB */

/* The item numbers of contributions, in their order; of one member, or of anybody's when `member` is nil. ERR_NOT_FOUND where one is not there or not theirs, ERR_GONE where it
 * is erased already; both name the place ("/items/17"). Inside. */
CH_CHECK enum err pool_select(struct call *c, struct uuid coop, struct uuid member, const struct uuid *ids, size_t n, int64_t *item_nos);
/* Withdraws. Inside; takes the pool's lock, so before the log's. */
CH_CHECK enum err pool_withdraw(struct call *c, struct uuid coop, const struct pool_withdrawal *w);
/* A restriction is settled, an embargo ended early: the items may be released again. ERR_STATE for what is final. Repeating it does nothing. Inside; takes the pool's lock. */
CH_CHECK enum err pool_withdrawal_lift(struct call *c, struct uuid coop, struct uuid id);
/* The next items of a withdrawal after item number `after` (-1: from the first), ascending, at most `limit`, without those that are tombstones already; inside. */
CH_CHECK enum err pool_withdrawal_items(struct call *c, struct uuid coop, struct uuid id, int64_t after, size_t limit, int64_t **items, size_t *n);
/* How many items of a withdrawal are no tombstones yet; inside. */
CH_CHECK enum err pool_withdrawal_left(struct call *c, struct uuid coop, struct uuid id, int64_t *n);
/* Writes the bits of a final withdrawal into the rows, in groups, each a transaction of its own; then decisions need not look at it any more. Begun again after a failure it
 * goes on. Nothing to do for what is not final. Outside a transaction. */
CH_CHECK enum err pool_withdrawal_mark(struct call *c, struct uuid coop, struct uuid id);

/* ---- Purging ---- */

#define POOL_PURGE_GROUP 2000 /* items in one transaction, about */

struct pool_purged {
	size_t purged;   /* emptied now; those that were tombstones before are not counted */
	size_t promoted; /* origins that became rows of their own in the place of some (origin.h) */
	int64_t *held;   /* left as they are, because they are under legal hold; ascending */
	size_t n_held;
};
/* Empties items for good: content, salt, content hash, circumstances, findings, moderators' reasons, statements on the item with their preference strings, packed columns, kept
 * answers to the contributor's requests. What stays is the row with its number, id, kind, licence, date and tombstone bit, a mark in the keys database, and a keyed digest by which
 * the same content is not taken from the same member again. Exact duplicates by others stay, and the first of them stands from then on. Inside; takes the pool's lock, so before
 * the log's. The mark in the keys database is written at once: an item that was to be erased is erased again if this transaction fails. */
CH_CHECK enum err pool_purge(struct call *c, struct uuid coop, const int64_t *items, size_t n, struct pool_purged *out);
/* Destroys the member's content key, when the membership has ended or the account goes: ERR_STATE while anything sealed under it is left. Every cache of this process forgets
 * it, others within a minute. Idempotent. Outside a transaction. */
CH_CHECK enum err pool_purge_key(struct call *c, struct uuid coop, struct uuid member);
/* Destroys the content keys of guests of whom nothing is here any more, once all of it is purged; they stay known, with a new id and key. *gone counts up. Daily; transactions of its own. */
CH_CHECK enum err pool_guest_keys(struct call *c, struct uuid coop, int64_t *gone);
/* Erases again what a restored backup of the content has brought back, by the marks in the keys database (job "erasure.reconcile" at start, and doctor); drops marks that no
 * backup needs any more. Outside a transaction. With `only_look` it changes nothing and counts. */
struct pool_reconciled { int64_t marks, brought_back; };
CH_CHECK enum err pool_reconcile(struct call *c, bool only_look, struct pool_reconciled *out);
/* When the last backup expires that may hold what is purged at `at`: of the content, and of the keys without which it cannot be read. */
struct pool_backups { instant content, keys; };
struct pool_backups pool_backups_until(instant at);
/* Co-ops whose charter promises that backups go earlier than the instance keeps them. Outside a transaction. */
struct pool_overlong { struct str coop_name; int64_t days; /* promised */ };
CH_CHECK enum err pool_backups_overlong(struct call *c, struct pool_overlong **out, size_t *n);

/* ---- Handing over ---- */

/* An item with everything that its home hands over with it; valid during the callback. */
struct pool_handed {
	struct uuid id;
	int64_t item_no;
	uint32_t member_no;
	unsigned kind, licence;
	struct str lang;
	struct sha256 hash;      /* of the content */
	instant at;              /* when it was contributed */
	int64_t leaf;            /* in the co-op's log */
	uint8_t salt[32];        /* of the commitment there */
	struct str content, facts;
};
typedef enum err (*pool_handed_fn)(void *arg, const struct pool_handed *item);
/* What stands of the items of these members (numbers), approved and neither withdrawn, embargoed nor restricted, in order of item number and of leaf; page by page, in the caller's transaction,
 * which sees one snapshot. That they want it handed over is for the caller to have made sure of. Inside. */
CH_CHECK enum err pool_hand_over(struct call *c, struct uuid coop, const int64_t *member_nos, size_t n, pool_handed_fn fn, void *arg);

extern const struct job_kind pool_jobs[];

#endif
