#include "commonhold/db.h"
#include "commonhold/ledger.h"

#include "ballot_internal.h"

/* What people say on an open ballot: for themselves, for those whom they represent, for the board. Every version is a row; nothing is counted here. */

SQL(vote_insert,
	"INSERT INTO vote (coop_id, ballot_id, member_id, member_no, choice, at, salt) "
	"SELECT coop_id, ballot_id, member_id, member_no, $4, commonhold_now(), $5 FROM ballot_roll WHERE coop_id = $1 AND ballot_id = $2 AND member_id = $3");
SQL(votes_for_insert,
	"INSERT INTO vote (coop_id, ballot_id, member_id, member_no, on_behalf_of, on_behalf_no, choice, at, salt) "
	"SELECT me.coop_id, me.ballot_id, me.member_id, me.member_no, p.member_id, p.member_no, $4, commonhold_now(), u.salt "
	"FROM ballot_roll me, unnest($5::uuid[], $6::bytea[]) AS u (id, salt) "
	"JOIN ballot_roll p ON p.coop_id = $1 AND p.ballot_id = $2 AND p.member_id = u.id "
	"WHERE me.coop_id = $1 AND me.ballot_id = $2 AND me.member_id = $3 ");
SQL(not_represented,
	"SELECT (SELECT " MEMBER_NAME " FROM membership m WHERE m.coop_id = $1 AND m.id = u.id) FROM unnest($4::uuid[]) WITH ORDINALITY AS u (id, no) "
	"WHERE NOT EXISTS (SELECT FROM ballot_represented($1, $2, $3, $5, $6, commonhold_now(), $7) x JOIN ballot_roll r ON r.coop_id = $1 AND r.ballot_id = $2 AND r.member_no = x.member_no "
	"  WHERE r.member_id = u.id) ORDER BY u.no LIMIT 1");
SQL(stance_insert, "INSERT INTO board_resolution (coop_id, ballot_id, member_id, member_no, choice, at) VALUES ($1, $2, $3, $4, $5, commonhold_now())");

static const struct db_constraint constraints[] = {
	{ "vote_only_while_ballot_is_open", ERR_STATE, NULL, "This ballot is not open for votes." },
	{ "only_people_on_the_roll_vote", ERR_REFUSED, NULL, "You were not on the roll when this ballot opened." },
	{ "votes_on_behalf_are_of_people_on_the_roll", ERR_REFUSED, NULL, "One of these people was not on the roll when this ballot opened." },
	{ "only_admins_on_the_roll_resolve", ERR_REFUSED, NULL, "Only those who were admins when this ballot opened say what the board resolves." },
	DB_CONSTRAINTS_END
};

struct sha256 ballot_vote_commitment(struct arena *a, struct uuid ballot, struct uuid member, struct uuid behalf, struct str choice, const uint8_t salt[32])
{
	struct arena_mark mark = arena_mark(a);
	struct str id = uuid_format(a, ballot), who = uuid_format(a, member), whom = uuid_is_nil(behalf) ? STR("") : uuid_format(a, behalf);
	struct sha256 said = sha256(str_fmt(a, "%.*s %.*s %.*s%s%.*s", STR_ARG(id), STR_ARG(who), STR_ARG(choice), whom.n ? " " : "", STR_ARG(whom)));
	arena_rewind(a, mark);
	return ledger_commitment(salt, said);
}

/* Votes enter the log as commitments, since they may have to stay hidden until the end and deletable afterwards. */
static struct str vote_facts(struct call *c, struct uuid ballot, struct uuid member, struct uuid behalf, struct str choice, const uint8_t salt[32])
{
	struct str id = uuid_format(c->arena, ballot);
	struct str commitment = sha256_hex(c->arena, ballot_vote_commitment(c->arena, ballot, member, behalf, choice, salt));
	return str_fmt(c->arena, "{\"ballot\":\"%.*s\",\"c\":\"%.*s\"}", STR_ARG(id), STR_ARG(commitment));
}

static enum err check_choice(struct call *c, struct str choice)
{
	bool known = str_is(choice, "for") || str_is(choice, "against") || str_is(choice, "abstain") || str_is(choice, "none");
	return known ? ERR_OK : fail_field(c, "/choice", "Choose for, against or abstain, or none to take it back.");
}

enum err ballot_voter(struct call *c, struct uuid coop, struct uuid ballot, struct member *me, struct ballot *b)
{
	db_constraints(constraints);
	TRY(member_of_actor(c, coop, me));
	TRY(ballot_find(c, coop, ballot, b));
	if (!in_good_standing(me->state))
		return fail_reason(c, ERR_REFUSED, "not_a_member", "Only current members vote.");
	if (b->may_vote)
		return ERR_OK;
	if (b->on_roll || b->state != BALLOT_OPEN)
		return fail_reason(c, ERR_STATE, "ballot_not_open", b->state == BALLOT_NOTICE ? "This ballot is not open yet." : "This ballot is closed: votes were taken until it ended.");
	return fail_reason(c, ERR_REFUSED, "not_on_roll", "You were not on the roll when this ballot opened.");
}

