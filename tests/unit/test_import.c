/* Streaming importers: every format's rows become the contributions that import.h says, bad rows become verdicts, deleted ones nothing. The real data's counts
 * and contents are compared with what tests/model/oasst_counts.py derives from the same file. */
#include "commonhold/import.h"

#include <inttypes.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>
#include <zlib.h>
#include <cmocka.h>

static struct arena *arena;
static const struct contribution_schemas *schemas;

static int set_up(void **state)
{
	(void)state;
	struct error e = { 0 };
	arena = arena_new(256 * MIB);
	return arena && crypto_start() && contribution_schemas_load(arena, &schemas, &e) == ERR_OK ? 0 : -1;
}

static int tear_down(void **state)
{
	(void)state;
	arena_free(arena);
	return 0;
}

/* What a run gave. */
struct outcome {
	struct str items[64];       /* canonical JSON of the first items */
	struct str users[64];       /* their source_user */
	uint64_t lines[64];         /* their line */
	size_t n;                   /* how many of them */
	struct import_verdict verdicts[64];
	size_t refused;             /* verdicts told */
	size_t progressed;          /* progress told */
	struct buf sorted[POLICY_KIND_COUNT]; /* contents by kind, NUL-separated, when collecting */
	bool collect;
	enum err stop;              /* what the sink answers */
};

static enum err on_item(void *arg, const struct import_item *item, struct error *e)
{
	struct outcome *o = arg;
	if (o->stop)
		return error_set(e, o->stop, "enough");
	if (o->collect) {
		struct arena_mark mark = arena_mark(arena);
		const struct json *v;
		assert_int_equal(json_parse(arena, item->json, &v, e), ERR_OK);
		json_canonical(&o->sorted[item->kind], json_get(v, "content"), true);
		buf_add_byte(&o->sorted[item->kind], 0);
		arena_rewind(arena, mark);
	} else if (o->n < CH_LEN(o->items)) {
		o->items[o->n] = str_copy(arena, item->json);
		o->users[o->n] = str_copy(arena, item->source_user);
		o->lines[o->n] = item->line;
	}
	o->n++;
	return ERR_OK;
}

static void on_verdict(void *arg, const struct import_verdict *v)
{
	struct outcome *o = arg;
	if (o->refused < CH_LEN(o->verdicts)) {
		o->verdicts[o->refused] = *v;
		o->verdicts[o->refused].pointer = str_copy(arena, v->pointer);
		o->verdicts[o->refused].message = str_copy(arena, v->message);
		o->verdicts[o->refused].source_id = str_copy(arena, v->source_id);
	}
	o->refused++;
}

static void on_progress(void *arg, const struct import_counts *counts)
{
	(void)counts;
	((struct outcome *)arg)->progressed++;
}

/* A source that gives a few bytes at a time, so that every cut between reads occurs. */
struct dribble { struct str bytes; size_t at, piece; };

static ptrdiff_t read_dribble(void *arg, void *to, size_t n)
{
	struct dribble *d = arg;
	size_t left = d->bytes.n - d->at, take = d->piece < n ? d->piece : n;
	take = take < left ? take : left;
	memcpy(to, d->bytes.p + d->at, take);
	d->at += take;
	return (ptrdiff_t)take;
}

static enum err run_pieces(enum import_format format, struct str bytes, const char *mapping, size_t piece, struct outcome *o, struct import_counts *counts,
	struct error *e)
{
	struct import_options options = { .format = format, .schemas = schemas, .pseudonym_key = { 1, 2, 3 } };
	struct dribble d = { bytes, 0, piece };
	struct import_source source = { read_dribble, &d, bytes.n };
	struct import_sink sink = { on_item, on_verdict, on_progress, o };
	if (mapping)
		assert_int_equal(json_parse(arena, str_of(mapping), &options.mapping, e), ERR_OK);
	return import_run(&options, &source, &sink, counts, e);
}

static struct outcome *run(enum import_format format, const char *text, const char *mapping, struct import_counts *counts)
{
	struct outcome *first = NULL;
	for (size_t piece = 1; piece < 4096; piece = piece * 5 + 2) {
		struct outcome *o = ARENA_NEW(arena, struct outcome);
		struct error e = { 0 };
		if (run_pieces(format, str_of(text), mapping, piece, o, counts, &e) != ERR_OK)
			fail_msg("%s", e.message);
		assert_int_equal(o->n, counts->emitted);
		assert_true(o->progressed > 0);
		if (!first)
			first = o;
		assert_int_equal(o->n, first->n);
		assert_int_equal(o->refused, first->refused);
		for (size_t i = 0; i < o->n && i < CH_LEN(o->items); i++)
			assert_true(str_eq(o->items[i], first->items[i]) && o->lines[i] == first->lines[i]);
	}
	return first;
}

