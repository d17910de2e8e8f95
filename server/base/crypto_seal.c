/* Sealing with XChaCha20-Poly1305: nonce 24 || ciphertext || tag 16. Random nonces are safe at this length.
 *
 * Long texts are sealed and opened by OpenSSL, which uses wider vectors than libsodium: HChaCha20 makes of the key and 16 bytes of the nonce a key of its own, and what follows is ChaCha20-Poly1305 of RFC 8439 under
 * it with the other 8 (draft-irtf-cfrg-xchacha, 2.3). */
#include "server/base/openssl.h"
#include "commonhold/crypto.h"
#include "commonhold/seal_many.h"

#include <pthread.h>
#include <sodium.h>

#define NONCE_BYTES crypto_aead_xchacha20poly1305_ietf_NPUBBYTES

#define TAG_BYTES crypto_aead_xchacha20poly1305_ietf_ABYTES
#define LONG 400 /* bytes from which that is faster, though it takes longer to begin */

_Static_assert(sizeof(((struct seal_nonces *)0)->b[0]) == NONCE_BYTES, "a nonce's length");
_Static_assert(SEAL_OVERHEAD == NONCE_BYTES + crypto_aead_xchacha20poly1305_ietf_ABYTES, "overhead of a sealed text");

/* One context a thread: making one costs more than a short text does. */
static pthread_key_t context_key;
static EVP_CIPHER *cipher; /* NULL: libsodium does everything */

static void context_release(void *context)
{
	EVP_CIPHER_CTX_free(context);
}

static void cipher_find(void)
{
	if (pthread_key_create(&context_key, context_release) == 0)
		cipher = EVP_CIPHER_fetch(NULL, "ChaCha20-Poly1305", NULL);
}

/* NULL when OpenSSL has none. */
static EVP_CIPHER_CTX *thread_context(void)
{
	static pthread_once_t once = PTHREAD_ONCE_INIT;
	static _Thread_local EVP_CIPHER_CTX *mine;
	if (mine || pthread_once(&once, cipher_find) != 0 || !cipher)
		return mine;
	EVP_CIPHER_CTX *made = EVP_CIPHER_CTX_new();
	if (made && EVP_DecryptInit_ex(made, cipher, NULL, NULL, NULL) && pthread_setspecific(context_key, made) == 0)
		return mine = made;
	EVP_CIPHER_CTX_free(made);
	return NULL;
}

/* The key and the nonce of ChaCha20-Poly1305 that a key and 24 bytes of nonce stand for. */
static void derive(const struct seal_key *k, const uint8_t nonce[NONCE_BYTES], uint8_t key[32], uint8_t rest[12])
{
	crypto_core_hchacha20(key, nonce, k->b, NULL);
	memset(rest, 0, 4);
	memcpy(rest + 4, nonce + 16, 8);
}

static EVP_CIPHER_CTX *context_for(struct str context, size_t n)
{
	return n >= LONG && n < INT32_MAX && context.n && context.n < INT32_MAX ? thread_context() : NULL;
}

/* Behind the nonce. */
static bool seal_long(EVP_CIPHER_CTX *x, const struct seal_key *k, struct str context, struct str plain, const uint8_t *nonce, uint8_t *out)
{
	uint8_t key[32], rest[12];
	int n = (int)plain.n, done;
	derive(k, nonce, key, rest);
	bool good = EVP_EncryptInit_ex(x, NULL, NULL, key, rest) && EVP_EncryptUpdate(x, NULL, &done, (const uint8_t *)context.p, (int)context.n) &&
		EVP_EncryptUpdate(x, out, &done, (const uint8_t *)plain.p, n) && done == n && EVP_EncryptFinal_ex(x, out + n, &done) && EVP_CIPHER_CTX_ctrl(x, EVP_CTRL_AEAD_GET_TAG, TAG_BYTES, out + n);
	sodium_memzero(key, sizeof(key));
	return good;
}

/* `out` begins with the nonce. */
static void seal_under(const struct seal_key *k, struct str context, struct str plain, uint8_t *out)
{
	uint8_t *text = out + NONCE_BYTES;
	EVP_CIPHER_CTX *x = context_for(context, plain.n);
	if (!x || !seal_long(x, k, context, plain, out, text))
		crypto_aead_xchacha20poly1305_ietf_encrypt(text, NULL, (const unsigned char *)plain.p, plain.n, (const unsigned char *)context.p, context.n, NULL, out, k->b);
}

void seal_into(const struct seal_key *k, struct str context, struct str plain, uint8_t *out)
{
	randombytes_buf(out, NONCE_BYTES);
	seal_under(k, context, plain, out);
}

struct str seal(struct arena *a, const struct seal_key *k, struct str context, struct str plain)
{
	uint8_t *out = arena_take(a, plain.n + SEAL_OVERHEAD);
	seal_into(k, context, plain, out);
	return str_make(out, plain.n + SEAL_OVERHEAD);
}

struct str seal_next(struct arena *a, struct seal_nonces *nonces, const struct seal_key *k, struct str context, struct str plain)
{
	uint8_t *out = arena_take(a, plain.n + SEAL_OVERHEAD);
	if (nonces->left == 0) {
		randombytes_buf(nonces->b, sizeof(nonces->b));
		nonces->left = SEAL_NONCES;
	}
	memcpy(out, nonces->b[--nonces->left], NONCE_BYTES);
	seal_under(k, context, plain, out);
	return str_make(out, plain.n + SEAL_OVERHEAD);
}

static bool open_long(EVP_CIPHER_CTX *x, const struct seal_key *k, struct str context, struct str sealed, uint8_t *out)
{
	const uint8_t *nonce = (const uint8_t *)sealed.p, *text = nonce + NONCE_BYTES;
	int n = (int)(sealed.n - SEAL_OVERHEAD), done;
	uint8_t key[32], rest[12], tag[TAG_BYTES];
	derive(k, nonce, key, rest);
	memcpy(tag, text + n, sizeof(tag));
	bool good = EVP_DecryptInit_ex(x, NULL, NULL, key, rest) && EVP_CIPHER_CTX_ctrl(x, EVP_CTRL_AEAD_SET_TAG, sizeof(tag), tag) &&
		EVP_DecryptUpdate(x, NULL, &done, (const uint8_t *)context.p, (int)context.n) && EVP_DecryptUpdate(x, out, &done, text, n) && EVP_DecryptFinal_ex(x, out + n, &done);
	sodium_memzero(key, sizeof(key));
	if (!good)
		sodium_memzero(out, (size_t)n);
	return good;
}

bool unseal_into(const struct seal_key *k, struct str context, struct str sealed, uint8_t *out)
{
	if (sealed.n < SEAL_OVERHEAD)
		return false;
	EVP_CIPHER_CTX *x = context_for(context, sealed.n);
	if (x)
		return open_long(x, k, context, sealed, out);
	const unsigned char *nonce = (const unsigned char *)sealed.p;
	return crypto_aead_xchacha20poly1305_ietf_decrypt(out, NULL, NULL, nonce + NONCE_BYTES, sealed.n - NONCE_BYTES, (const unsigned char *)context.p, context.n, nonce,
		k->b) == 0;
}

bool unseal(struct arena *a, const struct seal_key *k, struct str context, struct str sealed, struct str *plain)
{
	if (sealed.n < SEAL_OVERHEAD)
		return false;
	uint8_t *out = arena_alloc(a, sealed.n - SEAL_OVERHEAD + 1);
	if (!unseal_into(k, context, sealed, out))
		return false;
	*plain = str_make(out, sealed.n - SEAL_OVERHEAD);
	return true;
}
