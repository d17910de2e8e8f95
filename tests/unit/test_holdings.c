/* What is held about people: the table has every place, and the end of an account leaves only what the table says is kept. */
#include "world.h"

#include "commonhold/access.h"
#include "commonhold/account.h"
#include "commonhold/checkup.h"
#include "commonhold/delegation.h"
#include "commonhold/holdings.h"
#include "commonhold/sign_in.h"

#include <stdio.h>

/* Tables in which nothing is about a person; every other one has its rows in the table of holdings. */
static const char *const of_nobody[] = {
	"merge_applied", "merge_near_cluster", "merge_near_run", "merge_passing", "merge_unmapped",
	"agreement", "agreement_event", "agreement_revision", "message_in", "message_out", "refusal", "dry_run", "ballot_dry_run", "merge_preview", "preview_last", "release_joint", "peer_spent",
	"adapter_copy", "adapter_file", "adapter_part", "ballot_count", "bundle_flow", "bundle_in", "bundle_out", "bundle_sent", "charter", "commonhold_migration", "control", "control_lift", "coop_count", "delivery", "duty_step", "erasure_held", "guest_head", "guest_source", "guest_spoken", "origin_coop",
	"job_tick", "lineage", "lineage_charter", "lineage_look", "fork_told", "fork_heard", "log_head", "log_tile", "mirror_holding", "mirror_lag", "motion_what_if", "onward_head", "onward_home", "onward_receipt", "onward_source", "onward_way", "origin_entry", "origin_leaf", "origin_log", "pool_arriving", "pool_head", "release", "release_counted", "release_event", "release_file", "release_reason",
	"shard_key", "signing_key", "tombstone_seal", "keys.commonhold_migration", "keys.coop_key",
};

/* Columns that lead to an account, a member or a person by their names. */
#define LEADS_TO_PEOPLE "(^|_)(account|member|person|principal|delegate|proposer|founder|email|pseudonym|agent|decider)(_|$)|^(by|invited|granted|revoked|decided|recorded|declared|placed|lifted|confirmed)_by|public_name|on_behalf"
/* Counts and other numbers that these words are in. */
#define NUMBERS "^(roll_members|members_last_year|in_person|by_delegates|members|delegate_kind|member_is_admin)$"

#define COLUMNS_OF(schema) \
	"SELECT string_agg(c.relname || '.' || a.attname, ' ' ORDER BY c.relname, a.attnum) FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped " \
	"WHERE c.relkind IN ('r', 'p') AND c.relnamespace = 'public'::regnamespace " schema

static bool is_of_nobody(struct str table)
{
	for (size_t i = 0; i < CH_LEN(of_nobody); i++)
		if (str_is(table, of_nobody[i]))
			return true;
	return false;
}

static bool has_a_row(struct str table)
{
	struct holding h;
	for (size_t i = 0; holding_at(i, &h); i++)
		if (str_is(table, h.table))
			return true;
	return false;
}

static void every_column_that_leads_to_a_person_is_in_the_table(void **state)
{
	(void)state;
	struct str rest = str_of(fixture_text(COLUMNS_OF("AND a.attname ~ '" LEADS_TO_PEOPLE "' AND a.attname !~ '" NUMBERS "'")));
	int missing = 0;
	while (rest.n) {
		ptrdiff_t space = str_index(rest, ' ');
		struct str one = str_sub(rest, 0, space < 0 ? rest.n : (size_t)space);
		ptrdiff_t dot = str_index(one, '.');
		struct str table = str_sub(one, 0, (size_t)dot), column = str_sub(one, (size_t)dot + 1, one.n);
		if (!is_of_nobody(table) && !holding_of(table, column)) {
			missing++;
			print_error("missing from server/erasure/holdings/holdings.c: %.*s\n", STR_ARG(one));
		}
		rest = space < 0 ? STR_NONE : str_sub(rest, (size_t)space + 1, rest.n);
	}
	assert_int_equal(missing, 0);
}

static void every_table_is_somebodys_or_said_to_be_nobodys(void **state)
{
	(void)state;
	struct str rest = str_of(fixture_text("SELECT string_agg(relname, ' ' ORDER BY relname) FROM pg_class WHERE relkind IN ('r', 'p') AND relnamespace = 'public'::regnamespace"));
	int missing = 0;
	while (rest.n) {
		ptrdiff_t space = str_index(rest, ' ');
		struct str table = str_sub(rest, 0, space < 0 ? rest.n : (size_t)space);
		if (is_of_nobody(table) == has_a_row(table)) {
			missing++;
			print_error("neither in server/erasure/holdings/holdings.c nor said to be of nobody, or both: %.*s\n", STR_ARG(table));
		}
		rest = space < 0 ? STR_NONE : str_sub(rest, (size_t)space + 1, rest.n);
	}
	assert_int_equal(missing, 0);
}

