/* commonhold verify DIR [--key KEY] [--json] */
#include "commonhold/json.h"
#include "commonhold/verify.h"

#include <stdio.h>

#define VERIFY_MAIN_ARENA (64 * MIB)

static int usage(FILE *to)
{
	fprintf(to,
		"usage: commonhold verify DIR [--key KEY] [--base DIR] [--json]\n\n"
		"Checks a downloaded release, offline: files and hashes, signatures, every row, tombstones, the patch, licences, the report, and the proof that it is in the co-op's log.\n\n"
		"  --key KEY  the co-op's public key, as minisign writes it (RW…) or 64 hexadecimal digits; take it from a place you trust, not from the release\n"
		"  --base DIR the release that this one is without what was erased: the patch is applied to it, and must give this one\n"
		"  --json     one JSON document instead of lines\n\n"
		"Exit status: 0 everything holds, 1 something does not, 2 wrong usage.\n");
	return to == stdout ? 0 : 2;
}

static void print_lines(const struct verify_result *r)
{
	checks_print(r->checks);
	if (r->ok && r->pinned)
		printf("The release is whole and signed by the key that you gave.\n");
	else if (r->ok)
		printf("The release is whole. Give --key to be sure whose it is.\n");
	else
		printf("Do not use this release: see FAIL above.\n");
}

static void print_json(const struct verify_result *r)
{
	struct buf out;
	struct json_writer w;
	buf_init(&out, 1 * MIB);
	jw_init(&w, &out);
	jw_object(&w);
	checks_write(&w, r->checks);
	jw_kbool(&w, "ok", r->ok);
	jw_kbool(&w, "pinned", r->pinned);
	jw_kstr(&w, "release", r->release);
	jw_kint(&w, "rows", r->rows);
	jw_kstr(&w, "version", r->version);
	jw_end_object(&w);
	printf("%.*s\n", STR_ARG(buf_str(&out)));
	buf_release(&out);
}

static int verify_and_print(struct arena *a, const struct check_arguments *args)
{
	uint8_t key[32];
	struct verify_options options = { .base = args->base };
	struct verify_result result;
	struct error e = { 0 };
	if (args->key) {
		if (!check_key_parse(a, args->key, key)) {
			fprintf(stderr, "commonhold verify: the key is neither minisign's form nor 64 hexadecimal digits.\n");
			return 2;
		}
		options.public_key = key;
	}
	if (verify_release(a, args->path, &options, &result, &e) != ERR_OK) {
		fprintf(stderr, "commonhold verify: %s\n", e.message);
		return 1;
	}
	if (args->json)
		print_json(&result);
	else
		print_lines(&result);
	return result.ok ? 0 : 1;
}

int verify_main(int argc, char **argv)
{
	struct check_arguments args;
	if (!check_arguments_parse(argc, argv, 1, false, &args))
		return usage(stderr);
	if (args.help)
		return usage(stdout);
	struct arena *a = arena_new(VERIFY_MAIN_ARENA);
	if (!a)
		return 1;
	int status = verify_and_print(a, &args);
	arena_free(a);
	return status;
}
