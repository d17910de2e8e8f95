/* A co-op's releases, log and feed, made by hand. mirror_server.c serves them. */
#include "mirror_world_internal.h"
#include "scratch.h"

#include "commonhold/file.h"
#include "commonhold/gzip.h"
#include "commonhold/json.h"
#include "commonhold/ledger.h"
#include "commonhold/limits.h"
#include "commonhold/verify.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

void world_die(const char *fmt, ...)
{
	va_list args;
	va_start(args, fmt);
	fprintf(stderr, "mirror_world: ");
	vfprintf(stderr, fmt, args);
	fprintf(stderr, "\n");
	va_end(args);
	abort();
}

const char *world_path(struct world *w, const char *version, const char *path)
{
	return str_z(w->arena, str_fmt(w->arena, "%s/%s/%s", w->dir, version, path));
}

struct str world_rid(struct world *w, struct arena *a, int row)
{
	return str_fmt(a, "dc:%.*s:%08x-0000-4000-8000-000000000000", STR_ARG(w->coop), (unsigned)row);
}

static struct str hex(struct world *w, struct sha256 h)
{
	return sha256_hex(w->arena, h);
}

struct str world_canonical(struct arena *a, struct str text)
{
	const struct json *v;
	struct error e = { 0 };
	struct buf out;
	if (json_parse(a, text, &v, &e) != ERR_OK)
		world_die("%s in %.*s", e.message, STR_ARG(text));
	buf_init(&out, 64 * MIB);
	json_canonical(&out, v, true);
	return buf_take(a, &out);
}

static void write_file(const char *path, struct str s)
{
	struct error e = { 0 };
	FILE *f = file_make_parents(path, &e) == ERR_OK ? fopen(path, "we") : NULL;
	if (!f || fwrite(s.p, 1, s.n, f) != s.n || fclose(f) != 0)
		world_die("%s cannot be written", path);
}

/* ---- the log ---- */

void leaf_add(struct world *w, struct str entry)
{
	if (w->n_leaves == WORLD_LEAVES)
		world_die("too many leaves");
	w->leaves[w->n_leaves++] = merkle_leaf(entry);
}

enum err world_hash_at(void *arg, unsigned level, uint64_t index, struct sha256 *out)
{
	*out = merkle_root((const struct sha256 *)arg + (index << level), (size_t)1 << level);
	return ERR_OK;
}

/* ---- a release ---- */

struct making {
	struct world *w;
	const char *version, *from;
	struct buf files, sums, distribution, patch;
	struct sha256 policy, report;
	int rows;
};

static void sums_add(struct making *m, const char *name, struct sha256 h)
{
	buf_addf(&m->sums, "%.*s  %s\n", STR_ARG(hex(m->w, h)), name);
}

static void entry_add(struct making *m, const char *name, struct str text, struct buf *to)
{
	struct sha256 h = sha256(text);
	write_file(world_path(m->w, m->version, name), text);
	sums_add(m, name, h);
	buf_addf(to, "%s{\"path\":\"%s\",\"sha256\":\"%.*s\",\"size\":%zu}", to->n ? "," : "", name, STR_ARG(hex(m->w, h)), text.n);
}

/* Words that look different from row to row and compress as text does. */
static void filler(struct buf *b, int row, int bytes)
{
	uint32_t x = (uint32_t)row * 2654435761u + 12345u;
	for (int i = 0; i < bytes; i += 8) {
		x = x * 1664525u + 1013904223u;
		buf_addf(b, "w%06u ", x >> 16 & 0x3fff);
	}
}

static void row_text(struct world *w, struct buf *b, int row)
{
	struct str coop = w->coop;
	char rid[80];
	snprintf(rid, sizeof(rid), "dc:%.*s:%08x-0000-4000-8000-000000000000", STR_ARG(coop), (unsigned)row);
	buf_addf(b, "{\"attribution\":null,\"content\":{\"text\":\"");
	filler(b, row, w->row_bytes);
	buf_addf(b, "\"},\"created_month\":\"2026-10\",\"kind\":\"chat\",\"lang\":\"de\",\"licence\":\"CC0-1.0\",\"origins\":[{\"coop\":\"%.*s\",\"licence\":\"CC0-1.0\",\"rid\":\"%s\"}],\"rid\":\"%s\","
		"\"source_coop\":\"%.*s\"}\n", STR_ARG(coop), rid, rid, STR_ARG(coop));
}

