/*
 * policy_vocab.h - the words of the policy engine.
 *
 * Uses, duties, purposes, kinds, layers, outcomes, reasons: every value that may be stored, exported
 * or shown. Numbers here are stable: append, never renumber. Everything is a plain integer so that a
 * column of a database, a file or another program can hold it.
 *
 * This header must never depend on anything but libc.
 */
#ifndef COMMONHOLD_POLICY_VOCAB_H
#define COMMONHOLD_POLICY_VOCAB_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* An instant: microseconds since 1970-01-01T00:00:00Z. All intervals are half open [from, to). */
typedef int64_t policy_instant;

#define POLICY_EVER INT64_MIN    /* before everything: an interval without a beginning */
#define POLICY_NEVER INT64_MAX   /* after everything: an interval without an end; "did not happen" */
#define POLICY_SECOND 1000000LL  /* microseconds in a second */
#define POLICY_DAY (86400LL * POLICY_SECOND)

/* Text as pointer and length; not terminated; may be {NULL, 0}. */
struct policy_text {
	const char *at; /* first byte */
	size_t len;     /* bytes */
};

/* ------------------------------------------------------------------------------------------------
 * Uses: what a release is for, as bits. `mine` contains every train.* and infer.*: denying it denies
 * them; a release that declares `mine` declares them all; allowing `mine` allows none of them.
 *      symbol        bit name            */
#define POLICY_USES(X)                \
	X(TRAIN_GEN, 0, "train.gen")      \
	X(TRAIN_OTHER, 1, "train.other")  \
	X(INFER_SYSTEM, 2, "infer.system")\
	X(INFER_USER, 3, "infer.user")    \
	X(SEARCH, 4, "search")            \
	X(MINE, 5, "mine")                \
	X(EVAL, 6, "eval")                \
	X(REDISTRIBUTE, 7, "redistribute")\
	X(AGGREGATE, 8, "aggregate")

enum policy_use {
#define X(sym, bit, name) POLICY_USE_##sym = bit,
	POLICY_USES(X)
#undef X
	POLICY_USE_COUNT = 9
};
#define POLICY_BIT(n) (1u << (n))
#define POLICY_USES_ALL 0x1ffu
#define POLICY_USES_MINED 0x00fu /* the uses contained in `mine` */

/* Duties that come with a conditional permission or with a licence, as bits. */
#define POLICY_DUTIES(X)                              \
	X(CREDIT, 0, "credit")                            \
	X(CONTRIBUTE_DIRECT, 1, "contribute.direct")      \
	X(CONTRIBUTE_ECOSYSTEM, 2, "contribute.ecosystem")\
	X(OPEN, 3, "open")                                \
	X(SHARE_ALIKE, 4, "share_alike")                  \
	X(NOTICE, 5, "notice")                            \
	X(RETURN_RESULTS, 6, "return_results")            \
	X(PUBLISH_RESULTS, 7, "publish_results")          \
	X(REPORT, 8, "report")                            \
	X(DELETE_BY, 9, "delete_by")

enum policy_duty {
#define X(sym, bit, name) POLICY_DUTY_##sym = bit,
	POLICY_DUTIES(X)
#undef X
	POLICY_DUTY_COUNT = 10
};
#define POLICY_DUTIES_ALL 0x3ffu

/* Purposes: a directed acyclic graph with W3C DPV names. ANY is above all of them.
 *      symbol                  no name                      parents (as bits)                                      DPV IRI */
