/* pool_internal.h - what the files of the pool share: who contributes under which rules, one item made ready, and writing items.
 *
 * An item goes intake -> prepare -> write. Preparing is pure and runs on any thread; the others run inside the caller's transaction. Plain text never gets past prepare: what
 * leaves it is sealed.
 */
#ifndef COMMONHOLD_POOL_INTERNAL_H
#define COMMONHOLD_POOL_INTERNAL_H

#include "commonhold/contribution.h"
#include "commonhold/keyring.h"
#include "commonhold/pii.h"
#include "commonhold/policy.h"
#include "commonhold/pool.h"

struct rows;

/* Packs rows into segments while they are written, in ascending order of their numbers, so that nobody has to read them again for it. Only whole segments: what is at the ends, or has numbers of others
 * between, pool_pack packs. */
struct pool_packer;
struct pool_packed { int64_t item_no; struct uuid id; struct sha256 hash; uint64_t word, more; uint32_t member, shard; };
struct pool_packer *pool_packer_new(void); /* NULL: no memory */
void pool_packer_free(struct pool_packer *p);
/* Queued. In the transaction that writes the row, and before anything changes it; under numbers that the pool does not reach yet for others. */
CH_CHECK enum err pool_packer_add(struct pool_packer *p, struct call *c, struct uuid coop, const struct pool_packed *item);

#define ITEM_MODERATION(word) ((unsigned)((word) >> POLICY_ITEM_MODERATION_SHIFT & 3))
/* The word of contribution `c` with what withdrawals in force lay over it. While there are none the function is not called. */
#define ITEM_WORD \
	"(c.word | CASE WHEN EXISTS (SELECT FROM withdrawal w WHERE w.coop_id = (SELECT commonhold_coop()) AND w.marked_at IS NULL AND w.lifted_at IS NULL " \
	"AND w.until > commonhold_now()) THEN pool_withdrawn_bits(c.coop_id, c.item_no, c.member_no) ELSE 0 END)"
/* The end of the embargo that stands over contribution `c`; NULL where none does. */
#define ITEM_EMBARGO \
	"CASE WHEN EXISTS (SELECT FROM withdrawal w WHERE w.coop_id = (SELECT commonhold_coop()) AND w.kind = 'embargo' AND w.marked_at IS NULL AND w.lifted_at IS NULL " \
	"AND w.until > commonhold_now()) THEN pool_embargo_end(c.coop_id, c.item_no, c.member_no) END"
/* The key name of the co-op that contribution `c` comes from. */
#define ITEM_HOME \
	"CASE WHEN (c.more >> 24 & 255) = 0 THEN (SELECT k.key_name FROM coop k WHERE k.id = c.coop_id) " \
	"ELSE (SELECT o.key_name FROM origin_coop o WHERE o.coop_id = c.coop_id AND o.no = (c.more >> 24 & 255)) END"
#define ITEM_GONE (POLICY_ITEM_TOMBSTONED | POLICY_ITEM_ERASURE)

/* What a charter says to those who submit; immutable, shared, kept from call to call. */
struct intake_rules;

/* Who contributes, and under which rules. */
struct intake {
	struct uuid coop, member, account;
	uint32_t member_no;         /* membership.number */
	struct str coop_name;       /* the co-op's key name, as in rids */
	unsigned licence;           /* for what does not say: own choice, else the charter's default */
	bool has_public_name;       /* may be named publicly */
	struct seal_key key;        /* the member's content key */
	struct intake_rules *rules; /* held until the call's arena is reset */
};
/* The acting member's, inside. ERR_NOT_FOUND where the actor is no member, ERR_FORBIDDEN where the membership does not let them contribute. */
CH_CHECK enum err intake_open(struct call *c, struct uuid coop, struct intake *out);
/* The same in a transaction of its own, or from what was asked ahead, when that is given. */
CH_CHECK enum err intake_take(struct call *c, struct uuid coop, const struct pool_asked_intake *asked, struct intake *out);
/* Whether a membership of this standing may contribute. */
bool intake_standing(struct str state);
/* The charter that it was opened under. */
int intake_version(const struct intake *in);
/* Asks (db_ask) what has become of both; then fails when the member may not contribute any more, or the charter is another than `in` was opened under. Inside. */
CH_CHECK enum err intake_ask_again(struct call *c, const struct intake *in, struct rows *out);
CH_CHECK enum err intake_still_open(struct call *c, const struct intake *in, const struct rows *asked);

/* The submission schemas, compiled once a process. */
CH_CHECK enum err pool_schemas(const struct contribution_schemas **out, struct error *e);

/* One contribution on its way into the tables. All memory is the arena's that item_prepare was given. */
struct item {
	struct uuid id;
	struct sha256 hash;         /* of the canonical content */
	uint8_t salt[32];           /* of the commitment in the log */
	unsigned kind, licence;
	size_t bytes;               /* of the canonical content */
	uint64_t word, more;
	unsigned findings;          /* kinds of personal data found, as bits */
	uint16_t deny;              /* uses that the item's own preference string denies */
	struct str lang;
	struct str preferences;     /* that string, word for word */
	struct str sealed, facts;   /* content, and its circumstances, under the member's key */
	struct pool_derivation *derived; /* what it was made from */
	size_t n_derived;
	struct str leaf;            /* data of its leaf in the log, canonical JSON */
	struct str rid;             /* dc:<coop>:<id> */
	bool content_written;       /* before the pool's lock was taken */
	int shard;                  /* number of its shard key; where it is written, as: */
	int64_t item_no, leaf_no;   /* its number, and its leaf in the log */
};
/* Checks a submission and makes it ready. Faults go to `e` with memory from `a`. `scratch` may be reset afterwards. */
CH_CHECK enum err item_prepare(struct arena *a, struct arena *scratch, const struct intake *in, instant at, const struct json *submission, struct item *out, struct error *e);

