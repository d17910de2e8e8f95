/* contribution.c - from a parsed submission to what the pool stores. */
#include "commonhold/contribution.h"
#include "commonhold/assets.h"

/* In the order in which they refer to each other. */
static const char *const schema_files[] = {
	"annotation.json", "target.json", "message.json", "chat.json", "preference.json", "example.json", "feedback.json", "signal.json", "bundle.json", "record.json",
	"contribution.json", "import_mapping.json",
};

struct contribution_schemas {
	const struct json_schema *compiled[CH_LEN(schema_files)]; /* same order; NULL until compiled */
	const struct json_schema *contribution;                   /* of contribution.json */
};

const struct json_schema *contribution_schema(const struct contribution_schemas *s, struct str file)
{
	int no = str_which(file, schema_files, CH_LEN(schema_files));
	return no < 0 ? NULL : s->compiled[no];
}

static const struct json_schema *resolve(void *arg, struct str file)
{
	return contribution_schema(arg, file);
}

enum err contribution_schemas_load(struct arena *a, const struct contribution_schemas **out, struct error *e)
{
	struct contribution_schemas *s = ARENA_NEW(a, struct contribution_schemas);
	for (size_t i = 0; i < CH_LEN(schema_files); i++) {
		struct str text = asset_find(str_fmt(a, "schemas/%s", schema_files[i]));
		const struct json *document = NULL;
		if (!text.p)
			return error_set(e, ERR_INTERNAL, "The schema %s is not built in.", schema_files[i]);
		TRY(json_parse(a, text, &document, e));
		TRY(json_schema_compile(a, document, resolve, s, &s->compiled[i], e));
	}
	s->contribution = contribution_schema(s, STR("contribution.json"));
	*out = s;
	return ERR_OK;
}

/* The words of an X-macro table, by number. */
#define X(sym, no, word) [no] = word,
static const char *const prompted_words[] = { CONTRIBUTION_PROMPTED(X) };
static const char *const friction_words[] = { CONTRIBUTION_FRICTION(X) };
static const char *const attribution_words[] = { CONTRIBUTION_ATTRIBUTION(X) };
#undef X
#define X(sym, no, word) [no] = word,
static const char *const kind_words[] = { POLICY_KINDS(X) };
#undef X
static const char *const sensitive_words[] = { "minor", "special_category", "third_party" };

const char *contribution_prompted_word(unsigned no) { return no < CH_LEN(prompted_words) ? prompted_words[no] : NULL; }
const char *contribution_friction_word(unsigned no) { return no < CH_LEN(friction_words) ? friction_words[no] : NULL; }
const char *contribution_attribution_word(unsigned no) { return no < CH_LEN(attribution_words) ? attribution_words[no] : NULL; }
const char *contribution_kind_word(unsigned kind) { return kind < CH_LEN(kind_words) ? kind_words[kind] : NULL; }
int contribution_kind_find(struct str word) { return str_which(word, kind_words, CH_LEN(kind_words)); }

/* A member's word as its number; absent is 0, and the schema has let no other word pass. */
static unsigned word_number(const char *const *words, size_t n, const struct json *object, const char *member)
{
	int no = str_which(json_member_text(object, member), words, n);
	return no > 0 ? (unsigned)no : 0;
}

static void release_buf(void *b)
{
	buf_release(b);
}

/* A buffer that the arena gives back, with room for what is usual; no copy is made of what is written into it. */
static struct buf *arena_buf(struct arena *a, size_t usual)
{
	struct buf *b = ARENA_NEW(a, struct buf);
	buf_init(b, LIMIT_BODY_ITEM);
	arena_defer(a, release_buf, b);
	(void)buf_reserve(b, usual);
	return b;
}

/* Everything but kind and content, in canonical order of members. */
static void write_circumstances(struct buf *out, const struct json *submitted)
{
	static const char *const members[] = { "ai_preferences", "application", "attribution", "created", "derived_from", "friction", "lang", "licence", "model", "processing",
		"prompted", "provider", "sensitive", "source" };
	char before = '{';
	for (size_t i = 0; i < CH_LEN(members); i++) {
		const struct json *v = json_get(submitted, members[i]);
		if (!v)
			continue;
		buf_add_byte(out, before);
		buf_add_byte(out, '"');
		buf_add_z(out, members[i]);
		buf_add_z(out, "\":");
		json_canonical(out, v, true);
		before = ',';
	}
	buf_add_z(out, before == '{' ? "{}" : "}");
}

