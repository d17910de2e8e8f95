/* Links: one person in two co-ops is known as one only after signing in at each, and then one no counts in both. And which co-op holds what of a person. */
#include "guest_kit.h"
#include "merge_world.h"

#include "commonhold/bundle.h"
#include "commonhold/guest.h"
#include "commonhold/link.h"
#include "commonhold/message.h"

#include <stdio.h>

/* Two co-ops that know each other; members 1 and 2 are in both. */
struct two {
	struct merge_world m;
	struct uuid peer_there, peer_here; /* the other as the first knows it, and the first as the other does */
};

static void carry(void)
{
	static const struct job_kind *const tables[] = { message_jobs, NULL };
	struct error e = { 0 };
	int ran;
	if (job_run_due(tables, &ran, &e) != ERR_OK)
		fail_msg("jobs: %s", e.message);
}

static struct call *as(struct two *t, int member)
{
	return by(&t->m.w, member);
}

static struct uuid peer_of(struct two *t, struct uuid coop, struct str name)
{
	struct peer peer;
	struct call *c = t->m.w.system;
	assert_ok(c, db_begin_in(c, coop, DB_READ));
	assert_ok(c, peer_by_name(c, coop, name, &peer));
	assert_ok(c, db_commit(c));
	c->coop = (struct uuid){ { 0 } };
	return peer.id;
}

static void two_make(struct two *t)
{
	struct member m;
	merge_world_make(&t->m, NULL);
	for (int i = 1; i < 3; i++) {
		enum err e = member_join(as(t, i), t->m.other, &m);
		if (e != ERR_OK)
			fail_msg("%s", as(t, i)->error.message);
		if (m.state == POLICY_STANDING_APPLIED)
			assert_ok(as(t, 0), member_admit(as(t, 0), t->m.other, m.id, true, STR("known"), &m));
	}
	t->peer_there = peer_of(t, t->m.w.coop, t->m.other_name);
	t->peer_here = peer_of(t, t->m.other, t->m.name);
}

static struct link linked(struct two *t, int member)
{
	struct link given, brought;
	struct str code;
	assert_ok(as(t, member), link_offer(as(t, member), t->m.w.coop, t->peer_there, &given, &code));
	code = str_copy(t->m.w.system->arena, code);
	carry();
	assert_ok(as(t, member), link_prove(as(t, member), t->m.other, t->peer_here, code, &brought));
	carry();
	return given;
}

static size_t standing(struct two *t, int member, struct uuid coop)
{
	struct link *links;
	size_t n, found = 0;
	assert_ok(as(t, member), link_list(as(t, member), coop, &links, &n));
	for (size_t i = 0; i < n; i++)
		found += links[i].state == LINK_STANDING;
	return found;
}

static struct str shown(struct two *t, int member, struct link *given)
{
	struct str code;
	assert_ok(as(t, member), link_offer(as(t, member), t->m.w.coop, t->peer_there, given, &code));
	assert_int_equal(code.n, LINK_CODE_TEXT);
	return str_copy(t->m.w.system->arena, code);
}

static int64_t refused(const char *code)
{
	char sql[200];
	snprintf(sql, sizeof(sql), "SELECT coalesce(sum(times), 0)::bigint FROM refusal WHERE code = '%s'", code);
	return fixture_int(sql);
}

/* What a co-op that does as it likes says to the other; signed, as it can. */
static void says(struct two *t, struct uuid coop, struct uuid peer, const char *type, const char *body)
{
	struct call *c = t->m.w.system;
	assert_ok(c, db_begin_in(c, coop, DB_WRITE));
	assert_ok(c, message_send(c, coop, peer, type, STR_NONE, str_of(body)));
	assert_ok(c, db_commit(c));
	c->coop = (struct uuid){ { 0 } };
	carry();
}

