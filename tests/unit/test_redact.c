/* What becomes of versions that hold an erased item: withdrawn, made again without it, cleared from disk; and what mirrors can rely on. */
#include "world.h"

#include "commonhold/config.h"
#include "commonhold/crypto.h"
#include "commonhold/gzip.h"
#include "commonhold/ledger.h"
#include "commonhold/tombstone.h"
#include "commonhold/verify.h"

#include "server/release/release_internal.h"

#include <dirent.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

static struct str verify_text(struct world *w, struct uuid release, const struct uuid *base)
{
	struct call *c = w->system;
	struct coop coop;
	struct verify_result result;
	assert_ok(c, coop_read(c, w->coop, &coop));
	struct verify_options options = { .public_key = coop.public_key };
	if (base)
		options.base = release_dir(c->arena, w->coop, *base).p;
	assert_ok(c, verify_release(c->arena, release_dir(c->arena, w->coop, release).p, &options, &result, &c->error));
	for (const struct check *k = result.checks; k; k = k->next)
		if (!k->ok)
			return str_fmt(c->arena, "%s: %.*s", k->id, STR_ARG(k->text));
	return STR_NONE;
}

static void verifies(struct world *w, struct uuid release, const struct uuid *base)
{
	struct str wrong = verify_text(w, release, base);
	if (wrong.p)
		fail_msg("%.*s", STR_ARG(wrong));
}

/* What carrying an erasure does with one item: out of every decision, a tombstone, its versions withdrawn, a redaction asked for. */
static void erase(struct world *w, struct uuid item, enum tombstone_kind kind)
{
	struct call *c = w->system;
	struct release_holding holding;
	int64_t no, first;
	assert_ok(c, db_begin_in(c, w->coop, DB_WRITE));
	assert_ok(c, pool_select(c, w->coop, (struct uuid){ { 0 } }, &item, 1, &no));
	struct pool_withdrawal out = { .id = uuid_new(), .kind = POOL_ERASE, .items = &no, .n = 1, .until = INSTANT_NONE };
	assert_ok(c, pool_withdraw(c, w->coop, &out));
	assert_ok(c, release_holding(c, w->coop, &no, 1, &holding));
	struct str *versions;
	struct tombstone_draft draft = { .item = item, .kind = kind, .reason_code = STR("request"), .effective = clock_now(), .purge_by = clock_now() + 7 * CLOCK_DAY,
		.until = INSTANT_NONE, .erasure = uuid_new() };
	draft.n_releases = release_holding_versions(c->arena, &holding, 0, &versions);
	draft.releases = versions;
	assert_ok(c, tombstone_append(c, w->coop, &draft, 1, &first));
	for (size_t i = 0; i < holding.n; i++)
		assert_ok(c, release_withdraw(c, w->coop, holding.releases[i].id, STR("An item was erased at its contributor's request."), first, first));
	assert_ok(c, release_redact(c, w->coop, clock_now()));
	assert_ok(c, db_commit(c));
}

/* Items of five members, and the first release of them. */
struct published {
	struct uuid items[15];
	struct release first;
};

static void publish_first(struct world *w, struct published *p, const char *replace)
{
	char text[64];
	world_make(w, replace);
	for (int i = 0; i < 5; i++)
		world_say(w, i, "allow");
	for (int i = 0; i < 15; i++) {
		snprintf(text, sizeof(text), "Question number %d", i);
		p->items[i] = world_contribute(w, i % 5, text);
	}
	p->first = world_published(w);
}

static bool there(struct world *w, struct uuid release, const char *path)
{
	struct stat st;
	struct str dir = release_dir(w->system->arena, w->coop, release);
	return stat(str_fmt(w->system->arena, "%.*s/%s", STR_ARG(dir), path).p, &st) == 0;
}

static struct release latest(struct world *w)
{
	struct release r;
	assert_ok(w->system, release_find(w->system, w->coop, STR("latest"), &r));
	return r;
}

