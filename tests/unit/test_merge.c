/* Applying bundles: each row of the conflict table, refusals that leave everything as it was, and what people decide. */
#include "merge_kit.h"

#include "commonhold/erasure.h"
#include "commonhold/job.h"
#include "commonhold/mirror.h"
#include "commonhold/onward.h"
#include "commonhold/release.h"

#include <stdio.h>
#include <string.h>

#define CC "CC-BY-4.0"

struct place { struct call *c; struct uuid coop; struct mkit_home home; struct mkit_agreement g; struct mkit_bundle b; };

static void place_with(struct place *p, const char *charter, const char *more)
{
	p->coop = world_coop(charter);
	p->c = fixture_system();
	mkit_home(p->c, &p->home);
	mkit_agree(p->c, p->coop, &p->home, more, &p->g);
	mkit_begin(p->c, &p->home, &p->b);
}

static void place(struct place *p)
{
	place_with(p, NULL, "");
}

/* The bundle so far, applied; the next one begins empty. */
static struct merge_report apply(struct place *p)
{
	struct merge_report r = mkit_apply(p->c, &p->g, &p->b);
	mkit_end(&p->b);
	mkit_begin(p->c, &p->home, &p->b);
	return r;
}

static void leave(struct place *p)
{
	mkit_end(&p->b);
}

static void a_record_becomes_a_row_of_its_guest(void **state)
{
	struct place p;
	struct uuid id = uuid_new();
	(void)state;
	place(&p);
	mkit_words(&p.b, 1, 5, "allow", NULL);
	mkit_record(&p.b, 1, id, "one", CC);
	struct merge_report r = apply(&p);
	assert_int_equal(r.rows, 1);
	assert_int_equal(r.contributors, 1);
	assert_int_equal(fixture_int("SELECT count(*) FROM contribution c JOIN guest g ON g.coop_id = c.coop_id AND g.id = c.member_id AND g.number = c.member_no WHERE (c.more >> 24 & 255) = 1 AND item_no = 0"), 1);
	assert_int_equal(fixture_int("SELECT count(*) FROM contribution_content"), 1);
	assert_int_equal(fixture_int("SELECT next_item FROM pool_head"), 1);
	assert_int_equal(fixture_int("SELECT count(*) FROM merge_applied"), 1);
	leave(&p);
}

static void applying_twice_is_a_no_op(void **state)
{
	struct place p;
	struct merge_report r;
	(void)state;
	place(&p);
	mkit_words(&p.b, 1, 5, "allow", NULL);
	mkit_record(&p.b, 1, uuid_new(), "one", CC);
	struct bundle *b = mkit_bundle(p.c, &p.g, &p.b, 1, 1);
	assert_ok(p.c, merge_apply(p.c, p.coop, b, &r));
	assert_false(r.repeated);
	assert_ok(p.c, merge_apply(p.c, p.coop, b, &r));
	assert_true(r.repeated);
	assert_int_equal(fixture_int("SELECT count(*) FROM contribution"), 1);
	/* the same lines under another number change nothing either */
	p.g.seq = 1;
	r = mkit_apply(p.c, &p.g, &p.b);
	assert_int_equal(r.known, 1);
	assert_int_equal(r.rows + r.origins + r.statements, 0);
	assert_int_equal(fixture_int("SELECT count(*) FROM contribution"), 1);
	leave(&p);
}

static void a_missing_bundle_is_waited_for_and_an_old_one_refused(void **state)
{
	struct place p;
	struct merge_report r;
	(void)state;
	place(&p);
	mkit_words(&p.b, 1, 5, "allow", NULL);
	assert_err(p.c, ERR_STATE, merge_apply(p.c, p.coop, mkit_bundle(p.c, &p.g, &p.b, 2, 2), &r));
	assert_string_equal(p.c->error.reason, "gap");
	error_clear(&p.c->error);
	assert_ok(p.c, merge_apply(p.c, p.coop, mkit_bundle(p.c, &p.g, &p.b, 1, 1), &r));
	assert_err(p.c, ERR_REFUSED, merge_apply(p.c, p.coop, mkit_bundle(p.c, &p.g, &p.b, 1, 77), &r));
	assert_string_equal(p.c->error.reason, "rollback");
	leave(&p);
}

