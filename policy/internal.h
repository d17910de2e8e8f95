/*
 * internal.h - what the files of the policy engine share and nobody else sees.
 *
 * Like everything in policy/: libc only, no I/O, no clock, no globals that change, no malloc.
 */
#ifndef POLICY_INTERNAL_H
#define POLICY_INTERNAL_H

#include <limits.h>
#include <string.h>

#include "commonhold/policy.h"
#include "commonhold/policy_analysis.h"
#include "commonhold/policy_pref.h"

/* Reasons by severity: a set's outcome is the strictest class it touches. */
#define X(sym, bit, severity, gate, fixer, message, reference) \
	| ((uint64_t)(POLICY_##severity == POLICY_EXCLUDE) << (bit))
static const policy_reasons policy__excluding = 0 POLICY_REASONS(X);
#undef X
#define X(sym, bit, severity, gate, fixer, message, reference) \
	| ((uint64_t)(POLICY_##severity == POLICY_CONDITIONAL) << (bit))
static const policy_reasons policy__conditional = 0 POLICY_REASONS(X);
#undef X

/* Whatever neither excludes nor is a condition holds: also a bit that no release of this engine knows. Each class
 * contains the next stricter, so counting the classes touched gives the outcome, without a branch. */
static inline uint8_t policy__outcome(policy_reasons reasons)
{
	return (uint8_t)((reasons != 0) + ((reasons & ~policy__conditional) != 0) + ((reasons & policy__excluding) != 0));
}
_Static_assert(POLICY_INCLUDE == 0 && POLICY_CONDITIONAL == 1 && POLICY_HOLD == 2 && POLICY_EXCLUDE == 3, "see policy__outcome");

/* mem.c */
void *policy__alloc(struct policy_mem *mem, size_t n, size_t size);
void *policy__zalloc(struct policy_mem *mem, size_t n, size_t size);
void policy__fault(struct policy_faults *faults, unsigned code, size_t index);
typedef bool policy__less(const void *ctx, uint32_t a, uint32_t b);
void policy__sort(uint32_t *at, size_t n, policy__less *less, const void *ctx);

/* delegation.c: every value in range, no delegation to oneself, both ends where they can be. */
bool policy__edge_sound(const struct policy_edge *edge, size_t n);

/* licence.c: how far a pool is from a plain yes under one output; smaller is better. */
unsigned policy__burden_of(uint64_t pool, unsigned out);

/* sha256.c */
struct policy__sha {
	uint32_t state[8]; /* chaining value */
	uint8_t block[64]; /* the block being filled */
	uint64_t total;    /* bytes so far */
};
void policy__sha_init(struct policy__sha *sha);
void policy__sha_add(struct policy__sha *sha, const void *data, size_t len);
void policy__sha_end(struct policy__sha *sha, uint8_t out[32]);
void policy__sha_u64(struct policy__sha *sha, uint64_t value);
void policy__sha_text(struct policy__sha *sha, const char *at, size_t len);

/* ---- predicate.c -------------------------------------------------------------------------------- */

/* Items are looked at in blocks of this many: one bit each in a word. */
enum { POLICY__BLOCK = 64 };
/* Whether the node at `at` is sound: known operator, operand in range, children after it. */
bool policy__node_sound(const struct policy_node *nodes, size_t n, size_t at);
/* Which of up to POLICY__BLOCK items each marked node holds for. */
void policy__nodes_eval(const struct policy_node *nodes, const uint8_t *marked, size_t n, const uint64_t *words,
                        const uint64_t *more, size_t n_items, uint64_t *out);
/* Whether an attribute sits in the second word. */
bool policy__attribute_in_more(unsigned attribute);

/* ---- compile.c ---------------------------------------------------------------------------------- */

enum {
	POLICY__BREAKS = 4 + 2 * POLICY_TOGGLES_MAX, /* cut-off, embargo, retention, both ends of every toggle */
	POLICY__KINDS = 8,                           /* kinds as the packed word can hold them */
};

/* A compiled specification: tables that one item's word is looked up in. */
struct policy_program {
	struct policy_spec spec;                 /* as given */
	uint16_t uses;                           /* uses of the release with what `mine` contains */
	uint8_t n_times;                         /* 1 if cut-off and instant are the same, else 2 */
	uint8_t n_purposes;                      /* purposes of the release */
	uint8_t purposes[POLICY_PURPOSE_COUNT];  /* which */
	uint32_t above[POLICY_PURPOSE_COUNT];    /* of each: the purposes whose grant covers it */
	uint32_t related[POLICY_PURPOSE_COUNT];  /* of each: the purposes whose denial denies it */
	policy_instant times[2];                 /* the cut-off and the instant */
	policy_reasons by_low[2048];             /* by kind, licence and moderation: bits 0-10 of the word */
	policy_reasons by_flags[512];            /* by bits 11-19 */
	policy_reasons by_high[8];               /* by bits 21-23; bit 20 counts only together with the licence */
	policy_reasons by_region[256];           /* by bits 24-31 */
	uint64_t credit;                         /* licences that need attribution, as bits */
	uint64_t breaks[POLICY__BREAKS];         /* seconds at which the rules about time change, ascending; unused: max */
	uint8_t n_breaks;                        /* how many, rounded up to a multiple of 4 */
	policy_reasons by_time[POLICY__BREAKS + 1][POLICY__KINDS]; /* by breaks passed, and kind */
	bool regions_matter;                     /* some region may not be in */
	uint8_t n_rules;                         /* charter rules that concern the release's uses */
	uint8_t needs_more;                      /* 1 if one of them looks at the second word */
	uint8_t rules[POLICY_RULES_MAX];         /* which */
	uint8_t marked[POLICY_NODES_MAX];        /* 1 for nodes that one of them uses */
	size_t n_nodes;                          /* nodes up to the last marked one */
	uint64_t cap;                            /* least of all volume caps */
	uint8_t digest[32];                      /* of the specification */
};
/* Whether a statement is sound by itself, whoever it is about. */
bool policy__statement_sound(const struct policy_statement *s);
/* Add a statement to a digest. */
void policy__sha_statement(struct policy__sha *sha, const struct policy_statement *s);
/* First second s for which s * POLICY_SECOND >= at, within [0, 2^32]. */
uint64_t policy__first_second(policy_instant at);
/* a - b and a + b, stopping at the ends. */
policy_instant policy__minus(policy_instant a, int64_t b);
policy_instant policy__plus(policy_instant a, int64_t b);
/* What the licence gate says of a licence under a specification. */
policy_reasons policy__licence_reasons(const struct policy_spec *spec, unsigned licence);

/* ---- speech.c: who has said what, and what it comes to ------------------------------------------- */

/* What one layer says of each use. */
struct policy__said {
	uint16_t deny;                            /* uses denied */
	uint16_t allow_if;                        /* uses allowed on conditions */
	uint16_t allow;                           /* uses allowed */
	uint16_t duties[POLICY_USE_COUNT];        /* the conditions, by use */
	policy_instant when[POLICY_USE_COUNT];    /* latest statement that counts, by use */
};
/* All that was heard about one member's items of one kind, or one item, for one purpose at one time. */
struct policy__hearing {
	const struct policy_program *program;          /* whose uses, purposes and audience */
	policy_instant at;                             /* when */
	uint8_t purpose;                               /* position in program->purposes */
	uint8_t kind;                                  /* of the items */
	uint16_t external;                             /* uses denied from outside */
	policy_instant external_at[POLICY_USE_COUNT];  /* latest such denial, by use */
	struct policy__said said[POLICY_LAYER_COUNT];  /* by layer */
};
/* How strict an effect is; the stricter of two stands. */
enum { POLICY__ALLOW, POLICY__ALLOW_IF, POLICY__UNKNOWN, POLICY__DENY };

void policy__hearing_init(struct policy__hearing *h, const struct policy_program *program, policy_instant at,
                          unsigned purpose, unsigned kind);
/* The uses a statement speaks about: denials and retractions of `mine` reach what it contains. */
uint16_t policy__spoken(const struct policy_statement *s);
/* Whether it is committed and valid at an instant. */
bool policy__in_force(const struct policy_statement *s, policy_instant at);
/* Whether it bears on the release's purpose; on its audience. */
bool policy__purpose_applies(const struct policy_program *program, unsigned purpose, const struct policy_statement *s);
bool policy__audience_applies(const struct policy_program *program, const struct policy_statement *s);
/* Order of statements of one author: by selector and limits, then the latest first. */
bool policy__speech_before(const struct policy_statement *a, const struct policy_statement *b);
/* Whether one may replace the other: same author, layer, selector, limits. */
bool policy__same_subject_matter(const struct policy_statement *a, const struct policy_statement *b);
/* Listen to one author's statements in that order; `speech(ctx, i)` gives the i-th. */
typedef const struct policy_statement *policy__speech(const void *ctx, uint32_t ref);
void policy__hear(struct policy__hearing *h, const uint32_t *refs, size_t n, policy__speech *speech, const void *ctx);
/* What it comes to for one use: POLICY__ALLOW ...; duties are added to `*duties`; `*layer` is the layer that
 * settled it (POLICY_LAYER_COUNT: none, or from outside) and `*tightened` whether the delegate made a default stricter. */
unsigned policy__settle(const struct policy__hearing *h, unsigned use, uint16_t *duties, uint8_t *layer,
                        bool *tightened);

/* ---- rows.c, people.c: the members' side --------------------------------------------------------- */

/* What is known of an item that has facts or statements of its own. */
struct policy__sparse {
	uint32_t item;                      /* its position */
	uint32_t member;                    /* its member; POLICY_NO_MEMBER if the fact is missing */
	uint8_t kind;                       /* its kind */
	uint8_t faulty;                     /* 1: hold it with ENGINE_ERROR */
	policy_instant embargo_until;       /* from its fact */
	policy_instant retain_until;        /* from its fact */
	struct policy_row row;              /* what its people say of it, itself included */
};

struct policy_rows {
	const struct policy_program *program;  /* what they were built for */
	struct policy_facts facts;             /* as given */
	struct policy_mem *mem;                /* for classes that updates add */
	uint32_t *class_of;                    /* by member: its class */
	policy_reasons (*hot)[POLICY__KINDS];  /* by class and kind: the reasons alone, for deciding */
	struct policy_row (*cold)[POLICY__KINDS]; /* by class and kind: the whole row */
	uint32_t *slots;                       /* hash table of classes, by content; 0 is empty, else class + 1 */
	size_t n_slots;                        /* its size, a power of two */
	uint32_t n_classes;                    /* classes in use; class 0 is all ENGINE_ERROR */
	uint32_t cap_classes;                  /* room for classes */
	uint32_t *own_start;                   /* by member: where its statements begin in `own`; n + 1 places */
	uint32_t *own;                         /* statements of layers 0 and 2 by member, in order of speech */
	uint32_t *on_item;                     /* statements about items, by item, in order of speech */
	size_t n_on_item;                      /* how many */
	uint32_t *delegates;                   /* statements of layer 3, by delegate, in order of speech */
	size_t n_delegates;                    /* how many */
	uint32_t *groups;                      /* statements of layer 4, by subgroup, in order of speech */
	size_t n_groups;                       /* how many */
	uint32_t *defaults;                    /* statements of layers 5 and 6, in order of speech */
	struct policy__sparse *sparse;         /* items of their own, ascending */
	size_t n_sparse;                       /* how many */
	size_t cap_sparse;                     /* room for them */
	uint8_t *faulty;                       /* by member, and the board at [n]: 1 member facts, 2 what it says as a delegate */
	uint8_t *active;                       /* by member: may delegate and be delegated to */
	uint16_t *voice[2];                    /* by time, member (the board at [n]): uses spoken about as a delegate */
	uint8_t n_asks;                        /* distinct delegation questions among the uses */
	uint8_t ask_of[POLICY_USE_COUNT];      /* by use: which */
	struct policy_path *paths[2][POLICY_USE_COUNT]; /* by time and question */
	struct policy_path *spare_path;        /* to resolve into when updating */
	uint8_t *decided;                      /* scratch of resolving */
	uint32_t *gather;                      /* scratch: statements of one author, added ones included */
	uint8_t *scratch;                      /* scratch memory of resolving */
	size_t scratch_size;                   /* its size */
	bool all_faulty;                       /* something unsound that cannot be pinned on anyone */
	bool kinds_matter;                     /* some statement selects by kind */
	bool edges_matter;                     /* there are consent delegations at all */
	struct policy_statement added[POLICY_ROWS_SPARE]; /* statements that came after the build */
	uint32_t n_added;                      /* how many */
};

/* The statement behind a number. */
const struct policy_statement *policy__statement(const struct policy_rows *rows, uint32_t ref);
/* One author's statements in order of speech; into rows->gather when there are added ones. */
struct policy__refs {
	const uint32_t *at; /* numbers */
	size_t n;           /* how many */
};
enum policy__bucket { POLICY__OWN, POLICY__ON_ITEM, POLICY__DELEGATE, POLICY__GROUP, POLICY__DEFAULTS };
typedef struct policy__refs policy__authors(const void *ctx, enum policy__bucket bucket, uint32_t who);
struct policy__refs policy__author(const struct policy_rows *rows, enum policy__bucket bucket, uint32_t who);
/* The row of one member for one kind, or of one sparse item (NULL for none), as the facts now stand. */
struct policy_row policy__member_row(const struct policy_rows *rows, uint32_t member, unsigned kind,
                                     const struct policy__sparse *item);
/* One member's items of one kind, or one item, at one of the program's times; with a different speech when asking
 * what would be if people had said something else. */
struct policy__case {
	const struct policy_rows *rows;     /* who and what */
	uint32_t member;                    /* whose */
	uint8_t kind;                       /* of which kind */
	uint8_t time;                       /* which resolution of delegations */
	const struct policy__sparse *item;  /* which item, or NULL */
	policy__speech *speech;             /* NULL: as the facts have it; else gives the statement of a number ... */
	policy__authors *authors;           /* ... and an author's statements, in order of speech ... */
	const void *imagined;               /* ... from here */
	uint32_t position;                  /* the item's position, if imagined */
};
/* Hear everybody who has a say, for the purpose and instant of the hearing. `ask` says whose delegate is heard. */
void policy__hear_all(const struct policy__case *c, unsigned ask, struct policy__hearing *h);
/* The effect of every use of the release at an instant: the strictest over the purposes. Returns G4's reasons. */
policy_reasons policy__effects(const struct policy__case *c, policy_instant at, uint8_t effects[POLICY_USE_COUNT],
                               uint16_t *duties);
/* G5 and G10: what effects (with row->duties) amount to, added to the row. */
void policy__add_effects(const struct policy_program *program, const uint8_t effects[POLICY_USE_COUNT],
                         struct policy_row *row);
/* Whether delegates are heard for a member; whether the co-op's defaults are, at an instant. */
bool policy__hears_delegate(const struct policy_rows *rows, uint32_t member);
bool policy__hears_defaults(const struct policy_rows *rows, uint32_t member, policy_instant at);
/* The sparse item at a position; NULL if there is none. */
const struct policy__sparse *policy__sparse_find(const struct policy_rows *rows, uint32_t item);
/* First sparse item at or after a position. */
size_t policy__sparse_from(const struct policy_rows *rows, uint32_t item);
/* Uses about which a delegate (or the board) has spoken at an instant. */
uint16_t policy__voice(const struct policy_rows *rows, uint32_t delegate, policy_instant at);
/* Sort statements into authors' buckets; note what is unsound. rows.c calls it once. */
enum policy_status policy__index(struct policy_rows *rows, struct policy_mem *mem, struct policy_faults *faults);
/* The bucket of a statement of the facts; false if it is unsound. */
bool policy__place(const struct policy_rows *rows, const struct policy_statement *s, enum policy__bucket *bucket);
/* Sort again what a member said, after its statements were changed in place. */
void policy__resort_own(struct policy_rows *rows, uint32_t member);
/* Membership, consent and the like: what does not depend on statements. */
policy_reasons policy__member_reasons(const struct policy_program *program, const struct policy_member *member);
bool policy__member_sound(const struct policy_member *member);

/* ---- explain.c, counterfactual.c ------------------------------------------------------------------ */

enum { POLICY__VOICES_MAX = 512 }; /* statements considered in one explanation; the rest are not listed */

/* Everything that bears on one explanation. */
struct policy__view {
	const struct policy_program *program; /* the specification */
	const struct policy_rows *rows;       /* the people */
	const struct policy__sparse *item;    /* the item's own facts, or NULL */
	struct policy_mem *mem;               /* the caller's */
	struct policy_trace *trace;           /* what is being written */
	bool has_people;                      /* false: the member's side is held as unsound, there is nobody to hear */
	uint32_t refs[POLICY__VOICES_MAX];    /* statements that speak about the item at all */
	uint8_t bucket[POLICY__VOICES_MAX];   /* enum policy__bucket of each */
	size_t n_refs;                        /* how many */
	uint8_t time_of[POLICY_USE_COUNT];    /* by use: the time at which the stricter effect was */
	uint8_t purpose_of[POLICY_USE_COUNT]; /* by use: the purpose, as position, for which it was */
};
/* The item's word says that it is under embargo, and its facts do not say until when. */
bool policy__embargo_is_open(const struct policy__view *view);
/* Write trace->fixes and trace->retry_at. */
enum policy_status policy__find_fixes(struct policy__view *view);

/* decide.c: what an item says of itself, without its people and the charter's rules. */
policy_reasons policy__item_reasons(const struct policy_program *program, uint64_t word);

/* ---- domain.c: the finite world that rules can tell apart -------------------------------------------- */

enum {
	POLICY__VALUES = 260,              /* values of one attribute */
	POLICY__CASES_MAX = 1 << 21,       /* cases that are listed at most */
};

/* For every attribute, the values that stand for all others: every value of a small one, both sides of every
 * boundary of a large one. */
struct policy__domain {
	uint32_t values[POLICY_ATTR_COUNT][POLICY__VALUES]; /* ascending */
	uint16_t n[POLICY_ATTR_COUNT];                      /* how many */
	uint64_t cases;                                     /* their product */
};
/* Values that one or two programs tell apart. `whole`: also for attributes that no rule looks at. False: too many. */
bool policy__domain_init(struct policy__domain *domain, const struct policy_program *a, const struct policy_program *b,
                         bool whole);
/* The case of a number. */
void policy__domain_case(const struct policy__domain *domain, uint64_t no, uint64_t *word, uint64_t *more);

#endif
