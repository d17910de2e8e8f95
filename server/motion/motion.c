#include "motion_internal.h"

#include "commonhold/ballot.h"
#include "commonhold/ledger.h"
#include "commonhold/notify.h"

/* Motions: proposing, seconding, withdrawing, reading. */

#define NOTICE_SHORTEST (7 * CLOCK_DAY) /* governance.md: the shortest that is allowed */
#define ENDS "('withdrawn', 'carried', 'lost', 'outdated', 'refused')"

#define MOTION_COLUMNS \
	"m.id, m.kind, m.title, m.reason, m.document, m.digest, m.charter, m.seconders, " \
	"(SELECT count(*) FROM motion_event s WHERE s.coop_id = m.coop_id AND s.motion_id = m.id AND s.event = 'seconded'), " \
	"m.proposer_id, m.made_at, b.id, b.state, b.opens_at, b.closes_at, b.closed_at, x.event, x.at, x.note, coalesce(me.id = m.proposer_id, false), " \
	"EXISTS (SELECT FROM motion_event s WHERE s.coop_id = m.coop_id AND s.motion_id = m.id AND s.event = 'seconded' AND s.member_id = me.id)"
#define MOTION_FROM \
	" FROM motion m LEFT JOIN motion_event n ON n.coop_id = m.coop_id AND n.motion_id = m.id AND n.event = 'announced' " \
	"LEFT JOIN ballot b ON b.coop_id = m.coop_id AND b.id = n.ballot_id " \
	"LEFT JOIN motion_event x ON x.coop_id = m.coop_id AND x.motion_id = m.id AND x.event IN " ENDS " " \
	"LEFT JOIN membership me ON me.coop_id = m.coop_id AND me.account_id = commonhold_account() "

SQL(motion_lock_take, "SELECT pg_advisory_xact_lock(hashtextextended('motion ' || $1::uuid::text, 0)) IS NULL");
SQL(motion_by_id, "SELECT " MOTION_COLUMNS MOTION_FROM "WHERE m.coop_id = $1 AND m.id = $2");
SQL(motion_page,
	"SELECT " MOTION_COLUMNS MOTION_FROM "WHERE m.coop_id = $1 AND ($2::text IS NULL OR m.kind = $2) AND ($3::timestamptz IS NULL OR (m.made_at, m.id) < ($3, $4)) "
	"ORDER BY m.made_at DESC, m.id DESC LIMIT $5");
/* What of a member's is still on its way, and whether the very same is before the co-op already. */
SQL(motion_live,
	"SELECT count(*) FILTER (WHERE m.proposer_id = $2), count(*) FILTER (WHERE m.kind = $3 AND m.digest = $4)" MOTION_FROM
	"WHERE m.coop_id = $1 AND x.event IS NULL AND (b.state IS NULL OR b.state IN ('notice', 'open'))");
SQL(motion_live_charters,
	"SELECT m.id" MOTION_FROM "WHERE m.coop_id = $1 AND m.kind = 'charter' AND m.id <> $2 AND x.event IS NULL AND (b.state IS NULL OR b.state IN ('notice', 'open'))");
SQL(motion_insert,
	"INSERT INTO motion (coop_id, id, kind, title, reason, document, digest, charter, seconders, proposer_id, made_at) "
	"VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, commonhold_now())");
SQL(motion_event_insert,
	"INSERT INTO motion_event (coop_id, motion_id, event, member_id, ballot_id, at, note) VALUES ($1, $2, $3, $4, $5, commonhold_now(), $6)");
/* Its ballot, held as it is: whether voting has begun must not change while that is asked. */
SQL(motion_ballot_hold,
	"SELECT b.state FROM motion_event n JOIN ballot b ON b.coop_id = n.coop_id AND b.id = n.ballot_id "
	"WHERE n.coop_id = $1 AND n.motion_id = $2 AND n.event = 'announced' FOR UPDATE OF b");
SQL(motion_place, "SELECT c.slug, m.account_id FROM coop c, membership m WHERE c.id = $1 AND m.coop_id = $1 AND m.id = $2");

