/* A dry run over random pools of two co-ops: its numbers are those that anybody counts from the same facts, and what the exchange and the joint release then come to. */
#include "merge_world.h"

#include "commonhold/bundle.h"
#include "commonhold/joint.h"
#include "commonhold/merge.h"
#include "commonhold/message.h"
#include "commonhold/preview.h"

#include <stdlib.h>

#define TEXTS 10
#define ROUNDS 4

static const char *const licences[] = { "CC0-1.0", "CC-BY-4.0", "CC-BY-SA-4.0" };

/* Who has a text in one co-op, as the oracle knows it. */
struct had { bool there, goes; int member, licence; struct uuid id; };

struct random_pools {
	struct merge_world m;
	struct world side[2];      /* the first makes joint releases */
	struct had had[2][TEXTS];
	bool yes[WORLD_MEMBERS];   /* who allows it */
};

static uint64_t state_of_chance;

static unsigned chance(unsigned n)
{
	state_of_chance = state_of_chance * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
	return (unsigned)(state_of_chance >> 33) % n;
}

static uint64_t random_seed(void)
{
	uint32_t seed;
	random_bytes(&seed, sizeof(seed));
	return seed;
}

static void run(void)
{
	static const struct job_kind *const tables[] = { ballot_jobs, release_jobs, control_jobs, joint_jobs, message_jobs, preview_jobs, NULL };
	struct error e = { 0 };
	int ran;
	if (job_run_due(tables, &ran, &e) != ERR_OK)
		fail_msg("jobs: %s", e.message);
}

static struct uuid give(struct world *w, int member, int text, int licence)
{
	struct receipt receipt;
	const struct json *json;
	struct call *c = by(w, member);
	struct str body = str_fmt(c->arena, "{\"kind\":\"example\",\"lang\":\"en\",\"licence\":\"%s\",\"content\":{\"input\":\"A text with the number %d.\",\"output\":\"An answer.\"}}", licences[licence], text);
	assert_ok(c, json_parse(c->arena, body, &json, &c->error));
	assert_ok(c, pool_submit(c, w->coop, json, &receipt));
	return receipt.id;
}

/* `kept`: there may be content that one co-op keeps to itself and the other shares, which no preview tells of. */
static void pools_make(struct random_pools *p, bool kept)
{
	struct member joined;
	*p = (struct random_pools){ 0 };
	merge_world_make(&p->m, "{\"joint\":\"us\"}");
	p->side[0] = p->side[1] = p->m.w;
	p->side[1].coop = p->m.other;
	for (int i = 4; i < 7; i++) {
		assert_ok(by(&p->side[1], i), member_join(by(&p->side[1], i), p->side[1].coop, &joined));
		p->side[1].id[i] = joined.id;
	}
	for (int s = 0; s < 2; s++) {
		for (int i = 1; i < 4; i++) {
			p->yes[s * 3 + i] = i == 1 || chance(3) > 0;
			world_say(&p->side[s], s * 3 + i, p->yes[s * 3 + i] ? "allow" : "deny");
		}
		for (int text = 0; text < TEXTS; text++) {
			struct had *h = &p->had[s][text];
			h->member = s * 3 + 1 + (int)chance(3);
			h->licence = (int)chance(CH_LEN(licences));
			h->there = text == s || chance(3) > 0;
			h->goes = h->there && p->yes[h->member];
			const struct had *other = &p->had[0][text];
			if (!kept && s && other->there && h->there && other->goes != h->goes)
				h->there = h->goes = false;
			if (h->there)
				h->id = give(&p->side[s], h->member, text, h->licence);
		}
	}
	clock_set(clock_now() + CLOCK_MINUTE);
}

/* What the oracle says of a text: whether a joint release holds it. */
static bool told_in(const struct random_pools *p, int text)
{
	const struct had *a = &p->had[0][text], *b = &p->had[1][text];
	return a->goes || b->goes;
}

/* CC0 may go out under CC BY, and both under CC BY-SA: what both give goes out under the stricter. */
static int licence_of(const struct random_pools *p, int text)
{
	const struct had *a = &p->had[0][text], *b = &p->had[1][text];
	return a->goes && b->goes ? (a->licence > b->licence ? a->licence : b->licence) : a->goes ? a->licence : b->licence;
}

