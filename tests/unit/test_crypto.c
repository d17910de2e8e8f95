/* crypto.h against published vectors, the stock minisign, and what an attacker would try with tokens. */
#include "server/base/openssl.h"
#include "commonhold/crypto.h"
#include "commonhold/seal_many.h"
#include "commonhold/json.h"
#include "commonhold/limits.h"

#include "scratch.h"

#include <fcntl.h>
#include <jwt.h>
#include <pthread.h>
#include <sodium.h>
#include <stdio.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

static struct arena *arena;
static char dir[64];
static struct instance_keys *keys;

static struct str unhex(const char *hex)
{
	size_t n = strlen(hex) / 2;
	char *p = arena_alloc(arena, n + 1);
	assert_true(str_unhex(str_of(hex), p, n));
	return str_make(p, n);
}

static void assert_text(struct str s, const char *expected)
{
	assert_string_equal(str_z(arena, s), expected);
}

static int set_up(void **state)
{
	(void)state;
	assert_true(crypto_start());
	arena = arena_new(64 * MIB);
	snprintf(dir, sizeof(dir), "/tmp/commonhold-crypto-XXXXXX");
	assert_true(scratch_folder(dir));
	struct error e = { 0 };
	assert_int_equal(instance_keys_open(str_z(arena, str_fmt(arena, "%s/deep/keys", dir)), &keys, &e), ERR_OK);
	return 0;
}

static int tear_down(void **state)
{
	(void)state;
	instance_keys_free(keys);
	arena_free(arena);
	scratch_remove(dir);
	return 0;
}

