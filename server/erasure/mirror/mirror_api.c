#include "commonhold/mirror.h"
#include "commonhold/routes.h"

static void write_strs(struct json_writer *w, const char *key, const struct str *list, size_t n)
{
	jw_key(w, key);
	jw_array(w);
	for (size_t i = 0; i < n; i++)
		jw_str(w, list[i]);
	jw_end_array(w);
}

/* As schemas/mirror.json. Where it is told, and who answers for it, is for them and the admins. */
static void write_mirror(struct json_writer *w, struct arena *a, const struct mirror *m, bool all)
{
	jw_object(w);
	jw_kstr(w, "id", uuid_format(a, m->id));
	jw_kstr(w, "name", m->name);
	jw_kz(w, "kind", mirror_kind_name(m->kind));
	jw_kz(w, "state", mirror_state_name(m->state));
	jw_kstr(w, "state_at", clock_format(a, m->state_at));
	jw_kstr(w, "reason", all ? m->reason : STR_NONE);
	jw_kstr(w, "account", all ? uuid_format(a, m->account) : STR_NONE);
	jw_kstr(w, "url", all ? m->url : STR_NONE);
	jw_kstr(w, "public_key", m->has_key ? minisign_public_key(a, m->public_key) : STR_NONE);
	jw_kstr(w, "key", m->has_key ? key_id(a, m->public_key) : STR_NONE);
	jw_kstr(w, "registered_at", clock_format(a, m->registered_at));
	jw_kstr(w, "told_at", clock_format_or_none(a, m->told_at));
	jw_kint(w, "seen_upto", m->seen_upto);
	jw_kstr(w, "seen_at", clock_format_or_none(a, m->seen_at));
	jw_kbool(w, "owes", m->owed > 0);
	jw_kstr(w, "due_at", clock_format_or_none(a, m->due_at));
	jw_kbool(w, "listed", m->listed);
	jw_end_object(w);
}

static bool sees_all(const struct request *rq, const struct mirror *m)
{
	return rq->coop.is_admin || (!uuid_is_nil(rq->call->actor.account) && uuid_eq(m->account, rq->call->actor.account));
}

static enum err answer_mirror(struct request *rq, struct response *rs, const struct mirror *m)
{
	struct json_writer w = response_json(rs);
	write_mirror(&w, rq->call->arena, m, sees_all(rq, m));
	return ERR_OK;
}

/* ---- the registry ---- */

static enum err list_mirrors(struct request *rq, struct response *rs)
{
	struct mirror *mirrors;
	size_t n;
	TRY(mirror_list(rq->call, rq->coop.id, &mirrors, &n));
	struct json_writer w = response_list(rs);
	for (size_t i = 0; i < n; i++)
		write_mirror(&w, rq->call->arena, &mirrors[i], sees_all(rq, &mirrors[i]));
	response_list_end(&w);
	return ERR_OK;
}

static struct str json_text_of(struct arena *a, const struct json *v)
{
	struct buf b;
	if (!v)
		return STR_NONE;
	buf_init(&b, LIMIT_BODY_SMALL);
	json_canonical(&b, v, true);
	return buf_take(a, &b);
}

static enum err register_mirror(struct request *rq, struct response *rs)
{
	struct call *c = rq->call;
	struct mirror m;
	struct str secret;
	struct mirror_draft draft = {
		.name = json_member_text(rq->json, "name"), .url = json_member_text(rq->json, "url"), .public_key = json_member_text(rq->json, "public_key"),
		.proof = json_text_of(c->arena, json_get(rq->json, "proof")), .names = { uuid_format(c->arena, rq->coop.id), rq->coop.name, rq->coop.slug },
	};
	if (!mirror_kind_find(json_member_text(rq->json, "kind"), &draft.kind))
		return fail_field(c, "/kind", "A mirror is of kind pull, webhook, s3 or huggingface.");
	TRY(mirror_register(c, rq->coop.id, &draft, &m, &secret));
	struct json_writer w = response_json(rs);
	jw_object(&w);
	jw_key(&w, "mirror");
	write_mirror(&w, c->arena, &m, true);
	jw_kstr(&w, "secret", secret);
	jw_end_object(&w);
	response_header(rs, "Cache-Control", STR("no-store"));
	return ERR_OK;
}

static enum err read_mirror(struct request *rq, struct response *rs)
{
	struct uuid id;
	struct mirror m;
	TRY(request_param_uuid(rq, 1, &id));
	TRY(mirror_read(rq->call, rq->coop.id, id, &m));
	return answer_mirror(rq, rs, &m);
}

