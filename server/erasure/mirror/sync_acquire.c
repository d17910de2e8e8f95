/* A version comes: its signed manifest first, then each file from where it costs least, then the verifier over the whole, then into place at once. */
#include "sync_internal.h"

#include "commonhold/file.h"
#include "commonhold/ledger.h"
#include "commonhold/limits.h"
#include "commonhold/verify.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#define FILES_MAX 100000
#define DEPTH_MAX 4
#define SPARE (64 * (int64_t)MIB) /* room that is left on the disk */

/* What is not in the manifest, because it came after it. */
static const struct seal { const char *path; size_t max; } seals[] = {
	{ "SHA256SUMS", LIMIT_MANIFEST }, { "SHA256SUMS.minisig", 64 * KIB }, { "checkpoint", LIMIT_NOTE }, { "release.tlog-proof", LIMIT_PROOF },
};

/* One version on its way in. */
struct acquiring {
	struct sync *s;
	struct str version;
	struct str manifest_text;
	const struct json *manifest;
	struct listed_file *files;
	size_t n;
	struct str stage;           /* folder that it is put together in, below the mirror's */
	struct patch patch;
	struct names dropped;       /* rids that the patch took out */
	bool patched;               /* it comes by a patch from what is held */
};

/* ---- the manifest ---- */

static bool segment_ok(struct str part)
{
	for (size_t i = 0; i < part.n; i++) {
		char c = part.p[i];
		bool word = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_';
		if (!word && (i == 0 || (c != '.' && c != '+' && c != '-')))
			return false;
	}
	return part.n > 0;
}

/* Names in a release's folder and nowhere else: no way up, no root, nothing hidden. */
static bool path_ok(struct str path)
{
	struct str rest = path, part;
	int parts = 0;
	while (str_split(&rest, '/', &part)) {
		if (!segment_ok(part))
			return false;
		parts++;
	}
	for (size_t i = 0; i < CH_LEN(seals); i++)
		if (str_is(path, seals[i].path))
			return false;
	return path.n <= 255 && parts <= DEPTH_MAX && !str_is(path, "manifest.json") && !str_is(path, "manifest.dsse.json");
}

static enum err listed_read(struct acquiring *a, const struct json *entry, struct str before)
{
	struct sync *s = a->s;
	struct listed_file *f = &a->files[a->n];
	*f = (struct listed_file){ .path = json_member_text(entry, "path"), .size = json_int(json_get(entry, "size"), -1), .raw_size = json_int(json_get(entry, "raw_size"), -1) };
	if (!path_ok(f->path))
		return sync_fail(s, ERR_CORRUPT, "lied", "The manifest of version %.*s names a file that is none of a release.", STR_ARG(a->version));
	if (before.p && str_cmp(before, f->path) >= 0)
		return sync_fail(s, ERR_CORRUPT, "lied", "The manifest of version %.*s names its files out of order.", STR_ARG(a->version));
	if (f->size < 0 || !sha256_parse(json_member_text(entry, "sha256"), &f->sha256))
		return sync_fail(s, ERR_CORRUPT, "lied", "The manifest of version %.*s lacks size or hash of a file.", STR_ARG(a->version));
	f->shard = str_starts(f->path, "data/");
	a->n++;
	return ERR_OK;
}

static enum err manifest_files(struct acquiring *a)
{
	struct sync *s = a->s;
	const struct json *files = json_get(a->manifest, "files");
	struct str before = STR_NONE;
	if (!json_is(files, JSON_ARRAY) || files->count == 0 || files->count > FILES_MAX)
		return sync_fail(s, ERR_CORRUPT, "lied", "The manifest of version %.*s names no files, or too many.", STR_ARG(a->version));
	a->files = ARENA_ARRAY(s->arena, files->count, struct listed_file);
	json_each(entry, files) {
		TRY(listed_read(a, entry, before));
		before = a->files[a->n - 1].path;
		s->out->shards += a->files[a->n - 1].shard;
	}
	return ERR_OK;
}

/* Another version under this name, or one of another co-op, is no version of ours. */
static enum err manifest_is_it(struct acquiring *a, size_t signer)
{
	struct sync *s = a->s;
	struct str origin;
	uint8_t key[32];
	if (!str_eq(json_member_text(a->manifest, "version"), a->version))
		return sync_fail(s, ERR_CORRUPT, "lied", "The server gives another version than %.*s.", STR_ARG(a->version));
	if (!note_verifier_parse(s->arena, json_text(json_at(a->manifest, "/log/verifier_key")), &origin, key) || keychain_find(&s->state.keys, key) != (ptrdiff_t)signer || !str_eq(origin, s->status.origin))
		return sync_fail(s, ERR_CORRUPT, "lied", "The manifest of version %.*s is about another log.", STR_ARG(a->version));
	return ERR_OK;
}

