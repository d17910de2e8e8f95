/* Batches: a verdict a line in order, whole groups, constant memory. */
#include "pool_world.h"

#include "commonhold/policy.h"

#include <malloc.h>
#include <pthread.h>

/* What the verdicts of a batch said. */
struct heard {
	int64_t last;           /* line of the last verdict */
	int64_t taken, duplicates, bad;
	bool disorder;          /* a line came out of its turn */
	enum err errs[64];      /* of the first lines, by number */
	char pointer[64][64];   /* of their first fault */
	bool counts;            /* rows are counted at the first verdict of each group; by a test of one thread */
	bool early;             /* a verdict came before its group was committed */
	int64_t total;          /* lines of the batch, when it counts */
	int64_t stop_after;     /* verdicts; 0: never */
};

static enum err hear(void *arg, const struct verdict *v)
{
	struct heard *h = arg;
	if (h->counts && v->line % POOL_GROUP == 1) {
		int64_t rows = fixture_int("SELECT count(*) FROM contribution");
		h->early |= rows < v->line || (rows % POOL_GROUP && rows < v->line + POOL_GROUP - 1 && rows != h->total);
	}
	h->disorder |= v->line <= h->last || (v->err == ERR_OK) != (v->receipt != NULL) || (v->receipt != NULL) == (v->error != NULL);
	h->last = v->line;
	if (v->line < 64) {
		h->errs[v->line] = v->err;
		if (v->error && v->error->faults)
			snprintf(h->pointer[v->line], 64, "%.*s", STR_ARG(v->error->faults->pointer));
	}
	h->bad += v->err != ERR_OK;
	h->duplicates += v->receipt && v->receipt->duplicate;
	h->taken += v->receipt && !v->receipt->duplicate;
	return h->stop_after && h->taken + h->bad >= h->stop_after ? ERR_IO : ERR_OK;
}

static void give(struct pool_batch *b, struct call *c, const char *line)
{
	assert_ok(c, pool_batch_line(b, str_of(line)));
}

static enum err give_examples(struct pool_batch *b, int from, int n, size_t size)
{
	static char line[70000];
	for (int i = from; i < from + n; i++) {
		int at = snprintf(line, sizeof(line), "{\"kind\":\"example\",\"content\":{\"input\":\"%08d ", i);
		memset(line + at, 'x', size);
		at += (int)size;
		at += snprintf(line + at, sizeof(line) - (size_t)at, "\"}}\n");
		TRY(pool_batch_line(b, str_make(line, (size_t)at)));
	}
	return ERR_OK;
}

static void bad_lines_are_told_by_number_and_stop_nobody(void **state)
{
	(void)state;
	struct uuid coop = world_coop("");
	struct call *c = world_member(coop, "active");
	struct heard h = { 0 };
	struct pool_batch *b;
	world_submit(c, coop, "known");
	assert_ok(c, pool_batch_begin(c, coop, hear, &h, &b));
	give(b, c, "{\"kind\":\"example\",\"content\":{\"input\":\"one\"}}\n");                     /* 1 */
	give(b, c, "{\"kind\":\"example\",\"content\":{\"input\":\"two\"}");                         /* 2: cut off */
	give(b, c, "");                                                                              /* 3: blank */
	give(b, c, "   \r\n");                                                                       /* 4: blank */
	give(b, c, "{\"kind\":\"example\",\"content\":{\"input\":\"known\"}}");                      /* 5: there already */
	give(b, c, "{\"kind\":\"example\",\"content\":{\"input\":\"one\"},\"lang\":\"en\"}");        /* 6: as line 1 */
	give(b, c, "{\"kind\":\"example\",\"content\":{\"inptu\":\"three\"}}");                      /* 7 */
	give(b, c, "{\"kind\":\"example\",\"content\":{\"input\":\"\xff\"}}");                       /* 8: no UTF-8 */
	give(b, c, "{\"kind\":\"example\",\"content\":{\"input\":\"x\"},\"licence\":\"NOPE-1\"}");   /* 9 */
	give(b, c, "{\"kind\":\"example\",\"content\":{\"input\":\"a\",\"input\":\"b\"}}");          /* 10: twice the same member */
	give(b, c, "{\"kind\":\"example\",\"content\":{\"input\":\"a\\u0000b\"}}");                  /* 11: NUL */
	give(b, c, "\"\"");                                                                          /* 12 */
	give(b, c, "{\"kind\":\"example\",\"content\":{\"input\":\"last\"}}");                       /* 13 */
	assert_ok(c, pool_batch_end(b));
	assert_false(h.disorder);
	assert_int_equal(h.last, 13);
	assert_int_equal(h.taken, 2);
	assert_int_equal(h.duplicates, 2);
	assert_int_equal(h.errs[2], ERR_BAD_JSON);
	assert_int_equal(h.errs[7], ERR_INVALID);
	assert_string_equal(h.pointer[9], "/licence");
	assert_int_equal(h.errs[8], ERR_BAD_UTF8);
	assert_int_equal(h.errs[10], ERR_BAD_JSON);
	assert_int_equal(h.errs[11], ERR_BAD_JSON);
	assert_int_equal(h.bad, 7);
	assert_int_equal(fixture_int("SELECT count(*) FROM contribution"), 3);
	assert_int_equal(fixture_int("SELECT count(*) FROM contribution_content"), 3);
	assert_int_equal(fixture_int("SELECT next_item FROM pool_head"), 3);
}

