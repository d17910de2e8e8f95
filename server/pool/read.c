/* read.c - contributions as their owners and the admins see them. */
#include "server/pool/pool_internal.h"

#include "commonhold/db.h"

#define PAGE_FACTS (2 * MIB) /* circumstances on one page of a list; one item's may be nearly as large as a contribution */

/* In the order in which item_read reads them. */
#define ITEM_COLUMNS \
	"c.id, c.member_id, c.item_no, c.member_no, c.kind, c.licence, c.lang, c.content_sha256, c.bytes, c.submitted_at, " \
	ITEM_WORD ", c.more, c.findings, c.facts, c.leaf, " ITEM_HOME ", " ITEM_CONTRIBUTOR ", c.shard, c.sealed_facts, " ITEM_EMBARGO
/* Whose it is, for the moderators' queue. */
#define ITEM_CONTRIBUTOR \
	"coalesce(m.pseudonym, 'a guest of ' || (SELECT s.title FROM guest g JOIN guest_source s ON s.coop_id = g.coop_id AND s.agreement_id = g.agreement_id " \
	"WHERE g.coop_id = c.coop_id AND g.number = c.member_no))"
#define ITEM_SHARD 17
#define ITEM_SEALED_FACTS 18
#define ITEM_FROM " FROM contribution c LEFT JOIN membership m ON m.coop_id = c.coop_id AND m.id = c.member_id "

SQL(items_mine,
	"SELECT " ITEM_COLUMNS ITEM_FROM
	"WHERE c.coop_id = $1 AND c.member_no = (SELECT number FROM membership WHERE coop_id = $1 AND account_id = $2) "
	"AND c.item_no < $3 AND ($4 < 0 OR c.kind = $4) ORDER BY c.item_no DESC LIMIT $5");
SQL(item_find,
	"SELECT " ITEM_COLUMNS ", m.account_id = $3, "
	"(SELECT a.is_admin AND a.state IN ('active', 'due', 'grace') FROM membership a WHERE a.coop_id = $1 AND a.account_id = $3)"
	ITEM_FROM "WHERE c.coop_id = $1 AND c.id = $2");
#define ITEM_OWN 20
#define ITEM_FOR_ADMIN 21
/* The same with the content, for whoever the transaction knows as the account; nothing where that may not see it. */
SQL(item_ask,
	"SELECT " ITEM_COLUMNS ", k.sealed" ITEM_FROM
	"LEFT JOIN contribution_content k ON k.coop_id = c.coop_id AND k.shard = c.shard AND k.id = c.id "
	"WHERE c.coop_id = (SELECT commonhold_coop()) AND c.id = $1 AND (m.account_id = (SELECT commonhold_account()) OR EXISTS (SELECT FROM membership a "
	"WHERE a.coop_id = (SELECT commonhold_coop()) AND a.account_id = (SELECT commonhold_account()) AND a.is_admin AND a.state IN ('active', 'due', 'grace')))");
#define ITEM_SEALED 20
/* A page of a member's items with their content and what was decided about each, up to so many bytes and at least one. */
SQL(items_own,
	"SELECT " ITEM_COLUMNS ", k.sealed, "
	"(SELECT json_agg(json_build_object('at', d.at, 'by_person', d.by_account IS NOT NULL, 'decision', d.decision, 'reason', d.reason, 'stage', d.stage) ORDER BY d.seq)::text "
	"FROM moderation_decision d WHERE d.coop_id = c.coop_id AND d.contribution_id = c.id) "
	"FROM (SELECT o.*, sum(o.bytes + coalesce(length(o.sealed_facts), 0)) OVER (ORDER BY o.item_no) - o.bytes - coalesce(length(o.sealed_facts), 0) AS before_it FROM ("
	"SELECT * FROM contribution WHERE coop_id = $1 AND member_no = $2 AND item_no > $3 ORDER BY item_no LIMIT $4) o) c "
	"JOIN membership m ON m.coop_id = c.coop_id AND m.id = c.member_id "
	"LEFT JOIN contribution_content k ON k.coop_id = c.coop_id AND k.shard = c.shard AND k.id = c.id WHERE c.before_it < $5 ORDER BY c.item_no");
SQL(decisions_ask,
	"SELECT decision, stage, reason, at, by_account IS NOT NULL, sealed_reason FROM moderation_decision "
	"WHERE coop_id = (SELECT commonhold_coop()) AND contribution_id = $1 ORDER BY seq");
/* The condition is that of the index contribution_waiting, to the letter. */
SQL(items_waiting,
	"SELECT " ITEM_COLUMNS ITEM_FROM
	"WHERE c.coop_id = $1 AND (c.word >> 9 & 3) = 0 AND (" ITEM_WORD " & 12288) = 0 AND c.item_no > $2 ORDER BY c.item_no LIMIT $3");
