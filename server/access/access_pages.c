#include "access_internal.h"

#include "commonhold/markdown.h"
#include "commonhold/release_api.h"
#include "commonhold/words.h"

/* What an audience means for whoever reads the page. */
static const char *const audience_words[POLICY_AUDIENCE_COUNT] = {
	[POLICY_AUDIENCE_MEMBERS] = "Members of the co-op, and nobody else.",
	[POLICY_AUDIENCE_GATED_MANUAL] = "Whoever accepts the terms and is admitted by an admin of the co-op.",
	[POLICY_AUDIENCE_GATED_AUTO] = "Whoever says what for and accepts the terms; access is given at once.",
	[POLICY_AUDIENCE_PUBLIC] = "Anyone, without asking.",
};

static const char *purpose_text(struct str name)
{
	int no = policy_purpose_find(name.p ? name.p : "", name.n);
	return no < 0 ? "" : words_purpose((unsigned)no);
}

static void request_facts(struct json_writer *w, struct arena *a, const struct access_request *q)
{
	static const struct { const char *state, *word, *badge; } states[] = {
		{ "pending", "waits for a decision", "hold" }, { "granted", "granted", "include" }, { "refused", "refused", "exclude" }, { "cancelled", "cancelled", "neutral" },
	};
	jw_object(w);
	jw_kstr(w, "id", uuid_format(a, q->id));
	jw_kstr(w, "who", q->account_name);
	jw_kz(w, "purpose", purpose_text(q->purpose));
	jw_kstr(w, "description", q->description);
	jw_kstr(w, "organisation", q->organisation.n ? q->organisation : STR_NONE);
	jw_kstr(w, "reason", q->reason.n ? q->reason : STR_NONE);
	jw_kstr(w, "asked", words_day(a, q->created_at));
	jw_kstr(w, "release", uuid_format_or_none(a, q->release));
	for (size_t i = 0; i < CH_LEN(states); i++) {
		if (str_is(q->state, states[i].state)) {
			jw_kz(w, "state", states[i].word);
			jw_kz(w, "badge", states[i].badge);
		}
	}
	jw_kbool(w, "pending", str_is(q->state, "pending"));
	jw_end_object(w);
}

static void grant_facts(struct json_writer *w, struct arena *a, const struct access_grant *g, struct sha256 terms)
{
	bool revoked = g->revoked_at != INSTANT_NONE, expired = clock_now() >= g->expires_at;
	bool outdated = memcmp(&g->terms, &terms, sizeof(terms)) != 0;
	jw_object(w);
	jw_kstr(w, "id", uuid_format(a, g->id));
	jw_kstr(w, "who", g->account_name);
	jw_kz(w, "purpose", purpose_text(g->purpose));
	jw_kstr(w, "granted", words_day(a, g->granted_at));
	jw_kstr(w, "until", words_day(a, g->expires_at));
	jw_kstr(w, "release", uuid_format_or_none(a, g->release));
	jw_kint(w, "purge_days", g->purge_days);
	jw_kz(w, "state", revoked ? "revoked" : expired ? "expired" : outdated ? "the terms have changed" : "in force");
	jw_kz(w, "badge", revoked || expired ? "neutral" : outdated ? "hold" : "include");
	jw_kbool(w, "live", !revoked && !expired && !outdated);
	jw_kbool(w, "revocable", !revoked && !expired);
	jw_end_object(w);
}

static enum err write_requests(struct json_writer *w, struct request *rq, bool all, const char *state)
{
	struct access_request *items;
	struct str next;
	size_t n;
	TRY(access_requests(rq->call, rq->coop.id, all, str_of(state), STR_NONE, LIMIT_PAGE_DEFAULT, &items, &n, &next));
	jw_kbool(w, "any_request", n > 0);
	jw_key(w, "requests");
	jw_array(w);
	for (size_t i = 0; i < n; i++)
		request_facts(w, rq->call->arena, &items[i]);
	jw_end_array(w);
	return ERR_OK;
}

