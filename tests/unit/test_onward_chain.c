/* A's records go on to C by way of B: with A's own words, under both agreements, proved against A's log; and what A takes back goes there and is confirmed back. */
#include "bundle_forge.h"
#include "chain_world.h"

#include "commonhold/guest.h"

static int64_t at_c(struct chain *ch, const char *what)
{
	return fixture_int(text("SELECT count(*) FROM %s AND coop_id = '%s'", what, U(ch->coop[C])));
}

/* Whether a release of a co-op could hold it, as far as merging has a say. */
static bool counts(struct chain *ch, int at, struct uuid item)
{
	return fixture_int(text("SELECT count(*) FROM contribution WHERE coop_id = '%s' AND id = '%s' AND word & (16384 | 4096) = 0", U(ch->coop[at]), U(item))) == 1;
}

static struct merge_state state_of_pair(struct chain *ch, int at, int with)
{
	struct merge_state s;
	assert_ok(ch->w.system, merge_state_digest(ch->w.system, ch->coop[at], ch->agreement[at][with], &s));
	return s;
}

static void assert_pair_agrees(struct chain *ch, int x, int y)
{
	struct merge_state a = state_of_pair(ch, x, y), b = state_of_pair(ch, y, x);
	assert_int_equal(a.records, b.records);
	assert_int_equal(a.tombstones, b.tombstones);
	assert_int_equal(a.statements, b.statements);
	assert_true(sha256_eq(a.digest, b.digest));
}

static void what_a_home_lets_its_partner_pass_on_arrives_farther_on_with_its_words_and_proof(void **state)
{
	struct chain chain, *ch = &chain;
	(void)state;
	chain_make(ch);
	say_at(ch, A, "allow");
	struct uuid item = contribute_at(ch, A, "from A");
	assert_int_equal(bundle(ch, A, B).rows, 1);
	struct merge_report r = bundle(ch, B, C);
	assert_int_equal(r.rows, 1);
	assert_int_equal(r.contributors, 1);
	assert_true(holds(ch, C, item) && counts(ch, C, item));
	assert_int_equal(at_c(ch, text("guest WHERE home = '%.*s' AND line IN (SELECT line FROM guest WHERE coop_id = '%s')", STR_ARG(ch->name[A]), U(ch->coop[B]))), 1);
	assert_int_equal(at_c(ch, text("guest_source WHERE under = '%s' AND home = '%.*s'", U(ch->agreement[B][C]), STR_ARG(ch->name[B]))), 1);
	assert_int_equal(at_c(ch, text("onward_way WHERE via = '%.*s' AND id = '%s'", STR_ARG(ch->name[B]), U(item))), 1);
	assert_int_equal(at_c(ch, text("onward_head WHERE via = '%.*s' AND home = '%.*s'", STR_ARG(ch->name[B]), STR_ARG(ch->name[A]))), 1);
	assert_pair_agrees(ch, A, B);
	assert_pair_agrees(ch, B, C);
	/* nothing comes home, and nothing comes twice */
	assert_int_equal(bundle(ch, C, B).records, 0);
	assert_int_equal(bundle(ch, B, A).records, 0);
	assert_int_equal(bundle(ch, B, C).records, 0);
}

/* ---- What a hostile partner could make of it ---- */

/* Two of A's records at B, in a bundle for C that nobody has taken yet; B signs what is forged. */
static struct str forged_begin(struct chain *ch, struct uuid items[2])
{
	chain_make(ch);
	forger.call = ch->w.system;
	forger.sender = ch->coop[B];
	say_at(ch, A, "allow");
	items[0] = contribute_at(ch, A, "one of A");
	items[1] = contribute_at(ch, A, "another of A");
	assert_int_equal(bundle(ch, A, B).rows, 2);
	return bundle_made(ch, B, C).dir;
}

static void assert_refused(struct chain *ch, struct str dir, const char *reason)
{
	struct merge_report r;
	struct call *c = ch->w.system;
	static const char everything[] =
		"SELECT md5(string_agg(t, '' ORDER BY t)) FROM (SELECT c::text AS t FROM contribution c UNION ALL SELECT g::text FROM guest g UNION ALL SELECT s::text FROM guest_source s "
		"UNION ALL SELECT o::text FROM onward_source o UNION ALL SELECT w::text FROM onward_way w UNION ALL SELECT h::text FROM onward_head h UNION ALL SELECT b::text FROM bundle_in b "
		"UNION ALL SELECT k::text FROM onward_home k UNION ALL SELECT m::text FROM merge_conflict m) x";
	char *before = text("%s", fixture_text(everything));
	error_clear(&c->error);
	enum err said = bundle_take(c, ch->coop[C], str_z(c->arena, dir), &r);
	if (said != ERR_REFUSED || strcmp(c->error.reason, reason) != 0)
		fail_msg("%s expected, but %d %s: %s", reason, said, c->error.reason, c->error.message);
	error_clear(&c->error);
	assert_string_equal(fixture_text(everything), before);
}

/* The part of a text from one mark up to (and without) another. */
static const char *between(struct str in, const char *from, const char *to)
{
	const char *a = memmem(in.p, in.n, from, strlen(from)), *b = a ? memmem(a, in.n - (size_t)(a - in.p), to, strlen(to)) : NULL;
	assert_true(a && b);
	return str_z(forger.call->arena, str_make(a, (size_t)(b - a)));
}

