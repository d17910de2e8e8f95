/* Withdrawals: one row laid over the pool, what shows it, what lifts it, and what is written into the rows (pool.h "Withdrawing"). */
#include "pool_world.h"

#include "commonhold/policy.h"

#include <stdio.h>

static enum err ignore(void *arg, const struct verdict *v)
{
	(void)arg;
	(void)v;
	return ERR_OK;
}

static void submit_many(struct call *c, struct uuid coop, const char *what, int n)
{
	struct pool_batch *b;
	char line[200];
	assert_ok(c, pool_batch_begin(c, coop, ignore, NULL, &b));
	for (int i = 0; i < n; i++) {
		int size = snprintf(line, sizeof(line), "{\"kind\":\"example\",\"content\":{\"input\":\"%s %d\"}}", what, i);
		assert_ok(c, pool_batch_line(b, str_make(line, (size_t)size)));
	}
	assert_ok(c, pool_batch_end(b));
}

static struct uuid member_id(struct call *c, struct uuid coop)
{
	struct uuid id;
	const char *sql = str_z(c->arena, str_fmt(c->arena, "SELECT id::text FROM membership WHERE coop_id = '%.*s' AND account_id = '%.*s'",
		STR_ARG(uuid_format(c->arena, coop)), STR_ARG(uuid_format(c->arena, c->actor.account))));
	assert_true(uuid_parse(str_of(fixture_text(sql)), &id));
	return id;
}

static struct uuid withdraw(struct uuid coop, enum pool_withdrawal_kind kind, const int64_t *items, size_t n, struct uuid member, instant until)
{
	struct call *c = fixture_system();
	struct pool_withdrawal w = { .id = uuid_new(), .kind = kind, .member = member, .items = items, .n = n, .until = until };
	assert_ok(c, db_begin_in(c, coop, DB_WRITE));
	assert_ok(c, pool_withdraw(c, coop, &w));
	assert_ok(c, db_commit(c));
	fixture_end(c);
	return w.id;
}

static struct uuid withdraw_one(struct uuid coop, enum pool_withdrawal_kind kind, int64_t item, instant until)
{
	return withdraw(coop, kind, &item, 1, (struct uuid){ { 0 } }, until);
}

static void lift(struct uuid coop, struct uuid id)
{
	struct call *c = fixture_system();
	assert_ok(c, db_begin_in(c, coop, DB_WRITE));
	assert_ok(c, pool_withdrawal_lift(c, coop, id));
	assert_ok(c, db_commit(c));
	fixture_end(c);
}

static void mark(struct uuid coop, struct uuid id)
{
	struct call *c = fixture_system();
	assert_ok(c, pool_withdrawal_mark(c, coop, id));
	fixture_end(c);
}

static void pack(struct uuid coop)
{
	struct call *c = fixture_system();
	int64_t packed;
	assert_ok(c, db_begin_in(c, coop, DB_WRITE));
	assert_ok(c, pool_pack(c, coop, &packed));
	assert_ok(c, db_commit(c));
	fixture_end(c);
}

/* What a scan hands out for every item. */
struct words { uint64_t *at; size_t n; bool members; };

static enum err note_words(void *arg, const struct pool_segment *s)
{
	struct words *w = arg;
	assert_true(!s->members == !w->members);
	memcpy(w->at + (size_t)s->no * POOL_SEGMENT, s->words, s->n * 8);
	w->n += s->n;
	return ERR_OK;
}

static size_t scan(struct call *c, struct uuid coop, unsigned columns, uint64_t *words)
{
	struct words w = { .at = words, .members = columns & POOL_MEMBERS };
	assert_ok(c, db_begin_in(c, coop, DB_SERIAL));
	assert_ok(c, pool_scan_columns(c, coop, columns, note_words, &w));
	assert_ok(c, db_commit(c));
	return w.n;
}

static uint64_t word_of(struct uuid coop, int64_t item)
{
	struct call *c = fixture_system();
	uint64_t *words = ARENA_ARRAY(c->arena, 3 * POOL_SEGMENT, uint64_t);
	assert_true((int64_t)scan(c, coop, POOL_WORDS, words) > item);
	uint64_t word = words[item];
	fixture_end(c);
	return word;
}

