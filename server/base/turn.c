#include "commonhold/turn.h"
#include "commonhold/clock.h"

#include <linux/futex.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

static long futex(struct turn *t, int op, uint32_t value, const struct timespec *timeout)
{
	return syscall(SYS_futex, &t->given, op, value, timeout, NULL, 0);
}

void turn_give(struct turn *t)
{
	atomic_store_explicit(&t->given, 1, memory_order_release);
	/* The other may be gone with its memory by now: the kernel then finds nobody at the address. */
	futex(t, FUTEX_WAKE_PRIVATE, 1, NULL);
}

bool turn_await(struct turn *t, int ms)
{
	int64_t end = ms < 0 ? INT64_MAX : clock_tick() + (int64_t)ms * 1000;
	while (!atomic_load_explicit(&t->given, memory_order_acquire)) {
		int64_t left = ms < 0 ? 0 : end - clock_tick();
		struct timespec timeout = { .tv_sec = left / 1000000, .tv_nsec = left % 1000000 * 1000 };
		if (ms >= 0 && left <= 0)
			return false;
		futex(t, FUTEX_WAIT_PRIVATE, 0, ms < 0 ? NULL : &timeout);
	}
	return true;
}
