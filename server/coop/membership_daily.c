#include "server/coop/coop_internal.h"

#include "commonhold/delegation.h"
#include "commonhold/ledger.h"
#include "commonhold/notify.h"

#include <stdlib.h>

/* What time alone does to memberships: active, due, grace, lapsed, and the reminders on the way. Set-based, a batch a transaction. Every membership knows when it has to be looked
 * at next, so that a day costs what happens on it. After a standstill all steps that were missed are taken in order, each dated when it was due, and everybody concerned is told
 * the latest of them only.
 *
 * The last admin of a co-op does not lapse, since nobody could admit anybody any more: they stay in grace until they renew or another is made admin. Their items are held out
 * like everybody else's, because the clock decides on those (membership_standing_at). */

#define BATCH 2000 /* memberships a transaction */

/* Written so that plans do not lean on statistics, which lag behind on a day of many changes: the clock is asked once, and the ledger looked up a row at a time.
 *
 * The time line of one checkup: what happens when, and what is said. */
#define STEPS \
	"(VALUES (1, '-30', NULL, l.due_at - interval '30 days'), (2, '-14', NULL, l.due_at - interval '14 days'), (3, '-7', NULL, l.due_at - interval '7 days'), " \
	"(4, '-1', NULL, l.due_at - interval '1 day'), (5, 'grace', 'grace', l.due_at), (6, '+1', NULL, l.due_at + interval '1 day'), " \
	"(7, '+7', NULL, l.due_at + interval '7 days'), (8, '+21', NULL, l.due_at + interval '21 days'), (9, 'lapsed', 'lapsed', l.lapses), (0, NULL, 'due', l.opens)) " \
	"AS s(no, step, state, at)"

SQL(daily_steps,
	"WITH late AS MATERIALIZED (SELECT m.id, m.number, m.account_id, m.cycle, m.state, m.is_admin, m.due_at, m.due_at - $2::text::interval AS opens, "
	"  m.due_at + $3::text::interval AS lapses, CASE m.state WHEN 'active' THEN 0 WHEN 'due' THEN 1 ELSE 2 END AS stage, "
	"  m.is_admin AND m.id = (SELECT k.id FROM membership k WHERE k.coop_id = $1 AND k.is_admin AND k.state IN ('active', 'due', 'grace') "
	"    ORDER BY k.due_at DESC, k.number LIMIT 1) AS stays "
	"  FROM membership m WHERE m.coop_id = $1 AND m.state IN ('active', 'due', 'grace') AND m.next_step_at <= (SELECT commonhold_now()) AND ($4::uuid IS NULL OR m.id = $4) "
	"  ORDER BY m.next_step_at, m.number LIMIT $5), "
	"line AS MATERIALIZED (SELECT l.*, s.no, s.step, s.state AS to_state, s.at, s.at <= (SELECT commonhold_now()) AS past, "
	"  CASE s.state WHEN 'due' THEN 1 WHEN 'grace' THEN 2 WHEN 'lapsed' THEN 3 END AS to_stage FROM late l CROSS JOIN LATERAL " STEPS "), "
	"move AS MATERIALIZED (SELECT *, CASE to_stage WHEN 1 THEN 'active' WHEN 2 THEN 'due' ELSE 'grace' END AS from_state FROM line "
	"  WHERE past AND to_stage > stage AND NOT (to_stage = 3 AND stays)), "
	"final AS MATERIALIZED (SELECT l.id, coalesce(max(v.to_stage), l.stage) AS stage, max(v.at) AS at FROM late l LEFT JOIN move v ON v.id = l.id GROUP BY l.id, l.stage), "
	/* Said: what has come, in the state that it belongs to, and was not said before. */
	"word AS MATERIALIZED (SELECT n.id, n.number, n.account_id, n.cycle, n.due_at, n.lapses, n.step, n.no, n.at, row_number() OVER (PARTITION BY n.id ORDER BY n.no DESC) = 1 AS newest "
	"  FROM line n JOIN final f ON f.id = n.id WHERE $6 AND n.past AND n.step IS NOT NULL AND f.stage >= CASE WHEN n.no < 5 THEN 1 WHEN n.no < 9 THEN 2 ELSE 3 END "
	"  AND (n.no <= 5 OR n.no = 9 OR n.at < n.lapses) "
	"  AND (SELECT true FROM reminder r WHERE r.coop_id = $1 AND r.member_id = n.id AND r.cycle = n.cycle AND r.step = n.step AND r.channel = 'notice' LIMIT 1) IS NULL), "
	"next AS (SELECT id, min(at) FILTER (WHERE NOT past) AS at FROM line GROUP BY id), "
	"moved AS (UPDATE membership m SET state = (ARRAY['active', 'due', 'grace', 'lapsed'])[f.stage + 1], is_admin = m.is_admin AND f.stage < 3, "
	"  state_at = coalesce(f.at, m.state_at), "
	"  next_step_at = CASE WHEN NOT $6 THEN '-infinity' WHEN f.stage = 3 THEN 'infinity' ELSE coalesce(x.at, commonhold_now() + interval '1 day') END "
	"  FROM final f JOIN next x ON x.id = f.id WHERE m.coop_id = $1 AND m.id = f.id), "
	"noted AS (INSERT INTO membership_event (coop_id, member_id, from_state, to_state, is_admin, at, by_account, reason) "
	"  SELECT $1, id, from_state, to_state, is_admin AND to_stage < 3, at, NULL, '' FROM move ORDER BY at, to_stage, number), "
	"reminded AS (INSERT INTO reminder (coop_id, member_id, cycle, step, channel, due_at, at, outcome) "
	"  SELECT $1, id, cycle, step, 'notice', at, commonhold_now(), CASE WHEN newest THEN 'sent' ELSE 'passed_over' END FROM word) "
	"SELECT 'move', id, number, to_state, at, due_at, lapses, account_id FROM move "
	"UNION ALL SELECT 'word', id, number, step, at, due_at, lapses, account_id FROM word WHERE newest "
	"UNION ALL SELECT 'look', id, number, NULL, NULL, NULL, NULL, NULL FROM late ORDER BY 1, 5, 4, 3");
