/* What partners pass on to us from homes farther away: under which limits, by which way, and under which head of the home's log. */
#include "onward_internal.h"

#include "commonhold/agreement.h"
#include "commonhold/bundle.h"
#include "commonhold/guest.h"
#include "commonhold/merge.h"
#include "server/merge/agreement/agreement_internal.h"

SQL(kept_keys_of, "SELECT keys FROM onward_home WHERE coop_id = $1 AND home = $2");
SQL(source_find, "SELECT source_id FROM onward_source WHERE coop_id = $1 AND agreement_id = $2 AND home = $3");
SQL(source_keep,
	"INSERT INTO onward_source (coop_id, agreement_id, home, source_id, document, assent) VALUES ($1, $2, $3, $4, $5, $6) "
	"ON CONFLICT (coop_id, agreement_id, home) DO UPDATE SET document = excluded.document, assent = excluded.assent");
SQL(sources_under, "SELECT source_id, home, document FROM onward_source WHERE coop_id = $1 AND agreement_id = $2 ORDER BY home");
SQL(head_put,
	"INSERT INTO onward_head (coop_id, home, via, size, root, checkpoint, seen_at) VALUES ($1, $2, $3, $4, $5, $6, commonhold_now()) "
	"ON CONFLICT (coop_id, home, via) DO UPDATE SET size = excluded.size, root = excluded.root, checkpoint = excluded.checkpoint, seen_at = excluded.seen_at WHERE excluded.size > onward_head.size");
/* What is here already, or was given and not taken, and of which nothing is written, came from its home. */
SQL(ways_before,
	"INSERT INTO onward_way (coop_id, home, id, via) SELECT $1, u.home, u.id, u.home FROM unnest($2::text[], $3::uuid[]) AS u(home, id) JOIN origin_coop o ON o.coop_id = $1 AND o.key_name = u.home "
	"WHERE NOT EXISTS (SELECT FROM onward_way w WHERE w.coop_id = $1 AND w.id = u.id AND w.home = u.home) "
	"AND (EXISTS (SELECT FROM contribution c WHERE c.coop_id = $1 AND c.id = u.id AND (c.more >> 24 & 255) = o.no) OR EXISTS (SELECT FROM item_origin i WHERE i.coop_id = $1 AND i.id = u.id AND i.origin = o.no) "
	"OR EXISTS (SELECT FROM merge_conflict k WHERE k.coop_id = $1 AND k.rid = 'dc:' || u.home || ':' || u.id AND k.kind IN ('suppressed', 'id_taken'))) "
	"ON CONFLICT DO NOTHING");
SQL(ways_put, "INSERT INTO onward_way (coop_id, home, id, via) SELECT $1, u.home, u.id, $4 FROM unnest($2::text[], $3::uuid[]) AS u(home, id) ON CONFLICT DO NOTHING");
SQL(ways_of_home, "SELECT EXISTS (SELECT FROM onward_way WHERE coop_id = $1 AND home = $2)");
SQL(ways_own,
	"INSERT INTO onward_way (coop_id, home, id, via) SELECT DISTINCT $1::uuid, u.home, u.id, $4 FROM unnest($2::text[], $3::uuid[]) AS u(home, id) "
	"JOIN onward_way w ON w.coop_id = $1 AND w.id = u.id AND w.home = u.home ON CONFLICT DO NOTHING");

enum err onward_known_keys(struct call *c, struct uuid coop, struct str home, struct keychain *out)
{
	struct rows r;
	*out = (struct keychain){ .n = 0 };
	TRY(db_query(c, kept_keys_of, &r, A_UUID(coop), A_STR(home)));
	return r.n ? keychain_read(c->arena, row_str(&r, 0, 0), out, &c->error) : ERR_OK;
}

enum err onward_quarantined(struct call *c, struct uuid coop, struct str home, bool *yes)
{
	return merge_in_doubt(c, coop, home, yes);
}

/* ---- Limits ---- */

/* A length of 0 is none: of those that are there the shorter. */
static int64_t shorter(int64_t a, int64_t b)
{
	return a == 0 || (b != 0 && b < a) ? b : a;
}

