/* bundle_forge.h - a bundle's files taken apart and put together again, signed by its sender as a hostile partner could sign them. For tests of what is refused. */
#ifndef COMMONHOLD_TESTS_BUNDLE_FORGE_H
#define COMMONHOLD_TESTS_BUNDLE_FORGE_H

#include "fixture.h"

#include "commonhold/bundle.h"
#include "commonhold/db.h"
#include "commonhold/ledger.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>
#include <zstd.h>

/* Who forges: set before anything else. */
static struct { struct call *call; struct uuid sender; } forger;

static inline const char *path_in(struct str dir, const char *name)
{
	return str_fmt(forger.call->arena, "%.*s/%s", STR_ARG(dir), name).p;
}

static inline struct str read_text(const char *path)
{
	struct stat st;
	int fd = open(path, O_RDONLY);
	assert_true(fd >= 0 && fstat(fd, &st) == 0);
	char *to = arena_alloc(forger.call->arena, (size_t)st.st_size + 1);
	assert_true(read(fd, to, (size_t)st.st_size) == st.st_size);
	close(fd);
	return str_make(to, (size_t)st.st_size);
}

static inline void put_text(const char *path, struct str text)
{
	int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0600);
	assert_true(fd >= 0 && write(fd, text.p, text.n) == (ssize_t)text.n);
	close(fd);
}

static inline struct str replaced(struct str in, const char *what, const char *with)
{
	struct buf b;
	const char *at = memmem(in.p, in.n, what, strlen(what));
	if (!at)
		fail_msg("%s is not in %.*s", what, STR_ARG(in));
	buf_init(&b, in.n + 4096);
	buf_add(&b, in.p, (size_t)(at - in.p));
	buf_add_z(&b, with);
	buf_add(&b, at + strlen(what), in.n - (size_t)(at - in.p) - strlen(what));
	return buf_take(forger.call->arena, &b);
}

static inline void sender_key(struct sign_key *key)
{
	struct call *c = forger.call;
	assert_ok(c, db_begin_in(c, forger.sender, DB_READ));
	assert_ok(c, ledger_key(c, forger.sender, key));
	assert_ok(c, db_commit(c));
}

/* Signs a changed manifest as the sender itself would: what a hostile partner, not a stranger, can do. */
static inline void sign_again(struct str dir, struct str manifest)
{
	struct call *c = forger.call;
	struct sign_key key;
	sender_key(&key);
	put_text(path_in(dir, "bundle.json"), manifest);
	put_text(path_in(dir, "bundle.dsse.json"), dsse_sign(c->arena, &key, 1, STR(BUNDLE_TYPE), manifest));
}

/* Puts another text into a part, and into the manifest what it is. */
static inline void swap_part(struct str dir, const char *name, struct str raw, int64_t lines)
{
	struct call *c = forger.call;
	struct str manifest = read_text(path_in(dir, "bundle.json")), file = raw;
	struct sha256 raw_hash = sha256(raw);
	if (str_ends(str_of(name), ".zst")) {
		size_t room = ZSTD_compressBound(raw.n);
		char *packed = arena_alloc(c->arena, room);
		file = str_make(packed, ZSTD_compress(packed, room, raw.p, raw.n, 3));
	}
	put_text(path_in(dir, name), file);
	const char *entry = memmem(manifest.p, manifest.n, str_fmt(c->arena, "\"path\":\"%s\"", name).p, strlen(name) + 9);
	assert_non_null(entry);
	const char *from = entry, *to = entry;
	while (*from != '{')
		from--;
	while (*to != '}')
		to++;
	struct str old = str_copy(c->arena, str_make(from, (size_t)(to - from)));
	struct str new_entry = str_fmt(c->arena, "{\"lines\":%lld,\"path\":\"%s\",\"raw_sha256\":\"%.*s\",\"raw_size\":%zu,\"sha256\":\"%.*s\",\"size\":%zu", (long long)lines, name,
		STR_ARG(sha256_hex(c->arena, raw_hash)), raw.n, STR_ARG(sha256_hex(c->arena, sha256(file))), file.n);
	sign_again(dir, replaced(manifest, str_z(c->arena, old), new_entry.p));
}

static inline struct str unpacked(struct str file)
{
	char *to = arena_alloc(forger.call->arena, MIB);
	size_t n = ZSTD_decompress(to, MIB, file.p, file.n);
	assert_false(ZSTD_isError(n));
	return str_make(to, n);
}

#endif