#define assert_str(s, z) do { struct str s_ = (s); const char *z_ = (z); if (!str_is(s_, z_)) fail_msg("%.*s\n is not\n%s", STR_ARG(s_), z_); } while (0)

static void our_own_lines_pass_as_they_are_and_bad_ones_get_their_line(void **state)
{
	(void)state;
	struct import_counts c;
	struct outcome *o = run(IMPORT_JSONL,
		"{\"kind\":\"example\",\"content\":{\"input\":\"one\"},\"source\":{\"system\":\"s\",\"ids\":[\"7\"]}}\n"
		"\n"
		"{\"kind\":\"example\",\"content\":{\"input\":}}\r\n"
		"{\"kind\":\"example\",\"content\":{\"input\":\"\"}}\n"
		"[1]\n"
		"{\"kind\":\"example\",\"content\":{\"input\":\"gone\"},\"deleted\":true,\"id\":\"x9\"}\n"
		"\"text\"\n"
		"{\"content\":{\"input\":\"two\"},\"kind\":\"example\"}", NULL, &c);
	assert_int_equal(o->n, 2);
	assert_str(o->items[0], "{\"content\":{\"input\":\"one\"},\"kind\":\"example\",\"source\":{\"ids\":[\"7\"],\"system\":\"s\"}}");
	assert_str(o->items[1], "{\"content\":{\"input\":\"two\"},\"kind\":\"example\"}");
	assert_int_equal(o->lines[1], 8);
	assert_int_equal(o->refused, 5);
	static const struct { uint64_t line; enum import_reason reason; } expected[] = {
		{ 3, IMPORT_REASON_BAD_JSON }, { 4, IMPORT_REASON_INVALID }, { 5, IMPORT_REASON_INVALID }, { 6, IMPORT_REASON_DELETED }, { 7, IMPORT_REASON_INVALID } };
	for (size_t i = 0; i < CH_LEN(expected); i++) {
		assert_int_equal(o->verdicts[i].line, expected[i].line);
		assert_int_equal(o->verdicts[i].reason, expected[i].reason);
		assert_true(o->verdicts[i].message.n > 0);
		assert_true(c.refused[expected[i].reason] > 0);
	}
	assert_true(str_starts(o->verdicts[0].message, "Line 3, column "));
	assert_str(o->verdicts[1].pointer, "/content/input");
	assert_str(o->verdicts[3].source_id, "x9");
	assert_int_equal(c.rows, 7);
}

static void the_options_fill_in_what_a_row_does_not_say(void **state)
{
	(void)state;
	struct import_options options = { .format = IMPORT_JSONL, .schemas = schemas, .lang = STR("de"), .licence = STR("CC0-1.0"), .attribution = STR("anonymous") };
	struct import_memory m = { STR("{\"kind\":\"example\",\"content\":{\"input\":\"1\"}}\n{\"kind\":\"example\",\"lang\":\"fr\",\"content\":{\"input\":\"2\"}}"), 0 };
	struct import_source source = import_from_memory(&m);
	struct outcome *o = ARENA_NEW(arena, struct outcome);
	struct import_sink sink = { on_item, NULL, NULL, o };
	struct import_counts c;
	struct error e = { 0 };
	assert_int_equal(import_run(&options, &source, &sink, &c, &e), ERR_OK);
	assert_str(o->items[0], "{\"attribution\":\"anonymous\",\"content\":{\"input\":\"1\"},\"kind\":\"example\",\"lang\":\"de\",\"licence\":\"CC0-1.0\"}");
	assert_str(o->items[1], "{\"attribution\":\"anonymous\",\"content\":{\"input\":\"2\"},\"kind\":\"example\",\"lang\":\"fr\",\"licence\":\"CC0-1.0\"}");
	assert_int_equal(c.bytes, m.bytes.n);
}

static void an_error_of_the_sink_ends_the_run(void **state)
{
	(void)state;
	struct outcome *o = ARENA_NEW(arena, struct outcome);
	struct import_counts c;
	struct error e = { 0 };
	o->stop = ERR_DB;
	assert_int_equal(run_pieces(IMPORT_JSONL, STR("{\"kind\":\"example\",\"content\":{\"input\":\"1\"}}"), NULL, 99, o, &c, &e), ERR_DB);
	assert_string_equal(e.message, "enough");
}

static struct str gzipped(struct str s)
{
	z_stream z = { 0 };
	assert_int_equal(deflateInit2(&z, 6, Z_DEFLATED, 15 + 16, 8, Z_DEFAULT_STRATEGY), Z_OK);
	unsigned char *out = arena_alloc(arena, s.n + 1024);
	z.next_in = (unsigned char *)(uintptr_t)s.p;
	z.avail_in = (uInt)s.n;
	z.next_out = out;
	z.avail_out = (uInt)s.n + 1024;
	assert_int_equal(deflate(&z, Z_FINISH), Z_STREAM_END);
	struct str r = str_make(out, z.total_out);
	deflateEnd(&z);
	return r;
}

