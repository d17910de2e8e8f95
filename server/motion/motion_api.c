#include "commonhold/motion.h"
#include "commonhold/routes.h"

/* Motions over JSON. */

static void term_write(struct json_writer *w, const struct charter_term *t)
{
	jw_object(w);
	jw_kz(w, "pointer", t->pointer);
	jw_kz(w, "group", t->group);
	jw_kz(w, "label", t->label);
	jw_kstr(w, "before", t->before);
	jw_kstr(w, "after", t->after);
	jw_kstr(w, "material", t->line ? str_of(charter_line_name(t->line)) : STR_NONE);
	jw_kbool(w, "widens", t->widens);
	jw_end_object(w);
}

/* As schemas/motion.json; `terms` NULL in lists. */
static void motion_write(struct json_writer *w, struct arena *a, const struct motion *m, const struct charter_term *terms, size_t n)
{
	jw_object(w);
	jw_kstr(w, "id", uuid_format(a, m->id));
	jw_kstr(w, "kind", m->kind);
	jw_kstr(w, "title", m->title);
	jw_kstr(w, "reason", m->reason);
	jw_key(w, "document");
	jw_raw(w, m->document);
	jw_kstr(w, "sha256", sha256_hex(a, m->digest));
	jw_kint(w, "charter", m->charter);
	jw_kint(w, "seconders", m->seconders);
	jw_kint(w, "seconded", m->seconded);
	jw_kstr(w, "proposer", uuid_format(a, m->proposer));
	jw_kstr(w, "made_at", clock_format(a, m->made_at));
	jw_kstr(w, "ballot", uuid_format_or_none(a, m->ballot));
	jw_kz(w, "state", motion_state_name(m->state));
	jw_kstr(w, "opens_at", clock_format_or_none(a, m->opens_at));
	jw_kstr(w, "closes_at", clock_format_or_none(a, m->closes_at));
	jw_kstr(w, "ended_at", clock_format_or_none(a, m->ended_at));
	jw_kstr(w, "effect_at", clock_format_or_none(a, m->effect_at));
	jw_kstr(w, "note", m->note);
	jw_kbool(w, "mine", m->mine);
	jw_kbool(w, "seconded_by_me", m->seconded_by_me);
	if (terms) {
		jw_key(w, "terms");
		jw_array(w);
		for (size_t i = 0; i < n; i++)
			term_write(w, &terms[i]);
		jw_end_array(w);
	}
	jw_end_object(w);
}

static enum err answer(struct request *rq, struct response *rs, const struct motion *m)
{
	struct charter_term *terms;
	size_t n;
	TRY(motion_terms(rq->call, rq->coop.id, m, &terms, &n));
	struct json_writer w = response_json(rs);
	motion_write(&w, rq->call->arena, m, terms, n);
	return ERR_OK;
}

static enum err answer_new(struct request *rq, struct response *rs, const struct motion *m)
{
	struct str id = uuid_format(rq->call->arena, m->id);
	response_header(rs, "Location", str_fmt(rq->call->arena, "/api/v1/coops/%.*s/motions/%.*s", STR_ARG(rq->coop.slug), STR_ARG(id)));
	return answer(rq, rs, m);
}

static enum err list_motions(struct request *rq, struct response *rs)
{
	struct motion *motions;
	struct str cursor, next;
	size_t n;
	int limit;
	TRY(request_page(rq, &cursor, &limit));
	TRY(motion_list(rq->call, rq->coop.id, request_query(rq, "kind"), cursor, limit, &motions, &n, &next));
	struct json_writer w = response_list(rs);
	for (size_t i = 0; i < n; i++)
		motion_write(&w, rq->call->arena, &motions[i], NULL, 0);
	response_list_end_page(&w, next);
	return ERR_OK;
}

static enum err amend(struct request *rq, struct response *rs)
{
	struct motion m;
	TRY(motion_amend(rq->call, rq->coop.id, json_get(rq->json, "document"), (int)json_int(json_get(rq->json, "based_on"), 0), json_member_text(rq->json, "reason"), &m));
	return answer_new(rq, rs, &m);
}

static enum err propose(struct request *rq, struct response *rs)
{
	struct motion m;
	TRY(motion_propose(rq->call, rq->coop.id, json_member_text(rq->json, "kind"), json_get(rq->json, "document"), json_member_text(rq->json, "reason"), &m));
	return answer_new(rq, rs, &m);
}

static enum err read_motion(struct request *rq, struct response *rs)
{
	struct uuid id;
	struct motion m;
	TRY(request_param_uuid(rq, 1, &id));
	TRY(motion_read(rq->call, rq->coop.id, id, &m));
	return answer(rq, rs, &m);
}

static enum err second(struct request *rq, struct response *rs)
{
	struct uuid id;
	struct motion m;
	TRY(request_param_uuid(rq, 1, &id));
	TRY(motion_second(rq->call, rq->coop.id, id, &m));
	return answer(rq, rs, &m);
}

static enum err withdraw(struct request *rq, struct response *rs)
{
	struct uuid id;
	struct motion m;
	TRY(request_param_uuid(rq, 1, &id));
	TRY(motion_withdraw(rq->call, rq->coop.id, id, &m));
	return answer(rq, rs, &m);
}

static enum err read_what_if(struct request *rq, struct response *rs)
{
	struct uuid id;
	struct str document;
	TRY(request_param_uuid(rq, 1, &id));
	TRY(motion_what_if(rq->call, rq->coop.id, id, &document));
	struct json_writer w = response_json(rs);
	jw_raw(&w, document);
	return ERR_OK;
}

#define COOP "/api/v1/coops/{coop}"
const struct route motion_routes[] = {
	{ "POST", COOP "/charters", "charter_amend", PERM_ACTIVE, LIMIT_BODY_CHARTER, "charter_amendment", "motion", 201, amend,
	  "Proposes an amendment of the charter, which announces a ballot on exactly these bytes.", ROUTE_IDEMPOTENT | ROUTE_EXPENSIVE },
	{ "GET", COOP "/motions", "motion_list", PERM_ACTIVE, 0, NULL, "motion_list", 200, list_motions, "What members have proposed, newest first.", 0,
	  "cursor limit kind=charter|toggle|admin|benefit" },
	{ "POST", COOP "/motions", "motion_propose", PERM_ACTIVE, LIMIT_BODY_SMALL, "motion_new", "motion", 201, propose,
	  "Proposes a collective control, an admin, or what becomes of money; announces a ballot on it.", ROUTE_IDEMPOTENT },
	{ "GET", COOP "/motions/{motion}", "motion_read", PERM_ACTIVE, 0, NULL, "motion", 200, read_motion, "Reads a motion; of an amendment, what it changes in plain words." },
	{ "DELETE", COOP "/motions/{motion}", "motion_withdraw", PERM_ACTIVE, 0, NULL, "motion", 200, withdraw, "Withdraws one's own motion before voting begins." },
	{ "POST", COOP "/motions/{motion}/seconds", "motion_second", PERM_ACTIVE, 0, NULL, "motion", 200, second, "Seconds somebody else's motion." },
	{ "GET", COOP "/motions/{motion}/what-if", "motion_what_if", PERM_ACTIVE, 0, NULL, "motion_what_if", 200, read_what_if,
	  "What an amendment would change for the items of the pool, computed before anybody votes." },
	ROUTE_TABLE_END
};
