/* Accounts, co-ops and choices over HTTP: who may call, what forms say, what other people's ids look like. */
#include "web_client.h"

#include "people.h"

#include "commonhold/log.h"
#include "commonhold/routes.h"

static struct http_server *server;
static const struct route *const tables[] = { account_routes, sign_in_routes, coop_routes, account_page_routes, sign_in_page_routes, security_page_routes, coop_page_routes, ballot_routes, ballot_page_routes, NULL };

static void serve(void)
{
	struct error e = { 0 };
	const struct http_options options = { .listen = "127.0.0.1:0", .base_url = "http://127.0.0.1", .tables = tables, .hooks = { .identify = coop_identify },
		.secret = STR("a secret of the tests"), .workers = 4, .request_timeout_ms = 5000 };
	people_keys();
	log_configure(LOG_ERROR + 1, false);
	if (http_start(&server, &options, &e) != ERR_OK)
		fail_msg("%s %s", e.message, e.hint);
}

static void stop(void)
{
	http_stop(server);
	server = NULL;
}

/* Somebody with a browser: the account's call, the cookie and the token that forms carry. */
struct browser { struct call *call; struct str cookie, csrf; };

static struct answer ask(const struct browser *b, const char *method, const char *path, const char *type, const char *body)
{
	struct arena *a = b->call->arena;
	struct str text = str_fmt(a, "%s %s HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n%s%s%s%s%s%s%s%s%sContent-Length: %zu\r\n\r\n%s", method, path,
		b->cookie.n ? "Cookie: commonhold=" : "", b->cookie.n ? str_z(a, b->cookie) : "", b->cookie.n ? "\r\n" : "",
		b->csrf.n ? "X-CSRF-Token: " : "", b->csrf.n ? str_z(a, b->csrf) : "", b->csrf.n ? "\r\n" : "",
		type[0] ? "Content-Type: " : "", type, type[0] ? "\r\n" : "", strlen(body), body);
	return client_ask_n(http_port(server), text.p, text.n);
}

static struct answer get(const struct browser *b, const char *path)
{
	return ask(b, "GET", path, "", "");
}

static struct answer form(const struct browser *b, const char *path, const char *body)
{
	return ask(b, "POST", path, "application/x-www-form-urlencoded", body);
}

static void expect(struct answer a, int status, const char *part)
{
	if (a.status != status || (part && !strstr(a.text, part)))
		fail_msg("wanted %d with \"%s\", got\n%s", status, part ? part : "", a.text);
	answer_free(&a);
}

static struct browser nobody(void)
{
	return (struct browser){ .call = fixture_call() };
}

static struct browser sign_in(const char *name)
{
	struct browser b = { .call = people_new(name) };
	assert_ok(b.call, session_start_for(b.call, b.call->actor.account, STR("test"), &b.cookie));
	struct answer me = get(&b, "/api/v1/me");
	const char *at = strstr(me.body, "\"csrf\":\"");
	if (!at)
		fail_msg("%s", me.text);
	at += 8;
	b.csrf = str_copy(b.call->arena, str_make(at, (size_t)(strchr(at, '"') - at)));
	answer_free(&me);
	return b;
}

static void a_write_without_the_forms_token_is_refused(void **state)
{
	(void)state;
	serve();
	struct browser ada = sign_in("ada");
	people_coop(ada.call, "garden", "");
	struct browser forged = ada;
	forged.csrf = STR_NONE;
	expect(form(&forged, "/coops/garden/choices/licence", "licence=CC0-1.0"), 403, NULL);
	forged.csrf = STR("wrong");
	expect(form(&forged, "/coops/garden/choices/licence", "licence=CC0-1.0"), 403, NULL);
	expect(ask(&forged, "DELETE", "/api/v1/coops/garden/members/me/consent", "", ""), 403, "csrf");
	assert_int_equal(fixture_int("SELECT count(*) FROM licence_choice"), 0);
	expect(form(&ada, "/coops/garden/choices/licence", "licence=CC0-1.0"), 303, "Location: /coops/garden/choices");
	stop();
}

