/* The checkup: lines, answers, what they do, receipts, and what is asked out of turn. */
#include "world.h"

#include "commonhold/checkup.h"
#include "commonhold/crypto.h"
#include "commonhold/delegation.h"
#include "commonhold/json.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>

#define DUE INT64_C(1798794000000000) /* 2027-01-01T09:00:00Z */

static const char *const delegating = "{\"membership\":{\"admission\":\"open\"},\"delegation\":{\"scopes\":[\"coop\",\"topic\",\"target\"],\"depth\":2}}";

static struct checkup look(struct world *w, int member)
{
	struct checkup c;
	assert_ok(by(w, member), checkup_read(by(w, member), w->coop, &c));
	return c;
}

static const struct checkup_line *line_of(const struct checkup *c, const char *id)
{
	for (size_t i = 0; i < c->n_lines; i++)
		if (str_is(c->lines[i].id, id))
			return &c->lines[i];
	return NULL;
}

static const struct checkup_line *line_like(const struct checkup *c, const char *prefix)
{
	for (size_t i = 0; i < c->n_lines; i++)
		if (str_starts(c->lines[i].id, prefix))
			return &c->lines[i];
	return NULL;
}

static void consent(struct world *w, int member, bool defaults)
{
	struct str research = STR("research");
	assert_ok(by(w, member), consent_give(by(w, member), w->coop, &research, 1, defaults));
}

static struct checkup_receipt as_before(struct world *w, int member)
{
	struct checkup_receipt r;
	struct checkup c = look(w, member);
	assert_ok(by(w, member), checkup_as_before(by(w, member), w->coop, c.shown, &r));
	return r;
}

/* Confirms everything but one line, which is answered like this. */
static enum err answer_with(struct world *w, int member, const struct checkup *c, const char *line, enum checkup_answer answer, const char *value, struct checkup_receipt *out)
{
	struct call *call = by(w, member);
	struct checkup_reply *replies = ARENA_ARRAY(call->arena, c->n_lines, struct checkup_reply);
	const struct json *v = NULL;
	if (value)
		assert_ok(call, json_parse(call->arena, str_of(value), &v, &call->error));
	for (size_t i = 0; i < c->n_lines; i++) {
		bool this = str_is(c->lines[i].id, line);
		replies[i] = (struct checkup_reply){ c->lines[i].id, this ? answer : CHECKUP_CONFIRM, this ? v : NULL };
	}
	return checkup_answer(call, w->coop, c->shown, replies, c->n_lines, out);
}

/* ---- Lines ---- */

static void every_standing_choice_has_a_line(void **state)
{
	(void)state;
	struct world w;
	struct statement said[2] = {
		{ .layer = 2, .uses = 1u << POLICY_USE_TRAIN_GEN | 1u << POLICY_USE_EVAL, .effect = STR("allow"), .valid_from = INSTANT_NONE, .valid_to = INSTANT_NONE },
		{ .layer = 2, .kind = STR("chat"), .uses = 1u << POLICY_USE_SEARCH, .effect = STR("deny"), .valid_from = INSTANT_NONE, .valid_to = INSTANT_NONE },
	}, *out;
	world_make(&w, NULL);
	consent(&w, 4, true);
	assert_ok(by(&w, 4), statement_make(by(&w, 4), w.coop, said, 2, &out));
	clock_set(DUE - 10 * CLOCK_DAY);
	struct checkup c = look(&w, 4);
	assert_int_equal(c.kind, CHECKUP_ANNUAL);
	static const char *const ids[] = { "membership", "consent", "default", "use.train.gen", "use.search.chat", "use.eval", "licence", "attribution" };
	assert_int_equal(c.n_lines, CH_LEN(ids));
	for (size_t i = 0; i < CH_LEN(ids); i++)
		assert_non_null(line_of(&c, ids[i]));
	for (size_t i = 0; i < c.n_lines; i++) {
		assert_int_equal(c.lines[i].given, CHECKUP_UNSAID); /* nothing is pre-ticked */
		assert_true(c.lines[i].words.n > 10 && (c.lines[i].answers & CHECKUP_CONFIRM));
	}
	assert_str(line_of(&c, "use.search.chat")->words, "You say no, for your contributions of kind Conversation.");
	assert_true(c.fingerprint.n == 64 && c.shown.n > 64);
}

static void there_is_nothing_to_answer_before_the_window(void **state)
{
	(void)state;
	struct world w;
	struct checkup_receipt r;
	world_make(&w, NULL);
	clock_set(DUE - 31 * CLOCK_DAY);
	struct checkup c = look(&w, 4);
	assert_int_equal(c.kind, CHECKUP_NONE);
	assert_false(c.shown.p);
	assert_err(by(&w, 4), ERR_STATE, checkup_as_before(by(&w, 4), w.coop, STR("x"), &r));
}

