#include "commonhold/delegation.h"

#include "commonhold/routes.h"

/* Delegations over JSON. */

/* ---- Writing ---- */

static void delegation_write(struct json_writer *w, struct arena *a, const struct delegation *d)
{
	jw_object(w);
	jw_kstr(w, "id", uuid_format(a, d->id));
	jw_kstr(w, "first", uuid_format(a, d->first));
	jw_kstr(w, "principal", uuid_format(a, d->principal));
	jw_kstr(w, "principal_name", d->principal_name);
	jw_kz(w, "question", delegation_question_name(d->question));
	jw_kz(w, "scope", delegation_scope_name(d->scope));
	jw_key(w, "topics");
	jw_array(w);
	for (unsigned no = 0; no < delegation_topic_count(d->question); no++)
		if (d->topics & POLICY_BIT(no))
			jw_z(w, delegation_topic_name(d->question, no));
	jw_end_array(w);
	jw_kstr(w, "target", uuid_format_or_none(a, d->target));
	jw_kstr(w, "target_title", d->target_title);
	jw_kz(w, "delegate_kind", delegate_kind_name(d->delegate_kind));
	jw_kstr(w, "delegate", uuid_format_or_none(a, d->delegate));
	jw_kstr(w, "delegate_name", d->delegate_name);
	jw_kstr(w, "words", delegation_scope_words(a, d));
	jw_kz(w, "state", delegation_state_name(d->state));
	jw_kstr(w, "ended_because", d->ended_because);
	jw_kbool(w, "counts", d->counts);
	jw_kstr(w, "made_at", clock_format(a, d->made_at));
	jw_kstr(w, "chosen_end", clock_format_or_none(a, d->chosen_end));
	jw_kstr(w, "accepted_at", clock_format_or_none(a, d->accepted_at));
	jw_kstr(w, "ends", clock_format_or_none(a, d->ends));
	jw_kstr(w, "ended_at", clock_format_or_none(a, d->ended_at));
	jw_end_object(w);
}

static void path_write(struct json_writer *w, struct arena *a, const struct delegation_path *p)
{
	jw_object(w);
	jw_kz(w, "question", delegation_question_name(p->question));
	jw_kz(w, "topic", delegation_topic_name(p->question, p->topic));
	jw_kstr(w, "target", uuid_format_or_none(a, p->target));
	jw_kstr(w, "at", clock_format(a, p->at));
	jw_kz(w, "via", policy_via_name(p->via));
	jw_kz(w, "dropped", policy_via_name(p->dropped));
	jw_kstr(w, "decider", uuid_format_or_none(a, p->decider));
	jw_key(w, "path");
	jw_array(w);
	for (size_t i = 0; i < p->n_steps; i++) {
		jw_object(w);
		jw_kstr(w, "delegation", uuid_format(a, p->steps[i].by.id));
		jw_kz(w, "scope", delegation_scope_name(p->steps[i].by.scope));
		jw_kstr(w, "member", uuid_format_or_none(a, p->steps[i].member));
		jw_kstr(w, "name", p->steps[i].name);
		jw_kstr(w, "words", delegation_scope_words(a, &p->steps[i].by));
		jw_end_object(w);
	}
	jw_end_array(w);
	jw_kstr(w, "why", p->why);
	jw_end_object(w);
}

static enum err answer_one(struct request *rq, struct response *rs, const struct delegation *d)
{
	struct json_writer w = response_json(rs);
	delegation_write(&w, rq->call->arena, d);
	return ERR_OK;
}

static enum err answer_list(struct request *rq, struct response *rs, const struct delegation *d, size_t n)
{
	struct json_writer w = response_list(rs);
	for (size_t i = 0; i < n; i++)
		delegation_write(&w, rq->call->arena, &d[i]);
	response_list_end(&w);
	return ERR_OK;
}

/* ---- Reading what is sent ---- */

static enum err delegate_of(struct request *rq, struct str who, struct delegation_draft *out)
{
	if (str_is(who, "board"))
		out->delegate_kind = DELEGATE_BOARD;
	else if (str_is(who, "nobody"))
		out->delegate_kind = DELEGATE_NOBODY;
	else if (!uuid_parse(who, &out->delegate))
		return fail_field(rq->call, "/delegate", "Name a member, the board or nobody.");
	return ERR_OK;
}

