/* Joint releases of pools that go on differing: whatever the two have, both come to the same set without what they do not agree on, soon, and say what that was. */
#include "two_pools.h"

#define ROUNDS 4
#define SOON CLOCK_HOUR /* after the maker said to go on */

static bool holds(struct str text, const char *what)
{
	return text.p && memmem(text.p, text.n, what, strlen(what)) != NULL;
}

static bool holds_id(struct call *c, struct str text, struct uuid id)
{
	return holds(text, str_z(c->arena, uuid_format(c->arena, id)));
}

static struct joint see(struct two_pools *p, int side, struct uuid id)
{
	struct joint x;
	struct call *c = p->m.w.system;
	assert_ok(c, joint_read(c, p->side[side].coop, id, &x));
	return x;
}

/* Proposed, and both have decided at the cut-off. */
static struct joint both_decided(struct two_pools *p)
{
	struct joint x;
	struct call *c = by(&p->side[0], 0);
	assert_ok(c, joint_propose(c, p->side[0].coop, p->m.agreement, INSTANT_NONE, &x));
	pools_run();
	clock_set(x.release.cutoff_at);
	pools_run();
	clock_set(x.release.cutoff_at + CLOCK_HOUR);
	pools_run();
	return see(p, 0, x.j.id);
}

/* The maker goes on with what both have; what follows has an hour. */
static void narrowed(struct two_pools *p, struct uuid id)
{
	struct joint x;
	struct call *c = by(&p->side[0], 0);
	instant from = clock_now();
	assert_ok(c, joint_narrow(c, p->side[0].coop, id, &x));
	for (int i = 0; i <= 4; i++) {
		clock_set(from + i * SOON / 4);
		pools_run();
	}
}

static void assert_state(const struct joint *x, enum release_state state)
{
	if (x->release.state != state)
		fail_msg("it is %s: %.*s %.*s", release_state_name(x->release.state), STR_ARG(x->j.differs), STR_ARG(x->release.failure));
}

/* ---- by hand ---- */

static void differences_in_many_parts_are_left_out(void **state)
{
	struct two_pools p;
	(void)state;
	pools_found(&p, "{\"joint\":\"us\"}");
	world_say(&p.side[0], 1, "allow");
	world_say(&p.side[1], 4, "allow");
	pools_give(&p.side[0], 1, 0, 0);
	clock_set(clock_now() + CLOCK_MINUTE);
	pools_carry(&p, 0);
	for (int text = 1; text < 20; text++)
		pools_give(&p.side[1], 4, text, 0); /* of which the first never hears */
	struct joint x = both_decided(&p);
	assert_state(&x, RELEASE_SCHEDULED);
	narrowed(&p, x.j.id);
	for (int s = 0; s < 2; s++) {
		x = see(&p, s, x.j.id);
		assert_state(&x, RELEASE_NOTICE);
		assert_int_equal(x.release.included, 1);
		assert_int_equal(x.j.without.n, 19 * 32);
	}
	assert_true(holds(x.j.left_out, "19 of both sets' leaves are left out, 19 items of ours among them"));
}

/* Its contributor in one co-op said no, the one in the other said yes: no row of it in either, each names its own, and neither is told what the other has. */
static void a_text_that_one_keeps_to_itself_is_left_out_by_both(void **state)
{
	struct two_pools p;
	(void)state;
	pools_found(&p, "{\"joint\":\"us\"}");
	world_say(&p.side[0], 1, "deny");
	world_say(&p.side[0], 2, "allow");
	world_say(&p.side[1], 4, "allow");
	struct uuid kept[3], shared[3];
	for (int text = 0; text < 3; text++) {
		kept[text] = pools_give(&p.side[0], 1, text, 0);
		shared[text] = pools_give(&p.side[1], 4, text, 0);
	}
	struct uuid both = pools_give(&p.side[0], 2, 3, 0);
	clock_set(clock_now() + CLOCK_MINUTE);
	pools_carry(&p, 0);
	pools_carry(&p, 1);
	struct joint x = both_decided(&p);
	assert_state(&x, RELEASE_SCHEDULED);
	narrowed(&p, x.j.id);
	struct call *c = p.m.w.system;
	struct joint here = see(&p, 0, x.j.id), there = see(&p, 1, x.j.id);
	assert_state(&here, RELEASE_NOTICE);
	assert_state(&there, RELEASE_NOTICE);
	assert_int_equal(here.release.included, 1);
	assert_true(sha256_eq(here.release.candidates_sha256, there.release.candidates_sha256));
	for (int text = 0; text < 3; text++) {
		assert_true(holds_id(c, here.j.left_out, kept[text]));
		assert_true(holds_id(c, there.j.left_out, shared[text]));
		assert_false(holds_id(c, there.j.left_out, kept[text]));
		struct str id = uuid_format(c->arena, kept[text]);
		assert_int_equal(fixture_int(str_fmt(c->arena, "SELECT count(*) FROM message_out WHERE body LIKE '%%%.*s%%'", STR_ARG(id)).p), 0);
	}
	assert_false(holds_id(c, here.j.left_out, both));
	assert_true(holds(here.j.left_out, "was in theirs alone (PREF_DENY)"));
	assert_int_equal(fixture_int("SELECT count(*) FROM release_segment s, release_joint j WHERE s.release_id = j.release_id"), 2);
	assert_int_equal(fixture_int("SELECT sum(items) FROM release_reason WHERE reason = 'PARTNER_DIFFERS' AND stage = 'frozen'"), 6);
}

