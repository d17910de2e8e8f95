#include "commonhold/ballot.h"
#include "commonhold/routes.h"

static void write_tally(struct json_writer *w, const char *key, const struct ballot *b, struct ballot_tally t)
{
	jw_key(w, key);
	jw_object(w);
	jw_kint(w, "roll", t.roll);
	if (b->tally_shown) {
		jw_kint(w, "for", t.yes);
		jw_kint(w, "against", t.no);
		jw_kint(w, "abstain", t.abstain);
		jw_kint(w, "undecided", t.undecided);
	}
	jw_end_object(w);
}

/* As schemas/ballot.json. */
static void ballot_write(struct json_writer *w, struct arena *a, const struct ballot *b)
{
	jw_object(w);
	jw_kstr(w, "id", uuid_format(a, b->id));
	jw_kstr(w, "kind", b->kind);
	jw_kstr(w, "subject", uuid_format(a, b->subject));
	jw_kstr(w, "digest", sha256_hex(a, b->digest));
	jw_kstr(w, "title", b->title);
	jw_kstr(w, "question", b->question);
	jw_key(w, "rule");
	jw_raw(w, b->rule);
	jw_kint(w, "charter", b->charter);
	jw_kstr(w, "visibility", b->visibility);
	jw_kz(w, "state", ballot_state_name(b->state));
	jw_kstr(w, "created_at", clock_format(a, b->created_at));
	jw_kstr(w, "opens_at", clock_format(a, b->opens_at));
	jw_kstr(w, "closes_at", clock_format(a, b->closes_at));
	jw_kstr(w, "closed_at", clock_format_or_none(a, b->closed_at));
	jw_kbool(w, "on_roll", b->on_roll);
	jw_kbool(w, "may_vote", b->may_vote);
	jw_kstr(w, "my_choice", b->my_choice);
	jw_kbool(w, "tally_shown", b->tally_shown);
	write_tally(w, "members", b, b->members);
	write_tally(w, "admins", b, b->admins);
	jw_end_object(w);
}

static enum err list_ballots(struct request *rq, struct response *rs)
{
	struct ballot *ballots;
	struct str cursor, next;
	size_t n;
	int limit;
	TRY(request_page(rq, &cursor, &limit));
	TRY(ballot_list(rq->call, rq->coop.id, request_query(rq, "state"), cursor, limit, &ballots, &n, &next));
	struct json_writer w = response_list(rs);
	for (size_t i = 0; i < n; i++)
		ballot_write(&w, rq->call->arena, &ballots[i]);
	response_list_end_page(&w, next);
	return ERR_OK;
}

static enum err answer(struct request *rq, struct response *rs, const struct ballot *b)
{
	struct json_writer w = response_json(rs);
	ballot_write(&w, rq->call->arena, b);
	return ERR_OK;
}

static enum err read_ballot(struct request *rq, struct response *rs)
{
	struct uuid id;
	struct ballot b;
	TRY(request_param_uuid(rq, 1, &id));
	TRY(ballot_read(rq->call, rq->coop.id, id, &b));
	return answer(rq, rs, &b);
}

static enum err cast_vote(struct request *rq, struct response *rs)
{
	struct uuid id;
	struct ballot b;
	TRY(request_param_uuid(rq, 1, &id));
	TRY(ballot_cast_vote(rq->call, rq->coop.id, id, json_member_text(rq->json, "choice"), &b));
	return answer(rq, rs, &b);
}

static enum err read_tally(struct request *rq, struct response *rs)
{
	struct uuid id;
	struct ballot b;
	TRY(request_param_uuid(rq, 1, &id));
	TRY(ballot_read(rq->call, rq->coop.id, id, &b));
	if (!b.tally_shown)
		return fail_reason(rq->call, ERR_STATE, "tally_hidden", "The counts of this ballot are hidden until it closes.");
	struct json_writer w = response_json(rs);
	jw_object(&w);
	jw_kz(&w, "state", ballot_state_name(b.state));
	write_tally(&w, "members", &b, b.members);
	write_tally(&w, "admins", &b, b.admins);
	jw_end_object(&w);
	return ERR_OK;
}

const struct route ballot_routes[] = {
	{ "GET", "/api/v1/coops/{coop}/ballots", "ballot_list", PERM_ACTIVE, 0, NULL, "ballot_list", 200, list_ballots, "The co-op's ballots, newest first", 0,
		"cursor limit state=notice|open|passed|failed|cancelled" },
	{ "GET", "/api/v1/coops/{coop}/ballots/{ballot}", "ballot_read", PERM_ACTIVE, 0, NULL, "ballot", 200, read_ballot, "One ballot, with the actor's own choice" },
	{ "PUT", "/api/v1/coops/{coop}/ballots/{ballot}/vote", "ballot_vote", PERM_ACTIVE, LIMIT_BODY_SMALL, "vote", "ballot", 200, cast_vote,
		"Cast, change or take back the actor's vote" },
	{ "GET", "/api/v1/coops/{coop}/ballots/{ballot}/tally", "ballot_tally", PERM_ACTIVE, 0, NULL, "tally", 200, read_tally, "The counts, once they may be seen" },
	ROUTE_TABLE_END,
};
