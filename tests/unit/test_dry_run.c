/* A dry run over random pools of two co-ops: its numbers are those that anybody counts from the same facts, and what the exchange and the joint release then come to. */
#include "two_pools.h"

#include "commonhold/preview.h"

#define TEXTS POOL_TEXTS
#define ROUNDS 4

/* `kept`: there may be content that one co-op keeps to itself and the other shares, which no preview tells of. */
static void pools_make(struct two_pools *p, const char *draft, bool kept)
{
	pools_found(p, draft);
	for (int s = 0; s < 2; s++) {
		for (int i = 1; i < 4; i++) {
			p->yes[s * 3 + i] = i == 1 || pools_chance(3) > 0;
			world_say(&p->side[s], s * 3 + i, p->yes[s * 3 + i] ? "allow" : "deny");
		}
		for (int text = 0; text < TEXTS; text++) {
			struct had *h = &p->had[s][text];
			h->member = s * 3 + 1 + (int)pools_chance(3);
			h->licence = (int)pools_chance(POOL_LICENCES);
			h->there = text == s || pools_chance(3) > 0;
			h->goes = h->there && p->yes[h->member];
			const struct had *other = &p->had[0][text];
			if (!kept && s && other->there && h->there && other->goes != h->goes)
				h->there = h->goes = false;
			if (h->there)
				h->id = pools_give(&p->side[s], h->member, text, h->licence);
		}
	}
	clock_set(clock_now() + CLOCK_MINUTE);
}

/* What the oracle says of a text: whether a joint release holds it. */
static bool told_in(const struct two_pools *p, int text)
{
	const struct had *a = &p->had[0][text], *b = &p->had[1][text];
	return a->goes || b->goes;
}

/* CC0 may go out under CC BY, and both under CC BY-SA: what both give goes out under the stricter. */
static int licence_of(const struct two_pools *p, int text)
{
	const struct had *a = &p->had[0][text], *b = &p->had[1][text];
	return a->goes && b->goes ? (a->licence > b->licence ? a->licence : b->licence) : a->goes ? a->licence : b->licence;
}

/* Which row of the joint release it is: the maker's own where the maker has it. */
static const struct had *row_of(const struct two_pools *p, int text)
{
	return p->had[0][text].goes ? &p->had[0][text] : &p->had[1][text];
}

static int64_t at(const struct json *v, const char *pointer)
{
	const struct json *found = json_at(v, pointer);
	return found ? json_int(found, INT64_MIN) : 0;
}

static const struct json *tried_out(struct two_pools *p)
{
	struct preview_kept kept;
	struct dry_run first, second;
	const struct json *v;
	struct call *c;
	for (int s = 0; s < 2; s++) {
		c = by(&p->side[s], 0);
		assert_ok(c, preview_make(c, p->side[s].coop, p->m.digest, &kept));
	}
	pools_run();
	c = by(&p->side[0], 0);
	assert_ok(c, dry_run_read(c, p->side[0].coop, p->m.digest, NULL, &first));
	assert_ok(by(&p->side[1], 0), dry_run_read(by(&p->side[1], 0), p->side[1].coop, p->m.digest, NULL, &second));
	assert_true(sha256_eq(first.digest, second.digest));
	c = p->m.w.system;
	assert_ok(c, json_parse(c->arena, str_copy(c->arena, first.document), &v, &c->error));
	return v;
}

static const struct json *party(const struct two_pools *p, const struct json *v, int side)
{
	json_each(x, json_get(v, "parties"))
		if (str_eq(json_member_text(x, "coop"), side ? p->m.other_name : p->m.name))
			return x;
	fail_msg("a side is missing");
	return NULL;
}

