/* partner.h - asking a partner's instance for files that it has for us, with a proof in each request that it is us who ask; and, on the other side, who has proved to be the partner. Of server/merge
 * only.
 *
 * A file on its way is kept as far as it came: what was cut off goes on where it ended. Nothing here believes what comes: sizes are bounds, and digests are for the caller to check.
 */
#ifndef COMMONHOLD_MERGE_PARTNER_H
#define COMMONHOLD_MERGE_PARTNER_H

#include "commonhold/agreement.h"
#include "commonhold/fetch.h"
#include "commonhold/http.h"
#include "commonhold/peer.h"

/* How a partner proves itself: a header with the base64url of a DSSE envelope by its key in force over {"agreement":HEX,"at":INSTANT,"from":KEY NAME,"taken":N,"to":KEY NAME,"v":1}; taken: the last
 * bundle that it has taken. Good for five minutes. */
#define PARTNER_PROOF_HEADER "Commonhold-Proof"
#define PARTNER_REQUEST_TYPE "application/vnd.commonhold.bundle-request+json"

/* A partner that is asked. */
struct partner {
	struct call *c;
	struct uuid coop;             /* ours */
	struct agreement agreement;   /* that is asked under */
	struct peer peer;
	struct keychain keys;         /* the partner's */
	struct sign_key key;          /* ours */
	struct str us;                /* our key name */
	struct fetcher *fetcher;
	struct str base;              /* of its addresses: ".../merge/agreements/HEX/<what>" */
	int64_t until;                /* clock_tick at which this run is over */
};
/* Everything that asking takes; inside a transaction, which it leaves open. `p` lies in the call's arena and ends with it. */
CH_CHECK enum err partner_begin(struct call *c, const struct agreement *g, const char *what, struct partner *p);
/* One exchange, small or into the request's sink; lets the database go. ERR_REFUSED "partner_refuses" where it answers anything but the thing, ERR_UNAVAILABLE where another time may do. */
CH_CHECK enum err partner_ask(struct partner *p, int64_t taken, struct fetch_request *request, struct fetch_answer *answer);
/* Gets what is missing of a file of `size` bytes into `path`; what is there already stays. */
CH_CHECK enum err partner_get_file(struct partner *p, int64_t taken, struct str url, const char *path, int64_t size);
/* ERR_UNAVAILABLE "no_room" where so many bytes of a partner's would leave too little of the disk. */
CH_CHECK enum err partner_room_check(struct partner *p, struct str dir, int64_t bytes);
/* Milliseconds until this run is over; 0: it is. */
int64_t partner_left_ms(const struct partner *p);
/* Whether what went wrong is the partner's doing, and nothing that another attempt in a minute mends: admins are to see it. */
bool partner_at_fault(const struct error *e);

/* The agreement of the path (its second parameter), once the caller has proved to be its partner; *taken: the last bundle that it says it has. A caller who proves nothing does not learn whether
 * there is one. A transaction of its own. */
CH_CHECK enum err partner_proved(struct request *rq, struct agreement *g, int64_t *taken);

#endif
