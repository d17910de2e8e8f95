/* What follows from a request that counts: carried to the end whatever cuts it off, over releases, legal holds and whole accounts; and random lives of many requests at once. */
#include "erasure_world.h"

#include "commonhold/holdings.h"
#include "commonhold/mirror.h"
#include "commonhold/sign_in.h"
#include "commonhold/tombstone.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

static int64_t count(struct world *w, const char *fmt, struct uuid id)
{
	struct str text = str_fmt(w->system->arena, "%s'%.*s'", fmt, STR_ARG(uuid_format(w->system->arena, id)));
	return fixture_int(str_z(w->system->arena, text));
}

static struct erasure read_request(struct world *w, struct uuid id)
{
	struct erasure e;
	assert_ok(w->system, erasure_read(w->system, w->coop, id, &e));
	return e;
}

static bool content_there(struct world *w, struct uuid item)
{
	return count(w, "SELECT count(*) FROM contribution_content WHERE id = ", item) == 1;
}

/* Runs what is due, a little later each time, until a request is over. */
static void carry_on(struct world *w, struct uuid id)
{
	for (int i = 0; i < 200 && !erasure_over(state_of(w, id)); i++)
		erasure_until(w, clock_now() + 5 * CLOCK_SECOND);
	assert_int_equal(state_of(w, id), ERASURE_COMPLETED);
}

static void what_counts_is_carried_to_the_end(void **state)
{
	struct world w;
	struct erasure_event *events;
	struct erasure e;
	size_t n;
	(void)state;
	world_make(&w, NULL);
	struct uuid items[3];
	for (int i = 0; i < 3; i++)
		items[i] = world_contribute(&w, 5, str_fmt(w.system->arena, "item %d", i).p);
	e = ask(&w, 5, ERASURE_ERASE, items, 2);
	carry_on(&w, e.id);
	e = read_request(&w, e.id);
	assert_false(content_there(&w, items[0]) || content_there(&w, items[1]));
	assert_true(content_there(&w, items[2]));
	assert_true(word_of(&w, items[0]) & POLICY_ITEM_TOMBSTONED);
	assert_int_equal(e.first_idx, 0);
	assert_int_equal(e.last_idx, 1);
	assert_true(e.purged_at != INSTANT_NONE && e.propagating_at != INSTANT_NONE && e.completed_at != INSTANT_NONE);
	assert_true(e.backups_until >= e.purged_at);
	assert_true(e.key_gone_at == INSTANT_NONE); /* still a member */
	assert_int_equal(notices(&w, 5, "deletion.completed"), 1);
	assert_ok(by(&w, 5), erasure_history(by(&w, 5), w.coop, e.id, &events, &n));
	static const char *const wanted[] = { "received", "effective", "purged", "propagating", "completed" };
	assert_int_equal(n, CH_LEN(wanted));
	for (size_t i = 0; i < n; i++)
		assert_str(events[i].event, wanted[i]);
	struct erasure_item *list;
	assert_ok(by(&w, 5), erasure_items(by(&w, 5), w.coop, e.id, -1, 10, &list, &n));
	assert_int_equal(n, 2);
	assert_ok(by(&w, 5), erasure_items(by(&w, 5), w.coop, e.id, list[0].item_no, 10, &list, &n));
	assert_int_equal(n, 1);
}

static void what_stays_with_its_member_is_told_and_not_purged(void **state)
{
	struct world w;
	(void)state;
	world_make(&w, NULL);
	struct uuid a = world_contribute(&w, 5, "one"), b = world_contribute(&w, 5, "two");
	struct erasure e = ask(&w, 5, ERASURE_WITHDRAW_FUTURE, &a, 1), f = ask_until(&w, 5, &b, clock_now() + 100 * CLOCK_DAY);
	carry_on(&w, e.id);
	carry_on(&w, f.id);
	assert_true(content_there(&w, a) && content_there(&w, b));
	assert_true(read_request(&w, e.id).purged_at == INSTANT_NONE);
	assert_true(word_of(&w, a) & POLICY_ITEM_WITHDRAWN && word_of(&w, b) & POLICY_ITEM_EMBARGOED);
	assert_int_equal(fixture_int("SELECT count(*) FROM tombstone"), 2);
	assert_ok(by(&w, 5), erasure_cancel(by(&w, 5), w.coop, f.id, &f));
	assert_false(word_of(&w, b) & POLICY_ITEM_EMBARGOED);
	/* What is withheld can still be erased. */
	struct erasure g = ask(&w, 5, ERASURE_ERASE, &a, 1);
	carry_on(&w, g.id);
	assert_false(content_there(&w, a));
}

