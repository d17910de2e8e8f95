/* Items from other co-ops: their rids, their origins, and what becomes of them (release-formats.md section 4 and 6). */
#include "guest_kit.h"

#include "commonhold/access.h"
#include "commonhold/gzip.h"
#include "commonhold/keyring.h"
#include "commonhold/origin.h"
#include "commonhold/origin_take.h"
#include "commonhold/seal_many.h"
#include "server/release/release_internal.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>

#define OTHER_HOME "bbbbbbbbbbbbbbb2"

/* ---- Foreign items ---- */

static unsigned licence(const char *spdx)
{
	return (unsigned)policy_licence_find(spdx, strlen(spdx));
}

/* An item of a guest's, taken in as apply does. */
static struct uuid foreign_item(struct world *w, const struct guest *g, const char *text, const char *spdx)
{
	struct call *c = w->system;
	struct origin_taking *t;
	struct foreign_home home = { g->home, STR("Elsewhere") };
	struct seal_key key;
	int64_t first, rows, origins;
	struct str content = str_fmt(c->arena, "{\"input\":\"%s\",\"output\":\"An answer to it.\"}", text);
	struct policy_item it = { .flags = POLICY_ITEM_ATTRIBUTED, .kind = POLICY_KIND_EXAMPLE, .licence = (uint8_t)licence(spdx), .moderation = POLICY_MODERATION_APPROVED, .created = clock_now() };
	struct foreign f = {
		.id = uuid_new(), .member = g->id, .member_no = (uint32_t)g->number, .hash = sha256(content), .kind = POLICY_KIND_EXAMPLE, .licence = licence(spdx), .bytes = content.n,
		.lang = STR("en"), .at = clock_now(), .word = policy_item_pack(&it), .leaf = 5, .content = content, .facts = STR("{}"),
	};
	assert_ok(c, db_begin_in(c, w->coop, DB_WRITE));
	assert_ok(c, keyring_get(c, w->coop, &g->id, 1, &key, NULL));
	assert_ok(c, origin_taking_begin(c, w->coop, &home, 1, 1, &t));
	origin_taking_look(t, &f);
	assert_ok(c, origin_taking_ask(t, &f, 1));
	struct seal_nonces nonces = { .left = 0 };
	foreign_seal(c->arena, &nonces, &key, w->coop, &f);
	assert_ok(c, origin_taking_write(t, &f, 1));
	assert_ok(c, origin_taking_end(t, &first, &rows, &origins));
	assert_ok(c, db_commit(c));
	assert_int_equal(rows + origins, 1);
	return f.id;
}

static enum policy_outcome now(struct world *w, struct uuid item, uint64_t *reasons)
{
	struct decision d;
	assert_ok(w->system, release_explain(w->system, w->coop, item, (struct uuid){ { 0 } }, &d));
	if (reasons) {
		*reasons = 0;
		for (size_t i = 0; i < d.n_lines; i++)
			*reasons |= UINT64_C(1) << d.lines[i].no;
	}
	return d.outcome;
}

static struct preview preview(struct world *w)
{
	struct preview p;
	assert_ok(w->system, release_preview(w->system, w->coop, &p));
	return p;
}

/* The rows of a published release, all shards one after the other. */
static struct str rows_of(struct world *w, struct uuid release)
{
	struct call *c = w->system;
	struct str dir = release_dir(c->arena, w->coop, release);
	struct buf b;
	buf_init(&b, 4 * MIB);
	struct str path = str_fmt(c->arena, "%.*s/data/example", STR_ARG(dir));
	DIR *d = opendir(path.p);
	assert_non_null(d);
	for (struct dirent *e; (e = readdir(d));) {
		if (e->d_name[0] == '.')
			continue;
		int fd = open(str_fmt(c->arena, "%s/%s", path.p, e->d_name).p, O_RDONLY);
		struct gz_reader *gz;
		char block[4096];
		size_t got = 1;
		assert_ok(c, gz_reader_open(&gz, fd, NULL, NULL, &c->error));
		while (got) {
			assert_ok(c, gz_reader_read(gz, block, sizeof(block), &got, &c->error));
			buf_add(&b, block, got);
		}
		gz_reader_close(gz);
		close(fd);
	}
	closedir(d);
	return buf_take(c->arena, &b);
}

