/* People of other co-ops: what their home says of them is never loosened here (policy.md "Merging state", release.md "Merging and forks"). */
#include "guest_kit.h"

#include "commonhold/account.h"
#include "commonhold/delegation.h"
#include "commonhold/crypto.h"
#include "commonhold/keyring.h"

#include <stdio.h>
#include <stdlib.h>

/* ---- What the engine makes of people ---- */

struct view {
	struct policy_facts facts;
	const struct policy_program *program;
	struct policy_rows *rows;
	struct policy_mem mem;
	struct charter charter;
};

struct places { const struct uuid *items; size_t n; };

static uint32_t place_of(void *arg, struct uuid item)
{
	const struct places *p = arg;
	for (size_t i = 0; i < p->n; i++)
		if (uuid_eq(p->items[i], item))
			return (uint32_t)i;
	return POLICY_NO_ITEM;
}

static void *from_arena(void *arena, size_t size)
{
	return arena_alloc(arena, size);
}

/* The co-op's people under a specification, with these items, each its member's (by number). */
static void look(struct call *c, struct uuid coop, uint16_t uses, unsigned purpose, unsigned audience, struct places items, const uint32_t *members, struct view *v)
{
	struct policy_spec spec;
	struct policy_fault places[8];
	struct policy_faults faults = { places, CH_LEN(places), 0 };
	int consent_words, defaults_words;
	*v = (struct view){ .mem = { from_arena, c->arena } };
	assert_ok(c, db_begin_in(c, coop, DB_SERIAL));
	assert_ok(c, charter_current(c, coop, &v->charter));
	assert_ok(c, demand_oldest_words(c, coop, v->charter.version, &consent_words, &defaults_words));
	assert_ok(c, coop_policy_facts(c, coop, place_of, &items, &v->facts));
	assert_ok(c, db_commit(c));
	struct policy_item_fact *facts = ARENA_ARRAY(c->arena, items.n + 1, struct policy_item_fact);
	for (size_t i = 0; i < items.n; i++)
		facts[i] = (struct policy_item_fact){ .item = (uint32_t)i, .member = members[i], .kind = POLICY_KIND_EXAMPLE, .embargo_until = POLICY_EVER, .retain_until = POLICY_NEVER };
	v->facts.items = facts;
	v->facts.n_items = items.n;
	policy_spec_init(&spec);
	spec.uses = uses;
	spec.purposes = POLICY_BIT(purpose);
	spec.audience = (uint8_t)audience;
	spec.audience_duties = policy_audience_duties(audience);
	spec.uses_conditional = v->charter.release_uses_conditional | POLICY_USES_ALL;
	spec.delegation_depth = (uint8_t)v->charter.delegation_depth;
	spec.delegation_cap = v->charter.delegation_cap;
	spec.notice_min = (uint32_t)consent_words;
	spec.defaults = v->charter.defaults;
	spec.n_defaults = v->charter.n_defaults;
	spec.cutoff = spec.instant = clock_now();
	enum policy_status compiled = policy_compile(&spec, &v->mem, &v->program, &faults);
	enum policy_status built = compiled ? compiled : policy_rows_build(v->program, &v->facts, &v->mem, &v->rows, &faults);
	if (faults.n)
		fail_msg("%d %s %zu: %s", (int)built, policy_fault_where(places[0].code), (size_t)places[0].index, policy_fault_text(places[0].code));
	assert_int_equal(built, POLICY_OK);
}

static enum policy_outcome of_kind(const struct view *v, uint32_t member, unsigned kind)
{
	return policy_outcome_of(policy_rows_get(v->rows, member, kind).reasons);
}

static enum policy_outcome of_item(const struct view *v, uint32_t item, uint32_t member)
{
	struct policy_item it = { .member = member, .flags = POLICY_ITEM_ATTRIBUTED, .kind = POLICY_KIND_EXAMPLE, .licence = (uint8_t)policy_licence_find("CC-BY-4.0", 9),
		.moderation = POLICY_MODERATION_APPROVED, .created = WORLD_START };
	return policy_outcome_of(policy_decide_one(v->program, v->rows, item, policy_item_pack(&it), 0, member));
}

