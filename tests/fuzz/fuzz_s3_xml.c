/* Any bytes as an answer of a bucket: elements lie inside the document, reading comes to an end, and text is never longer than what it was read from. */
#include "tests/fuzz/fuzz.h"
#include "server/erasure/mirror/s3_xml.h"

static const char *const names[] = { "Contents", "Version", "DeleteMarker", "Upload", "Key", "VersionId", "UploadId", "ETag", "Size", "IsTruncated", "NextContinuationToken", "Code" };

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct arena *a = arena_new(64 << 20);
	struct str document = str_make(data, size), rest = document, inside;
	size_t read = 0;
	(void)s3_xml_is(document, "ListBucketResult");
	for (size_t i = 0; i < CH_LEN(names); i++) {
		struct str text = s3_xml_text(a, document, names[i]);
		FUZZ_CHECK(text.n <= size);
		rest = document;
		while (size && s3_xml_next(&rest, names[i], &inside)) {
			FUZZ_CHECK(inside.n == 0 || ((const uint8_t *)inside.p >= data && (const uint8_t *)inside.p + inside.n <= data + size));
			FUZZ_CHECK(++read <= size * CH_LEN(names));
		}
	}
	arena_free(a);
	return 0;
}
