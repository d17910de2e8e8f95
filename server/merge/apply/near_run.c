/* near_run.c - near duplicates among what stands in a pool, and who would lose how much if only one of each cluster stayed. Advice: nothing here keeps an item out.
 *
 * Contents are opened one by one, sketched by the workers and forgotten; what is kept of a text while the search runs are its sketch and its item number, and afterwards the clusters alone.
 */
#include "server/merge/merge_internal.h"

#include "commonhold/coop.h"
#include "commonhold/keyring.h"
#include "commonhold/near.h"

#include <stdlib.h>

#define LOSSES_SHOWN 100
#define TEXT_MAX ((size_t)64 * KIB) /* of one item: what follows says nothing new about likeness */
#define STANDS_MASK (UINT64_C(3) << POLICY_ITEM_MODERATION_SHIFT | POLICY_ITEM_TOMBSTONED | POLICY_ITEM_ERASURE | POLICY_ITEM_WITHDRAWN | POLICY_ITEM_DUPLICATE)
#define STANDS ((uint64_t)POLICY_MODERATION_APPROVED << POLICY_ITEM_MODERATION_SHIFT)
#define KEYS_AT_FIRST 1024
#define CLUSTER_ITEMS_MAX 10000      /* kept of one cluster */

SQL(near_people, "SELECT number, id FROM membership WHERE coop_id = $1 UNION ALL SELECT number, id FROM guest WHERE coop_id = $1");
SQL(run_put,
	"INSERT INTO merge_near_run (coop_id, at, texts, clusters, near, per_cent, fair, losses) VALUES ($1, commonhold_now(), $2, $3, $4, $5, $6, $7) ON CONFLICT (coop_id) DO UPDATE SET "
	"at = excluded.at, texts = excluded.texts, clusters = excluded.clusters, near = excluded.near, per_cent = excluded.per_cent, fair = excluded.fair, losses = excluded.losses");
SQL(clusters_clear, "DELETE FROM merge_near_cluster WHERE coop_id = $1");
SQL(near_names,
	"SELECT number, pseudonym FROM membership WHERE coop_id = $1 AND number = ANY ($2::bigint[]) UNION ALL SELECT number, 'guest ' || number FROM guest WHERE coop_id = $1 AND number = ANY ($2::bigint[])");
SQL(near_run_read, "SELECT at, texts, clusters, near, per_cent, fair, losses FROM merge_near_run WHERE coop_id = $1");
SQL(near_clusters_read, "SELECT no, array_to_string(items, ',') FROM merge_near_cluster WHERE coop_id = $1 AND no > $2 ORDER BY no LIMIT $3");
SQL(near_ids, "SELECT item_no, id, more FROM contribution WHERE coop_id = $1 AND item_no = ANY ($2)");
SQL(near_coop_name, "SELECT key_name FROM coop WHERE id = $1");

/* One text: enough to find its content, and to lead from a cluster back to its items and those who contributed them. */
struct text { struct sha256 key; uint8_t id[16]; int64_t item_no; uint32_t shard, member_no; uint8_t origin; bool read; };
/* A contributor's key, open addressing by the id's first bytes. */
struct member_key { struct uuid member; struct seal_key key; bool used, there; };

struct search {
	struct call *call;
	struct uuid coop;
	struct near *near;
	struct text *text;
	size_t n, room;
	size_t at;                   /* the next that a content is expected for */
	uint32_t shard;              /* whose contents are read */
	struct uuid *people;         /* by number */
	size_t n_people, n_read;
	struct member_key *keys;
	size_t key_mask, n_keys;
	struct arena *scratch;       /* one content, parsed */
	struct buf words;            /* its strings */
	struct near_loss *by_member; /* by number; as many as people */
	struct near_loss by_origin[256];
	bool foreign;                /* something came from another co-op */
};

/* ---- Gathering ---- */

