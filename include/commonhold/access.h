/* access.h - the gate: who may download which release, for what, under which terms, until when.
 *
 * A grant is checked against the audience, purposes and terms of the release when it is made and again at every use. It yields short-lived ES256 tokens scoped to co-op and release;
 * every download is logged before its first byte goes out.
 *
 * Who gets a release is the narrower of two: the audience that its items were decided for, which no later charter can widen, and the charter's present access mode. "public" needs
 * nothing; "members" an active membership; the gated ones a grant, of members too, since purpose and terms are then on record. A grant that was given automatically opens no release
 * whose audience needs a person's decision.
 */
#ifndef COMMONHOLD_ACCESS_H
#define COMMONHOLD_ACCESS_H

#include "call.h"
#include "coop.h"
#include "job.h"
#include "release.h"

struct access_request {
	struct uuid id, account;
	struct uuid release;       /* nil: every one while the grant lasts */
	struct uuid grant;         /* nil: not granted (yet) */
	struct str account_name, purpose, description, organisation;
	struct str state;          /* pending, granted, refused, cancelled */
	struct str reason;         /* of the decision; may be empty */
	struct sha256 terms;       /* that were accepted */
	instant created_at, decided_at;
};
struct access_grant {
	struct uuid id, request, account;
	struct uuid release;       /* nil: every one while it lasts */
	struct str account_name, purpose;
	struct sha256 terms;
	instant granted_at, expires_at;
	instant revoked_at;        /* INSTANT_NONE while it stands */
	bool automatic;            /* no person decided */
	int purge_days;            /* how soon the holder deletes what a tombstone names */
};

/* What is to be had, and on what conditions: of a release, or of those to come. */
struct access_offer {
	uint8_t audience;              /* enum policy_audience: the narrower of release and charter */
	uint32_t purposes;             /* bits: those of the release … */
	uint32_t purposes_covered;     /* … and all narrower ones: what one may ask for */
	uint16_t uses, uses_conditional; /* bits of policy_use */
	struct str terms;              /* Markdown */
	struct sha256 terms_sha256;
	struct duration token_life, grant_life;
	int purge_days;
};
/* `release` NULL: the line, by the present charter. Inside. */
CH_CHECK enum err access_offer_of(struct call *c, struct uuid coop, const struct release *release, struct access_offer *out);
/* The same as an operation of its own. */
CH_CHECK enum err access_offer_read(struct call *c, struct uuid coop, const struct release *release, struct access_offer *out);
/* Whether one of the purposes (bits) is the purpose itself or a wider one. Pure. */
bool access_purpose_covered(unsigned purpose, uint32_t purposes);
/* AIPREF (vocabulary -07, RFC 9651 dictionary) for the Content-Usage header of a release's files. Says y only for train-ai, only where the release allows train.gen without
 * condition; says n for what the release is not for; says nothing about what is allowed on conditions. Pure. */
struct str content_usage(struct arena *a, uint16_t uses, uint16_t uses_conditional);

/* Asks; the hash must be that of the present terms (ERR_TERMS). Decided at once where the audience is gated_auto. */
CH_CHECK enum err access_ask(struct call *c, struct uuid coop, struct uuid release, struct str purpose, struct str description, struct str organisation, struct sha256 terms,
	struct access_request *out, struct access_grant *grant /* id nil when not granted yet */);
/* Admin decides; a refusal needs a reason. */
CH_CHECK enum err access_decide(struct call *c, struct uuid coop, struct uuid request, bool grant, struct str reason, struct access_request *out, struct access_grant *granted);
/* Admins revoke any grant, others their own. Repeating it changes nothing. */
CH_CHECK enum err access_revoke(struct call *c, struct uuid coop, struct uuid grant, struct str reason, struct access_grant *out);
/* Admins see all, others their own. */
CH_CHECK enum err access_requests(struct call *c, struct uuid coop, bool all, struct str state, struct str cursor, int limit, struct access_request **out, size_t *n, struct str *next_cursor);
CH_CHECK enum err access_grants(struct call *c, struct uuid coop, bool all, struct str cursor, int limit, struct access_grant **out, size_t *n, struct str *next_cursor);
/* A short-lived token from one's own live grant: scope "download:<coop id>:<release id or *>". It ends with the grant at the latest. */
CH_CHECK enum err access_token(struct call *c, struct uuid coop, struct uuid grant, struct str *jwt, instant *expires);
/* Whether the actor may download from the release now. Not built: ERR_NOT_FOUND; withdrawn or expired: ERR_GONE; nobody: ERR_UNAUTHENTICATED; somebody without a grant that opens it:
 * ERR_FORBIDDEN with a reason (no_grant, grant_revoked, grant_expired, other_release, purpose_not_covered, needs_decision, members_only) or ERR_TERMS. `bearer` is the raw token when
 * the request carried a JWT. *grant is nil where none was needed; the actor's account is set from the token's grant. */
