#include "commonhold/erasure.h"
#include "commonhold/routes.h"
#include "commonhold/sign_in.h"

/* Requests for deletion, agents, legal holds and whole accounts over JSON. */

/* ---- Writing ---- */

static void write_facts(struct json_writer *w, struct arena *a, const struct erasure *e)
{
	jw_kstr(w, "id", uuid_format(a, e->id));
	jw_kstr(w, "coop", uuid_format(a, e->coop));
	jw_kz(w, "kind", erasure_kind_name(e->kind));
	jw_kz(w, "scope", erasure_scope_name(e->scope));
	jw_kz(w, "asker", erasure_asker_name(e->asker));
	jw_kbool(w, "mine", e->mine);
	jw_kz(w, "state", erasure_state_name(e->state));
	jw_kint(w, "items", e->n_items);
	jw_kint(w, "held", e->n_held);
	jw_kstr(w, "reason_code", e->reason_code);
	jw_kstr(w, "received_at", clock_format(a, e->received_at));
	jw_kstr(w, "verified_at", clock_format_or_none(a, e->verified_at));
	jw_kstr(w, "effective_at", clock_format_or_none(a, e->effective_at));
	jw_kstr(w, "purged_at", clock_format_or_none(a, e->purged_at));
	jw_kstr(w, "propagating_at", clock_format_or_none(a, e->propagating_at));
	jw_kstr(w, "completed_at", clock_format_or_none(a, e->completed_at));
	jw_kstr(w, "denied_at", clock_format_or_none(a, e->denied_at));
	jw_kstr(w, "cancelled_at", clock_format_or_none(a, e->cancelled_at));
	jw_kstr(w, "due_at", clock_format(a, e->due_at));
	jw_kbool(w, "overdue", (e->state == ERASURE_VERIFIED || e->state == ERASURE_EFFECTIVE) && clock_now() > e->due_at);
	jw_kstr(w, "replacement", uuid_format_or_none(a, e->replacement));
	jw_kstr(w, "until", clock_format_or_none(a, e->until));
	jw_kstr(w, "key_gone_at", clock_format_or_none(a, e->key_gone_at));
	jw_kstr(w, "backups_until", clock_format_or_none(a, e->backups_until));
}

static void write_answers(struct json_writer *w, struct arena *a, const struct erasure *e)
{
	jw_key(w, "extension");
	if (e->extended_at != INSTANT_NONE) {
		jw_object(w);
		jw_kstr(w, "at", clock_format(a, e->extended_at));
		jw_kstr(w, "reason", e->extended_reason);
		jw_end_object(w);
	} else {
		jw_null(w);
	}
	jw_key(w, "denial");
	if (e->denied_at != INSTANT_NONE) {
		jw_object(w);
		jw_kstr(w, "code", e->denial_code);
		jw_kstr(w, "reason", e->denial_reason);
		jw_kstr(w, "appeal_until", clock_format_or_none(a, e->appeal_until));
		jw_end_object(w);
	} else {
		jw_null(w);
	}
	jw_key(w, "appeal");
	if (!uuid_is_nil(e->appeal_ballot)) {
		jw_object(w);
		jw_kstr(w, "ballot", uuid_format(a, e->appeal_ballot));
		jw_kstr(w, "outcome", e->appeal_outcome);
		jw_end_object(w);
	} else {
		jw_null(w);
	}
	jw_key(w, "tombstones");
	if (e->first_idx >= 0) {
		jw_object(w);
		jw_kint(w, "first", e->first_idx);
		jw_kint(w, "last", e->last_idx);
		jw_end_object(w);
	} else {
		jw_null(w);
	}
}

/* As schemas/deletion.json; in lists without history and claim. */
static void write_request(struct json_writer *w, struct arena *a, const struct erasure *e)
{
	jw_object(w);
	write_facts(w, a, e);
	write_answers(w, a, e);
	jw_end_object(w);
}