static void the_same_content_becomes_an_origin_and_no_row(void **state)
{
	struct place p;
	(void)state;
	place(&p);
	struct call *member = world_member(p.coop, "active");
	world_submit(member, p.coop, "shared");
	mkit_words(&p.b, 1, 5, "allow", NULL);
	mkit_words(&p.b, 2, 5, "allow", NULL);
	mkit_record(&p.b, 1, uuid_new(), "shared", CC);
	mkit_record(&p.b, 1, uuid_new(), "own", CC);
	mkit_record(&p.b, 2, uuid_new(), "own", CC);
	struct merge_report r = apply(&p);
	assert_int_equal(r.rows, 1);
	assert_int_equal(r.origins, 2);
	assert_int_equal(fixture_int("SELECT count(*) FROM contribution"), 2);
	assert_int_equal(fixture_int("SELECT count(*) FROM item_origin WHERE item_no = 0"), 1);
	assert_int_equal(fixture_int("SELECT count(*) FROM item_origin WHERE item_no = 1"), 1);
	leave(&p);
}

static void two_versions_of_one_rid_are_kept_out_with_their_proof(void **state)
{
	struct place p;
	struct uuid id = uuid_new();
	struct merge_conflict *found;
	struct str next;
	size_t n;
	(void)state;
	place(&p);
	mkit_words(&p.b, 1, 5, "allow", NULL);
	mkit_record(&p.b, 1, id, "first", CC);
	apply(&p);
	mkit_record(&p.b, 1, id, "second", CC);
	struct merge_report r = apply(&p);
	assert_int_equal(r.quarantined, 1);
	assert_int_equal(fixture_int("SELECT count(*) FROM contribution WHERE (word & 16384) <> 0"), 1);
	struct call *admin = world_member(p.coop, "active");
	assert_ok(admin, merge_conflict_list(admin, p.coop, false, STR_NONE, 10, &found, &n, &next));
	assert_int_equal(n, 1);
	assert_int_equal(found[0].kind, MERGE_EQUIVOCATION);
	struct merge_conflict one;
	assert_ok(admin, merge_conflict_get(admin, p.coop, found[0].id, &one));
	const struct json *proof = world_json(admin, str_z(admin->arena, one.proof));
	assert_false(str_eq(json_member_text(json_get(proof, "first"), "commitment"), json_member_text(json_get(proof, "second"), "commitment")));
	assert_null(memmem(one.proof.p, one.proof.n, "second\"}", 8)); /* never the content */
	/* deciding does not choose one */
	assert_err(admin, ERR_INVALID, merge_conflict_decide(admin, p.coop, one.id, STR("release"), STR("because"), &one));
	error_clear(&admin->error);
	assert_ok(admin, merge_conflict_decide(admin, p.coop, one.id, STR("keep_out"), STR("Asked them."), &one));
	assert_err(admin, ERR_STATE, merge_conflict_decide(admin, p.coop, one.id, STR("keep_out"), STR("Again."), &one));
	assert_int_equal(fixture_int("SELECT count(*) FROM contribution WHERE (word & 16384) <> 0"), 1);
	leave(&p);
}

static int64_t in_doubt(void)
{
	return fixture_int("SELECT count(*) FROM merge_conflict WHERE kind = 'equivocation' AND detail::json ->> 'about' = 'words' AND proof IS NOT NULL");
}

static void two_lines_of_one_revision_are_both_kept_and_neither_acted_on(void **state)
{
	struct place p;
	(void)state;
	place(&p);
	clock_set(clock_now()); /* lines say when */
	mkit_words(&p.b, 1, 5, "allow", NULL);
	mkit_words(&p.b, 2, 5, "allow", NULL);
	apply(&p);
	mkit_words(&p.b, 2, 5, "allow", NULL); /* the same again */
	assert_int_equal(apply(&p).quarantined, 0);
	assert_int_equal(in_doubt(), 0);
	mkit_words(&p.b, 1, 5, "deny", NULL);
	assert_int_equal(apply(&p).quarantined, 1);
	assert_int_equal(in_doubt(), 1);
	assert_int_equal(fixture_int("SELECT count(*) FROM guest WHERE standing = 'lapsed'"), 1);
	struct str first = str_of(fixture_text("SELECT proof::json ->> 'first' FROM merge_conflict"));
	assert_non_null(memmem(first.p, first.n, "\"allow\"", 7));
	struct str second = str_of(fixture_text("SELECT proof::json ->> 'second' FROM merge_conflict"));
	assert_non_null(memmem(second.p, second.n, "\"deny\"", 6));
	mkit_words(&p.b, 1, 6, "deny", NULL); /* a later word of the single writer stands again */
	apply(&p);
	assert_int_equal(fixture_int("SELECT count(*) FROM guest WHERE standing = 'lapsed'"), 0);
	leave(&p);
}

