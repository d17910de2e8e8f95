/*
 * policy.h - decide what a release may hold, and say why.
 *
 * A pure library: plain structs in, plain structs out. It never reads a clock, opens a file, keeps a
 * global or calls malloc; all memory comes from the caller's `struct policy_mem`. Facts, specification
 * and instant fully determine the answer, so any decision can be replayed. It never turns bad input into
 * a pass: a value out of range is HOLD with ENGINE_ERROR, or a fault reported at compile time.
 *
 * In the order of use:
 *
 *   policy_compile      a release's specification        -> program           (once a release)
 *   policy_rows_build   members, statements, delegations -> rows              (once a release)
 *   policy_decide_batch packed item words + rows         -> reasons, outcomes (a few ns an item)
 *   policy_apply_set_rules  k, strata, licence pool, volume cap               (once a release)
 *   policy_explain      one item                         -> why, and what would change it
 *   policy_rows_update  one member's facts changed       -> rows, and who else depends on it
 *
 * Freezing compiles with `instant == cutoff`. The publishing transaction compiles the same specification
 * with `instant` = its own time and decides again; policy_recheck() joins the two. Grants count if
 * committed by the cut-off; withdrawals, denials and deletions count up to `instant`. The engine gets
 * this by deciding at both instants and keeping the stricter, so building can only remove.
 *
 * The other faces: policy_vocab.h (words), policy_delegation.h, policy_ballot.h, policy_licence.h,
 * policy_pref.h (preference strings), policy_analysis.h (what-if, charter analysis, merging).
 */
#ifndef COMMONHOLD_POLICY_H
#define COMMONHOLD_POLICY_H

#include "commonhold/policy_ballot.h"
#include "commonhold/policy_delegation.h"
#include "commonhold/policy_licence.h"
#include "commonhold/policy_mem.h"
#include "commonhold/policy_vocab.h"

/* Version of the decision rules. It is part of every digest; raise it when any outcome can change. */
#define POLICY_ENGINE "commonhold-policy/3"

#define POLICY_NO_MEMBER UINT32_MAX /* no member */
#define POLICY_NO_ITEM UINT32_MAX   /* no item */
#define POLICY_NO_ROW UINT32_MAX    /* no statement, edge or rule */

/* ---- Statements -------------------------------------------------------------------------------
 *
 * For each use of the release (with all that `mine` contains), for each of its purposes, the strictest standing:
 *
 *   floor    a denial in layers 0 to 2, or from outside, denies;
 *   nearest  else the nearest layer that has spoken decides: deny > allow_if (duties united) > allow; but a delegate
 *            that spoke after the member's default may make it stricter, never looser, and never touches
 *            what the member said on the item;
 *   silence  else unknown, which is held.
 *
 * A grant speaks for its purpose and those below it, its audience and narrower ones; a denial for its purpose, those
 * above and below, its audience and wider ones. A member's delegate is the end of the chain: the first on it who has
 * said anything about the use as a delegate (layer 3), whatever the kind or purpose. Nothing said by a delegate is heard
 * in grace; defaults only by members who accepted them. What people said counts as of the cut-off and as of the
 * instant, and the stricter stands. */

enum policy_statement_flag {
	/* Came from outside (a web page, another co-op). Its denials are floor; its permissions count as
	 * nothing. Only the subject's later act on that very item lifts such a denial. */
	POLICY_STATEMENT_EXTERNAL = 1,
};

/* What somebody said about some uses of some items. Append-only: a later statement of the same
 * author, layer, selector, purpose and audience replaces the earlier one for the uses it names
 * (effect NONE takes it back); statements with equal (declared_at, revision) stand side by side. */