static void a_version_that_holds_an_erased_item_is_made_again_without_it(void **state)
{
	struct world w;
	struct published p;
	(void)state;
	publish_first(&w, &p, NULL);
	erase(&w, p.items[3], TOMBSTONE_ERASE);
	struct release first = world_read(&w, p.first.id);
	assert_int_equal(first.state, RELEASE_WITHDRAWN);
	assert_int_equal(first.tombstones_from, 0);
	assert_int_equal(first.tombstones_upto, 0);
	struct str kept = release_dir(w.system->arena, w.coop, first.id);
	assert_int_equal(system(str_fmt(w.system->arena, "cp -a %.*s %.*s.kept", STR_ARG(kept), STR_ARG(kept)).p), 0);
	world_until(&w, clock_now());
	struct release second = latest(&w);
	assert_str(second.version, "2.0.0");
	assert_int_equal(second.state, RELEASE_PUBLISHED);
	assert_true(uuid_eq(second.redacts, first.id));
	assert_int_equal(second.built_items, 14);
	assert_int_equal(second.cutoff_at, first.cutoff_at);
	assert_true(uuid_eq(second.ballot, first.ballot));
	assert_int_equal(fixture_int("SELECT count(*) FROM release WHERE state = 'redacting'"), 0);
	verifies(&w, second.id, NULL);
	/* A holder applies the patch and has these very files. */
	assert_int_equal(system(str_fmt(w.system->arena, "mkdir -p %.*s/data && cp -a %.*s.kept/data %.*s/", STR_ARG(kept), STR_ARG(kept), STR_ARG(kept)).p), 0);
	verifies(&w, second.id, &first.id);
	assert_true(there(&w, second.id, "patches/1.0.0--2.0.0.redact.jsonl"));
	assert_int_equal(fixture_int("SELECT count(*) FROM log_leaf WHERE type IN ('release.withdrawn', 'release.redacting', 'release.cleared')"), 3);
}

static void the_data_of_withdrawn_versions_go_and_what_proves_them_stays(void **state)
{
	struct world w;
	struct published p;
	int64_t left;
	(void)state;
	publish_first(&w, &p, NULL);
	erase(&w, p.items[3], TOMBSTONE_ERASE);
	assert_ok(w.system, db_begin_in(w.system, w.coop, DB_READ));
	assert_ok(w.system, release_not_cleared(w.system, w.coop, 0, &left));
	assert_int_equal(left, 1);
	assert_ok(w.system, db_commit(w.system));
	/* They are what the redaction is made from: until then they stay. */
	assert_err(w.system, ERR_STATE, release_clear(w.system, w.coop, p.first.id));
	assert_true(there(&w, p.first.id, "data/example"));
	world_until(&w, clock_now());
	assert_false(there(&w, p.first.id, "data"));
	static const char *const stay[] = { "manifest.json", "manifest.dsse.json", "checkpoint", "release.tlog-proof", "SHA256SUMS", "SHA256SUMS.minisig", "report.json", "README.md" };
	for (size_t i = 0; i < CH_LEN(stay); i++)
		assert_true(there(&w, p.first.id, stay[i]));
	assert_ok(w.system, db_begin_in(w.system, w.coop, DB_READ));
	assert_ok(w.system, release_not_cleared(w.system, w.coop, 0, &left));
	assert_int_equal(left, 0);
	assert_ok(w.system, db_commit(w.system));
	verifies(&w, latest(&w).id, NULL);
}