static void of_out_and_back_at_one_revision_out_stands_whichever_comes_first(void **state)
{
	struct place p;
	struct uuid one = uuid_new(), two = uuid_new();
	(void)state;
	place(&p);
	mkit_words(&p.b, 1, 5, "allow", NULL);
	mkit_record(&p.b, 1, one, "one", CC);
	mkit_record(&p.b, 1, two, "two", CC);
	apply(&p);
	mkit_passing(&p.b, one, true, 6);
	mkit_passing(&p.b, two, false, 6);
	apply(&p);
	mkit_passing(&p.b, one, false, 6);
	mkit_passing(&p.b, two, true, 6);
	apply(&p);
	assert_int_equal(fixture_int("SELECT count(*) FROM merge_passing WHERE out"), 2);
	assert_int_equal(fixture_int("SELECT count(*) FROM contribution WHERE (word & 16384) <> 0"), 2);
	leave(&p);
}

static void an_id_of_ours_is_not_taken_over(void **state)
{
	struct place p;
	(void)state;
	place(&p);
	struct call *member = world_member(p.coop, "active");
	struct receipt ours = world_submit(member, p.coop, "ours");
	mkit_words(&p.b, 1, 5, "allow", NULL);
	mkit_record(&p.b, 1, ours.id, "theirs", CC);
	struct merge_report r = apply(&p);
	assert_int_equal(r.quarantined, 1);
	assert_int_equal(fixture_int("SELECT count(*) FROM contribution WHERE (word & 16384) <> 0"), 0);
	assert_int_equal(fixture_int("SELECT count(*) FROM merge_conflict WHERE kind = 'id_taken'"), 1);
	leave(&p);
}

static void erasing_wins_whichever_comes_first(void **state)
{
	struct place p;
	struct uuid before = uuid_new(), after = uuid_new();
	(void)state;
	place(&p);
	mkit_words(&p.b, 1, 5, "allow", NULL);
	mkit_record(&p.b, 1, before, "was here", CC);
	apply(&p);
	mkit_erase(&p.b, before);
	mkit_erase(&p.b, after);
	mkit_record(&p.b, 1, after, "comes with its tombstone", CC);
	struct merge_report r = apply(&p);
	assert_int_equal(r.tombstones, 2);
	assert_int_equal(r.erased, 1);
	mkit_record(&p.b, 1, after, "comes later", CC);
	r = apply(&p);
	assert_int_equal(r.erased, 1);
	assert_int_equal(fixture_int("SELECT count(*) FROM contribution"), 1);
	assert_int_equal(fixture_int("SELECT count(*) FROM erasure"), 1);
	leave(&p);
}

static void jobs_run(void)
{
	static const struct job_kind *const jobs[] = { erasure_jobs, onward_jobs, release_jobs, mirror_jobs, NULL };
	struct error e = { 0 };
	int ran;
	for (int i = 0; i < 15; i++) {
		clock_set(clock_now() + 10 * CLOCK_SECOND);
		assert_int_equal(job_run_due(jobs, &ran, &e), ERR_OK);
	}
}

