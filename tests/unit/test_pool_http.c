/* The pool over HTTP: one contribution, NDJSON batches, imports, lists, moderation, and the pages. */
#include "web_client.h"

#include "pool_world.h"

#include "commonhold/assets.h"
#include "commonhold/log.h"
#include "commonhold/routes.h"

static struct uuid coop;
static struct call *people[3];       /* 0 the admin, 1 and 2 members */
static struct uuid members[3];
static struct http_server *server;
static struct call *c;

static const char *const tokens[] = {
	"ch_pat_0000000000000000000000000000000000000000000", "ch_pat_1111111111111111111111111111111111111111111", "ch_pat_2222222222222222222222222222222222222222222",
};

static enum err identify(struct call *call, const struct http_identity *who, struct coop_ref *out)
{
	int person = -1;
	for (int i = 0; i < 3; i++)
		if (who->kind != AUTH_NONE && str_is(who->secret, tokens[i]))
			person = i;
	if (person >= 0)
		call->actor = (struct actor){ .kind = AUTH_TOKEN, .account = people[person]->actor.account, .session = people[person]->actor.account };
	else if (who->kind != AUTH_NONE)
		return error_set(&call->error, ERR_TOKEN_INVALID, "That token is not known.");
	if (!who->coop.p)
		return ERR_OK;
	if (!str_is(who->coop, "garden"))
		return error_set(&call->error, ERR_NOT_FOUND, "There is no such co-op.");
	*out = (struct coop_ref){ .id = coop, .name = STR("garden"), .slug = STR("garden"), .is_member = person >= 0, .is_active = person >= 0, .is_admin = person == 0,
		.member = person >= 0 ? members[person] : (struct uuid){ { 0 } } };
	call->coop = coop;
	return ERR_OK;
}

static const struct route *const tables[] = { pool_routes, pool_page_routes, NULL };

static void serve(const char *charter)
{
	struct error e = { 0 };
	c = fixture_call();
	coop = world_coop(charter);
	for (int i = 0; i < 3; i++) {
		people[i] = world_member(coop, "active");
		assert_true(uuid_parse(str_of(fixture_text(str_z(c->arena, str_fmt(c->arena, "SELECT id::text FROM membership WHERE number = %d", i)))), &members[i]));
	}
	const struct http_options options = { .listen = "127.0.0.1:0", .base_url = "http://127.0.0.1", .tables = tables, .hooks = { .identify = identify },
		.secret = STR("a secret of the tests"), .workers = 4, .request_timeout_ms = 5000 };
	log_configure(LOG_ERROR + 1, false);
	if (http_start(&server, &options, &e) != ERR_OK)
		fail_msg("%s %s", e.message, e.hint);
}

static void stop(void)
{
	http_stop(server);
	server = NULL;
}

/* The answer's body without the framing of chunks. */
static struct str dechunk(const struct answer *a)
{
	struct str raw = str_make(a->body, a->n - (size_t)(a->body - a->text));
	if (!strcasestr(a->text, "transfer-encoding: chunked"))
		return str_copy(c->arena, raw);
	char *to = arena_alloc(c->arena, raw.n + 1);
	size_t n = 0, at = 0;
	while (at < raw.n) {
		char *end;
		size_t size = strtoul(raw.p + at, &end, 16);
		at = (size_t)(end - raw.p) + 2;
		if (size == 0 || at + size > raw.n)
			break;
		memcpy(to + n, raw.p + at, size);
		n += size;
		at += size + 2;
	}
	return str_make(to, n);
}

static struct str ask(int person, const char *method, const char *path, const char *type, struct str body, int status)
{
	struct buf b;
	buf_init(&b, 64 * MIB);
	buf_addf(&b, "%s /api/v1/coops/garden/%s HTTP/1.1\r\nHost: 127.0.0.1\r\nAuthorization: Bearer %s\r\n", method, path, tokens[person]);
	if (body.p)
		buf_addf(&b, "Content-Type: %s\r\nContent-Length: %zu\r\n", type, body.n);
	buf_add_z(&b, "\r\n");
	buf_add_str(&b, body);
	struct answer a = client_ask_n(http_port(server), b.p, b.n);
	buf_release(&b);
	if (a.status != status)
		fail_msg("%d instead of %d for %s %s: %.800s", a.status, status, method, path, a.text);
	struct str text = dechunk(&a);
	answer_free(&a);
	return text;
}

