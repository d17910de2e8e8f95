/* Mirrors and what they owe: who may register, who is told of an erasure, what a receipt must be, and what follows day by day when none comes. */
#include "world.h"

#include "commonhold/access.h"
#include "commonhold/account.h"
#include "commonhold/crypto.h"
#include "commonhold/json.h"
#include "commonhold/mirror.h"
#include "server/erasure/mirror/push.h"

#include <stdio.h>

#define DAY CLOCK_DAY

static const struct uuid nil;
static const struct job_kind *const jobs[] = { mirror_jobs, NULL };

/* A co-op with a published release, somebody from outside with a grant, and a mirror's key. */
struct scene {
	struct world w;
	struct release release;
	struct call *lab;
	struct access_grant grant;
	struct sign_key key;
};

static struct call *newcomer(const char *name)
{
	struct call *c = fixture_call();
	struct account account;
	assert_ok(c, account_create(c, str_fmt(c->arena, "%s@example.org", name), str_of(name), &account));
	c->actor = (struct actor){ .kind = AUTH_SESSION, .account = account.id, .email = account.email, .name = account.name };
	return c;
}

static enum err ask(struct scene *s, struct call *who, struct access_request *q)
{
	struct access_offer offer;
	struct access_grant none;
	TRY(access_offer_read(who, s->w.coop, &s->release, &offer));
	return access_ask(who, s->w.coop, nil, STR("scientific"), STR("Comparing what small models learn."), STR("A lab"), offer.terms_sha256, q, &none);
}

static struct access_grant grant_for(struct scene *s, struct call *who)
{
	struct access_request q;
	struct access_grant g;
	assert_ok(who, ask(s, who, &q));
	assert_ok(by(&s->w, 1), access_decide(by(&s->w, 1), s->w.coop, q.id, true, STR_NONE, &q, &g));
	return g;
}

static void scene_make(struct scene *s)
{
	*s = (struct scene){ 0 };
	world_make(&s->w, NULL);
	for (int i = 0; i < 3; i++) {
		world_say(&s->w, i, "allow");
		world_contribute(&s->w, i, i ? "How deep do roots go?" : "When is hay cut?");
	}
	struct release r = world_published(&s->w);
	s->release = world_read(&s->w, r.id);
	assert_int_equal(s->release.state, RELEASE_PUBLISHED);
	s->lab = newcomer("lab");
	s->grant = grant_for(s, s->lab);
	sign_key_new(&s->key);
	struct error e = { 0 };
	int ran;
	assert_int_equal(job_run_due(jobs, &ran, &e), ERR_OK); /* "mirror.published" */
}

/* The proof of a key, as `commonhold mirror key` makes it. */
static struct str proof(struct call *c, const struct sign_key *k, const char *coop, instant at)
{
	struct str said = str_fmt(c->arena, "{\"at\":\"%.*s\",\"coop\":\"%s\",\"key\":\"%.*s\"}", STR_ARG(clock_format(c->arena, at)), coop, STR_ARG(key_id(c->arena, k->public_key)));
	return dsse_sign(c->arena, k, 1, STR(MIRROR_KEY_TYPE), said);
}

static struct mirror_draft draft(struct scene *s, struct call *c, enum mirror_kind kind, const char *name)
{
	return (struct mirror_draft){ .name = str_of(name), .kind = kind, .url = kind == MIRROR_WEBHOOK ? STR("https://mirror.example/hook") : STR_NONE,
		.public_key = str_hex(c->arena, s->key.public_key, 32), .proof = proof(c, &s->key, "test", clock_now()), .names = { STR_NONE, STR_NONE, STR("test") } };
}

static struct mirror registered(struct scene *s, enum mirror_kind kind, const char *name)
{
	struct mirror m;
	struct str secret;
	struct mirror_draft in = draft(s, s->lab, kind, name);
	assert_ok(s->lab, mirror_register(s->lab, s->w.coop, &in, &m, &secret));
	assert_int_equal(secret.p != NULL, kind == MIRROR_WEBHOOK);
	return m;
}

static void download(struct scene *s, struct call *c, struct uuid grant)
{
	assert_ok(c, access_note(c, s->w.coop, s->release.id, grant, STR("data/a.jsonl.gz"), 200, 0, 10));
}

/* `n` tombstones of a new erasure, of the kind, naming the release; gives the erasure. The second announces it. */
static struct uuid buried(struct scene *s, const char *kind, int n)
{
	struct call *c = s->w.system;
	struct uuid id = uuid_new();
	char sql[1500];
	for (int i = 0; i < n; i++) {
		snprintf(sql, sizeof(sql),
			"INSERT INTO tombstone (coop_id, idx, contribution_id, kind, reason_code, releases, made_at, effective, purge_by, until, erasure_id, line, digest) "
			"SELECT o.id, (SELECT count(*) FROM tombstone), gen_random_uuid(), '%s', 'consent_withdrawn', ARRAY['%.*s'], '%.*s', '2026-01-01 00:00Z', '2026-01-01 00:00Z', NULL, "
			"'%.*s', '{}', sha256('{}') FROM coop o",
			kind, STR_ARG(s->release.version), STR_ARG(clock_format(c->arena, clock_now() - clock_now() % CLOCK_HOUR)), STR_ARG(uuid_format(c->arena, id)));
		fixture_sql(sql);
	}
	return id;
}

static struct uuid erased(struct scene *s, const char *kind, int n)
{
	struct call *c = s->w.system;
	struct uuid id = buried(s, kind, n);
	assert_ok(c, db_begin_in(c, s->w.coop, DB_WRITE));
	assert_ok(c, mirror_announce(c, s->w.coop, id));
	assert_ok(c, db_commit(c));
	return id;
}

