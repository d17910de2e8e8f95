#include "commonhold/db.h"

#include "ballot_internal.h"

/* What becomes of one person's voice: of a closed ballot as it was stored, never worked out again; of an open one by asking the engine about the few people on their way. */

SQL(stored_voice,
	"SELECT s.choice, s.via, s.reason, s.on_behalf, s.decider_no, m.id, " MEMBER_NAME " FROM ballot_resolution s "
	"LEFT JOIN membership m ON m.coop_id = s.coop_id AND m.number = s.decider_no WHERE s.coop_id = $1 AND s.ballot_id = $2 AND s.member_no = $3");
SQL(stored_steps,
	"SELECT d.id, d.delegate_id, " MEMBER_NAME " FROM ballot_resolution s, unnest(s.path) WITH ORDINALITY AS u (edge, no) "
	"JOIN delegation d ON d.coop_id = $1 AND d.edge = u.edge LEFT JOIN membership m ON m.coop_id = d.coop_id AND m.id = d.delegate_id "
	"WHERE s.coop_id = $1 AND s.ballot_id = $2 AND s.member_no = $3 AND d.delegate_kind <> 'nobody' ORDER BY u.no");
SQL(way_edges,
	"SELECT edge, target, principal_no, delegate_no, topics, scope, accepted_at, starts, ends, revoked_at, delegation_id "
	"FROM delegation_way($1, $2, 0::smallint, $3, $4, commonhold_now(), $5, 0) LIMIT 1000");
SQL(way_people,
	"SELECT u.no, m.id, m.state IN ('active', 'due', 'grace'), " MEMBER_NAME ", ballot_own_choice($1, $2, m.number), ballot_choice_for($1, $2, m.number, $3) "
	"FROM unnest($4::bigint[]) WITH ORDINALITY AS u (number, no) JOIN membership m ON m.coop_id = $1 AND m.number = u.number ORDER BY u.no");
SQL(history_rows,
	"SELECT v.at, v.choice, v.member_id, v.on_behalf_of, "
	"(SELECT " MEMBER_NAME " FROM membership m WHERE m.coop_id = v.coop_id AND m.id = v.member_id AND v.member_no <> $3), "
	"(SELECT " MEMBER_NAME " FROM membership m WHERE m.coop_id = v.coop_id AND m.id = v.on_behalf_of AND v.on_behalf_no <> $3) "
	"FROM vote v WHERE v.coop_id = $1 AND v.ballot_id = $2 AND (v.member_no = $3 OR ($4 AND v.on_behalf_no = $3)) ORDER BY v.seq LIMIT 1000");
SQL(represented_rows,
	"SELECT m.id, " MEMBER_NAME ", x.hops, x.choice IS NOT NULL, ballot_choice_for($1, $2, $3, m.number) "
	"FROM ballot_represented($1, $2, $3, $4, $5, commonhold_now(), $6) x JOIN membership m ON m.coop_id = $1 AND m.number = x.member_no "
	"JOIN ballot_roll r ON r.coop_id = $1 AND r.ballot_id = $2 AND r.member_no = x.member_no ORDER BY x.hops, m.number LIMIT $7");
SQL(board_stances,
	"SELECT DISTINCT ON (member_no) member_no, choice FROM board_resolution WHERE coop_id = $1 AND ballot_id = $2 ORDER BY member_no, seq DESC");