static enum err set_state(struct request *rq, struct response *rs)
{
	struct uuid id;
	struct mirror m;
	struct str wanted = json_member_text(rq->json, "state");
	enum mirror_state state = MIRROR_STATE_COUNT;
	TRY(request_param_uuid(rq, 1, &id));
	for (unsigned s = 0; s < MIRROR_STATE_COUNT; s++)
		if (str_is(wanted, mirror_state_name((enum mirror_state)s)))
			state = (enum mirror_state)s;
	if (state == MIRROR_STATE_COUNT)
		return fail_field(rq->call, "/state", "A mirror is active, suspended or ended.");
	TRY(mirror_set_state(rq->call, rq->coop.id, id, state, json_member_text(rq->json, "reason"), &m));
	return answer_mirror(rq, rs, &m);
}

static enum err new_secret(struct request *rq, struct response *rs)
{
	struct uuid id;
	struct str secret;
	TRY(request_param_uuid(rq, 1, &id));
	TRY(mirror_new_secret(rq->call, rq->coop.id, id, &secret));
	response_header(rs, "Cache-Control", STR("no-store"));
	struct json_writer w = response_json(rs);
	jw_object(&w);
	jw_kstr(&w, "secret", secret);
	jw_end_object(&w);
	return ERR_OK;
}

static enum err tell_holdings(struct request *rq, struct response *rs)
{
	struct uuid id;
	struct mirror m;
	const struct json *list = json_get(rq->json, "releases");
	size_t n = 0;
	TRY(request_param_uuid(rq, 1, &id));
	struct str *versions = ARENA_ARRAY(rq->call->arena, (list ? list->count : 0) + 1, struct str);
	json_each (item, list)
		versions[n++] = json_text(item);
	TRY(mirror_tell_holdings(rq->call, rq->coop.id, id, versions, n));
	TRY(mirror_read(rq->call, rq->coop.id, id, &m));
	return answer_mirror(rq, rs, &m);
}

/* ---- receipts ---- */

static void write_receipt(struct json_writer *w, struct arena *a, const struct purge_receipt *t)
{
	jw_object(w);
	jw_kstr(w, "id", uuid_format(a, t->id));
	jw_kstr(w, "mirror", uuid_format_or_none(a, t->mirror));
	jw_kstr(w, "grant", uuid_format_or_none(a, t->grant));
	jw_kint(w, "upto", t->upto);
	write_strs(w, "releases", t->releases, t->n_releases);
	jw_kstr(w, "method", t->method);
	jw_kstr(w, "models_affected", t->models);
	jw_kbool(w, "doubtful", t->doubtful);
	jw_kstr(w, "said_at", clock_format(a, t->said_at));
	jw_kstr(w, "at", clock_format(a, t->at));
	jw_kstr(w, "digest", sha256_hex(a, t->digest));
	jw_end_object(w);
}

static enum err answer_receipt(struct request *rq, struct response *rs, const struct purge_receipt *t)
{
	struct json_writer w = response_json(rs);
	write_receipt(&w, rq->call->arena, t);
	return ERR_OK;
}

static enum err take_receipt(struct request *rq, struct response *rs)
{
	struct uuid id;
	struct purge_receipt t;
	TRY(request_param_uuid(rq, 1, &id));
	TRY(receipt_take(rq->call, rq->coop.id, id, rq->body, &t));
	return answer_receipt(rq, rs, &t);
}

static enum err confirm_grant(struct request *rq, struct response *rs)
{
	struct uuid id;
	struct purge_receipt t;
	TRY(request_param_uuid(rq, 1, &id));
	TRY(receipt_of_grantee(rq->call, rq->coop.id, id, json_member_text(rq->json, "method"), json_member_text(rq->json, "models_affected"), &t));
	return answer_receipt(rq, rs, &t);
}

static enum err receipts(struct request *rq, struct response *rs, struct uuid mirror, struct uuid grant)
{
	struct purge_receipt *items;
	struct str cursor, next;
	size_t n;
	int limit;
	TRY(request_page(rq, &cursor, &limit));
	TRY(receipt_list(rq->call, rq->coop.id, mirror, grant, cursor, limit, &items, &n, &next));
	struct json_writer w = response_list(rs);
	for (size_t i = 0; i < n; i++)
		write_receipt(&w, rq->call->arena, &items[i]);
	response_list_end_page(&w, next);
	return ERR_OK;
}

static enum err mirror_receipts(struct request *rq, struct response *rs)
{
	struct uuid id;
	TRY(request_param_uuid(rq, 1, &id));
	return receipts(rq, rs, id, (struct uuid){ { 0 } });
}

