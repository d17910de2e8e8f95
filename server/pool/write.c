/* write.c - items into the tables: duplicates found first with one question, the rest written in a few statements whatever their number.
 *
 * The pool's lock is taken before anything is numbered or marked, so that numbers are dense in the order of commit and nobody adds the same content in between. The co-op's
 * log is locked after it, as everywhere.
 *
 * A group of a batch may do the greater half before the lock (items_stage): asking for known contents and writing sealed ones. What was found out before the lock is only a
 * guess at which contents need to be asked for again under it: every content that could have a row by then is.
 */
#include "server/pool/suppress.h"

#include "commonhold/ledger.h"
#include "commonhold/policy_pref.h"

#include <pthread.h>

SQL(head_make, "INSERT INTO pool_head (coop_id) VALUES ($1) ON CONFLICT DO NOTHING");
SQL(head_lock, "SELECT next_item, suppressed FROM pool_head WHERE coop_id = $1 FOR UPDATE");
SQL(head_advance, "UPDATE pool_head SET next_item = next_item + $2 WHERE coop_id = $1");
/* What is there of these contents: the member's own, and items that stand, which make a later one a duplicate. */
SQL(known_contents,
	"SELECT d.no::integer, c.member_no = $3, c.id, c.leaf, " ITEM_WORD ", c.findings, c.submitted_at "
	"FROM unnest($2) WITH ORDINALITY AS d(hash, no) JOIN contribution c ON c.coop_id = $1 AND c.content_sha256 = d.hash "
	"WHERE c.member_no = $3 OR pool_item_stands(c.word)");
/* Those of these contents that have any row, whosever and whatever became of it, and the number of items at the same instant. */
SQL(contents_seen,
	"SELECT NULL::bytea, coalesce((SELECT next_item FROM pool_head WHERE coop_id = $1), 0) "
	"UNION ALL SELECT c.content_sha256, NULL FROM contribution c WHERE c.coop_id = $1 AND c.content_sha256 = ANY ($2)");
/* Contents that were written before the lock and turned out to be there already. */
SQL(content_take_back,
	"DELETE FROM contribution_content k USING (SELECT unnest($2)::integer AS shard, unnest($3) AS id) d WHERE k.coop_id = $1 AND k.shard = d.shard AND k.id = d.id");
SQL(content_insert,
	"INSERT INTO contribution_content (coop_id, shard, id, lang, sealed) SELECT $1, unnest($2)::integer, unnest($3), unnest($4), unnest($5)");
SQL(item_insert,
	"INSERT INTO contribution (coop_id, id, item_no, member_id, member_no, shard, kind, licence, lang, content_sha256, bytes, submitted_at, word, more, leaf, salt, findings, sealed_facts) "
	"SELECT $1, unnest($2), unnest($3), $4, $5, unnest($6)::integer, unnest($7)::smallint, unnest($8)::smallint, unnest($9), unnest($10), unnest($11)::integer, $12, "
	"unnest($13), unnest($14), unnest($15), unnest($16), unnest($17)::smallint, unnest($18)");
SQL(hold_insert,
	"INSERT INTO moderation_decision (coop_id, contribution_id, decision, stage, at, reason) SELECT $1, unnest($2), 'hold', 'on_submission', $3, unnest($4)");
SQL(member_count, "UPDATE membership SET contributed = contributed + $3 WHERE coop_id = $1 AND id = $2");
SQL(preference_insert,
	"INSERT INTO statement (coop_id, member_id, layer, item_id, uses, effect, declared_by, declared_at, external, revision, salt) "
	"SELECT $1, $2, 1, unnest($3), $4, 'deny', $5, $6, true, $7, unnest($8)");
SQL(shard_find, "SELECT no FROM shard_key WHERE coop_id = $1 AND kind = $2 AND licence = $3 AND month = $4");
SQL(shard_add,
	"INSERT INTO shard_key (coop_id, no, kind, licence, month) SELECT $1, coalesce(max(no) + 1, 0), $2, $3, $4 FROM shard_key WHERE coop_id = $1 RETURNING no");

#define ROWS_AT_ONCE 1024 /* of contribution, in one statement */

/* ---- Shard keys ---- */

