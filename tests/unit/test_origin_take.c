/* Taking foreign records in while life goes on: nobody waits for a bundle, nobody sees half of one, and one that is killed leaves a pool without gaps. */
#include "guest_kit.h"

#include "commonhold/keyring.h"
#include "commonhold/origin_take.h"
#include "commonhold/release.h"
#include "commonhold/seal_many.h"

#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

/* A co-op with a guest, and the guest's records on their way in. */
struct coming {
	struct world w;
	struct guest_source s;
	struct guest g;
	struct foreign_home home;
	struct origin_taking *taking;
	struct seal_key key;
};

static void coming_make(struct coming *k)
{
	world_make(&k->w, NULL);
	k->s = kit_source(k->w.system, k->w.coop, KIT_HOME);
	struct guest_words words = kit_words(k->w.system, KIT_HOME, 1, "allow");
	k->g = kit_put(k->w.system, k->w.coop, &k->s, &words);
	world_say(&k->w, 3, "allow");
}

static void coming_begin(struct coming *k, struct call *c)
{
	k->home = (struct foreign_home){ STR(KIT_HOME), STR("Elsewhere") };
	assert_ok(c, db_begin_in(c, k->w.coop, DB_WRITE));
	assert_ok(c, keyring_get(c, k->w.coop, &k->g.id, 1, &k->key, NULL));
	assert_ok(c, origin_taking_begin(c, k->w.coop, &k->home, 1, 10, &k->taking));
}

/* The content that world_contribute makes of the same text. */
static struct foreign foreign_make(const struct coming *k, struct call *c, const char *text)
{
	struct str content = str_fmt(c->arena, "{\"input\":\"%s\",\"output\":\"An answer to it.\"}", text);
	unsigned licence = (unsigned)policy_licence_find("CC-BY-4.0", 9);
	struct policy_item it = { .flags = POLICY_ITEM_ATTRIBUTED, .kind = POLICY_KIND_EXAMPLE, .licence = (uint8_t)licence, .moderation = POLICY_MODERATION_APPROVED, .created = clock_now() };
	return (struct foreign){
		.id = uuid_new(), .member = k->g.id, .member_no = (uint32_t)k->g.number, .hash = sha256(content), .kind = POLICY_KIND_EXAMPLE, .licence = licence, .bytes = content.n,
		.lang = STR("en"), .at = clock_now(), .word = policy_item_pack(&it), .leaf = 5, .content = content, .facts = STR("{}"),
	};
}

/* A group of one. */
static void coming_take(struct coming *k, struct call *c, const char *text)
{
	struct foreign f = foreign_make(k, c, text);
	origin_taking_look(k->taking, &f);
	assert_ok(c, origin_taking_ask(k->taking, &f, 1));
	struct seal_nonces nonces = { .left = 0 };
	foreign_seal(c->arena, &nonces, &k->key, k->w.coop, &f);
	assert_ok(c, origin_taking_write(k->taking, &f, 1));
}

static void coming_end(struct coming *k, struct call *c)
{
	int64_t first, rows, origins;
	assert_ok(c, origin_taking_end(k->taking, &first, &rows, &origins));
	assert_ok(c, db_commit(c));
}

static int64_t candidates(struct coming *k)
{
	struct preview p;
	assert_ok(k->w.system, release_preview(k->w.system, k->w.coop, &p));
	return p.candidates;
}

/* Dense from 0, packed and read as such, and counted in public without those that only fill a gap. */
static void assert_no_gaps(struct coming *k, int64_t items, int64_t fillers)
{
	int64_t packed;
	struct call *c = k->w.system;
	assert_ok(c, db_begin_in(c, k->w.coop, DB_WRITE));
	assert_ok(c, pool_pack(c, k->w.coop, &packed));
	assert_ok(c, db_commit(c));
	assert_int_equal(fixture_int("SELECT count(*) FROM contribution"), items + fillers);
	assert_int_equal(fixture_int("SELECT count(*) FROM contribution WHERE member_no = -1"), fillers);
	assert_int_equal(fixture_int("SELECT max(item_no) + 1 FROM contribution"), items + fillers);
	assert_int_equal(fixture_int("SELECT next_item FROM pool_head"), items + fillers);
	assert_int_equal(fixture_int("SELECT count(*) FROM pool_arriving"), 0);
	assert_int_equal(fixture_int("SELECT contributions FROM coop_count"), items);
	assert_int_equal(candidates(k), items + fillers);
}

