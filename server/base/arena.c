#include "commonhold/arena.h"

#include <stdalign.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#if defined(__SANITIZE_ADDRESS__)
#include <sanitizer/asan_interface.h>
#define ARENA_POISON(p, n) ASAN_POISON_MEMORY_REGION((p), (n))
#define ARENA_UNPOISON(p, n) ASAN_UNPOISON_MEMORY_REGION((p), (n))
#else
#define ARENA_POISON(p, n) ((void)(p), (void)(n))
#define ARENA_UNPOISON(p, n) ((void)(p), (void)(n))
#endif

#define BLOCK_MIN ((size_t)64 * 1024) /* the first block stays from request to request: what most of them need fits in */
#define BLOCK_MAX ((size_t)1024 * 1024)
#define ALIGNMENT alignof(max_align_t)

struct block {
	struct block *older; /* the block that was full before this one */
	size_t size;         /* usable bytes after the header */
	size_t used;         /* bytes handed out of it */
	max_align_t data[];
};

struct defer {
	struct defer *older; /* runs after this one */
	void (*fn)(void *);
	void *arg;
};

struct arena {
	struct block *newest;  /* allocations come from here */
	struct block *spare;   /* full-sized blocks given back and kept */
	size_t spares, keep;   /* how many, and how many at most */
	struct defer *defers;  /* newest first */
	size_t total;          /* bytes handed out */
	size_t max;            /* hard cap on total */
	jmp_buf *guard;        /* where to go when memory is short, or NULL */
};

static struct block *block_new(size_t size, struct block *older)
{
	struct block *b = malloc(sizeof(*b) + size);
	if (!b)
		return NULL;
	b->older = older;
	b->size = size;
	b->used = 0;
	ARENA_POISON(b->data, size);
	return b;
}

static void block_free(struct block *b)
{
	ARENA_UNPOISON(b->data, b->size);
	free(b);
}

static void block_give_back(struct arena *a, struct block *b)
{
	if (b->size != BLOCK_MAX || a->spares >= a->keep) {
		block_free(b);
		return;
	}
	ARENA_POISON(b->data, b->size);
	b->older = a->spare;
	a->spare = b;
	a->spares++;
}

static struct block *block_take_spare(struct arena *a)
{
	struct block *b = a->spare;
	if (b) {
		a->spare = b->older;
		a->spares--;
		b->older = a->newest;
		b->used = 0;
	}
	return b;
}

struct arena *arena_new(size_t max_bytes)
{
	struct arena *a = calloc(1, sizeof(*a));
	if (!a)
		return NULL;
	a->max = max_bytes;
	a->newest = block_new(BLOCK_MIN, NULL);
	if (!a->newest) {
		free(a);
		return NULL;
	}
	return a;
}

void arena_rewind(struct arena *a, struct arena_mark mark)
{
	while (a->defers && a->defers != mark.defers) {
		struct defer *d = a->defers;
		a->defers = d->older;
		d->fn(d->arg);
	}
	while (a->newest != mark.block) {
		struct block *b = a->newest;
		a->newest = b->older;
		block_give_back(a, b);
	}
	ARENA_POISON((char *)a->newest->data + mark.used, a->newest->size - mark.used);
	a->newest->used = mark.used;
	a->total = mark.total;
}

struct arena_mark arena_mark(struct arena *a)
{
	return (struct arena_mark){ a->newest, a->newest->used, a->defers, a->total };
}

void arena_reset(struct arena *a)
{
	struct block *first = a->newest;
	while (first->older)
		first = first->older;
	arena_rewind(a, (struct arena_mark){ first, 0, NULL, 0 });
}

void arena_free(struct arena *a)
{
	if (!a)
		return;
	a->keep = 0;
	arena_reset(a);
	for (struct block *b; (b = a->spare);) {
		a->spare = b->older;
		block_free(b);
	}
	block_free(a->newest);
	free(a);
}

void arena_keep(struct arena *a, size_t bytes)
{
	a->keep = bytes / BLOCK_MAX;
}

static void *arena_exhausted(struct arena *a)
{
	if (a->guard)
		longjmp(*a->guard, 1);
	return NULL;
}

static bool arena_grow(struct arena *a, size_t need)
{
	size_t size = a->newest->size * 2;
	if (size > BLOCK_MAX)
		size = BLOCK_MAX;
	if (size < need)
		size = need;
	struct block *b = size == BLOCK_MAX ? block_take_spare(a) : NULL;
	if (!b)
		b = block_new(size, a->newest);
	if (!b)
		return false;
	a->newest = b;
	return true;
}

void *arena_take(struct arena *a, size_t n)
{
	if (n > a->max || a->total > a->max - n)
		return arena_exhausted(a);
	size_t need = (n + ALIGNMENT - 1) / ALIGNMENT * ALIGNMENT;
	if (need == 0)
		need = ALIGNMENT;
	if (a->newest->size - a->newest->used < need && !arena_grow(a, need))
		return arena_exhausted(a);
	struct block *b = a->newest;
	void *p = (char *)b->data + b->used;
	b->used += need;
	a->total += n;
	ARENA_UNPOISON(p, n ? n : 1);
	return p;
}

void *arena_alloc(struct arena *a, size_t n)
{
	void *p = arena_take(a, n);
	return p ? memset(p, 0, n) : NULL;
}

void *arena_array(struct arena *a, size_t n, size_t size)
{
	if (size && n > SIZE_MAX / size)
		return arena_exhausted(a);
	return arena_alloc(a, n * size);
}

bool arena_defer(struct arena *a, void (*fn)(void *), void *arg)
{
	/* Without the jump: what is to be released must be released even if there is no room to remember it. */
	jmp_buf *guard = a->guard;
	a->guard = NULL;
	struct defer *d = ARENA_NEW(a, struct defer);
	a->guard = guard;
	if (!d) {
		fn(arg);
		arena_exhausted(a);
		return false;
	}
	*d = (struct defer){ a->defers, fn, arg };
	a->defers = d;
	return true;
}

size_t arena_used(const struct arena *a)
{
	return a->total;
}

void arena_guard(struct arena *a, jmp_buf *where)
{
	a->guard = where;
}
