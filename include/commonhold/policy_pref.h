/*
 * policy_pref.h - AI preference strings of the world outside, read and written.
 *
 * AIPREF (labels by draft revision), CC signals, RSL, TDMRep, robots.txt `Content-Usage`. Labels
 * drifted between drafts, so a label means nothing without its revision. Translation into a statement
 * may produce a denial or nothing, never a permission: an outsider's `y` is not a member's consent.
 * Every reader takes arbitrary bytes.
 */
#ifndef COMMONHOLD_POLICY_PREF_H
#define COMMONHOLD_POLICY_PREF_H

#include "commonhold/policy.h"

/* The dialects. Numbers are stored. */
#define POLICY_DIALECTS(X)                                \
	X(AIPREF_02, 0, "aipref-vocab-02")                    \
	X(AIPREF_03, 1, "aipref-vocab-03")                    \
	X(AIPREF_04, 2, "aipref-vocab-04")                    \
	X(AIPREF_05, 3, "aipref-vocab-05")                    \
	X(AIPREF_06, 4, "aipref-vocab-06")                    \
	X(AIPREF_07, 5, "aipref-vocab-07")                    \
	X(CC_SIGNALS_01, 6, "cc-signals-0.1")                 \
	X(RSL_10, 7, "rsl-1.0")                               \
	X(TDMREP, 8, "tdmrep")

enum policy_dialect {
#define X(sym, no, name) POLICY_DIALECT_##sym = no,
	POLICY_DIALECTS(X)
#undef X
	POLICY_DIALECT_COUNT = 9
};
const char *policy_dialect_name(unsigned dialect);
int policy_dialect_find(const char *name, size_t len);

/* What a string says, per use. A use in neither set is unknown. */
struct policy_pref {
	uint16_t allow;              /* uses it allows, as bits; informative only */
	uint16_t deny;               /* uses it denies */
	uint16_t allow_if;           /* uses denied to strangers but allowed on `duties` (CC signals) */
	uint16_t duties;             /* the conditions */
	uint8_t dialect;             /* enum policy_dialect it was read as */
	bool parsed;                 /* false: it does not parse, and everything is unknown */
	struct policy_text verbatim; /* the string itself, the caller's bytes */
};

/* Read a preference string of any dialect. Never fails: what cannot be understood is unknown. */
void policy_pref_read(unsigned dialect, const char *text, size_t len, struct policy_pref *out);
/* Combine two: any denial stands; else any permission; else unknown. Conditions unite. */
void policy_pref_combine(struct policy_pref *into, const struct policy_pref *other);
/* As a statement of a subject about `item` or everything (POLICY_NO_ITEM): DENY for what is denied, with
 * the flag EXTERNAL and the verbatim text. False, and an untouched `out`, if it denies nothing. */
bool policy_pref_statement(const struct policy_pref *pref, uint32_t subject, uint32_t item,
                           policy_instant declared_at, struct policy_statement *out);
/* Write what a member's effects (enum policy_effect by use) look like in a dialect; conditional is written
 * as a plain denial except in CC signals. Returns the length it needs, like snprintf; 0 if the dialect
 * has nothing to say. */
size_t policy_pref_write(unsigned dialect, const uint8_t effect[POLICY_USE_COUNT], uint16_t duties, char *out,
                         size_t size);

/* robots.txt: the combined preference for `path` by its `Content-Usage` rules (longest byte prefix; rules
 * of equal path combine; only crawlable paths), for the group of `agent`. */
void policy_pref_robots(const char *text, size_t len, const char *agent, const char *path, unsigned dialect,
                        struct policy_pref *out);

/* RFC 9651 dictionaries, as far as preferences need them, in full syntax. */
enum policy_sf_type {
	POLICY_SF_BOOLEAN, POLICY_SF_INTEGER, POLICY_SF_DECIMAL, POLICY_SF_STRING, POLICY_SF_TOKEN,
	POLICY_SF_BYTES, POLICY_SF_DATE, POLICY_SF_DISPLAY, POLICY_SF_LIST,
};
/* One parameter of a member. */
struct policy_sf_param {
	struct policy_text key;   /* its key */
	uint8_t type;             /* enum policy_sf_type */
	struct policy_text value; /* its value as written (strings without their quotes, escapes kept) */
};
/* One member of a dictionary, as read; `key` and `value` point into the text. */
struct policy_sf_member {
	struct policy_text key;   /* its key */
	uint8_t type;             /* enum policy_sf_type */
	struct policy_text value; /* the bare item as written, or the inner list; empty for a bare key */
	struct policy_text params;/* the parameters as written, semicolons included */
};
/* Call `each` for every member in order (also for duplicates: the last counts). False if the text is not a
 * dictionary; `each` may have been called by then, so decide only after the return. */
bool policy_sf_dictionary(const char *text, size_t len,
                          void (*each)(void *ctx, const struct policy_sf_member *member), void *ctx);
/* The same for the parameters of a member. */
bool policy_sf_params(const char *text, size_t len, void (*each)(void *ctx, const struct policy_sf_param *param),
                      void *ctx);

#endif