SQL(acts_of_member,
	"SELECT b.id, b.kind, b.title, b.closed_at, b.state = 'passed', EXISTS (SELECT FROM vote v WHERE v.coop_id = b.coop_id AND v.ballot_id = b.id AND v.member_no = d.member_no "
	"  AND v.choice <> 'none'), s.via = 'decided' AND s.decider_no = d.member_no, s.choice, "
	"CASE WHEN b.visibility <> 'restricted' THEN ballot_own_choice(b.coop_id, b.id, d.member_no) END "
	"FROM ballot b JOIN ballot_roll d ON d.coop_id = b.coop_id AND d.ballot_id = b.id AND d.member_id = $2 "
	"LEFT JOIN ballot_roll p ON p.coop_id = b.coop_id AND p.ballot_id = b.id AND p.member_id = $3 "
	"LEFT JOIN ballot_resolution s ON s.coop_id = b.coop_id AND s.ballot_id = b.id AND s.member_no = p.member_no "
	"WHERE b.coop_id = $1 AND b.state IN ('passed', 'failed') AND b.closed_at >= $4 AND b.closed_at < $5 ORDER BY b.closed_at DESC, b.id LIMIT 1000");
SQL(acts_of_board,
	"SELECT b.id, b.kind, b.title, b.closed_at, b.state = 'passed', b.board_choice IS NOT NULL, s.via = 'decided' AND s.decider_no = -2, s.choice, b.board_choice "
	"FROM ballot b LEFT JOIN ballot_roll p ON p.coop_id = b.coop_id AND p.ballot_id = b.id AND p.member_id = $3 "
	"LEFT JOIN ballot_resolution s ON s.coop_id = b.coop_id AND s.ballot_id = b.id AND s.member_no = p.member_no "
	"WHERE b.coop_id = $1 AND ($2::uuid IS NULL) AND b.state IN ('passed', 'failed') AND b.closed_at >= $4 AND b.closed_at < $5 ORDER BY b.closed_at DESC, b.id LIMIT 1000");

static const char *const board_name = "the board";

static bool is_over(const struct ballot *b)
{
	return b->state == BALLOT_PASSED || b->state == BALLOT_FAILED;
}

/* What others cast for the actor may be seen by them: always where it is open or restricted, from the end where it is closed. */
static bool sees_delegates(const struct ballot *b)
{
	return is_over(b) || !str_is(b->visibility, "closed");
}

/* ---- Sentences ---- */

static struct str choice_words(struct str choice)
{
	return str_is(choice, "for") ? STR("for") : str_is(choice, "against") ? STR("against") : str_is(choice, "abstain") ? STR("abstention") : STR("undecided");
}

static struct str first_name(const struct ballot_explained *e)
{
	return e->n_steps ? e->steps[e->n_steps - 1].name : STR("your delegate");
}

static struct str why_undecided(struct arena *a, const struct ballot_explained *e)
{
	bool stored = e->stored;
	switch (e->reason) {
	case POLICY_VIA_SILENT:
		return str_fmt(a, "Your voice was with %.*s, who %s.", STR_ARG(first_name(e)), stored ? "did not decide" : "has not decided yet");
	case POLICY_VIA_NOBODY: return STR("You asked that nobody decide for you, and have not voted yourself.");
	case POLICY_VIA_CYCLE: return STR("The delegations lead in a circle, and nobody in it voted.");
	case POLICY_VIA_DEPTH: return STR("The chain of delegations is longer than the charter allows.");
	case POLICY_VIA_CAP: return STR("Your delegate already decided for as many people as the charter allows.");
	case POLICY_VIA_EXPIRED: return STR("You did not vote, and your delegation had ended or not begun.");
	case POLICY_VIA_REVOKED: return STR("You did not vote, and your delegation was revoked.");
	case POLICY_VIA_SCOPE: return STR("You did not vote, and your delegations are not about this kind of ballot.");
	case POLICY_VIA_UNACCEPTED: return STR("You did not vote, and your delegate had not accepted.");
	default: return stored ? STR("You did not vote, and let nobody decide for you.") : STR("You have not voted, and let nobody decide for you.");
	}
}

