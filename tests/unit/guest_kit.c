#include "guest_kit.h"

#include "commonhold/json.h"

void kit_source_put(struct call *c, struct uuid coop, const struct guest_source *source)
{
	assert_ok(c, db_begin_in(c, coop, DB_WRITE));
	assert_ok(c, guest_source_put(c, coop, source));
	assert_ok(c, db_commit(c));
}

struct guest_source kit_source(struct call *c, struct uuid coop, const char *home)
{
	struct guest_source s = {
		.agreement = uuid_new(), .home = str_of(home), .title = STR("Elsewhere"), .uses = POLICY_BIT(POLICY_USE_TRAIN_GEN), .purposes = POLICY_BIT(POLICY_PURPOSE_RESEARCH),
		.audience = POLICY_AUDIENCE_GATED_AUTO, .k = 1, .access = STR("public"), .attribution = STR("pseudonym"), .state = GUEST_SOURCE_IN_EFFECT,
		.fresh_until = clock_now() + 365 * CLOCK_DAY,
	};
	kit_source_put(c, coop, &s);
	return s;
}

struct guest_words kit_words(struct call *c, const char *home, unsigned no, const char *effect)
{
	struct guest_word *said = ARENA_NEW(c->arena, struct guest_word);
	struct guest_words w = {
		.home = str_of(home), .contributor = { (uint8_t)no, (uint8_t)(no >> 8), 1 }, .rev = 1, .as_of = clock_now(), .standing = POLICY_STANDING_ACTIVE, .consent = POLICY_CONSENT_GIVEN,
		.purposes = POLICY_BIT(POLICY_PURPOSE_RESEARCH), .consent_given = clock_now(), .consent_expires = clock_now() + 300 * CLOCK_DAY, .said = said, .line = STR("{}"),
	};
	if (!effect)
		return w;
	*said = (struct guest_word){ .effect = (uint8_t)policy_effect_find(effect, strlen(effect)), .uses = POLICY_BIT(POLICY_USE_TRAIN_GEN), .declared_at = clock_now(),
		.duties = strcmp(effect, "allow_if") == 0 ? POLICY_BIT(POLICY_DUTY_CREDIT) : 0, .valid_from = INSTANT_NONE, .valid_to = INSTANT_NEVER };
	w.n_said = 1;
	return w;
}

struct guest kit_put(struct call *c, struct uuid coop, const struct guest_source *source, const struct guest_words *words)
{
	struct guest out;
	assert_ok(c, db_begin_in(c, coop, DB_WRITE));
	assert_ok(c, guest_put(c, coop, source->agreement, words, 1, &out));
	assert_ok(c, db_commit(c));
	return out;
}

struct guest_words kit_through_line(struct call *c, const struct guest_words *words)
{
	struct buf b;
	struct json_writer w;
	const struct json *json;
	struct guest_words out;
	buf_init(&b, 4 * MIB);
	jw_init(&w, &b);
	jw_object(&w);
	jw_key(&w, "consent");
	guest_consent_write(&w, c->arena, words);
	jw_kstr(&w, "contributor", str_hex(c->arena, words->contributor, 16));
	jw_kstr(&w, "home", words->home);
	jw_kstr(&w, "name", words->name);
	jw_kint(&w, "rev", words->rev);
	jw_key(&w, "said");
	guest_said_write(&w, c->arena, words);
	jw_kz(&w, "sig", "x");
	jw_key(&w, "spoken_for");
	guest_spoken_write(&w, words);
	jw_kz(&w, "standing", policy_standing_name(words->standing));
	jw_end_object(&w);
	struct str line = buf_take(c->arena, &b);
	assert_ok(c, json_parse(c->arena, line, &json, &c->error));
	assert_ok(c, guest_words_read(c->arena, line, json, &out, &c->error));
	out.as_of = words->as_of;
	return out;
}
