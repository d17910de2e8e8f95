#include "commonhold/origin_take.h"

#include "server/pool/content_table.h"
#include "server/pool/origin_known.h"
#include "server/pool/origin_wait.h"
#include "server/pool/pool_internal.h"

#include "commonhold/db.h"
#include "commonhold/seal_many.h"

#include <stdlib.h>

#define SHARDS_MAX 4096       /* kinds, licences and months in one bundle */
#define PLACED_AT_FIRST ((int64_t)2000000) /* contents that there is room for without growing */

/* Held as long as the rows are on their way: numbers without it are nobody's any more (pool_settle_arriving). */
SQL(take_arriving, "SELECT pg_advisory_xact_lock(hashtextextended('arriving ' || $1::text, 0))");
/* The tables grow under way: a plan that was made while they were empty would go through all their rows for each id. */
SQL(take_plans, "SELECT set_config('plan_cache_mode', 'force_custom_plan', true)");
SQL(take_head, "SELECT next_item, changes FROM pool_head WHERE coop_id = $1");
SQL(take_reserve,
	"WITH head AS (UPDATE pool_head SET next_item = next_item + $2 WHERE coop_id = $1 RETURNING next_item - $2 AS first) "
	"INSERT INTO pool_arriving (coop_id, first, n) SELECT $1, first, $2 FROM head RETURNING first");
SQL(take_arrived, "DELETE FROM pool_arriving WHERE coop_id = $1");
SQL(take_settle, "SELECT pool_settle_arriving($1)");
/* What is there of an id (1: a row, 2: an origin of one), or of a content. The co-op is named by a sub-select: for a value that the database has no statistics of, such as a co-op that is new, it
 * would take any index that begins with the co-op for as good as another, and go through all its rows for each id. */
#define HERE "(SELECT commonhold_coop())"
SQL(take_known_ids,
	"WITH d AS MATERIALIZED (SELECT no::integer, id FROM unnest($1) WITH ORDINALITY AS u(id, no)) "
	"SELECT d.no, k.item_no, k.origin, k.word, k.content_sha256, k.licence FROM d CROSS JOIN LATERAL (SELECT c.item_no, (c.more >> 24 & 255)::integer AS origin, c.word, c.content_sha256, "
	"c.licence::integer FROM contribution c WHERE c.coop_id = " HERE " AND c.id = d.id OFFSET 0) k "
	"UNION ALL SELECT d.no, k.item_no, k.origin, k.word, k.content_sha256, k.licence FROM d CROSS JOIN LATERAL (SELECT c.item_no, o.origin::integer AS origin, c.word, c.content_sha256, "
	"o.licence::integer FROM item_origin o JOIN contribution c ON c.coop_id = " HERE " AND c.item_no = o.item_no WHERE o.coop_id = " HERE " AND o.id = d.id OFFSET 0) k");
SQL(take_known_contents,
	"WITH d AS MATERIALIZED (SELECT no::integer, hash, member FROM unnest($1, $2) WITH ORDINALITY AS u(hash, member, no)) "
	"SELECT d.no, min(k.item_no) FROM d CROSS JOIN LATERAL (SELECT c.item_no FROM contribution c "
	"WHERE c.coop_id = " HERE " AND c.content_sha256 = d.hash AND (c.member_no = d.member OR pool_item_stands(c.word)) OFFSET 0) k GROUP BY d.no");
SQL(take_shard, "SELECT no FROM shard_key WHERE coop_id = $1 AND kind = $2 AND licence = $3 AND month = $4");
SQL(take_shard_add,
	"INSERT INTO shard_key (coop_id, no, kind, licence, month) SELECT $1, coalesce(max(no) + 1, 0), $2, $3, $4 FROM shard_key WHERE coop_id = $1 ON CONFLICT DO NOTHING");
