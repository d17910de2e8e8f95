/* Requests for deletion: who may ask, from when it counts, what is answered by when, and what follows; that every step may be cut off. */
#include "erasure_world.h"

#include "commonhold/sign_in.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>

static void the_table_of_a_requests_life_is_sound(void **state)
{
	struct error e = { 0 };
	(void)state;
	assert_int_equal(lifecycle_check(&erasure_life, &e), ERR_OK);
	for (size_t i = 0; i < erasure_life.n_edges; i++)
		assert_non_null(erasure_life.edges[i].guard);
	assert_null(lifecycle_edge(&erasure_life, ERASURE_EFFECTIVE, ERASURE_DENIED));
	assert_null(lifecycle_edge(&erasure_life, ERASURE_COMPLETED, ERASURE_EFFECTIVE));
	assert_null(lifecycle_edge(&erasure_life, ERASURE_CANCELLED, ERASURE_EFFECTIVE));
}

static void a_members_own_request_counts_when_it_is_recorded(void **state)
{
	struct world w;
	struct erasure e;
	(void)state;
	world_make(&w, NULL);
	struct uuid a = world_contribute(&w, 5, "one"), b = world_contribute(&w, 5, "two");
	e = ask(&w, 5, ERASURE_ERASE, &a, 1);
	assert_int_equal(e.state, ERASURE_EFFECTIVE);
	assert_true(e.effective_at == e.received_at && e.verified_at == e.received_at);
	assert_true(e.due_at == due_date(WORLD_START, 1, STR("CH")));
	assert_int_equal(e.n_items, 1);
	assert_true(e.mine && uuid_eq(e.member, w.id[5]));
	assert_int_equal(fixture_int("SELECT count(*) FROM withdrawal WHERE kind = 'erase'"), 1);
	assert_int_equal(fixture_int("SELECT count(*) FROM job WHERE kind = 'erasure.carry'"), 1);
	assert_int_equal(fixture_int("SELECT count(*) FROM log_leaf WHERE type = 'deletion.effective'"), 1);
	assert_true(word_of(&w, a) & POLICY_ITEM_ERASURE);
	assert_false(word_of(&w, b) & POLICY_ITEM_ERASURE);
}

static void the_very_same_asked_again_is_the_same_request(void **state)
{
	struct world w;
	(void)state;
	world_make(&w, NULL);
	struct uuid items[2] = { world_contribute(&w, 5, "one"), world_contribute(&w, 5, "two") }, other[3] = { items[1], items[0], items[1] };
	struct erasure first = ask(&w, 5, ERASURE_ERASE, items, 2), second = ask(&w, 5, ERASURE_ERASE, other, 3);
	assert_true(uuid_eq(first.id, second.id));
	struct erasure e;
	struct erasure_wish part = { .kind = ERASURE_ERASE, .items = items, .n_items = 1, .until = INSTANT_NONE, .issued_at = INSTANT_NONE, .expires_at = INSTANT_NONE };
	assert_err(by(&w, 5), ERR_GONE, erasure_ask(by(&w, 5), w.coop, &part, &e));
	assert_str(by(&w, 5)->error.faults->pointer, "/items/0");
	by(&w, 5)->error = (struct error){ 0 };
	assert_int_equal(fixture_int("SELECT count(*) FROM erasure"), 1);
	struct erasure all = ask_all(&w, 5);
	assert_true(uuid_eq(all.id, ask_all(&w, 5).id));
	world_contribute(&w, 5, "three");
	assert_false(uuid_eq(all.id, ask_all(&w, 5).id));
}

static void nobody_asks_for_what_is_not_theirs(void **state)
{
	struct world w;
	struct erasure e;
	(void)state;
	world_make(&w, NULL);
	struct uuid items[2] = { world_contribute(&w, 5, "mine"), world_contribute(&w, 6, "another's") };
	struct erasure_wish wish = { .kind = ERASURE_ERASE, .items = items, .n_items = 2, .until = INSTANT_NONE, .issued_at = INSTANT_NONE, .expires_at = INSTANT_NONE };
	assert_err(by(&w, 5), ERR_NOT_FOUND, erasure_ask(by(&w, 5), w.coop, &wish, &e));
	assert_int_equal(fixture_int("SELECT count(*) FROM erasure"), 0);
	wish.n_items = 1;
	wish.for_member = w.id[5];
	wish.issued_at = clock_now();
	wish.expires_at = clock_now() + CLOCK_MINUTE;
	assert_err(by(&w, 6), ERR_FORBIDDEN, erasure_ask(by(&w, 6), w.coop, &wish, &e));
	struct call *stranger = stranger_new(&w, "nobody");
	wish.for_member = (struct uuid){ { 0 } };
	assert_err(stranger, ERR_FORBIDDEN, erasure_ask(stranger, w.coop, &wish, &e));
	stranger->actor = (struct actor){ 0 };
	assert_err(stranger, ERR_UNAUTHENTICATED, erasure_ask(stranger, w.coop, &wish, &e));
}