/* The other way round: what the table names is there, and says what it must. */
static void every_row_of_the_table_is_true(void **state)
{
	(void)state;
	struct call *c = fixture_call();
	struct holding h;
	for (size_t i = 0; holding_at(i, &h); i++) {
		assert_true(h.what[0] && h.ground[0] && h.until[0]);
		assert_true((h.exported == NULL) == (h.why_not != NULL));
		assert_true((h.end == HOLDING_DELETED) == (h.reason == NULL));
		if (strchr(h.table, '.') || strchr(h.table, ':'))
			continue;
		struct str rest = str_of(h.columns);
		while (rest.n) {
			ptrdiff_t space = str_index(rest, ' ');
			struct str column = str_sub(rest, 0, space < 0 ? rest.n : (size_t)space);
			struct str sql = str_fmt(c->arena, "SELECT count(*) FROM pg_attribute WHERE attrelid = to_regclass('%s') AND attname = '%.*s' AND NOT attisdropped", h.table, STR_ARG(column));
			if (fixture_int(sql.p) != 1)
				fail_msg("there is no %s.%.*s", h.table, STR_ARG(column));
			rest = space < 0 ? STR_NONE : str_sub(rest, (size_t)space + 1, rest.n);
		}
	}
}

/* ---- The end of an account ---- */

/* Where in the whole content database a text, or the bytes of a digest, stands: "table.column …"; NULL: nowhere. */
static void make_seek(void)
{
	fixture_sql("CREATE FUNCTION seek(needle text, bytes bytea) RETURNS text LANGUAGE plpgsql AS $$ DECLARE col record; hit boolean; found text := NULL; BEGIN "
		"FOR col IN SELECT c.relname AS t, a.attname AS a, a.atttypid = 'bytea'::regtype AS raw FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped "
		"WHERE c.relkind IN ('r', 'p') AND c.relnamespace = 'public'::regnamespace ORDER BY 1, 2 LOOP "
		"IF col.raw THEN EXECUTE format('SELECT EXISTS (SELECT FROM %I WHERE position($1 IN %I) > 0 OR position($2 IN %I) > 0)', col.t, col.a, col.a) INTO hit "
		"  USING convert_to(needle, 'UTF8'), coalesce(bytes, convert_to(needle, 'UTF8')); "
		"ELSE EXECUTE format('SELECT EXISTS (SELECT FROM %I WHERE strpos(lower(%I::text), lower($1)) > 0)', col.t, col.a) INTO hit USING needle; END IF; "
		"IF hit THEN found := concat_ws(' ', found, col.t || '.' || col.a); END IF; END LOOP; RETURN found; END $$");
}

static const char *seek(struct call *c, struct str needle)
{
	return fixture_text(str_fmt(c->arena, "SELECT seek('%.*s', NULL)", STR_ARG(needle)).p);
}

/* A life with something in as many places as can be. */
static void live(struct world *w, int member)
{
	struct call *c = by(w, member);
	struct member m;
	struct str secret;
	struct token_row token;
	assert_ok(c, session_start_for(c, c->actor.account, STR("Browser of Zebulon"), &secret));
	assert_ok(c, token_create(c, STR("zebulons-script"), INSTANT_NONE, &token, &secret));
	struct account changed;
	assert_ok(c, account_change(c, STR("Zebulon Quux"), STR_NONE, &changed));
	assert_ok(c, member_set_attribution(c, w->coop, STR("public"), STR("Zebulon the Great"), &m));
	world_say(w, member, "allow");
	world_contribute(w, member, "something to say");
	fixture_sql("INSERT INTO sign_in_link (id, account_id, purpose, email, secret_hash, created_at, expires_at) SELECT gen_random_uuid(), id, 'verify', email, sha256('x'), now(), now() + interval '1 day' FROM account WHERE name = 'Zebulon Quux'");
	fixture_sql("INSERT INTO account_identity (issuer, subject, account_id, email, linked_at) SELECT 'https://id.example', 'zebulon-subject', id, email, now() FROM account WHERE name = 'Zebulon Quux'");
	fixture_sql("INSERT INTO idempotency (actor, key, route, request_hash, status, body, created_at, expires) SELECT id::text, 'k', 'r', sha256('x'), 200, convert_to(email, 'UTF8'), now(), now() + interval '1 day' FROM account WHERE name = 'Zebulon Quux'");
	fixture_sql("INSERT INTO notice (account_id, id, kind, topic, about_coop, data, essential, mail, at) SELECT a.id, gen_random_uuid(), 'delegation.asked', 'delegations', c.id, '{\"principal\":\"Zebulon the Great\",\"text\":\"Zebulon the Great asks you.\",\"title\":\"x\"}', false, 'none', now() FROM account a, coop c WHERE a.email = 'member0@example.org'");
}

