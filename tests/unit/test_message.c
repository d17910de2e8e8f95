/* Messages between co-ops: taken once and from whoever signed them, everything else refused, seen, and leaving things as they were; carried in their order, or as files. */
#include "pair.h"

#include "commonhold/bundle.h"
#include "commonhold/ledger.h"
#include "commonhold/merge.h"
#include "server/merge/agreement/agreement_internal.h"

#define DAY CLOCK_DAY
#define WHY STR("because we said so")

/* ---- What is refused ---- */

/* A message as the second co-op would send it to the first, signed with `key`. */
struct letter { const char *type; struct str body; struct str from, to; instant at; const struct sign_key *key; };

static struct str letter_write(struct pair *p, const struct letter *l)
{
	struct call *c = p->system;
	struct str id = uuid_format(c->arena, uuid_new()), at = clock_format(c->arena, l->at), from = l->from.p ? l->from : p->coop[1].key_name, to = l->to.p ? l->to : p->coop[0].key_name;
	struct str payload = str_fmt(c->arena, "{\"at\":\"%.*s\",\"body\":%.*s,\"from\":\"%.*s\",\"id\":\"%.*s\",\"to\":\"%.*s\",\"type\":\"%s\",\"v\":1}", STR_ARG(at), STR_ARG(l->body), STR_ARG(from),
		STR_ARG(id), STR_ARG(to), l->type);
	return dsse_sign(c->arena, l->key, 1, STR(MESSAGE_TYPE), payload);
}

static struct sign_key key_of(struct pair *p, int who)
{
	struct sign_key key;
	assert_ok(p->system, db_begin_in(p->system, p->coop[who].id, DB_READ));
	assert_ok(p->system, ledger_key(p->system, p->coop[who].id, &key));
	assert_ok(p->system, db_commit(p->system));
	return key;
}

/* Must be refused for that reason, be seen by admins, and leave everything else as it was. */
static void refused(struct pair *p, const struct letter *l, const char *reason)
{
	bool again;
	struct refusal *list;
	struct str next;
	size_t n;
	int64_t before = pair_count("message_in"), revisions = pair_count("agreement_revision"), leaves = pair_count("log_leaf"), events = pair_count("agreement_event");
	enum err e = message_take(p->system, p->coop[0].id, letter_write(p, l), &again);
	if (e == ERR_OK)
		fail_msg("%s was taken, where %s should have been said", l->type, reason);
	if (strcmp(p->system->error.reason, reason) != 0)
		fail_msg("%s: refused for %s (%s) and not for %s", l->type, p->system->error.reason, p->system->error.message, reason);
	assert_int_equal(pair_count("message_in"), before);
	assert_int_equal(pair_count("agreement_revision"), revisions);
	assert_int_equal(pair_count("agreement_event"), events);
	assert_int_equal(pair_count("log_leaf"), leaves);
	assert_ok(p->call[0], merge_refusals(p->call[0], p->coop[0].id, STR_NONE, 50, &list, &n, &next));
	bool seen = false;
	for (size_t i = 0; i < n; i++)
		seen |= str_is(list[i].code, reason);
	assert_true(seen);
	error_clear(&p->system->error);
}

static void strangers_forgers_and_replays_are_refused_and_seen(void **state)
{
	struct pair p;
	struct sign_key stranger;
	struct peer peer;
	(void)state;
	pair_make(&p);
	struct sign_key real = key_of(&p, 1);
	sign_key_new(&stranger);
	struct str strange = coop_key_name(p.system->arena, stranger.public_key);
	struct letter l = { "agreement.ended", STR("{\"agreement\":\"00\"}"), STR_NONE, STR_NONE, PAIR_START, &real };
	refused(&p, &l, "no_agreement");
	l.key = &stranger;
	refused(&p, &l, "bad_signature");
	l.from = strange;
	refused(&p, &l, "stranger");
	l = (struct letter){ "agreement.ended", STR("{}"), STR_NONE, strange, PAIR_START, &real };
	refused(&p, &l, "not_for_us");
	l = (struct letter){ "agreement.ended", STR("{}"), STR_NONE, STR_NONE, PAIR_START + CLOCK_HOUR, &real };
	refused(&p, &l, "from_the_future");
	l.at = PAIR_START - MESSAGE_LIFE - CLOCK_HOUR;
	refused(&p, &l, "too_old");
	l = (struct letter){ "agreement.adopted", STR("{}"), STR_NONE, STR_NONE, PAIR_START, &real };
	refused(&p, &l, "unknown_type");
	l = (struct letter){ "agreement.ended", STR("[]"), STR_NONE, STR_NONE, PAIR_START, &real };
	refused(&p, &l, "no_message");
	assert_ok(p.call[0], peer_refuse(p.call[0], p.coop[0].id, p.peer[0], &peer));
	l = (struct letter){ "agreement.ended", STR("{}"), STR_NONE, STR_NONE, PAIR_START, &real };
	refused(&p, &l, "peer_unconfirmed");
	assert_true(pair_count("notice WHERE kind = 'merge.refused'") >= 8);
}

static void the_same_refusal_counts_up_and_tells_once_a_day(void **state)
{
	struct pair p;
	(void)state;
	pair_make(&p);
	struct sign_key real = key_of(&p, 1);
	struct letter l = { "agreement.ended", STR("{}"), STR_NONE, STR_NONE, PAIR_START, &real };
	for (int i = 0; i < 5; i++)
		refused(&p, &l, "no_agreement");
	assert_int_equal(pair_count("refusal"), 1);
	assert_int_equal(fixture_int("SELECT times FROM refusal"), 5);
	assert_int_equal(pair_count("notice WHERE kind = 'merge.refused'"), 1);
	clock_set(PAIR_START + DAY);
	l.at = PAIR_START + DAY;
	refused(&p, &l, "no_agreement");
	assert_int_equal(pair_count("refusal"), 2);
}

