/* push.h - the parts of delivering that tests and the list of deliveries look at. */
#ifndef COMMONHOLD_PUSH_H
#define COMMONHOLD_PUSH_H

#include "commonhold/call.h"
#include "commonhold/json.h"

/* What came of an attempt: delivered; failed, to be tried again; refused by us, since the address leads somewhere it must not; and dead, counted besides, after the last. */
enum push_outcome { PUSH_DELIVERED, PUSH_FAILED, PUSH_REFUSED, PUSH_DEAD, PUSH_OUTCOME_COUNT };
/* In this process so far. */
int64_t push_outcome_count(enum push_outcome o);
/* The value of webhook-signature, over "<id>.<seconds>.<body>". Pure. */
struct str push_signature(struct arena *a, struct str secret, struct str id, int64_t seconds, struct str body);
/* Microseconds to wait after so many failed attempts, with jitter; at least what the other side asked for, within reason. */
int64_t push_delay(int attempts, int64_t asked);
/* Queues the job for a delivery that waits; inside. */
CH_CHECK enum err push_again(struct call *c, struct uuid coop, struct uuid mirror);
/* "mirror.push" {coop, mirror}. */
CH_CHECK enum err push_job(struct call *c, const struct json *args);

#endif
