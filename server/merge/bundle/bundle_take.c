/* Taking bundles: from a file, from a co-op of this instance, or over HTTP, with the same checks; and getting them. */
#include "bundle_internal.h"
#include "partner.h"

#include "commonhold/agreement.h"
#include "commonhold/config.h"
#include "commonhold/db.h"
#include "commonhold/fetch.h"
#include "commonhold/file.h"
#include "commonhold/merge.h"
#include "commonhold/message.h"
#include "commonhold/peer.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

SQL(taken_last, "SELECT coalesce(max(seq), 0) FROM bundle_in WHERE coop_id = $1 AND agreement_id = $2");

/* ---- One bundle ---- */

/* Heads that were signed and that no log can have together are kept, whatever becomes of the bundle. */
static enum err keep_contradictions(struct call *c, struct uuid coop, const struct bundle *b, enum err said)
{
	struct error kept = c->error;
	if (b->contradicts.p)
		TRY(merge_equivocation_of_log(c, coop, b->agreement_id, b->from, b->contradicts, b->checkpoint));
	for (size_t i = 0; i < b->n_homes; i++)
		if (b->homes[i].contradicts.p)
			TRY(merge_equivocation_of_log(c, coop, b->agreement_id, b->homes[i].home, b->homes[i].contradicts, b->homes[i].checkpoint));
	if (said != ERR_OK)
		c->error = kept;
	return ERR_OK;
}

static enum err open_check_apply(struct call *c, struct uuid coop, const char *path, struct bundle **b, struct merge_report *out)
{
	struct bundle_expected x;
	TRY(bundle_open(c->arena, path, b, &c->error));
	TRY(bundle_expect(c, coop, *b, &x));
	enum err said = bundle_check(c->arena, *b, &x, &c->error);
	TRY(keep_contradictions(c, coop, *b, said));
	if (said == ERR_OK && (*b)->repeated) {
		out->repeated = true;
		return ERR_OK;
	}
	if (said == ERR_OK)
		said = merge_apply(c, coop, *b, out);
	if (said == ERR_REFUSED)
		merge_look_for_equivocation(c, coop, *b, &x);
	return said;
}

enum err bundle_take(struct call *c, struct uuid coop, const char *path, struct merge_report *out)
{
	struct bundle *b = NULL;
	struct uuid nobody = { { 0 } };
	*out = (struct merge_report){ 0 };
	enum err said = open_check_apply(c, coop, path, &b, out);
	if (said == ERR_OK)
		return ERR_OK;
	db_rollback(c);
	/* what is wrong with the bundle is for the admins to see; what is wrong here is not */
	if (said == ERR_REFUSED || said == ERR_INVALID || said == ERR_TOO_MANY)
		merge_refuse_error(c, coop, b ? b->peer : nobody, b ? str_fmt(c->arena, "bundle %lld", (long long)b->seq) : STR("bundle"));
	return said;
}

/* ---- Getting them ---- */

static enum err taken_upto(struct partner *f, int64_t *seq)
{
	struct rows r;
	TRY(db_begin_in(f->c, f->coop, DB_READ));
	TRY(db_finish(f->c, taken_last, &r, A_UUID(f->coop), A_UUID(f->agreement.id)));
	*seq = row_int(&r, 0, 0);
	return ERR_OK;
}

static enum err get_file(struct partner *f, int64_t taken, int64_t seq, struct str name, int64_t size, struct str dir)
{
	struct arena *a = f->c->arena;
	struct arena_mark mark = arena_mark(a);
	struct str url = str_fmt(a, "%.*s/%lld/%.*s", STR_ARG(f->base), (long long)seq, STR_ARG(name));
	enum err said = partner_get_file(f, taken, url, str_fmt(a, "%.*s/%.*s", STR_ARG(dir), STR_ARG(name)).p, size);
	arena_rewind(a, mark);
	return said;
}

static enum err get_small(struct partner *f, int64_t taken, int64_t seq, const char *name, size_t max, struct str *out)
{
	struct fetch_answer answer;
	struct fetch_request request = { .url = str_fmt(f->c->arena, "%.*s/%lld/%s", STR_ARG(f->base), (long long)seq, name), .max_bytes = (int64_t)max };
	TRY(partner_ask(f, taken, &request, &answer));
	*out = answer.body;
	return ERR_OK;
}

static enum err keep_small(struct partner *f, struct str dir, const char *name, struct str text)
{
	const char *path = str_fmt(f->c->arena, "%.*s/%s", STR_ARG(dir), name).p;
	int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0600);
	bool good = fd >= 0 && file_write_all(fd, text.p, text.n) && fsync(fd) == 0;
	if (fd >= 0)
		close(fd);
	return good ? ERR_OK : fail(f->c, ERR_IO, "The file %s cannot be written: %s.", path, strerror(errno));
}

