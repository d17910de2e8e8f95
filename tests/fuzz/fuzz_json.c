/* Any bytes: the parser refuses them, and so does the scan for canonical text, or gives a tree whose canonical form is a fixed point, whose pointers lead back, and which equals itself read again. */
#include "tests/fuzz/fuzz.h"
#include "commonhold/json.h"

static void check_pointers(struct arena *a, const struct json *root)
{
	size_t left = 50;
	for (const struct json *v = root; v && left--; v = v->child ? v->child : v->next) {
		const char *pointer = str_z(a, json_pointer(a, v));
		FUZZ_CHECK(json_at(root, pointer) == v);
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct arena *a = arena_new(64 * MIB);
	struct error e = { 0 };
	const struct json *v, *again;
	struct buf once, twice;
	buf_init(&once, 16 * MIB);
	buf_init(&twice, 16 * MIB);
	struct str text = str_make(data, size);
	enum err code = json_parse(a, text, &v, &e);
	FUZZ_CHECK(code == e.code);
	if (code == ERR_OK) {
		FUZZ_CHECK(str_is_utf8(text));
		json_canonical(&twice, v, false);
		buf_clear(&twice);
		json_canonical(&once, v, true);
		FUZZ_CHECK(json_is_canonical(buf_str(&once)));
		FUZZ_CHECK(json_is_canonical(text) == str_eq(buf_str(&once), text));
		FUZZ_CHECK(json_parse(a, buf_str(&once), &again, &e) == ERR_OK);
		json_canonical(&twice, again, true);
		FUZZ_CHECK(str_eq(buf_str(&once), buf_str(&twice)));
		FUZZ_CHECK(json_equal(v, again));
		check_pointers(a, v);
	} else {
		FUZZ_CHECK(!json_is_canonical(text));
	}
	buf_release(&once);
	buf_release(&twice);
	arena_free(a);
	return 0;
}
