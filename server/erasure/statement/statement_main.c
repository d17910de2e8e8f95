/* commonhold statement FILE [--key KEY] [--json] */
#include "commonhold/erasure_statement.h"
#include "commonhold/file.h"
#include "commonhold/limits.h"

#define STATEMENT_MAX (16 * MIB)

static const char usage[] =
	"usage: commonhold statement FILE [--key KEY] [--json]\n\n"
	"Checks a signed statement about a deletion, offline: its signature, the head of the tombstone feed and the log's checkpoint in it, and that it does not contradict itself.\n\n"
	"  --key KEY  the co-op's public key, as minisign writes it (RW…) or 64 hexadecimal digits; take it from a place you trust, not from the statement\n"
	"  --json     one JSON document instead of lines\n\n"
	"Exit status: 0 everything holds, 1 something does not, 2 wrong usage.\n";

static enum err look(struct arena *a, const struct check_arguments *args, struct check_report *out, struct error *e)
{
	struct erasure_statement_result *r = ARENA_NEW(a, struct erasure_statement_result);
	struct str text;
	TRY(file_read(a, "The statement", args->path, STATEMENT_MAX, &text, e));
	TRY(erasure_statement_check(a, text, &(struct keychain_trust){ args->public_key, args->known }, r, e));
	*out = (struct check_report){ .checks = r->checks, .ok = r->ok, .result = r };
	out->verdict = !r->ok ? "Do not believe this statement: see FAIL above." : r->pinned ? "The co-op whose key you gave says this."
		: "The statement is whole. Give --key to be sure whose it is.";
	return ERR_OK;
}

static void write(struct json_writer *w, const struct check_report *report)
{
	const struct erasure_statement_result *r = report->result;
	checks_write(w, report->checks);
	jw_kint(w, "items", r->items);
	jw_kbool(w, "ok", r->ok);
	jw_kbool(w, "pinned", r->pinned);
	jw_kstr(w, "request", r->request);
	jw_kstr(w, "state", r->state);
}

int erasure_statement_main(int argc, char **argv)
{
	static const struct check_command command = { .name = "statement", .usage = usage, .memory = 128 * MIB, .look = look, .write = write };
	return check_main(argc, argv, 1, &command);
}