const char *motion_state_name(enum motion_state s)
{
	static const char *const names[MOTION_STATE_COUNT] = { "seeking", "notice", "open", "passed", "lost", "withdrawn", "outdated", "refused" };
	return (unsigned)s < MOTION_STATE_COUNT ? names[s] : "unknown";
}

/* ---- Reading ---- */

/* How it ended if it has, else where its ballot is. */
static enum motion_state state_of(struct str end, struct str ballot)
{
	static const struct { const char *word; enum motion_state state; } ends[] = {
		{ "withdrawn", MOTION_WITHDRAWN }, { "carried", MOTION_PASSED }, { "lost", MOTION_LOST }, { "outdated", MOTION_OUTDATED }, { "refused", MOTION_REFUSED },
	}, ballots[] = {
		{ "notice", MOTION_NOTICE }, { "open", MOTION_OPEN }, { "passed", MOTION_PASSED }, { "failed", MOTION_LOST }, { "cancelled", MOTION_WITHDRAWN },
	};
	for (size_t i = 0; end.p && i < CH_LEN(ends); i++)
		if (str_is(end, ends[i].word))
			return ends[i].state;
	for (size_t i = 0; ballot.p && i < CH_LEN(ballots); i++)
		if (str_is(ballot, ballots[i].word))
			return ballots[i].state;
	return MOTION_SEEKING;
}

static struct motion motion_row(struct uuid coop, const struct rows *r, int i)
{
	struct motion m = {
		.id = row_uuid(r, i, 0), .coop = coop, .kind = row_str(r, i, 1), .title = row_str(r, i, 2), .reason = row_str(r, i, 3), .document = row_str(r, i, 4),
		.digest = sha256_load(row_bytes(r, i, 5)), .charter = (int)row_int(r, i, 6), .seconders = (int)row_int(r, i, 7), .seconded = (int)row_int(r, i, 8),
		.proposer = row_uuid(r, i, 9), .made_at = row_time(r, i, 10), .ballot = row_uuid(r, i, 11), .state = state_of(row_str(r, i, 16), row_str(r, i, 12)),
		.opens_at = row_time(r, i, 13), .closes_at = row_time(r, i, 14), .ended_at = row_time(r, i, 17), .note = row_str(r, i, 18),
		.mine = row_bool(r, i, 19), .seconded_by_me = row_bool(r, i, 20),
	};
	m.effect_at = str_is(row_str(r, i, 16), "carried") ? m.ended_at : INSTANT_NONE;
	if (m.ended_at == INSTANT_NONE && !row_null(r, i, 15))
		m.ended_at = row_time(r, i, 15);
	return m;
}

enum err motion_get(struct call *c, struct uuid coop, struct uuid id, struct motion *out)
{
	struct rows r;
	TRY(db_query(c, motion_by_id, &r, A_UUID(coop), A_UUID(id)));
	if (r.n != 1)
		return fail(c, ERR_NOT_FOUND, "There is no such motion.");
	*out = motion_row(coop, &r, 0);
	return ERR_OK;
}

enum err motion_read(struct call *c, struct uuid coop, struct uuid motion, struct motion *out)
{
	TRY(db_begin_in(c, coop, DB_READ));
	TRY(motion_get(c, coop, motion, out));
	return db_commit(c);
}

enum err motion_list(struct call *c, struct uuid coop, struct str kind, struct str cursor, int limit, struct motion **out, size_t *n, struct str *next_cursor)
{
	struct page_cursor from;
	struct rows r;
	TRY(page_cursor_read(c, cursor, &from));
	TRY(db_begin_in(c, coop, DB_READ));
	TRY(db_query(c, motion_page, &r, A_UUID(coop), A_STR(kind), A_TIME(from.at), A_UUID_OR_NULL(from.id), A_INT(limit + 1)));
	*n = (size_t)(r.n > limit ? limit : r.n);
	*out = ARENA_ARRAY(c->arena, *n + 1, struct motion);
	for (size_t i = 0; i < *n; i++)
		(*out)[i] = motion_row(coop, &r, (int)i);
	*next_cursor = STR_NONE;
	if (r.n > limit)
		*next_cursor = page_cursor_write(c->arena, (*out)[*n - 1].made_at, (*out)[*n - 1].id);
	return db_commit(c);
}