static const struct json_schema *resolve(void *arg, struct str file)
{
	const struct json *text;
	const struct json_schema *schema = NULL;
	struct str source = asset_find(str_fmt(c->arena, "schemas/%.*s", STR_ARG(file)));
	assert_ok(c, json_parse(c->arena, source, &text, &c->error));
	assert_ok(c, json_schema_compile(c->arena, text, resolve, arg, &schema, &c->error));
	return schema;
}

static const struct json *fits(struct str body, const char *schema)
{
	const struct json *v;
	assert_ok(c, json_parse(c->arena, body, &v, &c->error));
	assert_ok(c, json_schema_check(c->arena, resolve(NULL, str_fmt(c->arena, "%s.json", schema)), v, &c->error));
	return v;
}

#define EXAMPLE(text) STR("{\"kind\":\"example\",\"content\":{\"input\":\"" text "\"}}")

static void one_contribution_answers_201_and_again_200(void **state)
{
	(void)state;
	serve("");
	const struct json *first = fits(ask(1, "POST", "contributions", "application/json", EXAMPLE("hello"), 201), "receipt");
	const struct json *again = fits(ask(1, "POST", "contributions", "application/json", EXAMPLE("hello"), 200), "receipt");
	assert_true(str_eq(json_member_text(first, "id"), json_member_text(again, "id")));
	assert_true(json_bool(json_get(again, "duplicate"), false));
	const char *path = str_z(c->arena, str_fmt(c->arena, "contributions/%.*s", STR_ARG(json_member_text(first, "id"))));
	const struct json *view = fits(ask(1, "GET", path, NULL, STR_NONE, 200), "contribution_view");
	assert_str(json_text(json_at(view, "/content/input")), "hello");
	fits(ask(0, "GET", path, NULL, STR_NONE, 200), "contribution_view");
	fits(ask(2, "GET", path, NULL, STR_NONE, 404), "problem");
	fits(ask(1, "GET", str_z(c->arena, str_fmt(c->arena, "%s/receipt", path)), NULL, STR_NONE, 200), "receipt");
	fits(ask(1, "GET", "contributions/6f1c1c5e-93b1-4c8e-9a53-0d8a1f6c2b47", NULL, STR_NONE, 404), "problem");
	fits(ask(1, "GET", "contributions/not-an-id", NULL, STR_NONE, 404), "problem");
	assert_int_equal(fits(ask(1, "GET", "contributions", NULL, STR_NONE, 200), "contribution_list")->child->count, 1);
	assert_int_equal(fits(ask(2, "GET", "contributions", NULL, STR_NONE, 200), "contribution_list")->child->count, 0);
	stop();
}

static void bad_bodies_get_a_problem_that_names_the_field(void **state)
{
	(void)state;
	static const struct { const char *body, *type; int status; const char *pointer; } bad[] = {
		{ "{\"kind\":\"example\",\"content\":{\"input\":1}}", "application/json", 422, "/content/input" },
		{ "{\"kind\":\"example\",\"content\":{\"input\":\"a\"},\"licence\":\"X-1\"}", "application/json", 422, "/licence" },
		{ "{\"kind\":\"example\",\"content\":{\"input\":\"a\"}", "application/json", 400, NULL },
		{ "{\"kind\":\"example\",\"content\":{\"input\":\"a\xff\"}}", "application/json", 400, NULL },
		{ "", "application/json", 400, NULL },
		{ "{}", "text/plain", 415, NULL },
	};
	serve("");
	for (size_t i = 0; i < CH_LEN(bad); i++) {
		struct str body = ask(1, "POST", "contributions", bad[i].type, str_of(bad[i].body), bad[i].status);
		if (bad[i].pointer)
			assert_non_null(memmem(body.p, body.n, bad[i].pointer, strlen(bad[i].pointer)));
	}
	ask(1, "POST", "contributions/import?format=poem", "text/plain", STR("x"), 400);
	ask(1, "POST", "contributions/import", "text/plain", STR("x"), 422);
	ask(1, "GET", "contributions?kind=poem", NULL, STR_NONE, 400);
	ask(1, "GET", "contributions?cursor=x", NULL, STR_NONE, 422);
	ask(1, "GET", "moderation", NULL, STR_NONE, 403);
	assert_int_equal(fixture_int("SELECT count(*) FROM contribution"), 0);
	stop();
}

