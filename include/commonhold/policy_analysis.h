/*
 * policy_analysis.h - questions about rules rather than about items.
 *
 * What would change if this charter were adopted; which of its rules can never matter; whether two
 * charters are the same; what two co-ops' rules become when they merge. The vocabulary is finite, so
 * the answers are exhaustive, not sampled, and come with a witness.
 */
#ifndef COMMONHOLD_POLICY_ANALYSIS_H
#define COMMONHOLD_POLICY_ANALYSIS_H

#include "commonhold/policy.h"

/* ---- What-if ---------------------------------------------------------------------------------- */

/* Transitions between two decisions of the same items. */
struct policy_change {
	uint64_t moved[POLICY_OUTCOME_COUNT][POLICY_OUTCOME_COUNT]; /* items by outcome before and after */
	uint64_t reason_gained[64];                                 /* items that have a reason only after */
	uint64_t reason_lost[64];                                   /* items that had it only before */
	uint64_t items_gained;                                      /* in after, not before */
	uint64_t items_lost;                                        /* in before, not after */
	uint64_t members_gained;                                    /* members with an item in after, none before */
	uint64_t members_lost;                                      /* the other way round */
	size_t n_listed;                                            /* items written to `list` */
};
/* Compare. `list` (may be NULL) takes the positions of the first `cap` items that came in or went out.
 * `mem` is scratch. */
enum policy_status policy_what_if(const uint32_t *members, const policy_reasons *before,
                                  const policy_reasons *after, size_t n, size_t n_members, struct policy_mem *mem,
                                  uint32_t *list, size_t cap, struct policy_change *out);

/* ---- Static analysis -------------------------------------------------------------------------- */

#define POLICY_FINDINGS(X)                                                                     \
	X(NEVER_APPLIES, "never-applies", "no item and no use of the release can meet it")         \
	X(ALWAYS_APPLIES, "always-applies", "it meets every item")                                 \
	X(SHADOWED, "shadowed", "every item it meets is already decided at least as strictly by another rule") \
	X(CONTRADICTS, "contradicts", "no item could ever pass both this and the other")           \
	X(DENIES_ALL, "denies-all", "taken together, no item can be in the release")               \
	X(DEFAULT_SHADOWED, "default-shadowed", "this default never decides a use of the release") \
	X(TOGGLE_INERT, "toggle-inert", "this control cannot touch any item of the release")       \
	X(TOO_LARGE, "too-large", "the rules distinguish more cases than can be listed; not analysed")

enum policy_finding_code {
#define X(sym, name, text) POLICY_FINDING_##sym,
	POLICY_FINDINGS(X)
#undef X
	POLICY_FINDING_COUNT
};
const char *policy_finding_name(unsigned code);
const char *policy_finding_text(unsigned code);

struct policy_finding {
	uint32_t code;    /* enum policy_finding_code */
	uint32_t index;   /* rule, default or toggle it is about; POLICY_NO_ROW for the whole */
	uint32_t other;   /* the other one, for SHADOWED and CONTRADICTS; POLICY_NO_ROW if several together */
	uint64_t word;    /* witness: an item, where one exists */
	uint64_t more;    /* its second word */
};
/* Examine a specification. Writes up to `cap` findings, returns POLICY_OK with their number. */
enum policy_status policy_analyse(const struct policy_spec *spec, struct policy_mem *mem,
                                  struct policy_finding *out, size_t cap, size_t *n);

/* A case in which two specifications differ. */
struct policy_witness {
	uint64_t word;                   /* the item */
	uint64_t more;                   /* its second word */
	struct policy_member member;     /* its contributor */
	struct policy_statement said[2]; /* what the contributor has said */
	size_t n_said;                   /* how many of them */
	policy_reasons a;                /* what the first specification makes of it */
	policy_reasons b;                /* what the second does */
};
/* Whether two specifications give every possible item and contributor the same outcome, over the whole
 * finite vocabulary and every boundary of theirs in time. POLICY_OK: equivalent. POLICY_DIFFERS: `out`
 * is a case. POLICY_NO_ROOM: too many cases to list. Set rules and delegation limits are compared as
 * values: a difference in them is POLICY_DIFFERS with word, a and b zero. */
enum policy_status policy_equivalent(const struct policy_spec *a, const struct policy_spec *b,
                                     struct policy_mem *mem, struct policy_witness *out);

/* ---- Merging ----------------------------------------------------------------------------------- */

/* Merge two specifications for a joint release: uses, purposes, kinds, regions and outputs intersect; retention
 * takes the least; k, embargo and notice the most; what can be conditional and what the audience honours
 * AND; the audience is the narrower; rules and controls of both stand; defaults stand if they are the same, else
 * only the denials of both do. Commutative, associative and idempotent in what it decides, and for the uses, purposes
 * and audience that remain never looser than either. An empty intersection is a fault at compile time. Arrays
 * are built in `mem`. The caller gives the joint release its own release_id. */
enum policy_status policy_spec_merge(const struct policy_spec *a, const struct policy_spec *b,
                                     struct policy_mem *mem, struct policy_spec *out);
/* Merge two decisions on the same item: union of reasons, so the stricter outcome. */
static inline policy_reasons policy_reasons_merge(policy_reasons a, policy_reasons b)
{
	return a | b;
}
/* Merge two sets of statements: the union, by id and content, in a canonical order. `out` has n_a + n_b
 * places. Returns how many there are. */
size_t policy_statements_merge(const struct policy_statement *a, size_t n_a, const struct policy_statement *b,
                               size_t n_b, struct policy_statement *out);

#endif