static void each_route_is_for_whom_it_says(void **state)
{
	(void)state;
	serve();
	struct browser ada = sign_in("ada"), bob = sign_in("bob"), eve = sign_in("eve"), anyone = nobody();
	struct coop coop = people_coop(ada.call, "garden", PEOPLE_OPEN);
	struct member m;
	assert_ok(bob.call, member_join(bob.call, coop.id, &m));
	static const struct { const char *path; int anyone, stranger, member, admin; } table[] = {
		{ "/api/v1/coops", 200, 200, 200, 200 }, { "/api/v1/coops/garden", 200, 200, 200, 200 }, { "/api/v1/coops/garden/charters/current", 200, 200, 200, 200 },
		{ "/.well-known/commonhold", 200, 200, 200, 200 }, { "/api/v1/coops/garden/members", 401, 403, 200, 200 }, { "/api/v1/coops/garden/members/me", 401, 403, 200, 200 },
		{ "/api/v1/coops/garden/members?state=left", 401, 403, 403, 200 }, { "/api/v1/coops/garden/statements", 401, 403, 200, 200 }, { "/api/v1/me", 401, 200, 200, 200 },
		{ "/api/v1/me/memberships", 401, 200, 200, 200 }, { "/api/v1/tokens", 401, 200, 200, 200 }, { "/api/v1/coops/nowhere", 404, 404, 404, 404 },
		{ "/", 200, 200, 200, 200 }, { "/coops/garden", 200, 200, 200, 200 }, { "/coops/garden/charter", 200, 200, 200, 200 },
		{ "/coops/garden/choices", 303, 403, 200, 200 }, { "/coops/garden/members", 303, 403, 200, 200 }, { "/coops/new", 303, 200, 200, 200 }, { "/me", 303, 200, 200, 200 },
	};
	for (size_t i = 0; i < CH_LEN(table); i++) {
		expect(get(&anyone, table[i].path), table[i].anyone, NULL);
		expect(get(&eve, table[i].path), table[i].stranger, NULL);
		expect(get(&bob, table[i].path), table[i].member, NULL);
		expect(get(&ada, table[i].path), table[i].admin, NULL);
	}
	struct str act = str_fmt(ada.call->arena, "/api/v1/coops/garden/members/%.*s", STR_ARG(uuid_format(ada.call->arena, m.id)));
	expect(ask(&bob, "PATCH", act.p, "application/json", "{\"act\":\"make_admin\"}"), 403, NULL);
	expect(ask(&ada, "PATCH", act.p, "application/json", "{\"act\":\"crown\"}"), 422, "/act");
	expect(ask(&ada, "PATCH", act.p, "application/json", "{\"act\":\"make_admin\"}"), 200, "\"is_admin\":true");
	stop();
}

/* Anybody may apply: that must not open what the members decide among themselves. */
static void an_applicant_does_not_see_ballots(void **state)
{
	(void)state;
	serve();
	struct browser ada = sign_in("ada"), eve = sign_in("eve");
	struct coop coop = people_coop(ada.call, "garden", "");
	struct member m;
	assert_ok(eve.call, member_join(eve.call, coop.id, &m));
	assert_int_equal(m.state, POLICY_STANDING_APPLIED);
	expect(get(&ada, "/api/v1/coops/garden/ballots"), 200, "items");
	expect(get(&eve, "/api/v1/coops/garden/ballots"), 403, NULL);
	expect(get(&eve, "/coops/garden/ballots"), 403, NULL);
	expect(get(&eve, "/api/v1/coops/garden/members/me"), 200, "applied");
	struct answer page = get(&eve, "/coops/garden");
	assert_null(strstr(page.text, "/coops/garden/ballots"));
	answer_free(&page);
	stop();
}

static void other_peoples_ids_are_as_absent_as_invented_ones(void **state)
{
	(void)state;
	serve();
	struct browser ada = sign_in("ada"), eve = sign_in("eve");
	struct coop garden = people_coop(ada.call, "garden", PEOPLE_OPEN);
	people_coop(eve.call, "forest", PEOPLE_OPEN);
	struct member a;
	struct token_row token;
	struct session_row *sessions;
	struct str secret;
	size_t n;
	assert_ok(ada.call, member_mine_in(ada.call, garden.id, &a));
	assert_ok(ada.call, token_create(ada.call, STR("t"), INSTANT_NONE, &token, &secret));
	assert_ok(ada.call, session_list(ada.call, &sessions, &n));
	struct arena *mem = eve.call->arena;
	expect(get(&eve, str_fmt(mem, "/api/v1/coops/forest/members/%.*s", STR_ARG(uuid_format(mem, a.id))).p), 404, "not_found");
	expect(get(&eve, str_fmt(mem, "/api/v1/coops/forest/members/%.*s", STR_ARG(uuid_format(mem, uuid_new()))).p), 404, "not_found");
	expect(get(&eve, "/api/v1/coops/forest/members/nonsense"), 404, "not_found");
	expect(ask(&eve, "PATCH", str_fmt(mem, "/api/v1/coops/forest/members/%.*s", STR_ARG(uuid_format(mem, a.id))).p, "application/json", "{\"act\":\"remove\"}"), 404, NULL);
	expect(ask(&eve, "DELETE", str_fmt(mem, "/api/v1/tokens/%.*s", STR_ARG(uuid_format(mem, token.id))).p, "", ""), 404, NULL);
	expect(ask(&eve, "DELETE", str_fmt(mem, "/api/v1/sessions/%.*s", STR_ARG(uuid_format(mem, sessions[0].id))).p, "", ""), 404, NULL);
	expect(ask(&eve, "POST", "/api/v1/coops/forest/statements", "application/json",
		"{\"statements\":[{\"uses\":[\"eval\"],\"effect\":\"deny\",\"item\":\"dc:abcdefgh234567ab:11111111-1111-4111-8111-111111111111\"}]}"), 422, "/statements/0/item");
	stop();
}

