/* Agreements between two co-ops of one instance: nothing is in effect but what both have voted on and signed, everything else is refused and leaves things as they were. */
#include "people.h"

#include "commonhold/agreement.h"
#include "commonhold/ballot.h"
#include "commonhold/config.h"
#include "commonhold/file.h"
#include "commonhold/guest.h"
#include "commonhold/ledger.h"
#include "commonhold/message.h"
#include "commonhold/peer.h"
#include "server/merge/agreement_internal.h"

#include <stdlib.h>

#define START INT64_C(1767258000000000) /* 2026-01-01T09:00:00Z */
#define DAY CLOCK_DAY
#define WHY STR("because we said so")

/* Two co-ops, a person each who is its only admin, and what they know of each other. */
struct pair {
	struct call *system;
	struct call *call[2];
	struct coop coop[2];
	struct uuid peer[2];     /* peer[0]: the second as the first knows it */
};

static void run(void)
{
	static const struct job_kind *const tables[] = { agreement_jobs, message_jobs, ballot_jobs, NULL };
	struct error e = { 0 };
	int ran;
	if (job_run_due(tables, &ran, &e) != ERR_OK)
		fail_msg("%s", e.message);
}

static void until(instant t)
{
	clock_set(t);
	run();
}

static void know(struct pair *p, int who, bool confirm)
{
	struct peer peer;
	struct call *c = p->call[who];
	assert_ok(c, peer_meet(c, p->coop[who].id, str_of(config()->base_url), p->coop[!who].key_name, &peer));
	p->peer[who] = peer.id;
	if (confirm)
		assert_ok(c, peer_confirm(c, p->coop[who].id, peer.id, peer.fingerprint, &peer));
}

static void pair_make_with(struct pair *p, const char *first, const char *second)
{
	struct error e = { 0 };
	setenv("COMMONHOLD_DIR", fixture_dir(), 1);
	setenv("COMMONHOLD_LOG", "error", 1);
	assert_int_equal(config_load(&e), ERR_OK);
	ledger_use_host("test.example");
	clock_set(START);
	p->call[0] = people_new("ada");
	p->call[1] = people_new("bob");
	p->system = fixture_system();
	p->coop[0] = people_coop(p->call[0], "alpha", first);
	p->coop[1] = people_coop(p->call[1], "beta", second);
	know(p, 0, true);
	know(p, 1, true);
}

static void pair_make(struct pair *p)
{
	pair_make_with(p, PEOPLE_OPEN, PEOPLE_OPEN);
}

static struct agreement see(struct pair *p, int who, struct sha256 digest)
{
	struct agreement g;
	assert_ok(p->call[who], agreement_read(p->call[who], p->coop[who].id, digest, &g));
	return g;
}

static enum agreement_state state_of(struct pair *p, int who, struct sha256 digest)
{
	return see(p, who, digest).state;
}

static struct agreement drafted(struct pair *p, int who, const char *draft, struct uuid renews)
{
	struct agreement g;
	struct call *c = p->call[who];
	assert_ok(c, agreement_draft(c, p->coop[who].id, p->peer[who], people_json(c, draft), renews, STR_NONE, &g));
	return g;
}

static struct sha256 proposed(struct pair *p, int who, const char *draft, struct uuid renews)
{
	struct agreement g = drafted(p, who, draft, renews);
	assert_ok(p->call[who], agreement_propose(p->call[who], p->coop[who].id, g.terms.digest, &g));
	run();
	return g.terms.digest;
}

static void open_ballot(struct pair *p, int who, struct sha256 digest)
{
	struct agreement g;
	assert_ok(p->call[who], agreement_open_ballot(p->call[who], p->coop[who].id, digest, &g));
}

static void vote(struct pair *p, int who, struct sha256 digest, const char *choice)
{
	struct ballot b;
	struct agreement g = see(p, who, digest);
	assert_ok(p->call[who], ballot_cast_vote(p->call[who], p->coop[who].id, g.ballot, str_of(choice), &b));
}

/* Both vote; the first as `a` says, the second as `b`. The clock stands at the end of the vote. */
static void decide(struct pair *p, struct sha256 digest, const char *a, const char *b)
{
	struct ballot ballot;
	for (int who = 0; who < 2; who++)
		open_ballot(p, who, digest);
	struct agreement g = see(p, 0, digest);
	assert_ok(p->call[0], ballot_read(p->call[0], p->coop[0].id, g.ballot, &ballot));
	until(ballot.opens_at);
	vote(p, 0, digest, a);
	vote(p, 1, digest, b);
	until(ballot.closes_at);
	run();
}

static struct sha256 agreed(struct pair *p, const char *draft)
{
	struct sha256 digest = proposed(p, 0, draft, (struct uuid){ { 0 } });
	decide(p, digest, "for", "for");
	assert_int_equal(state_of(p, 0, digest), AGREEMENT_IN_EFFECT);
	assert_int_equal(state_of(p, 1, digest), AGREEMENT_IN_EFFECT);
	return digest;
}

static struct guest_source source_of(struct pair *p, int who, struct uuid agreement)
{
	struct guest_source s;
	struct call *c = p->system;
	assert_ok(c, db_begin_in(c, p->coop[who].id, DB_READ));
	assert_ok(c, guest_source_get(c, p->coop[who].id, agreement, &s));
	assert_ok(c, db_commit(c));
	return s;
}

static int64_t count_of(const char *what)
{
	char sql[400];
	snprintf(sql, sizeof sql, "SELECT count(*) FROM %s", what);
	return fixture_int(sql);
}

/* ---- The table ---- */

static void the_table_of_states_is_whole(void **state)
{
	(void)state;
	const char *from, *to, *guard;
	assert_true(agreement_table_ok());
	for (size_t i = 0; i < agreement_edge_count(); i++)
		assert_true(strlen(agreement_edge_sentence(i, &from, &to, &guard)) > 5 && strlen(guard) > 3);
}

