/* A redaction release's shards and its patch: both say which lines of the base go, and nothing else. What stays is copied line by line from the base, so that whoever applies the patch
 * has the very same bytes; no content is opened and no name looked up for it. */
#include "commonhold/gzip.h"

#include "release_internal.h"
#include "verify_internal.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

#define PATCH_MAX (512 * MIB)

SQL(base_shards,
	"SELECT path, size, sha256, raw_size, raw_sha256, rows, rids_root, input_sha256 FROM release_file WHERE coop_id = $1 AND release_id = $2 AND input_sha256 IS NOT NULL "
	"ORDER BY path COLLATE \"C\"");

struct str patch_path(struct arena *a, struct str from, struct str to)
{
	return str_fmt(a, "patches/%.*s--%.*s.redact.jsonl", STR_ARG(from), STR_ARG(to));
}

/* A shard of the base, and what stays of it. */
struct base_shard {
	struct file_entry file;    /* as it was published */
	const struct shard_key *key; /* of what stays; NULL: nothing does */
	const uint32_t *items;     /* positions of what stays, by id */
	size_t n;
};

/* All of them, in byte order of path. */
struct base {
	struct artefact *a;
	struct base_shard *shards;
	size_t n;
	struct buf patch;
	int64_t gone;              /* lines that go */
};

static enum err base_load(struct artefact *a, struct base *b)
{
	struct rows r;
	TRY(db_query(a->c, base_shards, &r, A_UUID(a->release->coop), A_UUID(a->base->id)));
	b->n = (size_t)r.n;
	b->shards = ARENA_ARRAY(a->d->arena, b->n, struct base_shard);
	for (int i = 0; i < r.n; i++)
		b->shards[i].file = (struct file_entry){
			.path = str_copy(a->d->arena, row_str(&r, i, 0)), .size = row_int(&r, i, 1), .sha256 = sha256_load(row_bytes(&r, i, 2)), .shard = true, .checked = true,
			.raw_size = row_int(&r, i, 3), .raw_sha256 = sha256_load(row_bytes(&r, i, 4)), .rows = row_int(&r, i, 5), .rids_root = sha256_load(row_bytes(&r, i, 6)),
			.input = sha256_load(row_bytes(&r, i, 7)),
		};
	return ERR_OK;
}

