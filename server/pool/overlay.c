/* overlay.c - withdrawals in force, laid over the words of items as the pool is scanned.
 *
 * Lists of item numbers are ascending, as are the segments of a scan, so that each list is gone through once beside the pool: what a withdrawal costs is its own length. Without
 * any, a scan costs one question more on a trip that it makes anyway.
 */
#include "server/pool/overlay.h"

SQL(withdrawals_in_force,
	"SELECT CASE kind WHEN 'erase' THEN 0 WHEN 'withdraw_future' THEN 1 WHEN 'embargo' THEN 2 ELSE 3 END, member_no, upto, items FROM withdrawal "
	"WHERE coop_id = $1 AND marked_at IS NULL AND lifted_at IS NULL AND until > commonhold_now()");

_Static_assert(POOL_ERASE == 0 && POOL_WITHDRAW_FUTURE == 1 && POOL_EMBARGO == 2 && POOL_RESTRICT == 3, "the statement above says kinds by their numbers");

static const uint64_t bits[] = {
#define X(name, word, bit) [POOL_##name] = bit,
	POOL_WITHDRAWAL_KINDS(X)
#undef X
};

uint64_t pool_withdrawal_bit(enum pool_withdrawal_kind kind)
{
	return (unsigned)kind < CH_LEN(bits) ? bits[kind] : 0;
}

struct overlay_list { struct str numbers; size_t next; uint64_t bit; };
struct overlay_member { uint32_t no; int64_t upto; uint64_t bit; uint32_t other; /* of the same member: place + 1 */ };

enum err overlay_ask(struct call *c, struct uuid coop, struct overlay *o)
{
	*o = (struct overlay){ .asked = ARENA_NEW(c->arena, struct rows) };
	return db_ask(c, withdrawals_in_force, o->asked, A_UUID(coop));
}

static enum err damaged(struct call *c)
{
	return fail(c, ERR_CORRUPT, "A withdrawal is not as it should be.");
}

static void index_members(struct call *c, struct overlay *o)
{
	uint32_t highest = 0;
	for (size_t i = 0; i < o->n_members; i++)
		highest = o->members[i].no > highest ? o->members[i].no : highest;
	o->of_member_n = o->n_members ? (size_t)highest + 1 : 0;
	o->of_member = ARENA_ARRAY(c->arena, o->of_member_n, uint32_t);
	for (size_t i = 0; i < o->n_members; i++) {
		uint32_t *first = &o->of_member[o->members[i].no];
		o->members[i].other = *first;
		*first = (uint32_t)i + 1;
	}
}

enum err overlay_take(struct call *c, struct overlay *o)
{
	const struct rows *r = o->asked;
	o->lists = ARENA_ARRAY(c->arena, (size_t)r->n, struct overlay_list);
	o->members = ARENA_ARRAY(c->arena, (size_t)r->n, struct overlay_member);
	for (int i = 0; i < r->n; i++) {
		int64_t kind = row_int(r, i, 0), member = row_int(r, i, 1);
		struct str numbers = row_bytes(r, i, 3);
		if (numbers.n % 4 || member < 0 || member >= POLICY_MEMBERS_MAX)
			return damaged(c);
		if (row_null(r, i, 1))
			o->lists[o->n_lists++] = (struct overlay_list){ .numbers = numbers, .bit = bits[kind] };
		else
			o->members[o->n_members++] = (struct overlay_member){ .no = (uint32_t)member, .upto = row_int(r, i, 2), .bit = bits[kind] };
	}
	index_members(c, o);
	return ERR_OK;
}

static uint32_t number_at(const struct overlay_list *l, size_t at)
{
	uint32_t number;
	memcpy(&number, l->numbers.p + at * 4, 4);
	return number;
}

static void lay_list(struct overlay_list *l, int64_t first, size_t n, uint64_t *words)
{
	size_t count = l->numbers.n / 4;
	for (; l->next < count; l->next++) {
		int64_t number = number_at(l, l->next);
		if (number >= first + (int64_t)n)
			return;
		if (number >= first)
			words[number - first] |= l->bit;
	}
}

static void lay_members(const struct overlay *o, int64_t first, size_t n, const uint32_t *members, uint64_t *words)
{
	for (size_t i = 0; i < n; i++) {
		uint32_t at = members[i] < o->of_member_n ? o->of_member[members[i]] : 0;
		for (; at; at = o->members[at - 1].other)
			if (first + (int64_t)i < o->members[at - 1].upto)
				words[i] |= o->members[at - 1].bit;
	}
}

static bool list_holds(const struct overlay_list *l, int64_t item)
{
	size_t low = 0, high = l->numbers.n / 4;
	while (low < high) {
		size_t middle = low + (high - low) / 2;
		int64_t number = number_at(l, middle);
		if (number == item)
			return true;
		if (number < item)
			low = middle + 1;
		else
			high = middle;
	}
	return false;
}

uint64_t overlay_of(const struct overlay *o, int64_t item, uint32_t member)
{
	uint64_t word = 0;
	for (size_t i = 0; i < o->n_lists; i++)
		if (list_holds(&o->lists[i], item))
			word |= o->lists[i].bit;
	lay_members(o, item, 1, &member, &word);
	return word;
}

void overlay_lay(struct overlay *o, int64_t first, size_t n, const uint32_t *members, uint64_t *words)
{
	for (size_t i = 0; i < o->n_lists; i++)
		lay_list(&o->lists[i], first, n, words);
	if (o->n_members)
		lay_members(o, first, n, members, words);
}
