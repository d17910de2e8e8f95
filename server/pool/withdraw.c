/* withdraw.c - taking items out of future releases: one row, in force when it is committed, and its bits written into the items' rows afterwards. */
#include "server/pool/overlay.h"

#include <stdlib.h>

#define MARK_AT_ONCE 2000 /* rows in one transaction of marking: the pool's lock is held for a moment */

SQL(items_select,
	"SELECT c.id, c.item_no, c.word, c.member_no FROM contribution c WHERE c.coop_id = $1 AND c.id = ANY ($2) AND ($3::uuid IS NULL OR c.member_id = $3)");
/* The pool's size under its lock, and the member's number and count of items. */
SQL(pool_size_locked, "SELECT next_item FROM pool_head WHERE coop_id = $1");
SQL(member_size,
	"SELECT m.number, (SELECT count(*) FROM contribution c WHERE c.coop_id = $1 AND c.member_no = m.number) FROM membership m WHERE m.coop_id = $1 AND m.id = $2");
SQL(withdrawal_insert,
	"INSERT INTO withdrawal (coop_id, id, kind, member_no, upto, items, first, last, n, made_at, until) "
	"VALUES ($1, $2, $3, $4::integer, $5, $6, $7, $8, $9, commonhold_now(), coalesce($10, 'infinity'))");
SQL(withdrawal_find, "SELECT kind, member_no, upto, items, marked_at, lifted_at FROM withdrawal WHERE coop_id = $1 AND id = $2");
SQL(withdrawal_set_lifted, "UPDATE withdrawal SET lifted_at = commonhold_now() WHERE coop_id = $1 AND id = $2 AND lifted_at IS NULL");
SQL(withdrawal_set_marked, "UPDATE withdrawal SET marked_at = commonhold_now() WHERE coop_id = $1 AND id = $2 AND marked_at IS NULL");
SQL(items_of_member,
	"SELECT c.item_no FROM contribution c WHERE c.coop_id = $1 AND c.member_no = $2 AND c.item_no > $3 AND c.item_no < $4 AND (c.word & 4096) = 0 ORDER BY c.item_no LIMIT $5");
SQL(items_standing, "SELECT c.item_no FROM contribution c WHERE c.coop_id = $1 AND c.item_no = ANY ($2) AND (c.word & 4096) = 0 ORDER BY c.item_no");
SQL(items_count_of_member, "SELECT count(*) FROM contribution c WHERE c.coop_id = $1 AND c.member_no = $2 AND c.item_no < $3 AND (c.word & 4096) = 0");
SQL(items_count, "SELECT count(*) FROM contribution c WHERE c.coop_id = $1 AND c.item_no = ANY ($2) AND (c.word & 4096) = 0");
SQL(items_mark, "UPDATE contribution SET word = word | $3 WHERE coop_id = $1 AND item_no = ANY ($2) AND (word & ($3 | 4096)) = 0");

static const char *const words[] = {
#define X(name, word, bit) [POOL_##name] = word,
	POOL_WITHDRAWAL_KINDS(X)
#undef X
};

const char *pool_withdrawal_word(enum pool_withdrawal_kind kind)
{
	return (unsigned)kind < CH_LEN(words) ? words[kind] : NULL;
}

static bool is_final(enum pool_withdrawal_kind kind)
{
	return kind == POOL_ERASE || kind == POOL_WITHDRAW_FUTURE;
}

/* ---- Which items ---- */

static enum err item_fault(struct call *c, size_t place, enum err code, const char *sentence)
{
	error_fault(&c->error, c->arena, str_fmt(c->arena, "/items/%zu", place), "%s", sentence);
	return error_set(&c->error, code, "%s", sentence);
}

/* An id with its place among those that were asked for. */
struct asked_for { struct uuid id; size_t place; };

static int asked_for_cmp(const void *a, const void *b)
{
	const struct asked_for *x = a, *y = b;
	int order = uuid_cmp(x->id, y->id);
	return order ? order : x->place < y->place ? -1 : x->place > y->place;
}

