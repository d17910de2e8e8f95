#include "commonhold/control.h"

#include "commonhold/ledger.h"
#include "commonhold/notify.h"
#include "server/coop/coop_internal.h"

/* Collective controls in the database: set once, lifted once, and who has joined a pledge. */

/* When a control ended: by ballot or pledge, or on its day, whether or not that was noted already. */
#define CONTROL_END "least(l.at, k.until)"
#define CONTROL_COLUMNS \
	"k.id, k.kind, k.mode, k.kinds, k.uses, coalesce(k.amount, 0), k.reason, k.until, k.ballot_id, k.set_at, " \
	"CASE WHEN " CONTROL_END " <= commonhold_now() THEN " CONTROL_END " END, coalesce(l.cause, CASE WHEN k.until <= commonhold_now() THEN 'date' END), l.ballot_id, " \
	"(SELECT count(*) FROM " PLEDGED " p WHERE p.joined), " \
	"coalesce((SELECT p.joined FROM " PLEDGED " p WHERE p.account_id = commonhold_account()), false)"
/* What each member in good standing said last about a pledge. */
#define PLEDGED \
	"(SELECT DISTINCT ON (g.member_id) g.joined, m.account_id FROM control_pledge g JOIN membership m ON m.coop_id = g.coop_id AND m.id = g.member_id " \
	"WHERE g.coop_id = k.coop_id AND g.control_id = k.id AND m.state IN ('active', 'due', 'grace') ORDER BY g.member_id, g.seq DESC)"
#define CONTROL_FROM " FROM control k LEFT JOIN control_lift l ON l.coop_id = k.coop_id AND l.control_id = k.id "

#define CONTROLS_LISTED 500 /* newest, on the page of all that ever were */

SQL(control_standing,
	"SELECT " CONTROL_COLUMNS CONTROL_FROM "WHERE k.coop_id = $1 AND k.set_at <= coalesce($2, commonhold_now()) "
	"AND (" CONTROL_END " IS NULL OR " CONTROL_END " > coalesce($2, commonhold_now())) ORDER BY k.set_at, k.id");
SQL(control_all, "SELECT " CONTROL_COLUMNS CONTROL_FROM "WHERE k.coop_id = $1 ORDER BY k.set_at DESC, k.id LIMIT $2");
SQL(control_by_id, "SELECT " CONTROL_COLUMNS CONTROL_FROM "WHERE k.coop_id = $1 AND k.id = $2");
SQL(control_by_ballot, "SELECT " CONTROL_COLUMNS CONTROL_FROM "WHERE k.coop_id = $1 AND k.ballot_id = $2");
SQL(control_lock, "SELECT pg_advisory_xact_lock(hashtextextended('control ' || $1::uuid::text, 0)) IS NULL");
SQL(control_insert,
	"INSERT INTO control (coop_id, id, kind, mode, kinds, uses, amount, reason, until, ballot_id, set_at) "
	"VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, commonhold_now())");
SQL(control_lift_insert,
	"INSERT INTO control_lift (coop_id, control_id, ballot_id, cause, at) VALUES ($1, $2, $3, $4, coalesce($5, commonhold_now())) "
	"ON CONFLICT (coop_id, control_id) DO NOTHING RETURNING at");
SQL(pledge_insert, "INSERT INTO control_pledge (coop_id, control_id, member_id, joined, at) VALUES ($1, $2, $3, $4, commonhold_now())");
SQL(people_told, "SELECT account_id FROM membership WHERE coop_id = $1 AND state IN ('active', 'due', 'grace')");
SQL(slug_of, "SELECT slug FROM coop WHERE id = $1");

static const char *const kind_names[CONTROL_KIND_COUNT] = { "quality_freeze", "selective_embargo", "preference_shift", "rate_limit", "assurance" };

const char *control_kind_name(unsigned kind)
{
	return kind < CONTROL_KIND_COUNT ? kind_names[kind] : "unknown";
}

int control_kind_find(struct str name)
{
	return str_which(name, kind_names, CONTROL_KIND_COUNT);
}

/* ---- Reading ---- */

static uint32_t bits_of(struct call *c, const struct rows *r, int row, int col, int (*find)(const char *name, size_t len))
{
	struct str *names;
	uint32_t bits = 0;
	size_t n = row_strs(c->arena, r, row, col, &names);
	for (size_t i = 0; i < n; i++) {
		int no = names[i].p ? find(names[i].p, names[i].n) : -1;
		if (no >= 0)
			bits |= POLICY_BIT(no);
	}
	return bits;
}

