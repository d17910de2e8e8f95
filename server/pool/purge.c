/* purge.c - emptying items for good, and destroying a member's key.
 *
 * What the database forgets here may lie about in its files until they are written over, and in backups: all of it that can say anything of a person (content, circumstances,
 * a moderator's reason) is sealed under the member's key before it gets there. The content's hash could be guessed back, so no copy of it stays: not in the row, nor in the packed
 * columns; the log holds it only together with a salt that is destroyed here.
 */
#include "server/pool/suppress.h"

#include "commonhold/config.h"
#include "commonhold/origin.h"
#include "server/pool/promote.h"

/* What stays of a word: kind, licence, what was moderated, and when it came. */
#define WORD_KEPT UINT64_C(0xffffffff000007ff)

SQL(items_take,
	"SELECT c.item_no, c.id, c.member_id, c.shard, c.word, c.content_sha256, c.bytes FROM contribution c "
	"WHERE c.coop_id = $1 AND c.item_no = ANY ($2) AND (c.word & 4096) = 0 ORDER BY c.item_no FOR UPDATE");
/* Where an item came from stays beside its id: both are in its rid, which its tombstone names. */
SQL(items_empty,
	"UPDATE contribution c SET word = d.word, more = c.more & 4278190080, findings = 0, facts = '{}', sealed_facts = NULL, salt = '', content_sha256 = d.hash, bytes = 0, lang = 'und' "
	"FROM unnest($2, $3, $4) AS d(item_no, word, hash) WHERE c.coop_id = $1 AND c.item_no = d.item_no");
/* The numbers are made integers apart: a cast in the condition may fail, and would keep row-level security from letting the index be used. */
SQL(contents_delete,
	"DELETE FROM contribution_content k USING (SELECT unnest($2)::integer AS shard, unnest($3) AS id) d WHERE k.coop_id = $1 AND k.shard = d.shard AND k.id = d.id");
SQL(reasons_empty, "UPDATE moderation_decision SET reason = '', sealed_reason = NULL WHERE coop_id = $1 AND contribution_id = ANY ($2) AND (reason <> '' OR sealed_reason IS NOT NULL)");
SQL(statements_delete, "DELETE FROM statement WHERE coop_id = $1 AND item_id = ANY ($2)");
SQL(derivations_delete, "DELETE FROM derivation WHERE coop_id = $1 AND id = ANY ($2)");
SQL(segments_delete, "DELETE FROM pool_segment WHERE coop_id = $1 AND no = ANY ($2)");
/* Answers are kept sealed, but beside them a digest of what was sent. */
SQL(answers_forget,
	"DELETE FROM idempotency WHERE route = 'contribution_submit' AND actor IN (SELECT m.account_id::text FROM membership m WHERE m.coop_id = $1 AND m.id = ANY ($2))");
SQL(item_mark,
	"INSERT INTO erased_item (coop_id, item_id, erased_at, keep_until) SELECT $1, unnest($2), $3, $4 "
	"ON CONFLICT (coop_id, item_id) DO UPDATE SET keep_until = greatest(erased_item.keep_until, excluded.keep_until)");
SQL(member_mark, "INSERT INTO erased_member (coop_id, member_id, erased_at) VALUES ($1, $2, $3) ON CONFLICT DO NOTHING");
SQL(member_has_content,
	"SELECT EXISTS (SELECT FROM contribution c WHERE c.coop_id = $1 AND c.member_no = m.number AND (c.word & 4096) = 0) OR EXISTS (SELECT FROM item_origin o WHERE o.coop_id = $1 AND o.member_no = m.number) "
	"FROM (SELECT number FROM membership WHERE coop_id = $1 AND id = $2 UNION ALL SELECT number FROM guest WHERE coop_id = $1 AND id = $2) m");

static pool_purged_fn told_of_purged;

void pool_use_purged(pool_purged_fn fn)
{
	told_of_purged = fn;
}

struct pool_backups pool_backups_until(instant at)
{
	return (struct pool_backups){ .content = at + config()->backup_content_days_n * CLOCK_DAY, .keys = at + config()->backup_keys_days_n * CLOCK_DAY };
}

/* Items on their way out, in columns, in the order of their numbers. */
struct leaving {
	size_t n;
	int64_t *item_nos, *words, *shards, *segments;
	struct uuid *ids, *members;
	struct str *hashes;           /* what stands in the place of the content's: random, since the pool's index wants each once */
	struct suppressed *suppressed;
	struct promote_row *rows;     /* as they were */
	size_t n_segments;
};

static void leaving_add(struct leaving *l, const struct rows *r, int row, const uint8_t hash[32])
{
	size_t i = l->n++;
	int64_t segment = row_int(r, row, 0) / POOL_SEGMENT;
	l->item_nos[i] = row_int(r, row, 0);
	l->ids[i] = row_uuid(r, row, 1);
	l->members[i] = row_uuid(r, row, 2);
	l->shards[i] = row_int(r, row, 3);
	l->words[i] = (int64_t)(((uint64_t)row_int(r, row, 4) & WORD_KEPT) | POLICY_ITEM_TOMBSTONED);
	l->suppressed[i] = (struct suppressed){ l->members[i], sha256_load(row_bytes(r, row, 5)) };
	l->hashes[i] = str_make(hash, 32);
	l->rows[i] = (struct promote_row){ .item_no = l->item_nos[i], .shard = l->shards[i], .bytes = row_int(r, row, 6), .id = l->ids[i], .member = l->members[i], .hash = l->suppressed[i].hash };
	if (l->n_segments == 0 || l->segments[l->n_segments - 1] != segment)
		l->segments[l->n_segments++] = segment;
}

