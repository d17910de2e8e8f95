/* Sealed ballots: random histories are counted three ways (the closing, SQL, a stranger with the bundle), and whatever is changed in a bundle is found. */
#include "world.h"

#include "commonhold/account.h"
#include "commonhold/ballot_proof.h"
#include "commonhold/db.h"
#include "commonhold/delegation.h"
#include "commonhold/file.h"
#include "commonhold/ledger.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#define CROWD 26
#define OPENS (WORLD_START + 7 * CLOCK_DAY)
#define CLOSES (OPENS + 10 * CLOCK_DAY)
#define MAJORITY "{\"rule\":\"all_of\",\"of\":[{\"rule\":\"majority\",\"roll\":\"members\"},{\"rule\":\"any_of\",\"of\":[{\"rule\":\"n_of_m_admins\",\"n\":2},{\"rule\":\"turnout_quorum\",\"n\":1,\"d\":4,\"roll\":\"members\"}]}]}"

/* The world's eight, and more. */
struct crowd { struct world w; struct actor actor[CROWD]; struct uuid id[CROWD]; };

static struct call *as(struct crowd *k, int m)
{
	k->w.person->actor = k->actor[m];
	return k->w.person;
}

static void crowd_make(struct crowd *k, const char *replace)
{
	*k = (struct crowd){ 0 };
	world_make(&k->w, replace);
	for (int m = 0; m < CROWD; m++) {
		struct member joined;
		if (m < WORLD_MEMBERS) {
			k->actor[m] = k->w.actor[m];
			k->id[m] = k->w.id[m];
			continue;
		}
		struct call *c = k->w.person;
		struct account account;
		c->actor = (struct actor){ 0 };
		assert_ok(c, account_create(c, str_fmt(c->arena, "more%d@example.org", m), str_fmt(c->arena, "More %d", m), &account));
		k->actor[m] = (struct actor){ .kind = AUTH_SESSION, .account = account.id, .email = account.email, .name = account.name };
		assert_ok(as(k, m), member_join(as(k, m), k->w.coop, &joined));
		k->id[m] = joined.id;
	}
}

static struct uuid propose(struct crowd *k)
{
	struct call *c = k->w.system;
	const struct json *json;
	struct uuid id;
	assert_ok(c, json_parse(c->arena, STR(MAJORITY), &json, &c->error));
	struct ballot_draft draft = { .kind = "toggle", .subject = uuid_new(), .digest = sha256(STR("what is decided")), .title = STR("A \"question\""),
		.question = STR("Shall it be?"), .rule = json, .charter = 1, .opens_at = OPENS, .closes_at = CLOSES };
	assert_ok(c, db_begin_in(c, k->w.coop, DB_WRITE));
	assert_ok(c, ballot_create(c, k->w.coop, &draft, &id));
	assert_ok(c, db_commit(c));
	return id;
}

static void advance(struct crowd *k, struct uuid ballot, instant t)
{
	clock_set(t);
	assert_ok(k->w.system, ballot_advance(k->w.system, k->w.coop, ballot));
}

/* What may be refused is: a history need not know what is allowed. */
static void tried(struct call *c, enum err e)
{
	if (e == ERR_OK)
		return;
	if (err_status(e) >= 500)
		fail_msg("%s", c->error.message);
	db_rollback(c);
	error_clear(&c->error);
}

