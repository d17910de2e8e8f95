/* The benefit ledger: amounts to the smallest unit, the charter's split, reversals, payments, and what the public can check. */
#include "world.h"

#include "commonhold/benefit.h"
#include "commonhold/db.h"
#include "commonhold/ledger.h"

#include <stdlib.h>

static const struct uuid nil;

static int64_t parsed(const char *text, const char *currency)
{
	int64_t units = -1;
	return money_parse(str_of(text), str_of(currency), &units) ? units : -1;
}

static void an_amount_is_read_to_the_smallest_unit(void **state)
{
	(void)state;
	assert_int_equal(parsed("12.34", "CHF"), 1234);
	assert_int_equal(parsed("12.3", "CHF"), 1230);
	assert_int_equal(parsed("12", "CHF"), 1200);
	assert_int_equal(parsed("0.01", "EUR"), 1);
	assert_int_equal(parsed("500", "JPY"), 500);
	assert_int_equal(parsed("1.234", "BHD"), 1234);
	assert_int_equal(parsed("10000000000000.00", "EUR"), MONEY_MAX);
	static const char *const bad[] = { "", "0", "0.00", "-1", "+1", "1.", ".5", "1.2.3", "1,5", "12.345", "1e3", " 1", "10000000000000.01", "99999999999999999999999999", "0x10" };
	for (size_t i = 0; i < CH_LEN(bad); i++)
		assert_int_equal(parsed(bad[i], "EUR"), -1);
	assert_int_equal(parsed("1.5", "JPY"), -1);
	static const char *const no_currency[] = { "", "eur", "EU", "EURO", "E1R" };
	for (size_t i = 0; i < CH_LEN(no_currency); i++)
		assert_int_equal(parsed("1", no_currency[i]), -1);
}

static void an_amount_is_written_as_it_is_read(void **state)
{
	struct arena *a = arena_new(MIB);
	(void)state;
	assert_true(str_is(money_format(a, 5, STR("EUR")), "0.05"));
	assert_true(str_is(money_format(a, -123456, STR("EUR")), "-1234.56"));
	assert_true(str_is(money_format(a, 0, STR("JPY")), "0"));
	assert_true(str_is(money_format(a, 1234, STR("BHD")), "1.234"));
	assert_true(str_is(money_words(a, 123456789, STR("CHF")), "CHF 1,234,567.89"));
	assert_true(str_is(money_words(a, 1000, STR("JPY")), "JPY 1,000"));
	assert_true(str_is(money_words(a, -99, STR("CHF")), "CHF -0.99"));
	arena_free(a);
}

static void what_is_left_goes_to_the_largest_remainders(void **state)
{
	struct arena *a = arena_new(MIB);
	struct money_part parts[] = { { .weight = 1 }, { .weight = 1 }, { .weight = 1 } };
	(void)state;
	/* 100 / 3: each 33, and the one left to who stands first. */
	assert_true(money_split(a, 100, parts, 3));
	assert_int_equal(parts[0].amount, 34);
	assert_int_equal(parts[1].amount, 33);
	assert_int_equal(parts[2].amount, 33);
	/* 10 over 3, 3, 1: quotas 4.28, 4.28, 1.43: the largest remainder is the smallest part's. */
	struct money_part uneven[] = { { .weight = 3 }, { .weight = 3 }, { .weight = 1 } };
	assert_true(money_split(a, 10, uneven, 3));
	assert_int_equal(uneven[0].amount, 4);
	assert_int_equal(uneven[1].amount, 4);
	assert_int_equal(uneven[2].amount, 2);
	struct money_part none[] = { { .weight = 0 }, { .weight = 5 } };
	assert_true(money_split(a, 7, none, 2));
	assert_int_equal(none[0].amount, 0);
	assert_int_equal(none[1].amount, 7);
	assert_false(money_split(a, 7, none, 1));
	assert_false(money_split(a, 7, NULL, 0));
	struct money_part huge[] = { { .weight = INT64_MAX }, { .weight = 1 } };
	assert_false(money_split(a, 7, huge, 2));
	arena_free(a);
}

