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
		jw_key(w, "undecided_by");
		jw_object(w);
		for (unsigned via = 0; via < POLICY_VIA_COUNT; via++)
			if (t.undecided_by[via])
				jw_kint(w, policy_via_name(via), t.undecided_by[via]);
		jw_end_object(w);
	}
	if (b->state == BALLOT_PASSED || b->state == BALLOT_FAILED) {
		jw_kint(w, "in_person", t.in_person);
		jw_kint(w, "by_delegates", t.by_delegates);
		jw_kint(w, "by_board", t.by_board);
	}
	jw_end_object(w);
}

/* As schemas/ballot.json. */
static void ballot_members(struct json_writer *w, struct arena *a, const struct ballot *b)
{
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
	jw_kstr(w, "first_closes_at", clock_format_or_none(a, b->first_closes_at));
	jw_kstr(w, "closed_at", clock_format_or_none(a, b->closed_at));
	jw_kint(w, "members_last_year", b->members_last_year);
	jw_kint(w, "admins_last_year", b->admins_last_year);
	jw_kint(w, "lapsing", b->lapsing);
	jw_kbool(w, "lapse_warning", b->lapse_warning);
	jw_kstr(w, "board_choice", b->board_choice);
	jw_kbool(w, "on_roll", b->on_roll);
	jw_kbool(w, "is_admin", b->is_admin);
	jw_kbool(w, "may_vote", b->may_vote);
	jw_kstr(w, "my_choice", b->my_choice);
	jw_kbool(w, "tally_shown", b->tally_shown);
	write_tally(w, "members", b, b->members);
	write_tally(w, "admins", b, b->admins);
}

