/* A redaction of 1,000 rows in a million as the mirror tool applies it, from asking for the status to the link that leads to the new version and the old one deleted: rows side by side,
 * which touch two shards, and scattered, which touch all; against fetching the same release whole. The server is a thread of this program. */
#include "tests/bench/figures.h"
#include "tests/unit/mirror_world.h"

#include "commonhold/limits.h"

#include <ftw.h>

#define SHARD 31250     /* rows of a shard, as a release of a million has them */
#define ERASED 1000
#define ROW_BYTES 100

/* What every run of one kind took. */
struct runs { double ms[FIGURE_RUNS]; int64_t patched, shards, downloaded; };

static int remove_one(const char *path, const struct stat *st, int type, struct FTW *at)
{
	(void)st, (void)type, (void)at;
	return remove(path);
}

static void folder_clear(const char *path)
{
	nftw(path, remove_one, 16, FTW_DEPTH | FTW_PHYS);
}

/* Another folder with the same files: what a mirror has before the run. */
static void folder_link(const char *from, const char *to)
{
	char command[512];
	snprintf(command, sizeof(command), "rm -rf '%s' && cp -al '%s' '%s'", to, from, to);
	if (system(command) != 0)
		exit(1);
}

static struct mirror_sync_result sync_folder(struct world *w, const char *dir, const char *version, double *ms)
{
	struct arena *a = arena_new(1024 * MIB);
	struct mirror_sync_options o = { .dir = dir, .url = world_url(w, a), .key = w->key.public_key };
	struct mirror_sync_result result;
	struct error e;
	int64_t begun = clock_tick();
	if (mirror_sync(a, &o, &result, &e) != ERR_OK || !str_is(result.version, version)) {
		fprintf(stderr, "the mirror fails: %s\n", e.message);
		exit(1);
	}
	*ms = (double)(clock_tick() - begun) / 1000;
	arena_free(a);
	return result;
}

static void measure(struct world *w, const char *base, const char *version, struct runs *out)
{
	char dir[128];
	snprintf(dir, sizeof(dir), "%s-run", base);
	for (int i = 0; i < FIGURE_RUNS; i++) {
		folder_link(base, dir);
		struct mirror_sync_result r = sync_folder(w, dir, version, &out->ms[i]);
		out->patched = r.patched;
		out->shards = r.shards;
		out->downloaded = r.downloaded;
	}
	folder_clear(dir);
}

static void erase(struct world *w, int first, int step)
{
	static int rows[ERASED];
	for (int i = 0; i < ERASED; i++) {
		int row = first + i * step;
		while (w->erased[row])
			row++;
		rows[i] = row;
		w->erased[row] = true;
	}
	world_erase(w, rows, ERASED);
}

static struct figure figure(const char *name, const char *unit, const double *v, double factor)
{
	struct figure f = { .name = name, .unit = unit };
	for (int i = 0; i < FIGURE_RUNS; i++)
		f.v[i] = v ? v[i] * factor : factor;
	return f;
}

/* As lines for whoever puts the parts together, or as a report of its own. */
static void report(struct figure *f, size_t n)
{
	const char *path = getenv("COMMONHOLD_BENCH_FIGURES");
	FILE *out = path ? fopen(path, "a") : NULL;
	if (!out) {
		figures_report("erasure_mirror", f, n);
		return;
	}
	for (size_t i = 0; i < n; i++) {
		fprintf(out, "%s %s", f[i].name, f[i].unit);
		for (int k = 0; k < FIGURE_RUNS; k++)
			fprintf(out, " %.4f", f[i].v[k]);
		fprintf(out, "\n");
	}
	fclose(out);
}

int main(void)
{
	const char *items = getenv("BENCH_ITEMS");
	int64_t rows = 1000000;
	struct runs whole = { .shards = 0 }, near = whole, far = whole;
	if (items && !str_to_i64(str_of(items), 2 * SHARD, 100000000, &rows))
		return 2;
	struct world *w = world_new((int)rows, SHARD, ROW_BYTES);
	char base[96];
	double ignored;
	snprintf(base, sizeof(base), "%s-mirror", w->dir);
	world_publish_version(w, "1.0.0", NULL);
	sync_folder(w, base, "1.0.0", &ignored);
	/* Across the border between two shards. */
	erase(w, SHARD - ERASED / 2, 1);
	world_publish_version(w, "2.0.0", "1.0.0");
	measure(w, base, "2.0.0", &near);
	sync_folder(w, base, "2.0.0", &ignored);
	erase(w, 7, (int)(rows / ERASED) - 2);
	world_publish_version(w, "3.0.0", "2.0.0");
	measure(w, base, "3.0.0", &far);
	for (int i = 0; i < FIGURE_RUNS; i++) {
		folder_clear(base);
		whole.downloaded = sync_folder(w, base, "3.0.0", &whole.ms[i]).downloaded;
	}
	folder_clear(base);
	world_free(w);
	struct figure figures[] = {
		figure("patch_share_of_shards", "ratio", NULL, (double)near.patched / (double)near.shards),
		figure("patch_ms", "ms", near.ms, 1),
		figure("patch_bytes", "B", NULL, (double)near.downloaded),
		figure("patch_scattered_share_of_shards", "ratio", NULL, (double)far.patched / (double)far.shards),
		figure("patch_scattered_ms", "ms", far.ms, 1),
		figure("whole_ms", "ms", whole.ms, 1),
		figure("whole_bytes", "B", NULL, (double)whole.downloaded),
	};
	report(figures, CH_LEN(figures));
	return 0;
}
