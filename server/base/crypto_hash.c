/* SHA-256 and HMAC. OpenSSL does the work, since it uses the processor's SHA instructions and libsodium does not. */
#include "server/base/openssl.h"
#include "commonhold/crypto.h"

#include <pthread.h>
#include <sodium.h>

struct hasher {
	EVP_MD_CTX *context; /* running SHA-256 */
};

/* Fetched once: looking an algorithm up costs more than hashing a short leaf. */
static EVP_MD *algorithm;
/* One context a thread for one-shot hashes. */
static pthread_key_t context_key;

static void context_release(void *context)
{
	EVP_MD_CTX_free(context);
}

static _Noreturn void hash_unavailable(void)
{
	fputs("commonhold: SHA-256 is not available\n", stderr);
	abort();
}

static void hash_start(void)
{
	algorithm = EVP_MD_fetch(NULL, "SHA256", NULL);
	if (!algorithm || pthread_key_create(&context_key, context_release) != 0)
		hash_unavailable();
}

bool crypto_start(void)
{
	static pthread_once_t once = PTHREAD_ONCE_INIT;
	return sodium_init() >= 0 && pthread_once(&once, hash_start) == 0;
}

static EVP_MD_CTX *context_new(void)
{
	if (!crypto_start())
		hash_unavailable();
	EVP_MD_CTX *context = EVP_MD_CTX_new();
	if (!context || !EVP_DigestInit_ex(context, algorithm, NULL)) {
		EVP_MD_CTX_free(context);
		return NULL;
	}
	return context;
}

static EVP_MD_CTX *thread_context(void)
{
	static _Thread_local EVP_MD_CTX *mine;
	if (!mine) {
		mine = context_new();
		if (!mine || pthread_setspecific(context_key, mine) != 0)
			hash_unavailable();
	}
	return mine;
}

/* Hands out the digest and makes the context ready for the next. OpenSSL fails here only when it is broken or memory corrupt: a wrong hash must never leave. */
static struct sha256 context_end(EVP_MD_CTX *context)
{
	struct sha256 digest;
	if (!EVP_DigestFinal_ex(context, digest.b, NULL) || !EVP_DigestInit_ex(context, NULL, NULL))
		hash_unavailable();
	return digest;
}

struct sha256 sha256_of(const struct str *parts, size_t n)
{
	EVP_MD_CTX *context = thread_context();
	for (size_t i = 0; i < n; i++)
		if (parts[i].n && !EVP_DigestUpdate(context, parts[i].p, parts[i].n))
			hash_unavailable();
	return context_end(context);
}

struct sha256 sha256(struct str s)
{
	return sha256_of(&s, 1);
}

struct sha256 sha256_load(struct str bytes)
{
	struct sha256 h = { { 0 } };
	if (bytes.n == sizeof(h.b))
		memcpy(h.b, bytes.p, sizeof(h.b));
	return h;
}

struct str sha256_hex(struct arena *a, struct sha256 h)
{
	return str_hex(a, h.b, sizeof(h.b));
}

struct str sha256_hex_or_none(struct arena *a, struct sha256 h)
{
	static const struct sha256 none;
	return sha256_eq(h, none) ? STR_NONE : sha256_hex(a, h);
}

bool sha256_parse(struct str hex, struct sha256 *out)
{
	return str_unhex(hex, out->b, sizeof(out->b));
}

static void hasher_release(void *h)
{
	EVP_MD_CTX_free(((struct hasher *)h)->context);
}

struct hasher *hasher_new(struct arena *a)
{
	struct hasher *h = a ? ARENA_NEW(a, struct hasher) : calloc(1, sizeof(*h));
	if (!h)
		return NULL;
	h->context = context_new();
	if (!h->context) {
		if (!a)
			free(h);
		return NULL;
	}
	if (a)
		arena_defer(a, hasher_release, h);
	return h;
}

void hasher_free(struct hasher *h)
{
	if (!h)
		return;
	hasher_release(h);
	free(h);
}

void hasher_add(struct hasher *h, const void *p, size_t n)
{
	if (n && !EVP_DigestUpdate(h->context, p, n))
		hash_unavailable();
}

struct sha256 hasher_end(struct hasher *h)
{
	return context_end(h->context);
}

struct sha256 hmac_sha256(struct str key, struct str message)
{
	struct sha256 mac;
	crypto_auth_hmacsha256_state state;
	crypto_auth_hmacsha256_init(&state, (const unsigned char *)key.p, key.n);
	crypto_auth_hmacsha256_update(&state, (const unsigned char *)message.p, message.n);
	crypto_auth_hmacsha256_final(&state, mac.b);
	sodium_memzero(&state, sizeof(state));
	return mac;
}

bool secret_eq(struct str a, struct str b)
{
	return a.n == b.n && (a.n == 0 || sodium_memcmp(a.p, b.p, a.n) == 0);
}

void secret_wipe(void *p, size_t n)
{
	sodium_memzero(p, n);
}

void random_bytes(void *p, size_t n)
{
	randombytes_buf(p, n);
}
