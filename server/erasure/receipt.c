/* Receipts: what recipients confirm, in their own signed words, and which duties that settles. */
#include "server/erasure/mirror/mirror_internal.h"

#define RELEASES_MAX 1000                /* versions that one receipt names */
#define AHEAD_MAX (5 * CLOCK_MINUTE)     /* how far a mirror's clock may be ahead of ours */

SQL(receipt_known, "SELECT EXISTS (SELECT FROM receipt WHERE coop_id = $1 AND digest = $2)");
SQL(receipt_insert,
	"INSERT INTO receipt (coop_id, id, mirror_id, grant_id, account_id, upto, releases, method, models, doubtful, said_at, at, envelope, digest) "
	"VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, commonhold_now(), $12, $13)");
SQL(receipt_page,
	"SELECT id, mirror_id, grant_id, upto, releases, method, models, doubtful, said_at, at, digest, envelope FROM receipt WHERE coop_id = $1 AND ($2::uuid IS NULL OR mirror_id = $2) "
	"AND ($3::uuid IS NULL OR grant_id = $3) AND ($4::timestamptz IS NULL OR (at, id) < ($4, $5)) ORDER BY at DESC, id DESC LIMIT $6");
SQL(mirror_seen, "UPDATE mirror SET seen_upto = greatest(seen_upto, $3), seen_at = $4 WHERE coop_id = $1 AND id = $2");
SQL(duties_covered,
	"SELECT (SELECT array_agg(DISTINCT v) FROM duty x, unnest(x.releases) v WHERE x.coop_id = $1 AND x.mirror_id IS NOT DISTINCT FROM $2 AND x.grant_id IS NOT DISTINCT FROM $3 "
	"  AND x.confirmed_at IS NULL AND x.upto <= $4), "
	"EXISTS (SELECT FROM duty x JOIN mirror_holding h ON h.coop_id = x.coop_id AND h.mirror_id = x.mirror_id JOIN release r ON r.coop_id = h.coop_id AND r.id = h.release_id "
	"  WHERE x.coop_id = $1 AND x.mirror_id = $2 AND x.confirmed_at IS NULL AND x.upto <= $4 AND r.version = ANY (x.releases))");
SQL(duties_confirm,
	"UPDATE duty SET confirmed_at = commonhold_now(), method = $5, receipt_id = $6, ended_at = coalesce(ended_at, commonhold_now()) "
	"WHERE coop_id = $1 AND mirror_id IS NOT DISTINCT FROM $2 AND grant_id IS NOT DISTINCT FROM $3 AND confirmed_at IS NULL AND upto <= $4 RETURNING erasure_id");
SQL(still_held,
	"SELECT version FROM release WHERE coop_id = $1 AND version = ANY ($2) AND state = 'withdrawn' AND (tombstones_from IS NULL OR tombstones_from <= $3) ORDER BY version LIMIT 1");
SQL(held_the_same,
	"SELECT (SELECT coalesce(array_agg(r.version ORDER BY r.version), '{}') FROM mirror_holding h JOIN release r ON r.coop_id = h.coop_id AND r.id = h.release_id "
	"  WHERE h.coop_id = $1 AND h.mirror_id = $2 AND h.gone_at IS NULL) = (SELECT coalesce(array_agg(DISTINCT v ORDER BY v), '{}') FROM unnest($3::text[]) v)");
SQL(grant_of, "SELECT account_id FROM access_grant WHERE coop_id = $1 AND id = $2 FOR UPDATE");
SQL(open_duties, "SELECT count(*) FROM duty WHERE coop_id = $1 AND mirror_id IS NOT DISTINCT FROM $2 AND grant_id IS NOT DISTINCT FROM $3 AND confirmed_at IS NULL");

static const char *const methods[] = { "patched", "deleted", "never-held" };

static bool is_method(struct str s)
{
	return str_which(s, methods, CH_LEN(methods)) >= 0;
}

/* ---- what a mirror says ---- */

#define malformed(c, ...) fail_reason((c), ERR_INVALID, "receipt_malformed", __VA_ARGS__)

