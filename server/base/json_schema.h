/* json_schema.h - a compiled JSON Schema: what the compiler (json_schema.c) leaves for the checker (json_schema_check.c).
 *
 * Immutable once compiled, so that threads may share it.
 */
#ifndef COMMONHOLD_JSON_SCHEMA_H
#define COMMONHOLD_JSON_SCHEMA_H

#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>

#include "commonhold/json.h"
#include "server/base/json_number.h"

enum rule_kind {
	/* Tests of the value itself. */
	RULE_NEVER,
	RULE_TYPE,
	RULE_ENUM,
	RULE_CONST,
	RULE_MIN_LENGTH,
	RULE_MAX_LENGTH,
	RULE_PATTERN,
	RULE_FORMAT,
	RULE_MINIMUM,
	RULE_MAXIMUM,
	RULE_ABOVE,
	RULE_BELOW,
	RULE_MULTIPLE_OF,
	RULE_MIN_ITEMS,
	RULE_MAX_ITEMS,
	RULE_UNIQUE,
	RULE_MIN_PROPERTIES,
	RULE_MAX_PROPERTIES,
	RULE_REQUIRED,
	/* Rules that apply other schemas, to the value or to what is in it. */
	RULE_ALL_OF, /* also $ref */
	RULE_ANY_OF,
	RULE_ONE_OF,
	RULE_NOT,
	RULE_IF,     /* schemas: if, then, else; the last two may be NULL */
	RULE_ITEMS,  /* schemas: prefixItems, then items, which may be NULL */
	RULE_CONTAINS,
	RULE_NAMES,
	RULE_MEMBERS,
};

/* A bit for each type, and one for numbers that are written as integers. */
#define TYPE_BIT(t) (1u << (t))
#define TYPE_INTEGER (1u << 7)
#define TYPE_ANY 0xffu

/* One entry of "properties" or "patternProperties". */
struct property {
	struct str name;                  /* as written */
	pcre2_code *pattern;              /* for patternProperties */
	struct json_schema *schema;
};

struct format {
	const char *name;          /* value of "format" */
	bool (*holds)(struct str); /* whether a text has it */
	const char *message;       /* said when it has not */
};

struct rule {
	enum rule_kind kind;
	unsigned types;                /* RULE_TYPE */
	int64_t count;                 /* counts and lengths; multipleOf */
	struct decimal bound;          /* bounds of numbers */
	const struct json *value;      /* enum, const, required, and the bound's own text */
	struct str text;               /* the pattern's text */
	pcre2_code *pattern;
	const struct format *format;
	struct json_schema **schemas; /* what to apply */
	size_t schema_count;
	struct property *properties;   /* RULE_MEMBERS, sorted by name */
	size_t property_count;
	struct property *patterns;     /* RULE_MEMBERS */
	size_t pattern_count;
	struct json_schema *rest;      /* RULE_MEMBERS: additionalProperties, or NULL */
	struct rule *next;
};

struct schema_set; /* all schemas of one document; the compiler's */

struct json_schema {
	const struct json *at;       /* its place in the document */
	struct schema_set *set;      /* where it belongs */
	struct json_schema *next;    /* in the set, in order of discovery */
	struct rule *rules;          /* in order of checking */
	unsigned types;              /* types it may accept, as far as its own "type" tells */
	size_t waiting;              /* the compiler's count of schemas that apply this one in place */
};

extern const struct format schema_formats[];
extern const size_t schema_format_count;

#endif
