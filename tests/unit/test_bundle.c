/* Bundles: written by one co-op, read and checked by another; and everything that must be refused. */
#include "bundle_world.h"
#include "server/merge/bundle/bundle_internal.h"

#include "commonhold/bundle.h"
#include "commonhold/config.h"
#include "commonhold/ledger.h"
#include "commonhold/merge.h"
#include "commonhold/tombstone.h"
#include "commonhold/zst.h"

#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>
#include <zstd.h>

/* ---- What the tests share ---- */

static struct bundle *opened(struct str dir)
{
	struct call *c = m.w.system;
	struct bundle *b;
	error_clear(&c->error);
	assert_ok(c, bundle_open(c->arena, str_z(c->arena, dir), &b, &c->error));
	return b;
}

static enum err checked(struct bundle *b)
{
	struct call *c = m.w.system;
	struct bundle_expected x;
	error_clear(&c->error);
	assert_ok(c, bundle_expect(c, m.other, b, &x));
	return bundle_check(c->arena, b, &x, &c->error);
}

static void noted(struct bundle *b)
{
	struct call *c = m.w.system;
	assert_ok(c, db_begin_in(c, m.other, DB_WRITE));
	assert_ok(c, bundle_note_taken(c, m.other, b));
	assert_ok(c, db_commit(c));
}

/* Writes, checks and notes the next one. */
static struct bundle *passed(bool whole)
{
	struct bundle_report r = written(whole);
	assert_true(r.seq > 0);
	struct bundle *b = opened(r.dir);
	assert_ok(m.w.system, checked(b));
	assert_true(b->checked && !b->repeated);
	noted(b);
	return b;
}

