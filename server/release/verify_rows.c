/* The shards, row by row, several at a time: each thread streams one shard through a window, whatever its size. */
#include "verify_internal.h"

#include "commonhold/gzip.h"

#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <unistd.h>

#define THREADS_MAX 4
/* Up to here repeated rids are looked for across shards: 16 bytes a row. */
#define SEEN_MAX INT64_C(8000000)

/* One shard. */
struct shard {
	struct found *file;
	struct str kind;         /* of its folder: data/<kind>/ */
	int64_t rows;            /* as claimed */
	struct sha256 rids_root, raw_sha256;
	int64_t raw_size;
	bool skip;               /* its rows were checked before */
	char fault[512];         /* what is wrong, or "" */
};

/* The shards and who works on them. */
struct shards {
	struct verifying *v;
	struct shard *at;
	size_t n;
	_Atomic size_t next;     /* the next one that nobody has taken */
	_Atomic bool failed;     /* no more need be begun */
};

/* One thread's state while it reads a shard. */
struct reading {
	struct verifying *v;
	struct shard *shard;
	struct arena *arena;     /* of one row */
	jmp_buf no_memory;
	struct buf canonical;
	struct merkle_builder rids;
	struct uuid last_id;     /* of the row before */
	int64_t rows;
	int64_t raw_size;
	struct hasher *raw, *file;
};

static bool shard_bad(struct shard *s, const char *fmt, ...) CH_PRINTF(2, 3);
static bool shard_bad(struct shard *s, const char *fmt, ...)
{
	char why[300];
	va_list args;
	va_start(args, fmt);
	vsnprintf(why, sizeof(why), fmt, args);
	va_end(args);
	snprintf(s->fault, sizeof(s->fault), "\"%.*s\": %s", (int)(s->file->path.n < 160 ? s->file->path.n : 160), s->file->path.p, why);
	return false;
}

static bool row_bad(struct reading *r, const char *why)
{
	return shard_bad(r->shard, "row %lld: %s.", (long long)r->rows, why);
}

static bool count_in(struct tallies *t, struct str key)
{
	for (size_t i = 0; i < t->n; i++) {
		if (str_eq(t->at[i].key, key)) {
			atomic_fetch_add(&t->at[i].counted, 1);
			return true;
		}
	}
	return false;
}

static bool is_month(struct str s)
{
	int64_t year, month;
	return s.n == 7 && s.p[4] == '-' && str_to_i64(str_sub(s, 0, 4), 1970, 9999, &year) && str_to_i64(str_sub(s, 5, 2), 1, 12, &month);
}

static bool origins_sound(const struct json *origins, struct str rid)
{
	bool own = false;
	json_each(origin, origins) {
		struct str from = json_member_text(origin, "rid"), coop;
		struct uuid id;
		if (!from.p || !rid_parse(from, &coop, &id) || !json_member_text(origin, "coop").p || !json_member_text(origin, "licence").p)
			return false;
		if (!str_eq(json_member_text(origin, "coop"), coop))
			return false;
		own = own || str_eq(from, rid);
	}
	return own;
}

/* What a row says of itself, apart from its content. */
static bool row_fields(struct reading *r, const struct json *row, struct str rid)
{
	struct verifying *v = r->v;
	struct str kind = json_member_text(row, "kind");
	const struct json *attribution = json_get(row, "attribution");
	if (!json_is(json_get(row, "content"), JSON_OBJECT))
		return row_bad(r, "it has no content");
	if (!str_eq(kind, r->shard->kind) || !count_in(&v->kinds, kind))
		return row_bad(r, "its kind is not that of the folder, or not in the manifest's counts");
	if (!count_in(&v->licences, json_member_text(row, "licence")))
		return row_bad(r, "its licence is not in the manifest's counts");
	if (!count_in(&v->coops, json_member_text(row, "source_coop")))
		return row_bad(r, "its co-op is not in the manifest's counts");
	if (!is_month(json_member_text(row, "created_month")) || !json_is(json_get(row, "lang"), JSON_STRING))
		return row_bad(r, "its month or its language is missing");
	if (!json_is(attribution, JSON_STRING) && !json_is(attribution, JSON_NULL))
		return row_bad(r, "its attribution is neither a name nor null");
	return origins_sound(json_get(row, "origins"), rid) ? true : row_bad(r, "its origins do not name it");
}

