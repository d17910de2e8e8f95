/* contribution.h - one submitted contribution, from parsed JSON to what the pool stores: canonical bytes, hash and columns.
 *
 * Pure: no database, no clock. The hash is SHA-256 over the canonical content alone, so that the same content submitted under
 * other circumstances is recognised as a duplicate. What contribution_canonical gives out is checked against schemas/contribution.json; the charter's rules
 * (kinds, licences, registered record schemas) are the pool's affair.
 */
#ifndef COMMONHOLD_CONTRIBUTION_H
#define COMMONHOLD_CONTRIBUTION_H

#include "clock.h"
#include "crypto.h"
#include "id.h"
#include "json.h"
#include "policy_vocab.h"

/* X(name, stored number, word) The numbers are stored: append, never renumber. */
#define CONTRIBUTION_PROMPTED(X) \
	X(UNSTATED, 0, "") X(PROACTIVE, 1, "proactive") X(REACTIVE, 2, "reactive") X(PASSIVE, 3, "passive") X(SCHEDULED, 4, "scheduled") X(TASK, 5, "task")
#define CONTRIBUTION_FRICTION(X) \
	X(UNSTATED, 0, "") X(ZERO, 1, "zero") X(ALMOST_ZERO, 2, "almost_zero") X(LOW, 3, "low") X(MEDIUM, 4, "medium") X(HIGH, 5, "high")
#define CONTRIBUTION_ATTRIBUTION(X) \
	X(UNSTATED, 0, "") X(ANONYMOUS, 1, "anonymous") X(PSEUDONYM, 2, "pseudonym") X(PUBLIC, 3, "public")

enum contribution_prompted {
#define X(sym, no, word) CONTRIBUTION_PROMPTED_##sym = no,
	CONTRIBUTION_PROMPTED(X)
#undef X
};
enum contribution_friction {
#define X(sym, no, word) CONTRIBUTION_FRICTION_##sym = no,
	CONTRIBUTION_FRICTION(X)
#undef X
};
enum contribution_attribution {
#define X(sym, no, word) CONTRIBUTION_ATTRIBUTION_##sym = no,
	CONTRIBUTION_ATTRIBUTION(X)
#undef X
};
/* The words of the numbers above; NULL for a number out of range. */
const char *contribution_prompted_word(unsigned no);
const char *contribution_friction_word(unsigned no);
const char *contribution_attribution_word(unsigned no);
/* "chat" … and back; NULL, or -1 for a word that is no kind. */
const char *contribution_kind_word(unsigned kind);
int contribution_kind_find(struct str word);

/* What contribution.json's "sensitive" may say, as bits. */
enum contribution_sensitive {
	CONTRIBUTION_MINOR = 1 << 0,
	CONTRIBUTION_SPECIAL_CATEGORY = 1 << 1,
	CONTRIBUTION_THIRD_PARTY = 1 << 2,
};

/* What a contribution was made from: "derived_from":[{"rid":…,"copied":BOOL},…]. `copied`: content of the source is in it, so that it goes when the source is erased. */
#define CONTRIBUTION_SOURCES 16
struct derivation { struct str home; /* key name */ struct uuid source; bool copied; };
/* Reads that member, or the whole object that has it, of what a schema has let pass or a partner sent; what is no rid is left out. At most CONTRIBUTION_SOURCES. */
size_t derivation_read(struct arena *a, const struct json *derived_from, struct derivation **out);

/* A contribution ready to be stored. Text is STR_NONE where nothing was said; memory of the call's arena. */
struct contribution_draft {
	enum policy_kind kind;                      /* which schema the content has */
	struct str content;                         /* canonical bytes: what is stored, hashed and released */
	struct sha256 hash;                         /* SHA-256 of them */
	struct str circumstances;                   /* canonical object with every other member as it was sent, kind left out; "{}" at least */
	struct str lang;                            /* BCP 47, as sent */
	struct str licence;                         /* SPDX id, as sent */
	struct str ai_preferences;                  /* word for word */
	struct str application;                     /* where it came about */
	struct str provider;                        /* name of the model's provider */
	struct str provider_terms;                  /* link to its terms */
	struct str model;                           /* name of the model */
	struct str source_system;                   /* imported from, e.g. "openassistant" */
	struct derivation *derived;                 /* what it was made from */
	size_t n_derived;
	struct str record_schema;                   /* for records: the registered schema's name */
	const struct json *record_data;             /* for records: what that schema must accept */
	enum contribution_prompted prompted;        /* what brought it about */
	enum contribution_friction friction;        /* what it cost */
	enum contribution_attribution attribution;  /* how the contributor wants to be named for it */
	unsigned sensitive;                         /* bits of enum contribution_sensitive */
	instant created;                            /* as told; INSTANT_NONE when not */
	size_t text_bytes;                          /* length of all strings in the content: the column of length-based rules */
};

/* The compiled schemas of schemas/, by file name. Once per process; thread-safe afterwards. */
struct contribution_schemas;
CH_CHECK enum err contribution_schemas_load(struct arena *a, const struct contribution_schemas **out, struct error *e);
/* "chat.json"; NULL when there is none. */
const struct json_schema *contribution_schema(const struct contribution_schemas *s, struct str file);

/* Checks a submission against contribution.json and its kind's schema (faults with pointers in e), then derives everything. */
CH_CHECK enum err contribution_canonical(struct arena *a, const struct contribution_schemas *s, const struct json *submitted, struct contribution_draft *out,
	struct error *e);
/* The same without content, hash and circumstances, for who has the content's canonical bytes already. */
CH_CHECK enum err contribution_columns(struct arena *a, const struct contribution_schemas *s, const struct json *submitted, struct contribution_draft *out, struct error *e);

#endif
