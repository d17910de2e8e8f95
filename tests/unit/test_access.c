/* The gate: asking, deciding, granting, tokens, and what may be downloaded when. */
#include "world.h"

#include "commonhold/access.h"
#include "commonhold/account.h"
#include "commonhold/config.h"
#include "commonhold/crypto.h"
#include "commonhold/db.h"
#include "commonhold/json.h"

#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#define AUTO "{\"access\":{\"mode\":\"gated_auto\"},\"release\":{\"uses\":[\"train.gen\"],\"purposes\":[\"research\"],\"audience\":\"gated_auto\"}}"

static const struct uuid nil;

/* A co-op with a published release, and somebody from outside who wants it. */
struct gate {
	struct world w;
	struct release release;
	struct call *stranger;
	struct access_offer offer;
};

static struct call *newcomer(struct gate *g, const char *name)
{
	struct call *c = fixture_call();
	struct account account;
	(void)g;
	assert_ok(c, account_create(c, str_fmt(c->arena, "%s@example.org", name), str_of(name), &account));
	c->actor = (struct actor){ .kind = AUTH_SESSION, .account = account.id, .email = account.email, .name = account.name };
	return c;
}

static void gate_make(struct gate *g, const char *replace)
{
	*g = (struct gate){ 0 };
	world_make(&g->w, replace);
	for (int i = 0; i < 3; i++) {
		world_say(&g->w, i, "allow");
		world_contribute(&g->w, i, i ? "How deep do roots go?" : "When is hay cut?");
	}
	struct release r = world_published(&g->w);
	g->release = world_read(&g->w, r.id);
	assert_int_equal(g->release.state, RELEASE_PUBLISHED);
	g->stranger = newcomer(g, "lab");
	assert_ok(g->stranger, access_offer_read(g->stranger, g->w.coop, &g->release, &g->offer));
}

static enum err ask_for(struct gate *g, struct uuid release, const char *purpose, struct access_request *q, struct access_grant *grant)
{
	return access_ask(g->stranger, g->w.coop, release, str_of(purpose), STR("Comparing what small models learn."), STR("A lab"), g->offer.terms_sha256, q, grant);
}

static struct access_grant granted(struct gate *g, struct uuid release)
{
	struct access_request q;
	struct access_grant grant;
	assert_ok(g->stranger, ask_for(g, release, "scientific", &q, &grant));
	if (!uuid_is_nil(grant.id))
		return grant;
	struct call *admin = by(&g->w, 1);
	assert_ok(admin, access_decide(admin, g->w.coop, q.id, true, STR_NONE, &q, &grant));
	return grant;
}

/* Whether `c` may download now. */
static enum err check(struct gate *g, struct call *c, struct str bearer)
{
	struct uuid grant;
	g->release = world_read(&g->w, g->release.id);
	return access_check(c, g->w.coop, &g->release, bearer, &grant);
}

/* Adopts the charter with one text put in the place of another. */
static void amend(struct gate *g, const char *from, const char *to)
{
	struct call *c = g->w.system;
	struct charter charter;
	int version;
	assert_ok(c, db_begin_in(c, g->w.coop, DB_WRITE));
	assert_ok(c, charter_current(c, g->w.coop, &charter));
	const char *at = memmem(charter.document.p, charter.document.n, from, strlen(from));
	assert_non_null(at);
	size_t before = (size_t)(at - charter.document.p);
	struct str rest = str_sub(charter.document, before + strlen(from), charter.document.n);
	struct str document = str_fmt(c->arena, "%.*s%s%.*s", (int)before, charter.document.p, to, STR_ARG(rest));
	assert_ok(c, charter_adopt(c, g->w.coop, document, uuid_new(), nil, &version));
	assert_ok(c, db_commit(c));
}

/* As if the release had been decided for something else. */
static void respec(const char *from, const char *to)
{
	char sql[400];
	snprintf(sql, sizeof(sql), "UPDATE release SET spec = replace(spec, '%s', '%s') WHERE version IS NOT NULL", from, to);
	fixture_sql(sql);
}

/* ---- what headers say ---- */

static void content_usage_allows_training_only_where_the_release_does_and_denies_the_rest(void **state)
{
	static const struct { uint16_t uses, conditional; const char *says; } cases[] = {
		{ 1u << POLICY_USE_TRAIN_GEN, 0, "train-ai=y, search=n" },
		{ 1u << POLICY_USE_TRAIN_GEN | 1u << POLICY_USE_SEARCH, 0, "train-ai=y" },
		{ 1u << POLICY_USE_TRAIN_GEN, 1u << POLICY_USE_TRAIN_GEN, "search=n" },
		{ 1u << POLICY_USE_SEARCH, 0, "train-ai=n" },
		{ 1u << POLICY_USE_TRAIN_OTHER | 1u << POLICY_USE_EVAL, 0, "train-ai=n, search=n" },
		{ 1u << POLICY_USE_MINE, 0, "train-ai=y, search=n" },
		{ 1u << POLICY_USE_MINE, 1u << POLICY_USE_MINE, "search=n" },
		{ 0, 0, "train-ai=n, search=n" },
		{ 0, POLICY_USES_ALL, "train-ai=n, search=n" },
	};
	struct arena *a = arena_new(MIB);
	(void)state;
	for (size_t i = 0; i < CH_LEN(cases); i++)
		assert_str(content_usage(a, cases[i].uses, cases[i].conditional), cases[i].says);
	arena_free(a);
}

