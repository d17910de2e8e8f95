/* account_web.h - what the API and the pages of accounts share: where a request comes from, as signing in understands it. */
#ifndef COMMONHOLD_ACCOUNT_WEB_H
#define COMMONHOLD_ACCOUNT_WEB_H

#include "commonhold/routes.h"
#include "commonhold/sign_in.h"

/* Without the browser's cookie of its own, but with what came in it. */
struct sign_in_from request_from(const struct request *rq);
/* The same for what is bound to this browser: gives it such a cookie when it has none. */
struct sign_in_from request_from_bound(struct request *rq, struct response *rs);
/* Mails the link that proves a new account's address. The account is there already: a mail that cannot be sent now is asked for later. */
void mail_first_link(struct request *rq, struct response *rs, struct str email);
/* The API's answer to a sign-in, with its cookie. */
void response_signed_in(struct request *rq, struct response *rs, const struct sign_in *in);
/* Where to go after signing in: a path of this site, never another site. */
struct str safe_next(struct str next);
/* "Firefox on Windows", for telling one's own browsers apart. */
struct str browser_words(struct arena *a, struct str agent);

#endif
