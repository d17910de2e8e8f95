/* Packed segments: what a scan gives is what the rows are, packed or not, in every snapshot (pool.h "What releases read"). */
#include "pool_world.h"

#include "commonhold/keyring.h"
#include "commonhold/policy.h"

/* Everything that a scan or the rows say, as one digest with the number of items. */
struct seen { struct hasher *h; int64_t items; int next; bool wrong; unsigned columns; };

static enum err see(void *arg, const struct pool_segment *s)
{
	struct seen *seen = arg;
	unsigned w = seen->columns;
	seen->wrong |= s->no != seen->next++ || s->n == 0 || s->n > POOL_SEGMENT;
	seen->wrong |= !s->ids != !(w & POOL_IDS) || !s->members != !(w & POOL_MEMBERS) || !s->words != !(w & POOL_WORDS) || !s->more != !(w & POOL_MORE)
		|| !s->hashes != !(w & POOL_HASHES) || !s->shards != !(w & POOL_SHARDS);
	if (s->ids)
		hasher_add(seen->h, s->ids, s->n * 16);
	if (s->members)
		hasher_add(seen->h, s->members, s->n * 4);
	if (s->words)
		hasher_add(seen->h, s->words, s->n * 8);
	if (s->more)
		hasher_add(seen->h, s->more, s->n * 8);
	if (s->hashes)
		hasher_add(seen->h, s->hashes, s->n * 32);
	if (s->shards)
		hasher_add(seen->h, s->shards, s->n * 4);
	seen->items += (int64_t)s->n;
	return ERR_OK;
}

static struct sha256 scanned(struct call *c, struct uuid coop, unsigned columns, int64_t *items)
{
	struct seen seen = { .h = hasher_new(NULL), .columns = columns };
	assert_ok(c, pool_scan_columns(c, coop, columns, see, &seen));
	assert_false(seen.wrong);
	*items = seen.items;
	struct sha256 digest = hasher_end(seen.h);
	hasher_free(seen.h);
	return digest;
}

static struct sha256 scan_alone(struct uuid coop, unsigned columns, int64_t *items)
{
	struct call *c = fixture_system();
	assert_ok(c, db_begin_in(c, coop, DB_SERIAL));
	struct sha256 digest = scanned(c, coop, columns, items);
	assert_ok(c, db_commit(c));
	fixture_end(c);
	return digest;
}

static int64_t pack(struct uuid coop)
{
	struct call *c = fixture_system();
	int64_t packed;
	assert_ok(c, db_begin_in(c, coop, DB_WRITE));
	assert_ok(c, pool_pack(c, coop, &packed));
	assert_ok(c, db_commit(c));
	fixture_end(c);
	return packed;
}

static enum err ignore(void *arg, const struct verdict *v)
{
	(void)arg;
	return v->err;
}

static void submit_many(struct call *c, struct uuid coop, int from, int n)
{
	struct pool_batch *b;
	char line[200];
	assert_ok(c, pool_batch_begin(c, coop, ignore, NULL, &b));
	for (int i = from; i < from + n; i++) {
		int size = snprintf(line, sizeof(line), "{\"kind\":\"%s\",\"content\":{%s%d\"}}", "example", "\"input\":\"item ", i);
		assert_ok(c, pool_batch_line(b, str_make(line, (size_t)size)));
	}
	assert_ok(c, pool_batch_end(b));
}

/* The rows' own digest: read by the scan when nothing is packed. */
static struct sha256 of_rows(struct uuid coop, unsigned columns, int64_t *items)
{
	fixture_sql("DELETE FROM pool_segment");
	return scan_alone(coop, columns, items);
}

