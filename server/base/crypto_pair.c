/* The secret that two signing keys share. HKDF is RFC 5869 with one block of output. */
#include "commonhold/crypto.h"

#include <sodium.h>

bool pairwise_secret(const struct sign_key *own, const uint8_t theirs[32], struct str label, uint8_t out[32])
{
	uint8_t secret[32], point[32], shared[32], info[64 + 256 + 1];
	bool first = memcmp(own->public_key, theirs, 32) < 0;
	if (label.n > 256 || crypto_sign_ed25519_pk_to_curve25519(point, theirs) != 0 || crypto_sign_ed25519_sk_to_curve25519(secret, own->secret) != 0)
		return false;
	bool ok = crypto_scalarmult(shared, secret, point) == 0;
	if (ok) {
		struct sha256 extracted = hmac_sha256(STR("commonhold/pairwise/1"), str_make(shared, sizeof(shared)));
		memcpy(info, first ? own->public_key : theirs, 32);
		memcpy(info + 32, first ? theirs : own->public_key, 32);
		if (label.n)
			memcpy(info + 64, label.p, label.n);
		info[64 + label.n] = 1;
		struct sha256 expanded = hmac_sha256(str_make(extracted.b, 32), str_make(info, 64 + label.n + 1));
		memcpy(out, expanded.b, 32);
		secret_wipe(&extracted, sizeof(extracted));
		secret_wipe(&expanded, sizeof(expanded));
	}
	secret_wipe(secret, sizeof(secret));
	secret_wipe(shared, sizeof(shared));
	return ok;
}
