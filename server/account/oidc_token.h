/* oidc_token.h - identity tokens of OpenID providers, held against the provider's keys (JWKS). Pure: no clock, no network, no database.
 *
 * The key chooses the algorithm and the header must agree; never the other way round, or an attacker could have a token checked with `none`, or with a public key
 * taken for a shared secret. Only RS256, ES256 and EdDSA (Ed25519) are known here.
 */
#ifndef COMMONHOLD_OIDC_TOKEN_H
#define COMMONHOLD_OIDC_TOKEN_H

#include "commonhold/clock.h"
#include "commonhold/crypto.h"

#define JWKS_KEYS_MAX 64 /* keys of a document that are looked at */

/* What a token must say. */
struct id_token_want {
	struct str issuer;  /* exactly */
	struct str client;  /* among aud; and azp where there is one */
	struct str nonce;   /* exactly */
	instant now;
};
/* What it says. */
struct id_token {
	struct str subject, email, name; /* absent where it says nothing */
	bool email_verified;
};

/* ERR_TOKEN_INVALID or ERR_TOKEN_EXPIRED with a reason of its own for each fault ("oidc_signature", "oidc_audience" …). "oidc_key_unknown" means that the document has no
 * such key: a newer one may. */
CH_CHECK enum err id_token_check(struct arena *a, struct str jwks, struct str jwt, const struct id_token_want *want, struct id_token *out, struct error *e);

/* PKCE (RFC 7636): the S256 challenge of a verifier. */
struct str pkce_challenge(struct arena *a, struct str verifier);

#endif
