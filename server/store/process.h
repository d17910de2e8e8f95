/* process.h - starting other programs: PostgreSQL's. Without a shell, with a bare environment, no open files of ours, default signals, and in a session of their
 * own, so that Ctrl-C reaches us and not them.
 */
#ifndef COMMONHOLD_STORE_PROCESS_H
#define COMMONHOLD_STORE_PROCESS_H

#include "commonhold/error.h"

#include <sys/types.h>

/* Starts argv[0] (looked for in PATH) with its output appended to `log`; /dev/null when that is NULL. */
CH_CHECK enum err process_start(pid_t *out, const char *const *argv, const char *log, struct error *e);
/* Starts it and waits for its end; `status` is its exit status, or 128 and more when a signal ended it. */
CH_CHECK enum err process_run(const char *const *argv, const char *log, int *status, struct error *e);
/* A file descriptor that becomes readable when the process ends, child or not; -1 when there is no such process. */
int process_watch(pid_t pid);
/* Waits until `watch` or `stop` (-1: none) is readable or the time is over; which of them, bit 0 and bit 1. */
int process_wait(int watch, int stop, int timeout_ms);

#endif
