/* The laws of merging, over random histories: three homes say what they say, in an order of their own each; what a co-op comes to does not depend on the order between them, on what came twice, or on
 * when; nothing that was said is loosened, and nothing that was erased comes back. And a process that is killed while it applies leaves what was there. */
#include "merge_kit.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#define HOMES 3
#define BUNDLES 4        /* of each home */
#define PEOPLE 3         /* of each home */
#define RECORDS_MAX 80   /* of each home */
#define CONTENTS 12      /* few, so that homes have the same */
#define CC "CC-BY-4.0"

static uint64_t random_state;

static uint64_t rnd(uint64_t below)
{
	random_state ^= random_state << 13;
	random_state ^= random_state >> 7;
	random_state ^= random_state << 17;
	return random_state % below;
}

static void seed(void)
{
	const char *given = getenv("COMMONHOLD_SEED");
	random_state = given ? strtoull(given, NULL, 10) : (uint64_t)clock_now() * 2654435761u + 1;
	print_message("COMMONHOLD_SEED=%llu\n", (unsigned long long)random_state);
}

/* What a home has said so far; it is the only one to say anything of its records. */
struct teller { struct mkit_home home; struct uuid record[RECORDS_MAX]; bool erased[RECORDS_MAX], out[RECORDS_MAX], told; bool denies[PEOPLE]; size_t n; int64_t rev; struct mkit_bundle said[BUNDLES]; };

static void tell(struct call *c, struct teller *t, struct mkit_bundle *b)
{
	mkit_begin(c, &t->home, b);
	t->rev++;
	for (unsigned p = 0; p < PEOPLE; p++) {
		if (t->told && rnd(3))
			continue;
		t->denies[p] = rnd(3) == 0;
		mkit_words(b, p, t->rev, t->denies[p] ? "deny" : "allow", NULL);
	}
	t->told = true;
	for (size_t i = 0; i < t->n; i++) {
		if (!t->erased[i] && rnd(6) == 0) {
			mkit_erase(b, t->record[i]);
			t->erased[i] = true;
		} else if (rnd(6) == 0) {
			t->out[i] = !t->out[i];
			mkit_passing(b, t->record[i], t->out[i], t->rev);
		}
	}
	for (uint64_t more = rnd(8); more && t->n < RECORDS_MAX; more--) {
		char input[40];
		t->record[t->n] = uuid_new();
		snprintf(input, sizeof(input), "content %llu", (unsigned long long)rnd(CONTENTS));
		mkit_record(b, (unsigned)rnd(PEOPLE), t->record[t->n], input, rnd(4) ? CC : "CC0-1.0");
		if (rnd(2))
			mkit_label(b, (unsigned)rnd(PEOPLE), t->record[t->n], "quality", rnd(2) ? "1" : "2", clock_now() / CLOCK_SECOND * CLOCK_SECOND);
		t->n++;
	}
}

/* Applies all that was told, homes in random turns, some bundles more than once. */
static void take_all(struct call *c, struct uuid coop, struct teller *tellers)
{
	struct mkit_agreement with[HOMES];
	int next[HOMES] = { 0 };
	struct merge_report r;
	for (int h = 0; h < HOMES; h++)
		mkit_agree(c, coop, &tellers[h].home, "", &with[h]);
	for (int left = HOMES * BUNDLES; left;) {
		int h = (int)rnd(HOMES);
		if (next[h] && rnd(3) == 0) {
			/* the last one again: it changes nothing */
			assert_ok(c, merge_apply(c, coop, mkit_bundle(c, &with[h], &tellers[h].said[next[h] - 1], next[h], (unsigned)next[h]), &r));
			assert_true(r.repeated);
		}
		if (next[h] == BUNDLES)
			continue;
		assert_ok(c, merge_apply(c, coop, mkit_bundle(c, &with[h], &tellers[h].said[next[h]], next[h] + 1, (unsigned)next[h] + 1), &r));
		next[h]++;
		left--;
	}
}

static struct merge_state state_of(struct uuid coop)
{
	struct merge_state s;
	struct call *c = fixture_system();
	assert_ok(c, merge_state_digest(c, coop, (struct uuid){ 0 }, &s));
	fixture_end(c);
	return s;
}

static int64_t count_of(struct call *c, const char *what, struct uuid coop)
{
	return fixture_int(str_z(c->arena, str_fmt(c->arena, "SELECT count(*) FROM %s AND coop_id = '%.*s'", what, STR_ARG(uuid_format(c->arena, coop)))));
}

