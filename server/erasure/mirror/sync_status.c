/* What the co-op says of its releases: whose key, which status, and that neither it nor the log behind it went back. */
#include "sync_internal.h"

#include "commonhold/access.h"
#include "commonhold/check.h"
#include "commonhold/ledger.h"
#include "commonhold/limits.h"

#include <stdio.h>

#define AHEAD (10 * CLOCK_MINUTE)   /* that clocks may differ */
#define STATUS_TEXT_MAX (4 * MIB)
#define PROOF_HASHES_MAX 128

/* ---- the key ---- */

static enum err key_of_server(struct sync *s)
{
	struct document got;
	const struct json *j;
	TRY(remote_read(s, STR(""), MIB, 0, &got));
	TRY(json_parse(s->arena, got.body, &j, s->e));
	struct str key = json_member_text(j, "public_key");
	if (!key.p || !check_key_parse(s->arena, str_z(s->arena, key), s->state.key))
		return sync_fail(s, ERR_CORRUPT, "key", "The server names no public key of the co-op.");
	return ERR_OK;
}

/* The co-op's chain of keys: it must hold the pinned key and continue what was seen before. A server of before there were chains has none to give. */
static enum err keys_fetch(struct sync *s, struct keychain *out)
{
	struct document got;
	const struct keychain *before = &s->state.keys;
	struct error why = { 0 };
	TRY(remote_read(s, STR("/keys.json"), KEYCHAIN_TEXT_MAX, 404, &got));
	if (got.status == 404) {
		*out = keychain_single(s->arena, s->state.key);
		return before->n > 1 ? sync_fail(s, ERR_CORRUPT, "rollback", "The server no longer shows the co-op's chain of keys, which was seen before.") : ERR_OK;
	}
	if (keychain_read(s->arena, got.body, out, &why) != ERR_OK)
		return sync_fail(s, ERR_CORRUPT, "forged", "The co-op's chain of keys is not to be believed: %s", why.message);
	if (keychain_find(out, s->state.key) < 0)
		return sync_fail(s, ERR_CORRUPT, "forged", "The co-op's chain of keys does not hold the key that is pinned here.");
	if (before->n && !keychain_continues(out, before))
		return sync_fail(s, ERR_CORRUPT, "rollback", "The co-op's chain of keys is not a continuation of the one seen before: it was rewritten.");
	return ERR_OK;
}

static enum err pin_settle(struct sync *s)
{
	if (s->state.seen)
		return ERR_OK;
	if (s->o->key) {
		memcpy(s->state.key, s->o->key, 32);
		return ERR_OK;
	}
	if (!s->o->trust_first)
		return sync_fail(s, ERR_REFUSED, "key", "Give the co-op's public key with --key, from a place you trust; or --trust-first to believe the server this once.");
	return key_of_server(s);
}

enum err key_settle(struct sync *s)
{
	struct keychain keys;
	bool other = s->state.seen && s->o->key && memcmp(s->state.key, s->o->key, 32) != 0;
	TRY(pin_settle(s));
	if (!other || s->state.keys.n)
		TRY(keys_fetch(s, &keys));
	if (other && (!s->state.keys.n || keychain_find(&keys, s->o->key) < 0))
		return sync_fail(s, ERR_REFUSED, "key", "The folder mirrors a co-op with another key than the one given.");
	s->state.keys = keys;
	return ERR_OK;
}

/* ---- the log ---- */

static enum err proof_read(struct sync *s, struct str text, struct sha256 *path, size_t *n)
{
	const struct json *j;
	TRY(json_parse(s->arena, text, &j, s->e));
	*n = 0;
	json_each(hash, json_get(j, "path")) {
		struct str bytes;
		if (*n == PROOF_HASHES_MAX || !str_unbase64(s->arena, json_text(hash), &bytes) || bytes.n != 32)
			return sync_fail(s, ERR_CORRUPT, "rollback", "The server's proof about the log cannot be understood.");
		path[(*n)++] = sha256_load(bytes);
	}
	return ERR_OK;
}

enum err log_consistent(struct sync *s, int64_t size, struct sha256 root, int64_t later, struct sha256 later_root)
{
	struct sha256 path[PROOF_HASHES_MAX];
	struct document got;
	size_t n;
	if (size == later && sha256_eq(root, later_root))
		return ERR_OK;
	if (later <= size)
		return sync_fail(s, ERR_CORRUPT, "rollback", "The co-op's log has gone back: %lld leaves, where there were %lld.", (long long)later, (long long)size);
	if (size == 0)
		return ERR_OK;
	TRY(remote_read(s, str_fmt(s->arena, "/log/proof?from=%lld&to=%lld", (long long)size, (long long)later), MIB, 0, &got));
	TRY(proof_read(s, got.body, path, &n));
	if (!merkle_consistency_ok((uint64_t)size, root, (uint64_t)later, later_root, path, n))
		return sync_fail(s, ERR_CORRUPT, "rollback", "The co-op's log of %lld leaves is not a continuation of the one seen before, of %lld.", (long long)later, (long long)size);
	return ERR_OK;
}

