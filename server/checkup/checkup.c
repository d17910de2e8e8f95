#include "checkup_internal.h"

/* Reading and answering a checkup. */

const char *checkup_answer_name(enum checkup_answer a)
{
	return a == CHECKUP_CONFIRM ? "confirm" : a == CHECKUP_CHANGE ? "change" : a == CHECKUP_END ? "end" : "";
}

bool checkup_answer_parse(struct str text, enum checkup_answer *out)
{
	static const enum checkup_answer all[] = { CHECKUP_CONFIRM, CHECKUP_CHANGE, CHECKUP_END };
	for (size_t i = 0; i < CH_LEN(all); i++)
		if (str_is(text, checkup_answer_name(all[i]))) {
			*out = all[i];
			return true;
		}
	return false;
}

const char *checkup_kind_name(enum checkup_kind k)
{
	static const char *const names[] = { [CHECKUP_NONE] = "none", [CHECKUP_ANNUAL] = "annual", [CHECKUP_OFF_CYCLE] = "off_cycle" };
	return names[k];
}

/* ---- Reading ---- */

/* Since the last checkup, or since joining, but never more than the charter's interval and its grace: that is what "this year" means. */
static instant year_begins(const struct standing *s)
{
	instant since = s->member.checked_at != INSTANT_NONE ? s->member.checked_at : s->member.joined_at;
	instant longest = duration_add(duration_add(clock_now(), s->charter.checkup_every, -1), s->charter.grace, -1);
	return since == INSTANT_NONE || since < longest ? longest : since;
}

static enum err checkup_make(struct call *c, const struct member *m, bool with_year, struct checkup *out)
{
	struct standing s;
	TRY(standing_read(c, m, &s));
	*out = (struct checkup){
		.member = *m, .coop_name = s.charter.name, .kind = standing_kind(&s), .charter = s.charter.version, .cycle = m->cycle,
		.opens_at = membership_window_opens(m, &s.charter), .due_at = m->due_at, .lapses_at = membership_lapses(m, &s.charter),
	};
	if (m->state == POLICY_STANDING_APPLIED)
		return ERR_OK;
	TRY(receipt_newest(c, m, &out->last_receipt));
	instant from = year_begins(&s);
	TRY(lines_make(c, &s, out->kind, with_year, from, &out->lines, &out->n_lines));
	out->fingerprint = lines_fingerprint(c->arena, &s, out->kind, out->lines, out->n_lines);
	if (out->kind != CHECKUP_NONE)
		out->shown = shown_token(c->arena, m, out->fingerprint);
	return with_year ? year_read(c, m, from, &out->year) : ERR_OK;
}

enum err checkup_read(struct call *c, struct uuid coop, struct checkup *out)
{
	struct member me;
	struct coop about;
	TRY(db_begin_in(c, coop, DB_READ));
	TRY(member_of_actor(c, coop, &me));
	if (me.state == POLICY_STANDING_LEFT || me.state == POLICY_STANDING_REMOVED)
		return fail(c, ERR_NOT_FOUND, "You are not a member of this co-op.");
	TRY(checkup_make(c, &me, true, out));
	TRY(coop_get(c, coop, &about));
	out->coop_slug = about.slug;
	return db_commit(c);
}

enum err checkup_list(struct call *c, struct checkup **out, size_t *n)
{
	struct member *mine;
	size_t n_mine;
	TRY(member_mine(c, &mine, &n_mine));
	*n = 0;
	*out = ARENA_ARRAY(c->arena, n_mine + 1, struct checkup);
	for (size_t i = 0; i < n_mine; i++) {
		if (mine[i].state == POLICY_STANDING_LEFT || mine[i].state == POLICY_STANDING_REMOVED)
			continue;
		struct coop about;
		struct checkup *one = &(*out)[(*n)++];
		TRY(db_begin_in(c, mine[i].coop, DB_READ));
		TRY(checkup_make(c, &mine[i], true, one));
		TRY(coop_get(c, mine[i].coop, &about));
		one->coop_slug = about.slug;
		TRY(db_commit(c));
	}
	return ERR_OK;
}

/* ---- Answering ---- */

static const struct checkup_reply *find_reply(const struct checkup_reply *replies, size_t n, struct str line)
{
	for (size_t i = 0; i < n; i++)
		if (str_eq(replies[i].line, line))
			return &replies[i];
	return NULL;
}

static bool knows_line(const struct checkup_line *lines, size_t n, struct str id)
{
	for (size_t i = 0; i < n; i++)
		if (str_eq(lines[i].id, id))
			return true;
	return false;
}

