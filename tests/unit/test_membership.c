/* What time does to memberships: the daily job, reminders, renewing, due dates; and a year of ten thousand members. */
#include "world.h"

#include "commonhold/json.h"
#include "commonhold/ledger.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>

#define DUE INT64_C(1798794000000000) /* 2027-01-01T09:00:00Z: a year after WORLD_START */

static int64_t daily(struct world *w)
{
	int64_t steps;
	assert_ok(w->system, membership_daily(w->system, (struct uuid){ { 0 } }, &steps));
	return steps;
}

static int64_t at(struct world *w, instant t)
{
	clock_set(t);
	return daily(w);
}

static struct member read_member(struct world *w, int member)
{
	struct member m;
	assert_ok(w->system, member_read(w->system, w->coop, w->id[member], &m));
	return m;
}

static enum err renew(struct call *c, struct uuid coop, struct member *out)
{
	TRY(db_begin_in(c, coop, DB_WRITE));
	TRY(membership_renew(c, coop, out));
	return db_commit(c);
}

static int64_t count_of(const char *what, int member, struct world *w)
{
	char sql[500];
	struct str id = uuid_format(w->system->arena, w->id[member]);
	snprintf(sql, sizeof sql, "SELECT count(*) FROM %s AND member_id = '%.*s'", what, STR_ARG(id));
	return fixture_int(sql);
}

/* Everything that a member was reminded of, in order: "-30 -14 (…)" with those that were passed over in brackets. */
static const char *reminded(struct world *w, int member)
{
	char sql[500];
	struct str id = uuid_format(w->system->arena, w->id[member]);
	snprintf(sql, sizeof sql, "SELECT coalesce(string_agg(CASE outcome WHEN 'sent' THEN step ELSE '(' || step || ')' END, ' ' ORDER BY at, due_at), '') FROM reminder WHERE member_id = '%.*s'",
		STR_ARG(id));
	return fixture_text(sql);
}

static const char *history(struct world *w, int member)
{
	char sql[500];
	struct str id = uuid_format(w->system->arena, w->id[member]);
	snprintf(sql, sizeof sql, "SELECT string_agg(to_state || '@' || to_char(at AT TIME ZONE 'UTC', 'YYYY-MM-DD\"T\"HH24:MI'), ' ' ORDER BY seq) FROM membership_event "
		"WHERE member_id = '%.*s' AND from_state IS NOT NULL", STR_ARG(id));
	return fixture_text(sql);
}

#define assert_history(w, member, z) assert_string_equal(history((w), (member)), (z))

static void a_membership_goes_through_its_states_on_its_days(void **state)
{
	(void)state;
	struct world w;
	world_make(&w, NULL);
	assert_int_equal(read_member(&w, 5).due_at, DUE);
	assert_int_equal(at(&w, DUE - 30 * CLOCK_DAY - CLOCK_SECOND), 0);
	assert_int_equal(read_member(&w, 5).state, POLICY_STANDING_ACTIVE);
	assert_int_equal(at(&w, DUE - 30 * CLOCK_DAY), 8);
	assert_int_equal(read_member(&w, 5).state, POLICY_STANDING_DUE);
	at(&w, DUE - CLOCK_SECOND);
	assert_int_equal(read_member(&w, 5).state, POLICY_STANDING_DUE);
	at(&w, DUE);
	assert_int_equal(read_member(&w, 5).state, POLICY_STANDING_GRACE);
	at(&w, DUE + 30 * CLOCK_DAY - CLOCK_SECOND);
	assert_int_equal(read_member(&w, 5).state, POLICY_STANDING_GRACE);
	at(&w, DUE + 30 * CLOCK_DAY);
	assert_int_equal(read_member(&w, 5).state, POLICY_STANDING_LAPSED);
	assert_history(&w, 5, "due@2026-12-02T09:00 grace@2027-01-01T09:00 lapsed@2027-01-31T09:00");
	assert_int_equal(fixture_int("SELECT count(*) FROM log_leaf WHERE type = 'member.lapsed'"), 7);
	assert_int_equal(fixture_int("SELECT members FROM coop_count"), 1);
	assert_int_equal(at(&w, DUE + 400 * CLOCK_DAY), 0);
}

