#include "server/erasure/erasure_internal.h"

#include "commonhold/ledger.h"

/* Agents: authorised beforehand by the member, for kinds of request and until a day. */

#define AGENT_YEARS 1 /* an authorisation that nobody renews must not last */
#define AGENT_COLUMNS \
	"g.id, g.member_id, g.account_id, (SELECT name FROM account a WHERE a.id = g.account_id AND a.closed_at IS NULL), g.kinds, g.alone, g.since, g.until, g.ended_at, " \
	"m.account_id = commonhold_account()"
#define AGENT_FROM " FROM agent g JOIN membership m ON m.coop_id = g.coop_id AND m.id = g.member_id "

SQL(agent_insert,
	"INSERT INTO agent (coop_id, id, member_id, account_id, kinds, alone, since, until) VALUES ($1, $2, $3, $4, $5, $6, commonhold_now(), $7)");
SQL(agent_by_id, "SELECT " AGENT_COLUMNS AGENT_FROM "WHERE g.coop_id = $1 AND g.id = $2");
SQL(agent_hold, "SELECT ended_at IS NULL FROM agent WHERE coop_id = $1 AND id = $2 FOR UPDATE");
SQL(agent_set_ended, "UPDATE agent SET ended_at = commonhold_now() WHERE coop_id = $1 AND id = $2");
/* One whose time has run out makes room for its successor. */
SQL(agent_expire, "UPDATE agent SET ended_at = until WHERE coop_id = $1 AND member_id = $2 AND account_id = $3 AND ended_at IS NULL AND until <= commonhold_now()");
SQL(agents_of_actor,
	"SELECT " AGENT_COLUMNS AGENT_FROM "WHERE g.coop_id = $1 AND (m.account_id = commonhold_account() OR g.account_id = commonhold_account()) ORDER BY g.since DESC, g.id LIMIT 200");
SQL(agent_that_may,
	"SELECT " AGENT_COLUMNS AGENT_FROM "WHERE g.coop_id = $1 AND g.member_id = $2 AND g.account_id = commonhold_account() AND g.ended_at IS NULL AND g.until > commonhold_now()");
SQL(agent_account_open, "SELECT closed_at IS NULL FROM account WHERE id = $1");
SQL(agent_waiting, "SELECT id FROM erasure WHERE coop_id = $1 AND agent_id = $2 AND state = 'received'");

static struct agent agent_of_row(struct call *c, struct uuid coop, const struct rows *r, int i)
{
	struct agent g = {
		.coop = coop, .id = row_uuid(r, i, 0), .member = row_uuid(r, i, 1), .account = row_uuid(r, i, 2), .name = row_str(r, i, 3), .alone = row_bool(r, i, 5),
		.since = row_time(r, i, 6), .until = row_time(r, i, 7), .ended_at = row_time(r, i, 8), .mine = row_bool(r, i, 9),
	};
	struct str *kinds;
	size_t n = row_strs(c->arena, r, i, 4, &kinds);
	for (size_t k = 0; k < n; k++) {
		enum erasure_kind kind;
		if (erasure_kind_parse(kinds[k], &kind))
			g.kinds |= 1u << kind;
	}
	return g;
}

static enum err agent_get(struct call *c, struct uuid coop, struct uuid id, struct agent *out)
{
	struct rows r;
	TRY(db_query(c, agent_by_id, &r, A_UUID(coop), A_UUID(id)));
	if (r.n != 1)
		return fail(c, ERR_NOT_FOUND, "There is no such authorisation.");
	*out = agent_of_row(c, coop, &r, 0);
	return out->mine || uuid_eq(out->account, c->actor.account) ? ERR_OK : fail(c, ERR_NOT_FOUND, "There is no such authorisation.");
}

enum err agent_find(struct call *c, struct uuid coop, struct uuid member, enum erasure_kind kind, struct agent *out)
{
	struct rows r;
	TRY(db_query(c, agent_that_may, &r, A_UUID(coop), A_UUID(member)));
	if (r.n == 1)
		*out = agent_of_row(c, coop, &r, 0);
	if (r.n != 1 || !(out->kinds >> kind & 1))
		return fail_reason(c, ERR_FORBIDDEN, "not_authorised", "This member has not authorised you to ask for that.");
	return ERR_OK;
}

static enum err agent_leaf(struct call *c, const struct agent *g, const char *type)
{
	struct str id = uuid_format(c->arena, g->id);
	return ledger_append(c, g->coop, &(struct leaf){ .type = type, .data = str_fmt(c->arena, "{\"agent\":\"%.*s\"}", STR_ARG(id)) }, NULL);
}

static size_t kind_words(unsigned kinds, struct str out[ERASURE_KIND_COUNT])
{
	size_t n = 0;
	for (int k = 0; k < ERASURE_KIND_COUNT; k++)
		if (kinds >> k & 1)
			out[n++] = str_of(erasure_kind_name((enum erasure_kind)k));
	return n;
}