/* A forger only needs a partner's name: what it makes up must not become a row and a notice each. */
static void types_that_are_made_up_count_as_one_refusal(void **state)
{
	struct pair p;
	struct sign_key stranger;
	(void)state;
	pair_make(&p);
	sign_key_new(&stranger);
	struct letter l = { "", STR("{}"), STR_NONE, STR_NONE, PAIR_START, &stranger };
	for (int i = 0; i < 5; i++) {
		l.type = str_z(p.system->arena, str_fmt(p.system->arena, "made.%c", 'a' + i));
		refused(&p, &l, "bad_signature");
	}
	assert_int_equal(pair_count("refusal"), 1);
	assert_int_equal(pair_count("notice WHERE kind = 'merge.refused'"), 1);
}

static void a_message_is_taken_once_however_often_it_comes(void **state)
{
	struct pair p;
	bool again;
	(void)state;
	pair_make(&p);
	struct sha256 digest = pair_agreed(&p, "{}");
	struct sign_key real = key_of(&p, 1);
	struct str hex = sha256_hex(p.system->arena, digest);
	struct letter l = { "agreement.suspended", str_fmt(p.system->arena, "{\"agreement\":\"%.*s\",\"by\":\"admin\"}", STR_ARG(hex)), STR_NONE, STR_NONE, clock_now(), &real };
	struct str suspended = letter_write(&p, &l);
	l.type = "agreement.resumed";
	struct str resumed = letter_write(&p, &l);
	assert_ok(p.system, message_take(p.system, p.coop[0].id, suspended, &again));
	assert_false(again);
	assert_int_equal(pair_state(&p, 0, digest), AGREEMENT_SUSPENDED);
	assert_ok(p.system, message_take(p.system, p.coop[0].id, resumed, &again));
	assert_int_equal(pair_state(&p, 0, digest), AGREEMENT_IN_EFFECT);
	assert_ok(p.system, message_take(p.system, p.coop[0].id, suspended, &again)); /* a replay */
	assert_true(again);
	assert_int_equal(pair_state(&p, 0, digest), AGREEMENT_IN_EFFECT);
}

static struct str replaced(struct call *c, struct str text, const char *from, const char *to)
{
	const char *at = memmem(text.p, text.n, from, strlen(from));
	if (!at)
		fail_msg("%s is not in it", from);
	size_t head = (size_t)(at - text.p);
	return str_fmt(c->arena, "%.*s%s%.*s", (int)head, text.p, to, (int)(text.n - head - strlen(from)), at + strlen(from));
}

/* A proposal of the second to the first, with the digest that its document has. */
static struct str proposal(struct pair *p, struct str document, struct str charter)
{
	struct call *c = p->system;
	return str_fmt(c->arena, "{\"agreement\":%.*s,\"charter\":%.*s,\"sha256\":\"%.*s\"}", STR_ARG(document), STR_ARG(charter), STR_ARG(sha256_hex(c->arena, sha256(document))));
}

static void proposals_that_are_tampered_with_or_looser_are_refused(void **state)
{
	struct pair p;
	struct charter theirs;
	(void)state;
	pair_make_with(&p, PEOPLE_OPEN ",\"embargo\":\"P3D\"", PEOPLE_OPEN);
	struct call *c = p.system;
	struct agreement g = pair_drafted(&p, 1, "{}", (struct uuid){ { 0 } });
	assert_ok(c, charter_view(c, p.coop[1].id, 0, &theirs));
	struct sign_key real = key_of(&p, 1);
	struct str document = g.terms.document, hex = sha256_hex(c->arena, g.terms.digest);
	struct letter l = { "agreement.proposed", STR("{}"), STR_NONE, STR_NONE, PAIR_START, &real };
	refused(&p, &l, "no_agreement");
	l.body = str_fmt(c->arena, "{\"agreement\":%.*s,\"charter\":%.*s,\"sha256\":\"%.*s\"}", STR_ARG(replaced(c, document, "\"near_loss\":20", "\"near_loss\":21")), STR_ARG(theirs.document), STR_ARG(hex));
	refused(&p, &l, "digest");
	l.body = proposal(&p, replaced(c, document, "\"embargo\":\"P3D\"", "\"embargo\":\"P0D\""), theirs.document);
	refused(&p, &l, "looser");
	l.body = proposal(&p, document, replaced(c, theirs.document, "\"embargo\":\"P0D\"", "\"embargo\":\"P1D\""));
	refused(&p, &l, "charter_digest");
	l.body = proposal(&p, replaced(c, document, str_z(c->arena, sha256_hex(c->arena, g.terms.charters[!g.us])), str_z(c->arena, hex)), theirs.document);
	refused(&p, &l, "charter_changed");
	l.body = proposal(&p, replaced(c, replaced(c, document, "\"replaces\":null", str_fmt(c->arena, "\"replaces\":\"%.*s\"", STR_ARG(hex)).p), "\"revision\":1", "\"revision\":2"), theirs.document);
	l.type = "agreement.renewal";
	refused(&p, &l, "unknown_agreement");
	l.body = proposal(&p, replaced(c, document, "\"name\":\"alpha\"", "\"name\":\"alphabet\""), theirs.document);
	l.type = "agreement.proposed";
	refused(&p, &l, "names");
	/* Between others: one of the names is somebody else's. */
	char other[17] = "aaaaaaaaaaaaaaaa";
	struct agreement_terms t;
	struct str between = document;
	for (int i = 0; i < 2; i++) { /* its name stands in `flow` and in `parties`, and the order must hold */
		other[0] = g.us == 0 ? 'z' : '2';
		between = replaced(c, between, str_z(c->arena, p.coop[0].key_name), other);
	}
	l.type = "agreement.proposed";
	l.body = proposal(&p, between, theirs.document);
	assert_ok(c, agreement_terms_parse(c->arena, between, &t, &c->error));
	refused(&p, &l, "other_parties");
	error_clear(&c->error);
	l.body = proposal(&p, document, theirs.document);
	bool again;
	assert_ok(c, message_take(c, p.coop[0].id, letter_write(&p, &l), &again)); /* as it was, it is taken */
	assert_int_equal(pair_state(&p, 0, g.terms.digest), AGREEMENT_PROPOSED);
}

