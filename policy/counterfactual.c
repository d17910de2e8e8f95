/*
 * counterfactual.c - the smallest sets of acts that would bring an item into the next release.
 *
 * Facts that stand in the way each need their own act. What people have said is searched: every subset of
 * the acts open to them, smallest first, is played through the kernel itself, so an act that is listed
 * works. A set that is found is minimal because its parts were tried before.
 */
#include "policy/internal.h"

enum {
	ACTS_MAX = 12,       /* acts considered; more would be no explanation */
	TOGETHER_MAX = 3,    /* acts in one set */
	SETS_MAX = 16,       /* sets listed */
	INSTANTS_MAX = 64,   /* instants tried for retry_at */
	LISTS_MAX = 24,      /* authors: the member, the item, delegates by time and question, the subgroup, the co-op */
};
#define IMAGINED 0xffffff00u /* numbers of the statements that acts would add, by act */

/* One author's statements, those that acts would add included. */
struct author {
	uint8_t bucket;           /* enum policy__bucket */
	uint32_t who;             /* which */
	struct policy__refs refs; /* in order of speech */
};

/* The acts open to people, and what is being imagined. */
struct scene {
	struct policy__view *view;              /* the decision */
	struct policy_step acts[ACTS_MAX];      /* what could be done */
	struct policy_statement said[ACTS_MAX]; /* the statement that each act makes */
	uint8_t bucket[ACTS_MAX];               /* whose it would be: enum policy__bucket ... */
	uint32_t who[ACTS_MAX];                 /* ... and which */
	bool speaks[ACTS_MAX];                  /* whether the act is a statement at all */
	size_t n_acts;                          /* how many */
	unsigned done;                          /* acts imagined done, as bits */
	struct author authors[LISTS_MAX];       /* everyone who is heard */
	size_t n_authors;                       /* how many */
	struct policy_statement silence;        /* what an act that is not done says */
};

static const struct policy_statement *imagined(const void *ctx, uint32_t ref)
{
	const struct scene *scene = ctx;
	if (ref < IMAGINED)
		return policy__statement(scene->view->rows, ref);
	return scene->done >> (ref - IMAGINED) & 1 ? &scene->said[ref - IMAGINED] : &scene->silence;
}

static struct policy__refs authors(const void *ctx, enum policy__bucket bucket, uint32_t who)
{
	const struct scene *scene = ctx;
	for (size_t i = 0; i < scene->n_authors; i++)
		if (scene->authors[i].bucket == bucket && scene->authors[i].who == who)
			return scene->authors[i].refs;
	return (struct policy__refs){NULL, 0};
}

static bool speaks_before(const void *ctx, uint32_t a, uint32_t b)
{
	const struct scene *scene = ctx;
	const struct policy_statement *x = a < IMAGINED ? policy__statement(scene->view->rows, a) : &scene->said[a - IMAGINED];
	const struct policy_statement *y = b < IMAGINED ? policy__statement(scene->view->rows, b) : &scene->said[b - IMAGINED];
	return policy__speech_before(x, y);
}

static bool add_author(struct scene *scene, enum policy__bucket bucket, uint32_t who)
{
	struct policy__refs said = policy__author(scene->view->rows, bucket, who);
	uint32_t *refs = policy__alloc(scene->view->mem, said.n + scene->n_acts, sizeof *refs);
	if (!refs)
		return false;
	size_t n = said.n;
	if (n)
		memcpy(refs, said.at, n * sizeof *refs);
	for (size_t i = 0; i < scene->n_acts; i++)
		if (scene->speaks[i] && scene->bucket[i] == bucket && scene->who[i] == who)
			refs[n++] = IMAGINED + (uint32_t)i;
	policy__sort(refs, n, speaks_before, scene);
	scene->authors[scene->n_authors++] = (struct author){(uint8_t)bucket, who, {refs, n}};
	return true;
}