/* Every number of the dry run, counted from the facts by hand. */
static void assert_counted(const struct two_pools *p, const struct json *v)
{
	int64_t both = 0, differ = 0, rows = 0, items = 0, by_licence[POOL_LICENCES] = { 0 }, sum = 0;
	uint32_t people = 0;
	for (int text = 0; text < TEXTS; text++) {
		const struct had *a = &p->had[0][text], *b = &p->had[1][text];
		both += a->goes && b->goes;
		differ += a->goes && b->goes && a->licence != b->licence;
		if (!told_in(p, text))
			continue;
		rows++;
		items += a->goes + b->goes;
		by_licence[licence_of(p, text)]++;
		people |= 1u << row_of(p, text)->member;
	}
	assert_int_equal(at(v, "/duplicates"), both);
	assert_int_equal(at(v, "/conflicts/licence"), differ);
	assert_int_equal(at(v, "/joint/outcomes/include"), rows);
	assert_int_equal(at(v, "/joint/items"), items);
	for (size_t i = 0; i < POOL_LICENCES; i++)
		assert_int_equal(json_int(json_get(json_at(v, "/joint/by_licence"), pools_licence((int)i)), 0), by_licence[i]);
	assert_int_equal(at(v, "/joint/contributors"), __builtin_popcount(people));
	json_each(shard, json_at(v, "/licences/shards"))
		sum += json_int(json_get(shard, "items"), 0);
	assert_int_equal(sum, rows);
	for (int s = 0; s < 2; s++) {
		int64_t own = 0, in = 0, had = 0;
		for (int text = 0; text < TEXTS; text++) {
			had += p->had[s][text].there;
			own += p->had[s][text].goes;
			in += p->had[s][text].goes && told_in(p, text);
		}
		const struct json *x = party(p, v, s);
		assert_int_equal(at(x, "/candidates"), had);
		assert_int_equal(at(x, "/items"), own);
		assert_int_equal(at(x, "/alone/include"), own);
		assert_int_equal(at(x, "/joint/include"), in);
		assert_int_equal(at(x, "/items_lost"), own - in);
		assert_int_equal(at(x, "/unlisted/PREF_DENY"), had - own);
	}
}

/* The joint release that is made of both pools after the exchange: every text in it or not as was said, and as many. */
static void assert_comes_true(struct two_pools *p, const struct json *v)
{
	struct joint x, there;
	struct call *c = by(&p->side[0], 0);
	int64_t rows = 0;
	uint32_t people = 0;
	pools_carry(p, 0);
	pools_carry(p, 1);
	assert_ok(c, joint_propose(c, p->side[0].coop, p->m.agreement, INSTANT_NONE, &x));
	pools_run();
	for (int text = 0; text < TEXTS; text++) {
		rows += told_in(p, text);
		if (told_in(p, text))
			people |= 1u << row_of(p, text)->member;
	}
	if (rows == 0)
		return;
	for (int i = 0; i < 3; i++) {
		clock_set(x.release.cutoff_at + i * CLOCK_HOUR);
		pools_run();
	}
	c = p->m.w.system;
	assert_ok(c, joint_read(c, p->side[0].coop, x.j.id, &x));
	assert_ok(c, joint_read(c, p->side[1].coop, x.j.id, &there));
	assert_int_equal(x.release.included, rows);
	assert_int_equal(there.release.included, rows);
	assert_int_equal(x.release.included, at(v, "/joint/outcomes/include"));
	assert_int_equal(x.release.contributors, __builtin_popcount(people));
}

static void a_dry_run_says_what_will_be(void **state)
{
	uint64_t seed = pools_seed();
	for (int round = 0; round < ROUNDS; round++) {
		struct two_pools p;
		if (round) {
			fixture_teardown(state);
			fixture_setup(state);
		}
		pools_chance_from(seed + (uint64_t)round);
		pools_make(&p, "{\"joint\":\"us\"}", round == 0);
		const struct json *v = tried_out(&p);
		assert_counted(&p, v);
		if (round)
			assert_comes_true(&p, v);
	}
}

/* Where the whole gets one licence, as many rows go in as the dry run said. */
static void a_dry_run_says_what_an_adaptation_will_hold(void **state)
{
	struct two_pools p;
	(void)state;
	pools_chance_from(pools_seed());
	pools_make(&p, "{\"joint\":\"us\",\"licence_mode\":\"adaptation\"}", false);
	const struct json *v = tried_out(&p);
	assert_true(at(v, "/joint/outcomes/include") > 0);
	assert_comes_true(&p, v);
}

int main(void)
{
	const struct CMUnitTest tests[] = { fixture_test(a_dry_run_says_what_will_be), fixture_test(a_dry_run_says_what_an_adaptation_will_hold) };
	return fixture_run(tests, CH_LEN(tests));
}
