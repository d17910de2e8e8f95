/* conflict.c - what merging could not settle by rule: noted once, told to the admins, decided by one of them. */
#include "server/merge/merge_internal.h"

#include "commonhold/coop.h"
#include "commonhold/ledger.h"
#include "commonhold/notify.h"
#include "commonhold/peer.h"

#define REASON_MAX 1000
#define CONFLICT_COLUMNS "c.id, c.kind, c.agreement_id, c.home, c.rid, c.detail, c.found_at, c.decision, c.reason, c.decided_at"

SQL(conflict_add,
	"INSERT INTO merge_conflict (coop_id, id, kind, agreement_id, home, rid, mark, detail, proof, found_at) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, commonhold_now()) "
	"ON CONFLICT ON CONSTRAINT a_conflict_is_noted_once DO NOTHING RETURNING id");
SQL(conflict_list,
	"SELECT " CONFLICT_COLUMNS " FROM merge_conflict c WHERE c.coop_id = $1 AND ($2 OR c.decision IS NULL) AND ($3::timestamptz IS NULL OR (c.found_at, c.id) < ($3, $4)) "
	"ORDER BY c.found_at DESC, c.id DESC LIMIT $5");
SQL(conflict_get, "SELECT " CONFLICT_COLUMNS ", c.proof FROM merge_conflict c WHERE c.coop_id = $1 AND c.id = $2");
SQL(conflict_lock, "SELECT " CONFLICT_COLUMNS ", c.proof FROM merge_conflict c WHERE c.coop_id = $1 AND c.id = $2 FOR UPDATE");
SQL(conflict_decide, "UPDATE merge_conflict SET decision = $3, reason = $4, decided_at = commonhold_now(), decided_by = $5 WHERE coop_id = $1 AND id = $2");
SQL(conflict_place, "SELECT slug FROM coop WHERE id = $1");
SQL(conflict_admins, "SELECT account_id FROM membership WHERE coop_id = $1 AND is_admin AND state IN ('active', 'due', 'grace')");

SQL(standing_of,
	"SELECT c.salt, c.content_sha256, c.leaf, c.licence::integer FROM contribution c WHERE c.coop_id = $1 AND c.item_no = $2 AND c.id = $3 "
	"UNION ALL SELECT o.salt, c.content_sha256, o.leaf, o.licence::integer FROM item_origin o JOIN contribution c ON c.coop_id = o.coop_id AND c.item_no = o.item_no "
	"WHERE o.coop_id = $1 AND o.item_no = $2 AND o.id = $3");

static const struct { const char *word, *text, *decisions; } kinds[MERGE_CONFLICT_KIND_COUNT] = {
#define X(name, word, text, decisions) [MERGE_##name] = { word, text, decisions },
	MERGE_CONFLICTS(X)
#undef X
};

const char *merge_conflict_word(enum merge_conflict_kind kind)
{
	return kind < MERGE_CONFLICT_KIND_COUNT ? kinds[kind].word : "unknown";
}

const char *merge_conflict_text(enum merge_conflict_kind kind)
{
	return kind < MERGE_CONFLICT_KIND_COUNT ? kinds[kind].text : "";
}

const char *merge_conflict_decisions(enum merge_conflict_kind kind)
{
	return kind < MERGE_CONFLICT_KIND_COUNT ? kinds[kind].decisions : "";
}

bool merge_conflict_parse(struct str word, enum merge_conflict_kind *out)
{
	for (unsigned k = 0; k < MERGE_CONFLICT_KIND_COUNT; k++) {
		if (str_is(word, kinds[k].word)) {
			*out = (enum merge_conflict_kind)k;
			return true;
		}
	}
	return false;
}

static bool may_be_decided(enum merge_conflict_kind kind, struct str decision)
{
	struct str rest = str_of(kinds[kind].decisions), word;
	while (str_split(&rest, ' ', &word))
		if (str_eq(word, decision))
			return true;
	return false;
}

/* ---- Noting ---- */