static void every_column_of_a_scan_is_that_of_the_rows(void **state)
{
	(void)state;
	struct uuid coop = world_coop("");
	struct call *c = world_member(coop, "active"), *d = world_member(coop, "active");
	submit_many(c, coop, 0, POOL_SEGMENT + 50);
	submit_many(d, coop, 20, POOL_SEGMENT);
	for (unsigned columns = 0; columns <= POOL_COLUMNS_ALL; columns++) {
		int64_t packed_items, row_items;
		pack(coop);
		struct sha256 packed = scan_alone(coop, columns, &packed_items), rows = of_rows(coop, columns, &row_items);
		assert_memory_equal(packed.b, rows.b, 32);
		assert_int_equal(packed_items, 2 * POOL_SEGMENT + 50);
		assert_int_equal(row_items, packed_items);
	}
	/* and against SQL's own idea of a column */
	int64_t items;
	struct sha256 words = scan_alone(coop, POOL_IDS, &items);
	struct sha256 sql;
	assert_true(sha256_parse(str_of(fixture_text("SELECT encode(sha256(string_agg(uuid_send(id), '' ORDER BY item_no)), 'hex') FROM contribution")), &sql));
	assert_memory_equal(words.b, sql.b, 32);
}

static void only_stale_and_new_segments_are_packed(void **state)
{
	(void)state;
	struct uuid coop = world_coop("");
	struct call *c = world_member(coop, "active");
	struct contribution item;
	submit_many(c, coop, 0, 3 * POOL_SEGMENT);
	assert_int_equal(pack(coop), 0); /* the batch has done it */
	assert_int_equal(fixture_int("SELECT count(*) FROM pool_segment"), 3);
	world_submit(c, coop, "one more");
	assert_int_equal(pack(coop), 1);
	assert_int_equal(pack(coop), 0);
	struct uuid id;
	assert_true(uuid_parse(str_of(fixture_text("SELECT id::text FROM contribution WHERE item_no = 5000")), &id));
	assert_ok(c, pool_moderate(c, coop, id, false, STR("no"), &item));
	assert_int_equal(fixture_int("SELECT no FROM pool_segment WHERE dirty"), 1);
	assert_int_equal(pack(coop), 1);
}

static void a_packer_under_a_snapshot_does_nothing(void **state)
{
	(void)state;
	struct uuid coop = world_coop("");
	struct call *c = world_member(coop, "active"), *s = fixture_system();
	int64_t packed;
	world_submit(c, coop, "a");
	assert_ok(s, db_begin_in(s, coop, DB_SERIAL));
	assert_ok(s, pool_pack(s, coop, &packed));
	assert_ok(s, db_commit(s));
	assert_int_equal(packed, 0);
	assert_int_equal(fixture_int("SELECT count(*) FROM pool_segment"), 0);
}

static void a_scan_answers_for_its_snapshot(void **state)
{
	(void)state;
	struct uuid coop = world_coop("");
	struct call *c = world_member(coop, "active"), *s = fixture_system();
	struct contribution item;
	struct receipt r = world_submit(c, coop, "a");
	int64_t items, later;
	world_submit(c, coop, "b");
	assert_ok(s, db_begin_in(s, coop, DB_SERIAL));
	struct sha256 before = scanned(s, coop, POOL_COLUMNS_ALL, &items);
	/* meanwhile others submit, decide and pack */
	world_submit(c, coop, "c");
	assert_ok(c, pool_moderate(c, coop, r.id, false, STR("no"), &item));
	assert_int_equal(pack(coop), 1);
	struct sha256 again = scanned(s, coop, POOL_COLUMNS_ALL, &later);
	assert_ok(s, db_commit(s));
	assert_memory_equal(before.b, again.b, 32);
	assert_int_equal(items, 2);
	struct sha256 now = scan_alone(coop, POOL_COLUMNS_ALL, &later);
	assert_int_equal(later, 3);
	assert_memory_not_equal(before.b, now.b, 32);
}

