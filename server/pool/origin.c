/* origin.c - where items come from, and who else contributed a content that stands here once. */
#include "server/pool/pool_internal.h"

#include "commonhold/db.h"
#include "commonhold/origin.h"

SQL(names_of_origins,
	"SELECT 0::smallint, key_name, NULL::text FROM coop WHERE id = $1 UNION ALL SELECT no, key_name, title FROM origin_coop WHERE coop_id = $1");
SQL(more_of_items, "SELECT d.no::integer, c.more FROM unnest($2::uuid[]) WITH ORDINALITY AS d(id, no) JOIN contribution c ON c.coop_id = $1 AND c.id = d.id");
SQL(origin_find, "SELECT no, title FROM origin_coop WHERE coop_id = $1 AND key_name = $2");
SQL(origin_title, "UPDATE origin_coop SET title = $3 WHERE coop_id = $1 AND no = $2");
SQL(origin_make,
	"INSERT INTO origin_coop (coop_id, no, key_name, title) SELECT $1, n.no, $2, $3 FROM (SELECT coalesce(max(no) + 1, 1)::smallint AS no FROM origin_coop WHERE coop_id = $1) n "
	"WHERE n.no <= 255 AND NOT EXISTS (SELECT FROM coop WHERE id = $1 AND key_name = $2) RETURNING no");
SQL(origins_insert,
	"INSERT INTO item_origin (coop_id, item_no, origin, id, member_no, member_id, licence, lang, word, more, leaf, salt, findings, sealed_facts, at) "
	"SELECT $1, d.item_no, d.origin::smallint, d.id, d.member_no::integer, d.member_id, d.licence::smallint, d.lang, d.word, d.more, d.leaf, d.salt, d.findings::smallint, nullif(d.facts, ''), d.at "
	"FROM unnest($2::bigint[], $3::bigint[], $4::uuid[], $5::bigint[], $6::uuid[], $7::bigint[], $8::text[], $9::bigint[], $10::bigint[], $11::bigint[], $12::bytea[], $13::bigint[], $14::bytea[], "
	"$15::timestamptz[]) AS d(item_no, origin, id, member_no, member_id, licence, lang, word, more, leaf, salt, findings, facts, at) ON CONFLICT DO NOTHING");
#define ORIGIN_COLUMNS "o.item_no, o.origin, o.id, o.member_no, o.member_id, o.licence, o.lang, o.word, o.more, o.leaf, o.salt, o.findings, o.sealed_facts, o.at"
SQL(origins_by_item, "SELECT " ORIGIN_COLUMNS " FROM item_origin o WHERE o.coop_id = $1 AND o.item_no = ANY ($2::bigint[]) ORDER BY o.item_no, o.origin, o.id");
/* A row's origin is in `more`, which an erased row keeps. */
SQL(places_of_rows,
	"SELECT d.no::integer, c.item_no, c.member_no, (c.word & 4096) <> 0, c.content_sha256 FROM unnest($3::uuid[]) WITH ORDINALITY AS d(id, no) "
	"JOIN contribution c ON c.coop_id = $1 AND c.id = d.id AND (c.more >> 24 & 255) = $2");
SQL(places_of_origins,
	"SELECT d.no::integer, o.item_no, o.member_no, false, c.content_sha256 FROM unnest($3::uuid[]) WITH ORDINALITY AS d(id, no) "
	"JOIN item_origin o ON o.coop_id = $1 AND o.origin = $2 AND o.id = d.id JOIN contribution c ON c.coop_id = $1 AND c.item_no = o.item_no");
SQL(origins_set, "UPDATE item_origin SET word = (word | $4) & ~$5::bigint WHERE coop_id = $1 AND origin = $2 AND id = ANY ($3)");
SQL(origins_delete, "DELETE FROM item_origin WHERE coop_id = $1 AND origin = $2 AND id = ANY ($3)");
SQL(changes, "INSERT INTO guest_head (coop_id, changes) VALUES ($1, 1) ON CONFLICT (coop_id) DO UPDATE SET changes = guest_head.changes + 1");

#define ROWS_AT_ONCE 1000

/* ---- Names ---- */

