/* What a hostile partner could put into a bundle and sign itself: each is refused for its reason, leaves every table as it was, and is seen by the admins. */
#include "bundle_world.h"

#include "commonhold/bundle.h"
#include "commonhold/merge.h"
#include "commonhold/message.h"
#include "commonhold/tombstone.h"

#include <stdio.h>
#include <stdlib.h>

static enum err take(struct str dir)
{
	struct call *c = m.w.system;
	struct merge_report r;
	error_clear(&c->error);
	return bundle_take(c, m.other, str_z(c->arena, dir), &r);
}

/* Of every row of every table but those that say what was refused. */
static struct str everything(void)
{
	return str_copy(m.w.system->arena, str_of(fixture_text(
		"SELECT md5(string_agg(t || query_to_xml(format('SELECT md5(string_agg(r::text, '''' ORDER BY r::text)) FROM %I r', t), true, true, '')::text, '' ORDER BY t)) FROM "
		"(SELECT tablename::text AS t FROM pg_tables WHERE schemaname = 'public' AND tablename NOT IN ('refusal', 'notice', 'notice_count', 'job', 'mail')) x")));
}

static bool admins_see(const char *code, int64_t *times)
{
	struct call *admin = by(&m.w, 0);
	struct refusal *list;
	struct str next;
	size_t n;
	bool seen = false;
	assert_ok(admin, merge_refusals(admin, m.other, STR_NONE, 100, &list, &n, &next));
	*times = 0;
	for (size_t i = 0; i < n; i++) {
		seen |= str_is(list[i].code, code);
		*times += list[i].times;
	}
	return seen;
}

static void refused(struct str dir, const char *what, const char *code)
{
	struct call *c = m.w.system;
	int64_t before, after;
	(void)admins_see(code, &before);
	struct str there = everything();
	enum err e = take(dir);
	if (e != ERR_REFUSED || strcmp(c->error.reason, code) != 0)
		fail_msg("%s: %s expected, but %d %s: %s", what, code, e, c->error.reason, c->error.message);
	error_clear(&c->error);
	if (!str_eq(everything(), there))
		fail_msg("%s: something is no longer as it was", what);
	if (!admins_see(code, &after) || after != before + 1)
		fail_msg("%s: the admins do not see it", what);
	assert_true(fixture_int("SELECT count(*) FROM notice WHERE kind = 'merge.refused'") > 0);
}

static struct str manifest_of(struct str dir)
{
	return read_text(path_in(dir, "bundle.json"));
}

/* A line of a home's statements that says something else, signed by the home itself. */
static struct str said_again(struct str line, const char *what, const char *with, const struct sign_key *key)
{
	struct call *c = m.w.system;
	uint8_t signature[64];
	const char *sig = memmem(line.p, line.n, ",\"sig\":\"", 8), *end = sig ? memchr(sig + 8, '"', line.n - (size_t)(sig + 8 - line.p)) : NULL;
	assert_non_null(end);
	struct str head = str_make(line.p, (size_t)(sig - line.p)), tail = str_make(end + 1, line.n - (size_t)(end + 1 - line.p));
	if (what && memmem(head.p, head.n, what, strlen(what)))
		head = replaced(head, what, with);
	else if (what)
		tail = replaced(tail, what, with);
	sign_bytes(key, str_cat(c->arena, STR(BUNDLE_SAID_PREFIX), head, tail), signature);
	return str_cat(c->arena, head, STR(",\"sig\":\""), str_base64(c->arena, signature, 64), STR("\""), tail);
}

static struct str first_line(struct str text, struct str *rest)
{
	struct str line;
	*rest = text;
	assert_true(str_split(rest, '\n', &line));
	return line;
}

/* The first statement again, with one thing in it changed. */
static void say(struct str dir, const char *what, const char *with)
{
	struct call *c = m.w.system;
	struct sign_key key;
	struct str rest, text = read_text(path_in(dir, "statements.jsonl")), line = first_line(text, &rest);
	int64_t lines = 1;
	for (size_t i = 0; i < rest.n; i++)
		lines += rest.p[i] == '\n';
	sender_key(&key);
	swap_part(dir, "statements.jsonl", str_cat(c->arena, said_again(line, what, with, &key), STR("\n"), rest), lines);
}