static void withdrawn(struct scene *s)
{
	(void)s;
	fixture_sql("UPDATE release SET state = 'withdrawn', tombstones_from = 0, tombstones_upto = 0 WHERE version IS NOT NULL");
}

struct said { const char *mirror, *method, *releases; int64_t upto; instant at; const struct sign_key *key; };

static struct str statement(struct scene *s, const struct mirror *m, struct said f)
{
	struct arena *a = s->lab->arena;
	struct str id = f.mirror ? str_of(f.mirror) : uuid_format(a, m->id);
	const struct sign_key *k = f.key ? f.key : &s->key;
	struct str said = str_fmt(a, "{\"at\":\"%.*s\",\"key\":\"%.*s\",\"method\":\"%s\",\"mirror\":\"%.*s\",\"releases\":%s,\"upto\":%lld}",
		STR_ARG(clock_format(a, f.at ? f.at : clock_now())), STR_ARG(key_id(a, k->public_key)), f.method ? f.method : "deleted", STR_ARG(id), f.releases ? f.releases : "[]", (long long)f.upto);
	return dsse_sign(a, k, 1, STR(MIRROR_RECEIPT_TYPE), said);
}

static enum err confirm(struct scene *s, const struct mirror *m, struct said f, struct purge_receipt *out)
{
	struct call *anyone = s->w.person;
	anyone->actor = (struct actor){ 0 };
	enum err e = receipt_take(anyone, s->w.coop, m->id, statement(s, m, f), out);
	if (e != ERR_OK)
		db_rollback(anyone);
	return e;
}

static void refused(struct scene *s, const struct mirror *m, struct said f, enum err code, const char *reason)
{
	struct purge_receipt t;
	assert_int_equal(confirm(s, m, f, &t), code);
	assert_string_equal(s->w.person->error.reason, reason);
	error_clear(&s->w.person->error);
}

static struct duty_counts counts(struct scene *s, struct uuid erasure)
{
	struct duty_counts n;
	assert_ok(s->w.system, db_begin_in(s->w.system, s->w.coop, DB_READ));
	assert_ok(s->w.system, mirror_duty_counts(s->w.system, s->w.coop, erasure, &n));
	assert_ok(s->w.system, db_commit(s->w.system));
	return n;
}

static struct mirror read_mirror(struct scene *s, struct uuid id)
{
	struct mirror m;
	assert_ok(s->w.system, mirror_read(s->w.system, s->w.coop, id, &m));
	return m;
}

static int64_t completions(void)
{
	return fixture_int("SELECT count(*) FROM job WHERE kind = 'erasure.complete'");
}

/* ---- registering ---- */

static void a_mirror_needs_a_grant_in_force_or_an_admin(void **state)
{
	struct scene s;
	struct mirror m;
	struct str secret;
	(void)state;
	scene_make(&s);
	struct call *stranger = newcomer("stranger");
	struct mirror_draft in = draft(&s, stranger, MIRROR_PULL, "A copy");
	assert_err(stranger, ERR_FORBIDDEN, mirror_register(stranger, s.w.coop, &in, &m, &secret));
	assert_string_equal(stranger->error.reason, "no_grant");
	struct mirror_draft kept = { .name = STR("Bucket"), .kind = MIRROR_S3 };
	assert_err(s.lab, ERR_FORBIDDEN, mirror_register(s.lab, s.w.coop, &kept, &m, &secret));
	assert_ok(by(&s.w, 1), mirror_register(by(&s.w, 1), s.w.coop, &kept, &m, &secret));
	assert_false(m.has_key);
	m = registered(&s, MIRROR_PULL, "A copy");
	assert_str(m.name, "A copy");
	assert_int_equal(m.seen_upto, -1);
	assert_err(s.lab, ERR_EXISTS, mirror_register(s.lab, s.w.coop, &in, &m, &secret));
	clock_set(s.grant.expires_at);
	struct sign_key other;
	sign_key_new(&other);
	s.key = other;
	in = draft(&s, s.lab, MIRROR_PULL, "Later");
	assert_err(s.lab, ERR_FORBIDDEN, mirror_register(s.lab, s.w.coop, &in, &m, &secret));
}

static void whoever_registers_a_key_proves_that_they_have_it(void **state)
{
	struct scene s;
	struct mirror m;
	struct str secret;
	struct sign_key other;
	(void)state;
	scene_make(&s);
	sign_key_new(&other);
	struct call *c = s.lab;
	const struct str proofs[] = { STR_NONE, STR("{}"), proof(c, &other, "test", clock_now()), proof(c, &s.key, "elsewhere", clock_now()),
		proof(c, &s.key, "test", clock_now() - 25 * CLOCK_HOUR), proof(c, &s.key, "test", clock_now() + CLOCK_HOUR) };
	for (size_t i = 0; i < CH_LEN(proofs); i++) {
		struct mirror_draft in = draft(&s, c, MIRROR_PULL, "A copy");
		in.proof = proofs[i];
		assert_err(c, ERR_INVALID, mirror_register(c, s.w.coop, &in, &m, &secret));
		assert_str(c->error.faults->pointer, "/proof");
	}
	struct mirror_draft in = draft(&s, c, MIRROR_PULL, "A copy");
	in.public_key = STR("not a key");
	assert_err(c, ERR_INVALID, mirror_register(c, s.w.coop, &in, &m, &secret));
	assert_int_equal(fixture_int("SELECT count(*) FROM mirror"), 0);
}

