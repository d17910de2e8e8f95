#include "server/merge/fork/fork_internal.h"

#include "commonhold/routes.h"

/* Links, claims and which co-op holds what, over JSON. */

static void link_fields(struct json_writer *w, struct arena *a, const struct link *l)
{
	jw_kstr(w, "id", uuid_format(a, l->id));
	jw_kstr(w, "coop", l->home);
	jw_kstr(w, "title", l->title);
	jw_kstr(w, "peer", uuid_format_or_none(a, l->peer));
	jw_kstr(w, "contributor", l->contributor);
	jw_kbool(w, "ours", l->ours);
	jw_kz(w, "state", link_state_word(l->state));
	jw_kz(w, "says", link_state_sentence(l->state));
	jw_kstr(w, "at", clock_format(a, l->at));
	jw_kstr(w, "state_at", clock_format(a, l->state_at));
	jw_kstr(w, "expires_at", clock_format(a, l->expires_at));
	jw_kint(w, "items", l->items);
}

static enum err answer_link(struct request *rq, struct response *rs, const struct link *l)
{
	struct json_writer w = response_json(rs);
	jw_object(&w);
	link_fields(&w, rq->call->arena, l);
	jw_end_object(&w);
	return ERR_OK;
}

static enum err list_links(struct request *rq, struct response *rs)
{
	struct link *links;
	size_t n;
	TRY(link_list(rq->call, rq->coop.id, &links, &n));
	struct json_writer w = response_list(rs);
	for (size_t i = 0; i < n; i++) {
		jw_object(&w);
		link_fields(&w, rq->call->arena, &links[i]);
		jw_end_object(&w);
	}
	response_list_end(&w);
	return ERR_OK;
}

static enum err peer_named(struct request *rq, struct uuid *out)
{
	return uuid_parse(json_member_text(rq->json, "peer"), out) ? ERR_OK : fail_field(rq->call, "/peer", "This is no id of a partner.");
}

static enum err offer_link(struct request *rq, struct response *rs)
{
	struct uuid peer;
	struct link l;
	struct str code;
	TRY(peer_named(rq, &peer));
	TRY(link_offer(rq->call, rq->coop.id, peer, &l, &code));
	struct json_writer w = response_json(rs);
	jw_object(&w);
	jw_key(&w, "link");
	jw_object(&w);
	link_fields(&w, rq->call->arena, &l);
	jw_end_object(&w);
	jw_kstr(&w, "code", code);
	jw_end_object(&w);
	return ERR_OK;
}

static enum err prove_link(struct request *rq, struct response *rs)
{
	struct uuid peer;
	struct link l;
	TRY(peer_named(rq, &peer));
	TRY(link_prove(rq->call, rq->coop.id, peer, json_member_text(rq->json, "code"), &l));
	return answer_link(rq, rs, &l);
}

static enum err end_link(struct request *rq, struct response *rs)
{
	struct uuid id;
	struct link l;
	TRY(request_param_uuid(rq, 1, &id));
	TRY(link_end(rq->call, rq->coop.id, id, &l));
	return answer_link(rq, rs, &l);
}

static enum err list_holds(struct request *rq, struct response *rs)
{
	struct holds *holds;
	size_t n;
	TRY(holds_mine(rq->call, rq->coop.id, &holds, &n));
	struct json_writer w = response_json(rs);
	jw_object(&w);
	jw_key(&w, "items");
	holds_write(&w, rq->call->arena, holds, n);
	jw_end_object(&w);
	return ERR_OK;
}

#define COOP "/api/v1/coops/{coop}"
const struct route link_routes[] = {
	{ "GET", COOP "/links", "link_list", PERM_MEMBER, 0, NULL, "link_list", 200, list_links, "Accounts in other co-ops that one has proved to be one's own, and codes that are out." },
	{ "POST", COOP "/links", "link_offer", PERM_ACTIVE, LIMIT_BODY_SMALL, "link_new", "link_offered", 201, offer_link,
	  "Gives a code, shown once and good for an hour, to be typed at the other co-op while signed in there: that proves that both accounts are one person's." },
	{ "POST", COOP "/links/prove", "link_prove", PERM_ACTIVE, LIMIT_BODY_SMALL, "link_proof", "link", 200, prove_link,
	  "Brings a code that the other co-op gave. Once it has confirmed that, one no counts in both." },
	{ "DELETE", COOP "/links/{link}", "link_end", PERM_MEMBER, 0, NULL, "link", 200, end_link, "Ends a link here and there; what each account said itself stands on." },
	{ "GET", COOP "/members/me/holds", "holds_mine", PERM_MEMBER, 0, NULL, "holds", 200, list_holds, "Which co-op holds what of one's own, why, and what of it was confirmed to be erased there." },
	ROUTE_TABLE_END
};
