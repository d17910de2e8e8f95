/* Who calls: the session cookie of a browser or the bearer token of a program. This file finds the claim; the domains, through the identify hook, say whether it holds. */
#include "server/web/web.h"

#define COOKIE_MAX 128 /* no secret of ours is longer */

static bool is_jwt(struct str s)
{
	size_t dots = 0;
	for (size_t i = 0; i < s.n; i++)
		dots += s.p[i] == '.';
	return dots == 2;
}

static struct str route_coop(const struct exchange *x)
{
	struct str names[LIMIT_PATH_PARAMS];
	size_t n = route_params(x->rq.route, names);
	for (size_t i = 0; i < n; i++) {
		if (str_is(names[i], "coop"))
			return x->rq.param[i];
	}
	return STR_NONE;
}

/* Clients of the Hugging Face Hub send no token that does not begin with "hf_": ours may stand behind that. */
struct str request_bearer(const struct request *rq)
{
	struct str header = request_header(rq, "Authorization");
	if (header.n < 7 || !str_eq_nocase(str_sub(header, 0, 7), "Bearer "))
		return STR_NONE;
	struct str token = str_trim(str_sub(header, 7, header.n));
	return str_starts(token, "hf_") ? str_sub(token, 3, token.n) : token;
}

/* A bearer token goes before a cookie: whoever sends one means it. */
static enum err claim_find(struct exchange *x, struct http_identity *who)
{
	*who = (struct http_identity){ .kind = AUTH_NONE, .coop = route_coop(x), .ahead = x->rq.route->ahead, .rq = &x->rq };
	if (exchange_header(x, "Authorization").p) {
		who->secret = request_bearer(&x->rq);
		if (!who->secret.p)
			return fail(&x->call, ERR_TOKEN_INVALID, "Authorization must be \"Bearer\" and a token.");
		if (who->secret.n == 0 || who->secret.n > LIMIT_TOKEN)
			return fail(&x->call, ERR_TOKEN_INVALID, "%s", err_text(ERR_TOKEN_INVALID));
		who->kind = is_jwt(who->secret) ? AUTH_GRANT : AUTH_TOKEN;
		return ERR_OK;
	}
	struct str cookie = exchange_cookie(x, x->server->session_cookie);
	if (cookie.n > 0 && cookie.n <= COOKIE_MAX) {
		who->kind = AUTH_SESSION;
		who->secret = cookie;
	}
	return ERR_OK;
}

enum err auth_identify(struct exchange *x)
{
	const struct http_hooks *hooks = &x->server->options.hooks;
	struct http_identity who;
	if (x->rq.route->flags & ROUTE_NO_AUTH)
		return ERR_OK;
	TRY(claim_find(x, &who));
	if (who.kind == AUTH_SESSION)
		x->session = who.secret;
	if (who.kind == AUTH_NONE && !who.coop.p)
		return ERR_OK;
	if (!hooks->identify)
		return who.kind == AUTH_NONE ? ERR_OK : fail(&x->call, ERR_TOKEN_INVALID, "%s", err_text(ERR_TOKEN_INVALID));
	enum err e = hooks->identify(&x->call, &who, &x->rq.coop);
	if (e == ERR_TOKEN_INVALID || e == ERR_TOKEN_EXPIRED) /* whoever guesses tokens is slowed down */
		TRY(ratelimit_take(x, 10));
	if (x->call.actor.kind != AUTH_SESSION)
		x->session = STR_NONE;
	return e;
}

static void cookie_set(struct request *rq, struct response *rs, struct str name, struct str value, int64_t seconds)
{
	const struct http_server *s = exchange_of(rq)->server;
	struct str line = str_fmt(rq->call->arena, "%.*s=%.*s; Path=/; HttpOnly; SameSite=Lax; Max-Age=%lld%s", STR_ARG(name), STR_ARG(value),
		(long long)seconds, s->https ? "; Secure" : "");
	response_header(rs, "Set-Cookie", line);
}

void response_set_session(struct request *rq, struct response *rs, struct str secret, instant expires)
{
	int64_t seconds = (expires - clock_now()) / CLOCK_SECOND;
	cookie_set(rq, rs, exchange_of(rq)->server->session_cookie, secret, seconds > 0 ? seconds : 0);
}

void response_end_session(struct request *rq, struct response *rs)
{
	cookie_set(rq, rs, exchange_of(rq)->server->session_cookie, STR(""), 0);
}

/* With https a cookie is bound to this very host; plain http has no such thing. */
static struct str cookie_name(const struct request *rq, const char *name)
{
	return str_fmt(rq->call->arena, "%s%s", exchange_of(rq)->server->https ? "__Host-" : "", name);
}

struct str request_cookie(const struct request *rq, const char *name)
{
	struct str value = exchange_cookie(exchange_of(rq), cookie_name(rq, name));
	return value.n > 0 && value.n <= COOKIE_MAX ? value : STR_NONE;
}

void response_cookie(struct request *rq, struct response *rs, const char *name, struct str value, int64_t seconds)
{
	cookie_set(rq, rs, cookie_name(rq, name), value, seconds);
}
