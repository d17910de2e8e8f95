/* asset_entry.h - the shape of the generated table of embedded files; only assets.c reads it. */
#ifndef COMMONHOLD_ASSET_ENTRY_H
#define COMMONHOLD_ASSET_ENTRY_H

#include <stddef.h>

struct asset_entry {
	const char *path;  /* from the project's root */
	const char *begin; /* first byte */
	const char *end;   /* one past the last */
};
extern const struct asset_entry asset_entries[];
extern const size_t asset_entry_count;

#endif
