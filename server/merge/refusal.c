#include "commonhold/config.h"
#include "commonhold/coop.h"
#include "commonhold/db.h"
#include "commonhold/log.h"
#include "commonhold/message.h"
#include "commonhold/notify.h"

/* What a co-op was offered by others and did not take: one row a day for the same thing, however often it comes. */

#define WHAT_MOST 100
#define CODE_MOST 64
#define SENTENCE_MOST 500
#define ROWS_A_DAY 50 /* of one sender; the rest is counted in one row more */

SQL(refusal_insert,
	"INSERT INTO refusal AS r (coop_id, id, peer_id, at, day, what, code, sentence) VALUES ($1, $2, $3, commonhold_now(), (commonhold_now() AT TIME ZONE 'UTC')::date, $4, $5, $6) "
	"ON CONFLICT (coop_id, coalesce(peer_id, '00000000-0000-0000-0000-000000000000'), day, what, code) DO UPDATE SET times = r.times + 1, at = excluded.at, sentence = excluded.sentence "
	"RETURNING times");
SQL(admins_told,
	"SELECT o.slug, (SELECT array_agg(m.account_id) FROM membership m WHERE m.coop_id = o.id AND m.is_admin AND m.account_id IS NOT NULL AND m.state IN ('active', 'due', 'grace')), "
	"(SELECT coalesce(nullif(p.title, ''), p.name) FROM peer p WHERE p.coop_id = o.id AND p.id = $2) FROM coop o WHERE o.id = $1");
SQL(refusal_page,
	"SELECT r.id, r.peer_id, coalesce(nullif(p.title, ''), p.name), r.at, r.what, r.code, r.sentence, r.times FROM refusal r LEFT JOIN peer p ON p.coop_id = r.coop_id AND p.id = r.peer_id "
	"WHERE r.coop_id = $1 AND ($2::timestamptz IS NULL OR (r.at, r.id) < ($2, $3)) ORDER BY r.at DESC, r.id DESC LIMIT $4");

SQL(refusals_today,
	"SELECT count(*), coalesce(bool_or(what = $3 AND code = $4), false) FROM refusal WHERE coop_id = $1 AND coalesce(peer_id, '00000000-0000-0000-0000-000000000000') = coalesce($2, '00000000-0000-0000-0000-000000000000'::uuid) "
	"AND day = (commonhold_now() AT TIME ZONE 'UTC')::date");

static enum err tell(struct call *c, struct uuid coop, struct uuid peer, struct uuid id, struct str what, struct str sentence)
{
	struct rows r;
	struct buf b;
	struct json_writer w;
	struct uuid *accounts;
	TRY(db_one(c, admins_told, &r, A_UUID(coop), A_UUID_OR_NULL(peer)));
	size_t n = row_uuids(c->arena, &r, 0, 1, &accounts);
	struct str who = row_str(&r, 0, 2);
	buf_init(&b, LIMIT_BODY_SMALL);
	jw_init(&w, &b);
	jw_object(&w);
	jw_kstr(&w, "title", who.p ? str_fmt(c->arena, "Something from %.*s was refused", STR_ARG(who)) : STR("Something from a co-op that is not known here was refused"));
	jw_kstr(&w, "text", str_fmt(c->arena, "%.*s: %.*s", STR_ARG(what), STR_ARG(sentence)));
	jw_kstr(&w, "url", str_fmt(c->arena, "/coops/%.*s/refusals", STR_ARG(row_str(&r, 0, 0))));
	jw_end_object(&w);
	struct notice notice = { .kind = "merge.refused", .coop = coop, .key = uuid_format(c->arena, id), .data = buf_take(c->arena, &b) };
	return n ? notify_many(c, &notice, accounts, n) : ERR_OK;
}