/* An assent as the second would sign it, changed in one thing. */
static struct str assent_by(struct pair *p, const struct agreement *g, const struct sign_key *key, const char *from, const char *to)
{
	struct call *c = p->system;
	const struct json *envelope;
	struct str payload;
	assert_ok(c, json_parse(c->arena, g->assent_theirs, &envelope, &c->error));
	assert_true(str_unbase64(c->arena, json_member_text(envelope, "payload"), &payload));
	if (from)
		payload = replaced(c, payload, from, to);
	struct str hex = sha256_hex(c->arena, g->terms.digest), text = dsse_sign(c->arena, key, 1, STR(ASSENT_TYPE), payload);
	return str_fmt(c->arena, "{\"agreement\":\"%.*s\",\"assent\":%.*s}", STR_ARG(hex), STR_ARG(text));
}

static void only_the_partners_own_assent_to_exactly_this_counts(void **state)
{
	struct pair p;
	struct sign_key stranger;
	(void)state;
	pair_make(&p);
	struct sha256 digest = pair_agreed(&p, "{}");
	struct agreement g = pair_see(&p, 0, digest);
	struct call *c = p.system;
	struct sign_key real = key_of(&p, 1), own = key_of(&p, 0);
	struct str hex = sha256_hex(c->arena, digest), other = sha256_hex(c->arena, sha256(STR("other")));
	sign_key_new(&stranger);
	fixture_sql("UPDATE agreement_revision SET state = 'signed', assent_theirs = NULL, effect_at = NULL WHERE coop_id = (SELECT id FROM coop WHERE slug = 'alpha')");
	struct letter l = { "agreement.assent", assent_by(&p, &g, &stranger, NULL, NULL), STR_NONE, STR_NONE, clock_now(), &real };
	refused(&p, &l, "assent");
	l.body = assent_by(&p, &g, &own, NULL, NULL);
	refused(&p, &l, "assent");
	l.body = assent_by(&p, &g, &real, str_z(c->arena, hex), str_z(c->arena, other));
	refused(&p, &l, "assent");
	l.body = assent_by(&p, &g, &real, str_fmt(c->arena, "\"coop\":\"%.*s\"", STR_ARG(p.coop[1].key_name)).p, str_fmt(c->arena, "\"coop\":\"%.*s\"", STR_ARG(p.coop[0].key_name)).p);
	refused(&p, &l, "assent");
	l.body = assent_by(&p, &g, &real, "\"at\":\"2026", "\"at\":\"2027");
	refused(&p, &l, "assent");
	l.body = assent_by(&p, &g, &real, "\"checkpoint\":\"test.example", "\"checkpoint\":\"evil.example");
	refused(&p, &l, "assent");
	l.body = str_fmt(c->arena, "{\"agreement\":\"%.*s\"}", STR_ARG(hex));
	refused(&p, &l, "assent");
	l.body = str_fmt(c->arena, "{\"agreement\":\"%.*s\",\"assent\":{}}", STR_ARG(other));
	refused(&p, &l, "unknown_agreement");
	assert_int_equal(pair_state(&p, 0, digest), AGREEMENT_SIGNED);
	/* nor does a yes bring back what is over */
	fixture_sql("UPDATE agreement_revision SET state = 'expired' WHERE coop_id = (SELECT id FROM coop WHERE slug = 'alpha')");
	l.body = assent_by(&p, &g, &real, NULL, NULL);
	refused(&p, &l, "not_open");
	fixture_sql("UPDATE agreement_revision SET state = 'signed' WHERE coop_id = (SELECT id FROM coop WHERE slug = 'alpha')");
	bool again;
	l.body = assent_by(&p, &g, &real, NULL, NULL);
	assert_ok(c, message_take(c, p.coop[0].id, letter_write(&p, &l), &again));
	assert_int_equal(pair_state(&p, 0, digest), AGREEMENT_IN_EFFECT);
}

