/* Tombstones as anybody reads them: the chain, its signatures and its head. No database. */
#include "tombstone_internal.h"

#include "commonhold/json.h"

static const char *const kind_names[] = {
#define X(name, text) [TOMBSTONE_##name] = text,
	TOMBSTONE_KINDS(X)
#undef X
};

const char *tombstone_kind_name(enum tombstone_kind k)
{
	return (unsigned)k < TOMBSTONE_KIND_COUNT ? kind_names[k] : "unknown";
}

bool tombstone_kind_parse(struct str text, enum tombstone_kind *out)
{
	int no = str_which(text, kind_names, TOMBSTONE_KIND_COUNT);
	if (no >= 0)
		*out = (enum tombstone_kind)no;
	return no >= 0;
}

struct tombstone_chain tombstone_chain_start(struct str origin)
{
	return (struct tombstone_chain){ .upto = -1, .digest = sha256(origin) };
}

struct str tombstone_signed_text(struct arena *a, struct str before_sig, struct str after_sig)
{
	return str_cat(a, STR(TOMBSTONE_SIGNED_PREFIX), before_sig, after_sig);
}

/* ---- reading a line ---- */

/* A canonical line is its own canonical form: in order, without a space, each string in its shortest form. */
static bool is_canonical(const struct json *tree, struct str line)
{
	struct buf b;
	buf_init(&b, line.n + 1);
	json_canonical(&b, tree, false);
	bool same = !b.failed && str_eq(buf_str(&b), line);
	buf_release(&b);
	return same;
}

static bool is_reason(struct str s)
{
	if (!s.n || s.n > 64 || s.p[0] < 'a' || s.p[0] > 'z')
		return false;
	for (size_t i = 0; i < s.n; i++)
		if (!(s.p[i] >= 'a' && s.p[i] <= 'z') && !(s.p[i] >= '0' && s.p[i] <= '9') && s.p[i] != '_')
			return false;
	return true;
}

static bool is_rid(struct str s)
{
	struct str coop;
	struct uuid id;
	return s.p && rid_parse(s, &coop, &id);
}

/* A member that may be missing; false when it is there and no instant. */
static bool instant_of(const struct json *line, const char *key, bool required, instant *out)
{
	const struct json *v = json_get(line, key);
	*out = INSTANT_NONE;
	return v ? clock_parse(json_text(v), out) : !required;
}

static bool only_known_members(const struct json *line)
{
	static const char *const known[] = { "effective", "idx", "kind", "prev", "purge_by", "reason_code", "releases", "replacement", "rid", "sig", "t", "until" };
	json_each(member, line) {
		bool found = false;
		for (size_t i = 0; i < CH_LEN(known) && !found; i++)
			found = str_is(member->key, known[i]);
		if (!found)
			return false;
	}
	return true;
}

static bool read_releases(struct arena *a, const struct json *list, struct tombstone *out)
{
	if (!json_is(list, JSON_ARRAY))
		return false;
	out->releases = ARENA_ARRAY(a, list->count, struct str);
	json_each(version, list) {
		if (!json_text(version).n)
			return false;
		out->releases[out->n_releases++] = json_text(version);
	}
	return true;
}

/* What is wrong with what the line says, or NULL. */
static const char *read_members(struct arena *a, const struct json *line, struct tombstone *out)
{
	const struct json *rids = json_get(line, "rid");
	*out = (struct tombstone){ .idx = json_int(json_get(line, "idx"), -1), .reason_code = json_member_text(line, "reason_code"), .replacement = json_member_text(line, "replacement") };
	if (!only_known_members(line))
		return "it has members that a tombstone has not";
	if (!tombstone_kind_parse(json_member_text(line, "kind"), &out->kind))
		return "its kind is not known";
	if (!json_is(rids, JSON_ARRAY) || rids->count != 1 || !is_rid(json_text(rids->child)))
		return "it does not name one contribution by its id";
	out->rid = json_text(rids->child);
	if (!is_reason(out->reason_code))
		return "its reason is no code";
	if (!instant_of(line, "t", true, &out->t) || !instant_of(line, "effective", true, &out->effective) || !instant_of(line, "purge_by", true, &out->purge_by) ||
		!instant_of(line, "until", out->kind == TOMBSTONE_EMBARGO, &out->until))
		return "an instant is missing or wrong";
	if (json_get(line, "replacement") && (out->kind != TOMBSTONE_CORRECT || !is_rid(out->replacement)))
		return "its replacement is none";
	if (out->until != INSTANT_NONE && out->kind != TOMBSTONE_EMBARGO)
		return "only an embargo ends";
	return read_releases(a, json_get(line, "releases"), out) ? NULL : "it does not say which releases held it";
}

/* In a canonical line `,"sig":"` stands nowhere else: inside of strings quotes are escaped. */
static bool signature_holds(struct arena *a, struct str line, struct str sig, const uint8_t public_key[32])
{
	static const struct str mark = { ",\"sig\":\"", 8 };
	struct str raw;
	const char *at = memmem(line.p, line.n, mark.p, mark.n);
	if (!at || !str_unbase64(a, sig, &raw) || raw.n != 64)
		return false;
	size_t from = (size_t)(at - line.p);
	struct str text = tombstone_signed_text(a, str_sub(line, 0, from), str_sub(line, from + mark.n + sig.n + 1, line.n));
	return verify_bytes(public_key, text, (const uint8_t *)raw.p);
}

