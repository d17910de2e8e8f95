/* Deletions across a merge, over three co-ops in a chain: A -> B -> C. What a home takes back goes everywhere, in every direction and order, and everybody says so, back to the home. */
#include "erasure_world.h"
#include "merge_world.h"

#include "commonhold/contribution.h"
#include "commonhold/guest.h"
#include "commonhold/keychain.h"
#include "commonhold/ledger.h"
#include "commonhold/merge.h"
#include "commonhold/message.h"
#include "commonhold/mirror.h"
#include "commonhold/onward.h"
#include "commonhold/origin.h"
#include "commonhold/peer.h"
#include "commonhold/tombstone.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

enum { A, B, C, COOPS };

/* Three co-ops of this instance; A is the world's own, with releases. */
struct chain {
	struct world w;
	struct uuid coop[COOPS];
	struct str name[COOPS];        /* key names */
	struct uuid member[COOPS];     /* one who contributes; of A: member 5 */
	struct uuid agreement[COOPS][COOPS]; /* between two */
	struct uuid guest[COOPS][COOPS];     /* at the first, whose home is the second */
	int number[COOPS][COOPS];
};

static char *text(const char *fmt, ...) CH_PRINTF(1, 2);
static char *text(const char *fmt, ...)
{
	static char out[16][6000];
	static unsigned next;
	char *p = out[next++ % CH_LEN(out)];
	va_list args;
	va_start(args, fmt);
	vsnprintf(p, sizeof(out[0]), fmt, args);
	va_end(args);
	return p;
}

#define U(id) text("%.*s", STR_ARG(uuid_format(ch->w.system->arena, (id))))

static void make_agreement(struct chain *ch, int x, int y)
{
	struct sha256 digest;
	struct call *admin = by(&ch->w, 0);
	ch->agreement[x][y] = ch->agreement[y][x] = merge_world_agree(ch->w.system, admin, ch->coop[x], ch->coop[y], NULL, &digest);
	for (int side = 0; side < 2; side++)
		fixture_sql(text("INSERT INTO bundle_flow (coop_id, agreement_id, seq, digest, size, root) VALUES ('%s', '%s', 1, sha256('x'), 1, sha256('x'))", U(ch->coop[side ? y : x]), U(ch->agreement[x][y])));
}

static void make_guest(struct chain *ch, int at, int home, int from)
{
	struct call *c = ch->w.system;
	struct guest_words words = { .home = ch->name[home], .rev = 1, .as_of = clock_now(), .standing = POLICY_STANDING_ACTIVE, .consent = POLICY_CONSENT_GIVEN, .purposes = 1u << POLICY_PURPOSE_RESEARCH,
		.consent_given = clock_now(), .consent_expires = INSTANT_NEVER, .line = STR("{}") };
	struct guest guest;
	unsigned no;
	words.contributor[0] = (uint8_t)(home + 1);
	assert_ok(c, db_begin_in(c, ch->coop[at], DB_WRITE));
	assert_ok(c, guest_put(c, ch->coop[at], ch->agreement[at][from], &words, 1, &guest));
	assert_ok(c, pool_lock(c, ch->coop[at]));
	assert_ok(c, origin_number(c, ch->coop[at], ch->name[home], STR("Home"), &no));
	assert_ok(c, db_commit(c));
	ch->guest[at][home] = guest.id;
	ch->number[at][home] = guest.number;
}

static const char pass_function[] =
	"CREATE FUNCTION test_pass(giver uuid, taker uuid, item uuid, agreement uuid, home text, guest uuid, member integer) RETURNS void LANGUAGE plpgsql AS $$ "
	"DECLARE c contribution%ROWTYPE; n bigint; g bigint; BEGIN "
	"SELECT * INTO c FROM contribution WHERE coop_id = giver AND id = item; g := c.item_no; "
	"INSERT INTO bundle_sent SELECT giver, agreement, g / 4096, decode(repeat('00', 512), 'hex'), decode(repeat('00', 512), 'hex') ON CONFLICT DO NOTHING; "
	"UPDATE bundle_sent s SET ever = set_bit(ever, g % 4096, 1), now = set_bit(now, g % 4096, 1) WHERE s.coop_id = giver AND s.agreement_id = agreement AND no = g / 4096; "
	"INSERT INTO pool_head (coop_id) VALUES (taker) ON CONFLICT DO NOTHING; UPDATE pool_head SET next_item = next_item + 1 WHERE coop_id = taker RETURNING next_item - 1 INTO n; "
	"INSERT INTO shard_key SELECT taker, no, kind, licence, month FROM shard_key WHERE coop_id = giver AND no = c.shard ON CONFLICT DO NOTHING; "
	"INSERT INTO contribution_content SELECT taker, c.shard, c.id, lang, sealed FROM contribution_content WHERE coop_id = giver AND id = item; "
	"c.coop_id := taker; c.item_no := n; c.member_id := guest; c.member_no := member; "
	"c.more := (c.more & ~(255::bigint << 24)) | ((SELECT no::bigint FROM origin_coop WHERE coop_id = taker AND key_name = home) << 24); "
	"INSERT INTO contribution SELECT c.*; END $$";

static void chain_make(struct chain *ch)
{
	struct coop coop;
	struct member m;
	memset(ch, 0, sizeof(*ch));
	world_make(&ch->w, NULL);
	onward_start();
	ch->coop[A] = ch->w.coop;
	ch->member[A] = ch->w.id[5];
	for (int i = B; i < COOPS; i++) {
		ch->coop[i] = merge_world_coop(&ch->w, i == B ? "bee" : "sea");
		struct call *c = by(&ch->w, 7);
		assert_ok(c, member_join(c, ch->coop[i], &m));
		ch->member[i] = m.id;
	}
	for (int i = A; i < COOPS; i++) {
		struct call *c = ch->w.system;
		assert_ok(c, db_begin_in(c, ch->coop[i], DB_READ));
		assert_ok(c, coop_get(c, ch->coop[i], &coop));
		assert_ok(c, db_commit(c));
		ch->name[i] = coop.key_name;
	}
	fixture_sql(pass_function);
	make_agreement(ch, A, B);
	make_agreement(ch, B, C);
	make_guest(ch, B, A, A);
	make_guest(ch, B, C, C);
	make_guest(ch, C, A, B);
	make_guest(ch, C, B, B);
	make_guest(ch, A, B, B);
	make_guest(ch, A, C, B);
}

