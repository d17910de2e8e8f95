/* fork_internal.h - what the files about forks, lineage and links share. Of server/merge only. */
#ifndef COMMONHOLD_FORK_INTERNAL_H
#define COMMONHOLD_FORK_INTERNAL_H

#include "commonhold/coop.h"
#include "commonhold/fork.h"
#include "commonhold/guest.h"
#include "commonhold/keychain.h"
#include "commonhold/lineage.h"
#include "commonhold/link.h"
#include "commonhold/tar.h"
#include "commonhold/zst.h"

/* ---- Codes that people carry from one co-op to another ---- */

#define CODE_CHARS 24
/* A new one as people read it, "abcd-efgh-…", 120 random bits; only the hash is kept. `what` keeps codes for one thing from being codes for another. */
struct str code_new(struct arena *a, const char *what, struct sha256 *hash);
/* Reads what somebody typed: case, blanks and hyphens do not matter. False for what is no code. */
CH_CHECK bool code_read(struct str typed, const char *what, struct sha256 *hash);

/* ---- Offers ---- */

CH_CHECK enum err fork_offer_get(struct call *c, struct uuid coop, struct uuid id, struct fork_offer *out);
/* Whether this can be the address of an instance: http(s), no credentials, not too long. Pure. */
bool fork_url_ok(struct arena *a, struct str url);
/* The lock under which offers change; inside, before the log's. */
CH_CHECK enum err fork_lock(struct call *c, struct uuid coop);
/* Leaf about an offer: {"offer":…} and more members, already written as ,"key":value; inside. */
CH_CHECK enum err fork_leaf(struct call *c, struct uuid coop, const char *type, struct uuid offer, struct uuid by, struct str more);

/* ---- What the parent says of those who went along ---- */

/* Signs lines of what people say. */
struct fork_sayer {
	struct call *c;
	struct sign_key key;      /* of the co-op that says it */
	struct str home;          /* its key name */
	int64_t rev;              /* leaves of its log as of which it says so */
	const struct agreement_terms *terms; /* in effect with the fork: what somebody else allows for a person counts that far; NULL: not at all */
	struct buf line;          /* the one at hand; the caller's to release */
};
/* All that a fork is told about. */
struct guest_scope fork_said_scope(void);
/* Leaves of what is said for somebody the denials, and permissions as far as the terms go (NULL: none). */
void fork_said_limit(struct arena *a, struct guest_words *words, const struct agreement_terms *terms);
/* Writes the signed line into s->line. */
CH_CHECK enum err fork_said_line(struct fork_sayer *s, struct guest_words *words, const uint8_t contributor[16]);
/* Of what it says, whatever the revision. */
CH_CHECK enum err fork_said_digest(struct fork_sayer *s, struct guest_words *words, const uint8_t contributor[16], struct sha256 *digest);

#define FORK_WORDS_TYPE "application/vnd.commonhold.fork-words+json"
#define FORK_WORDS_LABEL "commonhold/fork/words/1"
#define FORK_WORDS_PAGE 500                /* lines in one answer, */
#define FORK_WORDS_BYTES (1 * MIB)         /* and bytes from which it ends early */
#define FORK_WORDS_MOST LIMIT_RESPONSE     /* of an answer */
#define FORK_WORDS_PROOF_LIFE (5 * CLOCK_MINUTE) /* either way: clocks differ */
/* What a fork asks with: HMAC-SHA-256 under the secret that only parent and fork can compute (pairwise_key). Pure. */
struct sha256 fork_words_proof(struct arena *a, const uint8_t key[32], struct uuid offer, instant at, int64_t since);
/* At the parent: whether it was the fork that asked. ERR_NOT_FOUND where it was not, or there is no such fork. A transaction of its own. */
CH_CHECK enum err fork_words_asked(struct call *c, struct uuid coop, struct uuid offer, instant at, int64_t since, const struct sha256 *proof);
/* At the parent: looks at what those who went along say now, signs what has changed, and gives the lines numbered after `since`, in an envelope of FORK_WORDS_TYPE by the co-op's key over canonical JSON
 * {"as_of":INSTANT,"from":KEY NAME,"head":leaves of the log,"lines":[{"no":N,"words":LINE},…],"offer":ID,"since":N,"to":KEY NAME of the fork,"told":revision of the latest lines,"upto":number of the last
 * line there is,"v":1}. Transactions of its own. */
CH_CHECK enum err fork_words_tell(struct call *c, struct uuid coop, struct uuid offer, int64_t since, struct str *envelope);