static enum err topics_of(struct request *rq, const struct json *names, struct delegation_draft *out)
{
	json_each(name, names) {
		struct str word = json_text(name);
		int no = out->question == POLICY_QUESTION_VOTE ? policy_ballot_find(word.p, word.n) : policy_use_find(word.p, word.n);
		if (no < 0) {
			error_fault(&rq->call->error, rq->call->arena, json_pointer(rq->call->arena, name), "There is no such %s.", out->question == POLICY_QUESTION_VOTE ? "kind of ballot" : "use");
			return fail_reason(rq->call, ERR_REFUSED, "delegation_topic", "Name kinds of ballots for votes, and uses for consent.");
		}
		out->topics |= POLICY_BIT(no);
	}
	return ERR_OK;
}

static enum err draft_of(struct request *rq, struct delegation_draft *out)
{
	struct str scope = json_member_text(rq->json, "scope"), target = json_member_text(rq->json, "target"), ends = json_member_text(rq->json, "ends");
	*out = (struct delegation_draft){ .chosen_end = INSTANT_NONE };
	out->question = str_is(json_member_text(rq->json, "question"), "vote") ? POLICY_QUESTION_VOTE : POLICY_QUESTION_CONSENT;
	out->scope = str_is(scope, "coop") ? POLICY_SCOPE_COOP : str_is(scope, "topic") ? POLICY_SCOPE_TOPIC : POLICY_SCOPE_TARGET;
	TRY(topics_of(rq, json_get(rq->json, "topics"), out));
	if (target.p && !uuid_parse(target, &out->target))
		return fail_field(rq->call, "/target", "This is not an id.");
	if (ends.p && !clock_parse(ends, &out->chosen_end))
		return fail_field(rq->call, "/ends", "This is not an instant such as 2026-12-31T23:59:59Z.");
	return delegate_of(rq, json_member_text(rq->json, "delegate"), out);
}

static enum err question_of_query(struct request *rq, enum policy_question *question, unsigned *topic)
{
	struct str word = request_query(rq, "topic");
	*question = str_is(request_query(rq, "question"), "consent") ? POLICY_QUESTION_CONSENT : POLICY_QUESTION_VOTE;
	*topic = 0;
	if (!word.p)
		return ERR_OK;
	int no = *question == POLICY_QUESTION_VOTE ? policy_ballot_find(word.p, word.n) : policy_use_find(word.p, word.n);
	if (no < 0)
		return fail_reason(rq->call, ERR_BAD_REQUEST, "delegation_topic", "There is no such kind of ballot or use.");
	*topic = (unsigned)no;
	return ERR_OK;
}

/* ---- The handlers ---- */

static enum err list_delegations(struct request *rq, struct response *rs)
{
	struct delegation *d;
	size_t n;
	struct str role = request_query(rq, "role");
	bool all = str_is(request_query(rq, "all"), "true");
	if (str_is(role, "asked"))
		TRY(delegation_list_asked(rq->call, rq->coop.id, &d, &n));
	else if (str_is(role, "delegate"))
		TRY(delegation_list_represented(rq->call, rq->coop.id, all, &d, &n));
	else
		TRY(delegation_list_mine(rq->call, rq->coop.id, all, &d, &n));
	return answer_list(rq, rs, d, n);
}

static enum err list_represented(struct request *rq, struct response *rs)
{
	struct delegation *d;
	size_t n;
	TRY(delegation_list_represented(rq->call, rq->coop.id, str_is(request_query(rq, "all"), "true"), &d, &n));
	return answer_list(rq, rs, d, n);
}

static void warning_write(struct json_writer *w, bool on, const char *code, const char *text)
{
	if (!on)
		return;
	jw_object(w);
	jw_kz(w, "code", code);
	jw_kz(w, "text", text);
	jw_end_object(w);
}

static enum err make_delegation(struct request *rq, struct response *rs)
{
	struct delegation_draft draft;
	struct delegation d;
	struct delegation_warning warning;
	struct arena *a = rq->call->arena;
	TRY(draft_of(rq, &draft));
	TRY(delegation_make(rq->call, rq->coop.id, &draft, &d, &warning));
	response_header(rs, "Location", str_fmt(a, "/api/v1/coops/%.*s/delegations/%.*s", STR_ARG(rq->coop.slug), STR_ARG(uuid_format(a, d.id))));
	struct json_writer w = response_json(rs);
	jw_object(&w);
	jw_key(&w, "delegation");
	delegation_write(&w, a, &d);
	jw_key(&w, "warnings");
	jw_array(&w);
	warning_write(&w, warning.cycle, "cycle", delegation_warning_text(DELEGATION_WARN_CYCLE));
	warning_write(&w, warning.deep, "deep", delegation_warning_text(DELEGATION_WARN_DEEP));
	warning_write(&w, warning.full, "full", delegation_warning_text(DELEGATION_WARN_FULL));
	jw_end_array(&w);
	jw_end_object(&w);
	return ERR_OK;
}