static void the_secret_is_shown_once_and_sealed_at_rest(void **state)
{
	struct scene s;
	struct mirror m;
	struct str secret, raw, second;
	(void)state;
	scene_make(&s);
	struct mirror_draft in = draft(&s, s.lab, MIRROR_WEBHOOK, "Hook");
	assert_ok(s.lab, mirror_register(s.lab, s.w.coop, &in, &m, &secret));
	assert_true(str_starts(secret, "whsec_"));
	assert_true(str_unbase64(s.lab->arena, str_sub(secret, 6, secret.n), &raw));
	assert_int_equal(raw.n, 32);
	char sql[200];
	snprintf(sql, sizeof(sql), "SELECT count(*) FROM mirror WHERE position('\\x%.*s'::bytea IN secret) > 0", STR_ARG(str_hex(s.lab->arena, raw.p, raw.n)));
	assert_int_equal(fixture_int(sql), 0);
	assert_ok(s.lab, mirror_new_secret(s.lab, s.w.coop, m.id, &second));
	assert_false(str_eq(secret, second));
}

static void a_webhook_on_a_private_address_is_refused_by_default(void **state)
{
	static const char *const urls[] = { "http://mirror.example/hook", "https://127.0.0.1/hook", "https://[::1]/hook", "https://10.0.0.7/", "https://169.254.169.254/latest", "https://a:b@mirror.example/",
		"ftp://mirror.example/", "" };
	struct scene s;
	struct mirror m;
	struct str secret;
	(void)state;
	scene_make(&s);
	for (size_t i = 0; i < CH_LEN(urls); i++) {
		struct mirror_draft in = draft(&s, s.lab, MIRROR_WEBHOOK, "Hook");
		in.url = str_of(urls[i]);
		assert_err(s.lab, ERR_INVALID, mirror_register(s.lab, s.w.coop, &in, &m, &secret));
		assert_str(s.lab->error.faults->pointer, "/url");
	}
}

/* ---- who owes ---- */

static void mirrors_that_hold_a_version_owe_and_others_do_not(void **state)
{
	struct scene s;
	(void)state;
	scene_make(&s);
	struct mirror silent = registered(&s, MIRROR_PULL, "Silent");
	sign_key_new(&s.key);
	struct mirror holds = registered(&s, MIRROR_PULL, "Holds");
	sign_key_new(&s.key);
	struct mirror empty = registered(&s, MIRROR_PULL, "Empty");
	assert_ok(s.lab, mirror_tell_holdings(s.lab, s.w.coop, holds.id, &s.release.version, 1));
	assert_ok(s.lab, mirror_tell_holdings(s.lab, s.w.coop, empty.id, NULL, 0));
	erased(&s, "erase", 2);
	assert_int_equal(read_mirror(&s, silent.id).owed, 1);
	assert_int_equal(read_mirror(&s, holds.id).owed, 1);
	assert_int_equal(read_mirror(&s, empty.id).owed, 0);
	struct str never = STR("9.9.9");
	assert_err(s.lab, ERR_INVALID, mirror_tell_holdings(s.lab, s.w.coop, holds.id, &never, 1));
}

static void a_download_is_remembered_when_the_access_log_is_pruned(void **state)
{
	struct scene s;
	int64_t deleted;
	(void)state;
	scene_make(&s);
	download(&s, s.lab, s.grant.id);
	clock_set(clock_now() + 4000 * DAY);
	assert_ok(s.w.system, access_log_prune(s.w.system, s.w.coop, &deleted));
	assert_int_equal(deleted, 1);
	struct uuid erasure = erased(&s, "erase", 1);
	assert_int_equal(counts(&s, erasure).total, 1);
	assert_int_equal(fixture_int("SELECT count(*) FROM duty WHERE kind = 'grant'"), 1);
	assert_int_equal(completions(), 0);
}

static void a_grant_that_downloaded_nothing_owes_nothing_and_the_erasure_is_complete(void **state)
{
	struct scene s;
	(void)state;
	scene_make(&s);
	struct uuid erasure = erased(&s, "erase", 1);
	assert_int_equal(counts(&s, erasure).total, 0);
	assert_int_equal(completions(), 1);
}

static void what_is_only_withdrawn_for_the_future_is_announced_and_owed_by_nobody(void **state)
{
	struct scene s;
	(void)state;
	scene_make(&s);
	registered(&s, MIRROR_WEBHOOK, "Hook");
	download(&s, s.lab, s.grant.id);
	struct uuid erasure = erased(&s, "withdraw_future", 1);
	assert_int_equal(counts(&s, erasure).total, 0);
	assert_int_equal(fixture_int("SELECT count(*) FROM delivery"), 1);
}

static void announcing_twice_changes_nothing(void **state)
{
	struct scene s;
	(void)state;
	scene_make(&s);
	registered(&s, MIRROR_WEBHOOK, "Hook");
	struct uuid erasure = erased(&s, "erase", 3);
	struct call *c = s.w.system;
	assert_ok(c, db_begin_in(c, s.w.coop, DB_WRITE));
	assert_ok(c, mirror_announce(c, s.w.coop, erasure));
	assert_ok(c, db_commit(c));
	assert_int_equal(counts(&s, erasure).total, 1);
	assert_int_equal(fixture_int("SELECT count(*) FROM delivery"), 1);
	assert_int_equal(fixture_int("SELECT count(*) FROM notice WHERE kind = 'deletion.announced'"), 1);
}

