/* people.h - accounts and co-ops for the tests of one program, made through the operations that the server has for them. */
#ifndef COMMONHOLD_TESTS_PEOPLE_H
#define COMMONHOLD_TESTS_PEOPLE_H

#include "commonhold/account.h"
#include "commonhold/coop.h"
#include "commonhold/crypto.h"
#include "tests/unit/fixture.h"

#include <stdio.h>

/* The instance's keys, in the fixture's directory: once per program, before anything that signs or seals. */
static inline void people_keys(void)
{
	static struct instance_keys *keys;
	struct error e = { 0 };
	static char dir[256];
	if (keys)
		return;
	snprintf(dir, sizeof dir, "%s/keys", fixture_dir());
	if (!crypto_start() || instance_keys_open(dir, &keys, &e) != ERR_OK)
		fail_msg("%s", e.message);
	instance_keys_use(keys);
}

#define PEOPLE_PASSWORD STR("correct horse battery")

/* A call of a new account that is called and reached by this name. */
static inline struct call *people_new(const char *name)
{
	struct call *c = fixture_call();
	struct account account;
	people_keys();
	assert_ok(c, account_register(c, str_fmt(c->arena, "%s@example.org", name), str_of(name), PEOPLE_PASSWORD, &account));
	c->actor = (struct actor){ .kind = AUTH_SESSION, .account = account.id, .email = account.email, .name = account.name };
	return c;
}

static inline const struct json *people_json(struct call *c, const char *text)
{
	const struct json *v = NULL;
	if (json_parse(c->arena, str_of(text), &v, &c->error) != ERR_OK)
		fail_msg("%s: %s", text, c->error.message);
	return v;
}

/* A co-op whose first admin is the caller. `more` is added to the least charter there is: ",\"membership\":{…}" or "". */
static inline struct coop people_coop(struct call *c, const char *slug, const char *more)
{
	struct coop coop;
	struct str draft = str_fmt(c->arena,
		"{\"name\":\"%s\",\"scope\":{\"domain\":\"language\",\"region\":\"CH\",\"language\":[\"en\",\"de-CH\"]},\"release\":{\"uses\":[\"train.gen\",\"eval\"],\"purposes\":[\"research\"]}%s}", slug, more);
	assert_ok(c, coop_found(c, str_of(slug), people_json(c, draft.p), &coop));
	return coop;
}
/* Where the first fault of a call's error is, and a text as C wants it. */
static inline struct str people_fault(const struct call *c)
{
	return c->error.faults ? c->error.faults->pointer : STR_NONE;
}
#define PEOPLE_OPEN ",\"membership\":{\"admission\":\"open\"}"

#endif