static void after_a_standstill_every_step_is_taken_in_order_and_dated_when_it_was_due(void **state)
{
	(void)state;
	struct world w;
	world_make(&w, NULL);
	assert_int_equal(at(&w, DUE + 100 * CLOCK_DAY), 7 * 3 + 2);
	assert_history(&w, 6, "due@2026-12-02T09:00 grace@2027-01-01T09:00 lapsed@2027-01-31T09:00");
	assert_int_equal(read_member(&w, 6).state_at, DUE + 30 * CLOCK_DAY);
	assert_string_equal(fixture_text("SELECT string_agg(DISTINCT t, ' ') FROM (SELECT type AS t FROM log_leaf WHERE type IN ('member.due', 'member.grace', 'member.lapsed')) x"),
		"member.due member.grace member.lapsed");
	assert_int_equal(fixture_int("SELECT count(*) FROM log_leaf a JOIN log_leaf b ON b.idx > a.idx WHERE a.type = 'member.lapsed' AND b.type IN ('member.due', 'member.grace')"), 0);
	/* The leaf says since when; its own instant is that of the log. */
	assert_int_equal(fixture_int("SELECT count(*) FROM log_leaf WHERE type = 'member.grace' AND convert_from(entry, 'UTF8') LIKE '%\"since\":\"2027-01-01T09:00:00Z\"%'"), 8);
	/* One message, not nine. */
	assert_string_equal(reminded(&w, 6), "(-30) (-14) (-7) (-1) (grace) (+1) (+7) (+21) lapsed");
	assert_int_equal(fixture_int("SELECT count(*) FROM notice WHERE kind IN ('membership.due', 'membership.reminder', 'membership.grace', 'membership.lapsed')"), 8);
	assert_int_equal(daily(&w), 0);
}

static void each_reminder_comes_once_on_its_day(void **state)
{
	(void)state;
	struct world w;
	world_make(&w, NULL);
	for (instant t = DUE - 40 * CLOCK_DAY; t < DUE + 40 * CLOCK_DAY; t += CLOCK_DAY / 2)
		at(&w, t);
	assert_string_equal(reminded(&w, 4), "-30 -14 -7 -1 grace +1 +7 +21 lapsed");
	assert_int_equal(fixture_int("SELECT count(*) FROM reminder WHERE at <> due_at"), 0);
	assert_int_equal(fixture_int("SELECT count(*) FROM notice WHERE kind IN ('membership.due', 'membership.reminder', 'membership.grace', 'membership.lapsed')"), 7 * 9 + 8);
	assert_int_equal(fixture_int("SELECT count(DISTINCT (account_id, key)) FROM notice WHERE kind IN ('membership.due', 'membership.reminder', 'membership.grace', 'membership.lapsed')"), 7 * 9 + 8);
}

static void who_was_away_through_several_steps_gets_the_latest_only(void **state)
{
	(void)state;
	struct world w;
	world_make(&w, NULL);
	at(&w, DUE - 30 * CLOCK_DAY);
	at(&w, DUE - 3 * CLOCK_DAY);
	at(&w, DUE + 8 * CLOCK_DAY);
	assert_string_equal(reminded(&w, 3), "-30 (-14) -7 (-1) (grace) (+1) +7");
	assert_int_equal(fixture_int("SELECT count(*) FROM notice WHERE kind IN ('membership.due', 'membership.reminder', 'membership.grace', 'membership.lapsed')"), 8 * 3);
}

static void a_short_window_and_grace_leave_out_what_lies_outside(void **state)
{
	(void)state;
	struct world w;
	world_make(&w, "{\"membership\":{\"admission\":\"open\",\"window\":\"P10D\",\"grace\":\"P5D\"}}");
	for (instant t = DUE - 40 * CLOCK_DAY; t < DUE + 40 * CLOCK_DAY; t += CLOCK_DAY)
		at(&w, t);
	assert_string_equal(reminded(&w, 4), "(-30) -14 -7 -1 grace +1 lapsed");
	assert_history(&w, 4, "due@2026-12-22T09:00 grace@2027-01-01T09:00 lapsed@2027-01-06T09:00");
}

static void whoever_renews_hears_nothing_more(void **state)
{
	(void)state;
	struct world w;
	struct member m;
	world_make(&w, NULL);
	at(&w, DUE - 30 * CLOCK_DAY);
	assert_ok(by(&w, 4), renew(by(&w, 4), w.coop, &m));
	for (instant t = DUE - 29 * CLOCK_DAY; t < DUE + 40 * CLOCK_DAY; t += CLOCK_DAY)
		at(&w, t);
	assert_string_equal(reminded(&w, 4), "-30");
	assert_int_equal(read_member(&w, 4).state, POLICY_STANDING_ACTIVE);
}