/* Somebody's own item of a co-op. */
static struct uuid contribute(struct chain *ch, int at, const char *words)
{
	const struct json *json;
	struct receipt receipt;
	struct call *c = by(&ch->w, at == A ? 5 : 7);
	assert_ok(c, json_parse(c->arena, str_of(text("{\"kind\":\"example\",\"lang\":\"en\",\"content\":{\"input\":\"%s\",\"output\":\"An answer.\"}}", words)), &json, &c->error));
	assert_ok(c, pool_submit(c, ch->coop[at], json, &receipt));
	return receipt.id;
}

static void hand_over(struct chain *ch, int giver, int taker, int home, struct uuid item)
{
	fixture_sql(text("SELECT test_pass('%s', '%s', '%s', '%s', '%.*s', '%s', %d)", U(ch->coop[giver]), U(ch->coop[taker]), U(item), U(ch->agreement[giver][taker]), STR_ARG(ch->name[home]),
		U(ch->guest[taker][home]), ch->number[taker][home]));
}

/* Along the chain from its home to its end. */
static struct uuid everywhere(struct chain *ch, int home, const char *words)
{
	struct uuid item = contribute(ch, home, words);
	if (home == A || home == B)
		hand_over(ch, B - (home == A), home == A ? B : C, home, item);
	if (home == A)
		hand_over(ch, B, C, A, item);
	if (home == B)
		hand_over(ch, B, A, B, item);
	if (home == C) {
		hand_over(ch, C, B, C, item);
		hand_over(ch, B, A, C, item);
	}
	return item;
}

static struct erasure ask_at(struct chain *ch, int at, enum erasure_kind kind, const struct uuid *items, size_t n, instant until)
{
	struct erasure e;
	struct call *c = by(&ch->w, at == A ? 5 : 7);
	struct erasure_wish wish = { .kind = kind, .items = items, .n_items = n, .until = until, .issued_at = INSTANT_NONE, .expires_at = INSTANT_NONE };
	assert_ok(c, erasure_ask(c, ch->coop[at], &wish, &e));
	return e;
}

static const struct job_kind *const all_jobs[] = { erasure_jobs, onward_jobs, message_jobs, release_jobs, mirror_jobs, NULL };
static const struct job_kind *const no_messages[] = { erasure_jobs, onward_jobs, release_jobs, mirror_jobs, NULL };

static void run(const struct job_kind *const *tables, instant upto)
{
	struct error e = { 0 };
	int ran;
	clock_set(upto);
	if (job_run_due(tables, &ran, &e) != ERR_OK)
		fail_msg("jobs: %s", e.message);
}

static void settle(void)
{
	for (int i = 0; i < 25; i++)
		run(all_jobs, clock_now() + 10 * CLOCK_SECOND);
}

static bool holds(struct chain *ch, int at, struct uuid item)
{
	return fixture_int(text("SELECT count(*) FROM contribution_content WHERE coop_id = '%s' AND id = '%s'", U(ch->coop[at]), U(item))) == 1;
}

static int64_t count_in(struct chain *ch, int at, const char *what)
{
	return fixture_int(text("SELECT count(*) FROM %s AND coop_id = '%s'", what, U(ch->coop[at])));
}

static void assert_tombstone(struct chain *ch, int at, int home, struct uuid item, const char *kind)
{
	char *rid = text("\"rid\":[\"dc:%.*s:%s\"]", STR_ARG(ch->name[home]), U(item));
	if (count_in(ch, at, text("tombstone WHERE kind = '%s' AND position('%s' IN line) > 0", kind, rid)) != 1)
		fail_msg("co-op %c has not one tombstone (%s) of the item", "ABC"[at], kind);
}

/* The duty of a co-op, as the page of the request shows it; "" while it is not confirmed. */
static const char *confirmed(struct chain *ch, int at, struct uuid erasure, int partner)
{
	const char *method = fixture_text(text("SELECT coalesce(method, '') FROM duty WHERE coop_id = '%s' AND erasure_id = '%s' AND partner = '%.*s'", U(ch->coop[at]), U(erasure), STR_ARG(ch->name[partner])));
	return method ? method : "none";
}

static void what_its_home_erases_goes_from_every_co_op_down_the_chain(void **state)
{
	struct chain chain, *ch = &chain;
	struct onward_receipt *receipts;
	size_t n;
	(void)state;
	chain_make(ch);
	struct uuid items[3] = { everywhere(ch, A, "one"), everywhere(ch, A, "two"), contribute(ch, A, "stays at home") };
	struct erasure e = ask_at(ch, A, ERASURE_ERASE, items, 3, INSTANT_NONE);
	settle();
	for (int at = A; at < COOPS; at++) {
		for (int i = 0; i < 2; i++) {
			assert_false(holds(ch, at, items[i]));
			assert_tombstone(ch, at, A, items[i], "erase");
		}
		assert_int_equal(count_in(ch, at, "tombstone WHERE true"), at == A ? 3 : 2);
		assert_int_equal(count_in(ch, at, "erasure WHERE state = 'completed'"), 1);
	}
	assert_string_equal(confirmed(ch, A, e.id, B), "deleted");
	assert_string_equal(confirmed(ch, A, e.id, C), "deleted");
	assert_int_equal(count_in(ch, A, text("duty WHERE partner = '%.*s' AND through = '%.*s'", STR_ARG(ch->name[C]), STR_ARG(ch->name[B]))), 1);
	assert_int_equal(count_in(ch, B, text("duty WHERE partner = '%.*s' AND method = 'deleted'", STR_ARG(ch->name[C]))), 1);
	/* The person reads who confirmed, and holds what they signed. */
	struct call *me = by(&ch->w, 5);
	assert_ok(me, onward_receipts(me, ch->coop[A], e.id, &receipts, &n));
	assert_int_equal(n, 2);
	for (size_t i = 0; i < n; i++) {
		bool of_c = str_eq(receipts[i].by, ch->name[C]);
		assert_true(of_c || str_eq(receipts[i].by, ch->name[B]));
		assert_true(str_eq(receipts[i].through, ch->name[B]));
		struct keychain keys;
		struct str payload;
		size_t which;
		assert_ok(me, db_begin_in(me, ch->coop[A], DB_READ));
		assert_ok(me, keychain_of(me, ch->coop[of_c ? C : B], &keys));
		assert_ok(me, db_commit(me));
		assert_ok(me, keychain_dsse_verify(me->arena, &keys, receipts[i].envelope, STR(ONWARD_RECEIPT_TYPE), &payload, &which, &me->error));
	}
}

