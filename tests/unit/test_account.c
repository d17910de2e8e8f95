/* Accounts, sessions and personal tokens. */
#include "people.h"

#include "commonhold/http.h"
#include "commonhold/sign_in.h"

/* Signs in with a password, from a browser that says "Firefox". */
static enum err enter(struct call *c, const char *email, struct str password, struct str *secret)
{
	struct sign_in in = { .secret = STR_NONE };
	struct sign_in_from from = { .agent = STR("Firefox"), .network = STR("192.0.2.1") };
	enum err e = sign_in_password(c, str_of(email), password, STR_NONE, &from, &in);
	*secret = in.secret;
	return e;
}

/* What the router does with a cookie or a token. */
static enum err resume(struct call *c, enum auth_kind kind, struct str secret)
{
	struct coop_ref ref = { 0 };
	return coop_identify(c, &(struct http_identity){ kind, secret, STR_NONE }, &ref);
}

static bool resumes(struct call *c, struct str secret)
{
	assert_ok(c, resume(c, AUTH_SESSION, secret));
	return c->actor.kind == AUTH_SESSION;
}

static void an_address_is_one_account_whatever_its_case(void **state)
{
	(void)state;
	struct call *c = fixture_call();
	struct account account, found;
	people_keys();
	assert_ok(c, account_register(c, STR(" Ada@Example.org "), STR("Ada"), PEOPLE_PASSWORD, &account));
	assert_str(account.email, "Ada@Example.org"); /* as written */
	assert_err(c, ERR_EXISTS, account_register(c, STR("ada@EXAMPLE.org"), STR("Other"), PEOPLE_PASSWORD, &found));
	assert_str(c->error.faults ? c->error.faults->pointer : STR_NONE, "/email");
	assert_ok(c, account_find(c, STR("ADA@example.ORG"), &found));
	assert_true(uuid_eq(found.id, account.id));
	struct str secret;
	assert_ok(c, enter(c, "ADA@EXAMPLE.ORG", PEOPLE_PASSWORD, &secret));
}

static void what_people_write_is_checked_field_by_field(void **state)
{
	(void)state;
	struct call *c = fixture_call();
	struct account account;
	static const struct { const char *email, *name, *password, *pointer; } table[] = {
		{ "", "A", "long enough password", "/email" }, { "@x", "A", "long enough password", "/email" }, { "a@", "A", "long enough password", "/email" },
		{ "a@b@c", "A", "long enough password", "/email" }, { "a b@c.d", "A", "long enough password", "/email" }, { "a\r\nBcc:x@c.d", "A", "long enough password", "/email" },
		{ "a\xff@c.d", "A", "long enough password", "/email" }, { "a@c.d", "", "long enough password", "/name" }, { "a@c.d", "  ", "long enough password", "/name" },
		{ "a@c.d", "a\nb", "long enough password", "/name" }, { "a@c.d", "A", "ninechars", "/password" }, { "someone@c.d", "A", "SomeOne@c.d", "/password" },
		{ "a@c.d", "A", "\xc3\xa4\xc3\xa4\xc3\xa4\xc3\xa4\xc3\xa4", "/password" }, /* five characters in ten bytes */
	};
	for (size_t i = 0; i < CH_LEN(table); i++) {
		error_clear(&c->error);
		assert_err(c, ERR_INVALID, account_register(c, str_of(table[i].email), str_of(table[i].name), str_of(table[i].password), &account));
		assert_str(c->error.faults ? c->error.faults->pointer : STR_NONE, table[i].pointer);
	}
	assert_int_equal(fixture_int("SELECT count(*) FROM account"), 0);
}

static void a_wrong_password_and_an_unknown_address_take_the_same_path(void **state)
{
	(void)state;
	struct call *c = people_new("ada");
	struct str secret;
	assert_err(c, ERR_BAD_CREDENTIALS, enter(c, "ada@example.org", STR("wrong horse battery"), &secret));
	char known[512];
	memcpy(known, c->error.message, sizeof known);
	assert_err(c, ERR_BAD_CREDENTIALS, enter(c, "bob@example.org", STR("wrong horse battery"), &secret));
	assert_string_equal(known, c->error.message);
	assert_err(c, ERR_BAD_CREDENTIALS, enter(c, "bob\xff@example.org", STR("wrong horse battery"), &secret));
	assert_err(c, ERR_BAD_CREDENTIALS, enter(c, "", STR(""), &secret));
	assert_int_equal(fixture_int("SELECT count(*) FROM session"), 0);
}

static void a_session_is_resumed_in_one_statement_until_it_ends(void **state)
{
	(void)state;
	struct call *c = people_new("ada");
	struct str secret;
	instant start = clock_of_civil((struct civil){ .year = 2026, .month = 5, .day = 1 });
	clock_set(start);
	assert_ok(c, enter(c, "ada@example.org", PEOPLE_PASSWORD, &secret));
	assert_int_equal(fixture_int("SELECT count(*) FROM session WHERE secret_hash = sha256(convert_to('x', 'UTF8'))"), 0);

	struct call *again = fixture_call();
	int before = again->queries;
	assert_true(resumes(again, secret));
	assert_int_equal(again->queries - before, 1);
	assert_int_equal(again->actor.kind, AUTH_SESSION);
	assert_true(uuid_eq(again->actor.account, c->actor.account));
	assert_str(again->actor.name, "ada");
	assert_false(resumes(again, STR("ch_session_nonsense")));

	clock_set(start + 2 * CLOCK_HOUR); /* a later use is noted */
	assert_true(resumes(again, secret));
	assert_int_equal(fixture_int("SELECT extract(hour FROM seen_at - created_at) FROM session"), 2);
	clock_set(start + 31 * CLOCK_DAY);
	assert_false(resumes(again, secret));
	clock_set(start + CLOCK_HOUR);

	struct session_row *rows;
	size_t n;
	assert_ok(c, session_list(c, &rows, &n));
	assert_int_equal(n, 1);
	assert_str(rows[0].agent, "Firefox");
	struct call *stranger = people_new("eve");
	assert_err(stranger, ERR_NOT_FOUND, session_end(stranger, rows[0].id));
	assert_ok(c, session_end(c, rows[0].id));
	assert_false(resumes(again, secret));
}