/* A part that the bundle does not have; `before`: the name of the part that follows it. */
static void add_part(struct str dir, const char *name, const char *before)
{
	struct call *c = m.w.system;
	struct str manifest = manifest_of(dir);
	const char *at = memmem(manifest.p, manifest.n, str_fmt(c->arena, "\"path\":\"%s\"", before).p, strlen(before) + 9);
	assert_non_null(at);
	while (*at != '{')
		at--;
	struct str head = str_make(manifest.p, (size_t)(at - manifest.p)), tail = str_make(at, manifest.n - head.n);
	put_text(path_in(dir, "bundle.json"), str_cat(c->arena, head, str_fmt(c->arena, "{\"lines\":0,\"path\":\"%s\",\"size\":0},", name), tail));
}

static void new_checkpoint(struct str dir, struct str origin, uint64_t size, struct sha256 root, const struct sign_key *key)
{
	swap_part(dir, "checkpoint", checkpoint_sign(m.w.system->arena, origin, size, root, key), 4);
}

static struct bundle *opened(struct str dir)
{
	struct call *c = m.w.system;
	struct bundle *b;
	assert_ok(c, bundle_open(c->arena, str_z(c->arena, dir), &b, &c->error));
	return b;
}

/* ---- Whole bundles, each wrong in one thing ---- */