static void what_makes_no_sense_is_refused_at_its_field(void **state)
{
	static const struct { struct erasure_wish wish; const char *pointer; } table[] = {
		{ { .kind = ERASURE_KIND_COUNT }, "/kind" },
		{ { .scope = ERASURE_ACCOUNT }, "/scope" },
		{ { .n_items = 0 }, "/items" },
		{ { .n_items = ERASURE_ITEMS_MAX + 1 }, "/items" },
		{ { .scope = ERASURE_COOP, .n_items = 1 }, "/items" },
		{ { .n_items = 1, .reason_code = { "boredom", 7 } }, "/reason_code" },
		{ { .n_items = 1, .kind = ERASURE_EMBARGO }, "/until" },
		{ { .n_items = 1, .kind = ERASURE_EMBARGO, .until = WORLD_START }, "/until" },
		{ { .n_items = 1, .kind = ERASURE_EMBARGO, .until = INSTANT_NEVER }, "/until" },
		{ { .n_items = 1, .kind = ERASURE_ERASE, .until = WORLD_CUTOFF }, "/until" },
		{ { .n_items = 1, .kind = ERASURE_CORRECT }, "/replacement" },
		{ { .n_items = 1, .about_me = true, .for_member = { { 1 } } }, "/about_me" },
		{ { .n_items = ERASURE_CLAIM_ITEMS + 1, .about_me = true }, "/items" },
		{ { .n_items = 1, .kind = ERASURE_WITHDRAW_FUTURE, .about_me = true }, "/kind" },
	};
	struct world w;
	struct erasure e;
	static struct uuid items[ERASURE_ITEMS_MAX + 1];
	(void)state;
	world_make(&w, NULL);
	for (size_t i = 0; i < CH_LEN(table); i++) {
		struct erasure_wish wish = table[i].wish;
		struct call *c = by(&w, 5);
		wish.items = items;
		wish.issued_at = wish.expires_at = INSTANT_NONE;
		if (!wish.until)
			wish.until = INSTANT_NONE;
		assert_err(c, ERR_INVALID, erasure_ask(c, w.coop, &wish, &e));
		assert_str(c->error.faults->pointer, table[i].pointer);
		c->error = (struct error){ 0 };
	}
}

static void an_embargo_ends_on_its_day_or_before_if_its_member_says_so(void **state)
{
	struct world w;
	struct erasure e;
	(void)state;
	world_make(&w, NULL);
	struct uuid a = world_contribute(&w, 5, "one"), b = world_contribute(&w, 5, "two");
	e = ask_until(&w, 5, &a, WORLD_START + 10 * CLOCK_DAY);
	struct erasure f = ask_until(&w, 5, &b, WORLD_START + 10 * CLOCK_DAY);
	assert_true(word_of(&w, a) & POLICY_ITEM_EMBARGOED);
	assert_err(by(&w, 6), ERR_NOT_FOUND, erasure_cancel(by(&w, 6), w.coop, e.id, &e));
	assert_err(by(&w, 0), ERR_FORBIDDEN, erasure_cancel(by(&w, 0), w.coop, f.id, &e));
	by(&w, 5)->error = (struct error){ 0 };
	assert_ok(by(&w, 5), erasure_cancel(by(&w, 5), w.coop, f.id, &f));
	assert_int_equal(f.state, ERASURE_CANCELLED);
	assert_false(word_of(&w, b) & POLICY_ITEM_EMBARGOED);
	assert_true(word_of(&w, a) & POLICY_ITEM_EMBARGOED);
	clock_set(WORLD_START + 10 * CLOCK_DAY);
	assert_false(word_of(&w, a) & POLICY_ITEM_EMBARGOED);
	struct uuid d = world_contribute(&w, 5, "three");
	e = ask(&w, 5, ERASURE_ERASE, &d, 1);
	assert_err(by(&w, 5), ERR_STATE, erasure_cancel(by(&w, 5), w.coop, e.id, &e));
}

static void a_correction_takes_the_new_and_deletes_the_old_in_one_operation(void **state)
{
	struct world w;
	struct erasure e;
	(void)state;
	world_make(&w, NULL);
	struct uuid a = world_contribute(&w, 5, "wrong");
	struct call *c = by(&w, 5);
	const struct json *same = json_of(c, "{\"kind\":\"example\",\"lang\":\"en\",\"content\":{\"input\":\"wrong\",\"output\":\"An answer to it.\"}}");
	struct erasure_wish wish = { .kind = ERASURE_CORRECT, .items = &a, .n_items = 1, .until = INSTANT_NONE, .issued_at = INSTANT_NONE, .expires_at = INSTANT_NONE, .replacement = same };
	assert_err(c, ERR_INVALID, erasure_ask(c, w.coop, &wish, &e));
	c->error = (struct error){ 0 };
	wish.replacement = json_of(c, "{\"kind\":\"example\",\"lang\":\"en\",\"content\":{\"input\":\"right\",\"output\":7}}");
	assert_err(c, ERR_INVALID, erasure_ask(c, w.coop, &wish, &e));
	assert_str(c->error.faults->pointer, "/replacement/content/output");
	c->error = (struct error){ 0 };
	assert_int_equal(fixture_int("SELECT count(*) FROM erasure"), 0);
	wish.replacement = json_of(c, "{\"kind\":\"example\",\"lang\":\"en\",\"content\":{\"input\":\"right\",\"output\":\"An answer to it.\"}}");
	assert_ok(c, erasure_ask(c, w.coop, &wish, &e));
	assert_int_equal(e.state, ERASURE_EFFECTIVE);
	assert_str(e.reason_code, "inaccurate");
	assert_false(uuid_is_nil(e.replacement) || uuid_eq(e.replacement, a));
	assert_true(word_of(&w, a) & POLICY_ITEM_ERASURE);
	assert_false(word_of(&w, e.replacement) & POLICY_ITEM_ERASURE);
	struct erasure again;
	assert_ok(by(&w, 5), erasure_ask(by(&w, 5), w.coop, &wish, &again));
	assert_true(uuid_eq(again.id, e.id));
	assert_int_equal(fixture_int("SELECT count(*) FROM contribution"), 2);
}

/* ---- At the same moment ---- */

#define AT_ONCE 5

struct racer {
	struct world *w;
	struct call *c;
	struct erasure_wish wish;
	struct uuid id;          /* of the request that was answered, or is acted on */
	int act;                 /* 0 asks, 1 cancels, 2 accepts, 3 denies */
	enum err err;
};

