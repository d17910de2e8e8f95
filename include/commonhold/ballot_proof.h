/* ballot_proof.h - a closed ballot as a bundle that anyone recounts offline, trusting nothing but the co-op's key.
 *
 * A bundle is lines of canonical JSON: a header, then people, votes, words of the board, delegations and outcomes, then the proof that the co-op's log has the header. People are
 * places in a list that is sorted by salted commitments, so that a place means nothing outside its ballot; who is on it can find their own line with the salt that is told to them
 * alone. The header names the Merkle root (RFC 6962) over the lines of each part, the rule, the counts by reason, and the result. Recounting goes through ballot_outcome.h, as the
 * closing does; another count, in SQL and by another way (ballot_recount), is compared before a bundle is sealed.
 *
 * What it does not show: that the server let everybody vote who wanted to. Who voted can check that the commitment to their vote, which the log has, is among the votes.
 */
#ifndef COMMONHOLD_BALLOT_PROOF_H
#define COMMONHOLD_BALLOT_PROOF_H

#include "ballot.h"
#include "ballot_outcome.h"
#include "check.h"
#include "keychain.h"

#define BALLOT_BUNDLE_VERSION 1
#define BALLOT_BUNDLE_LINE (320 * KIB) /* longest line: a header holds the rule and the question, the proof may hold a chain of keys */

enum bundle_part { BUNDLE_PEOPLE, BUNDLE_VOTES, BUNDLE_STANCES, BUNDLE_DELEGATIONS, BUNDLE_OUTCOMES, BUNDLE_PART_COUNT };
const char *bundle_part_name(unsigned part); /* "people" … */

/* ---- Checking one: pure, no database ---- */

/* What a recount found; its checks are "header", "lines", "roots", "outcomes", "counts", "result", "log". */
struct audit_result {
	bool ok;                  /* every check holds */
	bool pinned;              /* the key came from the reader, not from the bundle */
	struct str ballot;        /* its id, once the header could be read */
	struct str title;
	bool passed;              /* as recounted */
	struct ballot_tally members, admins; /* as recounted */
	struct check *checks; /* in order */
};
/* Reads a bundle from a file ("-": standard input) and recounts it. Without trust: the bundle's own key, which then only has to come from the one that the co-op is named after. ERR_OK when it could be
 * read, whatever the result. Memory: about 200 bytes a person and 100 a vote or delegation. */
CH_CHECK enum err ballot_bundle_audit(struct arena *a, const char *path, const struct keychain_trust *trust, struct audit_result *out, struct error *e);
/* `commonhold audit verify-ballot FILE [--key KEY] [--json]`: one line a check; 0 all hold, 1 something does not, 2 wrong usage. */
int audit_main(int argc, char **argv);

/* ---- Sealing and reading ---- */

/* What a sealed ballot says of itself. */
struct ballot_seal {
	struct str header;        /* the bundle's first line */
	struct sha256 digest;     /* of that line: what the log has */
	int64_t leaf;             /* "ballot.sealed" in the co-op's log */
	instant sealed_at;
};
/* Seals a closed ballot: recounts it in SQL, works out the roots, and puts the header's digest into the log (job "ballot.seal", queued at the close). Repeating it changes nothing.
 * ERR_CORRUPT when the two counts differ: nothing is sealed then. */
CH_CHECK enum err ballot_seal(struct call *c, struct uuid coop, struct uuid ballot);
/* ERR_NOT_FOUND until it is sealed. */
CH_CHECK enum err ballot_seal_read(struct call *c, struct uuid coop, struct uuid ballot, struct ballot_seal *out);
/* Proofs are anybody's to ask for and take the memory of a whole ballot each: more than this at the same time are ERR_UNAVAILABLE, "proofs_busy". */
#define BALLOT_PROOFS_AT_ONCE 4

/* Streams a sealed ballot's bundle, line by line with their ends. Who may: anyone; for a ballot of restricted visibility, members. */
typedef enum err (*bundle_write_fn)(void *arg, const void *p, size_t n);
CH_CHECK enum err ballot_bundle_write(struct call *c, struct uuid coop, struct uuid ballot, bundle_write_fn write, void *arg);

/* The actor's own part of a bundle: what shows that they are in it as they are. */
struct ballot_own_proof {
	uint32_t place;               /* in the list of people */
	uint8_t salt[32];
	struct sha256 commitment;     /* ledger_commitment(salt, SHA-256(membership id)) */
	struct str person, outcome;   /* the two lines */
	struct sha256 *person_path, *outcome_path; /* from the line's leaf to the root in the header */
	size_t n_person_path, n_outcome_path;
	uint64_t outcome_index;       /* of the outcome's line: outcomes have the roll only */
};
/* ERR_NOT_FOUND for who was not on the roll. */
CH_CHECK enum err ballot_own_proof(struct call *c, struct uuid coop, struct uuid ballot, struct ballot_own_proof *out);

/* The count in SQL: another way to the same numbers. */
struct ballot_recount { struct ballot_tally members, admins; };
CH_CHECK enum err ballot_recount(struct call *c, struct uuid coop, struct uuid ballot, struct ballot_recount *out);

extern const struct job_kind ballot_proof_jobs[];

#endif
