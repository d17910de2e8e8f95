#include "agreement_web.h"

#include "commonhold/peer.h"
#include "commonhold/routes.h"

/* Agreements with other co-ops over JSON: charters side by side, drafting, voting, and what follows. */

/* ---- Two charters ---- */

static void charter_write(struct json_writer *w, struct arena *a, const char *key, const struct charter *charter)
{
	jw_key(w, key);
	jw_object(w);
	jw_kstr(w, "name", charter->name);
	jw_kstr(w, "sha256", sha256_hex(a, charter->digest));
	if (charter->version)
		jw_kint(w, "version", charter->version);
	jw_end_object(w);
}

static const char *licence_name(unsigned no)
{
	return policy_licence_get(no)->spdx;
}

static void common_write(struct json_writer *w, const struct terms_common *k)
{
	jw_key(w, "common");
	jw_object(w);
	jw_kz(w, "access", policy_audience_name((unsigned)k->access));
	jw_kz(w, "attribution", attribution_word(k->attribution));
	jw_kz(w, "audience", policy_audience_name(k->audience));
	jw_kint(w, "embargo_days", k->embargo / CLOCK_DAY);
	jw_knames(w, "floor", k->floor, POLICY_USE_COUNT, policy_use_name);
	jw_kint(w, "k", k->k);
	jw_knames(w, "kinds", k->kinds, POLICY_KIND_COUNT, policy_kind_name);
	jw_knames(w, "licences", k->licences, POLICY_LICENCE_COUNT, licence_name);
	jw_kz(w, "moderation", k->moderation_both ? "both" : "home");
	jw_knames(w, "purposes", k->purposes, POLICY_PURPOSE_COUNT, policy_purpose_name);
	jw_kint(w, "retention_days", k->retention / CLOCK_DAY);
	jw_knames(w, "uses", k->uses, POLICY_USE_COUNT, policy_use_name);
	jw_end_object(w);
}

static enum err answer_diff(struct request *rq, struct response *rs, const struct charter *ours, const struct charter *theirs, const struct terms_diff *d)
{
	struct json_writer w = response_json(rs);
	jw_object(&w);
	charter_write(&w, rq->call->arena, "ours", ours);
	charter_write(&w, rq->call->arena, "theirs", theirs);
	jw_kbool(&w, "possible", d->possible);
	jw_kbool(&w, "joint", d->joint);
	jw_kstr(&w, "words", d->words);
	jw_key(&w, "counts");
	jw_object(&w);
	jw_kint(&w, "same", (int64_t)(d->n - d->differ));
	jw_kint(&w, "stricter", (int64_t)d->stricter);
	jw_kint(&w, "blocks", (int64_t)d->blocks);
	jw_kint(&w, "own", (int64_t)(d->differ - d->stricter - d->blocks));
	jw_end_object(&w);
	common_write(&w, &d->common);
	jw_key(&w, "lines");
	jw_array(&w);
	for (size_t i = 0; i < d->n; i++) {
		const struct terms_line *l = &d->lines[i];
		jw_object(&w);
		jw_kz(&w, "pointer", l->pointer);
		jw_kz(&w, "group", l->group);
		jw_kz(&w, "label", l->label);
		jw_kstr(&w, "ours", l->ours);
		jw_kstr(&w, "theirs", l->theirs);
		jw_kstr(&w, "taken", l->taken);
		jw_kz(&w, "verdict", terms_verdict_word(l->verdict));
		jw_kstr(&w, "why", l->why);
		jw_end_object(&w);
	}
	jw_end_array(&w);
	jw_end_object(&w);
	return ERR_OK;
}

static enum err diff_with_peer(struct request *rq, struct response *rs)
{
	struct uuid peer;
	struct charter ours, theirs;
	struct terms_diff d;
	if (!uuid_parse(request_query(rq, "with"), &peer))
		return fail_field(rq->call, "query/with", "Say with which peer: its id.");
	TRY(terms_diff_with_peer(rq->call, rq->coop.id, peer, STR_NONE, &ours, &theirs, &d));
	return answer_diff(rq, rs, &ours, &theirs, &d);
}