static bool row_rid(struct reading *r, struct str rid)
{
	struct str coop;
	struct uuid id;
	if (!rid.p || !rid_parse(rid, &coop, &id))
		return row_bad(r, "it has no rid");
	/* By the id itself, whichever home it is of: rows of several homes stand side by side. */
	if (r->rows > 1 && uuid_cmp(r->last_id, id) >= 0)
		return row_bad(r, "its rid does not come after the one before");
	r->last_id = id;
	struct sha256 leaf = merkle_leaf(rid);
	merkle_add(&r->rids, leaf);
	if (rid_set_has(&r->v->tombstoned, leaf))
		return row_bad(r, "it was deleted: a tombstone names it");
	if (r->v->seen.slots && !rid_set_add(&r->v->seen, leaf))
		return row_bad(r, "another shard has it too");
	return true;
}

static bool row_line(void *arg, struct str line)
{
	struct reading *r = arg;
	const char *why;
	struct arena_mark mark = arena_mark(r->arena);
	r->rows++;
	if (setjmp(r->no_memory))
		return row_bad(r, "it is too complex");
	arena_guard(r->arena, &r->no_memory);
	const struct json *row = line_object(r->arena, &r->canonical, line, &why);
	if (!row)
		return row_bad(r, why);
	struct str rid = json_member_text(row, "rid");
	bool ok = row_rid(r, rid) && row_fields(r, row, rid);
	if (ok)
		joint_row(r->v, row, &r->canonical);
	arena_guard(r->arena, NULL);
	arena_rewind(r->arena, mark);
	return ok;
}

static void saw_compressed(void *hasher, const void *p, size_t n)
{
	hasher_add(hasher, p, n);
}

static bool shard_stream(struct reading *r, struct gz_reader *gz, struct line_reader *lines)
{
	static _Thread_local char block[65536];
	struct error e = { 0 };
	size_t got;
	for (;;) {
		if (gz_reader_read(gz, block, sizeof(block), &got, &e) != ERR_OK)
			return shard_bad(r->shard, "%s", e.message);
		if (got == 0)
			break;
		r->raw_size += (int64_t)got;
		if (r->raw_size > r->shard->raw_size)
			return shard_bad(r->shard, "it holds more than the manifest says.");
		hasher_add(r->raw, block, got);
		if (!lines_feed(lines, block, got))
			return r->shard->fault[0] ? false : shard_bad(r->shard, "%s.", lines->fault);
	}
	return lines_end(lines) ? true : shard_bad(r->shard, "%s.", lines->fault);
}

static bool shard_compare(struct reading *r)
{
	struct shard *s = r->shard;
	struct sha256 root = merkle_builder_root(&r->rids), raw = hasher_end(r->raw);
	s->file->sha256 = hasher_end(r->file);
	s->file->hashed = true;
	if (r->rows != s->rows)
		return shard_bad(s, "it has %lld rows; the manifest says %lld.", (long long)r->rows, (long long)s->rows);
	if (r->raw_size != s->raw_size || memcmp(raw.b, s->raw_sha256.b, 32) != 0)
		return shard_bad(s, "its lines are not those that the manifest speaks of: their hash differs.");
	if (memcmp(root.b, s->rids_root.b, 32) != 0)
		return shard_bad(s, "the Merkle root over its rids differs from the manifest's.");
	return true;
}

static bool shard_read(struct verifying *v, struct shard *s, struct arena *arena)
{
	struct reading r = { .v = v, .shard = s, .arena = arena, .raw = hasher_new(NULL), .file = hasher_new(NULL) };
	struct line_reader lines;
	struct gz_reader *gz = NULL;
	struct error e = { 0 };
	int fd = files_open(v, s->file->path);
	buf_init(&r.canonical, VERIFY_LINE_MAX + 1);
	lines_init(&lines, row_line, &r);
	bool ok;
	if (fd < 0 || !r.raw || !r.file || gz_reader_open(&gz, fd, saw_compressed, r.file, &e) != ERR_OK)
		ok = shard_bad(s, "it cannot be read.");
	else
		ok = shard_stream(&r, gz, &lines) && shard_compare(&r);
	gz_reader_close(gz);
	lines_release(&lines);
	buf_release(&r.canonical);
	hasher_free(r.raw);
	hasher_free(r.file);
	arena_guard(arena, NULL);
	arena_reset(arena);
	if (fd >= 0)
		close(fd);
	return ok;
}

