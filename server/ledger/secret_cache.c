#include "server/ledger/secret_cache.h"
#include "commonhold/clock.h"
#include "commonhold/crypto.h"

#include <pthread.h>

#define AGE_MAX (60 * CLOCK_SECOND)
#define NONE UINT32_MAX

/* A place in the cache; links are positions. */
struct entry {
	struct secret_name name;
	int64_t since;      /* clock_tick when it was put */
	uint32_t chain;     /* next in the bucket, or next free */
	uint32_t newer;     /* towards the most recently used */
	uint32_t older;
};

struct secret_cache {
	pthread_mutex_t lock;    /* guards all below */
	uint32_t capacity;
	size_t size;             /* bytes of a secret */
	uint32_t newest, oldest; /* ends of the order of use */
	uint32_t free;           /* first free place */
	uint32_t buckets;        /* a power of two */
	uint32_t *bucket;        /* first place of each bucket */
	struct entry *entries;
	uint8_t *secrets;        /* capacity times size */
};

static uint32_t bucket_of(const struct secret_cache *s, const struct secret_name *name)
{
	/* the names are random UUIDs: some bytes of them are hash enough */
	uint32_t a, b;
	memcpy(&a, name->coop.b, sizeof(a));
	memcpy(&b, name->member.b, sizeof(b));
	return (a * 31 ^ b) & (s->buckets - 1);
}

static void all_free(struct secret_cache *s)
{
	for (uint32_t i = 0; i < s->buckets; i++)
		s->bucket[i] = NONE;
	for (uint32_t i = 0; i < s->capacity; i++)
		s->entries[i].chain = i + 1 < s->capacity ? i + 1 : NONE;
	s->free = 0;
	s->newest = s->oldest = NONE;
	secret_wipe(s->secrets, s->capacity * s->size);
}

struct secret_cache *secret_cache_new(size_t capacity, size_t size)
{
	struct secret_cache *s = calloc(1, sizeof(*s));
	if (!s)
		return NULL;
	s->capacity = (uint32_t)capacity;
	s->size = size;
	for (s->buckets = 16; s->buckets < capacity; s->buckets *= 2)
		continue;
	s->bucket = calloc(s->buckets, sizeof(*s->bucket));
	s->entries = calloc(capacity, sizeof(*s->entries));
	s->secrets = calloc(capacity, size);
	if (!s->bucket || !s->entries || !s->secrets || pthread_mutex_init(&s->lock, NULL) != 0) {
		free(s->bucket);
		free(s->entries);
		free(s->secrets);
		free(s);
		return NULL;
	}
	all_free(s);
	return s;
}

void secret_cache_free(struct secret_cache *s)
{
	if (!s)
		return;
	secret_wipe(s->secrets, s->capacity * s->size);
	pthread_mutex_destroy(&s->lock);
	free(s->bucket);
	free(s->entries);
	free(s->secrets);
	free(s);
}

static bool name_eq(const struct secret_name *a, const struct secret_name *b)
{
	return uuid_eq(a->member, b->member) && uuid_eq(a->coop, b->coop);
}

/* The link that leads to the name's place, or to NONE. */
static uint32_t *find(struct secret_cache *s, const struct secret_name *name)
{
	uint32_t *link = &s->bucket[bucket_of(s, name)];
	while (*link != NONE && !name_eq(&s->entries[*link].name, name))
		link = &s->entries[*link].chain;
	return link;
}

static void order_out(struct secret_cache *s, uint32_t at)
{
	struct entry *e = &s->entries[at];
	*(e->newer == NONE ? &s->newest : &s->entries[e->newer].older) = e->older;
	*(e->older == NONE ? &s->oldest : &s->entries[e->older].newer) = e->newer;
}

static void order_in(struct secret_cache *s, uint32_t at)
{
	struct entry *e = &s->entries[at];
	e->newer = NONE;
	e->older = s->newest;
	*(s->newest == NONE ? &s->oldest : &s->entries[s->newest].newer) = at;
	s->newest = at;
}

static void drop(struct secret_cache *s, uint32_t *link)
{
	uint32_t at = *link;
	*link = s->entries[at].chain;
	order_out(s, at);
	secret_wipe(s->secrets + at * s->size, s->size);
	s->entries[at].chain = s->free;
	s->free = at;
}

bool secret_cache_get(struct secret_cache *s, const struct secret_name *name, void *out)
{
	pthread_mutex_lock(&s->lock);
	uint32_t *link = find(s, name), at = *link;
	bool there = at != NONE;
	if (there && clock_tick() - s->entries[at].since > AGE_MAX) {
		drop(s, link);
		there = false;
	}
	if (there) {
		memcpy(out, s->secrets + at * s->size, s->size);
		order_out(s, at);
		order_in(s, at);
	}
	pthread_mutex_unlock(&s->lock);
	return there;
}

void secret_cache_put(struct secret_cache *s, const struct secret_name *name, const void *secret)
{
	pthread_mutex_lock(&s->lock);
	uint32_t *link = find(s, name);
	if (*link != NONE)
		drop(s, link);
	if (s->free == NONE)
		drop(s, find(s, &s->entries[s->oldest].name));
	uint32_t at = s->free, *head = &s->bucket[bucket_of(s, name)];
	s->free = s->entries[at].chain;
	s->entries[at] = (struct entry){ .name = *name, .since = clock_tick(), .chain = *head };
	*head = at;
	memcpy(s->secrets + at * s->size, secret, s->size);
	order_in(s, at);
	pthread_mutex_unlock(&s->lock);
}

void secret_cache_drop(struct secret_cache *s, const struct secret_name *name)
{
	pthread_mutex_lock(&s->lock);
	uint32_t *link = find(s, name);
	if (*link != NONE)
		drop(s, link);
	pthread_mutex_unlock(&s->lock);
}

void secret_cache_clear(struct secret_cache *s)
{
	pthread_mutex_lock(&s->lock);
	all_free(s);
	pthread_mutex_unlock(&s->lock);
}
