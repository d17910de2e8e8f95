#include "server/coop/guest_internal.h"

#include "commonhold/crypto.h"
#include "commonhold/json.h"

/* Statement lines: what a home says of one contributor, written and read. Reading is strict, and never makes more of a word than it says. */

/* ---- Writing ---- */

static void when_write(struct json_writer *w, struct arena *a, const char *key, instant t)
{
	jw_kstr(w, key, t == INSTANT_NEVER ? STR_NONE : clock_format_or_none(a, t));
}

static void purpose_write(struct json_writer *w, unsigned purpose)
{
	jw_kstr(w, "purpose", purpose == POLICY_PURPOSE_ANY ? STR_NONE : str_of(policy_purpose_name(purpose)));
}

static void kind_write(struct json_writer *w, const struct guest_word *word)
{
	jw_kstr(w, "kind", word->has_kind ? str_of(policy_kind_name(word->kind)) : STR_NONE);
}

void guest_consent_write(struct json_writer *w, struct arena *a, const struct guest_words *words)
{
	jw_object(w);
	when_write(w, a, "expires", words->consent_expires);
	when_write(w, a, "given", words->consent_given);
	jw_knames(w, "purposes", words->purposes, POLICY_PURPOSE_COUNT, policy_purpose_name);
	jw_kz(w, "state", policy_consent_name(words->consent));
	jw_end_object(w);
}

static void said_write(struct json_writer *w, struct arena *a, struct str home, const struct guest_word *word)
{
	jw_object(w);
	jw_kstr(w, "audience", word->audience == POLICY_AUDIENCE_ANY ? STR_NONE : str_of(policy_audience_name(word->audience)));
	when_write(w, a, "declared_at", word->declared_at);
	jw_knames(w, "duties", word->duties, POLICY_DUTY_COUNT, policy_duty_name);
	jw_kz(w, "effect", policy_effect_name(word->effect));
	if (word->external)
		jw_kbool(w, "external", true);
	jw_kstr(w, "item", uuid_is_nil(word->item) ? STR_NONE : rid_format(a, home, word->item));
	kind_write(w, word);
	purpose_write(w, word->purpose);
	jw_knames(w, "uses", word->uses, POLICY_USE_COUNT, policy_use_name);
	when_write(w, a, "valid_from", word->valid_from);
	when_write(w, a, "valid_to", word->valid_to);
	jw_kstr(w, "verbatim", word->verbatim);
	jw_end_object(w);
}

void guest_said_write(struct json_writer *w, struct arena *a, const struct guest_words *words)
{
	jw_array(w);
	for (size_t i = 0; i < words->n_said; i++)
		said_write(w, a, words->home, &words->said[i]);
	jw_end_array(w);
}

static void spoken_one(struct json_writer *w, struct arena *a, const struct guest_word *word, unsigned use)
{
	jw_object(w);
	jw_knames(w, "duties", word->duties, POLICY_DUTY_COUNT, policy_duty_name);
	jw_kz(w, "effect", policy_effect_name(word->effect));
	kind_write(w, word);
	purpose_write(w, word->purpose);
	if (a)
		when_write(w, a, "since", word->declared_at);
	jw_kz(w, "use", policy_use_name(use));
	jw_end_object(w);
}

static void spoken_all(struct json_writer *w, struct arena *a, const struct guest_word *words, size_t n)
{
	jw_array(w);
	for (size_t i = 0; i < n; i++)
		for (unsigned use = 0; use < POLICY_USE_COUNT; use++)
			if (words[i].uses >> use & 1)
				spoken_one(w, a, &words[i], use);
	jw_end_array(w);
}

void guest_spoken_write(struct json_writer *w, const struct guest_words *words)
{
	spoken_all(w, NULL, words->spoken_for, words->n_spoken);
}

struct str spoken_write(struct arena *a, const struct guest_word *words, size_t n)
{
	struct buf b;
	struct json_writer w;
	buf_init(&b, LIMIT_CHARTER_FILLED * 4);
	jw_init(&w, &b);
	spoken_all(&w, a, words, n);
	return buf_take(a, &b);
}

/* ---- Reading ---- */

/* Where reading is, and what is wrong. */
struct reading { struct arena *a; struct error *e; bool wrong; };

static void wrong(struct reading *r, const struct json *v, const char *what)
{
	error_fault(r->e, r->a, v ? json_pointer(r->a, v) : STR(""), "%s", what);
	r->wrong = true;
}

/* The member of an object; a fault where it is missing. */
static const struct json *need(struct reading *r, const struct json *o, const char *key)
{
	const struct json *v = json_get(o, key);
	if (!v)
		wrong(r, o, str_fmt(r->a, "\"%s\" is missing.", key).p);
	return v;
}

/* No member but these, by spaces. */
static void only(struct reading *r, const struct json *o, const char *const *keys, size_t n)
{
	json_each(v, o)
		if (str_which(v->key, keys, n) < 0)
			wrong(r, v, "This member is not known here.");
}

