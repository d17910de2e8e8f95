#include "server/demo/content.h"
#include "commonhold/pii.h"

#define TEXT_BYTES 4096
#define PICK(r, list) (list)[demo_below((r), CH_LEN(list))]
#define RM (DEMO_LANGUAGES - 1) /* Romansh stands last */

/* A text under construction; what does not fit is cut, which no text of ours comes near. */
struct text { char p[TEXT_BYTES]; size_t n; };

static void add_bytes(struct text *t, const char *p, size_t n)
{
	if (n > sizeof(t->p) - t->n)
		return;
	memcpy(t->p + t->n, p, n);
	t->n += n;
}

static void add(struct text *t, const char *z)
{
	add_bytes(t, z, strlen(z));
}

static void add_number(struct text *t, uint64_t v, int digits)
{
	char s[24];
	int n = snprintf(s, sizeof(s), "%0*llu", digits, (unsigned long long)v);
	add_bytes(t, s, (size_t)n);
}

static struct str view(const struct text *t)
{
	return str_make(t->p, t->n);
}

/* A phrase with its slots filled. */
static void add_phrase(struct text *t, struct demo_random *r, const char *phrase, const char *thing, const char *secret)
{
	for (const char *p = phrase; *p; p++) {
		if (p[0] != '{' || p[2] != '}') {
			add_bytes(t, p, 1);
			continue;
		}
		if (p[1] == 'n')
			add_number(t, demo_between(r, 2, 30), 1);
		else
			add(t, p[1] == 't' ? thing : secret);
		p += 2;
	}
}

/* What a contribution is made from. */
struct maker {
	struct demo_random r;
	const struct demo_phrases *say; /* its language */
	const char *thing;              /* its topic */
	unsigned pii;                   /* planted so far */
	bool give_away;                 /* something is to be planted */
};

static unsigned mod97(const char *digits, size_t n)
{
	unsigned v = 0;
	for (size_t i = 0; i < n; i++)
		v = (v * 10 + (unsigned)(digits[i] - '0')) % 97;
	return v;
}

/* A German account at a bank that does not exist, with right check digits. */
static void add_iban(struct text *t, struct demo_random *r)
{
	char digits[25];
	unsigned account = demo_between(r, 1000000, 999999999);
	snprintf(digits, sizeof(digits), "00000000%010u131400", account);
	char iban[32];
	snprintf(iban, sizeof(iban), "DE%02u 0000 0000 %.4s %.4s %.2s", 98 - mod97(digits, 24), digits + 8, digits + 12, digits + 16);
	add(t, iban);
}

/* A card of a range that is used for testing, with the right check digit. */
static void add_card(struct text *t, struct demo_random *r)
{
	char digits[17];
	snprintf(digits, sizeof(digits), "40000000%07u0", demo_below(r, 10000000));
	unsigned sum = 0;
	for (size_t i = 0; i < 15; i++) {
		unsigned v = (unsigned)(digits[i] - '0') * (i % 2 ? 1U : 2U);
		sum += v > 9 ? v - 9 : v;
	}
	digits[15] = (char)('0' + (10 - sum % 10) % 10);
	for (size_t i = 0; i < 16; i += 4) {
		add_bytes(t, digits + i, 4);
		if (i < 12)
			add(t, " ");
	}
}

/* Numbers that regulators keep free for stories (Ofcom, Arcep, Bundesnetzagentur). */
static void add_phone(struct text *t, struct demo_random *r)
{
	switch (demo_below(r, 3)) {
	case 0:
		add(t, "+44 20 7946 0");
		add_number(t, demo_below(r, 1000), 3);
		break;
	case 1:
		add(t, "+33 1 99 00 ");
		add_number(t, demo_below(r, 100), 2);
		add(t, " ");
		add_number(t, demo_below(r, 100), 2);
		break;
	default:
		add(t, "+49 30 23125 ");
		add_number(t, demo_below(r, 1000), 3);
	}
}

static void add_token(struct text *t, struct demo_random *r)
{
	static const char alphabet[] = "abcdefghijkmnpqrstuvwxyzABCDEFGHJKLMNPQRSTUVWXYZ";
	add(t, "ghp_");
	for (int i = 0; i < 12; i++) {
		add_number(t, demo_below(r, 10), 1);
		add_bytes(t, &alphabet[demo_below(r, sizeof(alphabet) - 1)], 1);
		add_bytes(t, &alphabet[demo_below(r, sizeof(alphabet) - 1)], 1);
	}
}