static void *race(void *arg)
{
	struct racer *r = arg;
	struct erasure e = { .id = r->id };
	switch (r->act) {
	case 0:
		r->err = erasure_ask(r->c, r->w->coop, &r->wish, &e);
		break;
	case 1:
		r->err = erasure_cancel(r->c, r->w->coop, r->id, &e);
		break;
	case 2:
		r->err = erasure_accept(r->c, r->w->coop, r->id, &e);
		break;
	default:
		r->err = erasure_deny(r->c, r->w->coop, r->id, STR("no_match"), STR("It is not."), &e);
	}
	if (r->err != ERR_OK)
		db_rollback(r->c);
	db_release(r->c);
	r->id = e.id;
	return NULL;
}

static void race_all(struct racer *racers, size_t n)
{
	pthread_t threads[AT_ONCE];
	for (size_t i = 0; i < n; i++)
		assert_int_equal(pthread_create(&threads[i], NULL, race, &racers[i]), 0);
	for (size_t i = 0; i < n; i++)
		pthread_join(threads[i], NULL);
}

static void the_very_same_asked_at_the_same_moment_is_one_request(void **state)
{
	struct world w;
	struct racer racers[AT_ONCE];
	(void)state;
	world_make(&w, NULL);
	for (int round = 0; round < 10; round++) {
		struct uuid item = world_contribute(&w, 5, str_fmt(w.system->arena, "item %d", round).p);
		db_release(w.person);
		for (int i = 0; i < AT_ONCE; i++) {
			if (round == 0)
				racers[i].c = fixture_call();
			racers[i] = (struct racer){ .w = &w, .c = racers[i].c, .wish = { .kind = ERASURE_ERASE, .items = &item, .n_items = 1, .until = INSTANT_NONE, .issued_at = INSTANT_NONE, .expires_at = INSTANT_NONE } };
			racers[i].c->actor = w.actor[5];
		}
		race_all(racers, AT_ONCE);
		for (int i = 0; i < AT_ONCE; i++) {
			assert_int_equal(racers[i].err, ERR_OK);
			assert_true(uuid_eq(racers[i].id, racers[0].id));
		}
	}
	assert_int_equal(fixture_int("SELECT count(*) FROM erasure"), 10);
	assert_int_equal(fixture_int("SELECT count(*) FROM withdrawal"), 10);
}

static void of_answers_given_at_the_same_moment_one_counts(void **state)
{
	struct world w;
	struct racer racers[4];
	(void)state;
	world_make(&w, NULL);
	struct call *subject = stranger_new(&w, "subject");
	struct actor person = subject->actor;
	for (int round = 0; round < 10; round++) {
		struct uuid item = world_contribute(&w, 5, str_fmt(w.system->arena, "item %d", round).p);
		struct erasure e = claim(&w, subject, &item, 1, NULL);
		db_release(w.person);
		for (int i = 0; i < 3; i++) {
			if (round == 0)
				racers[i].c = fixture_call();
			racers[i] = (struct racer){ .w = &w, .c = racers[i].c, .id = e.id, .act = 1 + i };
			racers[i].c->actor = i == 0 ? person : w.actor[i - 1];
		}
		race_all(racers, 3);
		assert_int_equal((racers[0].err == ERR_OK) + (racers[1].err == ERR_OK) + (racers[2].err == ERR_OK), 1);
		assert_ok(subject, erasure_read(subject, w.coop, e.id, &e));
		assert_int_equal(e.state, racers[0].err == ERR_OK ? ERASURE_CANCELLED : racers[1].err == ERR_OK ? ERASURE_EFFECTIVE : ERASURE_DENIED);
		if (e.state == ERASURE_DENIED) /* makes room for the next claim */
			daily(&w, clock_now() + ERASURE_APPEAL_LIFE + CLOCK_HOUR);
	}
}

/* ---- Agents ---- */

