/* Co-ops: founding, joining, admins, leaving; what members say and how it reaches the policy engine; the walls between co-ops. */
#include "people.h"

#include "commonhold/http.h"
#include "commonhold/ledger.h"

#include <pthread.h>

static struct member join(struct call *c, struct uuid coop)
{
	struct member m;
	assert_ok(c, member_join(c, coop, &m));
	return m;
}

static int64_t leaves(const char *type)
{
	char sql[200];
	snprintf(sql, sizeof sql, "SELECT count(*) FROM log_leaf WHERE type = '%s'", type);
	return fixture_int(sql);
}

static void founding_makes_keys_charter_admin_and_log(void **state)
{
	(void)state;
	struct call *c = people_new("ada");
	struct coop coop = people_coop(c, "garden", ""), found;
	assert_str(coop.slug, "garden");
	assert_int_equal(coop.key_name.n, 16);
	assert_true(str_eq(coop.key_name, coop_key_name(c->arena, coop.public_key)));
	assert_int_equal(coop.charter_version, 1);
	assert_int_equal(coop.members, 1);
	assert_ok(c, coop_read(c, coop.id, &found));
	assert_int_equal(found.members, 1);
	assert_int_equal(found.n_languages, 2);
	assert_string_equal(fixture_text("SELECT string_agg(type, ' ' ORDER BY idx) FROM log_leaf"), "coop.founded charter.adopted member.admitted admin.added");
	struct member me;
	assert_ok(c, member_mine_in(c, coop.id, &me));
	assert_true(me.is_admin && me.state == POLICY_STANDING_ACTIVE && me.number == 0);
	struct charter charter;
	assert_ok(c, charter_view(c, coop.id, 0, &charter));
	assert_str(charter.name, "garden");
	assert_int_equal(fixture_int("SELECT count(*) FROM log_leaf WHERE convert_from(entry, 'UTF8') LIKE '%ada%'"), 0); /* nobody's name or address */
}

static void a_refused_founding_leaves_nothing(void **state)
{
	(void)state;
	struct call *c = people_new("ada"), *nobody = fixture_call();
	struct coop coop;
	people_coop(c, "garden", "");
	const struct json *draft = people_json(c, "{\"name\":\"x\",\"scope\":{\"domain\":\"d\"},\"release\":{\"uses\":[\"eval\"],\"purposes\":[\"research\"]}}");
	assert_err(c, ERR_EXISTS, coop_found(c, STR("garden"), draft, &coop));
	assert_err(c, ERR_INVALID, coop_found(c, STR("-garden"), draft, &coop));
	assert_err(c, ERR_INVALID, coop_found(c, STR("Garden"), draft, &coop));
	assert_err(c, ERR_INVALID, coop_found(c, STR("abcdefgh234567ab"), draft, &coop)); /* looks like a key name */
	error_clear(&c->error);
	assert_err(c, ERR_INVALID, coop_found(c, STR("other"), people_json(c, "{\"name\":\"x\"}"), &coop));
	assert_str(c->error.faults->pointer, "/charter/scope");
	assert_err(nobody, ERR_UNAUTHENTICATED, coop_found(nobody, STR("other"), draft, &coop));
	assert_int_equal(fixture_int("SELECT count(*) FROM coop"), 1);
	assert_int_equal(fixture_int("SELECT count(*) FROM charter"), 1);
}

static void open_admission_admits_at_once(void **state)
{
	(void)state;
	struct call *ada = people_new("ada"), *bob = people_new("bob");
	struct coop coop = people_coop(ada, "garden", PEOPLE_OPEN);
	struct member m = join(bob, coop.id), again;
	assert_int_equal(m.state, POLICY_STANDING_ACTIVE);
	assert_int_equal(m.number, 1);
	assert_false(m.is_admin);
	assert_true(m.due_at > clock_now() + 364 * CLOCK_DAY);
	assert_str(m.attribution, "pseudonym");
	assert_true(m.pseudonym.n > 6);
	assert_err(bob, ERR_EXISTS, member_join(bob, coop.id, &again));
	assert_ok(bob, coop_read(bob, coop.id, &coop));
	assert_int_equal(coop.members, 2);
	struct call *nobody = fixture_call();
	assert_err(nobody, ERR_UNAUTHENTICATED, member_join(nobody, coop.id, &again));
	assert_err(bob, ERR_NOT_FOUND, member_join(bob, uuid_new(), &again));
}

static void an_applicant_waits_for_an_admin(void **state)
{
	(void)state;
	struct call *ada = people_new("ada"), *bob = people_new("bob"), *eve = people_new("eve");
	struct coop coop = people_coop(ada, "garden", "");
	struct member m = join(bob, coop.id), e = join(eve, coop.id), out;
	assert_int_equal(m.state, POLICY_STANDING_APPLIED);
	assert_err(bob, ERR_FORBIDDEN, member_admit(bob, coop.id, m.id, true, STR_NONE, &out));
	assert_ok(ada, member_admit(ada, coop.id, m.id, true, STR("Welcome"), &out));
	assert_int_equal(out.state, POLICY_STANDING_ACTIVE);
	assert_err(ada, ERR_STATE, member_admit(ada, coop.id, m.id, true, STR_NONE, &out));
	assert_ok(ada, member_admit(ada, coop.id, e.id, false, STR("Not now"), &out));
	assert_int_equal(out.state, POLICY_STANDING_LEFT);
	assert_int_equal(leaves("member.applied"), 2);
	assert_int_equal(leaves("member.admitted"), 2);
	assert_int_equal(leaves("member.refused"), 1);
	assert_int_equal(join(eve, coop.id).state, POLICY_STANDING_APPLIED); /* one may ask again */
	assert_int_equal(fixture_int("SELECT count(*) FROM log_leaf WHERE convert_from(entry, 'UTF8') LIKE '%Not now%'"), 0);
	assert_int_equal(fixture_int("SELECT count(*) FROM membership_event WHERE reason = 'Not now'"), 1);
}

