/* Motions from proposal to effect: who may propose, what is refused and why, that what passed happens once. */
#include "world.h"

#include "commonhold/benefit.h"
#include "server/coop/charter.h"

#include <pthread.h>
#include <stdio.h>

#define DAY CLOCK_DAY
#define REASON STR("because we said so")

static const struct json *json_of(struct call *c, const char *text)
{
	const struct json *v;
	assert_ok(c, json_parse(c->arena, str_of(text), &v, &c->error));
	return v;
}

/* The charter in force with some members put in the place of its own. */
static const struct json *amended(struct world *w, const char *replace)
{
	struct call *c = by(w, 0);
	struct charter now;
	struct buf b;
	struct json_writer out;
	const struct json *over = json_of(c, replace);
	assert_ok(c, charter_view(c, w->coop, 0, &now));
	buf_init(&b, LIMIT_BODY_CHARTER);
	jw_init(&out, &b);
	jw_object(&out);
	json_each(member, now.json) {
		if (json_get_str(over, member->key))
			continue;
		jw_key_str(&out, member->key);
		jw_json(&out, member);
	}
	json_each(member, over) {
		jw_key_str(&out, member->key);
		jw_json(&out, member);
	}
	jw_end_object(&out);
	return json_of(c, buf_take(c->arena, &b).p);
}

static struct motion amend(struct world *w, int who, const char *replace)
{
	struct motion m;
	const struct json *draft = amended(w, replace);
	assert_ok(by(w, who), motion_amend(by(w, who), w->coop, draft, 0, REASON, &m));
	return m;
}

static struct motion propose(struct world *w, int who, const char *kind, const char *document)
{
	struct motion m;
	struct call *c = by(w, who);
	assert_ok(c, motion_propose(c, w->coop, str_of(kind), json_of(c, document), REASON, &m));
	return m;
}

static struct motion motion_now(struct world *w, struct uuid id)
{
	struct motion m;
	assert_ok(by(w, 0), motion_read(by(w, 0), w->coop, id, &m));
	return m;
}

/* Everybody votes; the motion as it is after the close. */
static struct motion decide_by(struct world *w, const struct motion *m, const char *choice)
{
	world_until(w, m->opens_at);
	for (int i = 0; i < WORLD_MEMBERS; i++) {
		struct ballot b;
		assert_ok(by(w, i), ballot_cast_vote(by(w, i), w->coop, m->ballot, str_of(choice), &b));
	}
	world_until(w, m->closes_at);
	return motion_now(w, m->id);
}

static bool has(struct str text, const char *part)
{
	return memmem(text.p, text.n, part, strlen(part)) != NULL;
}

static struct str refusal_at(const struct call *c)
{
	return c->error.faults ? c->error.faults->pointer : STR_NONE;
}

static int charter_now(struct world *w)
{
	struct coop coop;
	assert_ok(by(w, 0), coop_read(by(w, 0), w->coop, &coop));
	return coop.charter_version;
}

/* ---- Proposing ---- */

static void a_motion_is_voted_on_by_its_digest_after_seven_days_at_least(void **state)
{
	struct world w;
	struct ballot b;
	(void)state;
	world_make(&w, NULL);
	struct motion m = amend(&w, 5, "{\"embargo\":\"P3D\"}");
	assert_int_equal(m.state, MOTION_NOTICE);
	assert_true(m.mine);
	assert_int_equal(m.opens_at - WORLD_START, 7 * DAY);
	assert_int_equal(m.closes_at - m.opens_at, 2 * DAY);
	assert_ok(by(&w, 5), ballot_read(by(&w, 5), w.coop, m.ballot, &b));
	struct sha256 digest = sha256(m.document);
	assert_memory_equal(b.digest.b, digest.b, 32);
	assert_str(b.kind, "charter");
	assert_true(uuid_eq(b.subject, m.id));
	struct charter now;
	struct ballot_rule rule;
	assert_ok(by(&w, 5), charter_view(by(&w, 5), w.coop, 0, &now));
	assert_ok(by(&w, 5), charter_rule(by(&w, 5)->arena, &now, "amendment", &rule, &by(&w, 5)->error));
	assert_true(str_eq(b.rule, rule.json));
}