static void an_agent_asks_within_what_the_member_allowed(void **state)
{
	struct world w;
	struct agent g;
	struct erasure e;
	(void)state;
	world_make(&w, NULL);
	struct uuid a = world_contribute(&w, 5, "one"), b = world_contribute(&w, 5, "two");
	struct call *agent = stranger_new(&w, "agent");
	assert_err(by(&w, 5), ERR_INVALID, agent_authorise(by(&w, 5), w.coop, w.actor[5].account, 1u << ERASURE_ERASE, true, clock_now() + CLOCK_DAY, &g));
	assert_err(by(&w, 5), ERR_INVALID, agent_authorise(by(&w, 5), w.coop, uuid_new(), 1u << ERASURE_ERASE, true, clock_now() + CLOCK_DAY, &g));
	assert_err(by(&w, 5), ERR_INVALID, agent_authorise(by(&w, 5), w.coop, agent->actor.account, 0, true, clock_now() + CLOCK_DAY, &g));
	assert_err(by(&w, 5), ERR_INVALID, agent_authorise(by(&w, 5), w.coop, agent->actor.account, 1u << ERASURE_CORRECT, true, clock_now() + CLOCK_DAY, &g));
	assert_err(by(&w, 5), ERR_INVALID, agent_authorise(by(&w, 5), w.coop, agent->actor.account, 1u << ERASURE_ERASE, true, clock_now() + 367 * CLOCK_DAY, &g));
	by(&w, 5)->error = (struct error){ 0 };
	assert_ok(by(&w, 5), agent_authorise(by(&w, 5), w.coop, agent->actor.account, 1u << ERASURE_ERASE, false, clock_now() + 30 * CLOCK_DAY, &g));
	assert_err(by(&w, 5), ERR_EXISTS, agent_authorise(by(&w, 5), w.coop, agent->actor.account, 1u << ERASURE_ERASE, true, clock_now() + CLOCK_DAY, &g));

	struct erasure_wish wish = { .kind = ERASURE_ERASE, .items = &a, .n_items = 1, .until = INSTANT_NONE, .for_member = w.id[5], .issued_at = INSTANT_NONE, .expires_at = INSTANT_NONE };
	assert_err(agent, ERR_INVALID, erasure_ask(agent, w.coop, &wish, &e));
	wish.issued_at = clock_now() - 2 * CLOCK_MINUTE;
	wish.expires_at = clock_now() + 9 * CLOCK_MINUTE;
	assert_err(agent, ERR_INVALID, erasure_ask(agent, w.coop, &wish, &e));
	wish.expires_at = clock_now();
	assert_err(agent, ERR_REFUSED, erasure_ask(agent, w.coop, &wish, &e));
	wish.issued_at = clock_now();
	wish.expires_at = clock_now() + ERASURE_AGENT_VALID;
	wish.kind = ERASURE_WITHDRAW_FUTURE;
	assert_err(agent, ERR_FORBIDDEN, erasure_ask(agent, w.coop, &wish, &e));
	wish.kind = ERASURE_ERASE;
	assert_ok(agent, erasure_ask(agent, w.coop, &wish, &e));
	assert_int_equal(e.state, ERASURE_RECEIVED);
	assert_false(word_of(&w, a) & POLICY_ITEM_ERASURE);
	assert_int_equal(notices(&w, 5, "deletion.confirm"), 1);
	assert_err(agent, ERR_FORBIDDEN, erasure_verify(agent, w.coop, e.id, &e));
	assert_err(by(&w, 6), ERR_NOT_FOUND, erasure_verify(by(&w, 6), w.coop, e.id, &e));
	assert_ok(by(&w, 5), erasure_verify(by(&w, 5), w.coop, e.id, &e));
	assert_int_equal(e.state, ERASURE_EFFECTIVE);
	assert_true(word_of(&w, a) & POLICY_ITEM_ERASURE);
	assert_ok(by(&w, 5), erasure_verify(by(&w, 5), w.coop, e.id, &e));

	wish.items = &b;
	assert_ok(agent, erasure_ask(agent, w.coop, &wish, &e));
	assert_ok(by(&w, 5), agent_end(by(&w, 5), w.coop, g.id, &g));
	assert_ok(by(&w, 5), erasure_read(by(&w, 5), w.coop, e.id, &e));
	assert_int_equal(e.state, ERASURE_CANCELLED);
	struct erasure gone, *list;
	struct str next;
	size_t n;
	assert_err(agent, ERR_NOT_FOUND, erasure_read(agent, w.coop, e.id, &gone)); /* what they asked for is no business of theirs any more */
	assert_ok(agent, erasure_list(agent, w.coop, STR_NONE, 10, &list, &n, &next));
	assert_int_equal(n, 0);
	assert_err(agent, ERR_FORBIDDEN, erasure_ask(agent, w.coop, &wish, &e));
	assert_ok(by(&w, 5), agent_authorise(by(&w, 5), w.coop, agent->actor.account, 1u << ERASURE_ERASE, true, clock_now() + CLOCK_DAY, &g));
	assert_ok(agent, erasure_ask(agent, w.coop, &wish, &e));
	assert_int_equal(e.state, ERASURE_EFFECTIVE);
	assert_ok(agent, erasure_read(agent, w.coop, e.id, &gone));
	assert_int_equal(notices(&w, 5, "deletion.effective"), 1); /* the first was confirmed by the member */
	clock_set(clock_now() + CLOCK_DAY);
	wish.issued_at = clock_now();
	wish.expires_at = clock_now() + CLOCK_MINUTE;
	wish.scope = ERASURE_COOP;
	wish.n_items = 0;
	assert_err(agent, ERR_FORBIDDEN, erasure_ask(agent, w.coop, &wish, &e));
}

/* What an agent obtained protects the member, whatever becomes of the agent. */
static void an_embargo_that_an_agent_asked_for_is_the_members_to_end(void **state)
{
	struct world w;
	struct agent g;
	struct erasure e;
	(void)state;
	world_make(&w, NULL);
	struct uuid a = world_contribute(&w, 5, "one");
	struct call *agent = stranger_new(&w, "agent");
	assert_ok(by(&w, 5), agent_authorise(by(&w, 5), w.coop, agent->actor.account, 1u << ERASURE_EMBARGO, true, clock_now() + 30 * CLOCK_DAY, &g));
	struct erasure_wish wish = { .kind = ERASURE_EMBARGO, .items = &a, .n_items = 1, .until = clock_now() + 60 * CLOCK_DAY, .for_member = w.id[5], .issued_at = clock_now(),
		.expires_at = clock_now() + CLOCK_MINUTE };
	assert_ok(agent, erasure_ask(agent, w.coop, &wish, &e));
	assert_int_equal(e.state, ERASURE_EFFECTIVE);
	assert_err(agent, ERR_FORBIDDEN, erasure_cancel(agent, w.coop, e.id, &e));
	assert_ok(by(&w, 5), agent_end(by(&w, 5), w.coop, g.id, &g));
	assert_err(agent, ERR_NOT_FOUND, erasure_cancel(agent, w.coop, e.id, &e));
	assert_true(word_of(&w, a) & POLICY_ITEM_EMBARGOED);
	assert_ok(by(&w, 5), erasure_cancel(by(&w, 5), w.coop, e.id, &e));
	assert_false(word_of(&w, a) & POLICY_ITEM_EMBARGOED);
}

/* A vote never stands in for the member's own yes. */
static void what_an_agent_asked_and_nobody_confirmed_is_not_appealed_into_effect(void **state)
{
	struct world w;
	struct agent g;
	struct erasure e;
	(void)state;
	world_make(&w, NULL);
	struct uuid a = world_contribute(&w, 5, "one");
	struct call *agent = stranger_new(&w, "agent");
	assert_ok(by(&w, 5), agent_authorise(by(&w, 5), w.coop, agent->actor.account, 1u << ERASURE_ERASE, false, clock_now() + 30 * CLOCK_DAY, &g));
	struct erasure_wish wish = { .kind = ERASURE_ERASE, .items = &a, .n_items = 1, .until = INSTANT_NONE, .for_member = w.id[5], .issued_at = clock_now(), .expires_at = clock_now() + CLOCK_MINUTE };
	assert_ok(agent, erasure_ask(agent, w.coop, &wish, &e));
	assert_ok(by(&w, 0), erasure_deny(by(&w, 0), w.coop, e.id, STR("other"), STR("Ask them yourself."), &e));
	assert_true(e.appeal_until == INSTANT_NONE);
	assert_err(agent, ERR_STATE, erasure_appeal(agent, w.coop, e.id, STR("It is to go."), &e));
	assert_false(word_of(&w, a) & POLICY_ITEM_ERASURE);
}

