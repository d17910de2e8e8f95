/* Notices: given at most once, in the transaction of the act, to the inbox and by mail as each person chose. */
#include "fixture.h"
#include "people.h"

#include "commonhold/account.h"
#include "commonhold/config.h"
#include "commonhold/notify.h"
#include "server/notify/notify_internal.h"

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
	if (config_load(&e) != ERR_OK || fixture_setup(state) != 0)
		return -1;
	people_keys();
	return 0;
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

static void choose(struct call *c, struct uuid account, enum notify_topic topic, enum notify_how how)
{
	struct notify_settings s = { 0 };
	s.how[topic] = how;
	s.chosen[topic] = true;
	c->actor = (struct actor){ .kind = AUTH_SESSION, .account = account };
	assert_ok(c, notify_settings_write(c, &s));
	c->actor = (struct actor){ 0 };
}

static enum notify_how chosen(struct call *c, struct uuid account, enum notify_topic topic)
{
	struct notify_settings s;
	c->actor = (struct actor){ .kind = AUTH_SESSION, .account = account };
	assert_ok(c, notify_settings_read(c, &s));
	c->actor = (struct actor){ 0 };
	return s.how[topic];
}

static void settings_decide_what_is_mailed_and_essential_notices_ignore_them(void **state)
{
	(void)state;
	struct call *c = fixture_call();
	with_mail();
	struct uuid now = somebody(c, "now@example.org"), later = somebody(c, "later@example.org"), never = somebody(c, "never@example.org");
	struct uuid all[] = { now, later, never };
	choose(c, later, NOTIFY_TOPIC_ballots, NOTIFY_WEEKLY);
	choose(c, never, NOTIFY_TOPIC_ballots, NOTIFY_INBOX);
	choose(c, never, NOTIFY_TOPIC_membership, NOTIFY_INBOX);
	struct notice n = opened(now, "k");
	assert_ok(c, db_begin(c, DB_WRITE));
	assert_ok(c, notify_many(c, &n, all, 3));
	assert_ok(c, db_commit(c));
	assert_string_equal(fixture_text("SELECT string_agg(n.mail, ' ' ORDER BY a.email) FROM notice n JOIN account a ON a.id = n.account_id"), "digest none now");
	assert_int_equal(fixture_int("SELECT count(*) FROM mail"), 1);
	n = (struct notice){ .kind = "membership.lapsed", .account = never, .data = STR("{\"title\":\"x\"}"), .essential = true };
	give(c, n);
	assert_string_equal(fixture_text("SELECT mail FROM notice WHERE essential"), "now");
	assert_int_equal(fixture_int("SELECT count(*) FROM mail"), 2);
}

static void digest(struct call *c, const char *at)
{
	instant t;
	assert_true(clock_parse(str_of(at), &t));
	clock_set(t);
	assert_ok(c, digest_run(c, NULL));
}

static void a_summary_gathers_what_was_given_before_its_period_ended_once(void **state)
{
	(void)state;
	struct call *c = fixture_system();
	instant t;
	with_mail();
	struct uuid daily = somebody(c, "daily@example.org"), weekly = somebody(c, "weekly@example.org");
	choose(c, daily, NOTIFY_TOPIC_ballots, NOTIFY_DAILY);
	choose(c, weekly, NOTIFY_TOPIC_ballots, NOTIFY_WEEKLY);
	assert_true(clock_parse(STR("2026-03-04T10:00:00Z"), &t)); /* a Wednesday */
	clock_set(t);
	give(c, opened(daily, "1"));
	give(c, opened(daily, "2"));
	give(c, opened(weekly, "1"));
	give(c, (struct notice){ .kind = "delegation.act", .account = daily, .data = STR("{\"title\":\"She voted\"}") });
	assert_int_equal(fixture_int("SELECT count(*) FROM mail"), 0);
	digest(c, "2026-03-04T23:59:00Z");
	assert_int_equal(fixture_int("SELECT count(*) FROM mail"), 0);
	digest(c, "2026-03-05T00:00:00Z");
	assert_string_equal(fixture_text("SELECT string_agg(m.kind || ' ' || a.email, ',') FROM mail m JOIN account a ON a.id = m.account_id"), "digest daily@example.org");
	assert_int_equal(fixture_int("SELECT count(*) FROM notice WHERE digest_id IS NOT NULL"), 2);
	digest(c, "2026-03-05T00:00:00Z");
	assert_int_equal(fixture_int("SELECT count(*) FROM mail"), 1);
	digest(c, "2026-03-10T03:00:00Z"); /* Monday was missed: what was given before it goes out now */
	assert_int_equal(fixture_int("SELECT count(*) FROM mail"), 2);
	digest(c, "2026-04-01T00:00:00Z");
	assert_int_equal(fixture_int("SELECT count(*) FROM mail WHERE kind = 'delegation.digest'"), 1);
}

