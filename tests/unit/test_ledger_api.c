/* The log over HTTP, as an auditor meets it: nothing but a public key and the addresses of C2SP tlog-tiles. */
#include "web_client.h"

#include "commonhold/assets.h"
#include "commonhold/ledger.h"
#include "commonhold/log.h"
#include "commonhold/routes.h"

#include "fixture.h"

#define LEAVES 700

static struct instance_keys *keys;
static struct uuid coop;
static uint8_t public_key[32];
static struct http_server *server;
static struct call *c;

static enum err identify(struct call *call, const struct http_identity *who, struct coop_ref *out)
{
	if (!who->coop.p)
		return ERR_OK;
	if (!str_is(who->coop, "garden"))
		return error_set(&call->error, ERR_NOT_FOUND, "There is no such co-op.");
	*out = (struct coop_ref){ .id = coop, .name = STR("garden"), .slug = STR("garden") };
	call->coop = coop;
	return ERR_OK;
}

static const struct route *const tables[] = { ledger_routes, ledger_page_routes, NULL };

static void serve(size_t leaves)
{
	struct error e = { 0 };
	int64_t first;
	c = fixture_call();
	if (!keys) {
		assert_true(crypto_start());
		assert_int_equal(instance_keys_open(str_z(c->arena, str_fmt(c->arena, "%s/keys", fixture_dir())), &keys, &e), ERR_OK);
		instance_keys_use(keys);
	}
	ledger_use_host("commonhold.example");
	coop = uuid_new();
	assert_ok(c, db_begin_in(c, coop, DB_WRITE));
	assert_ok(c, ledger_key_new(c, coop, public_key));
	struct str *data = ARENA_ARRAY(c->arena, leaves + 1, struct str);
	for (size_t i = 0; i < leaves; i++)
		data[i] = str_fmt(c->arena, "{\"text\":\"<b>%zu</b>\"}", i);
	assert_ok(c, ledger_append_many(c, coop, "statement.made", data, leaves, &first));
	assert_ok(c, db_commit(c));
	const struct http_options options = { .listen = "127.0.0.1:0", .base_url = "http://127.0.0.1", .tables = tables, .hooks = { .identify = identify },
		.secret = STR("a secret of the tests"), .workers = 4, .request_timeout_ms = 2000 };
	log_configure(LOG_ERROR + 1, false);
	if (http_start(&server, &options, &e) != ERR_OK)
		fail_msg("%s", e.message);
}

static void stop(void)
{
	http_stop(server);
	server = NULL;
}

static struct str get(const char *path, int status, const char *type)
{
	char kind[100];
	struct str request = str_fmt(c->arena, "GET %s HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n", path);
	struct answer a = client_ask_n(http_port(server), request.p, request.n);
	if (a.status != status)
		fail_msg("%d for %s: %.500s", a.status, path, a.text);
	assert_string_equal(answer_header(&a, "Content-Type", kind, sizeof(kind)), type);
	struct str body = str_copy(c->arena, str_make(a.body, a.n - (size_t)(a.body - a.text)));
	answer_free(&a);
	return body;
}

static const struct json *get_json(const char *path, const char *schema_name)
{
	const struct json *v, *text;
	const struct json_schema *schema;
	struct str body = get(path, 200, "application/json"), source = asset_find(str_fmt(c->arena, "schemas/%s.json", schema_name));
	assert_ok(c, json_parse(c->arena, body, &v, &c->error));
	assert_ok(c, json_parse(c->arena, source, &text, &c->error));
	assert_ok(c, json_schema_compile(c->arena, text, NULL, NULL, &schema, &c->error));
	assert_ok(c, json_schema_check(c->arena, schema, v, &c->error));
	return v;
}

static struct str origin_of_log(void)
{
	struct str name = coop_key_name(c->arena, public_key);
	return str_fmt(c->arena, "commonhold.example/coop/%.*s", STR_ARG(name));
}

static void an_auditor_rebuilds_the_root_from_tiles_and_entries(void **state)
{
	(void)state;
	uint64_t size;
	struct sha256 root, rebuilt;
	struct merkle_builder from_tiles = { .size = 0 }, from_entries = { .size = 0 };
	serve(LEAVES);
	struct str note = get("/api/v1/coops/garden/log/checkpoint", 200, "text/plain; charset=utf-8");
	assert_ok(c, checkpoint_verify(c->arena, note, origin_of_log(), public_key, &size, &root, &c->error));
	assert_int_equal(size, LEAVES);
	for (uint64_t tile = 0; tile * 256 < size; tile++) {
		struct tile_path p = { false, 0, tile, size - tile * 256 < 256 ? (unsigned)(size - tile * 256) : 256 };
		struct str hashes = get(str_z(c->arena, str_fmt(c->arena, "/api/v1/coops/garden/log/tile/%.*s", STR_ARG(tile_path_format(c->arena, p)))), 200, "application/octet-stream");
		assert_int_equal(hashes.n, p.width * 32);
		for (size_t i = 0; i < p.width; i++) {
			struct sha256 h;
			memcpy(h.b, hashes.p + i * 32, 32);
			merkle_add(&from_tiles, h);
		}
		p.entries = true;
		struct str bundle = get(str_z(c->arena, str_fmt(c->arena, "/api/v1/coops/garden/log/tile/%.*s", STR_ARG(tile_path_format(c->arena, p)))), 200, "application/octet-stream");
		while (bundle.n) {
			size_t n = (size_t)(uint8_t)bundle.p[0] << 8 | (uint8_t)bundle.p[1];
			merkle_add(&from_entries, merkle_leaf(str_sub(bundle, 2, n)));
			bundle = str_sub(bundle, 2 + n, bundle.n);
		}
	}
	rebuilt = merkle_builder_root(&from_tiles);
	assert_memory_equal(&rebuilt, &root, 32);
	rebuilt = merkle_builder_root(&from_entries);
	assert_memory_equal(&rebuilt, &root, 32);
	stop();
}

