/* A co-op's year by many hands at once: people join, delegate, accept, revoke, vote, leave, let their checkup pass and renew, while days go by and ballots close under several
 * workers. Whatever the order in which things happened, what is kept fits together. */
#include "world.h"

#include "commonhold/account.h"
#include "commonhold/ballot_proof.h"
#include "commonhold/db.h"
#include "commonhold/delegation.h"
#include "commonhold/ledger.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>

#define PEOPLE 36
#define FORGETFUL WORLD_MEMBERS /* joins on the first day, never renews and never leaves: whatever the dice, somebody lapses */
#define HANDS 5      /* threads that act at once; each has a connection */
#define BALLOTS 4
#define RULE "{\"rule\":\"majority\",\"roll\":\"members\"}"

struct history {
	struct world w;
	struct actor actor[PEOPLE];
	struct uuid ballot[BALLOTS];
	int n_ballots;                 /* announced so far */
};

/* One thread: acts as anybody, with its own connection and its own dice. */
struct hand {
	struct history *h;
	struct call *c;
	unsigned dice;
	int acts;
	bool closing;                  /* only tries to close the last ballot */
	char complaint[1200];          /* what should never be answered */
};

static int roll_of(struct hand *x, int sides)
{
	return (int)(rand_r(&x->dice) % (unsigned)sides);
}

/* A history need not know what is allowed, but nothing may be answered with a fault of ours. */
static enum err tried(struct hand *x, const char *what, enum err e)
{
	struct call *c = x->c;
	if (e == ERR_OK)
		return e;
	if (err_status(e) >= 500 && e != ERR_RETRY && e != ERR_UNAVAILABLE)
		snprintf(x->complaint, sizeof x->complaint, "%s: %s %s", what, c->error.message, c->error.detail);
	db_rollback(c);
	error_clear(&c->error);
	return e;
}

static struct uuid member_of(struct hand *x, int person)
{
	struct member m;
	struct uuid none = { { 0 } };
	x->c->actor = x->h->actor[person];
	return tried(x, "member", member_mine_in(x->c, x->h->w.coop, &m)) == ERR_OK ? m.id : none;
}

static void delegate(struct hand *x, int person)
{
	struct delegation d;
	struct delegation_warning warning;
	int other = roll_of(x, PEOPLE), kind = roll_of(x, 10);
	struct delegation_draft in = {
		.question = roll_of(x, 4) ? POLICY_QUESTION_VOTE : POLICY_QUESTION_CONSENT, .scope = roll_of(x, 3) ? POLICY_SCOPE_COOP : POLICY_SCOPE_TOPIC,
		.delegate_kind = kind == 0 ? DELEGATE_BOARD : kind == 1 ? DELEGATE_NOBODY : DELEGATE_MEMBER, .chosen_end = INSTANT_NONE,
	};
	in.topics = in.scope == POLICY_SCOPE_TOPIC ? 1u << roll_of(x, 5) : 0;
	if (in.delegate_kind == DELEGATE_MEMBER)
		in.delegate = member_of(x, other);
	x->c->actor = x->h->actor[person];
	if (tried(x, "delegate", delegation_make(x->c, x->h->w.coop, &in, &d, &warning)) != ERR_OK || in.delegate_kind != DELEGATE_MEMBER || !roll_of(x, 5))
		return;
	x->c->actor = x->h->actor[other];
	(void)tried(x, "accept", delegation_accept(x->c, x->h->w.coop, d.id, &d));
}

static void revoke(struct hand *x)
{
	struct delegation *mine, d;
	size_t n = 0;
	if (tried(x, "delegations", delegation_list_mine(x->c, x->h->w.coop, false, &mine, &n)) == ERR_OK && n)
		(void)tried(x, "revoke", delegation_revoke(x->c, x->h->w.coop, mine[(size_t)roll_of(x, (int)n)].id, &d));
}

static void renew(struct hand *x)
{
	struct member m;
	enum err e = db_begin_in(x->c, x->h->w.coop, DB_WRITE);
	if (e == ERR_OK)
		e = membership_renew(x->c, x->h->w.coop, &m);
	if (e == ERR_OK)
		e = db_commit(x->c);
	(void)tried(x, "renew", e);
}

static void vote(struct hand *x)
{
	static const char *const choices[] = { "for", "against", "abstain", "none" };
	struct ballot b;
	if (x->h->n_ballots)
		(void)tried(x, "vote", ballot_cast_vote(x->c, x->h->w.coop, x->h->ballot[x->h->n_ballots - 1], str_of(choices[roll_of(x, 4)]), &b));
}

static void act(struct hand *x)
{
	int person = roll_of(x, PEOPLE);
	struct member m;
	x->c->actor = x->h->actor[person];
	switch (roll_of(x, 16)) {
	case 0:
		(void)tried(x, "join", member_join(x->c, x->h->w.coop, &m));
		break;
	case 1:
		if (person > FORGETFUL && !roll_of(x, 3))
			(void)tried(x, "leave", member_leave(x->c, x->h->w.coop, &m));
		break;
	case 2: case 3:
		revoke(x);
		break;
	case 4: case 5: case 6:
		if (person != FORGETFUL)
			renew(x);
		break;
	case 7: case 8: case 9: case 10:
		vote(x);
		break;
	default:
		delegate(x, person);
	}
}