static unsigned name_read(struct reading *r, const struct json *v, int (*find)(const char *name, size_t len))
{
	struct str text = json_text(v);
	int no = text.p ? find(text.p, text.n) : -1;
	if (no < 0)
		wrong(r, v, "This word is not known.");
	return no < 0 ? 0 : (unsigned)no;
}

/* A word, or `or_else` for null. */
static unsigned name_or(struct reading *r, const struct json *v, int (*find)(const char *name, size_t len), unsigned or_else)
{
	return v && v->type == JSON_NULL ? or_else : name_read(r, v, find);
}

static uint32_t names_read(struct reading *r, const struct json *v, int (*find)(const char *name, size_t len))
{
	uint32_t bits = 0;
	if (!json_is(v, JSON_ARRAY))
		wrong(r, v, "This must be a list of words.");
	else
		json_each(one, v)
			bits |= POLICY_BIT(name_read(r, one, find));
	return bits;
}

static instant when_read(struct reading *r, const struct json *v, instant or_else)
{
	instant t = or_else;
	if (v && v->type == JSON_NULL)
		return or_else;
	struct str text = json_text(v);
	if (!text.p || !clock_parse(text, &t))
		wrong(r, v, "This must be an instant, or null.");
	return t;
}

/* A rid of this home's: nobody speaks about another's items. */
static struct uuid item_read(struct reading *r, const struct json *v, struct str home)
{
	struct uuid item = { { 0 } };
	struct str coop = STR_NONE;
	if (v && v->type == JSON_NULL)
		return item;
	if (!json_text(v).p || !rid_parse(json_text(v), &coop, &item) || !str_eq(coop, home) || uuid_is_nil(item))
		wrong(r, v, "This must be an item of the same home, or null.");
	return item;
}

static void duties_fit(struct reading *r, const struct json *v, const struct guest_word *word)
{
	if (word->effect != POLICY_EFFECT_ALLOW && word->effect != POLICY_EFFECT_ALLOW_IF && word->effect != POLICY_EFFECT_DENY)
		wrong(r, v, "A word allows, allows on conditions, or denies.");
	if ((word->effect == POLICY_EFFECT_ALLOW_IF) != (word->duties != 0))
		wrong(r, v, "Conditional permissions have duties, and nothing else has.");
}

static void said_read(struct reading *r, const struct json *v, struct str home, struct guest_word *out)
{
	static const char *const keys[] = { "audience", "declared_at", "duties", "effect", "external", "item", "kind", "purpose", "uses", "valid_from", "valid_to", "verbatim" };
	const struct json *kind = need(r, v, "kind"), *verbatim = need(r, v, "verbatim"), *external = json_get(v, "external");
	only(r, v, keys, CH_LEN(keys));
	*out = (struct guest_word){
		.effect = (uint8_t)name_read(r, need(r, v, "effect"), policy_effect_find), .has_kind = !json_is(kind, JSON_NULL), .kind = (uint8_t)name_or(r, kind, policy_kind_find, 0),
		.purpose = (uint8_t)name_or(r, need(r, v, "purpose"), policy_purpose_find, POLICY_PURPOSE_ANY), .audience = (uint8_t)name_or(r, need(r, v, "audience"), policy_audience_find, POLICY_AUDIENCE_ANY),
		.external = json_bool(external, false), .uses = (uint16_t)names_read(r, need(r, v, "uses"), policy_use_find), .duties = (uint16_t)names_read(r, need(r, v, "duties"), policy_duty_find),
		.item = item_read(r, need(r, v, "item"), home), .declared_at = when_read(r, need(r, v, "declared_at"), INSTANT_NONE), .valid_from = when_read(r, need(r, v, "valid_from"), INSTANT_NONE),
		.valid_to = when_read(r, need(r, v, "valid_to"), INSTANT_NEVER), .verbatim = json_text(verbatim),
	};
	duties_fit(r, v, out);
	if (out->uses == 0)
		wrong(r, v, "A word is about a use.");
	if (external && !json_is(external, JSON_TRUE))
		wrong(r, external, "This is true or absent.");
	if (out->external && out->effect != POLICY_EFFECT_DENY)
		wrong(r, v, "A permission from outside is none.");
	if (!uuid_is_nil(out->item) && out->has_kind)
		wrong(r, v, "A word is about an item or a kind.");
	if (out->valid_from >= out->valid_to)
		wrong(r, v, "It ends before it begins.");
	if (verbatim && verbatim->type != JSON_NULL && verbatim->type != JSON_STRING)
		wrong(r, verbatim, "This must be text or null.");
	if (out->verbatim.n > LIMIT_TEXT_NOTE)
		wrong(r, verbatim, "This is too long.");
}

