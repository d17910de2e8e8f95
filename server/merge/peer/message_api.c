#include "commonhold/message.h"
#include "commonhold/routes.h"

/* What co-ops say to each other, and what was refused, over HTTP. */

static enum err inbox(struct request *rq, struct response *rs)
{
	bool again;
	TRY(message_take(rq->call, rq->coop.id, rq->body, &again));
	struct json_writer w = response_json(rs);
	jw_object(&w);
	jw_kz(&w, "taken", again ? "before" : "now");
	jw_end_object(&w);
	return ERR_OK;
}

static enum err list_messages(struct request *rq, struct response *rs)
{
	struct arena *a = rq->call->arena;
	struct message_row *rows;
	struct str cursor, next;
	size_t n;
	int limit;
	TRY(request_page(rq, &cursor, &limit));
	TRY(message_list(rq->call, rq->coop.id, cursor, limit, &rows, &n, &next));
	struct json_writer w = response_list(rs);
	for (size_t i = 0; i < n; i++) {
		const struct message_row *m = &rows[i];
		jw_object(&w);
		jw_kstr(&w, "id", uuid_format(a, m->id));
		jw_kstr(&w, "peer", uuid_format(a, m->peer));
		jw_kstr(&w, "title", m->peer_title);
		jw_kstr(&w, "type", m->type);
		jw_kz(&w, "way", m->out ? "out" : "in");
		jw_kstr(&w, "state", m->state);
		jw_kstr(&w, "at", clock_format(a, m->at));
		jw_kstr(&w, "ended_at", clock_format_or_none(a, m->ended_at));
		jw_kint(&w, "attempts", m->attempts);
		jw_kstr(&w, "error", m->error);
		jw_end_object(&w);
	}
	response_list_end_page(&w, next);
	return ERR_OK;
}

static enum err again(struct request *rq, struct response *rs)
{
	struct uuid id;
	(void)rs;
	TRY(request_param_uuid(rq, 1, &id));
	return message_again(rq->call, rq->coop.id, id);
}

static enum err export(struct request *rq, struct response *rs)
{
	struct uuid peer = { { 0 } };
	struct str lines, with = request_query(rq, "peer");
	if (with.n && !uuid_parse(with, &peer))
		return fail_field(rq->call, "query/peer", "This is no peer’s id.");
	TRY(message_export(rq->call, rq->coop.id, peer, &lines));
	rs->content_type = "application/x-ndjson";
	buf_add_str(&rs->body, lines);
	return ERR_OK;
}

static enum err import(struct request *rq, struct response *rs)
{
	struct message_import done;
	TRY(message_import(rq->call, rq->coop.id, json_member_text(rq->json, "lines"), &done));
	struct json_writer w = response_json(rs);
	jw_object(&w);
	jw_kint(&w, "again", done.again);
	jw_kint(&w, "refused", done.refused);
	jw_kint(&w, "taken", done.taken);
	jw_end_object(&w);
	return ERR_OK;
}

static enum err refusals(struct request *rq, struct response *rs)
{
	struct arena *a = rq->call->arena;
	struct refusal *rows;
	struct str cursor, next;
	size_t n;
	int limit;
	TRY(request_page(rq, &cursor, &limit));
	TRY(merge_refusals(rq->call, rq->coop.id, cursor, limit, &rows, &n, &next));
	struct json_writer w = response_list(rs);
	for (size_t i = 0; i < n; i++) {
		jw_object(&w);
		jw_kstr(&w, "id", uuid_format(a, rows[i].id));
		jw_kstr(&w, "peer", uuid_format_or_none(a, rows[i].peer));
		jw_kstr(&w, "title", rows[i].peer_title);
		jw_kstr(&w, "at", clock_format(a, rows[i].at));
		jw_kstr(&w, "what", rows[i].what);
		jw_kstr(&w, "code", rows[i].code);
		jw_kstr(&w, "sentence", rows[i].sentence);
		jw_kint(&w, "times", rows[i].times);
		jw_end_object(&w);
	}
	response_list_end_page(&w, next);
	return ERR_OK;
}

#define COOP "/api/v1/coops/{coop}"
const struct route message_routes[] = {
	{ "POST", COOP "/merge/inbox", "merge_inbox", PERM_PUBLIC, MESSAGE_MAX, "dsse", "message_taken", 200, inbox, "Takes a signed message of another co-op." },
	{ "GET", COOP "/merge/messages", "message_list", PERM_ADMIN, 0, NULL, "message_list", 200, list_messages, "What was said to other co-ops and by them, newest first.", 0, "cursor limit" },
	{ "POST", COOP "/merge/messages/{message}/again", "message_again", PERM_ADMIN, 0, NULL, NULL, 204, again, "Tries once more to deliver a message." },
	{ "GET", COOP "/merge/outbox", "message_export", PERM_ADMIN, 0, NULL, "application/x-ndjson", 200, export, "What waits to be delivered, as signed envelopes, a line each, to be carried as a file.", 0, "peer" },
	{ "POST", COOP "/merge/messages", "message_import", PERM_ADMIN, LIMIT_BODY_ITEM * 8, "message_import", "message_imported", 200, import, "Takes messages from such a file." },
	{ "GET", COOP "/merge/refusals", "merge_refusals", PERM_ADMIN, 0, NULL, "refusal_list", 200, refusals, "What others sent and was not taken, and why.", 0, "cursor limit" },
	ROUTE_TABLE_END
};
