/* generate.c - who is in the demo's co-ops, and who contributed what when. Everything hangs on (seed, kind of fact, number), so that nothing has to be remembered. */
#include "commonhold/contribution.h"
#include "commonhold/demo_data.h"
#include "server/demo/content.h"

enum { STREAM_MEMBER = 1, STREAM_CONTENT, STREAM_DUPLICATE, STREAM_ENVELOPE, STREAM_TIME };

#define MEMBERS 200
#define CONTRIBUTIONS 5000
#define ADMINS 5
#define ITEM_BYTES (64 * KIB)
#define FIRST_DUPLICATE 50 /* nothing to repeat before */

static const struct demo_coop coops[DEMO_COOPS] = {
	{
		.slug = { "pledari", 7 }, .name = { "Pledari Cuminaivel", 18 }, .domain = { "language", 8 }, .region = { "Graubünden", 11 },
		.languages = { { "rm", 2 }, { "de", 2 }, { "it", 2 }, { "fr", 2 }, { "en", 2 } }, .language_count = 5,
		.purpose = STR("Speakers of Romansh pool their conversations, translations and corrections, so that the tools of tomorrow speak it too - on terms that they set themselves."),
		.bylaws = STR("# Statutes\n\n1. Whoever speaks or learns Romansh may join.\n2. Nothing is shared unless its author says so.\n"
			"3. Releases appear every month, after a vote of the admins.\n4. Income goes to contributors by share, and the rest to courses.\n"),
		.licence = { "CC-BY-SA-4.0", 12 }, .share_by_default = false, .admins = ADMINS,
		.record_name = { "phrase-entry", 12 },
		.record_schema = STR("{\"type\":\"object\",\"required\":[\"phrase\",\"meaning\",\"meaning_lang\"],\"additionalProperties\":false,\"properties\":{"
			"\"phrase\":{\"type\":\"string\",\"minLength\":1,\"maxLength\":500},\"meaning\":{\"type\":\"string\",\"minLength\":1,\"maxLength\":500},"
			"\"meaning_lang\":{\"type\":\"string\",\"maxLength\":20},\"heard_in\":{\"type\":\"integer\",\"minimum\":1800,\"maximum\":2100},"
			"\"variety\":{\"enum\":[\"sursilvan\",\"sutsilvan\",\"surmiran\",\"puter\",\"vallader\",\"grischun\"]},\"page\":{\"type\":\"integer\",\"minimum\":1}}}"),
	},
	{
		.slug = { "orchard", 7 }, .name = { "Orchard and Soil", 16 }, .domain = { "agriculture", 11 }, .region = { "", 0 },
		.languages = { { "en", 2 }, { "tr", 2 }, { "es", 2 }, { "pl", 2 }, { "de", 2 }, { "fr", 2 } }, .language_count = 6,
		.purpose = STR("Growers share what they ask, learn and measure, so that advice for small gardens and fields rests on practice from many climates."),
		.bylaws = STR("# Bylaws\n\n1. Growers of any size may join.\n2. Who joins and accepts the default shares for research and search; training needs a yes of one's own.\n"
			"3. A release needs a majority of the admins.\n4. Soil records are open, conversations are gated.\n"),
		.licence = { "CC-BY-4.0", 9 }, .share_by_default = true, .admins = ADMINS,
		.record_name = { "soil-sample", 11 },
		.record_schema = STR("{\"type\":\"object\",\"required\":[\"field\",\"depth_cm\",\"ph_tenths\"],\"additionalProperties\":false,\"properties\":{"
			"\"field\":{\"type\":\"string\",\"minLength\":1,\"maxLength\":200},\"depth_cm\":{\"type\":\"integer\",\"minimum\":0,\"maximum\":500},"
			"\"ph_tenths\":{\"type\":\"integer\",\"minimum\":0,\"maximum\":140},\"organic_permille\":{\"type\":\"integer\",\"minimum\":0,\"maximum\":1000},"
			"\"sample\":{\"type\":\"integer\",\"minimum\":1}}}"),
	},
};

const struct demo_coop *demo_coop(unsigned index)
{
	return index < DEMO_COOPS ? &coops[index] : NULL;
}

/* One run. */
struct run {
	struct demo_options o;                 /* defaults filled in */
	const struct demo_listener *listener;  /* who listens */
	struct error *e;                       /* the run's error */
	instant begin;                         /* where the data begins */
	unsigned members[DEMO_COOPS];          /* how many each co-op has */
	struct arena *arena;                   /* memory of one fact */
	struct buf written, canonical;         /* an item, and its canonical form */
};

/* Members join over the first seven tenths of the time, in order of their number; admins are there from the beginning. */
static instant joined_at(const struct run *r, unsigned coop, unsigned index)
{
	if (index < ADMINS)
		return r->begin;
	int64_t span = (r->o.end - r->begin) / 10 * 7;
	return r->begin + span / r->members[coop] * index;
}

