#include "server/coop/delegation_internal.h"

#include "commonhold/words.h"

/* What the two people of a delegation do: make, accept, decline, revoke. Each act one transaction, under the lock of the memberships. */

#define LIVE_MAX 100 /* delegations of one member at a time: every matter there is, and room for single ballots */

SQL(ballot_matter, "SELECT kind, state IN ('notice', 'open') FROM ballot WHERE coop_id = $1 AND id = $2");
SQL(release_matter, "SELECT '', state IN ('scheduled', 'frozen', 'notice', 'open', 'cooling_off', 'building') FROM release WHERE coop_id = $1 AND id = $2");
SQL(live_count, "SELECT count(*) FROM delegation_now WHERE coop_id = $1 AND principal_no = $2 AND state IN ('asked', 'standing', 'suspended')");
SQL(live_same,
	"SELECT delegation_id FROM delegation_now WHERE coop_id = $1 AND principal_no = $2 AND question = $3 AND scope = $4 AND topics = $5 AND target = $6 "
	"AND state IN ('asked', 'standing', 'suspended')");
SQL(represented_count,
	"SELECT count(DISTINCT principal_no) FROM delegation_now WHERE coop_id = $1 AND delegate_no = $2 AND question = $3 AND state = 'standing' AND ends > commonhold_now() "
	"AND principal_no <> $4");

/* ---- Checking ---- */

static enum err refuse(struct call *c, const char *pointer, const char *reason, const char *text)
{
	error_fault(&c->error, c->arena, str_of(pointer), "%s", text);
	return fail_reason(c, ERR_REFUSED, reason, "%s", text);
}

static bool scope_allowed(const struct charter *charter, enum policy_scope scope)
{
	return scope == POLICY_SCOPE_COOP ? charter->delegate_coop : scope == POLICY_SCOPE_TOPIC ? charter->delegate_topic : charter->delegate_target;
}

static enum err check_target(struct call *c, const struct delegation_draft *in)
{
	struct rows r;
	bool vote = in->question == POLICY_QUESTION_VOTE;
	if (in->scope != POLICY_SCOPE_TARGET)
		return uuid_is_nil(in->target) ? ERR_OK : refuse(c, "/target", "delegation_target", "A single ballot or release is named for the scope “target” only.");
	if (vote)
		TRY(db_query(c, ballot_matter, &r, A_UUID(c->coop), A_UUID(in->target)));
	else
		TRY(db_query(c, release_matter, &r, A_UUID(c->coop), A_UUID(in->target)));
	if (r.n != 1)
		return refuse(c, "/target", "delegation_target", vote ? "This co-op has no such ballot." : "This co-op has no such release.");
	if (!row_bool(&r, 0, 1))
		return refuse(c, "/target", "delegation_target", vote ? "This ballot is over." : "This release is out, or will not be.");
	return ERR_OK;
}

static enum err check_topics(struct call *c, const struct delegation_draft *in)
{
	uint32_t known = (UINT32_C(1) << delegation_topic_count(in->question)) - 1;
	if (in->scope != POLICY_SCOPE_TOPIC)
		return in->topics == 0 ? ERR_OK : refuse(c, "/topics", "delegation_topic", "Topics are named for the scope “topic” only.");
	if (in->topics == 0 || in->topics & ~known)
		return refuse(c, "/topics", "delegation_topic",
			in->question == POLICY_QUESTION_VOTE ? "Name at least one kind of ballot that there is." : "Name at least one use that there is.");
	return ERR_OK;
}

static enum err check_delegate(struct call *c, const struct member *me, const struct delegation_draft *in, struct member *delegate)
{
	*delegate = (struct member){ 0 };
	if (in->delegate_kind != DELEGATE_MEMBER)
		return ERR_OK;
	if (uuid_eq(in->delegate, me->id))
		return refuse(c, "/delegate", "delegation_self", "You decide for yourself already: a delegation is to somebody else.");
	enum err found = member_of_id(c, c->coop, in->delegate, delegate);
	if (found == ERR_NOT_FOUND) {
		error_clear(&c->error);
		return refuse(c, "/delegate", "delegation_stranger", "There is no such member in this co-op. One delegates to members only.");
	}
	TRY(found);
	if (delegate->state == POLICY_STANDING_LEFT || delegate->state == POLICY_STANDING_REMOVED)
		return refuse(c, "/delegate", "delegation_left", "This person has left the co-op, and cannot decide for anybody here.");
	if (!in_good_standing(delegate->state))
		return refuse(c, "/delegate", "delegation_left", "This person is not a current member, and cannot decide for anybody here.");
	return ERR_OK;
}

