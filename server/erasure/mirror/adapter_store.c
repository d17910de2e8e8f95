/* What a run has got done, told to the database before the next step begins. */
#include "adapter_internal.h"

#include "commonhold/access.h"
#include "commonhold/json.h"
#include "commonhold/mirror.h"
#include "commonhold/tombstone.h"

#define REDACTION_WAIT (60 * CLOCK_MINUTE) /* how long withdrawn files are kept for what comes in their place to be copied from */

SQL(target_load,
	"SELECT " ADAPTER_TARGET_COLUMNS ", t.credentials, t.latest_etag, t.ending, m.state <> 'active' FROM adapter_target t JOIN mirror m ON m.coop_id = t.coop_id AND m.id = t.mirror_id"
	" WHERE t.coop_id = $1 AND t.mirror_id = $2");
SQL(copies_there,
	"SELECT release_id, state, revision, begun_at FROM adapter_copy WHERE coop_id = $1 AND mirror_id = $2 AND state <> 'erased' ORDER BY begun_at, version");
SQL(newest_release, "SELECT id FROM release WHERE coop_id = $1 AND state = 'published' ORDER BY published_at DESC LIMIT 1");
SQL(is_owing, "SELECT EXISTS (SELECT FROM duty WHERE coop_id = $1 AND mirror_id = $2 AND confirmed_at IS NULL AND upto <= $3)");
SQL(checks_made,
	"SELECT coalesce(json_agg(json_build_object('asked', checked::json -> 'asked', 'erased_at', to_char(erased_at AT TIME ZONE 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS\"Z\"'), 'version', version) ORDER BY erased_at), '[]')::text"
	" FROM (SELECT * FROM adapter_copy WHERE coop_id = $1 AND mirror_id = $2 AND state = 'erased' ORDER BY erased_at DESC LIMIT 20) c");
SQL(copy_begin,
	"INSERT INTO adapter_copy (coop_id, mirror_id, release_id, version, state, begun_at) VALUES ($1, $2, $3, $4, 'uploading', commonhold_now())"
	" ON CONFLICT (coop_id, mirror_id, release_id) DO UPDATE SET state = 'uploading', begun_at = commonhold_now(), erased_at = NULL, checked = NULL, revision = NULL, published_at = NULL"
	" WHERE adapter_copy.state = 'erased'");
SQL(files_begin,
	"INSERT INTO adapter_file (coop_id, mirror_id, release_id, path, size, sha256) SELECT $1, $2, $3, f.path, f.size, f.sha256"
	" FROM unnest($4::text[], $5::bigint[], $6::bytea[]) f (path, size, sha256) ON CONFLICT DO NOTHING");
SQL(files_of_copy, "SELECT path, size, sha256, upload_id, part_bytes, etag, done_at IS NOT NULL FROM adapter_file WHERE coop_id = $1 AND mirror_id = $2 AND release_id = $3 ORDER BY path COLLATE \"C\"");
SQL(file_upload, "UPDATE adapter_file SET upload_id = $5, part_bytes = $6, etag = NULL, done_at = NULL WHERE coop_id = $1 AND mirror_id = $2 AND release_id = $3 AND path = $4");
SQL(parts_forget, "DELETE FROM adapter_part WHERE coop_id = $1 AND mirror_id = $2 AND release_id = $3 AND path = $4");
SQL(part_put,
	"INSERT INTO adapter_part (coop_id, mirror_id, release_id, path, no, etag, sha256) VALUES ($1, $2, $3, $4, $5, $6, $7)"
	" ON CONFLICT (coop_id, mirror_id, release_id, path, no) DO UPDATE SET etag = excluded.etag, sha256 = excluded.sha256");
SQL(parts_of_file, "SELECT no, etag, sha256 FROM adapter_part WHERE coop_id = $1 AND mirror_id = $2 AND release_id = $3 AND path = $4 ORDER BY no");
SQL(file_done,
	"UPDATE adapter_file SET etag = $5, done_at = CASE WHEN $5::text IS NOT NULL THEN commonhold_now() END, upload_id = NULL, part_bytes = NULL"
	" WHERE coop_id = $1 AND mirror_id = $2 AND release_id = $3 AND path = $4");
