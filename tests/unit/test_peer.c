/* Peers: pinned when met, confirmed by what an admin types, suspect once they show other keys. Two co-ops of one instance; the other instance is a chain of keys made here. */
#include "world.h"

#include "commonhold/config.h"
#include "commonhold/peer.h"

#include <stdio.h>

struct other {
	struct sign_key keys[4];
	struct keychain chain;   /* as it stands */
};

static void other_make(struct call *c, struct other *o)
{
	sign_key_new(&o->keys[0]);
	o->chain = keychain_single(c->arena, o->keys[0].public_key);
}

static struct keychain other_rotated(struct call *c, const struct other *o, const struct sign_key *next)
{
	struct keychain chain;
	assert_int_equal(keychain_extend(c->arena, &o->chain, &o->keys[o->chain.n - 1], next, WORLD_START + (instant)o->chain.n * CLOCK_HOUR, 10 * (int64_t)o->chain.n, &chain, &c->error), ERR_OK);
	return chain;
}

static void other_rotate(struct call *c, struct other *o)
{
	sign_key_new(&o->keys[o->chain.n]);
	o->chain = other_rotated(c, o, &o->keys[o->chain.n]);
}

static struct peer met(struct world *w, const struct other *o)
{
	struct peer peer;
	assert_ok(by(w, 0), peer_meet_file(by(w, 0), w->coop, STR(""), o->chain.text, &peer));
	return peer;
}

static enum err extend(struct world *w, struct peer *peer, struct str text)
{
	struct call *c = w->system;
	assert_ok(c, db_begin_in(c, w->coop, DB_WRITE));
	enum err e = peer_extend(c, peer, text);
	error_clear(&c->error);
	assert_ok(c, db_commit(c));
	return e;
}

static void a_peer_is_pinned_when_met_and_nothing_more(void **state)
{
	struct world w;
	struct other o;
	struct keychain keys;
	(void)state;
	world_make(&w, NULL);
	struct call *c = w.system;
	other_make(c, &o);
	struct peer peer = met(&w, &o);
	assert_int_equal(peer.state, PEER_SEEN);
	assert_true(str_eq(peer.name, o.chain.name) && str_eq(peer.chain, o.chain.text));
	assert_true(str_eq(peer.fingerprint, keychain_fingerprint(c->arena, o.keys[0].public_key)));
	assert_ok(c, db_begin_in(c, w.coop, DB_READ));
	assert_ok(c, peer_keys(c, &peer, &keys));
	assert_int_equal(peer_require_confirmed(c, &peer), ERR_REFUSED);
	assert_string_equal(c->error.reason, "peer_unconfirmed");
	db_rollback(c);
	assert_true(str_eq(keys.text, o.chain.text));
	/* Met again it is the same one. */
	struct peer again = met(&w, &o);
	assert_true(uuid_eq(again.id, peer.id));
	assert_int_equal(fixture_int("SELECT count(*) FROM peer"), 1);
	assert_int_equal(fixture_int("SELECT count(*) FROM log_leaf WHERE type = 'peer.met'"), 1);
}

static void only_the_whole_fingerprint_typed_by_an_admin_confirms(void **state)
{
	struct world w;
	struct other o;
	(void)state;
	world_make(&w, NULL);
	struct call *c = w.system;
	other_make(c, &o);
	struct peer peer = met(&w, &o), out;
	assert_err(by(&w, 5), ERR_FORBIDDEN, peer_confirm(by(&w, 5), w.coop, peer.id, peer.fingerprint, &out));
	assert_err(by(&w, 5), ERR_FORBIDDEN, peer_meet_file(by(&w, 5), w.coop, STR(""), o.chain.text, &out));
	assert_err(by(&w, 1), ERR_INVALID, peer_confirm(by(&w, 1), w.coop, peer.id, STR_NONE, &out));
	assert_err(by(&w, 1), ERR_INVALID, peer_confirm(by(&w, 1), w.coop, peer.id, str_sub(peer.fingerprint, 0, 40), &out));
	assert_err(by(&w, 1), ERR_INVALID, peer_confirm(by(&w, 1), w.coop, peer.id, keychain_fingerprint(c->arena, instance_sign_key(instance_keys())->public_key), &out));
	assert_int_equal(fixture_int("SELECT count(*) FROM peer WHERE state = 'seen'"), 1);
	assert_ok(by(&w, 1), peer_confirm(by(&w, 1), w.coop, peer.id, peer.fingerprint, &out));
	assert_int_equal(out.state, PEER_CONFIRMED);
	assert_true(uuid_eq(out.by, w.id[1]));
	assert_ok(by(&w, 1), peer_confirm(by(&w, 1), w.coop, peer.id, peer.fingerprint, &out)); /* again changes nothing */
	assert_int_equal(fixture_int("SELECT count(*) FROM log_leaf WHERE type = 'peer.confirmed'"), 1);
	assert_ok(by(&w, 0), peer_refuse(by(&w, 0), w.coop, peer.id, &out));
	assert_int_equal(out.state, PEER_REFUSED);
}