static void it_goes_up_the_chain_and_from_its_middle_as_well(void **state)
{
	struct chain chain, *ch = &chain;
	(void)state;
	chain_make(ch);
	struct uuid from_c = everywhere(ch, C, "from the end"), from_b = everywhere(ch, B, "from the middle");
	struct erasure ec = ask_at(ch, C, ERASURE_ERASE, &from_c, 1, INSTANT_NONE), eb = ask_at(ch, B, ERASURE_ERASE, &from_b, 1, INSTANT_NONE);
	settle();
	for (int at = A; at < COOPS; at++) {
		assert_false(holds(ch, at, from_c) || holds(ch, at, from_b));
		assert_tombstone(ch, at, C, from_c, "erase");
		assert_tombstone(ch, at, B, from_b, "erase");
	}
	assert_string_equal(confirmed(ch, C, ec.id, B), "deleted");
	assert_string_equal(confirmed(ch, C, ec.id, A), "deleted");
	assert_string_equal(confirmed(ch, B, eb.id, A), "deleted");
	assert_string_equal(confirmed(ch, B, eb.id, C), "deleted");
}

static void every_kind_means_there_what_it_means_at_home(void **state)
{
	struct chain chain, *ch = &chain;
	(void)state;
	chain_make(ch);
	struct uuid held = everywhere(ch, A, "held"), later = everywhere(ch, A, "later"), wrong = everywhere(ch, A, "wrong");
	instant until = clock_now() + 30 * CLOCK_DAY;
	struct erasure e = ask_at(ch, A, ERASURE_WITHDRAW_FUTURE, &held, 1, INSTANT_NONE), f = ask_at(ch, A, ERASURE_EMBARGO, &later, 1, until), g;
	struct call *me = by(&ch->w, 5);
	const struct json *better = json_of(me, "{\"kind\":\"example\",\"lang\":\"en\",\"content\":{\"input\":\"right\",\"output\":\"An answer.\"}}");
	struct erasure_wish wish = { .kind = ERASURE_CORRECT, .items = &wrong, .n_items = 1, .replacement = better, .until = INSTANT_NONE, .issued_at = INSTANT_NONE, .expires_at = INSTANT_NONE };
	assert_ok(me, erasure_ask(me, ch->coop[A], &wish, &g));
	settle();
	for (int at = B; at < COOPS; at++) {
		assert_true(holds(ch, at, held) && holds(ch, at, later));
		assert_false(holds(ch, at, wrong));
		assert_tombstone(ch, at, A, held, "withdraw_future");
		assert_tombstone(ch, at, A, later, "embargo");
		assert_tombstone(ch, at, A, wrong, "correct");
		assert_int_equal(count_in(ch, at, text("tombstone WHERE position('\"replacement\":\"dc:%.*s:%s\"' IN line) > 0", STR_ARG(ch->name[A]), U(g.replacement))), 1);
		assert_int_equal(count_in(ch, at, text("contribution WHERE id = '%s' AND word & %lld <> 0", U(held), (long long)POLICY_ITEM_WITHDRAWN)), 1);
		assert_int_equal(count_in(ch, at, text("withdrawal WHERE kind = 'embargo' AND until = to_timestamp(%lld) AND lifted_at IS NULL", (long long)(until / CLOCK_SECOND + 3599) / 3600 * 3600)), 1);
		assert_string_equal(confirmed(ch, A, e.id, at), "held-back");
		assert_string_equal(confirmed(ch, A, f.id, at), "held-back");
		assert_string_equal(confirmed(ch, A, g.id, at), "deleted");
	}
	/* What was kept back may still be erased. */
	struct erasure last = ask_at(ch, A, ERASURE_ERASE, &held, 1, INSTANT_NONE);
	settle();
	assert_false(holds(ch, B, held) || holds(ch, C, held));
	assert_string_equal(confirmed(ch, A, last.id, C), "deleted");
}

static int64_t kept_back(struct chain *ch, int at)
{
	return count_in(ch, at, text("withdrawal WHERE kind = 'embargo' AND lifted_at IS NULL AND until > to_timestamp(%lld)", (long long)(clock_now() / CLOCK_SECOND)));
}

static int64_t kept_back_item(struct chain *ch, int at, struct uuid item)
{
	return count_in(ch, at, text("withdrawal WHERE kind = 'embargo' AND lifted_at IS NULL AND until > to_timestamp(%lld) AND EXISTS (SELECT FROM contribution c WHERE c.coop_id = withdrawal.coop_id "
		"AND c.id = '%s' AND c.item_no BETWEEN first AND last)", (long long)(clock_now() / CLOCK_SECOND), U(item)));
}

/* Two embargoes of one day, which the others carry out as one: what the home ends is free there within the hour, and the other stays. */
static void an_embargo_that_its_home_ends_early_ends_everywhere(void **state)
{
	struct chain chain, *ch = &chain;
	(void)state;
	chain_make(ch);
	struct uuid one = everywhere(ch, A, "one"), two = everywhere(ch, A, "two");
	instant until = clock_now() + 30 * CLOCK_DAY;
	struct erasure e = ask_at(ch, A, ERASURE_EMBARGO, &one, 1, until), f = ask_at(ch, A, ERASURE_EMBARGO, &two, 1, until), out;
	settle();
	for (int at = B; at < COOPS; at++)
		assert_true(kept_back(ch, at) > 0);
	assert_ok(by(&ch->w, 5), erasure_cancel(by(&ch->w, 5), ch->coop[A], e.id, &out));
	settle();
	clock_set(clock_now() + CLOCK_HOUR + CLOCK_MINUTE);
	settle();
	for (int at = B; at < COOPS; at++) {
		assert_int_equal(kept_back_item(ch, at, one), 0);
		assert_int_equal(kept_back_item(ch, at, two), 1);
	}
	assert_int_equal(kept_back(ch, A), 1);
	assert_ok(by(&ch->w, 5), erasure_cancel(by(&ch->w, 5), ch->coop[A], f.id, &out));
	settle();
	clock_set(clock_now() + CLOCK_HOUR + CLOCK_MINUTE);
	settle();
	for (int at = A; at < COOPS; at++)
		assert_int_equal(kept_back(ch, at), 0);
}

