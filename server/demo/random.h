/* random.h - the demo's own generator (SplitMix64, Steele, Lea and Flood 2014): the same numbers on every machine, and as many independent rows as wanted. */
#ifndef DEMO_RANDOM_H
#define DEMO_RANDOM_H

#include <stdint.h>

struct demo_random { uint64_t state; };

static inline uint64_t demo_next(struct demo_random *r)
{
	uint64_t z = r->state += UINT64_C(0x9e3779b97f4a7c15);
	z = (z ^ z >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
	z = (z ^ z >> 27) * UINT64_C(0x94d049bb133111eb);
	return z ^ z >> 31;
}

/* The generator of one thing among many: (seed, what, number). */
static inline struct demo_random demo_stream(uint64_t seed, uint64_t what, uint64_t number)
{
	struct demo_random r = { seed ^ what * UINT64_C(0xd1342543de82ef95) };
	r.state = demo_next(&r) ^ number * UINT64_C(0xaf251af3b0f025b5);
	r.state = demo_next(&r);
	return r;
}

/* In [0, n); n > 0. The bias is far below what anybody could see. */
static inline unsigned demo_below(struct demo_random *r, unsigned n)
{
	return (unsigned)((demo_next(r) >> 32) * n >> 32);
}

static inline unsigned demo_between(struct demo_random *r, unsigned low, unsigned high)
{
	return low + demo_below(r, high - low + 1);
}

/* Whether something happens that does so `percent` times in a hundred. */
static inline int demo_chance(struct demo_random *r, unsigned percent)
{
	return demo_below(r, 100) < percent;
}

#endif
