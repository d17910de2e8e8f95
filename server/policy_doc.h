/* policy_doc.h - a release, its people and their items as one JSON document, for the policy commands. Only server/policy_*.c use it. */
#ifndef COMMONHOLD_POLICY_DOC_H
#define COMMONHOLD_POLICY_DOC_H

#include "commonhold/json.h"
#include "commonhold/policy.h"

/* The document, read. Everything lives in the arena it was read with. */
struct policy_doc {
	struct policy_spec spec;    /* the release */
	struct policy_facts facts;  /* its people */
	size_t n;                   /* items */
	struct str *ids;            /* their identifiers */
	uint64_t *words;            /* packed */
	uint64_t *more;             /* second words */
	uint32_t *members;          /* whose */
	uint8_t (*keys)[16];        /* for the order of a cap: the first bytes of the identifier's SHA-256 */
	struct str *member_ids;     /* identifiers of the members */
};

/* Reads "release", and with `whole` also "members", "statements", "delegations" and "items". What is wrong is a fault at its JSON Pointer. */
CH_CHECK enum err policy_doc_read(struct arena *a, const struct json *root, bool whole, struct policy_doc *out, struct error *e);
/* Memory for the engine from an arena. */
struct policy_mem policy_doc_mem(struct arena *a);

#endif
