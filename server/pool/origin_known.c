#include "server/pool/origin_known.h"

#include "server/pool/content_table.h"
#include "server/pool/pool_internal.h"

#include "commonhold/db.h"

#include <stdlib.h>

#define FILTER_BITS_MAX ((uint64_t)1 << 30)
#define FILTER_BITS_ITEM 48  /* at least, for an id; twice that where contents are in the filter too */
#define READ_FROM 4          /* the pool is read through when it has at most so many items for each expected record; else the database is asked about each */
#define KNOWN_BYTES_MAX ((size_t)40 * MIB) /* of the exact table */

static const char origin_ids_copy[] = "COPY (SELECT id FROM item_origin WHERE coop_id = $1) TO STDOUT (FORMAT binary)";

struct known {
	bool read;            /* the pool was; else everything may be there */
	uint64_t *filter;     /* ids; contents too where there is no table */
	uint64_t filter_mask; /* of bits */
	struct content_table standing; /* items by content; flagged: the database must be asked. No places: no table */
	uint8_t *marks;       /* a bit an item */
	int64_t items;
};

bool known_is_exact(const struct known *k)
{
	return k->standing.place != NULL;
}

/* ---- The filter ---- */

/* Four bits each. Digests and random ids are as good as hashes; ids that somebody chose only cost a question more. */
static void filter_bits(const struct known *k, const uint8_t p[16], uint64_t at[4])
{
	uint32_t word[4];
	memcpy(word, p, sizeof(word));
	for (int i = 0; i < 4; i++)
		at[i] = word[i] & k->filter_mask;
}

static void filter_add(struct known *k, const uint8_t p[16])
{
	uint64_t at[4];
	filter_bits(k, p, at);
	for (int i = 0; i < 4; i++)
		k->filter[at[i] >> 6] |= UINT64_C(1) << (at[i] & 63);
}

static bool filter_has(const struct known *k, const uint8_t p[16])
{
	uint64_t at[4];
	filter_bits(k, p, at);
	for (int i = 0; i < 4; i++)
		if (!(k->filter[at[i] >> 6] >> (at[i] & 63) & 1))
			return false;
	return true;
}

/* ---- The table ---- */

/* pool_item_stands */
static bool stands(uint64_t word)
{
	return ITEM_MODERATION(word) == POLICY_MODERATION_APPROVED && !(word & ITEM_GONE);
}

/* The first that stands counts. What does not may be its contributor's own. */
static bool table_add(struct known *k, const uint8_t hash[32], uint64_t word, uint32_t item)
{
	struct content_place *p = content_table_put(&k->standing, hash, item);
	if (p && !stands(word))
		p->more |= CONTENT_FLAG;
	return p != NULL;
}

/* ---- Reading the pool ---- */

struct reading { struct call *call; struct known *known; };

static enum err take_segment(void *arg, const struct pool_segment *s)
{
	struct reading *r = arg;
	struct known *k = r->known;
	for (size_t i = 0; i < s->n; i++) {
		int64_t item = (int64_t)s->no * POOL_SEGMENT + (int64_t)i;
		filter_add(k, s->ids[i]);
		if (!known_is_exact(k))
			filter_add(k, s->hashes[i]);
		else if (item < k->items && !table_add(k, s->hashes[i], s->words[i], (uint32_t)item))
			return fail(r->call, ERR_NO_MEMORY, "There is no memory to look for duplicates.");
	}
	return ERR_OK;
}

static enum err take_origin(void *arg, const struct copy_field *f, int n)
{
	if (n == 1 && f[0].n == 16)
		filter_add(arg, f[0].p);
	return ERR_OK;
}

static bool room_make(struct known *k)
{
	uint64_t bits = 1 << 16;
	bool exact = content_table_bytes((size_t)k->items) <= KNOWN_BYTES_MAX;
	while (bits < FILTER_BITS_MAX && bits < (uint64_t)k->items * FILTER_BITS_ITEM * (exact ? 1 : 2))
		bits *= 2;
	k->filter = calloc(bits / 64, sizeof(*k->filter));
	k->filter_mask = bits - 1;
	if (!exact)
		return k->filter != NULL;
	k->marks = calloc((size_t)k->items / 8 + 1, 1);
	return k->filter && k->marks && content_table_init(&k->standing, (size_t)k->items);
}

enum err known_make(struct call *c, struct uuid coop, int64_t items, int64_t expected, struct known **out)
{
	struct known *k = *out = calloc(1, sizeof(*k));
	if (!k)
		return fail(c, ERR_NO_MEMORY, "There is no memory to look for duplicates.");
	k->items = items;
	if (items > READ_FROM * expected)
		return ERR_OK;
	if (!room_make(k))
		return fail(c, ERR_NO_MEMORY, "There is no memory to look for duplicates.");
	k->read = true;
	TRY(pool_scan_columns(c, coop, POOL_IDS | POOL_HASHES | (known_is_exact(k) ? POOL_WORDS | POOL_AS_WRITTEN : 0u), take_segment, &(struct reading){ c, k }));
	return db_copy_out(c, origin_ids_copy, (struct db_arg[]){ A_UUID(coop) }, 1, take_origin, k);
}

void known_free(struct known *k)
{
	if (!k)
		return;
	free(k->filter);
	content_table_free(&k->standing);
	free(k->marks);
	free(k);
}

/* ---- Looking ---- */

enum known_content known_content(const struct known *k, struct sha256 hash, int64_t *item)
{
	if (!known_is_exact(k))
		return !k->read || filter_has(k, hash.b) ? KNOWN_ASK : KNOWN_NOT;
	const struct content_place *p = content_table_find(&k->standing, hash.b);
	if (!p)
		return KNOWN_NOT;
	*item = p->number;
	return p->more & CONTENT_FLAG ? KNOWN_ASK : KNOWN_STANDS;
}

bool known_id(const struct known *k, struct uuid id)
{
	return !k->read || filter_has(k, id.b);
}

void known_mark(struct known *k, int64_t item)
{
	k->marks[item >> 3] |= (uint8_t)(1u << (item & 7));
}

/* ---- Once more ---- */

struct again { const struct known *known; known_placed placed; const void *arg; bool met; };

static bool marked(const struct known *k, int64_t item)
{
	return k->marks && item < k->items && (k->marks[item >> 3] >> (item & 7) & 1);
}

static enum err look_again(void *arg, const struct pool_segment *s)
{
	struct again *a = arg;
	for (size_t i = 0; i < s->n; i++) {
		bool up = stands(s->words[i]);
		a->met |= up ? a->placed(a->arg, sha256_load(str_make(s->hashes[i], 32))) : marked(a->known, (int64_t)s->no * POOL_SEGMENT + (int64_t)i);
	}
	return ERR_OK;
}

enum err known_still(struct call *c, struct uuid coop, const struct known *k, known_placed placed, const void *arg, bool *still)
{
	struct again a = { k, placed, arg, false };
	TRY(pool_scan_columns(c, coop, POOL_HASHES | POOL_WORDS | POOL_AS_WRITTEN, look_again, &a));
	*still = !a.met;
	return ERR_OK;
}
