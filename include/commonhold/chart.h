/* chart.h - charts as SVG text for {{{html}}} places of templates: drawn on the server, coloured by the style sheet's classes, with the numbers beside. A table of the same
 * numbers stands next to every chart on its page. */
#ifndef COMMONHOLD_CHART_H
#define COMMONHOLD_CHART_H

#include "arena.h"
#include "limits.h"
#include "str.h"

struct chart_bar {
	struct str label;     /* escaped here */
	int64_t value;        /* not negative */
	const char *class;    /* include, hold, conditional, exclude, neutral, info, s1 … s6 */
	struct str text;      /* shown instead of the value, such as an amount of money; absent: the value */
};
/* Horizontal bars, longest value across. */
struct str chart_bars(struct arena *a, const char *title, const struct chart_bar *bars, size_t n);

#endif
