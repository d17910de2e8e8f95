#include "server/coop/choices.h"

#include "commonhold/db.h"
#include "commonhold/delegation.h"

/* Consent, licence and statements of the acting member over JSON. */

/* ---- Consent and licence ---- */

static void consent_write(struct json_writer *w, struct arena *a, const struct consent *consent)
{
	jw_object(w);
	jw_kstr(w, "state", consent->state);
	jw_key(w, "purposes");
	jw_array(w);
	for (size_t i = 0; i < consent->n_purposes; i++)
		jw_str(w, consent->purposes[i]);
	jw_end_array(w);
	jw_kbool(w, "defaults", consent->defaults);
	jw_kint(w, "notice", consent->notice);
	jw_kstr(w, "at", clock_format(a, consent->at));
	jw_kstr(w, "expires_at", clock_format(a, consent->expires_at));
	jw_end_object(w);
}

static void licence_write(struct json_writer *w, unsigned licence, bool own)
{
	jw_object(w);
	jw_kz(w, "licence", policy_licence_get(licence)->spdx);
	jw_kbool(w, "own", own);
	jw_end_object(w);
}

enum err choices_read_self(struct request *rq, struct response *rs)
{
	struct call *c = rq->call;
	struct member me;
	struct consent consent;
	unsigned licence;
	bool own;
	TRY(member_mine_in(c, rq->coop.id, &me));
	enum err said = consent_current(c, rq->coop.id, &consent);
	if (said == ERR_NOT_FOUND) {
		db_rollback(c);
		error_clear(&c->error);
	} else {
		TRY(said);
	}
	TRY(licence_current(c, rq->coop.id, &licence, &own));
	struct json_writer w = response_json(rs);
	jw_object(&w);
	jw_key(&w, "member");
	member_write(&w, c->arena, &me, true);
	jw_key(&w, "consent");
	if (said == ERR_OK)
		consent_write(&w, c->arena, &consent);
	else
		jw_null(&w);
	jw_key(&w, "licence");
	licence_write(&w, licence, own);
	jw_end_object(&w);
	return ERR_OK;
}

enum err choices_give_consent(struct request *rq, struct response *rs)
{
	struct str purposes[POLICY_PURPOSE_COUNT];
	struct consent consent;
	size_t n = 0;
	json_each(purpose, json_get(rq->json, "purposes"))
		if (n < CH_LEN(purposes))
			purposes[n++] = json_text(purpose);
	int shown = (int)json_int(json_get(rq->json, "charter"), 0);
	TRY(consent_give_shown(rq->call, rq->coop.id, shown, purposes, n, json_bool(json_get(rq->json, "accept_defaults"), false)));
	TRY(consent_current(rq->call, rq->coop.id, &consent));
	struct json_writer w = response_json(rs);
	consent_write(&w, rq->call->arena, &consent);
	return ERR_OK;
}

enum err choices_withdraw_consent(struct request *rq, struct response *rs)
{
	TRY(consent_withdraw(rq->call, rq->coop.id));
	rs->status = 204;
	return ERR_OK;
}

enum err choices_choose_licence(struct request *rq, struct response *rs)
{
	unsigned licence;
	bool own;
	TRY(licence_choose(rq->call, rq->coop.id, json_member_text(rq->json, "licence")));
	TRY(licence_current(rq->call, rq->coop.id, &licence, &own));
	struct json_writer w = response_json(rs);
	licence_write(&w, licence, own);
	return ERR_OK;
}

/* ---- Statements ---- */

static void statement_write(struct json_writer *w, struct arena *a, const struct statement *s)
{
	jw_object(w);
	jw_kint(w, "seq", s->seq);
	jw_kz(w, "layer", s->layer == POLICY_LAYER_ITEM ? "item" : s->board ? "board" : s->layer == POLICY_LAYER_DELEGATE ? "delegate" : "subject");
	jw_kstr(w, "kind", s->kind);
	jw_kstr(w, "item", uuid_format_or_none(a, s->item));
	jw_knames(w, "uses", s->uses, POLICY_USE_COUNT, policy_use_name);
	jw_kstr(w, "purpose", s->purpose);
	jw_kstr(w, "audience", s->audience);
	jw_kstr(w, "effect", s->effect);
	jw_knames(w, "duties", s->duties, POLICY_DUTY_COUNT, policy_duty_name);
	jw_kstr(w, "declared_at", clock_format(a, s->declared_at));
	jw_kstr(w, "valid_from", clock_format_or_none(a, s->valid_from));
	jw_kstr(w, "valid_to", clock_format_or_none(a, s->valid_to));
	jw_kbool(w, "external", s->external);
	jw_kstr(w, "verbatim", s->verbatim);
	jw_end_object(w);
}