/* The text of an envelope that came as JSON. */
static struct str envelope_text(struct request *rq, const struct json *v)
{
	struct buf b;
	if (!json_is(v, JSON_OBJECT))
		return STR_NONE;
	buf_init(&b, LIMIT_RESPONSE);
	json_canonical(&b, v, true);
	return buf_take(rq->call->arena, &b);
}

static enum err diff_with_document(struct request *rq, struct response *rs)
{
	struct uuid peer;
	struct charter ours, theirs;
	struct terms_diff d;
	const struct json *signed_charter = json_get(rq->json, "signed");
	struct call *c = rq->call;
	if (signed_charter) {
		if (!uuid_parse(json_member_text(rq->json, "peer"), &peer))
			return fail_field(c, "/peer", "Say whose signed charter this is: the id of the peer.");
		TRY(terms_diff_with_peer(c, rq->coop.id, peer, envelope_text(rq, signed_charter), &ours, &theirs, &d));
	} else {
		if (!json_get(rq->json, "charter"))
			return fail_field(c, "/charter", "Bring a charter along, or a signed one.");
		TRY(terms_diff_with_document(c, rq->coop.id, json_get(rq->json, "charter"), &ours, &theirs, &d));
	}
	return answer_diff(rq, rs, &ours, &theirs, &d);
}

static enum err signed_charter(struct request *rq, struct response *rs)
{
	struct str envelope;
	TRY(charter_exchange_write(rq->call, rq->coop.id, &envelope));
	struct json_writer w = response_json(rs);
	jw_raw(&w, envelope);
	return ERR_OK;
}

/* ---- Agreements ---- */

static void suspended_write(struct json_writer *w, const struct agreement *g)
{
	jw_key(w, "suspended_by");
	jw_array(w);
	if (g->suspended_here)
		jw_z(w, "us");
	if (g->suspended_there)
		jw_z(w, "partner");
	if (g->suspended_by_charter)
		jw_z(w, "charter");
	jw_end_array(w);
}

static void envelope_write(struct json_writer *w, const char *key, struct str envelope)
{
	jw_key(w, key);
	if (envelope.p)
		jw_raw(w, envelope);
	else
		jw_null(w);
}

/* As schemas/agreement_row.json. */
static enum err agreement_write(struct json_writer *w, struct call *c, const struct agreement *g, bool whole)
{
	struct arena *a = c->arena;
	jw_object(w);
	jw_kstr(w, "id", uuid_format(a, g->id));
	jw_kstr(w, "sha256", sha256_hex(a, g->terms.digest));
	jw_kint(w, "revision", g->terms.revision);
	jw_kz(w, "state", agreement_state_name(g->state));
	jw_kbool(w, "current", g->current);
	jw_kbool(w, "flows", agreement_flows(g));
	jw_kbool(w, "proposed_here", g->proposed_here);
	jw_key(w, "partner");
	jw_object(w);
	jw_kstr(w, "coop", g->partner);
	jw_kstr(w, "peer", uuid_format(a, g->peer));
	jw_kstr(w, "title", g->partner_title);
	jw_end_object(w);
	jw_kbool(w, "sends", g->we_send);
	jw_kbool(w, "receives", g->we_receive);
	suspended_write(w, g);
	jw_kstr(w, "ballot", uuid_format_or_none(a, g->ballot));
	jw_kstr(w, "made_at", clock_format(a, g->made_at));
	jw_kstr(w, "state_at", clock_format(a, g->state_at));
	jw_kstr(w, "starts_at", clock_format(a, g->terms.starts));
	jw_kstr(w, "effect_at", clock_format_or_none(a, g->effect_at));
	jw_kstr(w, "ends_at", clock_format(a, g->ends_at));
	jw_kstr(w, "note", g->note);
	if (whole) {
		jw_key(w, "document");
		jw_raw(w, g->terms.document);
		envelope_write(w, "assent_ours", g->assent_ours);
		envelope_write(w, "assent_theirs", g->assent_theirs);
		TRY(agreement_words_write(w, a, "words", g));
	}
	jw_end_object(w);
	return ERR_OK;
}

static enum err answer(struct request *rq, struct response *rs, const struct agreement *g)
{
	struct json_writer w = response_json(rs);
	return agreement_write(&w, rq->call, g, true);
}