static void delegate_at_random(struct crowd *k, struct uuid ballot)
{
	int m = (int)random() % CROWD, kind = (int)random() % 12;
	struct delegation d;
	struct delegation_warning warning;
	struct delegation_draft in = {
		.question = POLICY_QUESTION_VOTE, .scope = (enum policy_scope)(random() % 3), .delegate_kind = kind == 0 ? DELEGATE_BOARD : kind == 1 ? DELEGATE_NOBODY : DELEGATE_MEMBER,
		.chosen_end = random() % 4 ? INSTANT_NONE : clock_now() + (1 + random() % 12) * CLOCK_DAY,
	};
	int delegate = (int)random() % CROWD;
	if (in.scope == POLICY_SCOPE_TOPIC)
		in.topics = random() % 3 ? 1u << POLICY_BALLOT_TOGGLE : 1u << POLICY_BALLOT_RELEASE;
	if (in.scope == POLICY_SCOPE_TARGET)
		in.target = ballot;
	if (in.delegate_kind == DELEGATE_MEMBER)
		in.delegate = k->id[delegate];
	struct call *c = as(k, m);
	enum err e = delegation_make(c, k->w.coop, &in, &d, &warning);
	tried(c, e);
	if (e != ERR_OK || in.delegate_kind != DELEGATE_MEMBER || random() % 6 == 0)
		return;
	c = as(k, delegate);
	tried(c, delegation_accept(c, k->w.coop, d.id, &d));
}

static void revoke_at_random(struct crowd *k)
{
	int m = (int)random() % CROWD;
	struct call *c = as(k, m);
	struct delegation *mine, d;
	size_t n = 0;
	tried(c, delegation_list_mine(c, k->w.coop, false, &mine, &n));
	if (n)
		tried(c, delegation_revoke(c, k->w.coop, mine[(size_t)random() % n].id, &d));
}

static void act_at_random(struct crowd *k, struct uuid ballot)
{
	static const char *const choices[] = { "for", "against", "abstain", "none", "for" };
	struct str choice = str_of(choices[random() % 5]);
	int m = (int)random() % CROWD;
	struct call *c = as(k, m);
	struct ballot b;
	struct ballot_principal *represented;
	size_t n = 0;
	switch (random() % 14) {
	case 0: case 1:
		tried(c, ballot_cast_vote(c, k->w.coop, ballot, choice, &b));
		break;
	case 3:
		tried(c, ballot_represented(c, k->w.coop, ballot, &represented, &n));
		if (n)
			tried(c, ballot_vote_for(c, k->w.coop, ballot, &represented[(size_t)random() % n].member, 1, choice));
		break;
	case 4:
		c = as(k, (int)random() % 3);
		tried(c, ballot_board_say(c, k->w.coop, ballot, choice));
		break;
	case 5:
		revoke_at_random(k);
		break;
	default:
		delegate_at_random(k, ballot);
	}
}

static void leave_at_random(struct crowd *k)
{
	int m = 3 + (int)random() % (CROWD - 3);
	struct member gone;
	tried(as(k, m), member_leave(as(k, m), k->w.coop, &gone));
}

/* ---- Bundles as files ---- */

static enum err to_file(void *arg, const void *p, size_t n)
{
	return fwrite(p, 1, n, arg) == n ? ERR_OK : ERR_IO;
}

static const char *bundle_file(void)
{
	static char path[300];
	snprintf(path, sizeof path, "%s/bundle.ndjson", fixture_dir());
	return path;
}

static struct str bundle_text(struct call *c)
{
	struct error e = { 0 };
	struct str text;
	assert_int_equal(file_read(c->arena, "The bundle", bundle_file(), 16 * MIB, &text, &e), ERR_OK);
	return text;
}

static void write_bundle(struct crowd *k, struct uuid ballot)
{
	FILE *f = fopen(bundle_file(), "we");
	assert_non_null(f);
	assert_ok(k->w.system, ballot_bundle_write(k->w.system, k->w.coop, ballot, to_file, f));
	assert_int_equal(fclose(f), 0);
}

static void put_bundle(struct str text)
{
	FILE *f = fopen(bundle_file(), "we");
	assert_non_null(f);
	assert_int_equal(fwrite(text.p, 1, text.n, f), text.n);
	assert_int_equal(fclose(f), 0);
}

static struct audit_result audit(struct arena *a, const uint8_t *key)
{
	struct audit_result r;
	struct error e = { 0 };
	if (ballot_bundle_audit(a, bundle_file(), &(struct keychain_trust){ .pin = key }, &r, &e) != ERR_OK)
		fail_msg("%s", e.message);
	return r;
}