static enum err answer(struct request *rq, struct response *rs, struct uuid id)
{
	struct call *c = rq->call;
	struct erasure e;
	struct erasure_event *events;
	struct str claim;
	size_t n;
	TRY(erasure_read(c, rq->coop.id, id, &e));
	TRY(erasure_history(c, rq->coop.id, id, &events, &n));
	TRY(erasure_claim(c, rq->coop.id, id, &claim));
	struct json_writer w = response_json(rs);
	jw_object(&w);
	write_facts(&w, c->arena, &e);
	write_answers(&w, c->arena, &e);
	jw_key(&w, "history");
	jw_array(&w);
	for (size_t i = 0; i < n; i++) {
		jw_object(&w);
		jw_kstr(&w, "at", clock_format(c->arena, events[i].at));
		jw_kstr(&w, "event", events[i].event);
		jw_kstr(&w, "by", events[i].by);
		jw_kstr(&w, "note", events[i].note);
		jw_end_object(&w);
	}
	jw_end_array(&w);
	jw_kstr(&w, "claim", claim);
	jw_end_object(&w);
	return ERR_OK;
}

/* ---- Requests ---- */

/* An id, or the federated id of an item of this co-op. */
static enum err read_items(struct request *rq, const struct json *list, struct erasure_wish *wish)
{
	struct call *c = rq->call;
	struct uuid *items = ARENA_ARRAY(c->arena, (list ? list->count : 0) + 1, struct uuid);
	json_each(v, list) {
		struct str coop, text = json_text(v);
		struct uuid *out = &items[wish->n_items++];
		if (uuid_parse(text, out))
			continue;
		if (!rid_parse(text, &coop, out) || !str_eq(coop, rq->coop.name)) {
			error_fault(&c->error, c->arena, json_pointer(c->arena, v), "This is no id of a contribution to this co-op.");
			return c->error.code;
		}
	}
	wish->items = items;
	return ERR_OK;
}

static enum err read_time(struct request *rq, const char *name, instant *out)
{
	struct str text = json_member_text(rq->json, name);
	*out = INSTANT_NONE;
	if (!text.p || clock_parse(text, out))
		return ERR_OK;
	error_fault(&rq->call->error, rq->call->arena, str_fmt(rq->call->arena, "/%s", name), "This must be an instant such as 2026-01-31T12:00:00Z.");
	return rq->call->error.code;
}

static enum err read_wish(struct request *rq, struct erasure_wish *wish)
{
	const struct json *j = rq->json;
	struct str member = json_member_text(j, "for_member");
	*wish = (struct erasure_wish){
		.scope = str_is(json_member_text(j, "scope").p ? json_member_text(j, "scope") : STR("items"), "coop") ? ERASURE_COOP : ERASURE_ITEMS,
		.reason_code = json_member_text(j, "reason_code"), .replacement = json_get(j, "replacement"), .about_me = json_bool(json_get(j, "about_me"), false), .claim = json_member_text(j, "claim"),
	};
	if (!erasure_kind_parse(json_member_text(j, "kind"), &wish->kind))
		return fail_field(rq->call, "/kind", "There is no such kind of request.");
	if (member.p && !uuid_parse(member, &wish->for_member))
		return fail_field(rq->call, "/for_member", "This is no id.");
	TRY(read_items(rq, json_get(j, "items"), wish));
	TRY(read_time(rq, "until", &wish->until));
	TRY(read_time(rq, "issued_at", &wish->issued_at));
	return read_time(rq, "expires_at", &wish->expires_at);
}

static enum err ask(struct request *rq, struct response *rs)
{
	struct erasure_wish wish;
	struct erasure e;
	TRY(read_wish(rq, &wish));
	TRY(erasure_ask(rq->call, rq->coop.id, &wish, &e));
	struct str id = uuid_format(rq->call->arena, e.id);
	response_header(rs, "Location", str_fmt(rq->call->arena, "/api/v1/coops/%.*s/deletions/%.*s", STR_ARG(rq->coop.slug), STR_ARG(id)));
	return answer(rq, rs, e.id);
}