static void sha256_agrees_with_fips_180(void **state)
{
	(void)state;
	assert_text(sha256_hex(arena, sha256(STR(""))), "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
	assert_text(sha256_hex(arena, sha256(STR("abc"))), "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
	struct hasher *h = hasher_new(arena);
	for (int i = 0; i < 1000; i++) {
		char block[1000];
		memset(block, 'a', sizeof(block));
		hasher_add(h, block, sizeof(block));
	}
	assert_text(sha256_hex(arena, hasher_end(h)), "cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0");
	hasher_add(h, "abc", 3);
	assert_text(sha256_hex(arena, hasher_end(h)), "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
	struct str parts[] = { STR("a"), STR(""), STR("bc") };
	assert_text(sha256_hex(arena, sha256_of(parts, 3)), "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
	struct hasher *loose = hasher_new(NULL);
	hasher_add(loose, "abc", 3);
	assert_text(sha256_hex(arena, hasher_end(loose)), "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
	hasher_free(loose);
}

static void hmac_agrees_with_rfc_4231(void **state)
{
	(void)state;
	assert_text(sha256_hex(arena, hmac_sha256(unhex("0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b"), STR("Hi There"))),
		"b0344c61d8db38535ca8afceaf0bf12b881dc200c9833da726e9376c2e32cff7");
	assert_text(sha256_hex(arena, hmac_sha256(STR("Jefe"), STR("what do ya want for nothing?"))),
		"5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843");
}

static void secrets_compare_by_content_and_length(void **state)
{
	(void)state;
	assert_true(secret_eq(STR("abc"), STR("abc")));
	assert_false(secret_eq(STR("abc"), STR("abd")));
	assert_false(secret_eq(STR("abc"), STR("ab")));
	assert_true(secret_eq(STR(""), STR("")));
}

static void ed25519_agrees_with_rfc_8032(void **state)
{
	(void)state;
	struct sign_key k;
	uint8_t signature[64];
	sign_key_from_seed(&k, (const uint8_t *)unhex("4ccd089b28ff96da9db6c346ec114e0f5b8a319f35aba624da8cf6ed4fb8a6fb").p);
	assert_text(str_hex(arena, k.public_key, 32), "3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c");
	sign_bytes(&k, STR("r"), signature);
	assert_text(str_hex(arena, signature, 64),
		"92a009a9f0d4cab8720e820b5f642540a2b27b5416503f8fb3762223ebdb69da085ac1e43e15996e458f3613d0f11d8c387b2eaeb4302aeeb00d291612bb0c00");
	assert_true(verify_bytes(k.public_key, STR("r"), signature));
	assert_false(verify_bytes(k.public_key, STR("s"), signature));
	signature[3] ^= 1;
	assert_false(verify_bytes(k.public_key, STR("r"), signature));
}

static struct str minisig_of(const struct sign_key *k)
{
	return minisign_sign(arena, k, STR("hello\n"), STR("timestamp:1\tfile:SHA256SUMS"));
}

static void a_minisign_signature_verifies_here(void **state)
{
	(void)state;
	struct sign_key k, other;
	sign_key_new(&k);
	sign_key_new(&other);
	struct str sig = minisig_of(&k);
	assert_true(minisign_verify(arena, k.public_key, STR("hello\n"), sig));
	assert_false(minisign_verify(arena, k.public_key, STR("hello"), sig));
	assert_false(minisign_verify(arena, other.public_key, STR("hello\n"), sig));
	uint8_t read[32];
	assert_true(minisign_parse_key(arena, minisign_public_key(arena, k.public_key), read));
	assert_memory_equal(read, k.public_key, 32);
	assert_false(minisign_parse_key(arena, STR("RWQ"), read));
}

/* Flips every byte but those of the untrusted comment, which nothing covers. */
static void every_changed_byte_of_a_minisign_signature_is_caught(void **state)
{
	(void)state;
	struct sign_key k;
	sign_key_new(&k);
	struct str sig = minisig_of(&k);
	size_t start = (size_t)str_index(sig, '\n');
	char *p = arena_alloc(arena, sig.n);
	for (size_t i = start; i < sig.n; i++) {
		memcpy(p, sig.p, sig.n);
		p[i] ^= 1;
		assert_false(minisign_verify(arena, k.public_key, STR("hello\n"), str_make(p, sig.n)));
	}
	for (size_t n = 0; n < sig.n; n++)
		assert_false(minisign_verify(arena, k.public_key, STR("hello\n"), str_sub(sig, 0, n)));
	assert_false(minisign_verify(arena, k.public_key, STR("hello\n"), str_fmt(arena, "%.*sx\n", STR_ARG(sig))));
}

static void write_text(const char *path, struct str text)
{
	FILE *f = fopen(path, "w");
	assert_non_null(f);
	assert_int_equal(fwrite(text.p, 1, text.n, f), text.n);
	fclose(f);
}

static int run(const char *command)
{
	int status = system(command);
	return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

static void stock_minisign_accepts_our_signatures(void **state)
{
	(void)state;
	if (run("command -v minisign >/dev/null 2>&1") != 0)
		skip();
	struct sign_key k;
	sign_key_new(&k);
	struct str key = minisign_public_key(arena, k.public_key);
	const char *file = str_z(arena, str_fmt(arena, "%s/SHA256SUMS", dir));
	write_text(file, STR("hello\n"));
	write_text(str_z(arena, str_fmt(arena, "%s.minisig", file)), minisig_of(&k));
	const char *command = str_z(arena, str_fmt(arena, "minisign -Vq -P %.*s -m %s >/dev/null 2>&1", STR_ARG(key), file));
	assert_int_equal(run(command), 0);
	write_text(file, STR("hello!\n"));
	assert_int_not_equal(run(command), 0);
}

static void a_key_id_that_is_not_the_keys_own_is_refused(void **state)
{
	(void)state;
	/* From minisign's own documentation: the key id there is random, which must not be mistaken for ours. */
	struct str line = STR("RWQf6LRCGA9i53mlYecO4IzT51TGPpvWucNSCh1CBM0QTaLn73Y7GFO3");
	uint8_t key[32];
	assert_true(minisign_parse_key(arena, line, key));
	struct str sig = STR("untrusted comment: signature from minisign secret key\n"
		"RUQf6LRCGA9i559r3g7V1qNyJDApGip8MfqcadIgT9CuhV3EMhHoN1mGTkUidF/z7SrlQgXdy8ofjb7bNJJylDOocrCo8KLzZwo=\n"
		"trusted comment: timestamp:1633700835\tfile:test\tprehashed\n"
		"wLMDjy9FLAuxZ3q4NlEvkgtyhrr0gtTu6KC4KBJdITbbOeAi1zBIYo0v4iTgt8jJpIidRJnp94ABQkJAgAooBQ==\n");
	assert_false(minisign_verify(arena, key, STR("test"), sig));
}

static void dsse_signs_the_pre_authentication_encoding(void **state)
{
	(void)state;
	struct sign_key k;
	sign_key_new(&k);
	struct str type = STR("http://example.com/HelloWorld");
	struct str envelope = dsse_sign(arena, &k, 1, type, STR("hello world"));
	const struct json *root;
	struct error e = { 0 };
	assert_int_equal(json_parse(arena, envelope, &root, &e), ERR_OK);
	assert_text(json_member_text(root, "payload"), "aGVsbG8gd29ybGQ=");
	struct str signature;
	assert_true(str_unbase64(arena, json_text(json_at(root, "/signatures/0/sig")), &signature));
	/* The example of the specification. */
	assert_true(verify_bytes(k.public_key, STR("DSSEv1 29 http://example.com/HelloWorld 11 hello world"), (const uint8_t *)signature.p));
	struct buf canonical;
	buf_init(&canonical, 1 * MIB);
	json_canonical(&canonical, root, true);
	assert_true(str_eq(buf_str(&canonical), envelope));
	buf_release(&canonical);
}

static void dsse_counts_each_key_once(void **state)
{
	(void)state;
	struct sign_key k[3];
	uint8_t public_keys[3][32];
	for (size_t i = 0; i < 3; i++) {
		sign_key_new(&k[i]);
		memcpy(public_keys[i], k[i].public_key, 32);
	}
	struct sign_key twice[2] = { k[0], k[0] };
	struct str payload, type = STR("t");
	struct error e = { 0 };
	struct str doubled = dsse_sign(arena, twice, 2, type, STR("x")), both = dsse_sign(arena, k, 2, type, STR("x"));
	assert_int_equal(dsse_verify(arena, doubled, public_keys, 3, 2, type, &payload, &e), ERR_INVALID);
	assert_int_equal(dsse_verify(arena, both, public_keys, 3, 2, type, &payload, &e), ERR_OK);
	assert_text(payload, "x");
	assert_int_equal(dsse_verify(arena, both, public_keys, 3, 3, type, &payload, &e), ERR_INVALID);
	assert_int_equal(dsse_verify(arena, both, public_keys + 2, 1, 1, type, &payload, &e), ERR_INVALID);
	assert_int_equal(dsse_verify(arena, both, public_keys, 3, 0, type, &payload, &e), ERR_INVALID);
	assert_int_equal(dsse_verify(arena, both, public_keys, 3, 1, STR("other"), &payload, &e), ERR_INVALID);
	uint8_t same_key_twice[2][32];
	memcpy(same_key_twice[0], k[0].public_key, 32);
	memcpy(same_key_twice[1], k[0].public_key, 32);
	assert_int_equal(dsse_verify(arena, both, same_key_twice, 2, 2, type, &payload, &e), ERR_INVALID);
}

static void sealing_binds_key_and_context(void **state)
{
	(void)state;
	struct seal_key k, other;
	random_bytes(&k, sizeof(k));
	random_bytes(&other, sizeof(other));
	struct str plain, sealed = seal(arena, &k, STR("row 1"), STR("secret"));
	assert_int_equal(sealed.n, 6 + SEAL_OVERHEAD);
	assert_true(unseal(arena, &k, STR("row 1"), sealed, &plain));
	assert_text(plain, "secret");
	assert_false(unseal(arena, &k, STR("row 2"), sealed, &plain));
	assert_false(unseal(arena, &other, STR("row 1"), sealed, &plain));
	for (size_t n = 0; n < sealed.n; n++)
		assert_false(unseal(arena, &k, STR("row 1"), str_sub(sealed, 0, n), &plain));
	for (size_t i = 0; i < sealed.n; i++) {
		char *p = (char *)(uintptr_t)str_copy(arena, sealed).p;
		p[i] ^= 1;
		assert_false(unseal(arena, &k, STR("row 1"), str_make(p, sealed.n), &plain));
	}
	assert_true(unseal(arena, &k, STR(""), seal(arena, &k, STR(""), STR("")), &plain));
	assert_int_equal(plain.n, 0);
}

/* Drawn many at a time, nonces are as good as one by one: none comes twice, and what is sealed is what libsodium's own XChaCha20-Poly1305 makes. */
static void texts_sealed_in_a_row_each_have_their_own_nonce(void **state)
{
	enum { N = 3 * SEAL_NONCES + 5 };
	struct seal_nonces nonces = { .left = 0 };
	struct str sealed[N], plain;
	struct seal_key k;
	uint8_t text[900], opened[900];
	(void)state;
	random_bytes(&k, sizeof(k));
	random_bytes(text, sizeof(text));
	for (size_t i = 0; i < N; i++) {
		size_t n = i * 37 % sizeof(text);
		sealed[i] = seal_next(arena, &nonces, &k, STR("row 1"), str_make(text, n));
		assert_int_equal(sealed[i].n, n + SEAL_OVERHEAD);
		assert_true(unseal(arena, &k, STR("row 1"), sealed[i], &plain) && plain.n == n && memcmp(plain.p, text, n) == 0);
		const uint8_t *p = (const uint8_t *)sealed[i].p;
		assert_int_equal(crypto_aead_xchacha20poly1305_ietf_decrypt(opened, NULL, NULL, p + 24, sealed[i].n - 24, (const uint8_t *)"row 1", 5, p, k.b), 0);
		assert_memory_equal(opened, text, n);
		for (size_t j = 0; j < i; j++)
			assert_memory_not_equal(sealed[j].p, sealed[i].p, 24);
	}
}

/* Long texts are opened by other code than short ones. */
static void texts_of_every_length_open_and_nothing_else_does(void **state)
{
	(void)state;
	struct seal_key k, other;
	char text[2000];
	struct str plain;
	random_bytes(&k, sizeof(k));
	random_bytes(&other, sizeof(other));
	random_bytes(text, sizeof(text));
	for (size_t n = 0; n <= sizeof(text); n += n < 800 ? 1 : 97) {
		struct arena_mark mark = arena_mark(arena);
		struct str sealed = seal(arena, &k, STR("row 1"), str_make(text, n));
		assert_true(unseal(arena, &k, STR("row 1"), sealed, &plain) && plain.n == n && memcmp(plain.p, text, n) == 0);
		assert_false(unseal(arena, &k, STR("row 2"), sealed, &plain));
		assert_false(unseal(arena, &other, STR("row 1"), sealed, &plain));
		assert_false(unseal(arena, &k, STR("row 1"), str_sub(sealed, 0, sealed.n - 1), &plain));
		char *p = (char *)(uintptr_t)sealed.p;
		for (size_t i = 0; i < 20; i++) { /* in the nonce, the text and the tag */
			size_t at = i < 8 ? i * 3 : i < 12 ? 24 + n * (i - 8) / 4 : sealed.n - 1 - (i - 12) * 2;
			p[at] ^= 4;
			assert_false(unseal(arena, &k, STR("row 1"), sealed, &plain));
			p[at] ^= 4;
		}
		assert_true(unseal(arena, &k, STR("row 1"), sealed, &plain) && plain.n == n && memcmp(plain.p, text, n) == 0);
		arena_rewind(arena, mark);
	}
}

static void a_password_verifies_and_others_do_not(void **state)
{
	(void)state;
	struct str hash;
	struct error e = { 0 };
	assert_int_equal(password_hash(arena, STR("correct horse"), &hash, &e), ERR_OK);
	assert_true(str_starts(hash, "$argon2id$v=19$m=19456,t=2,p=1$"));
	assert_true(password_verify(hash, STR("correct horse")));
	assert_false(password_verify(hash, STR("correct hors")));
	assert_false(password_verify(STR_NONE, STR("correct horse")));
	assert_false(password_verify(STR("$2b$12$abcdefghijklmnopqrstuv"), STR("correct horse")));
	char *huge = arena_alloc(arena, 5000);
	assert_int_equal(password_hash(arena, str_make(huge, 5000), &hash, &e), ERR_INVALID);
}

static void secret_tokens_are_random_and_stored_as_hashes(void **state)
{
	(void)state;
	struct sha256 one, two, again;
	struct str a = secret_token_new(arena, "pat", &one), b = secret_token_new(arena, "pat", &two);
	assert_int_equal(a.n, 7 + 43);
	assert_true(str_starts(a, "ch_pat_"));
	assert_false(str_eq(a, b));
	again = secret_token_hash(a);
	assert_memory_equal(&one, &again, sizeof(one));
	assert_memory_not_equal(&one, &two, sizeof(one));
}

/* --- tokens --- */

#define NOW (INT64_C(1790000000) * CLOCK_SECOND)

static struct token_claims claims(void)
{
	return (struct token_claims){ STR("https://c.example"), STR("subject"), STR("release-files"), STR("dc:x 1.*"), STR("grant"), NOW, NOW + 5 * CLOCK_MINUTE };
}

static struct str token(void)
{
	struct token_claims c = claims();
	struct error e = { 0 };
	struct str jwt;
	assert_int_equal(access_token_make(arena, keys, &c, &jwt, &e), ERR_OK);
	return jwt;
}

static enum err check(struct str jwt)
{
	struct token_claims out;
	struct error e = { 0 };
	return access_token_check(arena, keys, jwt, STR("release-files"), NOW, &out, &e);
}

static struct str encoded(const char *json)
{
	return str_base64url(arena, json, strlen(json));
}

static void a_token_carries_its_claims(void **state)
{
	(void)state;
	struct token_claims out, in = claims();
	struct error e = { 0 };
	assert_int_equal(access_token_check(arena, keys, token(), STR("release-files"), NOW, &out, &e), ERR_OK);
	assert_true(str_eq(out.issuer, in.issuer) && str_eq(out.subject, in.subject) && str_eq(out.scope, in.scope) && str_eq(out.grant, in.grant));
	assert_int_equal(out.issued, in.issued);
	assert_int_equal(out.expires, in.expires);
}

static void a_token_expires_to_the_second(void **state)
{
	(void)state;
	struct token_claims out;
	struct error e = { 0 };
	struct str jwt = token();
	assert_int_equal(access_token_check(arena, keys, jwt, STR("release-files"), NOW + 5 * CLOCK_MINUTE - 1, &out, &e), ERR_OK);
	assert_int_equal(access_token_check(arena, keys, jwt, STR("release-files"), NOW + 5 * CLOCK_MINUTE, &out, &e), ERR_TOKEN_EXPIRED);
}

static void a_token_for_another_audience_is_refused(void **state)
{
	(void)state;
	struct token_claims out;
	struct error e = { 0 };
	assert_int_equal(access_token_check(arena, keys, token(), STR("elsewhere"), NOW, &out, &e), ERR_TOKEN_INVALID);
}

static void alg_none_is_refused(void **state)
{
	(void)state;
	struct str rest = token(), header, body;
	assert_true(str_split(&rest, '.', &header) && str_split(&rest, '.', &body));
	static const char *const algs[] = { "none", "None", "NONE", "nOnE", "" };
	for (size_t i = 0; i < CH_LEN(algs); i++) {
		struct str forged = encoded(str_z(arena, str_fmt(arena, "{\"alg\":\"%s\",\"typ\":\"JWT\"}", algs[i])));
		assert_int_equal(check(str_fmt(arena, "%.*s.%.*s.", STR_ARG(forged), STR_ARG(body))), ERR_TOKEN_INVALID);
		assert_int_equal(check(str_fmt(arena, "%.*s.%.*s", STR_ARG(forged), STR_ARG(body))), ERR_TOKEN_INVALID);
	}
}

static struct str access_kid(void)
{
	const struct json *jwks;
	struct error e = { 0 };
	assert_int_equal(json_parse(arena, access_jwks(arena, keys), &jwks, &e), ERR_OK);
	return json_text(json_at(jwks, "/keys/0/kid"));
}

/* The public key of the JWKS as an OpenSSL key. */
static EVP_PKEY *published_key(void)
{
	const struct json *jwks;
	struct error e = { 0 };
	struct str x, y;
	assert_int_equal(json_parse(arena, access_jwks(arena, keys), &jwks, &e), ERR_OK);
	assert_true(str_unbase64url(arena, json_text(json_at(jwks, "/keys/0/x")), &x) && str_unbase64url(arena, json_text(json_at(jwks, "/keys/0/y")), &y));
	assert_int_equal(x.n + y.n, 64);
	unsigned char point[65] = { 4 };
	memcpy(point + 1, x.p, 32);
	memcpy(point + 33, y.p, 32);
	char group[] = "P-256";
	OSSL_PARAM params[] = { OSSL_PARAM_construct_utf8_string(OSSL_PKEY_PARAM_GROUP_NAME, group, 0),
		OSSL_PARAM_construct_octet_string(OSSL_PKEY_PARAM_PUB_KEY, point, sizeof(point)), OSSL_PARAM_construct_end() };
	EVP_PKEY_CTX *context = EVP_PKEY_CTX_new_from_name(NULL, "EC", NULL);
	EVP_PKEY *key = NULL;
	assert_int_equal(EVP_PKEY_fromdata_init(context), 1);
	assert_int_equal(EVP_PKEY_fromdata(context, &key, EVP_PKEY_PUBLIC_KEY, params), 1);
	EVP_PKEY_CTX_free(context);
	return key;
}

/* The classic confusion: the public key's text, known to everybody, used as an HMAC secret. */
static void hs256_made_with_the_public_key_is_refused(void **state)
{
	(void)state;
	EVP_PKEY *key = published_key();
	BIO *pem = BIO_new(BIO_s_mem());
	assert_int_equal(PEM_write_bio_PUBKEY(pem, key), 1);
	char *text;
	long n = BIO_get_mem_data(pem, &text);
	jwt_t *jwt;
	assert_int_equal(jwt_new(&jwt), 0);
	assert_int_equal(jwt_set_alg(jwt, JWT_ALG_HS256, (const unsigned char *)text, (int)n), 0);
	assert_int_equal(jwt_add_header(jwt, "kid", str_z(arena, access_kid())), 0);
	assert_int_equal(jwt_add_grant(jwt, "aud", "release-files"), 0);
	assert_int_equal(jwt_add_grant_int(jwt, "iat", NOW / CLOCK_SECOND), 0);
	assert_int_equal(jwt_add_grant_int(jwt, "exp", NOW / CLOCK_SECOND + 60), 0);
	char *forged = jwt_encode_str(jwt);
	assert_int_equal(check(str_of(forged)), ERR_TOKEN_INVALID);
	free(forged);
	jwt_free(jwt);
	BIO_free(pem);
	EVP_PKEY_free(key);
}

static void a_token_of_another_instance_is_refused(void **state)
{
	(void)state;
	struct instance_keys *other;
	struct error e = { 0 };
	struct token_claims c = claims();
	struct str jwt;
	assert_int_equal(instance_keys_open(str_z(arena, str_fmt(arena, "%s/other", dir)), &other, &e), ERR_OK);
	assert_int_equal(access_token_make(arena, other, &c, &jwt, &e), ERR_OK);
	assert_int_equal(check(jwt), ERR_TOKEN_INVALID);
	/* and with our kid in its header, the signature is what fails */
	struct str rest = jwt, header, body, signature;
	assert_true(str_split(&rest, '.', &header) && str_split(&rest, '.', &body) && str_split(&rest, '.', &signature));
	struct str kid = access_kid(), forged = encoded(str_z(arena, str_fmt(arena, "{\"alg\":\"ES256\",\"kid\":\"%.*s\",\"typ\":\"JWT\"}", STR_ARG(kid))));
	assert_int_equal(check(str_fmt(arena, "%.*s.%.*s.%.*s", STR_ARG(forged), STR_ARG(body), STR_ARG(signature))), ERR_TOKEN_INVALID);
	instance_keys_free(other);
}

static void every_changed_byte_of_a_token_is_caught(void **state)
{
	(void)state;
	struct str jwt = token();
	assert_int_equal(check(jwt), ERR_OK);
	char *p = arena_alloc(arena, jwt.n);
	for (size_t i = 0; i < jwt.n; i++) {
		memcpy(p, jwt.p, jwt.n);
		p[i] = p[i] == 'A' ? 'B' : 'A';
		assert_int_equal(check(str_make(p, jwt.n)), ERR_TOKEN_INVALID);
	}
}

static void what_is_no_token_is_refused(void **state)
{
	(void)state;
	struct str jwt = token();
	char *huge = arena_alloc(arena, LIMIT_TOKEN + 1);
	memset(huge, 'A', LIMIT_TOKEN + 1);
	struct str bad[] = { STR_NONE, STR(""), STR("."), STR(".."), STR("..."), STR("a.b.c"), str_make(huge, LIMIT_TOKEN + 1), str_fmt(arena, "%.*s\n", STR_ARG(jwt)),
		str_fmt(arena, "%.*s.", STR_ARG(jwt)), str_fmt(arena, " %.*s", STR_ARG(jwt)), str_fmt(arena, "%.*s=", STR_ARG(jwt)) };
	for (size_t i = 0; i < CH_LEN(bad); i++)
		assert_int_equal(check(bad[i]), ERR_TOKEN_INVALID);
}

/* An outsider with the JWKS alone can verify. */
static void the_jwks_verifies_our_tokens(void **state)
{
	(void)state;
	struct str jwt = token(), rest = jwt, header, body, part, signature;
	assert_true(str_split(&rest, '.', &header) && str_split(&rest, '.', &body) && str_split(&rest, '.', &part));
	assert_true(str_unbase64url(arena, part, &signature));
	ECDSA_SIG *pair = ECDSA_SIG_new();
	ECDSA_SIG_set0(pair, BN_bin2bn((const unsigned char *)signature.p, 32, NULL), BN_bin2bn((const unsigned char *)signature.p + 32, 32, NULL));
	unsigned char *der = NULL;
	int n = i2d_ECDSA_SIG(pair, &der);
	EVP_PKEY *key = published_key();
	EVP_MD_CTX *context = EVP_MD_CTX_new();
	assert_int_equal(EVP_DigestVerifyInit(context, NULL, EVP_sha256(), NULL, key), 1);
	assert_int_equal(EVP_DigestVerify(context, der, (size_t)n, (const unsigned char *)jwt.p, header.n + 1 + body.n), 1);
	EVP_MD_CTX_free(context);
	EVP_PKEY_free(key);
	OPENSSL_free(der);
	ECDSA_SIG_free(pair);
}

/* --- the directory of keys --- */

static const char *at(const char *name)
{
	return str_z(arena, str_fmt(arena, "%s/deep/keys%s", dir, name));
}

static enum err reopen(void)
{
	struct instance_keys *again = NULL;
	struct error e = { 0 };
	enum err err = instance_keys_open(at(""), &again, &e);
	if (!err) {
		assert_memory_equal(instance_seal_key(again), instance_seal_key(keys), 32);
		assert_memory_equal(instance_sign_key(again), instance_sign_key(keys), sizeof(struct sign_key));
		assert_true(str_eq(access_jwks(arena, again), access_jwks(arena, keys)));
	}
	instance_keys_free(again);
	return err;
}

static unsigned mode_of(const char *path)
{
	struct stat st;
	assert_int_equal(stat(path, &st), 0);
	return (unsigned)st.st_mode & 0777;
}

static void keys_are_private_and_stay_the_same(void **state)
{
	(void)state;
	assert_int_equal(mode_of(at("")), 0700);
	assert_int_equal(mode_of(at("/seal")), 0600);
	assert_int_equal(mode_of(at("/sign")), 0600);
	assert_int_equal(mode_of(at("/access.pem")), 0600);
	assert_int_equal(reopen(), ERR_OK);
}

static void a_path_may_end_with_a_slash_but_must_not_be_empty(void **state)
{
	(void)state;
	struct instance_keys *k = NULL;
	struct error e = { 0 };
	assert_int_equal(instance_keys_open(str_z(arena, str_fmt(arena, "%s/slash//", dir)), &k, &e), ERR_OK);
	instance_keys_free(k);
	assert_int_equal(mode_of(str_z(arena, str_fmt(arena, "%s/slash", dir))), 0700);
	assert_int_equal(instance_keys_open("", &k, &e), ERR_CONFIG);
	/* a folder that is there and empty is filled */
	const char *empty = str_z(arena, str_fmt(arena, "%s/empty", dir));
	assert_int_equal(mkdir(empty, 0755), 0);
	assert_int_equal(instance_keys_open(empty, &k, &e), ERR_OK);
	instance_keys_free(k);
	assert_int_equal(mode_of(empty), 0700);
}

static void keys_that_others_can_read_are_refused(void **state)
{
	(void)state;
	static const char *const names[] = { "/seal", "/sign", "/access.pem" };
	for (size_t i = 0; i < CH_LEN(names); i++) {
		assert_int_equal(chmod(at(names[i]), 0640), 0);
		assert_int_equal(reopen(), ERR_CONFIG);
		assert_int_equal(chmod(at(names[i]), 0600), 0);
	}
	assert_int_equal(chmod(at(""), 0750), 0);
	assert_int_equal(reopen(), ERR_CONFIG);
	assert_int_equal(chmod(at(""), 0700), 0);
	assert_int_equal(reopen(), ERR_OK);
}

static void a_missing_key_is_not_made_anew(void **state)
{
	(void)state;
	assert_int_equal(rename(at("/seal"), at("/away")), 0);
	assert_int_equal(reopen(), ERR_CONFIG);
	assert_int_not_equal(access(at("/seal"), F_OK), 0);
	assert_int_equal(rename(at("/away"), at("/seal")), 0);
	assert_int_equal(reopen(), ERR_OK);
}

static void a_damaged_key_or_a_link_is_refused(void **state)
{
	(void)state;
	assert_int_equal(rename(at("/seal"), at("/away")), 0);
	write_text(at("/seal"), STR("not a key\n"));
	assert_int_equal(chmod(at("/seal"), 0600), 0);
	assert_int_equal(reopen(), ERR_CONFIG);
	assert_int_equal(unlink(at("/seal")), 0);
	assert_int_equal(symlink(at("/away"), at("/seal")), 0);
	assert_int_equal(reopen(), ERR_CONFIG);
	assert_int_equal(unlink(at("/seal")), 0);
	assert_int_equal(rename(at("/away"), at("/seal")), 0);
	assert_int_equal(reopen(), ERR_OK);
}

static void *open_keys(void *path)
{
	struct instance_keys *k = NULL;
	struct error e = { 0 };
	return instance_keys_open(path, &k, &e) == ERR_OK ? k : NULL;
}

static void several_first_starts_agree_on_one_set_of_keys(void **state)
{
	(void)state;
	char path[96];
	snprintf(path, sizeof(path), "%s/race", dir);
	pthread_t threads[4];
	struct instance_keys *opened[4];
	for (size_t i = 0; i < 4; i++)
		assert_int_equal(pthread_create(&threads[i], NULL, open_keys, path), 0);
	for (size_t i = 0; i < 4; i++) {
		pthread_join(threads[i], (void **)&opened[i]);
		assert_non_null(opened[i]);
		assert_memory_equal(instance_seal_key(opened[i]), instance_seal_key(opened[0]), 32);
	}
	for (size_t i = 0; i < 4; i++)
		instance_keys_free(opened[i]);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(sha256_agrees_with_fips_180),
		cmocka_unit_test(hmac_agrees_with_rfc_4231),
		cmocka_unit_test(secrets_compare_by_content_and_length),
		cmocka_unit_test(ed25519_agrees_with_rfc_8032),
		cmocka_unit_test(a_minisign_signature_verifies_here),
		cmocka_unit_test(every_changed_byte_of_a_minisign_signature_is_caught),
		cmocka_unit_test(stock_minisign_accepts_our_signatures),
		cmocka_unit_test(a_key_id_that_is_not_the_keys_own_is_refused),
		cmocka_unit_test(dsse_signs_the_pre_authentication_encoding),
		cmocka_unit_test(dsse_counts_each_key_once),
		cmocka_unit_test(sealing_binds_key_and_context),
		cmocka_unit_test(texts_sealed_in_a_row_each_have_their_own_nonce),
		cmocka_unit_test(texts_of_every_length_open_and_nothing_else_does),
		cmocka_unit_test(a_password_verifies_and_others_do_not),
		cmocka_unit_test(secret_tokens_are_random_and_stored_as_hashes),
		cmocka_unit_test(a_token_carries_its_claims),
		cmocka_unit_test(a_token_expires_to_the_second),
		cmocka_unit_test(a_token_for_another_audience_is_refused),
		cmocka_unit_test(alg_none_is_refused),
		cmocka_unit_test(hs256_made_with_the_public_key_is_refused),
		cmocka_unit_test(a_token_of_another_instance_is_refused),
		cmocka_unit_test(every_changed_byte_of_a_token_is_caught),
		cmocka_unit_test(what_is_no_token_is_refused),
		cmocka_unit_test(the_jwks_verifies_our_tokens),
		cmocka_unit_test(keys_are_private_and_stay_the_same),
		cmocka_unit_test(a_path_may_end_with_a_slash_but_must_not_be_empty),
		cmocka_unit_test(keys_that_others_can_read_are_refused),
		cmocka_unit_test(a_missing_key_is_not_made_anew),
		cmocka_unit_test(a_damaged_key_or_a_link_is_refused),
		cmocka_unit_test(several_first_starts_agree_on_one_set_of_keys),
	};
	return cmocka_run_group_tests(tests, set_up, tear_down);
}
