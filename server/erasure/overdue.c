/* The ladder: what follows, day by day, when a duty is not met. Each step is taken once, is a leaf of the log, and is told with its reason; a receipt that comes late lifts what can be
 * lifted: the block and the listing. Grants that were revoked stay revoked; they may be asked for again. */
#include "server/erasure/mirror/mirror_internal.h"

#include <inttypes.h>

#define DUE_AT_ONCE 200 /* duties that are looked at before the list is asked for again */

SQL(coops_owed, "SELECT coop_id FROM mirror_lag WHERE outstanding > 0 ORDER BY coop_id");
/* Those whose next step may be due; what is due exactly is for duty_step_at to say. */
SQL(duties_due,
	"SELECT id FROM duty WHERE coop_id = $1 AND confirmed_at IS NULL AND ended_at IS NULL AND due_at <= commonhold_now() + interval '2 days' AND id > $2 ORDER BY id LIMIT $3");
SQL(duty_lock,
	"SELECT d.id, d.step, d.announced_at, d.due_at, d.account_id, d.erasure_id, m.kind, coalesce(m.name, d.partner_name, nullif(q.organisation, ''), ''), d.mirror_id, d.grant_id, o.slug, "
	"d.partner, d.through "
	"FROM duty d LEFT JOIN mirror m ON m.coop_id = d.coop_id AND m.id = d.mirror_id LEFT JOIN access_grant g ON g.coop_id = d.coop_id AND g.id = d.grant_id "
	"LEFT JOIN access_request q ON q.coop_id = g.coop_id AND q.id = g.request_id JOIN coop o ON o.id = d.coop_id "
	"WHERE d.coop_id = $1 AND d.id = $2 AND d.confirmed_at IS NULL AND d.ended_at IS NULL FOR UPDATE OF d");
SQL(step_take, "UPDATE duty SET step = $3::integer::smallint, step_at = commonhold_now(), ended_at = CASE WHEN $4 THEN commonhold_now() END WHERE coop_id = $1 AND id = $2");
SQL(step_note, "INSERT INTO duty_step (coop_id, duty_id, step, at, what) VALUES ($1, $2, $3::integer::smallint, commonhold_now(), $4)");
SQL(blocked_still, "SELECT EXISTS (SELECT FROM duty WHERE coop_id = $1 AND account_id = $2 AND confirmed_at IS NULL AND step >= $3)");
SQL(mirrors_left, "SELECT id FROM mirror WHERE coop_id = $1 AND account_id = $2 AND state = 'active' AND public_key IS NOT NULL ORDER BY id FOR UPDATE");
SQL(mirror_suspend, "UPDATE mirror SET state = 'suspended', state_at = commonhold_now(), reason = $3 WHERE coop_id = $1 AND id = $2");

/* One duty that is open, locked. */
struct open_duty {
	struct uuid coop, id, account, erasure, mirror, grant;
	enum duty_step step;
	instant announced, due;
	bool kept;              /* of a mirror that this instance keeps itself: nobody else can be made to */
	struct str name, slug;  /* of the mirror, partner or organisation, may be empty; of the co-op */
	struct str partner, through; /* key names; absent but for partners, the second one but for partners' partners */
};

static mirror_partner_step_fn partner_step; /* of the domain that knows partners */

void mirror_use_partner_steps(mirror_partner_step_fn fn)
{
	partner_step = fn;
}

static enum err note(struct call *c, const struct open_duty *d, enum duty_step step)
{
	bool by_mirror = !uuid_is_nil(d->mirror);
	struct arena *a = c->arena;
	struct str due = clock_format(a, d->due), id = uuid_format(a, d->id), data;
	if (d->partner.p)
		data = str_fmt(a, "{\"due\":\"%.*s\",\"duty\":\"%.*s\",\"partner\":\"%.*s\",\"step\":\"%s\"}", STR_ARG(due), STR_ARG(id), STR_ARG(d->partner), duty_step_name(step));
	else
		data = str_fmt(a, "{\"%s\":\"%.*s\",\"due\":\"%.*s\",\"duty\":\"%.*s\",\"step\":\"%s\"}", by_mirror ? "mirror" : "grant",
			STR_ARG(uuid_format(a, by_mirror ? d->mirror : d->grant)), STR_ARG(due), STR_ARG(id), duty_step_name(step));
	return ledger_append(c, d->coop, &(struct leaf){ .type = "deletion.overdue", .data = data }, NULL);
}

static struct str due_day(struct arena *a, const struct open_duty *d)
{
	return str_sub(clock_format(a, d->due), 0, 10);
}

static struct str who(const struct open_duty *d)
{
	return d->name.n ? d->name : STR("your grant");
}

static enum err tell(struct call *c, const struct open_duty *d, enum duty_step step, const char *title, struct str text)
{
	struct notice n = { .kind = "deletion.overdue", .account = d->account, .coop = d->coop, .essential = true,
		.key = str_fmt(c->arena, "%.*s %s", STR_ARG(uuid_format(c->arena, d->id)), duty_step_name(step)), .data = mirror_notice(c->arena, title, text, d->slug) };
	return notify_send(c, &n);
}

