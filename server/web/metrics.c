/* Metrics in Prometheus text. Series are made when first named and never removed; their number is bounded. Requests are counted per route in arrays of their own, since every
 * request touches them.
 */
#include "server/web/web.h"

#include <pthread.h>
#include <stdlib.h>

enum { SERIES_MAX = 1024, BUCKETS = 13, CLASSES = 5 };

/* Upper bounds of the histogram's buckets, in microseconds. */
static const int64_t bounds[BUCKETS] = { 500, 1000, 2500, 5000, 10000, 25000, 50000, 100000, 250000, 500000, 1000000, 2500000, 10000000 };

struct histogram {
	atomic_int_fast64_t bucket[BUCKETS + 1]; /* the last is beyond all bounds */
	atomic_int_fast64_t sum;                 /* microseconds */
};

struct series {
	char name[64];
	char labels[128];
	enum { SERIES_COUNTER, SERIES_GAUGE } kind;
	atomic_int_fast64_t value;
};

static struct series *_Atomic series[SERIES_MAX];
static pthread_mutex_t making = PTHREAD_MUTEX_INITIALIZER;

struct route_count {
	const char *id;
	atomic_int_fast64_t by_class[CLASSES]; /* 1xx to 5xx */
	struct histogram took;
};

/* One server's requests; the last place is for what had no route. */
struct request_counts {
	size_t routes;
	struct route_count at[];
};

static struct request_counts *_Atomic shown; /* those of the server that runs */

static uint32_t series_hash(const char *name, const char *labels)
{
	uint32_t h = 2166136261u;
	for (const char *p = name; *p; p++)
		h = (h ^ (uint8_t)*p) * 16777619u;
	for (const char *p = labels; *p; p++)
		h = (h ^ (uint8_t)*p) * 16777619u;
	return h;
}

static bool series_is(const struct series *s, const char *name, const char *labels)
{
	return strcmp(s->name, name) == 0 && strcmp(s->labels, labels) == 0;
}

static struct series *series_make(const char *name, const char *labels, int kind)
{
	struct series *s = calloc(1, sizeof(*s));
	if (!s)
		return NULL;
	snprintf(s->name, sizeof(s->name), "%s", name);
	snprintf(s->labels, sizeof(s->labels), "%s", labels);
	s->kind = kind;
	return s;
}

/* NULL when the table is full, memory is short or a name is too long: a metric must never fail what it measures. */
static struct series *series_get(const char *name, const char *labels, int kind)
{
	uint32_t at = series_hash(name, labels);
	if (strlen(name) >= sizeof(series[0]->name) || strlen(labels) >= sizeof(series[0]->labels))
		return NULL;
	for (int i = 0; i < SERIES_MAX; i++) {
		struct series *_Atomic *slot = &series[(at + (uint32_t)i) % SERIES_MAX];
		struct series *s = atomic_load(slot);
		if (!s) {
			pthread_mutex_lock(&making);
			s = atomic_load(slot);
			if (!s) {
				s = series_make(name, labels, kind);
				atomic_store(slot, s);
			}
			pthread_mutex_unlock(&making);
		}
		if (!s || series_is(s, name, labels))
			return s && s->kind == (unsigned)kind ? s : NULL;
	}
	return NULL;
}

static void histogram_add(struct histogram *h, int64_t us)
{
	int i = 0;
	while (i < BUCKETS && us > bounds[i])
		i++;
	atomic_fetch_add(&h->bucket[i], 1);
	atomic_fetch_add(&h->sum, us);
}

void metric_add(const char *name, const char *labels, int64_t by)
{
	struct series *s = series_get(name, labels, SERIES_COUNTER);
	if (s)
		atomic_fetch_add(&s->value, by);
}

void metric_set(const char *name, const char *labels, int64_t value)
{
	struct series *s = series_get(name, labels, SERIES_GAUGE);
	if (s)
		atomic_store(&s->value, value);
}

struct request_counts *metrics_requests_new(struct arena *a, const struct router *r)
{
	size_t n = router_count(r);
	struct request_counts *c = arena_alloc(a, sizeof(*c) + (n + 1) * sizeof(c->at[0]));
	c->routes = n;
	for (size_t i = 0; i < n; i++)
		c->at[i].id = router_at(r, i)->id;
	c->at[n].id = "";
	return c;
}

