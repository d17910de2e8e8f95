/* pool_api.h - contributions as JSON, for the other modules' answers and pages. */
#ifndef COMMONHOLD_POOL_API_H
#define COMMONHOLD_POOL_API_H

#include "json.h"
#include "pool.h"

/* As schemas/contribution_view.json says, without content and decisions. */
void contribution_write(struct json_writer *w, struct arena *a, const struct contribution *item);
/* The members of it alone, inside an object that is open. */
void contribution_write_members(struct json_writer *w, struct arena *a, const struct contribution *item);
/* As schemas/receipt.json says. */
void receipt_write(struct json_writer *w, struct arena *a, const struct receipt *r);

#endif