/* ---- the status ---- */

static bool versions_read(struct arena *a, const struct json *list, struct names *out)
{
	if (!json_is(list, JSON_ARRAY) || list->count > SYNC_NAMES_MAX)
		return false;
	json_each(name, list) {
		if (!version_ok(json_text(name)))
			return false;
		names_add(a, out, json_text(name));
	}
	return true;
}

static bool status_parse(struct sync *s, struct str payload, struct sync_status *out)
{
	const struct json *j;
	if (json_parse(s->arena, payload, &j, s->e) != ERR_OK)
		return false;
	out->origin = json_member_text(j, "log");
	out->size = json_int(json_get(j, "size"), -1);
	out->upto = json_int(json_get(j, "tombstones_upto"), -2);
	return json_int(json_get(j, "v"), 0) == 1 && out->origin.n && out->size >= 0 && out->upto >= -1 && sha256_parse(json_member_text(j, "root"), &out->root) &&
		clock_parse(json_member_text(j, "created"), &out->created) && clock_parse(json_member_text(j, "expires"), &out->expires) &&
		versions_read(s->arena, json_get(j, "usable"), &out->usable) && versions_read(s->arena, json_get(j, "withdrawn"), &out->withdrawn);
}

static enum err status_in_time(struct sync *s, const struct sync_status *st)
{
	instant now = clock_now();
	if (st->expires <= now)
		return sync_fail(s, ERR_CORRUPT, "expired", "The co-op's status has expired (%.*s): the server shows an old one, or this machine's clock is ahead.", STR_ARG(clock_format(s->arena, st->expires)));
	if (st->created > now + AHEAD)
		return sync_fail(s, ERR_CORRUPT, "expired", "The co-op's status is from the future (%.*s): this machine's clock is behind.", STR_ARG(clock_format(s->arena, st->created)));
	return ERR_OK;
}

/* Nothing that was said before may be taken back: a withdrawn version stays withdrawn, tombstones stay. */
static enum err status_continues(struct sync *s, const struct sync_status *st)
{
	const struct sync_state *before = &s->state;
	if (!before->origin.p)
		return ERR_OK;
	if (!str_eq(st->origin, before->origin))
		return sync_fail(s, ERR_CORRUPT, "rollback", "The co-op's status speaks of another log (%.*s) than the one seen before.", STR_ARG(str_sub(st->origin, 0, 100)));
	if (st->created < before->created)
		return sync_fail(s, ERR_CORRUPT, "rollback", "The co-op's status is older (%.*s) than the one seen before.", STR_ARG(clock_format(s->arena, st->created)));
	if (st->upto < before->status_upto)
		return sync_fail(s, ERR_CORRUPT, "rollback", "The co-op's status knows of fewer tombstones than the one seen before.");
	for (size_t i = 0; i < st->usable.n; i++)
		if (names_has(&before->withdrawn, st->usable.at[i]) && !names_has(&st->withdrawn, st->usable.at[i]) && st->created > before->created)
			return sync_fail(s, ERR_CORRUPT, "rollback", "The co-op's status calls version %.*s usable, which was withdrawn.", STR_ARG(st->usable.at[i]));
	return log_consistent(s, before->size, before->root, st->size, st->root);
}

enum err status_fetch(struct sync *s)
{
	struct document got;
	struct str payload;
	size_t which;
	struct sync_status *st = &s->status;
	*st = (struct sync_status){ 0 };
	sync_progress(s, "the co-op's status", 0, 0);
	TRY(remote_read(s, STR("/status.json"), STATUS_TEXT_MAX, 0, &got));
	st->envelope = got.body;
	if (keychain_dsse_verify(s->arena, &s->state.keys, got.body, STR(STATUS_PAYLOAD_TYPE), &payload, &which, s->e) != ERR_OK)
		return sync_fail(s, ERR_CORRUPT, "forged", "The co-op's status is not signed by its key.");
	if (!status_parse(s, payload, st))
		return sync_fail(s, ERR_CORRUPT, "forged", "The co-op's status cannot be understood.");
	if (!keychain_signs_size(&s->state.keys, which, st->size))
		return sync_fail(s, ERR_CORRUPT, "forged", "The co-op's status is signed by a key that was not in force: it has been replaced.");
	TRY(status_in_time(s, st));
	return status_continues(s, st);
}
