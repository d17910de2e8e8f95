/* Ways to sign in: passwords under delays, mailed links, the second factor. The clock is the test's. */
#include "people.h"

#include "commonhold/config.h"
#include "commonhold/http.h"
#include "commonhold/sign_in.h"
#include "server/account/totp.h"

#include <pthread.h>
#include <stdlib.h>

#define ADA STR("ada@example.org")
static const struct sign_in_from here = { .agent = STR("Mozilla/5.0 (X11) Firefox/130.0"), .network = STR("192.0.2.1"), .browser = STR("ch_browser_mine"), .in_steps = true };
static const struct sign_in_from there = { .agent = STR("Mozilla/5.0 (iPhone) Safari/17"), .network = STR("198.51.100.9"), .browser = STR("ch_browser_other"), .in_steps = true };

static instant begin_at(int64_t offset)
{
	instant t = clock_of_civil((struct civil){ .year = 2026, .month = 5, .day = 1 }) + offset;
	clock_set(t);
	return t;
}

/* The instance sends mail: what is mailed waits, sealed, in the queue. */
static void mail_on(const char *url)
{
	struct error e = { 0 };
	setenv("COMMONHOLD_SMTP_URL", url, 1);
	setenv("COMMONHOLD_MAIL_FROM", "mail@coop.example", 1);
	setenv("COMMONHOLD_LOG", "error", 1);
	if (config_load(&e) != ERR_OK)
		fail_msg("%s", e.message);
}

#define assert_refused(c, code, why, expression) (assert_err((c), (code), (expression)), assert_string_equal((c)->error.reason, (why)), error_clear(&(c)->error), (c)->error.faults = NULL)

/* The last link asked for gets a secret that the test knows. */
static struct str link_known(const char *secret)
{
	struct arena *a = fixture_call()->arena;
	struct sha256 hash = secret_token_hash(str_of(secret));
	fixture_sql(str_fmt(a, "UPDATE sign_in_link SET secret_hash = '\\x%.*s' WHERE id = (SELECT id FROM sign_in_link WHERE used_at IS NULL ORDER BY created_at DESC LIMIT 1)",
		STR_ARG(sha256_hex(a, hash))).p);
	return str_of(secret);
}

static struct str ask(struct call *c, enum link_purpose purpose, const char *secret)
{
	assert_ok(c, link_ask(c, purpose, ADA, &here));
	return link_known(secret);
}

static bool resumes(struct str secret)
{
	struct call *c = fixture_call();
	struct coop_ref ref = { 0 };
	assert_ok(c, coop_identify(c, &(struct http_identity){ AUTH_SESSION, secret, STR_NONE }, &ref));
	return c->actor.kind == AUTH_SESSION;
}

/* ---- Passwords ---- */

static void guessing_slows_down_from_one_network_and_locks_nobody_else_out(void **state)
{
	(void)state;
	struct call *c = people_new("ada"), *guess = fixture_call();
	struct sign_in in;
	instant t = begin_at(0);
	for (int i = 0; i < 5; i++)
		assert_err(guess, ERR_BAD_CREDENTIALS, sign_in_password(guess, ADA, STR("wrong horse"), STR_NONE, &there, &in));
	assert_refused(guess, ERR_TOO_MANY, "password_limit", sign_in_password(guess, ADA, PEOPLE_PASSWORD, STR_NONE, &there, &in));
	assert_ok(c, sign_in_password(c, ADA, PEOPLE_PASSWORD, STR_NONE, &here, &in)); /* the owner, from elsewhere */
	assert_refused(guess, ERR_TOO_MANY, "password_limit", sign_in_password(guess, STR(" ADA@example.org"), PEOPLE_PASSWORD, STR_NONE, &there, &in));
	/* another account from there is not concerned, and neither is an address that has none */
	assert_err(guess, ERR_BAD_CREDENTIALS, sign_in_password(guess, STR("eve@example.org"), STR("wrong horse"), STR_NONE, &there, &in));
	/* waits double: 1, 2, 4 … seconds, 15 minutes at most */
	int64_t waited = 0;
	for (int i = 0; i < 14; i++) {
		int64_t wait = fixture_int("SELECT extract(epoch FROM max(open_at - last_at))::bigint FROM sign_in_delay");
		assert_int_equal(wait, i < 10 ? 1 << i : 900);
		waited += wait;
		clock_set(t + waited * CLOCK_SECOND);
		assert_err(guess, ERR_BAD_CREDENTIALS, sign_in_password(guess, ADA, STR("wrong horse"), STR_NONE, &there, &in));
	}
	/* a right password from there ends it */
	clock_set(t + (waited + 900) * CLOCK_SECOND);
	assert_ok(guess, sign_in_password(guess, ADA, PEOPLE_PASSWORD, STR_NONE, &there, &in));
	assert_int_equal(fixture_int("SELECT count(*) FROM sign_in_delay WHERE attempts > 1"), 0);
}

static void a_delay_is_the_same_for_an_address_without_an_account(void **state)
{
	(void)state;
	struct call *c = fixture_call();
	struct sign_in in;
	people_keys();
	begin_at(0);
	for (int i = 0; i < 5; i++)
		assert_err(c, ERR_BAD_CREDENTIALS, sign_in_password(c, STR("nobody@example.org"), STR("wrong horse"), STR_NONE, &there, &in));
	assert_refused(c, ERR_TOO_MANY, "password_limit", sign_in_password(c, STR("nobody@example.org"), STR("wrong horse"), STR_NONE, &there, &in));
	assert_int_equal(fixture_int("SELECT count(*) FROM sign_in_delay WHERE bucket::text LIKE '%nobody%'"), 0);
}