static enum err check_draft(struct call *c, const struct charter *charter, const struct member *me, const struct delegation_draft *in)
{
	struct rows r;
	if (me->state == POLICY_STANDING_GRACE)
		return fail_reason(c, ERR_STATE, "delegation_checkup", "Your annual checkup is overdue: delegations rest until you have done it.");
	if (!in_good_standing(me->state))
		return fail_reason(c, ERR_STATE, "delegation_standing", "Only a current member can delegate.");
	if (!scope_allowed(charter, in->scope))
		return refuse(c, "/scope", "delegation_scope", in->scope == POLICY_SCOPE_COOP ? "The charter does not allow to delegate everything at once."
			: in->scope == POLICY_SCOPE_TOPIC ? "The charter does not allow to delegate by topic." : "The charter does not allow to delegate single ballots or releases.");
	TRY(check_topics(c, in));
	TRY(check_target(c, in));
	if (in->chosen_end != INSTANT_NONE && in->chosen_end <= clock_now())
		return refuse(c, "/ends", "delegation_end", "This end has passed already.");
	TRY(db_one(c, live_count, &r, A_UUID(c->coop), A_INT(me->number)));
	if (row_int(&r, 0, 0) >= LIVE_MAX)
		return refuse(c, "/delegate", "delegation_too_many", "You have as many delegations as one person may have. Revoke some first.");
	return ERR_OK;
}

static enum err represented_by(struct call *c, const struct delegation *d, int64_t *n)
{
	struct rows r;
	TRY(db_one(c, represented_count, &r, A_UUID(c->coop), A_INT((int32_t)d->delegate_no), A_INT((int)d->question), A_INT(d->principal_no)));
	*n = row_int(&r, 0, 0);
	return ERR_OK;
}

enum err edge_check_cap(struct call *c, const struct charter *charter, const struct delegation *d)
{
	int64_t n;
	if (charter->delegation_cap == 0 || d->delegate_kind != DELEGATE_MEMBER)
		return ERR_OK;
	TRY(represented_by(c, d, &n));
	if (n < charter->delegation_cap)
		return ERR_OK;
	return fail_reason(c, ERR_REFUSED, "delegation_cap", "By the charter one delegate may decide for at most %u member%s, and this one does already.", charter->delegation_cap,
		charter->delegation_cap == 1 ? "" : "s");
}

/* ---- Warnings ---- */

/* Follows the delegate's own way in one topic: back to the principal it is a circle, further than the charter goes it is too long. */
static enum err warn_topic(struct call *c, const struct charter *charter, const struct delegation *d, unsigned topic, struct delegation_warning *warning)
{
	struct delegation_path path;
	TRY(delegation_resolve_one(c, c->coop, d->delegate, d->question, topic, d->target, &path));
	for (size_t i = 0; i < path.n_steps; i++)
		warning->cycle |= uuid_eq(path.steps[i].member, d->principal);
	warning->deep |= path.n_steps + 1 > (size_t)charter->delegation_depth && path.via != POLICY_VIA_OWN;
	return ERR_OK;
}

const char *delegation_warning_text(enum delegation_warn w)
{
	switch (w) {
	case DELEGATION_WARN_CYCLE:
		return "This closes a circle: your delegate's own delegation leads back to you. As long as nobody in the circle decides, nobody in it is decided for.";
	case DELEGATION_WARN_DEEP:
		return "Your delegate has delegated further than the charter lets chains go. Unless your delegate decides personally, nobody decides for you.";
	default:
		return "Your delegate decides for as many members as the charter allows already, and cannot accept unless somebody else ends theirs.";
	}
}