static struct str pick_licence(struct demo_random *r)
{
	static const char *const licences[] = { "CC0-1.0", "CC-BY-4.0", "CC-BY-SA-4.0" };
	return str_of(licences[demo_below(r, CH_LEN(licences))]);
}

/* The i-th member of both co-ops together has a name and an address that nobody else has. */
static void make_member(const struct run *r, unsigned coop, unsigned index, struct demo_member *m)
{
	static const uint8_t dispositions[10] = { DEMO_CHOICE_SHARE, DEMO_CHOICE_SHARE, DEMO_CHOICE_SHARE, DEMO_CHOICE_SHARE, DEMO_CHOICE_DEFAULT, DEMO_CHOICE_DEFAULT,
		DEMO_CHOICE_DEFAULT, DEMO_CHOICE_NO_TRAIN, DEMO_CHOICE_CREDIT, DEMO_CHOICE_WITHHOLD };
	static const char *const attributions[] = { "pseudonym", "pseudonym", "anonymous", "public" };
	static const char *const domains[] = { "example.org", "example.com", "example.net" };
	unsigned number = index + (coop ? r->members[0] : 0);
	/* an odd factor runs through all 64 x 64 pairs of names before any comes twice */
	unsigned pair = (number * 1237 + (unsigned)(r->o.seed % 4096) * 7) % 4096, first = pair % 64, last = pair / 64;
	struct demo_random random = demo_stream(r->o.seed, STREAM_MEMBER, number);
	const struct demo_coop *c = &coops[coop];
	*m = (struct demo_member){ .coop = coop, .index = index };
	m->name = str_fmt(r->arena, "%s %s", demo_first_names[first].written, demo_last_names[last].written);
	m->email = str_fmt(r->arena, "%s.%s.%u@%s", demo_first_names[first].plain, demo_last_names[last].plain, number + 1, domains[demo_below(&random, 3)]);
	m->lang = c->languages[demo_below(&random, (unsigned)c->language_count)];
	m->joined = joined_at(r, coop, index);
	m->choice = dispositions[demo_below(&random, CH_LEN(dispositions))];
	if (index == 0)
		m->choice = DEMO_CHOICE_SHARE; /* whoever tries the demo signs in as a founder, and wants to see where their data went */
	m->licence = demo_chance(&random, 30) ? pick_licence(&random) : STR_NONE;
	m->attribution = str_of(attributions[demo_below(&random, CH_LEN(attributions))]);
	m->accepts_defaults = m->choice != DEMO_CHOICE_WITHHOLD && demo_chance(&random, 80);
}

/* Whose content the i-th contribution repeats; i itself when it is new. */
static unsigned content_of(const struct run *r, unsigned i)
{
	struct demo_random random = demo_stream(r->o.seed, STREAM_DUPLICATE, i);
	if (i < FIRST_DUPLICATE || !demo_chance(&random, 1))
		return i;
	unsigned source = demo_below(&random, i);
	while (source >= FIRST_DUPLICATE) {
		struct demo_random other = demo_stream(r->o.seed, STREAM_DUPLICATE, source);
		if (!demo_chance(&other, 1))
			break;
		source--;
	}
	return source;
}

/* Some contribute much and most little: the lower of two draws favours those who came early. */
static unsigned pick_member(const struct run *r, struct demo_random *random, unsigned coop, instant at)
{
	unsigned there = ADMINS;
	while (there < r->members[coop] && joined_at(r, coop, there) <= at)
		there++;
	unsigned a = demo_below(random, there), b = demo_below(random, there);
	return a < b ? a : b;
}

static void write_circumstances(struct demo_random *random, struct json_writer *w, const struct demo_content *c)
{
	static const char *const prompted[] = { "proactive", "reactive", "passive", "task" }, *const friction[] = { "zero", "almost_zero", "low", "medium", "high" };
	static const struct { const char *application, *provider, *terms, *model; } ways[] = {
		{ "Open WebUI", "Alpine Models", "https://alpine-models.example/terms", "edelweiss-7b" },
		{ "Field notebook", "Harvest AI", "https://harvest.example/terms-of-use", "harvest-large" },
		{ "Messenger bot", "Open Weights Club", "https://weights.example/licence", "commons-13b" },
	};
	static const char *const preferences[] = { "train-ai=n", "train-ai=y", "train-genai=n;exceptions=cc-cr", "train-ai=n, search=y" };
	jw_kz(w, "lang", c->lang);
	if (demo_chance(random, 25))
		jw_kstr(w, "licence", pick_licence(random));
	if (demo_chance(random, 12))
		jw_kz(w, "ai_preferences", preferences[demo_below(random, CH_LEN(preferences))]);
	jw_kz(w, "prompted", prompted[demo_below(random, CH_LEN(prompted))]);
	jw_kz(w, "friction", friction[demo_below(random, CH_LEN(friction))]);
	if (c->kind != POLICY_KIND_RECORD) {
		size_t way = demo_below(random, CH_LEN(ways));
		jw_kz(w, "application", ways[way].application);
		jw_key(w, "provider");
		jw_object(w);
		jw_kz(w, "name", ways[way].provider);
		jw_kz(w, "terms", ways[way].terms);
		jw_end_object(w);
		jw_kz(w, "model", ways[way].model);
	}
	if (demo_chance(random, 2)) {
		jw_key(w, "sensitive");
		jw_array(w);
		jw_z(w, "third_party");
		jw_end_array(w);
	}
	if (demo_chance(random, 15)) {
		jw_key(w, "processing");
		jw_array(w);
		jw_object(w);
		jw_kz(w, "processor", "browser redactor");
		jw_kz(w, "version", "1.4");
		jw_kz(w, "stage", "pre_submission");
		jw_end_object(w);
		jw_end_array(w);
	}
}

