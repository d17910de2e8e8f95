/* The release's gzip writer (compressing, hashing raw and compressed bytes, one file) against the stock gzip, which only compresses, at the same level in the same run.
 *
 * bench_gzip [FILE] [LEVEL]: FILE is what to compress; without it, rows of made-up text, 64 MiB. Writes build/bench/gzip.json. */
#include "tests/bench/figures.h"
#include "commonhold/clock.h"
#include "commonhold/gzip.h"
#include "commonhold/limits.h"

#define MADE_BYTES (64 * MIB)

static const char raw_path[] = "/tmp/commonhold-bench-raw", gz_path[] = "/tmp/commonhold-bench.gz";

/* Rows of words, with a skew like that of language. */
static bool make_file(const char *path)
{
	static const char *const words[] = { "the", "of", "and", "to", "in", "is", "that", "it", "was", "for", "as", "with", "be", "on", "not", "he", "by", "are", "this", "at", "from",
		"but", "have", "an", "had", "they", "you", "which", "were", "all", "her", "she", "there", "would", "their", "we", "him", "been", "has", "when", "will", "no", "more", "if",
		"landlord", "heating", "letter", "recipe", "function", "pointer", "theorem", "Tuesday", "perhaps", "sufficiently", "quickly", "translation", "summarise", "consequence" };
	FILE *f = fopen(path, "w");
	uint64_t x = 0x9e3779b97f4a7c15u;
	size_t n = 0;
	while (f && n < MADE_BYTES) {
		x ^= x << 13, x ^= x >> 7, x ^= x << 17;
		n += (size_t)fprintf(f, "{\"content\":{\"messages\":[{\"role\":\"user\",\"text\":\"");
		for (int i = 0; i < 150; i++) {
			x ^= x << 13, x ^= x >> 7, x ^= x << 17;
			uint64_t at = (x >> 20) % CH_LEN(words), skewed = at * ((x >> 8) & 0xff) / 256;
			n += (size_t)fprintf(f, (x & 63) == 0 ? "%s %llu " : "%s ", words[skewed], (unsigned long long)(x >> 44));
		}
		n += (size_t)fprintf(f, "\"}]},\"kind\":\"chat\",\"rid\":\"dc:abcdefghijklmnop:%016llx\"}\n", (unsigned long long)x);
	}
	return f && fclose(f) == 0;
}

static int64_t run_gzip(const char *path, int level)
{
	char command[512];
	snprintf(command, sizeof(command), "gzip -%d -c %s >%s", level, path, gz_path);
	int64_t from = clock_tick();
	if (system(command) != 0)
		return -1;
	return clock_tick() - from;
}

static int64_t run_ours(const char *path, int level, int threads, struct gz_result *r)
{
	static char block[65536];
	struct error e = { 0 };
	struct gz_writer *w;
	size_t n;
	unlink(gz_path);
	FILE *f = fopen(path, "r");
	int64_t from = clock_tick();
	if (!f || gz_writer_open(&w, gz_path, level, threads, &e))
		return -1;
	while ((n = fread(block, 1, sizeof(block), f)) > 0)
		gz_writer_add(w, block, n);
	fclose(f);
	return gz_writer_close(w, r, &e) ? -1 : clock_tick() - from;
}

enum { STOCK, ONE, ALL, ONE_RATIO, ALL_RATIO, SIZE_RATIO, FIGURES };
static struct figure figures[FIGURES] = {
	[STOCK] = { "gzip", "MB/s", { 0 } }, [ONE] = { "gz_writer_one_thread", "MB/s", { 0 } }, [ALL] = { "gz_writer_thread_a_core", "MB/s", { 0 } },
	[ONE_RATIO] = { "speedup_one_thread", "x", { 0 } }, [ALL_RATIO] = { "speedup_thread_a_core", "x", { 0 } }, [SIZE_RATIO] = { "size_against_gzip", "x", { 0 } },
};

static bool run_once(const char *path, int level, int run)
{
	struct gz_result r;
	struct stat st;
	int64_t stock = run_gzip(path, level);
	if (stock < 0 || stat(gz_path, &st) != 0)
		return false;
	int64_t one = run_ours(path, level, 1, &r), all = run_ours(path, level, 0, &r);
	if (one < 0 || all < 0)
		return false;
	double bytes = (double)r.raw_size;
	figures[STOCK].v[run] = bytes / (double)stock;
	figures[ONE].v[run] = bytes / (double)one;
	figures[ALL].v[run] = bytes / (double)all;
	figures[ONE_RATIO].v[run] = (double)stock / (double)one;
	figures[ALL_RATIO].v[run] = (double)stock / (double)all;
	figures[SIZE_RATIO].v[run] = (double)r.size / (double)st.st_size;
	return true;
}

int main(int argc, char **argv)
{
	const char *path = argc > 1 ? argv[1] : raw_path;
	int level = argc > 2 ? argv[2][0] - '0' : 6;
	if (!crypto_start() || (argc < 2 && !make_file(path)))
		return 1;
	for (int i = 0; i < FIGURE_RUNS; i++)
		if (!run_once(path, level, i))
			return 1;
	figures_report("gzip", figures, FIGURES);
	unlink(raw_path);
	unlink(gz_path);
	return 0;
}