/* ---- Answering ---- */

static void an_incomplete_answer_names_the_lines_that_are_left(void **state)
{
	(void)state;
	struct world w;
	struct checkup_receipt r;
	world_make(&w, NULL);
	consent(&w, 4, false);
	clock_set(DUE);
	struct checkup c = look(&w, 4);
	struct checkup_reply two[] = { { STR("membership"), CHECKUP_CONFIRM, NULL }, { STR("consent"), CHECKUP_CONFIRM, NULL } };
	struct call *call = by(&w, 4);
	assert_err(call, ERR_INVALID, checkup_answer(call, w.coop, c.shown, two, 2, &r));
	size_t faults = 0;
	bool licence = false;
	for (struct fault *f = call->error.faults; f; f = f->next) {
		faults++;
		licence |= str_is(f->pointer, "/answers/licence");
	}
	assert_int_equal(faults, c.n_lines - 2);
	assert_true(licence);
	error_clear(&call->error);
	/* Nor may a line be answered that there is not, or in a way that it does not take. */
	assert_err(call, ERR_INVALID, answer_with(&w, 4, &c, "licence", CHECKUP_END, NULL, &r));
	error_clear(&call->error);
	assert_err(call, ERR_INVALID, answer_with(&w, 4, &c, "licence", CHECKUP_CHANGE, NULL, &r));
	assert_int_equal(fixture_int("SELECT count(*) FROM consent_receipt"), 0);
	assert_int_equal(fixture_int("SELECT count(*) FROM membership WHERE cycle > 1"), 0);
}

static void as_before_needs_proof_that_the_lines_were_shown(void **state)
{
	(void)state;
	struct world w;
	struct checkup_receipt r;
	world_make(&w, NULL);
	clock_set(DUE);
	struct checkup mine = look(&w, 4), theirs = look(&w, 5);
	struct call *c = by(&w, 4);
	assert_err(c, ERR_INVALID, checkup_as_before(c, w.coop, STR_NONE, &r));
	error_clear(&c->error);
	assert_err(c, ERR_INVALID, checkup_as_before(c, w.coop, STR("1.2.3"), &r));
	error_clear(&c->error);
	assert_err(c, ERR_INVALID, checkup_as_before(c, w.coop, theirs.shown, &r)); /* shown to somebody else */
	error_clear(&c->error);
	struct str forged = str_copy(c->arena, mine.shown);
	((char *)(uintptr_t)forged.p)[0] = forged.p[0] == '1' ? '2' : '1';
	assert_err(c, ERR_INVALID, checkup_as_before(c, w.coop, forged, &r));
	error_clear(&c->error);
	clock_set(DUE + CLOCK_DAY + CLOCK_SECOND);
	assert_err(c, ERR_STALE, checkup_as_before(c, w.coop, mine.shown, &r)); /* yesterday's showing */
}

static void lines_that_changed_are_shown_anew(void **state)
{
	(void)state;
	struct world w;
	struct checkup_receipt r;
	world_make(&w, NULL);
	clock_set(DUE - CLOCK_DAY);
	struct checkup c = look(&w, 4);
	assert_ok(by(&w, 4), licence_choose(by(&w, 4), w.coop, STR("CC0-1.0")));
	assert_err(by(&w, 4), ERR_STALE, checkup_as_before(by(&w, 4), w.coop, c.shown, &r));
	struct checkup again = look(&w, 4);
	assert_false(str_eq(again.fingerprint, c.fingerprint));
	assert_ok(by(&w, 4), checkup_as_before(by(&w, 4), w.coop, again.shown, &r));
	assert_err(by(&w, 4), ERR_STATE, checkup_as_before(by(&w, 4), w.coop, again.shown, &r)); /* once */
}