static void erased_content_is_not_taken_again_under_another_rid(void **state)
{
	struct place p;
	struct merge_conflict *found, one;
	struct str next;
	size_t n;
	struct uuid id = uuid_new();
	(void)state;
	place(&p);
	onward_start();
	mkit_words(&p.b, 1, 5, "allow", NULL);
	mkit_words(&p.b, 2, 5, "allow", NULL);
	mkit_record(&p.b, 1, id, "my address", CC);
	apply(&p);
	mkit_erase(&p.b, id);
	apply(&p);
	jobs_run();
	assert_int_equal(fixture_int("SELECT count(*) FROM contribution_content"), 0);
	/* Again by somebody else, and once more after admins decided: they keep it out, and read neither the content nor a hash of it alone. */
	struct call *admin = world_member(p.coop, "active");
	for (int again = 0; again < 2; again++) {
		mkit_record(&p.b, 2, uuid_new(), "my address", CC);
		mkit_record(&p.b, 2, uuid_new(), again ? "also new" : "new", CC);
		struct merge_report r = apply(&p);
		assert_int_equal(r.erased, 1);
		assert_int_equal(r.rows, 1);
		assert_int_equal(fixture_int("SELECT count(*) FROM contribution_content"), 1 + again);
		assert_ok(admin, merge_conflict_list(admin, p.coop, false, STR_NONE, 10, &found, &n, &next));
		assert_int_equal(n, 1);
		assert_int_equal(found[0].kind, MERGE_SUPPRESSED);
		assert_null(strstr(str_z(p.c->arena, found[0].detail), "address"));
		assert_err(admin, ERR_INVALID, merge_conflict_decide(admin, p.coop, found[0].id, STR("leave_out"), STR("Let it in."), &one));
		error_clear(&admin->error);
		assert_ok(admin, merge_conflict_decide(admin, p.coop, found[0].id, STR("keep_out"), STR("It was erased."), &one));
	}
	leave(&p);
}

static void what_is_no_longer_passed_on_waits_and_comes_back(void **state)
{
	struct place p;
	struct uuid id = uuid_new(), later = uuid_new();
	(void)state;
	place(&p);
	mkit_words(&p.b, 1, 5, "allow", NULL);
	mkit_record(&p.b, 1, id, "one", CC);
	mkit_passing(&p.b, later, true, 6);
	apply(&p);
	mkit_passing(&p.b, id, true, 10);
	mkit_record(&p.b, 1, later, "two", CC);
	apply(&p);
	assert_int_equal(fixture_int("SELECT count(*) FROM contribution WHERE (word & 16384) <> 0"), 2);
	mkit_passing(&p.b, id, false, 9); /* an older word */
	apply(&p);
	assert_int_equal(fixture_int("SELECT count(*) FROM contribution WHERE (word & 16384) <> 0"), 2);
	mkit_passing(&p.b, id, false, 11);
	apply(&p);
	assert_int_equal(fixture_int("SELECT count(*) FROM contribution WHERE (word & 16384) <> 0"), 1);
	leave(&p);
}

static void labels_are_sets_and_the_latest_word_stands(void **state)
{
	struct place p;
	struct uuid id = uuid_new();
	instant at = clock_now() / CLOCK_SECOND * CLOCK_SECOND;
	(void)state;
	place(&p);
	mkit_words(&p.b, 1, 5, "allow", NULL);
	mkit_record(&p.b, 1, id, "one", CC);
	mkit_label(&p.b, 1, id, "quality", "3", at);
	mkit_label(&p.b, 2, id, "quality", "5", at);
	mkit_label(&p.b, 1, id, "liked", NULL, at);
	mkit_label(&p.b, 1, id, "liked", NULL, at);
	struct merge_report r = apply(&p);
	assert_int_equal(r.labels, 2);
	assert_int_equal(r.signals, 1);
	mkit_label(&p.b, 1, id, "quality", "4", at + CLOCK_SECOND);
	mkit_label(&p.b, 2, id, "quality", "1", at - CLOCK_SECOND);
	r = apply(&p);
	assert_int_equal(r.labels, 1);
	assert_string_equal(fixture_text("SELECT string_agg(value, ' ' ORDER BY by) FROM merge_label WHERE label = 'quality'"), "4 5");
	leave(&p);
}

