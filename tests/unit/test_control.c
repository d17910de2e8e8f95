/* Collective controls: each holds back what is contributed while it stands, and nothing else; lifting gives it back; a pledge opens when enough have joined. */
#include "world.h"

#include "commonhold/config.h"
#include "commonhold/file.h"

#include <fcntl.h>
#include <stdio.h>

#define DAY CLOCK_DAY
#define REASON STR("because we said so")

static const struct json *json_of(struct call *c, const char *text)
{
	const struct json *v;
	assert_ok(c, json_parse(c->arena, str_of(text), &v, &c->error));
	return v;
}

static bool has(struct str text, const char *part)
{
	return memmem(text.p, text.n, part, strlen(part)) != NULL;
}

/* Proposes, votes, closes; the motion as it ended. */
static struct motion carry(struct world *w, const char *document)
{
	struct motion m;
	struct call *c = by(w, 4);
	assert_ok(c, motion_propose(c, w->coop, STR("toggle"), json_of(c, document), REASON, &m));
	world_until(w, m.opens_at);
	for (int i = 0; i < WORLD_MEMBERS; i++) {
		struct ballot b;
		assert_ok(by(w, i), ballot_cast_vote(by(w, i), w->coop, m.ballot, STR("for"), &b));
	}
	world_until(w, m.closes_at);
	assert_ok(c, motion_read(c, w->coop, m.id, &m));
	return m;
}

static struct control standing(struct world *w)
{
	struct control *list;
	size_t n;
	assert_ok(by(w, 0), control_list(by(w, 0), w->coop, false, &list, &n));
	assert_int_equal(n, 1);
	return list[0];
}

static struct motion set(struct world *w, const char *document)
{
	struct motion m = carry(w, document);
	if (m.state != MOTION_PASSED)
		fail_msg("%s: %.*s", document, STR_ARG(m.note));
	return m;
}

static void lift(struct world *w)
{
	struct control k = standing(w);
	struct str id = uuid_format(by(w, 0)->arena, k.id);
	struct motion m = carry(w, str_fmt(by(w, 0)->arena, "{\"act\":\"lift\",\"control\":\"%.*s\"}", STR_ARG(id)).p);
	assert_int_equal(m.state, MOTION_PASSED);
}

/* Members 1 to `n` say yes to everything the charter asks. */
static void willing(struct world *w, int n)
{
	for (int i = 1; i <= n; i++)
		world_say(w, i, "allow");
}

static struct uuid contribute(struct world *w, int who, int no)
{
	return world_contribute(w, who, str_fmt(by(w, who)->arena, "Question number %d of member %d", no, who).p);
}

static int64_t included(struct world *w)
{
	struct preview p;
	assert_ok(by(w, 0), release_preview(by(w, 0), w->coop, &p));
	return p.included;
}

static struct decision decision_on(struct world *w, int who, struct uuid item)
{
	struct decision d;
	assert_ok(by(w, who), release_explain(by(w, who), w->coop, item, (struct uuid){ { 0 } }, &d));
	return d;
}

static bool says(const struct decision *d, const char *reason)
{
	for (size_t i = 0; i < d->n_lines; i++)
		if (str_is(d->lines[i].reason, reason))
			return true;
	return false;
}

/* ---- What each does ---- */

