#include "commonhold/gzip.h"
#include "commonhold/guest.h"
#include "commonhold/keyring.h"
#include "commonhold/origin.h"

#include "release_internal.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

/* Rows that a shard aims at. A group is cut by leading bits of its random ids, so that its parts stay what they are while it grows within a factor of two. */
#define SHARD_ROWS 32768

static size_t shard_rows = SHARD_ROWS;

void shards_aim_at(size_t rows)
{
	shard_rows = rows ? rows : SHARD_ROWS;
}

SQL(member_names, "SELECT number, id, attribution, pseudonym, public_name FROM membership WHERE coop_id = $1 ORDER BY number");
SQL(guest_names, "SELECT number, id, name, contributor, home FROM guest WHERE coop_id = $1 ORDER BY number");
SQL(shard_known,
	"SELECT f.release_id, f.path, f.size, f.sha256, f.raw_size, f.raw_sha256, f.rows, f.rids_root FROM release_file f JOIN release r USING (coop_id) "
	"WHERE f.coop_id = $1 AND f.input_sha256 = $2 AND r.id = f.release_id AND r.state IN ('published', 'superseded') LIMIT 1");

/* What rows need of the members: who is named how, and the keys of their content. By member number. */
struct people {
	struct str *attribution;   /* JSON: a string or null */
	struct seal_key *keys;
	bool *has_key;
	size_t n;
	struct origin_names origins; /* of foreign rows */
};

static struct str json_string(struct arena *a, struct str s)
{
	struct buf b;
	struct json_writer w;
	buf_init(&b, LIMIT_BODY_SMALL);
	jw_init(&w, &b);
	jw_str(&w, s);
	struct str text = str_copy(a, buf_str(&b));
	buf_release(&b);
	return text;
}

/* What is said of a guest: at most what the agreement allows. A name that they gave, else one that is made of their pseudonym and leads to nobody. */
static struct str guest_name(struct arena *a, const struct guest_limits *limits, const struct rows *r, int row)
{
	if (limits->attribution == 0)
		return STR_NONE;
	if (limits->attribution == 2 && !row_null(r, row, 2))
		return row_str(r, row, 2);
	struct str home = row_str(r, row, 4);
	struct sha256 h = sha256(str_fmt(a, "%.*s %.*s", STR_ARG(home), STR_ARG(str_hex(a, row_bytes(r, row, 3).p, row_bytes(r, row, 3).n))));
	return str_fmt(a, "guest-%.*s", STR_ARG(str_hex(a, h.b, 5)));
}

/* Those who are guests. */
static enum err guests_named(struct artefact *a, struct people *p, const bool *wanted, struct uuid *ids, size_t *numbers, size_t *n)
{
	const struct decided_guests *g = a->d->guests;
	struct rows r;
	TRY(origin_names_load(a->c, a->release->coop, &p->origins));
	if (!g)
		return ERR_OK;
	TRY(db_query(a->c, guest_names, &r, A_UUID(a->release->coop)));
	for (int i = 0; i < r.n; i++) {
		size_t number = (size_t)row_int(&r, i, 0);
		if (number >= p->n || number >= g->n_limits || !wanted[number])
			continue;
		p->attribution[number] = json_string(a->d->arena, guest_name(a->d->arena, &g->limits[number], &r, i));
		numbers[*n] = number;
		ids[(*n)++] = row_uuid(&r, i, 1);
	}
	return ERR_OK;
}

/* How many people these are: whoever is a guest and a member is one. */
static int64_t people_count(const struct artefact *a, const size_t *numbers, size_t n)
{
	const struct decided_guests *g = a->d->guests;
	if (!g || !g->person_of)
		return (int64_t)n;
	bool *seen = ARENA_ARRAY(a->d->arena, g->n_limits, bool);
	int64_t people = 0;
	for (size_t i = 0; i < n; i++) {
		uint32_t person = numbers[i] < g->n_limits ? g->person_of[numbers[i]] : 0;
		people += numbers[i] >= g->n_limits || !seen[person];
		if (numbers[i] < g->n_limits)
			seen[person] = true;
	}
	return people;
}

