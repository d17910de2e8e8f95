#include "app.h"

#include "commonhold/account.h"
#include "commonhold/coop.h"
#include "commonhold/db.h"
#include "commonhold/file.h"
#include "commonhold/holdings.h"
#include "commonhold/import.h"
#include "commonhold/pool.h"

#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <stdio.h>
#include <unistd.h>

/* What was asked for, and how far it got. */
struct import_work {
	const char *coop, *email, *format, *mapping, *path, *lang, *licence;
	const char *from, *key;     /* of an archive: which of its co-ops, and whose signature it must have */
	bool json;                  /* a verdict a line on standard output */
	struct pool_batch *batch;
	int64_t taken, held, rejected, duplicates, refused;
	bool terminal;              /* progress is shown to a person */
};

static enum err verdict(void *arg, const struct verdict *v)
{
	struct import_work *w = arg;
	if (v->err != ERR_OK) {
		w->refused++;
		fprintf(stderr, "item %lld: %s\n", (long long)v->line, v->error->message);
		for (const struct fault *f = v->error->faults; f; f = f->next)
			fprintf(stderr, "  %.*s %.*s\n", STR_ARG(f->pointer), STR_ARG(f->message));
		return ERR_OK;
	}
	if (v->receipt->duplicate)
		w->duplicates++;
	else if (str_is(v->receipt->status, "approved"))
		w->taken++;
	else if (str_is(v->receipt->status, "rejected"))
		w->rejected++;
	else
		w->held++;
	if (w->json)
		printf("{\"id\":\"%.*s\",\"line\":%lld,\"status\":\"%.*s\"}\n", STR_ARG(v->receipt->rid), (long long)v->line, STR_ARG(v->receipt->status));
	return ERR_OK;
}

static enum err item(void *arg, const struct import_item *in, struct error *e)
{
	struct import_work *w = arg;
	(void)e;
	return pool_batch_line(w->batch, in->json);
}

static void row_refused(void *arg, const struct import_verdict *v)
{
	(void)arg;
	if (v->reason != IMPORT_REASON_DELETED && v->reason != IMPORT_REASON_UNDER_DELETED)
		fprintf(stderr, "line %llu: %.*s\n", (unsigned long long)v->line, STR_ARG(v->message));
}

static void progress(void *arg, const struct import_counts *counts)
{
	const struct import_work *w = arg;
	if (w->terminal)
		fprintf(stderr, "\r%llu rows read, %llu contributions", (unsigned long long)counts->rows, (unsigned long long)counts->emitted);
}

static enum err read_mapping(struct call *c, const char *path, const struct json **out)
{
	struct str text;
	TRY(file_read(c->arena, "The mapping", path, LIMIT_BODY_SMALL, &text, &c->error));
	return json_parse(c->arena, text, out, &c->error);
}

static enum err import_options(struct call *c, struct import_work *w, struct uuid coop, struct import_options *out)
{
	int format = import_format_find(str_of(w->format));
	if (format < 0)
		return fail(c, ERR_INVALID, "There is no format \"%s\". `commonhold import --help` lists them.", w->format);
	*out = (struct import_options){ .format = (enum import_format)format, .lang = str_of(w->lang), .licence = str_of(w->licence) };
	if (w->mapping)
		TRY(read_mapping(c, w->mapping, &out->mapping));
	/* Authors' pseudonyms differ between co-ops and cannot be guessed back without the instance's key. */
	struct sha256 key = hmac_sha256(str_make(instance_seal_key(instance_keys())->b, 32), str_make(coop.b, 16));
	memcpy(out->pseudonym_key, key.b, 32);
	return contribution_schemas_load(c->arena, &out->schemas, &c->error);
}

static enum err import_file(struct call *c, struct import_work *w, struct uuid coop, int fd, struct import_counts *counts)
{
	struct import_options options;
	struct import_source source = import_from_fd(&fd);
	struct import_sink sink = { item, row_refused, progress, w };
	TRY(import_options(c, w, coop, &options));
	TRY(pool_batch_begin(c, coop, verdict, w, &w->batch));
	enum err e = import_run(&options, &source, &sink, counts, &c->error);
	enum err ended = pool_batch_end(w->batch);
	return e != ERR_OK ? e : ended;
}

/* ---- An archive of a person ---- */

#define ARCHIVE_WORD "commonhold-archive"

static void archive_progress(void *arg, int64_t seen)
{
	const struct import_work *w = arg;
	if (w->terminal)
		fprintf(stderr, "\r%lld contributions read", (long long)seen);
}

static void print_offers(const struct archive_report *r)
{
	if (r->n_offers)
		fprintf(stderr, "What was said there, for you to say here if you want to:\n");
	for (size_t i = 0; i < r->n_offers; i++)
		fprintf(stderr, "  %.*s\n", STR_ARG(r->offers[i].words));
	for (size_t i = 0; i < r->n_problems; i++)
		fprintf(stderr, "item %lld: %s\n", (long long)r->problems[i].line, r->problems[i].message);
}

