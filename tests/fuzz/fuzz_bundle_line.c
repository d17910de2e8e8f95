/* Any bytes as a line of a bundle: a record, what a home says of a person or of records, a label, a tombstone. What is read keeps to its form, and nothing that no key signed passes for signed. */
#include "commonhold/bundle.h"
#include "commonhold/guest.h"
#include "commonhold/onward.h"
#include "tests/fuzz/fuzz.h"

static void as_record(struct arena *a, struct str line)
{
	struct bundle_record r;
	struct error e = { 0 };
	struct str home;
	struct uuid id;
	if (bundle_record_read(a, line, &r, &e) != ERR_OK) {
		FUZZ_CHECK(e.code == ERR_REFUSED && e.reason[0]);
		return;
	}
	FUZZ_CHECK(rid_parse(r.rid, &home, &id) && str_eq(home, r.home) && uuid_eq(id, r.id) && r.kind < POLICY_KIND_COUNT && r.licence < 64 && r.leaf >= 0);
}

static void as_said(struct arena *a, struct str line, const struct keychain *keys)
{
	struct bundle_said said;
	struct guest_words words;
	struct error e = { 0 };
	if (bundle_said_read(a, line, NULL, &said, &e) != ERR_OK) {
		FUZZ_CHECK(e.code == ERR_REFUSED && e.reason[0]);
		return;
	}
	FUZZ_CHECK(said.home.n == 16 && said.rev >= 1 && (said.what == BUNDLE_WORDS) == (said.n_rids == 0) && said.n_rids <= BUNDLE_RIDS);
	if (said.what == BUNDLE_WORDS)
		FUZZ_CHECK(guest_words_read(a, line, said.json, &words, &e) == ERR_OK || e.code != ERR_OK);
	FUZZ_CHECK(bundle_said_read(a, line, keys, &said, &e) != ERR_OK);
}

static void as_label(struct arena *a, struct str line)
{
	struct bundle_label label;
	struct error e = { 0 };
	struct str home;
	struct uuid id;
	if (bundle_label_read(a, line, &label, &e) != ERR_OK) {
		FUZZ_CHECK(e.code == ERR_REFUSED && e.reason[0]);
		return;
	}
	FUZZ_CHECK(label.by_home.n == 16 && label.label.n && rid_parse(label.rid, &home, &id) && uuid_eq(id, label.id));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const uint8_t seed[32] = { 42 }; /* no fuzzer signs with it */
	struct onward_line tombstone;
	struct sign_key k;
	struct error e = { 0 };
	if (size == 0 || !crypto_start())
		return 0;
	struct arena *a = arena_new(64 * MIB);
	struct str line = str_make(data + 1, size - 1);
	sign_key_from_seed(&k, seed);
	struct keychain keys = keychain_single(a, k.public_key);
	switch (data[0] % 4) {
	case 0: as_record(a, line); break;
	case 1: as_said(a, line, &keys); break;
	case 2: as_label(a, line); break;
	default: FUZZ_CHECK(onward_line_read(a, line, &keys, &tombstone, &e) != ERR_OK);
	}
	arena_free(a);
	return 0;
}