static enum err warn(struct call *c, const struct charter *charter, const struct delegation *d, struct delegation_warning *warning)
{
	int64_t n;
	*warning = (struct delegation_warning){ 0 };
	if (d->delegate_kind != DELEGATE_MEMBER)
		return ERR_OK;
	for (unsigned topic = 0; topic < delegation_topic_count(d->question); topic++)
		if (d->scope != POLICY_SCOPE_TOPIC || d->topics >> topic & 1)
			TRY(warn_topic(c, charter, d, topic, warning));
	TRY(represented_by(c, d, &n));
	warning->full = charter->delegation_cap && n >= charter->delegation_cap && d->state == DELEGATION_ASKED;
	return ERR_OK;
}

/* ---- Making ---- */

/* The one about the same matter, if there is one: the new one takes its place at once. */
static enum err replace(struct call *c, const struct member *me, struct delegation *d, bool *accepted)
{
	struct rows r;
	struct edge_row before;
	int64_t target = d->scope == POLICY_SCOPE_TARGET ? (int64_t)delegation_target(d->target) : 0;
	*accepted = false;
	TRY(db_query(c, live_same, &r, A_UUID(c->coop), A_INT(me->number), A_INT((int)d->question), A_INT((int)d->scope), A_INT((int32_t)d->topics), A_I64(target)));
	if (r.n == 0)
		return ERR_OK;
	TRY(edge_read(c, c->coop, row_uuid(&r, 0, 0), &before));
	bool same = before.d.delegate_kind == d->delegate_kind && uuid_eq(before.d.delegate, d->delegate);
	*accepted = same && before.d.counts;
	d->first = before.d.first;
	bool stood = before.d.state == DELEGATION_STANDING;
	TRY(edge_close(c, &before.d, DELEGATION_REVOKED, "revoked", me->id, STR("replaced")));
	if (same)
		return ERR_OK;
	if (stood)
		TRY(edge_tell_upstream(c, d->question, (int64_t[]){ me->number }, 1, "replaced"));
	return edge_tell(c, "delegation.revoked", &before, before.delegate_account, "You do not decide for a member any more",
		str_fmt(c->arena, "%.*s has put somebody else in your place for %.*s.", STR_ARG(before.d.principal_name), STR_ARG(delegation_scope_words(c->arena, &before.d))), STR("replaced"));
}

static enum err ask_delegate(struct call *c, const struct edge_row *e)
{
	return edge_tell(c, "delegation.asked", e, e->delegate_account, "A member asks you to decide for them",
		str_fmt(c->arena, "%.*s asks you to decide for them about %.*s. It counts only once you accept.", STR_ARG(e->d.principal_name),
			STR_ARG(delegation_scope_words(c->arena, &e->d))), STR_NONE);
}

enum err delegation_make(struct call *c, struct uuid coop, const struct delegation_draft *in, struct delegation *out, struct delegation_warning *warning)
{
	struct member me, delegate;
	struct charter charter;
	struct edge_row e;
	struct str leaf;
	bool accepted;
	TRY(db_begin_in(c, coop, DB_WRITE));
	TRY(membership_lock(c, coop));
	TRY(require_member(c, coop, &me));
	TRY(charter_current(c, coop, &charter));
	TRY(check_draft(c, &charter, &me, in));
	TRY(check_delegate(c, &me, in, &delegate));
	uint32_t topics = in->question == POLICY_QUESTION_CONSENT && in->scope == POLICY_SCOPE_TOPIC ? policy_uses_expand((uint16_t)in->topics) : in->topics;
	struct delegation d = {
		.principal = me.id, .principal_no = me.number, .question = in->question, .scope = in->scope, .topics = topics, .target = in->target,
		.delegate_kind = in->delegate_kind, .delegate = delegate.id, .chosen_end = in->chosen_end,
		.delegate_no = in->delegate_kind == DELEGATE_MEMBER ? (uint32_t)delegate.number : in->delegate_kind == DELEGATE_BOARD ? POLICY_BOARD : POLICY_NOBODY,
	};
	instant ends = edge_end(in->chosen_end, me.due_at);
	if (ends <= clock_now())
		return fail_reason(c, ERR_STATE, "delegation_checkup", "Your annual checkup is overdue: delegations rest until you have done it.");
	TRY(replace(c, &me, &d, &accepted));
	TRY(edge_insert(c, &d, &leaf));
	if (accepted || d.delegate_kind != DELEGATE_MEMBER)
		TRY(edge_open(c, &d, "accepted", accepted ? d.delegate : me.id, ends));
	TRY(warn(c, &charter, &d, warning));
	TRY(edge_read(c, coop, d.id, &e));
	if (e.d.state == DELEGATION_ASKED)
		TRY(ask_delegate(c, &e));
	TRY(log_act(c, coop, "delegation.made", leaf, me.id));
	*out = e.d;
	return db_commit(c);
}

