/* QR codes by libqrencode, drawn as one SVG path. Black on white in dark mode too: cameras expect it. */
#include "server/account/qr.h"

#include "commonhold/limits.h"

#include <qrencode.h>

#define QUIET 4 /* modules of white around it, as the standard asks for */

static void modules_draw(struct buf *b, const QRcode *code)
{
	for (int y = 0; y < code->width; y++)
		for (int x = 0; x < code->width; x++) {
			int begin = x;
			while (x < code->width && (code->data[y * code->width + x] & 1))
				x++;
			if (x > begin)
				buf_addf(b, "M%d %dh%dv1h-%dz", begin + QUIET, y + QUIET, x - begin, x - begin);
		}
}

struct str qr_svg(struct arena *a, struct str text, const char *title)
{
	QRcode *code = QRcode_encodeString8bit(str_z(a, text), 0, QR_ECLEVEL_M);
	if (!code)
		return STR_NONE;
	struct buf b;
	int side = code->width + 2 * QUIET;
	buf_init(&b, 64 * KIB);
	buf_addf(&b, "<svg class=\"qr\" xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 %d %d\" width=\"%d\" height=\"%d\" role=\"img\" aria-label=\"", side, side, side * 4, side * 4);
	buf_add_html(&b, str_of(title));
	buf_addf(&b, "\" shape-rendering=\"crispEdges\"><rect width=\"%d\" height=\"%d\" fill=\"#fff\"/><path fill=\"#000\" d=\"", side, side);
	modules_draw(&b, code);
	buf_add_z(&b, "\"/></svg>");
	QRcode_free(code);
	return buf_take(a, &b);
}
