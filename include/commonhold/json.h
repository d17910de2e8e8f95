/* json.h - the one JSON binding: strict parsing into an immutable tree, reading, schema checks, writing, and the canonical
 * form (RFC 8785).
 *
 * Parsing is strict RFC 8259: UTF-8 without NUL or lone surrogates, no duplicate members, nothing after the value, at most
 * LIMIT_JSON_DEPTH levels and LIMIT_JSON_NODES values; it never recurses. Numbers keep their text as it came in, so that no
 * digit is lost. The tree lives in the arena and points into the input where it can: keep the input alive.
 *
 * jansson is not used for this: it turns decimals into doubles, sorts keys by bytes and parses at 30 MB/s; contributions must be
 * kept to the digit, canonical to the letter, and taken in faster than the database can store them.
 */
#ifndef COMMONHOLD_JSON_H
#define COMMONHOLD_JSON_H

#include "arena.h"
#include "error.h"
#include "limits.h"
#include "str.h"

enum json_type { JSON_NULL, JSON_FALSE, JSON_TRUE, JSON_NUMBER, JSON_STRING, JSON_ARRAY, JSON_OBJECT };

/* One value. Children of an array or object are linked in document order. */
struct json {
	enum json_type type;
	unsigned count;           /* children */
	struct str key;           /* decoded member name when the parent is an object */
	struct str text;          /* string: decoded text; number: as written */
	const struct json *child; /* first child */
	const struct json *next;  /* next sibling */
	const struct json *parent;/* NULL at the root */
};

/* Parses one document. On failure says ERR_BAD_JSON, ERR_BAD_UTF8 or ERR_TOO_LARGE with line and column. */
CH_CHECK enum err json_parse(struct arena *a, struct str text, const struct json **out, struct error *e);

/* Member of an object; NULL when absent or when `o` is NULL or no object, so that look-ups may be chained. */
const struct json *json_get(const struct json *o, const char *key);
const struct json *json_get_str(const struct json *o, struct str key);
/* By JSON Pointer (RFC 6901), e.g. "/licence/allowed/0"; NULL when there is nothing. */
const struct json *json_at(const struct json *root, const char *pointer);
/* The text of a string, STR_NONE for anything else (including NULL). */
struct str json_text(const struct json *v);
/* An integer in range of the type it is asked for; the default when absent, no integer or out of range. */
int64_t json_int(const struct json *v, int64_t or_else);
bool json_bool(const struct json *v, bool or_else);
static inline bool json_is(const struct json *v, enum json_type t) { return v && v->type == t; }
/* Shorthands for members. */
static inline struct str json_member_text(const struct json *o, const char *key) { return json_text(json_get(o, key)); }
#define json_each(item, container) for (const struct json *item = (container) ? (container)->child : NULL; item; item = item->next)
/* The value after `v` in document order, children before siblings; NULL after the last. */
const struct json *json_next(const struct json *v);
/* The same below `root`, a part of a document: NULL after its last. */
const struct json *json_next_in(const struct json *root, const struct json *v);
/* The JSON Pointer of a value, from its root. */
struct str json_pointer(struct arena *a, const struct json *v);
/* Same value, whatever the order of members; numbers compare by their exact decimal value (1 equals 1.0). */
bool json_equal(const struct json *a, const struct json *b);

/* Canonical form (RFC 8785) of a tree: members sorted by UTF-16 code units, shortest strings, ES6 numbers; except that a number
 * that is not written as an integer within +-2^53 keeps the text that came in, when exact_numbers is set. Without it a number beyond
 * doubles (1e400) has no form: the buffer is then marked failed. */
void json_canonical(struct buf *out, const struct json *v, bool exact_numbers);
/* Whether a text is a document in that form to the byte, with exact numbers: what parsing it and writing it again would say, in one pass and without memory. */
bool json_is_canonical(struct str text);

/* Writing. A writer appends to a buf and puts the commas; strings are escaped; text that is not UTF-8 gets U+FFFD. */
struct json_writer {
	struct buf *out;
	unsigned depth;
	bool comma[LIMIT_JSON_DEPTH + 1]; /* whether the level has a member already */
	bool after_key;
};
void jw_init(struct json_writer *w, struct buf *out);
void jw_object(struct json_writer *w);
void jw_end_object(struct json_writer *w);
void jw_array(struct json_writer *w);
void jw_end_array(struct json_writer *w);
void jw_key(struct json_writer *w, const char *key);
void jw_key_str(struct json_writer *w, struct str key);
/* Absent text is written as null. */
void jw_str(struct json_writer *w, struct str s);
void jw_z(struct json_writer *w, const char *z);
void jw_int(struct json_writer *w, int64_t v);
void jw_bool(struct json_writer *w, bool v);
void jw_null(struct json_writer *w);
/* A value that is JSON already, such as stored canonical bytes. */
void jw_raw(struct json_writer *w, struct str json);
void jw_json(struct json_writer *w, const struct json *v);
/* key and value at once */
void jw_kstr(struct json_writer *w, const char *key, struct str s);
void jw_kz(struct json_writer *w, const char *key, const char *z);
void jw_kint(struct json_writer *w, const char *key, int64_t v);
void jw_kbool(struct json_writer *w, const char *key, bool v);
/* key and the array of the names of the bits that are set, lowest first; `count` bits have names */
void jw_knames(struct json_writer *w, const char *key, uint64_t bits, unsigned count, const char *(*name)(unsigned no));

/* JSON Schema (2020-12), the part that our documents need: type (one or list), enum, const, properties, required,
 * additionalProperties (bool or schema), patternProperties, propertyNames, minProperties, maxProperties, items, prefixItems, minItems, maxItems,
 * uniqueItems, contains, minLength, maxLength (code points), pattern (PCRE2, anchored as written), minimum, maximum, exclusiveMinimum,
 * exclusiveMaximum, multipleOf (integers), format (date-time, date, duration, email, uri, uuid), allOf, anyOf, oneOf, not, if/then/else, $ref and $defs (local,
 * and to other registered schemas by file name), default, description, title, examples, $schema, $id and $comment (no effect). An unknown keyword or a cyclic $ref without progress fails at compile. */
struct json_schema;

/* Compiles; the schema and its memory live as long as the arena. `resolve` finds other schemas by the file part of a $ref ("chat.json"),
 * NULL when there are none. */
CH_CHECK enum err json_schema_compile(struct arena *a, const struct json *document, const struct json_schema *(*resolve)(void *arg, struct str file), void *arg,
	const struct json_schema **out, struct error *e);
/* Adds a fault with its JSON Pointer for everything that is wrong (ERR_INVALID), up to LIMIT_FAULTS. ERR_TOO_LARGE when checking would take too
 * long. `a` is for the faults and scratch. Thread-safe. */
CH_CHECK enum err json_schema_check(struct arena *a, const struct json_schema *s, const struct json *v, struct error *e);

#endif