/* The lines of a co-op's feed, read under its keys. */
static size_t feed_of(struct chain *ch, int at, struct onward_line *out, size_t most)
{
	struct call *c = ch->w.system;
	struct keychain keys;
	struct buf b;
	int64_t last;
	size_t n = 0;
	buf_init(&b, MIB);
	assert_ok(c, db_begin_in(c, ch->coop[at], DB_READ));
	assert_ok(c, keychain_of(c, ch->coop[at], &keys));
	assert_ok(c, tombstone_lines(c, ch->coop[at], 0, INT64_MAX, (int64_t)most, &b, &last));
	assert_ok(c, db_commit(c));
	struct str rest = buf_take(c->arena, &b), line;
	while (n < most && str_split(&rest, '\n', &line) && line.n)
		assert_ok(c, onward_line_read(c->arena, line, &keys, &out[n++], &c->error));
	return n;
}

static struct onward_taken take(struct chain *ch, int at, int via, int feed, const struct onward_line *lines, size_t n)
{
	struct onward_taken taken;
	struct call *c = ch->w.system;
	assert_ok(c, db_begin_in(c, ch->coop[at], DB_WRITE));
	assert_ok(c, onward_take(c, ch->coop[at], ch->name[via], ch->name[feed], lines, n, &taken));
	assert_ok(c, db_commit(c));
	return taken;
}

static void order_and_repetition_change_nothing(void **state)
{
	struct chain chain, *ch = &chain;
	struct onward_line lines[8];
	bool gone;
	(void)state;
	chain_make(ch);
	struct uuid first = contribute(ch, A, "first"), kept = contribute(ch, A, "kept back");
	(void)ask_at(ch, A, ERASURE_WITHDRAW_FUTURE, &kept, 1, INSTANT_NONE);
	run(no_messages, clock_now() + CLOCK_SECOND);
	/* The words come before the items. */
	assert_int_equal(feed_of(ch, A, lines, 8), 1);
	struct onward_taken taken = take(ch, B, A, A, lines, 1);
	assert_int_equal(taken.kept, 1);
	assert_int_equal(taken.withdrawn, 0);
	taken = take(ch, B, A, A, lines, 1);
	assert_int_equal(taken.known, 1);
	hand_over(ch, A, B, A, kept);
	struct call *c = ch->w.system;
	int64_t withdrawn;
	for (int again = 0; again < 2; again++) {
		assert_ok(c, db_begin_in(c, ch->coop[B], DB_WRITE));
		assert_ok(c, onward_settle(c, ch->coop[B], &withdrawn));
		assert_ok(c, db_commit(c));
		assert_int_equal(withdrawn, !again);
	}
	assert_int_equal(count_in(ch, B, "erasure WHERE kind = 'withdraw_future'"), 1);
	/* An erased id may never come in, and what is known is known under its home alone. */
	hand_over(ch, A, B, A, first);
	(void)ask_at(ch, A, ERASURE_ERASE, &first, 1, INSTANT_NONE);
	settle();
	assert_ok(c, db_begin_in(c, ch->coop[B], DB_READ));
	assert_ok(c, onward_erased(c, ch->coop[B], ch->name[A], &first, 1, &gone));
	assert_true(gone);
	assert_ok(c, onward_erased(c, ch->coop[B], ch->name[C], &first, 1, &gone));
	assert_false(gone);
	assert_ok(c, onward_erased(c, ch->coop[B], ch->name[A], &kept, 1, &gone));
	assert_false(gone);
	assert_ok(c, db_commit(c));
	assert_int_equal(feed_of(ch, A, lines, 8), 2);
	taken = take(ch, B, A, A, (struct onward_line[]){ lines[1], lines[0] }, 2);
	assert_int_equal(taken.known, 2);
	assert_int_equal(count_in(ch, B, "tombstone WHERE true"), 2);
}

static void nobody_but_the_home_or_the_giver_takes_an_item_away(void **state)
{
	struct chain chain, *ch = &chain;
	struct onward_line lines[4];
	(void)state;
	chain_make(ch);
	struct uuid item = everywhere(ch, A, "of A");
	/* C says that A's item is erased: it may stop holding it, and no more. */
	struct call *c = ch->w.system;
	struct tombstone_draft draft = { .item = item, .home = ch->name[A], .kind = TOMBSTONE_ERASE, .reason_code = STR("objection"), .effective = clock_now(), .purge_by = clock_now() + CLOCK_DAY, .until = INSTANT_NONE };
	for (int at = B; at < COOPS; at++) {
		assert_ok(c, db_begin_in(c, ch->coop[at], DB_WRITE));
		assert_ok(c, tombstone_append(c, ch->coop[at], &draft, 1, NULL));
		assert_ok(c, db_commit(c));
	}
	assert_int_equal(feed_of(ch, C, lines, 4), 1);
	assert_int_equal(take(ch, B, C, C, lines, 1).withdrawn, 0);
	assert_true(holds(ch, B, item));
	/* Nor does its home believe another about its own. */
	assert_int_equal(feed_of(ch, B, lines, 4), 1);
	assert_int_equal(take(ch, A, B, B, lines, 1).skipped, 1);
	assert_true(holds(ch, A, item));
	/* But what B gave to C, B may take back from it. */
	assert_int_equal(take(ch, C, B, B, lines, 1).withdrawn, 1);
	settle();
	assert_false(holds(ch, C, item));
	assert_true(holds(ch, A, item) && holds(ch, B, item));
}

static enum err take_message(struct chain *ch, int at, int from, const char *type, struct str body)
{
	struct call *c = ch->w.system;
	struct message m = { .id = uuid_new(), .type = str_of(type), .from = ch->name[from], .to = ch->name[at], .at = clock_now(), .body = json_of(c, str_z(c->arena, body)) };
	TRY(db_begin_in(c, ch->coop[at], DB_WRITE));
	TRY(strcmp(type, "receipt") ? onward_tombstones_take(c, ch->coop[at], &m) : onward_receipt_take(c, ch->coop[at], &m));
	return db_commit(c);
}

/* What a co-op last sent of a type. */
static struct str last_body(struct chain *ch, int at, const char *type)
{
	return str_of(fixture_text(text("SELECT body FROM message_out WHERE coop_id = '%s' AND type = '%s' ORDER BY seq DESC LIMIT 1", U(ch->coop[at]), type)));
}

static struct str swap(struct arena *a, struct str body, struct str from, struct str to)
{
	for (size_t i = 0; i + from.n <= body.n; i++)
		if (memcmp(body.p + i, from.p, from.n) == 0)
			return str_cat(a, str_sub(body, 0, i), to, str_sub(body, i + from.n, body.n));
	fail_msg("there is nothing to forge");
	return body;
}