#define SHARDS_KEPT 1024 /* a co-op writes to a handful in a month */

/* Numbers are for ever, so they are kept from one call to the next; only those seen committed. */
static struct shard_kept { struct uuid coop; struct shard_key key; int no; bool used; } shards_kept[SHARDS_KEPT];
static pthread_mutex_t shards_lock = PTHREAD_MUTEX_INITIALIZER;

static struct shard_kept *shard_place(struct uuid coop, struct shard_key key)
{
	uint32_t h;
	memcpy(&h, coop.b, sizeof(h));
	h = (h ^ (uint32_t)key.month * 2654435761u) + key.kind * 31u + key.licence * 977u;
	return &shards_kept[(h ^ h >> 15) % SHARDS_KEPT];
}

static bool shard_same(const struct shard_kept *s, struct uuid coop, struct shard_key key)
{
	return s->used && uuid_eq(s->coop, coop) && s->key.kind == key.kind && s->key.licence == key.licence && s->key.month == key.month;
}

bool shard_recall(struct uuid coop, struct shard_key key, int *no)
{
	pthread_mutex_lock(&shards_lock);
	const struct shard_kept *s = shard_place(coop, key);
	bool found = shard_same(s, coop, key);
	if (found)
		*no = s->no;
	pthread_mutex_unlock(&shards_lock);
	return found;
}

static void shard_remember(struct uuid coop, struct shard_key key, int no)
{
	pthread_mutex_lock(&shards_lock);
	*shard_place(coop, key) = (struct shard_kept){ coop, key, no, true };
	pthread_mutex_unlock(&shards_lock);
}

struct shard_key shard_key_of(unsigned kind, unsigned licence, instant at)
{
	struct civil date = clock_civil(at);
	return (struct shard_key){ kind, licence, date.year * 12 + date.month - 1 };
}

/* The number of a shard key; -1 when it has none that is committed. Inside. */
static enum err shard_look(struct call *c, struct uuid coop, struct shard_key key, int *no)
{
	struct rows r;
	if (shard_recall(coop, key, no))
		return ERR_OK;
	TRY(db_query(c, shard_find, &r, A_UUID(coop), A_INT((int)key.kind), A_INT((int)key.licence), A_INT(key.month)));
	*no = r.n ? (int)row_int(&r, 0, 0) : -1;
	if (r.n)
		shard_remember(coop, key, *no);
	return ERR_OK;
}

/* The same, made if it is new. Inside, under the pool's lock. */
enum err shard_number(struct call *c, struct uuid coop, struct shard_key key, int *no)
{
	struct rows r;
	TRY(shard_look(c, coop, key, no));
	if (*no >= 0)
		return ERR_OK;
	TRY(db_one(c, shard_add, &r, A_UUID(coop), A_INT((int)key.kind), A_INT((int)key.licence), A_INT(key.month)));
	*no = (int)row_int(&r, 0, 0);
	return ERR_OK;
}

/* ---- Finding duplicates ---- */

/* Earlier lines of the same group, by hash; open addressing over at most half-full places. */
struct seen { uint32_t *place; size_t mask; };

static void seen_init(struct seen *s, struct arena *a, size_t n)
{
	size_t size = 16;
	while (size < n * 2)
		size *= 2;
	*s = (struct seen){ ARENA_ARRAY(a, size, uint32_t), size - 1 };
}

/* The position of the first fate with this content, which is `i` itself when it is new. */
static size_t seen_add(struct seen *s, const struct fate *fates, size_t i)
{
	uint64_t h;
	memcpy(&h, fates[i].item->hash.b, sizeof(h));
	for (size_t at = (size_t)h & s->mask;; at = (at + 1) & s->mask) {
		if (s->place[at] == 0) {
			s->place[at] = (uint32_t)i + 1;
			return i;
		}
		size_t other = s->place[at] - 1;
		if (sha256_eq(fates[other].item->hash, fates[i].item->hash))
			return other;
	}
}

