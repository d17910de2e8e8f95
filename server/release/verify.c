/* The order of the checks, and the manifest itself. */
#include "verify_internal.h"

#include "commonhold/assets.h"

#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <unistd.h>

static void say(struct verifying *v, const char *fmt, va_list args)
{
	vsnprintf(v->said, sizeof(v->said), fmt, args);
}

bool verify_bad(struct verifying *v, const char *fmt, ...)
{
	va_list args;
	va_start(args, fmt);
	say(v, fmt, args);
	va_end(args);
	return false;
}

bool verify_good(struct verifying *v, const char *fmt, ...)
{
	va_list args;
	va_start(args, fmt);
	say(v, fmt, args);
	va_end(args);
	return true;
}

/* --- the manifest --- */

static bool manifest_schema(struct verifying *v)
{
	const struct json *text;
	const struct json_schema *schema;
	struct error e = { 0 };
	struct str source = asset_find(STR("schemas/manifest.json"));
	if (!source.p || json_parse(v->arena, source, &text, &e) != ERR_OK || json_schema_compile(v->arena, text, NULL, NULL, &schema, &e) != ERR_OK)
		return verify_bad(v, "This program lacks the schema of manifests.");
	if (json_schema_check(v->arena, schema, v->manifest, &e) == ERR_OK)
		return true;
	struct str at = e.faults ? e.faults->pointer : STR(""), why = e.faults ? e.faults->message : STR("it does not fit");
	return verify_bad(v, "The manifest does not fit its schema at \"%.*s\": %.*s", STR_ARG(at), STR_ARG(why));
}

static bool is_canonical(const struct json *value, struct str text)
{
	struct buf again;
	buf_init(&again, text.n + 1);
	json_canonical(&again, value, false);
	bool same = !again.failed && str_eq(buf_str(&again), text);
	buf_release(&again);
	return same;
}

static int64_t number_at(const struct json *root, const char *pointer)
{
	return json_int(json_at(root, pointer), -1);
}

static bool tallies_load(struct verifying *v, struct tallies *t, const char *member, const char *words)
{
	const struct json *counts = json_get(json_get(v->manifest, "counts"), member);
	int64_t sum = 0;
	t->name = words;
	t->at = ARENA_ARRAY(v->arena, counts->count + 1, struct tally);
	json_each(count, counts) {
		struct tally *tally = &t->at[t->n++];
		tally->key = count->key;
		tally->claimed = json_int(count, 0);
		sum += tally->claimed;
	}
	return sum == number_at(v->manifest, "/counts/items") ? true : verify_bad(v, "The manifest's %s does not add up to its items.", member);
}

static bool entries_sound(struct verifying *v)
{
	struct str before = STR_NONE;
	json_each(entry, json_get(v->manifest, "files")) {
		struct str path = json_member_text(entry, "path");
		unsigned wanted = str_starts(path, "data/") ? 7 : 3;
		if (before.p && str_cmp(before, path) >= 0)
			return verify_bad(v, "The manifest's files are out of order at \"%.*s\".", STR_ARG(path));
		if (entry->count != wanted)
			return verify_bad(v, "The manifest says too much or too little about \"%.*s\".", STR_ARG(path));
		before = path;
	}
	return true;
}

static bool coops_sound(struct verifying *v)
{
	const struct json *coops = json_get(v->manifest, "coops");
	struct str coop;
	struct uuid id;
	if (!rid_parse(v->result->release, &coop, &id) || !str_eq(coop, json_text(coops->child)))
		return verify_bad(v, "The manifest's first co-op is not the one that released it.");
	for (size_t i = 0; i < v->coops.n; i++) {
		bool named = false;
		json_each(name, coops)
			named = named || str_eq(json_text(name), v->coops.at[i].key);
		if (!named)
			return verify_bad(v, "The manifest counts items of a co-op that it does not name.");
	}
	return true;
}

/* Compares versions that the schema has checked. */
static int version_cmp(struct str a, struct str b)
{
	struct str x, y;
	while (str_split(&a, '.', &x) && str_split(&b, '.', &y)) {
		int64_t m = 0, n = 0;
		if (!str_to_i64(x, 0, INT32_MAX, &m) || !str_to_i64(y, 0, INT32_MAX, &n))
			return 0;
		if (m != n)
			return m < n ? -1 : 1;
	}
	return 0;
}

static bool versions_sound(struct verifying *v)
{
	struct str version = v->result->version, previous = json_member_text(v->manifest, "prev");
	instant created, expires;
	struct str end = json_member_text(v->manifest, "expires");
	if (previous.p && version_cmp(previous, version) >= 0)
		return verify_bad(v, "The release before (%.*s) does not come before this one (%.*s).", STR_ARG(previous), STR_ARG(version));
	if (version_cmp(json_member_text(v->manifest, "min_usable"), version) > 0)
		return verify_bad(v, "The manifest calls itself unusable.");
	if (!clock_parse(json_member_text(v->manifest, "created"), &created) || (end.p && (!clock_parse(end, &expires) || expires <= created)))
		return verify_bad(v, "The manifest expires before it was made.");
	return true;
}