static void a_line_that_is_too_long_or_too_deep_is_a_bad_line(void **state)
{
	(void)state;
	struct uuid coop = world_coop("");
	struct call *c = world_member(coop, "active");
	struct heard h = { 0 };
	struct pool_batch *b;
	size_t n = 3 * MIB;
	char *line = malloc(n + 1);
	memset(line, 'a', n);
	assert_ok(c, pool_batch_begin(c, coop, hear, &h, &b));
	assert_ok(c, pool_batch_line(b, str_make(line, n)));
	memset(line, '[', 4000);
	assert_ok(c, pool_batch_line(b, str_make(line, 4000)));
	give(b, c, "{\"kind\":\"example\",\"content\":{\"input\":\"fine\"}}");
	assert_ok(c, pool_batch_end(b));
	free(line);
	assert_int_equal(h.errs[1], ERR_TOO_LARGE);
	assert_int_not_equal(h.errs[2], ERR_OK);
	assert_int_equal(h.errs[3], ERR_OK);
}

static void verdicts_come_after_their_group_is_committed(void **state)
{
	(void)state;
	struct uuid coop = world_coop("");
	struct call *c = world_member(coop, "active");
	struct heard h = { .counts = true, .total = 3 * POOL_GROUP + 7 };
	struct pool_batch *b;
	assert_ok(c, pool_batch_begin(c, coop, hear, &h, &b));
	assert_ok(c, give_examples(b, 0, 3 * POOL_GROUP + 7, 10));
	assert_ok(c, pool_batch_end(b));
	assert_false(h.early);
	assert_int_equal(h.taken, 3 * POOL_GROUP + 7);
	assert_false(h.disorder);
	assert_int_equal(fixture_int("SELECT count(DISTINCT item_no) FROM contribution"), 3 * POOL_GROUP + 7);
	assert_int_equal(fixture_int("SELECT max(item_no) FROM contribution"), 3 * POOL_GROUP + 6);
	assert_int_equal(fixture_int("SELECT count(*) FROM contribution c JOIN log_leaf l ON l.coop_id = c.coop_id AND l.idx = c.leaf"), 3 * POOL_GROUP + 7);
}

static void a_batch_that_ends_early_leaves_whole_groups(void **state)
{
	(void)state;
	struct uuid coop = world_coop("");
	struct call *c = world_member(coop, "active");
	struct heard h = { 0 };
	struct pool_batch *b;
	assert_ok(c, pool_batch_begin(c, coop, hear, &h, &b));
	assert_ok(c, give_examples(b, 0, 7 * POOL_GROUP + 100, 10));
	fixture_end(c); /* the client is gone: nobody ends the batch */
	assert_int_equal(fixture_int("SELECT count(*) % 4096 FROM contribution"), 0);
	assert_true(fixture_int("SELECT count(*) FROM contribution") >= POOL_GROUP);
	assert_int_equal(fixture_int("SELECT (SELECT count(*) FROM contribution) - (SELECT count(*) FROM contribution_content)"), 0);
	assert_int_equal(fixture_int("SELECT (SELECT count(*) FROM contribution) - (SELECT count(*) FROM log_leaf)"), 0);
	assert_int_equal(fixture_int("SELECT (SELECT count(*) FROM contribution) - (SELECT next_item FROM pool_head)"), 0);
}