/* More than may be left out: refused at once where that is known, said to the admins where it comes out later, and it goes on once fewer differ. */
static void too_many_differences_say_so_and_what_to_do(void **state)
{
	struct two_pools p;
	struct joint y;
	(void)state;
	pools_found(&p, "{\"joint\":\"us\"}");
	world_say(&p.side[0], 1, "allow");
	world_say(&p.side[1], 4, "allow");
	pools_give(&p.side[0], 1, 0, 0);
	for (int text = 1; text < 9; text++)
		pools_give(&p.side[1], 4, text, 0);
	clock_set(clock_now() + CLOCK_MINUTE);
	pools_carry(&p, 0);
	struct joint x = both_decided(&p);
	struct call *c = by(&p.side[0], 0);
	joint_leave_out_at_most(7);
	assert_err(c, ERR_REFUSED, joint_narrow(c, p.side[0].coop, x.j.id, &y));
	assert_str(str_of(c->error.reason), "joint_too_different");
	assert_true(holds(str_of(c->error.message), "differ in 8 items, and at most 7 can be left out"));
	assert_true(holds(str_of(c->error.message), "let each export a bundle"));
	joint_leave_out_at_most(JOINT_WITHOUT_MAX);
	assert_ok(c, joint_narrow(c, p.side[0].coop, x.j.id, &y));
	joint_leave_out_at_most(7);
	pools_run();
	x = see(&p, 0, x.j.id);
	joint_leave_out_at_most(JOINT_WITHOUT_MAX);
	assert_state(&x, RELEASE_SCHEDULED);
	assert_true(holds(x.j.differs, "differ in 8 items, and at most 7 can be left out"));
	pools_carry(&p, 1);
	clock_set(clock_now() + SOON);
	pools_run();
	x = see(&p, 0, x.j.id);
	assert_state(&x, RELEASE_NOTICE);
	assert_int_equal(x.release.included, 9);
}

/* ---- at random ---- */

/* What one side has of a text at the cut-off, as it sees it. */
struct seen { bool own, came, in; };

struct story {
	struct two_pools p;
	bool came[2][POOL_TEXTS]; /* the other's went there before the cut-off */
	bool no[WORLD_MEMBERS];   /* said so afterwards; the other co-op has not heard of it */
};

static void tell_words(struct story *t)
{
	for (int i = 1; i < 7; i++) {
		t->p.yes[i] = pools_chance(3) > 0;
		world_say(&t->p.side[i / 4], i, t->p.yes[i] ? "allow" : "deny");
	}
}

static void give_some(struct story *t, unsigned one_in)
{
	for (int s = 0; s < 2; s++)
		for (int text = 0; text < POOL_TEXTS; text++) {
			struct had *h = &t->p.had[s][text];
			if (h->there || t->came[s][text] || pools_chance(one_in))
				continue;
			*h = (struct had){ .there = true, .member = s * 3 + 1 + (int)pools_chance(3), .licence = (int)pools_chance(POOL_LICENCES) };
			h->id = pools_give(&t->p.side[s], h->member, text, h->licence);
		}
}

static void exchange_some(struct story *t)
{
	for (int s = 0; s < 2; s++) {
		if (pools_chance(4) == 0)
			continue;
		pools_carry(&t->p, s);
		for (int text = 0; text < POOL_TEXTS; text++)
			t->came[!s][text] = t->p.had[s][text].there && t->p.yes[t->p.had[s][text].member];
	}
}

static void change_some_minds(struct story *t)
{
	for (int i = 1; i < 7; i++) {
		t->no[i] = t->p.yes[i] && pools_chance(5) == 0;
		if (t->no[i])
			world_say(&t->p.side[i / 4], i, "deny");
	}
}

static void story_make(struct story *t, const char *draft)
{
	memset(t, 0, sizeof(*t));
	pools_found(&t->p, draft);
	tell_words(t);
	give_some(t, 2);
	clock_set(clock_now() + CLOCK_MINUTE);
	exchange_some(t);
	give_some(t, 6);
	change_some_minds(t);
	clock_set(clock_now() + CLOCK_MINUTE);
}

static struct seen seen_by(const struct story *t, int side, int text)
{
	const struct had *h = &t->p.had[side][text];
	struct seen v = { .own = h->there, .came = t->came[side][text] };
	bool said_no = h->there && (!t->p.yes[h->member] || t->no[h->member]);
	v.in = (v.own || v.came) && !said_no;
	return v;
}

