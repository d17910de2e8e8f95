/* Sealing with XChaCha20-Poly1305: nonce 24 || ciphertext || tag 16. Random nonces are safe at this length.
 *
 * Long texts are opened by OpenSSL, which uses wider vectors than libsodium: HChaCha20 makes of the key and 16 bytes of the nonce a key of its own, and what follows is ChaCha20-Poly1305 of RFC 8439 under
 * it with the other 8 (draft-irtf-cfrg-xchacha, 2.3). */
#include "server/base/openssl.h"
#include "commonhold/crypto.h"

#include <pthread.h>
#include <sodium.h>

#define NONCE_BYTES crypto_aead_xchacha20poly1305_ietf_NPUBBYTES

#define TAG_BYTES crypto_aead_xchacha20poly1305_ietf_ABYTES
#define LONG 400 /* bytes from which that is faster, though it takes longer to begin */

_Static_assert(SEAL_OVERHEAD == NONCE_BYTES + crypto_aead_xchacha20poly1305_ietf_ABYTES, "overhead of a sealed text");

void seal_into(const struct seal_key *k, struct str context, struct str plain, uint8_t *out)
{
	randombytes_buf(out, NONCE_BYTES);
	crypto_aead_xchacha20poly1305_ietf_encrypt(out + NONCE_BYTES, NULL, (const unsigned char *)plain.p, plain.n, (const unsigned char *)context.p, context.n, NULL, out,
		k->b);
}

struct str seal(struct arena *a, const struct seal_key *k, struct str context, struct str plain)
{
	uint8_t *out = arena_take(a, plain.n + SEAL_OVERHEAD);
	seal_into(k, context, plain, out);
	return str_make(out, plain.n + SEAL_OVERHEAD);
}

/* One context a thread: making one costs more than opening a short text. */
static pthread_key_t context_key;
static EVP_CIPHER *cipher; /* NULL: libsodium opens everything */

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

static bool open_long(EVP_CIPHER_CTX *x, const struct seal_key *k, struct str context, struct str sealed, uint8_t *out)
{
	const uint8_t *nonce = (const uint8_t *)sealed.p, *text = nonce + NONCE_BYTES;
	int n = (int)(sealed.n - SEAL_OVERHEAD), done;
	uint8_t key[32], rest[12] = { 0 }, tag[TAG_BYTES];
	crypto_core_hchacha20(key, nonce, k->b, NULL);
	memcpy(rest + 4, nonce + 16, 8);
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
	EVP_CIPHER_CTX *x = sealed.n >= LONG && sealed.n < INT32_MAX && context.n && context.n < INT32_MAX ? thread_context() : NULL;
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