static enum err grant_receipts(struct request *rq, struct response *rs)
{
	struct uuid id;
	TRY(request_param_uuid(rq, 1, &id));
	return receipts(rq, rs, (struct uuid){ { 0 } }, id);
}

/* ---- duties ---- */

static void write_duty(struct json_writer *w, struct arena *a, const struct duty *d)
{
	jw_object(w);
	jw_kstr(w, "id", uuid_format_or_none(a, d->id));
	jw_kstr(w, "deletion", uuid_format_or_none(a, d->erasure));
	jw_kstr(w, "mirror", uuid_format_or_none(a, d->mirror));
	jw_kstr(w, "grant", uuid_format_or_none(a, d->grant));
	jw_kstr(w, "partner", d->partner);
	jw_kstr(w, "through", d->through);
	jw_kstr(w, "name", d->name);
	jw_kint(w, "upto", d->upto);
	write_strs(w, "releases", d->releases, d->n_releases);
	jw_kstr(w, "announced_at", clock_format(a, d->announced_at));
	jw_kstr(w, "due_at", clock_format(a, d->due_at));
	jw_kz(w, "step", duty_step_name(d->step));
	jw_kstr(w, "step_at", clock_format_or_none(a, d->step_at));
	jw_kstr(w, "confirmed_at", clock_format_or_none(a, d->confirmed_at));
	jw_kstr(w, "method", d->method);
	jw_kbool(w, "doubtful", d->doubtful);
	jw_kstr(w, "models_affected", d->models);
	jw_end_object(w);
}

static enum err answer_duties(struct request *rq, struct response *rs, const struct duty *duties, size_t n, struct str next)
{
	struct json_writer w = response_list(rs);
	for (size_t i = 0; i < n; i++)
		write_duty(&w, rq->call->arena, &duties[i]);
	response_list_end_page(&w, next);
	return ERR_OK;
}

/* What one owes oneself; for an admin who does not ask for that, everybody's, deletion by deletion. */
static enum err list_duties(struct request *rq, struct response *rs)
{
	struct duty *duties;
	struct duty_filter f = { 0 };
	struct str next = STR_NONE, state = request_query(rq, "state");
	size_t n;
	if (!rq->coop.is_admin || str_is(request_query(rq, "mine"), "true")) {
		TRY(mirror_owed(rq->call, rq->coop.id, &duties, &n));
		return answer_duties(rq, rs, duties, n, STR_NONE);
	}
	TRY(request_page(rq, &f.cursor, &f.limit));
	f.open_only = str_is(state, "open");
	f.overdue_only = str_is(state, "overdue");
	TRY(mirror_duties_list(rq->call, rq->coop.id, &f, &duties, &n, &next));
	return answer_duties(rq, rs, duties, n, next);
}

static enum err list_overdue(struct request *rq, struct response *rs)
{
	struct duty *duties;
	size_t n;
	TRY(mirror_overdue(rq->call, rq->coop.id, &duties, &n));
	for (size_t i = 0; i < n && !rq->coop.is_admin; i++)
		duties[i].grant = (struct uuid){ { 0 } };
	return answer_duties(rq, rs, duties, n, STR_NONE);
}

/* ---- deliveries ---- */

static void write_delivery(struct json_writer *w, struct arena *a, const struct delivery *d)
{
	jw_object(w);
	jw_kstr(w, "id", uuid_format(a, d->id));
	jw_kstr(w, "mirror", uuid_format(a, d->mirror));
	jw_kstr(w, "mirror_name", d->mirror_name);
	jw_kstr(w, "message", str_fmt(a, "msg_%.*s", STR_ARG(uuid_format(a, d->message))));
	jw_kint(w, "upto", d->upto);
	jw_kstr(w, "state", d->state);
	jw_kint(w, "attempts", d->attempts);
	jw_kstr(w, "created_at", clock_format(a, d->created_at));
	jw_kstr(w, "next_at", clock_format(a, d->next_at));
	jw_kstr(w, "ended_at", clock_format_or_none(a, d->ended_at));
	jw_kint(w, "last_status", d->last_status);
	jw_kstr(w, "last_error", d->last_error);
	jw_end_object(w);
}