static void who_has_left_or_was_removed_is_left_alone(void **state)
{
	(void)state;
	struct world w;
	struct member m;
	world_make(&w, NULL);
	at(&w, DUE - 30 * CLOCK_DAY);
	assert_ok(by(&w, 4), member_leave(by(&w, 4), w.coop, &m));
	assert_ok(by(&w, 0), member_remove(by(&w, 0), w.coop, w.id[5], STR_NONE, &m));
	at(&w, DUE + 40 * CLOCK_DAY);
	assert_string_equal(reminded(&w, 4), "-30");
	assert_string_equal(reminded(&w, 5), "-30");
	assert_history(&w, 4, "due@2026-12-02T09:00 left@2026-12-02T09:00");
}

/* ---- Renewing ---- */

static void confirming_early_keeps_the_anniversary(void **state)
{
	(void)state;
	struct world w;
	struct member m;
	world_make(&w, NULL);
	clock_set(DUE - 31 * CLOCK_DAY);
	assert_err(by(&w, 4), ERR_STATE, renew(by(&w, 4), w.coop, &m));
	clock_set(DUE - 29 * CLOCK_DAY); /* the job has not come by: the step is taken now */
	assert_ok(by(&w, 4), renew(by(&w, 4), w.coop, &m));
	assert_int_equal(m.due_at, DUE + 365 * CLOCK_DAY);
	assert_int_equal(m.cycle, 2);
	assert_int_equal(m.checked_at, DUE - 29 * CLOCK_DAY);
	assert_history(&w, 4, "due@2026-12-02T09:00 active@2026-12-03T09:00");
	assert_err(by(&w, 4), ERR_STATE, renew(by(&w, 4), w.coop, &m)); /* not a second year in advance */
}

static void renewing_in_the_grace_keeps_it_too(void **state)
{
	(void)state;
	struct world w;
	struct member m;
	world_make(&w, NULL);
	at(&w, DUE + 29 * CLOCK_DAY);
	assert_ok(by(&w, 4), renew(by(&w, 4), w.coop, &m));
	assert_int_equal(m.due_at, DUE + 365 * CLOCK_DAY);
	assert_int_equal(m.state, POLICY_STANDING_ACTIVE);
}

static void renewing_after_the_lapse_begins_a_new_anniversary(void **state)
{
	(void)state;
	struct world w;
	struct member m;
	world_make(&w, NULL);
	clock_set(DUE + 31 * CLOCK_DAY + 5 * CLOCK_HOUR);
	assert_ok(by(&w, 4), renew(by(&w, 4), w.coop, &m)); /* lapses and comes back in one go, each noted */
	assert_int_equal(m.due_at, DUE + (31 + 365) * CLOCK_DAY + 5 * CLOCK_HOUR);
	assert_int_equal(m.due_day, 1); /* the 1st of February */
	assert_history(&w, 4, "due@2026-12-02T09:00 grace@2027-01-01T09:00 lapsed@2027-01-31T09:00 active@2027-02-01T14:00");
	assert_int_equal(fixture_int("SELECT members FROM coop_count"), 8);
}

static void the_29th_of_february_comes_back_in_leap_years(void **state)
{
	(void)state;
	struct member m = { .state = POLICY_STANDING_DUE, .due_day = 29 };
	struct duration year = { .years = 1 }, months = { .months = 6 }, days = { .days = 365 };
	static const char *const dues[] = { "2028-02-29T12:00:00Z", "2029-02-28T12:00:00Z", "2030-02-28T12:00:00Z", "2031-02-28T12:00:00Z", "2032-02-29T12:00:00Z" };
	instant want;
	for (size_t i = 0; i + 1 < CH_LEN(dues); i++) {
		assert_true(clock_parse(str_of(dues[i]), &m.due_at) && clock_parse(str_of(dues[i + 1]), &want));
		assert_int_equal(membership_next_due(&m, year, m.due_at - CLOCK_DAY), want);
	}
	m.due_day = 31;
	assert_true(clock_parse(STR("2027-08-31T00:00:00Z"), &m.due_at) && clock_parse(STR("2028-02-29T00:00:00Z"), &want));
	assert_int_equal(membership_next_due(&m, months, m.due_at), want);
	m.due_at = want;
	assert_true(clock_parse(STR("2028-08-31T00:00:00Z"), &want));
	assert_int_equal(membership_next_due(&m, months, m.due_at), want);
	assert_int_equal(membership_next_due(&m, days, m.due_at), m.due_at + 365 * CLOCK_DAY);
	m.state = POLICY_STANDING_LAPSED;
	assert_int_equal(membership_next_due(&m, year, DUE), DUE + 365 * CLOCK_DAY);
}