static void a_new_password_ends_other_sessions_and_needs_the_old_one(void **state)
{
	(void)state;
	struct call *c = people_new("ada"), *other = fixture_call();
	struct sign_in mine, theirs;
	begin_at(0);
	assert_ok(c, sign_in_password(c, ADA, PEOPLE_PASSWORD, STR_NONE, &here, &mine));
	assert_ok(other, sign_in_password(other, ADA, PEOPLE_PASSWORD, STR_NONE, &there, &theirs));
	struct proof none = { .network = STR("192.0.2.1") }, wrong = { .password = STR("wrong horse"), .network = STR("192.0.2.1") }, right = { .password = PEOPLE_PASSWORD, .network = STR("192.0.2.1") };
	assert_refused(c, ERR_INVALID, "proof_needed", password_change(c, &none, STR("another good one")));
	assert_refused(c, ERR_BAD_CREDENTIALS, "password_wrong", password_change(c, &wrong, STR("another good one")));
	assert_err(c, ERR_INVALID, password_change(c, &right, STR("short")));
	assert_true(resumes(theirs.secret));
	assert_ok(c, password_change(c, &right, STR("another good one")));
	assert_true(resumes(mine.secret));
	assert_false(resumes(theirs.secret));
	assert_err(other, ERR_BAD_CREDENTIALS, sign_in_password(other, ADA, PEOPLE_PASSWORD, STR_NONE, &there, &theirs));
	assert_ok(other, sign_in_password(other, ADA, STR("another good one"), STR_NONE, &there, &theirs));
	assert_int_equal(fixture_int("SELECT count(*) FROM notice WHERE kind = 'account.factor_changed' AND essential"), 1);
	struct call *program = fixture_call();
	program->actor = (struct actor){ .kind = AUTH_TOKEN, .account = c->actor.account, .email = ADA };
	assert_refused(program, ERR_FORBIDDEN, "session_needed", password_change(program, &right, STR("yet another one")));
}

static void sessions_are_ended_one_by_one_all_others_or_all(void **state)
{
	(void)state;
	struct call *c = people_new("ada"), *eve = people_new("eve");
	struct sign_in in[4], hers;
	begin_at(0);
	for (int i = 0; i < 4; i++)
		assert_ok(c, sign_in_password(c, ADA, PEOPLE_PASSWORD, STR_NONE, &here, &in[i]));
	assert_ok(eve, sign_in_password(eve, STR("eve@example.org"), PEOPLE_PASSWORD, STR_NONE, &here, &hers));
	struct session_row *rows;
	size_t n;
	int ended;
	assert_ok(c, session_list(c, &rows, &n));
	assert_int_equal(n, 4);
	for (size_t i = 0; i < n; i++)
		assert_true(str_is(rows[i].how, "password") && !rows[i].factor && rows[i].current == uuid_eq(rows[i].id, c->actor.session));
	assert_err(eve, ERR_NOT_FOUND, session_end(eve, rows[0].id));
	assert_ok(c, session_end_all(c, false, &ended));
	assert_int_equal(ended, 3);
	assert_true(resumes(in[3].secret) && !resumes(in[0].secret) && resumes(hers.secret));
	assert_ok(c, session_end_all(c, true, &ended));
	assert_int_equal(ended, 1);
	assert_true(!resumes(in[3].secret) && resumes(hers.secret));
}

static void the_first_sign_in_with_another_browser_is_told(void **state)
{
	(void)state;
	struct call *c = people_new("ada");
	struct sign_in in;
	struct sign_in_from newer = here;
	begin_at(0);
	assert_ok(c, sign_in_password(c, ADA, PEOPLE_PASSWORD, STR_NONE, &here, &in));
	newer.agent = STR("Mozilla/5.0 (X11) Firefox/131.2");
	assert_ok(c, sign_in_password(c, ADA, PEOPLE_PASSWORD, STR_NONE, &newer, &in)); /* a new version is no new browser */
	assert_int_equal(fixture_int("SELECT count(*) FROM notice WHERE kind = 'account.new_sign_in'"), 0);
	int ended;
	assert_ok(c, session_end_all(c, true, &ended));
	assert_ok(c, sign_in_password(c, ADA, PEOPLE_PASSWORD, STR_NONE, &there, &in));
	assert_int_equal(fixture_int("SELECT count(*) FROM notice WHERE kind = 'account.new_sign_in'"), 1);
}

/* ---- Mailed links ---- */

