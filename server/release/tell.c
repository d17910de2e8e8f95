/* What members are told of a release: that its cut-off is set, and how it ended. From a job, in pieces, each member at most once. */
#include "commonhold/notify.h"
#include "commonhold/words.h"

#include "release_internal.h"

#define TELL_CHUNK 2000 /* people told in one transaction */

SQL(members_to_tell,
	"SELECT number, account_id FROM membership WHERE coop_id = $1 AND number > $2 AND state IN ('active', 'due', 'grace') ORDER BY number LIMIT $3");

/* The kind of what there is to tell now; NULL: nothing. */
static const char *kind_of(enum release_state state)
{
	switch (state) {
	case RELEASE_SCHEDULED:
		return "release.announced";
	case RELEASE_PUBLISHED:
	case RELEASE_SUPERSEDED:
	case RELEASE_JOINED:
		return "release.published";
	case RELEASE_WITHDRAWN:
	case RELEASE_LEFT:
		return "release.withdrawn";
	case RELEASE_FAILED:
	case RELEASE_EXPIRED:
	case RELEASE_CANCELLED:
		return "release.failed";
	default:
		return NULL;
	}
}

static struct str withdrawn_words(struct arena *a, const struct release *r)
{
	struct str why = r->withdrawn_why.p ? r->withdrawn_why : STR("");
	return str_fmt(a, "%.*s%sIts files are no longer given out, and whoever has a copy is told to delete it or to move to the version that takes its place.", STR_ARG(why), why.n ? " " : "");
}

static void write_words(struct json_writer *w, struct arena *a, const struct release *r)
{
	struct str cutoff = words_day(a, r->cutoff_at);
	if (r->state == RELEASE_SCHEDULED) {
		jw_kstr(w, "title", str_fmt(a, "A release is scheduled: cut-off on %.*s", STR_ARG(cutoff)));
		jw_kz(w, "text", "What you contribute and say until the cut-off counts. You can take an item back until the release is published.");
	} else if (r->state == RELEASE_WITHDRAWN) {
		jw_kstr(w, "title", str_fmt(a, "Release %.*s was withdrawn", STR_ARG(r->version)));
		jw_kstr(w, "text", withdrawn_words(a, r));
	} else if (r->state == RELEASE_JOINED || r->state == RELEASE_LEFT) {
		jw_kstr(w, "title", str_fmt(a, "The release of %.*s, made with another co-op, %s", STR_ARG(cutoff), r->state == RELEASE_JOINED ? "is published there" : "was withdrawn"));
		jw_kz(w, "text", r->state == RELEASE_JOINED ? "Both co-ops voted on what is in it, and both signed it." : "Its files are no longer given out, and whoever has a copy is told so.");
	} else if (r->version.p) {
		jw_kstr(w, "title", str_fmt(a, "Release %.*s is published", STR_ARG(r->version)));
		jw_kz(w, "text", uuid_is_nil(r->redacts) ? "Your contributions say for each item whether it is in it, and why."
			: "It is an earlier release without what was erased since. Nothing was added to it, so that there was no ballot.");
		jw_kstr(w, "release", r->version);
		jw_kstr(w, "items", words_count(a, r->built_items));
	} else {
		jw_kstr(w, "title", str_fmt(a, "The release of %.*s was not published", STR_ARG(cutoff)));
		jw_kstr(w, "text", r->failure.p ? r->failure : STR("It did not come about. The next one follows the co-op's schedule."));
	}
	jw_kstr(w, "cutoff", clock_format(a, r->cutoff_at));
}

static struct str notice_data(struct arena *a, const struct release *r, struct str slug)
{
	struct buf b;
	struct json_writer w;
	buf_init(&b, LIMIT_BODY_SMALL);
	jw_init(&w, &b);
	jw_object(&w);
	write_words(&w, a, r);
	jw_kstr(&w, "url", str_fmt(a, "/coops/%.*s/releases/%.*s", STR_ARG(slug), STR_ARG(uuid_format(a, r->id))));
	jw_end_object(&w);
	return buf_take(a, &b);
}

/* One piece; *last moves on to the last member told, and stands still when there is nobody left. */
static enum err tell_piece(struct call *c, struct uuid coop, struct uuid release, int64_t *last)
{
	struct release r;
	struct coop co;
	struct rows people;
	TRY(db_begin_in(c, coop, DB_WRITE));
	TRY(release_get(c, coop, release, &r));
	const char *kind = kind_of(r.state);
	TRY(db_query(c, members_to_tell, &people, A_UUID(coop), A_I64(*last), A_INT(TELL_CHUNK)));
	if (!kind || people.n == 0)
		return db_commit(c);
	TRY(coop_get(c, coop, &co));
	struct uuid *accounts = ARENA_ARRAY(c->arena, (size_t)people.n, struct uuid);
	for (int i = 0; i < people.n; i++)
		accounts[i] = row_uuid(&people, i, 1);
	struct notice n = { .kind = kind, .coop = coop, .key = uuid_format(c->arena, release), .data = notice_data(c->arena, &r, co.slug) };
	TRY(notify_many(c, &n, accounts, (size_t)people.n));
	*last = row_int(&people, people.n - 1, 0);
	return db_commit(c);
}

enum err release_tell(struct call *c, struct uuid coop, struct uuid release)
{
	for (int64_t last = -1, before = -2; last != before;) {
		struct arena_mark mark = arena_mark(c->arena);
		before = last;
		TRY(tell_piece(c, coop, release, &last));
		arena_rewind(c->arena, mark);
		if (last != before)
			TRY(job_extend(c));
	}
	return ERR_OK;
}