static void joining_on_a_leap_day_keeps_that_day(void **state)
{
	(void)state;
	struct world w;
	struct member m;
	instant leap, due;
	world_make(&w, NULL);
	assert_true(clock_parse(STR("2028-02-29T10:00:00Z"), &leap) && clock_parse(STR("2029-02-28T10:00:00Z"), &due));
	assert_ok(by(&w, 7), member_leave(by(&w, 7), w.coop, &m));
	clock_set(leap);
	assert_ok(by(&w, 7), member_join(by(&w, 7), w.coop, &m));
	assert_int_equal(m.due_at, due);
	assert_int_equal(m.due_day, 29);
	assert_int_equal(m.cycle, 2); /* so that the reminders of the first time do not count */
}

static void the_database_adds_durations_as_the_program_does(void **state)
{
	(void)state;
	struct world w;
	world_make(&w, NULL);
	unsigned seed = (unsigned)clock_tick();
	print_message("seed %u\n", seed);
	srandom(seed);
	for (int i = 0; i < 200; i++) {
		instant t = (random() % 20000) * CLOCK_DAY + (random() % 86400) * CLOCK_SECOND;
		struct duration d = { (int)(random() % 3), (int)(random() % 14), (int)(random() % 70), random() % 100000 };
		int sign = random() % 2 ? 1 : -1;
		char sql[300];
		snprintf(sql, sizeof sql, "SET timezone = 'UTC'; SELECT (extract(epoch FROM timestamptz '%s' %c interval 'P%dY%dM%dDT%lldS') * 1000000)::bigint",
			clock_format(w.system->arena, t).p, sign > 0 ? '+' : '-', d.years, d.months, d.days, (long long)d.seconds);
		assert_int_equal(fixture_int(sql), duration_add(t, d, sign));
	}
}

static void one_may_choose_an_earlier_date_for_the_checkup(void **state)
{
	(void)state;
	struct world w;
	struct member m;
	world_make(&w, NULL);
	clock_set(WORLD_START + CLOCK_DAY);
	instant spring = WORLD_START + 90 * CLOCK_DAY;
	assert_err(by(&w, 4), ERR_INVALID, member_set_due(by(&w, 4), w.coop, DUE + CLOCK_DAY, &m)); /* never later */
	assert_err(by(&w, 4), ERR_INVALID, member_set_due(by(&w, 4), w.coop, WORLD_START + 20 * CLOCK_DAY, &m));
	assert_ok(by(&w, 4), member_set_due(by(&w, 4), w.coop, spring, &m));
	assert_int_equal(m.due_at, spring);
	at(&w, spring);
	assert_err(by(&w, 4), ERR_STATE, member_set_due(by(&w, 4), w.coop, spring - CLOCK_DAY, &m));
	assert_int_equal(read_member(&w, 4).state, POLICY_STANDING_GRACE);
	assert_ok(by(&w, 4), renew(by(&w, 4), w.coop, &m));
	assert_int_equal(m.due_at, spring + 365 * CLOCK_DAY);
}

/* ---- Admins ---- */

static void the_last_admin_stays_in_grace(void **state)
{
	(void)state;
	struct world w;
	struct member m;
	world_make(&w, NULL);
	at(&w, DUE + 60 * CLOCK_DAY);
	assert_int_equal(fixture_int("SELECT count(*) FROM membership WHERE is_admin AND state = 'grace'"), 1);
	assert_int_equal(fixture_int("SELECT count(*) FROM membership WHERE is_admin"), 1);
	assert_int_equal(read_member(&w, 0).state, POLICY_STANDING_GRACE);
	assert_int_equal(membership_standing_at(POLICY_STANDING_GRACE, DUE, (struct duration){ .days = 30 }, clock_now()), POLICY_STANDING_LAPSED); /* items are held out all the same */
	/* As soon as there is another admin, the first goes the way of everybody. */
	assert_ok(by(&w, 4), renew(by(&w, 4), w.coop, &m));
	assert_ok(by(&w, 0), member_set_admin(by(&w, 0), w.coop, w.id[4], true, &m));
	at(&w, DUE + 62 * CLOCK_DAY);
	assert_int_equal(read_member(&w, 0).state, POLICY_STANDING_LAPSED);
	assert_int_equal(read_member(&w, 0).is_admin, false);
}