static void each_control_touches_what_comes_while_it_stands_and_gives_it_back(void **state)
{
	static const struct { const char *document, *reason; enum policy_outcome outcome; } cases[] = {
		{ "{\"act\":\"set\",\"control\":\"quality_freeze\",\"kinds\":[\"example\"]}", "TOGGLE_FREEZE", POLICY_HOLD },
		{ "{\"act\":\"set\",\"control\":\"selective_embargo\",\"mode\":\"evaluation_only\"}", "TOGGLE_EMBARGO", POLICY_HOLD },
		{ "{\"act\":\"set\",\"control\":\"preference_shift\",\"uses\":[\"train.gen\"]}", "TOGGLE_SHIFT", POLICY_EXCLUDE },
		{ "{\"act\":\"set\",\"control\":\"preference_shift\",\"uses\":[\"mine\"]}", "TOGGLE_SHIFT", POLICY_EXCLUDE },
		{ "{\"act\":\"set\",\"control\":\"assurance\",\"amount\":3}", "ASSURANCE_UNMET", POLICY_HOLD },
	};
	(void)state;
	for (size_t i = 0; i < CH_LEN(cases); i++) {
		struct world w;
		struct str effect;
		if (i) {
			fixture_teardown(NULL);
			fixture_setup(NULL);
		}
		world_make(&w, "{\"cadence\":{\"rrule\":\"FREQ=YEARLY\",\"start\":\"2026-12-01T06:00:00Z\",\"lead\":\"P1D\",\"notice\":\"P7D\",\"voting\":\"P2D\",\"cooling_off\":\"P1D\"}}");
		willing(&w, 3);
		struct uuid before = contribute(&w, 1, 0);
		struct motion m = set(&w, cases[i].document);
		struct control k = standing(&w);
		assert_true(uuid_eq(k.ballot, m.ballot));
		assert_int_equal(k.set_at, m.closes_at);
		clock_set(m.closes_at + CLOCK_HOUR);
		struct uuid after = contribute(&w, 2, 1);
		struct decision was = decision_on(&w, 1, before), is = decision_on(&w, 2, after);
		assert_int_equal(was.outcome, POLICY_INCLUDE);
		assert_int_equal(is.outcome, cases[i].outcome);
		assert_true(says(&is, cases[i].reason));
		assert_int_equal(included(&w), 1);
		/* The explanation carries the members' own reason, and which control it is. */
		bool told = false;
		for (size_t l = 0; l < is.n_lines; l++)
			told |= has(is.lines[l].text, "because we said so") && uuid_eq(is.lines[l].control, k.id);
		assert_true(told);
		effect = control_effect(by(&w, 0)->arena, &k);
		assert_true(effect.n > 20);
		lift(&w);
		is = decision_on(&w, 2, after);
		assert_int_equal(is.outcome, POLICY_INCLUDE);
		assert_int_equal(included(&w), 2);
	}
}

static void a_freeze_is_about_labels_and_corrections(void **state)
{
	struct world w;
	(void)state;
	world_make(&w, NULL);
	set(&w, "{\"act\":\"set\",\"control\":\"quality_freeze\"}");
	struct control k = standing(&w);
	assert_int_equal(k.kinds, POLICY_BIT(POLICY_KIND_PREFERENCE) | POLICY_BIT(POLICY_KIND_FEEDBACK) | POLICY_BIT(POLICY_KIND_SIGNAL));
	willing(&w, 1);
	clock_set(k.set_at + CLOCK_HOUR);
	contribute(&w, 1, 0); /* an example is no label */
	assert_int_equal(included(&w), 1);
}

static void a_rate_limit_lets_through_so_many_of_each_month(void **state)
{
	struct world w;
	(void)state;
	world_make(&w, NULL);
	willing(&w, 3);
	for (int i = 0; i < 4; i++)
		contribute(&w, 1, i);
	set(&w, "{\"act\":\"set\",\"control\":\"rate_limit\",\"amount\":2}");
	struct control k = standing(&w);
	assert_int_equal(included(&w), 4); /* what was there before counts for nothing */
	struct uuid january[5];
	for (int i = 0; i < 5; i++) {
		clock_set(k.set_at + CLOCK_HOUR + i * CLOCK_MINUTE);
		january[i] = contribute(&w, 2, 100 + i);
	}
	clock_set(k.set_at + 2 * CLOCK_HOUR);
	assert_int_equal(included(&w), 4 + 2);
	struct preview p;
	assert_ok(by(&w, 0), release_preview(by(&w, 0), w.coop, &p));
	bool capped = false;
	for (size_t i = 0; i < p.n_reasons; i++)
		capped |= str_is(p.reasons[i].reason, "TOGGLE_CAP") && p.reasons[i].items == 3;
	assert_true(capped);
	/* In the next month two more, and of January's none besides those that the lot has drawn. */
	world_until(&w, k.set_at + 40 * DAY);
	for (int i = 0; i < 3; i++)
		contribute(&w, 3, 200 + i);
	assert_int_equal(included(&w), 4 + 2 + 2);
	(void)january;
	lift(&w);
	assert_int_equal(included(&w), 4 + 5 + 3);
}