static void another_coops_items_are_in_no_scan(void **state)
{
	(void)state;
	struct uuid coop = world_coop(""), other = world_coop("");
	struct call *c = world_member(coop, "active"), *d = world_member(other, "active");
	struct shard_key *keys;
	size_t n;
	int64_t items;
	world_submit(c, coop, "mine");
	submit_many(d, other, 0, 10);
	scan_alone(coop, POOL_COLUMNS_ALL, &items);
	assert_int_equal(items, 1);
	/* asked for from inside another co-op, there is nothing */
	struct call *s = fixture_system();
	assert_ok(s, db_begin_in(s, other, DB_READ));
	scanned(s, coop, POOL_COLUMNS_ALL, &items);
	assert_int_equal(items, 0);
	assert_ok(s, pool_shard_keys(s, coop, &keys, &n));
	assert_int_equal(n, 0);
	assert_ok(s, db_commit(s));
}

struct contents { struct call *c; struct uuid coop; struct seal_key key; uint8_t last[16]; int n; bool disorder, wrong; };

static enum err see_content(void *arg, const uint8_t id[16], struct str lang, struct str sealed)
{
	struct contents *s = arg;
	uint8_t context[32];
	struct str plain;
	pool_seal_context(s->coop, id, context);
	s->wrong |= !unseal(s->c->arena, &s->key, str_make(context, 32), sealed, &plain) || !str_starts(plain, "{\"input\":\"item ") || !str_is(lang, "und");
	s->disorder |= s->n && memcmp(s->last, id, 16) >= 0;
	memcpy(s->last, id, 16);
	s->n++;
	return ERR_OK;
}

static void contents_come_in_order_of_id_and_open(void **state)
{
	(void)state;
	struct uuid coop = world_coop("");
	struct call *c = world_member(coop, "active"), *s = fixture_system();
	struct contents seen = { .c = s, .coop = coop };
	struct uuid member;
	uint8_t first[16] = { 0 }, last[16];
	memset(last, 0xff, 16);
	submit_many(c, coop, 0, 300);
	assert_true(uuid_parse(str_of(fixture_text("SELECT id::text FROM membership")), &member));
	assert_ok(s, keyring_get(s, coop, &member, 1, &seen.key, NULL));
	assert_ok(s, db_begin_in(s, coop, DB_READ));
	assert_ok(s, pool_scan_content(s, coop, 0, first, last, see_content, &seen));
	assert_int_equal(seen.n, 300);
	assert_false(seen.disorder || seen.wrong);
	/* a part of it */
	seen.n = 0;
	last[0] = 0x7f;
	assert_ok(s, pool_scan_content(s, coop, 0, first, last, see_content, &seen));
	assert_true(seen.n > 50 && seen.n < 250 && seen.last[0] <= 0x7f);
	assert_ok(s, db_commit(s));
}

static void items_share_a_shard_by_kind_licence_and_month(void **state)
{
	(void)state;
	struct uuid coop = world_coop("");
	struct call *c = world_member(coop, "active");
	struct shard_key *keys;
	size_t n;
	struct receipt r;
	clock_set(clock_of_civil((struct civil){ .year = 2026, .month = 1, .day = 31, .hour = 23 }));
	world_submit(c, coop, "a");
	world_submit(c, coop, "b");
	assert_ok(c, pool_submit(c, coop, world_json(c, "{\"kind\":\"example\",\"content\":{\"input\":\"c\"},\"licence\":\"CC0-1.0\"}"), &r));
	clock_set(clock_of_civil((struct civil){ .year = 2026, .month = 2, .day = 1 }));
	world_submit(c, coop, "d");
	assert_ok(c, db_begin_in(c, coop, DB_READ));
	assert_ok(c, pool_shard_keys(c, coop, &keys, &n));
	assert_ok(c, db_commit(c));
	assert_int_equal(n, 3);
	assert_int_equal(keys[0].month, 2026 * 12);
	assert_int_equal(keys[1].licence, POLICY_LICENCE_CC0_1_0);
	assert_int_equal(keys[2].month, 2026 * 12 + 1);
	assert_string_equal(fixture_text("SELECT string_agg(shard::text, '' ORDER BY item_no) FROM contribution"), "0012");
}

