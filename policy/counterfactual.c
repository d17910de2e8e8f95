/*
 * counterfactual.c - the smallest sets of acts that would bring an item into the next release.
 *
 * Facts that stand in the way each need their own act. What people have said is searched: every subset of
 * the acts open to them, smallest first, is played through the kernel itself, so an act that is listed
 * works. Subsets of those found are minimal because their parts were tried before.
 */
#include "policy/internal.h"

enum {
	ACTS_MAX = 12,     /* acts considered; more would be no explanation */
	TOGETHER_MAX = 3,  /* acts in one set */
	SETS_MAX = 16,     /* sets listed */
	INSTANTS_MAX = 64, /* instants tried for retry_at */
	EXTRA = 0xfffffff0u, /* number of the statement that an ALLOW would add */
};

/* The acts open to people, and what is being imagined. */
struct scene {
	struct policy__view *view;                       /* the decision */
	struct policy_step acts[ACTS_MAX];               /* what could be done */
	size_t n_acts;                                   /* how many */
	unsigned done;                                   /* acts imagined done, as bits */
	struct policy_statement extra;                   /* the statement that ALLOW makes */
	struct policy_statement taken_back[ACTS_MAX];    /* statements with effect NONE, by act */
	uint32_t *on_item;                               /* statements about the item and the extra one */
	size_t n_on_item;                                /* how many, the extra one included */
};

static const struct policy_statement *imagined(const void *ctx, uint32_t ref)
{
	const struct scene *scene = ctx;
	if (ref == EXTRA)
		return &scene->extra;
	for (size_t i = 0; i < scene->n_acts; i++)
		if (scene->done >> i & 1 && scene->acts[i].act == POLICY_ACT_LIFT && scene->acts[i].statement == ref)
			return &scene->taken_back[i];
	return policy__statement(scene->view->rows, ref);
}

static bool less_imagined(const void *ctx, uint32_t a, uint32_t b)
{
	return policy__speech_before(imagined(ctx, a), imagined(ctx, b));
}

/* Reasons that an act removes besides what people say. */
static policy_reasons cleared(const struct scene *scene)
{
	policy_reasons reasons = 0;
	for (size_t i = 0; i < scene->n_acts; i++)
		if (scene->done >> i & 1 && scene->acts[i].act == POLICY_ACT_CLEAR)
			reasons |= UINT64_C(1) << scene->acts[i].reason;
	return reasons;
}

static bool done_allow(const struct scene *scene)
{
	for (size_t i = 0; i < scene->n_acts; i++)
		if (scene->done >> i & 1 && scene->acts[i].act == POLICY_ACT_ALLOW)
			return true;
	return false;
}

/* Gates 4, 5 and 10 for the next release, decided at one instant, with the imagined acts done. */
static policy_reasons play(struct scene *scene, policy_instant at)
{
	struct policy__view *view = scene->view;
	struct policy__case c = {.rows = view->rows, .member = view->trace->member, .kind = view->trace->word & 7,
	                         .time = (uint8_t)(view->program->n_times - 1), .item = view->item, .speech = imagined,
	                         .speech_ctx = scene};
	if (done_allow(scene))
		c.on_item = (struct policy__refs){scene->on_item, scene->n_on_item};
	uint8_t effects[POLICY_USE_COUNT];
	struct policy_row row = {0};
	row.reasons = policy__effects(&c, at, effects, &row.duties);
	policy__add_effects(view->program, effects, &row);
	return row.reasons & ~cleared(scene);
}

static bool passes(policy_reasons reasons)
{
	return policy__outcome(reasons) <= POLICY_CONDITIONAL;
}

/* ---- Acts open to people ------------------------------------------------------------------------------------- */

static void add_act(struct scene *scene, struct policy_step step)
{
	if (scene->n_acts < ACTS_MAX)
		scene->acts[scene->n_acts++] = step;
}

static uint8_t who_lifts(const struct policy_statement *s)
{
	if (s->layer <= POLICY_LAYER_SUBJECT)
		return POLICY_FIXER_MEMBER;
	return s->layer == POLICY_LAYER_DELEGATE ? POLICY_FIXER_DELEGATE : POLICY_FIXER_COOP;
}