static void the_documentation_has_every_edge(void **state)
{
	(void)state;
	const char *from, *to, *guard, *sentence;
	struct error e = { 0 };
	struct str text;
	struct arena *a = arena_new(1 * MIB);
	if (file_read(a, "docs/agreements.md", "docs/agreements.md", 256 * KIB, &text, &e) != ERR_OK)
		fail_msg("%s", e.message);
	for (size_t i = 0; (sentence = agreement_edge_sentence(i, &from, &to, &guard)); i++) {
		struct str row = str_fmt(a, "| %s | %s | %s | %s |\n", *from ? from : "–", to, guard, sentence);
		if (!memmem(text.p, text.n, row.p, row.n))
			fail_msg("docs/agreements.md lacks: %.*s", STR_ARG(row));
	}
	arena_free(a);
}

static void nothing_moves_but_along_the_table(void **state)
{
	struct pair p;
	struct agreement g;
	(void)state;
	pair_make(&p);
	struct sha256 digest = agreed(&p, "{}");
	struct call *c = p.system;
	for (int from = 0; from < AGREEMENT_STATE_COUNT; from++)
		for (int to = 0; to < AGREEMENT_STATE_COUNT; to++) {
			char sql[300];
			snprintf(sql, sizeof sql, "UPDATE agreement_revision SET suspended_here = true, state = '%s' WHERE coop_id = (SELECT id FROM coop WHERE slug = 'alpha')", agreement_state_name((enum agreement_state)from));
			fixture_sql(sql);
			assert_ok(c, db_begin_in(c, p.coop[0].id, DB_WRITE));
			assert_ok(c, agreement_by_digest(c, p.coop[0].id, digest, &g));
			enum err e = agreement_move(c, &g, (enum agreement_state)to, "admin", STR_NONE);
			if (agreement_edge_exists((enum agreement_state)from, (enum agreement_state)to))
				assert_ok(c, e);
			else
				assert_err(c, ERR_STATE, e);
			db_rollback(c);
			error_clear(&c->error);
		}
}

/* ---- From a draft to effect ---- */

static void an_agreement_is_in_effect_when_both_have_voted_and_signed(void **state)
{
	struct pair p;
	uint8_t key[2][32];
	(void)state;
	pair_make(&p);
	struct agreement g = drafted(&p, 0, "{\"k\":2,\"flow\":\"both\"}", (struct uuid){ { 0 } });
	struct sha256 digest = g.terms.digest;
	assert_int_equal(g.state, AGREEMENT_DRAFTED);
	assert_int_equal(count_of("agreement_revision"), 1);
	assert_ok(p.call[0], agreement_propose(p.call[0], p.coop[0].id, digest, &g));
	run();
	struct agreement there = see(&p, 1, digest);
	assert_int_equal(there.state, AGREEMENT_PROPOSED);
	assert_false(there.proposed_here);
	assert_true(str_eq(there.terms.document, g.terms.document));
	assert_true(str_eq(there.partner, p.coop[0].key_name));
	open_ballot(&p, 0, digest);
	open_ballot(&p, 1, digest);
	until(START + 7 * DAY);
	vote(&p, 0, digest, "for");
	until(START + 13 * DAY);
	assert_int_equal(state_of(&p, 0, digest), AGREEMENT_VOTING);
	vote(&p, 1, digest, "for");
	until(START + 14 * DAY);
	for (int who = 0; who < 2; who++) {
		g = see(&p, who, digest);
		assert_int_equal(g.state, AGREEMENT_IN_EFFECT);
		assert_true(g.current && g.assent_ours.p && g.assent_theirs.p && agreement_flows(&g) && g.we_send && g.we_receive);
		struct guest_source s = source_of(&p, who, g.id);
		assert_int_equal(s.state, GUEST_SOURCE_IN_EFFECT);
		assert_int_equal(s.k, 2);
		assert_true(str_eq(s.home, p.coop[!who].key_name));
		assert_ok(p.system, db_begin_in(p.system, p.coop[who].id, DB_READ));
		assert_ok(p.system, agreement_key(p.system, p.coop[who].id, g.id, key[who]));
		assert_ok(p.system, db_commit(p.system));
	}
	assert_memory_equal(key[0], key[1], 32);
	assert_int_equal(count_of("log_leaf WHERE type = 'agreement.in_effect'"), 2);
	assert_int_equal(count_of("log_leaf WHERE type = 'agreement.signed'"), 2);
	assert_int_equal(count_of("message_out WHERE state <> 'delivered'"), 0);
	assert_int_equal(count_of("refusal"), 0);
	assert_int_equal(count_of("notice WHERE kind = 'agreement.in_effect'"), 2);
	assert_int_equal(count_of("job WHERE kind = 'merge.export'"), 2);
}

static void it_waits_for_its_first_day(void **state)
{
	struct pair p;
	(void)state;
	pair_make(&p);
	struct sha256 digest = proposed(&p, 0, "{\"starts\":\"2026-03-01T00:00:00Z\"}", (struct uuid){ { 0 } });
	decide(&p, digest, "for", "for");
	assert_int_equal(state_of(&p, 0, digest), AGREEMENT_SIGNED);
	assert_int_equal(state_of(&p, 1, digest), AGREEMENT_SIGNED);
	until(see(&p, 0, digest).terms.starts);
	assert_int_equal(state_of(&p, 0, digest), AGREEMENT_IN_EFFECT);
	assert_int_equal(state_of(&p, 1, digest), AGREEMENT_IN_EFFECT);
}

static void one_no_is_enough(void **state)
{
	struct pair p;
	(void)state;
	pair_make(&p);
	struct sha256 digest = proposed(&p, 0, "{}", (struct uuid){ { 0 } });
	decide(&p, digest, "for", "against");
	assert_int_equal(state_of(&p, 0, digest), AGREEMENT_REJECTED);
	assert_int_equal(state_of(&p, 1, digest), AGREEMENT_REJECTED);
	assert_int_equal(count_of("guest_source"), 0);
}