/* ---- Random histories ---- */

static uint64_t state_of_chance;

static unsigned chance(unsigned n)
{
	state_of_chance = state_of_chance * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
	return (unsigned)((state_of_chance >> 33) % n);
}

static void random_act(struct uuid coop, struct call **members, int n_members, int *made)
{
	struct contribution item;
	struct uuid id;
	struct call *c = members[chance((unsigned)n_members)];
	const char *some = fixture_text(str_z(c->arena, str_fmt(c->arena,
		"SELECT id::text FROM contribution ORDER BY item_no OFFSET %u LIMIT 1", *made ? chance((unsigned)*made) : 0)));
	switch (chance(6)) {
	case 0:
		submit_many(c, coop, (int)chance(400), (int)chance(300) + 1);
		break;
	case 1:
		submit_many(c, coop, 100000 + *made * 7, (int)chance(1500) + 1);
		break;
	case 2:
	case 3:
		if (some && uuid_parse(str_of(some), &id) && pool_moderate(members[0], coop, id, chance(2), STR("because"), &item) != ERR_OK) {
			db_rollback(members[0]);
			error_clear(&members[0]->error);
		}
		break;
	case 4:
		if (some)
			fixture_sql(str_z(c->arena, str_fmt(c->arena, "UPDATE contribution SET word = word | 4096, content_sha256 = sha256(uuid_send(id)) WHERE id = '%s'", some)));
		break;
	default:
		pack(coop);
	}
	*made = (int)fixture_int("SELECT count(*) FROM contribution");
}

static void segments_and_marks_follow_from_the_rows_after_any_history(void **state)
{
	(void)state;
	struct uuid coop = world_coop("");
	struct call *members[3];
	int made = 0;
	const char *given = getenv("SEED");
	int64_t seed = clock_tick();
	if (given)
		assert_true(str_to_i64(str_of(given), 0, INT64_MAX, &seed));
	state_of_chance = (uint64_t)seed;
	print_message("SEED=%lld\n", (long long)seed);
	for (int i = 0; i < 3; i++)
		members[i] = world_member(coop, "active");
	for (int i = 0; i < 40; i++) {
		int64_t a, b;
		random_act(coop, members, 3, &made);
		if (i % 5 != 4)
			continue;
		struct sha256 mixed = scan_alone(coop, POOL_COLUMNS_ALL, &a);
		pack(coop);
		struct sha256 packed = scan_alone(coop, POOL_COLUMNS_ALL, &b);
		assert_memory_equal(mixed.b, packed.b, 32);
		struct sha256 rows = of_rows(coop, POOL_COLUMNS_ALL, &b);
		assert_memory_equal(packed.b, rows.b, 32);
		assert_int_equal(a, made);
		assert_int_equal(b, made);
		/* a mark of a duplicate means exactly: the same content stands under a lower number */
		assert_int_equal(fixture_int("SELECT count(*) FROM contribution c WHERE ((word & 65536) <> 0) <> EXISTS (SELECT FROM contribution o "
			"WHERE o.coop_id = c.coop_id AND o.content_sha256 = c.content_sha256 AND o.item_no < c.item_no AND (o.word & 13824) = 512)"), 0);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		fixture_test(every_column_of_a_scan_is_that_of_the_rows),
		fixture_test(only_stale_and_new_segments_are_packed),
		fixture_test(a_packer_under_a_snapshot_does_nothing),
		fixture_test(a_scan_answers_for_its_snapshot),
		fixture_test(another_coops_items_are_in_no_scan),
		fixture_test(contents_come_in_order_of_id_and_open),
		fixture_test(items_share_a_shard_by_kind_licence_and_month),
		fixture_test(segments_and_marks_follow_from_the_rows_after_any_history),
	};
	return fixture_run(tests, CH_LEN(tests));
}
