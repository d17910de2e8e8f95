#include "server/merge/fork/fork_read.h"

#include "commonhold/config.h"
#include "commonhold/file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

/* Reading an export: every byte of it is held against what the parent has signed before anything of it is used. */

static const char *const members[] = { "fork.json", "fork.dsse.json", "charters.jsonl", "claims.jsonl", "items.tar" };

static enum err refuse(struct call *c, const char *sentence)
{
	return fail_reason(c, ERR_REFUSED, "fork_refused", "%s", sentence);
}

/* ---- The folder ---- */

static void unpacked_remove(void *arg)
{
	const char *dir = arg;
	char path[600];
	for (size_t i = 0; i < CH_LEN(members); i++) {
		snprintf(path, sizeof(path), "%s/%s", dir, members[i]);
		unlink(path);
	}
	rmdir(dir);
}

static bool is_member(const char *name)
{
	for (size_t i = 0; i < CH_LEN(members); i++)
		if (strcmp(members[i], name) == 0)
			return true;
	return false;
}

static enum err member_copy(struct call *c, int from, const struct tar_file *file, const char *dir)
{
	char chunk[64 * KIB];
	enum err e = ERR_OK;
	int to = open(str_z(c->arena, str_fmt(c->arena, "%s/%s", dir, file->name)), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	if (to < 0)
		return fail(c, ERR_IO, "There is no place to unpack the export: %s.", strerrorname_np(errno));
	for (int64_t done = 0; done < file->size && e == ERR_OK;) {
		size_t most = file->size - done < (int64_t)sizeof(chunk) ? (size_t)(file->size - done) : sizeof(chunk);
		ssize_t n = pread(from, chunk, most, file->at + done);
		if (n <= 0 || write(to, chunk, (size_t)n) != n)
			e = fail(c, ERR_IO, "There is no room to unpack the export.");
		done += n;
	}
	close(to);
	return e;
}

static enum err unpack(struct call *c, const char *path, const char **dir)
{
	struct stat st;
	char *made = (char *)str_fmt(c->arena, "%s/fork-XXXXXX", config()->dir).p;
	if (!mkdtemp(made))
		return fail(c, ERR_IO, "There is no place to unpack the export: %s.", strerrorname_np(errno));
	if (!arena_defer(c->arena, unpacked_remove, made))
		return fail(c, ERR_NO_MEMORY, "%s", err_text(ERR_NO_MEMORY));
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0 || fstat(fd, &st) != 0)
		return fail(c, ERR_IO, "%s cannot be read: %s.", path, strerrorname_np(errno));
	enum err e = ERR_OK;
	int64_t at = 0;
	for (bool found = true; found && e == ERR_OK;) {
		struct tar_file file;
		e = tar_next(fd, st.st_size, &at, &file, &found, &c->error);
		if (e == ERR_OK && found)
			e = is_member(file.name) ? member_copy(c, fd, &file, made) : refuse(c, "The export has files that it must not have.");
	}
	close(fd);
	*dir = made;
	return e;
}

static enum err folder_of(struct call *c, const char *path, const char **dir)
{
	struct stat st;
	*dir = path;
	if (stat(path, &st) != 0)
		return fail(c, ERR_IO, "%s cannot be read: %s.", path, strerrorname_np(errno));
	return S_ISDIR(st.st_mode) ? ERR_OK : unpack(c, path, dir);
}

static enum err member_text(struct call *c, const struct fork_read *x, const char *name, size_t max, struct str *out)
{
	return file_read(c->arena, name, str_z(c->arena, str_fmt(c->arena, "%s/%s", x->dir, name)), max, out, &c->error);
}

/* ---- The manifest ---- */

