#include "server/coop/coop_internal.h"

#include "commonhold/delegation.h"

/* A column list in the order in which member_of_row reads it; m is the membership, and the account's name is told to admins' lists only. */
#define MEMBER_COLUMNS \
	"m.coop_id, m.id, m.account_id, m.number, m.state, m.is_admin, m.applied_at, m.joined_at, m.due_at, m.state_at, m.attribution, m.pseudonym, m.public_name, m.contributed, m.cycle, m.due_day, m.checked_at"
#define NO_NAME ", NULL::text"
#define WITH_NAME ", (SELECT a.name FROM account a WHERE a.id = m.account_id)"

SQL(membership_lock_take, "SELECT pg_advisory_xact_lock(hashtextextended('membership ' || $1::uuid::text, 0)) IS NULL");
SQL(membership_insert,
	"INSERT INTO membership AS m (coop_id, id, account_id, number, state, is_admin, applied_at, joined_at, due_at, due_day, state_at, attribution, pseudonym) "
	"SELECT $1, $2, $3, coop_next_number($1), $4, $5, commonhold_now(), "
	"CASE WHEN $4 = 'active' THEN commonhold_now() END, $6, $9, commonhold_now(), $7, $8 "
	"ON CONFLICT ON CONSTRAINT pseudonyms_are_unique DO NOTHING RETURNING " MEMBER_COLUMNS NO_NAME);
SQL(membership_update,
	"UPDATE membership m SET state = $3, state_at = commonhold_now(), is_admin = is_admin AND $3 IN ('active', 'due', 'grace'), "
	"joined_at = CASE WHEN $3 = 'active' THEN coalesce(joined_at, commonhold_now()) ELSE joined_at END, due_at = coalesce($4, due_at), due_day = coalesce($5, due_day), "
	"cycle = cycle + ($3 = 'active' AND joined_at IS NOT NULL)::integer, next_step_at = '-infinity', "
	"checked_at = CASE WHEN $3 = 'active' AND state IN ('due', 'grace', 'lapsed') THEN commonhold_now() ELSE checked_at END "
	"WHERE coop_id = $1 AND id = $2 RETURNING " MEMBER_COLUMNS NO_NAME);
SQL(membership_event_insert,
	"INSERT INTO membership_event (coop_id, member_id, from_state, to_state, is_admin, at, by_account, reason) VALUES ($1, $2, $3, $4, $5, commonhold_now(), $6, $7)");
SQL(membership_set_due_at,
	"UPDATE membership m SET due_at = $3, due_day = $4, next_step_at = '-infinity' WHERE coop_id = $1 AND id = $2 RETURNING " MEMBER_COLUMNS NO_NAME);
SQL(membership_set_admin, "UPDATE membership m SET is_admin = $3 WHERE coop_id = $1 AND id = $2 RETURNING " MEMBER_COLUMNS NO_NAME);
SQL(membership_set_attribution,
	"UPDATE membership m SET attribution = $3, public_name = coalesce($4, public_name) WHERE coop_id = $1 AND id = $2 RETURNING " MEMBER_COLUMNS NO_NAME);
SQL(membership_by_id, "SELECT " MEMBER_COLUMNS NO_NAME " FROM membership m WHERE m.coop_id = $1 AND m.id = $2");
SQL(membership_by_id_named, "SELECT " MEMBER_COLUMNS WITH_NAME " FROM membership m WHERE m.coop_id = $1 AND m.id = $2");
SQL(membership_by_account, "SELECT " MEMBER_COLUMNS NO_NAME " FROM membership m WHERE m.coop_id = $1 AND m.account_id = $2");
SQL(membership_page,
	"SELECT " MEMBER_COLUMNS WITH_NAME " FROM membership m WHERE m.coop_id = $1 AND ($2::text IS NULL OR m.state = $2) AND m.number > $3 ORDER BY m.number LIMIT $4");
