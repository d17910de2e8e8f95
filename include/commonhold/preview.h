/* preview.h - trying a merge out before anybody votes: what each pool would hold, told without content.
 *
 * A preview is one co-op's pool as an agreement under discussion would let it pass: no content, no ids, no salts, no contributor. It is a file of NDJSON, canonical JSON a line, signed:
 *
 *   {"agreement":HEX,"as_of":INSTANT,"charter":{…},"charter_version":N,"counts":{"candidates","items","people","unlisted":{reason:n}},"from":key name,"to":key name,"v":1}
 *   {"consent":{"expires","purposes":[…]},"kinds":{kind:{"allow":[use…],"allow_if":[…],"deny":[…],"duties":[…]}},"who":N}     a line a person; N counts from 0 in an order that tells nothing
 *   {"alone":[reason…],"bytes":2^n,"h":HEX,"joint":[reason…],"kind","lang":N,"licence","month":"2026-01","who":N}             a line an item, in order of h
 *   {"key":HEX,"sig":BASE64}    Ed25519 by the co-op's key over "commonhold/preview/1\n" and the hex SHA-256 of all lines before
 *
 *   h       HMAC-SHA-256(pairwise key of the agreement, content hash): equal in both pools for equal content, and nothing to anybody else. Of an item that would not go under the agreement a random number:
 *           it is listed for what it loses
 *   bytes   size rounded up to a power of two
 *   lang    number of the language (packed.h)
 *   alone, joint   the reasons that the home's own engine gives under its charter, and in a release that both make under the agreement, before the rules over the set (k, the pool's licences); items
 *           that would pass by neither are counted, not listed
 *   kinds   what the person says, or their home says for them, about the uses that are left: never more than that
 *
 * The dry run is a pure function of the terms, both charters and both previews: whoever computes it from these gets the same document, byte for byte, and the same digest. It counts for each side what
 * would change by outcome and reason, exact duplicates, conflicts, the shards that the licences allow, and the people concerned. What it says of single people is each member's own to read.
 * Nothing here lets anything into a pool.
 *
 * What a preview gives away: with the pairwise key the partner can find out whether a text that it has already, or guesses, is among the items that would go to it. That is what finding duplicates means, and
 * cannot be helped; it is bounded. Only items that would go are told so; a revision has one preview at a time, made anew once a day at most (PREVIEW_INTERVAL), which the receiver holds its partner to; and all
 * members are told when one goes out. What a co-op keeps to itself is told to nobody: where the other would share the same content, a joint release leaves it out without the dry run having known.
 *
 * No ballot on an agreement opens without a dry run of exactly the document that is voted on, unless an admin says to the voters why there is none. Which one it was is fixed when the ballot opens;
 * what is tried out later changes nothing of what voters are shown.
 */
#ifndef COMMONHOLD_PREVIEW_H
#define COMMONHOLD_PREVIEW_H

#include "call.h"
#include "crypto.h"
#include "job.h"

#define PREVIEW_MAX ((size_t)256 * MIB)
#define PREVIEW_ITEMS_MAX INT64_C(1000000)
#define PREVIEW_INTERVAL CLOCK_DAY /* between two of the same revision: each lets the partner ask once more what is in the pool */
#define PREVIEW_SIGNED_PREFIX "commonhold/preview/1\n"

/* A preview that is kept: ours as it was sent, or the partner's as it came. */
struct preview_kept {
	bool ours;               /* made here */
	struct sha256 digest;    /* of the file's bytes */
	instant as_of;           /* state of the pool that it tells of */
	int64_t items, people;   /* lines of each */
	int64_t size;            /* bytes of the file */
	instant kept_at;         /* when it was made or taken in */
};

/* A dry run as stored. */
struct dry_run {
	struct uuid id;               /* random */
	instant at;                   /* when it was computed */
	struct sha256 ours, theirs;   /* the previews it is of */
	struct str document;          /* canonical JSON, schemas/dry_run_document.json: the same on both sides */
	struct sha256 digest;         /* of the document */
};

/* What the agreement would mean for the acting member, by the newest dry run. */
struct dry_run_own {
	struct uuid id;               /* of the dry run */
	int64_t items;                /* of theirs in the preview */
	int64_t in_alone, in_joint;   /* of these in a release of their co-op alone, and in one that both make under the agreement */
	int64_t at_partner;           /* of these that the partner would let into a release of its own */
	struct str lost;              /* why some fall out: JSON object of names of reasons with how many items each touches */
};

/* Each an operation of its own; `agreement` is the digest of the revision's document. */

/* Admin: makes ours anew, in place of the one before, and tells the partner; a small one goes with the message, a large one is fetched. */
CH_CHECK enum err preview_make(struct call *c, struct uuid coop, struct sha256 agreement, struct preview_kept *out);
/* Members: which previews there are, ours first. */
CH_CHECK enum err preview_list(struct call *c, struct uuid coop, struct sha256 agreement, struct preview_kept out[2], size_t *n);
/* Admin: the file that was made here, and one that the partner's people brought. What is none of the partner's, or about another agreement or other charters, is refused. */
CH_CHECK enum err preview_export(struct call *c, struct uuid coop, struct sha256 agreement, struct str *file);
CH_CHECK enum err preview_import(struct call *c, struct uuid coop, struct sha256 agreement, struct str file, struct preview_kept *out);
/* Admin, or the instance: computes the dry run of the newest two previews, or finds it. ERR_STATE while one is missing. */
CH_CHECK enum err dry_run_make(struct call *c, struct uuid coop, struct sha256 agreement, struct dry_run *out);
/* Members: the one whose document has the digest `which`, or (NULL) the newest. ERR_NOT_FOUND. */
CH_CHECK enum err dry_run_read(struct call *c, struct uuid coop, struct sha256 agreement, const struct sha256 *which, struct dry_run *out);
/* A member's own in it. ERR_NOT_FOUND where there is no such dry run, or nothing of theirs in it. */
CH_CHECK enum err dry_run_mine(struct call *c, struct uuid coop, struct sha256 agreement, const struct sha256 *which, struct dry_run_own *out);

/* What the voters of a ballot on an agreement are shown of what it would do. */
struct dry_run_voted {
	bool tried;                   /* there is a dry run */
	struct dry_run run;           /* then: this one */
	struct str without;           /* why there is none, as the admin who opened the ballot said it; absent where there is one */
};
/* Fixes what the voters of a ballot that is being opened see: the dry run of both pools' newest previews, or (`without`, a text for the voters) why there is none. ERR_STATE "dry_run_missing" where
 * there is neither, "dry_run_there" where a reason is given although there is one. Inside. */
CH_CHECK enum err dry_run_fix(struct call *c, struct uuid coop, struct sha256 agreement, struct uuid ballot, struct str without);
/* The same read back. ERR_NOT_FOUND for ballots that are about no agreement. Inside. */
CH_CHECK enum err dry_run_voted(struct call *c, struct uuid coop, struct uuid ballot, struct dry_run_voted *out);

/* As schemas/dry_run.json. */
struct json_writer;
void dry_run_write(struct json_writer *w, struct arena *a, const struct dry_run *run);

/* Message "preview.ready". */
struct message;
CH_CHECK enum err preview_take_ready(struct call *c, struct uuid coop, const struct message *m);

/* "preview.fetch": takes what the partner has ready; "preview.try": computes the dry run. */
extern const struct job_kind preview_jobs[];

#endif
