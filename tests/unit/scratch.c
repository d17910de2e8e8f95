#include "scratch.h"

#include "commonhold/crypto.h"
#include "commonhold/limits.h"

#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/wait.h>

struct scratch scratch;

static int remove_one(const char *path, const struct stat *st, int type, struct FTW *at)
{
	(void)st, (void)type, (void)at;
	return remove(path);
}

void scratch_remove(const char *path)
{
	nftw(path, remove_one, 16, FTW_DEPTH | FTW_PHYS);
}

bool scratch_folder(char *path)
{
	return mkdtemp(path) != NULL;
}

int scratch_setup(void **state)
{
	(void)state;
	scratch.arena = arena_new(512 * MIB);
	snprintf(scratch.dir, sizeof(scratch.dir), "/tmp/commonhold-test-XXXXXX");
	return scratch.arena && crypto_start() && scratch_folder(scratch.dir) ? 0 : -1;
}

int scratch_teardown(void **state)
{
	(void)state;
	arena_free(scratch.arena);
	scratch_remove(scratch.dir);
	return 0;
}

const char *scratch_at(const char *name)
{
	return str_z(scratch.arena, str_fmt(scratch.arena, "%s/%s", scratch.dir, name));
}

struct str scratch_rows(size_t n)
{
	char *p = arena_alloc(scratch.arena, n + 64);
	uint64_t x = 88172645463325252u;
	size_t i = 0;
	while (i < n) {
		x ^= x << 13, x ^= x >> 7, x ^= x << 17;
		i += (size_t)snprintf(p + i, 64, "{\"rid\":\"%llx\",\"kind\":\"chat\"}\n", (unsigned long long)(x & 0xffffff));
	}
	return str_make(p, n);
}

int scratch_run(const char *command)
{
	int status = system(command);
	return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}
