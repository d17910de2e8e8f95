#include "server/merge/fork/fork_internal.h"

#include "commonhold/config.h"
#include "commonhold/db.h"
#include "commonhold/fetch.h"
#include "commonhold/log.h"
#include "commonhold/onward.h"
#include "commonhold/peer.h"
#include "commonhold/tombstone.h"

/* What the parent's people take back at the parent goes from the fork as well, and what they say there counts in it, with or without an agreement between the two: the fork reads the parent's public feed of
 * tombstones, and asks for the words of those who came along, daily. */

#define FEED_PAGE 500              /* lines asked for at once */
#define FEED_BYTES (8 * MIB)
#define FEED_PAGES 200             /* in one run; the next one goes on */

SQL(feed_coops, "SELECT id FROM coop ORDER BY id");
SQL(feed_parent, "SELECT l.name, l.url, coalesce((SELECT s.keys FROM lineage_look s WHERE s.coop_id = l.coop_id AND s.name = l.name), l.keys), l.manifest::jsonb #>> '{offer,id}', k.key_name FROM lineage l JOIN coop k ON k.id = l.coop_id WHERE l.coop_id = $1 AND l.depth = 1");
SQL(feed_since, "SELECT coalesce(max(w.idx), -1) FROM onward_word w WHERE w.coop_id = $1 AND w.feed = $2");

struct feed {
	const struct fork_parent *p;
	int64_t since;          /* last line that is known */
};

/* ---- Who the parent is ---- */

/* What is known of it otherwise counts where it continues what the lineage has pinned. */
static enum err keys_longest(struct call *c, struct fork_parent *p, const struct peer *peer)
{
	struct keychain later;
	struct error why = { 0 };
	bool read = uuid_is_nil(p->here) ? peer && keychain_read(c->arena, peer->chain, &later, &why) == ERR_OK : keychain_of(c, p->here, &later) == ERR_OK;
	if (read && keychain_continues(&later, &p->keys))
		p->keys = later;
	return ERR_OK;
}

/* The parent where it lives on this instance. */
static enum err parent_here(struct call *c, struct fork_parent *p)
{
	struct coop parent;
	struct uuid before = c->coop;
	c->coop = (struct uuid){ { 0 } };
	TRY(db_begin(c, DB_READ));
	if (coop_find(c, p->name, &parent) == ERR_OK)
		p->here = parent.id;
	db_rollback(c);
	error_clear(&c->error);
	c->coop = before;
	return ERR_OK;
}

enum err fork_parent_of(struct call *c, struct uuid coop, struct fork_parent *out, bool *there)
{
	struct rows r;
	struct peer peer;
	TRY(db_begin_in(c, coop, DB_READ));
	TRY(db_query(c, feed_parent, &r, A_UUID(coop)));
	*there = r.n == 1;
	if (!*there)
		return db_commit(c);
	struct str keys = row_str(&r, 0, 2), offer = row_str(&r, 0, 3);
	*out = (struct fork_parent){ .coop = coop, .name = row_str(&r, 0, 0), .url = row_str(&r, 0, 1), .us = row_str(&r, 0, 4) };
	TRY(keychain_read(c->arena, keys, &out->keys, &c->error));
	if (!uuid_parse(offer, &out->offer))
		return fail(c, ERR_CORRUPT, "The export that this fork was founded from names no offer.");
	enum err e = peer_by_name(c, coop, out->name, &peer);
	error_clear(&c->error);
	bool known = e == ERR_OK;
	if (known) {
		out->peer = peer.id;
		out->url = peer.url.n ? peer.url : out->url;
	}
	TRY(db_commit(c));
	TRY(parent_here(c, out));
	TRY(db_begin_in(c, coop, DB_READ));
	TRY(keys_longest(c, out, known ? &peer : NULL));
	return db_commit(c);
}

/* ---- Tombstones ---- */

/* The next page: of a parent that lives here from its own rows, of others over the network. */
static enum err feed_page(struct call *c, const struct feed *f, struct str *lines)
{
	struct fetch_answer answer;
	if (!uuid_is_nil(f->p->here)) {
		struct buf b;
		int64_t last, upto;
		struct sha256 chain;
		struct uuid before = c->coop;
		c->coop = (struct uuid){ { 0 } };
		buf_init(&b, FEED_BYTES);
		TRY(db_begin_in(c, f->p->here, DB_READ));
		TRY(tombstone_upto(c, f->p->here, &upto, &chain));
		if (upto > f->since)
			TRY(tombstone_lines(c, f->p->here, f->since + 1, upto, FEED_PAGE, &b, &last));
		TRY(db_commit(c));
		c->coop = before;
		*lines = buf_take(c->arena, &b);
		return ERR_OK;
	}
	db_release(c);
	struct fetch_request request = {
		.url = str_fmt(c->arena, "%.*s/api/v1/coops/%.*s/tombstones?limit=%d%s", STR_ARG(f->p->url), STR_ARG(f->p->name), FEED_PAGE,
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
		if (memmem(line.p, line.n, "\"payloadType\"", 13) || onward_line_read(c->arena, line, &f->p->keys, &lines[*n], &why) != ERR_OK)
			break;
		if (lines[*n].said.idx != f->since + 1)
			break;
		f->since = lines[(*n)++].said.idx;
	}
	if (*n == 0)
		return ERR_OK;
	TRY(db_begin_in(c, coop, DB_WRITE));
	TRY(onward_take(c, coop, f->p->name, f->p->name, lines, *n, &taken));
	return db_commit(c);
}

static enum err tombstones_hear(struct call *c, const struct fork_parent *p)
{
	struct feed f = { .p = p };
	struct rows r;
	struct str text;
	TRY(db_begin_in(c, p->coop, DB_READ));
	TRY(db_finish(c, feed_since, &r, A_UUID(p->coop), A_STR(p->name)));
	f.since = row_int(&r, 0, 0);
	for (size_t i = 0, n = FEED_PAGE; i < FEED_PAGES && n == FEED_PAGE; i++) {
		TRY(feed_page(c, &f, &text));
		TRY(feed_take(c, p->coop, &f, text, &n));
		if (c->job)
			TRY(job_extend(c));
	}
	return ERR_OK;
}

/* One that fails does not keep the other from being heard. */
enum err fork_feed(struct call *c, struct uuid coop)
{
	struct fork_parent parent;
	bool there;
	TRY(fork_parent_of(c, coop, &parent, &there));
	if (!there)
		return ERR_OK;
	enum err gone = tombstones_hear(c, &parent);
	struct error why = c->error;
	if (gone != ERR_OK) {
		db_rollback(c);
		error_clear(&c->error);
	}
	TRY(fork_words_hear(c, &parent));
	c->error = why;
	return gone;
}

enum err fork_job_feed(struct call *c, const struct json *args)
{
	struct uuid coop, same;
	struct rows r;
	if (json_get(args, "coop")) {
		TRY(job_args_read(c, args, "fork", &coop, &same));
		TRY(lineage_look(c, coop));
		return fork_feed(c, coop);
	}
	TRY(db_begin(c, DB_WRITE));
	TRY(db_query0(c, feed_coops, &r));
	for (int i = 0; i < r.n; i++)
		TRY(job_queue(c, "fork.feed", uuid_format(c->arena, row_uuid(&r, i, 0)), job_args(c->arena, row_uuid(&r, i, 0), "fork", row_uuid(&r, i, 0)), clock_now()));
	return db_commit(c);
}