static struct str why(struct arena *a, const struct ballot_explained *e)
{
	if (e->via != POLICY_VIA_OWN && e->via != POLICY_VIA_DECIDED)
		return why_undecided(a, e);
	struct str how = e->choice_shown ? choice_words(e->choice) : STR("the choice is hidden until the end");
	if (e->via == POLICY_VIA_OWN)
		return str_fmt(a, "Your own vote %s: %.*s.", e->stored ? "counted" : "counts", STR_ARG(how));
	return str_fmt(a, "%.*s %s for you%s: %.*s.", STR_ARG(e->decider_name), e->stored ? "decided" : "would decide", e->on_behalf ? " in particular" : "", STR_ARG(how));
}

/* ---- Stored ---- */

static enum policy_via via_of(struct str word)
{
	for (unsigned i = 0; i < POLICY_VIA_COUNT; i++)
		if (str_is(word, policy_via_name(i)))
			return (enum policy_via)i;
	return POLICY_VIA_NONE;
}

static void put_decider(struct ballot_explained *out, struct uuid id, struct str name, bool board)
{
	out->decider = id;
	out->by_board = board;
	out->decider_name = board ? str_of(board_name) : name;
}

static enum err explain_stored(struct call *c, const struct ballot *b, const struct member *me, struct ballot_explained *out)
{
	struct rows r;
	TRY(db_one(c, stored_voice, &r, A_UUID(b->coop), A_UUID(b->id), A_INT(me->number)));
	out->choice = row_str(&r, 0, 0);
	out->via = via_of(row_str(&r, 0, 1));
	out->reason = row_null(&r, 0, 2) ? POLICY_VIA_OWN : via_of(row_str(&r, 0, 2));
	out->on_behalf = row_bool(&r, 0, 3);
	if (!row_null(&r, 0, 4))
		put_decider(out, row_uuid(&r, 0, 5), row_str(&r, 0, 6), row_int(&r, 0, 4) == BALLOT_BOARD_NO);
	TRY(db_query(c, stored_steps, &r, A_UUID(b->coop), A_UUID(b->id), A_INT(me->number)));
	out->steps = ARENA_ARRAY(c->arena, (size_t)r.n, struct ballot_step);
	for (int i = 0; i < r.n; i++)
		out->steps[out->n_steps++] = (struct ballot_step){ row_uuid(&r, i, 0), row_uuid(&r, i, 1), row_null(&r, i, 1) ? str_of(board_name) : row_str(&r, i, 2) };
	return ERR_OK;
}

/* ---- Now ---- */

#define WAY_MAX 256 /* people named by the delegations of those on one person's way; a way has nine */

/* The people on the way and their delegations, renumbered densely: the person asked about is 0. */
struct way {
	int64_t number[WAY_MAX]; /* of the member */
	size_t n;                /* people */
	struct policy_edge *edges;
	struct uuid *versions;   /* of each edge */
	size_t n_edges;
	struct uuid id[WAY_MAX];
	struct str name[WAY_MAX];
	uint8_t roll[WAY_MAX], active[WAY_MAX], choice[WAY_MAX + 1];
	struct ballot_mandate mandates[WAY_MAX];
	size_t n_mandates;
};

static uint32_t place_of(struct way *w, int64_t number)
{
	if (number < 0)
		return number == BALLOT_BOARD_NO ? POLICY_BOARD : POLICY_NOBODY;
	for (size_t i = 0; i < w->n; i++)
		if (w->number[i] == number)
			return (uint32_t)i;
	if (w->n == WAY_MAX)
		return POLICY_NOBODY;
	w->number[w->n] = number;
	return (uint32_t)w->n++;
}