/* What the shard was in the version that is redacted, from that one's manifest. */
static const struct json *before_of(struct making *m, const char *path)
{
	struct str text;
	const struct json *j;
	struct error e = { 0 };
	if (!m->from || file_read(m->w->arena, "x", world_path(m->w, m->from, "manifest.json"), LIMIT_MANIFEST, &text, &e) != ERR_OK || json_parse(m->w->arena, text, &j, &e) != ERR_OK)
		return NULL;
	json_each(f, json_get(j, "files"))
		if (str_is(json_member_text(f, "path"), path))
			return f;
	return NULL;
}

/* Rows of the shard that the version before had and this one has not, by their numbers there. */
static bool gone_rows(struct making *m, int first, int last, struct buf *out)
{
	struct world *w = m->w;
	int at = 0, n = 0;
	for (int row = first; row < last; row++) {
		if (w->erased[row] && !m->w->erased[row + w->rows])
			buf_addf(out, "%s%d", n++ ? "," : "", at);
		at += !w->erased[row + w->rows];
	}
	return n > 0;
}

static void patch_line(struct making *m, const char *path, int first, int last, const struct gz_result *g, int rows)
{
	struct buf gone;
	const struct json *before = before_of(m, path);
	buf_init(&gone, 16 * MIB);
	if (before && gone_rows(m, first, last, &gone)) {
		struct str raw = json_member_text(before, "raw_sha256");
		if (rows)
			buf_addf(&m->patch, "{\"path\":\"%s\",\"path_after\":\"%s\",\"raw_sha256\":\"%.*s\",\"raw_sha256_after\":\"%.*s\",\"rows\":[%.*s],\"sha256_after\":\"%.*s\",\"size_after\":%lld}\n", path, path,
				STR_ARG(raw), STR_ARG(hex(m->w, g->raw_sha256)), STR_ARG(buf_str(&gone)), STR_ARG(hex(m->w, g->sha256)), (long long)g->size);
		else
			buf_addf(&m->patch, "{\"path\":\"%s\",\"path_after\":null,\"raw_sha256\":\"%.*s\",\"raw_sha256_after\":null,\"rows\":[%.*s],\"sha256_after\":null,\"size_after\":null}\n", path, STR_ARG(raw),
				STR_ARG(buf_str(&gone)));
	}
	buf_release(&gone);
}

static void shard(struct making *m, struct buf *to, int no, int n_shards)
{
	struct world *w = m->w;
	struct gz_writer *out;
	struct gz_result g;
	struct error e = { 0 };
	struct merkle_builder rids = { .size = 0 };
	struct buf line;
	char name[64];
	int first = no * w->per_shard, last = first + w->per_shard < w->rows ? first + w->per_shard : w->rows, rows = 0;
	snprintf(name, sizeof(name), "data/chat/cc0-%05d-of-%05d.jsonl.gz", no, n_shards);
	const char *path = world_path(w, m->version, name);
	if (file_make_parents(path, &e) != ERR_OK || gz_writer_open(&out, path, 6, 0, &e) != ERR_OK)
		world_die("%s", e.message);
	buf_init(&line, MIB);
	for (int row = first; row < last; row++) {
		struct arena_mark mark = arena_mark(w->arena);
		if (w->erased[row])
			continue;
		buf_clear(&line);
		row_text(w, &line, row);
		gz_writer_add(out, line.p, line.n);
		merkle_add(&rids, merkle_leaf(world_rid(w, w->arena, row)));
		arena_rewind(w->arena, mark);
		rows++;
	}
	buf_release(&line);
	if (gz_writer_close(out, &g, &e) != ERR_OK)
		world_die("%s", e.message);
	patch_line(m, name, first, last, &g, rows);
	if (!rows) {
		unlink(path);
		return;
	}
	sums_add(m, name, g.sha256);
	buf_addf(to, "%s{\"path\":\"%s\",\"raw_sha256\":\"%.*s\",\"raw_size\":%lld,\"rids_root\":\"%.*s\",\"rows\":%d,\"sha256\":\"%.*s\",\"size\":%lld}", to->n ? "," : "", name, STR_ARG(hex(w, g.raw_sha256)),
		(long long)g.raw_size, STR_ARG(hex(w, merkle_builder_root(&rids))), rows, STR_ARG(hex(w, g.sha256)), (long long)g.size);
	buf_addf(&m->distribution, "%s{\"@type\":\"cr:FileObject\",\"contentUrl\":\"%s\",\"sha256\":\"%.*s\"}", m->distribution.n ? "," : "", name, STR_ARG(hex(w, g.sha256)));
	m->rows += rows;
}