SQL(membership_mine, "SELECT " MEMBER_COLUMNS NO_NAME " FROM membership m WHERE m.account_id = $1 ORDER BY m.applied_at, m.coop_id LIMIT 1000");
SQL(account_is_going, "SELECT FROM account_erasure WHERE account_id = $1 AND state IN ('effective', 'purged')");
SQL(invitation_use,
	"UPDATE invitation SET used_at = commonhold_now() WHERE coop_id = $1 AND used_at IS NULL AND email_sha256 = sha256(convert_to(lower($2), 'UTF8')) "
	"AND EXISTS (SELECT FROM account WHERE id = $3 AND email_verified_at IS NOT NULL AND lower(email) = lower($2)) RETURNING at");
SQL(invitation_insert,
	"INSERT INTO invitation (coop_id, email_sha256, invited_by, at) VALUES ($1, sha256(convert_to(lower($2), 'UTF8')), $3, commonhold_now()) "
	"ON CONFLICT (coop_id, email_sha256) DO UPDATE SET invited_by = $3, at = commonhold_now(), used_at = NULL");

static const struct db_constraint constraints[] = {
	{ "one_membership_per_account", ERR_EXISTS, NULL, "You are a member of this co-op already." },
	{ "coop_keeps_an_admin", ERR_REFUSED, NULL, "This is the co-op's last admin. Make somebody else an admin first." },
	{ "public_attribution_has_a_name", ERR_INVALID, "/public_name", "Say under which name you want to be credited." },
	{ "attribution_is_known", ERR_INVALID, "/attribution", "This must be anonymous, pseudonym or public." },
	{ "statement_is_about_own_item", ERR_NOT_FOUND, "/item", "There is no such contribution of yours." },
	DB_CONSTRAINTS_END
};

void coop_explain_constraints(void)
{
	db_constraints(constraints);
}

/* ---- The life of a membership ---- */

static const char *const standings[] = {
#define X(sym, no, name) [no] = name,
	POLICY_STANDINGS(X)
#undef X
};

static const struct lifecycle_edge edges[] = {
	{ LIFECYCLE_BEGINNING, POLICY_STANDING_APPLIED, "Somebody asks to become a member.", .leaf = "member.applied", .who = MOVER_SELF },
	{ LIFECYCLE_BEGINNING, POLICY_STANDING_ACTIVE, "Somebody joins where admission is open, founds the co-op or was invited.", .leaf = "member.admitted", .who = MOVER_SELF },
	{ POLICY_STANDING_APPLIED, POLICY_STANDING_ACTIVE, "An admin admits an applicant, or an invitation does.", .leaf = "member.admitted", .who = MOVER_SELF | MOVER_ADMIN },
	{ POLICY_STANDING_APPLIED, POLICY_STANDING_LEFT, "An applicant withdraws, or an admin refuses.", .leaf = "member.refused", .who = MOVER_SELF | MOVER_ADMIN },
	{ POLICY_STANDING_ACTIVE, POLICY_STANDING_DUE, "The annual checkup is near.", .leaf = "member.due", .who = MOVER_SCHEDULE },
	{ POLICY_STANDING_DUE, POLICY_STANDING_ACTIVE, "The member does the checkup in time.", .leaf = "member.renewed", .who = MOVER_SELF },
	{ POLICY_STANDING_DUE, POLICY_STANDING_GRACE, "The checkup is overdue: delegations and the acceptance of defaults rest.", .leaf = "member.grace", .who = MOVER_SCHEDULE },
	{ POLICY_STANDING_GRACE, POLICY_STANDING_ACTIVE, "The member does the checkup late.", .leaf = "member.renewed", .who = MOVER_SELF },
	{ POLICY_STANDING_GRACE, POLICY_STANDING_LAPSED, "The grace is over: new releases go without the member's items.", .leaf = "member.lapsed", .who = MOVER_SCHEDULE },
	{ POLICY_STANDING_LAPSED, POLICY_STANDING_ACTIVE, "A lapsed member renews.", .leaf = "member.renewed", .who = MOVER_SELF },
	{ POLICY_STANDING_ACTIVE, POLICY_STANDING_LEFT, "The member leaves.", .leaf = "member.left", .who = MOVER_SELF },
	{ POLICY_STANDING_DUE, POLICY_STANDING_LEFT, "The member leaves.", .leaf = "member.left", .who = MOVER_SELF },
	{ POLICY_STANDING_GRACE, POLICY_STANDING_LEFT, "The member leaves.", .leaf = "member.left", .who = MOVER_SELF },
	{ POLICY_STANDING_LAPSED, POLICY_STANDING_LEFT, "The member leaves.", .leaf = "member.left", .who = MOVER_SELF },
	{ POLICY_STANDING_ACTIVE, POLICY_STANDING_REMOVED, "An admin removes the member.", .leaf = "member.removed", .who = MOVER_ADMIN },
	{ POLICY_STANDING_DUE, POLICY_STANDING_REMOVED, "An admin removes the member.", .leaf = "member.removed", .who = MOVER_ADMIN },
	{ POLICY_STANDING_GRACE, POLICY_STANDING_REMOVED, "An admin removes the member.", .leaf = "member.removed", .who = MOVER_ADMIN },
	{ POLICY_STANDING_LAPSED, POLICY_STANDING_REMOVED, "An admin removes the member.", .leaf = "member.removed", .who = MOVER_ADMIN },
	{ POLICY_STANDING_LEFT, POLICY_STANDING_APPLIED, "A former member asks to come back.", .leaf = "member.applied", .who = MOVER_SELF },
	{ POLICY_STANDING_LEFT, POLICY_STANDING_ACTIVE, "A former member comes back where admission is open or by invitation.", .leaf = "member.admitted", .who = MOVER_SELF },
	{ POLICY_STANDING_REMOVED, POLICY_STANDING_ACTIVE, "An admin takes a removed member back.", .leaf = "member.admitted", .who = MOVER_ADMIN },
};

