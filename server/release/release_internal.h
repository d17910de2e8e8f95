/* release_internal.h - what the files of release/ share. */
#ifndef COMMONHOLD_RELEASE_INTERNAL_H
#define COMMONHOLD_RELEASE_INTERNAL_H

#include "commonhold/control.h"
#include "commonhold/db.h"
#include "commonhold/keychain.h"
#include "commonhold/pool.h"
#include "commonhold/release.h"

/* ---- release.c ---- */

/* Locks a release for a change; inside. */
CH_CHECK enum err release_take(struct call *c, struct uuid coop, struct uuid id, struct release *out);
/* The one place where a release changes state: along an edge of the table, with its event and its leaf. `facts` is the leaf's JSON object (absent: only the id). Inside. */
CH_CHECK enum err release_move(struct call *c, struct release *r, enum release_state to, struct str facts);
/* Queues a job for a release; inside. */
CH_CHECK enum err release_queue(struct call *c, const struct release *r, const char *kind, instant due);
/* The newest published one that is still current; ERR_NOT_FOUND when there is none. Inside. */
CH_CHECK enum err release_latest(struct call *c, struct uuid coop, struct release *out);
/* The last one that was ever published, withdrawn or not: versions go on from there. ERR_NOT_FOUND when there is none. Inside. */
CH_CHECK enum err release_last_published(struct call *c, struct uuid coop, struct release *out);

/* ---- tell.c ---- */

/* Tells every member what there is to tell of a release as it stands now (job "release.tell"). Repeating it tells nobody twice. */
CH_CHECK enum err release_tell(struct call *c, struct uuid coop, struct uuid release);

/* ---- decide.c: the policy engine over a whole pool ---- */

/* An origin of a row (origin.h), as deciding needs it. */
struct decided_origin {
	uint32_t item;         /* of the row */
	uint32_t member;       /* guest */
	uint8_t origin, licence;
	uint8_t id[16];
	uint64_t word, more;
};
/* A row that goes out under another licence than its own, since that is the one which fits all of its origins. */
struct decided_moved {
	uint32_t item;
	uint32_t shard;        /* where its content lies; d->shards says where it goes */
	uint8_t own;           /* licence that it has itself */
};
/* What decisions hold to besides, where the co-op has guests (decide_guests.c). */
struct decided_guests {
	const struct guest_limits *limits;  /* by number */
	size_t n_limits;                    /* numbers there are */
	struct decided_origin *origins;     /* by item */
	size_t n_origins;
	struct decided_moved *moved;        /* rows of a collection that go out under a licence of another of their origins, by item */
	size_t n_moved;
	struct rows *named;                 /* origins that statements are about */
	uint32_t *person_of;                /* by number: whom they count as; NULL: nobody is two */
	uint32_t *next_of_person;           /* by number: the same person's next number, in a ring */
};
#define ORIGIN_POSITIONS UINT32_C(0x80000000) /* origins' positions towards the engine begin here: behind all items */