static enum err stage_write(struct acquiring *a, const char *path, struct str content)
{
	return folder_write(a->s, str_fmt(a->s->arena, "%.*s/%s", STR_ARG(a->stage), path).p, content, 0644);
}

/* Its envelope holds it: what the co-op signed, byte for byte. */
static enum err manifest_fetch(struct acquiring *a)
{
	struct sync *s = a->s;
	struct str envelope;
	size_t signer;
	TRY(remote_file(s, a->version, "manifest.dsse.json", 2 * LIMIT_MANIFEST, &envelope));
	if (keychain_dsse_verify(s->arena, &s->state.keys, envelope, STR(RELEASE_PAYLOAD_TYPE), &a->manifest_text, &signer, s->e) != ERR_OK ||
		json_parse(s->arena, a->manifest_text, &a->manifest, s->e) != ERR_OK)
		return sync_fail(s, ERR_CORRUPT, "forged", "The manifest of version %.*s is not signed by the co-op's key.", STR_ARG(a->version));
	TRY(manifest_is_it(a, signer));
	TRY(manifest_files(a));
	struct str digest = str_sub(sha256_hex(s->arena, sha256(a->manifest_text)), 0, 16);
	a->stage = str_fmt(s->arena, ".mirror/incoming/%.*s-%.*s", STR_ARG(a->version), STR_ARG(digest));
	TRY(file_make_parents(folder_path(s, "%.*s/x", STR_ARG(a->stage)).p, s->e));
	TRY(stage_write(a, "manifest.json", a->manifest_text));
	return stage_write(a, "manifest.dsse.json", envelope);
}

/* ---- files ---- */

static struct str staged(struct acquiring *a, struct str path)
{
	return folder_path(a->s, "%.*s/%.*s", STR_ARG(a->stage), STR_ARG(path));
}

/* What an interrupted run has put there already. */
static bool is_staged(struct acquiring *a, const struct listed_file *f)
{
	struct stat st;
	struct sha256 now;
	const char *path = staged(a, f->path).p;
	if (lstat(path, &st) != 0)
		return false;
	if (S_ISREG(st.st_mode) && st.st_size == f->size && file_sha256(a->s, path, &now) == ERR_OK && sha256_eq(now, f->sha256))
		return true;
	(void)unlink(path);
	return false;
}

static enum err from_held(struct acquiring *a, struct listed_file *f, bool *done)
{
	struct sync *s = a->s;
	const struct held_file *h = f->size ? held_find(s, f->sha256, f->size, &f->trusted) : NULL;
	const char *to = staged(a, f->path).p;
	struct stat st;
	*done = h != NULL;
	if (!h)
		return ERR_OK;
	if (f->trusted && lstat(to, &st) == 0 && st.st_ino == h->inode) {
		s->out->reused++;
		return ERR_OK;
	}
	(void)unlink(to);
	TRY(file_take_over(s, held_path(s, h).p, to, f->size));
	s->out->reused++;
	return ERR_OK;
}

static enum err from_patch(struct acquiring *a, const struct listed_file *f, bool *done)
{
	struct sync *s = a->s;
	*done = false;
	if (!f->patch)
		return ERR_OK;
	const struct held_file *h = held_at(s, s->current, f->patch->path);
	if (!h)
		return ERR_OK;
	TRY(patch_apply(s, f->patch, held_path(s, h).p, staged(a, f->path).p, f->raw_size, &a->dropped, done));
	s->out->patched += *done;
	return ERR_OK;
}

static enum err file_bring(struct acquiring *a, struct listed_file *f)
{
	struct sync *s = a->s;
	const char *to = staged(a, f->path).p;
	bool done = false;
	TRY(file_make_parents(to, s->e));
	TRY(from_held(a, f, &done));
	if (!done && !f->patch)
		done = is_staged(a, f);
	if (!done)
		TRY(from_patch(a, f, &done));
	if (!done)
		done = f->patch && is_staged(a, f);
	if (!done)
		TRY(remote_download(s, a->version, f->path, f->size, f->sha256, to));
	return ERR_OK;
}

static enum err room_enough(struct acquiring *a)
{
	struct sync *s = a->s;
	struct statvfs fs;
	struct stat st;
	int64_t needed = SPARE;
	bool trusted;
	struct arena_mark mark = arena_mark(s->arena);
	for (size_t i = 0; i < a->n; i++, arena_rewind(s->arena, mark)) {
		const struct listed_file *f = &a->files[i];
		bool there = lstat(staged(a, f->path).p, &st) == 0 && st.st_size == f->size;
		if (!there && !held_find(s, f->sha256, f->size, &trusted) && __builtin_add_overflow(needed, f->size, &needed))
			needed = INT64_MAX;
	}
	if (fstatvfs(s->dir, &fs) != 0 || (uint64_t)needed / fs.f_frsize > fs.f_bavail)
		return sync_fail(s, ERR_IO, "disk", "The disk lacks room for version %.*s.", STR_ARG(a->version));
	return ERR_OK;
}

