/* CSV: RFC 4180 by a table, whatever the cuts between reads; the mapping of columns; and the real prompt files against Python's csv module. */
#include "commonhold/import.h"
#include "server/pool/csv.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>
#include <cmocka.h>

static struct arena *arena;
static const struct contribution_schemas *schemas;

static int set_up(void **state)
{
	(void)state;
	struct error e = { 0 };
	arena = arena_new(128 * MIB);
	return arena && crypto_start() && contribution_schemas_load(arena, &schemas, &e) == ERR_OK ? 0 : -1;
}

static int tear_down(void **state)
{
	(void)state;
	arena_free(arena);
	return 0;
}

#define assert_str(s, z) do { struct str s_ = (s); const char *z_ = (z); if (!str_is(s_, z_)) fail_msg("%.*s\n is not\n%s", STR_ARG(s_), z_); } while (0)

/* Records as "line:[field|field]", bad ones as "line:!", in one text. */
static void tell(struct buf *out, const struct csv *c, enum csv_result r)
{
	buf_addf(out, "%d:", (int)c->line);
	if (r != CSV_RECORD) {
		buf_add_z(out, r == CSV_BAD ? "! " : "# ");
		return;
	}
	for (size_t i = 0; i < c->fields; i++) {
		buf_add_byte(out, i ? '|' : '[');
		buf_add_str(out, csv_field(c, i));
	}
	buf_add_z(out, "] ");
}

static struct str records(struct str text, char delimiter, size_t piece, size_t max)
{
	struct csv c;
	struct buf out;
	buf_init(&out, 1 * MIB);
	csv_init(&c, delimiter, max);
	for (size_t at = 0; at < text.n;) {
		size_t n = text.n - at < piece ? text.n - at : piece, used = 0;
		char *copy = malloc(n);
		assert_non_null(copy);
		memcpy(copy, text.p + at, n);
		enum csv_result r = csv_feed(&c, copy, n, &used);
		free(copy);
		assert_true(used <= n && (used == n || r != CSV_MORE));
		at += used;
		if (r != CSV_MORE)
			tell(&out, &c, r);
	}
	enum csv_result last = csv_finish(&c);
	if (last != CSV_MORE)
		tell(&out, &c, last);
	csv_release(&c);
	struct str copy = str_copy(arena, buf_str(&out));
	buf_release(&out);
	return copy;
}

static void records_are_what_rfc_4180_says_wherever_reads_are_cut(void **state)
{
	(void)state;
	static const struct { struct str text; const char *records; } cases[] = {
		{ STR("a,b,c\r\nd,e,f\r\n"), "1:[a|b|c] 2:[d|e|f] " },
		{ STR("a,b\nc,d"), "1:[a|b] 2:[c|d] " },
		{ STR("a\rb\r\rc"), "1:[a] 2:[b] 4:[c] " },
		{ STR("\"a\",\"b\"\r\n"), "1:[a|b] " },
		{ STR("\"a,1\",\"b\"\"2\"\"\"\n"), "1:[a,1|b\"2\"] " },
		{ STR("\"line\r\nbreak\",x\ny,z\n"), "1:[line\r\nbreak|x] 3:[y|z] " },
		{ STR(",\n,,\n"), "1:[|] 2:[||] " },
		{ STR("\"\",\"\"\n"), "1:[|] " },
		{ STR("\"\"\n"), "1:[] " },
		{ STR("a, b ,\" c \"\n"), "1:[a| b | c ] " },
		{ STR("\n\r\n\na\n\n"), "4:[a] " },
		{ STR("\xef\xbb\xbf" "a,b\n"), "1:[a|b] " },
		{ STR("\xef\xbb" "a\n"), "1:[\xef\xbb" "a] " },
		{ STR("\xef\xbb"), "1:[\xef\xbb] " },
		{ STR("a\xef\xbb\xbf\n"), "1:[a\xef\xbb\xbf] " },
		{ STR("a\"b,c\nd\n"), "1:! 2:[d] " },
		{ STR("\"a\"b,c\nd\n"), "1:! 2:[d] " },
		{ STR("x\n\"open,\ny\n"), "1:[x] 2:! " },
		{ STR("a\0b,c\nd\n"), "1:! 2:[d] " },
		{ STR("\"a\0\nb\",c\nd\n"), "1:! 3:[d] " },
		{ STR("0123456789abcdef,0123456789abcdef\nok\n"), "1:# 2:[ok] " },
		{ STR("\"0123456789abcdef\n0123456789abcdef\"\nok\n"), "1:# 3:[ok] " },
		{ STR(""), "" },
	};
	for (size_t i = 0; i < CH_LEN(cases); i++)
		for (size_t piece = 1; piece <= cases[i].text.n + 1; piece++)
			assert_str(records(cases[i].text, ',', piece, 24), cases[i].records);
	assert_str(records(STR("a;b,c;\"d;e\"\n"), ';', 3, 99), "1:[a|b,c|d;e] ");
	assert_str(records(STR("a\tb\n"), '\t', 3, 99), "1:[a|b] ");
}