static void an_invitation_admits_that_address_once(void **state)
{
	(void)state;
	struct call *ada = people_new("ada"), *bob = people_new("bob"), *eve = people_new("eve");
	struct coop coop = people_coop(ada, "garden", ",\"membership\":{\"admission\":\"invitation\"}");
	struct member out;
	assert_err(bob, ERR_REFUSED, member_join(bob, coop.id, &out));
	assert_err(bob, ERR_NOT_FOUND, member_invite(bob, coop.id, STR("bob@example.org")));
	assert_ok(ada, member_invite(ada, coop.id, STR("BOB@example.org")));
	assert_err(bob, ERR_REFUSED, member_join(bob, coop.id, &out)); /* anybody may register with anybody's address: a mail to it must have been read */
	struct account vouched;
	assert_ok(ada, account_vouch_email(ada, STR("bob@example.org"), &vouched));
	assert_int_equal(join(bob, coop.id).state, POLICY_STANDING_ACTIVE);
	assert_err(eve, ERR_REFUSED, member_join(eve, coop.id, &out));
	assert_ok(bob, member_leave(bob, coop.id, &out));
	assert_err(bob, ERR_REFUSED, member_join(bob, coop.id, &out)); /* it was used */
	assert_err(ada, ERR_INVALID, member_invite(ada, coop.id, STR("nobody")));
}

static void the_last_admin_stays(void **state)
{
	(void)state;
	struct call *ada = people_new("ada"), *bob = people_new("bob");
	struct coop coop = people_coop(ada, "garden", PEOPLE_OPEN);
	struct member b = join(bob, coop.id), a, out;
	assert_ok(ada, member_mine_in(ada, coop.id, &a));
	assert_err(ada, ERR_REFUSED, member_leave(ada, coop.id, &out));
	assert_err(ada, ERR_REFUSED, member_set_admin(ada, coop.id, a.id, false, &out));
	assert_err(bob, ERR_FORBIDDEN, member_set_admin(bob, coop.id, b.id, true, &out));
	assert_ok(ada, member_set_admin(ada, coop.id, b.id, true, &out));
	assert_true(out.is_admin);
	assert_ok(bob, member_set_admin(bob, coop.id, a.id, false, &out));
	assert_err(bob, ERR_REFUSED, member_leave(bob, coop.id, &out));
	assert_ok(ada, member_leave(ada, coop.id, &out));
	assert_int_equal(leaves("admin.added"), 2);
	assert_int_equal(leaves("admin.removed"), 1);
	assert_ok(ada, coop_read(ada, coop.id, &coop));
	assert_int_equal(coop.members, 1);
}

static void who_is_removed_comes_back_only_through_an_admin(void **state)
{
	(void)state;
	struct call *ada = people_new("ada"), *bob = people_new("bob");
	struct coop coop = people_coop(ada, "garden", PEOPLE_OPEN);
	struct member b = join(bob, coop.id), out;
	assert_ok(bob, consent_give(bob, coop.id, &STR("research"), 1, true));
	assert_ok(ada, member_remove(ada, coop.id, b.id, STR("spam"), &out));
	assert_int_equal(out.state, POLICY_STANDING_REMOVED);
	assert_string_equal(fixture_text("SELECT state FROM consent ORDER BY seq DESC LIMIT 1"), "revoked");
	assert_err(bob, ERR_REFUSED, member_join(bob, coop.id, &out));
	struct consent consent;
	assert_err(bob, ERR_NOT_FOUND, consent_current(bob, coop.id, &consent));
	assert_ok(ada, member_admit(ada, coop.id, b.id, true, STR_NONE, &out));
	assert_int_equal(out.state, POLICY_STANDING_ACTIVE);
}

static void who_leaves_and_returns_is_asked_again(void **state)
{
	(void)state;
	struct call *ada = people_new("ada"), *bob = people_new("bob");
	struct coop coop = people_coop(ada, "garden", PEOPLE_OPEN);
	struct member b = join(bob, coop.id), out;
	struct consent consent;
	assert_ok(bob, consent_give(bob, coop.id, &STR("any"), 1, true));
	assert_ok(bob, member_leave(bob, coop.id, &out));
	assert_ok(bob, coop_read(bob, coop.id, &coop));
	assert_int_equal(coop.members, 1);
	out = join(bob, coop.id);
	assert_true(uuid_eq(out.id, b.id) && out.number == b.number);
	assert_ok(bob, consent_current(bob, coop.id, &consent));
	assert_str(consent.state, "withdrawn");
	assert_false(consent.defaults);
}

static void the_table_of_a_membership_is_sound_and_the_only_way(void **state)
{
	(void)state;
	struct error e = { 0 };
	assert_int_equal(lifecycle_check(&membership_life, &e), ERR_OK);
	for (size_t i = 0; i < membership_life.n_edges; i++)
		assert_true(strlen(membership_life.edges[i].sentence) > 10 && membership_life.edges[i].leaf && membership_life.edges[i].who);
}