/* The pool in columns, with the decision on each item. Position is item number. Memory of the call's arena, through defers. */
struct decided {
	struct uuid coop;
	struct charter charter;            /* that the specification is from */
	struct policy_spec spec;
	bool apart;                        /* what may be passed on, each item under its own licence and not in one row with its other origins */
	bool joint;                        /* by the rules of two co-ops together */
	struct str without;                /* of these: leaves of items that the two do not agree on (release_joint.h) */
	struct control *controls;          /* collective controls that stood at the cut-off: a toggle's id is a place here + 1 */
	size_t n_controls;                 /* how many */
	const struct policy_program *program;
	struct policy_facts facts;
	struct policy_rows *rows;
	size_t n;                          /* items */
	uint64_t *words;                   /* packed policy words */
	uint64_t *more;                    /* second words; NULL when no rule looks at them */
	uint32_t *members;                 /* member numbers */
	uint32_t *shards;                  /* shard key numbers; with ids and hashes only */
	uint8_t (*ids)[16];
	uint8_t (*hashes)[32];             /* content hashes */
	policy_reasons *reasons;           /* every reason at every gate */
	uint8_t *outcomes;                 /* enum policy_outcome */
	struct policy_set_report report;   /* counts by outcome and reason, contributors */
	struct arena *arena;               /* all of this, freed with the call or by decided_release */
	struct arena **slot;               /* where the call's defer finds it */
	struct policy_mem mem;             /* the same for the engine */
	struct decided_guests *guests;     /* NULL: the co-op never had any */
};
/* decide_guests.c. Loading sets d->guests and makes the specification's k the stricter; before compiling. Inside. */
CH_CHECK enum err guests_load(struct call *c, struct decided *d);
CH_CHECK enum err guests_name_origins(struct call *c, struct decided *d);
/* The position of an origin that a statement is about; POLICY_NO_ITEM: none. And their facts for the engine, at most so many. */
uint32_t guests_position(const struct decided *d, struct uuid id);
size_t guests_facts_room(const struct decided *d);
size_t guests_facts(const struct decided *d, struct policy_item_fact *out);
/* The origins of a row. NULL and 0: none. */
const struct decided_origin *guests_origins_of(const struct decided *d, size_t item, size_t *n);
/* Reasons besides the engine's: of a row for its contributor, and of one of its origins for that one's. */
policy_reasons guests_row_reasons(const struct decided *d, uint64_t word, uint32_t member);
/* What the same person says against it under another number. */
policy_reasons guests_person_reasons(const struct decided *d, uint32_t member, unsigned kind);
policy_reasons guests_origin_reasons(const struct decided *d, const struct decided_origin *o, uint64_t row_word);
/* The licence that a row has itself, where it goes out under `licence`. */
unsigned guests_own_licence(const struct decided *d, uint32_t item, unsigned licence);
/* The row's entry among those that go out under another licence; NULL: it does not. */
const struct decided_moved *guests_moved(const struct decided *d, uint32_t item);
/* The narrowest access that the agreements ask for what is in: 0 public, 1 gated_auto, 2 gated_manual. */
unsigned guests_access(const struct decided *d);
/* Adds them for all rows, and says which go out under another licence than their own; false: no memory. */
CH_CHECK bool guests_decide(struct decided *d);
/* What the set rules look at; false: no memory. */
bool guests_set(struct decided *d, struct policy_set *set);
struct hasher;
/* Adds the origins of rows that are in to the digest of the candidates; nothing without any. */
void guests_digest(const struct decided *d, struct hasher *h);

/* What a release is decided by: the charter's words as the engine's specification. `id` and seed make cap orders and target scopes; both instants as in policy.h. */
void release_spec(const struct charter *charter, const struct release *r, instant cutoff, instant at, struct policy_spec *out);
/* The specification as canonical JSON, for policy.json and release.spec. `d`: what was decided by, with the controls that stood; NULL where that is not known yet. */
struct str release_spec_json(struct arena *a, const struct charter *charter, instant cutoff, const struct decided *d);
/* Brings the packed columns up to date, so that deciding reads them and not the rows; a transaction of its own, before the one that decides. */
CH_CHECK enum err decide_pack(struct call *c, struct uuid coop);
/* Loads facts, scans the pool, decides, applies the set rules. Inside a transaction that sees one state of the co-op. `cutoff` and `at` as in policy.h: freezing
 * passes the same. `frozen` (or NULL) are the reasons stored at freezing: whatever was out then stays out. */
CH_CHECK enum err decide_pool(struct call *c, struct uuid coop, const struct release *r, instant cutoff, instant at, const policy_reasons *frozen, size_t n_frozen,
	struct decided *out);
/* The same without shard keys, ids and content hashes, for counting and comparing: a third of the memory and of what is read. */
CH_CHECK enum err decide_outcomes(struct call *c, struct uuid coop, const struct release *r, instant cutoff, instant at, const policy_reasons *frozen, size_t n_frozen,
	struct decided *out);