/* What the first would never write itself, and a partner can write all the same. */
static void a_proposal_is_held_against_the_partners_own_charter_too_and_against_the_time(void **state)
{
	struct pair p;
	struct charter theirs;
	(void)state;
	pair_make_with(&p, PEOPLE_OPEN, PEOPLE_OPEN ",\"embargo\":\"P3D\",\"moderation\":{\"mode\":\"hold\"}");
	struct call *c = p.system;
	struct agreement g = pair_drafted(&p, 1, "{}", (struct uuid){ { 0 } });
	assert_ok(c, charter_view(c, p.coop[1].id, 0, &theirs));
	struct sign_key real = key_of(&p, 1);
	struct str document = g.terms.document, ends = clock_format(c->arena, g.terms.ends);
	struct letter l = { "agreement.proposed", proposal(&p, replaced(c, document, "\"embargo\":\"P3D\"", "\"embargo\":\"P0D\""), theirs.document), STR_NONE, STR_NONE, PAIR_START, &real };
	refused(&p, &l, "looser");
	l.body = proposal(&p, replaced(c, document, "\"moderation\":\"both\"", "\"moderation\":\"home\""), theirs.document);
	refused(&p, &l, "looser");
	/* it was written long ago, and is over */
	struct str starts = clock_format(c->arena, g.terms.starts);
	struct str over = replaced(c, document, str_fmt(c->arena, "\"ends\":\"%.*s\"", STR_ARG(ends)).p, "\"ends\":\"2025-12-01T00:00:00Z\"");
	over = replaced(c, over, str_fmt(c->arena, "\"starts\":\"%.*s\"", STR_ARG(starts)).p, "\"starts\":\"2025-06-01T00:00:00Z\"");
	l.body = proposal(&p, over, theirs.document);
	refused(&p, &l, "over");
	/* no more are open at once than admins can look at */
	bool again;
	char id[40];
	struct str own = uuid_format(c->arena, g.terms.id);
	for (int i = 0; i <= 10; i++) {
		snprintf(id, sizeof(id), "00000000-0000-4000-8000-%012d", i);
		l.body = proposal(&p, replaced(c, document, str_z(c->arena, own), id), theirs.document);
		if (i < 10)
			assert_ok(c, message_take(c, p.coop[0].id, letter_write(&p, &l), &again));
		else
			refused(&p, &l, "too_many_open");
	}
}

/* Puts the agreements of the first down as being with somebody else than the second. */
static void with_another(void)
{
	fixture_sql("INSERT INTO peer (coop_id, id, url, name, title, chain, fingerprint, state, met_at, state_at) SELECT coop_id, '00000000-0000-4000-8000-0000000000aa', '', 'ffffffffffffffff', 'Another', chain, "
		"fingerprint, 'confirmed', met_at, state_at FROM peer WHERE coop_id = (SELECT id FROM coop WHERE slug = 'alpha'); "
		"UPDATE agreement SET peer_id = '00000000-0000-4000-8000-0000000000aa' WHERE coop_id = (SELECT id FROM coop WHERE slug = 'alpha')");
}

static void nobody_says_anything_of_an_agreement_with_somebody_else(void **state)
{
	static const char *const said[] = { "agreement.suspended", "agreement.resumed", "agreement.assent", "agreement.ended" };
	struct pair p;
	struct charter theirs;
	(void)state;
	pair_make(&p);
	struct sha256 digest = pair_agreed(&p, "{}");
	struct call *c = p.system;
	struct agreement g = pair_see(&p, 1, digest);
	struct agreement next = pair_drafted(&p, 1, "{}", g.id);
	struct sign_key real = key_of(&p, 1);
	struct str hex = sha256_hex(c->arena, digest), other = sha256_hex(c->arena, sha256(STR("other")));
	assert_ok(c, charter_view(c, p.coop[1].id, 0, &theirs));
	/* a renewal that leaves out what stands */
	struct letter l = { "agreement.renewal", proposal(&p, replaced(c, next.terms.document, str_z(c->arena, hex), str_z(c->arena, other)), theirs.document), STR_NONE, STR_NONE, clock_now(), &real };
	refused(&p, &l, "revision");
	with_another();
	l.body = proposal(&p, next.terms.document, theirs.document);
	refused(&p, &l, "other_parties");
	for (size_t i = 0; i < CH_LEN(said); i++) {
		l.type = said[i];
		l.body = str_fmt(c->arena, "{\"agreement\":\"%.*s\",\"assent\":{},\"ends_at\":\"2026-02-01T00:00:00Z\",\"how\":\"notice\"}", STR_ARG(hex));
		refused(&p, &l, "unknown_agreement");
	}
	assert_int_equal(pair_state(&p, 0, digest), AGREEMENT_IN_EFFECT);
}

static struct str assent_at(struct pair *p, const struct agreement *g)
{
	struct call *c = p->system;
	const struct json *envelope, *said;
	struct str payload;
	assert_ok(c, json_parse(c->arena, g->assent_theirs, &envelope, &c->error));
	assert_true(str_unbase64(c->arena, json_member_text(envelope, "payload"), &payload));
	assert_ok(c, json_parse(c->arena, payload, &said, &c->error));
	return json_member_text(said, "at");
}

static void an_assent_names_its_ballot_and_is_signed_by_the_key_of_its_time(void **state)
{
	struct pair p;
	struct keychain chain;
	(void)state;
	pair_make(&p);
	struct sha256 digest = pair_agreed(&p, "{}");
	struct agreement g = pair_see(&p, 0, digest);
	struct call *c = p.system;
	struct sign_key old = key_of(&p, 1);
	fixture_sql("UPDATE agreement_revision SET state = 'signed', assent_theirs = NULL, effect_at = NULL WHERE coop_id = (SELECT id FROM coop WHERE slug = 'alpha')");
	struct letter l = { "agreement.assent", assent_by(&p, &g, &old, "\"ballot\":{\"id\":\"", "\"ballot\":{\"id\":\"x"), STR_NONE, STR_NONE, clock_now(), &old };
	refused(&p, &l, "assent");
	struct str at = assent_at(&p, &g);
	assert_ok(c, keychain_rotate(c, p.coop[1].id, &chain));
	clock_set(clock_now() + DAY);
	struct sign_key now = key_of(&p, 1);
	l.at = clock_now();
	l.key = &now;
	l.body = assent_by(&p, &g, &old, str_z(c->arena, at), str_z(c->arena, clock_format(c->arena, clock_now())));
	refused(&p, &l, "assent");
	bool again;
	l.body = assent_by(&p, &g, &old, NULL, NULL); /* of its time, it counts */
	assert_ok(c, message_take(c, p.coop[0].id, letter_write(&p, &l), &again));
	assert_int_equal(pair_state(&p, 0, digest), AGREEMENT_IN_EFFECT);
}

