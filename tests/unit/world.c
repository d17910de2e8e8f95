#include "world.h"

#include "commonhold/account.h"
#include "commonhold/config.h"
#include "commonhold/crypto.h"
#include "commonhold/json.h"
#include "commonhold/ledger.h"

#include <stdlib.h>
#include <sys/stat.h>

static const char usual[] =
	"{\"name\":\"Test co-op\",\"scope\":{\"domain\":\"testing\",\"region\":\"CH\",\"language\":[\"en\"]},"
	"\"release\":{\"uses\":[\"train.gen\"],\"purposes\":[\"research\"],\"audience\":\"gated_manual\",\"k_contributors\":1},"
	"\"cadence\":{\"rrule\":\"FREQ=MONTHLY;BYMONTHDAY=1\",\"start\":\"2026-01-01T06:00:00Z\",\"lead\":\"P1D\",\"notice\":\"P7D\",\"voting\":\"P2D\",\"cooling_off\":\"P1D\"},"
	"\"gate\":{\"rule\":\"n_of_m_admins\",\"n\":2},\"membership\":{\"admission\":\"open\"}}";

static const struct json *charter_draft(struct call *c, const char *replace)
{
	const struct json *base, *over = NULL, *out;
	struct buf b;
	struct json_writer w;
	assert_ok(c, json_parse(c->arena, str_of(usual), &base, &c->error));
	if (replace)
		assert_ok(c, json_parse(c->arena, str_of(replace), &over, &c->error));
	buf_init(&b, LIMIT_BODY_CHARTER);
	jw_init(&w, &b);
	jw_object(&w);
	json_each(member, base) {
		if (json_get_str(over, member->key))
			continue;
		jw_key_str(&w, member->key);
		jw_json(&w, member);
	}
	json_each(member, over) {
		jw_key_str(&w, member->key);
		jw_json(&w, member);
	}
	jw_end_object(&w);
	struct str text = str_copy(c->arena, buf_str(&b));
	buf_release(&b);
	assert_ok(c, json_parse(c->arena, text, &out, &c->error));
	return out;
}

static struct actor sign_in(struct call *c, struct str slug, int number)
{
	struct account account;
	c->actor = (struct actor){ 0 };
	struct str email = str_is(slug, "test") ? str_fmt(c->arena, "member%d@example.org", number) : str_fmt(c->arena, "member%d@%.*s.example.org", number, STR_ARG(slug));
	assert_ok(c, account_create(c, email, str_fmt(c->arena, "Member %d", number), &account));
	return (struct actor){ .kind = AUTH_SESSION, .account = account.id, .email = account.email, .name = account.name };
}

struct call *by(struct world *w, int member)
{
	w->person->actor = w->actor[member];
	return w->person;
}

static void configure(void)
{
	struct error e = { 0 };
	setenv("COMMONHOLD_DIR", fixture_dir(), 1);
	setenv("COMMONHOLD_LOG", "warn", 1);
	assert_int_equal(config_load(&e), ERR_OK);
	mkdir(config()->releases_dir, 0755);
	if (instance_keys())
		return;
	struct instance_keys *keys;
	assert_true(crypto_start());
	assert_int_equal(instance_keys_open(config()->key_dir, &keys, &e), ERR_OK);
	instance_keys_use(keys);
	ledger_use_host("test.example");
}

void world_make(struct world *w, const char *replace)
{
	clock_set(WORLD_START);
	world_make_as(w, "test", replace);
}

void world_make_as(struct world *w, const char *slug, const char *replace)
{
	struct coop coop;
	struct member m;
	configure();
	w->system = fixture_system();
	w->person = fixture_call();
	for (int i = 0; i < WORLD_MEMBERS; i++)
		w->actor[i] = sign_in(w->person, str_of(slug), i);
	assert_ok(by(w, 0), coop_found(by(w, 0), str_of(slug), charter_draft(by(w, 0), replace), &coop));
	w->coop = coop.id;
	assert_ok(by(w, 0), member_mine_in(by(w, 0), w->coop, &m));
	w->id[0] = m.id;
	for (int i = 1; i < WORLD_MEMBERS; i++) {
		assert_ok(by(w, i), member_join(by(w, i), w->coop, &m));
		w->id[i] = m.id;
		if (i < 3)
			assert_ok(by(w, 0), member_set_admin(by(w, 0), w->coop, w->id[i], true, &m));
	}
	assert_ok(w->system, release_schedule_next(w->system, w->coop, NULL));
}