static void a_record_has_only_so_many_columns(void **state)
{
	(void)state;
	char text[IMPORT_COLUMNS + 8];
	memset(text, ',', sizeof(text));
	struct str whole = records(str_make(text, IMPORT_COLUMNS - 1), ',', 7, 99), over = records(str_make(text, IMPORT_COLUMNS), ',', 7, 99);
	assert_true(str_starts(whole, "1:[|||"));
	assert_str(over, "1:! ");
}

/* What a run gave. */
struct outcome {
	struct str items[32], users[32];
	size_t n;
	struct str messages[32], pointers[32];
	uint64_t lines[32];
	enum import_reason reasons[32];
	size_t refused;
	struct hasher *contents; /* of all contents, a line each, when set */
	uint64_t authors;
};

static enum err on_item(void *arg, const struct import_item *item, struct error *e)
{
	struct outcome *o = arg;
	if (o->contents) {
		struct arena_mark mark = arena_mark(arena);
		const struct json *v, *authors;
		struct buf b;
		buf_init(&b, 4 * MIB);
		assert_int_equal(json_parse(arena, item->json, &v, e), ERR_OK);
		json_canonical(&b, json_get(v, "content"), true);
		hasher_add(o->contents, b.p, b.n);
		hasher_add(o->contents, "\n", 1);
		authors = json_at(v, "/source/authors");
		o->authors += authors ? authors->count : 0;
		buf_release(&b);
		arena_rewind(arena, mark);
	} else if (o->n < CH_LEN(o->items)) {
		o->items[o->n] = str_copy(arena, item->json);
		o->users[o->n] = str_copy(arena, item->source_user);
	}
	o->n++;
	return ERR_OK;
}

static void on_verdict(void *arg, const struct import_verdict *v)
{
	struct outcome *o = arg;
	if (o->refused < CH_LEN(o->messages)) {
		o->messages[o->refused] = str_copy(arena, v->message);
		o->pointers[o->refused] = str_copy(arena, v->pointer);
		o->lines[o->refused] = v->line;
		o->reasons[o->refused] = v->reason;
	}
	o->refused++;
}

static enum err import(const struct import_source *source, const char *mapping, struct outcome *o, struct import_counts *c, struct error *e)
{
	struct import_options options = { .format = IMPORT_CSV, .schemas = schemas, .licence = STR("CC0-1.0"), .pseudonym_key = { 9 } };
	struct import_sink sink = { on_item, on_verdict, NULL, o };
	if (mapping)
		assert_int_equal(json_parse(arena, str_of(mapping), &options.mapping, e), ERR_OK);
	return import_run(&options, source, &sink, c, e);
}

static enum err import_text(const char *text, const char *mapping, struct outcome *o, struct import_counts *c, struct error *e)
{
	struct import_memory m = { str_of(text), 0 };
	struct import_source source = import_from_memory(&m);
	*o = (struct outcome){ 0 };
	return import(&source, mapping, o, c, e);
}

