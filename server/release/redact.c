/* From a withdrawn release to one without what was erased, and the end of the withdrawn one's data. Each step may be the last before a crash: what is next is read from the database. */
#include "commonhold/log.h"
#include "commonhold/tombstone.h"

#include "joint_internal.h"

#include <unistd.h>

SQL(redaction_begun, "SELECT id FROM release WHERE coop_id = $1 AND state = 'redacting'");
SQL(redaction_insert,
	"INSERT INTO release (coop_id, id, charter, cutoff_at, state, state_at, spec, seed, frozen_at, candidates, included, contributors, candidates_sha256, ballot_id, build_after, redacts_id, joint_id) "
	"SELECT coop_id, $3, charter, cutoff_at, 'redacting', commonhold_now(), spec, seed, frozen_at, candidates, included, contributors, candidates_sha256, ballot_id, $4, id, joint_id "
	"FROM release WHERE coop_id = $1 AND id = $2");
SQL(redaction_event, "INSERT INTO release_event (coop_id, release_id, from_state, to_state, at, reason) VALUES ($1, $2, NULL, 'redacting', commonhold_now(), $3)");
SQL(release_set_failure, "UPDATE release SET failure = $3 WHERE coop_id = $1 AND id = $2");
SQL(releases_to_clear,
	"SELECT id FROM release WHERE coop_id = $1 AND state = 'withdrawn' AND tombstones_from IS NOT NULL AND cleared_at IS NULL ORDER BY leaf");
SQL(release_set_cleared, "UPDATE release SET cleared_at = commonhold_now() WHERE coop_id = $1 AND id = $2");
SQL(items_withdrawn_for,
	"SELECT DISTINCT c.item_no FROM tombstone t JOIN contribution c ON c.coop_id = t.coop_id AND c.id = t.contribution_id "
	"WHERE t.coop_id = $1 AND t.idx BETWEEN $2 AND $3 AND t.kind IN ('erase', 'correct') AND $4 = ANY (t.releases) ORDER BY c.item_no");
SQL(redactions_overdue,
	"SELECT count(*) FROM release WHERE coop_id = $1 AND state = 'withdrawn' AND tombstones_from IS NOT NULL AND cleared_at IS NULL AND withdrawn_at < $2");
SQL(coop_ids, "SELECT id FROM coop ORDER BY id");

enum err release_redact(struct call *c, struct uuid coop, instant due)
{
	/* One line of releases a co-op: its job is named after the co-op. */
	return job_queue(c, "release.redact", uuid_format(c->arena, coop), job_args(c->arena, coop, "line", coop), due);
}

/* ---- the redaction ---- */

/* Whether a redaction is to be made from the release: it was withdrawn for tombstones, and not found to leave too little. */
static bool wants_redaction(const struct release *r)
{
	return r->state == RELEASE_WITHDRAWN && r->tombstones_from >= 0 && !r->failure.p;
}

/* The last release ever published, if a redaction is to be made from it. Inside. */
static enum err find_base(struct call *c, struct uuid coop, struct release *base, bool *any)
{
	enum err e = release_last_published(c, coop, base);
	*any = e == ERR_OK && wants_redaction(base);
	if (e == ERR_NOT_FOUND)
		error_clear(&c->error);
	return e == ERR_NOT_FOUND ? ERR_OK : e;
}

static enum err redaction_new(struct call *c, const struct release *base, struct release *out)
{
	struct uuid id = uuid_new();
	instant now = clock_now_whole(CLOCK_SECOND);
	TRY(db_exec(c, redaction_insert, A_UUID(base->coop), A_UUID(base->id), A_UUID(id), A_TIME(now)));
	TRY(db_exec(c, redaction_event, A_UUID(base->coop), A_UUID(id), A_Z("Items of an earlier release were erased: one without them is being built.")));
	struct str text = uuid_format(c->arena, id);
	TRY(ledger_append(c, base->coop, &(struct leaf){ .type = "release.redacting",
		.data = str_fmt(c->arena, "{\"redacts\":\"%.*s\",\"release\":\"%.*s\"}", STR_ARG(base->version), STR_ARG(text)) }, NULL));
	return release_get(c, base->coop, id, out);
}

