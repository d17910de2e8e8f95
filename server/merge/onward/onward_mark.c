/* What was erased is not taken again from a partner under another id; and what becomes of a partner's items when the agreement is over. */
#include "onward_internal.h"

#include "commonhold/agreement.h"
#include "commonhold/origin.h"
#include "commonhold/pool.h"

#define MARK_CONTEXT "commonhold merge suppression v1"

/* Agreements under which something may still come, and whose key is known: only in effect or after it can anything be exchanged. */
SQL(marked_agreements,
	"SELECT DISTINCT agreement_id FROM agreement_revision WHERE coop_id = $1 AND state IN ('in_effect', 'suspended', 'ending') ORDER BY 1");
/* Contents that stand with somebody else all the same are not erased: theirs counts. */
SQL(contents_standing,
	"SELECT u.no::integer FROM unnest($2::bytea[]) WITH ORDINALITY AS u(hash, no) WHERE EXISTS (SELECT FROM contribution c WHERE c.coop_id = $1 AND c.content_sha256 = u.hash "
	"AND (c.word & 4096) = 0 AND c.item_no <> ALL ($3))");
SQL(marks_put, "INSERT INTO onward_mark (coop_id, agreement_id, mark) SELECT $1, $2, unnest($3::bytea[]) ON CONFLICT DO NOTHING");
SQL(marks_asked, "SELECT u.no::integer FROM unnest($3::bytea[]) WITH ORDINALITY AS u(mark, no) JOIN onward_mark m ON m.coop_id = $1 AND m.agreement_id = $2 AND m.mark = u.mark");
SQL(any_marks, "SELECT EXISTS (SELECT FROM onward_mark WHERE coop_id = $1 AND agreement_id = $2)");

struct sha256 onward_mark(const uint8_t key[32], struct sha256 content)
{
	struct sha256 own = hmac_sha256(str_make(key, 32), STR(MARK_CONTEXT));
	struct sha256 mark = hmac_sha256(str_make(own.b, 32), str_make(content.b, 32));
	secret_wipe(&own, sizeof(own));
	return mark;
}

static enum err marks_make(struct call *c, struct uuid coop, struct uuid agreement, const struct sha256 *hashes, size_t n, struct str **out)
{
	uint8_t key[32];
	struct sha256 *marks = ARENA_ARRAY(c->arena, n + 1, struct sha256);
	*out = ARENA_ARRAY(c->arena, n + 1, struct str);
	TRY(agreement_key(c, coop, agreement, key));
	for (size_t i = 0; i < n; i++) {
		marks[i] = onward_mark(key, hashes[i]);
		(*out)[i] = str_make(marks[i].b, 32);
	}
	secret_wipe(key, sizeof(key));
	return ERR_OK;
}

/* Which of the contents that are about to be forgotten are erased with it: a further origin takes the place of a row that goes. */
static enum err contents_gone(struct call *c, struct uuid coop, const struct pool_forgotten *gone, struct sha256 **out, size_t *n)
{
	struct rows r;
	struct origin *origins;
	size_t n_origins;
	struct str *hashes = ARENA_ARRAY(c->arena, gone->n + 1, struct str);
	bool *stands = ARENA_ARRAY(c->arena, gone->n + 1, bool);
	for (size_t i = 0; i < gone->n; i++)
		hashes[i] = str_make(gone->hashes[i].b, 32);
	TRY(db_query(c, contents_standing, &r, A_UUID(coop), A_BYTEAS(hashes, gone->n), A_I64S(gone->items, gone->n)));
	for (int i = 0; i < r.n; i++)
		stands[row_int(&r, i, 0) - 1] = true;
	TRY(origins_of_items(c, coop, gone->items, gone->n, &origins, &n_origins));
	for (size_t i = 0; i < n_origins; i++)
		for (size_t k = 0; k < gone->n; k++)
			stands[k] |= gone->items[k] == origins[i].item_no;
	*out = ARENA_ARRAY(c->arena, gone->n + 1, struct sha256);
	*n = 0;
	for (size_t i = 0; i < gone->n; i++)
		if (!stands[i])
			(*out)[(*n)++] = gone->hashes[i];
	return ERR_OK;
}

static enum err purged(struct call *c, struct uuid coop, const struct pool_forgotten *gone)
{
	struct rows r;
	struct sha256 *hashes;
	struct str *marks;
	size_t n;
	TRY(db_query(c, marked_agreements, &r, A_UUID(coop)));
	if (r.n == 0 || gone->n == 0)
		return ERR_OK;
	TRY(contents_gone(c, coop, gone, &hashes, &n));
	for (int i = 0; n && i < r.n; i++) {
		struct uuid agreement = row_uuid(&r, i, 0);
		TRY(marks_make(c, coop, agreement, hashes, n, &marks));
		TRY(db_exec(c, marks_put, A_UUID(coop), A_UUID(agreement), A_BYTEAS(marks, n)));
	}
	return ERR_OK;
}