/* ---- What releases are told ---- */

static uint32_t no_item(void *arg, struct uuid item)
{
	(void)arg;
	(void)item;
	return POLICY_NO_ITEM;
}

static struct policy_member facts_of(struct world *w, int member)
{
	struct policy_facts facts;
	assert_ok(w->system, db_begin_in(w->system, w->coop, DB_SERIAL));
	assert_ok(w->system, coop_policy_facts(w->system, w->coop, no_item, NULL, &facts));
	assert_ok(w->system, db_commit(w->system));
	return facts.members[member];
}

static void consent_to(struct world *w, int member, bool defaults)
{
	struct str research = STR("research");
	assert_ok(by(w, member), consent_give(by(w, member), w->coop, &research, 1, defaults));
}

static void accepting_the_default_rests_from_the_due_date_and_is_said_again(void **state)
{
	(void)state;
	struct world w;
	struct member m;
	world_make(&w, NULL);
	clock_set(WORLD_START + CLOCK_DAY);
	consent_to(&w, 4, true);
	assert_int_equal(facts_of(&w, 4).defaults_accepted, WORLD_START + CLOCK_DAY);
	clock_set(DUE - CLOCK_SECOND);
	assert_int_equal(facts_of(&w, 4).defaults_accepted, WORLD_START + CLOCK_DAY);
	clock_set(DUE); /* whether or not the daily job has come by */
	assert_true(facts_of(&w, 4).defaults_accepted == POLICY_NEVER);
	assert_int_equal(facts_of(&w, 4).standing, POLICY_STANDING_GRACE);
	assert_int_equal(facts_of(&w, 4).consent_given, WORLD_START + CLOCK_DAY); /* the consent itself goes on through the grace */
	clock_set(DUE + 10 * CLOCK_DAY);
	assert_ok(by(&w, 4), renew(by(&w, 4), w.coop, &m));
	assert_true(facts_of(&w, 4).defaults_accepted == POLICY_NEVER); /* renewing restores the membership alone */
	consent_to(&w, 4, true);
	assert_int_equal(facts_of(&w, 4).defaults_accepted, DUE + 10 * CLOCK_DAY); /* from now on, not for a cut-off in between */
	assert_int_equal(facts_of(&w, 4).consent_given, WORLD_START + CLOCK_DAY);
}

static void said_again_in_time_an_acceptance_goes_on_without_a_gap(void **state)
{
	(void)state;
	struct world w;
	struct member m;
	world_make(&w, NULL);
	consent_to(&w, 4, true);
	clock_set(DUE - 10 * CLOCK_DAY);
	assert_ok(by(&w, 4), renew(by(&w, 4), w.coop, &m));
	consent_to(&w, 4, true);
	clock_set(DUE + 100 * CLOCK_DAY);
	assert_int_equal(facts_of(&w, 4).defaults_accepted, WORLD_START);
	assert_int_equal(facts_of(&w, 4).standing, POLICY_STANDING_ACTIVE);
}

static void a_lapsed_member_is_out_of_new_releases_and_nothing_is_deleted(void **state)
{
	(void)state;
	struct world w;
	struct member m;
	world_make(&w, NULL);
	world_say(&w, 4, "allow");
	world_contribute(&w, 4, "What is a hedge?");
	clock_set(DUE + 30 * CLOCK_DAY);
	assert_int_equal(facts_of(&w, 4).standing, POLICY_STANDING_LAPSED);
	daily(&w);
	assert_int_equal(count_of("contribution WHERE true", 4, &w), 1);
	assert_int_equal(count_of("statement WHERE effect = 'allow'", 4, &w), 1);
	assert_ok(by(&w, 4), renew(by(&w, 4), w.coop, &m));
	assert_int_equal(facts_of(&w, 4).standing, POLICY_STANDING_ACTIVE);
}

/* ---- Material changes ---- */

static void make_demand(struct world *w, const char *line, int charter)
{
	struct demand d = { .line = str_of(line), .reason = STR("purpose"), .words = STR("Releases may now also serve commercial research."), .charter = charter };
	bool made;
	assert_ok(w->system, db_begin_in(w->system, w->coop, DB_WRITE));
	assert_ok(w->system, demand_make(w->system, w->coop, &d, (struct uuid){ { 0 } }, &made));
	assert_true(made);
	assert_ok(w->system, db_commit(w->system));
}