static void attribution_is_chosen_and_a_public_name_given(void **state)
{
	(void)state;
	struct call *ada = people_new("ada");
	struct coop coop = people_coop(ada, "garden", ",\"attribution\":\"public\"");
	struct member m;
	assert_ok(ada, member_mine_in(ada, coop.id, &m));
	assert_str(m.attribution, "pseudonym"); /* nobody is named publicly before they said how */
	assert_err(ada, ERR_INVALID, member_set_attribution(ada, coop.id, STR("public"), STR_NONE, &m));
	assert_ok(ada, member_set_attribution(ada, coop.id, STR("public"), STR(" Ada L. "), &m));
	assert_str(m.public_name, "Ada L.");
	assert_ok(ada, member_set_attribution(ada, coop.id, STR("anonymous"), STR_NONE, &m));
	assert_err(ada, ERR_INVALID, member_set_attribution(ada, coop.id, STR("loud"), STR_NONE, &m));
}

static void consent_names_purposes_and_the_words_it_was_given_on(void **state)
{
	(void)state;
	struct call *ada = people_new("ada");
	struct coop coop = people_coop(ada, "garden", "");
	struct consent consent;
	assert_err(ada, ERR_NOT_FOUND, consent_current(ada, coop.id, &consent));
	assert_err(ada, ERR_NOT_FOUND, consent_withdraw(ada, coop.id));
	struct str two[] = { STR("education"), STR("research") }, bad[] = { STR("research"), STR("fun") };
	assert_err(ada, ERR_INVALID, consent_give(ada, coop.id, bad, 2, false));
	assert_str(people_fault(ada), "/purposes/1");
	assert_err(ada, ERR_INVALID, consent_give(ada, coop.id, NULL, 0, false));
	error_clear(&ada->error);
	assert_ok(ada, consent_give(ada, coop.id, two, 2, false));
	assert_ok(ada, consent_current(ada, coop.id, &consent));
	assert_str(consent.state, "given");
	assert_int_equal(consent.n_purposes, 2);
	assert_str(consent.purposes[0], "research"); /* the vocabulary's order */
	assert_int_equal(consent.notice, 1);
	assert_false(consent.defaults);
	assert_true(consent.expires_at > clock_now() + 390 * CLOCK_DAY && consent.expires_at < clock_now() + 400 * CLOCK_DAY);
	assert_ok(ada, consent_give(ada, coop.id, two, 2, true));
	assert_ok(ada, consent_withdraw(ada, coop.id));
	assert_err(ada, ERR_STATE, consent_withdraw(ada, coop.id));
	assert_string_equal(fixture_text("SELECT string_agg(state, ' ' ORDER BY seq) FROM consent"), "given renewed withdrawn");
	assert_int_equal(leaves("consent.given"), 2);
	assert_int_equal(leaves("consent.withdrawn"), 1);
	assert_int_equal(fixture_int("SELECT count(*) FROM log_leaf WHERE type LIKE 'consent.%' AND convert_from(entry, 'UTF8') LIKE '%research%'"), 0);
}

static struct statement say(const char *effect, uint16_t uses)
{
	return (struct statement){ .layer = POLICY_LAYER_SUBJECT, .effect = str_of(effect), .uses = uses, .valid_from = INSTANT_NONE, .valid_to = INSTANT_NONE };
}
#define TRAIN POLICY_BIT(POLICY_USE_TRAIN_GEN)
#define EVAL POLICY_BIT(POLICY_USE_EVAL)
#define SEARCH POLICY_BIT(POLICY_USE_SEARCH)

static void a_later_statement_replaces_an_earlier_one_for_its_uses(void **state)
{
	(void)state;
	struct call *ada = people_new("ada");
	struct coop coop = people_coop(ada, "garden", "");
	struct statement first[] = { say("allow", TRAIN | EVAL), say("deny", SEARCH) }, *out;
	size_t n;
	assert_ok(ada, statement_make(ada, coop.id, first, 2, &out));
	assert_true(out[0].seq > 0 && out[1].seq > out[0].seq);
	struct statement second = say("deny", EVAL), third = say("none", SEARCH), of_chats = say("deny", TRAIN);
	of_chats.kind = STR("chat");
	assert_ok(ada, statement_make(ada, coop.id, &second, 1, &out));
	assert_ok(ada, statement_make(ada, coop.id, &third, 1, &out));
	assert_ok(ada, statement_make(ada, coop.id, &of_chats, 1, &out));
	assert_ok(ada, statement_list(ada, coop.id, false, &out, &n));
	assert_int_equal(n, 5);
	assert_ok(ada, statement_list(ada, coop.id, true, &out, &n));
	assert_int_equal(n, 3);
	assert_str(out[0].kind, "chat");
	assert_str(out[1].effect, "deny");
	assert_int_equal(out[1].uses, EVAL);
	assert_str(out[2].effect, "allow");
	assert_int_equal(out[2].uses, TRAIN); /* eval was replaced, search taken back */
	assert_int_equal(leaves("statement.made"), 4);
}