/* Gives something away, once, where the plan says so. */
static void add_secret(struct maker *m, struct text *t)
{
	static const enum pii_kind kinds[] = { PII_EMAIL, PII_EMAIL, PII_EMAIL, PII_PHONE, PII_PHONE, PII_PHONE, PII_IBAN, PII_CARD, PII_SECRET };
	struct text secret = { .n = 0 };
	enum pii_kind kind = PICK(&m->r, kinds);
	if (!m->give_away)
		return;
	m->give_away = false;
	m->pii |= 1U << kind;
	switch (kind) {
	case PII_PHONE:
		add_phone(&secret, &m->r);
		break;
	case PII_IBAN:
		add_iban(&secret, &m->r);
		break;
	case PII_CARD:
		add_card(&secret, &m->r);
		break;
	case PII_SECRET:
		add_token(&secret, &m->r);
		break;
	default:
		add(&secret, PICK(&m->r, demo_first_names).plain);
		add(&secret, ".");
		add(&secret, PICK(&m->r, demo_last_names).plain);
		add(&secret, "@example.net");
	}
	secret.p[secret.n] = 0;
	add(t, " ");
	add_phrase(t, &m->r, m->say->reach, "", secret.p);
}

static struct text question(struct maker *m)
{
	struct text t = { .n = 0 };
	add_phrase(&t, &m->r, PICK(&m->r, m->say->questions), m->thing, "");
	add_secret(m, &t);
	return t;
}

/* An answer of so many sentences, none twice, in paragraphs or as a list. */
static struct text answer(struct maker *m, unsigned sentences)
{
	struct text t = { .n = 0 };
	unsigned char order[CH_LEN(m->say->bodies)];
	bool list = demo_chance(&m->r, 35);
	for (unsigned i = 0; i < CH_LEN(order); i++)
		order[i] = (unsigned char)i;
	add(&t, PICK(&m->r, m->say->openers));
	for (unsigned i = 0; i < sentences && i < CH_LEN(order); i++) {
		unsigned k = i + demo_below(&m->r, (unsigned)CH_LEN(order) - i);
		unsigned char chosen = order[k];
		order[k] = order[i];
		if (list) {
			add(&t, "\n");
			add_number(&t, i + 1, 1);
			add(&t, ". ");
		} else {
			add(&t, i % 4 == 3 ? "\n\n" : " ");
		}
		add_phrase(&t, &m->r, m->say->bodies[chosen], m->thing, "");
	}
	add(&t, list ? "\n" : " ");
	add(&t, PICK(&m->r, m->say->closers));
	return t;
}

static struct text followup(struct maker *m)
{
	struct text t = { .n = 0 };
	add_phrase(&t, &m->r, PICK(&m->r, m->say->followups), m->thing, "");
	add_secret(m, &t);
	return t;
}

static void message(struct json_writer *w, const char *role, const struct text *t)
{
	jw_object(w);
	jw_kz(w, "role", role);
	jw_kstr(w, "content", view(t));
	jw_end_object(w);
}

static void annotation(struct maker *m, struct json_writer *w)
{
	static const char *const verdicts[] = { "good", "good", "good", "mixed", "bad" };
	jw_key(w, "annotation");
	jw_object(w);
	unsigned v = demo_below(&m->r, CH_LEN(verdicts));
	jw_kz(w, "verdict", verdicts[v]);
	jw_kint(w, "rating", v < 3 ? demo_between(&m->r, 4, 5) : v == 3 ? 3 : demo_between(&m->r, 1, 2));
	if (demo_chance(&m->r, 50))
		jw_kz(w, "comment", PICK(&m->r, m->say->comments));
	if (v >= 3 && demo_chance(&m->r, 50)) {
		struct text better = answer(m, demo_between(&m->r, 1, 3));
		jw_kstr(w, "correction", view(&better));
	}
	jw_end_object(w);
}

static void write_chat(struct maker *m, struct json_writer *w)
{
	unsigned rounds = demo_between(&m->r, 1, 3);
	if (demo_chance(&m->r, 40))
		jw_kz(w, "title", m->thing);
	jw_key(w, "messages");
	jw_array(w);
	for (unsigned i = 0; i < rounds; i++) {
		struct text said = i ? followup(m) : question(m);
		message(w, "user", &said);
		said = answer(m, demo_between(&m->r, 3, 8));
		message(w, "assistant", &said);
	}
	jw_end_array(w);
	if (demo_chance(&m->r, 55))
		annotation(m, w);
}

