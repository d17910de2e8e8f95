/* commonhold audit verify-ballot FILE [--key KEY] [--json] */
#include "commonhold/ballot_proof.h"

#include <stdio.h>

static const char usage[] =
	"usage: commonhold audit verify-ballot FILE [--key KEY] [--json]\n\n"
	"Recounts a ballot from its bundle (GET …/ballots/{ballot}/proof), offline: every vote, every delegation, what became of everybody on the roll, the counts, the rule, and the\n"
	"proof that the co-op's signed log knows this bundle. FILE may be - for standard input.\n\n"
	"  --key KEY  the co-op's public key, as minisign writes it (RW…) or 64 hexadecimal digits; take it from a place you trust, not from the bundle\n"
	"  --json     one JSON document instead of lines\n\n"
	"Exit status: 0 everything holds, 1 something does not, 2 wrong usage.\n";

static enum err look(struct arena *a, const struct check_arguments *args, struct check_report *out, struct error *e)
{
	struct audit_result *r = ARENA_NEW(a, struct audit_result);
	TRY(ballot_bundle_audit(a, args->path, &(struct keychain_trust){ args->public_key, args->known }, r, e));
	*out = (struct check_report){ .checks = r->checks, .ok = r->ok, .result = r };
	out->verdict = !r->ok ? "Do not believe this bundle: see FAIL above." : r->pinned ? "The ballot was counted rightly, in the log of whose key you gave."
		: "The ballot was counted rightly. Give --key to be sure whose it is.";
	return ERR_OK;
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

static void write(struct json_writer *w, const struct check_report *report)
{
	const struct audit_result *r = report->result;
	write_tally(w, "admins", &r->admins);
	jw_kstr(w, "ballot", r->ballot);
	checks_write(w, report->checks);
	write_tally(w, "members", &r->members);
	jw_kbool(w, "ok", r->ok);
	jw_kbool(w, "passed", r->passed);
	jw_kbool(w, "pinned", r->pinned);
}

int audit_main(int argc, char **argv)
{
	static const struct check_command command = { .name = "audit", .usage = usage, .memory = LIMIT_DECIDE_ARENA, .standard_input = true, .look = look, .write = write };
	struct str what = str_of(argc > 1 ? argv[1] : "");
	if (!str_is(what, "verify-ballot") && !str_is(what, "--help") && !str_is(what, "-h")) {
		fputs(usage, stderr);
		return 2;
	}
	return check_main(argc, argv, str_is(what, "verify-ballot") ? 2 : 1, &command);
}