static enum err check_authorisation(struct call *c, struct uuid account, unsigned kinds, instant until)
{
	struct rows r;
	if (kinds == 0 || kinds >> ERASURE_KIND_COUNT)
		return fail_field(c, "/kinds", "Say what they may ask for.");
	if (kinds >> ERASURE_CORRECT & 1)
		return fail_field(c, "/kinds", "A correction contributes something new, which only the member does.");
	if (until == INSTANT_NONE || until <= clock_now() || until > duration_add(clock_now(), (struct duration){ .years = AGENT_YEARS }, 1))
		return fail_field(c, "/until", "Choose a day within the year to come.");
	if (uuid_eq(account, c->actor.account))
		return fail_field(c, "/account", "You ask for yourself in any case.");
	TRY(db_query(c, agent_account_open, &r, A_UUID(account)));
	return r.n == 1 && row_bool(&r, 0, 0) ? ERR_OK : fail_field(c, "/account", "There is no account with this number. Ask your agent for theirs.");
}

enum err agent_authorise(struct call *c, struct uuid coop, struct uuid account, unsigned kinds, bool alone, instant until, struct agent *out)
{
	struct member me;
	struct str words[ERASURE_KIND_COUNT];
	struct uuid id = uuid_new();
	TRY(db_begin_in(c, coop, DB_WRITE));
	TRY(member_of_actor(c, coop, &me));
	TRY(check_authorisation(c, account, kinds, until));
	TRY(db_exec(c, agent_expire, A_UUID(coop), A_UUID(me.id), A_UUID(account)));
	TRY(db_exec(c, agent_insert, A_UUID(coop), A_UUID(id), A_UUID(me.id), A_UUID(account), A_TEXTS(words, kind_words(kinds, words)), A_BOOL(alone), A_TIME(until)));
	TRY(agent_get(c, coop, id, out));
	TRY(tell_account(c, account, coop, "deletion.agent", uuid_format(c->arena, id), "A member lets you ask for deletions for them",
		str_fmt(c->arena, "Until %.*s you may ask for their data to be deleted or held back%s.", STR_ARG(day_words(c->arena, until)),
			alone ? "; what you ask counts at once" : "; they confirm each request"), STR_NONE));
	TRY(tell_account(c, c->actor.account, coop, "deletion.agent", uuid_format(c->arena, id), "You authorised an agent",
		str_fmt(c->arena, "Until %.*s they may ask for your data to be deleted or held back. You can end that at any time.", STR_ARG(day_words(c->arena, until))), STR_NONE));
	TRY(agent_leaf(c, out, "deletion.agent_authorised"));
	return db_commit(c);
}

/* What waited for a confirmation under it has nobody to have asked it any more. */
static enum err lapse_waiting(struct call *c, struct uuid coop, struct uuid agent)
{
	struct rows r;
	TRY(db_query(c, agent_waiting, &r, A_UUID(coop), A_UUID(agent)));
	for (int i = 0; i < r.n; i++) {
		struct erasure_locked l;
		TRY(erasure_lock(c, coop, row_uuid(&r, i, 0), &l));
		if (l.e.state == ERASURE_RECEIVED)
			TRY(erasure_move(c, &l, ERASURE_CANCELLED, "member", "The authorisation of the agent who asked has ended."));
	}
	return ERR_OK;
}

enum err agent_end(struct call *c, struct uuid coop, struct uuid id, struct agent *out)
{
	struct rows r;
	TRY(db_begin_in(c, coop, DB_WRITE));
	TRY(agent_get(c, coop, id, out));
	TRY(db_one(c, agent_hold, &r, A_UUID(coop), A_UUID(id)));
	if (row_bool(&r, 0, 0)) {
		TRY(db_exec(c, agent_set_ended, A_UUID(coop), A_UUID(id)));
		TRY(tell_account(c, out->account, coop, "deletion.agent_ended", uuid_format(c->arena, id), "You are no longer somebody's agent",
			STR("The authorisation to ask for deletions for a member has ended."), STR_NONE));
		TRY(agent_leaf(c, out, "deletion.agent_ended"));
		TRY(lapse_waiting(c, coop, id));
	}
	TRY(agent_get(c, coop, id, out));
	return db_commit(c);
}

enum err agent_list(struct call *c, struct uuid coop, struct agent **out, size_t *n)
{
	struct rows r;
	TRY(db_begin_in(c, coop, DB_READ));
	TRY(db_query(c, agents_of_actor, &r, A_UUID(coop)));
	*n = (size_t)r.n;
	*out = ARENA_ARRAY(c->arena, *n + 1, struct agent);
	for (int i = 0; i < r.n; i++)
		(*out)[i] = agent_of_row(c, coop, &r, i);
	return db_commit(c);
}
