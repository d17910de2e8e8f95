/* merge_bench.h - what the halves of merging's bench share: a pool of records of 1 KB, a process that does one thing alone, the peer's table of lines, and how figures are said.
 *
 * What is measured for its memory runs in a process of its own, begun for it: the bench itself has filled pools and would count them. */
#ifndef COMMONHOLD_BENCH_MERGE_BENCH_H
#define COMMONHOLD_BENCH_MERGE_BENCH_H

#include "tests/bench/figures.h"
#include "tests/unit/merge_world.h"

/* How much is asked for. */
struct merge_bench {
	int64_t items; /* BENCH_ITEMS: records; a million where nothing is said */
	int runs;      /* BENCH_RUNS: 1 … FIGURE_RUNS */
};

/* Reads the environment, and lets every line out as it is printed. */
struct merge_bench merge_bench_asked(void);
/* Seconds since a clock_tick(). */
double merge_bench_s(int64_t tick);
/* Runs a command; how many seconds it took. */
double merge_bench_shell(const char *command);
/* CPU seconds that the cluster's processes, and this one's children that have ended, have used so far: what a figure costs whatever else the machine does. */
double merge_bench_cpu_s(void);
/* Prints the figures with their medians, and adds them to the file that COMMONHOLD_BENCH_FIGURES names. */
void merge_bench_write(struct figure *figures, size_t n, int runs);

/* Contributions numbered from … to, by one member of one co-op: the same text for the same number. */
void merge_bench_fill(struct call *member, struct uuid coop, int64_t from, int64_t to);
/* The sender's whole pool, in equal parts by its members, who all say yes. */
void merge_bench_fill_world(struct merge_world *m, int64_t items);

/* A table (no, line) of the very lines of the records of the bundle in `dir`, in their order. Sets BENCH_URL for psql. */
void merge_bench_lines(struct call *c, struct str dir, const char *table);

/* What a process of its own does: 0 and one line on standard output, or not 0. `which`: an agreement, or a bundle's folder. */
typedef int (*merge_bench_work)(struct call *c, struct uuid coop, const char *which);
/* Runs this very program with `--<what>` and hands out the line that it says. Nothing of this process counts for its memory. */
void merge_bench_apart(const char *what, struct uuid coop, const char *which, char *line, size_t n);
/* At the start of main: whether this is such a process, for `what`; then *status is what it returns. */
bool merge_bench_is_apart(int argc, char **argv, const char *what, merge_bench_work work, int *status);
/* Most memory that this process has had resident, and what it has now, in MiB. */
double merge_bench_peak_mb(void);
double merge_bench_now_mb(void);

#endif
