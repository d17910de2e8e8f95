#include "commonhold/chart.h"

#include "commonhold/words.h"

#define ROW 50   /* height of one bar with its label above */
#define BAR 20   /* height of the bar itself */

static struct str bar_text(struct arena *a, const struct chart_bar *bar)
{
	return bar->text.p ? bar->text : words_count(a, bar->value);
}

/* No viewBox: letters keep their size on a phone and bars take shares of the width there is. */
struct str chart_bars(struct arena *a, const char *title, const struct chart_bar *bars, size_t n)
{
	struct buf b;
	int64_t most = 1;
	for (size_t i = 0; i < n; i++)
		if (bars[i].value > most)
			most = bars[i].value;
	buf_init(&b, 256 * KIB);
	buf_addf(&b, "<svg class=\"chart\" width=\"100%%\" height=\"%zu\" role=\"img\" aria-label=\"", n * ROW);
	buf_add_html(&b, str_of(title));
	for (size_t i = 0; i < n; i++) {
		buf_add_z(&b, i ? ", " : ": ");
		buf_add_html(&b, bars[i].label);
		buf_add_z(&b, " ");
		buf_add_html(&b, bar_text(a, &bars[i]));
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