const struct lifecycle membership_life = { .thing = "This membership", LIFECYCLE_TABLE(standings, edges) };

bool in_good_standing(enum policy_standing s)
{
	return s == POLICY_STANDING_ACTIVE || s == POLICY_STANDING_DUE || s == POLICY_STANDING_GRACE;
}

static struct member member_of_row(const struct rows *r, int row)
{
	struct str state = row_str(r, row, 4);
	int standing = policy_standing_find(state.p ? state.p : "", state.n);
	return (struct member){
		.coop = row_uuid(r, row, 0), .id = row_uuid(r, row, 1), .account = row_uuid(r, row, 2), .number = (int)row_int(r, row, 3),
		.state = standing < 0 ? POLICY_STANDING_REMOVED : (enum policy_standing)standing, .is_admin = row_bool(r, row, 5),
		.applied_at = row_time(r, row, 6), .joined_at = row_time(r, row, 7), .due_at = row_time(r, row, 8), .state_at = row_time(r, row, 9),
		.attribution = row_str(r, row, 10), .pseudonym = row_str(r, row, 11), .public_name = row_str(r, row, 12), .contributed = row_int(r, row, 13),
		.cycle = (int)row_int(r, row, 14), .due_day = (int)row_int(r, row, 15), .checked_at = row_time(r, row, 16), .account_name = row_str(r, row, 17),
	};
}

/* Numbers stay dense, the last admin is not outrun, and nobody delegates to somebody who is leaving. */
enum err membership_lock(struct call *c, struct uuid coop)
{
	coop_explain_constraints();
	TRY(db_exec(c, membership_lock_take, A_UUID(coop)));
	return db_tell_time(c);
}

static enum err note_event(struct call *c, const struct member *m, const char *from, struct str reason)
{
	return db_exec(c, membership_event_insert, A_UUID(m->coop), A_UUID(m->id), A_Z(from), A_Z(policy_standing_name(m->state)), A_BOOL(m->is_admin),
		A_UUID_OR_NULL(c->actor.account), A_STR(reason.p ? reason : STR("")));
}