void onward_use_purged(void)
{
	pool_use_purged(purged);
}

enum err onward_suppressed(struct call *c, struct uuid coop, struct uuid agreement, const struct sha256 *hashes, size_t n, bool *bits)
{
	struct rows r;
	struct str *marks;
	memset(bits, 0, n * sizeof(*bits));
	TRY(db_one(c, any_marks, &r, A_UUID(coop), A_UUID(agreement)));
	if (n == 0 || !row_bool(&r, 0, 0))
		return ERR_OK;
	TRY(marks_make(c, coop, agreement, hashes, n, &marks));
	TRY(db_query(c, marks_asked, &r, A_UUID(coop), A_UUID(agreement), A_BYTEAS(marks, n)));
	for (int i = 0; i < r.n; i++)
		bits[row_int(&r, i, 0) - 1] = true;
	return ERR_OK;
}

/* ---- When an agreement is over ---- */

#define ENDED_AT_ONCE 100000

SQL(items_that_came,
	"SELECT c.item_no FROM contribution c JOIN guest g ON g.coop_id = c.coop_id AND g.id = c.member_id JOIN guest_source s ON s.coop_id = g.coop_id AND s.agreement_id = g.agreement_id "
	"WHERE c.coop_id = $1 AND (g.agreement_id = $2 OR s.under = $2) AND (c.word & $3) = 0 ORDER BY 1 LIMIT $4");
SQL(origins_that_came,
	"SELECT i.origin, i.id FROM item_origin i JOIN guest g ON g.coop_id = i.coop_id AND g.id = i.member_id JOIN guest_source s ON s.coop_id = g.coop_id AND s.agreement_id = g.agreement_id "
	"WHERE i.coop_id = $1 AND (g.agreement_id = $2 OR s.under = $2) ORDER BY 1 LIMIT $3");

static enum err drop_origins(struct call *c, struct uuid coop, struct uuid agreement)
{
	struct rows r;
	size_t dropped;
	do {
		TRY(db_query(c, origins_that_came, &r, A_UUID(coop), A_UUID(agreement), A_INT(ENDED_AT_ONCE)));
		struct uuid *ids = ARENA_ARRAY(c->arena, (size_t)r.n + 1, struct uuid);
		for (int from = 0, to; from < r.n; from = to) {
			size_t n = 0;
			for (to = from; to < r.n && row_int(&r, to, 0) == row_int(&r, from, 0); to++)
				ids[n++] = row_uuid(&r, to, 1);
			TRY(origins_drop(c, coop, (unsigned)row_int(&r, from, 0), ids, n, &dropped));
		}
	} while (r.n == ENDED_AT_ONCE);
	return ERR_OK;
}

/* Erased like anything else, with tombstones, redactions and partners of our own; but nobody is told that a person asked, since nobody did. */
static enum err erase_all(struct call *c, struct uuid coop, struct uuid agreement)
{
	struct erasure e;
	struct rows r;
	do {
		struct arena_mark mark = arena_mark(c->arena);
		TRY(db_begin_in(c, coop, DB_WRITE));
		TRY(pool_lock(c, coop));
		TRY(drop_origins(c, coop, agreement));
		TRY(db_query(c, items_that_came, &r, A_UUID(coop), A_UUID(agreement), A_I64(POLICY_ITEM_ERASURE | POLICY_ITEM_TOMBSTONED), A_INT(ENDED_AT_ONCE)));
		int64_t *items = ARENA_ARRAY(c->arena, (size_t)r.n + 1, int64_t);
		for (int i = 0; i < r.n; i++)
			items[i] = row_int(&r, i, 0);
		if (r.n)
			TRY(erasure_by_order(c, coop, &(struct erasure_order){ .kind = ERASURE_ERASE, .asker = ERASURE_PARTNER, .reason_code = STR("agreement_ended"), .until = INSTANT_NONE, .items = items,
				.n = (size_t)r.n }, &e));
		TRY(db_commit(c));
		arena_rewind(c->arena, mark);
	} while (r.n == ENDED_AT_ONCE);
	return ERR_OK;
}

enum err onward_ended_run(struct call *c, const struct json *args)
{
	struct agreement g;
	struct uuid coop, id;
	TRY(job_args_read(c, args, "agreement", &coop, &id));
	TRY(agreement_read_current(c, coop, id, &g));
	if (g.state != AGREEMENT_ENDED || g.terms.ending != AGREEMENT_ERASE)
		return ERR_OK;
	return erase_all(c, coop, id);
}