SQL(file_same,
	"SELECT p.version, f.path, f.etag FROM adapter_file f JOIN adapter_copy p ON p.coop_id = f.coop_id AND p.mirror_id = f.mirror_id AND p.release_id = f.release_id"
	" WHERE f.coop_id = $1 AND f.mirror_id = $2 AND f.sha256 = $3 AND f.size = $4 AND f.done_at IS NOT NULL AND p.release_id <> $5 AND p.state <> 'erased' ORDER BY p.begun_at DESC, f.path LIMIT 1");
SQL(copy_published,
	"UPDATE adapter_copy SET state = 'published', published_at = coalesce(published_at, commonhold_now()), revision = $4 WHERE coop_id = $1 AND mirror_id = $2 AND release_id = $3");
SQL(files_all_done, "UPDATE adapter_file SET done_at = commonhold_now() WHERE coop_id = $1 AND mirror_id = $2 AND release_id = $3 AND done_at IS NULL");
SQL(latest_set, "UPDATE adapter_target SET latest = $3, latest_etag = $4 WHERE coop_id = $1 AND mirror_id = $2");
SQL(copy_erasing, "UPDATE adapter_copy SET state = 'erasing' WHERE coop_id = $1 AND mirror_id = $2 AND release_id = $3 AND state <> 'erased'");
SQL(copy_erased,
	"UPDATE adapter_copy SET state = 'erased', erased_at = commonhold_now(), checked = $4 WHERE coop_id = $1 AND mirror_id = $2 AND release_id = $3");
SQL(files_forget, "DELETE FROM adapter_file WHERE coop_id = $1 AND mirror_id = $2 AND release_id = $3");
SQL(state_set,
	"UPDATE adapter_target SET state = $3, error = $4, attempts = $5, next_at = $6, run_at = CASE WHEN $3 = 'working' THEN run_at ELSE commonhold_now() END"
	" WHERE coop_id = $1 AND mirror_id = $2");
SQL(target_forget, "DELETE FROM adapter_target WHERE coop_id = $1 AND mirror_id = $2 AND ending");

#define OF_COPY(run, v) A_UUID((run)->t.coop), A_UUID((run)->t.mirror), A_UUID((v)->release.id)

static enum err credentials_open(struct adapter_run *run, struct str sealed)
{
	struct call *c = run->c;
	struct str plain;
	const struct json *tree;
	if (!instance_keys() || !unseal(c->arena, instance_seal_key(instance_keys()), adapter_seal_context(c->arena, run->t.coop, run->t.mirror), sealed, &plain))
		return fail(c, ERR_CORRUPT, "The credentials of a target cannot be opened: they were sealed under another key of the instance.");
	TRY(json_parse(c->arena, plain, &tree, &c->error));
	run->credentials = (struct adapter_credentials){ json_member_text(tree, "key_id"), json_member_text(tree, "secret") };
	return ERR_OK;
}

enum err adapter_store_load(struct adapter_run *run)
{
	struct call *c = run->c;
	struct rows r;
	TRY(db_begin_in(c, run->t.coop, DB_READ));
	TRY(db_one(c, target_load, &r, A_UUID(run->t.coop), A_UUID(run->t.mirror)));
	TRY(db_commit(c));
	adapter_target_read(&run->t, &r, 0);
	run->latest_etag = row_str(&r, 0, ADAPTER_TARGET_N + 1);
	run->ending = row_bool(&r, 0, ADAPTER_TARGET_N + 2);
	run->suspended = row_bool(&r, 0, ADAPTER_TARGET_N + 3);
	return credentials_open(run, row_bytes(&r, 0, ADAPTER_TARGET_N));
}

/* ---- the plan ---- */

/* Whether a release may be where so many can read it: those it was decided for, and those the charter says by now, are all that may. */
static enum err fits(struct adapter_run *run, const struct release *release, bool *out)
{
	struct access_offer offer;
	TRY(access_offer_of(run->c, run->t.coop, release, &offer));
	*out = run->t.audience <= offer.audience;
	return ERR_OK;
}

static enum err plan_copy(struct adapter_run *run, const struct rows *r, int i, struct adapter_version *v)
{
	bool fitting = false;
	TRY(release_get(run->c, run->t.coop, row_uuid(r, i, 0), &v->release));
	v->state = (enum adapter_copy_state)adapter_copy_state_find(row_str(r, i, 1));
	v->revision = row_str(r, i, 2);
	v->begun_at = row_time(r, i, 3);
	TRY(fits(run, &v->release, &fitting));
	bool usable = v->release.state == RELEASE_PUBLISHED || v->release.state == RELEASE_SUPERSEDED;
	v->doomed = run->ending || !usable || !fitting;
	return ERR_OK;
}

