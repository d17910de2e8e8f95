/* Releases that two co-ops make together over their merged pools: one digest, two votes, two signatures, and a difference has a place. */
#include "merge_world.h"

#include "commonhold/bundle.h"
#include "commonhold/config.h"
#include "commonhold/joint.h"
#include "commonhold/merge.h"
#include "commonhold/message.h"
#include "commonhold/preview.h"
#include "commonhold/tombstone.h"
#include "commonhold/verify.h"

#include <stdlib.h>

/* Two co-ops of one instance with the same admin; members 1 to 3 contribute to the first, 4 to 6 to the second. */
struct both {
	struct merge_world m;
	struct world first, second;   /* the same people, in either co-op */
	struct call *c;
};

static void run(void)
{
	static const struct job_kind *const tables[] = { ballot_jobs, release_jobs, control_jobs, joint_jobs, message_jobs, preview_jobs, NULL };
	struct error e = { 0 };
	int ran;
	if (job_run_due(tables, &ran, &e) != ERR_OK)
		fail_msg("jobs: %s", e.message);
}

/* All jobs but these: as if nothing got through. */
static void run_without(const struct job_kind *some)
{
	const struct job_kind *const all[] = { ballot_jobs, release_jobs, control_jobs, joint_jobs, message_jobs, preview_jobs };
	const struct job_kind *tables[CH_LEN(all)] = { NULL };
	struct error e = { 0 };
	size_t n = 0;
	int ran;
	for (size_t i = 0; i < CH_LEN(all); i++)
		if (all[i] != some)
			tables[n++] = all[i];
	if (job_run_due(tables, &ran, &e) != ERR_OK)
		fail_msg("jobs: %s", e.message);
}

static void until(instant t)
{
	clock_set(t);
	run();
}

#define DRAFT "{\"joint\":\"us\"}"

static void both_make(struct both *b, const char *draft)
{
	struct member m;
	merge_world_make(&b->m, draft);
	b->first = b->second = b->m.w;
	b->second.coop = b->m.other;
	b->c = b->m.w.system;
	for (int i = 4; i < 7; i++) {
		assert_ok(by(&b->second, i), member_join(by(&b->second, i), b->second.coop, &m));
		b->second.id[i] = m.id;
	}
}

static struct uuid say_and_give(struct world *w, int member, const char *text)
{
	world_say(w, member, "allow");
	return world_contribute(w, member, text);
}

/* What each has is brought to the other. */
static void carry(struct both *b, struct uuid from, struct uuid to)
{
	struct bundle_report written;
	struct merge_report taken;
	struct bundle_how how = { .even_empty = true };
	assert_ok(b->c, bundle_write(b->c, from, b->m.agreement, &how, &written));
	assert_ok(b->c, bundle_take(b->c, to, str_z(b->c->arena, written.dir), &taken));
	assert_ok(b->c, bundle_taken_upto(b->c, from, b->m.agreement, written.seq));
}

static void exchange(struct both *b)
{
	carry(b, b->first.coop, b->second.coop);
	carry(b, b->second.coop, b->first.coop);
}

static struct joint see(struct both *b, struct world *w, struct uuid id)
{
	struct joint x;
	assert_ok(b->c, joint_read(b->c, w->coop, id, &x));
	return x;
}

static struct joint proposed(struct both *b)
{
	struct joint x;
	assert_ok(by(&b->first, 0), joint_propose(by(&b->first, 0), b->first.coop, b->m.agreement, INSTANT_NONE, &x));
	run();
	return x;
}

static void assert_states(struct both *b, struct uuid id, enum release_state first, enum release_state second)
{
	struct joint x = see(b, &b->first, id), y = see(b, &b->second, id);
	assert_str(str_of(release_state_name(x.release.state)), release_state_name(first));
	assert_str(str_of(release_state_name(y.release.state)), release_state_name(second));
}

static void vote(struct both *b, struct world *w, struct uuid id, const char *choice)
{
	struct joint x = see(b, w, id);
	for (int i = 0; i < (w == &b->first ? 2 : 1); i++) {
		struct ballot ballot;
		assert_ok(by(w, i), ballot_cast_vote(by(w, i), w->coop, x.release.ballot, str_of(choice), &ballot));
	}
}

/* From both sets being the same to the end of both votes. */
static void decide(struct both *b, struct uuid id, const char *first, const char *second)
{
	struct joint x = see(b, &b->first, id);
	until(x.release.state_at + 7 * CLOCK_DAY + CLOCK_HOUR);
	vote(b, &b->first, id, first);
	vote(b, &b->second, id, second);
	until(x.release.state_at + 10 * CLOCK_DAY);
	until(x.release.state_at + 12 * CLOCK_DAY);
}

static struct verify_result verified(struct both *b, struct uuid id)
{
	struct joint x = see(b, &b->first, id);
	struct verify_result r;
	struct verify_options options = { 0 };
	struct str dir = release_dir(b->c->arena, b->first.coop, x.release.id);
	assert_ok(b->c, verify_release(b->c->arena, str_z(b->c->arena, dir), &options, &r, &b->c->error));
	return r;
}

static const struct check *check_of(const struct verify_result *r, const char *id)
{
	for (const struct check *k = r->checks; k; k = k->next)
		if (strcmp(k->id, id) == 0)
			return k;
	fail_msg("there is no check %s", id);
	return NULL;
}

static void pools(struct both *b)
{
	say_and_give(&b->first, 1, "a story of the sea");
	say_and_give(&b->first, 2, "a story of the hills");
	say_and_give(&b->second, 4, "a story of the town");
	clock_set(clock_now() + CLOCK_MINUTE);
	exchange(b);
}