static void records_of_an_unmapped_schema_are_kept_raw_until_somebody_decides(void **state)
{
	struct place p;
	struct merge_conflict *found, one;
	struct str next;
	size_t n;
	(void)state;
	place(&p);
	mkit_words(&p.b, 1, 5, "allow", NULL);
	mkit_record_json(&p.b, 1, uuid_new(), "record", "{\"data\":{\"ph\":6},\"schema\":\"soil\"}", CC);
	mkit_record_json(&p.b, 1, uuid_new(), "record", "{\"data\":{\"ph\":7},\"schema\":\"soil\"}", CC);
	struct merge_report r = apply(&p);
	assert_int_equal(r.unmapped, 2);
	assert_int_equal(r.rows, 2);
	struct call *admin = world_member(p.coop, "active");
	assert_ok(admin, merge_conflict_list(admin, p.coop, false, STR_NONE, 10, &found, &n, &next));
	assert_int_equal(n, 1);
	assert_int_equal(fixture_int("SELECT count(*) FROM contribution WHERE (word & 16384) <> 0"), 0);
	assert_ok(admin, merge_conflict_decide(admin, p.coop, found[0].id, STR("leave_out"), STR("Nobody here reads them."), &one));
	assert_int_equal(fixture_int("SELECT count(*) FROM contribution WHERE (word & 16384) <> 0"), 2);
	mkit_record_json(&p.b, 1, uuid_new(), "record", "{\"data\":{\"ph\":8},\"schema\":\"soil\"}", CC);
	apply(&p);
	assert_int_equal(fixture_int("SELECT count(*) FROM contribution WHERE (word & 16384) <> 0"), 3);
	leave(&p);
}

/* Everything in the tables that a bundle writes to, as one digest. */
static const char *dump(void)
{
	return fixture_text(
		"SELECT md5(string_agg(t, '/' ORDER BY t)) FROM (SELECT c::text AS t FROM contribution c UNION ALL SELECT k::text FROM contribution_content k UNION ALL SELECT g::text FROM guest g "
		"UNION ALL SELECT o::text FROM item_origin o UNION ALL SELECT o::text FROM origin_coop o UNION ALL SELECT l::text FROM merge_label l UNION ALL SELECT a::text FROM merge_applied a "
		"UNION ALL SELECT p::text FROM merge_passing p UNION ALL SELECT w::text FROM onward_word w UNION ALL SELECT b::text FROM bundle_in b UNION ALL SELECT h::text FROM pool_head h "
		"UNION ALL SELECT m::text FROM merge_conflict m UNION ALL SELECT s::text FROM guest_statement s UNION ALL SELECT e::text FROM erasure e UNION ALL SELECT e::text FROM guest_source e) x");
}

static void expect_refused(struct place *p, const char *reason)
{
	struct merge_report r;
	char before[64];
	snprintf(before, sizeof(before), "%s", dump());
	assert_err(p->c, ERR_REFUSED, merge_apply(p->c, p->coop, mkit_bundle(p->c, &p->g, &p->b, p->g.seq + 1, 1), &r));
	assert_string_equal(p->c->error.reason, reason);
	assert_string_equal(dump(), before);
	error_clear(&p->c->error);
	mkit_end(&p->b);
	mkit_begin(p->c, &p->home, &p->b);
}

static void whatever_is_refused_leaves_everything_as_it_was(void **state)
{
	struct place p;
	struct uuid there = uuid_new();
	(void)state;
	place(&p);
	mkit_words(&p.b, 1, 5, "deny", NULL);
	mkit_record(&p.b, 1, there, "there", CC);
	apply(&p);
	/* a licence that the agreement does not have, after thousands of good lines */
	for (int i = 0; i < 3000; i++)
		mkit_record(&p.b, 1, uuid_new(), str_z(p.c->arena, str_fmt(p.c->arena, "number %d", i)), CC);
	mkit_erase(&p.b, there);
	mkit_record(&p.b, 1, uuid_new(), "last", "LicenseRef-none");
	expect_refused(&p, "outside");
	mkit_record(&p.b, 1, uuid_new(), "last", "CC-BY-NC-ND-4.0");
	expect_refused(&p, "outside");
	/* a contributor of whom nothing was said */
	mkit_record(&p.b, 9, uuid_new(), "whose", CC);
	expect_refused(&p, "outside");
	/* what home says in a person's place goes against what the person said */
	mkit_words(&p.b, 1, 6, "deny", "allow");
	expect_refused(&p, "looser");
	/* one contributor, two lines */
	mkit_words(&p.b, 3, 6, "allow", NULL);
	mkit_words(&p.b, 3, 7, "allow", NULL);
	expect_refused(&p, "malformed");
	/* content that is none of its kind */
	mkit_record_json(&p.b, 1, uuid_new(), "example", "{\"inputs\":\"x\"}", CC);
	expect_refused(&p, "malformed");
	leave(&p);
}