static void withdrawing_twice_widens_the_range_and_adds_no_event(void **state)
{
	struct world w;
	struct published p;
	(void)state;
	publish_first(&w, &p, NULL);
	erase(&w, p.items[3], TOMBSTONE_ERASE);
	erase(&w, p.items[4], TOMBSTONE_ERASE);
	struct release first = world_read(&w, p.first.id);
	assert_int_equal(first.tombstones_from, 0);
	assert_int_equal(first.tombstones_upto, 1);
	assert_int_equal(fixture_int("SELECT count(*) FROM release_event WHERE to_state = 'withdrawn'"), 1);
	/* Others of the same hour: what came together does not show. */
	struct tombstone_draft other = { .item = uuid_new(), .kind = TOMBSTONE_ERASE, .reason_code = STR("request"), .effective = clock_now(), .purge_by = clock_now(), .until = INSTANT_NONE };
	assert_ok(w.system, db_begin_in(w.system, w.coop, DB_WRITE));
	assert_ok(w.system, tombstone_append(w.system, w.coop, &other, 1, NULL));
	assert_ok(w.system, db_commit(w.system));
	assert_int_equal(world_read(&w, p.first.id).tombstones_upto, 2);
	assert_int_equal(fixture_int("SELECT tombstones_upto FROM release WHERE version = '1.0.0'"), 1);
	world_until(&w, clock_now());
	/* Coalesced: one redaction for both. */
	assert_int_equal(latest(&w).built_items, 13);
	assert_str(latest(&w).version, "2.0.0");
	verifies(&w, latest(&w).id, NULL);
}

static void a_redaction_of_a_redaction_keeps_the_cut(void **state)
{
	struct world w;
	struct published p;
	(void)state;
	publish_first(&w, &p, NULL);
	erase(&w, p.items[0], TOMBSTONE_ERASE);
	world_until(&w, clock_now());
	struct release second = latest(&w);
	erase(&w, p.items[1], TOMBSTONE_CORRECT);
	world_until(&w, clock_now());
	struct release third = latest(&w);
	assert_str(third.version, "3.0.0");
	assert_true(uuid_eq(third.redacts, second.id));
	assert_int_equal(third.built_items, 13);
	assert_true(there(&w, third.id, "patches/2.0.0--3.0.0.redact.jsonl"));
	assert_false(there(&w, second.id, "data"));
	verifies(&w, third.id, NULL);
}

static void below_k_there_is_no_redaction_and_it_says_why(void **state)
{
	struct world w;
	struct published p;
	(void)state;
	publish_first(&w, &p, "{\"release\":{\"uses\":[\"train.gen\"],\"purposes\":[\"research\"],\"audience\":\"gated_manual\",\"k_contributors\":5}}");
	for (int i = 0; i < 3; i++)
		erase(&w, p.items[2 + 5 * i], TOMBSTONE_ERASE);
	world_until(&w, clock_now());
	struct release first = latest(&w); /* there is no other: whoever asks for it is told what became of it */
	assert_true(uuid_eq(first.id, p.first.id));
	assert_int_equal(first.state, RELEASE_WITHDRAWN);
	assert_non_null(first.failure.p);
	assert_int_equal(fixture_int("SELECT count(*) FROM release WHERE state = 'failed' AND redacts_id IS NOT NULL"), 1);
	assert_false(there(&w, p.first.id, "data"));
	/* And no second attempt. */
	assert_ok(w.system, release_redact_now(w.system, w.coop));
	assert_int_equal(fixture_int("SELECT count(*) FROM release WHERE redacts_id IS NOT NULL"), 1);
}