/* The redaction that was begun, or a new one if one is due. */
static enum err begin(struct call *c, struct uuid coop, struct release *r, struct release *base, bool *go)
{
	struct rows begun;
	TRY(db_begin_in(c, coop, DB_WRITE));
	TRY(ledger_lock(c, coop));
	TRY(db_query(c, redaction_begun, &begun, A_UUID(coop)));
	*go = begun.n > 0;
	if (*go) {
		TRY(release_get(c, coop, row_uuid(&begun, 0, 0), r));
		TRY(release_get(c, coop, r->redacts, base));
		return db_commit(c);
	}
	TRY(find_base(c, coop, base, go));
	if (*go)
		TRY(redaction_new(c, base, r));
	return db_commit(c);
}

/* There will be no redaction of this release; why is said where somebody looks for one. */
static enum err end_without(struct call *c, const struct release *r, const struct release *base, enum release_state to, const char *why)
{
	struct release locked;
	TRY(db_begin_in(c, r->coop, DB_WRITE));
	TRY(release_take(c, r->coop, r->id, &locked));
	if (locked.state != RELEASE_REDACTING)
		return db_commit(c);
	TRY(release_move(c, &locked, to, STR_NONE));
	TRY(db_exec(c, release_set_failure, A_UUID(r->coop), A_UUID(r->id), A_Z(why)));
	if (to == RELEASE_FAILED)
		TRY(db_exec(c, release_set_failure, A_UUID(base->coop), A_UUID(base->id), A_Z(why)));
	TRY(db_commit(c));
	return release_remove_tree(c, release_staging_dir(c->arena, r->coop, r->id));
}

static enum err redact(struct call *c, struct uuid coop)
{
	struct release r, base;
	enum build_end end;
	bool go;
	TRY(begin(c, coop, &r, &base, &go));
	if (!go)
		return ERR_OK;
	TRY(build_and_publish(c, &r, &base, &end));
	if (end == BUILD_WAITING) {
		TRY(db_begin_in(c, coop, DB_WRITE));
		TRY(release_redact(c, coop, r.build_after + JOINT_REDACTION_WAITS));
		return db_commit(c);
	}
	if (end == BUILD_TOO_LITTLE)
		return end_without(c, &r, &base, RELEASE_FAILED,
			"Without what was erased it would be of fewer people than a release must be of. No version takes its place until the next release.");
	return end == BUILD_OVERTAKEN ? end_without(c, &r, &base, RELEASE_CANCELLED, "A newer release, without what was erased, was published first.") : ERR_OK;
}

/* ---- the end of the data ---- */

/* No usable version may hold what this one was withdrawn for: shards that both link would keep it. Inside. */
static enum err nobody_holds(struct call *c, const struct release *r)
{
	struct rows items;
	struct release_holding holding;
	TRY(db_query(c, items_withdrawn_for, &items, A_UUID(r->coop), A_I64(r->tombstones_from), A_I64(r->tombstones_upto), A_STR(r->version)));
	int64_t *numbers = ARENA_ARRAY(c->arena, (size_t)items.n, int64_t);
	for (int i = 0; i < items.n; i++)
		numbers[i] = row_int(&items, i, 0);
	TRY(release_holding(c, r->coop, numbers, (size_t)items.n, &holding));
	for (size_t i = 0; i < holding.n; i++)
		if (holding.releases[i].state != RELEASE_WITHDRAWN)
			return fail(c, ERR_RETRY, "Version %.*s is not withdrawn, but holds what version %.*s was withdrawn for.", STR_ARG(holding.releases[i].version), STR_ARG(r->version));
	return ERR_OK;
}