static void as_before_renews_and_says_everything_again(void **state)
{
	(void)state;
	struct world w;
	struct member m;
	struct consent now;
	world_make(&w, NULL);
	consent(&w, 4, true);
	clock_set(DUE + CLOCK_DAY);
	assert_true(line_of(&(struct checkup[]){ look(&w, 4) }[0], "default")->suspended);
	struct checkup_receipt r = as_before(&w, 4);
	assert_int_equal(r.kind, CHECKUP_ANNUAL);
	assert_int_equal(r.cycle, 1);
	assert_ok(by(&w, 4), member_mine_in(by(&w, 4), w.coop, &m));
	assert_int_equal(m.state, POLICY_STANDING_ACTIVE);
	assert_int_equal(m.due_at, DUE + 365 * CLOCK_DAY);
	assert_ok(by(&w, 4), consent_current(by(&w, 4), w.coop, &now));
	assert_str(now.state, "renewed");
	assert_true(now.defaults);
	assert_int_equal(now.expires_at, DUE + (365 + 30) * CLOCK_DAY);
	assert_int_equal(look(&w, 4).kind, CHECKUP_NONE);
	assert_int_equal(fixture_int("SELECT count(*) FROM log_leaf WHERE type = 'checkup.done'"), 1);
	assert_int_equal(fixture_int("SELECT count(*) FROM notice WHERE kind = 'checkup.receipt'"), 1);
}

static void silence_that_is_confirmed_stays_silence(void **state)
{
	(void)state;
	struct world w;
	struct consent now;
	world_make(&w, NULL);
	clock_set(DUE);
	as_before(&w, 4);
	assert_err(by(&w, 4), ERR_NOT_FOUND, consent_current(by(&w, 4), w.coop, &now));
	assert_int_equal(fixture_int("SELECT count(*) FROM statement"), 0);
}

static void lines_can_be_changed_and_ended(void **state)
{
	(void)state;
	struct world w;
	struct consent now;
	struct checkup_receipt r;
	struct statement *s;
	struct member m;
	unsigned licence;
	bool own;
	size_t n;
	world_make(&w, NULL);
	for (int i = 3; i < 8; i++)
		world_say(&w, i, "allow");
	clock_set(DUE);
	struct checkup c = look(&w, 3);
	assert_ok(by(&w, 3), answer_with(&w, 3, &c, "consent", CHECKUP_CHANGE, "{\"purposes\":[\"scientific\",\"education\"]}", &r));
	assert_ok(by(&w, 3), consent_current(by(&w, 3), w.coop, &now));
	assert_int_equal(now.n_purposes, 2);
	c = look(&w, 4);
	assert_ok(by(&w, 4), answer_with(&w, 4, &c, "consent", CHECKUP_END, NULL, &r));
	assert_ok(by(&w, 4), consent_current(by(&w, 4), w.coop, &now));
	assert_str(now.state, "withdrawn");
	c = look(&w, 5);
	assert_ok(by(&w, 5), answer_with(&w, 5, &c, "use.train.gen", CHECKUP_CHANGE, "{\"effect\":\"deny\"}", &r));
	assert_ok(by(&w, 5), statement_list(by(&w, 5), w.coop, true, &s, &n));
	assert_int_equal(n, 1);
	assert_str(s[0].effect, "deny");
	c = look(&w, 6);
	assert_ok(by(&w, 6), answer_with(&w, 6, &c, "use.train.gen", CHECKUP_END, NULL, &r));
	assert_ok(by(&w, 6), statement_list(by(&w, 6), w.coop, true, &s, &n));
	assert_int_equal(n, 0); /* unsaid, not refused */
	c = look(&w, 7);
	assert_err(by(&w, 7), ERR_INVALID, answer_with(&w, 7, &c, "licence", CHECKUP_CHANGE, "{\"licence\":\"MIT\"}", &r));
	assert_str(by(&w, 7)->error.faults->pointer, "/answers/licence/value/licence");
	error_clear(&by(&w, 7)->error);
	assert_int_equal(look(&w, 7).kind, CHECKUP_ANNUAL); /* all or nothing */
	assert_ok(by(&w, 7), answer_with(&w, 7, &c, "licence", CHECKUP_CHANGE, "{\"licence\":\"CC0-1.0\"}", &r));
	assert_ok(by(&w, 7), licence_current(by(&w, 7), w.coop, &licence, &own));
	assert_string_equal(policy_licence_get(licence)->spdx, "CC0-1.0");
	c = look(&w, 2);
	assert_ok(by(&w, 2), answer_with(&w, 2, &c, "attribution", CHECKUP_CHANGE, "{\"attribution\":\"public\",\"public_name\":\"Ada\"}", &r));
	assert_ok(by(&w, 2), member_mine_in(by(&w, 2), w.coop, &m));
	assert_str(m.public_name, "Ada");
}

