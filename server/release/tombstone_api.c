/* The feed of tombstones, as include/commonhold/tombstone.h says it. */
#include "commonhold/http.h"
#include "commonhold/routes.h"
#include "commonhold/tombstone.h"
#include "commonhold/db.h"

#define PAGE_LINES 5000 /* read from the database at a time, and held while they go out: no connection waits for a slow reader */

struct wanted { int64_t since, limit; };

static enum err refuse(struct call *c, const char *pointer, const char *why)
{
	error_fault(&c->error, c->arena, str_of(pointer), "%s", why);
	return fail(c, ERR_BAD_REQUEST, "The query is not understood.");
}

static enum err wanted_read(struct request *rq, struct wanted *out)
{
	struct str since = request_query(rq, "since"), limit = request_query(rq, "limit");
	*out = (struct wanted){ -1, INT64_MAX };
	if (since.p && !str_to_i64(since, -1, INT64_MAX - 1, &out->since))
		return refuse(rq->call, "query/since", "This is the index of the last tombstone that you have, -1 for none.");
	if (limit.p && !str_to_i64(limit, 1, INT64_MAX, &out->limit))
		return refuse(rq->call, "query/limit", "This is a number of tombstones, at least 1.");
	return ERR_OK;
}

/* The lines from `from` to `upto`, in pieces. Nothing is ever put between lines that exist, so that no snapshot need be held from one piece to the next. */
static enum err lines_send(struct request *rq, int64_t from, int64_t upto)
{
	struct call *c = rq->call;
	struct buf page;
	int64_t last;
	buf_init(&page, (size_t)PAGE_LINES * (TOMBSTONE_LINE_MAX + 1));
	enum err e = ERR_OK;
	while (e == ERR_OK && from <= upto) {
		struct arena_mark mark = arena_mark(c->arena);
		buf_clear(&page);
		e = db_begin_in(c, rq->coop.id, DB_READ);
		if (e == ERR_OK)
			e = tombstone_lines(c, rq->coop.id, from, upto, PAGE_LINES, &page, &last);
		if (e == ERR_OK)
			e = db_commit(c);
		db_release(c);
		if (e == ERR_OK && last < from)
			e = fail(c, ERR_CORRUPT, "A tombstone is missing.");
		if (e == ERR_OK)
			e = stream_write(rq, page.p, page.n);
		from = last + 1;
		arena_rewind(c->arena, mark);
	}
	buf_release(&page);
	return e;
}

static enum err read_feed(struct request *rq, struct response *rs)
{
	struct call *c = rq->call;
	struct wanted w;
	struct str head;
	struct sha256 chain;
	int64_t upto;
	TRY(wanted_read(rq, &w));
	TRY(tombstone_head(c, rq->coop.id, &head, &upto, &chain));
	db_release(c);
	response_header(rs, "Cache-Control", STR("public, no-cache"));
	struct str etag = str_fmt(c->arena, "%lld-%.*s", (long long)w.since, STR_ARG(str_hex(c->arena, chain.b, 16)));
	if (w.limit < INT64_MAX)
		etag = str_fmt(c->arena, "%.*s-%lld", STR_ARG(etag), (long long)w.limit);
	if (response_not_modified(rq, rs, etag))
		return ERR_OK;
	response_etag(rs, etag);
	int64_t last = w.since < upto && w.limit < upto - w.since ? w.since + w.limit : upto;
	TRY(stream_begin(rq, rs, 200, "application/x-ndjson", -1));
	if (!str_is(rq->method, "HEAD"))
		TRY(lines_send(rq, w.since + 1, last));
	TRY(stream_write(rq, head.p, head.n));
	TRY(stream_write(rq, "\n", 1));
	return stream_end(rq);
}

const struct route tombstone_routes[] = {
	{ "GET", "/api/v1/coops/{coop}/tombstones", "tombstone_feed", PERM_PUBLIC, 0, NULL, "application/x-ndjson", 200, read_feed,
		"What holders of releases must no longer keep: signed tombstones after an index, oldest first, and the signed head of the feed", 0, "since limit" },
	ROUTE_TABLE_END,
};
