#include "commonhold/file.h"
#include "commonhold/origin.h"
#include "commonhold/verify.h"

#include "joint_internal.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

struct file_entry *artefact_add(struct artefact *a)
{
	if (a->n_files == a->cap_files) {
		size_t cap = a->cap_files ? a->cap_files * 2 : 64;
		struct file_entry *grown = ARENA_ARRAY(a->d->arena, cap, struct file_entry);
		if (a->n_files)
			memcpy(grown, a->files, a->n_files * sizeof(*grown));
		a->files = grown;
		a->cap_files = cap;
	}
	struct file_entry *f = &a->files[a->n_files++];
	*f = (struct file_entry){ 0 };
	return f;
}

enum err artefact_write(struct artefact *a, const char *path, struct str content, bool listed)
{
	struct call *c = a->c;
	struct str full = str_fmt(c->arena, "%.*s/%s", STR_ARG(a->dir), path);
	TRY(file_make_parents(full.p, &c->error));
	int fd = open(full.p, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
	if (fd < 0)
		return fail(c, ERR_IO, "A release's file cannot be created: %s.", strerrorname_np(errno));
	bool good = file_write_all(fd, content.p, content.n) && fsync(fd) == 0;
	int why = errno;
	close(fd);
	if (!good)
		return fail(c, ERR_IO, "A release's file cannot be written: %s.", strerrorname_np(why));
	if (listed) {
		struct file_entry *f = artefact_add(a);
		f->path = str_copy(a->d->arena, str_of(path));
		f->size = (int64_t)content.n;
		f->sha256 = sha256(content);
	}
	return ERR_OK;
}

static int by_path(const void *a, const void *b)
{
	return str_cmp(((const struct file_entry *)a)->path, ((const struct file_entry *)b)->path);
}

static void write_counts(struct json_writer *w, const char *key, const int64_t *counts, unsigned n, const char *(*name)(unsigned))
{
	/* Canonical order is by name; the writer's caller sorts when it canonicalises. */
	jw_key(w, key);
	jw_object(w);
	for (unsigned i = 0; i < n; i++)
		if (counts[i])
			jw_kint(w, name(i), counts[i]);
	jw_end_object(w);
}

static void write_hash(struct json_writer *w, struct arena *a, const char *key, struct sha256 h)
{
	jw_kstr(w, key, sha256_hex(a, h));
}

static void write_files(struct json_writer *w, struct artefact *a)
{
	struct arena *arena = a->d->arena;
	jw_key(w, "files");
	jw_array(w);
	for (size_t i = 0; i < a->n_files; i++) {
		const struct file_entry *f = &a->files[i];
		jw_object(w);
		jw_kstr(w, "path", f->path);
		if (f->shard) {
			write_hash(w, arena, "raw_sha256", f->raw_sha256);
			jw_kint(w, "raw_size", f->raw_size);
			write_hash(w, arena, "rids_root", f->rids_root);
			jw_kint(w, "rows", f->rows);
		}
		write_hash(w, arena, "sha256", f->sha256);
		jw_kint(w, "size", f->size);
		jw_end_object(w);
	}
	jw_end_array(w);
}

/* A check that was passed, with the digest of what shows it. */
static void write_gate(struct json_writer *w, struct arena *a, const char *id, const struct sha256 *evidence)
{
	jw_object(w);
	jw_key(w, "evidence_sha256");
	if (evidence)
		jw_str(w, sha256_hex(a, *evidence));
	else
		jw_null(w);
	jw_kz(w, "id", id);
	jw_kz(w, "result", "passed");
	jw_end_object(w);
}

static void write_gates(struct json_writer *w, struct artefact *a)
{
	struct arena *arena = a->d->arena;
	jw_key(w, "gates");
	jw_array(w);
	write_gate(w, arena, "ballot", &a->release->candidates_sha256);
	write_gate(w, arena, "consent", &a->report_sha256);
	write_gate(w, arena, "k_contributors", &a->report_sha256);
	write_gate(w, arena, "licences", &a->policy_sha256);
	write_gate(w, arena, "tombstones", &a->report_sha256);
	jw_end_array(w);
}

/* Rows by the co-op that they come from, and all co-ops that they have an origin in. */
struct homes { struct origin_names names; int64_t rows[ORIGIN_MAX + 1]; bool any[ORIGIN_MAX + 1]; };

static enum err homes_count(struct artefact *a, struct homes *h)
{
	const struct decided *d = a->d;
	*h = (struct homes){ .any = { true } };
	TRY(origin_names_load(a->c, a->release->coop, &h->names));
	for (size_t i = 0; i < d->n; i++) {
		if (!outcome_is_in(d->outcomes[i]))
			continue;
		unsigned origin = d->more ? origin_of_more(d->more[i]) : 0;
		h->rows[origin]++;
		h->any[origin] = true;
	}
	for (size_t i = 0; d->guests && i < d->guests->n_origins; i++)
		if (d->guests->origins[i].item < d->n && outcome_is_in(d->outcomes[d->guests->origins[i].item]))
			h->any[d->guests->origins[i].origin] = true;
	return ERR_OK;
}

static void manifest_text(struct artefact *a, const struct homes *homes, struct json_writer *w)
{
	struct arena *arena = a->d->arena;
	const struct release *r = a->release;
	jw_object(w);
	jw_key(w, "ballot");
	jw_object(w);
	write_hash(w, arena, "digest", r->candidates_sha256);
	jw_kstr(w, "id", uuid_format(arena, r->ballot));
	jw_kz(w, "result", "passed");
	jw_end_object(w);
	write_hash(w, arena, "candidates_sha256", r->candidates_sha256);
	jw_key(w, "coops");
	jw_array(w);
	for (size_t i = 0; i <= ORIGIN_MAX; i++)
		if (homes->any[i])
			jw_str(w, homes->names.key_name[i]);
	jw_end_array(w);
	jw_key(w, "counts");
	jw_object(w);
	jw_key(w, "by_coop");
	jw_object(w);
	for (size_t i = 0; i <= ORIGIN_MAX; i++) {
		if (i > 0 && homes->rows[i] == 0)
			continue;
		jw_key_str(w, homes->names.key_name[i]);
		jw_int(w, homes->rows[i]);
	}
	jw_end_object(w);
	write_counts(w, "by_kind", a->rows_by_kind, POLICY_KIND_COUNT, policy_kind_name);
	write_counts(w, "by_licence", a->rows_by_licence, POLICY_LICENCE_COUNT, licence_spdx);
	jw_kint(w, "contributors", a->contributors);
	jw_kint(w, "items", a->rows);
	jw_end_object(w);
	jw_kstr(w, "created", clock_format(arena, r->build_after));
	jw_key(w, "expires");
	jw_null(w);
	write_files(w, a);
	write_gates(w, a);
	if (a->joint)
		joint_manifest(a, w);
	jw_kz(w, "line", "main");
	jw_key(w, "log");
	jw_object(w);
	jw_kstr(w, "origin", a->origin);
	jw_kstr(w, "verifier_key", note_verifier_key(arena, a->origin, a->key.public_key));
	jw_end_object(w);
	jw_kstr(w, "min_usable", a->version);
	write_hash(w, arena, "policy_sha256", a->policy_sha256);
	jw_key(w, "prev");
	jw_str(w, a->previous ? a->previous->version : STR_NONE);
	jw_key(w, "privacy");
	jw_object(w);
	jw_kint(w, "contributors", a->contributors);
	jw_kint(w, "k", a->d->spec.k_contributors);
	jw_end_object(w);
	if (a->base)
		jw_kstr(w, "redacts", a->base->version);
	jw_kstr(w, "release", rid_format(arena, a->coop.key_name, r->id));
	write_hash(w, arena, "report_sha256", a->report_sha256);
	jw_key(w, "tombstones");
	jw_object(w);
	jw_kint(w, "count", a->tombstones);
	jw_kint(w, "upto_index", a->tombstones_upto);
	jw_end_object(w);
	jw_kint(w, "v", 1);
	jw_kstr(w, "version", a->version);
	jw_end_object(w);
}

enum err artefact_write_canonical(struct artefact *a, const char *path, struct str json, bool listed, struct sha256 *digest)
{
	const struct json *tree;
	struct buf b;
	TRY(json_parse(a->d->arena, json, &tree, &a->c->error));
	buf_init(&b, LIMIT_MANIFEST);
	json_canonical(&b, tree, false);
	enum err e = b.failed ? fail(a->c, ERR_TOO_LARGE, "%s has grown over its limit.", path) : artefact_write(a, path, buf_str(&b), listed);
	if (digest)
		*digest = sha256(buf_str(&b));
	buf_release(&b);
	return e;
}

enum err manifest_write(struct artefact *a, struct sha256 *manifest)
{
	struct buf b;
	struct json_writer w;
	struct homes *homes = ARENA_NEW(a->d->arena, struct homes);
	TRY(homes_count(a, homes));
	qsort(a->files, a->n_files, sizeof(*a->files), by_path);
	buf_init(&b, LIMIT_MANIFEST);
	jw_init(&w, &b);
	manifest_text(a, homes, &w);
	struct str text = buf_take(a->d->arena, &b);
	if (!text.p)
		return fail(a->c, ERR_TOO_LARGE, "The release has too many files for one manifest.");
	const struct json *tree;
	TRY(json_parse(a->d->arena, text, &tree, &a->c->error));
	buf_init(&b, LIMIT_MANIFEST);
	json_canonical(&b, tree, false);
	struct str canonical = buf_take(a->d->arena, &b);
	*manifest = sha256(canonical);
	TRY(artefact_write(a, "manifest.json", canonical, false));
	struct str envelope = a->joint ? joint_envelope(a, canonical, *manifest) : dsse_sign(a->d->arena, &a->key, 1, STR(RELEASE_PAYLOAD_TYPE), canonical);
	return artefact_write(a, "manifest.dsse.json", envelope, false);
}

static enum err sums_line(struct artefact *a, struct buf *out, struct str path, struct sha256 h)
{
	buf_addf(out, "%.*s  %.*s\n", STR_ARG(sha256_hex(a->d->arena, h)), STR_ARG(path));
	return ERR_OK;
}

/* The hash of a file that was just written, small enough to read back. */
static enum err sums_small(struct artefact *a, struct buf *out, const char *path)
{
	struct call *c = a->c;
	struct str full = str_fmt(c->arena, "%.*s/%s", STR_ARG(a->dir), path);
	int fd = open(full.p, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return fail(c, ERR_IO, "%s cannot be read back: %s.", path, strerrorname_np(errno));
	struct hasher *h = hasher_new(c->arena);
	char block[16384];
	ssize_t n;
	while ((n = read(fd, block, sizeof(block))) > 0)
		hasher_add(h, block, (size_t)n);
	close(fd);
	if (n < 0)
		return fail(c, ERR_IO, "%s cannot be read back: %s.", path, strerrorname_np(errno));
	return sums_line(a, out, str_of(path), hasher_end(h));
}

enum err seals_write(struct artefact *a, int64_t leaf)
{
	struct call *c = a->c;
	struct str proof;
	struct tlog_proof parsed;
	TRY(ledger_prove_inclusion(c, a->release->coop, leaf, &proof));
	TRY(tlog_proof_read(c->arena, proof, &parsed, &c->error));
	TRY(artefact_write(a, "release.tlog-proof", proof, false));
	TRY(artefact_write(a, "checkpoint", parsed.checkpoint, false));
	struct buf sums;
	buf_init(&sums, LIMIT_MANIFEST);
	static const char *const sealed[] = { "checkpoint", "manifest.dsse.json", "manifest.json", "release.tlog-proof" };
	for (size_t i = 0; i < a->n_files; i++)
		TRY(sums_line(a, &sums, a->files[i].path, a->files[i].sha256));
	for (size_t i = 0; i < CH_LEN(sealed); i++)
		TRY(sums_small(a, &sums, sealed[i]));
	struct str text = buf_take(a->d->arena, &sums);
	TRY(artefact_write(a, "SHA256SUMS", text, false));
	struct str when = clock_format(c->arena, a->release->build_after);
	struct str comment = str_fmt(c->arena, "%.*s %.*s %.*s", STR_ARG(a->coop.slug), STR_ARG(a->version), STR_ARG(when));
	return artefact_write(a, "SHA256SUMS.minisig", minisign_sign(c->arena, &a->key, text, comment), false);
}
