/* job.h - the one job runner: what must act later, upward or on a schedule goes through this queue.
 *
 * Jobs are rows claimed with SKIP LOCKED under a lease; a worker that dies loses its lease and the job runs again, so every handler resumes or repeats without harm.
 * Failures back off exponentially with jitter; after the last attempt the job is dead and stays visible. A job may be queued inside the transaction of the act that
 * causes it: it then exists exactly when the act does.
 */
#ifndef COMMONHOLD_JOB_H
#define COMMONHOLD_JOB_H

#include "call.h"
#include "json.h"

/* One row of the table of job handlers. */
struct job_kind {
	const char *kind;       /* "release.build" */
	enum err (*run)(struct call *c, const struct json *args); /* opens its own transactions; ERR_OK ends the job */
	int max_attempts;       /* then dead */
	int lease_seconds;      /* how long a run may take before others may take over; long runs call job_extend */
};
#define JOB_TABLE_END { .kind = NULL }

/* Queues a job inside the open transaction; `args_json` may be absent. A `key` makes it single: while a job of the kind with the key waits, queueing it again
 * changes nothing (an earlier due time wins); while it runs, it will run once more when that run is over, since the run may have looked already. */
CH_CHECK enum err job_queue(struct call *c, const char *kind, struct str key, struct str args_json, instant due);
/* The arguments of a job about one thing of a co-op, {"coop": …, "<which>": …}, and the same read back: ERR_INTERNAL when the job does not name them. */
struct str job_args(struct arena *a, struct uuid coop, const char *which, struct uuid id);
CH_CHECK enum err job_args_read(struct call *c, const struct json *args, const char *which, struct uuid *coop, struct uuid *id);
/* Prolongs the lease of the job this call runs for; ERR_STATE when it was lost, ERR_UNAVAILABLE when the process must stop now: the handler then ends with that
 * code, and the job is taken up again. Uses a connection of its own, and so may be called inside a transaction or a COPY. */
CH_CHECK enum err job_extend(struct call *c);

/* Starts `workers` threads over the handlers' tables (NULL-terminated list). */
struct job_runner;
CH_CHECK enum err job_start(struct job_runner **out, const struct job_kind *const *tables, int workers, struct error *e);
/* Lets running jobs finish (up to LIMIT_DRAIN_MS), then stops. */
void job_stop(struct job_runner *r);
/* Runs everything that is due now, on this thread, until nothing is; for tests, the demo and the command line. Gives how many ran. */
CH_CHECK enum err job_run_due(const struct job_kind *const *tables, int *ran, struct error *e);
/* Wakes the workers, after a commit that queued something due. */
void job_wake(void);
/* Gauges for /metrics: commonhold_jobs by kind and state (waiting, running, dead). */
void job_metrics(void);

/* Periodic duties (daily membership steps, schedules): a job kind queued again by a tick, once per period over all processes. Periods are counted from the epoch, so
 * that a day begins at midnight UTC. The table is read by every runner started, and job_run_due called, after this. */
struct job_tick { const char *kind; int every_seconds; };
#define JOB_TICK_END { .kind = NULL }
void job_ticks(const struct job_tick *ticks);

#endif
