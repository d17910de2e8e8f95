#include "message_internal.h"

#include "commonhold/agreement.h"
#include "commonhold/joint.h"
#include "commonhold/bundle.h"
#include "commonhold/ledger.h"
#include "commonhold/link.h"
#include "commonhold/log.h"
#include "commonhold/onward.h"
#include "commonhold/preview.h"

/* Messages between co-ops: saying something, and taking what is said. Carrying them is message_deliver.c's. */

SQL(drop_older,
	"UPDATE message_out SET state = 'dropped', ended_at = commonhold_now() WHERE coop_id = $1 AND peer_id = $2 AND type = $3 AND key = $4 AND state = 'waiting' AND attempts = 0");
SQL(out_insert,
	"INSERT INTO message_out (coop_id, id, peer_id, type, key, body, state, made_at, next_at) VALUES ($1, $2, $3, $4, $5, $6, 'waiting', commonhold_now(), commonhold_now())");
SQL(out_sealed, "UPDATE message_out SET envelope = $3 WHERE coop_id = $1 AND id = $2");
SQL(in_known, "SELECT EXISTS (SELECT FROM message_in WHERE coop_id = $1 AND (digest = $2 OR (peer_id = $3 AND id = $4)))");
SQL(in_insert,
	"INSERT INTO message_in (coop_id, digest, id, peer_id, type, said_at, taken_at) VALUES ($1, $2, $3, $4, $5, $6, commonhold_now()) ON CONFLICT DO NOTHING RETURNING 1");
SQL(waiting_all,
	"SELECT m.id, m.peer_id, m.type, m.body, m.envelope, m.made_at FROM message_out m WHERE m.coop_id = $1 AND ($2::uuid IS NULL OR m.peer_id = $2) AND m.state = 'waiting' "
	"ORDER BY m.seq LIMIT 1000");
SQL(page,
	"SELECT * FROM (SELECT m.id, m.peer_id, p.title, p.name, m.type, true, m.state, m.made_at AS at, m.ended_at, m.attempts, m.last_error FROM message_out m "
	"JOIN peer p ON p.coop_id = m.coop_id AND p.id = m.peer_id WHERE m.coop_id = $1 AND ($2::timestamptz IS NULL OR (m.made_at, m.id) < ($2, $3)) "
	"UNION ALL SELECT i.id, i.peer_id, p.title, p.name, i.type, false, 'taken', i.taken_at, i.taken_at, 0, NULL FROM message_in i "
	"JOIN peer p ON p.coop_id = i.coop_id AND p.id = i.peer_id WHERE i.coop_id = $1 AND ($2::timestamptz IS NULL OR (i.taken_at, i.id) < ($2, $3))) t ORDER BY at DESC, id DESC LIMIT $4");

/* Who hears of what. Every handler runs inside the transaction that remembers the message. What stops something is never too much. Of the others there is so much that one partner may say: more is
 * refused, or waits at the sender where it must not be lost. */