/* SQL's own idea of the words, an item at a time. */
static void assert_scan_is_what_single_items_say(struct uuid coop)
{
	SQL(by_item, "SELECT word | pool_withdrawn_bits(coop_id, item_no, member_no) FROM contribution WHERE coop_id = $1 ORDER BY item_no");
	struct call *c = fixture_system();
	struct rows r;
	uint64_t *words = ARENA_ARRAY(c->arena, 3 * POOL_SEGMENT, uint64_t);
	size_t n = scan(c, coop, POOL_WORDS, words);
	assert_ok(c, db_begin_in(c, coop, DB_READ));
	assert_ok(c, db_query(c, by_item, &r, A_UUID(coop)));
	assert_int_equal(r.n, n);
	for (int i = 0; i < r.n; i++)
		if ((uint64_t)row_int(&r, i, 0) != words[i])
			fail_msg("item %d: single %llx, scanned %llx", i, (unsigned long long)row_int(&r, i, 0), (unsigned long long)words[i]);
	assert_ok(c, db_commit(c));
	fixture_end(c);
}

/* ---- The overlay ---- */

#define POOL_ITEMS (POOL_SEGMENT + 300)

static uint64_t below(uint64_t *state, uint64_t n)
{
	*state = *state * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
	return (*state >> 33) % n;
}

static void any_withdrawals_are_laid_over_packed_and_loose_rows_alike(void **state)
{
	uint64_t seed = (uint64_t)clock_now();
	struct uuid coop = world_coop(""), made[40];
	struct call *members[3];
	(void)state;
	print_message("any_withdrawals_are_laid_over_packed_and_loose_rows_alike: seed %llu\n", (unsigned long long)seed);
	for (size_t i = 0; i < 3; i++) {
		members[i] = world_member(coop, "active");
		submit_many(members[i], coop, i == 0 ? "a" : i == 1 ? "b" : "c", POOL_ITEMS / 3 + 1);
	}
	clock_set(clock_now());
	for (size_t round = 0; round < CH_LEN(made); round++) {
		enum pool_withdrawal_kind kind = (enum pool_withdrawal_kind)below(&seed, POOL_WITHDRAWAL_KIND_COUNT);
		instant until = kind == POOL_EMBARGO ? clock_now() + (1 + (instant)below(&seed, 20)) * CLOCK_HOUR : INSTANT_NONE;
		int64_t items[60];
		size_t n = 1 + below(&seed, CH_LEN(items));
		for (size_t i = 0; i < n; i++)
			items[i] = (int64_t)below(&seed, POOL_ITEMS);
		bool whole = below(&seed, 6) == 0;
		made[round] = withdraw(coop, kind, items, whole ? 0 : n, whole ? member_id(members[below(&seed, 3)], coop) : (struct uuid){ { 0 } }, until);
		if (below(&seed, 3) == 0)
			mark(coop, made[below(&seed, round + 1)]);
		struct uuid one = made[below(&seed, round + 1)];
		if (below(&seed, 4) == 0 && (kind == POOL_EMBARGO || kind == POOL_RESTRICT))
			lift(coop, made[round]);
		if (below(&seed, 5) == 0)
			mark(coop, one);
		if (below(&seed, 4) == 0)
			pack(coop);
		clock_set(clock_now() + (instant)below(&seed, 3) * CLOCK_HOUR);
		if (round % 4 == 0)
			submit_many(members[0], coop, round % 8 ? "later" : "even later", 3);
		if (round % 3 == 0)
			assert_scan_is_what_single_items_say(coop);
	}
	pack(coop);
	assert_scan_is_what_single_items_say(coop);
	for (size_t i = 0; i < CH_LEN(made); i++)
		mark(coop, made[i]);
	assert_scan_is_what_single_items_say(coop);
	assert_int_equal(fixture_int("SELECT count(*) FROM withdrawal WHERE kind IN ('erase', 'withdraw_future') AND marked_at IS NULL"), 0);
	assert_int_equal(fixture_int("SELECT count(*) FROM withdrawal WHERE kind IN ('embargo', 'restrict') AND marked_at IS NOT NULL"), 0);
}

