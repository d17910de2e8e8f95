#include "commonhold/turn.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <pthread.h>

static void a_turn_that_nobody_gives_runs_out_of_time(void **state)
{
	(void)state;
	struct turn t = { 0 };
	assert_false(turn_await(&t, 0));
	assert_false(turn_await(&t, 2));
	turn_give(&t);
	assert_true(turn_await(&t, 0));
	assert_true(turn_await(&t, -1));
}

#define ROUNDS 2000

/* Two threads that hand one number back and forth. */
struct table { struct turn there[ROUNDS], back[ROUNDS]; int number; };

static void *other_side(void *arg)
{
	struct table *t = arg;
	for (int i = 0; i < ROUNDS; i++) {
		turn_await(&t->there[i], -1);
		t->number++;
		turn_give(&t->back[i]);
	}
	return NULL;
}

static void what_was_written_before_is_seen_after(void **state)
{
	(void)state;
	static struct table t;
	pthread_t thread;
	assert_int_equal(pthread_create(&thread, NULL, other_side, &t), 0);
	for (int i = 0; i < ROUNDS; i++) {
		t.number++;
		turn_give(&t.there[i]);
		assert_true(turn_await(&t.back[i], -1));
		assert_int_equal(t.number, 2 * i + 2);
	}
	pthread_join(thread, NULL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_turn_that_nobody_gives_runs_out_of_time),
		cmocka_unit_test(what_was_written_before_is_seen_after),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