static void two_pools_two_votes_two_signatures(void **state)
{
	(void)state;
	struct both b;
	both_make(&b, DRAFT);
	pools(&b);
	struct joint x = proposed(&b);
	assert_states(&b, x.j.id, RELEASE_SCHEDULED, RELEASE_SCHEDULED);
	until(x.release.cutoff_at);
	assert_states(&b, x.j.id, RELEASE_NOTICE, RELEASE_NOTICE);
	struct joint here = see(&b, &b.first, x.j.id), there = see(&b, &b.second, x.j.id);
	assert_true(sha256_eq(here.release.candidates_sha256, there.release.candidates_sha256));
	assert_int_equal(here.release.included, 3);
	assert_int_equal(there.release.included, 3);
	assert_int_equal(here.release.contributors, 3);
	decide(&b, x.j.id, "for", "for");
	assert_states(&b, x.j.id, RELEASE_PUBLISHED, RELEASE_JOINED);
	there = see(&b, &b.second, x.j.id);
	assert_str(there.version, "1.0.0");
	assert_true(there.url.n > 0);
	/* a word that it is to be had elsewhere is not believed */
	struct str url = str_copy(b.c->arena, there.url), coop = uuid_format(b.c->arena, b.first.coop);
	fixture_sql(str_fmt(b.c->arena, "INSERT INTO message_out (coop_id, id, peer_id, type, body, state, made_at, next_at) SELECT coop_id, gen_random_uuid(), peer_id, type, "
		"jsonb_set(body::jsonb, '{url}', '\"https://elsewhere.example/release\"')::text, 'waiting', made_at, made_at FROM message_out WHERE coop_id = '%.*s' AND type = 'joint.state' "
		"AND body::jsonb ? 'url' ORDER BY seq DESC LIMIT 1", STR_ARG(coop)).p);
	fixture_sql(str_fmt(b.c->arena, "INSERT INTO job (id, kind, key, args, state, due, queued_at) SELECT gen_random_uuid(), 'merge.deliver', p.id::text, jsonb_build_object('coop', p.coop_id, 'peer', p.id)::text, 'waiting', '2020-01-01', '2020-01-01' "
		"FROM peer p WHERE p.coop_id = '%.*s' ON CONFLICT DO NOTHING", STR_ARG(coop)).p);
	run();
	assert_int_equal(fixture_int("SELECT count(*) FROM message_out WHERE body LIKE '%elsewhere%' AND state = 'delivered'"), 1);
	assert_true(str_eq(see(&b, &b.second, x.j.id).url, url));
	struct verify_result r = verified(&b, x.j.id);
	if (!r.ok)
		for (const struct check *k = r.checks; k; k = k->next)
			print_message("%s %s: %.*s\n", k->ok ? "ok" : "FAIL", k->id, STR_ARG(k->text));
	assert_true(r.ok);
	assert_true(str_ends(check_of(&r, "joint")->text, "both signed."));
	assert_int_equal(r.rows, 3);
}

static void pools_that_differ_are_not_voted_on_and_the_difference_has_a_place(void **state)
{
	(void)state;
	struct both b;
	both_make(&b, DRAFT);
	pools(&b);
	struct uuid late = say_and_give(&b.second, 5, "a story that the first has not heard of");
	struct joint x = proposed(&b);
	until(x.release.cutoff_at);
	until(x.release.cutoff_at + CLOCK_HOUR);
	assert_states(&b, x.j.id, RELEASE_SCHEDULED, RELEASE_SCHEDULED);
	struct joint there = see(&b, &b.second, x.j.id);
	struct str id = uuid_format(b.c->arena, late);
	assert_non_null(memmem(there.j.differs.p, there.j.differs.n, id.p, id.n));
	assert_non_null(memmem(there.j.differs.p, there.j.differs.n, "ours alone", 10));
	exchange(&b);
	until(x.release.cutoff_at + 3 * CLOCK_HOUR);
	assert_states(&b, x.j.id, RELEASE_NOTICE, RELEASE_NOTICE);
	assert_int_equal(see(&b, &b.first, x.j.id).release.included, 4);
	assert_null(see(&b, &b.first, x.j.id).j.differs.p);
}

/* A difference that stays: the maker goes on with what both have, the rest is listed with what kept it back, and the votes are about the same set. */
static void a_lasting_difference_of_a_few_does_not_end_it(void **state)
{
	(void)state;
	struct both b;
	struct joint y;
	both_make(&b, DRAFT);
	pools(&b);
	struct uuid late = say_and_give(&b.second, 5, "a story that the first never hears of");
	struct joint x = proposed(&b);
	until(x.release.cutoff_at);
	assert_err(by(&b.second, 0), ERR_STATE, joint_narrow(by(&b.second, 0), b.second.coop, x.j.id, &y));
	assert_err(by(&b.first, 3), ERR_FORBIDDEN, joint_narrow(by(&b.first, 3), b.first.coop, x.j.id, &y));
	until(x.release.cutoff_at + CLOCK_HOUR);
	assert_states(&b, x.j.id, RELEASE_SCHEDULED, RELEASE_SCHEDULED);
	assert_ok(by(&b.first, 0), joint_narrow(by(&b.first, 0), b.first.coop, x.j.id, &y));
	run();
	until(x.release.cutoff_at + 2 * CLOCK_HOUR);
	until(x.release.cutoff_at + 3 * CLOCK_HOUR);
	assert_states(&b, x.j.id, RELEASE_NOTICE, RELEASE_NOTICE);
	struct joint here = see(&b, &b.first, x.j.id), there = see(&b, &b.second, x.j.id);
	assert_int_equal(here.release.included, 3);
	assert_int_equal(there.release.included, 3);
	struct str id = uuid_format(b.c->arena, late);
	assert_non_null(memmem(there.j.left_out.p, there.j.left_out.n, id.p, id.n));
	assert_non_null(memmem(there.j.left_out.p, there.j.left_out.n, "was in ours alone", 17));
	assert_int_equal(fixture_int("SELECT count(*) FROM release_reason WHERE reason = 'PARTNER_DIFFERS' AND stage = 'frozen'"), 1);
	decide(&b, x.j.id, "for", "for");
	assert_states(&b, x.j.id, RELEASE_PUBLISHED, RELEASE_JOINED);
	struct verify_result r = verified(&b, x.j.id);
	assert_true(r.ok);
	assert_int_equal(r.rows, 3);
}