static void a_group_that_cannot_be_written_leaves_nothing_of_itself(void **state)
{
	(void)state;
	struct uuid coop = world_coop("");
	struct call *c = world_member(coop, "active");
	struct heard h = { 0 };
	struct pool_batch *b;
	fixture_sql("ALTER TABLE contribution ADD CONSTRAINT stop_here CHECK (item_no < 4200)");
	assert_ok(c, pool_batch_begin(c, coop, hear, &h, &b));
	enum err err = give_examples(b, 0, 2 * POOL_GROUP + 10, 10);
	if (err == ERR_OK)
		err = pool_batch_end(b);
	assert_int_not_equal(err, ERR_OK);
	assert_int_equal(pool_batch_line(b, STR("{}")), err);
	db_rollback(c);
	assert_int_equal(h.taken, POOL_GROUP);
	assert_int_equal(fixture_int("SELECT count(*) FROM contribution"), POOL_GROUP);
	assert_int_equal(fixture_int("SELECT count(*) FROM contribution_content"), POOL_GROUP);
	assert_int_equal(fixture_int("SELECT count(*) FROM log_leaf"), POOL_GROUP);
}

/* A batch is open for as long as its sender likes: what ended or changed since it began holds for the rest of it. */
static void a_batch_ends_with_the_membership_and_with_the_charter(void **state)
{
	(void)state;
	struct uuid coop = world_coop("");
	struct call *c = world_member(coop, "active");
	struct heard h = { 0 };
	struct pool_batch *b;
	assert_ok(c, pool_batch_begin(c, coop, hear, &h, &b));
	assert_ok(c, give_examples(b, 0, 10, 10));
	world_charter(coop, "\"moderation\":{\"mode\":\"hold\"}");
	assert_err(c, ERR_STATE, pool_batch_end(b));
	assert_string_equal(c->error.reason, "charter_changed");
	assert_ok(c, pool_batch_begin(c, coop, hear, &h, &b));
	assert_ok(c, give_examples(b, 0, 10, 10));
	world_member(coop, "active");
	fixture_sql("UPDATE membership SET is_admin = true; UPDATE membership SET state = 'removed', is_admin = false WHERE number = 0");
	assert_err(c, ERR_FORBIDDEN, pool_batch_end(b));
	assert_int_equal(h.taken, 0);
	assert_int_equal(fixture_int("SELECT count(*) FROM contribution"), 0);
}

static void a_listener_that_fails_ends_the_batch(void **state)
{
	(void)state;
	struct uuid coop = world_coop("");
	struct call *c = world_member(coop, "active");
	struct heard h = { .stop_after = 10 };
	struct pool_batch *b;
	assert_ok(c, pool_batch_begin(c, coop, hear, &h, &b));
	assert_ok(c, give_examples(b, 0, 100, 10));
	assert_int_equal(pool_batch_end(b), ERR_IO);
	assert_int_equal(h.taken, 10);
}

/* 200,000 lines of 200 bytes are 40 MB; what the caller's arena hands out and what the process holds must not follow. */
static void memory_stays_the_same_however_long_the_batch(void **state)
{
	(void)state;
	struct uuid coop = world_coop("");
	struct call *c = world_member(coop, "active");
	struct heard h = { 0 };
	struct pool_batch *b;
	int rounds = 0;
	size_t early = 0, late = 0, arena_early = 0;
	assert_ok(c, pool_batch_begin(c, coop, hear, &h, &b));
	for (; rounds < 12; rounds++) {
		assert_ok(c, give_examples(b, rounds * POOL_GROUP, POOL_GROUP, 150));
		if (rounds == 4) {
			early = mallinfo2().uordblks + mallinfo2().hblkhd;
			arena_early = arena_used(c->arena);
		}
	}
	late = mallinfo2().uordblks + mallinfo2().hblkhd;
	assert_int_equal(arena_used(c->arena), arena_early);
	assert_true(late < early + 4 * MIB);
	assert_ok(c, pool_batch_end(b));
	assert_int_equal(h.taken, rounds * POOL_GROUP);
}