/* In byte order of path; data/ is made first, since Croissant names its hashes. */
static void documents(struct making *m)
{
	struct world *w = m->w;
	struct buf shards;
	int n = (w->rows + w->per_shard - 1) / w->per_shard;
	char patch[80];
	buf_init(&shards, 64 * MIB);
	entry_add(m, "LICENSES/CC0-1.0.txt", STR("CC0\n"), &m->files);
	entry_add(m, "README.md", str_fmt(w->arena, "# Release %s\n", m->version), &m->files);
	entry_add(m, "TERMS.md", STR("Be kind.\n"), &m->files);
	for (int i = 0; i < n; i++)
		shard(m, &shards, i, n);
	entry_add(m, "croissant.json", world_canonical(w->arena, str_fmt(w->arena, "{\"@type\":\"sc:Dataset\",\"distribution\":[%.*s]}", STR_ARG(buf_str(&m->distribution)))), &m->files);
	buf_add_byte(&m->files, ',');
	buf_add_str(&m->files, buf_str(&shards));
	buf_release(&shards);
	snprintf(patch, sizeof(patch), "patches/%s--%s.redact.jsonl", m->from ? m->from : "", m->version);
	if (m->from)
		entry_add(m, patch, buf_str(&m->patch), &m->files);
	struct str policy = STR("{\"v\":1}");
	struct str report = world_canonical(w->arena, str_fmt(w->arena, "{\"v\":1,\"release\":\"dc:%.*s:5e000000-0000-4000-8000-%012zx\",\"totals\":{\"candidates\":%d,\"released\":%d,\"excluded\":0},\"reasons\":[],"
		"\"privacy\":{\"k\":5,\"contributors\":7}}", STR_ARG(w->coop), w->n_versions, m->rows, m->rows));
	m->policy = sha256(policy);
	m->report = sha256(report);
	entry_add(m, "policy.json", policy, &m->files);
	entry_add(m, "report.json", report, &m->files);
	entry_add(m, "tombstones.jsonl", buf_str(&w->feed), &m->files);
}

static struct str manifest_of(struct making *m)
{
	struct world *w = m->w;
	struct str verifier = note_verifier_key(w->arena, w->origin, w->key.public_key), candidates = hex(w, sha256(STR("candidates")));
	struct str prev = w->n_versions ? str_fmt(w->arena, "\"%s\"", w->versions[w->n_versions - 1].version) : STR("null");
	struct str redacts = m->from ? str_fmt(w->arena, ",\"redacts\":\"%s\"", m->from) : STR("");
	return world_canonical(w->arena, str_fmt(w->arena,
		"{\"v\":1,\"release\":\"dc:%.*s:5e000000-0000-4000-8000-%012zx\",\"version\":\"%s\",\"line\":\"main\",\"prev\":%.*s,\"coops\":[\"%.*s\"],\"created\":\"2026-11-01T00:00:00Z\",\"expires\":null,"
		"\"policy_sha256\":\"%.*s\",\"report_sha256\":\"%.*s\",\"candidates_sha256\":\"%.*s\",\"min_usable\":\"%s\",\"ballot\":null,\"counts\":{\"items\":%d,\"contributors\":7,\"by_kind\":{\"chat\":%d},"
		"\"by_licence\":{\"CC0-1.0\":%d},\"by_coop\":{\"%.*s\":%d}},\"files\":[%.*s],\"tombstones\":{\"count\":%lld,\"upto_index\":%lld},\"gates\":[],\"privacy\":{\"k\":5,\"contributors\":7},"
		"\"log\":{\"origin\":\"%.*s\",\"verifier_key\":\"%.*s\"}%.*s}",
		STR_ARG(w->coop), w->n_versions, m->version, STR_ARG(prev), STR_ARG(w->coop), STR_ARG(hex(w, m->policy)), STR_ARG(hex(w, m->report)), STR_ARG(candidates), m->version, m->rows, m->rows, m->rows,
		STR_ARG(w->coop), m->rows, STR_ARG(buf_str(&m->files)), (long long)w->n_lines, (long long)w->n_lines - 1, STR_ARG(w->origin), STR_ARG(verifier), STR_ARG(redacts)));
}