static void one_member_has_few_embargoes_in_force(void **state)
{
	struct world w;
	struct erasure e;
	(void)state;
	world_make(&w, NULL);
	struct uuid a = world_contribute(&w, 5, "one");
	struct erasure_wish wish = { .kind = ERASURE_EMBARGO, .items = &a, .n_items = 1, .issued_at = INSTANT_NONE, .expires_at = INSTANT_NONE };
	for (int i = 0; i < ERASURE_EMBARGOES; i++) {
		wish.until = clock_now() + (i + 1) * CLOCK_DAY;
		assert_ok(by(&w, 5), erasure_ask(by(&w, 5), w.coop, &wish, &e));
	}
	wish.until = clock_now() + 200 * CLOCK_DAY;
	assert_err(by(&w, 5), ERR_TOO_MANY, erasure_ask(by(&w, 5), w.coop, &wish, &e));
	clock_set(clock_now() + CLOCK_DAY);
	assert_ok(by(&w, 5), erasure_ask(by(&w, 5), w.coop, &wish, &e));
}

static void what_nobody_confirms_lapses_and_nothing_is_deleted(void **state)
{
	struct world w;
	struct agent g;
	struct erasure e;
	(void)state;
	world_make(&w, NULL);
	struct uuid a = world_contribute(&w, 5, "one");
	struct call *agent = stranger_new(&w, "agent");
	assert_ok(by(&w, 5), agent_authorise(by(&w, 5), w.coop, agent->actor.account, 1u << ERASURE_ERASE, false, clock_now() + 300 * CLOCK_DAY, &g));
	struct erasure_wish wish = { .kind = ERASURE_ERASE, .items = &a, .n_items = 1, .until = INSTANT_NONE, .for_member = w.id[5], .issued_at = clock_now(), .expires_at = clock_now() + CLOCK_MINUTE };
	assert_ok(agent, erasure_ask(agent, w.coop, &wish, &e));
	daily(&w, WORLD_START + ERASURE_CONFIRM_LIFE - CLOCK_HOUR);
	assert_int_equal(state_of(&w, e.id), ERASURE_RECEIVED);
	clock_set(WORLD_START + ERASURE_CONFIRM_LIFE + CLOCK_HOUR);
	assert_err(by(&w, 5), ERR_STATE, erasure_verify(by(&w, 5), w.coop, e.id, &e));
	daily(&w, WORLD_START + ERASURE_CONFIRM_LIFE + CLOCK_HOUR);
	assert_ok(by(&w, 5), erasure_read(by(&w, 5), w.coop, e.id, &e));
	assert_int_equal(e.state, ERASURE_DENIED);
	assert_str(e.denial_code, "insuf_verification");
	assert_false(word_of(&w, a) & POLICY_ITEM_ERASURE);
}

/* ---- Claims ---- */

static void a_claim_restricts_at_once_and_an_admin_answers(void **state)
{
	struct world w;
	struct erasure e;
	struct str text;
	(void)state;
	world_make(&w, NULL);
	struct uuid a = world_contribute(&w, 5, "about somebody"), b = world_contribute(&w, 6, "also");
	struct call *subject = stranger_new(&w, "subject");
	struct uuid both[2] = { a, b };
	e = claim(&w, subject, both, 2, "My name is in it.");
	assert_int_equal(e.state, ERASURE_VERIFIED);
	assert_true(uuid_is_nil(e.member));
	assert_true(word_of(&w, a) & POLICY_ITEM_RESTRICTED && word_of(&w, b) & POLICY_ITEM_RESTRICTED);
	assert_int_equal(notices(&w, 0, "deletion.claim"), 1);
	assert_int_equal(notices(&w, 5, "deletion.restricted"), 1);
	assert_int_equal(notices(&w, 6, "deletion.restricted"), 1);
	assert_int_equal(fixture_int("SELECT count(*) FROM erasure_claim WHERE position('My name' in encode(sealed, 'escape')) > 0"), 0);
	assert_err(by(&w, 5), ERR_NOT_FOUND, erasure_read(by(&w, 5), w.coop, e.id, &e));
	assert_err(by(&w, 5), ERR_FORBIDDEN, erasure_accept(by(&w, 5), w.coop, e.id, &e));
	assert_ok(by(&w, 0), erasure_claim(by(&w, 0), w.coop, e.id, &text));
	assert_str(text, "My name is in it.");
	assert_ok(by(&w, 0), erasure_accept(by(&w, 0), w.coop, e.id, &e));
	assert_int_equal(e.state, ERASURE_EFFECTIVE);
	assert_true(word_of(&w, a) & POLICY_ITEM_ERASURE && word_of(&w, b) & POLICY_ITEM_ERASURE);
	assert_false(word_of(&w, a) & POLICY_ITEM_RESTRICTED);
	assert_int_equal(fixture_int("SELECT count(*) FROM erasure_claim"), 0);
	assert_ok(by(&w, 0), erasure_accept(by(&w, 0), w.coop, e.id, &e));
	assert_err(by(&w, 0), ERR_STATE, erasure_deny(by(&w, 0), w.coop, e.id, STR("no_match"), STR("It is not."), &e));
}

