/* Submitting, reading and moderating contributions, and bad input. */
#include "pool_world.h"

#include "commonhold/assets.h"
#include "commonhold/keyring.h"
#include "commonhold/ledger.h"
#include "commonhold/policy.h"

static const char *hex_of(struct call *c, const char *text)
{
	return str_z(c->arena, str_hex(c->arena, text, strlen(text)));
}

/* How much there is of anything that a submission writes. */
static int64_t rows_written(void)
{
	return fixture_int("SELECT (SELECT count(*) FROM contribution) + (SELECT count(*) FROM contribution_content) + (SELECT count(*) FROM log_leaf) + "
		"(SELECT count(*) FROM statement) + (SELECT count(*) FROM moderation_decision) + (SELECT coalesce(sum(next_item), 0)::bigint FROM pool_head) + "
		"(SELECT sum(contributed)::bigint FROM membership)");
}

/* The submission is refused with the code, blames the pointer, and nothing was written. */
static void refused(struct call *c, struct uuid coop, const char *submission, enum err code, const char *pointer)
{
	struct receipt r;
	int64_t before = rows_written();
	error_clear(&c->error);
	assert_err(c, code, pool_submit(c, coop, world_json(c, submission), &r));
	bool blamed = pointer == NULL;
	for (const struct fault *f = c->error.faults; f; f = f->next)
		blamed |= pointer && str_is(f->pointer, pointer);
	if (!blamed)
		fail_msg("%s: %s blames %.*s, not %s", submission, c->error.message, STR_ARG(c->error.faults ? c->error.faults->pointer : STR("nothing")), pointer);
	assert_int_equal(rows_written(), before);
}

static void every_kind_is_taken_and_comes_back_as_it_was_sent(void **state)
{
	(void)state;
	static const char *const kinds[] = { "chat", "preference", "example", "feedback", "signal", "bundle", "record" };
	struct uuid coop = world_coop("");
	struct call *c = world_member(coop, "active");
	for (size_t i = 0; i < CH_LEN(kinds); i++) {
		const struct json *schema = world_json(c, str_z(c->arena, asset_find(str_fmt(c->arena, "schemas/%s.json", kinds[i]))));
		const struct json *content = json_get(schema, "examples")->child;
		struct buf canonical, submission;
		struct receipt r;
		struct contribution item;
		struct str plain;
		buf_init(&canonical, MIB);
		buf_init(&submission, MIB);
		json_canonical(&canonical, content, true);
		buf_addf(&submission, "{\"kind\":\"%s\",\"lang\":\"de-CH\",\"content\":%.*s}", kinds[i], STR_ARG(buf_str(&canonical)));
		assert_ok(c, pool_submit(c, coop, world_json(c, str_z(c->arena, buf_str(&submission))), &r));
		assert_str(r.status, "approved");
		assert_false(r.duplicate);
		assert_ok(c, pool_read(c, coop, r.id, &item, &plain));
		assert_true(str_eq(plain, buf_str(&canonical)));
		assert_memory_equal(item.content_sha256.b, sha256(plain).b, 32);
		assert_int_equal(item.kind, policy_kind_find(kinds[i], strlen(kinds[i])));
		assert_int_equal(policy_item_unpack(item.word, item.more, 0).kind, item.kind);
		assert_str(item.lang, "de-CH");
		assert_int_equal(item.item_no, i);
		buf_release(&canonical);
		buf_release(&submission);
	}
}

static void a_receipt_holds_a_proof_of_a_leaf_that_reveals_nothing(void **state)
{
	(void)state;
	struct uuid coop = world_coop("");
	struct call *c = world_member(coop, "active");
	struct receipt r = world_submit(c, coop, "a question nobody else asks"), again;
	struct tlog_proof proof;
	uint64_t size;
	struct sha256 root;
	struct str origin;
	struct sign_key key;
	assert_ok(c, tlog_proof_read(c->arena, r.proof, &proof, &c->error));
	assert_int_equal(proof.index, r.leaf);
	assert_ok(c, db_begin_in(c, coop, DB_READ));
	assert_ok(c, ledger_origin(c, coop, &origin));
	assert_ok(c, ledger_key(c, coop, &key));
	assert_ok(c, db_commit(c));
	assert_ok(c, checkpoint_verify(c->arena, proof.checkpoint, origin, key.public_key, &size, &root, &c->error));
	assert_true(merkle_inclusion_ok(merkle_leaf(proof.entry), proof.index, size, proof.path, proof.n, root));
	assert_non_null(memmem(proof.entry.p, proof.entry.n, r.rid.p, r.rid.n));
	struct str hash = sha256_hex(c->arena, r.content_sha256);
	assert_null(memmem(proof.entry.p, proof.entry.n, hash.p, hash.n));
	assert_null(memmem(proof.entry.p, proof.entry.n, "question", 8));
	/* and a fresh one later, against a longer log */
	world_submit(c, coop, "another");
	assert_ok(c, pool_receipt(c, coop, r.id, &again));
	assert_ok(c, tlog_proof_read(c->arena, again.proof, &proof, &c->error));
	assert_ok(c, checkpoint_verify(c->arena, proof.checkpoint, origin, key.public_key, &size, &root, &c->error));
	assert_int_equal(size, 2);
	assert_true(merkle_inclusion_ok(merkle_leaf(proof.entry), proof.index, size, proof.path, proof.n, root));
}

