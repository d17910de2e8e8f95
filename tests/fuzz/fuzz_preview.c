/* Any bytes as a preview, as they are or signed. What is read lists no more than it says, everybody and everything in range, and is the same twice. */
#include "server/merge/preview/preview_internal.h"
#include "tests/fuzz/fuzz.h"

static struct str signed_by(struct arena *a, const struct sign_key *k, struct str body)
{
	uint8_t signature[64];
	struct str end = body.n && body.p[body.n - 1] == '\n' ? STR("") : STR("\n");
	body = str_cat(a, body, end);
	sign_bytes(k, str_cat(a, STR(PREVIEW_SIGNED_PREFIX), sha256_hex(a, sha256(body))), signature);
	return str_cat(a, body, str_fmt(a, "{\"key\":\"%.*s\",\"sig\":\"%.*s\"}\n", STR_ARG(str_hex(a, k->public_key, 32)), STR_ARG(str_base64(a, signature, 64))));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const uint8_t seed[32] = { 42 };
	struct outline one, two;
	struct error e = { 0 };
	struct sign_key k;
	if (size == 0 || !crypto_start())
		return 0;
	struct arena *a = arena_new(256 * MIB);
	struct str text = str_make(data + 1, size - 1);
	sign_key_from_seed(&k, seed);
	if (data[0] % 2)
		text = signed_by(a, &k, text);
	if (preview_read(a, text, &one, &e) == ERR_OK) {
		FUZZ_CHECK(one.n_people <= one.n_items && (int64_t)one.n_items <= one.candidates && one.from.n == 16 && one.to.n == 16);
		for (size_t i = 0; i < one.n_items; i++)
			FUZZ_CHECK(one.items[i].who < one.n_people && one.items[i].kind < POLICY_KIND_COUNT && one.items[i].bytes >= 0);
		FUZZ_CHECK(preview_read(a, text, &two, &e) == ERR_OK && sha256_eq(one.digest, two.digest) && one.n_items == two.n_items);
	} else {
		FUZZ_CHECK(e.code != ERR_OK && e.message[0]);
	}
	arena_free(a);
	return 0;
}