/* Who signed it is known before anything large is asked for; names and sizes are held to a bundle's rules. */
static enum err manifest_check(struct partner *f, struct str manifest, struct str envelope, const struct json **out)
{
	struct call *c = f->c;
	struct str payload;
	struct error why = { 0 };
	size_t which;
	int64_t total = 0;
	if (keychain_dsse_verify(c->arena, &f->keys, envelope, STR(BUNDLE_TYPE), &payload, &which, &why) != ERR_OK || !str_eq(payload, manifest) || json_parse(c->arena, manifest, out, &why) != ERR_OK)
		return bundle_refuse(&c->error, BUNDLE_REASON_SIGNATURE, "bundle.dsse.json is not the sender's signature of bundle.json.");
	json_each (file, json_get(*out, "files")) {
		int64_t size = json_int(json_get(file, "size"), -1);
		bool fits = size >= 0 && size <= BUNDLE_FILE_MAX;
		total += fits ? size : 0;
		if (!fits || bundle_part_of(json_member_text(file, "path")) == BUNDLE_NO_SECTION || total > bundle_fetch_limits()->total)
			return bundle_refuse(&c->error, BUNDLE_REASON_TOO_LARGE, "It lists files that no bundle has.");
	}
	return ERR_OK;
}

static struct str incoming_dir(struct partner *f, int64_t seq)
{
	struct arena *a = f->c->arena;
	struct str k = uuid_format(a, f->coop), g = uuid_format(a, f->agreement.id);
	return str_fmt(a, "%s/bundles-in/%.*s/%.*s/%08lld", config()->dir, STR_ARG(k), STR_ARG(g), (long long)seq);
}

/* One at a time: a partner that offers ever other numbers and finishes none fills no disk. */
static void others_remove(struct partner *f, int64_t seq)
{
	struct arena *a = f->c->arena;
	struct str wanted = str_fmt(a, "%08lld", (long long)seq), dir = incoming_dir(f, seq), above = str_sub(dir, 0, dir.n - wanted.n - 1);
	DIR *all = opendir(str_z(a, above));
	for (struct dirent *entry; all && (entry = readdir(all));)
		if (entry->d_name[0] != '.' && !str_is(wanted, entry->d_name))
			bundle_folder_remove(str_fmt(a, "%.*s/%s", STR_ARG(above), entry->d_name).p);
	if (all)
		closedir(all);
}

static int64_t total_size(const struct json *manifest)
{
	int64_t total = 0;
	json_each (file, json_get(manifest, "files"))
		total += json_int(json_get(file, "size"), 0);
	return total;
}

/* A manifest that changed means other files: what was got of the old ones goes. */
static enum err folder_ready(struct partner *f, struct str dir, struct str manifest)
{
	struct call *c = f->c;
	struct str had;
	struct error none = { 0 };
	const char *path = str_fmt(c->arena, "%.*s/bundle.json", STR_ARG(dir)).p;
	TRY(file_make_parents(dir.p, &c->error));
	if (access(path, F_OK) == 0 && (file_read(c->arena, "The bundle", path, BUNDLE_MANIFEST_MAX, &had, &none) != ERR_OK || !str_eq(had, manifest)))
		bundle_folder_remove(dir.p);
	if (mkdir(dir.p, 0700) != 0 && errno != EEXIST)
		return fail(c, ERR_IO, "The folder %s cannot be made: %s.", dir.p, strerror(errno));
	return ERR_OK;
}

static enum err get_bundle(struct partner *f, int64_t taken, int64_t seq, struct str *dir)
{
	struct str manifest, envelope;
	const struct json *json;
	TRY(get_small(f, taken, seq, "bundle.json", BUNDLE_MANIFEST_MAX, &manifest));
	TRY(get_small(f, taken, seq, "bundle.dsse.json", 2 * BUNDLE_MANIFEST_MAX, &envelope));
	enum err said = manifest_check(f, manifest, envelope, &json);
	/* another one under this number, as one that was taken long ago, would be got again and again */
	if (said == ERR_OK && json_int(json_get(json, "seq"), 0) != seq)
		said = bundle_refuse(&f->c->error, BUNDLE_REASON_GAP, "Asked for number %lld, the partner's instance answers with another.", (long long)seq);
	if (said != ERR_OK) {
		merge_refuse_error(f->c, f->coop, f->peer.id, STR("fetching bundles"));
		return said;
	}
	*dir = incoming_dir(f, seq);
	others_remove(f, seq);
	TRY(folder_ready(f, *dir, manifest));
	TRY(partner_room_check(f, *dir, total_size(json)));
	TRY(keep_small(f, *dir, "bundle.json", manifest));
	TRY(keep_small(f, *dir, "bundle.dsse.json", envelope));
	json_each (file, json_get(json, "files"))
		TRY(get_file(f, taken, seq, json_member_text(file, "path"), json_int(json_get(file, "size"), 0), *dir));
	return ERR_OK;
}

