#include "commonhold/control.h"
#include "commonhold/routes.h"

/* Collective controls over JSON. They are set and lifted by motions alone. */

static enum err list_controls(struct request *rq, struct response *rs)
{
	struct control *controls;
	size_t n;
	TRY(control_list(rq->call, rq->coop.id, str_is(request_query(rq, "all"), "true"), &controls, &n));
	struct json_writer w = response_json(rs);
	jw_object(&w);
	jw_key(&w, "items");
	jw_array(&w);
	for (size_t i = 0; i < n; i++)
		control_write(&w, rq->call->arena, &controls[i]);
	jw_end_array(&w);
	jw_kz(&w, "limits", control_limits());
	jw_end_object(&w);
	return ERR_OK;
}

static enum err answer(struct request *rq, struct response *rs, const struct control *k)
{
	struct json_writer w = response_json(rs);
	control_write(&w, rq->call->arena, k);
	return ERR_OK;
}

static enum err read_control(struct request *rq, struct response *rs)
{
	struct uuid id;
	struct control k;
	TRY(request_param_uuid(rq, 1, &id));
	TRY(control_read(rq->call, rq->coop.id, id, &k));
	return answer(rq, rs, &k);
}

static enum err pledge(struct request *rq, struct response *rs)
{
	struct uuid id;
	struct control k;
	TRY(request_param_uuid(rq, 1, &id));
	TRY(control_pledge_join(rq->call, rq->coop.id, id, json_bool(json_get(rq->json, "joined"), false), &k));
	return answer(rq, rs, &k);
}

#define COOP "/api/v1/coops/{coop}"
const struct route control_routes[] = {
	{ "GET", COOP "/controls", "control_list", PERM_OPTIONAL, 0, NULL, "control_list", 200, list_controls, "The collective controls that stand, or all that ever were, and what none of them can do.", 0,
	  "all=true|false" },
	{ "GET", COOP "/controls/{control}", "control_read", PERM_OPTIONAL, 0, NULL, "control", 200, read_control, "Reads a collective control." },
	{ "PUT", COOP "/controls/{control}/pledge", "control_pledge", PERM_ACTIVE, LIMIT_BODY_SMALL, "pledge_act", "control", 200, pledge,
	  "Joins a pledge, or takes that back before it is reached." },
	ROUTE_TABLE_END
};