static void a_mirror_that_dealt_with_it_before_it_was_announced_has_confirmed(void **state)
{
	struct scene s;
	struct purge_receipt t;
	(void)state;
	scene_make(&s);
	struct mirror quick = registered(&s, MIRROR_PULL, "Quick");
	struct sign_key first = s.key;
	sign_key_new(&s.key);
	struct mirror holds = registered(&s, MIRROR_PULL, "Holds");
	assert_ok(s.lab, mirror_tell_holdings(s.lab, s.w.coop, holds.id, &s.release.version, 1));
	clock_set(clock_now() + DAY);
	struct uuid erasure = buried(&s, "erase", 2);
	char held[80];
	snprintf(held, sizeof(held), "[\"%.*s\"]", STR_ARG(s.release.version));
	/* Not withdrawn yet: it has seen the tombstones and holds what it held. */
	assert_int_equal(confirm(&s, &holds, (struct said){ .upto = 1, .releases = held }, &t), ERR_OK);
	s.key = first;
	assert_int_equal(confirm(&s, &quick, (struct said){ .upto = 1 }, &t), ERR_OK);
	assert_int_equal(t.confirmed, 0);
	struct call *c = s.w.system;
	assert_ok(c, db_begin_in(c, s.w.coop, DB_WRITE));
	assert_ok(c, mirror_announce(c, s.w.coop, erasure));
	assert_ok(c, db_commit(c));
	struct duty_counts n = counts(&s, erasure);
	assert_int_equal(n.total, 2);
	assert_int_equal(n.confirmed, 1);
	assert_int_equal(read_mirror(&s, holds.id).owed, 1);
	assert_int_equal(read_mirror(&s, quick.id).owed, 0);
	assert_int_equal(completions(), 0);
}

static void an_account_with_a_mirror_owes_once(void **state)
{
	struct scene s;
	(void)state;
	scene_make(&s);
	registered(&s, MIRROR_PULL, "A copy");
	download(&s, s.lab, s.grant.id);
	struct uuid erasure = erased(&s, "erase", 1);
	assert_int_equal(counts(&s, erasure).total, 1);
	assert_int_equal(fixture_int("SELECT count(*) FROM duty WHERE kind = 'mirror'"), 1);
}

static void recipients_are_not_told_how_their_duties_are_cut_into_requests(void **state)
{
	struct scene s;
	struct duty *owed;
	size_t n;
	(void)state;
	scene_make(&s);
	registered(&s, MIRROR_PULL, "A copy");
	erased(&s, "erase", 2);
	erased(&s, "erase", 3);
	assert_ok(s.lab, mirror_owed(s.lab, s.w.coop, &owed, &n));
	assert_int_equal(n, 1);
	assert_int_equal(owed[0].upto, 4);
	assert_true(uuid_is_nil(owed[0].erasure) && uuid_is_nil(owed[0].id));
	struct duty_filter f = { 0 };
	struct str next;
	assert_err(s.lab, ERR_FORBIDDEN, mirror_duties_list(s.lab, s.w.coop, &f, &owed, &n, &next));
	assert_ok(by(&s.w, 1), mirror_duties_list(by(&s.w, 1), s.w.coop, &f, &owed, &n, &next));
	assert_int_equal(n, 2);
}

/* ---- receipts ---- */

static void a_receipt_confirms_every_duty_up_to_it_and_no_more(void **state)
{
	struct scene s;
	struct purge_receipt t;
	(void)state;
	scene_make(&s);
	struct mirror m = registered(&s, MIRROR_PULL, "A copy");
	struct uuid first = erased(&s, "erase", 2), second = erased(&s, "erase", 2), third = erased(&s, "erase", 1);
	withdrawn(&s);
	assert_int_equal(confirm(&s, &m, (struct said){ .upto = 3 }, &t), ERR_OK);
	assert_int_equal(t.confirmed, 2);
	assert_int_equal(counts(&s, first).confirmed, 1);
	assert_int_equal(counts(&s, second).confirmed, 1);
	assert_int_equal(counts(&s, third).confirmed, 0);
	assert_int_equal(completions(), 2);
	assert_int_equal(read_mirror(&s, m.id).seen_upto, 3);
	assert_int_equal(fixture_int("SELECT count(*) FROM log_leaf WHERE convert_from(entry, 'UTF8') LIKE '%deletion.receipt%'"), 1);
	clock_set(clock_now() + CLOCK_SECOND);
	assert_int_equal(confirm(&s, &m, (struct said){ .upto = 4, .method = "patched" }, &t), ERR_OK);
	assert_int_equal(counts(&s, third).confirmed, 1);
	assert_int_equal(completions(), 3);
}

static void forged_replayed_old_early_and_foreign_receipts_are_refused_each_with_its_code(void **state)
{
	struct scene s;
	struct purge_receipt t;
	struct sign_key thief;
	(void)state;
	scene_make(&s);
	sign_key_new(&thief);
	struct mirror m = registered(&s, MIRROR_PULL, "A copy");
	struct sign_key mine = s.key;
	sign_key_new(&s.key);
	struct mirror other = registered(&s, MIRROR_PULL, "Another");
	s.key = mine;
	struct uuid erasure = erased(&s, "erase", 4);
	struct str others = uuid_format(s.lab->arena, other.id);
	refused(&s, &m, (struct said){ .upto = 3, .key = &thief }, ERR_FORBIDDEN, "receipt_forged");
	refused(&s, &other, (struct said){ .upto = 3 }, ERR_FORBIDDEN, "receipt_forged");
	refused(&s, &m, (struct said){ .upto = 3, .mirror = str_z(s.lab->arena, others) }, ERR_REFUSED, "wrong_mirror");
	refused(&s, &m, (struct said){ .upto = 4 }, ERR_REFUSED, "beyond_feed");
	refused(&s, &m, (struct said){ .upto = 3, .at = clock_now() + CLOCK_HOUR }, ERR_REFUSED, "future");
	refused(&s, &m, (struct said){ .upto = 3, .method = "eaten" }, ERR_INVALID, "receipt_malformed");
	refused(&s, &m, (struct said){ .upto = -7 }, ERR_INVALID, "receipt_malformed");
	refused(&s, &m, (struct said){ .upto = 3, .releases = "{}" }, ERR_INVALID, "receipt_malformed");
	assert_int_equal(counts(&s, erasure).confirmed, 0);
	assert_int_equal(fixture_int("SELECT count(*) FROM receipt"), 0);
	assert_int_equal(confirm(&s, &m, (struct said){ .upto = 3 }, &t), ERR_OK);
	refused(&s, &m, (struct said){ .upto = 3 }, ERR_EXISTS, "replayed");
	refused(&s, &m, (struct said){ .upto = 3, .at = clock_now() - CLOCK_HOUR }, ERR_REFUSED, "older_than_seen");
	clock_set(clock_now() + CLOCK_MINUTE);
	refused(&s, &m, (struct said){ .upto = 2 }, ERR_REFUSED, "older_than_seen");
	refused(&s, &m, (struct said){ .upto = 3 }, ERR_EXISTS, "nothing_new");
	assert_int_equal(fixture_int("SELECT count(*) FROM receipt"), 1);
}