static void the_commitment_opens_with_salt_and_content(void **state)
{
	(void)state;
	struct uuid coop = world_coop("");
	struct call *c = world_member(coop, "active");
	struct receipt r = world_submit(c, coop, "committed");
	uint8_t salt[32];
	assert_true(str_unhex(str_of(fixture_text("SELECT encode(salt, 'hex') FROM contribution")), salt, 32));
	struct tlog_proof proof;
	assert_ok(c, tlog_proof_read(c->arena, r.proof, &proof, &c->error));
	struct str commitment = sha256_hex(c->arena, ledger_commitment(salt, r.content_sha256));
	assert_non_null(memmem(proof.entry.p, proof.entry.n, commitment.p, commitment.n));
}

static void every_bad_submission_names_its_field_and_changes_nothing(void **state)
{
	(void)state;
	static const struct { const char *submission; enum err code; const char *pointer; } bad[] = {
		{ "{}", ERR_INVALID, "/kind" },
		{ "[]", ERR_INVALID, "" },
		{ "{\"kind\":\"poem\",\"content\":{}}", ERR_INVALID, "/kind" },
		{ "{\"kind\":\"example\"}", ERR_INVALID, "/content" },
		{ "{\"kind\":\"example\",\"content\":[]}", ERR_INVALID, "/content" },
		{ "{\"kind\":\"example\",\"content\":{}}", ERR_INVALID, "/content/input" },
		{ "{\"kind\":\"example\",\"content\":{\"input\":7}}", ERR_INVALID, "/content/input" },
		{ "{\"kind\":\"example\",\"content\":{\"input\":\"\"}}", ERR_INVALID, "/content/input" },
		{ "{\"kind\":\"example\",\"content\":{\"input\":\"a\",\"inptu\":\"b\"}}", ERR_INVALID, "/content/inptu" },
		{ "{\"kind\":\"example\",\"content\":{\"input\":\"a\"},\"contents\":1}", ERR_INVALID, "/contents" },
		{ "{\"kind\":\"example\",\"content\":{\"input\":\"a\"},\"lang\":\"english please\"}", ERR_INVALID, "/lang" },
		{ "{\"kind\":\"example\",\"content\":{\"input\":\"a\"},\"licence\":\"MY-OWN-1.0\"}", ERR_INVALID, "/licence" },
		{ "{\"kind\":\"example\",\"content\":{\"input\":\"a\"},\"licence\":\"CC-BY-NC-4.0\"}", ERR_REFUSED, "/licence" },
		{ "{\"kind\":\"example\",\"content\":{\"input\":\"a\"},\"attribution\":\"public\"}", ERR_INVALID, "/attribution" },
		{ "{\"kind\":\"example\",\"content\":{\"input\":\"a\"},\"created\":\"yesterday\"}", ERR_INVALID, "/created" },
		{ "{\"kind\":\"example\",\"content\":{\"input\":\"a\"},\"prompted\":\"maybe\"}", ERR_INVALID, "/prompted" },
		{ "{\"kind\":\"example\",\"content\":{\"input\":\"a\"},\"ai_preferences\":\"\"}", ERR_INVALID, "/ai_preferences" },
		{ "{\"kind\":\"chat\",\"content\":{\"messages\":[]}}", ERR_INVALID, "/content/messages" },
		{ "{\"kind\":\"record\",\"content\":{\"data\":{\"a\":1}}}", ERR_INVALID, "/content/schema" },
		{ "{\"kind\":\"signal\",\"content\":{\"input\":\"a\"}}", ERR_INVALID, NULL },
	};
	struct uuid coop = world_coop("");
	struct call *c = world_member(coop, "active");
	for (size_t i = 0; i < CH_LEN(bad); i++)
		refused(c, coop, bad[i].submission, bad[i].code, bad[i].pointer);
}

