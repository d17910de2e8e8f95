#include "commonhold/config.h"
#include "commonhold/log.h"
#include "commonhold/verify.h"

#include "joint_internal.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <sys/stat.h>
#include <unistd.h>

#define BUILD_WITHIN (90 * CLOCK_DAY) /* governance.md: a release that passed expires after 90 days */

SQL(release_set_built,
	"UPDATE release SET version = $3, manifest_sha256 = $4, built_items = $5, previous_id = $6, published_at = commonhold_now() WHERE coop_id = $1 AND id = $2");
SQL(release_set_leaf, "UPDATE release SET leaf = $3 WHERE coop_id = $1 AND id = $2");
SQL(release_set_failure, "UPDATE release SET failure = $3 WHERE coop_id = $1 AND id = $2");
SQL(files_clear, "DELETE FROM release_file WHERE coop_id = $1 AND release_id = $2");
SQL(file_insert,
	"INSERT INTO release_file (coop_id, release_id, path, size, sha256, raw_size, raw_sha256, rows, rids_root, input_sha256) "
	"VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)");

struct str release_dir(struct arena *a, struct uuid coop, struct uuid release)
{
	struct str c = uuid_format(a, coop), r = uuid_format(a, release);
	return str_fmt(a, "%s/%.*s/%.*s", config()->releases_dir, STR_ARG(c), STR_ARG(r));
}

struct str release_staging_dir(struct arena *a, struct uuid coop, struct uuid release)
{
	struct str dir = release_dir(a, coop, release);
	return str_fmt(a, "%.*s.staging", STR_ARG(dir));
}

static int remove_entry(const char *path, const struct stat *st, int kind, struct FTW *at)
{
	(void)st;
	(void)at;
	return kind == FTW_DP ? rmdir(path) : unlink(path);
}

enum err release_remove_tree(struct call *c, struct str dir)
{
	if (nftw(str_z(c->arena, dir), remove_entry, 16, FTW_DEPTH | FTW_PHYS) != 0 && errno != ENOENT)
		return fail(c, ERR_IO, "An unfinished release cannot be cleared away: %s.", strerrorname_np(errno));
	return ERR_OK;
}

static enum err make_folder(struct call *c, const char *path)
{
	if (mkdir(path, 0700) != 0 && errno != EEXIST) /* what is gated is not for other accounts of this machine */
		return fail(c, ERR_IO, "The folder for releases cannot be made: %s.", strerrorname_np(errno));
	return ERR_OK;
}

/* An empty staging folder. Whatever a former attempt left, staged or moved but not published, is cleared away. */
static enum err stage(struct call *c, struct uuid coop, struct uuid release, struct str *dir)
{
	struct str name = uuid_format(c->arena, coop);
	TRY(make_folder(c, config()->releases_dir));
	TRY(make_folder(c, str_fmt(c->arena, "%s/%.*s", config()->releases_dir, STR_ARG(name)).p));
	*dir = release_staging_dir(c->arena, coop, release);
	TRY(release_remove_tree(c, *dir));
	TRY(release_remove_tree(c, release_dir(c->arena, coop, release)));
	return make_folder(c, dir->p);
}

/* Semantic version: rows gone is a new major, rows added a new minor, the same rows a new patch. */
static enum err next_version(struct call *c, const struct decided *d, const struct release *previous, struct str *out)
{
	if (!previous) {
		*out = STR("1.0.0");
		return ERR_OK;
	}
	policy_reasons *before;
	size_t n;
	TRY(decided_load(c, d->coop, previous->id, "built", &before, &n));
	bool removed = false, added = false;
	for (size_t i = 0; i < d->n; i++) {
		bool was = i < n && outcome_is_in((uint8_t)policy_outcome_of(before[i])), is = outcome_is_in(d->outcomes[i]);
		removed |= was && !is;
		added |= is && !was;
	}
	struct str rest = previous->version, part;
	int64_t v[3] = { 0 };
	for (size_t i = 0; i < 3 && str_split(&rest, '.', &part); i++)
		if (!str_to_i64(part, 0, 999999999, &v[i]))
			return fail(c, ERR_CORRUPT, "The version of the release before is not one.");
	if (removed)
		*out = str_fmt(c->arena, "%lld.0.0", (long long)v[0] + 1);
	else if (added)
		*out = str_fmt(c->arena, "%lld.%lld.0", (long long)v[0], (long long)v[1] + 1);
	else
		*out = str_fmt(c->arena, "%lld.%lld.%lld", (long long)v[0], (long long)v[1], (long long)v[2] + 1);
	return ERR_OK;
}