static void show(const struct audit_result *r)
{
	for (const struct check *c = r->checks; c; c = c->next)
		print_message("%s %s: %.*s\n", c->ok ? "ok" : "FAIL", c->id, STR_ARG(c->text));
}

static void same_tally(struct ballot_tally a, struct ballot_tally b)
{
	assert_int_equal(a.roll, b.roll);
	assert_int_equal(a.yes, b.yes);
	assert_int_equal(a.no, b.no);
	assert_int_equal(a.abstain, b.abstain);
	for (unsigned i = 0; i < POLICY_VIA_COUNT; i++)
		assert_int_equal(a.undecided_by[i], b.undecided_by[i]);
}

/* Closed, counted by three: the same. */
static void three_counts_agree(struct crowd *k, struct uuid ballot)
{
	struct ballot b;
	struct ballot_recount sql;
	struct coop coop;
	struct call *c = k->w.system;
	assert_ok(c, ballot_seal(c, k->w.coop, ballot));
	assert_ok(c, ballot_seal(c, k->w.coop, ballot));
	assert_ok(c, ballot_recount(c, k->w.coop, ballot, &sql));
	assert_ok(c, ballot_read(c, k->w.coop, ballot, &b));
	write_bundle(k, ballot);
	assert_ok(c, coop_read(c, k->w.coop, &coop));
	struct arena *a = arena_new(64 * MIB);
	struct audit_result r = audit(a, coop.public_key);
	if (!r.ok)
		show(&r);
	assert_true(r.ok && r.pinned);
	print_message("%d for, %d against, %d abstained; undecided", b.members.yes, b.members.no, b.members.abstain);
	for (unsigned i = 0; i < POLICY_VIA_COUNT; i++)
		if (b.members.undecided_by[i])
			print_message(" %s %d", policy_via_name(i), b.members.undecided_by[i]);
	print_message("\n");
	/* The co-op changes its key: whoever pinned the one before is led to the new one by the chain in the proof; nobody else is. */
	struct keychain chain;
	uint8_t before[32], strange[32] = { 1 };
	memcpy(before, coop.public_key, sizeof(before));
	assert_ok(c, coop_key_rotate(c, k->w.coop, &chain));
	write_bundle(k, ballot);
	struct audit_result later = audit(a, before), by_name = audit(a, NULL), refused = audit(a, strange);
	assert_true(later.ok && later.pinned && by_name.ok && !by_name.pinned && !refused.ok);
	same_tally(b.members, sql.members);
	same_tally(b.admins, sql.admins);
	same_tally(b.members, r.members);
	same_tally(b.admins, r.admins);
	assert_int_equal(r.passed, b.state == BALLOT_PASSED);
	assert_int_equal(b.members.yes + b.members.no + b.members.abstain + b.members.undecided, b.members.roll);
	arena_free(a);
}

static struct uuid history(struct crowd *k, int acts)
{
	for (int i = 0; i < 60; i++)
		delegate_at_random(k, uuid_new());
	struct uuid ballot = propose(k);
	advance(k, ballot, OPENS);
	for (int i = 0; i < acts; i++) {
		clock_set(OPENS + (CLOSES - OPENS) / acts * i + random() % CLOCK_HOUR);
		act_at_random(k, ballot);
		if (random() % 60 == 0)
			leave_at_random(k);
	}
	return ballot;
}

static void until_closed(struct crowd *k, struct uuid ballot, instant late)
{
	struct ballot b;
	for (int i = 0; i < 3; i++) {
		assert_ok(k->w.system, ballot_read(k->w.system, k->w.coop, ballot, &b));
		if (b.state != BALLOT_OPEN)
			return;
		advance(k, ballot, b.closes_at + late);
	}
	fail_msg("the ballot does not close");
}

