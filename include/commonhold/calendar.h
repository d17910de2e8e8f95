/* calendar.h - dates for other people's calendars, as iCalendar (RFC 5545): a co-op's for anybody, and a person's own at a secret address.
 *
 * It tells when things are, never how anybody decided: of ballots the public calendar names the kind, the titles are for members.
 */
#ifndef COMMONHOLD_CALENDAR_H
#define COMMONHOLD_CALENDAR_H

#include "call.h"

#define CALENDAR_PAST (180 * CLOCK_DAY) /* how long what is over stays in it */

/* The dates of a co-op: cut-offs, publications, ballots. Links begin with `base_url`. The same bytes until something changes: a date's stamp is when it was last revised. */
CH_CHECK enum err calendar_of_coop(struct call *c, struct uuid coop, struct str base_url, struct str *out);
/* The dates of whoever has the address with this secret: those of all their co-ops, and their checkups. ERR_NOT_FOUND for an unknown or ended address. */
CH_CHECK enum err calendar_of_secret(struct call *c, struct str secret, struct str base_url, struct str *out);

/* The actor's address: when it was made (INSTANT_NONE: there is none), making a new one (its secret is shown this once, the one before ends), ending it. */
CH_CHECK enum err calendar_feed_read(struct call *c, instant *made_at);
CH_CHECK enum err calendar_feed_make(struct call *c, struct str *secret);
CH_CHECK enum err calendar_feed_end(struct call *c);

#endif