/* Nobody may be released among fewer people than the charter says. What members were told at the notice, too, is the least that may be published; of a redaction nothing was told. */
static bool too_little(const struct release *r, const struct release *base, const struct decided *d)
{
	if (base)
		return decided_included(d) == 0 || d->report.contributors < d->spec.k_contributors;
	return decided_included(d) == 0 || decided_included(d) * 2 < r->included || d->report.contributors < d->spec.k_contributors;
}

static instant publishing_instant(const struct release *r)
{
	instant now = clock_now();
	return now > r->cutoff_at ? now : r->cutoff_at;
}

static bool shard_known(void *arg, struct str path, struct sha256 hash)
{
	const struct artefact *a = arg;
	for (size_t i = 0; i < a->n_files; i++)
		if (str_eq(a->files[i].path, path))
			return a->files[i].checked && memcmp(a->files[i].sha256.b, hash.b, 32) == 0;
	return false;
}

/* The check that an outsider makes. Shards that were published before have passed it then. */
static enum err check(struct call *c, struct artefact *a, bool staged)
{
	struct verify_options options = { .public_key = a->key.public_key, .staged = staged, .known = shard_known, .arg = a, .memory = a->memory };
	struct verify_result result;
	TRY(verify_release(c->arena, a->dir.p, &options, &result, &c->error));
	for (const struct check *k = result.checks; k && !result.ok; k = k->next)
		if (!k->ok)
			return fail(c, ERR_CORRUPT, "The built release does not pass its own check \"%s\": %.*s", k->id, STR_ARG(k->text));
	if (!result.ok)
		return fail(c, ERR_CORRUPT, "The built release does not pass its own checks.");
	for (size_t i = 0; i < a->n_files; i++)
		a->files[i].checked = true;
	return ERR_OK;
}

/* The release that this one follows, if there is any. Inside. */
static enum err find_previous(struct call *c, struct uuid coop, struct release *out, bool *any)
{
	enum err found = release_last_published(c, coop, out);
	*any = found == ERR_OK;
	if (found != ERR_OK && found != ERR_NOT_FOUND)
		return found;
	error_clear(&c->error);
	return ERR_OK;
}

/* Builds into the staging folder from one snapshot of the co-op. */
static enum err build_staged(struct call *c, const struct release *r, const struct release *base, const struct kept *kept, struct decided *d, struct release *previous, struct artefact *a,
	struct sha256 *manifest)
{
	*a = (struct artefact){ .c = c, .release = r, .base = base, .kept = kept, .d = d, .base_url = config()->base_url, .tombstones_upto = -1 };
	bool any;
	TRY(find_previous(c, r->coop, previous, &any));
	a->previous = any ? previous : NULL;
	TRY(coop_get(c, r->coop, &a->coop));
	TRY(ledger_key(c, r->coop, &a->key));
	TRY(keychain_of(c, r->coop, &a->chain));
	TRY(ledger_origin(c, r->coop, &a->origin));
	TRY(next_version(c, d, a->previous, &a->version));
	if (!uuid_is_nil(r->joint))
		TRY(joint_artefact(a));
	TRY(stage(c, r->coop, r->id, &a->dir));
	TRY(base ? redact_shards_write(a) : shards_write(a));
	TRY(documents_write(a));
	if (a->joint)
		TRY(joint_documents(a));
	TRY(manifest_write(a, manifest));
	a->memory = verify_memory_new(a->d->arena);
	return check(c, a, true);
}

/* The decisions that it may only be stricter than: those at freezing, or what was built of the base of a redaction. */
struct frozen {
	policy_reasons *reasons;
	size_t n;
	struct kept kept;  /* of the base of a redaction */
	struct release as; /* the release that is decided for: of redactions the one that was balloted on, since statements and lots may be about that */
};