static bool manifest_check(struct verifying *v)
{
	struct error e = { 0 };
	if (!files_read(v, "manifest.json", LIMIT_MANIFEST, &v->manifest_bytes))
		return false;
	v->manifest_sha256 = sha256(v->manifest_bytes);
	const struct json *manifest;
	if (json_parse(v->arena, v->manifest_bytes, &manifest, &e) != ERR_OK)
		return verify_bad(v, "manifest.json is not JSON: %s", e.message);
	v->manifest = manifest;
	if (!manifest_schema(v) || !is_canonical(manifest, v->manifest_bytes))
		return v->said[0] ? false : verify_bad(v, "manifest.json is not in canonical form.");
	v->result->release = json_member_text(manifest, "release");
	v->result->version = json_member_text(manifest, "version");
	return tallies_load(v, &v->kinds, "by_kind", "of the kind") && tallies_load(v, &v->licences, "by_licence", "under the licence") &&
		tallies_load(v, &v->coops, "by_coop", "of the co-op") && entries_sound(v) && coops_sound(v) && versions_sound(v) &&
		verify_good(v, "Release %.*s, version %.*s, %lld items: canonical and consistent in itself.", STR_ARG(v->result->release), STR_ARG(v->result->version),
			(long long)number_at(manifest, "/counts/items"));
}

/* --- whose signature --- */

/* The chain that the folder carries; releases of before there were any have none. */
static bool chain_read(struct verifying *v, struct keychain *out, const struct keychain **carried)
{
	struct str text;
	struct error e = { 0 };
	*carried = NULL;
	if (!files_find(v, STR("keys.json")))
		return true;
	if (!files_read(v, "keys.json", KEYCHAIN_TEXT_MAX, &text))
		return false;
	if (keychain_read(v->arena, text, out, &e) != ERR_OK)
		return verify_bad(v, "keys.json: %s", e.message);
	*carried = out;
	return true;
}

static bool key_said(struct verifying *v, struct str coop)
{
	const struct keychain *chain = &v->chain;
	if (v->options->public_key && memcmp(v->options->public_key, v->key, 32) == 0)
		return verify_good(v, "The manifest names the key that you gave.");
	if (v->result->pinned)
		return verify_good(v, "The manifest names key %zu of %zu of the co-op %.*s; the chain of keys ties it to what you gave.", v->key_no + 1, chain->n, STR_ARG(chain->name));
	if (v->key_no)
		return verify_good(v, "The key is number %zu in the chain that begins with the key that the co-op %.*s is named after. That this is the co-op you mean, only --key can tell.",
			v->key_no + 1, STR_ARG(coop));
	return verify_good(v, "The key is the one that the co-op %.*s is named after. That this is the co-op you mean, only --key can tell.", STR_ARG(coop));
}

static bool key_check(struct verifying *v)
{
	const struct keychain_trust trust = { v->options->public_key, v->options->keys };
	struct keychain own;
	const struct keychain *carried;
	struct str origin, coop = json_text(json_get(v->manifest, "coops")->child);
	struct error e = { 0 };
	if (!note_verifier_parse(v->arena, json_text(json_at(v->manifest, "/log/verifier_key")), &origin, v->key) ||
		!str_eq(origin, json_text(json_at(v->manifest, "/log/origin"))))
		return verify_bad(v, "The manifest's verifier key is not well-formed, or not that of its log.");
	if (!chain_read(v, &own, &carried))
		return false;
	if (keychain_settle(v->arena, &trust, carried, coop, v->key, &v->chain, &v->key_no, &v->result->pinned, &e) != ERR_OK)
		return verify_bad(v, "The manifest %s. Give the co-op's key with --key.", e.message);
	return key_said(v, coop);
}

static bool envelope_check(struct verifying *v)
{
	struct str envelope, payload;
	const struct json *root;
	struct error e = { 0 };
	uint8_t keys[1][32];
	memcpy(keys[0], v->key, 32);
	if (!files_read(v, "manifest.dsse.json", 2 * LIMIT_MANIFEST, &envelope))
		return false;
	if (dsse_verify(v->arena, envelope, (const uint8_t (*)[32])keys, 1, 1, STR(RELEASE_PAYLOAD_TYPE), &payload, &e) != ERR_OK)
		return verify_bad(v, "manifest.dsse.json: %s", e.message);
	if (!str_eq(payload, v->manifest_bytes))
		return verify_bad(v, "manifest.dsse.json signs another manifest.");
	if (json_parse(v->arena, envelope, &root, &e) != ERR_OK || root->count != 3 || !is_canonical(root, envelope))
		return verify_bad(v, "manifest.dsse.json is not in canonical form.");
	return verify_good(v, "The manifest is signed by the key.");
}

