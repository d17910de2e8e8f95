/* app.h - the whole program put together: configuration, keys, database, tables of routes and of jobs. Only files directly in server/ use it. */
#ifndef COMMONHOLD_APP_H
#define COMMONHOLD_APP_H

#include "commonhold/call.h"
#include "commonhold/config.h"
#include "commonhold/http.h"
#include "commonhold/job.h"

struct app;

/* Reads the configuration, opens keys and database (starting the private one where none is named), migrates. What it can't do it says with what to mend. */
CH_CHECK enum err app_open(struct app **out, struct error *e);
/* Closes the database, and stops the private one if this process started it. NULL is allowed. */
void app_close(struct app *a);
/* Answers requests and runs jobs; returns once both run. */
CH_CHECK enum err app_serve(struct app *a, struct error *e);
/* The port that is answered on. */
int app_port(const struct app *a);
/* Drains requests, then jobs. */
void app_drain(struct app *a);
/* A call of the system for the command line; ended by app_call_end. NULL when memory is short. */
struct call *app_call(void);
void app_call_end(struct call *c);
/* Waits for SIGINT or SIGTERM. Signals were blocked before any thread began. */
void app_wait(void);
/* The tables of job handlers, for running jobs on the caller's thread. */
const struct job_kind *const *app_jobs(void);

/* The commands: each gets its own arguments, argv[0] being its name. Exit status 0 ok, 1 refused or failed, 2 usage. */
int serve_main(int argc, char **argv);
int migrate_main(int argc, char **argv);
int doctor_main(int argc, char **argv);
int demo_main(int argc, char **argv);
int import_main(int argc, char **argv);
int fork_main(int argc, char **argv);
int bounce_main(int argc, char **argv);
int bundle_main(int argc, char **argv);
int key_main(int argc, char **argv);
int message_main(int argc, char **argv);
int release_main(int argc, char **argv);
int account_main(int argc, char **argv);
int explain_main(int argc, char **argv);
int policy_main(int argc, char **argv);

/* Says an error on standard error as a person reads it, and gives the exit status. */
int command_failed(const char *command, const struct error *e);

#endif
