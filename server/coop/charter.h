/* charter.h - what the files that read charters share. Of server/coop only. */
#ifndef COMMONHOLD_COOP_CHARTER_H
#define COMMONHOLD_COOP_CHARTER_H

#include "commonhold/coop.h"

/* schemas/charter.json, parsed and compiled once; NULL when the program was built without it or it does not compile, which `e` then tells. */
struct charter_schema {
	const struct json *document;          /* for its defaults */
	const struct json_schema *compiled;   /* for checking */
};
const struct charter_schema *charter_schema(struct error *e);

/* The draft with every default of the schema written out. */
CH_CHECK enum err charter_fill(struct arena *a, const struct json *schema, const struct json *draft, const struct json **out, struct error *e);
/* A fault for every pair of fields that contradict each other. */
void charter_contradictions(struct arena *a, const struct charter *charter, struct error *e);
/* Compiles the predicates under "rules" into out->rules and out->nodes. */
void charter_compile_rules(struct arena *a, const struct json *rules, struct charter *out, struct error *e);

/* A rule as the charter has it, or as charters from before there was the field mean it; NULL where there is none. */
const struct json *charter_rule_json(struct arena *a, const struct charter *charter, const char *field);

/* Whether charter_compare knows this field. */
bool charter_field_is_compared(struct str pointer);

/* Length of a duration counted from 1 January 2026, for comparing. */
int64_t duration_length(struct duration d);
/* "1 year, 2 months"; "no time" for none. */
struct str duration_words(struct arena *a, struct duration d);
/* Who an audience is: "people whom an admin admits". */
const char *audience_words(unsigned audience);

#endif