static enum err read_releases(struct call *c, const struct json *list, struct purge_receipt *t)
{
	if (!json_is(list, JSON_ARRAY) || list->count > RELEASES_MAX)
		return malformed(c, "releases must be a list of at most %d versions: those that the mirror holds now.", RELEASES_MAX);
	t->releases = ARENA_ARRAY(c->arena, list->count + 1, struct str);
	json_each (item, list) {
		struct str version = json_text(item);
		if (!version.n || version.n > 100)
			return malformed(c, "releases must be a list of versions.");
		t->releases[t->n_releases++] = version;
	}
	return ERR_OK;
}

static enum err read_statement(struct call *c, struct str payload, const struct json **said, struct purge_receipt *t)
{
	struct error why = { 0 };
	if (json_parse(c->arena, payload, said, &why) != ERR_OK || !json_is(*said, JSON_OBJECT))
		return malformed(c, "What is signed is no JSON object.");
	t->method = json_member_text(*said, "method");
	t->models = json_member_text(*said, "models_affected");
	t->upto = json_int(json_get(*said, "upto"), -2);
	if (!is_method(t->method))
		return malformed(c, "method must be patched, deleted or never-held.");
	if (t->upto < -1 || !json_is(json_get(*said, "upto"), JSON_NUMBER))
		return malformed(c, "upto must be the index of a tombstone.");
	if (!clock_parse(json_member_text(*said, "at"), &t->said_at))
		return malformed(c, "at must be an instant (RFC 3339).");
	if (t->models.n > LIMIT_TEXT_NOTE)
		return malformed(c, "models_affected is longer than %d characters.", LIMIT_TEXT_NOTE);
	return read_releases(c, json_get(*said, "releases"), t);
}

static enum err check_signature(struct call *c, const struct mirror *m, struct str envelope, struct str *payload)
{
	struct error why = { 0 };
	const uint8_t(*keys)[32] = (const uint8_t(*)[32])m->public_key;
	if (!m->has_key || dsse_verify(c->arena, envelope, keys, 1, 1, STR(MIRROR_RECEIPT_TYPE), payload, &why) != ERR_OK)
		return fail_reason(c, ERR_FORBIDDEN, "receipt_forged", "This is not signed with the key that this mirror is registered with.");
	return ERR_OK;
}

/* That it is this mirror's, of now, and goes on from its last. */
static enum err check_order(struct call *c, const struct mirror *m, const struct json *said, const struct purge_receipt *t)
{
	struct rows r;
	struct uuid named;
	if (!uuid_parse(json_member_text(said, "mirror"), &named) || !uuid_eq(named, m->id))
		return fail_reason(c, ERR_REFUSED, "wrong_mirror", "This receipt is another mirror's.");
	if (!str_eq(json_member_text(said, "key"), key_id(c->arena, m->public_key)))
		return fail_reason(c, ERR_REFUSED, "wrong_key", "This receipt names another key than it is signed with.");
	if (t->said_at > clock_now() + AHEAD_MAX)
		return fail_reason(c, ERR_REFUSED, "future", "This receipt is dated in the future. Set the mirror's clock.");
	TRY(db_one(c, receipt_known, &r, A_UUID(m->coop), A_BYTES(str_make(t->digest.b, 32))));
	if (row_bool(&r, 0, 0))
		return fail_reason(c, ERR_EXISTS, "replayed", "This receipt is on record already.");
	if (t->upto < m->seen_upto || (m->seen_at != INSTANT_NONE && t->said_at <= m->seen_at))
		return fail_reason(c, ERR_REFUSED, "older_than_seen", "This receipt is older than the last one, which goes up to tombstone %lld.", (long long)m->seen_upto);
	int64_t end;
	TRY(tombstone_upto(c, m->coop, &end, NULL));
	if (t->upto > end)
		return fail_reason(c, ERR_REFUSED, "beyond_feed", "There is no tombstone %lld; the list ends at %lld.", (long long)t->upto, (long long)end);
	return ERR_OK;
}

static enum err check_held(struct call *c, const struct mirror *m, const struct purge_receipt *t)
{
	struct rows r;
	TRY(db_query(c, still_held, &r, A_UUID(m->coop), A_TEXTS(t->releases, t->n_releases), A_I64(t->upto)));
	if (r.n)
		return fail_reason(c, ERR_REFUSED, "still_held", "Version %.*s was withdrawn; a mirror that still holds it has not dealt with these tombstones.", STR_ARG(row_str(&r, 0, 0)));
	return ERR_OK;
}

