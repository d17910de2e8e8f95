/*
 * people.c - one member's row: standing, consent, and what everybody with a say has said.
 *
 * The row is decided at the cut-off and at the instant, and the stricter stands: that alone makes grants
 * after the cut-off inert and withdrawals until the instant effective.
 */
#include "policy/internal.h"

bool policy__member_sound(const struct policy_member *member)
{
	return member->standing < POLICY_STANDING_COUNT && member->consent < POLICY_CONSENT_COUNT && member->minor <= 1 &&
	       !(member->purposes & ~POLICY_PURPOSES_ALL);
}

static policy_reasons consent_reasons(const struct policy_program *program, const struct policy_member *member)
{
	switch (member->consent) {
	case POLICY_CONSENT_GIVEN:
	case POLICY_CONSENT_RENEWED:
		break;
	case POLICY_CONSENT_REFUSED:
	case POLICY_CONSENT_WITHDRAWN:
	case POLICY_CONSENT_REVOKED:
		return POLICY_REASON(CONSENT_WITHDRAWN);
	case POLICY_CONSENT_EXPIRED:
		return POLICY_REASON(CONSENT_EXPIRED);
	default:
		return POLICY_REASON(CONSENT_MISSING);
	}
	policy_reasons reasons = 0;
	if (member->consent_given > program->spec.instant)
		reasons |= POLICY_REASON(CONSENT_MISSING);
	else if (member->consent_given > program->spec.cutoff)
		reasons |= POLICY_REASON(CONSENT_MISSING) | POLICY_REASON(AFTER_CUTOFF);
	if (member->consent_expires <= program->spec.instant)
		reasons |= POLICY_REASON(CONSENT_EXPIRED);
	if (member->notice < program->spec.notice_min)
		reasons |= POLICY_REASON(CONSENT_NOTICE_SUPERSEDED);
	for (unsigned p = 0; p < program->n_purposes; p++)
		if (!(member->purposes & program->above[p]))
			reasons |= POLICY_REASON(PURPOSE_NOT_COVERED);
	return reasons;
}

policy_reasons policy__member_reasons(const struct policy_program *program, const struct policy_member *member)
{
	policy_reasons reasons = consent_reasons(program, member);
	bool belongs = member->standing == POLICY_STANDING_ACTIVE || member->standing == POLICY_STANDING_DUE ||
	               member->standing == POLICY_STANDING_GRACE;
	if (!belongs)
		reasons |= POLICY_REASON(MEMBERSHIP_LAPSED);
	if (member->minor)
		reasons |= POLICY_REASON(MINOR);
	return reasons;
}

const struct policy_statement *policy__statement(const struct policy_rows *rows, uint32_t ref)
{
	if (ref >= POLICY_REF_ADDED)
		return &rows->added[ref - POLICY_REF_ADDED];
	if (ref >= POLICY_REF_DEFAULTS)
		return &rows->program->spec.defaults[ref - POLICY_REF_DEFAULTS];
	return &rows->facts.statements[ref];
}

static const struct policy_statement *speech(const void *ctx, uint32_t ref)
{
	return policy__statement(ctx, ref);
}

/* In the grace after a missed checkup, delegations and the acceptance of defaults are suspended. */
bool policy__hears_delegate(const struct policy_rows *rows, uint32_t member)
{
	return rows->edges_matter && rows->facts.members[member].standing != POLICY_STANDING_GRACE;
}

bool policy__hears_defaults(const struct policy_rows *rows, uint32_t member, policy_instant at)
{
	const struct policy_member *m = &rows->facts.members[member];
	return m->defaults_accepted <= at && m->standing != POLICY_STANDING_GRACE;
}

static void hear(const struct policy__case *c, struct policy__hearing *h, enum policy__bucket bucket, uint32_t who)
{
	if (c->speech) {
		struct policy__refs refs = c->authors(c->imagined, bucket, who);
		policy__hear(h, refs.at, refs.n, c->speech, c->imagined);
		return;
	}
	struct policy__refs refs = policy__author(c->rows, bucket, who);
	policy__hear(h, refs.at, refs.n, speech, c->rows);
}

void policy__hear_all(const struct policy__case *c, unsigned ask, struct policy__hearing *h)
{
	const struct policy_rows *rows = c->rows;
	const struct policy_member *m = &rows->facts.members[c->member];
	hear(c, h, POLICY__OWN, c->member);
	if (c->item || c->speech)
		hear(c, h, POLICY__ON_ITEM, c->item ? c->item->item : c->position);
	if (policy__hears_delegate(rows, c->member)) {
		const struct policy_path *path = &rows->paths[c->time][ask][c->member];
		if (path->via == POLICY_VIA_DECIDED)
			hear(c, h, POLICY__DELEGATE, path->decider);
	}
	if (m->group != 0)
		hear(c, h, POLICY__GROUP, m->group);
	if (policy__hears_defaults(rows, c->member, h->at))
		hear(c, h, POLICY__DEFAULTS, 0);
}

static policy_reasons broken_chain(unsigned via)
{
	switch (via) {
	case POLICY_VIA_CYCLE:
		return POLICY_REASON(DELEGATION_CYCLE);
	case POLICY_VIA_DEPTH:
		return POLICY_REASON(DELEGATION_DEPTH);
	case POLICY_VIA_CAP:
		return POLICY_REASON(DELEGATION_CAP);
	default:
		return 0;
	}
}

static policy_reasons dropped_edge(unsigned dropped)
{
	switch (dropped) {
	case POLICY_VIA_EXPIRED:
		return POLICY_REASON(DELEGATION_EXPIRED);
	case POLICY_VIA_REVOKED:
		return POLICY_REASON(DELEGATION_REVOKED);
	case POLICY_VIA_SCOPE:
		return POLICY_REASON(DELEGATION_SCOPE);
	default:
		return 0;
	}
}