/* The stricter of both, limit by limit. Audiences and accesses are numbered from the narrowest. False where they leave nothing. */
static bool limits_of_both(const struct agreement_terms *a, const struct agreement_terms *b, struct guest_source *out)
{
	uint16_t uses = (uint16_t)(policy_uses_expand(a->uses) & policy_uses_expand(b->uses));
	out->uses = uses;
	out->floor = (uint16_t)(a->floor | b->floor);
	out->purposes = purposes_both(a->purposes, b->purposes);
	out->audience = a->audience < b->audience ? a->audience : b->audience;
	out->k = a->k > b->k ? a->k : b->k;
	out->embargo = a->embargo > b->embargo ? a->embargo : b->embargo;
	out->retention = shorter(a->retention, b->retention);
	out->access = str_of(policy_audience_name((unsigned)(a->access < b->access ? a->access : b->access)));
	out->attribution = str_of(attribution_word(a->attribution < b->attribution ? a->attribution : b->attribution));
	return out->uses && out->purposes;
}

static struct str name_of(const struct agreement_terms *t, struct str party)
{
	return str_eq(t->parties[0], party) ? t->names[0] : t->names[1];
}

static enum err source_write(struct call *c, const struct agreement *with, const struct guest_source *parent, struct uuid id, struct str home, const struct agreement_terms *terms)
{
	struct guest_source s = { .agreement = id, .home = with->partner, .title = name_of(terms, home), .state = parent->state, .fresh_until = parent->fresh_until, .under = with->id };
	if (!limits_of_both(&with->terms, terms, &s)) { /* nothing is left: it stands there, and lets nothing through */
		s.uses = with->terms.uses;
		s.floor = POLICY_USES_ALL;
		s.purposes = with->terms.purposes;
	}
	return guest_source_put(c, with->coop, &s);
}

enum err onward_source_put(struct call *c, const struct agreement *with, const struct bundle_home *home, struct uuid *source)
{
	struct rows r;
	struct guest_source parent;
	TRY(guest_source_get(c, with->coop, with->id, &parent));
	TRY(db_query(c, source_find, &r, A_UUID(with->coop), A_UUID(with->id), A_STR(home->home)));
	*source = r.n ? row_uuid(&r, 0, 0) : uuid_new();
	TRY(db_exec(c, source_keep, A_UUID(with->coop), A_UUID(with->id), A_STR(home->home), A_UUID(*source), A_STR(home->document), A_STR(home->assent)));
	return source_write(c, with, &parent, *source, home->home, home->terms);
}

enum err onward_sources_follow(struct call *c, const struct agreement *with)
{
	struct rows r;
	struct guest_source parent;
	TRY(db_query(c, sources_under, &r, A_UUID(with->coop), A_UUID(with->id)));
	if (r.n == 0)
		return ERR_OK;
	TRY(guest_source_get(c, with->coop, with->id, &parent));
	for (int i = 0; i < r.n; i++) {
		struct agreement_terms terms;
		TRY(agreement_terms_parse(c->arena, row_str(&r, i, 2), &terms, &c->error));
		TRY(source_write(c, with, &parent, row_uuid(&r, i, 0), row_str(&r, i, 1), &terms));
	}
	return ERR_OK;
}

/* ---- Heads ---- */

enum err onward_head_seen(struct call *c, struct uuid coop, struct str via, const struct bundle_home *home)
{
	struct keychain keys;
	const struct json *came;
	TRY(json_parse(c->arena, home->keys.text, &came, &c->error));
	TRY(onward_keys(c, coop, home->home, came, via, "keys", &keys));
	return db_exec(c, head_put, A_UUID(coop), A_STR(home->home), A_STR(via), A_I64(home->size), A_BYTES(str_make(home->root.b, 32)), A_STR(home->checkpoint));
}

/* ---- Ways ---- */

enum err onward_ways_any(struct call *c, struct uuid coop, struct str home, bool *yes)
{
	struct rows r;
	TRY(db_one(c, ways_of_home, &r, A_UUID(coop), A_STR(home)));
	*yes = row_bool(&r, 0, 0);
	return ERR_OK;
}

enum err onward_ways_note(struct call *c, struct uuid coop, struct str via, const struct str *homes, const struct uuid *ids, size_t n, bool *several)
{
	bool own = n && str_eq(homes[0], via);
	*several = n && !own;
	if (n == 0)
		return ERR_OK;
	if (!own) {
		TRY(db_exec(c, ways_before, A_UUID(coop), A_TEXTS(homes, n), A_UUIDS(ids, n)));
		return db_exec(c, ways_put, A_UUID(coop), A_TEXTS(homes, n), A_UUIDS(ids, n), A_STR(via));
	}
	TRY(onward_ways_any(c, coop, via, several));
	return *several ? db_exec(c, ways_own, A_UUID(coop), A_TEXTS(homes, n), A_UUIDS(ids, n), A_STR(via)) : ERR_OK;
}