static void a_link_stands_once_both_co_ops_have_seen_the_code(void **state)
{
	struct two t;
	struct link given, brought;
	(void)state;
	two_make(&t);
	struct str code = shown(&t, 1, &given);
	assert_int_equal(given.state, LINK_OFFERED);
	carry();
	assert_int_equal(standing(&t, 1, t.m.w.coop), 0);
	assert_ok(as(&t, 1), link_prove(as(&t, 1), t.m.other, t.peer_here, code, &brought));
	assert_int_equal(brought.state, LINK_BROUGHT);
	assert_int_equal(standing(&t, 1, t.m.other), 0);
	carry();
	assert_int_equal(standing(&t, 1, t.m.w.coop), 1);
	assert_int_equal(standing(&t, 1, t.m.other), 1);
	assert_err(as(&t, 2), ERR_REFUSED, link_prove(as(&t, 2), t.m.other, t.peer_here, code, &brought)); /* used */
	assert_int_equal(fixture_int("SELECT count(*) FROM link WHERE proof IS NOT NULL"), 0);
}

static void the_other_co_op_hears_nothing_of_a_code_until_it_is_typed_there(void **state)
{
	struct two t;
	struct link given;
	(void)state;
	two_make(&t);
	struct str code = shown(&t, 1, &given);
	assert_int_equal(fixture_int("SELECT count(*) FROM message_out"), 0);
	carry();
	assert_int_equal(fixture_int("SELECT count(*) FROM link"), 1);
	/* and what is kept of it gives the code to nobody */
	char sql[200];
	snprintf(sql, sizeof(sql), "SELECT count(*) FROM link l WHERE l::text LIKE '%%%.4s%%' AND l::text LIKE '%%%.4s%%'", code.p, code.p + 5);
	assert_int_equal(fixture_int(sql), 0);
}

static void a_partner_that_saw_no_code_links_nobody(void **state)
{
	struct two t;
	struct link given, brought;
	char body[500], name[65];
	(void)state;
	two_make(&t);
	struct str code = shown(&t, 1, &given);
	snprintf(name, sizeof(name), "%s", fixture_text("SELECT encode(code, 'hex') FROM link"));
	/* as it once was: the code's digest alone */
	snprintf(body, sizeof(body), "{\"code\":\"%s\",\"contributor\":\"%032d\"}", name, 7);
	says(&t, t.m.other, t.peer_here, "link.proved", body);
	assert_int_equal(refused("malformed"), 1);
	snprintf(body, sizeof(body), "{\"code\":\"%s\",\"contributor\":\"%032d\",\"expires\":\"2026-01-01T00:00:00Z\"}", name, 7);
	says(&t, t.m.other, t.peer_here, "link.offered", body);
	assert_int_equal(refused("unknown_type"), 1);
	/* even one that knows how a code is named proves nothing without it, and voids it by guessing */
	struct str at = clock_format(t.m.w.system->arena, clock_now());
	for (int i = 0; i < LINK_TRIES; i++) {
		snprintf(body, sizeof(body), "{\"at\":\"%.*s\",\"code\":\"%s\",\"contributor\":\"%032d\",\"proof\":\"%064d\"}", STR_ARG(at), name, 7, i);
		says(&t, t.m.other, t.peer_here, "link.brought", body);
		assert_int_equal(fixture_int("SELECT tries FROM link WHERE ours"), i + 1);
	}
	assert_ok(as(&t, 1), link_prove(as(&t, 1), t.m.other, t.peer_here, code, &brought));
	carry();
	assert_int_equal(fixture_int("SELECT count(*) FROM link WHERE state = 'standing'"), 0);
	assert_int_equal(fixture_int("SELECT count(*) FROM link WHERE state = 'declined' AND NOT ours"), 1);
}

static void a_proof_is_for_the_account_that_brought_the_code_and_no_other(void **state)
{
	struct two t;
	struct link given, brought;
	(void)state;
	two_make(&t);
	struct str code = shown(&t, 1, &given);
	assert_ok(as(&t, 1), link_prove(as(&t, 1), t.m.other, t.peer_here, code, &brought));
	fixture_sql("UPDATE message_out SET body = jsonb_set(body::jsonb, '{contributor}', to_jsonb(repeat('7', 32)))::text WHERE type = 'link.brought'");
	carry();
	assert_int_equal(fixture_int("SELECT count(*) FROM link WHERE state = 'standing'"), 0);
	assert_int_equal(fixture_int("SELECT tries FROM link WHERE ours"), 1);
}