static void who_may_propose_is_as_the_charter_says(void **state)
{
	struct world w;
	struct motion m;
	(void)state;
	world_make(&w, "{\"proposals\":{\"who\":\"admins\",\"per_member_open\":2}}");
	struct call *c = by(&w, 5);
	assert_err(c, ERR_REFUSED, motion_propose(c, w.coop, STR("toggle"), json_of(c, "{\"act\":\"set\",\"control\":\"quality_freeze\"}"), REASON, &m));
	assert_string_equal(c->error.reason, "admins_propose");
	propose(&w, 0, "toggle", "{\"act\":\"set\",\"control\":\"quality_freeze\"}");
	propose(&w, 0, "toggle", "{\"act\":\"set\",\"control\":\"rate_limit\",\"amount\":5}");
	c = by(&w, 0);
	assert_err(c, ERR_REFUSED, motion_propose(c, w.coop, STR("toggle"), json_of(c, "{\"act\":\"set\",\"control\":\"assurance\",\"amount\":3}"), REASON, &m));
	assert_string_equal(c->error.reason, "motions_open");
	/* Somebody else has room; but not for the very same. */
	c = by(&w, 1);
	assert_err(c, ERR_EXISTS, motion_propose(c, w.coop, STR("toggle"), json_of(c, "{\"act\":\"set\",\"control\":\"quality_freeze\"}"), REASON, &m));
	propose(&w, 1, "toggle", "{\"act\":\"set\",\"control\":\"assurance\",\"amount\":3}");
}

static void a_motion_waits_for_the_seconders_that_the_charter_wants(void **state)
{
	struct world w;
	struct motion m;
	(void)state;
	world_make(&w, "{\"proposals\":{\"seconders\":2}}");
	m = propose(&w, 4, "toggle", "{\"act\":\"set\",\"control\":\"quality_freeze\"}");
	assert_int_equal(m.state, MOTION_SEEKING);
	assert_true(uuid_is_nil(m.ballot));
	assert_err(by(&w, 4), ERR_REFUSED, motion_second(by(&w, 4), w.coop, m.id, &m));
	assert_ok(by(&w, 5), motion_second(by(&w, 5), w.coop, m.id, &m));
	assert_ok(by(&w, 5), motion_second(by(&w, 5), w.coop, m.id, &m));
	assert_int_equal(m.seconded, 1);
	assert_int_equal(m.state, MOTION_SEEKING);
	assert_ok(by(&w, 6), motion_second(by(&w, 6), w.coop, m.id, &m));
	assert_int_equal(m.state, MOTION_NOTICE);
	assert_int_equal(m.opens_at, WORLD_START + 7 * DAY);
	assert_err(by(&w, 7), ERR_STATE, motion_second(by(&w, 7), w.coop, m.id, &m));
}

static void ones_own_motion_is_withdrawn_before_voting_and_not_after(void **state)
{
	struct world w;
	struct motion m;
	struct ballot b;
	(void)state;
	world_make(&w, NULL);
	struct motion first = propose(&w, 4, "toggle", "{\"act\":\"set\",\"control\":\"quality_freeze\"}");
	struct motion second = propose(&w, 4, "toggle", "{\"act\":\"set\",\"control\":\"rate_limit\",\"amount\":9}");
	assert_err(by(&w, 0), ERR_FORBIDDEN, motion_withdraw(by(&w, 0), w.coop, first.id, &m));
	assert_ok(by(&w, 4), motion_withdraw(by(&w, 4), w.coop, first.id, &m));
	assert_int_equal(m.state, MOTION_WITHDRAWN);
	assert_ok(by(&w, 4), ballot_read(by(&w, 4), w.coop, first.ballot, &b));
	assert_int_equal(b.state, BALLOT_CANCELLED);
	assert_err(by(&w, 4), ERR_STATE, motion_withdraw(by(&w, 4), w.coop, first.id, &m));
	world_until(&w, second.opens_at);
	assert_err(by(&w, 4), ERR_STATE, motion_withdraw(by(&w, 4), w.coop, second.id, &m));
}

static void a_stranger_and_who_left_do_not_propose(void **state)
{
	struct world w;
	struct motion m;
	struct member me;
	(void)state;
	world_make(&w, NULL);
	assert_ok(by(&w, 7), member_leave(by(&w, 7), w.coop, &me));
	struct call *c = by(&w, 7);
	const struct json *freeze = json_of(c, "{\"act\":\"set\",\"control\":\"quality_freeze\"}");
	assert_err(c, ERR_REFUSED, motion_propose(c, w.coop, STR("toggle"), freeze, REASON, &m));
	c->actor = (struct actor){ .kind = AUTH_SESSION, .account = uuid_new() };
	assert_err(c, ERR_NOT_FOUND, motion_propose(c, w.coop, STR("toggle"), freeze, REASON, &m));
}

/* ---- Amendments that are refused ---- */

static void refuse_amendment(struct world *w, const char *replace, const char *pointer)
{
	struct motion m;
	const struct json *draft = amended(w, replace);
	struct call *c = by(w, 3);
	assert_err(c, ERR_INVALID, motion_amend(c, w->coop, draft, 0, REASON, &m));
	if (!str_is(refusal_at(c), pointer))
		fail_msg("%s: the fault is at %.*s, not at %s", replace, STR_ARG(refusal_at(c)), pointer);
	assert_true(c->error.faults->message.n > 10);
}