SQL(take_contents, "INSERT INTO contribution_content (coop_id, shard, id, lang, sealed) SELECT $1, unnest($2)::integer, unnest($3), unnest($4), unnest($5)");
/* Rows of this transaction whose content stands elsewhere by now. */
SQL(take_twice,
	"SELECT EXISTS (SELECT FROM contribution n WHERE n.coop_id = " HERE " AND n.item_no >= $1 AND n.item_no < $2 AND EXISTS (SELECT FROM contribution c "
	"WHERE c.coop_id = " HERE " AND c.content_sha256 = n.content_sha256 AND c.item_no <> n.item_no AND pool_item_stands(c.word)))");
SQL(take_gone,
	"SELECT EXISTS (SELECT FROM item_origin o JOIN contribution c ON c.coop_id = " HERE " AND c.item_no = o.item_no WHERE o.coop_id = " HERE " AND o.xmin = pg_current_xact_id()::xid "
	"AND NOT pool_item_stands(c.word) AND c.member_no <> o.member_no)");

static const char arrived_copy[] =
	"COPY (SELECT content_sha256 FROM contribution WHERE coop_id = $1 AND item_no >= $2 AND item_no < $3) TO STDOUT (FORMAT binary)";

/* Numbers that were given to rows of this transaction: from `first` on, for those from `place` up to the next range's. */
struct given { int64_t first, place; };

struct origin_taking {
	struct call *call;
	struct uuid coop;
	int64_t items_then;   /* numbers given when it began: what came later is looked at under the lock */
	int64_t changes_then; /* changes of rows by then */
	struct given *given;  /* ranges that adjoin are one */
	size_t n_given, given_room;
	struct pool_packer *packer;
	struct waiting *waiting; /* rows and origins on their way into their tables */
	struct known *known;  /* what was there when it began */
	bool asked_origins;   /* the database itself was asked for rows that something is an origin of */
	struct content_table placed; /* contents of this transaction's rows: their places */
	const struct foreign_home *homes;
	int64_t *numbers;     /* of the homes (origin_number) */
	size_t n_homes;
	struct { struct shard_key key; int no; } shards[SHARDS_MAX];
	size_t n_shards;
	int64_t rows, origins;
};

void origin_taking_look(const struct origin_taking *t, struct foreign *f)
{
	enum known_content known = known_content(t->known, f->hash, &f->stood);
	f->maybe_content = known == KNOWN_ASK;
	if (known != KNOWN_STANDS)
		f->stood = -1;
	f->maybe_id = known_id(t->known, f->id);
}

/* ---- Rows of this transaction ---- */

/* The place of the row with this content, which is `place` itself when there is none yet. */
static enum err placed_add(struct origin_taking *t, struct sha256 hash, uint32_t place, uint32_t *out)
{
	const struct content_place *p = content_table_put(&t->placed, hash.b, place);
	if (!p)
		return fail(t->call, ERR_NO_MEMORY, "There is no memory to look for duplicates.");
	*out = p->number;
	return ERR_OK;
}

/* ---- Transactions of its own ---- */

/* What must be committed before the rest: numbers that others would give too. In a transaction and on a connection of its own, under the pool's lock for that moment. */
static enum err own_begin(struct origin_taking *t, struct call *own)
{
	const struct call *c = t->call;
	*own = (struct call){ .arena = c->arena, .actor = c->actor, .coop = c->coop, .request_id = c->request_id, .locale = c->locale };
	TRY(db_begin_in(own, t->coop, DB_WRITE));
	return pool_lock(own, t->coop);
}

static enum err own_end(struct origin_taking *t, struct call *own, enum err err)
{
	if (err == ERR_OK)
		err = db_commit(own);
	db_release(own);
	if (err != ERR_OK)
		t->call->error = own->error;
	return err;
}

/* ---- Numbers ---- */

static int64_t number_of(const struct origin_taking *t, int64_t place)
{
	size_t low = 0, high = t->n_given;
	while (high - low > 1) {
		size_t middle = (low + high) / 2;
		if (t->given[middle].place <= place)
			low = middle;
		else
			high = middle;
	}
	return t->given[low].first + place - t->given[low].place;
}

/* Where the numbers end that were given last. */
static int64_t given_end(const struct origin_taking *t, size_t i)
{
	return t->given[i].first + (i + 1 < t->n_given ? t->given[i + 1].place : t->rows) - t->given[i].place;
}