static void what_a_partner_forges_of_its_homes_is_refused_and_changes_nothing(void **state)
{
	struct chain chain, *ch = &chain;
	struct uuid items[2];
	(void)state;
	struct str dir = forged_begin(ch, items), manifest = read_text(path_in(dir, "bundle.json"));
	struct call *c = ch->w.system;
	struct sign_key stranger;
	const char *note = between(manifest, "\"checkpoint\":\"", "\",\"home\""), *home = between(manifest, "{\"agreement\":{", "],\"prev\""), *assent = between(manifest, "\"assent\":{", ",\"checkpoint\"");
	/* the list */
	sign_again(dir, replaced(manifest, home, ""));
	assert_refused(ch, dir, "outside");
	sign_again(dir, replaced(manifest, home, text("%s,%s", home, home)));
	assert_refused(ch, dir, "malformed");
	struct buf many;
	buf_init(&many, 8 * MIB);
	for (int i = 0; i <= BUNDLE_HOMES_MAX; i++) {
		buf_add_z(&many, i ? "," : "");
		buf_add_z(&many, home);
	}
	buf_add_byte(&many, 0);
	sign_again(dir, replaced(manifest, home, many.p));
	assert_refused(ch, dir, "malformed");
	buf_release(&many);
	/* the head: another's, one that is longer than it was signed for, and none */
	sign_key_new(&stranger);
	const struct bundle_home *of_a;
	struct bundle *b;
	sign_again(dir, manifest);
	assert_ok(c, bundle_open(c->arena, dir.p, &b, &c->error));
	of_a = &b->homes[0];
	struct str forged = checkpoint_sign(c->arena, of_a->origin, 100, sha256(STR("x")), &stranger);
	struct buf escaped;
	struct json_writer w;
	buf_init(&escaped, 8 * KIB);
	jw_init(&w, &escaped);
	jw_str(&w, forged);
	struct str as_json = buf_take(c->arena, &escaped);
	sign_again(dir, replaced(manifest, note, str_fmt(c->arena, "\"checkpoint\":%.*s", STR_ARG(str_sub(as_json, 0, as_json.n - 1))).p));
	assert_refused(ch, dir, "signature");
	sign_again(dir, replaced(manifest, note, "\"checkpoint\":\""));
	assert_refused(ch, dir, "malformed");
	/* what lets it pass on: no longer signed when a word of it is another, another's signature, an agreement that does not say onward */
	sign_again(dir, replaced(manifest, "\"ending\":\"erase\"", "\"ending\":\"keep\""));
	assert_refused(ch, dir, "signature");
	sign_again(dir, replaced(manifest, assent, str_fmt(c->arena, "\"assent\":%.*s", STR_ARG(dsse_sign(c->arena, &stranger, 1, STR("application/vnd.commonhold.assent+json"), STR("{}")))).p));
	assert_refused(ch, dir, "signature");
	sign_again(dir, replaced(manifest, "\"onward\":true", "\"onward\":false"));
	assert_refused(ch, dir, "outside");
	sign_again(dir, replaced(manifest, "{\"agreement\":{", "{\"agreement\":{\"more\":1,"));
	assert_refused(ch, dir, "malformed");
	sign_again(dir, manifest);
	assert_int_equal(bundle_given(ch, B, C, (struct bundle_report){ .dir = dir, .seq = 1 }).rows, 2);
	assert_true(counts(ch, C, items[0]) && counts(ch, C, items[1]));
}

/* The document of an agreement and what one side has signed about it, as they stand in a manifest: other ones in the place of those that let B pass A's records on. */
static void put_agreement(struct chain *ch, struct str dir, struct str manifest, struct uuid agreement, int signer)
{
	const char *document = text("%s", fixture_text(text("SELECT document FROM agreement_revision WHERE agreement_id = '%s' AND coop_id = '%s'", U(agreement), U(ch->coop[signer]))));
	struct str assent = str_of(fixture_text(text("SELECT assent_ours FROM agreement_revision WHERE agreement_id = '%s' AND coop_id = '%s'", U(agreement), U(ch->coop[signer]))));
	struct call *c = ch->w.system;
	const struct json *parsed;
	struct buf b;
	assert_ok(c, json_parse(c->arena, assent, &parsed, &c->error));
	buf_init(&b, MIB);
	json_canonical(&b, parsed, false);
	struct str with = str_fmt(c->arena, "{\"agreement\":%s,\"assent\":%.*s", document, STR_ARG(buf_str(&b)));
	buf_release(&b);
	sign_again(dir, replaced(manifest, between(manifest, "{\"agreement\":{", ",\"checkpoint\""), str_z(c->arena, with)));
}