static void whoever_changes_their_mind_gets_what_waits_as_they_want_it_now(void **state)
{
	(void)state;
	struct call *c = fixture_system();
	instant t;
	with_mail();
	struct uuid a = somebody(c, "a@example.org"), b = somebody(c, "b@example.org");
	choose(c, a, NOTIFY_TOPIC_ballots, NOTIFY_QUARTERLY);
	choose(c, b, NOTIFY_TOPIC_ballots, NOTIFY_QUARTERLY);
	assert_true(clock_parse(STR("2026-02-04T10:00:00Z"), &t));
	clock_set(t);
	give(c, opened(a, "1"));
	give(c, opened(b, "1"));
	choose(c, a, NOTIFY_TOPIC_ballots, NOTIFY_NOW);
	choose(c, b, NOTIFY_TOPIC_ballots, NOTIFY_INBOX);
	digest(c, "2026-02-05T00:00:00Z");
	assert_string_equal(fixture_text("SELECT string_agg(a.email, ',') FROM mail m JOIN account a ON a.id = m.account_id"), "a@example.org");
	choose(c, b, NOTIFY_TOPIC_ballots, NOTIFY_DAILY);
	digest(c, "2026-02-06T00:00:00Z");
	assert_int_equal(fixture_int("SELECT count(*) FROM mail"), 1);
}

static void a_digest_groups_by_topic_and_counts_what_it_leaves_out(void **state)
{
	(void)state;
	struct call *c = fixture_system();
	with_mail();
	struct uuid a = somebody(c, "a@example.org");
	choose(c, a, NOTIFY_TOPIC_ballots, NOTIFY_DAILY);
	choose(c, a, NOTIFY_TOPIC_membership, NOTIFY_DAILY);
	for (int i = 0; i < NOTIFY_DIGEST_ITEMS + 2; i++)
		give(c, opened(a, NULL));
	give(c, (struct notice){ .kind = "checkup.open", .account = a, .data = STR("{\"title\":\"Checkup\"}") });
	clock_shift(2 * CLOCK_DAY);
	assert_ok(c, digest_run(c, NULL));
	struct uuid mail;
	struct str data, title;
	bool empty;
	const struct json *root;
	assert_true(uuid_parse(str_of(fixture_text("SELECT id::text FROM mail")), &mail));
	assert_ok(c, db_begin(c, DB_READ));
	assert_ok(c, digest_data(c, mail, &data, &title, &empty));
	assert_ok(c, db_commit(c));
	assert_false(empty);
	assert_ok(c, json_parse(c->arena, data, &root, &c->error));
	assert_int_equal(json_get(root, "topics")->count, 2);
	assert_true(str_is(json_text(json_at(root, "/topics/0/topic")), notify_topic_text(NOTIFY_TOPIC_membership)));
	assert_int_equal(json_at(root, "/topics/1/items")->count, NOTIFY_DIGEST_ITEMS - 1);
	assert_int_equal(json_int(json_get(root, "more"), 0), 3);
	fixture_sql("UPDATE notice SET read_at = at");
	assert_ok(c, db_begin(c, DB_READ));
	assert_ok(c, digest_data(c, mail, &data, &title, &empty));
	assert_ok(c, db_commit(c));
	assert_true(empty);
}

static void an_unsubscribe_link_is_good_for_its_person_and_topic_and_cannot_be_made_up(void **state)
{
	(void)state;
	struct call *c = fixture_call();
	struct uuid a = somebody(c, "a@example.org"), b = somebody(c, "b@example.org");
	enum notify_topic topic;
	struct str url = unsubscribe_link(c->arena, a, NOTIFY_TOPIC_ballots), link = str_sub(url, strlen("http://127.0.0.1:8080/unsubscribe/"), url.n);
	assert_ok(c, unsubscribe_read(c, link, &topic));
	assert_int_equal(topic, NOTIFY_TOPIC_ballots);
	assert_int_equal(chosen(c, a, NOTIFY_TOPIC_ballots), NOTIFY_NOW);
	for (size_t i = 0; i < link.n; i++) {
		char forged[64];
		memcpy(forged, link.p, link.n);
		forged[i] = forged[i] == 'A' ? 'B' : 'A';
		assert_err(c, ERR_NOT_FOUND, unsubscribe_do(c, str_make(forged, link.n)));
	}
	assert_err(c, ERR_NOT_FOUND, unsubscribe_do(c, str_sub(link, 0, link.n - 1)));
	assert_err(c, ERR_NOT_FOUND, unsubscribe_do(c, STR("")));
	assert_ok(c, unsubscribe_do(c, link));
	assert_ok(c, unsubscribe_do(c, link));
	assert_int_equal(chosen(c, a, NOTIFY_TOPIC_ballots), NOTIFY_INBOX);
	assert_int_equal(chosen(c, a, NOTIFY_TOPIC_membership), NOTIFY_NOW);
	assert_int_equal(chosen(c, b, NOTIFY_TOPIC_ballots), NOTIFY_NOW);
	fixture_sql("UPDATE account SET closed_at = created_at");
	assert_err(c, ERR_GONE, unsubscribe_read(c, link, &topic));
}