static void what_says_the_wrong_thing_is_refused_whole_and_seen(void **state)
{
	(void)state;
	make();
	struct call *c = m.w.system;
	struct sign_key key, stranger;
	world_contribute(&m.w, 0, "first");
	world_contribute(&m.w, 1, "second");
	struct str dir = written(false).dir, manifest = manifest_of(dir), said = read_text(path_in(dir, "statements.jsonl")), note = read_text(path_in(dir, "checkpoint"));
	struct bundle *b = opened(dir);
	sender_key(&key);
	sign_key_new(&stranger);
	/* signatures */
	put_text(path_in(dir, "bundle.dsse.json"), dsse_sign(c->arena, &stranger, 1, STR(BUNDLE_TYPE), manifest));
	refused(dir, "a bundle that a stranger signs", "signature");
	new_checkpoint(dir, b->origin, (uint64_t)b->head_size, b->head_root, &stranger);
	refused(dir, "a checkpoint that a stranger signs", "signature");
	/* the log */
	new_checkpoint(dir, b->origin, (uint64_t)b->head_size + 1, b->head_root, &key);
	refused(dir, "a checkpoint of another size", "log_rewritten");
	new_checkpoint(dir, b->origin, (uint64_t)b->head_size, sha256(STR("x")), &key);
	refused(dir, "a checkpoint of another root", "log_rewritten");
	swap_part(dir, "checkpoint", note, 4);
	struct str proof = read_text(path_in(dir, "consistency.proof"));
	swap_part(dir, "consistency.proof", str_cat(c->arena, proof, str_base64(c->arena, b->head_root.b, 32), STR("\n")), 1);
	refused(dir, "a proof that proves nothing", "log_rewritten");
	swap_part(dir, "consistency.proof", proof, 0);
	sign_again(dir, replaced(manifest, "\"base\":{\"root\":\"e3", "\"base\":{\"root\":\"e4"));
	refused(dir, "a whole bundle that begins elsewhere", "log_rewritten");
	/* what it counts, and when it says that it was made */
	sign_again(dir, replaced(manifest, "\"statements\":2", "\"statements\":3"));
	refused(dir, "another number of statements", "malformed");
	const char *at = memmem(manifest.p, manifest.n, "\"created\":\"", 11);
	char made[] = "\"created\":\"2031";
	assert_non_null(at);
	memcpy(made, at, sizeof(made) - 1);
	sign_again(dir, replaced(manifest, made, "\"created\":\"2999"));
	refused(dir, "a bundle of the future", "malformed");
	/* what people are said to say */
	sign_again(dir, manifest);
	swap_part(dir, "statements.jsonl", replaced(said, "\"standing\":\"active\"", "\"standing\":\"grace\""), 2);
	refused(dir, "words that nobody signed", "signature");
	swap_part(dir, "statements.jsonl", said, 2);
	at = memmem(said.p, said.n, "\"rev\":", 6);
	char rev[24] = { 0 };
	snprintf(rev, sizeof(rev), "%.*s", (int)((const char *)memchr(at, ',', 24) - at), at);
	say(dir, rev, "\"rev\":999999");
	refused(dir, "words of a log that is longer than the one shown", "malformed");
	swap_part(dir, "statements.jsonl", said, 2);
	say(dir, "\"effect\":\"allow\"", "\"effect\":\"enforce\"");
	refused(dir, "words that are none", "malformed");
	swap_part(dir, "statements.jsonl", said, 2);
	say(dir, "\"effect\":\"allow\"", "\"effect\":\"deny\"");
	say(dir, "\"spoken_for\":[]", "\"spoken_for\":[{\"duties\":[],\"effect\":\"allow\",\"kind\":null,\"purpose\":\"research\",\"use\":\"train.gen\"}]");
	refused(dir, "a yes in the place of somebody who says no", "looser");
	swap_part(dir, "statements.jsonl", said, 2);
	say(dir, "\"spoken_for\":[]", "\"spoken_for\":[{\"duties\":[],\"effect\":\"allow\",\"kind\":null,\"purpose\":\"research\",\"use\":\"search\"}]");
	refused(dir, "a yes to a use that the agreement does not have", "looser");
	swap_part(dir, "statements.jsonl", said, 2);
	say(dir, "\"rev\":", "\"rev\": ");
	refused(dir, "words that are written another way than they are signed", "malformed");
	swap_part(dir, "statements.jsonl", said, 2);
	sign_again(dir, replaced(manifest, "\"v\":1}", "\"v\":1 }"));
	refused(dir, "a manifest that is written another way", "malformed");
	sign_again(dir, manifest);
	/* records */
	struct str packed = read_text(path_in(dir, "records-00000.jsonl.zst")), raw = unpacked(packed);
	swap_part(dir, "records-00000.jsonl.zst", replaced(raw, "\"licence\":\"CC-BY-4.0\"", "\"licence\":\"LicenseRef-none\""), 2);
	refused(dir, "a licence that the agreement does not let through", "outside");
	swap_part(dir, "records-00000.jsonl.zst", replaced(raw, str_fmt(c->arena, "dc:%.*s:", STR_ARG(m.name)).p, "dc:aaaaaaaaaaaaaaaa:"), 2);
	refused(dir, "a record under another co-op's name", "malformed");
	swap_part(dir, "records-00000.jsonl.zst", replaced(raw, "first", "worst"), 2);
	refused(dir, "a record that the log does not commit to", "commitment");
	/* where its files lead */
	sign_again(dir, replaced(manifest_of(dir), "\"path\":\"checkpoint\"", "\"path\":\"../checkpoint\""));
	refused(dir, "a path that climbs out", "malformed");
	put_text(path_in(dir, "records-00000.jsonl.zst"), packed);
	sign_again(dir, manifest);
	put_text(path_in(dir, "more.txt"), STR("x"));
	refused(dir, "a file that is not listed", "files");
	unlink(path_in(dir, "more.txt"));
	put_text(path_in(dir, "UPPER"), STR("x"));
	refused(dir, "a name that is not taken", "files");
	unlink(path_in(dir, "UPPER"));
	char *blank = arena_alloc(c->arena, 8 * MIB);
	memset(blank, ' ', 8 * MIB);
	blank[8 * MIB - 1] = '\n';
	swap_part(dir, "records-00000.jsonl.zst", str_make(blank, 8 * MIB), 1);
	refused(dir, "absurd compression", "absurd_compression");
	put_text(path_in(dir, "records-00000.jsonl.zst"), packed);
	sign_again(dir, replaced(manifest, str_z(c->arena, sha256_hex(c->arena, m.digest)), sha256_hex(c->arena, sha256(STR("another"))).p));
	refused(dir, "an agreement that nobody made", "unknown_agreement");
	sign_again(dir, manifest);
	assert_ok(c, take(dir));
}