static enum err write_grants(struct json_writer *w, struct request *rq, bool all, struct sha256 terms)
{
	struct access_grant *items;
	struct str next, cursor = all ? request_query(rq, "cursor") : STR_NONE;
	size_t n;
	TRY(access_grants(rq->call, rq->coop.id, all, cursor, LIMIT_PAGE_DEFAULT, &items, &n, &next));
	jw_kbool(w, "any_grant", n > 0);
	jw_kstr(w, "next", next);
	jw_key(w, "grants");
	jw_array(w);
	for (size_t i = 0; i < n; i++)
		grant_facts(w, rq->call->arena, &items[i], terms);
	jw_end_array(w);
	return ERR_OK;
}

static void write_purposes(struct json_writer *w, uint32_t bits, struct str chosen)
{
	jw_key(w, "purposes");
	jw_array(w);
	for (unsigned p = 0; p < POLICY_PURPOSE_COUNT; p++) {
		if (!(bits >> p & 1))
			continue;
		jw_object(w);
		jw_kz(w, "id", policy_purpose_name(p));
		jw_kz(w, "words", words_purpose(p));
		jw_kbool(w, "chosen", str_is(chosen, policy_purpose_name(p)));
		jw_end_object(w);
	}
	jw_end_array(w);
}

static void write_uses(struct json_writer *w, uint16_t uses, uint16_t conditional)
{
	jw_key(w, "uses");
	jw_array(w);
	for (unsigned u = 0; u < POLICY_USE_COUNT; u++) {
		if (!(uses >> u & 1))
			continue;
		jw_object(w);
		jw_kz(w, "words", words_use(u));
		jw_kbool(w, "conditional", conditional >> u & 1);
		jw_end_object(w);
	}
	jw_end_array(w);
}

/* ---- terms, asking, what I have ---- */

/* What was sent in a form that was not right, to be shown again with what is wrong. */
static void write_sent(struct json_writer *w, struct request *rq, const struct error *problem)
{
	if (!problem)
		return;
	jw_kz(w, "problem", problem->message[0] ? problem->message : err_text(problem->code));
	jw_kstr(w, "description", request_form(rq, "description"));
	jw_kstr(w, "organisation", request_form(rq, "organisation"));
	jw_key(w, "wrong");
	jw_object(w);
	for (const struct fault *f = problem->faults; f; f = f->next)
		jw_kstr(w, str_z(rq->call->arena, str_sub(f->pointer, 1, f->pointer.n)), f->message);
	jw_end_object(w);
}

/* The files, as links, for whoever may have them now: of the release that the page is about, or of the latest. */
static enum err write_files(struct json_writer *w, struct request *rq, const struct release *about)
{
	struct call *c = rq->call;
	struct release r;
	struct release_file *files;
	struct uuid grant;
	size_t n;
	enum err e = about ? ERR_OK : release_find(c, rq->coop.id, STR("latest"), &r);
	if (about)
		r = *about;
	if (e == ERR_OK)
		e = access_check(c, rq->coop.id, &r, STR_NONE, &grant);
	if (e == ERR_OK)
		e = access_files(c, rq->coop.id, &r, &files, &n);
	if (e != ERR_OK && err_status(e) >= 500)
		return e;
	if (e != ERR_OK) {
		db_rollback(c);
		error_clear(&c->error);
		return ERR_OK;
	}
	struct str version = r.version.p ? r.version : STR("latest");
	jw_kbool(w, "any_file", n > 0);
	jw_kstr(w, "file_release", version);
	jw_kstr(w, "n_files", words_count(c->arena, (int64_t)n));
	jw_key(w, "files");
	jw_array(w);
	for (size_t i = 0; i < n; i++) {
		jw_object(w);
		jw_kstr(w, "path", files[i].path);
		jw_kstr(w, "href", str_fmt(c->arena, "/api/v1/coops/%.*s/releases/%.*s/files/%.*s", STR_ARG(rq->coop.slug), STR_ARG(version), STR_ARG(files[i].path)));
		jw_kstr(w, "rows", files[i].rows ? words_count(c->arena, files[i].rows) : STR("–"));
		jw_kstr(w, "size", words_size(c->arena, files[i].size));
		jw_end_object(w);
	}
	jw_end_array(w);
	return ERR_OK;
}

