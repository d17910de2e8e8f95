/* openssl.h - OpenSSL's headers without its name ERR_STATE, which is one of our error codes. Include before anything of ours that uses OpenSSL's types. */
#ifndef COMMONHOLD_OPENSSL_H
#define COMMONHOLD_OPENSSL_H

#define ERR_STATE OPENSSL_ERR_STATE
#include <openssl/bio.h>
#include <openssl/core_names.h>
#include <openssl/crypto.h>
#include <openssl/ec.h>
#include <openssl/ecdsa.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#undef ERR_STATE

#endif