static struct str notice_data(struct arena *a, struct str slug, enum merge_conflict_kind kind, struct uuid id)
{
	struct buf b;
	struct json_writer w;
	buf_init(&b, LIMIT_BODY_SMALL);
	jw_init(&w, &b);
	jw_object(&w);
	jw_kstr(&w, "text", str_of(kinds[kind].text));
	jw_kz(&w, "title", "Something that came from another co-op needs a decision");
	jw_kstr(&w, "url", str_fmt(a, "/coops/%.*s/merge/conflicts/%.*s", STR_ARG(slug), STR_ARG(uuid_format(a, id))));
	jw_end_object(&w);
	return buf_take(a, &b);
}

static enum err tell_admins(struct call *c, struct uuid coop, enum merge_conflict_kind kind, struct str home, struct uuid id)
{
	struct rows place, admins;
	TRY(db_one(c, conflict_place, &place, A_UUID(coop)));
	TRY(db_query(c, conflict_admins, &admins, A_UUID(coop)));
	struct uuid *accounts = ARENA_ARRAY(c->arena, (size_t)admins.n + 1, struct uuid);
	for (int i = 0; i < admins.n; i++)
		accounts[i] = row_uuid(&admins, i, 0);
	/* one notice a day, kind and home: a partner that contradicts itself a thousand times is one piece of news */
	struct civil day = clock_civil(clock_now());
	struct notice notice = {
		.kind = "merge.conflict", .coop = coop, .data = notice_data(c->arena, row_str(&place, 0, 0), kind, id), .essential = kind == MERGE_EQUIVOCATION,
		.key = str_fmt(c->arena, "%s/%.*s/%d-%d-%d", kinds[kind].word, STR_ARG(home), day.year, day.month, day.day),
	};
	return notify_many(c, &notice, accounts, (size_t)admins.n);
}

static struct sha256 mark_of(enum merge_conflict_kind kind, struct str home, struct str key)
{
	const struct str parts[] = { str_of(kinds[kind].word), STR("\n"), home, STR("\n"), key };
	return sha256_of(parts, CH_LEN(parts));
}

enum err merge_conflict_add(struct call *c, struct uuid coop, struct uuid agreement, enum merge_conflict_kind kind, struct str home, struct str key, struct str detail, struct str proof)
{
	struct rows r;
	struct sha256 mark = mark_of(kind, home, key);
	struct uuid id = uuid_new();
	struct str rid = str_starts(key, "dc:") ? key : STR_NONE;
	TRY(db_query(c, conflict_add, &r, A_UUID(coop), A_UUID(id), A_Z(kinds[kind].word), A_UUID_OR_NULL(agreement), A_STR(home), A_STR(rid), A_BYTES(str_make(mark.b, 32)), A_STR(detail),
		A_STR(proof)));
	if (r.n == 0)
		return ERR_OK;
	TRY(peer_spend(c, coop, home, PEER_BUDGET_CONFLICTS, 1));
	return tell_admins(c, coop, kind, home, id);
}

enum err merge_standing_of(struct call *c, struct uuid coop, int64_t item_no, struct uuid id, struct merge_standing *out)
{
	struct rows r;
	TRY(db_query(c, standing_of, &r, A_UUID(coop), A_I64(item_no), A_UUID(id)));
	if (r.n == 0 || row_bytes(&r, 0, 0).n != 32 || row_bytes(&r, 0, 1).n != 32)
		return fail(c, ERR_RETRY, "The record was erased in the meantime.");
	struct sha256 commitment = ledger_commitment((const uint8_t *)row_bytes(&r, 0, 0).p, sha256_load(row_bytes(&r, 0, 1)));
	*out = (struct merge_standing){ sha256_hex(c->arena, commitment), str_of(policy_licence_get((unsigned)row_int(&r, 0, 3))->spdx), row_int(&r, 0, 2) };
	return ERR_OK;
}

/* ---- Reading and deciding ---- */

static enum err conflict_read(struct call *c, const struct rows *r, int i, struct merge_conflict *out)
{
	*out = (struct merge_conflict){
		.id = row_uuid(r, i, 0), .agreement = row_uuid(r, i, 2), .home = row_str(r, i, 3), .rid = row_str(r, i, 4), .detail = row_str(r, i, 5), .found_at = row_time(r, i, 6),
		.decision = row_str(r, i, 7), .reason = row_str(r, i, 8), .decided_at = row_time(r, i, 9),
	};
	return merge_conflict_parse(row_str(r, i, 1), &out->kind) ? ERR_OK : fail(c, ERR_CORRUPT, "A conflict is of a kind that is not known.");
}

