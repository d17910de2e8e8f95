/* Cross-site request forgery: a browser adds its cookie to requests that other sites make it send, so a write with a session must also show that it comes from our own
 * pages: by where the browser says it comes from, and by a token that only our pages know.
 */
#include "server/web/web.h"

static bool is_write(const struct exchange *x)
{
	return !str_is(x->rq.method, "GET");
}

static bool origin_is_ours(const struct exchange *x, struct str origin)
{
	if (str_eq(origin, x->server->base_url))
		return true;
	/* Reached under another name (localhost for 127.0.0.1): the browser's own Host is as good as its Origin. */
	struct str host = exchange_header(x, "Host");
	return (str_starts(origin, "http://") && str_eq(str_sub(origin, 7, origin.n), host))
		|| (str_starts(origin, "https://") && str_eq(str_sub(origin, 8, origin.n), host));
}

enum err csrf_check_origin(struct exchange *x)
{
	if (!is_write(x) || exchange_header(x, "Authorization").p)
		return ERR_OK;
	struct str site = exchange_header(x, "Sec-Fetch-Site"), origin = exchange_header(x, "Origin");
	bool foreign = (site.p && !str_is(site, "same-origin") && !str_is(site, "none")) || (origin.p && !origin_is_ours(x, origin));
	if (foreign)
		return fail_reason(&x->call, ERR_CSRF, "cross_site", "This was sent from another site. Open the page here and try again.");
	return ERR_OK;
}

struct str request_csrf(const struct request *rq)
{
	struct exchange *x = exchange_of(rq);
	if (!x->session.p)
		return STR("");
	if (!x->csrf[0]) {
		struct sha256 mac = hmac_sha256(x->session, STR("csrf"));
		struct str text = str_base64url(rq->call->arena, mac.b, sizeof(mac.b));
		memcpy(x->csrf, text.p, text.n);
	}
	return str_of(x->csrf);
}

enum err csrf_check_token(struct exchange *x)
{
	if (!is_write(x) || x->call.actor.kind != AUTH_SESSION || (x->rq.route->flags & ROUTE_NO_CSRF))
		return ERR_OK;
	struct str given = exchange_header(x, "X-CSRF-Token");
	if (!given.p && x->form)
		given = request_form(&x->rq, "csrf");
	if (!given.p || !secret_eq(given, request_csrf(&x->rq)))
		return fail(&x->call, ERR_CSRF, "%s", err_text(ERR_CSRF));
	return ERR_OK;
}