static void an_amendment_that_cannot_stand_is_refused_with_the_field_and_a_reason(void **state)
{
	struct world w;
	(void)state;
	world_make(&w, NULL);
	refuse_amendment(&w, "{}", "/document");
	refuse_amendment(&w, "{\"proposals\":{\"who\":\"members\"}}", "/document"); /* a default written out is no change */
	refuse_amendment(&w, "{\"amendment\":{\"rule\":\"n_of_m_admins\",\"n\":4}}", "/document/amendment");
	refuse_amendment(&w, "{\"proposals\":{\"seconders\":8}}", "/document/proposals/seconders");
	refuse_amendment(&w, "{\"gate\":{\"rule\":\"approval_quorum\",\"n\":1,\"d\":0}}", "/document/gate/d");
	refuse_amendment(&w, "{\"cadence\":{\"notice\":\"P3D\"}}", "/document/cadence/notice");
	refuse_amendment(&w, "{\"licence\":{\"default\":\"MIT\",\"allowed\":[\"CC-BY-4.0\"]}}", "/document/licence/default");
	assert_int_equal(fixture_int("SELECT count(*) FROM motion"), 0);
	/* Three admins of three can still be asked, when a member who is none of them proposes. */
	amend(&w, 3, "{\"amendment\":{\"rule\":\"n_of_m_admins\",\"n\":3}}");
}

static void an_amendment_of_another_version_is_stale(void **state)
{
	struct world w;
	struct motion m;
	(void)state;
	world_make(&w, NULL);
	const struct json *draft = amended(&w, "{\"embargo\":\"P3D\"}");
	assert_err(by(&w, 3), ERR_STALE, motion_amend(by(&w, 3), w.coop, draft, 2, REASON, &m));
}

static void every_field_of_the_schema_is_compared(void **state)
{
	struct error e = { 0 };
	(void)state;
	const struct charter_schema *schema = charter_schema(&e);
	assert_non_null(schema);
	struct arena *a = arena_new(MIB);
	json_each(field, json_get(schema->document, "properties")) {
		const struct json *parts = json_get(field, "properties");
		struct str pointer = str_fmt(a, "/%.*s", STR_ARG(field->key));
		if (!parts) {
			if (!charter_field_is_compared(pointer))
				fail_msg("a change of %.*s would not be shown", STR_ARG(pointer));
			continue;
		}
		json_each(part, parts) {
			const struct json *inner = json_get(part, "properties");
			struct str below = str_fmt(a, "%.*s/%.*s", STR_ARG(pointer), STR_ARG(part->key));
			if (!inner && !charter_field_is_compared(below))
				fail_msg("a change of %.*s would not be shown", STR_ARG(below));
			json_each(leaf, inner)
				if (!charter_field_is_compared(str_fmt(a, "%.*s/%.*s", STR_ARG(below), STR_ARG(leaf->key))))
					fail_msg("a change of %.*s/%.*s would not be shown", STR_ARG(below), STR_ARG(leaf->key));
		}
	}
	arena_free(a);
}

static void what_is_material_is_marked_and_narrowing_is_not(void **state)
{
	static const struct { const char *replace, *pointer; enum charter_line line; bool widens; } cases[] = {
		{ "{\"release\":{\"uses\":[\"train.gen\",\"eval\"],\"purposes\":[\"research\"]}}", "/release/uses", CHARTER_LINE_SHARING, true },
		{ "{\"release\":{\"uses\":[\"train.gen\"],\"purposes\":[\"scientific\"]}}", "/release/purposes", CHARTER_LINE_NONE, false },
		{ "{\"release\":{\"uses\":[\"train.gen\"],\"purposes\":[\"research\",\"commercial\"]}}", "/release/purposes", CHARTER_LINE_CONSENT, true },
		{ "{\"release\":{\"uses\":[\"train.gen\"],\"purposes\":[\"research\"],\"audience\":\"public\"}}", "/release/audience", CHARTER_LINE_CONSENT, true },
		{ "{\"release\":{\"uses\":[\"train.gen\"],\"purposes\":[\"research\"],\"audience\":\"members\"},\"access\":{\"mode\":\"gated_manual\"}}", NULL, 0, false },
		{ "{\"sharing\":\"share_by_default\"}", "/sharing", CHARTER_LINE_SHARING, true },
		{ "{\"retention\":{\"raw\":\"P2Y\"}}", "/retention/raw", CHARTER_LINE_CONSENT, true },
		{ "{\"retention\":{\"raw\":\"P6M\"}}", "/retention/raw", CHARTER_LINE_NONE, false },
		{ "{\"retention\":{\"raw\":\"P0D\"}}", "/retention/raw", CHARTER_LINE_CONSENT, true },
		{ "{\"licence\":{\"default\":\"CC0-1.0\"}}", "/licence/default", CHARTER_LINE_LICENCE, false },
		{ "{\"delegation\":{\"depth\":3}}", "/delegation/depth", CHARTER_LINE_DELEGATIONS, false },
		{ "{\"bylaws\":\"Be kind.\"}", "/bylaws", CHARTER_LINE_NONE, false },
	};
	struct world w;
	(void)state;
	world_make(&w, NULL);
	struct call *c = by(&w, 0);
	for (size_t i = 0; i < CH_LEN(cases); i++) {
		struct charter now, then;
		struct charter_term *terms;
		struct str document;
		size_t n;
		if (!cases[i].pointer)
			continue;
		assert_ok(c, charter_view(c, w.coop, 0, &now));
		assert_ok(c, charter_check(c->arena, amended(&w, cases[i].replace), &document, &c->error));
		assert_ok(c, charter_parse(c->arena, document, &then, &c->error));
		assert_ok(c, charter_compare(c->arena, &now, &then, &terms, &n, &c->error));
		bool found = false;
		for (size_t t = 0; t < n; t++) {
			if (strcmp(terms[t].pointer, cases[i].pointer) != 0)
				continue;
			found = true;
			if (terms[t].line != cases[i].line || terms[t].widens != cases[i].widens)
				fail_msg("%s: line %s, widens %d", cases[i].replace, charter_line_name(terms[t].line), terms[t].widens);
			assert_true(terms[t].before.n && terms[t].after.n && !str_eq(terms[t].before, terms[t].after));
		}
		if (!found)
			fail_msg("%s: no difference at %s", cases[i].replace, cases[i].pointer);
	}
}