/* A receipt of whoever, by whatever key, about A's first tombstone. */
static struct str receipt(struct chain *ch, int by_whom, const struct sign_key *key, struct str keys, instant at, struct str last)
{
	struct call *c = ch->w.system;
	struct json_writer w;
	struct buf b;
	struct str said = str_fmt(c->arena, "{\"at\":\"%.*s\",\"by\":\"%.*s\",\"feed\":\"%.*s\",\"idx\":[[0,0]],\"last\":\"%.*s\",\"method\":\"deleted\",\"onward\":[]}", STR_ARG(clock_format(c->arena, at)),
		STR_ARG(ch->name[by_whom]), STR_ARG(ch->name[A]), STR_ARG(last));
	buf_init(&b, MIB);
	jw_init(&w, &b);
	jw_object(&w);
	jw_kstr(&w, "by", ch->name[by_whom]);
	jw_key(&w, "keys");
	jw_raw(&w, keys);
	jw_kstr(&w, "receipt", dsse_sign(c->arena, key, 1, STR(ONWARD_RECEIPT_TYPE), said));
	jw_end_object(&w);
	return buf_take(c->arena, &b);
}

static struct keychain keys_of(struct chain *ch, int who, struct sign_key *key)
{
	struct call *c = ch->w.system;
	struct keychain keys;
	assert_ok(c, db_begin_in(c, ch->coop[who], DB_READ));
	assert_ok(c, ledger_key(c, ch->coop[who], key));
	assert_ok(c, keychain_of(c, ch->coop[who], &keys));
	assert_ok(c, db_commit(c));
	return keys;
}

static void forged_words_and_receipts_are_refused(void **state)
{
	struct chain chain, *ch = &chain;
	(void)state;
	chain_make(ch);
	struct call *c = ch->w.system;
	struct uuid item = everywhere(ch, A, "wanted"), other = everywhere(ch, A, "unwanted");
	struct erasure e = ask_at(ch, A, ERASURE_ERASE, &item, 1, INSTANT_NONE);
	run(no_messages, clock_now() + CLOCK_SECOND);
	struct str body = last_body(ch, A, "tombstones");
	struct str forged = swap(c->arena, body, str_of(U(item)), str_of(U(other)));
	assert_err(c, ERR_REFUSED, take_message(ch, B, A, "tombstones", forged));
	assert_string_equal(c->error.reason, "line_forged");
	forged = swap(c->arena, body, str_cat(c->arena, STR("\"feed\":\""), ch->name[A]), str_cat(c->arena, STR("\"feed\":\""), ch->name[C]));
	assert_err(c, ERR_REFUSED, take_message(ch, B, A, "tombstones", forged));
	assert_string_equal(c->error.reason, "feed_unknown");
	assert_int_equal(count_in(ch, B, "onward_word WHERE true"), 0);
	settle();
	assert_true(holds(ch, B, other));
	/* A receipt says who signed it, and of whose tombstones. */
	body = last_body(ch, B, "receipt");
	forged = swap(c->arena, body, str_cat(c->arena, STR("\"by\":\""), ch->name[C]), str_cat(c->arena, STR("\"by\":\""), ch->name[B]));
	assert_err(c, ERR_REFUSED, take_message(ch, A, B, "receipt", forged));
	assert_string_equal(c->error.reason, "receipt_forged");
	assert_ok(c, take_message(ch, A, B, "receipt", body)); /* the very one, again */
	assert_int_equal(count_in(ch, A, "onward_receipt WHERE true"), 2);
	/* Of a feed that never was: signed all the same. */
	struct sign_key key;
	struct keychain keys = keys_of(ch, B, &key);
	assert_err(c, ERR_REFUSED, take_message(ch, A, B, "receipt", receipt(ch, B, &key, keys.text, clock_now(), sha256_hex(c->arena, sha256(STR("another line"))))));
	assert_string_equal(c->error.reason, "wrong_feed");
	assert_string_equal(confirmed(ch, A, e.id, B), "deleted");
}

static void a_receipt_counts_by_the_key_of_whom_it_names_and_of_its_time(void **state)
{
	struct chain chain, *ch = &chain;
	struct sign_key own, theirs, stranger, new_key;
	struct keychain forked, single;
	(void)state;
	chain_make(ch);
	struct call *c = ch->w.system;
	struct uuid item = everywhere(ch, A, "wanted");
	struct erasure e = ask_at(ch, A, ERASURE_ERASE, &item, 1, INSTANT_NONE);
	run(no_messages, clock_now() + CLOCK_SECOND);
	struct str last = str_of(fixture_text(text("SELECT encode(digest, 'hex') FROM tombstone WHERE coop_id = '%s'", U(ch->coop[A]))));
	struct keychain ours = keys_of(ch, A, &own), there = keys_of(ch, B, &theirs);
	sign_key_new(&stranger);
	assert_err(c, ERR_REFUSED, take_message(ch, A, B, "receipt", receipt(ch, B, &stranger, there.text, clock_now(), last)));
	assert_string_equal(c->error.reason, "receipt_forged");
	assert_err(c, ERR_REFUSED, take_message(ch, A, B, "receipt", receipt(ch, A, &own, ours.text, clock_now(), last))); /* nobody confirms our deletions for us */
	assert_string_equal(c->error.reason, "receipt_malformed");
	assert_err(c, ERR_REFUSED, take_message(ch, A, B, "receipt", receipt(ch, B, &theirs, ours.text, clock_now(), last))); /* another's keys */
	assert_string_equal(c->error.reason, "receipt_forged");
	assert_err(c, ERR_REFUSED, take_message(ch, A, B, "receipt", receipt(ch, B, &theirs, there.text, clock_now() + CLOCK_DAY, last)));
	assert_string_equal(c->error.reason, "receipt_forged");
	/* keys that fork off those that are known, and a key that was handed over */
	clock_set(clock_now() + CLOCK_HOUR);
	assert_ok(c, keychain_rotate(c, ch->coop[B], &there));
	single = keychain_single(c->arena, theirs.public_key);
	assert_ok(c, keychain_extend(c->arena, &single, &theirs, &stranger, there.keys[1].from, there.keys[1].size, &forked, &c->error));
	assert_err(c, ERR_REFUSED, take_message(ch, A, B, "receipt", receipt(ch, B, &stranger, forked.text, clock_now(), last)));
	assert_string_equal(c->error.reason, "receipt_forged");
	clock_set(clock_now() + CLOCK_DAY);
	assert_err(c, ERR_REFUSED, take_message(ch, A, B, "receipt", receipt(ch, B, &theirs, there.text, clock_now(), last)));
	assert_string_equal(c->error.reason, "receipt_forged");
	assert_int_equal(count_in(ch, A, "onward_receipt WHERE true"), 0);
	assert_string_equal(confirmed(ch, A, e.id, B), "");
	(void)keys_of(ch, B, &new_key);
	assert_ok(c, take_message(ch, A, B, "receipt", receipt(ch, B, &new_key, there.text, clock_now(), last)));
	assert_string_equal(confirmed(ch, A, e.id, B), "deleted");
}