static size_t demands_of(struct world *w, int member)
{
	struct demand *d;
	struct member m;
	size_t n;
	struct call *c = by(w, member);
	assert_ok(c, db_begin_in(c, w->coop, DB_READ));
	assert_ok(c, member_of_actor(c, w->coop, &m));
	assert_ok(c, demand_open(c, &m, &d, &n));
	assert_ok(c, db_commit(c));
	return n;
}

static void what_changed_in_substance_is_asked_again_and_rests_until_answered(void **state)
{
	(void)state;
	struct world w;
	int consent, defaults;
	world_make(&w, NULL);
	consent_to(&w, 4, true);
	consent_to(&w, 5, false);
	clock_set(WORLD_START + CLOCK_DAY);
	make_demand(&w, "consent", 2);
	make_demand(&w, "default", 2);
	assert_int_equal(demands_of(&w, 4), 2);
	assert_int_equal(demands_of(&w, 5), 1); /* never accepted the default */
	assert_int_equal(demands_of(&w, 6), 0); /* silent anyway */
	assert_ok(w.system, db_begin_in(w.system, w.coop, DB_READ));
	assert_ok(w.system, demand_oldest_words(w.system, w.coop, 1, &consent, &defaults));
	assert_int_equal(consent, 0); /* a release on the old charter goes on */
	assert_ok(w.system, demand_oldest_words(w.system, w.coop, 2, &consent, &defaults));
	assert_int_equal(consent, 2);
	assert_int_equal(defaults, 2);
	assert_ok(w.system, db_commit(w.system));
	assert_int_equal(fixture_int("SELECT count(*) FROM log_leaf WHERE type = 'checkup.asked'"), 2);
}

/* ---- Races ---- */

struct racer {
	struct world *w;
	struct call *c;
	int member;
	enum err got;
};

static void *race_renew(void *arg)
{
	struct racer *r = arg;
	struct member m;
	r->got = renew(r->c, r->w->coop, &m);
	db_rollback(r->c);
	return NULL;
}

static void *race_daily(void *arg)
{
	struct racer *r = arg;
	int64_t steps;
	r->got = membership_daily(r->c, r->w->coop, &steps);
	return NULL;
}

static void renewing_and_the_daily_job_may_meet(void **state)
{
	(void)state;
	struct world w;
	world_make(&w, NULL);
	for (int round = 0; round < 6; round++) {
		pthread_t threads[4];
		struct racer racers[4];
		clock_set(DUE + (round % 3 - 1) * 30 * CLOCK_DAY + (round / 3) * 365 * CLOCK_DAY); /* at the very instant of each step */
		for (int i = 0; i < 4; i++) {
			racers[i] = (struct racer){ &w, i < 2 ? fixture_call() : fixture_system(), 4 + i, ERR_OK };
			if (i < 2)
				racers[i].c->actor = w.actor[4 + i];
			pthread_create(&threads[i], NULL, i < 2 ? race_renew : race_daily, &racers[i]);
		}
		for (int i = 0; i < 4; i++) {
			pthread_join(threads[i], NULL);
			assert_true(racers[i].got == ERR_OK || (i < 2 && racers[i].got == ERR_STATE));
			fixture_end(racers[i].c);
		}
		daily(&w);
	}
	/* Each history is a path: every event begins where the one before it ended, and no instant runs back. */
	assert_int_equal(fixture_int("SELECT count(*) FROM (SELECT from_state, at, lag(to_state) OVER x AS before, lag(at) OVER x AS earlier FROM membership_event "
		"WINDOW x AS (PARTITION BY member_id ORDER BY seq)) y WHERE before IS NOT NULL AND (from_state <> before OR at < earlier)"), 0);
	assert_int_equal(fixture_int("SELECT count(*) FROM membership_event WHERE from_state IN ('active', 'due') AND to_state = 'lapsed'"), 0);
	assert_true(read_member(&w, 4).cycle > 1);
}

/* ---- A year of ten thousand ---- */

#define YEAR_MEMBERS 10000
#define YEAR_COOPS 4