static bool is_there(const struct adapter_plan *p, struct uuid release)
{
	for (size_t i = 0; i < p->n; i++)
		if (uuid_eq(p->copies[i].release.id, release) && p->copies[i].state == ADAPTER_COPY_PUBLISHED && !p->copies[i].doomed)
			return true;
	return false;
}

/* What withdrawn versions wait for: their own redaction, as long as nobody has found that there can be none. */
static void plan_waiting(const struct adapter_run *run, struct adapter_plan *p, const struct release *newest)
{
	for (size_t i = 0; i < p->n && !run->ending; i++) {
		const struct release *r = &p->copies[i].release;
		bool awaited = r->state == RELEASE_WITHDRAWN && r->tombstones_upto >= 0 && r->cleared_at == INSTANT_NONE && r->withdrawn_at != INSTANT_NONE;
		if (!awaited || (newest && newest->published_at > r->withdrawn_at))
			continue;
		instant until = r->withdrawn_at + REDACTION_WAIT;
		p->waits = p->waits || until > clock_now();
		p->waits_until = until > p->waits_until ? until : p->waits_until;
	}
}

static enum err plan_newest(struct adapter_run *run, struct adapter_plan *p)
{
	struct call *c = run->c;
	struct rows r;
	struct release newest;
	bool fitting = false;
	TRY(db_query(c, newest_release, &r, A_UUID(run->t.coop)));
	if (r.n)
		TRY(release_get(c, run->t.coop, row_uuid(&r, 0, 0), &newest));
	plan_waiting(run, p, r.n ? &newest : NULL);
	if (!r.n || run->ending || run->suspended || is_there(p, newest.id))
		return ERR_OK;
	TRY(fits(run, &newest, &fitting));
	if (!fitting)
		return adapter_fail(run, true, "More people could read release %.*s there than it was decided for: the target is read by \"%s\".", STR_ARG(newest.version),
			policy_audience_name(run->t.audience));
	p->newest.release = newest;
	return ERR_OK;
}

enum err adapter_store_plan(struct adapter_run *run, struct adapter_plan *out)
{
	struct call *c = run->c;
	struct rows r;
	*out = (struct adapter_plan){ .upto = -1 };
	TRY(db_begin_in(c, run->t.coop, DB_READ));
	TRY(db_query(c, copies_there, &r, A_UUID(run->t.coop), A_UUID(run->t.mirror)));
	out->n = (size_t)r.n;
	out->copies = ARENA_ARRAY(c->arena, out->n, struct adapter_version);
	for (int i = 0; i < r.n; i++) {
		TRY(plan_copy(run, &r, i, &out->copies[i]));
		out->n_doomed += out->copies[i].doomed;
	}
	TRY(tombstone_upto(c, run->t.coop, &out->upto, NULL));
	TRY(db_one(c, is_owing, &r, A_UUID(run->t.coop), A_UUID(run->t.mirror), A_I64(out->upto)));
	out->owes = row_bool(&r, 0, 0);
	/* A refusal of what is new leaves what has to go: it is told once that is done. */
	enum err e = plan_newest(run, out);
	if (e != ERR_OK && !run->remote)
		return e;
	TRY(db_commit(c));
	return e;
}

/* ---- a version on its way ---- */

enum err adapter_store_files(struct adapter_run *run, struct adapter_version *v)
{
	struct call *c = run->c;
	struct rows r;
	TRY(db_begin_in(c, run->t.coop, DB_READ));
	TRY(db_finish(c, files_of_copy, &r, OF_COPY(run, v)));
	v->n_files = (size_t)r.n;
	v->files = ARENA_ARRAY(c->arena, v->n_files, struct adapter_file);
	for (int i = 0; i < r.n; i++)
		v->files[i] = (struct adapter_file){ .path = row_str(&r, i, 0), .size = row_int(&r, i, 1), .sha256 = sha256_load(row_bytes(&r, i, 2)), .upload_id = row_str(&r, i, 3),
			.part_bytes = row_int(&r, i, 4), .etag = row_str(&r, i, 5), .done = row_bool(&r, i, 6) };
	return ERR_OK;
}

