/* totp.h - codes that change every 30 seconds (RFC 6238 over RFC 4226, SHA-1, six digits), and base32 (RFC 4648) to write their secrets in. Pure. */
#ifndef COMMONHOLD_TOTP_H
#define COMMONHOLD_TOTP_H

#include "commonhold/clock.h"

#include "commonhold/arena.h"

#define TOTP_SECRET 20 /* bytes: as long as the hash, as RFC 4226 recommends */
#define TOTP_STEP 30   /* seconds */

/* The number of the step that an instant lies in. */
int64_t totp_step(instant t);
/* HOTP of a counter, `digits` from 6 to 8. */
uint32_t hotp(struct str secret, uint64_t counter, int digits);
/* The step, of `now`'s and its neighbours, whose code this is; -1 when it is none of them. Every one is compared, in constant time. */
int64_t totp_match(struct str secret, struct str code, instant now);
/* Upper case, without padding. */
struct str base32(struct arena *a, struct str bytes);
/* What authenticator apps read (Key URI Format). */
struct str totp_uri(struct arena *a, struct str issuer, struct str account, struct str secret);

#endif