/* Who says yes later has records older than the slice of the log that comes: each is proved by its own path. */
static void an_older_record_is_the_one_that_its_path_leads_to(void **state)
{
	(void)state;
	make();
	struct call *c = m.w.system;
	world_contribute(&m.w, 0, "first");
	world_contribute(&m.w, 4, "waits for a yes");
	world_contribute(&m.w, 4, "waits as well");
	assert_ok(c, take(written(false).dir));
	world_say(&m.w, 4, "allow");
	struct str dir = written(false).dir, manifest = manifest_of(dir), packed = read_text(path_in(dir, "records-00000.jsonl.zst")), raw = unpacked(packed), rest, second;
	struct str first = first_line(raw, &rest);
	const char *path = memmem(first.p, first.n, ",\"path\":[", 9), *end = path ? memmem(path, first.n - (size_t)(path - first.p), "]", 1) : NULL;
	assert_non_null(end);
	second = first_line(rest, &rest);
	const char *other = memmem(second.p, second.n, ",\"path\":[", 9), *other_end = other ? memmem(other, second.n - (size_t)(other - second.p), "]", 1) : NULL;
	assert_non_null(other_end);
	struct str one = str_copy(c->arena, str_make(path, (size_t)(end + 1 - path))), two = str_copy(c->arena, str_make(other, (size_t)(other_end + 1 - other)));
	swap_part(dir, "records-00000.jsonl.zst", replaced(raw, "waits", "Waits"), 2);
	refused(dir, "another content with a path", "commitment");
	swap_part(dir, "records-00000.jsonl.zst", replaced(raw, "\"leaf\":", "\"leaf\":1"), 2);
	refused(dir, "a path from another leaf", "commitment");
	swap_part(dir, "records-00000.jsonl.zst", replaced(raw, str_z(c->arena, one), str_z(c->arena, two)), 2);
	refused(dir, "the path of another record", "commitment");
	swap_part(dir, "records-00000.jsonl.zst", replaced(raw, str_z(c->arena, one), ""), 2);
	refused(dir, "no path", "commitment");
	put_text(path_in(dir, "records-00000.jsonl.zst"), packed);
	sign_again(dir, manifest);
	assert_ok(c, take(dir));
}

/* An agreement counts between the two that made it, and only from whom it lets send. */
static void an_agreement_of_others_or_the_other_way_lets_nothing_in(void **state)
{
	(void)state;
	make();
	struct call *c = m.w.system;
	struct sha256 digest;
	world_contribute(&m.w, 0, "first");
	struct str dir = written(false).dir, manifest = manifest_of(dir), hex = sha256_hex(c->arena, m.digest);
	merge_world_agree(c, by(&m.w, 0), m.w.coop, m.other, "{\"flow\":\"receive\"}", &digest);
	sign_again(dir, replaced(manifest, str_z(c->arena, hex), sha256_hex(c->arena, digest).p));
	refused(dir, "an agreement by which the sender only receives", "unknown_agreement");
	struct uuid third = merge_world_coop(&m.w, "third");
	merge_world_agree(c, by(&m.w, 0), third, m.other, "{}", &digest);
	sign_again(dir, replaced(manifest, str_z(c->arena, hex), sha256_hex(c->arena, digest).p));
	refused(dir, "an agreement with somebody else", "unknown_agreement");
	sign_again(dir, manifest);
	assert_ok(c, take(dir));
}

/* Labels are signed by the bundle alone: nobody gives those of a third co-op. */
static void labels_of_another_co_op_are_refused(void **state)
{
	(void)state;
	make();
	struct call *c = m.w.system;
	struct uuid id = world_contribute(&m.w, 0, "first");
	struct str dir = written(false).dir, rid = rid_format(c->arena, m.name, id);
	for (int own = 0; own < 2; own++) {
		struct str by_home = own ? m.name : STR("aaaaaaaaaaaaaaaa");
		struct str line = str_fmt(c->arena, "{\"at\":\"2026-01-01T09:00:00Z\",\"by\":\"%032x\",\"by_home\":\"%.*s\",\"home\":\"%.*s\",\"label\":\"good\",\"rid\":\"%.*s\"}\n", 1, STR_ARG(by_home),
			STR_ARG(m.name), STR_ARG(rid));
		if (!own) {
			add_part(dir, "labels.jsonl.zst", "records-00000.jsonl.zst");
			put_text(path_in(dir, "bundle.json"), replaced(manifest_of(dir), "\"labels\":0", "\"labels\":1"));
		}
		swap_part(dir, "labels.jsonl.zst", line, 1);
		if (!own)
			refused(dir, "a label of another co-op", "outside");
		else
			assert_ok(c, take(dir));
	}
	assert_int_equal(fixture_int("SELECT count(*) FROM merge_label"), 1);
}

/* ---- Rollback ---- */