/* A request's arena is smaller than a job's: a batch of the largest lines fits into it. */
static void the_largest_lines_fit_into_a_requests_arena(void **state)
{
	(void)state;
	struct uuid coop = world_coop("");
	struct call *c = world_member(coop, "active");
	struct heard h = { 0 };
	struct pool_batch *b;
	struct arena *job = c->arena;
	jmp_buf full;
	c->arena = arena_new(LIMIT_REQUEST_ARENA);
	if (setjmp(full))
		fail_msg("The arena of a request is too small for a batch.");
	arena_guard(c->arena, &full);
	assert_ok(c, pool_batch_begin(c, coop, hear, &h, &b));
	assert_ok(c, give_examples(b, 0, 300, 60000));
	assert_ok(c, give_examples(b, 1000, 2 * POOL_GROUP, 10));
	assert_ok(c, pool_batch_end(b));
	assert_int_equal(h.taken, 300 + 2 * POOL_GROUP);
	db_release(c);
	arena_guard(c->arena, NULL);
	arena_free(c->arena);
	c->arena = job;
}

static void a_batch_and_single_submissions_write_the_same(void **state)
{
	(void)state;
	static const char line[] = "{\"kind\":\"example\",\"content\":{\"input\":\"Write to anna.meier@bluewin.ch\"},\"ai_preferences\":\"train-ai=n\",\"lang\":\"de\",\"prompted\":\"task\"}";
	struct uuid coop = world_coop(""), other = world_coop("");
	struct call *c = world_member(coop, "active"), *d = world_member(other, "active");
	struct heard h = { 0 };
	struct pool_batch *b;
	struct receipt r;
	clock_set(clock_now());
	assert_ok(c, pool_batch_begin(c, coop, hear, &h, &b));
	give(b, c, line);
	assert_ok(c, pool_batch_end(b));
	assert_ok(d, pool_submit(d, other, world_json(d, line), &r));
	assert_int_equal(fixture_int("SELECT count(DISTINCT (item_no, member_no, shard, kind, licence, lang, content_sha256, bytes, submitted_at, word, more, leaf, findings, facts)) "
		"FROM contribution"), 1);
	assert_int_equal(fixture_int("SELECT count(DISTINCT (layer, uses, effect, external, verbatim)) FROM statement"), 1);
	assert_int_equal(fixture_int("SELECT count(*) FROM statement"), 2);
	assert_int_equal(fixture_int("SELECT count(DISTINCT (decision, stage, reason)) FROM moderation_decision"), 1);
	assert_int_equal(fixture_int("SELECT count(*) FROM moderation_decision"), 2);
}

/* The second group is looked over while the first is being written: what both have must be found all the same, and its content must not stay behind. */
static void a_content_of_the_group_before_is_a_duplicate(void **state)
{
	(void)state;
	struct uuid coop = world_coop("");
	struct call *c = world_member(coop, "active");
	struct heard h = { 0 };
	struct pool_batch *b;
	assert_ok(c, pool_batch_begin(c, coop, hear, &h, &b));
	assert_ok(c, give_examples(b, 0, POOL_GROUP, 10));           /* makes the shard */
	assert_ok(c, give_examples(b, POOL_GROUP, POOL_GROUP, 10));
	assert_ok(c, give_examples(b, POOL_GROUP + 1, POOL_GROUP, 10));
	assert_ok(c, give_examples(b, POOL_GROUP + 1, POOL_GROUP, 10));
	assert_ok(c, pool_batch_end(b));
	assert_int_equal(h.taken, 2 * POOL_GROUP + 1);
	assert_int_equal(h.duplicates, 2 * POOL_GROUP - 1);
	assert_false(h.disorder);
	assert_int_equal(fixture_int("SELECT count(*) FROM contribution"), 2 * POOL_GROUP + 1);
	assert_int_equal(fixture_int("SELECT count(*) FROM contribution_content"), 2 * POOL_GROUP + 1);
	assert_int_equal(fixture_int("SELECT count(*) FROM contribution JOIN contribution_content USING (coop_id, shard, id)"), 2 * POOL_GROUP + 1);
	assert_int_equal(fixture_int("SELECT count(*) FROM log_leaf WHERE type = 'contribution.made'"), 2 * POOL_GROUP + 1);
	assert_int_equal(fixture_int("SELECT next_item FROM pool_head"), 2 * POOL_GROUP + 1);
}