struct policy_statement {
	uint64_t id;                 /* the caller's identifier, shown in explanations */
	uint32_t subject;            /* whom it is about: member index (layers 0-2); the delegate's member index or
	                                POLICY_BOARD (layer 3); subgroup number (layer 4); ignored in layers 5 and 6 */
	uint32_t item;               /* position of the item in the release's order; POLICY_NO_ITEM unless selector is ITEM */
	uint16_t uses;               /* bits of enum policy_use; not 0 */
	uint16_t duties;             /* bits of enum policy_duty; for ALLOW_IF only, and then not 0 */
	uint8_t effect;              /* enum policy_effect; in layer 0 only DENY or NONE */
	uint8_t layer;               /* enum policy_layer */
	uint8_t selector;            /* enum policy_selector; ITEM only in layers 0 and 1, always in layer 1 */
	uint8_t kind;                /* enum policy_kind when selector is KIND */
	uint8_t purpose;             /* enum policy_purpose it is limited to; ANY for no limit */
	uint8_t audience;            /* enum policy_audience it is limited to; ANY for no limit */
	uint8_t flags;               /* bits of enum policy_statement_flag */
	uint8_t reserved;            /* 0 */
	uint32_t revision;           /* orders statements of equal declared_at */
	uint32_t declared_by;        /* member index of who made it; POLICY_NO_MEMBER if not a member */
	uint64_t via;                /* id of the delegation edge it was made under; 0 if none */
	policy_instant declared_at;  /* when it was committed */
	policy_instant valid_from;   /* start of validity; POLICY_EVER for none */
	policy_instant valid_to;     /* end of validity; POLICY_NEVER for none */
	struct policy_text verbatim; /* the words as they came, if any; kept, never interpreted */
};

/* ---- Members and items ------------------------------------------------------------------------ */

/* What the engine knows of one member, apart from statements and delegations. */
struct policy_member {
	uint8_t standing;                  /* enum policy_standing */
	uint8_t consent;                   /* enum policy_consent */
	uint8_t minor;                     /* 1 if the member is or may be a minor */
	uint8_t reserved;                  /* 0 */
	uint32_t group;                    /* subgroup number; 0 for none */
	uint32_t notice;                   /* version of the notice that the consent was given on */
	uint32_t purposes;                 /* purposes consented to, as bits; ANY covers all */
	policy_instant consent_given;      /* first commit of the consent that stands; POLICY_NEVER if none */
	policy_instant consent_expires;    /* end of the consent; POLICY_NEVER if open */
	policy_instant defaults_accepted;  /* when the co-op's defaults were accepted at the last checkup;
	                                      POLICY_NEVER if not */
};

/* The packed word beside each item: all that policy needs of most items, in 64 bits.
 *
 *   bits  0-2   kind                enum policy_kind
 *   bits  3-8   licence             index of policy_licence.h; 0 = unknown
 *   bits  9-10  moderation          enum policy_moderation
 *   bit   11    PII found and not reviewed
 *   bit   12    tombstoned
 *   bit   13    erasure pending
 *   bit   14    restricted
 *   bit   15    legal hold
 *   bit   16    duplicate of an item that stays
 *   bit   17    minor
 *   bit   18    special category
 *   bit   19    third party
 *   bit   20    attribution complete
 *   bit   21    withdrawn from future releases by its contributor
 *   bit   22    embargoed by its contributor at this instant
 *   bit   23    0 (anything else is ENGINE_ERROR)
 *   bits 24-31  region              the caller's number 1-255; 0 = not stated
 *   bits 32-63  created             seconds since 1970, rounded up
 */
#define POLICY_ITEM_LICENCE_SHIFT 3
#define POLICY_ITEM_MODERATION_SHIFT 9
#define POLICY_ITEM_REGION_SHIFT 24
#define POLICY_ITEM_CREATED_SHIFT 32
enum policy_item_flag {
	POLICY_ITEM_PII = 1 << 11,
	POLICY_ITEM_TOMBSTONED = 1 << 12,
	POLICY_ITEM_ERASURE = 1 << 13,
	POLICY_ITEM_RESTRICTED = 1 << 14,
	POLICY_ITEM_LEGAL_HOLD = 1 << 15,
	POLICY_ITEM_DUPLICATE = 1 << 16,
	POLICY_ITEM_MINOR = 1 << 17,
	POLICY_ITEM_SPECIAL = 1 << 18,
	POLICY_ITEM_THIRD_PARTY = 1 << 19,
	POLICY_ITEM_ATTRIBUTED = 1 << 20,
	POLICY_ITEM_WITHDRAWN = 1 << 21,
	POLICY_ITEM_EMBARGOED = 1 << 22,
};
#define POLICY_ITEM_FLAGS 0x7ff800u
#define POLICY_ITEM_RESERVED 0x800000u