static bool manifest_take(struct call *c, struct fork_read *x)
{
	const struct json *coop = json_get(x->json, "coop"), *offer = json_get(x->json, "offer"), *to = json_get(x->json, "to"), *head = json_get(x->json, "head");
	x->parent = json_member_text(coop, "name");
	x->parent_title = json_member_text(coop, "title");
	x->parent_url = json_member_text(coop, "url");
	x->title = json_member_text(offer, "title");
	x->to_name = json_member_text(to, "name");
	x->size = json_int(json_get(head, "size"), -1);
	bool ok = json_int(json_get(x->json, "v"), 0) == 1 && uuid_parse(json_member_text(offer, "id"), &x->offer) && uuid_parse(json_member_text(to, "coop"), &x->to);
	ok &= clock_parse(json_member_text(x->json, "at"), &x->at) && sha256_parse(json_member_text(head, "root"), &x->root);
	ok &= x->parent.n == 16 && x->parent_title.n && x->title.n && x->to_name.n == 16 && x->size > 0;
	return ok && lineage_nodes_read(c->arena, json_get(x->json, "lineage"), &x->lineage, &x->n_lineage, &c->error) == ERR_OK;
}

static enum err manifest_read(struct call *c, struct fork_read *x)
{
	struct str signature, payload;
	size_t which;
	TRY(member_text(c, x, "fork.json", FORK_MANIFEST_MAX, &x->manifest));
	TRY(member_text(c, x, "fork.dsse.json", 2 * FORK_MANIFEST_MAX, &signature));
	x->signature = signature;
	if (json_parse(c->arena, x->manifest, &x->json, &c->error) != ERR_OK || !manifest_take(c, x))
		return refuse(c, "fork.json is not what an export begins with.");
	TRY(bundle_open(c->arena, str_z(c->arena, str_fmt(c->arena, "%s/items.tar", x->dir)), &x->bundle, &c->error));
	struct bundle *b = x->bundle;
	if (!str_eq(b->keys.name, x->parent) || !str_eq(b->from, x->parent))
		return refuse(c, "The keys of the export are another co-op's than the parent's.");
	if (keychain_dsse_verify(c->arena, &b->keys, signature, STR(FORK_TYPE), &payload, &which, &c->error) != ERR_OK || !str_eq(payload, x->manifest)
		|| !keychain_signs_size(&b->keys, which, x->size))
		return refuse(c, "fork.json is not signed by the parent.");
	if (b->head_size != x->size || !sha256_eq(b->head_root, x->root) || !str_eq(b->to, x->to_name) || b->seq != 1)
		return refuse(c, "The items of the export belong to another one.");
	return ERR_OK;
}