static void lots_of_a_rate_limit_fall_alike_in_every_release(void **state)
{
	struct control k = { .id = uuid_new(), .kind = CONTROL_RATE_LIMIT, .kinds = POLICY_KINDS_ALL, .amount = 7, .set_at = WORLD_START, .until = INSTANT_NEVER };
	struct policy_toggle t[POLICY_TOGGLES_MAX];
	uint8_t one[32] = { 1 }, other[32] = { 2 };
	(void)state;
	assert_int_equal(control_toggles(&k, 1, WORLD_START, t, one), 1);
	assert_int_equal(control_toggles(&k, 1, WORLD_START + 70 * DAY, t, other), 3);
	assert_memory_equal(one, other, 32);
	assert_int_equal(t[0].since, WORLD_START);
	assert_int_equal(t[0].until, t[1].since);
	assert_int_equal(t[1].until, t[2].since);
	assert_int_equal(t[2].cap, 7);
	/* Years later the oldest months draw together: no more toggles than the engine takes, and the same total. */
	size_t n = control_toggles(&k, 1, WORLD_START + 1500 * DAY, t, other);
	uint64_t total = 0;
	assert_true(n <= POLICY_TOGGLES_MAX);
	for (size_t i = 0; i < n; i++)
		total += t[i].cap;
	struct civil from = clock_civil(WORLD_START), to = clock_civil(WORLD_START + 1500 * DAY);
	assert_int_equal(total, 7 * ((to.year - from.year) * 12 + to.month - from.month + 1));
	for (size_t i = 1; i < n; i++)
		assert_int_equal(t[i].since, t[i - 1].until);
}

static void a_pause_stops_cutting_and_scheduling_until_its_day(void **state)
{
	struct world w;
	struct release r;
	(void)state;
	world_make(&w, NULL);
	willing(&w, 1);
	contribute(&w, 1, 0);
	r = world_release(&w);
	set(&w, "{\"act\":\"set\",\"control\":\"selective_embargo\",\"mode\":\"pause\",\"until\":\"2026-03-15T00:00:00Z\"}");
	assert_int_equal(included(&w), 0);
	world_until(&w, WORLD_CUTOFF);
	r = world_read(&w, r.id);
	assert_int_equal(r.state, RELEASE_CANCELLED);
	assert_true(has(r.failure, "because we said so"));
	assert_int_equal(fixture_int("SELECT count(*) FROM release"), 1); /* none is scheduled */
	struct release next;
	assert_err(by(&w, 0), ERR_REFUSED, release_schedule_next(by(&w, 0), w.coop, &next));
	assert_string_equal(by(&w, 0)->error.reason, "releases_paused");
	world_until(&w, WORLD_CUTOFF + 50 * DAY);
	assert_int_equal(fixture_int("SELECT count(*) FROM control_lift WHERE cause = 'date'"), 1);
	assert_int_equal(fixture_int("SELECT count(*) FROM release WHERE state = 'scheduled'"), 1);
	assert_int_equal(included(&w), 1);
	struct control *all;
	size_t n;
	assert_ok(by(&w, 0), control_list(by(&w, 0), w.coop, true, &all, &n));
	assert_int_equal(n, 1);
	assert_int_equal(all[0].lifted_at, all[0].until);
	assert_str(all[0].lift_cause, "date");
}