static void a_no_of_either_ends_it_in_both(void **state)
{
	(void)state;
	struct both b;
	both_make(&b, DRAFT);
	pools(&b);
	struct joint x = proposed(&b);
	until(x.release.cutoff_at);
	decide(&b, x.j.id, "for", "against");
	assert_states(&b, x.j.id, RELEASE_CANCELLED, RELEASE_FAILED);
	assert_true(str_starts(see(&b, &b.first, x.j.id).release.failure, "The other co-op did not agree"));
}

static void a_withdrawal_at_the_partner_reaches_what_is_built(void **state)
{
	(void)state;
	struct both b;
	both_make(&b, DRAFT);
	pools(&b);
	struct joint x = proposed(&b);
	until(x.release.cutoff_at);
	assert_states(&b, x.j.id, RELEASE_NOTICE, RELEASE_NOTICE);
	instant frozen = see(&b, &b.first, x.j.id).release.state_at;
	until(frozen + 7 * CLOCK_DAY + CLOCK_HOUR);
	vote(&b, &b.first, x.j.id, "for");
	vote(&b, &b.second, x.j.id, "for");
	until(frozen + 9 * CLOCK_DAY + CLOCK_HOUR);
	world_say(&b.second, 4, "deny"); /* after the vote; the maker has not heard of it yet */
	until(frozen + 11 * CLOCK_DAY);
	assert_states(&b, x.j.id, RELEASE_BUILDING, RELEASE_BUILDING);
	assert_true(see(&b, &b.first, x.j.id).j.differs.n > 0);
	exchange(&b);
	until(frozen + 11 * CLOCK_DAY + 3 * CLOCK_HOUR);
	until(frozen + 11 * CLOCK_DAY + 6 * CLOCK_HOUR);
	assert_states(&b, x.j.id, RELEASE_PUBLISHED, RELEASE_JOINED);
	struct verify_result r = verified(&b, x.j.id);
	assert_true(r.ok);
	assert_int_equal(r.rows, 2);
}

static void either_can_withdraw_it_after_it_is_published(void **state)
{
	(void)state;
	for (int who = 0; who < 2; who++) {
		struct both b;
		struct joint y;
		if (who) {
			fixture_teardown(state);
			fixture_setup(state);
		}
		both_make(&b, DRAFT);
		pools(&b);
		struct joint x = proposed(&b);
		until(x.release.cutoff_at);
		decide(&b, x.j.id, "for", "for");
		struct world *w = who ? &b.second : &b.first;
		assert_ok(by(w, 0), joint_withdraw(by(w, 0), w->coop, x.j.id, STR("something in it was wrong"), &y));
		run();
		assert_states(&b, x.j.id, RELEASE_WITHDRAWN, RELEASE_LEFT);
	}
}

/* The lines of a shard of the release, by the licence in its path; empty: there is none. */
static struct str shard_lines(struct both *b, struct uuid release, const char *licence)
{
	struct arena *a = b->c->arena;
	struct str dir = release_dir(a, b->first.coop, release);
	FILE *f = popen(str_fmt(a, "zcat %.*s/data/example/%s-*.jsonl.gz 2>/dev/null", STR_ARG(dir), licence).p, "r");
	char *text = arena_alloc(a, 1 << 20);
	size_t n = fread(text, 1, 1 << 20, f);
	pclose(f);
	return str_make(text, n);
}

static bool holds(struct str text, const char *what)
{
	return memmem(text.p, text.n, what, strlen(what)) != NULL;
}

static void give_under(struct world *w, int member, const char *licence, const char *text)
{
	const struct json *json;
	struct receipt receipt;
	struct call *c = by(w, member);
	world_say(w, member, "allow");
	struct str body = str_fmt(c->arena, "{\"kind\":\"example\",\"lang\":\"en\",\"licence\":\"%s\",\"content\":{\"input\":\"%s\",\"output\":\"An answer to it.\"}}", licence, text);
	assert_ok(c, json_parse(c->arena, body, &json, &c->error));
	assert_ok(c, pool_submit(c, w->coop, json, &receipt));
}