static void a_kind_that_the_charter_does_not_take_is_refused(void **state)
{
	(void)state;
	struct uuid coop = world_coop("\"kinds\":[\"chat\",\"feedback\"]");
	struct call *c = world_member(coop, "active");
	refused(c, coop, "{\"kind\":\"example\",\"content\":{\"input\":\"a\"}}", ERR_REFUSED, "/kind");
}

static void only_members_in_good_standing_contribute(void **state)
{
	(void)state;
	static const char *const states[] = { "applied", "lapsed", "left", "removed" };
	static const char *const good[] = { "active", "due", "grace" };
	struct uuid coop = world_coop(""), other = world_coop("");
	struct receipt r;
	for (size_t i = 0; i < CH_LEN(good); i++)
		world_submit(world_member(coop, good[i]), coop, good[i]);
	for (size_t i = 0; i < CH_LEN(states); i++) {
		struct call *c = world_member(coop, states[i]);
		assert_err(c, ERR_FORBIDDEN, pool_submit(c, coop, world_example(c, "hello"), &r));
	}
	struct call *stranger = world_member(other, "active");
	assert_err(stranger, ERR_NOT_FOUND, pool_submit(stranger, coop, world_example(stranger, "hello"), &r));
	assert_int_equal(fixture_int("SELECT count(*) FROM contribution"), 3);
}

static void the_licence_is_the_stated_one_else_the_members_else_the_charters(void **state)
{
	(void)state;
	struct uuid coop = world_coop("\"licence\":{\"default\":\"CC-BY-4.0\",\"allowed\":[\"CC0-1.0\",\"CC-BY-4.0\",\"CC-BY-SA-4.0\"]}");
	struct call *c = world_member(coop, "active");
	struct receipt r = world_submit(c, coop, "first");
	struct contribution item;
	assert_ok(c, pool_read(c, coop, r.id, &item, NULL));
	assert_int_equal(item.licence, POLICY_LICENCE_CC_BY_4_0);
	fixture_sql("INSERT INTO licence_choice (coop_id, member_id, licence, at) SELECT coop_id, id, 'CC0-1.0', statement_timestamp() FROM membership");
	r = world_submit(c, coop, "second");
	assert_ok(c, pool_read(c, coop, r.id, &item, NULL));
	assert_int_equal(item.licence, POLICY_LICENCE_CC0_1_0);
	assert_ok(c, pool_submit(c, coop, world_json(c, "{\"kind\":\"example\",\"content\":{\"input\":\"third\"},\"licence\":\"CC-BY-SA-4.0\"}"), &r));
	assert_ok(c, pool_read(c, coop, r.id, &item, NULL));
	assert_int_equal(item.licence, POLICY_LICENCE_CC_BY_SA_4_0);
	assert_int_equal(policy_item_unpack(item.word, 0, 0).licence, POLICY_LICENCE_CC_BY_SA_4_0);
	/* a choice that a later charter no longer allows gives way to the default */
	world_charter(coop, "\"licence\":{\"default\":\"CC-BY-4.0\",\"allowed\":[\"CC-BY-4.0\"]}");
	r = world_submit(c, coop, "fourth");
	assert_ok(c, pool_read(c, coop, r.id, &item, NULL));
	assert_int_equal(item.licence, POLICY_LICENCE_CC_BY_4_0);
}

static void the_same_content_again_answers_the_first_receipt(void **state)
{
	(void)state;
	struct uuid coop = world_coop("");
	struct call *c = world_member(coop, "active");
	struct receipt first = world_submit(c, coop, "once"), again;
	int64_t before = rows_written();
	/* other circumstances, other order of members, other escapes: the content is the same */
	assert_ok(c, pool_submit(c, coop, world_json(c, "{\"content\":{\"input\":\"\\u006fnce\"},\"kind\":\"example\",\"application\":\"elsewhere\"}"), &again));
	assert_true(again.duplicate);
	assert_true(uuid_eq(first.id, again.id));
	assert_int_equal(first.leaf, again.leaf);
	assert_int_equal(first.submitted_at, again.submitted_at);
	assert_int_equal(rows_written(), before);
}

static void text_is_not_normalised(void **state)
{
	(void)state;
	struct uuid coop = world_coop("");
	struct call *c = world_member(coop, "active");
	struct receipt composed = world_submit(c, coop, "caf\xc3\xa9"), decomposed = world_submit(c, coop, "cafe\xcc\x81");
	assert_false(decomposed.duplicate);
	assert_false(uuid_eq(composed.id, decomposed.id));
}