/* A range for the rows from `place` on. */
static enum err given_add(struct origin_taking *t, int64_t first, int64_t place)
{
	if (t->n_given && t->given[t->n_given - 1].first + place - t->given[t->n_given - 1].place == first)
		return ERR_OK;
	if (t->n_given == t->given_room) {
		size_t room = t->given_room ? t->given_room * 2 : 16;
		struct given *more = realloc(t->given, room * sizeof(*more));
		if (!more)
			return fail(t->call, ERR_NO_MEMORY, "There is no memory to take records.");
		t->given = more;
		t->given_room = room;
	}
	t->given[t->n_given++] = (struct given){ first, place };
	return ERR_OK;
}

/* Numbers for the rows from `place` on; their places stay empty for everybody else until this transaction ends. */
static enum err numbers_reserve(struct origin_taking *t, int64_t place)
{
	struct call own;
	struct rows r;
	int64_t first = 0;
	if (t->rows == place)
		return ERR_OK;
	enum err err = own_begin(t, &own);
	if (err == ERR_OK)
		err = db_one(&own, take_reserve, &r, A_UUID(t->coop), A_I64(t->rows - place));
	if (err == ERR_OK)
		first = row_int(&r, 0, 0);
	TRY(own_end(t, &own, err));
	return given_add(t, first, place);
}

enum err origin_taking_settle(struct call *c, struct uuid coop)
{
	TRY(db_begin_in(c, coop, DB_WRITE));
	TRY(db_exec(c, take_settle, A_UUID(coop)));
	return db_commit(c);
}

/* What one left behind that was killed, or another try of this one. */
static enum err leftovers_settle(struct origin_taking *t)
{
	struct call own;
	enum err err = own_begin(t, &own);
	if (err == ERR_OK)
		err = db_exec(&own, take_settle, A_UUID(t->coop));
	return own_end(t, &own, err);
}

/* ---- Beginning ---- */

static void taking_free(void *arg)
{
	struct origin_taking *t = arg;
	known_free(t->known);
	free(t->given);
	content_table_free(&t->placed);
	waiting_free(t->waiting);
	pool_packer_free(t->packer);
	free(t);
}

/* A home's number says nothing of what came from there. */
static enum err home_number(struct origin_taking *t, size_t home, int64_t *no)
{
	struct call own;
	unsigned given = 0;
	enum err err = own_begin(t, &own);
	if (err == ERR_OK)
		err = origin_number(&own, t->coop, t->homes[home].key_name, t->homes[home].title, &given);
	*no = given;
	return own_end(t, &own, err);
}

static enum err homes_number(struct origin_taking *t)
{
	struct origin_names names;
	TRY(origin_names_load(t->call, t->coop, &names));
	t->numbers = ARENA_ARRAY(t->call->arena, t->n_homes, int64_t);
	for (size_t i = 0; i < t->n_homes; i++) {
		for (int no = 1; no <= ORIGIN_MAX; no++)
			if (names.key_name[no].p && str_eq(names.key_name[no], t->homes[i].key_name))
				t->numbers[i] = no;
		if (t->numbers[i] == 0)
			TRY(home_number(t, i, &t->numbers[i]));
	}
	return ERR_OK;
}

enum err origin_taking_begin(struct call *c, struct uuid coop, const struct foreign_home *homes, size_t n_homes, int64_t expected, struct origin_taking **out)
{
	struct rows r;
	struct origin_taking *t = calloc(1, sizeof(*t));
	if (!t)
		return fail(c, ERR_NO_MEMORY, "There is no memory to take records.");
	if (!arena_defer(c->arena, taking_free, t))
		return fail(c, ERR_NO_MEMORY, "There is no memory to take records.");
	t->call = c;
	t->coop = coop;
	t->homes = homes;
	t->n_homes = n_homes;
	t->waiting = waiting_new();
	t->packer = pool_packer_new();
	if (!t->waiting || !t->packer || !content_table_init(&t->placed, (size_t)(expected < PLACED_AT_FIRST ? expected : PLACED_AT_FIRST)))
		return fail(c, ERR_NO_MEMORY, "There is no memory to look for duplicates.");
	TRY(leftovers_settle(t));
	TRY(homes_number(t));
	TRY(db_exec(c, take_arriving, A_UUID(coop)));
	TRY(db_queue0(c, take_plans));
	TRY(db_query(c, take_head, &r, A_UUID(coop)));
	t->items_then = r.n ? row_int(&r, 0, 0) : 0;
	t->changes_then = r.n ? row_int(&r, 0, 1) : 0;
	TRY(known_make(c, coop, t->items_then, expected, &t->known));
	*out = t;
	return ERR_OK;
}