/* Who accepted "yes, if credited" did not accept a plain yes, nor one on fewer conditions. */
static void a_default_on_fewer_conditions_is_material(void **state)
{
	static const struct { const char *was, *is; bool widens; } cases[] = {
		{ "\"effect\":\"allow_if\",\"duties\":[\"credit\",\"share_alike\"]", "\"effect\":\"allow_if\",\"duties\":[\"credit\"]", true },
		{ "\"effect\":\"allow_if\",\"duties\":[\"credit\"]", "\"effect\":\"allow_if\",\"duties\":[\"share_alike\"]", true },
		{ "\"effect\":\"allow_if\",\"duties\":[\"credit\"]", "\"effect\":\"allow_if\",\"duties\":[\"credit\",\"share_alike\"]", false },
		{ "\"effect\":\"allow_if\",\"duties\":[\"credit\"]", "\"effect\":\"allow\"", true },
		{ "\"effect\":\"allow\"", "\"effect\":\"allow_if\",\"duties\":[\"credit\"]", false },
	};
	struct world w;
	(void)state;
	world_make(&w, NULL);
	struct call *c = by(&w, 0);
	for (size_t i = 0; i < CH_LEN(cases); i++) {
		struct charter charters[2];
		struct charter_term *terms;
		struct str document;
		size_t n;
		for (int k = 0; k < 2; k++) {
			struct str over = str_fmt(c->arena, "{\"sharing\":\"share_by_default\",\"ai_preferences\":{\"train.gen\":{%s}}}", k ? cases[i].is : cases[i].was);
			assert_ok(c, charter_check(c->arena, amended(&w, over.p), &document, &c->error));
			assert_ok(c, charter_parse(c->arena, document, &charters[k], &c->error));
		}
		assert_ok(c, charter_compare(c->arena, &charters[0], &charters[1], &terms, &n, &c->error));
		assert_int_equal(n, 1);
		assert_string_equal(terms[0].pointer, "/ai_preferences/train.gen");
		if (terms[0].widens != cases[i].widens || terms[0].line != (cases[i].widens ? CHARTER_LINE_SHARING : CHARTER_LINE_NONE))
			fail_msg("from %s to %s: widens %d", cases[i].was, cases[i].is, terms[0].widens);
	}
}

/* ---- Amendments that pass ---- */

static void a_passed_amendment_takes_effect_and_tells_the_members(void **state)
{
	struct world w;
	struct charter now;
	(void)state;
	world_make(&w, NULL);
	struct motion m = amend(&w, 5, "{\"embargo\":\"P3D\"}");
	m = decide_by(&w, &m, "for");
	assert_int_equal(m.state, MOTION_PASSED);
	assert_int_not_equal(m.effect_at, INSTANT_NONE);
	assert_ok(by(&w, 0), charter_view(by(&w, 0), w.coop, 0, &now));
	assert_int_equal(now.version, 2);
	assert_int_equal(now.embargo.days, 3);
	assert_int_equal(now.notice_min, 0); /* nobody agreed to less */
	assert_int_equal(fixture_int("SELECT count(*) FROM charter WHERE ballot_id IS NOT NULL"), 1);
	assert_int_equal(fixture_int("SELECT count(*) FROM notice WHERE kind = 'charter.adopted'"), WORLD_MEMBERS);
	assert_int_equal(fixture_int("SELECT count(*) FROM job WHERE kind = 'checkup.off_cycle'"), 0);
}

static void an_amendment_that_fails_changes_nothing(void **state)
{
	struct world w;
	(void)state;
	world_make(&w, NULL);
	struct motion m = amend(&w, 5, "{\"embargo\":\"P3D\"}");
	m = decide_by(&w, &m, "against");
	assert_int_equal(m.state, MOTION_LOST);
	assert_int_equal(charter_now(&w), 1);
}