static void a_purpose_is_covered_by_itself_and_by_wider_ones(void **state)
{
	(void)state;
	assert_true(access_purpose_covered(POLICY_PURPOSE_SCIENTIFIC, 1u << POLICY_PURPOSE_RESEARCH));
	assert_true(access_purpose_covered(POLICY_PURPOSE_RESEARCH, 1u << POLICY_PURPOSE_RESEARCH));
	assert_true(access_purpose_covered(POLICY_PURPOSE_COMMERCIAL, 1u << POLICY_PURPOSE_ANY));
	assert_false(access_purpose_covered(POLICY_PURPOSE_RESEARCH, 1u << POLICY_PURPOSE_SCIENTIFIC));
	assert_false(access_purpose_covered(POLICY_PURPOSE_COMMERCIAL, 1u << POLICY_PURPOSE_RESEARCH));
	assert_false(access_purpose_covered(POLICY_PURPOSE_ANY, POLICY_PURPOSES_ALL & ~1u));
	assert_false(access_purpose_covered(99, POLICY_PURPOSES_ALL));
}

/* ---- asking ---- */

static void asking_is_refused_without_account_terms_or_a_fitting_purpose_and_leaves_nothing(void **state)
{
	struct gate g;
	struct access_request q;
	struct access_grant grant;
	(void)state;
	gate_make(&g, NULL);
	struct call *c = g.stranger, *nobody = fixture_call();
	struct sha256 terms = g.offer.terms_sha256, others = sha256(STR("other terms"));
	struct str what = STR("Comparing what small models learn.");
	assert_err(nobody, ERR_UNAUTHENTICATED, access_ask(nobody, g.w.coop, nil, STR("research"), what, STR_NONE, terms, &q, &grant));
	assert_err(c, ERR_TERMS, access_ask(c, g.w.coop, nil, STR("research"), what, STR_NONE, others, &q, &grant));
	assert_err(c, ERR_INVALID, access_ask(c, g.w.coop, nil, STR("world_domination"), what, STR_NONE, terms, &q, &grant));
	assert_err(c, ERR_INVALID, access_ask(c, g.w.coop, nil, STR("commercial"), what, STR_NONE, terms, &q, &grant));
	assert_err(c, ERR_INVALID, access_ask(c, g.w.coop, nil, STR("any"), what, STR_NONE, terms, &q, &grant));
	assert_err(c, ERR_INVALID, access_ask(c, g.w.coop, nil, STR_NONE, what, STR_NONE, terms, &q, &grant));
	assert_err(c, ERR_INVALID, access_ask(c, g.w.coop, nil, STR("research"), STR("   short  "), STR_NONE, terms, &q, &grant));
	assert_err(c, ERR_INVALID, access_ask(c, g.w.coop, nil, STR("research"), STR("not \xff text at all"), STR_NONE, terms, &q, &grant));
	assert_err(c, ERR_NOT_FOUND, access_ask(c, g.w.coop, uuid_new(), STR("research"), what, STR_NONE, terms, &q, &grant));
	assert_int_equal(fixture_int("SELECT count(*) FROM access_request"), 0);
	assert_int_equal(fixture_int("SELECT count(*) FROM log_leaf WHERE convert_from(entry, 'UTF8') LIKE '%\"access.%'"), 0);
}

static void a_manual_gate_waits_for_an_admin_and_the_log_names_no_one(void **state)
{
	struct gate g;
	struct access_request q, again;
	struct access_grant grant;
	(void)state;
	gate_make(&g, NULL);
	assert_ok(g.stranger, ask_for(&g, nil, "scientific", &q, &grant));
	assert_true(uuid_is_nil(grant.id));
	assert_str(q.state, "pending");
	assert_str(q.organisation, "A lab");
	assert_err(g.stranger, ERR_EXISTS, ask_for(&g, nil, "scientific", &again, &grant));
	assert_err(g.stranger, ERR_FORBIDDEN, access_decide(g.stranger, g.w.coop, q.id, true, STR_NONE, &again, &grant));
	struct call *member = by(&g.w, 5);
	assert_err(member, ERR_FORBIDDEN, access_decide(member, g.w.coop, q.id, true, STR_NONE, &again, &grant));
	struct call *admin = by(&g.w, 1);
	assert_err(admin, ERR_INVALID, access_decide(admin, g.w.coop, q.id, false, STR(" "), &again, &grant));
	assert_ok(admin, access_decide(admin, g.w.coop, q.id, true, STR("Fits."), &q, &grant));
	assert_str(q.state, "granted");
	assert_str(q.reason, "Fits.");
	assert_true(uuid_eq(q.grant, grant.id) && uuid_eq(grant.request, q.id) && uuid_eq(grant.account, g.stranger->actor.account));
	assert_false(grant.automatic);
	assert_int_equal(grant.expires_at, duration_add(clock_now(), g.offer.grant_life, 1));
	assert_err(admin, ERR_STATE, access_decide(admin, g.w.coop, q.id, false, STR("No after all."), &again, &grant));
	assert_int_equal(fixture_int("SELECT count(*) FROM log_leaf WHERE convert_from(entry, 'UTF8') LIKE '%\"t\":\"access.asked\"}'"), 1);
	assert_int_equal(fixture_int("SELECT count(*) FROM log_leaf WHERE convert_from(entry, 'UTF8') LIKE '%\"t\":\"access.granted\"}'"), 1);
	const char *leaf = fixture_text("SELECT convert_from(entry, 'UTF8') FROM log_leaf WHERE convert_from(entry, 'UTF8') LIKE '%access.granted%'");
	assert_null(strstr(leaf, "lab"));
	assert_null(strstr(leaf, "scientific"));
	assert_null(strstr(leaf, str_z(admin->arena, uuid_format(admin->arena, g.stranger->actor.account))));
}

