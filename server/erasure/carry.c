#include "erasure_internal.h"

#include "commonhold/ledger.h"
#include "commonhold/log.h"
#include "commonhold/mirror.h"
#include "commonhold/pool.h"
#include "commonhold/release.h"
#include "commonhold/tombstone.h"

/* What follows from a request that is effective: written into the rows, tombstones, purged, versions withdrawn, recipients told. Each step is a transaction, or several that may be begun
 * again; what has been done is read from the tables, so that a step that was cut off is done once more and nothing twice. */

SQL(carry_set_marked, "UPDATE erasure SET marked_at = commonhold_now() WHERE coop_id = $1 AND id = $2 AND marked_at IS NULL");
SQL(carry_set_upto, "UPDATE erasure SET purged_upto = $3, first_idx = $4, last_idx = $5 WHERE coop_id = $1 AND id = $2");
SQL(carry_set_key_gone, "UPDATE erasure SET key_gone_at = $3 WHERE coop_id = $1 AND id = $2");
SQL(carry_set_gone, "UPDATE erasure SET key_gone_at = $3, backups_until = $4 WHERE coop_id = $1 AND id = $2");
SQL(carry_ids,
	"SELECT c.id, o.key_name FROM contribution c LEFT JOIN origin_coop o ON o.coop_id = c.coop_id AND o.no = (c.more >> 24) & 255 "
	"WHERE c.coop_id = $1 AND c.item_no = ANY ($2) ORDER BY c.item_no");
SQL(carry_held_insert, "INSERT INTO erasure_held (coop_id, erasure_id, item_no) SELECT $1, $2, unnest($3::bigint[]) ON CONFLICT DO NOTHING");
SQL(carry_held_count, "UPDATE erasure SET n_held = (SELECT count(*) FROM erasure_held h WHERE h.coop_id = $1 AND h.erasure_id = $2) WHERE coop_id = $1 AND id = $2");
/* Held no longer: the bit of the hold (15) is gone. */
SQL(carry_freed,
	"SELECT h.item_no FROM erasure_held h JOIN contribution c ON c.coop_id = h.coop_id AND c.item_no = h.item_no "
	"WHERE h.coop_id = $1 AND h.erasure_id = $2 AND (c.word & 32768) = 0 ORDER BY h.item_no LIMIT $3");
SQL(carry_held_delete, "DELETE FROM erasure_held WHERE coop_id = $1 AND erasure_id = $2 AND item_no = ANY ($3)");
SQL(carry_member_over, "SELECT state IN ('left', 'removed') FROM membership WHERE coop_id = $1 AND id = $2");

#define WAIT_FIRST (5 * CLOCK_SECOND)  /* until files may be gone; longer, the longer it takes */
#define WAIT_LONGEST (10 * CLOCK_MINUTE)

static struct erasure_above above; /* of the domain that knows other co-ops */

void erasure_use_above(const struct erasure_above *fns)
{
	above = *fns;
}

static bool purges(const struct erasure *e)
{
	return e->kind == ERASURE_ERASE || e->kind == ERASURE_CORRECT;
}

/* Locks a request as carrying does: the pool first, as everybody who changes it. */
static enum err take(struct call *c, struct uuid coop, struct uuid id, struct erasure_locked *l)
{
	TRY(db_begin_in(c, coop, DB_WRITE));
	TRY(pool_lock(c, coop));
	return erasure_lock(c, coop, id, l);
}

/* ---- Into the rows ---- */

static enum err step_mark(struct call *c, const struct erasure_locked *l)
{
	if (l->e.kind != ERASURE_EMBARGO && l->e.n_items)
		TRY(pool_withdrawal_mark(c, l->e.coop, l->e.id));
	TRY(db_begin_in(c, l->e.coop, DB_WRITE));
	TRY(db_exec(c, carry_set_marked, A_UUID(l->e.coop), A_UUID(l->e.id)));
	return db_commit(c);
}

/* ---- Group by group ---- */

static enum tombstone_kind tombstone_of(enum erasure_kind k)
{
	static const enum tombstone_kind kinds[ERASURE_KIND_COUNT] = { TOMBSTONE_ERASE, TOMBSTONE_WITHDRAW_FUTURE, TOMBSTONE_EMBARGO, TOMBSTONE_CORRECT };
	return kinds[k];
}

