/* Any bytes as a message between co-ops, or as what one of them signs. What is read names its sender, its receiver and its kind, and says what was signed. */
#include "commonhold/keychain.h"
#include "server/merge/peer/message_internal.h"
#include "tests/fuzz/fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const uint8_t seed[32] = { 42 };
	struct message m = { .at = INSTANT_NONE };
	struct sign_key k;
	if (size == 0 || !crypto_start())
		return 0;
	struct arena *a = arena_new(64 * MIB);
	struct call c = { .arena = a };
	struct str text = str_make(data + 1, size - 1), payload = text;
	sign_key_from_seed(&k, seed);
	bool wrapped = data[0] % 2;
	if (wrapped)
		text = dsse_sign(a, &k, 1, STR(MESSAGE_TYPE), text);
	if (message_read(&c, text, &m) == ERR_OK) {
		FUZZ_CHECK(m.type.n && m.from.n && m.to.n && json_is(m.body, JSON_OBJECT) && m.at != INSTANT_NONE && str_eq(m.envelope, text));
		FUZZ_CHECK(!wrapped || sha256_eq(m.digest, sha256(payload)));
	} else {
		FUZZ_CHECK(c.error.code != ERR_OK && c.error.code != ERR_INTERNAL);
	}
	arena_free(a);
	return 0;
}