static void a_refusal_is_told_with_its_reason_and_opens_nothing(void **state)
{
	struct gate g;
	struct access_request q;
	struct access_grant grant;
	(void)state;
	gate_make(&g, NULL);
	assert_ok(g.stranger, ask_for(&g, nil, "research", &q, &grant));
	struct call *admin = by(&g.w, 0);
	assert_ok(admin, access_decide(admin, g.w.coop, q.id, false, STR("Too vague."), &q, &grant));
	assert_str(q.state, "refused");
	assert_true(uuid_is_nil(grant.id) && uuid_is_nil(q.grant));
	assert_err(g.stranger, ERR_FORBIDDEN, check(&g, g.stranger, STR_NONE));
	assert_string_equal(g.stranger->error.reason, "no_grant");
	assert_int_equal(fixture_int("SELECT count(*) FROM log_leaf WHERE convert_from(entry, 'UTF8') LIKE '%\"t\":\"access.refused\"}'"), 1);
}

static void an_automatic_gate_grants_at_once_and_once(void **state)
{
	struct gate g;
	struct access_request q;
	struct access_grant grant, again;
	(void)state;
	gate_make(&g, AUTO);
	assert_ok(g.stranger, ask_for(&g, nil, "academic", &q, &grant));
	assert_false(uuid_is_nil(grant.id));
	assert_true(grant.automatic);
	assert_str(q.state, "granted");
	assert_ok(g.stranger, check(&g, g.stranger, STR_NONE));
	assert_err(g.stranger, ERR_EXISTS, ask_for(&g, nil, "academic", &q, &again));
	clock_set(grant.expires_at - 29 * CLOCK_DAY);
	assert_ok(g.stranger, ask_for(&g, nil, "academic", &q, &again));
	assert_true(again.expires_at > grant.expires_at);
}

static void an_automatic_grant_opens_no_release_that_a_person_must_decide_about(void **state)
{
	struct gate g;
	(void)state;
	gate_make(&g, AUTO);
	granted(&g, nil);
	assert_ok(g.stranger, check(&g, g.stranger, STR_NONE));
	respec("\"audience\":\"gated_auto\"", "\"audience\":\"gated_manual\"");
	assert_err(g.stranger, ERR_FORBIDDEN, check(&g, g.stranger, STR_NONE));
	assert_string_equal(g.stranger->error.reason, "needs_decision");
}

static void what_is_public_needs_no_grant_and_takes_no_request(void **state)
{
	struct gate g;
	struct access_request q;
	struct access_grant grant;
	(void)state;
	gate_make(&g, "{\"access\":{\"mode\":\"public\"},\"release\":{\"uses\":[\"train.gen\"],\"purposes\":[\"research\"],\"audience\":\"public\"}}");
	struct call *nobody = fixture_call();
	assert_ok(nobody, check(&g, nobody, STR_NONE));
	assert_err(g.stranger, ERR_REFUSED, ask_for(&g, nil, "research", &q, &grant));
}

/* ---- downloading ---- */

static void a_gate_tells_nobody_somebody_and_the_holder_apart(void **state)
{
	struct gate g;
	(void)state;
	gate_make(&g, NULL);
	struct call *nobody = fixture_call();
	assert_err(nobody, ERR_UNAUTHENTICATED, check(&g, nobody, STR_NONE));
	assert_err(g.stranger, ERR_FORBIDDEN, check(&g, g.stranger, STR_NONE));
	assert_string_equal(g.stranger->error.reason, "no_grant");
	struct call *member = by(&g.w, 5);
	assert_err(member, ERR_FORBIDDEN, check(&g, member, STR_NONE)); /* purpose and terms on record: of members too */
	granted(&g, nil);
	assert_ok(g.stranger, check(&g, g.stranger, STR_NONE));
	struct call *other = newcomer(&g, "other");
	assert_err(other, ERR_FORBIDDEN, check(&g, other, STR_NONE));
}

static void a_grant_ends_on_the_instant(void **state)
{
	struct gate g;
	(void)state;
	gate_make(&g, NULL);
	struct access_grant grant = granted(&g, nil);
	clock_set(grant.expires_at - 1);
	assert_ok(g.stranger, check(&g, g.stranger, STR_NONE));
	clock_set(grant.expires_at);
	assert_err(g.stranger, ERR_FORBIDDEN, check(&g, g.stranger, STR_NONE));
	assert_string_equal(g.stranger->error.reason, "grant_expired");
}

static void a_revoked_grant_and_its_tokens_open_nothing(void **state)
{
	struct gate g;
	struct access_grant out;
	struct str jwt;
	instant expires;
	(void)state;
	gate_make(&g, NULL);
	struct access_grant grant = granted(&g, nil);
	struct call *bearer = fixture_call(), *member = by(&g.w, 5);
	bearer->actor.kind = AUTH_GRANT;
	assert_ok(g.stranger, access_token(g.stranger, g.w.coop, grant.id, &jwt, &expires));
	assert_ok(bearer, check(&g, bearer, jwt));
	assert_err(member, ERR_NOT_FOUND, access_revoke(member, g.w.coop, grant.id, STR_NONE, &out));
	struct call *admin = by(&g.w, 2);
	assert_ok(admin, access_revoke(admin, g.w.coop, grant.id, STR("Passed it on."), &out));
	assert_int_equal(out.revoked_at, clock_now());
	clock_set(clock_now() + CLOCK_SECOND);
	assert_ok(admin, access_revoke(admin, g.w.coop, grant.id, STR("Again."), &out));
	assert_int_equal(out.revoked_at, clock_now() - CLOCK_SECOND);
	assert_err(g.stranger, ERR_FORBIDDEN, check(&g, g.stranger, STR_NONE));
	assert_string_equal(g.stranger->error.reason, "grant_revoked");
	assert_err(bearer, ERR_FORBIDDEN, check(&g, bearer, jwt));
	assert_err(g.stranger, ERR_FORBIDDEN, access_token(g.stranger, g.w.coop, grant.id, &jwt, &expires));
	assert_int_equal(fixture_int("SELECT count(*) FROM log_leaf WHERE convert_from(entry, 'UTF8') LIKE '%\"t\":\"access.revoked\"}'"), 1);
}