/* The same under a charter that is only proposed, on the pool as it is now; no frozen reasons. */
CH_CHECK enum err decide_as_if(struct call *c, struct uuid coop, const struct charter *charter, instant at, bool apart, struct decided *out);
/* The control that a cause of a trace names; NULL when it names none. */
const struct control *decided_control(const struct decided *d, const struct policy_cause *cause);
/* The digest of the candidate set: SHA-256 over the program's digest and, in order of item number, id and content hash of each item that is in. */
struct sha256 decided_digest(const struct decided *d);
static inline bool outcome_is_in(uint8_t outcome) { return outcome <= POLICY_CONDITIONAL; }
static inline int64_t decided_included(const struct decided *d) { return (int64_t)(d->report.outcomes[POLICY_INCLUDE] + d->report.outcomes[POLICY_CONDITIONAL]); }
/* Stores decisions and counts of a stage ("frozen", "built"), replacing what a former attempt stored; inside. */
CH_CHECK enum err decided_store(struct call *c, const struct release *r, const char *stage, const struct decided *d);
/* Reads the stored reasons of a stage back, by position; *n is 0 when there are none. Inside. */
CH_CHECK enum err decided_load(struct call *c, struct uuid coop, struct uuid release, const char *stage, policy_reasons **reasons, size_t *n);
/* Gives the memory back before the call ends. */
void decided_release(struct decided *d);
/* Facts, program and rows alone, for explaining single items; `one` is what is known of such an item beside its word, or NULL. Inside. */
CH_CHECK enum err decide_prepare(struct call *c, struct uuid coop, const struct release *r, instant cutoff, instant at, const struct policy_item_fact *one, struct decided *out);

/* ---- read.c ---- */

/* The number of an item that the actor may ask about: its own, or any for an admin; ERR_NOT_FOUND otherwise. Inside. */
CH_CHECK enum err release_item(struct call *c, struct uuid coop, struct uuid contribution, int64_t *item_no);
/* A cut-off of now, for previews: the end of the present second. Items carry their time in whole seconds, rounded up, and what was contributed a moment ago must count. */
instant release_preview_cutoff(void);
/* The stored reasons of one item; AFTER_CUTOFF where it came later. Inside. */
CH_CHECK enum err release_stored_reasons(struct call *c, struct uuid coop, struct uuid release, const char *stage, int64_t item_no, uint64_t *reasons);

/* ---- artefact.c and its parts ---- */

/* All that the files of an artefact are made from. */
struct artefact {
	struct call *c;
	const struct release *release;
	struct decided *d;
	struct coop coop;
	const char *base_url;           /* of the instance */
	struct str dir;                 /* where it is staged */
	struct artefact_joint *joint;   /* of a release of two co-ops: the other's side; NULL otherwise */
	struct verify_memory *memory;   /* of the check while it was staged, for the one before it is published */
	struct str version;
	const struct release *previous; /* NULL for the first */
	const struct release *base;     /* what a redaction release is made from; NULL: an ordinary one */
	const struct kept *kept;        /* of the base */
	int64_t tombstones, tombstones_upto; /* lines of tombstones.jsonl, and the index of the last; 0 and -1: none */
	struct sign_key key;            /* the co-op's, in force */
	struct keychain chain;          /* that leads to it */
	struct str origin;              /* of its log */
	struct file_entry *files;       /* newest last */
	size_t n_files, cap_files;
	struct sha256 policy_sha256, report_sha256;
	int64_t rows, contributors;
	int64_t rows_by_kind[POLICY_KIND_COUNT];
	int64_t rows_by_licence[POLICY_LICENCE_MAX];
};
/* One file of the artefact. */
struct file_entry {
	struct str path;
	int64_t size;
	struct sha256 sha256;
	bool checked;                   /* its rows were checked as an outsider would, now or when they were first published */
	bool shard;                     /* then also: */
	int64_t raw_size, rows;
	struct sha256 raw_sha256, rids_root, input;
};
struct file_entry *artefact_add(struct artefact *a);
/* Writes a small file into the staging folder and notes it. */
CH_CHECK enum err artefact_write(struct artefact *a, const char *path, struct str content, bool listed);
/* The same for JSON, put into canonical form; hands out the digest of what was written when asked. */
CH_CHECK enum err artefact_write_canonical(struct artefact *a, const char *path, struct str json, bool listed, struct sha256 *digest);
/* data/<kind>/…: cuts the included items into shards by kind, licence and month; reuses those whose input did not change. */
CH_CHECK enum err shards_write(struct artefact *a);
/* The included items of one shard key, in order of id. */
struct group {
	uint32_t key;           /* shard key number */
	uint32_t *items;        /* positions */
	size_t n;
};
/* By shard key number. */
void groups_make(struct artefact *a, size_t n_keys, struct group **out);
/* All shard keys, the co-op's and those that rows are moved to: d->shards of these says the new one afterwards. Inside. */
CH_CHECK enum err shard_keys(struct artefact *a, struct shard_key **out, size_t *n);
/* The part that an id is in when a group is cut by so many leading bits. */
unsigned shard_part(const uint8_t id[16], unsigned bits);
struct str shard_path(struct artefact *a, const struct shard_key *key, unsigned part, unsigned parts);
/* How many rows a shard is to have, about; 0: as usual. Tests cut finely what is small. */
void shards_aim_at(size_t rows);
/* data/ and the folders of the kinds that are in. */
CH_CHECK enum err shards_make_folders(struct artefact *a);
#define SHARD_LEVEL 6 /* of compression: gzip's own default */
/* What a shard was made from, row by row in order of id: the digest by which it is found again. */
struct shard_input {
	struct hasher *hasher;
	char block[16384];      /* bytes hashed at a time; an attribution is much shorter */
	size_t held;
};
void shard_input_begin(struct artefact *a, struct shard_input *in, const struct shard_key *key);
void shard_input_add(struct shard_input *in, const uint8_t id[16], const uint8_t hash[32], struct str attribution);
/* The same for a row with its member "origins", where that is not just its own (else empty). */
void shard_input_add_row(struct shard_input *in, struct arena *a, const uint8_t id[16], const uint8_t hash[32], struct str attribution, struct str origins);
struct sha256 shard_input_end(struct shard_input *in);

