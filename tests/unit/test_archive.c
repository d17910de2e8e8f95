/* The archive of what is held about a person: all of it, nobody else's, signed; and into another instance with nothing loosened. */
#include "world.h"

#include "server/erasure/holdings/archive_internal.h"

#include "commonhold/access.h"
#include "commonhold/account.h"
#include "commonhold/config.h"
#include "commonhold/erasure.h"
#include "commonhold/keyring.h"
#include "commonhold/sign_in.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

static enum err to_file(void *arg, const void *p, size_t n, struct error *e)
{
	int fd = *(int *)arg;
	return write(fd, p, n) == (ssize_t)n ? ERR_OK : error_set(e, ERR_IO, "write");
}

/* A member's archive as a file of the fixture's directory. */
static int take(struct world *w, int member, struct uuid coop, const char *name, struct archive_made *made)
{
	struct call *c = by(w, member);
	struct str path = str_fmt(c->arena, "%s/%s", fixture_dir(), name);
	int fd = open(path.p, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	assert_true(fd >= 0);
	struct archive_sink sink = { to_file, &fd };
	assert_ok(c, archive_write(c, coop, &sink, made));
	struct stat st;
	assert_int_equal(fstat(fd, &st), 0);
	assert_int_equal(st.st_size, made->bytes);
	return fd;
}

/* A file of an archive; absent where there is none. */
static struct str file_of(struct call *c, int fd, const char *name)
{
	struct tar_file f;
	struct stat st;
	struct str out = STR_NONE;
	bool found = true;
	assert_int_equal(fstat(fd, &st), 0);
	for (int64_t at = 0; found;) {
		assert_ok(c, tar_next(fd, st.st_size, &at, &f, &found, &c->error));
		size_t n = strlen(f.name), m = strlen(name);
		if (found && n >= m && strcmp(f.name + n - m, name) == 0)
			assert_ok(c, archive_bytes(c, fd, &f, 64 * MIB, &out));
	}
	return out;
}

static bool has(struct str text, const char *z)
{
	return text.p && memmem(text.p, text.n, z, strlen(z)) != NULL;
}

/* The whole file as it is. */
static struct str whole(struct call *c, int fd)
{
	struct stat st;
	assert_int_equal(fstat(fd, &st), 0);
	char *to = arena_alloc(c->arena, (size_t)st.st_size);
	assert_int_equal(pread(fd, to, (size_t)st.st_size, 0), st.st_size);
	return str_make(to, (size_t)st.st_size);
}

static void everything_of_mine_and_nothing_of_others(void **state)
{
	(void)state;
	struct world w;
	struct archive_made made;
	struct archive_info info;
	struct access_grant grant;
	struct access_request request;
	struct access_offer offer;
	struct str secret;
	world_make(&w, NULL);
	world_say(&w, 3, "allow");
	world_say(&w, 4, "allow");
	world_contribute(&w, 3, "Where do my rivers begin?");
	world_contribute(&w, 4, "What others said.");
	struct release r = world_published(&w);
	fixture_sql("INSERT INTO release_share (coop_id, member_no, release_id, items) SELECT coop_id, 3, id, 1 FROM release WHERE state = 'published' ON CONFLICT DO NOTHING");
	/* Somebody asks for the release and downloads it. */
	r = world_read(&w, r.id);
	struct call *c = by(&w, 6);
	assert_ok(c, access_offer_read(c, w.coop, &r, &offer));
	assert_ok(c, access_ask(c, w.coop, r.id, STR("research"), STR("Studying rivers"), STR("Institute of Rivers"), offer.terms_sha256, &request, &grant));
	assert_ok(by(&w, 0), access_decide(by(&w, 0), w.coop, request.id, true, STR_NONE, &request, &grant));
	fixture_sql("INSERT INTO access_use (coop_id, release_id, account_id, grant_id, first_at, last_at) SELECT coop_id, (SELECT id FROM release WHERE state = 'published'), account_id, id, granted_at, granted_at FROM access_grant ON CONFLICT DO NOTHING");
	c = by(&w, 3);
	assert_ok(c, session_start_for(c, c->actor.account, STR("My browser"), &secret));

	int fd = take(&w, 3, (struct uuid){ { 0 } }, "mine.tar", &made);
	assert_int_equal(made.contributions, 1);
	struct str all = whole(c, fd);
	assert_true(has(all, "Where do my rivers begin?"));
	assert_false(has(all, "What others said."));
	assert_false(has(all, "member4@example.org"));
	assert_true(has(file_of(c, fd, "account.jsonl"), "member3@example.org"));
	assert_true(has(file_of(c, fd, "sign-in.jsonl"), "My browser"));
	assert_false(has(all, secret.p + 3)); /* no secrets */
	assert_true(has(file_of(c, fd, "consents.jsonl"), "research"));
	assert_true(has(file_of(c, fd, "statements.jsonl"), "train.gen"));
	assert_true(has(file_of(c, fd, "recipients.jsonl"), "Institute of Rivers"));
	assert_true(has(file_of(c, fd, "recipients.jsonl"), "Member 6"));
	assert_true(has(file_of(c, fd, "items-00001.jsonl"), "\"status\":\"approved\""));
	assert_true(has(file_of(c, fd, "membership.jsonl"), "\"to_state\":\"active\""));
	assert_ok(c, archive_check(c, fd, NULL, &info));
	assert_int_equal(info.n_coops, 1);
	assert_int_equal(info.coops[0].contributions, 1);
	assert_memory_equal(info.key, instance_sign_key(instance_keys())->public_key, 32);
	close(fd);
	/* Other people's programs read it as well. */
	struct str tar = str_fmt(c->arena, "tar -tf %s/mine.tar >/dev/null", fixture_dir());
	assert_int_equal(system(tar.p), 0);
	/* An admin's votes, and what became of them. */
	fd = take(&w, 1, w.coop, "voter.tar", &made);
	assert_true(has(file_of(c, fd, "votes.jsonl"), "\"what\":\"vote\""));
	assert_true(has(file_of(c, fd, "votes.jsonl"), "\"what\":\"roll\""));
	assert_true(has(file_of(c, fd, "votes.jsonl"), "\"what\":\"resolution\""));
	close(fd);
	/* The other one's recipient is told about as a recipient's own. */
	fd = take(&w, 6, w.coop, "theirs.tar", &made);
	assert_true(has(file_of(c, fd, "access.jsonl"), "Studying rivers"));
	assert_false(file_of(c, fd, "account.jsonl").p);
	close(fd);
}

static bool reads(const struct archive_rows *rows, const struct holding *h)
{
	for (; rows->file; rows++)
		for (const char *at = rows->sql; strcmp(rows->file, h->exported) == 0 && (at = strstr(at, h->table)) != NULL; at++) {
			char after = at[strlen(h->table)];
			if ((strncmp(at - 5, "FROM ", 5) == 0 || strncmp(at - 5, "JOIN ", 5) == 0) && (after == ' ' || after == ')'))
				return true;
		}
	return false;
}

/* What the table of holdings says is in a file is read into that file. */
static void what_the_table_says_is_handed_over_is(void **state)
{
	(void)state;
	struct holding h;
	int missing = 0;
	for (size_t i = 0; holding_at(i, &h); i++) {
		if (!h.exported || strcmp(h.exported, "contributions.jsonl") == 0 || strcmp(h.exported, "items.jsonl") == 0 || strchr(h.table, ':'))
			continue; /* those of contributions are held above */
		if (!reads(archive_of_account, &h) && !reads(archive_of_coop, &h)) {
			missing++;
			print_error("%s is said to be in %s, and is not\n", h.table, h.exported);
		}
	}
	assert_int_equal(missing, 0);
}

static void what_was_erased_is_listed_and_not_handed_over(void **state)
{
	(void)state;
	struct world w;
	struct archive_made made;
	struct erasure asked;
	world_make(&w, NULL);
	struct uuid gone = world_contribute(&w, 3, "take this away"), stays = world_contribute(&w, 3, "leave this");
	(void)stays;
	struct erasure_wish wish = { .kind = ERASURE_ERASE, .scope = ERASURE_ITEMS, .items = &gone, .n_items = 1, .until = INSTANT_NONE, .issued_at = INSTANT_NONE, .expires_at = INSTANT_NONE };
	assert_ok(by(&w, 3), erasure_ask(by(&w, 3), w.coop, &wish, &asked));
	struct call *c = by(&w, 3);
	int fd = take(&w, 3, w.coop, "gone.tar", &made);
	assert_int_equal(made.contributions, 1);
	assert_false(has(whole(c, fd), "take this away"));
	assert_true(has(file_of(c, fd, "items-00001.jsonl"), "\"status\":\"erased\""));
	assert_true(has(file_of(c, fd, "deletions.jsonl"), "\"kind\":\"erase\""));
	close(fd);
}

/* ---- Who may ---- */

static void an_archive_needs_proof_and_is_told_of(void **state)
{
	(void)state;
	struct world w;
	struct proof proof = { 0 };
	struct str secret;
	struct uuid all = { { 0 } };
	world_make(&w, NULL);
	struct call *c = by(&w, 5);
	assert_ok(c, session_start_for(c, c->actor.account, STR("x"), &secret));
	struct str session = str_of(fixture_text("SELECT id::text FROM session"));
	assert_true(uuid_parse(session, &w.actor[5].session));
	c = by(&w, 5);
	c->actor.kind = AUTH_TOKEN;
	assert_err(c, ERR_FORBIDDEN, archive_permit(c, &proof, all));
	c = by(&w, 5);
	assert_ok(c, archive_permit(c, &proof, all));
	assert_int_equal(fixture_int("SELECT count(*) FROM notice WHERE kind = 'account.archive_taken' AND essential"), 1);
	for (int i = 1; i < ARCHIVES_A_DAY; i++)
		assert_ok(c, archive_permit(c, &proof, all));
	assert_err(c, ERR_TOO_MANY, archive_permit(c, &proof, all));
	/* A session that is not young any more is no proof. */
	clock_set(WORLD_START + CLOCK_HOUR);
	assert_err(c, ERR_REFUSED, archive_permit(c, &proof, all));
	assert_string_equal(c->error.reason, "sign_in_again");
}

/* ---- Into another instance ---- */

/* A second instance: a database of its own. */
struct house { struct db_pool *content, *first, *keys; struct world w; };

static void house_open(struct house *h, const char *replace)
{
	struct error e = { 0 };
	fixture_sql("CREATE DATABASE second TEMPLATE commonhold OWNER commonhold");
	h->first = db_content_pool();
	h->keys = db_keys_pool();
	struct call *c = fixture_call();
	struct str url = str_fmt(c->arena, "host=%s user=commonhold dbname=second", cluster_socket_dir(fixture_cluster()));
	if (db_pool_open(&h->content, url.p, 6, &e) != ERR_OK)
		fail_msg("%s", e.message);
	fixture_end(c);
	db_use_pool(h->content, h->keys);
	keyring_forget();
	world_make(&h->w, replace);
}

static void house_close(struct house *h)
{
	fixture_end(h->w.person);
	fixture_end(h->w.system);
	db_use_pool(h->first, h->keys);
	db_pool_close(h->content);
	keyring_forget();
	fixture_sql("DROP DATABASE second WITH (FORCE)");
}

/* Content and what does not change on the way, of each line: to compare. */
static struct str essence(struct call *c, struct str lines)
{
	static const char *const members[] = { "content", "kind", "lang", "licence", "prompted", "application", "ai_preferences", "model", "sensitive", "created" };
	struct buf b;
	buf_init(&b, 16 * MIB);
	while (lines.n) {
		const char *end = memchr(lines.p, '\n', lines.n);
		const struct json *v;
		assert_ok(c, json_parse(c->arena, str_make(lines.p, (size_t)(end - lines.p)), &v, &c->error));
		for (size_t i = 0; i < CH_LEN(members); i++)
			if (json_get(v, members[i])) {
				buf_add_z(&b, members[i]);
				json_canonical(&b, json_get(v, members[i]), true);
			}
		buf_add_byte(&b, '\n');
		lines = str_make(end + 1, lines.n - (size_t)(end + 1 - lines.p));
	}
	return buf_take(c->arena, &b);
}

static void submit(struct world *w, int member, const char *json)
{
	struct call *c = by(w, member);
	const struct json *v;
	struct receipt r;
	assert_ok(c, json_parse(c->arena, str_of(json), &v, &c->error));
	assert_ok(c, pool_submit(c, w->coop, v, &r));
}

static void contributions_come_into_another_instance_as_they_were(void **state)
{
	(void)state;
	struct world a;
	struct house b;
	struct archive_made made, again;
	struct archive_report report;
	world_make(&a, NULL);
	submit(&a, 3, "{\"kind\":\"example\",\"content\":{\"input\":\"Grüezi \\u0001 1e400\",\"output\":\"0.10\"},\"lang\":\"de-CH\",\"prompted\":\"proactive\",\"application\":\"Notebook\",\"model\":\"m-1\",\"created\":\"2025-05-05T10:00:00Z\"}");
	submit(&a, 3, "{\"kind\":\"chat\",\"content\":{\"messages\":[{\"role\":\"user\",\"content\":\"a\"},{\"role\":\"assistant\",\"content\":\"b\"}]},\"ai_preferences\":\"train-ai=n\",\"sensitive\":[\"minor\"]}");
	for (int i = 0; i < 1200; i++)
		submit(&a, 3, str_fmt(by(&a, 3)->arena, "{\"kind\":\"example\",\"content\":{\"input\":\"number %d\",\"output\":\"%d\"}}", i, i * i).p);
	int fd = take(&a, 3, (struct uuid){ { 0 } }, "from.tar", &made);
	assert_int_equal(made.contributions, 1202);
	db_release(a.person);

	house_open(&b, NULL);
	struct call *c = by(&b.w, 5);
	struct archive_import how = { 0 };
	assert_ok(c, archive_import(c, b.w.coop, fd, &how, &report));
	assert_int_equal(report.seen, 1202);
	assert_int_equal(report.approved, 1202);
	assert_int_equal(report.refused, 0);
	int back = take(&b.w, 5, b.w.coop, "back.tar", &again);
	assert_int_equal(again.contributions, 1202);
	struct str there = file_of(c, fd, "contributions-00001.jsonl"), here = file_of(c, back, "contributions-00001.jsonl");
	struct str x = essence(c, there), y = essence(c, here);
	assert_int_equal(x.n, y.n);
	assert_memory_equal(x.p, y.p, x.n);
	/* Where it came from is noted. */
	assert_true(has(here, "\"processor\":\"commonhold-archive\""));
	assert_true(has(here, "\"system\":\"commonhold\""));
	/* Once more changes nothing. */
	assert_ok(c, archive_import(c, b.w.coop, fd, &how, &report));
	assert_int_equal(report.duplicates, 1202);
	close(fd);
	close(back);
	house_close(&b);
}

static void what_was_denied_there_is_denied_here(void **state)
{
	(void)state;
	struct world a;
	struct house b;
	struct archive_made made;
	struct archive_report report;
	struct statement *said;
	world_make(&a, NULL);
	world_say(&a, 3, "deny"); /* train.gen, by default */
	struct uuid item = world_contribute(&a, 3, "first");
	world_contribute(&a, 3, "second");
	struct statement s = { .layer = POLICY_LAYER_ITEM, .item = item, .uses = POLICY_BIT(POLICY_USE_EVAL), .effect = STR("deny"), .valid_from = INSTANT_NONE, .valid_to = INSTANT_NONE };
	assert_ok(by(&a, 3), statement_make(by(&a, 3), a.coop, &s, 1, &said));
	assert_ok(by(&a, 3), licence_choose(by(&a, 3), a.coop, STR("CC0-1.0")));
	int fd = take(&a, 3, a.coop, "denied.tar", &made);
	db_release(a.person);

	house_open(&b, NULL);
	world_say(&b.w, 5, "allow"); /* here they said yes to the same */
	struct call *c = by(&b.w, 5);
	struct archive_import how = { 0 };
	struct licence_now { unsigned licence; bool own; } before, after;
	assert_ok(c, licence_current(c, b.w.coop, &before.licence, &before.own));
	assert_ok(c, archive_import(c, b.w.coop, fd, &how, &report));
	assert_int_equal(report.approved, 2);
	assert_int_equal(report.denials, 3);
	assert_ok(c, licence_current(c, b.w.coop, &after.licence, &after.own));
	assert_int_equal(before.licence, after.licence);
	SQL(denied, "SELECT count(*) FILTER (WHERE uses = '{train.gen}'), count(*) FILTER (WHERE uses = '{eval}') FROM statement WHERE coop_id = $1 AND layer = 1 AND effect = 'deny'");
	struct rows r;
	assert_ok(c, db_begin_in(c, b.w.coop, DB_READ));
	assert_ok(c, db_finish(c, denied, &r, A_UUID(b.w.coop)));
	assert_int_equal(row_int(&r, 0, 0), 2);
	assert_int_equal(row_int(&r, 0, 1), 1);
	/* Offered, not taken: the default of there, as stricter, and the licence. */
	bool strict = false, licence = false;
	for (size_t i = 0; i < report.n_offers; i++) {
		strict |= str_is(report.offers[i].kind, "statement") && report.offers[i].stricter && has(report.offers[i].json, "\"train.gen\"");
		licence |= str_is(report.offers[i].kind, "licence") && has(report.offers[i].json, "CC0-1.0");
	}
	assert_true(strict && licence);
	close(fd);
	house_close(&b);
}

static void what_was_withdrawn_there_does_not_come_back_here(void **state)
{
	(void)state;
	struct world a;
	struct archive_made made;
	struct archive_report report;
	struct erasure asked;
	world_make(&a, NULL);
	struct uuid item = world_contribute(&a, 3, "never again");
	struct erasure_wish wish = { .kind = ERASURE_WITHDRAW_FUTURE, .scope = ERASURE_ITEMS, .items = &item, .n_items = 1, .until = INSTANT_NONE, .issued_at = INSTANT_NONE, .expires_at = INSTANT_NONE };
	assert_ok(by(&a, 3), erasure_ask(by(&a, 3), a.coop, &wish, &asked));
	int fd = take(&a, 3, a.coop, "withdrawn.tar", &made);
	assert_int_equal(made.contributions, 1); /* it is theirs */
	struct call *c = by(&a, 4);
	struct archive_import how = { 0 };
	assert_ok(c, archive_import(c, a.coop, fd, &how, &report));
	assert_int_equal(report.approved, 0);
	assert_int_equal(report.refused, 1);
	assert_string_equal(report.problems[0].code, "withheld_there");
	close(fd);
}

/* ---- What is not believed ---- */

static void a_changed_archive_is_refused_whole(void **state)
{
	(void)state;
	struct world w;
	struct archive_made made;
	struct archive_info info;
	struct archive_report report;
	struct archive_import how = { 0 };
	uint8_t other[32] = { 1, 2, 3 };
	world_make(&w, NULL);
	world_contribute(&w, 3, "original words");
	int fd = take(&w, 3, w.coop, "changed.tar", &made);
	struct call *c = by(&w, 4);
	int64_t before = fixture_int("SELECT count(*) FROM contribution");
	assert_ok(c, archive_check(c, fd, instance_sign_key(instance_keys())->public_key, &info));
	assert_err(c, ERR_REFUSED, archive_check(c, fd, other, &info));
	assert_string_equal(c->error.reason, "wrong_key");
	struct str all = whole(c, fd);
	const char *at = memmem(all.p, all.n, "original", 8);
	assert_non_null(at);
	assert_int_equal(pwrite(fd, "altered!", 8, at - all.p), 8);
	assert_err(c, ERR_REFUSED, archive_import(c, w.coop, fd, &how, &report));
	assert_string_equal(c->error.reason, "archive_corrupt");
	assert_int_equal(pwrite(fd, "original", 8, at - all.p), 8);
	assert_ok(c, archive_check(c, fd, NULL, &info));
	/* Cut off anywhere. */
	for (int64_t cut = made.bytes - 1024; cut > 0; cut -= 1536) {
		assert_int_equal(ftruncate(fd, cut), 0);
		enum err e = archive_check(c, fd, NULL, &info);
		if (e == ERR_OK)
			fail_msg("cut off at %lld it was believed", (long long)cut);
		error_clear(&c->error);
	}
	assert_int_equal(fixture_int("SELECT count(*) FROM contribution"), before);
	close(fd);
}

static void no_byte_can_change_unnoticed(void **state)
{
	(void)state;
	struct world w;
	struct archive_made made;
	struct archive_info info;
	unsigned seed = (unsigned)clock_tick();
	print_message("seed %u\n", seed);
	world_make(&w, NULL);
	world_contribute(&w, 3, "some words");
	int fd = take(&w, 3, w.coop, "flipped.tar", &made);
	struct call *c = by(&w, 4);
	struct str all = whole(c, fd);
	for (int i = 0; i < 300; i++) {
		struct arena_mark mark = arena_mark(c->arena);
		int64_t at = rand_r(&seed) % made.bytes;
		char is = all.p[at], flipped = (char)(is ^ (1 << rand_r(&seed) % 8));
		assert_int_equal(pwrite(fd, &flipped, 1, at), 1);
		enum err e = archive_check(c, fd, NULL, &info);
		/* Between files, and in fields of a header that say nothing, nothing depends on a bit: then what was read is what was there. */
		if (e == ERR_OK)
			assert_int_equal(info.coops[0].contributions, 1);
		error_clear(&c->error);
		assert_int_equal(pwrite(fd, &is, 1, at), 1);
		arena_rewind(c->arena, mark);
	}
	assert_ok(c, archive_check(c, fd, NULL, &info));
	close(fd);
}

static void names_that_lead_elsewhere_are_no_names(void **state)
{
	(void)state;
	uint8_t block[TAR_BLOCK];
	static const char *const bad[] = { "", "/etc/passwd", "../x", "a/../b", "a//b", "a/", "a b", "a\nb", "." };
	for (size_t i = 0; i < CH_LEN(bad); i++)
		assert_false(tar_header(block, str_of(bad[i]), 1, 0));
	assert_true(tar_header(block, STR("coops/abc/items-00001.jsonl"), 1, 0));
	assert_false(tar_header(block, STR("x"), TAR_SIZE_MAX + 1, 0));
	assert_false(tar_header(block, STR("x"), -1, 0));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		fixture_test(everything_of_mine_and_nothing_of_others),
		cmocka_unit_test(what_the_table_says_is_handed_over_is),
		fixture_test(what_was_erased_is_listed_and_not_handed_over),
		fixture_test(an_archive_needs_proof_and_is_told_of),
		fixture_test(contributions_come_into_another_instance_as_they_were),
		fixture_test(what_was_denied_there_is_denied_here),
		fixture_test(what_was_withdrawn_there_does_not_come_back_here),
		fixture_test(a_changed_archive_is_refused_whole),
		fixture_test(no_byte_can_change_unnoticed),
		cmocka_unit_test(names_that_lead_elsewhere_are_no_names),
	};
	return fixture_run(tests, CH_LEN(tests));
}