/* What carrying an erasure does with one item of a co-op's own. */
static void erase(struct both *b, struct world *w, struct uuid item)
{
	struct call *c = b->c;
	struct uuid coop = w->coop;
	struct release_holding holding;
	int64_t no, first;
	assert_ok(c, db_begin_in(c, coop, DB_WRITE));
	assert_ok(c, pool_select(c, coop, (struct uuid){ { 0 } }, &item, 1, &no));
	struct pool_withdrawal out = { .id = uuid_new(), .kind = POOL_ERASE, .items = &no, .n = 1, .until = INSTANT_NONE };
	assert_ok(c, pool_withdraw(c, coop, &out));
	assert_ok(c, release_holding(c, coop, &no, 1, &holding));
	struct tombstone_draft draft = { .item = item, .kind = TOMBSTONE_ERASE, .reason_code = STR("request"), .effective = clock_now(), .purge_by = clock_now() + 7 * CLOCK_DAY,
		.until = INSTANT_NONE, .erasure = uuid_new() };
	struct str *versions;
	draft.n_releases = release_holding_versions(c->arena, &holding, 0, &versions);
	draft.releases = versions;
	assert_ok(c, tombstone_append(c, coop, &draft, 1, &first));
	for (size_t i = 0; i < holding.n; i++)
		assert_ok(c, release_withdraw(c, coop, holding.releases[i].id, STR("An item was erased at its contributor's request."), first, first));
	assert_ok(c, release_redact(c, coop, clock_now()));
	assert_ok(c, db_commit(c));
}

static struct verify_result version_verified(struct both *b, const char *version, struct release *r)
{
	struct verify_result result;
	struct verify_options options = { 0 };
	assert_ok(b->c, release_find(b->c, b->first.coop, str_of(version), r));
	assert_ok(b->c, verify_release(b->c->arena, str_z(b->c->arena, release_dir(b->c->arena, b->first.coop, r->id)), &options, &result, &b->c->error));
	for (const struct check *k = result.checks; k; k = k->next)
		if (!k->ok)
			print_message("FAIL %s: %.*s\n", k->id, STR_ARG(k->text));
	return result;
}

static void what_was_erased_is_redacted_by_the_maker_and_the_partner_follows(void **state)
{
	(void)state;
	struct both b;
	both_make(&b, DRAFT);
	struct uuid gone = say_and_give(&b.first, 3, "a story that is erased");
	pools(&b);
	struct joint x = proposed(&b);
	until(x.release.cutoff_at);
	decide(&b, x.j.id, "for", "for");
	assert_states(&b, x.j.id, RELEASE_PUBLISHED, RELEASE_JOINED);
	erase(&b, &b.first, gone);
	run();
	assert_states(&b, x.j.id, RELEASE_WITHDRAWN, RELEASE_JOINED);
	assert_str(see(&b, &b.second, x.j.id).version, "2.0.0");
	struct release again;
	struct verify_result r;
	struct verify_options options = { 0 };
	assert_ok(b.c, release_find(b.c, b.first.coop, STR("2.0.0"), &again));
	assert_int_equal(again.built_items, 3);
	assert_ok(b.c, verify_release(b.c->arena, str_z(b.c->arena, release_dir(b.c->arena, b.first.coop, again.id)), &options, &r, &b.c->error));
	for (const struct check *k = r.checks; k; k = k->next)
		if (!k->ok)
			print_message("FAIL %s: %.*s\n", k->id, STR_ARG(k->text));
	assert_true(r.ok);
	assert_true(holds(check_of(&r, "joint")->text, "by leaving out, and both signed it"));
	assert_int_equal(fixture_int("SELECT count(*) FROM log_leaf WHERE type = 'release.signed'"), 2);
}

/* The partner is asked, but what was erased does not wait for it for more than an hour; its signature comes beside. */
static void a_redaction_does_not_wait_for_a_partner_that_does_not_answer(void **state)
{
	(void)state;
	struct both b;
	struct release again;
	both_make(&b, DRAFT);
	struct uuid gone = say_and_give(&b.first, 3, "a story that is erased");
	pools(&b);
	struct joint x = proposed(&b);
	until(x.release.cutoff_at);
	decide(&b, x.j.id, "for", "for");
	erase(&b, &b.first, gone);
	instant asked = clock_now();
	run_without(message_jobs);
	assert_str(str_of(release_state_name(see(&b, &b.first, x.j.id).release.state)), "withdrawn"); /* at once */
	assert_int_equal(fixture_int("SELECT count(*) FROM release WHERE state = 'redacting'"), 1);
	clock_set(asked + CLOCK_HOUR + CLOCK_MINUTE);
	run_without(message_jobs);
	struct verify_result r = version_verified(&b, "2.0.0", &again);
	assert_true(r.ok);
	assert_true(holds(check_of(&r, "joint")->text, "has not signed it yet"));
	until(asked + 4 * CLOCK_DAY);
	r = version_verified(&b, "2.0.0", &again);
	assert_true(r.ok);
	assert_true(holds(check_of(&r, "joint")->text, "and both signed it"));
	assert_str(see(&b, &b.second, x.j.id).version, "2.0.0");
}

/* What is erased at the partner and still in the redaction: the partner signs when that is gone, too. */
static void the_partner_signs_no_redaction_that_holds_what_is_erased_there(void **state)
{
	(void)state;
	struct both b;
	struct release again;
	both_make(&b, DRAFT);
	struct uuid gone = say_and_give(&b.first, 3, "a story that is erased"), theirs = say_and_give(&b.second, 5, "a story that is erased there");
	pools(&b);
	struct joint x = proposed(&b);
	until(x.release.cutoff_at);
	decide(&b, x.j.id, "for", "for");
	erase(&b, &b.second, theirs); /* the maker has not heard of it */
	erase(&b, &b.first, gone);
	run();
	until(clock_now() + CLOCK_HOUR + CLOCK_MINUTE);
	struct verify_result r = version_verified(&b, "2.0.0", &again);
	assert_true(r.ok);
	assert_true(holds(check_of(&r, "joint")->text, "has not signed it yet"));
	assert_true(holds(see(&b, &b.second, x.j.id).j.differs, "have been erased since"));
}