static enum err people_load(struct artefact *a, struct people *p)
{
	struct call *c = a->c;
	struct arena *arena = a->d->arena;
	struct rows r;
	TRY(db_query(c, member_names, &r, A_UUID(a->release->coop)));
	p->n = a->d->facts.n_members;
	p->attribution = ARENA_ARRAY(arena, p->n, struct str);
	p->keys = ARENA_ARRAY(arena, p->n, struct seal_key);
	p->has_key = ARENA_ARRAY(arena, p->n, bool);
	bool *wanted = ARENA_ARRAY(arena, p->n, bool);
	for (size_t i = 0; i < a->d->n; i++)
		if (outcome_is_in(a->d->outcomes[i]))
			wanted[a->d->members[i]] = true;
	struct uuid *ids = ARENA_ARRAY(arena, p->n, struct uuid);
	size_t *numbers = ARENA_ARRAY(arena, p->n, size_t), n = 0;
	for (int i = 0; i < r.n; i++) {
		size_t number = (size_t)row_int(&r, i, 0);
		if (number >= p->n || !wanted[number])
			continue;
		struct str how = row_str(&r, i, 2);
		struct str name = str_is(how, "anonymous") ? STR_NONE : str_is(how, "public") ? row_str(&r, i, 4) : row_str(&r, i, 3);
		p->attribution[number] = json_string(arena, name);
		numbers[n] = number;
		ids[n++] = row_uuid(&r, i, 1);
	}
	TRY(guests_named(a, p, wanted, ids, numbers, &n));
	struct seal_key *keys = ARENA_ARRAY(arena, n, struct seal_key);
	bool *present = ARENA_ARRAY(arena, n, bool);
	TRY(keyring_get(c, a->release->coop, ids, n, keys, present));
	for (size_t i = 0; i < n; i++) {
		p->keys[numbers[i]] = keys[i];
		p->has_key[numbers[i]] = present[i];
	}
	secret_wipe(keys, n * sizeof(*keys));
	a->contributors = people_count(a, numbers, n);
	return ERR_OK;
}

/* An item and the first bytes of its id as a number: what sorting looks at, side by side. */
struct sorting { uint64_t head; uint32_t item; };

static uint64_t id_word(const uint8_t id[8])
{
	uint64_t word;
	memcpy(&word, id, sizeof(word));
	return __builtin_bswap64(word);
}

static int by_id(const void *x, const void *y, void *arg)
{
	const struct decided *d = arg;
	return memcmp(d->ids[((const struct sorting *)x)->item], d->ids[((const struct sorting *)y)->item], 16);
}

/* One pass of the radix sort below, by one byte of the heads. */
static void sort_pass(const struct sorting *from, struct sorting *to, size_t n, unsigned shift)
{
	size_t starts[257] = { 0 };
	for (size_t i = 0; i < n; i++)
		starts[(from[i].head >> shift & 255) + 1]++;
	for (size_t b = 0; b < 256; b++)
		starts[b + 1] += starts[b];
	for (size_t i = 0; i < n; i++)
		to[starts[from[i].head >> shift & 255]++] = from[i];
}

/* By the heads first, then, where heads are equal, by the whole ids. `room` holds 2 * n. */
static void sort_by_id(struct decided *d, uint32_t *items, size_t n, struct sorting *room)
{
	struct sorting *from = room, *to = room + n, *other;
	for (size_t i = 0; i < n; i++)
		from[i] = (struct sorting){ id_word(d->ids[items[i]]), items[i] };
	for (unsigned shift = 0; shift < 64; shift += 8) {
		sort_pass(from, to, n, shift);
		other = from;
		from = to;
		to = other;
	}
	for (size_t i = 0, end; i < n; i = end) {
		for (end = i + 1; end < n && from[end].head == from[i].head; end++)
			continue;
		if (end - i > 1)
			qsort_r(from + i, end - i, sizeof(*from), by_id, d);
	}
	for (size_t i = 0; i < n; i++)
		items[i] = from[i].item;
}