/* Each receipt is a leaf of the log for ever: one that says nothing new is not taken. */
static enum err check_news(struct call *c, const struct mirror *m, const struct purge_receipt *t)
{
	struct rows r;
	if (m->seen_at == INSTANT_NONE || t->upto > m->seen_upto || m->owed > 0)
		return ERR_OK;
	TRY(db_one(c, held_the_same, &r, A_UUID(m->coop), A_UUID(m->id), A_TEXTS(t->releases, t->n_releases)));
	return row_bool(&r, 0, 0) ? fail_reason(c, ERR_EXISTS, "nothing_new", "The last receipt said the same.") : ERR_OK;
}

/* ---- what it settles ---- */

/* Versions of a list that are not in another. */
static size_t without(struct arena *a, const struct str *all, size_t n, const struct str *kept, size_t n_kept, struct str **out)
{
	size_t left = 0;
	*out = ARENA_ARRAY(a, n + 1, struct str);
	for (size_t i = 0; i < n; i++) {
		bool keeps = false;
		for (size_t k = 0; k < n_kept && !keeps; k++)
			keeps = str_eq(all[i], kept[k]);
		if (!keeps)
			(*out)[left++] = all[i];
	}
	return left;
}

static enum err note(struct call *c, struct uuid coop, const struct purge_receipt *t)
{
	bool by_mirror = !uuid_is_nil(t->mirror);
	struct arena *a = c->arena;
	return ledger_append(c, coop, &(struct leaf){ .type = "deletion.receipt",
		.data = str_fmt(a, "{\"%s\":\"%.*s\",\"digest\":\"%.*s\",\"method\":\"%.*s\",\"upto\":%lld}", by_mirror ? "mirror" : "grant",
			STR_ARG(uuid_format(a, by_mirror ? t->mirror : t->grant)), STR_ARG(sha256_hex(a, t->digest)), STR_ARG(t->method), (long long)t->upto) }, NULL);
}

/* Writes the receipt and confirms what is owed up to it. `account` answers for the mirror or holds the grant; `by` is who confirmed, signed in. */
static enum err settle(struct call *c, struct uuid coop, struct uuid account, struct uuid by, struct purge_receipt *t)
{
	struct rows r;
	struct str *versions, *gone;
	struct access_user *users;
	size_t n_users;
	TRY(db_one(c, duties_covered, &r, A_UUID(coop), A_UUID_OR_NULL(t->mirror), A_UUID_OR_NULL(t->grant), A_I64(t->upto)));
	size_t n = row_strs(c->arena, &r, 0, 0, &versions);
	bool said_held = row_bool(&r, 0, 1);
	TRY(access_users(c, coop, versions, n, account, &users, &n_users));
	t->doubtful = str_is(t->method, "never-held") && (said_held || n_users > 0);
	TRY(db_exec(c, receipt_insert, A_UUID(coop), A_UUID(t->id), A_UUID_OR_NULL(t->mirror), A_UUID_OR_NULL(t->grant), A_UUID_OR_NULL(by), A_I64(t->upto), A_TEXTS(t->releases, t->n_releases),
		A_STR(t->method), A_STR(t->models), A_BOOL(t->doubtful), A_TIME(t->said_at), A_STR(t->envelope), A_BYTES(str_make(t->digest.b, 32))));
	TRY(db_query(c, duties_confirm, &r, A_UUID(coop), A_UUID_OR_NULL(t->mirror), A_UUID_OR_NULL(t->grant), A_I64(t->upto), A_STR(t->method), A_UUID(t->id)));
	t->confirmed = r.n;
	struct uuid *erasures = ARENA_ARRAY(c->arena, (size_t)r.n + 1, struct uuid);
	for (int i = 0; i < r.n; i++)
		erasures[i] = row_uuid(&r, i, 0);
	size_t n_gone = without(c->arena, versions, n, t->releases, t->n_releases, &gone);
	if (n_gone)
		TRY(access_use_gone(c, coop, account, t->grant, gone, n_gone));
	TRY(duty_settle(c, coop, erasures, (size_t)t->confirmed));
	if (!uuid_is_nil(t->mirror))
		TRY(db_exec(c, mirror_seen, A_UUID(coop), A_UUID(t->mirror), A_I64(t->upto), A_TIME(t->said_at)));
	TRY(overdue_lift(c, coop, account));
	TRY(mirror_measure(c, coop));
	return note(c, coop, t);
}