/* The head of its log that a partner signs with its yes binds it like any other. */
static void an_assent_with_another_log_than_is_known_is_a_yes_and_a_proof(void **state)
{
	struct pair p;
	bool again;
	(void)state;
	pair_make(&p);
	struct sha256 digest = pair_agreed(&p, "{}");
	struct agreement g = pair_see(&p, 0, digest);
	struct call *c = p.system;
	struct sign_key key = key_of(&p, 1);
	struct letter l = { "agreement.assent", assent_by(&p, &g, &key, NULL, NULL), STR_NONE, STR_NONE, clock_now(), &key };
	int64_t size = 0;
	fixture_sql("UPDATE agreement_revision SET state = 'signed', assent_theirs = NULL, effect_at = NULL WHERE coop_id = (SELECT id FROM coop WHERE slug = 'alpha')");
	const struct json *envelope, *said;
	struct str payload, note, line = STR("");
	assert_ok(c, json_parse(c->arena, g.assent_theirs, &envelope, &c->error));
	assert_true(str_unbase64(c->arena, json_member_text(envelope, "payload"), &payload));
	assert_ok(c, json_parse(c->arena, payload, &said, &c->error));
	struct str checkpoint = note = json_member_text(said, "checkpoint"), origin = STR("");
	assert_true(str_split(&note, '\n', &origin) && str_split(&note, '\n', &line) && str_to_i64(line, 1, INT64_MAX, &size));
	/* another log of the same length, that it has signed for this co-op before */
	struct str before = checkpoint_sign(c->arena, origin, (uint64_t)size, sha256(STR("another")), &key), home = p.coop[1].key_name;
	fixture_sql(str_fmt(c->arena, "INSERT INTO origin_log (coop_id, home, origin, size, root, checkpoint, checked_at) SELECT id, '%.*s', '%.*s', %lld, '\\x%.*s', $k$%.*s$k$, now() FROM coop WHERE slug = 'alpha'",
		STR_ARG(home), STR_ARG(origin), (long long)size, STR_ARG(sha256_hex(c->arena, sha256(STR("another")))), STR_ARG(before)).p);
	assert_ok(c, message_take(c, p.coop[0].id, letter_write(&p, &l), &again));
	assert_int_equal(pair_state(&p, 0, digest), AGREEMENT_IN_EFFECT);
	assert_int_equal(pair_count("merge_conflict WHERE kind = 'equivocation' AND detail::json ->> 'about' = 'log'"), 1);
	assert_string_equal(fixture_text("SELECT proof::json ->> 'first' FROM merge_conflict"), str_z(c->arena, before));
	assert_string_equal(fixture_text("SELECT proof::json ->> 'second' FROM merge_conflict"), str_z(c->arena, checkpoint));
	assert_true(pair_count("notice WHERE kind = 'merge.conflict'") >= 1);
	/* and nothing that it sends is taken until an admin has looked */
	bool doubt = false;
	assert_ok(c, db_begin_in(c, p.coop[0].id, DB_READ));
	assert_ok(c, merge_in_doubt(c, p.coop[0].id, home, &doubt));
	assert_ok(c, db_commit(c));
	assert_true(doubt);
}

static void a_partner_cannot_lift_our_suspension_or_put_off_the_end(void **state)
{
	struct pair p;
	struct agreement g;
	bool again;
	(void)state;
	pair_make(&p);
	struct sha256 digest = pair_agreed(&p, "{}");
	struct call *c = p.system;
	struct sign_key real = key_of(&p, 1);
	struct str hex = sha256_hex(c->arena, digest);
	g = pair_see(&p, 0, digest);
	instant ends = g.ends_at;
	assert_ok(p.call[0], agreement_suspend(p.call[0], p.coop[0].id, g.id, WHY, &g));
	struct letter l = { "agreement.resumed", str_fmt(c->arena, "{\"agreement\":\"%.*s\"}", STR_ARG(hex)), STR_NONE, STR_NONE, clock_now(), &real };
	assert_ok(c, message_take(c, p.coop[0].id, letter_write(&p, &l), &again));
	assert_int_equal(pair_state(&p, 0, digest), AGREEMENT_SUSPENDED);
	l.type = "agreement.ended";
	l.body = str_fmt(c->arena, "{\"agreement\":\"%.*s\",\"ends_at\":\"2036-01-01T00:00:00Z\",\"how\":\"notice\"}", STR_ARG(hex));
	assert_ok(c, message_take(c, p.coop[0].id, letter_write(&p, &l), &again));
	assert_int_equal(pair_see(&p, 0, digest).ends_at, ends);
}