static struct member_key *key_place(const struct search *s, struct uuid member)
{
	uint64_t h;
	memcpy(&h, member.b, sizeof(h));
	size_t at = (size_t)h & s->key_mask;
	while (s->keys[at].used && !uuid_eq(s->keys[at].member, member))
		at = (at + 1) & s->key_mask;
	return &s->keys[at];
}

static enum err keys_room(struct search *s)
{
	if (s->keys && s->n_keys * 2 < s->key_mask)
		return ERR_OK;
	struct search bigger = { .key_mask = s->keys ? s->key_mask * 2 + 1 : KEYS_AT_FIRST - 1 };
	bigger.keys = calloc(bigger.key_mask + 1, sizeof(*bigger.keys));
	if (!bigger.keys)
		return fail(s->call, ERR_NO_MEMORY, "There is no memory for the keys of contributors.");
	for (size_t i = 0; s->keys && i <= s->key_mask; i++)
		if (s->keys[i].used)
			*key_place(&bigger, s->keys[i].member) = s->keys[i];
	if (s->keys)
		secret_wipe(s->keys, (s->key_mask + 1) * sizeof(*s->keys));
	free(s->keys);
	s->keys = bigger.keys;
	s->key_mask = bigger.key_mask;
	return ERR_OK;
}

static enum err key_of(struct search *s, struct uuid member, const struct seal_key **out)
{
	TRY(keys_room(s));
	struct member_key *k = key_place(s, member);
	if (!k->used) {
		*k = (struct member_key){ .member = member, .used = true };
		s->n_keys++;
		TRY(keyring_get(s->call, s->coop, &member, 1, &k->key, &k->there));
	}
	*out = k->there ? &k->key : NULL;
	return ERR_OK;
}

/* All strings of a content in the order in which they stand, with a blank between. */
static void words_of(struct search *s, const struct json *content)
{
	buf_clear(&s->words);
	for (const struct json *v = content; v && s->words.n < TEXT_MAX; v = json_next_in(content, v)) {
		if (v->type != JSON_STRING)
			continue;
		buf_add(&s->words, v->text.p, v->text.n < TEXT_MAX - s->words.n ? v->text.n : TEXT_MAX - s->words.n);
		buf_add_byte(&s->words, ' ');
	}
}

/* Whatever stands and is no exact duplicate. */
static enum err segment_add(void *arg, const struct pool_segment *seg)
{
	struct search *s = arg;
	for (size_t i = 0; i < seg->n; i++) {
		if ((seg->words[i] & STANDS_MASK) != STANDS)
			continue;
		if (s->n == s->room) {
			size_t room = s->room ? s->room * 2 : 4096;
			struct text *more = realloc(s->text, room * sizeof(*more));
			if (!more)
				return fail(s->call, ERR_NO_MEMORY, "There is no memory to look for near duplicates.");
			s->text = more;
			s->room = room;
		}
		struct text *t = &s->text[s->n++];
		*t = (struct text){ .item_no = (int64_t)seg->no * POOL_SEGMENT + (int64_t)i, .shard = seg->shards[i], .member_no = seg->members[i], .origin = (uint8_t)origin_of_more(seg->more[i]) };
		memcpy(t->key.b, seg->hashes[i], 32);
		memcpy(t->id, seg->ids[i], 16);
	}
	return ERR_OK;
}

static int by_place(const void *x, const void *y)
{
	const struct text *a = x, *b = y;
	return a->shard != b->shard ? (a->shard > b->shard) - (a->shard < b->shard) : memcmp(a->id, b->id, 16);
}