static enum err list_requests(struct request *rq, struct response *rs)
{
	struct erasure *list;
	struct str cursor, next, state = request_query(rq, "state"), which = request_query(rq, "which");
	size_t n;
	int limit;
	TRY(request_page(rq, &cursor, &limit));
	if (which.p && !str_is(which, "mine"))
		TRY(erasure_queue(rq->call, rq->coop.id, state, str_is(which, "all"), cursor, limit, &list, &n, &next));
	else if (state.p)
		return fail_field(rq->call, "query/state", "States are picked in the admins' queue.");
	else
		TRY(erasure_list(rq->call, rq->coop.id, cursor, limit, &list, &n, &next));
	struct json_writer w = response_list(rs);
	for (size_t i = 0; i < n; i++)
		write_request(&w, rq->call->arena, &list[i]);
	response_list_end_page(&w, next);
	return ERR_OK;
}

static enum err read_one(struct request *rq, struct response *rs)
{
	struct uuid id;
	TRY(request_param_uuid(rq, 1, &id));
	return answer(rq, rs, id);
}

static enum err list_items(struct request *rq, struct response *rs)
{
	struct erasure_item *items;
	struct uuid id;
	struct str cursor;
	int64_t after = -1;
	size_t n;
	int limit;
	TRY(request_param_uuid(rq, 1, &id));
	TRY(request_page(rq, &cursor, &limit));
	if (cursor.p && !str_to_i64(cursor, 0, INT32_MAX, &after))
		return fail_field(rq->call, "query/cursor", "This is no cursor of this list.");
	TRY(erasure_items(rq->call, rq->coop.id, id, after, limit, &items, &n));
	struct json_writer w = response_list(rs);
	for (size_t i = 0; i < n; i++) {
		jw_object(&w);
		jw_kstr(&w, "contribution", uuid_format(rq->call->arena, items[i].contribution));
		jw_kstr(&w, "rid", items[i].rid);
		jw_kint(&w, "item_no", items[i].item_no);
		jw_kbool(&w, "held", items[i].held);
		jw_end_object(&w);
	}
	response_list_end_page(&w, n < (size_t)limit ? STR_NONE : str_fmt(rq->call->arena, "%lld", (long long)items[n - 1].item_no));
	return ERR_OK;
}

static enum err cancel(struct request *rq, struct response *rs)
{
	struct erasure e;
	struct uuid id;
	TRY(request_param_uuid(rq, 1, &id));
	TRY(erasure_cancel(rq->call, rq->coop.id, id, &e));
	return answer(rq, rs, id);
}

static enum err verify(struct request *rq, struct response *rs)
{
	struct erasure e;
	struct uuid id;
	TRY(request_param_uuid(rq, 1, &id));
	TRY(erasure_verify(rq->call, rq->coop.id, id, &e));
	return answer(rq, rs, id);
}

static enum err decide(struct request *rq, struct response *rs)
{
	struct str decision = json_member_text(rq->json, "decision"), reason = json_member_text(rq->json, "reason");
	struct erasure e;
	struct uuid id;
	TRY(request_param_uuid(rq, 1, &id));
	if (str_is(decision, "accept"))
		TRY(erasure_accept(rq->call, rq->coop.id, id, &e));
	else if (str_is(decision, "deny"))
		TRY(erasure_deny(rq->call, rq->coop.id, id, json_member_text(rq->json, "code"), reason, &e));
	else
		TRY(erasure_extend(rq->call, rq->coop.id, id, reason, &e));
	return answer(rq, rs, id);
}

static enum err appeal(struct request *rq, struct response *rs)
{
	struct erasure e;
	struct uuid id;
	TRY(request_param_uuid(rq, 1, &id));
	TRY(erasure_appeal(rq->call, rq->coop.id, id, json_member_text(rq->json, "reason"), &e));
	return answer(rq, rs, id);
}