/* Which row of the joint release it is: the maker's own where the maker has it. */
static const struct had *row_of(const struct random_pools *p, int text)
{
	return p->had[0][text].goes ? &p->had[0][text] : &p->had[1][text];
}

static int64_t at(const struct json *v, const char *pointer)
{
	const struct json *found = json_at(v, pointer);
	return found ? json_int(found, INT64_MIN) : 0;
}

static const struct json *tried_out(struct random_pools *p)
{
	struct preview_kept kept;
	struct dry_run first, second;
	const struct json *v;
	struct call *c;
	for (int s = 0; s < 2; s++) {
		c = by(&p->side[s], 0);
		assert_ok(c, preview_make(c, p->side[s].coop, p->m.digest, &kept));
	}
	run();
	c = by(&p->side[0], 0);
	assert_ok(c, dry_run_read(c, p->side[0].coop, p->m.digest, NULL, &first));
	assert_ok(by(&p->side[1], 0), dry_run_read(by(&p->side[1], 0), p->side[1].coop, p->m.digest, NULL, &second));
	assert_true(sha256_eq(first.digest, second.digest));
	c = p->m.w.system;
	assert_ok(c, json_parse(c->arena, str_copy(c->arena, first.document), &v, &c->error));
	return v;
}

static const struct json *party(const struct random_pools *p, const struct json *v, int side)
{
	json_each(x, json_get(v, "parties"))
		if (str_eq(json_member_text(x, "coop"), side ? p->m.other_name : p->m.name))
			return x;
	fail_msg("a side is missing");
	return NULL;
}

/* Every number of the dry run, counted from the facts by hand. */
static void assert_counted(const struct random_pools *p, const struct json *v)
{
	int64_t both = 0, differ = 0, rows = 0, items = 0, by_licence[CH_LEN(licences)] = { 0 }, sum = 0;
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
	for (size_t i = 0; i < CH_LEN(licences); i++)
		assert_int_equal(json_int(json_get(json_at(v, "/joint/by_licence"), licences[i]), 0), by_licence[i]);
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

static void carry(struct random_pools *p, int from)
{
	struct bundle_report written;
	struct merge_report taken;
	struct bundle_how how = { .even_empty = true };
	struct call *c = p->m.w.system;
	assert_ok(c, bundle_write(c, p->side[from].coop, p->m.agreement, &how, &written));
	assert_ok(c, bundle_take(c, p->side[!from].coop, str_z(c->arena, written.dir), &taken));
	assert_ok(c, bundle_taken_upto(c, p->side[from].coop, p->m.agreement, written.seq));
}

/* The joint release that is made of both pools after the exchange: every text in it or not as was said, and as many. */
static void assert_comes_true(struct random_pools *p, const struct json *v)
{
	struct joint x, there;
	struct call *c = by(&p->side[0], 0);
	int64_t rows = 0;
	uint32_t people = 0;
	carry(p, 0);
	carry(p, 1);
	assert_ok(c, joint_propose(c, p->side[0].coop, p->m.agreement, INSTANT_NONE, &x));
	run();
	for (int text = 0; text < TEXTS; text++) {
		rows += told_in(p, text);
		if (told_in(p, text))
			people |= 1u << row_of(p, text)->member;
	}
	if (rows == 0)
		return;
	for (int i = 0; i < 3; i++) {
		clock_set(x.release.cutoff_at + i * CLOCK_HOUR);
		run();
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
	const char *given = getenv("COMMONHOLD_SEED");
	uint64_t seed = given ? strtoull(given, NULL, 10) : random_seed();
	print_message("seed %llu\n", (unsigned long long)seed);
	for (int round = 0; round < ROUNDS; round++) {
		struct random_pools p;
		if (round) {
			fixture_teardown(state);
			fixture_setup(state);
		}
		state_of_chance = seed + (uint64_t)round;
		pools_make(&p, round == 0);
		const struct json *v = tried_out(&p);
		assert_counted(&p, v);
		if (round)
			assert_comes_true(&p, v);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = { fixture_test(a_dry_run_says_what_will_be) };
	return fixture_run(tests, CH_LEN(tests));
}
