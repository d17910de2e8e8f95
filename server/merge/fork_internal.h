/* fork_internal.h - what the files about forks, lineage and links share. Of server/merge only. */
#ifndef COMMONHOLD_FORK_INTERNAL_H
#define COMMONHOLD_FORK_INTERNAL_H

#include "commonhold/coop.h"
#include "commonhold/fork.h"
#include "commonhold/lineage.h"
#include "commonhold/link.h"

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

/* ---- Lineage ---- */

void lineage_node_write(struct json_writer *w, struct arena *a, const struct lineage_node *node);
/* Reads "nodes" of a lineage. Checks form alone. */
CH_CHECK enum err lineage_nodes_read(struct arena *a, const struct json *nodes, struct lineage_node **out, size_t *n, struct error *e);

/* What others call a member: `m` is the membership. */
#define MEMBER_NAME "CASE m.attribution WHEN 'public' THEN m.public_name WHEN 'pseudonym' THEN m.pseudonym ELSE 'member ' || m.number END"

#endif