/* The position of the fate with this content, of those added. */
static bool seen_find(const struct seen *s, const struct fate *fates, struct sha256 hash, size_t *position)
{
	uint64_t h;
	memcpy(&h, hash.b, sizeof(h));
	for (size_t at = (size_t)h & s->mask; s->place[at]; at = (at + 1) & s->mask) {
		*position = s->place[at] - 1;
		if (sha256_eq(fates[*position].item->hash, hash))
			return true;
	}
	return false;
}

/* Positions of the fates whose items are new in this group; `first[i]` is where each content stands first. */
static size_t distinct(struct arena *a, const struct fate *fates, size_t n, size_t *first, size_t *positions)
{
	struct seen seen;
	size_t count = 0;
	seen_init(&seen, a, n);
	for (size_t i = 0; i < n; i++) {
		if (!fates[i].item)
			continue;
		first[i] = seen_add(&seen, fates, i);
		if (first[i] == i)
			positions[count++] = i;
	}
	return count;
}

void fate_is_known(struct fate *f, const struct rows *r, int row)
{
	f->duplicate = true;
	f->id = row_uuid(r, row, 2);
	f->leaf = row_int(r, row, 3);
	f->word = (uint64_t)row_int(r, row, 4);
	f->findings = (unsigned)row_int(r, row, 5);
	f->submitted_at = row_time(r, row, 6);
	f->err = f->word & ITEM_GONE ? ERR_GONE : ERR_OK;
}

void fate_is_suppressed(struct fate *f)
{
	f->duplicate = true;
	f->err = ERR_GONE;
}

/* Indices 0 … n - 1 in the order of their keys. */
static uint32_t *in_order(struct arena *a, const uint16_t *key, size_t n)
{
	uint32_t *from = ARENA_ARRAY(a, n * 2, uint32_t), *to = from + n;
	for (size_t i = 0; i < n; i++)
		from[i] = (uint32_t)i;
	for (unsigned shift = 0; shift < 16; shift += 8) {
		size_t place[257] = { 0 };
		for (size_t i = 0; i < n; i++)
			place[(key[i] >> shift & 0xff) + 1]++;
		for (unsigned v = 0; v < 256; v++)
			place[v + 1] += place[v];
		for (size_t i = 0; i < n; i++)
			to[place[key[from[i]] >> shift & 0xff]++] = from[i];
		uint32_t *swap = from;
		from = to;
		to = swap;
	}
	return from;
}

static uint16_t key_of(const uint8_t *bytes)
{
	return (uint16_t)(bytes[0] << 8 | bytes[1]);
}

/* Positions in the order of the index of contents, which then stays where it is in the database's memory: a third faster than in the order of lines. Two bytes of a hash are order
 * enough for that. */
static size_t *by_content(struct arena *a, const struct fate *fates, const size_t *positions, size_t n)
{
	uint16_t *key = ARENA_ARRAY(a, n, uint16_t);
	size_t *sorted = ARENA_ARRAY(a, n, size_t);
	for (size_t i = 0; i < n; i++)
		key[i] = key_of(fates[positions[i]].item->hash.b);
	const uint32_t *order = in_order(a, key, n);
	for (size_t i = 0; i < n; i++)
		sorted[i] = positions[order[i]];
	return sorted;
}

/* Asks for the contents at `positions`, which are in the order of by_content. */
static enum err find_known(struct call *c, const struct intake *in, struct fate *fates, const size_t *positions, size_t n)
{
	struct rows r;
	struct str *hashes = ARENA_ARRAY(c->arena, n, struct str);
	for (size_t i = 0; i < n; i++)
		hashes[i] = str_make(fates[positions[i]].item->hash.b, 32);
	TRY(db_query(c, known_contents, &r, A_UUID(in->coop), A_BYTEAS(hashes, n), A_INT((int)in->member_no)));
	for (int row = 0; row < r.n; row++) {
		struct fate *f = &fates[positions[row_int(&r, row, 0) - 1]];
		if (row_bool(&r, row, 1))
			fate_is_known(f, &r, row);
		else
			f->item->word |= POLICY_ITEM_DUPLICATE;
	}
	return ERR_OK;
}

/* ---- Writing ---- */

/* What is written: items in the order of their numbers, and the same in the order of the index that each table's rows go into, with its columns. Rows in the order of a
 * random key are what makes an index slow. */
