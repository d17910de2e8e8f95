/* Small files, writing all of something, and folders above a path. */
#include "scratch.h"

#include "commonhold/file.h"
#include "commonhold/limits.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

static struct error error;

static void nothing(int signal)
{
	(void)signal;
}

/* Interrupts the writer while the pipe is full, then takes a little of it, again and again. */
struct taker {
	pthread_t writer;
	int fd;
	struct buf got;
};

static void *take_and_interrupt(void *arg)
{
	struct taker *t = arg;
	static char piece[40000];
	ssize_t n;
	do {
		for (int i = 0; i < 3; i++)
			pthread_kill(t->writer, SIGUSR1);
		n = read(t->fd, piece, sizeof(piece));
		if (n > 0)
			buf_add(&t->got, piece, (size_t)n);
	} while (n > 0);
	return NULL;
}

static void all_is_written_whatever_interrupts(void **state)
{
	(void)state;
	int ends[2];
	pthread_t thread;
	struct sigaction before, interrupt = { .sa_handler = nothing }; /* without SA_RESTART: write() comes back early */
	struct str text = scratch_rows(4 * MIB);
	struct taker t = { .writer = pthread_self() };
	sigaction(SIGUSR1, &interrupt, &before);
	assert_int_equal(pipe(ends), 0);
	t.fd = ends[0];
	buf_init(&t.got, 8 * MIB);
	assert_int_equal(pthread_create(&thread, NULL, take_and_interrupt, &t), 0);
	bool good = file_write_all(ends[1], text.p, text.n);
	close(ends[1]);
	pthread_join(thread, NULL);
	close(ends[0]);
	sigaction(SIGUSR1, &before, NULL);
	assert_true(good);
	assert_true(str_eq(buf_str(&t.got), text));
	buf_release(&t.got);
}

static void a_full_disk_says_so(void **state)
{
	(void)state;
	int fd = open("/dev/full", O_WRONLY);
	assert_true(fd >= 0);
	errno = 0;
	assert_false(file_write_all(fd, "x", 1));
	assert_int_equal(errno, ENOSPC);
	assert_true(file_write_all(fd, "", 0));
	close(fd);
}

static void a_file_is_read_whole_or_refused(void **state)
{
	(void)state;
	struct str text = scratch_rows(100000), got;
	const char *path = scratch_at("rows");
	int fd = open(path, O_WRONLY | O_CREAT | O_EXCL, 0600);
	assert_true(fd >= 0 && file_write_all(fd, text.p, text.n));
	close(fd);
	assert_int_equal(file_read(scratch.arena, "The rows", path, text.n, &got, &error), ERR_OK);
	assert_true(str_eq(got, text));
	assert_int_equal(file_read(scratch.arena, "The rows", path, text.n - 1, &got, &error), ERR_TOO_LARGE);
	assert_int_equal(file_read(scratch.arena, "The rows", scratch_at("none"), MIB, &got, &error), ERR_IO);
}

static void folders_above_a_path_are_made_and_may_be_there(void **state)
{
	(void)state;
	struct stat st;
	const char *path = scratch_at("a/b/c");
	for (int i = 0; i < 2; i++)
		assert_int_equal(file_make_parents(path, &error), ERR_OK);
	assert_true(stat(scratch_at("a/b"), &st) == 0 && S_ISDIR(st.st_mode));
	assert_int_equal(stat(path, &st), -1);
	assert_int_equal(file_make_parents(scratch_at("rows/under/a/file"), &error), ERR_IO);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(all_is_written_whatever_interrupts),
		cmocka_unit_test(a_full_disk_says_so),
		cmocka_unit_test(a_file_is_read_whole_or_refused),
		cmocka_unit_test(folders_above_a_path_are_made_and_may_be_there),
	};
	return cmocka_run_group_tests(tests, scratch_setup, scratch_teardown);
}