static void a_statement_that_makes_no_sense_names_its_field(void **state)
{
	(void)state;
	struct call *ada = people_new("ada");
	struct coop coop = people_coop(ada, "garden", "");
	struct statement table[] = { say("perhaps", EVAL), say("allow", 0), say("allow_if", EVAL), say("deny", EVAL), say("deny", EVAL), say("deny", EVAL), say("deny", EVAL), say("deny", EVAL), say("deny", EVAL) };
	table[3].duties = POLICY_BIT(POLICY_DUTY_CREDIT);
	table[4].layer = POLICY_LAYER_COOP;
	table[5].layer = POLICY_LAYER_ITEM;
	table[6].kind = STR("song");
	table[7].purpose = STR("fun");
	table[8].valid_from = table[8].valid_to = clock_now();
	static const char *const members[] = { "effect", "uses", "duties", "duties", "layer", "item", "kind", "purpose", "valid_to" };
	struct statement *out;
	for (size_t i = 0; i < CH_LEN(table); i++) {
		char pointer[64];
		snprintf(pointer, sizeof pointer, "/statements/0/%s", members[i]);
		error_clear(&ada->error);
		assert_err(ada, ERR_INVALID, statement_make(ada, coop.id, &table[i], 1, &out));
		assert_str(people_fault(ada), pointer);
	}
	struct statement item = say("deny", EVAL);
	item.layer = POLICY_LAYER_ITEM;
	item.item = uuid_new();
	assert_err(ada, ERR_NOT_FOUND, statement_make(ada, coop.id, &item, 1, &out)); /* not a contribution of hers */
	assert_err(ada, ERR_INVALID, statement_make(ada, coop.id, table, 0, &out));
	assert_int_equal(fixture_int("SELECT count(*) FROM statement"), 0);
}

static void a_member_may_be_stricter_always_and_more_generous_only_where_left_to_them(void **state)
{
	(void)state;
	struct call *ada = people_new("ada");
	struct coop coop = people_coop(ada, "garden", ",\"sharing\":\"share_by_default\",\"ai_preferences\":{\"eval\":{\"effect\":\"allow_if\",\"duties\":[\"credit\"]},\"search\":{\"effect\":\"deny\"},"
		"\"member_may_change\":[\"train.gen\"]}");
	struct statement no = say("deny", TRAIN | EVAL | SEARCH), yes = say("allow", TRAIN), wide = say("allow", EVAL), lift = say("allow", SEARCH), same = say("allow_if", EVAL), *out;
	same.duties = POLICY_BIT(POLICY_DUTY_CREDIT);
	assert_ok(ada, statement_make(ada, coop.id, &no, 1, &out));
	assert_ok(ada, statement_make(ada, coop.id, &yes, 1, &out));
	assert_ok(ada, statement_make(ada, coop.id, &same, 1, &out));
	assert_err(ada, ERR_INVALID, statement_make(ada, coop.id, &wide, 1, &out));
	assert_err(ada, ERR_INVALID, statement_make(ada, coop.id, &lift, 1, &out));
}

static void the_licence_is_among_those_allowed(void **state)
{
	(void)state;
	struct call *ada = people_new("ada");
	struct coop coop = people_coop(ada, "garden", "");
	unsigned licence;
	bool own;
	assert_ok(ada, licence_current(ada, coop.id, &licence, &own));
	assert_int_equal(licence, POLICY_LICENCE_CC_BY_4_0);
	assert_false(own);
	assert_err(ada, ERR_INVALID, licence_choose(ada, coop.id, STR("ODbL-1.0")));
	assert_err(ada, ERR_INVALID, licence_choose(ada, coop.id, STR("nonsense")));
	assert_ok(ada, licence_choose(ada, coop.id, STR("cc0-1.0")));
	assert_ok(ada, licence_current(ada, coop.id, &licence, &own));
	assert_int_equal(licence, POLICY_LICENCE_CC0_1_0);
	assert_true(own);
}

static void what_was_said_cannot_be_changed_or_removed(void **state)
{
	(void)state;
	struct call *ada = people_new("ada");
	struct coop coop = people_coop(ada, "garden", "");
	struct statement no = say("deny", EVAL), *out;
	assert_ok(ada, statement_make(ada, coop.id, &no, 1, &out));
	assert_ok(ada, consent_give(ada, coop.id, &STR("research"), 1, true));
	assert_ok(ada, licence_choose(ada, coop.id, STR("CC0-1.0")));
	SQL(change_statement, "UPDATE statement SET effect = 'allow'");
	SQL(remove_statement, "DELETE FROM statement");
	SQL(change_consent, "UPDATE consent SET defaults = false");
	SQL(change_charter, "UPDATE charter SET document = '{}'");
	SQL(change_event, "DELETE FROM membership_event");
	SQL(change_licence, "UPDATE licence_choice SET licence = 'CC-BY-4.0'");
	SQL(change_coop, "UPDATE coop SET slug = 'other'");
	SQL(remove_member, "DELETE FROM membership");
	const struct db_stmt *refused[] = { &change_statement, &change_consent, &change_charter, &change_event, &change_licence, &change_coop, &remove_member };
	for (size_t i = 0; i < CH_LEN(refused); i++) {
		assert_ok(ada, db_begin_in(ada, coop.id, DB_WRITE));
		assert_err(ada, ERR_FORBIDDEN, db_run(ada, refused[i], NULL, NULL, 0)); /* the server's role has no right to try */
	}
	/* A statement on an item goes with the item when that is erased; any other is refused by its trigger. */
	assert_ok(ada, db_begin_in(ada, coop.id, DB_WRITE));
	assert_err(ada, ERR_REFUSED, db_query0(ada, remove_statement, NULL));
	/* Not even the owner: the trigger refuses. */
	assert_string_equal(fixture_text("SELECT string_agg(DISTINCT tgname, '') FROM pg_trigger WHERE tgrelid = 'statement'::regclass AND tgname LIKE 'facts%'"), "facts_do_not_change");
	assert_int_equal(fixture_int("SELECT count(*) FROM statement WHERE effect = 'deny'"), 1);
}

