/* retention.c - what a charter's windows let go: members are told first, then items go the way of every erasure, asked for by the instance. */
#include "commonhold/access.h"
#include "commonhold/db.h"
#include "commonhold/erasure.h"
#include "commonhold/guest.h"
#include "commonhold/holdings.h"
#include "commonhold/keychain.h"
#include "commonhold/ledger.h"
#include "commonhold/log.h"
#include "commonhold/notify.h"
#include "commonhold/pool.h"
#include "commonhold/words.h"

#define TELL_AT_ONCE 500            /* members told in one transaction */
#define RETENTION_AT_ONCE 5000      /* items of one request: some groups of purging */
#define KEEP_TOLD (365 * CLOCK_DAY) /* how long it is known who was told */
#define BEFORE_ALL 0                /* 1970: no item is as old */
/* A backup of the content may bring back the day on which an earlier key signed: its secret half is kept as long as that. */
#define KEYS_NEEDED_SINCE (clock_now() - (pool_backups_until(0).content + CLOCK_DAY))
#define KEEP_TAKEN (90 * CLOCK_DAY) /* how long it is known who took an archive */

/* Not gone, nor about to be; bits 12 and 13 of the word. */
#define STANDS "(c.word & 12288) = 0"
/* Held or rejected: bits 9-10; since the last decision, or since it came. */
#define QUARANTINED "(c.word >> 9 & 3) <> 1"
#define SINCE_RAW "c.submitted_at"
#define SINCE_QUARANTINE \
	"coalesce((SELECT max(d.at) FROM moderation_decision d WHERE d.coop_id = c.coop_id AND d.contribution_id = c.id), c.submitted_at)"

/* Members with items from before $2 of which they were not told, and all of theirs from before $3. */
#define TELL(window, since, more) \
	"SELECT c.member_no, m.account_id, count(*), min(" since ") FROM contribution c " \
	"JOIN membership m ON m.coop_id = c.coop_id AND m.number = c.member_no JOIN account a ON a.id = m.account_id AND a.closed_at IS NULL " \
	"WHERE c.coop_id = $1 AND c.submitted_at <= $3 AND " STANDS more " AND " since " <= $3 AND c.member_no > $4 " \
	"AND NOT EXISTS (SELECT FROM retention_notice n WHERE n.coop_id = $1 AND n.member_no = c.member_no AND n.window_name = '" window "' AND n.upto >= " since ") " \
	"GROUP BY 1, 2 HAVING min(" since ") <= $2 ORDER BY 1 LIMIT $5"
SQL(tell_raw, TELL("raw", SINCE_RAW, ""));
SQL(tell_quarantine, TELL("quarantine", SINCE_QUARANTINE, " AND " QUARANTINED));
SQL(told_insert,
	"INSERT INTO retention_notice (coop_id, member_no, window_name, upto, told_at) SELECT $1, unnest($2)::integer, $3, $4, commonhold_now() ON CONFLICT DO NOTHING");

/* Items from before $2, whose members have known since $3 or can be told no more. Those under a legal hold stay, and those that are asked for already. */
#define DUE(window, since, more) \
	"SELECT c.item_no FROM contribution c JOIN membership m ON m.coop_id = c.coop_id AND m.number = c.member_no JOIN account a ON a.id = m.account_id " \
	"WHERE c.coop_id = $1 AND c.submitted_at <= $2 AND " STANDS more " AND " since " <= $2 " \
	"AND (a.closed_at IS NOT NULL OR EXISTS (SELECT FROM retention_notice n WHERE n.coop_id = $1 AND n.member_no = c.member_no AND n.window_name = '" window "' AND n.upto >= " since \
	" AND n.told_at <= $3)) " \
	"AND NOT EXISTS (SELECT FROM legal_hold h WHERE h.coop_id = $1 AND h.contribution_id = c.id AND h.lifted_at IS NULL) " \
	"AND (pool_withdrawn_bits(c.coop_id, c.item_no, c.member_no) & 8192) = 0 ORDER BY c.submitted_at, c.item_no LIMIT $4"
SQL(due_raw, DUE("raw", SINCE_RAW, ""));
SQL(due_quarantine, DUE("quarantine", SINCE_QUARANTINE, " AND " QUARANTINED));