/* Both let it in, and have the same of it. */
static bool stays(const struct story *t, int text)
{
	struct seen a = seen_by(t, 0, text), b = seen_by(t, 1, text);
	return a.in && b.in && a.own == b.came && a.came == b.own;
}

static struct uuid row_of(const struct story *t, int side, int text)
{
	return t->p.had[seen_by(t, side, text).own ? side : !side][text].id;
}

static struct sha256 content_of(struct call *c, struct uuid id)
{
	struct sha256 out;
	struct str item = uuid_format(c->arena, id);
	assert_true(sha256_parse(str_of(fixture_text(str_fmt(c->arena, "SELECT encode(content_sha256, 'hex') FROM contribution WHERE id = '%.*s' LIMIT 1", STR_ARG(item)).p)), &out));
	return out;
}

/* The set as anybody comes to it who knows everything. */
static struct sha256 expected_set(struct story *t, struct sha256 document, int64_t *rows)
{
	struct sha256 leaves[2 * POOL_TEXTS];
	struct joint_set set = { .leaves = leaves };
	struct call *c = t->p.m.w.system;
	*rows = 0;
	for (int text = 0; text < POOL_TEXTS; text++) {
		if (!stays(t, text))
			continue;
		(*rows)++;
		for (int s = 0; s < 2; s++) {
			const struct had *h = &t->p.had[s][text];
			if (h->there)
				leaves[set.n++] = joint_leaf(rid_format(c->arena, s ? t->p.m.other_name : t->p.m.name, h->id), content_of(c, row_of(t, 0, text)));
		}
	}
	joint_set_seal(&set, document);
	return set.digest;
}

/* What one side had in and is in no more is named there. */
static void assert_named(struct story *t, int side, const struct joint *x)
{
	struct call *c = t->p.m.w.system;
	for (int text = 0; text < POOL_TEXTS; text++)
		if (seen_by(t, side, text).in && !stays(t, text) && !holds_id(c, x->j.left_out, row_of(t, side, text)))
			fail_msg("text %d is left out by side %d and not named: %.*s", text, side, STR_ARG(x->j.left_out));
}

static bool nobody_said_no(const struct story *t, int text)
{
	for (int s = 0; s < 2; s++) {
		const struct had *h = &t->p.had[s][text];
		if (h->there && (!t->p.yes[h->member] || t->no[h->member]))
			return false;
	}
	return true;
}

/* `exactly`: no rule over the set has a say. */
static void come_to_one_set(struct story *t, bool exactly)
{
	int64_t rows;
	struct joint x = both_decided(&t->p);
	bool differed = x.release.state == RELEASE_SCHEDULED;
	struct sha256 digest = expected_set(t, x.j.document_sha256, &rows);
	if (differed)
		narrowed(&t->p, x.j.id);
	x = see(&t->p, 0, x.j.id);
	for (int s = 0; s < 2; s++) {
		struct joint y = see(&t->p, s, x.j.id);
		if (rows == 0 || (!exactly && y.release.included == 0)) { /* both see that there is nothing; who sees it first tells the other */
			assert_int_equal(y.release.included, 0);
			assert_true(y.release.state == RELEASE_FAILED || y.release.state == RELEASE_CANCELLED);
			continue;
		}
		assert_state(&y, RELEASE_NOTICE);
		assert_true(sha256_eq(x.release.candidates_sha256, y.release.candidates_sha256));
		assert_true(str_eq(s ? y.j.theirs : y.j.ours, x.j.ours));
		assert_true(y.release.included <= rows);
		assert_null(y.j.differs.p);
		if (!exactly)
			continue;
		assert_int_equal(y.release.included, rows);
		assert_true(sha256_eq(y.release.candidates_sha256, digest));
		assert_named(t, s, &y);
	}
	for (int text = 0; text < POOL_TEXTS; text++)
		assert_true(!stays(t, text) || nobody_said_no(t, text));
}

static void whatever_the_pools_are_both_come_to_the_same_set(void **state)
{
	static const char *const drafts[] = { "{\"joint\":\"us\"}", "{\"joint\":\"us\"}", "{\"joint\":\"us\",\"licence_mode\":\"adaptation\"}", "{\"joint\":\"us\",\"k\":4}" };
	uint64_t seed = pools_seed();
	for (int round = 0; round < ROUNDS; round++) {
		struct story t;
		const char *draft = drafts[round % (int)CH_LEN(drafts)];
		if (round) {
			fixture_teardown(state);
			fixture_setup(state);
		}
		pools_chance_from(seed + (uint64_t)round);
		story_make(&t, draft);
		come_to_one_set(&t, strcmp(draft, drafts[0]) == 0);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		fixture_test(differences_in_many_parts_are_left_out), fixture_test(a_text_that_one_keeps_to_itself_is_left_out_by_both), fixture_test(too_many_differences_say_so_and_what_to_do), fixture_test(whatever_the_pools_are_both_come_to_the_same_set),
	};
	return fixture_run(tests, CH_LEN(tests));
}