static const struct places no_items;

/* Under the agreement's own terms: training generative models, research, gated. */
static void look_plainly(struct call *c, struct uuid coop, struct view *v)
{
	look(c, coop, POLICY_BIT(POLICY_USE_TRAIN_GEN), POLICY_PURPOSE_RESEARCH, POLICY_AUDIENCE_GATED_MANUAL, no_items, NULL, v);
}

static enum policy_outcome plainly(struct call *c, struct uuid coop, int number)
{
	struct view v;
	look_plainly(c, coop, &v);
	return of_kind(&v, (uint32_t)number, POLICY_KIND_EXAMPLE);
}

/* ---- Guests ---- */

static void a_guest_has_the_next_number_and_is_no_member(void **state)
{
	struct world w;
	struct member m, *members;
	struct coop coop;
	size_t n;
	struct str next;
	(void)state;
	world_make(&w, NULL);
	struct guest_source s = kit_source(w.system, w.coop, KIT_HOME);
	struct guest_words words = kit_words(w.system, KIT_HOME, 1, "allow");
	struct guest g = kit_put(w.system, w.coop, &s, &words);
	assert_int_equal(g.number, WORLD_MEMBERS);
	struct actor late = w.actor[0];
	struct account account;
	w.person->actor = (struct actor){ 0 };
	assert_ok(w.person, account_create(w.person, STR("late@example.org"), STR("Late"), &account));
	late = (struct actor){ .kind = AUTH_SESSION, .account = account.id, .email = account.email, .name = account.name };
	w.person->actor = late;
	assert_ok(w.person, member_join(w.person, w.coop, &m));
	assert_int_equal(m.number, WORLD_MEMBERS + 1);
	assert_ok(by(&w, 0), member_list(by(&w, 0), w.coop, STR_NONE, STR_NONE, 100, &members, &n, &next));
	assert_int_equal(n, WORLD_MEMBERS + 1);
	assert_ok(by(&w, 0), coop_read(by(&w, 0), w.coop, &coop));
	assert_int_equal(coop.members, WORLD_MEMBERS + 1);
	words.contributor[0] = 2;
	assert_int_equal(kit_put(w.system, w.coop, &s, &words).number, WORLD_MEMBERS + 2);
	struct seal_key key;
	assert_ok(w.system, keyring_get(w.system, w.coop, &g.id, 1, &key, NULL));
}

static void silence_is_held(void **state)
{
	struct world w;
	(void)state;
	/* The co-op's own default would say yes for its members. */
	world_make(&w, "{\"sharing\":\"share_by_default\"}");
	struct guest_source s = kit_source(w.system, w.coop, KIT_HOME);
	struct guest_words words = kit_words(w.system, KIT_HOME, 1, NULL);
	struct guest g = kit_put(w.system, w.coop, &s, &words);
	assert_int_equal(plainly(w.system, w.coop, g.number), POLICY_HOLD);
	words = kit_words(w.system, KIT_HOME, 2, "allow");
	assert_int_equal(plainly(w.system, w.coop, kit_put(w.system, w.coop, &s, &words).number), POLICY_INCLUDE);
}

static void what_home_says_for_the_silent_counts(void **state)
{
	struct world w;
	(void)state;
	world_make(&w, NULL);
	struct guest_source s = kit_source(w.system, w.coop, KIT_HOME);
	struct guest_word spoken = { .effect = POLICY_EFFECT_ALLOW, .purpose = POLICY_PURPOSE_RESEARCH, .uses = POLICY_BIT(POLICY_USE_TRAIN_GEN), .valid_to = INSTANT_NEVER };
	struct guest_words words = kit_words(w.system, KIT_HOME, 1, NULL), other = kit_words(w.system, KIT_HOME, 2, "deny");
	words.spoken_for = other.spoken_for = &spoken;
	words.n_spoken = other.n_spoken = 1;
	struct guest g = kit_put(w.system, w.coop, &s, &words), no = kit_put(w.system, w.coop, &s, &other);
	assert_int_equal(plainly(w.system, w.coop, g.number), POLICY_INCLUDE);
	assert_int_equal(plainly(w.system, w.coop, no.number), POLICY_EXCLUDE);
	assert_int_equal(fixture_int("SELECT count(*) FROM guest_spoken"), 1); /* one subgroup for both */
	/* Repeated a year later it is no newer than it was; taken back it is gone. */
	instant before = clock_now();
	clock_set(before + 30 * CLOCK_DAY);
	words.rev = 2;
	words.as_of = clock_now();
	kit_put(w.system, w.coop, &s, &words);
	assert_int_equal(fixture_int("SELECT count(*) FROM guest_spoken"), 1);
	words.rev = 3;
	words.n_spoken = 0;
	kit_put(w.system, w.coop, &s, &words);
	assert_int_equal(plainly(w.system, w.coop, g.number), POLICY_HOLD);
}

