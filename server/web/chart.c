#include "commonhold/chart.h"

#define ROW 34       /* height of one bar with its label */
#define WIDTH 640
#define LABEL 230    /* where bars begin */

struct str chart_bars(struct arena *a, const char *title, const struct chart_bar *bars, size_t n)
{
	struct buf b;
	int64_t most = 1;
	for (size_t i = 0; i < n; i++)
		if (bars[i].value > most)
			most = bars[i].value;
	buf_init(&b, 256 * KIB);
	buf_addf(&b, "<svg class=\"chart\" viewBox=\"0 0 %d %zu\" role=\"img\" aria-label=\"", WIDTH, n * ROW + 8);
	buf_add_html(&b, str_of(title));
	buf_add_z(&b, "\">");
	for (size_t i = 0; i < n; i++) {
		size_t y = i * ROW + 8;
		int64_t width = bars[i].value * (WIDTH - LABEL - 90) / most;
		if (width < 2 && bars[i].value > 0)
			width = 2;
		buf_addf(&b, "<text class=\"label\" x=\"%d\" y=\"%zu\" text-anchor=\"end\">", LABEL - 12, y + 16);
		buf_add_html(&b, bars[i].label);
		buf_addf(&b, "</text><rect class=\"bar %s\" x=\"%d\" y=\"%zu\" width=\"%lld\" height=\"22\" rx=\"3\"/>", bars[i].class, LABEL, y, (long long)width);
		buf_addf(&b, "<text class=\"value\" x=\"%lld\" y=\"%zu\">%lld</text>", (long long)(LABEL + width + 8), y + 16, (long long)bars[i].value);
	}
	buf_add_z(&b, "</svg>");
	struct str out = b.failed ? STR("") : str_copy(a, buf_str(&b));
	buf_release(&b);
	return out;
}