SQL(daily_coops, "SELECT id FROM coop WHERE id > $1 ORDER BY id LIMIT $2");

/* A move, or a word to a person. */
struct step {
	struct uuid member;    /* whom it is about */
	struct str what;       /* the state moved to, or the step that is told */
	instant at;            /* when it was due */
	instant due_at, lapses; /* of the checkup */
	struct uuid account;   /* who is told */
};

/* The rows of one batch. */
struct steps {
	struct step *moves, *words; /* each in the order in which they were due */
	size_t n_moves, n_words;    /* how many */
	int64_t looked;             /* memberships that were due to be looked at */
};

static struct str interval_of(struct arena *a, struct duration d)
{
	return str_fmt(a, "P%dY%dM%dDT%lldS", d.years, d.months, d.days, (long long)d.seconds);
}

static enum err steps_take(struct call *c, const struct charter *charter, struct uuid only, int limit, struct steps *out)
{
	struct rows r;
	TRY(db_query(c, daily_steps, &r, A_UUID(charter->coop), A_STR(interval_of(c->arena, charter->window)), A_STR(interval_of(c->arena, charter->grace)), A_UUID_OR_NULL(only),
		A_I64(limit), A_BOOL(uuid_is_nil(only))));
	*out = (struct steps){ .moves = ARENA_ARRAY(c->arena, (size_t)r.n + 1, struct step), .words = ARENA_ARRAY(c->arena, (size_t)r.n + 1, struct step) };
	for (int i = 0; i < r.n; i++) {
		struct str kind = row_str(&r, i, 0);
		struct step s = { row_uuid(&r, i, 1), row_str(&r, i, 3), row_time(&r, i, 4), row_time(&r, i, 5), row_time(&r, i, 6), row_uuid(&r, i, 7) };
		if (str_is(kind, "move"))
			out->moves[out->n_moves++] = s;
		else if (str_is(kind, "word"))
			out->words[out->n_words++] = s;
		else
			out->looked++;
	}
	return ERR_OK;
}

/* ---- What follows from a move ---- */

/* Time alone leads to a state along one edge. */
static const char *leaf_of_state(struct str state)
{
	int to = lifecycle_state(&membership_life, state);
	for (size_t i = 0; i < membership_life.n_edges; i++)
		if (membership_life.edges[i].to == to && (membership_life.edges[i].who & MOVER_SCHEDULE))
			return membership_life.edges[i].leaf;
	return NULL;
}

/* The moves in the order in which they were due; a run of the same kind is one append. */
static enum err append_leaves(struct call *c, struct uuid coop, const struct step *moves, size_t n)
{
	struct str *data = ARENA_ARRAY(c->arena, n + 1, struct str);
	for (size_t i = 0, run; i < n; i += run) {
		for (run = 0; i + run < n && str_eq(moves[i + run].what, moves[i].what); run++)
			data[run] = leaf_about_member(c, moves[i + run].member, "since", clock_format(c->arena, moves[i + run].at));
		const char *type = leaf_of_state(moves[i].what);
		if (!type)
			return fail(c, ERR_INTERNAL, "The daily job knows no move to this state.");
		TRY(ledger_append_many(c, coop, type, data, run, NULL));
	}
	return ERR_OK;
}

