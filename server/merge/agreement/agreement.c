#include "agreement_internal.h"

#include "commonhold/ledger.h"
#include "commonhold/notify.h"

/* Agreements as rows: reading them, the one place where their state changes, and who is told. */

#define COLUMNS \
	"r.agreement_id, a.peer_id, r.document, r.state, r.proposed_here, r.suspended_here, r.suspended_there, r.suspended_by_charter, r.ballot_id, r.assent_ours, r.assent_theirs, " \
	"r.made_at, r.state_at, r.effect_at, r.ends_at, r.note, o.key_name, p.name, p.title, r.coop_id, " \
	"r.state IN ('in_effect', 'suspended', 'ending') OR NOT EXISTS (SELECT FROM agreement_revision x WHERE x.coop_id = r.coop_id AND x.agreement_id = r.agreement_id " \
	"AND (x.state IN ('in_effect', 'suspended', 'ending') OR x.revision > r.revision))"
#define FROM \
	" FROM agreement_revision r JOIN agreement a ON a.coop_id = r.coop_id AND a.id = r.agreement_id JOIN coop o ON o.id = r.coop_id " \
	"JOIN peer p ON p.coop_id = a.coop_id AND p.id = a.peer_id "
#define LIVE_FIRST "ORDER BY (r.state IN ('in_effect', 'suspended', 'ending')) DESC, r.revision DESC"

SQL(agreement_lock_take, "SELECT pg_advisory_xact_lock(hashtextextended('agreement ' || $1::uuid::text, 0)) IS NULL");
SQL(by_id, "SELECT " COLUMNS FROM "WHERE r.coop_id = $1 AND r.agreement_id = $2 " LIVE_FIRST " LIMIT 1");
SQL(newest_by_id, "SELECT " COLUMNS FROM "WHERE r.coop_id = $1 AND r.agreement_id = $2 ORDER BY r.revision DESC LIMIT 1");
SQL(by_digest, "SELECT " COLUMNS FROM "WHERE r.coop_id = $1 AND r.digest = $2");
SQL(by_ballot, "SELECT " COLUMNS FROM "WHERE r.coop_id = $1 AND r.ballot_id = $2");
SQL(all_that_count,
	"SELECT * FROM (SELECT DISTINCT ON (r.agreement_id) " COLUMNS FROM "WHERE r.coop_id = $1 AND ($2::uuid IS NULL OR a.peer_id = $2) "
	"ORDER BY r.agreement_id, (r.state IN ('in_effect', 'suspended', 'ending')) DESC, r.revision DESC) t WHERE $3::text[] IS NULL OR t.state = ANY($3)");
SQL(page,
	"SELECT " COLUMNS FROM "WHERE r.coop_id = $1 AND ($2::text IS NULL OR r.state = $2) AND ($3::timestamptz IS NULL OR (r.made_at, r.agreement_id, r.revision) < ($3, $4, $5)) "
	"ORDER BY r.made_at DESC, r.agreement_id DESC, r.revision DESC LIMIT $6");
SQL(revision_at, "SELECT made_at, agreement_id, revision FROM agreement_revision WHERE coop_id = $1 AND digest = $2");
SQL(agreement_insert_row, "INSERT INTO agreement (coop_id, id, peer_id, made_at) VALUES ($1, $2, $3, commonhold_now()) ON CONFLICT (coop_id, id) DO NOTHING");
SQL(revision_insert,
	"INSERT INTO agreement_revision (coop_id, agreement_id, revision, document, digest, charter_theirs, state, proposed_here, made_at, state_at, starts_at, ends_at) "
	"VALUES ($1, $2, $3, $4, $5, $6, $7, $8, commonhold_now(), commonhold_now(), $9, $10)");
#define STORED "ballot_id = $4, assent_ours = $5, assent_theirs = $6, suspended_here = $7, suspended_there = $8, suspended_by_charter = $9, ends_at = $10"
#define THIS_REVISION "WHERE coop_id = $1 AND agreement_id = $2 AND revision = $3"
SQL(revision_store, "UPDATE agreement_revision SET " STORED " " THIS_REVISION);
SQL(revision_move,
	"UPDATE agreement_revision SET " STORED ", state = $11, state_at = commonhold_now(), note = $12, "
	"effect_at = CASE WHEN $11 = 'in_effect' THEN coalesce(effect_at, commonhold_now()) ELSE effect_at END " THIS_REVISION);