static void an_older_log_under_a_newer_number_is_refused(void **state)
{
	(void)state;
	make();
	struct call *c = m.w.system;
	world_contribute(&m.w, 0, "first");
	struct str one = written(false).dir, manifest = manifest_of(one);
	world_contribute(&m.w, 0, "second");
	struct str two = written(true).dir;
	world_contribute(&m.w, 0, "third");
	struct str three = written(true).dir;
	assert_ok(c, take(one));
	assert_ok(c, take(three));
	refused(two, "a number that was passed over", "rollback");
	sign_again(one, replaced(manifest, "\"seq\":1", "\"seq\":4"));
	refused(one, "a shorter log than before", "log_rewritten");
}

static void a_log_that_goes_on_as_another_is_refused(void **state)
{
	(void)state;
	make();
	struct call *c = m.w.system;
	struct sign_key key;
	world_contribute(&m.w, 0, "first");
	assert_ok(c, take(written(false).dir));
	world_contribute(&m.w, 0, "second");
	struct str dir = written(false).dir, note = read_text(path_in(dir, "checkpoint")), proof = read_text(path_in(dir, "consistency.proof"));
	struct bundle *b = opened(dir);
	sender_key(&key);
	new_checkpoint(dir, str_cat(c->arena, STR("evil."), b->origin), (uint64_t)b->head_size, b->head_root, &key);
	refused(dir, "a log of another name", "log_rewritten");
	swap_part(dir, "checkpoint", note, 4);
	swap_part(dir, "consistency.proof", STR(""), 0);
	refused(dir, "no proof that it goes on", "log_rewritten");
	swap_part(dir, "consistency.proof", proof, 1);
	put_text(path_in(dir, "consistency.proof"), str_cat(c->arena, STR("B"), str_sub(proof, 1, proof.n)));
	refused(dir, "a proof that is not the one listed", "files");
	put_text(path_in(dir, "consistency.proof"), proof);
	assert_ok(c, take(dir));
}

/* ---- Keys ---- */

/* Whoever has stolen a key that was handed over can sign everything of a bundle with it, and leave the hand-over out. */
static void a_stolen_old_key_signs_no_bundle_even_if_it_signs_all_of_it(void **state)
{
	(void)state;
	struct sign_key old;
	struct keychain chain;
	make();
	struct call *c = m.w.system;
	world_contribute(&m.w, 0, "first");
	sender_key(&old);
	struct str keys = read_text(path_in(written(false).dir, "keys.json"));
	assert_ok(c, keychain_rotate(c, m.w.coop, &chain));
	world_contribute(&m.w, 0, "second");
	struct str dir = written(true).dir, rest, text = read_text(path_in(dir, "statements.jsonl")), all = STR("");
	struct bundle *b = opened(dir);
	int64_t lines = 0;
	for (rest = text; rest.n; lines++) {
		struct str line = first_line(rest, &rest);
		all = str_cat(c->arena, all, said_again(line, NULL, NULL, &old), STR("\n"));
	}
	swap_part(dir, "keys.json", keys, 1);
	swap_part(dir, "statements.jsonl", all, lines);
	new_checkpoint(dir, b->origin, (uint64_t)b->head_size, b->head_root, &old);
	put_text(path_in(dir, "bundle.dsse.json"), dsse_sign(c->arena, &old, 1, STR(BUNDLE_TYPE), manifest_of(dir)));
	refused(dir, "all of it signed by a key that was handed over", "signature");
}

static void a_handed_over_key_puts_no_later_words_into_anybodys_mouth(void **state)
{
	(void)state;
	struct sign_key old;
	struct keychain chain;
	make();
	struct call *c = m.w.system;
	sender_key(&old);
	assert_ok(c, keychain_rotate(c, m.w.coop, &chain));
	world_contribute(&m.w, 0, "first");
	struct str dir = written(false).dir, said = read_text(path_in(dir, "statements.jsonl")), rest, line = first_line(said, &rest);
	swap_part(dir, "statements.jsonl", str_cat(c->arena, said_again(line, NULL, NULL, &old), STR("\n"), rest), 1);
	refused(dir, "words by a key that was handed over before", "signature");
	swap_part(dir, "statements.jsonl", said, 1);
	assert_ok(c, take(dir));
}