static enum err list_deliveries(struct request *rq, struct response *rs)
{
	struct delivery *items;
	struct str cursor, next;
	size_t n;
	int limit;
	TRY(request_page(rq, &cursor, &limit));
	TRY(delivery_list(rq->call, rq->coop.id, request_query(rq, "state"), cursor, limit, &items, &n, &next));
	struct json_writer w = response_list(rs);
	for (size_t i = 0; i < n; i++)
		write_delivery(&w, rq->call->arena, &items[i]);
	response_list_end_page(&w, next);
	return ERR_OK;
}

static enum err repeat_delivery(struct request *rq, struct response *rs)
{
	struct uuid id;
	struct delivery d;
	TRY(request_param_uuid(rq, 1, &id));
	TRY(delivery_repeat(rq->call, rq->coop.id, id, &d));
	job_wake();
	struct json_writer w = response_json(rs);
	write_delivery(&w, rq->call->arena, &d);
	return ERR_OK;
}

#define COOP "/api/v1/coops/{coop}"

const struct route mirror_routes[] = {
	{ "GET", COOP "/mirrors", "mirror_list", PERM_OPTIONAL, 0, NULL, "mirror_list", 200, list_mirrors, "Registered mirrors: how far each has confirmed, and which are overdue" },
	{ "POST", COOP "/mirrors", "mirror_register", PERM_ACCOUNT, LIMIT_BODY_SMALL, "mirror_new", "mirror_made", 201, register_mirror,
		"Register a mirror, with proof that its key is yours; a webhook's secret is shown this once" },
	{ "GET", COOP "/mirrors/{mirror}", "mirror_read", PERM_ACCOUNT, 0, NULL, "mirror", 200, read_mirror, "One mirror: of one's own, or any for an admin" },
	{ "POST", COOP "/mirrors/{mirror}/state", "mirror_set_state", PERM_ACCOUNT, LIMIT_BODY_SMALL, "mirror_state", "mirror", 200, set_state,
		"Suspend, resume or end a mirror; what it owes stays owed", ROUTE_IDEMPOTENT },
	{ "POST", COOP "/mirrors/{mirror}/secret", "mirror_secret", PERM_ACCOUNT, 0, NULL, "mirror_secret", 201, new_secret, "A new secret for its webhook; the old one is void at once" },
	{ "PUT", COOP "/mirrors/{mirror}/holdings", "mirror_holdings", PERM_ACCOUNT, LIMIT_BODY_SMALL, "mirror_holdings", "mirror", 200, tell_holdings, "Say which versions the mirror holds now" },
	{ "POST", COOP "/mirrors/{mirror}/receipts", "mirror_receipt", PERM_PUBLIC, LIMIT_BODY_SMALL, "dsse", "purge_receipt", 201, take_receipt,
		"Confirm, signed with the mirror's key, that what the tombstones name is deleted", ROUTE_IDEMPOTENT },
	{ "GET", COOP "/mirrors/{mirror}/receipts", "mirror_receipt_list", PERM_ACCOUNT, 0, NULL, "purge_receipt_list", 200, mirror_receipts, "A mirror's receipts, newest first", 0, "cursor limit" },
	{ "POST", COOP "/grants/{grant}/receipts", "grant_receipt", PERM_ACCOUNT, LIMIT_BODY_SMALL, "purge_receipt_new", "purge_receipt", 201, confirm_grant,
		"Confirm, as the holder of a grant, that what the tombstones name is deleted", ROUTE_IDEMPOTENT },
	{ "GET", COOP "/grants/{grant}/receipts", "grant_receipt_list", PERM_ACCOUNT, 0, NULL, "purge_receipt_list", 200, grant_receipts, "What was confirmed for a grant, newest first", 0, "cursor limit" },
	{ "GET", COOP "/duties", "duty_list", PERM_ACCOUNT, 0, NULL, "duty_list", 200, list_duties,
		"What is to be confirmed, earliest due date first: one's own, or everybody's, deletion by deletion, for an admin", 0, "cursor limit state=open|overdue mine=true|false" },
	{ "GET", COOP "/duties/overdue", "duty_overdue", PERM_OPTIONAL, 0, NULL, "duty_list", 200, list_overdue, "The public list of those who have not confirmed a deletion a week after it was due" },
	{ "GET", COOP "/deliveries", "delivery_list", PERM_ADMIN, 0, NULL, "delivery_list", 200, list_deliveries, "Deliveries to webhooks, newest first", 0,
		"cursor limit state=waiting|sending|delivered|dead|dropped" },
	{ "POST", COOP "/deliveries/{delivery}/repeat", "delivery_repeat", PERM_ADMIN, 0, NULL, "delivery", 200, repeat_delivery, "Try a dead delivery again, from its first attempt" },
	ROUTE_TABLE_END,
};