static bool same_decision(const struct decided *built, const struct decided *now)
{
	if (now->n < built->n)
		return false;
	for (size_t i = 0; i < built->n; i++)
		if (built->outcomes[i] != now->outcomes[i] && (outcome_is_in(built->outcomes[i]) || outcome_is_in(now->outcomes[i])))
			return false; /* what has come under conditions is not what was built either */
	return true;
}

static enum err files_store(struct call *c, const struct artefact *a)
{
	struct uuid coop = a->release->coop, id = a->release->id;
	TRY(db_exec(c, files_clear, A_UUID(coop), A_UUID(id)));
	for (size_t i = 0; i < a->n_files; i++) {
		const struct file_entry *f = &a->files[i];
		const struct str none = STR_NONE;
		const struct db_arg none_int = { .type = DB_INT8, .null = true };
		TRY(db_queue(c, file_insert, A_UUID(coop), A_UUID(id), A_STR(f->path), A_I64(f->size), A_BYTES(str_make(f->sha256.b, 32)),
			f->shard ? A_I64(f->raw_size) : none_int, A_BYTES(f->shard ? str_make(f->raw_sha256.b, 32) : none),
			f->shard ? A_I64(f->rows) : none_int, A_BYTES(f->shard ? str_make(f->rids_root.b, 32) : none),
			A_BYTES(f->shard ? str_make(f->input.b, 32) : none)));
	}
	return ERR_OK;
}

static struct str published_facts(struct call *c, const struct artefact *a, struct sha256 manifest)
{
	struct str id = rid_format(c->arena, a->coop.key_name, a->release->id), digest = sha256_hex(c->arena, manifest);
	struct str redacts = a->base ? str_fmt(c->arena, ",\"redacts\":\"%.*s\"", STR_ARG(a->base->version)) : STR("");
	return str_fmt(c->arena, "{\"items\":%lld,\"manifest_sha256\":\"%.*s\"%.*s,\"release\":\"%.*s\",\"version\":\"%.*s\"}", (long long)a->rows, STR_ARG(digest),
		STR_ARG(redacts), STR_ARG(id), STR_ARG(a->version));
}

/* Whether the release still follows the one that it was built after, and its key is in force still; `now` is that one as it is now, under the log's lock. */
static enum err follows_still(struct call *c, const struct artefact *a, struct release *now, bool *follows)
{
	bool any;
	struct keychain chain;
	TRY(keychain_of(c, a->release->coop, &chain));
	TRY(find_previous(c, a->release->coop, now, &any));
	*follows = memcmp(keychain_current(&chain), a->key.public_key, 32) == 0 && any == (a->previous != NULL) && (!any || uuid_eq(now->id, a->previous->id));
	return ERR_OK;
}

/* Publishes what was staged. The co-op's log is locked first, and with it everything that could be said or withdrawn; then every item is decided once more. If anything fell
 * out since the build, or another release came in between, *stale tells to build again. The folder is moved into place before the commit: without the commit it is not
 * published, and the next attempt clears it away. */