static void only_a_later_word_replaces_one(void **state)
{
	struct world w;
	(void)state;
	world_make(&w, NULL);
	struct guest_source s = kit_source(w.system, w.coop, KIT_HOME);
	struct guest_words no = kit_words(w.system, KIT_HOME, 1, "deny"), yes = kit_words(w.system, KIT_HOME, 1, "allow");
	no.rev = 7;
	yes.rev = 6;
	struct guest g = kit_put(w.system, w.coop, &s, &no);
	kit_put(w.system, w.coop, &s, &yes);
	assert_int_equal(plainly(w.system, w.coop, g.number), POLICY_EXCLUDE);
	yes.rev = 7;
	kit_put(w.system, w.coop, &s, &yes);
	assert_int_equal(plainly(w.system, w.coop, g.number), POLICY_EXCLUDE);
	yes.rev = 8;
	assert_int_equal(kit_put(w.system, w.coop, &s, &yes).number, g.number);
	assert_int_equal(plainly(w.system, w.coop, g.number), POLICY_INCLUDE);
}

static void the_agreement_is_the_most_that_counts(void **state)
{
	struct world w;
	struct view v;
	(void)state;
	world_make(&w, NULL);
	struct guest_source s = kit_source(w.system, w.coop, KIT_HOME);
	struct guest_words words = kit_words(w.system, KIT_HOME, 1, "allow");
	struct guest_word said = words.said[0];
	said.uses = POLICY_USES_ALL;
	words.said = &said;
	words.purposes = POLICY_BIT(POLICY_PURPOSE_ANY);
	struct guest g = kit_put(w.system, w.coop, &s, &words);
	uint32_t number = (uint32_t)g.number;
	look(w.system, w.coop, POLICY_BIT(POLICY_USE_EVAL), POLICY_PURPOSE_RESEARCH, POLICY_AUDIENCE_GATED_MANUAL, no_items, NULL, &v);
	assert_int_equal(of_kind(&v, number, 0), POLICY_EXCLUDE); /* another use */
	look(w.system, w.coop, POLICY_BIT(POLICY_USE_TRAIN_GEN), POLICY_PURPOSE_COMMERCIAL, POLICY_AUDIENCE_GATED_MANUAL, no_items, NULL, &v);
	assert_int_equal(of_kind(&v, number, 0), POLICY_HOLD); /* another purpose */
	look(w.system, w.coop, POLICY_BIT(POLICY_USE_TRAIN_GEN), POLICY_PURPOSE_SCIENTIFIC, POLICY_AUDIENCE_PUBLIC, no_items, NULL, &v);
	assert_int_equal(of_kind(&v, number, 0), POLICY_EXCLUDE); /* a wider audience */
	look(w.system, w.coop, POLICY_BIT(POLICY_USE_TRAIN_GEN), POLICY_PURPOSE_SCIENTIFIC, POLICY_AUDIENCE_GATED_AUTO, no_items, NULL, &v);
	assert_int_equal(of_kind(&v, number, 0), POLICY_INCLUDE);
	s.floor = POLICY_BIT(POLICY_USE_MINE);
	kit_source_put(w.system, w.coop, &s);
	assert_int_equal(plainly(w.system, w.coop, g.number), POLICY_EXCLUDE);
}

