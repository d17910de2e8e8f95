/* Any bytes as a gzip file: the reader ends, with an error or with as many bytes whatever the size of its steps. */
#include "tests/fuzz/fuzz.h"
#include "commonhold/gzip.h"
#include "commonhold/limits.h"

#include <sys/mman.h>
#include <unistd.h>

#define OUTPUT_MAX (4 * MIB)

static enum err read_all(int fd, size_t step, uint64_t *total, struct sha256 *digest)
{
	static char block[8192];
	struct gz_reader *r;
	struct error e = { 0 };
	size_t got = 0;
	struct hasher *h = hasher_new(NULL);
	enum err err = gz_reader_open(&r, fd, NULL, NULL, &e);
	FUZZ_CHECK(err == ERR_OK);
	*total = 0;
	while (*total < OUTPUT_MAX && !(err = gz_reader_read(r, block, step, &got, &e)) && got) {
		FUZZ_CHECK(got <= step);
		hasher_add(h, block, got);
		*total += got;
	}
	gz_reader_close(r);
	*digest = hasher_end(h);
	hasher_free(h);
	return err;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	uint64_t one, two;
	struct sha256 first, second;
	int fd = memfd_create("fuzz", MFD_CLOEXEC);
	if (fd < 0 || !crypto_start() || write(fd, data, size) != (ssize_t)size)
		abort();
	lseek(fd, 0, SEEK_SET);
	enum err a = read_all(fd, 8192, &one, &first);
	lseek(fd, 0, SEEK_SET);
	enum err b = read_all(fd, 4096, &two, &second);
	close(fd);
	if (one < OUTPUT_MAX && two < OUTPUT_MAX) {
		FUZZ_CHECK(a == b);
		FUZZ_CHECK(a != ERR_OK || (one == two && memcmp(&first, &second, 32) == 0));
	}
	return 0;
}