enum err adapter_store_begin(struct adapter_run *run, struct adapter_version *v)
{
	struct call *c = run->c;
	struct release_file *files;
	size_t n;
	TRY(access_files(c, run->t.coop, &v->release, &files, &n));
	struct str *paths = ARENA_ARRAY(c->arena, n, struct str), *digests = ARENA_ARRAY(c->arena, n, struct str);
	int64_t *sizes = ARENA_ARRAY(c->arena, n, int64_t);
	for (size_t i = 0; i < n; i++) {
		paths[i] = files[i].path;
		sizes[i] = files[i].size;
		digests[i] = str_make(files[i].sha256.b, sizeof(files[i].sha256.b));
	}
	TRY(db_begin_in(c, run->t.coop, DB_WRITE));
	TRY(db_exec(c, copy_begin, OF_COPY(run, v), A_STR(v->release.version)));
	TRY(db_exec(c, files_begin, OF_COPY(run, v), A_TEXTS(paths, n), A_I64S(sizes, n), A_BYTEAS(digests, n)));
	TRY(mirror_put(c, run->t.coop, run->t.mirror, v->release.id));
	TRY(db_commit(c));
	return adapter_store_files(run, v);
}

enum err adapter_store_still(struct adapter_run *run, const struct adapter_version *v)
{
	struct call *c = run->c;
	struct release r;
	bool fitting = false;
	TRY(db_begin_in(c, run->t.coop, DB_READ));
	TRY(release_get(c, run->t.coop, v->release.id, &r));
	TRY(fits(run, &r, &fitting));
	TRY(db_commit(c));
	bool usable = r.state == RELEASE_PUBLISHED || r.state == RELEASE_SUPERSEDED;
	return usable && fitting ? ERR_OK : adapter_fail(run, false, "Release %.*s was withdrawn while it went up.", STR_ARG(v->release.version));
}

enum err adapter_store_upload(struct adapter_run *run, const struct adapter_version *v, struct adapter_file *f, struct str upload_id, int64_t part_bytes)
{
	struct call *c = run->c;
	TRY(db_begin_in(c, run->t.coop, DB_WRITE));
	TRY(db_queue(c, parts_forget, OF_COPY(run, v), A_STR(f->path)));
	TRY(db_finish(c, file_upload, NULL, OF_COPY(run, v), A_STR(f->path), A_STR(upload_id), upload_id.p ? A_I64(part_bytes) : (struct db_arg){ .type = DB_INT8, .null = true }));
	f->upload_id = upload_id;
	f->part_bytes = upload_id.p ? part_bytes : 0;
	return ERR_OK;
}

enum err adapter_store_part(struct adapter_run *run, const struct adapter_version *v, const struct adapter_file *f, const struct adapter_part *p)
{
	struct call *c = run->c;
	run->further = true;
	TRY(db_begin_in(c, run->t.coop, DB_WRITE));
	return db_finish(c, part_put, NULL, OF_COPY(run, v), A_STR(f->path), A_INT(p->no), A_STR(p->etag), A_BYTES(str_make(p->sha256.b, sizeof(p->sha256.b))));
}

enum err adapter_store_parts(struct adapter_run *run, const struct adapter_version *v, const struct adapter_file *f, struct adapter_part **out, size_t *n)
{
	struct call *c = run->c;
	struct rows r;
	TRY(db_begin_in(c, run->t.coop, DB_READ));
	TRY(db_finish(c, parts_of_file, &r, OF_COPY(run, v), A_STR(f->path)));
	*n = (size_t)r.n;
	*out = ARENA_ARRAY(c->arena, *n, struct adapter_part);
	for (int i = 0; i < r.n; i++)
		(*out)[i] = (struct adapter_part){ (int)row_int(&r, i, 0), row_str(&r, i, 1), sha256_load(row_bytes(&r, i, 2)) };
	return ERR_OK;
}

enum err adapter_store_done(struct adapter_run *run, const struct adapter_version *v, struct adapter_file *f, struct str etag)
{
	struct call *c = run->c;
	TRY(db_begin_in(c, run->t.coop, DB_WRITE));
	TRY(db_queue(c, parts_forget, OF_COPY(run, v), A_STR(f->path)));
	TRY(db_finish(c, file_done, NULL, OF_COPY(run, v), A_STR(f->path), A_STR(etag)));
	f->etag = etag;
	f->done = etag.p != NULL;
	f->upload_id = STR_NONE;
	run->further = run->further || f->done;
	return ERR_OK;
}

