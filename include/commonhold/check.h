/* check.h - what a check without a server found, step by step, and the command that such checks share: a file or folder, --key, --keys, --json.
 *
 * Pure but for printing. Used by `commonhold verify`, `audit` and `statement`, which trust nothing but a key, or a chain of keys, that the reader got elsewhere.
 */
#ifndef COMMONHOLD_CHECK_H
#define COMMONHOLD_CHECK_H

#include "arena.h"
#include "error.h"
#include "json.h"
#include "str.h"

/* One thing that was looked at. */
struct check {
	const char *id;      /* stable name: "files", "roots", … */
	bool ok;             /* whether it holds */
	struct str text;     /* a sentence for a person: what was found, or what is wrong and where */
	struct check *next;  /* in the order of looking */
};
/* All of them as the member "checks" of the object that is being written. */
void checks_write(struct json_writer *w, const struct check *checks);

struct keychain;
struct check_arguments {
	const char *path;          /* what is checked */
	const uint8_t *public_key; /* 32 bytes; NULL: none given */
	const struct keychain *known; /* of --keys, checked in itself; NULL: none given */
	const char *base;          /* as given, where a check knows one; NULL: none */
};
/* What came out. */
struct check_report {
	const struct check *checks;
	bool ok;                   /* everything holds */
	const char *verdict;       /* the last line, a sentence */
	const void *result;        /* for `write` */
};
struct check_command {
	const char *name;          /* as people type it: "verify" */
	const char *usage;         /* the whole text of --help */
	size_t memory;             /* most that a run may take */
	bool standard_input;       /* the path may be "-" */
	bool base;                 /* --base DIR is known */
	/* Looks; an error is for what cannot be looked at at all. */
	enum err (*look)(struct arena *a, const struct check_arguments *args, struct check_report *out, struct error *e);
	/* The members of the object that --json prints, in order of their names. */
	void (*write)(struct json_writer *w, const struct check_report *r);
};
/* Reads `PATH [--key KEY] [--keys FILE] [--base DIR] [--json] [--help]` from argv[from], looks, prints. Exit status: 0 everything holds, 1 something does not, 2 wrong usage. */
int check_main(int argc, char **argv, int from, const struct check_command *command);
/* A public key in minisign's form or as 64 hexadecimal digits. */
CH_CHECK bool check_key_parse(struct arena *a, const char *text, uint8_t key[32]);

#endif
