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
};

#define SESSION_LIFE (30 * CLOCK_DAY) /* how long a browser stays signed in */

/* Registers with a password of 10 to 200 characters that is not the e-mail address. ERR_EXISTS when the address is taken. */
CH_CHECK enum err account_register(struct call *c, struct str email, struct str name, struct str password, struct account *out);
/* Without a password: for people who sign in by other means, and for the demo. */
CH_CHECK enum err account_create(struct call *c, struct str email, struct str name, struct account *out);
/* A session for the right password; ERR_BAD_CREDENTIALS takes the same time whether the address exists. `secret` goes into the cookie. */
CH_CHECK enum err session_start(struct call *c, struct str email, struct str password, struct str agent, struct str *secret, struct account *out);
/* A session without a password, for the demo's and tests' sign-in by the command line. */
CH_CHECK enum err session_start_for(struct call *c, struct uuid account, struct str agent, struct str *secret);
/* The actor of a session's or token's secret; ERR_UNAUTHENTICATED when unknown, ended or expired. Sets c->actor. */
CH_CHECK enum err session_resume(struct call *c, struct str secret);
CH_CHECK enum err token_resume(struct call *c, struct str secret);
/* Notes the use of the actor's session or token, last noted at `seen`: at most once an hour, a transaction of its own. */
CH_CHECK enum err session_touched(struct call *c, instant seen);
/* Ends the actor's own session, or another one of theirs. */
CH_CHECK enum err session_end(struct call *c, struct uuid session);
struct session_row { struct uuid id; instant created_at, seen_at, expires_at; struct str agent; bool current; };
CH_CHECK enum err session_list(struct call *c, struct session_row **out, size_t *n);

struct token_row { struct uuid id; struct str name; instant created_at, expires_at, used_at, revoked_at; };
/* A new personal token; `secret` is shown once. `expires` may be INSTANT_NONE. */
CH_CHECK enum err token_create(struct call *c, struct str name, instant expires, struct token_row *out, struct str *secret);
CH_CHECK enum err token_list(struct call *c, struct token_row **out, size_t *n);
CH_CHECK enum err token_revoke(struct call *c, struct uuid token);

CH_CHECK enum err account_read(struct call *c, struct uuid id, struct account *out);
CH_CHECK enum err account_find(struct call *c, struct str email, struct account *out);
/* Changes name or locale of the actor; absent texts stay. */
CH_CHECK enum err account_change(struct call *c, struct str name, struct str locale, struct account *out);

/* account.forget: sessions that have expired go. */
extern const struct job_kind account_jobs[];

#endif
