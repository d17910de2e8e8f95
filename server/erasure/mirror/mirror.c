/* The registry of mirrors. */
#include "mirror_internal.h"

#include "commonhold/config.h"
#include "commonhold/fetch.h"

#define LIST_MAX 1000                 /* mirrors of one co-op that are listed */
#define MIRRORS_MAX 20                /* that one account may have in a co-op */
#define URL_MAX 2000                  /* characters of a webhook's address */
#define SECRET_BYTES 32               /* of an HMAC key: Standard Webhooks asks for 24 to 64 */
#define PROOF_AHEAD (5 * CLOCK_MINUTE) /* how far somebody's clock may be ahead of ours */

static const char *const kinds[MIRROR_KIND_COUNT] = { "pull", "webhook", "s3", "huggingface" };
static const char *const states[MIRROR_STATE_COUNT] = { "active", "suspended", "ended" };

static const struct lifecycle_edge edges[] = {
	{ LIFECYCLE_BEGINNING, MIRROR_ACTIVE, "It is registered." },
	{ MIRROR_ACTIVE, MIRROR_SUSPENDED, "It is told nothing for now; what it owes stays owed." },
	{ MIRROR_SUSPENDED, MIRROR_ACTIVE, "It is told again, and at once what it has missed." },
	{ MIRROR_ACTIVE, MIRROR_ENDED, "It copies no more; it confirms what it still owes." },
	{ MIRROR_SUSPENDED, MIRROR_ENDED, "It is given up; it confirms what it still owes." },
};

const char *mirror_kind_name(enum mirror_kind k)
{
	return k < MIRROR_KIND_COUNT ? kinds[k] : "";
}

bool mirror_kind_find(struct str name, enum mirror_kind *out)
{
	int kind = str_which(name, kinds, CH_LEN(kinds));
	if (kind >= 0)
		*out = (enum mirror_kind)kind;
	return kind >= 0;
}

const struct lifecycle mirror_life = { .thing = "This mirror", LIFECYCLE_TABLE(states, edges), .final = LIFECYCLE_BIT(MIRROR_ENDED) };

const char *mirror_state_name(enum mirror_state s)
{
	return lifecycle_word(&mirror_life, (int)s);
}

/* ---- reading ---- */

#define MIRROR_COLUMNS \
	"m.id, m.coop_id, m.account_id, a.name, m.name, m.kind, m.state, m.url, m.public_key, m.reason, m.registered_at, m.state_at, m.told_at, m.seen_upto, m.seen_at, " \
	"d.owed, d.due_at, coalesce(d.listed, false) "
#define MIRROR_FROM \
	"FROM mirror m JOIN account a ON a.id = m.account_id LEFT JOIN LATERAL (SELECT count(*) AS owed, min(due_at) AS due_at, bool_or(step >= 4) AS listed FROM duty " \
	"WHERE coop_id = m.coop_id AND mirror_id = m.id AND confirmed_at IS NULL) d ON true "

SQL(mirror_by_id, "SELECT " MIRROR_COLUMNS MIRROR_FROM "WHERE m.coop_id = $1 AND m.id = $2");
SQL(mirror_lock, "SELECT 1 FROM mirror WHERE coop_id = $1 AND id = $2 FOR UPDATE");
SQL(mirror_all, "SELECT " MIRROR_COLUMNS MIRROR_FROM "WHERE m.coop_id = $1 AND (m.state <> 'ended' OR d.owed > 0) ORDER BY lower(m.name), m.id LIMIT $2");
SQL(mirror_insert,
	"INSERT INTO mirror (coop_id, id, account_id, name, kind, url, public_key, secret, state, state_at, registered_at, told_at) "
	"VALUES ($1, $2, $3, $4, $5, $6, $7, $8, 'active', commonhold_now(), commonhold_now(), CASE WHEN $9 THEN commonhold_now() END)");
