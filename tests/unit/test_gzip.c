/* The gzip writer against the stock tools and itself, the reader against whole, cut and damaged files. */
#include "scratch.h"

#include "commonhold/gzip.h"
#include "commonhold/limits.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

static struct gz_result write_gz(const char *path, struct str s, size_t piece, int level, int threads)
{
	struct gz_writer *w;
	struct gz_result result;
	struct error e = { 0 };
	assert_int_equal(gz_writer_open(&w, path, level, threads, &e), ERR_OK);
	for (size_t i = 0; i < s.n; i += piece)
		gz_writer_add(w, s.p + i, s.n - i < piece ? s.n - i : piece);
	assert_int_equal(gz_writer_close(w, &result, &e), ERR_OK);
	return result;
}

static struct str slurp(const char *path)
{
	struct stat st;
	int fd = open(path, O_RDONLY);
	assert_true(fd >= 0 && fstat(fd, &st) == 0);
	char *p = arena_alloc(scratch.arena, (size_t)st.st_size + 1);
	assert_int_equal(read(fd, p, (size_t)st.st_size), st.st_size);
	close(fd);
	return str_make(p, (size_t)st.st_size);
}

static void spill(const char *path, struct str s)
{
	FILE *f = fopen(path, "w");
	assert_non_null(f);
	assert_int_equal(fwrite(s.p, 1, s.n, f), s.n);
	fclose(f);
}

static const size_t sizes[] = { 0, 1, 1000, 1 * MIB - 1, 1 * MIB, 1 * MIB + 1, 3 * MIB, 5 * MIB + 12345 };

static void stock_gunzip_reads_what_we_write(void **state)
{
	(void)state;
	for (size_t i = 0; i < CH_LEN(sizes); i++) {
		const char *raw = scratch_at("raw"), *gz = scratch_at("raw.gz");
		struct str s = scratch_rows(sizes[i]);
		spill(raw, s);
		struct gz_result r = write_gz(gz, s, 7777, 6, 2);
		assert_int_equal(scratch_run(str_z(scratch.arena, str_fmt(scratch.arena, "gunzip -t %s && zcat %s | cmp -s - %s", gz, gz, raw))), 0);
		struct sha256 whole = sha256(s), file = sha256(slurp(gz));
		assert_memory_equal(&r.raw_sha256, &whole, 32);
		assert_memory_equal(&r.sha256, &file, 32);
		assert_int_equal(r.raw_size, s.n);
		assert_int_equal(r.size, slurp(gz).n);
		unlink(gz);
	}
}

static void the_same_content_is_the_same_file(void **state)
{
	(void)state;
	static const struct { size_t piece; int threads; } ways[] = { { 1, 1 }, { 1000, 1 }, { 1 * MIB, 2 }, { 3 * MIB, 8 }, { 999983, 4 } };
	struct str s = scratch_rows(2 * MIB + 17);
	struct gz_result first = write_gz(scratch_at("first.gz"), s, s.n, 6, 0);
	for (size_t i = 0; i < CH_LEN(ways); i++) {
		struct gz_result r = write_gz(scratch_at("again.gz"), s, ways[i].piece, 6, ways[i].threads);
		assert_memory_equal(&r.sha256, &first.sha256, 32);
		unlink(scratch_at("again.gz"));
	}
}

static void members_have_no_time_and_no_name(void **state)
{
	(void)state;
	write_gz(scratch_at("head.gz"), STR("x"), 1, 6, 1);
	struct str file = slurp(scratch_at("head.gz"));
	static const uint8_t head[] = { 0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 255 };
	assert_memory_equal(file.p, head, sizeof(head));
}

static void an_existing_file_is_not_overwritten(void **state)
{
	(void)state;
	struct gz_writer *w;
	struct error e = { 0 };
	spill(scratch_at("there.gz"), STR("mine"));
	assert_int_equal(gz_writer_open(&w, scratch_at("there.gz"), 6, 1, &e), ERR_IO);
	assert_true(str_is(slurp(scratch_at("there.gz")), "mine"));
}

static void an_aborted_file_is_removed(void **state)
{
	(void)state;
	struct gz_writer *w;
	struct error e = { 0 };
	struct str s = scratch_rows(3 * MIB);
	assert_int_equal(gz_writer_open(&w, scratch_at("gone.gz"), 6, 2, &e), ERR_OK);
	gz_writer_add(w, s.p, s.n);
	gz_writer_abort(w);
	assert_int_not_equal(access(scratch_at("gone.gz"), F_OK), 0);
	gz_writer_abort(NULL);
}

static void a_full_disk_is_an_error_and_not_a_short_file(void **state)
{
	(void)state;
	if (access("/dev/full", W_OK) != 0)
		skip();
	struct gz_writer *w;
	struct gz_result r;
	struct error e = { 0 };
	struct str s = scratch_rows(3 * MIB);
	/* O_EXCL refuses the device itself: give the writer's descriptor to it */
	assert_int_equal(gz_writer_open(&w, scratch_at("full.gz"), 6, 2, &e), ERR_OK);
	int full = open("/dev/full", O_WRONLY), fd = *(int *)(void *)w;
	assert_true(full >= 0 && dup2(full, fd) == fd);
	close(full);
	gz_writer_add(w, s.p, s.n);
	assert_int_equal(gz_writer_close(w, &r, &e), ERR_IO);
	assert_int_not_equal(access(scratch_at("full.gz"), F_OK), 0);
}

static void count_bytes(void *arg, const void *p, size_t n)
{
	hasher_add(arg, p, n);
}