/* ---- The whole account ---- */

static enum err answer_account(struct request *rq, struct response *rs, const struct erasure_account *e)
{
	static const char *const wanted[] = { [PROOF_CODE] = "code", [PROOF_PASSWORD] = "password", [PROOF_FRESH] = "fresh_session" };
	struct arena *a = rq->call->arena;
	enum proof_kind kind;
	TRY(proof_wanted(rq->call, &kind));
	struct json_writer w = response_json(rs);
	jw_object(&w);
	jw_kstr(&w, "id", uuid_format(a, e->id));
	jw_kz(&w, "state", erasure_state_name(e->state));
	jw_kstr(&w, "received_at", clock_format(a, e->received_at));
	jw_kstr(&w, "verified_at", clock_format_or_none(a, e->verified_at));
	jw_kstr(&w, "purged_at", clock_format_or_none(a, e->purged_at));
	jw_kstr(&w, "completed_at", clock_format_or_none(a, e->completed_at));
	jw_kstr(&w, "cancelled_at", clock_format_or_none(a, e->cancelled_at));
	jw_kstr(&w, "due_at", clock_format(a, e->due_at));
	jw_kstr(&w, "proof", e->proof);
	jw_kz(&w, "wanted", wanted[kind]);
	jw_key(&w, "parts");
	jw_array(&w);
	for (size_t i = 0; i < e->n_parts; i++)
		write_request(&w, a, &e->parts[i]);
	jw_end_array(&w);
	jw_end_object(&w);
	return ERR_OK;
}

static enum err ask_account(struct request *rq, struct response *rs)
{
	struct erasure_account e;
	TRY(erasure_ask_account(rq->call, &e));
	return answer_account(rq, rs, &e);
}

static enum err read_account(struct request *rq, struct response *rs)
{
	struct erasure_account e;
	TRY(erasure_account_read(rq->call, &e));
	return answer_account(rq, rs, &e);
}

static enum err cancel_account(struct request *rq, struct response *rs)
{
	struct erasure_account e;
	TRY(erasure_account_cancel(rq->call, &e));
	return answer_account(rq, rs, &e);
}

static enum err verify_account(struct request *rq, struct response *rs)
{
	struct erasure_account e;
	struct proof proof = { .password = json_member_text(rq->json, "current_password"), .code = json_member_text(rq->json, "code"), .network = request_network(rq) };
	TRY(erasure_account_verify(rq->call, &proof, &e));
	return answer_account(rq, rs, &e);
}

/* ---- Agents ---- */

static const char *kind_word(unsigned no)
{
	return erasure_kind_name((enum erasure_kind)no);
}

static void write_agent(struct json_writer *w, struct arena *a, const struct agent *g)
{
	jw_object(w);
	jw_kstr(w, "id", uuid_format(a, g->id));
	jw_kstr(w, "member", uuid_format(a, g->member));
	jw_kstr(w, "account", uuid_format_or_none(a, g->account));
	jw_kstr(w, "name", g->name);
	jw_knames(w, "kinds", g->kinds, ERASURE_KIND_COUNT, kind_word);
	jw_kbool(w, "alone", g->alone);
	jw_kstr(w, "since", clock_format(a, g->since));
	jw_kstr(w, "until", clock_format(a, g->until));
	jw_kstr(w, "ended_at", clock_format_or_none(a, g->ended_at));
	jw_kbool(w, "mine", g->mine);
	jw_end_object(w);
}

static enum err list_agents(struct request *rq, struct response *rs)
{
	struct agent *list;
	size_t n;
	TRY(agent_list(rq->call, rq->coop.id, &list, &n));
	struct json_writer w = response_list(rs);
	for (size_t i = 0; i < n; i++)
		write_agent(&w, rq->call->arena, &list[i]);
	response_list_end(&w);
	return ERR_OK;
}

