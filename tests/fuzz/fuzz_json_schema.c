/* A schema on the first line and a value behind it: whatever compiles, checks in bounded time, and says something when it refuses. */
#include "tests/fuzz/fuzz.h"
#include "commonhold/json.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct str value = str_make(data, size), schema;
	struct error e = { 0 };
	const struct json *document, *v;
	const struct json_schema *s;
	if (size == 0 || !str_split(&value, '\n', &schema) || !value.p)
		return 0;
	struct arena *a = arena_new(64 * MIB);
	if (json_parse(a, schema, &document, &e) == ERR_OK && json_parse(a, value, &v, &e) == ERR_OK) {
		error_clear(&e);
		if (json_schema_compile(a, document, NULL, NULL, &s, &e) == ERR_OK) {
			enum err code = json_schema_check(a, s, v, &e);
			FUZZ_CHECK(code == e.code && (code != ERR_INVALID || e.faults));
		}
	}
	arena_free(a);
	return 0;
}