static bool is_duplicate(struct uuid id)
{
	struct call *c = fixture_system();
	struct str text = uuid_format(c->arena, id);
	int64_t word = fixture_int(str_z(c->arena, str_fmt(c->arena, "SELECT word FROM contribution WHERE id = '%.*s'", STR_ARG(text))));
	fixture_end(c);
	return word & POLICY_ITEM_DUPLICATE;
}

static void anothers_duplicate_is_kept_and_marked_while_the_earlier_one_stands(void **state)
{
	(void)state;
	struct uuid coop = world_coop("");
	struct call *admin = world_member(coop, "active"), *b = world_member(coop, "active"), *c = world_member(coop, "active");
	struct receipt first = world_submit(admin, coop, "shared"), second = world_submit(b, coop, "shared"), third = world_submit(c, coop, "shared");
	struct contribution item;
	assert_false(second.duplicate);
	assert_int_equal(second.n_reasons, 1);
	assert_false(is_duplicate(first.id));
	assert_true(is_duplicate(second.id));
	assert_true(is_duplicate(third.id));
	assert_ok(admin, pool_moderate(admin, coop, first.id, false, STR("off topic"), &item));
	assert_false(is_duplicate(first.id));
	assert_false(is_duplicate(second.id));
	assert_true(is_duplicate(third.id));
	assert_ok(admin, pool_moderate(admin, coop, first.id, true, STR_NONE, &item));
	assert_true(is_duplicate(second.id));
	/* erasure of the earliest lets the next one stand */
	fixture_sql("SET commonhold.coop = ''; UPDATE contribution SET word = word | 4096 WHERE item_no = 0");
	assert_false(is_duplicate(second.id));
	assert_true(is_duplicate(third.id));
}

static void nothing_plain_gets_into_the_database(void **state)
{
	(void)state;
	static const char secret[] = "the heron stands in the reeds at dawn";
	struct uuid coop = world_coop("");
	struct call *c = world_member(coop, "active");
	world_submit(c, coop, secret);
	const char *tables[] = { "contribution", "contribution_content", "moderation_decision", "log_leaf", "statement" };
	for (size_t i = 0; i < CH_LEN(tables); i++)
		assert_int_equal(fixture_int(str_z(c->arena, str_fmt(c->arena,
			"SELECT count(*) FROM %s t WHERE position('%s' IN t::text) > 0 OR position('%s' IN t::text) > 0", tables[i], secret, hex_of(c, secret)))), 0);
	assert_int_equal(fixture_int("SELECT count(*) FROM contribution_content WHERE length(sealed) > 40"), 1);
}

static void sealed_content_does_not_open_as_another_items(void **state)
{
	(void)state;
	struct uuid coop = world_coop("");
	struct call *c = world_member(coop, "active");
	struct receipt a = world_submit(c, coop, "aaaa"), b = world_submit(c, coop, "bbbb");
	struct contribution item;
	struct str plain;
	fixture_sql(str_z(c->arena, str_fmt(c->arena, "UPDATE contribution_content SET sealed = (SELECT sealed FROM contribution_content WHERE id = '%.*s') WHERE id = '%.*s'",
		STR_ARG(uuid_format(c->arena, a.id)), STR_ARG(uuid_format(c->arena, b.id)))));
	assert_err(c, ERR_CORRUPT, pool_read(c, coop, b.id, &item, &plain));
}

#define WITH_EMAIL "{\"kind\":\"example\",\"content\":{\"input\":\"Write to anna.meier@bluewin.ch please\",\"output\":\"%s\"}}"

static const struct json *with_email(struct call *c, const char *output)
{
	return world_json(c, str_z(c->arena, str_fmt(c->arena, WITH_EMAIL, output)));
}