static bool has(struct str text, struct str what)
{
	return memmem(text.p, text.n, what.p, what.n) != NULL;
}

static struct str rid(struct world *w, const char *home, struct uuid id)
{
	return rid_format(w->system->arena, str_of(home), id);
}

/* A co-op with an agreement, and a guest who says so. */
struct place { struct world w; struct guest_source s; struct guest g; };

static void place(struct place *p, const char *replace, const char *effect)
{
	world_make(&p->w, replace);
	p->s = kit_source(p->w.system, p->w.coop, KIT_HOME);
	struct guest_words words = kit_words(p->w.system, KIT_HOME, 1, effect);
	p->g = kit_put(p->w.system, p->w.coop, &p->s, &words);
}

static void says(struct place *p, int64_t rev, const char *effect)
{
	struct guest_words words = kit_words(p->w.system, KIT_HOME, 1, effect);
	words.rev = rev;
	kit_put(p->w.system, p->w.coop, &p->s, &words);
}

/* ---- Rids and rows ---- */

static void what_comes_from_elsewhere_is_released_under_its_own_rid(void **state)
{
	struct place p;
	(void)state;
	place(&p, NULL, "allow");
	world_say(&p.w, 3, "allow");
	struct uuid own = world_contribute(&p.w, 3, "Ours"), theirs = foreign_item(&p.w, &p.g, "Theirs", "CC-BY-4.0"), both = world_contribute(&p.w, 3, "Of both");
	struct uuid also = foreign_item(&p.w, &p.g, "Of both", "CC0-1.0");
	assert_int_equal(fixture_int("SELECT count(*) FROM contribution"), 3);
	assert_int_equal(fixture_int("SELECT count(*) FROM item_origin"), 1);
	struct release r = world_published(&p.w);
	assert_int_equal(r.built_items, 3);
	assert_int_equal(r.contributors, 2);
	struct str rows = rows_of(&p.w, r.id);
	struct coop coop;
	assert_ok(p.w.system, coop_read(p.w.system, p.w.coop, &coop));
	struct arena *a = p.w.system->arena;
	struct str foreign = rid(&p.w, KIT_HOME, theirs);
	assert_true(has(rows, str_fmt(a, "\"origins\":[{\"coop\":\"" KIT_HOME "\",\"licence\":\"CC-BY-4.0\",\"rid\":\"%.*s\"}],\"rid\":\"%.*s\",\"source_coop\":\"" KIT_HOME "\"}", STR_ARG(foreign),
		STR_ARG(foreign))));
	struct str mine = rid_format(a, coop.key_name, both), other = rid(&p.w, KIT_HOME, also);
	assert_true(has(rows, str_fmt(a, "\"origins\":[{\"coop\":\"%.*s\",\"licence\":\"CC-BY-4.0\",\"rid\":\"%.*s\"},{\"coop\":\"" KIT_HOME "\",\"licence\":\"CC0-1.0\",\"rid\":\"%.*s\"}],\"rid\":\"%.*s\"",
		STR_ARG(coop.key_name), STR_ARG(mine), STR_ARG(other), STR_ARG(mine))));
	assert_true(has(rows, rid_format(a, coop.key_name, own)));
	assert_true(has(rows, STR("{\"attribution\":\"guest-")));
}

static void guests_items_are_in_no_list_of_members_and_in_the_moderators_queue(void **state)
{
	struct place p;
	struct contribution *list, item;
	struct str next, content;
	size_t n;
	(void)state;
	place(&p, NULL, "allow");
	struct uuid id = foreign_item(&p.w, &p.g, "Theirs", "CC-BY-4.0");
	fixture_sql("UPDATE contribution SET word = word & ~1536::bigint");
	assert_ok(by(&p.w, 0), pool_list_mine(by(&p.w, 0), p.w.coop, STR_NONE, STR_NONE, 10, &list, &n, &next));
	assert_int_equal(n, 0);
	assert_ok(by(&p.w, 0), pool_queue(by(&p.w, 0), p.w.coop, STR_NONE, 10, &list, &n, &next));
	assert_int_equal(n, 1);
	assert_true(str_is(list[0].contributor, "a guest of Elsewhere"));
	assert_true(str_eq(list[0].rid, rid(&p.w, KIT_HOME, id)));
	assert_ok(by(&p.w, 0), pool_read(by(&p.w, 0), p.w.coop, id, &item, &content));
	assert_true(has(content, STR("Theirs")));
	assert_ok(by(&p.w, 0), pool_moderate(by(&p.w, 0), p.w.coop, id, true, STR_NONE, &item));
	assert_err(by(&p.w, 4), ERR_NOT_FOUND, pool_read(by(&p.w, 4), p.w.coop, id, &item, NULL));
}

