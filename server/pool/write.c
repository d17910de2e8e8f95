/* write.c - items into the tables: duplicates found first with one question, the rest written in a few statements whatever their number.
 *
 * The pool's lock is taken first, so that numbers are dense in the order of commit and nobody adds the same content in between. The co-op's log is locked last, after the
 * contents are in.
 */
#include "server/pool/pool_internal.h"

#include "commonhold/db.h"
#include "commonhold/ledger.h"
#include "commonhold/policy_pref.h"

#include <pthread.h>

SQL(head_make, "INSERT INTO pool_head (coop_id) VALUES ($1) ON CONFLICT DO NOTHING");
SQL(head_lock, "SELECT next_item FROM pool_head WHERE coop_id = $1 FOR UPDATE");
SQL(head_advance, "UPDATE pool_head SET next_item = next_item + $2 WHERE coop_id = $1");
/* What is there of these contents: the member's own, and items that stand, which make a later one a duplicate. */
SQL(known_contents,
	"SELECT d.no::integer, c.member_no = $3, c.id, c.leaf, c.word, c.findings, c.submitted_at "
	"FROM unnest($2) WITH ORDINALITY AS d(hash, no) JOIN contribution c ON c.coop_id = $1 AND c.content_sha256 = d.hash "
	"WHERE c.member_no = $3 OR pool_item_stands(c.word)");
SQL(content_insert,
	"INSERT INTO contribution_content (coop_id, shard, id, lang, sealed) SELECT $1, unnest($2)::integer, unnest($3), unnest($4), unnest($5)");
SQL(item_insert,
	"INSERT INTO contribution (coop_id, id, item_no, member_id, member_no, shard, kind, licence, lang, content_sha256, bytes, submitted_at, word, more, leaf, salt, findings, facts) "
	"SELECT $1, unnest($2), unnest($3), $4, $5, unnest($6)::integer, unnest($7)::smallint, unnest($8)::smallint, unnest($9), unnest($10), unnest($11)::integer, $12, "
	"unnest($13), unnest($14), unnest($15), unnest($16), unnest($17)::smallint, unnest($18)");
SQL(hold_insert,
	"INSERT INTO moderation_decision (coop_id, contribution_id, decision, stage, at, reason) SELECT $1, unnest($2), 'hold', 'on_submission', $3, unnest($4)");
SQL(member_count, "UPDATE membership SET contributed = contributed + $3 WHERE coop_id = $1 AND id = $2");
SQL(preference_insert,
	"INSERT INTO statement (coop_id, member_id, layer, item_id, uses, effect, declared_by, declared_at, external, verbatim, revision, salt) "
	"SELECT $1, $2, 1, unnest($3), $4, 'deny', $5, $6, true, $7, $8, unnest($9)");
SQL(shard_find, "SELECT no FROM shard_key WHERE coop_id = $1 AND kind = $2 AND licence = $3 AND month = $4");
SQL(shard_add,
	"INSERT INTO shard_key (coop_id, no, kind, licence, month) SELECT $1, coalesce(max(no) + 1, 0), $2, $3, $4 FROM shard_key WHERE coop_id = $1 RETURNING no");

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

/* The number of a shard key, made if it is new. Inside, under the pool's lock. */
static enum err shard_no(struct call *c, struct uuid coop, struct shard_key key, int *no)
{
	struct rows r;
	if (shard_recall(coop, key, no))
		return ERR_OK;
	TRY(db_query(c, shard_find, &r, A_UUID(coop), A_INT((int)key.kind), A_INT((int)key.licence), A_INT(key.month)));
	if (r.n) {
		*no = (int)row_int(&r, 0, 0);
		shard_remember(coop, key, *no);
		return ERR_OK;
	}
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

static int by_hash(const void *a, const void *b)
{
	return memcmp((*(struct item *const *)a)->hash.b, (*(struct item *const *)b)->hash.b, 32);
}

static int by_id(const void *a, const void *b)
{
	return uuid_cmp((*(struct item *const *)a)->id, (*(struct item *const *)b)->id);
}

static int by_content(const void *a, const void *b, void *fates)
{
	const struct fate *f = fates;
	return memcmp(f[*(const size_t *)a].item->hash.b, f[*(const size_t *)b].item->hash.b, 32);
}

/* Asked in the order of the index, which then stays where it is in the database's memory: a third faster than in the order of lines. */
static enum err find_known(struct call *c, const struct intake *in, struct fate *fates, const size_t *in_order, size_t n)
{
	struct rows r;
	struct str *hashes = ARENA_ARRAY(c->arena, n, struct str);
	size_t *positions = ARENA_ARRAY(c->arena, n, size_t);
	memcpy(positions, in_order, n * sizeof(*positions));
	qsort_r(positions, n, sizeof(*positions), by_content, fates);
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
	struct item **item, **by_hash, **by_id;
};

static void writing_init(struct writing *k, struct arena *a, size_t n, int64_t first)
{
	*k = (struct writing){
		.first = first, .item = ARENA_ARRAY(a, n, struct item *), .by_hash = ARENA_ARRAY(a, n, struct item *), .by_id = ARENA_ARRAY(a, n, struct item *),
	};
}

static void writing_sort(struct writing *k)
{
	memcpy(k->by_hash, k->item, k->n * sizeof(struct item *));
	memcpy(k->by_id, k->item, k->n * sizeof(struct item *));
	qsort(k->by_hash, k->n, sizeof(struct item *), by_hash);
	qsort(k->by_id, k->n, sizeof(struct item *), by_id);
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
			TRY(shard_no(c, in->coop, shard_key_of(item->kind, item->licence, at), shard));
		item->shard = *shard;
		item->item_no = k->first + (int64_t)k->n;
		k->item[k->n++] = item;
	}
	writing_sort(k);
	return ERR_OK;
}