static void a_link_signs_in_once_within_its_time(void **state)
{
	(void)state;
	struct call *c = people_new("ada"), *browser = fixture_call();
	struct sign_in in;
	struct link link;
	instant t = begin_at(0);
	struct str secret = ask(browser, LINK_SIGN_IN, "ch_link_one");
	assert_int_equal(fixture_int("SELECT count(*) FROM mail WHERE kind = 'account.link' AND sealed IS NOT NULL AND position(convert_to('ch_link', 'UTF8') IN sealed) = 0"), 1);
	for (int i = 0; i < 3; i++) { /* a scanner looks at it */
		struct sign_in_from scanner = { .agent = STR("scanner") };
		assert_ok(browser, link_look(browser, secret, &scanner, &link));
		assert_true(!link.same_browser && link.purpose == LINK_SIGN_IN);
	}
	assert_ok(browser, link_look(browser, secret, &here, &link));
	assert_true(link.same_browser);
	clock_set(t + LINK_LIFE - 1);
	assert_ok(browser, link_use(browser, secret, STR_NONE, STR_NONE, STR_NONE, &here, &in));
	assert_true(resumes(in.secret) && uuid_eq(in.account.id, c->actor.account));
	assert_refused(browser, ERR_GONE, "link_used", link_use(browser, secret, STR_NONE, STR_NONE, STR_NONE, &here, &in));
	assert_refused(browser, ERR_GONE, "link_used", link_look(browser, secret, &here, &link));
	secret = ask(browser, LINK_SIGN_IN, "ch_link_two");
	clock_set(clock_now() + LINK_LIFE);
	assert_refused(browser, ERR_TOKEN_EXPIRED, "link_expired", link_use(browser, secret, STR_NONE, STR_NONE, STR_NONE, &here, &in));
	assert_refused(browser, ERR_TOKEN_INVALID, "link_unknown", link_use(browser, STR("ch_link_forged"), STR_NONE, STR_NONE, STR_NONE, &here, &in));
	assert_refused(browser, ERR_TOKEN_INVALID, "link_unknown", link_look(browser, STR_NONE, &here, &link));
	struct str first = ask(browser, LINK_SIGN_IN, "ch_link_three");
	clock_set(clock_now() + 5 * CLOCK_MINUTE);
	struct str second = ask(browser, LINK_SIGN_IN, "ch_link_four"); /* the newer one takes the place of the older */
	assert_refused(browser, ERR_GONE, "link_used", link_look(browser, first, &here, &link));
	assert_ok(browser, link_look(browser, second, &here, &link));
}

static void a_link_in_another_browser_needs_the_address_that_it_went_to(void **state)
{
	(void)state;
	struct call *c = people_new("ada"), *browser = fixture_call();
	struct sign_in in;
	begin_at(0);
	(void)c;
	struct str secret = ask(browser, LINK_SIGN_IN, "ch_link_one");
	assert_refused(browser, ERR_FORBIDDEN, "link_other_browser", link_use(browser, secret, STR_NONE, STR_NONE, STR_NONE, &there, &in));
	struct sign_in_from none = { .network = STR("198.51.100.9") };
	assert_refused(browser, ERR_FORBIDDEN, "link_other_browser", link_use(browser, secret, STR(""), STR_NONE, STR_NONE, &none, &in));
	for (int i = 0; i < 4; i++)
		assert_refused(browser, ERR_REFUSED, "link_wrong_address", link_use(browser, secret, STR("bob@example.org"), STR_NONE, STR_NONE, &there, &in));
	assert_ok(browser, link_use(browser, secret, STR(" Ada@Example.org"), STR_NONE, STR_NONE, &there, &in));
	assert_true(resumes(in.secret));
	clock_set(clock_now() + CLOCK_HOUR);
	secret = ask(browser, LINK_SIGN_IN, "ch_link_two");
	for (int i = 0; i < 5; i++)
		assert_refused(browser, ERR_REFUSED, "link_wrong_address", link_use(browser, secret, STR("bob@example.org"), STR_NONE, STR_NONE, &there, &in));
	assert_refused(browser, ERR_TOO_MANY, "link_limit", link_use(browser, secret, ADA, STR_NONE, STR_NONE, &there, &in));
}

static void asking_says_the_same_whether_there_is_an_account(void **state)
{
	(void)state;
	struct call *c = people_new("ada"), *browser = fixture_call();
	begin_at(0);
	(void)c;
	assert_ok(browser, link_ask(browser, LINK_SIGN_IN, STR("nobody@example.org"), &here));
	assert_ok(browser, link_ask(browser, LINK_RESET, STR("nobody@example.org"), &here));
	assert_int_equal(fixture_int("SELECT count(*) FROM sign_in_link"), 0);
	assert_int_equal(fixture_int("SELECT count(*) FROM mail"), 0);
	assert_ok(browser, link_ask(browser, LINK_SIGN_IN, ADA, &here));
	assert_int_equal(fixture_int("SELECT count(*) FROM mail"), 1);
	assert_err(browser, ERR_INVALID, link_ask(browser, LINK_SIGN_IN, STR("no address"), &here));
	mail_on("");
	assert_refused(browser, ERR_UNAVAILABLE, "no_mail", link_ask(browser, LINK_SIGN_IN, ADA, &here));
	assert_refused(browser, ERR_UNAVAILABLE, "no_mail", link_ask(browser, LINK_SIGN_IN, STR("nobody@example.org"), &here));
	mail_on("smtp://127.0.0.1:1");
}

static void nobodys_mailbox_is_filled(void **state)
{
	(void)state;
	struct call *c = people_new("ada"), *browser = fixture_call();
	begin_at(0);
	(void)c;
	for (int i = 0; i < 3; i++)
		assert_ok(browser, link_ask(browser, LINK_SIGN_IN, ADA, &here));
	assert_refused(browser, ERR_TOO_MANY, "link_limit", link_ask(browser, LINK_RESET, STR("ADA@example.org"), &there));
	for (int i = 0; i < 3; i++)
		assert_ok(browser, link_ask(browser, LINK_SIGN_IN, STR("nobody@example.org"), &here));
	assert_refused(browser, ERR_TOO_MANY, "link_limit", link_ask(browser, LINK_SIGN_IN, STR("nobody@example.org"), &here));
	assert_int_equal(fixture_int("SELECT count(*) FROM mail"), 3);
	for (int i = 0; i < 30; i++) /* from one network to many addresses */
		if (link_ask(browser, LINK_SIGN_IN, str_fmt(browser->arena, "n%d@example.org", i), &here) != ERR_OK) {
			assert_string_equal(browser->error.reason, "link_limit");
			assert_in_range(i, 10, 20);
			return;
		}
	fail_msg("nothing slowed it down");
}