static enum err list_agreements(struct request *rq, struct response *rs)
{
	struct agreement *rows;
	struct str cursor, next;
	size_t n;
	int limit;
	TRY(request_page(rq, &cursor, &limit));
	TRY(agreement_list(rq->call, rq->coop.id, request_query(rq, "state"), cursor, limit, &rows, &n, &next));
	struct json_writer w = response_list(rs);
	for (size_t i = 0; i < n; i++)
		TRY(agreement_write(&w, rq->call, &rows[i], false));
	response_list_end_page(&w, next);
	return ERR_OK;
}

static enum err draft(struct request *rq, struct response *rs)
{
	struct agreement g;
	struct uuid peer, renews = { { 0 } };
	struct call *c = rq->call;
	struct str text = json_member_text(rq->json, "renews");
	if (!uuid_parse(json_member_text(rq->json, "peer"), &peer))
		return fail_field(c, "/peer", "Say with which peer: its id.");
	if (text.p && !uuid_parse(text, &renews))
		return fail_field(c, "/renews", "This is no agreement’s id.");
	enum err e = agreement_draft(c, rq->coop.id, peer, json_get(rq->json, "terms"), renews, envelope_text(rq, json_get(rq->json, "signed_charter")), &g);
	if (e == ERR_INVALID)
		for (struct fault *f = c->error.faults; f; f = f->next)
			if (!str_starts(f->pointer, "/terms") && !str_starts(f->pointer, "/renews"))
				f->pointer = str_fmt(c->arena, "/terms%.*s", STR_ARG(f->pointer));
	TRY(e);
	struct str digest = sha256_hex(c->arena, g.terms.digest);
	response_header(rs, "Location", str_fmt(c->arena, "/api/v1/coops/%.*s/agreements/%.*s", STR_ARG(rq->coop.slug), STR_ARG(digest)));
	return answer(rq, rs, &g);
}

static enum err read_one(struct request *rq, struct response *rs)
{
	struct agreement g;
	struct sha256 digest;
	TRY(agreement_param(rq, &digest));
	TRY(agreement_read(rq->call, rq->coop.id, digest, &g));
	return answer(rq, rs, &g);
}

static enum err history(struct request *rq, struct response *rs)
{
	struct agreement g;
	struct agreement_event *events;
	struct sha256 digest;
	size_t n;
	TRY(agreement_param(rq, &digest));
	TRY(agreement_read(rq->call, rq->coop.id, digest, &g));
	TRY(agreement_history(rq->call, rq->coop.id, digest, &events, &n));
	struct json_writer w = response_list(rs);
	for (size_t i = 0; i < n; i++) {
		jw_object(&w);
		jw_kstr(&w, "at", clock_format(rq->call->arena, events[i].at));
		jw_kstr(&w, "state", events[i].state);
		jw_kstr(&w, "by", events[i].by);
		jw_kstr(&w, "note", events[i].note);
		jw_end_object(&w);
	}
	response_list_end(&w);
	return ERR_OK;
}

static enum err propose(struct request *rq, struct response *rs)
{
	struct agreement g;
	struct sha256 digest;
	TRY(agreement_param(rq, &digest));
	TRY(agreement_propose(rq->call, rq->coop.id, digest, &g));
	return answer(rq, rs, &g);
}

static enum err open_ballot(struct request *rq, struct response *rs)
{
	struct agreement g;
	struct sha256 digest;
	TRY(agreement_param(rq, &digest));
	TRY(agreement_open_ballot(rq->call, rq->coop.id, digest, STR_NONE, &g));
	return answer(rq, rs, &g);
}

static enum err open_untried(struct request *rq, struct response *rs)
{
	struct agreement g;
	struct sha256 digest;
	TRY(agreement_param(rq, &digest));
	TRY(agreement_open_ballot(rq->call, rq->coop.id, digest, json_member_text(rq->json, "reason"), &g));
	return answer(rq, rs, &g);
}

static enum err withdraw(struct request *rq, struct response *rs)
{
	struct agreement g;
	struct sha256 digest;
	TRY(agreement_param(rq, &digest));
	TRY(agreement_withdraw(rq->call, rq->coop.id, digest, json_member_text(rq->json, "reason"), &g));
	return answer(rq, rs, &g);
}

