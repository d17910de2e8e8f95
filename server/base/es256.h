/* es256.h - ECDSA over P-256 with SHA-256 as JSON Web Signatures carry it (RFC 7518 section 3.4): r and s, 32 bytes each, where OpenSSL wants DER. */
#ifndef COMMONHOLD_ES256_H
#define COMMONHOLD_ES256_H

#include "server/base/openssl.h"

#include "commonhold/str.h"

CH_CHECK bool es256_verify(EVP_PKEY *key, struct str message, const uint8_t signature[64]);

#endif