/* `items` ascend, as do the rows. By when holders must have purged: the charter's days, counted from the moment it counts. */
static enum err drafts_of(struct call *c, const struct erasure *e, const struct charter *charter, const int64_t *items, size_t n, const struct release_holding *h, struct tombstone_draft **out)
{
	struct rows r;
	TRY(db_query(c, carry_ids, &r, A_UUID(e->coop), A_I64S(items, n)));
	*out = ARENA_ARRAY(c->arena, n + 1, struct tombstone_draft);
	if ((size_t)r.n != n)
		return fail(c, ERR_CORRUPT, "An item of a request is not in the pool.");
	for (size_t i = 0; i < n; i++) {
		struct str *versions;
		struct tombstone_draft *d = &(*out)[i];
		*d = (struct tombstone_draft){
			.item = row_uuid(&r, (int)i, 0), .home = row_str(&r, (int)i, 1), .kind = tombstone_of(e->kind), .reason_code = e->reason_code, .effective = e->effective_at, .purge_by = e->effective_at + charter->purge_days * CLOCK_DAY,
			.until = e->until, .replacement = e->replacement, .erasure = e->id,
		};
		d->n_releases = release_holding_versions(c->arena, h, i, &versions);
		d->releases = versions;
	}
	return ERR_OK;
}

/* The versions that held one of the group answer 410 when this transaction commits; one without them is made. */
static enum err withdraw_versions(struct call *c, const struct erasure *e, const struct charter *charter, const struct release_holding *h, int64_t from, int64_t upto)
{
	if (h->n == 0 || from < 0)
		return ERR_OK;
	for (size_t i = 0; i < h->n; i++)
		TRY(release_withdraw(c, e->coop, h->releases[i].id, STR("Something in it was deleted at a person's request."), from, upto));
	return release_redact(c, e->coop, duration_add(clock_now(), charter->gather, 1));
}

static enum err purge_group(struct call *c, const struct erasure *e, const int64_t *items, size_t n)
{
	struct pool_purged purged;
	TRY(pool_purge(c, e->coop, items, n, &purged));
	if (purged.n_held == 0)
		return ERR_OK;
	TRY(db_exec(c, carry_held_insert, A_UUID(e->coop), A_UUID(e->id), A_I64S(purged.held, purged.n_held)));
	TRY(db_exec(c, carry_held_count, A_UUID(e->coop), A_UUID(e->id)));
	return erasure_note(c, e, "held", "instance", "The law makes the co-op keep the content of an item; the item itself is in nothing any more.");
}

/* Others are told at once, not only when everything is gone here. */
static enum err tell_above(struct call *c, const struct erasure *e, const struct tombstone_draft *drafts, size_t n)
{
	struct uuid *ids = ARENA_ARRAY(c->arena, n + 1, struct uuid);
	for (size_t i = 0; i < n; i++)
		ids[i] = drafts[i].item;
	return above.appended(c, e, ids, n);
}

/* One transaction: content, salt, derived rows, suppression, tombstones, the withdrawal of versions, and how far it has come. */
static enum err step_group(struct call *c, struct erasure_locked *l, const int64_t *items, size_t n)
{
	struct charter charter;
	struct release_holding holding;
	struct tombstone_draft *drafts;
	int64_t first, last, count, from;
	const struct erasure *e = &l->e;
	TRY(charter_current(c, e->coop, &charter));
	TRY(release_holding(c, e->coop, items, n, &holding));
	TRY(drafts_of(c, e, &charter, items, n, &holding, &drafts)); /* before the purge, which may forget where they come from */
	if (purges(e))
		TRY(purge_group(c, e, items, n));
	TRY(tombstone_append(c, e->coop, drafts, n, &from));
	TRY(tombstone_of_erasure(c, e->coop, e->id, &first, &last, &count));
	if (purges(e))
		TRY(withdraw_versions(c, e, &charter, &holding, from, last));
	TRY(db_exec(c, carry_set_upto, A_UUID(e->coop), A_UUID(e->id), A_I64(items[n - 1]), A_I64(first), A_I64(last)));
	if (above.appended)
		TRY(tell_above(c, e, drafts, n));
	l->purged_upto = items[n - 1];
	return ERR_OK;
}

/* ---- Gone ---- */