static enum err publish(struct call *c, struct release *r, struct artefact *a, const struct frozen *frozen, struct sha256 manifest, bool *stale)
{
	struct decided now;
	struct release locked, previous;
	bool follows;
	/* Locks in the order that everybody takes them: the release, the pool, the log. */
	TRY(db_begin_in(c, r->coop, DB_WRITE));
	TRY(release_take(c, r->coop, r->id, &locked));
	TRY(pool_lock(c, r->coop));
	TRY(ledger_lock(c, r->coop));
	if (locked.state != (a->base ? RELEASE_REDACTING : RELEASE_BUILDING))
		return fail(c, ERR_STATE, "The release changed while it was being built.");
	TRY(decide_outcomes(c, r->coop, &frozen->as, r->cutoff_at, publishing_instant(r), frozen->reasons, frozen->n, &now));
	TRY(follows_still(c, a, &previous, &follows));
	*stale = !follows || !same_decision(a->d, &now);
	decided_release(&now);
	if (*stale) {
		db_rollback(c);
		return ERR_OK;
	}
	TRY(decided_store(c, r, "built", a->d));
	TRY(a->base ? kept_store_again(c, a->base, r->id) : kept_store(c, r->id, a->d));
	TRY(files_store(c, a));
	TRY(db_exec(c, release_set_built, A_UUID(r->coop), A_UUID(r->id), A_STR(a->version), A_BYTES(str_make(manifest.b, 32)), A_I64(a->rows),
		A_UUID_OR_NULL(a->previous ? a->previous->id : (struct uuid){ { 0 } })));
	TRY(release_move(c, &locked, RELEASE_PUBLISHED, published_facts(c, a, manifest)));
	TRY(job_queue(c, "mirror.published", uuid_format(c->arena, r->id), job_args(c->arena, r->coop, "release", r->id), clock_now()));
	TRY(job_queue(c, "checkup.count", uuid_format(c->arena, r->id), job_args(c->arena, r->coop, "release", r->id), clock_now()));
	TRY(db_exec(c, release_set_leaf, A_UUID(r->coop), A_UUID(r->id), A_I64(locked.leaf)));
	TRY(seals_write(a, locked.leaf));
	if (a->previous && previous.state == RELEASE_PUBLISHED) /* and not withdrawn */
		TRY(release_move(c, &previous, RELEASE_SUPERSEDED, STR_NONE));
	TRY(check(c, a, false));
	struct str final = release_dir(c->arena, r->coop, r->id);
	if (rename(a->dir.p, final.p) != 0)
		return fail(c, ERR_IO, "The release cannot be moved into place: %s.", strerrorname_np(errno));
	return db_commit(c);
}

static enum err stop_building(struct call *c, struct uuid coop, struct uuid release, enum release_state to, const char *why)
{
	struct release r;
	TRY(db_begin_in(c, coop, DB_WRITE));
	TRY(release_take(c, coop, release, &r));
	TRY(release_move(c, &r, to, STR_NONE));
	TRY(db_exec(c, release_set_failure, A_UUID(coop), A_UUID(release), A_Z(why)));
	TRY(db_commit(c));
	return release_remove_tree(c, release_staging_dir(c->arena, coop, release));
}

/* Enters the state `building`, unless it is there already from an attempt that did not finish. */
static enum err begin_building(struct call *c, struct uuid coop, struct uuid release, struct release *r, bool *go)
{
	TRY(db_begin_in(c, coop, DB_WRITE));
	TRY(release_take(c, coop, release, r));
	*go = r->state == RELEASE_BUILDING || (r->state == RELEASE_COOLING_OFF && clock_now() >= r->build_after);
	if (*go && clock_now() > r->build_after + BUILD_WITHIN) {
		*go = false;
		TRY(release_move(c, r, RELEASE_EXPIRED, STR_NONE));
		TRY(db_exec(c, release_set_failure, A_UUID(coop), A_UUID(release), A_Z("It passed, but was not built within 90 days.")));
	} else if (*go && r->state == RELEASE_COOLING_OFF) {
		TRY(release_move(c, r, RELEASE_BUILDING, STR_NONE));
	}
	if (*go && !uuid_is_nil(r->joint))
		TRY(joint_may_build(c, r, go));
	return db_commit(c);
}

/* The release that a redaction goes back to through all redactions before it. Inside. */
static enum err balloted(struct call *c, const struct release *r, struct release *out)
{
	*out = *r;
	while (!uuid_is_nil(out->redacts))
		TRY(release_get(c, out->coop, out->redacts, out));
	return ERR_OK;
}

static enum err load_frozen(struct call *c, const struct release *r, const struct release *base, struct frozen *out)
{
	TRY(balloted(c, r, &out->as));
	TRY(decided_load(c, r->coop, base ? base->id : r->id, base ? "built" : "frozen", &out->reasons, &out->n));
	if (!base)
		return ERR_OK;
	TRY(kept_load(c, r->coop, base->id, &out->kept));
	return kept_bind(c, r->coop, &out->kept, out->reasons, out->n);
}

