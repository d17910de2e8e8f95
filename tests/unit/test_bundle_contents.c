/* A bundle's records are the same, in the same order, however their contents lie on the disk and however large they are. */
#include "merge_world.h"

#include "commonhold/bundle.h"
#include "commonhold/keyring.h"

#include <unistd.h>

static struct merge_world m;

static enum err verdict(void *arg, const struct verdict *v)
{
	*(int *)arg += v->err == ERR_OK;
	return v->err;
}

/* n contributions of about `bytes`, with as much beside them. */
static void batch(int member, int n, int bytes, int beside)
{
	int taken = 0;
	struct pool_batch *b;
	struct call *c = by(&m.w, member);
	struct buf line;
	buf_init(&line, 2 * MIB);
	assert_ok(c, pool_batch_begin(c, m.w.coop, verdict, &taken, &b));
	for (int i = 0; i < n; i++) {
		char head[200];
		buf_clear(&line);
		buf_add(&line, head, (size_t)snprintf(head, sizeof(head), "{\"kind\":\"example\",\"lang\":\"en\",\"content\":{\"output\":\"yes\",\"input\":\"Text %d of %d, member %d, ", i, n, member));
		uint32_t x = (uint32_t)(i + 1) * 2654435761u;
		for (int at = 0; at < bytes; at++, x = x * 1664525u + 1013904223u)
			buf_add_byte(&line, x >> 31 ? ' ' : (uint8_t)('a' + (x >> 24) % 26)); /* hard to compress, as honest texts are */
		buf_add_z(&line, "\"},\"application\":\"");
		for (int at = 0; at < beside; at++)
			buf_add_byte(&line, 'a');
		buf_add_z(&line, "\"}");
		assert_false(line.failed);
		assert_ok(c, pool_batch_line(b, buf_str(&line)));
	}
	assert_ok(c, pool_batch_end(b));
	assert_int_equal(taken, n);
	buf_release(&line);
}

/* Digest of the lines of all records of a whole bundle, which passes every check. */
static struct sha256 records_written(int64_t n)
{
	struct call *c = m.w.system;
	struct bundle_report r;
	struct bundle *b;
	struct bundle_expected x;
	const struct bundle_how how = { .whole = true };
	assert_ok(c, bundle_write(c, m.w.coop, m.agreement, &how, &r));
	assert_int_equal(r.counts.records, n);
	assert_ok(c, bundle_open(c->arena, r.dir.p, &b, &c->error));
	assert_ok(c, bundle_expect(c, m.other, b, &x));
	assert_ok(c, bundle_check(c->arena, b, &x, &c->error));
	for (size_t i = 0; i < b->n_files; i++)
		if (str_is(b->files[i].path, "records-00000.jsonl.zst"))
			return b->files[i].raw_sha256;
	fail_msg("no records");
	return (struct sha256){ { 0 } };
}

static void lie(const char *order)
{
	fixture_sql(str_fmt(m.w.system->arena,
		"CREATE TABLE lying AS SELECT k.* FROM contribution_content k JOIN contribution c USING (coop_id, shard, id) ORDER BY %s; ALTER TABLE contribution_content DISABLE TRIGGER ALL; "
		"DELETE FROM contribution_content; INSERT INTO contribution_content SELECT * FROM lying; ALTER TABLE contribution_content ENABLE TRIGGER ALL; DROP TABLE lying", order).p);
}

static void make(void)
{
	merge_world_make(&m, NULL);
	world_say(&m.w, 0, "allow");
	world_say(&m.w, 1, "allow");
}

static void contents_come_to_their_records_however_they_lie(void **state)
{
	static const char *const orders[] = { "c.item_no DESC", "c.item_no", "sha256(c.salt)", "c.id" };
	(void)state;
	make();
	batch(0, 1500, 1000, 20);
	struct sha256 first = records_written(1500);
	for (size_t i = 0; i < CH_LEN(orders); i++) {
		lie(orders[i]);
		assert_true(sha256_eq(records_written(1500), first));
	}
}

static void large_contents_come_one_by_one(void **state)
{
	(void)state;
	make();
	batch(0, 60, 490000, 20); /* more than waits at a time */
	batch(1, 100, 10, 20);
	struct sha256 first = records_written(160);
	lie("c.item_no DESC");
	assert_true(sha256_eq(records_written(160), first));
}

static void what_stands_beside_contents_may_be_long(void **state)
{
	(void)state;
	make();
	batch(0, 5000, 10, 200); /* rows of more than one segment, and more than wait at a time */
	struct sha256 first = records_written(5000);
	fixture_sql("UPDATE contribution SET lang = lang"); /* rows lie elsewhere */
	assert_true(sha256_eq(records_written(5000), first));
}

static void members_who_say_no_are_left_out_between_those_who_say_yes(void **state)
{
	(void)state;
	make();
	world_say(&m.w, 2, "deny");
	for (int i = 0; i < 4; i++)
		batch(i % 3, 100 + i, 300, i + 1);
	struct sha256 first = records_written(100 + 101 + 103);
	lie("sha256(c.salt)");
	assert_true(sha256_eq(records_written(100 + 101 + 103), first));
}

/* ---- What is gone ---- */

static void lose_content(int64_t item)
{
	fixture_sql(str_fmt(m.w.system->arena,
		"ALTER TABLE contribution_content DISABLE TRIGGER ALL; DELETE FROM contribution_content k USING contribution c WHERE c.item_no = %lld AND k.coop_id = c.coop_id AND k.shard = c.shard AND k.id = c.id; "
		"ALTER TABLE contribution_content ENABLE TRIGGER ALL", (long long)item).p);
}