/* Denials and conditions in force that someone may take back: never the law's, never one from outside. */
static void add_lifts(struct scene *scene)
{
	const struct policy__view *view = scene->view;
	for (size_t i = 0; i < view->n_refs; i++) {
		const struct policy_statement *s = policy__statement(view->rows, view->refs[i]);
		bool strict = s->effect == POLICY_EFFECT_DENY || s->effect == POLICY_EFFECT_ALLOW_IF;
		if (!strict || s->layer == POLICY_LAYER_LAW || s->flags & POLICY_STATEMENT_EXTERNAL ||
		    !policy__in_force(s, view->program->spec.instant) || !(policy__spoken(s) & view->program->uses))
			continue;
		struct policy_step step = {.act = POLICY_ACT_LIFT, .fixer = who_lifts(s), .statement = view->refs[i],
		                           .reason = s->effect == POLICY_EFFECT_DENY ? POLICY_REASON_NO_PREF_DENY
		                                                                     : POLICY_REASON_NO_PREF_CONDITION_UNMET,
		                           .uses = policy__spoken(s) & view->program->uses, .until = POLICY_NEVER};
		if (scene->n_acts < ACTS_MAX) {
			scene->taken_back[scene->n_acts] = *s;
			scene->taken_back[scene->n_acts].effect = POLICY_EFFECT_NONE;
		}
		add_act(scene, step);
	}
}

static enum policy_status add_allow(struct scene *scene)
{
	struct policy__view *view = scene->view;
	struct policy__refs refs = {NULL, 0};
	if (view->item)
		refs = policy__author(view->rows, POLICY__ON_ITEM, view->item->item);
	scene->on_item = policy__alloc(view->mem, refs.n + 1, sizeof *scene->on_item);
	if (!scene->on_item)
		return POLICY_NO_MEMORY;
	uint16_t blocked = 0;
	for (unsigned use = 0; use < POLICY_USE_COUNT; use++)
		if (view->program->uses >> use & 1 && view->trace->effect[use] != POLICY_EFFECT_ALLOW)
			blocked |= (uint16_t)POLICY_BIT(use);
	scene->extra = (struct policy_statement){.subject = view->trace->member, .item = view->trace->item, .uses = blocked,
	                                         .effect = POLICY_EFFECT_ALLOW, .layer = POLICY_LAYER_ITEM,
	                                         .selector = POLICY_SELECT_ITEM, .revision = UINT32_MAX,
	                                         .declared_at = view->program->spec.instant, .valid_from = POLICY_EVER,
	                                         .valid_to = POLICY_NEVER};
	for (size_t i = 0; i < refs.n; i++)
		scene->on_item[i] = refs.at[i];
	scene->on_item[refs.n] = EXTRA;
	scene->n_on_item = refs.n + 1;
	policy__sort(scene->on_item, scene->n_on_item, less_imagined, scene);
	if (blocked)
		add_act(scene, (struct policy_step){.act = POLICY_ACT_ALLOW, .fixer = POLICY_FIXER_MEMBER, .uses = blocked,
		                                    .reason = POLICY_REASON_NO_PREF_UNKNOWN, .statement = POLICY_NO_ROW,
		                                    .until = POLICY_NEVER});
	return POLICY_OK;
}

/* What the co-op can do about conditions: take them, or find an audience that can honour them. */
static void add_clears(struct scene *scene, policy_reasons people)
{
	static const uint8_t by_coop[] = {POLICY_REASON_NO_PREF_CONDITION_UNMET, POLICY_REASON_NO_AUDIENCE_DUTY};
	for (size_t i = 0; i < sizeof by_coop; i++)
		if (people >> by_coop[i] & 1)
			add_act(scene, (struct policy_step){.act = POLICY_ACT_CLEAR, .fixer = POLICY_FIXER_COOP, .reason = by_coop[i],
			                                    .statement = POLICY_NO_ROW, .until = POLICY_NEVER});
}

/* ---- Sets --------------------------------------------------------------------------------------------------- */

static bool holds_one_of(const unsigned *sets, size_t n, unsigned set)
{
	for (size_t i = 0; i < n; i++)
		if ((set & sets[i]) == sets[i])
			return true;
	return false;
}