static void bad_bodies_name_the_field_and_change_nothing(void **state)
{
	(void)state;
	serve();
	struct browser ada = sign_in("ada");
	people_coop(ada.call, "garden", "");
	static const struct { const char *method, *path, *body; int status; const char *part; } table[] = {
		{ "POST", "/api/v1/coops", "{\"slug\":\"x1\",\"charter\":{\"name\":\"x\",\"scope\":{\"domain\":\"d\"},\"release\":{\"uses\":[\"eval\"],\"purposes\":[\"research\"]},\"cadence\":{\"notice\":\"P1D\"}}}", 422, "/charter/cadence/notice" },
		{ "POST", "/api/v1/coops", "{\"slug\":\"x1\",\"charter\":{\"name\":\"x\",\"colour\":1,\"scope\":{\"domain\":\"d\"},\"release\":{\"uses\":[\"eval\"],\"purposes\":[\"research\"]}}}", 422, "/charter/colour" },
		{ "POST", "/api/v1/coops", "{\"slug\":\"garden\",\"charter\":{\"name\":\"x\",\"scope\":{\"domain\":\"d\"},\"release\":{\"uses\":[\"eval\"],\"purposes\":[\"research\"]}}}", 409, "/slug" },
		{ "POST", "/api/v1/coops", "{\"slug\":", 400, "bad_json" },
		{ "POST", "/api/v1/coops", "{\"slug\":\"\xff\"}", 400, "bad_utf8" },
		{ "POST", "/api/v1/coops", "{\"slug\":\"a\",\"slug\":\"b\"}", 400, "bad_json" },
		{ "PUT", "/api/v1/coops/garden/members/me/consent", "{\"purposes\":[\"fun\"],\"accept_defaults\":true}", 422, "/purposes/0" },
		{ "PUT", "/api/v1/coops/garden/members/me/consent", "{\"purposes\":[\"research\"]}", 422, "/accept_defaults" },
		{ "PUT", "/api/v1/coops/garden/members/me/consent", "{\"purposes\":[\"research\"],\"accept_defaults\":\"yes\"}", 422, "/accept_defaults" },
		{ "PUT", "/api/v1/coops/garden/members/me/licence", "{\"licence\":\"GPL-3.0\"}", 422, "/licence" },
		{ "POST", "/api/v1/coops/garden/statements", "{\"statements\":[{\"uses\":[\"eval\"],\"effect\":\"maybe\"}]}", 422, "/statements/0/effect" },
		{ "POST", "/api/v1/coops/garden/statements", "{\"statements\":[{\"uses\":[\"eval\"],\"effect\":\"allow_if\"}]}", 422, "/statements/0/duties" },
		{ "POST", "/api/v1/tokens", "{\"name\":\"t\",\"expires_at\":\"tomorrow\"}", 422, "/expires_at" },
		{ "PATCH", "/api/v1/me", "{\"email\":\"x@y.z\"}", 422, "/email" },
	};
	for (size_t i = 0; i < CH_LEN(table); i++)
		expect(ask(&ada, table[i].method, table[i].path, "application/json", table[i].body), table[i].status, table[i].part);
	assert_int_equal(fixture_int("SELECT (SELECT count(*) FROM coop) * 1000 + (SELECT count(*) FROM consent) + (SELECT count(*) FROM statement) + (SELECT count(*) FROM token)"), 1000);
	stop();
}

