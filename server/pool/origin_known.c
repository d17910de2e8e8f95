#include "server/pool/origin_known.h"

#include "server/pool/pool_internal.h"

#include "commonhold/db.h"

#include <sodium.h>
#include <stdlib.h>

#define FILTER_BITS_MAX ((uint64_t)1 << 30)
#define FILTER_BITS_ITEM 48  /* at least, for an id; twice that where contents are in the filter too */
#define READ_FROM 4          /* the pool is read through when it has at most so many items for each expected record; else the database is asked about each */
#define KNOWN_BYTES_MAX ((size_t)40 * MIB) /* of the exact table */
#define ASK_BIT UINT32_C(1)

static const char origin_ids_copy[] = "COPY (SELECT id FROM item_origin WHERE coop_id = $1) TO STDOUT (FORMAT binary)";

/* A content: 64 bits of its keyed hash, 31 more, and whether the database must be asked; the item. All zero: free. */
struct place { uint64_t tag; uint32_t more; uint32_t item; };

struct known {
	unsigned char key[crypto_shorthash_siphashx24_KEYBYTES];
	bool read;            /* the pool was; else everything may be there */
	uint64_t *filter;     /* ids; contents too where there is no table */
	uint64_t filter_mask; /* of bits */
	struct place *place;  /* NULL: no table. Open addressing */
	uint32_t places;
	uint8_t *marks;       /* a bit an item */
	int64_t items;
};

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

/* Nobody can choose contents that meet here: the key is this process's own, and new each time. */
static struct place tag_of(const struct known *k, const uint8_t hash[32])
{
	uint64_t h[2];
	crypto_shorthash_siphashx24((unsigned char *)h, hash, 32, k->key);
	return (struct place){ .tag = h[0] + (h[0] == 0), .more = (uint32_t)h[1] & ~ASK_BIT };
}

static struct place *place_find(const struct known *k, struct place t)
{
	uint32_t at = (uint32_t)((t.tag >> 32) * k->places >> 32);
	while (k->place[at].tag && (k->place[at].tag != t.tag || (k->place[at].more & ~ASK_BIT) != t.more))
		at = at + 1 == k->places ? 0 : at + 1;
	return &k->place[at];
}

/* pool_item_stands */
static bool stands(uint64_t word)
{
	return ITEM_MODERATION(word) == POLICY_MODERATION_APPROVED && !(word & ITEM_GONE);
}

/* The first that stands counts. What does not may be its contributor's own. */
static void table_add(struct known *k, const uint8_t hash[32], uint64_t word, uint32_t item)
{
	struct place t = tag_of(k, hash), *p = place_find(k, t);
	if (!p->tag)
		*p = (struct place){ t.tag, t.more, item };
	if (!stands(word))
		p->more |= ASK_BIT;
}

/* ---- Reading the pool ---- */

static enum err take_segment(void *arg, const struct pool_segment *s)
{
	struct known *k = arg;
	for (size_t i = 0; i < s->n; i++) {
		int64_t item = (int64_t)s->no * POOL_SEGMENT + (int64_t)i;
		filter_add(k, s->ids[i]);
		if (!k->place)
			filter_add(k, s->hashes[i]);
		else if (item < k->items)
			table_add(k, s->hashes[i], s->words[i], (uint32_t)item);
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
	uint64_t bits = 1 << 16, places = (uint64_t)k->items + (uint64_t)k->items / 3 + 64;
	bool exact = places * sizeof(*k->place) <= KNOWN_BYTES_MAX;
	while (bits < FILTER_BITS_MAX && bits < (uint64_t)k->items * FILTER_BITS_ITEM * (exact ? 1 : 2))
		bits *= 2;
	k->filter = calloc(bits / 64, sizeof(*k->filter));
	k->filter_mask = bits - 1;
	if (!exact)
		return k->filter != NULL;
	k->places = (uint32_t)places;
	k->place = calloc(places, sizeof(*k->place));
	k->marks = calloc((size_t)k->items / 8 + 1, 1);
	return k->filter && k->place && k->marks;
}

enum err known_make(struct call *c, struct uuid coop, int64_t items, int64_t expected, struct known **out)
{
	struct known *k = *out = calloc(1, sizeof(*k));
	if (!k)
		return fail(c, ERR_NO_MEMORY, "There is no memory to look for duplicates.");
	k->items = items;
	random_bytes(k->key, sizeof(k->key));
	if (items > READ_FROM * expected)
		return ERR_OK;
	if (!room_make(k))
		return fail(c, ERR_NO_MEMORY, "There is no memory to look for duplicates.");
	k->read = true;
	TRY(pool_scan_columns(c, coop, POOL_IDS | POOL_HASHES | (k->place ? POOL_WORDS | POOL_AS_WRITTEN : 0u), take_segment, k));
	return db_copy_out(c, origin_ids_copy, (struct db_arg[]){ A_UUID(coop) }, 1, take_origin, k);
}

void known_free(struct known *k)
{
	if (!k)
		return;
	free(k->filter);
	free(k->place);
	free(k->marks);
	free(k);
}

/* ---- Looking ---- */

enum known_content known_content(const struct known *k, struct sha256 hash, int64_t *item)
{
	if (!k->place)
		return !k->read || filter_has(k, hash.b) ? KNOWN_ASK : KNOWN_NOT;
	const struct place *p = place_find(k, tag_of(k, hash.b));
	if (!p->tag)
		return KNOWN_NOT;
	*item = p->item;
	return p->more & ASK_BIT ? KNOWN_ASK : KNOWN_STANDS;
}

bool known_id(const struct known *k, struct uuid id)
{
	return !k->read || filter_has(k, id.b);
}

bool known_is_exact(const struct known *k)
{
	return k->place != NULL;
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