static void a_longer_chain_is_followed_and_the_fingerprint_is_then_the_new_keys(void **state)
{
	struct world w;
	struct other o;
	struct peer out;
	(void)state;
	world_make(&w, NULL);
	struct call *c = w.system;
	other_make(c, &o);
	struct peer peer = met(&w, &o);
	assert_ok(by(&w, 0), peer_confirm(by(&w, 0), w.coop, peer.id, peer.fingerprint, &peer));
	other_rotate(c, &o);
	other_rotate(c, &o);
	assert_int_equal(extend(&w, &peer, o.chain.text), ERR_OK);
	assert_int_equal(peer.state, PEER_CONFIRMED);
	assert_true(str_eq(peer.chain, o.chain.text));
	assert_true(str_eq(peer.fingerprint, keychain_fingerprint(c->arena, o.keys[2].public_key)));
	assert_err(by(&w, 0), ERR_INVALID, peer_confirm(by(&w, 0), w.coop, peer.id, keychain_fingerprint(c->arena, o.keys[0].public_key), &out));
}

static void a_rewritten_or_shortened_chain_makes_a_peer_suspect_and_admins_hear_of_it(void **state)
{
	(void)state;
	for (int shortened = 0; shortened < 2; shortened++) {
		struct world w;
		struct other o;
		struct sign_key thief;
		struct peer out;
		if (shortened) { /* a database of its own for each */
			fixture_teardown(state);
			fixture_setup(state);
		}
		world_make(&w, NULL);
		struct call *c = w.system;
		other_make(c, &o);
		struct str before = o.chain.text;
		sign_key_new(&thief);
		struct keychain rewritten = other_rotated(c, &o, &thief);
		other_rotate(c, &o);
		struct peer peer = met(&w, &o);
		assert_ok(by(&w, 0), peer_confirm(by(&w, 0), w.coop, peer.id, peer.fingerprint, &peer));
		assert_int_equal(extend(&w, &peer, shortened ? before : rewritten.text), ERR_CORRUPT);
		assert_int_equal(peer.state, PEER_SUSPECT);
		assert_true(str_eq(peer.chain, o.chain.text)); /* what is pinned stays */
		assert_true(peer.last_error.n > 0);
		assert_int_equal(fixture_int("SELECT count(*) FROM notice WHERE kind = 'peer.suspect'"), 3);
		assert_int_equal(extend(&w, &peer, shortened ? before : rewritten.text), ERR_CORRUPT);
		assert_int_equal(fixture_int("SELECT count(*) FROM notice WHERE kind = 'peer.suspect'"), 3); /* told once */
		/* The right chain alone does not clear it: an admin does. */
		assert_int_equal(extend(&w, &peer, o.chain.text), ERR_OK);
		assert_int_equal(peer.state, PEER_SUSPECT);
		assert_ok(by(&w, 0), peer_confirm(by(&w, 0), w.coop, peer.id, peer.fingerprint, &out));
		assert_int_equal(out.state, PEER_CONFIRMED);
	}
}