/* Ten thousand people who joined over the year before, a quarter in each co-op; the first of each is its founder. */
static void people_the_year(const struct uuid *coops)
{
	char sql[2000];
	fixture_sql("INSERT INTO account (id, email, name, locale, created_at) SELECT ('00000000-0000-4000-8000-' || lpad(to_hex(n), 12, '0'))::uuid, 'm' || n || '@example.org', 'M', 'en', "
		"'2025-01-01Z' FROM generate_series(1, 10000) n");
	for (int i = 0; i < YEAR_COOPS; i++) {
		char id[40];
		struct arena *a = arena_new(4096);
		snprintf(id, sizeof id, "%.*s", STR_ARG(uuid_format(a, coops[i])));
		arena_free(a);
		snprintf(sql, sizeof sql,
			"INSERT INTO membership (coop_id, id, account_id, number, state, is_admin, applied_at, joined_at, due_at, due_day, state_at, attribution, pseudonym) "
			"SELECT '%s', gen_random_uuid(), a.id, n + 9, 'active', false, j.at, j.at, j.at + interval '1 year', extract(day FROM j.at), j.at, 'pseudonym', 'p' || n "
			"FROM generate_series(1, %d) n JOIN account a ON a.email = 'm' || (n * %d - %d) || '@example.org', "
			"LATERAL (SELECT timestamptz '2025-01-01 09:00Z' + n * interval '1 day' * 365 / %d AS at) j",
			id, YEAR_MEMBERS / YEAR_COOPS, YEAR_COOPS, i, YEAR_MEMBERS / YEAR_COOPS);
		fixture_sql(sql);
	}
}

/* What each person does about a checkup, by the last digit of their number: 0-5 in the window, 6 in the grace, 7 after the lapse, 8 and 9 nothing. */
SQL(year_renewers,
	"SELECT m.coop_id, m.account_id FROM membership m WHERE m.coop_id = $1 AND CASE WHEN m.number % 10 < 6 THEN m.state = 'due' AND m.due_at - (1 + m.number % 28) * interval '1 day' <= commonhold_now() "
	"WHEN m.number % 10 = 6 THEN m.state = 'grace' AND m.due_at + (m.number % 25) * interval '1 day' <= commonhold_now() "
	"WHEN m.number % 10 = 7 THEN m.state = 'lapsed' AND m.state_at + (m.number % 40) * interval '1 day' <= commonhold_now() ELSE false END ORDER BY m.number");

static int64_t renew_those_of_today(struct call *c, struct call *person, struct uuid coop)
{
	struct rows r;
	struct member m;
	assert_ok(c, db_begin_in(c, coop, DB_READ));
	assert_ok(c, db_finish(c, year_renewers, &r, A_UUID(coop)));
	for (int i = 0; i < r.n; i++) {
		struct arena_mark mark = arena_mark(person->arena);
		person->actor = (struct actor){ .kind = AUTH_SESSION, .account = row_uuid(&r, i, 1) };
		assert_ok(person, renew(person, coop, &m));
		arena_rewind(person->arena, mark);
	}
	return r.n;
}