/* ---- who confirms ---- */

static enum err require_open(struct call *c, const struct mirror *m)
{
	return m->state == MIRROR_ENDED && m->owed == 0 ? fail_reason(c, ERR_STATE, "mirror_ended", "This mirror was ended, and owes nothing.") : ERR_OK;
}

enum err receipt_take(struct call *c, struct uuid coop, struct uuid mirror, struct str envelope, struct purge_receipt *out)
{
	struct mirror m;
	struct str payload;
	const struct json *said;
	*out = (struct purge_receipt){ .id = uuid_new(), .mirror = mirror, .at = clock_now(), .envelope = envelope };
	TRY(db_begin_in(c, coop, DB_WRITE));
	TRY(mirror_get(c, coop, mirror, true, &m));
	TRY(check_signature(c, &m, envelope, &payload));
	out->digest = sha256(payload);
	TRY(read_statement(c, payload, &said, out));
	TRY(require_open(c, &m));
	TRY(check_order(c, &m, said, out));
	TRY(check_held(c, &m, out));
	TRY(check_news(c, &m, out));
	TRY(settle(c, coop, m.account, (struct uuid){ { 0 } }, out));
	TRY(mirror_hold(c, coop, mirror, out->releases, out->n_releases));
	return db_commit(c);
}

/* `checked` is canonical JSON; absent: nothing was. */
static struct str own_statement(struct arena *a, const char *what, struct uuid id, const struct purge_receipt *t, struct str checked, struct str key)
{
	struct buf b;
	struct json_writer w;
	buf_init(&b, 64 * KIB);
	jw_init(&w, &b);
	jw_object(&w);
	jw_kstr(&w, "at", clock_format(a, clock_now()));
	if (checked.p) {
		jw_key(&w, "checked");
		jw_raw(&w, checked);
	}
	if (key.p)
		jw_kstr(&w, "key", key);
	jw_kstr(&w, "method", t->method);
	jw_kstr(&w, what, uuid_format(a, id));
	if (t->models.n)
		jw_kstr(&w, "models_affected", t->models);
	jw_key(&w, "releases");
	jw_array(&w);
	for (size_t i = 0; i < t->n_releases; i++)
		jw_str(&w, t->releases[i]);
	jw_end_array(&w);
	jw_kint(&w, "upto", t->upto);
	jw_end_object(&w);
	return buf_take(a, &b);
}

enum err receipt_of_grantee(struct call *c, struct uuid coop, struct uuid grant, struct str method, struct str models, struct purge_receipt *out)
{
	struct rows r;
	models = str_trim(models.p ? models : STR(""));
	*out = (struct purge_receipt){ .id = uuid_new(), .grant = grant, .method = method, .models = models.n ? models : STR_NONE, .at = clock_now(), .said_at = clock_now() };
	if (!str_is(method, "deleted") && !str_is(method, "never-held"))
		return fail_field(c, "/method", "Say deleted or never-held.");
	TRY(call_check_text(c, "/models_affected", models, 0, LIMIT_TEXT_NOTE));
	if (uuid_is_nil(c->actor.account))
		return fail(c, ERR_UNAUTHENTICATED, "%s", err_text(ERR_UNAUTHENTICATED));
	TRY(db_begin_in(c, coop, DB_WRITE));
	TRY(db_one(c, grant_of, &r, A_UUID(coop), A_UUID(grant)));
	if (!uuid_eq(row_uuid(&r, 0, 0), c->actor.account))
		return fail(c, ERR_NOT_FOUND, "%s", err_text(ERR_NOT_FOUND));
	TRY(db_one(c, open_duties, &r, A_UUID(coop), A_UUID_OR_NULL(out->mirror), A_UUID(grant)));
	if (row_int(&r, 0, 0) == 0)
		return fail_reason(c, ERR_STATE, "nothing_owed", "Nothing is to be confirmed for this grant.");
	TRY(tombstone_upto(c, coop, &out->upto, NULL));
	out->digest = sha256(own_statement(c->arena, "grant", out->id, out, STR_NONE, STR_NONE));
	TRY(settle(c, coop, c->actor.account, c->actor.account, out));
	return db_commit(c);
}

