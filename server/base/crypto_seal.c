/* Sealing with XChaCha20-Poly1305: nonce 24 || ciphertext || tag 16. Random nonces are safe at this length. */
#include "commonhold/crypto.h"

#include <sodium.h>

#define NONCE_BYTES crypto_aead_xchacha20poly1305_ietf_NPUBBYTES

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

bool unseal_into(const struct seal_key *k, struct str context, struct str sealed, uint8_t *out)
{
	if (sealed.n < SEAL_OVERHEAD)
		return false;
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
