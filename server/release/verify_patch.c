/* The patch of a redaction release: that it names files as they are, and, with the release that it starts from at hand, that applying it gives exactly these files. */
#include "verify_internal.h"

#include "commonhold/file.h"
#include "commonhold/gzip.h"
#include "commonhold/limits.h"

#include <fcntl.h>
#include <unistd.h>

/* The release that the patch starts from. */
struct from {
	struct verifying at;        /* its folder and manifest: only what opening files needs */
	const struct json *files;   /* of its manifest */
	int64_t applied, same;      /* shards that the patch made, and that it left as they were */
};

struct patching {
	struct verifying *v;
	struct arena *arena;        /* of one line */
	struct buf scratch;
	struct from *from;          /* NULL: not given */
	struct str last;            /* path of the line before */
	int64_t lines, gone;
};

static const struct json *entry_of(const struct json *files, struct str path)
{
	json_each(entry, files)
		if (str_eq(json_member_text(entry, "path"), path))
			return entry;
	return NULL;
}

static bool same_text(const struct json *a, const char *a_key, const struct json *b, const char *b_key)
{
	struct str x = json_member_text(a, a_key), y = json_member_text(b, b_key);
	return x.p && str_eq(x, y);
}

/* Ascending, none twice, at least one; *highest is the last. */
static bool rows_sound(const struct json *rows, int64_t *highest)
{
	*highest = -1;
	if (!json_is(rows, JSON_ARRAY) || rows->count == 0)
		return false;
	json_each(row, rows) {
		int64_t no = json_int(row, -1);
		if (no <= *highest)
			return false;
		*highest = no;
	}
	return true;
}

/* ---- applying a line ---- */

struct applying {
	const struct json *next;    /* number of the next line that goes */
	int64_t line;
	struct hasher *after;
	int64_t kept;
};

static bool apply_line(void *arg, struct str line)
{
	struct applying *a = arg;
	if (a->next && json_int(a->next, -1) == a->line) {
		a->next = a->next->next;
	} else {
		hasher_add(a->after, line.p, line.n);
		hasher_add(a->after, "\n", 1);
		a->kept++;
	}
	a->line++;
	return true;
}

/* Streams a shard of the base; hands out the digests of its lines, all and those that stay. */
static bool apply(struct patching *p, struct str path, const struct json *rows, struct sha256 *before, struct sha256 *after, int64_t *kept)
{
	static char block[65536];
	struct error e = { 0 };
	struct applying a = { .next = rows->child, .after = hasher_new(NULL) };
	struct hasher *all = hasher_new(NULL);
	struct line_reader lines;
	struct gz_reader *gz = NULL;
	size_t got = 1;
	int fd = files_open(&p->from->at, path);
	lines_init(&lines, apply_line, &a);
	bool ok = fd >= 0 && a.after && all && gz_reader_open(&gz, fd, NULL, NULL, &e) == ERR_OK;
	while (ok && got > 0) {
		ok = gz_reader_read(gz, block, sizeof(block), &got, &e) == ERR_OK;
		if (ok && got > 0) {
			hasher_add(all, block, got);
			ok = lines_feed(&lines, block, got);
		}
	}
	ok = ok && lines_end(&lines) && !a.next;
	if (a.after && all) {
		*before = hasher_end(all);
		*after = hasher_end(a.after);
	}
	*kept = a.kept;
	lines_release(&lines);
	gz_reader_close(gz);
	hasher_free(a.after);
	hasher_free(all);
	if (fd >= 0)
		close(fd);
	return ok ? true : verify_bad(p->v, "The patch cannot be applied to \"%.*s\" of the base: that cannot be read, or has fewer lines.", STR_ARG(path));
}