/* Counting sort by shard key, then each group by id. */
void groups_make(struct artefact *a, size_t n_keys, struct group **out)
{
	struct decided *d = a->d;
	struct group *groups = ARENA_ARRAY(d->arena, n_keys, struct group);
	size_t total = 0;
	for (size_t i = 0; i < d->n; i++) {
		if (outcome_is_in(d->outcomes[i])) {
			groups[d->shards[i]].n++;
			total++;
		}
	}
	uint32_t *items = ARENA_ARRAY(d->arena, total, uint32_t);
	for (size_t k = 0; k < n_keys; k++) {
		groups[k].key = (uint32_t)k;
		groups[k].items = items;
		items += groups[k].n;
		groups[k].n = 0;
	}
	for (size_t i = 0; i < d->n; i++)
		if (outcome_is_in(d->outcomes[i]))
			groups[d->shards[i]].items[groups[d->shards[i]].n++] = (uint32_t)i;
	size_t largest = 0;
	for (size_t k = 0; k < n_keys; k++)
		largest = groups[k].n > largest ? groups[k].n : largest;
	struct arena_mark mark = arena_mark(d->arena);
	struct sorting *room = ARENA_ARRAY(d->arena, largest * 2, struct sorting);
	for (size_t k = 0; k < n_keys; k++)
		sort_by_id(d, groups[k].items, groups[k].n, room);
	arena_rewind(d->arena, mark);
	*out = groups;
}

static uint32_t shard_key_of(struct shard_key *keys, size_t *n, struct shard_key wanted)
{
	for (size_t i = 0; i < *n; i++)
		if (keys[i].kind == wanted.kind && keys[i].licence == wanted.licence && keys[i].month == wanted.month)
			return (uint32_t)i;
	keys[*n] = wanted;
	return (uint32_t)(*n)++;
}

enum err shard_keys(struct artefact *a, struct shard_key **out, size_t *n)
{
	struct decided *d = a->d;
	size_t moved = d->guests ? d->guests->n_moved : 0;
	struct shard_key *known;
	TRY(pool_shard_keys(a->c, a->release->coop, &known, n));
	*out = ARENA_ARRAY(d->arena, *n + moved + 1, struct shard_key);
	memcpy(*out, known, *n * sizeof(*known));
	for (size_t i = 0; i < moved; i++) {
		const struct decided_moved *m = &d->guests->moved[i];
		struct shard_key wanted = known[m->shard];
		wanted.licence = (unsigned)(d->words[m->item] >> POLICY_ITEM_LICENCE_SHIFT & 63);
		if (outcome_is_in(d->outcomes[m->item]))
			d->shards[m->item] = shard_key_of(*out, n, wanted);
	}
	return ERR_OK;
}

/* How many leading bits of the id cut a group of n rows. */
static unsigned cut_bits(size_t n)
{
	unsigned bits = 0;
	while (bits < 12 && (n >> bits) > shard_rows)
		bits++;
	return bits;
}

unsigned shard_part(const uint8_t id[16], unsigned bits)
{
	return bits ? ((unsigned)id[0] << 8 | id[1]) >> (16 - bits) : 0;
}

struct str month_text(struct arena *a, int month)
{
	return str_fmt(a, "%04d-%02d", month / 12, month % 12 + 1);
}

struct str shard_path(struct artefact *a, const struct shard_key *key, unsigned part, unsigned parts)
{
	struct arena *arena = a->d->arena;
	struct str licence = str_lower(arena, str_of(licence_spdx(key->licence)));
	struct str month = month_text(arena, key->month);
	return str_fmt(arena, "data/%s/%.*s-%.*s-%05u-of-%05u.jsonl.gz", policy_kind_name(key->kind), STR_ARG(licence), STR_ARG(month), part, parts);
}

/* The digest of everything that a shard's bytes depend on, row by row. */
void shard_input_begin(struct artefact *a, struct shard_input *in, const struct shard_key *key)
{
	in->hasher = hasher_new(a->d->arena);
	in->held = (size_t)snprintf(in->block, sizeof(in->block), "commonhold/shard/1 %.*s %u %u %d %d\n", STR_ARG(a->coop.key_name), key->kind, key->licence, key->month, SHARD_LEVEL);
}

void shard_input_add(struct shard_input *in, const uint8_t id[16], const uint8_t hash[32], struct str attribution)
{
	if (in->held + 49 + attribution.n > sizeof(in->block)) {
		hasher_add(in->hasher, in->block, in->held);
		in->held = 0;
	}
	char *to = in->block + in->held;
	memcpy(to, id, 16);
	memcpy(to + 16, hash, 32);
	memcpy(to + 48, attribution.p, attribution.n);
	to[48 + attribution.n] = '\n';
	in->held += 49 + attribution.n;
}