/* Nothing of what is here may be freer than its home said last. */
static void nothing_is_looser(struct call *c, struct uuid coop, const struct teller *t)
{
	for (size_t i = 0; i < t->n; i++) {
		struct str id = uuid_format(c->arena, t->record[i]);
		int64_t standing = count_of(c, str_z(c->arena, str_fmt(c->arena, "contribution x WHERE id = '%.*s' AND (word & 28672) = 0 AND NOT EXISTS (SELECT FROM withdrawal w WHERE w.coop_id = x.coop_id "
			"AND w.kind = 'erase' AND pool_list_holds(w.items, x.item_no))", STR_ARG(id))), coop);
		if (t->erased[i] || t->out[i])
			assert_int_equal(standing, 0);
		if (t->erased[i])
			assert_int_equal(count_of(c, str_z(c->arena, str_fmt(c->arena, "item_origin WHERE id = '%.*s' AND (word & 28672) = 0", STR_ARG(id))), coop), 0);
	}
	for (unsigned p = 0; p < PEOPLE; p++) {
		struct str who = str_fmt(c->arena, "guest_statement s WHERE effect = '%s' AND guest_id = (SELECT id FROM guest g WHERE g.coop_id = s.coop_id AND g.home = '%.*s' AND g.contributor = '\\x%032x')",
			t->denies[p] ? "deny" : "allow", STR_ARG(t->home.name), p + 1);
		assert_int_equal(count_of(c, str_z(c->arena, who), coop), 1);
	}
}

static void any_order_comes_to_the_same_state(void **state)
{
	(void)state;
	struct call *c = fixture_system();
	struct uuid coops[3];
	struct merge_state first = { 0 };
	struct teller *tellers = calloc(HOMES, sizeof(*tellers));
	seed();
	for (int i = 0; i < 3; i++)
		coops[i] = world_coop(NULL);
	for (int h = 0; h < HOMES; h++) {
		mkit_home(c, &tellers[h].home);
		for (int b = 0; b < BUNDLES; b++)
			tell(c, &tellers[h], &tellers[h].said[b]);
	}
	for (int i = 0; i < 3; i++) {
		struct call *own = fixture_system();
		take_all(own, coops[i], tellers);
		struct merge_state s = state_of(coops[i]);
		if (i == 0)
			first = s;
		assert_true(s.records > 0);
		assert_int_equal(s.records, first.records);
		assert_int_equal(s.tombstones, first.tombstones);
		assert_true(sha256_eq(s.digest, first.digest));
		for (int h = 0; h < HOMES; h++)
			nothing_is_looser(own, coops[i], &tellers[h]);
		assert_int_equal(fixture_int("SELECT count(*) FROM contribution c WHERE (word & 65536) <> 0"), 0);
		fixture_end(own);
	}
	/* labels are the same sets, whoever took them */
	assert_int_equal(fixture_int("SELECT count(DISTINCT n) FROM (SELECT count(*) AS n FROM merge_label l WHERE NOT EXISTS (SELECT FROM onward_word w WHERE w.coop_id = l.coop_id AND w.id = l.item_id) "
		"GROUP BY coop_id) x"), 1);
	for (int h = 0; h < HOMES; h++)
		for (int b = 0; b < BUNDLES; b++)
			mkit_end(&tellers[h].said[b]);
	free(tellers);
}

/* ---- Killed in the middle ---- */

static const char *counts(void)
{
	return fixture_text("SELECT concat_ws(' ', (SELECT count(*) FROM contribution), (SELECT count(*) FROM contribution_content), (SELECT count(*) FROM item_origin), (SELECT count(*) FROM guest), "
		"(SELECT count(*) FROM merge_applied), (SELECT coalesce(sum(pool_size(coop_id)), 0) FROM pool_head), (SELECT sum(contributions) FROM coop_count))");
}