/* What came under an agreement goes when that, or the charter, has it go: its contributors are told by their home what it passed on, and for how long. */
SQL(due_guests,
	"SELECT c.item_no FROM contribution c JOIN guest g ON g.coop_id = c.coop_id AND g.number = c.member_no JOIN guest_source s ON s.coop_id = g.coop_id AND s.agreement_id = g.agreement_id "
	"WHERE c.coop_id = $1 AND " STANDS " AND (c.submitted_at <= $2 OR (s.retention > 0 AND c.submitted_at <= $3 - s.retention * interval '1 microsecond')) "
	"AND NOT EXISTS (SELECT FROM legal_hold h WHERE h.coop_id = $1 AND h.contribution_id = c.id AND h.lifted_at IS NULL) "
	"AND (pool_withdrawn_bits(c.coop_id, c.item_no, c.member_no) & 8192) = 0 ORDER BY c.submitted_at, c.item_no LIMIT $4");
SQL(due_origins,
	"DELETE FROM item_origin o USING guest g JOIN guest_source s ON s.coop_id = g.coop_id AND s.agreement_id = g.agreement_id "
	"WHERE o.coop_id = $1 AND g.coop_id = o.coop_id AND g.id = o.member_id AND (o.at <= $2 OR (s.retention > 0 AND o.at <= $3 - s.retention * interval '1 microsecond'))");

SQL(next_of_member,
	"SELECT count(*), min(c.submitted_at) FROM contribution c WHERE c.coop_id = $1 AND c.member_no = (SELECT number FROM membership WHERE coop_id = $1 AND id = $2) "
	"AND " STANDS " AND c.submitted_at <= $3");
SQL(told_forget, "DELETE FROM retention_notice WHERE coop_id = $1 AND told_at < $2");
SQL(taken_forget, "DELETE FROM archive_taken WHERE at < $1");
SQL(coops_all, "SELECT id FROM coop ORDER BY id");

static const char *const names[RETENTION_COUNT] = { "raw", "quarantine", "access_log", "backups" };

const char *retention_name(unsigned window)
{
	return window < RETENTION_COUNT ? names[window] : "";
}

/* P0D keeps things for as long as they are left there. */
static bool ends(struct duration d)
{
	return d.years || d.months || d.days || d.seconds;
}

/* One window over contributions. */
struct span {
	enum retention_window window;
	struct duration length;
	const struct db_stmt *tell, *due;
	const char *what; /* for people */
};

static size_t spans_of(const struct charter *charter, struct span out[2])
{
	size_t n = 0;
	if (ends(charter->retention_raw))
		out[n++] = (struct span){ RETENTION_RAW, charter->retention_raw, &tell_raw, &due_raw, "contributed" };
	if (ends(charter->retention_quarantine))
		out[n++] = (struct span){ RETENTION_QUARANTINE, charter->retention_quarantine, &tell_quarantine, &due_quarantine, "held back or rejected" };
	return n;
}

/* ---- Telling ---- */

static struct str notice_data(struct call *c, const struct charter *charter, struct str slug, const struct span *s, int64_t items, instant first)
{
	struct arena *a = c->arena;
	struct buf b;
	struct json_writer w;
	instant goes = duration_add(first, s->length, 1), earliest = clock_now() + RETENTION_WARN;
	buf_init(&b, 8 * KIB);
	jw_init(&w, &b);
	jw_object(&w);
	jw_kint(&w, "items", items);
	jw_kstr(&w, "text", str_fmt(a, "%lld of your contributions were %s so long ago that the charter of %.*s lets them go: the first on %.*s. They are then erased here, in releases and at those who "
		"hold copies. To keep them, take a copy before: your page What is held about me has it.", (long long)items, s->what, STR_ARG(charter->name), STR_ARG(words_day(a, goes < earliest ? earliest : goes))));
	jw_kz(&w, "title", "Contributions of yours reach the end of their time");
	jw_kstr(&w, "url", str_fmt(a, "/coops/%.*s/contributions", STR_ARG(slug)));
	jw_end_object(&w);
	return buf_take(a, &b);
}