/* What cannot be opened is being erased: it is passed over. */
static enum err content_row(void *arg, const uint8_t id[16], struct str lang, struct str sealed)
{
	struct search *s = arg;
	struct call *c = s->call;
	const struct seal_key *key;
	const struct json *content;
	uint8_t context[32];
	struct error ignored = { 0 };
	struct str plain;
	(void)lang;
	while (s->at < s->n && s->text[s->at].shard == s->shard && memcmp(s->text[s->at].id, id, 16) < 0)
		s->at++;
	struct text *t = s->at < s->n ? &s->text[s->at] : NULL;
	if (!t || t->shard != s->shard || memcmp(t->id, id, 16) != 0 || t->member_no >= s->n_people)
		return ERR_OK;
	TRY(key_of(s, s->people[t->member_no], &key));
	if (!key)
		return ERR_OK;
	arena_reset(s->scratch);
	pool_seal_context(s->coop, id, context);
	if (!unseal(s->scratch, key, str_make(context, sizeof(context)), sealed, &plain) || json_parse(s->scratch, plain, &content, &ignored) != ERR_OK)
		return ERR_OK;
	words_of(s, content);
	if (!near_add(s->near, t->key, buf_str(&s->words)))
		return fail(c, ERR_NO_MEMORY, "There are too many texts to look for near duplicates.");
	t->read = true;
	return ++s->n_read % 65536 == 0 ? job_extend(c) : ERR_OK;
}

static enum err people_load(struct search *s)
{
	struct call *c = s->call;
	struct rows r;
	TRY(db_query(c, near_people, &r, A_UUID(s->coop)));
	for (int i = 0; i < r.n; i++)
		if ((size_t)row_int(&r, i, 0) >= s->n_people)
			s->n_people = (size_t)row_int(&r, i, 0) + 1;
	s->people = calloc(s->n_people + 1, sizeof(*s->people));
	s->by_member = calloc(s->n_people + 1, sizeof(*s->by_member));
	if (!s->people || !s->by_member)
		return fail(c, ERR_NO_MEMORY, "There is no memory to look for near duplicates.");
	for (int i = 0; i < r.n; i++)
		s->people[row_int(&r, i, 0)] = row_uuid(&r, i, 1);
	return ERR_OK;
}

/* Contents come in the order of shard and id: so do the texts. */
static enum err texts_gather(struct search *s)
{
	static const uint8_t first[16];
	uint8_t last[16];
	memset(last, 0xff, sizeof(last));
	TRY(people_load(s));
	TRY(pool_scan_columns(s->call, s->coop, POOL_COLUMNS_ALL, segment_add, s));
	if (s->n)
		qsort(s->text, s->n, sizeof(*s->text), by_place);
	while (s->at < s->n) {
		s->shard = s->text[s->at].shard;
		TRY(pool_scan_content(s->call, s->coop, s->shard, first, last, content_row, s));
		while (s->at < s->n && s->text[s->at].shard == s->shard)
			s->at++;
	}
	return ERR_OK;
}

static int by_key(const void *a, const void *b)
{
	return memcmp(((const struct text *)a)->key.b, ((const struct text *)b)->key.b, 32);
}

/* Those that were read alone, and what everybody has. */
static void texts_settle(struct search *s)
{
	size_t n = 0;
	for (size_t i = 0; i < s->n; i++) {
		if (!s->text[i].read)
			continue;
		s->by_member[s->text[i].member_no].texts++;
		s->by_origin[s->text[i].origin].texts++;
		s->foreign |= s->text[i].origin != 0;
		s->text[n++] = s->text[i];
	}
	s->n = n;
	if (n)
		qsort(s->text, n, sizeof(*s->text), by_key);
}

/* ---- Losses ---- */

static const struct text *text_of(const struct search *s, struct sha256 key)
{
	struct text wanted = { .key = key };
	return s->n ? bsearch(&wanted, s->text, s->n, sizeof(wanted), by_key) : NULL;
}

/* The text with the least key would stay. */
static void count_losses(struct search *s, const struct near_cluster *clusters, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		for (size_t k = 1; k < clusters[i].n; k++) {
			const struct text *t = text_of(s, clusters[i].keys[k]);
			if (!t)
				continue;
			s->by_member[t->member_no].lost++;
			s->by_origin[t->origin].lost++;
		}
	}
}

struct loser { bool coop; unsigned no; struct near_loss loss; };

