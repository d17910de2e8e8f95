/* Near duplicates: what counts as near, that the answer does not depend on order or threads, and what the estimate is worth against the Jaccard index counted out. */
#include "commonhold/limits.h"
#include "commonhold/near.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <cmocka.h>

static struct arena *arena;

static int set_up(void **state)
{
	(void)state;
	arena = arena_new(256 * MIB);
	return crypto_start() ? 0 : -1;
}

static int tear_down(void **state)
{
	(void)state;
	arena_free(arena);
	return 0;
}

static uint64_t random_state;

static uint64_t rnd(uint64_t below)
{
	random_state ^= random_state << 13;
	random_state ^= random_state >> 7;
	random_state ^= random_state << 17;
	return random_state % below;
}

static void seed(uint64_t s)
{
	print_message("seed %llu\n", (unsigned long long)s);
	random_state = s | 1;
}

static double likeness(const char *a, const char *b)
{
	struct near_sketch x, y;
	near_sketch_of(str_of(a), &x);
	near_sketch_of(str_of(b), &y);
	return near_likeness(&x, &y);
}

/* A text of words drawn from many. */
static struct str text_of(size_t words)
{
	struct buf b;
	buf_init(&b, 1 * MIB);
	for (size_t i = 0; i < words; i++)
		buf_addf(&b, "%s%llx", i ? " " : "", (unsigned long long)(rnd(1000000) + 1000000));
	return buf_take(arena, &b);
}

/* The same with some words changed, evenly spread. */
static struct str text_changed(struct str text, size_t every)
{
	struct str rest = text, word;
	struct buf b;
	buf_init(&b, 1 * MIB);
	for (size_t i = 0; str_split(&rest, ' ', &word); i++)
		if ((i + 1) % every == 0)
			buf_addf(&b, "%s%llx", i ? " " : "", (unsigned long long)(rnd(1000000) + 5000000));
		else
			buf_addf(&b, "%s%.*s", i ? " " : "", STR_ARG(word));
	return buf_take(arena, &b);
}

static void case_punctuation_and_blanks_do_not_matter(void **state)
{
	(void)state;
	assert_true(likeness("How do I bake bread without yeast?", "how  do I bake -- bread, without\nYEAST") == 1.0);
	assert_true(likeness("", "  ... ") == 1.0);
	assert_true(likeness("short", "short!") == 1.0);
	assert_true(likeness("short", "shore") < NEAR_THRESHOLD);
}

static void other_scripts_count_as_letters(void **state)
{
	(void)state;
	assert_true(likeness("面包不用酵母怎么做才能松软可口", "面包不用酵母怎么做才能松软可口。") == 1.0);
	assert_true(likeness("面包不用酵母怎么做才能松软可口", "汽车发动机漏油应该怎样自己修理") < 0.2);
}

static void bytes_that_are_no_text_are_compared_too(void **state)
{
	(void)state;
	assert_true(likeness("\xff\xfe\xfd\xfc\xfb\xfa\xf9\xf8\xf7", "\xff\xfe\xfd\xfc\xfb\xfa\xf9\xf8\xf7") == 1.0);
	assert_true(likeness("\xe2\x82", "\xe2") < 1.0);
}

/* The Jaccard index of two texts of plain words, counted out over their shingles. */
static int by_bytes(const void *a, const void *b)
{
	return memcmp(a, b, NEAR_SHINGLE);
}

static size_t shingles(struct str t, char (**out)[NEAR_SHINGLE])
{
	size_t n = t.n - NEAR_SHINGLE + 1, kept = 1;
	*out = arena_array(arena, n, NEAR_SHINGLE);
	for (size_t i = 0; i < n; i++)
		memcpy((*out)[i], t.p + i, NEAR_SHINGLE);
	qsort(*out, n, NEAR_SHINGLE, by_bytes);
	for (size_t i = 1; i < n; i++)
		if (by_bytes((*out)[i], (*out)[kept - 1]) != 0)
			memmove((*out)[kept++], (*out)[i], NEAR_SHINGLE);
	return kept;
}

static double jaccard(struct str a, struct str b)
{
	char (*x)[NEAR_SHINGLE], (*y)[NEAR_SHINGLE];
	size_t n = shingles(a, &x), m = shingles(b, &y), both = 0;
	for (size_t i = 0, j = 0; i < n && j < m;) {
		int c = by_bytes(x[i], y[j]);
		both += c == 0;
		i += c <= 0;
		j += c >= 0;
	}
	return (double)both / (double)(n + m - both);
}

/* 128 places have a standard error of at most 0.044; over 200 pairs the mean must be close, and none far off. */
static void the_estimate_agrees_with_counting(void **state)
{
	(void)state;
	double bias = 0;
	seed(20261122);
	for (int i = 0; i < 200; i++) {
		struct str a = text_of(200), b = text_changed(a, 3 + rnd(40));
		struct near_sketch x, y;
		near_sketch_of(a, &x);
		near_sketch_of(b, &y);
		double off = near_likeness(&x, &y) - jaccard(a, b);
		bias += off / 200;
		assert_true(off > -0.2 && off < 0.2);
	}
	assert_true(bias > -0.02 && bias < 0.02);
}