void world_say(struct world *w, int member, const char *effect)
{
	struct call *c = by(w, member);
	struct str research = STR("research");
	assert_ok(c, consent_give(c, w->coop, &research, 1, false));
	if (!effect)
		return;
	struct statement *out, in = { .layer = 2, .uses = 1u << POLICY_USE_TRAIN_GEN, .effect = str_of(effect), .valid_from = INSTANT_NONE, .valid_to = INSTANT_NONE };
	assert_ok(c, statement_make(c, w->coop, &in, 1, &out));
}

struct uuid world_contribute(struct world *w, int member, const char *text)
{
	struct call *c = by(w, member);
	const struct json *json;
	struct receipt receipt;
	struct str body = str_fmt(c->arena, "{\"kind\":\"example\",\"lang\":\"en\",\"content\":{\"input\":\"%s\",\"output\":\"An answer to it.\"}}", text);
	assert_ok(c, json_parse(c->arena, body, &json, &c->error));
	assert_ok(c, pool_submit(c, w->coop, json, &receipt));
	return receipt.id;
}

struct release world_read(struct world *w, struct uuid release)
{
	struct release r;
	assert_ok(w->system, release_read(w->system, w->coop, release, &r));
	return r;
}

struct release world_published(struct world *w)
{
	struct release r = world_release(w);
	world_until(w, r.cutoff_at);
	world_publish(w, r.id);
	r = world_read(w, r.id);
	assert_int_equal(r.state, RELEASE_PUBLISHED);
	return r;
}

struct release world_release(struct world *w)
{
	struct release *releases;
	struct str next;
	size_t n;
	assert_ok(w->system, release_list(w->system, w->coop, STR_NONE, STR_NONE, 10, &releases, &n, &next));
	assert_true(n >= 1);
	return releases[0];
}

void world_until(struct world *w, instant t)
{
	static const struct job_kind *const tables[] = { ballot_jobs, release_jobs, control_jobs, motion_jobs, NULL };
	struct error e = { 0 };
	int ran;
	(void)w;
	clock_set(t);
	if (job_run_due(tables, &ran, &e) != ERR_OK)
		fail_msg("jobs: %s", e.message);
}

void world_vote(struct world *w, const struct release *r, int n, const char *choice)
{
	for (int i = 0; i < n; i++) {
		struct ballot b;
		assert_ok(by(w, i), ballot_cast_vote(by(w, i), w->coop, r->ballot, str_of(choice), &b));
	}
}

void world_publish(struct world *w, struct uuid release)
{
	struct release r = world_read(w, release);
	world_until(w, r.cutoff_at + 7 * CLOCK_DAY + CLOCK_HOUR);
	r = world_read(w, release);
	world_vote(w, &r, 2, "for");
	world_until(w, r.cutoff_at + 9 * CLOCK_DAY + 2 * CLOCK_HOUR);
	world_until(w, r.cutoff_at + 10 * CLOCK_DAY + 3 * CLOCK_HOUR);
}

enum policy_outcome world_outcome(struct world *w, struct uuid release, struct uuid item, uint64_t *reasons)
{
	struct item_release *in;
	size_t n;
	assert_ok(w->system, release_of_item(w->system, w->coop, item, &in, &n));
	for (size_t i = 0; i < n; i++) {
		if (uuid_eq(in[i].release.id, release)) {
			if (reasons)
				*reasons = in[i].reasons;
			return in[i].outcome;
		}
	}
	fail_msg("the release has no decision on the item");
	return POLICY_EXCLUDE;
}