static void a_year_of_ten_thousand_members_goes_by_its_rules(void **state)
{
	(void)state;
	struct world w;
	struct uuid coops[YEAR_COOPS];
	int64_t began = clock_tick(), steps = 0, renewed = 0;
	world_make(&w, NULL);
	coops[0] = w.coop;
	fixture_sql("DELETE FROM job");
	for (int i = 1; i < YEAR_COOPS; i++) {
		struct coop coop;
		struct call *c = by(&w, i);
		const struct json *draft;
		assert_ok(c, json_parse(c->arena, STR("{\"name\":\"More\",\"scope\":{\"domain\":\"d\",\"region\":\"CH\",\"language\":[\"en\"]},\"release\":{\"uses\":[\"eval\"],"
			"\"purposes\":[\"research\"]},\"membership\":{\"admission\":\"open\"}}"), &draft, &c->error));
		assert_ok(c, coop_found(c, str_fmt(c->arena, "more-%d", i), draft, &coop));
		coops[i] = coop.id;
	}
	fixture_sql("UPDATE membership SET due_at = '2099-01-01Z', next_step_at = 'infinity'"); /* the founders stay as they are */
	people_the_year(coops);
	for (int day = 0; day < 396; day++) {
		clock_set(WORLD_START + day * CLOCK_DAY);
		struct arena_mark mark = arena_mark(w.system->arena);
		steps += daily(&w);
		for (int i = 0; i < YEAR_COOPS; i++)
			renewed += renew_those_of_today(w.system, w.person, coops[i]);
		arena_rewind(w.system->arena, mark);
	}
	print_message("%lld steps, %lld renewals in %.1f s\n", (long long)steps, (long long)renewed, (double)(clock_tick() - began) / 1e6);
	/* Everybody's checkup came once; the early ones of January twice. */
	assert_true(renewed >= YEAR_MEMBERS * 7 / 10);
	assert_int_equal(fixture_int("SELECT count(*) FROM membership WHERE number > 9 AND number % 10 IN (8, 9) AND state <> 'lapsed' AND due_at + interval '30 days' <= '2027-01-31 09:00Z'"), 0);
	assert_int_equal(fixture_int("SELECT count(*) FROM membership_event WHERE to_state = 'lapsed' AND from_state <> 'grace'"), 0);
	assert_int_equal(fixture_int("SELECT count(*) FROM membership_event l WHERE to_state = 'lapsed' AND NOT EXISTS (SELECT FROM membership_event g WHERE g.member_id = l.member_id "
		"AND g.to_state = 'grace' AND g.at = l.at - interval '30 days')"), 0);
	assert_int_equal(fixture_int("SELECT count(*) FROM membership WHERE number > 9 AND number % 10 < 6 AND state IN ('grace', 'lapsed')"), 0);
	assert_int_equal(fixture_int("SELECT count(*) FROM reminder r JOIN membership m ON m.id = r.member_id WHERE m.number > 9 AND m.number % 10 < 6 AND r.step IN ('grace', '+1', '+7', '+21', 'lapsed')"), 0);
	assert_int_equal(fixture_int("SELECT count(*) FROM reminder WHERE at - due_at >= interval '1 day' AND at > '2026-01-01 09:00Z'"), 0);
	assert_int_equal(fixture_int("SELECT count(*) FROM reminder WHERE outcome = 'sent'"), fixture_int("SELECT count(*) FROM notice WHERE kind IN ('membership.due', 'membership.reminder', 'membership.grace', 'membership.lapsed')"));
	assert_int_equal(fixture_int("SELECT count(*) FROM (SELECT 1 FROM reminder GROUP BY coop_id, member_id, cycle, step, channel HAVING count(*) > 1) x"), 0);
	/* As many leaves as moves, and every count of members is what the states say. */
	assert_int_equal(fixture_int("SELECT count(*) FROM log_leaf WHERE type IN ('member.due', 'member.grace', 'member.lapsed')"), steps);
	assert_int_equal(fixture_int("SELECT count(*) FROM log_leaf WHERE type = 'member.renewed'"), renewed);
	assert_int_equal(fixture_int("SELECT count(*) FROM (SELECT from_state, lag(to_state) OVER (PARTITION BY member_id ORDER BY seq) AS before FROM membership_event) x WHERE before <> from_state"), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		fixture_test(a_membership_goes_through_its_states_on_its_days),
		fixture_test(after_a_standstill_every_step_is_taken_in_order_and_dated_when_it_was_due),
		fixture_test(each_reminder_comes_once_on_its_day),
		fixture_test(who_was_away_through_several_steps_gets_the_latest_only),
		fixture_test(a_short_window_and_grace_leave_out_what_lies_outside),
		fixture_test(whoever_renews_hears_nothing_more),
		fixture_test(who_has_left_or_was_removed_is_left_alone),
		fixture_test(confirming_early_keeps_the_anniversary),
		fixture_test(renewing_in_the_grace_keeps_it_too),
		fixture_test(renewing_after_the_lapse_begins_a_new_anniversary),
		fixture_test(the_29th_of_february_comes_back_in_leap_years),
		fixture_test(joining_on_a_leap_day_keeps_that_day),
		fixture_test(the_database_adds_durations_as_the_program_does),
		fixture_test(one_may_choose_an_earlier_date_for_the_checkup),
		fixture_test(the_last_admin_stays_in_grace),
		fixture_test(accepting_the_default_rests_from_the_due_date_and_is_said_again),
		fixture_test(said_again_in_time_an_acceptance_goes_on_without_a_gap),
		fixture_test(a_lapsed_member_is_out_of_new_releases_and_nothing_is_deleted),
		fixture_test(what_changed_in_substance_is_asked_again_and_rests_until_answered),
		fixture_test(renewing_and_the_daily_job_may_meet),
		fixture_test(a_year_of_ten_thousand_members_goes_by_its_rules),
	};
	return fixture_run(tests, CH_LEN(tests));
}
