/* oidc_provider.h - what is known of an OpenID provider: its configuration here, its own description (discovery) and its keys, fetched and kept for an hour.
 *
 * Everything that a provider answers is bounded in size and time, comes over https (or plain http from this very machine), and from no other host than was asked.
 * Fetching holds no lock and no database connection.
 */
#ifndef COMMONHOLD_OIDC_PROVIDER_H
#define COMMONHOLD_OIDC_PROVIDER_H

#include "commonhold/sign_in.h"

/* What a provider's description says. */
struct oidc_metadata {
	struct str authorization, token, jwks; /* addresses */
	bool says_issuer;                      /* its answers carry iss (RFC 9207) */
	bool secret_in_body;                   /* it takes the client's secret in the body only */
};
CH_CHECK enum err oidc_metadata_get(struct call *c, struct str issuer, struct oidc_metadata *out);
/* The keys; `anew` when a token names one that is not among them: at most once a minute, ERR_TOO_MANY within it. */
CH_CHECK enum err oidc_jwks_get(struct call *c, const struct oidc_metadata *m, bool anew, struct str *out);
/* Forgets what was fetched: for tests. */
void oidc_provider_forget(void);

/* oidc_fetch.c: one exchange. `form` absent: a GET. `user` absent: no Basic authentication. */
struct fetched { long status; struct str body; };
CH_CHECK enum err oidc_fetch(struct call *c, struct str url, struct str form, struct str user, struct str password, struct fetched *out);

#endif
