/* The Zstandard writer against the stock tool's library and itself, the reader against whole, cut, damaged and absurd files. */
#include "scratch.h"

#include "commonhold/limits.h"
#include "commonhold/zst.h"

#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>
#include <zstd.h>

static struct error error;
static const struct zst_limits usual = { 64 << 20, 200 };

static struct zst_result written(const char *path, struct str text, size_t piece)
{
	struct zst_writer *w;
	struct zst_result result;
	assert_int_equal(zst_writer_open(&w, path, ZST_LEVEL, &error), ERR_OK);
	for (size_t i = 0; i < text.n; i += piece)
		zst_writer_add(w, text.p + i, text.n - i < piece ? text.n - i : piece);
	assert_int_equal(zst_writer_raw(w), (int64_t)text.n);
	assert_int_equal(zst_writer_close(w, &result, &error), ERR_OK);
	return result;
}

/* Reads a range of a file to its end in pieces; the text goes into the scratch.arena. */
static enum err read_range(const char *path, int64_t from, int64_t size, struct zst_limits limits, size_t piece, struct str *text, struct zst_result *result)
{
	struct zst_reader *r;
	struct buf b;
	enum err e = ERR_OK;
	size_t got = 1;
	char *room = arena_alloc(scratch.arena, piece);
	int fd = open(path, O_RDONLY);
	assert_true(fd >= 0);
	assert_int_equal(zst_reader_open(&r, fd, from, size, limits, &error), ERR_OK);
	buf_init(&b, 512 * MIB);
	while (e == ERR_OK && got) {
		e = zst_reader_read(r, room, piece, &got, &error);
		if (e == ERR_OK)
			buf_add(&b, room, got);
	}
	*text = buf_take(scratch.arena, &b);
	zst_reader_result(r, result);
	zst_reader_close(r);
	close(fd);
	return e;
}

static int64_t size_of(const char *path)
{
	struct stat st;
	return stat(path, &st) == 0 ? (int64_t)st.st_size : -1;
}

static enum err read_whole(const char *path, struct str *text)
{
	struct zst_result result;
	return read_range(path, 0, size_of(path), usual, 70000, text, &result);
}

static void put_bytes(const char *path, const void *p, size_t n)
{
	int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0600);
	assert_true(fd >= 0 && write(fd, p, n) == (ssize_t)n);
	close(fd);
}

static void what_is_written_comes_back_with_its_digests(void **state)
{
	(void)state;
	struct str text = scratch_rows(5 * MIB + 17), back;
	struct zst_result out, in;
	out = written(scratch_at("a.zst"), text, 1000);
	assert_int_equal(read_range(scratch_at("a.zst"), 0, size_of(scratch_at("a.zst")), usual, 4096, &back, &in), ERR_OK);
	assert_true(str_eq(text, back));
	assert_true(out.size == size_of(scratch_at("a.zst")) && in.size == out.size && in.raw_size == (int64_t)text.n && out.raw_size == in.raw_size);
	assert_true(sha256_eq(in.sha256, out.sha256) && sha256_eq(in.raw_sha256, out.raw_sha256) && sha256_eq(in.raw_sha256, sha256(text)));
}

static void the_file_does_not_depend_on_how_it_was_given(void **state)
{
	(void)state;
	struct str text = scratch_rows(3 * MIB);
	struct zst_result one = written(scratch_at("b1.zst"), text, text.n), other = written(scratch_at("b2.zst"), text, 777);
	assert_true(sha256_eq(one.sha256, other.sha256));
}

static void an_empty_file_is_a_file(void **state)
{
	(void)state;
	struct str back;
	(void)written(scratch_at("empty.zst"), STR(""), 1);
	assert_int_equal(read_whole(scratch_at("empty.zst"), &back), ERR_OK);
	assert_int_equal(back.n, 0);
	put_bytes(scratch_at("nothing.zst"), "", 0);
	assert_int_equal(read_whole(scratch_at("nothing.zst"), &back), ERR_CORRUPT);
}

static void a_range_of_a_larger_file_is_read_alone(void **state)
{
	(void)state;
	struct str text = scratch_rows(100000), back;
	struct zst_result out = written(scratch_at("c.zst"), text, 1000), in;
	char *whole = arena_alloc(scratch.arena, (size_t)out.size + 1000);
	int fd = open(scratch_at("c.zst"), O_RDONLY);
	assert_true(read(fd, whole + 500, (size_t)out.size) == out.size);
	close(fd);
	put_bytes(scratch_at("c.tar"), whole, (size_t)out.size + 1000);
	assert_int_equal(read_range(scratch_at("c.tar"), 500, out.size, usual, 100, &back, &in), ERR_OK);
	assert_true(str_eq(text, back) && sha256_eq(in.sha256, out.sha256));
}

static void a_file_is_never_overwritten_and_an_aborted_one_goes(void **state)
{
	(void)state;
	struct zst_writer *w;
	put_bytes(scratch_at("there.zst"), "x", 1);
	assert_int_equal(zst_writer_open(&w, scratch_at("there.zst"), ZST_LEVEL, &error), ERR_IO);
	assert_int_equal(zst_writer_open(&w, scratch_at("gone.zst"), ZST_LEVEL, &error), ERR_OK);
	zst_writer_add(w, "abc", 3);
	zst_writer_abort(w);
	zst_writer_abort(NULL);
	assert_int_equal(size_of(scratch_at("gone.zst")), -1);
}

