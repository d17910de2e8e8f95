/* derive.c - what items were made from. */
#include "commonhold/db.h"
#include "commonhold/job.h"
#include "commonhold/pool.h"

SQL(derivations_insert,
	"INSERT INTO derivation (coop_id, id, home, source, copied) SELECT $1, u.id, u.home, u.source, bool_or(u.copied <> 0) "
	"FROM unnest($2::uuid[], $3::text[], $4::uuid[], $5::bigint[]) AS u (id, home, source, copied) GROUP BY 2, 3, 4 ON CONFLICT DO NOTHING");

enum err pool_derive(struct call *c, struct uuid coop, const struct pool_derivation *d, size_t n)
{
	struct uuid *items = ARENA_ARRAY(c->arena, n + 1, struct uuid), *sources = ARENA_ARRAY(c->arena, n + 1, struct uuid);
	struct str *homes = ARENA_ARRAY(c->arena, n + 1, struct str);
	int64_t *copied = ARENA_ARRAY(c->arena, n + 1, int64_t);
	bool any = false;
	if (n == 0)
		return ERR_OK;
	for (size_t i = 0; i < n; i++) {
		items[i] = d[i].item;
		homes[i] = d[i].home;
		sources[i] = d[i].source;
		copied[i] = d[i].copied;
		any |= d[i].copied;
	}
	TRY(db_exec(c, derivations_insert, A_UUID(coop), A_UUIDS(items, n), A_TEXTS(homes, n), A_UUIDS(sources, n), A_I64S(copied, n)));
	return any ? job_queue(c, "onward.derived", uuid_format(c->arena, coop), job_args(c->arena, coop, "line", coop), clock_now()) : ERR_OK;
}
