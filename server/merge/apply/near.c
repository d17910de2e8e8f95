#include "commonhold/near.h"

#include "commonhold/limits.h"

#include <pthread.h>
#include <stdlib.h>

/* Bands of consecutive places: texts that agree on all places of one are compared. At the threshold, 1 - (1 - 0.7^5)^25 = 99 % of near pairs share a band; at 0.8, 99.99 %. */
#define BAND 5
#define BANDS (NEAR_PLACES / BAND)
/* In a band's bucket every text is compared with so many that follow it; larger buckets hang together by their neighbours and by the other bands. */
#define NEIGHBOURS 32

/* ---- sketches ---- */

/* Finaliser of MurmurHash3 (Appleby, public domain): every bit of the input reaches every bit of the output. */
static uint64_t mix(uint64_t h)
{
	h = (h ^ h >> 33) * UINT64_C(0xff51afd7ed558ccd);
	h = (h ^ h >> 33) * UINT64_C(0xc4ceb9fe1a85ec53);
	return h ^ h >> 33;
}

/* Length of the well-formed UTF-8 sequence at p; 1 for anything else. */
static size_t sequence(const uint8_t *p, size_t left)
{
	size_t n = p[0] < 0xc2 ? 1 : p[0] < 0xe0 ? 2 : p[0] < 0xf0 ? 3 : p[0] < 0xf5 ? 4 : 1;
	for (size_t i = 1; i < n; i++)
		if (i >= left || (p[i] & 0xc0) != 0x80)
			return 1;
	return n;
}