void metrics_requests_show(struct request_counts *c)
{
	atomic_store(&shown, c);
}

void metrics_request(struct request_counts *counts, size_t route, int status, int64_t us)
{
	struct route_count *c = &counts->at[route < counts->routes ? route : counts->routes];
	int class = status / 100 - 1;
	if (class >= 0 && class < CLASSES)
		atomic_fetch_add(&c->by_class[class], 1);
	histogram_add(&c->took, us);
}

static void write_labels(struct buf *out, const char *labels, const char *more)
{
	bool both = labels[0] && more[0];
	if (labels[0] || more[0])
		buf_addf(out, "{%s%s%s}", labels, both ? "," : "", more);
}

static void write_histogram(struct buf *out, const char *name, const char *labels, struct histogram *h)
{
	int64_t total = 0;
	char more[48];
	for (int i = 0; i <= BUCKETS; i++) {
		total += atomic_load(&h->bucket[i]);
		if (i < BUCKETS)
			snprintf(more, sizeof(more), "le=\"%g\"", (double)bounds[i] / 1e6);
		else
			snprintf(more, sizeof(more), "le=\"+Inf\"");
		buf_addf(out, "%s_bucket", name);
		write_labels(out, labels, more);
		buf_addf(out, " %lld\n", (long long)total);
	}
	buf_addf(out, "%s_sum", name);
	write_labels(out, labels, "");
	buf_addf(out, " %.6f\n%s_count", (double)atomic_load(&h->sum) / 1e6, name);
	write_labels(out, labels, "");
	buf_addf(out, " %lld\n", (long long)total);
}

static int series_order(const void *a, const void *b)
{
	const struct series *const *x = a, *const *y = b;
	int order = strcmp((*x)->name, (*y)->name);
	return order ? order : strcmp((*x)->labels, (*y)->labels);
}

static void write_requests(struct buf *out, struct request_counts *c)
{
	static const char *const classes[CLASSES] = { "1xx", "2xx", "3xx", "4xx", "5xx" };
	buf_add_z(out, "# TYPE commonhold_http_requests_total counter\n");
	for (size_t i = 0; i <= c->routes; i++) {
		for (int k = 0; k < CLASSES; k++) {
			int64_t n = atomic_load(&c->at[i].by_class[k]);
			if (n)
				buf_addf(out, "commonhold_http_requests_total{route=\"%s\",status=\"%s\"} %lld\n", c->at[i].id, classes[k], (long long)n);
		}
	}
	buf_add_z(out, "# TYPE commonhold_http_request_seconds histogram\n");
	for (size_t i = 0; i <= c->routes; i++) {
		char labels[128];
		snprintf(labels, sizeof(labels), "route=\"%s\"", c->at[i].id);
		int64_t n = 0;
		for (int k = 0; k <= BUCKETS; k++)
			n += atomic_load(&c->at[i].took.bucket[k]);
		if (n)
			write_histogram(out, "commonhold_http_request_seconds", labels, &c->at[i].took);
	}
}

void metrics_write(struct buf *out)
{
	static const char *const kinds[] = { "counter", "gauge" };
	struct series *sorted[SERIES_MAX];
	size_t n = 0;
	struct request_counts *counts = atomic_load(&shown);
	if (counts)
		write_requests(out, counts);
	for (size_t i = 0; i < SERIES_MAX; i++) {
		struct series *s = atomic_load(&series[i]);
		if (s)
			sorted[n++] = s;
	}
	qsort(sorted, n, sizeof(sorted[0]), series_order);
	for (size_t i = 0; i < n; i++) {
		struct series *s = sorted[i];
		if (i == 0 || strcmp(sorted[i - 1]->name, s->name) != 0)
			buf_addf(out, "# TYPE %s %s\n", s->name, kinds[s->kind]);
		buf_add_z(out, s->name);
		write_labels(out, s->labels, "");
		buf_addf(out, " %lld\n", (long long)atomic_load(&s->value));
	}
}