void shard_input_add_row(struct shard_input *in, struct arena *a, const uint8_t id[16], const uint8_t hash[32], struct str attribution, struct str origins)
{
	if (!origins.n) {
		shard_input_add(in, id, hash, attribution);
		return;
	}
	struct arena_mark mark = arena_mark(a);
	struct str digest = sha256_hex(a, sha256(origins));
	shard_input_add(in, id, hash, str_fmt(a, "%.*s origins %.*s", STR_ARG(attribution), STR_ARG(digest)));
	arena_rewind(a, mark);
}

struct sha256 shard_input_end(struct shard_input *in)
{
	hasher_add(in->hasher, in->block, in->held);
	return hasher_end(in->hasher);
}

static unsigned origin_of(const struct decided *d, uint32_t at)
{
	return d->more ? origin_of_more(d->more[at]) : 0;
}

static void origin_add(struct buf *b, const struct people *people, unsigned origin, unsigned licence, const uint8_t id[16])
{
	char text[UUID_TEXT];
	struct uuid u;
	memcpy(u.b, id, 16);
	uuid_write(u, text);
	buf_addf(b, "{\"coop\":\"%.*s\",\"licence\":\"%s\",\"rid\":\"dc:%.*s:%.*s\"}", STR_ARG(people->origins.key_name[origin]), licence_spdx(licence),
		STR_ARG(people->origins.key_name[origin]), UUID_TEXT, text);
}

/* The member "origins" of a row that comes from elsewhere, or has others than its own; empty for any other, whose text is made without. */
static void row_origins(struct buf *b, const struct decided *d, const struct people *people, unsigned licence, uint32_t at)
{
	size_t n;
	const struct decided_origin *o = guests_origins_of(d, at, &n);
	buf_clear(b);
	if (n == 0 && origin_of(d, at) == 0)
		return;
	buf_add_byte(b, '[');
	origin_add(b, people, origin_of(d, at), guests_own_licence(d, at, licence), d->ids[at]);
	for (size_t i = 0; i < n; i++) {
		buf_add_byte(b, ',');
		origin_add(b, people, o[i].origin, o[i].licence, o[i].id);
	}
	buf_add_byte(b, ']');
}

static struct sha256 shard_input(struct artefact *a, const struct people *people, const struct shard_key *key, const uint32_t *items, size_t n)
{
	const struct decided *d = a->d;
	struct arena_mark mark = arena_mark(d->arena);
	struct shard_input in;
	struct buf origins;
	buf_init(&origins, LIMIT_BODY_SMALL);
	shard_input_begin(a, &in, key);
	for (size_t i = 0; i < n; i++) {
		row_origins(&origins, d, people, key->licence, items[i]);
		shard_input_add_row(&in, d->arena, d->ids[items[i]], d->hashes[items[i]], people->attribution[d->members[items[i]]], buf_str(&origins));
	}
	struct sha256 out = shard_input_end(&in);
	buf_release(&origins);
	arena_rewind(d->arena, mark);
	return out;
}

static bool file_is_there(const char *path, int64_t size)
{
	struct stat st;
	return lstat(path, &st) == 0 && S_ISREG(st.st_mode) && st.st_size == size;
}

static struct sha256 hash_column(const struct rows *r, int col)
{
	struct sha256 h = { { 0 } };
	struct str b = row_bytes(r, 0, col);
	if (b.n == 32)
		memcpy(h.b, b.p, 32);
	return h;
}

/* A published shard made from the same input is the same file: link it in. */
static enum err shard_reuse(struct artefact *a, struct file_entry *f, bool *reused)
{
	struct call *c = a->c;
	struct rows r;
	*reused = false;
	TRY(db_query(c, shard_known, &r, A_UUID(a->release->coop), A_BYTES(str_make(f->input.b, 32))));
	if (r.n == 0)
		return ERR_OK;
	struct str dir = release_dir(c->arena, a->release->coop, row_uuid(&r, 0, 0));
	struct str from = str_fmt(c->arena, "%.*s/%.*s", STR_ARG(dir), STR_ARG(row_str(&r, 0, 1)));
	struct str to = str_fmt(c->arena, "%.*s/%.*s", STR_ARG(a->dir), STR_ARG(f->path));
	f->size = row_int(&r, 0, 2);
	if (!file_is_there(from.p, f->size) || link(from.p, to.p) != 0)
		return ERR_OK;
	f->sha256 = hash_column(&r, 3);
	f->raw_size = row_int(&r, 0, 4);
	f->raw_sha256 = hash_column(&r, 5);
	f->rows = row_int(&r, 0, 6);
	f->rids_root = hash_column(&r, 7);
	f->checked = true;
	*reused = true;
	return ERR_OK;
}