static struct release published(struct world *w, struct uuid *items, int n)
{
	for (int i = 0; i < 6; i++)
		world_say(w, i, "allow");
	for (int i = 0; i < n; i++)
		items[i] = world_contribute(w, i % 6, str_fmt(w->system->arena, "Question %d", i).p);
	return world_published(w);
}

static void a_release_that_held_it_is_withdrawn_before_it_is_purged_everywhere(void **state)
{
	struct world w;
	struct uuid items[24];
	bool more = true;
	(void)state;
	world_make(&w, NULL);
	struct release r = published(&w, items, 24);
	struct erasure e = ask(&w, 5, ERASURE_ERASE, &items[5], 1);
	while (more)
		assert_ok(w.system, erasure_carry_step(w.system, w.coop, e.id, &more));
	/* The version answers no more, the content is gone from the pool, and the request is not purged while its files are there. */
	assert_int_equal(world_read(&w, r.id).state, RELEASE_WITHDRAWN);
	assert_false(content_there(&w, items[5]));
	assert_int_equal(state_of(&w, e.id), ERASURE_EFFECTIVE);
	carry_on(&w, e.id);
	assert_int_equal(fixture_int("SELECT count(*) FROM release WHERE state = 'published'"), 1);
	assert_int_equal(fixture_int("SELECT cardinality(releases) FROM tombstone"), 1);
}

static void a_legal_hold_keeps_content_and_nothing_else(void **state)
{
	struct world w;
	struct legal_hold h, *list;
	struct str next;
	size_t n;
	(void)state;
	world_make(&w, NULL);
	struct uuid items[2] = { world_contribute(&w, 5, "evidence"), world_contribute(&w, 5, "other") };
	assert_err(by(&w, 5), ERR_FORBIDDEN, hold_place(by(&w, 5), w.coop, items[0], STR("legal_claims"), STR("A court asks for it."), &h));
	assert_err(by(&w, 0), ERR_INVALID, hold_place(by(&w, 0), w.coop, items[0], STR("curiosity"), STR("A court asks for it."), &h));
	assert_err(by(&w, 0), ERR_NOT_FOUND, hold_place(by(&w, 0), w.coop, uuid_new(), STR("legal_claims"), STR("A court asks for it."), &h));
	by(&w, 0)->error = (struct error){ 0 };
	assert_ok(by(&w, 0), hold_place(by(&w, 0), w.coop, items[0], STR("legal_claims"), STR("A court asks for it."), &h));
	assert_err(by(&w, 0), ERR_EXISTS, hold_place(by(&w, 0), w.coop, items[0], STR("legal_claims"), STR("A court asks for it."), &h));
	assert_true(word_of(&w, items[0]) & POLICY_ITEM_LEGAL_HOLD);
	struct erasure e = ask(&w, 5, ERASURE_ERASE, items, 2);
	carry_on(&w, e.id);
	e = read_request(&w, e.id);
	assert_int_equal(e.n_held, 1);
	assert_true(content_there(&w, items[0]));
	assert_false(content_there(&w, items[1]));
	assert_true(word_of(&w, items[0]) & POLICY_ITEM_ERASURE);
	assert_int_equal(fixture_int("SELECT count(*) FROM tombstone"), 2);
	assert_ok(by(&w, 0), hold_lift(by(&w, 0), w.coop, items[0], &h));
	assert_true(h.lifted_at != INSTANT_NONE);
	assert_ok(by(&w, 0), hold_lift(by(&w, 0), w.coop, items[0], &h));
	erasure_until(&w, clock_now() + CLOCK_MINUTE);
	assert_false(content_there(&w, items[0]));
	assert_int_equal(read_request(&w, e.id).n_held, 0);
	assert_int_equal(read_request(&w, e.id).state, ERASURE_COMPLETED);
	assert_int_equal(fixture_int("SELECT count(*) FROM tombstone"), 2);
	assert_ok(by(&w, 0), hold_list(by(&w, 0), w.coop, STR_NONE, 10, &list, &n, &next));
	assert_int_equal(n, 1);
	assert_err(by(&w, 0), ERR_GONE, hold_place(by(&w, 0), w.coop, items[0], STR("legal_claims"), STR("Too late."), &h));
}