static void whoever_holds_a_grant_may_give_it_up(void **state)
{
	struct gate g;
	struct access_grant out;
	(void)state;
	gate_make(&g, NULL);
	struct access_grant grant = granted(&g, nil);
	assert_ok(g.stranger, access_revoke(g.stranger, g.w.coop, grant.id, STR_NONE, &out));
	assert_err(g.stranger, ERR_FORBIDDEN, check(&g, g.stranger, STR_NONE));
}

static void a_grant_for_one_release_opens_no_other(void **state)
{
	struct gate g;
	struct str jwt;
	instant expires;
	struct uuid used;
	(void)state;
	gate_make(&g, NULL);
	struct access_grant grant = granted(&g, g.release.id);
	assert_ok(g.stranger, check(&g, g.stranger, STR_NONE));
	assert_ok(g.stranger, access_token(g.stranger, g.w.coop, grant.id, &jwt, &expires));
	struct release other = g.release;
	other.id = uuid_new();
	assert_err(g.stranger, ERR_FORBIDDEN, access_check(g.stranger, g.w.coop, &other, STR_NONE, &used));
	assert_string_equal(g.stranger->error.reason, "other_release");
	struct call *bearer = fixture_call();
	bearer->actor.kind = AUTH_GRANT;
	assert_ok(bearer, access_check(bearer, g.w.coop, &g.release, jwt, &used));
	assert_true(uuid_eq(used, grant.id));
	assert_err(bearer, ERR_FORBIDDEN, access_check(bearer, g.w.coop, &other, jwt, &used));
}

/* Who had got a version must get the one that is it without what was erased, and the patch that is there. */
static void a_grant_for_a_release_opens_the_redactions_made_from_it(void **state)
{
	struct gate g;
	struct str jwt;
	instant expires;
	struct uuid used;
	(void)state;
	gate_make(&g, NULL);
	struct access_grant grant = granted(&g, g.release.id);
	assert_ok(g.stranger, access_token(g.stranger, g.w.coop, grant.id, &jwt, &expires));
	struct call *bearer = fixture_call();
	bearer->actor.kind = AUTH_GRANT;
	struct release redaction = g.release, again = g.release;
	redaction.id = uuid_new();
	redaction.redacts = g.release.id;
	assert_ok(g.stranger, access_check(g.stranger, g.w.coop, &redaction, STR_NONE, &used));
	assert_true(uuid_eq(used, grant.id));
	assert_ok(bearer, access_check(bearer, g.w.coop, &redaction, jwt, &used));
	/* A redaction of the redaction, too. */
	fixture_sql("INSERT INTO release (coop_id, id, charter, cutoff_at, state, state_at, spec, seed, frozen_at, candidates, included, contributors, candidates_sha256, ballot_id, version, manifest_sha256, "
		"redacts_id) SELECT coop_id, '00000000-0000-4000-8000-000000000007', charter, cutoff_at, 'withdrawn', state_at, spec, seed, frozen_at, candidates, included, contributors, candidates_sha256, "
		"ballot_id, '2.0.0', manifest_sha256, id FROM release WHERE version = '1.0.0'");
	again.id = uuid_new();
	assert_true(uuid_parse(STR("00000000-0000-4000-8000-000000000007"), &again.redacts));
	assert_ok(g.stranger, access_check(g.stranger, g.w.coop, &again, STR_NONE, &used));
	assert_ok(bearer, access_check(bearer, g.w.coop, &again, jwt, &used));
}

static void new_terms_must_be_accepted_before_the_next_download(void **state)
{
	struct gate g;
	struct access_request q;
	struct access_grant grant;
	struct str jwt;
	instant expires;
	(void)state;
	gate_make(&g, NULL);
	assert_ok(g.stranger, ask_for(&g, nil, "academic", &q, &grant));
	struct access_grant held = granted(&g, nil);
	assert_ok(g.stranger, check(&g, g.stranger, STR_NONE));
	amend(&g, "and no others", "and for no others");
	assert_err(g.stranger, ERR_TERMS, check(&g, g.stranger, STR_NONE));
	assert_err(g.stranger, ERR_TERMS, access_token(g.stranger, g.w.coop, held.id, &jwt, &expires));
	struct call *admin = by(&g.w, 0);
	assert_err(admin, ERR_STATE, access_decide(admin, g.w.coop, q.id, true, STR_NONE, &q, &grant));
	assert_string_equal(admin->error.reason, "terms_changed");
	assert_ok(admin, access_decide(admin, g.w.coop, q.id, false, STR("The terms have changed; please ask again."), &q, &grant));
}

static void a_release_for_other_purposes_stays_closed(void **state)
{
	struct gate g;
	(void)state;
	gate_make(&g, NULL);
	granted(&g, nil);
	respec("\"purposes\":[\"research\"]", "\"purposes\":[\"education\"]");
	assert_err(g.stranger, ERR_FORBIDDEN, check(&g, g.stranger, STR_NONE));
	assert_string_equal(g.stranger->error.reason, "purpose_not_covered");
}

static void no_later_charter_widens_what_a_release_was_decided_for(void **state)
{
	struct gate g;
	(void)state;
	gate_make(&g, NULL);
	amend(&g, "\"mode\":\"gated_manual\"", "\"mode\":\"public\"");
	struct call *nobody = fixture_call();
	assert_err(nobody, ERR_UNAUTHENTICATED, check(&g, nobody, STR_NONE));
}

