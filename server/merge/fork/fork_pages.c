#include "server/merge/merge_pages.h"

#include "commonhold/fork.h"
#include "commonhold/lineage.h"
#include "commonhold/routes.h"
#include "commonhold/words.h"

/* Forks: what was offered to the members, offering one, what each says for themselves, and claiming one's own in a fork. */

#define DAYS_USUAL 30

static const char *const state_words[FORK_STATE_COUNT] = {
	[FORK_OPEN] = "members are asked", [FORK_CLOSED] = "can be exported", [FORK_EXPORTING] = "being exported", [FORK_EXPORTED] = "handed over", [FORK_FOUNDED] = "stands", [FORK_WITHDRAWN] = "taken back",
};
static const char *const state_badges[FORK_STATE_COUNT] = {
	[FORK_OPEN] = "info", [FORK_CLOSED] = "hold", [FORK_EXPORTING] = "hold", [FORK_EXPORTED] = "conditional", [FORK_FOUNDED] = "include", [FORK_WITHDRAWN] = "neutral",
};

static struct str offer_place(struct request *rq, struct uuid id)
{
	return str_fmt(rq->call->arena, "/coops/%.*s/forks/%.*s", STR_ARG(rq->coop.slug), STR_ARG(uuid_format(rq->call->arena, id)));
}

static void offer_members(struct json_writer *w, struct request *rq, const struct fork_offer *o)
{
	struct arena *a = rq->call->arena;
	bool asked = o->state == FORK_OPEN || o->state == FORK_CLOSED;
	jw_kstr(w, "id", uuid_format(a, o->id));
	jw_kstr(w, "name", o->title);
	jw_kstr(w, "place", o->place);
	jw_kstr(w, "reason", o->reason);
	jw_kstr(w, "by", o->by_name.n ? o->by_name : STR("a member"));
	jw_kstr(w, "offered", words_day(a, o->offered_at));
	jw_kstr(w, "until", words_minute(a, o->closes_at));
	jw_kz(w, "state_words", state_words[o->state]);
	jw_kz(w, "badge", state_badges[o->state]);
	jw_kz(w, "says", fork_state_sentence(o->state));
	jw_kstr(w, "yes", words_count(a, o->yes));
	jw_kz(w, "mine", o->mine ? "yes" : o->answered ? "no" : "nothing, which counts as no");
	jw_kbool(w, "goes", o->mine);
	jw_kstr(w, "my_items", words_things(a, o->my_items, "item", "items"));
	jw_kbool(w, "asked", asked);
	jw_kbool(w, "open", o->state == FORK_OPEN);
	jw_kbool(w, "may_withdraw", asked && (rq->coop.is_admin || uuid_eq(o->by, rq->coop.member)));
	jw_kbool(w, "may_export", rq->coop.is_admin && o->state == FORK_CLOSED);
	jw_kbool(w, "may_recognise", rq->coop.is_admin && o->state == FORK_EXPORTED);
	if (o->state == FORK_EXPORTED || o->state == FORK_FOUNDED) {
		jw_key(w, "handed");
		jw_object(w);
		jw_kstr(w, "members", words_count(a, o->members));
		jw_kstr(w, "items", words_count(a, o->items));
		jw_kstr(w, "leaves", words_count(a, o->size));
		jw_kstr(w, "root", sha256_hex(a, o->root));
		jw_kstr(w, "fork", o->fork_name);
		jw_kstr(w, "url", o->fork_url.n ? o->fork_url : STR_NONE);
		jw_end_object(w);
	}
}

static void typed_write(struct json_writer *w, struct request *rq)
{
	static const char *const names[] = { "name", "place", "reason", "claim" };
	struct str days = rq->body.n ? request_form(rq, "days") : STR_NONE;
	jw_key(w, "typed");
	jw_object(w);
	for (size_t i = 0; i < CH_LEN(names); i++)
		jw_kstr(w, names[i], rq->body.n && request_form(rq, names[i]).p ? request_form(rq, names[i]) : STR(""));
	jw_kstr(w, "days", days.n ? days : str_fmt(rq->call->arena, "%d", DAYS_USUAL));
	jw_end_object(w);
}

/* ---- All of them ---- */

static const struct lineage_node *parent_among(const struct lineage_node *nodes, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (nodes[i].depth == 1)
			return &nodes[i];
	return NULL;
}