static bool sums_signature(struct verifying *v)
{
	struct str text, signature;
	if (!files_read(v, "SHA256SUMS", LIMIT_MANIFEST, &text) || !files_read(v, "SHA256SUMS.minisig", 64 * KIB, &signature))
		return false;
	if (!minisign_verify(v->arena, v->key, text, signature))
		return verify_bad(v, "SHA256SUMS.minisig is not a signature of SHA256SUMS by the key.");
	return verify_good(v, "SHA256SUMS is signed by the key.");
}

static bool contributors_check(struct verifying *v)
{
	int64_t k = number_at(v->manifest, "/privacy/k"), n = number_at(v->manifest, "/privacy/contributors");
	if (n != number_at(v->manifest, "/counts/contributors"))
		return verify_bad(v, "The manifest names two numbers of contributors.");
	if (n < k)
		return verify_bad(v, "%lld people contributed; the charter asks for at least %lld.", (long long)n, (long long)k);
	return verify_good(v, "%lld people contributed; at least %lld were needed.", (long long)n, (long long)k);
}

/* --- the order --- */

/* One row: what is checked, and whether everything after it depends on it. */
static const struct step {
	const char *id;
	bool (*run)(struct verifying *v);
	bool needed;        /* a failure ends the verification */
	bool published;     /* only once the release is in the log */
} steps[] = {
	{ "files", files_list, true, false },
	{ "manifest", manifest_check, true, false },
	{ "key", key_check, true, false },
	{ "sums_signature", sums_signature, false, true },
	{ "envelope", envelope_check, false, false },
	{ "contents", files_claimed, true, false },
	{ "tombstones", documents_tombstones, true, false },
	{ "rows", rows_check, false, false },
	{ "hashes", files_hashes, false, false },
	{ "sums", files_sums, false, true },
	{ "patches", patches_check, false, false },
	{ "licences", documents_licences, false, false },
	{ "report", documents_report, false, false },
	{ "croissant", documents_croissant, false, false },
	{ "contributors", contributors_check, false, false },
	{ "joint", joint_check, false, false },
	{ "log", log_check, false, true },
};

/* What outlives the verification is copied into the caller's arena. */
struct keeping {
	struct arena *arena;
	struct check **last;
};

static void check_add(struct keeping *to, struct verify_result *result, const char *id, bool ok, const char *said)
{
	struct check *check = ARENA_NEW(to->arena, struct check);
	if (!check)
		return;
	*check = (struct check){ id, ok, str_copy(to->arena, str_of(said)), NULL };
	*to->last = check;
	to->last = &check->next;
	result->ok = result->ok && ok;
}

static void steps_run(struct verifying *v, struct keeping *to)
{
	for (size_t i = 0; i < CH_LEN(steps); i++) {
		if (steps[i].published && v->options->staged)
			continue;
		v->said[0] = '\0';
		bool ok = steps[i].run(v);
		check_add(to, v->result, steps[i].id, ok, v->said);
		if (!ok && steps[i].needed)
			return;
	}
}

/* All steps, with an arena that may run out: what is too large to be looked at is not a release that we would have made. */
static void run_guarded(struct verifying *v, struct keeping *to)
{
	jmp_buf no_memory;
	if (setjmp(no_memory)) {
		check_add(to, v->result, "size", false, "The folder holds more than can be looked at.");
		return;
	}
	arena_guard(v->arena, &no_memory);
	steps_run(v, to);
	arena_guard(v->arena, NULL);
}

enum err verify_release(struct arena *a, const char *dir, const struct verify_options *options, struct verify_result *out, struct error *e)
{
	struct verifying v = { .options = options, .result = out };
	struct keeping to = { a, &out->checks };
	*out = (struct verify_result){ .ok = true };
	if (!crypto_start())
		return error_set(e, ERR_CONFIG, "The cryptographic libraries cannot be used.");
	v.dir = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (v.dir < 0)
		return error_set(e, errno == ENOENT || errno == ENOTDIR ? ERR_NOT_FOUND : ERR_IO, "The folder %s cannot be opened: %s.", dir, strerror(errno));
	v.arena = arena_new(VERIFY_ARENA);
	if (v.arena) {
		run_guarded(&v, &to);
		files_remember(&v);
		out->release = str_copy(a, out->release);
		out->version = str_copy(a, out->version);
	}
	bool ran = v.arena != NULL;
	joint_release(&v);
	rid_set_release(&v.tombstoned);
	rid_set_release(&v.seen);
	arena_free(v.arena);
	close(v.dir);
	return ran ? ERR_OK : error_set(e, ERR_NO_MEMORY, "There is no memory to verify with.");
}