enum err motion_terms(struct call *c, struct uuid coop, const struct motion *motion, struct charter_term **out, size_t *n)
{
	struct charter before, after;
	*out = NULL;
	*n = 0;
	if (!str_is(motion->kind, "charter"))
		return ERR_OK;
	TRY(db_begin_in(c, coop, DB_READ));
	TRY(charter_version(c, coop, motion->charter, &before));
	TRY(charter_parse(c->arena, motion->document, &after, &c->error));
	TRY(charter_compare(c->arena, &before, &after, out, n, &c->error));
	return db_commit(c);
}

enum err motion_live_amendments(struct call *c, struct uuid coop, struct uuid but, struct uuid **out, size_t *n)
{
	struct rows r;
	TRY(db_query(c, motion_live_charters, &r, A_UUID(coop), A_UUID(but)));
	*n = (size_t)r.n;
	*out = ARENA_ARRAY(c->arena, *n + 1, struct uuid);
	for (size_t i = 0; i < *n; i++)
		(*out)[i] = row_uuid(&r, (int)i, 0);
	return ERR_OK;
}

/* ---- Telling ---- */

enum err motion_url(struct call *c, const struct motion *m, struct str *out)
{
	struct rows r;
	TRY(db_one(c, motion_place, &r, A_UUID(m->coop), A_UUID(m->proposer)));
	struct str id = uuid_format(c->arena, m->id);
	*out = str_fmt(c->arena, "/coops/%.*s/motions/%.*s", STR_ARG(row_str(&r, 0, 0)), STR_ARG(id));
	return ERR_OK;
}

enum err motion_tell_proposer(struct call *c, const struct motion *m, struct str title, struct str text)
{
	struct rows r;
	struct buf b;
	struct json_writer w;
	struct str url;
	TRY(db_one(c, motion_place, &r, A_UUID(m->coop), A_UUID(m->proposer)));
	TRY(motion_url(c, m, &url));
	buf_init(&b, LIMIT_BODY_SMALL);
	jw_init(&w, &b);
	jw_object(&w);
	jw_kstr(&w, "title", title);
	jw_kstr(&w, "text", text);
	jw_kstr(&w, "url", url);
	jw_end_object(&w);
	struct notice notice = { .kind = "ballot.motion", .account = row_uuid(&r, 0, 1), .coop = m->coop, .key = uuid_format(c->arena, m->id), .data = buf_take(c->arena, &b) };
	return notify_send(c, &notice);
}

/* ---- Writing ---- */

enum err motion_lock(struct call *c, struct uuid coop)
{
	return db_exec(c, motion_lock_take, A_UUID(coop));
}

static enum err motion_note(struct call *c, const struct motion *m, const char *event, struct uuid member, struct uuid ballot, struct str note)
{
	return db_exec(c, motion_event_insert, A_UUID(m->coop), A_UUID(m->id), A_Z(event), A_UUID_OR_NULL(member), A_UUID_OR_NULL(ballot), A_STR(note.p ? note : STR("")));
}

static enum err motion_leaf(struct call *c, const struct motion *m, const char *type, struct uuid by)
{
	struct str id = uuid_format(c->arena, m->id), digest = sha256_hex(c->arena, m->digest);
	struct str facts = str_fmt(c->arena, "{\"charter\":%d,\"digest\":\"%.*s\",\"kind\":\"%.*s\",\"motion\":\"%.*s\"}", m->charter, STR_ARG(digest), STR_ARG(m->kind), STR_ARG(id));
	return ledger_append(c, m->coop, &(struct leaf){ .type = type, .data = facts, .by = by }, NULL);
}

enum err motion_end(struct call *c, const struct motion *m, const char *event, struct str note)
{
	struct str type = str_fmt(c->arena, "motion.%s", event);
	TRY(motion_note(c, m, event, (struct uuid){ { 0 } }, (struct uuid){ { 0 } }, note));
	return motion_leaf(c, m, type.p, (struct uuid){ { 0 } });
}

