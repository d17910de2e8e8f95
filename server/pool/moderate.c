/* moderate.c - an admin's decision on a contribution. */
#include "server/pool/pool_internal.h"

#include "commonhold/db.h"
#include "commonhold/ledger.h"

SQL(item_lock, "SELECT c.word, " ITEM_HOME ", (" ITEM_WORD " & 12288) <> 0, c.member_id FROM contribution c WHERE c.coop_id = $1 AND c.id = $2 FOR UPDATE");
SQL(item_set_word, "UPDATE contribution SET word = $3 WHERE coop_id = $1 AND id = $2");
SQL(decision_insert,
	"INSERT INTO moderation_decision (coop_id, contribution_id, decision, stage, by_account, at, sealed_reason) VALUES ($1, $2, $3, $4, $5, commonhold_now(), $6)");

/* The bits that a decision sets: findings count as looked at. */
static uint64_t decided(uint64_t word, bool approve)
{
	uint64_t moderation = approve ? POLICY_MODERATION_APPROVED : POLICY_MODERATION_REJECTED;
	word &= ~(UINT64_C(3) << POLICY_ITEM_MODERATION_SHIFT | POLICY_ITEM_PII);
	return word | moderation << POLICY_ITEM_MODERATION_SHIFT;
}

static enum err check_reason(struct call *c, bool approve, struct str reason)
{
	if (!approve && str_trim(reason).n == 0)
		return fail_field(c, "/reason", "Say why: the contributor reads it.");
	if (reason.n > LIMIT_TEXT_NOTE)
		return fail_field(c, "/reason", "A reason has at most %d characters.", LIMIT_TEXT_NOTE);
	return ERR_OK;
}

/* The public learns that an item was decided on, not why: reasons may speak about people. */
static enum err append_decision(struct call *c, struct uuid coop, struct str rid, bool approve, struct uuid admin)
{
	int64_t index;
	struct leaf leaf = {
		.type = "contribution.moderated", .by = admin,
		.data = str_fmt(c->arena, "{\"decision\":\"%s\",\"rid\":\"%.*s\"}", approve ? "approve" : "reject", STR_ARG(rid)),
	};
	return ledger_append(c, coop, &leaf, &index);
}

/* Reasons may speak about people: they go with the contributor's key. */
static enum err seal_reason(struct call *c, struct uuid coop, struct uuid id, struct uuid member, struct str reason, struct str *sealed)
{
	struct seal_key key;
	uint8_t context[48];
	*sealed = STR_NONE;
	if (str_trim(reason).n == 0)
		return ERR_OK;
	TRY(keyring_get(c, coop, &member, 1, &key, NULL));
	*sealed = seal(c->arena, &key, pool_reason_context(coop, id, context), str_trim(reason));
	secret_wipe(&key, sizeof(key));
	return ERR_OK;
}

static enum err moderate_write(struct call *c, struct uuid coop, struct uuid id, bool approve, struct str reason)
{
	struct rows r;
	struct uuid admin;
	struct str sealed;
	TRY(pool_require_admin(c, coop, &admin));
	TRY(pool_lock(c, coop));
	TRY(db_one(c, item_lock, &r, A_UUID(coop), A_UUID(id)));
	uint64_t word = (uint64_t)row_int(&r, 0, 0);
	if (row_bool(&r, 0, 2))
		return fail(c, ERR_GONE, "This contribution was erased.");
	if (ITEM_MODERATION(word) == (approve ? POLICY_MODERATION_APPROVED : POLICY_MODERATION_REJECTED))
		return fail(c, ERR_STATE, "This contribution is %s already.", approve ? "approved" : "rejected");
	const char *stage = ITEM_MODERATION(word) == POLICY_MODERATION_PENDING ? "post_submission" : "on_demand";
	TRY(seal_reason(c, coop, id, row_uuid(&r, 0, 3), reason, &sealed));
	TRY(db_queue(c, item_set_word, A_UUID(coop), A_UUID(id), A_I64((int64_t)decided(word, approve))));
	TRY(db_queue(c, decision_insert, A_UUID(coop), A_UUID(id), A_Z(approve ? "approve" : "reject"), A_Z(stage), A_UUID_OR_NULL(c->actor.account),
		A_BYTES(sealed)));
	TRY(append_decision(c, coop, rid_format(c->arena, row_str(&r, 0, 1), id), approve, admin));
	return db_commit(c);
}

enum err pool_moderate(struct call *c, struct uuid coop, struct uuid id, bool approve, struct str reason, struct contribution *out)
{
	TRY(check_reason(c, approve, reason));
	TRY(db_begin_in(c, coop, DB_WRITE));
	TRY(moderate_write(c, coop, id, approve, reason));
	return pool_read(c, coop, id, out, NULL);
}