static void a_partner_that_is_not_confirmed_gets_no_draft(void **state)
{
	struct pair p;
	struct agreement g;
	struct peer peer;
	(void)state;
	pair_make(&p);
	assert_ok(p.call[0], peer_refuse(p.call[0], p.coop[0].id, p.peer[0], &peer));
	assert_err(p.call[0], ERR_REFUSED, agreement_draft(p.call[0], p.coop[0].id, p.peer[0], people_json(p.call[0], "{}"), (struct uuid){ { 0 } }, STR_NONE, &g));
	assert_string_equal(p.call[0]->error.reason, "peer_unconfirmed");
}

static void only_admins_act(void **state)
{
	struct pair p;
	struct agreement g;
	struct member m;
	(void)state;
	pair_make(&p);
	struct call *cy = people_new("cy");
	assert_ok(cy, member_join(cy, p.coop[0].id, &m));
	assert_err(cy, ERR_FORBIDDEN, agreement_draft(cy, p.coop[0].id, p.peer[0], people_json(cy, "{}"), (struct uuid){ { 0 } }, STR_NONE, &g));
	struct sha256 digest = drafted(&p, 0, "{}", (struct uuid){ { 0 } }).terms.digest;
	assert_err(cy, ERR_FORBIDDEN, agreement_propose(cy, p.coop[0].id, digest, &g));
	assert_err(cy, ERR_FORBIDDEN, agreement_open_ballot(cy, p.coop[0].id, digest, &g));
	assert_err(cy, ERR_FORBIDDEN, agreement_withdraw(cy, p.coop[0].id, digest, WHY, &g));
	assert_err(p.call[0], ERR_STATE, agreement_open_ballot(p.call[0], p.coop[0].id, digest, &g));
	assert_err(p.call[1], ERR_NOT_FOUND, agreement_read(p.call[1], p.coop[1].id, digest, &g));
}

/* ---- Taking back ---- */

static void whoever_proposed_takes_back_and_the_other_declines(void **state)
{
	struct pair p;
	struct agreement g;
	(void)state;
	pair_make(&p);
	struct sha256 one = proposed(&p, 0, "{\"k\":2}", (struct uuid){ { 0 } });
	open_ballot(&p, 1, one);
	assert_ok(p.call[0], agreement_withdraw(p.call[0], p.coop[0].id, one, WHY, &g));
	run();
	assert_int_equal(state_of(&p, 0, one), AGREEMENT_WITHDRAWN);
	assert_int_equal(state_of(&p, 1, one), AGREEMENT_WITHDRAWN);
	assert_int_equal(count_of("ballot WHERE state = 'cancelled'"), 1);
	struct sha256 two = proposed(&p, 0, "{\"k\":3}", (struct uuid){ { 0 } });
	assert_ok(p.call[1], agreement_withdraw(p.call[1], p.coop[1].id, two, WHY, &g));
	run();
	assert_int_equal(state_of(&p, 0, two), AGREEMENT_REJECTED);
	assert_int_equal(state_of(&p, 1, two), AGREEMENT_REJECTED);
	struct sha256 three = drafted(&p, 0, "{\"k\":4}", (struct uuid){ { 0 } }).terms.digest;
	assert_ok(p.call[0], agreement_withdraw(p.call[0], p.coop[0].id, three, WHY, &g));
	run();
	assert_err(p.call[1], ERR_NOT_FOUND, agreement_read(p.call[1], p.coop[1].id, three, &g));
}

static void what_is_not_signed_in_time_expires(void **state)
{
	struct pair p;
	(void)state;
	pair_make(&p);
	struct sha256 digest = proposed(&p, 0, "{}", (struct uuid){ { 0 } });
	open_ballot(&p, 0, digest);
	until(START + 7 * DAY);
	vote(&p, 0, digest, "for");
	until(START + 14 * DAY);
	assert_int_equal(state_of(&p, 0, digest), AGREEMENT_SIGNED);
	assert_int_equal(state_of(&p, 1, digest), AGREEMENT_PROPOSED);
	until(START + SIGN_WITHIN);
	assert_int_equal(state_of(&p, 0, digest), AGREEMENT_EXPIRED);
	assert_int_equal(state_of(&p, 1, digest), AGREEMENT_EXPIRED);
}

/* ---- In effect ---- */

static void either_suspends_at_once_and_only_they_lift_it(void **state)
{
	struct pair p;
	struct agreement g;
	(void)state;
	pair_make(&p);
	struct sha256 digest = agreed(&p, "{}");
	struct uuid id = see(&p, 0, digest).id;
	assert_ok(p.call[0], agreement_suspend(p.call[0], p.coop[0].id, id, WHY, &g));
	assert_int_equal(g.state, AGREEMENT_SUSPENDED);
	assert_false(agreement_flows(&g));
	run();
	g = see(&p, 1, digest);
	assert_int_equal(g.state, AGREEMENT_SUSPENDED);
	assert_true(g.suspended_there && !g.suspended_here);
	assert_int_equal(source_of(&p, 1, id).state, GUEST_SOURCE_SUSPENDED);
	assert_err(p.call[1], ERR_STATE, agreement_resume(p.call[1], p.coop[1].id, id, &g));
	assert_ok(p.call[1], agreement_suspend(p.call[1], p.coop[1].id, id, WHY, &g));
	run();
	assert_ok(p.call[0], agreement_resume(p.call[0], p.coop[0].id, id, &g));
	run();
	assert_int_equal(state_of(&p, 0, digest), AGREEMENT_SUSPENDED);
	assert_int_equal(state_of(&p, 1, digest), AGREEMENT_SUSPENDED);
	assert_ok(p.call[1], agreement_resume(p.call[1], p.coop[1].id, id, &g));
	run();
	for (int who = 0; who < 2; who++) {
		assert_int_equal(state_of(&p, who, digest), AGREEMENT_IN_EFFECT);
		assert_int_equal(source_of(&p, who, id).state, GUEST_SOURCE_IN_EFFECT);
	}
}