/* G4. A chain that is broken holds whoever relied on it; an edge that does not count is a reason only when
 * nobody else has spoken either. */
static policy_reasons delegation_reasons(const struct policy__case *c, const struct policy__hearing *h, unsigned use,
                                         unsigned effect)
{
	const struct policy_rows *rows = c->rows;
	if (!rows->edges_matter)
		return 0;
	const struct policy_path *path = &rows->paths[c->time][rows->ask_of[use]][c->member];
	if (!policy__hears_delegate(rows, c->member))
		return effect == POLICY__UNKNOWN && path->edge != POLICY_NO_EDGE ? POLICY_REASON(DELEGATION_EXPIRED) : 0;
	if (path->via == POLICY_VIA_DECIDED) {
		size_t who = path->decider == POLICY_BOARD ? rows->facts.n_members : path->decider;
		if (rows->faulty[who] & 2)
			return POLICY_REASON(ENGINE_ERROR);
	}
	const struct policy__said *item = &h->said[POLICY_LAYER_ITEM], *own = &h->said[POLICY_LAYER_SUBJECT];
	uint16_t spoken = item->deny | item->allow_if | item->allow | own->deny | own->allow_if | own->allow;
	policy_reasons reasons = spoken >> use & 1 ? 0 : broken_chain(path->via);
	if (effect == POLICY__UNKNOWN && path->edge == POLICY_NO_EDGE)
		reasons |= dropped_edge(path->dropped);
	return reasons;
}

policy_reasons policy__effects(const struct policy__case *c, policy_instant at, uint8_t effects[POLICY_USE_COUNT],
                               uint16_t *duties)
{
	const struct policy_program *program = c->rows->program;
	policy_reasons reasons = 0;
	memset(effects, POLICY__ALLOW, POLICY_USE_COUNT);
	for (unsigned p = 0; p < program->n_purposes; p++)
		for (unsigned ask = 0; ask < c->rows->n_asks; ask++) {
			struct policy__hearing h;
			policy__hearing_init(&h, program, at, p, c->kind);
			policy__hear_all(c, ask, &h);
			for (unsigned use = 0; use < POLICY_USE_COUNT; use++) {
				if (!(program->uses >> use & 1) || c->rows->ask_of[use] != ask)
					continue;
				uint8_t layer;
				bool tightened;
				unsigned effect = policy__settle(&h, use, duties, &layer, &tightened);
				reasons |= delegation_reasons(c, &h, use, effect);
				if (effect > effects[use])
					effects[use] = (uint8_t)effect;
			}
		}
	return reasons;
}

/* G5 and G10: what effects amount to. */
void policy__add_effects(const struct policy_program *program, const uint8_t effects[POLICY_USE_COUNT],
                         struct policy_row *row)
{
	for (unsigned use = 0; use < POLICY_USE_COUNT; use++) {
		if (!(program->uses >> use & 1))
			continue;
		const uint16_t bit = (uint16_t)POLICY_BIT(use);
		switch (effects[use]) {
		case POLICY__ALLOW:
			row->allow |= bit;
			break;
		case POLICY__ALLOW_IF:
			row->allow_if |= bit;
			row->reasons |= program->spec.uses_conditional & bit ? POLICY_REASON(PREF_CONDITIONAL)
			                                                     : POLICY_REASON(PREF_CONDITION_UNMET);
			break;
		case POLICY__DENY:
			row->deny |= bit;
			row->reasons |= POLICY_REASON(PREF_DENY);
			break;
		default:
			row->unknown |= bit;
			row->reasons |= POLICY_REASON(PREF_UNKNOWN);
		}
	}
	if (row->duties & ~program->spec.audience_duties)
		row->reasons |= POLICY_REASON(AUDIENCE_DUTY);
}

static policy_reasons item_reasons(const struct policy_program *program, const struct policy__sparse *item)
{
	policy_reasons reasons = 0;
	if (item->embargo_until > program->spec.instant)
		reasons |= POLICY_REASON(EMBARGO_UNTIL);
	if (item->retain_until <= program->spec.instant)
		reasons |= POLICY_REASON(RETENTION_PASSED);
	return reasons;
}

struct policy_row policy__member_row(const struct policy_rows *rows, uint32_t member, unsigned kind,
                                     const struct policy__sparse *item)
{
	const struct policy_program *program = rows->program;
	struct policy_row row = {0};
	if (member >= rows->facts.n_members || rows->all_faulty || rows->faulty[member] & 1 || kind >= POLICY_KIND_COUNT ||
	    (item && item->faulty)) {
		row.reasons = POLICY_REASON(ENGINE_ERROR);
		row.unknown = program->uses;
		return row;
	}
	row.reasons = policy__member_reasons(program, &rows->facts.members[member]);
	if (item)
		row.reasons |= item_reasons(program, item);
	uint8_t effects[2][POLICY_USE_COUNT];
	uint16_t duties = 0;
	for (uint8_t time = 0; time < program->n_times; time++) {
		const struct policy__case c = {.rows = rows, .member = member, .kind = (uint8_t)kind, .time = time, .item = item};
		row.reasons |= policy__effects(&c, program->times[time], effects[time], &duties);
	}
	for (unsigned use = 0; program->n_times == 2 && use < POLICY_USE_COUNT; use++) {
		if (effects[1][use] < effects[0][use])
			row.reasons |= POLICY_REASON(AFTER_CUTOFF);
		else
			effects[0][use] = effects[1][use];
	}
	row.duties = duties;
	policy__add_effects(program, effects[0], &row);
	return row;
}