static void a_request_over_many_items_is_one_row_and_few_statements(void **state)
{
	struct world w;
	struct erasure e;
	(void)state;
	world_make(&w, NULL);
	enum { MANY = 300 };
	static struct uuid items[MANY];
	for (int i = 0; i < MANY; i++)
		items[i] = world_contribute(&w, 5, str_fmt(w.system->arena, "item %d", i).p);
	int before = by(&w, 5)->queries;
	e = ask(&w, 5, ERASURE_ERASE, items, 1);
	int one = by(&w, 5)->queries - before;
	before = by(&w, 5)->queries;
	e = ask(&w, 5, ERASURE_WITHDRAW_FUTURE, items + 1, MANY - 1);
	assert_int_equal(by(&w, 5)->queries - before, one);
	assert_int_equal(e.n_items, MANY - 1);
	assert_int_equal(fixture_int("SELECT count(*) FROM withdrawal"), 2);
}

/* ---- The whole account ---- */

static void fresh_session(struct call *c)
{
	struct str secret;
	assert_ok(c, session_start_for(c, c->actor.account, STR("test"), &secret));
	const char *id = fixture_text("SELECT id FROM session ORDER BY created_at DESC LIMIT 1");
	assert_true(uuid_parse(str_of(id), &c->actor.session));
}

static void the_whole_account_goes_from_every_co_op_and_then_itself(void **state)
{
	struct world w;
	struct erasure_account a;
	struct coop second;
	struct member m;
	struct proof proof = { .network = STR("192.0.2.1") };
	(void)state;
	world_make(&w, NULL);
	struct uuid x = world_contribute(&w, 5, "one"), y = world_contribute(&w, 6, "another's");
	assert_ok(by(&w, 6), coop_found(by(&w, 6), STR("second"), json_of(by(&w, 6), "{\"name\":\"Second\",\"scope\":{\"domain\":\"testing\",\"region\":\"DE\",\"language\":[\"en\"]},"
		"\"release\":{\"uses\":[\"train.gen\"],\"purposes\":[\"research\"]},\"membership\":{\"admission\":\"open\"}}"), &second));
	assert_ok(by(&w, 5), member_join(by(&w, 5), second.id, &m));
	struct call *c = fixture_call();
	c->actor = w.actor[5];
	assert_err(c, ERR_NOT_FOUND, erasure_account_read(c, &a));
	assert_ok(c, erasure_ask_account(c, &a));
	assert_int_equal(a.state, ERASURE_RECEIVED);
	assert_ok(c, erasure_ask_account(c, &a));
	assert_int_equal(fixture_int("SELECT count(*) FROM account_erasure"), 1);
	assert_false(word_of(&w, x) & POLICY_ITEM_ERASURE);
	/* A session that is not fresh is no proof, and a token is none at all. */
	assert_err(c, ERR_REFUSED, erasure_account_verify(c, &proof, &a));
	fresh_session(c);
	clock_set(clock_now() + SIGN_IN_FRESH);
	assert_err(c, ERR_REFUSED, erasure_account_verify(c, &proof, &a));
	c->actor.kind = AUTH_TOKEN;
	assert_err(c, ERR_FORBIDDEN, erasure_account_verify(c, &proof, &a));
	c->actor.kind = AUTH_SESSION;
	fresh_session(c);
	assert_ok(c, erasure_account_verify(c, &proof, &a));
	assert_int_equal(a.state, ERASURE_EFFECTIVE);
	assert_str(a.proof, "session");
	assert_int_equal(a.n_parts, 2);
	for (size_t i = 0; i < a.n_parts; i++)
		assert_int_equal(a.parts[i].state, ERASURE_EFFECTIVE);
	assert_true(word_of(&w, x) & POLICY_ITEM_ERASURE);
	assert_false(word_of(&w, y) & POLICY_ITEM_ERASURE);
	assert_int_equal(count(&w, "SELECT count(*) FROM membership WHERE state = 'left' AND account_id = ", w.actor[5].account), 2);
	assert_err(c, ERR_STATE, erasure_account_cancel(c, &a));
	assert_err(c, ERR_REFUSED, member_join(c, second.id, &m)); /* what were contributed now would stay for ever */
	db_release(c);
	for (int i = 0; i < 30 && fixture_int("SELECT count(*) FROM account_erasure WHERE state = 'completed'") == 0; i++)
		erasure_until(&w, clock_now() + 5 * CLOCK_SECOND);
	assert_int_equal(fixture_int("SELECT count(*) FROM account_erasure WHERE state = 'completed' AND account_id IS NULL"), 1);
	assert_int_equal(count(&w, "SELECT count(*) FROM account WHERE email LIKE 'member5@%' OR id = ", w.actor[5].account), 0);
	assert_false(content_there(&w, x));
	assert_true(content_there(&w, y));
	/* Nothing is left that ties what was one person's in two co-ops together. */
	assert_int_equal(fixture_int("SELECT count(*) FROM erasure WHERE scope = 'coop' AND account_request_id IS NULL AND key_gone_at IS NOT NULL AND n_items = 1"), 1);
	assert_int_equal(fixture_int("SELECT count(*) FROM account_erasure WHERE cardinality(coops) > 0"), 0);
}