static int by_share(const void *x, const void *y)
{
	const struct loser *a = x, *b = y;
	double p = (double)a->loss.lost / (double)a->loss.texts, q = (double)b->loss.lost / (double)b->loss.texts;
	return p != q ? (p < q) - (p > q) : a->coop != b->coop ? b->coop - a->coop : (a->no > b->no) - (a->no < b->no);
}

static bool fair_at(struct near_loss l, int per_cent)
{
	return l.lost * 100 <= l.texts * per_cent;
}

/* Everybody who would lose something, the greatest share first. */
static size_t losers_of(const struct search *s, struct loser **out)
{
	size_t n = 0;
	struct loser *all = calloc(s->n_people + 256, sizeof(*all));
	for (size_t i = 0; all && i < s->n_people; i++)
		if (s->by_member[i].lost)
			all[n++] = (struct loser){ false, (unsigned)i, s->by_member[i] };
	for (unsigned i = 0; all && i < 256; i++)
		if (s->by_origin[i].lost)
			all[n++] = (struct loser){ true, i, s->by_origin[i] };
	if (n)
		qsort(all, n, sizeof(*all), by_share);
	*out = all;
	return n;
}

static enum err names_of(struct search *s, const struct loser *losers, size_t n, struct rows *names)
{
	int64_t *numbers = ARENA_ARRAY(s->call->arena, n + 1, int64_t);
	size_t members = 0;
	for (size_t i = 0; i < n; i++)
		if (!losers[i].coop)
			numbers[members++] = losers[i].no;
	return db_query(s->call, near_names, names, A_UUID(s->coop), A_I64S(numbers, members));
}

static struct str name_of(const struct rows *names, unsigned number)
{
	for (int i = 0; i < names->n; i++)
		if (row_int(names, i, 0) == (int64_t)number)
			return row_str(names, i, 1);
	return STR("");
}

static enum err losses_write(struct search *s, const struct loser *losers, size_t n, int per_cent, struct str *out)
{
	struct call *c = s->call;
	struct origin_names origins;
	struct rows names, own;
	struct buf b;
	struct json_writer w;
	n = n < LOSSES_SHOWN ? n : LOSSES_SHOWN;
	TRY(origin_names_load(c, s->coop, &origins));
	TRY(names_of(s, losers, n, &names));
	TRY(db_one(c, near_coop_name, &own, A_UUID(s->coop)));
	buf_init(&b, LIMIT_BODY_ITEM);
	jw_init(&w, &b);
	jw_array(&w);
	for (size_t i = 0; i < n; i++) {
		const struct loser *l = &losers[i];
		struct str who = !l->coop ? name_of(&names, l->no) : l->no ? origins.key_name[l->no] : row_str(&own, 0, 0);
		jw_object(&w);
		jw_kbool(&w, "coop", l->coop);
		jw_kbool(&w, "fair", fair_at(l->loss, per_cent));
		jw_kint(&w, "lost", l->loss.lost);
		jw_kint(&w, "texts", l->loss.texts);
		jw_kstr(&w, "who", who);
		jw_end_object(&w);
		if (l->coop && s->foreign && !fair_at(l->loss, per_cent))
			TRY(merge_conflict_add(c, s->coop, (struct uuid){ 0 }, MERGE_NEAR_LOSS, who, STR("coop"), str_fmt(c->arena, "{\"lost\":%lld,\"texts\":%lld}", (long long)l->loss.lost,
				(long long)l->loss.texts), STR_NONE));
	}
	jw_end_array(&w);
	*out = buf_take(c->arena, &b);
	return ERR_OK;
}

/* ---- Keeping ---- */

/* Every item with a text of the cluster, in order. */
static size_t items_of(const struct search *s, const struct near_cluster *k, int64_t *items)
{
	size_t n = 0;
	for (size_t i = 0; i < k->n; i++) {
		const struct text *t = text_of(s, k->keys[i]);
		while (t && t > s->text && sha256_eq(t[-1].key, k->keys[i]))
			t--;
		for (; t && t < s->text + s->n && sha256_eq(t->key, k->keys[i]) && n < CLUSTER_ITEMS_MAX; t++)
			items[n++] = t->item_no;
	}
	return n;
}