/* ---- Origins ---- */

static void one_no_of_any_origin_wins(void **state)
{
	struct place p;
	(void)state;
	place(&p, NULL, "deny");
	world_say(&p.w, 3, "allow");
	struct uuid own = world_contribute(&p.w, 3, "The same");
	assert_int_equal(now(&p.w, own, NULL), POLICY_INCLUDE);
	struct uuid other = foreign_item(&p.w, &p.g, "The same", "CC-BY-4.0");
	assert_int_equal(now(&p.w, own, NULL), POLICY_EXCLUDE);
	assert_int_equal(preview(&p.w).included, 0);
	struct decision d;
	assert_ok(p.w.system, release_explain(p.w.system, p.w.coop, own, (struct uuid){ { 0 } }, &d));
	assert_int_equal(d.n_elsewhere, 1);
	assert_true(has(d.elsewhere[0], STR("in Elsewhere")));
	says(&p, 2, NULL);
	assert_int_equal(now(&p.w, own, NULL), POLICY_HOLD); /* silence is held */
	says(&p, 3, "allow");
	assert_int_equal(now(&p.w, own, NULL), POLICY_INCLUDE);
	/* A word on the item itself, by its uuid, though it is no row here. */
	struct guest_words words = kit_words(p.w.system, KIT_HOME, 1, "allow");
	struct guest_word said[2] = { words.said[0], words.said[0] };
	said[1].effect = POLICY_EFFECT_DENY;
	said[1].item = other;
	words.said = said;
	words.n_said = 2;
	words.rev = 4;
	kit_put(p.w.system, p.w.coop, &p.s, &words);
	assert_int_equal(preview(&p.w).included, 0);
	assert_int_equal(now(&p.w, own, NULL), POLICY_EXCLUDE);
	/* Dropped alone, the row is what it was. */
	size_t dropped;
	assert_ok(p.w.system, db_begin_in(p.w.system, p.w.coop, DB_WRITE));
	assert_ok(p.w.system, origins_drop(p.w.system, p.w.coop, 1, &other, 1, &dropped));
	assert_ok(p.w.system, db_commit(p.w.system));
	assert_int_equal(dropped, 1);
	assert_int_equal(now(&p.w, own, NULL), POLICY_INCLUDE);
	assert_int_equal(preview(&p.w).included, 1);
}

static void what_stands_under_an_ended_agreement_speaks_no_more(void **state)
{
	struct place p;
	(void)state;
	place(&p, NULL, "deny");
	world_say(&p.w, 3, "allow");
	struct uuid own = world_contribute(&p.w, 3, "The same");
	foreign_item(&p.w, &p.g, "The same", "CC-BY-4.0");
	struct uuid theirs = foreign_item(&p.w, &p.g, "Theirs alone", "CC-BY-4.0");
	assert_int_equal(now(&p.w, own, NULL), POLICY_EXCLUDE);
	p.s.state = GUEST_SOURCE_SUSPENDED;
	kit_source_put(p.w.system, p.w.coop, &p.s);
	assert_int_equal(now(&p.w, own, NULL), POLICY_EXCLUDE);
	p.s.state = GUEST_SOURCE_ENDED;
	kit_source_put(p.w.system, p.w.coop, &p.s);
	assert_int_equal(now(&p.w, own, NULL), POLICY_INCLUDE);
	assert_true(now(&p.w, theirs, NULL) >= POLICY_HOLD);
}