static void who_is_not_heard_of_in_time_lapses(void **state)
{
	struct world w;
	(void)state;
	world_make(&w, NULL);
	struct guest_source s = kit_source(w.system, w.coop, KIT_HOME);
	struct guest_words words = kit_words(w.system, KIT_HOME, 1, "allow");
	s.fresh_until = clock_now() + 10 * CLOCK_DAY;
	kit_source_put(w.system, w.coop, &s);
	struct guest g = kit_put(w.system, w.coop, &s, &words);
	assert_int_equal(plainly(w.system, w.coop, g.number), POLICY_INCLUDE);
	clock_set(WORLD_START + 10 * CLOCK_DAY);
	assert_int_equal(plainly(w.system, w.coop, g.number), POLICY_HOLD);
	assert_ok(w.system, db_begin_in(w.system, w.coop, DB_WRITE));
	assert_ok(w.system, guest_source_heard(w.system, w.coop, s.agreement, clock_now() + CLOCK_DAY));
	assert_ok(w.system, guest_source_heard(w.system, w.coop, s.agreement, clock_now() - CLOCK_DAY));
	assert_ok(w.system, db_commit(w.system));
	assert_int_equal(plainly(w.system, w.coop, g.number), POLICY_INCLUDE);
	s.fresh_until = INSTANT_NONE; /* as it was */
	s.state = GUEST_SOURCE_SUSPENDED;
	kit_source_put(w.system, w.coop, &s);
	assert_int_equal(plainly(w.system, w.coop, g.number), POLICY_HOLD);
	s.state = GUEST_SOURCE_IN_EFFECT;
	kit_source_put(w.system, w.coop, &s);
	assert_int_equal(plainly(w.system, w.coop, g.number), POLICY_INCLUDE);
	s.state = GUEST_SOURCE_ENDED;
	kit_source_put(w.system, w.coop, &s);
	assert_int_equal(plainly(w.system, w.coop, g.number), POLICY_HOLD);
}

static void a_line_that_loosens_cannot_be_read(void **state)
{
	static const char *const bad[] = {
		"\"said\":[{\"audience\":null,\"declared_at\":null,\"duties\":[],\"effect\":\"allow\",\"external\":true,\"item\":null,\"kind\":null,\"purpose\":null,\"uses\":[\"eval\"],\"valid_from\":null,\"valid_to\":null,\"verbatim\":null}],\"spoken_for\":[]",
		"\"said\":[{\"audience\":null,\"declared_at\":null,\"duties\":[],\"effect\":\"allow\",\"item\":\"dc:bbbbbbbbbbbbbbb2:6f0f1f9c-6c1f-4f3e-9a39-0c5d0e3b4a11\",\"kind\":null,\"purpose\":null,\"uses\":[\"eval\"],\"valid_from\":null,\"valid_to\":null,\"verbatim\":null}],\"spoken_for\":[]",
		"\"said\":[{\"audience\":null,\"declared_at\":null,\"duties\":[],\"effect\":\"allow\",\"item\":null,\"kind\":null,\"purpose\":null,\"uses\":[\"everything\"],\"valid_from\":null,\"valid_to\":null,\"verbatim\":null}],\"spoken_for\":[]",
		"\"said\":[{\"audience\":null,\"declared_at\":null,\"duties\":[],\"effect\":\"none\",\"item\":null,\"kind\":null,\"purpose\":null,\"uses\":[\"eval\"],\"valid_from\":null,\"valid_to\":null,\"verbatim\":null}],\"spoken_for\":[]",
		"\"said\":[],\"spoken_for\":[{\"duties\":[],\"effect\":\"allow_if\",\"kind\":null,\"purpose\":null,\"use\":\"eval\"}]",
		"\"said\":[],\"spoken_for\":[{\"duties\":[],\"effect\":\"allow\",\"kind\":null,\"purpose\":null,\"use\":\"eval\",\"since\":null}]",
		"\"said\":[],\"spoken_for\":[],\"more\":1",
	};
	struct call *c = fixture_call();
	(void)state;
	for (size_t i = 0; i < CH_LEN(bad); i++) {
		const struct json *json;
		struct guest_words out;
		struct str line = str_fmt(c->arena, "{\"consent\":{\"expires\":null,\"given\":null,\"purposes\":[],\"state\":\"given\"},\"contributor\":\"00112233445566778899aabbccddeeff\",\"home\":\"" KIT_HOME
			"\",\"name\":null,\"rev\":3,\"sig\":\"\",\"standing\":\"active\",%s}", bad[i]);
		assert_ok(c, json_parse(c->arena, line, &json, &c->error));
		assert_int_equal(guest_words_read(c->arena, line, json, &out, &c->error), ERR_INVALID);
		error_clear(&c->error);
	}
}

