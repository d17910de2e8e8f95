/* import.c - one run of an importer: values in, items and verdicts out. */
#include "server/pool/import_internal.h"

#include <errno.h>
#include <sys/stat.h>
#include <unistd.h>

#define ROW_ARENA (48 * MIB)     /* one row's tree and what is made of it */
#define PROGRESS_BYTES (1 * MIB)

static const char *const format_words[] = {
#define X(name, word, what) word,
	IMPORT_FORMATS(X)
#undef X
};
static const struct { const char *word, *text; } reasons[] = {
#define X(name, word, sentence) { word, sentence },
	IMPORT_REASONS(X)
#undef X
};

const char *import_format_word(unsigned format) { return format < CH_LEN(format_words) ? format_words[format] : NULL; }
const char *import_reason_word(unsigned reason) { return reason < CH_LEN(reasons) ? reasons[reason].word : NULL; }
const char *import_reason_text(unsigned reason) { return reason < CH_LEN(reasons) ? reasons[reason].text : NULL; }

int import_format_find(struct str word)
{
	return str_which(word, format_words, CH_LEN(format_words));
}

static ptrdiff_t read_memory(void *arg, void *to, size_t n)
{
	struct import_memory *m = arg;
	size_t left = m->bytes.n - m->at, take = left < n ? left : n;
	if (take)
		memcpy(to, m->bytes.p + m->at, take);
	m->at += take;
	return (ptrdiff_t)take;
}

struct import_source import_from_memory(struct import_memory *m)
{
	return (struct import_source){ read_memory, m, m->bytes.n };
}

static ptrdiff_t read_fd(void *arg, void *to, size_t n)
{
	ptrdiff_t got;
	do
		got = read(*(const int *)arg, to, n);
	while (got < 0 && errno == EINTR);
	return got;
}

struct import_source import_from_fd(const int *fd)
{
	struct stat st;
	uint64_t size = fstat(*fd, &st) == 0 && S_ISREG(st.st_mode) ? (uint64_t)st.st_size : 0;
	return (struct import_source){ read_fd, (void *)(uintptr_t)fd, size };
}

void import_refuse(struct import *im, uint64_t line, enum import_reason reason, struct str pointer, struct str message, struct str source_id)
{
	im->counts->refused[reason]++;
	if (!im->sink->verdict)
		return;
	struct import_verdict v = { line, reason, pointer, message.p ? message : str_of(reasons[reason].text), source_id };
	im->sink->verdict(im->sink->arg, &v);
}

enum err import_emit(struct import *im, const struct json *contribution, struct str source_user, const struct str *ids, size_t n)
{
	struct error fault = { 0 };
	struct str id = n ? ids[n - 1] : STR_NONE;
	if (json_schema_check(im->row, contribution_schema(im->options->schemas, STR("contribution.json")), contribution, &fault) != ERR_OK) {
		const struct fault *f = fault.faults;
		import_refuse(im, im->line, IMPORT_REASON_INVALID, f ? f->pointer : STR_NONE, f ? f->message : STR_NONE, id);
		return ERR_OK;
	}
	buf_clear(&im->canonical);
	im->canonical.failed = false;
	json_canonical(&im->canonical, contribution, true);
	if (im->canonical.failed) {
		import_refuse(im, im->line, IMPORT_REASON_TOO_LARGE, STR_NONE, STR_NONE, id);
		return ERR_OK;
	}
	int kind = contribution_kind_find(json_member_text(contribution, "kind"));
	struct import_item item = { buf_str(&im->canonical), kind < 0 ? 0 : (enum policy_kind)kind, source_user, ids, n, im->line };
	im->counts->emitted++;
	im->counts->by_kind[item.kind]++;
	return im->sink->item(im->sink->arg, &item, im->e);
}

enum err import_emit_text(struct import *im, struct str source_user, const struct str *ids, size_t n)
{
	const struct json *tree = NULL;
	struct error fault = { 0 };
	if (im->text.failed) {
		import_refuse(im, im->line, IMPORT_REASON_TOO_LARGE, STR_NONE, STR_NONE, n ? ids[n - 1] : STR_NONE);
		return ERR_OK;
	}
	enum err code = json_parse(im->row, buf_str(&im->text), &tree, &fault);
	if (code != ERR_OK) {
		enum import_reason reason = code == ERR_TOO_LARGE ? IMPORT_REASON_TOO_LARGE : IMPORT_REASON_INVALID;
		import_refuse(im, im->line, reason, STR_NONE, STR_NONE, n ? ids[n - 1] : STR_NONE);
		return ERR_OK;
	}
	return import_emit(im, tree, source_user, ids, n);
}

