/* The belt: everything comes in order, worked on once a round, whatever the threads do; and nothing hangs when it ends early. */
#include "commonhold/belt.h"
#include "commonhold/limits.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <cmocka.h>

#define MOST 50

/* Numbers from 0 to `total`, in groups of changing size. */
struct source {
	int total, next, groups;
	int fails_after;                 /* groups after which filling fails; -1: never */
	int n[BELT_GROUPS];
	int value[BELT_GROUPS][MOST];
	_Atomic int worked[BELT_GROUPS][MOST];
	_Atomic int filling;             /* fills at a time */
};

static enum err fill(void *arg, unsigned place, size_t *n, bool *last, struct error *e)
{
	struct source *s = arg;
	assert_int_equal(atomic_fetch_add(&s->filling, 1), 0);
	int want = s->groups * 7 % (MOST + 1);
	for (; (int)*n < want && s->next < s->total; ++*n) {
		s->value[place][*n] = s->next++;
		s->worked[place][*n] = 0;
	}
	*last = s->next == s->total;
	atomic_fetch_sub(&s->filling, 1);
	return s->groups++ == s->fails_after ? error_set(e, ERR_CORRUPT, "It ends here.") : ERR_OK;
}

static void work(void *arg, unsigned place, unsigned worker, unsigned round, size_t from, size_t to, struct arena *scratch)
{
	struct source *s = arg;
	assert_true(worker < BELT_WORKERS_MAX && from < to);
	assert_non_null(arena_alloc(scratch, 100));
	for (size_t i = from; i < to; i++)
		assert_int_equal(atomic_fetch_add(&s->worked[place][i], 1), (int)round);
}

static struct belt *start(struct source *s, unsigned workers, int total, int fails_after)
{
	struct belt *b;
	struct error e = { 0 };
	*s = (struct source){ .total = total, .fails_after = fails_after };
	const struct belt_work w = { .arg = s, .workers = workers, .chunk = 3, .scratch = MIB, .fill = fill, .work = work };
	assert_int_equal(belt_start(&w, &b, &e), ERR_OK);
	return b;
}

static void groups_come_in_order_and_every_piece_is_worked_on_once_a_round(void **state)
{
	static struct source s;
	(void)state;
	for (unsigned workers = 1; workers <= BELT_WORKERS_MAX; workers++) {
		struct belt *b = start(&s, workers, 3000, -1);
		int seen = 0;
		bool last = false;
		for (unsigned number = 0; !last; number++) {
			struct belt_group g = belt_take(b, number);
			assert_null(g.error);
			last = g.last;
			for (unsigned round = 1; round <= 3; round++) {
				for (size_t i = 0; i < g.n; i++)
					assert_int_equal(s.worked[g.place][i], (int)round);
				if (round < 3) {
					belt_again(b, number);
					assert_int_equal(belt_take(b, number).n, g.n);
				}
			}
			for (size_t i = 0; i < g.n; i++)
				assert_int_equal(s.value[g.place][i], seen++);
			belt_done(b);
		}
		assert_int_equal(seen, 3000);
		belt_stop(b);
	}
}

/* As an import does it: a group is finished after the next was sent again. */
static void two_groups_may_be_held_at_a_time(void **state)
{
	static struct source s;
	(void)state;
	struct belt *b = start(&s, 2, 2000, -1);
	int seen = 0;
	bool last = false;
	for (unsigned number = 0; !last; number++) {
		struct belt_group g = belt_take(b, number);
		last = g.last;
		belt_again(b, number);
		for (int back = number ? 1 : 0; back >= (last ? 0 : 1); back--) {
			g = belt_take(b, number - (unsigned)back);
			for (size_t i = 0; i < g.n; i++) {
				assert_int_equal(s.value[g.place][i], seen++);
				assert_int_equal(s.worked[g.place][i], 2);
			}
			belt_done(b);
		}
	}
	assert_int_equal(seen, 2000);
	belt_stop(b);
}

static void what_was_filled_before_an_error_comes_before_it(void **state)
{
	static struct source s;
	(void)state;
	for (int after = 0; after < 9; after++) {
		struct belt *b = start(&s, 3, 100000, after);
		unsigned number = 0;
		int seen = 0;
		struct belt_group g;
		for (;; number++) {
			g = belt_take(b, number);
			for (size_t i = 0; i < g.n; i++)
				assert_int_equal(s.value[g.place][i], seen++);
			if (g.last)
				break;
			assert_null(g.error);
			belt_done(b);
		}
		assert_int_equal(number, after);
		assert_non_null(g.error);
		assert_int_equal(g.error->code, ERR_CORRUPT);
		assert_int_equal(seen, s.next);
		belt_stop(b);
	}
}

static void it_stops_whatever_is_on_it(void **state)
{
	static struct source s;
	(void)state;
	for (unsigned i = 0; i < 60; i++) {
		struct belt *b = start(&s, i % BELT_WORKERS_MAX + 1, 100000, -1);
		for (unsigned number = 0; number < i % 6; number++) {
			(void)belt_take(b, number);
			belt_done(b);
		}
		belt_stop(b);
	}
	belt_stop(NULL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(groups_come_in_order_and_every_piece_is_worked_on_once_a_round),
		cmocka_unit_test(two_groups_may_be_held_at_a_time),
		cmocka_unit_test(what_was_filled_before_an_error_comes_before_it),
		cmocka_unit_test(it_stops_whatever_is_on_it),
	};
	return cmocka_run_group_tests_name("belt", tests, NULL, NULL);
}