SQL(raw_members, "SELECT count(*) FROM membership");
SQL(raw_statements, "SELECT count(*) FROM statement");
SQL(raw_consents, "SELECT count(*) FROM consent");
SQL(raw_events, "SELECT count(*) FROM membership_event");

static int64_t raw_count(struct call *c, const struct db_stmt *stmt)
{
	struct rows r;
	assert_ok(c, db_run(c, stmt, &r, NULL, 0));
	return row_int(&r, 0, 0);
}

static void another_coops_rows_are_not_there_even_for_raw_sql(void **state)
{
	(void)state;
	struct call *ada = people_new("ada"), *eve = people_new("eve");
	struct coop garden = people_coop(ada, "garden", PEOPLE_OPEN), forest = people_coop(eve, "forest", PEOPLE_OPEN);
	struct member a, out;
	struct statement no = say("deny", EVAL), *said;
	assert_ok(ada, member_mine_in(ada, garden.id, &a));
	assert_ok(ada, statement_make(ada, garden.id, &no, 1, &said));
	assert_ok(ada, consent_give(ada, garden.id, &STR("any"), 1, false));

	assert_ok(eve, db_begin_in(eve, forest.id, DB_READ));
	assert_int_equal(raw_count(eve, &raw_members), 1); /* her own */
	assert_int_equal(raw_count(eve, &raw_statements), 0);
	assert_int_equal(raw_count(eve, &raw_consents), 0);
	assert_int_equal(raw_count(eve, &raw_events), 1);
	assert_ok(eve, db_commit(eve));
	eve->coop = (struct uuid){ { 0 } };
	assert_ok(eve, db_begin(eve, DB_READ));
	assert_int_equal(raw_count(eve, &raw_statements), 0);
	assert_int_equal(raw_count(eve, &raw_members), 1);
	assert_ok(eve, db_commit(eve));

	/* A member's id under the wrong co-op is as absent as one that never was. */
	assert_err(eve, ERR_NOT_FOUND, member_read(eve, forest.id, a.id, &out));
	assert_err(eve, ERR_NOT_FOUND, member_admit(eve, forest.id, a.id, true, STR_NONE, &out));
	assert_err(eve, ERR_NOT_FOUND, member_remove(eve, garden.id, a.id, STR_NONE, &out));
	assert_err(eve, ERR_NOT_FOUND, statement_make(eve, garden.id, &no, 1, &said));
	assert_err(eve, ERR_NOT_FOUND, member_leave(eve, garden.id, &out));
}

static void members_are_listed_in_pages(void **state)
{
	(void)state;
	struct call *ada = people_new("ada");
	struct coop coop = people_coop(ada, "garden", PEOPLE_OPEN);
	struct member *rows;
	size_t n, seen = 0;
	struct str cursor = STR_NONE;
	for (int i = 0; i < 5; i++) {
		char name[16];
		snprintf(name, sizeof name, "m%d", i);
		struct call *c = people_new(name);
		join(c, coop.id);
	}
	do {
		assert_ok(ada, member_list(ada, coop.id, STR("active"), cursor, 4, &rows, &n, &cursor));
		for (size_t i = 0; i < n; i++)
			assert_int_equal(rows[i].number, (int)seen++);
	} while (cursor.p);
	assert_int_equal(seen, 6);
	assert_err(ada, ERR_INVALID, member_list(ada, coop.id, STR_NONE, STR("x'"), 4, &rows, &n, &cursor));
	assert_ok(ada, member_mine(ada, &rows, &n));
	assert_int_equal(n, 1);
}

static void the_directory_is_searched_by_what_coops_are_for(void **state)
{
	(void)state;
	struct call *ada = people_new("ada");
	people_coop(ada, "garden", "");
	people_coop(ada, "forest", "");
	struct coop *found;
	size_t n;
	struct str next;
	static const struct { struct coop_filter filter; size_t n; } table[] = {
		{ { .limit = 10 }, 2 }, { { .domain = { "LANGUAGE", 8 } }, 2 }, { { .domain = { "x", 1 } }, 0 }, { { .region = { "ch", 2 } }, 2 }, { { .language = { "de", 2 } }, 2 },
		{ { .language = { "d", 1 } }, 0 }, { { .text = { "Fore", 4 } }, 1 }, { { .text = { "%", 1 } }, 0 },
	};
	for (size_t i = 0; i < CH_LEN(table); i++) {
		assert_ok(ada, coop_list(ada, &table[i].filter, &found, &n, &next));
		assert_int_equal(n, table[i].n);
	}
	struct coop_filter one = { .limit = 1 };
	assert_ok(ada, coop_list(ada, &one, &found, &n, &next));
	assert_str(found[0].slug, "garden");
	assert_true(next.p != NULL);
	one.cursor = next;
	assert_ok(ada, coop_list(ada, &one, &found, &n, &next));
	assert_str(found[0].slug, "forest");
	assert_null(next.p);
}

