/* A bundle's records are the same, in the same order, however their contents lie on the disk and however large they are. */
#include "merge_world.h"

#include "commonhold/bundle.h"

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

int main(void)
{
	const struct CMUnitTest tests[] = {
		fixture_test(contents_come_to_their_records_however_they_lie), fixture_test(large_contents_come_one_by_one), fixture_test(what_stands_beside_contents_may_be_long),
		fixture_test(members_who_say_no_are_left_out_between_those_who_say_yes),
	};
	return fixture_run(tests, CH_LEN(tests));
}