static enum err clusters_write(struct search *s, const struct near_cluster *clusters, size_t n)
{
	struct call *c = s->call;
	struct copy_in *in;
	int64_t *items = ARENA_ARRAY(c->arena, CLUSTER_ITEMS_MAX, int64_t);
	TRY(db_exec(c, clusters_clear, A_UUID(s->coop)));
	TRY(db_copy_into(c, "merge_near_cluster", "coop_id, no, items", &in));
	for (size_t i = 0; i < n; i++) {
		copy_in_row(in, 3);
		copy_in_uuid(in, s->coop);
		copy_in_i64(in, (int64_t)i);
		copy_in_i64s(in, items, items_of(s, &clusters[i], items));
		TRY(copy_in_flush(in));
	}
	return db_copy_in_end(in, NULL);
}

/* The strictest of the agreements that stand; near.h's where there is none. */
static enum err accepted_loss(struct search *s, int *per_cent)
{
	struct agreement *live;
	size_t n;
	*per_cent = NEAR_LOSS_MAX_PERCENT;
	TRY(agreement_all(s->call, s->coop, (struct uuid){ 0 }, AGREEMENT_LIVE, &live, &n));
	for (size_t i = 0; i < n; i++)
		if (live[i].terms.near_loss < *per_cent)
			*per_cent = live[i].terms.near_loss;
	return ERR_OK;
}

static enum err found_keep(struct search *s, const struct near_cluster *clusters, size_t n)
{
	struct call *c = s->call;
	struct loser *losers;
	struct str losses;
	int per_cent;
	int64_t near = 0;
	bool fair = true;
	for (size_t i = 0; i < n; i++)
		near += (int64_t)clusters[i].n;
	TRY(db_begin_in(c, s->coop, DB_WRITE));
	TRY(accepted_loss(s, &per_cent));
	size_t n_losers = losers_of(s, &losers);
	for (size_t i = 0; i < n_losers; i++)
		fair &= fair_at(losers[i].loss, per_cent);
	enum err err = losses_write(s, losers, n_losers, per_cent, &losses);
	free(losers);
	TRY(err);
	TRY(clusters_write(s, clusters, n));
	TRY(db_exec(c, run_put, A_UUID(s->coop), A_I64((int64_t)s->n), A_I64((int64_t)n), A_I64(near), A_INT(per_cent), A_BOOL(fair), A_STR(losses)));
	return db_commit(c);
}

static enum err search_run(struct search *s)
{
	struct call *c = s->call;
	const struct near_cluster *clusters;
	size_t n;
	TRY(db_begin_in(c, s->coop, DB_SERIAL));
	TRY(texts_gather(s));
	TRY(db_commit(c));
	texts_settle(s);
	TRY(job_extend(c));
	TRY(near_clusters(s->near, 2, &clusters, &n, &c->error));
	count_losses(s, clusters, n);
	return found_keep(s, clusters, n);
}

enum err merge_near_run(struct call *c, struct uuid coop)
{
	struct search s = { .call = c, .coop = coop, .near = near_new(), .scratch = arena_new(192 * MIB) };
	buf_init(&s.words, TEXT_MAX * 2);
	enum err err = s.near && s.scratch ? search_run(&s) : fail(c, ERR_NO_MEMORY, "There is no memory to look for near duplicates.");
	near_free(s.near);
	arena_free(s.scratch);
	buf_release(&s.words);
	if (s.keys)
		secret_wipe(s.keys, (s.key_mask + 1) * sizeof(*s.keys));
	free(s.keys);
	free(s.text);
	free(s.by_member);
	free(s.people);
	return err;
}

/* ---- Reading ---- */

