/* json_number.h - what the text of a JSON number means: its exact decimal value, its double, its canonical spelling.
 *
 * The text must be a well-formed JSON number; nothing here checks the grammar again.
 */
#ifndef COMMONHOLD_JSON_NUMBER_H
#define COMMONHOLD_JSON_NUMBER_H

#include "commonhold/str.h"

/* An exact value: 0.DDD x 10^exponent, where DDD are the significant digits, without zeros at either end. */
struct decimal {
	struct str digits; /* significant digits, perhaps with the point between them; empty for zero */
	int64_t exponent;  /* place of the point before the first digit; 0 for zero */
	size_t count;      /* digits without the point */
	bool negative;     /* never for zero */
};
struct decimal decimal_of(struct str text);
/* <0, 0, >0 as numbers compare. */
int decimal_cmp(const struct decimal *a, const struct decimal *b);
/* Whether it is a whole number. */
bool decimal_is_whole(const struct decimal *d);

/* Whether the text has neither point nor exponent. */
bool number_is_integer_text(struct str text);
/* Written as an integer and within +-2^53: what every JSON reader keeps exactly. */
bool number_is_safe_integer(struct str text);
/* The nearest double; infinite when out of range. */
double number_to_double(struct str text);
/* ECMAScript's Number::toString of a finite double (RFC 8785, 3.2.2.3); returns the length, at most 25. */
size_t number_format(double v, char out[40]);

#endif
