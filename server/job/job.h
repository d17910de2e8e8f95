/* job.h - what the files of job/ share: the queue's own statements (queue.c) and who runs what they give (runner.c). */
#ifndef COMMONHOLD_JOB_PRIVATE_H
#define COMMONHOLD_JOB_PRIVATE_H

#include "commonhold/db.h"
#include "commonhold/job.h"

#define JOB_BATCH 16         /* quick jobs claimed at once: claiming by twenty was measured at six times the rate of one by one */
#define JOB_QUICK_SECONDS 60 /* kinds with a lease up to this are claimed in batches, others alone: a build must not hold up ten mails */
#define JOB_KINDS_MAX 128    /* handlers of all tables together */
#define JOB_TICKS_MAX 32     /* periodic duties */

/* Handlers, arranged for the statements. */
struct kind_list {
	const struct job_kind *kinds[JOB_KINDS_MAX];
	struct str names[JOB_KINDS_MAX];
	int64_t leases[JOB_KINDS_MAX];  /* seconds */
	size_t count;
};

/* One claimed job. */
struct job_run {
	struct uuid id;
	struct uuid token;              /* of the lease */
	const struct job_kind *kind;
	struct str args;                /* JSON */
	int attempts;                   /* this one counted */
	instant lease_until;
	const _Atomic bool *must_end;   /* set when the process cannot wait any longer; NULL: never */
};

struct job_batch {
	struct job_run runs[JOB_BATCH];
	int count;
	struct uuid token;              /* of all their leases */
};

const struct job_kind *kind_find(const struct kind_list *l, struct str name);

/* Each is a transaction of its own on `c`. */

/* Takes back what lost its lease, queues what its tick says, and claims up to `limit` due jobs of the list. */
CH_CHECK enum err queue_claim(struct call *c, const struct kind_list *l, int limit, struct job_batch *out);
/* These are done: gone, or waiting once more when they were queued again meanwhile. */
CH_CHECK enum err queue_done(struct call *c, struct uuid token, const struct uuid *ids, size_t n);
/* It failed: waits `delay_us`, or is dead after its last attempt. *dead says which. */
CH_CHECK enum err queue_failed(struct call *c, const struct job_run *run, struct str what, int64_t delay_us, bool *dead);
/* These were claimed and not run: others may have them, and the attempt does not count. */
CH_CHECK enum err queue_give_back(struct call *c, struct uuid token, const struct uuid *ids, size_t n);

/* The time to wait after a failed attempt: doubling from two seconds to an hour, between half of that and all of it. */
int64_t queue_delay(int attempts);

#endif
