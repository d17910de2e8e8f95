/* Submissions that come one by one and are written together. */
#include "pool_world.h"

#include "commonhold/ledger.h"
#include "commonhold/policy.h"
#include "server/pool/pool_internal.h"

#include <pthread.h>
#include <unistd.h>

#define THREADS 8

/* One thread's work: `n` texts of its own, or one that all say. */
struct sender {
	pthread_t thread;
	struct uuid coop;
	struct call *c;
	const char *same;            /* NULL: texts of its own */
	const char *application;
	unsigned number, n;
	struct receipt receipt[40];
	enum err err;                /* the last one's */
};

static void *send_all(void *arg)
{
	struct sender *s = arg;
	for (unsigned i = 0; i < s->n && s->err == ERR_OK; i++) {
		struct str own = str_fmt(s->c->arena, "text %u of sender %u", i, s->number);
		struct str text = str_fmt(s->c->arena, "{\"kind\":\"example\",\"application\":\"%s\",\"content\":{\"input\":\"%.*s\"}}", s->application, STR_ARG(s->same ? str_of(s->same) : own));
		const struct json *json;
		s->err = json_parse(s->c->arena, text, &json, &s->c->error);
		if (s->err == ERR_OK)
			s->err = pool_submit(s->c, s->coop, json, &s->receipt[i]);
	}
	db_release(s->c);
	return NULL;
}

/* Holds the pool's lock until all have come, so that the first of them waits for it and the others for the first. */
static void send_at_once(struct sender *senders, size_t n, bool hold)
{
	struct call *holder = fixture_system();
	if (hold) {
		assert_ok(holder, db_begin_in(holder, senders[0].coop, DB_WRITE));
		assert_ok(holder, pool_lock(holder, senders[0].coop));
	}
	for (size_t i = 0; i < n; i++)
		assert_int_equal(pthread_create(&senders[i].thread, NULL, send_all, &senders[i]), 0);
	while (hold && fixture_int("SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock'") == 0)
		usleep(1000);
	if (hold) {
		usleep(100000); /* the others, on their way; the rules hold as well if one of them comes later */
		assert_ok(holder, db_commit(holder));
		db_release(holder);
	}
	for (size_t i = 0; i < n; i++)
		pthread_join(senders[i].thread, NULL);
}

/* A co-op whose shard key is known to this process: items are then written together. */
static struct uuid warm_coop(const char *fields, struct call **member)
{
	struct uuid coop = world_coop(fields);
	*member = world_member(coop, "active");
	world_submit(*member, coop, "the first makes the shard key");
	world_submit(*member, coop, "the second finds it");
	return coop;
}

static void assert_proved(struct call *c, struct uuid coop, const struct receipt *r)
{
	struct tlog_proof proof;
	uint64_t size;
	struct sha256 root;
	struct str origin;
	struct sign_key key;
	assert_ok(c, tlog_proof_read(c->arena, r->proof, &proof, &c->error));
	assert_int_equal(proof.index, r->leaf);
	assert_ok(c, db_begin_in(c, coop, DB_READ));
	assert_ok(c, ledger_origin(c, coop, &origin));
	assert_ok(c, ledger_key(c, coop, &key));
	assert_ok(c, db_commit(c));
	db_release(c);
	assert_ok(c, checkpoint_verify(c->arena, proof.checkpoint, origin, key.public_key, &size, &root, &c->error));
	assert_true(merkle_inclusion_ok(merkle_leaf(proof.entry), proof.index, size, proof.path, proof.n, root));
	assert_non_null(memmem(proof.entry.p, proof.entry.n, r->rid.p, r->rid.n));
}

static void everybody_at_once_gets_a_number_a_leaf_and_a_proof(void **state)
{
	(void)state;
	struct call *member;
	struct uuid coop = warm_coop("", &member);
	static struct sender senders[THREADS];
	memset(senders, 0, sizeof(senders));
	for (unsigned i = 0; i < THREADS; i++)
		senders[i] = (struct sender){ .coop = coop, .c = i % 2 ? world_again(member) : world_member(coop, "active"), .application = "test", .number = i, .n = 40 };
	send_at_once(senders, THREADS, false);
	for (unsigned i = 0; i < THREADS; i++) {
		assert_ok(senders[i].c, senders[i].err);
		for (unsigned k = 0; k < 40; k++) {
			struct contribution item;
			struct str content;
			const struct receipt *r = &senders[i].receipt[k];
			assert_false(r->duplicate);
			assert_proved(senders[i].c, coop, r);
			assert_ok(senders[i].c, pool_read(senders[i].c, coop, r->id, &item, &content));
			assert_str(content, str_fmt(senders[i].c->arena, "{\"input\":\"text %u of sender %u\"}", k, i).p);
			assert_int_equal(item.leaf, r->leaf);
			db_release(senders[i].c);
		}
	}
	assert_int_equal(fixture_int("SELECT count(*) FROM contribution"), 2 + THREADS * 40);
	assert_int_equal(fixture_int("SELECT max(item_no) - count(*) FROM contribution"), -1);
	assert_int_equal(fixture_int("SELECT next_item - (SELECT count(*) FROM contribution) FROM pool_head"), 0);
	assert_int_equal(fixture_int("SELECT size - (SELECT count(*) FROM log_leaf) FROM log_head"), 0);
	assert_int_equal(fixture_int("SELECT count(*) FROM membership m WHERE contributed <> (SELECT count(*) FROM contribution c WHERE c.member_id = m.id)"), 0);
	assert_int_equal(fixture_int("SELECT count(*) FROM (SELECT at, lag(at) OVER (ORDER BY idx) AS before FROM log_leaf) l WHERE at < before"), 0);
	assert_int_equal(fixture_int("SELECT count(*) FROM contribution c JOIN log_leaf l ON l.idx = c.leaf WHERE position(c.id::text IN convert_from(l.entry, 'UTF8')) > 0"), 2 + THREADS * 40);
}