static enum err run_read(struct call *c, struct uuid coop, struct merge_near_run *out)
{
	struct rows r;
	const struct json *losses;
	*out = (struct merge_near_run){ .at = INSTANT_NONE, .per_cent = NEAR_LOSS_MAX_PERCENT, .fair = true };
	TRY(db_query(c, near_run_read, &r, A_UUID(coop)));
	if (r.n == 0)
		return ERR_OK;
	*out = (struct merge_near_run){
		.at = row_time(&r, 0, 0), .texts = row_int(&r, 0, 1), .clusters = row_int(&r, 0, 2), .near = row_int(&r, 0, 3), .per_cent = (int)row_int(&r, 0, 4), .fair = row_bool(&r, 0, 5),
	};
	TRY(json_parse(c->arena, row_str(&r, 0, 6), &losses, &c->error));
	out->losses = ARENA_ARRAY(c->arena, losses->count, struct merge_near_loss);
	json_each(l, losses)
		out->losses[out->n_losses++] = (struct merge_near_loss){
			json_member_text(l, "who"), json_bool(json_get(l, "coop"), false), json_int(json_get(l, "texts"), 0), json_int(json_get(l, "lost"), 0), json_bool(json_get(l, "fair"), true),
		};
	return ERR_OK;
}

static enum err rids_of(struct call *c, struct uuid coop, const struct str numbers, const struct origin_names *names, struct merge_near_cluster *out)
{
	struct rows r;
	struct str rest = numbers, one;
	size_t n = 0, room = 1;
	for (size_t i = 0; i < numbers.n; i++)
		room += numbers.p[i] == ',';
	int64_t *items = ARENA_ARRAY(c->arena, room, int64_t);
	while (rest.n && str_split(&rest, ',', &one))
		n += str_to_i64(one, 0, INT64_MAX, &items[n]);
	TRY(db_query(c, near_ids, &r, A_UUID(coop), A_I64S(items, n)));
	out->rids = ARENA_ARRAY(c->arena, (size_t)r.n, struct str);
	for (int i = 0; i < r.n; i++)
		out->rids[out->n++] = pool_rid(c->arena, names, (uint64_t)row_int(&r, i, 2), row_uuid(&r, i, 1));
	return ERR_OK;
}

enum err merge_near_read(struct call *c, struct uuid coop, struct str cursor, int limit, struct merge_near_run *run, struct merge_near_cluster **out, size_t *n, struct str *next_cursor)
{
	struct rows r;
	struct origin_names names;
	int64_t after = -1;
	if (cursor.n && !str_to_i64(cursor, 0, INT64_MAX, &after))
		return fail_field(c, "query/cursor", "This is no place in the list.");
	TRY(db_begin_in(c, coop, DB_READ));
	TRY(member_require_admin(c, coop));
	TRY(run_read(c, coop, run));
	TRY(origin_names_load(c, coop, &names));
	TRY(db_query(c, near_clusters_read, &r, A_UUID(coop), A_I64(after), A_I64(limit + 1)));
	*n = (size_t)(r.n > limit ? limit : r.n);
	*out = ARENA_ARRAY(c->arena, *n, struct merge_near_cluster);
	for (size_t i = 0; i < *n; i++) {
		(*out)[i].no = row_int(&r, (int)i, 0);
		TRY(rids_of(c, coop, row_str(&r, (int)i, 1), &names, &(*out)[i]));
	}
	*next_cursor = r.n > limit ? str_fmt(c->arena, "%lld", (long long)(*out)[*n - 1].no) : STR_NONE;
	return db_commit(c);
}

/* ---- Jobs ---- */

static enum err job_near(struct call *c, const struct json *args)
{
	struct uuid coop, same;
	TRY(job_args_read(c, args, "coop", &coop, &same));
	return merge_near_run(c, coop);
}

const struct job_kind merge_jobs[] = {
	{ "merge.near", job_near, 5, 600 },
	JOB_TABLE_END,
};
