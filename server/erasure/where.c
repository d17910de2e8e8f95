#include "server/erasure/where.h"

#include "commonhold/db.h"
#include "commonhold/pool.h"

SQL(where_versions,
	"SELECT DISTINCT v FROM (SELECT DISTINCT releases FROM tombstone WHERE coop_id = $1 AND erasure_id = $2) t, unnest(t.releases) v");
SQL(where_receipts,
	"SELECT d.id, r.digest FROM duty d JOIN receipt r ON r.coop_id = d.coop_id AND r.id = d.receipt_id WHERE d.coop_id = $1 AND d.erasure_id = $2 AND d.confirmed_at IS NOT NULL "
	"UNION ALL (SELECT DISTINCT ON (d.id) d.id, r.digest FROM duty d JOIN onward_receipt r ON r.coop_id = d.coop_id AND r.by = d.partner AND r.erasures @> ARRAY[d.erasure_id] "
	"WHERE d.coop_id = $1 AND d.erasure_id = $2 AND d.partner IS NOT NULL AND d.confirmed_at IS NOT NULL ORDER BY d.id, r.seq DESC)");
SQL(where_indexes, "SELECT contribution_id, idx FROM tombstone WHERE coop_id = $1 AND erasure_id = $2 ORDER BY idx LIMIT $3");

static bool holds_version(const struct str *versions, size_t n, struct str version)
{
	for (size_t i = 0; i < n; i++)
		if (str_eq(versions[i], version))
			return true;
	return false;
}

static enum err versions_of_tombstones(struct call *c, const struct erasure *e, struct str **out, size_t *n)
{
	struct rows r;
	TRY(db_begin_in(c, e->coop, DB_READ));
	TRY(db_finish(c, where_versions, &r, A_UUID(e->coop), A_UUID(e->id)));
	*n = (size_t)r.n;
	*out = ARENA_ARRAY(c->arena, *n + 1, struct str);
	for (int i = 0; i < r.n; i++)
		(*out)[i] = row_str(&r, i, 0);
	return ERR_OK;
}

/* While there are no tombstones: as the stored decisions on the first items say. */
static enum err versions_of_items(struct call *c, const struct erasure *e, struct str **out, size_t *n)
{
	struct erasure_item *items;
	struct release_holding holding;
	size_t n_items;
	TRY(erasure_items(c, e->coop, e->id, -1, ERASURE_ITEMS_MAX, &items, &n_items));
	int64_t *numbers = ARENA_ARRAY(c->arena, n_items + 1, int64_t);
	for (size_t i = 0; i < n_items; i++)
		numbers[i] = items[i].item_no;
	TRY(db_begin_in(c, e->coop, DB_READ));
	TRY(release_holding(c, e->coop, numbers, n_items, &holding));
	TRY(db_commit(c));
	*n = holding.n;
	*out = ARENA_ARRAY(c->arena, *n + 1, struct str);
	for (size_t i = 0; i < *n; i++)
		(*out)[i] = holding.releases[i].version;
	return ERR_OK;
}

static enum err copies_of(struct call *c, const struct erasure *e, struct where *out)
{
	struct duty *duties;
	struct str next;
	struct rows r;
	TRY(mirror_duties(c, e->coop, &(struct duty_filter){ .erasure = e->id, .limit = WHERE_COPIES }, &duties, &out->n_copies, &next));
	TRY(mirror_duty_counts(c, e->coop, e->id, &out->counts));
	TRY(db_query(c, where_receipts, &r, A_UUID(e->coop), A_UUID(e->id)));
	out->copies = ARENA_ARRAY(c->arena, out->n_copies + 1, struct where_copy);
	for (size_t i = 0; i < out->n_copies; i++) {
		out->copies[i].duty = duties[i];
		for (int k = 0; k < r.n; k++)
			if (uuid_eq(row_uuid(&r, k, 0), duties[i].id))
				out->copies[i].receipt = sha256_load(row_bytes(&r, k, 1));
	}
	return ERR_OK;
}

/* The list is newest first, what is shown oldest first. */
static enum err releases_of(struct call *c, struct uuid coop, const struct str *versions, size_t n, struct where *out)
{
	struct str cursor = STR_NONE;
	struct release *page;
	size_t n_page;
	out->releases = ARENA_ARRAY(c->arena, n + 1, struct release);
	out->n_releases = 0;
	while (out->n_releases < n) {
		TRY(release_list(c, coop, STR_NONE, cursor, LIMIT_PAGE, &page, &n_page, &cursor));
		for (size_t i = 0; i < n_page && out->n_releases < n; i++)
			if (page[i].version.p && holds_version(versions, n, page[i].version))
				out->releases[out->n_releases++] = page[i];
		if (!cursor.p)
			break;
	}
	for (size_t i = 0; i < out->n_releases / 2; i++) {
		struct release swap = out->releases[i];
		out->releases[i] = out->releases[out->n_releases - 1 - i];
		out->releases[out->n_releases - 1 - i] = swap;
	}
	return ERR_OK;
}

static enum err move_to(struct call *c, const struct where *where, struct str *out)
{
	struct release to;
	struct str patch;
	*out = STR_NONE;
	for (size_t i = where->n_releases; i-- > 0;) {
		if (where->releases[i].state != RELEASE_WITHDRAWN)
			continue;
		enum err e = release_move_to(c, &where->releases[i], &to, &patch);
		if (e == ERR_OK)
			*out = to.version;
		if (e == ERR_NOT_FOUND)
			error_clear(&c->error);
		return e == ERR_NOT_FOUND ? ERR_OK : e;
	}
	return ERR_OK;
}

enum err where_read(struct call *c, const struct erasure *e, struct where *out)
{
	struct str *versions;
	size_t n;
	int64_t first, last;
	*out = (struct where){ 0 };
	TRY(e->first_idx >= 0 ? versions_of_tombstones(c, e, &versions, &n) : versions_of_items(c, e, &versions, &n));
	TRY(db_begin_in(c, e->coop, DB_READ));
	TRY(copies_of(c, e, out));
	TRY(tombstone_of_erasure(c, e->coop, e->id, &first, &last, &out->tombstones));
	if (e->state == ERASURE_EFFECTIVE && e->n_items)
		TRY(pool_withdrawal_left(c, e->coop, e->id, &out->left));
	TRY(db_commit(c));
	TRY(releases_of(c, e->coop, versions, n, out));
	TRY(db_begin_in(c, e->coop, DB_READ));
	TRY(move_to(c, out, &out->use));
	return db_commit(c);
}

enum err where_counts(struct call *c, struct uuid coop, const struct erasure *list, size_t n, struct duty_counts *out)
{
	TRY(db_begin_in(c, coop, DB_READ));
	for (size_t i = 0; i < n; i++) {
		out[i] = (struct duty_counts){ 0 };
		if (list[i].propagating_at != INSTANT_NONE)
			TRY(mirror_duty_counts(c, coop, list[i].id, &out[i]));
	}
	return db_commit(c);
}

enum err where_tombstones(struct call *c, const struct erasure *e, int limit, struct where_tombstone **out, size_t *n)
{
	struct rows r;
	TRY(db_begin_in(c, e->coop, DB_READ));
	TRY(db_finish(c, where_indexes, &r, A_UUID(e->coop), A_UUID(e->id), A_INT(limit)));
	*n = (size_t)r.n;
	*out = ARENA_ARRAY(c->arena, *n + 1, struct where_tombstone);
	for (int i = 0; i < r.n; i++)
		(*out)[i] = (struct where_tombstone){ row_uuid(&r, i, 0), row_int(&r, i, 1) };
	return ERR_OK;
}
