#include "server/account/oidc_provider.h"

#include "commonhold/config.h"
#include "commonhold/json.h"
#include "commonhold/log.h"

#include <pthread.h>
#include <stdlib.h>

#define KEEP (60 * CLOCK_MINUTE) /* of what was fetched */
#define ANEW (1 * CLOCK_MINUTE)  /* between two looks for a key that a token names */

/* Documents of the provider as they came, with when (clock_tick). */
struct kept { char *text; size_t n; int64_t at; };

static struct {
	pthread_mutex_t lock;
	struct kept metadata, jwks;
	int64_t anew_at;   /* when the keys were last fetched for an unknown one */
	bool anew;         /* they ever were */
} cache = { .lock = PTHREAD_MUTEX_INITIALIZER };

size_t oidc_providers(const struct oidc_provider **out)
{
	static struct oidc_provider one;
	struct str issuer = str_of(config()->oidc_issuer), name = str_of(config()->oidc_name);
	ptrdiff_t scheme = str_index(issuer, ':');
	if (!issuer.n || scheme < 0)
		return 0;
	struct str host = str_sub(issuer, (size_t)scheme + 3, issuer.n);
	ptrdiff_t slash = str_index(host, '/');
	one = (struct oidc_provider){ .issuer = issuer, .name = name.n ? name : slash < 0 ? host : str_sub(host, 0, (size_t)slash) };
	*out = &one;
	return 1;
}

static void kept_drop(struct kept *k)
{
	free(k->text);
	*k = (struct kept){ 0 };
}

void oidc_provider_forget(void)
{
	pthread_mutex_lock(&cache.lock);
	kept_drop(&cache.metadata);
	kept_drop(&cache.jwks);
	cache.anew = false;
	pthread_mutex_unlock(&cache.lock);
}

static struct str kept_copy(struct call *c, const struct kept *k)
{
	pthread_mutex_lock(&cache.lock);
	bool fresh = k->text && clock_tick() - k->at < KEEP;
	size_t n = fresh ? k->n : 0;
	char *own = fresh ? malloc(n + 1) : NULL;
	if (own)
		memcpy(own, k->text, n);
	pthread_mutex_unlock(&cache.lock);
	struct str text = own ? str_copy(c->arena, str_make(own, n)) : STR_NONE;
	free(own);
	return text;
}

static void kept_put(struct kept *k, struct str text)
{
	char *own = malloc(text.n + 1);
	if (!own)
		return;
	memcpy(own, text.p, text.n);
	pthread_mutex_lock(&cache.lock);
	kept_drop(k);
	*k = (struct kept){ own, text.n, clock_tick() };
	pthread_mutex_unlock(&cache.lock);
}

static enum err wrong(struct call *c, const char *why)
{
	log_event(LOG_WARN, "oidc.description_unusable", LOG_Z("why", why));
	return fail_reason(c, ERR_UNAVAILABLE, "oidc_unreachable", "The provider does not describe itself as it should. Sign in another way, and tell whoever runs this instance.");
}

static enum err document_fetch(struct call *c, struct str url, const struct json **tree, struct str *text)
{
	struct fetched got = { 0 };
	struct error ignored = { 0 };
	TRY(oidc_fetch(c, url, STR_NONE, STR_NONE, STR_NONE, &got));
	if (got.status != 200)
		return wrong(c, "its answer is not 200");
	*text = got.body;
	if (json_parse(c->arena, got.body, tree, &ignored) != ERR_OK || !json_is(*tree, JSON_OBJECT))
		return wrong(c, "its answer is no JSON object");
	return ERR_OK;
}

/* An address of the provider is as safe as the issuer's. */
static bool endpoint_safe(struct str url, struct str issuer)
{
	for (size_t i = 0; i < url.n; i++)
		if ((uint8_t)url.p[i] <= 0x20 || (uint8_t)url.p[i] >= 0x7f)
			return false;
	return url.n > 8 && url.n < 2000 && str_index(url, '#') < 0 && (str_starts(url, "https://") || (url_is_loopback(issuer) && url_is_loopback(url)));
}

static bool lists(const struct json *list, const char *word)
{
	json_each(one, list)
		if (str_is(json_text(one), word))
			return true;
	return false;
}

static enum err metadata_read(struct call *c, struct str issuer, const struct json *d, struct oidc_metadata *out)
{
	const struct json *methods = json_get(d, "token_endpoint_auth_methods_supported"), *pkce = json_get(d, "code_challenge_methods_supported");
	*out = (struct oidc_metadata){
		.authorization = json_member_text(d, "authorization_endpoint"), .token = json_member_text(d, "token_endpoint"), .jwks = json_member_text(d, "jwks_uri"),
		.says_issuer = json_bool(json_get(d, "authorization_response_iss_parameter_supported"), false),
		.secret_in_body = methods && !lists(methods, "client_secret_basic") && lists(methods, "client_secret_post"),
	};
	if (!str_eq(json_member_text(d, "issuer"), issuer))
		return wrong(c, "it names another issuer");
	if (!endpoint_safe(out->authorization, issuer) || !endpoint_safe(out->token, issuer) || !endpoint_safe(out->jwks, issuer))
		return wrong(c, "an address in it is not safe");
	if (pkce && !lists(pkce, "S256"))
		return wrong(c, "it does not take PKCE with S256");
	return ERR_OK;
}

enum err oidc_metadata_get(struct call *c, struct str issuer, struct oidc_metadata *out)
{
	struct error ignored = { 0 };
	const struct json *tree;
	struct str text = kept_copy(c, &cache.metadata);
	if (text.p && json_parse(c->arena, text, &tree, &ignored) == ERR_OK && str_eq(json_member_text(tree, "issuer"), issuer))
		return metadata_read(c, issuer, tree, out);
	bool slash = str_ends(issuer, "/");
	struct str url = str_fmt(c->arena, "%.*s/.well-known/openid-configuration", (int)(issuer.n - slash), issuer.p);
	TRY(document_fetch(c, url, &tree, &text));
	TRY(metadata_read(c, issuer, tree, out));
	kept_put(&cache.metadata, text);
	return ERR_OK;
}

/* One look a minute, whoever asks: made-up tokens must not make us hammer the provider. */
static bool anew_allowed(void)
{
	pthread_mutex_lock(&cache.lock);
	bool allowed = !cache.anew || clock_tick() - cache.anew_at >= ANEW;
	if (allowed) {
		cache.anew = true;
		cache.anew_at = clock_tick();
	}
	pthread_mutex_unlock(&cache.lock);
	return allowed;
}

enum err oidc_jwks_get(struct call *c, const struct oidc_metadata *m, bool anew, struct str *out)
{
	const struct json *tree;
	*out = anew ? STR_NONE : kept_copy(c, &cache.jwks);
	if (out->p)
		return ERR_OK;
	if (anew && !anew_allowed())
		return fail_reason(c, ERR_TOO_MANY, "oidc_key_unknown", "The provider has changed its keys more than once within a minute. Try again in a minute.");
	TRY(document_fetch(c, m->jwks, &tree, out));
	kept_put(&cache.jwks, *out);
	return ERR_OK;
}

enum err oidc_check(struct call *c)
{
	const struct oidc_provider *all;
	struct oidc_metadata m;
	struct str jwks;
	if (!oidc_providers(&all))
		return ERR_OK;
	TRY(oidc_metadata_get(c, all[0].issuer, &m));
	return oidc_jwks_get(c, &m, false, &jwks);
}
