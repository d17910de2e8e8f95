/* Trying a merge out before anybody votes: what a preview tells, and that both sides come to the same numbers. */
#include "world.h"

#include "commonhold/agreement.h"
#include "commonhold/ledger.h"
#include "server/merge/preview/preview_internal.h"

/* Two co-ops, and terms between them as an agreement would have them. */
struct two {
	struct world at[2];            /* in order of key name, as parties are */
	struct coop coop[2];
	struct charter charter[2];
	struct agreement_terms terms;
	uint8_t key[32];               /* pairwise */
	struct call *c;
};

static void facts(struct two *t, int i)
{
	assert_ok(t->c, db_begin_in(t->c, t->at[i].coop, DB_READ));
	assert_ok(t->c, coop_get(t->c, t->at[i].coop, &t->coop[i]));
	assert_ok(t->c, charter_current(t->c, t->at[i].coop, &t->charter[i]));
	assert_ok(t->c, db_commit(t->c));
}

static void two_make(struct two *t, const char *first, const char *second)
{
	world_make(&t->at[0], first);
	world_make_as(&t->at[1], "other", second);
	t->c = t->at[0].system;
	facts(t, 0);
	facts(t, 1);
	if (str_cmp(t->coop[0].key_name, t->coop[1].key_name) > 0) {
		struct world w = t->at[0];
		t->at[0] = t->at[1];
		t->at[1] = w;
		facts(t, 0);
		facts(t, 1);
	}
	memset(t->key, 7, sizeof(t->key));
	t->terms = (struct agreement_terms){
		.document = STR("{}"), .digest = sha256(STR("{}")), .parties = { t->coop[0].key_name, t->coop[1].key_name }, .charters = { t->charter[0].digest, t->charter[1].digest },
		.flow = { true, true }, .kinds = 0xff, .uses = 1u << POLICY_USE_TRAIN_GEN, .purposes = 1u << POLICY_PURPOSE_RESEARCH, .licences = ~UINT64_C(0), .audience = POLICY_AUDIENCE_GATED_MANUAL,
		.joint = t->coop[0].key_name, .licence_mode = POLICY_COLLECTION,
	};
}

static struct outline outline_of(struct two *t, int i, uint32_t **who)
{
	struct release_joint together = { .partner_charter = t->charter[!i].document };
	const struct charter *charters[2] = { &t->charter[0], &t->charter[1] };
	struct call *c = t->at[i].system;
	struct release_trial trial;
	struct outline out;
	struct sign_key sign;
	struct str file;
	struct uuid members[64];
	assert_ok(c, joint_document(c->arena, &t->terms, charters, &(struct joint_when){ .cutoff = clock_now() }, &together.document, &c->error));
	assert_ok(c, release_try(c, t->at[i].coop, &together, &trial));
	assert_ok(c, db_begin_in(c, t->at[i].coop, DB_READ));
	assert_ok(c, ledger_key(c, t->at[i].coop, &sign));
	assert_ok(c, db_commit(c));
	assert_true(trial.n_members <= CH_LEN(members));
	for (size_t m = 0; m < trial.n_members; m++)
		memset(members[m].b, (int)m + 1, 16);
	struct preview_source from = { &t->terms, t->coop[i].key_name, t->coop[!i].key_name, &t->charter[i], &trial, t->key, members, &sign, { 0 } };
	assert_ok(c, preview_write(c->arena, &from, &file, who, &c->error));
	assert_ok(c, preview_read(c->arena, file, &out, &c->error));
	assert_memory_equal(out.key, sign.public_key, 32);
	return out;
}

static const struct json *try_out(struct two *t, const struct outline *a, const struct outline *b, int us, struct dry_run_person **own)
{
	struct call *c = t->at[us].system;
	const struct outline *both[2] = { a, b };
	const struct json *v;
	struct str text;
	assert_ok(c, dry_run_compute(c->arena, &t->terms, both, us, &text, own, &c->error));
	assert_ok(c, json_parse(c->arena, text, &v, &c->error));
	return v;
}

static int64_t at(const struct json *v, const char *pointer)
{
	const struct json *found = json_at(v, pointer);
	if (!found)
		fail_msg("nothing at %s", pointer);
	return json_int(found, INT64_MIN);
}

static void a_preview_lists_what_would_pass_and_counts_the_rest(void **state)
{
	(void)state;
	struct two t;
	uint32_t *who;
	two_make(&t, NULL, NULL);
	world_say(&t.at[0], 1, "allow");
	world_say(&t.at[0], 2, "deny");
	world_contribute(&t.at[0], 1, "a story of the sea");
	world_contribute(&t.at[0], 1, "a story of the hills");
	world_contribute(&t.at[0], 2, "a story that stays");
	struct outline o = outline_of(&t, 0, &who);
	assert_int_equal(o.n_items, 2);
	assert_int_equal(o.n_people, 1);
	assert_int_equal(o.candidates, 3);
	assert_int_equal(o.unlisted[POLICY_REASON_NO_PREF_DENY], 1);
	assert_int_equal(o.people[0].said[POLICY_KIND_EXAMPLE].allow, 1u << POLICY_USE_TRAIN_GEN);
	assert_int_equal(o.items[0].bytes, 64);
}