/* A chain that goes another way from the same first key has the same name. */
static void a_chain_that_forks_off_the_pinned_one_is_refused(void **state)
{
	(void)state;
	struct sign_key first, other;
	struct keychain single, forked, chain;
	make();
	struct call *c = m.w.system;
	world_contribute(&m.w, 0, "first");
	sender_key(&first);
	sign_key_new(&other);
	assert_ok(c, keychain_rotate(c, m.w.coop, &chain));
	single = keychain_single(c->arena, first.public_key);
	assert_ok(c, keychain_extend(c->arena, &single, &first, &other, chain.keys[1].from, chain.keys[1].size, &forked, &c->error));
	world_contribute(&m.w, 0, "second");
	struct str dir = written(true).dir;
	swap_part(dir, "keys.json", forked.text, 1);
	put_text(path_in(dir, "bundle.dsse.json"), dsse_sign(c->arena, &other, 1, STR(BUNDLE_TYPE), manifest_of(dir)));
	refused(dir, "a chain that forks off the pinned one", "keys");
}

/* ---- Tombstones ---- */

/* A line of the sender's list about a record of its own, as it would stand at this place. */
static struct str tombstone_of(struct tombstone_chain *chain, const struct sign_key *key, instant t)
{
	struct call *c = m.w.system;
	uint8_t signature[64];
	struct str at = clock_format(c->arena, t), by = clock_format(c->arena, t + 7 * CLOCK_DAY);
	struct str head = str_fmt(c->arena, "{\"effective\":\"%.*s\",\"idx\":%lld,\"kind\":\"erase\",\"prev\":\"%.*s\",\"purge_by\":\"%.*s\",\"reason_code\":\"consent_withdrawn\","
		"\"releases\":[],\"rid\":[\"%.*s\"]", STR_ARG(at), (long long)chain->upto + 1, STR_ARG(sha256_hex(c->arena, chain->digest)), STR_ARG(by), STR_ARG(rid_format(c->arena, m.name, uuid_new())));
	struct str tail = str_fmt(c->arena, ",\"t\":\"%.*s\"}", STR_ARG(at));
	sign_bytes(key, str_cat(c->arena, STR("commonhold/tombstone/1\n"), head, tail), signature);
	struct str line = str_cat(c->arena, head, STR(",\"sig\":\""), str_base64(c->arena, signature, 64), STR("\""), tail);
	chain->digest = sha256(line);
	chain->upto++;
	return str_cat(c->arena, line, STR("\n"));
}

static struct str tombstone(struct tombstone_chain *chain, const struct sign_key *key)
{
	return tombstone_of(chain, key, WORLD_START);
}

static void put_tombstones(struct str dir, struct str text, int64_t lines, int64_t from)
{
	struct call *c = m.w.system;
	struct str manifest = manifest_of(dir);
	if (!memmem(manifest.p, manifest.n, "tombstones.jsonl", 16)) {
		const char *end = memmem(manifest.p, manifest.n, "}],\"from\"", 9);
		assert_non_null(end);
		struct str head = str_make(manifest.p, (size_t)(end + 1 - manifest.p));
		put_text(path_in(dir, "bundle.json"), str_cat(c->arena, head, STR(",{\"lines\":0,\"path\":\"tombstones.jsonl\",\"size\":0}"), str_make(end + 1, manifest.n - head.n)));
		put_text(path_in(dir, "bundle.json"), replaced(manifest_of(dir), "\"tombstones\":0}", str_fmt(c->arena, "\"tombstones\":%lld}", (long long)lines).p));
	}
	manifest = manifest_of(dir);
	const char *places = memmem(manifest.p, manifest.n, "\"tombstones\":{", 14), *end = memchr(places, '}', 100);
	struct str old = str_copy(c->arena, str_make(places, (size_t)(end - places)));
	put_text(path_in(dir, "bundle.json"), replaced(manifest, str_z(c->arena, old), str_fmt(c->arena, "\"tombstones\":{\"from\":%lld,\"upto\":%lld", (long long)from, (long long)(from + lines - 1)).p));
	swap_part(dir, "tombstones.jsonl", text, lines);
}

