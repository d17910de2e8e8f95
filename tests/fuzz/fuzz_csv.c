/* Any bytes: records are the same whatever the cuts between reads, fields lie inside the record, lines only grow. First byte: how to cut. */
#include "tests/fuzz/fuzz.h"
#include "server/pool/csv.h"

#define MAX_RECORD 4096

/* Everything that the records say, in one text. */
static void read_all(const uint8_t *data, size_t size, size_t piece, struct buf *out)
{
	struct csv c;
	uint64_t line = 0;
	csv_init(&c, ',', MAX_RECORD);
	for (size_t at = 0; at <= size;) {
		size_t n = size - at < piece ? size - at : piece, used = 0;
		enum csv_result r = n ? csv_feed(&c, (const char *)data + at, n, &used) : csv_finish(&c);
		FUZZ_CHECK(used <= n && (used == n || r != CSV_MORE));
		if (r != CSV_MORE) {
			FUZZ_CHECK(c.line > line);
			FUZZ_CHECK((r == CSV_BAD) == (c.problem != NULL));
			line = c.line;
			buf_addf(out, "%d %llu\n", r, (unsigned long long)line);
			size_t total = 0;
			for (size_t i = 0; r == CSV_RECORD && i < c.fields; i++) {
				buf_add_str(out, csv_field(&c, i));
				buf_add_byte(out, 0);
				total += csv_field(&c, i).n;
			}
			FUZZ_CHECK(total <= MAX_RECORD);
		}
		at += used;
		if (n == 0)
			break;
	}
	csv_release(&c);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct buf whole, cut;
	if (size == 0)
		return 0;
	buf_init(&whole, 64 * MIB);
	buf_init(&cut, 64 * MIB);
	read_all(data + 1, size - 1, size, &whole);
	read_all(data + 1, size - 1, data[0] % 16 + 1, &cut);
	FUZZ_CHECK(str_eq(buf_str(&whole), buf_str(&cut)));
	buf_release(&whole);
	buf_release(&cut);
	return 0;
}