static void a_request_is_identified_in_one_statement(void **state)
{
	(void)state;
	struct call *ada = people_new("ada"), *c = fixture_call();
	struct coop coop = people_coop(ada, "garden", "");
	struct str secret, token;
	struct token_row row;
	struct coop_ref ref = { 0 };
	assert_ok(ada, session_start_for(ada, ada->actor.account, STR(""), &secret));
	assert_ok(ada, token_create(ada, STR("t"), INSTANT_NONE, &row, &token));

	int before = c->queries;
	assert_ok(c, coop_identify(c, &(struct http_identity){ AUTH_SESSION, secret, STR("garden") }, &ref));
	assert_int_equal(c->queries - before, 1);
	assert_true(ref.is_member && ref.is_active && ref.is_admin && uuid_eq(ref.id, coop.id) && uuid_eq(c->coop, coop.id));
	assert_true(str_eq(ref.name, coop.key_name));
	assert_str(c->actor.email, "ada@example.org");

	c = fixture_call();
	ref = (struct coop_ref){ 0 };
	assert_ok(c, coop_identify(c, &(struct http_identity){ AUTH_TOKEN, token, coop.key_name }, &ref));
	assert_true(ref.is_admin && c->actor.kind == AUTH_TOKEN);
	c = fixture_call();
	ref = (struct coop_ref){ 0 };
	assert_ok(c, coop_identify(c, &(struct http_identity){ AUTH_SESSION, STR("nonsense"), STR("garden") }, &ref));
	assert_true(c->actor.kind == AUTH_NONE && !ref.is_member && uuid_eq(ref.id, coop.id));
	assert_ok(c, coop_identify(c, &(struct http_identity){ AUTH_NONE, STR_NONE, STR_NONE }, &ref));
	assert_err(c, ERR_NOT_FOUND, coop_identify(c, &(struct http_identity){ AUTH_NONE, STR_NONE, STR("nowhere") }, &ref));
	assert_err(c, ERR_TOKEN_INVALID, coop_identify(c, &(struct http_identity){ AUTH_TOKEN, STR("ch_token_x"), STR_NONE }, &ref));
	assert_ok(ada, token_revoke(ada, row.id));
	assert_err(c, ERR_TOKEN_INVALID, coop_identify(c, &(struct http_identity){ AUTH_TOKEN, token, STR_NONE }, &ref));

	struct call *bob = people_new("bob");
	struct member m = join(bob, coop.id);
	(void)m;
	struct str bobs;
	assert_ok(bob, session_start_for(bob, bob->actor.account, STR(""), &bobs));
	ref = (struct coop_ref){ 0 };
	assert_ok(c, coop_identify(c, &(struct http_identity){ AUTH_SESSION, bobs, STR("garden") }, &ref));
	assert_true(ref.is_member && !ref.is_active && !ref.is_admin); /* an applicant */
}

SQL(what_is_seen, "SELECT commonhold_account(), commonhold_coop(), (SELECT count(*) FROM licence_choice)");

static struct rows seen;

static enum err look_ahead(struct request *rq)
{
	return db_ask_run(rq->call, &what_is_seen, &seen, NULL, 0);
}

/* What is asked before anybody knows who calls is told no co-op but the member's own. */
static void what_is_asked_ahead_sees_a_members_coop_and_no_other(void **state)
{
	(void)state;
	struct call *ada = people_new("ada"), *bob = people_new("bob"), *c = fixture_call();
	struct coop coop = people_coop(ada, "garden", "");
	struct member m = join(bob, coop.id);
	struct str adas, bobs, token;
	struct token_row row;
	struct coop_ref ref = { 0 };
	struct request rq = { .call = c };
	assert_ok(ada, session_start_for(ada, ada->actor.account, STR(""), &adas));
	assert_ok(bob, session_start_for(bob, bob->actor.account, STR(""), &bobs));
	assert_ok(ada, token_create(ada, STR("t"), clock_now() + CLOCK_DAY, &row, &token));
	int before = c->queries;
	assert_ok(c, coop_identify(c, &(struct http_identity){ AUTH_SESSION, adas, STR("garden"), look_ahead, &rq }, &ref));
	assert_int_equal(c->queries - before, 2);
	assert_true(uuid_eq(row_uuid(&seen, 0, 0), ada->actor.account) && uuid_eq(row_uuid(&seen, 0, 1), coop.id));
	assert_ok(c, coop_identify(c, &(struct http_identity){ AUTH_TOKEN, token, STR("garden"), look_ahead, &rq }, &ref));
	assert_true(uuid_eq(row_uuid(&seen, 0, 0), ada->actor.account) && uuid_eq(row_uuid(&seen, 0, 1), coop.id));

	/* who left, who never came, and nobody */
	assert_ok(c, coop_identify(c, &(struct http_identity){ AUTH_SESSION, bobs, STR("garden"), look_ahead, &rq }, &ref));
	assert_true(uuid_eq(row_uuid(&seen, 0, 1), coop.id)); /* an applicant may see what a member route shows */
	fixture_sql("ALTER TABLE membership DISABLE TRIGGER USER; UPDATE membership SET state = 'left' WHERE NOT is_admin");
	assert_ok(c, coop_identify(c, &(struct http_identity){ AUTH_SESSION, bobs, STR("garden"), look_ahead, &rq }, &ref));
	assert_true(row_null(&seen, 0, 1));
	(void)m;
	assert_ok(c, coop_identify(c, &(struct http_identity){ AUTH_SESSION, STR("nonsense"), STR("garden"), look_ahead, &rq }, &ref));
	assert_true(row_null(&seen, 0, 0) && row_null(&seen, 0, 1));

	/* and a token that does not open anything any more */
	clock_set(clock_now() + 2 * CLOCK_DAY);
	assert_err(c, ERR_TOKEN_EXPIRED, coop_identify(c, &(struct http_identity){ AUTH_TOKEN, token, STR("garden"), look_ahead, &rq }, &ref));
	assert_true(row_null(&seen, 0, 0) && row_null(&seen, 0, 1));
	clock_set(INSTANT_NONE);
	assert_ok(ada, token_revoke(ada, row.id));
	assert_err(c, ERR_TOKEN_INVALID, coop_identify(c, &(struct http_identity){ AUTH_TOKEN, token, STR("garden"), look_ahead, &rq }, &ref));
	assert_true(row_null(&seen, 0, 0) && row_null(&seen, 0, 1));
}

