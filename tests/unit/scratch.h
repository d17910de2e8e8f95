/* scratch.h - what a test of files has for itself: an arena, a folder that is gone afterwards, and text that compresses about as rows do. */
#ifndef COMMONHOLD_TEST_SCRATCH_H
#define COMMONHOLD_TEST_SCRATCH_H

#include "commonhold/arena.h"
#include "commonhold/str.h"

#include <setjmp.h>
#include <stdarg.h>
#include <cmocka.h>

struct scratch {
	struct arena *arena; /* of 512 MiB at most */
	char dir[64];        /* under /tmp */
};
extern struct scratch scratch; /* from scratch_setup until scratch_teardown */

/* cmocka's set-up and tear-down of a group. */
int scratch_setup(void **state);
int scratch_teardown(void **state);
/* A path in the folder. */
const char *scratch_at(const char *name);
/* n bytes of lines, the same each time. */
struct str scratch_rows(size_t n);
/* Runs a command of the shell; its exit status, or -1. */
int scratch_run(const char *command);

/* A folder of one's own from a template that ends in XXXXXX; and a folder with all that is in it removed. */
bool scratch_folder(char *path);
void scratch_remove(const char *path);

#endif
