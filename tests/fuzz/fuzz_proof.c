/* Any bytes as what strangers hand us around signatures: proofs, notes, tile addresses, verifier keys, minisign texts, envelopes. The first byte chooses the reader. What
 * is accepted must be written again as it came in, and nothing that the key did not sign may verify. */
#include "tests/fuzz/fuzz.h"
#include "commonhold/ledger.h"
#include "commonhold/limits.h"

static void read_proof(struct arena *a, struct str text)
{
	struct tlog_proof p;
	struct error e = { 0 };
	if (tlog_proof_read(a, text, &p, &e) == ERR_OK)
		FUZZ_CHECK(str_eq(tlog_proof_write(a, &p), text));
}

static void read_tile_path(struct arena *a, struct str text)
{
	struct tile_path p;
	if (tile_path_parse(text, &p))
		FUZZ_CHECK(str_eq(tile_path_format(a, p), text));
}

static void read_verifier_key(struct arena *a, struct str text)
{
	struct str origin;
	uint8_t key[32];
	if (note_verifier_parse(a, text, &origin, key)) {
		/* the key id's digits may be upper-case; otherwise there is one form */
		struct str again = note_verifier_key(a, origin, key);
		FUZZ_CHECK(again.n == text.n && str_starts(text, str_z(a, origin)));
	}
}

/* No fuzzer signs: the key is made from a seed that it does not know. */
static void read_signed(struct arena *a, unsigned what, struct str text)
{
	static const uint8_t seed[32] = { 42 };
	struct sign_key k;
	struct str payload;
	struct sha256 root;
	uint64_t size;
	struct error e = { 0 };
	sign_key_from_seed(&k, seed);
	uint8_t keys[1][32];
	memcpy(keys[0], k.public_key, 32);
	if (what == 0)
		FUZZ_CHECK(checkpoint_verify(a, text, STR("log"), k.public_key, &size, &root, &e) != ERR_OK);
	else if (what == 1)
		FUZZ_CHECK(!minisign_verify(a, k.public_key, STR("message"), text));
	else
		FUZZ_CHECK(dsse_verify(a, text, (const uint8_t (*)[32])keys, 1, 1, STR("t"), &payload, &e) != ERR_OK);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	if (size == 0 || !crypto_start())
		return 0;
	struct arena *a = arena_new(64 * MIB);
	struct str text = str_make(data + 1, size - 1);
	switch (data[0] % 6) {
	case 0: read_proof(a, text); break;
	case 1: read_tile_path(a, text); break;
	case 2: read_verifier_key(a, text); break;
	default: read_signed(a, data[0] % 6 - 3, text); break;
	}
	arena_free(a);
	return 0;
}