static void a_withdrawal_is_one_row_whatever_the_number_of_items(void **state)
{
	(void)state;
	struct uuid coop = world_coop("");
	struct call *c = world_member(coop, "active");
	submit_many(c, coop, "many", 1000);
	int64_t items[1000];
	for (int i = 0; i < 1000; i++)
		items[i] = (i * 7) % 1000; /* in any order, and some twice */
	items[3] = items[4];
	withdraw(coop, POOL_ERASE, items, 1000, (struct uuid){ { 0 } }, INSTANT_NONE);
	assert_int_equal(fixture_int("SELECT count(*) FROM withdrawal"), 1);
	assert_int_equal(fixture_int("SELECT n FROM withdrawal"), 999);
	assert_int_equal(fixture_int("SELECT count(*) FROM contribution WHERE word & 8192 <> 0"), 0);
	assert_int_equal(word_of(coop, 7) & POLICY_ITEM_ERASURE, POLICY_ITEM_ERASURE);
	assert_int_equal(word_of(coop, (3 * 7) % 1000) & POLICY_ITEM_ERASURE, 0);
}

static void what_a_member_contributes_after_withdrawing_everything_is_not_touched(void **state)
{
	(void)state;
	struct uuid coop = world_coop("");
	struct call *c = world_member(coop, "active"), *other = world_member(coop, "active");
	world_submit(c, coop, "before");
	world_submit(other, coop, "somebody else's");
	struct uuid id = withdraw(coop, POOL_ERASE, NULL, 0, member_id(c, coop), INSTANT_NONE);
	world_submit(c, coop, "after");
	for (int marked = 0; marked < 2; marked++) {
		assert_true(word_of(coop, 0) & POLICY_ITEM_ERASURE);
		assert_false(word_of(coop, 1) & POLICY_ITEM_ERASURE);
		assert_false(word_of(coop, 2) & POLICY_ITEM_ERASURE);
		mark(coop, id);
	}
}

static void a_scan_that_asks_for_words_alone_is_laid_over_by_members_too(void **state)
{
	(void)state;
	struct uuid coop = world_coop("");
	struct call *c = world_member(coop, "active");
	submit_many(c, coop, "x", 20);
	pack(coop);
	withdraw(coop, POOL_RESTRICT, NULL, 0, member_id(c, coop), INSTANT_NONE);
	assert_true(word_of(coop, 19) & POLICY_ITEM_RESTRICTED);
	uint64_t words[3 * POOL_SEGMENT];
	struct call *s = fixture_system();
	assert_int_equal(scan(s, coop, POOL_WORDS | POOL_MEMBERS, words), 20);
	assert_true(words[0] & POLICY_ITEM_RESTRICTED);
}

/* ---- What ends, and what does not ---- */

static void a_lifted_restriction_gives_the_bit_back(void **state)
{
	(void)state;
	struct uuid coop = world_coop("");
	struct call *c = world_member(coop, "active");
	world_submit(c, coop, "claimed");
	uint64_t before = word_of(coop, 0);
	struct uuid id = withdraw_one(coop, POOL_RESTRICT, 0, INSTANT_NONE), other = withdraw_one(coop, POOL_RESTRICT, 0, INSTANT_NONE);
	mark(coop, id);
	assert_int_equal(word_of(coop, 0), before | POLICY_ITEM_RESTRICTED);
	lift(coop, id);
	lift(coop, id);
	assert_int_equal(word_of(coop, 0), before | POLICY_ITEM_RESTRICTED); /* the other one stands */
	lift(coop, other);
	assert_int_equal(word_of(coop, 0), before);
}

