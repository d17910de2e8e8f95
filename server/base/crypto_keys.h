/* crypto_keys.h - the instance's keys as crypto_keys.c opens them and crypto_jwt.c uses them; for these two files alone. */
#ifndef COMMONHOLD_CRYPTO_KEYS_H
#define COMMONHOLD_CRYPTO_KEYS_H

#include "server/base/openssl.h"
#include "commonhold/crypto.h"

struct instance_keys {
	struct seal_key seal;      /* wraps members' and co-ops' keys */
	struct sign_key sign;      /* the instance's Ed25519 key */
	EVP_PKEY *access;          /* P-256, signs and verifies access tokens */
	char *access_pem;          /* the same as PKCS #8 PEM, which is what libjwt takes */
	size_t access_pem_n;
	char x[44], y[44];         /* coordinates of its public point, base64url */
	char kid[44];              /* RFC 7638 thumbprint, base64url */
};

#endif