static void a_list_that_says_two_things_at_one_place_is_kept_as_the_proof(void **state)
{
	struct chain chain, *ch = &chain;
	(void)state;
	chain_make(ch);
	struct call *c = ch->w.system;
	struct uuid item = everywhere(ch, A, "wanted");
	ask_at(ch, A, ERASURE_ERASE, &item, 1, INSTANT_NONE);
	run(no_messages, clock_now() + CLOCK_SECOND);
	struct str body = last_body(ch, A, "tombstones");
	assert_ok(c, take_message(ch, B, A, "tombstones", body));
	/* another line had stood there: as if A had told B something else before */
	fixture_sql("UPDATE onward_word SET line = line || ' ', digest = sha256(convert_to(line || ' ', 'UTF8'))");
	assert_err(c, ERR_REFUSED, take_message(ch, B, A, "tombstones", body));
	assert_string_equal(c->error.reason, "feed_rewritten");
	assert_int_equal(count_in(ch, B, "merge_conflict WHERE kind = 'equivocation' AND detail::json ->> 'about' = 'tombstones' AND proof IS NOT NULL"), 1);
	bool doubt;
	assert_ok(c, db_begin_in(c, ch->coop[B], DB_READ));
	assert_ok(c, merge_in_doubt(c, ch->coop[B], ch->name[A], &doubt));
	assert_ok(c, db_commit(c));
	assert_true(doubt);
}

/* As if the partner had brought so much about already that nothing more is taken. */
static void all_spent(struct chain *ch, int at, int by_whom, enum peer_budget what)
{
	fixture_sql(text("INSERT INTO peer_spent (coop_id, who, what, since, spent) VALUES ('%s', '%.*s', '%s', '%.*s', %lld) ON CONFLICT (coop_id, who, what) DO UPDATE SET spent = excluded.spent", U(ch->coop[at]),
		STR_ARG(ch->name[by_whom]), peer_budget_word(what), STR_ARG(clock_format(ch->w.system->arena, clock_now())), (long long)peer_budget_most(what)));
}

static void what_a_partner_makes_us_keep_is_bounded(void **state)
{
	struct chain chain, *ch = &chain;
	(void)state;
	chain_make(ch);
	struct call *c = ch->w.system;
	struct uuid item = everywhere(ch, A, "wanted");
	ask_at(ch, A, ERASURE_ERASE, &item, 1, INSTANT_NONE);
	run(no_messages, clock_now() + CLOCK_SECOND);
	struct str body = last_body(ch, A, "tombstones");
	all_spent(ch, B, A, PEER_BUDGET_WORDS);
	assert_err(c, ERR_TOO_MANY, take_message(ch, B, A, "tombstones", body));
	assert_string_equal(c->error.reason, "peer_budget");
	assert_int_equal(count_in(ch, B, "onward_word WHERE true"), 0);
	fixture_sql("DELETE FROM peer_spent");
	settle();
	assert_false(holds(ch, C, item));
	/* the receipt of C, whom A does not know, by way of B */
	body = last_body(ch, B, "receipt");
	assert_int_equal(count_in(ch, A, "onward_home WHERE true"), 1);
	fixture_sql("DELETE FROM onward_home; DELETE FROM peer_spent; SET session_replication_role = replica; DELETE FROM onward_receipt; RESET session_replication_role");
	all_spent(ch, A, B, PEER_BUDGET_HOMES);
	assert_err(c, ERR_TOO_MANY, take_message(ch, A, B, "receipt", body));
	assert_int_equal(count_in(ch, A, "onward_home WHERE true"), 0);
	fixture_sql("DELETE FROM peer_spent");
	assert_ok(c, take_message(ch, A, B, "receipt", body));
	assert_int_equal(fixture_int("SELECT spent FROM peer_spent WHERE what = 'homes'"), 1);
}

static void who_does_not_answer_climbs_the_ladder_until_they_do(void **state)
{
	struct chain chain, *ch = &chain;
	bool blocked;
	int64_t steps;
	(void)state;
	chain_make(ch);
	struct call *c = ch->w.system;
	struct uuid item = everywhere(ch, A, "cut off");
	struct erasure e = ask_at(ch, A, ERASURE_ERASE, &item, 1, INSTANT_NONE);
	run(no_messages, clock_now() + CLOCK_SECOND);
	run(no_messages, clock_now() + CLOCK_SECOND);
	assert_int_equal(state_of(&ch->w, e.id), ERASURE_PROPAGATING);
	assert_string_equal(confirmed(ch, A, e.id, B), "");
	clock_set(clock_now() + 39 * CLOCK_DAY);
	assert_ok(c, mirror_daily(c, ch->coop[A], &steps));
	assert_true(steps >= 4);
	struct duty *overdue;
	size_t n;
	assert_ok(c, mirror_overdue(c, ch->coop[A], &overdue, &n));
	assert_int_equal(n, 1);
	assert_str(overdue[0].name, "bee");
	assert_true(str_eq(overdue[0].partner, ch->name[B]));
	assert_ok(c, db_begin_in(c, ch->coop[A], DB_READ));
	assert_ok(c, onward_blocked(c, ch->coop[A], ch->name[B], &blocked));
	assert_ok(c, db_commit(c));
	assert_true(blocked);
	settle();
	assert_string_equal(confirmed(ch, A, e.id, B), "deleted");
	assert_string_equal(confirmed(ch, A, e.id, C), "deleted");
	assert_int_equal(state_of(&ch->w, e.id), ERASURE_COMPLETED);
	assert_ok(c, db_begin_in(c, ch->coop[A], DB_READ));
	assert_ok(c, onward_blocked(c, ch->coop[A], ch->name[B], &blocked));
	assert_ok(c, db_commit(c));
	assert_false(blocked);
}