static void a_notice_ends_it_for_both_on_the_same_day(void **state)
{
	struct pair p;
	struct agreement g;
	(void)state;
	pair_make(&p);
	struct sha256 digest = agreed(&p, "{\"notice\":\"P10D\"}");
	struct uuid id = see(&p, 0, digest).id;
	assert_ok(p.call[1], agreement_end(p.call[1], p.coop[1].id, id, WHY, &g));
	run();
	assert_int_equal(state_of(&p, 0, digest), AGREEMENT_ENDING);
	g = see(&p, 0, digest);
	assert_int_equal(g.ends_at, see(&p, 1, digest).ends_at);
	assert_true(agreement_flows(&g));
	until(g.ends_at - CLOCK_HOUR);
	assert_int_equal(state_of(&p, 0, digest), AGREEMENT_ENDING);
	until(g.ends_at);
	for (int who = 0; who < 2; who++) {
		assert_int_equal(state_of(&p, who, digest), AGREEMENT_ENDED);
		assert_int_equal(source_of(&p, who, id).state, GUEST_SOURCE_ENDED);
	}
	assert_int_equal(count_of("job WHERE kind = 'merge.ended'"), 2);
	assert_err(p.call[0], ERR_STATE, agreement_suspend(p.call[0], p.coop[0].id, id, WHY, &g));
}

static void it_ends_on_its_last_day_unless_it_is_renewed(void **state)
{
	struct pair p;
	(void)state;
	pair_make(&p);
	struct sha256 digest = agreed(&p, "{\"ends\":\"2026-06-01T00:00:00Z\"}");
	until(see(&p, 0, digest).terms.ends);
	assert_int_equal(state_of(&p, 0, digest), AGREEMENT_ENDED);
	assert_int_equal(state_of(&p, 1, digest), AGREEMENT_ENDED);
}

static void a_renewal_takes_the_place_of_the_one_in_effect(void **state)
{
	struct pair p;
	struct agreement g;
	(void)state;
	pair_make(&p);
	struct sha256 first = agreed(&p, "{\"ends\":\"2026-06-01T00:00:00Z\"}");
	struct uuid id = see(&p, 0, first).id;
	struct sha256 second = proposed(&p, 1, "{\"k\":4}", id); /* the other side renews it */
	assert_int_equal(state_of(&p, 0, second), AGREEMENT_PROPOSED);
	assert_int_equal(state_of(&p, 0, first), AGREEMENT_IN_EFFECT);
	assert_err(p.call[0], ERR_STATE, agreement_draft(p.call[0], p.coop[0].id, p.peer[0], people_json(p.call[0], "{}"), id, STR_NONE, &g));
	decide(&p, second, "for", "for");
	for (int who = 0; who < 2; who++) {
		assert_int_equal(state_of(&p, who, first), AGREEMENT_RENEWED);
		g = see(&p, who, second);
		assert_int_equal(g.state, AGREEMENT_IN_EFFECT);
		assert_true(uuid_eq(g.id, id) && g.current && g.terms.revision == 2 && sha256_eq(g.terms.replaces, first));
		assert_int_equal(source_of(&p, who, id).k, 4);
		assert_ok(p.call[who], agreement_read_current(p.call[who], p.coop[who].id, id, &g));
		assert_int_equal(g.terms.revision, 2);
	}
	assert_int_equal(count_of("job WHERE kind = 'merge.ended'"), 0);
	until(see(&p, 0, first).terms.ends);
	assert_int_equal(state_of(&p, 0, second), AGREEMENT_IN_EFFECT);
}

/* Adopts the charter with one member put in its place, as a passed ballot would. */
static void amend(struct pair *p, int who, const char *replace)
{
	struct call *c = p->system;
	struct charter now;
	struct buf b;
	struct json_writer w;
	struct str document;
	int version;
	const struct json *over = people_json(c, replace);
	assert_ok(c, charter_view(c, p->coop[who].id, 0, &now));
	buf_init(&b, LIMIT_BODY_CHARTER);
	jw_init(&w, &b);
	jw_object(&w);
	json_each(member, now.json) {
		if (json_get_str(over, member->key))
			continue;
		jw_key_str(&w, member->key);
		jw_json(&w, member);
	}
	json_each(member, over) {
		jw_key_str(&w, member->key);
		jw_json(&w, member);
	}
	jw_end_object(&w);
	struct str text = buf_take(c->arena, &b);
	assert_ok(c, charter_check(c->arena, people_json(c, str_z(c->arena, text)), &document, &c->error));
	assert_ok(c, db_begin_in(c, p->coop[who].id, DB_WRITE));
	assert_ok(c, charter_adopt(c, p->coop[who].id, document, uuid_new(), (struct uuid){ { 0 } }, &version));
	assert_ok(c, db_commit(c));
	run();
}

static void a_charter_that_becomes_stricter_suspends_it(void **state)
{
	struct pair p;
	struct agreement g;
	(void)state;
	pair_make(&p);
	struct sha256 digest = agreed(&p, "{}");
	amend(&p, 0, "{\"bylaws\":\"Be kind.\"}");
	assert_int_equal(state_of(&p, 0, digest), AGREEMENT_IN_EFFECT);
	amend(&p, 0, "{\"embargo\":\"P5D\"}");
	g = see(&p, 0, digest);
	assert_int_equal(g.state, AGREEMENT_SUSPENDED);
	assert_true(g.suspended_by_charter);
	assert_true(memmem(g.note.p, g.note.n, "5 days", 6) != NULL);
	assert_int_equal(state_of(&p, 1, digest), AGREEMENT_SUSPENDED);
	assert_err(p.call[0], ERR_INVALID, agreement_resume(p.call[0], p.coop[0].id, g.id, &g));
	assert_str(people_fault(p.call[0]), "/embargo");
	amend(&p, 0, "{\"embargo\":\"P0D\"}");
	assert_int_equal(state_of(&p, 0, digest), AGREEMENT_IN_EFFECT);
	assert_int_equal(state_of(&p, 1, digest), AGREEMENT_IN_EFFECT);
}