/* Whose checkup is overdue delegates to nobody until they answer; whose membership lapsed decides for nobody. */
static enum err rest_delegations(struct call *c, struct uuid coop, const struct step *moves, size_t n)
{
	struct uuid *overdue = ARENA_ARRAY(c->arena, n + 1, struct uuid), *lapsed = ARENA_ARRAY(c->arena, n + 1, struct uuid);
	size_t n_overdue = 0, n_lapsed = 0;
	for (size_t i = 0; i < n; i++) {
		if (str_is(moves[i].what, "grace"))
			overdue[n_overdue++] = moves[i].member;
		else if (str_is(moves[i].what, "lapsed"))
			lapsed[n_lapsed++] = moves[i].member;
	}
	TRY(delegation_suspend_due_many(c, coop, overdue, n_overdue));
	return delegation_end_of_members(c, coop, lapsed, n_lapsed, "lapsed");
}

/* ---- What is said ---- */

/* How each step is told: the co-op's name and the day that matters stand between the three parts of the text. */
static const struct wording {
	const char *step, *kind, *title, *text[3];
	bool lapse;     /* the day that matters is that of the lapse, else the due date */
	bool essential; /* mailed whatever the settings say */
} wordings[] = {
	{ "-30", "membership.due", "Your annual checkup is open", { "Go over your choices in ", " by ", ". Confirming early keeps your anniversary." }, false, false },
	{ "-14", "membership.reminder", "Your annual checkup is waiting", { "Go over your choices in ", " by ", "." }, false, false },
	{ "-7", "membership.reminder", "A week left for your annual checkup", { "Go over your choices in ", " by ", "." }, false, false },
	{ "-1", "membership.reminder", "Your annual checkup is due tomorrow",
		{ "Go over your choices in ", " by ", ". After that your delegations, and the co-op's default where you accepted it, rest until you answer." }, false, true },
	{ "grace", "membership.grace", "Your annual checkup is overdue",
		{ "Your delegations in ", ", and the co-op's default where you accepted it, rest until you answer. You can still vote. Without an answer your membership lapses on ", "." },
		true, true },
	{ "+1", "membership.reminder", "Your annual checkup is overdue", { "What you delegated in ", " rests. Without an answer your membership lapses on ", "." }, true, false },
	{ "+7", "membership.reminder", "Your annual checkup is a week overdue", { "What you delegated in ", " rests. Without an answer your membership lapses on ", "." }, true, false },
	{ "+21", "membership.reminder", "Your membership is about to lapse",
		{ "Without an answer your membership in ", " lapses on ", ": your contributions then stay out of new releases." }, true, true },
	{ "lapsed", "membership.lapsed", "Your membership has lapsed",
		{ "Your contributions in ", " stay out of new releases since ", ". Nothing was deleted; renewing brings the membership back." }, true, true },
};

static const struct wording *wording_of(struct str step)
{
	for (size_t i = 0; i < CH_LEN(wordings); i++)
		if (str_is(step, wordings[i].step))
			return &wordings[i];
	return NULL;
}

static struct str notice_data(struct arena *a, const struct wording *w, const struct coop *coop, const struct step *s)
{
	struct buf b;
	struct json_writer j;
	struct str day = str_sub(clock_format(a, w->lapse ? s->lapses : s->due_at), 0, 10);
	buf_init(&b, LIMIT_BODY_SMALL);
	jw_init(&j, &b);
	jw_object(&j);
	jw_kstr(&j, "due", str_sub(clock_format(a, s->due_at), 0, 10));
	jw_kstr(&j, "text", str_fmt(a, "%s%.*s%s%.*s%s", w->text[0], STR_ARG(coop->name), w->text[1], STR_ARG(day), w->text[2]));
	jw_kz(&j, "title", w->title);
	jw_kstr(&j, "url", str_fmt(a, "/coops/%.*s/checkup", STR_ARG(coop->slug)));
	jw_end_object(&j);
	return buf_take(a, &b);
}

static bool same_words(const struct step *a, const struct step *b)
{
	return str_eq(a->what, b->what) && a->due_at / CLOCK_DAY == b->due_at / CLOCK_DAY && a->lapses / CLOCK_DAY == b->lapses / CLOCK_DAY;
}

