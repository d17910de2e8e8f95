/* figures.h - what a bench measured, printed as a table and written to build/bench/<name>.json. */
#ifndef COMMONHOLD_BENCH_FIGURES_H
#define COMMONHOLD_BENCH_FIGURES_H

#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#define FIGURE_RUNS 5

/* One figure over the runs. */
struct figure {
	const char *name;
	const char *unit;
	double v[FIGURE_RUNS];
};

static inline int figure_order(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;
	return (x > y) - (x < y);
}

/* Sorts each figure's runs, so that v[FIGURE_RUNS / 2] is the median. */
static inline void figures_report(const char *bench, struct figure *figures, size_t n)
{
	char path[256];
	mkdir("build", 0755);
	mkdir("build/bench", 0755);
	snprintf(path, sizeof(path), "build/bench/%s.json", bench);
	FILE *f = fopen(path, "w");
	if (!f) {
		perror(path);
		exit(1);
	}
	fprintf(f, "{\"bench\":\"%s\",\"figures\":{", bench);
	printf("%ld cores, medians of %d runs\n", sysconf(_SC_NPROCESSORS_ONLN), FIGURE_RUNS);
	for (size_t i = 0; i < n; i++) {
		struct figure *g = &figures[i];
		qsort(g->v, FIGURE_RUNS, sizeof(g->v[0]), figure_order);
		double median = g->v[FIGURE_RUNS / 2], least = g->v[0], most = g->v[FIGURE_RUNS - 1];
		printf("%-36s %12.2f %-8s (%.2f to %.2f)\n", g->name, median, g->unit, least, most);
		fprintf(f, "%s\"%s\":{\"median\":%.4f,\"min\":%.4f,\"max\":%.4f,\"n\":%d,\"unit\":\"%s\"}", i ? "," : "", g->name, median, least, most, FIGURE_RUNS, g->unit);
	}
	fprintf(f, "}}\n");
	fclose(f);
}

#endif