enum err merge_conflict_list(struct call *c, struct uuid coop, bool all, struct str cursor, int limit, struct merge_conflict **out, size_t *n, struct str *next_cursor)
{
	struct rows r;
	struct page_cursor from;
	TRY(page_cursor_read(c, cursor, &from));
	TRY(db_begin_in(c, coop, DB_READ));
	TRY(member_require_admin(c, coop));
	TRY(db_query(c, conflict_list, &r, A_UUID(coop), A_BOOL(all), A_TIME(from.at), A_UUID(from.id), A_I64(limit + 1)));
	TRY(db_commit(c));
	*n = (size_t)(r.n > limit ? limit : r.n);
	*out = ARENA_ARRAY(c->arena, *n, struct merge_conflict);
	for (size_t i = 0; i < *n; i++)
		TRY(conflict_read(c, &r, (int)i, &(*out)[i]));
	*next_cursor = r.n > limit ? page_cursor_write(c->arena, (*out)[*n - 1].found_at, (*out)[*n - 1].id) : STR_NONE;
	return ERR_OK;
}

static enum err conflict_open(struct call *c, struct uuid coop, struct uuid id, const struct db_stmt *how, struct merge_conflict *out)
{
	struct rows r;
	const struct db_arg args[] = { A_UUID(coop), A_UUID(id) };
	TRY(member_require_admin(c, coop));
	TRY(db_run(c, how, &r, args, CH_LEN(args)));
	if (r.n != 1)
		return fail(c, ERR_NOT_FOUND, "There is no such conflict.");
	TRY(conflict_read(c, &r, 0, out));
	out->proof = row_str(&r, 0, 10);
	return ERR_OK;
}

enum err merge_conflict_get(struct call *c, struct uuid coop, struct uuid id, struct merge_conflict *out)
{
	TRY(db_begin_in(c, coop, DB_READ));
	TRY(conflict_open(c, coop, id, &conflict_get, out));
	return db_commit(c);
}

/* What a decision does beyond being written down. */
static enum err carry_out(struct call *c, struct uuid coop, const struct merge_conflict *k, struct str decision)
{
	if (k->kind == MERGE_UNMAPPED && str_is(decision, "leave_out"))
		return merge_leave_out_schema(c, coop, k);
	return ERR_OK;
}

/* Who decided and when is in the log; why may name people, and is not. */
static enum err decided_leaf(struct call *c, struct uuid coop, const struct merge_conflict *k, struct str decision)
{
	struct buf b;
	struct json_writer w;
	buf_init(&b, LIMIT_BODY_SMALL);
	jw_init(&w, &b);
	jw_object(&w);
	jw_kstr(&w, "conflict", uuid_format(c->arena, k->id));
	jw_kstr(&w, "decision", decision);
	jw_kz(&w, "kind", kinds[k->kind].word);
	jw_end_object(&w);
	struct leaf leaf = { .type = "merge.conflict_decided", .data = buf_take(c->arena, &b) };
	return ledger_append(c, coop, &leaf, NULL);
}

enum err merge_conflict_decide(struct call *c, struct uuid coop, struct uuid id, struct str decision, struct str reason, struct merge_conflict *out)
{
	TRY(call_check_text(c, "/reason", reason, 1, REASON_MAX));
	TRY(db_begin_in(c, coop, DB_WRITE));
	TRY(conflict_open(c, coop, id, &conflict_lock, out));
	if (out->decision.p)
		return fail(c, ERR_STATE, "This was decided already.");
	if (!may_be_decided(out->kind, decision))
		return fail_field(c, "/decision", "This can be decided as: %s.", kinds[out->kind].decisions);
	TRY(db_queue(c, conflict_decide, A_UUID(coop), A_UUID(id), A_STR(decision), A_STR(reason), A_UUID_OR_NULL(c->actor.account)));
	TRY(carry_out(c, coop, out, decision));
	TRY(decided_leaf(c, coop, out, decision));
	TRY(db_commit(c));
	out->decision = decision;
	out->reason = reason;
	out->decided_at = clock_now();
	return ERR_OK;
}