/* Whether the last release that was published is another than the base of a redaction. Inside. */
static enum err is_overtaken(struct call *c, const struct release *base, bool *overtaken)
{
	struct release last;
	bool any = false;
	if (base)
		TRY(find_previous(c, base->coop, &last, &any));
	*overtaken = base && (!any || !uuid_eq(last.id, base->id));
	return ERR_OK;
}

/* One attempt. *stale: something changed meanwhile. */
static enum err build_once(struct call *c, struct release *r, const struct release *base, enum build_end *end, bool *stale)
{
	struct release previous;
	struct artefact a;
	struct decided d;
	struct frozen frozen;
	struct sha256 manifest;
	bool overtaken;
	*stale = false;
	TRY(decide_pack(c, r->coop));
	TRY(db_begin_in(c, r->coop, DB_SERIAL));
	TRY(is_overtaken(c, base, &overtaken));
	TRY(load_frozen(c, r, base, &frozen));
	TRY(decide_pool(c, r->coop, &frozen.as, r->cutoff_at, publishing_instant(r), frozen.reasons, frozen.n, &d));
	bool little = too_little(r, base, &d);
	*end = overtaken ? BUILD_OVERTAKEN : little ? BUILD_TOO_LITTLE : BUILD_PUBLISHED;
	if (*end != BUILD_PUBLISHED) {
		db_rollback(c);
		decided_release(&d);
		return ERR_OK;
	}
	if (base)
		TRY(kept_licences(c, &frozen.kept, &d));
	TRY(build_staged(c, r, base, &frozen.kept, &d, &previous, &a, &manifest));
	if (joint_waits(&a))
		*end = BUILD_WAITING;
	if (a.joint && !a.joint->signed_by_both)
		TRY(joint_ask_signature(&a, manifest));
	TRY(db_commit(c));
	if (*end == BUILD_WAITING) {
		secret_wipe(&a.key, sizeof(a.key));
		decided_release(&d);
		return ERR_OK;
	}
	TRY(publish(c, r, &a, &frozen, manifest, stale));
	secret_wipe(&a.key, sizeof(a.key));
	if (!*stale)
		log_event(LOG_INFO, "release.published", LOG_S("release", uuid_format(c->arena, r->id)), LOG_S("version", a.version), LOG_N("rows", a.rows));
	decided_release(&d);
	return ERR_OK;
}

/* How often a release is built afresh because something was withdrawn while it was being built, before the job is tried later. */
#define BUILD_ROUNDS 5

/* What was staged may hold what was withdrawn meanwhile: it does not lie there until the next attempt. What was wrong before stays what is said. */
static void clear_staged(struct call *c, const struct release *r)
{
	struct error said = c->error;
	db_rollback(c);
	if (release_remove_tree(c, release_staging_dir(c->arena, r->coop, r->id)) != ERR_OK)
		log_event(LOG_WARN, "release.staging_left", LOG_S("release", uuid_format(c->arena, r->id)));
	c->error = said;
}

enum err build_and_publish(struct call *c, const struct release *release, const struct release *base, enum build_end *end)
{
	struct release r = *release;
	bool stale = true;
	enum err e = ERR_OK;
	for (int round = 0; e == ERR_OK && stale && round < BUILD_ROUNDS; round++)
		e = build_once(c, &r, base, end, &stale);
	if (e != ERR_OK || stale || *end != BUILD_PUBLISHED)
		clear_staged(c, &r);
	TRY(e);
	return stale ? fail(c, ERR_RETRY, "Contributions kept being withdrawn while the release was built; it is tried again.") : ERR_OK;
}

enum err release_build(struct call *c, struct uuid coop, struct uuid release)
{
	struct release r;
	enum build_end end = BUILD_PUBLISHED;
	bool go;
	TRY(begin_building(c, coop, release, &r, &go));
	if (go)
		TRY(build_and_publish(c, &r, NULL, &end));
	return end == BUILD_TOO_LITTLE ? stop_building(c, coop, release, RELEASE_FAILED, "So much was withdrawn since the notice that it was stopped.") : ERR_OK;
}