/* A's own signature under something else than the agreement by which B may pass on what A gives it, now. */
static void only_an_agreement_of_these_two_that_counts_now_lets_anything_on(void **state)
{
	static const char *const drafts[] = { "{\"onward\":true}", "{\"onward\":true,\"flow\":\"receive\"}", "{\"onward\":true,\"starts\":\"2026-11-01T00:00:00Z\"}", "{}" };
	struct chain chain, *ch = &chain;
	struct uuid items[2], real;
	struct sha256 digest;
	(void)state;
	struct str dir = forged_begin(ch, items), manifest = read_text(path_in(dir, "bundle.json"));
	struct call *c = ch->w.system;
	real = ch->agreement[A][B];
	for (size_t i = 0; i < CH_LEN(drafts); i++) {
		struct uuid other = merge_world_agree(c, by(&ch->w, 0), ch->coop[A], ch->coop[i == 0 ? C : B], drafts[i], &digest);
		put_agreement(ch, dir, manifest, other, A);
		assert_refused(ch, dir, "outside");
	}
	/* B's signature is not A's, and A's under another agreement is not under this one */
	put_agreement(ch, dir, manifest, real, B);
	assert_refused(ch, dir, "signature");
	struct sign_key key;
	assert_ok(c, db_begin_in(c, ch->coop[A], DB_READ));
	assert_ok(c, ledger_key(c, ch->coop[A], &key));
	assert_ok(c, db_commit(c));
	struct str hex = str_of(fixture_text(text("SELECT encode(digest, 'hex') FROM agreement_revision WHERE agreement_id = '%s' LIMIT 1", U(real)))), at = clock_format(c->arena, clock_now());
	struct str forged = dsse_sign(c->arena, &key, 1, STR("application/vnd.commonhold.assent+json"), str_fmt(c->arena, "{\"agreement\":\"%.*s\",\"at\":\"%.*s\",\"coop\":\"%.*s\",\"v\":1}", STR_ARG(hex),
		STR_ARG(at), STR_ARG(ch->name[B])));
	sign_again(dir, replaced(manifest, between(manifest, "\"assent\":{", ",\"checkpoint\""), text("\"assent\":%.*s", STR_ARG(forged))));
	assert_refused(ch, dir, "signature");
	sign_again(dir, manifest);
	assert_int_equal(bundle_given(ch, B, C, (struct bundle_report){ .dir = dir, .seq = 1 }).rows, 2);
}

/* Two chains of keys can have the same first key: which one is A's, C knows. */
static void a_home_whose_keys_fork_off_those_that_are_known_is_refused(void **state)
{
	struct chain chain, *ch = &chain;
	struct uuid items[2];
	struct sign_key first, thief;
	struct keychain keys, single, forked;
	(void)state;
	struct str dir = forged_begin(ch, items);
	struct call *c = ch->w.system;
	agree(ch, A, C, "{}");
	assert_ok(c, db_begin_in(c, ch->coop[A], DB_READ));
	assert_ok(c, ledger_key(c, ch->coop[A], &first));
	assert_ok(c, db_commit(c));
	struct str manifest = read_text(path_in(dir, "bundle.json"));
	assert_ok(c, keychain_rotate(c, ch->coop[A], &keys));
	sign_key_new(&thief);
	single = keychain_single(c->arena, first.public_key);
	assert_ok(c, keychain_extend(c->arena, &single, &first, &thief, keys.keys[1].from, keys.keys[1].size, &forked, &c->error));
	sign_again(dir, replaced(manifest, str_z(c->arena, single.text), str_z(c->arena, forked.text)));
	assert_refused(ch, dir, "keys");
	sign_again(dir, manifest);
	assert_int_equal(bundle_given(ch, B, C, (struct bundle_report){ .dir = dir, .seq = 1 }).rows, 2);
}

/* What was found in items is looked at by people there, and let through. */
static void looked_at(void)
{
	fixture_sql(text("UPDATE contribution SET word = word & ~%lld::bigint | %lld::bigint", (long long)(3ll << POLICY_ITEM_MODERATION_SHIFT | POLICY_ITEM_PII),
		(long long)POLICY_MODERATION_APPROVED << POLICY_ITEM_MODERATION_SHIFT));
}

/* Duties unite along the way: whoever takes it looks at it where any of the agreements says so. */
static void what_is_looked_at_under_the_agreement_before_is_looked_at_farther_on(void **state)
{
	struct chain chain, *ch = &chain;
	(void)state;
	chain_make_with(ch, "{\"onward\":true,\"moderation\":\"both\"}", "{\"onward\":true,\"moderation\":\"home\"}");
	say_at(ch, A, "allow");
	say_at(ch, B, "allow");
	struct uuid item = contribute_at(ch, A, "from A, of jane.roe@example.org"), own = contribute_at(ch, B, "from B, of john.doe@example.org");
	looked_at();
	bundle(ch, A, B);
	looked_at();
	bundle(ch, B, C);
	assert_int_equal(at_c(ch, text("contribution WHERE id = '%s' AND word & %lld = 0", U(own), (long long)POLICY_ITEM_PII)), 1);
	assert_int_equal(at_c(ch, text("contribution WHERE id = '%s' AND word & %lld <> 0", U(item), (long long)POLICY_ITEM_PII)), 1);
}