static void a_control_set_after_the_cut_off_does_not_touch_that_release(void **state)
{
	struct world w;
	(void)state;
	world_make(&w, NULL);
	willing(&w, 2);
	contribute(&w, 1, 0);
	world_until(&w, WORLD_CUTOFF);
	struct release r = world_release(&w);
	for (int i = 0; uuid_is_nil(r.ballot) && i < 1; i++)
		r = world_read(&w, r.id);
	struct release *all;
	struct str next;
	size_t n;
	assert_ok(w.system, release_list(w.system, w.coop, STR("notice"), STR_NONE, 5, &all, &n, &next));
	assert_int_equal(n, 1);
	r = all[0];
	/* The control passes while the release is in notice; it goes on, and what is published is what was noticed. */
	struct motion m;
	struct call *c = by(&w, 4);
	assert_ok(c, motion_propose(c, w.coop, STR("toggle"), json_of(c, "{\"act\":\"set\",\"control\":\"selective_embargo\",\"mode\":\"pause\"}"), REASON, &m));
	world_until(&w, m.opens_at);
	for (int i = 0; i < WORLD_MEMBERS; i++) {
		struct ballot b;
		assert_ok(by(&w, i), ballot_cast_vote(by(&w, i), w.coop, m.ballot, STR("for"), &b));
	}
	r = world_read(&w, r.id);
	world_vote(&w, &r, 2, "for");
	world_until(&w, r.cutoff_at + 9 * DAY + 2 * CLOCK_HOUR);
	standing(&w);
	world_until(&w, r.cutoff_at + 10 * DAY + 5 * CLOCK_HOUR);
	r = world_read(&w, r.id);
	assert_int_equal(r.state, RELEASE_PUBLISHED);
	assert_int_equal(r.built_items, 1);
}

static void what_was_decided_by_goes_with_the_release(void **state)
{
	struct world w;
	struct str text;
	(void)state;
	world_make(&w, NULL);
	willing(&w, 3);
	struct uuid old = contribute(&w, 1, 0);
	set(&w, "{\"act\":\"set\",\"control\":\"preference_shift\",\"uses\":[\"train.gen\"]}");
	struct control k = standing(&w);
	clock_set(k.set_at + CLOCK_HOUR);
	struct uuid denied = contribute(&w, 2, 1);
	struct release r = world_release(&w);
	world_until(&w, WORLD_CUTOFF);
	r = world_read(&w, r.id);
	assert_int_equal(r.included, 1);
	struct str id = uuid_format(by(&w, 0)->arena, k.id);
	assert_true(has(r.spec, str_z(by(&w, 0)->arena, id)));
	assert_true(has(r.spec, "\"preference_shift\""));
	/* It is lifted in the notice: building can only remove, so the item stays out of this one. */
	struct motion m;
	assert_ok(by(&w, 4), motion_propose(by(&w, 4), w.coop, STR("toggle"), json_of(by(&w, 4), str_fmt(by(&w, 4)->arena, "{\"act\":\"lift\",\"control\":\"%.*s\"}", STR_ARG(id)).p),
		REASON, &m));
	world_until(&w, m.opens_at);
	world_vote(&w, &r, 2, "for");
	for (int i = 0; i < WORLD_MEMBERS; i++) {
		struct ballot b;
		assert_ok(by(&w, i), ballot_cast_vote(by(&w, i), w.coop, m.ballot, STR("for"), &b));
	}
	world_until(&w, m.closes_at);
	struct control *list;
	size_t n;
	assert_ok(by(&w, 0), control_list(by(&w, 0), w.coop, false, &list, &n));
	assert_int_equal(n, 0);
	world_until(&w, r.cutoff_at + 10 * DAY + 3 * CLOCK_HOUR);
	r = world_read(&w, r.id);
	assert_int_equal(r.state, RELEASE_PUBLISHED);
	uint64_t reasons;
	assert_int_equal(world_outcome(&w, r.id, old, &reasons), POLICY_INCLUDE);
	assert_int_equal(world_outcome(&w, r.id, denied, &reasons), POLICY_EXCLUDE);
	assert_true(reasons & POLICY_REASON(TOGGLE_SHIFT));
	struct call *c = by(&w, 0);
	struct str dir = release_dir(c->arena, w.coop, r.id);
	static const char *const files[] = { "policy.json", "report.json" };
	for (size_t i = 0; i < CH_LEN(files); i++) {
		assert_int_equal(file_read(c->arena, "The file", str_fmt(c->arena, "%.*s/%s", STR_ARG(dir), files[i]).p, MIB, &text, &c->error), ERR_OK);
		assert_true(has(text, str_z(c->arena, id)));
	}
	/* Explained again, the decision is the same, and names the control. */
	struct decision d;
	assert_ok(by(&w, 2), release_explain(by(&w, 2), w.coop, denied, r.id, &d));
	assert_int_equal(d.outcome, POLICY_EXCLUDE);
	assert_true(says(&d, "TOGGLE_SHIFT"));
}