static enum err insert(struct call *c, struct uuid coop, struct uuid peer, struct str what, struct str code, struct str sentence)
{
	struct rows r;
	struct uuid id = uuid_new();
	TRY(db_begin_in(c, coop, DB_WRITE));
	TRY(db_one(c, refusals_today, &r, A_UUID(coop), A_UUID_OR_NULL(peer), A_STR(what), A_STR(code)));
	if (row_int(&r, 0, 0) >= ROWS_A_DAY && !row_bool(&r, 0, 1)) {
		what = STR("more");
		code = STR("too_many_refusals");
		sentence = STR("More was refused that day than is listed one by one: this counts the rest.");
	}
	TRY(db_one(c, refusal_insert, &r, A_UUID(coop), A_UUID(id), A_UUID_OR_NULL(peer), A_STR(what), A_STR(code), A_STR(sentence)));
	if (row_int(&r, 0, 0) == 1)
		TRY(tell(c, coop, peer, id, what, sentence));
	return db_commit(c);
}

static struct str shorten(struct arena *a, struct str s, size_t most, const char *or_else)
{
	if (!s.n)
		return str_of(or_else);
	size_t cut = s.n < most ? s.n : most;
	while (cut < s.n && cut > 0 && ((unsigned char)s.p[cut] & 0xc0) == 0x80)
		cut--;
	return str_copy(a, str_sub(s, 0, cut));
}

void merge_refuse(struct call *c, struct uuid coop, struct uuid peer, struct str what, struct str code, struct str sentence)
{
	struct error said = c->error;
	what = shorten(c->arena, what, WHAT_MOST, "something");
	code = shorten(c->arena, code, CODE_MOST, "refused");
	sentence = shorten(c->arena, sentence, SENTENCE_MOST, "It was not taken.");
	db_rollback(c);
	error_clear(&c->error);
	enum err e = insert(c, coop, peer, what, code, sentence);
	if (e != ERR_OK) {
		db_rollback(c);
		log_event(LOG_WARN, "merge.refusal_lost", LOG_S("what", what), LOG_S("code", code), LOG_Z("error", err_code(e)));
	}
	c->error = said;
}

void merge_refuse_error(struct call *c, struct uuid coop, struct uuid peer, struct str what)
{
	struct str code = str_of(c->error.reason[0] ? c->error.reason : err_code(c->error.code));
	const struct fault *f = c->error.faults;
	struct str sentence = f ? str_fmt(c->arena, "%s %.*s: %.*s", c->error.message, STR_ARG(f->pointer), STR_ARG(f->message)) : str_of(c->error.message[0] ? c->error.message : err_text(c->error.code));
	merge_refuse(c, coop, peer, what, str_copy(c->arena, code), str_copy(c->arena, sentence));
}

enum err merge_refusals(struct call *c, struct uuid coop, struct str cursor, int limit, struct refusal **out, size_t *n, struct str *next_cursor)
{
	struct page_cursor from;
	struct rows r;
	TRY(page_cursor_read(c, cursor, &from));
	TRY(db_begin_in(c, coop, DB_READ));
	TRY(member_require_admin(c, coop));
	TRY(db_query(c, refusal_page, &r, A_UUID(coop), A_TIME(from.at), A_UUID_OR_NULL(from.id), A_INT(limit + 1)));
	*n = (size_t)(r.n > limit ? limit : r.n);
	*out = ARENA_ARRAY(c->arena, *n + 1, struct refusal);
	for (size_t i = 0; i < *n; i++) {
		int k = (int)i;
		(*out)[i] = (struct refusal){ .id = row_uuid(&r, k, 0), .peer = row_uuid(&r, k, 1), .peer_title = row_str(&r, k, 2), .at = row_time(&r, k, 3), .what = row_str(&r, k, 4), .code = row_str(&r, k, 5),
			.sentence = row_str(&r, k, 6), .times = row_int(&r, k, 7) };
	}
	*next_cursor = r.n > limit ? page_cursor_write(c->arena, (*out)[*n - 1].at, (*out)[*n - 1].id) : STR_NONE;
	return db_commit(c);
}