/* What item_prepare makes of circumstances: bits of the word, the second word; and how much a scan found. Pure. */
uint32_t item_sensitive_flags(unsigned sensitive);
uint64_t item_more(const struct contribution_draft *d);
unsigned item_findings_total(const struct pii_report *report);

/* What became of an item: written, or found to be there. */
struct fate {
	struct item *item;          /* what was to be written; NULL: nothing here (a bad line) */
	bool duplicate;             /* the member has it already; the rest is of that one */
	struct uuid id;
	int64_t leaf;
	uint64_t word;
	unsigned findings;
	instant submitted_at;
	enum err err;               /* ERR_GONE: the member had it erased */
};
/* Writes items in their order; sets what is known of each in `fates`, whose items are set or NULL. Fails when `in` does not hold any more. Inside; the receipts hold once the
 * transaction is committed. */
CH_CHECK enum err items_write(struct call *c, const struct intake *in, instant at, struct fate *fates, size_t n);
/* What items bring besides their rows: that they wait for a person, what their preference strings deny. Queued. Inside. */
CH_CHECK enum err item_write_besides(struct call *c, const struct intake *in, instant at, struct item *item);
/* A row of what is there of a content: its position asked for, whether it is the member's own, id, leaf, word, findings, submitted_at. */
void fate_is_known(struct fate *f, const struct rows *r, int row);
/* It is not written: the member had it erased. */
void fate_is_suppressed(struct fate *f);
/* The key that an item written at `at` belongs to, and its number where this process knows it to be committed. */
struct shard_key shard_key_of(unsigned kind, unsigned licence, instant at);
bool shard_recall(struct uuid coop, struct shard_key key, int *no);
/* The same, made if it is new. Inside, under the pool's lock. */
CH_CHECK enum err shard_number(struct call *c, struct uuid coop, struct shard_key key, int *no);

/* One item by itself, written together with those that others bring to the same co-op at the same moment: one transaction, one signature. */
struct single {
	const struct intake *in;    /* its key is not needed any more */
	struct item *item;          /* its shard is known */
	instant at;
	struct fate fate;           /* what became of it */
	bool again;                 /* nothing was done: the member's standing or the charter is another by now */
	struct str proof;           /* of its leaf; absent for a duplicate */
};
/* Outside a transaction; the call's connection is given back while others write. */
CH_CHECK enum err single_write(struct call *c, struct single *s);

/* The same for a group of a batch, in three steps: what needs no transaction, what needs no lock, and the rest. `fates` and the call's arena stay until the last. */
struct staging {
	struct fate *fates;         /* of the group */
	size_t n;                   /* of them */
	size_t count;               /* contents, each counted once */
	const size_t *positions;    /* of their first fates, in order */
	const size_t *by_content;   /* the same in the order of their hashes */
	size_t *first;              /* for each fate, the position where its content stands first */
	bool *may_be_known;         /* for each fate: its content had a row when it was asked for */
	int64_t items_then;         /* in the pool at that instant; -1: nothing was asked */
};
/* What a batch wrote last, to know its own hand in what came into the pool meanwhile. */
struct items_recent {
	int64_t first, next;        /* item numbers */
	uint64_t hash[POOL_GROUP * 2]; /* first bytes of the contents' hashes, open addressing; 0 is an empty place */
};
CH_CHECK enum err items_look_over(struct call *c, struct fate *fates, size_t n, struct staging *out);
/* Asks for known contents and writes sealed ones. Inside, in the transaction that items_write_staged follows in. */
CH_CHECK enum err items_stage(struct call *c, const struct intake *in, instant at, struct staging *s);
/* Takes the pool's lock and writes the rest. `recent` may be NULL; the caller's alone while this runs, and true of the pool once the transaction is committed. */
CH_CHECK enum err items_write_staged(struct call *c, const struct intake *in, instant at, struct staging *s, struct items_recent *recent);
struct str pool_reason_context(struct uuid coop, struct uuid item, uint8_t out[48]);
void receipt_of(struct arena *a, struct str coop_name, const struct fate *f, struct receipt *out);

/* ERR_FORBIDDEN unless the actor is an admin of the co-op (or the instance itself). Inside. Gives the admin's membership; nil for the instance. */
CH_CHECK enum err pool_require_admin(struct call *c, struct uuid coop, struct uuid *member);
/* After an operation that failed and is not the end of the request: rolls back, and clears the error. */
void pool_give_up(struct call *c);
/* Seals circumstances that were stored in the open before there was a place for sealed ones. Outside a transaction. */
CH_CHECK enum err pool_seal_open_facts(struct call *c);
/* "pending", "approved", "rejected" of a packed word; "erased", "withdrawn", "restricted", "embargoed" where the item is out of releases for that. */
const char *item_status(uint64_t word);
/* Sentences on why an item waits. */
void item_reasons(struct arena *a, uint64_t word, unsigned findings, struct str **out, size_t *n);

#endif