/* ---- Pledges ---- */

static void a_pledge_opens_when_enough_have_joined_and_releases_all_together(void **state)
{
	struct world w;
	struct control k;
	(void)state;
	world_make(&w, NULL);
	willing(&w, 3);
	contribute(&w, 1, 0);
	set(&w, "{\"act\":\"set\",\"control\":\"assurance\",\"amount\":3}");
	k = standing(&w);
	clock_set(k.set_at + CLOCK_HOUR);
	for (int i = 1; i <= 3; i++)
		contribute(&w, i, 10 + i);
	assert_int_equal(included(&w), 1);
	assert_ok(by(&w, 1), control_pledge_join(by(&w, 1), w.coop, k.id, true, &k));
	assert_int_equal(k.pledged, 1);
	assert_true(k.joined);
	assert_ok(by(&w, 1), control_pledge_join(by(&w, 1), w.coop, k.id, true, &k)); /* once a person */
	assert_int_equal(k.pledged, 1);
	assert_ok(by(&w, 2), control_pledge_join(by(&w, 2), w.coop, k.id, true, &k));
	assert_ok(by(&w, 2), control_pledge_join(by(&w, 2), w.coop, k.id, false, &k)); /* thinks again */
	assert_int_equal(k.pledged, 1);
	assert_ok(by(&w, 3), control_pledge_join(by(&w, 3), w.coop, k.id, true, &k));
	assert_int_equal(included(&w), 1);
	assert_int_equal(k.lifted_at, INSTANT_NONE);
	assert_ok(by(&w, 5), control_pledge_join(by(&w, 5), w.coop, k.id, true, &k)); /* the third */
	assert_str(k.lift_cause, "pledge");
	clock_set(k.set_at + 2 * CLOCK_HOUR);
	assert_int_equal(included(&w), 4);
	assert_err(by(&w, 1), ERR_STATE, control_pledge_join(by(&w, 1), w.coop, k.id, false, &k));
	assert_int_equal(fixture_int("SELECT count(*) FROM notice WHERE kind = 'control.lifted'"), WORLD_MEMBERS);
}

static void who_left_is_not_counted_to_a_pledge(void **state)
{
	struct world w;
	struct control k;
	struct member m;
	(void)state;
	world_make(&w, NULL);
	set(&w, "{\"act\":\"set\",\"control\":\"assurance\",\"amount\":2}");
	k = standing(&w);
	assert_ok(by(&w, 6), control_pledge_join(by(&w, 6), w.coop, k.id, true, &k));
	assert_ok(by(&w, 6), member_leave(by(&w, 6), w.coop, &m));
	assert_ok(by(&w, 5), control_pledge_join(by(&w, 5), w.coop, k.id, true, &k));
	assert_int_equal(k.pledged, 1);
	assert_int_equal(k.lifted_at, INSTANT_NONE);
	assert_err(by(&w, 6), ERR_NOT_FOUND, control_pledge_join(by(&w, 6), w.coop, k.id, true, &k));
}

/* ---- What is refused ---- */

static void refused(struct world *w, const char *document, const char *pointer)
{
	struct motion m;
	struct call *c = by(w, 4);
	error_clear(&c->error);
	assert_err(c, ERR_INVALID, motion_propose(c, w->coop, STR("toggle"), json_of(c, document), REASON, &m));
	assert_str(c->error.faults->pointer, pointer);
}