static void write_preference(struct maker *m, struct json_writer *w)
{
	struct text said = question(m);
	jw_key(w, "prompt");
	jw_array(w);
	message(w, "user", &said);
	jw_end_array(w);
	jw_key(w, "chosen");
	jw_array(w);
	said = answer(m, demo_between(&m->r, 4, 8));
	message(w, "assistant", &said);
	jw_end_array(w);
	jw_key(w, "rejected");
	jw_array(w);
	struct text other = { .n = 0 };
	if (demo_chance(&m->r, 40))
		add(&other, PICK(&m->r, m->say->worse));
	else
		other = answer(m, demo_between(&m->r, 1, 3));
	message(w, "assistant", &other);
	jw_end_array(w);
	jw_kint(w, "strength", demo_between(&m->r, 1, 5));
	if (demo_chance(&m->r, 50))
		jw_kz(w, "reason", PICK(&m->r, m->say->comments));
}

/* Phrases from one language into another: what a language co-op is for. */
static void write_translation(struct maker *m, struct json_writer *w)
{
	const struct demo_phrases *from = m->say, *to = &demo_phrases[RM];
	struct text in = { .n = 0 }, out = { .n = 0 };
	if (from == to)
		to = &demo_phrases[demo_below(&m->r, RM)];
	add(&in, from->lang);
	add(&in, " → ");
	add(&in, to->lang);
	add(&in, ":");
	for (unsigned i = 0, n = demo_between(&m->r, 4, 9); i < n; i++) {
		unsigned which = demo_below(&m->r, CH_LEN(from->phrase));
		add(&in, " ");
		add(&in, from->phrase[which]);
		add(&out, i ? " " : "");
		add(&out, to->phrase[which]);
	}
	add_secret(m, &in);
	jw_kstr(w, "input", view(&in));
	jw_kstr(w, "output", view(&out));
	jw_key(w, "tags");
	jw_array(w);
	jw_z(w, "translation");
	jw_end_array(w);
}

static void write_example(struct maker *m, struct json_writer *w)
{
	struct text said = question(m);
	jw_kz(w, "title", m->thing);
	jw_kstr(w, "input", view(&said));
	said = answer(m, demo_between(&m->r, 4, 9));
	jw_kstr(w, "output", view(&said));
	if (demo_chance(&m->r, 40)) {
		said = followup(m);
		jw_kstr(w, "follow_up", view(&said));
	}
}

static void write_target(struct maker *m, struct json_writer *w)
{
	struct text id = { .n = 0 };
	char hex[20];
	snprintf(hex, sizeof(hex), "%016llx", (unsigned long long)demo_next(&m->r));
	add(&id, "answer ");
	add(&id, hex);
	jw_key(w, "target");
	jw_object(w);
	jw_kz(w, "system", "open-webui.example.org");
	jw_kstr(w, "id", view(&id));
	jw_end_object(w);
}

static void write_feedback(struct maker *m, struct json_writer *w)
{
	static const char *const scales[] = { "helpfulness", "correctness", "tone" }, *const values[] = { "0", "0.25", "0.5", "0.75", "1" };
	write_target(m, w);
	jw_key(w, "ratings");
	jw_array(w);
	for (size_t i = 0; i < CH_LEN(scales); i++) {
		jw_object(w);
		jw_kz(w, "name", scales[i]);
		jw_key(w, "value");
		jw_raw(w, str_of(PICK(&m->r, values)));
		jw_end_object(w);
	}
	jw_end_array(w);
	struct text said = question(m);
	jw_kstr(w, "input", view(&said));
	said = answer(m, demo_between(&m->r, 2, 5));
	jw_kstr(w, "output", view(&said));
	jw_kz(w, "comment", PICK(&m->r, m->say->comments));
	if (demo_chance(&m->r, 35)) {
		said = answer(m, demo_between(&m->r, 2, 4));
		jw_kstr(w, "correction", view(&said));
	}
}

static void write_signal(struct maker *m, struct json_writer *w)
{
	static const char *const signals[] = { "thumbs_up", "thumbs_up", "thumbs_up", "thumbs_down", "star", "flag", "copied", "regenerated" };
	const char *signal = PICK(&m->r, signals);
	write_target(m, w);
	jw_kz(w, "signal", signal);
	if (strcmp(signal, "star") == 0)
		jw_kint(w, "stars", demo_between(&m->r, 1, 5));
	if (strcmp(signal, "flag") == 0)
		jw_kz(w, "reason", demo_chance(&m->r, 50) ? "wrong" : "unsafe");
}