static enum err tell_admins(struct call *c, const struct open_duty *d, enum duty_step step, const char *title, struct str text)
{
	struct uuid *admins;
	struct str slug;
	size_t n;
	TRY(mirror_admins(c, d->coop, &admins, &n, &slug));
	struct notice notice = { .kind = "deletion.overdue", .coop = d->coop, .essential = true, .key = str_fmt(c->arena, "%.*s %s", STR_ARG(uuid_format(c->arena, d->id)), duty_step_name(step)),
		.data = mirror_notice(c->arena, title, text, slug) };
	return n ? notify_many(c, &notice, admins, n) : ERR_OK;
}

/* ---- the steps ---- */

static enum err remind(struct call *c, const struct open_duty *d)
{
	return tell(c, d, DUTY_REMINDED, "Confirm a deletion soon",
		str_fmt(c->arena, "By %.*s, %.*s must have deleted what the tombstones name, and have confirmed it.", STR_ARG(due_day(c->arena, d)), STR_ARG(who(d))));
}

static enum err say_due(struct call *c, const struct open_duty *d)
{
	return tell(c, d, DUTY_DUE, "A deletion was to be confirmed today",
		str_fmt(c->arena, "Nothing has come from %.*s. Without a receipt you get no new grants from the third day on, are listed publicly from the seventh, and lose your grants on the fourteenth.",
			STR_ARG(who(d))));
}

static enum err block(struct call *c, const struct open_duty *d)
{
	bool made;
	struct str why = str_fmt(c->arena, "A deletion that was to be confirmed by %.*s has not been. Confirm it, and grants can be given again.", STR_ARG(due_day(c->arena, d)));
	TRY(access_block(c, d->coop, d->account, why, &made));
	return tell(c, d, DUTY_BLOCKED, "You get no new grants until a deletion is confirmed", why);
}

static enum err list(struct call *c, const struct open_duty *d)
{
	return tell(c, d, DUTY_LISTED, "You are listed as overdue",
		str_fmt(c->arena, "%.*s is on the co-op's public list of those who have not confirmed a deletion that was due on %.*s. A receipt takes it off.", STR_ARG(who(d)),
			STR_ARG(due_day(c->arena, d))));
}

static enum err revoke(struct call *c, const struct open_duty *d)
{
	struct rows r;
	int64_t n;
	struct str why = str_fmt(c->arena, "A deletion that was to be confirmed by %.*s has not been.", STR_ARG(due_day(c->arena, d)));
	TRY(db_query(c, mirrors_left, &r, A_UUID(d->coop), A_UUID(d->account)));
	for (int i = 0; i < r.n; i++) {
		TRY(db_exec(c, mirror_suspend, A_UUID(d->coop), A_UUID(row_uuid(&r, i, 0)), A_STR(why)));
		TRY(push_drop(c, d->coop, row_uuid(&r, i, 0)));
	}
	TRY(access_revoke_all(c, d->coop, d->account, why, &n));
	return tell(c, d, DUTY_REVOKED, "Your grants were revoked", str_fmt(c->arena, "%.*s %" PRId64 " of your grants ended. Once you have confirmed, you may ask again.", STR_ARG(why), n));
}

static enum err report(struct call *c, const struct open_duty *d)
{
	struct str name = d->name.n ? d->name : STR("The holder of a grant");
	return tell_admins(c, d, DUTY_REPORTED, "A deletion was not confirmed, and nothing more follows by itself",
		str_fmt(c->arena, "%.*s was to confirm by %.*s and has not. It is listed publicly and its grants are revoked. What else can be done is for the co-op to decide.", STR_ARG(name),
			STR_ARG(due_day(c->arena, d))));
}

/* What a copy that this instance keeps owes can be asked of nobody else: its admins are told, and it is listed like any other. */
static enum err step_of_own(struct call *c, const struct open_duty *d, enum duty_step step)
{
	if (step != DUTY_DUE && step != DUTY_REPORTED)
		return ERR_OK;
	return tell_admins(c, d, step, "Erased items are still in a copy that this instance keeps",
		str_fmt(c->arena, "%.*s was to be purged by %.*s. See what its last run met.", STR_ARG(d->name), STR_ARG(due_day(c->arena, d))));
}

/* Another co-op: it has no account here that could be told, blocked or revoked. It is told again, nothing more is sent to it, and our admins decide what follows. A partner's partner is for that
 * partner to press; here it is shown, and reported at the end. */