static void a_process_that_is_killed_leaves_what_was_there(void **state)
{
	(void)state;
	struct call *c = fixture_system();
	struct uuid coop = world_coop(NULL);
	struct mkit_home home;
	struct mkit_agreement g;
	struct mkit_bundle b;
	struct merge_report r;
	char before[200];
	mkit_home(c, &home);
	mkit_agree(c, coop, &home, "", &g);
	mkit_begin(c, &home, &b);
	mkit_words(&b, 1, 1, "allow", NULL);
	for (int i = 0; i < 6000; i++)
		mkit_record(&b, 1, uuid_new(), str_z(c->arena, str_fmt(c->arena, "number %d of many, with some text behind it so that it is worth a write", i)), CC);
	snprintf(before, sizeof(before), "%s", counts());
	for (int round = 0; round < 3; round++) {
		struct bundle *bundle = mkit_bundle(c, &g, &b, 1, 1);
		pid_t child = fork();
		if (child == 0) {
			/* connections of the parent are not the child's to use: pools of its own */
			struct db_pool *content, *keys;
			struct error e = { 0 };
			struct call own = { .arena = arena_new(LIMIT_JOB_ARENA), .actor = { .kind = AUTH_SYSTEM }, .request_id = STR("child"), .locale = STR("en") };
			if (db_pool_open(&content, fixture_url(false), 3, &e) != ERR_OK || db_pool_open(&keys, fixture_url(true), 2, &e) != ERR_OK)
				_exit(3);
			db_use_pool(content, keys);
			enum err err = merge_apply(&own, coop, bundle, &r);
			_exit(err == ERR_OK ? 0 : 4);
		}
		assert_true(child > 0);
		usleep((useconds_t)(40000 + round * 120000)); /* where it is then is chance, and does not matter */
		kill(child, SIGKILL);
		int status;
		assert_int_equal(waitpid(child, &status, 0), child);
		if (WIFEXITED(status)) { /* it was quicker: then all of it is there */
			assert_int_equal(WEXITSTATUS(status), 0);
			break;
		}
		while (fixture_int("SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND state LIKE '%transaction%'") > 0)
			usleep(10000); /* the server ends the dead session's transaction when it next writes to it */
		if (fixture_int("SELECT count(*) FROM merge_applied") == 1)
			break; /* killed between its commit and its answer */
		assert_string_equal(counts(), before);
	}
	assert_ok(c, merge_apply(c, coop, mkit_bundle(c, &g, &b, 1, 1), &r));
	assert_int_equal(fixture_int("SELECT count(*) FROM contribution"), 6000);
	assert_int_equal(fixture_int("SELECT count(*) FROM contribution_content"), 6000);
	assert_int_equal(fixture_int("SELECT next_item FROM pool_head"), 6000);
	mkit_end(&b);
}

/* ---- Lines that are none ---- */

/* A bundle's lines with bytes changed here and there: taken or refused, never with half of it written, and never ending the process. */
static void damaged_lines_are_refused_whole(void **state)
{
	(void)state;
	struct call *c = fixture_system();
	struct uuid coop = world_coop(NULL);
	struct mkit_home home;
	struct mkit_agreement g;
	char before[200];
	seed();
	mkit_home(c, &home);
	mkit_agree(c, coop, &home, "", &g);
	for (int round = 0; round < 60; round++) {
		struct mkit_bundle b;
		struct merge_report r;
		struct arena_mark mark = arena_mark(c->arena);
		mkit_begin(c, &home, &b);
		mkit_words(&b, (unsigned)round, round + 1, "allow", rnd(2) ? "allow" : NULL);
		mkit_record(&b, (unsigned)round, uuid_new(), "some content", CC);
		mkit_record_json(&b, (unsigned)round, uuid_new(), "record", "{\"data\":{\"n\":1},\"schema\":\"soil\"}", CC);
		mkit_passing(&b, uuid_new(), true, 1);
		mkit_label(&b, 1, uuid_new(), "quality", "1", clock_now());
		struct buf *parts[] = { &b.records, &b.statements, &b.labels };
		struct buf *part = parts[rnd(3)];
		for (uint64_t n = rnd(4); n; n--) {
			char *at = &part->p[rnd(part->n)];
			if (*at != '\n')
				*at = (char)(rnd(3) ? 32 + rnd(95) : rnd(256));
			if (*at == '\n')
				*at = ' ';
		}
		snprintf(before, sizeof(before), "%s", counts());
		enum err err = merge_apply(c, coop, mkit_bundle(c, &g, &b, g.seq + 1, (unsigned)round), &r);
		if (err == ERR_OK) {
			g.seq++;
		} else {
			assert_string_equal(counts(), before);
			error_clear(&c->error);
		}
		mkit_end(&b);
		arena_rewind(c->arena, mark);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		fixture_test(any_order_comes_to_the_same_state),
		fixture_test(a_process_that_is_killed_leaves_what_was_there),
		fixture_test(damaged_lines_are_refused_whole),
	};
	if (!crypto_start())
		return 1;
	return fixture_run(tests, CH_LEN(tests));
}
