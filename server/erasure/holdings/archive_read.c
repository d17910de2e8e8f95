/* archive_read.c - an archive from elsewhere, believed only as far as its signed manifest covers it. */
#include "server/erasure/holdings/archive_internal.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#define MANIFEST_BYTES (8 * MIB)  /* of an archive that is read: some 50,000 files */
#define ENVELOPE_BYTES (12 * MIB) /* the same in base64, and signatures */
#define CHUNK (64 * KIB)

enum err archive_bytes(struct call *c, int fd, const struct tar_file *f, size_t max, struct str *out)
{
	if (f->size < 0 || (uint64_t)f->size > max)
		return fail(c, ERR_TOO_LARGE, "%s is too large.", f->name);
	char *to = arena_take(c->arena, (size_t)f->size + 1);
	for (int64_t done = 0; done < f->size;) {
		ssize_t n = pread(fd, to + done, (size_t)(f->size - done), f->at + done);
		if (n <= 0)
			return fail(c, ERR_IO, "The archive cannot be read.");
		done += n;
	}
	*out = str_make(to, (size_t)f->size);
	return ERR_OK;
}

static enum err digest_of(struct call *c, int fd, const struct tar_file *f, struct hasher *h, struct sha256 *out)
{
	char chunk[CHUNK];
	for (int64_t at = 0; at < f->size;) {
		ssize_t n = pread(fd, chunk, f->size - at < (int64_t)CHUNK ? (size_t)(f->size - at) : CHUNK, f->at + at);
		if (n <= 0)
			return fail(c, ERR_IO, "The archive cannot be read.");
		hasher_add(h, chunk, (size_t)n);
		at += n;
	}
	*out = hasher_end(h);
	return ERR_OK;
}

/* Finds the manifest and its signature, wherever they stand. */
static enum err find_manifest(struct call *c, int fd, int64_t size, struct tar_file *manifest, struct tar_file *envelope)
{
	struct tar_file f;
	bool found = true;
	*manifest = *envelope = (struct tar_file){ .size = -1 };
	for (int64_t at = 0; found;) {
		TRY(tar_next(fd, size, &at, &f, &found, &c->error));
		if (found && str_is(str_of(f.name), "archive.json"))
			*manifest = f;
		else if (found && str_is(str_of(f.name), "archive.dsse.json"))
			*envelope = f;
	}
	return manifest->size >= 0 && envelope->size >= 0 ? ERR_OK : fail(c, ERR_CORRUPT, "This is no archive of ours: archive.json or its signature is missing.");
}

/* The signature holds, and is of these very bytes. */
static enum err check_signature(struct call *c, struct str manifest, const struct json *m, struct str envelope, const uint8_t key[32], struct archive_info *out)
{
	struct str payload;
	if (!str_unhex(json_member_text(m, "key"), out->key, sizeof(out->key)))
		return fail(c, ERR_CORRUPT, "The archive does not say whose signature it has.");
	if (key && memcmp(key, out->key, sizeof(out->key)) != 0)
		return fail_reason(c, ERR_REFUSED, "wrong_key", "The archive was signed by another server than the one whose key you gave.");
	TRY(dsse_verify(c->arena, envelope, (const uint8_t (*)[32])out->key, 1, 1, STR(ARCHIVE_PAYLOAD_TYPE), &payload, &c->error));
	return str_eq(payload, manifest) ? ERR_OK : fail(c, ERR_CORRUPT, "The signature is of another manifest.");
}

static bool has_seal_name(const char *name)
{
	return str_is(str_of(name), "archive.json") || str_is(str_of(name), "archive.dsse.json");
}

/* Every file as the manifest says, in its order, and no other. */
static enum err check_members(struct call *c, int fd, int64_t size, const struct json *members)
{
	struct hasher *h = hasher_new(c->arena);
	const struct json *wanted = members ? members->child : NULL;
	struct tar_file f;
	bool found = true;
	for (int64_t at = 0; found;) {
		struct sha256 is, should;
		TRY(tar_next(fd, size, &at, &f, &found, &c->error));
		if (!found || has_seal_name(f.name))
			continue;
		if (!wanted || !str_is(json_member_text(wanted, "path"), f.name))
			return fail(c, ERR_CORRUPT, "%s is not where the manifest has it.", f.name);
		TRY(digest_of(c, fd, &f, h, &is));
		if (json_int(json_get(wanted, "size"), -1) != f.size || !sha256_parse(json_member_text(wanted, "sha256"), &should) || !sha256_eq(is, should))
			return fail(c, ERR_CORRUPT, "%s has changed since the archive was made.", f.name);
		wanted = wanted->next;
	}
	return wanted ? fail(c, ERR_CORRUPT, "%.*s is missing.", STR_ARG(json_member_text(wanted, "path"))) : ERR_OK;
}

static enum err read_info(struct call *c, const struct json *m, struct archive_info *out)
{
	const struct json *coops = json_get(m, "coops");
	if (!str_is(json_member_text(m, "format"), ARCHIVE_FORMAT))
		return fail(c, ERR_INVALID, "This archive is of a form that this server does not know.");
	if (!clock_parse(json_member_text(m, "made_at"), &out->made_at))
		return fail(c, ERR_CORRUPT, "The archive does not say when it was made.");
	out->instance = json_member_text(m, "instance");
	out->subject = json_member_text(m, "subject");
	out->coops = ARENA_ARRAY(c->arena, coops ? coops->count : 1, struct archive_coop);
	json_each (one, coops)
		out->coops[out->n_coops++] = (struct archive_coop){ .key_name = json_member_text(one, "key_name"), .slug = json_member_text(one, "slug"), .name = json_member_text(one, "name"),
			.contributions = json_int(json_get(one, "contributions"), 0) };
	return ERR_OK;
}

static enum err look_through(struct call *c, int fd, const uint8_t key[32], struct archive_info *out)
{
	struct tar_file manifest, envelope;
	struct stat st;
	struct str text, sealed;
	const struct json *m;
	*out = (struct archive_info){ 0 };
	if (fstat(fd, &st) != 0 || !S_ISREG(st.st_mode))
		return fail(c, ERR_INVALID, "An archive is read from a file: it is looked through before anything of it is taken.");
	TRY(find_manifest(c, fd, st.st_size, &manifest, &envelope));
	TRY(archive_bytes(c, fd, &manifest, MANIFEST_BYTES, &text));
	TRY(archive_bytes(c, fd, &envelope, ENVELOPE_BYTES, &sealed));
	TRY(json_parse(c->arena, text, &m, &c->error));
	TRY(read_info(c, m, out));
	TRY(check_signature(c, text, m, sealed, key, out));
	return check_members(c, fd, st.st_size, json_get(m, "members"));
}

enum err archive_refused(struct call *c, enum err e)
{
	char said[sizeof(c->error.message)];
	if (e != ERR_CORRUPT && e != ERR_BAD_JSON && e != ERR_BAD_UTF8)
		return e;
	memcpy(said, c->error.message, sizeof(said));
	return fail_reason(c, ERR_REFUSED, "archive_corrupt", "%s", said);
}

enum err archive_check(struct call *c, int fd, const uint8_t key[32], struct archive_info *out)
{
	return archive_refused(c, look_through(c, fd, key, out));
}
