/* Notices: given at most once, in the transaction of the act, to the inbox and by mail as each person chose. */
#include "fixture.h"

#include "commonhold/account.h"
#include "commonhold/config.h"
#include "commonhold/notify.h"

#include <stdlib.h>

static const char *const mail_variables[] = { "COMMONHOLD_SMTP_URL", "COMMONHOLD_MAIL_FROM", NULL };

/* The instance sends mail from here on. */
static void with_mail(void)
{
	struct error e = { 0 };
	setenv(mail_variables[0], "smtp://127.0.0.1:1", 1);
	setenv(mail_variables[1], "Commonhold <mail@coop.example>", 1);
	assert_int_equal(config_load(&e), ERR_OK);
}

static int setup(void **state)
{
	struct error e = { 0 };
	for (int i = 0; mail_variables[i]; i++)
		unsetenv(mail_variables[i]);
	if (config_load(&e) != ERR_OK)
		return -1;
	return fixture_setup(state);
}
#define notify_test(function) cmocka_unit_test_setup_teardown(function, setup, fixture_teardown)

static struct uuid somebody(struct call *c, const char *email)
{
	struct account a;
	assert_ok(c, account_create(c, str_of(email), STR("Some Body"), &a));
	return a.id;
}

static struct notice opened(struct uuid account, const char *key)
{
	return (struct notice){
		.kind = "ballot.opened", .account = account, .key = str_of(key),
		.data = STR("{\"text\":\"Vote until Friday.\",\"title\":\"A ballot is open\",\"url\":\"/coops/x/ballots\"}"),
	};
}

static void give(struct call *c, struct notice n)
{
	assert_ok(c, db_begin(c, DB_WRITE));
	assert_ok(c, notify_send(c, &n));
	assert_ok(c, db_commit(c));
}

static void a_notice_with_a_key_is_given_at_most_once(void **state)
{
	(void)state;
	struct call *c = fixture_call();
	struct uuid a = somebody(c, "a@example.org"), b = somebody(c, "b@example.org");
	give(c, opened(a, "k"));
	give(c, opened(a, "k"));
	assert_int_equal(fixture_int("SELECT count(*) FROM notice"), 1);
	give(c, opened(b, "k"));
	give(c, opened(a, "other"));
	assert_int_equal(fixture_int("SELECT count(*) FROM notice"), 3);
	give(c, opened(a, NULL));
	give(c, opened(a, NULL));
	assert_int_equal(fixture_int("SELECT count(*) FROM notice"), 5);
}

static void a_notice_exists_exactly_when_its_act_does(void **state)
{
	(void)state;
	struct call *c = fixture_call();
	with_mail();
	struct notice n = opened(somebody(c, "a@example.org"), "k");
	assert_ok(c, db_begin(c, DB_WRITE));
	assert_ok(c, notify_send(c, &n));
	db_rollback(c);
	assert_int_equal(fixture_int("SELECT (SELECT count(*) FROM notice) + (SELECT count(*) FROM mail) + (SELECT count(*) FROM job)"), 0);
}

static void without_a_mail_server_notices_stay_in_the_inbox(void **state)
{
	(void)state;
	struct call *c = fixture_call();
	struct notice n = opened(somebody(c, "a@example.org"), "k");
	n.essential = true;
	give(c, n);
	assert_string_equal(fixture_text("SELECT mail FROM notice"), "none");
	assert_int_equal(fixture_int("SELECT count(*) FROM mail"), 0);
	assert_ok(c, db_begin(c, DB_WRITE));
	assert_err(c, ERR_UNAVAILABLE, notify_mail_to(c, STR("a@example.org"), "account.link", STR("{}")));
}

static void ten_thousand_are_told_in_one_statement_and_one_job(void **state)
{
	(void)state;
	struct call *c = fixture_call();
	with_mail();
	fixture_sql("INSERT INTO account (id, email, name, created_at) SELECT gen_random_uuid(), 'm' || i || '@example.org', 'm', commonhold_now() FROM generate_series(1, 10000) i");
	struct rows r;
	SQL(all, "SELECT array_agg(id) FROM account");
	struct uuid *ids;
	assert_ok(c, db_begin(c, DB_WRITE));
	assert_ok(c, db_query0(c, all, &r));
	size_t n = row_uuids(c->arena, &r, 0, 0, &ids);
	assert_int_equal(n, 10000);
	struct notice notice = opened((struct uuid){ 0 }, "k");
	int before = c->queries;
	assert_ok(c, notify_many(c, &notice, ids, n));
	assert_ok(c, notify_many(c, &notice, ids, n));
	assert_ok(c, db_commit(c));
	assert_in_range(c->queries - before, 1, 3);
	assert_int_equal(fixture_int("SELECT count(*) FROM notice"), 10000);
	assert_int_equal(fixture_int("SELECT count(*) FROM mail"), 10000);
	assert_int_equal(fixture_int("SELECT count(*) FROM job WHERE kind = 'notify.send'"), 1);
}

static void the_topic_is_found_by_the_name_of_the_kind(void **state)
{
	(void)state;
	assert_int_equal(notify_topic_of("delegation.act"), NOTIFY_TOPIC_delegates);
	assert_int_equal(notify_topic_of("delegation.asked"), NOTIFY_TOPIC_delegations);
	assert_int_equal(notify_topic_of("checkup.open"), NOTIFY_TOPIC_membership);
	assert_int_equal(notify_topic_of("charter.adopted"), NOTIFY_TOPIC_ballots);
	assert_int_equal(notify_topic_of("release.published"), NOTIFY_TOPIC_releases);
	assert_int_equal(notify_topic_of("account.new_sign_in"), NOTIFY_TOPIC_account);
	assert_int_equal(notify_topic_of("something.else"), NOTIFY_TOPIC_account);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		notify_test(a_notice_with_a_key_is_given_at_most_once),
		notify_test(a_notice_exists_exactly_when_its_act_does),
		notify_test(without_a_mail_server_notices_stay_in_the_inbox),
		notify_test(ten_thousand_are_told_in_one_statement_and_one_job),
		cmocka_unit_test(the_topic_is_found_by_the_name_of_the_kind),
	};
	return fixture_run(tests, CH_LEN(tests));
}