/* Nobody is there to hand over to, and nobody would be left without an admin. */
static void who_is_alone_in_a_co_op_may_go(void **state)
{
	struct world w;
	struct erasure_account a;
	struct member m;
	struct proof proof = { .network = STR("192.0.2.1") };
	(void)state;
	world_make(&w, NULL);
	for (int i = 1; i < WORLD_MEMBERS - 1; i++)
		assert_ok(by(&w, i), member_leave(by(&w, i), w.coop, &m));
	struct call *c = fixture_call();
	c->actor = w.actor[0];
	fresh_session(c);
	assert_err(c, ERR_REFUSED, erasure_ask_account(c, &a));
	assert_string_equal(c->error.reason, "last_admin");
	assert_ok(by(&w, WORLD_MEMBERS - 1), member_leave(by(&w, WORLD_MEMBERS - 1), w.coop, &m));
	assert_err(by(&w, 0), ERR_REFUSED, member_leave(by(&w, 0), w.coop, &m)); /* but not merely leave */
	assert_ok(c, erasure_ask_account(c, &a));
	assert_ok(c, erasure_account_verify(c, &proof, &a));
	db_release(c);
	for (int i = 0; i < 30 && fixture_int("SELECT count(*) FROM account_erasure WHERE state = 'completed'") == 0; i++)
		erasure_until(&w, clock_now() + 5 * CLOCK_SECOND);
	assert_int_equal(count(&w, "SELECT count(*) FROM account WHERE email LIKE 'member0@%' OR id = ", w.actor[0].account), 0);
	assert_int_equal(fixture_int("SELECT count(*) FROM membership WHERE state IN ('active', 'due', 'grace')"), 0);
}

static void a_request_for_the_account_lapses_unconfirmed(void **state)
{
	struct world w;
	struct erasure_account a;
	(void)state;
	world_make(&w, NULL);
	assert_ok(by(&w, 5), erasure_ask_account(by(&w, 5), &a));
	assert_ok(by(&w, 5), erasure_account_cancel(by(&w, 5), &a));
	assert_int_equal(a.state, ERASURE_CANCELLED);
	assert_ok(by(&w, 5), erasure_ask_account(by(&w, 5), &a));
	daily(&w, clock_now() + ERASURE_CONFIRM_LIFE + CLOCK_HOUR);
	assert_ok(by(&w, 5), erasure_account_read(by(&w, 5), &a));
	assert_int_equal(a.state, ERASURE_CANCELLED);
	assert_int_equal(fixture_int("SELECT count(*) FROM erasure"), 0);
}

/* ---- Cut off anywhere ---- */