static void nothing_leads_back_to_whoever_erased_their_account(void **state)
{
	(void)state;
	struct world w;
	world_make(&w, NULL);
	make_seek();
	live(&w, 5);
	struct call *c = w.system;
	struct str account = uuid_format(c->arena, w.actor[5].account), email = w.actor[5].email;
	struct str pseudonym = str_of(fixture_text(str_fmt(c->arena, "SELECT pseudonym FROM membership WHERE account_id = '%.*s'", STR_ARG(account)).p));
	fixture_sql(str_fmt(c->arena, "INSERT INTO invitation (coop_id, email_sha256, invited_by, at) SELECT coop_id, sha256(convert_to('%.*s', 'UTF8')), id, now() FROM membership WHERE number = 0", STR_ARG(email)).p);
	assert_non_null(seek(c, email));
	assert_non_null(seek(c, STR("Zebulon")));

	assert_ok(c, account_erase(c, w.actor[5].account));
	static const char *const traces[] = { "zebulon", "Zebulon the Great" };
	for (size_t i = 0; i < CH_LEN(traces); i++)
		if (seek(c, str_of(traces[i])))
			fail_msg("%s is still in %s", traces[i], seek(c, str_of(traces[i])));
	const struct str leads[] = { email, account, pseudonym };
	for (size_t i = 0; i < CH_LEN(leads); i++)
		if (seek(c, leads[i]))
			fail_msg("%.*s is still in %s", STR_ARG(leads[i]), seek(c, leads[i]));
	assert_int_equal(fixture_int(str_fmt(c->arena, "SELECT count(*) FROM invitation WHERE email_sha256 = sha256(convert_to('%.*s', 'UTF8'))", STR_ARG(email)).p), 0);
	/* The membership stays as a number, and has left. */
	assert_int_equal(fixture_int("SELECT count(*) FROM membership WHERE number = 5 AND state = 'left' AND public_name IS NULL AND pseudonym = 'erased-5'"), 1);
	assert_int_equal(fixture_int("SELECT count(*) FROM account a JOIN membership m ON m.account_id = a.id WHERE m.number = 5 AND a.email LIKE '%@erased.invalid' AND a.closed_at IS NOT NULL"), 1);
	/* Repeating it changes nothing. */
	assert_ok(c, account_erase(c, w.actor[5].account));
}

/* From one co-op to the next nothing says that two numbers were one person. */
static void what_stays_in_two_co_ops_has_nothing_in_common(void **state)
{
	(void)state;
	struct world w;
	struct coop second;
	struct member m;
	world_make(&w, NULL);
	struct call *c = by(&w, 0);
	const struct json *draft;
	assert_ok(c, json_parse(c->arena, STR("{\"name\":\"Second\",\"scope\":{\"domain\":\"testing\",\"region\":\"CH\",\"language\":[\"en\"]},\"release\":{\"uses\":[\"train.gen\"],\"purposes\":[\"research\"]},\"membership\":{\"admission\":\"open\"}}"), &draft, &c->error));
	assert_ok(c, coop_found(c, STR("second"), draft, &second));
	assert_ok(by(&w, 5), member_join(by(&w, 5), second.id, &m));
	assert_ok(w.system, account_erase(w.system, w.actor[5].account));
	assert_int_equal(fixture_int("SELECT count(*) FROM membership m WHERE m.state = 'left'"), 2);
	/* No account, name or other id of the one stands at the other. */
	assert_int_equal(fixture_int("SELECT count(DISTINCT m.account_id) FROM membership m WHERE m.state = 'left'"), 2);
	assert_int_equal(fixture_int("SELECT count(*) FROM membership_event a JOIN membership_event b ON a.by_account = b.by_account AND a.coop_id <> b.coop_id "
		"JOIN membership m ON m.coop_id = a.coop_id AND m.id = a.member_id AND m.state = 'left'"), 0);
	assert_int_equal(fixture_int("SELECT count(DISTINCT created_at) FROM account WHERE email LIKE '%@erased.invalid'"), fixture_int("SELECT count(DISTINCT founded_at) FROM coop"));
}