static void a_cut_or_damaged_file_is_refused(void **state)
{
	(void)state;
	struct str text = scratch_rows(300000), back;
	struct zst_result out = written(scratch_at("d.zst"), text, 1000);
	char *whole = arena_alloc(scratch.arena, (size_t)out.size);
	int fd = open(scratch_at("d.zst"), O_RDONLY);
	assert_true(read(fd, whole, (size_t)out.size) == out.size);
	close(fd);
	for (size_t cut = 0; cut < (size_t)out.size; cut += (size_t)out.size / 17 + 1) {
		put_bytes(scratch_at("cut.zst"), whole, cut);
		assert_int_equal(read_whole(scratch_at("cut.zst"), &back), ERR_CORRUPT);
	}
	/* the frame's checksum finds what the format alone would not */
	for (size_t flip = 4; flip < (size_t)out.size; flip += (size_t)out.size / 23 + 1) {
		whole[flip] ^= 0x10;
		put_bytes(scratch_at("bad.zst"), whole, (size_t)out.size);
		enum err e = read_whole(scratch_at("bad.zst"), &back);
		assert_true(e != ERR_OK || str_eq(back, text));
		whole[flip] ^= 0x10;
	}
	put_bytes(scratch_at("text.zst"), "this is no such file", 20);
	assert_int_equal(read_whole(scratch_at("text.zst"), &back), ERR_CORRUPT);
}

static void nothing_stands_beside_the_one_frame(void **state)
{
	(void)state;
	struct str back;
	char packed[400], skippable[12] = { 0x50, 0x2a, 0x4d, 0x18, 4, 0, 0, 0, 'e', 'v', 'i', 'l' };
	size_t n = ZSTD_compress(packed, sizeof(packed), "hello", 5, 3);
	put_bytes(scratch_at("one.zst"), packed, n);
	assert_int_equal(read_whole(scratch_at("one.zst"), &back), ERR_OK);
	memcpy(packed + n, skippable, 12);
	put_bytes(scratch_at("behind.zst"), packed, n + 12);
	assert_int_equal(read_whole(scratch_at("behind.zst"), &back), ERR_CORRUPT);
	memmove(packed + 12, packed, n);
	memcpy(packed, skippable, 12);
	put_bytes(scratch_at("before.zst"), packed, n + 12);
	assert_int_equal(read_whole(scratch_at("before.zst"), &back), ERR_CORRUPT);
}

static void absurd_compression_ends_at_the_limits(void **state)
{
	(void)state;
	struct str zeros = str_make(arena_alloc(scratch.arena, 64 * MIB), 64 * MIB), back;
	struct zst_result result;
	char *packed = arena_alloc(scratch.arena, MIB);
	size_t n = ZSTD_compress(packed, MIB, zeros.p, zeros.n, 19);
	assert_false(ZSTD_isError(n));
	put_bytes(scratch_at("bomb.zst"), packed, n);
	struct zst_limits by_ratio = { 1 << 30, 200 }, by_size = { 10 << 20, INT64_C(1) << 40 };
	assert_int_equal(read_range(scratch_at("bomb.zst"), 0, (int64_t)n, by_ratio, 65536, &back, &result), ERR_TOO_LARGE);
	assert_true(result.raw_size < ZST_RATIO_FROM + (8 << 20));
	assert_int_equal(read_range(scratch_at("bomb.zst"), 0, (int64_t)n, by_size, 65536, &back, &result), ERR_TOO_LARGE);
	assert_true(result.raw_size <= (10 << 20) + 65536);
}

static void a_window_beyond_the_bound_is_refused(void **state)
{
	(void)state;
	struct str text = scratch_rows(20 * MIB), back;
	size_t room = ZSTD_compressBound(text.n);
	char *packed = arena_alloc(scratch.arena, room);
	ZSTD_CCtx *z = ZSTD_createCCtx();
	ZSTD_CCtx_setParameter(z, ZSTD_c_windowLog, 27);
	ZSTD_CCtx_setParameter(z, ZSTD_c_contentSizeFlag, 0);
	size_t n = ZSTD_compress2(z, packed, room, text.p, text.n);
	ZSTD_freeCCtx(z);
	assert_false(ZSTD_isError(n));
	put_bytes(scratch_at("wide.zst"), packed, n);
	assert_int_equal(read_whole(scratch_at("wide.zst"), &back), ERR_CORRUPT);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_is_written_comes_back_with_its_digests),
		cmocka_unit_test(the_file_does_not_depend_on_how_it_was_given),
		cmocka_unit_test(an_empty_file_is_a_file),
		cmocka_unit_test(a_range_of_a_larger_file_is_read_alone),
		cmocka_unit_test(a_file_is_never_overwritten_and_an_aborted_one_goes),
		cmocka_unit_test(a_cut_or_damaged_file_is_refused),
		cmocka_unit_test(nothing_stands_beside_the_one_frame),
		cmocka_unit_test(absurd_compression_ends_at_the_limits),
		cmocka_unit_test(a_window_beyond_the_bound_is_refused),
	};
	return cmocka_run_group_tests(tests, scratch_setup, scratch_teardown);
}