struct writing {
	size_t n;
	int64_t first;              /* item number of the first */
	struct item **item, **by_hash;
};

static void writing_init(struct writing *k, struct arena *a, size_t n, int64_t first)
{
	*k = (struct writing){ .first = first, .item = ARENA_ARRAY(a, n, struct item *), .by_hash = ARENA_ARRAY(a, n, struct item *) };
}

static void writing_sort(struct writing *k, struct arena *a)
{
	uint16_t *key = ARENA_ARRAY(a, k->n, uint16_t);
	for (size_t i = 0; i < k->n; i++)
		key[i] = key_of(k->item[i]->hash.b);
	const uint32_t *order = in_order(a, key, k->n);
	for (size_t i = 0; i < k->n; i++)
		k->by_hash[i] = k->item[order[i]];
}

static enum err gather(struct call *c, const struct intake *in, instant at, struct fate *fates, const size_t *positions, size_t n, struct writing *k)
{
	/* one look-up a kind and licence, not one an item */
	int known[POLICY_KIND_COUNT][POLICY_LICENCE_MAX];
	memset(known, -1, sizeof(known));
	for (size_t i = 0; i < n; i++) {
		struct item *item = fates[positions[i]].item;
		if (fates[positions[i]].duplicate)
			continue;
		int *shard = &known[item->kind][item->licence];
		if (*shard < 0)
			TRY(shard_number(c, in->coop, shard_key_of(item->kind, item->licence, at), shard));
		item->shard = *shard;
		item->item_no = k->first + (int64_t)k->n;
		k->item[k->n++] = item;
	}
	writing_sort(k, c->arena);
	return ERR_OK;
}

static enum err append_leaves(struct call *c, const struct intake *in, const struct ledger_place *place, const struct writing *k)
{
	struct str *leaves = ARENA_ARRAY(c->arena, k->n, struct str);
	for (size_t i = 0; i < k->n; i++)
		leaves[i] = k->item[i]->leaf;
	return ledger_append_canonical(c, in->coop, place, "contribution.made", leaves, k->n);
}

/* Contents of items that have their shards, in the order of their ids. */
static enum err write_contents(struct call *c, const struct intake *in, struct item *const *items, size_t n, bool at_once)
{
	uint16_t *key = ARENA_ARRAY(c->arena, n, uint16_t);
	int64_t *shard = ARENA_ARRAY(c->arena, n, int64_t);
	struct uuid *id = ARENA_ARRAY(c->arena, n, struct uuid);
	struct str *lang = ARENA_ARRAY(c->arena, n, struct str), *sealed = ARENA_ARRAY(c->arena, n, struct str);
	for (size_t i = 0; i < n; i++)
		key[i] = key_of(items[i]->id.b);
	const uint32_t *order = in_order(c->arena, key, n);
	for (size_t i = 0; i < n; i++) {
		const struct item *item = items[order[i]];
		shard[i] = item->shard;
		id[i] = item->id;
		lang[i] = item->lang;
		sealed[i] = item->sealed;
	}
	if (n == 0)
		return ERR_OK;
	const struct db_arg args[] = { A_UUID(in->coop), A_I64S(shard, n), A_UUIDS(id, n), A_TEXTS(lang, n), A_BYTEAS(sealed, n) };
	return at_once ? db_run(c, &content_insert, NULL, args, CH_LEN(args)) : db_queue_run(c, &content_insert, args, CH_LEN(args));
}

/* What was not written before the lock. */
static enum err write_contents_left(struct call *c, const struct intake *in, const struct writing *k)
{
	struct item **left = ARENA_ARRAY(c->arena, k->n, struct item *);
	size_t n = 0;
	for (size_t i = 0; i < k->n; i++)
		if (!k->item[i]->content_written)
			left[n++] = k->item[i];
	return write_contents(c, in, left, n, false);
}