static void gzip_is_recognised_members_follow_and_damage_is_said(void **state)
{
	(void)state;
	struct str a = gzipped(STR("{\"kind\":\"example\",\"content\":{\"input\":\"1\"}}\n{\"kind\":\"exa")), b = gzipped(STR("mple\",\"content\":{\"input\":\"2\"}}\n"));
	char *both = arena_alloc(arena, a.n + b.n);
	memcpy(both, a.p, a.n);
	memcpy(both + a.n, b.p, b.n);
	for (size_t piece = 1; piece < 1000; piece = piece * 7) {
		struct outcome *o = ARENA_NEW(arena, struct outcome);
		struct import_counts c;
		struct error e = { 0 };
		assert_int_equal(run_pieces(IMPORT_JSONL, str_make(both, a.n + b.n), NULL, piece, o, &c, &e), ERR_OK);
		assert_int_equal(o->n, 2);
		assert_int_equal(c.bytes, a.n + b.n);
		assert_int_equal(run_pieces(IMPORT_JSONL, str_make(both, a.n + b.n - 5), NULL, piece, o, &c, &e), ERR_BAD_REQUEST);
		both[a.n + 14] ^= 0x55;
		assert_int_not_equal(run_pieces(IMPORT_JSONL, str_make(both, a.n + b.n), NULL, piece, o, &c, &e), ERR_OK);
		both[a.n + 14] ^= 0x55;
	}
	struct outcome *o = ARENA_NEW(arena, struct outcome);
	struct import_counts c;
	struct error e = { 0 };
	assert_int_equal(run_pieces(IMPORT_OPENAI, STR("PK\x03\x04 and so on"), NULL, 9, o, &c, &e), ERR_MEDIA_TYPE);
	assert_true(e.hint[0] != 0);
}

static void a_line_or_element_over_the_limit_is_refused_and_the_next_is_read(void **state)
{
	(void)state;
	size_t n = IMPORT_VALUE_BYTES + 3 * MIB;
	struct buf b;
	buf_init(&b, 16 * MIB);
	for (int array = 0; array < 2; array++) {
		buf_clear(&b);
		buf_add_z(&b, array ? "[{\"a\":\"" : "{\"a\":\"");
		memset(buf_reserve(&b, n), 'x', n);
		b.n += n;
		buf_add_z(&b, array ? "\"},\n{\"kind\":\"example\",\"content\":{\"input\":\"1\"}}]" : "\"}\n{\"kind\":\"example\",\"content\":{\"input\":\"1\"}}\n");
		struct outcome *o = ARENA_NEW(arena, struct outcome);
		struct import_counts c;
		struct error e = { 0 };
		assert_int_equal(run_pieces(IMPORT_JSONL, buf_str(&b), NULL, 100000, o, &c, &e), ERR_OK);
		assert_int_equal(o->n, 1);
		assert_int_equal(c.refused[IMPORT_REASON_TOO_LARGE], 1);
		assert_int_equal(o->verdicts[0].line, 1);
		assert_int_equal(o->lines[0], 2);
	}
	buf_release(&b);
}

static void a_cut_array_gives_what_came_whole(void **state)
{
	(void)state;
	struct import_counts c;
	struct outcome *o = run(IMPORT_JSONL, " [ {\"kind\":\"example\",\"content\":{\"input\":\"a ] } , b \\\" \"}} ,\n\n 5, {\"kind\":\"exa", NULL, &c);
	assert_int_equal(o->n, 1);
	assert_int_equal(c.rows, 3);
	assert_int_equal(o->verdicts[0].reason, IMPORT_REASON_INVALID);
	assert_int_equal(o->verdicts[1].reason, IMPORT_REASON_BAD_JSON);
	assert_int_equal(o->verdicts[1].line, 3);
	o = run(IMPORT_JSONL, "[]", NULL, &c);
	assert_int_equal(c.rows, 0);
	o = run(IMPORT_JSONL, "", NULL, &c);
	assert_int_equal(c.rows, 0);
}

