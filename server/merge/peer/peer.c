/* Whom a co-op knows: rows, their states, and what a new look at a peer's keys means. */
#include "server/merge/peer/peer_internal.h"

#include "commonhold/coop.h"
#include "commonhold/db.h"
#include "commonhold/ledger.h"
#include "commonhold/notify.h"

#include <stdio.h>

#define PEER_COLUMNS \
	"p.coop_id, p.id, p.url, p.name, p.slug, p.title, p.chain, p.fingerprint, p.state, p.here, p.met_at, p.state_at, p.decided_by, p.last_seen_at, p.last_error " \
	"FROM peer p WHERE p.coop_id = $1 "
#define PEERS_MAX 500
#define REFRESH_BATCH 500

SQL(peer_by_id, "SELECT " PEER_COLUMNS "AND p.id = $2");
SQL(peer_lock, "SELECT " PEER_COLUMNS "AND p.id = $2 FOR UPDATE");
SQL(peer_by_key_name, "SELECT " PEER_COLUMNS "AND p.name = $2");
SQL(peer_titled, "UPDATE peer SET title = $3 WHERE coop_id = $1 AND id = $2 AND title = ''");
SQL(peer_all, "SELECT " PEER_COLUMNS "ORDER BY lower(p.title), p.name LIMIT $2");
SQL(peer_count, "SELECT count(*) FROM peer WHERE coop_id = $1");
SQL(peer_insert,
	"INSERT INTO peer (coop_id, id, url, name, slug, title, chain, fingerprint, state, here, met_at, state_at, last_seen_at) "
	"VALUES ($1, $2, $3, $4, $5, $6, $7, $8, 'seen', $9, commonhold_now(), commonhold_now(), CASE WHEN $10 THEN commonhold_now() END)");
SQL(peer_set_seen,
	"UPDATE peer SET chain = $3, fingerprint = $4, last_seen_at = commonhold_now(), last_error = NULL, url = CASE WHEN $5 = '' THEN url ELSE $5 END, "
	"slug = CASE WHEN $6 = '' THEN slug ELSE $6 END, title = CASE WHEN $7 = '' THEN title ELSE $7 END WHERE coop_id = $1 AND id = $2");
SQL(peer_set_error, "UPDATE peer SET last_error = $3 WHERE coop_id = $1 AND id = $2");
SQL(peer_set_state, "UPDATE peer SET state = $3, state_at = commonhold_now(), decided_by = $4, last_error = NULL WHERE coop_id = $1 AND id = $2");
SQL(peer_set_suspect, "UPDATE peer SET state = 'suspect', state_at = commonhold_now(), last_error = $3 WHERE coop_id = $1 AND id = $2");
SQL(peers_to_look_at, "SELECT id FROM peer WHERE coop_id = $1 AND state IN ('confirmed', 'suspect') AND here IS NULL AND url <> '' ORDER BY last_seen_at NULLS FIRST, id LIMIT $2");
SQL(coops_all, "SELECT id FROM coop ORDER BY id");
SQL(coop_here, "SELECT id FROM coop WHERE key_name = $1");
SQL(own_name, "SELECT key_name, slug FROM coop WHERE id = $1");
SQL(admins_of, "SELECT account_id FROM membership WHERE coop_id = $1 AND is_admin AND state IN ('active', 'due', 'grace')");

static const struct db_constraint constraints[] = {
	{ "a_peer_is_known_once", ERR_EXISTS, "/name", "This co-op is known already." },
	{ "nobody_is_their_own_peer", ERR_EXISTS, "/name", "This is your own co-op." },
	DB_CONSTRAINTS_END
};

const char *peer_state_name(enum peer_state s)
{
	static const char *const names[] = {
#define X(name, text) [PEER_##name] = text,
		PEER_STATES(X)
#undef X
	};
	return (unsigned)s < PEER_STATE_COUNT ? names[s] : "unknown";
}