struct str import_pseudonym(struct import *im, const char *system, struct str user)
{
	static const char alphabet[] = "abcdefghijklmnopqrstuvwxyz234567";
	struct str message = str_fmt(im->row, "%s\n%.*s", system, STR_ARG(user));
	struct sha256 h = hmac_sha256(str_make(im->options->pseudonym_key, sizeof(im->options->pseudonym_key)), message);
	char *out = arena_alloc(im->row, 18);
	out[0] = 'a';
	out[1] = '-';
	for (size_t i = 0; i < 16; i++) {
		size_t bit = i * 5;
		unsigned pair = (unsigned)h.b[bit / 8] << 8 | h.b[bit / 8 + 1];
		out[2 + i] = alphabet[pair >> (11 - bit % 8) & 31];
	}
	return str_make(out, 18);
}

void import_begin(struct import *im, struct json_writer *w, enum policy_kind kind, struct str lang)
{
	const struct import_options *o = im->options;
	buf_clear(&im->text);
	im->text.failed = false;
	jw_init(w, &im->text);
	jw_object(w);
	jw_kz(w, "kind", contribution_kind_word(kind));
	if (lang.p || o->lang.p)
		jw_kstr(w, "lang", lang.p ? lang : o->lang);
	if (o->licence.p)
		jw_kstr(w, "licence", o->licence);
	if (o->attribution.p)
		jw_kstr(w, "attribution", o->attribution);
}

void import_end(struct import *im, struct json_writer *w, const char *system, const struct str *ids, const struct str *authors, size_t n)
{
	jw_key(w, "source");
	jw_object(w);
	jw_kz(w, "system", system);
	if (n) {
		jw_key(w, "ids");
		jw_array(w);
		for (size_t i = 0; i < n; i++)
			jw_str(w, ids[i]);
		jw_end_array(w);
	}
	if (n && authors) {
		jw_key(w, "authors");
		jw_array(w);
		for (size_t i = 0; i < n; i++)
			jw_str(w, authors[i].p ? import_pseudonym(im, system, authors[i]) : STR_NONE);
		jw_end_array(w);
	}
	jw_end_object(w);
	jw_end_object(w);
}

void import_message(struct json_writer *w, const char *role, struct str content)
{
	jw_object(w);
	jw_kz(w, "role", role);
	jw_kstr(w, "content", content);
	jw_end_object(w);
}

const char *import_role(struct str name)
{
	static const struct { const char *name, *role; } roles[] = {
		{ "user", "user" }, { "human", "user" }, { "prompter", "user" }, { "assistant", "assistant" }, { "gpt", "assistant" }, { "chatgpt", "assistant" },
		{ "bard", "assistant" }, { "bing", "assistant" }, { "claude", "assistant" }, { "model", "assistant" }, { "bot", "assistant" }, { "system", "system" },
		{ "developer", "system" }, { "tool", "tool" }, { "function", "tool" }, { "observation", "tool" }, { "function_call", "assistant" },
	};
	for (size_t i = 0; i < CH_LEN(roles); i++)
		if (str_eq_nocase(name, roles[i].name))
			return roles[i].role;
	return NULL;
}

bool import_is_deleted(const struct json *row)
{
	return json_bool(json_get(row, "deleted"), false) || json_bool(json_get(row, "is_deleted"), false);
}

void import_progress(struct import *im, bool last)
{
	if (!im->sink->progress || (!last && im->counts->bytes - im->told < PROGRESS_BYTES))
		return;
	im->told = im->counts->bytes;
	im->sink->progress(im->sink->arg, im->counts);
}

static enum err take_row(struct import *im, struct oasst *o, const struct json *row)
{
	if (!json_is(row, JSON_OBJECT)) {
		import_refuse(im, im->line, IMPORT_REASON_INVALID, STR(""), STR("It is not an object."), STR_NONE);
		return ERR_OK;
	}
	if (o)
		return oasst_row(o, row);
	if (import_is_deleted(row)) {
		struct str id = json_member_text(row, "id");
		import_refuse(im, im->line, IMPORT_REASON_DELETED, STR_NONE, STR_NONE, id.p ? id : json_member_text(row, "uuid"));
		return ERR_OK;
	}
	switch (im->options->format) {
	case IMPORT_SHAREGPT:
		return import_row_sharegpt(im, row);
	case IMPORT_PREFERENCE:
		return import_row_preference(im, row);
	case IMPORT_OPENAI:
		return import_row_openai(im, row);
	case IMPORT_ANTHROPIC:
		return import_row_anthropic(im, row);
	default:
		return import_row_jsonl(im, row);
	}
}