enum err adapter_store_same(struct adapter_run *run, const struct adapter_version *v, const struct adapter_file *f, struct str *version, struct str *path, struct str *etag)
{
	struct call *c = run->c;
	struct rows r;
	TRY(db_begin_in(c, run->t.coop, DB_READ));
	TRY(db_finish(c, file_same, &r, A_UUID(run->t.coop), A_UUID(run->t.mirror), A_BYTES(str_make(f->sha256.b, sizeof(f->sha256.b))), A_I64(f->size), A_UUID(v->release.id)));
	if (r.n == 0)
		return ERR_NOT_FOUND;
	*version = row_str(&r, 0, 0);
	*path = row_str(&r, 0, 1);
	*etag = row_str(&r, 0, 2);
	return ERR_OK;
}

enum err adapter_store_published(struct adapter_run *run, struct adapter_version *v, struct str revision)
{
	struct call *c = run->c;
	TRY(db_begin_in(c, run->t.coop, DB_WRITE));
	TRY(db_queue(c, files_all_done, OF_COPY(run, v)));
	TRY(db_finish(c, copy_published, NULL, OF_COPY(run, v), A_STR(revision)));
	v->revision = revision;
	v->state = ADAPTER_COPY_PUBLISHED;
	run->further = true;
	return ERR_OK;
}

enum err adapter_store_latest(struct adapter_run *run, struct str version, struct str etag)
{
	struct call *c = run->c;
	TRY(db_begin_in(c, run->t.coop, DB_WRITE));
	TRY(db_finish(c, latest_set, NULL, A_UUID(run->t.coop), A_UUID(run->t.mirror), A_STR(version), A_STR(etag)));
	run->t.latest = version;
	run->latest_etag = etag;
	return ERR_OK;
}

/* ---- a version on its way out ---- */

enum err adapter_store_erasing(struct adapter_run *run, const struct adapter_plan *p)
{
	struct call *c = run->c;
	TRY(db_begin_in(c, run->t.coop, DB_WRITE));
	for (size_t i = 0; i < p->n; i++)
		if (p->copies[i].doomed)
			TRY(db_queue(c, copy_erasing, OF_COPY(run, &p->copies[i])));
	return db_commit(c);
}

static struct str checked_text(struct adapter_run *run)
{
	return str_fmt(run->c->arena, "{\"asked\":[%.*s]}", STR_ARG(buf_str(&run->checked)));
}

/* What was checked goes into the receipt: of each version that is gone from there. */
static enum err receipt(struct adapter_run *run, int64_t upto)
{
	struct call *c = run->c;
	struct rows r;
	struct buf b;
	const struct json *tree;
	TRY(db_one(c, checks_made, &r, A_UUID(run->t.coop), A_UUID(run->t.mirror)));
	TRY(json_parse(c->arena, row_str(&r, 0, 0), &tree, &c->error));
	buf_init(&b, 4 * MIB);
	json_canonical(&b, tree, false);
	return receipt_of_adapter(c, run->t.coop, run->t.mirror, upto, buf_take(c->arena, &b));
}

enum err adapter_store_erased(struct adapter_run *run, const struct adapter_plan *p)
{
	struct call *c = run->c;
	struct str checked = checked_text(run);
	TRY(db_begin_in(c, run->t.coop, DB_WRITE));
	for (size_t i = 0; i < p->n; i++) {
		if (!p->copies[i].doomed)
			continue;
		TRY(db_queue(c, copy_erased, OF_COPY(run, &p->copies[i]), A_STR(checked)));
		TRY(db_queue(c, files_forget, OF_COPY(run, &p->copies[i])));
		TRY(mirror_took_away(c, run->t.coop, run->t.mirror, p->copies[i].release.id));
	}
	if (p->upto >= 0)
		TRY(receipt(run, p->upto));
	TRY(db_commit(c));
	run->further = true;
	return ERR_OK;
}

/* ---- the target ---- */

enum err adapter_store_state(struct adapter_run *run, enum adapter_state state, struct str error, int attempts, instant next_at)
{
	struct call *c = run->c;
	TRY(db_begin_in(c, run->t.coop, DB_WRITE));
	return db_finish(c, state_set, NULL, A_UUID(run->t.coop), A_UUID(run->t.mirror), A_Z(adapter_state_name(state)), A_STR(error), A_INT(attempts), A_TIME(next_at));
}

enum err adapter_store_end(struct adapter_run *run)
{
	struct call *c = run->c;
	TRY(db_begin_in(c, run->t.coop, DB_WRITE));
	return db_finish(c, target_forget, NULL, A_UUID(run->t.coop), A_UUID(run->t.mirror));
}
