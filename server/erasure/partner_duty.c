/* What other co-ops owe that hold our items, or items that we passed on: duties like those of mirrors, counted by tombstone, since receipts come in parts and in any order. */
#include "server/erasure/mirror/mirror_internal.h"

#define RANGES "(SELECT coalesce(range_agg(int8range(i, i, '[]')), '{}'::int8multirange) FROM unnest($3::bigint[]) i)"
/* More may be told of after the rest was confirmed: then it is open again. */
SQL(partner_owes,
	"INSERT INTO duty AS d (coop_id, id, erasure_id, kind, partner, partner_name, through, told, seen, first_idx, upto, releases, announced_at, due_at) "
	"SELECT $1, $4, $2, 'partner', $5, $6, $7, " RANGES ", '{}', $8, $9, '{}', commonhold_now(), $10 "
	"ON CONFLICT ON CONSTRAINT a_recipient_owes_once_for_an_erasure DO UPDATE SET told = d.told + excluded.told, first_idx = least(d.first_idx, excluded.first_idx), "
	"upto = greatest(d.upto, excluded.upto), through = CASE WHEN excluded.through IS NULL THEN NULL ELSE d.through END, "
	"partner_name = CASE WHEN excluded.partner_name = excluded.partner THEN d.partner_name ELSE excluded.partner_name END, "
	"confirmed_at = CASE WHEN excluded.told <@ d.seen THEN d.confirmed_at END, method = CASE WHEN excluded.told <@ d.seen THEN d.method END, "
	"ended_at = CASE WHEN excluded.told <@ d.seen THEN d.ended_at END WHERE NOT excluded.told <@ d.told OR (excluded.through IS NULL AND d.through IS NOT NULL)");
SQL(partner_saw,
	"UPDATE duty SET seen = seen + " RANGES " WHERE coop_id = $1 AND erasure_id = $2 AND partner = $4 RETURNING told <@ seen, confirmed_at IS NOT NULL");
SQL(partner_met, "UPDATE duty SET confirmed_at = commonhold_now(), method = $4, ended_at = coalesce(ended_at, commonhold_now()) WHERE coop_id = $1 AND erasure_id = $2 AND partner = $3");

enum err mirror_owe_partner(struct call *c, struct uuid coop, const struct partner_duty *d)
{
	int64_t first = INT64_MAX, upto = -1;
	for (size_t i = 0; i < d->n; i++) {
		first = d->idx[i] < first ? d->idx[i] : first;
		upto = d->idx[i] > upto ? d->idx[i] : upto;
	}
	if (d->n == 0)
		return ERR_OK;
	TRY(db_exec(c, partner_owes, A_UUID(coop), A_UUID(d->erasure), A_I64S(d->idx, d->n), A_UUID(uuid_new()), A_STR(d->partner), A_STR(d->name.n ? d->name : d->partner), A_STR(d->through),
		A_I64(first), A_I64(upto), A_TIME(d->due)));
	return mirror_measure(c, coop);
}

enum err mirror_partner_said(struct call *c, struct uuid coop, const struct partner_duty *d, struct str method, bool *confirmed)
{
	struct rows r;
	*confirmed = false;
	TRY(db_query(c, partner_saw, &r, A_UUID(coop), A_UUID(d->erasure), A_I64S(d->idx, d->n), A_STR(d->partner)));
	if (r.n == 0)
		return ERR_OK;
	*confirmed = row_bool(&r, 0, 0);
	if (!*confirmed || row_bool(&r, 0, 1))
		return ERR_OK;
	TRY(db_exec(c, partner_met, A_UUID(coop), A_UUID(d->erasure), A_STR(d->partner), A_STR(method)));
	TRY(mirror_measure(c, coop));
	return duty_settle(c, coop, &d->erasure, 1);
}