static void ballot_write(struct json_writer *w, struct arena *a, const struct ballot *b)
{
	jw_object(w);
	ballot_members(w, a, b);
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

static ballot_subject_fn say_about; /* NULL: there is nothing to say */

void ballot_use_about(ballot_subject_fn say)
{
	say_about = say;
}

static enum err answer(struct request *rq, struct response *rs, const struct ballot *b)
{
	struct json_writer w = response_json(rs);
	jw_object(&w);
	ballot_members(&w, rq->call->arena, b);
	jw_key(&w, "about");
	if (say_about)
		TRY(say_about(rq->call, b, &w));
	else
		jw_null(&w);
	jw_end_object(&w);
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

/* Somebody who decides: a member, or the board, which has no id. */
static void write_named(struct json_writer *w, struct arena *a, const char *key, struct uuid id, struct str name)
{
	jw_key(w, key);
	if (!name.p) {
		jw_null(w);
		return;
	}
	jw_object(w);
	jw_kstr(w, "id", uuid_format_or_none(a, id));
	jw_kstr(w, "name", name);
	jw_end_object(w);
}

static enum err explain_ballot(struct request *rq, struct response *rs)
{
	struct uuid id;
	struct ballot_explained e;
	struct arena *a = rq->call->arena;
	TRY(request_param_uuid(rq, 1, &id));
	TRY(ballot_explain(rq->call, rq->coop.id, id, &e));
	struct json_writer w = response_json(rs);
	jw_object(&w);
	jw_kbool(&w, "stored", e.stored);
	jw_kbool(&w, "on_roll", e.on_roll);
	jw_kbool(&w, "choice_shown", e.choice_shown);
	jw_kstr(&w, "choice", e.choice);
	jw_kz(&w, "via", policy_via_name(e.via));
	jw_key(&w, "reason");
	if (e.reason == POLICY_VIA_OWN)
		jw_null(&w);
	else
		jw_z(&w, policy_via_name(e.reason));
	write_named(&w, a, "decider", e.decider, e.decider_name);
	jw_kbool(&w, "on_behalf", e.on_behalf);
	jw_key(&w, "path");
	jw_array(&w);
	for (size_t i = 0; i < e.n_steps; i++) {
		jw_object(&w);
		jw_kstr(&w, "delegation", uuid_format(a, e.steps[i].delegation));
		write_named(&w, a, "to", e.steps[i].member, e.steps[i].name);
		jw_end_object(&w);
	}
	jw_end_array(&w);
	jw_kstr(&w, "why", e.why);
	jw_end_object(&w);
	return ERR_OK;
}

static enum err read_history(struct request *rq, struct response *rs)
{
	struct uuid id;
	struct ballot_vote *votes;
	struct arena *a = rq->call->arena;
	size_t n;
	TRY(request_param_uuid(rq, 1, &id));
	TRY(ballot_history(rq->call, rq->coop.id, id, &votes, &n));
	struct json_writer w = response_list(rs);
	for (size_t i = 0; i < n; i++) {
		jw_object(&w);
		jw_kstr(&w, "at", clock_format(a, votes[i].at));
		jw_kstr(&w, "choice", votes[i].choice);
		jw_kstr(&w, "by", uuid_format(a, votes[i].by));
		jw_kstr(&w, "on_behalf_of", uuid_format_or_none(a, votes[i].on_behalf_of));
		jw_end_object(&w);
	}
	response_list_end(&w);
	return ERR_OK;
}

static enum err answer_represented(struct request *rq, struct response *rs, struct uuid ballot)
{
	struct ballot_principal *p;
	size_t n;
	TRY(ballot_represented(rq->call, rq->coop.id, ballot, &p, &n));
	struct json_writer w = response_list(rs);
	for (size_t i = 0; i < n; i++) {
		jw_object(&w);
		jw_kstr(&w, "id", uuid_format(rq->call->arena, p[i].member));
		jw_kstr(&w, "name", p[i].name);
		jw_kint(&w, "hops", p[i].hops);
		jw_kbool(&w, "voted", p[i].voted);
		jw_kstr(&w, "choice", p[i].choice);
		jw_end_object(&w);
	}
	response_list_end(&w);
	return ERR_OK;
}

static enum err read_represented(struct request *rq, struct response *rs)
{
	struct uuid id;
	TRY(request_param_uuid(rq, 1, &id));
	return answer_represented(rq, rs, id);
}

static enum err cast_vote_for(struct request *rq, struct response *rs)
{
	struct uuid id;
	const struct json *principals = json_get(rq->json, "principals");
	struct uuid *list = ARENA_ARRAY(rq->call->arena, principals->count, struct uuid);
	size_t n = 0;
	TRY(request_param_uuid(rq, 1, &id));
	json_each(principal, principals)
		if (!uuid_parse(json_text(principal), &list[n++]))
			return fail_field(rq->call, "/principals", "These are ids of memberships.");
	TRY(ballot_vote_for(rq->call, rq->coop.id, id, list, n, json_member_text(rq->json, "choice")));
	return answer_represented(rq, rs, id);
}

static enum err answer_board(struct request *rq, struct response *rs, struct uuid ballot)
{
	struct ballot_board b;
	TRY(ballot_board_read(rq->call, rq->coop.id, ballot, &b));
	struct json_writer w = response_json(rs);
	jw_object(&w);
	jw_kstr(&w, "rule", b.rule);
	jw_kint(&w, "admins", b.admins);
	jw_kint(&w, "needed", b.needed);
	jw_kint(&w, "for", b.said[BALLOT_FOR]);
	jw_kint(&w, "against", b.said[BALLOT_AGAINST]);
	jw_kint(&w, "abstain", b.said[BALLOT_ABSTAIN]);
	jw_kstr(&w, "choice", b.choice == BALLOT_NONE ? STR_NONE : str_of(ballot_choice_name(b.choice)));
	jw_kstr(&w, "mine", b.mine);
	jw_end_object(&w);
	return ERR_OK;
}

static enum err read_board(struct request *rq, struct response *rs)
{
	struct uuid id;
	TRY(request_param_uuid(rq, 1, &id));
	return answer_board(rq, rs, id);
}

static enum err say_for_board(struct request *rq, struct response *rs)
{
	struct uuid id;
	TRY(request_param_uuid(rq, 1, &id));
	TRY(ballot_board_say(rq->call, rq->coop.id, id, json_member_text(rq->json, "choice")));
	return answer_board(rq, rs, id);
}

const struct route ballot_routes[] = {
	{ "GET", "/api/v1/coops/{coop}/ballots", "ballot_list", PERM_ACTIVE, 0, NULL, "ballot_list", 200, list_ballots, "The co-op's ballots, newest first", 0,
		"cursor limit state=notice|open|passed|failed|cancelled" },
	{ "GET", "/api/v1/coops/{coop}/ballots/{ballot}", "ballot_read", PERM_ACTIVE, 0, NULL, "ballot", 200, read_ballot, "One ballot, with the actor's own choice" },
	{ "PUT", "/api/v1/coops/{coop}/ballots/{ballot}/vote", "ballot_vote", PERM_ACTIVE, LIMIT_BODY_SMALL, "vote", "ballot", 200, cast_vote,
		"Cast, change or take back the actor's vote" },
	{ "GET", "/api/v1/coops/{coop}/ballots/{ballot}/tally", "ballot_tally", PERM_ACTIVE, 0, NULL, "tally", 200, read_tally, "The counts, once they may be seen" },
	{ "GET", "/api/v1/coops/{coop}/ballots/{ballot}/explain", "ballot_explain", PERM_ACTIVE, 0, NULL, "ballot_voice", 200, explain_ballot,
		"What became of the actor's voice, and why; of an open ballot, what would become of it now" },
	{ "GET", "/api/v1/coops/{coop}/ballots/{ballot}/votes/mine", "ballot_history", PERM_ACTIVE, 0, NULL, "ballot_vote_list", 200, read_history,
		"Every version of the actor's vote, and of those cast for them as far as they may be seen" },
	{ "GET", "/api/v1/coops/{coop}/ballots/{ballot}/represented", "ballot_represented", PERM_ACTIVE, 0, NULL, "ballot_principal_list", 200, read_represented,
		"Whom the actor represents on an open ballot, and who of them has voted in person" },
	{ "PUT", "/api/v1/coops/{coop}/ballots/{ballot}/represented", "ballot_vote_for", PERM_ACTIVE, LIMIT_BODY_SMALL, "vote_for", "ballot_principal_list", 200, cast_vote_for,
		"Vote for some of those whom the actor represents, otherwise than for oneself" },
	{ "GET", "/api/v1/coops/{coop}/ballots/{ballot}/board", "ballot_board", PERM_ACTIVE, 0, NULL, "ballot_board", 200, read_board, "What the board says on a ballot, and by which rule" },
	{ "PUT", "/api/v1/coops/{coop}/ballots/{ballot}/board", "ballot_board_say", PERM_ACTIVE, LIMIT_BODY_SMALL, "vote", "ballot_board", 200, say_for_board,
		"Say, as an admin, what the board should resolve" },
	ROUTE_TABLE_END,
};
