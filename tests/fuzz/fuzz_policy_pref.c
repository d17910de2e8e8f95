/* Any bytes as a preference string of any dialect, or as robots.txt: nothing is allowed and denied at once, a statement is only ever a denial, and what is written reads back. */
#include <string.h>

#include "commonhold/policy_pref.h"
#include "tests/fuzz/fuzz.h"

static void check_pref(const struct policy_pref *pref)
{
	struct policy_statement s;
	FUZZ_CHECK((pref->allow & pref->deny) == 0);
	FUZZ_CHECK((pref->allow_if & ~pref->deny) == 0);
	FUZZ_CHECK(((pref->allow | pref->deny) & ~POLICY_USES_ALL) == 0);
	FUZZ_CHECK(pref->parsed || (pref->allow == 0 && pref->deny == 0));
	if (policy_pref_statement(pref, 0, POLICY_NO_ITEM, 0, &s))
		FUZZ_CHECK(s.effect == POLICY_EFFECT_DENY && s.flags == POLICY_STATEMENT_EXTERNAL && s.uses != 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct policy_pref pref, other;
	if (size < 1)
		return 0;
	unsigned dialect = data[0] % (POLICY_DIALECT_COUNT + 2);
	const char *text = (const char *)data + 1;
	size_t len = size - 1;
	if (dialect > POLICY_DIALECT_COUNT) {
		policy_pref_robots(text, len, "bot", "/a/b.html", POLICY_DIALECT_AIPREF_07, &pref);
		check_pref(&pref);
		return 0;
	}
	policy_pref_read(dialect, text, len, &pref);
	check_pref(&pref);
	policy_pref_read((dialect + 1) % POLICY_DIALECT_COUNT, text, len, &other);
	policy_pref_combine(&other, &pref);
	check_pref(&other);
	uint8_t effect[POLICY_USE_COUNT] = {0};
	for (size_t use = 0; use < POLICY_USE_COUNT && use < len; use++)
		effect[use] = (uint8_t)text[use] % POLICY_EFFECT_COUNT;
	char written[512], small[7];
	size_t n = policy_pref_write(dialect, effect, POLICY_BIT(POLICY_DUTY_CREDIT), written, sizeof written);
	FUZZ_CHECK(n < sizeof written && strlen(written) == n);
	FUZZ_CHECK(policy_pref_write(dialect, effect, POLICY_BIT(POLICY_DUTY_CREDIT), small, sizeof small) == n);
	policy_pref_read(dialect, written, n, &pref);
	check_pref(&pref);
	for (unsigned use = 0; use < POLICY_USE_COUNT; use++)
		FUZZ_CHECK(!(pref.allow >> use & 1) || effect[use] == POLICY_EFFECT_ALLOW);
	return 0;
}