static void a_tag_finds_its_mail_and_no_other(void **state)
{
	(void)state;
	struct call *c = fixture_call();
	struct uuid mail = uuid_new(), back;
	struct str tag = mail_tag(c->arena, mail);
	assert_int_equal(tag.n, 52);
	assert_true(mail_tag_read(tag, &back));
	assert_true(uuid_eq(mail, back));
	for (size_t i = 0; i < tag.n; i++) {
		char forged[52];
		memcpy(forged, tag.p, tag.n);
		forged[i] = forged[i] == 'a' ? 'q' : 'a';
		assert_false(mail_tag_read(str_make(forged, tag.n), &back) && i < 51);
	}
}

static void what_is_mailed_to_an_address_is_sealed_and_is_in_no_inbox(void **state)
{
	(void)state;
	struct call *c = fixture_call();
	with_mail();
	somebody(c, "a@example.org");
	assert_ok(c, db_begin(c, DB_WRITE));
	assert_ok(c, notify_mail_to(c, STR("a@example.org"), "account.link", STR("{\"link\":\"http://127.0.0.1:8080/sign-in/link?secret=s3cr3t\",\"title\":\"Sign in\"}")));
	assert_ok(c, db_commit(c));
	assert_int_equal(fixture_int("SELECT count(*) FROM notice"), 0);
	assert_int_equal(fixture_int("SELECT count(*) FROM mail WHERE position('s3cr3t'::bytea IN sealed) > 0 OR position('example'::bytea IN sealed) > 0 OR mail::text LIKE '%example%'"), 0);
	assert_int_equal(fixture_int("SELECT count(*) FROM mail WHERE length(sealed) > 100"), 1);
	assert_ok(c, db_begin(c, DB_WRITE));
	assert_err(c, ERR_INVALID, notify_mail_to(c, STR("a@b\r\nRCPT TO:<c@d>"), "account.link", STR("{}")));
}

static void a_server_that_cannot_be_reached_costs_no_attempt_and_is_left_alone_for_a_while(void **state)
{
	(void)state;
	struct call *c = fixture_system();
	with_mail();
	struct uuid a = somebody(c, "a@example.org");
	for (int i = 0; i < 15; i++)
		give(c, opened(a, NULL));
	assert_ok(c, deliver_run(c, NULL));
	assert_int_equal(fixture_int("SELECT count(*) FROM mail WHERE state = 'waiting' AND attempts = 0"), 15);
	assert_int_equal(fixture_int("SELECT count(*) FROM mail WHERE said IS NOT NULL"), 1);
	assert_int_equal(fixture_int("SELECT count(*) FROM job WHERE key = 'later' AND due > queued_at + interval '50 seconds'"), 1);
	assert_ok(c, deliver_run(c, NULL));
	assert_int_equal(fixture_int("SELECT count(*) FROM mail WHERE said IS NOT NULL"), 1);
	clock_shift(6 * CLOCK_DAY);
	assert_ok(c, deliver_run(c, NULL));
	assert_int_equal(fixture_int("SELECT count(*) FROM mail WHERE state = 'given_up'"), 1);
	fixture_sql("UPDATE account SET closed_at = created_at");
	clock_shift(7 * CLOCK_DAY);
	assert_ok(c, deliver_run(c, NULL));
	assert_int_equal(fixture_int("SELECT count(*) FROM mail WHERE state = 'dropped'"), 14);
}

