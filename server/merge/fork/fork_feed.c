#include "server/merge/fork/fork_internal.h"

#include "commonhold/config.h"
#include "commonhold/db.h"
#include "commonhold/fetch.h"
#include "commonhold/log.h"
#include "commonhold/onward.h"
#include "commonhold/peer.h"
#include "commonhold/tombstone.h"

/* What the parent's people take back at the parent goes from the fork as well, with or without an agreement between the two: the fork reads the parent's public feed of tombstones, daily. */

#define FEED_PAGE 500              /* lines asked for at once */
#define FEED_BYTES (8 * MIB)
#define FEED_PAGES 200             /* in one run; the next one goes on */

SQL(feed_coops, "SELECT id FROM coop ORDER BY id");
SQL(feed_parent, "SELECT name, url, (SELECT coalesce(max(w.idx), -1) FROM onward_word w WHERE w.coop_id = l.coop_id AND w.feed = l.name) FROM lineage l WHERE l.coop_id = $1 AND l.depth = 1");

struct feed {
	struct str parent, url;
	int64_t since;          /* last line that is known */
	struct peer peer;
	struct keychain keys;   /* as pinned */
};

static enum err feed_look(struct call *c, struct uuid coop, struct feed *f, bool *there)
{
	struct rows r;
	*there = false;
	TRY(db_begin_in(c, coop, DB_READ));
	TRY(db_query(c, feed_parent, &r, A_UUID(coop)));
	if (r.n == 0)
		return db_commit(c);
	*f = (struct feed){ .parent = row_str(&r, 0, 0), .url = row_str(&r, 0, 1), .since = row_int(&r, 0, 2) };
	enum err e = peer_by_name(c, coop, f->parent, &f->peer);
	if (e == ERR_OK && f->peer.state == PEER_CONFIRMED) {
		TRY(peer_keys(c, &f->peer, &f->keys));
		*there = true;
	}
	error_clear(&c->error);
	return db_commit(c);
}

/* The next page: of a parent that lives here from its own rows, of others over the network. */
static enum err feed_page(struct call *c, const struct feed *f, struct str *lines)
{
	struct fetch_answer answer;
	if (!uuid_is_nil(f->peer.here)) {
		struct buf b;
		int64_t last, upto;
		struct sha256 chain;
		struct uuid before = c->coop;
		c->coop = (struct uuid){ { 0 } };
		buf_init(&b, FEED_BYTES);
		TRY(db_begin_in(c, f->peer.here, DB_READ));
		TRY(tombstone_upto(c, f->peer.here, &upto, &chain));
		if (upto > f->since)
			TRY(tombstone_lines(c, f->peer.here, f->since + 1, upto, FEED_PAGE, &b, &last));
		TRY(db_commit(c));
		c->coop = before;
		*lines = buf_take(c->arena, &b);
		return ERR_OK;
	}
	db_release(c);
	struct fetch_request request = {
		.url = str_fmt(c->arena, "%.*s/api/v1/coops/%.*s/tombstones?limit=%d%s", STR_ARG(f->peer.url.n ? f->peer.url : f->url), STR_ARG(f->parent), FEED_PAGE,
			f->since >= 0 ? str_z(c->arena, str_fmt(c->arena, "&since=%lld", (long long)f->since)) : ""),
		.allow_private = config()->allow_private_on, .allow_http = config()->allow_private_on, .max_bytes = FEED_BYTES,
	};
	TRY(fetch(NULL, c->arena, &request, &answer, &c->error));
	*lines = answer.body;
	return answer.status == 200 ? ERR_OK : fail(c, ERR_UNAVAILABLE, "The parent's instance does not show its tombstones: it answers %ld.", answer.status);
}

/* A line that the parent has not signed ends the page; so does the head. */
static enum err feed_take(struct call *c, struct uuid coop, struct feed *f, struct str text, size_t *n)
{
	struct onward_line *lines = ARENA_ARRAY(c->arena, FEED_PAGE, struct onward_line);
	struct onward_taken taken;
	struct str line;
	*n = 0;
	while (text.n && *n < FEED_PAGE && str_split(&text, '\n', &line) && line.n) {
		struct error why = { 0 };
		if (memmem(line.p, line.n, "\"payloadType\"", 13) || onward_line_read(c->arena, line, &f->keys, &lines[*n], &why) != ERR_OK)
			break;
		if (lines[*n].said.idx != f->since + 1)
			break;
		f->since = lines[(*n)++].said.idx;
	}
	if (*n == 0)
		return ERR_OK;
	TRY(db_begin_in(c, coop, DB_WRITE));
	TRY(onward_take(c, coop, f->parent, f->parent, lines, *n, &taken));
	return db_commit(c);
}

enum err fork_feed(struct call *c, struct uuid coop)
{
	struct feed f;
	struct str text;
	bool there;
	TRY(feed_look(c, coop, &f, &there));
	for (size_t i = 0, n = FEED_PAGE; there && i < FEED_PAGES && n == FEED_PAGE; i++) {
		TRY(feed_page(c, &f, &text));
		TRY(feed_take(c, coop, &f, text, &n));
		if (c->job)
			TRY(job_extend(c));
	}
	return ERR_OK;
}

enum err fork_job_feed(struct call *c, const struct json *args)
{
	struct uuid coop, same;
	struct rows r;
	if (json_get(args, "coop")) {
		TRY(job_args_read(c, args, "fork", &coop, &same));
		return fork_feed(c, coop);
	}
	TRY(db_begin(c, DB_WRITE));
	TRY(db_query0(c, feed_coops, &r));
	for (int i = 0; i < r.n; i++)
		TRY(job_queue(c, "fork.feed", uuid_format(c->arena, row_uuid(&r, i, 0)), job_args(c->arena, row_uuid(&r, i, 0), "fork", row_uuid(&r, i, 0)), clock_now()));
	return db_commit(c);
}