static void a_random_history(const char *charter, unsigned seed, int acts, bool late)
{
	struct crowd k;
	const char *again = getenv("SEED");
	seed = again ? (unsigned)strtoul(again, NULL, 10) : seed;
	print_message("seed %u\n", seed);
	srandom(seed);
	crowd_make(&k, charter);
	struct uuid ballot = history(&k, acts);
	if (late) { /* what happens after the end, while the job is late, counts for nothing */
		clock_set(CLOSES + CLOCK_DAY);
		for (int i = 0; i < 30; i++)
			random() % 3 ? delegate_at_random(&k, ballot) : revoke_at_random(&k);
	}
	until_closed(&k, ballot, late ? 2 * CLOCK_DAY : 0);
	for (int i = 0; i < 20; i++) /* and neither does what happens before it is sealed */
		random() % 2 ? delegate_at_random(&k, ballot) : revoke_at_random(&k);
	leave_at_random(&k);
	three_counts_agree(&k, ballot);
}

static void the_closing_sql_and_a_stranger_count_alike(void **state)
{
	(void)state;
	a_random_history("{\"delegation\":{\"depth\":1,\"cap\":9}}", (unsigned)clock_now(), 150, false);
}

static void they_count_alike_over_long_chains_with_a_short_cap(void **state)
{
	(void)state;
	a_random_history("{\"delegation\":{\"depth\":8,\"cap\":2}}", (unsigned)clock_now() + 1, 250, false);
}

static void they_count_alike_without_a_cap_when_the_job_is_late(void **state)
{
	(void)state;
	a_random_history("{\"delegation\":{\"depth\":3,\"cap\":0},\"board\":{\"n\":1,\"d\":2,\"strict\":false}}", (unsigned)clock_now() + 2, 200, true);
}

static void nothing_is_sealed_before_the_close(void **state)
{
	struct crowd k;
	struct ballot_seal seal;
	(void)state;
	crowd_make(&k, NULL);
	struct uuid ballot = propose(&k);
	advance(&k, ballot, OPENS);
	assert_err(k.w.system, ERR_STATE, ballot_seal(k.w.system, k.w.coop, ballot));
	assert_err(k.w.system, ERR_NOT_FOUND, ballot_seal_read(k.w.system, k.w.coop, ballot, &seal));
}

/* ---- A member's own part ---- */

static uint64_t number_in(struct call *c, struct str line, const char *key)
{
	const struct json *o;
	assert_ok(c, json_parse(c->arena, line, &o, &c->error));
	return (uint64_t)json_int(json_get(o, key), -1);
}

static void everybody_finds_their_own_lines_under_the_headers_roots(void **state)
{
	struct crowd k;
	struct ballot_own_proof own;
	struct ballot_seal seal;
	const struct json *header;
	unsigned seed = (unsigned)clock_now();
	(void)state;
	print_message("seed %u\n", seed);
	srandom(seed);
	crowd_make(&k, NULL);
	struct uuid ballot = history(&k, 60);
	until_closed(&k, ballot, 0);
	assert_ok(k.w.system, ballot_seal(k.w.system, k.w.coop, ballot));
	assert_ok(k.w.system, ballot_seal_read(k.w.system, k.w.coop, ballot, &seal));
	assert_ok(k.w.system, json_parse(k.w.system->arena, seal.header, &header, &k.w.system->error));
	struct sha256 people, outcomes;
	assert_true(sha256_parse(json_text(json_at(header, "/roots/people")), &people) && sha256_parse(json_text(json_at(header, "/roots/outcomes")), &outcomes));
	uint64_t n_people = (uint64_t)json_int(json_at(header, "/sizes/people"), 0), n_outcomes = (uint64_t)json_int(json_at(header, "/sizes/outcomes"), 0);
	for (int m = 0; m < CROWD; m++) {
		struct call *c = as(&k, m);
		enum err e = ballot_own_proof(c, k.w.coop, ballot, &own);
		if (e == ERR_NOT_FOUND) { /* left while the ballot was open: not a member who may ask */
			tried(c, e);
			continue;
		}
		assert_ok(c, e);
		struct sha256 mine = ledger_commitment(own.salt, sha256(uuid_format(c->arena, k.id[m])));
		assert_memory_equal(mine.b, own.commitment.b, 32);
		struct str hex = sha256_hex(c->arena, mine);
		assert_non_null(memmem(own.person.p, own.person.n, hex.p, hex.n));
		assert_int_equal(number_in(c, own.outcome, "i"), own.place);
		assert_true(merkle_inclusion_ok(merkle_leaf(own.person), own.place, n_people, own.person_path, own.n_person_path, people));
		assert_true(merkle_inclusion_ok(merkle_leaf(own.outcome), own.outcome_index, n_outcomes, own.outcome_path, own.n_outcome_path, outcomes));
	}
}