static void what_a_partner_forges_of_words_and_records_is_refused_and_changes_nothing(void **state)
{
	struct chain chain, *ch = &chain;
	struct uuid items[2];
	(void)state;
	struct str dir = forged_begin(ch, items);
	struct str said = read_text(path_in(dir, "statements.jsonl")), raw = unpacked(read_text(path_in(dir, "records-00000.jsonl.zst")));
	/* A's words: another effect, a later end, none at all */
	swap_part(dir, "statements.jsonl", replaced(said, "\"effect\":\"allow\"", "\"effect\":\"allow_if\""), 1);
	assert_refused(ch, dir, "signature");
	swap_part(dir, "statements.jsonl", replaced(said, "\"valid_to\":null", "\"valid_to\":\"2099-01-01T00:00:00Z\""), 1);
	assert_refused(ch, dir, "signature");
	swap_part(dir, "statements.jsonl", replaced(said, "\"standing\":\"active\"", "\"standing\":\"grace\""), 1);
	assert_refused(ch, dir, "signature");
	swap_part(dir, "statements.jsonl", said, 1);
	/* the records: the path of the other, another leaf, another content, another contributor, no path, another licence's words */
	struct str rest = raw, first, second;
	assert_true(str_split(&rest, '\n', &first) && str_split(&rest, '\n', &second));
	const char *one = between(first, "\"path\":[", ",\"rid\""), *two = between(second, "\"path\":[", ",\"rid\"");
	swap_part(dir, "records-00000.jsonl.zst", replaced(raw, one, two), 2);
	assert_refused(ch, dir, "commitment");
	swap_part(dir, "records-00000.jsonl.zst", replaced(raw, "\"leaf\":", "\"leaf\":1"), 2);
	assert_refused(ch, dir, "commitment");
	swap_part(dir, "records-00000.jsonl.zst", replaced(raw, "one of A", "One of A"), 2);
	assert_refused(ch, dir, "commitment");
	swap_part(dir, "records-00000.jsonl.zst", replaced(raw, text("%s,", one), ""), 2);
	assert_refused(ch, dir, "commitment");
	swap_part(dir, "records-00000.jsonl.zst", replaced(raw, text("\"contributor\":\"%.8s", between(first, "\"contributor\":\"", "\",\"facts\"") + 15), "\"contributor\":\"00000000"), 2);
	assert_refused(ch, dir, "outside");
	char *longer = text("%s", one);
	longer[strlen(longer) - 1] = 0;
	struct buf absurd;
	buf_init(&absurd, 64 * KIB);
	buf_add_z(&absurd, longer);
	for (int i = 0; i < BUNDLE_PATH_MAX; i++)
		buf_add_z(&absurd, ",\"AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=\"");
	buf_add_z(&absurd, "]");
	buf_add_byte(&absurd, 0);
	swap_part(dir, "records-00000.jsonl.zst", replaced(raw, one, absurd.p), 2);
	assert_refused(ch, dir, "malformed");
	buf_release(&absurd);
	swap_part(dir, "records-00000.jsonl.zst", raw, 2);
	assert_int_equal(bundle_given(ch, B, C, (struct bundle_report){ .dir = dir, .seq = 1 }).rows, 2);
}

static void a_record_newer_than_the_head_that_is_shown_and_an_older_head_are_refused(void **state)
{
	struct chain chain, *ch = &chain;
	struct uuid items[2];
	(void)state;
	struct str dir = forged_begin(ch, items), before = read_text(path_in(dir, "bundle.json"));
	const char *old = between(before, "\"checkpoint\":\"", "\",\"home\"");
	bundle_given(ch, B, C, (struct bundle_report){ .dir = dir, .seq = 1 });
	struct uuid third = contribute_at(ch, A, "a third of A");
	bundle(ch, A, B);
	struct bundle_report next = bundle_made(ch, B, C);
	struct str manifest = read_text(path_in(next.dir, "bundle.json"));
	sign_again(next.dir, replaced(manifest, between(manifest, "\"checkpoint\":\"", "\",\"home\""), old));
	assert_refused(ch, next.dir, "commitment");
	sign_again(next.dir, manifest);
	assert_int_equal(bundle_given(ch, B, C, next).rows, 1);
	assert_true(counts(ch, C, third));
	say_at(ch, A, "deny");
	bundle(ch, A, B);
	struct bundle_report last = bundle_made(ch, B, C);
	manifest = read_text(path_in(last.dir, "bundle.json"));
	if (memmem(manifest.p, manifest.n, "\"checkpoint\":\"", 14)) {
		sign_again(last.dir, replaced(manifest, between(manifest, "\"checkpoint\":\"", "\",\"home\""), old));
		assert_refused(ch, last.dir, "rollback");
		sign_again(last.dir, manifest);
	}
	bundle_given(ch, B, C, last);
	assert_false(counts(ch, C, third));
}

static void without_onward_at_either_side_nothing_goes_on(void **state)
{
	static const char *const drafts[2][2] = { { "{}", "{\"onward\":true}" }, { "{\"onward\":true}", "{}" } };
	struct chain chain, *ch = &chain;
	for (int i = 0; i < 2; i++) {
		if (i) {
			fixture_teardown(state);
			fixture_setup(state);
		}
		chain_make_with(ch, drafts[i][0], drafts[i][1]);
		say_at(ch, A, "allow");
		contribute_at(ch, A, "from A");
		assert_int_equal(bundle(ch, A, B).rows, 1);
		struct merge_report r = bundle(ch, B, C);
		assert_int_equal(r.records + r.statements, 0);
		assert_int_equal(fixture_int("SELECT count(*) FROM onward_source"), 0);
	}
}

/* ---- What is taken back on the way ---- */

static void what_its_home_holds_back_is_out_farther_on_until_it_is_back(void **state)
{
	struct chain chain, *ch = &chain;
	(void)state;
	chain_make(ch);
	say_at(ch, A, "allow");
	struct uuid item = contribute_at(ch, A, "from A");
	bundle(ch, A, B);
	bundle(ch, B, C);
	say_at(ch, A, "deny");
	bundle(ch, A, B);
	assert_int_equal(bundle(ch, B, C).out, 1);
	assert_true(holds(ch, C, item));
	assert_false(counts(ch, C, item));
	assert_pair_agrees(ch, B, C);
	say_at(ch, A, "allow");
	bundle(ch, A, B);
	assert_int_equal(bundle(ch, B, C).back, 1);
	assert_true(counts(ch, C, item));
	assert_pair_agrees(ch, B, C);
}