/* The key, where nobody will seal anything under it again and nothing sealed under it is left. */
static enum err destroy_key(struct call *c, const struct erasure *e, instant *gone)
{
	struct rows r;
	*gone = e->key_gone_at;
	if (uuid_is_nil(e->member) || e->n_held || *gone != INSTANT_NONE)
		return ERR_OK;
	TRY(db_begin_in(c, e->coop, DB_READ));
	TRY(db_one(c, carry_member_over, &r, A_UUID(e->coop), A_UUID(e->member)));
	bool over = row_bool(&r, 0, 0);
	TRY(db_commit(c));
	if (!over)
		return ERR_OK;
	enum err err = pool_purge_key(c, e->coop, e->member);
	if (err == ERR_STATE) {
		/* Something of theirs is left, which another request is about or nobody asked for. */
		error_clear(&c->error);
		db_rollback(c);
		return ERR_OK;
	}
	TRY(err);
	*gone = clock_now();
	return ERR_OK;
}

/* *done is false while files of withdrawn versions are still there. */
static enum err step_gone(struct call *c, struct uuid coop, struct uuid id, bool *done)
{
	struct erasure_locked l;
	int64_t left = 0;
	instant key_gone;
	TRY(db_begin_in(c, coop, DB_READ));
	TRY(erasure_get(c, coop, id, &l.e));
	if (l.e.last_idx >= 0)
		TRY(release_not_cleared(c, coop, l.e.last_idx, &left));
	TRY(db_commit(c));
	*done = left == 0;
	if (left)
		return ERR_OK;
	TRY(destroy_key(c, &l.e, &key_gone));
	TRY(take(c, coop, id, &l));
	if (l.e.state != ERASURE_EFFECTIVE)
		return db_commit(c);
	struct pool_backups backups = pool_backups_until(clock_now());
	TRY(db_exec(c, carry_set_gone, A_UUID(coop), A_UUID(id), A_TIME(key_gone), A_TIME(key_gone != INSTANT_NONE && backups.keys < backups.content ? backups.keys : backups.content)));
	TRY(erasure_move(c, &l, ERASURE_PURGED, "instance", ""));
	return db_commit(c);
}

/* ---- On to others ---- */

static enum err step_announce(struct call *c, struct uuid coop, struct uuid id)
{
	struct erasure_locked l;
	TRY(take(c, coop, id, &l));
	if (!lifecycle_edge(&erasure_life, l.e.state, ERASURE_PROPAGATING))
		return db_commit(c);
	if (above.announced)
		TRY(above.announced(c, &l.e));
	TRY(mirror_announce(c, coop, id));
	TRY(erasure_move(c, &l, ERASURE_PROPAGATING, "instance", ""));
	return db_commit(c);
}

static enum err complete_run(struct call *c, const struct json *args)
{
	struct erasure_locked l;
	struct uuid coop, id;
	TRY(job_args_read(c, args, "erasure", &coop, &id));
	TRY(take(c, coop, id, &l));
	if (l.e.state == ERASURE_EFFECTIVE || l.e.state == ERASURE_PURGED)
		return fail(c, ERR_RETRY, "%s", err_text(ERR_RETRY)); /* announced in a transaction that is not over yet */
	if (l.e.state != ERASURE_PROPAGATING)
		return db_commit(c);
	TRY(claim_forget(c, coop, id));
	TRY(tell_asker(c, &l.e, "deletion.completed", "Your request is completed",
		purges(&l.e) ? STR("What you asked to be deleted is gone here, and everybody who held a copy was told. The page of your request says who confirmed and who did not.")
			     : STR("Everybody who holds a release was told what you asked for.")));
	TRY(erasure_move(c, &l, ERASURE_COMPLETED, "instance", ""));
	return db_commit(c);
}

/* ---- Held no longer ---- */

static enum err step_freed(struct call *c, struct erasure_locked *l, bool *any)
{
	struct pool_purged purged;
	struct rows r;
	TRY(db_query(c, carry_freed, &r, A_UUID(l->e.coop), A_UUID(l->e.id), A_INT(POOL_PURGE_GROUP)));
	*any = r.n > 0;
	if (r.n == 0)
		return ERR_OK;
	int64_t *items = ARENA_ARRAY(c->arena, (size_t)r.n, int64_t);
	for (int i = 0; i < r.n; i++)
		items[i] = row_int(&r, i, 0);
	TRY(pool_purge(c, l->e.coop, items, (size_t)r.n, &purged));
	TRY(db_exec(c, carry_held_delete, A_UUID(l->e.coop), A_UUID(l->e.id), A_I64S(items, (size_t)r.n)));
	TRY(db_exec(c, carry_held_count, A_UUID(l->e.coop), A_UUID(l->e.id)));
	TRY(erasure_note(c, &l->e, "released", "instance", "A legal hold has ended, and the content that it kept is gone."));
	return erasure_leaf(c, &l->e, "deletion.released");
}