/* ---- Others meanwhile ---- */

static void others_contribute_while_a_bundle_comes_in(void **state)
{
	struct coming k;
	(void)state;
	coming_make(&k);
	struct call *c = fixture_system();
	world_contribute(&k.w, 3, "Before");
	coming_begin(&k, c);
	coming_take(&k, c, "First from elsewhere");
	world_contribute(&k.w, 3, "Meanwhile"); /* would fail after the lock's five seconds */
	coming_take(&k, c, "Second from elsewhere");
	world_contribute(&k.w, 3, "Later");
	coming_end(&k, c);
	assert_no_gaps(&k, 5, 0);
}

static void nobody_sees_half_of_what_comes_in(void **state)
{
	struct coming k;
	(void)state;
	coming_make(&k);
	struct call *c = fixture_system();
	world_contribute(&k.w, 3, "Before");
	coming_begin(&k, c);
	coming_take(&k, c, "First from elsewhere");
	assert_int_equal(fixture_int("SELECT count(*) FROM contribution"), 1);
	assert_int_equal(fixture_int("SELECT contributions FROM coop_count"), 1);
	assert_int_equal(candidates(&k), 1);
	/* what others add after it has its number already, and is decided on when there is no gap before it */
	world_contribute(&k.w, 3, "Meanwhile");
	assert_int_equal(fixture_int("SELECT contributions FROM coop_count"), 2);
	assert_int_equal(candidates(&k), 1);
	coming_end(&k, c);
	assert_no_gaps(&k, 3, 0);
}

SQL(rows_and_origins, "SELECT (SELECT count(*) FROM contribution), (SELECT count(*) FROM item_origin)");

static void all_is_in_its_place_before_the_lock_is_taken(void **state)
{
	struct coming k;
	struct rows r;
	(void)state;
	coming_make(&k);
	struct call *c = fixture_system();
	world_contribute(&k.w, 3, "Both");
	coming_begin(&k, c);
	coming_take(&k, c, "Both");
	coming_take(&k, c, "New");
	assert_ok(c, origin_taking_put(k.taking));
	assert_ok(c, db_query0(c, rows_and_origins, &r));
	assert_int_equal(row_int(&r, 0, 0), 2);
	assert_int_equal(row_int(&r, 0, 1), 1);
	world_contribute(&k.w, 3, "Meanwhile"); /* would fail after the lock's five seconds */
	coming_end(&k, c);
	assert_no_gaps(&k, 3, 0);
}

static void the_same_content_from_somebody_meanwhile_makes_it_begin_again(void **state)
{
	struct coming k;
	int64_t first, rows, origins;
	(void)state;
	coming_make(&k);
	struct call *c = fixture_system();
	coming_begin(&k, c);
	coming_take(&k, c, "Both");
	world_contribute(&k.w, 3, "Both");
	assert_err(c, ERR_RETRY, origin_taking_end(k.taking, &first, &rows, &origins));
	error_clear(&c->error);
	coming_begin(&k, c);
	coming_take(&k, c, "Both");
	coming_end(&k, c);
	assert_int_equal(fixture_int("SELECT count(*) FROM item_origin"), 1);
	/* the member's item has the number after the one that nobody uses now */
	assert_no_gaps(&k, 1, 1);
}

static void an_item_that_is_emptied_meanwhile_takes_no_origin(void **state)
{
	struct coming k;
	int64_t first, rows, origins;
	(void)state;
	coming_make(&k);
	struct call *c = fixture_system();
	world_contribute(&k.w, 3, "Both");
	coming_begin(&k, c);
	coming_take(&k, c, "Both");
	fixture_sql("UPDATE contribution SET word = word | 4096");
	assert_err(c, ERR_RETRY, origin_taking_end(k.taking, &first, &rows, &origins));
	error_clear(&c->error);
}

static void an_item_that_is_approved_meanwhile_takes_the_origin_at_the_next_try(void **state)
{
	struct coming k;
	int64_t first, rows, origins;
	(void)state;
	coming_make(&k);
	struct call *c = fixture_system();
	world_contribute(&k.w, 3, "Both");
	fixture_sql("UPDATE contribution SET word = word & ~1536::bigint"); /* waits for a moderator */
	coming_begin(&k, c);
	coming_take(&k, c, "Both");
	fixture_sql("UPDATE contribution SET word = word | 512");
	assert_err(c, ERR_RETRY, origin_taking_end(k.taking, &first, &rows, &origins));
	error_clear(&c->error);
	coming_begin(&k, c);
	coming_take(&k, c, "Both");
	coming_end(&k, c);
	assert_int_equal(fixture_int("SELECT count(*) FROM item_origin"), 1);
	assert_no_gaps(&k, 1, 0);
}

