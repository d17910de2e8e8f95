/* Any bytes: findings lie inside the text, their counts agree, and scanning twice finds the same. */
#include "tests/fuzz/fuzz.h"
#include "commonhold/pii.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct pii_report r = { 0 }, again = { 0 };
	struct str text = str_make(data, size);
	size_t total = 0;
	pii_scan(text, &r);
	pii_scan(text, &again);
	FUZZ_CHECK(r.mask == again.mask && r.kept == again.kept);
	for (unsigned k = 0; k < PII_KIND_COUNT; k++) {
		FUZZ_CHECK((r.count[k] > 0) == ((r.mask >> k & 1) == 1));
		total += r.count[k];
	}
	FUZZ_CHECK(r.kept == (total < PII_FINDINGS ? total : PII_FINDINGS));
	for (size_t i = 0; i < r.kept; i++)
		FUZZ_CHECK(r.finding[i].length > 0 && (size_t)r.finding[i].offset + r.finding[i].length <= size);
	return 0;
}