SQL(admin_find, "SELECT id FROM membership WHERE coop_id = $1 AND account_id = $2 AND is_admin AND state IN ('active', 'due', 'grace')");
SQL(content_find, "SELECT sealed FROM contribution_content WHERE coop_id = $1 AND shard = $2 AND id = $3");

const char *item_status(uint64_t word)
{
	static const char *const names[] = { "pending", "approved", "rejected", "pending" };
	if (word & ITEM_GONE)
		return "erased";
	if (word & POLICY_ITEM_WITHDRAWN)
		return "withdrawn";
	if (word & POLICY_ITEM_RESTRICTED)
		return "restricted";
	return word & POLICY_ITEM_EMBARGOED ? "embargoed" : names[ITEM_MODERATION(word)];
}

void item_reasons(struct arena *a, uint64_t word, unsigned findings, struct str **out, size_t *n)
{
	*n = 0;
	*out = ARENA_ARRAY(a, PII_KIND_COUNT + 2, struct str);
	if (word & POLICY_ITEM_DUPLICATE)
		(*out)[(*n)++] = STR("Another member contributed the same content before; yours is kept, and released if theirs goes.");
	if (ITEM_MODERATION(word) != POLICY_MODERATION_PENDING)
		return;
	for (unsigned k = 0; k < PII_KIND_COUNT; k++)
		if (word & POLICY_ITEM_PII && findings >> k & 1)
			(*out)[(*n)++] = str_fmt(a, "An admin looks at it first: it seems to hold %s.", pii_kind_text(k));
	if (!(word & POLICY_ITEM_PII))
		(*out)[(*n)++] = STR("An admin looks at every contribution first.");
}

static void item_read(struct call *c, const struct rows *r, int i, struct contribution *out)
{
	*out = (struct contribution){
		.id = row_uuid(r, i, 0), .member = row_uuid(r, i, 1), .item_no = row_int(r, i, 2), .member_no = (uint32_t)row_int(r, i, 3), .kind = (unsigned)row_int(r, i, 4),
		.licence = (unsigned)row_int(r, i, 5), .lang = row_str(r, i, 6), .content_sha256 = sha256_load(row_bytes(r, i, 7)), .bytes = row_int(r, i, 8), .submitted_at = row_time(r, i, 9),
		.word = (uint64_t)row_int(r, i, 10), .more = (uint64_t)row_int(r, i, 11), .findings = (unsigned)row_int(r, i, 12), .facts = row_str(r, i, 13),
		.leaf = row_int(r, i, 14), .contributor = row_str(r, i, 16), .embargo_until = row_time(r, i, 19),
	};
	out->rid = rid_format(c->arena, row_str(r, i, 15), out->id);
	out->status = str_of(item_status(out->word));
}

/* The circumstances of items that were read from these rows, opened: "{}" where they or their key are destroyed. */
static enum err facts_open(struct call *c, const struct rows *r, struct contribution *items, size_t n)
{
	uint8_t context[48];
	struct uuid *members = ARENA_ARRAY(c->arena, n, struct uuid);
	struct seal_key *keys = ARENA_ARRAY(c->arena, n, struct seal_key);
	bool *present = ARENA_ARRAY(c->arena, n, bool), opened = true;
	for (size_t i = 0; i < n; i++)
		members[i] = items[i].member;
	TRY(keyring_get(c, c->coop, members, n, keys, present));
	for (size_t i = 0; i < n && opened; i++) {
		struct str sealed = row_bytes(r, (int)i, ITEM_SEALED_FACTS);
		if (sealed.p && present[i])
			opened = unseal(c->arena, &keys[i], pool_facts_context(c->coop, items[i].id, context), sealed, &items[i].facts);
	}
	secret_wipe(keys, n * sizeof(*keys));
	return opened ? ERR_OK : fail(c, ERR_CORRUPT, "The stored circumstances of a contribution cannot be opened.");
}

/* Cursors of these lists are item numbers. */
static enum err cursor_read(struct call *c, struct str cursor, int64_t first, int64_t *out)
{
	*out = first;
	if (!cursor.p || str_to_i64(cursor, 0, INT64_MAX, out))
		return ERR_OK;
	error_fault(&c->error, c->arena, STR("query/cursor"), "This is not a cursor of this list.");
	return ERR_INVALID;
}