static enum err way_load(struct call *c, const struct ballot *b, const struct member *me, int depth, struct way *w)
{
	struct rows r;
	(void)place_of(w, me->number);
	TRY(db_query(c, way_edges, &r, A_UUID(b->coop), A_INT(me->number), A_INT((int)ballot_topic_of(b->kind)), A_I64((int64_t)delegation_target(b->id)), A_INT(depth)));
	w->edges = ARENA_ARRAY(c->arena, (size_t)r.n, struct policy_edge);
	w->versions = ARENA_ARRAY(c->arena, (size_t)r.n, struct uuid);
	for (int i = 0; i < r.n; i++) {
		uint32_t principal = place_of(w, row_int(&r, i, 2)), delegate = place_of(w, row_int(&r, i, 3));
		w->versions[w->n_edges] = row_uuid(&r, i, 10);
		w->edges[w->n_edges++] = (struct policy_edge){
			.id = (uint64_t)row_int(&r, i, 0), .target = (uint64_t)row_int(&r, i, 1), .principal = principal, .delegate = delegate, .topics = (uint32_t)row_int(&r, i, 4),
			.question = POLICY_QUESTION_VOTE, .scope = (uint8_t)row_int(&r, i, 5), .accepted_at = row_time(&r, i, 6), .starts = row_time(&r, i, 7), .ends = row_time(&r, i, 8),
			.revoked_at = row_time(&r, i, 9),
		};
	}
	TRY(db_query(c, way_people, &r, A_UUID(b->coop), A_UUID(b->id), A_INT(me->number), A_I64S(w->number, w->n)));
	for (int i = 0; i < r.n; i++) {
		size_t at = (size_t)row_int(&r, i, 0) - 1;
		struct str own = row_str(&r, i, 4), cast = row_str(&r, i, 5);
		int said = own.p ? ballot_choice_find(own.p, own.n) : BALLOT_NONE, for_me = cast.p ? ballot_choice_find(cast.p, cast.n) : BALLOT_NONE;
		w->id[at] = row_uuid(&r, i, 1);
		w->active[at] = row_bool(&r, i, 2);
		w->name[at] = row_str(&r, i, 3);
		w->roll[at] = BALLOT_ON_ROLL;
		w->choice[at] = said > 0 ? (uint8_t)said : BALLOT_NONE;
		if (for_me > BALLOT_NONE && at > 0)
			w->mandates[w->n_mandates++] = (struct ballot_mandate){ (uint32_t)at, 0, (uint8_t)for_me };
	}
	return ERR_OK;
}

static enum err board_said(struct call *c, const struct ballot *b, const struct charter *charter, int me, struct ballot_board *out);

static enum err explain_now(struct call *c, const struct ballot *b, const struct member *me, struct ballot_explained *out)
{
	struct charter charter;
	struct ballot_board board;
	struct ballot_rule rule;
	struct ballot_outcome o;
	struct way *w = ARENA_NEW(c->arena, struct way);
	TRY(charter_version(c, b->coop, b->charter, &charter));
	TRY(ballot_rule_of(c, b->rule, &rule));
	TRY(way_load(c, b, me, charter.delegation_depth, w));
	TRY(board_said(c, b, &charter, me->number, &board));
	w->choice[w->n] = (uint8_t)board.choice;
	struct ballot_facts f = {
		.n = w->n, .roll = w->roll, .active = w->active, .choice = w->choice, .edges = w->edges, .n_edges = w->n_edges, .mandates = w->mandates, .n_mandates = w->n_mandates,
		.ask = { .question = POLICY_QUESTION_VOTE, .topic = (uint8_t)ballot_topic_of(b->kind), .depth = (uint8_t)charter.delegation_depth, .board_active = 1,
			.target = delegation_target(b->id), .at = clock_now() },
		.proposer = POLICY_NO_DECIDER, .rule = rule.nodes, .n_rule = rule.n,
	};
	enum err err = ballot_outcome_of(c->arena, &f, &o);
	if (err != ERR_OK)
		return fail(c, err, "What would become of your voice cannot be worked out.");
	const struct ballot_voice *v = &o.voices[0];
	out->choice = str_of(ballot_choice_name(v->choice));
	out->via = (enum policy_via)v->via;
	out->reason = (enum policy_via)v->reason;
	out->on_behalf = v->on_behalf;
	if (v->decider == POLICY_BOARD || v->decider < w->n)
		put_decider(out, v->decider < w->n ? w->id[v->decider] : (struct uuid){ { 0 } }, v->decider < w->n ? w->name[v->decider] : STR_NONE, v->decider == POLICY_BOARD);
	uint32_t path[POLICY_DEPTH_MAX];
	size_t n = ballot_outcome_path(&f, &o, 0, path);
	out->steps = ARENA_ARRAY(c->arena, n, struct ballot_step);
	for (size_t i = 0; i < n; i++) {
		uint32_t to = w->edges[path[i]].delegate;
		if (to != POLICY_NOBODY)
			out->steps[out->n_steps++] = (struct ballot_step){ w->versions[path[i]], to < w->n ? w->id[to] : (struct uuid){ { 0 } }, to < w->n ? w->name[to] : str_of(board_name) };
	}
	return ERR_OK;
}