static void a_key_that_is_replaced_on_the_way_stops_nothing_and_signs_nothing_more(void **state)
{
	struct pair p;
	struct keychain chain;
	bool again;
	(void)state;
	pair_make(&p);
	struct sha256 digest = pair_proposed(&p, 1, "{}", (struct uuid){ { 0 } });
	struct call *c = p.system;
	struct sign_key old = key_of(&p, 1);
	struct letter before = { "agreement.ended", str_fmt(c->arena, "{\"agreement\":\"%.*s\",\"how\":\"withdrawn\"}", STR_ARG(sha256_hex(c->arena, digest))), STR_NONE, STR_NONE, clock_now(), &old };
	struct str sealed_before = letter_write(&p, &before);
	clock_set(PAIR_START + CLOCK_HOUR);
	assert_ok(c, keychain_rotate(c, p.coop[1].id, &chain));
	struct letter after = before;
	after.at = PAIR_START + 2 * CLOCK_HOUR;
	clock_set(after.at);
	refused(&p, &after, "retired_key"); /* who has stolen the old key says nothing with it any more … */
	assert_err(c, ERR_REFUSED, message_take(c, p.coop[0].id, sealed_before, &again)); /* … whatever it says of when */
	assert_string_equal(c->error.reason, "retired_key");
	error_clear(&c->error);
	pair_decide(&p, digest, "for", "for");
	assert_int_equal(pair_state(&p, 0, digest), AGREEMENT_IN_EFFECT);
	assert_int_equal(pair_state(&p, 1, digest), AGREEMENT_IN_EFFECT);
	assert_int_equal(pair_count("message_out WHERE state <> 'delivered'"), 0);
}

/* ---- Carrying ---- */

static void messages_go_as_a_file_too(void **state)
{
	struct pair p;
	struct agreement g;
	struct message_import done;
	struct str lines;
	(void)state;
	pair_make(&p);
	g = pair_drafted(&p, 0, "{}", (struct uuid){ { 0 } });
	assert_ok(p.call[0], agreement_propose(p.call[0], p.coop[0].id, g.terms.digest, &g));
	assert_ok(p.call[0], message_export(p.call[0], p.coop[0].id, (struct uuid){ { 0 } }, &lines));
	assert_ok(p.call[1], message_import(p.call[1], p.coop[1].id, lines, &done));
	assert_int_equal(done.taken, 1);
	assert_int_equal(pair_state(&p, 1, g.terms.digest), AGREEMENT_PROPOSED);
	assert_ok(p.call[1], message_import(p.call[1], p.coop[1].id, str_fmt(p.call[1]->arena, "%.*snonsense\n\n", STR_ARG(lines)), &done));
	assert_int_equal(done.again, 1);
	assert_int_equal(done.refused, 1);
	pair_run(); /* and straight again: nothing happens twice */
	assert_int_equal(pair_count("message_in"), 1);
	assert_int_equal(pair_count("message_out WHERE state = 'delivered'"), 1);
}

static void what_is_not_taken_yet_is_tried_again_in_its_order(void **state)
{
	struct pair p;
	struct agreement g;
	struct peer peer;
	(void)state;
	pair_make(&p);
	assert_ok(p.call[1], peer_refuse(p.call[1], p.coop[1].id, p.peer[1], &peer));
	struct sha256 digest = pair_proposed(&p, 0, "{}", (struct uuid){ { 0 } });
	assert_ok(p.call[0], agreement_withdraw(p.call[0], p.coop[0].id, digest, WHY, &g));
	pair_run();
	assert_int_equal(pair_count("message_out WHERE state = 'waiting'"), 2);
	assert_int_equal(pair_count("message_out WHERE attempts > 0"), 1);
	assert_ok(p.call[1], peer_confirm(p.call[1], p.coop[1].id, p.peer[1], peer.fingerprint, &peer));
	pair_until(PAIR_START + DAY);
	assert_int_equal(pair_count("message_out WHERE state = 'delivered'"), 2);
	assert_int_equal(pair_state(&p, 1, digest), AGREEMENT_WITHDRAWN);
}

static void what_waits_is_signed_anew_after_a_rotation_and_taken_once(void **state)
{
	struct pair p;
	struct keychain chain;
	struct str first, second;
	struct agreement g;
	struct message_import done;
	(void)state;
	pair_make(&p);
	g = pair_drafted(&p, 0, "{}", (struct uuid){ { 0 } });
	assert_ok(p.call[0], agreement_propose(p.call[0], p.coop[0].id, g.terms.digest, &g));
	assert_ok(p.call[0], message_export(p.call[0], p.coop[0].id, (struct uuid){ { 0 } }, &first));
	assert_ok(p.call[1], message_import(p.call[1], p.coop[1].id, first, &done));
	assert_int_equal(done.taken, 1);
	clock_set(PAIR_START + CLOCK_HOUR);
	assert_ok(p.system, keychain_rotate(p.system, p.coop[0].id, &chain));
	assert_ok(p.call[0], message_export(p.call[0], p.coop[0].id, (struct uuid){ { 0 } }, &second));
	assert_false(str_eq(first, second));
	assert_ok(p.call[1], message_import(p.call[1], p.coop[1].id, second, &done));
	assert_int_equal(done.again, 1);
	assert_ok(p.call[1], message_import(p.call[1], p.coop[1].id, first, &done));
	assert_int_equal(done.refused, 1);
}

static void what_is_over_is_forgotten_after_a_while(void **state)
{
	struct pair p;
	(void)state;
	pair_make(&p);
	struct sha256 digest = pair_agreed(&p, "{\"ends\":\"2026-12-01T00:00:00Z\"}");
	assert_true(pair_count("message_in") >= 3 && pair_count("message_out") >= 3);
	pair_until(clock_now() + MESSAGE_LIFE);
	assert_ok(p.system, message_forget(p.system, p.coop[0].id));
	assert_true(pair_count("message_in") >= 3);
	pair_until(clock_now() + 31 * DAY);
	for (int who = 0; who < 2; who++)
		assert_ok(p.system, message_forget(p.system, p.coop[who].id));
	assert_int_equal(pair_count("message_in"), 0);
	assert_int_equal(pair_count("message_out"), 0);
	assert_int_equal(pair_state(&p, 0, digest), AGREEMENT_IN_EFFECT);
}