/* The first of those with this id, in the order of ids; `n` when there is none. */
static size_t first_with(const struct asked_for *sorted, size_t n, struct uuid id)
{
	size_t low = 0, high = n;
	while (low < high) {
		size_t middle = low + (high - low) / 2;
		if (uuid_cmp(sorted[middle].id, id) < 0)
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

/* Ten thousand in one question, asked in the order of the index that answers it. */
enum err pool_select(struct call *c, struct uuid coop, struct uuid member, const struct uuid *ids, size_t n, int64_t *item_nos)
{
	struct rows r;
	struct overlay over;
	struct asked_for *sorted = ARENA_ARRAY(c->arena, n, struct asked_for);
	struct uuid *in_order = ARENA_ARRAY(c->arena, n, struct uuid);
	for (size_t i = 0; i < n; i++) {
		item_nos[i] = -1;
		sorted[i] = (struct asked_for){ ids[i], i };
	}
	qsort(sorted, n, sizeof(*sorted), asked_for_cmp);
	for (size_t i = 0; i < n; i++)
		in_order[i] = sorted[i].id;
	TRY(overlay_ask(c, coop, &over));
	TRY(db_query(c, items_select, &r, A_UUID(coop), A_UUIDS(in_order, n), A_UUID_OR_NULL(member)));
	TRY(overlay_take(c, &over));
	for (int row = 0; row < r.n; row++) {
		struct uuid id = row_uuid(&r, row, 0);
		size_t at = first_with(sorted, n, id);
		uint64_t word = (uint64_t)row_int(&r, row, 2) | overlay_of(&over, row_int(&r, row, 1), (uint32_t)row_int(&r, row, 3));
		if (at < n && word & ITEM_GONE)
			return item_fault(c, sorted[at].place, ERR_GONE, "This contribution was erased.");
		for (; at < n && uuid_eq(sorted[at].id, id); at++)
			item_nos[sorted[at].place] = row_int(&r, row, 1);
	}
	for (size_t i = 0; i < n; i++)
		if (item_nos[i] < 0)
			return item_fault(c, i, ERR_NOT_FOUND, uuid_is_nil(member) ? "There is no such contribution." : "There is no such contribution of this member.");
	return ERR_OK;
}

static int number_cmp(const void *a, const void *b)
{
	uint32_t x, y;
	memcpy(&x, a, sizeof(x));
	memcpy(&y, b, sizeof(y));
	return x < y ? -1 : x > y;
}

/* Ascending, each once; SIZE_MAX when one is no item of the pool. */
static size_t sorted_numbers(const int64_t *items, size_t n, int64_t upto, uint32_t *out)
{
	size_t distinct = 0;
	for (size_t i = 0; i < n; i++) {
		if (items[i] < 0 || items[i] >= upto)
			return SIZE_MAX;
		out[i] = (uint32_t)items[i];
	}
	qsort(out, n, sizeof(*out), number_cmp);
	for (size_t i = 0; i < n; i++)
		if (distinct == 0 || out[distinct - 1] != out[i])
			out[distinct++] = out[i];
	return distinct;
}

/* ---- Withdrawing ---- */

static enum err check_withdrawal(struct call *c, const struct pool_withdrawal *w)
{
	bool whole = !uuid_is_nil(w->member);
	if (!pool_withdrawal_word(w->kind) || uuid_is_nil(w->id) || whole == (w->n > 0))
		return fail(c, ERR_INTERNAL, "A withdrawal is of some items or of a whole member's.");
	if (w->n > POOL_WITHDRAWN_MAX)
		return fail_field(c, "/items", "At most %d items are named in one withdrawal.", POOL_WITHDRAWN_MAX);
	bool ends = w->until != INSTANT_NONE && w->until != INSTANT_NEVER;
	if ((w->kind == POOL_EMBARGO) != ends || (ends && w->until <= clock_now()))
		return fail_field(c, "/until", w->kind == POOL_EMBARGO ? "An embargo ends at an instant that is still to come." : "Only an embargo ends by itself.");
	return ERR_OK;
}

static enum err withdraw_member(struct call *c, struct uuid coop, const struct pool_withdrawal *w, int64_t upto)
{
	struct rows r;
	TRY(db_one(c, member_size, &r, A_UUID(coop), A_UUID(w->member)));
	const struct db_arg none = { .type = DB_INT8, .null = true };
	return db_exec(c, withdrawal_insert, A_UUID(coop), A_UUID(w->id), A_Z(pool_withdrawal_word(w->kind)), A_I64(row_int(&r, 0, 0)), A_I64(upto), A_BYTES(STR_NONE), none, none,
		A_I64(row_int(&r, 0, 1)), A_TIME(w->until));
}

static enum err withdraw_items(struct call *c, struct uuid coop, const struct pool_withdrawal *w, int64_t upto)
{
	uint32_t *numbers = ARENA_ARRAY(c->arena, w->n, uint32_t);
	size_t n = sorted_numbers(w->items, w->n, upto, numbers);
	if (n == SIZE_MAX)
		return fail(c, ERR_NOT_FOUND, "There is no such contribution.");
	const struct db_arg none = { .type = DB_INT8, .null = true };
	return db_exec(c, withdrawal_insert, A_UUID(coop), A_UUID(w->id), A_Z(pool_withdrawal_word(w->kind)), none, A_I64(upto), A_BYTES(str_make(numbers, n * 4)),
		A_I64(numbers[0]), A_I64(numbers[n - 1]), A_I64((int64_t)n), A_TIME(w->until));
}

enum err pool_withdraw(struct call *c, struct uuid coop, const struct pool_withdrawal *w)
{
	struct rows r;
	TRY(check_withdrawal(c, w));
	TRY(pool_lock(c, coop));
	TRY(db_one(c, pool_size_locked, &r, A_UUID(coop)));
	return uuid_is_nil(w->member) ? withdraw_items(c, coop, w, row_int(&r, 0, 0)) : withdraw_member(c, coop, w, row_int(&r, 0, 0));
}

/* ---- One that was made ---- */

struct made {
	enum pool_withdrawal_kind kind;
	int64_t member, upto;     /* member: -1 where items are named */
	struct str numbers;
	bool marked, lifted;
};

static enum err withdrawal_read(struct call *c, struct uuid coop, struct uuid id, struct made *out)
{
	struct rows r;
	TRY(db_one(c, withdrawal_find, &r, A_UUID(coop), A_UUID(id)));
	*out = (struct made){
		.kind = POOL_WITHDRAWAL_KIND_COUNT, .member = row_null(&r, 0, 1) ? -1 : row_int(&r, 0, 1), .upto = row_int(&r, 0, 2), .numbers = row_bytes(&r, 0, 3),
		.marked = !row_null(&r, 0, 4), .lifted = !row_null(&r, 0, 5),
	};
	for (unsigned k = 0; k < CH_LEN(words); k++)
		if (str_is(row_str(&r, 0, 0), words[k]))
			out->kind = (enum pool_withdrawal_kind)k;
	return out->kind < POOL_WITHDRAWAL_KIND_COUNT ? ERR_OK : fail(c, ERR_CORRUPT, "A withdrawal is not as it should be.");
}

enum err pool_withdrawal_lift(struct call *c, struct uuid coop, struct uuid id)
{
	struct made w;
	TRY(pool_lock(c, coop));
	TRY(withdrawal_read(c, coop, id, &w));
	if (is_final(w.kind))
		return fail(c, ERR_STATE, "What was %s stays so.", w.kind == POOL_ERASE ? "erased" : "withdrawn for good");
	return db_exec(c, withdrawal_set_lifted, A_UUID(coop), A_UUID(id));
}

/* The numbers named in `list` after `after`, at most `limit`. */
static int64_t *named_after(struct arena *a, struct str list, int64_t after, size_t limit, size_t *n)
{
	size_t count = list.n / 4, low = 0, high = count;
	uint32_t number;
	while (low < high) {
		size_t middle = low + (high - low) / 2;
		memcpy(&number, list.p + middle * 4, 4);
		if ((int64_t)number <= after)
			low = middle + 1;
		else
			high = middle;
	}
	*n = count - low < limit ? count - low : limit;
	int64_t *out = ARENA_ARRAY(a, *n, int64_t);
	for (size_t i = 0; i < *n; i++) {
		memcpy(&number, list.p + (low + i) * 4, 4);
		out[i] = number;
	}
	return out;
}

static enum err next_of_member(struct call *c, struct uuid coop, const struct made *w, int64_t after, size_t limit, int64_t **items, size_t *n)
{
	struct rows r;
	TRY(db_query(c, items_of_member, &r, A_UUID(coop), A_I64(w->member), A_I64(after), A_I64(w->upto), A_I64((int64_t)limit)));
	*n = (size_t)r.n;
	*items = ARENA_ARRAY(c->arena, *n, int64_t);
	for (int i = 0; i < r.n; i++)
		(*items)[i] = row_int(&r, i, 0);
	return ERR_OK;
}

/* Goes on past stretches of the list that are tombstones altogether. */
static enum err next_named(struct call *c, struct uuid coop, const struct made *w, int64_t after, size_t limit, int64_t **items, size_t *n)
{
	struct rows r;
	*n = 0;
	for (;;) {
		size_t named;
		int64_t *numbers = named_after(c->arena, w->numbers, after, limit, &named);
		*items = numbers;
		if (named == 0)
			return ERR_OK;
		TRY(db_query(c, items_standing, &r, A_UUID(coop), A_I64S(numbers, named)));
		after = numbers[named - 1];
		for (int i = 0; i < r.n; i++)
			numbers[i] = row_int(&r, i, 0);
		*n = (size_t)r.n;
		if (*n)
			return ERR_OK;
	}
}

enum err pool_withdrawal_items(struct call *c, struct uuid coop, struct uuid id, int64_t after, size_t limit, int64_t **items, size_t *n)
{
	struct made w;
	TRY(withdrawal_read(c, coop, id, &w));
	return w.member >= 0 ? next_of_member(c, coop, &w, after, limit, items, n) : next_named(c, coop, &w, after, limit, items, n);
}

enum err pool_withdrawal_left(struct call *c, struct uuid coop, struct uuid id, int64_t *n)
{
	struct made w;
	struct rows r;
	size_t named;
	TRY(withdrawal_read(c, coop, id, &w));
	if (w.member >= 0) {
		TRY(db_one(c, items_count_of_member, &r, A_UUID(coop), A_I64(w.member), A_I64(w.upto)));
	} else {
		const int64_t *numbers = named_after(c->arena, w.numbers, -1, SIZE_MAX, &named);
		TRY(db_one(c, items_count, &r, A_UUID(coop), A_I64S(numbers, named)));
	}
	*n = row_int(&r, 0, 0);
	return ERR_OK;
}

/* ---- Into the rows ---- */

/* One group; *last is the number to go on after, -1 when there is nothing more. */
static enum err mark_group(struct call *c, struct uuid coop, const struct made *w, int64_t after, int64_t *last)
{
	int64_t *items;
	size_t n;
	TRY(db_begin_in(c, coop, DB_WRITE));
	TRY(pool_lock(c, coop));
	if (w->member >= 0)
		TRY(next_of_member(c, coop, w, after, MARK_AT_ONCE, &items, &n));
	else
		items = named_after(c->arena, w->numbers, after, MARK_AT_ONCE, &n);
	if (n)
		TRY(db_exec(c, items_mark, A_UUID(coop), A_I64S(items, n), A_I64((int64_t)pool_withdrawal_bit(w->kind))));
	*last = n ? items[n - 1] : -1;
	return db_commit(c);
}

enum err pool_withdrawal_mark(struct call *c, struct uuid coop, struct uuid id)
{
	struct made w;
	int64_t after = -1;
	TRY(db_begin_in(c, coop, DB_READ));
	TRY(withdrawal_read(c, coop, id, &w));
	TRY(db_commit(c));
	if (!is_final(w.kind) || w.marked)
		return ERR_OK;
	do {
		struct arena_mark mark = arena_mark(c->arena);
		TRY(mark_group(c, coop, &w, after, &after));
		arena_rewind(c->arena, mark);
	} while (after >= 0);
	TRY(db_begin_in(c, coop, DB_WRITE));
	TRY(db_exec(c, withdrawal_set_marked, A_UUID(coop), A_UUID(id)));
	return db_commit(c);
}
