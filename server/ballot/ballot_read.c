#include "commonhold/ballot.h"
#include "commonhold/db.h"

#include "ballot_internal.h"

#define BALLOT_COLUMNS \
	"b.id, b.kind, b.subject, b.digest, b.title, b.question, b.rule, b.charter, b.visibility, b.proposer_id, b.state, b.created_at, b.opens_at, b.closes_at, " \
	"b.closed_at, r.member_id IS NOT NULL, ballot_own_choice(b.coop_id, b.id, r.member_no), coalesce(r.is_admin, false), b.first_closes_at, b.members_last_year, b.admins_last_year, " \
	"b.lapsing, b.board_choice, (SELECT n.members FROM coop_count n WHERE n.coop_id = b.coop_id), b.roll_members, b.roll_admins"
/* The actor's own place on the roll, if any. */
#define BALLOT_FROM \
	" FROM ballot b LEFT JOIN membership m ON m.coop_id = b.coop_id AND m.account_id = commonhold_account() " \
	"LEFT JOIN ballot_roll r ON r.coop_id = b.coop_id AND r.ballot_id = b.id AND r.member_id = m.id "

SQL(ballot_by_id, "SELECT " BALLOT_COLUMNS BALLOT_FROM "WHERE b.coop_id = $1 AND b.id = $2");
SQL(ballot_page,
	"SELECT " BALLOT_COLUMNS BALLOT_FROM
	"WHERE b.coop_id = $1 AND ($2::text IS NULL OR b.state = $2) AND ($3::timestamptz IS NULL OR (b.created_at, b.id) < ($3, $4)) "
	"ORDER BY b.created_at DESC, b.id DESC LIMIT $5");
/* Own votes as they stand: shown only where the charter lets interim counts be seen. What delegates would add is worked out at the close. */
SQL(tally_now,
	"SELECT b.id, e, CASE e WHEN 'members' THEN b.roll_members ELSE b.roll_admins END, count(*) FILTER (WHERE v.choice = 'for'), count(*) FILTER (WHERE v.choice = 'against'), "
	"  count(*) FILTER (WHERE v.choice = 'abstain') "
	"FROM ballot b CROSS JOIN (VALUES ('members'), ('admins')) AS electorate(e) LEFT JOIN LATERAL "
	"  (SELECT DISTINCT ON (o.member_no) o.choice, r.is_admin FROM vote o JOIN ballot_roll r ON r.coop_id = o.coop_id AND r.ballot_id = o.ballot_id AND r.member_no = o.member_no "
	"   WHERE o.coop_id = b.coop_id AND o.ballot_id = b.id AND o.on_behalf_of IS NULL ORDER BY o.member_no, o.seq DESC) v ON e = 'members' OR v.is_admin "
	"WHERE b.coop_id = $1 AND b.id = ANY ($2) GROUP BY b.coop_id, b.id, e");
#define REASONS "undecided_none, undecided_silent, undecided_nobody, undecided_cycle, undecided_depth, undecided_cap, undecided_expired, undecided_revoked, undecided_scope, " \
	"undecided_unaccepted, undecided_faulty"
SQL(tally_stored,
	"SELECT ballot_id, electorate, roll, yes, no, abstain, in_person, by_delegates, by_board, " REASONS " FROM ballot_count WHERE coop_id = $1 AND ballot_id = ANY ($2)");

/* In the order of the columns REASONS. */
static const uint8_t reasons[] = {
	POLICY_VIA_NONE, POLICY_VIA_SILENT, POLICY_VIA_NOBODY, POLICY_VIA_CYCLE, POLICY_VIA_DEPTH, POLICY_VIA_CAP, POLICY_VIA_EXPIRED, POLICY_VIA_REVOKED, POLICY_VIA_SCOPE,
	POLICY_VIA_UNACCEPTED, POLICY_VIA_FAULTY,
};

#define LAPSE_WARNING 10 /* one in so many of the roll */

static bool is_over(const struct ballot *b)
{
	return b->state == BALLOT_PASSED || b->state == BALLOT_FAILED;
}