/* ---- No loosening ---- */

static uint64_t seed;

static uint32_t draw(uint32_t below)
{
	seed = seed * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
	return (uint32_t)(seed >> 33) % below;
}

static uint16_t draw_uses(void)
{
	return (uint16_t)(1 + draw(POLICY_USES_ALL));
}

static struct statement draw_statement(struct uuid item)
{
	static const char *const effects[] = { "allow", "allow", "allow_if", "deny", "none" };
	static const char *const purposes[] = { "research", "scientific", "commercial_research", "education" };
	struct str effect = str_of(effects[draw(5)]);
	struct statement s = { .uses = draw_uses(), .effect = effect, .duties = str_is(effect, "allow_if") ? (uint16_t)(1 + draw(7)) : 0, .valid_from = INSTANT_NONE, .valid_to = INSTANT_NONE };
	s.item = item;
	s.layer = uuid_is_nil(item) ? 2 : 1;
	if (uuid_is_nil(item) && draw(3) == 0)
		s.kind = str_of(policy_kind_name(draw(2) ? POLICY_KIND_EXAMPLE : POLICY_KIND_CHAT));
	if (draw(3) == 0)
		s.purpose = str_of(purposes[draw(4)]);
	if (draw(4) == 0)
		s.audience = str_of(policy_audience_name(1 + draw(4)));
	if (draw(6) == 0)
		s.valid_to = clock_now() + (1 + draw(20)) * CLOCK_HOUR;
	return s;
}

static void act_at_random(struct world *w, const struct uuid *items)
{
	struct statement *out, s;
	struct delegation d;
	struct delegation_warning warning;
	int who = (int)draw(WORLD_MEMBERS);
	struct call *c = by(w, who);
	clock_set(clock_now() + (1 + draw(120)) * CLOCK_MINUTE);
	switch (draw(6)) {
	case 0: {
		struct str purposes[] = { STR("research"), STR("education") };
		(void)!consent_give(c, w->coop, purposes, 1 + draw(2), draw(2));
		break;
	}
	case 1: {
		struct delegation_draft in = { .question = POLICY_QUESTION_CONSENT, .scope = draw(2) ? POLICY_SCOPE_COOP : POLICY_SCOPE_TOPIC, .delegate_kind = DELEGATE_MEMBER,
			.delegate = w->id[draw(WORLD_MEMBERS)], .chosen_end = INSTANT_NONE };
		in.topics = in.scope == POLICY_SCOPE_TOPIC ? draw_uses() : 0;
		if (delegation_make(c, w->coop, &in, &d, &warning) == ERR_OK)
			for (int i = 0; i < WORLD_MEMBERS; i++)
				if (uuid_eq(w->id[i], in.delegate))
					(void)!delegation_accept(by(w, i), w->coop, d.id, &d);
		break;
	}
	case 2:
		s = draw_statement((struct uuid){ { 0 } });
		s.layer = POLICY_LAYER_DELEGATE;
		(void)!statement_make_as_delegate(c, w->coop, &s, 1, &out);
		break;
	case 3:
		s = draw_statement(items[who]);
		(void)!statement_make(c, w->coop, &s, 1, &out);
		break;
	default:
		s = draw_statement((struct uuid){ { 0 } });
		(void)!statement_make(c, w->coop, &s, 1, &out);
	}
	db_rollback(c);
	error_clear(&c->error);
}

static bool told_of_all(void *arg, int64_t item_no, struct uuid item)
{
	(void)arg;
	(void)item_no;
	(void)item;
	return true;
}