static void who_ends_the_membership_leaves_and_gets_a_receipt(void **state)
{
	(void)state;
	struct world w;
	struct checkup_receipt r, *mine;
	size_t n;
	world_make(&w, NULL);
	consent(&w, 4, false);
	clock_set(DUE);
	struct checkup c = look(&w, 4);
	struct checkup_reply leave = { STR("membership"), CHECKUP_END, NULL };
	assert_ok(by(&w, 4), checkup_answer(by(&w, 4), w.coop, c.shown, &leave, 1, &r));
	assert_err(by(&w, 4), ERR_NOT_FOUND, checkup_read(by(&w, 4), w.coop, &c));
	assert_ok(by(&w, 4), checkup_receipt_list(by(&w, 4), w.coop, &mine, &n));
	assert_int_equal(n, 1);
	assert_string_equal(fixture_text("SELECT state FROM consent ORDER BY seq DESC LIMIT 1"), "withdrawn");
}

static void the_last_admin_cannot_leave_by_a_checkup(void **state)
{
	(void)state;
	struct world w;
	struct checkup_receipt r;
	struct member m;
	world_make(&w, NULL);
	assert_ok(by(&w, 0), member_set_admin(by(&w, 0), w.coop, w.id[1], false, &m));
	assert_ok(by(&w, 0), member_set_admin(by(&w, 0), w.coop, w.id[2], false, &m));
	clock_set(DUE);
	struct checkup c = look(&w, 0);
	struct checkup_reply leave = { STR("membership"), CHECKUP_END, NULL };
	assert_err(by(&w, 0), ERR_REFUSED, checkup_answer(by(&w, 0), w.coop, c.shown, &leave, 1, &r));
}

struct racer { struct world *w; struct call *c; struct str shown; enum err got; };

static void *race(void *arg)
{
	struct racer *r = arg;
	struct checkup_receipt receipt;
	r->got = checkup_as_before(r->c, r->w->coop, r->shown, &receipt);
	db_rollback(r->c);
	return NULL;
}

static void answered_twice_at_once_a_checkup_is_done_once(void **state)
{
	(void)state;
	struct world w;
	pthread_t threads[4];
	struct racer racers[4];
	int done = 0;
	world_make(&w, NULL);
	consent(&w, 4, true);
	clock_set(DUE);
	struct checkup c = look(&w, 4);
	for (int i = 0; i < 4; i++) {
		racers[i] = (struct racer){ &w, fixture_call(), c.shown, ERR_OK };
		racers[i].c->actor = w.actor[4];
		pthread_create(&threads[i], NULL, race, &racers[i]);
	}
	for (int i = 0; i < 4; i++) {
		pthread_join(threads[i], NULL);
		assert_true(racers[i].got == ERR_OK || racers[i].got == ERR_STATE || racers[i].got == ERR_STALE);
		done += racers[i].got == ERR_OK;
	}
	assert_int_equal(done, 1);
	assert_int_equal(fixture_int("SELECT count(*) FROM consent_receipt"), 1);
	assert_int_equal(fixture_int("SELECT cycle FROM membership ORDER BY cycle DESC LIMIT 1"), 2);
}

/* ---- Delegations ---- */

static struct delegation delegate(struct world *w, int from, int to)
{
	struct delegation d;
	struct delegation_warning warning;
	struct delegation_draft draft = { .question = POLICY_QUESTION_VOTE, .scope = POLICY_SCOPE_COOP, .delegate_kind = DELEGATE_MEMBER, .delegate = w->id[to], .chosen_end = INSTANT_NONE };
	assert_ok(by(w, from), delegation_make(by(w, from), w->coop, &draft, &d, &warning));
	assert_ok(by(w, to), delegation_accept(by(w, to), w->coop, d.id, &d));
	return d;
}

static void delegations_rest_in_the_grace_and_count_once_confirmed(void **state)
{
	(void)state;
	struct world w;
	struct delegation_path path;
	int64_t steps;
	world_make(&w, delegating);
	delegate(&w, 4, 5);
	clock_set(DUE - 20 * CLOCK_DAY);
	as_before(&w, 5); /* the delegate is in time */
	clock_set(DUE);
	assert_ok(w.system, membership_daily(w.system, w.coop, &steps));
	struct checkup c = look(&w, 4);
	const struct checkup_line *line = line_like(&c, "delegation.");
	assert_non_null(line);
	assert_true(line->suspended);
	assert_true(line->acts.n > 0); /* what the delegate did stands next to it */
	assert_ok(by(&w, 4), db_begin_in(by(&w, 4), w.coop, DB_READ));
	assert_ok(by(&w, 4), delegation_resolve_one(by(&w, 4), w.coop, w.id[4], POLICY_QUESTION_VOTE, POLICY_BALLOT_RELEASE, (struct uuid){ { 0 } }, &path));
	assert_ok(by(&w, 4), db_commit(by(&w, 4)));
	assert_true(uuid_is_nil(path.decider));
	as_before(&w, 4);
	assert_ok(by(&w, 4), db_begin_in(by(&w, 4), w.coop, DB_READ));
	assert_ok(by(&w, 4), delegation_resolve_one(by(&w, 4), w.coop, w.id[4], POLICY_QUESTION_VOTE, POLICY_BALLOT_RELEASE, (struct uuid){ { 0 } }, &path));
	assert_ok(by(&w, 4), db_commit(by(&w, 4)));
	assert_true(path.n_steps == 1 && uuid_eq(path.steps[0].member, w.id[5]));
}