static enum err read_delegation(struct request *rq, struct response *rs)
{
	struct uuid id;
	struct delegation d;
	TRY(request_param_uuid(rq, 1, &id));
	TRY(delegation_read(rq->call, rq->coop.id, id, &d));
	return answer_one(rq, rs, &d);
}

static enum err accept_delegation(struct request *rq, struct response *rs)
{
	struct uuid id;
	struct delegation d;
	TRY(request_param_uuid(rq, 1, &id));
	TRY(delegation_accept(rq->call, rq->coop.id, id, &d));
	return answer_one(rq, rs, &d);
}

static enum err decline_delegation(struct request *rq, struct response *rs)
{
	struct uuid id;
	struct delegation d;
	TRY(request_param_uuid(rq, 1, &id));
	TRY(delegation_decline(rq->call, rq->coop.id, id, json_member_text(rq->json, "reason"), &d));
	return answer_one(rq, rs, &d);
}

static enum err revoke_delegation(struct request *rq, struct response *rs)
{
	struct uuid id;
	struct delegation d;
	TRY(request_param_uuid(rq, 1, &id));
	TRY(delegation_revoke(rq->call, rq->coop.id, id, &d));
	rs->status = 204;
	return ERR_OK;
}

static enum err who_decides(struct request *rq, struct response *rs)
{
	enum policy_question question;
	unsigned topic;
	struct uuid target = { { 0 } };
	instant on = INSTANT_NONE;
	struct delegation_path path;
	struct str on_text = request_query(rq, "on"), target_text = request_query(rq, "target");
	TRY(question_of_query(rq, &question, &topic));
	if (target_text.p && !uuid_parse(target_text, &target))
		return fail_field(rq->call, "query/target", "This is not an id.");
	if (on_text.p && !clock_parse(on_text, &on))
		return fail_field(rq->call, "query/on", "This is not an instant such as 2026-12-31T23:59:59Z.");
	TRY(delegation_who_on(rq->call, rq->coop.id, question, topic, target, on, &path));
	struct json_writer w = response_json(rs);
	path_write(&w, rq->call->arena, &path);
	return ERR_OK;
}

static enum err preview_delegation(struct request *rq, struct response *rs)
{
	struct uuid id;
	struct delegation_preview p;
	struct arena *a = rq->call->arena;
	TRY(request_param_uuid(rq, 1, &id));
	TRY(delegation_preview(rq->call, rq->coop.id, id, &p));
	struct json_writer w = response_json(rs);
	jw_object(&w);
	jw_key(&w, "delegation");
	delegation_write(&w, a, &p.of);
	jw_key(&w, "changes");
	jw_array(&w);
	for (size_t i = 0; i < p.n; i++) {
		jw_object(&w);
		jw_kz(&w, "topic", delegation_topic_name(p.changes[i].question, p.changes[i].topic));
		jw_kstr(&w, "target", uuid_format_or_none(a, p.changes[i].target));
		jw_kstr(&w, "title", p.changes[i].title);
		jw_kbool(&w, "differs", p.changes[i].differs);
		jw_key(&w, "before");
		path_write(&w, a, &p.changes[i].before);
		jw_key(&w, "after");
		path_write(&w, a, &p.changes[i].after);
		jw_end_object(&w);
	}
	jw_end_array(&w);
	jw_end_object(&w);
	return ERR_OK;
}

static void place_write(struct json_writer *w, const char *key, int place)
{
	jw_key(w, key);
	if (place < 0)
		jw_null(w);
	else
		jw_int(w, place);
}