static void a_batch_answers_a_verdict_a_line_and_a_summary(void **state)
{
	(void)state;
	struct str lines = STR("{\"kind\":\"example\",\"content\":{\"input\":\"a\"}}\n\n{\"kind\":\"example\"}\r\n nonsense\n{\"kind\":\"example\",\"content\":{\"input\":\"b\"}}"), rest, line;
	serve("");
	rest = ask(1, "POST", "contributions/batch", "application/x-ndjson", lines, 200);
	static const struct { int line; const char *status; } expected[] = { { 1, "approved" }, { 3, "refused" }, { 4, "refused" }, { 5, "approved" } };
	for (size_t i = 0; i < CH_LEN(expected); i++) {
		assert_true(str_split(&rest, '\n', &line));
		const struct json *v = fits(line, "verdict");
		assert_int_equal(json_int(json_get(v, "line"), 0), expected[i].line);
		assert_str(json_member_text(v, "status"), expected[i].status);
		if (expected[i].line == 4)
			assert_true(str_starts(json_text(json_at(v, "/problem/detail")), "Column 2"));
	}
	assert_true(str_split(&rest, '\n', &line));
	const struct json *summary = fits(line, "verdict");
	assert_true(json_bool(json_get(summary, "done"), false));
	assert_int_equal(json_int(json_get(summary, "approved"), -1), 2);
	assert_int_equal(json_int(json_get(summary, "refused"), -1), 2);
	rest = ask(1, "POST", "contributions/batch?verdicts=faults", "application/x-ndjson", lines, 200);
	assert_true(str_split(&rest, '\n', &line));
	assert_int_equal(json_int(json_get(fits(line, "verdict"), "line"), 0), 3);
	assert_true(str_split(&rest, '\n', &line));
	assert_true(str_split(&rest, '\n', &line));
	assert_int_equal(json_int(json_get(fits(line, "verdict"), "duplicates"), 0), 2);
	stop();
}

static void a_long_batch_streams_while_it_is_read(void **state)
{
	(void)state;
	struct buf b;
	serve("");
	buf_init(&b, 32 * MIB);
	for (int i = 0; i < 20000; i++)
		buf_addf(&b, "{\"kind\":\"example\",\"content\":{\"input\":\"line %d\"}}\n", i);
	struct str answer = ask(1, "POST", "contributions/batch?verdicts=faults", "application/x-ndjson", buf_str(&b), 200);
	buf_release(&b);
	assert_int_equal(json_int(json_get(fits(str_trim(answer), "verdict"), "approved"), 0), 20000);
	assert_int_equal(fixture_int("SELECT count(*) FROM contribution"), 20000);
	stop();
}

static void a_client_that_goes_away_leaves_whole_groups(void **state)
{
	(void)state;
	char line[400];
	serve("");
	int fd = client_connect(http_port(server));
	int n = snprintf(line, sizeof(line), "POST /api/v1/coops/garden/contributions/batch HTTP/1.1\r\nHost: 127.0.0.1\r\nAuthorization: Bearer %s\r\n"
		"Content-Type: application/x-ndjson\r\nContent-Length: 9000000\r\n\r\n", tokens[1]);
	assert_true(client_send(fd, line, (size_t)n));
	for (int i = 0; i < 7 * POOL_GROUP + 500; i++) {
		n = snprintf(line, sizeof(line), "{\"kind\":\"example\",\"content\":{\"input\":\"line %d\"}}\n", i);
		assert_true(client_send(fd, line, (size_t)n));
	}
	shutdown(fd, SHUT_WR);
	struct answer a = client_receive(fd, false);
	assert_null(strstr(a.text, "\"done\":true"));
	answer_free(&a);
	close(fd);
	stop();
	assert_true(fixture_int("SELECT count(*) FROM contribution") >= POOL_GROUP);
	assert_int_equal(fixture_int("SELECT count(*) % 4096 FROM contribution"), 0);
	assert_int_equal(fixture_int("SELECT (SELECT count(*) FROM contribution) - (SELECT count(*) FROM contribution_content)"), 0);
	assert_int_equal(fixture_int("SELECT (SELECT count(*) FROM contribution) - (SELECT count(*) FROM log_leaf)"), 0);
}