static void *hand_runs(void *arg)
{
	struct hand *x = arg;
	for (int i = 0; i < x->acts && !x->complaint[0]; i++) {
		struct arena_mark mark = arena_mark(x->c->arena);
		if (x->closing) {
			x->c->actor = (struct actor){ .kind = AUTH_SYSTEM };
			(void)tried(x, "close", ballot_advance(x->c, x->h->w.coop, x->h->ballot[x->h->n_ballots - 1]));
		} else {
			act(x);
		}
		db_release(x->c);
		arena_rewind(x->c->arena, mark);
	}
	return NULL;
}

/* All hands at once; `closers` of them close what is to be closed. */
static void all_hands(struct history *h, struct hand *hands, int acts, int closers)
{
	pthread_t threads[HANDS];
	db_release(h->w.system);
	db_release(h->w.person);
	for (int i = 0; i < HANDS; i++) {
		hands[i].acts = acts;
		hands[i].closing = i < closers;
		assert_int_equal(pthread_create(&threads[i], NULL, hand_runs, &hands[i]), 0);
	}
	for (int i = 0; i < HANDS; i++)
		assert_int_equal(pthread_join(threads[i], NULL), 0);
	for (int i = 0; i < HANDS; i++)
		if (hands[i].complaint[0])
			fail_msg("%s", hands[i].complaint);
}

static void propose(struct history *h, instant opens, instant closes)
{
	struct call *c = h->w.system;
	const struct json *json;
	assert_ok(c, json_parse(c->arena, STR(RULE), &json, &c->error));
	struct ballot_draft draft = { .kind = "toggle", .subject = uuid_new(), .digest = sha256(STR("what is decided")), .title = STR("A question"),
		.question = STR("Shall it be?"), .rule = json, .charter = 1, .opens_at = opens, .closes_at = closes };
	assert_ok(c, db_begin_in(c, h->w.coop, DB_WRITE));
	assert_ok(c, ballot_create(c, h->w.coop, &draft, &h->ballot[h->n_ballots]));
	assert_ok(c, db_commit(c));
	h->n_ballots++;
}

static void day(struct history *h, instant t)
{
	int64_t steps;
	clock_set(t);
	assert_ok(h->w.system, membership_daily(h->w.system, (struct uuid){ { 0 } }, &steps));
	assert_ok(h->w.system, delegation_daily(h->w.system, h->w.coop, &steps));
}

/* ---- What must hold ---- */

static void counts_are_whole(struct history *h, struct uuid ballot)
{
	struct ballot b;
	struct ballot_recount sql;
	struct call *c = h->w.system;
	assert_ok(c, ballot_read(c, h->w.coop, ballot, &b));
	assert_true(b.state == BALLOT_PASSED || b.state == BALLOT_FAILED);
	assert_int_equal(b.members.yes + b.members.no + b.members.abstain + b.members.undecided, b.members.roll);
	int by_reason = 0;
	for (unsigned i = 0; i < POLICY_VIA_COUNT; i++)
		by_reason += b.members.undecided_by[i];
	assert_int_equal(by_reason, b.members.undecided);
	assert_ok(c, ballot_seal(c, h->w.coop, ballot)); /* refuses when the count in SQL differs */
	assert_ok(c, ballot_recount(c, h->w.coop, ballot, &sql));
	assert_int_equal(sql.members.yes, b.members.yes);
	assert_int_equal(sql.members.no, b.members.no);
	print_message("%d of %d: %d for, %d against, %d abstained\n", b.members.roll, PEOPLE, b.members.yes, b.members.no, b.members.abstain);
}

static void nothing(const char *what, const char *sql)
{
	int64_t n = fixture_int(sql);
	if (n)
		fail_msg("%lld %s", (long long)n, what);
}