static void a_release_for_members_is_for_those_in_good_standing(void **state)
{
	struct gate g;
	struct member out;
	(void)state;
	gate_make(&g, NULL);
	granted(&g, nil);
	respec("\"audience\":\"gated_manual\"", "\"audience\":\"members\"");
	struct call *member = by(&g.w, 6);
	assert_ok(member, check(&g, member, STR_NONE));
	assert_err(g.stranger, ERR_FORBIDDEN, check(&g, g.stranger, STR_NONE));
	assert_string_equal(g.stranger->error.reason, "members_only");
	member = by(&g.w, 6);
	assert_ok(member, member_leave(member, g.w.coop, &out));
	assert_err(member, ERR_FORBIDDEN, check(&g, member, STR_NONE));
}

static void what_is_withdrawn_is_gone_and_what_is_not_built_is_not_there(void **state)
{
	static const struct { const char *state; enum err says; } cases[] = {
		{ "superseded", ERR_OK }, { "withdrawn", ERR_GONE }, { "expired", ERR_GONE }, { "scheduled", ERR_NOT_FOUND }, { "building", ERR_NOT_FOUND },
		{ "failed", ERR_NOT_FOUND }, { "cancelled", ERR_NOT_FOUND }, { "open", ERR_NOT_FOUND }, { "published", ERR_OK },
	};
	struct gate g;
	(void)state;
	gate_make(&g, NULL);
	granted(&g, nil);
	for (size_t i = 0; i < CH_LEN(cases); i++) {
		char sql[100];
		snprintf(sql, sizeof(sql), "UPDATE release SET state = '%s' WHERE version IS NOT NULL", cases[i].state);
		fixture_sql(sql);
		if (cases[i].says == ERR_OK)
			assert_ok(g.stranger, check(&g, g.stranger, STR_NONE));
		else
			assert_err(g.stranger, cases[i].says, check(&g, g.stranger, STR_NONE));
	}
}

/* ---- tokens ---- */

static void a_token_says_who_what_and_until_when_and_ends_with_its_grant(void **state)
{
	struct gate g;
	struct str jwt;
	struct token_claims claims;
	struct error e = { 0 };
	instant expires;
	(void)state;
	gate_make(&g, NULL);
	struct access_grant grant = granted(&g, nil);
	struct call *c = g.stranger;
	assert_ok(c, access_token(c, g.w.coop, grant.id, &jwt, &expires));
	assert_int_equal(expires, clock_now() + CLOCK_HOUR);
	assert_int_equal(access_token_check(c->arena, instance_keys(), jwt, str_of(config()->base_url), clock_now(), &claims, &e), ERR_OK);
	assert_str(claims.subject, str_z(c->arena, uuid_format(c->arena, c->actor.account)));
	assert_str(claims.grant, str_z(c->arena, uuid_format(c->arena, grant.id)));
	assert_str(claims.scope, str_z(c->arena, str_fmt(c->arena, "download:%.*s:*", STR_ARG(uuid_format(c->arena, g.w.coop)))));
	assert_int_equal(claims.issued, clock_now() - clock_now() % CLOCK_SECOND);
	clock_set(grant.expires_at - 10 * CLOCK_MINUTE);
	assert_ok(c, access_token(c, g.w.coop, grant.id, &jwt, &expires));
	assert_int_equal(expires, grant.expires_at);
	struct call *other = newcomer(&g, "other");
	assert_err(other, ERR_NOT_FOUND, access_token(other, g.w.coop, grant.id, &jwt, &expires));
	clock_set(grant.expires_at);
	assert_err(c, ERR_FORBIDDEN, access_token(c, g.w.coop, grant.id, &jwt, &expires));
}

static struct str forged(struct arena *a, const char *header, struct str jwt)
{
	struct str rest = jwt, part, claims, h = str_base64url(a, header, strlen(header));
	str_split(&rest, '.', &part);
	str_split(&rest, '.', &claims);
	return str_fmt(a, "%.*s.%.*s.%.*s", STR_ARG(h), STR_ARG(claims), STR_ARG(rest));
}