static void a_control_that_makes_no_sense_is_refused_with_its_field(void **state)
{
	struct world w;
	(void)state;
	world_make(&w, NULL);
	refused(&w, "{\"act\":\"set\",\"control\":\"curfew\"}", "/document/control");
	refused(&w, "{\"act\":\"set\",\"control\":\"selective_embargo\"}", "/document/mode");
	refused(&w, "{\"act\":\"set\",\"control\":\"preference_shift\"}", "/document/uses");
	refused(&w, "{\"act\":\"set\",\"control\":\"quality_freeze\",\"uses\":[\"train.gen\"]}", "/document/uses");
	refused(&w, "{\"act\":\"set\",\"control\":\"rate_limit\"}", "/document/amount");
	refused(&w, "{\"act\":\"set\",\"control\":\"rate_limit\",\"amount\":-3}", "/document/amount");
	refused(&w, "{\"act\":\"set\",\"control\":\"assurance\",\"amount\":9}", "/document/amount");
	refused(&w, "{\"act\":\"set\",\"control\":\"quality_freeze\",\"kinds\":[\"poem\"]}", "/document/kinds");
	refused(&w, "{\"act\":\"set\",\"control\":\"quality_freeze\",\"until\":\"2026-01-05T00:00:00Z\"}", "/document/until");
	refused(&w, "{\"act\":\"lift\",\"control\":\"00000000-0000-4000-8000-000000000000\"}", "/document/control");
	set(&w, "{\"act\":\"set\",\"control\":\"quality_freeze\"}");
	refused(&w, "{\"act\":\"set\",\"control\":\"quality_freeze\"}", "/document/control");
}

static void two_ballots_on_the_same_control_set_it_once(void **state)
{
	struct world w;
	struct motion a, b;
	(void)state;
	world_make(&w, NULL);
	struct call *c = by(&w, 4);
	assert_ok(c, motion_propose(c, w.coop, STR("toggle"), json_of(c, "{\"act\":\"set\",\"control\":\"rate_limit\",\"amount\":4}"), REASON, &a));
	c = by(&w, 5);
	assert_ok(c, motion_propose(c, w.coop, STR("toggle"), json_of(c, "{\"act\":\"set\",\"control\":\"rate_limit\",\"amount\":5}"), REASON, &b));
	world_until(&w, a.opens_at);
	for (int i = 0; i < WORLD_MEMBERS; i++) {
		struct ballot ballot;
		assert_ok(by(&w, i), ballot_cast_vote(by(&w, i), w.coop, a.ballot, STR("for"), &ballot));
		assert_ok(by(&w, i), ballot_cast_vote(by(&w, i), w.coop, b.ballot, STR("for"), &ballot));
	}
	world_until(&w, a.closes_at);
	assert_ok(c, motion_read(c, w.coop, a.id, &a));
	assert_ok(c, motion_read(c, w.coop, b.id, &b));
	assert_int_equal((a.state == MOTION_PASSED) + (b.state == MOTION_PASSED), 1);
	assert_int_equal((a.state == MOTION_REFUSED) + (b.state == MOTION_REFUSED), 1);
	assert_int_equal(fixture_int("SELECT count(*) FROM control"), 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		fixture_test(each_control_touches_what_comes_while_it_stands_and_gives_it_back),
		fixture_test(a_freeze_is_about_labels_and_corrections),
		fixture_test(a_rate_limit_lets_through_so_many_of_each_month),
		fixture_test(lots_of_a_rate_limit_fall_alike_in_every_release),
		fixture_test(a_pause_stops_cutting_and_scheduling_until_its_day),
		fixture_test(a_control_set_after_the_cut_off_does_not_touch_that_release),
		fixture_test(what_was_decided_by_goes_with_the_release),
		fixture_test(a_pledge_opens_when_enough_have_joined_and_releases_all_together),
		fixture_test(who_left_is_not_counted_to_a_pledge),
		fixture_test(a_control_that_makes_no_sense_is_refused_with_its_field),
		fixture_test(two_ballots_on_the_same_control_set_it_once),
	};
	return fixture_run(tests, CH_LEN(tests));
}
