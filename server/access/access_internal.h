/* access_internal.h - what the files of server/access share. */
#ifndef COMMONHOLD_ACCESS_INTERNAL_H
#define COMMONHOLD_ACCESS_INTERNAL_H

#include "commonhold/access.h"
#include "commonhold/db.h"

#define GRANT_COLUMNS "g.id, g.request_id, g.account_id, g.release_id, a.name, g.purpose, g.terms_sha256, g.granted_at, g.expires_at, g.revoked_at, g.granted_by IS NULL, g.purge_days"
#define GRANT_FROM " FROM access_grant g JOIN account a ON a.id = g.account_id "
struct access_grant grant_of_row(const struct rows *r, int i);
/* The actor must be an account (a person or the instance acting as one). */
CH_CHECK enum err require_account(struct call *c);
/* Whether a grant for this purpose, given so, can open what is on offer. ERR_FORBIDDEN with its reason, or ERR_TERMS. Pure but for the error. */
CH_CHECK enum err offer_fits(struct call *c, const struct access_offer *offer, unsigned purpose, struct sha256 terms, bool automatic);
/* Audience, purposes and uses that the release itself was decided for. */
CH_CHECK enum err offer_by_release(struct call *c, const struct release *r, struct access_offer *out);
/* Lasting states in which there are no files: ERR_GONE for withdrawn and expired; ERR_NOT_FOUND for the rest unless `ahead` allows those still to come. Opens a transaction of
 * its own to say where a withdrawn one leads. */
CH_CHECK enum err release_usable(struct call *c, const struct release *r, bool ahead);

/* A leaf about a grant: ids, and no people. Inside. */
CH_CHECK enum err note_grant(struct call *c, struct uuid coop, const char *type, const struct access_grant *g);

#endif