struct runner { struct call *call; const struct json *args; enum err result; };

static void *run_decided(void *arg)
{
	struct runner *r = arg;
	r->result = motion_jobs[0].run(r->call, r->args);
	db_rollback(r->call);
	return NULL;
}

static void concurrent_handlers_adopt_a_charter_once(void **state)
{
	enum { THREADS = 4 };
	struct world w;
	struct runner runners[THREADS];
	pthread_t threads[THREADS];
	static const struct job_kind *const no_motions[] = { ballot_jobs, NULL };
	struct error e = { 0 };
	int ran;
	(void)state;
	world_make(&w, NULL);
	struct motion m = amend(&w, 5, "{\"embargo\":\"P3D\"}");
	world_until(&w, m.opens_at);
	for (int i = 0; i < WORLD_MEMBERS; i++) {
		struct ballot b;
		assert_ok(by(&w, i), ballot_cast_vote(by(&w, i), w.coop, m.ballot, STR("for"), &b));
	}
	clock_set(m.closes_at);
	assert_int_equal(job_run_due(no_motions, &ran, &e), ERR_OK);
	for (int i = 0; i < THREADS; i++) {
		struct call *c = fixture_system();
		struct str coop = uuid_format(c->arena, w.coop), id = uuid_format(c->arena, m.id);
		runners[i] = (struct runner){ c, json_of(c, str_fmt(c->arena, "{\"coop\":\"%.*s\",\"subject\":\"%.*s\",\"passed\":true}", STR_ARG(coop), STR_ARG(id)).p), ERR_OK };
	}
	for (int i = 0; i < THREADS; i++)
		assert_int_equal(pthread_create(&threads[i], NULL, run_decided, &runners[i]), 0);
	for (int i = 0; i < THREADS; i++)
		pthread_join(threads[i], NULL);
	for (int i = 0; i < THREADS; i++)
		assert_ok(runners[i].call, runners[i].result);
	assert_int_equal(fixture_int("SELECT count(*) FROM charter"), 2);
	assert_int_equal(fixture_int("SELECT count(*) FROM motion_event WHERE event = 'carried'"), 1);
	assert_int_equal(fixture_int("SELECT count(*) FROM notice WHERE kind = 'charter.adopted'"), WORLD_MEMBERS);
}

static void when_one_amendment_is_adopted_others_of_that_version_are_outdated(void **state)
{
	struct world w;
	struct ballot b;
	(void)state;
	world_make(&w, NULL);
	struct motion first = amend(&w, 4, "{\"embargo\":\"P3D\"}");
	clock_set(WORLD_START + DAY);
	struct motion second = amend(&w, 5, "{\"embargo\":\"P9D\"}");
	first = decide_by(&w, &first, "for");
	second = motion_now(&w, second.id);
	assert_int_equal(second.state, MOTION_OUTDATED);
	assert_true(has(second.note, "Version 2"));
	assert_ok(by(&w, 5), ballot_read(by(&w, 5), w.coop, second.ballot, &b));
	assert_int_equal(b.state, BALLOT_CANCELLED);
	/* Proposed again on the new version, it goes its way. */
	struct motion again = amend(&w, 5, "{\"embargo\":\"P9D\"}");
	assert_int_equal(again.charter, 2);
	again = decide_by(&w, &again, "for");
	assert_int_equal(again.state, MOTION_PASSED);
	assert_int_equal(charter_now(&w), 3);
}

static void an_amendment_that_nobody_could_undo_is_refused_when_it_takes_effect(void **state)
{
	struct world w;
	struct member out;
	(void)state;
	world_make(&w, NULL);
	struct motion m = amend(&w, 5, "{\"amendment\":{\"rule\":\"n_of_m_admins\",\"n\":3}}");
	assert_ok(by(&w, 0), member_set_admin(by(&w, 0), w.coop, w.id[2], false, &out)); /* now there are two */
	m = decide_by(&w, &m, "for");
	assert_int_equal(m.state, MOTION_REFUSED);
	assert_true(has(m.note, "Nobody could change the charter again"));
	assert_int_equal(charter_now(&w), 1);
}

/* ---- Silence is never yes ---- */

static int64_t included(struct world *w)
{
	struct preview p;
	assert_ok(by(w, 0), release_preview(by(w, 0), w->coop, &p));
	return p.included;
}

static void consent_to_everything(struct world *w, int who, bool defaults)
{
	struct str any = STR("any");
	assert_ok(by(w, who), consent_give(by(w, who), w->coop, &any, 1, defaults));
}