/* Everyone who is heard, with what the acts would add. To be called again when acts have been added. */
static bool add_authors(struct scene *scene)
{
	const struct policy_rows *rows = scene->view->rows;
	const struct policy_trace *trace = scene->view->trace;
	uint32_t group = rows->facts.members[trace->member].group;
	scene->n_authors = 0;
	scene->silence.declared_at = POLICY_NEVER;
	bool all = add_author(scene, POLICY__OWN, trace->member) && add_author(scene, POLICY__ON_ITEM, trace->item) &&
	           add_author(scene, POLICY__DEFAULTS, 0) && (group == 0 || add_author(scene, POLICY__GROUP, group));
	for (unsigned ask = 0; all && policy__hears_delegate(rows, trace->member) && ask < rows->n_asks; ask++) {
		const struct policy_path *path = &rows->paths[scene->view->program->n_times - 1][ask][trace->member];
		if (path->via == POLICY_VIA_DECIDED && authors(scene, POLICY__DELEGATE, path->decider).at == NULL)
			all = add_author(scene, POLICY__DELEGATE, path->decider);
	}
	return all;
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

/* Gates 4, 5 and 10 for the next release, decided at one instant, with the imagined acts done. */
static policy_reasons play(struct scene *scene, policy_instant at)
{
	struct policy__view *view = scene->view;
	const struct policy__case c = {.rows = view->rows, .member = view->trace->member, .kind = view->trace->word & 7,
	                               .time = (uint8_t)(view->program->n_times - 1), .item = view->item, .speech = imagined,
	                               .authors = authors, .imagined = scene, .position = view->trace->item};
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

/* An act that is a statement, made at the instant of the release and later than all others. */
static void add_speech(struct scene *scene, struct policy_step step, struct policy_statement said,
                       enum policy__bucket bucket, uint32_t who)
{
	size_t at = scene->n_acts;
	if (at == ACTS_MAX)
		return;
	said.uses = step.uses;
	said.duties = 0;
	said.revision = UINT32_MAX;
	said.declared_at = scene->view->program->spec.instant;
	said.valid_from = POLICY_EVER;
	said.valid_to = POLICY_NEVER;
	scene->said[at] = said;
	scene->bucket[at] = (uint8_t)bucket;
	scene->who[at] = who;
	scene->speaks[at] = true;
	add_act(scene, step);
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
		struct policy_statement s = *policy__statement(view->rows, view->refs[i]);
		bool deny = s.effect == POLICY_EFFECT_DENY;
		uint16_t uses = policy__spoken(&s) & view->program->uses;
		if (!(deny || s.effect == POLICY_EFFECT_ALLOW_IF) || s.layer == POLICY_LAYER_LAW ||
		    s.flags & POLICY_STATEMENT_EXTERNAL || !policy__in_force(&s, view->program->spec.instant) || !uses)
			continue;
		struct policy_step step = {.act = POLICY_ACT_LIFT, .fixer = who_lifts(&s), .statement = view->refs[i], .uses = uses,
		                           .reason = deny ? POLICY_REASON_NO_PREF_DENY : POLICY_REASON_NO_PREF_CONDITION_UNMET,
		                           .until = POLICY_NEVER};
		uint32_t who = view->bucket[i] == POLICY__ON_ITEM ? s.item : view->bucket[i] == POLICY__DEFAULTS ? 0 : s.subject;
		s.effect = POLICY_EFFECT_NONE;
		add_speech(scene, step, s, view->bucket[i], who);
	}
}

/* The member allows, on this item, what is not allowed outright. */
static void add_allow(struct scene *scene)
{
	const struct policy__view *view = scene->view;
	struct policy_step step = {.act = POLICY_ACT_ALLOW, .fixer = POLICY_FIXER_MEMBER, .reason = POLICY_REASON_NO_PREF_UNKNOWN,
	                           .statement = POLICY_NO_ROW, .until = POLICY_NEVER};
	for (unsigned use = 0; use < POLICY_USE_COUNT; use++)
		if (view->program->uses >> use & 1 && view->trace->effect[use] != POLICY_EFFECT_ALLOW)
			step.uses |= (uint16_t)POLICY_BIT(use);
	const struct policy_statement allow = {.subject = view->trace->member, .item = view->trace->item,
	                                       .effect = POLICY_EFFECT_ALLOW, .layer = POLICY_LAYER_ITEM,
	                                       .selector = POLICY_SELECT_ITEM};
	if (step.uses)
		add_speech(scene, step, allow, POLICY__ON_ITEM, view->trace->item);
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

bool policy__embargo_is_open(const struct policy__view *view)
{
	return view->trace->word & POLICY_ITEM_EMBARGOED && !(view->item && view->item->embargo_until > view->program->spec.instant);
}

/* An act for every fact in the way. False if one of them nobody can change: what a contributor withdrew from future releases stays so. */
static bool plain_steps(const struct policy__view *view, struct policy_step *steps, size_t *n)
{
	if (view->trace->word & POLICY_ITEM_WITHDRAWN)
		return false;
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
	if ((spec->embargo && policy__plus(created, spec->embargo) > at) || (view->item && view->item->embargo_until > at) || policy__embargo_is_open(view))
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
		if (!add_authors(&scene))
			return POLICY_NO_MEMORY;
		trace->retry_at = find_retry(&scene);
		policy_instant at = view->program->spec.instant;
		policy_reasons people = play(&scene, at);
		if (!passes(people)) {
			add_allow(&scene);
			add_lifts(&scene);
			add_clears(&scene, people);
			if (!add_authors(&scene))
				return POLICY_NO_MEMORY;
		}
		n_sets = search(&scene, at, sets);
	}
	return write_fixes(&scene, plain, n_plain, sets, n_sets);
}
