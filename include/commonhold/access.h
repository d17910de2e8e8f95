/* access.h - the gate: who may download which release, for what, under which terms, until when.
 *
 * A grant is checked against the duties and preferences of the release when it is made and when it is used. It yields short-lived ES256 tokens scoped to co-op and release; every
 * download is logged.
 */
#ifndef COMMONHOLD_ACCESS_H
#define COMMONHOLD_ACCESS_H

#include "call.h"
#include "coop.h"
#include "release.h"

struct access_request {
	struct uuid id, account, release; /* nil release: every one while the grant lasts */
	struct str account_name, purpose, description, organisation, state, reason;
	struct sha256 terms;
	instant created_at, decided_at;
};
struct access_grant {
	struct uuid id, request, account, release;
	struct str account_name, purpose;
	struct sha256 terms;
	instant granted_at, expires_at, revoked_at;
	int purge_days;
};

/* Asks; the hash must be that of the present terms (ERR_TERMS). Decided at once where the charter says gated_auto. */
CH_CHECK enum err access_ask(struct call *c, struct uuid coop, struct uuid release, struct str purpose, struct str description, struct str organisation, struct sha256 terms,
	struct access_request *out, struct access_grant *grant /* id nil when not granted yet */);
/* Admin decides. */
CH_CHECK enum err access_decide(struct call *c, struct uuid coop, struct uuid request, bool grant, struct str reason, struct access_request *out, struct access_grant *granted);
CH_CHECK enum err access_revoke(struct call *c, struct uuid coop, struct uuid grant, struct str reason, struct access_grant *out);
/* Admins see all, others their own. */
CH_CHECK enum err access_requests(struct call *c, struct uuid coop, bool all, struct str state, struct str cursor, int limit, struct access_request **out, size_t *n, struct str *next_cursor);
CH_CHECK enum err access_grants(struct call *c, struct uuid coop, bool all, struct str cursor, int limit, struct access_grant **out, size_t *n, struct str *next_cursor);
/* A short-lived token from one's own live grant. */
CH_CHECK enum err access_token(struct call *c, struct uuid coop, struct uuid grant, struct str *jwt, instant *expires);
/* Whether the actor (member, holder of a token or grant, or anybody where the charter says public) may download from the release now; ERR_UNAUTHENTICATED, ERR_FORBIDDEN, ERR_GONE as it
 * should be. `bearer` is the raw token when the request carried a JWT. */
CH_CHECK enum err access_check(struct call *c, struct uuid coop, struct release *release, struct str bearer, struct uuid *grant);
/* Writes the access log; a transaction of its own. */
CH_CHECK enum err access_note(struct call *c, struct uuid coop, struct uuid release, struct uuid grant, struct str path, int status, int64_t first, int64_t bytes);

#endif