static void the_same_from_one_member_at_once_is_one_contribution(void **state)
{
	(void)state;
	struct call *member;
	struct uuid coop = warm_coop("", &member);
	struct sender senders[THREADS];
	memset(senders, 0, sizeof(senders));
	for (unsigned i = 0; i < THREADS; i++)
		senders[i] = (struct sender){ .coop = coop, .c = world_again(member), .same = "said by all", .application = "test", .number = i, .n = 1 };
	send_at_once(senders, THREADS, true);
	unsigned first = 0;
	for (unsigned i = 0; i < THREADS; i++) {
		assert_ok(senders[i].c, senders[i].err);
		first += !senders[i].receipt[0].duplicate;
		assert_true(uuid_eq(senders[i].receipt[0].id, senders[0].receipt[0].id));
		assert_proved(senders[i].c, coop, &senders[i].receipt[0]);
	}
	assert_int_equal(first, 1);
	assert_int_equal(fixture_int("SELECT count(*) FROM contribution"), 3);
	assert_int_equal(fixture_int("SELECT count(*) FROM log_leaf WHERE type = 'contribution.made'"), 3);
}

static void the_same_from_different_members_at_once_stands_once(void **state)
{
	(void)state;
	struct call *member;
	struct uuid coop = warm_coop("", &member);
	struct sender senders[THREADS];
	memset(senders, 0, sizeof(senders));
	for (unsigned i = 0; i < THREADS; i++)
		senders[i] = (struct sender){ .coop = coop, .c = world_member(coop, "active"), .same = "said by all", .application = "test", .number = i, .n = 1 };
	send_at_once(senders, THREADS, true);
	for (unsigned i = 0; i < THREADS; i++) {
		assert_ok(senders[i].c, senders[i].err);
		assert_false(senders[i].receipt[0].duplicate);
	}
	assert_int_equal(fixture_int("SELECT count(*) FROM contribution"), 2 + THREADS);
	/* marked are all but the one with the lowest number */
	assert_int_equal(fixture_int("SELECT count(*) FROM contribution WHERE word & 65536 <> 0"), THREADS - 1);
	assert_int_equal(fixture_int("SELECT word >> 16 & 1 FROM contribution WHERE item_no = 2"), 0);
}

static void one_that_fails_fails_alone(void **state)
{
	(void)state;
	struct call *member;
	struct uuid coop = warm_coop("", &member);
	struct sender senders[THREADS];
	static char unwelcome[101]; /* circumstances are sealed: the database knows this one by its length */
	memset(unwelcome, 'x', sizeof(unwelcome) - 1);
	fixture_sql("CREATE FUNCTION refuse_it() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN IF length(NEW.sealed_facts) > (SELECT min(length(o.sealed_facts)) + 60 FROM contribution o) THEN RAISE EXCEPTION 'no' USING ERRCODE = 'CH002', "
		"CONSTRAINT = 'this_is_unwelcome'; END IF; RETURN NEW; END $$; CREATE TRIGGER refuse_it BEFORE INSERT ON contribution FOR EACH ROW EXECUTE FUNCTION refuse_it()");
	memset(senders, 0, sizeof(senders));
	for (unsigned i = 0; i < THREADS; i++)
		senders[i] = (struct sender){ .coop = coop, .c = world_again(member), .application = i == 5 ? unwelcome : "test", .number = i, .n = 1 };
	send_at_once(senders, THREADS, true);
	for (unsigned i = 0; i < THREADS; i++) {
		if (i == 5) {
			assert_int_not_equal(senders[i].err, ERR_OK);
			assert_non_null(strstr(senders[i].c->error.message, "unwelcome"));
			continue;
		}
		assert_ok(senders[i].c, senders[i].err);
		assert_proved(senders[i].c, coop, &senders[i].receipt[0]);
	}
	assert_int_equal(fixture_int("SELECT count(*) FROM contribution"), 2 + THREADS - 1);
	assert_int_equal(fixture_int("SELECT size - (SELECT count(*) FROM log_leaf) FROM log_head"), 0);
}

