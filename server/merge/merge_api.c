#include "merge_internal.h"

#include "commonhold/routes.h"

/* As schemas/merge_conflict.json. */
static void write_conflict(struct json_writer *w, struct arena *a, const struct merge_conflict *k)
{
	struct str rest = str_of(merge_conflict_decisions(k->kind)), word;
	jw_object(w);
	jw_kstr(w, "id", uuid_format(a, k->id));
	jw_kz(w, "kind", merge_conflict_word(k->kind));
	jw_kz(w, "means", merge_conflict_text(k->kind));
	jw_kstr(w, "agreement", uuid_format_or_none(a, k->agreement));
	jw_kstr(w, "home", k->home);
	jw_kstr(w, "rid", k->rid);
	jw_key(w, "detail");
	jw_raw(w, k->detail);
	jw_key(w, "proof");
	if (k->proof.p)
		jw_raw(w, k->proof);
	else
		jw_null(w);
	jw_kstr(w, "found_at", clock_format(a, k->found_at));
	jw_key(w, "decisions");
	jw_array(w);
	while (str_split(&rest, ' ', &word))
		jw_str(w, word);
	jw_end_array(w);
	jw_kstr(w, "decision", k->decision);
	jw_kstr(w, "reason", k->reason);
	jw_kstr(w, "decided_at", clock_format_or_none(a, k->decided_at));
	jw_end_object(w);
}

static enum err list_conflicts(struct request *rq, struct response *rs)
{
	struct merge_conflict *found;
	struct str cursor, next;
	int limit;
	size_t n;
	TRY(request_page(rq, &cursor, &limit));
	TRY(merge_conflict_list(rq->call, rq->coop.id, str_is(request_query(rq, "all"), "true"), cursor, limit, &found, &n, &next));
	struct json_writer w = response_list(rs);
	for (size_t i = 0; i < n; i++)
		write_conflict(&w, rq->call->arena, &found[i]);
	response_list_end_page(&w, next);
	return ERR_OK;
}

static enum err answer_conflict(struct request *rq, struct response *rs, const struct merge_conflict *k)
{
	struct json_writer w = response_json(rs);
	write_conflict(&w, rq->call->arena, k);
	return ERR_OK;
}

static enum err read_conflict(struct request *rq, struct response *rs)
{
	struct merge_conflict k;
	struct uuid id;
	TRY(request_param_uuid(rq, 1, &id));
	TRY(merge_conflict_get(rq->call, rq->coop.id, id, &k));
	return answer_conflict(rq, rs, &k);
}

static enum err decide_conflict(struct request *rq, struct response *rs)
{
	struct merge_conflict k;
	struct uuid id;
	TRY(request_param_uuid(rq, 1, &id));
	TRY(merge_conflict_decide(rq->call, rq->coop.id, id, json_member_text(rq->json, "decision"), json_member_text(rq->json, "reason"), &k));
	return answer_conflict(rq, rs, &k);
}

static void write_run(struct json_writer *w, struct arena *a, const struct merge_near_run *r)
{
	jw_kstr(w, "at", clock_format_or_none(a, r->at));
	jw_kint(w, "texts", r->texts);
	jw_kint(w, "clusters", r->clusters);
	jw_kint(w, "near", r->near);
	jw_kint(w, "per_cent", r->per_cent);
	jw_kbool(w, "fair", r->fair);
	jw_key(w, "losses");
	jw_array(w);
	for (size_t i = 0; i < r->n_losses; i++) {
		jw_object(w);
		jw_kstr(w, "who", r->losses[i].who);
		jw_kbool(w, "coop", r->losses[i].coop);
		jw_kint(w, "texts", r->losses[i].texts);
		jw_kint(w, "lost", r->losses[i].lost);
		jw_kbool(w, "fair", r->losses[i].fair);
		jw_end_object(w);
	}
	jw_end_array(w);
}

static enum err read_near(struct request *rq, struct response *rs)
{
	struct merge_near_run run;
	struct merge_near_cluster *clusters;
	struct str cursor, next;
	int limit;
	size_t n;
	TRY(request_page(rq, &cursor, &limit));
	TRY(merge_near_read(rq->call, rq->coop.id, cursor, limit, &run, &clusters, &n, &next));
	struct json_writer w = response_json(rs);
	jw_object(&w);
	jw_key(&w, "run");
	jw_object(&w);
	write_run(&w, rq->call->arena, &run);
	jw_end_object(&w);
	jw_key(&w, "items");
	jw_array(&w);
	for (size_t i = 0; i < n; i++) {
		jw_object(&w);
		jw_kint(&w, "no", clusters[i].no);
		jw_key(&w, "rids");
		jw_array(&w);
		for (size_t k = 0; k < clusters[i].n; k++)
			jw_str(&w, clusters[i].rids[k]);
		jw_end_array(&w);
		jw_end_object(&w);
	}
	jw_end_array(&w);
	if (next.p)
		jw_kstr(&w, "next", next);
	jw_end_object(&w);
	return ERR_OK;
}

static enum err read_state(struct request *rq, struct response *rs)
{
	struct merge_state s;
	struct uuid agreement = { 0 };
	struct str named = request_query(rq, "agreement");
	if (named.n && !uuid_parse(named, &agreement))
		return fail_field(rq->call, "/agreement", "This is no agreement's id.");
	TRY(merge_state_digest(rq->call, rq->coop.id, agreement, &s));
	struct json_writer w = response_json(rs);
	jw_object(&w);
	jw_kstr(&w, "agreement", uuid_format_or_none(rq->call->arena, agreement));
	jw_kstr(&w, "digest", sha256_hex(rq->call->arena, s.digest));
	jw_kint(&w, "records", s.records);
	jw_kint(&w, "tombstones", s.tombstones);
	jw_kint(&w, "statements", s.statements);
	jw_end_object(&w);
	return ERR_OK;
}

#define MERGE "/api/v1/coops/{coop}/merge"

const struct route merge_routes[] = {
	{ "GET", MERGE "/conflicts", "merge_conflict_list", PERM_ADMIN, 0, NULL, "merge_conflict_list", 200, list_conflicts, "What came from other co-ops and needs a decision, newest first", 0,
		"cursor limit all=true|false" },
	{ "GET", MERGE "/conflicts/{conflict}", "merge_conflict_read", PERM_ADMIN, 0, NULL, "merge_conflict", 200, read_conflict, "One of them, with its proof" },
	{ "POST", MERGE "/conflicts/{conflict}/decision", "merge_conflict_decide", PERM_ADMIN, LIMIT_BODY_SMALL, "merge_decision", "merge_conflict", 200, decide_conflict,
		"Decide it, with a reason" },
	{ "GET", MERGE "/near", "merge_near_read", PERM_ADMIN, 0, NULL, "merge_near", 200, read_near, "Near duplicates, as advice: clusters, and who would lose how much if one of each stayed", 0,
		"cursor limit" },
	{ "GET", MERGE "/state", "merge_state", PERM_ADMIN, 0, NULL, "merge_state", 200, read_state, "Digest of what was exchanged under an agreement: the same on both sides when each has applied all", 0,
		"agreement" },
	ROUTE_TABLE_END,
};