static void an_embargo_ends_by_itself_or_earlier(void **state)
{
	(void)state;
	struct uuid coop = world_coop("");
	struct call *c = world_member(coop, "active");
	clock_set(clock_now());
	instant end = clock_now() + CLOCK_DAY;
	world_submit(c, coop, "later please");
	uint64_t before = word_of(coop, 0);
	struct uuid id = withdraw_one(coop, POOL_EMBARGO, 0, end);
	mark(coop, id);
	clock_set(end - 1);
	assert_int_equal(word_of(coop, 0), before | POLICY_ITEM_EMBARGOED);
	clock_set(end);
	assert_int_equal(word_of(coop, 0), before);
	id = withdraw_one(coop, POOL_EMBARGO, 0, end + CLOCK_DAY);
	assert_int_equal(word_of(coop, 0), before | POLICY_ITEM_EMBARGOED);
	lift(coop, id);
	assert_int_equal(word_of(coop, 0), before);
}

static void what_is_final_is_not_lifted(void **state)
{
	(void)state;
	struct uuid coop = world_coop("");
	struct call *c = world_member(coop, "active"), *s = fixture_system();
	world_submit(c, coop, "gone");
	const enum pool_withdrawal_kind final[] = { POOL_ERASE, POOL_WITHDRAW_FUTURE };
	for (size_t i = 0; i < 2; i++) {
		struct uuid id = withdraw_one(coop, final[i], 0, INSTANT_NONE);
		assert_ok(s, db_begin_in(s, coop, DB_WRITE));
		assert_err(s, ERR_STATE, pool_withdrawal_lift(s, coop, id));
		mark(coop, id);
		assert_ok(s, db_begin_in(s, coop, DB_WRITE));
		assert_err(s, ERR_STATE, pool_withdrawal_lift(s, coop, id));
		assert_true(word_of(coop, 0) & (final[i] == POOL_ERASE ? POLICY_ITEM_ERASURE : POLICY_ITEM_WITHDRAWN));
	}
	assert_ok(s, db_begin_in(s, coop, DB_WRITE));
	assert_err(s, ERR_NOT_FOUND, pool_withdrawal_lift(s, coop, uuid_new()));
}

static void withdrawals_that_make_no_sense_are_refused(void **state)
{
	(void)state;
	struct uuid coop = world_coop("");
	struct call *c = world_member(coop, "active"), *s = fixture_system();
	world_submit(c, coop, "x");
	const int64_t there = 0, beyond = 1, negative = -1;
	const struct { struct pool_withdrawal w; enum err err; } bad[] = {
		{ { .kind = POOL_EMBARGO, .items = &there, .n = 1, .until = INSTANT_NONE }, ERR_INVALID },
		{ { .kind = POOL_EMBARGO, .items = &there, .n = 1, .until = INSTANT_NEVER }, ERR_INVALID },
		{ { .kind = POOL_EMBARGO, .items = &there, .n = 1, .until = clock_now() - 1 }, ERR_INVALID },
		{ { .kind = POOL_ERASE, .items = &there, .n = 1, .until = clock_now() + CLOCK_DAY }, ERR_INVALID },
		{ { .kind = POOL_ERASE, .items = &beyond, .n = 1, .until = INSTANT_NONE }, ERR_NOT_FOUND },
		{ { .kind = POOL_ERASE, .items = &negative, .n = 1, .until = INSTANT_NONE }, ERR_NOT_FOUND },
		{ { .kind = POOL_ERASE, .member = uuid_new(), .until = INSTANT_NONE }, ERR_NOT_FOUND },
		{ { .kind = POOL_ERASE, .items = &there, .n = POOL_WITHDRAWN_MAX + 1, .until = INSTANT_NONE }, ERR_INVALID },
		{ { .kind = POOL_ERASE, .until = INSTANT_NONE }, ERR_INTERNAL },
	};
	for (size_t i = 0; i < CH_LEN(bad); i++) {
		struct pool_withdrawal w = bad[i].w;
		w.id = uuid_new();
		assert_ok(s, db_begin_in(s, coop, DB_WRITE));
		assert_err(s, bad[i].err, pool_withdraw(s, coop, &w));
	}
	assert_int_equal(fixture_int("SELECT count(*) FROM withdrawal"), 0);
}

/* ---- Which items ---- */

