/* Tars written and read back, by us and by the stock tool; and tricks that a tar may play. */
#include "scratch.h"

#include "commonhold/limits.h"
#include "commonhold/tar.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

static struct error error;

static void put_bytes(const char *path, const void *p, size_t n)
{
	int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0600);
	assert_true(fd >= 0 && write(fd, p, n) == (ssize_t)n);
	close(fd);
}

/* Walks a tar: how many files, or the error. The last one's name and place are handed out. */
static enum err walk(const char *path, int *n, struct tar_file *last)
{
	struct stat st;
	int fd = open(path, O_RDONLY);
	int64_t where = 0;
	bool found = true;
	enum err e = ERR_OK;
	struct tar_file f;
	assert_true(fd >= 0 && fstat(fd, &st) == 0);
	for (*n = 0; e == ERR_OK && found;) {
		e = tar_next(fd, st.st_size, &where, &f, &found, &error);
		if (e == ERR_OK && found) {
			++*n;
			*last = f;
		}
	}
	close(fd);
	return e;
}

static void what_is_packed_is_found_again(void **state)
{
	(void)state;
	char big[3000], back[3000];
	int n;
	struct tar_file last;
	memset(big, 'b', sizeof(big));
	put_bytes(scratch_at("one.json"), "{}", 2);
	put_bytes(scratch_at("two-00000.jsonl"), big, sizeof(big));
	const struct str names[] = { STR("one.json"), STR("two-00000.jsonl") };
	assert_int_equal(tar_pack(scratch_at("a.tar"), scratch.dir, names, 2, 1700000000 * CLOCK_SECOND, &error), ERR_OK);
	assert_int_equal(walk(scratch_at("a.tar"), &n, &last), ERR_OK);
	assert_int_equal(n, 2);
	assert_string_equal(last.name, "two-00000.jsonl");
	assert_int_equal(last.size, 3000);
	int fd = open(scratch_at("a.tar"), O_RDONLY);
	assert_true(pread(fd, back, sizeof(back), last.at) == 3000);
	close(fd);
	assert_memory_equal(big, back, sizeof(big));
	assert_int_equal(system(str_z(scratch.arena, str_fmt(scratch.arena, "cd %s && mkdir out && tar xf a.tar -C out && cmp -s two-00000.jsonl out/two-00000.jsonl", scratch.dir))), 0);
}

static void a_failed_tar_leaves_nothing(void **state)
{
	(void)state;
	const struct str missing[] = { STR("not-there") }, climbing[] = { STR("../etc/passwd") };
	assert_int_equal(tar_pack(scratch_at("b.tar"), scratch.dir, missing, 1, 0, &error), ERR_IO);
	assert_int_equal(access(scratch_at("b.tar"), F_OK), -1);
	assert_int_equal(tar_pack(scratch_at("b.tar"), scratch.dir, climbing, 1, 0, &error), ERR_INVALID);
	assert_int_equal(access(scratch_at("b.tar"), F_OK), -1);
	assert_int_equal(symlink("/etc/passwd", scratch_at("link")), 0);
	const struct str link[] = { STR("link") };
	assert_int_equal(tar_pack(scratch_at("b.tar"), scratch.dir, link, 1, 0, &error), ERR_IO);
}

/* Makes a header with one thing changed, sums it again, and reads it. */
static enum err reads(size_t from, const char *bytes, size_t n, bool sum)
{
	uint8_t tar[TAR_BLOCK * 4] = { 0 };
	int count;
	struct tar_file last;
	assert_true(tar_header(tar, STR("file.json"), 5, 0));
	memcpy(tar + from, bytes, n);
	if (sum) {
		unsigned total = 8 * ' ';
		for (size_t i = 0; i < TAR_BLOCK; i++)
			total += i < 148 || i >= 156 ? tar[i] : 0;
		snprintf((char *)tar + 148, 8, "%06o", total);
		tar[155] = ' ';
	}
	put_bytes(scratch_at("c.tar"), tar, sizeof(tar));
	return walk(scratch_at("c.tar"), &count, &last);
}

static void a_plain_file_alone_is_taken(void **state)
{
	(void)state;
	assert_int_equal(reads(0, "file.json", 9, true), ERR_OK);
	for (const char *type = "1234567xgLKSV"; *type; type++)
		assert_int_equal(reads(156, type, 1, true), ERR_CORRUPT);
	assert_int_equal(reads(0, "gile.json", 9, false), ERR_CORRUPT); /* the sum is wrong */
	assert_int_equal(reads(257, "xstar", 5, true), ERR_CORRUPT);
}

static void no_name_climbs_out(void **state)
{
	(void)state;
	const char *names[] = { "/file.jso", "../a.json", "a/../json", "./a..json", "a//b.json", "a\\b.json\0", "a\nb.json\0", "\xff.json\0\0", "..", "a/.", "\0" };
	for (size_t i = 0; i < CH_LEN(names); i++) {
		char field[10] = { 0 };
		memcpy(field, names[i], strnlen(names[i], 9));
		assert_int_equal(reads(0, field, 10, true), ERR_CORRUPT);
	}
	assert_int_equal(reads(345, "etc", 4, true), ERR_CORRUPT); /* a prefix would lead elsewhere */
}

static void no_size_leads_beyond_the_end(void **state)
{
	(void)state;
	assert_int_equal(reads(124, "00000177777\0", 12, true), ERR_CORRUPT);
	assert_int_equal(reads(124, "77777777777\0", 12, true), ERR_CORRUPT);
	assert_int_equal(reads(124, "-0000000005\0", 12, true), ERR_CORRUPT);
	assert_int_equal(reads(124, "\x80\0\0\0\0\0\0\0\0\0\0\5", 12, true), ERR_CORRUPT); /* the size of another dialect */
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_is_packed_is_found_again),
		cmocka_unit_test(a_failed_tar_leaves_nothing),
		cmocka_unit_test(a_plain_file_alone_is_taken),
		cmocka_unit_test(no_name_climbs_out),
		cmocka_unit_test(no_size_leads_beyond_the_end),
	};
	return cmocka_run_group_tests(tests, scratch_setup, scratch_teardown);
}