static enum err control_row(struct call *c, const struct rows *r, int i, struct control *out)
{
	int kind = control_kind_find(row_str(r, i, 1));
	instant until = row_time(r, i, 7);
	if (kind < 0)
		return fail(c, ERR_CORRUPT, "A collective control is of a kind that is not known.");
	*out = (struct control){
		.id = row_uuid(r, i, 0), .kind = (enum control_kind)kind, .pauses = str_is(row_str(r, i, 2), "pause"), .kinds = (uint8_t)bits_of(c, r, i, 3, policy_kind_find),
		.uses = (uint16_t)bits_of(c, r, i, 4, policy_use_find), .amount = row_int(r, i, 5), .reason = row_str(r, i, 6),
		.until = until == INSTANT_NONE ? INSTANT_NEVER : until, .ballot = row_uuid(r, i, 8), .set_at = row_time(r, i, 9), .lifted_at = row_time(r, i, 10),
		.lift_cause = row_str(r, i, 11), .lift_ballot = row_uuid(r, i, 12), .pledged = row_int(r, i, 13), .joined = row_bool(r, i, 14),
	};
	return ERR_OK;
}

static enum err control_rows(struct call *c, const struct rows *r, struct control **out, size_t *n)
{
	*n = (size_t)r->n;
	*out = ARENA_ARRAY(c->arena, *n + 1, struct control);
	for (int i = 0; i < r->n; i++)
		TRY(control_row(c, r, i, &(*out)[i]));
	return ERR_OK;
}

enum err control_at(struct call *c, struct uuid coop, instant at, struct control **out, size_t *n)
{
	struct rows r;
	TRY(db_query(c, control_standing, &r, A_UUID(coop), A_TIME(at)));
	return control_rows(c, &r, out, n);
}

enum err control_current(struct call *c, struct uuid coop, struct control **out, size_t *n)
{
	return control_at(c, coop, INSTANT_NONE, out, n);
}

enum err control_list(struct call *c, struct uuid coop, bool all, struct control **out, size_t *n)
{
	struct rows r;
	TRY(db_begin_in(c, coop, DB_READ));
	if (all) {
		TRY(db_query(c, control_all, &r, A_UUID(coop), A_INT(CONTROLS_LISTED)));
		TRY(control_rows(c, &r, out, n));
	} else {
		TRY(control_current(c, coop, out, n));
	}
	return db_commit(c);
}

static enum err control_get(struct call *c, struct uuid coop, struct uuid id, struct control *out)
{
	struct rows r;
	TRY(db_query(c, control_by_id, &r, A_UUID(coop), A_UUID(id)));
	return r.n == 1 ? control_row(c, &r, 0, out) : fail(c, ERR_NOT_FOUND, "There is no such collective control.");
}

enum err control_read(struct call *c, struct uuid coop, struct uuid control, struct control *out)
{
	TRY(db_begin_in(c, coop, DB_READ));
	TRY(control_get(c, coop, control, out));
	return db_commit(c);
}

const struct control *control_pausing(const struct control *controls, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (controls[i].pauses)
			return &controls[i];
	return NULL;
}

/* ---- Telling ---- */

/* A notice to everybody in good standing. */
static enum err tell_members(struct call *c, struct uuid coop, const char *kind, const struct control *k, struct str title, struct str text)
{
	struct rows r, place;
	struct buf b;
	struct json_writer w;
	TRY(db_one(c, slug_of, &place, A_UUID(coop)));
	TRY(db_query(c, people_told, &r, A_UUID(coop)));
	struct uuid *accounts = ARENA_ARRAY(c->arena, (size_t)r.n + 1, struct uuid);
	for (int i = 0; i < r.n; i++)
		accounts[i] = row_uuid(&r, i, 0);
	buf_init(&b, LIMIT_BODY_SMALL);
	jw_init(&w, &b);
	jw_object(&w);
	jw_kstr(&w, "title", title);
	jw_kstr(&w, "text", text);
	jw_kstr(&w, "url", str_fmt(c->arena, "/coops/%.*s/controls", STR_ARG(row_str(&place, 0, 0))));
	jw_kz(&w, "control", control_title(k->kind));
	jw_kstr(&w, "reason", k->reason);
	jw_kstr(&w, "until", control_end(c->arena, k));
	jw_end_object(&w);
	struct notice notice = { .kind = kind, .coop = coop, .key = uuid_format(c->arena, k->id), .data = buf_take(c->arena, &b) };
	return notify_many(c, &notice, accounts, (size_t)r.n);
}

