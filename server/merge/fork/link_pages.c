#include "server/merge/merge_pages.h"

#include "commonhold/chart.h"
#include "commonhold/link.h"
#include "commonhold/routes.h"
#include "commonhold/words.h"

/* One's own in several co-ops: which co-op holds what, and proving that an account in another co-op is one's own. */

static const char *const how_words[HOLDS_HOW_COUNT] = {
	[HOLDS_HOME] = "contributed here", [HOLDS_SENT] = "sent there under an agreement", [HOLDS_MOVED] = "went along with a fork", [HOLDS_GUEST] = "came here from there",
};
static const char *const how_classes[HOLDS_HOW_COUNT] = { [HOLDS_HOME] = "include", [HOLDS_SENT] = "info", [HOLDS_MOVED] = "conditional", [HOLDS_GUEST] = "hold" };
static const char *const state_badges[LINK_STATE_COUNT] = { [LINK_OFFERED] = "hold", [LINK_BROUGHT] = "hold", [LINK_STANDING] = "include", [LINK_ENDED] = "neutral", [LINK_EXPIRED] = "neutral",
	[LINK_DECLINED] = "exclude" };
static const char *const state_words[LINK_STATE_COUNT] = { [LINK_OFFERED] = "code is out", [LINK_BROUGHT] = "waiting for the other co-op", [LINK_STANDING] = "linked", [LINK_ENDED] = "ended",
	[LINK_EXPIRED] = "ran out", [LINK_DECLINED] = "declined" };

/* Where the home of something that came here is, and a deletion is asked for. */
static void homes_write(struct json_writer *w, struct arena *a, const struct holds *holds, size_t n)
{
	bool any = false;
	jw_key(w, "homes");
	jw_array(w);
	for (size_t i = 0; i < n; i++) {
		const struct holds *h = &holds[i];
		if (h->how != HOLDS_GUEST)
			continue;
		bool linked = str_starts(h->url.n ? h->url : STR(""), "https://") || str_starts(h->url.n ? h->url : STR(""), "http://");
		any = true;
		jw_object(w);
		jw_kstr(w, "called", h->title.n ? h->title : h->name);
		jw_kstr(w, "ask", linked ? str_fmt(a, "%.*s/coops/%.*s/deletions/new", STR_ARG(h->url), STR_ARG(h->name)) : STR_NONE);
		jw_end_object(w);
	}
	jw_end_array(w);
	jw_kbool(w, "any_homes", any);
}

static enum err holds_rows(struct json_writer *w, struct request *rq)
{
	struct arena *a = rq->call->arena;
	struct holds *holds;
	size_t n;
	TRY(holds_mine(rq->call, rq->coop.id, &holds, &n));
	struct chart_bar *bars = ARENA_ARRAY(a, n + 1, struct chart_bar);
	jw_key(w, "holds");
	jw_array(w);
	for (size_t i = 0; i < n; i++) {
		const struct holds *h = &holds[i];
		struct str called = h->title.n ? h->title : h->name;
		bars[i] = (struct chart_bar){ .label = str_fmt(a, "%.*s, %s", STR_ARG(called), how_words[h->how]), .value = h->how == HOLDS_HOME ? h->items : h->items - h->confirmed, .class = how_classes[h->how] };
		jw_object(w);
		jw_kstr(w, "called", called);
		jw_kstr(w, "url", h->url.n ? h->url : STR_NONE);
		jw_kz(w, "how", how_words[h->how]);
		/* Elsewhere an item is there until that co-op has confirmed that it is gone. */
		jw_kstr(w, "items", words_count(a, h->how == HOLDS_HOME ? h->items : h->items - h->confirmed));
		jw_kstr(w, "since", words_day(a, h->since));
		jw_kbool(w, "ended", h->ended);
		jw_kstr(w, "erased", h->erased ? str_fmt(a, "%.*s, of which %.*s confirmed there", STR_ARG(words_count(a, h->erased)), STR_ARG(words_count(a, h->confirmed))) : STR_NONE);
		jw_end_object(w);
	}
	jw_end_array(w);
	homes_write(w, a, holds, n);
	jw_kbool(w, "any_holds", n > 0);
	jw_kstr(w, "picture", n ? chart_bars(a, "Items of yours by where they are", bars, n) : STR_NONE);
	return ERR_OK;
}

static enum err links_rows(struct json_writer *w, struct request *rq)
{
	struct arena *a = rq->call->arena;
	struct link *links;
	size_t n;
	TRY(link_list(rq->call, rq->coop.id, &links, &n));
	jw_kbool(w, "any_links", n > 0);
	jw_key(w, "links");
	jw_array(w);
	for (size_t i = 0; i < n; i++) {
		const struct link *l = &links[i];
		jw_object(w);
		jw_kstr(w, "id", uuid_format(a, l->id));
		jw_kstr(w, "called", l->title.n ? l->title : l->home);
		jw_kz(w, "state_words", state_words[l->state]);
		jw_kz(w, "badge", state_badges[l->state]);
		jw_kz(w, "says", link_state_sentence(l->state));
		jw_kstr(w, "since", words_minute(a, l->state_at));
		jw_kstr(w, "until", l->state == LINK_OFFERED ? words_minute(a, l->expires_at) : STR_NONE);
		jw_kstr(w, "items", words_count(a, l->items));
		jw_kbool(w, "may_end", l->state == LINK_OFFERED || l->state == LINK_BROUGHT || l->state == LINK_STANDING);
		jw_end_object(w);
	}
	jw_end_array(w);
	return ERR_OK;
}

