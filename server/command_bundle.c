#include "app.h"

#include "commonhold/agreement.h"
#include "commonhold/bundle.h"
#include "commonhold/coop.h"
#include "commonhold/db.h"
#include "commonhold/merge.h"

#include <getopt.h>
#include <stdio.h>

/* What was asked for. */
struct bundle_work { const char *what, *coop, *agreement, *path; bool whole, json; };

static enum err find_coop(struct call *c, const struct bundle_work *w, struct coop *out)
{
	TRY(db_begin(c, DB_READ));
	TRY(coop_find(c, str_of(w->coop), out));
	return db_commit(c);
}

/* By id, by digest, or the only one that sends. */
static enum err find_agreement(struct call *c, const struct bundle_work *w, struct uuid coop, struct uuid *out)
{
	struct agreement *all, one;
	struct uuid anybody = { { 0 } };
	struct sha256 digest;
	size_t n, sends = 0;
	if (w->agreement && sha256_parse(str_of(w->agreement), &digest)) {
		TRY(agreement_read(c, coop, digest, &one));
		*out = one.id;
		return ERR_OK;
	}
	if (w->agreement)
		return uuid_parse(str_of(w->agreement), out) ? ERR_OK : fail(c, ERR_INVALID, "An agreement is named by its digest or its id.");
	TRY(db_begin_in(c, coop, DB_READ));
	TRY(agreement_all(c, coop, anybody, AGREEMENT_LIVE, &all, &n));
	TRY(db_commit(c));
	for (size_t i = 0; i < n; i++)
		if (all[i].we_send && sends++ == 0)
			*out = all[i].id;
	return sends == 1 ? ERR_OK : fail(c, ERR_INVALID, "There are %zu agreements under which this co-op sends: say which, by --agreement.", sends);
}

static enum err export_one(struct call *c, const struct bundle_work *w, struct uuid coop)
{
	struct uuid agreement;
	struct bundle_report r;
	const struct bundle_how how = { .whole = w->whole, .even_empty = w->whole, .tar = w->path };
	TRY(find_agreement(c, w, coop, &agreement));
	TRY(bundle_write(c, coop, agreement, &how, &r));
	if (r.seq == 0)
		printf("Nothing changed since the last bundle: none was written.\n");
	else
		printf("Bundle %lld: %lld records, %lld contributors, %lld tombstones, %lld no longer passed on, %lld bytes.\n", (long long)r.seq, (long long)r.counts.records,
			(long long)r.counts.statements, (long long)r.counts.tombstones, (long long)r.counts.out, (long long)r.size);
	return ERR_OK;
}

static enum err check_one(struct call *c, const struct bundle_work *w, struct uuid coop)
{
	struct bundle *b;
	struct bundle_expected x;
	TRY(bundle_open(c->arena, w->path, &b, &c->error));
	TRY(bundle_expect(c, coop, b, &x));
	TRY(bundle_check(c->arena, b, &x, &c->error));
	printf("Bundle %lld of %.*s is %s: %lld records, %lld contributors, %lld tombstones.\n", (long long)b->seq, STR_ARG(b->from), b->repeated ? "one that was taken before" : "as it should be",
		(long long)b->counts.records, (long long)b->counts.statements, (long long)b->counts.tombstones);
	return ERR_OK;
}

static enum err import_one(struct call *c, const struct bundle_work *w, struct uuid coop)
{
	struct merge_report r;
	TRY(bundle_take(c, coop, w->path, &r));
	if (w->json)
		printf("%.*s\n", STR_ARG(merge_report_json(c->arena, &r)));
	else if (r.repeated)
		printf("This bundle was taken in before: nothing was done.\n");
	else
		printf("Taken in: %lld records (%lld new here, %lld of contents that stand here already, %lld known, %lld erased, %lld kept aside), %lld words of contributors, %lld tombstones, "
			"%lld no longer passed on, %lld passed on again.\n", (long long)r.records, (long long)r.rows, (long long)r.origins, (long long)r.known, (long long)r.erased, (long long)r.quarantined,
			(long long)r.statements, (long long)r.tombstones, (long long)r.out, (long long)r.back);
	return ERR_OK;
}

static enum err bundle_do(struct call *c, const struct bundle_work *w)
{
	struct coop coop;
	TRY(find_coop(c, w, &coop));
	if (strcmp(w->what, "export") == 0)
		return export_one(c, w, coop.id);
	return strcmp(w->what, "check") == 0 ? check_one(c, w, coop.id) : import_one(c, w, coop.id);
}

static int bundle_usage(FILE *to)
{
	fprintf(to,
		"usage: commonhold bundle export --coop CO-OP [--agreement DIGEST] [--whole] FILE.tar\n"
		"       commonhold bundle check --coop CO-OP FILE.tar\n"
		"       commonhold bundle import --coop CO-OP [--json] FILE.tar\n\n"
		"Carries what an agreement lets pass between two co-ops as a file: what the co-op sends next (--whole: all of it again), whether what came is right, and taking it in.\n"
		"FILE.tar may be a folder where one is read. What is refused changes nothing, and the admins see why. --json: what import did, for programs.\n");
	return to == stdout ? 0 : 2;
}

int bundle_main(int argc, char **argv)
{
	static const struct option options[] = {
		{ "coop", required_argument, NULL, 'c' }, { "agreement", required_argument, NULL, 'g' }, { "whole", no_argument, NULL, 'w' }, { "json", no_argument, NULL, 'j' }, { "help", no_argument, NULL, 'h' }, { 0 },
	};
	struct bundle_work w = { 0 };
	for (int o; (o = getopt_long(argc, argv, "h", options, NULL)) != -1;) {
		switch (o) {
		case 'c': w.coop = optarg; break;
		case 'g': w.agreement = optarg; break;
		case 'w': w.whole = true; break;
		case 'j': w.json = true; break;
		case 'h': return bundle_usage(stdout);
		default: return bundle_usage(stderr);
		}
	}
	if (!w.coop || optind != argc - 2)
		return bundle_usage(stderr);
	w.what = argv[optind];
	w.path = argv[optind + 1];
	if (strcmp(w.what, "export") != 0 && strcmp(w.what, "check") != 0 && strcmp(w.what, "import") != 0)
		return bundle_usage(stderr);
	struct app *app = NULL;
	struct error error = { 0 };
	int status = 0;
	if (app_open(&app, &error) != ERR_OK) {
		status = command_failed("bundle", &error);
	} else {
		struct call *c = app_call();
		if (!c || bundle_do(c, &w) != ERR_OK)
			status = command_failed("bundle", c ? &c->error : &error);
		app_call_end(c);
	}
	app_close(app);
	return status;
}