/* ---- Answering ---- */

/* What every act on a delegation begins with: the lock, who acts, and the version as it is now. */
static enum err begin_act(struct call *c, struct uuid coop, struct uuid id, struct member *me, struct edge_row *e)
{
	TRY(db_begin_in(c, coop, DB_WRITE));
	TRY(membership_lock(c, coop));
	TRY(require_member(c, coop, me));
	return edge_read(c, coop, id, e);
}

static enum err must_be_delegate(struct call *c, const struct member *me, const struct edge_row *e)
{
	return uuid_eq(e->d.delegate, me->id) ? ERR_OK : fail(c, ERR_NOT_FOUND, "There is no such delegation.");
}

enum err delegation_accept(struct call *c, struct uuid coop, struct uuid id, struct delegation *out)
{
	struct member me;
	struct charter charter;
	struct edge_row e;
	TRY(begin_act(c, coop, id, &me, &e));
	TRY(must_be_delegate(c, &me, &e));
	if (e.d.state == DELEGATION_STANDING) {
		*out = e.d;
		return db_commit(c);
	}
	if (e.d.state != DELEGATION_ASKED)
		return fail_reason(c, ERR_STATE, "delegation_over", "This request is over: it was taken back, answered or has ended.");
	if (!in_good_standing(me.state))
		return fail_reason(c, ERR_STATE, "delegation_standing", "Only a current member can decide for others.");
	TRY(charter_current(c, coop, &charter));
	instant ends = edge_end(e.d.chosen_end, e.principal_due);
	if (ends <= clock_now() || !in_good_standing(e.principal_state))
		return fail_reason(c, ERR_STATE, "delegation_end", "This request has run out, or the member's annual checkup is overdue.");
	TRY(edge_check_cap(c, &charter, &e.d));
	TRY(edge_open(c, &e.d, "accepted", me.id, ends));
	TRY(edge_tell(c, "delegation.accepted", &e, e.principal_account, "Your delegation was accepted",
		str_fmt(c->arena, "%.*s now decides for you about %.*s. Whatever you decide yourself counts before that, and you can revoke it at any time.", STR_ARG(e.d.delegate_name),
			STR_ARG(delegation_scope_words(c->arena, &e.d))), STR_NONE));
	TRY(edge_leaf(c, "delegation.accepted", &e.d, me.id));
	*out = e.d;
	return db_commit(c);
}

enum err delegation_decline(struct call *c, struct uuid coop, struct uuid id, struct str reason, struct delegation *out)
{
	struct member me;
	struct edge_row e;
	if (reason.n > LIMIT_TEXT_NOTE || !str_is_utf8(reason))
		return fail_field(c, "/reason", "A reason has at most %d characters.", LIMIT_TEXT_NOTE);
	TRY(begin_act(c, coop, id, &me, &e));
	TRY(must_be_delegate(c, &me, &e));
	struct str scope = delegation_scope_words(c->arena, &e.d);
	if (e.d.state == DELEGATION_ASKED) {
		TRY(edge_close(c, &e.d, DELEGATION_DECLINED, "declined", me.id, reason.n ? reason : STR("declined")));
		TRY(edge_tell(c, "delegation.declined", &e, e.principal_account, "Your delegation was declined",
			str_fmt(c->arena, "%.*s does not want to decide for you about %.*s. Nobody does now, unless another delegation of yours covers it.", STR_ARG(e.d.delegate_name), STR_ARG(scope)), reason));
	} else if (e.d.state == DELEGATION_STANDING || e.d.state == DELEGATION_SUSPENDED) {
		TRY(edge_close(c, &e.d, DELEGATION_ENDED, "ended", me.id, STR("resigned")));
		TRY(edge_tell(c, "delegation.ended", &e, e.principal_account, "Your delegate has resigned",
			str_fmt(c->arena, "%.*s does not decide for you about %.*s any more.", STR_ARG(e.d.delegate_name), STR_ARG(scope)), reason.n ? reason : STR("resigned")));
		TRY(edge_tell_upstream(c, e.d.question, (int64_t[]){ e.d.principal_no }, 1, "resigned"));
	} else {
		return fail_reason(c, ERR_STATE, "delegation_over", "This delegation is over already.");
	}
	TRY(edge_leaf(c, "delegation.declined", &e.d, me.id));
	*out = e.d;
	return db_commit(c);
}