/* What was, of contents that came in from elsewhere before the lock was taken. */
static enum err take_back_contents(struct call *c, const struct intake *in, const struct fate *fates, const size_t *positions, size_t n)
{
	int64_t *shard = ARENA_ARRAY(c->arena, n, int64_t);
	struct uuid *id = ARENA_ARRAY(c->arena, n, struct uuid);
	size_t back = 0;
	for (size_t i = 0; i < n; i++) {
		const struct fate *f = &fates[positions[i]];
		if (!f->duplicate || !f->item->content_written)
			continue;
		shard[back] = f->item->shard;
		id[back++] = f->item->id;
	}
	return back ? db_queue(c, content_take_back, A_UUID(in->coop), A_I64S(shard, back), A_UUIDS(id, back)) : ERR_OK;
}

static enum err write_rows(struct call *c, const struct intake *in, instant at, struct item *const *items, size_t n)
{
	struct uuid *id = ARENA_ARRAY(c->arena, n, struct uuid);
	int64_t *numbers = ARENA_ARRAY(c->arena, n * 9, int64_t);
	int64_t *item_no = numbers, *shard = numbers + n, *kind = numbers + n * 2, *licence = numbers + n * 3, *bytes = numbers + n * 4, *word = numbers + n * 5;
	int64_t *more = numbers + n * 6, *leaf = numbers + n * 7, *findings = numbers + n * 8;
	struct str *texts = ARENA_ARRAY(c->arena, n * 4, struct str), *lang = texts, *hash = texts + n, *salt = texts + n * 2, *facts = texts + n * 3;
	for (size_t i = 0; i < n; i++) {
		const struct item *item = items[i];
		id[i] = item->id;
		item_no[i] = item->item_no;
		shard[i] = item->shard;
		kind[i] = (int64_t)item->kind;
		licence[i] = (int64_t)item->licence;
		bytes[i] = (int64_t)item->bytes;
		word[i] = (int64_t)item->word;
		more[i] = (int64_t)item->more;
		leaf[i] = item->leaf_no;
		findings[i] = (int64_t)item->findings;
		lang[i] = item->lang;
		hash[i] = str_make(item->hash.b, 32);
		salt[i] = str_make(item->salt, 32);
		facts[i] = item->facts;
	}
	return db_queue(c, item_insert, A_UUID(in->coop), A_UUIDS(id, n), A_I64S(item_no, n), A_UUID(in->member), A_INT((int)in->member_no), A_I64S(shard, n),
		A_I64S(kind, n), A_I64S(licence, n), A_TEXTS(lang, n), A_BYTEAS(hash, n), A_I64S(bytes, n), A_TIME(at), A_I64S(word, n), A_I64S(more, n), A_I64S(leaf, n),
		A_BYTEAS(salt, n), A_I64S(findings, n), A_BYTEAS(facts, n));
}

/* Some at a time, so that the database has the first rows while the next are on their way. */
static enum err write_items(struct call *c, const struct intake *in, instant at, const struct writing *k)
{
	for (size_t from = 0; from < k->n; from += ROWS_AT_ONCE) {
		TRY(write_rows(c, in, at, k->by_hash + from, k->n - from < ROWS_AT_ONCE ? k->n - from : ROWS_AT_ONCE));
		TRY(db_push(c));
	}
	return ERR_OK;
}

static struct str hold_reason(struct arena *a, unsigned findings)
{
	struct str reason = STR("");
	for (unsigned k = 0; k < PII_KIND_COUNT; k++)
		if (findings >> k & 1)
			reason = str_fmt(a, "%.*s%s%s", STR_ARG(reason), reason.n ? ", " : "", pii_kind_word(k));
	return reason;
}

static enum err write_holds(struct call *c, const struct intake *in, instant at, const struct writing *k)
{
	size_t n = 0;
	struct uuid *ids = ARENA_ARRAY(c->arena, k->n, struct uuid);
	struct str *reasons = ARENA_ARRAY(c->arena, k->n, struct str);
	for (size_t i = 0; i < k->n; i++) {
		if (ITEM_MODERATION(k->item[i]->word) != POLICY_MODERATION_PENDING)
			continue;
		ids[n] = k->item[i]->id;
		reasons[n++] = hold_reason(c->arena, k->item[i]->word & POLICY_ITEM_PII ? k->item[i]->findings : 0);
	}
	return n ? db_queue(c, hold_insert, A_UUID(in->coop), A_UUIDS(ids, n), A_TIME(at), A_TEXTS(reasons, n)) : ERR_OK;
}

