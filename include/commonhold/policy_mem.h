/*
 * policy_mem.h - memory, status and faults of the policy engine.
 *
 * The engine never calls malloc. It asks the caller's `alloc` for blocks and never gives one back: the
 * caller frees everything at once (an arena, a fixed buffer, a request's pool).
 */
#ifndef COMMONHOLD_POLICY_MEM_H
#define COMMONHOLD_POLICY_MEM_H

#include "commonhold/policy_vocab.h"

/* Where memory comes from. */
struct policy_mem {
	void *(*alloc)(void *ctx, size_t size); /* a block aligned for any type, or NULL when there is no more */
	void *ctx;                              /* passed to alloc */
};

/* A fixed buffer as a policy_mem. */
struct policy_area {
	struct policy_mem mem; /* hand &area.mem to the engine */
	uint8_t *at;           /* the buffer */
	size_t size;           /* its size */
	size_t used;           /* bytes taken */
};
void policy_area_init(struct policy_area *area, void *buffer, size_t size);

enum policy_status {
	POLICY_OK,
	POLICY_INVALID,   /* the input has faults; see the list */
	POLICY_NO_MEMORY, /* alloc returned NULL */
	POLICY_NO_ROOM,   /* a fixed number of places is used up */
	POLICY_DIFFERS,   /* a replay or comparison came out otherwise */
};

/* What can be wrong with input. `index` is the position in the array named. */
#define POLICY_FAULTS(X)                                                               \
	X(SPEC_USES, "spec.uses", "must name known uses, at least one")                    \
	X(SPEC_CONDITIONAL, "spec.uses_conditional", "names an unknown use")               \
	X(SPEC_DUTIES, "spec.audience_duties", "names an unknown duty")                    \
	X(SPEC_AUDIENCE, "spec.audience", "must be a known audience, not any")             \
	X(SPEC_MODE, "spec.licence_mode", "is not a known mode")                           \
	X(SPEC_PURPOSES, "spec.purposes", "must name known purposes, at least one, not any") \
	X(SPEC_OUTPUTS, "spec.outputs", "must name licences that can be an output")        \
	X(SPEC_KINDS, "spec.kinds", "must name known kinds, at least one")                 \
	X(SPEC_DEPTH, "spec.delegation_depth", "must be from 1 to 8")                      \
	X(SPEC_INSTANT, "spec.instant", "must not be before the cut-off, and both must be finite") \
	X(SPEC_DURATION, "spec.embargo, retention", "must not be negative")                \
	X(SPEC_DEFAULT, "spec.defaults", "is not a sound statement of layer 5 or 6")       \
	X(SPEC_TOGGLE, "spec.toggles", "is not a sound control")                           \
	X(SPEC_RULE, "spec.rules", "has an unknown use or effect, or no predicate")        \
	X(SPEC_NODE, "spec.nodes", "is not a sound predicate, or its value is out of the attribute's range") \
	X(SPEC_SIZE, "spec", "has more toggles, rules or nodes than allowed")              \
	X(FACT_MEMBERS, "facts.members", "has more members than allowed")                  \
	X(FACT_MEMBER, "facts.members", "has a value out of range")                        \
	X(FACT_STATEMENT, "facts.statements", "has a value out of range or contradicts itself") \
	X(FACT_EDGE, "facts.edges", "has a value out of range or points nowhere")          \
	X(FACT_ITEM, "facts.items", "has a value out of range or stands twice")            \
	X(FACT_NO_ITEM, "facts.statements", "names an item that facts.items does not have")

enum policy_fault_code {
#define X(sym, where, text) POLICY_FAULT_##sym,
	POLICY_FAULTS(X)
#undef X
	POLICY_FAULT_COUNT
};
struct policy_fault {
	uint32_t code;  /* enum policy_fault_code */
	uint32_t index; /* position in the array, 0 where there is none */
};
/* Room for faults; the engine writes up to `cap` and counts them all. */
struct policy_faults {
	struct policy_fault *at; /* where to write; may be NULL if cap is 0 */
	size_t cap;              /* places */
	size_t n;                /* faults found, may exceed cap */
};
const char *policy_fault_where(unsigned code); /* "spec.uses"; NULL if out of range */
const char *policy_fault_text(unsigned code);  /* a clause for people */

#endif
