/* commonhold audit verify-ballot FILE [--key KEY] [--json] */
#include "commonhold/ballot_proof.h"

#include <stdio.h>

static int usage(FILE *to)
{
	fprintf(to,
		"usage: commonhold audit verify-ballot FILE [--key KEY] [--json]\n\n"
		"Recounts a ballot from its bundle (GET …/ballots/{ballot}/proof), offline: every vote, every delegation, what became of everybody on the roll, the counts, the rule, and the\n"
		"proof that the co-op's signed log knows this bundle. FILE may be - for standard input.\n\n"
		"  --key KEY  the co-op's public key, as minisign writes it (RW…) or 64 hexadecimal digits; take it from a place you trust, not from the bundle\n"
		"  --json     one JSON document instead of lines\n\n"
		"Exit status: 0 everything holds, 1 something does not, 2 wrong usage.\n");
	return to == stdout ? 0 : 2;
}

/* What comes after the name of the check. */
static bool arguments_parse(int argc, char **argv, struct check_arguments *out)
{
	*out = (struct check_arguments){ .help = argc > 1 && (str_is(str_of(argv[1]), "--help") || str_is(str_of(argv[1]), "-h")) };
	return out->help || (argc > 1 && str_is(str_of(argv[1]), "verify-ballot") && check_arguments_parse(argc, argv, 2, true, out) && !out->base);
}

static void print_lines(const struct audit_result *r)
{
	checks_print(r->checks);
	if (!r->ok)
		printf("Do not believe this bundle: see FAIL above.\n");
	else if (r->pinned)
		printf("The ballot was counted rightly, in the log of whose key you gave.\n");
	else
		printf("The ballot was counted rightly. Give --key to be sure whose it is.\n");
}

static void write_tally(struct json_writer *w, const char *key, const struct ballot_tally *t)
{
	jw_key(w, key);
	jw_object(w);
	jw_kint(w, "abstain", t->abstain);
	jw_kint(w, "against", t->no);
	jw_kint(w, "for", t->yes);
	jw_kint(w, "roll", t->roll);
	jw_kint(w, "undecided", t->undecided);
	jw_end_object(w);
}

static void print_json(const struct audit_result *r)
{
	struct buf out;
	struct json_writer w;
	buf_init(&out, 1 * MIB);
	jw_init(&w, &out);
	jw_object(&w);
	write_tally(&w, "admins", &r->admins);
	jw_kstr(&w, "ballot", r->ballot);
	checks_write(&w, r->checks);
	write_tally(&w, "members", &r->members);
	jw_kbool(&w, "ok", r->ok);
	jw_kbool(&w, "passed", r->passed);
	jw_kbool(&w, "pinned", r->pinned);
	jw_end_object(&w);
	printf("%.*s\n", STR_ARG(buf_str(&out)));
	buf_release(&out);
}

static int audit(struct arena *a, const struct check_arguments *args)
{
	uint8_t key[32];
	struct audit_result result;
	struct error e = { 0 };
	if (args->key && !check_key_parse(a, args->key, key)) {
		fprintf(stderr, "commonhold audit: the key is neither minisign's form nor 64 hexadecimal digits.\n");
		return 2;
	}
	if (ballot_bundle_audit(a, args->path, args->key ? key : NULL, &result, &e) != ERR_OK) {
		fprintf(stderr, "commonhold audit: %s\n", e.message);
		return 1;
	}
	if (args->json)
		print_json(&result);
	else
		print_lines(&result);
	return result.ok ? 0 : 1;
}

int audit_main(int argc, char **argv)
{
	struct check_arguments args;
	if (!arguments_parse(argc, argv, &args))
		return usage(stderr);
	if (args.help)
		return usage(stdout);
	struct arena *a = arena_new(LIMIT_DECIDE_ARENA);
	if (!a)
		return 1;
	int status = audit(a, &args);
	arena_free(a);
	return status;
}