static void a_delegation_can_be_ended_at_the_checkup(void **state)
{
	(void)state;
	struct world w;
	struct checkup_receipt r;
	world_make(&w, delegating);
	delegate(&w, 4, 5);
	clock_set(DUE - CLOCK_DAY);
	struct checkup c = look(&w, 4);
	char id[80];
	snprintf(id, sizeof id, "%.*s", STR_ARG(line_like(&c, "delegation.")->id));
	assert_ok(by(&w, 4), answer_with(&w, 4, &c, id, CHECKUP_END, NULL, &r));
	assert_string_equal(fixture_text("SELECT state FROM delegation_now"), "revoked");
	assert_null(line_like(&(struct checkup[]){ look(&w, 4) }[0], "delegation."));
}

/* ---- Receipts ---- */

static const struct json *document_of(struct call *c, const struct checkup_receipt *r)
{
	const struct json *v;
	assert_ok(c, json_parse(c->arena, r->document, &v, &c->error));
	return v;
}

static void a_receipt_has_the_fields_of_ts_27560_and_verifies(void **state)
{
	(void)state;
	struct world w;
	struct checkup_receipt read;
	struct coop coop;
	world_make(&w, NULL);
	consent(&w, 4, true);
	clock_set(DUE);
	struct checkup_receipt r = as_before(&w, 4);
	struct call *c = by(&w, 4);
	assert_ok(c, coop_read(c, w.coop, &coop));
	assert_ok(c, checkup_receipt_read(c, w.coop, r.id, &read));
	assert_true(str_eq(read.document, r.document));
	assert_true(minisign_verify(c->arena, coop.public_key, read.document, read.signature));
	struct str other = str_copy(c->arena, read.document);
	((char *)(uintptr_t)other.p)[20] ^= 1;
	assert_false(minisign_verify(c->arena, coop.public_key, other, read.signature));
	const struct json *v = document_of(c, &read);
	static const char *const fields[] = { "/schema_version", "/record_id", "/receipt_id", "/pii_principal_id", "/privacy_notice", "/language", "/jurisdiction", "/privacy_rights/0",
		"/purposes/0/purpose", "/purposes/0/purpose_type", "/purposes/0/lawful_basis", "/purposes/0/pii_information/0/pii_type", "/purposes/0/pii_controllers",
		"/purposes/0/retention_period", "/purposes/0/jurisdiction", "/purposes/0/recipient_third_parties", "/purposes/0/withdrawal_method", "/party_identification/0/party_id",
		"/party_identification/0/party_name", "/party_identification/0/party_address", "/party_identification/0/party_contact", "/party_identification/0/party_type",
		"/event/0/event_time", "/event/0/validity_duration", "/event/0/entity_id", "/event/0/event_type", "/event/0/event_state", "/notice_version", "/consent_status" };
	for (size_t i = 0; i < CH_LEN(fields); i++)
		if (!json_at(v, fields[i]))
			fail_msg("%s is missing", fields[i]);
	assert_str(json_text(json_at(v, "/purposes/0/purpose_type")), "https://w3id.org/dpv#ResearchAndDevelopment");
	assert_str(json_text(json_at(v, "/consent_status")), "https://w3id.org/dpv#RenewedConsentGiven");
	assert_int_equal(str_index(read.document, '@'), -1); /* no address of a person */
	assert_true(str_eq(json_text(json_at(v, "/pii_principal_id")), uuid_format(c->arena, w.id[4])));
	/* The digest in the log is that of these bytes. */
	char sql[300];
	snprintf(sql, sizeof sql, "SELECT count(*) FROM log_leaf WHERE type = 'checkup.done' AND convert_from(entry, 'UTF8') LIKE '%%%.*s%%'", STR_ARG(sha256_hex(c->arena, sha256(read.document))));
	assert_int_equal(fixture_int(sql), 1);
}