static void one_account_has_few_claims_open(void **state)
{
	struct world w;
	struct erasure e[ERASURE_CLAIMS_OPEN + 1];
	(void)state;
	world_make(&w, NULL);
	struct call *subject = stranger_new(&w, "subject"), *other = stranger_new(&w, "other");
	struct uuid items[ERASURE_CLAIMS_OPEN + 1];
	for (int i = 0; i <= ERASURE_CLAIMS_OPEN; i++)
		items[i] = world_contribute(&w, 5, str_fmt(w.system->arena, "item %d", i).p);
	for (int i = 0; i < ERASURE_CLAIMS_OPEN; i++)
		e[i] = claim(&w, subject, &items[i], 1, NULL);
	struct erasure_wish wish = { .kind = ERASURE_ERASE, .items = &items[ERASURE_CLAIMS_OPEN], .n_items = 1, .about_me = true, .until = INSTANT_NONE, .issued_at = INSTANT_NONE, .expires_at = INSTANT_NONE };
	assert_err(subject, ERR_TOO_MANY, erasure_ask(subject, w.coop, &wish, &e[ERASURE_CLAIMS_OPEN]));
	assert_false(word_of(&w, items[ERASURE_CLAIMS_OPEN]) & POLICY_ITEM_RESTRICTED);
	claim(&w, other, &items[ERASURE_CLAIMS_OPEN], 1, NULL);
	assert_ok(subject, erasure_cancel(subject, w.coop, e[0].id, &e[0]));
	assert_false(word_of(&w, items[0]) & POLICY_ITEM_RESTRICTED);
	claim(&w, subject, &items[ERASURE_CLAIMS_OPEN], 1, NULL);
}

static void an_admin_does_not_decide_about_their_own_claim(void **state)
{
	struct world w;
	struct erasure e;
	(void)state;
	world_make(&w, NULL);
	struct uuid a = world_contribute(&w, 5, "about an admin"), b = world_contribute(&w, 1, "what an admin wrote about somebody");
	e = claim(&w, by(&w, 1), &a, 1, "It is me.");
	assert_err(by(&w, 1), ERR_FORBIDDEN, erasure_accept(by(&w, 1), w.coop, e.id, &e));
	assert_ok(by(&w, 2), erasure_accept(by(&w, 2), w.coop, e.id, &e));
	struct call *subject = stranger_new(&w, "subject");
	e = claim(&w, subject, &b, 1, "It is me.");
	assert_err(by(&w, 1), ERR_FORBIDDEN, erasure_deny(by(&w, 1), w.coop, e.id, STR("no_match"), STR("It is not."), &e));
	assert_ok(by(&w, 2), erasure_accept(by(&w, 2), w.coop, e.id, &e));
}

static void more_time_is_taken_once_in_the_first_month_with_a_reason_that_is_told(void **state)
{
	struct world w;
	struct erasure e;
	(void)state;
	world_make(&w, NULL);
	struct uuid a = world_contribute(&w, 5, "one"), b = world_contribute(&w, 5, "two");
	struct call *subject = stranger_new(&w, "subject");
	e = claim(&w, subject, &a, 1, NULL);
	struct erasure late = claim(&w, subject, &b, 1, NULL);
	assert_err(by(&w, 0), ERR_INVALID, erasure_extend(by(&w, 0), w.coop, e.id, STR(""), &e));
	assert_err(by(&w, 5), ERR_FORBIDDEN, erasure_extend(by(&w, 5), w.coop, e.id, STR("There are many."), &e));
	assert_ok(by(&w, 0), erasure_extend(by(&w, 0), w.coop, e.id, STR("There are many."), &e));
	assert_true(e.due_at == due_date(WORLD_START, 3, STR("CH")));
	assert_str(e.extended_reason, "There are many.");
	assert_int_equal(fixture_int("SELECT count(*) FROM notice WHERE kind = 'deletion.extended'"), 1);
	assert_err(by(&w, 0), ERR_STATE, erasure_extend(by(&w, 0), w.coop, e.id, STR("Again, many."), &e));
	clock_set(due_date(WORLD_START, 1, STR("CH")) + 1);
	assert_err(by(&w, 0), ERR_STATE, erasure_extend(by(&w, 0), w.coop, late.id, STR("Forgotten."), &e));
}

static void admins_are_reminded_before_and_told_after_a_due_date_once_whatever_the_clock_does(void **state)
{
	struct world w;
	struct erasure e;
	(void)state;
	world_make(&w, NULL);
	struct uuid a = world_contribute(&w, 5, "one");
	struct call *subject = stranger_new(&w, "subject");
	e = claim(&w, subject, &a, 1, NULL);
	daily(&w, e.due_at - 8 * CLOCK_DAY);
	assert_int_equal(notices(&w, 0, "deletion.due"), 0);
	daily(&w, e.due_at - 6 * CLOCK_DAY);
	daily(&w, e.due_at - 5 * CLOCK_DAY);
	daily(&w, e.due_at - 9 * CLOCK_DAY);
	daily(&w, e.due_at - 4 * CLOCK_DAY);
	assert_int_equal(notices(&w, 0, "deletion.due"), 1);
	assert_int_equal(notices(&w, 0, "deletion.overdue"), 0);
	daily(&w, e.due_at + 400 * CLOCK_DAY);
	daily(&w, e.due_at - CLOCK_DAY);
	daily(&w, e.due_at + 2 * CLOCK_DAY);
	assert_int_equal(notices(&w, 0, "deletion.overdue"), 1);
	assert_int_equal(notices(&w, 2, "deletion.overdue"), 1);
	assert_int_equal(notices(&w, 5, "deletion.overdue"), 0);
	assert_int_equal(fixture_int("SELECT count(*) FROM notice WHERE kind = 'deletion.late'"), 1);
	struct erasure *queue;
	struct str next;
	size_t n;
	assert_ok(by(&w, 0), erasure_queue(by(&w, 0), w.coop, STR_NONE, false, STR_NONE, 10, &queue, &n, &next));
	assert_int_equal(n, 1);
	assert_err(by(&w, 5), ERR_FORBIDDEN, erasure_queue(by(&w, 5), w.coop, STR_NONE, false, STR_NONE, 10, &queue, &n, &next));
}