static void sessions_that_have_expired_are_deleted(void **state)
{
	(void)state;
	struct call *c = people_new("ada");
	struct str secret;
	instant start = clock_of_civil((struct civil){ .year = 2026, .month = 5, .day = 1 });
	clock_set(start);
	assert_ok(c, enter(c, "ada@example.org", PEOPLE_PASSWORD, &secret));
	clock_set(start + SESSION_LIFE - CLOCK_MINUTE);
	assert_ok(c, enter(c, "ada@example.org", PEOPLE_PASSWORD, &secret));
	assert_ok(c, account_jobs[0].run(c, NULL));
	assert_int_equal(fixture_int("SELECT count(*) FROM session"), 2);
	clock_set(start + SESSION_LIFE + CLOCK_MINUTE);
	assert_ok(c, account_jobs[0].run(c, NULL));
	assert_int_equal(fixture_int("SELECT count(*) FROM session"), 1);
	assert_true(resumes(c, secret));
}

static void a_token_works_until_revoked_or_expired(void **state)
{
	(void)state;
	struct call *c = people_new("ada"), *program = fixture_call();
	struct token_row forever, brief;
	struct str secret, brief_secret;
	instant start = clock_of_civil((struct civil){ .year = 2026, .month = 5, .day = 1 });
	clock_set(start);
	assert_ok(c, token_create(c, STR("laptop"), INSTANT_NONE, &forever, &secret));
	assert_ok(c, token_create(c, STR("brief"), start + CLOCK_DAY, &brief, &brief_secret));
	assert_err(c, ERR_INVALID, token_create(c, STR("late"), start, &brief, &brief_secret));
	assert_err(c, ERR_INVALID, token_create(c, STR(""), INSTANT_NONE, &brief, &brief_secret));
	assert_true(str_starts(secret, "ch_token_"));

	assert_ok(program, resume(program, AUTH_TOKEN, secret));
	assert_int_equal(program->actor.kind, AUTH_TOKEN);
	assert_true(uuid_eq(program->actor.account, c->actor.account));
	assert_int_equal(fixture_int("SELECT count(*) FROM token WHERE used_at IS NOT NULL"), 1);

	struct call *stranger = people_new("eve");
	assert_err(stranger, ERR_NOT_FOUND, token_revoke(stranger, forever.id));
	assert_ok(c, token_revoke(c, forever.id));
	assert_ok(c, token_revoke(c, forever.id));
	assert_err(program, ERR_TOKEN_INVALID, resume(program, AUTH_TOKEN, secret));
	assert_err(program, ERR_TOKEN_INVALID, resume(program, AUTH_TOKEN, STR("ch_token_unknown")));
	struct token_row *rows;
	size_t n;
	assert_ok(c, token_list(c, &rows, &n));
	assert_int_equal(n, 2);
	assert_int_equal(fixture_int("SELECT count(*) FROM token WHERE position(convert_to('ch_', 'UTF8') IN secret_hash) > 0"), 0);
}

static void an_expired_token_says_so(void **state)
{
	(void)state;
	struct call *c = people_new("ada");
	struct token_row row;
	struct str secret;
	instant start = clock_of_civil((struct civil){ .year = 2026, .month = 5, .day = 1 });
	clock_set(start);
	assert_ok(c, token_create(c, STR("brief"), start + CLOCK_DAY, &row, &secret));
	clock_set(start + CLOCK_DAY - 1);
	assert_ok(c, resume(c, AUTH_TOKEN, secret));
	clock_set(start + CLOCK_DAY);
	assert_err(c, ERR_TOKEN_EXPIRED, resume(c, AUTH_TOKEN, secret));
}

static void a_profile_is_ones_own_to_change(void **state)
{
	(void)state;
	struct call *c = people_new("ada"), *nobody = fixture_call();
	struct account out;
	assert_ok(c, account_change(c, STR("Ada L."), STR("de-CH"), &out));
	assert_str(out.name, "Ada L.");
	assert_ok(c, account_change(c, STR_NONE, STR_NONE, &out));
	assert_str(out.locale, "de-CH");
	assert_err(c, ERR_INVALID, account_change(c, STR_NONE, STR("no such;"), &out));
	assert_err(nobody, ERR_UNAUTHENTICATED, account_change(nobody, STR("x"), STR_NONE, &out));
	assert_err(nobody, ERR_NOT_FOUND, account_read(nobody, uuid_new(), &out));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		fixture_test(an_address_is_one_account_whatever_its_case),
		fixture_test(what_people_write_is_checked_field_by_field),
		fixture_test(a_wrong_password_and_an_unknown_address_take_the_same_path),
		fixture_test(a_session_is_resumed_in_one_statement_until_it_ends),
		fixture_test(sessions_that_have_expired_are_deleted),
		fixture_test(a_token_works_until_revoked_or_expired),
		fixture_test(an_expired_token_says_so),
		fixture_test(a_profile_is_ones_own_to_change),
	};
	return fixture_run(tests, CH_LEN(tests));
}