/* Checking comes before applying; what lets anything in is asked for again all the same. */
static void nothing_is_applied_that_was_not_checked_or_is_not_the_agreements(void **state)
{
	struct place p;
	struct merge_report r;
	(void)state;
	place_with(&p, NULL, "\"kinds\":[\"example\"]");
	mkit_words(&p.b, 1, 5, "allow", NULL);
	struct bundle *b = mkit_bundle(p.c, &p.g, &p.b, 1, 1);
	b->checked = false;
	assert_err(p.c, ERR_INTERNAL, merge_apply(p.c, p.coop, b, &r));
	b->checked = true;
	b->from = STR("aaaaaaaaaaaaaaaa");
	assert_err(p.c, ERR_STATE, merge_apply(p.c, p.coop, b, &r));
	assert_string_equal(p.c->error.reason, "unknown_agreement");
	error_clear(&p.c->error);
	assert_int_equal(fixture_int("SELECT count(*) FROM guest"), 0);
	b = mkit_bundle(p.c, &p.g, &p.b, 1, 1);
	assert_ok(p.c, merge_apply(p.c, p.coop, b, &r));
	p.g.seq = 1;
	mkit_end(&p.b);
	mkit_begin(p.c, &p.home, &p.b);
	mkit_record(&p.b, 1, uuid_new(), "hello", CC);
	mkit_apply(p.c, &p.g, &p.b);
	mkit_end(&p.b);
	mkit_begin(p.c, &p.home, &p.b);
	mkit_record_json(&p.b, 1, uuid_new(), "chat", "{\"messages\":[{\"content\":\"hello\",\"role\":\"user\"},{\"content\":\"hello\",\"role\":\"assistant\"}]}", CC);
	expect_refused(&p, "outside");
	/* a whole one may leave numbers out: those that it went past are over */
	mkit_words(&p.b, 1, 6, "allow", NULL);
	b = mkit_bundle(p.c, &p.g, &p.b, 5, 5);
	b->whole = true;
	assert_ok(p.c, merge_apply(p.c, p.coop, b, &r));
	b = mkit_bundle(p.c, &p.g, &p.b, 4, 4);
	b->whole = true;
	assert_err(p.c, ERR_REFUSED, merge_apply(p.c, p.coop, b, &r));
	assert_string_equal(p.c->error.reason, "rollback");
	leave(&p);
}

static void nothing_comes_in_while_the_agreement_is_suspended(void **state)
{
	struct place p;
	struct merge_report r;
	(void)state;
	place(&p);
	mkit_words(&p.b, 1, 5, "allow", NULL);
	fixture_sql("UPDATE agreement_revision SET state = 'suspended', suspended_there = true");
	assert_err(p.c, ERR_STATE, merge_apply(p.c, p.coop, mkit_bundle(p.c, &p.g, &p.b, 1, 1), &r));
	leave(&p);
}

static void both_moderate_where_the_agreement_says_so(void **state)
{
	struct place p;
	(void)state;
	place_with(&p, "\"moderation\":{\"mode\":\"hold\"}", "\"moderation\":\"both\"");
	mkit_words(&p.b, 1, 5, "allow", NULL);
	mkit_record(&p.b, 1, uuid_new(), "one", CC);
	apply(&p);
	assert_int_equal(fixture_int("SELECT count(*) FROM contribution WHERE (word >> 9 & 3) = 0"), 1);
	leave(&p);
}

static void near_duplicates_are_advice_with_a_gate(void **state)
{
	struct place p;
	struct merge_near_run run;
	struct merge_near_cluster *clusters;
	struct str next;
	size_t n;
	(void)state;
	static const char *const text = "A landlord may not take away the heating in winter because a tenant has complained about the stairs, nor ask for a higher rent in the same letter";
	place(&p);
	struct call *admin = world_member(p.coop, "active");
	world_submit(admin, p.coop, str_z(p.c->arena, str_fmt(p.c->arena, "%s.", text)));
	mkit_words(&p.b, 1, 5, "allow", NULL);
	mkit_record(&p.b, 1, uuid_new(), str_z(p.c->arena, str_fmt(p.c->arena, "%s!", text)), CC);
	mkit_record(&p.b, 1, uuid_new(), "Something else entirely, about the price of bread in the north and who bakes it there", CC);
	apply(&p);
	assert_ok(p.c, merge_near_run(p.c, p.coop));
	assert_ok(admin, merge_near_read(admin, p.coop, STR_NONE, 10, &run, &clusters, &n, &next));
	assert_int_equal(run.texts, 3);
	assert_int_equal(n, 1);
	assert_int_equal(clusters[0].n, 2);
	assert_false(run.fair); /* whoever loses it loses half, or all */
	assert_true(run.n_losses >= 2);
	assert_int_equal(fixture_int("SELECT count(*) FROM contribution WHERE (word & 65536) <> 0"), 0);
	leave(&p);
}