/* What is told about items fills the answer before their number does, if it is very much: then the page ends there. */
static enum err page_of(struct call *c, const struct rows *r, int limit, struct contribution **out, size_t *n, struct str *next_cursor)
{
	size_t most = (size_t)(r->n > limit ? limit : r->n), bytes = 0;
	*out = ARENA_ARRAY(c->arena, most, struct contribution);
	for (*n = 0; *n < most && bytes < PAGE_FACTS; (*n)++) {
		item_read(c, r, (int)*n, &(*out)[*n]);
		bytes += (*out)[*n].facts.n + row_bytes(r, (int)*n, ITEM_SEALED_FACTS).n;
	}
	*next_cursor = (size_t)r->n > *n && *n ? str_fmt(c->arena, "%lld", (long long)(*out)[*n - 1].item_no) : STR_NONE;
	return facts_open(c, r, *out, *n);
}

enum err pool_list_mine(struct call *c, struct uuid coop, struct str kind, struct str cursor, int limit, struct contribution **out, size_t *n, struct str *next_cursor)
{
	struct rows r;
	int64_t before;
	int wanted = kind.p ? contribution_kind_find(kind) : -1;
	if (kind.p && wanted < 0) {
		error_fault(&c->error, c->arena, STR("query/kind"), "There is no such kind of contribution.");
		return ERR_INVALID;
	}
	TRY(cursor_read(c, cursor, INT64_MAX, &before));
	TRY(db_begin_in(c, coop, DB_READ));
	TRY(db_query(c, items_mine, &r, A_UUID(coop), A_UUID(c->actor.account), A_I64(before), A_INT(wanted), A_INT(limit + 1)));
	TRY(page_of(c, &r, limit, out, n, next_cursor));
	return db_commit(c);
}

/* Finds an item that the actor may see: their own, or any for an admin and the instance itself. */
static enum err item_visible(struct call *c, struct uuid coop, struct uuid id, struct contribution *out, int *shard)
{
	struct rows r;
	TRY(db_one(c, item_find, &r, A_UUID(coop), A_UUID(id), A_UUID(c->actor.account)));
	if (c->actor.kind != AUTH_SYSTEM && !row_bool(&r, 0, ITEM_OWN) && !row_bool(&r, 0, ITEM_FOR_ADMIN))
		return fail(c, ERR_NOT_FOUND, "%s", err_text(ERR_NOT_FOUND));
	item_read(c, &r, 0, out);
	*shard = (int)row_int(&r, 0, ITEM_SHARD);
	return facts_open(c, &r, out, 1);
}

/* The content of an item, opened. Absent when it or its key is destroyed. */
static enum err sealed_open(struct call *c, const struct contribution *item, struct uuid coop, struct str sealed, struct str *content)
{
	struct seal_key key;
	bool present;
	uint8_t context[32];
	*content = STR_NONE;
	if (!sealed.p)
		return ERR_OK;
	TRY(keyring_get(c, coop, &item->member, 1, &key, &present));
	if (!present)
		return ERR_OK;
	pool_seal_context(coop, item->id.b, context);
	bool opened = unseal(c->arena, &key, str_make(context, sizeof(context)), sealed, content);
	secret_wipe(&key, sizeof(key));
	return opened ? ERR_OK : fail(c, ERR_CORRUPT, "The stored content of a contribution cannot be opened.");
}

/* The same, inside. */
static enum err item_open(struct call *c, const struct contribution *item, struct uuid coop, int shard, struct str *content)
{
	struct rows r;
	TRY(db_query(c, content_find, &r, A_UUID(coop), A_INT(shard), A_UUID(item->id)));
	return sealed_open(c, item, coop, r.n ? row_bytes(&r, 0, 0) : STR_NONE, content);
}

enum err pool_read(struct call *c, struct uuid coop, struct uuid id, struct contribution *out, struct str *content)
{
	int shard = 0;
	TRY(db_begin_in(c, coop, DB_READ));
	TRY(item_visible(c, coop, id, out, &shard));
	if (content)
		TRY(item_open(c, out, coop, shard, content));
	return db_commit(c);
}

/* A reason that a person gave, opened; empty where it or the contributor's key is destroyed. */
static enum err reason_open(struct call *c, const struct contribution *item, struct str sealed, struct str *reason)
{
	struct seal_key key;
	uint8_t context[48];
	bool present;
	*reason = STR("");
	TRY(keyring_get(c, c->coop, &item->member, 1, &key, &present));
	bool opened = !present || unseal(c->arena, &key, pool_reason_context(c->coop, item->id, context), sealed, reason);
	secret_wipe(&key, sizeof(key));
	return opened ? ERR_OK : fail(c, ERR_CORRUPT, "The stored reason of a decision cannot be opened.");
}