CH_CHECK enum err access_check(struct call *c, struct uuid coop, const struct release *release, struct str bearer, struct uuid *grant);
/* Writes the access log; a transaction of its own. */
CH_CHECK enum err access_note(struct call *c, struct uuid coop, struct uuid release, struct uuid grant, struct str path, int status, int64_t first, int64_t bytes);
/* Somebody who has downloaded one of some versions and has not said since that it is gone. */
struct access_user {
	struct uuid account;
	struct uuid grant;         /* nil: a member, without one */
	int purge_days;            /* of the grant; 0 without */
	struct str *versions;      /* which of them */
	size_t n_versions;
	instant last_at;           /* of the last download, to the hour */
};
/* Who they are: kept when the access log is pruned, since deletions have to reach them. `account` nil: anybody. Inside. */
CH_CHECK enum err access_users(struct call *c, struct uuid coop, const struct str *versions, size_t n, struct uuid account, struct access_user **out, size_t *n_out);
/* An account (under one grant, or nil: all) holds these versions no more. Inside. */
CH_CHECK enum err access_use_gone(struct call *c, struct uuid coop, struct uuid account, struct uuid grant, const struct str *versions, size_t n);
/* No new grants for an account, until it is lifted; `reason` is a sentence for them. Repeating either changes nothing. Inside. */
CH_CHECK enum err access_block(struct call *c, struct uuid coop, struct uuid account, struct str reason, bool *made);
CH_CHECK enum err access_unblock(struct call *c, struct uuid coop, struct uuid account, bool *lifted);
/* ERR_FORBIDDEN with reason "deletion_overdue" while it stands. Inside. */
CH_CHECK enum err access_require_unblocked(struct call *c, struct uuid coop, struct uuid account);
/* The instance revokes every grant of an account. Inside. */
CH_CHECK enum err access_revoke_all(struct call *c, struct uuid coop, struct uuid account, struct str reason, int64_t *n);
/* Deletes what the charter's retention says may no longer be kept of the access log. */
CH_CHECK enum err access_log_prune(struct call *c, struct uuid coop, int64_t *deleted);
/* "access.prune" does that for every co-op; daily. */
extern const struct job_kind access_jobs[];

/* A file of a built release, opened. */
struct access_file {
	struct str path;        /* as listed, never as asked */
	int fd;                 /* the caller's to close */
	int64_t size;
	struct sha256 sha256;
};
/* Opens what the release lists, or one of its seals (manifest, signatures, sums, checkpoint, proof). A path that is neither is ERR_NOT_FOUND; no path is ever resolved: each step is
 * opened below the release's folder without following links. */
CH_CHECK enum err access_file_open(struct call *c, struct uuid coop, const struct release *release, struct str path, struct access_file *out);
/* Every file of a built release with its seals, in byte order of their paths. */
CH_CHECK enum err access_files(struct call *c, struct uuid coop, const struct release *release, struct release_file **out, size_t *n);

/* The co-op's signed status: DSSE of canonical JSON with the versions that may be used and those withdrawn, tombstones_upto, the log's size and root, and its own expiry. A mirror
 * that has only an expired one must stop serving. */
#define STATUS_PAYLOAD_TYPE "application/vnd.commonhold.status+json"
#define STATUS_LIFE (24 * CLOCK_HOUR)
CH_CHECK enum err status_read(struct call *c, struct uuid coop, struct str *envelope);

#endif