static void a_mirror_that_still_holds_a_withdrawn_version_has_confirmed_nothing(void **state)
{
	struct scene s;
	(void)state;
	scene_make(&s);
	struct mirror m = registered(&s, MIRROR_PULL, "A copy");
	erased(&s, "erase", 1);
	withdrawn(&s);
	char held[80];
	snprintf(held, sizeof(held), "[\"%.*s\"]", STR_ARG(s.release.version));
	refused(&s, &m, (struct said){ .upto = 0, .releases = held }, ERR_REFUSED, "still_held");
}

static void never_held_is_doubted_where_a_download_is_on_record(void **state)
{
	struct scene s;
	struct purge_receipt t;
	(void)state;
	scene_make(&s);
	struct mirror m = registered(&s, MIRROR_PULL, "A copy");
	download(&s, s.lab, s.grant.id);
	erased(&s, "erase", 1);
	assert_int_equal(confirm(&s, &m, (struct said){ .upto = 0, .method = "never-held" }, &t), ERR_OK);
	assert_true(t.doubtful);
	assert_int_equal(t.confirmed, 1);
}

static void a_grantee_confirms_signed_in_and_nobody_else_does(void **state)
{
	struct scene s;
	struct purge_receipt t;
	(void)state;
	scene_make(&s);
	download(&s, s.lab, s.grant.id);
	assert_err(s.lab, ERR_STATE, receipt_of_grantee(s.lab, s.w.coop, s.grant.id, STR("deleted"), STR_NONE, &t));
	struct uuid erasure = erased(&s, "erase", 2);
	struct call *stranger = newcomer("stranger");
	assert_err(stranger, ERR_NOT_FOUND, receipt_of_grantee(stranger, s.w.coop, s.grant.id, STR("deleted"), STR_NONE, &t));
	assert_err(s.lab, ERR_INVALID, receipt_of_grantee(s.lab, s.w.coop, s.grant.id, STR("patched"), STR_NONE, &t));
	assert_ok(s.lab, receipt_of_grantee(s.lab, s.w.coop, s.grant.id, STR("deleted"), STR("One model, not retrained."), &t));
	assert_int_equal(t.confirmed, 1);
	assert_int_equal(counts(&s, erasure).confirmed, 1);
	assert_int_equal(completions(), 1);
	/* What is gone needs no second receipt; what is downloaded again does. */
	clock_set(clock_now() + CLOCK_HOUR);
	assert_int_equal(counts(&s, erased(&s, "erase", 1)).total, 0);
	clock_set(clock_now() + CLOCK_HOUR);
	download(&s, s.lab, s.grant.id);
	assert_int_equal(counts(&s, erased(&s, "erase", 1)).total, 1);
	assert_ok(s.lab, receipt_of_grantee(s.lab, s.w.coop, s.grant.id, STR("deleted"), STR_NONE, &t));
	int64_t deleted;
	clock_set(clock_now() + 4000 * DAY);
	assert_ok(s.w.system, access_log_prune(s.w.system, s.w.coop, &deleted));
	assert_int_equal(fixture_int("SELECT count(*) FROM access_use"), 0);
}

static void receipts_are_for_ever(void **state)
{
	struct scene s;
	struct purge_receipt t;
	(void)state;
	scene_make(&s);
	struct mirror m = registered(&s, MIRROR_PULL, "A copy");
	erased(&s, "erase", 1);
	assert_int_equal(confirm(&s, &m, (struct said){ .upto = 0 }, &t), ERR_OK);
	SQL(tamper, "UPDATE receipt SET method = 'never-held'");
	struct call *c = s.w.system;
	assert_ok(c, db_begin_in(c, s.w.coop, DB_WRITE));
	assert_int_not_equal(db_query0(c, tamper, NULL), ERR_OK);
	db_rollback(c);
	error_clear(&c->error);
}

/* ---- the ladder ---- */

static int64_t daily(struct scene *s)
{
	int64_t steps;
	assert_ok(s->w.system, mirror_daily(s->w.system, nil, &steps));
	return steps;
}