static void when_the_agreement_before_rests_or_ends_it_is_out_farther_on(void **state)
{
	struct chain chain, *ch = &chain;
	struct guest_source source;
	(void)state;
	chain_make(ch);
	struct call *c = ch->w.system;
	say_at(ch, A, "allow");
	struct uuid item = contribute_at(ch, A, "from A");
	bundle(ch, A, B);
	bundle(ch, B, C);
	for (enum guest_source_state s = GUEST_SOURCE_SUSPENDED; s <= GUEST_SOURCE_ENDED; s++) {
		assert_true(counts(ch, C, item));
		contribute_at(ch, B, text("it rests, %d", s)); /* B's log grows, as it does whenever an agreement changes */
		fixture_sql(text("UPDATE agreement_revision SET state = '%s', suspended_here = %s WHERE agreement_id = '%s'", s == GUEST_SOURCE_SUSPENDED ? "suspended" : "ended", s == GUEST_SOURCE_SUSPENDED ? "true" : "false", U(ch->agreement[A][B])));
		assert_ok(c, db_begin_in(c, ch->coop[B], DB_WRITE));
		assert_ok(c, guest_source_get(c, ch->coop[B], ch->agreement[A][B], &source));
		source.state = s;
		assert_ok(c, guest_source_put(c, ch->coop[B], &source));
		assert_ok(c, db_commit(c));
		assert_int_equal(bundle(ch, B, C).out, 1);
		assert_false(counts(ch, C, item));
		assert_pair_agrees(ch, B, C);
		fixture_sql(text("UPDATE agreement_revision SET state = 'in_effect', suspended_here = false WHERE agreement_id = '%s'", U(ch->agreement[A][B])));
		assert_ok(c, db_begin_in(c, ch->coop[B], DB_WRITE));
		source.state = GUEST_SOURCE_IN_EFFECT;
		assert_ok(c, guest_source_put(c, ch->coop[B], &source));
		assert_ok(c, db_commit(c));
		contribute_at(ch, B, text("it goes on, %d", s));
		assert_int_equal(bundle(ch, B, C).back, 1);
	}
}

static void what_its_home_erases_goes_from_the_end_of_the_chain_and_both_say_so(void **state)
{
	struct chain chain, *ch = &chain;
	struct onward_receipt *receipts;
	size_t n;
	(void)state;
	chain_make(ch);
	say_at(ch, A, "allow");
	struct uuid gone = contribute_at(ch, A, "to be erased"), stays = contribute_at(ch, A, "stays");
	bundle(ch, A, B);
	bundle(ch, B, C);
	struct erasure e = erase_at(ch, A, &gone, 1);
	run(all_jobs, 30);
	for (int at = A; at < COOPS; at++) {
		assert_false(holds(ch, at, gone));
		assert_true(holds(ch, at, stays));
		assert_int_equal(tombstones(ch, at, A, gone), 1);
	}
	assert_string_equal(confirmed(ch, A, e.id, B), "deleted");
	assert_string_equal(confirmed(ch, A, e.id, C), "deleted");
	/* A's own tombstone is what C was told, and C's own receipt is what the person reads */
	assert_int_equal(at_c(ch, text("onward_word w WHERE w.feed = '%.*s' AND w.home = w.feed AND w.line IN (SELECT line FROM tombstone WHERE coop_id = '%s')", STR_ARG(ch->name[A]), U(ch->coop[A]))), 1);
	struct call *me = by(&ch->w, 0);
	assert_ok(me, onward_receipts(me, ch->coop[A], e.id, &receipts, &n));
	assert_int_equal(n, 2);
	assert_true(str_eq(receipts[0].by, ch->name[C]) || str_eq(receipts[1].by, ch->name[C]));
	/* with the bundles it does not come back, nor when everything is told again */
	fixture_sql("UPDATE bundle_flow SET whole_next = true");
	bundle(ch, A, B);
	bundle(ch, B, C);
	assert_false(holds(ch, C, gone));
	assert_pair_agrees(ch, A, B);
	assert_pair_agrees(ch, B, C);
}

static void without_messages_the_bundles_alone_carry_it_to_the_end(void **state)
{
	struct chain chain, *ch = &chain;
	(void)state;
	chain_make(ch);
	say_at(ch, A, "allow");
	struct uuid gone = contribute_at(ch, A, "to be erased");
	bundle(ch, A, B);
	struct bundle_report late = bundle_made(ch, B, C); /* on its way while A erases */
	(void)erase_at(ch, A, &gone, 1);
	run(no_messages, 3);
	bundle(ch, A, B);
	run(no_messages, 3);
	bundle_given(ch, B, C, late);
	assert_true(holds(ch, C, gone));
	bundle(ch, B, C);
	run(no_messages, 3);
	assert_false(holds(ch, B, gone) || holds(ch, C, gone));
	assert_int_equal(tombstones(ch, C, A, gone), 1);
}

/* The world's own co-op is A, so here it is the end of the chain: C gives to B, which passes on to A. */
static void a_release_at_the_end_of_the_chain_goes_when_the_beginning_takes_an_item_of_it_back(void **state)
{
	struct chain chain, *ch = &chain;
	(void)state;
	chain_make(ch);
	for (int i = 0; i < 4; i++) {
		world_say(&ch->w, i, "allow");
		world_contribute(&ch->w, i, text("own %d", i));
	}
	say_at(ch, C, "allow");
	struct uuid item = contribute_at(ch, C, "from C");
	bundle(ch, C, B);
	assert_int_equal(bundle(ch, B, A).rows, 1);
	struct release r = world_release(&ch->w);
	clock_set(WORLD_CUTOFF - CLOCK_DAY);
	bundle(ch, C, B); /* heard of again: what was heard long ago lapses */
	bundle(ch, B, A);
	world_until(&ch->w, WORLD_CUTOFF);
	world_publish(&ch->w, r.id);
	r = world_read(&ch->w, r.id);
	assert_int_equal(r.state, RELEASE_PUBLISHED);
	assert_int_equal(world_outcome(&ch->w, r.id, item, NULL), POLICY_INCLUDE);
	struct erasure e = erase_at(ch, C, &item, 1);
	run(all_jobs, 30);
	assert_int_equal(world_read(&ch->w, r.id).state, RELEASE_WITHDRAWN);
	assert_false(holds(ch, A, item));
	assert_int_equal(tombstones(ch, A, C, item), 1);
	for (int i = 0; i < 60 && strcmp(confirmed(ch, C, e.id, A), "deleted"); i++) {
		clock_set(clock_now() + CLOCK_HOUR);
		run(all_jobs, 1);
	}
	assert_string_equal(confirmed(ch, C, e.id, A), "deleted");
	assert_int_equal(fixture_int("SELECT count(*) FROM release WHERE state = 'published'"), 1);
}