static void another_coops_items_are_no_duplicates(void **state)
{
	(void)state;
	struct uuid coop = world_coop(""), other = world_coop("");
	struct call *c = world_member(coop, "active"), *d = world_member(other, "active");
	struct heard h = { 0 };
	struct pool_batch *b;
	world_submit(d, other, "the same");
	assert_ok(c, pool_batch_begin(c, coop, hear, &h, &b));
	give(b, c, "{\"kind\":\"example\",\"content\":{\"input\":\"the same\"}}");
	assert_ok(c, pool_batch_end(b));
	assert_int_equal(h.taken, 1);
	assert_int_equal(fixture_int("SELECT count(*) FROM contribution WHERE (word & 65536) <> 0"), 0);
	assert_int_equal(fixture_int("SELECT count(*) FROM contribution WHERE item_no = 0"), 2);
}

/* One of several that submit at once. */
struct crowd { struct call *c; struct uuid coop; int from, n; enum err err; struct heard heard; };

static void *submit_alongside(void *arg)
{
	struct crowd *w = arg;
	struct pool_batch *b;
	char line[120];
	w->err = pool_batch_begin(w->c, w->coop, hear, &w->heard, &b);
	for (int i = w->from; i < w->from + w->n && w->err == ERR_OK; i++) {
		int n = snprintf(line, sizeof(line), "{\"kind\":\"example\",\"content\":{\"input\":\"item %d\"}}", i);
		w->err = pool_batch_line(b, str_make(line, (size_t)n));
	}
	if (w->err == ERR_OK)
		w->err = pool_batch_end(b);
	return NULL;
}

static void batches_at_once_keep_numbers_dense_and_marks_right(void **state)
{
	(void)state;
	struct uuid coop = world_coop("");
	struct call *first = world_member(coop, "active");
	struct crowd crowd[4] = {
		{ .c = first, .from = 0, .n = 6000 },
		{ .c = world_again(first), .from = 3000, .n = 6000 }, /* the same person, half of it the same */
		{ .c = world_member(coop, "active"), .from = 0, .n = 9000 },
		{ .c = world_member(coop, "active"), .from = 5000, .n = 6000 },
	};
	pthread_t thread[4];
	for (int i = 0; i < 4; i++) {
		crowd[i].coop = coop;
		assert_int_equal(pthread_create(&thread[i], NULL, submit_alongside, &crowd[i]), 0);
	}
	for (int i = 0; i < 4; i++) {
		pthread_join(thread[i], NULL);
		assert_ok(crowd[i].c, crowd[i].err);
		assert_int_equal(crowd[i].heard.bad, 0);
	}
	assert_int_equal(crowd[0].heard.taken + crowd[1].heard.taken, 9000);
	assert_int_equal(fixture_int("SELECT count(*) FROM contribution"), 9000 + 9000 + 6000);
	assert_int_equal(fixture_int("SELECT count(DISTINCT item_no) - max(item_no) FROM contribution"), 1);
	assert_int_equal(fixture_int("SELECT count(*) FROM contribution c WHERE ((word & 65536) <> 0) <> EXISTS (SELECT FROM contribution o "
		"WHERE o.coop_id = c.coop_id AND o.content_sha256 = c.content_sha256 AND o.item_no < c.item_no AND (o.word & 13824) = 512)"), 0);
	assert_int_equal(fixture_int("SELECT count(*) FROM contribution WHERE (word & 65536) = 0"), 11000);
	assert_int_equal(fixture_int("SELECT count(*) FROM contribution_content"), 9000 + 9000 + 6000);
	assert_int_equal(fixture_int("SELECT count(*) FROM contribution JOIN contribution_content USING (coop_id, shard, id)"), 9000 + 9000 + 6000);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		fixture_test(bad_lines_are_told_by_number_and_stop_nobody),
		fixture_test(a_line_that_is_too_long_or_too_deep_is_a_bad_line),
		fixture_test(verdicts_come_after_their_group_is_committed),
		fixture_test(a_batch_that_ends_early_leaves_whole_groups),
		fixture_test(a_group_that_cannot_be_written_leaves_nothing_of_itself),
		fixture_test(a_batch_ends_with_the_membership_and_with_the_charter),
		fixture_test(a_listener_that_fails_ends_the_batch),
		fixture_test(memory_stays_the_same_however_long_the_batch),
		fixture_test(the_largest_lines_fit_into_a_requests_arena),
		fixture_test(a_batch_and_single_submissions_write_the_same),
		fixture_test(a_content_of_the_group_before_is_a_duplicate),
		fixture_test(another_coops_items_are_no_duplicates),
		fixture_test(batches_at_once_keep_numbers_dense_and_marks_right),
	};
	return fixture_run(tests, CH_LEN(tests));
}
