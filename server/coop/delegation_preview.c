#include "server/coop/delegation_internal.h"

/* What revoking a delegation, or letting it end, would change for its principal: the same question asked with and without it. */

#define MATTERS_MAX 40 /* open ballots or releases under way that are looked at */

SQL(open_ballots,
	"SELECT id, kind, title FROM ballot WHERE coop_id = $1 AND state IN ('notice', 'open') AND ($2::uuid IS NULL OR id = $2) ORDER BY closes_at, id LIMIT $3");
SQL(open_releases,
	"SELECT id, '', 'Release of ' || to_char(cutoff_at AT TIME ZONE 'UTC', 'FMDD FMMonth YYYY') FROM release WHERE coop_id = $1 "
	"AND state IN ('scheduled', 'frozen', 'notice', 'open', 'cooling_off', 'building') AND ($2::uuid IS NULL OR id = $2) ORDER BY cutoff_at, id LIMIT $3");

struct previewing {
	struct call *c;
	const struct charter *charter;
	const struct member *me;
	struct delegation_preview *out;
	size_t room; /* places in out->changes */
};

static enum err compare(struct previewing *p, unsigned topic, struct uuid target, struct str title)
{
	if (p->out->n == p->room)
		return ERR_OK;
	struct delegation_change *k = &p->out->changes[p->out->n++];
	*k = (struct delegation_change){ .question = p->out->of.question, .topic = topic, .target = target, .title = title };
	TRY(delegation_resolve_without(p->c, p->charter, p->me->id, k->question, topic, target, 0, &k->before));
	TRY(delegation_resolve_without(p->c, p->charter, p->me->id, k->question, topic, target, p->out->of.edge, &k->after));
	bool same_end = uuid_eq(k->before.decider, k->after.decider) && k->before.n_steps == k->after.n_steps;
	for (size_t i = 0; same_end && i < k->before.n_steps; i++)
		same_end = uuid_eq(k->before.steps[i].by.delegate, k->after.steps[i].by.delegate);
	k->differs = k->before.via != k->after.via || !same_end;
	return ERR_OK;
}

static bool covers(const struct delegation *d, unsigned topic)
{
	return d->scope != POLICY_SCOPE_TOPIC || (d->topics >> topic & 1);
}

static enum err compare_ballots(struct previewing *p, const struct rows *r)
{
	for (int i = 0; i < r->n; i++) {
		struct str kind = row_str(r, i, 1);
		int topic = policy_ballot_find(kind.p ? kind.p : "", kind.n);
		if (topic >= 0 && covers(&p->out->of, (unsigned)topic))
			TRY(compare(p, (unsigned)topic, row_uuid(r, i, 0), row_str(r, i, 2)));
	}
	return ERR_OK;
}

static enum err compare_releases(struct previewing *p, const struct rows *r)
{
	uint16_t uses = policy_uses_expand(p->charter->release_uses);
	for (int i = 0; i < r->n; i++)
		for (unsigned use = 0; use < POLICY_USE_COUNT; use++)
			if ((uses >> use & 1) && covers(&p->out->of, use))
				TRY(compare(p, use, row_uuid(r, i, 0), row_str(r, i, 2)));
	return ERR_OK;
}

static enum err compare_all(struct previewing *p)
{
	struct rows r;
	const struct delegation *d = &p->out->of;
	if (d->scope != POLICY_SCOPE_TARGET)
		for (unsigned topic = 0; topic < delegation_topic_count(d->question); topic++)
			if (covers(d, topic))
				TRY(compare(p, topic, (struct uuid){ { 0 } }, STR_NONE));
	if (d->question == POLICY_QUESTION_VOTE) {
		TRY(db_query(p->c, open_ballots, &r, A_UUID(p->c->coop), A_UUID_OR_NULL(d->target), A_I64(MATTERS_MAX)));
		return compare_ballots(p, &r);
	}
	TRY(db_query(p->c, open_releases, &r, A_UUID(p->c->coop), A_UUID_OR_NULL(d->target), A_I64(MATTERS_MAX)));
	return compare_releases(p, &r);
}

enum err delegation_preview(struct call *c, struct uuid coop, struct uuid id, struct delegation_preview *out)
{
	struct charter charter;
	struct member me;
	struct edge_row e;
	TRY(db_begin_in(c, coop, DB_READ));
	TRY(require_member(c, coop, &me));
	TRY(edge_read(c, coop, id, &e));
	if (!uuid_eq(e.d.principal, me.id))
		return fail(c, ERR_NOT_FOUND, "There is no such delegation.");
	TRY(charter_current(c, coop, &charter));
	size_t room = POLICY_USE_COUNT + MATTERS_MAX;
	*out = (struct delegation_preview){ .of = e.d, .changes = ARENA_ARRAY(c->arena, room, struct delegation_change) };
	struct previewing p = { c, &charter, &me, out, room };
	TRY(compare_all(&p));
	return db_commit(c);
}