/* Many use one link at the same moment. */
struct race { struct str secret; pthread_barrier_t *start; struct call *c; enum err code; struct sign_in in; };

static void *race_run(void *arg)
{
	struct race *r = arg;
	pthread_barrier_wait(r->start);
	r->code = link_use(r->c, r->secret, STR_NONE, STR_NONE, STR_NONE, &here, &r->in);
	db_release(r->c);
	return NULL;
}

static void of_many_at_once_one_alone_uses_a_link(void **state)
{
	(void)state;
	enum { RACERS = 6 };
	struct call *c = people_new("ada");
	struct race racers[RACERS];
	pthread_t threads[RACERS];
	pthread_barrier_t start;
	begin_at(0);
	struct str secret = ask(c, LINK_SIGN_IN, "ch_link_one");
	db_release(c);
	pthread_barrier_init(&start, NULL, RACERS);
	for (int i = 0; i < RACERS; i++) {
		racers[i] = (struct race){ .secret = secret, .start = &start, .c = fixture_call() };
		assert_int_equal(pthread_create(&threads[i], NULL, race_run, &racers[i]), 0);
	}
	int won = 0;
	for (int i = 0; i < RACERS; i++) {
		pthread_join(threads[i], NULL);
		won += racers[i].code == ERR_OK;
		assert_true(racers[i].code == ERR_OK || racers[i].code == ERR_GONE);
	}
	pthread_barrier_destroy(&start);
	assert_int_equal(won, 1);
	assert_int_equal(fixture_int("SELECT count(*) FROM session"), 1);
}

static void a_link_sets_a_new_password_and_ends_every_session(void **state)
{
	(void)state;
	struct call *c = people_new("ada"), *browser = fixture_call();
	struct sign_in before, in;
	begin_at(0);
	assert_ok(c, sign_in_password(c, ADA, PEOPLE_PASSWORD, STR_NONE, &there, &before));
	struct str secret = ask(browser, LINK_RESET, "ch_link_one");
	assert_err(browser, ERR_INVALID, link_use(browser, secret, STR_NONE, STR("short"), STR_NONE, &here, &in)); /* and the link is not used up by that */
	assert_ok(browser, link_use(browser, secret, STR_NONE, STR("another good one"), STR_NONE, &here, &in));
	assert_true(resumes(in.secret) && !resumes(before.secret));
	assert_err(c, ERR_BAD_CREDENTIALS, sign_in_password(c, ADA, PEOPLE_PASSWORD, STR_NONE, &there, &before));
	assert_ok(c, sign_in_password(c, ADA, STR("another good one"), STR_NONE, &there, &before));
	assert_refused(browser, ERR_GONE, "link_used", link_use(browser, secret, STR_NONE, STR("yet another one"), STR_NONE, &here, &in));
}

static void a_link_proves_an_address_and_opens_no_session(void **state)
{
	(void)state;
	struct call *c = people_new("ada"), *browser = fixture_call();
	struct sign_in in;
	struct account account;
	begin_at(0);
	assert_ok(c, account_read(c, c->actor.account, &account));
	assert_true(account.verified_at == INSTANT_NONE);
	struct str secret = ask(browser, LINK_VERIFY, "ch_link_one");
	clock_set(clock_now() + CLOCK_DAY);
	assert_ok(browser, link_use(browser, secret, STR_NONE, STR_NONE, STR_NONE, &here, &in));
	assert_true(!in.secret.p && !in.challenge.p);
	assert_ok(c, account_read(c, c->actor.account, &account));
	assert_int_equal(account.verified_at, clock_now());
	assert_int_equal(fixture_int("SELECT count(*) FROM session"), 0);
	assert_int_equal(fixture_int("SELECT count(*) FROM account WHERE password_hash IS NOT NULL"), 1);
	assert_ok(browser, link_ask(browser, LINK_VERIFY, ADA, &here)); /* nothing to prove any more: no mail */
	assert_int_equal(fixture_int("SELECT count(*) FROM mail WHERE kind = 'account.link'"), 1);
	struct call *instance = fixture_system();
	assert_ok(instance, account_create(instance, STR("op@example.org"), STR("Op"), &account));
	assert_true(account.verified_at != INSTANT_NONE);
}

static void whoever_registered_an_address_first_does_not_keep_it_from_its_owner(void **state)
{
	(void)state;
	struct call *thief = people_new("ada"), *owner = fixture_call();
	struct sign_in stolen, in;
	struct token_row token;
	struct str token_secret;
	begin_at(0);
	assert_ok(thief, sign_in_password(thief, ADA, PEOPLE_PASSWORD, STR_NONE, &there, &stolen));
	assert_ok(thief, token_create(thief, STR("t"), INSTANT_NONE, &token, &token_secret));
	struct str secret, uri;
	struct proof proof = { .password = PEOPLE_PASSWORD, .network = STR("x") };
	assert_refused(thief, ERR_REFUSED, "email_unverified", factor_begin(thief, &proof, &secret, &uri));
	struct str link = ask(owner, LINK_SIGN_IN, "ch_link_one");
	assert_ok(owner, link_use(owner, link, STR_NONE, STR_NONE, STR_NONE, &here, &in));
	assert_true(resumes(in.secret) && !resumes(stolen.secret));
	assert_err(thief, ERR_BAD_CREDENTIALS, sign_in_password(thief, ADA, PEOPLE_PASSWORD, STR_NONE, &there, &stolen));
	assert_int_equal(fixture_int("SELECT count(*) FROM token WHERE revoked_at IS NULL"), 0);
}

/* ---- Other providers ---- */