static void an_import_answers_with_a_report(void **state)
{
	(void)state;
	serve("");
	struct str pairs = STR("{\"prompt\":\"Which is better?\",\"chosen\":\"This.\",\"rejected\":\"That.\"}\nnonsense\n{\"prompt\":\"And here?\",\"chosen\":\"A.\",\"rejected\":\"B.\"}\n");
	const struct json *report = fits(ask(1, "POST", "contributions/import?format=preference&lang=en", "application/octet-stream", pairs, 200), "import_report");
	assert_int_equal(json_int(json_get(report, "approved"), 0), 2);
	assert_int_equal(json_int(json_at(report, "/problems/0/line"), 0), 2);
	report = fits(ask(1, "POST", "contributions/import?format=preference&lang=en", "application/octet-stream", pairs, 200), "import_report");
	assert_int_equal(json_int(json_get(report, "duplicates"), 0), 2);
	struct str csv = STR("prompt,answer\nHow far?,Ten miles\n");
	report = fits(ask(2, "POST",
		"contributions/import?format=csv&mapping=%7B%22kind%22%3A%22example%22%2C%22columns%22%3A%7B%22prompt%22%3A%7B%22as%22%3A%22text%22%2C%22to%22%3A%22%2Fcontent%2Finput%22%7D%7D%7D",
		"text/csv", csv, 200), "import_report");
	assert_int_equal(json_int(json_get(report, "approved"), 0), 1);
	stop();
}

static void admins_moderate_and_contributors_read_why(void **state)
{
	(void)state;
	serve("\"moderation\":{\"mode\":\"hold\"}");
	const struct json *receipt = fits(ask(1, "POST", "contributions", "application/json", EXAMPLE("hello"), 201), "receipt");
	assert_str(json_member_text(receipt, "status"), "pending");
	const struct json *queue = fits(ask(0, "GET", "moderation", NULL, STR_NONE, 200), "contribution_list");
	assert_int_equal(queue->child->count, 1);
	struct str id = json_member_text(receipt, "id");
	const char *path = str_z(c->arena, str_fmt(c->arena, "moderation/%.*s", STR_ARG(id)));
	ask(1, "POST", path, "application/json", STR("{\"decision\":\"approve\"}"), 403);
	ask(0, "POST", path, "application/json", STR("{\"decision\":\"perhaps\"}"), 422);
	ask(0, "POST", path, "application/json", STR("{\"decision\":\"reject\"}"), 422);
	fits(ask(0, "POST", path, "application/json", STR("{\"decision\":\"reject\",\"reason\":\"Off topic.\"}"), 200), "contribution_view");
	ask(0, "POST", path, "application/json", STR("{\"decision\":\"reject\",\"reason\":\"Off topic.\"}"), 409);
	const struct json *view = fits(ask(1, "GET", str_z(c->arena, str_fmt(c->arena, "contributions/%.*s", STR_ARG(id))), NULL, STR_NONE, 200), "contribution_view");
	assert_str(json_text(json_at(view, "/decisions/1/reason")), "Off topic.");
	assert_str(json_member_text(view, "status"), "rejected");
	stop();
}

/* ---- Pages ---- */

static struct answer page(int person, const char *method, const char *path, const char *form)
{
	char request[4000];
	int n = snprintf(request, sizeof(request), "%s /coops/garden/%s HTTP/1.1\r\nHost: 127.0.0.1\r\nAccept: text/html\r\nAuthorization: Bearer %s\r\n", method, path, tokens[person]);
	if (form)
		n += snprintf(request + n, sizeof(request) - (size_t)n, "Content-Type: application/x-www-form-urlencoded\r\nContent-Length: %zu\r\n\r\n%s", strlen(form), form);
	else
		n += snprintf(request + n, sizeof(request) - (size_t)n, "\r\n");
	return client_ask_n(http_port(server), request, (size_t)n);
}

static void expect(struct answer a, int status, const char *part)
{
	if (a.status != status || (part && !strstr(a.text, part)))
		fail_msg("%d instead of %d, or \"%s\" is missing:\n%.3000s", a.status, status, part ? part : "", a.text);
	answer_free(&a);
}