enum err import_guarded(struct import *im, enum err (*fn)(void *arg), void *arg, bool *exhausted)
{
	struct arena_mark mark = arena_mark(im->row);
	*exhausted = setjmp(im->out_of_memory) != 0;
	if (*exhausted) {
		arena_guard(im->row, NULL);
		arena_rewind(im->row, mark);
		return ERR_OK;
	}
	arena_guard(im->row, &im->out_of_memory);
	enum err code = fn(arg);
	arena_guard(im->row, NULL);
	arena_rewind(im->row, mark);
	return code;
}

/* The parser counts lines from the value's first one; people count them from the file's. */
static struct str with_line_of_file(struct import *im, const char *message)
{
	size_t line, column;
	int rest = 0;
	if (sscanf(message, "Line %zu, column %zu: %n", &line, &column, &rest) != 2 || rest == 0)
		return str_of(message);
	return str_fmt(im->row, "Line %llu, column %zu: %s", (unsigned long long)(im->line + line - 1), column, message + rest);
}

/* A value, as import_guarded hands it on. */
struct row_in_hand { struct import *im; struct oasst *o; struct str value; };

static enum err take_value(void *arg)
{
	struct row_in_hand *h = arg;
	const struct json *row = NULL;
	struct error fault = { 0 };
	enum err code = json_parse(h->im->row, h->value, &row, &fault);
	if (code == ERR_OK)
		return take_row(h->im, h->o, row);
	enum import_reason reason = code == ERR_TOO_LARGE ? IMPORT_REASON_TOO_LARGE : IMPORT_REASON_BAD_JSON;
	import_refuse(h->im, h->im->line, reason, STR_NONE, with_line_of_file(h->im, fault.message), STR_NONE);
	return ERR_OK;
}

static enum err import_values(struct import *im, struct oasst *o)
{
	for (;;) {
		enum import_value what;
		struct str value;
		bool exhausted = false;
		TRY(import_reader_value(&im->in, &what, &value, &im->line, im->e));
		if (what == IMPORT_VALUE_END)
			break;
		im->counts->rows++;
		if (what == IMPORT_VALUE_TOO_LARGE)
			import_refuse(im, im->line, IMPORT_REASON_TOO_LARGE, STR_NONE, STR_NONE, STR_NONE);
		else if (what == IMPORT_VALUE_CUT)
			import_refuse(im, im->line, IMPORT_REASON_BAD_JSON, STR_NONE, STR("The file ends in the middle of it."), STR_NONE);
		else
			TRY(import_guarded(im, take_value, &(struct row_in_hand){ im, o, value }, &exhausted));
		if (exhausted)
			import_refuse(im, im->line, IMPORT_REASON_TOO_LARGE, STR_NONE, STR_NONE, STR_NONE);
		if (o)
			TRY(oasst_settle(o));
		import_progress(im, false);
	}
	return o ? oasst_finish(o) : ERR_OK;
}

static enum err import_open(struct import *im, const struct import_source *source)
{
	im->keep = arena_new(4 * MIB);
	im->row = arena_new(ROW_ARENA);
	if (!im->keep || !im->row)
		return error_set(im->e, ERR_NO_MEMORY, "There is no memory for the import.");
	buf_init(&im->text, 2 * LIMIT_BODY_ITEM);
	buf_init(&im->canonical, LIMIT_BODY_ITEM);
	return import_reader_open(&im->in, source, im->counts, im->e);
}

static enum err import_all(struct import *im)
{
	if (im->options->format == IMPORT_CSV)
		return import_csv(im);
	if (im->options->format != IMPORT_OPENASSISTANT)
		return import_values(im, NULL);
	struct oasst *o = oasst_new(im);
	if (!o)
		return error_set(im->e, ERR_NO_MEMORY, "There is no memory for the import.");
	enum err code = import_values(im, o);
	oasst_free(o);
	return code;
}

enum err import_run(const struct import_options *options, const struct import_source *source, const struct import_sink *sink, struct import_counts *counts,
	struct error *e)
{
	struct import im = { .options = options, .sink = sink, .counts = counts, .e = e };
	*counts = (struct import_counts){ 0 };
	enum err code = import_open(&im, source);
	if (code == ERR_OK)
		code = import_all(&im);
	if (code == ERR_OK)
		import_progress(&im, true);
	import_reader_release(&im.in);
	buf_release(&im.text);
	buf_release(&im.canonical);
	arena_free(im.row);
	arena_free(im.keep);
	return code;
}
