/* bundle.h - the lines of a ballot's bundle, as both its writer and its reader know them. Of ballot/ only; pure. */
#ifndef COMMONHOLD_BALLOT_BUNDLE_H
#define COMMONHOLD_BALLOT_BUNDLE_H

#include "commonhold/ballot_proof.h"
#include "commonhold/crypto.h"

#define BUNDLE_NOBODY_HERE UINT32_MAX /* place of a member who is not in the bundle */

/* What lines are written from. Members by number in all but `people`. */
struct bundle_source {
	const struct ballot_facts *facts;
	const struct ballot_outcome *outcome;
	const struct ballot_cast *votes;      /* in the order in which they were cast */
	const struct sha256 *vote_commitments; /* to each of them, as the log has it */
	size_t n_votes;
	const struct ballot_stance *stances;  /* likewise */
	size_t n_stances;
	const uint32_t *place;                /* by member number */
	const uint32_t *people;               /* by place: member number */
	const struct sha256 *commitments;     /* by place */
	size_t n_people;
};
typedef enum err (*bundle_line_fn)(void *arg, enum bundle_part part, struct str line);
/* Gives every line, part by part; the text lives during the call. */
CH_CHECK enum err bundle_lines(const struct bundle_source *s, bundle_line_fn fn, void *arg);

#endif