static void facts_lose_an_account_only_when_it_is_closed(void **state)
{
	(void)state;
	struct world w;
	world_make(&w, NULL);
	world_say(&w, 4, "allow");
	struct call *c = w.system;
	SQL(unlink, "SELECT account_unlink($1, $2)");
	SQL(change, "UPDATE statement SET declared_by = $1");
	SQL(pretend, "SELECT set_config('commonhold.unlinking', 'statement', true)");
	struct rows r;
	assert_ok(c, db_begin_in(c, w.coop, DB_WRITE));
	assert_err(c, ERR_REFUSED, db_query(c, unlink, &r, A_UUID(w.actor[4].account), A_UUID(w.actor[5].account)));
	/* The server's own role gets nowhere, whatever it says. */
	assert_ok(c, db_begin_in(c, w.coop, DB_WRITE));
	assert_ok(c, db_query0(c, pretend, NULL));
	enum err e = db_query(c, change, NULL, A_UUID(w.actor[5].account));
	assert_int_not_equal(e, ERR_OK);
	db_rollback(c);
}

static void the_last_admin_hands_over_first(void **state)
{
	(void)state;
	struct world w;
	struct member m;
	world_make(&w, NULL);
	struct call *c = by(&w, 0);
	for (int i = 1; i < 3; i++)
		assert_ok(c, member_set_admin(c, w.coop, w.id[i], false, &m));
	assert_err(w.system, ERR_REFUSED, account_erase_check(w.system, w.actor[0].account));
	assert_string_equal(w.system->error.reason, "last_admin");
	assert_err(w.system, ERR_REFUSED, account_erase(w.system, w.actor[0].account));
	assert_int_equal(fixture_int("SELECT count(*) FROM account WHERE email = 'member0@example.org' AND closed_at IS NULL"), 1);
	assert_ok(c, member_set_admin(c, w.coop, w.id[1], true, &m));
	assert_ok(w.system, account_erase(w.system, w.actor[0].account));
	assert_int_equal(fixture_int("SELECT count(*) FROM account WHERE email = 'member0@example.org'"), 0);
	assert_int_equal(fixture_int("SELECT count(*) FROM coop c JOIN account a ON a.id = c.founder_id WHERE a.email LIKE '%@erased.invalid'"), 1);
}

static void the_same_address_registers_as_somebody_new(void **state)
{
	(void)state;
	struct world w;
	struct account account;
	struct member m;
	world_make(&w, NULL);
	assert_ok(w.system, account_erase(w.system, w.actor[6].account));
	struct call *c = w.person;
	c->actor = (struct actor){ .kind = AUTH_SYSTEM };
	assert_ok(c, account_create(c, STR("member6@example.org"), STR("Back again"), &account));
	assert_false(uuid_eq(account.id, w.actor[6].account));
	c->actor = (struct actor){ .kind = AUTH_SESSION, .account = account.id, .email = account.email, .name = account.name };
	assert_ok(c, member_join(c, w.coop, &m));
	assert_int_equal(m.number, WORLD_MEMBERS);
}

static void closed_tallies_stay_as_they_were(void **state)
{
	(void)state;
	struct world w;
	world_make(&w, NULL);
	for (int i = 0; i < 4; i++) {
		world_say(&w, i, "allow");
		world_contribute(&w, i, i ? "one" : "two");
	}
	world_published(&w);
	const char *count = "SELECT string_agg(electorate || yes || '/' || no || '/' || abstain || '/' || undecided || '/' || roll, ' ' ORDER BY electorate) FROM ballot_count";
	struct str before = str_copy(w.system->arena, str_of(fixture_text(count)));
	assert_true(before.n > 0);
	assert_ok(w.system, account_erase(w.system, w.actor[1].account));
	assert_str(before, fixture_text(count));
	assert_int_equal(fixture_int("SELECT count(*) FROM vote WHERE member_no = 1"), 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		fixture_test(every_column_that_leads_to_a_person_is_in_the_table),
		fixture_test(every_table_is_somebodys_or_said_to_be_nobodys),
		fixture_test(every_row_of_the_table_is_true),
		fixture_test(nothing_leads_back_to_whoever_erased_their_account),
		fixture_test(what_stays_in_two_co_ops_has_nothing_in_common),
		fixture_test(facts_lose_an_account_only_when_it_is_closed),
		fixture_test(the_last_admin_hands_over_first),
		fixture_test(the_same_address_registers_as_somebody_new),
		fixture_test(closed_tallies_stay_as_they_were),
	};
	return fixture_run(tests, CH_LEN(tests));
}