SQL(mirror_count, "SELECT count(*) FROM mirror WHERE coop_id = $1 AND account_id = $2 AND state <> 'ended'");
SQL(live_grant, "SELECT EXISTS (SELECT FROM access_grant WHERE coop_id = $1 AND account_id = $2 AND revoked_at IS NULL AND expires_at > commonhold_now())");
SQL(mirror_set, "UPDATE mirror SET state = $3, state_at = commonhold_now(), reason = $4 WHERE coop_id = $1 AND id = $2");
SQL(mirror_set_secret, "UPDATE mirror SET secret = $3 WHERE coop_id = $1 AND id = $2");
SQL(hold_add,
	"INSERT INTO mirror_holding AS h (coop_id, mirror_id, release_id, since) SELECT $1, $2, id, commonhold_now() FROM release WHERE coop_id = $1 AND version = ANY ($3) "
	"ON CONFLICT (coop_id, mirror_id, release_id) DO UPDATE SET gone_at = NULL WHERE h.gone_at IS NOT NULL");
SQL(hold_end,
	"UPDATE mirror_holding h SET gone_at = commonhold_now() FROM release r WHERE h.coop_id = $1 AND h.mirror_id = $2 AND h.gone_at IS NULL "
	"AND r.coop_id = h.coop_id AND r.id = h.release_id AND NOT r.version = ANY ($3)");
SQL(hold_told, "UPDATE mirror SET told_at = commonhold_now() WHERE coop_id = $1 AND id = $2");
SQL(hold_unknown, "SELECT v FROM unnest($2::text[]) v WHERE NOT EXISTS (SELECT FROM release WHERE coop_id = $1 AND version = v AND state IN ('published', 'superseded', 'withdrawn')) LIMIT 1");
SQL(hold_put,
	"INSERT INTO mirror_holding AS h (coop_id, mirror_id, release_id, since) VALUES ($1, $2, $3, commonhold_now()) "
	"ON CONFLICT (coop_id, mirror_id, release_id) DO UPDATE SET gone_at = NULL WHERE h.gone_at IS NOT NULL");
SQL(hold_take, "UPDATE mirror_holding SET gone_at = commonhold_now() WHERE coop_id = $1 AND mirror_id = $2 AND release_id = $3 AND gone_at IS NULL");
SQL(admins_of,
	"SELECT (SELECT slug FROM coop WHERE id = $1), array_agg(account_id) FROM membership WHERE coop_id = $1 AND is_admin AND state IN ('active', 'due', 'grace')");

static const struct db_constraint constraints[] = {
	{ "mirror_names_are_unique", ERR_EXISTS, "/name", "A mirror of this name is registered already." },
	{ "mirror_keys_are_unique", ERR_EXISTS, "/public_key", "A mirror with this key is registered already." },
	DB_CONSTRAINTS_END
};

static struct mirror mirror_of_row(const struct rows *r, int i)
{
	struct mirror m = {
		.id = row_uuid(r, i, 0), .coop = row_uuid(r, i, 1), .account = row_uuid(r, i, 2), .account_name = row_str(r, i, 3), .name = row_str(r, i, 4),
		.url = row_str(r, i, 7), .has_key = !row_null(r, i, 8), .reason = row_str(r, i, 9), .registered_at = row_time(r, i, 10), .state_at = row_time(r, i, 11),
		.told_at = row_time(r, i, 12), .seen_upto = row_int(r, i, 13), .seen_at = row_time(r, i, 14), .owed = row_int(r, i, 15), .due_at = row_time(r, i, 16),
		.listed = row_bool(r, i, 17),
	};
	struct str key = row_bytes(r, i, 8), state = row_str(r, i, 6);
	if (!mirror_kind_find(row_str(r, i, 5), &m.kind))
		m.kind = MIRROR_PULL;
	m.state = (enum mirror_state)lifecycle_state(&mirror_life, state);
	if (key.n == sizeof(m.public_key))
		memcpy(m.public_key, key.p, key.n);
	return m;
}

enum err mirror_get(struct call *c, struct uuid coop, struct uuid id, bool lock, struct mirror *out)
{
	struct rows r;
	if (lock)
		TRY(db_one(c, mirror_lock, &r, A_UUID(coop), A_UUID(id)));
	TRY(db_one(c, mirror_by_id, &r, A_UUID(coop), A_UUID(id)));
	*out = mirror_of_row(&r, 0);
	return ERR_OK;
}

enum err mirror_require_own(struct call *c, struct uuid coop, const struct mirror *m)
{
	bool admin;
	TRY(member_is_admin(c, coop, &admin));
	if (admin || (!uuid_is_nil(c->actor.account) && uuid_eq(m->account, c->actor.account)))
		return ERR_OK;
	return fail(c, ERR_NOT_FOUND, "%s", err_text(ERR_NOT_FOUND));
}