/* One statement for all items with the same preference string: in a batch it is mostly one. The string itself is among the item's circumstances, which are sealed; the item's leaf
 * holds the commitment to it, under the item's salt. */
static enum err write_preference(struct call *c, const struct intake *in, instant at, const struct writing *k, size_t from, bool *done)
{
	size_t n = 0, uses = 0;
	const struct item *model = k->item[from];
	struct uuid *ids = ARENA_ARRAY(c->arena, k->n - from, struct uuid);
	struct str *salts = ARENA_ARRAY(c->arena, k->n - from, struct str), names[POLICY_USE_COUNT];
	for (size_t i = from; i < k->n; i++) {
		if (done[i] || k->item[i]->deny != model->deny || !str_eq(k->item[i]->preferences, model->preferences))
			continue;
		done[i] = true;
		ids[n] = k->item[i]->id;
		salts[n++] = str_make(k->item[i]->salt, 32);
	}
	for (unsigned use = 0; use < POLICY_USE_COUNT; use++)
		if (model->deny >> use & 1)
			names[uses++] = str_of(policy_use_name(use));
	return db_queue(c, preference_insert, A_UUID(in->coop), A_UUID(in->member), A_UUIDS(ids, n), A_TEXTS(names, uses), A_UUID(in->account), A_TIME(at),
		A_Z(policy_dialect_name(POLICY_DIALECT_AIPREF_07)), A_BYTEAS(salts, n));
}

static enum err write_preferences(struct call *c, const struct intake *in, instant at, const struct writing *k)
{
	bool *done = ARENA_ARRAY(c->arena, k->n, bool);
	for (size_t i = 0; i < k->n; i++)
		if (k->item[i]->deny && !done[i])
			TRY(write_preference(c, in, at, k, i, done));
	return ERR_OK;
}

static enum err write_derived(struct call *c, const struct intake *in, const struct writing *k)
{
	size_t n = 0;
	for (size_t i = 0; i < k->n; i++)
		n += k->item[i]->n_derived;
	if (n == 0)
		return ERR_OK;
	struct pool_derivation *all = ARENA_ARRAY(c->arena, n, struct pool_derivation);
	n = 0;
	for (size_t i = 0; i < k->n; i++)
		for (size_t d = 0; d < k->item[i]->n_derived; d++)
			all[n++] = k->item[i]->derived[d];
	return pool_derive(c, in->coop, all, n);
}

enum err item_write_besides(struct call *c, const struct intake *in, instant at, struct item *item)
{
	struct writing k = { .n = 1, .item = &item };
	TRY(write_holds(c, in, at, &k));
	TRY(write_derived(c, in, &k));
	return write_preferences(c, in, at, &k);
}

/* The pool's lock and the log's, in the order in which everybody takes them, and what stands under them. */
struct locked {
	struct rows head;           /* next_item, suppressed */
	struct rows again;          /* what has become of the membership and the charter */
	struct ledger_place *place; /* in the log */
};

static enum err lock_both(struct call *c, const struct intake *in, struct locked *l)
{
	TRY(db_queue(c, head_make, A_UUID(in->coop)));
	TRY(db_ask(c, head_lock, &l->head, A_UUID(in->coop)));
	TRY(intake_ask_again(c, in, &l->again));
	TRY(ledger_ask_lock(c, in->coop, &l->place));
	TRY(ledger_ask_tail(c, in->coop, l->place));
	TRY(db_wait(c));
	if (l->head.n != 1)
		return fail(c, ERR_NOT_FOUND, "This co-op has no pool.");
	return intake_still_open(c, in, &l->again);
}

/* The database inserts the rows while the leaves are made here. */
static enum err write_all(struct call *c, const struct intake *in, instant at, const struct ledger_place *place, struct writing *k)
{
	int64_t leaf;
	TRY(ledger_place_next(c, place, &leaf));
	for (size_t i = 0; i < k->n; i++)
		k->item[i]->leaf_no = leaf + (int64_t)i;
	TRY(write_items(c, in, at, k));
	TRY(write_contents_left(c, in, k));
	TRY(write_holds(c, in, at, k));
	TRY(db_queue(c, member_count, A_UUID(in->coop), A_UUID(in->member), A_I64((int64_t)k->n)));
	TRY(db_queue(c, head_advance, A_UUID(in->coop), A_I64((int64_t)k->n)));
	TRY(write_preferences(c, in, at, k));
	TRY(write_derived(c, in, k));
	TRY(db_push(c));
	return append_leaves(c, in, place, k);
}

