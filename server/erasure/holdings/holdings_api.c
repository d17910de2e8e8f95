/* What is held, and the archive of it, over HTTP. */
#include "server/erasure/holdings/holdings_web.h"

#include "commonhold/config.h"
#include "commonhold/db.h"
#include "commonhold/file.h"
#include "commonhold/routes.h"
#include "commonhold/sign_in.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

#define READ_BYTES (64 * KIB)

static enum err read_holdings(struct request *rq, struct response *rs)
{
	(void)rq;
	struct json_writer w = response_json(rs);
	jw_object(&w);
	jw_key(&w, "items");
	holdings_write(&w);
	jw_end_object(&w);
	return ERR_OK;
}

/* ---- Taking ---- */

static enum err to_client(void *arg, const void *p, size_t n, struct error *e)
{
	(void)e;
	return stream_write(arg, p, n);
}

enum err archive_coop_named(struct call *c, struct str name, struct uuid *out)
{
	struct coop coop;
	*out = (struct uuid){ { 0 } };
	if (!name.n)
		return ERR_OK;
	TRY(db_begin(c, DB_READ));
	TRY(coop_find(c, name, &coop));
	TRY(db_commit(c));
	*out = coop.id;
	return ERR_OK;
}

enum err archive_send(struct request *rq, struct response *rs, struct uuid coop)
{
	struct call *c = rq->call;
	struct archive_made made;
	struct archive_sink sink = { to_client, rq };
	db_release(c);
	response_header(rs, "Content-Disposition", str_fmt(c->arena, "attachment; filename=\"commonhold-archive-%.10s.tar\"", clock_format(c->arena, clock_now()).p));
	response_header(rs, "Cache-Control", STR("no-store"));
	TRY(stream_begin(rq, rs, 200, ARCHIVE_MEDIA_TYPE, -1));
	TRY(archive_write(c, coop, &sink, &made));
	return stream_end(rq);
}

static enum err hand_over(struct request *rq, struct response *rs, const struct proof *proof, struct str coop_name)
{
	struct uuid coop;
	TRY(archive_coop_named(rq->call, coop_name, &coop));
	TRY(archive_permit(rq->call, proof, coop));
	return archive_send(rq, rs, coop);
}

/* With a sign-in that is fresh, or with proof. */
static enum err get_archive(struct request *rq, struct response *rs)
{
	struct proof proof = { .network = request_network(rq) };
	return hand_over(rq, rs, &proof, request_query(rq, "coop"));
}

static enum err ask_archive(struct request *rq, struct response *rs)
{
	struct proof proof = { .password = json_member_text(rq->json, "current_password"), .code = json_member_text(rq->json, "code"), .network = request_network(rq) };
	return hand_over(rq, rs, &proof, json_member_text(rq->json, "coop"));
}

/* ---- Bringing ---- */

static void close_file(void *arg)
{
	close(*(int *)arg);
}

enum err archive_spool(struct call *c, int *out)
{
	int *fd = ARENA_NEW(c->arena, int);
	char *path = (char *)str_fmt(c->arena, "%s/upload-XXXXXX", config()->dir).p;
	*out = *fd = mkostemp(path, O_CLOEXEC);
	if (*fd < 0)
		return fail(c, ERR_IO, "There is no place to keep the archive while it is looked through: %s.", strerrorname_np(errno));
	unlink(path);
	return arena_defer(c->arena, close_file, fd) ? ERR_OK : fail(c, ERR_NO_MEMORY, "%s", err_text(ERR_NO_MEMORY));
}

enum err archive_spool_write(struct call *c, int fd, const void *p, size_t n)
{
	return file_write_all(fd, p, n) ? ERR_OK : fail(c, ERR_IO, "There is no room to keep the archive while it is looked through: %s.", strerrorname_np(errno));
}