static uint32_t no_items(void *arg, struct uuid item)
{
	(void)arg;
	(void)item;
	return POLICY_NO_ITEM;
}

static void the_engine_is_told_exactly_what_was_said(void **state)
{
	(void)state;
	struct call *ada = people_new("ada"), *bob = people_new("bob"), *eve = people_new("eve");
	instant start = clock_of_civil((struct civil){ .year = 2026, .month = 5, .day = 1 });
	clock_set(start);
	struct coop coop = people_coop(ada, "garden", PEOPLE_OPEN);
	join(bob, coop.id);
	join(eve, coop.id);
	struct str research[] = { STR("research") }, more[] = { STR("research"), STR("education") };
	assert_ok(ada, consent_give(ada, coop.id, research, 1, false));
	assert_ok(bob, consent_give(bob, coop.id, more, 2, true));
	clock_set(start + CLOCK_DAY);
	assert_ok(ada, consent_give(ada, coop.id, more, 2, true));     /* wider: counts from now */
	assert_ok(bob, consent_give(bob, coop.id, research, 1, true)); /* narrower: has stood since the first */
	struct statement said[] = { say("allow_if", EVAL), say("deny", TRAIN | SEARCH) }, *out;
	said[0].duties = POLICY_BIT(POLICY_DUTY_CREDIT) | POLICY_BIT(POLICY_DUTY_REPORT);
	said[1].kind = STR("signal");
	said[1].purpose = STR("commercial");
	said[1].audience = STR("public");
	assert_ok(bob, statement_make(bob, coop.id, said, 2, &out));

	struct call *system = fixture_system();
	struct policy_facts facts, again;
	assert_ok(system, db_begin_in(system, coop.id, DB_SERIAL));
	assert_ok(system, coop_policy_facts(system, coop.id, no_items, NULL, &facts));
	assert_ok(system, coop_policy_facts(system, coop.id, no_items, NULL, &again));
	assert_memory_equal(facts.data, again.data, 32);
	assert_int_equal(facts.n_members, 3);
	const struct policy_member *a = &facts.members[0], *b = &facts.members[1], *e = &facts.members[2];
	assert_int_equal(a->standing, POLICY_STANDING_ACTIVE);
	assert_int_equal(a->consent, POLICY_CONSENT_RENEWED);
	assert_int_equal(a->consent_given, start + CLOCK_DAY);
	assert_int_equal(a->defaults_accepted, start + CLOCK_DAY);
	assert_int_equal(a->purposes, POLICY_BIT(POLICY_PURPOSE_RESEARCH) | POLICY_BIT(POLICY_PURPOSE_EDUCATION));
	assert_int_equal(a->notice, 1);
	assert_int_equal(b->consent_given, start);
	assert_int_equal(b->defaults_accepted, start);
	assert_int_equal(b->purposes, POLICY_BIT(POLICY_PURPOSE_RESEARCH));
	assert_int_equal(e->consent, POLICY_CONSENT_UNKNOWN); /* silence is unknown */
	assert_int_equal(e->consent_given, POLICY_NEVER);
	assert_int_equal(e->defaults_accepted, POLICY_NEVER);

	assert_int_equal(facts.n_statements, 2);
	const struct policy_statement *s = facts.statements;
	assert_int_equal(s[0].subject, 1);
	assert_int_equal(s[0].declared_by, 1);
	assert_int_equal(s[0].effect, POLICY_EFFECT_ALLOW_IF);
	assert_int_equal(s[0].duties, said[0].duties);
	assert_int_equal(s[0].uses, EVAL);
	assert_int_equal(s[0].selector, POLICY_SELECT_ALL);
	assert_int_equal(s[0].purpose, POLICY_PURPOSE_ANY);
	assert_int_equal(s[0].declared_at, start + CLOCK_DAY);
	assert_int_equal(s[0].valid_from, POLICY_EVER);
	assert_int_equal(s[0].valid_to, POLICY_NEVER);
	assert_int_equal(s[1].selector, POLICY_SELECT_KIND);
	assert_int_equal(s[1].kind, POLICY_KIND_SIGNAL);
	assert_int_equal(s[1].purpose, POLICY_PURPOSE_COMMERCIAL);
	assert_int_equal(s[1].audience, POLICY_AUDIENCE_PUBLIC);
	assert_true(s[1].revision > s[0].revision);
	assert_ok(system, db_commit(system));

	assert_ok(bob, consent_withdraw(bob, coop.id));
	assert_ok(system, db_begin_in(system, coop.id, DB_SERIAL));
	assert_ok(system, coop_policy_facts(system, coop.id, no_items, NULL, &again));
	assert_int_equal(again.members[1].consent, POLICY_CONSENT_WITHDRAWN);
	assert_int_equal(again.members[1].consent_given, POLICY_NEVER);
	assert_int_equal(again.members[1].defaults_accepted, POLICY_NEVER);
	assert_memory_not_equal(facts.data, again.data, 32);
	assert_ok(system, db_commit(system));
}

