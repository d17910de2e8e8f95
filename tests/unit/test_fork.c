/* Forks: who is asked, who says yes, what goes along, and that the fork's log begins with its parent's. */
#include "world.h"

#include "commonhold/delegation.h"
#include "commonhold/fork.h"
#include "commonhold/ledger.h"
#include "commonhold/lineage.h"

#include <stdio.h>

static void forks_until(instant t)
{
	static const struct job_kind *const tables[] = { fork_jobs, NULL };
	struct error e = { 0 };
	int ran;
	clock_set(t);
	if (job_run_due(tables, &ran, &e) != ERR_OK)
		fail_msg("jobs: %s", e.message);
}

static struct fork_draft draft(void)
{
	return (struct fork_draft){
		.title = STR("Alpine, without the lab"), .place = STR("https://fork.example.org"), .reason = STR("We want shorter retention and to decide on each release in a meeting."),
		.closes_at = clock_now() + 10 * CLOCK_DAY,
	};
}

static struct fork_offer offer(struct world *w, int member)
{
	struct fork_offer out;
	struct fork_draft d = draft();
	assert_ok(by(w, member), fork_offer_make(by(w, member), w->coop, &d, &out));
	return out;
}

static struct fork_offer say(struct world *w, int member, const struct fork_offer *o, bool yes, struct str *claim)
{
	struct fork_offer out;
	struct str code;
	assert_ok(by(w, member), fork_answer(by(w, member), w->coop, o->id, yes, &out, claim ? claim : &code));
	return out;
}

static void every_member_is_asked_and_silence_is_no(void **state)
{
	struct world w;
	(void)state;
	world_make(&w, NULL);
	struct fork_offer o = offer(&w, 3);
	assert_int_equal(o.yes, 0);
	forks_until(clock_now() + CLOCK_MINUTE);
	assert_int_equal(fixture_int("SELECT count(*) FROM notice WHERE kind = 'fork.offered'"), WORLD_MEMBERS);
	o = say(&w, 4, &o, true, NULL);
	assert_true(o.mine && o.answered);
	assert_int_equal(o.yes, 1);
	assert_ok(by(&w, 5), fork_offer_read(by(&w, 5), w.coop, o.id, &o));
	assert_false(o.mine || o.answered);
}

static void a_yes_is_taken_back_until_the_export_and_not_given_after_the_close(void **state)
{
	struct world w;
	struct str claim, again;
	(void)state;
	world_make(&w, NULL);
	struct fork_offer o = offer(&w, 0);
	say(&w, 4, &o, true, &claim);
	assert_int_equal(claim.n, FORK_CLAIM_TEXT);
	say(&w, 4, &o, true, &again);
	assert_false(str_eq(claim, again));
	say(&w, 5, &o, true, NULL);
	o = say(&w, 5, &o, false, &claim);
	assert_null(claim.p);
	assert_int_equal(o.yes, 1);
	forks_until(o.closes_at + CLOCK_MINUTE);
	assert_err(by(&w, 5), ERR_STATE, fork_answer(by(&w, 5), w.coop, o.id, true, &o, &claim));
	assert_ok(by(&w, 5), fork_offer_read(by(&w, 5), w.coop, o.id, &o));
	assert_int_equal(o.state, FORK_CLOSED);
	o = say(&w, 4, &o, false, NULL);
	assert_int_equal(o.yes, 0);
}

static void nobody_says_yes_for_another_not_even_a_delegate_or_the_instance(void **state)
{
	struct world w;
	struct str claim;
	(void)state;
	world_make(&w, NULL);
	struct fork_offer o = offer(&w, 0);
	struct delegation_draft ask = { .question = POLICY_QUESTION_CONSENT, .scope = POLICY_SCOPE_COOP, .delegate_kind = DELEGATE_MEMBER, .delegate = w.id[4], .chosen_end = INSTANT_NONE };
	struct delegation made;
	struct delegation_warning warning;
	assert_ok(by(&w, 5), delegation_make(by(&w, 5), w.coop, &ask, &made, &warning));
	assert_ok(by(&w, 4), delegation_accept(by(&w, 4), w.coop, made.id, &made));
	o = say(&w, 4, &o, true, NULL);
	assert_ok(by(&w, 5), fork_offer_read(by(&w, 5), w.coop, o.id, &o));
	assert_false(o.mine);
	assert_err(w.system, ERR_FORBIDDEN, fork_answer(w.system, w.coop, o.id, true, &o, &claim));
	struct call *stranger = fixture_call();
	assert_err(stranger, ERR_FORBIDDEN, fork_answer(stranger, w.coop, o.id, true, &o, &claim));
}