/* A process that carries a request and is killed after so many microseconds. True when it was done before. */
static bool carry_and_kill(struct world *w, struct uuid id, const char *url, const char *keys, int64_t after)
{
	pid_t pid = fork();
	assert_true(pid >= 0);
	if (pid == 0) {
		struct db_pool *content, *keyring;
		struct error e = { 0 };
		bool more = true;
		struct call c = { .arena = arena_new(LIMIT_JOB_ARENA), .actor = { .kind = AUTH_SYSTEM } };
		if (db_pool_open(&content, url, 3, &e) != ERR_OK || db_pool_open(&keyring, keys, 1, &e) != ERR_OK)
			_exit(3);
		db_use_pool(content, keyring);
		while (more)
			if (erasure_carry_step(&c, w->coop, id, &more) != ERR_OK)
				_exit(2);
		_exit(0);
	}
	usleep((useconds_t)after);
	kill(pid, SIGKILL);
	int status;
	waitpid(pid, &status, 0);
	return WIFEXITED(status) && WEXITSTATUS(status) == 0;
}

static void a_crash_at_any_point_of_carrying_resumes(void **state)
{
	struct world w;
	enum { N = 60 };
	struct uuid items[N], mine[N];
	struct arena *a = arena_new(MIB);
	int kills = 0;
	size_t n = 0;
	(void)state;
	world_make(&w, NULL);
	struct release r = published(&w, items, N);
	for (int i = 5; i < N; i += 6)
		mine[n++] = items[i];
	struct erasure e = ask(&w, 5, ERASURE_ERASE, mine, n);
	const char *url = str_z(a, str_of(fixture_url(false))), *keys = str_z(a, str_of(fixture_url(true)));
	db_release(w.system);
	db_release(w.person);
	for (int64_t after = 2000; !carry_and_kill(&w, e.id, url, keys, after); after += 1500) {
		kills++;
		/* Whatever was cut off, no item is anywhere half: its content is gone exactly when it has its tombstone, and then no version that held it is served. */
		for (size_t i = 0; i < n; i++)
			assert_int_equal(content_there(&w, mine[i]), count(&w, "SELECT count(*) FROM tombstone WHERE contribution_id = ", mine[i]) == 0);
		if (fixture_int("SELECT count(*) FROM tombstone") > 0)
			assert_int_equal(count(&w, "SELECT count(*) FROM release WHERE state = 'withdrawn' AND id = ", r.id), 1);
		assert_true(kills < 400);
	}
	print_message("killed %d times\n", kills);
	carry_on(&w, e.id);
	assert_int_equal(fixture_int("SELECT count(*) FROM tombstone"), (int64_t)n);
	assert_int_equal(fixture_int("SELECT count(DISTINCT contribution_id) FROM tombstone"), (int64_t)n);
	assert_int_equal(fixture_int("SELECT max(idx) FROM tombstone"), (int64_t)n - 1);
	for (size_t i = 0; i < n; i++)
		assert_false(content_there(&w, mine[i]));
	static const char *const once[] = { "effective", "purged", "propagating", "completed" };
	for (size_t i = 0; i < CH_LEN(once); i++) {
		assert_int_equal(fixture_int(str_z(a, str_fmt(a, "SELECT count(*) FROM erasure_event WHERE event = '%s'", once[i]))), 1);
		assert_int_equal(fixture_int(str_z(a, str_fmt(a, "SELECT count(*) FROM log_leaf WHERE type = 'deletion.%s'", once[i]))), 1);
	}
	arena_free(a);
}

/* ---- Random lives ---- */

#define PEOPLE 5 /* members 3 to 7, and as many strangers */
#define ITEMS 40
#define REQUESTS 400

struct lives {
	struct world w;
	struct call *outside;              /* the call of whichever stranger acts */
	struct actor stranger[PEOPLE];
	struct uuid item[ITEMS];
	struct uuid request[REQUESTS];
	int asker[REQUESTS];              /* member, or -1 - stranger */
	enum erasure_state last[REQUESTS]; /* as it was seen last */
	int n_items, n;
};

static struct call *from_outside(struct lives *l, int stranger)
{
	l->outside->actor = l->stranger[stranger];
	return l->outside;
}