enum policy_moderation {
	POLICY_MODERATION_PENDING,
	POLICY_MODERATION_APPROVED,
	POLICY_MODERATION_REJECTED,
	POLICY_MODERATION_COUNT
};

/* One item in the open, for callers that do not keep packed words. */
struct policy_item {
	uint32_t member;        /* member index */
	uint32_t flags;         /* bits of enum policy_item_flag */
	uint8_t kind;           /* enum policy_kind */
	uint8_t licence;        /* licence index */
	uint8_t moderation;     /* enum policy_moderation */
	uint8_t region;         /* the caller's region number */
	policy_instant created; /* commit time of the item */
	uint64_t more;          /* see POLICY_MORE_* below; 0 if not kept */
};
/* The packed word of an item. A value that does not fit sets reserved bits, so that it is held. */
uint64_t policy_item_pack(const struct policy_item *item);
/* The item of a packed word; `created` is in whole seconds. */
struct policy_item policy_item_unpack(uint64_t word, uint64_t more, uint32_t member);

/* An optional second word of attributes that only charter rules look at. Numbers are the caller's.
 *   bits 0-7 language, 8-15 quality (0-100), 16-18 prompted, 19-21 friction, 22-23 0,
 *   bits 24-31 origin co-op, 32-47 application, 48-63 length in units of the caller's choice */
#define POLICY_MORE_QUALITY_SHIFT 8
#define POLICY_MORE_PROMPTED_SHIFT 16
#define POLICY_MORE_FRICTION_SHIFT 19
#define POLICY_MORE_ORIGIN_SHIFT 24
#define POLICY_MORE_APPLICATION_SHIFT 32
#define POLICY_MORE_LENGTH_SHIFT 48

/* Facts that few items have, kept apart, sparse. */
struct policy_item_fact {
	uint32_t item;                /* position in the release's order */
	uint32_t member;              /* its member; must agree with the column given to decide */
	uint8_t kind;                 /* its kind; must agree with its word */
	uint8_t reserved[7];          /* 0 */
	policy_instant embargo_until; /* not released before; POLICY_EVER for none */
	policy_instant retain_until;  /* not kept after; POLICY_NEVER for none */
};

/* ---- The charter's rules over items ------------------------------------------------------------ */

/* What a predicate may look at. */
#define POLICY_ATTRIBUTES(X)              \
	X(KIND, 0, "kind", 3)                 \
	X(LICENCE, 1, "licence", 6)           \
	X(MODERATION, 2, "moderation", 2)     \
	X(PII, 3, "pii", 1)                   \
	X(DUPLICATE, 4, "duplicate", 1)       \
	X(MINOR, 5, "minor", 1)               \
	X(SPECIAL, 6, "special_category", 1)  \
	X(THIRD_PARTY, 7, "third_party", 1)   \
	X(ATTRIBUTED, 8, "attributed", 1)     \
	X(REGION, 9, "region", 8)             \
	X(CREATED, 10, "created", 32)         \
	X(LANGUAGE, 11, "language", 8)        \
	X(QUALITY, 12, "quality", 8)          \
	X(PROMPTED, 13, "prompted", 3)        \
	X(FRICTION, 14, "friction", 3)        \
	X(ORIGIN, 15, "origin", 8)            \
	X(APPLICATION, 16, "application", 16) \
	X(LENGTH, 17, "length", 16)

enum policy_attribute {
#define X(sym, no, name, bits) POLICY_ATTR_##sym = no,
	POLICY_ATTRIBUTES(X)
#undef X
	POLICY_ATTR_COUNT = 18
};
const char *policy_attribute_name(unsigned attribute);
int policy_attribute_find(const char *name, size_t len);
unsigned policy_attribute_bits(unsigned attribute); /* width in bits; 0 if out of range */

