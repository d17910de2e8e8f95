/* seal_many.h - sealing many texts in a row (crypto.h): their random nonces are drawn many at a time, since asking the system for each costs as much as sealing a short text.
 *
 * Nonces lie where the caller has them, of one thread, and are each used once. They must not outlive a fork of the process: begin with `struct seal_nonces n = { .left = 0 };` in the function that seals.
 */
#ifndef COMMONHOLD_SEAL_MANY_H
#define COMMONHOLD_SEAL_MANY_H

#include "crypto.h"

#define SEAL_NONCES 64
struct seal_nonces {
	uint8_t b[SEAL_NONCES][24]; /* those that are left are the first */
	size_t left;
};

/* seal() with the next nonce. */
struct str seal_next(struct arena *a, struct seal_nonces *nonces, const struct seal_key *k, struct str context, struct str plain);

#endif