static enum err line_bad(struct error *e, int64_t expected, const char *why)
{
	return error_set(e, ERR_CORRUPT, "Tombstone %lld of the feed is wrong: %s.", (long long)expected, why);
}

enum err tombstone_take(struct arena *a, struct tombstone_chain *chain, struct str line, const uint8_t public_key[32], struct tombstone *out, struct error *e)
{
	int64_t expected = chain->upto + 1;
	const struct json *tree;
	struct tombstone read;
	struct sha256 prev;
	if (line.n > TOMBSTONE_LINE_MAX)
		return line_bad(e, expected, "it is too long");
	if (json_parse(a, line, &tree, e) != ERR_OK || !json_is(tree, JSON_OBJECT))
		return line_bad(e, expected, "it is no JSON object");
	if (!is_canonical(tree, line))
		return line_bad(e, expected, "it is not in canonical form");
	const char *why = read_members(a, tree, &read);
	if (why)
		return line_bad(e, expected, why);
	if (read.idx != expected)
		return error_set(e, ERR_CORRUPT, "The feed has tombstone %lld where %lld must come: one is missing, repeated or out of order.", (long long)read.idx, (long long)expected);
	if (!sha256_parse(json_member_text(tree, "prev"), &prev) || !sha256_eq(prev, chain->digest))
		return line_bad(e, expected, "it does not follow the one before it");
	if (public_key && !signature_holds(a, line, json_member_text(tree, "sig"), public_key))
		return line_bad(e, expected, "its signature is not the co-op's");
	*chain = (struct tombstone_chain){ .upto = expected, .digest = sha256(line) };
	if (out)
		*out = read;
	return ERR_OK;
}

enum err tombstone_take_signed(struct arena *a, struct tombstone_chain *chain, struct str line, const struct keychain *keys, struct tombstone *out, struct error *e)
{
	struct tombstone_chain before = *chain;
	struct tombstone read;
	enum err last = ERR_CORRUPT;
	for (size_t i = keys->n; i-- > 0;) {
		error_clear(e);
		last = tombstone_take(a, chain, line, keys->keys[i].public_key, &read, e);
		if (last != ERR_OK)
			continue;
		if (!keychain_in_force(keys, i, read.t, read.t + CLOCK_HOUR)) { /* a line only says in which hour it was made */
			*chain = before;
			return line_bad(e, before.upto + 1, "it is signed by a key of the co-op that was not in force");
		}
		if (out)
			*out = read;
		return ERR_OK;
	}
	return last;
}

/* ---- the head ---- */

enum err tombstone_head_read(struct arena *a, struct str envelope, const uint8_t public_key[32], struct str origin, struct tombstone_head *out, struct error *e)
{
	uint8_t keys[1][32];
	struct str payload;
	const struct json *head;
	memcpy(keys[0], public_key, 32);
	TRY(dsse_verify(a, envelope, (const uint8_t (*)[32])keys, 1, 1, STR(TOMBSTONE_HEAD_TYPE), &payload, e));
	TRY(json_parse(a, payload, &head, e));
	*out = (struct tombstone_head){ .upto = json_int(json_get(head, "upto"), -2), .log = json_member_text(head, "log"), .size = json_int(json_get(head, "size"), -1) };
	if (out->upto < -1 || out->size < 0 || json_int(json_get(head, "v"), 0) != 1 || !sha256_parse(json_member_text(head, "chain"), &out->chain) ||
		!sha256_parse(json_member_text(head, "root"), &out->root) || !clock_parse(json_member_text(head, "created"), &out->created) ||
		!clock_parse(json_member_text(head, "expires"), &out->expires))
		return error_set(e, ERR_CORRUPT, "The head of the feed of tombstones is incomplete.");
	if (!str_eq(out->log, origin))
		return error_set(e, ERR_CORRUPT, "The head of the feed is of another log: %.*s.", STR_ARG(str_sub(out->log, 0, 200)));
	return ERR_OK;
}

enum err tombstone_head_read_signed(struct arena *a, struct str envelope, const struct keychain *keys, struct str origin, struct tombstone_head *out, struct error *e)
{
	struct str payload;
	size_t which;
	TRY(keychain_dsse_verify(a, keys, envelope, STR(TOMBSTONE_HEAD_TYPE), &payload, &which, e));
	TRY(tombstone_head_read(a, envelope, keys->keys[which].public_key, origin, out, e));
	if (!keychain_signs_size(keys, which, out->size))
		return error_set(e, ERR_CORRUPT, "The head of the feed is signed by a key of the co-op that was not in force.");
	return ERR_OK;
}

enum err tombstone_head_fits(const struct tombstone_head *head, const struct tombstone_chain *chain, struct error *e)
{
	if (head->upto < chain->upto)
		return error_set(e, ERR_CORRUPT, "The feed ends at tombstone %lld, but %lld has been seen before: it was rolled back.", (long long)head->upto, (long long)chain->upto);
	if (head->upto == chain->upto && !sha256_eq(head->chain, chain->digest))
		return error_set(e, ERR_CORRUPT, "The head of the feed is of other tombstones than those that were read.");
	return ERR_OK;
}