static void sharegpt_conversations_become_chats(void **state)
{
	(void)state;
	struct import_counts c;
	struct outcome *o = run(IMPORT_SHAREGPT,
		"[{\"id\":\"q1\",\"conversations\":[{\"from\":\"human\",\"value\":\"Hi\"},{\"from\":\"gpt\",\"value\":\"Hello\"}]},\n"
		"{\"messages\":[{\"role\":\"user\",\"content\":[{\"type\":\"text\",\"text\":\"a\"},{\"type\":\"text\",\"text\":\"b\"}]},{\"role\":\"assistant\",\"content\":\"c\"}],\"system\":\"Be kind\",\"model\":\"m\"},\n"
		"{\"id\":3,\"conversations\":[{\"from\":\"human\",\"value\":\"alone\"}]},\n"
		"{\"conversations\":[{\"from\":\"ghost\",\"value\":\"boo\"},{\"from\":\"gpt\",\"value\":\"x\"}]}]", NULL, &c);
	assert_int_equal(o->n, 2);
	assert_str(o->items[0], "{\"content\":{\"messages\":[{\"content\":\"Hi\",\"role\":\"user\"},{\"content\":\"Hello\",\"role\":\"assistant\"}]},\"kind\":\"chat\","
		"\"source\":{\"ids\":[\"q1\"],\"system\":\"sharegpt\"}}");
	assert_str(o->items[1], "{\"content\":{\"messages\":[{\"content\":\"Be kind\",\"role\":\"system\"},{\"content\":\"a\\n\\nb\",\"role\":\"user\"},"
		"{\"content\":\"c\",\"role\":\"assistant\"}]},\"kind\":\"chat\",\"model\":\"m\",\"source\":{\"system\":\"sharegpt\"}}");
	assert_int_equal(o->verdicts[0].reason, IMPORT_REASON_EMPTY);
	assert_str(o->verdicts[0].source_id, "3");
	assert_int_equal(o->verdicts[1].reason, IMPORT_REASON_INVALID);
	assert_int_equal(o->verdicts[1].line, 4);
}

static void preference_pairs_are_read_in_each_of_their_forms(void **state)
{
	(void)state;
	static const char same[] = "{\"content\":{\"chosen\":[{\"content\":\"good\",\"role\":\"assistant\"}],\"prompt\":[{\"content\":\"Q\",\"role\":\"user\"}],"
		"\"rejected\":[{\"content\":\"bad\",\"role\":\"assistant\"}]},\"kind\":\"preference\",\"source\":{\"system\":\"preference pairs\"}}";
	struct import_counts c;
	struct outcome *o = run(IMPORT_PREFERENCE,
		"{\"prompt\":\"Q\",\"chosen\":\"good\",\"rejected\":\"bad\"}\n"
		"{\"prompt\":[{\"role\":\"user\",\"content\":\"Q\"}],\"chosen\":[{\"role\":\"assistant\",\"content\":\"good\"}],\"rejected\":[{\"role\":\"assistant\",\"content\":\"bad\"}]}\n"
		"{\"chosen\":[{\"role\":\"user\",\"content\":\"Q\"},{\"role\":\"assistant\",\"content\":\"good\"}],\"rejected\":[{\"role\":\"user\",\"content\":\"Q\"},{\"role\":\"assistant\",\"content\":\"bad\"}]}\n"
		"{\"prompt\":\"Q\",\"chosen\":[{\"role\":\"user\",\"content\":\"Q\"},{\"role\":\"assistant\",\"content\":\"good\"}],\"rejected\":[{\"role\":\"user\",\"content\":\"Q\"},{\"role\":\"assistant\",\"content\":\"bad\"}]}\n"
		"{\"chosen\":\"\\n\\nHuman: Q\\n\\nAssistant: good\",\"rejected\":\"\\n\\nHuman: Q\\n\\nAssistant: bad\"}\n"
		"{\"conversations\":[{\"from\":\"human\",\"value\":\"Q\"}],\"chosen\":{\"from\":\"gpt\",\"value\":\"good\"},\"rejected\":{\"from\":\"gpt\",\"value\":\"bad\"}}\n"
		"{\"chosen\":\"good\",\"rejected\":\"bad\"}\n"
		"{\"prompt\":\"Q\",\"chosen\":\"same\",\"rejected\":\"same\"}\n"
		"{\"prompt\":\"Q\",\"chosen\":5,\"rejected\":\"bad\"}\n", NULL, &c);
	assert_int_equal(o->n, 6);
	for (size_t i = 0; i < 6; i++)
		assert_str(o->items[i], same);
	assert_int_equal(c.refused[IMPORT_REASON_INVALID], 3);
}