static void settle(struct fate *f, const struct fate *first, instant at)
{
	if (f != first) {
		struct item *item = f->item;
		*f = *first;
		f->item = item;
		f->duplicate = true;
	} else if (!f->duplicate) {
		f->id = f->item->id;
		f->leaf = f->item->leaf_no;
		f->word = f->item->word;
		f->findings = f->item->findings;
		f->submitted_at = at;
	}
}

enum err pool_lock(struct call *c, struct uuid coop)
{
	struct rows r;
	TRY(db_queue(c, head_make, A_UUID(coop)));
	return db_one(c, head_lock, &r, A_UUID(coop));
}

/* ---- Before the lock ---- */

enum err items_look_over(struct call *c, struct fate *fates, size_t n, struct staging *out)
{
	size_t *positions = ARENA_ARRAY(c->arena, n, size_t);
	*out = (struct staging){ .fates = fates, .n = n, .first = ARENA_ARRAY(c->arena, n, size_t), .may_be_known = ARENA_ARRAY(c->arena, n, bool), .items_then = -1 };
	out->count = distinct(c->arena, fates, n, out->first, positions);
	out->positions = positions;
	out->by_content = by_content(c->arena, fates, positions, out->count);
	return ERR_OK;
}

/* Marks contents that have a row. */
static enum err look_for_contents(struct call *c, const struct intake *in, struct staging *s)
{
	struct rows r;
	struct seen seen;
	struct str *hashes = ARENA_ARRAY(c->arena, s->count, struct str);
	for (size_t i = 0; i < s->count; i++)
		hashes[i] = str_make(s->fates[s->by_content[i]].item->hash.b, 32);
	TRY(db_query(c, contents_seen, &r, A_UUID(in->coop), A_BYTEAS(hashes, s->count)));
	seen_init(&seen, c->arena, s->count);
	for (size_t i = 0; i < s->count && r.n > 1; i++)
		seen_add(&seen, s->fates, s->positions[i]);
	for (int row = 0; row < r.n; row++) {
		struct sha256 hash;
		size_t at;
		if (row_null(&r, row, 0)) {
			s->items_then = row_int(&r, row, 1);
			continue;
		}
		if (row_bytes(&r, row, 0).n != sizeof(hash.b))
			return fail(c, ERR_CORRUPT, "A contribution's row is not as it should be.");
		memcpy(hash.b, row_bytes(&r, row, 0).p, sizeof(hash.b));
		if (seen_find(&seen, s->fates, hash, &at))
			s->may_be_known[at] = true;
	}
	return ERR_OK;
}

enum err items_stage(struct call *c, const struct intake *in, instant at, struct staging *s)
{
	int known[POLICY_KIND_COUNT][POLICY_LICENCE_MAX];
	struct item **items = ARENA_ARRAY(c->arena, s->count, struct item *);
	size_t n = 0;
	memset(known, -1, sizeof(known));
	if (s->count == 0)
		return ERR_OK;
	TRY(look_for_contents(c, in, s));
	for (size_t i = 0; i < s->count; i++) {
		struct item *item = s->fates[s->positions[i]].item;
		int *shard = &known[item->kind][item->licence];
		if (*shard < 0)
			TRY(shard_look(c, in->coop, shard_key_of(item->kind, item->licence, at), shard));
		if (*shard < 0)
			return ERR_OK; /* new shards are made under the lock: then all waits for it */
		item->shard = *shard;
		if (!s->may_be_known[s->positions[i]])
			items[n++] = item;
	}
	TRY(write_contents(c, in, items, n, true));
	for (size_t i = 0; i < n; i++)
		items[i]->content_written = true;
	return ERR_OK;
}

/* ---- Under the lock ---- */