static void *read_shards(void *arg)
{
	struct shards *all = arg;
	struct arena *arena = arena_new(VERIFY_LINE_ARENA);
	for (;;) {
		size_t at = atomic_fetch_add(&all->next, 1);
		if (at >= all->n || atomic_load(&all->failed))
			break;
		struct shard *s = &all->at[at];
		if (s->skip) {
			(void)files_hash_quietly(all->v, s->file); /* files_hashes says what is wrong with it */
			continue;
		}
		if (!arena)
			shard_bad(s, "there is no memory to read it.");
		if (!arena || !shard_read(all->v, s, arena))
			atomic_store(&all->failed, true);
	}
	arena_free(arena);
	return NULL;
}

static void read_together(struct shards *all)
{
	pthread_t threads[THREADS_MAX];
	long cores = sysconf(_SC_NPROCESSORS_ONLN);
	size_t wanted = cores > 1 ? (size_t)cores - 1 : 0, n = 0;
	if (wanted > THREADS_MAX)
		wanted = THREADS_MAX;
	while (n < wanted && n + 1 < all->n && pthread_create(&threads[n], NULL, read_shards, all) == 0)
		n++;
	read_shards(all);
	while (n)
		pthread_join(threads[--n], NULL);
}

static bool shard_of(struct verifying *v, struct found *f, struct shard *s)
{
	const struct json *e = f->entry;
	struct sha256 sha;
	struct str rest = str_sub(f->path, 5, f->path.n);
	*s = (struct shard){ .file = f, .rows = json_int(json_get(e, "rows"), -1), .raw_size = json_int(json_get(e, "raw_size"), -1) };
	if (!str_split(&rest, '/', &s->kind) || !rest.p || str_index(rest, '/') >= 0 || !str_ends(rest, ".jsonl.gz"))
		return verify_bad(v, "\"%.*s\" is not the path of a shard.", STR_ARG(f->path));
	if (!sha256_parse(json_member_text(e, "rids_root"), &s->rids_root) || !sha256_parse(json_member_text(e, "raw_sha256"), &s->raw_sha256) ||
		!sha256_parse(json_member_text(e, "sha256"), &sha))
		return verify_bad(v, "The manifest lacks hashes of \"%.*s\".", STR_ARG(f->path));
	s->skip = v->options->known && v->options->known(v->options->arg, f->path, sha);
	return true;
}

static bool shards_list(struct verifying *v, struct shards *all)
{
	size_t n = 0;
	for (size_t i = 0; i < v->n_files; i++)
		n += str_starts(v->files[i].path, "data/");
	all->at = ARENA_ARRAY(v->arena, n + 1, struct shard);
	for (size_t i = 0; i < v->n_files; i++)
		if (str_starts(v->files[i].path, "data/") && !shard_of(v, &v->files[i], &all->at[all->n++]))
			return false;
	return true;
}

/* What was counted is what was claimed; rows that were not read again may make up the difference. */
static bool tallies_hold(struct verifying *v, const struct tallies *t, int64_t not_read)
{
	int64_t missing = 0;
	for (size_t i = 0; i < t->n; i++) {
		int64_t counted = atomic_load(&t->at[i].counted), claimed = t->at[i].claimed;
		if (counted > claimed || (not_read == 0 && counted != claimed))
			return verify_bad(v, "The manifest counts %lld rows %s %.*s; there are %lld.", (long long)claimed, t->name, STR_ARG(t->at[i].key), (long long)counted);
		missing += claimed - counted;
	}
	return missing == not_read ? true : verify_bad(v, "The manifest's counts %s do not add up to its rows.", t->name);
}

bool rows_check(struct verifying *v)
{
	struct shards all = { .v = v };
	int64_t items = json_int(json_at(v->manifest, "/counts/items"), -1), read = 0, not_read = 0;
	if (!shards_list(v, &all))
		return false;
	if (!joint_begin(v))
		return false;
	if (items <= SEEN_MAX && !rid_set_init(&v->seen, (size_t)items))
		return verify_bad(v, "There is no memory for the rids.");
	read_together(&all);
	for (size_t i = 0; i < all.n; i++) {
		if (all.at[i].fault[0])
			return verify_bad(v, "%s", all.at[i].fault);
		*(all.at[i].skip ? &not_read : &read) += all.at[i].rows;
	}
	v->result->rows = read;
	if (read + not_read != items)
		return verify_bad(v, "The shards hold %lld rows; the manifest counts %lld.", (long long)(read + not_read), (long long)items);
	return tallies_hold(v, &v->kinds, not_read) && tallies_hold(v, &v->licences, not_read) && tallies_hold(v, &v->coops, not_read) &&
		verify_good(v, "%lld rows in %zu shards: canonical, sorted, none twice, none deleted; counts, hashes and Merkle roots hold.", (long long)items, all.n);
}