static void an_openai_export_gives_the_branch_that_its_owner_saw(void **state)
{
	(void)state;
	struct import_counts c;
	struct outcome *o = run(IMPORT_OPENAI,
		"[{\"title\":\"T\",\"create_time\":1700000000.25,\"conversation_id\":\"c1\",\"current_node\":\"d\",\"mapping\":{"
		"\"r\":{\"id\":\"r\",\"message\":null,\"parent\":null,\"children\":[\"s\"]},"
		"\"s\":{\"id\":\"s\",\"message\":{\"id\":\"s\",\"author\":{\"role\":\"system\"},\"content\":{\"content_type\":\"text\",\"parts\":[\"\"]}},\"parent\":\"r\",\"children\":[\"a\"]},"
		"\"a\":{\"id\":\"a\",\"message\":{\"id\":\"a\",\"author\":{\"role\":\"user\"},\"content\":{\"content_type\":\"multimodal_text\",\"parts\":[{\"asset\":1},\"Q\"]}},\"parent\":\"s\",\"children\":[\"b\",\"c\"]},"
		"\"b\":{\"id\":\"b\",\"message\":{\"id\":\"b\",\"author\":{\"role\":\"assistant\"},\"content\":{\"content_type\":\"text\",\"parts\":[\"old\"]}},\"parent\":\"a\",\"children\":[]},"
		"\"c\":{\"id\":\"c\",\"message\":{\"id\":\"c\",\"author\":{\"role\":\"assistant\"},\"recipient\":\"python\",\"content\":{\"content_type\":\"code\",\"text\":\"1\"}},\"parent\":\"a\",\"children\":[\"d\"]},"
		"\"d\":{\"id\":\"d\",\"message\":{\"id\":\"d\",\"author\":{\"role\":\"assistant\"},\"content\":{\"content_type\":\"text\",\"parts\":[\"new\"]},\"metadata\":{\"model_slug\":\"gpt-x\"}},\"parent\":\"c\",\"children\":[]}}},\n"
		"{\"title\":\"loop\",\"current_node\":\"a\",\"mapping\":{\"a\":{\"parent\":\"b\"},\"b\":{\"parent\":\"a\"}}},\n"
		"{\"nothing\":1}]", NULL, &c);
	assert_int_equal(o->n, 1);
	assert_str(o->items[0], "{\"application\":\"ChatGPT\",\"content\":{\"messages\":[{\"content\":\"Q\",\"role\":\"user\"},{\"content\":\"new\",\"role\":\"assistant\"}],\"title\":\"T\"},"
		"\"created\":\"2023-11-14T22:13:20Z\",\"kind\":\"chat\",\"model\":\"gpt-x\","
		"\"processing\":[{\"found\":{\"parts_without_text_left_out\":1},\"processor\":\"commonhold import\",\"stage\":\"pre_submission\"}],"
		"\"provider\":{\"name\":\"OpenAI\"},\"source\":{\"ids\":[\"a\",\"d\"],\"system\":\"openai\"}}");
	assert_int_equal(o->verdicts[0].reason, IMPORT_REASON_EMPTY);
	assert_int_equal(o->verdicts[1].reason, IMPORT_REASON_INVALID);
}

static void an_anthropic_export_gives_its_messages_in_order(void **state)
{
	(void)state;
	struct import_counts c;
	struct outcome *o = run(IMPORT_ANTHROPIC,
		"[{\"uuid\":\"u\",\"name\":\"N\",\"created_at\":\"2025-03-01T10:00:00.000000Z\",\"account\":{\"uuid\":\"secret-account\"},\"chat_messages\":["
		"{\"uuid\":\"1\",\"sender\":\"human\",\"text\":\"Q\",\"content\":[{\"type\":\"text\",\"text\":\"Q\"}],\"files\":[{\"file_name\":\"x\"}]},"
		"{\"uuid\":\"2\",\"sender\":\"assistant\",\"text\":\"A\",\"content\":[]}]}]", NULL, &c);
	assert_int_equal(o->n, 1);
	assert_str(o->items[0], "{\"application\":\"Claude\",\"content\":{\"messages\":[{\"content\":\"Q\",\"role\":\"user\"},{\"content\":\"A\",\"role\":\"assistant\"}],\"title\":\"N\"},"
		"\"created\":\"2025-03-01T10:00:00Z\",\"kind\":\"chat\","
		"\"processing\":[{\"found\":{\"parts_without_text_left_out\":1},\"processor\":\"commonhold import\",\"stage\":\"pre_submission\"}],"
		"\"provider\":{\"name\":\"Anthropic\"},\"source\":{\"ids\":[\"1\",\"2\"],\"system\":\"anthropic\"}}");
}

#define ROW(id, parent, role, text, more) "{\"message_id\":\"" id "\",\"parent_id\":" parent ",\"user_id\":\"user-" id "\",\"text\":\"" text \
	"\",\"role\":\"" role "\",\"message_tree_id\":\"t\"" more "}\n"