/* Content of a row that goes out in another shard than its own. */
struct moved_content { uint32_t item; struct str lang, sealed; };

/* One shard, or rather all parts of one group, being written in one pass over the group's sealed contents. */
struct pouring {
	struct artefact *a;
	const struct people *people;
	const struct shard_key *key;
	const uint32_t *items;      /* of the part, by id */
	size_t n, at;
	struct moved_content *moved; /* of those whose content lies in another shard, by id */
	size_t n_moved, at_moved;
	struct gz_writer *out;
	struct merkle_builder rids;
	struct buf plain;           /* one content, opened */
	struct buf line;            /* one row */
	struct buf origins;         /* its origins, where there are more than its own */
	struct str before_lang;     /* the constant parts of a row */
	struct str after_lang;
	struct str own_origin;
};

/* A row is put together from its sorted members around the stored bytes: nothing is parsed. */
static void row_text(struct pouring *p, const struct decided *d, uint32_t at, struct str lang, struct str rid)
{
	struct buf *b = &p->line;
	buf_clear(b);
	buf_add_z(b, "{\"attribution\":");
	buf_add_str(b, p->people->attribution[d->members[at]]);
	buf_add_z(b, ",\"content\":");
	buf_add_str(b, buf_str(&p->plain));
	buf_add_str(b, p->before_lang);
	buf_add_str(b, lang);
	buf_add_str(b, p->after_lang);
	if (p->origins.n) {
		buf_add_str(b, buf_str(&p->origins));
		buf_add_z(b, ",\"rid\":\"");
	} else {
		buf_add_str(b, p->own_origin);
		buf_add_str(b, rid);
		buf_add_z(b, "\"}],\"rid\":\"");
	}
	buf_add_str(b, rid);
	buf_add_z(b, "\",\"source_coop\":\"");
	buf_add_str(b, p->people->origins.key_name[origin_of(d, at)]);
	buf_add_z(b, "\"}\n");
}

static struct str rid_text(const struct people *people, unsigned origin, const uint8_t id[16], char out[64])
{
	static const char digits[] = "0123456789abcdef";
	struct str name = people->origins.key_name[origin];
	size_t n = 3;
	memcpy(out, "dc:", 3);
	for (size_t i = 0; i < name.n && i < 16; i++)
		out[n++] = name.p[i];
	out[n++] = ':';
	for (size_t i = 0; i < 16; i++) {
		if (i == 4 || i == 6 || i == 8 || i == 10)
			out[n++] = '-';
		out[n++] = digits[id[i] >> 4];
		out[n++] = digits[id[i] & 15];
	}
	return str_make(out, n);
}

static enum err pour_row(struct pouring *p, uint32_t at, struct str lang, struct str sealed)
{
	struct artefact *a = p->a;
	const struct decided *d = a->d;
	uint32_t member = d->members[at];
	uint8_t context[32];
	char rid_bytes[64];
	if (!p->people->has_key[member])
		return fail(a->c, ERR_GONE, "A contributor's key is gone, but their item is still in the release.");
	buf_clear(&p->plain);
	char *to = sealed.n >= SEAL_OVERHEAD ? buf_reserve(&p->plain, sealed.n - SEAL_OVERHEAD) : NULL;
	pool_seal_context(a->release->coop, d->ids[at], context);
	if (!to || !unseal_into(&p->people->keys[member], str_make(context, sizeof(context)), sealed, (uint8_t *)to))
		return fail(a->c, ERR_CORRUPT, "A sealed contribution cannot be opened with its contributor's key.");
	p->plain.n = sealed.n - SEAL_OVERHEAD;
	struct sha256 h = sha256(buf_str(&p->plain));
	if (memcmp(h.b, d->hashes[at], 32) != 0)
		return fail(a->c, ERR_CORRUPT, "A contribution's content does not match its hash.");
	if (!p->people->origins.key_name[origin_of(d, at)].p)
		return fail(a->c, ERR_CORRUPT, "A contribution comes from a co-op that is not known.");
	struct str rid = rid_text(p->people, origin_of(d, at), d->ids[at], rid_bytes);
	row_origins(&p->origins, d, p->people, p->key->licence, at);
	row_text(p, d, at, lang, rid);
	if (p->line.failed || p->origins.failed)
		return fail(a->c, ERR_TOO_LARGE, "A row is larger than a row may be.");
	merkle_add(&p->rids, merkle_leaf(rid));
	gz_writer_add(p->out, p->line.p, p->line.n);
	return ERR_OK;
}