static struct peer peer_of_row(const struct rows *r, int i)
{
	struct peer p = {
		.coop = row_uuid(r, i, 0), .id = row_uuid(r, i, 1), .url = row_str(r, i, 2), .name = row_str(r, i, 3), .slug = row_str(r, i, 4), .title = row_str(r, i, 5),
		.chain = row_str(r, i, 6), .fingerprint = row_str(r, i, 7), .state = PEER_SUSPECT, .here = row_uuid(r, i, 9), .met_at = row_time(r, i, 10), .state_at = row_time(r, i, 11),
		.by = row_uuid(r, i, 12), .last_seen_at = row_time(r, i, 13), .last_error = row_str(r, i, 14),
	};
	for (unsigned s = 0; s < PEER_STATE_COUNT; s++)
		if (str_is(row_str(r, i, 8), peer_state_name((enum peer_state)s)))
			p.state = (enum peer_state)s;
	return p;
}

static enum err peer_one(struct call *c, const struct db_stmt *stmt, struct uuid coop, struct db_arg by, struct peer *out)
{
	struct rows r;
	const struct db_arg args[] = { A_UUID(coop), by };
	TRY(db_run(c, stmt, &r, args, CH_LEN(args)));
	if (r.n != 1)
		return fail(c, ERR_NOT_FOUND, "This co-op knows no such peer.");
	*out = peer_of_row(&r, 0);
	return ERR_OK;
}

enum err peer_get(struct call *c, struct uuid coop, struct uuid id, struct peer *out)
{
	return peer_one(c, &peer_by_id, coop, A_UUID(id), out);
}

enum err peer_by_name(struct call *c, struct uuid coop, struct str name, struct peer *out)
{
	return peer_one(c, &peer_by_key_name, coop, A_STR(name), out);
}

enum err peer_read(struct call *c, struct uuid coop, struct uuid id, struct peer *out)
{
	TRY(db_begin_in(c, coop, DB_READ));
	TRY(peer_get(c, coop, id, out));
	return db_commit(c);
}

enum err peer_list(struct call *c, struct uuid coop, struct peer **out, size_t *n)
{
	struct rows r;
	TRY(db_begin_in(c, coop, DB_READ));
	TRY(db_finish(c, peer_all, &r, A_UUID(coop), A_I64(PEERS_MAX)));
	*n = (size_t)r.n;
	*out = ARENA_ARRAY(c->arena, *n + 1, struct peer);
	for (size_t i = 0; i < *n; i++)
		(*out)[i] = peer_of_row(&r, (int)i);
	return ERR_OK;
}

enum err peer_keys(struct call *c, const struct peer *peer, struct keychain *out)
{
	if (!uuid_is_nil(peer->here))
		return keychain_of(c, peer->here, out);
	return keychain_read(c->arena, peer->chain, out, &c->error);
}

enum err peer_require_confirmed(struct call *c, const struct peer *peer)
{
	static const char *const why[PEER_STATE_COUNT] = {
		[PEER_SEEN] = "Nobody has confirmed the other co-op's fingerprint yet.",
		[PEER_REFUSED] = "An admin wants nothing from the other co-op.",
		[PEER_SUSPECT] = "The other co-op has shown other keys than those that were pinned: an admin has to look at it first.",
	};
	return peer->state == PEER_CONFIRMED ? ERR_OK : fail_reason(c, ERR_REFUSED, "peer_unconfirmed", "%s", why[peer->state]);
}

/* ---- telling ---- */

/* An act about a peer is in the log: its name and the key that was meant. */
static enum err note(struct call *c, struct uuid coop, const char *type, const struct peer *p, const struct keychain *chain)
{
	struct member by;
	struct uuid who = { { 0 } };
	struct str key = key_id(c->arena, keychain_current(chain)), data = str_fmt(c->arena, "{\"key\":\"%.*s\",\"peer\":\"%.*s\"}", STR_ARG(key), STR_ARG(p->name));
	if (c->actor.kind != AUTH_SYSTEM) {
		TRY(member_of_actor(c, coop, &by));
		who = by.id;
	}
	return ledger_append(c, coop, &(struct leaf){ .type = type, .data = data, .by = who }, NULL);
}