static void the_giver_proves_whom_it_gave_the_code_to(void **state)
{
	struct two t;
	struct link given, brought;
	char body[500];
	(void)state;
	two_make(&t);
	struct str code = shown(&t, 1, &given);
	assert_ok(as(&t, 1), link_prove(as(&t, 1), t.m.other, t.peer_here, code, &brought));
	fixture_sql("UPDATE message_out SET state = 'dropped', ended_at = made_at");
	snprintf(body, sizeof(body), "{\"code\":\"%s\",\"contributor\":\"%032d\",\"proof\":\"%064d\"}", fixture_text("SELECT encode(code, 'hex') FROM link WHERE NOT ours"), 7, 1);
	says(&t, t.m.w.coop, t.peer_there, "link.proved", body);
	assert_int_equal(refused("link_proof"), 1);
	assert_int_equal(fixture_int("SELECT count(*) FROM link WHERE state = 'standing'"), 0);
}

static void a_code_of_one_co_op_is_none_of_another_or_the_other_way_round(void **state)
{
	struct two t;
	struct link given, brought;
	(void)state;
	two_make(&t);
	struct str code = shown(&t, 1, &given);
	assert_ok(as(&t, 2), link_prove(as(&t, 2), t.m.w.coop, t.peer_there, code, &brought)); /* to who gave it, as if it were the other's */
	carry();
	assert_int_equal(fixture_int("SELECT count(*) FROM link WHERE state = 'standing'"), 0);
	assert_int_equal(fixture_int("SELECT count(*) FROM link WHERE state = 'declined'"), 1);
	assert_int_equal(fixture_int("SELECT count(*) FROM link WHERE state = 'offered'"), 1);
}

static void a_code_that_was_never_given_or_is_over_proves_nothing(void **state)
{
	struct two t;
	struct link given, brought;
	struct str code;
	(void)state;
	two_make(&t);
	assert_err(as(&t, 1), ERR_INVALID, link_prove(as(&t, 1), t.m.other, t.peer_here, STR("what"), &brought));
	assert_ok(as(&t, 1), link_prove(as(&t, 1), t.m.other, t.peer_here, STR("abcd-abcd-abcd-abcd-abcd-abcd"), &brought));
	carry();
	assert_int_equal(fixture_int("SELECT count(*) FROM link WHERE state = 'declined'"), 1);
	code = shown(&t, 1, &given);
	clock_set(clock_now() + LINK_CODE_LIFE + MESSAGE_AHEAD + CLOCK_MINUTE);
	assert_ok(as(&t, 1), link_prove(as(&t, 1), t.m.other, t.peer_here, code, &brought));
	carry();
	assert_int_equal(fixture_int("SELECT count(*) FROM link WHERE state = 'declined'"), 2);
	for (int i = 0; i < LINKS_OPEN; i++)
		shown(&t, 1, &given);
	assert_err(as(&t, 1), ERR_REFUSED, link_offer(as(&t, 1), t.m.w.coop, t.peer_there, &given, &code));
	clock_set(clock_now() + LINK_WORD_LIFE + CLOCK_DAY);
	assert_ok(t.m.w.system, link_forget(t.m.w.system, t.m.w.coop));
	assert_int_equal(fixture_int("SELECT count(*) FROM link WHERE proof IS NOT NULL"), 0);
}

static void a_word_that_is_late_counts_when_the_code_was_typed_in_time(void **state)
{
	struct two t;
	struct link given, brought;
	(void)state;
	two_make(&t);
	struct str code = shown(&t, 1, &given);
	assert_ok(as(&t, 1), link_prove(as(&t, 1), t.m.other, t.peer_here, code, &brought));
	clock_set(clock_now() + LINK_CODE_LIFE + CLOCK_DAY);
	carry();
	assert_int_equal(standing(&t, 1, t.m.w.coop), 1);
	assert_int_equal(standing(&t, 1, t.m.other), 1);
}