/* The day of the month that an anniversary means when it begins now; 0 for one that goes on. */
static int anniversary_day(enum policy_standing from, instant due)
{
	bool goes_on = from == POLICY_STANDING_DUE || from == POLICY_STANDING_GRACE || due == INSTANT_NONE;
	return goes_on ? 0 : clock_civil(clock_now()).day;
}

static struct db_arg day_or_null(int day)
{
	struct db_arg arg = A_INT(day);
	arg.null = day == 0;
	return arg;
}

enum err membership_move(struct call *c, struct member *m, enum policy_standing to, enum mover by, struct uuid actor, instant due, struct str reason)
{
	enum policy_standing from = m->state;
	const struct lifecycle_edge *edge = lifecycle_edge(&membership_life, from, to);
	if (!edge || !(edge->who & by))
		return fail(c, ERR_STATE, "A membership that is %s cannot become %s this way.", policy_standing_name(from), policy_standing_name(to));
	struct rows r;
	TRY(db_one(c, membership_update, &r, A_UUID(m->coop), A_UUID(m->id), A_Z(policy_standing_name(to)), A_TIME(due), day_or_null(anniversary_day(from, due))));
	*m = member_of_row(&r, 0);
	TRY(note_event(c, m, policy_standing_name(from), reason));
	if (to == POLICY_STANDING_LEFT || to == POLICY_STANDING_REMOVED)
		TRY(delegation_end_of_member(c, m->coop, m->id, policy_standing_name(to)));
	const char *leaf = to == POLICY_STANDING_LEFT && by == MOVER_SELF ? "member.left" : edge->leaf;
	if (str_is(str_of(leaf), "member.admitted"))
		TRY(membership_welcome(c, m));
	return log_act(c, m->coop, leaf, leaf_about_member(c, m->id, NULL, STR_NONE), actor);
}

/* A name that means nothing: two words and four digits, some nine million of them. */
static struct str pseudonym_new(struct arena *a)
{
	static const char *const first[] = {
		"amber", "brave", "calm", "clear", "cosy", "crisp", "dapper", "eager", "early", "fair", "fern", "gentle", "golden", "happy", "humble", "jolly",
		"keen", "kind", "lively", "lucky", "mellow", "merry", "noble", "patient", "plain", "quick", "quiet", "ready", "silver", "steady", "sunny", "warm",
	};
	static const char *const second[] = {
		"alder", "badger", "beech", "birch", "bison", "brook", "clover", "crane", "dune", "elm", "falcon", "finch", "fox", "hare", "harbour", "hazel",
		"heron", "ibex", "juniper", "lark", "linden", "lynx", "maple", "marten", "meadow", "otter", "owl", "plover", "raven", "rowan", "swift", "willow",
	};
	uint32_t r[3];
	random_bytes(r, sizeof r);
	return str_fmt(a, "%s-%s-%04u", first[r[0] % CH_LEN(first)], second[r[1] % CH_LEN(second)], r[2] % 10000);
}

#define PSEUDONYM_TRIES 16 /* each fails only when the very name is taken */