static size_t text_bytes(const struct json *content)
{
	size_t n = 0;
	for (const struct json *v = content; v; v = json_next_in(content, v))
		if (v->type == JSON_STRING)
			n += v->text.n;
	return n;
}

size_t derivation_read(struct arena *a, const struct json *derived_from, struct derivation **out)
{
	size_t n = 0;
	if (json_is(derived_from, JSON_OBJECT))
		derived_from = json_get(derived_from, "derived_from");
	if (!json_is(derived_from, JSON_ARRAY) || derived_from->count == 0)
		return 0;
	*out = ARENA_ARRAY(a, CONTRIBUTION_SOURCES, struct derivation);
	json_each (one, derived_from) {
		struct derivation d = { .copied = json_bool(json_get(one, "copied"), false) };
		if (n == CONTRIBUTION_SOURCES || !rid_parse(json_member_text(one, "rid"), &d.home, &d.source))
			continue;
		(*out)[n++] = d;
	}
	return n;
}

static void read_circumstances(struct arena *a, const struct json *submitted, struct contribution_draft *d)
{
	const struct json *provider = json_get(submitted, "provider");
	d->lang = json_member_text(submitted, "lang");
	d->licence = json_member_text(submitted, "licence");
	d->ai_preferences = json_member_text(submitted, "ai_preferences");
	d->application = json_member_text(submitted, "application");
	d->provider = json_member_text(provider, "name");
	d->provider_terms = json_member_text(provider, "terms");
	d->model = json_member_text(submitted, "model");
	d->n_derived = derivation_read(a, json_get(submitted, "derived_from"), &d->derived);
	d->source_system = json_member_text(json_get(submitted, "source"), "system");
	d->prompted = word_number(prompted_words, CH_LEN(prompted_words), submitted, "prompted");
	d->friction = word_number(friction_words, CH_LEN(friction_words), submitted, "friction");
	d->attribution = word_number(attribution_words, CH_LEN(attribution_words), submitted, "attribution");
	json_each (mark, json_get(submitted, "sensitive")) {
		int no = str_which(json_text(mark), sensitive_words, CH_LEN(sensitive_words));
		if (no >= 0)
			d->sensitive |= 1U << no;
	}
	if (!clock_parse(json_member_text(submitted, "created"), &d->created))
		d->created = INSTANT_NONE;
}

enum err contribution_columns(struct arena *a, const struct contribution_schemas *s, const struct json *submitted, struct contribution_draft *out, struct error *e)
{
	TRY(json_schema_check(a, s->contribution, submitted, e));
	const struct json *content = json_get(submitted, "content");
	int kind = contribution_kind_find(json_member_text(submitted, "kind"));
	if (kind < 0 || !content)
		return error_set(e, ERR_INTERNAL, "The schema let a contribution without kind or content pass.");
	*out = (struct contribution_draft){ .kind = (enum policy_kind)kind, .text_bytes = text_bytes(content) };
	if (out->kind == POLICY_KIND_RECORD) {
		out->record_schema = json_member_text(content, "schema");
		out->record_data = json_get(content, "data");
	}
	read_circumstances(a, submitted, out);
	return ERR_OK;
}

enum err contribution_canonical(struct arena *a, const struct contribution_schemas *s, const struct json *submitted, struct contribution_draft *out,
	struct error *e)
{
	TRY(contribution_columns(a, s, submitted, out, e));
	struct buf *bytes = arena_buf(a, 4 * KIB), *rest = arena_buf(a, 500);
	json_canonical(bytes, json_get(submitted, "content"), true);
	write_circumstances(rest, submitted);
	if (bytes->failed || rest->failed)
		return error_set(e, ERR_TOO_LARGE, "A contribution may have at most %zu KiB.", LIMIT_BODY_ITEM / KIB);
	out->content = buf_str(bytes);
	out->hash = sha256(out->content);
	out->circumstances = buf_str(rest);
	return ERR_OK;
}