/* A redaction copies rows: one that names an origin which is gone goes, one that has got another since stays as it was, and one in the shard of another licence stays there. */
static void a_redaction_has_the_rows_of_its_base_as_they_were(void **state)
{
	(void)state;
	struct both b;
	struct release again;
	both_make(&b, DRAFT);
	struct uuid gone = say_and_give(&b.first, 3, "a story that is erased");
	give_under(&b.first, 3, "CC0-1.0", "a story under two licences");
	say_and_give(&b.second, 5, "a story under two licences");
	say_and_give(&b.first, 3, "a story that both have");
	struct uuid theirs = say_and_give(&b.second, 5, "a story that both have");
	pools(&b);
	struct joint x = proposed(&b);
	until(x.release.cutoff_at);
	decide(&b, x.j.id, "for", "for");
	assert_states(&b, x.j.id, RELEASE_PUBLISHED, RELEASE_JOINED);
	say_and_give(&b.second, 6, "a story of the sea"); /* the first has it already: another origin of a row that is out */
	erase(&b, &b.second, theirs);
	exchange(&b);
	run();
	erase(&b, &b.first, gone);
	run();
	struct verify_result r = version_verified(&b, "2.0.0", &again);
	assert_true(r.ok);
	assert_int_equal(again.built_items, 4);
	assert_true(holds(shard_lines(&b, again.id, "cc-by-4.0"), "a story under two licences"));
	assert_false(holds(shard_lines(&b, again.id, "cc-by-4.0"), "a story that both have"));
}

static int64_t releases_in(struct both *b, const char *states)
{
	struct str coop = uuid_format(b->c->arena, b->first.coop);
	return fixture_int(str_fmt(b->c->arena, "SELECT count(*) FROM release WHERE coop_id = '%.*s' AND state IN (%s)", STR_ARG(coop), states).p);
}

/* What was made of it goes with it, nothing is made of it afterwards, and what the other said before does not bring it back. */
static void who_withdraws_it_withdraws_its_redactions(void **state)
{
	for (int who = 0; who < 2; who++) {
		struct both b;
		struct joint y;
		if (who) {
			fixture_teardown(state);
			fixture_setup(state);
		}
		both_make(&b, DRAFT);
		struct uuid gone = say_and_give(&b.first, 3, "a story that is erased"), later = say_and_give(&b.first, 3, "a story that is erased later");
		pools(&b);
		struct joint x = proposed(&b);
		until(x.release.cutoff_at);
		decide(&b, x.j.id, "for", "for");
		erase(&b, &b.first, gone);
		run();
		assert_states(&b, x.j.id, RELEASE_WITHDRAWN, RELEASE_JOINED);
		assert_int_equal(releases_in(&b, "'published'"), 1);
		struct world *w = who ? &b.second : &b.first;
		assert_ok(by(w, 0), joint_withdraw(by(w, 0), w->coop, x.j.id, STR("something in it was wrong"), &y));
		run();
		assert_states(&b, x.j.id, RELEASE_WITHDRAWN, RELEASE_LEFT);
		assert_int_equal(releases_in(&b, "'published'"), 0);
		erase(&b, &b.first, later);
		until(clock_now() + 2 * CLOCK_HOUR);
		until(clock_now() + 2 * CLOCK_DAY);
		assert_states(&b, x.j.id, RELEASE_WITHDRAWN, RELEASE_LEFT);
		assert_int_equal(releases_in(&b, "'published', 'redacting'"), 0);
	}
}

/* A redaction that waits for the partner's signature when the partner withdraws it: never published, and never signed. */
static void a_withdrawal_stops_a_redaction_under_way(void **state)
{
	(void)state;
	struct both b;
	struct joint y;
	both_make(&b, DRAFT);
	struct uuid gone = say_and_give(&b.first, 3, "a story that is erased");
	pools(&b);
	struct joint x = proposed(&b);
	until(x.release.cutoff_at);
	decide(&b, x.j.id, "for", "for");
	erase(&b, &b.first, gone);
	run_without(message_jobs);
	assert_int_equal(releases_in(&b, "'redacting'"), 1);
	assert_ok(by(&b.second, 0), joint_withdraw(by(&b.second, 0), b.second.coop, x.j.id, STR("something in it was wrong"), &y));
	run();
	until(clock_now() + 2 * CLOCK_HOUR);
	assert_int_equal(releases_in(&b, "'published', 'redacting'"), 0);
	assert_int_equal(fixture_int("SELECT count(*) FROM log_leaf WHERE type = 'release.signed'"), 1);
	assert_states(&b, x.j.id, RELEASE_WITHDRAWN, RELEASE_LEFT);
}

/* A manifest of thousands of shards, and the leaves of a million items: told by their digests, got, and held against these. */
static void what_is_too_long_for_a_message_is_got_by_its_digest(void **state)
{
	(void)state;
	struct both b;
	struct release again;
	joint_tell_at_most(0, 0);
	both_make(&b, DRAFT);
	struct uuid gone = say_and_give(&b.first, 3, "a story that is erased");
	pools(&b);
	struct uuid late = say_and_give(&b.second, 5, "a story that the first has not heard of");
	struct joint x = proposed(&b);
	until(x.release.cutoff_at);
	until(x.release.cutoff_at + CLOCK_HOUR);
	struct str id = uuid_format(b.c->arena, late);
	assert_true(holds(see(&b, &b.second, x.j.id).j.differs, str_z(b.c->arena, id)));
	exchange(&b);
	until(x.release.cutoff_at + 3 * CLOCK_HOUR);
	decide(&b, x.j.id, "for", "for");
	assert_states(&b, x.j.id, RELEASE_PUBLISHED, RELEASE_JOINED);
	assert_true(verified(&b, x.j.id).ok);
	erase(&b, &b.first, gone);
	run();
	struct verify_result r = version_verified(&b, "2.0.0", &again);
	joint_tell_at_most(JOINT_LEAVES_TOLD, JOINT_MANIFEST_TOLD);
	assert_true(r.ok);
	assert_true(holds(check_of(&r, "joint")->text, "and both signed it"));
}