/* A browser that was sent to a provider, with a state and for a time. */
static void sent_there(const char *state, const char *browser)
{
	struct arena *a = fixture_call()->arena;
	fixture_sql(str_fmt(a, "INSERT INTO oidc_flow (state_hash, browser_hash, issuer, nonce, verifier, next, created_at, expires_at) "
		"VALUES (sha256('%s'), sha256('%s'), 'https://op.example', 'n', 'x', '/', '%.*s', '%.*s')", state, browser, STR_ARG(clock_format(a, clock_now())),
		STR_ARG(clock_format(a, clock_now() + SIGN_IN_STEP_LIFE))).p);
}

static void the_way_back_from_a_provider_works_once_in_its_time_and_browser(void **state)
{
	(void)state;
	struct call *c = fixture_call();
	struct sign_in in;
	struct str next;
	bool linked;
	struct oidc_answer answer = { .state = STR("one"), .code = STR("c") };
	people_keys();
	begin_at(0);
	assert_refused(c, ERR_TOKEN_INVALID, "oidc_state_unknown", oidc_finish(c, &answer, &here, &in, &next, &linked));
	sent_there("one", "ch_browser_mine");
	struct sign_in_from without = { .agent = STR("x") };
	assert_refused(c, ERR_FORBIDDEN, "oidc_other_browser", oidc_finish(c, &answer, &there, &in, &next, &linked));
	assert_refused(c, ERR_FORBIDDEN, "oidc_other_browser", oidc_finish(c, &answer, &without, &in, &next, &linked));
	assert_int_equal(fixture_int("SELECT count(*) FROM oidc_flow WHERE used_at IS NULL"), 1);
	assert_err(c, ERR_CORRUPT, oidc_finish(c, &answer, &here, &in, &next, &linked)); /* taken up: what it sealed is not ours */
	assert_refused(c, ERR_GONE, "oidc_replayed", oidc_finish(c, &answer, &here, &in, &next, &linked));
	sent_there("two", "ch_browser_mine");
	answer.state = STR("two");
	clock_set(clock_now() + SIGN_IN_STEP_LIFE);
	assert_refused(c, ERR_TOKEN_EXPIRED, "oidc_expired", oidc_finish(c, &answer, &here, &in, &next, &linked));
	answer.state = STR_NONE;
	assert_refused(c, ERR_TOKEN_INVALID, "oidc_state_unknown", oidc_finish(c, &answer, &here, &in, &next, &linked));
	struct str url;
	assert_refused(c, ERR_NOT_FOUND, "oidc_not_configured", oidc_begin(c, STR_NONE, false, NULL, STR("/"), &here, &url));
	c->actor = (struct actor){ .kind = AUTH_NONE };
}

static void an_identity_is_parted_from_only_while_there_is_another_way_in(void **state)
{
	(void)state;
	struct call *instance = fixture_system(), *c = fixture_call();
	struct account account;
	struct str secret;
	struct proof none = { .network = STR("x") };
	people_keys();
	begin_at(0);
	assert_ok(instance, account_create(instance, ADA, STR("Ada"), &account));
	assert_ok(c, session_start_for(c, account.id, STR("x"), &secret));
	const char *join = str_fmt(c->arena, "INSERT INTO account_identity (issuer, subject, account_id, linked_at) VALUES ('https://op.example', '1', '%.*s', now())",
		STR_ARG(uuid_format(c->arena, account.id))).p;
	fixture_sql(join);
	mail_on("");
	assert_refused(c, ERR_REFUSED, "last_way_in", identity_end(c, &none, STR("https://op.example")));
	mail_on("smtp://127.0.0.1:1");
	assert_err(c, ERR_NOT_FOUND, identity_end(c, &none, STR("https://other.example")));
	assert_ok(c, identity_end(c, &none, STR("https://op.example")));
	assert_int_equal(fixture_int("SELECT count(*) FROM account_identity"), 0);
}

/* ---- Second factor ---- */

/* The code of the step that lies `off` steps from now. */
static struct str code_at(struct call *c, struct str secret, int off)
{
	return str_fmt(c->arena, "%06u", hotp(secret, (uint64_t)(totp_step(clock_now()) + off), 6));
}

static struct str unbase32(struct call *c, struct str text)
{
	char *to = arena_alloc(c->arena, text.n);
	size_t n = 0;
	unsigned window = 0, bits = 0;
	for (size_t i = 0; i < text.n; i++) {
		unsigned v = text.p[i] >= 'A' ? (unsigned)(text.p[i] - 'A') : (unsigned)(text.p[i] - '2') + 26;
		window = window << 5 | v;
		bits += 5;
		if (bits >= 8) {
			bits -= 8;
			to[n++] = (char)(window >> bits);
		}
	}
	return str_make(to, n);
}

/* A signed-in account with a second factor. */
static struct call *with_factor(struct str *secret, struct str codes[RECOVERY_CODES])
{
	struct call *c = people_new("ada");
	struct sign_in in;
	struct str text, uri, again;
	struct account account;
	struct proof proof = { .password = PEOPLE_PASSWORD, .network = STR("192.0.2.1") };
	assert_ok(c, account_vouch_email(c, ADA, &account));
	assert_ok(c, sign_in_password(c, ADA, PEOPLE_PASSWORD, STR_NONE, &here, &in));
	assert_ok(c, factor_begin(c, &proof, &text, &uri));
	assert_ok(c, factor_pending(c, &again, &uri));
	assert_true(str_eq(text, again));
	*secret = unbase32(c, text);
	assert_int_equal(secret->n, TOTP_SECRET);
	assert_refused(c, ERR_BAD_CREDENTIALS, "factor_wrong", factor_confirm(c, code_at(c, *secret, 3), codes));
	assert_ok(c, factor_confirm(c, code_at(c, *secret, 0), codes));
	return c;
}