static void what_is_kept_fits_together(void)
{
	nothing("events of memberships that do not follow from the one before",
		"SELECT count(*) FROM (SELECT from_state, lag(to_state) OVER (PARTITION BY member_id ORDER BY seq) AS was FROM membership_event) e WHERE from_state IS DISTINCT FROM was");
	nothing("memberships in another state than their last event says",
		"SELECT count(*) FROM membership m WHERE state <> (SELECT to_state FROM membership_event e WHERE e.member_id = m.id ORDER BY seq DESC LIMIT 1)");
	nothing("people who lapsed without a grace",
		"SELECT count(*) FROM membership_event WHERE to_state = 'lapsed' AND from_state <> 'grace'");
	nothing("ballots that closed more than once",
		"SELECT count(*) FROM (SELECT ballot_id FROM ballot_count WHERE electorate = 'members' GROUP BY 1 HAVING count(*) <> 1) x");
	nothing("consequences that were queued twice",
		"SELECT count(*) FROM (SELECT args FROM job WHERE kind = 'toggle.decided' GROUP BY 1 HAVING count(*) > 1) x");
	nothing("delegations that stand for somebody who is no member",
		"SELECT count(*) FROM delegation_now n JOIN delegation d ON d.id = n.delegation_id JOIN membership p ON p.id = d.principal_id LEFT JOIN membership q ON q.id = d.delegate_id "
		"WHERE n.state = 'standing' AND (p.state IN ('left', 'removed') OR q.state IN ('left', 'removed', 'lapsed'))");
	nothing("delegations whose picture is not what their events say",
		"SELECT count(*) FROM delegation_now n JOIN LATERAL (SELECT bool_or(kind IN ('declined', 'revoked', 'ended')) AS over, min(at) FILTER (WHERE kind IN ('accepted', 'confirmed')) AS accepted "
		"FROM delegation_event e WHERE e.delegation_id = n.delegation_id) e ON true WHERE (n.revoked_at < 'infinity') <> e.over OR nullif(n.accepted_at, 'infinity') IS DISTINCT FROM e.accepted");
	nothing("votes of people who are not on the roll",
		"SELECT count(*) FROM vote v WHERE NOT EXISTS (SELECT FROM ballot_roll r WHERE r.ballot_id = v.ballot_id AND r.member_id = v.member_id)");
	nothing("gaps in the log", "SELECT count(*) FROM (SELECT idx, row_number() OVER (ORDER BY idx) - 1 AS no FROM log_leaf) l WHERE idx <> no");
	nothing("votes without their leaf", "SELECT (SELECT count(*) FROM vote) - (SELECT count(*) FROM log_leaf WHERE type = 'vote.cast')");
}

static void history_make(struct history *h, struct hand *hands, unsigned seed)
{
	*h = (struct history){ 0 };
	world_make(&h->w, "{\"delegation\":{\"depth\":4,\"cap\":5},\"membership\":{\"admission\":\"open\",\"checkup_every\":\"P60D\",\"window\":\"P20D\",\"grace\":\"P15D\"}}");
	struct call *c = h->w.person;
	for (int p = 0; p < PEOPLE; p++) {
		struct account account;
		if (p < WORLD_MEMBERS) {
			h->actor[p] = h->w.actor[p];
			continue;
		}
		c->actor = (struct actor){ 0 };
		assert_ok(c, account_create(c, str_fmt(c->arena, "person%d@example.org", p), str_fmt(c->arena, "Person %d", p), &account));
		h->actor[p] = (struct actor){ .kind = AUTH_SESSION, .account = account.id, .email = account.email, .name = account.name };
	}
	struct member m;
	c->actor = h->actor[FORGETFUL];
	assert_ok(c, member_join(c, h->w.coop, &m));
	for (int i = 0; i < HANDS; i++)
		hands[i] = (struct hand){ .h = h, .c = fixture_call(), .dice = seed * 31 + (unsigned)i };
}

static void a_year_by_many_hands_fits_together(void **state)
{
	struct history h;
	struct hand hands[HANDS];
	const char *again = getenv("SEED");
	unsigned seed = again ? (unsigned)strtoul(again, NULL, 10) : (unsigned)clock_now();
	(void)state;
	print_message("seed %u\n", seed);
	history_make(&h, hands, seed);
	instant t = WORLD_START;
	for (int b = 0; b < BALLOTS; b++) {
		for (int d = 0; d < 6; d++)
			day(&h, t += 5 * CLOCK_DAY), all_hands(&h, hands, 14, 0);
		propose(&h, t + 7 * CLOCK_DAY, t + 17 * CLOCK_DAY);
		day(&h, t += 7 * CLOCK_DAY);
		all_hands(&h, hands, 10, 2); /* it opens while others act */
		for (int d = 0; d < 5; d++)
			day(&h, t += 2 * CLOCK_DAY), all_hands(&h, hands, 16, 0);
		clock_set(t);
		all_hands(&h, hands, 10, 3); /* it closes under three workers, while two others act */
		struct ballot last;
		assert_ok(h.w.system, ballot_read(h.w.system, h.w.coop, h.ballot[b], &last));
		if (last.state == BALLOT_OPEN) { /* the outcome turned late: it goes on, once */
			assert_true(last.first_closes_at != INSTANT_NONE);
			day(&h, t = last.closes_at);
			all_hands(&h, hands, 10, 3);
		}
		counts_are_whole(&h, h.ballot[b]);
		what_is_kept_fits_together();
	}
	assert_true(fixture_int("SELECT count(*) FROM membership_event WHERE to_state = 'lapsed'") > 0);
	assert_true(fixture_int("SELECT count(*) FROM ballot_resolution WHERE via = 'decided'") > 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		fixture_test(a_year_by_many_hands_fits_together),
	};
	return fixture_run(tests, CH_LEN(tests));
}
