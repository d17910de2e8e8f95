/* account.h - accounts, sessions, personal tokens: who somebody is on this instance, never what they may do in a co-op.
 *
 * Every operation is one transaction of its own unless it says "inside".
 */
#ifndef COMMONHOLD_ACCOUNT_H
#define COMMONHOLD_ACCOUNT_H

#include "call.h"
#include "job.h"
#include "crypto.h"

struct account {
	struct uuid id;
	struct str email;   /* as the person wrote it */
	struct str name;
	struct str locale;
	instant created_at;
	instant verified_at; /* when the address was proved to be theirs; INSTANT_NONE: not yet */
};

#define SESSION_LIFE (30 * CLOCK_DAY) /* how long a browser stays signed in */

/* Accounts that the instance itself makes have a proved address: the operator vouches for it.
 *
 * Registers with a password of 10 to 200 characters that is not the e-mail address. ERR_EXISTS when the address is taken. */
CH_CHECK enum err account_register(struct call *c, struct str email, struct str name, struct str password, struct account *out);
/* Without a password: for people who sign in by other means, and for the demo. */
CH_CHECK enum err account_create(struct call *c, struct str email, struct str name, struct account *out);
/* A session without any proof, for tests and for right after registering. `secret` goes into the cookie. */
CH_CHECK enum err session_start_for(struct call *c, struct uuid account, struct str agent, struct str *secret);
/* Notes the use of the actor's session or token, last noted at `seen`: at most once an hour, a transaction of its own. */
CH_CHECK enum err session_touched(struct call *c, instant seen);
/* Ends the actor's own session, or another one of theirs. */
CH_CHECK enum err session_end(struct call *c, struct uuid session);
/* Ends all others of the actor's sessions, or with `own` every one, and sign-ins and mailed links that are under way; says how many sessions there were. */
CH_CHECK enum err session_end_all(struct call *c, bool own, int *ended);
struct session_row {
	struct uuid id;
	instant created_at, seen_at, expires_at; /* last use is known to the hour */
	struct str agent;                        /* the browser's own name */
	struct str how;                          /* what was shown: password, link, oidc, operator */
	bool factor;                             /* the second factor as well */
	bool current;                            /* this very session */
};
CH_CHECK enum err session_list(struct call *c, struct session_row **out, size_t *n);

struct token_row { struct uuid id; struct str name; instant created_at, expires_at, used_at, revoked_at; };
/* A new personal token; `secret` is shown once. `expires` may be INSTANT_NONE. */
CH_CHECK enum err token_create(struct call *c, struct str name, instant expires, struct token_row *out, struct str *secret);
CH_CHECK enum err token_list(struct call *c, struct token_row **out, size_t *n);
CH_CHECK enum err token_revoke(struct call *c, struct uuid token);

CH_CHECK enum err account_read(struct call *c, struct uuid id, struct account *out);
CH_CHECK enum err account_find(struct call *c, struct str email, struct account *out);
/* The operator vouches that the address is the person's, as a mailed link would prove. */
CH_CHECK enum err account_vouch_email(struct call *c, struct str email, struct account *out);
/* Changes name or locale of the actor; absent texts stay. */
CH_CHECK enum err account_change(struct call *c, struct str name, struct str locale, struct account *out);

/* account.forget: sessions, links and sign-ins that have expired go, and tokens that ended 90 days ago. */
extern const struct job_kind account_jobs[];

#endif