enum policy_node_op {
	POLICY_NODE_ALL,  /* every child holds; true without children */
	POLICY_NODE_ANY,  /* some child holds; false without children */
	POLICY_NODE_NOT,  /* its one child does not hold */
	POLICY_NODE_TEST, /* attribute compared with value */
	POLICY_NODE_IN,   /* attribute is one of `set` (bits; attributes of up to 6 bits) */
	POLICY_NODE_OP_COUNT
};
enum policy_compare {
	POLICY_EQ, POLICY_NE, POLICY_LT, POLICY_LE, POLICY_GT, POLICY_GE, POLICY_COMPARE_COUNT
};

/* A node of a predicate. A rule's tree is a run of an array; children stand after their parent, so
 * a tree cannot loop. */
struct policy_node {
	uint8_t op;        /* enum policy_node_op */
	uint8_t attribute; /* enum policy_attribute, for TEST and IN */
	uint8_t compare;   /* enum policy_compare, for TEST */
	uint8_t reserved;  /* 0 */
	uint16_t first;    /* index of the first child, greater than the node's own */
	uint16_t count;    /* number of children, side by side; 1 for NOT */
	int64_t value;     /* operand of TEST, in the attribute's range */
	uint64_t set;      /* operand of IN */
};

/* One rule: items for which the predicate holds are kept out, or held for review, when the release
 * has one of these uses. */
struct policy_rule {
	uint32_t id;             /* the caller's number, shown in explanations */
	uint16_t uses;           /* uses that it forbids; POLICY_USES_ALL for any release */
	uint16_t root;           /* index of its root node in policy_spec.nodes */
	uint8_t effect;          /* POLICY_EXCLUDE or POLICY_HOLD */
	uint8_t reserved[7];     /* 0 */
	struct policy_text name; /* for people; may be empty */
};

/* ---- Collective controls ---------------------------------------------------------------------- */

enum policy_toggle_kind {
	POLICY_TOGGLE_FREEZE,  /* quality_freeze: hold items of `kinds` created in the interval */
	POLICY_TOGGLE_EMBARGO, /* selective_embargo: hold items created in the interval, unless the release has no
	                          use but `eval` and `uses` holds `eval`; with since == POLICY_EVER it pauses releases */
	POLICY_TOGGLE_SHIFT,   /* preference_shift: items created in the interval deny `uses` */
	POLICY_TOGGLE_CAP,     /* rate_limit: of the items of `kinds` created in the interval at most `cap`; a rule over the set */
	POLICY_TOGGLE_PLEDGE,  /* assurance: hold items created in the interval, until `cap` members have joined and it is lifted */
	POLICY_TOGGLE_COUNT
};
/* A control in force. One that was lifted before the release's instant is not passed in. */
struct policy_toggle {
	uint8_t kind;         /* enum policy_toggle_kind */
	uint8_t kinds;        /* kinds it touches, as bits; 0 is a fault */
	uint16_t uses;        /* see above */
	uint32_t id;          /* the caller's number, shown in explanations */
	uint64_t cap;         /* CAP: items of these that this release may hold; PLEDGE: members it waits for */
	policy_instant since; /* items created from here on ... */
	policy_instant until; /* ... and before here; POLICY_NEVER while it lasts */
};

/* ---- The specification of a release ------------------------------------------------------------ */

enum policy_licence_mode {
	POLICY_COLLECTION, /* every row keeps its licence; shards per licence */
	POLICY_ADAPTATION, /* one output licence for all */
	POLICY_LICENCE_MODE_COUNT
};

