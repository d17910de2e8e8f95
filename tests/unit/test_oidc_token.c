/* Identity tokens of other providers: what is signed by the right key in the right way holds, and nothing else. The test plays the provider, with keys of its own. */
#include "server/base/openssl.h"

#include "server/account/oidc_token.h"

#include "commonhold/json.h"
#include "commonhold/limits.h"

#include <openssl/hmac.h>
#include <openssl/rsa.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

static struct arena *arena;
static EVP_PKEY *rsa, *ec, *ed, *strange;
static const instant now = INT64_C(1780000000) * CLOCK_SECOND;

/* ---- The provider ---- */

static struct str number(EVP_PKEY *key, const char *name, size_t pad)
{
	BIGNUM *n = NULL;
	assert_int_equal(EVP_PKEY_get_bn_param(key, name, &n), 1);
	uint8_t bytes[1024];
	int size = pad ? BN_bn2binpad(n, bytes, (int)pad) : BN_bn2bin(n, bytes);
	BN_free(n);
	return str_base64url(arena, bytes, (size_t)size);
}

static struct str rsa_jwk(EVP_PKEY *key, const char *more)
{
	return str_fmt(arena, "{\"kty\":\"RSA\",\"n\":\"%.*s\",\"e\":\"%.*s\"%s}", STR_ARG(number(key, OSSL_PKEY_PARAM_RSA_N, 0)), STR_ARG(number(key, OSSL_PKEY_PARAM_RSA_E, 0)), more);
}

static struct str ec_jwk(EVP_PKEY *key, const char *more)
{
	return str_fmt(arena, "{\"kty\":\"EC\",\"crv\":\"P-256\",\"x\":\"%.*s\",\"y\":\"%.*s\"%s}", STR_ARG(number(key, OSSL_PKEY_PARAM_EC_PUB_X, 32)),
		STR_ARG(number(key, OSSL_PKEY_PARAM_EC_PUB_Y, 32)), more);
}

static struct str ed_jwk(EVP_PKEY *key, const char *more)
{
	uint8_t raw[32];
	size_t n = sizeof raw;
	assert_int_equal(EVP_PKEY_get_raw_public_key(key, raw, &n), 1);
	return str_fmt(arena, "{\"kty\":\"OKP\",\"crv\":\"Ed25519\",\"x\":\"%.*s\"%s}", STR_ARG(str_base64url(arena, raw, n)), more);
}

/* Three keys, one of a kind. */
static struct str keys(void)
{
	return str_fmt(arena, "{\"keys\":[%.*s,%.*s,%.*s]}", STR_ARG(rsa_jwk(rsa, ",\"kid\":\"r\",\"alg\":\"RS256\",\"use\":\"sig\"")), STR_ARG(ec_jwk(ec, ",\"kid\":\"e\"")),
		STR_ARG(ed_jwk(ed, ",\"kid\":\"o\"")));
}

/* r and s as 64 bytes. */
static struct str raw_signature(const uint8_t *der, size_t n)
{
	uint8_t raw[64];
	ECDSA_SIG *pair = d2i_ECDSA_SIG(NULL, &der, (long)n);
	assert_non_null(pair);
	BN_bn2binpad(ECDSA_SIG_get0_r(pair), raw, 32);
	BN_bn2binpad(ECDSA_SIG_get0_s(pair), raw + 32, 32);
	ECDSA_SIG_free(pair);
	return str_base64url(arena, raw, 64);
}

static struct str sign(EVP_PKEY *key, const char *header, struct str claims)
{
	struct str message = str_fmt(arena, "%.*s.%.*s", STR_ARG(str_base64url(arena, header, strlen(header))), STR_ARG(str_base64url(arena, claims.p, claims.n)));
	uint8_t signature[1024];
	size_t n = sizeof signature;
	EVP_MD_CTX *context = EVP_MD_CTX_new();
	assert_int_equal(EVP_DigestSignInit(context, NULL, key == ed ? NULL : EVP_sha256(), NULL, key), 1);
	assert_int_equal(EVP_DigestSign(context, signature, &n, (const uint8_t *)message.p, message.n), 1);
	EVP_MD_CTX_free(context);
	struct str text = key == ec ? raw_signature(signature, n) : str_base64url(arena, signature, n);
	return str_fmt(arena, "%.*s.%.*s", STR_ARG(message), STR_ARG(text));
}