SQL(event_insert, "INSERT INTO agreement_event (coop_id, agreement_id, revision, at, state, by, note) VALUES ($1, $2, $3, commonhold_now(), $4, $5, $6)");
SQL(events_of,
	"SELECT e.at, e.state, e.by, e.note FROM agreement_event e JOIN agreement_revision r ON r.coop_id = e.coop_id AND r.agreement_id = e.agreement_id AND r.revision = e.revision "
	"WHERE r.coop_id = $1 AND r.digest = $2 ORDER BY e.seq");
SQL(charter_theirs_of, "SELECT charter_theirs FROM agreement_revision WHERE coop_id = $1 AND digest = $2");
SQL(people_told,
	"SELECT o.slug, (SELECT array_agg(m.account_id) FROM membership m WHERE m.coop_id = o.id AND m.account_id IS NOT NULL AND m.state IN ('active', 'due', 'grace') AND (m.is_admin OR NOT $2)) "
	"FROM coop o WHERE o.id = $1");

/* ---- Reading ---- */

static enum err of_row(struct call *c, const struct rows *r, int i, struct agreement *out)
{
	*out = (struct agreement){
		.id = row_uuid(r, i, 0), .peer = row_uuid(r, i, 1), .proposed_here = row_bool(r, i, 4), .suspended_here = row_bool(r, i, 5), .suspended_there = row_bool(r, i, 6),
		.suspended_by_charter = row_bool(r, i, 7), .ballot = row_uuid(r, i, 8), .assent_ours = row_str(r, i, 9), .assent_theirs = row_str(r, i, 10), .made_at = row_time(r, i, 11),
		.state_at = row_time(r, i, 12), .effect_at = row_time(r, i, 13), .ends_at = row_time(r, i, 14), .note = row_str(r, i, 15), .partner = row_str(r, i, 17),
		.partner_title = row_str(r, i, 18), .coop = row_uuid(r, i, 19), .current = row_bool(r, i, 20),
	};
	if (!agreement_state_parse(row_str(r, i, 3), &out->state) || agreement_terms_parse(c->arena, row_str(r, i, 2), &out->terms, &c->error) != ERR_OK) {
		error_clear(&c->error);
		return fail(c, ERR_CORRUPT, "An agreement that is kept here cannot be read.");
	}
	if (out->note.n == 0)
		out->note = STR_NONE;
	out->us = str_eq(out->terms.parties[1], row_str(r, i, 16));
	if (out->partner_title.n == 0)
		out->partner_title = out->terms.names[!out->us];
	out->we_send = out->terms.flow[out->us];
	out->we_receive = out->terms.flow[!out->us];
	return ERR_OK;
}

static enum err one(struct call *c, const struct rows *r, struct agreement *out)
{
	return r->n == 1 ? of_row(c, r, 0, out) : fail(c, ERR_NOT_FOUND, "There is no such agreement.");
}

enum err agreement_get(struct call *c, struct uuid coop, struct uuid id, struct agreement *out)
{
	struct rows r;
	TRY(db_query(c, by_id, &r, A_UUID(coop), A_UUID(id)));
	return one(c, &r, out);
}

enum err agreement_newest(struct call *c, struct uuid coop, struct uuid id, struct agreement *out)
{
	struct rows r;
	TRY(db_query(c, newest_by_id, &r, A_UUID(coop), A_UUID(id)));
	return one(c, &r, out);
}

enum err agreement_by_digest(struct call *c, struct uuid coop, struct sha256 digest, struct agreement *out)
{
	struct rows r;
	TRY(db_query(c, by_digest, &r, A_UUID(coop), A_BYTES(str_make(digest.b, 32))));
	return one(c, &r, out);
}