static enum err decisions_read(struct call *c, const struct contribution *item, const struct rows *r, struct moderation **out, size_t *n)
{
	*n = (size_t)r->n;
	*out = ARENA_ARRAY(c->arena, *n, struct moderation);
	for (int i = 0; i < r->n; i++) {
		(*out)[i] = (struct moderation){
			.decision = row_str(r, i, 0), .stage = row_str(r, i, 1), .reason = row_str(r, i, 2), .at = row_time(r, i, 3), .by_person = row_bool(r, i, 4),
		};
		if (!row_null(r, i, 5))
			TRY(reason_open(c, item, row_bytes(r, i, 5), &(*out)[i].reason));
	}
	return ERR_OK;
}

enum err pool_history(struct call *c, struct uuid coop, struct uuid id, struct moderation **out, size_t *n)
{
	struct rows r;
	struct contribution item;
	TRY(pool_read(c, coop, id, &item, NULL));
	TRY(db_begin_in(c, coop, DB_READ));
	TRY(db_query(c, decisions_ask, &r, A_UUID(id)));
	TRY(decisions_read(c, &item, &r, out, n));
	return db_commit(c);
}

/* The answers to the two questions about an item. */
struct pool_asked_item { struct rows item, decisions; };

enum err pool_ask_item(struct call *c, struct uuid id, struct pool_asked_item **out)
{
	*out = ARENA_NEW(c->arena, struct pool_asked_item);
	TRY(db_ask(c, item_ask, &(*out)->item, A_UUID(id)));
	return db_ask(c, decisions_ask, &(*out)->decisions, A_UUID(id));
}

static enum err item_ask_now(struct call *c, struct uuid coop, struct uuid id, const struct pool_asked_item **out)
{
	struct pool_asked_item *asked;
	TRY(db_begin_in(c, coop, DB_READ));
	TRY(pool_ask_item(c, id, &asked));
	*out = asked;
	return db_commit(c);
}

enum err pool_read_item(struct call *c, struct uuid coop, struct uuid id, const struct pool_asked_item *asked, struct pool_item *out)
{
	if (!asked)
		TRY(item_ask_now(c, coop, id, &asked));
	if (asked->item.n == 0)
		return fail(c, ERR_NOT_FOUND, "%s", err_text(ERR_NOT_FOUND));
	item_read(c, &asked->item, 0, &out->item);
	TRY(facts_open(c, &asked->item, &out->item, 1));
	TRY(sealed_open(c, &out->item, coop, row_bytes(&asked->item, 0, ITEM_SEALED), &out->content));
	return decisions_read(c, &out->item, &asked->decisions, &out->history, &out->n_history);
}

enum err pool_own_page(struct call *c, struct uuid coop, int member_no, int64_t after, struct pool_own **out, size_t *n)
{
	struct rows r;
	TRY(db_begin_in(c, coop, DB_READ));
	TRY(db_finish(c, items_own, &r, A_UUID(coop), A_INT(member_no), A_I64(after), A_INT(POOL_OWN_ITEMS), A_I64((int64_t)POOL_OWN_BYTES)));
	*n = (size_t)r.n;
	*out = ARENA_ARRAY(c->arena, *n, struct pool_own);
	struct contribution *items = ARENA_ARRAY(c->arena, *n, struct contribution);
	for (int i = 0; i < r.n; i++)
		item_read(c, &r, i, &items[i]);
	TRY(facts_open(c, &r, items, *n));
	for (int i = 0; i < r.n; i++) {
		(*out)[i].item = items[i];
		(*out)[i].decisions = row_str(&r, i, ITEM_SEALED + 1);
		TRY(sealed_open(c, &items[i], coop, row_bytes(&r, i, ITEM_SEALED), &(*out)[i].content));
	}
	return ERR_OK;
}

void pool_give_up(struct call *c)
{
	db_rollback(c);
	error_clear(&c->error);
}

enum err pool_require_admin(struct call *c, struct uuid coop, struct uuid *member)
{
	struct rows r;
	*member = (struct uuid){ 0 };
	if (c->actor.kind == AUTH_SYSTEM)
		return ERR_OK;
	TRY(db_query(c, admin_find, &r, A_UUID(coop), A_UUID(c->actor.account)));
	if (r.n == 0)
		return fail(c, ERR_FORBIDDEN, "Only admins of the co-op do this.");
	*member = row_uuid(&r, 0, 0);
	return ERR_OK;
}

enum err pool_queue(struct call *c, struct uuid coop, struct str cursor, int limit, struct contribution **out, size_t *n, struct str *next_cursor)
{
	struct rows r;
	struct uuid admin;
	int64_t after;
	TRY(cursor_read(c, cursor, -1, &after));
	TRY(db_begin_in(c, coop, DB_READ));
	TRY(pool_require_admin(c, coop, &admin));
	TRY(db_query(c, items_waiting, &r, A_UUID(coop), A_I64(after), A_INT(limit + 1)));
	TRY(page_of(c, &r, limit, out, n, next_cursor));
	return db_commit(c);
}