enum err ballot_explain(struct call *c, struct uuid coop, struct uuid ballot, struct ballot_explained *out)
{
	struct ballot b;
	struct member me;
	*out = (struct ballot_explained){ .via = POLICY_VIA_NONE };
	TRY(db_begin_in(c, coop, DB_READ));
	TRY(ballot_find(c, coop, ballot, &b));
	TRY(member_of_actor(c, coop, &me));
	out->stored = is_over(&b);
	out->on_roll = b.on_roll;
	if (!b.on_roll || b.state == BALLOT_CANCELLED)
		return db_commit(c);
	TRY(out->stored ? explain_stored(c, &b, &me, out) : explain_now(c, &b, &me, out));
	out->choice_shown = out->via != POLICY_VIA_DECIDED || out->by_board || sees_delegates(&b);
	if (!out->choice_shown)
		out->choice = STR_NONE;
	out->why = why(c->arena, out);
	return db_commit(c);
}

/* ---- What was said ---- */

enum err ballot_history(struct call *c, struct uuid coop, struct uuid ballot, struct ballot_vote **out, size_t *n)
{
	struct ballot b;
	struct member me;
	struct rows r;
	TRY(db_begin_in(c, coop, DB_READ));
	TRY(ballot_find(c, coop, ballot, &b));
	TRY(member_of_actor(c, coop, &me));
	TRY(db_query(c, history_rows, &r, A_UUID(coop), A_UUID(ballot), A_INT(me.number), A_BOOL(sees_delegates(&b))));
	*n = (size_t)r.n;
	*out = ARENA_ARRAY(c->arena, *n, struct ballot_vote);
	for (int i = 0; i < r.n; i++)
		(*out)[i] = (struct ballot_vote){ row_time(&r, i, 0), row_str(&r, i, 1), row_uuid(&r, i, 2), row_uuid(&r, i, 3), row_str(&r, i, 4), row_str(&r, i, 5) };
	return db_commit(c);
}

enum err ballot_represented(struct call *c, struct uuid coop, struct uuid ballot, struct ballot_principal **out, size_t *n)
{
	struct ballot b;
	struct member me;
	struct charter charter;
	struct rows r;
	*n = 0;
	*out = NULL;
	TRY(db_begin_in(c, coop, DB_READ));
	TRY(ballot_find(c, coop, ballot, &b));
	TRY(member_of_actor(c, coop, &me));
	if (b.state != BALLOT_OPEN || !b.on_roll)
		return db_commit(c);
	TRY(charter_version(c, coop, b.charter, &charter));
	TRY(db_query(c, represented_rows, &r, A_UUID(coop), A_UUID(ballot), A_INT(me.number), A_INT((int)ballot_topic_of(b.kind)), A_I64((int64_t)delegation_target(b.id)),
		A_INT(charter.delegation_depth), A_INT(LIMIT_PAGE)));
	*n = (size_t)r.n;
	*out = ARENA_ARRAY(c->arena, *n, struct ballot_principal);
	for (int i = 0; i < r.n; i++)
		(*out)[i] = (struct ballot_principal){ row_uuid(&r, i, 0), row_str(&r, i, 1), (int)row_int(&r, i, 2), row_bool(&r, i, 3), row_str(&r, i, 4) };
	return db_commit(c);
}