enum err origin_names_load(struct call *c, struct uuid coop, struct origin_names *out)
{
	struct rows r;
	*out = (struct origin_names){ 0 };
	TRY(db_query(c, names_of_origins, &r, A_UUID(coop)));
	for (int i = 0; i < r.n; i++) {
		int64_t no = row_int(&r, i, 0);
		if (no < 0 || no > ORIGIN_MAX)
			return fail(c, ERR_CORRUPT, "The numbers of other co-ops are not as they should be.");
		out->key_name[no] = row_str(&r, i, 1);
		out->title[no] = row_str(&r, i, 2);
		out->n += no > 0;
	}
	return ERR_OK;
}

struct str pool_rid(struct arena *a, const struct origin_names *names, uint64_t more, struct uuid id)
{
	return rid_format(a, names->key_name[origin_of_more(more)], id);
}

enum err pool_rids(struct call *c, struct uuid coop, const struct uuid *ids, size_t n, struct str *out)
{
	struct origin_names names;
	struct rows r;
	uint64_t *more = ARENA_ARRAY(c->arena, n, uint64_t);
	TRY(origin_names_load(c, coop, &names));
	if (names.n) {
		TRY(db_query(c, more_of_items, &r, A_UUID(coop), A_UUIDS(ids, n)));
		for (int i = 0; i < r.n; i++)
			more[row_int(&r, i, 0) - 1] = (uint64_t)row_int(&r, i, 1);
	}
	for (size_t i = 0; i < n; i++)
		out[i] = pool_rid(c->arena, &names, more[i], ids[i]);
	return ERR_OK;
}

enum err origin_number(struct call *c, struct uuid coop, struct str key_name, struct str title, unsigned *no)
{
	struct rows r;
	title = title.p ? title : STR("");
	TRY(db_query(c, origin_find, &r, A_UUID(coop), A_STR(key_name)));
	if (r.n) {
		*no = (unsigned)row_int(&r, 0, 0);
		return title.n && !str_eq(title, row_str(&r, 0, 1)) ? db_exec(c, origin_title, A_UUID(coop), A_INT((int)*no), A_STR(title)) : ERR_OK;
	}
	TRY(db_query(c, origin_make, &r, A_UUID(coop), A_STR(key_name), A_STR(title)));
	if (r.n == 0)
		return fail(c, ERR_REFUSED, "Items come from %d other co-ops at most, and a co-op's own are not another's.", ORIGIN_MAX);
	*no = (unsigned)row_int(&r, 0, 0);
	return ERR_OK;
}

/* ---- Origins ---- */

static enum err insert_some(struct call *c, struct uuid coop, const struct origin *o, size_t n)
{
	struct arena *a = c->arena;
	int64_t *numbers = ARENA_ARRAY(a, n * 8, int64_t), *item = numbers, *origin = numbers + n, *member_no = numbers + n * 2, *licence = numbers + n * 3, *word = numbers + n * 4;
	int64_t *more = numbers + n * 5, *leaf = numbers + n * 6, *findings = numbers + n * 7;
	struct uuid *ids = ARENA_ARRAY(a, n * 2, struct uuid), *members = ids + n;
	struct str *lang = ARENA_ARRAY(a, n * 3, struct str), *salt = lang + n, *facts = lang + n * 2;
	instant *at = ARENA_ARRAY(a, n, instant);
	for (size_t i = 0; i < n; i++) {
		item[i] = o[i].item_no;
		origin[i] = o[i].origin;
		ids[i] = o[i].id;
		member_no[i] = o[i].member_no;
		members[i] = o[i].member;
		licence[i] = o[i].licence;
		lang[i] = o[i].lang.p ? o[i].lang : STR("und");
		word[i] = (int64_t)o[i].word;
		more[i] = (int64_t)o[i].more;
		leaf[i] = o[i].leaf;
		salt[i] = str_make(o[i].salt, sizeof(o[i].salt));
		findings[i] = o[i].findings;
		facts[i] = o[i].sealed_facts.p ? o[i].sealed_facts : STR("");
		at[i] = o[i].at;
	}
	return db_exec(c, origins_insert, A_UUID(coop), A_I64S(item, n), A_I64S(origin, n), A_UUIDS(ids, n), A_I64S(member_no, n), A_UUIDS(members, n), A_I64S(licence, n), A_TEXTS(lang, n),
		A_I64S(word, n), A_I64S(more, n), A_I64S(leaf, n), A_BYTEAS(salt, n), A_I64S(findings, n), A_BYTEAS(facts, n), A_TIMES(at, n));
}

