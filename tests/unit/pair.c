#include "pair.h"

#include "commonhold/config.h"
#include "commonhold/ledger.h"
#include "commonhold/preview.h"

#include <stdlib.h>

void pair_run(void)
{
	static const struct job_kind *const tables[] = { agreement_jobs, message_jobs, ballot_jobs, preview_jobs, NULL };
	struct error e = { 0 };
	int ran;
	if (job_run_due(tables, &ran, &e) != ERR_OK)
		fail_msg("%s", e.message);
}

void pair_until(instant t)
{
	clock_set(t);
	pair_run();
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

void pair_make_with(struct pair *p, const char *first, const char *second)
{
	struct error e = { 0 };
	setenv("COMMONHOLD_DIR", fixture_dir(), 1);
	setenv("COMMONHOLD_LOG", "error", 1);
	assert_int_equal(config_load(&e), ERR_OK);
	ledger_use_host("test.example");
	clock_set(PAIR_START);
	p->call[0] = people_new("ada");
	p->call[1] = people_new("bob");
	p->system = fixture_system();
	p->coop[0] = people_coop(p->call[0], "alpha", first);
	p->coop[1] = people_coop(p->call[1], "beta", second);
	know(p, 0, true);
	know(p, 1, true);
}

void pair_make(struct pair *p)
{
	pair_make_with(p, PEOPLE_OPEN, PEOPLE_OPEN);
}

struct agreement pair_see(struct pair *p, int who, struct sha256 digest)
{
	struct agreement g;
	assert_ok(p->call[who], agreement_read(p->call[who], p->coop[who].id, digest, &g));
	return g;
}

enum agreement_state pair_state(struct pair *p, int who, struct sha256 digest)
{
	return pair_see(p, who, digest).state;
}

struct agreement pair_drafted(struct pair *p, int who, const char *draft, struct uuid renews)
{
	struct agreement g;
	struct call *c = p->call[who];
	assert_ok(c, agreement_draft(c, p->coop[who].id, p->peer[who], people_json(c, draft), renews, STR_NONE, &g));
	return g;
}

struct sha256 pair_proposed(struct pair *p, int who, const char *draft, struct uuid renews)
{
	struct agreement g = pair_drafted(p, who, draft, renews);
	assert_ok(p->call[who], agreement_propose(p->call[who], p->coop[who].id, g.terms.digest, &g));
	pair_run();
	return g.terms.digest;
}

void pair_try_out(struct pair *p, struct sha256 digest)
{
	struct preview_kept kept;
	for (int who = 0; who < 2; who++)
		assert_ok(p->call[who], preview_make(p->call[who], p->coop[who].id, digest, &kept));
	pair_run();
}

void pair_open_ballot(struct pair *p, int who, struct sha256 digest)
{
	struct agreement g;
	struct call *c = p->call[who];
	enum err e = agreement_open_ballot(c, p->coop[who].id, digest, STR_NONE, &g);
	if (e == ERR_STATE && strcmp(c->error.reason, "dry_run_missing") == 0) {
		error_clear(&c->error);
		db_rollback(c);
		e = agreement_open_ballot(c, p->coop[who].id, digest, STR("the partner sends no preview"), &g);
	}
	assert_ok(c, e);
}

void pair_vote(struct pair *p, int who, struct sha256 digest, const char *choice)
{
	struct ballot b;
	struct agreement g = pair_see(p, who, digest);
	assert_ok(p->call[who], ballot_cast_vote(p->call[who], p->coop[who].id, g.ballot, str_of(choice), &b));
}

void pair_decide(struct pair *p, struct sha256 digest, const char *a, const char *b)
{
	struct ballot ballot;
	pair_try_out(p, digest);
	for (int who = 0; who < 2; who++)
		pair_open_ballot(p, who, digest);
	struct agreement g = pair_see(p, 0, digest);
	assert_ok(p->call[0], ballot_read(p->call[0], p->coop[0].id, g.ballot, &ballot));
	pair_until(ballot.opens_at);
	pair_vote(p, 0, digest, a);
	pair_vote(p, 1, digest, b);
	pair_until(ballot.closes_at);
	pair_run();
}

struct sha256 pair_agreed(struct pair *p, const char *draft)
{
	struct sha256 digest = pair_proposed(p, 0, draft, (struct uuid){ { 0 } });
	pair_decide(p, digest, "for", "for");
	assert_int_equal(pair_state(p, 0, digest), AGREEMENT_IN_EFFECT);
	assert_int_equal(pair_state(p, 1, digest), AGREEMENT_IN_EFFECT);
	return digest;
}

struct guest_source pair_source(struct pair *p, int who, struct uuid agreement)
{
	struct guest_source s;
	struct call *c = p->system;
	assert_ok(c, db_begin_in(c, p->coop[who].id, DB_READ));
	assert_ok(c, guest_source_get(c, p->coop[who].id, agreement, &s));
	assert_ok(c, db_commit(c));
	return s;
}

int64_t pair_count(const char *what)
{
	char sql[400];
	snprintf(sql, sizeof sql, "SELECT count(*) FROM %s", what);
	return fixture_int(sql);
}
