/* onward.h - deletions across a merge: what a home takes back goes from every co-op that holds it, and each of them says so, back to the home.
 *
 * A co-op that holds another's items learns of the home's tombstones twice: by a message at once, and with the next bundle. Both bring lines of a tombstone feed (tombstone.h) as they
 * were signed. A line counts where it is signed by the home of the id that it names, or by the partner whom we have the item from, which may stop passing it on. What counts is kept
 * (table onward_word), whether we hold the item or not, so that it makes no difference which comes first, the item or the word, or how often either comes. What we hold then goes by the
 * ordinary request for deletion (erasure.h), asked by ERASURE_PARTNER: own tombstone with the foreign id, versions withdrawn, purged, mirrors and partners told.
 *
 * Partners owe receipts like mirrors: rows of `duty` with `partner`. A receipt is signed by the co-op that erased, and handed back hop by hop as it was signed; at the home it confirms the
 * duty of a partner, or makes known, and confirms, one of a co-op farther on ("through" the partner), which the person's page shows with the others.
 *
 * It must never let anybody but an id's home, or the giver of our copy, take an item from us; never take back a word once it counted; never put content, names or people into what it sends.
 *
 * Messages (message.h), bodies:
 *   "tombstones"  {"feed":KEY NAME of who signed the lines,"keys":keys.json of that co-op,"lines":[LINE,…]}   at most ONWARD_LINES lines, in order of idx
 *   "receipt"     {"by":KEY NAME of who erased,"keys":keys.json of that co-op,"receipt":DSSE envelope of ONWARD_RECEIPT_TYPE}
 * A receipt's payload, canonical JSON:
 *   {"at":INSTANT,"by":KEY NAME,"feed":KEY NAME,"idx":[[FIRST,LAST],…],"method":"deleted"|"never-held"|"held-back","onward":[{"coop":KEY NAME,"title":TEXT},…],"last":HEX}
 *     feed    whose feed of tombstones `idx` counts in;  last: SHA-256 of that feed's line with the greatest idx named, as the signer of the receipt saw it
 *     method  deleted: gone there, in pool, files and derived data;  held-back: kept, and in no release (withdraw_future, embargo);  never-held
 *     onward  co-ops that it had passed these items on to and has told
 */
#ifndef COMMONHOLD_ONWARD_H
#define COMMONHOLD_ONWARD_H

#include "call.h"
#include "crypto.h"
#include "job.h"
#include "json.h"
#include "keychain.h"
#include "tombstone.h"

#define ONWARD_RECEIPT_TYPE "application/vnd.commonhold.partner-receipt+json"
#define ONWARD_LINES 500      /* tombstones in one message */
#define ONWARD_RANGES 2000    /* stretches of idx in one receipt */

/* ---- Taking what a home said ---- */

/* Lines of the feed of `feed` (key name), which `via` (key name of the partner who handed them over; the same for a partner's own feed) brought, each with its signature and idx checked: kept,
 * those that are known left out, and what we hold of it withdrawn (onward_settle). Idempotent, in any order. A line with an idx that is known with other bytes is ERR_REFUSED, reason
 * "feed_rewritten". Lines about our own ids, and those that do not count, are skipped. Inside; takes the pool's lock, so before the log's. */
struct onward_line { struct str line; /* as it stands in the feed, without "\n" */ struct tombstone said; /* the same, read (tombstone_take or onward_line_read) */ };
struct onward_taken { int64_t kept, known, skipped; /* lines */ int64_t withdrawn; /* items and origins that we hold */ };
CH_CHECK enum err onward_take(struct call *c, struct uuid coop, struct str via, struct str feed, const struct onward_line *lines, size_t n, struct onward_taken *out);
/* Reads one line by itself and checks its own signature, by a key that was in force when it was made; the lines before it are not looked at. ERR_CORRUPT. Pure. */
CH_CHECK enum err onward_line_read(struct arena *a, struct str line, const struct keychain *keys, struct onward_line *out, struct error *e);
/* Carries out what was said about items that are here by now: after records have come in (merge_apply), in the same transaction. *withdrawn may be NULL. Inside; takes the pool's lock. */
CH_CHECK enum err onward_settle(struct call *c, struct uuid coop, int64_t *withdrawn);
/* Whether any home ever erased anything, so that it is worth asking. Inside. */
CH_CHECK enum err onward_any_erased(struct call *c, struct uuid coop, bool *yes);
/* Which of a home's ids were erased or corrected there, so that no record may come in under them: gone[i]. Inside. */
CH_CHECK enum err onward_erased(struct call *c, struct uuid coop, struct str home, const struct uuid *ids, size_t n, bool *gone);

/* ---- What was erased is not taken again ---- */

/* Which of these contents (SHA-256 of canonical content) were erased here since the agreement began and may not come in under another id: bits[i]. HMAC-SHA-256 under the agreement's pairwise key,
 * so that the set says nothing to anybody else. It holds against the author, too, as what a member had erased is not taken from them again at home (policy: tombstones are permanent, and remove
 * wins); what is really said anew is other content. Inside. */