static void a_receipt_that_was_lost_is_given_again(void **state)
{
	struct chain chain, *ch = &chain;
	int64_t steps;
	(void)state;
	chain_make(ch);
	struct uuid item = everywhere(ch, A, "answered in vain");
	struct erasure e = ask_at(ch, A, ERASURE_ERASE, &item, 1, INSTANT_NONE);
	run(no_messages, clock_now() + CLOCK_SECOND);
	fixture_sql(text("CREATE FUNCTION lose() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN NEW.state := 'dead'; NEW.ended_at := now(); RETURN NEW; END $$; "
		"CREATE TRIGGER lose BEFORE INSERT ON message_out FOR EACH ROW WHEN (NEW.coop_id = '%s' AND NEW.type = 'receipt') EXECUTE FUNCTION lose()", U(ch->coop[B])));
	settle();
	fixture_sql("DROP TRIGGER lose ON message_out");
	assert_false(holds(ch, B, item) || holds(ch, C, item));
	assert_string_equal(confirmed(ch, A, e.id, B), "");
	clock_set(clock_now() + 29 * CLOCK_DAY);
	assert_ok(ch->w.system, mirror_daily(ch->w.system, ch->coop[A], &steps)); /* reminded: told again */
	settle();
	assert_string_equal(confirmed(ch, A, e.id, B), "deleted");
}

static void erased_content_is_known_again_by_both_sides_of_an_agreement_alone(void **state)
{
	struct chain chain, *ch = &chain;
	struct sha256 hashes[2];
	bool bits[2];
	(void)state;
	chain_make(ch);
	struct call *c = ch->w.system;
	struct uuid item = everywhere(ch, A, "secret"), shared = everywhere(ch, A, "shared");
	(void)contribute(ch, B, "shared");
	struct uuid both[2] = { item, shared };
	for (int i = 0; i < 2; i++)
		assert_true(sha256_parse(str_of(fixture_text(text("SELECT encode(content_sha256, 'hex') FROM contribution WHERE coop_id = '%s' AND id = '%s'", U(ch->coop[A]), U(both[i])))), &hashes[i]));
	(void)ask_at(ch, A, ERASURE_ERASE, both, 2, INSTANT_NONE);
	settle();
	assert_ok(c, db_begin_in(c, ch->coop[B], DB_READ));
	assert_ok(c, onward_suppressed(c, ch->coop[B], ch->agreement[A][B], hashes, 2, bits));
	assert_true(bits[0]);
	assert_false(bits[1]); /* somebody of B's contributed it, too */
	assert_ok(c, onward_suppressed(c, ch->coop[B], ch->agreement[B][C], hashes, 2, bits));
	assert_true(bits[0]);
	assert_ok(c, db_commit(c));
	assert_int_equal(fixture_int(text("SELECT count(*) FROM onward_mark x JOIN onward_mark y ON y.mark = x.mark AND y.agreement_id = x.agreement_id WHERE x.coop_id = '%s' AND y.coop_id = '%s'", U(ch->coop[A]),
		U(ch->coop[B]))), 1);
	assert_int_equal(fixture_int("SELECT count(*) FROM onward_mark x JOIN onward_mark y ON y.mark = x.mark WHERE y.agreement_id <> x.agreement_id"), 0);
	assert_int_equal(fixture_int(text("SELECT count(*) FROM onward_mark WHERE mark = decode('%.*s', 'hex')", STR_ARG(sha256_hex(c->arena, hashes[0])))), 0);
}

static void copies_go_with_what_they_were_copied_from(void **state)
{
	struct chain chain, *ch = &chain;
	const struct json *json;
	struct receipt copy, of_copy, talk;
	(void)state;
	chain_make(ch);
	struct uuid item = everywhere(ch, A, "source");
	struct call *c = by(&ch->w, 7);
	static const char form[] = "{\"kind\":\"example\",\"lang\":\"en\",\"derived_from\":[{\"rid\":\"dc:%.*s:%s\",\"copied\":%s}],\"content\":{\"input\":\"%s\",\"output\":\"An answer.\"}}";
	json = json_of(c, text(form, STR_ARG(ch->name[A]), U(item), "true", "the source, edited"));
	assert_ok(c, pool_submit(c, ch->coop[B], json, &copy));
	json = json_of(c, text(form, STR_ARG(ch->name[B]), U(copy.id), "true", "the edit, edited"));
	assert_ok(c, pool_submit(c, ch->coop[B], json, &of_copy));
	json = json_of(c, text(form, STR_ARG(ch->name[A]), U(item), "false", "about the source"));
	assert_ok(c, pool_submit(c, ch->coop[B], json, &talk));
	hand_over(ch, B, C, B, copy.id);
	settle();
	assert_true(holds(ch, B, copy.id) && holds(ch, C, copy.id));
	(void)ask_at(ch, A, ERASURE_ERASE, &item, 1, INSTANT_NONE);
	settle();
	settle();
	assert_false(holds(ch, B, copy.id) || holds(ch, C, copy.id) || holds(ch, B, of_copy.id));
	assert_true(holds(ch, B, talk.id));
	assert_tombstone(ch, C, B, copy.id, "erase");
	assert_int_equal(count_in(ch, B, "tombstone WHERE reason_code = 'derived'"), 2);
	assert_int_equal(count_in(ch, B, "derivation WHERE copied"), 0);
	/* Nor is a copy of it taken later. */
	json = json_of(c, text(form, STR_ARG(ch->name[A]), U(item), "true", "too late"));
	c = by(&ch->w, 7);
	assert_ok(c, pool_submit(c, ch->coop[B], json, &copy));
	settle();
	assert_false(holds(ch, B, copy.id));
}

/* B has a text of its own, and A's of the same words is a further origin of it. */
static void same_words(struct chain *ch, struct uuid *own, struct uuid *theirs, unsigned *no)
{
	struct call *c = ch->w.system;
	*own = contribute(ch, B, "the same");
	*theirs = contribute(ch, A, "the same");
	assert_ok(c, db_begin_in(c, ch->coop[B], DB_WRITE));
	assert_ok(c, pool_lock(c, ch->coop[B]));
	assert_ok(c, origin_number(c, ch->coop[B], ch->name[A], STR("Home"), no));
	struct origin o = { .item_no = 0, .origin = *no, .id = *theirs, .member_no = (uint32_t)ch->number[B][A], .member = ch->guest[B][A], .licence = 0, .lang = STR("en"), .sealed_facts = STR("x"), .at = clock_now() };
	o.more = (uint64_t)*no << 24;
	assert_ok(c, origins_add(c, ch->coop[B], &o, 1));
	assert_ok(c, db_commit(c));
	fixture_sql(text("INSERT INTO bundle_sent SELECT '%s', '%s', 0, decode(repeat('ff', 512), 'hex'), decode(repeat('ff', 512), 'hex')", U(ch->coop[A]), U(ch->agreement[A][B])));
}