SQL(kept_holds,
	"SELECT coalesce(array_agg(r.version ORDER BY r.published_at), '{}') FROM mirror_holding h JOIN release r ON r.coop_id = h.coop_id AND r.id = h.release_id"
	" WHERE h.coop_id = $1 AND h.mirror_id = $2 AND h.gone_at IS NULL");
enum err receipt_of_adapter(struct call *c, struct uuid coop, struct uuid mirror, int64_t upto, struct str checked)
{
	struct rows r;
	struct mirror m;
	struct sign_key key;
	struct purge_receipt t = { .id = uuid_new(), .mirror = mirror, .method = STR("deleted"), .upto = upto, .at = clock_now(), .said_at = clock_now() };
	TRY(mirror_get(c, coop, mirror, true, &m));
	if (!mirror_is_kept(m.kind))
		return fail(c, ERR_STATE, "This instance does not keep this mirror; it must confirm for itself.");
	if (m.owed == 0)
		return ERR_OK;
	TRY(db_one(c, kept_holds, &r, A_UUID(coop), A_UUID(mirror)));
	TRY(instance_key(c, &key));
	t.n_releases = row_strs(c->arena, &r, 0, 0, &t.releases);
	struct str said = own_statement(c->arena, "mirror", mirror, &t, checked, key_id(c->arena, key.public_key));
	t.envelope = dsse_sign(c->arena, &key, 1, STR(MIRROR_RECEIPT_TYPE), said);
	t.digest = sha256(str_cat(c->arena, said, uuid_format(c->arena, t.id)));
	return settle(c, coop, m.account, (struct uuid){ { 0 } }, &t);
}

/* ---- reading ---- */

static struct purge_receipt receipt_of_row(struct arena *a, const struct rows *r, int i)
{
	struct purge_receipt t = {
		.id = row_uuid(r, i, 0), .mirror = row_uuid(r, i, 1), .grant = row_uuid(r, i, 2), .upto = row_int(r, i, 3), .method = row_str(r, i, 5), .models = row_str(r, i, 6),
		.doubtful = row_bool(r, i, 7), .said_at = row_time(r, i, 8), .at = row_time(r, i, 9), .digest = sha256_load(row_bytes(r, i, 10)), .envelope = row_str(r, i, 11),
	};
	t.n_releases = row_strs(a, r, i, 4, &t.releases);
	return t;
}

static enum err require_reader(struct call *c, struct uuid coop, struct uuid mirror, struct uuid grant)
{
	struct mirror m;
	struct rows r;
	bool admin;
	TRY(member_is_admin(c, coop, &admin));
	if (!uuid_is_nil(mirror)) {
		TRY(mirror_get(c, coop, mirror, false, &m));
		return admin ? ERR_OK : mirror_require_own(c, coop, &m);
	}
	SQL(whose_grant, "SELECT account_id FROM access_grant WHERE coop_id = $1 AND id = $2");
	TRY(db_one(c, whose_grant, &r, A_UUID(coop), A_UUID(grant)));
	return admin || uuid_eq(row_uuid(&r, 0, 0), c->actor.account) ? ERR_OK : fail(c, ERR_NOT_FOUND, "%s", err_text(ERR_NOT_FOUND));
}

enum err receipt_list(struct call *c, struct uuid coop, struct uuid mirror, struct uuid grant, struct str cursor, int limit, struct purge_receipt **out, size_t *n, struct str *next_cursor)
{
	struct page_cursor from;
	struct rows r;
	TRY(page_cursor_read(c, cursor, &from));
	TRY(db_begin_in(c, coop, DB_READ));
	TRY(require_reader(c, coop, mirror, grant));
	TRY(db_finish(c, receipt_page, &r, A_UUID(coop), A_UUID_OR_NULL(mirror), A_UUID_OR_NULL(grant), A_TIME(from.at), A_UUID_OR_NULL(from.id), A_INT(limit + 1)));
	*n = (size_t)(r.n > limit ? limit : r.n);
	*out = ARENA_ARRAY(c->arena, *n + 1, struct purge_receipt);
	for (size_t i = 0; i < *n; i++)
		(*out)[i] = receipt_of_row(c->arena, &r, (int)i);
	*next_cursor = r.n > limit ? page_cursor_write(c->arena, (*out)[*n - 1].at, (*out)[*n - 1].id) : STR_NONE;
	return ERR_OK;
}