static void personal_data_is_held_as_the_charter_says(void **state)
{
	(void)state;
	struct receipt r;
	struct contribution item;
	struct uuid hold = world_coop("\"moderation\":{\"pii\":{\"action\":\"hold\",\"threshold\":1}}");
	struct call *c = world_member(hold, "active");
	assert_ok(c, pool_submit(c, hold, with_email(c, "ok"), &r));
	assert_str(r.status, "pending");
	assert_int_equal(r.n_reasons, 1);
	assert_ok(c, pool_read(c, hold, r.id, &item, NULL));
	assert_true(item.word & POLICY_ITEM_PII);
	assert_int_equal(item.findings, 1);
	assert_non_null(memmem(item.facts.p, item.facts.n, "{\"found\":{\"email\":1},\"processor\":\"commonhold-pii\"", 48));
	assert_int_equal(fixture_int("SELECT count(*) FROM moderation_decision WHERE decision = 'hold' AND stage = 'on_submission' AND by_account IS NULL AND reason = 'email'"), 1);

	struct uuid twice = world_coop("\"moderation\":{\"pii\":{\"action\":\"hold\",\"threshold\":2}}");
	c = world_member(twice, "active");
	assert_ok(c, pool_submit(c, twice, with_email(c, "ok"), &r));
	assert_str(r.status, "approved");
	assert_ok(c, pool_submit(c, twice, with_email(c, "or to peter.muster@bluewin.ch"), &r));
	assert_str(r.status, "pending");

	struct uuid noted = world_coop("\"moderation\":{\"pii\":{\"action\":\"approve\"}}");
	c = world_member(noted, "active");
	assert_ok(c, pool_submit(c, noted, with_email(c, "ok"), &r));
	assert_str(r.status, "approved");
	assert_ok(c, pool_read(c, noted, r.id, &item, NULL));
	assert_false(item.word & POLICY_ITEM_PII);
	assert_int_equal(item.findings, 1);

	struct uuid strict = world_coop("\"moderation\":{\"pii\":{\"action\":\"reject\"}}");
	c = world_member(strict, "active");
	refused(c, strict, "{\"kind\":\"example\",\"content\":{\"input\":\"Write to anna.meier@bluewin.ch please\"}}", ERR_REFUSED, "/content/input");
	assert_null(memmem(c->error.faults->message.p, c->error.faults->message.n, "anna", 4));

	struct uuid held = world_coop("\"moderation\":{\"mode\":\"hold\",\"pii\":{\"action\":\"approve\"}}");
	c = world_member(held, "active");
	assert_ok(c, pool_submit(c, held, with_email(c, "ok"), &r));
	assert_str(r.status, "pending");

	struct uuid closed = world_coop("\"moderation\":{\"mode\":\"reject\"}");
	c = world_member(closed, "active");
	refused(c, closed, "{\"kind\":\"example\",\"content\":{\"input\":\"a\"}}", ERR_REFUSED, NULL);
}

static void the_servers_step_comes_last_in_the_processing_log(void **state)
{
	(void)state;
	static const struct { const char *members, *facts; } cases[] = {
		{ "", "{\"processing\":[{\"processor\":\"commonhold-pii\",\"stage\":\"on_submission\",\"version\":\"1\"}]}" },
		{ ",\"application\":\"x\"", "{\"application\":\"x\",\"processing\":[{\"processor\":\"commonhold-pii\",\"stage\":\"on_submission\",\"version\":\"1\"}]}" },
		{ ",\"prompted\":\"task\"", "{\"processing\":[{\"processor\":\"commonhold-pii\",\"stage\":\"on_submission\",\"version\":\"1\"}],\"prompted\":\"task\"}" },
		{ ",\"processing\":[]", "{\"processing\":[{\"processor\":\"commonhold-pii\",\"stage\":\"on_submission\",\"version\":\"1\"}]}" },
		{ ",\"application\":\"a\\\"]}\",\"processing\":[{\"processor\":\"p\",\"stage\":\"on_demand\",\"changed\":[\"/a\"]}],\"source\":{\"system\":\"s\"}",
			"{\"application\":\"a\\\"]}\",\"processing\":[{\"changed\":[\"/a\"],\"processor\":\"p\",\"stage\":\"on_demand\"},"
			"{\"processor\":\"commonhold-pii\",\"stage\":\"on_submission\",\"version\":\"1\"}],\"source\":{\"system\":\"s\"}}" },
	};
	struct uuid coop = world_coop("");
	struct call *c = world_member(coop, "active");
	for (size_t i = 0; i < CH_LEN(cases); i++) {
		struct receipt r;
		struct contribution item;
		struct str text = str_fmt(c->arena, "{\"kind\":\"example\",\"content\":{\"input\":\"%zu\"}%s}", i, cases[i].members);
		assert_ok(c, pool_submit(c, coop, world_json(c, str_z(c->arena, text)), &r));
		assert_ok(c, pool_read(c, coop, r.id, &item, NULL));
		assert_str(item.facts, cases[i].facts);
	}
}