static uint64_t *recent_place(struct items_recent *r, const struct sha256 *hash)
{
	uint64_t h;
	memcpy(&h, hash->b, sizeof(h));
	h += h == 0;
	size_t at = (size_t)h % CH_LEN(r->hash);
	while (r->hash[at] && r->hash[at] != h)
		at = (at + 1) % CH_LEN(r->hash);
	return &r->hash[at];
}

static void recent_set(struct items_recent *r, const struct writing *k)
{
	memset(r, 0, sizeof(*r));
	r->first = k->first;
	r->next = k->first + (int64_t)k->n;
	for (size_t i = 0; i < k->n && i < POOL_GROUP; i++) {
		uint64_t h;
		memcpy(&h, k->item[i]->hash.b, sizeof(h));
		*recent_place(r, &k->item[i]->hash) = h + (h == 0);
	}
}

/* Positions of the contents that may have a row by now: all of them, unless everything written since they were asked for is this batch's own. */
static size_t to_ask(const struct staging *s, int64_t items_now, struct items_recent *recent, size_t *out)
{
	bool none_since = s->items_then >= 0 && items_now == s->items_then;
	bool ours_since = s->items_then >= 0 && recent && recent->first <= s->items_then && recent->next == items_now;
	size_t n = 0;
	for (size_t i = 0; i < s->count; i++) {
		size_t at = s->by_content[i];
		bool ask = s->may_be_known[at] || (!none_since && (!ours_since || *recent_place(recent, &s->fates[at].item->hash)));
		if (ask)
			out[n++] = at;
	}
	return n;
}

/* Marks what the member had erased, unless nobody had anything erased. */
static enum err refuse_suppressed(struct call *c, const struct intake *in, const struct locked *l, const struct staging *s)
{
	if (row_int(&l->head, 0, 1) == 0)
		return ERR_OK;
	struct suppressed *what = ARENA_ARRAY(c->arena, s->count, struct suppressed);
	bool *found = ARENA_ARRAY(c->arena, s->count, bool);
	for (size_t i = 0; i < s->count; i++)
		what[i] = (struct suppressed){ in->member, s->fates[s->positions[i]].item->hash };
	TRY(suppressed_find(c, in->coop, what, s->count, found));
	for (size_t i = 0; i < s->count; i++)
		if (found[i])
			fate_is_suppressed(&s->fates[s->positions[i]]);
	return ERR_OK;
}

enum err items_write_staged(struct call *c, const struct intake *in, instant at, struct staging *s, struct items_recent *recent)
{
	struct locked l;
	struct writing k;
	size_t *ask = ARENA_ARRAY(c->arena, s->count, size_t);
	TRY(lock_both(c, in, &l));
	size_t n = to_ask(s, row_int(&l.head, 0, 0), recent, ask);
	if (n)
		TRY(find_known(c, in, s->fates, ask, n));
	TRY(refuse_suppressed(c, in, &l, s));
	TRY(take_back_contents(c, in, s->fates, s->positions, s->count));
	writing_init(&k, c->arena, s->count, row_int(&l.head, 0, 0));
	TRY(gather(c, in, at, s->fates, s->positions, s->count, &k));
	if (k.n)
		TRY(write_all(c, in, at, l.place, &k));
	if (recent)
		recent_set(recent, &k);
	for (size_t i = 0; i < s->n; i++)
		if (s->fates[i].item)
			settle(&s->fates[i], &s->fates[s->first[i]], at);
	return ERR_OK;
}

enum err items_write(struct call *c, const struct intake *in, instant at, struct fate *fates, size_t n)
{
	struct staging s;
	TRY(items_look_over(c, fates, n, &s));
	return items_write_staged(c, in, at, &s, NULL);
}

void receipt_of(struct arena *a, struct str coop_name, const struct fate *f, struct receipt *out)
{
	*out = (struct receipt){
		.id = f->id, .rid = uuid_eq(f->id, f->item->id) ? f->item->rid : rid_format(a, coop_name, f->id), .content_sha256 = f->item->hash, .status = str_of(item_status(f->word)), .duplicate = f->duplicate,
		.submitted_at = f->submitted_at, .leaf = f->leaf,
	};
	item_reasons(a, f->word, f->findings, &out->reasons, &out->n_reasons);
}