enum err agreement_of_ballot(struct call *c, struct uuid coop, struct uuid ballot, struct agreement *out)
{
	struct rows r;
	TRY(db_query(c, by_ballot, &r, A_UUID(coop), A_UUID(ballot)));
	return one(c, &r, out);
}

enum err agreement_all(struct call *c, struct uuid coop, struct uuid peer, unsigned states, struct agreement **out, size_t *n)
{
	struct rows r;
	struct str words[AGREEMENT_STATE_COUNT];
	size_t wanted = 0;
	for (unsigned s = 0; s < AGREEMENT_STATE_COUNT; s++)
		if (states == 0 || (states & AGREEMENT_BIT(s)))
			words[wanted++] = str_of(agreement_state_name(s));
	TRY(db_query(c, all_that_count, &r, A_UUID(coop), A_UUID_OR_NULL(peer), A_TEXTS(words, wanted)));
	*n = (size_t)r.n;
	*out = ARENA_ARRAY(c->arena, *n + 1, struct agreement);
	for (int i = 0; i < r.n; i++)
		TRY(of_row(c, &r, i, &(*out)[i]));
	return ERR_OK;
}

enum err agreement_key(struct call *c, struct uuid coop, struct uuid id, uint8_t key[32])
{
	struct agreement g;
	struct peer peer;
	struct keychain chain;
	TRY(agreement_get(c, coop, id, &g));
	TRY(peer_get(c, coop, g.peer, &peer));
	TRY(peer_keys(c, &peer, &chain));
	return pairwise_key(c, coop, keychain_first(&chain), str_fmt(c->arena, "agreement %.*s", STR_ARG(uuid_format(c->arena, id))), key);
}

enum err agreement_charter_theirs(struct call *c, struct uuid coop, struct sha256 digest, struct charter *out)
{
	struct rows r;
	TRY(db_one(c, charter_theirs_of, &r, A_UUID(coop), A_BYTES(str_make(digest.b, 32))));
	return charter_parse(c->arena, row_str(&r, 0, 0), out, &c->error);
}

bool agreement_flows(const struct agreement *g)
{
	bool suspended = g->suspended_here || g->suspended_there || g->suspended_by_charter;
	return (g->state == AGREEMENT_IN_EFFECT || g->state == AGREEMENT_ENDING) && !suspended && clock_now() < g->ends_at;
}

enum err agreement_read(struct call *c, struct uuid coop, struct sha256 digest, struct agreement *out)
{
	TRY(db_begin_in(c, coop, DB_READ));
	TRY(agreement_by_digest(c, coop, digest, out));
	return db_commit(c);
}

enum err agreement_read_current(struct call *c, struct uuid coop, struct uuid id, struct agreement *out)
{
	TRY(db_begin_in(c, coop, DB_READ));
	TRY(agreement_get(c, coop, id, out));
	return db_commit(c);
}

enum err agreement_list(struct call *c, struct uuid coop, struct str state, struct str cursor, int limit, struct agreement **out, size_t *n, struct str *next_cursor)
{
	struct rows r, from;
	struct sha256 last;
	instant at = INSTANT_NONE;
	struct uuid id = { { 0 } };
	int64_t revision = 0;
	enum agreement_state known;
	if (state.p && !agreement_state_parse(state, &known))
		return fail_field(c, "query/state", "There is no such state.");
	if (cursor.n && !sha256_parse(cursor, &last))
		return fail_field(c, "query/cursor", "This is no cursor of this list.");
	TRY(db_begin_in(c, coop, DB_READ));
	if (cursor.n) {
		TRY(db_one(c, revision_at, &from, A_UUID(coop), A_BYTES(str_make(last.b, 32))));
		at = row_time(&from, 0, 0);
		id = row_uuid(&from, 0, 1);
		revision = row_int(&from, 0, 2);
	}
	TRY(db_query(c, page, &r, A_UUID(coop), A_STR(state), A_TIME(at), A_UUID(id), A_INT((int)revision), A_INT(limit + 1)));
	*n = (size_t)(r.n > limit ? limit : r.n);
	*out = ARENA_ARRAY(c->arena, *n + 1, struct agreement);
	for (size_t i = 0; i < *n; i++)
		TRY(of_row(c, &r, (int)i, &(*out)[i]));
	*next_cursor = r.n > limit ? sha256_hex(c->arena, (*out)[*n - 1].terms.digest) : STR_NONE;
	return db_commit(c);
}