#define SOUND "\"iss\":\"https://op.example\",\"sub\":\"24400320\",\"aud\":\"us\",\"nonce\":\"n-0S6\",\"iat\":1779999990,\"exp\":1780000300,\"email\":\"ada@example.org\",\"email_verified\":true"
#define RS_HEADER "{\"alg\":\"RS256\",\"kid\":\"r\"}"

static struct str claims(const char *members)
{
	return str_fmt(arena, "{%s}", members);
}

static enum err check(struct str jwks, struct str jwt, struct id_token *out, struct error *e)
{
	struct id_token_want want = { STR("https://op.example"), STR("us"), STR("n-0S6"), now };
	*e = (struct error){ 0 };
	return id_token_check(arena, jwks, jwt, &want, out, e);
}

static void refused(struct str jwks, struct str jwt, const char *reason)
{
	struct id_token out;
	struct error e;
	enum err code = check(jwks, jwt, &out, &e);
	if (code == ERR_OK || strcmp(e.reason, reason) != 0)
		fail_msg("wanted %s, got %s (%s)", reason, code == ERR_OK ? "a token that holds" : e.reason, e.message);
}

/* ---- Rules ---- */

static void a_token_of_each_kind_of_key_holds(void **state)
{
	struct id_token out;
	struct error e;
	(void)state;
	struct str tokens[] = { sign(rsa, RS_HEADER, claims(SOUND)), sign(ec, "{\"alg\":\"ES256\",\"kid\":\"e\"}", claims(SOUND)), sign(ed, "{\"alg\":\"EdDSA\",\"kid\":\"o\"}", claims(SOUND)) };
	for (size_t i = 0; i < CH_LEN(tokens); i++) {
		if (check(keys(), tokens[i], &out, &e) != ERR_OK)
			fail_msg("%zu: %s", i, e.message);
		assert_true(str_is(out.subject, "24400320") && str_is(out.email, "ada@example.org") && out.email_verified);
		/* one bit of the signature, of the claims, of the header */
		char *bent = memcpy(arena_alloc(arena, tokens[i].n), tokens[i].p, tokens[i].n);
		bent[tokens[i].n - 20] = bent[tokens[i].n - 20] == 'A' ? 'B' : 'A';
		refused(keys(), str_make(bent, tokens[i].n), "oidc_signature");
	}
	struct str lone = str_fmt(arena, "{\"keys\":[%.*s]}", STR_ARG(rsa_jwk(rsa, "")));
	assert_int_equal(check(lone, sign(rsa, "{\"alg\":\"RS256\"}", claims(SOUND)), &out, &e), ERR_OK); /* without a kid where there is but one key */
	refused(keys(), sign(rsa, "{\"alg\":\"RS256\"}", claims(SOUND)), "oidc_key_unknown");
}