static void a_row_goes_out_under_a_licence_that_fits_all_its_origins(void **state)
{
	static const struct { const char *theirs; bool in; } cases[] = { { "CC-BY-4.0", true }, { "CC0-1.0", true }, { "CC-BY-SA-4.0", true }, { "CDLA-Sharing-1.0", false } };
	struct place p;
	(void)state;
	place(&p, NULL, "allow");
	world_say(&p.w, 3, "allow");
	for (size_t i = 0; i < CH_LEN(cases); i++) {
		uint64_t reasons;
		struct uuid own = world_contribute(&p.w, 3, cases[i].theirs);
		foreign_item(&p.w, &p.g, cases[i].theirs, cases[i].theirs);
		bool in = now(&p.w, own, &reasons) <= POLICY_CONDITIONAL;
		if (in != cases[i].in)
			fail_msg("a row under CC-BY-4.0 with an origin under %s is %s", cases[i].theirs, in ? "in" : "out");
		assert_int_equal((reasons & POLICY_REASON(LIC_INCOMPATIBLE)) != 0, !in);
	}
	assert_int_equal(preview(&p.w).included, 3);
}

static void in_adaptation_mode_the_origins_licences_bind_the_output(void **state)
{
	static const char adapt[] =
		"{\"release\":{\"uses\":[\"train.gen\"],\"purposes\":[\"research\"],\"audience\":\"gated_manual\",\"k_contributors\":1,\"mode\":\"adaptation\",\"output_licences\":[\"CC-BY-4.0\"]}}";
	static const struct { const char *theirs; bool in; } cases[] = { { "CC0-1.0", true }, { "CC-BY-SA-4.0", false } };
	struct place p;
	(void)state;
	place(&p, adapt, "allow");
	world_say(&p.w, 3, "allow");
	for (size_t i = 0; i < CH_LEN(cases); i++) {
		struct uuid own = world_contribute(&p.w, 3, cases[i].theirs);
		foreign_item(&p.w, &p.g, cases[i].theirs, cases[i].theirs);
		assert_int_equal(now(&p.w, own, NULL) <= POLICY_CONDITIONAL, cases[i].in);
	}
	assert_int_equal(preview(&p.w).included, 1);
}

/* ---- Promotion ---- */

static struct uuid forgotten_id;
static struct sha256 forgotten_hash;

static enum err note_forgotten(struct call *c, struct uuid coop, const struct pool_forgotten *gone)
{
	(void)c;
	(void)coop;
	assert_int_equal(gone->n, 1);
	forgotten_id = gone->ids[0];
	forgotten_hash = gone->hashes[0];
	return ERR_OK;
}

static void purge(struct world *w, int64_t item)
{
	struct pool_purged purged;
	assert_ok(w->system, db_begin_in(w->system, w->coop, DB_WRITE));
	assert_ok(w->system, pool_purge(w->system, w->coop, &item, 1, &purged));
	assert_ok(w->system, db_commit(w->system));
	assert_int_equal(purged.purged, 1);
}