static void what_is_refused_for_good_is_told_to_the_admins_who_sent_it(void **state)
{
	struct pair p;
	struct message_row *rows;
	struct str next;
	size_t n;
	(void)state;
	pair_make(&p);
	struct call *c = p.system;
	assert_ok(c, db_begin_in(c, p.coop[0].id, DB_WRITE));
	assert_ok(c, message_send(c, p.coop[0].id, p.peer[0], "agreement.ended", STR_NONE, STR("{\"agreement\":\"00\"}")));
	assert_ok(c, message_send(c, p.coop[0].id, p.peer[0], "bundle.ready", STR("one"), STR("{\"n\":1}")));
	assert_ok(c, message_send(c, p.coop[0].id, p.peer[0], "bundle.ready", STR("one"), STR("{\"n\":2}")));
	assert_ok(c, db_commit(c));
	assert_int_equal(pair_count("message_out WHERE state = 'dropped'"), 1);
	pair_run();
	assert_int_equal(pair_count("message_out WHERE state = 'dead'"), 2);
	assert_int_equal(pair_count("notice WHERE kind = 'merge.undelivered'"), 2);
	assert_ok(p.call[0], message_list(p.call[0], p.coop[0].id, STR_NONE, 50, &rows, &n, &next));
	assert_int_equal(n, 3);
	bool told = false;
	for (size_t i = 0; i < n; i++)
		told |= str_is(rows[i].state, "dead") && rows[i].error.n > 0 && rows[i].out;
	assert_true(told);
}

/* ---- What a partner may make us keep or do ---- */

static void spent(struct pair *p, enum peer_budget what, int64_t n)
{
	struct call *c = p->system;
	assert_ok(c, db_begin_in(c, p->coop[0].id, DB_WRITE));
	assert_ok(c, peer_spend(c, p->coop[0].id, p->coop[1].key_name, what, n));
	assert_ok(c, db_commit(c));
}

static bool may_spend(struct pair *p, struct str who, int64_t n)
{
	struct call *c = p->system;
	bool may;
	assert_ok(c, db_begin_in(c, p->coop[0].id, DB_WRITE));
	assert_ok(c, peer_may_spend(c, p->coop[0].id, who, PEER_BUDGET_JOINTS, n, &may));
	assert_ok(c, db_commit(c));
	return may;
}

static void a_budget_is_for_one_partner_and_begins_anew_after_its_time(void **state)
{
	struct pair p;
	(void)state;
	pair_make(&p);
	struct str them = p.coop[1].key_name, others = STR("abcdefghijklmnop");
	assert_true(may_spend(&p, them, 4));
	assert_true(may_spend(&p, them, 6));
	assert_false(may_spend(&p, them, 1));
	assert_false(may_spend(&p, others, 11));
	assert_true(may_spend(&p, others, 10));
	clock_set(clock_now() + DAY - CLOCK_SECOND);
	assert_false(may_spend(&p, them, 1));
	clock_set(clock_now() + CLOCK_SECOND);
	assert_true(may_spend(&p, them, 10));
	assert_false(may_spend(&p, them, 1));
	clock_set(clock_now() + 401 * DAY);
	assert_ok(p.system, message_forget(p.system, p.coop[0].id));
	assert_int_equal(pair_count("peer_spent"), 0);
}

static void a_partner_that_says_too_much_is_put_off_and_what_stops_something_is_not(void **state)
{
	struct pair p;
	bool again;
	(void)state;
	pair_make(&p);
	struct sha256 digest = pair_agreed(&p, "{}");
	struct sign_key real = key_of(&p, 1);
	struct str body = str_fmt(p.system->arena, "{\"agreement\":\"%.*s\",\"by\":\"admin\"}", STR_ARG(sha256_hex(p.system->arena, digest)));
	fixture_sql("DELETE FROM peer_spent");
	spent(&p, PEER_BUDGET_MESSAGES, peer_budget_most(PEER_BUDGET_MESSAGES));
	struct letter l = { "receipt", STR("{}"), STR_NONE, STR_NONE, clock_now(), &real };
	refused(&p, &l, "peer_budget");
	l.type = "preview.ready";
	refused(&p, &l, "peer_budget");
	/* those that must not get lost are to be sent again; the others are over */
	assert_int_equal(message_take(p.system, p.coop[0].id, letter_write(&p, &l), &again), ERR_REFUSED);
	l.type = "receipt";
	assert_int_equal(message_take(p.system, p.coop[0].id, letter_write(&p, &l), &again), ERR_TOO_MANY);
	error_clear(&p.system->error);
	int64_t kept = pair_count("message_in");
	l = (struct letter){ "agreement.suspended", body, STR_NONE, STR_NONE, clock_now(), &real };
	assert_ok(p.system, message_take(p.system, p.coop[0].id, letter_write(&p, &l), &again));
	assert_int_equal(pair_state(&p, 0, digest), AGREEMENT_SUSPENDED);
	assert_int_equal(pair_count("message_in"), kept);
}

