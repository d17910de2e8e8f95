/* For whoever runs the instance: is it alive, is it ready, what does it measure. And the documents that describe the interface. */
#include "server/web/web.h"

static enum err ops_health(struct request *rq, struct response *rs)
{
	(void)rq;
	struct json_writer w = response_json(rs);
	jw_object(&w);
	jw_kz(&w, "status", "ok");
	jw_end_object(&w);
	return ERR_OK;
}

static enum err ops_ready(struct request *rq, struct response *rs)
{
	const struct http_hooks *hooks = &exchange_of(rq)->server->options.hooks;
	if (hooks->ready && hooks->ready(rq->call) != ERR_OK)
		return fail(rq->call, ERR_UNAVAILABLE, "The database does not answer or is not up to date.");
	return ops_health(rq, rs);
}

/* Loopback only, unless the caller shows the token. Behind a proxy every peer is loopback: there the forwarded address counts, if the proxy is one to be believed. */
static bool metrics_allowed(const struct exchange *x)
{
	struct str token = x->server->options.metrics_token, header = exchange_header(x, "Authorization");
	if (token.n && str_starts(header, "Bearer ") && secret_eq(str_sub(header, 7, header.n), token))
		return true;
	bool forwarded = exchange_header(x, "X-Forwarded-For").p != NULL;
	bool from_here = str_starts(x->address, "127.") || str_is(x->address, "::1");
	return x->peer_loopback && (!forwarded || (x->server->options.trust_proxy && from_here));
}

static enum err ops_metrics(struct request *rq, struct response *rs)
{
	struct exchange *x = exchange_of(rq);
	if (!metrics_allowed(x))
		return fail(rq->call, ERR_NOT_FOUND, "%s", err_text(ERR_NOT_FOUND));
	metric_set("commonhold_http_in_flight", "", atomic_load(&x->server->in_flight));
	metric_set("commonhold_http_streams", "", atomic_load(&x->server->streams));
	if (x->server->options.hooks.gauges)
		x->server->options.hooks.gauges();
	rs->content_type = "text/plain; version=0.0.4; charset=utf-8";
	metrics_write(&rs->body);
	return ERR_OK;
}

const struct route web_routes[] = {
	{ "GET", "/healthz", "health", PERM_PUBLIC, 0, NULL, "health", 200, ops_health, "Whether the process lives", ROUTE_FREE | ROUTE_NO_AUTH },
	{ "GET", "/readyz", "ready", PERM_PUBLIC, 0, NULL, "health", 200, ops_ready, "Whether it can answer: the database is there and up to date", ROUTE_FREE | ROUTE_NO_AUTH },
	{ "GET", "/metrics", "metrics", PERM_PUBLIC, 0, NULL, "text/plain", 200, ops_metrics, "Counters and gauges in Prometheus text; from this machine or with a token",
		ROUTE_FREE | ROUTE_NO_AUTH },
	{ "GET", "/api/v1/openapi.json", "openapi", PERM_PUBLIC, 0, NULL, "application/openapi+json", 200, openapi_document, "This description of the interface",
		ROUTE_FREE | ROUTE_NO_AUTH },
	{ "GET", "/api/v1/schemas/{name}.json", "schema", PERM_PUBLIC, 0, NULL, "application/schema+json", 200, openapi_schema, "One of the JSON schemas",
		ROUTE_FREE | ROUTE_NO_AUTH },
	{ "GET", "/static/{path*}", "page_static", PERM_PUBLIC, 0, NULL, "application/octet-stream", 200, static_file, NULL, ROUTE_FREE | ROUTE_NO_AUTH },
	ROUTE_TABLE_END,
};