/* Everything that must hold whatever happened. */
static void hold_against_the_rules(struct lives *l)
{
	assert_int_equal(fixture_int("SELECT count(*) FROM erasure e WHERE state IN ('effective', 'purged', 'propagating', 'completed') AND NOT EXISTS "
		"(SELECT FROM withdrawal w WHERE w.id = e.id)"), 0);
	assert_int_equal(fixture_int("SELECT count(*) FROM erasure e JOIN withdrawal w ON w.id = e.id WHERE e.effective_at IS NULL"), 0);
	assert_int_equal(fixture_int("SELECT count(*) FROM erasure e JOIN withdrawal w ON w.id = e.restriction_id WHERE (w.lifted_at IS NULL) <> (e.restricted_until IS NULL)"), 0);
	assert_int_equal(fixture_int("SELECT count(*) FROM erasure WHERE asker = 'subject' AND restricted_until IS NULL AND state NOT IN ('verified', 'denied')"), 0);
	assert_int_equal(fixture_int("SELECT count(*) FROM (SELECT account_id FROM erasure WHERE asker = 'subject' AND restricted_until IS NULL GROUP BY 1 HAVING count(*) > 3) x"), 0);
	assert_int_equal(fixture_int("SELECT count(*) FROM erasure_claim c JOIN erasure e ON e.id = c.erasure_id WHERE e.state IN ('effective', 'completed', 'cancelled')"), 0);
	assert_int_equal(fixture_int("SELECT count(*) FROM (SELECT contribution_id, erasure_id FROM tombstone GROUP BY 1, 2 HAVING count(*) > 1) x"), 0);
	assert_int_equal(fixture_int("SELECT count(*) FROM contribution c WHERE (word & 4096) <> 0 AND EXISTS (SELECT FROM contribution_content t WHERE t.id = c.id)"), 0);
	for (int i = 0; i < l->n; i++) {
		struct erasure e = read_request(&l->w, l->request[i]);
		const char *from = erasure_state_name(l->last[i]), *to = erasure_state_name(e.state);
		/* States are passed through unseen, but never left backwards, and an end is an end. */
		if (l->last[i] == ERASURE_CANCELLED && e.state != ERASURE_CANCELLED)
			fail_msg("%s became %s", from, to);
		if (l->last[i] >= ERASURE_EFFECTIVE && l->last[i] <= ERASURE_COMPLETED && (e.state < l->last[i] || (e.state == ERASURE_DENIED)))
			fail_msg("%s became %s", from, to);
		l->last[i] = e.state;
	}
}

static void some_ask(struct lives *l)
{
	static const char *const until[] = { "erase", "erase", "withdraw_future", "embargo" };
	struct uuid named[3];
	struct erasure e;
	int member = 3 + (int)(random() % PEOPLE), who = (int)(random() % PEOPLE);
	bool claims = random() % 2;
	struct erasure_wish wish = { .items = named, .n_items = 1 + (size_t)(random() % 3), .until = INSTANT_NONE, .issued_at = INSTANT_NONE, .expires_at = INSTANT_NONE, .about_me = claims };
	if (l->n == REQUESTS)
		return;
	for (size_t i = 0; i < wish.n_items; i++)
		named[i] = l->item[random() % l->n_items];
	if (!claims) {
		assert_true(erasure_kind_parse(str_of(until[random() % 4]), &wish.kind));
		wish.until = wish.kind == ERASURE_EMBARGO ? clock_now() + (1 + random() % 40) * CLOCK_DAY : INSTANT_NONE;
	}
	if (!claims && random() % 10 == 0) {
		wish.scope = ERASURE_COOP;
		wish.n_items = 0;
	}
	struct call *c = claims ? from_outside(l, who) : by(&l->w, member);
	enum err err = erasure_ask(c, l->w.coop, &wish, &e);
	if (err != ERR_OK) {
		assert_true(err == ERR_NOT_FOUND || err == ERR_GONE || err == ERR_TOO_MANY);
		db_rollback(c);
		error_clear(&c->error);
		return;
	}
	for (int i = 0; i < l->n; i++)
		if (uuid_eq(l->request[i], e.id))
			return;
	l->request[l->n] = e.id;
	l->asker[l->n] = claims ? -1 - who : member;
	l->last[l->n++] = e.state;
}

static void some_act(struct lives *l)
{
	struct erasure e;
	if (l->n == 0)
		return;
	int i = (int)(random() % l->n), asker = l->asker[i];
	struct uuid id = l->request[i], coop = l->w.coop;
	struct call *own = asker < 0 ? from_outside(l, -1 - asker) : by(&l->w, asker);
	struct call *c = own;
	enum err err;
	switch (random() % 5) {
	case 0:
		err = erasure_cancel(own, coop, id, &e);
		break;
	case 1:
		err = erasure_appeal(own, coop, id, STR("It is about me."), &e);
		break;
	case 2:
		c = by(&l->w, 1);
		err = erasure_accept(c, coop, id, &e);
		break;
	case 3:
		c = by(&l->w, 2);
		err = erasure_deny(c, coop, id, STR("no_match"), STR("It is not."), &e);
		break;
	default:
		c = by(&l->w, 0);
		err = erasure_extend(c, coop, id, STR("There are many."), &e);
	}
	if (err != ERR_OK) {
		assert_true(err == ERR_STATE);
		db_rollback(c);
		error_clear(&c->error);
	}
}

