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
	struct str text;      /* shown instead of the value, such as a state; absent: the value */
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

/* One stage of something that goes through several, in their order. */
struct chart_stage {
	struct str label;     /* escaped here: what the stage is */
	struct str text;      /* escaped here: when it was reached, or by when it will be; may be absent */
	const char *class;    /* include: reached; info: where it is now; neutral: to come; exclude: it ended here */
};
/* Stages side by side where there is room, below each other on a phone. */
struct str chart_stages(struct arena *a, const char *title, const struct chart_stage *stages, size_t n);

/* Bars made of parts, such as the months of a year by kind. */
struct chart_part { const char *name, *class; };
struct chart_stack {
	struct str label;     /* escaped here */
	const int64_t *parts; /* as many as the chart has parts; not negative */
};
struct chart_stacks {
	const char *title;
	const struct chart_part *parts; /* what each bar is made of, in order */
	size_t n_parts;
	const struct chart_stack *rows; /* the bars, from the top */
	size_t n_rows;
};
/* The longest bar goes across. */
struct str chart_stacks(struct arena *a, const struct chart_stacks *stacks);

/* One of several things that descend from each other, such as co-ops and their forks. */
struct chart_branch {
	struct str label;     /* escaped here */
	struct str text;      /* escaped here: a second line; may be absent */
	const char *class;    /* as of a bar */
	unsigned depth;       /* it hangs on the nearest one above that has a smaller depth */
};
/* Below each other, each tied to what it descends from. Long labels are cut short: the table beside has them whole. */
struct str chart_tree(struct arena *a, const char *title, const struct chart_branch *branches, size_t n);

#endif
