/* A's records go on to C by way of B: with A's own words, under both agreements, proved against A's log; and what A takes back goes there and is confirmed back. */
#include "chain_world.h"

static int64_t at_c(struct chain *ch, const char *what)
{
	return fixture_int(text("SELECT count(*) FROM %s AND coop_id = '%s'", what, U(ch->coop[C])));
}

/* Whether a release of a co-op could hold it, as far as merging has a say. */
static bool counts(struct chain *ch, int at, struct uuid item)
{
	return fixture_int(text("SELECT count(*) FROM contribution WHERE coop_id = '%s' AND id = '%s' AND word & (16384 | 4096) = 0", U(ch->coop[at]), U(item))) == 1;
}

static struct merge_state state_of_pair(struct chain *ch, int at, int with)
{
	struct merge_state s;
	assert_ok(ch->w.system, merge_state_digest(ch->w.system, ch->coop[at], ch->agreement[at][with], &s));
	return s;
}

static void assert_pair_agrees(struct chain *ch, int x, int y)
{
	struct merge_state a = state_of_pair(ch, x, y), b = state_of_pair(ch, y, x);
	assert_int_equal(a.records, b.records);
	assert_int_equal(a.tombstones, b.tombstones);
	assert_int_equal(a.statements, b.statements);
	assert_true(sha256_eq(a.digest, b.digest));
}

static void what_a_home_lets_its_partner_pass_on_arrives_farther_on_with_its_words_and_proof(void **state)
{
	struct chain chain, *ch = &chain;
	(void)state;
	chain_make(ch);
	say_at(ch, A, "allow");
	struct uuid item = contribute_at(ch, A, "from A");
	assert_int_equal(bundle(ch, A, B).rows, 1);
	struct merge_report r = bundle(ch, B, C);
	assert_int_equal(r.rows, 1);
	assert_int_equal(r.contributors, 1);
	assert_true(holds(ch, C, item) && counts(ch, C, item));
	assert_int_equal(at_c(ch, text("guest WHERE home = '%.*s' AND line IN (SELECT line FROM guest WHERE coop_id = '%s')", STR_ARG(ch->name[A]), U(ch->coop[B]))), 1);
	assert_int_equal(at_c(ch, text("guest_source WHERE under = '%s' AND home = '%.*s'", U(ch->agreement[B][C]), STR_ARG(ch->name[B]))), 1);
	assert_int_equal(at_c(ch, text("onward_way WHERE via = '%.*s' AND id = '%s'", STR_ARG(ch->name[B]), U(item))), 1);
	assert_int_equal(at_c(ch, text("onward_head WHERE via = '%.*s' AND home = '%.*s'", STR_ARG(ch->name[B]), STR_ARG(ch->name[A]))), 1);
	assert_pair_agrees(ch, A, B);
	assert_pair_agrees(ch, B, C);
	/* nothing comes home, and nothing comes twice */
	assert_int_equal(bundle(ch, C, B).records, 0);
	assert_int_equal(bundle(ch, B, A).records, 0);
	assert_int_equal(bundle(ch, B, C).records, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		fixture_test(what_a_home_lets_its_partner_pass_on_arrives_farther_on_with_its_words_and_proof),
	};
	return fixture_run(tests, CH_LEN(tests));
}