enum err origins_add(struct call *c, struct uuid coop, const struct origin *origins, size_t n)
{
	for (size_t from = 0; from < n; from += ROWS_AT_ONCE) {
		struct arena_mark mark = arena_mark(c->arena);
		TRY(insert_some(c, coop, origins + from, n - from < ROWS_AT_ONCE ? n - from : ROWS_AT_ONCE));
		arena_rewind(c->arena, mark);
	}
	return n ? db_exec(c, changes, A_UUID(coop)) : ERR_OK;
}

static struct origin origin_of_row(const struct rows *r, int i)
{
	struct str salt = row_bytes(r, i, 10);
	struct origin o = {
		.item_no = row_int(r, i, 0), .origin = (unsigned)row_int(r, i, 1), .id = row_uuid(r, i, 2), .member_no = (uint32_t)row_int(r, i, 3), .member = row_uuid(r, i, 4),
		.licence = (unsigned)row_int(r, i, 5), .lang = row_str(r, i, 6), .word = (uint64_t)row_int(r, i, 7), .more = (uint64_t)row_int(r, i, 8), .leaf = row_int(r, i, 9),
		.findings = (unsigned)row_int(r, i, 11), .sealed_facts = row_bytes(r, i, 12), .at = row_time(r, i, 13),
	};
	if (salt.n == sizeof(o.salt))
		memcpy(o.salt, salt.p, sizeof(o.salt));
	return o;
}

enum err origins_of_items(struct call *c, struct uuid coop, const int64_t *items, size_t n, struct origin **out, size_t *n_out)
{
	struct rows r;
	TRY(db_query(c, origins_by_item, &r, A_UUID(coop), A_I64S(items, n)));
	*n_out = (size_t)r.n;
	*out = ARENA_ARRAY(c->arena, *n_out + 1, struct origin);
	for (int i = 0; i < r.n; i++)
		(*out)[i] = origin_of_row(&r, i);
	return ERR_OK;
}

static void place_rows(const struct rows *r, bool is_row, struct origin_place *out)
{
	for (int i = 0; i < r->n; i++)
		out[row_int(r, i, 0) - 1] = (struct origin_place){ .item_no = row_int(r, i, 1), .is_row = is_row, .erased = row_bool(r, i, 3), .member_no = (uint32_t)row_int(r, i, 2),
			.content_sha256 = sha256_load(row_bytes(r, i, 4)) };
}

enum err origin_places(struct call *c, struct uuid coop, unsigned origin, const struct uuid *ids, size_t n, struct origin_place *out)
{
	struct rows rows, origins;
	for (size_t i = 0; i < n; i++)
		out[i] = (struct origin_place){ .item_no = -1 };
	TRY(db_query(c, places_of_origins, &origins, A_UUID(coop), A_INT((int)origin), A_UUIDS(ids, n)));
	TRY(db_query(c, places_of_rows, &rows, A_UUID(coop), A_INT((int)origin), A_UUIDS(ids, n)));
	place_rows(&origins, false, out);
	place_rows(&rows, true, out);
	return ERR_OK;
}

enum err origins_mark(struct call *c, struct uuid coop, unsigned origin, const struct uuid *ids, size_t n, uint64_t set, uint64_t clear)
{
	TRY(db_exec(c, origins_set, A_UUID(coop), A_INT((int)origin), A_UUIDS(ids, n), A_I64((int64_t)set), A_I64((int64_t)clear)));
	return db_exec(c, changes, A_UUID(coop));
}

enum err origins_drop(struct call *c, struct uuid coop, unsigned origin, const struct uuid *ids, size_t n, size_t *dropped)
{
	struct rows r;
	TRY(db_query(c, origins_delete, &r, A_UUID(coop), A_INT((int)origin), A_UUIDS(ids, n)));
	if (dropped)
		*dropped = (size_t)r.affected;
	return db_exec(c, changes, A_UUID(coop));
}
