/* Any bytes as a provider's keys and token, a line each: nothing is taken that no key of ours signed, and nothing breaks. */
#include "tests/fuzz/fuzz.h"
#include "server/account/oidc_token.h"

#include "commonhold/limits.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct arena *a = arena_new(64 * MIB);
	struct str rest = str_make(data, size), jwks, jwt;
	struct id_token_want want = { STR("https://op.example"), STR("us"), STR("n"), INT64_C(1780000000) * CLOCK_SECOND };
	struct id_token out;
	struct error e = { 0 };
	FUZZ_CHECK(crypto_start());
	if (!str_split(&rest, '\n', &jwks))
		jwks = STR("");
	jwt = rest;
	enum err code = id_token_check(a, jwks, jwt, &want, &out, &e);
	FUZZ_CHECK(code == ERR_OK || (e.reason[0] && e.message[0] && (code == ERR_TOKEN_INVALID || code == ERR_TOKEN_EXPIRED)));
	arena_free(a);
	return 0;
}