#define POLICY_DPV "https://w3id.org/dpv#"
#define POLICY_PURPOSES(X)                                                                                          \
	X(ANY, 0, "any", 0, POLICY_DPV "Purpose")                                                                       \
	X(RESEARCH, 1, "research", 1u << 0, POLICY_DPV "ResearchAndDevelopment")                                        \
	X(SCIENTIFIC, 2, "scientific", 1u << 1, POLICY_DPV "ScientificResearch")                                        \
	X(ACADEMIC, 3, "academic", 1u << 1, POLICY_DPV "AcademicResearch")                                              \
	X(NONCOMMERCIAL, 4, "noncommercial", 1u << 0, POLICY_DPV "NonCommercialPurpose")                                \
	X(NONCOMMERCIAL_RESEARCH, 5, "noncommercial_research", 1u << 2 | 1u << 4, POLICY_DPV "NonCommercialResearch")   \
	X(COMMERCIAL, 6, "commercial", 1u << 0, POLICY_DPV "CommercialPurpose")                                         \
	X(COMMERCIAL_RESEARCH, 7, "commercial_research", 1u << 1 | 1u << 6, POLICY_DPV "CommercialResearch")            \
	X(PUBLIC_BENEFIT, 8, "public_benefit", 1u << 0, POLICY_DPV "PublicBenefit")                                     \
	X(DATA_ALTRUISM, 9, "data_altruism", 1u << 8, POLICY_DPV "DataAltruism")                                        \
	X(EDUCATION, 10, "education", 1u << 8, "https://w3id.org/dpv/sector/education")                                                  \
	X(SERVICE_IMPROVEMENT, 11, "service_improvement", 1u << 0, POLICY_DPV "ServiceOptimisation")

enum policy_purpose {
#define X(sym, no, name, parents, iri) POLICY_PURPOSE_##sym = no,
	POLICY_PURPOSES(X)
#undef X
	POLICY_PURPOSE_COUNT = 12
};
#define POLICY_PURPOSES_ALL 0xfffu

/* Kinds of contribution. */
#define POLICY_KINDS(X)       \
	X(CHAT, 0, "chat")        \
	X(PREFERENCE, 1, "preference") \
	X(EXAMPLE, 2, "example")  \
	X(FEEDBACK, 3, "feedback")\
	X(SIGNAL, 4, "signal")    \
	X(BUNDLE, 5, "bundle")    \
	X(RECORD, 6, "record")

enum policy_kind {
#define X(sym, no, name) POLICY_KIND_##sym = no,
	POLICY_KINDS(X)
#undef X
	POLICY_KIND_COUNT = 7
};
#define POLICY_KINDS_ALL 0x7fu
#define POLICY_KINDS_LABELS 0x1au /* preference, feedback, signal: what `quality_freeze` withholds */

/* Audiences, narrowest first. A grant for one covers it and every narrower one; a denial for one
 * denies it and every wider one. ANY in a statement means no restriction; a release must name one. */
#define POLICY_AUDIENCES(X)             \
	X(ANY, 0, "any")                    \
	X(MEMBERS, 1, "members")            \
	X(GATED_MANUAL, 2, "gated_manual")  \
	X(GATED_AUTO, 3, "gated_auto")      \
	X(PUBLIC, 4, "public")

enum policy_audience {
#define X(sym, no, name) POLICY_AUDIENCE_##sym = no,
	POLICY_AUDIENCES(X)
#undef X
	POLICY_AUDIENCE_COUNT = 5
};

/* What a statement does. NONE takes an earlier statement of the same author and selector back. */
#define POLICY_EFFECTS(X)         \
	X(NONE, 0, "none")            \
	X(ALLOW, 1, "allow")          \
	X(ALLOW_IF, 2, "allow_if")    \
	X(DENY, 3, "deny")

enum policy_effect {
#define X(sym, no, name) POLICY_EFFECT_##sym = no,
	POLICY_EFFECTS(X)
#undef X
	POLICY_EFFECT_COUNT = 4
};

/* Who speaks, nearest first. */
#define POLICY_LAYERS(X)                                  \
	X(LAW, 0, "law")               /* law and tombstone: may only deny */ \
	X(ITEM, 1, "item")             /* the subject, on one item */ \
	X(SUBJECT, 2, "subject")       /* the subject's own default, for all or for a kind */ \
	X(DELEGATE, 3, "delegate")     /* a delegate, for everyone who delegates to it */ \
	X(SUBGROUP, 4, "subgroup")     /* a subgroup, for its members */ \
	X(COOP, 5, "coop")             /* co-op default, for members who accepted it */ \
	X(FEDERATION, 6, "federation") /* federation default, for members who accepted the co-op's */