static enum err seals_bring(struct acquiring *a)
{
	for (size_t i = 0; i < CH_LEN(seals); i++) {
		struct str content;
		TRY(remote_file(a->s, a->version, seals[i].path, seals[i].max, &content));
		TRY(stage_write(a, seals[i].path, content));
	}
	return ERR_OK;
}

static enum err files_bring(struct acquiring *a)
{
	struct sync *s = a->s;
	for (size_t i = 0; i < a->n; i++) {
		if (sync_stopped(s))
			return sync_fail(s, ERR_UNAVAILABLE, "stopped", "Stopped.");
		sync_progress(s, "files", (int64_t)i, (int64_t)a->n);
		/* What a patch takes out is remembered; of everything else nothing need stay, however many files there are. */
		struct arena_mark mark = arena_mark(s->arena);
		TRY(file_bring(a, &a->files[i]));
		if (!a->files[i].patch)
			arena_rewind(s->arena, mark);
	}
	return seals_bring(a);
}

/* ---- the patch ---- */

static struct listed_file *listed_find(struct acquiring *a, struct str path)
{
	for (size_t i = 0; i < a->n; i++)
		if (str_eq(a->files[i].path, path))
			return &a->files[i];
	return NULL;
}

/* Shards of which nothing is left are gone through all the same, so that it is known what went with them. */
static enum err patch_vanished(struct acquiring *a, const struct patch_line *line)
{
	struct sync *s = a->s;
	const struct held_file *h = held_at(s, s->current, line->path);
	bool done;
	return h ? patch_apply(s, line, held_path(s, h).p, folder_path(s, ".mirror/incoming/vanishing").p, 0, &a->dropped, &done) : ERR_OK;
}

/* The patch that leads from the version held to this one, if there is one. */
static enum err patch_bring(struct acquiring *a)
{
	struct sync *s = a->s;
	struct str path = s->current.p ? str_fmt(s->arena, "patches/%.*s--%.*s.redact.jsonl", STR_ARG(s->current), STR_ARG(a->version)) : STR_NONE;
	struct listed_file *f = path.p ? listed_find(a, path) : NULL;
	if (!f)
		return ERR_OK;
	TRY(file_bring(a, f));
	a->patched = patch_read(s, staged(a, path).p, &a->patch) == ERR_OK;
	error_clear(s->e);
	for (size_t i = 0; a->patched && i < a->patch.n; i++) {
		const struct patch_line *line = &a->patch.lines[i];
		struct listed_file *to = line->path_after.p ? listed_find(a, line->path_after) : NULL;
		if (to && to->shard)
			to->patch = line;
		else if (!line->path_after.p)
			TRY(patch_vanished(a, line));
	}
	return ERR_OK;
}

/* ---- verifying ---- */

static const struct listed_file *vouched(const struct acquiring *a, struct str path)
{
	size_t low = 0, high = a->n;
	while (low < high) {
		size_t middle = low + (high - low) / 2;
		int order = str_cmp(a->files[middle].path, path);
		if (order == 0)
			return a->files[middle].trusted ? &a->files[middle] : NULL;
		if (order < 0)
			low = middle + 1;
		else
			high = middle;
	}
	return NULL;
}

static bool vouched_rows(void *arg, struct str path, struct sha256 sha256)
{
	const struct listed_file *f = vouched(arg, path);
	return f && f->shard && sha256_eq(f->sha256, sha256);
}

static bool vouched_hash(void *arg, struct str path, struct sha256 *sha256)
{
	const struct listed_file *f = vouched(arg, path);
	if (f)
		*sha256 = f->sha256;
	return f != NULL;
}

/* By a patch, and everything that tombstones may name in what was held went by it: then what was taken over as it was holds nothing that must go, and need not be read again. */
static bool may_vouch(struct acquiring *a)
{
	struct sync *s = a->s;
	if (!a->patched || s->o->verify_all || s->state.named_more)
		return false;
	names_sort(&a->dropped);
	for (size_t i = 0; i < s->named.n; i++)
		if (version_compare(s->named_in.at[i], s->current) >= 0 && !names_sorted_has(&a->dropped, s->named.at[i]))
			return false;
	return true;
}