static enum err tell_admins(struct call *c, const struct peer *p, struct str why)
{
	struct rows r, own;
	struct buf b;
	struct json_writer w;
	struct str title = p->title.n ? p->title : p->name;
	TRY(db_query(c, admins_of, &r, A_UUID(p->coop)));
	TRY(db_one(c, own_name, &own, A_UUID(p->coop)));
	struct uuid *accounts = ARENA_ARRAY(c->arena, (size_t)r.n + 1, struct uuid);
	for (int i = 0; i < r.n; i++)
		accounts[i] = row_uuid(&r, i, 0);
	buf_init(&b, 8 * KIB);
	jw_init(&w, &b);
	jw_object(&w);
	jw_kstr(&w, "title", str_fmt(c->arena, "The keys of %.*s are not what they were", STR_ARG(str_sub(title, 0, 200))));
	jw_kstr(&w, "text", str_fmt(c->arena, "%.*s Nothing is taken from it until an admin has asked the other co-op, by another way, which keys are theirs.", STR_ARG(why)));
	jw_kstr(&w, "url", str_fmt(c->arena, "/coops/%.*s/peers", STR_ARG(row_str(&own, 0, 1))));
	jw_end_object(&w);
	struct notice notice = { .kind = "peer.suspect", .coop = p->coop, .data = buf_take(c->arena, &b), .essential = true };
	return r.n ? notify_many(c, &notice, accounts, (size_t)r.n) : ERR_OK;
}

/* ---- a look at what a peer shows ---- */

static enum err contradicts(struct call *c, struct peer *p, const char *why)
{
	struct str sentence = str_of(why);
	if (p->state == PEER_REFUSED || p->state == PEER_SUSPECT)
		return db_exec(c, peer_set_error, A_UUID(p->coop), A_UUID(p->id), A_STR(sentence));
	TRY(db_exec(c, peer_set_suspect, A_UUID(p->coop), A_UUID(p->id), A_STR(sentence)));
	return tell_admins(c, p, sentence);
}

/* Holds it against what is pinned. *fits: it is that, or its continuation, and is pinned now. */
static enum err take_look(struct call *c, struct peer *p, const struct peer_look *look, bool *fits)
{
	struct keychain pinned;
	TRY(peer_keys(c, p, &pinned));
	*fits = keychain_continues(&look->keys, &pinned);
	if (*fits)
		return db_exec(c, peer_set_seen, A_UUID(p->coop), A_UUID(p->id), A_STR(look->keys.text), A_STR(keychain_fingerprint(c->arena, keychain_current(&look->keys))),
			A_STR(look->url), A_STR(look->slug), A_STR(look->title));
	return contradicts(c, p, !str_eq(look->keys.name, pinned.name) ? "Another co-op answers under its name now."
		: keychain_continues(&pinned, &look->keys) ? "It shows an older chain of keys than the one that is pinned: a key that was added since is missing."
		: "It shows another chain of keys than the one that is pinned: it was rewritten.");
}

enum err peer_extend(struct call *c, struct peer *peer, struct str keys_json)
{
	struct peer_look look = { .url = STR(""), .slug = STR(""), .title = STR("") };
	bool fits;
	TRY(keychain_read(c->arena, keys_json, &look.keys, &c->error));
	TRY(peer_one(c, &peer_lock, peer->coop, A_UUID(peer->id), peer));
	TRY(take_look(c, peer, &look, &fits));
	TRY(peer_get(c, peer->coop, peer->id, peer));
	return fits ? ERR_OK : fail_reason(c, ERR_CORRUPT, "chain", "The other co-op's chain of keys is not a continuation of the one that is pinned.");
}

/* ---- meeting ---- */

static enum err insert(struct call *c, struct uuid coop, const struct peer_look *look, struct peer *out)
{
	struct rows r;
	struct uuid id = uuid_new();
	TRY(db_one(c, peer_count, &r, A_UUID(coop)));
	if (row_int(&r, 0, 0) >= PEERS_MAX)
		return fail(c, ERR_REFUSED, "A co-op knows at most %d others.", PEERS_MAX);
	TRY(db_query(c, coop_here, &r, A_STR(look->keys.name)));
	struct uuid here = r.n ? row_uuid(&r, 0, 0) : (struct uuid){ { 0 } };
	if (uuid_eq(here, coop))
		return fail_field(c, "/name", "This is your own co-op.");
	TRY(db_exec(c, peer_insert, A_UUID(coop), A_UUID(id), A_STR(look->url), A_STR(look->keys.name), A_STR(look->slug), A_STR(look->title), A_STR(look->keys.text),
		A_STR(keychain_fingerprint(c->arena, keychain_current(&look->keys))), A_UUID_OR_NULL(here), A_BOOL(look->asked)));
	return peer_get(c, coop, id, out);
}

