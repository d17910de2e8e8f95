#include "server/coop/delegation_internal.h"

/* What a material change makes the co-op ask again out of turn. A demand is a fact; whether a member has answered it is read off what they said since: consent and acceptance of
 * the default by the charter version whose words were shown, a delegation by the version of it that stands. */

SQL(demand_insert,
	"INSERT INTO checkup_demand (coop_id, id, line, member_id, target_id, charter, reason, words, ballot_id, at) "
	"VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, commonhold_now()) ON CONFLICT DO NOTHING RETURNING id");
SQL(demand_delegations,
	"WITH resting AS (UPDATE delegation_now n SET state = 'suspended', reason = 'due', ends = least(n.ends, commonhold_now()) FROM delegation v "
	"  WHERE n.coop_id = $1 AND v.coop_id = $1 AND v.id = n.delegation_id AND n.state = 'standing' AND v.delegate_kind <> 'nobody' AND (NOT $5 OR v.delegate_kind = 'board') "
	"  RETURNING n.delegation_id, n.question, n.principal_no, v.principal_id, v.first_id), "
	"noted AS (INSERT INTO delegation_event (coop_id, delegation_id, kind, at, reason) SELECT $1, delegation_id, 'suspended', commonhold_now(), 'due' FROM resting), "
	"asked AS (INSERT INTO checkup_demand (coop_id, id, line, member_id, target_id, charter, reason, words, ballot_id, at) "
	"  SELECT $1, gen_random_uuid(), 'delegation', principal_id, first_id, $2, 'delegate', $3, $4, commonhold_now() FROM resting ON CONFLICT DO NOTHING) "
	"SELECT DISTINCT question, principal_no, principal_id FROM resting ORDER BY 1, 2");
SQL(demand_board, "SELECT EXISTS (SELECT FROM delegation_now WHERE coop_id = $1 AND delegate_no = -2 AND state = 'standing')");
SQL(demand_of_member,
	"SELECT d.id, d.ballot_id, d.line, d.reason, d.words, d.target_id, d.charter, d.at FROM checkup_demand d "
	"LEFT JOIN LATERAL (SELECT notice, state IN ('given', 'renewed') AS stands, defaults FROM consent WHERE coop_id = d.coop_id AND member_id = $2 ORDER BY seq DESC LIMIT 1) c ON true "
	"WHERE d.coop_id = $1 AND (d.member_id IS NULL OR d.member_id = $2) AND CASE d.line "
	"WHEN 'consent' THEN c.stands AND c.notice < d.charter WHEN 'default' THEN c.stands AND c.defaults AND c.notice < d.charter "
	"WHEN 'licence' THEN d.at > $3 AND NOT EXISTS (SELECT FROM consent_receipt r WHERE r.coop_id = d.coop_id AND r.member_id = $2 AND r.issued_at > d.at) "
	"ELSE EXISTS (SELECT FROM delegation v JOIN delegation_now n ON n.coop_id = v.coop_id AND n.delegation_id = v.id "
	"  WHERE v.coop_id = d.coop_id AND v.first_id = d.target_id AND v.principal_id = $2 AND n.state = 'suspended') END "
	"ORDER BY d.at, d.id LIMIT 100");
SQL(demand_words,
	"SELECT coalesce(max(charter) FILTER (WHERE line = 'consent'), 0), coalesce(max(charter) FILTER (WHERE line = 'default'), 0) FROM checkup_demand "
	"WHERE coop_id = $1 AND member_id IS NULL AND charter <= $2");

