/* fork_internal.h - what the files about forks, lineage and links share. Of server/merge only. */
#ifndef COMMONHOLD_FORK_INTERNAL_H
#define COMMONHOLD_FORK_INTERNAL_H

#include "commonhold/coop.h"
#include "commonhold/fork.h"
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
/* The lock under which offers change; inside, before the log's. */
CH_CHECK enum err fork_lock(struct call *c, struct uuid coop);
/* Leaf about an offer: {"offer":…} and more members, already written as ,"key":value; inside. */
CH_CHECK enum err fork_leaf(struct call *c, struct uuid coop, const char *type, struct uuid offer, struct uuid by, struct str more);

/* "fork.feed": without arguments queues one a co-op; with one, takes what is new in its parent's feed of tombstones. Outside a transaction. */
CH_CHECK enum err fork_feed(struct call *c, struct uuid coop);
CH_CHECK enum err fork_job_feed(struct call *c, const struct json *args);

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
