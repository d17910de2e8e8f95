/* pool.h - the pool that the release bench measures on: the same for the same numbers, made without the operations that are measured.
 *
 * Items are numbered. What item n is (its member, month, kind, text, id) is a function of n alone, so that a batch, a change of the pool and the pool itself never meet in content.
 */
#ifndef COMMONHOLD_BENCH_POOL_H
#define COMMONHOLD_BENCH_POOL_H

#include "commonhold/coop.h"
#include "commonhold/pool.h"

#include <libpq-fe.h>

#define MADE_MEMBERS 10000
#define MADE_MONTHS 24                                 /* of submission, the last of them December 2025 */
#define MADE_END INT64_C(1767225600000000)             /* 2026-01-01T00:00:00Z: the first cut-off */

/* What one item is. */
struct made_item {
	uint32_t member;           /* membership number */
	unsigned kind, licence;
	instant at;                /* submitted */
	enum policy_moderation moderation;
	const char *lang;
	struct uuid id;
	char content[4096];        /* canonical JSON */
	size_t n;
};
/* Item `no` of a pool of `total`; from `total` on, items of the last month. */
void made_item(uint64_t no, uint64_t total, struct made_item *out);
/* A number that looks random, always the same for the same two. */
uint64_t made_number(uint64_t space, uint64_t no);
struct uuid made_uuid(uint64_t space, uint64_t no);

/* The whole pool in an empty database: co-op, members with their keys and statements, `items` items, packed. The superuser's connection writes past the walls. */
void pool_make(struct call *c, PGconn *admin, const char *admin_url, int64_t items, struct uuid *coop);
/* `n` more items after the pool's `items`, in the last month, packed as a batch would leave them. */
void pool_grow(struct call *c, PGconn *admin, const char *admin_url, struct uuid coop, int64_t items, int64_t n);

/* Packs what is not packed. */
void pool_pack_all(struct call *c, struct uuid coop);

/* Ends the program with the call's error. */
void need(const struct call *c, enum err err, const char *what);
#define NEED(c, expression) need((c), (expression), #expression)
/* SQL past the walls; ends the program when it fails. The first field of the first row, "" without one; the caller's to free. */
char *admin_sql(PGconn *admin, const char *sql);

#endif
