#include "commonhold/ballot.h"
#include "commonhold/db.h"

#include "ballot_internal.h"

#define BALLOT_COLUMNS \
	"b.id, b.kind, b.subject, b.digest, b.title, b.question, b.rule, b.charter, b.visibility, b.proposer_id, b.state, b.created_at, b.opens_at, b.closes_at, " \
	"b.closed_at, r.member_id IS NOT NULL, ballot_own_choice(b.coop_id, b.id, r.member_no), coalesce(r.is_admin, false), b.first_closes_at, b.members_last_year, b.admins_last_year, " \
	"b.lapsing, b.board_choice, (SELECT n.members FROM coop_count n WHERE n.coop_id = b.coop_id)"
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
	"SELECT e, count(x.member_no), count(*) FILTER (WHERE choice = 'for'), count(*) FILTER (WHERE choice = 'against'), count(*) FILTER (WHERE choice = 'abstain'), "
	"  count(x.member_no) FILTER (WHERE choice IS NULL) "
	"FROM (VALUES ('members'), ('admins')) AS electorate(e) LEFT JOIN LATERAL "
	"  (SELECT r.member_no, ballot_own_choice(r.coop_id, r.ballot_id, r.member_no) AS choice "
	"   FROM ballot_roll r WHERE r.coop_id = $1 AND r.ballot_id = $2 AND (e = 'members' OR r.is_admin)) x ON true GROUP BY e");
#define REASONS "undecided_none, undecided_silent, undecided_nobody, undecided_cycle, undecided_depth, undecided_cap, undecided_expired, undecided_revoked, undecided_scope, " \
	"undecided_unaccepted, undecided_faulty"
SQL(tally_stored, "SELECT electorate, roll, yes, no, abstain, undecided, " REASONS ", in_person, by_delegates, by_board FROM ballot_count WHERE coop_id = $1 AND ballot_id = $2");
SQL(roll_size, "SELECT e, count(r.member_id), 0::bigint, 0::bigint, 0::bigint, 0::bigint FROM (VALUES ('members'), ('admins')) AS electorate(e) "
	"LEFT JOIN ballot_roll r ON r.coop_id = $1 AND r.ballot_id = $2 AND (e = 'members' OR r.is_admin) GROUP BY e");

/* In the order of the columns REASONS. */
static const uint8_t reasons[] = {
	POLICY_VIA_NONE, POLICY_VIA_SILENT, POLICY_VIA_NOBODY, POLICY_VIA_CYCLE, POLICY_VIA_DEPTH, POLICY_VIA_CAP, POLICY_VIA_EXPIRED, POLICY_VIA_REVOKED, POLICY_VIA_SCOPE,
	POLICY_VIA_UNACCEPTED, POLICY_VIA_FAULTY,
};

#define LAPSE_WARNING 10 /* one in so many of the roll */

static enum err ballot_row(struct call *c, struct uuid coop, const struct rows *r, int i, struct ballot *out)
{
	*out = (struct ballot){
		.id = row_uuid(r, i, 0), .coop = coop, .kind = row_str(r, i, 1), .subject = row_uuid(r, i, 2), .digest = sha256_load(row_bytes(r, i, 3)), .title = row_str(r, i, 4), .question = row_str(r, i, 5),
		.rule = row_str(r, i, 6), .charter = (int)row_int(r, i, 7), .visibility = row_str(r, i, 8), .proposer = row_uuid(r, i, 9),
		.created_at = row_time(r, i, 11), .opens_at = row_time(r, i, 12), .closes_at = row_time(r, i, 13), .closed_at = row_time(r, i, 14),
		.on_roll = row_bool(r, i, 15), .my_choice = row_str(r, i, 16), .is_admin = row_bool(r, i, 17), .first_closes_at = row_time(r, i, 18),
		.members_last_year = (int)row_int(r, i, 19), .admins_last_year = (int)row_int(r, i, 20), .lapsing = (int)row_int(r, i, 21), .board_choice = row_str(r, i, 22),
	};
	if (!ballot_state_parse(row_str(r, i, 10), &out->state))
		return fail(c, ERR_CORRUPT, "A ballot is in a state that is not known.");
	instant now = clock_now();
	bool over = out->state == BALLOT_PASSED || out->state == BALLOT_FAILED;
	out->may_vote = out->on_roll && out->state == BALLOT_OPEN && now >= out->opens_at && now < out->closes_at;
	out->tally_shown = over || (out->state == BALLOT_OPEN && str_is(out->visibility, "open"));
	out->lapse_warning = !over && out->lapsing > 0 && out->lapsing * (int64_t)LAPSE_WARNING >= row_int(r, i, 23);
	return ERR_OK;
}

static enum err ballot_tallies(struct call *c, struct ballot *b)
{
	bool over = b->state == BALLOT_PASSED || b->state == BALLOT_FAILED;
	const struct db_stmt *s = over ? &tally_stored : b->tally_shown ? &tally_now : &roll_size;
	struct rows r;
	TRY(db_run(c, s, &r, (struct db_arg[]){ A_UUID(b->coop), A_UUID(b->id) }, 2));
	for (int i = 0; i < r.n; i++) {
		struct ballot_tally t = { (int)row_int(&r, i, 1), (int)row_int(&r, i, 2), (int)row_int(&r, i, 3), (int)row_int(&r, i, 4), (int)row_int(&r, i, 5), { 0 } };
		for (size_t j = 0; over && j < CH_LEN(reasons); j++)
			t.undecided_by[reasons[j]] = (int)row_int(&r, i, 6 + (int)j);
		if (over) {
			t.in_person = (int)row_int(&r, i, 6 + (int)CH_LEN(reasons));
			t.by_delegates = (int)row_int(&r, i, 7 + (int)CH_LEN(reasons));
			t.by_board = (int)row_int(&r, i, 8 + (int)CH_LEN(reasons));
		}
		*(str_is(row_str(&r, i, 0), "admins") ? &b->admins : &b->members) = t;
	}
	return ERR_OK;
}

enum err ballot_find(struct call *c, struct uuid coop, struct uuid id, struct ballot *out)
{
	struct rows r;
	TRY(db_one(c, ballot_by_id, &r, A_UUID(coop), A_UUID(id)));
	TRY(ballot_row(c, coop, &r, 0, out));
	return ballot_tallies(c, out);
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
	*next_cursor = STR_NONE;
	if (r.n > limit)
		*next_cursor = page_cursor_write(c->arena, (*out)[*n - 1].created_at, (*out)[*n - 1].id);
	return db_commit(c);
}
