#include "commonhold/adapter.h"
#include "commonhold/routes.h"

static const char *const state_sentences[ADAPTER_STATE_COUNT] = {
#define X(name, text, sentence) [ADAPTER_##name] = sentence,
	ADAPTER_STATES(X)
#undef X
};

static void write_copy(struct json_writer *w, struct arena *a, const struct adapter_copy *p)
{
	jw_object(w);
	jw_kstr(w, "release", uuid_format(a, p->release));
	jw_kstr(w, "version", p->version);
	jw_kz(w, "state", adapter_copy_state_name(p->state));
	jw_kstr(w, "revision", p->revision);
	jw_kstr(w, "begun_at", clock_format(a, p->begun_at));
	jw_kstr(w, "published_at", clock_format_or_none(a, p->published_at));
	jw_kstr(w, "erased_at", clock_format_or_none(a, p->erased_at));
	jw_kint(w, "files", p->files);
	jw_kint(w, "files_done", p->files_done);
	jw_key(w, "checked");
	if (p->checked.p)
		jw_raw(w, p->checked);
	else
		jw_null(w);
	jw_end_object(w);
}

/* As schemas/adapter_target.json. There is no way back from here to the credentials. */
static void write_target(struct json_writer *w, struct arena *a, const struct adapter_target *t, const struct adapter_copy *copies, size_t n)
{
	jw_object(w);
	jw_kstr(w, "mirror", uuid_format(a, t->mirror));
	jw_kz(w, "kind", adapter_kind_name(t->kind));
	jw_kstr(w, "endpoint", t->endpoint);
	jw_kstr(w, "place", t->place);
	jw_kstr(w, "prefix", t->prefix);
	jw_kstr(w, "region", t->region);
	jw_kbool(w, "path_style", t->path_style);
	jw_kint(w, "part_bytes", t->part_bytes);
	jw_kbool(w, "recreate", t->recreate);
	jw_kz(w, "audience", policy_audience_name(t->audience));
	jw_kstr(w, "confirmed_by", uuid_format(a, t->confirmed_by));
	jw_kstr(w, "set_at", clock_format(a, t->set_at));
	jw_kz(w, "state", adapter_state_name(t->state));
	jw_kz(w, "state_means", state_sentences[t->state]);
	jw_kstr(w, "error", t->error);
	jw_kint(w, "attempts", t->attempts);
	jw_kstr(w, "run_at", clock_format_or_none(a, t->run_at));
	jw_kstr(w, "next_at", clock_format_or_none(a, t->next_at));
	jw_kstr(w, "latest", t->latest);
	jw_key(w, "copies");
	jw_array(w);
	for (size_t i = 0; i < n; i++)
		write_copy(w, a, &copies[i]);
	jw_end_array(w);
	jw_end_object(w);
}

static enum err answer(struct request *rq, struct response *rs, struct uuid mirror)
{
	struct adapter_target t;
	struct adapter_copy *copies;
	size_t n;
	TRY(adapter_read(rq->call, rq->coop.id, mirror, &t, &copies, &n));
	struct json_writer w = response_json(rs);
	write_target(&w, rq->call->arena, &t, copies, n);
	return ERR_OK;
}

static enum err read_target(struct request *rq, struct response *rs)
{
	struct uuid mirror;
	TRY(request_param_uuid(rq, 1, &mirror));
	return answer(rq, rs, mirror);
}

static enum err set_target(struct request *rq, struct response *rs)
{
	const struct json *j = rq->json;
	struct adapter_target out;
	struct str audience = json_member_text(j, "audience");
	int no = audience.p ? policy_audience_find(audience.p, audience.n) : -1;
	struct adapter_target in = {
		.coop = rq->coop.id, .endpoint = json_member_text(j, "endpoint"), .place = json_member_text(j, "place"), .prefix = json_member_text(j, "prefix"), .region = json_member_text(j, "region"),
		.path_style = json_bool(json_get(j, "path_style"), true), .part_bytes = json_int(json_get(j, "part_bytes"), 0), .recreate = json_bool(json_get(j, "recreate"), false),
		.audience = no > 0 ? (uint8_t)no : POLICY_AUDIENCE_ANY,
	};
	struct adapter_credentials credentials = { json_member_text(j, "key_id"), json_member_text(j, "secret") };
	TRY(request_param_uuid(rq, 1, &in.mirror));
	TRY(adapter_set(rq->call, &in, &credentials, json_bool(json_get(j, "confirm"), false), &out));
	return answer(rq, rs, in.mirror);
}

static enum err end_target(struct request *rq, struct response *rs)
{
	struct uuid mirror;
	TRY(request_param_uuid(rq, 1, &mirror));
	TRY(adapter_end(rq->call, rq->coop.id, mirror, str_is(request_query(rq, "erase"), "true")));
	rs->status = 204;
	rs->content_type = NULL;
	return ERR_OK;
}

static enum err retry_target(struct request *rq, struct response *rs)
{
	struct uuid mirror;
	struct adapter_target t;
	TRY(request_param_uuid(rq, 1, &mirror));
	TRY(adapter_retry(rq->call, rq->coop.id, mirror, &t));
	return answer(rq, rs, mirror);
}

#define TARGET "/api/v1/coops/{coop}/mirrors/{mirror}/target"

const struct route adapter_routes[] = {
	{ "GET", TARGET, "adapter_read", PERM_ADMIN, 0, NULL, "adapter_target", 200, read_target, "Where this instance keeps a mirror's copy, how far it is, and what lies there" },
	{ "PUT", TARGET, "adapter_set", PERM_ADMIN, LIMIT_BODY_SMALL, "adapter_target_set", "adapter_target", 200, set_target,
		"Set where this instance keeps a mirror's copy: a bucket or a dataset repository, its credentials, and who can read what lies there" },
	{ "DELETE", TARGET, "adapter_end", PERM_ADMIN, 0, NULL, NULL, 204, end_target, "Forget the target and its credentials; with erase, have the copies erased first", 0, "erase=true|false" },
	{ "POST", TARGET "/retry", "adapter_retry", PERM_ADMIN, 0, NULL, "adapter_target", 200, retry_target, "Have a target tried again at once, after it was given up too" },
	ROUTE_TABLE_END,
};