/* ---- Several ways ---- */

static void what_comes_from_its_home_and_by_a_partner_is_one_in_either_order(void **state)
{
	struct chain chain, *ch = &chain;
	struct sha256 digests[2];
	for (int direct_first = 0; direct_first < 2; direct_first++) {
		if (direct_first) {
			fixture_teardown(state);
			fixture_setup(state);
		}
		chain_make(ch);
		agree(ch, A, C, "{}");
		say_at(ch, A, "allow");
		struct uuid item = contribute_at(ch, A, "from A");
		bundle(ch, A, B);
		if (direct_first)
			assert_int_equal(bundle(ch, A, C).rows, 1);
		struct merge_report r = bundle(ch, B, C);
		assert_int_equal(r.rows, !direct_first);
		assert_int_equal(r.known, direct_first);
		if (!direct_first)
			assert_int_equal(bundle(ch, A, C).known, 1);
		assert_true(counts(ch, C, item));
		assert_int_equal(at_c(ch, "contribution WHERE true"), 1);
		assert_int_equal(at_c(ch, text("guest g WHERE agreement_id = '%s'", U(ch->agreement[A][C]))), 1); /* what a home says itself goes before what came round about */
		assert_int_equal(at_c(ch, "onward_way WHERE true"), 2);
		assert_pair_agrees(ch, A, C);
		assert_pair_agrees(ch, B, C);
		/* what B takes back is not taken back by A */
		fixture_sql(text("UPDATE agreement_revision SET state = 'ended' WHERE agreement_id = '%s'", U(ch->agreement[A][B])));
		bundle(ch, B, C);
		assert_true(counts(ch, C, item));
		assert_pair_agrees(ch, A, C);
		assert_pair_agrees(ch, B, C);
		struct merge_state s = state_of_pair(ch, C, A);
		digests[direct_first] = s.digest;
		/* and what A takes back is, whatever B says */
		say_at(ch, A, "deny");
		bundle(ch, A, C);
		assert_false(counts(ch, C, item));
	}
	assert_false(sha256_eq(digests[0], (struct sha256){ { 0 } }));
}

/* The home never gave it to C, just because of that no; its own line takes the place of the one that came by B. */
static void a_no_to_what_came_by_a_partner_outlives_what_its_home_brings_itself(void **state)
{
	struct chain chain, *ch = &chain;
	(void)state;
	chain_make(ch);
	say_at(ch, A, "allow");
	struct uuid one = contribute_at(ch, A, "one");
	contribute_at(ch, A, "two");
	bundle(ch, A, B);
	bundle(ch, B, C);
	struct statement *out, no = { .layer = 1, .item = one, .uses = 1u << POLICY_USE_TRAIN_GEN, .effect = STR("deny"), .valid_from = INSTANT_NONE, .valid_to = INSTANT_NONE };
	assert_ok(by(&ch->w, 0), statement_make(by(&ch->w, 0), ch->coop[A], &no, 1, &out));
	bundle(ch, A, B);
	bundle(ch, B, C);
	const char *said = text("guest_statement WHERE effect = 'deny' AND item_id = '%s'", U(one));
	assert_int_equal(at_c(ch, said), 1);
	agree(ch, A, C, NULL);
	bundle(ch, A, C);
	assert_int_equal(at_c(ch, said), 1);
}

static void what_a_home_does_not_give_us_itself_does_not_come_by_the_back_door(void **state)
{
	struct chain chain, *ch = &chain;
	(void)state;
	chain_make(ch);
	say_at(ch, A, "allow");
	struct uuid item = contribute_at(ch, A, "from A");
	bundle(ch, A, B);
	bundle(ch, B, C);
	assert_true(counts(ch, C, item));
	agree(ch, A, C, "{}");
	struct uuid other = contribute_at(ch, A, "for C as well");
	fixture_sql(text("UPDATE contribution SET word = word | 16384 WHERE coop_id = '%s' AND id = '%s'", U(ch->coop[A]), U(item))); /* A holds it back from C alone: B has not heard */
	assert_int_equal(bundle(ch, A, C).rows, 1);
	assert_true(counts(ch, C, other));
	assert_false(counts(ch, C, item));
}

static void limits_are_the_stricter_of_both_agreements(void **state)
{
	struct chain chain, *ch = &chain;
	(void)state;
	chain_make_with(ch, "{\"onward\":true,\"k\":7,\"embargo\":\"P1D\",\"retention\":\"P90D\",\"attribution\":\"anonymous\",\"access\":\"gated_manual\"}", "{\"onward\":true,\"k\":3,\"embargo\":\"P2D\",\"retention\":\"P60D\"}");
	say_at(ch, A, "allow");
	contribute_at(ch, A, "from A");
	bundle(ch, A, B);
	clock_set(clock_now() + 3 * CLOCK_DAY); /* A's embargo is over */
	bundle(ch, A, B);
	assert_int_equal(bundle(ch, B, C).rows, 1);
	assert_int_equal(at_c(ch, text("guest_source WHERE under IS NOT NULL AND k = 7 AND embargo = %lld AND retention = %lld AND attribution = 'anonymous' AND access = 'gated_manual'",
		(long long)(2 * CLOCK_DAY), (long long)(60 * CLOCK_DAY))), 1);
}