enum err ballot_cast_vote(struct call *c, struct uuid coop, struct uuid ballot, struct str choice, struct ballot *out)
{
	struct member me;
	uint8_t salt[32];
	random_bytes(salt, sizeof(salt));
	TRY(check_choice(c, choice));
	TRY(db_begin_in(c, coop, DB_WRITE));
	TRY(ballot_voter(c, coop, ballot, &me, out));
	TRY(db_exec(c, vote_insert, A_UUID(coop), A_UUID(ballot), A_UUID(me.id), A_STR(choice), A_BYTES(str_make((const char *)salt, 32))));
	TRY(ballot_tell_principals(c, coop, ballot, me.id));
	TRY(ledger_append(c, coop, &(struct leaf){ .type = "vote.cast", .data = vote_facts(c, ballot, me.id, (struct uuid){ { 0 } }, choice, salt) }, NULL));
	out->my_choice = str_is(choice, "none") ? STR_NONE : choice;
	return db_commit(c);
}

/* The first of them for whom no delegation leads to the actor. */
static enum err all_represented(struct call *c, const struct ballot *b, const struct member *me, const struct uuid *principals, size_t n)
{
	struct charter charter;
	struct rows r;
	TRY(charter_version(c, b->coop, b->charter, &charter));
	TRY(db_query(c, not_represented, &r, A_UUID(b->coop), A_UUID(b->id), A_INT(me->number), A_UUIDS(principals, n), A_INT((int)ballot_topic_of(b->kind)),
		A_I64((int64_t)delegation_target(b->id)), A_INT(charter.delegation_depth)));
	if (r.n == 0)
		return ERR_OK;
	struct str name = row_null(&r, 0, 0) ? STR("One of them") : row_str(&r, 0, 0);
	return fail_reason(c, ERR_REFUSED, "not_represented", "%.*s does not let you decide on this ballot, or somebody else does so for them.", STR_ARG(name));
}

enum err ballot_vote_for(struct call *c, struct uuid coop, struct uuid ballot, const struct uuid *principals, size_t n, struct str choice)
{
	struct member me;
	struct ballot b;
	if (n == 0 || n > LIMIT_PAGE)
		return fail_field(c, "/principals", "Name from 1 to %d people.", LIMIT_PAGE);
	TRY(check_choice(c, choice));
	TRY(db_begin_in(c, coop, DB_WRITE));
	TRY(ballot_voter(c, coop, ballot, &me, &b));
	TRY(all_represented(c, &b, &me, principals, n));
	uint8_t (*salts)[32] = arena_array(c->arena, n, sizeof(*salts));
	struct str *salted = ARENA_ARRAY(c->arena, n, struct str), *facts = ARENA_ARRAY(c->arena, n, struct str);
	random_bytes(salts, n * sizeof(*salts));
	for (size_t i = 0; i < n; i++) {
		salted[i] = str_make((const char *)salts[i], 32);
		facts[i] = vote_facts(c, ballot, me.id, principals[i], choice, salts[i]);
	}
	TRY(db_exec(c, votes_for_insert, A_UUID(coop), A_UUID(ballot), A_UUID(me.id), A_STR(choice), A_UUIDS(principals, n), A_BYTEAS(salted, n)));
	TRY(ballot_tell_principals(c, coop, ballot, me.id));
	TRY(ledger_append_many(c, coop, "vote.cast", facts, n, NULL));
	return db_commit(c);
}

enum err ballot_board_say(struct call *c, struct uuid coop, struct uuid ballot, struct str choice)
{
	struct member me;
	struct ballot b;
	TRY(check_choice(c, choice));
	TRY(db_begin_in(c, coop, DB_WRITE));
	TRY(ballot_voter(c, coop, ballot, &me, &b));
	if (!b.is_admin || !me.is_admin)
		return fail_reason(c, ERR_REFUSED, "not_board", "Only those who were admins when this ballot opened say what the board resolves.");
	TRY(db_exec(c, stance_insert, A_UUID(coop), A_UUID(ballot), A_UUID(me.id), A_INT(me.number), A_STR(choice)));
	struct str id = uuid_format(c->arena, ballot);
	struct str facts = str_fmt(c->arena, "{\"ballot\":\"%.*s\",\"choice\":\"%.*s\"}", STR_ARG(id), STR_ARG(choice));
	TRY(ledger_append(c, coop, &(struct leaf){ .type = "board.said", .data = facts, .by = me.id }, NULL));
	return db_commit(c);
}