static void tokens_that_are_old_foreign_or_forged_are_refused(void **state)
{
	struct gate g;
	struct str jwt;
	instant expires;
	struct error e = { 0 };
	(void)state;
	gate_make(&g, NULL);
	struct access_grant grant = granted(&g, nil);
	struct call *c = fixture_call();
	c->actor.kind = AUTH_GRANT;
	assert_ok(g.stranger, access_token(g.stranger, g.w.coop, grant.id, &jwt, &expires));
	assert_ok(c, check(&g, c, jwt));
	struct str head = str_sub(jwt, 0, jwt.n - 4);
	assert_err(c, ERR_TOKEN_INVALID, check(&g, c, str_fmt(c->arena, "%.*sAAAA", STR_ARG(head))));
	assert_err(c, ERR_TOKEN_INVALID, check(&g, c, forged(c->arena, "{\"alg\":\"none\",\"typ\":\"JWT\"}", jwt)));
	assert_err(c, ERR_TOKEN_INVALID, check(&g, c, forged(c->arena, "{\"alg\":\"HS256\",\"typ\":\"JWT\"}", jwt)));
	assert_err(c, ERR_TOKEN_INVALID, check(&g, c, STR("a.b.c")));

	/* Ours and sound, but not for this co-op; from somebody else's grant; for another audience. */
	struct str scope = str_fmt(c->arena, "download:%.*s:*", STR_ARG(uuid_format(c->arena, g.w.coop))), base = str_of(config()->base_url);
	struct token_claims claims = { .issuer = base, .audience = base, .subject = uuid_format(c->arena, g.stranger->actor.account), .scope = scope,
		.grant = uuid_format(c->arena, grant.id), .issued = clock_now(), .expires = clock_now() + CLOCK_HOUR };
	struct token_claims t = claims;
	assert_int_equal(access_token_make(c->arena, instance_keys(), &t, &jwt, &e), ERR_OK);
	assert_ok(c, check(&g, c, jwt));
	t = claims;
	t.scope = str_fmt(c->arena, "download:%.*s:*", STR_ARG(uuid_format(c->arena, uuid_new())));
	assert_int_equal(access_token_make(c->arena, instance_keys(), &t, &jwt, &e), ERR_OK);
	assert_err(c, ERR_FORBIDDEN, check(&g, c, jwt));
	t = claims;
	t.subject = uuid_format(c->arena, g.w.actor[0].account);
	assert_int_equal(access_token_make(c->arena, instance_keys(), &t, &jwt, &e), ERR_OK);
	assert_err(c, ERR_TOKEN_INVALID, check(&g, c, jwt));
	t = claims;
	t.grant = uuid_format(c->arena, uuid_new());
	assert_int_equal(access_token_make(c->arena, instance_keys(), &t, &jwt, &e), ERR_OK);
	assert_err(c, ERR_FORBIDDEN, check(&g, c, jwt));
	t = claims;
	t.audience = STR("https://elsewhere.example");
	assert_int_equal(access_token_make(c->arena, instance_keys(), &t, &jwt, &e), ERR_OK);
	assert_err(c, ERR_TOKEN_INVALID, check(&g, c, jwt));
	t = claims;
	assert_int_equal(access_token_make(c->arena, instance_keys(), &t, &jwt, &e), ERR_OK);
	clock_set(claims.expires);
	assert_err(c, ERR_TOKEN_EXPIRED, check(&g, c, jwt));
}

/* ---- walls ---- */

static void another_coop_knows_nothing_of_these_ids(void **state)
{
	struct gate g;
	struct access_request q, *requests;
	struct access_grant grant, *grants;
	struct charter charter;
	struct coop other;
	struct str jwt, next;
	instant expires;
	size_t n;
	(void)state;
	gate_make(&g, NULL);
	struct call *founder = newcomer(&g, "founder");
	assert_ok(founder, db_begin_in(founder, g.w.coop, DB_READ));
	assert_ok(founder, charter_current(founder, g.w.coop, &charter));
	assert_ok(founder, db_commit(founder));
	assert_ok(founder, coop_found(founder, STR("other"), charter.json, &other));
	assert_ok(g.stranger, ask_for(&g, nil, "academic", &q, &grant));
	struct access_grant held = granted(&g, nil);
	assert_err(founder, ERR_NOT_FOUND, access_decide(founder, other.id, q.id, true, STR_NONE, &q, &grant));
	assert_err(founder, ERR_NOT_FOUND, access_revoke(founder, other.id, held.id, STR_NONE, &grant));
	assert_err(g.stranger, ERR_NOT_FOUND, access_token(g.stranger, other.id, held.id, &jwt, &expires));
	assert_err(founder, ERR_FORBIDDEN, access_decide(founder, g.w.coop, q.id, true, STR_NONE, &q, &grant));
	assert_err(g.stranger, ERR_NOT_FOUND, access_ask(g.stranger, other.id, g.release.id, STR("research"), STR("What small models learn."), STR_NONE,
		sha256(charter.terms), &q, &grant));
	assert_ok(founder, access_requests(founder, other.id, true, STR_NONE, STR_NONE, 10, &requests, &n, &next));
	assert_int_equal(n, 0);
	assert_ok(founder, access_grants(founder, other.id, true, STR_NONE, 10, &grants, &n, &next));
	assert_int_equal(n, 0);
}

static void lists_show_admins_all_and_others_their_own_page_by_page(void **state)
{
	static const char *const purposes[] = { "research", "scientific", "academic" };
	struct gate g;
	struct access_request q, *items;
	struct access_grant grant, *grants;
	struct str next;
	size_t n;
	(void)state;
	gate_make(&g, NULL);
	for (size_t i = 0; i < CH_LEN(purposes); i++) {
		clock_set(clock_now() + CLOCK_MINUTE);
		assert_ok(g.stranger, ask_for(&g, nil, purposes[i], &q, &grant));
	}
	struct call *admin = by(&g.w, 0);
	assert_ok(admin, access_requests(admin, g.w.coop, true, STR("pending"), STR_NONE, 2, &items, &n, &next));
	assert_int_equal(n, 2);
	assert_str(items[0].purpose, "academic");
	assert_str(items[0].account_name, "lab");
	assert_ok(admin, access_requests(admin, g.w.coop, true, STR("pending"), next, 2, &items, &n, &next));
	assert_int_equal(n, 1);
	assert_null(next.p);
	assert_str(items[0].purpose, "research");
	assert_ok(admin, access_requests(admin, g.w.coop, false, STR_NONE, STR_NONE, 10, &items, &n, &next));
	assert_int_equal(n, 0);
	assert_ok(g.stranger, access_requests(g.stranger, g.w.coop, false, STR_NONE, STR_NONE, 10, &items, &n, &next));
	assert_int_equal(n, 3);
	assert_err(g.stranger, ERR_FORBIDDEN, access_requests(g.stranger, g.w.coop, true, STR_NONE, STR_NONE, 10, &items, &n, &next));
	assert_err(g.stranger, ERR_FORBIDDEN, access_grants(g.stranger, g.w.coop, true, STR_NONE, 10, &grants, &n, &next));
	struct call *nobody = fixture_call();
	assert_err(nobody, ERR_UNAUTHENTICATED, access_grants(nobody, g.w.coop, false, STR_NONE, 10, &grants, &n, &next));
}

