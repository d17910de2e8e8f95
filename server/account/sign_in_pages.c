/* Signing in, as pages: the form, mailed links, the second factor, other providers. Every page works without scripts, and says its stable reason in data-reason. */
#include "server/account/account_web.h"

#include "commonhold/notify.h"

#define STEP_COOKIE "commonhold-step" /* a sign-in between its first step and the second factor */

struct str safe_next(struct str next)
{
	bool here = next.n > 0 && next.n < 2000 && next.p[0] == '/' && !str_starts(next, "//") && !str_starts(next, "/\\");
	for (size_t i = 0; here && i < next.n; i++)
		here = (uint8_t)next.p[i] > 0x20 && next.p[i] != 0x7f && next.p[i] != '\\';
	return here ? next : STR("/");
}

/* What is named first in the list is looked for first, since browsers carry the names of others. */
static const char *named(struct str agent, const char *const names[][2], const char *otherwise)
{
	for (size_t i = 0; names[i][0]; i++)
		if (agent.n && memmem(agent.p, agent.n, names[i][0], strlen(names[i][0])))
			return names[i][1];
	return otherwise;
}

struct str browser_words(struct arena *a, struct str agent)
{
	static const char *const browsers[][2] = {
		{ "Edg", "Edge" }, { "OPR/", "Opera" }, { "SamsungBrowser", "Samsung Internet" }, { "Firefox", "Firefox" }, { "FxiOS", "Firefox" }, { "CriOS", "Chrome" },
		{ "Chrom", "Chrome" }, { "Safari", "Safari" }, { "curl", "curl" }, { NULL, NULL },
	};
	static const char *const systems[][2] = {
		{ "Android", " on Android" }, { "iPhone", " on an iPhone" }, { "iPad", " on an iPad" }, { "Windows", " on Windows" }, { "Mac OS", " on a Mac" }, { "CrOS", " on ChromeOS" },
		{ "Linux", " on Linux" }, { NULL, NULL },
	};
	return str_fmt(a, "%s%s", named(agent, browsers, "Another browser"), named(agent, systems, ""));
}

static enum err page_of(struct request *rq, struct response *rs, const char *name, struct buf *b, struct json_writer *w, enum err refused)
{
	enum err e = page_form_said(rq, rs, refused, w);
	return page_end(rq, rs, name, b, w, e);
}

static struct json_writer begin(struct buf *b, const char *title)
{
	struct json_writer w = page_begin(b);
	jw_kz(&w, "title", title);
	return w;
}

/* ---- The form ---- */

static enum err sign_in_form(struct request *rq, struct response *rs, struct str email, struct str next, enum err refused)
{
	struct buf b;
	const struct oidc_provider *providers;
	size_t n = oidc_providers(&providers);
	struct json_writer w = begin(&b, "Sign in");
	jw_kstr(&w, "email", email);
	jw_kstr(&w, "next", safe_next(next));
	jw_kstr(&w, "next_encoded", str_url_encode(rq->call->arena, safe_next(next)));
	jw_kbool(&w, "mail_on", notify_mail_on());
	jw_key(&w, "providers");
	jw_array(&w);
	for (size_t i = 0; i < n; i++) {
		jw_object(&w);
		jw_kstr(&w, "issuer", str_url_encode(rq->call->arena, providers[i].issuer));
		jw_kstr(&w, "provider", providers[i].name);
		jw_end_object(&w);
	}
	jw_end_array(&w);
	return page_of(rq, rs, "page/sign_in", &b, &w, refused);
}

static enum err sign_in_page(struct request *rq, struct response *rs)
{
	return sign_in_form(rq, rs, STR_NONE, request_query(rq, "next"), ERR_OK);
}

/* In, or on to the second factor. */
static enum err signed_in(struct request *rq, struct response *rs, const struct sign_in *in, struct str next)
{
	next = safe_next(next);
	if (in->challenge.p) {
		response_cookie(rq, rs, STEP_COOKIE, in->challenge, SIGN_IN_STEP_LIFE / CLOCK_SECOND);
		response_redirect(rs, str_fmt(rq->call->arena, "/sign-in/code?next=%.*s", STR_ARG(str_url_encode(rq->call->arena, next))));
		return ERR_OK;
	}
	response_cookie(rq, rs, STEP_COOKIE, STR(""), 0);
	response_set_session(rq, rs, in->secret, clock_now() + SESSION_LIFE);
	response_redirect(rs, next);
	return ERR_OK;
}

static enum err sign_in_submit(struct request *rq, struct response *rs)
{
	struct sign_in in;
	struct sign_in_from from = request_from(rq);
	struct str email = request_form(rq, "email"), next = request_form(rq, "next");
	from.in_steps = true;
	enum err e = sign_in_password(rq->call, email, request_form(rq, "password"), STR_NONE, &from, &in);
	return e == ERR_OK ? signed_in(rq, rs, &in, next) : sign_in_form(rq, rs, email, next, e);
}