static void an_inbox_is_read_by_its_owner_alone_page_by_page(void **state)
{
	(void)state;
	struct call *c = fixture_call();
	struct uuid a = somebody(c, "a@example.org"), b = somebody(c, "b@example.org");
	for (int i = 0; i < 5; i++) {
		clock_shift(i * CLOCK_MINUTE);
		give(c, opened(a, NULL));
	}
	struct notice_page page, rest;
	c->actor = (struct actor){ .kind = AUTH_SESSION, .account = a };
	assert_ok(c, notify_inbox(c, false, STR_NONE, 3, &page));
	assert_int_equal(page.n, 3);
	assert_int_equal(page.unread, 5);
	assert_true(page.rows[0].at >= page.rows[1].at);
	assert_ok(c, notify_inbox(c, false, page.next, 3, &rest));
	assert_int_equal(rest.n, 2);
	assert_null(rest.next.p);
	assert_true(rest.rows[0].at <= page.rows[2].at);
	c->actor.account = b;
	assert_err(c, ERR_NOT_FOUND, notify_read(c, page.rows[0].id));
	assert_ok(c, notify_read_all(c, clock_now()));
	assert_int_equal(fixture_int("SELECT count(*) FROM notice WHERE read_at IS NOT NULL"), 0);
	c->actor.account = a;
	assert_ok(c, notify_read(c, page.rows[0].id));
	assert_ok(c, notify_read(c, page.rows[0].id));
	assert_ok(c, notify_read_all(c, rest.rows[0].at));
	assert_ok(c, notify_inbox(c, true, STR_NONE, 10, &page));
	assert_int_equal(page.n, page.unread);
	assert_int_equal(page.unread, 2);
}

static void admins_learn_how_many_mails_were_refused_and_to_how_many_people(void **state)
{
	(void)state;
	struct call *c = fixture_call();
	struct notify_mail_count count;
	with_mail();
	struct uuid coop = uuid_new(), a = somebody(c, "a@example.org"), b = somebody(c, "b@example.org");
	struct uuid told[] = { a, a, b, a };
	for (size_t i = 0; i < CH_LEN(told); i++) {
		struct notice n = opened(told[i], NULL);
		n.coop = i < 3 ? coop : uuid_new();
		give(c, n);
	}
	fixture_sql("UPDATE mail SET state = 'refused', settled_at = queued_at");
	give(c, (struct notice){ .kind = "ballot.closed", .account = b, .coop = coop, .data = STR("{\"title\":\"x\"}") });
	fixture_sql("UPDATE mail SET state = 'sent', settled_at = queued_at WHERE state = 'waiting'");
	assert_ok(c, notify_mail_counts(c, coop, &count));
	assert_int_equal(count.refused, 3);
	assert_int_equal(count.people_refused, 2);
	assert_int_equal(count.sent, 1);
}

static void old_mail_and_old_notices_are_forgotten(void **state)
{
	(void)state;
	struct call *c = fixture_system();
	with_mail();
	struct uuid a = somebody(c, "a@example.org");
	give(c, opened(a, "k"));
	fixture_sql("UPDATE mail SET state = 'sent', settled_at = queued_at");
	clock_shift((NOTIFY_KEEP_DAYS + 1) * CLOCK_DAY);
	assert_ok(c, digest_run(c, NULL));
	assert_int_equal(fixture_int("SELECT count(*) FROM mail"), 0);
	assert_int_equal(fixture_int("SELECT count(*) FROM notice"), 1);
	clock_shift(1000 * CLOCK_DAY);
	assert_ok(c, digest_run(c, NULL));
	assert_int_equal(fixture_int("SELECT count(*) FROM notice"), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		notify_test(a_notice_with_a_key_is_given_at_most_once),
		notify_test(a_notice_exists_exactly_when_its_act_does),
		notify_test(without_a_mail_server_notices_stay_in_the_inbox),
		notify_test(ten_thousand_are_told_in_one_statement_and_one_job),
		notify_test(settings_decide_what_is_mailed_and_essential_notices_ignore_them),
		notify_test(a_summary_gathers_what_was_given_before_its_period_ended_once),
		notify_test(whoever_changes_their_mind_gets_what_waits_as_they_want_it_now),
		notify_test(a_digest_groups_by_topic_and_counts_what_it_leaves_out),
		notify_test(an_unsubscribe_link_is_good_for_its_person_and_topic_and_cannot_be_made_up),
		notify_test(a_tag_finds_its_mail_and_no_other),
		notify_test(what_is_mailed_to_an_address_is_sealed_and_is_in_no_inbox),
		notify_test(a_server_that_cannot_be_reached_costs_no_attempt_and_is_left_alone_for_a_while),
		notify_test(an_inbox_is_read_by_its_owner_alone_page_by_page),
		notify_test(admins_learn_how_many_mails_were_refused_and_to_how_many_people),
		notify_test(old_mail_and_old_notices_are_forgotten),
		cmocka_unit_test(the_topic_is_found_by_the_name_of_the_kind),
	};
	return fixture_run(tests, CH_LEN(tests));
}