static enum err tell_group(struct call *c, struct uuid coop, const struct charter *charter, struct str slug, const struct span *s, int64_t *after, int64_t *told)
{
	struct rows r;
	instant upto = duration_add(clock_now() + RETENTION_TELL, s->length, -1);
	TRY(db_begin_in(c, coop, DB_WRITE));
	TRY(db_run(c, s->tell, &r, (struct db_arg[]){ A_UUID(coop), A_TIME(duration_add(clock_now() + RETENTION_SOON, s->length, -1)), A_TIME(upto), A_I64(*after), A_INT(TELL_AT_ONCE) }, 5));
	int64_t *members = ARENA_ARRAY(c->arena, r.n ? r.n : 1, int64_t);
	for (int i = 0; i < r.n; i++) {
		members[i] = row_int(&r, i, 0);
		struct notice n = { .kind = "deletion.retention", .account = row_uuid(&r, i, 1), .coop = coop, .essential = true,
			.data = notice_data(c, charter, slug, s, row_int(&r, i, 2), row_time(&r, i, 3)) };
		TRY(notify_send(c, &n));
	}
	if (r.n > 0)
		TRY(db_exec(c, told_insert, A_UUID(coop), A_I64S(members, (size_t)r.n), A_Z(retention_name(s->window)), A_TIME(upto)));
	TRY(db_commit(c));
	*told += r.n;
	*after = r.n == TELL_AT_ONCE ? members[r.n - 1] : -1;
	return ERR_OK;
}

static enum err tell(struct call *c, struct uuid coop, const struct charter *charter, struct str slug, const struct span *s, int64_t *told)
{
	int64_t after = -1;
	do {
		struct arena_mark mark = arena_mark(c->arena);
		TRY(tell_group(c, coop, charter, slug, s, &after, told));
		arena_rewind(c->arena, mark);
	} while (after >= 0);
	return ERR_OK;
}

/* ---- Letting go ---- */

static enum err leaf_of(struct call *c, struct uuid coop, const struct span *s, size_t n, struct uuid erasure)
{
	struct str data = str_fmt(c->arena, "{\"erasure\":\"%.*s\",\"items\":%zu,\"window\":\"%s\"}", STR_ARG(uuid_format(c->arena, erasure)), n, retention_name(s->window));
	return ledger_append(c, coop, &(struct leaf){ .type = "retention.due", .data = data }, NULL);
}

/* Asks for the items that were found, and commits. */
static enum err ask_for(struct call *c, struct uuid coop, const struct span *s, const struct rows *found, int64_t *gone)
{
	struct erasure asked;
	*gone = found->n;
	if (found->n == 0)
		return db_commit(c);
	int64_t *items = ARENA_ARRAY(c->arena, found->n, int64_t);
	for (int i = 0; i < found->n; i++)
		items[i] = row_int(found, i, 0);
	TRY(erasure_by_rule(c, coop, items, (size_t)found->n, &asked));
	TRY(leaf_of(c, coop, s, (size_t)found->n, asked.id));
	TRY(db_commit(c));
	job_wake();
	return ERR_OK;
}

static enum err let_go_group(struct call *c, struct uuid coop, const struct span *s, int64_t *gone)
{
	struct rows r;
	instant before = duration_add(clock_now(), s->length, -1);
	TRY(db_begin_in(c, coop, DB_WRITE));
	TRY(db_run(c, s->due, &r, (struct db_arg[]){ A_UUID(coop), A_TIME(before), A_TIME(clock_now() - RETENTION_WARN), A_INT(RETENTION_AT_ONCE) }, 4));
	return ask_for(c, coop, s, &r, gone);
}

static enum err let_go(struct call *c, struct uuid coop, const struct span *s, int64_t *total)
{
	int64_t gone;
	do {
		struct arena_mark mark = arena_mark(c->arena);
		TRY(let_go_group(c, coop, s, &gone));
		arena_rewind(c->arena, mark);
		*total += gone;
		if (c->job)
			TRY(job_extend(c));
	} while (gone == RETENTION_AT_ONCE);
	return ERR_OK;
}

/* Rows of guests, and origins by guests, past their time. */
static enum err let_go_guests_group(struct call *c, struct uuid coop, instant before, const struct span *s, int64_t *gone)
{
	struct rows r;
	TRY(db_begin_in(c, coop, DB_WRITE));
	TRY(pool_lock(c, coop));
	TRY(db_exec(c, due_origins, A_UUID(coop), A_TIME(before), A_TIME(clock_now())));
	TRY(db_query(c, due_guests, &r, A_UUID(coop), A_TIME(before), A_TIME(clock_now()), A_INT(RETENTION_AT_ONCE)));
	return ask_for(c, coop, s, &r, gone);
}