static void a_change_that_concerns_none_of_it_lets_it_through(void **state)
{
	struct coming k;
	(void)state;
	coming_make(&k);
	struct call *c = fixture_system();
	world_contribute(&k.w, 3, "Both");
	world_contribute(&k.w, 3, "Another");
	coming_begin(&k, c);
	coming_take(&k, c, "Both");
	coming_take(&k, c, "New");
	fixture_sql("UPDATE contribution SET word = word | 4096 WHERE item_no = 1");
	coming_end(&k, c);
	assert_int_equal(fixture_int("SELECT count(*) FROM item_origin"), 1);
	assert_no_gaps(&k, 3, 0);
}

/* A whole segment comes in, with parts of others before and behind it. */
static void what_comes_in_is_packed_as_it_would_be_from_its_rows(void **state)
{
	enum { GROUP = 1500, GROUPS = 7 };
	static const char digest[] = "SELECT md5(string_agg(md5(ids || members || words || mores || hashes || shards) || items || upto, ',' ORDER BY no)) FROM pool_segment WHERE no = 1";
	struct coming k;
	int64_t packed;
	char as_it_came[40];
	(void)state;
	coming_make(&k);
	struct call *c = fixture_system();
	world_contribute(&k.w, 3, "Before");
	coming_begin(&k, c);
	for (int g = 0; g < GROUPS; g++) {
		struct arena_mark mark = arena_mark(c->arena);
		struct foreign *f = ARENA_ARRAY(c->arena, GROUP, struct foreign);
		for (int i = 0; i < GROUP; i++) {
			f[i] = foreign_make(&k, c, str_fmt(c->arena, "Number %d of %d", i, g).p);
			f[i].more |= (uint64_t)i;
			origin_taking_look(k.taking, &f[i]);
		}
		assert_ok(c, origin_taking_ask(k.taking, f, GROUP));
		struct seal_nonces nonces = { .left = 0 };
		for (int i = 0; i < GROUP; i++)
			foreign_seal(c->arena, &nonces, &k.key, k.w.coop, &f[i]);
		assert_ok(c, origin_taking_write(k.taking, f, GROUP));
		arena_rewind(c->arena, mark);
	}
	coming_end(&k, c);
	assert_int_equal(fixture_int("SELECT count(*) FROM pool_segment WHERE no = 1 AND NOT dirty AND items = 4096"), 1);
	snprintf(as_it_came, sizeof(as_it_came), "%s", fixture_text(digest));
	fixture_sql("UPDATE pool_segment SET dirty = true");
	assert_ok(c, db_begin_in(c, k.w.coop, DB_WRITE));
	assert_ok(c, pool_pack(c, k.w.coop, &packed));
	assert_ok(c, db_commit(c));
	assert_int_equal(packed, 3);
	assert_string_equal(fixture_text(digest), as_it_came);
	assert_no_gaps(&k, 1 + GROUP * GROUPS, 0);
}

/* ---- One that does not come to its end ---- */

static int64_t count_of(const char *table)
{
	char sql[100];
	snprintf(sql, sizeof(sql), "SELECT count(*) FROM %s", table);
	return fixture_int(sql);
}

/* A process of its own that takes a record, and is killed before the next. */
static void killed_between_two(struct coming *k)
{
	pid_t child = fork();
	if (child == 0) {
		/* connections of the parent are not the child's to use */
		struct db_pool *content, *keys;
		struct error e = { 0 };
		static struct call own;
		own = (struct call){ .arena = arena_new(LIMIT_JOB_ARENA), .actor = { .kind = AUTH_SYSTEM }, .request_id = STR("child"), .locale = STR("en") };
		if (db_pool_open(&content, fixture_url(false), 3, &e) != ERR_OK || db_pool_open(&keys, fixture_url(true), 2, &e) != ERR_OK)
			_exit(3);
		db_use_pool(content, keys);
		coming_begin(k, &own);
		coming_take(k, &own, "Of one who was killed");
		kill(getpid(), SIGKILL);
	}
	int status;
	assert_true(child > 0);
	assert_int_equal(waitpid(child, &status, 0), child);
	assert_true(WIFSIGNALED(status));
	while (fixture_int("SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND state LIKE '%transaction%'") > 0)
		usleep(10000); /* the database ends the dead one's transaction when it notices */
}