/* Whatever the weights: nothing is lost, nobody is a unit away from their quota, and who weighs more never gets less. */
static void a_split_is_whole_and_fair_at_random(void **state)
{
	unsigned seed = (unsigned)clock_now();
	(void)state;
	print_message("seed %u\n", seed);
	srandom(seed);
	for (int round = 0; round < 2000; round++) {
		struct arena *a = arena_new(MIB);
		struct money_part parts[40];
		size_t n = 1 + (size_t)random() % CH_LEN(parts);
		int64_t amount = random() % 3 ? random() % 1000 : (int64_t)random() * 100000;
		uint64_t total = 0;
		int64_t sum = 0;
		for (size_t i = 0; i < n; i++)
			total += parts[i].weight = (uint64_t)random() % (round % 2 ? 5 : 1000000000);
		if (!money_split(a, amount, parts, n)) {
			assert_int_equal(total, 0);
			arena_free(a);
			continue;
		}
		for (size_t i = 0; i < n; i++) {
			unsigned __int128 worth = (unsigned __int128)(uint64_t)amount * parts[i].weight;
			int64_t low = (int64_t)(worth / total), high = low + (worth % total != 0);
			assert_in_range(parts[i].amount, low, high);
			sum += parts[i].amount;
			for (size_t k = 0; k < n; k++)
				assert_true(parts[i].weight <= parts[k].weight || parts[i].amount >= parts[k].amount);
		}
		assert_int_equal(sum, amount);
		arena_free(a);
	}
}

/* ---- The ledger ---- */

/* A co-op with a published release: member 0 has three items in it, member 1 one, member 2 none. */
static struct release earning(struct world *w, const char *replace)
{
	*w = (struct world){ 0 };
	world_make(w, replace);
	for (int m = 0; m < 2; m++)
		world_say(w, m, "allow");
	world_say(w, 2, "deny");
	static const char *const texts[] = { "When is hay cut?", "How deep do roots go?", "What do sheep eat?" };
	for (size_t i = 0; i < CH_LEN(texts); i++)
		world_contribute(w, 0, texts[i]);
	world_contribute(w, 1, "Who mends the fence?");
	world_contribute(w, 2, "Nobody may have this.");
	return world_published(w);
}

static struct benefit_draft draft(const struct release *r, int64_t amount)
{
	return (struct benefit_draft){ .release = r->id, .kind = STR("money"), .currency = STR("CHF"), .source = STR("A laboratory"), .note = STR("A year's licence"), .amount = amount };
}

static int64_t share_of(struct world *w, struct uuid income, int member)
{
	struct call *c = by(w, 0);
	struct benefit_share *shares;
	size_t n;
	assert_ok(c, benefit_shares(c, w->coop, income, &shares, &n));
	for (size_t i = 0; i < n; i++)
		if (member < 0 ? shares[i].no == 0 : uuid_eq(shares[i].member, w->id[member]))
			return shares[i].amount;
	return -1;
}

static void an_income_is_split_by_the_charter_and_by_what_is_in_the_release(void **state)
{
	struct world w;
	struct release r = earning(&w, NULL);
	struct benefit_income in;
	struct benefit_draft d = draft(&r, 10001);
	(void)state;
	struct call *admin = by(&w, 0);
	assert_ok(admin, benefit_record(admin, w.coop, &d, &in));
	/* 70/30 of 10001: 7000.7 and 3000.3, so 7001 and 3000; 7001 over three to one: 5250.75 and 1750.25. */
	assert_int_equal(in.commons_amount, 3000);
	assert_int_equal(in.weight_total, 4);
	assert_int_equal(in.shares, 2);
	assert_int_equal(share_of(&w, in.id, -1), 3000);
	assert_int_equal(share_of(&w, in.id, 0), 5251);
	assert_int_equal(share_of(&w, in.id, 1), 1750);
	assert_int_equal(share_of(&w, in.id, 2), -1);
	assert_int_equal(fixture_int("SELECT count(*) FROM notice WHERE kind = 'benefit.recorded'"), 2);
	struct log_entry *log;
	size_t n;
	assert_ok(admin, db_begin_in(admin, w.coop, DB_READ));
	assert_ok(admin, ledger_entries(admin, w.coop, INT64_MAX, 1, &log, &n));
	assert_ok(admin, db_commit(admin));
	assert_true(str_is(log[0].type, "benefit.recorded"));
	struct str root = sha256_hex(admin->arena, in.shares_root);
	assert_non_null(memmem(log[0].entry.p, log[0].entry.n, root.p, root.n));
}