static enum err import_archive(struct call *c, struct import_work *w, struct uuid coop, int fd)
{
	uint8_t key[32];
	struct archive_report report;
	struct archive_import how = { .from = w->from ? str_of(w->from) : STR_NONE, .key = w->key ? key : NULL, .progress = archive_progress, .arg = w };
	if (w->key && !str_unhex(str_of(w->key), key, sizeof(key)))
		return fail(c, ERR_INVALID, "--key takes 64 hexadecimal digits, as archive.json has them.");
	TRY(archive_import(c, coop, fd, &how, &report));
	if (w->terminal)
		fprintf(stderr, "\n");
	fprintf(stderr, "%lld contributions: %lld approved, %lld held for moderation, %lld there already, %lld not taken; %lld denials came with them\n", (long long)report.seen,
		(long long)report.approved, (long long)report.pending, (long long)report.duplicates, (long long)report.refused, (long long)report.denials);
	print_offers(&report);
	if (w->json) {
		struct buf b;
		struct json_writer j;
		buf_init(&b, LIMIT_RESPONSE);
		jw_init(&j, &b);
		archive_report_write(&j, &report);
		printf("%.*s\n", (int)b.n, b.p ? b.p : "");
		buf_release(&b);
	}
	return ERR_OK;
}

static enum err import_rows(struct call *c, struct import_work *w, struct uuid coop, int fd)
{
	struct import_counts counts = { 0 };
	enum err e = import_file(c, w, coop, fd, &counts);
	if (w->terminal)
		fprintf(stderr, "\n");
	fprintf(stderr, "%llu rows: %lld approved, %lld held for moderation, %lld rejected, %lld there already, %lld refused, %llu deleted at the source\n",
		(unsigned long long)counts.rows, (long long)w->taken, (long long)w->held, (long long)w->rejected, (long long)w->duplicates, (long long)w->refused,
		(unsigned long long)(counts.refused[IMPORT_REASON_DELETED] + counts.refused[IMPORT_REASON_UNDER_DELETED]));
	return e;
}

static enum err import_do(struct call *c, struct import_work *w)
{
	struct account account;
	struct coop coop;
	TRY(account_find(c, str_of(w->email), &account));
	c->actor = (struct actor){ .kind = AUTH_SYSTEM, .account = account.id, .email = account.email, .name = account.name };
	TRY(db_begin(c, DB_READ));
	TRY(coop_find(c, str_of(w->coop), &coop));
	TRY(db_commit(c));
	int fd = open(w->path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return fail(c, ERR_IO, "%s cannot be read: %s.", w->path, strerrorname_np(errno));
	enum err e = strcmp(w->format, ARCHIVE_WORD) == 0 ? import_archive(c, w, coop.id, fd) : import_rows(c, w, coop.id, fd);
	close(fd);
	return e;
}

static int import_usage(FILE *to)
{
	fprintf(to,
		"usage: commonhold import --coop CO-OP --as E-MAIL --format FORMAT [--mapping FILE] [--lang TAG] [--licence SPDX] [--json] FILE\n"
		"       commonhold import --coop CO-OP --as E-MAIL --format " ARCHIVE_WORD " [--from CO-OP] [--key HEX] [--json] FILE\n\n"
		"Adds the contributions in FILE (gzip is recognised) to the pool in the name of a member. Formats:\n");
	for (unsigned i = 0; i < IMPORT_FORMAT_COUNT; i++)
		fprintf(to, "  %s\n", import_format_word(i));
	fprintf(to, "  " ARCHIVE_WORD ": an archive of everything held about a person, from here or elsewhere; --from names its co-op, --key the server that signed it\n");
	return to == stdout ? 0 : 2;
}

int import_main(int argc, char **argv)
{
	static const struct option options[] = {
		{ "coop", required_argument, NULL, 'c' }, { "as", required_argument, NULL, 'a' }, { "format", required_argument, NULL, 'f' },
		{ "mapping", required_argument, NULL, 'm' }, { "lang", required_argument, NULL, 'l' }, { "licence", required_argument, NULL, 'L' },
		{ "from", required_argument, NULL, 'o' }, { "key", required_argument, NULL, 'k' }, { "json", no_argument, NULL, 'j' }, { "help", no_argument, NULL, 'h' }, { 0 },
	};
	struct import_work w = { .terminal = isatty(STDERR_FILENO) };
	for (int o; (o = getopt_long(argc, argv, "h", options, NULL)) != -1;) {
		switch (o) {
		case 'c': w.coop = optarg; break;
		case 'a': w.email = optarg; break;
		case 'f': w.format = optarg; break;
		case 'm': w.mapping = optarg; break;
		case 'l': w.lang = optarg; break;
		case 'L': w.licence = optarg; break;
		case 'o': w.from = optarg; break;
		case 'k': w.key = optarg; break;
		case 'j': w.json = true; break;
		case 'h': return import_usage(stdout);
		default: return import_usage(stderr);
		}
	}
	if (!w.coop || !w.email || !w.format || optind != argc - 1)
		return import_usage(stderr);
	w.path = argv[optind];
	struct app *app = NULL;
	struct error error = { 0 };
	int status = 0;
	if (app_open(&app, &error) != ERR_OK) {
		status = command_failed("import", &error);
	} else {
		struct call *c = app_call();
		if (!c || import_do(c, &w) != ERR_OK)
			status = command_failed("import", c ? &c->error : &error);
		app_call_end(c);
	}
	app_close(app);
	return status;
}