static bool apply_to_base(struct patching *p, const struct json *line, const struct json *to)
{
	struct str path = json_member_text(line, "path");
	const struct json *base = entry_of(p->from->files, path);
	struct sha256 before, after, said, wanted;
	int64_t kept;
	if (!base || !same_text(base, "raw_sha256", line, "raw_sha256"))
		return verify_bad(p->v, "The patch is about another \"%.*s\" than that of the base.", STR_ARG(path));
	if (!apply(p, path, json_get(line, "rows"), &before, &after, &kept))
		return false;
	if (!sha256_parse(json_member_text(line, "raw_sha256"), &said) || !sha256_eq(said, before))
		return verify_bad(p->v, "\"%.*s\" of the base does not hold the lines that its manifest speaks of.", STR_ARG(path));
	if (!to && kept)
		return verify_bad(p->v, "The patch says that nothing is left of \"%.*s\", but does not name all of its lines.", STR_ARG(path));
	if (to && (!sha256_parse(json_member_text(line, "raw_sha256_after"), &wanted) || !sha256_eq(after, wanted)))
		return verify_bad(p->v, "Applied to \"%.*s\" of the base, the patch does not give this release's lines.", STR_ARG(path));
	p->from->applied++;
	return true;
}

/* ---- the patch by itself ---- */

static bool line_after(struct patching *p, const struct json *line, const struct json **to)
{
	struct str path = json_member_text(line, "path"), after = json_member_text(line, "path_after");
	const struct json *files = json_get(p->v->manifest, "files");
	*to = entry_of(files, path);
	if (json_is(json_get(line, "path_after"), JSON_NULL))
		return !*to && json_is(json_get(line, "raw_sha256_after"), JSON_NULL) ? true : verify_bad(p->v, "The patch says that \"%.*s\" is gone, but it is there.", STR_ARG(path));
	if (!str_eq(path, after) || !*to)
		return verify_bad(p->v, "The patch makes \"%.*s\", which is no file of this release.", STR_ARG(str_sub(after, 0, 200)));
	if (!same_text(line, "raw_sha256_after", *to, "raw_sha256") || !same_text(line, "sha256_after", *to, "sha256") ||
		json_int(json_get(line, "size_after"), -1) != json_int(json_get(*to, "size"), -2))
		return verify_bad(p->v, "The patch promises another \"%.*s\" than there is.", STR_ARG(path));
	return true;
}

static bool patch_line(void *arg, struct str text)
{
	struct patching *p = arg;
	struct arena_mark mark = arena_mark(p->arena);
	const char *why;
	const struct json *to;
	struct sha256 raw;
	int64_t highest;
	const struct json *line = line_object(p->arena, &p->scratch, text, &why);
	p->lines++;
	if (!line)
		return verify_bad(p->v, "Line %lld of the patch is wrong: %s.", (long long)p->lines, why);
	struct str path = json_member_text(line, "path");
	if (!str_starts(path, "data/") || path.n > 255 || (p->last.p && str_cmp(p->last, path) >= 0))
		return verify_bad(p->v, "Line %lld of the patch is about no shard, or out of order.", (long long)p->lines);
	if (line->count != 7 || !sha256_parse(json_member_text(line, "raw_sha256"), &raw) || !rows_sound(json_get(line, "rows"), &highest))
		return verify_bad(p->v, "Line %lld of the patch does not say which lines go, ascending.", (long long)p->lines);
	if (!line_after(p, line, &to) || (p->from && !apply_to_base(p, line, to)))
		return false;
	p->gone += json_get(line, "rows")->count;
	char kept[256];
	memcpy(kept, path.p, path.n);
	arena_rewind(p->arena, mark);
	p->last = str_copy(p->arena, str_make(kept, path.n));
	return true;
}

static bool patch_read(struct patching *p, struct str path)
{
	struct line_reader lines;
	char block[65536];
	ssize_t got = 0;
	int fd = files_open(p->v, path);
	if (fd < 0)
		return verify_bad(p->v, "The patch cannot be read.");
	lines_init(&lines, patch_line, p);
	buf_init(&p->scratch, VERIFY_LINE_MAX);
	bool ok = true;
	p->v->said[0] = '\0';
	while (ok && (got = read(fd, block, sizeof(block))) > 0)
		ok = lines_feed(&lines, block, (size_t)got);
	ok = ok && got == 0 && lines_end(&lines);
	if (!ok && !p->v->said[0])
		verify_bad(p->v, "The patch is wrong: %s.", lines.fault ? lines.fault : "it cannot be read");
	lines_release(&lines);
	buf_release(&p->scratch);
	close(fd);
	return ok;
}