static void a_list_of_tombstones_that_is_not_the_senders_or_leaves_something_out_is_refused(void **state)
{
	(void)state;
	make();
	struct call *c = m.w.system;
	struct sign_key key, stranger;
	sender_key(&key);
	sign_key_new(&stranger);
	world_contribute(&m.w, 0, "first");
	struct str dir = written(false).dir, first = manifest_of(dir);
	struct tombstone_chain start = tombstone_chain_start(opened(dir)->origin), chain = start, other = start;
	put_tombstones(dir, tombstone(&other, &stranger), 1, 0);
	refused(dir, "a tombstone that a stranger signs", "tombstones");
	struct str one = tombstone(&chain, &key), two = tombstone(&chain, &key);
	put_tombstones(dir, one, 1, 0);
	struct str right = manifest_of(dir);
	sign_again(dir, replaced(right, "\"tombstones\":{\"from\":0,\"upto\":0", "\"tombstones\":{\"from\":0,\"upto\":1"));
	refused(dir, "fewer tombstones than it says", "tombstones");
	sign_again(dir, right);
	assert_ok(c, take(dir));
	world_contribute(&m.w, 0, "second");
	dir = written(false).dir; /* it goes on from the bundle as it was written, not as it was forged */
	put_text(path_in(dir, "bundle.json"), replaced(manifest_of(dir), str_z(c->arena, sha256_hex(c->arena, sha256(first))), sha256_hex(c->arena, sha256(right)).p));
	put_tombstones(dir, one, 1, 0);
	refused(dir, "tombstones that begin below those that were seen", "tombstones");
	struct tombstone_chain ahead = { .upto = 1, .digest = sha256(two) };
	put_tombstones(dir, tombstone(&ahead, &key), 1, 2);
	refused(dir, "tombstones with one left out", "tombstones");
	/* and a whole list that has another one where one was seen */
	dir = written(true).dir;
	chain = start;
	struct str changed = tombstone(&chain, &key);
	put_tombstones(dir, str_cat(c->arena, changed, tombstone(&chain, &key)), 2, 0);
	int64_t times;
	assert_err(c, ERR_REFUSED, take(dir));
	assert_string_equal(c->error.reason, "tombstones");
	error_clear(&c->error);
	assert_true(admins_see("tombstones", &times));
	assert_int_equal(fixture_int("SELECT count(*) FROM merge_conflict WHERE kind = 'equivocation' AND proof IS NOT NULL"), 1);
	assert_int_equal(fixture_int("SELECT count(*) FROM onward_word"), 1);
}

/* Whoever has stolen a key that was handed over takes nothing back with it; what it signed in its time stands. */
static void a_key_that_was_handed_over_takes_nothing_back(void **state)
{
	(void)state;
	make();
	struct call *c = m.w.system;
	struct sign_key old;
	struct keychain keys;
	sender_key(&old);
	world_contribute(&m.w, 0, "first");
	clock_set(WORLD_START + 2 * CLOCK_HOUR);
	assert_ok(c, keychain_rotate(c, m.w.coop, &keys));
	clock_set(WORLD_START + CLOCK_DAY);
	struct str dir = written(false).dir;
	struct tombstone_chain late = tombstone_chain_start(opened(dir)->origin), early = late;
	put_tombstones(dir, tombstone_of(&late, &old, WORLD_START + 20 * CLOCK_HOUR), 1, 0);
	refused(dir, "a tombstone by a key that was handed over before", "tombstones");
	put_tombstones(dir, tombstone_of(&early, &old, WORLD_START), 1, 0);
	assert_ok(c, take(dir));
	assert_int_equal(fixture_int("SELECT count(*) FROM onward_word"), 1);
	assert_int_equal(fixture_int("SELECT count(*) FROM job WHERE kind = 'onward.derived'"), 1); /* what was copied from it may be here, though it is not */
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		fixture_test(what_says_the_wrong_thing_is_refused_whole_and_seen),
		fixture_test(an_older_record_is_the_one_that_its_path_leads_to),
		fixture_test(an_agreement_of_others_or_the_other_way_lets_nothing_in),
		fixture_test(labels_of_another_co_op_are_refused),
		fixture_test(an_older_log_under_a_newer_number_is_refused),
		fixture_test(a_log_that_goes_on_as_another_is_refused),
		fixture_test(a_stolen_old_key_signs_no_bundle_even_if_it_signs_all_of_it),
		fixture_test(a_handed_over_key_puts_no_later_words_into_anybodys_mouth),
		fixture_test(a_chain_that_forks_off_the_pinned_one_is_refused),
		fixture_test(a_key_that_was_handed_over_takes_nothing_back),
		fixture_test(a_list_of_tombstones_that_is_not_the_senders_or_leaves_something_out_is_refused),
	};
	return fixture_run(tests, CH_LEN(tests));
}