/* The number of the first bundle after `taken` that is there to be got; 0: none. */
static enum err next_there(struct partner *f, int64_t taken, int64_t *seq)
{
	struct fetch_answer answer;
	const struct json *json;
	struct fetch_request request = { .url = str_fmt(f->c->arena, "%.*s?after=%lld", STR_ARG(f->base), (long long)taken), .max_bytes = 4 * (int64_t)MIB };
	*seq = 0;
	TRY(partner_ask(f, taken, &request, &answer));
	TRY(json_parse(f->c->arena, answer.body, &json, &f->c->error));
	json_each (row, json_get(json, "items")) {
		int64_t no = json_int(json_get(row, "seq"), 0);
		if (str_is(json_member_text(row, "state"), "ready") && no > taken && (*seq == 0 || no < *seq))
			*seq = no;
	}
	return ERR_OK;
}

/* So many at a time, and so long: whoever offers ever more, or sends slowly, holds up nobody else's. */
static enum err fetch_over_http(struct partner *f)
{
	struct call *c = f->c;
	for (int i = 0; i < bundle_fetch_limits()->bundles && partner_left_ms(f) > 0; i++) {
		struct arena_mark mark = arena_mark(c->arena);
		struct merge_report report;
		struct str dir;
		int64_t taken, seq;
		TRY(taken_upto(f, &taken));
		TRY(next_there(f, taken, &seq));
		if (seq == 0)
			return ERR_OK;
		TRY(get_bundle(f, taken, seq, &dir));
		enum err said = bundle_take(c, f->coop, dir.p, &report);
		if (said == ERR_OK || said == ERR_REFUSED || said == ERR_INVALID || said == ERR_TOO_MANY)
			bundle_folder_remove(dir.p);
		TRY(said);
		arena_rewind(c->arena, mark);
	}
	TRY(db_begin_in(c, f->coop, DB_WRITE));
	TRY(bundle_fetch_later(c, f->coop, f->agreement.id, clock_now() + CLOCK_MINUTE));
	return db_commit(c);
}

/* What was cut off because the run was over goes on in the next. */
static enum err over_http(struct partner *f)
{
	struct call *c = f->c;
	enum err said = fetch_over_http(f);
	if (said != ERR_UNAVAILABLE || strcmp(c->error.reason, "stopped") != 0 || partner_left_ms(f) > 0)
		return said;
	db_rollback(c);
	error_clear(&c->error);
	TRY(db_begin_in(c, f->coop, DB_WRITE));
	TRY(bundle_fetch_later(c, f->coop, f->agreement.id, clock_now() + CLOCK_MINUTE));
	return db_commit(c);
}

/* A co-op of this instance: its folder is read where it lies. */
static enum err fetch_here(struct partner *f)
{
	struct call *c = f->c;
	struct uuid sender = f->peer.here;
	for (;;) {
		struct arena_mark mark = arena_mark(c->arena);
		struct bundle_row *rows;
		struct merge_report report;
		size_t n, i = 0;
		int64_t taken;
		TRY(taken_upto(f, &taken));
		TRY(bundle_taken_upto(c, sender, f->agreement.id, taken));
		TRY(bundle_list(c, sender, f->agreement.id, taken, &rows, &n));
		while (i < n && !str_is(rows[i].state, "ready"))
			i++;
		if (i == n)
			return ERR_OK;
		TRY(bundle_take(c, f->coop, bundle_dir(c->arena, sender, f->agreement.id, rows[i].seq).p, &report));
		arena_rewind(c->arena, mark);
	}
}

static enum err fetching_begin(struct call *c, const struct json *args, struct partner *f, bool *go)
{
	struct uuid coop, id;
	struct agreement g;
	TRY(job_args_read(c, args, "agreement", &coop, &id));
	TRY(db_begin_in(c, coop, DB_READ));
	TRY(agreement_get(c, coop, id, &g));
	TRY(partner_begin(c, &g, "bundles", f));
	TRY(db_commit(c));
	*go = agreement_flows(&g) && g.we_receive && f->peer.state == PEER_CONFIRMED;
	return ERR_OK;
}

/* What was refused is known to the admins, and will not be any better in a minute: the job is done. */
enum err bundle_fetch_job(struct call *c, const struct json *args)
{
	struct partner *f = ARENA_NEW(c->arena, struct partner);
	bool go;
	TRY(fetching_begin(c, args, f, &go));
	if (!go || (uuid_is_nil(f->peer.here) && f->peer.url.n == 0))
		return ERR_OK;
	enum err said = uuid_is_nil(f->peer.here) ? over_http(f) : fetch_here(f);
	if (said == ERR_TIMEOUT) /* tried again, and seen all the same */
		merge_refuse_error(c, f->coop, f->peer.id, STR("fetching bundles"));
	if (said != ERR_REFUSED && said != ERR_INVALID && said != ERR_TOO_LARGE && said != ERR_TOO_MANY)
		return said;
	if (partner_at_fault(&c->error)) {
		db_rollback(c);
		merge_refuse_error(c, f->coop, f->peer.id, STR("fetching bundles"));
	}
	return ERR_OK;
}

const struct job_kind bundle_jobs[] = {
	{ "merge.export", bundle_export_job, 20, 3600 },
	{ "merge.fetch", bundle_fetch_job, 20, 3600 },
	{ "bundle.tick", bundle_tick_job, 3, 600 },
	JOB_TABLE_END,
};
