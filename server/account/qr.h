/* qr.h - QR codes as SVG, to be put into a page as they are. Pure. */
#ifndef COMMONHOLD_QR_H
#define COMMONHOLD_QR_H

#include "commonhold/arena.h"
#include "commonhold/str.h"

/* Absent when the text is too long for one. `title` is what a screen reader says. */
struct str qr_svg(struct arena *a, struct str text, const char *title);

#endif