static void others_cannot_read_a_receipt(void **state)
{
	(void)state;
	struct world w;
	struct checkup_receipt read;
	world_make(&w, NULL);
	clock_set(DUE);
	struct checkup_receipt r = as_before(&w, 4);
	assert_err(by(&w, 5), ERR_NOT_FOUND, checkup_receipt_read(by(&w, 5), w.coop, r.id, &read));
	assert_err(by(&w, 0), ERR_NOT_FOUND, checkup_receipt_read(by(&w, 0), w.coop, r.id, &read)); /* not even an admin */
}

static void stock_minisign_verifies_a_receipt(void **state)
{
	(void)state;
	struct world w;
	struct coop coop;
	char path[300], command[900];
	if (system("command -v minisign >/dev/null 2>&1") != 0)
		skip();
	world_make(&w, NULL);
	clock_set(DUE);
	struct checkup_receipt r = as_before(&w, 4);
	struct call *c = by(&w, 4);
	assert_ok(c, coop_read(c, w.coop, &coop));
	snprintf(path, sizeof path, "%s/receipt.json", fixture_dir());
	FILE *f = fopen(path, "w");
	assert_true(f && fwrite(r.document.p, 1, r.document.n, f) == r.document.n && fclose(f) == 0);
	snprintf(command, sizeof command, "%s.minisig", path);
	f = fopen(command, "w");
	assert_true(f && fwrite(r.signature.p, 1, r.signature.n, f) == r.signature.n && fclose(f) == 0);
	struct str key = minisign_public_key(c->arena, coop.public_key);
	snprintf(command, sizeof command, "minisign -V -q -P %.*s -m %s", STR_ARG(key), path);
	assert_int_equal(system(command), 0);
	snprintf(command, sizeof command, "sed -i s/annual/ANNUAL/ %s; minisign -V -q -P %.*s -m %s >/dev/null 2>&1", path, STR_ARG(key), path);
	assert_int_not_equal(system(command), 0);
}

/* ---- Out of turn ---- */

static const struct job_kind *const tables[] = { checkup_jobs, NULL };

static void ask(struct world *w, const char *lines)
{
	struct call *c = w->system;
	struct error e = { 0 };
	int ran;
	assert_ok(c, db_begin(c, DB_WRITE));
	assert_ok(c, job_queue(c, "checkup.off_cycle", STR("test"), str_fmt(c->arena, "{\"coop\":\"%.*s\",\"charter\":2,\"lines\":%s}", STR_ARG(uuid_format(c->arena, w->coop)), lines), clock_now()));
	assert_ok(c, db_commit(c));
	assert_int_equal(job_run_due(tables, &ran, &e), ERR_OK);
	assert_int_equal(ran, 1);
	assert_int_equal(fixture_int("SELECT count(*) FROM job WHERE kind = 'checkup.off_cycle'"), 0);
}

static uint32_t no_item(void *arg, struct uuid item)
{
	(void)arg;
	(void)item;
	return POLICY_NO_ITEM;
}

static struct policy_member facts_of(struct world *w, int member)
{
	struct policy_facts facts;
	assert_ok(w->system, db_begin_in(w->system, w->coop, DB_SERIAL));
	assert_ok(w->system, coop_policy_facts(w->system, w->coop, no_item, NULL, &facts));
	assert_ok(w->system, db_commit(w->system));
	return facts.members[member];
}

/* Words of a second charter, as an amendment brings them. */
static void second_charter(struct world *w)
{
	struct charter charter;
	struct call *c = w->system;
	int version;
	assert_ok(c, charter_view(c, w->coop, 0, &charter));
	assert_ok(c, db_begin_in(c, w->coop, DB_WRITE));
	assert_ok(c, charter_adopt(c, w->coop, charter.document, uuid_new(), (struct uuid){ { 0 } }, &version));
	assert_ok(c, db_commit(c));
	assert_int_equal(version, 2);
}

