/* template.h - mustache templates (the public specification: interpolation, sections, inverted sections, partials, comments, set delimiters), compiled at
 * start, rendered against a JSON tree.
 *
 * {{x}} always escapes & < > " '. {{{x}}} and {{&x}} are for html that our own code made (charts, cmark's output). Lambdas are not supported.
 * In a strict set (the product's own) an unknown partial fails at load. Absent, null, false, "" and [] are false; everything else, 0 too, is true.
 * An object or a list has no text of its own.
 */
#ifndef COMMONHOLD_TEMPLATE_H
#define COMMONHOLD_TEMPLATE_H

#include "arena.h"
#include "error.h"
#include "json.h"

struct template_set;

/* Compiles all given texts under their names ("page/home", "partial/nav"). Memory from the arena. */
struct template_source { struct str name, text; };
CH_CHECK enum err template_compile(struct arena *a, const struct template_source *sources, size_t n, bool strict, struct template_set **out, struct error *e);
/* Renders; recursion of partials is bounded (ERR_INTERNAL beyond). */
CH_CHECK enum err template_render(const struct template_set *set, struct arena *scratch, const char *name, const struct json *data, struct buf *out, struct error *e);
bool template_exists(const struct template_set *set, const char *name);

#endif
