/* secret_cache.h - unwrapped keys in memory: bounded, least recently used out first, wiped when they leave, forgotten after a minute, so that a key which another
 * process destroyed does not live on here. */
#ifndef COMMONHOLD_LEDGER_SECRET_CACHE_H
#define COMMONHOLD_LEDGER_SECRET_CACHE_H

#include "commonhold/id.h"

struct secret_cache;
/* What a secret belongs to. */
struct secret_name { struct uuid coop, member; };

/* At most `capacity` secrets of `size` bytes; NULL when memory is short. */
struct secret_cache *secret_cache_new(size_t capacity, size_t size);
void secret_cache_free(struct secret_cache *s);
/* Copies the secret out; false when it is not there or too old. Thread-safe, as all here. */
bool secret_cache_get(struct secret_cache *s, const struct secret_name *name, void *out);
void secret_cache_put(struct secret_cache *s, const struct secret_name *name, const void *secret);
void secret_cache_drop(struct secret_cache *s, const struct secret_name *name);
void secret_cache_clear(struct secret_cache *s);

#endif