/* Puts it to the vote, under the charter in force now. */
static enum err announce(struct call *c, const struct charter *charter, struct motion *m, struct str question)
{
	struct ballot_rule rule;
	const struct json *json;
	TRY(charter_rule(c->arena, charter, str_z(c->arena, m->kind), &rule, &c->error));
	TRY(json_parse(c->arena, rule.json, &json, &c->error));
	instant soonest = clock_now() + NOTICE_SHORTEST, opens = duration_add(clock_now(), charter->notice, 1);
	if (opens < soonest)
		opens = soonest;
	struct ballot_draft draft = {
		.kind = str_z(c->arena, m->kind), .subject = m->id, .digest = m->digest, .title = m->title, .question = question, .rule = json, .charter = charter->version,
		.proposer = m->proposer, .opens_at = opens, .closes_at = duration_add(opens, charter->voting, 1),
	};
	TRY(ballot_create(c, m->coop, &draft, &m->ballot));
	return motion_note(c, m, "announced", (struct uuid){ { 0 } }, m->ballot, STR_NONE);
}

/* The acting member, if the charter lets them propose. */
static enum err may_propose(struct call *c, const struct charter *charter, struct member *me)
{
	TRY(member_of_actor(c, charter->coop, me));
	if (!in_good_standing(me->state))
		return fail_reason(c, ERR_REFUSED, "not_a_member", "Only current members propose.");
	if (charter->admins_propose && !me->is_admin)
		return fail_reason(c, ERR_REFUSED, "admins_propose", "Under this charter only admins propose. Ask one of them.");
	return ERR_OK;
}

static enum err room_for_one_more(struct call *c, const struct charter *charter, const struct member *me, struct str kind, struct sha256 digest)
{
	struct rows r;
	TRY(db_one(c, motion_live, &r, A_UUID(charter->coop), A_UUID(me->id), A_STR(kind), A_BYTES(str_make(digest.b, 32))));
	if (row_int(&r, 0, 1) > 0)
		return fail_reason(c, ERR_EXISTS, "proposed_already", "Exactly this is before the members already.");
	if (row_int(&r, 0, 0) >= charter->motions_open)
		return fail_reason(c, ERR_REFUSED, "motions_open", "You have %lld motion%s open, and the charter allows %d at once.", (long long)row_int(&r, 0, 0),
			row_int(&r, 0, 0) == 1 ? "" : "s", charter->motions_open);
	return ERR_OK;
}

/* The question that a stored motion puts: its title again, since it was made from the document. */
static struct str question_of(struct arena *a, const struct motion *m)
{
	return str_fmt(a, "%.*s: shall this be so?", STR_ARG(m->title));
}

static enum err put(struct call *c, const struct charter *charter, const struct member *me, struct str kind, const struct motion_text *text, struct str reason, struct motion *out)
{
	*out = (struct motion){
		.id = uuid_new(), .coop = charter->coop, .kind = kind, .title = text->title, .reason = reason, .document = text->document, .digest = sha256(text->document),
		.charter = charter->version, .seconders = charter->seconders, .proposer = me->id, .made_at = clock_now(),
	};
	TRY(room_for_one_more(c, charter, me, kind, out->digest));
	TRY(db_exec(c, motion_insert, A_UUID(out->coop), A_UUID(out->id), A_STR(kind), A_STR(out->title), A_STR(reason), A_STR(out->document), A_BYTES(str_make(out->digest.b, 32)),
		A_INT(out->charter), A_INT(out->seconders), A_UUID(me->id)));
	if (str_is(kind, "charter"))
		TRY(job_queue(c, "motion.what_if", uuid_format(c->arena, out->id), job_args(c->arena, out->coop, "motion", out->id), clock_now()));
	TRY(motion_leaf(c, out, "motion.proposed", me->id));
	if (out->seconders == 0)
		TRY(announce(c, charter, out, text->question));
	TRY(motion_get(c, out->coop, out->id, out));
	return db_commit(c);
}

