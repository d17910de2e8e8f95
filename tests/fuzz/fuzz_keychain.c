/* Any bytes as keys.json, or as changes to one that is sound. What is taken must be exactly what it would be written as, hold together in itself, and lead nowhere that its keys have not signed. */
#include "tests/fuzz/fuzz.h"
#include "commonhold/keychain.h"
#include "commonhold/limits.h"

#define KEYS 3

static struct keychain sound(struct arena *a)
{
	struct sign_key keys[KEYS];
	struct error e = { 0 };
	for (uint8_t i = 0; i < KEYS; i++)
		sign_key_from_seed(&keys[i], (const uint8_t[32]){ 42, i });
	struct keychain chain = keychain_single(a, keys[0].public_key);
	for (int i = 1; i < KEYS; i++)
		FUZZ_CHECK(keychain_extend(a, &chain, &keys[i - 1], &keys[i], i * CLOCK_HOUR, i * 10, &chain, &e) == ERR_OK);
	return chain;
}

static void look(struct arena *a, struct str text, const struct keychain *of)
{
	struct keychain chain, again;
	struct error e = { 0 };
	if (keychain_read(a, text, &chain, &e) != ERR_OK) {
		FUZZ_CHECK(e.message[0]);
		return;
	}
	FUZZ_CHECK(chain.n >= 1 && chain.n <= KEYCHAIN_KEYS_MAX && str_eq(chain.name, coop_key_name(a, keychain_first(&chain))));
	FUZZ_CHECK(keychain_read(a, chain.text, &again, &e) == ERR_OK && str_eq(again.text, chain.text));
	/* whoever lacks the secrets makes nothing of it but beginnings */
	if (keychain_find(&chain, keychain_first(of)) == 0)
		FUZZ_CHECK(keychain_continues(of, &chain));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	if (size < 2 || !crypto_start())
		return 0;
	struct arena *a = arena_new(64 * MIB);
	struct keychain of = sound(a);
	if (data[0] % 2) {
		look(a, str_make(data + 1, size - 1), &of);
	} else {
		/* the rest: pairs of place and byte, written over the document */
		char *text = arena_alloc(a, of.text.n);
		memcpy(text, of.text.p, of.text.n);
		for (size_t i = 1; i + 2 < size; i += 3)
			text[(data[i] << 8 | data[i + 1]) % of.text.n] = (char)data[i + 2];
		look(a, str_make(text, of.text.n), &of);
	}
	arena_free(a);
	return 0;
}
