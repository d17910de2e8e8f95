/* ledger.h - what the files of ledger/ share: the head of a log and the hashes behind it. */
#ifndef COMMONHOLD_LEDGER_LEDGER_H
#define COMMONHOLD_LEDGER_LEDGER_H

#include "commonhold/db.h"
#include "commonhold/ledger.h"

#define TILE_HASHES 256
#define TILE_BITS 8
#define TILE_LEVELS 8 /* 256^8 leaves are more than an index can count */

/* The head of a log as read. */
struct log_head {
	struct str origin;
	uint64_t size;
	uint8_t public_key[32];        /* in force */
	struct merkle_builder builder; /* over the leaves so far */
};

/* Reads the head; `lock` makes others that append wait until this transaction ends. ERR_NOT_FOUND when the log was never opened. */
CH_CHECK enum err log_head_read(struct call *c, struct uuid coop, bool lock, struct log_head *out);
/* Signs the checkpoint that a head makes, with the key that the head names: the one that was in force when it was so long. */
CH_CHECK enum err log_head_sign(struct call *c, struct uuid coop, const struct log_head *head, struct str *note);
/* Makes sure that row-level security shows this co-op's log. */
CH_CHECK enum err log_enter(struct call *c, struct uuid coop);
/* The hashes of a tile from the given place on: `count` of them, which must be there. Level 0 are leaves. */
CH_CHECK enum err log_hashes(struct call *c, struct uuid coop, unsigned level, uint64_t first, unsigned count, struct sha256 *out);
/* Grows the head by leaves that were inserted: keeps the tiles that they complete, and stores the head. */
CH_CHECK enum err log_grow(struct call *c, struct uuid coop, struct log_head *head, const struct sha256 *hashes, size_t n);
/* The key in force. */
CH_CHECK enum err log_public_key(struct call *c, struct uuid coop, uint8_t public_key[32]);
/* The secret half of one of the co-op's keys (nil: of the instance's, other than its first). Needs no transaction of the content database. ERR_CORRUPT when it is not there. */
CH_CHECK enum err coop_key_secret(struct call *c, struct uuid coop, const uint8_t public_key[32], struct sign_key *out);
/* Makes the key with this number, or finds the one that was made before by an attempt that did not come into force. */
CH_CHECK enum err coop_key_make(struct call *c, struct uuid coop, int no, struct sign_key *out);

#endif
