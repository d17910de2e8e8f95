/* commonhold statement FILE [--key KEY] [--json] */
#include "commonhold/erasure_statement.h"
#include "commonhold/file.h"
#include "commonhold/limits.h"

#include <stdio.h>

#define STATEMENT_ARENA (128 * MIB)
#define STATEMENT_MAX (16 * MIB)

static int usage(FILE *to)
{
	fprintf(to,
		"usage: commonhold statement FILE [--key KEY] [--json]\n\n"
		"Checks a signed statement about a deletion, offline: its signature, the head of the tombstone feed and the log's checkpoint in it, and that it does not contradict itself.\n\n"
		"  --key KEY  the co-op's public key, as minisign writes it (RW…) or 64 hexadecimal digits; take it from a place you trust, not from the statement\n"
		"  --json     one JSON document instead of lines\n\n"
		"Exit status: 0 everything holds, 1 something does not, 2 wrong usage.\n");
	return to == stdout ? 0 : 2;
}

static void print_lines(const struct erasure_statement_result *r)
{
	checks_print(r->checks);
	if (!r->ok)
		printf("Do not believe this statement: see FAIL above.\n");
	else if (r->pinned)
		printf("The co-op whose key you gave says this.\n");
	else
		printf("The statement is whole. Give --key to be sure whose it is.\n");
}

static void print_json(const struct erasure_statement_result *r)
{
	struct buf out;
	struct json_writer w;
	buf_init(&out, 1 * MIB);
	jw_init(&w, &out);
	jw_object(&w);
	checks_write(&w, r->checks);
	jw_kint(&w, "items", r->items);
	jw_kbool(&w, "ok", r->ok);
	jw_kbool(&w, "pinned", r->pinned);
	jw_kstr(&w, "request", r->request);
	jw_kstr(&w, "state", r->state);
	jw_end_object(&w);
	printf("%.*s\n", STR_ARG(buf_str(&out)));
	buf_release(&out);
}

static int check(struct arena *a, const struct check_arguments *args)
{
	uint8_t key[32];
	struct erasure_statement_result result;
	struct error e = { 0 };
	struct str text;
	if (args->key && !check_key_parse(a, args->key, key)) {
		fprintf(stderr, "commonhold statement: the key is neither minisign's form nor 64 hexadecimal digits.\n");
		return 2;
	}
	if (file_read(a, "The statement", args->path, STATEMENT_MAX, &text, &e) != ERR_OK || erasure_statement_check(a, text, args->key ? key : NULL, &result, &e) != ERR_OK) {
		fprintf(stderr, "commonhold statement: %s\n", e.message);
		return 1;
	}
	if (args->json)
		print_json(&result);
	else
		print_lines(&result);
	return result.ok ? 0 : 1;
}

int erasure_statement_main(int argc, char **argv)
{
	struct check_arguments args;
	if (!check_arguments_parse(argc, argv, 1, false, &args) || args.base)
		return usage(stderr);
	if (args.help)
		return usage(stdout);
	struct arena *a = arena_new(STATEMENT_ARENA);
	if (!a)
		return 1;
	int status = check(a, &args);
	arena_free(a);
	return status;
}
