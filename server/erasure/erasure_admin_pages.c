#include "server/erasure/erasure_web.h"

#include "commonhold/chart.h"
#include "commonhold/routes.h"
#include "commonhold/words.h"

/* What admins look after: requests by due date, copies that are overdue, messages that did not get through, and how long copies take. */

static void copies_write(struct json_writer *w, struct arena *a, const struct duty_counts *n)
{
	jw_kstr(w, "copies", n->total ? str_fmt(a, "%lld of %lld confirmed%s", (long long)n->confirmed, (long long)n->total, n->overdue ? ", some overdue" : "") : STR_NONE);
}

static enum err requests_write(struct json_writer *w, struct request *rq)
{
	struct call *c = rq->call;
	struct erasure *items;
	struct duty_counts *counts;
	struct str next;
	size_t n, decide = 0, late = 0;
	TRY(erasure_queue(c, rq->coop.id, STR_NONE, false, request_query(rq, "cursor"), LIMIT_PAGE_DEFAULT, &items, &n, &next));
	counts = ARENA_ARRAY(c->arena, n + 1, struct duty_counts);
	TRY(where_counts(c, rq->coop.id, items, n, counts));
	jw_kbool(w, "any", n > 0);
	jw_kstr(w, "next", next);
	jw_key(w, "items");
	jw_array(w);
	for (size_t i = 0; i < n; i++) {
		jw_object(w);
		erasure_write(w, c->arena, &items[i]);
		jw_kz(w, "asker", items[i].asker == ERASURE_SUBJECT ? "somebody whom it is about" : items[i].asker == ERASURE_AGENT ? "somebody for a member" : items[i].asker == ERASURE_RULE ? "the charter's rule" : items[i].asker == ERASURE_PARTNER ? "the co-op that it came from" : "a member");
		jw_kbool(w, "decide", items[i].state == ERASURE_VERIFIED);
		copies_write(w, c->arena, &counts[i]);
		jw_end_object(w);
		decide += items[i].state == ERASURE_VERIFIED;
		late += items[i].effective_at == INSTANT_NONE && clock_now() > items[i].due_at;
	}
	jw_end_array(w);
	const char *more = next.p ? "+" : "";
	jw_kstr(w, "n_open", str_fmt(c->arena, "%zu%s", n, more));
	jw_kstr(w, "n_decide", str_fmt(c->arena, "%zu", decide));
	jw_kstr(w, "n_late", str_fmt(c->arena, "%zu", late));
	jw_kz(w, "lead", decide ? "Claims wait for your answer. The law gives a month from the day after they came." : "What members ask for their own counts at once and needs nobody. What somebody says is about them needs your answer within the month.");
	return ERR_OK;
}

static enum err overdue_write(struct json_writer *w, struct request *rq)
{
	struct arena *a = rq->call->arena;
	struct duty *duties;
	struct str next;
	struct duty_filter filter = { .overdue_only = true, .limit = LIMIT_PAGE_DEFAULT };
	size_t n;
	TRY(mirror_duties_list(rq->call, rq->coop.id, &filter, &duties, &n, &next));
	jw_kbool(w, "any_overdue", n > 0);
	jw_kstr(w, "n_overdue_copies", str_fmt(a, "%zu%s", n, next.p ? "+" : ""));
	jw_key(w, "overdue");
	jw_array(w);
	for (size_t i = 0; i < n; i++) {
		const struct duty *d = &duties[i];
		enum duty_step following = d->step + 1;
		jw_object(w);
		jw_kstr(w, "name", d->name);
		jw_kz(w, "role", d->partner.p ? "another co-op" : uuid_is_nil(d->mirror) ? "downloaded it" : "mirror");
		jw_kstr(w, "since", words_day(a, d->due_at));
		jw_kz(w, "step", d->step == DUTY_ANNOUNCED ? "They were told what to delete." : duty_step_text(d->step));
		jw_kstr(w, "next_step", following < DUTY_STEP_COUNT ? str_fmt(a, "%.*s: %s", STR_ARG(words_day(a, duty_step_at(following, d->announced_at, d->due_at))), duty_step_text(following)) : STR("Nothing follows by itself."));
		jw_end_object(w);
	}
	jw_end_array(w);
	return ERR_OK;
}