static void what_a_home_has_made_stricter_since_is_stricter_farther_on(void **state)
{
	struct chain chain, *ch = &chain;
	(void)state;
	chain_make_with(ch, "{\"onward\":true,\"retention\":\"P90D\"}", "{\"onward\":true}");
	say_at(ch, A, "allow");
	contribute_at(ch, A, "from A");
	bundle(ch, A, B);
	bundle(ch, B, C);
	assert_int_equal(at_c(ch, text("guest_source WHERE under IS NOT NULL AND retention = %lld", (long long)(90 * CLOCK_DAY))), 1);
	/* our own agreement becomes stricter, and with it what comes by way of the partner */
	struct call *c = ch->w.system;
	struct agreement g;
	struct agreement_terms *t = &g.terms;
	struct guest_source s;
	assert_ok(c, db_begin_in(c, ch->coop[C], DB_WRITE));
	assert_ok(c, agreement_get(c, ch->coop[C], ch->agreement[B][C], &g));
	t->retention = 30 * CLOCK_DAY;
	assert_ok(c, guest_source_get(c, ch->coop[C], g.id, &s));
	s.state = GUEST_SOURCE_SUSPENDED;
	assert_ok(c, guest_source_put(c, ch->coop[C], &s));
	assert_ok(c, onward_sources_follow(c, &g));
	assert_ok(c, db_commit(c));
	assert_int_equal(at_c(ch, text("guest_source WHERE under IS NOT NULL AND state = 'suspended' AND retention = %lld", (long long)(30 * CLOCK_DAY))), 1);
	/* and every bundle says again what the home agreed to */
	bundle(ch, B, C);
	assert_int_equal(fixture_int(text("SELECT count(*) FROM bundle_in WHERE coop_id = '%s' AND seq = 2 AND position('\"home\":\"%.*s\",\"keys\"' IN manifest) > 0", U(ch->coop[C]), STR_ARG(ch->name[A]))), 1);
}

static void records_of_ours_that_come_home_are_passed_over_without_harm(void **state)
{
	struct chain chain, *ch = &chain;
	struct uuid items[2];
	(void)state;
	struct str dir = forged_begin(ch, items), manifest = read_text(path_in(dir, "bundle.json"));
	const char *name = between(manifest, "\"home\":\"", "\",\"keys\"");
	/* as if C itself stood where A stands, in everything that B could write; its keys are C's */
	struct call *c = ch->w.system;
	struct keychain keys;
	assert_ok(c, db_begin_in(c, ch->coop[C], DB_READ));
	assert_ok(c, keychain_of(c, ch->coop[C], &keys));
	assert_ok(c, db_commit(c));
	struct str raw = unpacked(read_text(path_in(dir, "records-00000.jsonl.zst"))), said = read_text(path_in(dir, "statements.jsonl"));
	const char *ours = str_z(c->arena, ch->name[C]), *theirs = str_z(c->arena, ch->name[A]);
	while (memmem(raw.p, raw.n, theirs, 16))
		raw = replaced(raw, theirs, ours);
	while (memmem(said.p, said.n, theirs, 16))
		said = replaced(said, theirs, ours);
	manifest = replaced(manifest, name, text("\"home\":\"%s", ours));
	manifest = replaced(manifest, between(manifest, "\"keys\":{\"keys\"", "}],\"prev\""), str_fmt(c->arena, "\"keys\":%.*s", STR_ARG(keys.text)).p);
	put_text(path_in(dir, "bundle.json"), manifest);
	swap_part(dir, "records-00000.jsonl.zst", raw, 2);
	swap_part(dir, "statements.jsonl", said, 1);
	struct merge_report r = bundle_given(ch, B, C, (struct bundle_report){ .dir = dir, .seq = 1 });
	assert_int_equal(r.rows + r.statements + r.records, 0);
	assert_int_equal(at_c(ch, "contribution WHERE true"), 0);
}

/* ---- Two logs ---- */

static void nothing_is_taken_of_a_home_that_an_admin_has_refused(void **state)
{
	struct chain chain, *ch = &chain;
	struct uuid items[2];
	(void)state;
	struct str dir = forged_begin(ch, items);
	agree(ch, A, C, "{}");
	fixture_sql(text("UPDATE peer SET state = 'refused' WHERE coop_id = '%s' AND name = '%.*s'", U(ch->coop[C]), STR_ARG(ch->name[A])));
	assert_refused(ch, dir, "stranger");
	fixture_sql(text("UPDATE peer SET state = 'suspect' WHERE coop_id = '%s' AND name = '%.*s'", U(ch->coop[C]), STR_ARG(ch->name[A])));
	assert_refused(ch, dir, "stranger");
	fixture_sql(text("UPDATE peer SET state = 'confirmed' WHERE coop_id = '%s' AND name = '%.*s'", U(ch->coop[C]), STR_ARG(ch->name[A])));
	assert_int_equal(bundle_given(ch, B, C, (struct bundle_report){ .dir = dir, .seq = 1 }).rows, 2);
}

