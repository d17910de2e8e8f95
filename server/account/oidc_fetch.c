#include "server/account/oidc_provider.h"

#include "commonhold/config.h"
#include "commonhold/log.h"

#include <curl/curl.h>
#include <stdatomic.h>

#define CONNECT_MS 2000
#define TOTAL_MS 5000
#define BODY_MAX (256 * KIB) /* a description or a set of keys has a few KiB */
#define AT_A_TIME 8          /* exchanges under way: a slow provider must not take all workers */

static atomic_int under_way;

static size_t body_take(char *p, size_t size, size_t n, void *arg)
{
	struct buf *b = arg;
	buf_add(b, p, size * n);
	return b->failed ? 0 : size * n;
}

static void handle_release(void *curl)
{
	curl_easy_cleanup(curl);
}

static void headers_release(void *list)
{
	curl_slist_free_all(list);
}

static void body_release(void *b)
{
	buf_release(b);
}

static enum err unreachable(struct call *c, const char *why)
{
	log_event(LOG_WARN, "oidc.unreachable", LOG_Z("why", why));
	return fail_reason(c, ERR_UNAVAILABLE, "oidc_unreachable", "The provider does not answer as it should. Try again shortly, or sign in another way.");
}

/* Nothing but what was asked for, from whom it was asked: no redirects, no other protocol, no end of bytes. */
static void handle_limit(CURL *curl, bool loopback)
{
	curl_easy_setopt(curl, CURLOPT_PROTOCOLS_STR, loopback ? "http" : "https");
	curl_easy_setopt(curl, CURLOPT_FOLLOWLOCATION, 0L);
	curl_easy_setopt(curl, CURLOPT_NOSIGNAL, 1L);
	curl_easy_setopt(curl, CURLOPT_CONNECTTIMEOUT_MS, (long)CONNECT_MS);
	curl_easy_setopt(curl, CURLOPT_TIMEOUT_MS, (long)TOTAL_MS);
	curl_easy_setopt(curl, CURLOPT_MAXFILESIZE, (long)BODY_MAX);
	curl_easy_setopt(curl, CURLOPT_SSLVERSION, (long)CURL_SSLVERSION_TLSv1_2);
	if (loopback)
		curl_easy_setopt(curl, CURLOPT_NOPROXY, "*");
}

static enum err exchange(struct call *c, CURL *curl, struct buf *body, struct fetched *out)
{
	CURLcode code = curl_easy_perform(curl);
	if (code != CURLE_OK)
		return unreachable(c, curl_easy_strerror(code));
	curl_easy_getinfo(curl, CURLINFO_RESPONSE_CODE, &out->status);
	out->body = str_copy(c->arena, buf_str(body));
	return ERR_OK;
}

enum err oidc_fetch(struct call *c, struct str url, struct str form, struct str user, struct str password, struct fetched *out)
{
	bool loopback = url_is_loopback(url);
	if (!loopback && !str_starts(url, "https://"))
		return unreachable(c, "an address without https");
	CURL *curl = curl_easy_init();
	struct curl_slist *headers = curl_slist_append(NULL, "Accept: application/json");
	struct buf *body = ARENA_NEW(c->arena, struct buf);
	buf_init(body, BODY_MAX);
	if (!curl || !headers || !arena_defer(c->arena, handle_release, curl) || !arena_defer(c->arena, headers_release, headers) || !arena_defer(c->arena, body_release, body))
		return fail(c, ERR_NO_MEMORY, "%s", err_text(ERR_NO_MEMORY));
	handle_limit(curl, loopback);
	curl_easy_setopt(curl, CURLOPT_URL, str_z(c->arena, url));
	curl_easy_setopt(curl, CURLOPT_HTTPHEADER, headers);
	curl_easy_setopt(curl, CURLOPT_WRITEFUNCTION, body_take);
	curl_easy_setopt(curl, CURLOPT_WRITEDATA, body);
	if (form.p) {
		curl_easy_setopt(curl, CURLOPT_POSTFIELDSIZE, (long)form.n);
		curl_easy_setopt(curl, CURLOPT_COPYPOSTFIELDS, str_z(c->arena, form));
	}
	if (user.p) {
		curl_easy_setopt(curl, CURLOPT_HTTPAUTH, (long)CURLAUTH_BASIC);
		curl_easy_setopt(curl, CURLOPT_USERNAME, str_z(c->arena, user));
		curl_easy_setopt(curl, CURLOPT_PASSWORD, str_z(c->arena, password));
	}
	bool room = atomic_fetch_add(&under_way, 1) < AT_A_TIME;
	enum err e = room ? exchange(c, curl, body, out) : fail_reason(c, ERR_UNAVAILABLE, "oidc_busy", "Many people sign in with the provider just now. Try again shortly.");
	atomic_fetch_sub(&under_way, 1);
	return e;
}