enum err agreement_history(struct call *c, struct uuid coop, struct sha256 digest, struct agreement_event **out, size_t *n)
{
	struct rows r;
	TRY(db_begin_in(c, coop, DB_READ));
	TRY(db_finish(c, events_of, &r, A_UUID(coop), A_BYTES(str_make(digest.b, 32))));
	*n = (size_t)r.n;
	*out = ARENA_ARRAY(c->arena, *n + 1, struct agreement_event);
	for (int i = 0; i < r.n; i++)
		(*out)[i] = (struct agreement_event){ row_time(&r, i, 0), row_str(&r, i, 1), row_str(&r, i, 2), row_str(&r, i, 3) };
	return ERR_OK;
}

/* ---- Writing ---- */

enum err agreement_lock(struct call *c, struct uuid coop)
{
	return db_exec(c, agreement_lock_take, A_UUID(coop));
}

enum err agreement_note(struct call *c, const struct agreement *g, const char *by, struct str note)
{
	return db_exec(c, event_insert, A_UUID(g->coop), A_UUID(g->id), A_INT(g->terms.revision), A_STR(STR_NONE), A_Z(by), A_STR(note.p ? note : STR("")));
}

static enum err state_event(struct call *c, const struct agreement *g, const char *by, struct str note)
{
	return db_exec(c, event_insert, A_UUID(g->coop), A_UUID(g->id), A_INT(g->terms.revision), A_Z(agreement_state_name(g->state)), A_Z(by), A_STR(note.p ? note : STR("")));
}

enum err agreement_insert(struct call *c, struct agreement *g, struct str charter_theirs, const char *by, const char *note)
{
	const struct agreement_terms *t = &g->terms;
	TRY(db_exec(c, agreement_insert_row, A_UUID(g->coop), A_UUID(g->id), A_UUID(g->peer)));
	TRY(db_exec(c, revision_insert, A_UUID(g->coop), A_UUID(g->id), A_INT(t->revision), A_STR(t->document), A_BYTES(str_make(t->digest.b, 32)), A_STR(charter_theirs),
		A_Z(agreement_state_name(g->state)), A_BOOL(g->proposed_here), A_TIME(t->starts), A_TIME(t->ends)));
	TRY(state_event(c, g, by, str_of(note)));
	return agreement_by_digest(c, g->coop, t->digest, g);
}

#define STORED_ARGS(g) \
	A_UUID((g)->coop), A_UUID((g)->id), A_INT((g)->terms.revision), A_UUID_OR_NULL((g)->ballot), A_STR((g)->assent_ours), A_STR((g)->assent_theirs), A_BOOL((g)->suspended_here), \
		A_BOOL((g)->suspended_there), A_BOOL((g)->suspended_by_charter), A_TIME((g)->ends_at)

enum err agreement_store(struct call *c, const struct agreement *g)
{
	return db_exec(c, revision_store, STORED_ARGS(g));
}

static enum err leaf(struct call *c, const struct agreement *g)
{
	struct str digest = sha256_hex(c->arena, g->terms.digest), id = uuid_format(c->arena, g->id), type = str_fmt(c->arena, "agreement.%s", agreement_state_name(g->state));
	struct str facts = str_fmt(c->arena, "{\"agreement\":\"%.*s\",\"id\":\"%.*s\",\"partner\":\"%.*s\",\"revision\":%d}", STR_ARG(digest), STR_ARG(id), STR_ARG(g->partner), g->terms.revision);
	return ledger_append(c, g->coop, &(struct leaf){ .type = type.p, .data = facts }, NULL);
}