/* Reads all in steps of `step`; the code at the end, and what was read. */
static enum err read_gz(const char *path, size_t step, struct sha256 *raw, struct sha256 *file)
{
	struct gz_reader *r;
	struct error e = { 0 };
	struct hasher *raw_hash = hasher_new(scratch.arena), *file_hash = hasher_new(scratch.arena);
	char *block = arena_alloc(scratch.arena, step);
	size_t got;
	int fd = open(path, O_RDONLY);
	assert_true(fd >= 0);
	assert_int_equal(gz_reader_open(&r, fd, count_bytes, file_hash, &e), ERR_OK);
	enum err err;
	while (!(err = gz_reader_read(r, block, step, &got, &e)) && got)
		hasher_add(raw_hash, block, got);
	gz_reader_close(r);
	close(fd);
	*raw = hasher_end(raw_hash);
	*file = hasher_end(file_hash);
	return err;
}

static void the_reader_reads_what_we_and_gzip_write(void **state)
{
	(void)state;
	static const size_t steps[] = { 1, 13, 4096, 1 * MIB };
	struct sha256 raw, file;
	for (size_t i = 0; i < CH_LEN(sizes); i++) {
		struct str s = scratch_rows(sizes[i]);
		struct sha256 whole = sha256(s);
		write_gz(scratch_at("ours.gz"), s, 100000, 6, 2);
		spill(scratch_at("theirs"), s);
		assert_int_equal(scratch_run(str_z(scratch.arena, str_fmt(scratch.arena, "gzip -kf %s", scratch_at("theirs")))), 0);
		for (size_t j = sizes[i] > 2000 ? 2 : 0; j < CH_LEN(steps); j++) {
			assert_int_equal(read_gz(scratch_at("ours.gz"), steps[j], &raw, &file), ERR_OK);
			assert_memory_equal(&raw, &whole, 32);
			struct sha256 packed = sha256(slurp(scratch_at("ours.gz")));
			assert_memory_equal(&file, &packed, 32);
			assert_int_equal(read_gz(scratch_at("theirs.gz"), steps[j], &raw, &file), ERR_OK);
			assert_memory_equal(&raw, &whole, 32);
		}
		unlink(scratch_at("ours.gz"));
	}
}

/* A zip bomb comes out a window at a time. */
static void long_runs_come_out_in_pieces_to_the_last_byte(void **state)
{
	(void)state;
	char *zeros = arena_alloc(scratch.arena, 8 * MIB);
	struct sha256 raw, file, whole = sha256(str_make(zeros, 8 * MIB));
	write_gz(scratch_at("zeros.gz"), str_make(zeros, 8 * MIB), 8 * MIB, 9, 1);
	assert_int_equal(read_gz(scratch_at("zeros.gz"), 100, &raw, &file), ERR_OK);
	assert_memory_equal(&raw, &whole, 32);
}

static void every_cut_is_noticed(void **state)
{
	(void)state;
	struct sha256 raw, file;
	struct str s = scratch_rows(2000), gz;
	write_gz(scratch_at("cut.gz"), s, s.n, 6, 1);
	gz = slurp(scratch_at("cut.gz"));
	for (size_t n = 0; n < gz.n; n++) {
		spill(scratch_at("short.gz"), str_sub(gz, 0, n));
		assert_int_equal(read_gz(scratch_at("short.gz"), 512, &raw, &file), ERR_CORRUPT);
	}
	spill(scratch_at("long.gz"), str_fmt(scratch.arena, "%.*s", 0, ""));
	assert_int_equal(read_gz(scratch_at("long.gz"), 512, &raw, &file), ERR_CORRUPT);
}

static void garbage_behind_the_last_member_is_noticed(void **state)
{
	(void)state;
	struct sha256 raw, file;
	struct str gz;
	write_gz(scratch_at("tail.gz"), STR("x"), 1, 6, 1);
	gz = slurp(scratch_at("tail.gz"));
	char *p = arena_alloc(scratch.arena, gz.n + 4);
	memcpy(p, gz.p, gz.n);
	spill(scratch_at("tail2.gz"), str_make(p, gz.n + 4));
	assert_int_equal(read_gz(scratch_at("tail2.gz"), 512, &raw, &file), ERR_CORRUPT);
}

static void every_changed_byte_is_noticed_or_changes_nothing(void **state)
{
	(void)state;
	struct sha256 raw, file;
	struct str s = scratch_rows(500), gz;
	struct sha256 whole = sha256(s);
	write_gz(scratch_at("bit.gz"), s, s.n, 6, 1);
	gz = slurp(scratch_at("bit.gz"));
	for (size_t i = 0; i < gz.n; i++) {
		char *p = arena_alloc(scratch.arena, gz.n);
		memcpy(p, gz.p, gz.n);
		p[i] ^= 0x10;
		spill(scratch_at("bit2.gz"), str_make(p, gz.n));
		/* time, flags and system in the header are not part of the content */
		if (read_gz(scratch_at("bit2.gz"), 512, &raw, &file) == ERR_OK)
			assert_memory_equal(&raw, &whole, 32);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(stock_gunzip_reads_what_we_write),
		cmocka_unit_test(the_same_content_is_the_same_file),
		cmocka_unit_test(members_have_no_time_and_no_name),
		cmocka_unit_test(an_existing_file_is_not_overwritten),
		cmocka_unit_test(an_aborted_file_is_removed),
		cmocka_unit_test(a_full_disk_is_an_error_and_not_a_short_file),
		cmocka_unit_test(the_reader_reads_what_we_and_gzip_write),
		cmocka_unit_test(long_runs_come_out_in_pieces_to_the_last_byte),
		cmocka_unit_test(every_cut_is_noticed),
		cmocka_unit_test(garbage_behind_the_last_member_is_noticed),
		cmocka_unit_test(every_changed_byte_is_noticed_or_changes_nothing),
	};
	return cmocka_run_group_tests(tests, scratch_setup, scratch_teardown);
}
