#include "commonhold/chart.h"

#include "commonhold/words.h"

#define ROW 50   /* height of one bar with its label above */
#define BAR 20   /* height of the bar itself */

static struct str bar_text(struct arena *a, const struct chart_bar *bar)
{
	return bar->text.p ? bar->text : words_count(a, bar->value);
}

struct str chart_bars(struct arena *a, const char *title, const struct chart_bar *bars, size_t n)
{
	int64_t most = 1;
	for (size_t i = 0; i < n; i++)
		if (bars[i].value > most)
			most = bars[i].value;
	return chart_parts(a, title, bars, n, most);
}

/* No viewBox: letters keep their size on a phone and bars take shares of the width there is. */
struct str chart_parts(struct arena *a, const char *title, const struct chart_bar *bars, size_t n, int64_t whole)
{
	struct buf b;
	int64_t most = whole > 0 ? whole : 1;
	buf_init(&b, 256 * KIB);
	buf_addf(&b, "<svg class=\"chart\" width=\"100%%\" height=\"%zu\" role=\"img\" aria-label=\"", n * ROW);
	buf_add_html(&b, str_of(title));
	for (size_t i = 0; i < n; i++) {
		buf_add_z(&b, i ? ", " : ": ");
		buf_add_html(&b, bars[i].label);
		if (bars[i].text.p) {
			buf_add_z(&b, " ");
			buf_add_html(&b, bars[i].text);
		} else {
			buf_addf(&b, " %lld", (long long)bars[i].value);
		}
	}
	buf_add_z(&b, "\">");
	for (size_t i = 0; i < n; i++) {
		size_t y = i * ROW;
		double share = (double)bars[i].value * 100 / (double)most;
		if (share < 0.5 && bars[i].value > 0)
			share = 0.5;
		buf_addf(&b, "<text class=\"label\" x=\"0\" y=\"%zu\">", y + 16);
		buf_add_html(&b, bars[i].label);
		buf_addf(&b, "</text><text class=\"value\" x=\"100%%\" y=\"%zu\" text-anchor=\"end\">", y + 16);
		buf_add_html(&b, bar_text(a, &bars[i]));
		buf_add_z(&b, "</text>");
		buf_addf(&b, "<rect class=\"track\" x=\"0\" y=\"%zu\" width=\"100%%\" height=\"%d\" rx=\"3\"/>", y + 22, BAR);
		buf_addf(&b, "<rect class=\"bar %s\" x=\"0\" y=\"%zu\" width=\"%.2f%%\" height=\"%d\" rx=\"3\"/>", bars[i].class, y + 22, share, BAR);
	}
	buf_add_z(&b, "</svg>");
	struct str out = b.failed ? STR("") : str_copy(a, buf_str(&b));
	buf_release(&b);
	return out;
}

/* ---- Flows ---- */

#define FLOW_HEIGHT 260  /* of the taller column, without what small nodes add */
#define FLOW_NODE 26     /* least height of a node: its label must fit */
#define FLOW_GAP 10      /* between nodes */
#define FLOW_LEFT 1.5    /* where bands begin and end, in hundredths of the width */
#define FLOW_RIGHT 98.5

/* Where a node stands, and how much of each side of it is taken by bands already. */
struct flow_place { double y, height, taken; };

static double flow_column(const struct chart_node *nodes, size_t n, double scale, struct flow_place *out)
{
	double y = 0;
	for (size_t i = 0; i < n; i++) {
		double height = (double)nodes[i].value * scale;
		out[i] = (struct flow_place){ .y = y, .height = height < FLOW_NODE ? FLOW_NODE : height };
		y += out[i].height + FLOW_GAP;
	}
	return y > FLOW_GAP ? y - FLOW_GAP : 0;
}

static int64_t flow_sum(const struct chart_node *nodes, size_t n)
{
	int64_t sum = 0;
	for (size_t i = 0; i < n; i++)
		sum += nodes[i].value;
	return sum;
}

/* The next piece of a node's side: from *y0 to *y1. */
static void flow_take(struct flow_place *place, const struct chart_node *node, int64_t value, double *y0, double *y1)
{
	double part = node->value > 0 ? (double)value / (double)node->value * place->height : 0;
	*y0 = place->y + place->taken;
	place->taken += part;
	*y1 = place->y + place->taken;
}

static void flow_bands(struct buf *b, const struct chart_flow *flow, struct flow_place *left, struct flow_place *right)
{
	for (size_t i = 0; i < flow->n_links; i++) {
		const struct chart_link *k = &flow->links[i];
		double a0, a1, b0, b1;
		if (k->value <= 0 || k->from >= flow->n_left || k->to >= flow->n_right)
			continue;
		flow_take(&left[k->from], &flow->left[k->from], k->value, &a0, &a1);
		flow_take(&right[k->to], &flow->right[k->to], k->value, &b0, &b1);
		buf_addf(b, "<path class=\"band %s\" d=\"M%.1f,%.1f C50,%.1f 50,%.1f %.1f,%.1f L%.1f,%.1f C50,%.1f 50,%.1f %.1f,%.1f Z\"/>", flow->right[k->to].class, FLOW_LEFT, a0, a0, b0,
			FLOW_RIGHT, b0, FLOW_RIGHT, b1, b1, a1, FLOW_LEFT, a1);
	}
}