static enum err begin(struct call *c, struct uuid coop, struct str reason, struct charter *charter, struct member *me)
{
	TRY(call_check_text(c, "/reason", reason.p ? reason : STR(""), 3, LIMIT_TEXT_NOTE));
	TRY(db_begin_in(c, coop, DB_WRITE));
	TRY(motion_lock(c, coop));
	TRY(charter_current(c, coop, charter));
	return may_propose(c, charter, me);
}

enum err motion_amend(struct call *c, struct uuid coop, const struct json *draft, int based_on, struct str reason, struct motion *out)
{
	struct charter charter;
	struct member me;
	struct motion_text text;
	TRY(begin(c, coop, reason, &charter, &me));
	if (based_on && based_on != charter.version)
		return fail_reason(c, ERR_STALE, "charter_changed", "Version %d of the charter is in force, and this was written for version %d. Look at what changed and propose it again.",
			charter.version, based_on);
	TRY(motion_check_amendment(c, &charter, draft, &text));
	return put(c, &charter, &me, STR("charter"), &text, reason, out);
}

enum err motion_propose(struct call *c, struct uuid coop, struct str kind, const struct json *document, struct str reason, struct motion *out)
{
	struct charter charter;
	struct member me;
	struct motion_text text;
	TRY(begin(c, coop, reason, &charter, &me));
	TRY(motion_check(c, &charter, kind, document, reason, &text));
	return put(c, &charter, &me, kind, &text, reason, out);
}

enum err motion_second(struct call *c, struct uuid coop, struct uuid motion, struct motion *out)
{
	struct charter charter;
	struct member me;
	TRY(db_begin_in(c, coop, DB_WRITE));
	TRY(motion_lock(c, coop));
	TRY(charter_current(c, coop, &charter));
	TRY(member_of_actor(c, coop, &me));
	if (!in_good_standing(me.state))
		return fail_reason(c, ERR_REFUSED, "not_a_member", "Only current members second a motion.");
	TRY(motion_get(c, coop, motion, out));
	if (out->state != MOTION_SEEKING)
		return fail_reason(c, ERR_STATE, "not_seeking", "This motion does not look for seconders.");
	if (out->mine)
		return fail_reason(c, ERR_REFUSED, "own_motion", "One does not second one’s own motion.");
	if (out->seconded_by_me)
		return db_commit(c);
	if (str_is(out->kind, "charter") && out->charter != charter.version)
		return fail_reason(c, ERR_STATE, "outdated", "The charter has changed since this was proposed.");
	TRY(motion_note(c, out, "seconded", me.id, (struct uuid){ { 0 } }, STR_NONE));
	TRY(motion_leaf(c, out, "motion.seconded", me.id));
	if (out->seconded + 1 >= out->seconders)
		TRY(announce(c, &charter, out, question_of(c->arena, out)));
	TRY(motion_get(c, coop, motion, out));
	return db_commit(c);
}

enum err motion_withdraw(struct call *c, struct uuid coop, struct uuid motion, struct motion *out)
{
	TRY(db_begin_in(c, coop, DB_WRITE));
	TRY(motion_lock(c, coop));
	TRY(db_exec(c, motion_ballot_hold, A_UUID(coop), A_UUID(motion)));
	TRY(motion_get(c, coop, motion, out));
	if (!out->mine)
		return fail(c, ERR_FORBIDDEN, "Only who proposed a motion withdraws it.");
	if (out->state != MOTION_SEEKING && out->state != MOTION_NOTICE)
		return fail_reason(c, ERR_STATE, "voting_began", "A motion is withdrawn before voting on it begins.");
	if (out->state == MOTION_NOTICE && out->opens_at <= clock_now())
		return fail_reason(c, ERR_STATE, "voting_began", "Voting on this motion begins now.");
	if (!uuid_is_nil(out->ballot))
		TRY(ballot_cancel(c, coop, out->ballot, STR("Its proposer withdrew it.")));
	TRY(motion_note(c, out, "withdrawn", out->proposer, (struct uuid){ { 0 } }, STR("Its proposer withdrew it.")));
	TRY(motion_leaf(c, out, "motion.withdrawn", out->proposer));
	TRY(motion_get(c, coop, motion, out));
	return db_commit(c);
}