static void a_second_factor_is_asked_for_after_every_first_step(void **state)
{
	(void)state;
	struct str secret, codes[RECOVERY_CODES];
	struct sign_in in, done;
	begin_at(0);
	struct call *c = with_factor(&secret, codes), *browser = fixture_call();
	assert_int_equal(fixture_int("SELECT count(*) FROM account_factor WHERE length(secret) > 20"), 1);
	clock_set(clock_now() + CLOCK_MINUTE);
	/* password */
	assert_ok(browser, sign_in_password(browser, ADA, PEOPLE_PASSWORD, STR_NONE, &here, &in));
	assert_true(!in.secret.p && in.challenge.p && browser->actor.kind == AUTH_NONE);
	assert_false(resumes(in.challenge));
	assert_refused(browser, ERR_BAD_CREDENTIALS, "factor_wrong", sign_in_code(browser, in.challenge, code_at(c, secret, 5), &here, &done));
	assert_ok(browser, sign_in_code(browser, in.challenge, code_at(c, secret, 0), &here, &done));
	assert_true(resumes(done.secret));
	assert_refused(browser, ERR_UNAUTHENTICATED, "sign_in_over", sign_in_code(browser, in.challenge, code_at(c, secret, 1), &here, &done));
	assert_refused(browser, ERR_UNAUTHENTICATED, "sign_in_over", sign_in_code(browser, STR_NONE, code_at(c, secret, 1), &here, &done));
	/* a mailed link, also one for a new password */
	clock_set(clock_now() + CLOCK_MINUTE);
	browser = fixture_call();
	struct str link = ask(browser, LINK_SIGN_IN, "ch_link_one");
	assert_ok(browser, link_use(browser, link, STR_NONE, STR_NONE, STR_NONE, &here, &in));
	assert_true(!in.secret.p && in.challenge.p);
	link = ask(browser, LINK_RESET, "ch_link_two");
	assert_ok(browser, link_use(browser, link, STR_NONE, STR("another good one"), STR_NONE, &here, &in));
	assert_true(!in.secret.p && in.challenge.p);
	assert_ok(browser, sign_in_code(browser, in.challenge, code_at(c, secret, 0), &here, &done));
	/* programs send the code along, and are told when they do not */
	struct sign_in_from program = here;
	program.in_steps = false;
	clock_set(clock_now() + CLOCK_MINUTE);
	browser = fixture_call();
	assert_refused(browser, ERR_UNAUTHENTICATED, "factor_needed", sign_in_password(browser, ADA, STR("another good one"), STR_NONE, &program, &in));
	assert_ok(browser, sign_in_password(browser, ADA, STR("another good one"), code_at(c, secret, 0), &program, &in));
	assert_true(resumes(in.secret));
	clock_set(clock_now() + 2 * CLOCK_HOUR);
	browser = fixture_call();
	link = ask(browser, LINK_SIGN_IN, "ch_link_three");
	assert_refused(browser, ERR_UNAUTHENTICATED, "factor_needed", link_use(browser, link, STR_NONE, STR_NONE, STR_NONE, &program, &in));
	assert_ok(browser, link_use(browser, link, STR_NONE, STR_NONE, code_at(c, secret, 0), &program, &in)); /* it was not used up */
	struct session_row *rows;
	size_t n;
	assert_ok(browser, session_list(browser, &rows, &n));
	assert_true(rows[0].factor && str_is(rows[0].how, "link"));
}

static void a_challenge_ends_after_ten_minutes(void **state)
{
	(void)state;
	struct str secret, codes[RECOVERY_CODES];
	struct sign_in in, done;
	begin_at(0);
	struct call *c = with_factor(&secret, codes), *browser = fixture_call();
	assert_ok(browser, sign_in_password(browser, ADA, PEOPLE_PASSWORD, STR_NONE, &here, &in));
	clock_set(clock_now() + SIGN_IN_STEP_LIFE);
	assert_refused(browser, ERR_UNAUTHENTICATED, "sign_in_over", sign_in_code(browser, in.challenge, code_at(c, secret, 0), &here, &done));
}

static void a_code_is_taken_once(void **state)
{
	(void)state;
	struct str secret, codes[RECOVERY_CODES];
	struct sign_in in, done;
	begin_at(0);
	struct call *c = with_factor(&secret, codes), *browser = fixture_call();
	assert_ok(browser, sign_in_password(browser, ADA, PEOPLE_PASSWORD, STR_NONE, &here, &in));
	/* the one that confirmed the setup, and the one before it */
	assert_refused(browser, ERR_BAD_CREDENTIALS, "factor_replayed", sign_in_code(browser, in.challenge, code_at(c, secret, 0), &here, &done));
	assert_refused(browser, ERR_BAD_CREDENTIALS, "factor_replayed", sign_in_code(browser, in.challenge, code_at(c, secret, -1), &here, &done));
	struct str next = code_at(c, secret, 1);
	assert_ok(browser, sign_in_code(browser, in.challenge, next, &here, &done)); /* a phone whose clock is ahead */
	assert_ok(browser, sign_in_password(browser, ADA, PEOPLE_PASSWORD, STR_NONE, &here, &in));
	clock_set(clock_now() + TOTP_STEP * CLOCK_SECOND);
	assert_refused(browser, ERR_BAD_CREDENTIALS, "factor_replayed", sign_in_code(browser, in.challenge, next, &here, &done));
}