/* Confirmed partners, to choose one of. Who is not active may end links, and begins none. */
static enum err partners_write(struct json_writer *w, struct request *rq)
{
	struct peer *peers = NULL;
	struct str chosen = rq->body.n ? request_form(rq, "peer") : STR_NONE;
	size_t n = 0, offered = 0;
	if (rq->coop.is_active)
		TRY(peer_list(rq->call, rq->coop.id, &peers, &n));
	jw_key(w, "partners");
	jw_array(w);
	for (size_t i = 0; i < n; i++) {
		if (peers[i].state != PEER_CONFIRMED)
			continue;
		struct str id = uuid_format(rq->call->arena, peers[i].id);
		jw_object(w);
		jw_kstr(w, "id", id);
		jw_kstr(w, "called", peer_called(&peers[i]));
		jw_kbool(w, "chosen", chosen.p && str_eq(chosen, id));
		jw_end_object(w);
		offered++;
	}
	jw_end_array(w);
	jw_kbool(w, "any_partners", offered > 0);
	return ERR_OK;
}

static enum err all_data(struct json_writer *w, struct request *rq, struct response *rs, enum err refused, struct str code)
{
	jw_kz(w, "title", "Mine in other co-ops");
	TRY(page_form_said(rq, rs, refused, w));
	jw_kstr(w, "coop", rq->coop.slug);
	jw_kstr(w, "code", code.n ? code : STR_NONE);
	jw_kstr(w, "typed_code", rq->body.n && request_form(rq, "code").p ? request_form(rq, "code") : STR(""));
	TRY(holds_rows(w, rq));
	TRY(links_rows(w, rq));
	return partners_write(w, rq);
}

/* `code` is shown this once. */
static enum err all_form(struct request *rq, struct response *rs, enum err refused, struct str code)
{
	struct buf b;
	struct json_writer w = page_begin(&b);
	return page_end(rq, rs, "page/links", &b, &w, all_data(&w, rq, rs, refused, code));
}

static enum err all_page(struct request *rq, struct response *rs)
{
	return all_form(rq, rs, ERR_OK, STR_NONE);
}

static enum err peer_chosen(struct request *rq, struct uuid *out)
{
	return uuid_parse(request_form(rq, "peer"), out) ? ERR_OK : fail_field(rq->call, "/peer", "Choose the other co-op.");
}

static enum err offer_form(struct request *rq, struct response *rs)
{
	struct uuid peer;
	struct link l;
	struct str code = STR_NONE;
	enum err e = peer_chosen(rq, &peer);
	if (e == ERR_OK)
		e = link_offer(rq->call, rq->coop.id, peer, &l, &code);
	return all_form(rq, rs, e, e == ERR_OK ? code : STR_NONE);
}

static enum err prove_form(struct request *rq, struct response *rs)
{
	struct uuid peer;
	struct link l;
	struct str code = form_filled(rq, "code");
	enum err e = peer_chosen(rq, &peer);
	if (e == ERR_OK)
		e = code.p ? link_prove(rq->call, rq->coop.id, peer, code, &l) : fail_field(rq->call, "/code", "Type the code that the other co-op gave you.");
	return e == ERR_OK ? response_done(rq, rs, STR("Brought. Once the other co-op has confirmed that it gave you the code, one no of yours counts in both."), coop_place(rq, "links")) : all_form(rq, rs, e, STR_NONE);
}

static enum err end_form(struct request *rq, struct response *rs)
{
	struct uuid id;
	struct link l;
	TRY(request_param_uuid(rq, 1, &id));
	enum err e = link_end(rq->call, rq->coop.id, id, &l);
	return e == ERR_OK ? response_done(rq, rs, STR("It is ended, here and there. What each account said itself stands on."), coop_place(rq, "links")) : all_form(rq, rs, e, STR_NONE);
}

#define ALL "/coops/{coop}/links"
const struct route link_page_routes[] = {
	{ "GET", ALL, "page_links", PERM_MEMBER, 0, NULL, "text/html", 200, all_page, "Which co-op holds what of one's own, and accounts elsewhere" },
	{ "POST", ALL, "page_link_offer", PERM_ACTIVE, LIMIT_BODY_SMALL, "form", "text/html", 200, offer_form, "Give a code, shown once" },
	{ "POST", ALL "/prove", "page_link_prove", PERM_ACTIVE, LIMIT_BODY_SMALL, "form", "text/html", 303, prove_form, "Bring a code" },
	{ "POST", ALL "/{link}/end", "page_link_end", PERM_MEMBER, LIMIT_BODY_SMALL, "form", "text/html", 303, end_form, "End a link" },
	ROUTE_TABLE_END
};
