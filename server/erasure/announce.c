/* Announcing: who owes what for an erasure, and who is told that there is something to pull. */
#include "server/erasure/mirror/mirror_internal.h"

SQL(erasure_lies,
	"WITH mine AS (SELECT DISTINCT releases FROM tombstone WHERE coop_id = $1 AND erasure_id = $2 AND kind IN ('erase', 'correct')) "
	"SELECT (SELECT coalesce(min(idx), -1) FROM tombstone WHERE coop_id = $1 AND erasure_id = $2), "
	"(SELECT coalesce(max(idx), -1) FROM tombstone WHERE coop_id = $1 AND erasure_id = $2), "
	"(SELECT max(purge_by) FROM tombstone WHERE coop_id = $1 AND erasure_id = $2), "
	"(SELECT array_agg(DISTINCT v) FROM mine, unnest(mine.releases) v), "
	"(SELECT min(made_at) FROM tombstone WHERE coop_id = $1 AND erasure_id = $2)");
/* Against receipts: what is read next is read after them, and they after what is written. */
SQL(mirrors_lock, "SELECT id FROM mirror WHERE coop_id = $1 ORDER BY id FOR UPDATE");
/* A mirror that had never said what it holds may have held anything; what its account downloaded after it last said counts, too. One that was ended owes for what it had said it holds. The
 * list can be pulled before it is announced: what a mirror said since the tombstones were made ($3), having seen one of them ($4), is taken as it stood before. One
 * that this instance keeps may have been emptied already, since its run begins with the withdrawal: it owes a receipt all the same, and gives it at once. */
SQL(mirrors_concerned,
	"SELECT m.id, m.account_id, m.kind, "
	"array(SELECT v FROM unnest($2::text[]) v WHERE ((m.told_at IS NULL OR (m.told_at >= $3 AND m.seen_upto >= $4)) AND m.state <> 'ended' AND m.public_key IS NOT NULL) "
	"  OR EXISTS (SELECT FROM mirror_holding h JOIN release r ON r.coop_id = h.coop_id AND r.id = h.release_id "
	"    WHERE h.coop_id = m.coop_id AND h.mirror_id = m.id AND r.version = v "
	"    AND (h.gone_at IS NULL OR (h.gone_at >= $3 AND m.seen_upto >= $4) OR (m.public_key IS NULL AND h.gone_at >= r.withdrawn_at))) "
	"  OR (m.state <> 'ended' AND m.public_key IS NOT NULL AND EXISTS (SELECT FROM access_use u JOIN release r ON r.coop_id = u.coop_id AND r.id = u.release_id "
	"    WHERE u.coop_id = m.coop_id AND u.account_id = m.account_id AND r.version = v AND (m.told_at IS NULL OR u.last_at > m.told_at) AND (u.gone_at IS NULL OR u.last_at > u.gone_at)))) "
	"FROM mirror m WHERE m.coop_id = $1 ORDER BY m.id");
SQL(duty_insert,
	"INSERT INTO duty (coop_id, id, erasure_id, kind, mirror_id, grant_id, account_id, first_idx, upto, releases, announced_at, due_at) "
	"VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, commonhold_now(), $11) ON CONFLICT ON CONSTRAINT a_recipient_owes_once_for_an_erasure DO NOTHING");
/* Those who had dealt with it before it was announced: their receipt counts, unless they still hold one of the versions. */
SQL(duty_early,
	"UPDATE duty d SET confirmed_at = commonhold_now(), ended_at = commonhold_now(), method = t.method, receipt_id = t.id "
	"FROM (SELECT DISTINCT ON (mirror_id) mirror_id, id, method FROM receipt WHERE coop_id = $1 AND mirror_id IS NOT NULL AND upto >= $3 ORDER BY mirror_id, seq) t "
	"WHERE d.coop_id = $1 AND d.erasure_id = $2 AND d.mirror_id = t.mirror_id AND d.confirmed_at IS NULL AND NOT EXISTS (SELECT FROM mirror_holding h "
	"  JOIN release r ON r.coop_id = h.coop_id AND r.id = h.release_id WHERE h.coop_id = d.coop_id AND h.mirror_id = d.mirror_id AND h.gone_at IS NULL AND r.version = ANY (d.releases))");
SQL(kept_mirrors, "SELECT id FROM mirror WHERE coop_id = $1 AND kind IN ('s3', 'huggingface') AND state = 'active' ORDER BY id");
SQL(slug_of, "SELECT slug FROM coop WHERE id = $1");

/* One announcement under way. */
struct announcing {
	struct uuid coop, erasure;
	int64_t first, upto;          /* tombstones; -1: there are none */
	instant purge_by;             /* as they say */
	instant since;                /* when the first of them was made, the hour it began in */
	struct str *versions;         /* that held what is to be purged */
	size_t n_versions;
	int purge_days;               /* of the charter */
	struct uuid *told;            /* accounts that get a notice */
	size_t n_told;
	struct uuid *kept_in_step;    /* accounts whose mirror owes, so that their grants need not */
	size_t n_kept;
};

static bool has_account(const struct uuid *list, size_t n, struct uuid account)
{
	for (size_t i = 0; i < n; i++)
		if (uuid_eq(list[i], account))
			return true;
	return false;
}

static enum err owe(struct call *c, const struct announcing *a, const char *kind, struct uuid mirror, struct uuid grant, struct uuid account, const struct str *versions, size_t n,
	instant due)
{
	return db_queue(c, duty_insert, A_UUID(a->coop), A_UUID(uuid_new()), A_UUID(a->erasure), A_Z(kind), A_UUID_OR_NULL(mirror), A_UUID_OR_NULL(grant), A_UUID(account),
		A_I64(a->first), A_I64(a->upto), A_TEXTS(versions, n), A_TIME(due));
}