static const struct pool_asked_intake *ask_intake(struct call *c, struct uuid coop)
{
	struct pool_asked_intake *asked;
	assert_ok(c, db_begin_in(c, coop, DB_READ));
	assert_ok(c, pool_ask_intake(c, &asked));
	assert_ok(c, db_commit(c));
	return asked;
}

static void a_charter_that_changed_on_the_way_is_the_one_that_counts(void **state)
{
	(void)state;
	struct call *c;
	struct uuid coop = warm_coop("", &c);
	struct receipt r;
	const struct pool_asked_intake *asked = ask_intake(c, coop);
	world_charter(coop, "\"moderation\":{\"mode\":\"hold\"}");
	assert_ok(c, pool_submit_asked(c, coop, asked, world_example(c, "under the new one"), &r));
	assert_str(r.status, "pending");
	assert_proved(c, coop, &r);
	assert_int_equal(fixture_int("SELECT count(*) FROM moderation_decision WHERE decision = 'hold'"), 1);
	asked = ask_intake(c, coop);
	world_charter(coop, "\"moderation\":{\"mode\":\"reject\"}");
	assert_err(c, ERR_REFUSED, pool_submit_asked(c, coop, asked, world_example(c, "not any more"), &r));
	assert_int_equal(fixture_int("SELECT count(*) FROM contribution"), 3);
}

static void a_member_who_left_on_the_way_contributes_no_more(void **state)
{
	(void)state;
	struct call *c;
	struct uuid coop = warm_coop("", &c);
	struct receipt r;
	(void)world_member(coop, "active");
	const struct pool_asked_intake *asked = ask_intake(c, coop);
	fixture_sql("ALTER TABLE membership DISABLE TRIGGER USER; UPDATE membership SET state = 'lapsed'");
	assert_err(c, ERR_FORBIDDEN, pool_submit_asked(c, coop, asked, world_example(c, "too late"), &r));
	assert_int_equal(fixture_int("SELECT count(*) FROM contribution"), 2);
}

static void a_preference_string_becomes_a_statement(void **state)
{
	(void)state;
	struct call *c;
	struct uuid coop = warm_coop("", &c);
	struct receipt r;
	assert_ok(c, pool_submit(c, coop, world_json(c, "{\"kind\":\"example\",\"content\":{\"input\":\"a\"},\"ai_preferences\":\"train-ai=n\"}"), &r));
	assert_int_equal(fixture_int("SELECT count(*) FROM statement s JOIN contribution c ON c.id = s.item_id WHERE s.salt = c.salt AND s.external"), 1);
	assert_proved(c, coop, &r);
}

static void what_was_erased_is_not_taken_again(void **state)
{
	(void)state;
	struct call *c;
	struct uuid coop = warm_coop("", &c);
	struct receipt r = world_submit(c, coop, "to be erased");
	fixture_sql("UPDATE contribution SET word = word | 4096 WHERE item_no = 2");
	assert_err(c, ERR_GONE, pool_submit(c, coop, world_example(c, "to be erased"), &r));
	assert_string_equal(c->error.reason, "erased");
}

/* Every shape of the log's right edge: a proof from memory is the one that the database gives. */
static void proofs_from_memory_are_those_of_the_database(void **state)
{
	(void)state;
	struct call *c;
	struct uuid coop = warm_coop("", &c);
	for (unsigned i = 0; i < 40; i++) {
		struct receipt r = world_submit(c, coop, str_fmt(c->arena, "number %u", i).p), again;
		assert_ok(c, pool_receipt(c, coop, r.id, &again));
		assert_true(str_eq(r.proof, again.proof));
	}
}

/* The costs of an endpoint that everybody calls: a budget, so that it does not creep up unseen. */
static void a_submission_stays_within_its_budget_of_statements(void **state)
{
	(void)state;
	struct call *c;
	struct uuid coop = warm_coop("", &c);
	int before = c->queries;
	world_submit(c, coop, "counted");
	assert_in_range(c->queries - before, 1, 8);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		fixture_test(everybody_at_once_gets_a_number_a_leaf_and_a_proof),
		fixture_test(the_same_from_one_member_at_once_is_one_contribution),
		fixture_test(the_same_from_different_members_at_once_stands_once),
		fixture_test(one_that_fails_fails_alone),
		fixture_test(a_charter_that_changed_on_the_way_is_the_one_that_counts),
		fixture_test(a_member_who_left_on_the_way_contributes_no_more),
		fixture_test(a_preference_string_becomes_a_statement),
		fixture_test(what_was_erased_is_not_taken_again),
		fixture_test(proofs_from_memory_are_those_of_the_database),
		fixture_test(a_submission_stays_within_its_budget_of_statements),
	};
	return fixture_run(tests, CH_LEN(tests));
}