static void nothing_is_ticked_that_was_not_said(void **state)
{
	(void)state;
	serve();
	struct browser ada = sign_in("ada");
	people_coop(ada.call, "garden", "");
	struct answer page = get(&ada, "/coops/garden/choices");
	const char *credit = strstr(page.body, "id=\"credit\"");
	for (const char *at = page.body; (at = strstr(at, " checked")) != NULL; at++)
		assert_true(at > credit); /* the pseudonym one already has */
	answer_free(&page);
	expect(form(&ada, "/coops/garden/choices/consent", "purpose=research"), 422, "Say whether");
	expect(form(&ada, "/coops/garden/choices/consent", "defaults=yes&charter=1"), 422, "at least one purpose");
	assert_int_equal(fixture_int("SELECT count(*) FROM consent"), 0);
	expect(form(&ada, "/coops/garden/choices/consent", "purpose=research&defaults=no&charter=2"), 409, "has changed since you were shown it");
	expect(form(&ada, "/coops/garden/choices/consent", "purpose=research&defaults=no"), 409, "which version");
	expect(form(&ada, "/coops/garden/choices/consent", "purpose=research&purpose=education&defaults=no&charter=1"), 303, NULL);
	expect(form(&ada, "/coops/garden/choices/statements", "use.train.gen=credit&use.eval=deny"), 303, NULL);
	expect(form(&ada, "/coops/garden/choices/statements", "use.train.gen=credit&use.eval=deny"), 303, NULL);
	assert_int_equal(fixture_int("SELECT count(*) FROM statement"), 2); /* the same again is not said again */
	expect(get(&ada, "/coops/garden/choices"), 200, "value=\"deny\" aria-label=\"evaluating models: no\" checked");
	expect(form(&ada, "/coops/garden/choices/leave", ""), 422, "Tick that you want to leave");
	stop();
}

static void pages_say_what_people_wrote_and_run_none_of_it(void **state)
{
	(void)state;
	serve();
	struct browser ada = sign_in("ada");
	struct coop coop;
	const struct json *draft = people_json(ada.call, "{\"name\":\"<script>alert(1)</script>\",\"scope\":{\"domain\":\"a\\\"><img src=x>\"},\"bylaws\":\"# Rules\\n<script>alert(2)</script>\\n[x](javascript:alert(3))\","
		"\"release\":{\"uses\":[\"eval\"],\"purposes\":[\"research\"]}}");
	assert_ok(ada.call, coop_found(ada.call, STR("garden"), draft, &coop));
	static const char *const pages[] = { "/", "/coops/garden", "/coops/garden/charter", "/coops/garden/choices" };
	for (size_t i = 0; i < CH_LEN(pages); i++) {
		struct answer page = get(&ada, pages[i]);
		if (page.status != 200 || strstr(page.body, "<script>alert") || strstr(page.body, "<img src=x") || strstr(page.body, "javascript:alert"))
			fail_msg("%s\n%s", pages[i], page.text);
		answer_free(&page);
	}
	expect(get(&ada, "/coops/garden/charter"), 200, "<h1>Rules</h1>");
	stop();
}

static void signing_in_leads_only_to_places_here(void **state)
{
	(void)state;
	serve();
	people_new("ada");
	struct browser b = nobody();
	expect(form(&b, "/sign-in", "email=ada%40example.org&password=correct+horse+battery&next=%2Fcoops%2Fnew"), 303, "Location: /coops/new\r\n");
	static const char *const elsewhere[] = { "%2F%2Fevil.example", "https%3A%2F%2Fevil.example", "%2F%5Cevil.example", "%2Fa%0d%0ab" };
	for (size_t i = 0; i < CH_LEN(elsewhere); i++)
		expect(form(&b, "/sign-in", str_fmt(b.call->arena, "email=ada%%40example.org&password=correct+horse+battery&next=%s", elsewhere[i]).p), 303, "Location: /\r\n");
	expect(form(&b, "/sign-in", "email=ada%40example.org&password=wrong"), 401, "E-mail or password is wrong.");
	expect(form(&b, "/register", "email=ada%40example.org&name=A&password=short"), 422, "id=\"password-error\"");
	expect(form(&b, "/register", "email=ada%40example.org&name=A&password=correct+horse+battery"), 409, "id=\"email-error\"");
	stop();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		fixture_test(a_write_without_the_forms_token_is_refused),
		fixture_test(each_route_is_for_whom_it_says),
		fixture_test(an_applicant_does_not_see_ballots),
		fixture_test(other_peoples_ids_are_as_absent_as_invented_ones),
		fixture_test(bad_bodies_name_the_field_and_change_nothing),
		fixture_test(nothing_is_ticked_that_was_not_said),
		fixture_test(pages_say_what_people_wrote_and_run_none_of_it),
		fixture_test(signing_in_leads_only_to_places_here),
	};
	return fixture_run(tests, CH_LEN(tests));
}