static void nothing_that_holds_a_deleted_row_is_emitted(void **state)
{
	(void)state;
	struct import_counts c;
	struct outcome *o = run(IMPORT_OPENASSISTANT,
		ROW("p", "null", "prompter", "Q", "")
		ROW("b", "\"p\"", "assistant", "gone", ",\"rank\":1,\"deleted\":true,\"emojis\":{\"+1\":3},\"labels\":{\"spam\":{\"value\":1.0,\"count\":1}}")
		ROW("a", "\"p\"", "assistant", "best", ",\"rank\":0,\"lang\":\"en\",\"emojis\":{\"+1\":2,\"_skip_reply\":4,\"red_flag\":0}")
		ROW("c", "\"p\"", "assistant", "worst", ",\"rank\":2")
		ROW("d", "\"b\"", "prompter", "below the deleted", "")
		ROW("e", "\"zz\"", "prompter", "lost", "")
		ROW("a", "\"p\"", "assistant", "again", ""), NULL, &c);
	assert_int_equal(o->n, 4);
	for (size_t i = 0; i < o->n; i++) {
		assert_null(memmem(o->items[i].p, o->items[i].n, "gone", 4));
		assert_null(memmem(o->items[i].p, o->items[i].n, "below", 5));
		assert_null(memmem(o->items[i].p, o->items[i].n, "user-", 5));
	}
	assert_int_equal(c.by_kind[POLICY_KIND_CHAT], 2);
	assert_int_equal(c.by_kind[POLICY_KIND_PREFERENCE], 1);
	assert_int_equal(c.by_kind[POLICY_KIND_SIGNAL], 1);
	assert_int_equal(c.pairs_ranked, 3);
	assert_int_equal(c.pairs_withheld, 2);
	assert_int_equal(c.refused[IMPORT_REASON_DELETED], 1);
	assert_int_equal(c.refused[IMPORT_REASON_UNDER_DELETED], 1);
	assert_int_equal(c.refused[IMPORT_REASON_PARENT_MISSING], 1);
	assert_int_equal(c.refused[IMPORT_REASON_DUPLICATE_ID], 1);
	assert_int_equal(c.ignored, 2);
	for (size_t i = 0; i < o->refused; i++)
		assert_true(o->verdicts[i].source_id.n == 1);
}

static void authors_are_pseudonyms_beside_the_rows_they_wrote(void **state)
{
	(void)state;
	struct import_counts c;
	struct outcome *o = run(IMPORT_OPENASSISTANT, ROW("p", "null", "prompter", "Q", "") ROW("a", "\"p\"", "assistant", "A", ""), NULL, &c);
	const struct json *v;
	struct error e = { 0 };
	assert_int_equal(o->n, 1);
	assert_str(o->users[0], "user-a");
	assert_int_equal(json_parse(arena, o->items[0], &v, &e), ERR_OK);
	assert_str(json_text(json_at(v, "/source/ids/0")), "p");
	assert_str(json_text(json_at(v, "/source/ids/1")), "a");
	struct str first = json_text(json_at(v, "/source/authors/0")), second = json_text(json_at(v, "/source/authors/1"));
	assert_true(str_starts(first, "a-") && first.n == 18 && second.n == 18 && !str_eq(first, second));
}

static void the_same_id_marked_deleted_anywhere_is_deleted(void **state)
{
	(void)state;
	struct import_counts c;
	run(IMPORT_OPENASSISTANT, ROW("p", "null", "prompter", "Q", "") ROW("a", "\"p\"", "assistant", "A", "") ROW("a", "\"p\"", "assistant", "A", ",\"deleted\":true"), NULL, &c);
	assert_int_equal(c.emitted, 0);
	assert_int_equal(c.refused[IMPORT_REASON_DELETED], 1);
}

static void a_cycle_of_parents_is_lost_and_not_followed(void **state)
{
	(void)state;
	struct import_counts c;
	run(IMPORT_OPENASSISTANT, ROW("p", "\"a\"", "prompter", "Q", "") ROW("a", "\"p\"", "assistant", "A", "") ROW("s", "\"s\"", "assistant", "A", ""), NULL, &c);
	assert_int_equal(c.emitted, 0);
	assert_int_equal(c.refused[IMPORT_REASON_PARENT_MISSING], 3);
}

static void a_tree_that_is_too_large_is_refused_whole_and_others_are_not(void **state)
{
	(void)state;
	struct buf b;
	buf_init(&b, 64 * MIB);
	buf_add_z(&b, "{\"message_id\":\"p\",\"parent_id\":null,\"text\":\"Q\",\"role\":\"prompter\",\"message_tree_id\":\"big\"}\n");
	for (int i = 0; i < IMPORT_TREE_MESSAGES + 5; i++)
		buf_addf(&b, "{\"message_id\":\"m%d\",\"parent_id\":\"p\",\"text\":\"A\",\"role\":\"assistant\",\"message_tree_id\":\"big\"}\n", i);
	buf_add_z(&b, ROW("p", "null", "prompter", "Q", "") ROW("a", "\"p\"", "assistant", "A", ""));
	struct outcome *o = ARENA_NEW(arena, struct outcome);
	struct import_counts c;
	struct error e = { 0 };
	assert_int_equal(run_pieces(IMPORT_OPENASSISTANT, buf_str(&b), NULL, 65536, o, &c, &e), ERR_OK);
	assert_int_equal(c.emitted, 1);
	assert_int_equal(c.refused[IMPORT_REASON_TREE_TOO_LARGE], IMPORT_TREE_MESSAGES + 6);
	buf_release(&b);
}