/* ---- Making ready ---- */

static enum policy_moderation moderation_of(const struct foreign_rules *rules, unsigned found)
{
	if (!rules->moderates)
		return POLICY_MODERATION_APPROVED;
	if (found >= rules->findings_from && rules->findings_reject)
		return POLICY_MODERATION_REJECTED;
	return rules->holds || (found >= rules->findings_from && rules->findings_hold) ? POLICY_MODERATION_PENDING : POLICY_MODERATION_APPROVED;
}

enum err foreign_prepare(struct arena *scratch, const struct foreign_rules *rules, const struct json *submission, struct foreign *f, struct error *e)
{
	const struct contribution_schemas *known;
	struct contribution_draft d;
	struct pii_report report = { 0 };
	TRY(pool_schemas(&known, e));
	TRY(contribution_columns(scratch, known, submission, &d, e));
	if (f->content.n > LIMIT_BODY_ITEM || f->facts.n > LIMIT_BODY_ITEM)
		return error_set(e, ERR_TOO_LARGE, "A contribution may have at most %zu KiB.", LIMIT_BODY_ITEM / KIB);
	unsigned licence = policy_licence_find(d.licence.p, d.licence.n);
	if (licence == POLICY_LICENCE_UNKNOWN)
		return error_set(e, ERR_INVALID, "Its licence is not known here.");
	if (!json_is_canonical(f->content))
		return error_set(e, ERR_INVALID, "Its content is not in canonical form.");
	if (rules->moderates)
		pii_scan_tree(json_get(submission, "content"), &report);
	unsigned found = item_findings_total(&report);
	struct policy_item packed = {
		.member = f->member_no, .kind = (uint8_t)d.kind, .licence = (uint8_t)licence, .moderation = (uint8_t)moderation_of(rules, found), .created = f->at,
		.flags = item_sensitive_flags(d.sensitive) | POLICY_ITEM_ATTRIBUTED | (rules->moderates && rules->findings_hold && found >= rules->findings_from ? POLICY_ITEM_PII : 0u),
	};
	f->hash = sha256(f->content);
	f->kind = d.kind;
	f->licence = licence;
	f->bytes = f->content.n;
	f->word = policy_item_pack(&packed);
	f->more = item_more(&d);
	f->findings = report.mask;
	return ERR_OK;
}

/* ---- Asking ---- */

/* Those of a group that a question is about. */
struct asking { struct foreign *f; uint32_t *which; size_t n; };

/* One row of take_known_ids. */
static enum err learn_id(struct origin_taking *t, struct foreign *f, const struct rows *r, int row)
{
	uint64_t word = (uint64_t)row_int(r, row, 3);
	struct str hash = row_bytes(r, row, 4);
	if (hash.n != 32)
		return fail(t->call, ERR_CORRUPT, "A contribution's row is not as it should be.");
	f->item_no = row_int(r, row, 1);
	f->stands = sha256_load(hash);
	if (row_int(r, row, 2) != t->numbers[f->home])
		f->fate = FOREIGN_ID_TAKEN;
	else if (word & POLICY_ITEM_TOMBSTONED)
		f->fate = FOREIGN_ERASED;
	else
		f->fate = sha256_eq(f->stands, f->hash) && (unsigned)row_int(r, row, 5) == f->licence ? FOREIGN_KNOWN : FOREIGN_CONTRADICTS;
	return ERR_OK;
}