static const struct handler {
	const char *type;
	enum err (*take)(struct call *c, struct uuid coop, const struct message *m);
	enum peer_budget budget;
	enum { REFUSED, WAITS, STOPS } over; /* what becomes of one too many */
} handlers[] = {
	{ "agreement.proposed", agreement_take_proposed, PEER_BUDGET_PROPOSALS, REFUSED },
	{ "agreement.renewal", agreement_take_proposed, PEER_BUDGET_PROPOSALS, REFUSED },
	{ "agreement.assent", agreement_take_assent, PEER_BUDGET_MESSAGES, WAITS },
	{ "agreement.suspended", agreement_take_suspended, PEER_BUDGET_MESSAGES, STOPS },
	{ "agreement.resumed", agreement_take_resumed, PEER_BUDGET_RESUMES, WAITS },
	{ "agreement.ended", agreement_take_ended, PEER_BUDGET_MESSAGES, STOPS },
	{ "preview.ready", preview_take_ready, PEER_BUDGET_PREVIEWS, REFUSED },
	{ "joint.proposed", joint_take_proposed, PEER_BUDGET_JOINTS, REFUSED },
	{ "joint.state", joint_take_state, PEER_BUDGET_JOINT_STATES, WAITS },
	{ "bundle.ready", bundle_take_ready, PEER_BUDGET_BUNDLES, REFUSED },
	{ "link.brought", link_take_brought, PEER_BUDGET_LINKS, REFUSED },
	{ "link.proved", link_take_proved, PEER_BUDGET_LINKS, REFUSED },
	{ "link.declined", link_take_declined, PEER_BUDGET_LINKS, REFUSED },
	{ "link.ended", link_take_ended, PEER_BUDGET_MESSAGES, STOPS },
	{ "tombstones", onward_tombstones_take, PEER_BUDGET_TOMBSTONES, WAITS },
	{ "receipt", onward_receipt_take, PEER_BUDGET_RECEIPTS, WAITS },
};

/* ---- Saying ---- */

enum err message_queue_delivery(struct call *c, struct uuid coop, struct uuid peer, instant due)
{
	return job_queue(c, "merge.deliver", uuid_format(c->arena, peer), job_args(c->arena, coop, "peer", peer), due);
}

enum err message_send(struct call *c, struct uuid coop, struct uuid peer, const char *type, struct str key, struct str body)
{
	if (!body.n || body.n > MESSAGE_MAX / 2)
		return fail(c, ERR_TOO_LARGE, "This is too long for a message to another co-op.");
	if (key.p)
		TRY(db_exec(c, drop_older, A_UUID(coop), A_UUID(peer), A_Z(type), A_STR(key)));
	TRY(db_exec(c, out_insert, A_UUID(coop), A_UUID(uuid_new()), A_UUID(peer), A_Z(type), A_STR(key), A_STR(body)));
	return message_queue_delivery(c, coop, peer, clock_now());
}

static struct str payload_of(struct arena *a, struct str from, struct str to, const struct waiting *m)
{
	struct buf b;
	struct json_writer w;
	buf_init(&b, MESSAGE_MAX);
	jw_init(&w, &b);
	jw_object(&w);
	jw_kstr(&w, "at", clock_format(a, clock_now())); /* of the signature: the key in force now may be younger than what is said */
	jw_key(&w, "body");
	jw_raw(&w, m->body);
	jw_kstr(&w, "from", from);
	jw_kstr(&w, "id", uuid_format(a, m->id));
	jw_kstr(&w, "to", to);
	jw_kstr(&w, "type", m->type);
	jw_kint(&w, "v", 1);
	jw_end_object(&w);
	return buf_take(a, &b);
}

/* Whether an envelope was signed with that key. */
static bool signed_with(struct arena *a, struct str envelope, const struct sign_key *key)
{
	const struct json *v;
	struct error ignored = { 0 };
	return json_parse(a, envelope, &v, &ignored) == ERR_OK && str_eq(json_text(json_at(v, "/signatures/0/keyid")), key_id(a, key->public_key));
}

enum err message_seal(struct call *c, struct uuid coop, const struct peer *peer, struct waiting *m)
{
	struct coop own;
	struct sign_key key;
	TRY(ledger_key(c, coop, &key));
	bool done = m->envelope.p && signed_with(c->arena, m->envelope, &key);
	if (done) {
		secret_wipe(&key, sizeof(key));
		return ERR_OK;
	}
	TRY(coop_get(c, coop, &own));
	struct str payload = payload_of(c->arena, own.key_name, peer->name, m);
	m->envelope = payload.p ? dsse_sign(c->arena, &key, 1, STR(MESSAGE_TYPE), payload) : STR_NONE;
	secret_wipe(&key, sizeof(key));
	if (!m->envelope.p)
		return fail(c, ERR_TOO_LARGE, "This is too long for a message to another co-op.");
	return db_exec(c, out_sealed, A_UUID(coop), A_UUID(m->id), A_STR(m->envelope));
}

