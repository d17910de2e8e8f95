/* assets.h - the files built into the program: sql/, templates/, schemas/, static files. The build makes the table (tools/embed.sh). */
#ifndef COMMONHOLD_ASSETS_H
#define COMMONHOLD_ASSETS_H

#include "str.h"

struct asset {
	const char *path;     /* from the project's root: "sql/0001_store.sql" */
	struct str content;
};
/* STR_NONE when there is none. */
struct str asset_find(struct str path);
/* Calls fn for every asset below a folder ("sql/"), in order of path. */
void asset_each(const char *folder, void (*fn)(void *arg, const struct asset *asset), void *arg);

#endif