/* ---- What is changed is found ---- */

static struct str replaced(struct call *c, struct str text, const char *from, const char *to)
{
	char *at = memmem(text.p, text.n, from, strlen(from));
	if (!at)
		fail_msg("the bundle has no %s", from);
	size_t before = (size_t)(at - text.p), after = text.n - before - strlen(from);
	return str_fmt(c->arena, "%.*s%s%.*s", (int)before, text.p, to, (int)after, at + strlen(from));
}

static void a_changed_bundle_is_found_out(void **state)
{
	static const struct { const char *from, *to, *check; } changes[] = {
		{ "\"choice\":\"for\",\"for\":null", "\"choice\":\"against\",\"for\":null", "roots" },
		{ "\"passed\":true", "\"passed\":false", "result" },
		{ "\"roll\":true,\"t\":\"person\"", "\"roll\":false,\"t\":\"person\"", "lines" },
		{ "\"cap\":9", "\"cap\":1", "log" },
		{ "\"t\":\"outcome\",\"via\":\"own\"", "\"t\":\"outcome\",\"via\":\"decided\"", "outcomes" },
		{ "\"for\":5,", "\"for\":6,", "counts" },
		{ "\"t\":\"vote\"", "\"t\":\"veto\"", "lines" },
		{ "\"v\":1", "\"v\":2", "header" },
		{ "{\"active\"", "{{\"active\"", "lines" },
		{ "\"i\":1,\"roll\"", "\"i\":99999999999,\"roll\"", "lines" },
	};
	struct crowd k;
	struct coop coop;
	struct ballot b;
	(void)state;
	crowd_make(&k, NULL);
	struct uuid ballot = propose(&k);
	advance(&k, ballot, OPENS);
	for (int m = 0; m < 7; m++)
		assert_ok(as(&k, m), ballot_cast_vote(as(&k, m), k.w.coop, ballot, m < 5 ? STR("for") : STR("against"), &b));
	until_closed(&k, ballot, 0);
	struct call *c = k.w.system;
	assert_ok(c, ballot_seal(c, k.w.coop, ballot));
	assert_ok(c, coop_read(c, k.w.coop, &coop));
	write_bundle(&k, ballot);
	struct str whole = bundle_text(c);
	struct arena *a = arena_new(64 * MIB);
	assert_true(audit(a, coop.public_key).ok);
	for (size_t i = 0; i < CH_LEN(changes); i++) {
		put_bundle(replaced(c, whole, changes[i].from, changes[i].to));
		struct audit_result r = audit(a, coop.public_key);
		bool named = false;
		for (const struct check *check = r.checks; check; check = check->next)
			named |= !check->ok && strcmp(check->id, changes[i].check) == 0;
		if (r.ok || !named) {
			show(&r);
			fail_msg("%s: not found by %s", changes[i].from, changes[i].check);
		}
	}
	/* Cut anywhere, it is not whole. */
	for (size_t n = 0; n < whole.n - 1; n += whole.n / 40 + 1) {
		put_bundle(str_make(whole.p, n));
		assert_false(audit(a, coop.public_key).ok);
	}
	/* Another key is not this co-op's, and without one the co-op's name stands in. */
	uint8_t other[32] = { 7 };
	put_bundle(whole);
	assert_false(audit(a, other).ok);
	struct audit_result r = audit(a, NULL);
	assert_true(r.ok && !r.pinned);
	arena_free(a);
}