/* All that a decision depends on besides the facts. Kept and digested as part of the release. */
struct policy_spec {
	uint16_t uses;             /* what the release is for; not 0 */
	uint16_t uses_conditional; /* uses for which a conditional permission is good enough */
	uint16_t audience_duties;  /* duties that the audience can be held to */
	uint8_t audience;          /* enum policy_audience, not ANY */
	uint8_t licence_mode;      /* enum policy_licence_mode */
	uint32_t purposes;         /* the most specific purposes, as bits, without ANY; not 0; every one must be covered */
	uint32_t outputs;          /* licences by index, as bits: ADAPTATION: output licences to choose from, not 0;
	                              COLLECTION: licences accepted, 0 for all that permit sharing */
	uint8_t kinds;             /* kinds accepted, as bits */
	uint8_t delegation_depth;  /* hops a chain may have, 1 to POLICY_DEPTH_MAX; 0 is a fault */
	uint8_t reserved[2];       /* 0 */
	uint32_t delegation_cap;   /* members one delegate may decide for; 0 for no cap */
	uint64_t release_id;       /* what edges of scope TARGET name */
	uint32_t notice_min;       /* oldest notice whose consent is still good */
	uint32_t k_contributors;   /* fewest contributors in the release; 0 or 1 for no rule */
	uint32_t k_stratum;        /* fewest contributors in a stratum that has any; 0 or 1 for no rule */
	uint32_t assurance;        /* pledge: sealed until so many members are in; 0 for none */
	uint64_t volume_cap;       /* most items; POLICY_NO_CAP for no cap */
	policy_instant cutoff;     /* grants and items count if committed by then */
	policy_instant instant;    /* withdrawals count until then; >= cutoff */
	int64_t embargo;           /* microseconds an item waits after creation; 0 for none */
	int64_t retention;         /* microseconds an item may be kept after creation; 0 for no limit */
	uint64_t regions[4];       /* region numbers that may be in, as bits; all ones for any */
	uint8_t seed[32];          /* of the order in which a cap selects */
	const struct policy_statement *defaults; /* statements of layers 5 and 6 */
	size_t n_defaults;                       /* how many */
	const struct policy_toggle *toggles;     /* controls in force */
	size_t n_toggles;                        /* how many, at most POLICY_TOGGLES_MAX */
	const struct policy_rule *rules;         /* the charter's rules over items */
	size_t n_rules;                          /* how many, at most POLICY_RULES_MAX */
	const struct policy_node *nodes;         /* the rules' predicates */
	size_t n_nodes;                          /* how many, at most POLICY_NODES_MAX */
};
#define POLICY_NO_CAP UINT64_MAX
#define POLICY_TOGGLES_MAX 32   /* eight controls, and a rate limit's two years of months */
#define POLICY_RULES_MAX 64     /* a charter that people can read */
#define POLICY_NODES_MAX 1024   /* sixteen tests a rule */

/* A specification that allows nothing by mistake and asks for nothing: fill in the rest. */
void policy_spec_init(struct policy_spec *spec);

/* Compile. On POLICY_OK `*out` points into `mem`; the specification's arrays must outlive it. On
 * POLICY_INVALID every fault is in `faults` (which may be NULL) and `*out` is NULL. */
struct policy_program; /* a compiled specification */
enum policy_status policy_compile(const struct policy_spec *spec, struct policy_mem *mem,
                                  const struct policy_program **out, struct policy_faults *faults);
/* The digest of everything in the specification, in a canonical encoding. */
void policy_program_digest(const struct policy_program *program, uint8_t out[32]);
/* Whether any rule looks at the second word of attributes (else pass NULL for it). */
bool policy_program_needs_more(const struct policy_program *program);

/* ---- Rows: the members' side ------------------------------------------------------------------- */

/* Everything the engine is told about people. Arrays stay the caller's and must outlive the rows;
 * order does not matter. Indices are positions in `members`. */
struct policy_facts {
	const struct policy_member *members;       /* by member index */
	size_t n_members;                          /* how many, at most POLICY_MEMBERS_MAX */
	const struct policy_statement *statements; /* layers 0-4 */
	size_t n_statements;                       /* how many */
	const struct policy_edge *edges;           /* delegations; edges of question VOTE are ignored */
	size_t n_edges;                            /* how many */
	const struct policy_item_fact *items;      /* sparse facts; also needed for every item that a statement names */
	size_t n_items;                            /* how many */
	bool board_active;                         /* the co-op has a board that may be delegated to */
	uint8_t data[32];                          /* the caller's token of the snapshot (for digests), or zeros */
};
#define POLICY_MEMBERS_MAX (1u << 28) /* leaves room for the special member numbers */

