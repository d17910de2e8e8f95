/* origin_take.h - foreign records into the pool, many at once and all in the caller's one transaction, so that everybody sees all of them or none.
 *
 * What is there already is found in memory, from the pool's packed hashes, words and ids, read once as a stream (server/pool/origin_known.h); only what that leaves open is asked of the database. Everything is written as it comes,
 * without the pool's lock. The numbers of rows are given beforehand, a group at a time, in transactions of their own that hold the lock for a moment (table pool_arriving): others contribute meanwhile,
 * under later numbers, and whoever reads the pool by numbers sees it end before the first that is on its way. At the end the lock is held while a few questions are asked, and until the caller commits.
 * Numbers of a transaction that did not come to its end are settled by whoever takes or packs next: the pool has no gaps.
 *
 * It must never make a second row of a content that stands, nor take a record over one with the same id.
 */
#ifndef COMMONHOLD_ORIGIN_TAKE_H
#define COMMONHOLD_ORIGIN_TAKE_H

#include "call.h"
#include "crypto.h"
#include "json.h"
#include "origin.h"

/* What becomes of a record. */
enum foreign_fate {
	FOREIGN_ROW,         /* a row of its own */
	FOREIGN_ORIGIN,      /* its content stands here: an origin of that row */
	FOREIGN_KNOWN,       /* here already, to the byte */
	FOREIGN_ERASED,      /* was here, and is erased */
	FOREIGN_CONTRADICTS, /* the same rid stands here with another content or licence */
	FOREIGN_ID_TAKEN,    /* another co-op's item has its id here */
	FOREIGN_LEFT,        /* the caller wants nothing done with it; set before origin_taking_ask */
};

/* A record on its way in. Texts are the caller's, until it is written. */
struct foreign {
	unsigned home;            /* its home's place among those that origin_taking_begin was given */
	struct uuid id;           /* of its rid */
	struct uuid member;       /* guest.id: whose key it is sealed under */
	uint32_t member_no;       /* guest.number */
	struct sha256 hash;       /* of the canonical content */
	uint8_t salt[32];         /* of the commitment in its home's log */
	unsigned kind, licence;
	size_t bytes;             /* of the canonical content */
	struct str lang;          /* BCP 47; "und" when not said */
	instant at;               /* when it was contributed at home */
	uint64_t word, more;      /* packed; `more` without its origin */
	int64_t leaf;             /* in its home's log */
	unsigned findings;        /* pii bits */
	struct str content, facts;/* canonical JSON, in the open: never written as they are */
	bool maybe_content, maybe_id; /* only the database knows whether it is here */
	int64_t stood;            /* the item of the same content that stood when all began; -1: none is known */
	enum foreign_fate fate;
	int64_t item_no;          /* of the row that it is, or is an origin of; -1: it is neither */
	int64_t place;            /* among the rows of this transaction: its own, or that of the row it is an origin of; -1: that row stood before */
	struct sha256 stands;     /* CONTRADICTS: the content that stands here */
	struct str sealed, sealed_facts;
};

/* What the receiving co-op makes of records before they may be released. */
struct foreign_rules {
	bool moderates;           /* looks itself; else the home's word is enough */
	bool holds;               /* everything waits for a person */
	bool findings_hold, findings_reject; /* so does what seems to hold personal data; or it is not approved at all */
	unsigned findings_from;   /* so many findings */
};
/* Checks a record against the schemas of contributions and makes its columns: hash, kind, licence, bytes, word, more, findings. id, home, member_no, lang, at, content are set. Faults go to `e`.
 * `submission`: the record as somebody here would submit it, its content parsed from `content`. Pure; `scratch` may be reset afterwards. */
CH_CHECK enum err foreign_prepare(struct arena *scratch, const struct foreign_rules *rules, const struct json *submission, struct foreign *f, struct error *e);

struct origin_taking;
/* Begins; `expected` records of these homes, at most ORIGIN_MAX. Inside, DB_WRITE, not under the pool's lock; one at a time in a co-op. Memory besides the call's arena: about 22 bytes a record, 30 an item of the pool (12 of one of
 * more than two million), and 25 MB for what waits to be put in its place. */
struct foreign_home { struct str key_name, title; };
CH_CHECK enum err origin_taking_begin(struct call *c, struct uuid coop, const struct foreign_home *homes, size_t n_homes, int64_t expected, struct origin_taking **out);
/* Sets maybe_content, maybe_id and stood. On any thread. */
void origin_taking_look(const struct origin_taking *t, struct foreign *f);
/* Sets the fate of each, in order; asks the database about those that may be known, and has numbers given to new rows. */
CH_CHECK enum err origin_taking_ask(struct origin_taking *t, struct foreign *f, size_t n);
/* Seals what its fate needs: content and facts for a row, facts for an origin. Pure, on any thread. */
struct seal_nonces;
void foreign_seal(struct arena *a, struct seal_nonces *nonces, const struct seal_key *key, struct uuid coop, struct foreign *f);
/* Writes contents, rows and origins, for nobody to see yet; those with other fates are passed over. Own arrays come from the call's arena, which the caller may rewind afterwards. */
CH_CHECK enum err origin_taking_write(struct origin_taking *t, const struct foreign *f, size_t n);
/* Puts everything that was given so far into its place, so that nothing is left to write when the lock is taken: before whatever takes it. */
CH_CHECK enum err origin_taking_put(struct origin_taking *t);
/* Takes the pool's lock and ends what origin_taking_begin began. ERR_RETRY when something that came into the pool, or left it, in the meantime makes a fate wrong: then the whole transaction is to be rolled
 * back and done again. *first is the number of the first row; where others contributed meanwhile, the rest need not follow it. */
CH_CHECK enum err origin_taking_end(struct origin_taking *t, int64_t *first, int64_t *rows, int64_t *origins);
/* What is rolled back leaves the database as it was, but for numbers that nobody uses: a kind, licence and month that were new keep theirs (shard_key), since processes remember it, with nothing filed under it
 * until the next record that needs it; nothing counts, shows or releases by such numbers. */
/* Settles the numbers of a transaction that was rolled back; origin_taking_begin and pool_pack do so too. Does nothing while one is at work. Own transaction. */
CH_CHECK enum err origin_taking_settle(struct call *c, struct uuid coop);

#endif