static enum err access_data(struct json_writer *w, struct request *rq, const struct release *r, const struct error *problem)
{
	struct call *c = rq->call;
	struct access_offer offer;
	bool signed_in = !uuid_is_nil(c->actor.account);
	TRY(access_offer_read(c, rq->coop.id, r, &offer));
	bool gated = offer.audience == POLICY_AUDIENCE_GATED_MANUAL || offer.audience == POLICY_AUDIENCE_GATED_AUTO;
	jw_kz(w, "title", "Access");
	jw_kstr(w, "coop", rq->coop.slug);
	jw_kbool(w, "admin", rq->coop.is_admin);
	jw_kbool(w, "signed_in", signed_in);
	jw_kz(w, "audience", audience_words[offer.audience]);
	jw_kbool(w, "gated", gated);
	jw_kbool(w, "manual", offer.audience == POLICY_AUDIENCE_GATED_MANUAL);
	jw_kbool(w, "public", offer.audience == POLICY_AUDIENCE_PUBLIC);
	jw_kstr(w, "terms", markdown_html(c->arena, offer.terms));
	jw_kstr(w, "terms_sha256", sha256_hex(c->arena, offer.terms_sha256));
	jw_kint(w, "purge_days", offer.purge_days);
	jw_kstr(w, "release_id", r ? uuid_format(c->arena, r->id) : STR_NONE);
	jw_kstr(w, "release_name", r ? (r->version.p ? r->version : words_day(c->arena, r->cutoff_at)) : STR_NONE);
	write_purposes(w, offer.purposes_covered, problem ? request_form(rq, "purpose") : STR_NONE);
	write_uses(w, offer.uses, offer.uses_conditional);
	write_sent(w, rq, problem);
	TRY(write_files(w, rq, r));
	if (!signed_in)
		return ERR_OK;
	TRY(write_requests(w, rq, false, NULL));
	return write_grants(w, rq, false, offer.terms_sha256);
}

static enum err show_access(struct request *rq, struct response *rs, struct str which, const struct error *problem)
{
	struct release r;
	struct buf b;
	which = str_trim(which.p ? which : STR(""));
	if (which.n)
		TRY(release_find(rq->call, rq->coop.id, which, &r));
	struct json_writer w = page_begin(&b);
	enum err e = access_data(&w, rq, which.n ? &r : NULL, problem);
	return page_end(rq, rs, "page/access", &b, &w, e);
}

static enum err access_page(struct request *rq, struct response *rs)
{
	return show_access(rq, rs, request_query(rq, "release"), NULL);
}

/* Shows the form again with what is wrong in it; what is wrong elsewhere is passed on. */
static enum err ask_again(struct request *rq, struct response *rs, enum err e)
{
	struct call *c = rq->call;
	struct error problem = c->error;
	if (e != ERR_INVALID && e != ERR_EXISTS && e != ERR_TERMS && e != ERR_REFUSED)
		return e;
	db_rollback(c);
	error_clear(&c->error);
	rs->status = err_status(e);
	return show_access(rq, rs, request_form(rq, "release"), &problem);
}

static enum err asked_release(struct request *rq, struct uuid *out)
{
	struct release r;
	struct str which = str_trim(request_form(rq, "release"));
	*out = (struct uuid){ { 0 } };
	if (!which.n)
		return ERR_OK;
	TRY(release_find(rq->call, rq->coop.id, which, &r));
	*out = r.id;
	return ERR_OK;
}

static enum err ask_form(struct request *rq, struct response *rs)
{
	struct call *c = rq->call;
	struct uuid release;
	struct sha256 terms;
	struct access_request q;
	struct access_grant g;
	TRY(asked_release(rq, &release));
	if (!str_is(request_form(rq, "accept"), "yes") || !sha256_parse(request_form(rq, "terms_sha256"), &terms))
		return ask_again(rq, rs, fail_field(c, "/accept", "Read the terms and accept them, or there is nothing to ask for."));
	enum err e = access_ask(c, rq->coop.id, release, request_form(rq, "purpose"), request_form(rq, "description"), request_form(rq, "organisation"), terms, &q, &g);
	if (e != ERR_OK)
		return ask_again(rq, rs, e);
	return response_done(rq, rs, uuid_is_nil(g.id) ? STR("Your request was sent. An admin of the co-op decides about it.") : STR("Access is yours. Make a token to download."), coop_place(rq, "access"));
}

