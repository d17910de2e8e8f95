#include "server/coop/delegation_internal.h"

/* What the board says about uses, for members who let it speak: each admin says what it should say, and it has said so once the charter's part of them say the same.
 * A yes lasts as long as that many say it. */

#define STATEMENTS_LISTED 1000 /* the board's newest: a few a use */

SQL(say_insert, "INSERT INTO board_say (coop_id, member_id, use, effect, duties, at) VALUES ($1, $2, $3, $4, $5, commonhold_now())");
#define LAST_SAYS \
	"(SELECT DISTINCT ON (b.member_id, b.use) b.member_id, b.use, b.effect, b.duties FROM board_say b JOIN membership m ON m.coop_id = b.coop_id AND m.id = b.member_id " \
	"AND m.is_admin AND m.state IN ('active', 'due', 'grace') WHERE b.coop_id = $1 ORDER BY b.member_id, b.use, b.seq DESC) AS last"
SQL(says_counted, "SELECT use, effect, array_to_string(duties, ','), count(*), bool_or(member_id = $2) FROM " LAST_SAYS " GROUP BY use, effect, duties ORDER BY use, effect");
SQL(admins_count, "SELECT count(*) FROM membership WHERE coop_id = $1 AND is_admin AND state IN ('active', 'due', 'grace')");
SQL(board_statements, "SELECT " STATEMENT_COLUMNS " FROM statement WHERE coop_id = $1 AND layer = 3 AND board ORDER BY seq DESC LIMIT $2");

static enum err board_now(struct call *c, struct uuid coop, struct statement **out, size_t *n)
{
	struct rows r;
	TRY(db_query(c, board_statements, &r, A_UUID(coop), A_I64(STATEMENTS_LISTED)));
	statements_of_rows(c->arena, &r, true, out, n);
	return ERR_OK;
}

static enum err admins(struct call *c, const struct charter *charter, int *all, int *needed)
{
	struct rows r;
	TRY(db_one(c, admins_count, &r, A_UUID(charter->coop)));
	*all = (int)row_int(&r, 0, 0);
	int64_t want = (int64_t)charter->board_n * *all, d = charter->board_d;
	*needed = (int)(charter->board_strict ? want / d + 1 : (want + d - 1) / d);
	return ERR_OK;
}

static enum err check_says(struct call *c, const struct statement *in, size_t n)
{
	if (n == 0 || n > POLICY_USE_COUNT)
		return fail_field(c, "/statements", "Say between one and %d things at a time.", POLICY_USE_COUNT);
	for (size_t i = 0; i < n; i++)
		if (in[i].kind.p || in[i].purpose.p || in[i].audience.p || !uuid_is_nil(in[i].item) || in[i].valid_from != INSTANT_NONE || in[i].valid_to != INSTANT_NONE)
			return fail_field(c, "/statements", "The board speaks about uses as a whole.");
	return ERR_OK;
}

static enum err write_says(struct call *c, const struct member *me, const struct statement *in, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		struct str duties[POLICY_DUTY_COUNT];
		size_t n_duties = 0;
		for (unsigned no = 0; no < POLICY_DUTY_COUNT; no++)
			if (in[i].duties & POLICY_BIT(no))
				duties[n_duties++] = str_of(policy_duty_name(no));
		for (unsigned use = 0; use < POLICY_USE_COUNT; use++)
			if (in[i].uses & POLICY_BIT(use))
				TRY(db_exec(c, say_insert, A_UUID(me->coop), A_UUID(me->id), A_Z(policy_use_name(use)), A_STR(in[i].effect), A_TEXTS(duties, n_duties)));
	}
	return ERR_OK;
}

static uint16_t duties_of(struct str names)
{
	struct str rest = names, word;
	uint16_t bits = 0;
	while (names.n && str_split(&rest, ',', &word)) {
		int no = policy_duty_find(word.p, word.n);
		if (no >= 0)
			bits |= (uint16_t)POLICY_BIT(no);
	}
	return bits;
}

static bool says_already(const struct statement *now, size_t n, unsigned use, struct str effect, uint16_t duties)
{
	for (size_t i = 0; i < n; i++)
		if (now[i].uses & POLICY_BIT(use))
			return str_eq(now[i].effect, effect) && now[i].duties == duties;
	return str_is(effect, "none");
}

static bool says_yes(const struct statement *now, size_t n, unsigned use)
{
	for (size_t i = 0; i < n; i++)
		if (now[i].uses & POLICY_BIT(use))
			return str_is(now[i].effect, "allow") || str_is(now[i].effect, "allow_if");
	return false;
}