/* A form that was opened before an amendment says yes to what stood there then. */
static void a_form_shown_before_an_amendment_consents_to_nothing_new(void **state)
{
	struct world w;
	struct consent consent;
	struct str research = STR("research");
	(void)state;
	world_make(&w, NULL);
	struct motion m = amend(&w, 5, "{\"release\":{\"uses\":[\"train.gen\"],\"purposes\":[\"research\",\"commercial\"]}}");
	assert_ok(by(&w, 2), consent_give_shown(by(&w, 2), w.coop, 1, &research, 1, false));
	decide_by(&w, &m, "for");
	assert_int_equal(charter_now(&w), 2);
	assert_err(by(&w, 2), ERR_STATE, consent_give_shown(by(&w, 2), w.coop, 1, &research, 1, true));
	assert_ok(by(&w, 2), consent_current(by(&w, 2), w.coop, &consent));
	assert_int_equal(consent.notice, 1);
	assert_false(consent.defaults);
	assert_ok(by(&w, 2), consent_give_shown(by(&w, 2), w.coop, 2, &research, 1, false));
	assert_ok(by(&w, 2), consent_current(by(&w, 2), w.coop, &consent));
	assert_int_equal(consent.notice, 2);
}

static void a_widened_purpose_is_not_covered_by_what_was_said_before(void **state)
{
	struct world w;
	struct decision d;
	(void)state;
	world_make(&w, NULL);
	/* Member 1 agrees to any purpose and says yes; member 2 agrees to research. */
	world_say(&w, 1, "allow");
	consent_to_everything(&w, 1, false);
	world_say(&w, 2, "allow");
	struct uuid mine = world_contribute(&w, 1, "What is a commons?");
	world_contribute(&w, 2, "What is a co-operative?");
	assert_int_equal(included(&w), 2);
	struct motion m = amend(&w, 5, "{\"release\":{\"uses\":[\"train.gen\"],\"purposes\":[\"research\",\"commercial\"]}}");
	m = decide_by(&w, &m, "for");
	assert_int_equal(m.state, MOTION_PASSED);
	assert_int_equal(fixture_int("SELECT notice_min FROM charter WHERE version = 2"), 2);
	assert_int_equal(included(&w), 0);
	assert_ok(by(&w, 1), release_explain(by(&w, 1), w.coop, mine, (struct uuid){ { 0 } }, &d));
	assert_int_equal(d.outcome, POLICY_HOLD);
	bool superseded = false;
	for (size_t i = 0; i < d.n_lines; i++)
		superseded |= str_is(d.lines[i].reason, "CONSENT_NOTICE_SUPERSEDED");
	assert_true(superseded);
	/* Who is asked and says so again is in. */
	assert_int_equal(fixture_int("SELECT count(*) FROM job WHERE kind = 'checkup.off_cycle' AND args LIKE '%\"line\":\"consent\"%' AND args LIKE '%\"reason\":\"purpose\"%'"), 1);
	consent_to_everything(&w, 1, false);
	assert_int_equal(included(&w), 1);
}

static void a_default_that_says_more_for_the_silent_waits_for_their_acceptance(void **state)
{
	struct world w;
	(void)state;
	world_make(&w, NULL);
	world_say(&w, 1, NULL); /* consent, and silence about uses */
	consent_to_everything(&w, 1, true); /* accepts what the co-op says, which is nothing */
	world_contribute(&w, 1, "What is silence?");
	assert_int_equal(included(&w), 0);
	struct motion m = amend(&w, 5, "{\"sharing\":\"share_by_default\"}");
	m = decide_by(&w, &m, "for");
	assert_int_equal(m.state, MOTION_PASSED);
	assert_int_equal(included(&w), 0); /* what was accepted was another default */
	consent_to_everything(&w, 1, true);
	assert_int_equal(included(&w), 1);
}

/* ---- What if ---- */

static void an_amendment_shows_what_it_would_change_before_anybody_votes(void **state)
{
	struct world w;
	struct str text;
	(void)state;
	world_make(&w, NULL);
	for (int i = 1; i <= 3; i++) {
		world_say(&w, i, "allow");
		world_contribute(&w, i, i == 1 ? "One question" : i == 2 ? "Another question" : "A third question");
	}
	struct motion m = amend(&w, 5, "{\"release\":{\"uses\":[\"train.gen\"],\"purposes\":[\"research\"],\"audience\":\"gated_auto\"}}");
	world_until(&w, WORLD_START + DAY);
	struct call *c = by(&w, 4);
	assert_ok(c, motion_what_if(c, w.coop, m.id, &text));
	const struct json *doc = json_of(c, str_z(c->arena, text));
	assert_int_equal(json_int(json_at(doc, "/at_once/now/items"), -1), 3);
	assert_int_equal(json_int(json_at(doc, "/at_once/then/items"), -1), 0);
	assert_int_equal(json_int(json_at(doc, "/at_once/lost/members"), -1), 3);
	assert_str(json_text(json_at(doc, "/at_once/reasons/0/reason")), "CONSENT_NOTICE_SUPERSEDED");
	assert_int_equal(json_int(json_at(doc, "/at_once/reasons/0/gained"), -1), 3);
	assert_int_equal(json_int(json_at(doc, "/when_confirmed/then/items"), -1), 3);
	/* A change that asks nobody anything is compared once; it takes one item out: the minimum of people is not reached. */
	struct motion k = amend(&w, 6, "{\"release\":{\"uses\":[\"train.gen\"],\"purposes\":[\"research\"],\"k_contributors\":5}}");
	world_until(&w, WORLD_START + 2 * DAY);
	assert_ok(c, motion_what_if(c, w.coop, k.id, &text));
	doc = json_of(c, str_z(c->arena, text));
	assert_true(json_is(json_get(doc, "when_confirmed"), JSON_NULL));
	assert_int_equal(json_int(json_at(doc, "/at_once/lost/items"), -1), 3);
	assert_str(json_text(json_at(doc, "/at_once/moved/0/from")), "include");
	assert_str(json_text(json_at(doc, "/at_once/moved/0/to")), "hold");
	assert_int_equal(charter_now(&w), 1);
}