static enum err suspend(struct request *rq, struct response *rs)
{
	struct agreement g;
	struct uuid id;
	TRY(agreement_param_id(rq, &id));
	TRY(agreement_suspend(rq->call, rq->coop.id, id, json_member_text(rq->json, "reason"), &g));
	return answer(rq, rs, &g);
}

static enum err resume(struct request *rq, struct response *rs)
{
	struct agreement g;
	struct uuid id;
	TRY(agreement_param_id(rq, &id));
	TRY(agreement_resume(rq->call, rq->coop.id, id, &g));
	return answer(rq, rs, &g);
}

static enum err end(struct request *rq, struct response *rs)
{
	struct agreement g;
	struct uuid id;
	TRY(agreement_param_id(rq, &id));
	TRY(agreement_end(rq->call, rq->coop.id, id, json_member_text(rq->json, "reason"), &g));
	return answer(rq, rs, &g);
}

#define COOP "/api/v1/coops/{coop}"
#define ONE COOP "/agreements/{agreement}"
const struct route agreement_routes[] = {
	{ "GET", COOP "/merge/charter", "merge_charter", PERM_PUBLIC, 0, NULL, "dsse", 200, signed_charter, "The charter in force, signed by the co-op, for co-ops that think about an agreement." },
	{ "GET", COOP "/merge/diff", "merge_diff", PERM_ACTIVE, 0, NULL, "merge_diff", 200, diff_with_peer,
	  "Lays our charter and a peer's side by side: what matches, what an agreement would take, what blocks.", ROUTE_EXPENSIVE, "with" },
	{ "POST", COOP "/merge/diff", "merge_diff_with", PERM_ACTIVE, LIMIT_BODY_ITEM, "merge_diff_new", "merge_diff", 200, diff_with_document, "The same with a charter that comes along.", ROUTE_EXPENSIVE },
	{ "GET", COOP "/agreements", "agreement_list", PERM_ACTIVE, 0, NULL, "agreement_list", 200, list_agreements, "Agreements with other co-ops, every revision, newest first.", 0,
	  "cursor limit state" },
	{ "POST", COOP "/agreements", "agreement_draft", PERM_ADMIN, LIMIT_BODY_ITEM, "agreement_new", "agreement_row", 201, draft,
	  "Drafts an agreement with a confirmed peer, or renews one.", ROUTE_IDEMPOTENT | ROUTE_EXPENSIVE },
	{ "GET", ONE, "agreement_read", PERM_ACTIVE, 0, NULL, "agreement_row", 200, read_one, "One revision by the SHA-256 of its document: what it says, in JSON and in plain words." },
	{ "POST", ONE "/withdraw", "agreement_withdraw", PERM_ADMIN, LIMIT_BODY_SMALL, "agreement_reason", "agreement_row", 200, withdraw,
	  "Before it is in effect: takes it back, or declines what the partner proposed." },
	{ "GET", ONE "/history", "agreement_history", PERM_ACTIVE, 0, NULL, "agreement_history", 200, history, "What happened to it, oldest first." },
	{ "POST", ONE "/propose", "agreement_propose", PERM_ADMIN, 0, NULL, "agreement_row", 200, propose, "Proposes a draft to the partner." },
	{ "POST", ONE "/ballot", "agreement_ballot", PERM_ADMIN, 0, NULL, "agreement_row", 200, open_ballot,
	  "Puts it to the vote of the members, under the charter's rule for merging and with its dry run before their eyes." },
	{ "POST", ONE "/ballot/untried", "agreement_ballot_untried", PERM_ADMIN, LIMIT_BODY_SMALL, "agreement_reason", "agreement_row", 200, open_untried,
	  "The same where the partner cannot or will not send a preview: the voters read the reason instead of a dry run." },
	{ "POST", ONE "/suspend", "agreement_suspend", PERM_ADMIN, LIMIT_BODY_SMALL, "agreement_reason", "agreement_row", 200, suspend, "Suspends it at once." },
	{ "POST", ONE "/resume", "agreement_resume", PERM_ADMIN, 0, NULL, "agreement_row", 200, resume, "Lifts one's own suspension." },
	{ "POST", ONE "/end", "agreement_end", PERM_ADMIN, LIMIT_BODY_SMALL, "agreement_reason", "agreement_row", 200, end, "Gives notice: it ends after the agreed time." },
	ROUTE_TABLE_END
};
