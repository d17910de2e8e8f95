/* mirror_world_internal.h - what the two files of the made-up co-op share. */
#ifndef COMMONHOLD_TESTS_MIRROR_WORLD_INTERNAL_H
#define COMMONHOLD_TESTS_MIRROR_WORLD_INTERNAL_H

#include "mirror_world.h"

_Noreturn void world_die(const char *fmt, ...) CH_PRINTF(1, 2);
void leaf_add(struct world *w, struct str entry);
struct str world_canonical(struct arena *a, struct str text);
enum err world_hash_at(void *arg, unsigned level, uint64_t index, struct sha256 *out);
void world_serve(struct world *w);
void world_stop(struct world *w);

#endif