static enum err let_go_guests(struct call *c, struct uuid coop, const struct charter *charter, int64_t *total)
{
	const struct span s = { .window = RETENTION_RAW, .length = charter->retention_raw };
	struct guest_source *sources;
	size_t n;
	int64_t gone;
	TRY(db_begin_in(c, coop, DB_READ));
	TRY(guest_source_list(c, coop, &sources, &n));
	TRY(db_commit(c));
	if (n == 0)
		return ERR_OK;
	instant before = ends(s.length) ? duration_add(clock_now(), s.length, -1) : BEFORE_ALL;
	do {
		struct arena_mark mark = arena_mark(c->arena);
		TRY(let_go_guests_group(c, coop, before, &s, &gone));
		arena_rewind(c->arena, mark);
		*total += gone;
		if (c->job)
			TRY(job_extend(c));
	} while (gone == RETENTION_AT_ONCE);
	return ERR_OK;
}

/* ---- A co-op's day ---- */

/* Backups expire by themselves (server/deploy/backup.sh); whether that is as soon as the charter promises is for the operator to know. */
static bool backups_late(const struct charter *charter, struct str slug)
{
	instant now = clock_now(), promised = duration_add(now, charter->retention_backups, 1), kept = pool_backups_until(now).content;
	if (!ends(charter->retention_backups) || kept <= promised)
		return false;
	log_event(LOG_WARN, "retention.backups_kept_too_long", LOG_S("coop", slug), LOG_N("days_promised", (promised - now) / CLOCK_DAY), LOG_N("days_kept", (kept - now) / CLOCK_DAY));
	return true;
}

enum err retention_run(struct call *c, struct uuid coop, struct retention_done *out)
{
	struct charter charter;
	struct coop about;
	struct span spans[2];
	*out = (struct retention_done){ 0 };
	TRY(db_begin_in(c, coop, DB_WRITE));
	TRY(coop_get(c, coop, &about));
	TRY(charter_current(c, coop, &charter));
	TRY(db_queue(c, told_forget, A_UUID(coop), A_TIME(clock_now() - KEEP_TOLD)));
	TRY(db_commit(c));
	size_t n = spans_of(&charter, spans);
	for (size_t i = 0; i < n; i++) {
		TRY(tell(c, coop, &charter, about.slug, &spans[i], &out->told));
		TRY(let_go(c, coop, &spans[i], &out->items[spans[i].window]));
	}
	TRY(let_go_guests(c, coop, &charter, &out->items[RETENTION_RAW]));
	TRY(pool_guest_keys(c, coop, &out->guest_keys));
	TRY(ledger_keys_forget(c, coop, KEYS_NEEDED_SINCE));
	TRY(access_log_prune(c, coop, &out->items[RETENTION_ACCESS_LOG]));
	out->backups_late = backups_late(&charter, about.slug);
	return ERR_OK;
}

enum err retention_next(struct call *c, struct uuid coop, struct uuid member, instant until, struct retention_next *out)
{
	struct charter charter;
	struct rows r;
	*out = (struct retention_next){ .first = INSTANT_NONE };
	TRY(charter_current(c, coop, &charter));
	if (!ends(charter.retention_raw))
		return ERR_OK;
	TRY(db_one(c, next_of_member, &r, A_UUID(coop), A_UUID(member), A_TIME(duration_add(until, charter.retention_raw, -1))));
	out->items = row_int(&r, 0, 0);
	if (out->items > 0)
		out->first = duration_add(row_time(&r, 0, 1), charter.retention_raw, 1);
	return ERR_OK;
}

static enum err job_daily(struct call *c, const struct json *args)
{
	struct rows r;
	struct retention_done done;
	(void)args;
	TRY(db_begin(c, DB_WRITE));
	TRY(db_queue(c, taken_forget, A_TIME(clock_now() - KEEP_TAKEN)));
	TRY(db_finish0(c, coops_all, &r));
	TRY(ledger_keys_forget(c, (struct uuid){ { 0 } }, KEYS_NEEDED_SINCE));
	for (int i = 0; i < r.n; i++) {
		struct uuid coop = row_uuid(&r, i, 0);
		TRY(retention_run(c, coop, &done));
		if (c->job)
			TRY(job_extend(c));
	}
	return ERR_OK;
}

const struct job_kind holdings_jobs[] = {
	{ "retention.daily", job_daily, 5, 300 },
	JOB_TABLE_END,
};