static void every_kind_of_column_goes_where_the_mapping_says(void **state)
{
	(void)state;
	static const char mapping[] = "{\"kind\":\"feedback\",\"system\":\"desk\",\"columns\":{"
		"\"ticket\":{\"as\":\"id\"},\"words\":{\"as\":\"text\",\"to\":\"/content/comment\"},\"score\":{\"as\":\"number\",\"to\":\"/content/ratings/0/value\"},"
		"\"votes\":{\"as\":\"integer\",\"to\":\"/content/ratings/0/raters\"},\"scale\":{\"as\":\"word\",\"to\":\"/content/ratings/0/name\"},"
		"\"topics\":{\"as\":\"list\",\"separator\":\";\",\"to\":\"/content/tags\"},\"urgent\":{\"as\":\"tag\",\"to\":\"/content/tags/-\",\"when\":\"Y\",\"value\":\"in a hurry\"},"
		"\"by\":{\"as\":\"user\"},\"removed\":{\"as\":\"deleted\"}},"
		"\"constants\":{\"/content/target/system\":\"desk\",\"/content/target/id\":\"all\",\"/lang\":\"en\"}}";
	struct outcome *o = ARENA_NEW(arena, struct outcome);
	struct import_counts c;
	struct error e = { 0 };
	assert_int_equal(import_text(
		"ticket,words,score,votes,scale,topics,urgent,by,removed,unmapped\r\n"
		"T1,\"Good, really\",0.750,4,Help Fulness,a; b;;c,Y,ann,no,x\r\n"
		"T2,fine,,,,,N,\"ann, bob\",,\r\n"
		"T3,bad,0.5x,1,quality,,,,,\r\n"
		"T4,gone,,,,,,,yes,\r\n"
		"T5,short\r\n"
		"T6,ok,,,,,,,perhaps,\r\n"
		"T7,\xff,,,,,,,,\r\n"
		"T8,,,,,,,,,\r\n", mapping, o, &c, &e), ERR_OK);
	assert_int_equal(o->n, 2);
	assert_true(str_starts(o->items[0], "{\"content\":{\"comment\":\"Good, really\",\"ratings\":[{\"name\":\"help_fulness\",\"raters\":4,\"value\":0.750}],"
		"\"tags\":[\"a\",\"b\",\"c\",\"in a hurry\"],\"target\":{\"id\":\"all\",\"system\":\"desk\"}},\"kind\":\"feedback\",\"lang\":\"en\",\"licence\":\"CC0-1.0\","
		"\"source\":{\"authors\":[\"a-"));
	assert_str(o->users[0], "ann");
	const struct json *v;
	assert_int_equal(json_parse(arena, o->items[1], &v, &e), ERR_OK);
	assert_int_equal(json_at(v, "/source/authors")->count, 2);
	assert_str(json_text(json_at(v, "/source/ids/0")), "T2");
	assert_null(json_at(v, "/content/tags"));
	static const struct { uint64_t line; enum import_reason reason; const char *pointer; } expected[] = {
		{ 4, IMPORT_REASON_INVALID, "score" }, { 5, IMPORT_REASON_DELETED, "" }, { 6, IMPORT_REASON_BAD_CSV, "" }, { 7, IMPORT_REASON_INVALID, "removed" },
		{ 8, IMPORT_REASON_INVALID, "words" }, { 9, IMPORT_REASON_INVALID, "/content" } };
	assert_int_equal(o->refused, CH_LEN(expected));
	for (size_t i = 0; i < CH_LEN(expected); i++) {
		assert_int_equal(o->lines[i], expected[i].line);
		assert_int_equal(o->reasons[i], expected[i].reason);
		assert_str(o->pointers[i], expected[i].pointer);
	}
}

static void a_chat_can_be_made_of_columns(void **state)
{
	(void)state;
	struct outcome *o = ARENA_NEW(arena, struct outcome);
	struct import_counts c;
	struct error e = { 0 };
	assert_int_equal(import_text("q,a\nQ,A\n", "{\"kind\":\"chat\",\"columns\":{\"q\":{\"as\":\"text\",\"to\":\"/content/messages/0/content\"},"
		"\"a\":{\"as\":\"text\",\"to\":\"/content/messages/1/content\"}},\"constants\":{\"/content/messages/0/role\":\"user\",\"/content/messages/1/role\":\"assistant\"}}",
		o, &c, &e), ERR_OK);
	assert_str(o->items[0], "{\"content\":{\"messages\":[{\"content\":\"Q\",\"role\":\"user\"},{\"content\":\"A\",\"role\":\"assistant\"}]},\"kind\":\"chat\","
		"\"licence\":\"CC0-1.0\",\"source\":{\"system\":\"csv\"}}");
}

static void a_wrong_mapping_or_header_is_refused_before_any_row(void **state)
{
	(void)state;
	static const struct { const char *mapping, *text; } cases[] = {
		{ NULL, "a\n1\n" },
		{ "{\"kind\":\"poem\",\"columns\":{\"a\":{\"as\":\"text\",\"to\":\"/content/input\"}}}", "a\n1\n" },
		{ "{\"kind\":\"example\",\"columns\":{\"a\":{\"as\":\"magic\",\"to\":\"/content/input\"}}}", "a\n1\n" },
		{ "{\"kind\":\"example\",\"columns\":{\"a\":{\"as\":\"text\",\"to\":\"content/input\"}}}", "a\n1\n" },
		{ "{\"kind\":\"example\",\"columns\":{\"a\":{\"as\":\"text\"}}}", "a\n1\n" },
		{ "{\"kind\":\"example\",\"columns\":{\"b\":{\"as\":\"text\",\"to\":\"/content/input\"}}}", "a\n1\n" },
		{ "{\"kind\":\"example\",\"columns\":{\"a\":{\"as\":\"text\",\"to\":\"/content/input\"}}}", "" },
		{ "{\"kind\":\"example\",\"columns\":{\"a\":{\"as\":\"text\",\"to\":\"/content/input\"}}}", "\"a\n1\n" },
	};
	for (size_t i = 0; i < CH_LEN(cases); i++) {
		struct outcome *o = ARENA_NEW(arena, struct outcome);
		struct import_counts c;
		struct error e = { 0 };
		if (import_text(cases[i].text, cases[i].mapping, o, &c, &e) != ERR_INVALID || o->n)
			fail_msg("not refused: %s", cases[i].mapping);
		assert_true(e.message[0] != 0);
	}
}