static void older_versions_that_held_it_are_withdrawn_without_a_redaction_of_their_own(void **state)
{
	struct world w;
	struct published p;
	(void)state;
	publish_first(&w, &p, NULL);
	world_contribute(&w, 0, "In February");
	struct release second = world_published(&w);
	assert_str(world_read(&w, second.id).version, "1.1.0");
	erase(&w, p.items[7], TOMBSTONE_ERASE);
	assert_int_equal(world_read(&w, p.first.id).state, RELEASE_WITHDRAWN);
	assert_int_equal(world_read(&w, second.id).state, RELEASE_WITHDRAWN);
	world_until(&w, clock_now());
	struct release third = latest(&w);
	assert_true(uuid_eq(third.redacts, second.id));
	assert_int_equal(third.built_items, 15);
	assert_int_equal(fixture_int("SELECT count(*) FROM release WHERE redacts_id IS NOT NULL"), 1);
	/* What nobody erased anything from is the same file, with one link: the others' data are gone. */
	struct stat st;
	struct str dir = release_dir(w.system->arena, w.coop, third.id);
	assert_int_equal(stat(str_fmt(w.system->arena, "%.*s/data/example/cc-by-4.0-2026-02-00000-of-00001.jsonl.gz", STR_ARG(dir)).p, &st), 0);
	assert_int_equal(st.st_nlink, 1);
	assert_false(there(&w, p.first.id, "data"));
	assert_false(there(&w, second.id, "data"));
	verifies(&w, third.id, NULL);
	struct release to;
	struct str patch;
	assert_ok(w.system, db_begin_in(w.system, w.coop, DB_READ));
	assert_ok(w.system, release_move_to(w.system, &p.first, &to, &patch));
	assert_str(to.version, "2.0.0");
	assert_null(patch.p);
	assert_ok(w.system, release_get(w.system, w.coop, second.id, &second));
	assert_ok(w.system, release_move_to(w.system, &second, &to, &patch));
	assert_str(patch, "patches/1.1.0--2.0.0.redact.jsonl");
	assert_ok(w.system, db_commit(w.system));
}

static void a_shard_that_loses_everything_is_gone(void **state)
{
	struct world w;
	struct published p;
	(void)state;
	publish_first(&w, &p, NULL);
	struct uuid alone = world_contribute(&w, 0, "In February");
	struct release second = world_published(&w);
	erase(&w, alone, TOMBSTONE_ERASE);
	assert_int_equal(world_read(&w, p.first.id).state, RELEASE_SUPERSEDED); /* it never held it */
	struct str kept = release_dir(w.system->arena, w.coop, second.id);
	assert_int_equal(system(str_fmt(w.system->arena, "cp -a %.*s/data %.*s.kept", STR_ARG(kept), STR_ARG(kept)).p), 0);
	world_until(&w, clock_now());
	struct release third = latest(&w);
	assert_int_equal(third.built_items, 15);
	assert_false(there(&w, third.id, "data/example/cc-by-4.0-2026-02-00000-of-00001.jsonl.gz"));
	verifies(&w, third.id, NULL);
	assert_int_equal(system(str_fmt(w.system->arena, "mv %.*s.kept %.*s/data", STR_ARG(kept), STR_ARG(kept)).p), 0);
	verifies(&w, third.id, &second.id);
}

static void withdrawing_for_the_future_withdraws_no_version(void **state)
{
	struct world w;
	struct published p;
	struct call *c;
	int64_t no, first;
	(void)state;
	publish_first(&w, &p, NULL);
	c = w.system;
	assert_ok(c, db_begin_in(c, w.coop, DB_WRITE));
	assert_ok(c, pool_select(c, w.coop, (struct uuid){ { 0 } }, &p.items[1], 1, &no));
	struct pool_withdrawal out = { .id = uuid_new(), .kind = POOL_WITHDRAW_FUTURE, .items = &no, .n = 1, .until = INSTANT_NONE };
	assert_ok(c, pool_withdraw(c, w.coop, &out));
	struct str version = STR("1.0.0");
	struct tombstone_draft draft = { .item = p.items[1], .kind = TOMBSTONE_WITHDRAW_FUTURE, .reason_code = STR("request"), .releases = &version, .n_releases = 1,
		.effective = clock_now(), .purge_by = clock_now(), .until = INSTANT_NONE };
	assert_ok(c, tombstone_append(c, w.coop, &draft, 1, &first));
	assert_ok(c, release_redact(c, w.coop, clock_now()));
	assert_ok(c, db_commit(c));
	world_until(&w, clock_now());
	assert_int_equal(world_read(&w, p.first.id).state, RELEASE_PUBLISHED);
	assert_int_equal(fixture_int("SELECT count(*) FROM release WHERE redacts_id IS NOT NULL"), 0);
}