static void board_statement(struct statement *out, size_t *n, unsigned use, struct str effect, uint16_t duties)
{
	out[(*n)++] = (struct statement){ .layer = POLICY_LAYER_DELEGATE, .uses = (uint16_t)POLICY_BIT(use), .effect = effect, .duties = duties, .valid_from = INSTANT_NONE,
		.valid_to = INSTANT_NONE, .board = true };
}

/* What the board has to say now and has not said yet: the one thing about a use that enough admins say (two halves that disagree say nothing), and, where somebody has just
 * `spoken` and too few are left for a yes, that it says nothing any more. A no goes by a resolution alone. */
static enum err find_resolved(struct call *c, const struct charter *charter, const struct member *me, uint32_t spoken, struct statement *out, size_t *n)
{
	struct rows r;
	struct statement *now;
	size_t n_now;
	int all, needed, found[POLICY_USE_COUNT] = { 0 }, row[POLICY_USE_COUNT] = { 0 };
	*n = 0;
	TRY(admins(c, charter, &all, &needed));
	TRY(board_now(c, me->coop, &now, &n_now));
	TRY(db_query(c, says_counted, &r, A_UUID(me->coop), A_UUID(me->id)));
	for (int i = 0; i < r.n; i++) {
		struct str name = row_str(&r, i, 0);
		int use = policy_use_find(name.p, name.n);
		if (use < 0 || row_int(&r, i, 3) < needed)
			continue;
		found[use]++;
		row[use] = i;
	}
	for (unsigned use = 0; use < POLICY_USE_COUNT; use++) {
		if (found[use] == 1) {
			struct str effect = row_str(&r, row[use], 1);
			uint16_t duties = duties_of(row_str(&r, row[use], 2));
			if (!says_already(now, n_now, use, effect, duties))
				board_statement(out, n, use, effect, duties);
		} else if ((spoken & POLICY_BIT(use)) && says_yes(now, n_now, use)) {
			board_statement(out, n, use, STR("none"), 0);
		}
	}
	return ERR_OK;
}

enum err statement_say_for_board(struct call *c, struct uuid coop, const struct statement *in, size_t n, struct statement **out, size_t *n_out)
{
	struct member me;
	struct charter charter;
	uint32_t spoken = 0;
	TRY(check_says(c, in, n));
	struct statement *said = ARENA_ARRAY(c->arena, POLICY_USE_COUNT, struct statement), *checked = ARENA_ARRAY(c->arena, n, struct statement);
	TRY(db_begin_in(c, coop, DB_WRITE));
	TRY(membership_lock(c, coop));
	TRY(require_member(c, coop, &me));
	if (!me.is_admin || !in_good_standing(me.state))
		return fail_reason(c, ERR_FORBIDDEN, "not_board", "Only an admin of the co-op says what the board should say.");
	TRY(charter_current(c, coop, &charter));
	for (size_t i = 0; i < n; i++) {
		checked[i] = in[i];
		checked[i].layer = POLICY_LAYER_DELEGATE;
		spoken |= in[i].uses;
	}
	TRY(statement_check(c, &charter, checked, n));
	TRY(write_says(c, &me, checked, n));
	TRY(find_resolved(c, &charter, &me, spoken, said, n_out));
	if (*n_out > 0) {
		TRY(statement_tell_principals(c, coop, POLICY_BOARD, STR("The board"), said, *n_out));
		TRY(statement_make_inside(c, &charter, &me, said, *n_out));
	}
	TRY(log_act(c, coop, "board.said", leaf_about_member(c, me.id, NULL, STR_NONE), me.id));
	*out = said;
	return db_commit(c);
}

enum err statement_list_of_board(struct call *c, struct uuid coop, struct statement **out, size_t *n)
{
	struct member me;
	TRY(db_begin_in(c, coop, DB_READ));
	TRY(require_member(c, coop, &me));
	TRY(board_now(c, coop, out, n));
	return db_commit(c);
}

enum err statement_board_stances(struct call *c, struct uuid coop, struct board_stances *out)
{
	struct rows r;
	struct member me;
	struct charter charter;
	*out = (struct board_stances){ 0 };
	TRY(db_begin_in(c, coop, DB_READ));
	TRY(require_member(c, coop, &me));
	TRY(charter_current(c, coop, &charter));
	TRY(admins(c, &charter, &out->admins, &out->needed));
	TRY(db_query(c, says_counted, &r, A_UUID(coop), A_UUID(me.id)));
	for (int i = 0; i < r.n; i++) {
		struct str name = row_str(&r, i, 0);
		int use = policy_use_find(name.p, name.n);
		if (use >= 0 && row_bool(&r, i, 4))
			out->of[use] = (struct board_stance){ row_str(&r, i, 1), (int)row_int(&r, i, 3) };
	}
	return db_commit(c);
}
