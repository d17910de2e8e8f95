/* pool_world.h - a co-op with members for tests of the pool: made past the operations, so that these tests need the pool and the log alone. */
#ifndef COMMONHOLD_TESTS_POOL_WORLD_H
#define COMMONHOLD_TESTS_POOL_WORLD_H

#include "fixture.h"

#include "commonhold/json.h"
#include "commonhold/pool.h"

/* A co-op whose charter is the defaults with `fields` (JSON members, such as "\"moderation\":{\"mode\":\"hold\"}") put in; NULL or "" for none. */
struct uuid world_coop(const char *fields);
/* A new version of its charter. */
void world_charter(struct uuid coop, const char *fields);
/* A member in a state ("active", "lapsed" …) and a call that acts as them. The first member of a co-op is its admin. */
struct call *world_member(struct uuid coop, const char *state);
/* Another call of the same person. */
struct call *world_again(const struct call *c);
/* A submission out of JSON text. */
const struct json *world_json(struct call *c, const char *text);
/* An example with this input. */
const struct json *world_example(struct call *c, const char *input);
struct receipt world_submit(struct call *c, struct uuid coop, const char *input);

#endif
