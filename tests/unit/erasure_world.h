/* erasure_world.h - asking for deletions in the small co-op of world.h. */
#ifndef COMMONHOLD_TESTS_ERASURE_WORLD_H
#define COMMONHOLD_TESTS_ERASURE_WORLD_H

#include "world.h"

#include "commonhold/account.h"
#include "commonhold/erasure.h"

static inline const struct json *json_of(struct call *c, const char *text)
{
	const struct json *v;
	assert_ok(c, json_parse(c->arena, str_of(text), &v, &c->error));
	return v;
}

/* Somebody who has an account and is no member. */
static inline struct call *stranger_new(struct world *w, const char *name)
{
	struct call *c = fixture_call();
	struct account account;
	(void)w;
	assert_ok(c, account_create(c, str_fmt(c->arena, "%s@example.org", name), str_of(name), &account));
	c->actor = (struct actor){ .kind = AUTH_SESSION, .account = account.id, .email = account.email, .name = account.name };
	return c;
}

static inline struct erasure ask(struct world *w, int member, enum erasure_kind kind, const struct uuid *items, size_t n)
{
	struct erasure e;
	struct erasure_wish wish = { .kind = kind, .items = items, .n_items = n, .until = INSTANT_NONE, .issued_at = INSTANT_NONE, .expires_at = INSTANT_NONE };
	assert_ok(by(w, member), erasure_ask(by(w, member), w->coop, &wish, &e));
	return e;
}

static inline struct erasure ask_all(struct world *w, int member)
{
	struct erasure e;
	struct erasure_wish wish = { .kind = ERASURE_ERASE, .scope = ERASURE_COOP, .until = INSTANT_NONE, .issued_at = INSTANT_NONE, .expires_at = INSTANT_NONE };
	assert_ok(by(w, member), erasure_ask(by(w, member), w->coop, &wish, &e));
	return e;
}

static inline struct erasure ask_until(struct world *w, int member, const struct uuid *item, instant until)
{
	struct erasure e;
	struct erasure_wish wish = { .kind = ERASURE_EMBARGO, .items = item, .n_items = 1, .until = until, .issued_at = INSTANT_NONE, .expires_at = INSTANT_NONE };
	assert_ok(by(w, member), erasure_ask(by(w, member), w->coop, &wish, &e));
	return e;
}

static inline struct erasure claim(struct world *w, struct call *subject, const struct uuid *items, size_t n, const char *text)
{
	struct erasure e;
	struct erasure_wish wish = { .kind = ERASURE_ERASE, .items = items, .n_items = n, .about_me = true, .claim = text ? str_of(text) : STR_NONE, .until = INSTANT_NONE,
		.issued_at = INSTANT_NONE, .expires_at = INSTANT_NONE };
	assert_ok(subject, erasure_ask(subject, w->coop, &wish, &e));
	return e;
}

/* The word of an item as decisions see it. */
static inline uint64_t word_of(struct world *w, struct uuid item)
{
	struct contribution it;
	assert_ok(by(w, 0), pool_read(by(w, 0), w->coop, item, &it, NULL));
	return it.word;
}

static inline int64_t notices(struct world *w, int member, const char *kind)
{
	struct arena *a = w->system->arena;
	return fixture_int(str_z(a, str_fmt(a, "SELECT count(*) FROM notice WHERE kind = '%s' AND account_id = '%.*s'", kind, STR_ARG(uuid_format(a, w->actor[member].account)))));
}

static inline enum erasure_state state_of(struct world *w, struct uuid id)
{
	struct erasure e;
	assert_ok(w->system, erasure_read(w->system, w->coop, id, &e));
	return e.state;
}

/* Moves the clock and lets the daily job run. */
static inline void daily(struct world *w, instant t)
{
	clock_set(t);
	for (const struct job_kind *k = erasure_jobs; k->kind; k++)
		if (strcmp(k->kind, "erasure.daily") == 0)
			assert_ok(w->system, k->run(w->system, NULL));
}

/* Moves the clock and runs what is due of everything that requests touch. */
static inline void erasure_until(struct world *w, instant t)
{
	static const struct job_kind *const tables[] = { ballot_jobs, release_jobs, erasure_jobs, NULL };
	struct error e = { 0 };
	int ran;
	(void)w;
	clock_set(t);
	if (job_run_due(tables, &ran, &e) != ERR_OK)
		fail_msg("%s", e.message);
}

#endif