static void a_charter_may_weigh_by_person(void **state)
{
	struct world w;
	struct release r = earning(&w, "{\"benefit\":{\"contributors\":100,\"commons\":0,\"weight\":\"per_contributor\"}}");
	struct benefit_income in;
	struct benefit_draft d = draft(&r, 1000);
	(void)state;
	struct call *admin = by(&w, 0);
	assert_ok(admin, benefit_record(admin, w.coop, &d, &in));
	assert_int_equal(share_of(&w, in.id, 0), 500);
	assert_int_equal(share_of(&w, in.id, 1), 500);
	assert_int_equal(in.commons_amount, 0);
}

/* What an auditor does: the public lines alone. */
static void the_public_lines_lead_to_the_logged_root_and_split_again(void **state)
{
	struct world w;
	struct release r = earning(&w, NULL);
	struct benefit_income in;
	struct benefit_draft d = draft(&r, 9999);
	struct benefit_share *shares;
	struct benefit_statement mine;
	size_t n;
	(void)state;
	struct call *c = by(&w, 0);
	assert_ok(c, benefit_record(c, w.coop, &d, &in));
	c = by(&w, 4);
	assert_ok(c, benefit_shares(c, w.coop, in.id, &shares, &n));
	struct money_part parts[8];
	struct sha256 leaves[8];
	for (size_t i = 0; i < n; i++) {
		assert_true(uuid_is_nil(shares[i].member));
		assert_null(shares[i].who.p);
		leaves[i] = merkle_leaf(benefit_line(c->arena, &shares[i]));
		parts[i].weight = (uint64_t)shares[i].weight;
		if (i > 1)
			assert_true(memcmp(shares[i - 1].commitment.b, shares[i].commitment.b, 32) < 0);
	}
	struct sha256 root = merkle_root(leaves, n);
	assert_memory_equal(root.b, in.shares_root.b, 32);
	assert_true(money_split(c->arena, in.amount - in.commons_amount, parts + 1, n - 1));
	for (size_t i = 1; i < n; i++)
		assert_int_equal(parts[i].amount, shares[i].amount);
	/* And a member finds their own line. */
	c = by(&w, 1);
	assert_ok(c, benefit_statement_mine(c, w.coop, &mine));
	assert_int_equal(mine.n, 1);
	struct sha256 own = ledger_commitment(mine.lines[0].salt, sha256(uuid_format(c->arena, w.id[1])));
	assert_memory_equal(own.b, shares[mine.lines[0].no].commitment.b, 32);
	assert_int_equal(mine.lines[0].amount, shares[mine.lines[0].no].amount);
}

static void an_entry_is_taken_back_by_one_that_mirrors_it_once(void **state)
{
	struct world w;
	struct release r = earning(&w, NULL);
	struct benefit_income in, back, again;
	struct benefit_draft d = draft(&r, 10001);
	struct benefit_statement mine;
	(void)state;
	struct call *admin = by(&w, 0);
	assert_ok(admin, benefit_record(admin, w.coop, &d, &in));
	assert_ok(admin, benefit_reverse(admin, w.coop, in.id, STR("It was for another release."), &back));
	assert_int_equal(back.amount, -10001);
	assert_int_equal(share_of(&w, back.id, 0), -5251);
	assert_err(admin, ERR_STATE, benefit_reverse(admin, w.coop, in.id, STR("Once more."), &again));
	assert_err(admin, ERR_STATE, benefit_reverse(admin, w.coop, back.id, STR("And back."), &again));
	assert_ok(admin, benefit_statement_mine(admin, w.coop, &mine));
	assert_int_equal(mine.n, 2);
	assert_int_equal(mine.balances[0].earned, 0);
	assert_ok(admin, benefit_read(admin, w.coop, in.id, &again));
	assert_true(uuid_eq(again.reversed_by, back.id));
}