static struct uuid host_of(struct world *w)
{
	struct coop coop;
	struct call *c = by(w, 7);
	const struct json *draft;
	/* A host whose own charter says yes to everything by default. */
	struct str text = STR("{\"name\":\"Host\",\"scope\":{\"domain\":\"testing\",\"region\":\"CH\",\"language\":[\"en\"]},\"sharing\":\"share_by_default\","
		"\"release\":{\"uses\":[\"train.gen\",\"eval\"],\"purposes\":[\"research\"]},\"membership\":{\"admission\":\"open\"}}");
	assert_ok(c, json_parse(c->arena, text, &draft, &c->error));
	assert_ok(c, coop_found(c, STR("host"), draft, &coop));
	return coop.id;
}

/* What the home says now of everybody, taken in by the host as it would be from a bundle. */
static void carry_over(struct world *w, struct uuid host, const struct guest_source *s, int64_t rev, struct guest *guests)
{
	struct call *c = w->system;
	struct guest_words *words, through[WORLD_MEMBERS];
	size_t n;
	struct guest_scope scope = { .uses = s->uses, .purposes = s->purposes, .audience = s->audience, .told = told_of_all };
	assert_ok(c, db_begin_in(c, w->coop, DB_SERIAL));
	assert_ok(c, guest_words_of_members(c, w->coop, &scope, &words, &n));
	assert_ok(c, db_commit(c));
	assert_int_equal(n, WORLD_MEMBERS);
	for (size_t i = 0; i < n; i++) {
		words[i].home = s->home;
		words[i].contributor[0] = (uint8_t)(i + 1);
		words[i].rev = rev;
		words[i].as_of = clock_now();
		through[i] = kit_through_line(c, &words[i]);
		assert_int_equal(through[i].n_said, words[i].n_said);
	}
	assert_ok(c, db_begin_in(c, host, DB_WRITE));
	assert_ok(c, guest_put(c, host, s->agreement, through, n, guests));
	assert_ok(c, db_commit(c));
}

/* The same items at the host, as rows of the guests'. */
static void items_over(struct world *w, struct uuid host, const struct uuid *items, const struct guest *guests)
{
	for (size_t i = 0; i < WORLD_MEMBERS; i++) {
		struct str sql = str_fmt(w->system->arena,
			"INSERT INTO contribution (coop_id, id, item_no, member_id, member_no, shard, kind, licence, lang, content_sha256, bytes, submitted_at, word, more, leaf, salt) "
			"SELECT '%.*s', id, %zu, '%.*s', %d, shard, kind, licence, lang, content_sha256, bytes, submitted_at, word, 1 << 24, leaf, salt FROM contribution WHERE id = '%.*s'",
			STR_ARG(uuid_format(w->system->arena, host)), i, STR_ARG(uuid_format(w->system->arena, guests[i].id)), guests[i].number, STR_ARG(uuid_format(w->system->arena, items[i])));
		fixture_sql(sql.p);
	}
}

static bool is_in(enum policy_outcome o)
{
	return o == POLICY_INCLUDE || o == POLICY_CONDITIONAL;
}

/* A purpose that the agreement does not cover holds everything, and nothing more can be said of it. */
static void never_looser(bool covered, enum policy_outcome home, enum policy_outcome here, const char *what)
{
	if (covered ? here < home : is_in(here))
		fail_msg("looser %s: %s at home, %s here", what, policy_outcome_name(home), policy_outcome_name(here));
}