enum err demand_make(struct call *c, struct uuid coop, const struct demand *d, struct uuid member, bool *made)
{
	struct rows r;
	struct uuid id = uuid_new();
	TRY(db_query(c, demand_insert, &r, A_UUID(coop), A_UUID(id), A_STR(d->line), A_UUID_OR_NULL(member), A_UUID_OR_NULL(d->target), A_INT(d->charter), A_STR(d->reason),
		A_STR(d->words), A_UUID_OR_NULL(d->ballot)));
	*made = r.n == 1;
	if (!*made)
		return ERR_OK;
	struct buf b;
	struct json_writer w;
	buf_init(&b, LIMIT_BODY_SMALL);
	jw_init(&w, &b);
	jw_object(&w);
	jw_kstr(&w, "ballot", uuid_format_or_none(c->arena, d->ballot));
	jw_kint(&w, "charter", d->charter);
	jw_kstr(&w, "demand", uuid_format(c->arena, id));
	jw_kstr(&w, "line", d->line);
	jw_kstr(&w, "reason", d->reason);
	jw_end_object(&w);
	return log_act(c, coop, "checkup.asked", buf_take(c->arena, &b), (struct uuid){ { 0 } });
}

enum err demand_delegations_again(struct call *c, struct uuid coop, const struct demand *d, bool board_only, struct uuid **members, size_t *n)
{
	struct rows r;
	TRY(db_query(c, demand_delegations, &r, A_UUID(coop), A_INT(d->charter), A_STR(d->words), A_UUID_OR_NULL(d->ballot), A_BOOL(board_only)));
	int64_t *numbers = ARENA_ARRAY(c->arena, (size_t)r.n + 1, int64_t);
	*n = 0;
	*members = ARENA_ARRAY(c->arena, (size_t)r.n + 1, struct uuid);
	for (unsigned q = 0; q < POLICY_QUESTION_COUNT; q++) {
		size_t cut = 0;
		for (int i = 0; i < r.n; i++)
			if (row_int(&r, i, 0) == q) {
				numbers[cut++] = row_int(&r, i, 1);
				(*members)[(*n)++] = row_uuid(&r, i, 2);
			}
		TRY(edge_tell_upstream(c, (enum policy_question)q, numbers, cut, "due"));
	}
	return ERR_OK;
}

enum err demand_of_board(struct call *c, struct uuid coop, struct str words)
{
	struct rows r;
	struct buf b;
	struct json_writer w;
	TRY(db_one(c, demand_board, &r, A_UUID(coop)));
	if (!row_bool(&r, 0, 0))
		return ERR_OK;
	buf_init(&b, LIMIT_BODY_SMALL);
	jw_init(&w, &b);
	jw_object(&w);
	jw_kstr(&w, "coop", uuid_format(c->arena, coop));
	jw_key(&w, "lines");
	jw_array(&w);
	jw_object(&w);
	jw_kz(&w, "line", "board");
	jw_kz(&w, "reason", "delegate");
	jw_kstr(&w, "words", words);
	jw_end_object(&w);
	jw_end_array(&w);
	jw_end_object(&w);
	return job_queue(c, "checkup.off_cycle", STR_NONE, buf_take(c->arena, &b), clock_now());
}

enum err demand_open(struct call *c, const struct member *m, struct demand **out, size_t *n)
{
	struct rows r;
	TRY(db_query(c, demand_of_member, &r, A_UUID(m->coop), A_UUID(m->id), A_TIME(m->joined_at)));
	*n = (size_t)r.n;
	*out = ARENA_ARRAY(c->arena, *n + 1, struct demand);
	for (int i = 0; i < r.n; i++)
		(*out)[i] = (struct demand){
			.id = row_uuid(&r, i, 0), .ballot = row_uuid(&r, i, 1), .line = row_str(&r, i, 2), .reason = row_str(&r, i, 3), .words = row_str(&r, i, 4),
			.target = row_uuid(&r, i, 5), .charter = (int)row_int(&r, i, 6), .at = row_time(&r, i, 7),
		};
	return ERR_OK;
}

enum err demand_oldest_words(struct call *c, struct uuid coop, int charter, int *consent, int *defaults)
{
	struct rows r;
	TRY(db_one(c, demand_words, &r, A_UUID(coop), A_INT(charter)));
	*consent = (int)row_int(&r, 0, 0);
	*defaults = (int)row_int(&r, 0, 1);
	return ERR_OK;
}