/* Pins what was found, or holds it against what is pinned already. */
static enum err pin(struct call *c, struct uuid coop, const struct peer_look *look, struct peer *out)
{
	bool fits;
	db_constraints(constraints);
	TRY(db_begin_in(c, coop, DB_WRITE));
	TRY(member_require_admin(c, coop));
	enum err known = peer_by_name(c, coop, look->keys.name, out);
	if (known != ERR_OK && known != ERR_NOT_FOUND)
		return known;
	error_clear(&c->error);
	if (known == ERR_OK) {
		TRY(peer_one(c, &peer_lock, coop, A_UUID(out->id), out));
		TRY(take_look(c, out, look, &fits));
		TRY(peer_get(c, coop, out->id, out));
	} else {
		TRY(insert(c, coop, look, out));
		TRY(note(c, coop, "peer.met", out, &look->keys));
	}
	return db_commit(c);
}

static enum err may(struct call *c, struct uuid coop)
{
	TRY(db_begin_in(c, coop, DB_READ));
	TRY(member_require_admin(c, coop));
	return db_commit(c);
}

enum err peer_meet(struct call *c, struct uuid coop, struct str url, struct str name, struct peer *out)
{
	struct peer_look look;
	TRY(may(c, coop));
	TRY(peer_look_at(c, url, name, &look));
	return pin(c, coop, &look, out);
}

enum err peer_meet_file(struct call *c, struct uuid coop, struct str url, struct str keys_json, struct peer *out)
{
	struct peer_look look = { .slug = STR(""), .title = STR("") };
	TRY(peer_url_clean(c, url, true, &look.url));
	if (keychain_read(c->arena, keys_json, &look.keys, &c->error) != ERR_OK) {
		struct str why = str_copy(c->arena, str_of(c->error.message));
		return fail_field(c, "/keys", "%.*s", STR_ARG(why));
	}
	return pin(c, coop, &look, out);
}

/* ---- what admins decide ---- */

static enum err decider(struct call *c, struct uuid coop, struct uuid *out)
{
	struct member by;
	*out = (struct uuid){ { 0 } };
	if (c->actor.kind == AUTH_SYSTEM)
		return ERR_OK;
	TRY(member_of_actor(c, coop, &by));
	*out = by.id;
	return ERR_OK;
}

static enum err decide(struct call *c, const struct peer *p, enum peer_state to, const char *leaf, const struct keychain *chain)
{
	struct uuid by;
	TRY(decider(c, p->coop, &by));
	TRY(db_exec(c, peer_set_state, A_UUID(p->coop), A_UUID(p->id), A_Z(peer_state_name(to)), A_UUID_OR_NULL(by)));
	return note(c, p->coop, leaf, p, chain);
}

enum err peer_confirm(struct call *c, struct uuid coop, struct uuid id, struct str fingerprint, struct peer *out)
{
	struct keychain chain;
	TRY(db_begin_in(c, coop, DB_WRITE));
	TRY(member_require_admin(c, coop));
	TRY(peer_one(c, &peer_lock, coop, A_UUID(id), out));
	TRY(peer_keys(c, out, &chain));
	if (!fingerprint.p || !keychain_fingerprint_is(fingerprint, keychain_current(&chain)))
		return fail_field(c, "/fingerprint", "This is not the fingerprint of the key that was met. Ask the other co-op for it by another way: if theirs is another one, somebody stands between you.");
	if (out->state != PEER_CONFIRMED) {
		TRY(decide(c, out, PEER_CONFIRMED, "peer.confirmed", &chain));
		TRY(peer_get(c, coop, id, out));
	}
	return db_commit(c);
}

enum err peer_refuse(struct call *c, struct uuid coop, struct uuid id, struct peer *out)
{
	struct keychain chain;
	TRY(db_begin_in(c, coop, DB_WRITE));
	TRY(member_require_admin(c, coop));
	TRY(peer_one(c, &peer_lock, coop, A_UUID(id), out));
	TRY(peer_keys(c, out, &chain));
	if (out->state != PEER_REFUSED) {
		TRY(decide(c, out, PEER_REFUSED, "peer.refused", &chain));
		TRY(peer_get(c, coop, id, out));
	}
	return db_commit(c);
}