static void proofs_hold_against_the_checkpoint(void **state)
{
	(void)state;
	uint64_t size;
	struct sha256 root;
	struct tlog_proof proof;
	serve(LEAVES);
	const struct json *v = get_json("/api/v1/coops/garden/log/proof?index=123", "log_proof");
	assert_ok(c, tlog_proof_read(c->arena, json_member_text(v, "tlog_proof"), &proof, &c->error));
	assert_ok(c, checkpoint_verify(c->arena, proof.checkpoint, origin_of_log(), public_key, &size, &root, &c->error));
	assert_true(merkle_inclusion_ok(merkle_leaf(proof.entry), 123, size, proof.path, proof.n, root));
	assert_int_equal(json_get(v, "path")->count, proof.n);
	v = get_json("/api/v1/coops/garden/log/proof?from=10&to=700", "log_proof");
	struct sha256 path[70];
	size_t n = 0;
	json_each(item, json_get(v, "path")) {
		struct str bytes;
		assert_true(str_unbase64(c->arena, json_text(item), &bytes));
		memcpy(path[n++].b, bytes.p, 32);
	}
	struct merkle_builder old = { .size = 0 };
	struct str bundle = get("/api/v1/coops/garden/log/tile/0/000.p/10", 200, "application/octet-stream");
	for (size_t i = 0; i < 10; i++) {
		struct sha256 h;
		memcpy(h.b, bundle.p + i * 32, 32);
		merkle_add(&old, h);
	}
	assert_true(merkle_consistency_ok(10, merkle_builder_root(&old), size, root, path, n));
	stop();
}

static void the_listing_pages_down_to_the_first_leaf(void **state)
{
	(void)state;
	int64_t expected = LEAVES - 1;
	serve(LEAVES);
	struct str cursor = STR_NONE;
	do {
		struct str path = str_fmt(c->arena, "/api/v1/coops/garden/log/entries?limit=200%s%.*s", cursor.p ? "&cursor=" : "", STR_ARG(cursor));
		const struct json *v = get_json(str_z(c->arena, path), "log_entry_list");
		assert_int_equal(json_int(json_get(v, "size"), 0), LEAVES);
		json_each(item, json_get(v, "items"))
			assert_int_equal(json_int(json_get(item, "index"), -1), expected--);
		cursor = json_member_text(v, "next");
	} while (cursor.p);
	assert_int_equal(expected, -1);
	stop();
}

static void odd_questions_get_clear_answers(void **state)
{
	(void)state;
	static const struct { const char *path; int status; } asked[] = {
		{ "proof", 422 }, { "proof?index=-1", 422 }, { "proof?index=x", 422 }, { "proof?index=99999999999999999999", 422 }, { "proof?index=700", 404 }, { "proof?index=1&from=1&to=2", 422 },
		{ "proof?from=1", 422 }, { "proof?from=2&to=1", 404 }, { "proof?from=1&to=701", 404 }, { "proof?strange=1", 400 }, { "tile/0/003", 404 }, { "tile/0/002", 404 },
		{ "tile/0/002.p/189", 404 }, { "tile/../checkpoint", 400 }, { "tile/0/0", 404 }, { "tile/64/000", 404 }, { "tile/entries/002.p/189", 404 }, { "entries?cursor=x", 422 },
	};
	serve(LEAVES);
	for (size_t i = 0; i < CH_LEN(asked); i++) {
		struct str request = str_fmt(c->arena, "GET /api/v1/coops/garden/log/%s HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n", asked[i].path);
		struct answer a = client_ask_n(http_port(server), request.p, request.n);
		if (a.status != asked[i].status)
			fail_msg("%d instead of %d for %s: %.400s", a.status, asked[i].status, asked[i].path, a.text);
		answer_free(&a);
	}
	get("/api/v1/coops/other/log/checkpoint", 404, "application/problem+json");
	stop();
}

static void the_page_tells_it_in_words_and_escapes_what_was_recorded(void **state)
{
	(void)state;
	serve(60);
	const char *page = str_z(c->arena, get("/coops/garden/log", 200, "text/html; charset=utf-8"));
	assert_non_null(strstr(page, "A member stated their choices"));
	assert_non_null(strstr(page, "&lt;b&gt;59&lt;/b&gt;"));
	assert_null(strstr(page, "<b>59"));
	assert_non_null(strstr(page, "cursor=10"));
	stop();
}

static void a_log_without_leaves_has_a_page_too(void **state)
{
	(void)state;
	serve(0);
	assert_non_null(strstr(str_z(c->arena, get("/coops/garden/log", 200, "text/html; charset=utf-8")), "There is nothing in the log yet"));
	assert_int_equal(json_int(json_get(get_json("/api/v1/coops/garden/log/entries", "log_entry_list"), "size"), -1), 0);
	get("/api/v1/coops/garden/log/checkpoint", 200, "text/plain; charset=utf-8");
	stop();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		fixture_test(an_auditor_rebuilds_the_root_from_tiles_and_entries),
		fixture_test(proofs_hold_against_the_checkpoint),
		fixture_test(the_listing_pages_down_to_the_first_leaf),
		fixture_test(odd_questions_get_clear_answers),
		fixture_test(the_page_tells_it_in_words_and_escapes_what_was_recorded),
		fixture_test(a_log_without_leaves_has_a_page_too),
	};
	int failed = fixture_run(tests, CH_LEN(tests));
	instance_keys_use(NULL);
	instance_keys_free(keys);
	return failed;
}