static void the_window_of_open_trees_is_bounded_and_late_messages_are_said_to_be_late(void **state)
{
	(void)state;
	struct buf b;
	buf_init(&b, 64 * MIB);
	buf_add_z(&b, ROW("p", "null", "prompter", "Q", "") ROW("a", "\"p\"", "assistant", "A", ""));
	char filler[4096];
	memset(filler, 'f', sizeof(filler));
	size_t others = IMPORT_WINDOW / sizeof(filler) + 200;
	for (size_t i = 0; i < others; i++)
		buf_addf(&b, "{\"message_id\":\"m\",\"parent_id\":null,\"text\":\"%.4096s\",\"role\":\"prompter\",\"message_tree_id\":\"t%zu\"}\n", filler, i);
	buf_add_z(&b, ROW("late", "\"a\"", "prompter", "B", ""));
	struct outcome *o = ARENA_NEW(arena, struct outcome);
	struct import_counts c;
	struct error e = { 0 };
	assert_int_equal(run_pieces(IMPORT_OPENASSISTANT, buf_str(&b), NULL, 65536, o, &c, &e), ERR_OK);
	assert_int_equal(c.emitted, 1);
	assert_int_equal(c.refused[IMPORT_REASON_EMPTY], others);
	assert_int_equal(c.refused[IMPORT_REASON_PARENT_MISSING], 1);
	buf_release(&b);
}

/* Where the real data is; NULL skips. */
static const char *shared_file(const char *name)
{
	const char *folder = getenv("COMMONHOLD_SHARED_DATA");
	const char *path = str_z(arena, str_fmt(arena, "%s/%s", folder ? folder : "../shared/data", name));
	return access(path, R_OK) == 0 ? path : NULL;
}

static struct str output_of(const char *arguments, const char *path)
{
	FILE *p = popen(str_z(arena, str_fmt(arena, "python3 tests/model/oasst_counts.py %s '%s'", arguments, path)), "r");
	struct buf b;
	assert_non_null(p);
	buf_init(&b, 64 * MIB);
	for (size_t got = 1; got > 0; b.n += got)
		got = fread(buf_reserve(&b, 65536), 1, 65536, p);
	if (pclose(p) != 0)
		fail_msg("tests/model/oasst_counts.py failed");
	struct str copy = str_copy(arena, buf_str(&b));
	buf_release(&b);
	return copy;
}

static int by_bytes(const void *a, const void *b)
{
	return strcmp(*(const char *const *)a, *(const char *const *)b);
}

/* SHA-256 over the sorted contents of a kind, a line each: as the model makes it. */
static struct str digest_of(struct buf *contents, size_t n)
{
	const char **line = malloc((n + 1) * sizeof(*line));
	const char *at = contents->p;
	for (size_t i = 0; i < n; i++, at += strlen(at) + 1)
		line[i] = at;
	qsort(line, n, sizeof(*line), by_bytes);
	struct hasher *h = hasher_new(arena);
	for (size_t i = 0; i < n; i++) {
		hasher_add(h, line[i], strlen(line[i]));
		hasher_add(h, "\n", 1);
	}
	free(line);
	return sha256_hex(arena, hasher_end(h));
}

