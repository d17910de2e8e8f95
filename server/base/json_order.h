/* json_order.h - the canonical order of an object's members: by UTF-16 code units of their names (RFC 8785, 3.2.3); and a text that
 * equal values share. */
#ifndef COMMONHOLD_JSON_ORDER_H
#define COMMONHOLD_JSON_ORDER_H

#include "commonhold/json.h"

/* <0, 0, >0 as two names are ordered. */
int json_key_cmp(struct str a, struct str b);
/* Whether the members stand in canonical order, each once. */
bool json_members_in_order(const struct json *object);
/* Fills `out`, which has room for object->count pointers. */
void json_members_sort(const struct json *object, const struct json **out);
/* Appends a text that two values share exactly when json_equal holds for them. */
void json_put_comparable(struct buf *out, const struct json *v);

#endif