static void damaged_keys_are_refused_and_leave_nothing(void **state)
{
	struct world w;
	struct other o;
	struct peer out;
	(void)state;
	world_make(&w, NULL);
	struct call *c = w.system;
	other_make(c, &o);
	other_rotate(c, &o);
	struct str cut = str_sub(o.chain.text, 0, o.chain.text.n - 3);
	assert_err(by(&w, 0), ERR_INVALID, peer_meet_file(by(&w, 0), w.coop, STR(""), cut, &out));
	assert_err(by(&w, 0), ERR_INVALID, peer_meet_file(by(&w, 0), w.coop, STR("ftp://x"), o.chain.text, &out));
	assert_err(by(&w, 0), ERR_INVALID, peer_meet(by(&w, 0), w.coop, STR("http://10.0.0.1"), STR("some-coop"), &out));
	assert_err(by(&w, 0), ERR_INVALID, peer_meet(by(&w, 0), w.coop, STR("https://commonhold.example"), STR("../../x"), &out));
	assert_int_equal(fixture_int("SELECT count(*) FROM peer"), 0);
	struct peer peer = met(&w, &o);
	assert_int_equal(extend(&w, &peer, cut), ERR_CORRUPT); /* damage is no evidence of a rewriting */
	assert_int_equal(fixture_int("SELECT count(*) FROM peer WHERE state = 'seen'"), 1);
}

static void a_coop_of_the_same_instance_is_met_without_asking_anybody(void **state)
{
	struct world w, v;
	struct peer peer, own;
	struct keychain chain, keys;
	struct coop coop, mine;
	(void)state;
	world_make(&w, NULL);
	struct call *c = w.system;
	assert_ok(c, coop_read(c, w.coop, &mine));
	fixture_sql("UPDATE coop SET slug = 'another-one'; UPDATE account SET email = 'old-' || email"); /* worlds have one name */
	world_make(&v, NULL);
	assert_ok(c, db_begin(c, DB_READ));
	assert_ok(c, coop_get(c, v.coop, &coop));
	assert_ok(c, db_commit(c));
	assert_ok(by(&w, 0), peer_meet(by(&w, 0), w.coop, str_of(config()->base_url), coop.slug, &peer));
	assert_true(uuid_eq(peer.here, v.coop));
	assert_ok(by(&w, 0), peer_confirm(by(&w, 0), w.coop, peer.id, peer.fingerprint, &peer));
	assert_err(by(&w, 0), ERR_INVALID, peer_meet(by(&w, 0), w.coop, str_of(config()->base_url), mine.key_name, &own));
	/* Its keys are those that it has now, whether or not anybody has looked since. */
	c = fixture_system();
	assert_ok(c, coop_key_rotate(c, v.coop, &chain));
	c = fixture_system();
	assert_ok(c, db_begin_in(c, w.coop, DB_READ));
	assert_ok(c, peer_keys(c, &peer, &keys));
	assert_ok(c, db_commit(c));
	assert_true(str_eq(keys.text, chain.text));
	assert_ok(by(&w, 0), peer_refresh(by(&w, 0), w.coop, peer.id, &peer));
	assert_int_equal(peer.state, PEER_CONFIRMED);
	assert_true(str_eq(peer.chain, chain.text));
}

static void peers_of_one_coop_are_no_business_of_another(void **state)
{
	struct world w;
	struct other o;
	struct peer out;
	(void)state;
	world_make(&w, NULL);
	other_make(w.system, &o);
	struct peer peer = met(&w, &o);
	struct call *c = fixture_system();
	struct uuid stranger = uuid_new();
	assert_err(c, ERR_NOT_FOUND, peer_read(c, stranger, peer.id, &out));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		fixture_test(a_peer_is_pinned_when_met_and_nothing_more),
		fixture_test(only_the_whole_fingerprint_typed_by_an_admin_confirms),
		fixture_test(a_longer_chain_is_followed_and_the_fingerprint_is_then_the_new_keys),
		fixture_test(a_rewritten_or_shortened_chain_makes_a_peer_suspect_and_admins_hear_of_it),
		fixture_test(damaged_keys_are_refused_and_leave_nothing),
		fixture_test(a_coop_of_the_same_instance_is_met_without_asking_anybody),
		fixture_test(peers_of_one_coop_are_no_business_of_another),
	};
	return fixture_run(tests, CH_LEN(tests));
}