static void report_lists(struct json_writer *w, struct arena *a, const struct delegation_report *r)
{
	jw_key(w, "undecided");
	jw_object(w);
	for (unsigned via = 0; via < POLICY_VIA_COUNT; via++)
		if (r->undecided[via])
			jw_kint(w, policy_via_name(via), r->undecided[via]);
	jw_end_object(w);
	jw_key(w, "top");
	jw_array(w);
	for (size_t i = 0; i < r->n_top; i++) {
		jw_object(w);
		jw_kstr(w, "member", uuid_format_or_none(a, r->top[i].member));
		jw_kstr(w, "name", r->top[i].name);
		jw_kint(w, "direct", r->top[i].direct);
		jw_kint(w, "weight", r->top[i].weight);
		jw_kint(w, "stale", r->top[i].stale);
		jw_kbool(w, "pivotal", r->top[i].pivotal);
		jw_end_object(w);
	}
	jw_end_array(w);
	jw_key(w, "flows");
	jw_array(w);
	for (size_t i = 0; i < r->n_flows; i++) {
		jw_object(w);
		place_write(w, "from", r->flows[i].from);
		place_write(w, "to", r->flows[i].to);
		jw_kint(w, "members", r->flows[i].members);
		jw_end_object(w);
	}
	jw_end_array(w);
}

static enum err report_delegations(struct request *rq, struct response *rs)
{
	enum policy_question question;
	unsigned topic;
	struct delegation_report r;
	TRY(question_of_query(rq, &question, &topic));
	TRY(delegation_report(rq->call, rq->coop.id, question, topic, &r));
	struct json_writer w = response_json(rs);
	jw_object(&w);
	jw_kz(&w, "question", delegation_question_name(r.question));
	jw_kz(&w, "topic", delegation_topic_name(r.question, r.topic));
	jw_kstr(&w, "at", clock_format(rq->call->arena, r.at));
	jw_kint(&w, "members", r.members);
	jw_kint(&w, "represented", r.represented);
	jw_kint(&w, "deciders", r.deciders);
	jw_kint(&w, "majority_of", r.majority_of);
	jw_kint(&w, "edges", r.edges);
	jw_kint(&w, "stale", r.stale);
	jw_kint(&w, "asked", r.asked);
	jw_kint(&w, "suspended", r.suspended);
	report_lists(&w, rq->call->arena, &r);
	jw_end_object(&w);
	return ERR_OK;
}

#define HERE "/api/v1/coops/{coop}/delegations"
const struct route delegation_routes[] = {
	{ "GET", HERE, "delegation_list", PERM_MEMBER, 0, NULL, "delegation_list", 200, list_delegations, "Lists what one delegated, whom one decides for, or who asks one to.",
	  .query = "role=principal|delegate|asked all=true|false" },
	{ "POST", HERE, "delegation_make", PERM_MEMBER, LIMIT_BODY_SMALL, "delegation_new", "delegation_made", 201, make_delegation,
	  "Lets a member, the board or nobody decide; about the same matter it takes the place of what was.", ROUTE_IDEMPOTENT },
	{ "GET", HERE "/represented", "delegation_represented", PERM_MEMBER, 0, NULL, "delegation_list", 200, list_represented, "Lists whom one decides for.", .query = "all=true|false" },
	{ "GET", HERE "/who", "delegation_who", PERM_MEMBER, 0, NULL, "delegation_path", 200, who_decides, "Who decides for one, or did on a day, and why.",
	  .query = "on question=vote|consent topic target" },
	{ "GET", HERE "/report", "delegation_report", PERM_MEMBER, 0, NULL, "delegation_report", 200, report_delegations, "How decisions concentrate.", ROUTE_EXPENSIVE,
	  .query = "question=vote|consent topic" },
	{ "GET", HERE "/{delegation}", "delegation_read", PERM_MEMBER, 0, NULL, "delegation", 200, read_delegation, "Reads a delegation of one's own, to or from one." },
	{ "DELETE", HERE "/{delegation}", "delegation_revoke", PERM_MEMBER, 0, NULL, NULL, 204, revoke_delegation, "Revokes, at once, for open ballots too." },
	{ "GET", HERE "/{delegation}/preview", "delegation_preview", PERM_MEMBER, 0, NULL, "delegation_preview", 200, preview_delegation, "What revoking it, or its end, would change." },
	{ "POST", HERE "/{delegation}/accept", "delegation_accept", PERM_MEMBER, 0, NULL, "delegation", 200, accept_delegation, "Accepts to decide for a member." },
	{ "POST", HERE "/{delegation}/decline", "delegation_decline", PERM_MEMBER, LIMIT_BODY_SMALL, "delegation_decline", "delegation", 200, decline_delegation,
	  "Declines to decide for a member, or stops doing so." },
	ROUTE_TABLE_END
};