/* Those from other shards that come next. */
static enum err pour_moved(struct pouring *p)
{
	while (p->at < p->n && p->at_moved < p->n_moved && p->moved[p->at_moved].item == p->items[p->at]) {
		const struct moved_content *m = &p->moved[p->at_moved++];
		TRY(pour_row(p, p->items[p->at++], m->lang, m->sealed));
	}
	return ERR_OK;
}

/* Both the stored contents and the part's items come in order of id: a merge. */
static enum err pour(void *arg, const uint8_t id[16], struct str lang, struct str sealed)
{
	struct pouring *p = arg;
	TRY(pour_moved(p));
	if (p->at == p->n || memcmp(p->a->d->ids[p->items[p->at]], id, 16) != 0)
		return ERR_OK;
	return pour_row(p, p->items[p->at++], lang, sealed);
}

static void pouring_texts(struct pouring *p)
{
	struct arena *arena = p->a->d->arena;
	const char *licence = licence_spdx(p->key->licence);
	struct str month = month_text(arena, p->key->month);
	p->before_lang = str_fmt(arena, ",\"created_month\":\"%.*s\",\"kind\":\"%s\",\"lang\":\"", STR_ARG(month), policy_kind_name(p->key->kind));
	p->after_lang = str_fmt(arena, "\",\"licence\":\"%s\",\"origins\":", licence);
	p->own_origin = str_fmt(arena, "[{\"coop\":\"%.*s\",\"licence\":\"%s\",\"rid\":\"", STR_ARG(p->a->coop.key_name), licence);
}

static enum err shard_pour(struct pouring *p, struct file_entry *f, const uint8_t first[16], const uint8_t last[16])
{
	struct artefact *a = p->a;
	struct call *c = a->c;
	struct gz_result result;
	struct str path = str_fmt(c->arena, "%.*s/%.*s", STR_ARG(a->dir), STR_ARG(f->path));
	TRY(gz_writer_open(&p->out, path.p, SHARD_LEVEL, 0, &c->error));
	buf_init(&p->plain, LIMIT_BODY_ITEM);
	buf_init(&p->line, LIMIT_BODY_ITEM + LIMIT_BODY_SMALL);
	buf_init(&p->origins, LIMIT_BODY_SMALL);
	enum err e = ERR_OK;
	if (p->n_moved < p->n) /* where all are moved there, the shard may have no content of its own */
		e = pool_scan_content(c, a->release->coop, a->d->shards[p->items[0]], first, last, pour, p);
	if (e == ERR_OK)
		e = pour_moved(p);
	secret_wipe(p->plain.p, p->plain.p ? p->plain.cap : 0);
	buf_release(&p->plain);
	buf_release(&p->line);
	buf_release(&p->origins);
	if (e == ERR_OK && p->at != p->n)
		e = fail(c, ERR_CORRUPT, "The content of a contribution is missing.");
	if (e != ERR_OK) {
		gz_writer_abort(p->out);
		return e;
	}
	TRY(gz_writer_close(p->out, &result, &c->error));
	f->size = result.size;
	f->sha256 = result.sha256;
	f->raw_size = result.raw_size;
	f->raw_sha256 = result.raw_sha256;
	f->rows = (int64_t)p->n;
	f->rids_root = merkle_builder_root(&p->rids);
	return ERR_OK;
}

/* The ids that a part may hold: its leading bits, then zeros or ones. */
static void part_range(unsigned part, unsigned bits, uint8_t first[16], uint8_t last[16])
{
	unsigned low = part << (16 - bits), high = low | ((1u << (16 - bits)) - 1);
	memset(first, 0x00, 16);
	memset(last, 0xff, 16);
	if (bits) {
		first[0] = (uint8_t)(low >> 8);
		first[1] = (uint8_t)low;
		last[0] = (uint8_t)(high >> 8);
		last[1] = (uint8_t)high;
	}
}

struct moving { struct pouring *p; size_t at; };

