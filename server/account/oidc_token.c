#include "server/base/es256.h"

#include "server/account/oidc_token.h"

#include "commonhold/json.h"
#include "commonhold/limits.h"

#include <openssl/param_build.h>
#include <stdio.h>

#define LEEWAY (60 * CLOCK_SECOND)      /* two clocks */
#define TOKEN_AGE_MAX (15 * CLOCK_MINUTE) /* a fresh sign-in has a fresh token */
#define RSA_BITS_MIN 2048
#define RSA_BITS_MAX 8192

/* One kind of key, and the one algorithm that we use it with. */
enum algorithm { RS256, ES256, EDDSA, NO_ALGORITHM };
static const char *const algorithm_names[] = { [RS256] = "RS256", [ES256] = "ES256", [EDDSA] = "EdDSA" };

static enum err refused(struct error *e, enum err code, const char *reason, const char *sentence)
{
	code = error_set(e, code, "The provider's answer was refused: %s", sentence);
	snprintf(e->reason, sizeof(e->reason), "%s", reason);
	return code;
}

static enum err malformed(struct error *e)
{
	return refused(e, ERR_TOKEN_INVALID, "oidc_token_malformed", "it is no identity token.");
}

/* ---- Keys ---- */

static enum algorithm key_algorithm(const struct json *key)
{
	struct str kty = json_member_text(key, "kty"), crv = json_member_text(key, "crv"), alg = json_member_text(key, "alg"), use = json_member_text(key, "use");
	enum algorithm of = str_is(kty, "RSA") ? RS256 : str_is(kty, "EC") && str_is(crv, "P-256") ? ES256 : str_is(kty, "OKP") && str_is(crv, "Ed25519") ? EDDSA : NO_ALGORITHM;
	bool for_signatures = !use.p || str_is(use, "sig");
	if (of == NO_ALGORITHM || !for_signatures || (alg.p && !str_is(alg, algorithm_names[of])))
		return NO_ALGORITHM;
	return of;
}

/* The one usable key with the kid; without a kid, the only usable key that there is. NULL otherwise. */
static const struct json *key_find(const struct json *jwks, struct str kid)
{
	const struct json *found = NULL;
	int looked = 0, usable = 0;
	json_each(key, json_get(jwks, "keys")) {
		if (looked++ == JWKS_KEYS_MAX)
			break;
		if (key_algorithm(key) == NO_ALGORITHM || (kid.p && !str_eq(json_member_text(key, "kid"), kid)))
			continue;
		if (!found)
			found = key;
		usable++;
	}
	return usable == 1 ? found : NULL;
}

static bool member_bytes(struct arena *a, const struct json *key, const char *name, struct str *out)
{
	struct str text = json_member_text(key, name);
	return text.n > 0 && text.n < 2048 && str_unbase64url(a, text, out) && out->n > 0;
}

static EVP_PKEY *key_of_parameters(const char *type, OSSL_PARAM_BLD *build)
{
	EVP_PKEY *key = NULL;
	OSSL_PARAM *parameters = OSSL_PARAM_BLD_to_param(build);
	EVP_PKEY_CTX *context = EVP_PKEY_CTX_new_from_name(NULL, type, NULL);
	if (parameters && context && EVP_PKEY_fromdata_init(context) == 1 && EVP_PKEY_fromdata(context, &key, EVP_PKEY_PUBLIC_KEY, parameters) != 1)
		key = NULL;
	EVP_PKEY_CTX_free(context);
	OSSL_PARAM_free(parameters);
	return key;
}