static void vote_on_appeals(struct lives *l)
{
	struct ballot *list;
	struct str next;
	size_t n;
	assert_ok(by(&l->w, 0), ballot_list(by(&l->w, 0), l->w.coop, STR("open"), STR_NONE, 50, &list, &n, &next));
	for (size_t i = 0; i < n; i++) {
		struct ballot b;
		struct call *c = by(&l->w, 3 + (int)(random() % PEOPLE));
		if (!str_is(list[i].kind, "appeal") || ballot_cast_vote(c, l->w.coop, list[i].id, random() % 2 ? STR("for") : STR("against"), &b) == ERR_OK)
			continue;
		db_rollback(c);
		error_clear(&c->error);
	}
}

static void random_lives_follow_the_rules(void **state)
{
	static struct lives l;
	unsigned seed = (unsigned)(getenv("SEED") ? atoll(getenv("SEED")) : 20261122);
	(void)state;
	print_message("seed %u\n", seed);
	srandom(seed);
	memset(&l, 0, sizeof l);
	world_make(&l.w, NULL);
	for (int i = 0; i < PEOPLE; i++) {
		struct call *c = stranger_new(&l.w, str_fmt(l.w.system->arena, "stranger%d", i).p);
		l.stranger[i] = c->actor;
		l.stranger[i].email = str_copy(l.w.system->arena, c->actor.email);
		l.stranger[i].name = str_copy(l.w.system->arena, c->actor.name);
		fixture_end(c);
	}
	l.outside = fixture_call();
	for (int i = 0; i < ITEMS; i++)
		l.item[l.n_items++] = world_contribute(&l.w, 3 + i % PEOPLE, str_fmt(l.w.system->arena, "item %d", i).p);
	for (int step = 0; step < 250; step++) {
		int what = (int)(random() % 10);
		if (what < 4)
			some_ask(&l);
		else if (what < 8)
			some_act(&l);
		else
			vote_on_appeals(&l);
		if (random() % 8 == 0) {
			instant t = clock_now() + random() % (3 * CLOCK_DAY);
			daily(&l.w, random() % 5 ? t : t - CLOCK_DAY); /* sometimes the clock goes back */
			erasure_until(&l.w, clock_now());
			hold_against_the_rules(&l);
		}
	}
	hold_against_the_rules(&l);
	/* In the end everything is answered. */
	for (int i = 0; i < 20; i++) {
		daily(&l.w, clock_now() + 5 * CLOCK_DAY);
		erasure_until(&l.w, clock_now());
	}
	hold_against_the_rules(&l);
	assert_int_equal(fixture_int("SELECT count(*) FROM erasure WHERE state IN ('effective', 'purged', 'propagating')"), 0);
	int64_t counted = fixture_int("SELECT count(*) FROM log_leaf WHERE type = 'deletion.effective'");
	assert_int_equal(counted, fixture_int("SELECT count(*) FROM erasure WHERE effective_at IS NOT NULL"));
	assert_true(counted > 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		fixture_test(what_counts_is_carried_to_the_end),
		fixture_test(what_stays_with_its_member_is_told_and_not_purged),
		fixture_test(a_release_that_held_it_is_withdrawn_before_it_is_purged_everywhere),
		fixture_test(a_legal_hold_keeps_content_and_nothing_else),
		fixture_test(a_request_over_many_items_is_one_row_and_few_statements),
		fixture_test(the_whole_account_goes_from_every_co_op_and_then_itself),
		fixture_test(who_is_alone_in_a_co_op_may_go),
		fixture_test(a_request_for_the_account_lapses_unconfirmed),
		fixture_test(a_crash_at_any_point_of_carrying_resumes),
		fixture_test(random_lives_follow_the_rules),
	};
	return fixture_run(tests, CH_LEN(tests));
}