static void the_next_ordinary_release_goes_on_from_the_redaction(void **state)
{
	struct world w;
	struct published p;
	(void)state;
	publish_first(&w, &p, NULL);
	erase(&w, p.items[3], TOMBSTONE_ERASE);
	world_until(&w, clock_now());
	world_contribute(&w, 0, "In February");
	struct release next = world_published(&w);
	assert_str(next.version, "2.1.0");
	assert_int_equal(next.built_items, 15);
	assert_int_equal(latest(&w).state, RELEASE_PUBLISHED);
	verifies(&w, next.id, NULL);
	/* The shard of January was written again for the redaction, and is linked from there. */
	assert_int_equal(fixture_int("SELECT count(DISTINCT sha256) FROM release_file f JOIN release r ON r.id = f.release_id WHERE path LIKE 'data/%2026-01%' AND r.version > '2'"), 1);
}

struct job { struct call *call; struct uuid coop; enum err err; };

static void *redact_run(void *arg)
{
	struct job *j = arg;
	j->err = release_redact_now(j->call, j->coop);
	return NULL;
}

static void what_is_erased_while_a_redaction_is_built_is_not_in_it(void **state)
{
	struct world w;
	struct published p;
	pthread_t thread;
	(void)state;
	publish_first(&w, &p, NULL);
	erase(&w, p.items[3], TOMBSTONE_ERASE);
	assert_ok(w.system, db_begin_in(w.system, w.coop, DB_WRITE));
	assert_ok(w.system, ledger_lock(w.system, w.coop));
	struct job j = { .call = fixture_system(), .coop = w.coop };
	assert_int_equal(pthread_create(&thread, NULL, redact_run, &j), 0);
	while (fixture_int("SELECT count(*) FROM pg_locks WHERE NOT granted") == 0)
		usleep(5000);
	assert_ok(w.system, db_commit(w.system));
	erase(&w, p.items[4], TOMBSTONE_ERASE);
	pthread_join(thread, NULL);
	assert_ok(j.call, j.err);
	world_until(&w, clock_now());
	struct release r = latest(&w);
	assert_int_equal(r.built_items, 13);
	verifies(&w, r.id, NULL);
	assert_int_equal(fixture_int("SELECT count(*) FROM release WHERE state = 'withdrawn' AND cleared_at IS NULL"), 0);
}

/* An ordinary release that is published while a redaction is under way holds nothing erased; the redaction gives way. */
static void a_redaction_gives_way_to_a_release_that_came_first(void **state)
{
	struct world w;
	struct published p;
	(void)state;
	publish_first(&w, &p, NULL);
	world_contribute(&w, 0, "In February");
	struct release next = world_release(&w);
	world_until(&w, next.cutoff_at);
	world_until(&w, next.cutoff_at + 7 * CLOCK_DAY + CLOCK_HOUR);
	next = world_read(&w, next.id);
	world_vote(&w, &next, 2, "for");
	world_until(&w, next.cutoff_at + 9 * CLOCK_DAY + 2 * CLOCK_HOUR);
	clock_set(next.cutoff_at + 10 * CLOCK_DAY + 3 * CLOCK_HOUR);
	erase(&w, p.items[3], TOMBSTONE_ERASE);
	/* The redaction has begun … */
	fixture_sql("INSERT INTO release (coop_id, id, charter, cutoff_at, state, state_at, spec, seed, frozen_at, candidates, included, contributors, candidates_sha256, ballot_id, build_after, redacts_id) "
		"SELECT coop_id, gen_random_uuid(), charter, cutoff_at, 'redacting', state_at, spec, seed, frozen_at, candidates, included, contributors, candidates_sha256, ballot_id, build_after, id "
		"FROM release WHERE version = '1.0.0'");
	/* … when the next release is published. */
	assert_ok(w.system, release_build(w.system, w.coop, next.id));
	assert_ok(w.system, release_redact_now(w.system, w.coop));
	next = world_read(&w, next.id);
	assert_int_equal(next.state, RELEASE_PUBLISHED);
	assert_str(next.version, "2.0.0"); /* rows went: major */
	assert_int_equal(next.built_items, 15);
	assert_int_equal(fixture_int("SELECT count(*) FROM release WHERE state = 'cancelled' AND redacts_id IS NOT NULL"), 1);
	assert_int_equal(fixture_int("SELECT count(*) FROM release WHERE state = 'withdrawn' AND cleared_at IS NOT NULL"), 1);
	verifies(&w, next.id, NULL);
}