/* ---- the log of downloads ---- */

static void every_download_leaves_a_row_that_cannot_be_changed(void **state)
{
	struct gate g;
	int64_t deleted;
	(void)state;
	gate_make(&g, NULL);
	struct access_grant grant = granted(&g, nil);
	struct call *c = g.stranger;
	assert_ok(c, access_note(c, g.w.coop, g.release.id, grant.id, STR("manifest.json"), 206, 10, 90));
	assert_int_equal(fixture_int("SELECT count(*) FROM access_log l JOIN access_grant g ON g.id = l.grant_id AND g.account_id = l.account_id "
		"WHERE path = 'manifest.json' AND status = 206 AND first_byte = 10 AND bytes = 90"), 1);
	struct call *nobody = fixture_call();
	assert_ok(nobody, access_note(nobody, g.w.coop, g.release.id, nil, STR("README.md"), 200, 0, 1));
	assert_int_equal(fixture_int("SELECT count(*) FROM access_log WHERE account_id IS NULL AND grant_id IS NULL"), 1);
	SQL(forget_bytes, "UPDATE access_log SET bytes = 0 WHERE coop_id = $1");
	assert_ok(c, db_begin_in(c, g.w.coop, DB_WRITE));
	enum err e = db_exec(c, forget_bytes, A_UUID(g.w.coop));
	assert_true(e != ERR_OK);
	db_rollback(c);
	assert_ok(g.w.system, access_log_prune(g.w.system, g.w.coop, &deleted));
	assert_int_equal(deleted, 0);
	clock_set(clock_now() + 91 * CLOCK_DAY);
	assert_ok(g.w.system, access_jobs[0].run(g.w.system, NULL));
	assert_int_equal(fixture_int("SELECT count(*) FROM access_log"), 0);
}

/* ---- files ---- */

static void only_listed_files_and_seals_are_opened(void **state)
{
	static const char *const bad[] = {
		"", ".", "..", "/", "/etc/passwd", "../../../../etc/passwd", "data", "data/", "LICENSES", "./manifest.json", "manifest.json/", "//manifest.json", "data/../manifest.json",
		"data/./manifest.json", "%2e%2e/x", "MANIFEST.JSON", "manifest.json ", "manifest.json\n", "..\\manifest.json", "SHA256SUMS.minisig.bak", "\xff\xfe", "data/chat/../../SHA256SUMS",
	};
	struct gate g;
	struct access_file f;
	struct release_file *files;
	size_t n;
	(void)state;
	gate_make(&g, NULL);
	struct call *c = g.stranger;
	for (size_t i = 0; i < CH_LEN(bad); i++)
		assert_err(c, ERR_NOT_FOUND, access_file_open(c, g.w.coop, &g.release, str_of(bad[i]), &f));
	assert_err(c, ERR_NOT_FOUND, access_file_open(c, g.w.coop, &g.release, str_make("manifest.json\0x", 15), &f));
	assert_ok(c, access_files(c, g.w.coop, &g.release, &files, &n));
	assert_true(n > 10);
	for (size_t i = 0; i < n; i++) {
		assert_true(i == 0 || str_cmp(files[i - 1].path, files[i].path) < 0);
		assert_ok(c, access_file_open(c, g.w.coop, &g.release, files[i].path, &f));
		char *bytes = arena_alloc(c->arena, (size_t)f.size + 1);
		assert_int_equal(read(f.fd, bytes, (size_t)f.size + 1), f.size);
		close(f.fd);
		struct sha256 h = sha256(str_make(bytes, (size_t)f.size));
		assert_memory_equal(&h, &f.sha256, 32);
		assert_memory_equal(&h, &files[i].sha256, 32);
	}
	struct release other = g.release;
	other.id = uuid_new();
	assert_err(c, ERR_NOT_FOUND, access_file_open(c, g.w.coop, &other, STR("README.md"), &f));
}