/* Many show one code at the same moment, each after a first step of their own. */
struct code_race { struct str challenge, code; pthread_barrier_t *start; struct call *c; enum err result; struct sign_in in; };

static void *code_race_run(void *arg)
{
	struct code_race *r = arg;
	pthread_barrier_wait(r->start);
	r->result = sign_in_code(r->c, r->challenge, r->code, &here, &r->in);
	db_release(r->c);
	return NULL;
}

/* Gives how many got in. */
static int race_with(struct str code)
{
	enum { RACERS = 5 };
	struct code_race racers[RACERS];
	pthread_t threads[RACERS];
	pthread_barrier_t start;
	int won = 0;
	pthread_barrier_init(&start, NULL, RACERS);
	for (int i = 0; i < RACERS; i++) {
		struct sign_in in;
		racers[i] = (struct code_race){ .code = code, .start = &start, .c = fixture_call() };
		assert_ok(racers[i].c, sign_in_password(racers[i].c, ADA, PEOPLE_PASSWORD, STR_NONE, &here, &in));
		racers[i].challenge = in.challenge;
		db_release(racers[i].c);
	}
	for (int i = 0; i < RACERS; i++)
		assert_int_equal(pthread_create(&threads[i], NULL, code_race_run, &racers[i]), 0);
	for (int i = 0; i < RACERS; i++) {
		pthread_join(threads[i], NULL);
		won += racers[i].result == ERR_OK;
		assert_true(racers[i].result == ERR_OK || racers[i].result == ERR_BAD_CREDENTIALS || racers[i].result == ERR_TOO_MANY);
	}
	pthread_barrier_destroy(&start);
	return won;
}

static void of_many_at_once_one_alone_uses_a_code(void **state)
{
	(void)state;
	struct str secret, codes[RECOVERY_CODES];
	begin_at(0);
	struct call *c = with_factor(&secret, codes);
	clock_set(clock_now() + CLOCK_MINUTE);
	db_release(c);
	assert_int_equal(race_with(code_at(c, secret, 0)), 1);
	clock_set(clock_now() + CLOCK_HOUR);
	assert_int_equal(race_with(codes[7]), 1);
	assert_int_equal(fixture_int("SELECT count(*) FROM recovery_code WHERE used_at IS NOT NULL"), 1);
}

static void wrong_codes_make_one_wait_whatever_the_browser(void **state)
{
	(void)state;
	struct str secret, codes[RECOVERY_CODES];
	struct sign_in in, done;
	begin_at(0);
	struct call *c = with_factor(&secret, codes), *browser = fixture_call();
	clock_set(clock_now() + CLOCK_MINUTE);
	assert_ok(browser, sign_in_password(browser, ADA, PEOPLE_PASSWORD, STR_NONE, &here, &in));
	for (int i = 0; i < 5; i++)
		assert_refused(browser, ERR_BAD_CREDENTIALS, "factor_wrong", sign_in_code(browser, in.challenge, STR("000000"), i % 2 ? &here : &there, &done));
	assert_ok(browser, sign_in_password(browser, ADA, PEOPLE_PASSWORD, STR_NONE, &there, &in)); /* a new first step does not help */
	assert_refused(browser, ERR_TOO_MANY, "factor_limit", sign_in_code(browser, in.challenge, code_at(c, secret, 0), &there, &done));
	clock_set(clock_now() + 30 * CLOCK_SECOND);
	assert_ok(browser, sign_in_code(browser, in.challenge, code_at(c, secret, 0), &there, &done));
}

static void a_recovery_code_stands_in_once(void **state)
{
	(void)state;
	struct str secret, codes[RECOVERY_CODES], newer[RECOVERY_CODES];
	struct sign_in in, done;
	begin_at(0);
	struct call *c = with_factor(&secret, codes), *browser = fixture_call();
	struct factor_state factor;
	assert_ok(browser, sign_in_password(browser, ADA, PEOPLE_PASSWORD, STR_NONE, &here, &in));
	struct str shouted = str_fmt(c->arena, " %.*s ", STR_ARG(codes[3]));
	for (size_t i = 0; i < shouted.n; i++)
		((char *)shouted.p)[i] = (char)(shouted.p[i] >= 'a' && shouted.p[i] <= 'z' ? shouted.p[i] - 32 : shouted.p[i]);
	assert_ok(browser, sign_in_code(browser, in.challenge, shouted, &here, &done));
	assert_ok(c, factor_read(c, &factor));
	assert_true(factor.on && factor.recovery_left == RECOVERY_CODES - 1);
	browser = fixture_call();
	assert_ok(browser, sign_in_password(browser, ADA, PEOPLE_PASSWORD, STR_NONE, &here, &in));
	assert_refused(browser, ERR_BAD_CREDENTIALS, "recovery_used", sign_in_code(browser, in.challenge, codes[3], &here, &done));
	assert_refused(browser, ERR_BAD_CREDENTIALS, "factor_wrong", sign_in_code(browser, in.challenge, STR("aaaaa-aaaaa"), &here, &done));
	struct proof proof = { .code = codes[4] };
	assert_ok(c, recovery_renew(c, &proof, newer));
	assert_refused(browser, ERR_BAD_CREDENTIALS, "factor_wrong", sign_in_code(browser, in.challenge, codes[5], &here, &done));
	assert_ok(browser, sign_in_code(browser, in.challenge, newer[5], &here, &done));
	for (int i = 0; i < RECOVERY_CODES; i++)
		assert_int_equal(fixture_int(str_fmt(c->arena, "SELECT count(*) FROM recovery_code WHERE code_hash::text LIKE '%%%.*s%%'", STR_ARG(newer[i])).p), 0);
}