static void a_preview_holds_no_content_no_ids_and_nobody(void **state)
{
	(void)state;
	struct two t;
	struct call *c;
	uint32_t *who = NULL;
	two_make(&t, NULL, NULL);
	c = t.at[0].system;
	world_say(&t.at[0], 1, "allow");
	struct uuid item = world_contribute(&t.at[0], 1, "a very secret story");
	struct release_joint together = { .partner_charter = t.charter[1].document };
	const struct charter *charters[2] = { &t.charter[0], &t.charter[1] };
	struct release_trial trial;
	struct sign_key sign;
	struct str file;
	struct uuid members[64] = { 0 };
	assert_ok(c, joint_document(c->arena, &t.terms, charters, &(struct joint_when){ .cutoff = clock_now() }, &together.document, &c->error));
	assert_ok(c, release_try(c, t.at[0].coop, &together, &trial));
	sign_key_new(&sign);
	struct preview_source from = { &t.terms, t.coop[0].key_name, t.coop[1].key_name, &t.charter[0], &trial, t.key, members, &sign, { 0 } };
	assert_ok(c, preview_write(c->arena, &from, &file, &who, &c->error));
	const struct str never[] = { STR("secret"), uuid_format(c->arena, item), uuid_format(c->arena, t.at[0].id[1]), str_hex(c->arena, trial.hashes[0], 32), STR("member1") };
	for (size_t i = 0; i < CH_LEN(never); i++)
		assert_null(memmem(file.p, file.n, never[i].p, never[i].n));
}

static struct str counted(struct call *c, struct str body, const struct sign_key *key, const char *was, const char *is)
{
	uint8_t signature[64];
	const char *at = memmem(body.p, body.n, was, strlen(was));
	assert_non_null(at);
	size_t head = (size_t)(at - body.p);
	body = str_cat(c->arena, str_sub(body, 0, head), str_of(is), str_sub(body, head + strlen(was), body.n));
	sign_bytes(key, str_cat(c->arena, STR(PREVIEW_SIGNED_PREFIX), sha256_hex(c->arena, sha256(body))), signature);
	return str_cat(c->arena, body, str_fmt(c->arena, "{\"key\":\"%.*s\",\"sig\":\"%.*s\"}\n", STR_ARG(str_hex(c->arena, key->public_key, 32)), STR_ARG(str_base64(c->arena, signature, 64))));
}

/* A head that announces what its file cannot hold takes no memory for it. */
static void a_preview_cannot_claim_more_than_its_file_holds(void **state)
{
	(void)state;
	struct two t;
	struct outline out;
	uint32_t *who = NULL;
	two_make(&t, NULL, NULL);
	struct call *c = t.at[0].system;
	world_say(&t.at[0], 1, "allow");
	world_contribute(&t.at[0], 1, "a story");
	struct release_joint together = { .partner_charter = t.charter[1].document };
	const struct charter *charters[2] = { &t.charter[0], &t.charter[1] };
	struct release_trial trial;
	struct sign_key sign;
	struct str file;
	struct uuid members[64] = { 0 };
	assert_ok(c, joint_document(c->arena, &t.terms, charters, &(struct joint_when){ .cutoff = clock_now() }, &together.document, &c->error));
	assert_ok(c, release_try(c, t.at[0].coop, &together, &trial));
	sign_key_new(&sign);
	struct preview_source from = { &t.terms, t.coop[0].key_name, t.coop[1].key_name, &t.charter[0], &trial, t.key, members, &sign };
	assert_ok(c, preview_write(c->arena, &from, &file, &who, &c->error));
	struct str body = str_sub(file, 0, file.n - 1);
	while (body.n && body.p[body.n - 1] != '\n')
		body = str_sub(body, 0, body.n - 1);
	struct arena *small = arena_new(4 * MIB);
	assert_int_equal(preview_read(small, counted(c, body, &sign, "\"candidates\":1,\"items\":1,\"people\":1", "\"candidates\":1,\"items\":1,\"people\":1"), &out, &c->error), ERR_OK);
	assert_int_equal(preview_read(small, counted(c, body, &sign, "\"candidates\":1,\"items\":1,\"people\":1", "\"candidates\":900000,\"items\":900000,\"people\":900000"), &out, &c->error), ERR_INVALID);
	arena_free(small);
	error_clear(&c->error);
}

