/* Secrets that people carry: random, recognisable by their prefix (secret scanners look for it), stored as a hash only. Fast hashing is enough: 256 random bits cannot be
 * guessed. */
#include "commonhold/crypto.h"

struct str secret_token_new(struct arena *a, const char *kind, struct sha256 *stored)
{
	uint8_t secret[32];
	random_bytes(secret, sizeof(secret));
	struct str text = str_base64url(a, secret, sizeof(secret));
	struct str token = str_fmt(a, "ch_%s_%.*s", kind, STR_ARG(text));
	secret_wipe(secret, sizeof(secret));
	*stored = secret_token_hash(token);
	return token;
}

struct sha256 secret_token_hash(struct str token)
{
	return sha256(token);
}