static void a_suspended_one_is_renewed_under_the_new_charter(void **state)
{
	struct pair p;
	(void)state;
	pair_make(&p);
	struct sha256 digest = agreed(&p, "{}");
	struct uuid id = see(&p, 0, digest).id;
	amend(&p, 1, "{\"embargo\":\"P5D\"}");
	assert_int_equal(state_of(&p, 0, digest), AGREEMENT_SUSPENDED);
	struct sha256 second = proposed(&p, 1, "{}", id);
	decide(&p, second, "for", "for");
	assert_int_equal(state_of(&p, 0, second), AGREEMENT_IN_EFFECT);
	assert_int_equal(see(&p, 0, second).terms.embargo, 5 * DAY);
	assert_int_equal(state_of(&p, 0, digest), AGREEMENT_RENEWED);
}

static void nobody_signs_what_their_charter_no_longer_allows(void **state)
{
	struct pair p;
	(void)state;
	pair_make(&p);
	struct sha256 digest = proposed(&p, 0, "{}", (struct uuid){ { 0 } });
	open_ballot(&p, 0, digest);
	open_ballot(&p, 1, digest);
	until(START + 7 * DAY);
	vote(&p, 0, digest, "for");
	vote(&p, 1, digest, "for");
	amend(&p, 1, "{\"embargo\":\"P5D\"}");
	until(START + 14 * DAY);
	assert_int_equal(state_of(&p, 1, digest), AGREEMENT_REJECTED);
	assert_int_equal(state_of(&p, 0, digest), AGREEMENT_REJECTED);
	assert_null(see(&p, 1, digest).assent_ours.p);
}

static void a_partner_whose_keys_are_in_question_is_suspended(void **state)
{
	struct pair p;
	struct peer peer;
	(void)state;
	pair_make(&p);
	struct sha256 digest = agreed(&p, "{}");
	assert_ok(p.call[0], peer_refuse(p.call[0], p.coop[0].id, p.peer[0], &peer));
	assert_ok(p.system, agreement_step(p.system, p.coop[0].id));
	assert_int_equal(state_of(&p, 0, digest), AGREEMENT_SUSPENDED);
}

/* ---- What is refused ---- */

/* A message as the second co-op would send it to the first, signed with `key`. */
struct letter { const char *type; struct str body; struct str from, to; instant at; const struct sign_key *key; };

static struct str letter_write(struct pair *p, const struct letter *l)
{
	struct call *c = p->system;
	struct str id = uuid_format(c->arena, uuid_new()), at = clock_format(c->arena, l->at), from = l->from.p ? l->from : p->coop[1].key_name, to = l->to.p ? l->to : p->coop[0].key_name;
	struct str payload = str_fmt(c->arena, "{\"at\":\"%.*s\",\"body\":%.*s,\"from\":\"%.*s\",\"id\":\"%.*s\",\"to\":\"%.*s\",\"type\":\"%s\",\"v\":1}", STR_ARG(at), STR_ARG(l->body), STR_ARG(from),
		STR_ARG(id), STR_ARG(to), l->type);
	return dsse_sign(c->arena, l->key, 1, STR(MESSAGE_TYPE), payload);
}

static struct sign_key key_of(struct pair *p, int who)
{
	struct sign_key key;
	assert_ok(p->system, db_begin_in(p->system, p->coop[who].id, DB_READ));
	assert_ok(p->system, ledger_key(p->system, p->coop[who].id, &key));
	assert_ok(p->system, db_commit(p->system));
	return key;
}

/* Must be refused for that reason, be seen by admins, and leave everything else as it was. */
static void refused(struct pair *p, const struct letter *l, const char *reason)
{
	bool again;
	struct refusal *list;
	struct str next;
	size_t n;
	int64_t before = count_of("message_in"), revisions = count_of("agreement_revision"), leaves = count_of("log_leaf"), events = count_of("agreement_event");
	enum err e = message_take(p->system, p->coop[0].id, letter_write(p, l), &again);
	if (e == ERR_OK)
		fail_msg("%s was taken, where %s should have been said", l->type, reason);
	if (strcmp(p->system->error.reason, reason) != 0)
		fail_msg("%s: refused for %s (%s) and not for %s", l->type, p->system->error.reason, p->system->error.message, reason);
	assert_int_equal(count_of("message_in"), before);
	assert_int_equal(count_of("agreement_revision"), revisions);
	assert_int_equal(count_of("agreement_event"), events);
	assert_int_equal(count_of("log_leaf"), leaves);
	assert_ok(p->call[0], merge_refusals(p->call[0], p->coop[0].id, STR_NONE, 50, &list, &n, &next));
	bool seen = false;
	for (size_t i = 0; i < n; i++)
		seen |= str_is(list[i].code, reason);
	assert_true(seen);
	error_clear(&p->system->error);
}

static void strangers_forgers_and_replays_are_refused_and_seen(void **state)
{
	struct pair p;
	struct sign_key stranger;
	struct peer peer;
	(void)state;
	pair_make(&p);
	struct sign_key real = key_of(&p, 1);
	sign_key_new(&stranger);
	struct str strange = coop_key_name(p.system->arena, stranger.public_key);
	struct letter l = { "agreement.ended", STR("{\"agreement\":\"00\"}"), STR_NONE, STR_NONE, START, &real };
	refused(&p, &l, "no_agreement");
	l.key = &stranger;
	refused(&p, &l, "bad_signature");
	l.from = strange;
	refused(&p, &l, "stranger");
	l = (struct letter){ "agreement.ended", STR("{}"), STR_NONE, strange, START, &real };
	refused(&p, &l, "not_for_us");
	l = (struct letter){ "agreement.ended", STR("{}"), STR_NONE, STR_NONE, START + CLOCK_HOUR, &real };
	refused(&p, &l, "from_the_future");
	l.at = START - MESSAGE_LIFE - CLOCK_HOUR;
	refused(&p, &l, "too_old");
	l = (struct letter){ "agreement.adopted", STR("{}"), STR_NONE, STR_NONE, START, &real };
	refused(&p, &l, "unknown_type");
	l = (struct letter){ "agreement.ended", STR("[]"), STR_NONE, STR_NONE, START, &real };
	refused(&p, &l, "no_message");
	assert_ok(p.call[0], peer_refuse(p.call[0], p.coop[0].id, p.peer[0], &peer));
	l = (struct letter){ "agreement.ended", STR("{}"), STR_NONE, STR_NONE, START, &real };
	refused(&p, &l, "peer_unconfirmed");
	assert_true(count_of("notice WHERE kind = 'merge.refused'") >= 8);
}