/* Whether the data may go: not while a redaction is to be made from them. Inside. */
static enum err may_clear(struct call *c, const struct release *r, bool *may)
{
	struct release base;
	struct rows begun;
	bool any;
	TRY(db_query(c, redaction_begun, &begun, A_UUID(r->coop)));
	TRY(find_base(c, r->coop, &base, &any));
	*may = r->state == RELEASE_WITHDRAWN && begun.n == 0 && !(any && uuid_eq(base.id, r->id));
	return *may ? nobody_holds(c, r) : ERR_OK;
}

static enum err clear_note(struct call *c, struct release *r)
{
	struct str id = uuid_format(c->arena, r->id);
	TRY(db_begin_in(c, r->coop, DB_WRITE));
	TRY(ledger_lock(c, r->coop));
	TRY(release_take(c, r->coop, r->id, r));
	if (r->cleared_at != INSTANT_NONE)
		return db_commit(c);
	TRY(db_exec(c, release_set_cleared, A_UUID(r->coop), A_UUID(r->id)));
	TRY(ledger_append(c, r->coop, &(struct leaf){ .type = "release.cleared",
		.data = str_fmt(c->arena, "{\"release\":\"%.*s\",\"version\":\"%.*s\"}", STR_ARG(id), STR_ARG(r->version)) }, NULL));
	return db_commit(c);
}

static enum err clear(struct call *c, struct uuid coop, struct uuid release, bool *may)
{
	struct release r;
	TRY(db_begin_in(c, coop, DB_READ));
	TRY(release_get(c, coop, release, &r));
	TRY(may_clear(c, &r, may));
	TRY(db_commit(c));
	if (!*may || r.cleared_at != INSTANT_NONE)
		return ERR_OK;
	struct str dir = release_dir(c->arena, coop, release);
	TRY(release_remove_tree(c, str_fmt(c->arena, "%.*s/data", STR_ARG(dir))));
	TRY(release_remove_tree(c, str_fmt(c->arena, "%.*s/media", STR_ARG(dir))));
	TRY(clear_note(c, &r));
	log_event(LOG_INFO, "release.cleared", LOG_S("release", uuid_format(c->arena, release)), LOG_S("version", r.version));
	return ERR_OK;
}

enum err release_clear(struct call *c, struct uuid coop, struct uuid release)
{
	bool may;
	TRY(clear(c, coop, release, &may));
	return may ? ERR_OK : fail(c, ERR_STATE, "The data of this release are still needed.");
}

enum err release_redact_now(struct call *c, struct uuid coop)
{
	struct rows r;
	bool may;
	TRY(redact(c, coop));
	TRY(db_begin_in(c, coop, DB_READ));
	TRY(db_query(c, releases_to_clear, &r, A_UUID(coop)));
	TRY(db_commit(c));
	for (int i = 0; i < r.n; i++)
		TRY(clear(c, coop, row_uuid(&r, i, 0), &may));
	return ERR_OK;
}

/* ---- what is late ---- */

static enum err overdue_in(struct call *c, struct uuid coop, int64_t *n)
{
	struct charter charter;
	struct rows r;
	TRY(db_begin_in(c, coop, DB_READ));
	TRY(charter_current(c, coop, &charter));
	TRY(db_finish(c, redactions_overdue, &r, A_UUID(coop), A_TIME(duration_add(clock_now(), charter.redact_within, -1))));
	*n += row_int(&r, 0, 0);
	return ERR_OK;
}

enum err release_redactions_overdue(struct call *c, int64_t *n)
{
	struct rows coops;
	*n = 0;
	TRY(db_begin(c, DB_READ));
	TRY(db_finish0(c, coop_ids, &coops));
	for (int i = 0; i < coops.n; i++) {
		struct uuid coop = row_uuid(&coops, i, 0);
		struct arena_mark mark = arena_mark(c->arena);
		TRY(overdue_in(c, coop, n));
		arena_rewind(c->arena, mark);
	}
	return ERR_OK;
}