/* Where somebody asks the parent for a deletion; absent where its address is not known. */
static struct str parent_data_url(struct arena *a, const struct lineage_node *parent)
{
	if (!str_starts(parent->url, "https://") && !str_starts(parent->url, "http://"))
		return STR_NONE;
	return str_fmt(a, "%.*s/coops/%.*s/deletions/new", STR_ARG(parent->url), STR_ARG(parent->name));
}

static enum err all_data(struct json_writer *w, struct request *rq, struct response *rs, enum err refused)
{
	struct fork_offer *offers;
	struct lineage_node *nodes;
	size_t n, n_nodes;
	jw_kz(w, "title", "Forks");
	TRY(page_form_said(rq, rs, refused, w));
	jw_kstr(w, "coop", rq->coop.slug);
	jw_kint(w, "title_max", FORK_TITLE_MAX);
	jw_kint(w, "reason_max", FORK_REASON_MAX);
	jw_kint(w, "days_min", FORK_ASK_MIN / CLOCK_DAY);
	jw_kint(w, "days_max", FORK_ASK_MAX / CLOCK_DAY);
	typed_write(w, rq);
	TRY(lineage_read(rq->call, rq->coop.id, &nodes, &n_nodes));
	const struct lineage_node *parent = parent_among(nodes, n_nodes);
	jw_kstr(w, "parent", parent ? parent->title.n ? parent->title : parent->name : STR_NONE);
	jw_kstr(w, "parent_url", parent ? parent_data_url(rq->call->arena, parent) : STR_NONE);
	TRY(fork_offer_list(rq->call, rq->coop.id, &offers, &n));
	jw_kbool(w, "any", n > 0);
	jw_key(w, "offers");
	jw_array(w);
	for (size_t i = 0; i < n; i++) {
		jw_object(w);
		offer_members(w, rq, &offers[i]);
		jw_end_object(w);
	}
	jw_end_array(w);
	return ERR_OK;
}

static enum err all_form(struct request *rq, struct response *rs, enum err refused)
{
	struct buf b;
	struct json_writer w = page_begin(&b);
	return page_end(rq, rs, "page/forks", &b, &w, all_data(&w, rq, rs, refused));
}

static enum err all_page(struct request *rq, struct response *rs)
{
	return all_form(rq, rs, ERR_OK);
}

static enum err offer_form(struct request *rq, struct response *rs)
{
	struct call *c = rq->call;
	struct fork_offer offer;
	int64_t days;
	struct fork_draft draft = { .title = form_filled(rq, "name"), .place = form_filled(rq, "place"), .reason = form_filled(rq, "reason") };
	enum err e;
	if (!draft.title.p)
		e = fail_field(c, "/title", "Say what the fork is to be called.");
	else if (!draft.place.p)
		e = fail_field(c, "/place", "Say where it is to live.");
	else if (!draft.reason.p)
		e = fail_field(c, "/reason", "Say why.");
	else if (!str_to_i64(request_form(rq, "days"), FORK_ASK_MIN / CLOCK_DAY, FORK_ASK_MAX / CLOCK_DAY, &days))
		e = fail_field(c, "/closes_at", "Members are asked for at least 7 days and at most 90.");
	else {
		draft.closes_at = clock_now() + days * CLOCK_DAY;
		e = fork_offer_make(c, rq->coop.id, &draft, &offer);
	}
	return e == ERR_OK ? response_done(rq, rs, STR("It is offered. Every member is told, and says yes or no for themselves."), offer_place(rq, offer.id)) : all_form(rq, rs, e);
}

static enum err claim_form(struct request *rq, struct response *rs)
{
	int64_t items;
	struct str claim = form_filled(rq, "claim");
	enum err e = !claim.p ? fail_field(rq->call, "/claim", "Type the claim that you were given.") : fork_claim(rq->call, rq->coop.id, claim, &items);
	if (e != ERR_OK)
		return all_form(rq, rs, e);
	return response_done(rq, rs, str_fmt(rq->call->arena, "It is yours: %.*s items that came along. They are under your own word from now on.", STR_ARG(words_count(rq->call->arena, items))), coop_place(rq, "links"));
}

/* ---- One ---- */