/* Both sides may live here: the agreement's id alone would make one job of theirs and ours. */
static struct str job_key(struct arena *a, const struct agreement *g)
{
	return str_fmt(a, "%.*s/%.*s", STR_ARG(uuid_format(a, g->coop)), STR_ARG(uuid_format(a, g->id)));
}

static enum err queue_about(struct call *c, const struct agreement *g, const char *kind)
{
	return job_queue(c, kind, job_key(c->arena, g), job_args(c->arena, g->coop, "agreement", g->id), clock_now());
}

/* When time does something with it next. */
static enum err queue_step(struct call *c, const struct agreement *g)
{
	instant due = g->state == AGREEMENT_SIGNED ? g->terms.starts : AGREEMENT_BIT(g->state) & AGREEMENT_LIVE ? g->ends_at : g->made_at + SIGN_WITHIN;
	struct str key = str_fmt(c->arena, "%.*s %.*s", STR_ARG(job_key(c->arena, g)), STR_ARG(clock_format(c->arena, due)));
	struct str coop = uuid_format(c->arena, g->coop);
	return job_queue(c, "agreement.daily", key, str_fmt(c->arena, "{\"coop\":\"%.*s\"}", STR_ARG(coop)), due);
}

enum err agreement_move(struct call *c, struct agreement *g, enum agreement_state to, const char *by, struct str note)
{
	bool was_live = (AGREEMENT_BIT(g->state) & AGREEMENT_LIVE) != 0, is_live = (AGREEMENT_BIT(to) & AGREEMENT_LIVE) != 0;
	TRY(lifecycle_step(&agreement_life, g->state, to, NULL, &c->error));
	g->state = to;
	g->note = note.n ? note : STR_NONE;
	g->state_at = clock_now();
	TRY(db_exec(c, revision_move, STORED_ARGS(g), A_Z(agreement_state_name(to)), A_STR(note.p ? note : STR(""))));
	TRY(state_event(c, g, by, note));
	if ((was_live || is_live) && to != AGREEMENT_RENEWED)
		TRY(agreement_write_source(c, g));
	if (to == AGREEMENT_IN_EFFECT && g->we_send)
		TRY(queue_about(c, g, "merge.export"));
	if (was_live && to == AGREEMENT_ENDED)
		TRY(queue_about(c, g, "merge.ended"));
	if (was_live && (to == AGREEMENT_SUSPENDED || to == AGREEMENT_ENDED))
		TRY(queue_about(c, g, "joint.ended"));
	if (!agreement_over(to))
		TRY(queue_step(c, g));
	return leaf(c, g);
}

/* ---- Telling ---- */

enum err agreement_tell(struct call *c, const struct agreement *g, bool admins, const char *kind, struct str title, struct str text)
{
	struct rows r;
	struct buf b;
	struct json_writer w;
	struct uuid *accounts;
	TRY(db_one(c, people_told, &r, A_UUID(g->coop), A_BOOL(admins)));
	size_t n = row_uuids(c->arena, &r, 0, 1, &accounts);
	struct str digest = sha256_hex(c->arena, g->terms.digest);
	buf_init(&b, LIMIT_BODY_SMALL);
	jw_init(&w, &b);
	jw_object(&w);
	jw_kstr(&w, "title", title);
	jw_kstr(&w, "text", text);
	jw_kstr(&w, "url", str_fmt(c->arena, "/coops/%.*s/agreements/%.*s", STR_ARG(row_str(&r, 0, 0)), STR_ARG(digest)));
	jw_end_object(&w);
	struct notice notice = { .kind = kind, .coop = g->coop, .key = str_fmt(c->arena, "%.*s %lld", STR_ARG(digest), (long long)g->state_at), .data = buf_take(c->arena, &b) };
	return n ? notify_many(c, &notice, accounts, n) : ERR_OK;
}

enum err agreement_send(struct call *c, const struct agreement *g, const char *type, struct str more)
{
	struct str digest = sha256_hex(c->arena, g->terms.digest);
	return message_send(c, g->coop, g->peer, type, STR_NONE, str_fmt(c->arena, "{\"agreement\":\"%.*s\"%.*s}", STR_ARG(digest), STR_ARG(more)));
}
