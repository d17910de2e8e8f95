/* Taking bundles: from a file, from a co-op of this instance, or over HTTP, with the same checks; and getting them. */
#include "bundle_internal.h"

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
#include <sys/statvfs.h>
#include <unistd.h>

#define FILE_MS 10000 /* for each file, however small */

static const struct bundle_fetch_limits usual = { .least_speed = 4096, .slow_seconds = 20, .pace = 32 * 1024, .run_ms = 30 * 60 * 1000, .total = (int64_t)64 << 30, .room = (int64_t)256 << 20, .bundles = 100 };
static struct bundle_fetch_limits limits = usual;

void bundle_fetch_limits_use(const struct bundle_fetch_limits *other)
{
	limits = other ? *other : usual;
}

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

/* A partner that is asked. */
struct fetching {
	struct call *c;
	struct uuid coop;
	struct agreement agreement;
	struct peer peer;
	struct keychain keys;       /* the partner's */
	struct sign_key key;        /* ours */
	struct str us;
	struct fetcher *fetcher;
	struct str base;            /* of its addresses */
	int64_t until;              /* clock_tick at which this run is over */
};

static enum err taken_upto(struct fetching *f, int64_t *seq)
{
	struct rows r;
	TRY(db_begin_in(f->c, f->coop, DB_READ));
	TRY(db_finish(f->c, taken_last, &r, A_UUID(f->coop), A_UUID(f->agreement.id)));
	*seq = row_int(&r, 0, 0);
	return ERR_OK;
}

static struct str request_proof(struct fetching *f, int64_t taken)
{
	struct arena *a = f->c->arena;
	struct str digest = sha256_hex(a, f->agreement.terms.digest), at = clock_format(a, clock_now());
	struct str said = str_fmt(a, "{\"agreement\":\"%.*s\",\"at\":\"%.*s\",\"from\":\"%.*s\",\"taken\":%lld,\"to\":\"%.*s\",\"v\":1}", STR_ARG(digest), STR_ARG(at), STR_ARG(f->us), (long long)taken,
		STR_ARG(f->peer.name));
	struct str envelope = dsse_sign(a, &f->key, 1, STR(BUNDLE_REQUEST_TYPE), said);
	return str_base64url(a, envelope.p, envelope.n);
}

/* How long so many bytes may take. */
static long whole_ms(int64_t bytes)
{
	return (long)(FILE_MS + bytes * 1000 / limits.pace);
}

static int64_t left_ms(const struct fetching *f)
{
	int64_t left = (f->until - clock_tick()) / 1000;
	return left > 0 ? left : 0;
}

static bool still_wanted(void *arg)
{
	struct fetching *f = arg;
	return left_ms(f) > 0 && (!f->c->job || job_extend(f->c) == ERR_OK);
}

static enum err ask(struct fetching *f, int64_t taken, struct fetch_request *request, struct fetch_answer *answer)
{
	struct call *c = f->c;
	struct fetch_header headers[2] = { { STR(BUNDLE_PROOF_HEADER), request_proof(f, taken) } };
	size_t n = 1;
	if (request->n_headers)
		headers[n++] = request->headers[0];
	request->headers = headers;
	request->n_headers = n;
	request->allow_private = config()->allow_private_on;
	request->allow_http = config()->allow_private_on || url_is_loopback(request->url);
	request->allow_private |= url_is_loopback(request->url) && url_is_loopback(str_of(config()->base_url));
	request->least_speed = limits.least_speed;
	request->slow_seconds = limits.slow_seconds;
	if (request->total_ms == 0)
		request->total_ms = whole_ms(request->max_bytes);
	if (!request->go_on) {
		request->go_on = still_wanted;
		request->arg = f;
	}
	db_release(c);
	TRY(fetch(f->fetcher, c->arena, request, answer, &c->error));
	if (answer->status == 200 || answer->status == 206)
		return ERR_OK;
	return fail_reason(c, answer->status >= 500 || answer->status == 429 ? ERR_UNAVAILABLE : ERR_REFUSED, "partner_refuses", "The partner's instance answered %ld.", answer->status);
}

/* A file on its way to the disk. */
struct sinking { struct fetching *f; int fd; int64_t from; bool resumed; };

static bool sink_head(void *arg, const struct fetch_answer *answer)
{
	struct sinking *s = arg;
	s->resumed = answer->status == 206;
	/* the whole file again: from the start */
	return s->resumed || (ftruncate(s->fd, 0) == 0 && lseek(s->fd, 0, SEEK_SET) == 0);
}

static bool sink_write(void *arg, const void *p, size_t n)
{
	return file_write_all(((struct sinking *)arg)->fd, p, n);
}

static bool sink_go_on(void *arg)
{
	return still_wanted(((struct sinking *)arg)->f);
}