/* ---- The board ---- */

/* How many admins must say the same: the least number that meets the charter's part. */
static int board_needed(const struct charter *charter, int admins)
{
	int64_t want = (int64_t)charter->board_n * admins, d = charter->board_d;
	return (int)(charter->board_strict ? want / d + 1 : (want + d - 1) / d);
}

static enum err board_said(struct call *c, const struct ballot *b, const struct charter *charter, int me, struct ballot_board *out)
{
	struct rows r;
	uint32_t said[BALLOT_CHOICE_COUNT] = { 0 };
	TRY(db_query(c, board_stances, &r, A_UUID(b->coop), A_UUID(b->id)));
	*out = (struct ballot_board){ .admins = b->admins.roll, .needed = board_needed(charter, b->admins.roll), .rule = charter_board_words(c->arena, charter) };
	for (int i = 0; i < r.n; i++) {
		struct str word = row_str(&r, i, 1);
		int choice = ballot_choice_find(word.p, word.n);
		if (choice > BALLOT_NONE)
			said[choice]++;
		if (choice > BALLOT_NONE && row_int(&r, i, 0) == me)
			out->mine = word;
	}
	for (unsigned i = 0; i < BALLOT_CHOICE_COUNT; i++)
		out->said[i] = (int)said[i];
	out->said[BALLOT_NONE] = out->admins - out->said[BALLOT_FOR] - out->said[BALLOT_AGAINST] - out->said[BALLOT_ABSTAIN];
	out->choice = ballot_board_choice(said, (uint32_t)out->admins, charter->board_n, charter->board_d, charter->board_strict);
	return ERR_OK;
}

enum err ballot_board_read(struct call *c, struct uuid coop, struct uuid ballot, struct ballot_board *out)
{
	struct ballot b;
	struct member me;
	struct charter charter;
	TRY(db_begin_in(c, coop, DB_READ));
	TRY(ballot_find(c, coop, ballot, &b));
	TRY(member_of_actor(c, coop, &me));
	TRY(charter_version(c, coop, b.charter, &charter));
	TRY(board_said(c, &b, &charter, me.number, out));
	return db_commit(c);
}

/* ---- For the checkup ---- */

static void add_act(struct ballot_acts *out, const struct rows *r, int i)
{
	struct ballot_act act = {
		.ballot = row_uuid(r, i, 0), .kind = row_str(r, i, 1), .title = row_str(r, i, 2), .closed_at = row_time(r, i, 3), .passed = row_bool(r, i, 4),
		.took_part = row_bool(r, i, 5), .for_principal = row_bool(r, i, 6),
	};
	act.choice = act.for_principal ? row_str(r, i, 7) : row_str(r, i, 8);
	out->ballots++;
	out->took_part += act.took_part;
	out->decided += act.for_principal;
	out->yes += act.for_principal && str_is(act.choice, "for");
	out->no += act.for_principal && str_is(act.choice, "against");
	out->abstain += act.for_principal && str_is(act.choice, "abstain");
	if (out->n_acts < LIMIT_PAGE)
		out->acts[out->n_acts++] = act;
}

enum err ballot_acts_of_delegate(struct call *c, struct uuid coop, struct uuid delegate, struct uuid principal, instant from, instant to, struct ballot_acts *out)
{
	struct rows r;
	const struct db_stmt *s = uuid_is_nil(delegate) ? &acts_of_board : &acts_of_member;
	TRY(db_run(c, s, &r, (struct db_arg[]){ A_UUID(coop), A_UUID_OR_NULL(delegate), A_UUID(principal), A_TIME(from), A_TIME(to) }, 5));
	*out = (struct ballot_acts){ .acts = ARENA_ARRAY(c->arena, LIMIT_PAGE, struct ballot_act) };
	for (int i = 0; i < r.n; i++)
		add_act(out, &r, i);
	return ERR_OK;
}