enum err membership_begin(struct call *c, struct uuid coop, struct uuid id, struct uuid account, enum policy_standing to, bool is_admin, const struct charter *charter, struct member *out)
{
	const struct lifecycle_edge *edge = lifecycle_edge(&membership_life, LIFECYCLE_BEGINNING, to);
	if (!edge)
		return fail(c, ERR_INTERNAL, "no membership begins as %s", policy_standing_name(to));
	instant due = to == POLICY_STANDING_ACTIVE ? duration_add(clock_now(), charter->checkup_every, 1) : INSTANT_NONE;
	/* A public name is the person's to give: until then they go by the pseudonym. */
	struct str attribution = str_is(charter->attribution, "anonymous") ? charter->attribution : STR("pseudonym");
	struct rows r = { .n = 0 };
	for (int i = 0; i < PSEUDONYM_TRIES && r.n == 0; i++)
		TRY(db_query(c, membership_insert, &r, A_UUID(coop), A_UUID(id), A_UUID(account), A_Z(policy_standing_name(to)), A_BOOL(is_admin), A_TIME(due), A_STR(attribution),
			A_STR(pseudonym_new(c->arena)), day_or_null(anniversary_day(POLICY_STANDING_APPLIED, due))));
	if (r.n == 0)
		return fail(c, ERR_RETRY, "No free pseudonym was found.");
	*out = member_of_row(&r, 0);
	TRY(note_event(c, out, NULL, STR_NONE));
	if (to == POLICY_STANDING_ACTIVE && !is_admin)
		TRY(membership_welcome(c, out));
	return log_act(c, coop, edge->leaf, leaf_about_member(c, id, NULL, STR_NONE), id);
}

/* ---- Who is who ---- */

enum err member_of_actor(struct call *c, struct uuid coop, struct member *out)
{
	struct rows r;
	if (uuid_is_nil(c->actor.account))
		return fail(c, ERR_NOT_FOUND, "You are not a member of this co-op.");
	TRY(db_query(c, membership_by_account, &r, A_UUID(coop), A_UUID(c->actor.account)));
	if (r.n != 1)
		return fail(c, ERR_NOT_FOUND, "You are not a member of this co-op.");
	*out = member_of_row(&r, 0);
	return ERR_OK;
}

enum err require_member(struct call *c, struct uuid coop, struct member *out)
{
	TRY(member_of_actor(c, coop, out));
	if (out->state == POLICY_STANDING_LEFT || out->state == POLICY_STANDING_REMOVED)
		return fail(c, ERR_NOT_FOUND, "You are not a member of this co-op.");
	return ERR_OK;
}

/* The actor as an admin in good standing; the instance itself counts, with a nil membership; inside. */
static enum err require_admin(struct call *c, struct uuid coop, struct member *out)
{
	if (c->actor.kind == AUTH_SYSTEM) {
		*out = (struct member){ .coop = coop, .is_admin = true };
		return ERR_OK;
	}
	TRY(require_member(c, coop, out));
	return out->is_admin && in_good_standing(out->state) ? ERR_OK : fail(c, ERR_FORBIDDEN, "Only an admin of the co-op may do this.");
}

enum err member_of_id(struct call *c, struct uuid coop, struct uuid id, struct member *out)
{
	struct rows r;
	TRY(db_query(c, membership_by_id, &r, A_UUID(coop), A_UUID(id)));
	if (r.n != 1)
		return fail(c, ERR_NOT_FOUND, "There is no such member.");
	*out = member_of_row(&r, 0);
	return ERR_OK;
}

/* ---- Operations ---- */

static enum err admission_of(struct call *c, struct uuid coop, const struct charter *charter, enum policy_standing *to)
{
	struct rows r;
	/* Only who was shown to read an address's mail is whom an invitation to it means. */
	TRY(db_query(c, invitation_use, &r, A_UUID(coop), A_STR(c->actor.email), A_UUID(c->actor.account)));
	if (r.n > 0 || str_is(charter->admission, "open"))
		*to = POLICY_STANDING_ACTIVE;
	else if (str_is(charter->admission, "approval"))
		*to = POLICY_STANDING_APPLIED;
	else
		return fail(c, ERR_REFUSED, "One joins this co-op by invitation. If you have one, confirm your e-mail address under My account first; otherwise ask one of the admins.");
	return ERR_OK;
}

/* What somebody contributed between confirming that all of theirs goes and their account's end would be nobody's to delete any more. */
static enum err check_staying(struct call *c)
{
	struct rows r;
	TRY(db_query(c, account_is_going, &r, A_UUID(c->actor.account)));
	return r.n == 0 ? ERR_OK : fail_reason(c, ERR_REFUSED, "account_going", "You have confirmed that your account is erased. Nobody joins a co-op with it any more.");
}

