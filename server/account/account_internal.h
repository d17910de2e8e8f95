/* account_internal.h - what the files of server/account/ share. "Inside" means inside the caller's open transaction. */
#ifndef COMMONHOLD_ACCOUNT_INTERNAL_H
#define COMMONHOLD_ACCOUNT_INTERNAL_H

#include "commonhold/db.h"
#include "commonhold/sign_in.h"

#define EMAIL_MAX 254 /* RFC 5321 path */

/* account.c */
#define ACCOUNT_COLUMNS "id, email, name, locale, created_at, email_verified_at"
#define ACCOUNT_COLUMNS_OF(a) a ".id, " a ".email, " a ".name, " a ".locale, " a ".created_at, " a ".email_verified_at"
enum { ACCOUNT_COLUMN_COUNT = 6 };
struct account account_of_row(const struct rows *r, int row);
CH_CHECK enum err account_require(struct call *c);
/* By a browser's session: a personal token may not change how one signs in. */
CH_CHECK enum err account_require_session(struct call *c);
CH_CHECK enum err account_check_email(struct call *c, struct str email);
CH_CHECK enum err account_check_password(struct call *c, struct str password, struct str email);
/* Inside: an account without a password, whose address is proved. */
CH_CHECK enum err account_add_proved(struct call *c, struct str email, struct str name, struct account *out);

/* session.c */
/* What the first step of a sign-in was. */
enum sign_in_how { HOW_PASSWORD, HOW_LINK, HOW_OIDC, HOW_OPERATOR };
const char *how_name(enum sign_in_how how);
/* Inside: a session of the account, and a mail when it is the first with this kind of browser. Its actor is the call's from then on. */
CH_CHECK enum err session_open(struct call *c, const struct account *who, enum sign_in_how how, bool factor, struct str agent, struct str *secret);
/* Inside: ends all sessions of an account but one (nil: all), the sign-ins under way and the mailed links. */
CH_CHECK enum err session_end_others(struct call *c, struct uuid account, struct uuid but, int64_t *ended);

/* sign_in.c: the door. */
/* Whether the account has a second factor; inside. */
CH_CHECK enum err factor_is_on(struct call *c, struct uuid account, bool *on);
/* Inside: a session, or a challenge where the second factor lacks. `shown`: it was looked at and is right. */
CH_CHECK enum err sign_in_enter(struct call *c, const struct account *who, enum sign_in_how how, bool shown, const struct sign_in_from *from, struct sign_in *out);
/* For callers that cannot ask in a step of their own: ERR_UNAUTHENTICATED, "factor_needed". */
CH_CHECK enum err factor_needed(struct call *c);

/* factor.c */
/* A code of the account's second factor, or a recovery code, which is used up; own transactions. */
CH_CHECK enum err factor_show(struct call *c, struct uuid account, struct str code);

/* delay.c: whoever tries again and again waits longer and longer. */
enum delay_kind { DELAY_PASSWORD, DELAY_CODE, DELAY_LINK_TO, DELAY_LINK_FROM, DELAY_LINK_OPEN, DELAY_OIDC };
/* Counts a try, in a transaction of its own: ERR_TOO_MANY with the kind's reason while the wait lasts. `from` may be absent where the kind counts the target alone. */
CH_CHECK enum err delay_take(struct call *c, enum delay_kind kind, struct str target, struct str from);
/* A success; inside. */
CH_CHECK enum err delay_clear(struct call *c, enum delay_kind kind, struct str target, struct str from);
/* HMAC under the instance's key: what is stored of guessable things. */
struct sha256 account_mac(struct call *c, const char *what, struct str first, struct str second);

/* notice.c: what people are told by mail. All inside. */
CH_CHECK enum err notice_link(struct call *c, const struct account *who, enum link_purpose purpose, struct str secret, instant expires);
CH_CHECK enum err notice_new_sign_in(struct call *c, const struct account *who, struct str agent);
/* `what` is a sentence: "Your password was changed." */
CH_CHECK enum err notice_changed(struct call *c, struct uuid account, const char *what);

/* Whether two addresses are one: case does not count. */
bool email_eq(struct arena *a, struct str x, struct str y);

#endif
