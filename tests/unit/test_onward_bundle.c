/* Deletions that travel with bundles, over three co-ops in a chain, and what they do to releases that hold what is taken back. */
#include "chain_world.h"

static void bundles_alone_carry_it_and_messages_may_come_late(void **state)
{
	struct chain chain, *ch = &chain;
	(void)state;
	chain_make(ch);
	say_at(ch, A, "allow");
	struct uuid gone = contribute_at(ch, A, "to be erased"), stays = contribute_at(ch, A, "stays");
	assert_int_equal(bundle(ch, A, B).rows, 2);
	struct erasure e = erase_at(ch, A, &gone, 1);
	run(no_messages, 3);
	assert_int_equal(bundle(ch, A, B).tombstones, 1);
	run(no_messages, 3);
	assert_false(holds(ch, B, gone));
	assert_true(holds(ch, B, stays));
	assert_int_equal(tombstones(ch, B, A, gone), 1);
	assert_string_equal(confirmed(ch, A, e.id, B), "");
	/* What was said at the beginning arrives at last, and changes nothing but who has confirmed. */
	run(all_jobs, 15);
	assert_string_equal(confirmed(ch, A, e.id, B), "deleted");
	assert_int_equal(tombstones(ch, B, A, gone), 1);
	assert_int_equal(state_of(&ch->w, e.id), ERASURE_COMPLETED);
	/* A whole bundle, with everything that stands, brings nothing back. */
	fixture_sql("UPDATE bundle_flow SET whole_next = true");
	assert_int_equal(bundle(ch, A, B).rows, 0);
	assert_false(holds(ch, B, gone));
	assert_true(holds(ch, B, stays));
}

static void a_release_with_a_partners_item_is_redacted_when_the_partner_takes_it_back(void **state)
{
	struct chain chain, *ch = &chain;
	(void)state;
	chain_make(ch);
	for (int i = 0; i < 4; i++) {
		world_say(&ch->w, i, "allow");
		world_contribute(&ch->w, i, text("own %d", i));
	}
	say_at(ch, B, "allow");
	struct uuid item = contribute_at(ch, B, "a partner's");
	assert_int_equal(bundle(ch, B, A).rows, 1);
	struct release r = world_release(&ch->w);
	clock_set(WORLD_CUTOFF - CLOCK_DAY);
	bundle(ch, B, A); /* heard of again: what was heard long ago lapses */
	world_until(&ch->w, WORLD_CUTOFF);
	world_publish(&ch->w, r.id);
	r = world_read(&ch->w, r.id);
	assert_int_equal(r.state, RELEASE_PUBLISHED);
	assert_int_equal(world_outcome(&ch->w, r.id, item, NULL), POLICY_INCLUDE);
	struct erasure e = erase_at(ch, B, &item, 1);
	run(no_messages, 1);
	run(all_jobs, 1);
	assert_int_equal(world_read(&ch->w, r.id).state, RELEASE_WITHDRAWN);
	assert_false(holds(ch, A, item));
	assert_int_equal(fixture_int(text("SELECT count(*) FROM tombstone WHERE coop_id = '%s' AND releases = ARRAY['%.*s']", U(ch->coop[A]), STR_ARG(r.version))), 1);
	/* It is confirmed once the files are gone as well, and not before. */
	for (int i = 0; i < 60 && strcmp(confirmed(ch, B, e.id, A), "deleted"); i++) {
		clock_set(clock_now() + CLOCK_HOUR);
		run(all_jobs, 1);
	}
	assert_string_equal(confirmed(ch, B, e.id, A), "deleted");
	assert_true(world_read(&ch->w, r.id).cleared_at != INSTANT_NONE);
	assert_int_equal(fixture_int("SELECT count(*) FROM release WHERE state = 'published'"), 1);
}

static void copies_travel_and_go_with_their_source(void **state)
{
	struct chain chain, *ch = &chain;
	const struct json *json;
	struct receipt copy;
	(void)state;
	chain_make(ch);
	say_at(ch, A, "allow");
	say_at(ch, B, "allow");
	struct uuid source = contribute_at(ch, A, "the source");
	bundle(ch, A, B);
	struct call *c = by(&ch->w, 0);
	json = json_of(c, text("{\"kind\":\"example\",\"lang\":\"en\",\"derived_from\":[{\"rid\":\"dc:%.*s:%s\",\"copied\":true}],\"content\":{\"input\":\"the source, edited\",\"output\":\"An answer.\"}}",
		STR_ARG(ch->name[A]), U(source)));
	assert_ok(c, pool_submit(c, ch->coop[B], json, &copy));
	bundle(ch, B, A);
	bundle(ch, B, C);
	assert_true(holds(ch, A, copy.id) && holds(ch, C, copy.id));
	assert_int_equal(fixture_int("SELECT count(*) FROM derivation"), 3);
	(void)erase_at(ch, A, &source, 1);
	run(all_jobs, 30);
	for (int at = A; at < COOPS; at++)
		assert_false(holds(ch, at, source) || holds(ch, at, copy.id));
	assert_true(tombstones(ch, B, B, copy.id) == 1 && tombstones(ch, C, B, copy.id) == 1);
}

static void when_an_agreement_ends_its_items_go_or_stay_out_as_it_says(void **state)
{
	struct chain chain, *ch = &chain;
	(void)state;
	for (int keep = 0; keep < 2; keep++) {
		if (keep) {
			fixture_teardown(state);
			fixture_setup(state);
		}
		struct sha256 digest;
		memset(ch, 0, sizeof(*ch));
		world_make(&ch->w, NULL);
		onward_start();
		ch->coop[A] = ch->w.coop;
		ch->coop[B] = merge_world_coop(&ch->w, "bee");
		ch->name[A] = merge_world_key_name(ch->w.system, ch->coop[A]);
		ch->name[B] = merge_world_key_name(ch->w.system, ch->coop[B]);
		ch->agreement[A][B] = ch->agreement[B][A] = merge_world_agree(ch->w.system, by(&ch->w, 0), ch->coop[A], ch->coop[B], keep ? "{\"ending\":\"keep\"}" : "{\"ending\":\"erase\"}", &digest);
		say_at(ch, A, "allow");
		struct uuid item = contribute_at(ch, A, "lent"), own = contribute_at(ch, B, "B's own");
		bundle(ch, A, B);
		assert_true(holds(ch, B, item));
		fixture_sql("UPDATE agreement_revision SET state = 'ended'");
		struct call *c = ch->w.system;
		assert_ok(c, db_begin_in(c, ch->coop[B], DB_WRITE));
		assert_ok(c, job_queue(c, "merge.ended", STR_NONE, job_args(c->arena, ch->coop[B], "agreement", ch->agreement[A][B]), clock_now()));
		assert_ok(c, db_commit(c));
		run(all_jobs, 10);
		assert_true(holds(ch, B, own));
		assert_int_equal(holds(ch, B, item), keep);
		assert_int_equal(tombstones(ch, B, A, item), !keep);
		assert_true(holds(ch, A, item));
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		fixture_test(bundles_alone_carry_it_and_messages_may_come_late),
		fixture_test(a_release_with_a_partners_item_is_redacted_when_the_partner_takes_it_back),
		fixture_test(copies_travel_and_go_with_their_source),
		fixture_test(when_an_agreement_ends_its_items_go_or_stay_out_as_it_says),
	};
	return fixture_run(tests, CH_LEN(tests));
}