/* ---- Taking ---- */

bool merge_is_refusal(enum err e)
{
	return e == ERR_REFUSED || e == ERR_INVALID || e == ERR_NOT_FOUND || e == ERR_STATE || e == ERR_TOO_LARGE || e == ERR_BAD_JSON || e == ERR_BAD_UTF8 || e == ERR_FORBIDDEN ||
		e == ERR_EXISTS || e == ERR_CORRUPT || e == ERR_BAD_REQUEST || e == ERR_CONFLICT || e == ERR_GONE || e == ERR_TOKEN_INVALID;
}

enum err message_read(struct call *c, struct str envelope, struct message *m)
{
	const struct json *outer, *said;
	struct str payload;
	if (!envelope.n || envelope.n > MESSAGE_MAX)
		return fail_reason(c, ERR_TOO_LARGE, "message_size", "A message is %zu bytes at most.", MESSAGE_MAX);
	TRY(json_parse(c->arena, envelope, &outer, &c->error));
	if (!str_is(json_member_text(outer, "payloadType"), MESSAGE_TYPE) || !str_unbase64(c->arena, json_member_text(outer, "payload"), &payload))
		return fail_reason(c, ERR_REFUSED, "no_message", "This is no message between co-ops.");
	TRY(json_parse(c->arena, payload, &said, &c->error));
	m->type = json_member_text(said, "type");
	m->from = json_member_text(said, "from");
	m->to = json_member_text(said, "to");
	m->body = json_get(said, "body");
	m->envelope = envelope;
	m->digest = sha256(payload);
	if (json_int(json_get(said, "v"), 0) != 1 || !uuid_parse(json_member_text(said, "id"), &m->id) || !clock_parse(json_member_text(said, "at"), &m->at) || !m->type.n || !m->from.n ||
		!m->to.n || !json_is(m->body, JSON_OBJECT))
		return fail_reason(c, ERR_REFUSED, "no_message", "This is no message between co-ops.");
	return ERR_OK;
}

/* Whom it is from, by the keys that are pinned; inside. m->peer is set as soon as the sender is known, so that a refusal can name them. */
static enum err check_sender(struct call *c, struct uuid coop, struct message *m)
{
	struct coop own;
	struct peer peer;
	struct keychain chain;
	struct error why = { 0 };
	struct str payload;
	size_t which;
	TRY(coop_get(c, coop, &own));
	if (!str_eq(m->to, own.key_name))
		return fail_reason(c, ERR_REFUSED, "not_for_us", "This message is for another co-op.");
	enum err known = peer_by_name(c, coop, m->from, &peer);
	if (known == ERR_NOT_FOUND)
		return fail_reason(c, ERR_REFUSED, "stranger", "The sender is not known here. An admin has to meet and confirm that co-op first.");
	TRY(known);
	m->peer = peer.id;
	TRY(peer_require_confirmed(c, &peer));
	TRY(peer_keys(c, &peer, &chain));
	if (keychain_dsse_verify(c->arena, &chain, m->envelope, STR(MESSAGE_TYPE), &payload, &which, &why) != ERR_OK)
		return fail_reason(c, ERR_REFUSED, "bad_signature", "It is not signed with a key that is known of the co-op it claims to be from.");
	if (!sha256_eq(sha256(payload), m->digest)) /* what was signed is what was read */
		return fail_reason(c, ERR_REFUSED, "bad_signature", "What is signed is not what it says.");
	/* Whatever it says of when it was written: who has stolen an old key can say anything. The sender signs it anew. */
	if (which != chain.n - 1)
		return fail_reason(c, ERR_REFUSED, "retired_key", "The key that signed it is not in force any more.");
	memcpy(m->key, chain.keys[which].public_key, sizeof(m->key));
	if (m->at > clock_now() + MESSAGE_AHEAD)
		return fail_reason(c, ERR_REFUSED, "from_the_future", "It was written later than now.");
	if (m->at < clock_now() - MESSAGE_LIFE)
		return fail_reason(c, ERR_REFUSED, "too_old", "It was written too long ago to be taken.");
	return ERR_OK;
}