static void a_release_is_cut_under_the_charter_in_force_at_its_cut_off(void **state)
{
	struct world w;
	(void)state;
	world_make(&w, NULL);
	world_say(&w, 1, "allow");
	world_contribute(&w, 1, "What is a cut-off?");
	assert_int_equal(world_release(&w).charter, 1);
	struct motion m = amend(&w, 5, "{\"bylaws\":\"Be kind.\"}");
	m = decide_by(&w, &m, "for");
	struct release r = world_release(&w);
	assert_int_equal(r.charter, 1);
	world_until(&w, WORLD_CUTOFF);
	r = world_read(&w, r.id);
	assert_int_equal(r.charter, 2);
	assert_true(has(r.spec, "\"charter\":2"));
}

/* ---- Admins ---- */

static bool is_admin(struct world *w, int who)
{
	struct member m;
	assert_ok(by(w, 0), member_read(by(w, 0), w->coop, w->id[who], &m));
	return m.is_admin;
}

static const char *admin_document(struct world *w, const char *act, int who)
{
	struct call *c = by(w, 0);
	struct str id = uuid_format(c->arena, w->id[who]);
	return str_fmt(c->arena, "{\"act\":\"%s\",\"member\":\"%.*s\"}", act, STR_ARG(id)).p;
}

static void admins_are_made_and_unmade_by_ballot(void **state)
{
	struct world w;
	struct motion bad;
	struct member out;
	(void)state;
	world_make(&w, NULL);
	struct motion m = propose(&w, 4, "admin", admin_document(&w, "add", 4));
	m = decide_by(&w, &m, "for");
	assert_int_equal(m.state, MOTION_PASSED);
	assert_true(is_admin(&w, 4));
	m = propose(&w, 5, "admin", admin_document(&w, "remove", 1));
	m = decide_by(&w, &m, "for");
	assert_false(is_admin(&w, 1));
	struct call *c = by(&w, 5);
	assert_err(c, ERR_INVALID, motion_propose(c, w.coop, STR("admin"), json_of(c, admin_document(&w, "add", 4)), REASON, &bad));
	assert_str(refusal_at(c), "/document/member");
	(void)out;
}

static void the_last_admin_stays_even_by_ballot(void **state)
{
	struct world w;
	struct motion bad;
	struct member out;
	(void)state;
	world_make(&w, NULL);
	struct motion m = propose(&w, 5, "admin", admin_document(&w, "remove", 0));
	world_until(&w, m.opens_at);
	for (int i = 0; i < WORLD_MEMBERS; i++) {
		struct ballot b;
		assert_ok(by(&w, i), ballot_cast_vote(by(&w, i), w.coop, m.ballot, STR("for"), &b));
	}
	/* Meanwhile the others are no admins any more. The roll of the ballot was frozen and knows nothing of it. */
	assert_ok(by(&w, 0), member_set_admin(by(&w, 0), w.coop, w.id[1], false, &out));
	assert_ok(by(&w, 0), member_set_admin(by(&w, 0), w.coop, w.id[2], false, &out));
	world_until(&w, m.closes_at);
	m = motion_now(&w, m.id);
	assert_int_equal(m.state, MOTION_REFUSED);
	assert_true(has(m.note, "last admin"));
	assert_true(is_admin(&w, 0));
	struct call *c = by(&w, 5);
	assert_err(c, ERR_INVALID, motion_propose(c, w.coop, STR("admin"), json_of(c, admin_document(&w, "remove", 0)), REASON, &bad));
}

static void where_the_charter_says_so_no_admin_makes_admins(void **state)
{
	struct world w;
	struct member out;
	(void)state;
	world_make(&w, NULL);
	struct motion m = amend(&w, 0, "{\"admins\":\"ballot\"}");
	m = decide_by(&w, &m, "for");
	assert_int_equal(m.state, MOTION_PASSED);
	assert_err(by(&w, 0), ERR_REFUSED, member_set_admin(by(&w, 0), w.coop, w.id[4], true, &out));
	assert_string_equal(by(&w, 0)->error.reason, "admins_by_ballot");
	assert_err(by(&w, 0), ERR_REFUSED, member_remove(by(&w, 0), w.coop, w.id[1], STR("in the way"), &out));
	m = propose(&w, 0, "admin", admin_document(&w, "add", 4));
	m = decide_by(&w, &m, "for");
	assert_true(is_admin(&w, 4));
}