static void a_charter_is_parsed_once_and_outlives_the_cache(void **state)
{
	(void)state;
	struct call *ada = people_new("ada"), *reader = fixture_call();
	struct coop coop = people_coop(ada, "garden", "");
	struct charter first, second;
	assert_ok(reader, charter_view(reader, coop.id, 0, &first));
	int before = reader->queries;
	assert_ok(reader, charter_view(reader, coop.id, 1, &second));
	assert_int_equal(reader->queries - before, 1); /* which version there is; the document is kept */
	assert_ptr_equal(first.json, second.json);
	assert_true(first.adopted_at != INSTANT_NONE);
	for (int i = 0; i < 40; i++) { /* push it out */
		char slug[32];
		snprintf(slug, sizeof slug, "coop-%d", i);
		struct coop other = people_coop(ada, slug, "");
		assert_ok(ada, charter_view(ada, other.id, 0, &second));
	}
	assert_str(first.name, "garden");
	assert_err(reader, ERR_NOT_FOUND, charter_view(reader, coop.id, 2, &second));
	assert_err(reader, ERR_NOT_FOUND, charter_view(reader, uuid_new(), 0, &second));
}

/* One act of one person, at the same time as others'. */
struct act { struct call *call; struct uuid coop; enum err (*run)(struct call *c, struct uuid coop, struct member *out); enum err err; };

static void *act_run(void *arg)
{
	struct act *act = arg;
	struct member out;
	act->err = act->run(act->call, act->coop, &out);
	if (act->err != ERR_OK)
		db_rollback(act->call);
	db_release(act->call);
	return NULL;
}

static void act_all(struct act *acts, size_t n)
{
	pthread_t threads[8];
	for (size_t i = 0; i < n; i++)
		assert_int_equal(pthread_create(&threads[i], NULL, act_run, &acts[i]), 0);
	for (size_t i = 0; i < n; i++)
		pthread_join(threads[i], NULL);
}

static void admins_who_leave_at_the_same_moment_leave_one_behind(void **state)
{
	(void)state;
	for (int round = 0; round < 5; round++) {
		char names[3][24], slug[24];
		struct act acts[3];
		snprintf(slug, sizeof slug, "garden-%d", round % 10);
		for (int i = 0; i < 3; i++) {
			snprintf(names[i], sizeof names[i], "a%d-%d", round % 10, i);
			acts[i] = (struct act){ .call = people_new(names[i]), .run = member_leave };
		}
		struct coop coop = people_coop(acts[0].call, slug, PEOPLE_OPEN);
		for (int i = 1; i < 3; i++) {
			struct member m = join(acts[i].call, coop.id), out;
			assert_ok(acts[0].call, member_set_admin(acts[0].call, coop.id, m.id, true, &out));
		}
		int left = 0;
		for (int i = 0; i < 3; i++) {
			acts[i].coop = coop.id;
			db_release(acts[i].call);
		}
		act_all(acts, 3);
		for (int i = 0; i < 3; i++)
			left += acts[i].err == ERR_OK;
		assert_int_equal(left, 2);
	}
	assert_int_equal(fixture_int("SELECT count(*) FROM membership WHERE is_admin AND state = 'active'"), 5);
	assert_int_equal(fixture_int("SELECT sum(members) FROM coop_count"), 5);
}

static void numbers_stay_dense_when_many_join_at_once(void **state)
{
	(void)state;
	struct call *ada = people_new("ada");
	struct coop coop = people_coop(ada, "garden", PEOPLE_OPEN);
	struct act acts[8];
	for (int i = 0; i < 8; i++) {
		char name[16];
		snprintf(name, sizeof name, "m%d", i % 10);
		acts[i] = (struct act){ .call = people_new(name), .coop = coop.id, .run = member_join };
		db_release(acts[i].call);
	}
	db_release(ada);
	act_all(acts, 8);
	for (int i = 0; i < 8; i++)
		assert_int_equal(acts[i].err, ERR_OK);
	assert_int_equal(fixture_int("SELECT max(number) FROM membership"), 8);
	assert_int_equal(fixture_int("SELECT count(*) FROM membership"), 9);
	assert_int_equal(fixture_int("SELECT members FROM coop_count"), 9);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		fixture_test(founding_makes_keys_charter_admin_and_log),
		fixture_test(a_refused_founding_leaves_nothing),
		fixture_test(open_admission_admits_at_once),
		fixture_test(an_applicant_waits_for_an_admin),
		fixture_test(an_invitation_admits_that_address_once),
		fixture_test(the_last_admin_stays),
		fixture_test(who_is_removed_comes_back_only_through_an_admin),
		fixture_test(who_leaves_and_returns_is_asked_again),
		fixture_test(the_table_of_a_membership_is_sound_and_the_only_way),
		fixture_test(attribution_is_chosen_and_a_public_name_given),
		fixture_test(consent_names_purposes_and_the_words_it_was_given_on),
		fixture_test(a_later_statement_replaces_an_earlier_one_for_its_uses),
		fixture_test(a_statement_that_makes_no_sense_names_its_field),
		fixture_test(a_member_may_be_stricter_always_and_more_generous_only_where_left_to_them),
		fixture_test(the_licence_is_among_those_allowed),
		fixture_test(what_was_said_cannot_be_changed_or_removed),
		fixture_test(another_coops_rows_are_not_there_even_for_raw_sql),
		fixture_test(members_are_listed_in_pages),
		fixture_test(the_directory_is_searched_by_what_coops_are_for),
		fixture_test(a_request_is_identified_in_one_statement),
		fixture_test(what_is_asked_ahead_sees_a_members_coop_and_no_other),
		fixture_test(the_engine_is_told_exactly_what_was_said),
		fixture_test(a_charter_is_parsed_once_and_outlives_the_cache),
		fixture_test(admins_who_leave_at_the_same_moment_leave_one_behind),
		fixture_test(numbers_stay_dense_when_many_join_at_once),
	};
	return fixture_run(tests, CH_LEN(tests));
}
