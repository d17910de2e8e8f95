#include "server/account/oidc_provider.h"

#include "commonhold/config.h"
#include "commonhold/fetch.h"
#include "commonhold/limits.h"
#include "commonhold/log.h"

#include <stdatomic.h>

#define CONNECT_MS 2000
#define TOTAL_MS 5000
#define BODY_MAX (256 * KIB) /* a description or a set of keys has a few KiB */
#define AT_A_TIME 8          /* exchanges under way: a slow provider must not take all workers */

static atomic_int under_way;

static enum err unreachable(struct call *c, const char *why)
{
	log_event(LOG_WARN, "oidc.unreachable", LOG_Z("why", why));
	return fail_reason(c, ERR_UNAVAILABLE, "oidc_unreachable", "The provider does not answer as it should. Try again shortly, or sign in another way.");
}

/* Nothing but what was asked for, from whom it was asked: no redirects, no other protocol, no end of bytes. */
static enum err exchange(struct call *c, const struct fetch_request *request, struct fetched *out)
{
	struct fetch_answer answer;
	struct error e = { 0 };
	if (fetch(NULL, c->arena, request, &answer, &e) != ERR_OK)
		return unreachable(c, e.message);
	*out = (struct fetched){ answer.status, answer.body };
	return ERR_OK;
}

enum err oidc_fetch(struct call *c, struct str url, struct str form, struct str user, struct str password, struct fetched *out)
{
	static const struct fetch_header headers[] = { { { "Accept", 6 }, { "application/json", 16 } }, { { "Content-Type", 12 }, { "application/x-www-form-urlencoded", 33 } } };
	bool loopback = url_is_loopback(url);
	if (!loopback && !str_starts(url, "https://"))
		return unreachable(c, "an address without https");
	/* Whoever runs the instance named the provider, which may well be one of their own network. */
	const struct fetch_request request = {
		.url = url, .headers = headers, .n_headers = form.p ? 2 : 1, .body = form, .user = user, .password = password,
		.max_bytes = BODY_MAX, .connect_ms = CONNECT_MS, .total_ms = TOTAL_MS, .allow_private = true, .allow_http = loopback,
	};
	bool room = atomic_fetch_add(&under_way, 1) < AT_A_TIME;
	enum err e = room ? exchange(c, &request, out) : fail_reason(c, ERR_UNAVAILABLE, "oidc_busy", "Many people sign in with the provider just now. Try again shortly.");
	atomic_fetch_sub(&under_way, 1);
	return e;
}