static void a_member_is_paid_what_is_owed_and_no_more(void **state)
{
	struct world w;
	struct release r = earning(&w, NULL);
	struct benefit_income in;
	struct benefit_payment paid;
	struct benefit_draft d = draft(&r, 10000);
	struct benefit_statement mine;
	(void)state;
	struct call *admin = by(&w, 0);
	assert_ok(admin, benefit_record(admin, w.coop, &d, &in));
	assert_int_equal(share_of(&w, in.id, 1), 1750);
	assert_err(admin, ERR_REFUSED, benefit_pay(admin, w.coop, w.id[1], 1751, STR("CHF"), STR("By bank"), &paid));
	assert_err(admin, ERR_REFUSED, benefit_pay(admin, w.coop, w.id[1], 1, STR("EUR"), STR("By bank"), &paid));
	assert_err(admin, ERR_REFUSED, benefit_pay(admin, w.coop, w.id[2], 1, STR("CHF"), STR("By bank"), &paid));
	assert_err(admin, ERR_INVALID, benefit_pay(admin, w.coop, nil, 1, STR("CHF"), STR("By bank"), &paid));
	assert_err(admin, ERR_INVALID, benefit_pay(admin, w.coop, w.id[1], 0, STR("CHF"), STR("By bank"), &paid));
	assert_ok(admin, benefit_pay(admin, w.coop, w.id[1], 1750, STR("CHF"), STR("By bank"), &paid));
	assert_err(admin, ERR_REFUSED, benefit_pay(admin, w.coop, w.id[1], 1, STR("CHF"), STR("By bank"), &paid));
	struct call *c = by(&w, 1);
	assert_ok(c, benefit_statement_mine(c, w.coop, &mine));
	assert_int_equal(mine.n, 2);
	assert_int_equal(mine.balances[0].earned, 1750);
	assert_int_equal(mine.balances[0].paid, 1750);
	assert_int_equal(fixture_int("SELECT count(*) FROM notice WHERE kind = 'benefit.paid'"), 1);
}

static void the_commons_are_spent_by_a_ballot_and_once(void **state)
{
	struct world w;
	struct release r = earning(&w, NULL);
	struct benefit_income in;
	struct benefit_draft d = draft(&r, 10000);
	struct benefit_total *totals;
	struct uuid ballot = uuid_new();
	size_t n;
	(void)state;
	struct call *admin = by(&w, 0), *c = w.system;
	assert_ok(admin, benefit_record(admin, w.coop, &d, &in));
	assert_ok(c, db_begin_in(c, w.coop, DB_WRITE));
	assert_err(c, ERR_REFUSED, benefit_spend(c, w.coop, ballot, 3001, STR("CHF"), STR("A summer school")));
	for (int i = 0; i < 2; i++) {
		assert_ok(c, db_begin_in(c, w.coop, DB_WRITE));
		assert_ok(c, benefit_spend(c, w.coop, ballot, 2000, STR("CHF"), STR("A summer school")));
		assert_ok(c, db_commit(c));
	}
	assert_ok(c, benefit_totals(c, w.coop, &totals, &n));
	assert_int_equal(n, 1);
	assert_int_equal(totals[0].income, 10000);
	assert_int_equal(totals[0].commons, 3000);
	assert_int_equal(totals[0].members, 7000);
	assert_int_equal(totals[0].commons_paid, 2000);
	assert_int_equal(totals[0].members_paid, 0);
}

static void a_ballot_may_split_an_income_otherwise_and_once(void **state)
{
	struct world w;
	struct release r = earning(&w, NULL);
	struct benefit_draft d = draft(&r, 1000);
	struct benefit_income *all;
	struct str next;
	size_t n;
	(void)state;
	d.ballot = uuid_new();
	d.contributors = 0;
	d.weight = STR("included_items");
	struct call *c = w.system;
	for (int i = 0; i < 2; i++) {
		assert_ok(c, db_begin_in(c, w.coop, DB_WRITE));
		assert_ok(c, benefit_record_decided(c, w.coop, &d));
		assert_ok(c, db_commit(c));
	}
	assert_ok(c, benefit_list(c, w.coop, STR_NONE, 10, &all, &n, &next));
	assert_int_equal(n, 1);
	assert_int_equal(all[0].commons_amount, 1000);
	assert_true(uuid_eq(all[0].ballot, d.ballot));
}