static void compare(struct world *w, struct uuid host, const struct guest_source *s, const struct uuid *items, const struct guest *guests, int *included)
{
	static const unsigned purposes[] = { POLICY_PURPOSE_RESEARCH, POLICY_PURPOSE_SCIENTIFIC, POLICY_PURPOSE_COMMERCIAL_RESEARCH, POLICY_PURPOSE_EDUCATION };
	struct view home, there;
	uint32_t own[WORLD_MEMBERS], theirs[WORLD_MEMBERS];
	uint16_t uses = draw(2) ? (uint16_t)POLICY_BIT(draw(POLICY_USE_COUNT)) : draw_uses();
	unsigned purpose = purposes[draw(4)], audience = 1 + draw(4);
	bool covered = s->purposes & policy_purpose_above(purpose);
	for (uint32_t i = 0; i < WORLD_MEMBERS; i++) {
		own[i] = i;
		theirs[i] = (uint32_t)guests[i].number;
	}
	look(w->system, w->coop, uses, purpose, audience, (struct places){ items, WORLD_MEMBERS }, own, &home);
	look(w->system, host, uses, purpose, audience, (struct places){ items, WORLD_MEMBERS }, theirs, &there);
	for (uint32_t i = 0; i < WORLD_MEMBERS; i++) {
		const char *about = str_fmt(w->system->arena, "member %u, uses %x, purpose %u, audience %u", i, uses, purpose, audience).p;
		for (unsigned kind = 0; kind < POLICY_KIND_COUNT; kind++)
			never_looser(covered, of_kind(&home, i, kind), of_kind(&there, theirs[i], kind), str_fmt(w->system->arena, "%s, kind %u", about, kind).p);
		enum policy_outcome here = of_item(&there, i, theirs[i]);
		never_looser(covered, of_item(&home, i, i), here, str_fmt(w->system->arena, "%s, the item", about).p);
		*included += is_in(here);
	}
}

static void a_guest_is_never_let_in_more_easily_than_at_home(void **state)
{
	(void)state;
	random_bytes(&seed, sizeof(seed));
	if (getenv("SEED"))
		seed = strtoull(getenv("SEED"), NULL, 10);
	print_message("SEED=%llu\n", (unsigned long long)seed);
	int included = 0;
	struct world w;
	struct uuid items[WORLD_MEMBERS];
	struct guest guests[WORLD_MEMBERS];
	world_make(&w, "{\"delegation\":{\"scopes\":[\"coop\",\"topic\",\"target\"],\"depth\":3,\"cap\":3,\"profile\":\"ch\"},\"sharing\":\"share_by_default\","
		"\"release\":{\"uses\":[\"train.gen\",\"eval\"],\"uses_conditional\":[\"train.gen\",\"eval\"],\"purposes\":[\"research\",\"education\"],\"audience\":\"gated_manual\",\"k_contributors\":1}}");
	struct uuid host = host_of(&w);
	for (int i = 0; i < WORLD_MEMBERS; i++) {
		world_say(&w, i, NULL);
		items[i] = world_contribute(&w, i, str_fmt(w.system->arena, "Item %d", i).p);
	}
	for (int round = 0; round < 12; round++) {
		struct guest_source s = kit_source(w.system, host, KIT_HOME);
		s.uses = draw(3) ? POLICY_USES_ALL : draw_uses();
		s.purposes = draw(3) == 0 ? POLICY_BIT(POLICY_PURPOSE_ANY) : POLICY_BIT(POLICY_PURPOSE_RESEARCH) | POLICY_BIT(POLICY_PURPOSE_EDUCATION);
		s.floor = draw(4) ? 0 : (uint16_t)POLICY_BIT(draw(POLICY_USE_COUNT));
		s.audience = (uint8_t)draw(5);
		kit_source_put(w.system, host, &s);
		fixture_sql(str_fmt(w.system->arena, "UPDATE guest SET agreement_id = '%.*s'", STR_ARG(uuid_format(w.system->arena, s.agreement))).p);
		for (int i = 0; i < 25; i++)
			act_at_random(&w, items);
		struct arena_mark mark = arena_mark(w.system->arena);
		carry_over(&w, host, &s, round + 1, guests);
		arena_rewind(w.system->arena, mark);
		if (round == 0)
			items_over(&w, host, items, guests);
		for (int i = 0; i < 12; i++) {
			compare(&w, host, &s, items, guests, &included);
			arena_rewind(w.system->arena, mark);
		}
	}
	print_message("%d items of guests were let in\n", included);
	assert_true(included > 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		fixture_test(a_guest_has_the_next_number_and_is_no_member),
		fixture_test(silence_is_held),
		fixture_test(what_home_says_for_the_silent_counts),
		fixture_test(only_a_later_word_replaces_one),
		fixture_test(the_agreement_is_the_most_that_counts),
		fixture_test(who_is_not_heard_of_in_time_lapses),
		fixture_test(a_line_that_loosens_cannot_be_read),
		fixture_test(a_guest_is_never_let_in_more_easily_than_at_home),
	};
	return fixture_run(tests, CH_LEN(tests));
}
