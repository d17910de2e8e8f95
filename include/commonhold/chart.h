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
/* The same as parts of a whole, which is what goes across: votes of a roll. */
struct str chart_parts(struct arena *a, const char *title, const struct chart_bar *bars, size_t n, int64_t whole);

/* What flows from the parts of one whole to the parts of another, such as members to those who decide for them. */
struct chart_node {
	struct str label;     /* escaped here */
	int64_t value;        /* not negative; what goes in or comes out */
	const char *class;    /* as of a bar */
};
struct chart_link { size_t from, to; /* places on the left and on the right */ int64_t value; };
/* Two columns of nodes with bands between them, as thick as what flows. */
struct chart_flow {
	const char *title;
	const struct chart_node *left, *right;
	size_t n_left, n_right;
	const struct chart_link *links; /* in the order in which they leave and arrive */
	size_t n_links;
};
struct str chart_flow(struct arena *a, const struct chart_flow *flow);

#endif