static int by_words(const void *a, const void *b)
{
	const struct step *x = a, *y = b;
	int order = str_cmp(x->what, y->what);
	if (order)
		return order;
	return x->due_at < y->due_at ? -1 : x->due_at > y->due_at;
}

/* One notice to all whose step and day are the same. */
static enum err tell(struct call *c, struct uuid coop, struct step *words, size_t n)
{
	struct coop about;
	if (n == 0)
		return ERR_OK;
	TRY(coop_get(c, coop, &about));
	qsort(words, n, sizeof *words, by_words);
	struct uuid *accounts = ARENA_ARRAY(c->arena, n, struct uuid);
	for (size_t i = 0, run; i < n; i += run) {
		for (run = 0; i + run < n && same_words(&words[i], &words[i + run]); run++)
			accounts[run] = words[i + run].account;
		const struct wording *w = wording_of(words[i].what);
		if (!w)
			return fail(c, ERR_INTERNAL, "The daily job has no words for this step.");
		struct str key = str_fmt(c->arena, "%.*s %.*s %.10s", STR_ARG(uuid_format(c->arena, coop)), STR_ARG(words[i].what), clock_format(c->arena, words[i].due_at).p);
		struct notice notice = { .kind = w->kind, .coop = coop, .key = key, .data = notice_data(c->arena, w, &about, &words[i]), .essential = w->essential };
		TRY(notify_many(c, &notice, accounts, run));
	}
	return ERR_OK;
}

/* ---- The job ---- */

enum err membership_steps(struct call *c, const struct charter *charter, struct uuid only, int limit, int64_t *steps, int64_t *looked)
{
	struct steps s;
	TRY(steps_take(c, charter, only, limit, &s));
	*steps = (int64_t)s.n_moves;
	*looked = s.looked;
	TRY(tell(c, charter->coop, s.words, s.n_words));
	if (s.n_moves == 0)
		return ERR_OK;
	TRY(rest_delegations(c, charter->coop, s.moves, s.n_moves));
	return append_leaves(c, charter->coop, s.moves, s.n_moves);
}

/* One batch of one co-op, as a transaction. */
static enum err batch_take(struct call *c, struct uuid coop, int64_t *steps, int64_t *looked)
{
	struct charter charter;
	TRY(db_begin_in(c, coop, DB_WRITE));
	TRY(membership_lock(c, coop));
	TRY(charter_current(c, coop, &charter));
	TRY(membership_steps(c, &charter, (struct uuid){ { 0 } }, BATCH, steps, looked));
	return db_commit(c);
}

static enum err coop_take(struct call *c, struct uuid coop, int64_t *steps)
{
	int64_t taken = 0, looked = 0;
	do {
		struct arena_mark mark = arena_mark(c->arena);
		TRY(batch_take(c, coop, &taken, &looked));
		arena_rewind(c->arena, mark);
		*steps += taken;
	} while (looked == BATCH);
	return ERR_OK;
}

#define COOPS_AT_ONCE 500

enum err membership_daily(struct call *c, struct uuid coop, int64_t *steps)
{
	struct uuid last = { { 0 } };
	struct error failed = { 0 };
	int n = 0;
	*steps = 0;
	if (!uuid_is_nil(coop))
		return coop_take(c, coop, steps);
	do {
		struct rows r;
		TRY(db_begin(c, DB_READ));
		TRY(db_finish(c, daily_coops, &r, A_UUID(last), A_I64(COOPS_AT_ONCE)));
		n = r.n;
		struct uuid *ids = ARENA_ARRAY(c->arena, (size_t)n + 1, struct uuid);
		for (int i = 0; i < n; i++)
			ids[i] = last = row_uuid(&r, i, 0);
		for (int i = 0; i < n; i++) {
			enum err e = coop_take(c, ids[i], steps);
			if (e == ERR_UNAVAILABLE)
				return e;
			if (e != ERR_OK) {
				/* One co-op's trouble is not the others'. */
				db_rollback(c);
				failed = c->error;
				error_clear(&c->error);
			}
			if (c->job && i % 16 == 0)
				TRY(job_extend(c));
		}
	} while (n == COOPS_AT_ONCE);
	c->error = failed;
	return failed.code;
}

static enum err daily_run(struct call *c, const struct json *args)
{
	int64_t steps;
	(void)args;
	return membership_daily(c, (struct uuid){ { 0 } }, &steps);
}

const struct job_kind coop_jobs[] = {
	{ "membership.daily", daily_run, 10, 300 },
	JOB_TABLE_END,
};