/* ---- Benefit ---- */

static void money_is_split_and_spent_as_a_ballot_decided(void **state)
{
	struct world w;
	struct benefit_income *incomes;
	struct benefit_payment *payments;
	struct motion bad;
	struct str next;
	size_t n;
	(void)state;
	world_make(&w, NULL);
	world_say(&w, 1, "allow");
	world_contribute(&w, 1, "What is it worth?");
	struct release r = world_published(&w);
	struct call *c = by(&w, 5);
	struct str id = uuid_format(c->arena, r.id);
	assert_err(c, ERR_INVALID, motion_propose(c, w.coop, STR("benefit"), json_of(c, "{\"act\":\"spend\",\"amount\":\"1.005\",\"currency\":\"CHF\",\"reference\":\"Coffee\"}"), REASON, &bad));
	assert_str(refusal_at(c), "/document/amount");
	error_clear(&c->error);
	struct motion m = propose(&w, 5, "benefit",
		str_fmt(c->arena, "{\"act\":\"split\",\"release\":\"%.*s\",\"amount\":\"1000.00\",\"currency\":\"CHF\",\"source\":\"A laboratory\",\"contributors\":20}", STR_ARG(id)).p);
	m = decide_by(&w, &m, "for");
	assert_int_equal(m.state, MOTION_PASSED);
	assert_ok(by(&w, 0), benefit_list(by(&w, 0), w.coop, STR_NONE, 5, &incomes, &n, &next));
	assert_int_equal(n, 1);
	assert_int_equal(incomes[0].amount, 100000);
	assert_int_equal(incomes[0].commons_amount, 80000);
	assert_true(uuid_eq(incomes[0].ballot, m.ballot));
	m = propose(&w, 5, "benefit", "{\"act\":\"spend\",\"amount\":\"150\",\"currency\":\"CHF\",\"reference\":\"Coffee for the assembly\"}");
	m = decide_by(&w, &m, "for");
	assert_int_equal(m.state, MOTION_PASSED);
	assert_ok(by(&w, 0), benefit_payments(by(&w, 0), w.coop, STR_NONE, 5, &payments, &n, &next));
	assert_int_equal(n, 1);
	assert_int_equal(payments[0].amount, 15000);
	/* More than the commons have is not spent, whatever was voted. */
	m = propose(&w, 5, "benefit", "{\"act\":\"spend\",\"amount\":\"9000\",\"currency\":\"CHF\",\"reference\":\"A palace\"}");
	m = decide_by(&w, &m, "for");
	assert_int_equal(m.state, MOTION_REFUSED);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		fixture_test(a_motion_is_voted_on_by_its_digest_after_seven_days_at_least),
		fixture_test(who_may_propose_is_as_the_charter_says),
		fixture_test(a_motion_waits_for_the_seconders_that_the_charter_wants),
		fixture_test(ones_own_motion_is_withdrawn_before_voting_and_not_after),
		fixture_test(a_stranger_and_who_left_do_not_propose),
		fixture_test(an_amendment_that_cannot_stand_is_refused_with_the_field_and_a_reason),
		fixture_test(an_amendment_of_another_version_is_stale),
		fixture_test(every_field_of_the_schema_is_compared),
		fixture_test(what_is_material_is_marked_and_narrowing_is_not),
		fixture_test(a_default_on_fewer_conditions_is_material),
		fixture_test(a_passed_amendment_takes_effect_and_tells_the_members),
		fixture_test(an_amendment_that_fails_changes_nothing),
		fixture_test(concurrent_handlers_adopt_a_charter_once),
		fixture_test(when_one_amendment_is_adopted_others_of_that_version_are_outdated),
		fixture_test(an_amendment_that_nobody_could_undo_is_refused_when_it_takes_effect),
		fixture_test(a_form_shown_before_an_amendment_consents_to_nothing_new),
		fixture_test(a_widened_purpose_is_not_covered_by_what_was_said_before),
		fixture_test(a_default_that_says_more_for_the_silent_waits_for_their_acceptance),
		fixture_test(an_amendment_shows_what_it_would_change_before_anybody_votes),
		fixture_test(a_release_is_cut_under_the_charter_in_force_at_its_cut_off),
		fixture_test(admins_are_made_and_unmade_by_ballot),
		fixture_test(the_last_admin_stays_even_by_ballot),
		fixture_test(where_the_charter_says_so_no_admin_makes_admins),
		fixture_test(money_is_split_and_spent_as_a_ballot_decided),
	};
	return fixture_run(tests, CH_LEN(tests));
}
