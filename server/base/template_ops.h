/* template_ops.h - a compiled template: a flat list of operations that template_compile.c leaves for template.c to run. Immutable, shared by threads. */
#ifndef COMMONHOLD_TEMPLATE_OPS_H
#define COMMONHOLD_TEMPLATE_OPS_H

#include "commonhold/template.h"

enum op_kind {
	OP_TEXT,     /* literal */
	OP_ESCAPED,  /* {{x}} */
	OP_RAW,      /* {{{x}}} and {{&x}} */
	OP_SECTION,  /* {{#x}} */
	OP_INVERTED, /* {{^x}} */
	OP_END,      /* {{/x}} */
	OP_PARTIAL,  /* {{>x}} */
};

struct op {
	enum op_kind kind;
	bool line;               /* stands at the beginning of a line: a partial's indentation goes before it */
	bool standalone;         /* a partial alone on its line: its lines are indented by `text` */
	struct str text;         /* literal; the name as written; a partial's indentation */
	const struct str *parts; /* the dotted name's parts; none for "." */
	size_t part_count;
	size_t other;            /* a section's end, an end's section */
	const struct template *partial; /* NULL when unknown, which renders nothing */
};

struct template {
	struct str name;
	struct str text;  /* the source, which the operations point into */
	struct op *ops;
	size_t count;     /* operations */
};

struct template_set {
	struct template *templates; /* sorted by name */
	size_t count;
};

const struct template *template_find(const struct template_set *set, struct str name);

#endif