static enum err canonical(struct run *r)
{
	const struct json *tree = NULL;
	if (r->written.failed)
		return error_set(r->e, ERR_INTERNAL, "A contribution of the demo is too large.");
	TRY(json_parse(r->arena, buf_str(&r->written), &tree, r->e));
	buf_clear(&r->canonical);
	json_canonical(&r->canonical, tree, true);
	return ERR_OK;
}

static enum err tell_contribution(struct run *r, unsigned i)
{
	unsigned source = content_of(r, i);
	struct demo_random random = demo_stream(r->o.seed, STREAM_ENVELOPE, i), time = demo_stream(r->o.seed, STREAM_TIME, i);
	int64_t step = (r->o.end - r->begin) / r->o.contributions;
	instant at = r->begin + step * i + (step ? (int64_t)(demo_next(&time) % (uint64_t)step) : 0);
	struct demo_content content;
	struct json_writer w;
	buf_clear(&r->written);
	jw_init(&w, &r->written);
	jw_object(&w);
	jw_key(&w, "content");
	demo_content_write(demo_stream(r->o.seed, STREAM_CONTENT, source), &w, &content);
	jw_kz(&w, "kind", contribution_kind_word(content.kind));
	write_circumstances(&random, &w, &content);
	jw_end_object(&w);
	TRY(canonical(r));
	struct demo_contribution c = { content.coop, pick_member(r, &random, content.coop, at), content.kind, buf_str(&r->canonical), at, content.pii, source != i };
	return r->listener->contribution(r->listener->arg, &c, r->e);
}

static enum err tell_members(struct run *r)
{
	for (unsigned coop = 0; coop < DEMO_COOPS; coop++)
		for (unsigned i = 0; r->listener->member && i < r->members[coop]; i++) {
			struct demo_member m;
			make_member(r, coop, i, &m);
			TRY(r->listener->member(r->listener->arg, &m, r->e));
		}
	return ERR_OK;
}

static enum err tell_all(struct run *r)
{
	for (unsigned i = 0; r->listener->coop && i < DEMO_COOPS; i++)
		TRY(r->listener->coop(r->listener->arg, i, &coops[i], r->e));
	TRY(tell_members(r));
	for (unsigned i = 0; r->listener->contribution && i < r->o.contributions; i++) {
		struct arena_mark mark = arena_mark(r->arena);
		TRY(tell_contribution(r, i));
		arena_rewind(r->arena, mark);
	}
	return ERR_OK;
}

static enum err fill_defaults(struct run *r)
{
	struct demo_options *o = &r->o;
	o->months = o->months ? o->months : 6;
	o->members = o->members ? o->members : MEMBERS;
	o->contributions = o->contributions ? o->contributions : CONTRIBUTIONS;
	if (o->months > 24 || o->members < 2 * ADMINS || o->members > 5000 || o->contributions > 10000000)
		return error_set(r->e, ERR_INVALID, "The demo has 1 to 24 months, 10 to 5,000 members and at most 10,000,000 contributions.");
	r->begin = duration_add(o->end, (struct duration){ .months = (int)o->months }, -1);
	r->members[0] = o->members * 55 / 100;
	r->members[0] = r->members[0] < ADMINS ? ADMINS : r->members[0];
	r->members[1] = o->members - r->members[0];
	if (r->members[1] < ADMINS) {
		r->members[0] -= ADMINS - r->members[1];
		r->members[1] = ADMINS;
	}
	return ERR_OK;
}

enum err demo_generate(const struct demo_options *options, const struct demo_listener *listener, struct error *e)
{
	struct run r = { .o = *options, .listener = listener, .e = e };
	TRY(fill_defaults(&r));
	r.arena = arena_new(16 * MIB);
	if (!r.arena)
		return error_set(e, ERR_NO_MEMORY, "There is no memory for the demo's data.");
	buf_init(&r.written, ITEM_BYTES);
	buf_init(&r.canonical, ITEM_BYTES);
	enum err code = tell_all(&r);
	buf_release(&r.written);
	buf_release(&r.canonical);
	arena_free(r.arena);
	return code;
}
