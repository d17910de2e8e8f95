/* Bundles carried by hand, by an admin's browser: what goes next to a partner as a file, and taking one in. Large ones go by `commonhold bundle`. */
#include "server/merge/merge_pages.h"

#include "commonhold/bundle.h"
#include "commonhold/config.h"
#include "commonhold/file.h"
#include "commonhold/merge.h"
#include "commonhold/routes.h"
#include "commonhold/words.h"

#include <fcntl.h>
#include <pthread.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

/* A file of our own that is gone with its last reader. */
static enum err carried_make(struct call *c, struct str *path, int *fd)
{
	*path = str_fmt(c->arena, "%s/carried-XXXXXX", config()->dir);
	char *name = ARENA_ARRAY(c->arena, path->n + 1, char);
	memcpy(name, path->p, path->n + 1);
	*fd = mkostemp(name, O_CLOEXEC);
	*path = str_of(name);
	return *fd >= 0 ? ERR_OK : fail(c, ERR_UNAVAILABLE, "There is no room for the file.");
}

static struct str report_words(struct arena *a, const struct merge_report *r)
{
	if (r->repeated)
		return STR("That bundle was taken before; nothing was to be done.");
	return str_fmt(a, "Taken in. Contributions: %.*s, of which new here %.*s, the same as one here %.*s, for somebody to look at %.*s. Deletions: %.*s.", STR_ARG(words_count(a, r->records)),
		STR_ARG(words_count(a, r->rows)), STR_ARG(words_count(a, r->origins)), STR_ARG(words_count(a, r->quarantined)), STR_ARG(words_count(a, r->tombstones)));
}

/* Taking a bundle in is a job's work, on a job's stack: a request's thread has a small one. The request waits for it. */
struct taking { struct call *call; struct uuid coop; const char *path; struct merge_report *report; enum err err; };

static void *taking_run(void *arg)
{
	struct taking *t = arg;
	t->err = bundle_take(t->call, t->coop, t->path, t->report);
	return NULL;
}

static enum err take_aside(struct call *c, struct uuid coop, const char *path, struct merge_report *report)
{
	struct taking t = { .call = c, .coop = coop, .path = path, .report = report };
	pthread_t thread;
	if (pthread_create(&thread, NULL, taking_run, &t) != 0)
		return fail(c, ERR_UNAVAILABLE, "There is no room for another task. Try again shortly.");
	pthread_join(thread, NULL);
	return t.err;
}

static enum err take_form(struct request *rq, struct response *rs)
{
	struct call *c = rq->call;
	struct form_file file;
	struct merge_report report = { 0 };
	struct str path;
	int fd;
	if (!request_file(rq, "bundle", &file) || file.content.n == 0)
		return messages_form(rq, rs, fail_field(c, "/bundle", "Choose the file that the other co-op gave you."));
	TRY(carried_make(c, &path, &fd));
	bool whole = file_write_all(fd, file.content.p, file.content.n);
	whole &= close(fd) == 0;
	enum err e = whole ? take_aside(c, rq->coop.id, path.p, &report) : fail(c, ERR_UNAVAILABLE, "There is no room for the file.");
	unlink(path.p);
	return e == ERR_OK ? response_done(rq, rs, report_words(c->arena, &report), coop_place(rq, "messages")) : messages_form(rq, rs, e);
}

static enum err give_form(struct request *rq, struct response *rs)
{
	struct call *c = rq->call;
	struct sha256 digest;
	struct agreement g;
	struct bundle_report report = { 0 };
	struct str path;
	struct stat st;
	int fd;
	TRY(agreement_param(rq, &digest));
	TRY(agreement_read(c, rq->coop.id, digest, &g));
	TRY(carried_make(c, &path, &fd));
	close(fd);
	unlink(path.p);
	enum err e = bundle_write(c, rq->coop.id, g.id, &(struct bundle_how){ .tar = path.p }, &report);
	fd = e == ERR_OK && report.seq ? open(path.p, O_RDONLY | O_CLOEXEC) : -1;
	unlink(path.p);
	if (e != ERR_OK)
		return messages_form(rq, rs, e);
	if (fd < 0 || fstat(fd, &st) != 0) {
		if (fd >= 0)
			close(fd);
		return response_done(rq, rs, STR("Nothing has changed since the last bundle: there is none to carry."), coop_place(rq, "messages"));
	}
	response_header(rs, "Content-Disposition", str_fmt(c->arena, "attachment; filename=\"bundle-%lld.tar\"", (long long)report.seq));
	return response_file(rq, rs, fd, st.st_size, "application/x-tar", sha256_hex(c->arena, digest));
}

const struct route bundle_page_routes[] = {
	{ "POST", "/coops/{coop}/bundles", "page_bundle_take", PERM_ADMIN, LIMIT_BODY_ITEM * 8, "form", "text/html", 303, take_form, "Take in a bundle from a file", ROUTE_EXPENSIVE },
	{ "POST", "/coops/{coop}/agreements/{agreement}/bundle", "page_bundle_give", PERM_ADMIN, LIMIT_BODY_SMALL, "form", "application/x-tar", 200, give_form, "The next bundle for the partner, as a file", ROUTE_EXPENSIVE },
	ROUTE_TABLE_END
};