static enum err take_moved(void *arg, const uint8_t id[16], struct str lang, struct str sealed)
{
	struct moving *m = arg;
	struct moved_content *to = &m->p->moved[m->at];
	struct arena *arena = m->p->a->d->arena;
	if (memcmp(m->p->a->d->ids[to->item], id, 16) != 0)
		return ERR_OK;
	to->lang = str_copy(arena, lang);
	to->sealed = str_copy(arena, sealed);
	return ERR_OK;
}

/* The content of the part's rows that lies in other shards. */
static enum err moved_load(struct pouring *p)
{
	struct artefact *a = p->a;
	const struct decided *d = a->d;
	if (!d->guests || d->guests->n_moved == 0)
		return ERR_OK;
	p->moved = ARENA_ARRAY(d->arena, p->n, struct moved_content);
	for (size_t i = 0; i < p->n; i++) {
		const struct decided_moved *m = guests_moved(d, p->items[i]);
		if (!m)
			continue;
		struct moving one = { p, p->n_moved };
		p->moved[p->n_moved++].item = m->item;
		TRY(pool_scan_content(a->c, a->release->coop, m->shard, d->ids[m->item], d->ids[m->item], take_moved, &one));
		if (!p->moved[one.at].sealed.p)
			return fail(a->c, ERR_CORRUPT, "The content of a contribution is missing.");
	}
	return ERR_OK;
}

static enum err part_write(struct artefact *a, const struct people *people, const struct shard_key *key, const uint32_t *items, size_t n, unsigned part, unsigned bits)
{
	struct file_entry *f = artefact_add(a);
	uint8_t first[16], last[16];
	bool reused;
	f->shard = true;
	f->path = shard_path(a, key, part, 1u << bits);
	f->input = shard_input(a, people, key, items, n);
	a->rows += (int64_t)n;
	a->rows_by_kind[key->kind] += (int64_t)n;
	a->rows_by_licence[key->licence] += (int64_t)n;
	TRY(shard_reuse(a, f, &reused));
	if (reused)
		return ERR_OK;
	struct pouring p = { .a = a, .people = people, .key = key, .items = items, .n = n };
	struct arena_mark mark = arena_mark(a->d->arena);
	TRY(moved_load(&p));
	pouring_texts(&p);
	part_range(part, bits, first, last);
	enum err e = shard_pour(&p, f, first, last);
	arena_rewind(a->d->arena, mark);
	return e;
}

static enum err group_write(struct artefact *a, const struct people *people, const struct shard_key *key, const struct group *g)
{
	unsigned bits = cut_bits(g->n);
	for (size_t from = 0; from < g->n;) {
		unsigned part = shard_part(a->d->ids[g->items[from]], bits);
		size_t to = from + 1;
		while (to < g->n && shard_part(a->d->ids[g->items[to]], bits) == part)
			to++;
		TRY(part_write(a, people, key, g->items + from, to - from, part, bits));
		from = to;
	}
	return ERR_OK;
}

enum err shards_make_folders(struct artefact *a)
{
	struct call *c = a->c;
	for (unsigned kind = 0; kind <= POLICY_KIND_COUNT; kind++) {
		struct str path = kind == 0 ? str_fmt(c->arena, "%.*s/data", STR_ARG(a->dir)) : str_fmt(c->arena, "%.*s/data/%s", STR_ARG(a->dir), policy_kind_name(kind - 1));
		bool needed = kind == 0;
		for (size_t i = 0; !needed && i < a->d->n; i++)
			needed = outcome_is_in(a->d->outcomes[i]) && (a->d->words[i] & 7) == kind - 1;
		if (needed && mkdir(path.p, 0755) != 0 && errno != EEXIST)
			return fail(c, ERR_IO, "The release's folder cannot be made: %s.", strerrorname_np(errno));
	}
	return ERR_OK;
}

enum err shards_write(struct artefact *a)
{
	struct people people;
	struct shard_key *keys;
	struct group *groups;
	size_t n;
	TRY(people_load(a, &people));
	TRY(shard_keys(a, &keys, &n));
	TRY(shards_make_folders(a));
	groups_make(a, n, &groups);
	enum err e = ERR_OK;
	for (size_t k = 0; e == ERR_OK && k < n; k++)
		if (groups[k].n)
			e = group_write(a, &people, &keys[k], &groups[k]);
	secret_wipe(people.keys, people.n * sizeof(*people.keys));
	return e;
}
