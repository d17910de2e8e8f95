/* Access tokens: written by libjwt, read by OpenSSL against the one key that we have.
 *
 * libjwt chooses the algorithm by the token's header and, given a public key, would take an HS256 token made with that key's text as the secret. Here the algorithm is
 * fixed before the signature is looked at.
 */
#include "server/base/crypto_keys.h"
#include "server/base/es256.h"
#include "commonhold/json.h"

#include <jwt.h>

static enum err token_bad(struct error *e)
{
	return error_set(e, ERR_TOKEN_INVALID, "%s", err_text(ERR_TOKEN_INVALID));
}

static void token_release(void *jwt)
{
	jwt_free(jwt);
}

static bool claim_text(jwt_t *jwt, struct arena *a, const char *name, struct str value)
{
	return !value.p || jwt_add_grant(jwt, name, str_z(a, value)) == 0;
}

static bool token_fill(jwt_t *jwt, struct arena *a, const struct instance_keys *k, const struct token_claims *claims)
{
	return jwt_set_alg(jwt, JWT_ALG_ES256, (const unsigned char *)k->access_pem, (int)k->access_pem_n) == 0 && jwt_add_header(jwt, "kid", k->kid) == 0 &&
		claim_text(jwt, a, "iss", claims->issuer) && claim_text(jwt, a, "sub", claims->subject) && claim_text(jwt, a, "aud", claims->audience) &&
		claim_text(jwt, a, "scope", claims->scope) && claim_text(jwt, a, "grant", claims->grant) &&
		jwt_add_grant_int(jwt, "iat", (long)(claims->issued / CLOCK_SECOND)) == 0 && jwt_add_grant_int(jwt, "exp", (long)(claims->expires / CLOCK_SECOND)) == 0;
}

enum err access_token_make(struct arena *a, const struct instance_keys *k, const struct token_claims *claims, struct str *out, struct error *e)
{
	jwt_t *jwt = NULL;
	if (jwt_new(&jwt) != 0)
		return error_set(e, ERR_NO_MEMORY, "There is no memory for a token.");
	arena_defer(a, token_release, jwt);
	char *text = token_fill(jwt, a, k, claims) ? jwt_encode_str(jwt) : NULL;
	if (!text)
		return error_set(e, ERR_INTERNAL, "The token could not be made.");
	arena_defer(a, free, text);
	*out = str_of(text);
	return out->n <= LIMIT_TOKEN ? ERR_OK : error_set(e, ERR_INTERNAL, "The token became too long.");
}

bool es256_verify(EVP_PKEY *key, struct str message, const uint8_t signature[64])
{
	unsigned char *der = NULL;
	ECDSA_SIG *pair = ECDSA_SIG_new();
	BIGNUM *r = BN_bin2bn(signature, 32, NULL), *s = BN_bin2bn(signature + 32, 32, NULL);
	if (!pair || !r || !s || !ECDSA_SIG_set0(pair, r, s)) {
		ECDSA_SIG_free(pair);
		BN_free(r);
		BN_free(s);
		return false;
	}
	int n = i2d_ECDSA_SIG(pair, &der);
	ECDSA_SIG_free(pair);
	EVP_MD_CTX *context = EVP_MD_CTX_new();
	bool ok = n > 0 && context && EVP_DigestVerifyInit(context, NULL, EVP_sha256(), NULL, key) == 1 &&
		EVP_DigestVerify(context, der, (size_t)n, (const unsigned char *)message.p, message.n) == 1;
	EVP_MD_CTX_free(context);
	OPENSSL_free(der);
	return ok;
}

static bool part_object(struct arena *a, struct str part, const struct json **out)
{
	struct error ignored = { 0 };
	struct str text;
	return str_unbase64url(a, part, &text) && json_parse(a, text, out, &ignored) == ERR_OK && json_is(*out, JSON_OBJECT);
}

/* Only exactly what we write: ES256, our key, no critical extensions. */
static bool header_ours(const struct json *header, const struct instance_keys *k)
{
	return str_is(json_member_text(header, "alg"), "ES256") && str_is(json_member_text(header, "kid"), k->kid) && !json_get(header, "crit");
}

static bool signature_ours(struct arena *a, const struct instance_keys *k, struct str jwt, const struct json **claims)
{
	struct str rest = jwt, header_part, claims_part, signature_part, signature;
	const struct json *header;
	if (!str_split(&rest, '.', &header_part) || !str_split(&rest, '.', &claims_part) || !str_split(&rest, '.', &signature_part) || rest.p)
		return false;
	if (!part_object(a, header_part, &header) || !header_ours(header, k) || !str_unbase64url(a, signature_part, &signature) || signature.n != 64)
		return false;
	struct str message = str_sub(jwt, 0, header_part.n + 1 + claims_part.n);
	return es256_verify(k->access, message, (const uint8_t *)signature.p) && part_object(a, claims_part, claims);
}

enum err access_token_check(struct arena *a, const struct instance_keys *k, struct str jwt, struct str audience, instant now, struct token_claims *out, struct error *e)
{
	const struct json *claims;
	if (!jwt.p || jwt.n > LIMIT_TOKEN || !signature_ours(a, k, jwt, &claims))
		return token_bad(e);
	int64_t issued = json_int(json_get(claims, "iat"), -1), expires = json_int(json_get(claims, "exp"), -1);
	int64_t far = INT64_MAX / CLOCK_SECOND;
	if (issued < 0 || expires < 0 || issued > far || expires > far)
		return token_bad(e);
	*out = (struct token_claims){ json_member_text(claims, "iss"), json_member_text(claims, "sub"), json_member_text(claims, "aud"), json_member_text(claims, "scope"),
		json_member_text(claims, "grant"), issued * CLOCK_SECOND, expires * CLOCK_SECOND };
	if (!out->audience.p || !str_eq(out->audience, audience))
		return token_bad(e);
	if (now >= out->expires)
		return error_set(e, ERR_TOKEN_EXPIRED, "%s", err_text(ERR_TOKEN_EXPIRED));
	return ERR_OK;
}

struct str access_jwks(struct arena *a, const struct instance_keys *k)
{
	return str_fmt(a, "{\"keys\":[{\"alg\":\"ES256\",\"crv\":\"P-256\",\"kid\":\"%s\",\"kty\":\"EC\",\"use\":\"sig\",\"x\":\"%s\",\"y\":\"%s\"}]}", k->kid, k->x, k->y);
}