/* ---- Appeals ---- */

static struct erasure denied(struct world *w, struct call *subject, struct uuid *item)
{
	struct erasure e = claim(w, subject, item, 1, "It is about me.");
	assert_err(by(w, 0), ERR_INVALID, erasure_deny(by(w, 0), w->coop, e.id, STR("because"), STR("It is not."), &e));
	assert_err(by(w, 0), ERR_INVALID, erasure_deny(by(w, 0), w->coop, e.id, STR("no_match"), STR(""), &e));
	by(w, 0)->error = (struct error){ 0 };
	assert_ok(by(w, 0), erasure_deny(by(w, 0), w->coop, e.id, STR("no_match"), STR("It is about somebody else."), &e));
	assert_int_equal(e.state, ERASURE_DENIED);
	assert_true(e.appeal_until == clock_now() + ERASURE_APPEAL_LIFE);
	return e;
}

static void a_denial_that_nobody_appeals_against_ends_the_restriction(void **state)
{
	struct world w;
	struct erasure e;
	(void)state;
	world_make(&w, NULL);
	struct uuid a = world_contribute(&w, 5, "one");
	struct call *subject = stranger_new(&w, "subject");
	e = denied(&w, subject, &a);
	daily(&w, clock_now() + ERASURE_APPEAL_LIFE);
	assert_true(word_of(&w, a) & POLICY_ITEM_RESTRICTED);
	daily(&w, clock_now() + CLOCK_HOUR);
	assert_false(word_of(&w, a) & POLICY_ITEM_RESTRICTED);
	assert_err(subject, ERR_STATE, erasure_appeal(subject, w.coop, e.id, STR("It is me after all."), &e));
	assert_int_equal(fixture_int("SELECT count(*) FROM erasure_claim"), 0);
	claim(&w, subject, &a, 1, "Once more, with a photograph.");
}

/* Whoever was told no keeps nothing out of releases by asking again, alone or among other items. */
static void what_was_denied_once_is_not_restricted_again(void **state)
{
	struct world w;
	struct erasure e;
	(void)state;
	world_make(&w, NULL);
	struct uuid a = world_contribute(&w, 5, "one"), b = world_contribute(&w, 5, "two");
	struct uuid both[2] = { a, b };
	struct call *subject = stranger_new(&w, "subject");
	denied(&w, subject, &a);
	e = claim(&w, subject, both, 2, "Once more.");
	assert_int_equal(e.state, ERASURE_VERIFIED);
	assert_true(word_of(&w, a) & POLICY_ITEM_RESTRICTED); /* the denial is not final yet */
	daily(&w, clock_now() + ERASURE_APPEAL_LIFE + CLOCK_HOUR);
	assert_false(word_of(&w, a) & POLICY_ITEM_RESTRICTED);
	assert_false(word_of(&w, b) & POLICY_ITEM_RESTRICTED);
	assert_int_equal(notices(&w, 5, "deletion.restricted"), 1);
	assert_ok(by(&w, 0), erasure_accept(by(&w, 0), w.coop, e.id, &e));
	assert_true(word_of(&w, a) & POLICY_ITEM_ERASURE);
}

/* Taking back is no way around: each claim is told to admins and contributors. */
static void one_account_makes_few_claims_a_day(void **state)
{
	struct world w;
	struct erasure e;
	(void)state;
	world_make(&w, NULL);
	struct uuid a = world_contribute(&w, 5, "one");
	struct call *subject = stranger_new(&w, "subject");
	struct erasure_wish wish = { .kind = ERASURE_ERASE, .items = &a, .n_items = 1, .about_me = true, .until = INSTANT_NONE, .issued_at = INSTANT_NONE, .expires_at = INSTANT_NONE };
	for (int i = 0; i < ERASURE_CLAIMS_A_DAY; i++) {
		assert_ok(subject, erasure_ask(subject, w.coop, &wish, &e));
		assert_ok(subject, erasure_cancel(subject, w.coop, e.id, &e));
	}
	assert_err(subject, ERR_TOO_MANY, erasure_ask(subject, w.coop, &wish, &e));
	clock_set(clock_now() + CLOCK_DAY);
	assert_ok(subject, erasure_ask(subject, w.coop, &wish, &e));
}

static void appeal_and_vote(struct world *w, struct call *subject, struct erasure *e, const char *choice)
{
	struct str reason;
	struct ballot b;
	assert_err(by(w, 5), ERR_NOT_FOUND, erasure_appeal(by(w, 5), w->coop, e->id, STR("It is me after all."), e));
	assert_err(by(w, 0), ERR_FORBIDDEN, erasure_appeal(by(w, 0), w->coop, e->id, STR("It is me after all."), e));
	assert_ok(subject, erasure_appeal(subject, w->coop, e->id, STR("It is me after all."), e));
	assert_false(uuid_is_nil(e->appeal_ballot));
	assert_ok(by(w, 6), erasure_appeal_reason(by(w, 6), w->coop, e->id, &reason));
	assert_str(reason, "It is me after all.");
	assert_ok(by(w, 6), ballot_read(by(w, 6), w->coop, e->appeal_ballot, &b));
	assert_str(b.kind, "appeal");
	assert_null(strstr(str_z(w->system->arena, b.question), "after all"));
	struct buf page;
	struct json_writer out;
	buf_init(&page, 4 * KIB);
	jw_init(&out, &page);
	jw_object(&out);
	assert_ok(by(w, 6), erasure_on_ballot(by(w, 6), &b, &out));
	jw_end_object(&out);
	assert_str(buf_str(&page), "{\"proposed\":\"It is me after all.\"}");
	buf_release(&page);
	assert_true(b.opens_at >= clock_now() + 7 * CLOCK_DAY);
	erasure_until(w, b.opens_at);
	for (int i = 3; i < 7; i++)
		assert_ok(by(w, i), ballot_cast_vote(by(w, i), w->coop, b.id, str_of(choice), &b));
	erasure_until(w, b.closes_at + CLOCK_HOUR);
}