enum err mirror_read(struct call *c, struct uuid coop, struct uuid mirror, struct mirror *out)
{
	TRY(db_begin_in(c, coop, DB_READ));
	TRY(mirror_get(c, coop, mirror, false, out));
	TRY(mirror_require_own(c, coop, out));
	return db_commit(c);
}

enum err mirror_list(struct call *c, struct uuid coop, struct mirror **out, size_t *n)
{
	struct rows r;
	TRY(db_begin_in(c, coop, DB_READ));
	TRY(db_finish(c, mirror_all, &r, A_UUID(coop), A_INT(LIST_MAX)));
	*n = (size_t)r.n;
	*out = ARENA_ARRAY(c->arena, *n + 1, struct mirror);
	for (int i = 0; i < r.n; i++)
		(*out)[i] = mirror_of_row(&r, i);
	return ERR_OK;
}

enum err mirror_admins(struct call *c, struct uuid coop, struct uuid **accounts, size_t *n, struct str *slug)
{
	struct rows r;
	TRY(db_one(c, admins_of, &r, A_UUID(coop)));
	*slug = row_str(&r, 0, 0);
	*n = row_uuids(c->arena, &r, 0, 1, accounts);
	return ERR_OK;
}

struct str mirror_notice(struct arena *a, const char *title, struct str text, struct str slug)
{
	struct buf b;
	struct json_writer w;
	buf_init(&b, 64 * KIB);
	jw_init(&w, &b);
	jw_object(&w);
	jw_kz(&w, "title", title);
	jw_kstr(&w, "text", text);
	jw_kstr(&w, "url", str_fmt(a, "/coops/%.*s/mirrors", STR_ARG(slug)));
	jw_end_object(&w);
	return buf_take(a, &b);
}

/* ---- registering ---- */

static enum err note(struct call *c, struct uuid coop, const char *type, const struct mirror *m)
{
	struct str id = uuid_format(c->arena, m->id), key = m->has_key ? str_fmt(c->arena, ",\"key\":\"%.*s\"", STR_ARG(key_id(c->arena, m->public_key))) : STR("");
	return ledger_append(c, coop, &(struct leaf){ .type = type,
		.data = str_fmt(c->arena, "{\"kind\":\"%s\",\"mirror\":\"%.*s\"%.*s}", mirror_kind_name(m->kind), STR_ARG(id), STR_ARG(key)) }, NULL);
}

static enum err read_key(struct call *c, struct str text, uint8_t key[32])
{
	if (text.n == 64 && str_unhex(text, key, 32))
		return ERR_OK;
	if (minisign_parse_key(c->arena, text, key))
		return ERR_OK;
	return fail_field(c, "/public_key", "This is no Ed25519 public key: 64 hex digits, or minisign's line.");
}

static bool names_coop(const struct mirror_draft *in, struct str name)
{
	for (size_t i = 0; i < CH_LEN(in->names); i++)
		if (in->names[i].n && str_eq(in->names[i], name))
			return true;
	return false;
}

/* Whoever sends it can sign with the key, for this co-op, today. */
static enum err check_proof(struct call *c, const struct mirror_draft *in, const uint8_t key[32])
{
	const struct json *said;
	struct str payload;
	instant at;
	struct error why = { 0 };
	const uint8_t(*keys)[32] = (const uint8_t(*)[32])key;
	if (!in->proof.n || dsse_verify(c->arena, in->proof, keys, 1, 1, STR(MIRROR_KEY_TYPE), &payload, &why) != ERR_OK || json_parse(c->arena, payload, &said, &why) != ERR_OK)
		return fail_field(c, "/proof", "This is not signed with that key. Make it with: commonhold mirror key.");
	if (!names_coop(in, json_member_text(said, "coop")))
		return fail_field(c, "/proof", "This was signed for another co-op.");
	if (!str_eq(json_member_text(said, "key"), key_id(c->arena, key)))
		return fail_field(c, "/proof", "This names another key.");
	if (!clock_parse(json_member_text(said, "at"), &at) || at < clock_now() - CLOCK_DAY || at > clock_now() + PROOF_AHEAD)
		return fail_field(c, "/proof", "This was not signed within the last day.");
	return ERR_OK;
}