static void when_a_row_is_erased_the_next_origin_takes_its_place(void **state)
{
	struct place p;
	struct contribution item;
	struct str content;
	(void)state;
	place(&p, NULL, "allow");
	struct guest_source s2 = kit_source(p.w.system, p.w.coop, OTHER_HOME);
	struct guest_words words = kit_words(p.w.system, OTHER_HOME, 1, "allow");
	struct guest g2 = kit_put(p.w.system, p.w.coop, &s2, &words);
	world_say(&p.w, 3, "allow");
	struct uuid own = world_contribute(&p.w, 3, "The same");
	struct uuid first = foreign_item(&p.w, &p.g, "The same", "CC0-1.0"), second = foreign_item(&p.w, &g2, "The same", "CC0-1.0");
	assert_int_equal(fixture_int("SELECT count(*) FROM item_origin"), 2);
	pool_use_purged(note_forgotten);
	purge(&p.w, 0);
	pool_use_purged(NULL);
	assert_memory_equal(forgotten_id.b, own.b, 16);
	assert_int_equal(fixture_int("SELECT count(*) FROM contribution"), 2);
	assert_int_equal(fixture_int("SELECT count(*) FROM item_origin WHERE item_no = 1"), 1);
	assert_ok(by(&p.w, 0), pool_read(by(&p.w, 0), p.w.coop, first, &item, &content));
	assert_true(str_is(content, "{\"input\":\"The same\",\"output\":\"An answer to it.\"}"));
	assert_memory_equal(item.content_sha256.b, forgotten_hash.b, 32);
	assert_int_equal(item.licence, licence("CC0-1.0"));
	assert_int_equal(item.member_no, p.g.number);
	assert_int_equal(now(&p.w, first, NULL), POLICY_INCLUDE);
	struct release r = world_published(&p.w);
	struct str rows = rows_of(&p.w, r.id);
	assert_true(has(rows, rid(&p.w, KIT_HOME, first)) && has(rows, rid(&p.w, OTHER_HOME, second)));
	assert_false(has(rows, uuid_format(p.w.system->arena, own)));
	/* And again, until the last is gone. */
	purge(&p.w, 1);
	assert_ok(by(&p.w, 0), pool_read(by(&p.w, 0), p.w.coop, second, &item, &content));
	assert_true(has(content, STR("The same")));
	purge(&p.w, 2);
	assert_int_equal(fixture_int("SELECT count(*) FROM item_origin"), 0);
	assert_int_equal(fixture_int("SELECT count(*) FROM contribution WHERE (word & 4096) = 0"), 0);
	assert_int_equal(fixture_int("SELECT count(*) FROM contribution_content"), 0);
	/* What is left of a foreign row still says where it came from. */
	struct str rids[1];
	assert_ok(p.w.system, db_begin_in(p.w.system, p.w.coop, DB_READ));
	assert_ok(p.w.system, pool_rids(p.w.system, p.w.coop, &first, 1, rids));
	assert_ok(p.w.system, db_commit(p.w.system));
	assert_true(str_eq(rids[0], rid(&p.w, KIT_HOME, first)));
}

static void another_members_row_inherits_the_origins(void **state)
{
	struct place p;
	(void)state;
	place(&p, NULL, "deny");
	world_say(&p.w, 3, "allow");
	world_say(&p.w, 4, "allow");
	world_contribute(&p.w, 3, "The same");
	struct uuid other = world_contribute(&p.w, 4, "The same");
	foreign_item(&p.w, &p.g, "The same", "CC0-1.0");
	purge(&p.w, 0);
	assert_int_equal(fixture_int("SELECT count(*) FROM contribution"), 2);
	assert_int_equal(fixture_int("SELECT count(*) FROM item_origin WHERE item_no = 1"), 1);
	assert_int_equal(now(&p.w, other, NULL), POLICY_EXCLUDE); /* still */
}

/* ---- The agreement's limits ---- */

static void the_agreement_binds_k_embargo_and_retention(void **state)
{
	struct place p;
	uint64_t reasons;
	(void)state;
	place(&p, NULL, "allow");
	world_say(&p.w, 3, "allow");
	struct uuid own = world_contribute(&p.w, 3, "Ours"), theirs = foreign_item(&p.w, &p.g, "Theirs", "CC-BY-4.0");
	clock_set(WORLD_START + CLOCK_DAY);
	assert_int_equal(preview(&p.w).included, 2);
	p.s.k = 3;
	kit_source_put(p.w.system, p.w.coop, &p.s);
	assert_int_equal(preview(&p.w).included, 0);
	p.s.k = 2;
	p.s.embargo = 3 * CLOCK_DAY;
	kit_source_put(p.w.system, p.w.coop, &p.s);
	assert_int_equal(now(&p.w, theirs, &reasons), POLICY_HOLD);
	assert_true(reasons & POLICY_REASON(EMBARGO_UNTIL));
	assert_int_equal(now(&p.w, own, NULL), POLICY_INCLUDE);
	clock_set(WORLD_START + 4 * CLOCK_DAY);
	assert_int_equal(now(&p.w, theirs, NULL), POLICY_INCLUDE);
	p.s.retention = 4 * CLOCK_DAY;
	kit_source_put(p.w.system, p.w.coop, &p.s);
	assert_true(now(&p.w, theirs, &reasons) >= POLICY_HOLD);
	assert_true(reasons & POLICY_REASON(RETENTION_PASSED));
}

