/* chain_world.h - three co-ops of one instance in a chain, A - B - C, whose agreements let what is exchanged be passed on; member 0 is in all of them. For tests of what travels with bundles. */
#ifndef COMMONHOLD_TESTS_CHAIN_WORLD_H
#define COMMONHOLD_TESTS_CHAIN_WORLD_H

#include "erasure_world.h"
#include "merge_world.h"

#include "commonhold/bundle.h"
#include "commonhold/merge.h"
#include "commonhold/message.h"
#include "commonhold/mirror.h"
#include "commonhold/onward.h"

#include <stdio.h>

enum { A, B, C, COOPS };

struct chain {
	struct world w;
	struct uuid coop[COOPS];
	struct str name[COOPS];
	struct uuid agreement[COOPS][COOPS];
};

static char *text(const char *fmt, ...) CH_PRINTF(1, 2);
static char *text(const char *fmt, ...)
{
	static char out[16][2000];
	static unsigned next;
	char *p = out[next++ % CH_LEN(out)];
	va_list args;
	va_start(args, fmt);
	vsnprintf(p, sizeof(out[0]), fmt, args);
	va_end(args);
	return p;
}

#define U(id) text("%.*s", STR_ARG(uuid_format(ch->w.system->arena, (id))))

static inline void agree(struct chain *ch, int x, int y, const char *draft)
{
	struct sha256 digest;
	ch->agreement[x][y] = ch->agreement[y][x] = merge_world_agree(ch->w.system, by(&ch->w, 0), ch->coop[x], ch->coop[y], draft, &digest);
}

/* `first` and `second`: drafts of the agreements A-B and B-C. */
static inline void chain_make_with(struct chain *ch, const char *first, const char *second)
{
	memset(ch, 0, sizeof(*ch));
	world_make(&ch->w, NULL);
	onward_start();
	ch->coop[A] = ch->w.coop;
	ch->coop[B] = merge_world_coop(&ch->w, "bee");
	ch->coop[C] = merge_world_coop(&ch->w, "sea");
	for (int i = 0; i < COOPS; i++)
		ch->name[i] = merge_world_key_name(ch->w.system, ch->coop[i]);
	agree(ch, A, B, first);
	agree(ch, B, C, second);
}

static inline void chain_make(struct chain *ch)
{
	chain_make_with(ch, "{\"onward\":true}", "{\"onward\":true}");
}

/* The world's helpers speak to its own co-op: this one to any. Member 0 is in all of them. */
static inline void say_at(struct chain *ch, int at, const char *effect)
{
	ch->w.coop = ch->coop[at];
	world_say(&ch->w, 0, effect);
	ch->w.coop = ch->coop[A];
}

static inline struct uuid contribute_at(struct chain *ch, int at, const char *words)
{
	ch->w.coop = ch->coop[at];
	struct uuid id = world_contribute(&ch->w, 0, words);
	ch->w.coop = ch->coop[A];
	return id;
}

static inline struct erasure erase_at(struct chain *ch, int at, const struct uuid *items, size_t n)
{
	ch->w.coop = ch->coop[at];
	struct erasure e = ask(&ch->w, 0, ERASURE_ERASE, items, n);
	ch->w.coop = ch->coop[A];
	return e;
}

/* The next bundle, where it lies. */
static inline struct bundle_report bundle_made(struct chain *ch, int from, int to)
{
	struct bundle_report written;
	struct call *c = ch->w.system;
	clock_set(clock_now() + CLOCK_MINUTE);
	assert_ok(c, bundle_write(c, ch->coop[from], ch->agreement[from][to], &(struct bundle_how){ .even_empty = true }, &written));
	return written;
}

static inline struct merge_report bundle_given(struct chain *ch, int from, int to, struct bundle_report written)
{
	struct merge_report taken;
	struct call *c = ch->w.system;
	assert_ok(c, bundle_take(c, ch->coop[to], str_z(c->arena, written.dir), &taken));
	assert_ok(c, bundle_taken_upto(c, ch->coop[from], ch->agreement[from][to], written.seq));
	return taken;
}

static inline struct merge_report bundle(struct chain *ch, int from, int to)
{
	return bundle_given(ch, from, to, bundle_made(ch, from, to));
}

static const struct job_kind *const all_jobs[] = { erasure_jobs, onward_jobs, message_jobs, release_jobs, mirror_jobs, ballot_jobs, NULL };
static const struct job_kind *const no_messages[] = { erasure_jobs, onward_jobs, release_jobs, mirror_jobs, ballot_jobs, NULL };

static inline void run(const struct job_kind *const *tables, int rounds)
{
	struct error e = { 0 };
	int ran;
	for (int i = 0; i < rounds; i++) {
		clock_set(clock_now() + 10 * CLOCK_SECOND);
		if (job_run_due(tables, &ran, &e) != ERR_OK)
			fail_msg("jobs: %s", e.message);
	}
}

static inline bool holds(struct chain *ch, int at, struct uuid item)
{
	return fixture_int(text("SELECT count(*) FROM contribution_content WHERE coop_id = '%s' AND id = '%s'", U(ch->coop[at]), U(item))) == 1;
}

static inline int64_t tombstones(struct chain *ch, int at, int home, struct uuid item)
{
	return fixture_int(text("SELECT count(*) FROM tombstone WHERE coop_id = '%s' AND position('\"rid\":[\"dc:%.*s:%s\"]' IN line) > 0", U(ch->coop[at]), STR_ARG(ch->name[home]), U(item)));
}

static inline const char *confirmed(struct chain *ch, int at, struct uuid erasure, int partner)
{
	const char *method = fixture_text(text("SELECT coalesce(method, '') FROM duty WHERE coop_id = '%s' AND erasure_id = '%s' AND partner = '%.*s'", U(ch->coop[at]), U(erasure), STR_ARG(ch->name[partner])));
	return method ? method : "none";
}

#endif