static size_t search(struct scene *scene, policy_instant at, unsigned sets[SETS_MAX])
{
	size_t n = 0;
	for (int size = 0; size <= TOGETHER_MAX; size++)
		for (unsigned set = 0; set < 1u << scene->n_acts; set++) {
			if (__builtin_popcount(set) != size || holds_one_of(sets, n, set))
				continue;
			scene->done = set;
			if (n < SETS_MAX && passes(play(scene, at)))
				sets[n++] = set;
		}
	scene->done = 0;
	return n;
}

/* Reasons about people's words, which are searched; and those of the set and of time, which pass by themselves. */
static const policy_reasons spoken_about =
	POLICY_REASON(DELEGATION_EXPIRED) | POLICY_REASON(DELEGATION_REVOKED) | POLICY_REASON(DELEGATION_SCOPE) |
	POLICY_REASON(DELEGATION_CYCLE) | POLICY_REASON(DELEGATION_DEPTH) | POLICY_REASON(DELEGATION_CAP) |
	POLICY_REASON(PREF_DENY) | POLICY_REASON(PREF_UNKNOWN) | POLICY_REASON(PREF_CONDITION_UNMET) |
	POLICY_REASON(PREF_CONDITIONAL) | POLICY_REASON(AUDIENCE_DUTY);

static policy_instant until_of(const struct policy_trace *trace, unsigned reason)
{
	for (size_t i = 0; i < trace->n_causes; i++)
		if (trace->causes[i].reason == reason)
			return trace->causes[i].until;
	return POLICY_NEVER;
}

static bool valid_consent(const struct policy_member *m)
{
	return m->consent == POLICY_CONSENT_GIVEN || m->consent == POLICY_CONSENT_RENEWED;
}

/* Consent was given, only too late for this release: waiting is enough. */
static bool consented_late(const struct policy__view *view)
{
	const struct policy_member *m = &view->rows->facts.members[view->trace->member];
	return valid_consent(m) && m->consent_given > view->program->spec.cutoff &&
	       m->consent_given <= view->program->spec.instant;
}

/* An act for every fact in the way. False if one of them nobody can change. */
static bool plain_steps(const struct policy__view *view, struct policy_step *steps, size_t *n)
{
	policy_reasons facts = view->trace->reasons & (view->has_people ? ~spoken_about : UINT64_MAX);
	if (view->has_people && consented_late(view))
		facts &= ~POLICY_REASON(CONSENT_MISSING);
	for (unsigned reason = 0; reason < 64; reason++) {
		const struct policy_reason *row = policy_reason_get(reason);
		if (!(facts >> reason & 1) || (row && row->severity < POLICY_HOLD))
			continue;
		if (!row || row->fixer == POLICY_FIXER_NOBODY)
			return false;
		steps[(*n)++] = (struct policy_step){
			.act = row->fixer == POLICY_FIXER_TIME ? POLICY_ACT_WAIT : POLICY_ACT_CLEAR, .fixer = row->fixer,
			.reason = (uint8_t)reason, .statement = POLICY_NO_ROW, .until = until_of(view->trace, reason)};
	}
	return true;
}

static enum policy_status write_fixes(struct scene *scene, const struct policy_step *plain, size_t n_plain,
                                      const unsigned *sets, size_t n_sets)
{
	struct policy_trace *trace = scene->view->trace;
	struct policy_fix *fixes = policy__alloc(scene->view->mem, n_sets, sizeof *fixes);
	struct policy_step *steps = policy__alloc(scene->view->mem, n_sets * (n_plain + TOGETHER_MAX), sizeof *steps);
	if (!fixes || !steps)
		return POLICY_NO_MEMORY;
	for (size_t i = 0; i < n_sets; i++) {
		size_t n = 0;
		fixes[i].steps = steps;
		for (size_t j = 0; j < n_plain; j++)
			steps[n++] = plain[j];
		for (size_t j = 0; j < scene->n_acts; j++)
			if (sets[i] >> j & 1)
				steps[n++] = scene->acts[j];
		fixes[i].n = n;
		steps += n;
	}
	trace->fixes = fixes;
	trace->n_fixes = n_sets;
	return POLICY_OK;
}