/* Per member and kind: reasons and duties; per sparse item: the same. Several threads may decide with the same rows at
 * once; explaining and updating need them for one thread. */
struct policy_rows;

/* Resolve delegations (once per use at each instant), layer the statements, pack the result. A faulty
 * statement, edge or member does not fail the build: whatever it touches is held with ENGINE_ERROR,
 * and the fault is listed. Fails only with POLICY_NO_MEMORY or POLICY_INVALID (too many members). */
enum policy_status policy_rows_build(const struct policy_program *program, const struct policy_facts *facts,
                                     struct policy_mem *mem, struct policy_rows **out,
                                     struct policy_faults *faults);

/* The facts given at build time were changed in place for `member` (its struct, or statements of it whose
 * selector and number did not change): bring the rows up to date. Lists in `touched` the members whose
 * rows were decided afresh (at most `cap`); returns how many there are. Much cheaper than a build. */
size_t policy_rows_update(struct policy_rows *rows, uint32_t member, uint32_t *touched, size_t cap);
/* The same after edges were changed in place (accepted, revoked, ended). */
size_t policy_rows_update_edges(struct policy_rows *rows, uint32_t *touched, size_t cap);
/* The same after one more statement of layers 0-4, of which the rows keep a copy (its verbatim text stays the
 * caller's). `item` is the item's fact when the statement names an item that has none yet, else NULL.
 * POLICY_NO_ROOM when the spare places are used up: build afresh. POLICY_INVALID: it is not sound, and
 * nothing changed. */
enum policy_status policy_rows_add(struct policy_rows *rows, const struct policy_statement *statement,
                                   const struct policy_item_fact *item, uint32_t *touched, size_t cap,
                                   size_t *n_touched);
#define POLICY_ROWS_SPARE 1024 /* statements that can be added before the next build */

/* What one member's row says for one kind. */
struct policy_row {
	policy_reasons reasons; /* everything that the member's side contributes */
	uint16_t allow;         /* uses of the release allowed outright */
	uint16_t allow_if;      /* uses allowed on conditions */
	uint16_t deny;          /* uses denied */
	uint16_t unknown;       /* uses about which nobody has spoken */
	uint16_t duties;        /* the conditions, united */
};
struct policy_row policy_rows_get(const struct policy_rows *rows, uint32_t member, unsigned kind);

/* ---- Deciding ---------------------------------------------------------------------------------- */

/* Columns of `n` items in the release's order, which begins at `base` for this batch. */
struct policy_batch {
	const uint64_t *words;   /* packed item words */
	const uint32_t *members; /* member indices */
	const uint64_t *more;    /* second words; NULL if the program does not need them */
	size_t n;                /* how many */
	uint32_t base;           /* position of the first one in the whole */
};

/* Decide. Writes `n` sets of reasons and, unless NULL, `n` outcomes (enum policy_outcome). Cannot fail
 * and allocates nothing. Batches are independent of each other and may be decided in any order. */
void policy_decide_batch(const struct policy_program *program, const struct policy_rows *rows,
                         const struct policy_batch *batch, uint8_t *outcomes, policy_reasons *reasons);
/* One item, by itself. */
policy_reasons policy_decide_one(const struct policy_program *program, const struct policy_rows *rows,
                                 uint32_t item, uint64_t word, uint64_t more, uint32_t member);
/* The duties that go with an item that is in: those of its permission and those of its licence. */
uint16_t policy_item_duties(const struct policy_program *program, const struct policy_rows *rows,
                            uint32_t item, uint64_t word, uint32_t member);
/* The outcomes of `n` sets of reasons. */
void policy_outcomes(const policy_reasons *reasons, size_t n, uint8_t *outcomes);

/* ---- Set rules --------------------------------------------------------------------------------- */