static EVP_PKEY *rsa_key(struct arena *a, const struct json *jwk)
{
	struct str n, e;
	if (!member_bytes(a, jwk, "n", &n) || !member_bytes(a, jwk, "e", &e) || e.n > 8)
		return NULL;
	BIGNUM *modulus = BN_bin2bn((const unsigned char *)n.p, (int)n.n, NULL), *exponent = BN_bin2bn((const unsigned char *)e.p, (int)e.n, NULL);
	OSSL_PARAM_BLD *build = OSSL_PARAM_BLD_new();
	EVP_PKEY *key = NULL;
	bool sound = modulus && exponent && build && BN_num_bits(modulus) >= RSA_BITS_MIN && BN_num_bits(modulus) <= RSA_BITS_MAX && BN_is_odd(modulus) && BN_is_odd(exponent) &&
		BN_num_bits(exponent) >= 2;
	if (sound && OSSL_PARAM_BLD_push_BN(build, OSSL_PKEY_PARAM_RSA_N, modulus) && OSSL_PARAM_BLD_push_BN(build, OSSL_PKEY_PARAM_RSA_E, exponent))
		key = key_of_parameters("RSA", build);
	OSSL_PARAM_BLD_free(build);
	BN_free(modulus);
	BN_free(exponent);
	return key;
}

static EVP_PKEY *ec_key(struct arena *a, const struct json *jwk)
{
	struct str x, y;
	uint8_t point[65] = { 4 };
	if (!member_bytes(a, jwk, "x", &x) || !member_bytes(a, jwk, "y", &y) || x.n != 32 || y.n != 32)
		return NULL;
	memcpy(point + 1, x.p, 32);
	memcpy(point + 33, y.p, 32);
	OSSL_PARAM_BLD *build = OSSL_PARAM_BLD_new();
	EVP_PKEY *key = NULL;
	if (build && OSSL_PARAM_BLD_push_utf8_string(build, OSSL_PKEY_PARAM_GROUP_NAME, "prime256v1", 0) &&
		OSSL_PARAM_BLD_push_octet_string(build, OSSL_PKEY_PARAM_PUB_KEY, point, sizeof(point)))
		key = key_of_parameters("EC", build);
	OSSL_PARAM_BLD_free(build);
	return key;
}

static EVP_PKEY *ed_key(struct arena *a, const struct json *jwk)
{
	struct str x;
	return member_bytes(a, jwk, "x", &x) && x.n == 32 ? EVP_PKEY_new_raw_public_key(EVP_PKEY_ED25519, NULL, (const unsigned char *)x.p, x.n) : NULL;
}

static bool digest_verify(EVP_PKEY *key, const EVP_MD *digest, struct str message, struct str signature)
{
	EVP_MD_CTX *context = EVP_MD_CTX_new();
	bool ok = context && EVP_DigestVerifyInit(context, NULL, digest, NULL, key) == 1 &&
		EVP_DigestVerify(context, (const unsigned char *)signature.p, signature.n, (const unsigned char *)message.p, message.n) == 1;
	EVP_MD_CTX_free(context);
	return ok;
}

static bool signature_right(struct arena *a, const struct json *jwk, struct str message, struct str signature)
{
	enum algorithm algorithm = key_algorithm(jwk);
	EVP_PKEY *key = algorithm == RS256 ? rsa_key(a, jwk) : algorithm == ES256 ? ec_key(a, jwk) : algorithm == EDDSA ? ed_key(a, jwk) : NULL;
	bool right = false;
	if (key && algorithm == ES256)
		right = signature.n == 64 && es256_verify(key, message, (const uint8_t *)signature.p);
	else if (key)
		right = digest_verify(key, algorithm == RS256 ? EVP_sha256() : NULL, message, signature);
	EVP_PKEY_free(key);
	return right;
}

/* ---- Tokens ---- */

static bool part_object(struct arena *a, struct str part, const struct json **out)
{
	struct error ignored = { 0 };
	struct str text;
	return str_unbase64url(a, part, &text) && json_parse(a, text, out, &ignored) == ERR_OK && json_is(*out, JSON_OBJECT);
}