static void a_further_origin_goes_alone(void **state)
{
	struct chain chain, *ch = &chain;
	struct origin_place place;
	struct uuid own, theirs;
	unsigned no;
	(void)state;
	chain_make(ch);
	struct call *c = ch->w.system;
	same_words(ch, &own, &theirs, &no);
	struct erasure e = ask_at(ch, A, ERASURE_ERASE, &theirs, 1, INSTANT_NONE);
	settle();
	assert_string_equal(confirmed(ch, A, e.id, B), "deleted");
	assert_true(holds(ch, B, own));
	assert_tombstone(ch, B, A, theirs, "erase");
	assert_ok(c, db_begin_in(c, ch->coop[B], DB_READ));
	assert_ok(c, origin_places(c, ch->coop[B], no, &theirs, 1, &place));
	assert_ok(c, db_commit(c));
	assert_true(place.item_no < 0 || place.erased);
}

static int64_t origin_kept_back(struct chain *ch, int at, struct uuid id)
{
	return count_in(ch, at, text("item_origin WHERE id = '%s' AND word & %lld <> 0", U(id), (long long)POLICY_ITEM_EMBARGOED));
}

/* The row stands for both: it is kept back while the further origin is, and that not longer than its home says. */
static void an_embargo_of_a_further_origin_ends_early_as_well(void **state)
{
	struct chain chain, *ch = &chain;
	struct uuid own, theirs;
	struct erasure out;
	unsigned no;
	(void)state;
	chain_make(ch);
	same_words(ch, &own, &theirs, &no);
	struct erasure e = ask_at(ch, A, ERASURE_EMBARGO, &theirs, 1, clock_now() + 30 * CLOCK_DAY);
	settle();
	assert_tombstone(ch, B, A, theirs, "embargo");
	assert_int_equal(origin_kept_back(ch, B, theirs), 1);
	assert_ok(by(&ch->w, 5), erasure_cancel(by(&ch->w, 5), ch->coop[A], e.id, &out));
	settle();
	clock_set(clock_now() + CLOCK_HOUR + CLOCK_MINUTE);
	settle();
	assert_int_equal(origin_kept_back(ch, B, theirs), 0);
	assert_int_equal(kept_back(ch, A), 0);
	assert_true(holds(ch, B, own));
}

/* ---- Cut off anywhere ---- */

static bool run_and_kill(const char *url, const char *keys, int64_t after)
{
	pid_t pid = fork();
	if (pid == 0) {
		struct error e = { 0 };
		struct db_pool *content, *keyring;
		int ran = 1;
		if (db_pool_open(&content, url, 2, &e) != ERR_OK || db_pool_open(&keyring, keys, 2, &e) != ERR_OK)
			_exit(3);
		db_use_pool(content, keyring);
		while (ran > 0) {
			clock_set(clock_now() + 10 * CLOCK_SECOND);
			if (job_run_due(all_jobs, &ran, &e) != ERR_OK)
				_exit(2);
		}
		_exit(0);
	}
	usleep((useconds_t)after);
	kill(pid, SIGKILL);
	int status;
	waitpid(pid, &status, 0);
	return WIFEXITED(status) && WEXITSTATUS(status) == 0;
}

static void killed_at_any_moment_it_still_goes_everywhere(void **state)
{
	struct chain chain, *ch = &chain;
	enum { N = 12 };
	struct uuid items[N];
	int kills = 0;
	(void)state;
	chain_make(ch);
	for (int i = 0; i < N; i++)
		items[i] = everywhere(ch, A, text("item %d", i));
	struct erasure e = ask_at(ch, A, ERASURE_ERASE, items, N, INSTANT_NONE);
	char *url = text("%s", fixture_url(false)), *keys = text("%s", fixture_url(true));
	db_release(ch->w.system);
	db_release(ch->w.person);
	for (int64_t after = 20000; after < 400000 && kills < 12; after += 25000) {
		if (run_and_kill(url, keys, after))
			break;
		kills++;
		/* A lease of a process that was killed runs out. */
		clock_set(clock_now() + 10 * CLOCK_MINUTE);
	}
	printf("killed %d times\n", kills);
	clock_set(clock_now() + CLOCK_HOUR);
	settle();
	for (int i = 0; i < N; i++)
		for (int at = A; at < COOPS; at++) {
			assert_false(holds(ch, at, items[i]));
			assert_tombstone(ch, at, A, items[i], "erase");
		}
	assert_string_equal(confirmed(ch, A, e.id, B), "deleted");
	assert_string_equal(confirmed(ch, A, e.id, C), "deleted");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		fixture_test(what_its_home_erases_goes_from_every_co_op_down_the_chain),
		fixture_test(it_goes_up_the_chain_and_from_its_middle_as_well),
		fixture_test(every_kind_means_there_what_it_means_at_home), fixture_test(an_embargo_that_its_home_ends_early_ends_everywhere),
		fixture_test(order_and_repetition_change_nothing),
		fixture_test(nobody_but_the_home_or_the_giver_takes_an_item_away),
		fixture_test(a_receipt_counts_by_the_key_of_whom_it_names_and_of_its_time),
		fixture_test(forged_words_and_receipts_are_refused),
		fixture_test(what_a_partner_makes_us_keep_is_bounded),
		fixture_test(a_list_that_says_two_things_at_one_place_is_kept_as_the_proof),
		fixture_test(who_does_not_answer_climbs_the_ladder_until_they_do),
		fixture_test(a_receipt_that_was_lost_is_given_again),
		fixture_test(erased_content_is_known_again_by_both_sides_of_an_agreement_alone),
		fixture_test(copies_go_with_what_they_were_copied_from),
		fixture_test(a_further_origin_goes_alone), fixture_test(an_embargo_of_a_further_origin_ends_early_as_well),
		fixture_test(killed_at_any_moment_it_still_goes_everywhere),
	};
	return fixture_run(tests, CH_LEN(tests));
}