static enum err owe_mirrors(struct call *c, struct announcing *a)
{
	struct rows r;
	instant soon = clock_now() + a->purge_days * CLOCK_DAY;
	instant due = a->purge_by > clock_now() ? a->purge_by : soon;
	TRY(db_query(c, mirrors_lock, &r, A_UUID(a->coop)));
	TRY(db_query(c, mirrors_concerned, &r, A_UUID(a->coop), A_TEXTS(a->versions, a->n_versions), A_TIME(a->since), A_I64(a->first)));
	a->kept_in_step = ARENA_ARRAY(c->arena, (size_t)r.n + 1, struct uuid);
	a->told = ARENA_ARRAY(c->arena, (size_t)r.n + 1, struct uuid);
	for (int i = 0; i < r.n; i++) {
		struct str *versions;
		size_t n = row_strs(c->arena, &r, i, 3, &versions);
		if (n == 0)
			continue;
		enum mirror_kind kind;
		bool kept = mirror_kind_find(row_str(&r, i, 2), &kind) && mirror_is_kept(kind);
		if (!kept) {
			a->kept_in_step[a->n_kept++] = row_uuid(&r, i, 1);
			a->told[a->n_told++] = row_uuid(&r, i, 1);
		}
		TRY(owe(c, a, "mirror", row_uuid(&r, i, 0), (struct uuid){ { 0 } }, row_uuid(&r, i, 1), versions, n, due));
	}
	return db_exec(c, duty_early, A_UUID(a->coop), A_UUID(a->erasure), A_I64(a->upto));
}

/* Members who downloaded without a grant are asked to delete their copies; they owe no receipt, since they agreed to no terms that say so. */
static enum err owe_grantees(struct call *c, struct announcing *a)
{
	struct access_user *users;
	size_t n;
	TRY(access_users(c, a->coop, a->versions, a->n_versions, (struct uuid){ { 0 } }, &users, &n));
	struct uuid *told = ARENA_ARRAY(c->arena, n + a->n_told + 1, struct uuid);
	if (a->n_told)
		memcpy(told, a->told, a->n_told * sizeof(*told));
	a->told = told;
	for (size_t i = 0; i < n; i++) {
		const struct access_user *u = &users[i];
		if (has_account(a->kept_in_step, a->n_kept, u->account))
			continue;
		a->told[a->n_told++] = u->account;
		if (!uuid_is_nil(u->grant))
			TRY(owe(c, a, "grant", (struct uuid){ { 0 } }, u->grant, u->account, u->versions, u->n_versions, clock_now() + u->purge_days * CLOCK_DAY));
	}
	return ERR_OK;
}

/* At most once a day to each: what is owed is on the page, and the list of tombstones says it all. */
static enum err tell(struct call *c, const struct announcing *a)
{
	struct rows r;
	if (a->n_told == 0)
		return ERR_OK;
	TRY(db_one(c, slug_of, &r, A_UUID(a->coop)));
	struct str slug = row_str(&r, 0, 0), day = str_sub(clock_format(c->arena, clock_now()), 0, 10);
	struct notice n = { .kind = "deletion.announced", .coop = a->coop, .essential = true, .key = str_fmt(c->arena, "%.*s %.*s", STR_ARG(slug), STR_ARG(day)),
		.data = mirror_notice(c->arena, "Delete from your copies what was erased",
			STR("Items were erased from releases that you have downloaded. Get the list of tombstones, delete these items from every copy, and confirm it. The page says by when."), slug) };
	return notify_many(c, &n, a->told, a->n_told);
}

static enum err queue_kept(struct call *c, struct uuid coop, const char *kind)
{
	struct rows r;
	TRY(db_query(c, kept_mirrors, &r, A_UUID(coop)));
	for (int i = 0; i < r.n; i++) {
		struct uuid id = row_uuid(&r, i, 0);
		TRY(job_queue(c, kind, uuid_format(c->arena, id), job_args(c->arena, coop, "mirror", id), clock_now()));
	}
	return ERR_OK;
}

enum err mirror_announce(struct call *c, struct uuid coop, struct uuid erasure)
{
	struct announcing a = { .coop = coop, .erasure = erasure };
	struct charter charter;
	struct rows r;
	TRY(db_one(c, erasure_lies, &r, A_UUID(coop), A_UUID(erasure)));
	a.first = row_int(&r, 0, 0);
	a.upto = row_int(&r, 0, 1);
	a.purge_by = row_time(&r, 0, 2);
	a.n_versions = row_strs(c->arena, &r, 0, 3, &a.versions);
	a.since = row_time(&r, 0, 4);
	if (a.n_versions) {
		TRY(charter_current(c, coop, &charter));
		a.purge_days = charter.purge_days;
		TRY(owe_mirrors(c, &a));
		TRY(owe_grantees(c, &a));
		TRY(tell(c, &a));
		TRY(mirror_measure(c, coop));
		TRY(queue_kept(c, coop, "adapter.redact"));
	}
	if (a.upto >= 0)
		TRY(push_news(c, coop, (struct uuid){ { 0 } }));
	return duty_settle(c, coop, &erasure, 1);
}

enum err mirror_published(struct call *c, struct uuid coop, struct uuid release)
{
	struct release r;
	TRY(release_read(c, coop, release, &r));
	if (r.state != RELEASE_PUBLISHED)
		return ERR_OK;
	TRY(db_begin_in(c, coop, DB_WRITE));
	TRY(queue_kept(c, coop, "adapter.publish"));
	TRY(push_news(c, coop, (struct uuid){ { 0 } }));
	return db_commit(c);
}