static void a_suspended_agreement_ends_what_is_not_published(void **state)
{
	(void)state;
	struct both b;
	struct agreement g;
	both_make(&b, DRAFT);
	pools(&b);
	struct joint x = proposed(&b);
	until(x.release.cutoff_at);
	assert_states(&b, x.j.id, RELEASE_NOTICE, RELEASE_NOTICE);
	assert_ok(by(&b.second, 0), agreement_suspend(by(&b.second, 0), b.second.coop, b.m.agreement, STR("a question came up"), &g));
	run();
	assert_states(&b, x.j.id, RELEASE_CANCELLED, RELEASE_CANCELLED);
}

/* What the partner says of joint releases, as it could say it; inside, as messages are taken. */
static enum err hears(struct both *b, struct world *w, struct uuid peer, struct str from, bool state, struct str body)
{
	struct call *c = b->c;
	struct message msg = { .id = uuid_new(), .peer = peer, .from = from, .at = clock_now() };
	assert_ok(c, json_parse(c->arena, body, &msg.body, &c->error));
	assert_ok(c, db_begin_in(c, w->coop, DB_WRITE));
	enum err said = state ? joint_take_state(c, w->coop, &msg) : joint_take_proposed(c, w->coop, &msg);
	if (said == ERR_OK)
		said = db_commit(c);
	else
		db_rollback(c);
	c->coop = (struct uuid){ { 0 } };
	return said;
}

static struct str with(struct both *b, struct str text, const char *what, const char *instead)
{
	const char *at = memmem(text.p, text.n, what, strlen(what));
	if (!at)
		fail_msg("%s is not in it", what);
	return str_cat(b->c->arena, str_make(text.p, (size_t)(at - text.p)), str_of(instead), str_make(at + strlen(what), text.n - (size_t)(at - text.p) - strlen(what)));
}

static struct uuid peer_of(struct both *b, struct world *w)
{
	struct uuid id;
	assert_true(uuid_parse(str_of(fixture_text(str_fmt(b->c->arena, "SELECT id FROM peer WHERE coop_id = '%.*s'", STR_ARG(uuid_format(b->c->arena, w->coop))).p)), &id));
	return id;
}

#define refused_as(code, expression) \
	do { \
		if ((expression) == ERR_OK || strcmp(b.c->error.reason, code) != 0) \
			fail_msg("%s expected, but %s %s", code, b.c->error.reason, b.c->error.message); \
		error_clear(&b.c->error); \
	} while (0)

/* The second writes down what both charters and the agreement come to by itself, and takes up nothing else. */
static void what_the_partner_says_of_a_joint_release_is_held_against_what_both_agreed_on(void **state)
{
	(void)state;
	struct both b;
	both_make(&b, DRAFT);
	pools(&b);
	struct joint x = proposed(&b);
	struct arena *a = b.c->arena;
	struct str body = str_copy(a, str_of(fixture_text("SELECT body FROM message_out WHERE type = 'joint.proposed'"))), cutoff = clock_format(a, x.release.cutoff_at), id = uuid_format(a, x.j.id);
	struct uuid there = peer_of(&b, &b.second), here = peer_of(&b, &b.first);
	struct str fresh = with(&b, body, str_z(a, id), "00000000-0000-4000-8000-000000000001"), from = b.m.name;
	int64_t before = fixture_int("SELECT count(*) FROM release_joint");
	refused_as("joint_document", hears(&b, &b.second, there, from, false, with(&b, fresh, "\"embargo\":0", "\"embargo\":1")));
	refused_as("joint_cutoff", hears(&b, &b.second, there, from, false, with(&b, fresh, str_z(a, cutoff), "2025-12-01T00:00:00Z")));
	refused_as("not_maker", hears(&b, &b.first, here, b.m.other_name, false, fresh));
	refused_as("joint_document", hears(&b, &b.second, uuid_new(), from, false, fresh)); /* somebody with whom this is not agreed */
	fixture_sql("UPDATE agreement_revision SET state = 'suspended', suspended_there = true");
	refused_as("agreement_not_in_effect", hears(&b, &b.second, there, from, false, fresh));
	fixture_sql("UPDATE agreement_revision SET state = 'in_effect', suspended_there = false");
	assert_int_equal(fixture_int("SELECT count(*) FROM release_joint"), before);
	/* nobody but the partner ends it, or says where it is */
	struct str ends = str_fmt(a, "{\"joint\":\"%.*s\",\"state\":\"cancelled\"}", STR_ARG(id));
	refused_as("joint_state", hears(&b, &b.second, there, STR("aaaaaaaaaaaaaaaa"), true, ends));
	struct str leads = str_fmt(a, "{\"joint\":\"%.*s\",\"state\":\"proposed\",\"url\":\"https://elsewhere.example/coops/test/releases/1.0.0\",\"version\":\"1.0.0\"}", STR_ARG(id));
	assert_ok(b.c, hears(&b, &b.second, there, from, true, leads));
	assert_null(see(&b, &b.second, x.j.id).url.p);
	assert_states(&b, x.j.id, RELEASE_SCHEDULED, RELEASE_SCHEDULED);
	assert_ok(b.c, hears(&b, &b.second, there, from, false, with(&b, fresh, str_z(a, cutoff), str_z(a, clock_format(a, x.release.cutoff_at + CLOCK_HOUR)))));
	assert_int_equal(fixture_int("SELECT count(*) FROM release_joint"), before + 1);
}

