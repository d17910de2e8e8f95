/* Any bytes in any format: the import ends, what it emits is canonical and passes contribution.json, and the cuts between reads make no difference. First byte:
 * the format; second: how to cut. */
#include "tests/fuzz/fuzz.h"
#include "commonhold/import.h"

static struct arena *arena;
static const struct contribution_schemas *schemas;
static const struct json *mapping;

static const char mapping_text[] = "{\"kind\":\"example\",\"columns\":{\"a\":{\"as\":\"text\",\"to\":\"/content/input\"},\"b\":{\"as\":\"list\",\"to\":\"/content/tags\"},"
	"\"c\":{\"as\":\"word\",\"to\":\"/content/format\"},\"d\":{\"as\":\"user\"},\"e\":{\"as\":\"deleted\"},\"f\":{\"as\":\"id\"}}}";

/* The bytes, some at a time. */
struct pieces { const uint8_t *data; size_t size, at, piece; };

static ptrdiff_t read_pieces(void *arg, void *to, size_t n)
{
	struct pieces *p = arg;
	size_t left = p->size - p->at, take = p->piece < n ? p->piece : n;
	take = take < left ? take : left;
	memcpy(to, p->data + p->at, take);
	p->at += take;
	return (ptrdiff_t)take;
}

/* What a run gave. */
struct seen { struct buf items; uint64_t verdicts; };

static enum err on_item(void *arg, const struct import_item *item, struct error *e)
{
	struct seen *s = arg;
	struct arena_mark mark = arena_mark(arena);
	const struct json *v;
	struct contribution_draft draft;
	FUZZ_CHECK(json_parse(arena, item->json, &v, e) == ERR_OK);
	FUZZ_CHECK(contribution_canonical(arena, schemas, v, &draft, e) == ERR_OK);
	FUZZ_CHECK(draft.kind == item->kind && item->line > 0);
	arena_rewind(arena, mark);
	buf_add_str(&s->items, item->json);
	return ERR_OK;
}

static void on_verdict(void *arg, const struct import_verdict *v)
{
	struct seen *s = arg;
	FUZZ_CHECK(v->line > 0 && v->message.n > 0 && v->reason < IMPORT_REASON_COUNT);
	s->verdicts++;
}

static enum err run(enum import_format format, const uint8_t *data, size_t size, size_t piece, struct seen *s)
{
	struct import_options options = { .format = format, .schemas = schemas, .mapping = mapping };
	struct pieces p = { data, size, 0, piece };
	struct import_source source = { read_pieces, &p, 0 };
	struct import_sink sink = { on_item, on_verdict, NULL, s };
	struct import_counts c;
	struct error e = { 0 };
	uint64_t refused = 0;
	buf_init(&s->items, 64 * MIB);
	s->verdicts = 0;
	enum err code = import_run(&options, &source, &sink, &c, &e);
	FUZZ_CHECK(code == e.code);
	for (unsigned r = 0; r < IMPORT_REASON_COUNT; r++)
		refused += c.refused[r];
	FUZZ_CHECK(refused == s->verdicts && c.bytes <= size);
	return code;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct seen whole, cut;
	struct error e = { 0 };
	if (!arena) {
		arena = arena_new(256 * MIB);
		FUZZ_CHECK(arena && crypto_start() && contribution_schemas_load(arena, &schemas, &e) == ERR_OK);
		FUZZ_CHECK(json_parse(arena, str_of(mapping_text), &mapping, &e) == ERR_OK);
	}
	if (size < 2)
		return 0;
	enum import_format format = data[0] % IMPORT_FORMAT_COUNT;
	enum err first = run(format, data + 2, size - 2, size, &whole), second = run(format, data + 2, size - 2, data[1] % 32 + 1, &cut);
	FUZZ_CHECK(first == second && whole.verdicts == cut.verdicts);
	FUZZ_CHECK(str_eq(buf_str(&whole.items), buf_str(&cut.items)));
	buf_release(&whole.items);
	buf_release(&cut.items);
	return 0;
}
