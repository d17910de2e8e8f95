/* Peers over JSON. */
#include "commonhold/json.h"
#include "commonhold/peer.h"
#include "commonhold/routes.h"

/* As schemas/peer.json. */
static void peer_write(struct json_writer *w, struct arena *a, const struct peer *p)
{
	jw_object(w);
	jw_kstr(w, "id", uuid_format(a, p->id));
	jw_kstr(w, "url", p->url);
	jw_kstr(w, "name", p->name);
	jw_kstr(w, "slug", p->slug);
	jw_kstr(w, "title", p->title);
	jw_kstr(w, "fingerprint", p->fingerprint);
	jw_key(w, "keys");
	jw_raw(w, p->chain);
	jw_kz(w, "state", peer_state_name(p->state));
	jw_kstr(w, "state_at", clock_format(a, p->state_at));
	jw_kstr(w, "by", uuid_is_nil(p->by) ? STR_NONE : uuid_format(a, p->by));
	jw_kbool(w, "here", !uuid_is_nil(p->here));
	jw_kstr(w, "met_at", clock_format(a, p->met_at));
	jw_kstr(w, "last_seen_at", clock_format_or_none(a, p->last_seen_at));
	jw_kstr(w, "last_error", p->last_error);
	jw_end_object(w);
}

static enum err answer(struct request *rq, struct response *rs, const struct peer *p)
{
	struct json_writer w = response_json(rs);
	peer_write(&w, rq->call->arena, p);
	return ERR_OK;
}

static enum err list_peers(struct request *rq, struct response *rs)
{
	struct peer *peers;
	size_t n;
	TRY(peer_list(rq->call, rq->coop.id, &peers, &n));
	struct json_writer w = response_list(rs);
	for (size_t i = 0; i < n; i++)
		peer_write(&w, rq->call->arena, &peers[i]);
	response_list_end(&w);
	return ERR_OK;
}

static enum err read_peer(struct request *rq, struct response *rs)
{
	struct uuid id;
	struct peer peer;
	TRY(request_param_uuid(rq, 1, &id));
	TRY(peer_read(rq->call, rq->coop.id, id, &peer));
	return answer(rq, rs, &peer);
}

static enum err meet_peer(struct request *rq, struct response *rs)
{
	struct call *c = rq->call;
	const struct json *keys = json_get(rq->json, "keys");
	struct str url = json_member_text(rq->json, "url"), name = json_member_text(rq->json, "name");
	struct peer peer;
	if (keys) {
		struct buf b;
		buf_init(&b, KEYCHAIN_TEXT_MAX + 1);
		json_canonical(&b, keys, false);
		struct str text = buf_take(c->arena, &b);
		TRY(text.p ? peer_meet_file(c, rq->coop.id, url, text, &peer) : fail_field(c, "/keys", "The chain of keys is too long."));
	} else {
		TRY(peer_meet(c, rq->coop.id, url, name, &peer));
	}
	return answer(rq, rs, &peer);
}

static enum err confirm_peer(struct request *rq, struct response *rs)
{
	struct uuid id;
	struct peer peer;
	TRY(request_param_uuid(rq, 1, &id));
	TRY(peer_confirm(rq->call, rq->coop.id, id, json_member_text(rq->json, "fingerprint"), &peer));
	return answer(rq, rs, &peer);
}

static enum err refuse_peer(struct request *rq, struct response *rs)
{
	struct uuid id;
	struct peer peer;
	TRY(request_param_uuid(rq, 1, &id));
	TRY(peer_refuse(rq->call, rq->coop.id, id, &peer));
	return answer(rq, rs, &peer);
}

static enum err refresh_peer(struct request *rq, struct response *rs)
{
	struct uuid id;
	struct peer peer;
	TRY(request_param_uuid(rq, 1, &id));
	TRY(peer_refresh(rq->call, rq->coop.id, id, &peer));
	return answer(rq, rs, &peer);
}

#define COOP "/api/v1/coops/{coop}"
const struct route peer_routes[] = {
	{ "GET", COOP "/peers", "peer_list", PERM_MEMBER, 0, NULL, "peer_list", 200, list_peers, "The other co-ops that this one knows, and whether their keys are confirmed." },
	{ "POST", COOP "/peers", "peer_meet", PERM_ADMIN, LIMIT_BODY_CHARTER, "peer_new", "peer", 201, meet_peer,
	  "Meets another co-op by its instance's address, or by its keys.json, and pins its keys.", ROUTE_EXPENSIVE },
	{ "GET", COOP "/peers/{peer}", "peer_read", PERM_MEMBER, 0, NULL, "peer", 200, read_peer, "Reads a peer." },
	{ "POST", COOP "/peers/{peer}/confirm", "peer_confirm", PERM_ADMIN, LIMIT_BODY_SMALL, "peer_confirm", "peer", 200, confirm_peer,
	  "Confirms a peer by the fingerprint of its key, typed from what the other co-op says by another way." },
	{ "POST", COOP "/peers/{peer}/refuse", "peer_refuse", PERM_ADMIN, 0, NULL, "peer", 200, refuse_peer, "Takes nothing from a peer any more." },
	{ "POST", COOP "/peers/{peer}/refresh", "peer_refresh", PERM_ADMIN, 0, NULL, "peer", 200, refresh_peer, "Looks at a peer's keys again: they may only have been added to.", ROUTE_EXPENSIVE },
	ROUTE_TABLE_END
};