static void items_are_selected_by_whose_they_are(void **state)
{
	(void)state;
	struct uuid coop = world_coop("");
	struct call *c = world_member(coop, "active"), *d = world_member(coop, "active"), *s = fixture_system();
	struct uuid ids[] = { world_submit(c, coop, "one").id, world_submit(d, coop, "two").id, world_submit(c, coop, "three").id };
	struct uuid own[] = { ids[2], ids[0], ids[2] }, nobody = { { 0 } };
	int64_t items[3];
	assert_ok(s, db_begin_in(s, coop, DB_READ));
	assert_ok(s, pool_select(s, coop, member_id(c, coop), own, 3, items));
	assert_true(items[0] == 2 && items[1] == 0 && items[2] == 2);
	assert_ok(s, pool_select(s, coop, nobody, ids, 3, items));
	assert_true(items[0] == 0 && items[1] == 1 && items[2] == 2);
	assert_err(s, ERR_NOT_FOUND, pool_select(s, coop, member_id(c, coop), ids, 3, items));
	assert_str(s->error.faults->pointer, "/items/1");
	error_clear(&s->error);
	withdraw_one(coop, POOL_ERASE, 2, INSTANT_NONE);
	assert_ok(s, db_begin_in(s, coop, DB_READ));
	assert_err(s, ERR_GONE, pool_select(s, coop, nobody, ids, 3, items));
	assert_str(s->error.faults->pointer, "/items/2");
}

static void the_items_of_a_withdrawal_come_in_pages_without_tombstones(void **state)
{
	(void)state;
	struct uuid coop = world_coop(""), nobody = { { 0 } };
	struct call *c = world_member(coop, "active"), *s = fixture_system();
	submit_many(c, coop, "p", 50);
	const int64_t named[] = { 40, 3, 17, 9, 30, 31 };
	struct uuid ids[] = { withdraw(coop, POOL_ERASE, named, 6, nobody, INSTANT_NONE), withdraw(coop, POOL_ERASE, NULL, 0, member_id(c, coop), INSTANT_NONE) };
	fixture_sql("UPDATE contribution SET word = word | 4096 WHERE item_no IN (3, 9, 31)");
	const int64_t left[] = { 17, 30, 40 };
	int64_t *items, after = -1, count;
	size_t n, seen = 0;
	assert_ok(s, db_begin_in(s, coop, DB_READ));
	for (;;) {
		assert_ok(s, pool_withdrawal_items(s, coop, ids[0], after, 2, &items, &n));
		if (n == 0)
			break;
		for (size_t i = 0; i < n; i++)
			assert_int_equal(items[i], left[seen++]);
		after = items[n - 1];
	}
	assert_int_equal(seen, 3);
	assert_ok(s, pool_withdrawal_left(s, coop, ids[0], &count));
	assert_int_equal(count, 3);
	assert_ok(s, pool_withdrawal_left(s, coop, ids[1], &count));
	assert_int_equal(count, 47);
	assert_ok(s, pool_withdrawal_items(s, coop, ids[1], 2, 3, &items, &n));
	assert_true(n == 3 && items[0] == 4 && items[1] == 5 && items[2] == 6);
	assert_ok(s, db_commit(s));
}

/* ---- What people see ---- */

