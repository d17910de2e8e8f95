/* content_table.h - a set of contents with a number each, by 95 bits of a keyed hash of theirs: 16 bytes a place, open addressing. Nobody can choose contents that meet in it: the key is this process's
 * own and new for each table. May be looked into on any thread while nothing is put in. */
#ifndef COMMONHOLD_POOL_CONTENT_TABLE_H
#define COMMONHOLD_POOL_CONTENT_TABLE_H

#include "commonhold/str.h"

struct content_place {
	uint64_t tag;         /* 0: free */
	uint32_t more;        /* the rest of the tag; the lowest bit is the user's */
	uint32_t number;
};
#define CONTENT_FLAG UINT32_C(1)

struct content_table {
	struct content_place *place;
	uint32_t places, n;
	unsigned char key[16];
};

/* Room for so many contents. False: no memory. */
bool content_table_init(struct content_table *t, size_t contents);
void content_table_free(struct content_table *t);
/* Bytes that a table for so many contents takes. */
size_t content_table_bytes(size_t contents);
/* The place of a content; NULL: it is not there. */
const struct content_place *content_table_find(const struct content_table *t, const uint8_t hash[32]);
/* The same, put in with this number where it was not there. NULL: no memory. Valid until the next is put in. */
struct content_place *content_table_put(struct content_table *t, const uint8_t hash[32], uint32_t number);

#endif