/* Redactions of redactions of a finely cut release, each held against a copy of the one before. */
static void whatever_is_erased_the_patch_gives_exactly_the_next_version(void **state)
{
	struct world w;
	struct uuid items[180];
	bool gone[CH_LEN(items)] = { false };
	char text[64];
	unsigned seed;
	size_t left = CH_LEN(items);
	(void)state;
	random_bytes(&seed, sizeof(seed));
	print_message("seed %u\n", seed);
	srand(seed);
	shards_aim_at(9);
	world_make(&w, NULL);
	for (int i = 0; i < 6; i++)
		world_say(&w, i, "allow");
	for (size_t i = 0; i < CH_LEN(items); i++) {
		snprintf(text, sizeof(text), "Question \\\"number\\\" %zu", i);
		items[i] = world_contribute(&w, (int)(i % 6), text);
	}
	struct release r = world_published(&w);
	assert_int_equal(r.built_items, left);
	assert_true(fixture_int("SELECT count(*) FROM release_file WHERE input_sha256 IS NOT NULL") >= 16);
	for (int round = 0; round < 6; round++) {
		struct str dir = release_dir(w.system->arena, w.coop, r.id);
		assert_int_equal(system(str_fmt(w.system->arena, "cp -a %.*s %.*s.kept", STR_ARG(dir), STR_ARG(dir)).p), 0);
		for (int n = 1 + rand() % (round == 4 ? 60 : 12); n > 0; n--) {
			size_t at = (size_t)rand() % CH_LEN(items);
			if (gone[at])
				continue;
			gone[at] = true;
			left--;
			erase(&w, items[at], TOMBSTONE_ERASE);
		}
		world_until(&w, clock_now());
		struct release next = latest(&w), base = r;
		if (uuid_eq(next.id, r.id))
			continue;
		assert_int_equal(next.state, RELEASE_PUBLISHED);
		assert_int_equal(next.built_items, left);
		assert_int_equal(system(str_fmt(w.system->arena, "rm -rf %.*s && mv %.*s.kept %.*s", STR_ARG(dir), STR_ARG(dir), STR_ARG(dir)).p), 0);
		verifies(&w, next.id, &base.id);
		r = next;
	}
	shards_aim_at(0);
}

/* A process that redacts and is killed after so many microseconds. */
static bool redact_and_kill(struct world *w, const char *url, const char *keys, int64_t after)
{
	int status;
	pid_t pid = fork();
	assert_true(pid >= 0);
	if (pid == 0) {
		struct db_pool *content, *keyring;
		struct error e = { 0 };
		struct call c = { .arena = arena_new(LIMIT_JOB_ARENA), .actor = { .kind = AUTH_SYSTEM } };
		if (db_pool_open(&content, url, 3, &e) != ERR_OK || db_pool_open(&keyring, keys, 1, &e) != ERR_OK)
			_exit(3);
		db_use_pool(content, keyring);
		_exit(release_redact_now(&c, w->coop) == ERR_OK ? 0 : 2);
	}
	usleep((useconds_t)after);
	kill(pid, SIGKILL);
	waitpid(pid, &status, 0);
	return WIFEXITED(status) && WEXITSTATUS(status) == 0;
}