/* The place where a path stands or would stand. */
static size_t base_place(const struct base *b, struct str path)
{
	size_t low = 0, high = b->n;
	while (low < high) {
		size_t middle = (low + high) / 2;
		if (str_cmp(b->shards[middle].file.path, path) < 0)
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

/* Into how many parts the base had cut a group: the last number of the paths of its parts. 0: it had no such group. */
static unsigned base_parts(const struct base *b, const struct shard_key *key)
{
	struct str any = shard_path(b->a, key, 0, 1);
	size_t prefix = any.n - (sizeof("00000-of-00001.jsonl.gz") - 1);
	size_t at = base_place(b, str_sub(any, 0, prefix));
	if (at == b->n || !str_eq(str_sub(b->shards[at].file.path, 0, prefix), str_sub(any, 0, prefix)))
		return 0;
	int64_t parts;
	struct str path = b->shards[at].file.path;
	return str_to_i64(str_sub(path, path.n - (sizeof("00001.jsonl.gz") - 1), 5), 1, 65536, &parts) ? (unsigned)parts : 0;
}

static enum err group_place(struct base *b, const struct shard_key *key, const struct group *g)
{
	struct decided *d = b->a->d;
	unsigned parts = base_parts(b, key), bits = 0;
	while (1u << bits < parts)
		bits++;
	for (size_t from = 0, to; from < g->n; from = to) {
		unsigned part = shard_part(d->ids[g->items[from]], bits);
		for (to = from + 1; to < g->n && shard_part(d->ids[g->items[to]], bits) == part; to++)
			continue;
		struct str path = shard_path(b->a, key, part, 1u << bits);
		size_t at = base_place(b, path);
		if (parts == 0 || at == b->n || !str_eq(b->shards[at].file.path, path))
			return fail(b->a->c, ERR_CORRUPT, "The withdrawn release lacks the shard %.*s.", STR_ARG(path));
		b->shards[at].key = key;
		b->shards[at].items = g->items + from;
		b->shards[at].n = to - from;
	}
	return ERR_OK;
}

/* ---- a shard that loses lines ---- */

/* The base's lines as they stream by. */
struct sifting {
	struct base *b;
	const struct base_shard *from;
	struct gz_writer *out;      /* NULL when nothing stays */
	struct str own;             /* key name of the co-op */
	struct merkle_builder rids;
	struct shard_input input;
	int64_t line;               /* number of the next one */
	size_t kept;                /* how many stayed so far */
	bool any_gone;
};

#define KEY_NAME 16                       /* characters of a co-op's name */
#define RID_TEXT (3 + KEY_NAME + 1 + UUID_TEXT)
#define BEFORE_SOURCE "\",\"source_coop\":\""

/* The rid near the end of a row: members are in canonical order, and "source_coop", the home that the rid names too, is the last. */
static bool row_id(struct str line, struct str *rid, struct uuid *id)
{
	const size_t source = KEY_NAME + 2, behind = RID_TEXT + sizeof(BEFORE_SOURCE) - 1 + source;
	struct str coop;
	if (line.n < behind + 7 || !str_eq(str_sub(line, line.n - behind - 7, 7), STR("\"rid\":\"")) || !str_eq(str_sub(line, line.n - 2, 2), STR("\"}"))
		|| !str_eq(str_sub(line, line.n - source - sizeof(BEFORE_SOURCE) + 1, sizeof(BEFORE_SOURCE) - 1), STR(BEFORE_SOURCE)))
		return false;
	*rid = str_sub(line, line.n - behind, RID_TEXT);
	return rid_parse(*rid, &coop, id) && str_eq(coop, str_sub(line, line.n - source, KEY_NAME));
}

/* The member "origins" of a row, which stands before its rid; empty where it is just the co-op's own. None of its texts has a bracket. */
static struct str row_origins(struct str own, struct str line, struct str rid)
{
	size_t end = (size_t)(rid.p - line.p) - 8, start = end;
	while (start > 0 && line.p[start] != '[')
		start--;
	struct str origins = str_sub(line, start, end - start);
	size_t n = 0;
	for (size_t i = 0; i < origins.n; i++)
		n += origins.p[i] == '{';
	return n == 1 && str_eq(str_sub(rid, 3, KEY_NAME), own) ? STR_NONE : origins;
}

/* The JSON of the attribution, the first member of a row: null or a string. */
static struct str row_attribution(struct str line)
{
	static const struct str head = { "{\"attribution\":", 15 };
	if (line.n < head.n + 4 || !str_eq(str_sub(line, 0, head.n), head))
		return STR_NONE;
	if (line.p[head.n] != '"')
		return str_sub(line, head.n, 4);
	size_t end = head.n + 1;
	while (end < line.n && line.p[end] != '"')
		end += line.p[end] == '\\' ? 2 : 1;
	return end < line.n ? str_sub(line, head.n, end + 1 - head.n) : STR_NONE;
}

static void line_goes(struct sifting *s)
{
	struct buf *p = &s->b->patch;
	if (s->any_gone)
		buf_add_byte(p, ',');
	buf_add_i64(p, s->line);
	s->any_gone = true;
	s->b->gone++;
}

static bool line_stays(struct sifting *s, struct str line, struct str rid, uint32_t item)
{
	const struct decided *d = s->b->a->d;
	struct str name = row_attribution(line);
	if (!name.p || name.n > 8192)
		return false;
	shard_input_add_row(&s->input, d->arena, d->ids[item], d->hashes[item], name, row_origins(s->own, line, rid));
	merkle_add(&s->rids, merkle_leaf(rid));
	gz_writer_add(s->out, line.p, line.n);
	gz_writer_add(s->out, "\n", 1);
	s->kept++;
	return true;
}

static bool sift_line(void *arg, struct str line)
{
	struct sifting *s = arg;
	const struct base_shard *from = s->from;
	struct str rid;
	struct uuid id;
	if (!row_id(line, &rid, &id))
		return false;
	bool ok = true;
	if (s->kept < from->n && memcmp(s->b->a->d->ids[from->items[s->kept]], id.b, 16) == 0)
		ok = line_stays(s, line, rid, from->items[s->kept]);
	else
		line_goes(s);
	s->line++;
	return ok;
}

/* Streams the lines of the base's file; their digest must be the one it was published with. */
static enum err sift_file(struct sifting *s, int fd, struct hasher *raw)
{
	struct call *c = s->b->a->c;
	static _Thread_local char block[65536];
	struct line_reader lines;
	struct gz_reader *gz = NULL;
	size_t got = 1;
	TRY(gz_reader_open(&gz, fd, NULL, NULL, &c->error));
	lines_init(&lines, sift_line, s);
	enum err e = ERR_OK;
	bool ok = true;
	while (ok && e == ERR_OK && got > 0) {
		e = gz_reader_read(gz, block, sizeof(block), &got, &c->error);
		if (e == ERR_OK && got > 0) {
			hasher_add(raw, block, got);
			ok = lines_feed(&lines, block, got);
		}
	}
	ok = ok && lines_end(&lines);
	lines_release(&lines);
	gz_reader_close(gz);
	TRY(e);
	struct sha256 digest = hasher_end(raw);
	if (!ok || s->kept != s->from->n || s->line != s->from->file.rows || !sha256_eq(digest, s->from->file.raw_sha256))
		return fail(c, ERR_CORRUPT, "The shard %.*s of the withdrawn release is not what was published.", STR_ARG(s->from->file.path));
	return ERR_OK;
}

static enum err sift(struct sifting *s)
{
	struct artefact *a = s->b->a;
	struct call *c = a->c;
	struct str dir = release_dir(c->arena, a->base->coop, a->base->id);
	int fd = open(str_fmt(c->arena, "%.*s/%.*s", STR_ARG(dir), STR_ARG(s->from->file.path)).p, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
	if (fd < 0)
		return fail(c, ERR_IO, "A shard of the withdrawn release cannot be opened: %s.", strerrorname_np(errno));
	enum err e = sift_file(s, fd, hasher_new(a->d->arena));
	close(fd);
	return e;
}

static void patch_hash(struct buf *p, const char *key, struct arena *a, const struct sha256 *h)
{
	if (h) {
		struct str hex = sha256_hex(a, *h);
		buf_addf(p, "\"%s\":\"%.*s\",", key, STR_ARG(hex));
	} else {
		buf_addf(p, "\"%s\":null,", key);
	}
}

/* The members of the patch's line before and after "rows", which are written as the lines go by: raw_sha256_after is known only afterwards, so that rows are put in last. */
static void patch_line(struct base *b, const struct base_shard *from, const struct file_entry *to, struct str rows)
{
	struct arena *a = b->a->d->arena;
	struct buf *p = &b->patch;
	buf_addf(p, "{\"path\":\"%.*s\",", STR_ARG(from->file.path));
	if (to)
		buf_addf(p, "\"path_after\":\"%.*s\",", STR_ARG(to->path));
	else
		buf_add_z(p, "\"path_after\":null,");
	patch_hash(p, "raw_sha256", a, &from->file.raw_sha256);
	patch_hash(p, "raw_sha256_after", a, to ? &to->raw_sha256 : NULL);
	buf_add_z(p, "\"rows\":[");
	buf_add_str(p, rows);
	buf_add_z(p, "],");
	patch_hash(p, "sha256_after", a, to ? &to->sha256 : NULL);
	if (to)
		buf_addf(p, "\"size_after\":%lld}\n", (long long)to->size);
	else
		buf_add_z(p, "\"size_after\":null}\n");
}

/* Takes what was appended to the patch since `from` off it again. */
static struct str patch_cut(struct base *b, size_t from)
{
	struct str rows = str_copy(b->a->d->arena, str_sub(buf_str(&b->patch), from, b->patch.n));
	b->patch.n = from;
	return rows;
}

static enum err shard_rewrite(struct base *b, const struct base_shard *from)
{
	struct artefact *a = b->a;
	struct call *c = a->c;
	struct gz_result result;
	size_t mark = b->patch.n;
	struct sifting s = { .b = b, .from = from, .own = a->coop.key_name };
	if (from->n == 0) {
		TRY(sift(&s));
		patch_line(b, from, NULL, patch_cut(b, mark));
		return ERR_OK;
	}
	struct file_entry *f = artefact_add(a);
	f->shard = true;
	f->path = from->file.path;
	shard_input_begin(a, &s.input, from->key);
	TRY(gz_writer_open(&s.out, str_fmt(c->arena, "%.*s/%.*s", STR_ARG(a->dir), STR_ARG(f->path)).p, SHARD_LEVEL, 0, &c->error));
	enum err e = sift(&s);
	if (e != ERR_OK) {
		gz_writer_abort(s.out);
		return e;
	}
	TRY(gz_writer_close(s.out, &result, &c->error));
	f->size = result.size;
	f->sha256 = result.sha256;
	f->raw_size = result.raw_size;
	f->raw_sha256 = result.raw_sha256;
	f->rows = (int64_t)from->n;
	f->rids_root = merkle_builder_root(&s.rids);
	f->input = shard_input_end(&s.input);
	patch_line(b, from, f, patch_cut(b, mark));
	return ERR_OK;
}

/* What stays is a part of what the base held, so that as many are the same. */
static enum err shard_keep(struct base *b, const struct base_shard *from)
{
	struct artefact *a = b->a;
	struct call *c = a->c;
	struct str dir = release_dir(c->arena, a->base->coop, a->base->id);
	struct str old = str_fmt(c->arena, "%.*s/%.*s", STR_ARG(dir), STR_ARG(from->file.path)), new = str_fmt(c->arena, "%.*s/%.*s", STR_ARG(a->dir), STR_ARG(from->file.path));
	if (link(old.p, new.p) != 0)
		return fail(c, ERR_IO, "A shard of the withdrawn release cannot be linked: %s.", strerrorname_np(errno));
	*artefact_add(a) = from->file;
	return ERR_OK;
}

static enum err shards_sift(struct base *b)
{
	struct artefact *a = b->a;
	for (size_t i = 0; i < b->n; i++) {
		const struct base_shard *s = &b->shards[i];
		struct arena_mark mark = arena_mark(a->c->arena);
		if ((int64_t)s->n > s->file.rows)
			return fail(a->c, ERR_CORRUPT, "A redaction would hold more than the release it is made from.");
		TRY((int64_t)s->n == s->file.rows ? shard_keep(b, s) : shard_rewrite(b, s));
		arena_rewind(a->c->arena, mark);
		if (s->n) {
			a->rows_by_kind[s->key->kind] += (int64_t)s->n;
			a->rows_by_licence[s->key->licence] += (int64_t)s->n;
			a->rows += (int64_t)s->n;
		}
	}
	if (b->patch.failed)
		return fail(a->c, ERR_TOO_LARGE, "The patch has grown over its limit.");
	return b->gone ? ERR_OK : fail(a->c, ERR_CORRUPT, "A release was withdrawn for tombstones, but all of it may still be released.");
}

enum err redact_shards_write(struct artefact *a)
{
	struct base b = { .a = a };
	struct shard_key *keys;
	struct group *groups;
	size_t n;
	a->contributors = (int64_t)a->d->report.contributors;
	TRY(base_load(a, &b));
	TRY(shard_keys(a, &keys, &n));
	TRY(shards_make_folders(a));
	groups_make(a, n, &groups);
	for (size_t k = 0; k < n; k++)
		if (groups[k].n)
			TRY(group_place(&b, &keys[k], &groups[k]));
	buf_init(&b.patch, PATCH_MAX);
	enum err e = shards_sift(&b);
	if (e == ERR_OK)
		e = artefact_write(a, patch_path(a->d->arena, a->base->version, a->version).p, buf_str(&b.patch), true);
	buf_release(&b.patch);
	return e;
}