static void spoken_one_read(struct reading *r, const struct json *v, bool since, struct guest_word *out)
{
	static const char *const keys[] = { "duties", "effect", "kind", "purpose", "use", "since" };
	const struct json *kind = need(r, v, "kind");
	only(r, v, keys, CH_LEN(keys) - !since);
	*out = (struct guest_word){
		.effect = (uint8_t)name_read(r, need(r, v, "effect"), policy_effect_find), .has_kind = !json_is(kind, JSON_NULL), .kind = (uint8_t)name_or(r, kind, policy_kind_find, 0),
		.purpose = (uint8_t)name_or(r, need(r, v, "purpose"), policy_purpose_find, POLICY_PURPOSE_ANY), .uses = (uint16_t)POLICY_BIT(name_read(r, need(r, v, "use"), policy_use_find)),
		.duties = (uint16_t)names_read(r, need(r, v, "duties"), policy_duty_find), .declared_at = since ? when_read(r, need(r, v, "since"), INSTANT_NONE) : INSTANT_NONE,
		.valid_from = INSTANT_NONE, .valid_to = INSTANT_NEVER,
	};
	duties_fit(r, v, out);
}

bool spoken_read(struct arena *a, struct str text, struct guest_word **out, size_t *n)
{
	struct error e = { 0 };
	struct reading r = { a, &e, false };
	const struct json *list;
	*n = 0;
	if (json_parse(a, text, &list, &e) != ERR_OK || !json_is(list, JSON_ARRAY))
		return false;
	*out = ARENA_ARRAY(a, list->count + 1, struct guest_word);
	json_each(v, list)
		spoken_one_read(&r, v, true, &(*out)[(*n)++]);

	return !r.wrong;
}

static void consent_read(struct reading *r, const struct json *v, struct guest_words *out)
{
	static const char *const keys[] = { "expires", "given", "purposes", "state" };
	only(r, v, keys, CH_LEN(keys));
	out->consent = (uint8_t)name_read(r, need(r, v, "state"), policy_consent_find);
	out->purposes = names_read(r, need(r, v, "purposes"), policy_purpose_find);
	out->consent_given = when_read(r, need(r, v, "given"), INSTANT_NEVER);
	out->consent_expires = when_read(r, need(r, v, "expires"), INSTANT_NEVER);
}

/* A list of at most `most`; 0 where it is none. */
static size_t list_size(struct reading *r, const struct json *v, size_t most)
{
	if (!json_is(v, JSON_ARRAY) || v->count > most) {
		wrong(r, v, "This must be a list, and not a longer one than a person's words are.");
		return 0;
	}
	return v->count;
}

static void words_read(struct reading *r, const struct json *json, struct guest_words *out)
{
	const struct json *said = need(r, json, "said"), *spoken = need(r, json, "spoken_for");
	size_t n_said = list_size(r, said, GUEST_SAID_MAX), n_spoken = list_size(r, spoken, GUEST_SPOKEN_MAX);
	struct guest_word *words = ARENA_ARRAY(r->a, n_said + n_spoken + 1, struct guest_word);
	out->said = words;
	out->spoken_for = words + n_said;
	for (const struct json *v = n_said ? said->child : NULL; v && !r->wrong; v = v->next)
		said_read(r, v, out->home, &words[out->n_said++]);
	for (const struct json *v = n_spoken ? spoken->child : NULL; v && !r->wrong; v = v->next)
		spoken_one_read(r, v, false, &words[n_said + out->n_spoken++]);
}

enum err guest_words_read(struct arena *a, struct str line, const struct json *json, struct guest_words *out, struct error *e)
{
	static const char *const keys[] = { "consent", "contributor", "home", "name", "rev", "said", "sig", "spoken_for", "standing" };
	struct reading r = { a, e, false };
	*out = (struct guest_words){ .line = line };
	if (!json_is(json, JSON_OBJECT))
		return error_set(e, ERR_INVALID, "A statement line is an object.");
	only(&r, json, keys, CH_LEN(keys));
	const struct json *name = need(&r, json, "name"), *contributor = need(&r, json, "contributor");
	out->home = json_text(need(&r, json, "home"));
	out->rev = json_int(need(&r, json, "rev"), -1);
	out->name = json_text(name);
	out->standing = (uint8_t)name_read(&r, need(&r, json, "standing"), policy_standing_find);
	if (out->home.n != 16)
		wrong(&r, json_get(json, "home"), "This must be a co-op's key name.");
	if (!str_unhex(json_text(contributor), out->contributor, sizeof(out->contributor)))
		wrong(&r, contributor, "This must be 32 hexadecimal digits.");
	if (out->rev < 0)
		wrong(&r, json_get(json, "rev"), "This must be the size of a log.");
	if (name && name->type != JSON_NULL && (name->type != JSON_STRING || name->text.n == 0 || name->text.n > LIMIT_TEXT_NAME))
		wrong(&r, name, "This must be a name, or null.");
	consent_read(&r, need(&r, json, "consent"), out);
	words_read(&r, json, out);
	return r.wrong ? ERR_INVALID : ERR_OK;
}