static void only_the_lines_of_a_material_change_are_asked_again(void **state)
{
	(void)state;
	struct world w;
	world_make(&w, NULL);
	consent(&w, 4, true);
	clock_set(WORLD_START + 90 * CLOCK_DAY);
	second_charter(&w);
	assert_true(facts_of(&w, 4).defaults_accepted != POLICY_NEVER);
	ask(&w, "[{\"line\":\"consent\",\"reason\":\"purpose\",\"words\":\"Releases may serve commercial research.\"},"
		"{\"line\":\"consent\",\"reason\":\"recipients\",\"words\":\"Releases are public now.\"},"
		"{\"line\":\"default\",\"reason\":\"default\",\"words\":\"The co-op's default is a yes to search.\"}]");
	struct checkup c = look(&w, 4);
	assert_int_equal(c.kind, CHECKUP_OFF_CYCLE);
	assert_int_equal(c.n_lines, 2);
	assert_str(line_of(&c, "consent")->why, "Releases may serve commercial research. Releases are public now.");
	assert_true(line_of(&c, "consent")->suspended && line_of(&c, "default")->suspended);
	assert_int_equal(look(&w, 5).kind, CHECKUP_NONE); /* who has said nothing has nothing to say again */
	assert_int_equal(fixture_int("SELECT count(*) FROM notice WHERE kind = 'checkup.off_cycle'"), 2);
	/* Until answered: the effect of silence. */
	assert_true(facts_of(&w, 4).defaults_accepted == POLICY_NEVER);
	assert_int_equal(facts_of(&w, 4).notice, 1);
	int words, defaults;
	assert_ok(w.system, db_begin_in(w.system, w.coop, DB_READ));
	assert_ok(w.system, demand_oldest_words(w.system, w.coop, 2, &words, &defaults));
	assert_ok(w.system, db_commit(w.system));
	assert_true((int)facts_of(&w, 4).notice < words); /* what a release under the new charter holds as CONSENT_NOTICE_SUPERSEDED */
	/* Answered: it counts, from then on. */
	struct member before, after;
	assert_ok(by(&w, 4), member_mine_in(by(&w, 4), w.coop, &before));
	struct checkup_receipt r = as_before(&w, 4);
	assert_int_equal(r.kind, CHECKUP_OFF_CYCLE);
	assert_ok(by(&w, 4), member_mine_in(by(&w, 4), w.coop, &after));
	assert_int_equal(after.due_at, before.due_at); /* the yearly one stays where it was */
	assert_int_equal(after.cycle, before.cycle);
	assert_int_equal(facts_of(&w, 4).notice, 2);
	assert_int_equal(facts_of(&w, 4).defaults_accepted, WORLD_START + 90 * CLOCK_DAY);
	assert_int_equal(look(&w, 4).kind, CHECKUP_NONE);
}

static void a_consent_to_words_that_were_widened_is_asked_again_of_everybody(void **state)
{
	(void)state;
	struct world w;
	struct charter charter;
	int version;
	world_make(&w, NULL);
	consent(&w, 5, false); /* never accepted the default that is widened: the consent is to older words all the same */
	struct call *c = w.system;
	assert_ok(c, charter_view(c, w.coop, 0, &charter));
	const char *from = "\"not_share_by_default\"", *at = strstr(str_z(c->arena, charter.document), from);
	assert_non_null(at);
	struct str text = str_of(str_z(c->arena, charter.document));
	size_t before = (size_t)(strstr(text.p, from) - text.p);
	struct str wider = str_fmt(c->arena, "%.*s\"share_by_default\"%s", (int)before, text.p, text.p + before + strlen(from));
	clock_set(WORLD_START + 90 * CLOCK_DAY);
	assert_ok(c, db_begin_in(c, w.coop, DB_WRITE));
	assert_ok(c, charter_adopt(c, w.coop, wider, uuid_new(), (struct uuid){ { 0 } }, &version));
	assert_ok(c, db_commit(c));
	struct checkup again = look(&w, 5);
	assert_int_equal(again.kind, CHECKUP_OFF_CYCLE);
	assert_int_equal(again.n_lines, 1);
	assert_true(line_of(&again, "consent")->suspended);
	as_before(&w, 5);
	assert_int_equal(look(&w, 5).kind, CHECKUP_NONE);
	assert_int_equal(look(&w, 6).kind, CHECKUP_NONE);
}

static void delegations_are_asked_again_when_their_rules_change(void **state)
{
	(void)state;
	struct world w;
	world_make(&w, delegating);
	delegate(&w, 4, 5);
	clock_set(WORLD_START + 90 * CLOCK_DAY);
	ask(&w, "[{\"line\":\"delegations\",\"reason\":\"default\",\"words\":\"Delegates may hand on three steps.\"}]");
	struct checkup c = look(&w, 4);
	assert_int_equal(c.kind, CHECKUP_OFF_CYCLE);
	assert_int_equal(c.n_lines, 1);
	assert_true(line_like(&c, "delegation.")->suspended);
	as_before(&w, 4);
	assert_int_equal(look(&w, 4).kind, CHECKUP_NONE);
	assert_int_equal(fixture_int("SELECT count(*) FROM delegation_now WHERE state = 'standing'"), 1);
}