/* ---- patch.c: a release from an earlier one, by leaving out ---- */

/* "patches/<from>--<to>.redact.jsonl" */
struct str patch_path(struct arena *a, struct str from, struct str to);
/* The same as shards_write for a redaction release: shards of the base that lose nothing are linked in, the others are written again from the lines that stay; and the patch. */
CH_CHECK enum err redact_shards_write(struct artefact *a);

/* ---- kept.c: what a release's rows name, for redactions of it ---- */

/* Of a published release; nothing where no row has other origins. */
struct kept {
	bool known;             /* loaded: these origins count, and not those that stand now */
	struct str moved;       /* as stored (sql/0049) */
	struct str origins;
};
CH_CHECK enum err kept_load(struct call *c, struct uuid coop, struct uuid release, struct kept *out);
/* Stores what was published; of a redaction what its base has. Inside. */
CH_CHECK enum err kept_store(struct call *c, struct uuid release, const struct decided *d);
CH_CHECK enum err kept_store_again(struct call *c, const struct release *base, struct uuid release);
/* Adds to the reasons of a base that rows of which an origin has gone since go with it: their lines name it. Inside. */
CH_CHECK enum err kept_bind(struct call *c, struct uuid coop, const struct kept *k, policy_reasons *reasons, size_t n);
/* Rows go out under the licence under which they did. */
CH_CHECK enum err kept_licences(struct call *c, const struct kept *k, struct decided *d);
/* The further origins that a row names. */
typedef enum err (*kept_fn)(void *arg, uint32_t item, unsigned origin, const uint8_t id[16]);
CH_CHECK enum err kept_each(const struct kept *k, uint32_t item, kept_fn fn, void *arg);

/* ---- build.c ---- */

/* How an attempt to build ended. */
enum build_end {
	BUILD_PUBLISHED,
	BUILD_TOO_LITTLE,      /* less is left than may be released */
	BUILD_OVERTAKEN,       /* redactions only: another release was published since */
	BUILD_WAITING,         /* joint releases only: the partner has not signed what was built */
};
/* Builds and publishes; `base` is what a redaction release is made from, NULL for an ordinary one. */
CH_CHECK enum err build_and_publish(struct call *c, const struct release *r, const struct release *base, enum build_end *end);
/* Removes a folder of ours with all that is in it; links are not followed. */
CH_CHECK enum err release_remove_tree(struct call *c, struct str dir);
/* Where it is built. */
struct str release_staging_dir(struct arena *a, struct uuid coop, struct uuid release);

/* README.md, croissant.json, LICENSES/, TERMS.md, keys.json, policy.json, report.json, tombstones.jsonl. */
CH_CHECK enum err documents_write(struct artefact *a);
/* manifest.json, manifest.dsse.json. */
CH_CHECK enum err manifest_write(struct artefact *a, struct sha256 *manifest);
/* checkpoint, release.tlog-proof, SHA256SUMS, SHA256SUMS.minisig; after the release's leaf is in the log. Inside. */
CH_CHECK enum err seals_write(struct artefact *a, int64_t leaf);

/* ---- words for people ---- */
const char *licence_spdx(unsigned licence);
struct str month_text(struct arena *a, int month /* year * 12 + month - 1 */);

#endif