/* The whole set, in columns, after deciding. */
struct policy_set {
	const uint64_t *words;     /* packed item words */
	const uint32_t *members;   /* member indices */
	const uint8_t (*ids)[16];  /* item ids, for the order of a cap; NULL if there is no cap */
	const uint16_t *strata;    /* stratum of each item; NULL if there is no k_stratum */
	size_t n;                  /* how many */
	size_t n_members;          /* members there are */
};
/* What the set rules did. */
struct policy_set_report {
	uint64_t outcomes[POLICY_OUTCOME_COUNT]; /* items by final outcome */
	uint64_t reasons[64];                    /* items by reason */
	uint64_t contributors;                   /* members with an item in the release */
	uint32_t licences;                       /* licences of the items that are in, as bits */
	uint32_t outputs;                        /* output licences still open to the pool (ADAPTATION) */
	int output;                              /* licence chosen: the one that keeps most items; -1 if none */
	uint32_t rounds;                         /* passes until nothing changed */
};
/* Apply k_contributors, k_stratum, the licence pool, assurance and the volume cap until stable. Only adds
 * reasons; a place that becomes free is not filled again. `mem` is scratch and may be reset after. */
enum policy_status policy_apply_set_rules(const struct policy_program *program, const struct policy_set *set,
                                          policy_reasons *reasons, uint8_t *outcomes, struct policy_mem *mem,
                                          struct policy_set_report *report);

/* Join the decision stored at freezing with the one made in the publishing transaction: whatever either
 * held or excluded stays so. `removed` counts items that were in at freezing and are no longer. */
void policy_recheck(const policy_reasons *frozen, const policy_reasons *now, size_t n, policy_reasons *out,
                    uint8_t *outcomes, uint64_t *removed);

/* ---- Explaining -------------------------------------------------------------------------------- */

/* Which rule set a statement aside. */
#define POLICY_OVERRIDES(X)                                                                   \
	X(FLOOR, "floor", "a denial by law, the subject, the charter or from outside stands")     \
	X(NEAREST_LAYER, "nearest-layer", "someone nearer to the item has spoken")                \
	X(LATER_ACT, "later-act", "the same person said something else later")                    \
	X(STRICTER, "stricter-within-layer", "within a layer the stricter statement stands")      \
	X(TIGHTENED, "tightened-by-delegate", "the delegate is stricter than the default, and spoke later") \
	X(NOT_VALID, "outside-validity", "it is not valid at this instant")                       \
	X(PURPOSE, "purpose", "it is about another purpose")                                      \
	X(AUDIENCE, "audience", "it is about another audience")                                   \
	X(AFTER_CUTOFF, "after-cutoff", "permissions given after the cut-off count next time")    \
	X(NOT_ACCEPTED, "default-not-accepted", "the member has not accepted the co-op's defaults") \
	X(EXTERNAL_ALLOW, "external-allow", "a permission from outside counts as nothing")        \
	X(LIFTED, "lifted-by-subject", "the subject's later act on this item lifts it")

enum policy_override {
#define X(sym, name, text) POLICY_BY_##sym,
	POLICY_OVERRIDES(X)
#undef X
	POLICY_OVERRIDE_COUNT
};
const char *policy_override_name(unsigned override);
const char *policy_override_text(unsigned override);

/* One reason of the trace. */
struct policy_cause {
	uint8_t reason;           /* number in the registry */
	uint8_t gate;             /* enum policy_gate */
	uint16_t uses;            /* uses it is about; 0 if about the item as a whole */
	uint8_t determining;      /* 1 if at the level of the outcome */
	uint32_t statement;       /* statement it rests on: index, see POLICY_REF_DEFAULTS; POLICY_NO_ROW if none */
	uint32_t rule;            /* index of the charter rule or toggle; POLICY_NO_ROW if none */
	policy_instant until;     /* when time alone lifts it; POLICY_NEVER if it does not */
};
/* A statement that was considered and did not decide. */
struct policy_overridden {
	uint32_t statement; /* the one set aside */
	uint32_t by;        /* the one that did so; POLICY_NO_ROW if none did */
	uint8_t rule;       /* enum policy_override */
	uint8_t use;        /* for which use */
};
/* What a person could do. */
enum policy_act {
	POLICY_ACT_ALLOW, /* the member: allow `uses` on this item */
	POLICY_ACT_LIFT,  /* whoever said it (fixer): take back `statement` for `uses` */
	POLICY_ACT_CLEAR, /* see to the fact behind `reason`: review, moderate, renew, credit, waive ... */
	POLICY_ACT_WAIT,  /* wait until `until`; POLICY_NEVER: for a later release */
	POLICY_ACT_COUNT
};
struct policy_step {
	uint8_t act;          /* enum policy_act */
	uint8_t fixer;        /* enum policy_fixer: who can do it */
	uint8_t reason;       /* the reason it is about */
	uint16_t uses;        /* for ALLOW and LIFT */
	uint32_t statement;   /* for LIFT; else POLICY_NO_ROW */
	policy_instant until; /* for WAIT; else POLICY_NEVER */
};
/* One smallest set of acts after which the next decision has the item in the release (INCLUDE or CONDITIONAL);
 * no act of it can be left out. */