static void what_the_contributor_says_of_an_item_is_in_its_words(void **state)
{
	(void)state;
	struct uuid coop = world_coop("");
	struct call *c = world_member(coop, "active");
	struct receipt r;
	struct contribution item;
	clock_set(clock_of_civil((struct civil){ .year = 2026, .month = 11, .day = 30, .hour = 23, .minute = 59, .second = 59, .micro = 1 }));
	assert_ok(c, pool_submit(c, coop, world_json(c, "{\"kind\":\"example\",\"content\":{\"input\":\"a\"},\"lang\":\"rm\",\"prompted\":\"scheduled\",\"friction\":\"high\","
		"\"sensitive\":[\"minor\",\"third_party\"]}"), &r));
	assert_ok(c, pool_read(c, coop, r.id, &item, NULL));
	struct policy_item unpacked = policy_item_unpack(item.word, item.more, item.member_no);
	assert_int_equal(unpacked.flags, POLICY_ITEM_MINOR | POLICY_ITEM_THIRD_PARTY | POLICY_ITEM_ATTRIBUTED);
	assert_int_equal(unpacked.moderation, POLICY_MODERATION_APPROVED);
	assert_int_equal(unpacked.created, item.submitted_at - 1 + CLOCK_SECOND);
	assert_int_equal(item.more >> POLICY_MORE_PROMPTED_SHIFT & 7, 4);
	assert_int_equal(item.more >> POLICY_MORE_FRICTION_SHIFT & 7, 5);
	assert_int_equal(fixture_int("SELECT month FROM shard_key"), 2026 * 12 + 10);
}

static void a_preference_string_is_kept_and_only_denies(void **state)
{
	(void)state;
	struct uuid coop = world_coop("");
	struct call *c = world_member(coop, "active");
	struct receipt r;
	struct contribution item;
	assert_ok(c, pool_submit(c, coop, world_json(c, "{\"kind\":\"example\",\"content\":{\"input\":\"a\"},\"ai_preferences\":\"train-ai=y\"}"), &r));
	assert_int_equal(fixture_int("SELECT count(*) FROM statement"), 0);
	assert_ok(c, pool_read(c, coop, r.id, &item, NULL));
	assert_non_null(memmem(item.facts.p, item.facts.n, "\"ai_preferences\":\"train-ai=y\"", 29));
	assert_ok(c, pool_submit(c, coop, world_json(c, "{\"kind\":\"example\",\"content\":{\"input\":\"b\"},\"ai_preferences\":\"train-ai=n\"}"), &r));
	assert_int_equal(fixture_int("SELECT count(*) FROM statement WHERE layer = 1 AND effect = 'deny' AND verbatim IS NULL AND external"), 1);
	assert_string_equal(fixture_text("SELECT item_id::text FROM statement"), str_z(c->arena, uuid_format(c->arena, r.id)));
}

static void a_registered_schema_is_held_against_records(void **state)
{
	(void)state;
	struct uuid coop = world_coop("");
	struct call *c = world_member(coop, "active");
	struct receipt r;
	/* as long as the charter registers none, any record is taken */
	assert_ok(c, pool_submit(c, coop, world_json(c, "{\"kind\":\"record\",\"content\":{\"schema\":\"soil-sample\",\"data\":{\"ph\":\"sour\"}}}"), &r));
	world_charter(coop, "\"records\":{\"soil-sample\":{\"type\":\"object\",\"required\":[\"ph\"],\"properties\":{\"ph\":{\"type\":\"number\",\"minimum\":0,\"maximum\":14}}}}");
	assert_ok(c, pool_submit(c, coop, world_json(c, "{\"kind\":\"record\",\"content\":{\"schema\":\"soil-sample\",\"data\":{\"ph\":6.4}}}"), &r));
	refused(c, coop, "{\"kind\":\"record\",\"content\":{\"schema\":\"soil-sample\",\"data\":{\"ph\":15}}}", ERR_INVALID, "/content/data/ph");
	refused(c, coop, "{\"kind\":\"record\",\"content\":{\"schema\":\"soil-sample\",\"data\":{\"depth\":1}}}", ERR_INVALID, "/content/data/ph");
	refused(c, coop, "{\"kind\":\"record\",\"content\":{\"schema\":\"weather\",\"data\":{\"ph\":1}}}", ERR_REFUSED, "/content/schema");
}

static void a_record_schema_that_cannot_be_used_is_refused_with_the_charter(void **state)
{
	(void)state;
	struct call *c = fixture_call();
	struct str document;
	const struct json *draft = world_json(c, "{\"name\":\"T\",\"scope\":{\"domain\":\"d\"},\"release\":{\"uses\":[\"eval\"],\"purposes\":[\"research\"]},"
		"\"records\":{\"soil\":{\"type\":\"objekt\"}}}");
	assert_err(c, ERR_INVALID, charter_check(c->arena, draft, &document, &c->error));
	assert_str(c->error.faults->pointer, "/records/soil");
}

