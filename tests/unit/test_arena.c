/* The arena: its cap, its jump, giving back, and the order of what it releases. */
#include "commonhold/arena.h"
#include "commonhold/limits.h"

#include <setjmp.h>
#include <stdalign.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

static char released[32];
static size_t released_count;

static void note_release(void *arg)
{
	released[released_count++] = *(const char *)arg;
	released[released_count] = '\0';
}

/* Something to release that has a name. */
static void *name(char c)
{
	static char names[128];
	names[(unsigned char)c & 127] = c;
	return &names[(unsigned char)c & 127];
}

static int set_up(void **state)
{
	(void)state;
	released_count = 0;
	released[0] = '\0';
	return 0;
}

static void memory_is_zeroed_and_aligned(void **state)
{
	(void)state;
	struct arena *a = arena_new(MIB);
	for (int round = 0; round < 3; round++) {
		for (size_t n = 0; n < 300; n++) {
			unsigned char *p = arena_alloc(a, n);
			assert_non_null(p);
			assert_int_equal((uintptr_t)p % alignof(max_align_t), 0);
			for (size_t i = 0; i < n; i++)
				assert_int_equal(p[i], 0);
			memset(p, 0xff, n);
		}
		arena_reset(a);
		assert_int_equal(arena_used(a), 0);
	}
	arena_free(a);
	arena_free(NULL);
}

static void nothing_beyond_the_cap_is_handed_out(void **state)
{
	(void)state;
	struct arena *a = arena_new(1000);
	assert_non_null(arena_alloc(a, 600));
	assert_null(arena_alloc(a, 401));
	assert_non_null(arena_alloc(a, 400));
	assert_null(arena_alloc(a, 1));
	assert_null(arena_alloc(a, SIZE_MAX));
	assert_int_equal(arena_used(a), 1000);
	arena_reset(a);
	assert_non_null(arena_alloc(a, 1000));
	arena_free(a);
}

static void an_array_too_large_to_count_is_out_of_memory(void **state)
{
	(void)state;
	struct arena *a = arena_new(SIZE_MAX / 2);
	assert_null(arena_array(a, SIZE_MAX / 4, 8));
	assert_null(arena_array(a, 8, SIZE_MAX / 4));
	assert_non_null(arena_array(a, 0, 8));
	assert_non_null(arena_array(a, 8, 0));
	arena_free(a);
}

static void blocks_larger_than_usual_fit(void **state)
{
	(void)state;
	struct arena *a = arena_new(64 * MIB);
	unsigned char *big = arena_alloc(a, 5 * MIB), *small = arena_alloc(a, 10);
	assert_non_null(big);
	assert_non_null(small);
	big[5 * MIB - 1] = 1;
	small[9] = 1;
	arena_free(a);
}

static void the_guard_jumps_when_memory_is_short(void **state)
{
	(void)state;
	struct arena *a = arena_new(100);
	jmp_buf guard;
	volatile int jumps = 0;
	if (setjmp(guard) != 0) {
		jumps++;
	} else {
		arena_guard(a, &guard);
		arena_alloc(a, 101);
		fail();
	}
	assert_int_equal(jumps, 1);
	arena_guard(a, NULL);
	assert_null(arena_alloc(a, 101));
	arena_free(a);
}

static void defers_run_in_reverse_order_once(void **state)
{
	(void)state;
	struct arena *a = arena_new(MIB);
	arena_defer(a, note_release, name('1'));
	arena_defer(a, note_release, name('2'));
	arena_defer(a, note_release, name('3'));
	assert_string_equal(released, "");
	arena_reset(a);
	assert_string_equal(released, "321");
	arena_reset(a);
	assert_string_equal(released, "321");
	arena_defer(a, note_release, name('4'));
	arena_free(a);
	assert_string_equal(released, "3214");
}

static void what_cannot_be_deferred_is_released_at_once(void **state)
{
	(void)state;
	struct arena *a = arena_new(0);
	arena_defer(a, note_release, name('1'));
	assert_string_equal(released, "1");
	/* Also when the shortage jumps. */
	jmp_buf guard;
	volatile bool jumped = false;
	if (setjmp(guard) == 0) {
		arena_guard(a, &guard);
		arena_defer(a, note_release, name('2'));
	} else {
		jumped = true;
	}
	assert_true(jumped);
	assert_string_equal(released, "12");
	arena_guard(a, NULL);
	arena_free(a);
	assert_string_equal(released, "12");
}

static void rewinding_gives_back_what_came_after_the_mark(void **state)
{
	(void)state;
	struct arena *a = arena_new(2 * MIB);
	char *kept = arena_alloc(a, 100);
	kept[99] = 'k';
	arena_defer(a, note_release, name('1'));
	struct arena_mark mark = arena_mark(a);
	size_t used = arena_used(a);
	for (int round = 0; round < 50; round++) {
		arena_defer(a, note_release, name('x'));
		for (int i = 0; i < 10; i++)
			assert_non_null(arena_alloc(a, 100000));
		arena_rewind(a, mark);
		assert_int_equal(arena_used(a), used);
		assert_string_equal(released, "x");
		released_count = 0;
	}
	assert_int_equal(kept[99], 'k');
	released[0] = '\0';
	arena_rewind(a, mark);
	assert_string_equal(released, "");
	arena_free(a);
	assert_string_equal(released, "1");
}

static void what_an_arena_keeps_is_used_again_and_counts_for_nothing(void **state)
{
	(void)state;
	struct arena *a = arena_new(16 * MIB);
	arena_keep(a, 2 * MIB);
	for (int round = 0; round < 3; round++) {
		for (int i = 0; i < 8000; i++) {
			char *p = arena_alloc(a, 1000);
			for (size_t k = 0; k < 1000; k++)
				assert_int_equal(p[k], 0);
			memset(p, 'x', 1000);
			memset(arena_take(a, 500), 'y', 500);
		}
		assert_int_equal(arena_used(a), 8000 * 1500);
		arena_reset(a);
		assert_int_equal(arena_used(a), 0);
	}
	arena_free(a);
}

int main(void)
{
#define TEST(f) cmocka_unit_test_setup(f, set_up)
	const struct CMUnitTest tests[] = {
		TEST(memory_is_zeroed_and_aligned), TEST(nothing_beyond_the_cap_is_handed_out), TEST(an_array_too_large_to_count_is_out_of_memory), TEST(blocks_larger_than_usual_fit),
		TEST(the_guard_jumps_when_memory_is_short), TEST(defers_run_in_reverse_order_once), TEST(what_cannot_be_deferred_is_released_at_once),
		TEST(rewinding_gives_back_what_came_after_the_mark), TEST(what_an_arena_keeps_is_used_again_and_counts_for_nothing),
	};
	return cmocka_run_group_tests_name("arena", tests, NULL, NULL);
}
