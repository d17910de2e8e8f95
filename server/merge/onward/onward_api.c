/* Which other co-ops hold, or held, the items of a request, and what each has confirmed: API. */
#include "commonhold/db.h"
#include "commonhold/erasure.h"
#include "commonhold/http.h"
#include "commonhold/mirror.h"
#include "commonhold/onward.h"
#include "commonhold/routes.h"

#define ONWARD_HOLDERS_MAX 1000 /* recipients of a request that are looked through for co-ops */

static void write_receipts(struct json_writer *w, struct arena *a, const struct duty *d, const struct onward_receipt *receipts, size_t n)
{
	jw_key(w, "receipts");
	jw_array(w);
	for (size_t i = 0; i < n; i++) {
		if (!str_eq(receipts[i].by, d->partner))
			continue;
		jw_object(w);
		jw_kstr(w, "at", clock_format(a, receipts[i].at));
		jw_kstr(w, "said_at", clock_format(a, receipts[i].said_at));
		jw_kstr(w, "method", receipts[i].method);
		jw_kstr(w, "through", receipts[i].through);
		jw_kstr(w, "sha256", sha256_hex(a, receipts[i].digest));
		jw_kstr(w, "receipt", receipts[i].envelope);
		jw_end_object(w);
	}
	jw_end_array(w);
}

static void write_holder(struct json_writer *w, struct arena *a, const struct duty *d, const struct onward_receipt *receipts, size_t n)
{
	jw_object(w);
	jw_kstr(w, "coop", d->partner);
	jw_kstr(w, "name", d->name);
	jw_kstr(w, "through", d->through);
	jw_kstr(w, "told_at", clock_format(a, d->announced_at));
	jw_kstr(w, "due_at", clock_format(a, d->due_at));
	jw_kz(w, "step", duty_step_name(d->step));
	jw_kstr(w, "confirmed_at", clock_format_or_none(a, d->confirmed_at));
	jw_kstr(w, "method", d->method);
	write_receipts(w, a, d, receipts, n);
	jw_end_object(w);
}

static enum err list_holders(struct request *rq, struct response *rs)
{
	struct call *c = rq->call;
	struct onward_receipt *receipts;
	struct duty *duties;
	struct str next;
	struct uuid id;
	size_t n_receipts, n;
	TRY(request_param_uuid(rq, 1, &id));
	TRY(onward_receipts(c, rq->coop.id, id, &receipts, &n_receipts)); /* and that the actor may read the request */
	TRY(db_begin_in(c, rq->coop.id, DB_READ));
	TRY(mirror_duties(c, rq->coop.id, &(struct duty_filter){ .erasure = id, .limit = ONWARD_HOLDERS_MAX }, &duties, &n, &next));
	TRY(db_commit(c));
	struct json_writer w = response_json(rs);
	jw_object(&w);
	jw_key(&w, "items");
	jw_array(&w);
	for (size_t i = 0; i < n; i++)
		if (duties[i].partner.p)
			write_holder(&w, c->arena, &duties[i], receipts, n_receipts);
	jw_end_array(&w);
	jw_end_object(&w);
	return ERR_OK;
}

const struct route onward_routes[] = {
	{ "GET", "/api/v1/coops/{coop}/deletions/{deletion}/coops", "deletion_coops", PERM_ACCOUNT, 0, NULL, "deletion_coops", 200, list_holders,
	  "Other co-ops that hold, or held, the items of a request, by way of an agreement: who was told, by when they are to confirm, and what they signed." },
	ROUTE_TABLE_END
};