enum policy_layer {
#define X(sym, no, name) POLICY_LAYER_##sym = no,
	POLICY_LAYERS(X)
#undef X
	POLICY_LAYER_COUNT = 7
};

/* What a statement is about. */
enum policy_selector {
	POLICY_SELECT_ALL,  /* everything of the subject */
	POLICY_SELECT_KIND, /* everything of one kind */
	POLICY_SELECT_ITEM, /* one item */
	POLICY_SELECTOR_COUNT
};

/* Where a membership stands. ACTIVE, DUE and GRACE are members; in GRACE delegations and the
 * acceptance of co-op defaults are suspended. */
#define POLICY_STANDINGS(X)  \
	X(APPLIED, 0, "applied") \
	X(ACTIVE, 1, "active")   \
	X(DUE, 2, "due")         \
	X(GRACE, 3, "grace")     \
	X(LAPSED, 4, "lapsed")   \
	X(LEFT, 5, "left")       \
	X(REMOVED, 6, "removed")

enum policy_standing {
#define X(sym, no, name) POLICY_STANDING_##sym = no,
	POLICY_STANDINGS(X)
#undef X
	POLICY_STANDING_COUNT = 7
};

/* States of consent, as in DPV. Only GIVEN and RENEWED are valid. */
#define POLICY_CONSENTS(X)                                                     \
	X(UNKNOWN, 0, "unknown", POLICY_DPV "ConsentUnknown")                      \
	X(REQUESTED, 1, "requested", POLICY_DPV "ConsentRequested")                \
	X(DEFERRED, 2, "deferred", POLICY_DPV "ConsentRequestDeferred")            \
	X(REFUSED, 3, "refused", POLICY_DPV "ConsentRefused")                      \
	X(GIVEN, 4, "given", POLICY_DPV "ConsentGiven")                            \
	X(RENEWED, 5, "renewed", POLICY_DPV "RenewedConsentGiven")                 \
	X(WITHDRAWN, 6, "withdrawn", POLICY_DPV "ConsentWithdrawn")                \
	X(REVOKED, 7, "revoked", POLICY_DPV "ConsentRevoked")                      \
	X(EXPIRED, 8, "expired", POLICY_DPV "ConsentExpired")                      \
	X(INVALIDATED, 9, "invalidated", POLICY_DPV "ConsentInvalidated")

enum policy_consent {
#define X(sym, no, name, iri) POLICY_CONSENT_##sym = no,
	POLICY_CONSENTS(X)
#undef X
	POLICY_CONSENT_COUNT = 10
};

/* Outcomes, a lattice: combining is the maximum. CONDITIONAL is in the release, with duties. */
#define POLICY_OUTCOMES(X)            \
	X(INCLUDE, 0, "include")          \
	X(CONDITIONAL, 1, "conditional")  \
	X(HOLD, 2, "hold")                \
	X(EXCLUDE, 3, "exclude")

enum policy_outcome {
#define X(sym, no, name) POLICY_##sym = no,
	POLICY_OUTCOMES(X)
#undef X
	POLICY_OUTCOME_COUNT = 4
};

/* The gates, in the order in which people are shown them. The order cannot change an outcome. */
#define POLICY_GATES(X)                                              \
	X(STANDING, 1, "standing")     /* membership */                  \
	X(EXISTENCE, 2, "existence")   /* tombstone, erasure, restriction, legal hold */ \
	X(CONSENT, 3, "consent")       /* valid, covering, current, unexpired */ \
	X(DELEGATION, 4, "delegation") /* a live, acyclic, in-scope chain */ \
	X(PREFERENCE, 5, "preference") /* for every use of the release */ \
	X(LICENCE, 6, "licence")       /* compatible, attribution complete */ \
	X(PROTECTION, 7, "protection") /* minors, special categories, third parties, embargo, region, time */ \
	X(QUALITY, 8, "quality")       /* PII, duplicates, moderation, kind, charter rules */ \
	X(TOGGLE, 9, "toggle")         /* collective controls */ \
	X(AUDIENCE, 10, "audience")    /* can the audience honour the duties? */ \
	X(SET, 11, "set")              /* rules over the whole set, which only remove */ \
	X(ENGINE, 12, "engine")        /* anything unexpected */

