/* id.h - identifiers: random UUIDs (RFC 9562 version 4) and the federated ids built on them.
 *
 * Version 7 is not used: it would leak when a person contributed.
 */
#ifndef COMMONHOLD_ID_H
#define COMMONHOLD_ID_H

#include "str.h"

struct uuid { uint8_t b[16]; };

struct uuid uuid_new(void);
/* Of sixteen random bytes that the caller has already. */
struct uuid uuid_of_random(struct uuid random);
CH_CHECK bool uuid_parse(struct str s, struct uuid *out);
#define UUID_TEXT 36
/* Lower-case, without a NUL. */
void uuid_write(struct uuid u, char out[UUID_TEXT]);
/* The same in the arena. */
struct str uuid_format(struct arena *a, struct uuid u);
/* The same; absent for the nil UUID, which JSON writers write as null. */
struct str uuid_format_or_none(struct arena *a, struct uuid u);
static inline bool uuid_eq(struct uuid a, struct uuid b) { return memcmp(a.b, b.b, 16) == 0; }
static inline int uuid_cmp(struct uuid a, struct uuid b) { return memcmp(a.b, b.b, 16); }
bool uuid_is_nil(struct uuid u);

/* A co-op's self-certifying name: 16 lower-case base32 characters (RFC 4648, no padding) of SHA-256 of its first public key. */
struct str coop_key_name(struct arena *a, const uint8_t public_key[32]);
/* "dc:<coop>:<uuidv4>", the federated id of a contribution. */
struct str rid_format(struct arena *a, struct str coop_name, struct uuid u);
CH_CHECK bool rid_parse(struct str s, struct str *coop_name, struct uuid *u);

#endif
