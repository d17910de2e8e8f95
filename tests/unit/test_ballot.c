/* Ballots: notice, roll, votes, close, result. */
#include "world.h"

#include <pthread.h>

/* A ballot of its own, about nothing, under the rule given. */
static struct uuid propose(struct world *w, const char *rule, instant opens, instant closes)
{
	struct call *c = w->system;
	const struct json *json;
	struct uuid id;
	assert_ok(c, json_parse(c->arena, str_of(rule), &json, &c->error));
	struct ballot_draft draft = { .kind = "toggle", .subject = uuid_new(), .digest = sha256(STR("what is decided")), .title = STR("A question"),
		.question = STR("Shall it be?"), .rule = json, .charter = 1, .opens_at = opens, .closes_at = closes };
	assert_ok(c, db_begin_in(c, w->coop, DB_WRITE));
	assert_ok(c, ballot_create(c, w->coop, &draft, &id));
	assert_ok(c, db_commit(c));
	return id;
}

static struct ballot read_as(struct call *c, struct world *w, struct uuid id)
{
	struct ballot b;
	assert_ok(c, ballot_read(c, w->coop, id, &b));
	return b;
}

static void cast(struct world *w, int member, struct uuid ballot, const char *choice)
{
	struct ballot b;
	assert_ok(by(w, member), ballot_cast_vote(by(w, member), w->coop, ballot, str_of(choice), &b));
}

static void advance(struct world *w, struct uuid ballot, instant t)
{
	clock_set(t);
	assert_ok(w->system, ballot_advance(w->system, w->coop, ballot));
}

#define OPENS (WORLD_START + 7 * CLOCK_DAY)
#define CLOSES (OPENS + 3 * CLOCK_DAY)

static void each_rule_passes_and_fails_where_it_says(void **state)
{
	/* Eight on the roll, three of them admins; votes by members 0 to 7: f for, a against, - abstain, space none. */
	static const struct { const char *rule, *votes; enum ballot_state result; } cases[] = {
		{ "{\"rule\":\"majority\",\"roll\":\"members\"}", "ffa     ", BALLOT_PASSED },
		{ "{\"rule\":\"majority\",\"roll\":\"members\"}", "fa------", BALLOT_FAILED },
		{ "{\"rule\":\"majority\",\"roll\":\"members\"}", "        ", BALLOT_FAILED },
		{ "{\"rule\":\"majority\",\"n\":2,\"d\":3,\"strict\":false,\"roll\":\"members\"}", "ffffaa  ", BALLOT_PASSED },
		{ "{\"rule\":\"majority\",\"n\":2,\"d\":3,\"strict\":true,\"roll\":\"members\"}", "ffffaa  ", BALLOT_FAILED },
		{ "{\"rule\":\"approval_quorum\",\"n\":1,\"d\":2,\"roll\":\"members\"}", "ffff    ", BALLOT_PASSED },
		{ "{\"rule\":\"approval_quorum\",\"n\":1,\"d\":2,\"roll\":\"members\"}", "fff-----", BALLOT_FAILED },
		{ "{\"rule\":\"n_of_m_admins\",\"n\":2}", "ff      ", BALLOT_PASSED },
		{ "{\"rule\":\"n_of_m_admins\",\"n\":2}", "f  fffff", BALLOT_FAILED },
		{ "{\"rule\":\"all_of\",\"of\":[{\"rule\":\"majority\",\"roll\":\"members\"},{\"rule\":\"majority\",\"roll\":\"admins\"}]}", "aafffff ", BALLOT_FAILED },
		{ "{\"rule\":\"all_of\",\"of\":[{\"rule\":\"majority\",\"roll\":\"members\"},{\"rule\":\"majority\",\"roll\":\"admins\"}]}", "ffafffff", BALLOT_PASSED },
		{ "{\"rule\":\"any_of\",\"of\":[{\"rule\":\"majority\",\"roll\":\"members\"},{\"rule\":\"n_of_m_admins\",\"n\":3}]}", "fffaaaaa", BALLOT_PASSED },
	};
	struct world w;
	(void)state;
	world_make(&w, NULL);
	for (size_t i = 0; i < CH_LEN(cases); i++) {
		clock_set(WORLD_START);
		struct uuid id = propose(&w, cases[i].rule, OPENS, CLOSES);
		advance(&w, id, OPENS);
		bool asks_members = read_as(by(&w, 0), &w, id).members.roll == WORLD_MEMBERS;
		for (int m = 0; m < WORLD_MEMBERS; m++)
			if (cases[i].votes[m] != ' ' && (asks_members || m < 3))
				cast(&w, m, id, cases[i].votes[m] == 'f' ? "for" : cases[i].votes[m] == 'a' ? "against" : "abstain");
		advance(&w, id, CLOSES);
		struct ballot b = read_as(by(&w, 0), &w, id);
		if (b.state != cases[i].result)
			fail_msg("case %zu: %s", i, ballot_state_name(b.state));
		assert_int_equal(b.members.yes + b.members.no + b.members.abstain + b.members.undecided, b.members.roll);
	}
}

static void the_roll_is_frozen_when_the_ballot_opens(void **state)
{
	struct world w;
	struct member m;
	struct ballot b;
	(void)state;
	world_make(&w, NULL);
	struct uuid id = propose(&w, "{\"rule\":\"majority\",\"roll\":\"members\"}", OPENS, CLOSES);
	advance(&w, id, OPENS);
	assert_ok(by(&w, 7), member_leave(by(&w, 7), w.coop, &m));
	assert_int_equal(read_as(by(&w, 0), &w, id).members.roll, WORLD_MEMBERS);
	assert_true(ballot_cast_vote(by(&w, 7), w.coop, id, STR("for"), &b) != ERR_OK);
}

