/* phases.h - what is measured in a process of its own, so that its memory is its own: each prints lines "name value". */
#ifndef COMMONHOLD_BENCH_PHASES_H
#define COMMONHOLD_BENCH_PHASES_H

/* make ITEMS | grow ITEMS N | freeze RELEASE | build RELEASE | lines FILE COPY FIRST N | submit FILE. The environment names the databases; 2 for an unknown phase. */
int phase_run(int argc, char **argv);

#endif
