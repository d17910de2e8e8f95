/* Ed25519 key pairs and bare signatures (RFC 8032). */
#include "commonhold/crypto.h"

#include <sodium.h>

void sign_key_new(struct sign_key *k)
{
	crypto_sign_keypair(k->public_key, k->secret);
}

void sign_key_from_seed(struct sign_key *k, const uint8_t seed[32])
{
	crypto_sign_seed_keypair(k->public_key, k->secret, seed);
}

void sign_bytes(const struct sign_key *k, struct str message, uint8_t signature[64])
{
	crypto_sign_detached(signature, NULL, (const unsigned char *)message.p, message.n, k->secret);
}

bool verify_bytes(const uint8_t public_key[32], struct str message, const uint8_t signature[64])
{
	return crypto_sign_verify_detached(signature, (const unsigned char *)message.p, message.n, public_key) == 0;
}

struct str key_id(struct arena *a, const uint8_t public_key[32])
{
	return sha256_hex(a, sha256(str_make(public_key, 32)));
}