/* ---- looking again ---- */

/* The look itself, between the transactions. A co-op of this instance is looked at without asking anybody. */
static enum err look_again(struct call *c, const struct peer *p, struct peer_look *out)
{
	if (uuid_is_nil(p->here))
		return peer_look_at(c, p->url, p->name, out);
	*out = (struct peer_look){ .url = p->url, .slug = STR(""), .title = STR("") };
	TRY(db_begin_in(c, p->coop, DB_READ));
	TRY(keychain_of(c, p->here, &out->keys));
	return db_commit(c);
}

enum err peer_refresh(struct call *c, struct uuid coop, struct uuid id, struct peer *out)
{
	struct peer_look look;
	bool fits;
	TRY(db_begin_in(c, coop, DB_READ));
	TRY(member_require_admin(c, coop));
	TRY(peer_get(c, coop, id, out));
	TRY(db_commit(c));
	if (uuid_is_nil(out->here) && !out->url.n)
		return fail(c, ERR_STATE, "Nobody knows where this co-op is: bring its keys.json again.");
	enum err looked = look_again(c, out, &look);
	struct str why = looked == ERR_OK ? STR_NONE : str_copy(c->arena, str_of(c->error.message));
	db_rollback(c);
	error_clear(&c->error);
	TRY(db_begin_in(c, coop, DB_WRITE));
	TRY(peer_one(c, &peer_lock, coop, A_UUID(id), out));
	if (looked == ERR_OK)
		TRY(take_look(c, out, &look, &fits));
	else if (looked == ERR_CORRUPT)
		TRY(contradicts(c, out, str_z(c->arena, why)));
	else
		TRY(db_exec(c, peer_set_error, A_UUID(coop), A_UUID(id), A_STR(why)));
	TRY(peer_get(c, coop, id, out));
	return db_commit(c);
}

enum err peer_look_soon(struct call *c, const struct peer *peer)
{
	bool may;
	TRY(peer_may_spend(c, peer->coop, peer->name, PEER_BUDGET_LOOKS, 1, &may));
	if (!may || (!peer->url.n && uuid_is_nil(peer->here)))
		return ERR_OK;
	return job_queue(c, "peer.refresh", uuid_format(c->arena, peer->id), job_args(c->arena, peer->coop, "peer", peer->id), clock_now());
}

/* "peer.refresh" without arguments queues one job a co-op that has peers; with one, looks at them, or at one. One that cannot be reached is noted at it. */
static enum err refresh_all(struct call *c, const struct json *args)
{
	struct uuid coop, same;
	struct rows r;
	struct peer peer;
	if (!json_get(args, "coop")) {
		TRY(db_begin(c, DB_WRITE));
		TRY(db_query0(c, coops_all, &r));
		for (int i = 0; i < r.n; i++)
			TRY(job_queue(c, "peer.refresh", uuid_format(c->arena, row_uuid(&r, i, 0)), job_args(c->arena, row_uuid(&r, i, 0), "peers", row_uuid(&r, i, 0)), clock_now()));
		return db_commit(c);
	}
	if (json_get(args, "peer")) {
		TRY(job_args_read(c, args, "peer", &coop, &same));
		return peer_refresh(c, coop, same, &peer);
	}
	TRY(job_args_read(c, args, "peers", &coop, &same));
	TRY(db_begin_in(c, coop, DB_READ));
	TRY(db_finish(c, peers_to_look_at, &r, A_UUID(coop), A_I64(REFRESH_BATCH)));
	for (int i = 0; i < r.n; i++) {
		TRY(peer_refresh(c, coop, row_uuid(&r, i, 0), &peer));
		TRY(job_extend(c));
	}
	return ERR_OK;
}

const struct job_kind peer_jobs[] = {
	{ "peer.refresh", refresh_all, 3, 120 },
	JOB_TABLE_END
};

enum err peer_call(struct call *c, struct uuid coop, struct uuid id, struct str title)
{
	TRY(db_begin_in(c, coop, DB_WRITE));
	TRY(db_exec(c, peer_titled, A_UUID(coop), A_UUID(id), A_STR(title)));
	return db_commit(c);
}