static void two_values_in_one_place_are_a_fault(void **state)
{
	(void)state;
	struct outcome *o = ARENA_NEW(arena, struct outcome);
	struct import_counts c;
	struct error e = { 0 };
	assert_int_equal(import_text("a,b\n1,2\n", "{\"kind\":\"example\",\"columns\":{\"a\":{\"as\":\"text\",\"to\":\"/content/input\"},\"b\":{\"as\":\"text\",\"to\":\"/content/input\"}}}",
		o, &c, &e), ERR_OK);
	assert_int_equal(o->n, 0);
	assert_int_equal(c.refused[IMPORT_REASON_INVALID], 1);
	assert_int_equal(import_text("a\n1\n", "{\"kind\":\"example\",\"columns\":{\"a\":{\"as\":\"text\",\"to\":\"/content/input/x\"}},\"constants\":{\"/content/input\":\"i\"}}",
		o, &c, &e), ERR_OK);
	assert_int_equal(c.refused[IMPORT_REASON_INVALID], 1);
	assert_int_equal(import_text("a\n1\n", "{\"kind\":\"example\",\"columns\":{\"a\":{\"as\":\"text\",\"to\":\"/content/tags/7\"}}}", o, &c, &e), ERR_OK);
	assert_int_equal(c.refused[IMPORT_REASON_INVALID], 1);
}

static void check_prompts(const char *name)
{
	static const char mapping[] = "{\"kind\":\"example\",\"system\":\"prompts.chat\",\"columns\":{\"act\":{\"as\":\"text\",\"to\":\"/content/title\"},"
		"\"prompt\":{\"as\":\"text\",\"to\":\"/content/input\"},\"for_devs\":{\"as\":\"tag\",\"to\":\"/content/tags/-\",\"when\":\"TRUE\"},"
		"\"type\":{\"as\":\"word\",\"to\":\"/content/format\"},\"contributor\":{\"as\":\"user\",\"separator\":\",\"}},\"constants\":{\"/lang\":\"en\"}}";
	const char *folder = getenv("COMMONHOLD_SHARED_DATA");
	const char *path = str_z(arena, str_fmt(arena, "%s/%s", folder ? folder : "../shared/data", name));
	FILE *f = fopen(path, "rb"), *model = f ? popen(str_z(arena, str_fmt(arena, "python3 tests/model/prompts_counts.py '%s'", path)), "r") : NULL;
	if (!f)
		skip();
	assert_non_null(model);
	char said[1024];
	size_t n = fread(said, 1, sizeof(said), model);
	assert_int_equal(pclose(model), 0);
	const struct json *expected;
	struct error e = { 0 };
	assert_int_equal(json_parse(arena, str_make(said, n), &expected, &e), ERR_OK);
	int fd = fileno(f);
	struct import_source source = import_from_fd(&fd);
	struct outcome *o = ARENA_NEW(arena, struct outcome);
	struct import_counts c;
	o->contents = hasher_new(arena);
	if (import(&source, mapping, o, &c, &e) != ERR_OK)
		fail_msg("%s", e.message);
	fclose(f);
	assert_int_equal(o->refused, 0);
	assert_int_equal(c.rows, json_int(json_get(expected, "rows"), 0));
	assert_int_equal(c.emitted, c.rows);
	assert_int_equal(o->authors, json_int(json_get(expected, "authors"), 0));
	assert_str(sha256_hex(arena, hasher_end(o->contents)), str_z(arena, json_member_text(expected, "digest")));
}

static void the_prompts_of_december_are_what_python_reads(void **state) { (void)state; check_prompts("prompts-2025-12.csv.gz"); }
static void the_prompts_of_january_are_what_python_reads(void **state) { (void)state; check_prompts("prompts-2026-01.csv.gz"); }
static void the_prompts_of_february_are_what_python_reads(void **state) { (void)state; check_prompts("prompts-2026-02.csv.gz"); }

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(records_are_what_rfc_4180_says_wherever_reads_are_cut),
		cmocka_unit_test(a_record_has_only_so_many_columns),
		cmocka_unit_test(every_kind_of_column_goes_where_the_mapping_says),
		cmocka_unit_test(a_chat_can_be_made_of_columns),
		cmocka_unit_test(a_wrong_mapping_or_header_is_refused_before_any_row),
		cmocka_unit_test(two_values_in_one_place_are_a_fault),
		cmocka_unit_test(the_prompts_of_december_are_what_python_reads),
		cmocka_unit_test(the_prompts_of_january_are_what_python_reads),
		cmocka_unit_test(the_prompts_of_february_are_what_python_reads),
	};
	return cmocka_run_group_tests(tests, set_up, tear_down);
}