static void only_the_maker_named_in_the_agreement_proposes(void **state)
{
	(void)state;
	struct both b;
	struct joint x;
	both_make(&b, DRAFT);
	assert_err(by(&b.second, 0), ERR_REFUSED, joint_propose(by(&b.second, 0), b.second.coop, b.m.agreement, INSTANT_NONE, &x));
	assert_str(str_of(b.second.person->error.reason), "not_maker");
	assert_err(by(&b.first, 3), ERR_FORBIDDEN, joint_propose(by(&b.first, 3), b.first.coop, b.m.agreement, INSTANT_NONE, &x));
	assert_err(by(&b.first, 0), ERR_INVALID, joint_propose(by(&b.first, 0), b.first.coop, b.m.agreement, clock_now() + CLOCK_HOUR, &x));
}

static void without_the_second_signature_it_does_not_verify(void **state)
{
	(void)state;
	struct both b;
	both_make(&b, DRAFT);
	pools(&b);
	struct joint x = proposed(&b);
	until(x.release.cutoff_at);
	decide(&b, x.j.id, "for", "for");
	x = see(&b, &b.first, x.j.id);
	struct arena *a = b.c->arena;
	struct str dir = release_dir(a, b.first.coop, x.release.id);
	const char *path = str_z(a, str_fmt(a, "%.*s/manifest.dsse.json", STR_ARG(dir)));
	const char *manifest = str_z(a, str_fmt(a, "%.*s/manifest.json", STR_ARG(dir)));
	char *text = arena_alloc(a, 1 << 20);
	FILE *f = fopen(manifest, "r");
	size_t n = fread(text, 1, 1 << 20, f);
	fclose(f);
	struct sign_key key, stranger;
	sign_key_new(&stranger);
	assert_ok(b.c, db_begin_in(b.c, b.first.coop, DB_READ));
	assert_ok(b.c, ledger_key(b.c, b.first.coop, &key));
	assert_ok(b.c, db_commit(b.c));
	const struct sign_key keys[2] = { key, stranger };
	for (size_t signers = 1; signers < 3; signers++) { /* missing, then another's */
		struct str envelope = dsse_sign(a, keys, signers, STR(RELEASE_PAYLOAD_TYPE), str_make(text, n));
		f = fopen(path, "w");
		assert_int_equal(fwrite(envelope.p, 1, envelope.n, f), envelope.n);
		fclose(f);
		struct verify_result r = verified(&b, x.j.id);
		assert_false(r.ok);
		assert_true(check_of(&r, "envelope")->ok);
		assert_false(check_of(&r, "joint")->ok);
	}
}

static void a_release_of_few_people_needs_the_people_of_both(void **state)
{
	(void)state;
	struct both b;
	both_make(&b, "{\"joint\":\"us\",\"k\":3}");
	pools(&b);
	struct joint x = proposed(&b);
	until(x.release.cutoff_at);
	assert_int_equal(see(&b, &b.first, x.j.id).release.contributors, 3);
	assert_states(&b, x.j.id, RELEASE_NOTICE, RELEASE_NOTICE);
}

/* What both contributed is one row with both origins, and the same set on both sides. */
static void the_same_content_in_both_is_one_row_of_two_origins(void **state)
{
	(void)state;
	struct both b;
	both_make(&b, DRAFT);
	say_and_give(&b.first, 3, "a story that both have");
	say_and_give(&b.second, 5, "a story that both have");
	pools(&b);
	struct joint x = proposed(&b);
	until(x.release.cutoff_at);
	struct joint there = see(&b, &b.second, x.j.id);
	if (there.j.differs.p)
		print_message("%.*s\n", STR_ARG(there.j.differs));
	assert_states(&b, x.j.id, RELEASE_NOTICE, RELEASE_NOTICE);
	decide(&b, x.j.id, "for", "for");
	assert_states(&b, x.j.id, RELEASE_PUBLISHED, RELEASE_JOINED);
	struct verify_result r = verified(&b, x.j.id);
	assert_true(r.ok);
	assert_int_equal(r.rows, 4);
}