/* The last of what was held is gone: so may the key be. */
static enum err after_freed(struct call *c, struct uuid coop, struct uuid id)
{
	struct erasure e;
	instant gone;
	TRY(db_begin_in(c, coop, DB_READ));
	TRY(erasure_get(c, coop, id, &e));
	TRY(db_commit(c));
	TRY(destroy_key(c, &e, &gone));
	if (gone == e.key_gone_at)
		return ERR_OK;
	TRY(db_begin_in(c, coop, DB_WRITE));
	TRY(db_exec(c, carry_set_key_gone, A_UUID(coop), A_UUID(id), A_TIME(gone)));
	return db_commit(c);
}

/* ---- One step ---- */

/* The next group, or how it goes on when there is none. */
static enum err step_effective(struct call *c, struct erasure_locked *l, bool *more)
{
	int64_t *items = NULL;
	size_t n = 0;
	struct uuid coop = l->e.coop, id = l->e.id;
	if (l->e.n_items)
		TRY(pool_withdrawal_items(c, coop, id, l->purged_upto, POOL_PURGE_GROUP, &items, &n));
	if (n) {
		TRY(step_group(c, l, items, n));
		return db_commit(c);
	}
	TRY(db_commit(c));
	return purges(&l->e) ? step_gone(c, coop, id, more) : step_announce(c, coop, id);
}

static enum err one_step(struct call *c, struct uuid coop, struct uuid id, bool *more)
{
	struct erasure_locked l;
	bool freed = false;
	*more = true;
	TRY(take(c, coop, id, &l));
	if (l.e.n_held && l.e.effective_at != INSTANT_NONE)
		TRY(step_freed(c, &l, &freed));
	if (freed) {
		TRY(db_commit(c));
		return after_freed(c, coop, id);
	}
	switch (l.e.state) {
	case ERASURE_EFFECTIVE:
		if (l.marked)
			return step_effective(c, &l, more);
		TRY(db_commit(c));
		return step_mark(c, &l);
	case ERASURE_PURGED:
		TRY(db_commit(c));
		return step_announce(c, coop, id);
	default:
		*more = false;
		return db_commit(c);
	}
}

enum err erasure_carry_step(struct call *c, struct uuid coop, struct uuid id, bool *more)
{
	struct arena_mark mark = arena_mark(c->arena);
	enum err e = one_step(c, coop, id, more);
	if (e == ERR_OK)
		arena_rewind(c->arena, mark);
	return e;
}

/* Whether it waits for files, and until when to look again. */
static enum err look_again(struct call *c, struct uuid coop, struct uuid id)
{
	struct erasure e;
	TRY(db_begin_in(c, coop, DB_WRITE));
	TRY(erasure_get(c, coop, id, &e));
	if (e.state == ERASURE_EFFECTIVE) {
		instant wait = (clock_now() - e.effective_at) / 4;
		wait = wait < WAIT_FIRST ? WAIT_FIRST : wait > WAIT_LONGEST ? WAIT_LONGEST : wait;
		TRY(erasure_queue_carry(c, coop, id, clock_now() + wait));
	}
	return db_commit(c);
}

static enum err carry_run(struct call *c, const struct json *args)
{
	struct uuid coop, id;
	bool more = true;
	TRY(job_args_read(c, args, "erasure", &coop, &id));
	while (more) {
		TRY(erasure_carry_step(c, coop, id, &more));
		if (c->job && more)
			TRY(job_extend(c));
	}
	return look_again(c, coop, id);
}

const struct job_kind erasure_jobs[] = {
	{ "erasure.carry", carry_run, 20, 300 },
	{ "erasure.complete", complete_run, 20, 60 },
	{ "erasure.account", account_request_run, 20, 300 },
	{ "erasure.daily", erasure_daily_run, 10, 300 },
	{ "appeal.decided", appeal_decided_run, 10, 300 },
	JOB_TABLE_END,
};