/* ---- The second factor ---- */

static enum err code_form(struct request *rq, struct response *rs, struct str next, enum err refused)
{
	struct buf b;
	struct json_writer w = begin(&b, "Second step");
	jw_kstr(&w, "next", safe_next(next));
	return page_of(rq, rs, "page/sign_in_code", &b, &w, refused);
}

static enum err code_page(struct request *rq, struct response *rs)
{
	struct str next = request_query(rq, "next");
	if (!request_cookie(rq, STEP_COOKIE).p) {
		response_redirect(rs, STR("/sign-in"));
		return ERR_OK;
	}
	return code_form(rq, rs, next, ERR_OK);
}

static enum err code_submit(struct request *rq, struct response *rs)
{
	struct sign_in in;
	struct sign_in_from from = request_from(rq);
	struct str next = request_form(rq, "next");
	enum err e = sign_in_code(rq->call, request_cookie(rq, STEP_COOKIE), request_form(rq, "code"), &from, &in);
	if (e == ERR_UNAUTHENTICATED)
		return sign_in_form(rq, rs, STR_NONE, next, e);
	return e == ERR_OK ? signed_in(rq, rs, &in, next) : code_form(rq, rs, next, e);
}

/* ---- Mailed links ---- */

static enum err link_sent(struct request *rq, struct response *rs, struct str email, const char *title)
{
	struct buf b;
	struct json_writer w = begin(&b, title);
	jw_kstr(&w, "email", email);
	jw_kint(&w, "minutes", LINK_LIFE / CLOCK_MINUTE);
	return page_of(rq, rs, "page/link_sent", &b, &w, ERR_OK);
}

static enum err link_submit(struct request *rq, struct response *rs)
{
	struct str email = str_trim(request_form(rq, "email"));
	struct sign_in_from from = request_from_bound(rq, rs);
	enum err e = link_ask(rq->call, LINK_SIGN_IN, email, &from);
	return e == ERR_OK ? link_sent(rq, rs, email, "Look in your mail") : sign_in_form(rq, rs, email, request_form(rq, "next"), e);
}

static enum err forgotten_form(struct request *rq, struct response *rs, struct str email, enum err refused)
{
	struct buf b;
	struct json_writer w = begin(&b, "Forgotten password");
	jw_kstr(&w, "email", email);
	jw_kbool(&w, "mail_on", notify_mail_on());
	return page_of(rq, rs, "page/forgotten", &b, &w, refused);
}

static enum err forgotten_page(struct request *rq, struct response *rs)
{
	return forgotten_form(rq, rs, STR_NONE, ERR_OK);
}

static enum err forgotten_submit(struct request *rq, struct response *rs)
{
	struct str email = str_trim(request_form(rq, "email"));
	struct sign_in_from from = request_from_bound(rq, rs);
	enum err e = link_ask(rq->call, LINK_RESET, email, &from);
	return e == ERR_OK ? link_sent(rq, rs, email, "Look in your mail") : forgotten_form(rq, rs, email, e);
}

/* Shows what the link does and a button that does it: opening it alone, as mail scanners do, uses nothing up. */
static enum err link_form(struct request *rq, struct response *rs, struct str secret, enum err refused)
{
	struct buf b;
	struct link link;
	struct sign_in_from from = request_from(rq);
	struct json_writer w = begin(&b, "Your link");
	struct error said = rq->call->error;
	bool again = refused == ERR_OK || refused == ERR_INVALID || refused == ERR_REFUSED || refused == ERR_FORBIDDEN || refused == ERR_TOO_MANY;
	enum err e = again ? link_look(rq->call, secret, &from, &link) : refused;
	if (again && e == ERR_OK) {
		jw_kstr(&w, "secret", secret);
		jw_kbool(&w, "is_sign_in", link.purpose == LINK_SIGN_IN);
		jw_kbool(&w, "is_reset", link.purpose == LINK_RESET);
		jw_kbool(&w, "is_verify", link.purpose == LINK_VERIFY);
		jw_kbool(&w, "same_browser", link.same_browser);
		jw_kstr(&w, "address", link.same_browser ? link.email : STR_NONE);
		jw_kstr(&w, "asked_from", browser_words(rq->call->arena, link.agent));
		rq->call->error = said;
		e = refused;
	}
	return page_of(rq, rs, "page/link", &b, &w, e);
}

static enum err link_page(struct request *rq, struct response *rs)
{
	return link_form(rq, rs, request_query(rq, "secret"), ERR_OK);
}