static void a_member_brings_few_codes_a_day(void **state)
{
	struct two t;
	struct link brought;
	char code[30];
	(void)state;
	two_make(&t);
	for (int i = 0; i < 10; i++) {
		snprintf(code, sizeof(code), "abcd-abcd-abcd-abcd-abcd-abc%c", 'a' + i);
		assert_ok(as(&t, 1), link_prove(as(&t, 1), t.m.other, t.peer_here, str_of(code), &brought));
	}
	assert_err(as(&t, 1), ERR_REFUSED, link_prove(as(&t, 1), t.m.other, t.peer_here, STR("abcd-abcd-abcd-abcd-abcd-abcz"), &brought));
}

static void a_member_is_given_few_codes_a_day_also_by_taking_them_back(void **state)
{
	struct two t;
	struct link given;
	struct str code;
	(void)state;
	two_make(&t);
	for (int i = 0; i < LINKS_A_DAY; i++) {
		assert_ok(as(&t, 1), link_offer(as(&t, 1), t.m.w.coop, t.peer_there, &given, &code));
		assert_ok(as(&t, 1), link_end(as(&t, 1), t.m.w.coop, given.id, &given));
	}
	assert_err(as(&t, 1), ERR_REFUSED, link_offer(as(&t, 1), t.m.w.coop, t.peer_there, &given, &code));
	assert_ok(as(&t, 2), link_offer(as(&t, 2), t.m.w.coop, t.peer_there, &given, &code));
	clock_set(clock_now() + CLOCK_DAY + CLOCK_MINUTE);
	assert_ok(as(&t, 1), link_offer(as(&t, 1), t.m.w.coop, t.peer_there, &given, &code));
}

static void nobody_links_for_another_and_a_stranger_hears_of_nothing(void **state)
{
	struct two t;
	struct link given;
	struct str code;
	(void)state;
	two_make(&t);
	assert_err(t.m.w.system, ERR_FORBIDDEN, link_offer(t.m.w.system, t.m.w.coop, t.peer_there, &given, &code));
	fixture_sql("UPDATE peer SET state = 'seen'");
	assert_err(as(&t, 1), ERR_REFUSED, link_offer(as(&t, 1), t.m.w.coop, t.peer_there, &given, &code));
	assert_err(as(&t, 1), ERR_NOT_FOUND, link_offer(as(&t, 1), t.m.w.coop, uuid_new(), &given, &code));
}

/* What the other co-op calls a member of the first. */
static void contributor_of(struct two *t, int member, uint8_t out[16])
{
	struct call *c = t->m.w.system;
	assert_ok(c, db_begin_in(c, t->m.w.coop, DB_READ));
	assert_ok(c, bundle_contributor(c, t->m.w.coop, t->m.w.id[member], out));
	assert_ok(c, db_commit(c));
	c->coop = (struct uuid){ { 0 } };
}

static struct guest guest_there(struct two *t, int member, const char *effect)
{
	struct call *c = t->m.w.system;
	struct guest_source source = kit_source(c, t->m.other, str_z(c->arena, t->m.name));
	struct guest_words words = kit_words(c, str_z(c->arena, t->m.name), 1, effect);
	contributor_of(t, member, words.contributor);
	struct guest guest = kit_put(c, t->m.other, &source, &words);
	c->coop = (struct uuid){ { 0 } };
	return guest;
}

static int64_t linked_guests(void)
{
	return fixture_int("SELECT count(*) FROM guest WHERE linked_member IS NOT NULL");
}

