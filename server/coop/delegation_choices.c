#include "server/coop/delegation_internal.h"

/* What a form to delegate offers: matters, and people by name. */

SQL(matters_vote, "SELECT id, title FROM ballot WHERE coop_id = $1 AND state IN ('notice', 'open') ORDER BY closes_at, id LIMIT $2");
SQL(matters_consent,
	"SELECT id, 'Release of ' || to_char(cutoff_at AT TIME ZONE 'UTC', 'FMDD FMMonth YYYY') FROM release WHERE coop_id = $1 "
	"AND state IN ('scheduled', 'frozen', 'notice', 'open', 'cooling_off', 'building') ORDER BY cutoff_at, id LIMIT $2");
SQL(members_called, "SELECT m.id FROM membership m WHERE m.coop_id = $1 AND m.state IN ('active', 'due', 'grace') AND lower(" MEMBER_FACE("m") ") = lower($2) LIMIT 2");
SQL(member_names, "SELECT " MEMBER_FACE("m") " FROM membership m WHERE m.coop_id = $1 AND m.state IN ('active', 'due', 'grace') AND m.id <> $2 ORDER BY m.contributed DESC, m.number LIMIT $3");

enum err delegation_matters(struct call *c, struct uuid coop, enum policy_question question, struct delegation_matter **out, size_t *n)
{
	struct rows r;
	TRY(db_begin_in(c, coop, DB_READ));
	if (question == POLICY_QUESTION_VOTE)
		TRY(db_finish(c, matters_vote, &r, A_UUID(coop), A_I64(LIMIT_PAGE)));
	else
		TRY(db_finish(c, matters_consent, &r, A_UUID(coop), A_I64(LIMIT_PAGE)));
	*n = (size_t)r.n;
	*out = ARENA_ARRAY(c->arena, *n + 1, struct delegation_matter);
	for (int i = 0; i < r.n; i++)
		(*out)[i] = (struct delegation_matter){ row_uuid(&r, i, 0), row_str(&r, i, 1) };
	return ERR_OK;
}

enum err delegation_find_member(struct call *c, struct uuid coop, struct str name, struct uuid *out)
{
	struct rows r;
	name = str_trim(name);
	if (name.n == 0 || name.n > LIMIT_TEXT_NAME || !str_is_utf8(name))
		return fail_field(c, "/delegate", "Write the name of a member, as others see it.");
	TRY(db_begin_in(c, coop, DB_READ));
	TRY(db_finish(c, members_called, &r, A_UUID(coop), A_STR(name)));
	if (r.n == 1) {
		*out = row_uuid(&r, 0, 0);
		return ERR_OK;
	}
	const char *text = r.n ? "Several members are called so. Ask yours for the name that is theirs alone." : "No current member is called so. Write the name as the list of members shows it.";
	error_fault(&c->error, c->arena, STR("/delegate"), "%s", text);
	return fail_reason(c, ERR_REFUSED, r.n ? "delegation_name" : "delegation_stranger", "%s", text);
}

enum err delegation_names(struct call *c, struct uuid coop, struct str **out, size_t *n)
{
	struct rows r;
	struct member me;
	TRY(db_begin_in(c, coop, DB_READ));
	TRY(require_member(c, coop, &me));
	TRY(db_finish(c, member_names, &r, A_UUID(coop), A_UUID(me.id), A_I64(LIMIT_PAGE)));
	*n = (size_t)r.n;
	*out = ARENA_ARRAY(c->arena, *n + 1, struct str);
	for (int i = 0; i < r.n; i++)
		(*out)[i] = row_str(&r, i, 0);
	return ERR_OK;
}