enum policy_gate {
#define X(sym, no, name) POLICY_GATE_##sym = no,
	POLICY_GATES(X)
#undef X
	POLICY_GATE_COUNT = 13
};

/* Who can change what a reason rests on. */
#define POLICY_FIXERS(X)       \
	X(NOBODY, 0, "nobody")     \
	X(MEMBER, 1, "member")     \
	X(DELEGATE, 2, "delegate") \
	X(COOP, 3, "coop")         \
	X(TIME, 4, "time")

enum policy_fixer {
#define X(sym, no, name) POLICY_FIXER_##sym = no,
	POLICY_FIXERS(X)
#undef X
	POLICY_FIXER_COUNT = 5
};

/* ------------------------------------------------------------------------------------------------
 * The registry of reasons. A decision is a set of reasons in one 64-bit word; its outcome is the
 * maximum of their severities, so combining decisions is OR and nothing can depend on order,
 * duplicates or sharding. Bit numbers are stored: append, never renumber.
 *
 *      symbol, bit, severity, gate, fixer, message template, legal or design reference
 * Templates may use {use}, {purpose}, {kind}, {licence}, {until}, {k}, {audience}, {duties}. */
#define POLICY_REASONS(X) \
	X(TOMBSTONED, 0, EXCLUDE, EXISTENCE, NOBODY, "This item was deleted; its tombstone is permanent.", "GDPR Art. 17(1)") \
	X(ERASURE_PENDING, 1, EXCLUDE, EXISTENCE, NOBODY, "Deletion of this item was asked for and is under way.", "GDPR Art. 17(1)") \
	X(RESTRICTED, 2, HOLD, EXISTENCE, COOP, "Processing of this item is restricted until a question about it is settled.", "GDPR Art. 18") \
	X(LEGAL_HOLD, 3, HOLD, EXISTENCE, COOP, "A legal hold keeps this item where it is.", "GDPR Art. 17(3)(e)") \
	X(MEMBERSHIP_LAPSED, 4, HOLD, STANDING, MEMBER, "The contributor is not a current member.", "charter: membership") \
	X(CONSENT_MISSING, 5, HOLD, CONSENT, MEMBER, "The contributor has not given consent.", "GDPR Art. 6(1)(a)") \
	X(CONSENT_EXPIRED, 6, HOLD, CONSENT, MEMBER, "The contributor's consent has expired.", "GDPR Art. 7") \
	X(CONSENT_WITHDRAWN, 7, EXCLUDE, CONSENT, MEMBER, "The contributor has refused or withdrawn consent.", "GDPR Art. 7(3)") \
	X(CONSENT_NOTICE_SUPERSEDED, 8, HOLD, CONSENT, MEMBER, "Consent was given on an older notice that no longer describes this use.", "GDPR Art. 13(3)") \
	X(PURPOSE_NOT_COVERED, 9, HOLD, CONSENT, MEMBER, "Consent does not cover the purpose {purpose}.", "GDPR Art. 5(1)(b)") \
	X(DELEGATION_EXPIRED, 10, HOLD, DELEGATION, MEMBER, "The delegation that would decide has ended.", "governance: delegation 4") \
	X(DELEGATION_REVOKED, 11, HOLD, DELEGATION, MEMBER, "The delegation that would decide was revoked.", "governance: delegation 7") \
	X(DELEGATION_SCOPE, 12, HOLD, DELEGATION, MEMBER, "The contributor's delegations do not reach {use}.", "governance: delegation 2") \
	X(DELEGATION_CYCLE, 13, HOLD, DELEGATION, MEMBER, "The delegations form a circle, so nobody decides.", "governance: delegation 6") \
	X(DELEGATION_DEPTH, 14, HOLD, DELEGATION, MEMBER, "The chain of delegations is longer than the charter allows.", "governance: delegation 5") \
	X(DELEGATION_CAP, 15, HOLD, DELEGATION, MEMBER, "The delegate already decides for as many members as the charter allows.", "governance: delegation 8") \
	X(PREF_DENY, 16, EXCLUDE, PREFERENCE, MEMBER, "The use {use} is denied.", "policy: decision 1") \
	X(PREF_UNKNOWN, 17, HOLD, PREFERENCE, MEMBER, "Nobody entitled to has said whether {use} is allowed.", "policy: decision 3") \
	X(PREF_CONDITION_UNMET, 18, HOLD, PREFERENCE, COOP, "{use} is allowed only on conditions, and this release takes no conditions for it.", "charter: release.uses_conditional") \
	X(LIC_UNKNOWN, 19, HOLD, LICENCE, MEMBER, "The licence of this item is not known.", "policy: licences") \
	X(LIC_INCOMPATIBLE, 20, EXCLUDE, LICENCE, MEMBER, "{licence} does not allow this release's licence.", "licence matrix") \
	X(LIC_WAIVER, 21, HOLD, LICENCE, MEMBER, "{licence} allows this release's licence only with a waiver by the licensor.", "licence matrix") \
	X(LIC_REVIEW, 22, HOLD, LICENCE, COOP, "Whether {licence} allows this release's licence needs a person's judgement.", "licence matrix") \
	X(ATTRIBUTION_MISSING, 23, HOLD, LICENCE, MEMBER, "{licence} asks for credit, and the credit line is incomplete.", "CC-BY-4.0 s.3(a)") \
	X(KIND_NOT_ACCEPTED, 24, EXCLUDE, QUALITY, COOP, "This release does not take contributions of kind {kind}.", "charter: kinds") \
	X(EMBARGO_UNTIL, 25, HOLD, PROTECTION, TIME, "Under embargo until {until}.", "charter: embargo") \
	X(RETENTION_PASSED, 26, EXCLUDE, PROTECTION, NOBODY, "The time for keeping this item has passed.", "GDPR Art. 5(1)(e)") \
	X(REGION, 27, EXCLUDE, PROTECTION, COOP, "This release may not hold items from this region.", "GDPR Ch. V") \
	X(MINOR, 28, HOLD, PROTECTION, COOP, "The contributor or a person in this item may be a minor.", "GDPR Art. 8") \
	X(SPECIAL_CATEGORY, 29, HOLD, PROTECTION, COOP, "This item may hold data of a special category.", "GDPR Art. 9") \
	X(PII_REVIEW, 30, HOLD, QUALITY, COOP, "Personal data was found and has not been reviewed.", "GDPR Art. 25") \
	X(MODERATION_PENDING, 31, HOLD, QUALITY, COOP, "Moderation is not finished.", "charter: moderation") \
	X(MODERATION_REJECTED, 32, EXCLUDE, QUALITY, COOP, "Moderation rejected this item.", "charter: moderation") \
	X(DUPLICATE_OF, 33, EXCLUDE, QUALITY, NOBODY, "The same content is already in the pool.", "release: contributions") \
	X(TOGGLE_FREEZE, 34, HOLD, TOGGLE, COOP, "Labels and corrections are withheld by a vote of the members.", "governance: quality_freeze") \
	X(TOGGLE_EMBARGO, 35, HOLD, TOGGLE, COOP, "New items are under embargo by a vote of the members.", "governance: selective_embargo") \
	X(TOGGLE_SHIFT, 36, EXCLUDE, TOGGLE, COOP, "New items deny {use} by a vote of the members.", "governance: preference_shift") \
	X(TOGGLE_CAP, 37, HOLD, TOGGLE, COOP, "The volume the members agreed to release is reached.", "governance: rate_limit") \
	X(ASSURANCE_UNMET, 38, HOLD, SET, TIME, "Sealed until {k} members have consented.", "governance: assurance") \
	X(K_MIN, 39, HOLD, SET, TIME, "Fewer than {k} contributors would be in the release or in this part of it.", "charter: release.k_contributors") \
	X(AFTER_CUTOFF, 40, HOLD, CONSENT, TIME, "The item or the permission came after the cut-off; the next release counts it.", "governance: release life") \
	X(AUDIENCE_DUTY, 41, HOLD, AUDIENCE, COOP, "The audience {audience} cannot be held to the duties {duties}.", "policy: decision G10") \
	X(ENGINE_ERROR, 42, HOLD, ENGINE, COOP, "The facts about this item contradict the schema; it is held until that is mended.", "policy: decision") \
	X(THIRD_PARTY, 43, HOLD, PROTECTION, COOP, "This item is about a person who has not been asked.", "GDPR Art. 14") \
	X(CHARTER_DENY, 44, EXCLUDE, QUALITY, COOP, "A rule of the charter keeps this item out.", "charter: rules") \
	X(CHARTER_HOLD, 45, HOLD, QUALITY, COOP, "A rule of the charter holds this item for review.", "charter: rules") \
	X(PREF_CONDITIONAL, 46, CONDITIONAL, PREFERENCE, COOP, "{use} is allowed on conditions: {duties}.", "policy: uses") \
	X(PARTNER_DIFFERS, 47, HOLD, SET, TIME, "The two co-ops of a joint release did not come to the same about this item; the next one looks at it again.", "release: joint releases")

