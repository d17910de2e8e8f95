#include "commonhold/waiting.h"

#include "commonhold/words.h"

static waiting_fn counts;

void waiting_use(waiting_fn fn)
{
	counts = fn;
}

enum err waiting_write(struct call *c, struct json_writer *w, struct uuid coop, struct str slug, struct uuid member, bool admin)
{
	struct waiting rows[WAITING_MAX];
	int64_t total = 0;
	size_t n = 0;
	if (counts)
		TRY(counts(c, coop, member, admin, rows, &n));
	jw_key(w, "waiting");
	jw_array(w);
	for (size_t i = 0; i < n; i++) {
		jw_object(w);
		jw_kstr(w, "text", str_fmt(c->arena, "%.*s %s", STR_ARG(words_count(c->arena, rows[i].count)), rows[i].count == 1 ? rows[i].one : rows[i].many));
		jw_kstr(w, "href", str_fmt(c->arena, "/coops/%.*s%s", STR_ARG(slug), rows[i].place));
		jw_end_object(w);
		total += rows[i].count;
	}
	jw_end_array(w);
	jw_kbool(w, "any_waiting", n > 0);
	jw_kstr(w, "waiting_total", total == 0 ? STR_NONE : total == 1 ? STR("1 thing waits for you") : str_fmt(c->arena, "%.*s things wait for you", STR_ARG(words_count(c->arena, total))));
	return ERR_OK;
}
