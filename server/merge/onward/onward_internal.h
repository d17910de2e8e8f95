/* onward_internal.h - what the files about deletions across a merge share. Of server/merge alone. */
#ifndef COMMONHOLD_ONWARD_INTERNAL_H
#define COMMONHOLD_ONWARD_INTERNAL_H

#include "commonhold/db.h"
#include "commonhold/erasure.h"
#include "commonhold/onward.h"

/* The keys of a co-op by its key name: its own, those pinned of a peer, or those that came with a message (keys.json as JSON; may be NULL) where they lead on from what was seen before. What is
 * longer than what was kept is kept. ERR_REFUSED, reason `reason`, where there are none, or they contradict what is known. Inside, DB_WRITE. */
CH_CHECK enum err onward_keys(struct call *c, struct uuid coop, struct str name, const struct json *came, struct str via, const char *reason, struct keychain *out);
/* Tells every partner that has, or may have, items of a request, and writes what they owe: what they were not told yet, or (`again`) what they have not confirmed. Inside. */
CH_CHECK enum err onward_tell(struct call *c, const struct erasure *e, bool again);
/* Queues "onward.receipt". Inside. */
CH_CHECK enum err onward_queue_receipts(struct call *c, struct uuid coop);
/* Queues "onward.derived". Inside. */
CH_CHECK enum err onward_queue_derived(struct call *c, struct uuid coop);
/* The jobs. */
CH_CHECK enum err onward_suspend_run(struct call *c, const struct json *args);
CH_CHECK enum err onward_tell_run(struct call *c, const struct json *args);
CH_CHECK enum err onward_receipt_run(struct call *c, const struct json *args);
CH_CHECK enum err onward_ended_run(struct call *c, const struct json *args);
/* For onward_start. */
void onward_use_purged(void);
CH_CHECK enum err onward_appended(struct call *c, const struct erasure *e, const struct uuid *items, size_t n);
CH_CHECK enum err onward_announced(struct call *c, const struct erasure *e);

#endif
