/*
 * policy_licence.h - what licences allow of each other.
 *
 * The matrix is data (policy/licences.def) with a source for each cell. The relation is not transitive:
 * always fold the licences of the original items, never an already folded one.
 */
#ifndef COMMONHOLD_POLICY_LICENCE_H
#define COMMONHOLD_POLICY_LICENCE_H

#include "commonhold/policy_mem.h"

/* Licences by index; the first 16 can be outputs. Indices are stored: append, never renumber. */
enum policy_licence_no {
	POLICY_LICENCE_UNKNOWN = 0,
	POLICY_LICENCE_CC0_1_0 = 1,
	POLICY_LICENCE_PDDL_1_0 = 2,
	POLICY_LICENCE_CC_BY_4_0 = 3,
	POLICY_LICENCE_CC_BY_SA_4_0 = 4,
	POLICY_LICENCE_CC_BY_NC_4_0 = 5,
	POLICY_LICENCE_CC_BY_NC_SA_4_0 = 6,
	POLICY_LICENCE_ODC_BY_1_0 = 7,
	POLICY_LICENCE_ODBL_1_0 = 8,
	POLICY_LICENCE_CDLA_PERMISSIVE_2_0 = 9,
	POLICY_LICENCE_CDLA_SHARING_1_0 = 10,
	POLICY_LICENCE_ETALAB_2_0 = 11,
	POLICY_LICENCE_OGL_UK_3_0 = 12,
	POLICY_LICENCE_C_UDA_1_0 = 13,
	POLICY_LICENCE_CC_BY_ND_4_0 = 14,
	POLICY_LICENCE_CC_BY_NC_ND_4_0 = 15,
	POLICY_LICENCE_RAIL_D = 16,
	POLICY_LICENCE_NOODL_1_0 = 17,
	POLICY_LICENCE_COUNT = 18
};
#define POLICY_LICENCE_MAX 64     /* places in the packed word */
#define POLICY_OUTPUTS_ALL 0x1ffeu /* licences that can be an output: 1 to 12 */

/* What a cell of the matrix says. */
enum policy_cell {
	POLICY_CELL_NO,     /* no */
	POLICY_CELL_YES,    /* yes */
	POLICY_CELL_CARRY,  /* A: yes, carrying attribution and notice */
	POLICY_CELL_TEXT,   /* T: yes, shipping the licence's text */
	POLICY_CELL_BESIDE, /* L: yes, the upstream licence persists beside */
	POLICY_CELL_WAIVER, /* W: with a waiver by the licensor: HOLD */
	POLICY_CELL_REVIEW, /* ?: a person must judge: HOLD */
	POLICY_CELL_COUNT
};

/* One licence. */
struct policy_licence {
	const char *spdx;     /* SPDX id, or LicenseRef-... */
	const char *name;     /* for people */
	const char *url;      /* of the text */
	uint16_t duties;      /* bits of enum policy_duty that come with it */
	bool shares;          /* a copy may be passed on unchanged (collection mode) */
	bool credit;          /* needs complete attribution */
};
/* The row of a licence; that of UNKNOWN for an index out of range. */
const struct policy_licence *policy_licence_get(unsigned licence);
/* Index by SPDX id, as written in SPDX (compared without regard to case); 0 (unknown) if not in the table. */
unsigned policy_licence_find(const char *spdx, size_t len);
/* The cell, and where it comes from; NO and "" for indices out of range. */
enum policy_cell policy_licence_cell(unsigned in, unsigned out);
const char *policy_licence_source(unsigned in, unsigned out);

/* Outputs whose cell for this licence is one of `marks` (bits of enum policy_cell), as bits. */
uint32_t policy_licence_outputs(unsigned licence, unsigned marks);
#define POLICY_CELLS_PASS 0x1eu /* YES, CARRY, TEXT, BESIDE */

/* Output licences open to a pool that holds these licences (bits): AND of the originals' masks. The empty
 * pool is open to all. */
uint32_t policy_licence_fold(uint64_t licences);
/* Duties of a pool: those of its licences, united. */
uint16_t policy_licence_duties(uint64_t licences);

/* One shard of a plan: the licences that go together under one output. */
struct policy_shard {
	uint64_t licences; /* originals in it, as bits */
	uint32_t outputs;  /* outputs that all of them allow, as bits */
	unsigned output;   /* the one proposed: needs the fewest marks beyond plain yes, then the lowest index */
	uint64_t items;    /* items in it */
};
#define POLICY_BLOCKERS_MAX 64
struct policy_plan {
	uint32_t outputs;                       /* outputs open to the whole pool, among those wanted; 0 if blocked */
	uint64_t blockers[POLICY_BLOCKERS_MAX]; /* minimal sets of licences that cannot go together, as bits */
	size_t n_blockers;                      /* how many */
	struct policy_shard shards[POLICY_LICENCE_COUNT]; /* fewest shards that take every licence that can go anywhere */
	size_t n_shards;                        /* how many */
	uint64_t outcast;                       /* licences that allow none of the wanted outputs */
	uint16_t duties;                        /* of everything in the shards */
};
/* Solve: `items[i]` items have licence i. `wanted`: outputs to choose from, as bits. */
void policy_licence_plan(const uint64_t items[POLICY_LICENCE_COUNT], uint32_t wanted, struct policy_plan *out);

/* The notice that a release under `output` must carry for these originals: plain text, a paragraph a
 * licence. Returns the length it needs, like snprintf. */
size_t policy_licence_notice(uint64_t licences, unsigned output, char *out, size_t size);

#endif