static void line_fault(struct call *c, struct str line, const char *text)
{
	error_fault(&c->error, c->arena, str_fmt(c->arena, "/answers/%.*s", STR_ARG(line)), "%s", text);
}

static void check_reply(struct call *c, const struct checkup_line *line, const struct checkup_reply *r)
{
	if (!r || r->answer == CHECKUP_UNSAID)
		line_fault(c, line->id, "Confirm, change or end this.");
	else if (!(line->answers & (unsigned)r->answer))
		line_fault(c, line->id, "This cannot be answered like that.");
	else if (r->answer == CHECKUP_CHANGE && !str_is(line->id, "default") && !r->value)
		line_fault(c, line->id, "Say what it is to be changed to.");
}

/* Puts the replies into the order of the lines; a fault for every line that is left, and for answers to lines that there are not. Who leaves need not answer the rest. */
static enum err match_replies(struct call *c, const struct checkup_line *lines, size_t n_lines, const struct checkup_reply *replies, size_t n, struct checkup_reply **out)
{
	const struct checkup_reply *membership = find_reply(replies, n, STR("membership"));
	bool leaves = membership && membership->answer == CHECKUP_END;
	*out = ARENA_ARRAY(c->arena, n_lines + 1, struct checkup_reply);
	for (size_t i = 0; i < n_lines; i++) {
		const struct checkup_reply *r = find_reply(replies, n, lines[i].id);
		if (!leaves || str_is(lines[i].id, "membership"))
			check_reply(c, &lines[i], r);
		(*out)[i] = r ? *r : (struct checkup_reply){ .line = lines[i].id };
		(*out)[i].line = lines[i].id;
	}
	for (size_t i = 0; i < n; i++)
		if (!knows_line(lines, n_lines, replies[i].line))
			line_fault(c, replies[i].line, "There is no such line.");
	return c->error.faults ? error_set(&c->error, ERR_INVALID, "Some lines are left. Each needs an answer: confirm, change or end.") : ERR_OK;
}

/* The lines under the lock, as they stand, and the token held against them. */
static enum err answer_begin(struct call *c, struct uuid coop, struct str shown, struct standing *s, enum checkup_kind *kind, struct checkup_line **lines, size_t *n)
{
	struct member me;
	TRY(db_begin_in(c, coop, DB_WRITE));
	TRY(membership_lock(c, coop));
	TRY(member_of_actor(c, coop, &me));
	TRY(standing_read(c, &me, s));
	*kind = standing_kind(s);
	if (*kind == CHECKUP_NONE)
		return me.due_at != INSTANT_NONE && in_good_standing(me.state)
			? fail(c, ERR_STATE, "There is nothing to answer. Your next checkup opens on %.10s.", clock_format(c->arena, membership_window_opens(&me, &s->charter)).p)
			: fail(c, ERR_STATE, "There is no checkup for you in this co-op.");
	TRY(lines_make(c, s, *kind, false, INSTANT_NONE, lines, n));
	return shown_check(c, &me, shown, lines_fingerprint(c->arena, s, *kind, *lines, *n));
}

static enum err answer_end(struct call *c, struct standing *s, enum checkup_kind kind, struct checkup_line *lines, const struct checkup_reply *replies, size_t n, struct checkup_receipt *out)
{
	struct standing after;
	int cycle = s->member.cycle;
	TRY(answers_apply(c, s, kind, lines, replies, n));
	TRY(standing_read(c, &s->member, &after));
	TRY(receipt_issue(c, &after, kind, cycle, lines, n, out));
	return db_commit(c);
}

enum err checkup_answer(struct call *c, struct uuid coop, struct str shown, const struct checkup_reply *replies, size_t n, struct checkup_receipt *out)
{
	struct standing s;
	struct checkup_line *lines;
	struct checkup_reply *matched;
	enum checkup_kind kind;
	size_t n_lines;
	TRY(answer_begin(c, coop, shown, &s, &kind, &lines, &n_lines));
	TRY(match_replies(c, lines, n_lines, replies, n, &matched));
	return answer_end(c, &s, kind, lines, matched, n_lines, out);
}

enum err checkup_as_before(struct call *c, struct uuid coop, struct str shown, struct checkup_receipt *out)
{
	struct standing s;
	struct checkup_line *lines;
	enum checkup_kind kind;
	size_t n;
	TRY(answer_begin(c, coop, shown, &s, &kind, &lines, &n));
	struct checkup_reply *all = ARENA_ARRAY(c->arena, n + 1, struct checkup_reply);
	for (size_t i = 0; i < n; i++)
		all[i] = (struct checkup_reply){ .line = lines[i].id, .answer = CHECKUP_CONFIRM };
	return answer_end(c, &s, kind, lines, all, n, out);
}