/* CC0 may go out under CC-BY, not the other way round: on both sides the row is under CC-BY, in the shard of that licence, whichever of them it is kept as. */
static void the_same_content_under_two_licences_goes_to_the_shard_of_the_one_that_fits_both(void **state)
{
	struct both b;
	(void)state;
	both_make(&b, DRAFT);
	say_and_give(&b.first, 3, "a story under CC-BY");
	give_under(&b.second, 5, "CC0-1.0", "a story under CC-BY");
	give_under(&b.first, 2, "CC0-1.0", "a story that the other has under CC-BY");
	say_and_give(&b.second, 4, "a story that the other has under CC-BY");
	pools(&b);
	assert_int_equal(fixture_int("SELECT count(*) FROM item_origin"), 4);
	struct joint x = proposed(&b);
	until(x.release.cutoff_at);
	struct joint there = see(&b, &b.second, x.j.id);
	if (there.j.differs.p)
		fail_msg("%.*s", STR_ARG(there.j.differs));
	decide(&b, x.j.id, "for", "for");
	assert_states(&b, x.j.id, RELEASE_PUBLISHED, RELEASE_JOINED);
	struct verify_result r = verified(&b, x.j.id);
	assert_true(r.ok);
	assert_int_equal(r.rows, 5);
	struct str lines = shard_lines(&b, see(&b, &b.first, x.j.id).release.id, "cc-by-4.0");
	assert_true(holds(lines, "a story under CC-BY"));
	assert_true(holds(lines, "a story that the other has under CC-BY"));
	assert_true(holds(lines, "\"licence\":\"CC0-1.0\",\"rid\"")); /* what each origin was given under stays said */
	assert_false(holds(shard_lines(&b, see(&b, &b.first, x.j.id).release.id, "cc0-1.0"), "a story"));
}

static void an_adaptation_comes_out_under_one_licence(void **state)
{
	(void)state;
	struct both b;
	both_make(&b, "{\"joint\":\"us\",\"licence_mode\":\"adaptation\"}");
	pools(&b);
	struct joint x = proposed(&b);
	assert_non_null(memmem(x.j.document.p, x.j.document.n, "\"licence_mode\":\"adaptation\"", 27));
	until(x.release.cutoff_at);
	assert_states(&b, x.j.id, RELEASE_NOTICE, RELEASE_NOTICE);
	decide(&b, x.j.id, "for", "for");
	assert_states(&b, x.j.id, RELEASE_PUBLISHED, RELEASE_JOINED);
	assert_true(verified(&b, x.j.id).ok);
}

static void the_dry_run_is_the_same_on_both_sides_and_ones_own_is_ones_own(void **state)
{
	(void)state;
	struct both b;
	struct preview_kept kept;
	struct dry_run first, second;
	struct dry_run_own own;
	both_make(&b, DRAFT);
	say_and_give(&b.first, 1, "a story of the sea");
	say_and_give(&b.second, 4, "a story of the town");
	assert_ok(by(&b.first, 0), preview_make(by(&b.first, 0), b.first.coop, b.m.digest, &kept));
	assert_int_equal(kept.items, 1);
	run();
	assert_err(by(&b.second, 0), ERR_STATE, dry_run_make(by(&b.second, 0), b.second.coop, b.m.digest, &second));
	assert_ok(by(&b.second, 0), preview_make(by(&b.second, 0), b.second.coop, b.m.digest, &kept));
	run();
	assert_ok(by(&b.first, 1), dry_run_read(by(&b.first, 1), b.first.coop, b.m.digest, NULL, &first));
	assert_ok(by(&b.second, 4), dry_run_read(by(&b.second, 4), b.second.coop, b.m.digest, NULL, &second));
	assert_true(sha256_eq(first.digest, second.digest));
	assert_ok(by(&b.first, 1), dry_run_mine(by(&b.first, 1), b.first.coop, b.m.digest, NULL, &own));
	assert_int_equal(own.items, 1);
	assert_int_equal(own.in_joint, 1);
	assert_int_equal(own.at_partner, 1);
	assert_err(by(&b.first, 2), ERR_NOT_FOUND, dry_run_mine(by(&b.first, 2), b.first.coop, b.m.digest, NULL, &own));
	struct str file;
	assert_ok(by(&b.first, 0), preview_export(by(&b.first, 0), b.first.coop, b.m.digest, &file));
	assert_ok(by(&b.second, 0), preview_import(by(&b.second, 0), b.second.coop, b.m.digest, file, &kept));
	assert_err(by(&b.first, 0), ERR_REFUSED, preview_import(by(&b.first, 0), b.first.coop, b.m.digest, file, &kept)); /* one's own is none of the partner's */
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		fixture_test(two_pools_two_votes_two_signatures), fixture_test(pools_that_differ_are_not_voted_on_and_the_difference_has_a_place), fixture_test(a_lasting_difference_of_a_few_does_not_end_it), fixture_test(a_no_of_either_ends_it_in_both),
		fixture_test(a_withdrawal_at_the_partner_reaches_what_is_built), fixture_test(either_can_withdraw_it_after_it_is_published),
		fixture_test(what_was_erased_is_redacted_by_the_maker_and_the_partner_follows), fixture_test(a_redaction_does_not_wait_for_a_partner_that_does_not_answer),
		fixture_test(the_partner_signs_no_redaction_that_holds_what_is_erased_there), fixture_test(what_is_too_long_for_a_message_is_got_by_its_digest), fixture_test(a_redaction_has_the_rows_of_its_base_as_they_were), fixture_test(who_withdraws_it_withdraws_its_redactions), fixture_test(a_withdrawal_stops_a_redaction_under_way),
		fixture_test(a_suspended_agreement_ends_what_is_not_published), fixture_test(what_the_partner_says_of_a_joint_release_is_held_against_what_both_agreed_on), fixture_test(only_the_maker_named_in_the_agreement_proposes), fixture_test(without_the_second_signature_it_does_not_verify),
		fixture_test(a_release_of_few_people_needs_the_people_of_both), fixture_test(the_same_content_in_both_is_one_row_of_two_origins),
		fixture_test(the_same_content_under_two_licences_goes_to_the_shard_of_the_one_that_fits_both), fixture_test(an_adaptation_comes_out_under_one_licence), fixture_test(the_dry_run_is_the_same_on_both_sides_and_ones_own_is_ones_own),
	};
	return fixture_run(tests, CH_LEN(tests));
}