static void only_admins_record_and_only_for_what_was_published(void **state)
{
	struct world w;
	struct release r = earning(&w, NULL);
	struct benefit_income in;
	struct benefit_payment paid;
	struct benefit_owed *owed;
	struct benefit_draft d = draft(&r, 1000);
	size_t n;
	(void)state;
	struct call *c = by(&w, 4);
	assert_err(c, ERR_FORBIDDEN, benefit_record(c, w.coop, &d, &in));
	assert_err(c, ERR_FORBIDDEN, benefit_pay(c, w.coop, w.id[0], 1, STR("CHF"), STR("By bank"), &paid));
	assert_err(c, ERR_FORBIDDEN, benefit_owed_list(c, w.coop, 10, &owed, &n));
	c = by(&w, 0);
	struct release next;
	assert_ok(w.system, release_schedule_next(w.system, w.coop, &next));
	d.release = next.id;
	assert_err(c, ERR_STATE, benefit_record(c, w.coop, &d, &in));
	d.release = uuid_new();
	assert_err(c, ERR_NOT_FOUND, benefit_record(c, w.coop, &d, &in));
	d = draft(&r, 1000);
	d.kind = STR("gold");
	assert_err(c, ERR_INVALID, benefit_record(c, w.coop, &d, &in));
	d = draft(&r, 0);
	assert_err(c, ERR_INVALID, benefit_record(c, w.coop, &d, &in));
	d = draft(&r, 1000);
	d.source = STR("");
	assert_err(c, ERR_INVALID, benefit_record(c, w.coop, &d, &in));
}

/* Even one who writes past the program cannot make money of nothing. */
static void shares_that_do_not_make_the_income_are_refused_by_the_database(void **state)
{
	struct world w;
	struct release r = earning(&w, NULL);
	struct benefit_income in;
	struct benefit_draft d = draft(&r, 1000);
	SQL(forge, "INSERT INTO benefit_income (coop_id, id, release_id, kind, amount, currency, source, charter, contributors, commons, weight, weight_total, shares, shares_root, recorded_at) "
		"SELECT coop_id, gen_random_uuid(), release_id, kind, amount + 1, currency, source, charter, contributors, commons, weight, weight_total, shares, shares_root, recorded_at "
		"FROM benefit_income WHERE coop_id = $1");
	SQL(change, "UPDATE benefit_share SET amount = 0 WHERE coop_id = $1");
	(void)state;
	struct call *c = by(&w, 0);
	assert_ok(c, benefit_record(c, w.coop, &d, &in));
	assert_ok(c, db_begin_in(c, w.coop, DB_WRITE));
	assert_ok(c, db_exec(c, forge, A_UUID(w.coop)));
	assert_int_not_equal(db_commit(c), ERR_OK);
	db_rollback(c);
	error_clear(&c->error);
	assert_ok(c, db_begin_in(c, w.coop, DB_WRITE));
	assert_int_not_equal(db_exec(c, change, A_UUID(w.coop)), ERR_OK);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(an_amount_is_read_to_the_smallest_unit),
		cmocka_unit_test(an_amount_is_written_as_it_is_read),
		cmocka_unit_test(what_is_left_goes_to_the_largest_remainders),
		cmocka_unit_test(a_split_is_whole_and_fair_at_random),
		fixture_test(an_income_is_split_by_the_charter_and_by_what_is_in_the_release),
		fixture_test(a_charter_may_weigh_by_person),
		fixture_test(the_public_lines_lead_to_the_logged_root_and_split_again),
		fixture_test(an_entry_is_taken_back_by_one_that_mirrors_it_once),
		fixture_test(a_member_is_paid_what_is_owed_and_no_more),
		fixture_test(the_commons_are_spent_by_a_ballot_and_once),
		fixture_test(a_ballot_may_split_an_income_otherwise_and_once),
		fixture_test(only_admins_record_and_only_for_what_was_published),
		fixture_test(shares_that_do_not_make_the_income_are_refused_by_the_database),
	};
	return fixture_run(tests, CH_LEN(tests));
}
