#include "server/erasure/erasure_web.h"

#include "commonhold/chart.h"
#include "commonhold/routes.h"
#include "commonhold/words.h"

/* What was taken out, for everybody: counts, the latest, and where the feed is. */

#define MONTHS 12
#define LATEST 20

static const struct { const char *name, *class, *badge; } kinds[TOMBSTONE_KIND_COUNT] = {
	[TOMBSTONE_ERASE] = { "erased", "s4", "exclude" }, [TOMBSTONE_WITHDRAW_FUTURE] = { "kept out of new releases", "s2", "hold" },
	[TOMBSTONE_EMBARGO] = { "kept back for a time", "s3", "conditional" }, [TOMBSTONE_CORRECT] = { "replaced", "s1", "info" },
};

static struct str month_words(struct arena *a, const struct tombstone_month *m)
{
	struct str day = words_day(a, clock_of_civil((struct civil){ .year = m->year, .month = m->month, .day = 1 }));
	return str_sub(day, 2, day.n); /* "1 November 2026" without its day */
}

static void months_write(struct json_writer *w, struct arena *a, const struct tombstone_month *months, size_t n, int64_t total)
{
	struct chart_part parts[TOMBSTONE_KIND_COUNT];
	struct chart_stack *rows = ARENA_ARRAY(a, n + 1, struct chart_stack);
	int64_t shown = 0;
	for (unsigned k = 0; k < TOMBSTONE_KIND_COUNT; k++)
		parts[k] = (struct chart_part){ kinds[k].name, kinds[k].class };
	jw_key(w, "months");
	jw_array(w);
	for (size_t i = 0; i < n; i++) {
		int64_t sum = 0;
		rows[i] = (struct chart_stack){ month_words(a, &months[i]), months[i].kinds };
		jw_object(w);
		jw_kstr(w, "label", rows[i].label);
		jw_key(w, "parts");
		jw_array(w);
		for (unsigned k = 0; k < TOMBSTONE_KIND_COUNT; k++) {
			jw_str(w, words_count(a, months[i].kinds[k]));
			sum += months[i].kinds[k];
		}
		jw_end_array(w);
		jw_kstr(w, "sum", words_count(a, sum));
		jw_end_object(w);
		shown += sum;
	}
	jw_end_array(w);
	jw_kbool(w, "any", total > 0);
	jw_kbool(w, "older", shown < total);
	jw_kstr(w, "total", words_count(a, total));
	jw_kstr(w, "picture", chart_stacks(a, &(struct chart_stacks){ "Tombstones by month and kind", parts, TOMBSTONE_KIND_COUNT, rows, n }));
}

static void legend_write(struct json_writer *w)
{
	jw_key(w, "legend");
	jw_array(w);
	for (unsigned k = 0; k < TOMBSTONE_KIND_COUNT; k++) {
		jw_object(w);
		jw_kz(w, "name", kinds[k].name);
		jw_kz(w, "class", kinds[k].class);
		jw_end_object(w);
	}
	jw_end_array(w);
}

static void latest_write(struct json_writer *w, struct arena *a, const struct tombstone *list, size_t n)
{
	jw_key(w, "latest");
	jw_array(w);
	for (size_t i = 0; i < n; i++) {
		struct str versions = STR_NONE;
		for (size_t k = 0; k < list[i].n_releases; k++)
			versions = str_fmt(a, "%.*s%s%.*s", STR_ARG(versions), k ? ", " : "", STR_ARG(list[i].releases[k]));
		jw_object(w);
		jw_kint(w, "idx", list[i].idx);
		jw_kstr(w, "rid", list[i].rid);
		jw_kz(w, "kind", kinds[list[i].kind].name);
		jw_kz(w, "badge", kinds[list[i].kind].badge);
		jw_kstr(w, "effective", words_minute(a, list[i].effective));
		jw_kstr(w, "effective_iso", clock_format_or_none(a, list[i].effective));
		jw_kstr(w, "releases", versions);
		jw_end_object(w);
	}
	jw_end_array(w);
}

static enum err tombstones_data(struct json_writer *w, struct request *rq)
{
	struct call *c = rq->call;
	struct tombstone_month *months;
	struct tombstone *latest;
	size_t n_months, n_latest;
	int64_t total;
	TRY(tombstone_months(c, rq->coop.id, MONTHS, &months, &n_months, &total));
	TRY(tombstone_latest(c, rq->coop.id, LATEST, &latest, &n_latest));
	legend_write(w);
	months_write(w, c->arena, months, n_months, total);
	latest_write(w, c->arena, latest, n_latest);
	return ERR_OK;
}

static enum err tombstones_page(struct request *rq, struct response *rs)
{
	struct buf b;
	struct json_writer w = page_begin(&b);
	jw_kz(&w, "title", "What was taken out");
	jw_kstr(&w, "coop", rq->coop.slug);
	return page_end(rq, rs, "page/tombstones", &b, &w, tombstones_data(&w, rq));
}

const struct route tombstone_page_routes[] = {
	{ "GET", "/coops/{coop}/tombstones", "page_tombstones", PERM_OPTIONAL, 0, NULL, "text/html", 200, tombstones_page, "What was taken out, by month and kind", ROUTE_EXPENSIVE },
	ROUTE_TABLE_END,
};