static void the_ladder_takes_each_step_once_on_its_day_with_leaf_and_notice(void **state)
{
	struct scene s;
	struct duty *listed;
	size_t n;
	(void)state;
	scene_make(&s);
	download(&s, s.lab, s.grant.id);
	struct uuid erasure = erased(&s, "erase", 1);
	instant due = counts(&s, erasure).next_due;
	assert_int_equal(due, clock_now() + s.grant.purge_days * DAY);
	struct access_request q;
	clock_set(due - 2 * DAY - 1);
	assert_int_equal(daily(&s), 0);
	for (unsigned step = DUTY_REMINDED; step < DUTY_STEP_COUNT; step++) {
		clock_set(duty_step_at((enum duty_step)step, 0, due));
		assert_int_equal(daily(&s), 1);
		assert_int_equal(daily(&s), 0);
		assert_int_equal(fixture_int("SELECT count(*) FROM duty_step"), step);
		assert_int_equal(fixture_int("SELECT count(*) FROM log_leaf WHERE convert_from(entry, 'UTF8') LIKE '%\"deletion.overdue\"%'"), step);
		assert_int_equal(fixture_int("SELECT count(*) FROM access_block"), step >= DUTY_BLOCKED);
		assert_ok(by(&s.w, 5), mirror_overdue(by(&s.w, 5), s.w.coop, &listed, &n));
		assert_int_equal(n, step >= DUTY_LISTED);
		assert_int_equal(fixture_int("SELECT count(*) FROM access_grant WHERE revoked_at IS NOT NULL"), step >= DUTY_REVOKED);
		if (step == DUTY_BLOCKED) {
			s.release = world_read(&s.w, s.release.id);
			assert_err(s.lab, ERR_FORBIDDEN, ask(&s, s.lab, &q));
			assert_string_equal(s.lab->error.reason, "deletion_overdue");
		}
	}
	assert_int_equal(completions(), 1);
	assert_int_equal(fixture_int("SELECT count(*) FROM duty WHERE ended_at IS NOT NULL AND confirmed_at IS NULL"), 1);
	/* To the holder each step but the last; to the three admins the last. */
	assert_int_equal(fixture_int("SELECT count(*) FROM notice WHERE kind = 'deletion.overdue'"), 5 + 3);
}

static void a_clock_that_jumps_takes_every_step_that_was_due_in_order(void **state)
{
	struct scene s;
	(void)state;
	scene_make(&s);
	download(&s, s.lab, s.grant.id);
	erased(&s, "erase", 1);
	clock_set(clock_now() + 400 * DAY);
	assert_int_equal(daily(&s), 6);
	assert_int_equal(fixture_int("SELECT count(*) FROM duty_step"), 6);
	clock_set(clock_now() - 400 * DAY);
	assert_int_equal(daily(&s), 0);
}

static void a_request_that_waits_is_not_granted_to_somebody_who_is_blocked(void **state)
{
	struct scene s;
	struct access_request q;
	struct access_grant g;
	struct access_offer offer;
	(void)state;
	scene_make(&s);
	download(&s, s.lab, s.grant.id);
	struct uuid erasure = erased(&s, "erase", 1);
	assert_ok(s.lab, access_offer_read(s.lab, s.w.coop, &s.release, &offer));
	assert_ok(s.lab, access_ask(s.lab, s.w.coop, s.release.id, STR("research"), STR("Something else altogether."), STR("A lab"), offer.terms_sha256, &q, &g));
	clock_set(counts(&s, erasure).next_due + 3 * DAY);
	daily(&s);
	assert_err(by(&s.w, 1), ERR_FORBIDDEN, access_decide(by(&s.w, 1), s.w.coop, q.id, true, STR_NONE, &q, &g));
}

static void a_receipt_that_comes_late_lifts_block_and_listing(void **state)
{
	struct scene s;
	struct purge_receipt t;
	struct access_request q;
	struct duty *listed;
	size_t n;
	(void)state;
	scene_make(&s);
	download(&s, s.lab, s.grant.id);
	struct uuid erasure = erased(&s, "erase", 1);
	clock_set(counts(&s, erasure).next_due + 15 * DAY);
	assert_int_equal(daily(&s), 5);
	assert_ok(s.lab, receipt_of_grantee(s.lab, s.w.coop, s.grant.id, STR("deleted"), STR_NONE, &t));
	assert_ok(s.lab, mirror_overdue(s.lab, s.w.coop, &listed, &n));
	assert_int_equal(n, 0);
	assert_int_equal(fixture_int("SELECT count(*) FROM access_block"), 0);
	assert_ok(s.lab, ask(&s, s.lab, &q));
	clock_set(clock_now() + 100 * DAY);
	assert_int_equal(daily(&s), 0);
}

static void a_block_stays_while_another_duty_of_the_account_is_overdue(void **state)
{
	struct scene s;
	struct purge_receipt t;
	(void)state;
	scene_make(&s);
	struct mirror m = registered(&s, MIRROR_PULL, "One");
	struct sign_key mine = s.key;
	sign_key_new(&s.key);
	struct mirror other = registered(&s, MIRROR_PULL, "Two");
	struct sign_key theirs = s.key;
	erased(&s, "erase", 1);
	clock_set(clock_now() + 60 * DAY);
	daily(&s);
	s.key = mine;
	assert_int_equal(confirm(&s, &m, (struct said){ .upto = 0 }, &t), ERR_OK);
	assert_int_equal(fixture_int("SELECT count(*) FROM access_block"), 1);
	assert_int_equal(read_mirror(&s, other.id).state, MIRROR_SUSPENDED);
	s.key = theirs;
	assert_int_equal(confirm(&s, &other, (struct said){ .upto = 0 }, &t), ERR_OK);
	assert_int_equal(fixture_int("SELECT count(*) FROM access_block"), 0);
	struct mirror out;
	assert_ok(s.lab, mirror_set_state(s.lab, s.w.coop, other.id, MIRROR_ACTIVE, STR_NONE, &out));
}