static enum err check_url(struct call *c, struct str url)
{
	struct error why = { 0 };
	bool loose = config()->allow_private_on;
	if (!url.n || url.n > URL_MAX)
		return fail_field(c, "/url", "Say where the webhook is: https://…, at most %d characters.", URL_MAX);
	if (fetch_url_check(c->arena, url, loose, loose, NULL, &why) != ERR_OK)
		return fail_field(c, "/url", "%s", why.message);
	return ERR_OK;
}

/* Admins may register any; others a copy of what they hold a grant for. */
static enum err check_who(struct call *c, struct uuid coop, enum mirror_kind kind)
{
	struct rows r;
	bool admin;
	if (uuid_is_nil(c->actor.account))
		return fail(c, ERR_UNAUTHENTICATED, "%s", err_text(ERR_UNAUTHENTICATED));
	TRY(member_is_admin(c, coop, &admin));
	if (mirror_is_kept(kind) && !admin)
		return fail(c, ERR_FORBIDDEN, "Only admins of the co-op may have it publish elsewhere.");
	TRY(db_one(c, live_grant, &r, A_UUID(coop), A_UUID(c->actor.account)));
	if (!admin && !row_bool(&r, 0, 0))
		return fail_reason(c, ERR_FORBIDDEN, "no_grant", "To register a mirror, ask for access first: it needs a grant that is in force.");
	TRY(db_one(c, mirror_count, &r, A_UUID(coop), A_UUID(c->actor.account)));
	if (row_int(&r, 0, 0) >= MIRRORS_MAX)
		return fail_reason(c, ERR_REFUSED, "too_many_mirrors", "You have registered %d mirrors here. End one first.", MIRRORS_MAX);
	return ERR_OK;
}

struct str mirror_secret_context(struct arena *a, struct uuid coop, struct uuid mirror)
{
	return str_fmt(a, "mirror secret %.*s %.*s", STR_ARG(uuid_format(a, coop)), STR_ARG(uuid_format(a, mirror)));
}

/* As Standard Webhooks writes them; what is stored is sealed. */
static struct str secret_make(struct call *c, struct uuid coop, struct uuid mirror, struct str *sealed)
{
	uint8_t bytes[SECRET_BYTES];
	random_bytes(bytes, sizeof(bytes));
	*sealed = seal(c->arena, instance_seal_key(instance_keys()), mirror_secret_context(c->arena, coop, mirror), str_make(bytes, sizeof(bytes)));
	struct str text = str_fmt(c->arena, "whsec_%.*s", STR_ARG(str_base64(c->arena, bytes, sizeof(bytes))));
	secret_wipe(bytes, sizeof(bytes));
	return text;
}

enum err mirror_register(struct call *c, struct uuid coop, const struct mirror_draft *in, struct mirror *out, struct str *secret)
{
	uint8_t key[32] = { 0 };
	struct uuid id = uuid_new();
	struct str name = str_trim(in->name.p ? in->name : STR("")), sealed = STR_NONE, url = STR_NONE, key_bytes = STR_NONE;
	bool kept = mirror_is_kept(in->kind);
	*secret = STR_NONE;
	db_constraints(constraints);
	TRY(call_check_text(c, "/name", name, 1, LIMIT_TEXT_NAME));
	if (in->kind == MIRROR_WEBHOOK) {
		url = str_trim(in->url.p ? in->url : STR(""));
		TRY(check_url(c, url));
		*secret = secret_make(c, coop, id, &sealed);
	}
	if (!kept) {
		TRY(read_key(c, in->public_key.p ? str_trim(in->public_key) : STR(""), key));
		TRY(check_proof(c, in, key));
		key_bytes = str_make(key, sizeof(key));
	}
	TRY(db_begin_in(c, coop, DB_WRITE));
	TRY(check_who(c, coop, in->kind));
	TRY(db_exec(c, mirror_insert, A_UUID(coop), A_UUID(id), A_UUID(c->actor.account), A_STR(name), A_Z(mirror_kind_name(in->kind)), A_STR(url), A_BYTES(key_bytes),
		A_BYTES(sealed), A_BOOL(kept)));
	TRY(mirror_measure(c, coop));
	TRY(mirror_get(c, coop, id, false, out));
	TRY(note(c, coop, "mirror.registered", out));
	return db_commit(c);
}

