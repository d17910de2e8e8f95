/* Any bytes as a tombstone or as the head of a feed. What is taken must be in order and say what a tombstone must say; nothing that the key did not sign may pass for signed. */
#include "tests/fuzz/fuzz.h"
#include "commonhold/limits.h"
#include "commonhold/tombstone.h"

static void read_line(struct arena *a, struct str line, const uint8_t key[32])
{
	struct tombstone_chain start = tombstone_chain_start(STR("log")), chain = start;
	struct tombstone t;
	struct error e = { 0 };
	struct str coop;
	struct uuid id;
	if (tombstone_take(a, &chain, line, NULL, &t, &e) != ERR_OK) {
		FUZZ_CHECK(e.message[0] && chain.upto == start.upto && sha256_eq(chain.digest, start.digest));
		return;
	}
	FUZZ_CHECK(chain.upto == 0 && t.idx == 0 && sha256_eq(chain.digest, sha256(line)));
	FUZZ_CHECK(rid_parse(t.rid, &coop, &id) && t.reason_code.n && t.reason_code.n <= 64);
	FUZZ_CHECK((t.kind == TOMBSTONE_EMBARGO) == (t.until != INSTANT_NONE));
	FUZZ_CHECK(t.kind == TOMBSTONE_CORRECT || !t.replacement.p);
	chain = start;
	FUZZ_CHECK(tombstone_take(a, &chain, line, key, NULL, &e) != ERR_OK);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const uint8_t seed[32] = { 42 }; /* no fuzzer signs with it */
	struct tombstone_head head;
	struct error e = { 0 };
	struct sign_key k;
	if (size == 0 || !crypto_start())
		return 0;
	struct arena *a = arena_new(64 * MIB);
	struct str text = str_make(data + 1, size - 1);
	sign_key_from_seed(&k, seed);
	if (data[0] % 2)
		read_line(a, text, k.public_key);
	else
		FUZZ_CHECK(tombstone_head_read(a, text, k.public_key, STR("log"), &head, &e) != ERR_OK);
	arena_free(a);
	return 0;
}