static struct str id_of(int64_t item)
{
	return str_of(fixture_text(str_fmt(m.w.system->arena, "SELECT id::text FROM contribution WHERE item_no = %lld", (long long)item).p));
}

static void mark_erased(int64_t item)
{
	struct str coop = uuid_format(m.w.system->arena, m.w.coop), id = id_of(item);
	fixture_keys_sql(str_fmt(m.w.system->arena, "INSERT INTO erased_item VALUES ('%.*s', '%.*s', now(), now() + interval '1 year')", STR_ARG(coop), STR_ARG(id)).p);
}

/* No bundle, a message that names what is gone and says how to go on, and nothing left on the disk. */
static void is_named(struct str what)
{
	struct call *c = m.w.system;
	struct bundle_report r;
	const struct bundle_how how = { .whole = true };
	assert_int_equal(bundle_write(c, m.w.coop, m.agreement, &how, &r), ERR_CORRUPT);
	db_rollback(c);
	if (!strstr(c->error.message, str_z(c->arena, what)))
		fail_msg("%s", c->error.message);
	assert_true(c->error.detail[0]);
	struct str dir = bundle_dir(c->arena, m.w.coop, m.agreement, 1);
	assert_int_not_equal(access(dir.p, F_OK), 0);
	assert_int_not_equal(access(str_fmt(c->arena, "%.*s.part", STR_ARG(dir)).p, F_OK), 0);
	error_clear(&c->error);
}

static bool counts_as_sent(int64_t item)
{
	return fixture_int(str_fmt(m.w.system->arena, "SELECT get_bit(now, %lld)::bigint FROM bundle_sent WHERE no = 0", (long long)item).p) == 1;
}

static void an_item_that_is_erased_meanwhile_is_left_out(void **state)
{
	(void)state;
	make();
	batch(0, 300, 300, 20);
	mark_erased(0);
	mark_erased(7);
	mark_erased(299);
	lose_content(0);
	lose_content(7);
	lose_content(299);
	records_written(297);
	assert_false(counts_as_sent(7));
	assert_true(counts_as_sent(8));
}

static void one_of_few_that_is_erased_meanwhile_is_left_out(void **state)
{
	(void)state;
	make();
	world_say(&m.w, 2, "deny");
	batch(2, 200, 300, 20);
	batch(0, 3, 300, 20);
	batch(2, 200, 300, 20);
	mark_erased(201);
	lose_content(201);
	records_written(2);
	assert_false(counts_as_sent(201));
}

static void a_content_that_is_gone_without_having_been_erased_is_named(void **state)
{
	(void)state;
	make();
	batch(0, 30, 300, 20);
	struct str id = id_of(7);
	lose_content(7);
	is_named(id);
	mark_erased(7);
	records_written(29); /* how to go on */
}

static void one_of_few_that_is_gone_without_having_been_erased_is_named(void **state)
{
	(void)state;
	make();
	world_say(&m.w, 2, "deny");
	batch(2, 200, 300, 20);
	batch(0, 3, 300, 20);
	struct str id = id_of(201);
	lose_content(201);
	is_named(id);
}

static void a_content_that_is_damaged_is_named(void **state)
{
	(void)state;
	make();
	batch(0, 30, 300, 20);
	fixture_sql("UPDATE contribution_content k SET sealed = set_byte(sealed, 100, get_byte(sealed, 100) # 1) FROM contribution c WHERE c.item_no = 7 AND k.coop_id = c.coop_id AND k.shard = c.shard AND k.id = c.id");
	is_named(id_of(7));
}

static struct str member_id(int member)
{
	struct str name = uuid_format(m.w.system->arena, m.w.id[member]);
	return str_copy(m.w.system->arena, name);
}

static void somebody_who_is_erased_meanwhile_is_left_out_with_all_they_gave(void **state)
{
	(void)state;
	make();
	batch(0, 30, 300, 20);
	batch(1, 40, 300, 20);
	struct str coop = uuid_format(m.w.system->arena, m.w.coop), id = member_id(1);
	fixture_keys_sql(str_fmt(m.w.system->arena, "INSERT INTO erased_member VALUES ('%.*s', '%.*s', now()); UPDATE member_key SET wrapped = NULL, destroyed_at = now() WHERE member_id = '%.*s'", STR_ARG(coop),
		STR_ARG(id), STR_ARG(id)).p);
	keyring_forget();
	records_written(30);
	assert_true(counts_as_sent(29));
	assert_false(counts_as_sent(30));
}

static void somebody_whose_key_is_gone_without_having_been_erased_is_named(void **state)
{
	(void)state;
	make();
	batch(0, 30, 300, 20);
	batch(1, 40, 300, 20);
	struct str id = member_id(1);
	fixture_keys_sql(str_fmt(m.w.system->arena, "DELETE FROM member_key WHERE member_id = '%.*s'", STR_ARG(id)).p);
	keyring_forget();
	is_named(id);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		fixture_test(contents_come_to_their_records_however_they_lie), fixture_test(large_contents_come_one_by_one), fixture_test(what_stands_beside_contents_may_be_long),
		fixture_test(members_who_say_no_are_left_out_between_those_who_say_yes), fixture_test(an_item_that_is_erased_meanwhile_is_left_out),
		fixture_test(one_of_few_that_is_erased_meanwhile_is_left_out), fixture_test(a_content_that_is_gone_without_having_been_erased_is_named),
		fixture_test(one_of_few_that_is_gone_without_having_been_erased_is_named), fixture_test(a_content_that_is_damaged_is_named),
		fixture_test(somebody_who_is_erased_meanwhile_is_left_out_with_all_they_gave), fixture_test(somebody_whose_key_is_gone_without_having_been_erased_is_named),
	};
	return fixture_run(tests, CH_LEN(tests));
}