static void seal_release(struct making *m, struct str manifest)
{
	struct world *w = m->w;
	struct sha256 *path;
	struct str envelope = dsse_sign(w->arena, &w->key, 1, STR(RELEASE_PAYLOAD_TYPE), manifest);
	struct tlog_proof proof = { .index = w->n_leaves };
	struct str entry = world_canonical(w->arena, str_fmt(w->arena, "{\"at\":\"2026-11-01T00:00:00Z\",\"data\":{\"manifest_sha256\":\"%.*s\",\"release\":\"dc:%.*s:5e000000-0000-4000-8000-%012zx\","
		"\"version\":\"%s\"},\"t\":\"release.published\"}", STR_ARG(hex(w, sha256(manifest))), STR_ARG(w->coop), w->n_versions, m->version));
	leaf_add(w, entry);
	if (merkle_inclusion(w->arena, proof.index, w->n_leaves, world_hash_at, w->leaves, &path, &proof.n) != ERR_OK)
		world_die("no proof");
	proof.path = path;
	proof.entry = entry;
	proof.checkpoint = checkpoint_sign(w->arena, w->origin, w->n_leaves, merkle_root(w->leaves, w->n_leaves), &w->key);
	struct str text = tlog_proof_write(w->arena, &proof);
	write_file(world_path(w, m->version, "manifest.json"), manifest);
	write_file(world_path(w, m->version, "manifest.dsse.json"), envelope);
	write_file(world_path(w, m->version, "checkpoint"), proof.checkpoint);
	write_file(world_path(w, m->version, "release.tlog-proof"), text);
	sums_add(m, "checkpoint", sha256(proof.checkpoint));
	sums_add(m, "release.tlog-proof", sha256(text));
	sums_add(m, "manifest.json", sha256(manifest));
	sums_add(m, "manifest.dsse.json", sha256(envelope));
	write_file(world_path(w, m->version, "SHA256SUMS"), buf_str(&m->sums));
	write_file(world_path(w, m->version, "SHA256SUMS.minisig"), minisign_sign(w->arena, &w->key, buf_str(&m->sums), STR("test")));
}

void world_publish_version(struct world *w, const char *version, const char *from)
{
	struct making m = { .w = w, .version = version, .from = from };
	struct buf *all[] = { &m.files, &m.sums, &m.distribution, &m.patch };
	for (size_t i = 0; i < CH_LEN(all); i++)
		buf_init(all[i], 64 * MIB);
	documents(&m);
	seal_release(&m, manifest_of(&m));
	for (size_t i = 0; i < CH_LEN(all); i++)
		buf_release(all[i]);
	memcpy(w->erased + w->rows, w->erased, (size_t)w->rows);
	struct world_version *v = &w->versions[w->n_versions++];
	*v = (struct world_version){ .withdrawn = false };
	snprintf(v->version, sizeof(v->version), "%s", version);
}

/* ---- tombstones ---- */