static void a_copy_that_the_instance_keeps_blocks_nobody_and_is_reported(void **state)
{
	struct scene s;
	struct mirror m;
	struct str secret;
	(void)state;
	scene_make(&s);
	struct mirror_draft in = { .name = STR("Bucket"), .kind = MIRROR_S3 };
	assert_ok(by(&s.w, 1), mirror_register(by(&s.w, 1), s.w.coop, &in, &m, &secret));
	assert_ok(s.w.system, db_begin_in(s.w.system, s.w.coop, DB_WRITE));
	assert_ok(s.w.system, mirror_put(s.w.system, s.w.coop, m.id, s.release.id));
	assert_ok(s.w.system, db_commit(s.w.system));
	struct uuid erasure = erased(&s, "erase", 1);
	assert_int_equal(counts(&s, erasure).total, 1);
	assert_int_equal(fixture_int("SELECT count(*) FROM job WHERE kind = 'adapter.redact'"), 1);
	clock_set(clock_now() + 60 * DAY);
	daily(&s);
	assert_int_equal(fixture_int("SELECT count(*) FROM access_block"), 0);
	assert_int_equal(fixture_int("SELECT count(*) FROM notice WHERE kind = 'deletion.overdue'"), 6);
	assert_ok(s.w.system, db_begin_in(s.w.system, s.w.coop, DB_WRITE));
	assert_ok(s.w.system, receipt_of_adapter(s.w.system, s.w.coop, m.id, 0, STR_NONE));
	assert_ok(s.w.system, db_commit(s.w.system));
	assert_int_equal(counts(&s, erasure).confirmed, 1);
}

/* ---- its life, deliveries ---- */

static void a_mirror_that_was_ended_still_confirms_what_it_owes(void **state)
{
	struct scene s;
	struct mirror m, out;
	struct purge_receipt t;
	(void)state;
	scene_make(&s);
	m = registered(&s, MIRROR_PULL, "A copy");
	erased(&s, "erase", 1);
	assert_ok(s.lab, mirror_set_state(s.lab, s.w.coop, m.id, MIRROR_ENDED, STR("We move."), &out));
	assert_err(s.lab, ERR_STATE, mirror_set_state(s.lab, s.w.coop, m.id, MIRROR_ACTIVE, STR_NONE, &out));
	assert_int_equal(confirm(&s, &m, (struct said){ .upto = 0 }, &t), ERR_OK);
	clock_set(clock_now() + CLOCK_MINUTE);
	refused(&s, &m, (struct said){ .upto = 0 }, ERR_STATE, "mirror_ended");
	struct call *stranger = newcomer("stranger");
	assert_err(stranger, ERR_NOT_FOUND, mirror_set_state(stranger, s.w.coop, m.id, MIRROR_ACTIVE, STR_NONE, &out));
}

static void several_announcements_make_one_delivery_under_one_message_until_it_is_sent(void **state)
{
	struct scene s;
	struct error e = { 0 };
	int ran;
	(void)state;
	scene_make(&s);
	registered(&s, MIRROR_WEBHOOK, "Hook");
	for (int i = 0; i < 5; i++)
		erased(&s, "erase", 2);
	assert_int_equal(fixture_int("SELECT count(*) FROM delivery"), 1);
	assert_int_equal(fixture_int("SELECT wanted FROM delivery"), 9);
	assert_int_equal(fixture_int("SELECT count(*) FROM job WHERE kind = 'mirror.push'"), 1);
	/* mirror.example does not exist: the attempt fails, and the next one is planned. */
	assert_int_equal(job_run_due(jobs, &ran, &e), ERR_OK);
	mirror_push_drain();
	assert_int_equal(fixture_int("SELECT attempts FROM delivery WHERE state = 'waiting'"), 1);
	assert_int_equal(fixture_int("SELECT upto FROM delivery"), 9);
	const char *first = fixture_text("SELECT message_id::text FROM delivery");
	clock_set(clock_now() + CLOCK_MINUTE);
	assert_int_equal(job_run_due(jobs, &ran, &e), ERR_OK);
	mirror_push_drain();
	assert_string_equal(fixture_text("SELECT message_id::text FROM delivery"), first);
	erased(&s, "erase", 1);
	clock_set(clock_now() + CLOCK_HOUR);
	assert_int_equal(job_run_due(jobs, &ran, &e), ERR_OK);
	mirror_push_drain();
	assert_string_not_equal(fixture_text("SELECT message_id::text FROM delivery"), first);
	assert_int_equal(fixture_int("SELECT upto FROM delivery"), 10);
	assert_int_equal(fixture_int("SELECT count(*) FROM delivery"), 1);
}

static void a_delivery_that_fails_to_the_end_is_dead_told_and_repeatable(void **state)
{
	struct scene s;
	struct error e = { 0 };
	struct delivery *list, out;
	struct str next;
	size_t n;
	int ran;
	(void)state;
	scene_make(&s);
	registered(&s, MIRROR_WEBHOOK, "Hook");
	erased(&s, "erase", 1);
	for (int i = 0; i < 12; i++) {
		assert_int_equal(job_run_due(jobs, &ran, &e), ERR_OK);
		mirror_push_drain();
		clock_set(clock_now() + 13 * CLOCK_HOUR);
	}
	struct call *admin = by(&s.w, 1);
	assert_ok(admin, delivery_list(admin, s.w.coop, STR("dead"), STR_NONE, 10, &list, &n, &next));
	assert_int_equal(n, 1);
	assert_int_equal(list[0].attempts, 12);
	assert_non_null(list[0].last_error.p);
	assert_int_equal(fixture_int("SELECT count(*) FROM notice WHERE kind = 'deletion.undelivered'"), 3);
	assert_err(s.lab, ERR_FORBIDDEN, delivery_repeat(s.lab, s.w.coop, list[0].id, &out));
	assert_ok(admin, delivery_repeat(admin, s.w.coop, list[0].id, &out));
	assert_str(out.state, "waiting");
	assert_err(admin, ERR_STATE, delivery_repeat(admin, s.w.coop, list[0].id, &out));
	assert_int_equal(fixture_int("SELECT count(*) FROM delivery"), 1);
}