static void a_new_board_is_another_delegate(void **state)
{
	(void)state;
	struct world w;
	struct delegation d;
	struct delegation_warning warning;
	struct member m;
	struct error e = { 0 };
	int ran;
	world_make(&w, delegating);
	assert_int_equal(fixture_int("SELECT count(*) FROM job WHERE kind = 'checkup.off_cycle'"), 0); /* nobody is asked where nobody delegates to the board */
	delegate(&w, 6, 5);
	struct delegation_draft draft = { .question = POLICY_QUESTION_VOTE, .scope = POLICY_SCOPE_COOP, .delegate_kind = DELEGATE_BOARD, .chosen_end = INSTANT_NONE };
	assert_ok(by(&w, 4), delegation_make(by(&w, 4), w.coop, &draft, &d, &warning));
	clock_set(WORLD_START + 90 * CLOCK_DAY);
	assert_ok(by(&w, 0), member_set_admin(by(&w, 0), w.coop, w.id[3], true, &m));
	assert_int_equal(job_run_due(tables, &ran, &e), ERR_OK);
	struct checkup c = look(&w, 4);
	assert_int_equal(c.kind, CHECKUP_OFF_CYCLE);
	assert_int_equal(c.n_lines, 1);
	assert_str(c.lines[0].why, "The board has a new member.");
	assert_int_equal(look(&w, 6).kind, CHECKUP_NONE);
	assert_int_equal(fixture_int("SELECT count(*) FROM delegation_now WHERE state = 'standing'"), 1);
	as_before(&w, 4);
	assert_int_equal(fixture_int("SELECT count(*) FROM delegation_now WHERE state = 'standing'"), 2);
}

static void asking_twice_asks_once(void **state)
{
	(void)state;
	struct world w;
	world_make(&w, NULL);
	struct call *c = w.system;
	struct demand d = { .line = STR("consent"), .reason = STR("purpose"), .words = STR("x"), .charter = 1, .ballot = uuid_new() };
	bool made;
	assert_ok(c, db_begin_in(c, w.coop, DB_WRITE));
	assert_ok(c, demand_make(c, w.coop, &d, (struct uuid){ { 0 } }, &made));
	assert_true(made);
	assert_ok(c, demand_make(c, w.coop, &d, (struct uuid){ { 0 } }, &made));
	assert_false(made);
	assert_ok(c, db_commit(c));
}

/* ---- The year ---- */

static void what_went_out_is_counted_once_a_release(void **state)
{
	(void)state;
	struct world w;
	struct error e = { 0 };
	int ran;
	world_make(&w, NULL);
	for (int i = 3; i < 5; i++)
		world_say(&w, i, "allow");
	world_contribute(&w, 3, "One?");
	world_contribute(&w, 3, "Two?");
	world_contribute(&w, 4, "Three?");
	world_published(&w);
	assert_int_equal(job_run_due(tables, &ran, &e), ERR_OK);
	assert_int_equal(ran, 1);
	struct checkup c = look(&w, 3);
	assert_int_equal(c.year.n_releases, 1);
	assert_int_equal(c.year.releases[0].items, 2);
	assert_int_equal(look(&w, 4).year.releases[0].items, 1);
	assert_int_equal(look(&w, 5).year.n_releases, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		fixture_test(every_standing_choice_has_a_line),
		fixture_test(there_is_nothing_to_answer_before_the_window),
		fixture_test(an_incomplete_answer_names_the_lines_that_are_left),
		fixture_test(as_before_needs_proof_that_the_lines_were_shown),
		fixture_test(lines_that_changed_are_shown_anew),
		fixture_test(as_before_renews_and_says_everything_again),
		fixture_test(silence_that_is_confirmed_stays_silence),
		fixture_test(lines_can_be_changed_and_ended),
		fixture_test(who_ends_the_membership_leaves_and_gets_a_receipt),
		fixture_test(the_last_admin_cannot_leave_by_a_checkup),
		fixture_test(answered_twice_at_once_a_checkup_is_done_once),
		fixture_test(delegations_rest_in_the_grace_and_count_once_confirmed),
		fixture_test(a_delegation_can_be_ended_at_the_checkup),
		fixture_test(a_receipt_has_the_fields_of_ts_27560_and_verifies),
		fixture_test(others_cannot_read_a_receipt),
		fixture_test(stock_minisign_verifies_a_receipt),
		fixture_test(only_the_lines_of_a_material_change_are_asked_again),
		fixture_test(a_consent_to_words_that_were_widened_is_asked_again_of_everybody),
		fixture_test(delegations_are_asked_again_when_their_rules_change),
		fixture_test(a_new_board_is_another_delegate),
		fixture_test(asking_twice_asks_once),
		fixture_test(what_went_out_is_counted_once_a_release),
	};
	return fixture_run(tests, CH_LEN(tests));
}