static void a_link_or_another_file_in_the_place_of_one_is_refused(void **state)
{
	struct gate g;
	struct access_file f;
	(void)state;
	gate_make(&g, NULL);
	struct call *c = g.stranger;
	struct str dir = release_dir(c->arena, g.w.coop, g.release.id);
	const char *readme = str_z(c->arena, str_fmt(c->arena, "%.*s/README.md", STR_ARG(dir))), *seal = str_z(c->arena, str_fmt(c->arena, "%.*s/checkpoint", STR_ARG(dir)));
	assert_int_equal(unlink(readme) | unlink(seal), 0);
	assert_int_equal(symlink("/etc/hostname", readme) | symlink("/etc/hostname", seal), 0);
	assert_err(c, ERR_IO, access_file_open(c, g.w.coop, &g.release, STR("README.md"), &f));
	assert_err(c, ERR_IO, access_file_open(c, g.w.coop, &g.release, STR("checkpoint"), &f));
	assert_int_equal(unlink(readme) | unlink(seal), 0);
	assert_int_equal(mkfifo(readme, 0600) | mkdir(seal, 0700), 0);
	assert_err(c, ERR_CORRUPT, access_file_open(c, g.w.coop, &g.release, STR("README.md"), &f));
	assert_err(c, ERR_CORRUPT, access_file_open(c, g.w.coop, &g.release, STR("checkpoint"), &f));
	unlink(readme);
	int fd = open(readme, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
	assert_int_equal(write(fd, "short", 5), 5);
	close(fd);
	assert_err(c, ERR_CORRUPT, access_file_open(c, g.w.coop, &g.release, STR("README.md"), &f));
	const char *licences = str_z(c->arena, str_fmt(c->arena, "%.*s/LICENSES", STR_ARG(dir))), *moved = str_z(c->arena, str_fmt(c->arena, "%.*s.moved", STR_ARG(dir)));
	assert_int_equal(rename(licences, moved), 0);
	assert_int_equal(symlink(moved, licences), 0);
	assert_err(c, ERR_IO, access_file_open(c, g.w.coop, &g.release, STR("LICENSES/CC-BY-4.0.txt"), &f));
}

/* ---- status ---- */

static void the_status_is_signed_current_and_short_lived(void **state)
{
	struct gate g;
	struct coop coop;
	struct str envelope, payload;
	struct error e = { 0 };
	const struct json *v;
	instant expires;
	(void)state;
	gate_make(&g, NULL);
	struct call *c = fixture_call();
	assert_ok(c, coop_read(c, g.w.coop, &coop));
	assert_ok(c, status_read(c, g.w.coop, &envelope));
	assert_int_equal(dsse_verify(c->arena, envelope, (const uint8_t (*)[32])&coop.public_key, 1, 1, STR(STATUS_PAYLOAD_TYPE), &payload, &e), ERR_OK);
	assert_int_equal(json_parse(c->arena, payload, &v, &e), ERR_OK);
	struct buf b;
	buf_init(&b, MIB);
	json_canonical(&b, v, false);
	assert_true(str_eq(buf_str(&b), payload));
	buf_release(&b);
	assert_true(clock_parse(json_member_text(v, "expires"), &expires));
	assert_true(expires > clock_now() && expires <= clock_now() + 24 * CLOCK_HOUR);
	assert_str(json_text(json_at(v, "/usable/0")), str_z(c->arena, g.release.version));
	assert_str(json_member_text(v, "min_usable"), str_z(c->arena, g.release.version));
	assert_int_equal(json_int(json_get(v, "size"), -1), fixture_int("SELECT size FROM log_head"));
	fixture_sql("UPDATE release SET state = 'withdrawn' WHERE version IS NOT NULL");
	assert_ok(c, status_read(c, g.w.coop, &envelope));
	assert_int_equal(dsse_verify(c->arena, envelope, (const uint8_t (*)[32])&coop.public_key, 1, 1, STR(STATUS_PAYLOAD_TYPE), &payload, &e), ERR_OK);
	assert_int_equal(json_parse(c->arena, payload, &v, &e), ERR_OK);
	assert_int_equal(json_get(v, "usable")->count, 0);
	assert_str(json_text(json_at(v, "/withdrawn/0")), str_z(c->arena, g.release.version));
	assert_true(json_is(json_get(v, "min_usable"), JSON_NULL));
}

static void a_release_is_found_by_its_manifests_digest(void **state)
{
	struct gate g;
	struct release r;
	(void)state;
	gate_make(&g, NULL);
	struct call *c = g.stranger;
	struct str hex = sha256_hex(c->arena, g.release.manifest_sha256);
	assert_ok(c, release_find(c, g.w.coop, hex, &r));
	assert_true(uuid_eq(r.id, g.release.id));
	assert_ok(c, release_find(c, g.w.coop, str_sub(hex, 0, 40), &r));
	assert_true(uuid_eq(r.id, g.release.id));
	assert_err(c, ERR_NOT_FOUND, release_find(c, g.w.coop, str_sub(hex, 0, 38), &r));
	assert_err(c, ERR_NOT_FOUND, release_find(c, g.w.coop, STR("0000000000000000000000000000000000000000"), &r));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(content_usage_allows_training_only_where_the_release_does_and_denies_the_rest),
		cmocka_unit_test(a_purpose_is_covered_by_itself_and_by_wider_ones),
		fixture_test(asking_is_refused_without_account_terms_or_a_fitting_purpose_and_leaves_nothing),
		fixture_test(a_manual_gate_waits_for_an_admin_and_the_log_names_no_one),
		fixture_test(a_refusal_is_told_with_its_reason_and_opens_nothing),
		fixture_test(an_automatic_gate_grants_at_once_and_once),
		fixture_test(an_automatic_grant_opens_no_release_that_a_person_must_decide_about),
		fixture_test(what_is_public_needs_no_grant_and_takes_no_request),
		fixture_test(a_gate_tells_nobody_somebody_and_the_holder_apart),
		fixture_test(a_grant_ends_on_the_instant),
		fixture_test(a_revoked_grant_and_its_tokens_open_nothing),
		fixture_test(whoever_holds_a_grant_may_give_it_up),
		fixture_test(a_grant_for_one_release_opens_no_other),
		fixture_test(a_grant_for_a_release_opens_the_redactions_made_from_it),
		fixture_test(new_terms_must_be_accepted_before_the_next_download),
		fixture_test(a_release_for_other_purposes_stays_closed),
		fixture_test(no_later_charter_widens_what_a_release_was_decided_for),
		fixture_test(a_release_for_members_is_for_those_in_good_standing),
		fixture_test(what_is_withdrawn_is_gone_and_what_is_not_built_is_not_there),
		fixture_test(a_token_says_who_what_and_until_when_and_ends_with_its_grant),
		fixture_test(tokens_that_are_old_foreign_or_forged_are_refused),
		fixture_test(another_coop_knows_nothing_of_these_ids),
		fixture_test(lists_show_admins_all_and_others_their_own_page_by_page),
		fixture_test(every_download_leaves_a_row_that_cannot_be_changed),
		fixture_test(only_listed_files_and_seals_are_opened),
		fixture_test(a_link_or_another_file_in_the_place_of_one_is_refused),
		fixture_test(the_status_is_signed_current_and_short_lived),
		fixture_test(a_release_is_found_by_its_manifests_digest),
	};
	return fixture_run(tests, CH_LEN(tests));
}