enum policy_reason_no {
#define X(sym, bit, severity, gate, fixer, message, reference) POLICY_REASON_NO_##sym = bit,
	POLICY_REASONS(X)
#undef X
	POLICY_REASON_COUNT = 48
};

/* A set of reasons. */
typedef uint64_t policy_reasons;
#define POLICY_REASON(sym) (UINT64_C(1) << POLICY_REASON_NO_##sym)

/* One row of the registry. */
struct policy_reason {
	const char *name;      /* stable symbol, as in exports: "PREF_DENY" */
	const char *message;   /* template for people, British English */
	const char *reference; /* law, charter field or section of the design that it rests on */
	uint8_t severity;      /* enum policy_outcome */
	uint8_t gate;          /* enum policy_gate */
	uint8_t fixer;         /* enum policy_fixer */
};

/* The row of a reason; NULL if there is none of that number. */
const struct policy_reason *policy_reason_get(unsigned no);
/* Number of a reason by its symbol; -1 if unknown. */
int policy_reason_find(const char *name, size_t len);
/* The outcome that a set of reasons amounts to. Bits outside the registry are HOLD. */
enum policy_outcome policy_outcome_of(policy_reasons reasons);

/* Names, for storage and display; NULL for a value out of range. The `find` functions return the
 * value, or -1 for a name that is not in the vocabulary. */
