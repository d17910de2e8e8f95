/* main.h - what the parts of the release bench ask of its main program. */
#ifndef COMMONHOLD_BENCH_MAIN_H
#define COMMONHOLD_BENCH_MAIN_H

#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* A value of one run of a figure. */
void note(const char *figure, double value);
/* Ends the bench, with its cluster. */
__attribute__((noreturn)) void give_up(const char *what);
/* The throwaway folder. */
const char *bench_dir(void);
/* As the superuser; the first field of the first row, which lives for seven more calls. */
char *sql(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
/* Runs a command in bash; its output, and how long it took in seconds. */
double shell(char *answer, size_t size, const char *fmt, ...) __attribute__((format(printf, 3, 4)));
/* The number in the line "name value". */
double value_of(const char *answer, const char *name);

/* `commonhold serve` against the peer (requests.c), on a pool of `items`, as the owner of the token. */
void requests(const char *token, int64_t items, int runs);

#endif