enum err member_join(struct call *c, struct uuid coop, struct member *out)
{
	struct charter charter;
	struct member before;
	enum policy_standing to;
	if (uuid_is_nil(c->actor.account))
		return fail(c, ERR_UNAUTHENTICATED, "Sign in first.");
	TRY(db_begin_in(c, coop, DB_WRITE));
	TRY(membership_lock(c, coop));
	TRY(charter_current(c, coop, &charter));
	TRY(check_staying(c));
	enum err known = member_of_actor(c, coop, &before);
	if (known != ERR_OK && known != ERR_NOT_FOUND)
		return known;
	if (known == ERR_OK && before.state == POLICY_STANDING_REMOVED)
		return fail(c, ERR_REFUSED, "You were removed from this co-op. Only an admin can take you back.");
	if (known == ERR_OK && before.state != POLICY_STANDING_LEFT)
		return fail(c, ERR_EXISTS, "You are a member of this co-op already, or have applied.");
	error_clear(&c->error);
	TRY(admission_of(c, coop, &charter, &to));
	if (known == ERR_OK) {
		instant due = to == POLICY_STANDING_ACTIVE ? duration_add(clock_now(), charter.checkup_every, 1) : INSTANT_NONE;
		TRY(membership_move(c, &before, to, MOVER_SELF, before.id, due, STR_NONE));
		*out = before;
	} else {
		TRY(membership_begin(c, coop, uuid_new(), c->actor.account, to, false, &charter, out));
	}
	return db_commit(c);
}

enum err member_invite(struct call *c, struct uuid coop, struct str email)
{
	struct member me;
	email = str_trim(email);
	if (str_index(email, '@') < 1 || email.n > 254 || !str_is_utf8(email))
		return fail_field(c, "/email", "This is not an e-mail address.");
	TRY(db_begin_in(c, coop, DB_WRITE));
	TRY(require_admin(c, coop, &me));
	if (uuid_is_nil(me.id))
		return fail(c, ERR_FORBIDDEN, "Only an admin of the co-op may do this.");
	TRY(db_exec(c, invitation_insert, A_UUID(coop), A_STR(email), A_UUID(me.id)));
	return db_commit(c);
}

static enum err check_reason(struct call *c, struct str reason)
{
	return reason.n <= LIMIT_TEXT_NOTE ? ERR_OK : fail_field(c, "/reason", "A reason has at most %d characters.", LIMIT_TEXT_NOTE);
}

/* What every act of an admin on a member begins with. */
static enum err begin_act(struct call *c, struct uuid coop, struct uuid member, struct member *me, struct member *out)
{
	TRY(db_begin_in(c, coop, DB_WRITE));
	TRY(membership_lock(c, coop));
	TRY(require_admin(c, coop, me));
	return member_of_id(c, coop, member, out);
}

enum err member_admit(struct call *c, struct uuid coop, struct uuid member, bool admit, struct str reason, struct member *out)
{
	struct member me;
	struct charter charter;
	TRY(check_reason(c, reason));
	TRY(begin_act(c, coop, member, &me, out));
	TRY(charter_current(c, coop, &charter));
	if (admit)
		TRY(membership_move(c, out, POLICY_STANDING_ACTIVE, MOVER_ADMIN, me.id, duration_add(clock_now(), charter.checkup_every, 1), reason));
	else
		TRY(membership_move(c, out, POLICY_STANDING_LEFT, MOVER_ADMIN, me.id, INSTANT_NONE, reason));
	return db_commit(c);
}