static enum err dead_write(struct json_writer *w, struct request *rq)
{
	struct arena *a = rq->call->arena;
	struct delivery *items;
	struct str next;
	size_t n;
	TRY(delivery_list(rq->call, rq->coop.id, STR("dead"), STR_NONE, LIMIT_PAGE_DEFAULT, &items, &n, &next));
	jw_kbool(w, "any_dead", n > 0);
	jw_key(w, "dead");
	jw_array(w);
	for (size_t i = 0; i < n; i++) {
		jw_object(w);
		jw_kstr(w, "id", uuid_format(a, items[i].id));
		jw_kstr(w, "name", items[i].mirror_name);
		jw_kint(w, "attempts", items[i].attempts);
		jw_kstr(w, "last", words_minute(a, items[i].ended_at));
		jw_kstr(w, "error", items[i].last_error.n ? items[i].last_error : items[i].last_status ? str_fmt(a, "answered %d", items[i].last_status) : STR("no answer"));
		jw_end_object(w);
	}
	jw_end_array(w);
	return ERR_OK;
}

static enum err lag_write(struct json_writer *w, struct request *rq)
{
	struct arena *a = rq->call->arena;
	static const char *const classes[LAG_COUNT] = { "include", "include", "include", "hold", "exclude", "neutral" };
	struct chart_bar bars[LAG_COUNT];
	int64_t counts[LAG_COUNT], all = 0;
	TRY(lag_counts(rq->call, rq->coop.id, counts));
	jw_key(w, "lags");
	jw_array(w);
	for (unsigned i = 0; i < LAG_COUNT; i++) {
		bars[i] = (struct chart_bar){ .label = str_of(lag_words(i)), .value = counts[i], .class = classes[i] };
		all += counts[i];
		jw_object(w);
		jw_kz(w, "label", lag_words(i));
		jw_kstr(w, "count", words_count(a, counts[i]));
		jw_end_object(w);
	}
	jw_end_array(w);
	jw_kbool(w, "any_lag", all > 0);
	jw_kstr(w, "lag_picture", chart_bars(a, "Receipts by the time they took", bars, LAG_COUNT));
	return ERR_OK;
}

/* ---- Legal holds ---- */

static const struct { const char *ground, *words; } grounds[] = {
	{ "legal_claims", "legal claims" }, { "legal_obligation", "a legal obligation" }, { "expression", "freedom of expression and information" },
	{ "public_health", "public health" }, { "archiving", "archiving in the public interest, research" },
};

static const char *ground_words(struct str ground)
{
	for (size_t i = 0; i < CH_LEN(grounds); i++)
		if (str_is(ground, grounds[i].ground))
			return grounds[i].words;
	return "";
}

static enum err holds_write(struct json_writer *w, struct request *rq)
{
	struct arena *a = rq->call->arena;
	struct legal_hold *holds;
	struct str next;
	size_t n, standing = 0;
	TRY(hold_list(rq->call, rq->coop.id, STR_NONE, LIMIT_PAGE_DEFAULT, &holds, &n, &next));
	jw_key(w, "holds");
	jw_array(w);
	for (size_t i = 0; i < n; i++) {
		if (holds[i].lifted_at != INSTANT_NONE)
			continue;
		jw_object(w);
		jw_kstr(w, "item", holds[i].rid);
		jw_kstr(w, "contribution", uuid_format(a, holds[i].contribution));
		jw_kz(w, "ground", ground_words(holds[i].ground));
		jw_kstr(w, "hold_reason", holds[i].reason);
		jw_kstr(w, "since", words_day(a, holds[i].placed_at));
		jw_end_object(w);
		standing++;
	}
	jw_end_array(w);
	jw_kbool(w, "any_hold", standing > 0);
	jw_key(w, "grounds");
	jw_array(w);
	for (size_t i = 0; i < CH_LEN(grounds); i++) {
		jw_object(w);
		jw_kz(w, "id", grounds[i].ground);
		jw_kz(w, "words", grounds[i].words);
		jw_kbool(w, "chosen", rq->body.n && str_is(request_form(rq, "ground"), grounds[i].ground));
		jw_end_object(w);
	}
	jw_end_array(w);
	jw_key(w, "typed");
	jw_object(w);
	jw_kstr(w, "item", rq->body.n ? request_form(rq, "item") : STR(""));
	jw_kstr(w, "reason", rq->body.n ? request_form(rq, "reason") : STR(""));
	jw_end_object(w);
	return ERR_OK;
}