static void killed_at_any_point_it_goes_on_and_ends_once(void **state)
{
	struct world w;
	struct published p;
	(void)state;
	publish_first(&w, &p, NULL);
	erase(&w, p.items[3], TOMBSTONE_ERASE);
	struct arena *a = arena_new(MIB);
	const char *url = str_z(a, str_of(fixture_url(false))), *keys = str_z(a, str_of(fixture_url(true)));
	db_release(w.system);
	db_release(w.person);
	int64_t after = 1000, attempts = 1;
	for (; !redact_and_kill(&w, url, keys, after); attempts++)
		after += 3000;
	print_message("%lld attempts\n", (long long)attempts);
	assert_int_equal(fixture_int("SELECT count(*) FROM release WHERE state = 'published'"), 1);
	assert_int_equal(fixture_int("SELECT count(*) FROM release WHERE redacts_id IS NOT NULL"), 1);
	assert_int_equal(fixture_int("SELECT count(*) FROM log_leaf WHERE type = 'release.redacting'"), 1);
	assert_int_equal(fixture_int("SELECT count(*) FROM log_leaf WHERE type = 'release.published'"), 2);
	assert_int_equal(fixture_int("SELECT count(*) FROM log_leaf WHERE type = 'release.cleared'"), 1);
	struct release second = latest(&w);
	assert_str(second.version, "2.0.0");
	verifies(&w, second.id, NULL);
	assert_false(there(&w, p.first.id, "data"));
	struct stat st;
	struct str staging = release_staging_dir(a, w.coop, second.id);
	assert_int_equal(stat(staging.p, &st), -1);
	arena_free(a);
}

/* The disk is full for a while, at different points of the work. */
static void on_a_full_disk_nothing_is_published_and_nothing_lost(void **state)
{
	struct world w;
	struct published p;
	struct stat st;
	(void)state;
	publish_first(&w, &p, NULL);
	erase(&w, p.items[3], TOMBSTONE_ERASE);
	assert_true(signal(SIGXFSZ, SIG_IGN) != SIG_ERR);
	struct rlimit usual, small;
	assert_int_equal(getrlimit(RLIMIT_FSIZE, &usual), 0);
	for (rlim_t room = 0; room <= 2400; room += 600) {
		small = (struct rlimit){ .rlim_cur = room, .rlim_max = usual.rlim_max };
		assert_int_equal(setrlimit(RLIMIT_FSIZE, &small), 0);
		enum err e = release_redact_now(w.system, w.coop);
		assert_int_equal(setrlimit(RLIMIT_FSIZE, &usual), 0);
		assert_int_equal(e, ERR_IO);
		db_rollback(w.system);
		assert_int_equal(fixture_int("SELECT count(*) FROM release WHERE state = 'published'"), 0);
		assert_true(there(&w, p.first.id, "data/example"));
		struct str id = str_of(fixture_text("SELECT id::text FROM release WHERE state = 'redacting'"));
		struct uuid redaction;
		assert_true(uuid_parse(id, &redaction));
		assert_int_equal(stat(release_staging_dir(w.system->arena, w.coop, redaction).p, &st), -1);
	}
	world_until(&w, clock_now());
	struct release second = latest(&w);
	assert_str(second.version, "2.0.0");
	assert_int_equal(fixture_int("SELECT count(*) FROM release WHERE redacts_id IS NOT NULL"), 1);
	verifies(&w, second.id, NULL);
}

static void data_are_not_cleared_while_a_usable_version_holds_the_item(void **state)
{
	struct world w;
	struct published p;
	(void)state;
	publish_first(&w, &p, NULL);
	world_contribute(&w, 0, "In February");
	world_published(&w);
	erase(&w, p.items[3], TOMBSTONE_ERASE);
	fixture_sql("UPDATE release SET state = 'published' WHERE version = '1.1.0'");
	assert_err(w.system, ERR_RETRY, release_clear(w.system, w.coop, p.first.id));
	assert_true(there(&w, p.first.id, "data/example"));
}