static void a_token_of_another_key_is_refused(void **state)
{
	(void)state;
	refused(keys(), sign(strange, RS_HEADER, claims(SOUND)), "oidc_signature");
	refused(keys(), sign(strange, "{\"alg\":\"RS256\",\"kid\":\"new\"}", claims(SOUND)), "oidc_key_unknown");
	refused(STR("{\"keys\":[]}"), sign(rsa, RS_HEADER, claims(SOUND)), "oidc_key_unknown");
	refused(STR("{"), sign(rsa, RS_HEADER, claims(SOUND)), "oidc_keys_malformed");
	/* a key that the token brings along is not looked at */
	struct str header = str_fmt(arena, "{\"alg\":\"RS256\",\"kid\":\"r\",\"jwk\":%.*s}", STR_ARG(rsa_jwk(strange, "")));
	refused(keys(), sign(strange, header.p, claims(SOUND)), "oidc_signature");
	/* a key for encryption, a short key, a key for another algorithm, twice the same kid */
	refused(str_fmt(arena, "{\"keys\":[%.*s]}", STR_ARG(rsa_jwk(rsa, ",\"use\":\"enc\",\"kid\":\"r\""))), sign(rsa, RS_HEADER, claims(SOUND)), "oidc_key_unknown");
	refused(str_fmt(arena, "{\"keys\":[%.*s]}", STR_ARG(rsa_jwk(rsa, ",\"alg\":\"PS256\",\"kid\":\"r\""))), sign(rsa, RS_HEADER, claims(SOUND)), "oidc_key_unknown");
	refused(str_fmt(arena, "{\"keys\":[%.*s,%.*s]}", STR_ARG(rsa_jwk(rsa, ",\"kid\":\"r\"")), STR_ARG(rsa_jwk(strange, ",\"kid\":\"r\""))), sign(rsa, RS_HEADER, claims(SOUND)),
		"oidc_key_unknown");
	EVP_PKEY *brief = EVP_RSA_gen(1024);
	refused(str_fmt(arena, "{\"keys\":[%.*s]}", STR_ARG(rsa_jwk(brief, ",\"kid\":\"r\""))), sign(brief, RS_HEADER, claims(SOUND)), "oidc_signature");
	EVP_PKEY_free(brief);
}

static void the_header_does_not_choose_the_algorithm(void **state)
{
	(void)state;
	static const char *const headers[] = {
		"{\"alg\":\"none\",\"kid\":\"r\"}", "{\"alg\":\"None\",\"kid\":\"r\"}", "{\"alg\":\"HS256\",\"kid\":\"r\"}", "{\"alg\":\"RS512\",\"kid\":\"r\"}", "{\"alg\":\"ES256\",\"kid\":\"r\"}",
		"{\"alg\":\"RS256\",\"kid\":\"e\"}", "{\"kid\":\"r\"}", "{\"alg\":null,\"kid\":\"r\"}",
	};
	for (size_t i = 0; i < CH_LEN(headers); i++)
		refused(keys(), sign(rsa, headers[i], claims(SOUND)), "oidc_algorithm");
	/* no signature at all */
	struct str bare = str_fmt(arena, "%.*s.%.*s.", STR_ARG(str_base64url(arena, headers[0], strlen(headers[0]))), STR_ARG(str_base64url(arena, "{" SOUND "}", strlen("{" SOUND "}"))));
	refused(keys(), bare, "oidc_algorithm");
	struct str bare_rs = str_fmt(arena, "%.*s.%.*s.", STR_ARG(str_base64url(arena, RS_HEADER, strlen(RS_HEADER))), STR_ARG(str_base64url(arena, "{" SOUND "}", strlen("{" SOUND "}"))));
	refused(keys(), bare_rs, "oidc_signature");
	/* the public key's text as a shared secret */
	BIO *pem = BIO_new(BIO_s_mem());
	char *text;
	assert_int_equal(PEM_write_bio_PUBKEY(pem, rsa), 1);
	long n = BIO_get_mem_data(pem, &text);
	const char *hs = "{\"alg\":\"HS256\",\"kid\":\"r\"}";
	struct str message = str_fmt(arena, "%.*s.%.*s", STR_ARG(str_base64url(arena, hs, strlen(hs))), STR_ARG(str_base64url(arena, "{" SOUND "}", strlen("{" SOUND "}"))));
	uint8_t mac[32];
	unsigned size = sizeof mac;
	assert_non_null(HMAC(EVP_sha256(), text, (int)n, (const uint8_t *)message.p, message.n, mac, &size));
	BIO_free(pem);
	refused(keys(), str_fmt(arena, "%.*s.%.*s", STR_ARG(message), STR_ARG(str_base64url(arena, mac, 32))), "oidc_algorithm");
	refused(keys(), sign(rsa, "{\"alg\":\"RS256\",\"kid\":\"r\",\"crit\":[\"x\"],\"x\":1}", claims(SOUND)), "oidc_token_malformed");
}