/* Gets what is missing of a file; what is there already stays. */
static enum err get_file(struct fetching *f, int64_t taken, int64_t seq, struct str name, int64_t size, struct str dir)
{
	struct call *c = f->c;
	struct arena_mark mark = arena_mark(c->arena);
	struct fetch_answer answer;
	struct stat st;
	const char *path = str_fmt(c->arena, "%.*s/%.*s", STR_ARG(dir), STR_ARG(name)).p;
	struct sinking s = { f, open(path, O_WRONLY | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600), 0, false };
	if (s.fd < 0 || fstat(s.fd, &st) != 0)
		return fail(c, ERR_IO, "The file %s cannot be written: %s.", path, strerror(errno));
	s.from = st.st_size;
	if (s.from > size) {
		s.from = 0;
		if (ftruncate(s.fd, 0) != 0)
			s.from = -1;
	}
	enum err said = ERR_OK;
	if (s.from != size) {
		struct fetch_header range = { STR("Range"), str_fmt(c->arena, "bytes=%lld-", (long long)s.from) };
		struct fetch_request request = { .url = str_fmt(c->arena, "%.*s/%lld/%.*s", STR_ARG(f->base), (long long)seq, STR_ARG(name)), .headers = &range, .n_headers = s.from > 0, .sink = sink_write,
			.head = sink_head, .arg = &s, .max_bytes = size, .total_ms = whole_ms(size - s.from) };
		lseek(s.fd, s.from, SEEK_SET);
		request.go_on = sink_go_on;
		said = ask(f, taken, &request, &answer);
	}
	if (said == ERR_OK && (fstat(s.fd, &st) != 0 || st.st_size != size || fsync(s.fd) != 0))
		said = fail_reason(c, ERR_REFUSED, "files", "The partner's instance sends %.*s in another size than it says.", STR_ARG(name));
	close(s.fd);
	arena_rewind(c->arena, mark);
	return said;
}

static enum err get_small(struct fetching *f, int64_t taken, int64_t seq, const char *name, size_t max, struct str *out)
{
	struct fetch_answer answer;
	struct fetch_request request = { .url = str_fmt(f->c->arena, "%.*s/%lld/%s", STR_ARG(f->base), (long long)seq, name), .max_bytes = (int64_t)max };
	TRY(ask(f, taken, &request, &answer));
	*out = answer.body;
	return ERR_OK;
}

static enum err keep_small(struct fetching *f, struct str dir, const char *name, struct str text)
{
	const char *path = str_fmt(f->c->arena, "%.*s/%s", STR_ARG(dir), name).p;
	struct sinking s = { .fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0600) };
	bool good = s.fd >= 0 && sink_write(&s, text.p, text.n) && fsync(s.fd) == 0;
	if (s.fd >= 0)
		close(s.fd);
	return good ? ERR_OK : fail(f->c, ERR_IO, "The file %s cannot be written: %s.", path, strerror(errno));
}

/* Who signed it is known before anything large is asked for; names and sizes are held to a bundle's rules. */
static enum err manifest_check(struct fetching *f, struct str manifest, struct str envelope, const struct json **out)
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
		if (!fits || bundle_part_of(json_member_text(file, "path")) == BUNDLE_NO_SECTION || total > limits.total)
			return bundle_refuse(&c->error, BUNDLE_REASON_TOO_LARGE, "It lists files that no bundle has.");
	}
	return ERR_OK;
}

static struct str incoming_dir(struct fetching *f, int64_t seq)
{
	struct arena *a = f->c->arena;
	struct str k = uuid_format(a, f->coop), g = uuid_format(a, f->agreement.id);
	return str_fmt(a, "%s/bundles-in/%.*s/%.*s/%08lld", config()->dir, STR_ARG(k), STR_ARG(g), (long long)seq);
}

/* One at a time: a partner that offers ever other numbers and finishes none fills no disk. */
static void others_remove(struct fetching *f, int64_t seq)
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

/* Other people's bundles fill no disk. What is there already is counted once more: it is little to what must stay free. */
static enum err room_check(struct fetching *f, struct str dir, const struct json *manifest)
{
	struct statvfs there;
	int64_t total = 0;
	json_each (file, json_get(manifest, "files"))
		total += json_int(json_get(file, "size"), 0);
	if (statvfs(dir.p, &there) != 0)
		return fail(f->c, ERR_IO, "The folder %s cannot be looked at: %s.", dir.p, strerror(errno));
	if ((int64_t)there.f_bavail * (int64_t)there.f_frsize - total >= limits.room)
		return ERR_OK;
	return fail_reason(f->c, ERR_UNAVAILABLE, "no_room", "There is no room for a bundle of %lld bytes.", (long long)total);
}

/* A manifest that changed means other files: what was got of the old ones goes. */
static enum err folder_ready(struct fetching *f, struct str dir, struct str manifest)
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