static void a_release_is_opened_as_the_agreement_of_what_is_in_it_says(void **state)
{
	struct place p;
	struct access_offer offer;
	(void)state;
	place(&p, "{\"release\":{\"uses\":[\"train.gen\"],\"purposes\":[\"research\"],\"audience\":\"gated_auto\",\"k_contributors\":1},\"access\":{\"mode\":\"gated_auto\"}}", "allow");
	p.s.access = STR("gated_manual");
	kit_source_put(p.w.system, p.w.coop, &p.s);
	world_say(&p.w, 3, "allow");
	world_contribute(&p.w, 3, "Ours");
	foreign_item(&p.w, &p.g, "Theirs", "CC-BY-4.0");
	struct release r = world_published(&p.w);
	assert_ok(p.w.system, access_offer_read(p.w.system, p.w.coop, &r, &offer));
	assert_int_equal(offer.audience, POLICY_AUDIENCE_GATED_MANUAL);
	/* For good: what is out stays under it when the agreement ends. */
	p.s.state = GUEST_SOURCE_ENDED;
	p.s.access = STR("public");
	kit_source_put(p.w.system, p.w.coop, &p.s);
	assert_ok(p.w.system, access_offer_read(p.w.system, p.w.coop, &r, &offer));
	assert_int_equal(offer.audience, POLICY_AUDIENCE_GATED_MANUAL);
}

/* ---- One person ---- */

static void link_them(struct place *p, int member)
{
	assert_ok(p->w.system, db_begin_in(p->w.system, p->w.coop, DB_WRITE));
	assert_ok(p->w.system, guest_link(p->w.system, p->w.coop, p->g.id, member < 0 ? (struct uuid){ { 0 } } : p->w.id[member]));
	assert_ok(p->w.system, db_commit(p->w.system));
}

static void one_person_counts_once(void **state)
{
	struct place p;
	(void)state;
	place(&p, "{\"release\":{\"uses\":[\"train.gen\"],\"purposes\":[\"research\"],\"audience\":\"gated_manual\",\"k_contributors\":2}}", "allow");
	world_say(&p.w, 3, "allow");
	world_contribute(&p.w, 3, "Ours");
	foreign_item(&p.w, &p.g, "Theirs", "CC-BY-4.0");
	struct preview seen = preview(&p.w);
	assert_int_equal(seen.included, 2);
	assert_int_equal(seen.contributors, 2);
	link_them(&p, 3);
	assert_int_equal(preview(&p.w).included, 0);
	link_them(&p, -1);
	assert_int_equal(preview(&p.w).included, 2);
}

static void one_persons_no_in_either_co_op_wins(void **state)
{
	struct place p;
	(void)state;
	place(&p, NULL, "allow");
	world_say(&p.w, 3, "deny");
	world_say(&p.w, 4, "allow");
	struct uuid own = world_contribute(&p.w, 4, "Of somebody else"), denied = world_contribute(&p.w, 3, "Denied"), theirs = foreign_item(&p.w, &p.g, "Theirs", "CC-BY-4.0");
	assert_int_equal(now(&p.w, theirs, NULL), POLICY_INCLUDE);
	link_them(&p, 3);
	assert_int_equal(now(&p.w, theirs, NULL), POLICY_EXCLUDE);
	assert_int_equal(now(&p.w, own, NULL), POLICY_INCLUDE);
	assert_int_equal(preview(&p.w).included, 1);
	/* The other way round: a no at home holds what they have here. */
	link_them(&p, 4);
	assert_int_equal(now(&p.w, own, NULL), POLICY_INCLUDE);
	says(&p, 2, "deny");
	assert_int_equal(now(&p.w, own, NULL), POLICY_EXCLUDE);
	assert_int_equal(now(&p.w, denied, NULL), POLICY_EXCLUDE);
}

/* ---- Deciding the same ---- */

static struct sha256 digest(struct world *w)
{
	struct decided d;
	struct call *c = w->system;
	assert_ok(c, db_begin_in(c, w->coop, DB_SERIAL));
	assert_ok(c, decide_pool(c, w->coop, NULL, WORLD_START + CLOCK_HOUR, WORLD_START + CLOCK_HOUR, NULL, 0, &d));
	assert_ok(c, db_commit(c));
	assert_int_equal(decided_included(&d), 1);
	struct sha256 out = decided_digest(&d);
	decided_release(&d);
	return out;
}

