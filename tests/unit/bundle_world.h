/* bundle_world.h - a sender three of whose people allow what is asked, its partner, and the sender's next bundle: what tests of bundles begin with. */
#ifndef COMMONHOLD_TESTS_BUNDLE_WORLD_H
#define COMMONHOLD_TESTS_BUNDLE_WORLD_H

#include "bundle_forge.h"
#include "merge_world.h"

static struct merge_world m;

static inline void make(void)
{
	merge_world_make(&m, NULL);
	forger.call = m.w.system;
	forger.sender = m.w.coop;
	for (int i = 0; i < 3; i++)
		world_say(&m.w, i, "allow");
}

/* Number 0: there was nothing to write. */
static inline struct bundle_report written(bool whole)
{
	struct call *c = m.w.system;
	struct bundle_report r;
	assert_ok(c, bundle_write(c, m.w.coop, m.agreement, &(struct bundle_how){ .whole = whole }, &r));
	return r;
}

#endif