static void a_lost_attempt_is_made_again_under_the_same_id(void **state)
{
	struct scene s;
	struct error e = { 0 };
	int ran;
	(void)state;
	scene_make(&s);
	registered(&s, MIRROR_WEBHOOK, "Hook");
	erased(&s, "erase", 1);
	/* As a process leaves it that was killed between sending and writing down what came of it. */
	fixture_sql("UPDATE delivery SET state = 'sending', attempts = 1, news = false, body = '{}', lease = gen_random_uuid(), lease_until = '2026-01-01T00:00:00Z'");
	const char *message = fixture_text("SELECT message_id::text FROM delivery");
	assert_int_equal(job_run_due(jobs, &ran, &e), ERR_OK);
	mirror_push_drain();
	assert_int_equal(fixture_int("SELECT attempts FROM delivery"), 2);
	assert_string_equal(fixture_text("SELECT message_id::text FROM delivery"), message);
	assert_string_equal(fixture_text("SELECT body FROM delivery"), "{}");
	/* The same where the job itself was given up: the daily one finds it. */
	fixture_sql("DELETE FROM job WHERE kind = 'mirror.push'");
	fixture_sql("INSERT INTO job (id, kind, args, state, due, queued_at) VALUES (gen_random_uuid(), 'mirror.daily', '{}', 'waiting', '2020-01-01', '2020-01-01')");
	clock_set(clock_now() + DAY);
	assert_int_equal(job_run_due(jobs, &ran, &e), ERR_OK);
	mirror_push_drain();
	assert_int_equal(fixture_int("SELECT attempts FROM delivery"), 3);
}

static void waiting_doubles_and_more_with_jitter_and_honours_what_is_asked(void **state)
{
	int64_t before = 0;
	(void)state;
	for (int i = 1; i <= 12; i++) {
		int64_t d = push_delay(i, 0);
		assert_true(d >= before / 2 && d >= 5 * CLOCK_SECOND && d <= 12 * CLOCK_HOUR);
		before = d;
	}
	assert_int_equal(push_delay(1, 300 * CLOCK_SECOND), 300 * CLOCK_SECOND);
	assert_int_equal(push_delay(1, 90 * DAY), DAY);
}

static void the_signature_is_that_of_standard_webhooks(void **state)
{
	/* The example of the specification: standardwebhooks.com, "Signature scheme". */
	struct arena *a = arena_new(MIB);
	struct str secret;
	(void)state;
	assert_true(str_unbase64(a, STR("MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"), &secret));
	assert_str(push_signature(a, secret, STR("msg_p5jXN8AQM9LWM0D4loKWxJek"), 1614265330, STR("{\"test\": 2432232314}")), "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=");
	arena_free(a);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		fixture_test(a_mirror_needs_a_grant_in_force_or_an_admin),
		fixture_test(whoever_registers_a_key_proves_that_they_have_it),
		fixture_test(the_secret_is_shown_once_and_sealed_at_rest),
		fixture_test(a_webhook_on_a_private_address_is_refused_by_default),
		fixture_test(mirrors_that_hold_a_version_owe_and_others_do_not),
		fixture_test(a_download_is_remembered_when_the_access_log_is_pruned),
		fixture_test(a_grant_that_downloaded_nothing_owes_nothing_and_the_erasure_is_complete),
		fixture_test(what_is_only_withdrawn_for_the_future_is_announced_and_owed_by_nobody),
		fixture_test(announcing_twice_changes_nothing),
		fixture_test(a_mirror_that_dealt_with_it_before_it_was_announced_has_confirmed),
		fixture_test(an_account_with_a_mirror_owes_once),
		fixture_test(recipients_are_not_told_how_their_duties_are_cut_into_requests),
		fixture_test(a_receipt_confirms_every_duty_up_to_it_and_no_more),
		fixture_test(forged_replayed_old_early_and_foreign_receipts_are_refused_each_with_its_code),
		fixture_test(a_mirror_that_still_holds_a_withdrawn_version_has_confirmed_nothing),
		fixture_test(never_held_is_doubted_where_a_download_is_on_record),
		fixture_test(a_grantee_confirms_signed_in_and_nobody_else_does),
		fixture_test(receipts_are_for_ever),
		fixture_test(the_ladder_takes_each_step_once_on_its_day_with_leaf_and_notice),
		fixture_test(a_clock_that_jumps_takes_every_step_that_was_due_in_order),
		fixture_test(a_request_that_waits_is_not_granted_to_somebody_who_is_blocked),
		fixture_test(a_receipt_that_comes_late_lifts_block_and_listing),
		fixture_test(a_block_stays_while_another_duty_of_the_account_is_overdue),
		fixture_test(a_copy_that_the_instance_keeps_blocks_nobody_and_is_reported),
		fixture_test(a_mirror_that_was_ended_still_confirms_what_it_owes),
		fixture_test(several_announcements_make_one_delivery_under_one_message_until_it_is_sent),
		fixture_test(a_delivery_that_fails_to_the_end_is_dead_told_and_repeatable),
		fixture_test(a_lost_attempt_is_made_again_under_the_same_id),
		cmocka_unit_test(waiting_doubles_and_more_with_jitter_and_honours_what_is_asked),
		cmocka_unit_test(the_signature_is_that_of_standard_webhooks),
	};
	return fixture_run(tests, CH_LEN(tests));
}