/* ---- its life ---- */

static enum err move(struct call *c, struct uuid coop, const struct mirror *m, enum mirror_state to, struct str reason)
{
	TRY(lifecycle_step(&mirror_life, m->state, to, NULL, &c->error));
	TRY(db_exec(c, mirror_set, A_UUID(coop), A_UUID(m->id), A_Z(mirror_state_name(to)), A_STR(reason)));
	if (to == MIRROR_ACTIVE)
		TRY(access_require_unblocked(c, coop, m->account));
	if (to == MIRROR_ACTIVE)
		return push_news(c, coop, m->id);
	return push_drop(c, coop, m->id);
}

enum err mirror_set_state(struct call *c, struct uuid coop, struct uuid mirror, enum mirror_state state, struct str reason, struct mirror *out)
{
	static const char *const types[MIRROR_STATE_COUNT] = { "mirror.resumed", "mirror.suspended", "mirror.ended" };
	reason = str_trim(reason.p ? reason : STR(""));
	TRY(call_check_text(c, "/reason", reason, 0, LIMIT_TEXT_NOTE));
	TRY(db_begin_in(c, coop, DB_WRITE));
	TRY(mirror_get(c, coop, mirror, true, out));
	TRY(mirror_require_own(c, coop, out));
	if (out->state == state)
		return db_commit(c);
	TRY(move(c, coop, out, state, reason));
	TRY(mirror_measure(c, coop));
	TRY(mirror_get(c, coop, mirror, false, out));
	TRY(note(c, coop, types[state], out));
	return db_commit(c);
}

enum err mirror_new_secret(struct call *c, struct uuid coop, struct uuid mirror, struct str *secret)
{
	struct mirror m;
	struct str sealed;
	TRY(db_begin_in(c, coop, DB_WRITE));
	TRY(mirror_get(c, coop, mirror, true, &m));
	TRY(mirror_require_own(c, coop, &m));
	if (m.kind != MIRROR_WEBHOOK)
		return fail(c, ERR_STATE, "Only webhooks have a secret.");
	*secret = secret_make(c, coop, mirror, &sealed);
	TRY(db_exec(c, mirror_set_secret, A_UUID(coop), A_UUID(mirror), A_BYTES(sealed)));
	return db_commit(c);
}

/* ---- what it holds ---- */

enum err mirror_hold(struct call *c, struct uuid coop, struct uuid mirror, const struct str *versions, size_t n)
{
	struct rows r;
	TRY(db_query(c, hold_unknown, &r, A_UUID(coop), A_TEXTS(versions, n)));
	if (r.n)
		return fail_field(c, "/releases", "There was never a version %.*s.", STR_ARG(row_str(&r, 0, 0)));
	TRY(db_exec(c, hold_add, A_UUID(coop), A_UUID(mirror), A_TEXTS(versions, n)));
	TRY(db_exec(c, hold_end, A_UUID(coop), A_UUID(mirror), A_TEXTS(versions, n)));
	return db_exec(c, hold_told, A_UUID(coop), A_UUID(mirror));
}

enum err mirror_tell_holdings(struct call *c, struct uuid coop, struct uuid mirror, const struct str *versions, size_t n)
{
	struct mirror m;
	TRY(db_begin_in(c, coop, DB_WRITE));
	TRY(mirror_get(c, coop, mirror, true, &m));
	TRY(mirror_require_own(c, coop, &m));
	if (m.state == MIRROR_ENDED)
		return fail_reason(c, ERR_STATE, "mirror_ended", "This mirror was ended.");
	TRY(mirror_hold(c, coop, mirror, versions, n));
	return db_commit(c);
}

enum err mirror_put(struct call *c, struct uuid coop, struct uuid mirror, struct uuid release)
{
	return db_exec(c, hold_put, A_UUID(coop), A_UUID(mirror), A_UUID(release));
}

enum err mirror_took_away(struct call *c, struct uuid coop, struct uuid mirror, struct uuid release)
{
	return db_exec(c, hold_take, A_UUID(coop), A_UUID(mirror), A_UUID(release));
}