static void the_digest_covers_origins(void **state)
{
	struct place p;
	(void)state;
	place(&p, NULL, "allow");
	world_say(&p.w, 3, "allow");
	world_contribute(&p.w, 3, "The same");
	struct sha256 alone = digest(&p.w);
	struct uuid id = foreign_item(&p.w, &p.g, "The same", "CC0-1.0");
	assert_false(sha256_eq(alone, digest(&p.w)));
	assert_ok(p.w.system, db_begin_in(p.w.system, p.w.coop, DB_WRITE));
	assert_ok(p.w.system, origins_drop(p.w.system, p.w.coop, 1, &id, 1, NULL));
	assert_ok(p.w.system, db_commit(p.w.system));
	assert_true(sha256_eq(alone, digest(&p.w)));
}

/* Once all that a guest had here is purged nothing is left that opens it; what their home sends later comes in under a new key. */
static void a_guests_key_goes_with_the_last_of_their_items(void **state)
{
	struct place p;
	struct guest again;
	struct pool_purged purged;
	struct seal_key key;
	bool there;
	int64_t gone = 0, items[2];
	(void)state;
	place(&p, NULL, "deny");
	struct call *c = p.w.system;
	struct uuid ids[2] = { foreign_item(&p.w, &p.g, "One", "CC-BY-4.0"), foreign_item(&p.w, &p.g, "Two", "CC-BY-4.0") };
	for (int i = 0; i < 2; i++) {
		assert_ok(c, pool_guest_keys(c, p.w.coop, &gone));
		assert_int_equal(gone, 0);
		assert_ok(c, db_begin_in(c, p.w.coop, DB_WRITE));
		assert_ok(c, pool_select(c, p.w.coop, (struct uuid){ { 0 } }, &ids[i], 1, &items[i]));
		struct pool_withdrawal out = { .id = uuid_new(), .kind = POOL_ERASE, .items = &items[i], .n = 1, .until = INSTANT_NONE };
		assert_ok(c, pool_withdraw(c, p.w.coop, &out));
		assert_ok(c, pool_purge(c, p.w.coop, &items[i], 1, &purged));
		assert_ok(c, db_commit(c));
	}
	assert_ok(c, pool_guest_keys(c, p.w.coop, &gone));
	assert_int_equal(gone, 1);
	assert_ok(c, pool_guest_keys(c, p.w.coop, &gone));
	assert_int_equal(gone, 1);
	assert_ok(c, db_begin_in(c, p.w.coop, DB_READ));
	assert_ok(c, keyring_get(c, p.w.coop, &p.g.id, 1, &key, &there));
	assert_false(there);
	assert_ok(c, guest_of_number(c, p.w.coop, p.g.number, &again));
	assert_ok(c, db_commit(c));
	assert_false(uuid_eq(again.id, p.g.id));
	assert_int_equal(fixture_int("SELECT count(*) FROM guest_statement"), 1); /* their words stay theirs */
	struct uuid later = foreign_item(&p.w, &again, "Three", "CC-BY-4.0");
	assert_int_equal(now(&p.w, later, NULL), POLICY_EXCLUDE);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		fixture_test(what_comes_from_elsewhere_is_released_under_its_own_rid),
		fixture_test(guests_items_are_in_no_list_of_members_and_in_the_moderators_queue),
		fixture_test(one_no_of_any_origin_wins),
		fixture_test(what_stands_under_an_ended_agreement_speaks_no_more),
		fixture_test(a_row_goes_out_under_a_licence_that_fits_all_its_origins),
		fixture_test(in_adaptation_mode_the_origins_licences_bind_the_output),
		fixture_test(when_a_row_is_erased_the_next_origin_takes_its_place),
		fixture_test(another_members_row_inherits_the_origins),
		fixture_test(the_agreement_binds_k_embargo_and_retention),
		fixture_test(a_release_is_opened_as_the_agreement_of_what_is_in_it_says),
		fixture_test(one_person_counts_once),
		fixture_test(one_persons_no_in_either_co_op_wins),
		fixture_test(the_digest_covers_origins),
		fixture_test(a_guests_key_goes_with_the_last_of_their_items),
	};
	return fixture_run(tests, CH_LEN(tests));
}