static enum err step_of_partner(struct call *c, const struct open_duty *d, enum duty_step step)
{
	static const char *const titles[DUTY_STEP_COUNT] = {
		[DUTY_DUE] = "Another co-op has not confirmed a deletion", [DUTY_BLOCKED] = "Nothing more is sent to a co-op until it confirms a deletion",
		[DUTY_REVOKED] = "An agreement is suspended over a deletion", [DUTY_REPORTED] = "A co-op did not confirm a deletion, and nothing more follows by itself",
	};
	bool far = d->through.p != NULL;
	if (!far && partner_step)
		TRY(partner_step(c, d->coop, d->erasure, d->partner, step));
	if (!titles[step] || (far && step != DUTY_REPORTED))
		return ERR_OK;
	return tell_admins(c, d, step, titles[step],
		str_fmt(c->arena, "%.*s holds, or held, items of members who had them deleted. It was to confirm by %.*s, and has not.", STR_ARG(d->name), STR_ARG(due_day(c->arena, d))));
}

typedef enum err (*step_fn)(struct call *c, const struct open_duty *d);
static const step_fn acts[DUTY_STEP_COUNT] = {
	[DUTY_REMINDED] = remind, [DUTY_DUE] = say_due, [DUTY_BLOCKED] = block, [DUTY_LISTED] = list, [DUTY_REVOKED] = revoke, [DUTY_REPORTED] = report,
};

static enum err take(struct call *c, const struct open_duty *d, enum duty_step step)
{
	bool last = step + 1 == DUTY_STEP_COUNT;
	TRY(db_exec(c, step_take, A_UUID(d->coop), A_UUID(d->id), A_INT((int)step), A_BOOL(last)));
	TRY(db_exec(c, step_note, A_UUID(d->coop), A_UUID(d->id), A_INT((int)step), A_Z(duty_step_name(step))));
	TRY(d->partner.p ? step_of_partner(c, d, step) : d->kept ? step_of_own(c, d, step) : acts[step](c, d));
	return note(c, d, step);
}

/* Every step of one duty that is due by now, in order, in one transaction. */
static enum err advance(struct call *c, struct uuid coop, struct uuid duty, int64_t *steps)
{
	struct rows r;
	enum mirror_kind kind;
	TRY(db_begin_in(c, coop, DB_WRITE));
	TRY(db_query(c, duty_lock, &r, A_UUID(coop), A_UUID(duty)));
	if (r.n == 0)
		return db_commit(c);
	struct open_duty d = {
		.coop = coop, .id = duty, .step = (enum duty_step)row_int(&r, 0, 1), .announced = row_time(&r, 0, 2), .due = row_time(&r, 0, 3), .account = row_uuid(&r, 0, 4),
		.erasure = row_uuid(&r, 0, 5), .kept = mirror_kind_find(row_str(&r, 0, 6), &kind) && mirror_is_kept(kind), .name = row_str(&r, 0, 7), .mirror = row_uuid(&r, 0, 8),
		.grant = row_uuid(&r, 0, 9), .slug = row_str(&r, 0, 10), .partner = row_str(&r, 0, 11), .through = row_str(&r, 0, 12),
	};
	int64_t taken = 0;
	instant now = clock_now();
	while (d.step + 1 < DUTY_STEP_COUNT && duty_step_at(d.step + 1, d.announced, d.due) <= now) {
		d.step++;
		TRY(take(c, &d, d.step));
		taken++;
	}
	if (taken && d.step + 1 == DUTY_STEP_COUNT)
		TRY(duty_settle(c, coop, &d.erasure, 1));
	TRY(db_commit(c));
	*steps += taken;
	return ERR_OK;
}

enum err overdue_lift(struct call *c, struct uuid coop, struct uuid account)
{
	struct rows r;
	bool lifted;
	TRY(db_one(c, blocked_still, &r, A_UUID(coop), A_UUID(account), A_INT(DUTY_BLOCKED)));
	if (row_bool(&r, 0, 0))
		return ERR_OK;
	return access_unblock(c, coop, account, &lifted);
}

static enum err daily_in(struct call *c, struct uuid coop, int64_t *steps)
{
	struct rows r;
	struct uuid after = { { 0 } };
	do {
		TRY(db_begin_in(c, coop, DB_READ));
		TRY(db_finish(c, duties_due, &r, A_UUID(coop), A_UUID(after), A_INT(DUE_AT_ONCE)));
		struct arena_mark mark = arena_mark(c->arena);
		for (int i = 0; i < r.n; i++) {
			after = row_uuid(&r, i, 0);
			TRY(advance(c, coop, after, steps));
			arena_rewind(c->arena, mark);
		}
		TRY(job_extend(c));
	} while (r.n == DUE_AT_ONCE);
	TRY(db_begin_in(c, coop, DB_WRITE));
	TRY(mirror_measure(c, coop));
	return db_commit(c);
}

enum err mirror_daily(struct call *c, struct uuid coop, int64_t *steps)
{
	struct rows r;
	*steps = 0;
	if (!uuid_is_nil(coop))
		return daily_in(c, coop, steps);
	TRY(db_begin(c, DB_READ));
	TRY(db_query0(c, coops_owed, &r));
	TRY(db_commit(c));
	for (int i = 0; i < r.n; i++)
		TRY(daily_in(c, row_uuid(&r, i, 0), steps));
	return ERR_OK;
}