static enum err authorise(struct request *rq, struct response *rs)
{
	struct agent g;
	struct uuid account;
	unsigned kinds = 0;
	instant until;
	if (!uuid_parse(json_member_text(rq->json, "account"), &account))
		return fail_field(rq->call, "/account", "This is no id.");
	json_each(v, json_get(rq->json, "kinds")) {
		enum erasure_kind kind;
		if (erasure_kind_parse(json_text(v), &kind))
			kinds |= 1u << kind;
	}
	TRY(read_time(rq, "until", &until));
	TRY(agent_authorise(rq->call, rq->coop.id, account, kinds, json_bool(json_get(rq->json, "alone"), false), until, &g));
	struct json_writer w = response_json(rs);
	write_agent(&w, rq->call->arena, &g);
	return ERR_OK;
}

static enum err end_agent(struct request *rq, struct response *rs)
{
	struct agent g;
	struct uuid id;
	TRY(request_param_uuid(rq, 1, &id));
	TRY(agent_end(rq->call, rq->coop.id, id, &g));
	struct json_writer w = response_json(rs);
	write_agent(&w, rq->call->arena, &g);
	return ERR_OK;
}

/* ---- Legal holds ---- */

static void write_hold(struct json_writer *w, struct arena *a, const struct legal_hold *h)
{
	jw_object(w);
	jw_kstr(w, "contribution", uuid_format(a, h->contribution));
	jw_kstr(w, "ground", h->ground);
	jw_kstr(w, "reason", h->reason);
	jw_kstr(w, "placed_at", clock_format(a, h->placed_at));
	jw_kstr(w, "lifted_at", clock_format_or_none(a, h->lifted_at));
	jw_end_object(w);
}

static enum err list_holds(struct request *rq, struct response *rs)
{
	struct legal_hold *list;
	struct str cursor, next;
	size_t n;
	int limit;
	TRY(request_page(rq, &cursor, &limit));
	TRY(hold_list(rq->call, rq->coop.id, cursor, limit, &list, &n, &next));
	struct json_writer w = response_list(rs);
	for (size_t i = 0; i < n; i++)
		write_hold(&w, rq->call->arena, &list[i]);
	response_list_end_page(&w, next);
	return ERR_OK;
}

static enum err place_hold(struct request *rq, struct response *rs)
{
	struct legal_hold h;
	struct uuid contribution;
	if (!uuid_parse(json_member_text(rq->json, "contribution"), &contribution))
		return fail_field(rq->call, "/contribution", "This is no id.");
	TRY(hold_place(rq->call, rq->coop.id, contribution, json_member_text(rq->json, "ground"), json_member_text(rq->json, "reason"), &h));
	struct json_writer w = response_json(rs);
	write_hold(&w, rq->call->arena, &h);
	return ERR_OK;
}

static enum err lift_hold(struct request *rq, struct response *rs)
{
	struct legal_hold h;
	struct uuid contribution;
	TRY(request_param_uuid(rq, 1, &contribution));
	TRY(hold_lift(rq->call, rq->coop.id, contribution, &h));
	struct json_writer w = response_json(rs);
	write_hold(&w, rq->call->arena, &h);
	return ERR_OK;
}