/* At the fork: who its parent is, and where and by which keys it is heard. */
struct fork_parent {
	struct uuid coop;         /* the fork */
	struct str us;            /* its key name */
	struct str name, url;     /* of the parent */
	struct uuid offer;        /* by which its people came */
	struct keychain keys;     /* as pinned in the lineage, and what was proved to continue it */
	struct uuid here;         /* the parent where it lives on this instance; nil: elsewhere */
	struct uuid peer;         /* as a partner; nil: it is none */
};
/* *there: the co-op is a fork. Whatever an admin thinks of the parent as a partner: what stops something is always heeded. A transaction of its own. */
CH_CHECK enum err fork_parent_of(struct call *c, struct uuid coop, struct fork_parent *out, bool *there);
/* "fork.feed": without arguments queues one a co-op; with one, takes what is new in its parent's feed of tombstones, and what its people say there. Outside a transaction. */
CH_CHECK enum err fork_feed(struct call *c, struct uuid coop);
CH_CHECK enum err fork_job_feed(struct call *c, const struct json *args);
/* Takes such an envelope, answered to a question for what comes after `since`: what is not the parent's, goes back behind what was heard, or is about somebody who did not come along is left out and told to the admins
 * (merge_refuse). *next: what to ask after; as `since` where there is no more. `whole`: nothing was left out so far; moves on what was heard. Own transactions. */
CH_CHECK enum err fork_words_take(struct call *c, const struct fork_parent *p, int64_t since, struct str envelope, bool *whole, int64_t *next);
/* Asks the parent for all that is new. Outside a transaction. */
CH_CHECK enum err fork_words_hear(struct call *c, const struct fork_parent *p);

/* ---- Lineage ---- */

void lineage_node_write(struct json_writer *w, struct arena *a, const struct lineage_node *node);
/* Reads "nodes" of a lineage. Checks form alone. */
CH_CHECK enum err lineage_nodes_read(struct arena *a, const struct json *nodes, struct lineage_node **out, size_t *n, struct error *e);

/* ---- Links ---- */

struct link_row {
	struct link link;
	struct uuid member;       /* of ours; nil: not known yet */
	uint8_t contributor[16];  /* of theirs, once link.contributor is there */
	struct str proof;         /* the sealed key of its code while it is open; absent */
};
#define A_NULL_BYTES ((struct db_arg){ .type = DB_BYTEA, .null = true })

/* ---- Folders that are exported ---- */

#define FORK_MANIFEST_MAX (8 * MIB)
#define FORK_CHARTERS_MAX (128 * MIB)
#define FORK_PART_BYTES ((int64_t)192 << 20) /* raw bytes from which a part goes on in another file */
/* One file, as a manifest says it. */
struct fork_file {
	char path[48];
	int64_t lines, size, raw_size;
	struct sha256 sha256, raw_sha256;
};
struct fork_folder {
	struct call *c;
	const char *dir;          /* made by us: nobody else writes there */
	struct fork_file *files;  /* on the heap: fork_folder_remove or _free */
	size_t n, room;
	struct zst_writer *zst;   /* the part at hand; NULL: none */
	const char *part;         /* its name */
	int part_no;              /* its number */
	int64_t lines;            /* in it */
};
/* The folder must not exist. */
CH_CHECK enum err fork_folder_make(struct call *c, const char *dir, struct fork_folder *out);
/* A whole file at once. */
CH_CHECK enum err fork_folder_put(struct fork_folder *f, struct str name, struct str bytes, int64_t lines);
/* Notes a file that was written there otherwise. */
CH_CHECK enum err fork_folder_note(struct fork_folder *f, struct str name);
/* A line of a compressed part, "records": files of it follow each other. Another part ends the one before. */
CH_CHECK enum err fork_folder_line(struct fork_folder *f, const char *part, struct str line);
CH_CHECK enum err fork_folder_end_part(struct fork_folder *f);
/* The member "files" of a manifest, in order of path. */
void fork_folder_list(struct fork_folder *f, struct json_writer *w);
/* All of it as one .tar, which must not exist. */
CH_CHECK enum err fork_folder_pack(struct fork_folder *f, const char *to, instant at);
/* Takes it away again. */
void fork_folder_remove(struct fork_folder *f);
/* Leaves it where it is. */
void fork_folder_free(struct fork_folder *f);

/* What others call a member: `m` is the membership. */
#define MEMBER_NAME "CASE m.attribution WHEN 'public' THEN m.public_name WHEN 'pseudonym' THEN m.pseudonym ELSE 'member ' || m.number END"

#endif