static void lists_are_ones_own_newest_first_in_pages(void **state)
{
	(void)state;
	struct uuid coop = world_coop("");
	struct call *a = world_member(coop, "active"), *b = world_member(coop, "active");
	struct contribution *items;
	size_t n, seen = 0;
	struct str cursor = STR_NONE;
	for (int i = 0; i < 7; i++) {
		world_submit(a, coop, str_z(a->arena, str_fmt(a->arena, "mine %d", i)));
		world_submit(b, coop, str_z(b->arena, str_fmt(b->arena, "theirs %d", i)));
	}
	do {
		assert_ok(a, pool_list_mine(a, coop, STR_NONE, cursor, 3, &items, &n, &cursor));
		for (size_t i = 0; i < n; i++)
			assert_int_equal(items[i].item_no, 12 - 2 * (int)seen++);
	} while (cursor.p);
	assert_int_equal(seen, 7);
	assert_ok(a, pool_list_mine(a, coop, STR("chat"), STR_NONE, 3, &items, &n, &cursor));
	assert_int_equal(n, 0);
	assert_err(a, ERR_INVALID, pool_list_mine(a, coop, STR("poem"), STR_NONE, 3, &items, &n, &cursor));
	assert_err(a, ERR_INVALID, pool_list_mine(a, coop, STR_NONE, STR("'; DROP"), 3, &items, &n, &cursor));
	assert_int_equal(fixture_int("SELECT sum(contributed)::bigint FROM membership"), 14);
}

static void an_item_is_for_its_owner_and_the_admins_of_its_coop(void **state)
{
	(void)state;
	struct uuid coop = world_coop(""), other = world_coop("");
	struct call *admin = world_member(coop, "active"), *owner = world_member(coop, "active"), *member = world_member(coop, "active");
	struct call *stranger = world_member(other, "active"); /* admin of the other co-op */
	struct receipt r = world_submit(owner, coop, "mine");
	struct contribution item;
	struct str plain;
	assert_ok(owner, pool_read(owner, coop, r.id, &item, &plain));
	assert_str(plain, "{\"input\":\"mine\"}");
	assert_ok(admin, pool_read(admin, coop, r.id, &item, &plain));
	assert_err(member, ERR_NOT_FOUND, pool_read(member, coop, r.id, &item, &plain));
	assert_err(stranger, ERR_NOT_FOUND, pool_read(stranger, coop, r.id, &item, &plain));
	assert_err(stranger, ERR_NOT_FOUND, pool_read(stranger, other, r.id, &item, &plain));
	assert_err(owner, ERR_NOT_FOUND, pool_read(owner, other, r.id, &item, &plain));
	assert_err(stranger, ERR_NOT_FOUND, pool_receipt(stranger, other, r.id, &r));
}

static void destroying_the_key_erases_the_content(void **state)
{
	(void)state;
	struct uuid coop = world_coop("");
	struct call *c = world_member(coop, "active");
	struct receipt r = world_submit(c, coop, "gone tomorrow");
	struct contribution item;
	struct str plain;
	assert_ok(c, pool_read(c, coop, r.id, &item, &plain));
	assert_ok(c, keyring_destroy(c, coop, item.member));
	assert_ok(c, pool_read(c, coop, r.id, &item, &plain));
	assert_null(plain.p);
	assert_err(c, ERR_GONE, pool_submit(c, coop, world_example(c, "more"), &r));
}

static void erased_content_is_not_taken_again(void **state)
{
	(void)state;
	struct uuid coop = world_coop("");
	struct call *c = world_member(coop, "active");
	struct receipt r = world_submit(c, coop, "forget me");
	fixture_sql("UPDATE contribution SET word = word | 4096");
	assert_err(c, ERR_GONE, pool_submit(c, coop, world_example(c, "forget me"), &r));
	assert_int_equal(fixture_int("SELECT count(*) FROM contribution"), 1);
}