static void the_form_takes_what_people_write(void **state)
{
	(void)state;
	serve("");
	expect(page(1, "GET", "contribute", NULL), 200, "Prompt or task");
	expect(page(1, "GET", "contribute?kind=chat", NULL), 200, "Turn 3");
	expect(page(1, "GET", "contribute?kind=feedback", NULL), 200, "Its number there");
	expect(page(1, "POST", "contribute", "kind=example&input=How+are+you%3F&output=Fine.&licence=CC0-1.0&content_lang=en"), 303, "/coops/garden/contributions/");
	expect(page(1, "POST", "contribute", "kind=chat&user=Hello&assistant=Good+day&user=&assistant="), 303, NULL);
	expect(page(1, "POST", "contribute", "kind=feedback&system=helpdesk&target_id=12&comment=It+is+wrong"), 303, NULL);
	assert_int_equal(fixture_int("SELECT count(*) FROM contribution"), 3);
	/* what is wrong is said, what was typed stays, and nothing of it becomes markup */
	expect(page(1, "POST", "contribute", "kind=example&input=&output=%3Cb%3Estays"), 422, "&lt;b&gt;stays");
	expect(page(1, "POST", "contribute", "kind=example&input=x&content_lang=no+language"), 422, "lang");
	assert_int_equal(fixture_int("SELECT count(*) FROM contribution"), 3);
	stop();
}

static void a_small_file_needs_no_script(void **state)
{
	(void)state;
	static const char body[] = "--X\r\nContent-Disposition: form-data; name=\"format\"\r\n\r\nsharegpt\r\n--X\r\nContent-Disposition: form-data; name=\"file\"; filename=\"a.jsonl\"\r\n\r\n"
		"{\"conversations\":[{\"from\":\"human\",\"value\":\"Hello\"},{\"from\":\"gpt\",\"value\":\"Good day\"}]}\n\r\n--X--\r\n";
	char request[2000];
	serve("");
	int n = snprintf(request, sizeof(request), "POST /coops/garden/contribute/import HTTP/1.1\r\nHost: 127.0.0.1\r\nAuthorization: Bearer %s\r\n"
		"Content-Type: multipart/form-data; boundary=X\r\nContent-Length: %zu\r\n\r\n%s", tokens[1], sizeof(body) - 1, body);
	expect(client_ask_n(http_port(server), request, (size_t)n), 200, "1 taken");
	assert_int_equal(fixture_int("SELECT count(*) FROM contribution"), 1);
	stop();
}

/* Whoever contributes must not be able to keep the admins from their queue. */
static void no_contribution_makes_the_queue_unreadable(void **state)
{
	(void)state;
	struct buf b;
	serve("\"moderation\":{\"mode\":\"hold\"}");
	buf_init(&b, 8 * MIB);
	for (int item = 0; item < 3; item++) { /* values as many as there may be */
		buf_addf(&b, "{\"kind\":\"record\",\"content\":{\"schema\":\"s%d\",\"data\":{\"list\":[\"me@example.org\"", item);
		for (int i = 0; i < 190000; i++)
			buf_add_z(&b, ",\"x\"");
		buf_add_z(&b, "]}}}\n");
	}
	for (int item = 0; item < 3; item++) { /* what grows on a page */
		buf_addf(&b, "{\"kind\":\"record\",\"content\":{\"schema\":\"t%d\",\"data\":{\"list\":[\"last\"", item);
		for (int i = 0; i < 180; i++) {
			buf_add_z(&b, ",\"");
			for (int k = 0; k < 5000; k++)
				buf_add_byte(&b, '&');
			buf_add_byte(&b, '"');
		}
		buf_add_z(&b, "]}}}\n");
	}
	buf_addf(&b, "{\"kind\":\"record\",\"content\":{\"schema\":\"u\",\"data\":{\"");
	for (int k = 0; k < 900; k++)
		buf_add_z(&b, k == 5 ? "a\":{\"" : "a name as long as a book, ");
	buf_add_z(&b, "\":\"the last of all\"}}}}\n");
	struct str answer = ask(1, "POST", "contributions/batch?verdicts=faults", "application/x-ndjson", buf_str(&b), 200);
	buf_release(&b);
	const struct json *summary = fits(str_trim(answer), "verdict");
	assert_int_equal(json_int(json_get(summary, "pending"), 0), 7);
	expect(page(0, "GET", "moderation", NULL), 200, "the last of all");
	expect(page(0, "GET", "moderation", NULL), 200, "<mark title=\"It seems to be an e-mail address\">me@example.org</mark>");
	expect(page(0, "GET", "moderation", NULL), 200, "There is more in it than is shown here.");
	stop();
}