static void only_admins_see_conflicts_and_clusters(void **state)
{
	struct place p;
	struct merge_conflict *found;
	struct merge_near_run run;
	struct merge_near_cluster *clusters;
	struct str next;
	size_t n;
	(void)state;
	place(&p);
	(void)world_member(p.coop, "active");
	struct call *member = world_member(p.coop, "active");
	assert_err(member, ERR_FORBIDDEN, merge_conflict_list(member, p.coop, false, STR_NONE, 10, &found, &n, &next));
	error_clear(&member->error);
	assert_err(member, ERR_FORBIDDEN, merge_near_read(member, p.coop, STR_NONE, 10, &run, &clusters, &n, &next));
	leave(&p);
}

static void a_mapping_says_a_record_in_our_words(void **state)
{
	struct call *c = fixture_call();
	struct str out;
	struct error e = { 0 };
	(void)state;
	const struct json *maps = world_json(c, "{\"version\":1,\"maps\":[{\"home\":\"aaaaaaaaaaaaaaa2\",\"from\":\"soil\",\"to\":\"soil-sample\",\"fields\":{\"acidity\":\"ph\",\"where\":{\"is\":\"place\","
		"\"values\":{\"N\":\"north\"}}}}]}");
	assert_ok(c, merge_mappings_check(c->arena, maps, &c->error));
	const struct json *content = world_json(c, "{\"schema\":\"soil\",\"data\":{\"ph\":6.40,\"place\":\"N\",\"more\":1}}");
	assert_ok(c, merge_map_record(c->arena, maps, STR("aaaaaaaaaaaaaaa2"), content, &out, &c->error));
	assert_str(out, "{\"data\":{\"acidity\":6.40,\"where\":\"north\"},\"schema\":\"soil-sample\"}");
	assert_int_equal(merge_map_record(c->arena, maps, STR("bbbbbbbbbbbbbbb2"), content, &out, &e), ERR_NOT_FOUND);
	error_clear(&e);
	assert_int_equal(merge_mappings_check(c->arena, world_json(c, "{\"version\":1,\"maps\":[{\"from\":\"a\"}]}"), &e), ERR_INVALID);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		fixture_test(a_record_becomes_a_row_of_its_guest),
		fixture_test(applying_twice_is_a_no_op),
		fixture_test(a_missing_bundle_is_waited_for_and_an_old_one_refused),
		fixture_test(the_same_content_becomes_an_origin_and_no_row),
		fixture_test(two_versions_of_one_rid_are_kept_out_with_their_proof),
		fixture_test(two_lines_of_one_revision_are_both_kept_and_neither_acted_on),
		fixture_test(of_out_and_back_at_one_revision_out_stands_whichever_comes_first),
		fixture_test(an_id_of_ours_is_not_taken_over),
		fixture_test(erasing_wins_whichever_comes_first),
		fixture_test(erased_content_is_not_taken_again_under_another_rid),
		fixture_test(what_is_no_longer_passed_on_waits_and_comes_back),
		fixture_test(labels_are_sets_and_the_latest_word_stands),
		fixture_test(records_of_an_unmapped_schema_are_kept_raw_until_somebody_decides),
		fixture_test(whatever_is_refused_leaves_everything_as_it_was),
		fixture_test(nothing_is_applied_that_was_not_checked_or_is_not_the_agreements), fixture_test(nothing_comes_in_while_the_agreement_is_suspended),
		fixture_test(both_moderate_where_the_agreement_says_so),
		fixture_test(near_duplicates_are_advice_with_a_gate),
		fixture_test(only_admins_see_conflicts_and_clusters),
		fixture_test(a_mapping_says_a_record_in_our_words),
	};
	if (!crypto_start())
		return 1;
	return fixture_run(tests, CH_LEN(tests));
}