#define WITHOUT_TIMES "\"iss\":\"https://op.example\",\"sub\":\"1\",\"aud\":\"us\",\"nonce\":\"n-0S6\""
#define TIMES "\"iat\":1779999990,\"exp\":1780000300"

static void every_claim_is_held_against_what_was_asked(void **state)
{
	(void)state;
	static const struct { const char *members, *reason; } rows[] = {
		{ "\"iss\":\"https://op.example/\",\"sub\":\"1\",\"aud\":\"us\",\"nonce\":\"n-0S6\"," TIMES, "oidc_issuer" },
		{ "\"sub\":\"1\",\"aud\":\"us\",\"nonce\":\"n-0S6\"," TIMES, "oidc_issuer" },
		{ "\"iss\":[\"https://op.example\"],\"sub\":\"1\",\"aud\":\"us\",\"nonce\":\"n-0S6\"," TIMES, "oidc_issuer" },
		{ "\"iss\":\"https://op.example\",\"sub\":\"1\",\"aud\":\"them\",\"nonce\":\"n-0S6\"," TIMES, "oidc_audience" },
		{ "\"iss\":\"https://op.example\",\"sub\":\"1\",\"aud\":[],\"nonce\":\"n-0S6\"," TIMES, "oidc_audience" },
		{ "\"iss\":\"https://op.example\",\"sub\":\"1\",\"nonce\":\"n-0S6\"," TIMES, "oidc_audience" },
		{ "\"iss\":\"https://op.example\",\"sub\":\"1\",\"aud\":[\"us\",\"them\"],\"nonce\":\"n-0S6\"," TIMES, "oidc_audience" },
		{ "\"iss\":\"https://op.example\",\"sub\":\"1\",\"aud\":[\"us\",\"them\"],\"azp\":\"them\",\"nonce\":\"n-0S6\"," TIMES, "oidc_audience" },
		{ "\"iss\":\"https://op.example\",\"sub\":\"1\",\"aud\":\"us\",\"azp\":\"them\",\"nonce\":\"n-0S6\"," TIMES, "oidc_audience" },
		{ "\"iss\":\"https://op.example\",\"sub\":\"1\",\"aud\":\"us\",\"nonce\":\"other\"," TIMES, "oidc_nonce" },
		{ "\"iss\":\"https://op.example\",\"sub\":\"1\",\"aud\":\"us\"," TIMES, "oidc_nonce" },
		{ WITHOUT_TIMES ",\"iat\":1779999000,\"exp\":1779999940", "oidc_token_expired" },
		{ WITHOUT_TIMES ",\"iat\":1779990000,\"exp\":1780009000", "oidc_token_expired" },
		{ WITHOUT_TIMES ",\"iat\":1780000061,\"exp\":1780000300", "oidc_token_early" },
		{ WITHOUT_TIMES ",\"nbf\":1780000061," TIMES, "oidc_token_early" },
		{ WITHOUT_TIMES ",\"exp\":1780000300", "oidc_token_malformed" },
		{ WITHOUT_TIMES ",\"iat\":1779999990", "oidc_token_malformed" },
		{ WITHOUT_TIMES ",\"iat\":1779999990,\"exp\":99999999999999999", "oidc_token_malformed" },
		{ WITHOUT_TIMES ",\"iat\":\"1779999990\",\"exp\":1780000300", "oidc_token_malformed" },
		{ "\"iss\":\"https://op.example\",\"sub\":\"\",\"aud\":\"us\",\"nonce\":\"n-0S6\"," TIMES, "oidc_token_malformed" },
		{ "\"iss\":\"https://op.example\",\"aud\":\"us\",\"nonce\":\"n-0S6\"," TIMES, "oidc_token_malformed" },
	};
	for (size_t i = 0; i < CH_LEN(rows); i++)
		refused(keys(), sign(rsa, RS_HEADER, claims(rows[i].members)), rows[i].reason);
	struct id_token out;
	struct error e;
	assert_int_equal(check(keys(), sign(rsa, RS_HEADER, claims("\"iss\":\"https://op.example\",\"sub\":\"1\",\"aud\":[\"us\",\"them\"],\"azp\":\"us\",\"nonce\":\"n-0S6\"," TIMES)), &out, &e), ERR_OK);
	assert_false(out.email_verified);
	assert_null(out.email.p);
	assert_int_equal(check(keys(), sign(rsa, RS_HEADER, claims(WITHOUT_TIMES "," TIMES ",\"email\":\"a@b.c\",\"email_verified\":\"true\"")), &out, &e), ERR_OK);
	assert_false(out.email_verified); /* a text is no yes */
}