static void a_guest_is_the_member_from_the_proof_on_whichever_comes_first(void **state)
{
	struct two t;
	(void)state;
	two_make(&t);
	guest_there(&t, 1, "allow");
	assert_int_equal(linked_guests(), 0);
	linked(&t, 1);
	assert_int_equal(linked_guests(), 1);
	linked(&t, 2);
	assert_int_equal(linked_guests(), 1);
	guest_there(&t, 2, "allow");
	assert_int_equal(linked_guests(), 2);
	assert_int_equal(fixture_int("SELECT count(*) FROM guest g JOIN membership m ON m.id = g.linked_member AND m.coop_id = g.coop_id JOIN membership h ON h.account_id = m.account_id AND h.coop_id <> m.coop_id"), 2);
}

static void either_end_ends_it_and_leaving_does_too(void **state)
{
	struct two t;
	struct link *links, ended;
	struct member m;
	size_t n;
	(void)state;
	two_make(&t);
	guest_there(&t, 1, "allow");
	struct link given = linked(&t, 1);
	assert_err(as(&t, 2), ERR_NOT_FOUND, link_end(as(&t, 2), t.m.w.coop, given.id, &ended));
	assert_ok(as(&t, 1), link_end(as(&t, 1), t.m.w.coop, given.id, &ended));
	assert_int_equal(ended.state, LINK_ENDED);
	carry();
	assert_int_equal(linked_guests(), 0);
	assert_int_equal(standing(&t, 1, t.m.other), 0);
	linked(&t, 1);
	assert_int_equal(linked_guests(), 1);
	assert_ok(as(&t, 1), link_list(as(&t, 1), t.m.other, &links, &n));
	assert_true(n >= 2);
	assert_ok(as(&t, 1), member_leave(as(&t, 1), t.m.other, &m));
	assert_int_equal(linked_guests(), 0);
	assert_int_equal(fixture_int("SELECT count(*) FROM link l JOIN membership m ON m.coop_id = l.coop_id AND m.id = l.member_id WHERE m.state = 'left' AND l.state = 'standing'"), 0);
}

/* The account there that one member has proved is no other's, whoever brings it; and nobody ends a link of an account that is not theirs. */
static void an_account_there_is_not_a_second_members_and_is_not_unlinked_for_another(void **state)
{
	struct two t;
	struct link given, brought;
	char body[300], ours[40], theirs[40];
	(void)state;
	two_make(&t);
	linked(&t, 1);
	struct str code = shown(&t, 2, &given); /* a second member here gives a code to the first's account there */
	assert_ok(as(&t, 1), link_prove(as(&t, 1), t.m.other, t.peer_here, code, &brought));
	carry();
	assert_int_equal(standing(&t, 2, t.m.w.coop), 0);
	assert_int_equal(standing(&t, 1, t.m.w.coop), 1);
	assert_int_equal(fixture_int("SELECT count(*) FROM link WHERE state = 'declined'"), 2);
	snprintf(theirs, sizeof(theirs), "%s", fixture_text("SELECT encode(contributor, 'hex') FROM link WHERE ours AND state = 'standing'"));
	snprintf(ours, sizeof(ours), "%032d", 7);
	snprintf(body, sizeof(body), "{\"contributor\":\"%s\",\"yours\":\"%s\"}", theirs, ours);
	says(&t, t.m.other, t.peer_here, "link.ended", body);
	assert_int_equal(standing(&t, 1, t.m.w.coop), 1);
}

static void one_account_there_is_one_member_here(void **state)
{
	struct two t;
	struct link given, brought;
	(void)state;
	two_make(&t);
	linked(&t, 1);
	struct str code = shown(&t, 1, &given);
	assert_ok(as(&t, 2), link_prove(as(&t, 2), t.m.other, t.peer_here, code, &brought));
	carry();
	assert_int_equal(fixture_int("SELECT count(*) FROM link WHERE state = 'declined'"), 2);
	assert_int_equal(standing(&t, 2, t.m.other), 0);
	linked(&t, 1); /* the same person again: the later proof takes the place of the first */
	assert_int_equal(standing(&t, 1, t.m.w.coop), 1);
	assert_int_equal(standing(&t, 1, t.m.other), 1);
}