static void the_same_refusal_counts_up_and_tells_once_a_day(void **state)
{
	struct pair p;
	(void)state;
	pair_make(&p);
	struct sign_key real = key_of(&p, 1);
	struct letter l = { "agreement.ended", STR("{}"), STR_NONE, STR_NONE, START, &real };
	for (int i = 0; i < 5; i++)
		refused(&p, &l, "no_agreement");
	assert_int_equal(count_of("refusal"), 1);
	assert_int_equal(fixture_int("SELECT times FROM refusal"), 5);
	assert_int_equal(count_of("notice WHERE kind = 'merge.refused'"), 1);
	clock_set(START + DAY);
	l.at = START + DAY;
	refused(&p, &l, "no_agreement");
	assert_int_equal(count_of("refusal"), 2);
}

static void a_message_is_taken_once_however_often_it_comes(void **state)
{
	struct pair p;
	bool again;
	(void)state;
	pair_make(&p);
	struct sha256 digest = agreed(&p, "{}");
	struct sign_key real = key_of(&p, 1);
	struct str hex = sha256_hex(p.system->arena, digest);
	struct letter l = { "agreement.suspended", str_fmt(p.system->arena, "{\"agreement\":\"%.*s\",\"by\":\"admin\"}", STR_ARG(hex)), STR_NONE, STR_NONE, clock_now(), &real };
	struct str suspended = letter_write(&p, &l);
	l.type = "agreement.resumed";
	struct str resumed = letter_write(&p, &l);
	assert_ok(p.system, message_take(p.system, p.coop[0].id, suspended, &again));
	assert_false(again);
	assert_int_equal(state_of(&p, 0, digest), AGREEMENT_SUSPENDED);
	assert_ok(p.system, message_take(p.system, p.coop[0].id, resumed, &again));
	assert_int_equal(state_of(&p, 0, digest), AGREEMENT_IN_EFFECT);
	assert_ok(p.system, message_take(p.system, p.coop[0].id, suspended, &again)); /* a replay */
	assert_true(again);
	assert_int_equal(state_of(&p, 0, digest), AGREEMENT_IN_EFFECT);
}

static struct str replaced(struct call *c, struct str text, const char *from, const char *to)
{
	const char *at = memmem(text.p, text.n, from, strlen(from));
	if (!at)
		fail_msg("%s is not in it", from);
	size_t head = (size_t)(at - text.p);
	return str_fmt(c->arena, "%.*s%s%.*s", (int)head, text.p, to, (int)(text.n - head - strlen(from)), at + strlen(from));
}

/* A proposal of the second to the first, with the digest that its document has. */
static struct str proposal(struct pair *p, struct str document, struct str charter)
{
	struct call *c = p->system;
	return str_fmt(c->arena, "{\"agreement\":%.*s,\"charter\":%.*s,\"sha256\":\"%.*s\"}", STR_ARG(document), STR_ARG(charter), STR_ARG(sha256_hex(c->arena, sha256(document))));
}

static void proposals_that_are_tampered_with_or_looser_are_refused(void **state)
{
	struct pair p;
	struct charter theirs;
	(void)state;
	pair_make_with(&p, PEOPLE_OPEN ",\"embargo\":\"P3D\"", PEOPLE_OPEN);
	struct call *c = p.system;
	struct agreement g = drafted(&p, 1, "{}", (struct uuid){ { 0 } });
	assert_ok(c, charter_view(c, p.coop[1].id, 0, &theirs));
	struct sign_key real = key_of(&p, 1);
	struct str document = g.terms.document, hex = sha256_hex(c->arena, g.terms.digest);
	struct letter l = { "agreement.proposed", STR("{}"), STR_NONE, STR_NONE, START, &real };
	refused(&p, &l, "no_agreement");
	l.body = str_fmt(c->arena, "{\"agreement\":%.*s,\"charter\":%.*s,\"sha256\":\"%.*s\"}", STR_ARG(replaced(c, document, "\"near_loss\":20", "\"near_loss\":21")), STR_ARG(theirs.document), STR_ARG(hex));
	refused(&p, &l, "digest");
	l.body = proposal(&p, replaced(c, document, "\"embargo\":\"P3D\"", "\"embargo\":\"P0D\""), theirs.document);
	refused(&p, &l, "looser");
	l.body = proposal(&p, document, replaced(c, theirs.document, "\"embargo\":\"P0D\"", "\"embargo\":\"P1D\""));
	refused(&p, &l, "charter_digest");
	l.body = proposal(&p, replaced(c, document, str_z(c->arena, sha256_hex(c->arena, g.terms.charters[!g.us])), str_z(c->arena, hex)), theirs.document);
	refused(&p, &l, "charter_changed");
	l.body = proposal(&p, replaced(c, replaced(c, document, "\"replaces\":null", str_fmt(c->arena, "\"replaces\":\"%.*s\"", STR_ARG(hex)).p), "\"revision\":1", "\"revision\":2"), theirs.document);
	l.type = "agreement.renewal";
	refused(&p, &l, "unknown_agreement");
	/* Between others: one of the names is somebody else's. */
	char other[17] = "aaaaaaaaaaaaaaaa";
	struct agreement_terms t;
	struct str between = document;
	for (int i = 0; i < 2; i++) { /* its name stands in `flow` and in `parties`, and the order must hold */
		other[0] = g.us == 0 ? 'z' : 'a';
		between = replaced(c, between, str_z(c->arena, p.coop[0].key_name), other);
	}
	l.type = "agreement.proposed";
	l.body = proposal(&p, between, theirs.document);
	if (agreement_terms_parse(c->arena, between, &t, &c->error) == ERR_OK)
		refused(&p, &l, "other_parties");
	error_clear(&c->error);
	l.body = proposal(&p, document, theirs.document);
	bool again;
	assert_ok(c, message_take(c, p.coop[0].id, letter_write(&p, &l), &again)); /* as it was, it is taken */
	assert_int_equal(state_of(&p, 0, g.terms.digest), AGREEMENT_PROPOSED);
}

