/* Agreements between two co-ops of one instance: nothing is in effect but what both have voted on and signed. What is refused is in test_message.c. */
#include "pair.h"

#include "commonhold/preview.h"
#include "commonhold/file.h"
#include "server/merge/agreement/agreement_internal.h"

#define DAY CLOCK_DAY
#define WHY STR("because we said so")

/* ---- The table ---- */

static void the_table_of_states_is_whole(void **state)
{
	(void)state;
	struct error e = { 0 };
	assert_int_equal(lifecycle_check(&agreement_life, &e), ERR_OK);
	for (size_t i = 0; i < agreement_life.n_edges; i++)
		assert_true(strlen(agreement_life.edges[i].sentence) > 5 && strlen(agreement_life.edges[i].guard) > 3);
}

static void the_documentation_has_every_edge(void **state)
{
	(void)state;
	struct error e = { 0 };
	struct str text;
	struct arena *a = arena_new(1 * MIB);
	if (file_read(a, "docs/agreements.md", "docs/agreements.md", 256 * KIB, &text, &e) != ERR_OK)
		fail_msg("%s", e.message);
	for (size_t i = 0; i < agreement_life.n_edges; i++) {
		const struct lifecycle_edge *edge = &agreement_life.edges[i];
		const char *from = edge->from == LIFECYCLE_BEGINNING ? "–" : lifecycle_word(&agreement_life, edge->from);
		struct str row = str_fmt(a, "| %s | %s | %s | %s |\n", from, lifecycle_word(&agreement_life, edge->to), edge->guard, edge->sentence);
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
	struct sha256 digest = pair_agreed(&p, "{}");
	struct call *c = p.system;
	for (int from = 0; from < AGREEMENT_STATE_COUNT; from++)
		for (int to = 0; to < AGREEMENT_STATE_COUNT; to++) {
			char sql[300];
			snprintf(sql, sizeof sql, "UPDATE agreement_revision SET suspended_here = true, state = '%s' WHERE coop_id = (SELECT id FROM coop WHERE slug = 'alpha')", agreement_state_name((enum agreement_state)from));
			fixture_sql(sql);
			assert_ok(c, db_begin_in(c, p.coop[0].id, DB_WRITE));
			assert_ok(c, agreement_by_digest(c, p.coop[0].id, digest, &g));
			enum err e = agreement_move(c, &g, (enum agreement_state)to, "admin", STR_NONE);
			if (lifecycle_edge(&agreement_life, from, to))
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
	struct agreement g = pair_drafted(&p, 0, "{\"k\":2,\"flow\":\"both\"}", (struct uuid){ { 0 } });
	struct sha256 digest = g.terms.digest;
	assert_int_equal(g.state, AGREEMENT_DRAFTED);
	assert_int_equal(pair_count("agreement_revision"), 1);
	assert_ok(p.call[0], agreement_propose(p.call[0], p.coop[0].id, digest, &g));
	pair_run();
	struct agreement there = pair_see(&p, 1, digest);
	assert_int_equal(there.state, AGREEMENT_PROPOSED);
	assert_false(there.proposed_here);
	assert_true(str_eq(there.terms.document, g.terms.document));
	assert_true(str_eq(there.partner, p.coop[0].key_name));
	pair_open_ballot(&p, 0, digest);
	pair_open_ballot(&p, 1, digest);
	pair_until(PAIR_START + 7 * DAY);
	pair_vote(&p, 0, digest, "for");
	pair_until(PAIR_START + 13 * DAY);
	assert_int_equal(pair_state(&p, 0, digest), AGREEMENT_VOTING);
	pair_vote(&p, 1, digest, "for");
	pair_until(PAIR_START + 14 * DAY);
	for (int who = 0; who < 2; who++) {
		g = pair_see(&p, who, digest);
		assert_int_equal(g.state, AGREEMENT_IN_EFFECT);
		assert_true(g.current && g.assent_ours.p && g.assent_theirs.p && agreement_flows(&g) && g.we_send && g.we_receive);
		struct guest_source s = pair_source(&p, who, g.id);
		assert_int_equal(s.state, GUEST_SOURCE_IN_EFFECT);
		assert_int_equal(s.k, 2);
		assert_true(str_eq(s.home, p.coop[!who].key_name));
		assert_ok(p.system, db_begin_in(p.system, p.coop[who].id, DB_READ));
		assert_ok(p.system, agreement_key(p.system, p.coop[who].id, g.id, key[who]));
		assert_ok(p.system, db_commit(p.system));
	}
	assert_memory_equal(key[0], key[1], 32);
	assert_int_equal(pair_count("log_leaf WHERE type = 'agreement.in_effect'"), 2);
	assert_int_equal(pair_count("log_leaf WHERE type = 'agreement.signed'"), 2);
	assert_int_equal(pair_count("message_out WHERE state <> 'delivered'"), 0);
	assert_int_equal(pair_count("refusal"), 0);
	assert_int_equal(pair_count("notice WHERE kind = 'agreement.in_effect'"), 2);
	assert_int_equal(pair_count("job WHERE kind = 'merge.export'"), 2);
}

static void it_waits_for_its_first_day(void **state)
{
	struct pair p;
	(void)state;
	pair_make(&p);
	struct sha256 digest = pair_proposed(&p, 0, "{\"starts\":\"2026-03-01T00:00:00Z\"}", (struct uuid){ { 0 } });
	pair_decide(&p, digest, "for", "for");
	assert_int_equal(pair_state(&p, 0, digest), AGREEMENT_SIGNED);
	assert_int_equal(pair_state(&p, 1, digest), AGREEMENT_SIGNED);
	pair_until(pair_see(&p, 0, digest).terms.starts);
	assert_int_equal(pair_state(&p, 0, digest), AGREEMENT_IN_EFFECT);
	assert_int_equal(pair_state(&p, 1, digest), AGREEMENT_IN_EFFECT);
}

static void one_no_is_enough(void **state)
{
	struct pair p;
	(void)state;
	pair_make(&p);
	struct sha256 digest = pair_proposed(&p, 0, "{}", (struct uuid){ { 0 } });
	pair_decide(&p, digest, "for", "against");
	assert_int_equal(pair_state(&p, 0, digest), AGREEMENT_REJECTED);
	assert_int_equal(pair_state(&p, 1, digest), AGREEMENT_REJECTED);
	assert_int_equal(pair_count("guest_source"), 0);
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
	struct sha256 digest = pair_drafted(&p, 0, "{}", (struct uuid){ { 0 } }).terms.digest;
	assert_err(cy, ERR_FORBIDDEN, agreement_propose(cy, p.coop[0].id, digest, &g));
	assert_err(cy, ERR_FORBIDDEN, agreement_open_ballot(cy, p.coop[0].id, digest, STR_NONE, &g));
	assert_err(cy, ERR_FORBIDDEN, agreement_withdraw(cy, p.coop[0].id, digest, WHY, &g));
	assert_err(p.call[0], ERR_STATE, agreement_open_ballot(p.call[0], p.coop[0].id, digest, STR_NONE, &g));
	assert_err(p.call[1], ERR_NOT_FOUND, agreement_read(p.call[1], p.coop[1].id, digest, &g));
}

/* ---- Taking back ---- */

static void whoever_proposed_takes_back_and_the_other_declines(void **state)
{
	struct pair p;
	struct agreement g;
	(void)state;
	pair_make(&p);
	struct sha256 one = pair_proposed(&p, 0, "{\"k\":2}", (struct uuid){ { 0 } });
	pair_open_ballot(&p, 1, one);
	assert_ok(p.call[0], agreement_withdraw(p.call[0], p.coop[0].id, one, WHY, &g));
	pair_run();
	assert_int_equal(pair_state(&p, 0, one), AGREEMENT_WITHDRAWN);
	assert_int_equal(pair_state(&p, 1, one), AGREEMENT_WITHDRAWN);
	assert_int_equal(pair_count("ballot WHERE state = 'cancelled'"), 1);
	struct sha256 two = pair_proposed(&p, 0, "{\"k\":3}", (struct uuid){ { 0 } });
	assert_ok(p.call[1], agreement_withdraw(p.call[1], p.coop[1].id, two, WHY, &g));
	pair_run();
	assert_int_equal(pair_state(&p, 0, two), AGREEMENT_REJECTED);
	assert_int_equal(pair_state(&p, 1, two), AGREEMENT_REJECTED);
	struct sha256 three = pair_drafted(&p, 0, "{\"k\":4}", (struct uuid){ { 0 } }).terms.digest;
	assert_ok(p.call[0], agreement_withdraw(p.call[0], p.coop[0].id, three, WHY, &g));
	pair_run();
	assert_err(p.call[1], ERR_NOT_FOUND, agreement_read(p.call[1], p.coop[1].id, three, &g));
}

static void what_is_not_signed_in_time_expires(void **state)
{
	struct pair p;
	(void)state;
	pair_make(&p);
	struct sha256 digest = pair_proposed(&p, 0, "{}", (struct uuid){ { 0 } });
	pair_open_ballot(&p, 0, digest);
	pair_until(PAIR_START + 7 * DAY);
	pair_vote(&p, 0, digest, "for");
	pair_until(PAIR_START + 14 * DAY);
	assert_int_equal(pair_state(&p, 0, digest), AGREEMENT_SIGNED);
	assert_int_equal(pair_state(&p, 1, digest), AGREEMENT_PROPOSED);
	pair_until(PAIR_START + SIGN_WITHIN);
	assert_int_equal(pair_state(&p, 0, digest), AGREEMENT_EXPIRED);
	assert_int_equal(pair_state(&p, 1, digest), AGREEMENT_EXPIRED);
}

/* ---- In effect ---- */

static void either_suspends_at_once_and_only_they_lift_it(void **state)
{
	struct pair p;
	struct agreement g;
	(void)state;
	pair_make(&p);
	struct sha256 digest = pair_agreed(&p, "{}");
	struct uuid id = pair_see(&p, 0, digest).id;
	assert_ok(p.call[0], agreement_suspend(p.call[0], p.coop[0].id, id, WHY, &g));
	assert_int_equal(g.state, AGREEMENT_SUSPENDED);
	assert_false(agreement_flows(&g));
	pair_run();
	g = pair_see(&p, 1, digest);
	assert_int_equal(g.state, AGREEMENT_SUSPENDED);
	assert_true(g.suspended_there && !g.suspended_here);
	/* their members read why, in the words of who did it */
	const struct str why = WHY;
	assert_int_equal(fixture_int(str_z(p.call[1]->arena, str_fmt(p.call[1]->arena, "SELECT count(*) FROM agreement_event WHERE state = 'suspended' AND by = 'partner' AND note LIKE '%%says why: %.*s'", STR_ARG(why)))), 1);
	assert_int_equal(pair_source(&p, 1, id).state, GUEST_SOURCE_SUSPENDED);
	assert_err(p.call[1], ERR_STATE, agreement_resume(p.call[1], p.coop[1].id, id, &g));
	assert_ok(p.call[1], agreement_suspend(p.call[1], p.coop[1].id, id, WHY, &g));
	pair_run();
	assert_ok(p.call[0], agreement_resume(p.call[0], p.coop[0].id, id, &g));
	pair_run();
	assert_int_equal(pair_state(&p, 0, digest), AGREEMENT_SUSPENDED);
	assert_int_equal(pair_state(&p, 1, digest), AGREEMENT_SUSPENDED);
	assert_ok(p.call[1], agreement_resume(p.call[1], p.coop[1].id, id, &g));
	pair_run();
	for (int who = 0; who < 2; who++) {
		assert_int_equal(pair_state(&p, who, digest), AGREEMENT_IN_EFFECT);
		assert_int_equal(pair_source(&p, who, id).state, GUEST_SOURCE_IN_EFFECT);
	}
}

static void a_notice_ends_it_for_both_on_the_same_day(void **state)
{
	struct pair p;
	struct agreement g;
	(void)state;
	pair_make(&p);
	struct sha256 digest = pair_agreed(&p, "{\"notice\":\"P10D\"}");
	struct uuid id = pair_see(&p, 0, digest).id;
	assert_ok(p.call[1], agreement_end(p.call[1], p.coop[1].id, id, WHY, &g));
	pair_run();
	assert_int_equal(pair_state(&p, 0, digest), AGREEMENT_ENDING);
	g = pair_see(&p, 0, digest);
	assert_int_equal(g.ends_at, pair_see(&p, 1, digest).ends_at);
	assert_true(agreement_flows(&g));
	pair_until(g.ends_at - CLOCK_HOUR);
	assert_int_equal(pair_state(&p, 0, digest), AGREEMENT_ENDING);
	pair_until(g.ends_at);
	for (int who = 0; who < 2; who++) {
		assert_int_equal(pair_state(&p, who, digest), AGREEMENT_ENDED);
		assert_int_equal(pair_source(&p, who, id).state, GUEST_SOURCE_ENDED);
	}
	assert_int_equal(pair_count("job WHERE kind = 'merge.ended'"), 2);
	assert_err(p.call[0], ERR_STATE, agreement_suspend(p.call[0], p.coop[0].id, id, WHY, &g));
}

static void it_ends_on_its_last_day_unless_it_is_renewed(void **state)
{
	struct pair p;
	(void)state;
	pair_make(&p);
	struct sha256 digest = pair_agreed(&p, "{\"ends\":\"2026-06-01T00:00:00Z\"}");
	pair_until(pair_see(&p, 0, digest).terms.ends);
	assert_int_equal(pair_state(&p, 0, digest), AGREEMENT_ENDED);
	assert_int_equal(pair_state(&p, 1, digest), AGREEMENT_ENDED);
}

static void a_renewal_takes_the_place_of_the_one_in_effect(void **state)
{
	struct pair p;
	struct agreement g;
	(void)state;
	pair_make(&p);
	struct sha256 first = pair_agreed(&p, "{\"ends\":\"2026-06-01T00:00:00Z\"}");
	struct uuid id = pair_see(&p, 0, first).id;
	struct sha256 second = pair_proposed(&p, 1, "{\"k\":4}", id); /* the other side renews it */
	assert_int_equal(pair_state(&p, 0, second), AGREEMENT_PROPOSED);
	assert_int_equal(pair_state(&p, 0, first), AGREEMENT_IN_EFFECT);
	assert_err(p.call[0], ERR_STATE, agreement_draft(p.call[0], p.coop[0].id, p.peer[0], people_json(p.call[0], "{}"), id, STR_NONE, &g));
	pair_decide(&p, second, "for", "for");
	for (int who = 0; who < 2; who++) {
		assert_int_equal(pair_state(&p, who, first), AGREEMENT_RENEWED);
		g = pair_see(&p, who, second);
		assert_int_equal(g.state, AGREEMENT_IN_EFFECT);
		assert_true(uuid_eq(g.id, id) && g.current && g.terms.revision == 2 && sha256_eq(g.terms.replaces, first));
		assert_int_equal(pair_source(&p, who, id).k, 4);
		assert_ok(p.call[who], agreement_read_current(p.call[who], p.coop[who].id, id, &g));
		assert_int_equal(g.terms.revision, 2);
	}
	assert_int_equal(pair_count("job WHERE kind = 'merge.ended'"), 0);
	pair_until(pair_see(&p, 0, first).terms.ends);
	assert_int_equal(pair_state(&p, 0, second), AGREEMENT_IN_EFFECT);
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
	pair_run();
}

static void a_charter_that_becomes_stricter_suspends_it(void **state)
{
	struct pair p;
	struct agreement g;
	(void)state;
	pair_make(&p);
	struct sha256 digest = pair_agreed(&p, "{}");
	amend(&p, 0, "{\"bylaws\":\"Be kind.\"}");
	assert_int_equal(pair_state(&p, 0, digest), AGREEMENT_IN_EFFECT);
	amend(&p, 0, "{\"embargo\":\"P5D\"}");
	g = pair_see(&p, 0, digest);
	assert_int_equal(g.state, AGREEMENT_SUSPENDED);
	assert_true(g.suspended_by_charter);
	assert_true(memmem(g.note.p, g.note.n, "5 days", 6) != NULL);
	assert_int_equal(pair_state(&p, 1, digest), AGREEMENT_SUSPENDED);
	assert_err(p.call[0], ERR_INVALID, agreement_resume(p.call[0], p.coop[0].id, g.id, &g));
	assert_str(people_fault(p.call[0]), "/embargo");
	amend(&p, 0, "{\"embargo\":\"P0D\"}");
	assert_int_equal(pair_state(&p, 0, digest), AGREEMENT_IN_EFFECT);
	assert_int_equal(pair_state(&p, 1, digest), AGREEMENT_IN_EFFECT);
}

static void two_revisions_in_turn_are_previewed_no_more_often_than_one(void **state)
{
	struct pair p;
	struct preview_kept kept;
	(void)state;
	pair_make(&p);
	struct sha256 first = pair_agreed(&p, "{\"ends\":\"2026-06-01T00:00:00Z\"}");
	struct sha256 second = pair_proposed(&p, 1, "{\"k\":4}", pair_see(&p, 0, first).id);
	struct call *c = p.call[0];
	clock_set(clock_now() + PREVIEW_INTERVAL);
	assert_ok(c, preview_make(c, p.coop[0].id, first, &kept));
	assert_ok(c, preview_make(c, p.coop[0].id, second, &kept));
	for (int again = 0; again < 2; again++) {
		assert_err(c, ERR_STATE, preview_make(c, p.coop[0].id, again ? second : first, &kept));
		assert_string_equal(c->error.reason, "preview_too_soon");
		error_clear(&c->error);
	}
	clock_set(clock_now() + PREVIEW_INTERVAL);
	assert_ok(c, preview_make(c, p.coop[0].id, first, &kept));
}

static void a_suspended_one_is_renewed_under_the_new_charter(void **state)
{
	struct pair p;
	(void)state;
	pair_make(&p);
	struct sha256 digest = pair_agreed(&p, "{}");
	struct uuid id = pair_see(&p, 0, digest).id;
	amend(&p, 1, "{\"embargo\":\"P5D\"}");
	assert_int_equal(pair_state(&p, 0, digest), AGREEMENT_SUSPENDED);
	struct sha256 second = pair_proposed(&p, 1, "{}", id);
	pair_decide(&p, second, "for", "for");
	assert_int_equal(pair_state(&p, 0, second), AGREEMENT_IN_EFFECT);
	assert_int_equal(pair_see(&p, 0, second).terms.embargo, 5 * DAY);
	assert_int_equal(pair_state(&p, 0, digest), AGREEMENT_RENEWED);
}

static void nobody_signs_what_their_charter_no_longer_allows(void **state)
{
	struct pair p;
	(void)state;
	pair_make(&p);
	struct sha256 digest = pair_proposed(&p, 0, "{}", (struct uuid){ { 0 } });
	pair_open_ballot(&p, 0, digest);
	pair_open_ballot(&p, 1, digest);
	pair_until(PAIR_START + 7 * DAY);
	pair_vote(&p, 0, digest, "for");
	pair_vote(&p, 1, digest, "for");
	amend(&p, 1, "{\"embargo\":\"P5D\"}");
	pair_until(PAIR_START + 14 * DAY);
	assert_int_equal(pair_state(&p, 1, digest), AGREEMENT_REJECTED);
	assert_int_equal(pair_state(&p, 0, digest), AGREEMENT_REJECTED);
	assert_null(pair_see(&p, 1, digest).assent_ours.p);
}

static void a_partner_whose_keys_are_in_question_is_suspended(void **state)
{
	struct pair p;
	struct peer peer;
	(void)state;
	pair_make(&p);
	struct sha256 digest = pair_agreed(&p, "{}");
	assert_ok(p.call[0], peer_refuse(p.call[0], p.coop[0].id, p.peer[0], &peer));
	assert_ok(p.system, agreement_step(p.system, p.coop[0].id));
	assert_int_equal(pair_state(&p, 0, digest), AGREEMENT_SUSPENDED);
}

static void the_ballots_page_shows_the_terms(void **state)
{
	struct pair p;
	struct ballot b;
	struct buf out;
	struct json_writer w;
	(void)state;
	pair_make(&p);
	struct sha256 digest = pair_proposed(&p, 0, "{\"k\":7}", (struct uuid){ { 0 } });
	pair_open_ballot(&p, 0, digest);
	struct call *c = p.call[0];
	assert_ok(c, ballot_read(c, p.coop[0].id, pair_see(&p, 0, digest).ballot, &b));
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

/* ---- The dry run ---- */

static struct str said_on_page(struct pair *p, int who, struct sha256 digest, bool api)
{
	struct ballot b;
	struct buf out;
	struct json_writer w;
	struct call *c = p->call[who];
	assert_ok(c, ballot_read(c, p->coop[who].id, pair_see(p, who, digest).ballot, &b));
	buf_init(&out, 1 * MIB);
	jw_init(&w, &out);
	if (api) {
		assert_ok(c, agreement_about_ballot(c, &b, &w));
	} else {
		jw_object(&w);
		assert_ok(c, agreement_on_ballot(c, &b, &w));
		jw_end_object(&w);
	}
	return buf_take(c->arena, &out);
}

static bool says(struct str text, struct str what)
{
	return memmem(text.p, text.n, what.p, what.n) != NULL;
}

static void nobody_votes_on_what_was_not_tried_out(void **state)
{
	struct pair p;
	struct agreement g;
	struct preview_kept kept;
	(void)state;
	pair_make(&p);
	struct call *c = p.call[0];
	struct sha256 digest = pair_proposed(&p, 0, "{}", (struct uuid){ { 0 } }), other = pair_proposed(&p, 0, "{\"k\":9}", (struct uuid){ { 0 } });
	pair_try_out(&p, other); /* of another document: it does not count */
	assert_err(c, ERR_STATE, agreement_open_ballot(c, p.coop[0].id, digest, STR_NONE, &g));
	assert_string_equal(c->error.reason, "dry_run_missing");
	assert_ok(c, preview_make(c, p.coop[0].id, digest, &kept));
	assert_err(c, ERR_STATE, agreement_open_ballot(c, p.coop[0].id, digest, STR_NONE, &g));
	assert_string_equal(c->error.reason, "dry_run_missing");
	assert_non_null(strstr(c->error.message, "partner's"));
	assert_int_equal(pair_count("ballot"), 0);
	assert_ok(p.call[1], preview_make(p.call[1], p.coop[1].id, digest, &kept));
	pair_run();
	assert_ok(c, agreement_open_ballot(c, p.coop[0].id, digest, STR_NONE, &g));
}

static void without_a_dry_run_voters_read_why(void **state)
{
	struct pair p;
	struct agreement g;
	(void)state;
	pair_make(&p);
	struct call *c = p.call[0];
	struct sha256 digest = pair_proposed(&p, 0, "{}", (struct uuid){ { 0 } }), tried = pair_proposed(&p, 0, "{\"k\":9}", (struct uuid){ { 0 } });
	assert_err(c, ERR_INVALID, agreement_open_ballot(c, p.coop[0].id, digest, STR("x"), &g));
	assert_ok(c, agreement_open_ballot(c, p.coop[0].id, digest, STR("their server is down until spring"), &g));
	assert_true(says(said_on_page(&p, 0, digest, false), STR("their server is down until spring")));
	assert_true(says(said_on_page(&p, 0, digest, true), STR("\"dry_run\":null")));
	assert_true(says(said_on_page(&p, 0, digest, true), STR("\"no_dry_run\":\"their server is down until spring\"")));
	assert_non_null(memmem(pair_see(&p, 0, digest).note.p, pair_see(&p, 0, digest).note.n, "No dry run: their", 17));
	pair_try_out(&p, tried);
	assert_err(c, ERR_STATE, agreement_open_ballot(c, p.coop[0].id, tried, STR("we cannot be bothered"), &g));
	assert_string_equal(c->error.reason, "dry_run_there");
}

static void what_voters_see_stays_whatever_is_tried_out_later(void **state)
{
	struct pair p;
	struct dry_run first, second;
	struct preview_kept kept;
	(void)state;
	pair_make(&p);
	struct call *c = p.call[0];
	struct sha256 digest = pair_proposed(&p, 0, "{}", (struct uuid){ { 0 } });
	pair_try_out(&p, digest);
	assert_ok(c, dry_run_read(c, p.coop[0].id, digest, NULL, &first));
	pair_open_ballot(&p, 0, digest);
	struct str page = said_on_page(&p, 0, digest, false), api = said_on_page(&p, 0, digest, true);
	assert_true(says(page, sha256_hex(c->arena, first.digest)));
	assert_true(says(api, sha256_hex(c->arena, first.digest)));
	assert_true(says(api, first.document));
	pair_until(PAIR_START + 2 * DAY);
	assert_ok(c, preview_make(c, p.coop[0].id, digest, &kept));
	pair_run();
	assert_ok(c, dry_run_read(c, p.coop[0].id, digest, NULL, &second));
	assert_false(sha256_eq(first.digest, second.digest));
	assert_true(str_eq(page, said_on_page(&p, 0, digest, false)));
	assert_true(str_eq(api, said_on_page(&p, 0, digest, true)));
	assert_ok(c, dry_run_read(c, p.coop[0].id, digest, &first.digest, &second));
	assert_true(str_eq(first.document, second.document));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_table_of_states_is_whole), cmocka_unit_test(the_documentation_has_every_edge), fixture_test(nothing_moves_but_along_the_table),
		fixture_test(an_agreement_is_in_effect_when_both_have_voted_and_signed), fixture_test(it_waits_for_its_first_day), fixture_test(one_no_is_enough),
		fixture_test(a_partner_that_is_not_confirmed_gets_no_draft), fixture_test(only_admins_act), fixture_test(whoever_proposed_takes_back_and_the_other_declines),
		fixture_test(what_is_not_signed_in_time_expires), fixture_test(either_suspends_at_once_and_only_they_lift_it), fixture_test(a_notice_ends_it_for_both_on_the_same_day),
		fixture_test(it_ends_on_its_last_day_unless_it_is_renewed), fixture_test(a_renewal_takes_the_place_of_the_one_in_effect),
		fixture_test(two_revisions_in_turn_are_previewed_no_more_often_than_one), fixture_test(a_charter_that_becomes_stricter_suspends_it), fixture_test(a_suspended_one_is_renewed_under_the_new_charter),
		fixture_test(nobody_signs_what_their_charter_no_longer_allows), fixture_test(a_partner_whose_keys_are_in_question_is_suspended),
		fixture_test(the_ballots_page_shows_the_terms), fixture_test(nobody_votes_on_what_was_not_tried_out), fixture_test(without_a_dry_run_voters_read_why),
		fixture_test(what_voters_see_stays_whatever_is_tried_out_later),
	};
	return fixture_run(tests, CH_LEN(tests));
}