static enum err ask_ids(struct origin_taking *t, const struct asking *a)
{
	struct rows r;
	struct uuid *ids = ARENA_ARRAY(t->call->arena, a->n, struct uuid);
	if (a->n == 0)
		return ERR_OK;
	for (size_t i = 0; i < a->n; i++)
		ids[i] = a->f[a->which[i]].id;
	TRY(db_query(t->call, take_known_ids, &r, A_UUIDS(ids, a->n)));
	for (int row = 0; row < r.n; row++)
		TRY(learn_id(t, &a->f[a->which[row_int(&r, row, 0) - 1]], &r, row));
	return ERR_OK;
}

static enum err ask_contents(struct origin_taking *t, const struct asking *a)
{
	struct rows r;
	struct arena *arena = t->call->arena;
	struct str *hashes = ARENA_ARRAY(arena, a->n, struct str);
	int64_t *members = ARENA_ARRAY(arena, a->n, int64_t);
	if (a->n == 0)
		return ERR_OK;
	for (size_t i = 0; i < a->n; i++) {
		const struct foreign *f = &a->f[a->which[i]];
		hashes[i] = str_make(f->hash.b, 32);
		members[i] = f->member_no;
	}
	TRY(db_query(t->call, take_known_contents, &r, A_BYTEAS(hashes, a->n), A_I64S(members, a->n)));
	for (int row = 0; row < r.n; row++) {
		struct foreign *f = &a->f[a->which[row_int(&r, row, 0) - 1]];
		f->fate = FOREIGN_ORIGIN;
		f->item_no = row_int(&r, row, 1);
		t->asked_origins = true;
	}
	return ERR_OK;
}

/* An id says more than a content: what is known by id is settled by it. */
static enum err ask_known(struct origin_taking *t, struct foreign *f, size_t n)
{
	struct asking ids = { f, ARENA_ARRAY(t->call->arena, n, uint32_t), 0 }, contents = { f, ARENA_ARRAY(t->call->arena, n, uint32_t), 0 };
	for (size_t i = 0; i < n; i++)
		if (f[i].fate == FOREIGN_ROW && f[i].maybe_id)
			ids.which[ids.n++] = (uint32_t)i;
	TRY(ask_ids(t, &ids));
	for (size_t i = 0; i < n; i++)
		if (f[i].fate == FOREIGN_ROW && f[i].maybe_content)
			contents.which[contents.n++] = (uint32_t)i;
	return ask_contents(t, &contents);
}

/* Origins of what stood when all began. */
static void join_standing(struct origin_taking *t, struct foreign *f, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		if (f[i].fate != FOREIGN_ROW || f[i].stood < 0)
			continue;
		f[i].fate = FOREIGN_ORIGIN;
		f[i].item_no = f[i].stood;
		known_mark(t->known, f[i].stood);
	}
}

/* What nobody has yet is a row, or an origin of an earlier row of this transaction. */
static enum err find_twins(struct origin_taking *t, struct foreign *f, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		uint32_t place = 0;
		if (f[i].fate != FOREIGN_ROW)
			continue;
		TRY(placed_add(t, f[i].hash, (uint32_t)t->rows, &place));
		f[i].place = place;
		if (place == (uint32_t)t->rows)
			t->rows++;
		else
			f[i].fate = FOREIGN_ORIGIN;
	}
	return ERR_OK;
}

enum err origin_taking_ask(struct origin_taking *t, struct foreign *f, size_t n)
{
	int64_t before = t->rows;
	for (size_t i = 0; i < n; i++) {
		f[i].place = -1;
		f[i].item_no = -1;
		if (f[i].fate != FOREIGN_LEFT)
			f[i].fate = FOREIGN_ROW;
	}
	TRY(ask_known(t, f, n));
	join_standing(t, f, n);
	TRY(find_twins(t, f, n));
	TRY(numbers_reserve(t, before));
	for (size_t i = 0; i < n; i++)
		if (f[i].place >= 0)
			f[i].item_no = number_of(t, f[i].place);
	return ERR_OK;
}

/* ---- Sealing ---- */