/* An assent as the second would sign it, changed in one thing. */
static struct str assent_by(struct pair *p, const struct agreement *g, const struct sign_key *key, const char *from, const char *to)
{
	struct call *c = p->system;
	const struct json *envelope;
	struct str payload;
	assert_ok(c, json_parse(c->arena, g->assent_theirs, &envelope, &c->error));
	assert_true(str_unbase64(c->arena, json_member_text(envelope, "payload"), &payload));
	if (from)
		payload = replaced(c, payload, from, to);
	struct str hex = sha256_hex(c->arena, g->terms.digest), text = dsse_sign(c->arena, key, 1, STR(ASSENT_TYPE), payload);
	return str_fmt(c->arena, "{\"agreement\":\"%.*s\",\"assent\":%.*s}", STR_ARG(hex), STR_ARG(text));
}

static void only_the_partners_own_assent_to_exactly_this_counts(void **state)
{
	struct pair p;
	struct sign_key stranger;
	(void)state;
	pair_make(&p);
	struct sha256 digest = agreed(&p, "{}");
	struct agreement g = see(&p, 0, digest);
	struct call *c = p.system;
	struct sign_key real = key_of(&p, 1), own = key_of(&p, 0);
	struct str hex = sha256_hex(c->arena, digest), other = sha256_hex(c->arena, sha256(STR("other")));
	sign_key_new(&stranger);
	fixture_sql("UPDATE agreement_revision SET state = 'signed', assent_theirs = NULL, effect_at = NULL WHERE coop_id = (SELECT id FROM coop WHERE slug = 'alpha')");
	struct letter l = { "agreement.assent", assent_by(&p, &g, &stranger, NULL, NULL), STR_NONE, STR_NONE, clock_now(), &real };
	refused(&p, &l, "assent");
	l.body = assent_by(&p, &g, &own, NULL, NULL);
	refused(&p, &l, "assent");
	l.body = assent_by(&p, &g, &real, str_z(c->arena, hex), str_z(c->arena, other));
	refused(&p, &l, "assent");
	l.body = assent_by(&p, &g, &real, str_fmt(c->arena, "\"coop\":\"%.*s\"", STR_ARG(p.coop[1].key_name)).p, str_fmt(c->arena, "\"coop\":\"%.*s\"", STR_ARG(p.coop[0].key_name)).p);
	refused(&p, &l, "assent");
	l.body = assent_by(&p, &g, &real, "\"at\":\"2026", "\"at\":\"2027");
	refused(&p, &l, "assent");
	l.body = assent_by(&p, &g, &real, "\"checkpoint\":\"test.example", "\"checkpoint\":\"evil.example");
	refused(&p, &l, "assent");
	l.body = str_fmt(c->arena, "{\"agreement\":\"%.*s\"}", STR_ARG(hex));
	refused(&p, &l, "assent");
	l.body = str_fmt(c->arena, "{\"agreement\":\"%.*s\",\"assent\":{}}", STR_ARG(other));
	refused(&p, &l, "unknown_agreement");
	assert_int_equal(state_of(&p, 0, digest), AGREEMENT_SIGNED);
	bool again;
	l.body = assent_by(&p, &g, &real, NULL, NULL);
	assert_ok(c, message_take(c, p.coop[0].id, letter_write(&p, &l), &again));
	assert_int_equal(state_of(&p, 0, digest), AGREEMENT_IN_EFFECT);
}

static void a_partner_cannot_lift_our_suspension_or_put_off_the_end(void **state)
{
	struct pair p;
	struct agreement g;
	bool again;
	(void)state;
	pair_make(&p);
	struct sha256 digest = agreed(&p, "{}");
	struct call *c = p.system;
	struct sign_key real = key_of(&p, 1);
	struct str hex = sha256_hex(c->arena, digest);
	g = see(&p, 0, digest);
	instant ends = g.ends_at;
	assert_ok(p.call[0], agreement_suspend(p.call[0], p.coop[0].id, g.id, WHY, &g));
	struct letter l = { "agreement.resumed", str_fmt(c->arena, "{\"agreement\":\"%.*s\"}", STR_ARG(hex)), STR_NONE, STR_NONE, clock_now(), &real };
	assert_ok(c, message_take(c, p.coop[0].id, letter_write(&p, &l), &again));
	assert_int_equal(state_of(&p, 0, digest), AGREEMENT_SUSPENDED);
	l.type = "agreement.ended";
	l.body = str_fmt(c->arena, "{\"agreement\":\"%.*s\",\"ends_at\":\"2036-01-01T00:00:00Z\",\"how\":\"notice\"}", STR_ARG(hex));
	assert_ok(c, message_take(c, p.coop[0].id, letter_write(&p, &l), &again));
	assert_int_equal(see(&p, 0, digest).ends_at, ends);
}

/* ---- Carrying ---- */

static void messages_go_as_a_file_too(void **state)
{
	struct pair p;
	struct agreement g;
	struct message_import done;
	struct str lines;
	(void)state;
	pair_make(&p);
	g = drafted(&p, 0, "{}", (struct uuid){ { 0 } });
	assert_ok(p.call[0], agreement_propose(p.call[0], p.coop[0].id, g.terms.digest, &g));
	assert_ok(p.call[0], message_export(p.call[0], p.coop[0].id, (struct uuid){ { 0 } }, &lines));
	assert_ok(p.call[1], message_import(p.call[1], p.coop[1].id, lines, &done));
	assert_int_equal(done.taken, 1);
	assert_int_equal(state_of(&p, 1, g.terms.digest), AGREEMENT_PROPOSED);
	assert_ok(p.call[1], message_import(p.call[1], p.coop[1].id, str_fmt(p.call[1]->arena, "%.*snonsense\n\n", STR_ARG(lines)), &done));
	assert_int_equal(done.again, 1);
	assert_int_equal(done.refused, 1);
	run(); /* and straight again: nothing happens twice */
	assert_int_equal(count_of("message_in"), 1);
	assert_int_equal(count_of("message_out WHERE state = 'delivered'"), 1);
}