/* The claims of a token that one of the keys signed. */
static enum err claims_of(struct arena *a, struct str jwks_text, struct str jwt, const struct json **claims, struct error *e)
{
	struct str rest = jwt, header_part, claims_part, signature_part, signature;
	const struct json *header, *jwks;
	struct error ignored = { 0 };
	if (!jwt.p || jwt.n > LIMIT_TOKEN || !str_split(&rest, '.', &header_part) || !str_split(&rest, '.', &claims_part) || !str_split(&rest, '.', &signature_part) || rest.p)
		return malformed(e);
	if (!part_object(a, header_part, &header) || json_get(header, "crit") || !str_unbase64url(a, signature_part, &signature) || !part_object(a, claims_part, claims))
		return malformed(e);
	if (json_parse(a, jwks_text, &jwks, &ignored) != ERR_OK)
		return refused(e, ERR_TOKEN_INVALID, "oidc_keys_malformed", "its keys cannot be read.");
	const struct json *key = key_find(jwks, json_member_text(header, "kid"));
	if (!key)
		return refused(e, ERR_TOKEN_INVALID, "oidc_key_unknown", "it is signed with a key that the provider does not publish.");
	if (!str_is(json_member_text(header, "alg"), algorithm_names[key_algorithm(key)]))
		return refused(e, ERR_TOKEN_INVALID, "oidc_algorithm", "it is not signed in the way that its key is for.");
	struct str message = str_sub(jwt, 0, header_part.n + 1 + claims_part.n);
	return signature_right(a, key, message, signature) ? ERR_OK : refused(e, ERR_TOKEN_INVALID, "oidc_signature", "its signature is wrong.");
}

/* Among the audiences we must be; where there are others too, or where azp says for whom the token was made, that must be us. */
static bool audience_ours(const struct json *claims, struct str client)
{
	const struct json *aud = json_get(claims, "aud"), *azp = json_get(claims, "azp");
	bool named = json_is(aud, JSON_STRING) && str_eq(aud->text, client), others = false;
	if (json_is(aud, JSON_ARRAY))
		json_each(one, aud) {
			named |= str_eq(json_text(one), client);
			others |= !str_eq(json_text(one), client);
		}
	if (azp || others)
		return named && json_is(azp, JSON_STRING) && str_eq(azp->text, client);
	return named;
}

/* Seconds since the epoch as an instant; INSTANT_NONE when absent or beyond all years. */
static instant claim_time(const struct json *claims, const char *name)
{
	int64_t seconds = json_int(json_get(claims, name), -1);
	return seconds < 0 || seconds > INT64_C(253402300799) ? INSTANT_NONE : seconds * CLOCK_SECOND;
}

static enum err times_hold(const struct json *claims, instant now, struct error *e)
{
	instant expires = claim_time(claims, "exp"), issued = claim_time(claims, "iat"), from = claim_time(claims, "nbf");
	if (expires == INSTANT_NONE || issued == INSTANT_NONE)
		return malformed(e);
	if (now >= expires + LEEWAY || now - issued > TOKEN_AGE_MAX)
		return refused(e, ERR_TOKEN_EXPIRED, "oidc_token_expired", "it is too old.");
	if (issued > now + LEEWAY || (from != INSTANT_NONE && from > now + LEEWAY))
		return refused(e, ERR_TOKEN_INVALID, "oidc_token_early", "it is dated in the future.");
	return ERR_OK;
}

enum err id_token_check(struct arena *a, struct str jwks, struct str jwt, const struct id_token_want *want, struct id_token *out, struct error *e)
{
	const struct json *claims;
	TRY(claims_of(a, jwks, jwt, &claims, e));
	if (!want->issuer.n || !str_eq(json_member_text(claims, "iss"), want->issuer))
		return refused(e, ERR_TOKEN_INVALID, "oidc_issuer", "it was issued by somebody else.");
	if (!want->client.n || !audience_ours(claims, want->client))
		return refused(e, ERR_TOKEN_INVALID, "oidc_audience", "it was made for somebody else.");
	TRY(times_hold(claims, want->now, e));
	struct str nonce = json_member_text(claims, "nonce");
	if (!want->nonce.n || !secret_eq(nonce, want->nonce))
		return refused(e, ERR_TOKEN_INVALID, "oidc_nonce", "it belongs to another sign-in.");
	*out = (struct id_token){ .subject = json_member_text(claims, "sub"), .email = json_member_text(claims, "email"), .name = json_member_text(claims, "name"),
		.email_verified = json_bool(json_get(claims, "email_verified"), false) };
	return out->subject.n > 0 && out->subject.n <= 255 ? ERR_OK : malformed(e);
}

struct str pkce_challenge(struct arena *a, struct str verifier)
{
	struct sha256 digest = sha256(verifier);
	return str_base64url(a, digest.b, sizeof(digest.b));
}