static void a_base_that_was_tampered_with_gives_no_redaction(void **state)
{
	struct world w;
	struct published p;
	struct gz_writer *out;
	struct gz_result result;
	(void)state;
	publish_first(&w, &p, NULL);
	erase(&w, p.items[3], TOMBSTONE_ERASE);
	struct str dir = release_dir(w.system->arena, w.coop, p.first.id);
	struct str path = str_fmt(w.system->arena, "%.*s/data/example/cc-by-4.0-2026-01-00000-of-00001.jsonl.gz", STR_ARG(dir));
	assert_int_equal(unlink(path.p), 0);
	assert_int_equal(gz_writer_open(&out, path.p, 6, 1, &w.system->error), ERR_OK);
	gz_writer_add(out, "{}\n", 3);
	assert_int_equal(gz_writer_close(out, &result, &w.system->error), ERR_OK);
	assert_err(w.system, ERR_CORRUPT, release_redact_now(w.system, w.coop));
	assert_int_equal(fixture_int("SELECT count(*) FROM release WHERE state = 'published'"), 0);
}

static void holding_says_which_versions_hold_which_item(void **state)
{
	struct world w;
	struct published p;
	struct release_holding h;
	struct str *versions;
	int64_t items[4];
	(void)state;
	publish_first(&w, &p, NULL);
	struct uuid late = world_contribute(&w, 0, "In February"), never = world_contribute(&w, 6, "By one who never consented");
	world_published(&w);
	struct call *c = w.system;
	struct uuid ids[] = { late, p.items[0], never, p.items[14] };
	assert_ok(c, db_begin_in(c, w.coop, DB_READ));
	for (size_t i = 0; i < CH_LEN(ids); i++)
		assert_ok(c, pool_select(c, w.coop, (struct uuid){ { 0 } }, &ids[i], 1, &items[i]));
	assert_ok(c, release_holding(c, w.coop, items, CH_LEN(items), &h));
	assert_int_equal(h.n, 2);
	assert_str(h.releases[0].version, "1.0.0");
	assert_str(h.releases[1].version, "1.1.0");
	assert_int_equal(release_holding_versions(c->arena, &h, 0, &versions), 1);
	assert_str(versions[0], "1.1.0");
	assert_int_equal(release_holding_versions(c->arena, &h, 1, &versions), 2);
	assert_int_equal(release_holding_versions(c->arena, &h, 2, &versions), 0);
	assert_int_equal(release_holding_versions(c->arena, &h, 3, &versions), 2);
	/* Those that hold none of them are left out. */
	assert_ok(c, release_holding(c, w.coop, items, 1, &h));
	assert_int_equal(h.n, 1);
	assert_str(h.releases[0].version, "1.1.0");
	assert_ok(c, db_commit(c));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		fixture_test(a_version_that_holds_an_erased_item_is_made_again_without_it),
		fixture_test(the_data_of_withdrawn_versions_go_and_what_proves_them_stays),
		fixture_test(withdrawing_twice_widens_the_range_and_adds_no_event),
		fixture_test(a_redaction_of_a_redaction_keeps_the_cut),
		fixture_test(below_k_there_is_no_redaction_and_it_says_why),
		fixture_test(older_versions_that_held_it_are_withdrawn_without_a_redaction_of_their_own),
		fixture_test(a_shard_that_loses_everything_is_gone),
		fixture_test(withdrawing_for_the_future_withdraws_no_version),
		fixture_test(the_next_ordinary_release_goes_on_from_the_redaction),
		fixture_test(what_is_erased_while_a_redaction_is_built_is_not_in_it),
		fixture_test(a_redaction_gives_way_to_a_release_that_came_first),
		fixture_test(whatever_is_erased_the_patch_gives_exactly_the_next_version),
		fixture_test(killed_at_any_point_it_goes_on_and_ends_once),
		fixture_test(on_a_full_disk_nothing_is_published_and_nothing_lost),
		fixture_test(data_are_not_cleared_while_a_usable_version_holds_the_item),
		fixture_test(a_base_that_was_tampered_with_gives_no_redaction),
		fixture_test(holding_says_which_versions_hold_which_item),
	};
	return fixture_run(tests, CH_LEN(tests));
}