/* What a code point counts as: 0 is the blank between words. Beyond ASCII only the general punctuation (U+2000 to U+206F) and the blanks of Latin-1 and CJK are no letters. */
static uint32_t letter(const uint8_t *p, size_t n)
{
	uint8_t c = p[0];
	if (n == 1)
		return c >= 0x80 || (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') ? c : c >= 'A' && c <= 'Z' ? (uint32_t)c + 32 : 0;
	uint32_t code = 0;
	for (size_t i = 0; i < n; i++)
		code = code << 8 | p[i];
	bool blank = (n == 2 && code >= 0xc280 && code <= 0xc2bf) || (n == 3 && ((code >= 0xe28080 && code <= 0xe281af) || (code >= 0xe38080 && code <= 0xe38082)));
	return blank ? 0 : code;
}

#define BASE UINT64_C(0x9e3779b97f4a7c15) /* odd, so that no power of it vanishes */

/* One hash for each of NEAR_PLACES bins: the least of those shingles that fall into it. */
struct bins { uint64_t least[NEAR_PLACES]; bool filled[NEAR_PLACES]; };

static void bin_shingle(struct bins *b, uint64_t rolling)
{
	uint64_t h = mix(rolling);
	size_t bin = h >> 57;
	if (!b->filled[bin] || h < b->least[bin]) {
		b->least[bin] = h;
		b->filled[bin] = true;
	}
}

/* An empty bin takes what a filled one has, chosen by a hash of the bin and the attempt alone: the same for every text. */
static uint64_t bin_value(const struct bins *b, size_t bin)
{
	size_t from = bin;
	for (uint64_t attempt = 1; !b->filled[from]; attempt++)
		from = mix(bin << 32 | attempt) >> 57;
	return b->least[from];
}

/* The last code points, their rolling hash (Karp, Rabin), and where their shingles go. */
struct rolling {
	struct bins bins;
	uint32_t window[NEAR_SHINGLE];
	uint64_t hash;
	uint64_t leaving;   /* BASE to the power of NEAR_SHINGLE: what the code point that leaves has become */
	size_t count;       /* code points so far */
};

static void roll(struct rolling *r, uint32_t c)
{
	uint32_t *place = &r->window[r->count % NEAR_SHINGLE];
	r->hash = r->hash * BASE + (c + 1) - (r->count >= NEAR_SHINGLE ? r->leaving * (*place + 1) : 0);
	*place = c;
	if (++r->count >= NEAR_SHINGLE)
		bin_shingle(&r->bins, r->hash);
}

void near_sketch_of(struct str text, struct near_sketch *out)
{
	struct rolling r = { .leaving = 1 };
	for (size_t i = 0; i < NEAR_SHINGLE; i++)
		r.leaving *= BASE;
	const uint8_t *p = (const uint8_t *)text.p, *end = p + text.n;
	bool blank = false; /* between two words; those before the first and after the last vanish */
	while (p < end) {
		size_t n = sequence(p, (size_t)(end - p));
		uint32_t c = letter(p, n);
		p += n;
		if (c && blank && r.count)
			roll(&r, 0);
		if (c)
			roll(&r, c);
		blank = c == 0;
	}
	if (r.count < NEAR_SHINGLE)
		bin_shingle(&r.bins, r.hash);
	for (size_t i = 0; i < NEAR_PLACES; i++)
		out->place[i] = (uint8_t)bin_value(&r.bins, i);
}

static size_t places_equal(const struct near_sketch *a, const struct near_sketch *b)
{
	size_t equal = 0;
	for (size_t i = 0; i < NEAR_PLACES; i++)
		equal += a->place[i] == b->place[i];
	return equal;
}

/* A byte agrees by chance once in 256. */
static double likeness_of(size_t equal)
{
	double seen = (double)equal / NEAR_PLACES;
	return seen <= 1.0 / 256 ? 0 : (seen - 1.0 / 256) / (1 - 1.0 / 256);
}

double near_likeness(const struct near_sketch *a, const struct near_sketch *b)
{
	return likeness_of(places_equal(a, b));
}

/* ---- the collection ---- */

struct entry { struct sha256 key; struct near_sketch sketch; };

struct near {
	struct entry *entries;
	size_t n, room;
	struct sha256 *keys;             /* of all clusters, one after another */
	struct near_cluster *clusters;
	size_t n_clusters;
};

struct near *near_new(void)
{
	return calloc(1, sizeof(struct near));
}

void near_free(struct near *n)
{
	if (!n)
		return;
	free(n->entries);
	free(n->keys);
	free(n->clusters);
	free(n);
}

bool near_add_sketch(struct near *n, struct sha256 key, const struct near_sketch *sketch)
{
	if (n->n == n->room) {
		size_t room = n->room ? n->room * 2 : 1024;
		struct entry *entries = n->n < NEAR_TEXTS_MAX ? realloc(n->entries, room * sizeof(*entries)) : NULL;
		if (!entries)
			return false;
		n->entries = entries;
		n->room = room;
	}
	n->entries[n->n++] = (struct entry){ key, *sketch };
	return true;
}

bool near_add(struct near *n, struct sha256 key, struct str text)
{
	struct near_sketch s;
	near_sketch_of(text, &s);
	return near_add_sketch(n, key, &s);
}

static int by_key(const void *a, const void *b)
{
	const struct entry *x = a, *y = b;
	int c = memcmp(x->key.b, y->key.b, sizeof(x->key.b));
	return c ? c : memcmp(&x->sketch, &y->sketch, sizeof(x->sketch));
}

/* Sorted, each key once: from here on the order in which texts came is forgotten. */
static void entries_settle(struct near *n)
{
	if (!n->n)
		return;
	qsort(n->entries, n->n, sizeof(*n->entries), by_key);
	size_t kept = 1;
	for (size_t i = 1; i < n->n; i++)
		if (!sha256_eq(n->entries[i].key, n->entries[kept - 1].key))
			n->entries[kept++] = n->entries[i];
	n->n = kept;
}

/* ---- pairs ---- */

/* What one thread works on: bands `first`, `first + step` … of all entries. Links only ever join, so what threads find is joined in any order. */
struct worker {
	const struct near *n;
	size_t first, step;
	uint32_t *parent;   /* forest over the entries; a root is its own parent, and the least of its tree */
	uint64_t *slots;    /* band's value, and the entry's number in the low bits of `numbers` */
	uint32_t *numbers;
	uint64_t *slots_spare;
	uint32_t *numbers_spare;
	bool ok;
};

static uint32_t root_of(uint32_t *parent, uint32_t i)
{
	while (parent[i] != i)
		i = parent[i] = parent[parent[i]];
	return i;
}

static void join(uint32_t *parent, uint32_t a, uint32_t b)
{
	a = root_of(parent, a);
	b = root_of(parent, b);
	if (a < b)
		parent[b] = a;
	else
		parent[a] = b;
}

static uint64_t band_value(const struct near_sketch *s, size_t band)
{
	uint64_t v = 0;
	for (size_t i = 0; i < BAND; i++)
		v = v << 8 | s->place[band * BAND + i];
	return v;
}

/* Entries in the order of their values in a band: radix sort, a byte of the value a pass, stable. */
static void sort_band(struct worker *w, size_t band)
{
	size_t n = w->n->n;
	for (size_t i = 0; i < n; i++) {
		w->slots[i] = band_value(&w->n->entries[i].sketch, band);
		w->numbers[i] = (uint32_t)i;
	}
	for (unsigned shift = 0; shift < BAND * 8; shift += 8) {
		size_t start[257] = { 0 };
		for (size_t i = 0; i < n; i++)
			start[(w->slots[i] >> shift & 255) + 1]++;
		for (size_t v = 1; v < 257; v++)
			start[v] += start[v - 1];
		for (size_t i = 0; i < n; i++) {
			size_t at = start[w->slots[i] >> shift & 255]++;
			w->slots_spare[at] = w->slots[i];
			w->numbers_spare[at] = w->numbers[i];
		}
		uint64_t *slots = w->slots;
		uint32_t *numbers = w->numbers;
		w->slots = w->slots_spare;
		w->numbers = w->numbers_spare;
		w->slots_spare = slots;
		w->numbers_spare = numbers;
	}
}

/* Whether two entries that share a band are near. */
static bool near_enough(const struct near *n, uint32_t a, uint32_t b)
{
	return likeness_of(places_equal(&n->entries[a].sketch, &n->entries[b].sketch)) >= NEAR_THRESHOLD;
}

static void pair_band(struct worker *w)
{
	for (size_t i = 0; i < w->n->n; i++)
		for (size_t j = i + 1; j < w->n->n && j <= i + NEIGHBOURS && w->slots[j] == w->slots[i]; j++)
			if (root_of(w->parent, w->numbers[i]) != root_of(w->parent, w->numbers[j]) && near_enough(w->n, w->numbers[i], w->numbers[j]))
				join(w->parent, w->numbers[i], w->numbers[j]);
}

static void *work(void *arg)
{
	struct worker *w = arg;
	for (size_t band = w->first; band < BANDS; band += w->step) {
		sort_band(w, band);
		pair_band(w);
	}
	return NULL;
}

static bool worker_init(struct worker *w, const struct near *n, size_t first, size_t step)
{
	*w = (struct worker){ .n = n, .first = first, .step = step };
	w->parent = calloc(n->n, sizeof(*w->parent));
	w->slots = calloc(n->n, sizeof(*w->slots));
	w->slots_spare = calloc(n->n, sizeof(*w->slots));
	w->numbers = calloc(n->n, sizeof(*w->numbers));
	w->numbers_spare = calloc(n->n, sizeof(*w->numbers));
	w->ok = w->parent && w->slots && w->slots_spare && w->numbers && w->numbers_spare;
	for (size_t i = 0; w->ok && i < n->n; i++)
		w->parent[i] = (uint32_t)i;
	return w->ok;
}

static void worker_release(struct worker *w)
{
	free(w->parent);
	free(w->slots);
	free(w->slots_spare);
	free(w->numbers);
	free(w->numbers_spare);
}

/* ---- clusters ---- */

/* Keys come out in ascending order within each cluster, since entries are sorted, and clusters by the least entry, which is their root. */
static bool clusters_store(struct near *n, uint32_t *parent)
{
	uint32_t *size = calloc(n->n + 1, sizeof(*size)), *place = calloc(n->n + 1, sizeof(*place));
	size_t members = 0, count = 0;
	for (size_t i = 0; size && i < n->n; i++)
		size[root_of(parent, (uint32_t)i)]++;
	for (size_t i = 0; size && i < n->n; i++)
		if (size[i] > 1) {
			members += size[i];
			count++;
		}
	n->keys = calloc(members + 1, sizeof(*n->keys));
	n->clusters = calloc(count + 1, sizeof(*n->clusters));
	bool ok = size && place && n->keys && n->clusters;
	size_t next = 0;
	for (size_t i = 0; ok && i < n->n; i++) {
		uint32_t root = parent[i];
		if (size[root] < 2)
			continue;
		if (root == i) {
			place[i] = (uint32_t)n->n_clusters;
			n->clusters[n->n_clusters++] = (struct near_cluster){ n->keys + next, 0 };
			next += size[root];
		}
		struct near_cluster *c = &n->clusters[place[root]];
		n->keys[(size_t)(c->keys - n->keys) + c->n++] = n->entries[i].key;
	}
	free(size);
	free(place);
	return ok;
}

static void parents_flatten(uint32_t *parent, size_t n)
{
	for (size_t i = 0; i < n; i++)
		parent[i] = root_of(parent, (uint32_t)i);
}

#define THREADS_MAX 16

enum err near_clusters(struct near *n, unsigned threads, const struct near_cluster **out, size_t *n_out, struct error *e)
{
	struct worker w[THREADS_MAX];
	pthread_t ids[THREADS_MAX];
	size_t made = 0, started = 0;
	threads = threads < 1 ? 1 : threads > THREADS_MAX ? THREADS_MAX : threads;
	*n_out = 0;
	*out = NULL;
	free(n->keys);
	free(n->clusters);
	n->keys = NULL;
	n->clusters = NULL;
	n->n_clusters = 0;
	entries_settle(n);
	if (!n->n)
		return ERR_OK;
	bool ok = true;
	while (ok && made < threads)
		ok = worker_init(&w[made], n, made, threads) && ++made;
	while (ok && started + 1 < made && pthread_create(&ids[started], NULL, work, &w[started + 1]) == 0)
		started++;
	if (ok)
		work(&w[0]);
	for (size_t i = 0; i < started; i++)
		pthread_join(ids[i], NULL);
	for (size_t i = started + 1; ok && i < made; i++) /* no thread could be had for these */
		work(&w[i]);
	for (size_t i = 1; ok && i < made; i++)
		for (size_t k = 0; k < n->n; k++)
			if (w[i].parent[k] != k)
				join(w[0].parent, (uint32_t)k, w[i].parent[k]);
	if (ok) {
		parents_flatten(w[0].parent, n->n);
		ok = clusters_store(n, w[0].parent);
	}
	for (size_t i = 0; i < threads && i < made + (made < threads); i++)
		worker_release(&w[i]);
	if (!ok)
		return error_set(e, ERR_NO_MEMORY, "There is no memory to compare so many texts.");
	*out = n->clusters;
	*n_out = n->n_clusters;
	return ERR_OK;
}