/* ---- Setting and lifting ---- */

static size_t names_of_bits(struct arena *a, uint32_t bits, unsigned count, const char *(*name)(unsigned no), struct str **out)
{
	size_t n = 0;
	*out = ARENA_ARRAY(a, count, struct str);
	for (unsigned i = 0; i < count; i++)
		if (bits & POLICY_BIT(i))
			(*out)[n++] = str_of(name(i));
	return n;
}

static struct str set_facts(struct call *c, const struct control *k)
{
	struct buf b;
	struct json_writer w;
	buf_init(&b, LIMIT_BODY_SMALL);
	jw_init(&w, &b);
	jw_object(&w);
	jw_kstr(&w, "ballot", uuid_format(c->arena, k->ballot));
	jw_kstr(&w, "control", uuid_format(c->arena, k->id));
	jw_kz(&w, "kind", control_kind_name(k->kind));
	if (k->amount)
		jw_kint(&w, "amount", k->amount);
	jw_knames(&w, "kinds", k->kinds, POLICY_KIND_COUNT, policy_kind_name);
	if (k->pauses)
		jw_kbool(&w, "pauses", true);
	if (k->until != INSTANT_NEVER)
		jw_kstr(&w, "until", clock_format(c->arena, k->until));
	if (k->uses)
		jw_knames(&w, "uses", k->uses, POLICY_USE_COUNT, policy_use_name);
	jw_end_object(&w);
	return buf_take(c->arena, &b);
}

/* One of each kind at a time, but for preference shifts, which may deny different uses. */
static enum err control_fits(struct call *c, struct uuid coop, const struct control *in)
{
	struct control *standing;
	size_t n;
	TRY(control_current(c, coop, &standing, &n));
	if (n >= CONTROLS_MAX)
		return fail_reason(c, ERR_REFUSED, "controls_full", "As many controls stand as can at once. Lift one first.");
	for (size_t i = 0; i < n; i++)
		if (standing[i].kind == in->kind && in->kind != CONTROL_PREFERENCE_SHIFT)
			return fail_reason(c, ERR_REFUSED, "control_stands", "A control of this kind stands already. Lift that one first.");
	if (in->until != INSTANT_NEVER && in->until <= clock_now())
		return fail_reason(c, ERR_REFUSED, "control_over", "The day on which it would have lifted has come already.");
	return ERR_OK;
}

enum err control_set(struct call *c, struct uuid coop, const struct control *in, struct control *out)
{
	struct rows r;
	struct str *kinds, *uses;
	TRY(db_exec(c, control_lock, A_UUID(coop)));
	TRY(db_query(c, control_by_ballot, &r, A_UUID(coop), A_UUID(in->ballot)));
	if (r.n == 1)
		return control_row(c, &r, 0, out);
	TRY(control_fits(c, coop, in));
	*out = *in;
	out->id = uuid_new();
	out->set_at = clock_now();
	out->lifted_at = INSTANT_NONE;
	size_t n_kinds = names_of_bits(c->arena, in->kinds, POLICY_KIND_COUNT, policy_kind_name, &kinds);
	size_t n_uses = names_of_bits(c->arena, in->uses, POLICY_USE_COUNT, policy_use_name, &uses);
	const char *mode = in->kind != CONTROL_SELECTIVE_EMBARGO ? "" : in->pauses ? "pause" : "evaluation_only";
	struct db_arg amount = in->amount ? A_I64(in->amount) : (struct db_arg){ .type = DB_INT8, .null = true };
	TRY(db_exec(c, control_insert, A_UUID(coop), A_UUID(out->id), A_Z(control_kind_name(in->kind)), A_Z(mode), A_TEXTS(kinds, n_kinds), A_TEXTS(uses, n_uses), amount,
		A_STR(in->reason), A_TIME(in->until == INSTANT_NEVER ? INSTANT_NONE : in->until), A_UUID(in->ballot)));
	if (in->until != INSTANT_NEVER)
		TRY(job_queue(c, "control.lift", uuid_format(c->arena, out->id), job_args(c->arena, coop, "control", out->id), in->until));
	struct str effect = control_effect(c->arena, out), end = control_end(c->arena, out);
	TRY(tell_members(c, coop, "control.set", out, str_fmt(c->arena, "%s is in force", control_title(out->kind)),
		str_fmt(c->arena, "%.*s %.*s %s", STR_ARG(effect), STR_ARG(end), control_limits())));
	return log_act(c, coop, "control.set", set_facts(c, out), (struct uuid){ { 0 } });
}