static enum err statements_answer(struct request *rq, struct response *rs, const struct statement *s, size_t n)
{
	struct json_writer w = response_list(rs);
	for (size_t i = 0; i < n; i++)
		statement_write(&w, rq->call->arena, &s[i]);
	response_list_end(&w);
	return ERR_OK;
}

enum err choices_list_statements(struct request *rq, struct response *rs)
{
	struct statement *statements;
	size_t n;
	bool current = str_is(request_query(rq, "current"), "true");
	if (str_is(request_query(rq, "as"), "delegate"))
		TRY(statement_list_as_delegate(rq->call, rq->coop.id, current, &statements, &n));
	else if (str_is(request_query(rq, "as"), "board"))
		TRY(statement_list_of_board(rq->call, rq->coop.id, &statements, &n));
	else
		TRY(statement_list(rq->call, rq->coop.id, current, &statements, &n));
	return statements_answer(rq, rs, statements, n);
}

static uint16_t bits_of(const struct json *names, int (*find)(const char *name, size_t len))
{
	uint16_t bits = 0;
	json_each(name, names) {
		int no = name->type == JSON_STRING ? find(name->text.p, name->text.n) : -1;
		if (no >= 0)
			bits |= (uint16_t)POLICY_BIT(no);
	}
	return bits;
}

static enum err instant_of(struct request *rq, const struct json *statement, const char *key, instant *out)
{
	const struct json *v = json_get(statement, key);
	*out = INSTANT_NONE;
	if (!v || clock_parse(json_text(v), out))
		return ERR_OK;
	return fail_field(rq->call, str_z(rq->call->arena, json_pointer(rq->call->arena, v)), "This is not an instant such as 2026-12-31T23:59:59Z.");
}

/* The id of a contribution, plain or federated; another co-op's is as unknown as one that never was. */
static enum err item_of(struct request *rq, const struct json *statement, struct uuid *out)
{
	const struct json *v = json_get(statement, "item");
	struct str coop;
	*out = (struct uuid){ { 0 } };
	if (!v || uuid_parse(json_text(v), out))
		return ERR_OK;
	if (rid_parse(json_text(v), &coop, out) && str_eq(coop, rq->coop.name))
		return ERR_OK;
	return fail_field(rq->call, str_z(rq->call->arena, json_pointer(rq->call->arena, v)), "There is no such contribution of yours.");
}

static enum err statement_read(struct request *rq, const struct json *v, struct statement *out)
{
	*out = (struct statement){
		.kind = json_member_text(v, "kind"), .uses = bits_of(json_get(v, "uses"), policy_use_find), .purpose = json_member_text(v, "purpose"),
		.audience = json_member_text(v, "audience"), .effect = json_member_text(v, "effect"), .duties = bits_of(json_get(v, "duties"), policy_duty_find),
	};
	TRY(item_of(rq, v, &out->item));
	out->layer = uuid_is_nil(out->item) ? POLICY_LAYER_SUBJECT : POLICY_LAYER_ITEM;
	TRY(instant_of(rq, v, "valid_from", &out->valid_from));
	return instant_of(rq, v, "valid_to", &out->valid_to);
}

enum err choices_make_statements(struct request *rq, struct response *rs)
{
	const struct json *list = json_get(rq->json, "statements");
	struct statement *in = ARENA_ARRAY(rq->call->arena, list->count + 1, struct statement), *out;
	size_t n = 0;
	json_each(v, list)
		TRY(statement_read(rq, v, &in[n++]));
	if (str_is(json_member_text(rq->json, "as"), "delegate"))
		TRY(statement_make_as_delegate(rq->call, rq->coop.id, in, n, &out));
	else if (str_is(json_member_text(rq->json, "as"), "board"))
		TRY(statement_say_for_board(rq->call, rq->coop.id, in, n, &out, &n));
	else
		TRY(statement_make(rq->call, rq->coop.id, in, n, &out));
	return statements_answer(rq, rs, out, n);
}