static void nobody_votes_before_or_after(void **state)
{
	struct world w;
	struct ballot b;
	(void)state;
	world_make(&w, NULL);
	struct uuid id = propose(&w, "{\"rule\":\"majority\",\"roll\":\"members\"}", OPENS, CLOSES);
	assert_err(by(&w, 0), ERR_STATE, ballot_cast_vote(by(&w, 0), w.coop, id, STR("for"), &b));
	advance(&w, id, OPENS);
	cast(&w, 0, id, "for");
	clock_set(CLOSES);
	assert_err(by(&w, 1), ERR_STATE, ballot_cast_vote(by(&w, 1), w.coop, id, STR("for"), &b));
	advance(&w, id, CLOSES);
	assert_err(by(&w, 1), ERR_STATE, ballot_cast_vote(by(&w, 1), w.coop, id, STR("for"), &b));
	assert_int_equal(fixture_int("SELECT count(*) FROM vote"), 1);
}

static void the_last_vote_counts_and_every_version_is_kept(void **state)
{
	struct world w;
	(void)state;
	world_make(&w, NULL);
	struct uuid id = propose(&w, "{\"rule\":\"majority\",\"roll\":\"members\"}", OPENS, CLOSES);
	advance(&w, id, OPENS);
	cast(&w, 0, id, "for");
	cast(&w, 0, id, "against");
	cast(&w, 1, id, "for");
	cast(&w, 1, id, "none");
	advance(&w, id, CLOSES);
	struct ballot b = read_as(by(&w, 0), &w, id);
	assert_int_equal(b.members.no, 1);
	assert_int_equal(b.members.yes, 0);
	assert_int_equal(fixture_int("SELECT count(*) FROM vote"), 4);
}

static void counts_are_hidden_until_the_end(void **state)
{
	struct world w;
	(void)state;
	world_make(&w, NULL);
	struct uuid id = propose(&w, "{\"rule\":\"majority\",\"roll\":\"members\"}", OPENS, CLOSES);
	advance(&w, id, OPENS);
	cast(&w, 0, id, "for");
	struct ballot b = read_as(by(&w, 1), &w, id);
	assert_false(b.tally_shown);
	assert_int_equal(b.members.yes, 0);
	advance(&w, id, CLOSES);
	assert_int_equal(read_as(by(&w, 1), &w, id).members.yes, 1);
}

/* ---- closing by many workers at once ---- */

struct racer { struct world *w; struct uuid ballot; enum err result; };

static void *race_to_close(void *arg)
{
	struct racer *r = arg;
	struct arena *a = arena_new(4 * MIB);
	struct call c = { .arena = a, .actor = { .kind = AUTH_SYSTEM } };
	r->result = ballot_advance(&c, r->w->coop, r->ballot);
	db_release(&c);
	arena_free(a);
	return NULL;
}

static void closing_is_idempotent_under_concurrent_workers(void **state)
{
	struct world w;
	pthread_t threads[6];
	struct racer racers[6];
	(void)state;
	world_make(&w, NULL);
	struct uuid id = propose(&w, "{\"rule\":\"majority\",\"roll\":\"members\"}", OPENS, CLOSES);
	advance(&w, id, OPENS);
	cast(&w, 0, id, "for");
	clock_set(CLOSES);
	db_release(w.system);
	db_release(w.person);
	for (size_t i = 0; i < CH_LEN(threads); i++) {
		racers[i] = (struct racer){ &w, id, ERR_INTERNAL };
		assert_int_equal(pthread_create(&threads[i], NULL, race_to_close, &racers[i]), 0);
	}
	for (size_t i = 0; i < CH_LEN(threads); i++) {
		pthread_join(threads[i], NULL);
		assert_int_equal(racers[i].result, ERR_OK);
	}
	assert_int_equal(fixture_int("SELECT count(*) FROM ballot_resolution"), WORLD_MEMBERS);
	assert_int_equal(fixture_int("SELECT count(*) FROM log_leaf WHERE type = 'ballot.closed'"), 1);
	assert_int_equal(fixture_int("SELECT count(*) FROM job WHERE kind = 'toggle.decided'"), 1);
}

static void votes_and_rolls_cannot_be_rewritten(void **state)
{
	struct world w;
	(void)state;
	world_make(&w, NULL);
	struct uuid id = propose(&w, "{\"rule\":\"majority\",\"roll\":\"members\"}", OPENS, CLOSES);
	advance(&w, id, OPENS);
	cast(&w, 0, id, "for");
	SQL(rewrite, "UPDATE vote SET choice = 'against'");
	SQL(forget, "DELETE FROM ballot_roll");
	assert_ok(w.system, db_begin_in(w.system, w.coop, DB_WRITE));
	assert_true(db_query0(w.system, rewrite, NULL) != ERR_OK);
	db_rollback(w.system);
	assert_ok(w.system, db_begin_in(w.system, w.coop, DB_WRITE));
	assert_true(db_query0(w.system, forget, NULL) != ERR_OK);
	db_rollback(w.system);
	assert_int_equal(fixture_int("SELECT count(*) FROM vote WHERE choice = 'for'"), 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		fixture_test(each_rule_passes_and_fails_where_it_says),
		fixture_test(the_roll_is_frozen_when_the_ballot_opens),
		fixture_test(nobody_votes_before_or_after),
		fixture_test(the_last_vote_counts_and_every_version_is_kept),
		fixture_test(counts_are_hidden_until_the_end),
		fixture_test(closing_is_idempotent_under_concurrent_workers),
		fixture_test(votes_and_rolls_cannot_be_rewritten),
	};
	return fixture_run(tests, CH_LEN(tests));
}