static void a_list_of_items_with_much_about_them_comes_in_shorter_pages(void **state)
{
	(void)state;
	struct buf b;
	serve("\"moderation\":{\"mode\":\"hold\"}");
	buf_init(&b, 32 * MIB);
	for (int item = 0; item < 12; item++) {
		buf_addf(&b, "{\"kind\":\"example\",\"content\":{\"input\":\"number %d\"},\"processing\":[", item);
		for (int i = 0; i < 1800; i++) {
			buf_add_z(&b, i % 100 ? "," : i ? "]},{\"processor\":\"p\",\"stage\":\"on_demand\",\"changed\":[" : "{\"processor\":\"p\",\"stage\":\"on_demand\",\"changed\":[");
			buf_addf(&b, "\"/%0480d\"", i);
		}
		buf_add_z(&b, "]}]}\n");
	}
	struct str answer = ask(1, "POST", "contributions/batch?verdicts=faults", "application/x-ndjson", buf_str(&b), 200);
	buf_release(&b);
	assert_int_equal(json_int(json_get(fits(str_trim(answer), "verdict"), "pending"), 0), 12);
	static const struct { int person; const char *path; } lists[] = { { 0, "moderation" }, { 1, "contributions" } };
	for (size_t i = 0; i < CH_LEN(lists); i++) {
		unsigned seen = 0;
		struct str next = STR("");
		while (next.p) {
			const char *path = next.n ? str_z(c->arena, str_fmt(c->arena, "%s?cursor=%.*s", lists[i].path, STR_ARG(next))) : lists[i].path;
			const struct json *list = NULL;
			assert_ok(c, json_parse(c->arena, ask(lists[i].person, "GET", path, NULL, STR_NONE, 200), &list, &c->error));
			assert_true(json_get(list, "items")->count > 0);
			seen += json_get(list, "items")->count;
			next = json_member_text(list, "next");
		}
		assert_int_equal(seen, 12);
	}
	stop();
}

static void the_queue_shows_content_and_marks_findings(void **state)
{
	(void)state;
	serve("");
	const struct json *receipt = fits(ask(1, "POST", "contributions", "application/json", EXAMPLE("<i>Write</i> to anna.meier@bluewin.ch, or to beat.frei@bluewin.ch."), 201),
		"receipt");
	struct str id = json_member_text(receipt, "id");
	expect(page(1, "GET", "moderation", NULL), 403, NULL);
	expect(page(0, "GET", "moderation", NULL), 200,
		"&lt;i&gt;Write&lt;/i&gt; to <mark title=\"It seems to be an e-mail address\">anna.meier@bluewin.ch</mark>, or to <mark title=\"It seems to be an e-mail address\">beat.frei");
	const char *path = str_z(c->arena, str_fmt(c->arena, "moderation/%.*s", STR_ARG(id)));
	expect(page(0, "POST", path, "decision=reject&reason="), 303, "/coops/garden/moderation");
	assert_int_equal(fixture_int("SELECT count(*) FROM contribution WHERE (word >> 9 & 3) = 0"), 1);
	expect(page(0, "POST", path, "decision=approve"), 303, "/coops/garden/moderation");
	expect(page(0, "GET", "moderation", NULL), 200, "Nothing waits for you");
	stop();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		fixture_test(one_contribution_answers_201_and_again_200),
		fixture_test(bad_bodies_get_a_problem_that_names_the_field),
		fixture_test(a_batch_answers_a_verdict_a_line_and_a_summary),
		fixture_test(a_long_batch_streams_while_it_is_read),
		fixture_test(a_client_that_goes_away_leaves_whole_groups),
		fixture_test(an_import_answers_with_a_report),
		fixture_test(admins_moderate_and_contributors_read_why),
		fixture_test(the_form_takes_what_people_write),
		fixture_test(a_small_file_needs_no_script),
		fixture_test(no_contribution_makes_the_queue_unreadable),
		fixture_test(a_list_of_items_with_much_about_them_comes_in_shorter_pages),
		fixture_test(the_queue_shows_content_and_marks_findings),
	};
	return fixture_run(tests, CH_LEN(tests));
}
