/* The body of a request: its announced size against the route's cap before a byte is read, its media type, its bytes, and for JSON its shape. */
#include "server/web/web.h"

static bool route_wants(const struct route *r, const char *what)
{
	return r->request && strcmp(r->request, what) == 0;
}

static bool route_wants_json(const struct route *r)
{
	return r->request && !route_wants(r, "form") && !str_starts(str_of(r->request), "stream:");
}

static struct str media_type(const struct exchange *x)
{
	struct str type = exchange_header(x, "Content-Type"), first;
	return str_split(&type, ';', &first) ? str_trim(first) : STR_NONE;
}

static bool media_type_fits(const struct exchange *x, const char **wanted)
{
	const struct route *r = x->rq.route;
	struct str type = media_type(x);
	if (route_wants(r, "form")) {
		*wanted = "application/x-www-form-urlencoded or multipart/form-data";
		return str_eq_nocase(type, "application/x-www-form-urlencoded") || str_eq_nocase(type, "multipart/form-data");
	}
	if (route_wants_json(r)) {
		*wanted = "application/json";
		return str_eq_nocase(type, "application/json") || (str_starts(type, "application/") && str_ends(type, "+json"));
	}
	if (r->flags & ROUTE_STREAM_BODY) {
		*wanted = r->request + strlen("stream:");
		return strcmp(*wanted, "*/*") == 0 || str_eq_nocase(type, *wanted);
	}
	return true;
}

enum err body_check(struct exchange *x)
{
	const struct route *r = x->rq.route;
	bool announced = x->content_length >= 0;
	if (!announced)
		x->content_length = 0;
	if (r->body_max == 0 && x->content_length > 0)
		return fail(&x->call, ERR_TOO_LARGE, "This address takes no body.");
	if ((uint64_t)x->content_length > r->body_max)
		return fail(&x->call, ERR_TOO_LARGE, "The body may have at most %zu bytes here.", r->body_max);
	if (r->request && !announced)
		return fail(&x->call, ERR_LENGTH_REQUIRED, "%s", err_text(ERR_LENGTH_REQUIRED));
	const char *wanted = "";
	if (r->request && x->content_length > 0 && !media_type_fits(x, &wanted))
		return fail(&x->call, ERR_MEDIA_TYPE, "The body must be %s.", wanted);
	return ERR_OK;
}

static enum err body_take(struct exchange *x)
{
	size_t n = (size_t)x->content_length, at = 0;
	if (n == 0) {
		x->rq.body = STR("");
		return ERR_OK;
	}
	char *p = arena_alloc(x->call.arena, n);
	while (at < n) {
		size_t got = engine_read(x, p + at, n - at);
		if (got == 0)
			return fail(&x->call, ERR_TIMEOUT, "The body came too slowly or ended early.");
		at += got;
	}
	x->rq.body = str_make(p, n);
	return ERR_OK;
}

static enum err body_parse_json(struct exchange *x)
{
	struct call *c = &x->call;
	TRY(json_parse(c->arena, x->rq.body, &x->rq.json, &c->error));
	return json_schema_check(c->arena, schema_find(x->server->schemas, str_of(x->rq.route->request)), x->rq.json, &c->error);
}

enum err body_read(struct exchange *x)
{
	TRY(body_take(x));
	if (route_wants_json(x->rq.route))
		return body_parse_json(x);
	if (route_wants(x->rq.route, "form"))
		return form_parse(&x->call, exchange_header(x, "Content-Type"), x->rq.body, &x->form);
	return ERR_OK;
}