void foreign_seal(struct arena *a, struct seal_nonces *nonces, const struct seal_key *key, struct uuid coop, struct foreign *f)
{
	uint8_t context[32], facts_context[48];
	if (f->fate != FOREIGN_ROW && f->fate != FOREIGN_ORIGIN)
		return;
	if (f->fate == FOREIGN_ROW) {
		pool_seal_context(coop, f->id.b, context);
		f->sealed = seal_next(a, nonces, key, str_make(context, sizeof(context)), f->content);
	}
	f->sealed_facts = seal_next(a, nonces, key, pool_facts_context(coop, f->id, facts_context), f->facts);
}

/* ---- Writing ---- */

static enum err shard_ask(struct call *c, struct uuid coop, struct shard_key key, int *no)
{
	struct rows r;
	if (shard_recall(coop, key, no))
		return ERR_OK;
	TRY(db_query(c, take_shard, &r, A_UUID(coop), A_INT((int)key.kind), A_INT((int)key.licence), A_INT(key.month)));
	*no = r.n ? (int)row_int(&r, 0, 0) : -1;
	return ERR_OK;
}

/* A shard's number must be committed before contents are filed under it, or two transactions could give it twice. A number that nothing is filed under, because the rest was rolled back, says
 * nothing of anybody. */
static enum err shard_commit(struct origin_taking *t, struct shard_key key)
{
	struct call own;
	enum err err = own_begin(t, &own);
	if (err == ERR_OK)
		err = db_exec(&own, take_shard_add, A_UUID(t->coop), A_INT((int)key.kind), A_INT((int)key.licence), A_INT(key.month));
	return own_end(t, &own, err);
}

static enum err shard_of(struct origin_taking *t, const struct foreign *f, int *no)
{
	struct shard_key key = shard_key_of(f->kind, f->licence, f->at);
	for (size_t i = t->n_shards; i-- > 0;) {
		if (t->shards[i].key.kind == key.kind && t->shards[i].key.licence == key.licence && t->shards[i].key.month == key.month) {
			*no = t->shards[i].no;
			return ERR_OK;
		}
	}
	TRY(shard_ask(t->call, t->coop, key, no));
	if (*no < 0) {
		TRY(shard_commit(t, key));
		TRY(shard_ask(t->call, t->coop, key, no));
	}
	if (*no < 0 || t->n_shards == SHARDS_MAX)
		return fail(t->call, ERR_TOO_LARGE, "The records are of more than %d kinds, licences and months.", SHARDS_MAX);
	t->shards[t->n_shards].key = key;
	t->shards[t->n_shards++].no = *no;
	return ERR_OK;
}

static enum err write_contents(struct origin_taking *t, const struct foreign *f, size_t n, int64_t *shards)
{
	struct call *c = t->call;
	struct uuid *ids = ARENA_ARRAY(c->arena, n, struct uuid);
	struct str *langs = ARENA_ARRAY(c->arena, n, struct str), *sealed = ARENA_ARRAY(c->arena, n, struct str);
	size_t rows = 0;
	for (size_t i = 0; i < n; i++) {
		int no;
		if (f[i].fate != FOREIGN_ROW)
			continue;
		TRY(shard_of(t, &f[i], &no));
		shards[rows] = no;
		ids[rows] = f[i].id;
		langs[rows] = f[i].lang;
		sealed[rows++] = f[i].sealed;
	}
	return rows ? db_queue(c, take_contents, A_UUID(t->coop), A_I64S(shards, rows), A_UUIDS(ids, rows), A_TEXTS(langs, rows), A_BYTEAS(sealed, rows)) : ERR_OK;
}

static enum err pack(struct origin_taking *t, const struct foreign *f, int shard)
{
	const struct pool_packed item = { .item_no = f->item_no, .id = f->id, .hash = f->hash, .word = f->word, .more = f->more | (uint64_t)t->numbers[f->home] << POLICY_MORE_ORIGIN_SHIFT,
		.member = f->member_no, .shard = (uint32_t)shard };
	return pool_packer_add(t->packer, t->call, t->coop, &item);
}

static enum err wait_with(struct origin_taking *t, const struct foreign *f, int shard)
{
	return waiting_add(t->waiting, t->call, f, (struct waiting_at){ .item_no = f->item_no, .origin = (unsigned)t->numbers[f->home], .shard = shard });
}