static void admins_decide_on_what_waits_oldest_first(void **state)
{
	(void)state;
	struct uuid coop = world_coop("\"moderation\":{\"mode\":\"hold\"}");
	struct call *admin = world_member(coop, "active"), *member = world_member(coop, "active");
	struct receipt first = world_submit(member, coop, "one"), second = world_submit(member, coop, "two");
	struct contribution *items, item;
	size_t n;
	struct str cursor;
	assert_err(member, ERR_FORBIDDEN, pool_queue(member, coop, STR_NONE, 10, &items, &n, &cursor));
	assert_err(member, ERR_FORBIDDEN, pool_moderate(member, coop, first.id, true, STR_NONE, &item));
	assert_ok(admin, pool_queue(admin, coop, STR_NONE, 10, &items, &n, &cursor));
	assert_int_equal(n, 2);
	assert_true(uuid_eq(items[0].id, first.id));
	int64_t leaves = fixture_int("SELECT count(*) FROM log_leaf");
	assert_ok(admin, pool_moderate(admin, coop, first.id, true, STR_NONE, &item));
	assert_str(item.status, "approved");
	assert_err(admin, ERR_STATE, pool_moderate(admin, coop, first.id, true, STR_NONE, &item));
	assert_err(admin, ERR_INVALID, pool_moderate(admin, coop, second.id, false, STR("  "), &item));
	assert_ok(admin, pool_moderate(admin, coop, second.id, false, STR("It is about somebody else."), &item));
	assert_str(item.status, "rejected");
	assert_err(admin, ERR_NOT_FOUND, pool_moderate(admin, coop, uuid_new(), true, STR_NONE, &item));
	assert_int_equal(fixture_int("SELECT count(*) FROM log_leaf"), leaves + 2);
	assert_int_equal(fixture_int("SELECT count(*) FROM moderation_decision WHERE by_account IS NOT NULL AND stage = 'post_submission'"), 2);
	assert_int_equal(fixture_int("SELECT count(*) FROM log_leaf l WHERE position('somebody' IN l::text) > 0"), 0);
	assert_ok(admin, pool_queue(admin, coop, STR_NONE, 10, &items, &n, &cursor));
	assert_int_equal(n, 0);
}

static void approving_findings_counts_them_as_looked_at(void **state)
{
	(void)state;
	struct uuid coop = world_coop("");
	struct call *admin = world_member(coop, "active");
	struct receipt r;
	struct contribution item;
	assert_ok(admin, pool_submit(admin, coop, with_email(admin, "ok"), &r));
	assert_ok(admin, pool_moderate(admin, coop, r.id, true, STR_NONE, &item));
	assert_false(item.word & POLICY_ITEM_PII);
	assert_int_equal(item.findings, 1);
}

/* What is submitted to no server (a command, a test) goes the way of batches: seventeen statements, most of them several to a trip. Over HTTP it goes the short way, which has a
 * budget of its own (test_pool_single). */
static void a_submission_stays_within_its_budget_of_statements(void **state)
{
	(void)state;
	struct uuid coop = world_coop("");
	struct call *c = world_member(coop, "active");
	world_submit(c, coop, "warm");
	int before = c->queries;
	world_submit(c, coop, "counted");
	assert_in_range(c->queries - before, 1, 17);
	before = c->queries;
	world_submit(c, coop, "counted");
	assert_in_range(c->queries - before, 1, 8);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		fixture_test(every_kind_is_taken_and_comes_back_as_it_was_sent),
		fixture_test(a_receipt_holds_a_proof_of_a_leaf_that_reveals_nothing),
		fixture_test(the_commitment_opens_with_salt_and_content),
		fixture_test(every_bad_submission_names_its_field_and_changes_nothing),
		fixture_test(a_kind_that_the_charter_does_not_take_is_refused),
		fixture_test(only_members_in_good_standing_contribute),
		fixture_test(the_licence_is_the_stated_one_else_the_members_else_the_charters),
		fixture_test(the_same_content_again_answers_the_first_receipt),
		fixture_test(text_is_not_normalised),
		fixture_test(anothers_duplicate_is_kept_and_marked_while_the_earlier_one_stands),
		fixture_test(nothing_plain_gets_into_the_database),
		fixture_test(sealed_content_does_not_open_as_another_items),
		fixture_test(personal_data_is_held_as_the_charter_says),
		fixture_test(the_servers_step_comes_last_in_the_processing_log),
		fixture_test(what_the_contributor_says_of_an_item_is_in_its_words),
		fixture_test(a_preference_string_is_kept_and_only_denies),
		fixture_test(a_registered_schema_is_held_against_records),
		fixture_test(a_record_schema_that_cannot_be_used_is_refused_with_the_charter),
		fixture_test(lists_are_ones_own_newest_first_in_pages),
		fixture_test(an_item_is_for_its_owner_and_the_admins_of_its_coop),
		fixture_test(destroying_the_key_erases_the_content),
		fixture_test(erased_content_is_not_taken_again),
		fixture_test(admins_decide_on_what_waits_oldest_first),
		fixture_test(approving_findings_counts_them_as_looked_at),
		fixture_test(a_submission_stays_within_its_budget_of_statements),
	};
	return fixture_run(tests, CH_LEN(tests));
}