static enum err queue_data(struct json_writer *w, struct request *rq, struct response *rs, enum err refused)
{
	TRY(page_form_refused(rq, rs, refused, w));
	TRY(requests_write(w, rq));
	TRY(overdue_write(w, rq));
	TRY(dead_write(w, rq));
	TRY(holds_write(w, rq));
	return lag_write(w, rq);
}

static enum err show(struct request *rq, struct response *rs, enum err refused)
{
	struct buf b;
	struct json_writer w = page_begin(&b);
	jw_kz(&w, "title", "Requests to look after");
	jw_kstr(&w, "coop", rq->coop.slug);
	return page_end(rq, rs, "page/deletion_queue", &b, &w, queue_data(&w, rq, rs, refused));
}

static enum err queue_page(struct request *rq, struct response *rs)
{
	return show(rq, rs, ERR_OK);
}

static enum err back(struct request *rq, struct response *rs, const char *flash)
{
	return response_done(rq, rs, str_of(flash), coop_place(rq, "deletions/queue"));
}

static enum err hold_form(struct request *rq, struct response *rs)
{
	struct legal_hold hold;
	struct uuid id;
	struct str item = str_trim(request_form(rq, "item")), coop;
	if (!rid_parse(item, &coop, &id) && !uuid_parse(item, &id))
		return show(rq, rs, fail_field(rq->call, "/item", "This is no number of an item: it looks like dc:, the co-op's name and an id."));
	enum err e = hold_place(rq->call, rq->coop.id, id, request_form(rq, "ground"), str_trim(request_form(rq, "reason")), &hold);
	if (e == ERR_NOT_FOUND)
		e = fail_field(rq->call, "/item", "There is no such item here.");
	return e == ERR_OK ? back(rq, rs, "Its content is kept. It is in no release and in no decision.") : show(rq, rs, e);
}

static enum err lift_form(struct request *rq, struct response *rs)
{
	struct legal_hold hold;
	struct uuid id;
	TRY(request_param_uuid(rq, 1, &id));
	enum err e = hold_lift(rq->call, rq->coop.id, id, &hold);
	return e == ERR_OK ? back(rq, rs, "The hold has ended. What was asked for goes on.") : show(rq, rs, e);
}

static enum err repeat_form(struct request *rq, struct response *rs)
{
	struct uuid id;
	struct delivery d;
	TRY(request_param_uuid(rq, 1, &id));
	TRY(delivery_repeat(rq->call, rq->coop.id, id, &d));
	return back(rq, rs, "It is sent again.");
}

const struct route erasure_admin_page_routes[] = {
	{ "GET", "/coops/{coop}/deletions/queue", "page_deletion_queue", PERM_ADMIN, 0, NULL, "text/html", 200, queue_page, "Requests by due date, overdue copies" },
	{ "POST", "/coops/{coop}/deliveries/{delivery}/repeat", "page_delivery_repeat", PERM_ADMIN, LIMIT_BODY_SMALL, "form", "text/html", 303, repeat_form, "Send a message again" },
	{ "POST", "/coops/{coop}/deletions/holds", "page_hold_place", PERM_ADMIN, LIMIT_BODY_SMALL, "form", "text/html", 303, hold_form, "Keep an item's content by law" },
	{ "POST", "/coops/{coop}/deletions/holds/{contribution}/end", "page_hold_lift", PERM_ADMIN, LIMIT_BODY_SMALL, "form", "text/html", 303, lift_form, "End that" },
	ROUTE_TABLE_END,
};