struct policy_fix {
	const struct policy_step *steps; /* the acts, all of them needed */
	size_t n;                        /* how many */
};

/* The whole explanation of one decision. All arrays live in the caller's `mem`. Statement numbers
 * in it: below n_statements of the facts, the caller's array; from POLICY_REF_DEFAULTS on, the
 * specification's defaults; from POLICY_REF_ADDED on, those given to policy_rows_add(). */
#define POLICY_REF_DEFAULTS 0xc0000000u
#define POLICY_REF_ADDED 0xe0000000u
struct policy_trace {
	uint32_t item;                              /* position asked about */
	uint32_t member;                            /* its contributor */
	uint64_t word;                              /* its packed word */
	uint64_t more;                              /* its second word */
	policy_reasons set_reasons;                 /* reasons that the set rules added, given by the caller */
	enum policy_outcome outcome;                /* the decision */
	policy_reasons reasons;                     /* all reasons at all gates */
	uint8_t effect[POLICY_USE_COUNT];           /* enum policy_effect resolved for each use of the release */
	uint32_t decided_by[POLICY_USE_COUNT];      /* the statement that settled each use; POLICY_NO_ROW */
	const struct policy_cause *causes;          /* every reason, the determining ones first */
	size_t n_causes;                            /* how many */
	const struct policy_overridden *overridden; /* statements set aside */
	size_t n_overridden;                        /* how many */
	uint16_t duties;                            /* duties that go with it if it is in: conditions and the licence's */
	uint16_t conditions;                        /* those that permissions ask for */
	const uint32_t *path;                       /* delegation path of the first use decided by one: member indices */
	size_t n_path;                              /* how many */
	const struct policy_fix *fixes;             /* the smallest sets of acts; none if nobody can */
	size_t n_fixes;                             /* how many */
	policy_instant retry_at;                    /* first instant from which a release would hold it if nobody does anything;
	                                               POLICY_NEVER if time alone does not help */
	uint8_t policy[32];                         /* digest of the specification */
	uint8_t snapshot[32];                       /* the caller's snapshot token and the facts used, digested */
	uint8_t engine[32];                         /* digest of the engine's version, registry and matrix */
	uint8_t digest[32];                         /* digest of the trace; a replay gives the same */
};
/* Explain one item. `set_reasons`: what policy_apply_set_rules added to it, 0 if nothing. */
enum policy_status policy_explain(const struct policy_program *program, const struct policy_rows *rows,
                                  uint32_t item, uint64_t word, uint64_t more, uint32_t member,
                                  policy_reasons set_reasons, struct policy_mem *mem, struct policy_trace *out);
/* Explain again from the trace's own inputs and compare. POLICY_OK if the digest is the same, else
 * POLICY_DIFFERS. */
enum policy_status policy_replay(const struct policy_program *program, const struct policy_rows *rows,
                                 const struct policy_trace *trace, struct policy_mem *mem);
/* The message of a cause with its template filled in. Returns the length it needs, like snprintf. */
size_t policy_cause_text(const struct policy_program *program, const struct policy_trace *trace,
                         const struct policy_cause *cause, char *out, size_t size);
/* Digest of the engine's version, reasons and licence matrix. */
void policy_engine_digest(uint8_t out[32]);

#endif