/* ---- with the base ---- */

/* The base's manifest, signed by the same key. */
static bool base_open(struct patching *p, const char *dir, struct from *out)
{
	struct verifying *v = p->v;
	struct str envelope, payload;
	const struct json *manifest;
	struct error e = { 0 };
	uint8_t keys[1][32];
	memcpy(keys[0], v->key, 32);
	out->at.dir = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (out->at.dir < 0)
		return verify_bad(v, "The folder of the base cannot be opened.");
	p->from = out;
	if (file_read(v->arena, "The base's manifest.dsse.json", str_fmt(v->arena, "%s/manifest.dsse.json", dir).p, 2 * LIMIT_MANIFEST, &envelope, &e) != ERR_OK ||
		dsse_verify(v->arena, envelope, (const uint8_t (*)[32])keys, 1, 1, STR(RELEASE_PAYLOAD_TYPE), &payload, &e) != ERR_OK ||
		json_parse(v->arena, payload, &manifest, &e) != ERR_OK)
		return verify_bad(v, "The base: %s", e.message);
	if (!same_text(manifest, "version", v->manifest, "redacts"))
		return verify_bad(v, "The base is version %.*s; the patch starts from %.*s.", STR_ARG(json_member_text(manifest, "version")), STR_ARG(json_member_text(v->manifest, "redacts")));
	out->files = json_get(manifest, "files");
	return true;
}

/* Every shard here was made by the patch or is the base's own. */
static bool rest_is_same(struct patching *p)
{
	int64_t here = 0, made = 0;
	json_each(entry, json_get(p->v->manifest, "files")) {
		const struct json *base = entry_of(p->from->files, json_member_text(entry, "path"));
		if (!str_starts(json_member_text(entry, "path"), "data/"))
			continue;
		here++;
		p->from->same += base && same_text(entry, "sha256", base, "sha256");
	}
	json_each(entry, p->from->files)
		made += str_starts(json_member_text(entry, "path"), "data/");
	if (made != p->from->same + p->from->applied || here < p->from->same)
		return verify_bad(p->v, "There are shards that are neither the base's own nor made by the patch.");
	return true;
}

bool patches_check(struct verifying *v)
{
	struct str redacts = json_member_text(v->manifest, "redacts"), wanted = STR_NONE;
	struct patching p = { .v = v, .arena = v->arena };
	struct from from = { .at = { .dir = -1 } };
	size_t patches = 0;
	if (redacts.p)
		wanted = str_fmt(v->arena, "patches/%.*s--%.*s.redact.jsonl", STR_ARG(redacts), STR_ARG(v->result->version));
	for (size_t i = 0; i < v->n_files; i++) {
		if (!str_starts(v->files[i].path, "patches/"))
			continue;
		patches++;
		if (!wanted.p || !str_eq(v->files[i].path, wanted))
			return verify_bad(v, "\"%.*s\" is not the patch of this release.", STR_ARG(v->files[i].path));
	}
	if (!redacts.p)
		return v->options->base ? verify_bad(v, "This release is no redaction of another.") : verify_good(v, "No patch, since it is no redaction of another release.");
	if (!patches)
		return verify_bad(v, "The patch from %.*s is missing.", STR_ARG(redacts));
	bool ok = (!v->options->base || base_open(&p, v->options->base, &from)) && patch_read(&p, wanted) && (!p.from || rest_is_same(&p));
	if (from.at.dir >= 0)
		close(from.at.dir);
	if (!ok)
		return false;
	if (!p.from)
		return verify_good(v, "%lld rows went from %lld shards of %.*s; give it with --base to see that nothing else did.", (long long)p.gone, (long long)p.lines, STR_ARG(redacts));
	return verify_good(v, "Applied to %.*s the patch gives exactly these shards: %lld rows went from %lld of them, %lld are the same.", STR_ARG(redacts), (long long)p.gone, (long long)p.lines,
		(long long)p.from->same);
}