CH_CHECK enum err onward_suppressed(struct call *c, struct uuid coop, struct uuid agreement, const struct sha256 *hashes, size_t n, bool *bits);
/* The mark of one content, which both sides of an agreement compute alike. Pure. */
struct sha256 onward_mark(const uint8_t key[32], struct sha256 content);

/* ---- What comes by way of a partner ---- */

/* What is kept of the keys of a co-op that is no peer; out->n == 0: nothing. Inside. */
CH_CHECK enum err onward_known_keys(struct call *c, struct uuid coop, struct str home, struct keychain *out);
/* Whether a co-op was caught signing two logs, or two lists of tombstones, and no admin has looked yet (merge_in_doubt): nothing more of it is taken, nor passed on. Inside. */
CH_CHECK enum err onward_quarantined(struct call *c, struct uuid coop, struct str home, bool *yes);
/* The source (guest.h) of those whom a partner passes on, made or brought up to date: limits are the stricter of our agreement with the partner and theirs with the home. Inside, DB_WRITE. */
struct agreement;
struct bundle_home;
CH_CHECK enum err onward_source_put(struct call *c, const struct agreement *with, const struct bundle_home *home, struct uuid *source);
/* The same for all of an agreement that has changed. Inside. */
CH_CHECK enum err onward_sources_follow(struct call *c, const struct agreement *with);
/* Notes that a partner has shown a head of a home's log, and the home's keys. Inside. */
CH_CHECK enum err onward_head_seen(struct call *c, struct uuid coop, struct str via, const struct bundle_home *home);
/* Whether a way is noted of anything of this home: whatever came from itself has none. Inside. */
CH_CHECK enum err onward_ways_any(struct call *c, struct uuid coop, struct str home, bool *yes);
/* Notes by which way records came: `via` is the home itself or a partner. What is known to have come from its home alone so far keeps that way beside a new one; for a home's own nothing is written
 * unless somebody else passed the record on. *several: there may be other ways. Before the records are written. Inside. */
CH_CHECK enum err onward_ways_note(struct call *c, struct uuid coop, struct str via, const struct str *homes, const struct uuid *ids, size_t n, bool *several);

/* ---- Derived records ---- */

/* A contribution may say what it was made from (contribution.h, "derived_from"). The editor of a foreign record is the home of the edit, under an id of its own; the source stays as it is. What has
 * content of the source in it goes when the source is erased, here or at its home, and so does what was copied from that: as a request of the instance's own (ERASURE_RULE, reason "derived"), with
 * tombstones like any other. The job "onward.derived" {"coop","line"} finds it; it is queued by tombstones, and by contributions that say they hold copies. */

/* ---- For the person ---- */

/* A receipt of a partner, or of a co-op farther on. */
struct onward_receipt {
	struct str by, through;   /* key names; through: the partner who handed it over, the same where it was its own */
	struct str method;        /* deleted, never-held, held-back */
	instant said_at, at;      /* as they say; when it came */
	struct str envelope;      /* DSSE as it was signed */
	struct sha256 digest;     /* of that */
};
/* Those that confirm something of a request, oldest first; whoever may read the request (erasure_read) may read these. Own transaction. */
CH_CHECK enum err onward_receipts(struct call *c, struct uuid coop, struct uuid erasure, struct onward_receipt **out, size_t *n);

/* ---- Handlers and jobs ---- */

struct message;
/* "tombstones" and "receipt" (message.h): what a partner sent. Refusals carry one of these as `reason`: feed_unknown, feed_rewritten, line_forged, receipt_forged, receipt_malformed,
 * wrong_feed. A receipt that is known, or about what nobody here asked, changes nothing. */
CH_CHECK enum err onward_tombstones_take(struct call *c, struct uuid coop, const struct message *m);
CH_CHECK enum err onward_receipt_take(struct call *c, struct uuid coop, const struct message *m);
/* Tells the domains below whom to call: erasures as they are carried, purges, the ladder. Once, at start. */
void onward_start(void);
/* Whether a partner has not confirmed a deletion for so long that nothing more is sent to it (DUTY_BLOCKED). Inside. */
CH_CHECK enum err onward_blocked(struct call *c, struct uuid coop, struct str partner, bool *blocked);
/* "onward.tell" {"coop","erasure"}: messages to partners about one request. "onward.receipt" {"coop","line"}: receipts that are due. "onward.embargo" {"coop","erasure"}: one of origins is over.
 * "onward.derived" {"coop","line"}: copies of what was erased. "onward.suspend" {"coop","agreement"}: a partner did not confirm. "merge.ended" {"coop","agreement"}: what the agreement says of the items that came by it: erase, or keep (they stay, in no new
 * release, since their source has ended). */
extern const struct job_kind onward_jobs[];

#endif
