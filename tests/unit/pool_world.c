#include "pool_world.h"

#include "commonhold/crypto.h"
#include "commonhold/ledger.h"

static void keys_ready(void)
{
	static struct instance_keys *keys;
	static char dir[160];
	struct error e = { 0 };
	if (keys)
		return;
	snprintf(dir, sizeof(dir), "%s/keys", fixture_dir());
	if (instance_keys_open(dir, &keys, &e) != ERR_OK)
		fail_msg("%s %s", e.message, e.detail);
	instance_keys_use(keys);
}

static const char *uuid_z(struct call *c, struct uuid u)
{
	return str_z(c->arena, uuid_format(c->arena, u));
}

/* A charter as adopted, under the number that follows. */
static void charter_add(struct call *c, struct uuid coop, const char *fields)
{
	struct str document, draft;
	const struct json *json;
	draft = str_fmt(c->arena, "{\"name\":\"Test\",\"scope\":{\"domain\":\"language\"},\"release\":{\"uses\":[\"train.gen\"],\"purposes\":[\"research\"]}%s%s}",
		fields && *fields ? "," : "", fields ? fields : "");
	assert_ok(c, json_parse(c->arena, draft, &json, &c->error));
	assert_ok(c, charter_check(c->arena, json, &document, &c->error));
	struct sha256 digest = sha256(document);
	fixture_sql(str_z(c->arena, str_fmt(c->arena,
		"INSERT INTO charter (coop_id, version, document, digest, name, domain, region, languages, admission, ballot_id, adopted_at) "
		"SELECT '%s', v, $c$%.*s$c$, '\\x%.*s', 'Test', 'language', '', '{en}', 'open', CASE WHEN v > 1 THEN gen_random_uuid() END, statement_timestamp() "
		"FROM (SELECT coalesce(max(version), 0) + 1 AS v FROM charter WHERE coop_id = '%s') x",
		uuid_z(c, coop), STR_ARG(document), STR_ARG(sha256_hex(c->arena, digest)), uuid_z(c, coop))));
}

void world_charter(struct uuid coop, const char *fields)
{
	charter_add(fixture_system(), coop, fields);
}

struct uuid world_coop(const char *fields)
{
	struct call *c = fixture_system();
	struct uuid coop = uuid_new(), founder = uuid_new();
	uint8_t public_key[32];
	keys_ready();
	assert_ok(c, db_begin_in(c, coop, DB_WRITE));
	assert_ok(c, ledger_key_new(c, coop, public_key));
	assert_ok(c, db_commit(c));
	fixture_sql(str_z(c->arena, str_fmt(c->arena,
		"INSERT INTO account (id, email, name, created_at) VALUES ('%s', '%s@example.org', 'Founder', statement_timestamp());"
		"INSERT INTO coop (id, key_name, slug, public_key, founder_id, founded_at) VALUES ('%s', '%.*s', 's%.8s', '\\x%.*s', '%s', statement_timestamp())",
		uuid_z(c, founder), uuid_z(c, founder), uuid_z(c, coop), STR_ARG(coop_key_name(c->arena, public_key)), uuid_z(c, coop),
		STR_ARG(str_hex(c->arena, public_key, 32)), uuid_z(c, founder))));
	charter_add(c, coop, fields);
	fixture_end(c);
	return coop;
}

static void act_as(struct call *c, struct uuid account)
{
	c->actor = (struct actor){ .kind = AUTH_SESSION, .account = account, .name = STR("Somebody") };
}

struct call *world_member(struct uuid coop, const char *state)
{
	struct call *c = fixture_call();
	struct uuid account = uuid_new(), member = uuid_new();
	act_as(c, account);
	fixture_sql(str_z(c->arena, str_fmt(c->arena,
		"INSERT INTO account (id, email, name, created_at) VALUES ('%s', '%s@example.org', 'Somebody', statement_timestamp());"
		"INSERT INTO membership (coop_id, id, account_id, number, state, is_admin, applied_at, joined_at, due_at, state_at, pseudonym) "
		"SELECT '%s', '%s', '%s', n, '%s', n = 0, statement_timestamp(), statement_timestamp(), statement_timestamp() + interval '1 year', statement_timestamp(), 'member-' || n "
		"FROM (SELECT count(*)::integer AS n FROM membership WHERE coop_id = '%s') x",
		uuid_z(c, account), uuid_z(c, account), uuid_z(c, coop), uuid_z(c, member), uuid_z(c, account), state, uuid_z(c, coop))));
	return c;
}

struct call *world_again(const struct call *c)
{
	struct call *other = fixture_call();
	other->actor = c->actor;
	return other;
}

const struct json *world_json(struct call *c, const char *text)
{
	const struct json *json = NULL;
	assert_ok(c, json_parse(c->arena, str_copy(c->arena, str_of(text)), &json, &c->error));
	return json;
}

const struct json *world_example(struct call *c, const char *input)
{
	return world_json(c, str_z(c->arena, str_fmt(c->arena, "{\"kind\":\"example\",\"content\":{\"input\":\"%s\"}}", input)));
}

struct receipt world_submit(struct call *c, struct uuid coop, const char *input)
{
	struct receipt r;
	assert_ok(c, pool_submit(c, coop, world_example(c, input), &r));
	return r;
}