/* Those under legal hold stay. */
static enum err sort_out(struct call *c, const struct rows *r, struct leaving *l, struct pool_purged *out)
{
	size_t n = (size_t)r->n;
	uint8_t *random = arena_alloc(c->arena, n * 32);
	int64_t *numbers = ARENA_ARRAY(c->arena, n * 4, int64_t);
	*l = (struct leaving){
		.item_nos = numbers, .words = numbers + n, .shards = numbers + n * 2, .segments = numbers + n * 3, .ids = ARENA_ARRAY(c->arena, n, struct uuid),
		.members = ARENA_ARRAY(c->arena, n, struct uuid), .hashes = ARENA_ARRAY(c->arena, n, struct str), .suppressed = ARENA_ARRAY(c->arena, n, struct suppressed),
		.rows = ARENA_ARRAY(c->arena, n, struct promote_row),
	};
	*out = (struct pool_purged){ .held = ARENA_ARRAY(c->arena, n, int64_t) };
	random_bytes(random, n * 32);
	for (int row = 0; row < r->n; row++) {
		if ((uint64_t)row_int(r, row, 4) & POLICY_ITEM_LEGAL_HOLD)
			out->held[out->n_held++] = row_int(r, row, 0);
		else
			leaving_add(l, r, row, random + (size_t)row * 32);
	}
	out->purged = l->n;
	return ERR_OK;
}

/* The row becomes a tombstone first: what tables of facts hold of an item they give up for tombstones alone. */
static enum err empty_items(struct call *c, struct uuid coop, const struct leaving *l)
{
	size_t n = l->n;
	TRY(suppress(c, coop, l->suppressed, n));
	TRY(db_queue(c, items_empty, A_UUID(coop), A_I64S(l->item_nos, n), A_I64S(l->words, n), A_BYTEAS(l->hashes, n)));
	TRY(db_queue(c, contents_delete, A_UUID(coop), A_I64S(l->shards, n), A_UUIDS(l->ids, n)));
	TRY(db_queue(c, reasons_empty, A_UUID(coop), A_UUIDS(l->ids, n)));
	TRY(db_queue(c, statements_delete, A_UUID(coop), A_UUIDS(l->ids, n)));
	TRY(db_queue(c, derivations_delete, A_UUID(coop), A_UUIDS(l->ids, n)));
	TRY(db_queue(c, segments_delete, A_UUID(coop), A_I64S(l->segments, l->n_segments)));
	return db_exec(c, answers_forget, A_UUID(coop), A_UUIDS(l->members, n));
}

/* Whoever has to know what is forgotten hears of it while it is known. */
static enum err tell_purged(struct call *c, struct uuid coop, const struct leaving *l)
{
	if (!told_of_purged)
		return ERR_OK;
	struct sha256 *hashes = ARENA_ARRAY(c->arena, l->n, struct sha256);
	for (size_t i = 0; i < l->n; i++)
		hashes[i] = l->rows[i].hash;
	const struct pool_forgotten gone = { .items = l->item_nos, .ids = l->ids, .members = l->members, .hashes = hashes, .n = l->n };
	return told_of_purged(c, coop, &gone);
}

enum err pool_purge(struct call *c, struct uuid coop, const int64_t *items, size_t n, struct pool_purged *out)
{
	struct rows r;
	struct leaving l;
	TRY(pool_lock(c, coop));
	TRY(db_query(c, items_take, &r, A_UUID(coop), A_I64S(items, n)));
	TRY(sort_out(c, &r, &l, out));
	if (l.n == 0)
		return ERR_OK;
	TRY(tell_purged(c, coop, &l));
	TRY(origins_inherit(c, coop, l.rows, l.n, &out->promoted));
	instant now = clock_now();
	TRY(db_keys_query(c, item_mark, NULL, A_UUID(coop), A_UUIDS(l.ids, l.n), A_TIME(now), A_TIME(pool_backups_until(now).content + CLOCK_DAY)));
	return empty_items(c, coop, &l);
}

enum err pool_purge_key(struct call *c, struct uuid coop, struct uuid member)
{
	struct rows r;
	TRY(db_begin_in(c, coop, DB_READ));
	TRY(db_one(c, member_has_content, &r, A_UUID(coop), A_UUID(member)));
	TRY(db_commit(c));
	if (row_bool(&r, 0, 0))
		return fail(c, ERR_STATE, "The member's key still opens contributions that are kept: they are purged first.");
	TRY(db_keys_query(c, member_mark, NULL, A_UUID(coop), A_UUID(member), A_TIME(clock_now())));
	TRY(keyring_destroy(c, coop, member));
	keyring_forget();
	return ERR_OK;
}
