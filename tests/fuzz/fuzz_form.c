/* Any bytes as a form: the parsers end, what they give is UTF-8 text and lies inside bounds, and a well-formed part is never lost. The first byte says which kind. */
#include "server/web/web.h"
#include "tests/fuzz/fuzz.h"

static void check_form(const struct form *f, struct str body)
{
	size_t n = 0;
	for (const struct form_value *v = f->values; v; v = v->next, n++)
		FUZZ_CHECK(str_is_utf8(v->name) && str_is_utf8(v->value) && v->value.n <= body.n);
	for (const struct form_upload *u = f->uploads; u; u = u->next, n++)
		FUZZ_CHECK(str_is_utf8(u->name) && (u->file.content.n == 0 || (u->file.content.p >= body.p && u->file.content.p + u->file.content.n <= body.p + body.n)));
	FUZZ_CHECK(n <= LIMIT_FORM_FIELDS);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	if (size < 1)
		return 0;
	struct arena *arena = arena_new(64 * MIB);
	struct call call = { .arena = arena };
	struct str body = str_make(data + 1, size - 1);
	struct str type = data[0] & 1 ? STR("multipart/form-data; boundary=XX") : STR("application/x-www-form-urlencoded");
	struct form *f = NULL;
	if (data[0] & 2) { /* the header's own bytes */
		(void)header_parameter(arena, body, "boundary");
		(void)etag_listed(body, STR("tag"), true);
	}
	if (form_parse(&call, type, body, &f) == ERR_OK)
		check_form(f, body);
	else
		FUZZ_CHECK(call.error.code != ERR_OK);
	arena_free(arena);
	return 0;
}