/* ---- Revoking ---- */

static enum err revoke(struct call *c, struct uuid member, struct edge_row *e)
{
	bool stood = e->d.state == DELEGATION_STANDING;
	if (!uuid_eq(e->d.principal, member))
		return fail(c, ERR_NOT_FOUND, "There is no such delegation.");
	if (!stood && e->d.state != DELEGATION_ASKED && e->d.state != DELEGATION_SUSPENDED)
		return fail_reason(c, ERR_STATE, "delegation_over", "This delegation is over already.");
	TRY(edge_close(c, &e->d, DELEGATION_REVOKED, "revoked", member, STR("revoked")));
	TRY(edge_tell(c, "delegation.revoked", e, e->delegate_account, "You do not decide for a member any more",
		str_fmt(c->arena, "%.*s has taken back that you decide for them about %.*s.", STR_ARG(e->d.principal_name), STR_ARG(delegation_scope_words(c->arena, &e->d))), STR("revoked")));
	if (stood)
		TRY(edge_tell_upstream(c, e->d.question, (int64_t[]){ e->d.principal_no }, 1, "revoked"));
	return edge_leaf(c, "delegation.revoked", &e->d, member);
}

enum err delegation_revoke(struct call *c, struct uuid coop, struct uuid id, struct delegation *out)
{
	struct member me;
	struct edge_row e;
	TRY(begin_act(c, coop, id, &me, &e));
	TRY(revoke(c, me.id, &e));
	*out = e.d;
	return db_commit(c);
}

enum err delegation_revoke_inside(struct call *c, struct uuid coop, struct uuid member, struct uuid id)
{
	struct edge_row e;
	TRY(edge_read(c, coop, id, &e));
	return revoke(c, member, &e);
}

/* ---- Reading ---- */

static void take_delegations(struct call *c, const struct edge_row *rows, size_t n, struct delegation **out)
{
	*out = ARENA_ARRAY(c->arena, n + 1, struct delegation);
	for (size_t i = 0; i < n; i++)
		(*out)[i] = rows[i].d;
}

static enum err list(struct call *c, struct uuid coop, enum edges_which which, bool all, struct delegation **out, size_t *n)
{
	struct member me;
	struct edge_row *rows;
	TRY(db_begin_in(c, coop, DB_READ));
	TRY(require_member(c, coop, &me));
	TRY(edges_of(c, coop, which, me.number, all, &rows, n));
	take_delegations(c, rows, *n, out);
	return db_commit(c);
}

enum err delegation_list_mine(struct call *c, struct uuid coop, bool all, struct delegation **out, size_t *n)
{
	return list(c, coop, EDGES_MINE, all, out, n);
}

enum err delegation_list_represented(struct call *c, struct uuid coop, bool all, struct delegation **out, size_t *n)
{
	return list(c, coop, EDGES_REPRESENTED, all, out, n);
}

enum err delegation_list_asked(struct call *c, struct uuid coop, struct delegation **out, size_t *n)
{
	return list(c, coop, EDGES_ASKED, false, out, n);
}

enum err delegation_of_member(struct call *c, struct uuid coop, struct uuid member, struct delegation **out, size_t *n)
{
	struct member m;
	struct edge_row *rows;
	TRY(member_of_id(c, coop, member, &m));
	TRY(edges_of(c, coop, EDGES_MINE, m.number, false, &rows, n));
	take_delegations(c, rows, *n, out);
	return ERR_OK;
}

enum err delegation_read(struct call *c, struct uuid coop, struct uuid id, struct delegation *out)
{
	struct member me;
	struct edge_row e;
	TRY(db_begin_in(c, coop, DB_READ));
	TRY(require_member(c, coop, &me));
	TRY(edge_read(c, coop, id, &e));
	if (!uuid_eq(e.d.principal, me.id) && !uuid_eq(e.d.delegate, me.id))
		return fail(c, ERR_NOT_FOUND, "There is no such delegation.");
	*out = e.d;
	return db_commit(c);
}