static void a_restricted_ballots_bundle_is_for_members(void **state)
{
	struct crowd k;
	struct ballot_seal seal;
	struct account account;
	(void)state;
	crowd_make(&k, NULL);
	struct uuid ballot = propose(&k);
	fixture_sql("UPDATE ballot SET visibility = 'restricted'");
	advance(&k, ballot, OPENS);
	until_closed(&k, ballot, 0);
	assert_ok(k.w.system, ballot_seal(k.w.system, k.w.coop, ballot));
	assert_ok(as(&k, 9), ballot_seal_read(as(&k, 9), k.w.coop, ballot, &seal));
	struct call *c = k.w.person;
	c->actor = (struct actor){ 0 };
	assert_err(c, ERR_NOT_FOUND, ballot_seal_read(c, k.w.coop, ballot, &seal));
	assert_ok(c, account_create(c, STR("stranger@example.org"), STR("Stranger"), &account));
	c->actor = (struct actor){ .kind = AUTH_SESSION, .account = account.id };
	assert_err(c, ERR_NOT_FOUND, ballot_seal_read(c, k.w.coop, ballot, &seal));
}

/* A bundle that is being read while others are asked for. */
struct asking { struct crowd *k; struct uuid ballot; int depth, refused_at; };

static enum err ask_another(void *arg, const void *p, size_t n)
{
	struct asking *g = arg;
	(void)p;
	(void)n;
	if (g->refused_at)
		return ERR_OK;
	struct arena *a = arena_new(64 * MIB);
	struct call c = { .arena = a, .actor = { .kind = AUTH_SYSTEM } };
	g->depth++;
	enum err e = ballot_bundle_write(&c, g->k->w.coop, g->ballot, ask_another, g);
	if (e == ERR_UNAVAILABLE && !g->refused_at) {
		assert_string_equal(c.error.reason, "proofs_busy");
		g->refused_at = g->depth;
	} else {
		assert_int_equal(e, ERR_OK);
	}
	db_rollback(&c);
	db_release(&c);
	arena_free(a);
	return ERR_OK;
}

static void no_more_proofs_are_made_at_once_than_there_is_memory_for(void **state)
{
	struct crowd k;
	(void)state;
	crowd_make(&k, NULL);
	struct uuid ballot = propose(&k);
	clock_set(OPENS);
	assert_ok(k.w.system, ballot_advance(k.w.system, k.w.coop, ballot));
	clock_set(CLOSES);
	assert_ok(k.w.system, ballot_advance(k.w.system, k.w.coop, ballot));
	assert_ok(k.w.system, ballot_seal(k.w.system, k.w.coop, ballot));
	for (int again = 0; again < 2; again++) { /* what was taken is given back */
		struct asking g = { .k = &k, .ballot = ballot };
		assert_ok(k.w.system, ballot_bundle_write(k.w.system, k.w.coop, ballot, ask_another, &g));
		assert_int_equal(g.refused_at, BALLOT_PROOFS_AT_ONCE);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		fixture_test(the_closing_sql_and_a_stranger_count_alike),
		fixture_test(they_count_alike_over_long_chains_with_a_short_cap),
		fixture_test(they_count_alike_without_a_cap_when_the_job_is_late),
		fixture_test(nothing_is_sealed_before_the_close),
		fixture_test(everybody_finds_their_own_lines_under_the_headers_roots),
		fixture_test(a_changed_bundle_is_found_out),
		fixture_test(a_restricted_ballots_bundle_is_for_members),
		fixture_test(no_more_proofs_are_made_at_once_than_there_is_memory_for),
	};
	return fixture_run(tests, CH_LEN(tests));
}