const char *policy_use_name(unsigned use);
const char *policy_duty_name(unsigned duty);
const char *policy_purpose_name(unsigned purpose);
const char *policy_purpose_iri(unsigned purpose);
const char *policy_kind_name(unsigned kind);
const char *policy_audience_name(unsigned audience);
const char *policy_effect_name(unsigned effect);
const char *policy_layer_name(unsigned layer);
const char *policy_standing_name(unsigned standing);
const char *policy_consent_name(unsigned consent);
const char *policy_consent_iri(unsigned consent);
const char *policy_outcome_name(unsigned outcome);
const char *policy_gate_name(unsigned gate);
const char *policy_fixer_name(unsigned fixer);
int policy_use_find(const char *name, size_t len);
int policy_duty_find(const char *name, size_t len);
int policy_purpose_find(const char *name_or_iri, size_t len);
int policy_kind_find(const char *name, size_t len);
int policy_audience_find(const char *name, size_t len);
int policy_effect_find(const char *name, size_t len);
int policy_layer_find(const char *name, size_t len);
int policy_standing_find(const char *name, size_t len);
int policy_consent_find(const char *name_or_iri, size_t len);
int policy_outcome_find(const char *name, size_t len);

/* `uses` with everything that `mine` contains added, if it holds `mine`. */
uint16_t policy_uses_expand(uint16_t uses);
/* Purposes above `purpose`, itself included, as bits; 0 if out of range. */
uint32_t policy_purpose_above(unsigned purpose);
/* Purposes below `purpose`, itself included, as bits; 0 if out of range. */
uint32_t policy_purpose_below(unsigned purpose);
/* Duties that an audience can be held to when the charter says nothing else. */
uint16_t policy_audience_duties(unsigned audience);

#endif