static void check_real(struct import_source source, const struct json *model, bool flat)
{
	static const struct { const char *name; unsigned kind; } kinds[] = {
		{ "chat", POLICY_KIND_CHAT }, { "preference", POLICY_KIND_PREFERENCE }, { "signal", POLICY_KIND_SIGNAL }, { "feedback", POLICY_KIND_FEEDBACK } };
	struct import_options options = { .format = IMPORT_OPENASSISTANT, .schemas = schemas, .licence = STR("Apache-2.0"), .pseudonym_key = { 7 } };
	struct outcome *o = ARENA_NEW(arena, struct outcome);
	struct import_sink sink = { on_item, on_verdict, on_progress, o };
	struct import_counts c;
	struct error e = { 0 };
	o->collect = true;
	for (unsigned k = 0; k < POLICY_KIND_COUNT; k++)
		buf_init(&o->sorted[k], 64 * MIB);
	if (import_run(&options, &source, &sink, &c, &e) != ERR_OK)
		fail_msg("%s", e.message);
	const struct json *counts = json_get(model, "counts");
	for (size_t i = 0; i < CH_LEN(kinds); i++) {
		assert_int_equal(c.by_kind[kinds[i].kind], json_int(json_get(counts, kinds[i].name), 0));
		struct str digest = digest_of(&o->sorted[kinds[i].kind], c.by_kind[kinds[i].kind]);
		assert_str(digest, str_z(arena, json_member_text(json_get(model, "digests"), kinds[i].name)));
	}
	assert_int_equal(c.refused[IMPORT_REASON_DELETED], json_int(json_get(counts, "deleted"), 0));
	assert_int_equal(c.refused[IMPORT_REASON_UNDER_DELETED], json_int(json_get(counts, "under_deleted"), 0));
	assert_int_equal(c.refused[IMPORT_REASON_EMPTY], json_int(json_get(counts, "empty"), 0));
	assert_int_equal(c.pairs_ranked, json_int(json_get(counts, "pairs_ranked"), 0));
	assert_int_equal(c.pairs_withheld, json_int(json_get(counts, "pairs_withheld"), 0));
	assert_int_equal(c.refused[IMPORT_REASON_INVALID] + c.refused[IMPORT_REASON_BAD_JSON] + c.refused[IMPORT_REASON_TOO_LARGE], 0);
	if (flat) {
		assert_int_equal(c.rows, json_int(json_get(counts, "rows"), 0));
		assert_int_equal(c.refused[IMPORT_REASON_PARENT_MISSING], json_int(json_get(counts, "parent_missing"), 0));
		assert_int_equal(c.ignored, json_int(json_get(counts, "ignored"), 0));
	}
	for (unsigned k = 0; k < POLICY_KIND_COUNT; k++)
		buf_release(&o->sorted[k]);
}

static void real_messages_give_what_the_file_itself_says_in_either_layout_and_any_order(void **state)
{
	(void)state;
	const char *path = shared_file("oasst-en-validation.jsonl.gz");
	const struct json *model;
	struct error e = { 0 };
	if (!path)
		skip();
	assert_int_equal(json_parse(arena, output_of("", path), &model, &e), ERR_OK);
	assert_int_equal(json_int(json_at(model, "/counts/pairs_ranked"), 0), 1026);
	assert_int_equal(json_int(json_at(model, "/counts/deleted"), 0), 40);
	FILE *f = fopen(path, "rb");
	assert_non_null(f);
	int fd = fileno(f);
	struct import_source file = import_from_fd(&fd);
	assert_true(file.size > 0);
	check_real(file, model, true);
	fclose(f);
	struct import_memory shuffled = { output_of("--shuffled", path), 0 }, nested = { output_of("--nested", path), 0 };
	check_real(import_from_memory(&shuffled), model, true);
	check_real(import_from_memory(&nested), model, false);
}

static void formats_and_reasons_have_words(void **state)
{
	(void)state;
	for (unsigned f = 0; f < IMPORT_FORMAT_COUNT; f++)
		assert_int_equal(import_format_find(str_of(import_format_word(f))), f);
	assert_int_equal(import_format_find(STR("parquet")), -1);
	for (unsigned r = 0; r < IMPORT_REASON_COUNT; r++)
		assert_true(import_reason_word(r) && import_reason_text(r));
	assert_null(import_reason_word(IMPORT_REASON_COUNT));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(our_own_lines_pass_as_they_are_and_bad_ones_get_their_line),
		cmocka_unit_test(the_options_fill_in_what_a_row_does_not_say),
		cmocka_unit_test(an_error_of_the_sink_ends_the_run),
		cmocka_unit_test(gzip_is_recognised_members_follow_and_damage_is_said),
		cmocka_unit_test(a_line_or_element_over_the_limit_is_refused_and_the_next_is_read),
		cmocka_unit_test(a_cut_array_gives_what_came_whole),
		cmocka_unit_test(sharegpt_conversations_become_chats),
		cmocka_unit_test(preference_pairs_are_read_in_each_of_their_forms),
		cmocka_unit_test(an_openai_export_gives_the_branch_that_its_owner_saw),
		cmocka_unit_test(an_anthropic_export_gives_its_messages_in_order),
		cmocka_unit_test(nothing_that_holds_a_deleted_row_is_emitted),
		cmocka_unit_test(authors_are_pseudonyms_beside_the_rows_they_wrote),
		cmocka_unit_test(the_same_id_marked_deleted_anywhere_is_deleted),
		cmocka_unit_test(a_cycle_of_parents_is_lost_and_not_followed),
		cmocka_unit_test(a_tree_that_is_too_large_is_refused_whole_and_others_are_not),
		cmocka_unit_test(the_window_of_open_trees_is_bounded_and_late_messages_are_said_to_be_late),
		cmocka_unit_test(real_messages_give_what_the_file_itself_says_in_either_layout_and_any_order),
		cmocka_unit_test(formats_and_reasons_have_words),
	};
	return cmocka_run_group_tests(tests, set_up, tear_down);
}