/* The one place where a control ends. `at` INSTANT_NONE: now. Inside, under the lock. */
static enum err control_end_it(struct call *c, struct uuid coop, const struct control *k, const char *cause, struct uuid ballot, instant at)
{
	struct rows r;
	TRY(db_query(c, control_lift_insert, &r, A_UUID(coop), A_UUID(k->id), A_UUID_OR_NULL(ballot), A_Z(cause), A_TIME(at)));
	if (r.n == 0)
		return ERR_OK;
	const char *why = strcmp(cause, "ballot") == 0 ? "A ballot lifted it." : strcmp(cause, "date") == 0 ? "Its day has come." : "Enough members have joined.";
	TRY(tell_members(c, coop, "control.lifted", k, str_fmt(c->arena, "%s is lifted", control_title(k->kind)),
		str_fmt(c->arena, "%s What it held back is decided on afresh for the next release.", why)));
	struct str id = uuid_format(c->arena, k->id);
	TRY(log_act(c, coop, "control.lifted", str_fmt(c->arena, "{\"cause\":\"%s\",\"control\":\"%.*s\"}", cause, STR_ARG(id)), (struct uuid){ { 0 } }));
	/* Releases go on: scheduling them is the business of a module above this one. */
	return k->pauses ? job_queue(c, "release.schedule", uuid_format(c->arena, coop), STR_NONE, clock_now()) : ERR_OK;
}

enum err control_lift_by_ballot(struct call *c, struct uuid coop, struct uuid control, struct uuid ballot)
{
	struct control k;
	TRY(db_exec(c, control_lock, A_UUID(coop)));
	TRY(control_get(c, coop, control, &k));
	return k.lifted_at == INSTANT_NONE ? control_end_it(c, coop, &k, "ballot", ballot, INSTANT_NONE) : ERR_OK;
}

static enum err job_lift(struct call *c, const struct json *args)
{
	struct uuid coop, id;
	struct control k;
	TRY(job_args_read(c, args, "control", &coop, &id));
	TRY(db_begin_in(c, coop, DB_WRITE));
	TRY(db_exec(c, control_lock, A_UUID(coop)));
	TRY(control_get(c, coop, id, &k));
	if (k.until <= clock_now())
		TRY(control_end_it(c, coop, &k, "date", (struct uuid){ { 0 } }, k.until));
	return db_commit(c);
}

/* ---- Pledges ---- */

enum err control_pledge_join(struct call *c, struct uuid coop, struct uuid control, bool join, struct control *out)
{
	struct member me;
	TRY(db_begin_in(c, coop, DB_WRITE));
	TRY(db_exec(c, control_lock, A_UUID(coop)));
	TRY(require_member(c, coop, &me));
	if (!in_good_standing(me.state))
		return fail_reason(c, ERR_REFUSED, "not_a_member", "Only current members join a pledge.");
	TRY(control_get(c, coop, control, out));
	if (out->kind != CONTROL_ASSURANCE)
		return fail_reason(c, ERR_STATE, "not_a_pledge", "This control is no pledge: there is nothing to join.");
	if (out->lifted_at != INSTANT_NONE)
		return fail_reason(c, ERR_STATE, "pledge_over", "This pledge is over.");
	if (out->joined == join)
		return db_commit(c);
	TRY(db_exec(c, pledge_insert, A_UUID(coop), A_UUID(control), A_UUID(me.id), A_BOOL(join)));
	TRY(control_get(c, coop, control, out));
	struct str id = uuid_format(c->arena, control);
	TRY(log_act(c, coop, join ? "pledge.joined" : "pledge.left", str_fmt(c->arena, "{\"control\":\"%.*s\",\"joined\":%lld}", STR_ARG(id), (long long)out->pledged),
		(struct uuid){ { 0 } }));
	if (out->pledged >= out->amount) {
		TRY(control_end_it(c, coop, out, "pledge", (struct uuid){ { 0 } }, INSTANT_NONE));
		TRY(control_get(c, coop, control, out));
	}
	return db_commit(c);
}

const struct job_kind control_jobs[] = {
	{ "control.lift", job_lift, 20, 60 },
	JOB_TABLE_END,
};