/* ---- Time ----------------------------------------------------------------------------------------------------- */

/* The item's and the member's facts at another instant. */
static policy_reasons facts_at(const struct policy__view *view, policy_instant at)
{
	const struct policy_spec *spec = &view->program->spec;
	const struct policy_member *m = &view->rows->facts.members[view->trace->member];
	policy_instant created = (policy_instant)(view->trace->word >> POLICY_ITEM_CREATED_SHIFT) * POLICY_SECOND;
	policy_reasons reasons = 0;
	if (created > at)
		reasons |= POLICY_REASON(AFTER_CUTOFF);
	if ((spec->embargo && policy__plus(created, spec->embargo) > at) || (view->item && view->item->embargo_until > at))
		reasons |= POLICY_REASON(EMBARGO_UNTIL);
	if ((spec->retention && policy__plus(created, spec->retention) <= at) || (view->item && view->item->retain_until <= at))
		reasons |= POLICY_REASON(RETENTION_PASSED);
	if (m->consent_given > at)
		reasons |= POLICY_REASON(CONSENT_MISSING);
	if (m->consent_expires <= at)
		reasons |= POLICY_REASON(CONSENT_EXPIRED);
	return reasons;
}

static void add_instant(const struct policy__view *view, policy_instant *at, size_t *n, policy_instant instant)
{
	if (*n < INSTANTS_MAX && instant >= view->program->spec.instant && instant < POLICY_NEVER)
		at[(*n)++] = instant;
}

/* The first instant, from the release's own on, at which a release with that cut-off would hold the item. */
static policy_instant find_retry(struct scene *scene)
{
	const struct policy__view *view = scene->view;
	const struct policy_member *m = &view->rows->facts.members[view->trace->member];
	policy_reasons passing = POLICY_REASON(AFTER_CUTOFF) | POLICY_REASON(EMBARGO_UNTIL);
	if (valid_consent(m) && m->consent_given > view->program->spec.cutoff)
		passing |= POLICY_REASON(CONSENT_MISSING);
	if (!passes(view->trace->reasons & ~(spoken_about | passing)))
		return POLICY_NEVER;
	policy_instant instants[INSTANTS_MAX];
	size_t n = 0;
	policy_instant created = (policy_instant)(view->trace->word >> POLICY_ITEM_CREATED_SHIFT) * POLICY_SECOND;
	add_instant(view, instants, &n, view->program->spec.instant);
	add_instant(view, instants, &n, created);
	add_instant(view, instants, &n, m->consent_given);
	add_instant(view, instants, &n, policy__plus(created, view->program->spec.embargo));
	if (view->item)
		add_instant(view, instants, &n, view->item->embargo_until);
	for (size_t i = 0; i < view->n_refs; i++) {
		const struct policy_statement *s = policy__statement(view->rows, view->refs[i]);
		add_instant(view, instants, &n, s->valid_from);
		add_instant(view, instants, &n, s->valid_to);
	}
	policy_instant best = POLICY_NEVER;
	for (size_t i = 0; i < n; i++)
		if (instants[i] < best && passes(facts_at(view, instants[i])) && passes(play(scene, instants[i])))
			best = instants[i];
	return best;
}

enum policy_status policy__find_fixes(struct policy__view *view)
{
	struct policy_trace *trace = view->trace;
	struct policy_step plain[64];
	size_t n_plain = 0;
	if (trace->outcome <= POLICY_CONDITIONAL || !plain_steps(view, plain, &n_plain))
		return POLICY_OK;
	struct scene scene = {.view = view};
	unsigned sets[SETS_MAX] = {0};
	size_t n_sets = 1;
	if (view->has_people) {
		trace->retry_at = find_retry(&scene);
		policy_instant at = view->program->spec.instant;
		policy_reasons people = play(&scene, at);
		if (!passes(people)) {
			add_lifts(&scene);
			enum policy_status status = add_allow(&scene);
			if (status != POLICY_OK)
				return status;
			add_clears(&scene, people);
		}
		n_sets = search(&scene, at, sets);
	}
	return write_fixes(&scene, plain, n_plain, sets, n_sets);
}