static const struct handler *handler_of(struct str type)
{
	for (size_t i = 0; i < CH_LEN(handlers); i++)
		if (str_is(type, handlers[i].type))
			return &handlers[i];
	return NULL;
}

/* *keep: it is remembered; one that stops something is heeded even when it is too much to be. */
static enum err spend(struct call *c, struct uuid coop, const struct message *m, const struct handler *h, bool *keep)
{
	enum err e = ERR_OK;
	TRY(peer_may_spend(c, coop, m->from, PEER_BUDGET_MESSAGES, 1, keep));
	if (h->over == STOPS)
		return ERR_OK;
	if (!*keep)
		e = peer_spend(c, coop, m->from, PEER_BUDGET_MESSAGES, peer_budget_most(PEER_BUDGET_MESSAGES) + 1);
	else if (h->budget != PEER_BUDGET_MESSAGES)
		e = peer_spend(c, coop, m->from, h->budget, 1);
	if (e == ERR_TOO_MANY && h->over == REFUSED)
		e = c->error.code = ERR_REFUSED;
	return e;
}

static enum err take(struct call *c, struct uuid coop, struct str envelope, struct message *m, bool *again)
{
	struct rows r;
	bool keep;
	*again = false;
	TRY(message_read(c, envelope, m));
	TRY(db_begin_in(c, coop, DB_WRITE));
	TRY(check_sender(c, coop, m));
	const struct handler *h = handler_of(m->type);
	if (!h)
		return fail_reason(c, ERR_REFUSED, "unknown_type", "Messages of this type are not understood here.");
	TRY(db_query(c, in_known, &r, A_UUID(coop), A_BYTES(str_make(m->digest.b, 32)), A_UUID(m->peer), A_UUID(m->id)));
	*again = row_bool(&r, 0, 0);
	if (*again)
		return db_commit(c);
	TRY(spend(c, coop, m, h, &keep));
	if (keep) {
		TRY(db_query(c, in_insert, &r, A_UUID(coop), A_BYTES(str_make(m->digest.b, 32)), A_UUID(m->id), A_UUID(m->peer), A_STR(m->type), A_TIME(m->at)));
		*again = r.n == 0;
	}
	if (!*again)
		TRY(h->take(c, coop, m));
	return db_commit(c);
}

/* For the list of refusals: the type where it is one of ours. What anybody can make up would be a row and a notice each. */
static struct str what_of(struct arena *a, const struct message *m)
{
	return !uuid_is_nil(m->peer) && handler_of(m->type) ? str_fmt(a, "message %.*s", STR_ARG(m->type)) : STR("message");
}

static enum err look(struct call *c, struct uuid coop, struct uuid id)
{
	struct peer peer;
	TRY(db_begin_in(c, coop, DB_WRITE));
	TRY(peer_get(c, coop, id, &peer));
	TRY(peer_look_soon(c, &peer));
	return db_commit(c);
}

/* The sender may have changed its key since it was last looked at: the next attempt will find out. */
static void look_again(struct call *c, struct uuid coop, struct uuid peer)
{
	struct error said = c->error;
	if (look(c, coop, peer) != ERR_OK)
		db_rollback(c);
	c->error = said;
}

enum err message_take(struct call *c, struct uuid coop, struct str envelope, bool *again)
{
	struct message m = { .at = INSTANT_NONE };
	enum err e = take(c, coop, envelope, &m, again);
	if (e == ERR_OK)
		return ERR_OK;
	db_rollback(c);
	if (merge_is_refusal(e) || e == ERR_TOO_MANY)
		merge_refuse_error(c, coop, m.peer, what_of(c->arena, &m));
	if (strcmp(c->error.reason, "bad_signature") == 0)
		look_again(c, coop, m.peer);
	return e;
}

