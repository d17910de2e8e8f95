#include "commonhold/control.h"
#include "commonhold/routes.h"

/* The controls that stand, those that did, and joining a pledge. */

static enum err controls_data(struct request *rq, struct json_writer *w)
{
	struct control *controls;
	size_t n;
	bool past = false;
	TRY(control_list(rq->call, rq->coop.id, true, &controls, &n));
	TRY(control_page_data(rq->call, rq->coop.id, INSTANT_NONE, w));
	jw_kstr(w, "coop", rq->coop.slug);
	jw_kbool(w, "may_propose", rq->coop.is_active);
	jw_key(w, "past");
	jw_array(w);
	for (size_t i = 0; i < n; i++) {
		if (controls[i].lifted_at == INSTANT_NONE)
			continue;
		control_page_write(w, rq->call->arena, &controls[i]);
		past = true;
	}
	jw_end_array(w);
	jw_kbool(w, "any_past", past);
	return ERR_OK;
}

static enum err controls_page(struct request *rq, struct response *rs)
{
	struct buf b;
	struct json_writer w = page_begin(&b);
	jw_kz(&w, "title", "Collective controls");
	enum err e = controls_data(rq, &w);
	return page_end(rq, rs, "page/controls", &b, &w, e);
}

static enum err pledge_form(struct request *rq, struct response *rs)
{
	struct uuid id;
	struct control k;
	bool join = str_is(request_form(rq, "joined"), "true");
	TRY(request_param_uuid(rq, 1, &id));
	TRY(control_pledge_join(rq->call, rq->coop.id, id, join, &k));
	return response_done(rq, rs, k.lifted_at != INSTANT_NONE ? STR("You have joined, and the pledge is reached: what was sealed may now be released together.")
		: join ? STR("You have joined the pledge. You may take that back until it is reached.") : STR("You have taken your pledge back."), coop_place(rq, "controls"));
}

const struct route control_page_routes[] = {
	{ "GET", "/coops/{coop}/controls", "page_controls", PERM_OPTIONAL, 0, NULL, "text/html", 200, controls_page, "The collective controls." },
	{ "POST", "/coops/{coop}/controls/{control}/pledge", "page_pledge", PERM_ACTIVE, LIMIT_BODY_SMALL, "form", "text/html", 303, pledge_form, "Joins a pledge, or no longer." },
	ROUTE_TABLE_END
};