/* The body, as a file that is read twice. */
static enum err spool_body(struct request *rq, int *fd)
{
	struct call *c = rq->call;
	char *chunk = arena_take(c->arena, READ_BYTES);
	TRY(archive_spool(c, fd));
	for (size_t got = 1; got;) {
		TRY(request_read(rq, chunk, READ_BYTES, &got));
		TRY(archive_spool_write(c, *fd, chunk, got));
	}
	return ERR_OK;
}

static void write_offers(struct json_writer *w, const struct archive_report *r)
{
	jw_key(w, "offers");
	jw_array(w);
	for (size_t i = 0; i < r->n_offers; i++) {
		jw_object(w);
		jw_kstr(w, "kind", r->offers[i].kind);
		jw_kbool(w, "stricter", r->offers[i].stricter);
		jw_key(w, "value");
		jw_raw(w, r->offers[i].json);
		jw_kstr(w, "words", r->offers[i].words);
		jw_end_object(w);
	}
	jw_end_array(w);
}

void archive_report_write(struct json_writer *w, const struct archive_report *r)
{
	jw_object(w);
	jw_kint(w, "approved", r->approved);
	jw_kint(w, "denials", r->denials);
	jw_kint(w, "duplicates", r->duplicates);
	write_offers(w, r);
	jw_kint(w, "pending", r->pending);
	jw_key(w, "problems");
	jw_array(w);
	for (size_t i = 0; i < r->n_problems; i++) {
		jw_object(w);
		jw_kz(w, "code", r->problems[i].code);
		jw_kz(w, "detail", r->problems[i].message);
		jw_kint(w, "line", r->problems[i].line);
		jw_end_object(w);
	}
	jw_end_array(w);
	jw_kint(w, "refused", r->refused);
	jw_kint(w, "seen", r->seen);
	jw_end_object(w);
}

static enum err bring_archive(struct request *rq, struct response *rs)
{
	struct call *c = rq->call;
	struct archive_report report;
	uint8_t key[32];
	struct str wanted = request_query(rq, "key");
	struct archive_import how = { .from = request_query(rq, "from"), .key = wanted.p ? key : NULL };
	int fd = -1;
	if (wanted.p && !str_unhex(wanted, key, sizeof(key)))
		return fail_field(c, "query/key", "This is no key: 64 hexadecimal digits, as archive.json of the archive has them.");
	TRY(spool_body(rq, &fd));
	TRY(archive_import(c, rq->coop.id, fd, &how, &report));
	struct json_writer w = response_json(rs);
	archive_report_write(&w, &report);
	return ERR_OK;
}

const struct route holdings_routes[] = {
	{ "GET", "/api/v1/holdings", "holdings_list", PERM_PUBLIC, 0, NULL, "holding_list", 200, read_holdings,
		"Every place where this server keeps personal data: what, on what ground, until when, how it is handed over and how it is erased." },
	{ "GET", "/api/v1/me/archive", "archive_read", PERM_ACCOUNT, 0, NULL, ARCHIVE_MEDIA_TYPE, 200, get_archive,
		"Everything held about oneself, with its recipients, as a tar (docs/archive.md). For a browser that signed in within 15 minutes and has neither password nor second factor; else POST.",
		ROUTE_EXPENSIVE, "coop" },
	{ "POST", "/api/v1/me/archive", "archive_take", PERM_ACCOUNT, LIMIT_BODY_SMALL, "archive_take", ARCHIVE_MEDIA_TYPE, 200, ask_archive, "The same, with proof that it is oneself.", ROUTE_EXPENSIVE },
	{ "POST", "/api/v1/coops/{coop}/archives", "archive_import", PERM_ACTIVE, LIMIT_BODY_BATCH, "stream:application/x-tar", "archive_report", 200, bring_archive,
		"Contributes what an archive of oneself, from here or another instance, holds; what was denied there is denied here, and other choices are offered.", ROUTE_STREAM_BODY | ROUTE_EXPENSIVE,
		"from key" },
	ROUTE_TABLE_END
};
