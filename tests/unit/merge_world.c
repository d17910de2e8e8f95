#include "merge_world.h"

#include "commonhold/guest.h"
#include "commonhold/ledger.h"
#include "commonhold/terms.h"

static const char charter[] =
	"{\"name\":\"%s\",\"scope\":{\"domain\":\"testing\",\"region\":\"CH\",\"language\":[\"en\"]},"
	"\"release\":{\"uses\":[\"train.gen\"],\"purposes\":[\"research\"],\"audience\":\"gated_manual\",\"k_contributors\":1},"
	"\"cadence\":{\"rrule\":\"FREQ=MONTHLY;BYMONTHDAY=1\",\"start\":\"2026-01-01T06:00:00Z\",\"lead\":\"P1D\",\"notice\":\"P7D\",\"voting\":\"P2D\",\"cooling_off\":\"P1D\"},"
	"\"gate\":{\"rule\":\"n_of_m_admins\",\"n\":1},\"membership\":{\"admission\":\"open\"}}";

struct str merge_world_key_name(struct call *c, struct uuid coop)
{
	struct str id = uuid_format(c->arena, coop);
	return str_copy(c->arena, str_of(fixture_text(str_fmt(c->arena, "SELECT key_name FROM coop WHERE id = '%.*s'", STR_ARG(id)).p)));
}

struct uuid merge_world_coop(struct world *w, const char *slug)
{
	struct call *c = by(w, 0);
	struct coop coop;
	const struct json *draft;
	assert_ok(c, json_parse(c->arena, str_fmt(c->arena, charter, slug), &draft, &c->error));
	assert_ok(c, coop_found(c, str_of(slug), draft, &coop));
	return coop.id;
}

static struct peer meet(struct call *admin, struct uuid coop, struct uuid of)
{
	struct peer peer;
	struct str id = uuid_format(admin->arena, of);
	struct str slug = str_copy(admin->arena, str_of(fixture_text(str_fmt(admin->arena, "SELECT slug FROM coop WHERE id = '%.*s'", STR_ARG(id)).p)));
	assert_ok(admin, peer_meet(admin, coop, STR("http://127.0.0.1:8080"), slug, &peer));
	assert_ok(admin, peer_confirm(admin, coop, peer.id, peer.fingerprint, &peer));
	return peer;
}

/* What a co-op signs when its ballot has passed. */
static struct str assent_of(struct call *c, struct uuid coop, struct str document)
{
	struct sign_key key;
	struct str at = clock_format(c->arena, clock_now()), name = merge_world_key_name(c, coop), digest = sha256_hex(c->arena, sha256(document));
	assert_ok(c, db_begin_in(c, coop, DB_READ));
	assert_ok(c, ledger_key(c, coop, &key));
	assert_ok(c, db_commit(c));
	return dsse_sign(c->arena, &key, 1, STR("application/vnd.commonhold.assent+json"),
		str_fmt(c->arena, "{\"agreement\":\"%.*s\",\"at\":\"%.*s\",\"coop\":\"%.*s\",\"v\":1}", STR_ARG(digest), STR_ARG(at), STR_ARG(name)));
}

/* The row of one side. */
static void put_row(struct call *c, struct uuid coop, struct uuid other, struct uuid peer, struct uuid agreement, struct str document, struct str theirs)
{
	struct str mine = assent_of(c, coop, document), their = assent_of(c, other, document);
	struct str k = uuid_format(c->arena, coop), p = uuid_format(c->arena, peer), g = uuid_format(c->arena, agreement);
	struct str at = clock_format(c->arena, clock_now()), ends = clock_format(c->arena, clock_now() + 300 * CLOCK_DAY);
	fixture_sql(str_fmt(c->arena,
		"SET session_replication_role = replica; "
		"INSERT INTO agreement (coop_id, id, peer_id, made_at) VALUES ('%.*s', '%.*s', '%.*s', '%.*s'); "
		"INSERT INTO agreement_revision (coop_id, agreement_id, revision, document, charter_theirs, digest, state, proposed_here, ballot_id, assent_ours, assent_theirs, made_at, state_at, effect_at, starts_at, ends_at) "
		"VALUES ('%.*s', '%.*s', 1, $doc$%.*s$doc$, $doc$%.*s$doc$, sha256(convert_to($doc$%.*s$doc$, 'UTF8')), 'in_effect', true, gen_random_uuid(), '%.*s', '%.*s', '%.*s', '%.*s', '%.*s', '%.*s', '%.*s'); "
		"RESET session_replication_role",
		STR_ARG(k), STR_ARG(g), STR_ARG(p), STR_ARG(at), STR_ARG(k), STR_ARG(g), STR_ARG(document), STR_ARG(theirs), STR_ARG(document), STR_ARG(mine), STR_ARG(their), STR_ARG(at), STR_ARG(at), STR_ARG(at), STR_ARG(at), STR_ARG(ends)).p);
}

/* What an agreement in effect allows with what comes in under it, as agreements write it when they change. */
static void put_source(struct call *c, struct uuid coop, struct uuid id)
{
	struct agreement g;
	assert_ok(c, db_begin_in(c, coop, DB_WRITE));
	assert_ok(c, agreement_get(c, coop, id, &g));
	const struct agreement_terms *t = &g.terms;
	struct guest_source source = { .agreement = id, .home = g.partner, .title = g.partner_title.n ? g.partner_title : STR("the other"), .uses = t->uses, .floor = t->floor, .purposes = t->purposes,
		.audience = t->audience, .k = t->k, .embargo = t->embargo, .retention = t->retention, .access = STR("gated_manual"), .attribution = str_of(attribution_word(t->attribution)),
		.state = GUEST_SOURCE_IN_EFFECT, .fresh_until = clock_now() + t->freshness };
	if (g.we_receive)
		assert_ok(c, guest_source_put(c, coop, &source));
	assert_ok(c, db_commit(c));
}

struct uuid merge_world_agree(struct call *system, struct call *admin, struct uuid one, struct uuid two, const char *draft, struct sha256 *digest)
{
	struct agreement_party parties[2];
	struct charter charters[2];
	const struct uuid coops[2] = { one, two };
	const struct json *json;
	struct uuid id = uuid_new();
	struct str document;
	struct peer there = meet(admin, two, one), here = meet(admin, one, two);
	for (int i = 0; i < 2; i++) {
		assert_ok(system, charter_view(system, coops[i], 0, &charters[i]));
		parties[i] = (struct agreement_party){ merge_world_key_name(system, coops[i]), STR("http://127.0.0.1:8080"), &charters[i] };
	}
	assert_ok(system, json_parse(system->arena, str_of(draft ? draft : "{}"), &json, &system->error));
	assert_ok(system, agreement_terms_check(system->arena, json, parties, id, 1, NULL, clock_now(), &document, &system->error));
	put_row(system, one, two, here.id, id, document, charters[1].document);
	put_row(system, two, one, there.id, id, document, charters[0].document);
	put_source(system, one, id);
	put_source(system, two, id);
	*digest = sha256(document);
	return id;
}

void merge_world_make(struct merge_world *m, const char *draft)
{
	world_make(&m->w, NULL);
	m->other = merge_world_coop(&m->w, "other");
	m->agreement = merge_world_agree(m->w.system, by(&m->w, 0), m->w.coop, m->other, draft, &m->digest);
	m->name = merge_world_key_name(m->w.system, m->w.coop);
	m->other_name = merge_world_key_name(m->w.system, m->other);
}
