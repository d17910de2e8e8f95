/* arena.h - the memory of one request or one job: allocate, never free singly, reset at the end.
 *
 * An arena has a hard cap. When the cap or the machine's memory is reached, arena_alloc calls the arena's
 * out-of-memory jump if one is armed (arena_guard), so that code between does not test every small allocation.
 * The router and the job runner arm it; they answer 503 and reset. Without a guard it returns NULL.
 *
 * Foreign resources (PGresult, descriptors of files) are tied to the arena by arena_defer and released in
 * reverse order when it is reset: ownership is always the arena's.
 */
#ifndef COMMONHOLD_ARENA_H
#define COMMONHOLD_ARENA_H

#include <setjmp.h>
#include <stdbool.h>
#include <stddef.h>

struct arena;

/* A new arena that may hand out at most max_bytes; NULL when memory is short. */
struct arena *arena_new(size_t max_bytes);
/* Runs the defers in reverse order and gives all memory back but the first block. */
void arena_reset(struct arena *a);
/* From now on up to so many bytes of what a reset or rewind gives back stay with the arena for its next use: for arenas that are filled and reset again and again. */
void arena_keep(struct arena *a, size_t bytes);
/* Reset, and frees the arena itself. NULL is allowed. */
void arena_free(struct arena *a);

/* Zeroed memory, aligned for any type. */
void *arena_alloc(struct arena *a, size_t n);
/* The same as it comes, not zeroed: for what is overwritten at once. */
void *arena_take(struct arena *a, size_t n);
/* n elements; overflow counts as out of memory. */
void *arena_array(struct arena *a, size_t n, size_t size);
/* fn(arg) at reset. When there is no memory to remember it, at once, before the jump or return; then false: arg is not to be used. */
bool arena_defer(struct arena *a, void (*fn)(void *), void *arg);
/* Bytes handed out since the last reset. */
size_t arena_used(const struct arena *a);

/* A place to return to: what is allocated after arena_mark is given back by arena_rewind (its defers run). For
 * loops over many rows inside one job. */
struct arena_mark { void *block; size_t used; void *defers; size_t total; };
struct arena_mark arena_mark(struct arena *a);
void arena_rewind(struct arena *a, struct arena_mark mark);

/* Arms the out-of-memory jump; NULL disarms. The caller owns the buffer and has called setjmp on it. */
void arena_guard(struct arena *a, jmp_buf *where);

#define ARENA_NEW(a, type) ((type *)arena_alloc((a), sizeof(type)))
#define ARENA_ARRAY(a, n, type) ((type *)arena_array((a), (n), sizeof(type)))

#endif