static enum err append_leaves(struct call *c, const struct intake *in, struct writing *k)
{
	int64_t first;
	struct str *leaves = ARENA_ARRAY(c->arena, k->n, struct str);
	for (size_t i = 0; i < k->n; i++)
		leaves[i] = k->item[i]->leaf;
	TRY(ledger_append_many(c, in->coop, "contribution.made", leaves, k->n, &first));
	for (size_t i = 0; i < k->n; i++)
		k->item[i]->leaf_no = first + (int64_t)i;
	return ERR_OK;
}

static enum err write_contents(struct call *c, const struct intake *in, const struct writing *k)
{
	size_t n = k->n;
	int64_t *shard = ARENA_ARRAY(c->arena, n, int64_t);
	struct uuid *id = ARENA_ARRAY(c->arena, n, struct uuid);
	struct str *lang = ARENA_ARRAY(c->arena, n, struct str), *sealed = ARENA_ARRAY(c->arena, n, struct str);
	for (size_t i = 0; i < n; i++) {
		const struct item *item = k->by_id[i];
		shard[i] = item->shard;
		id[i] = item->id;
		lang[i] = item->lang;
		sealed[i] = item->sealed;
	}
	return db_queue(c, content_insert, A_UUID(in->coop), A_I64S(shard, n), A_UUIDS(id, n), A_TEXTS(lang, n), A_BYTEAS(sealed, n));
}

static enum err write_items(struct call *c, const struct intake *in, instant at, const struct writing *k)
{
	size_t n = k->n;
	struct uuid *id = ARENA_ARRAY(c->arena, n, struct uuid);
	int64_t *numbers = ARENA_ARRAY(c->arena, n * 9, int64_t);
	int64_t *item_no = numbers, *shard = numbers + n, *kind = numbers + n * 2, *licence = numbers + n * 3, *bytes = numbers + n * 4, *word = numbers + n * 5;
	int64_t *more = numbers + n * 6, *leaf = numbers + n * 7, *findings = numbers + n * 8;
	struct str *texts = ARENA_ARRAY(c->arena, n * 4, struct str), *lang = texts, *hash = texts + n, *salt = texts + n * 2, *facts = texts + n * 3;
	for (size_t i = 0; i < n; i++) {
		const struct item *item = k->by_hash[i];
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
		A_BYTEAS(salt, n), A_I64S(findings, n), A_TEXTS(facts, n));
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

/* One statement for all items with the same preference string: in a batch it is mostly one. The item's leaf holds the commitment to it, under the item's salt. */
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
		A_STR(model->preferences), A_Z(policy_dialect_name(POLICY_DIALECT_AIPREF_07)), A_BYTEAS(salts, n));
}

static enum err write_preferences(struct call *c, const struct intake *in, instant at, const struct writing *k)
{
	bool *done = ARENA_ARRAY(c->arena, k->n, bool);
	for (size_t i = 0; i < k->n; i++)
		if (k->item[i]->deny && !done[i])
			TRY(write_preference(c, in, at, k, i, done));
	return ERR_OK;
}

enum err item_write_besides(struct call *c, const struct intake *in, instant at, struct item *item)
{
	struct writing k = { .n = 1, .item = &item };
	TRY(write_holds(c, in, at, &k));
	return write_preferences(c, in, at, &k);
}

static enum err write_all(struct call *c, const struct intake *in, instant at, struct writing *k)
{
	TRY(write_contents(c, in, k));
	TRY(write_holds(c, in, at, k));
	TRY(db_queue(c, member_count, A_UUID(in->coop), A_UUID(in->member), A_I64((int64_t)k->n)));
	TRY(db_queue(c, head_advance, A_UUID(in->coop), A_I64((int64_t)k->n)));
	TRY(append_leaves(c, in, k));
	TRY(write_items(c, in, at, k));
	return write_preferences(c, in, at, k);
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

enum err items_write(struct call *c, const struct intake *in, instant at, struct fate *fates, size_t n)
{
	struct rows head;
	struct writing k;
	size_t *first = ARENA_ARRAY(c->arena, n, size_t), *positions = ARENA_ARRAY(c->arena, n, size_t);
	size_t count = distinct(c->arena, fates, n, first, positions);
	if (count == 0)
		return ERR_OK;
	TRY(db_queue(c, head_make, A_UUID(in->coop)));
	TRY(db_one(c, head_lock, &head, A_UUID(in->coop)));
	TRY(find_known(c, in, fates, positions, count));
	writing_init(&k, c->arena, count, row_int(&head, 0, 0));
	TRY(gather(c, in, at, fates, positions, count, &k));
	if (k.n)
		TRY(write_all(c, in, at, &k));
	for (size_t i = 0; i < n; i++)
		if (fates[i].item)
			settle(&fates[i], &fates[first[i]], at);
	return ERR_OK;
}

void receipt_of(struct arena *a, struct str coop_name, const struct fate *f, struct receipt *out)
{
	*out = (struct receipt){
		.id = f->id, .rid = rid_format(a, coop_name, f->id), .content_sha256 = f->item->hash, .status = str_of(item_status(f->word)), .duplicate = f->duplicate,
		.submitted_at = f->submitted_at, .leaf = f->leaf,
	};
	item_reasons(a, f->word, f->findings, &out->reasons, &out->n_reasons);
}