static enum err ballot_row(struct call *c, struct uuid coop, const struct rows *r, int i, struct ballot *out)
{
	*out = (struct ballot){
		.id = row_uuid(r, i, 0), .coop = coop, .kind = row_str(r, i, 1), .subject = row_uuid(r, i, 2), .digest = sha256_load(row_bytes(r, i, 3)), .title = row_str(r, i, 4), .question = row_str(r, i, 5),
		.rule = row_str(r, i, 6), .charter = (int)row_int(r, i, 7), .visibility = row_str(r, i, 8), .proposer = row_uuid(r, i, 9),
		.created_at = row_time(r, i, 11), .opens_at = row_time(r, i, 12), .closes_at = row_time(r, i, 13), .closed_at = row_time(r, i, 14),
		.on_roll = row_bool(r, i, 15), .my_choice = row_str(r, i, 16), .is_admin = row_bool(r, i, 17), .first_closes_at = row_time(r, i, 18),
		.members_last_year = (int)row_int(r, i, 19), .admins_last_year = (int)row_int(r, i, 20), .lapsing = (int)row_int(r, i, 21), .board_choice = row_str(r, i, 22),
		.members.roll = (int)row_int(r, i, 24), .admins.roll = (int)row_int(r, i, 25),
	};
	if (!ballot_state_parse(row_str(r, i, 10), &out->state))
		return fail(c, ERR_CORRUPT, "A ballot is in a state that is not known.");
	instant now = clock_now();
	bool over = is_over(out);
	out->may_vote = out->on_roll && out->state == BALLOT_OPEN && now >= out->opens_at && now < out->closes_at;
	out->tally_shown = over || (out->state == BALLOT_OPEN && str_is(out->visibility, "open"));
	out->lapse_warning = !over && out->lapsing > 0 && out->lapsing * (int64_t)LAPSE_WARNING >= row_int(r, i, 23);
	return ERR_OK;
}

static struct ballot_tally tally_of_row(const struct rows *r, int i, bool stored)
{
	struct ballot_tally t = { .roll = (int)row_int(r, i, 2), .yes = (int)row_int(r, i, 3), .no = (int)row_int(r, i, 4), .abstain = (int)row_int(r, i, 5) };
	t.undecided = t.roll - t.yes - t.no - t.abstain;
	t.in_person = t.yes + t.no + t.abstain;
	if (!stored)
		return t;
	t.in_person = (int)row_int(r, i, 6);
	t.by_delegates = (int)row_int(r, i, 7);
	t.by_board = (int)row_int(r, i, 8);
	for (size_t j = 0; j < CH_LEN(reasons); j++)
		t.undecided_by[reasons[j]] = (int)row_int(r, i, 9 + (int)j);
	return t;
}

/* The tallies of those among `n` ballots that are over (stored), or that are open to be seen as they go. */
static enum err add_tallies(struct call *c, struct ballot *ballots, size_t n, bool stored)
{
	struct uuid *ids = ARENA_ARRAY(c->arena, n + 1, struct uuid);
	struct rows r;
	size_t wanted = 0;
	for (size_t i = 0; i < n; i++)
		if (ballots[i].tally_shown && is_over(&ballots[i]) == stored)
			ids[wanted++] = ballots[i].id;
	if (wanted == 0)
		return ERR_OK;
	TRY(db_run(c, stored ? &tally_stored : &tally_now, &r, (struct db_arg[]){ A_UUID(ballots[0].coop), A_UUIDS(ids, wanted) }, 2));
	for (int i = 0; i < r.n; i++)
		for (size_t j = 0; j < n; j++)
			if (uuid_eq(ballots[j].id, row_uuid(&r, i, 0)))
				*(str_is(row_str(&r, i, 1), "admins") ? &ballots[j].admins : &ballots[j].members) = tally_of_row(&r, i, stored);
	return ERR_OK;
}

static enum err ballot_tallies(struct call *c, struct ballot *ballots, size_t n)
{
	TRY(add_tallies(c, ballots, n, true));
	return add_tallies(c, ballots, n, false);
}

enum err ballot_find(struct call *c, struct uuid coop, struct uuid id, struct ballot *out)
{
	struct rows r;
	TRY(db_one(c, ballot_by_id, &r, A_UUID(coop), A_UUID(id)));
	TRY(ballot_row(c, coop, &r, 0, out));
	return ballot_tallies(c, out, 1);
}

enum err ballot_read(struct call *c, struct uuid coop, struct uuid ballot, struct ballot *out)
{
	TRY(db_begin_in(c, coop, DB_READ));
	TRY(ballot_find(c, coop, ballot, out));
	return db_commit(c);
}

enum err ballot_list(struct call *c, struct uuid coop, struct str state, struct str cursor, int limit, struct ballot **out, size_t *n, struct str *next_cursor)
{
	struct page_cursor from;
	struct rows r;
	TRY(page_cursor_read(c, cursor, &from));
	TRY(db_begin_in(c, coop, DB_READ));
	TRY(db_query(c, ballot_page, &r, A_UUID(coop), A_STR(state), A_TIME(from.at), A_UUID_OR_NULL(from.id), A_INT(limit + 1)));
	*n = (size_t)(r.n > limit ? limit : r.n);
	*out = ARENA_ARRAY(c->arena, *n, struct ballot);
	for (size_t i = 0; i < *n; i++)
		TRY(ballot_row(c, coop, &r, (int)i, &(*out)[i]));
	TRY(ballot_tallies(c, *out, *n));
	*next_cursor = STR_NONE;
	if (r.n > limit)
		*next_cursor = page_cursor_write(c->arena, (*out)[*n - 1].created_at, (*out)[*n - 1].id);
	return db_commit(c);
}