static void both_sides_come_to_the_same_numbers(void **state)
{
	(void)state;
	struct two t;
	uint32_t *who;
	struct dry_run_person *own;
	two_make(&t, NULL, NULL);
	for (int i = 0; i < 2; i++) {
		world_say(&t.at[i], 1, "allow");
		world_contribute(&t.at[i], 1, i ? "a story of the one" : "a story of the other");
		world_contribute(&t.at[i], 1, "a story that both have");
	}
	struct outline a = outline_of(&t, 0, &who), b = outline_of(&t, 1, &who);
	const struct outline *both[2] = { &a, &b };
	struct str first, second;
	struct call *c = t.at[0].system;
	assert_ok(c, dry_run_compute(c->arena, &t.terms, both, 0, &first, &own, &c->error));
	assert_ok(c, dry_run_compute(c->arena, &t.terms, both, 1, &second, &own, &c->error));
	assert_true(str_eq(first, second));
	const struct json *v = try_out(&t, &a, &b, 0, NULL);
	assert_int_equal(at(v, "/duplicates"), 1);
	assert_int_equal(at(v, "/joint/outcomes/include"), 3);
	assert_int_equal(at(v, "/joint/items"), 4);
	assert_int_equal(at(v, "/parties/0/at_partner/include"), 2);
	assert_int_equal(own[0].items, 2);
	assert_int_equal(own[0].in_joint, 2);
}

static void a_no_in_one_pool_holds_the_same_content_out_of_both(void **state)
{
	(void)state;
	struct two t;
	uint32_t *who;
	two_make(&t, NULL, NULL);
	world_say(&t.at[0], 1, "allow");
	world_say(&t.at[1], 1, "allow");
	world_contribute(&t.at[0], 1, "a story that both have");
	world_contribute(&t.at[1], 1, "a story that both have");
	struct outline a = outline_of(&t, 0, &who), b = outline_of(&t, 1, &who);
	b.items[0].joint |= POLICY_REASON(PREF_DENY);
	const struct json *v = try_out(&t, &a, &b, 0, NULL);
	assert_int_equal(at(v, "/conflicts/permission"), 1);
	assert_int_equal(at(v, "/joint/outcomes/exclude"), 1);
	assert_int_equal(at(v, "/parties/0/items_lost"), 1);
	assert_int_equal(at(v, "/parties/0/reasons_gained/PREF_DENY"), 1);
}

static void k_counts_the_people_of_both(void **state)
{
	(void)state;
	struct two t;
	uint32_t *who;
	const char *three = "{\"release\":{\"uses\":[\"train.gen\"],\"purposes\":[\"research\"],\"audience\":\"gated_manual\",\"k_contributors\":4}}";
	two_make(&t, three, three);
	for (int i = 0; i < 2; i++) {
		for (int m = 1; m < 3; m++) {
			world_say(&t.at[i], m, "allow");
			world_contribute(&t.at[i], m, i ? m > 1 ? "one" : "two" : m > 1 ? "three" : "four");
		}
	}
	struct outline a = outline_of(&t, 0, &who), b = outline_of(&t, 1, &who);
	const struct json *v = try_out(&t, &a, &b, 0, NULL);
	assert_int_equal(at(v, "/parties/0/alone/hold"), 2);
	assert_int_equal(at(v, "/parties/0/reasons_lost/K_MIN"), 2);
	assert_int_equal(at(v, "/joint/outcomes/include"), 4);
	assert_true(json_is(json_at(v, "/parties/0/people"), JSON_NULL)); /* two people are fewer than may be counted */
	assert_int_equal(at(v, "/joint/contributors"), 4);
}

static void a_preview_that_was_changed_is_refused(void **state)
{
	(void)state;
	struct two t;
	uint32_t *who;
	two_make(&t, NULL, NULL);
	world_say(&t.at[0], 1, "allow");
	world_contribute(&t.at[0], 1, "a story");
	struct outline o = outline_of(&t, 0, &who), other = outline_of(&t, 1, &who);
	struct call *c = t.at[0].system;
	struct str text;
	const struct outline *twice[2] = { &o, &o }, *both[2] = { &o, &other };
	assert_int_equal(dry_run_compute(c->arena, &t.terms, twice, 0, &text, NULL, &c->error), ERR_INVALID);
	t.terms.charters[0].b[0] ^= 1;
	assert_int_equal(dry_run_compute(c->arena, &t.terms, both, 0, &text, NULL, &c->error), ERR_INVALID);
	struct outline bad;
	assert_int_equal(preview_read(c->arena, STR("{}\n"), &bad, &c->error), ERR_INVALID);
	assert_int_equal(preview_read(c->arena, STR(""), &bad, &c->error), ERR_INVALID);
	assert_int_equal(preview_read(c->arena, STR("{}\n{\"key\":\"00\",\"sig\":\"AA==\"}\n"), &bad, &c->error), ERR_INVALID);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		fixture_test(a_preview_lists_what_would_pass_and_counts_the_rest), fixture_test(a_preview_holds_no_content_no_ids_and_nobody),
		fixture_test(both_sides_come_to_the_same_numbers), fixture_test(a_no_in_one_pool_holds_the_same_content_out_of_both), fixture_test(k_counts_the_people_of_both),
		fixture_test(a_preview_that_was_changed_is_refused), fixture_test(a_preview_cannot_claim_more_than_its_file_holds),
	};
	return fixture_run(tests, CH_LEN(tests));
}