static void lists_and_pages_show_what_is_withdrawn(void **state)
{
	(void)state;
	static const char *const statuses[] = { "erased", "withdrawn", "embargoed", "restricted" };
	struct uuid coop = world_coop("\"moderation\":{\"mode\":\"hold\"}");
	struct call *admin = world_member(coop, "active"), *c = world_member(coop, "active");
	struct contribution *items, item;
	struct receipt receipt;
	struct str cursor;
	size_t n;
	clock_set(clock_now());
	instant until = clock_now() + CLOCK_DAY;
	for (int i = 0; i < 5; i++)
		world_submit(c, coop, i == 0 ? "a" : i == 1 ? "b" : i == 2 ? "c" : i == 3 ? "d" : "e");
	for (unsigned k = 0; k < POOL_WITHDRAWAL_KIND_COUNT; k++)
		withdraw_one(coop, (enum pool_withdrawal_kind)k, k, k == POOL_EMBARGO ? until : INSTANT_NONE);
	assert_ok(c, pool_list_mine(c, coop, STR_NONE, STR_NONE, 10, &items, &n, &cursor));
	assert_int_equal(n, 5);
	for (size_t i = 0; i < 4; i++) {
		const struct contribution *at = &items[4 - i];
		assert_str(at->status, statuses[i]);
		assert_int_equal(at->embargo_until, i == POOL_EMBARGO ? until : INSTANT_NONE);
		assert_ok(c, pool_receipt(c, coop, at->id, &receipt));
		assert_str(receipt.status, statuses[i]);
		assert_ok(c, pool_read(c, coop, at->id, &item, NULL));
		assert_str(item.status, statuses[i]);
	}
	assert_str(items[0].status, "pending");
	/* nobody decides on what is to be erased */
	assert_ok(admin, pool_queue(admin, coop, STR_NONE, 10, &items, &n, &cursor));
	assert_int_equal(n, 4);
	struct uuid erased = { { 0 } };
	assert_true(uuid_parse(str_of(fixture_text("SELECT id::text FROM contribution WHERE item_no = 0")), &erased));
	assert_err(admin, ERR_GONE, pool_moderate(admin, coop, erased, true, STR_NONE, &item));
	clock_set(until);
	assert_ok(c, pool_list_mine(c, coop, STR_NONE, STR_NONE, 10, &items, &n, &cursor));
	assert_str(items[2].status, "pending");
	assert_int_equal(items[2].embargo_until, INSTANT_NONE);
}

/* ---- Duplicates ---- */

static void what_is_withdrawn_for_good_gives_way_to_the_same_by_others(void **state)
{
	(void)state;
	struct uuid coop = world_coop("");
	struct call *c = world_member(coop, "active"), *d = world_member(coop, "active");
	const enum pool_withdrawal_kind final[] = { POOL_ERASE, POOL_WITHDRAW_FUTURE };
	for (int64_t i = 0; i < 2; i++) {
		world_submit(c, coop, i ? "said by two" : "said by both");
		world_submit(d, coop, i ? "said by two" : "said by both");
		assert_true(word_of(coop, i * 2 + 1) & POLICY_ITEM_DUPLICATE);
		mark(coop, withdraw_one(coop, final[i], i * 2, INSTANT_NONE));
		assert_false(word_of(coop, i * 2 + 1) & POLICY_ITEM_DUPLICATE);
	}
}

static void content_to_be_erased_is_not_taken_again_from_that_moment(void **state)
{
	(void)state;
	struct uuid coop = world_coop("");
	struct call *c = world_member(coop, "active"), *d = world_member(coop, "active");
	struct receipt r;
	world_submit(c, coop, "not again");
	struct uuid id = withdraw_one(coop, POOL_ERASE, 0, INSTANT_NONE);
	assert_err(c, ERR_GONE, pool_submit(c, coop, world_example(c, "not again"), &r));
	mark(coop, id);
	assert_err(c, ERR_GONE, pool_submit(c, coop, world_example(c, "not again"), &r));
	assert_false(world_submit(d, coop, "not again").duplicate);
	assert_int_equal(fixture_int("SELECT count(*) FROM contribution"), 2);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		fixture_test(any_withdrawals_are_laid_over_packed_and_loose_rows_alike),
		fixture_test(a_withdrawal_is_one_row_whatever_the_number_of_items),
		fixture_test(what_a_member_contributes_after_withdrawing_everything_is_not_touched),
		fixture_test(a_scan_that_asks_for_words_alone_is_laid_over_by_members_too),
		fixture_test(a_lifted_restriction_gives_the_bit_back),
		fixture_test(an_embargo_ends_by_itself_or_earlier),
		fixture_test(what_is_final_is_not_lifted),
		fixture_test(withdrawals_that_make_no_sense_are_refused),
		fixture_test(items_are_selected_by_whose_they_are),
		fixture_test(the_items_of_a_withdrawal_come_in_pages_without_tombstones),
		fixture_test(lists_and_pages_show_what_is_withdrawn),
		fixture_test(what_is_withdrawn_for_good_gives_way_to_the_same_by_others),
		fixture_test(content_to_be_erased_is_not_taken_again_from_that_moment),
	};
	return fixture_run(tests, CH_LEN(tests));
}