static void members_hear_of_few_suspensions_a_day_and_each_holds_at_once(void **state)
{
	struct pair p;
	bool again;
	(void)state;
	pair_make(&p);
	struct sha256 digest = pair_agreed(&p, "{}");
	struct sign_key real = key_of(&p, 1);
	struct letter l = { NULL, str_fmt(p.system->arena, "{\"agreement\":\"%.*s\",\"by\":\"admin\"}", STR_ARG(sha256_hex(p.system->arena, digest))), STR_NONE, STR_NONE, clock_now(), &real };
	int resumed = 0;
	for (int i = 0; i < 20; i++) {
		clock_set(clock_now() + CLOCK_MINUTE);
		l.at = clock_now();
		l.type = "agreement.suspended";
		assert_ok(p.system, message_take(p.system, p.coop[0].id, letter_write(&p, &l), &again));
		assert_int_equal(pair_state(&p, 0, digest), AGREEMENT_SUSPENDED);
		l.type = "agreement.resumed";
		resumed += message_take(p.system, p.coop[0].id, letter_write(&p, &l), &again) == ERR_OK;
		error_clear(&p.system->error);
	}
	assert_int_equal(resumed, peer_budget_most(PEER_BUDGET_RESUMES));
	assert_int_equal(pair_state(&p, 0, digest), AGREEMENT_SUSPENDED);
	assert_true(pair_count("notice WHERE kind IN ('agreement.suspended', 'agreement.resumed')") <= 2 * resumed + 1);
	clock_set(clock_now() + DAY);
	l.at = clock_now();
	assert_ok(p.system, message_take(p.system, p.coop[0].id, letter_write(&p, &l), &again));
	assert_int_equal(pair_state(&p, 0, digest), AGREEMENT_IN_EFFECT);
}

static void refusals_of_one_sender_are_so_many_rows_a_day_and_a_count(void **state)
{
	struct pair p;
	(void)state;
	pair_make(&p);
	struct call *c = p.system;
	for (int i = 0; i < 120; i++) {
		merge_refuse(c, p.coop[0].id, p.peer[0], str_fmt(c->arena, "bundle %d", i), STR("gap"), STR("It does not fit."));
		if (i % 40 == 0)
			merge_refuse(c, p.coop[0].id, (struct uuid){ { 0 } }, STR("message"), STR("stranger"), STR("Nobody knows them."));
	}
	assert_int_equal(pair_count("refusal WHERE peer_id IS NOT NULL"), 51);
	assert_int_equal(fixture_int("SELECT times FROM refusal WHERE code = 'too_many_refusals'"), 70);
	assert_int_equal(fixture_int("SELECT times FROM refusal WHERE code = 'stranger'"), 3);
	merge_refuse(c, p.coop[0].id, p.peer[0], STR("bundle 7"), STR("gap"), STR("It does not fit."));
	assert_int_equal(fixture_int("SELECT times FROM refusal WHERE what = 'bundle 7'"), 2);
	assert_true(pair_count("notice WHERE kind = 'merge.refused'") <= 52);
}

static void bad_signatures_keep_nobody_busy_with_looking_at_keys(void **state)
{
	struct pair p;
	struct sign_key stranger;
	(void)state;
	pair_make(&p);
	sign_key_new(&stranger);
	struct letter l = { "receipt", STR("{}"), STR_NONE, STR_NONE, PAIR_START, &stranger };
	refused(&p, &l, "bad_signature");
	assert_int_equal(pair_count("job WHERE kind = 'peer.refresh'"), 1);
	fixture_sql("DELETE FROM job WHERE kind = 'peer.refresh'");
	for (int i = 0; i < 5; i++)
		refused(&p, &l, "bad_signature");
	assert_int_equal(pair_count("job WHERE kind = 'peer.refresh'"), 0);
	l.at = PAIR_START + CLOCK_HOUR;
	clock_set(l.at);
	refused(&p, &l, "bad_signature");
	assert_int_equal(pair_count("job WHERE kind = 'peer.refresh'"), 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		fixture_test(a_budget_is_for_one_partner_and_begins_anew_after_its_time), fixture_test(a_partner_that_says_too_much_is_put_off_and_what_stops_something_is_not),
		fixture_test(members_hear_of_few_suspensions_a_day_and_each_holds_at_once), fixture_test(refusals_of_one_sender_are_so_many_rows_a_day_and_a_count),
		fixture_test(bad_signatures_keep_nobody_busy_with_looking_at_keys),
		fixture_test(strangers_forgers_and_replays_are_refused_and_seen), fixture_test(the_same_refusal_counts_up_and_tells_once_a_day),
		fixture_test(types_that_are_made_up_count_as_one_refusal),
		fixture_test(a_message_is_taken_once_however_often_it_comes), fixture_test(proposals_that_are_tampered_with_or_looser_are_refused),
		fixture_test(only_the_partners_own_assent_to_exactly_this_counts), fixture_test(a_proposal_is_held_against_the_partners_own_charter_too_and_against_the_time),
		fixture_test(nobody_says_anything_of_an_agreement_with_somebody_else), fixture_test(an_assent_names_its_ballot_and_is_signed_by_the_key_of_its_time),
		fixture_test(an_assent_with_another_log_than_is_known_is_a_yes_and_a_proof), fixture_test(a_partner_cannot_lift_our_suspension_or_put_off_the_end),
		fixture_test(a_key_that_is_replaced_on_the_way_stops_nothing_and_signs_nothing_more), fixture_test(messages_go_as_a_file_too), fixture_test(what_is_not_taken_yet_is_tried_again_in_its_order),
		fixture_test(what_waits_is_signed_anew_after_a_rotation_and_taken_once), fixture_test(what_is_over_is_forgotten_after_a_while), fixture_test(what_is_refused_for_good_is_told_to_the_admins_who_sent_it),
	};
	return fixture_run(tests, CH_LEN(tests));
}
