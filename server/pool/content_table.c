#include "server/pool/content_table.h"

#include "commonhold/crypto.h"

#include <sodium.h>
#include <stdlib.h>

static size_t places_for(size_t contents)
{
	return contents + contents / 3 + 64;
}

size_t content_table_bytes(size_t contents)
{
	return places_for(contents) * sizeof(struct content_place);
}

bool content_table_init(struct content_table *t, size_t contents)
{
	*t = (struct content_table){ .places = (uint32_t)places_for(contents) };
	random_bytes(t->key, sizeof(t->key));
	t->place = contents < UINT32_MAX / 2 ? calloc(t->places, sizeof(*t->place)) : NULL;
	return t->place != NULL;
}

void content_table_free(struct content_table *t)
{
	free(t->place);
	t->place = NULL;
}

static struct content_place tag_of(const struct content_table *t, const uint8_t hash[32])
{
	uint64_t h[2];
	crypto_shorthash_siphashx24((unsigned char *)h, hash, 32, t->key);
	return (struct content_place){ .tag = h[0] + (h[0] == 0), .more = (uint32_t)h[1] & ~CONTENT_FLAG };
}

static struct content_place *place_of(const struct content_table *t, const struct content_place *tag)
{
	uint32_t at = (uint32_t)((tag->tag >> 32) * t->places >> 32);
	while (t->place[at].tag && (t->place[at].tag != tag->tag || (t->place[at].more & ~CONTENT_FLAG) != tag->more))
		at = at + 1 == t->places ? 0 : at + 1;
	return &t->place[at];
}

const struct content_place *content_table_find(const struct content_table *t, const uint8_t hash[32])
{
	struct content_place tag = tag_of(t, hash);
	const struct content_place *p = place_of(t, &tag);
	return p->tag ? p : NULL;
}

static bool grow(struct content_table *t)
{
	struct content_table bigger = *t;
	if (t->places > UINT32_MAX / 2)
		return false;
	bigger.places = t->places * 2;
	bigger.place = calloc(bigger.places, sizeof(*bigger.place));
	if (!bigger.place)
		return false;
	for (uint32_t i = 0; i < t->places; i++)
		if (t->place[i].tag)
			*place_of(&bigger, &(struct content_place){ t->place[i].tag, t->place[i].more & ~CONTENT_FLAG, 0 }) = t->place[i];
	free(t->place);
	*t = bigger;
	return true;
}

struct content_place *content_table_put(struct content_table *t, const uint8_t hash[32], uint32_t number)
{
	if ((uint64_t)t->n * 5 >= (uint64_t)t->places * 4 && !grow(t))
		return NULL;
	struct content_place tag = tag_of(t, hash), *p = place_of(t, &tag);
	if (!p->tag) {
		*p = (struct content_place){ tag.tag, tag.more, number };
		t->n++;
	}
	return p;
}