/* ---- Files ---- */

enum err message_export(struct call *c, struct uuid coop, struct uuid peer_id, struct str *lines)
{
	struct rows r;
	struct buf b;
	TRY(db_begin_in(c, coop, DB_WRITE));
	TRY(member_require_admin(c, coop));
	TRY(db_query(c, waiting_all, &r, A_UUID(coop), A_UUID_OR_NULL(peer_id)));
	buf_init(&b, 32 * MIB);
	for (int i = 0; i < r.n; i++) {
		struct peer peer;
		struct waiting m = { .id = row_uuid(&r, i, 0), .type = row_str(&r, i, 2), .body = row_str(&r, i, 3), .envelope = row_str(&r, i, 4), .made_at = row_time(&r, i, 5) };
		TRY(peer_get(c, coop, row_uuid(&r, i, 1), &peer));
		TRY(message_seal(c, coop, &peer, &m));
		buf_add_str(&b, m.envelope);
		buf_add_byte(&b, '\n');
	}
	TRY(db_commit(c));
	*lines = b.n || b.failed ? buf_take(c->arena, &b) : STR("");
	return lines->p ? ERR_OK : fail(c, ERR_TOO_LARGE, "There is too much waiting for one file: name a peer.");
}

enum err message_import(struct call *c, struct uuid coop, struct str lines, struct message_import *out)
{
	struct str rest = lines, line;
	*out = (struct message_import){ 0 };
	TRY(db_begin_in(c, coop, DB_READ));
	TRY(member_require_admin(c, coop));
	TRY(db_commit(c));
	while (str_split(&rest, '\n', &line)) {
		bool again;
		struct arena_mark mark = arena_mark(c->arena);
		line = str_trim(line);
		if (!line.n)
			continue;
		enum err e = message_take(c, coop, line, &again);
		if (e != ERR_OK && !merge_is_refusal(e) && e != ERR_TOO_MANY)
			return e;
		out->refused += e != ERR_OK;
		out->again += e == ERR_OK && again;
		out->taken += e == ERR_OK && !again;
		error_clear(&c->error);
		arena_rewind(c->arena, mark);
	}
	return ERR_OK;
}

/* ---- Lists ---- */

enum err message_list(struct call *c, struct uuid coop, struct str cursor, int limit, struct message_row **out, size_t *n, struct str *next_cursor)
{
	struct page_cursor from;
	struct rows r;
	TRY(page_cursor_read(c, cursor, &from));
	TRY(db_begin_in(c, coop, DB_READ));
	TRY(member_require_admin(c, coop));
	TRY(db_query(c, page, &r, A_UUID(coop), A_TIME(from.at), A_UUID_OR_NULL(from.id), A_INT(limit + 1)));
	*n = (size_t)(r.n > limit ? limit : r.n);
	*out = ARENA_ARRAY(c->arena, *n + 1, struct message_row);
	for (size_t i = 0; i < *n; i++) {
		int k = (int)i;
		struct str title = row_str(&r, k, 2);
		(*out)[i] = (struct message_row){ .id = row_uuid(&r, k, 0), .peer = row_uuid(&r, k, 1), .peer_title = title.n ? title : row_str(&r, k, 3), .type = row_str(&r, k, 4), .out = row_bool(&r, k, 5),
			.state = row_str(&r, k, 6), .at = row_time(&r, k, 7), .ended_at = row_time(&r, k, 8), .attempts = (int)row_int(&r, k, 9), .error = row_str(&r, k, 10) };
	}
	*next_cursor = r.n > limit ? page_cursor_write(c->arena, (*out)[*n - 1].at, (*out)[*n - 1].id) : STR_NONE;
	return db_commit(c);
}