static void what_is_no_token_is_refused(void **state)
{
	(void)state;
	static const char *const rows[] = { "", ".", "..", "...", "a.b", "a.b.c.d", "eyJ9.e30.", "e30.e30.e30", "bnVsbA.e30.YQ", "e30.bnVsbA.YQ", "e30=.e30.YQ", "e3 0.e30.YQ" };
	for (size_t i = 0; i < CH_LEN(rows); i++) {
		struct id_token out;
		struct error e;
		assert_int_not_equal(check(keys(), str_of(rows[i]), &out, &e), ERR_OK);
	}
	struct id_token out;
	struct error e;
	char *large = arena_alloc(arena, LIMIT_TOKEN + 2);
	memset(large, 'a', LIMIT_TOKEN + 1);
	assert_int_not_equal(check(keys(), str_make(large, LIMIT_TOKEN + 1), &out, &e), ERR_OK);
	assert_int_not_equal(check(keys(), STR_NONE, &out, &e), ERR_OK);
	static const char *const odd[] = {
		"{\"keys\":[{\"kty\":\"RSA\",\"kid\":\"r\"}]}", "{\"keys\":[{\"kty\":\"RSA\",\"kid\":\"r\",\"n\":\"AQ\",\"e\":\"AQAB\"}]}", "{\"keys\":[{\"kty\":\"RSA\",\"kid\":\"r\",\"n\":\"!\",\"e\":\"AQAB\"}]}",
		"{\"keys\":[{\"kty\":\"RSA\",\"kid\":\"r\",\"n\":\"\",\"e\":\"\"}]}",
	};
	for (size_t i = 0; i < CH_LEN(odd); i++)
		refused(str_of(odd[i]), sign(rsa, RS_HEADER, claims(SOUND)), "oidc_signature");
	/* a point that is not on the curve */
	struct str zero = str_base64url(arena, "\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\1", 32);
	refused(str_fmt(arena, "{\"keys\":[{\"kty\":\"EC\",\"crv\":\"P-256\",\"kid\":\"e\",\"x\":\"%.*s\",\"y\":\"%.*s\"}]}", STR_ARG(zero), STR_ARG(zero)),
		sign(ec, "{\"alg\":\"ES256\",\"kid\":\"e\"}", claims(SOUND)), "oidc_signature");
}

static void the_challenge_is_that_of_rfc_7636(void **state)
{
	(void)state;
	assert_true(str_is(pkce_challenge(arena, STR("dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk")), "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM"));
}

static int begin(void **state)
{
	(void)state;
	arena = arena_new(64 * MIB);
	rsa = EVP_RSA_gen(2048);
	strange = EVP_RSA_gen(2048);
	ec = EVP_EC_gen("P-256");
	ed = EVP_PKEY_Q_keygen(NULL, NULL, "ED25519");
	return crypto_start() && rsa && strange && ec && ed ? 0 : -1;
}

static int end(void **state)
{
	(void)state;
	EVP_PKEY_free(rsa);
	EVP_PKEY_free(strange);
	EVP_PKEY_free(ec);
	EVP_PKEY_free(ed);
	arena_free(arena);
	return 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_token_of_each_kind_of_key_holds),
		cmocka_unit_test(a_token_of_another_key_is_refused),
		cmocka_unit_test(the_header_does_not_choose_the_algorithm),
		cmocka_unit_test(every_claim_is_held_against_what_was_asked),
		cmocka_unit_test(what_is_no_token_is_refused),
		cmocka_unit_test(the_challenge_is_that_of_rfc_7636),
	};
	return cmocka_run_group_tests(tests, begin, end);
}
