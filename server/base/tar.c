#include "commonhold/tar.h"
#include "commonhold/file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

/* The fields of a header: where each begins and how long it is (IEEE Std 1003.1, "ustar interchange format"). */
enum { NAME = 0, MODE = 100, UID = 108, GID = 116, SIZE = 124, MTIME = 136, CHKSUM = 148, TYPE = 156, MAGIC = 257, PREFIX = 345 };

/* Octal digits with a NUL behind them. */
static void octal(uint8_t *to, size_t digits, uint64_t value)
{
	for (size_t i = digits; i-- > 0; value >>= 3)
		to[i] = (uint8_t)('0' + (value & 7));
	to[digits] = 0;
}

/* The sum of a header's bytes with its own field as blanks. */
static unsigned sum_of(const uint8_t block[TAR_BLOCK])
{
	unsigned sum = 8 * ' ';
	for (size_t i = 0; i < TAR_BLOCK; i++)
		if (i < CHKSUM || i >= CHKSUM + 8)
			sum += block[i];
	return sum;
}

/* Plain segments of letters, digits, dots, dashes and underscores; none of them dots alone. */
static bool name_is_plain(struct str name)
{
	size_t segment = 0, dots = 0;
	if (name.n == 0 || name.n > TAR_NAME_MAX)
		return false;
	for (size_t i = 0; i <= name.n; i++) {
		char ch = i < name.n ? name.p[i] : '/';
		if (ch == '/') {
			if (segment == 0 || dots == segment)
				return false;
			segment = dots = 0;
			continue;
		}
		if (!((ch >= 'a' && ch <= 'z') || (ch >= 'A' && ch <= 'Z') || (ch >= '0' && ch <= '9') || ch == '.' || ch == '-' || ch == '_'))
			return false;
		segment++;
		dots += ch == '.';
	}
	return true;
}

bool tar_header(uint8_t block[TAR_BLOCK], struct str name, int64_t size, instant at)
{
	if (!name_is_plain(name) || size < 0 || size > TAR_SIZE_MAX)
		return false;
	memset(block, 0, TAR_BLOCK);
	memcpy(block + NAME, name.p, name.n);
	octal(block + MODE, 7, 0600);
	octal(block + UID, 7, 0);
	octal(block + GID, 7, 0);
	octal(block + SIZE, 11, (uint64_t)size);
	octal(block + MTIME, 11, (uint64_t)(at / CLOCK_SECOND));
	block[TYPE] = '0';
	memcpy(block + MAGIC, "ustar\00000", 8);
	octal(block + CHKSUM, 6, sum_of(block));
	block[CHKSUM + 7] = ' ';
	return true;
}

/* One file with its header and padding; false with errno. */
static bool pack_bytes(int to, int from, int64_t size, const uint8_t header[TAR_BLOCK])
{
	static const uint8_t zeros[TAR_BLOCK];
	char chunk[65536];
	int64_t done = 0;
	if (!file_write_all(to, header, TAR_BLOCK))
		return false;
	while (done < size) {
		ssize_t n = read(from, chunk, sizeof(chunk));
		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0 || n > size - done) { /* it changes while it is read */
			errno = n < 0 ? errno : EBUSY;
			return false;
		}
		if (!file_write_all(to, chunk, (size_t)n))
			return false;
		done += n;
	}
	return file_write_all(to, zeros, tar_padding(size));
}

static enum err pack_one(int to, int folder, struct str name, instant at, struct error *e)
{
	uint8_t header[TAR_BLOCK];
	char z[TAR_NAME_MAX + 1] = { 0 };
	struct stat st;
	if (!name_is_plain(name))
		return error_set(e, ERR_INVALID, "A file of this name cannot be put into an archive.");
	memcpy(z, name.p, name.n);
	int fd = openat(folder, z, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
	bool good = fd >= 0 && fstat(fd, &st) == 0 && S_ISREG(st.st_mode) && tar_header(header, name, st.st_size, at) && pack_bytes(to, fd, st.st_size, header);
	int number = errno;
	if (fd >= 0)
		close(fd);
	return good ? ERR_OK : error_set(e, ERR_IO, "The file %s cannot be put into the archive: %s.", z, strerror(number));
}

enum err tar_pack(const char *to, const char *folder, const struct str *names, size_t n, instant at, struct error *e)
{
	static const uint8_t zeros[TAR_END_BYTES];
	enum err err = ERR_OK;
	int out = open(to, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0644);
	if (out < 0)
		return error_set(e, ERR_IO, "The file %s cannot be created: %s.", to, strerror(errno));
	int from = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (from < 0)
		err = error_set(e, ERR_IO, "The folder %s cannot be read: %s.", folder, strerror(errno));
	for (size_t i = 0; i < n && err == ERR_OK; i++)
		err = pack_one(out, from, names[i], at, e);
	if (err == ERR_OK && (!file_write_all(out, zeros, sizeof(zeros)) || fsync(out) != 0))
		err = error_set(e, ERR_IO, "The file %s could not be written: %s.", to, strerror(errno));
	if (from >= 0)
		close(from);
	close(out);
	if (err != ERR_OK)
		unlink(to);
	return err;
}

/* Digits up to a NUL or a blank; -1 for anything else. */
static int64_t octal_read(const uint8_t *from, size_t n)
{
	int64_t value = 0;
	size_t i = 0;
	for (; i < n && from[i] >= '0' && from[i] <= '7'; i++)
		value = value * 8 + (from[i] - '0');
	for (size_t k = i; k < n; k++)
		if (from[k] != 0 && from[k] != ' ')
			return -1;
	return i ? value : -1;
}

static bool is_zero(const uint8_t block[TAR_BLOCK])
{
	for (size_t i = 0; i < TAR_BLOCK; i++)
		if (block[i])
			return false;
	return true;
}

static enum err bad(struct error *e, int64_t at)
{
	return error_set(e, ERR_CORRUPT, "This is no archive of ours: what stands at byte %lld is not a plain file of a tar.", (long long)at);
}

enum err tar_next(int fd, int64_t end, int64_t *at, struct tar_file *out, bool *found, struct error *e)
{
	uint8_t block[TAR_BLOCK];
	*found = false;
	if (*at + TAR_BLOCK > end)
		return error_set(e, ERR_CORRUPT, "The archive is cut off.");
	if (pread(fd, block, TAR_BLOCK, *at) != TAR_BLOCK)
		return error_set(e, ERR_IO, "The archive cannot be read: %s.", strerrorname_np(errno));
	if (is_zero(block))
		return ERR_OK;
	size_t n = strnlen((const char *)block, TAR_NAME_MAX);
	int64_t size = octal_read(block + SIZE, 12);
	if (memcmp(block + MAGIC, "ustar", 5) != 0 || octal_read(block + CHKSUM, 8) != sum_of(block) || (block[TYPE] != '0' && block[TYPE] != 0) || block[PREFIX] != 0 ||
		!name_is_plain(str_make((const char *)block, n)) || size < 0)
		return bad(e, *at);
	memcpy(out->name, block, n);
	out->name[n] = 0;
	out->at = *at + TAR_BLOCK;
	out->size = size;
	if (size > end - out->at)
		return error_set(e, ERR_CORRUPT, "The archive is cut off in %s.", out->name);
	*at = out->at + size + (int64_t)tar_padding(size);
	*found = true;
	return ERR_OK;
}