enum err origin_taking_write(struct origin_taking *t, const struct foreign *f, size_t n)
{
	size_t row = 0;
	int shard = 0;
	int64_t *shards = ARENA_ARRAY(t->call->arena, n, int64_t);
	TRY(write_contents(t, f, n, shards));
	for (size_t i = 0; i < n; i++) {
		if (f[i].fate != FOREIGN_ROW && f[i].fate != FOREIGN_ORIGIN)
			continue;
		t->origins += f[i].fate == FOREIGN_ORIGIN;
		if (f[i].fate == FOREIGN_ROW) {
			shard = (int)shards[row++];
			TRY(pack(t, &f[i], shard));
		}
		TRY(wait_with(t, &f[i], shard));
	}
	return waiting_put_some(t->waiting, t->call, t->coop);
}

/* ---- Under the lock ---- */

struct arrivals { struct origin_taking *taking; bool met; };

static bool is_placed(const void *arg, struct sha256 hash)
{
	return content_table_find(arg, hash.b) != NULL;
}

static enum err arrived(void *arg, const struct copy_field *f, int n)
{
	struct arrivals *a = arg;
	a->met |= n == 1 && f[0].n == 32 && is_placed(&a->taking->placed, sha256_load(copy_bytes(f[0])));
	return ERR_OK;
}

/* What others brought has the numbers between those of this transaction. */
static enum err look_between(struct origin_taking *t, int64_t from, int64_t to, struct arrivals *a)
{
	return from < to ? db_copy_out(t->call, arrived_copy, (struct db_arg[]){ A_UUID(t->coop), A_I64(from), A_I64(to) }, 3, arrived, a) : ERR_OK;
}

/* Rows were changed meanwhile: whether one stands, or ceased to stand, so that a fate is wrong. */
static enum err look_at_changes(struct origin_taking *t, struct arrivals *a)
{
	struct call *c = t->call;
	struct rows r;
	bool still = true, exact = known_is_exact(t->known);
	if (exact)
		TRY(known_still(c, t->coop, t->known, is_placed, &t->placed, &still));
	a->met |= !still;
	for (size_t i = 0; !exact && !a->met && i < t->n_given; i++) {
		TRY(db_one(c, take_twice, &r, A_I64(t->given[i].first), A_I64(given_end(t, i))));
		a->met = row_bool(&r, 0, 0);
	}
	if (a->met || !t->asked_origins)
		return ERR_OK;
	TRY(db_query0(c, take_gone, &r));
	a->met = r.n && row_bool(&r, 0, 0);
	return ERR_OK;
}

/* Whether everything that was found out without the lock still holds. */
static enum err still_true(struct origin_taking *t, int64_t items, int64_t changes)
{
	struct arrivals a = { .taking = t };
	int64_t from = t->items_then;
	for (size_t i = 0; i < t->n_given; i++) {
		TRY(look_between(t, from, t->given[i].first, &a));
		from = given_end(t, i);
	}
	TRY(look_between(t, from, items, &a));
	if (!a.met && changes != t->changes_then)
		TRY(look_at_changes(t, &a));
	return a.met ? fail(t->call, ERR_RETRY, "The pool changed while the bundle was taken in.") : ERR_OK;
}

enum err origin_taking_put(struct origin_taking *t)
{
	TRY(waiting_put_all(t->waiting, t->call, t->coop));
	return db_wait(t->call);
}

enum err origin_taking_end(struct origin_taking *t, int64_t *first, int64_t *rows, int64_t *origins)
{
	struct call *c = t->call;
	struct rows r;
	TRY(waiting_put_all(t->waiting, c, t->coop));
	TRY(pool_lock(c, t->coop));
	TRY(db_one(c, take_head, &r, A_UUID(t->coop)));
	*first = t->n_given ? t->given[0].first : row_int(&r, 0, 0);
	*rows = t->rows;
	*origins = t->origins;
	TRY(still_true(t, row_int(&r, 0, 0), row_int(&r, 0, 1)));
	return db_exec(c, take_arrived, A_UUID(t->coop));
}