static enum err link_used(struct request *rq, struct response *rs)
{
	struct sign_in in;
	struct sign_in_from from = request_from(rq);
	struct str secret = request_form(rq, "secret");
	from.in_steps = true;
	enum err e = link_use(rq->call, secret, request_form(rq, "email"), request_form(rq, "password"), STR_NONE, &from, &in);
	if (e != ERR_OK)
		return link_form(rq, rs, secret, e);
	if (in.secret.p || in.challenge.p)
		return signed_in(rq, rs, &in, STR("/"));
	return response_done(rq, rs, STR("Your address is confirmed."), rq->call->actor.kind == AUTH_SESSION ? STR("/me") : STR("/sign-in"));
}

/* ---- Other providers ---- */

static void go_there(struct response *rs, struct str url)
{
	rs->status = 303;
	rs->content_type = NULL;
	response_header(rs, "Location", url);
}

static enum err provider_go(struct request *rq, struct response *rs)
{
	struct str url, next = safe_next(request_query(rq, "next"));
	struct sign_in_from from = request_from_bound(rq, rs);
	enum err e = oidc_begin(rq->call, request_query(rq, "issuer"), false, NULL, next, &from, &url);
	if (e != ERR_OK)
		return sign_in_form(rq, rs, STR_NONE, next, e);
	go_there(rs, url);
	return ERR_OK;
}

static enum err provider_back(struct request *rq, struct response *rs)
{
	struct sign_in in;
	struct str next = STR_NONE;
	bool linked = false;
	struct sign_in_from from = request_from(rq);
	struct oidc_answer answer = { .state = request_query(rq, "state"), .code = request_query(rq, "code"), .error = request_query(rq, "error"), .issuer = request_query(rq, "iss") };
	from.in_steps = true;
	enum err e = oidc_finish(rq->call, &answer, &from, &in, &next, &linked);
	if (e != ERR_OK)
		return sign_in_form(rq, rs, STR_NONE, next, e);
	if (!linked)
		return signed_in(rq, rs, &in, next);
	return response_done(rq, rs, STR("Your account is joined with that identity. You can sign in with it from now on."), STR("/me/sign-in"));
}

const struct route sign_in_page_routes[] = {
	{ "GET", "/sign-in", "page_sign_in", PERM_OPTIONAL, 0, NULL, "text/html", 200, sign_in_page, "The form to sign in." },
	{ "POST", "/sign-in", "page_sign_in_submit", PERM_PUBLIC, LIMIT_BODY_SMALL, "form", "text/html", 303, sign_in_submit, "Signs in.", ROUTE_NO_CSRF | ROUTE_EXPENSIVE },
	{ "GET", "/sign-in/code", "page_sign_in_code", PERM_OPTIONAL, 0, NULL, "text/html", 200, code_page, "The form for the second factor." },
	{ "POST", "/sign-in/code", "page_sign_in_code_submit", PERM_PUBLIC, LIMIT_BODY_SMALL, "form", "text/html", 303, code_submit, "Shows the second factor.", ROUTE_NO_CSRF | ROUTE_EXPENSIVE },
	{ "POST", "/sign-in/mail", "page_link_ask", PERM_PUBLIC, LIMIT_BODY_SMALL, "form", "text/html", 200, link_submit, "Mails a link to sign in.", ROUTE_NO_CSRF | ROUTE_EXPENSIVE },
	{ "GET", "/sign-in/forgotten", "page_forgotten", PERM_OPTIONAL, 0, NULL, "text/html", 200, forgotten_page, "The form for a new password." },
	{ "POST", "/sign-in/forgotten", "page_forgotten_submit", PERM_PUBLIC, LIMIT_BODY_SMALL, "form", "text/html", 200, forgotten_submit, "Mails a link for a new password.",
	  ROUTE_NO_CSRF | ROUTE_EXPENSIVE },
	{ "GET", "/sign-in/link", "page_link", PERM_OPTIONAL, 0, NULL, "text/html", 200, link_page, "What a mailed link does; uses nothing up." },
	{ "POST", "/sign-in/link", "page_link_use", PERM_PUBLIC, LIMIT_BODY_SMALL, "form", "text/html", 303, link_used, "Uses a mailed link up.", ROUTE_NO_CSRF | ROUTE_EXPENSIVE },
	{ "GET", "/sign-in/provider", "page_provider", PERM_PUBLIC, 0, NULL, "text/html", 303, provider_go, "Sends the browser to another provider.", ROUTE_EXPENSIVE },
	{ "GET", "/sign-in/oidc/callback", "page_provider_back", PERM_PUBLIC, 0, NULL, "text/html", 303, provider_back, "The browser comes back from another provider.", ROUTE_EXPENSIVE },
	ROUTE_TABLE_END
};