static void an_appeal_that_passes_makes_the_request_count(void **state)
{
	struct world w;
	(void)state;
	world_make(&w, NULL);
	struct uuid a = world_contribute(&w, 5, "one");
	struct call *subject = stranger_new(&w, "subject");
	struct erasure e = denied(&w, subject, &a);
	appeal_and_vote(&w, subject, &e, "for");
	assert_ok(subject, erasure_read(subject, w.coop, e.id, &e));
	assert_true(e.effective_at != INSTANT_NONE);
	assert_str(e.appeal_outcome, "passed");
	assert_str(e.denial_code, "no_match");
	assert_true(word_of(&w, a) & (POLICY_ITEM_ERASURE | POLICY_ITEM_TOMBSTONED));
	assert_int_equal(fixture_int("SELECT count(*) FROM log_leaf WHERE type = 'deletion.effective'"), 1);
	assert_int_equal(fixture_int("SELECT count(*) FROM erasure_claim"), 0);
}

static void an_appeal_that_fails_leaves_the_denial_and_ends_the_restriction(void **state)
{
	struct world w;
	(void)state;
	world_make(&w, NULL);
	struct uuid a = world_contribute(&w, 5, "one");
	struct call *subject = stranger_new(&w, "subject");
	struct erasure e = denied(&w, subject, &a);
	appeal_and_vote(&w, subject, &e, "against");
	assert_ok(subject, erasure_read(subject, w.coop, e.id, &e));
	assert_int_equal(e.state, ERASURE_DENIED);
	assert_str(e.appeal_outcome, "failed");
	assert_false(word_of(&w, a) & (POLICY_ITEM_ERASURE | POLICY_ITEM_RESTRICTED));
	assert_int_equal(fixture_int("SELECT count(*) FROM notice WHERE kind = 'deletion.appeal_failed'"), 1);
	assert_int_equal(fixture_int("SELECT count(*) FROM erasure_claim"), 0);
}

/* ---- Nothing of people in what stays ---- */

static void the_log_says_nothing_about_people_or_how_much(void **state)
{
	struct world w;
	struct erasure e;
	(void)state;
	world_make(&w, NULL);
	struct uuid items[2] = { world_contribute(&w, 5, "one"), world_contribute(&w, 5, "two") };
	struct call *subject = stranger_new(&w, "subject");
	struct uuid c = world_contribute(&w, 6, "three");
	ask(&w, 5, ERASURE_ERASE, items, 2);
	e = claim(&w, subject, &c, 1, "My secret.");
	assert_ok(by(&w, 0), erasure_deny(by(&w, 0), w.coop, e.id, STR("other"), STR("A reason that names Ada."), &e));
	assert_int_equal(fixture_int("SELECT count(*) FROM log_leaf WHERE type LIKE 'deletion.%' AND (convert_from(entry, 'UTF8') LIKE '%Ada%' OR convert_from(entry, 'UTF8') LIKE '%secret%')"), 0);
	assert_int_equal(fixture_int(str_z(w.system->arena, str_fmt(w.system->arena, "SELECT count(*) FROM log_leaf WHERE type LIKE 'deletion.%%' AND (convert_from(entry, 'UTF8') LIKE '%%%.*s%%' OR "
		"convert_from(entry, 'UTF8') LIKE '%%%.*s%%')", STR_ARG(uuid_format(w.system->arena, w.id[5])), STR_ARG(uuid_format(w.system->arena, items[0]))))), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_table_of_a_requests_life_is_sound),
		fixture_test(a_members_own_request_counts_when_it_is_recorded),
		fixture_test(the_very_same_asked_again_is_the_same_request),
		fixture_test(nobody_asks_for_what_is_not_theirs),
		fixture_test(what_makes_no_sense_is_refused_at_its_field),
		fixture_test(an_embargo_ends_on_its_day_or_before_if_its_member_says_so),
		fixture_test(a_correction_takes_the_new_and_deletes_the_old_in_one_operation),
		fixture_test(the_very_same_asked_at_the_same_moment_is_one_request),
		fixture_test(of_answers_given_at_the_same_moment_one_counts),
		fixture_test(an_agent_asks_within_what_the_member_allowed),
		fixture_test(an_embargo_that_an_agent_asked_for_is_the_members_to_end),
		fixture_test(what_an_agent_asked_and_nobody_confirmed_is_not_appealed_into_effect),
		fixture_test(one_member_has_few_embargoes_in_force),
		fixture_test(what_nobody_confirms_lapses_and_nothing_is_deleted),
		fixture_test(a_claim_restricts_at_once_and_an_admin_answers),
		fixture_test(one_account_has_few_claims_open),
		fixture_test(an_admin_does_not_decide_about_their_own_claim),
		fixture_test(more_time_is_taken_once_in_the_first_month_with_a_reason_that_is_told),
		fixture_test(admins_are_reminded_before_and_told_after_a_due_date_once_whatever_the_clock_does),
		fixture_test(a_denial_that_nobody_appeals_against_ends_the_restriction),
		fixture_test(what_was_denied_once_is_not_restricted_again),
		fixture_test(one_account_makes_few_claims_a_day),
		fixture_test(an_appeal_that_passes_makes_the_request_count),
		fixture_test(an_appeal_that_fails_leaves_the_denial_and_ends_the_restriction),
		fixture_test(the_log_says_nothing_about_people_or_how_much),
	};
	return fixture_run(tests, CH_LEN(tests));
}