static void write_part(struct maker *m, struct json_writer *w, const char *type, unsigned size, const char *role, struct str text)
{
	char hash[65];
	for (size_t i = 0; i < 64; i += 16)
		snprintf(hash + i, sizeof(hash) - i, "%016llx", (unsigned long long)demo_next(&m->r));
	jw_object(w);
	jw_kz(w, "sha256", hash);
	jw_kz(w, "media_type", type);
	jw_kint(w, "size", size);
	jw_kz(w, "role", role);
	if (text.n)
		jw_kstr(w, "text", text);
	jw_end_object(w);
}

static void write_bundle(struct maker *m, struct json_writer *w)
{
	struct text said = question(m);
	jw_kz(w, "title", m->thing);
	jw_key(w, "parts");
	jw_array(w);
	write_part(m, w, "image/jpeg", demo_between(&m->r, 60000, 900000), "input", str_of(m->thing));
	write_part(m, w, "audio/ogg", demo_between(&m->r, 20000, 400000), "input", view(&said));
	said = answer(m, demo_between(&m->r, 3, 6));
	write_part(m, w, "text/plain", (unsigned)said.n, "output", view(&said));
	jw_end_array(w);
}

static void write_record(struct maker *m, struct json_writer *w, unsigned coop)
{
	unsigned which = demo_below(&m->r, CH_LEN(m->say->phrase));
	jw_kstr(w, "schema", demo_coop(coop)->record_name);
	jw_key(w, "data");
	jw_object(w);
	if (coop == 0) {
		jw_kz(w, "phrase", demo_phrases[RM].phrase[which]);
		jw_kz(w, "meaning", m->say->phrase[which]);
		jw_kz(w, "meaning_lang", m->say->lang);
		jw_kint(w, "heard_in", demo_between(&m->r, 1940, 2025));
		jw_kz(w, "variety", demo_chance(&m->r, 60) ? "sursilvan" : "vallader");
		jw_kint(w, "page", demo_between(&m->r, 1, 9000));
	} else {
		jw_kz(w, "field", m->thing);
		jw_kint(w, "depth_cm", demo_between(&m->r, 5, 60));
		jw_kint(w, "ph_tenths", demo_between(&m->r, 45, 82));
		jw_kint(w, "organic_permille", demo_between(&m->r, 8, 90));
		jw_kint(w, "sample", demo_between(&m->r, 1, 90000));
	}
	jw_end_object(w);
}

/* Languages of the two co-ops, by weight. */
static const uint8_t languages[DEMO_COOPS][10] = { { 7, 7, 7, 7, 1, 1, 4, 2, 0, 0 }, { 0, 0, 0, 3, 3, 5, 6, 1, 2, 4 } };
static const enum policy_kind kinds[20] = { POLICY_KIND_CHAT, POLICY_KIND_CHAT, POLICY_KIND_CHAT, POLICY_KIND_CHAT, POLICY_KIND_CHAT, POLICY_KIND_CHAT, POLICY_KIND_CHAT,
	POLICY_KIND_CHAT, POLICY_KIND_EXAMPLE, POLICY_KIND_EXAMPLE, POLICY_KIND_EXAMPLE, POLICY_KIND_EXAMPLE, POLICY_KIND_PREFERENCE, POLICY_KIND_PREFERENCE,
	POLICY_KIND_FEEDBACK, POLICY_KIND_FEEDBACK, POLICY_KIND_SIGNAL, POLICY_KIND_SIGNAL, POLICY_KIND_RECORD, POLICY_KIND_BUNDLE };

void demo_content_write(struct demo_random r, struct json_writer *w, struct demo_content *out)
{
	struct maker m = { .r = r };
	unsigned coop = demo_chance(&m.r, 55) ? 0 : 1;
	enum policy_kind kind = PICK(&m.r, kinds);
	m.say = &demo_phrases[PICK(&m.r, languages[coop])];
	m.thing = PICK(&m.r, m.say->things);
	m.give_away = demo_below(&m.r, 1000) < 30;
	jw_object(w);
	switch (kind) {
	case POLICY_KIND_PREFERENCE:
		write_preference(&m, w);
		break;
	case POLICY_KIND_EXAMPLE:
		if (coop == 0 && demo_chance(&m.r, 60))
			write_translation(&m, w);
		else
			write_example(&m, w);
		break;
	case POLICY_KIND_FEEDBACK:
		write_feedback(&m, w);
		break;
	case POLICY_KIND_SIGNAL:
		write_signal(&m, w);
		break;
	case POLICY_KIND_BUNDLE:
		write_bundle(&m, w);
		break;
	case POLICY_KIND_RECORD:
		write_record(&m, w, coop);
		break;
	default:
		write_chat(&m, w);
	}
	jw_end_object(w);
	*out = (struct demo_content){ coop, kind, m.say->lang, m.pii };
}
