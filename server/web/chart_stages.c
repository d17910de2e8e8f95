/* Charts of how far something is, and of what bars are made of. */
#include "commonhold/chart.h"

#include "commonhold/words.h"

static struct str taken(struct arena *a, struct buf *b)
{
	struct str out = b->failed ? STR("") : str_copy(a, buf_str(b));
	buf_release(b);
	return out;
}

/* ---- Stages ---- */

#define DOT 9         /* half of a stage's mark */
#define LYING 84      /* height of stages side by side */
#define STANDING 56   /* height of one of those below each other */

static void stages_said(struct buf *b, const char *title, const struct chart_stage *stages, size_t n)
{
	buf_add_html(b, str_of(title));
	for (size_t i = 0; i < n; i++) {
		buf_add_z(b, i ? "; " : ": ");
		buf_add_html(b, stages[i].label);
		if (stages[i].text.n) {
			buf_add_z(b, ", ");
			buf_add_html(b, stages[i].text);
		}
	}
}

static bool is_reached(const struct chart_stage *s)
{
	return str_is(str_of(s->class), "include");
}

/* A full mark is reached, a ring is where it stands, an empty one is to come: colour alone says nothing. */
static void stage_mark(struct buf *b, const struct chart_stage *s, const char *x, double y)
{
	const char *form = is_reached(s) ? "bar" : "ring";
	buf_addf(b, "<circle class=\"%s %s\" cx=\"%s\" cy=\"%.0f\" r=\"%d\"/>", form, s->class, x, y, DOT);
	if (str_is(str_of(s->class), "info"))
		buf_addf(b, "<circle class=\"bar info\" cx=\"%s\" cy=\"%.0f\" r=\"4\"/>", x, y);
	if (str_is(str_of(s->class), "exclude"))
		buf_addf(b, "<text class=\"label\" x=\"%s\" y=\"%.0f\" text-anchor=\"middle\">×</text>", x, y + 5);
}

static void stage_text(struct buf *b, const struct chart_stage *s, const char *x, double y, const char *anchor)
{
	buf_addf(b, "<text class=\"value\" x=\"%s\" y=\"%.0f\"%s>", x, y, anchor);
	buf_add_html(b, s->label);
	buf_addf(b, "</text><text class=\"label\" x=\"%s\" y=\"%.0f\"%s>", x, y + 20, anchor);
	buf_add_html(b, s->text);
	buf_add_z(b, "</text>");
}

static void stages_lying(struct buf *b, struct arena *a, const char *title, const struct chart_stage *stages, size_t n)
{
	buf_addf(b, "<svg class=\"chart lying\" width=\"100%%\" height=\"%d\" role=\"img\" aria-label=\"", LYING);
	stages_said(b, title, stages, n);
	buf_add_z(b, "\">");
	for (size_t i = 1; i < n; i++)
		buf_addf(b, "<line class=\"%s\" x1=\"%.2f%%\" x2=\"%.2f%%\" y1=\"14\" y2=\"14\"/>", is_reached(&stages[i]) ? "way" : "gridline way-on", ((double)i - 0.5) * 100 / (double)n,
			((double)i + 0.5) * 100 / (double)n);
	for (size_t i = 0; i < n; i++) {
		const char *x = str_fmt(a, "%.2f%%", ((double)i + 0.5) * 100 / (double)n).p;
		stage_mark(b, &stages[i], x, 14);
		stage_text(b, &stages[i], x, 46, " text-anchor=\"middle\"");
	}
	buf_add_z(b, "</svg>");
}

static void stages_standing(struct buf *b, const char *title, const struct chart_stage *stages, size_t n)
{
	buf_addf(b, "<svg class=\"chart standing\" width=\"100%%\" height=\"%zu\" role=\"img\" aria-label=\"", n * STANDING);
	stages_said(b, title, stages, n);
	buf_add_z(b, "\">");
	for (size_t i = 1; i < n; i++)
		buf_addf(b, "<line class=\"%s\" x1=\"12\" x2=\"12\" y1=\"%zu\" y2=\"%zu\"/>", is_reached(&stages[i]) ? "way" : "gridline way-on", (i - 1) * STANDING + 14, i * STANDING + 14);
	for (size_t i = 0; i < n; i++) {
		stage_mark(b, &stages[i], "12", (double)(i * STANDING + 14));
		stage_text(b, &stages[i], "36", (double)(i * STANDING + 19), "");
	}
	buf_add_z(b, "</svg>");
}

struct str chart_stages(struct arena *a, const char *title, const struct chart_stage *stages, size_t n)
{
	struct buf b;
	buf_init(&b, 256 * KIB);
	stages_lying(&b, a, title, stages, n);
	stages_standing(&b, title, stages, n);
	return taken(a, &b);
}

/* ---- Stacks ---- */

#define ROW 50 /* height of one bar with its label above */
#define BAR 20 /* height of the bar itself */

static int64_t stack_sum(const struct chart_stacks *s, size_t row)
{
	int64_t sum = 0;
	for (size_t i = 0; i < s->n_parts; i++)
		sum += s->rows[row].parts[i];
	return sum;
}

static void stacks_said(struct buf *b, const struct chart_stacks *s)
{
	buf_add_html(b, str_of(s->title));
	for (size_t i = 0; i < s->n_rows; i++) {
		buf_add_z(b, i ? "; " : ": ");
		buf_add_html(b, s->rows[i].label);
		for (size_t k = 0; k < s->n_parts; k++)
			if (s->rows[i].parts[k] > 0)
				buf_addf(b, ", %s %lld", s->parts[k].name, (long long)s->rows[i].parts[k]);
	}
}

static void stack_row(struct buf *b, struct arena *a, const struct chart_stacks *s, size_t row, int64_t most)
{
	size_t y = row * ROW;
	double at = 0;
	buf_addf(b, "<text class=\"label\" x=\"0\" y=\"%zu\">", y + 16);
	buf_add_html(b, s->rows[row].label);
	buf_addf(b, "</text><text class=\"value\" x=\"100%%\" y=\"%zu\" text-anchor=\"end\">%.*s</text>", y + 16, STR_ARG(words_count(a, stack_sum(s, row))));
	buf_addf(b, "<rect class=\"track\" x=\"0\" y=\"%zu\" width=\"100%%\" height=\"%d\" rx=\"3\"/>", y + 22, BAR);
	for (size_t i = 0; i < s->n_parts; i++) {
		double share = (double)s->rows[row].parts[i] * 100 / (double)most;
		if (share <= 0)
			continue;
		buf_addf(b, "<rect class=\"bar %s\" x=\"%.2f%%\" y=\"%zu\" width=\"%.2f%%\" height=\"%d\"/>", s->parts[i].class, at, y + 22, share, BAR);
		at += share;
	}
}

struct str chart_stacks(struct arena *a, const struct chart_stacks *s)
{
	struct buf b;
	int64_t most = 1;
	for (size_t i = 0; i < s->n_rows; i++)
		if (stack_sum(s, i) > most)
			most = stack_sum(s, i);
	buf_init(&b, 256 * KIB);
	buf_addf(&b, "<svg class=\"chart\" width=\"100%%\" height=\"%zu\" role=\"img\" aria-label=\"", s->n_rows * ROW);
	stacks_said(&b, s);
	buf_add_z(&b, "\">");
	for (size_t i = 0; i < s->n_rows; i++)
		stack_row(&b, a, s, i, most);
	buf_add_z(&b, "</svg>");
	return taken(a, &b);
}