static void what_was_said_is_in_the_log_as_a_commitment_alone(void **state)
{
	struct world w;
	(void)state;
	world_make(&w, NULL);
	struct fork_offer o = offer(&w, 0);
	say(&w, 4, &o, true, NULL);
	assert_int_equal(fixture_int("SELECT count(*) FROM log_leaf WHERE type = 'fork.answered'"), 1);
	assert_int_equal(fixture_int("SELECT count(*) FROM log_leaf WHERE type LIKE 'fork.%' AND convert_from(entry, 'UTF8') ~ '(yes|true|Alpine)'"), 0);
	assert_int_equal(fixture_int(
		"SELECT count(*) FROM fork_answer a JOIN log_leaf l ON l.coop_id = a.coop_id AND convert_from(l.entry, 'UTF8')::json->'data'->>'commitment' = "
		"encode(sha256(a.salt || sha256(convert_to('{\"offer\":\"' || a.offer_id || '\",\"yes\":true}', 'UTF8'))), 'hex')"), 1);
}

static void an_offer_is_asked_about_for_a_week_at_least_and_few_are_open_at_once(void **state)
{
	struct world w;
	struct fork_offer o;
	(void)state;
	world_make(&w, NULL);
	struct fork_draft d = draft();
	d.closes_at = clock_now() + 6 * CLOCK_DAY;
	assert_err(by(&w, 0), ERR_INVALID, fork_offer_make(by(&w, 0), w.coop, &d, &o));
	d = draft();
	d.place = STR("not an address");
	assert_err(by(&w, 0), ERR_INVALID, fork_offer_make(by(&w, 0), w.coop, &d, &o));
	for (int i = 0; i < FORKS_OPEN; i++)
		o = offer(&w, i);
	d = draft();
	assert_err(by(&w, 0), ERR_REFUSED, fork_offer_make(by(&w, 0), w.coop, &d, &o));
	assert_err(by(&w, 5), ERR_FORBIDDEN, fork_offer_withdraw(by(&w, 5), w.coop, o.id, &o));
	assert_ok(by(&w, 0), fork_offer_withdraw(by(&w, 0), w.coop, o.id, &o));
	assert_int_equal(o.state, FORK_WITHDRAWN);
	offer(&w, 3);
}

static void a_coop_that_was_founded_has_only_itself_as_lineage(void **state)
{
	struct world w;
	struct lineage_node *nodes;
	size_t n;
	struct str signed_text;
	(void)state;
	world_make(&w, NULL);
	assert_ok(by(&w, 0), lineage_read(by(&w, 0), w.coop, &nodes, &n));
	assert_int_equal(n, 1);
	assert_int_equal(nodes[0].depth, 0);
	assert_ok(by(&w, 0), lineage_signed(by(&w, 0), w.coop, &signed_text));
	assert_true(signed_text.n > 100);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		fixture_test(every_member_is_asked_and_silence_is_no),
		fixture_test(a_yes_is_taken_back_until_the_export_and_not_given_after_the_close),
		fixture_test(nobody_says_yes_for_another_not_even_a_delegate_or_the_instance),
		fixture_test(what_was_said_is_in_the_log_as_a_commitment_alone),
		fixture_test(an_offer_is_asked_about_for_a_week_at_least_and_few_are_open_at_once),
		fixture_test(a_coop_that_was_founded_has_only_itself_as_lineage),
	};
	return fixture_run(tests, CH_LEN(tests));
}
