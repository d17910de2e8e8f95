/* commonhold verify DIR [--key KEY] [--keys FILE] [--base DIR] [--json] */
#include "commonhold/verify.h"

static const char usage[] =
	"usage: commonhold verify DIR [--key KEY] [--keys FILE] [--base DIR] [--json]\n\n"
	"Checks a downloaded release, offline: files and hashes, signatures, every row, tombstones, the patch, licences, the report, and the proof that it is in the co-op's log.\n\n"
	"  --key KEY  the co-op's public key, as minisign writes it (RW…) or 64 hexadecimal digits; take it from a place you trust, not from the release\n"
	"             a key that was replaced since leads to the present one by the chain in keys.json\n"
	"  --keys FILE the co-op's keys.json from a place you trust: also tells when a key that was replaced signed what came later\n"
	"  --base DIR the release that this one is without what was erased: the patch is applied to it, and must give this one\n"
	"  --json     one JSON document instead of lines\n\n"
	"Exit status: 0 everything holds, 1 something does not, 2 wrong usage.\n";

static enum err look(struct arena *a, const struct check_arguments *args, struct check_report *out, struct error *e)
{
	struct verify_options options = { .public_key = args->public_key, .keys = args->known, .base = args->base };
	struct verify_result *r = ARENA_NEW(a, struct verify_result);
	TRY(verify_release(a, args->path, &options, r, e));
	*out = (struct check_report){ .checks = r->checks, .ok = r->ok, .result = r };
	out->verdict = !r->ok ? "Do not use this release: see FAIL above." : r->pinned ? "The release is whole and signed by the key that you gave."
		: "The release is whole. Give --key to be sure whose it is.";
	return ERR_OK;
}

static void write(struct json_writer *w, const struct check_report *report)
{
	const struct verify_result *r = report->result;
	checks_write(w, report->checks);
	jw_kbool(w, "ok", r->ok);
	jw_kbool(w, "pinned", r->pinned);
	jw_kstr(w, "release", r->release);
	jw_kint(w, "rows", r->rows);
	jw_kstr(w, "version", r->version);
}

int verify_main(int argc, char **argv)
{
	static const struct check_command command = { .name = "verify", .usage = usage, .memory = 64 * MIB, .base = true, .look = look, .write = write };
	return check_main(argc, argv, 1, &command);
}