static void what_is_not_taken_yet_is_tried_again_in_its_order(void **state)
{
	struct pair p;
	struct agreement g;
	struct peer peer;
	(void)state;
	pair_make(&p);
	assert_ok(p.call[1], peer_refuse(p.call[1], p.coop[1].id, p.peer[1], &peer));
	struct sha256 digest = proposed(&p, 0, "{}", (struct uuid){ { 0 } });
	assert_ok(p.call[0], agreement_withdraw(p.call[0], p.coop[0].id, digest, WHY, &g));
	run();
	assert_int_equal(count_of("message_out WHERE state = 'waiting'"), 2);
	assert_int_equal(count_of("message_out WHERE attempts > 0"), 1);
	assert_ok(p.call[1], peer_confirm(p.call[1], p.coop[1].id, p.peer[1], peer.fingerprint, &peer));
	until(START + DAY);
	assert_int_equal(count_of("message_out WHERE state = 'delivered'"), 2);
	assert_int_equal(state_of(&p, 1, digest), AGREEMENT_WITHDRAWN);
}

static void what_is_refused_for_good_is_told_to_the_admins_who_sent_it(void **state)
{
	struct pair p;
	struct message_row *rows;
	struct str next;
	size_t n;
	(void)state;
	pair_make(&p);
	struct call *c = p.system;
	assert_ok(c, db_begin_in(c, p.coop[0].id, DB_WRITE));
	assert_ok(c, message_send(c, p.coop[0].id, p.peer[0], "agreement.ended", STR_NONE, STR("{\"agreement\":\"00\"}")));
	assert_ok(c, message_send(c, p.coop[0].id, p.peer[0], "bundle.ready", STR("one"), STR("{\"n\":1}")));
	assert_ok(c, message_send(c, p.coop[0].id, p.peer[0], "bundle.ready", STR("one"), STR("{\"n\":2}")));
	assert_ok(c, db_commit(c));
	assert_int_equal(count_of("message_out WHERE state = 'dropped'"), 1);
	run();
	assert_int_equal(count_of("message_out WHERE state = 'dead'"), 2);
	assert_int_equal(count_of("notice WHERE kind = 'merge.undelivered'"), 2);
	assert_ok(p.call[0], message_list(p.call[0], p.coop[0].id, STR_NONE, 50, &rows, &n, &next));
	assert_int_equal(n, 3);
	bool told = false;
	for (size_t i = 0; i < n; i++)
		told |= str_is(rows[i].state, "dead") && rows[i].error.n > 0 && rows[i].out;
	assert_true(told);
}

static void the_ballots_page_shows_the_terms(void **state)
{
	struct pair p;
	struct ballot b;
	struct buf out;
	struct json_writer w;
	(void)state;
	pair_make(&p);
	struct sha256 digest = proposed(&p, 0, "{\"k\":7}", (struct uuid){ { 0 } });
	open_ballot(&p, 0, digest);
	struct call *c = p.call[0];
	assert_ok(c, ballot_read(c, p.coop[0].id, see(&p, 0, digest).ballot, &b));
	assert_true(sha256_eq(b.digest, digest));
	assert_str(b.kind, "merge");
	buf_init(&out, LIMIT_BODY_SMALL);
	jw_init(&w, &out);
	jw_object(&w);
	assert_ok(c, agreement_on_ballot(c, &b, &w));
	jw_end_object(&w);
	struct str text = buf_take(c->arena, &out);
	assert_non_null(memmem(text.p, text.n, "at least 7 people", 17));
	assert_non_null(memmem(text.p, text.n, "beta", 4));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_table_of_states_is_whole), cmocka_unit_test(the_documentation_has_every_edge), fixture_test(nothing_moves_but_along_the_table), fixture_test(an_agreement_is_in_effect_when_both_have_voted_and_signed),
		fixture_test(it_waits_for_its_first_day), fixture_test(one_no_is_enough), fixture_test(a_partner_that_is_not_confirmed_gets_no_draft), fixture_test(only_admins_act),
		fixture_test(whoever_proposed_takes_back_and_the_other_declines), fixture_test(what_is_not_signed_in_time_expires), fixture_test(either_suspends_at_once_and_only_they_lift_it),
		fixture_test(a_notice_ends_it_for_both_on_the_same_day), fixture_test(it_ends_on_its_last_day_unless_it_is_renewed), fixture_test(a_renewal_takes_the_place_of_the_one_in_effect),
		fixture_test(a_charter_that_becomes_stricter_suspends_it), fixture_test(a_suspended_one_is_renewed_under_the_new_charter),
		fixture_test(nobody_signs_what_their_charter_no_longer_allows), fixture_test(a_partner_whose_keys_are_in_question_is_suspended),
		fixture_test(strangers_forgers_and_replays_are_refused_and_seen), fixture_test(the_same_refusal_counts_up_and_tells_once_a_day),
		fixture_test(a_message_is_taken_once_however_often_it_comes), fixture_test(proposals_that_are_tampered_with_or_looser_are_refused),
		fixture_test(only_the_partners_own_assent_to_exactly_this_counts), fixture_test(a_partner_cannot_lift_our_suspension_or_put_off_the_end), fixture_test(messages_go_as_a_file_too),
		fixture_test(what_is_not_taken_yet_is_tried_again_in_its_order), fixture_test(what_is_refused_for_good_is_told_to_the_admins_who_sent_it), fixture_test(the_ballots_page_shows_the_terms),
	};
	return fixture_run(tests, CH_LEN(tests));
}