static void changing_how_one_signs_in_needs_the_factor_once_it_is_on(void **state)
{
	(void)state;
	struct str secret, codes[RECOVERY_CODES], text, uri;
	begin_at(0);
	struct call *c = with_factor(&secret, codes);
	struct proof by_password = { .password = PEOPLE_PASSWORD, .network = STR("x") };
	assert_refused(c, ERR_INVALID, "proof_needed", factor_end(c, &by_password));
	assert_refused(c, ERR_INVALID, "proof_needed", password_change(c, &by_password, STR("another good one")));
	assert_refused(c, ERR_INVALID, "proof_needed", recovery_renew(c, &by_password, codes));
	clock_set(clock_now() + CLOCK_MINUTE);
	struct proof by_code = { .code = code_at(c, secret, 0) };
	assert_refused(c, ERR_STATE, "factor_on", factor_begin(c, &by_code, &text, &uri));
	assert_refused(c, ERR_BAD_CREDENTIALS, "factor_replayed", factor_end(c, &by_code));
	clock_set(clock_now() + CLOCK_MINUTE);
	by_code.code = code_at(c, secret, 0);
	assert_ok(c, factor_end(c, &by_code));
	struct factor_state factor;
	assert_ok(c, factor_read(c, &factor));
	assert_false(factor.on);
	assert_int_equal(fixture_int("SELECT count(*) FROM recovery_code"), 0);
	assert_refused(c, ERR_STATE, "factor_not_begun", factor_confirm(c, STR("000000"), codes));
}

static void without_password_and_factor_a_change_needs_a_fresh_sign_in(void **state)
{
	(void)state;
	struct call *instance = fixture_system(), *c = fixture_call();
	struct account account;
	struct sign_in in;
	people_keys();
	begin_at(0);
	assert_ok(instance, account_create(instance, ADA, STR("Ada"), &account));
	struct str link = ask(c, LINK_SIGN_IN, "ch_link_one");
	assert_ok(c, link_use(c, link, STR_NONE, STR_NONE, STR_NONE, &here, &in));
	struct proof none = { .network = STR("x") };
	enum proof_kind kind;
	assert_ok(c, proof_wanted(c, &kind));
	assert_int_equal(kind, PROOF_FRESH);
	clock_set(clock_now() + SIGN_IN_FRESH);
	assert_refused(c, ERR_REFUSED, "sign_in_again", password_change(c, &none, STR("a first password")));
	clock_set(clock_now() - CLOCK_SECOND);
	assert_ok(c, password_change(c, &none, STR("a first password")));
	assert_ok(c, proof_wanted(c, &kind));
	assert_int_equal(kind, PROOF_PASSWORD);
}

static void what_has_had_its_time_is_forgotten(void **state)
{
	(void)state;
	struct str secret, codes[RECOVERY_CODES];
	struct sign_in in;
	begin_at(0);
	struct call *c = with_factor(&secret, codes), *browser = fixture_call();
	ask(browser, LINK_SIGN_IN, "ch_link_one");
	assert_ok(browser, sign_in_password(browser, ADA, PEOPLE_PASSWORD, STR_NONE, &here, &in));
	clock_set(clock_now() + 8 * CLOCK_DAY);
	assert_ok(c, account_jobs[0].run(c, NULL));
	assert_int_equal(fixture_int("SELECT (SELECT count(*) FROM sign_in_link) + (SELECT count(*) FROM sign_in_challenge) + (SELECT count(*) FROM sign_in_delay)"), 0);
	assert_int_equal(fixture_int("SELECT count(*) FROM session"), 1);
}

int main(void)
{
	mail_on("smtp://127.0.0.1:1");
	const struct CMUnitTest tests[] = {
		fixture_test(guessing_slows_down_from_one_network_and_locks_nobody_else_out),
		fixture_test(a_delay_is_the_same_for_an_address_without_an_account),
		fixture_test(a_new_password_ends_other_sessions_and_needs_the_old_one),
		fixture_test(sessions_are_ended_one_by_one_all_others_or_all),
		fixture_test(the_first_sign_in_with_another_browser_is_told),
		fixture_test(a_link_signs_in_once_within_its_time),
		fixture_test(a_link_in_another_browser_needs_the_address_that_it_went_to),
		fixture_test(asking_says_the_same_whether_there_is_an_account),
		fixture_test(nobodys_mailbox_is_filled),
		fixture_test(of_many_at_once_one_alone_uses_a_link),
		fixture_test(a_link_sets_a_new_password_and_ends_every_session),
		fixture_test(a_link_proves_an_address_and_opens_no_session),
		fixture_test(whoever_registered_an_address_first_does_not_keep_it_from_its_owner),
		fixture_test(the_way_back_from_a_provider_works_once_in_its_time_and_browser),
		fixture_test(an_identity_is_parted_from_only_while_there_is_another_way_in),
		fixture_test(a_second_factor_is_asked_for_after_every_first_step),
		fixture_test(a_challenge_ends_after_ten_minutes),
		fixture_test(a_code_is_taken_once),
		fixture_test(of_many_at_once_one_alone_uses_a_code),
		fixture_test(wrong_codes_make_one_wait_whatever_the_browser),
		fixture_test(a_recovery_code_stands_in_once),
		fixture_test(changing_how_one_signs_in_needs_the_factor_once_it_is_on),
		fixture_test(without_password_and_factor_a_change_needs_a_fresh_sign_in),
		fixture_test(what_has_had_its_time_is_forgotten),
	};
	return fixture_run(tests, CH_LEN(tests));
}