/* A note by A's own key of a log that never was, as a dishonest A could sign it for somebody else. */
static void another_head(struct chain *ch, struct str dir, const char *table)
{
	struct call *c = ch->w.system;
	struct bundle *b;
	struct sign_key key;
	struct sha256 root = sha256(STR("another log"));
	int64_t size;
	assert_ok(c, bundle_open(c->arena, dir.p, &b, &c->error));
	struct str origin = b->n_homes ? b->homes[0].origin : b->origin, note = b->n_homes ? b->homes[0].checkpoint : b->checkpoint, line;
	for (int i = 0; i < 2; i++)
		assert_true(str_split(&note, '\n', &line));
	assert_true(str_to_i64(line, 1, INT64_MAX, &size));
	assert_ok(c, db_begin_in(c, ch->coop[A], DB_READ));
	assert_ok(c, ledger_key(c, ch->coop[A], &key));
	assert_ok(c, db_commit(c));
	struct str forged = checkpoint_sign(c->arena, origin, (uint64_t)size, root, &key);
	fixture_sql(text("INSERT INTO %s (coop_id, home, %s, size, root, checkpoint, %s) VALUES ('%s', '%.*s', '%.*s', %lld, '\\x%.*s', '%.*s', now())", table,
		strcmp(table, "onward_head") ? "origin" : "via", strcmp(table, "onward_head") ? "checked_at" : "seen_at", U(ch->coop[C]), STR_ARG(ch->name[A]), STR_ARG(origin), (long long)size,
		STR_ARG(sha256_hex(c->arena, root)), STR_ARG(forged)));
}

static void two_heads_that_contradict_each_other_are_kept_and_nothing_more_of_that_home_is_taken(void **state)
{
	struct chain chain, *ch = &chain;
	struct uuid items[2];
	(void)state;
	struct str dir = forged_begin(ch, items);
	say_at(ch, B, "allow");
	another_head(ch, dir, "origin_log");
	struct merge_report r = bundle_given(ch, B, C, (struct bundle_report){ .dir = dir, .seq = 1 });
	assert_int_equal(r.rows + r.statements, 0);
	assert_int_equal(at_c(ch, text("merge_conflict WHERE kind = 'equivocation' AND home = '%.*s' AND proof LIKE '%%first%%second%%'", STR_ARG(ch->name[A]))), 1);
	/* the partner is none the worse for it */
	struct uuid own = contribute_at(ch, B, "B's own");
	contribute_at(ch, A, "one more of A");
	bundle(ch, A, B);
	assert_int_equal(bundle(ch, B, C).rows, 1);
	assert_true(counts(ch, C, own));
	assert_int_equal(at_c(ch, "contribution WHERE true"), 1);
}

static void a_log_that_is_other_than_a_partner_has_shown_it_is_refused_with_its_proof(void **state)
{
	struct chain chain, *ch = &chain;
	struct merge_report r;
	(void)state;
	chain_make(ch);
	agree(ch, A, C, "{}");
	say_at(ch, A, "allow");
	contribute_at(ch, A, "from A");
	struct bundle_report made = bundle_made(ch, A, C);
	another_head(ch, made.dir, "onward_head");
	struct call *c = ch->w.system;
	assert_err(c, ERR_REFUSED, bundle_take(c, ch->coop[C], str_z(c->arena, made.dir), &r));
	assert_string_equal(c->error.reason, "log_rewritten");
	error_clear(&c->error);
	assert_int_equal(at_c(ch, text("merge_conflict WHERE kind = 'equivocation' AND home = '%.*s' AND proof LIKE '%%first%%second%%'", STR_ARG(ch->name[A]))), 1);
	assert_int_equal(at_c(ch, "contribution WHERE true"), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		fixture_test(what_a_home_lets_its_partner_pass_on_arrives_farther_on_with_its_words_and_proof),
		fixture_test(what_a_partner_forges_of_its_homes_is_refused_and_changes_nothing),
		fixture_test(only_an_agreement_of_these_two_that_counts_now_lets_anything_on),
		fixture_test(a_home_whose_keys_fork_off_those_that_are_known_is_refused),
		fixture_test(what_is_looked_at_under_the_agreement_before_is_looked_at_farther_on),
		fixture_test(what_a_partner_forges_of_words_and_records_is_refused_and_changes_nothing),
		fixture_test(a_record_newer_than_the_head_that_is_shown_and_an_older_head_are_refused),
		fixture_test(without_onward_at_either_side_nothing_goes_on),
		fixture_test(what_its_home_holds_back_is_out_farther_on_until_it_is_back),
		fixture_test(when_the_agreement_before_rests_or_ends_it_is_out_farther_on),
		fixture_test(what_its_home_erases_goes_from_the_end_of_the_chain_and_both_say_so),
		fixture_test(without_messages_the_bundles_alone_carry_it_to_the_end),
		fixture_test(a_release_at_the_end_of_the_chain_goes_when_the_beginning_takes_an_item_of_it_back),
		fixture_test(what_comes_from_its_home_and_by_a_partner_is_one_in_either_order),
		fixture_test(a_no_to_what_came_by_a_partner_outlives_what_its_home_brings_itself), fixture_test(what_a_home_does_not_give_us_itself_does_not_come_by_the_back_door),
		fixture_test(limits_are_the_stricter_of_both_agreements),
		fixture_test(what_a_home_has_made_stricter_since_is_stricter_farther_on),
		fixture_test(records_of_ours_that_come_home_are_passed_over_without_harm),
		fixture_test(nothing_is_taken_of_a_home_that_an_admin_has_refused),
		fixture_test(two_heads_that_contradict_each_other_are_kept_and_nothing_more_of_that_home_is_taken),
		fixture_test(a_log_that_is_other_than_a_partner_has_shown_it_is_refused_with_its_proof),
	};
	return fixture_run(tests, CH_LEN(tests));
}