static void one_that_is_killed_leaves_nothing_and_the_next_try_completes(void **state)
{
	struct coming k;
	(void)state;
	coming_make(&k);
	struct call *c = fixture_system();
	world_contribute(&k.w, 3, "Before");
	killed_between_two(&k);
	assert_int_equal(fixture_int("SELECT count(*) FROM contribution"), 1);
	assert_int_equal(fixture_int("SELECT contributions FROM coop_count"), 1);
	assert_int_equal(candidates(&k), 1);
	coming_begin(&k, c);
	coming_take(&k, c, "Of one who was killed");
	coming_end(&k, c);
	assert_no_gaps(&k, 2, 0);
}

/* What is left of one that was refused late is a number for a kind, licence and month, under which nothing is filed: nobody sees it, nothing is counted by it, and the next that needs one takes it. */
static void one_that_is_rolled_back_leaves_at_most_a_number_that_the_next_one_takes(void **state)
{
	static const char *const everywhere[] = { "contribution", "contribution_content", "item_origin", "log_leaf", "pool_arriving" };
	struct coming k;
	int64_t before[CH_LEN(everywhere)];
	(void)state;
	coming_make(&k);
	struct call *c = fixture_system();
	world_contribute(&k.w, 3, "Before");
	for (size_t i = 0; i < CH_LEN(everywhere); i++)
		before[i] = count_of(everywhere[i]);
	int64_t shards = fixture_int("SELECT count(*) FROM shard_key");
	clock_set(clock_now() + 62 * CLOCK_DAY); /* of a month that the pool has nothing of */
	for (int tries = 0; tries < 2; tries++) {
		coming_begin(&k, c);
		coming_take(&k, c, "Of a month of its own");
		db_rollback(c);
	}
	assert_ok(c, origin_taking_settle(c, k.w.coop));
	for (size_t i = 0; i < CH_LEN(everywhere); i++)
		assert_int_equal(count_of(everywhere[i]), before[i]);
	assert_int_equal(fixture_int("SELECT contributions FROM coop_count"), 1);
	assert_int_equal(candidates(&k), 1);
	assert_in_range(fixture_int("SELECT count(*) FROM shard_key"), shards, shards + 1);
	coming_begin(&k, c);
	coming_take(&k, c, "Of a month of its own");
	coming_end(&k, c);
	assert_no_gaps(&k, 2, 0);
	assert_int_equal(fixture_int("SELECT count(*) FROM shard_key"), shards + 1);
	assert_int_equal(fixture_int("SELECT count(*) FROM shard_key s WHERE NOT EXISTS (SELECT FROM contribution c WHERE c.coop_id = s.coop_id AND c.shard = s.no)"), 0);
}

static void what_others_add_after_one_that_was_killed_is_decided_on(void **state)
{
	struct coming k;
	(void)state;
	coming_make(&k);
	killed_between_two(&k);
	world_contribute(&k.w, 3, "After it");
	assert_no_gaps(&k, 1, 1); /* packing finds that nobody is at work, and fills the gap */
	struct preview p;
	assert_ok(k.w.system, release_preview(k.w.system, k.w.coop, &p));
	assert_int_equal(p.included, 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		fixture_test(others_contribute_while_a_bundle_comes_in),
		fixture_test(nobody_sees_half_of_what_comes_in),
		fixture_test(all_is_in_its_place_before_the_lock_is_taken),
		fixture_test(the_same_content_from_somebody_meanwhile_makes_it_begin_again),
		fixture_test(an_item_that_is_emptied_meanwhile_takes_no_origin),
		fixture_test(an_item_that_is_approved_meanwhile_takes_the_origin_at_the_next_try),
		fixture_test(a_change_that_concerns_none_of_it_lets_it_through),
		fixture_test(what_comes_in_is_packed_as_it_would_be_from_its_rows),
		fixture_test(one_that_is_killed_leaves_nothing_and_the_next_try_completes),
		fixture_test(one_that_is_rolled_back_leaves_at_most_a_number_that_the_next_one_takes),
		fixture_test(what_others_add_after_one_that_was_killed_is_decided_on),
	};
	return fixture_run(tests, CH_LEN(tests));
}