/* `claim` is shown this once, after a yes. */
static enum err one_data(struct json_writer *w, struct request *rq, struct response *rs, enum err refused, struct str claim)
{
	struct uuid id;
	struct fork_offer o;
	TRY(page_form_said(rq, rs, refused, w));
	TRY(request_param_uuid(rq, 1, &id));
	TRY(fork_offer_read(rq->call, rq->coop.id, id, &o));
	jw_kstr(w, "title", o.title);
	jw_kstr(w, "coop", rq->coop.slug);
	jw_kstr(w, "claim", claim.n ? claim : STR_NONE);
	offer_members(w, rq, &o);
	return ERR_OK;
}

static enum err one_form(struct request *rq, struct response *rs, enum err refused, struct str claim)
{
	struct buf b;
	struct json_writer w = page_begin(&b);
	return page_end(rq, rs, "page/fork", &b, &w, one_data(&w, rq, rs, refused, claim));
}

static enum err one_page(struct request *rq, struct response *rs)
{
	return one_form(rq, rs, ERR_OK, STR_NONE);
}

static enum err answer_form(struct request *rq, struct response *rs)
{
	struct uuid id;
	struct fork_offer o;
	struct str claim = STR_NONE, said = form_filled(rq, "answer");
	TRY(request_param_uuid(rq, 1, &id));
	bool yes = str_is(said, "yes");
	enum err e = !yes && !str_is(said, "no") ? fail_field(rq->call, "/answer", "Say yes or no.") : fork_answer(rq->call, rq->coop.id, id, yes, &o, &claim);
	if (e != ERR_OK || yes)
		return one_form(rq, rs, e, e == ERR_OK ? claim : STR_NONE);
	return response_done(rq, rs, STR("Nothing of yours goes along."), offer_place(rq, id));
}

static enum err withdraw_form(struct request *rq, struct response *rs)
{
	struct uuid id;
	struct fork_offer o;
	TRY(request_param_uuid(rq, 1, &id));
	enum err e = fork_offer_withdraw(rq->call, rq->coop.id, id, &o);
	return e == ERR_OK ? response_done(rq, rs, STR("The offer is taken back. Nothing goes anywhere."), offer_place(rq, id)) : one_form(rq, rs, e, STR_NONE);
}

static enum err founded_form(struct request *rq, struct response *rs)
{
	struct uuid id;
	struct fork_offer o;
	struct form_file file;
	TRY(request_param_uuid(rq, 1, &id));
	enum err e = fork_recognise(rq->call, rq->coop.id, id, request_file(rq, "lineage", &file) && file.content.n ? file.content : STR_NONE, &o);
	return e == ERR_OK ? response_done(rq, rs, STR("The fork stands, and is part of the lineage from now on."), offer_place(rq, id)) : one_form(rq, rs, e, STR_NONE);
}

#define ALL "/coops/{coop}/forks"
#define ONE ALL "/{fork}"
const struct route fork_page_routes[] = {
	{ "GET", ALL, "page_forks", PERM_ACTIVE, 0, NULL, "text/html", 200, all_page, "Forks that were offered" },
	{ "POST", ALL, "page_fork_offer", PERM_ACTIVE, LIMIT_BODY_CHARTER, "form", "text/html", 303, offer_form, "Offer one" },
	{ "POST", "/coops/{coop}/claims", "page_fork_claim", PERM_ACTIVE, LIMIT_BODY_SMALL, "form", "text/html", 303, claim_form, "Show with a claim what is one's own" },
	{ "GET", ONE, "page_fork", PERM_ACTIVE, 0, NULL, "text/html", 200, one_page, "One offer" },
	{ "POST", ONE "/answer", "page_fork_answer", PERM_ACTIVE, LIMIT_BODY_SMALL, "form", "text/html", 200, answer_form, "Say yes or no for oneself" },
	{ "POST", ONE "/withdraw", "page_fork_withdraw", PERM_ACTIVE, LIMIT_BODY_SMALL, "form", "text/html", 303, withdraw_form, "Take it back" },
	{ "POST", ONE "/founded", "page_fork_founded", PERM_ADMIN, LIMIT_BODY_CHARTER, "form", "text/html", 303, founded_form, "Note that the fork stands", ROUTE_EXPENSIVE },
	ROUTE_TABLE_END
};