static void who_takes_a_code_back_before_the_answer_is_linked_at_neither(void **state)
{
	struct two t;
	struct link given, brought;
	(void)state;
	two_make(&t);
	struct str code = shown(&t, 1, &given);
	assert_ok(as(&t, 1), link_prove(as(&t, 1), t.m.other, t.peer_here, code, &brought));
	assert_ok(as(&t, 1), link_end(as(&t, 1), t.m.other, brought.id, &brought));
	carry();
	assert_int_equal(standing(&t, 1, t.m.other), 0);
	assert_int_equal(standing(&t, 1, t.m.w.coop), 0);
}

static void members_see_which_co_op_holds_what_of_theirs(void **state)
{
	struct two t;
	struct holds *holds;
	size_t n;
	(void)state;
	two_make(&t);
	world_contribute(&t.m.w, 1, "One of mine");
	world_contribute(&t.m.w, 1, "Another of mine");
	assert_ok(as(&t, 1), holds_mine(as(&t, 1), t.m.w.coop, &holds, &n));
	assert_int_equal(n, 1);
	assert_int_equal(holds[0].how, HOLDS_HOME);
	assert_int_equal(holds[0].items, 2);
	/* the first item went out under the agreement: bit 0 of segment 0 */
	char sql[500];
	snprintf(sql, sizeof(sql), "INSERT INTO bundle_flow (coop_id, agreement_id) SELECT coop_id, id FROM agreement ON CONFLICT DO NOTHING; "
		"INSERT INTO bundle_sent (coop_id, agreement_id, no, ever, now) SELECT coop_id, id, 0, set_bit(decode(repeat('00', 512), 'hex'), 0, 1), decode(repeat('00', 512), 'hex') FROM agreement");
	fixture_sql(sql);
	assert_ok(as(&t, 1), holds_mine(as(&t, 1), t.m.w.coop, &holds, &n));
	assert_int_equal(n, 2);
	assert_int_equal(holds[1].how, HOLDS_SENT);
	assert_int_equal(holds[1].items, 1);
	assert_true(str_eq(holds[1].name, t.m.other_name));
	assert_false(holds[1].ended);
	assert_ok(as(&t, 2), holds_mine(as(&t, 2), t.m.w.coop, &holds, &n));
	assert_int_equal(n, 1);
	assert_int_equal(holds[0].items, 0);
	guest_there(&t, 1, "allow");
	linked(&t, 1);
	assert_ok(as(&t, 1), holds_mine(as(&t, 1), t.m.other, &holds, &n));
	assert_int_equal(n, 2);
	assert_int_equal(holds[1].how, HOLDS_GUEST);
	assert_true(str_eq(holds[1].name, t.m.name));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		fixture_test(a_link_stands_once_both_co_ops_have_seen_the_code),
		fixture_test(the_other_co_op_hears_nothing_of_a_code_until_it_is_typed_there),
		fixture_test(a_partner_that_saw_no_code_links_nobody),
		fixture_test(a_proof_is_for_the_account_that_brought_the_code_and_no_other),
		fixture_test(the_giver_proves_whom_it_gave_the_code_to),
		fixture_test(a_code_of_one_co_op_is_none_of_another_or_the_other_way_round),
		fixture_test(a_word_that_is_late_counts_when_the_code_was_typed_in_time),
		fixture_test(a_member_brings_few_codes_a_day),
		fixture_test(a_member_is_given_few_codes_a_day_also_by_taking_them_back),
		fixture_test(who_takes_a_code_back_before_the_answer_is_linked_at_neither),
		fixture_test(a_code_that_was_never_given_or_is_over_proves_nothing),
		fixture_test(nobody_links_for_another_and_a_stranger_hears_of_nothing),
		fixture_test(a_guest_is_the_member_from_the_proof_on_whichever_comes_first),
		fixture_test(either_end_ends_it_and_leaving_does_too),
		fixture_test(an_account_there_is_not_a_second_members_and_is_not_unlinked_for_another), fixture_test(one_account_there_is_one_member_here),
		fixture_test(members_see_which_co_op_holds_what_of_theirs),
	};
	return fixture_run(tests, CH_LEN(tests));
}