static enum err verify_folder(struct sync *s, const char *dir, struct str version, struct acquiring *vouching)
{
	struct verify_options options = { .public_key = s->state.key, .keys = &s->state.keys };
	struct verify_result result;
	if (vouching) {
		options.known = vouched_rows;
		options.hashed = vouched_hash;
		options.arg = vouching;
	}
	sync_progress(s, "checking", 0, 0);
	TRY(verify_release(s->arena, dir, &options, &result, s->e));
	if (result.ok && str_eq(result.version, version))
		return ERR_OK;
	for (const struct check *c = result.checks; c; c = c->next)
		if (!c->ok)
			return sync_fail(s, ERR_CORRUPT, "verify", "Version %.*s does not verify (%s): %.*s", STR_ARG(version), c->id, STR_ARG(str_sub(c->text, 0, 300)));
	return sync_fail(s, ERR_CORRUPT, "verify", "Version %.*s does not verify.", STR_ARG(version));
}

enum err recheck(struct sync *s, struct str version)
{
	return verify_folder(s, folder_path(s, "%.*s", STR_ARG(version)).p, version, NULL);
}

/* ---- into place ---- */

static enum err list_write(struct acquiring *a)
{
	struct sync *s = a->s;
	struct held files = { 0 };
	for (size_t i = 0; i < a->n; i++)
		TRY(held_note(s, &files, staged(a, a->files[i].path).p, a->files[i].path, a->files[i].sha256));
	return held_write(s, a->version, &files);
}

static struct str parent_of(struct str path)
{
	while (path.n && path.p[path.n - 1] != '/')
		path.n--;
	return str_sub(path, 0, path.n ? path.n - 1 : 0);
}

/* Each file was made durable when it was written; names and links, too, must outlast a loss of power before anything that they replace goes. */
static enum err names_sync(struct acquiring *a)
{
	struct sync *s = a->s;
	struct str before = STR_NONE;
	for (size_t i = 0; i < a->n; i++) {
		struct str parent = parent_of(a->files[i].path);
		if (before.p && str_eq(parent, before))
			continue;
		before = parent;
		for (; parent.n; parent = parent_of(parent))
			TRY(folder_sync(s, str_fmt(s->arena, "%.*s/%.*s", STR_ARG(a->stage), STR_ARG(parent)).p));
	}
	return folder_sync(s, str_z(s->arena, a->stage));
}

static enum err put_in_place(struct acquiring *a)
{
	struct sync *s = a->s;
	TRY(list_write(a));
	TRY(names_sync(a));
	if (renameat(s->dir, str_z(s->arena, a->stage), s->dir, str_z(s->arena, a->version)) != 0)
		return sync_fail(s, ERR_IO, "disk", "Version %.*s cannot be put in place: %s.", STR_ARG(a->version), strerrorname_np(errno));
	return folder_switch(s, a->version);
}

/* Other versions' beginnings, and what of this one cannot be right. */
static void stages_clear(struct sync *s)
{
	folder_clear(s, STR(".mirror/incoming"));
	folder_clear(s, STR(".mirror/parts"));
	(void)mkdirat(s->dir, ".mirror/incoming", 0755);
	(void)mkdirat(s->dir, ".mirror/parts", 0755);
}

static enum err stage_fill(struct acquiring *a)
{
	struct sync *s = a->s;
	TRY(manifest_fetch(a));
	TRY(room_enough(a));
	TRY(patch_bring(a));
	TRY(files_bring(a));
	enum err e = verify_folder(s, folder_path(s, "%.*s", STR_ARG(a->stage)).p, a->version, may_vouch(a) ? a : NULL);
	if (e == ERR_CORRUPT)
		folder_clear(s, a->stage);
	return e;
}

/* A version that an interrupted run has put in place was verified before; that it is still whole is looked at, since nothing says so. */
static enum err adopt(struct sync *s, struct str version)
{
	if (recheck(s, version) == ERR_OK)
		return folder_switch(s, version);
	TRY(folder_remove(s, version));
	return ERR_OK;
}

enum err acquire(struct sync *s, struct str version)
{
	struct acquiring a = { .s = s, .version = version };
	enum mirror_sync_how how = s->current.p ? MIRROR_SYNC_UPDATE : MIRROR_SYNC_WHOLE;
	if (folder_has(s, version)) {
		TRY(adopt(s, version));
		if (s->current.p && str_eq(s->current, version)) {
			s->out->how = how;
			return ERR_OK;
		}
	}
	TRY(stage_fill(&a));
	TRY(put_in_place(&a));
	s->out->how = a.patched && s->out->rows_dropped > 0 ? MIRROR_SYNC_PATCH : how;
	stages_clear(s);
	base_clear(s);
	s->state.base_until = INSTANT_NONE;
	return ERR_OK;
}