/* Exactly the files that are listed, byte for byte. */
static enum err file_check(struct call *c, struct fork_read *x, const struct json *listed)
{
	char chunk[64 * KIB];
	struct sha256 digest;
	struct str path = json_member_text(listed, "path");
	struct hasher *h = hasher_new(c->arena);
	ssize_t n;
	if (!is_member(str_z(c->arena, path)) || str_starts(path, "fork.") || !sha256_parse(json_member_text(listed, "sha256"), &digest))
		return refuse(c, "The export lists files that it must not have.");
	int fd = open(str_z(c->arena, str_fmt(c->arena, "%s/%.*s", x->dir, STR_ARG(path))), O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return refuse(c, "A file of the export is missing.");
	while ((n = read(fd, chunk, sizeof(chunk))) > 0)
		hasher_add(h, chunk, (size_t)n);
	close(fd);
	return n == 0 && sha256_eq(hasher_end(h), digest) ? ERR_OK : refuse(c, "A file of the export is not the one that the parent signed.");
}

static enum err files_check(struct call *c, struct fork_read *x)
{
	const struct json *files = json_get(x->json, "files");
	unsigned seen = 0, n = 0;
	json_each (listed, files) {
		TRY(file_check(c, x, listed));
		for (size_t i = 0; i < CH_LEN(members); i++)
			if (str_is(json_member_text(listed, "path"), members[i]))
				seen |= 1u << i;
		n++;
	}
	/* one that is listed twice would stand for another that nobody signed */
	return n == 3 && __builtin_popcount(seen) == 3 ? ERR_OK : refuse(c, "The export lists other files than it must have.");
}

/* ---- The bundle in it ---- */

static enum err bundle_look(struct call *c, struct fork_read *x)
{
	struct bundle_expected expected = {
		.us = x->to_name, .known = true, .keys = x->bundle->keys, .kinds = 0xff, .licences = UINT64_MAX, .chain = { .upto = -1 }, .known_at_head = -1, .now = clock_now(),
	};
	return bundle_check(c->arena, x->bundle, &expected, &c->error);
}

/* ---- Log, lineage and charters ---- */

/* One pass over the log: its roots where ancestors ended, and the charters that it names. */
struct looking { struct call *c; struct fork_read *x; struct merkle_builder log; size_t charter; };

static enum err leaf_look(void *arg, struct str entry)
{
	struct looking *l = arg;
	struct call *c = l->c;
	struct str type;
	const struct json *data;
	instant at;
	struct arena_mark mark = arena_mark(c->arena);
	merkle_add(&l->log, merkle_leaf(entry));
	for (size_t i = 0; i < l->x->n_lineage; i++)
		if (l->x->lineage[i].size == (int64_t)l->log.size && !sha256_eq(l->x->lineage[i].root, merkle_builder_root(&l->log)))
			return refuse(c, "The log does not begin with that of a co-op of the lineage.");
	if (!ledger_entry_read(c->arena, entry, &at, &type, &data))
		return refuse(c, "The log has a leaf that is none.");
	if (str_is(type, "charter.adopted")) {
		struct sha256 digest;
		size_t i = l->charter++;
		if (i >= l->x->n_charters || !sha256_parse(json_member_text(data, "sha256"), &digest) || !sha256_eq(digest, l->x->charters[i].digest)
			|| json_int(json_get(data, "version"), 0) != l->x->charters[i].version)
			return refuse(c, "The charters are not those that the log names.");
	}
	arena_rewind(c->arena, mark);
	return ERR_OK;
}

static enum err events_each(struct call *c, struct arena *own, struct fork_read *x, enum err (*leaf)(void *arg, struct str entry), void *arg)
{
	struct bundle_lines *lines;
	struct str line;
	TRY(bundle_lines_open(own, x->bundle, BUNDLE_EVENTS, &lines, &c->error));
	for (;;) {
		TRY(bundle_lines_next(lines, &line, &c->error));
		if (!line.p)
			return ERR_OK;
		TRY(leaf(arg, line));
	}
}

/* The reader has an arena of its own: whoever takes the leaves goes back to where its own memory began, again and again. */
enum err fork_events(struct call *c, struct fork_read *x, enum err (*leaf)(void *arg, struct str entry), void *arg)
{
	struct arena *own = arena_new(LIMIT_JOB_ARENA);
	if (!own)
		return fail(c, ERR_NO_MEMORY, "%s", err_text(ERR_NO_MEMORY));
	enum err e = events_each(c, own, x, leaf, arg);
	arena_free(own);
	return e;
}

/* The name of the log of a signed note: its first line. It must be that co-op's. */
static enum err ancestor_check(struct call *c, const struct lineage_node *node)
{
	struct keychain keys;
	struct str rest = node->checkpoint, origin;
	struct sha256 root;
	uint64_t size;
	bool ok = node->depth > 0 && node->checkpoint.n && node->keys.n && keychain_read(c->arena, node->keys, &keys, &c->error) == ERR_OK && str_eq(keys.name, node->name);
	ok = ok && str_split(&rest, '\n', &origin) && str_ends(origin, str_z(c->arena, str_fmt(c->arena, "/coop/%.*s", STR_ARG(node->name))));
	ok = ok && keychain_checkpoint_verify(c->arena, &keys, node->checkpoint, origin, &size, &root, &c->error) == ERR_OK;
	ok = ok && (int64_t)size == node->size && sha256_eq(root, node->root);
	return ok ? ERR_OK : refuse(c, "A co-op of the lineage has not signed what is said of it.");
}

static enum err lineage_check(struct call *c, const struct fork_read *x)
{
	if (x->n_lineage >= LINEAGE_DEPTH)
		return refuse(c, "Its lineage is longer than may be.");
	for (size_t i = 0; i < x->n_lineage; i++) {
		if (x->lineage[i].depth != (int)(x->n_lineage - i) || x->lineage[i].size >= x->size || (i && x->lineage[i].size <= x->lineage[i - 1].size))
			return refuse(c, "Its lineage is out of order.");
		TRY(ancestor_check(c, &x->lineage[i]));
	}
	return ERR_OK;
}

static bool charter_take(struct call *c, struct str line, struct lineage_charter *out)
{
	const struct json *v;
	struct sha256 said;
	if (json_parse(c->arena, line, &v, &c->error) != ERR_OK)
		return false;
	*out = (struct lineage_charter){ .name = json_member_text(v, "coop"), .version = (int)json_int(json_get(v, "version"), 0), .document = json_member_text(v, "document") };
	out->digest = sha256(out->document);
	return out->name.n == 16 && out->version > 0 && out->document.n && sha256_parse(json_member_text(v, "sha256"), &said) && sha256_eq(said, out->digest)
		&& clock_parse(json_member_text(v, "adopted_at"), &out->adopted_at);
}

static size_t lines_of(struct str text)
{
	size_t n = 0;
	for (size_t i = 0; i < text.n; i++)
		n += text.p[i] == '\n';
	return n;
}

static enum err charters_read(struct call *c, struct fork_read *x)
{
	struct str text, line;
	TRY(member_text(c, x, "charters.jsonl", FORK_CHARTERS_MAX, &text));
	x->charters = ARENA_ARRAY(c->arena, lines_of(text) + 1, struct lineage_charter);
	while (text.n && str_split(&text, '\n', &line) && line.n)
		if (!charter_take(c, line, &x->charters[x->n_charters++]))
			return refuse(c, "A charter of the export is not as it must be.");
	if (x->n_charters == 0 || !str_eq(x->charters[x->n_charters - 1].name, x->parent))
		return refuse(c, "The export has no charter of the parent.");
	return ERR_OK;
}

static enum err claims_read(struct call *c, struct fork_read *x)
{
	struct str text, line;
	TRY(member_text(c, x, "claims.jsonl", FORK_CLAIMS_MAX, &text));
	x->claims = ARENA_ARRAY(c->arena, lines_of(text) + 1, struct fork_claimed);
	while (text.n && str_split(&text, '\n', &line) && line.n) {
		const struct json *v;
		struct fork_claimed *claim = &x->claims[x->n_claims++];
		if (json_parse(c->arena, line, &v, &c->error) != ERR_OK || !sha256_parse(json_member_text(v, "claim"), &claim->claim)
			|| !str_unhex(json_member_text(v, "contributor"), claim->contributor, 16))
			return refuse(c, "A claim of the export is not as it must be.");
	}
	return ERR_OK;
}

enum err fork_read(struct call *c, const char *path, struct fork_read *x)
{
	*x = (struct fork_read){ .dir = NULL };
	TRY(folder_of(c, path, &x->dir));
	TRY(manifest_read(c, x));
	TRY(files_check(c, x));
	TRY(bundle_look(c, x));
	TRY(lineage_check(c, x));
	TRY(charters_read(c, x));
	TRY(claims_read(c, x));
	struct looking l = { .c = c, .x = x };
	TRY(fork_events(c, x, leaf_look, &l));
	return l.charter == x->n_charters ? ERR_OK : refuse(c, "The charters are not those that the log names.");
}

void fork_read_report(const struct fork_read *x, struct fork_report *out)
{
	*out = (struct fork_report){ .name = x->parent, .leaves = x->size, .charters = (int64_t)x->n_charters, .members = x->bundle->counts.statements,
		.items = x->bundle->counts.records, .manifest = sha256(x->manifest) };
}

enum err fork_check(struct call *c, const char *path, struct fork_report *out)
{
	struct fork_read x;
	TRY(fork_read(c, path, &x));
	fork_read_report(&x, out);
	return ERR_OK;
}