void world_tombstone(struct world *w, int row, const char *kind, const char *release)
{
	struct arena *a = w->arena;
	uint8_t sig[64];
	struct str rid = world_rid(w, a, row);
	struct str until = strcmp(kind, "embargo") == 0 ? STR(",\"until\":\"2028-01-01T00:00:00Z\"") : STR("");
	struct str head = str_fmt(a, "{\"effective\":\"2026-11-01T00:00:00Z\",\"idx\":%lld,\"kind\":\"%s\",\"prev\":\"%.*s\",\"purge_by\":\"2026-12-01T00:00:00Z\",\"reason_code\":\"request\","
		"\"releases\":[%s%s%s],\"rid\":[\"%.*s\"]", (long long)w->n_lines, kind, STR_ARG(hex(w, w->chain)), release ? "\"" : "", release ? release : "", release ? "\"" : "", STR_ARG(rid));
	struct str tail = str_fmt(a, ",\"t\":\"2026-11-01T00:00:00Z\"%.*s}", STR_ARG(until));
	struct str text = str_fmt(a, "commonhold/tombstone/1\n%.*s%.*s", STR_ARG(head), STR_ARG(tail));
	sign_bytes(&w->key, text, sig);
	struct str line = str_fmt(a, "%.*s,\"sig\":\"%.*s\"%.*s", STR_ARG(head), STR_ARG(str_base64(a, sig, 64)), STR_ARG(tail));
	if (w->n_lines == (int64_t)CH_LEN(w->line_at))
		world_die("too many tombstones");
	w->line_at[w->n_lines++] = w->feed.n;
	w->chain = sha256(line);
	buf_add_str(&w->feed, line);
	buf_add_byte(&w->feed, '\n');
}

void world_withdraw(struct world *w, const char *version)
{
	for (size_t i = 0; i < w->n_versions; i++)
		if (strcmp(w->versions[i].version, version) == 0)
			w->versions[i].withdrawn = true;
	leaf_add(w, str_fmt(w->arena, "{\"t\":\"release.withdrawn\",\"v\":\"%s\"}", version));
}

void world_erase(struct world *w, const int *rows, size_t n)
{
	const char *last = w->versions[w->n_versions - 1].version;
	for (size_t i = 0; i < n; i++) {
		w->erased[rows[i]] = true;
		world_tombstone(w, rows[i], "erase", last);
	}
	for (size_t i = 0; i < w->n_versions; i++)
		if (!w->versions[i].withdrawn)
			world_withdraw(w, w->versions[i].version);
	leaf_add(w, STR("{\"t\":\"tombstones.appended\"}"));
}

void world_rotate(struct world *w)
{
	struct error e = { 0 };
	struct sign_key next;
	uint8_t seed[32] = "a key that the co-op got later  ";
	seed[31] = (uint8_t)w->n_leaves;
	sign_key_from_seed(&next, seed);
	if (!w->keys.n)
		w->keys = keychain_single(w->arena, w->key.public_key);
	if (keychain_extend(w->arena, &w->keys, &w->key, &next, INT64_C(1793491200000000) + (instant)w->n_leaves * CLOCK_MINUTE /* within the hour of its tombstones */, (int64_t)w->n_leaves, &w->keys, &e) != ERR_OK)
		world_die("%s", e.message);
	w->key = next;
	leaf_add(w, STR("{\"t\":\"key.rotated\"}"));
}

/* ---- */

struct world *world_new(int rows, int per_shard, int row_bytes)
{
	struct world *w = calloc(1, sizeof(*w));
	uint8_t seed[32] = "a co-op of the mirror's tests   ", other[32] = "somebody else, who has a key too";
	if (!w || !crypto_start())
		world_die("no memory");
	w->arena = arena_new((size_t)2048 * MIB);
	w->rows = rows;
	w->per_shard = per_shard;
	w->row_bytes = row_bytes;
	w->erased = calloc((size_t)rows * 2, sizeof(*w->erased));
	w->created = INSTANT_NONE;
	snprintf(w->dir, sizeof(w->dir), "/tmp/mirror-world-XXXXXX");
	if (!w->arena || !w->erased || !scratch_folder(w->dir))
		world_die("no folder");
	sign_key_from_seed(&w->key, seed);
	sign_key_from_seed(&w->other, other);
	w->coop = coop_key_name(w->arena, w->key.public_key);
	w->origin = str_fmt(w->arena, "commonhold.example/coop/%.*s", STR_ARG(w->coop));
	w->chain = sha256(w->origin);
	buf_init(&w->feed, 64 * MIB);
	leaf_add(w, STR("{\"t\":\"coop.founded\"}"));
	world_serve(w);
	return w;
}

void world_free(struct world *w)
{
	world_stop(w);
	scratch_remove(w->dir);
	buf_release(&w->feed);
	free(w->erased);
	arena_free(w->arena);
	free(w);
}