static void flow_nodes(struct buf *b, struct arena *a, const struct chart_node *nodes, const struct flow_place *places, size_t n, bool on_right)
{
	for (size_t i = 0; i < n; i++) {
		struct str value = nodes[i].text.p ? nodes[i].text : words_count(a, nodes[i].value);
		buf_addf(b, "<rect class=\"bar %s\" x=\"%s\" y=\"%.1f\" width=\"1.5%%\" height=\"%.1f\" rx=\"2\"/>", nodes[i].class, on_right ? "98.5%" : "0", places[i].y, places[i].height);
		buf_addf(b, "<text class=\"label\" x=\"%s\" y=\"%.1f\"%s>", on_right ? "97%" : "3%", places[i].y + places[i].height / 2 + 5, on_right ? " text-anchor=\"end\"" : "");
		buf_add_html(b, nodes[i].label);
		buf_add_z(b, " <tspan class=\"value\">");
		buf_add_html(b, value);
		buf_add_z(b, "</tspan></text>");
	}
}

/* Bands are stretched to the width there is, in a drawing of their own; letters are not. */
struct str chart_flow(struct arena *a, const struct chart_flow *flow)
{
	struct buf b;
	struct flow_place *left = ARENA_ARRAY(a, flow->n_left + 1, struct flow_place), *right = ARENA_ARRAY(a, flow->n_right + 1, struct flow_place);
	int64_t sums[2] = { flow_sum(flow->left, flow->n_left), flow_sum(flow->right, flow->n_right) }, most = sums[0] > sums[1] ? sums[0] : sums[1];
	double scale = (double)FLOW_HEIGHT / (double)(most > 0 ? most : 1);
	double heights[2] = { flow_column(flow->left, flow->n_left, scale, left), flow_column(flow->right, flow->n_right, scale, right) };
	double height = heights[0] > heights[1] ? heights[0] : heights[1];
	buf_init(&b, 256 * KIB);
	buf_addf(&b, "<svg class=\"chart flow\" width=\"100%%\" height=\"%.0f\" role=\"img\" aria-label=\"", height);
	buf_add_html(&b, str_of(flow->title));
	for (size_t i = 0; i < flow->n_right; i++) {
		buf_add_z(&b, i ? ", " : ": ");
		buf_add_html(&b, flow->right[i].label);
		buf_add_z(&b, " ");
		if (flow->right[i].text.p)
			buf_add_html(&b, flow->right[i].text);
		else
			buf_add_i64(&b, flow->right[i].value);
	}
	buf_addf(&b, "\"><svg width=\"100%%\" height=\"%.0f\" viewBox=\"0 0 100 %.0f\" preserveAspectRatio=\"none\">", height, height);
	flow_bands(&b, flow, left, right);
	buf_add_z(&b, "</svg>");
	flow_nodes(&b, a, flow->left, left, flow->n_left, false);
	flow_nodes(&b, a, flow->right, right, flow->n_right, true);
	buf_add_z(&b, "</svg>");
	struct str out = b.failed ? STR("") : str_copy(a, buf_str(&b));
	buf_release(&b);
	return out;
}

/* ---- What descends from what ---- */

#define TREE_ROW 56     /* height of one thing with its two lines */
#define TREE_STEP 22    /* how far a descendant stands in */
#define TREE_DEEP 6     /* deeper ones stand below each other, so that a phone still has room */
#define TREE_LABEL 34   /* characters of a line that a phone has room for */

static void tree_line(struct buf *b, const char *class, unsigned x, size_t y, struct str text)
{
	size_t end = 0;
	for (size_t shown = 0; end < text.n && shown < TREE_LABEL; shown++)
		do
			end++;
		while (end < text.n && ((unsigned char)text.p[end] & 0xc0) == 0x80);
	buf_addf(b, "<text class=\"%s\" x=\"%u\" y=\"%zu\">", class, x, y);
	buf_add_html(b, (struct str){ .p = text.p, .n = end });
	buf_add_z(b, end < text.n ? "…</text>" : "</text>");
}

static unsigned tree_at(const struct chart_branch *branch)
{
	return (branch->depth < TREE_DEEP ? branch->depth : TREE_DEEP) * TREE_STEP + 9;
}

/* From the mark of what the branch hangs on down, and across to its own. */
static void tree_tie(struct buf *b, const struct chart_branch *branches, size_t i)
{
	size_t from = i;
	while (from-- > 0) {
		if (branches[from].depth < branches[i].depth) {
			unsigned x = tree_at(&branches[from]);
			buf_addf(b, "<path class=\"axis\" d=\"M%u,%zu V%zu H%u\"/>", x, from * TREE_ROW + 18, i * TREE_ROW + 18, tree_at(&branches[i]));
			return;
		}
	}
}

struct str chart_tree(struct arena *a, const char *title, const struct chart_branch *branches, size_t n)
{
	struct buf b;
	buf_init(&b, 256 * KIB);
	buf_addf(&b, "<svg class=\"chart\" width=\"100%%\" height=\"%zu\" role=\"img\" aria-label=\"", n * TREE_ROW);
	buf_add_html(&b, str_of(title));
	for (size_t i = 0; i < n; i++) {
		buf_add_z(&b, i ? "; " : ": ");
		buf_add_html(&b, branches[i].label);
		buf_add_z(&b, branches[i].text.n ? ", " : "");
		buf_add_html(&b, branches[i].text);
	}
	buf_add_z(&b, "\">");
	for (size_t i = 0; i < n; i++)
		tree_tie(&b, branches, i);
	for (size_t i = 0; i < n; i++) {
		unsigned x = tree_at(&branches[i]);
		buf_addf(&b, "<circle class=\"bar %s\" cx=\"%u\" cy=\"%zu\" r=\"8\"/>", branches[i].class, x, i * TREE_ROW + 18);
		tree_line(&b, "value", x + 18, i * TREE_ROW + 22, branches[i].label);
		if (branches[i].text.n)
			tree_line(&b, "label", x + 18, i * TREE_ROW + 42, branches[i].text);
	}
	buf_add_z(&b, "</svg>");
	struct str out = b.failed ? STR("") : str_copy(a, buf_str(&b));
	buf_release(&b);
	return out;
}