#define assert_refused(code, expression) \
	do { \
		enum err e_ = (expression); \
		if (e_ != ERR_REFUSED || strcmp(m.w.system->error.reason, code) != 0) \
			fail_msg("%s: %d %s %s", #expression, e_, m.w.system->error.reason, m.w.system->error.message); \
	} while (0)

static int count_lines(struct bundle *b, enum bundle_section part, const char *with)
{
	struct call *c = m.w.system;
	struct bundle_lines *lines;
	struct str line;
	int n = 0;
	assert_ok(c, bundle_lines_open(c->arena, b, part, &lines, &c->error));
	for (;;) {
		assert_ok(c, bundle_lines_next(lines, &line, &c->error));
		if (!line.p)
			return n;
		n += !with || memmem(line.p, line.n, with, strlen(with)) != NULL;
	}
}

static const char *rid_of(struct uuid id)
{
	return rid_format(m.w.system->arena, m.name, id).p;
}

/* ---- Writing and taking ---- */

static void what_people_allow_goes_over_with_their_words(void **state)
{
	(void)state;
	make();
	struct uuid one = world_contribute(&m.w, 0, "first"), two = world_contribute(&m.w, 1, "second");
	world_say(&m.w, 3, "deny");
	world_contribute(&m.w, 3, "not this one");
	world_contribute(&m.w, 4, "nor this, of somebody who said nothing");
	struct bundle *b = passed(false);
	assert_int_equal(b->seq, 1);
	assert_true(b->whole);
	assert_int_equal(b->counts.records, 2);
	assert_int_equal(b->counts.statements, 2);
	assert_int_equal(count_lines(b, BUNDLE_RECORDS, rid_of(one)), 1);
	assert_int_equal(count_lines(b, BUNDLE_RECORDS, rid_of(two)), 1);
	assert_int_equal(count_lines(b, BUNDLE_STATEMENTS, "\"allow\""), 2);
	assert_int_equal(b->counts.events, b->head_size);
}

static void a_record_says_what_its_contribution_was(void **state)
{
	(void)state;
	make();
	struct call *c = m.w.system;
	struct uuid one = world_contribute(&m.w, 0, "a \\\"quoted\\\" } text");
	struct bundle *b = passed(false);
	struct bundle_lines *lines;
	struct bundle_record r;
	struct str line;
	uint8_t who[16];
	assert_ok(c, bundle_lines_open(c->arena, b, BUNDLE_RECORDS, &lines, &c->error));
	assert_ok(c, bundle_lines_next(lines, &line, &c->error));
	assert_ok(c, bundle_record_read(c->arena, line, &r, &c->error));
	assert_true(uuid_eq(r.id, one) && str_eq(r.home, m.name) && !r.path.p);
	assert_str(r.content, "{\"input\":\"a \\\"quoted\\\" } text\",\"output\":\"An answer to it.\"}");
	assert_str(r.lang, "en");
	assert_int_equal(r.kind, POLICY_KIND_EXAMPLE);
	assert_ok(c, db_begin_in(c, m.w.coop, DB_READ));
	assert_ok(c, bundle_contributor(c, m.w.coop, m.w.id[0], who));
	assert_ok(c, db_commit(c));
	assert_memory_equal(who, r.contributor, 16);
	assert_true(memmem(r.facts.p, r.facts.n, "processing", 10) != NULL);
	assert_true(memmem(r.facts.p, r.facts.n, "licence", 7) == NULL);
}

static void a_second_bundle_says_only_what_changed(void **state)
{
	(void)state;
	make();
	world_contribute(&m.w, 0, "first");
	passed(false);
	assert_int_equal(written(false).seq, 0); /* nothing new: nothing written */
	struct uuid two = world_contribute(&m.w, 1, "second");
	struct bundle *b = passed(false);
	assert_int_equal(b->seq, 2);
	assert_false(b->whole);
	assert_int_equal(b->counts.records, 1);
	assert_int_equal(b->counts.statements, 1);
	assert_int_equal(count_lines(b, BUNDLE_RECORDS, rid_of(two)), 1);
	assert_int_equal(b->counts.events, b->head_size - b->base_size);
}

/* Two things said at one revision are a contradiction to whoever hears both. */
static void what_is_said_next_is_said_at_a_later_revision_though_nothing_happened(void **state)
{
	(void)state;
	make();
	struct call *c = m.w.system;
	const struct bundle_how even_empty = { .even_empty = true };
	struct bundle_report r;
	world_contribute(&m.w, 0, "first");
	int64_t before = passed(false)->head_size;
	assert_ok(c, bundle_write(c, m.w.coop, m.agreement, &even_empty, &r));
	assert_int_equal(r.seq, 2);
	assert_true(opened(r.dir)->head_size > before);
}

static void who_says_yes_later_has_records_with_a_path(void **state)
{
	(void)state;
	make();
	world_contribute(&m.w, 0, "first");
	for (int i = 0; i < 10; i++)
		world_contribute(&m.w, 4, str_fmt(m.w.system->arena, "waits for a yes %d", i).p);
	passed(false);
	world_say(&m.w, 4, "allow");
	struct bundle *b = passed(false);
	assert_int_equal(b->counts.records, 10);
	assert_int_equal(count_lines(b, BUNDLE_RECORDS, "\"path\":[\""), 10);
}

static void what_people_take_back_goes_out_and_comes_back(void **state)
{
	(void)state;
	make();
	world_contribute(&m.w, 0, "first");
	struct uuid two = world_contribute(&m.w, 1, "second");
	passed(false);
	clock_set(clock_now() + CLOCK_HOUR);
	world_say(&m.w, 1, "deny");
	struct bundle *b = passed(false);
	assert_int_equal(b->counts.out, 1);
	assert_int_equal(b->counts.records, 0);
	assert_int_equal(count_lines(b, BUNDLE_STATEMENTS, rid_of(two)), 1);
	clock_set(clock_now() + CLOCK_HOUR);
	world_say(&m.w, 1, "allow");
	b = passed(false);
	assert_int_equal(b->counts.back, 1);
	assert_int_equal(b->counts.records, 1); /* the bundle that it first went with may have been lost */
	/* a whole bundle says it all again, and what is out */
	world_say(&m.w, 0, "deny");
	b = passed(true);
	assert_int_equal(b->counts.out, 1);
	assert_int_equal(b->counts.back, 1);
	assert_int_equal(b->counts.records, 1);
	assert_true(b->whole && b->base_size == 0);
}

static void a_tar_is_checked_like_a_folder(void **state)
{
	(void)state;
	make();
	struct call *c = m.w.system;
	struct bundle_report r;
	const char *tar = str_fmt(c->arena, "%s/out.tar", fixture_dir()).p;
	world_contribute(&m.w, 0, "first");
	const struct bundle_how how = { .tar = tar };
	unlink(tar);
	assert_ok(c, bundle_write(c, m.w.coop, m.agreement, &how, &r));
	struct bundle *b = opened(str_of(tar));
	assert_ok(c, checked(b));
	assert_int_equal(count_lines(b, BUNDLE_RECORDS, NULL), 1);
	unlink(tar);
}

static void the_same_again_is_known(void **state)
{
	(void)state;
	make();
	world_contribute(&m.w, 0, "first");
	struct bundle_report r = written(false);
	struct bundle *b = opened(r.dir);
	assert_ok(m.w.system, checked(b));
	noted(b);
	b = opened(r.dir);
	assert_ok(m.w.system, checked(b));
	assert_true(b->repeated);
}

static void files_go_when_the_partner_has_them(void **state)
{
	(void)state;
	make();
	struct call *c = m.w.system;
	struct bundle_row *rows;
	size_t n;
	world_contribute(&m.w, 0, "first");
	struct bundle_report r = written(false);
	assert_int_equal(access(r.dir.p, F_OK), 0);
	assert_ok(c, bundle_taken_upto(c, m.w.coop, m.agreement, 1));
	assert_ok(c, bundle_taken_upto(c, m.w.coop, m.agreement, 1));
	assert_int_equal(access(r.dir.p, F_OK), -1);
	assert_ok(c, bundle_list(c, m.w.coop, m.agreement, 0, &rows, &n));
	assert_int_equal(n, 1);
	assert_str(rows[0].state, "taken");
}

static void what_is_taken_is_there_and_taking_it_again_changes_nothing(void **state)
{
	(void)state;
	make();
	struct call *c = m.w.system;
	struct merge_report r;
	world_contribute(&m.w, 0, "first");
	world_contribute(&m.w, 1, "second");
	struct str dir = written(false).dir;
	assert_ok(c, bundle_take(c, m.other, dir.p, &r));
	assert_int_equal(r.rows, 2);
	assert_int_equal(r.contributors, 2);
	assert_ok(c, bundle_take(c, m.other, dir.p, &r));
	assert_true(r.repeated);
	const char *foreign = str_fmt(c->arena, "SELECT count(*) FROM contribution k JOIN coop o ON o.id = k.coop_id WHERE o.slug = 'other' AND (k.more >> 24 & 255) > 0").p;
	assert_int_equal(fixture_int(foreign), 2);
	/* and what is refused leaves everything as it was, and is told */
	world_contribute(&m.w, 1, "third");
	dir = written(false).dir;
	put_text(path_in(dir, "more.txt"), STR("x"));
	assert_err(c, ERR_REFUSED, bundle_take(c, m.other, dir.p, &r));
	assert_int_equal(fixture_int(foreign), 2);
	assert_int_equal(fixture_int("SELECT count(*) FROM refusal WHERE code = 'files'"), 1);
}

static enum err taken(struct str dir)
{
	struct call *c = m.w.system;
	struct bundle *b;
	error_clear(&c->error);
	TRY(bundle_open(c->arena, str_z(c->arena, dir), &b, &c->error));
	return checked(b);
}

static struct str fresh(void)
{
	make();
	world_contribute(&m.w, 0, "first");
	world_contribute(&m.w, 1, "second");
	return written(false).dir;
}

/* ---- Bad input ---- */

static void forged_signatures_are_refused(void **state)
{
	(void)state;
	struct str dir = fresh(), manifest = read_text(path_in(dir, "bundle.json"));
	struct sign_key stranger;
	struct call *c = m.w.system;
	sign_key_new(&stranger);
	put_text(path_in(dir, "bundle.dsse.json"), dsse_sign(c->arena, &stranger, 1, STR(BUNDLE_TYPE), manifest));
	assert_refused("signature", taken(dir));
	sign_again(dir, manifest);
	assert_ok(c, taken(dir));
	put_text(path_in(dir, "bundle.json"), replaced(manifest, "\"seq\":1", "\"seq\":2"));
	assert_refused("signature", taken(dir));
}

static void a_forged_statement_is_refused(void **state)
{
	(void)state;
	struct str dir = fresh(), said = read_text(path_in(dir, "statements.jsonl"));
	swap_part(dir, "statements.jsonl", replaced(said, "\"standing\":\"active\"", "\"standing\":\"grace\""), 2);
	assert_refused("signature", taken(dir));
}

/* A partner who says when it was as it likes would never have to be asked again. */
static void news_of_the_future_is_refused(void **state)
{
	(void)state;
	struct str dir = fresh(), manifest = read_text(path_in(dir, "bundle.json"));
	const char *at = memmem(manifest.p, manifest.n, "\"as_of\":\"", 9);
	assert_non_null(at);
	char said[] = "\"as_of\":\"2031";
	memcpy(said, at, sizeof(said) - 1);
	sign_again(dir, replaced(manifest, said, "\"as_of\":\"2999"));
	assert_refused("malformed", taken(dir));
	sign_again(dir, manifest);
	assert_ok(m.w.system, taken(dir));
}

/* What is a third co-op's is its own to hold back. */
static void a_partner_speaks_for_no_other_coop(void **state)
{
	(void)state;
	struct str dir = fresh(), said = read_text(path_in(dir, "statements.jsonl"));
	struct call *c = m.w.system;
	struct bundle *b = opened(dir);
	struct sign_key key;
	uint8_t signature[64];
	sender_key(&key);
	struct str head = str_fmt(c->arena, "{\"home\":\"%.*s\",\"out\":[\"dc:aaaaaaaaaaaaaaaa:00000000-0000-4000-8000-000000000001\"],\"rev\":1", STR_ARG(b->from));
	sign_bytes(&key, str_cat(c->arena, STR(BUNDLE_SAID_PREFIX), head, STR("}")), signature);
	swap_part(dir, "statements.jsonl", str_cat(c->arena, said, head, STR(",\"sig\":\""), str_base64(c->arena, signature, 64), STR("\"}\n")), 3);
	assert_refused("outside", taken(dir));
}

static void a_changed_record_is_refused(void **state)
{
	(void)state;
	struct str dir = fresh(), raw = unpacked(read_text(path_in(dir, "records-00000.jsonl.zst")));
	swap_part(dir, "records-00000.jsonl.zst", replaced(raw, "first", "worst"), 2);
	assert_refused("commitment", taken(dir));
	swap_part(dir, "records-00000.jsonl.zst", replaced(raw, "\"leaf\":", "\"leaf\":9"), 2);
	assert_refused("commitment", taken(dir));
	swap_part(dir, "records-00000.jsonl.zst", replaced(raw, "\"kind\"", "\"extra\":1,\"kind\""), 2);
	assert_refused("malformed", taken(dir));
	swap_part(dir, "records-00000.jsonl.zst", raw, 2);
	assert_ok(m.w.system, taken(dir));
}

static void a_rewritten_log_is_refused(void **state)
{
	(void)state;
	struct str dir = fresh(), raw = unpacked(read_text(path_in(dir, "events-00000.jsonl.zst")));
	struct str other = replaced(raw, "coop.founded", "coop.flounde");
	int64_t lines = 0;
	for (size_t i = 0; i < raw.n; i++)
		lines += raw.p[i] == '\n';
	swap_part(dir, "events-00000.jsonl.zst", other, lines);
	assert_refused("log_rewritten", taken(dir));
	/* nor does a log go on that was another when it was known: the receiver knew a longer one with the same start */
	swap_part(dir, "events-00000.jsonl.zst", raw, lines);
	struct bundle *b = opened(dir);
	struct bundle_expected x;
	struct call *c = m.w.system;
	assert_ok(c, bundle_expect(c, m.other, b, &x));
	x.known_size = 2;
	x.known_root = sha256(STR("something else"));
	assert_refused("log_rewritten", bundle_check(c->arena, b, &x, &c->error));
	x.known_size = 0;
	x.known_at_head = b->head_size;
	x.known_head_root = sha256(STR("something else"));
	assert_refused("log_rewritten", bundle_check(c->arena, b, &x, &c->error));
}

/* Takes it as the inbox does: checks, applies, and notes what was refused. */
static enum err take_in(struct str dir)
{
	struct call *c = m.w.system;
	struct merge_report report;
	error_clear(&c->error);
	return bundle_take(c, m.other, str_z(c->arena, dir), &report);
}

static int64_t proofs(const char *about)
{
	struct call *c = m.w.system;
	return fixture_int(str_fmt(c->arena, "SELECT count(*) FROM merge_conflict WHERE kind = 'equivocation' AND detail::json ->> 'about' = '%s' AND proof IS NOT NULL", about).p);
}

static void a_home_that_signs_two_logs_is_kept_with_the_proof_and_waits_for_an_admin(void **state)
{
	(void)state;
	make();
	struct call *c = m.w.system;
	world_contribute(&m.w, 0, "first");
	assert_ok(c, take_in(written(false).dir));
	world_contribute(&m.w, 0, "second");
	struct str two = written(false).dir, manifest = read_text(path_in(two, "bundle.json"));
	/* a base that the sender signs, of the size that it signed before, with another root */
	struct str root = str_of(fixture_text("SELECT encode(root, 'hex') FROM origin_log"));
	sign_again(two, replaced(manifest, str_z(c->arena, str_fmt(c->arena, "\"base\":{\"root\":\"%.*s", STR_ARG(root))), str_z(c->arena, str_fmt(c->arena, "\"base\":{\"root\":\"%064d", 7))));
	assert_refused("log_rewritten", take_in(two));
	assert_int_equal(proofs("log"), 1);
	assert_true(fixture_int("SELECT count(*) FROM notice WHERE kind = 'merge.conflict'") >= 1);
	struct str first = str_of(fixture_text("SELECT proof::json ->> 'first' FROM merge_conflict"));
	assert_true(str_eq(first, str_of(fixture_text("SELECT checkpoint FROM origin_log"))));
	/* nothing further is taken until somebody has looked; then what is right goes on */
	sign_again(two, manifest);
	assert_refused("log_rewritten", take_in(two));
	assert_int_equal(proofs("log"), 1);
	struct merge_conflict *found;
	struct str next;
	size_t n;
	struct call *admin = by(&m.w, 0);
	assert_ok(admin, merge_conflict_list(admin, m.other, false, STR_NONE, 10, &found, &n, &next));
	assert_int_equal(n, 1);
	assert_ok(admin, merge_conflict_decide(admin, m.other, found[0].id, STR("keep_out"), STR("They say what happened."), &found[0]));
	assert_ok(c, take_in(two));
}

static void a_bundle_that_is_only_wrong_accuses_nobody(void **state)
{
	(void)state;
	make();
	struct call *c = m.w.system;
	world_contribute(&m.w, 0, "first");
	struct str one = written(false).dir;
	assert_ok(c, take_in(one));
	world_contribute(&m.w, 0, "second");
	struct str two = written(false).dir, manifest = read_text(path_in(two, "bundle.json"));
	sign_again(two, replaced(manifest, "\"seq\":2", "\"seq\":4"));
	assert_refused("gap", take_in(two));
	sign_again(two, replaced(manifest, "\"seq\":2", "\"seq\":1"));
	assert_refused("rollback", take_in(two));
	/* leaves that do not lead to the head that is signed: not its log, nor another one */
	struct str whole = written(true).dir, raw = unpacked(read_text(path_in(whole, "events-00000.jsonl.zst")));
	int64_t lines = 0;
	for (size_t i = 0; i < raw.n; i++)
		lines += raw.p[i] == '\n';
	swap_part(whole, "events-00000.jsonl.zst", replaced(raw, "coop.founded", "coop.flounde"), lines);
	assert_refused("log_rewritten", take_in(whole));
	assert_int_equal(proofs("log"), 0);
	assert_int_equal(fixture_int("SELECT count(*) FROM merge_conflict"), 0);
}

static void a_bundle_that_goes_back_is_refused(void **state)
{
	(void)state;
	make();
	struct call *c = m.w.system;
	world_contribute(&m.w, 0, "first");
	passed(false);
	world_contribute(&m.w, 0, "second");
	struct str two = written(false).dir;
	world_contribute(&m.w, 0, "third");
	struct str three = written(false).dir;
	assert_refused("gap", taken(three));
	struct bundle *b = opened(two);
	assert_ok(c, checked(b));
	noted(b);
	/* another bundle under a number that was taken */
	struct str manifest = read_text(path_in(two, "bundle.json"));
	sign_again(two, replaced(manifest, "\"events\":", "\"events\":1"));
	assert_refused("rollback", taken(two));
	/* one whose predecessor is another */
	manifest = read_text(path_in(three, "bundle.json"));
	struct str hex = sha256_hex(c->arena, b->digest);
	sign_again(three, replaced(manifest, str_z(c->arena, hex), sha256_hex(c->arena, sha256(STR("x"))).p));
	assert_refused("rollback", taken(three));
	sign_again(three, manifest);
	assert_ok(c, taken(three));
}

static void tombstones_below_those_seen_are_refused(void **state)
{
	(void)state;
	struct str dir = fresh();
	struct call *c = m.w.system;
	struct bundle *b = opened(dir);
	struct bundle_expected x;
	assert_ok(c, bundle_expect(c, m.other, b, &x));
	x.chain = (struct tombstone_chain){ 4, sha256(STR("seen")) };
	assert_refused("tombstones", bundle_check(c->arena, b, &x, &c->error));
}

static void strangers_and_unknown_agreements_are_refused(void **state)
{
	(void)state;
	struct str dir = fresh(), manifest = read_text(path_in(dir, "bundle.json"));
	struct call *c = m.w.system;
	struct str digest = sha256_hex(c->arena, m.digest);
	sign_again(dir, replaced(manifest, str_z(c->arena, digest), sha256_hex(c->arena, sha256(STR("another"))).p));
	assert_refused("unknown_agreement", taken(dir));
	sign_again(dir, replaced(manifest, str_fmt(c->arena, "\"to\":\"%.*s\"", STR_ARG(m.other_name)).p, "\"to\":\"aaaaaaaaaaaaaaaa\""));
	assert_refused("not_for_us", taken(dir));
	sign_again(dir, manifest);
	assert_ok(c, taken(dir));
	fixture_sql("UPDATE agreement_revision SET state = 'suspended', suspended_there = true");
	assert_refused("unknown_agreement", taken(dir));
	fixture_sql("UPDATE agreement_revision SET state = 'in_effect', suspended_there = false");
	fixture_sql("UPDATE peer SET state = 'seen'");
	assert_refused("stranger", taken(dir));
	fixture_sql("DELETE FROM agreement_revision; DELETE FROM agreement; DELETE FROM peer");
	assert_refused("stranger", taken(dir));
}

static void records_outside_the_agreement_are_refused(void **state)
{
	(void)state;
	struct str dir = fresh();
	struct call *c = m.w.system;
	struct bundle *b = opened(dir);
	struct bundle_expected x;
	assert_ok(c, bundle_expect(c, m.other, b, &x));
	struct bundle_expected y = x;
	y.kinds = 1u << POLICY_KIND_CHAT;
	assert_refused("outside", bundle_check(c->arena, b, &y, &c->error));
	y = x;
	y.licences = 0;
	assert_refused("outside", bundle_check(c->arena, b, &y, &c->error));
	/* a record of another home than the sender's */
	struct str raw = unpacked(read_text(path_in(dir, "records-00000.jsonl.zst")));
	struct str other = replaced(replaced(raw, str_fmt(c->arena, "\"home\":\"%.*s\"", STR_ARG(m.name)).p, "\"home\":\"aaaaaaaaaaaaaaaa\""),
		str_fmt(c->arena, "dc:%.*s:", STR_ARG(m.name)).p, "dc:aaaaaaaaaaaaaaaa:");
	swap_part(dir, "records-00000.jsonl.zst", other, 2);
	enum err e = taken(dir);
	assert_true(e == ERR_REFUSED && (strcmp(c->error.reason, "outside") == 0 || strcmp(c->error.reason, "commitment") == 0));
}

static void times_at_which_nothing_can_have_been_contributed_are_refused(void **state)
{
	(void)state;
	struct str dir = fresh(), raw = unpacked(read_text(path_in(dir, "records-00000.jsonl.zst")));
	int64_t shards = fixture_int("SELECT count(*) FROM shard_key");
	char year[] = "{\"at\":\"2031";
	memcpy(year, raw.p, sizeof(year) - 1);
	static const char *const others[] = { "{\"at\":\"1999", "{\"at\":\"2999", NULL };
	for (int i = 0; others[i]; i++) {
		swap_part(dir, "records-00000.jsonl.zst", replaced(raw, year, others[i]), 2);
		assert_refused("outside", take_in(dir));
	}
	assert_int_equal(fixture_int("SELECT count(*) FROM shard_key"), shards);
}

/* Who stole an old key can sign anything but what counts. */
static void a_retired_key_signs_no_bundle_that_was_made_after_its_rotation(void **state)
{
	struct sign_key old;
	struct keychain chain;
	(void)state;
	make();
	struct call *c = m.w.system;
	world_contribute(&m.w, 0, "first");
	sender_key(&old);
	assert_ok(c, take_in(written(false).dir));
	assert_ok(c, keychain_rotate(c, m.w.coop, &chain));
	world_contribute(&m.w, 0, "second");
	struct str dir = written(false).dir, manifest = read_text(path_in(dir, "bundle.json"));
	put_text(path_in(dir, "bundle.dsse.json"), dsse_sign(c->arena, &old, 1, STR(BUNDLE_TYPE), manifest));
	assert_refused("signature", take_in(dir));
	/* nor with a chain that leaves the hand-over out: what is pinned counts */
	struct str keys = read_text(path_in(dir, "keys.json")), before = str_of(fixture_text("SELECT chain FROM peer LIMIT 1"));
	assert_false(str_eq(keys, before));
	swap_part(dir, "keys.json", before, 1);
	manifest = read_text(path_in(dir, "bundle.json"));
	put_text(path_in(dir, "bundle.dsse.json"), dsse_sign(c->arena, &old, 1, STR(BUNDLE_TYPE), manifest));
	assert_refused("signature", take_in(dir));
	/* the key in force does */
	swap_part(dir, "keys.json", keys, 1);
	assert_ok(c, take_in(dir));
}

static void absurd_compression_is_refused(void **state)
{
	(void)state;
	struct str dir = fresh();
	struct call *c = m.w.system;
	char *zeros = arena_alloc(c->arena, 8 * MIB);
	memset(zeros, ' ', 8 * MIB);
	zeros[8 * MIB - 1] = '\n';
	swap_part(dir, "records-00000.jsonl.zst", str_make(zeros, 8 * MIB), 1);
	assert_refused("absurd_compression", taken(dir));
	struct str manifest = read_text(path_in(dir, "bundle.json"));
	sign_again(dir, replaced(manifest, "\"raw_size\":8388608", "\"raw_size\":999999999999"));
	assert_refused("malformed", taken(dir));
}

static void files_that_do_not_belong_are_refused(void **state)
{
	(void)state;
	struct str dir = fresh();
	struct call *c = m.w.system;
	put_text(path_in(dir, "more.txt"), STR("x"));
	assert_refused("files", taken(dir));
	unlink(path_in(dir, "more.txt"));
	assert_int_equal(symlink("/etc/passwd", path_in(dir, "link")), 0);
	assert_refused("files", taken(dir));
	unlink(path_in(dir, "link"));
	assert_int_equal(mkdir(path_in(dir, "folder"), 0700), 0);
	assert_refused("files", taken(dir));
	rmdir(path_in(dir, "folder"));
	struct str manifest = read_text(path_in(dir, "bundle.json"));
	sign_again(dir, replaced(manifest, "\"path\":\"checkpoint\"", "\"path\":\"../checkpoint\""));
	assert_refused("malformed", taken(dir));
	sign_again(dir, manifest);
	struct str raw = read_text(path_in(dir, "statements.jsonl"));
	put_text(path_in(dir, "statements.jsonl"), str_sub(raw, 0, raw.n - 5));
	assert_refused("files", taken(dir));
	put_text(path_in(dir, "statements.jsonl"), replaced(raw, "a", "b"));
	assert_int_equal(taken(dir), ERR_REFUSED);
	put_text(path_in(dir, "statements.jsonl"), raw);
	assert_ok(c, taken(dir));
}

static void what_is_no_bundle_is_refused_whatever_it_is(void **state)
{
	(void)state;
	struct str dir = fresh(), manifest = read_text(path_in(dir, "bundle.json"));
	struct call *c = m.w.system;
	srand(7);
	for (int i = 0; i < 200; i++) {
		struct str bad = str_copy(c->arena, manifest);
		size_t at = (size_t)rand() % bad.n;
		((char *)bad.p)[at] = (char)(rand() & 0x7f);
		if (str_eq(bad, manifest))
			continue;
		sign_again(dir, bad);
		enum err e = taken(dir);
		if (e == ERR_OK && memmem(bad.p, bad.n, "\"created\"", 9) == NULL)
			fail_msg("seed 7, byte %zu: taken", at);
	}
}

/* ---- Threads ---- */

/* The damage that a line is done: each gives another reason, at another step of the check. */
static struct str damaged(struct str line, int how)
{
	switch (how) {
	case 0: return replaced(line, "\"leaf\":", "\"leaf\":9");
	case 1: {
		struct str other = str_copy(forger.call->arena, line);
		char *digit = (char *)(uintptr_t)memmem(other.p, other.n, ",\"salt\":\"", 9) + 9;
		*digit = *digit == 'a' ? 'b' : 'a';
		return other;
	}
	case 2: return replaced(line, "\"facts\":{", "\"facts\":{ ");
	case 3: return replaced(line, "\"kind\":\"example\"", "\"kind\":\"exemple\"");
	case 4: return replaced(line, "{\"at\":\"2", "{\"at\":\"3");
	case 5: return memmem(line.p, line.n, "\"path\":[\"", 9) ? replaced(line, "\"path\":[\"", "\"path\":[\"AAAA") : replaced(line, "\"content\":{", "\"content\":{ ");
	default: return line;
	}
}

/* One thread and one line at a time is the check in order; with more of either the first line that is wrong is the same, and so is what is said of it. */
static void the_verdict_is_the_same_whatever_the_number_of_threads(void **state)
{
	static const struct { unsigned workers; size_t lines; } ways[] = { { 1, 1 }, { 1, 1000 }, { 2, 3 }, { 4, 1 }, { 4, 5 }, { 4, 1000 } };
	enum { MAX = 64 };
	struct str lines[MAX], line, raw, rest;
	size_t n = 0;
	int verdicts = 0;
	(void)state;
	make();
	struct call *c = m.w.system;
	for (int i = 0; i < 16; i++)
		world_contribute(&m.w, 3, str_fmt(c->arena, "earlier %d", i).p);
	passed(true);
	world_say(&m.w, 3, "allow");
	for (int i = 0; i < 24; i++)
		world_contribute(&m.w, i % 3, str_fmt(c->arena, "later %d", i).p);
	struct str dir = written(false).dir;
	rest = raw = unpacked(read_text(path_in(dir, "records-00000.jsonl.zst")));
	assert_non_null(memmem(raw.p, raw.n, "\"path\":[\"", 9));
	while (str_split(&rest, '\n', &line) && line.n && n < MAX)
		lines[n++] = line;
	assert_int_equal(n, 40);
	srand(11);
	for (int round = 0; round < 60; round++) {
		struct arena_mark mark = arena_mark(c->arena);
		struct buf text;
		char said[sizeof(c->error.message)] = "", reason[sizeof(c->error.reason)] = "";
		enum err first_said = ERR_OK;
		int hits = round ? rand() % 4 : 0;
		size_t first = n, cut = round % 7 == 6 ? (size_t)rand() % n : n;
		buf_init(&text, MIB);
		int how[MAX];
		for (size_t i = 0; i < n; i++)
			how[i] = -1;
		while (hits-- > 0)
			how[(size_t)rand() % n] = rand() % 6;
		for (size_t i = 0; i < cut; i++) {
			first = first == n && how[i] >= 0 ? i : first;
			buf_add_str(&text, damaged(lines[i], how[i]));
			buf_add_byte(&text, '\n');
		}
		swap_part(dir, "records-00000.jsonl.zst", buf_str(&text), (int64_t)n);
		buf_release(&text);
		for (size_t w = 0; w < CH_LEN(ways); w++) {
			bundle_check_workers_use(ways[w].workers, ways[w].lines);
			enum err err = taken(dir);
			if (w == 0) {
				first_said = err;
				memcpy(said, c->error.message, sizeof(said));
				memcpy(reason, c->error.reason, sizeof(reason));
			}
			if (err != first_said || (err != ERR_OK && (strcmp(said, c->error.message) != 0 || strcmp(reason, c->error.reason) != 0)))
				fail_msg("seed 11, round %d, %u threads: %d %s %s; one thread: %d %s %s", round, ways[w].workers, err, c->error.reason, c->error.message, first_said, reason, said);
		}
		assert_int_equal(first_said == ERR_OK, first == n && cut == n);
		verdicts += first_said != ERR_OK;
		if (first < n && how[first] != 3) {
			struct str rid = str_of(strstr(str_z(c->arena, lines[first]), "\"rid\":\"") + 7);
			const char *name = str_z(c->arena, str_sub(rid, 0, (size_t)str_index(rid, '"')));
			if (!strstr(said, name))
				fail_msg("seed 11, round %d: the first that is wrong (%d) is %s, and it is said: %s", round, how[first], name, said);
		}
		arena_rewind(c->arena, mark);
	}
	bundle_check_workers_use(0, 0);
	assert_true(verdicts > 20);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		fixture_test(the_verdict_is_the_same_whatever_the_number_of_threads),
		fixture_test(what_people_allow_goes_over_with_their_words),
		fixture_test(a_record_says_what_its_contribution_was),
		fixture_test(a_second_bundle_says_only_what_changed),
		fixture_test(what_is_said_next_is_said_at_a_later_revision_though_nothing_happened),
		fixture_test(who_says_yes_later_has_records_with_a_path),
		fixture_test(what_people_take_back_goes_out_and_comes_back),
		fixture_test(a_tar_is_checked_like_a_folder),
		fixture_test(the_same_again_is_known),
		fixture_test(files_go_when_the_partner_has_them),
		fixture_test(what_is_taken_is_there_and_taking_it_again_changes_nothing),
		fixture_test(forged_signatures_are_refused),
		fixture_test(a_forged_statement_is_refused),
		fixture_test(news_of_the_future_is_refused),
		fixture_test(a_partner_speaks_for_no_other_coop),
		fixture_test(a_changed_record_is_refused),
		fixture_test(a_rewritten_log_is_refused),
		fixture_test(a_home_that_signs_two_logs_is_kept_with_the_proof_and_waits_for_an_admin), 		fixture_test(a_bundle_that_is_only_wrong_accuses_nobody), fixture_test(a_bundle_that_goes_back_is_refused),
		fixture_test(tombstones_below_those_seen_are_refused),
		fixture_test(strangers_and_unknown_agreements_are_refused),
		fixture_test(records_outside_the_agreement_are_refused),
		fixture_test(times_at_which_nothing_can_have_been_contributed_are_refused),
		fixture_test(a_retired_key_signs_no_bundle_that_was_made_after_its_rotation),
		fixture_test(absurd_compression_is_refused),
		fixture_test(files_that_do_not_belong_are_refused),
		fixture_test(what_is_no_bundle_is_refused_whatever_it_is),
	};
	return fixture_run(tests, CH_LEN(tests));
}