/* Makes or unmakes an admin; inside, under the lock. `by`: who did so; nil: a ballot, or the instance. */
static enum err set_admin(struct call *c, struct uuid by, bool is_admin, struct member *m)
{
	struct rows r;
	if (!in_good_standing(m->state))
		return fail(c, ERR_STATE, "Only a member in good standing can be an admin.");
	if (m->is_admin == is_admin)
		return ERR_OK;
	TRY(db_one(c, membership_set_admin, &r, A_UUID(m->coop), A_UUID(m->id), A_BOOL(is_admin)));
	*m = member_of_row(&r, 0);
	TRY(note_event(c, m, policy_standing_name(m->state), STR_NONE));
	/* To those who let the board decide, it is another delegate now. */
	TRY(demand_of_board(c, m->coop, is_admin ? STR("The board has a new member.") : STR("A member of the board is not on it any more.")));
	return log_act(c, m->coop, is_admin ? "admin.added" : "admin.removed", leaf_about_member(c, m->id, NULL, STR_NONE), by);
}

/* Where the charter leaves admins to ballots, no admin changes who is one. */
static enum err admins_left_to_admins(struct call *c, struct uuid coop)
{
	struct charter charter;
	TRY(charter_current(c, coop, &charter));
	if (charter.admins_by_ballot && c->actor.kind != AUTH_SYSTEM)
		return fail_reason(c, ERR_REFUSED, "admins_by_ballot", "Under this charter admins are made and unmade by ballot alone. Propose a motion.");
	return ERR_OK;
}

enum err member_set_admin(struct call *c, struct uuid coop, struct uuid member, bool is_admin, struct member *out)
{
	struct member me;
	TRY(begin_act(c, coop, member, &me, out));
	TRY(admins_left_to_admins(c, coop));
	TRY(set_admin(c, me.id, is_admin, out));
	return db_commit(c);
}

enum err member_set_admin_by_ballot(struct call *c, struct uuid coop, struct uuid member, bool is_admin, struct member *out)
{
	TRY(membership_lock(c, coop));
	TRY(member_of_id(c, coop, member, out));
	return set_admin(c, (struct uuid){ { 0 } }, is_admin, out);
}

enum err member_remove(struct call *c, struct uuid coop, struct uuid member, struct str reason, struct member *out)
{
	struct member me;
	TRY(check_reason(c, reason));
	TRY(begin_act(c, coop, member, &me, out));
	if (out->is_admin && !uuid_eq(out->id, me.id))
		TRY(admins_left_to_admins(c, coop));
	TRY(consent_end(c, out, "revoked"));
	TRY(membership_move(c, out, POLICY_STANDING_REMOVED, MOVER_ADMIN, me.id, INSTANT_NONE, reason));
	return db_commit(c);
}

enum err membership_leave(struct call *c, struct member *m)
{
	TRY(consent_end(c, m, "withdrawn"));
	return membership_move(c, m, POLICY_STANDING_LEFT, MOVER_SELF, m->id, INSTANT_NONE, STR_NONE);
}

enum err member_leave(struct call *c, struct uuid coop, struct member *out)
{
	TRY(db_begin_in(c, coop, DB_WRITE));
	TRY(membership_lock(c, coop));
	TRY(require_member(c, coop, out));
	TRY(membership_leave(c, out));
	return db_commit(c);
}

enum err member_set_due(struct call *c, struct uuid coop, instant due, struct member *out)
{
	struct charter charter;
	struct rows r;
	TRY(db_begin_in(c, coop, DB_WRITE));
	TRY(membership_lock(c, coop));
	TRY(require_member(c, coop, out));
	TRY(charter_current(c, coop, &charter));
	if (out->state != POLICY_STANDING_ACTIVE || membership_window_opens(out, &charter) <= clock_now())
		return fail(c, ERR_STATE, "The date can be moved while no checkup is due. Do the checkup first.");
	if (due == INSTANT_NONE || due >= out->due_at || duration_add(due, charter.window, -1) <= clock_now())
		return fail_field(c, "/due_at", "Choose a date before %.10s that leaves time for the checkup.", clock_format(c->arena, out->due_at).p);
	TRY(db_one(c, membership_set_due_at, &r, A_UUID(coop), A_UUID(out->id), A_TIME(due), A_INT(clock_civil(due).day)));
	*out = member_of_row(&r, 0);
	TRY(delegation_due_moved(c, coop, out->id));
	TRY(log_act(c, coop, "member.due_moved", leaf_about_member(c, out->id, "due", clock_format(c->arena, due)), out->id));
	return db_commit(c);
}

