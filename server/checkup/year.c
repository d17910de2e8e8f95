#include "checkup_internal.h"

#include "commonhold/benefit.h"
#include "commonhold/release.h"

/* What happened with one member's data in a year: what went out, who was let in, what it earned. Counted once per release when it is published ("checkup.count"), so that reading it
 * costs the same for ten contributions and ten thousand. */

#define SHOWN_RELEASES 24
#define SHOWN_ACCESSES 24

SQL(year_releases,
	"SELECT r.id, r.version, r.published_at, s.items FROM release_share s JOIN release r ON r.coop_id = s.coop_id AND r.id = s.release_id "
	"WHERE s.coop_id = $1 AND s.member_no = $2 AND r.published_at >= $3 ORDER BY r.published_at DESC LIMIT $4");
SQL(year_accesses,
	"SELECT q.organisation, g.purpose, g.granted_at FROM access_grant g JOIN access_request q ON q.coop_id = g.coop_id AND q.id = g.request_id "
	"WHERE g.coop_id = $1 AND g.granted_at >= $3 AND EXISTS (SELECT FROM release_share s WHERE s.coop_id = $1 AND s.member_no = $2 AND (g.release_id IS NULL OR s.release_id = g.release_id)) "
	"ORDER BY g.granted_at DESC LIMIT $4");
SQL(counted_claim, "INSERT INTO release_counted (coop_id, release_id, at) SELECT coop_id, id, commonhold_now() FROM release WHERE coop_id = $1 AND id = $2 AND published_at IS NOT NULL "
	"ON CONFLICT DO NOTHING RETURNING 1");
SQL(counted_members, "SELECT coalesce(max(number) + 1, 0)::bigint FROM membership WHERE coop_id = $1");
SQL(share_insert, "INSERT INTO release_share (coop_id, member_no, release_id, items) SELECT $1, m, $2, i FROM unnest($3::bigint[], $4::bigint[]) x (m, i)");

enum err year_read(struct call *c, const struct member *m, instant from, struct checkup_year *out)
{
	struct rows r;
	struct benefit_statement earned;
	*out = (struct checkup_year){ .from = from, .to = clock_now() };
	TRY(db_query(c, year_releases, &r, A_UUID(m->coop), A_INT(m->number), A_TIME(from), A_I64(SHOWN_RELEASES)));
	out->n_releases = (size_t)r.n;
	out->releases = ARENA_ARRAY(c->arena, out->n_releases + 1, struct checkup_release);
	for (int i = 0; i < r.n; i++)
		out->releases[i] = (struct checkup_release){ row_uuid(&r, i, 0), row_str(&r, i, 1), row_time(&r, i, 2), row_int(&r, i, 3) };
	TRY(db_query(c, year_accesses, &r, A_UUID(m->coop), A_INT(m->number), A_TIME(from), A_I64(SHOWN_ACCESSES)));
	out->n_accesses = (size_t)r.n;
	out->accesses = ARENA_ARRAY(c->arena, out->n_accesses + 1, struct checkup_access);
	for (int i = 0; i < r.n; i++)
		out->accesses[i] = (struct checkup_access){ row_str(&r, i, 0), row_str(&r, i, 1), row_time(&r, i, 2) };
	TRY(benefit_statement_of(c, m->coop, m->id, from, INSTANT_NEVER, &earned));
	out->money = ARENA_ARRAY(c->arena, earned.n_balances + 1, struct checkup_money);
	for (size_t i = 0; i < earned.n_balances; i++)
		if (earned.balances[i].earned != 0)
			out->money[out->n_money++] = (struct checkup_money){ earned.balances[i].currency, earned.balances[i].earned };
	return ERR_OK;
}

/* ---- Counting ---- */

/* Claims the release and counts it in one transaction: repeated, it changes nothing. */
enum err count_release(struct call *c, struct uuid coop, struct uuid release)
{
	struct rows r;
	TRY(db_begin_in(c, coop, DB_WRITE));
	TRY(db_query(c, counted_claim, &r, A_UUID(coop), A_UUID(release)));
	if (r.n == 0)
		return db_commit(c);
	TRY(db_one(c, counted_members, &r, A_UUID(coop)));
	size_t n = (size_t)row_int(&r, 0, 0), k = 0;
	int64_t *items = ARENA_ARRAY(c->arena, n + 1, int64_t), *numbers = ARENA_ARRAY(c->arena, n + 1, int64_t);
	TRY(release_weights(c, coop, release, n, items));
	for (size_t i = 0; i < n; i++)
		if (items[i] > 0) {
			numbers[k] = (int64_t)i;
			items[k++] = items[i];
		}
	if (k)
		TRY(db_exec(c, share_insert, A_UUID(coop), A_UUID(release), A_I64S(numbers, k), A_I64S(items, k)));
	return db_commit(c);
}