#define COOP "/api/v1/coops/{coop}"
const struct route erasure_routes[] = {
	{ "POST", COOP "/deletions", "deletion_ask", PERM_ACCOUNT, LIMIT_BODY_ITEM, "deletion_new", "deletion", 201, ask,
	  "Asks that items be deleted, held back or corrected. A member's own request counts at once.", ROUTE_IDEMPOTENT },
	{ "GET", COOP "/deletions", "deletion_list", PERM_ACCOUNT, 0, NULL, "deletion_list", 200, list_requests,
	  "One's own requests, newest first; for admins also the queue by due date, and all.", 0,
	  "cursor limit which=mine|queue|all state=received|verified|effective|purged|propagating|completed|denied|cancelled" },
	{ "GET", COOP "/deletions/{deletion}", "deletion_read", PERM_ACCOUNT, 0, NULL, "deletion", 200, read_one, "Reads a request and what happened to it." },
	{ "DELETE", COOP "/deletions/{deletion}", "deletion_cancel", PERM_ACCOUNT, 0, NULL, "deletion", 200, cancel, "Takes a request back before it counts, or ends an embargo." },
	{ "GET", COOP "/deletions/{deletion}/items", "deletion_items", PERM_ACCOUNT, 0, NULL, "deletion_items", 200, list_items, "What a request is about, by number.", 0, "cursor limit" },
	{ "POST", COOP "/deletions/{deletion}/verification", "deletion_verify", PERM_ACCOUNT, 0, NULL, "deletion", 200, verify, "Confirms what an agent asked for." },
	{ "POST", COOP "/deletions/{deletion}/decision", "deletion_decide", PERM_ADMIN, LIMIT_BODY_SMALL, "deletion_decision", "deletion", 200, decide,
	  "Accepts or denies a claim, or takes more time for it." },
	{ "POST", COOP "/deletions/{deletion}/appeal", "deletion_appeal", PERM_ACCOUNT, LIMIT_BODY_SMALL, "deletion_appeal", "deletion", 200, appeal,
	  "Lets the members decide whether a denial stands." },
	{ "POST", "/api/v1/me/deletion", "account_deletion_ask", PERM_ACCOUNT, 0, NULL, "account_deletion", 201, ask_account,
	  "Asks that everything held of oneself goes: every co-op's items, the memberships, the account. Counts once it is confirmed.", ROUTE_OR_THERE },
	{ "GET", "/api/v1/me/deletion", "account_deletion_read", PERM_ACCOUNT, 0, NULL, "account_deletion", 200, read_account, "How far the deletion of one's account has come." },
	{ "DELETE", "/api/v1/me/deletion", "account_deletion_cancel", PERM_ACCOUNT, 0, NULL, "account_deletion", 200, cancel_account, "Takes it back before it is confirmed." },
	{ "POST", "/api/v1/me/deletion/verification", "account_deletion_verify", PERM_ACCOUNT, LIMIT_BODY_SMALL, "deletion_proof", "account_deletion", 200, verify_account,
	  "Confirms with a fresh proof that it is oneself who asks: from then on it counts everywhere.", ROUTE_EXPENSIVE },
	{ "GET", COOP "/agents", "agent_list", PERM_ACCOUNT, 0, NULL, "agent_list", 200, list_agents, "Who may ask for deletions in one's place, and for whom one may." },
	{ "POST", COOP "/agents", "agent_authorise", PERM_MEMBER, LIMIT_BODY_SMALL, "agent_new", "agent", 201, authorise, "Lets an account ask for deletions in one's place.", ROUTE_IDEMPOTENT },
	{ "DELETE", COOP "/agents/{agent}", "agent_end", PERM_ACCOUNT, 0, NULL, "agent", 200, end_agent, "Ends it at once, from either side." },
	{ "GET", COOP "/holds", "hold_list", PERM_ADMIN, 0, NULL, "hold_list", 200, list_holds, "Legal holds, newest first.", 0, "cursor limit" },
	{ "POST", COOP "/holds", "hold_place", PERM_ADMIN, LIMIT_BODY_SMALL, "hold_new", "hold", 201, place_hold,
	  "Keeps an item's content because the law demands it (GDPR Art. 17(3)); the item is in nothing.", ROUTE_IDEMPOTENT },
	{ "DELETE", COOP "/holds/{contribution}", "hold_lift", PERM_ADMIN, 0, NULL, "hold", 200, lift_hold, "Ends a hold; requests that waited for it go on." },
	ROUTE_TABLE_END
};
