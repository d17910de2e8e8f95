/* check.h - what a check without a server found, step by step, and the command line that such checks share: a file or folder, --key, --json.
 *
 * Pure but for printing. Used by `commonhold verify` and `commonhold audit`, which trust nothing but a key that the reader got elsewhere.
 */
#ifndef COMMONHOLD_CHECK_H
#define COMMONHOLD_CHECK_H

#include "arena.h"
#include "json.h"
#include "str.h"

/* One thing that was looked at. */
struct check {
	const char *id;      /* stable name: "files", "roots", … */
	bool ok;             /* whether it holds */
	struct str text;     /* a sentence for a person: what was found, or what is wrong and where */
	struct check *next;  /* in the order of looking */
};
/* A line for each on standard output; in colours on a terminal. */
void checks_print(const struct check *checks);
/* The same as the member "checks" of the object that is being written. */
void checks_write(struct json_writer *w, const struct check *checks);

struct check_arguments {
	const char *path;    /* what is checked; NULL with `help` */
	const char *key;     /* as given; NULL: none */
	const char *base;    /* as given, where a check knows one; NULL: none */
	bool json, help;
};
/* Reads `PATH [--key KEY] [--base DIR] [--json] [--help]` from argv[from]; a path may be "-" where `standard_input` says so. False for anything else. */
CH_CHECK bool check_arguments_parse(int argc, char **argv, int from, bool standard_input, struct check_arguments *out);
/* A public key in minisign's form or as 64 hexadecimal digits. */
CH_CHECK bool check_key_parse(struct arena *a, const char *text, uint8_t key[32]);

#endif