/* The token is shown once and kept nowhere, so that there is nothing to come back to. */
static enum err token_form(struct request *rq, struct response *rs)
{
	struct call *c = rq->call;
	struct uuid id;
	struct str jwt;
	instant expires;
	struct buf b;
	TRY(request_param_uuid(rq, 1, &id));
	TRY(access_token(c, rq->coop.id, id, &jwt, &expires));
	struct json_writer w = page_begin(&b);
	jw_kz(&w, "title", "A download token");
	jw_kstr(&w, "coop", rq->coop.slug);
	jw_kstr(&w, "base", request_base_url(rq));
	jw_kstr(&w, "token", jwt);
	jw_kstr(&w, "expires", words_minute(c->arena, expires));
	return page_end(rq, rs, "page/access_token", &b, &w, ERR_OK);
}

static enum err revoke_form(struct request *rq, struct response *rs)
{
	struct uuid id;
	struct access_grant g;
	TRY(request_param_uuid(rq, 1, &id));
	TRY(access_revoke(rq->call, rq->coop.id, id, request_form(rq, "reason"), &g));
	bool own = uuid_eq(g.account, rq->call->actor.account) && !str_is(request_form(rq, "from"), "requests");
	return response_done(rq, rs, STR("The grant was revoked. Its tokens open nothing any more."), str_fmt(rq->call->arena, "/coops/%.*s/access%s", STR_ARG(rq->coop.slug), own ? "" : "/requests"));
}

/* ---- for admins ---- */

static enum err requests_data(struct json_writer *w, struct request *rq)
{
	struct access_offer offer;
	TRY(access_offer_read(rq->call, rq->coop.id, NULL, &offer));
	jw_kz(w, "title", "Requests for access");
	jw_kstr(w, "coop", rq->coop.slug);
	TRY(write_requests(w, rq, true, "pending"));
	return write_grants(w, rq, true, offer.terms_sha256);
}

static enum err requests_page(struct request *rq, struct response *rs)
{
	struct buf b;
	struct json_writer w = page_begin(&b);
	enum err e = requests_data(&w, rq);
	return page_end(rq, rs, "page/access_requests", &b, &w, e);
}

static enum err decision_form(struct request *rq, struct response *rs)
{
	struct uuid id;
	struct access_request q;
	struct access_grant g;
	struct str decision = request_form(rq, "decision");
	bool grant = str_is(decision, "grant");
	TRY(request_param_uuid(rq, 1, &id));
	if (!grant && !str_is(decision, "refuse"))
		return fail_field(rq->call, "form/decision", "Grant or refuse.");
	TRY(access_decide(rq->call, rq->coop.id, id, grant, request_form(rq, "reason"), &q, &g));
	return response_done(rq, rs, grant ? STR("Access was granted.") : STR("The request was refused."), coop_place(rq, "access/requests"));
}

const struct route access_page_routes[] = {
	{ "GET", "/coops/{coop}/access", "page_access", PERM_OPTIONAL, 0, NULL, "text/html", 200, access_page, NULL },
	{ "POST", "/coops/{coop}/access", "page_access_ask", PERM_ACCOUNT, LIMIT_BODY_SMALL, "form", "text/html", 303, ask_form, NULL },
	{ "GET", "/coops/{coop}/access/requests", "page_access_requests", PERM_ADMIN, 0, NULL, "text/html", 200, requests_page, NULL },
	{ "POST", "/coops/{coop}/access/requests/{request}", "page_access_decide", PERM_ADMIN, LIMIT_BODY_SMALL, "form", "text/html", 303, decision_form, NULL },
	{ "POST", "/coops/{coop}/access/grants/{grant}/token", "page_access_token", PERM_ACCOUNT, LIMIT_BODY_SMALL, "form", "text/html", 200, token_form, NULL },
	{ "POST", "/coops/{coop}/access/grants/{grant}/revoke", "page_access_revoke", PERM_ACCOUNT, LIMIT_BODY_SMALL, "form", "text/html", 303, revoke_form, NULL },
	ROUTE_TABLE_END,
};