static struct near *collection(const struct str *texts, size_t n, const size_t *order, bool twice)
{
	struct near *c = near_new();
	assert_non_null(c);
	for (size_t i = 0; i < n; i++)
		for (int again = 0; again <= (twice ? (int)(i % 3) : 0); again++)
			assert_true(near_add(c, sha256(texts[order[i]]), texts[order[i]]));
	return c;
}

static void clusters_do_not_depend_on_order_repetition_or_threads(void **state)
{
	(void)state;
	enum { TEXTS = 600 };
	static struct str texts[TEXTS];
	static size_t order[TEXTS];
	const struct near_cluster *first, *other;
	size_t n_first, n_other;
	struct error e = { 0 };
	seed(7);
	for (size_t i = 0; i < TEXTS; i++) {
		texts[i] = i % 3 ? text_changed(texts[i - i % 3], 12 + rnd(20)) : text_of(80);
		order[i] = i;
	}
	struct near *a = collection(texts, TEXTS, order, false);
	assert_int_equal(near_clusters(a, 1, &first, &n_first, &e), ERR_OK);
	assert_true(n_first > 100);
	for (unsigned threads = 1; threads <= 3; threads++) {
		for (size_t i = TEXTS - 1; i > 0; i--) {
			size_t j = rnd(i + 1), t = order[i];
			order[i] = order[j];
			order[j] = t;
		}
		struct near *b = collection(texts, TEXTS, order, true);
		assert_int_equal(near_clusters(b, threads, &other, &n_other, &e), ERR_OK);
		assert_int_equal(n_other, n_first);
		for (size_t i = 0; i < n_first; i++) {
			assert_int_equal(other[i].n, first[i].n);
			assert_memory_equal(other[i].keys, first[i].keys, first[i].n * sizeof(*first[i].keys));
		}
		near_free(b);
	}
	near_free(a);
}

static void near_texts_are_found_and_others_left_alone(void **state)
{
	(void)state;
	enum { PAIRS = 300 };
	static struct str texts[PAIRS * 2];
	static size_t order[PAIRS * 2];
	const struct near_cluster *clusters;
	size_t n;
	struct error e = { 0 };
	seed(99);
	for (size_t i = 0; i < PAIRS; i++) {
		texts[2 * i] = text_of(120);
		texts[2 * i + 1] = i % 2 ? text_of(120) : text_changed(texts[2 * i], 40); /* about 0.9 */
		order[2 * i] = 2 * i;
		order[2 * i + 1] = 2 * i + 1;
	}
	struct near *c = collection(texts, PAIRS * 2, order, false);
	assert_int_equal(near_clusters(c, 2, &clusters, &n, &e), ERR_OK);
	assert_int_equal(n, PAIRS / 2);
	for (size_t i = 0; i < n; i++) {
		assert_int_equal(clusters[i].n, 2);
		assert_true(memcmp(clusters[i].keys[0].b, clusters[i].keys[1].b, 32) < 0);
	}
	near_free(c);
}

static void a_large_bucket_of_equal_texts_is_one_cluster(void **state)
{
	(void)state;
	struct error e = { 0 };
	const struct near_cluster *clusters;
	size_t n;
	struct near *c = near_new();
	for (int i = 0; i < 5000; i++)
		assert_true(near_add(c, sha256(str_fmt(arena, "key %d", i)), STR("The very same words, contributed by five thousand people.")));
	assert_int_equal(near_clusters(c, 2, &clusters, &n, &e), ERR_OK);
	assert_int_equal(n, 1);
	assert_int_equal(clusters[0].n, 5000);
	assert_int_equal(near_clusters(c, 1, &clusters, &n, &e), ERR_OK); /* asked again */
	assert_int_equal(n, 1);
	near_free(c);
}

static void an_empty_collection_has_no_clusters(void **state)
{
	(void)state;
	struct error e = { 0 };
	const struct near_cluster *clusters;
	size_t n = 7;
	struct near *c = near_new();
	assert_int_equal(near_clusters(c, 2, &clusters, &n, &e), ERR_OK);
	assert_int_equal(n, 0);
	near_free(c);
}

static void a_source_may_lose_a_fifth_and_no_more(void **state)
{
	(void)state;
	assert_true(near_loss_is_fair((struct near_loss){ 10, 2 }));
	assert_false(near_loss_is_fair((struct near_loss){ 10, 3 }));
	assert_true(near_loss_is_fair((struct near_loss){ 0, 0 }));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(case_punctuation_and_blanks_do_not_matter),
		cmocka_unit_test(other_scripts_count_as_letters),
		cmocka_unit_test(bytes_that_are_no_text_are_compared_too),
		cmocka_unit_test(the_estimate_agrees_with_counting),
		cmocka_unit_test(clusters_do_not_depend_on_order_repetition_or_threads),
		cmocka_unit_test(near_texts_are_found_and_others_left_alone),
		cmocka_unit_test(a_large_bucket_of_equal_texts_is_one_cluster),
		cmocka_unit_test(an_empty_collection_has_no_clusters),
		cmocka_unit_test(a_source_may_lose_a_fifth_and_no_more),
	};
	return cmocka_run_group_tests(tests, set_up, tear_down);
}