enum err attribution_say(struct call *c, struct member *m, struct str attribution, struct str public_name)
{
	struct rows r;
	public_name = str_trim(public_name);
	if (public_name.n > LIMIT_TEXT_NAME || !str_is_utf8(public_name))
		return fail_field(c, "/public_name", "A name has at most %d characters.", LIMIT_TEXT_NAME);
	coop_explain_constraints();
	if (str_is(attribution, "public") && public_name.n == 0 && m->public_name.n == 0)
		return fail_field(c, "/public_name", "Say under which name you want to be credited.");
	TRY(db_one(c, membership_set_attribution, &r, A_UUID(m->coop), A_UUID(m->id), A_STR(attribution), A_STR(public_name.n ? public_name : STR_NONE)));
	*m = member_of_row(&r, 0);
	return ERR_OK;
}

enum err member_set_attribution(struct call *c, struct uuid coop, struct str attribution, struct str public_name, struct member *out)
{
	TRY(db_begin_in(c, coop, DB_WRITE));
	TRY(require_member(c, coop, out));
	TRY(attribution_say(c, out, attribution, public_name));
	return db_commit(c);
}

enum err member_read(struct call *c, struct uuid coop, struct uuid member, struct member *out)
{
	struct rows r;
	TRY(db_begin_in(c, coop, DB_READ));
	TRY(db_finish(c, membership_by_id_named, &r, A_UUID(coop), A_UUID(member)));
	if (r.n != 1)
		return fail(c, ERR_NOT_FOUND, "There is no such member.");
	*out = member_of_row(&r, 0);
	return ERR_OK;
}

enum err member_mine_in(struct call *c, struct uuid coop, struct member *out)
{
	TRY(db_begin_in(c, coop, DB_READ));
	TRY(require_member(c, coop, out));
	return db_commit(c);
}

enum err member_list(struct call *c, struct uuid coop, struct str state, struct str cursor, int limit, struct member **out, size_t *n, struct str *next_cursor)
{
	struct rows r;
	int64_t after = -1;
	if (cursor.p && !str_to_i64(cursor, 0, INT32_MAX, &after))
		return fail_field(c, "query/cursor", "is not a cursor that this list gave out");
	if (state.p && policy_standing_find(state.p, state.n) < 0)
		return fail_field(c, "query/state", "There is no such state.");
	if (limit < 1 || limit > LIMIT_PAGE)
		limit = LIMIT_PAGE_DEFAULT;
	TRY(db_begin_in(c, coop, DB_READ));
	TRY(db_finish(c, membership_page, &r, A_UUID(coop), A_STR(state), A_I64(after), A_I64(limit + 1)));
	*n = (size_t)(r.n > limit ? limit : r.n);
	*out = ARENA_ARRAY(c->arena, *n + 1, struct member);
	for (size_t i = 0; i < *n; i++)
		(*out)[i] = member_of_row(&r, (int)i);
	*next_cursor = r.n > limit ? str_fmt(c->arena, "%d", (*out)[*n - 1].number) : STR_NONE;
	return ERR_OK;
}

enum err member_mine(struct call *c, struct member **out, size_t *n)
{
	struct rows r;
	if (uuid_is_nil(c->actor.account))
		return fail(c, ERR_UNAUTHENTICATED, "Sign in first.");
	TRY(db_begin(c, DB_READ));
	TRY(db_finish(c, membership_mine, &r, A_UUID(c->actor.account)));
	*n = (size_t)r.n;
	*out = ARENA_ARRAY(c->arena, *n + 1, struct member);
	for (int i = 0; i < r.n; i++)
		(*out)[i] = member_of_row(&r, i);
	return ERR_OK;
}