static enum err get_bundle(struct fetching *f, int64_t taken, int64_t seq, struct str *dir)
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
	TRY(room_check(f, *dir, json));
	TRY(keep_small(f, *dir, "bundle.json", manifest));
	TRY(keep_small(f, *dir, "bundle.dsse.json", envelope));
	json_each (file, json_get(json, "files"))
		TRY(get_file(f, taken, seq, json_member_text(file, "path"), json_int(json_get(file, "size"), 0), *dir));
	return ERR_OK;
}

/* The number of the first bundle after `taken` that is there to be got; 0: none. */
static enum err next_there(struct fetching *f, int64_t taken, int64_t *seq)
{
	struct fetch_answer answer;
	const struct json *json;
	struct fetch_request request = { .url = str_fmt(f->c->arena, "%.*s?after=%lld", STR_ARG(f->base), (long long)taken), .max_bytes = 4 * (int64_t)MIB };
	*seq = 0;
	TRY(ask(f, taken, &request, &answer));
	TRY(json_parse(f->c->arena, answer.body, &json, &f->c->error));
	json_each (row, json_get(json, "items")) {
		int64_t no = json_int(json_get(row, "seq"), 0);
		if (str_is(json_member_text(row, "state"), "ready") && no > taken && (*seq == 0 || no < *seq))
			*seq = no;
	}
	return ERR_OK;
}

/* So many at a time, and so long: whoever offers ever more, or sends slowly, holds up nobody else's. */
static enum err fetch_over_http(struct fetching *f)
{
	struct call *c = f->c;
	for (int i = 0; i < limits.bundles && left_ms(f) > 0; i++) {
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
static enum err over_http(struct fetching *f)
{
	struct call *c = f->c;
	enum err said = fetch_over_http(f);
	if (said != ERR_UNAVAILABLE || strcmp(c->error.reason, "stopped") != 0 || left_ms(f) > 0)
		return said;
	db_rollback(c);
	error_clear(&c->error);
	TRY(db_begin_in(c, f->coop, DB_WRITE));
	TRY(bundle_fetch_later(c, f->coop, f->agreement.id, clock_now() + CLOCK_MINUTE));
	return db_commit(c);
}

/* A co-op of this instance: its folder is read where it lies. */
static enum err fetch_here(struct fetching *f)
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

static void fetching_end(void *arg)
{
	struct fetching *f = arg;
	fetcher_free(f->fetcher);
	secret_wipe(&f->key, sizeof(f->key));
}

static enum err fetching_begin(struct call *c, const struct json *args, struct fetching *f, bool *go)
{
	struct uuid id;
	struct keychain ours;
	f->c = c;
	TRY(job_args_read(c, args, "agreement", &f->coop, &id));
	TRY(db_begin_in(c, f->coop, DB_READ));
	TRY(agreement_get(c, f->coop, id, &f->agreement));
	TRY(peer_get(c, f->coop, f->agreement.peer, &f->peer));
	TRY(peer_keys(c, &f->peer, &f->keys));
	TRY(keychain_of(c, f->coop, &ours));
	TRY(ledger_key(c, f->coop, &f->key));
	TRY(db_commit(c));
	f->us = ours.name;
	*go = agreement_flows(&f->agreement) && f->agreement.we_receive && f->peer.state == PEER_CONFIRMED;
	f->fetcher = fetcher_new();
	f->until = clock_tick() + limits.run_ms * 1000;
	struct str digest = sha256_hex(c->arena, f->agreement.terms.digest);
	f->base = str_fmt(c->arena, "%.*s/api/v1/coops/%.*s/merge/agreements/%.*s/bundles", STR_ARG(f->peer.url), STR_ARG(f->peer.name), STR_ARG(digest));
	return arena_defer(c->arena, fetching_end, f) && f->fetcher ? ERR_OK : fail(c, ERR_NO_MEMORY, "%s", err_text(ERR_NO_MEMORY));
}

/* What was refused is known to the admins, and will not be any better in a minute: the job is done. */
enum err bundle_fetch_job(struct call *c, const struct json *args)
{
	struct fetching *f = ARENA_NEW(c->arena, struct fetching);
	bool go;
	TRY(fetching_begin(c, args, f, &go));
	if (!go || (uuid_is_nil(f->peer.here) && f->peer.url.n == 0))
		return ERR_OK;
	enum err said = uuid_is_nil(f->peer.here) ? over_http(f) : fetch_here(f);
	if (said != ERR_REFUSED && said != ERR_INVALID && said != ERR_TOO_LARGE && said != ERR_TOO_MANY)
		return said;
	if (said == ERR_TOO_LARGE || strcmp(c->error.reason, "partner_refuses") == 0 || strcmp(c->error.reason, "address_refused") == 0 || strcmp(c->error.reason, "redirect_refused") == 0) {
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
