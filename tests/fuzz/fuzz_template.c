/* Any template, with itself as a partial, against one set of data: it is refused at load or renders within bounds, and what it renders is UTF-8 if it was. */
#include "tests/fuzz/fuzz.h"
#include "commonhold/template.h"

static const char data_text[] = "{\"a\":\"<x>\",\"l\":[1,{\"a\":\"b\"},[2,3]],\"o\":{\"a\":{\"b\":1.50}},\"t\":true,\"f\":false,\"n\":null,\"m\":\"1\\n2\"}";

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct arena *a = arena_new(16 * MIB);
	struct str text = str_make(data, size);
	struct template_source sources[] = { { STR("main"), text }, { STR("p"), STR("{{a}}\n{{#l}}\n{{.}} {{>q}}\n{{/l}}\n") }, { STR("q"), STR("{{m}}\nx") } };
	struct template_set *set;
	struct error e = { 0 };
	const struct json *v;
	struct buf out;
	buf_init(&out, MIB);
	FUZZ_CHECK(json_parse(a, str_of(data_text), &v, &e) == ERR_OK);
	if (template_compile(a, sources, CH_LEN(sources), false, &set, &e) == ERR_OK) {
		enum err code = template_render(set, a, "main", v, &out, &e);
		FUZZ_CHECK(code == e.code);
		/* A delimiter may be part of a character; with the usual ones none is cut. */
		if (code == ERR_OK && str_is_utf8(text) && str_index(text, '=') < 0)
			FUZZ_CHECK(str_is_utf8(buf_str(&out)));
	}
	buf_release(&out);
	arena_free(a);
	return 0;
}
