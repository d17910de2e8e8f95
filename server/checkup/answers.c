#include "checkup_internal.h"

/* Doing what was answered. Membership first, since consent runs as long as it does; then consent with the default, in one thing said; then the rest. */

/* Faults of what a line is changed to, told at that line: "/purposes" becomes "/answers/consent/value/purposes". A refusal without a field is told at the line itself. */
static enum err blame(struct call *c, struct str line, enum err e)
{
	if (e != ERR_INVALID && e != ERR_REFUSED && e != ERR_STATE)
		return e;
	for (struct fault *f = c->error.faults; f; f = f->next)
		f->pointer = str_fmt(c->arena, "/answers/%.*s/value%.*s", STR_ARG(line), STR_ARG(f->pointer));
	if (c->error.faults)
		return e;
	struct str why = str_copy(c->arena, str_of(c->error.message));
	error_clear(&c->error);
	error_fault(&c->error, c->arena, str_fmt(c->arena, "/answers/%.*s", STR_ARG(line)), "%.*s", STR_ARG(why));
	return error_set(&c->error, ERR_INVALID, "One of the lines cannot be answered like this.");
}

static const struct checkup_reply *reply_to(const struct checkup_line *lines, const struct checkup_reply *replies, size_t n, const char *line)
{
	for (size_t i = 0; i < n; i++)
		if (str_is(lines[i].id, line))
			return &replies[i];
	return NULL;
}

/* ---- Consent and the default ---- */

static size_t purposes_of(struct arena *a, const struct json *value, struct str **out)
{
	size_t n = 0;
	const struct json *list = json_get(value, "purposes");
	*out = ARENA_ARRAY(a, POLICY_PURPOSE_COUNT, struct str);
	json_each(purpose, list)
		if (n < POLICY_PURPOSE_COUNT)
			(*out)[n++] = json_text(purpose);
	return n;
}

/* What stands once consent and default are answered is one row: the words of now, for the time until the next checkup. */
static enum err answer_consent(struct call *c, struct standing *s, const struct checkup_reply *consent, const struct checkup_reply *defaults)
{
	bool said = s->consent.state.p && consent_stands(&s->consent), accept = said && s->consent.defaults;
	struct str *purposes = s->consent.purposes;
	size_t n = said ? s->consent.n_purposes : 0;
	if (!consent && !defaults)
		return ERR_OK;
	if (consent && consent->answer == CHECKUP_END)
		return consent_take_back(c, &s->member);
	if (consent && consent->answer == CHECKUP_CHANGE)
		n = purposes_of(c->arena, consent->value, &purposes);
	else if (!said && !(defaults && defaults->answer == CHECKUP_CHANGE))
		return ERR_OK; /* silence that is confirmed stays silence */
	if (defaults)
		accept = defaults->answer == CHECKUP_CHANGE ? true : defaults->answer == CHECKUP_END ? false : accept;
	if (n == 0 && !(consent && consent->answer == CHECKUP_CHANGE))
		return blame(c, STR("default"), fail(c, ERR_REFUSED, "Accepting the default goes with consent: say above what your contributions may be used for."));
	return blame(c, STR("consent"), consent_say(c, &s->member, purposes, n, accept));
}

/* ---- Uses, licence, credit, delegations ---- */

static uint16_t duties_of(const struct json *value)
{
	uint16_t bits = 0;
	json_each(duty, json_get(value, "duties")) {
		struct str name = json_text(duty);
		int no = name.p ? policy_duty_find(name.p, name.n) : -1;
		bits |= no < 0 ? 0 : (uint16_t)POLICY_BIT(no);
	}
	return bits;
}

static enum err answer_use(struct call *c, const struct standing *s, const struct checkup_reply *r)
{
	unsigned use;
	const struct statement *before = line_statement(c->arena, s, r->line, &use);
	if (!before)
		return fail(c, ERR_STALE, "Something changed since you were shown these lines.");
	struct statement said = *before;
	said.uses = (uint16_t)POLICY_BIT(use);
	said.valid_from = said.valid_to = INSTANT_NONE;
	said.effect = r->answer == CHECKUP_END ? STR("none") : json_member_text(r->value, "effect");
	said.duties = r->answer == CHECKUP_END ? 0 : duties_of(r->value);
	return blame(c, r->line, statement_say(c, &s->member, &said, 1));
}

static enum err answer_delegation(struct call *c, const struct standing *s, const struct checkup_reply *r)
{
	for (size_t i = 0; i < s->n_delegations; i++) {
		const struct delegation *d = &s->delegations[i];
		struct uuid now;
		if (!str_eq(str_sub(r->line, sizeof "delegation." - 1, r->line.n), uuid_format(c->arena, d->first)))
			continue;
		return blame(c, r->line, r->answer == CHECKUP_END ? delegation_revoke_inside(c, s->member.coop, s->member.id, d->id)
			: delegation_confirm(c, s->member.coop, s->member.id, d->id, &now));
	}
	return fail(c, ERR_STALE, "Something changed since you were shown these lines.");
}

static enum err answer_line(struct call *c, struct standing *s, const struct checkup_reply *r)
{
	if (str_starts(r->line, "delegation."))
		return answer_delegation(c, s, r);
	if (r->answer == CHECKUP_CONFIRM)
		return ERR_OK;
	if (str_starts(r->line, "use."))
		return answer_use(c, s, r);
	if (str_is(r->line, "licence"))
		return blame(c, r->line, licence_say(c, &s->member, json_member_text(r->value, "licence")));
	if (str_is(r->line, "attribution"))
		return blame(c, r->line, attribution_say(c, &s->member, json_member_text(r->value, "attribution"), json_member_text(r->value, "public_name")));
	return ERR_OK;
}

enum err answers_apply(struct call *c, struct standing *s, enum checkup_kind kind, struct checkup_line *lines, const struct checkup_reply *replies, size_t n)
{
	const struct checkup_reply *membership = reply_to(lines, replies, n, "membership");
	for (size_t i = 0; i < n; i++)
		lines[i].given = replies[i].answer;
	if (membership && membership->answer == CHECKUP_END)
		return membership_leave(c, &s->member);
	if (kind == CHECKUP_ANNUAL)
		TRY(membership_renew(c, s->member.coop, &s->member));
	TRY(answer_consent(c, s, reply_to(lines, replies, n, "consent"), reply_to(lines, replies, n, "default")));
	for (size_t i = 0; i < n; i++)
		TRY(answer_line(c, s, &replies[i]));
	return ERR_OK;
}
