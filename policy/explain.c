/*
 * explain.c - why an item was decided as it was.
 *
 * The outcome comes from the same functions that decide batches; this file only says which statement settled
 * each use, what was set aside and by which rule, and puts it in order. Everything goes into the digest.
 */
#include "policy/internal.h"

static const struct {
	const char *name; /* stable word */
	const char *text; /* a clause for people */
} override_words[POLICY_OVERRIDE_COUNT] = {
#define X(sym, name, text) [POLICY_BY_##sym] = {name, text},
	POLICY_OVERRIDES(X)
#undef X
};

const char *policy_override_name(unsigned override)
{
	return override < POLICY_OVERRIDE_COUNT ? override_words[override].name : NULL;
}

const char *policy_override_text(unsigned override)
{
	return override < POLICY_OVERRIDE_COUNT ? override_words[override].text : NULL;
}

/* ---- Who speaks about the item ------------------------------------------------------------------------ */

static void gather(struct policy__view *view, enum policy__bucket bucket, uint32_t who)
{
	struct policy__refs refs = policy__author(view->rows, bucket, who);
	for (size_t i = 0; i < refs.n && view->n_refs < POLICY__VOICES_MAX; i++) {
		const struct policy_statement *s = policy__statement(view->rows, refs.at[i]);
		if (s->selector == POLICY_SELECT_KIND && s->kind != (view->trace->word & 7))
			continue;
		view->refs[view->n_refs] = refs.at[i];
		view->bucket[view->n_refs++] = (uint8_t)bucket;
	}
}

static void gather_delegates(struct policy__view *view)
{
	const struct policy_rows *rows = view->rows;
	uint32_t heard[2 * POLICY_USE_COUNT];
	size_t n = 0;
	for (unsigned time = 0; time < view->program->n_times; time++)
		for (unsigned ask = 0; ask < rows->n_asks; ask++) {
			const struct policy_path *path = &rows->paths[time][ask][view->trace->member];
			bool known = path->via != POLICY_VIA_DECIDED;
			for (size_t i = 0; i < n; i++)
				known |= heard[i] == path->decider;
			if (known)
				continue;
			heard[n++] = path->decider;
			gather(view, POLICY__DELEGATE, path->decider);
		}
}

static void gather_all(struct policy__view *view)
{
	uint32_t member = view->trace->member;
	gather(view, POLICY__OWN, member);
	if (view->item)
		gather(view, POLICY__ON_ITEM, view->item->item);
	if (policy__hears_delegate(view->rows, member))
		gather_delegates(view);
	if (view->rows->facts.members[member].group != 0)
		gather(view, POLICY__GROUP, view->rows->facts.members[member].group);
	gather(view, POLICY__DEFAULTS, 0);
}

/* ---- What settled each use ----------------------------------------------------------------------------- */

/* Whether the statement counts for a use at the time and purpose that were decisive for it; if not, why not. */
struct standing {
	bool counts;      /* it had a say */
	bool listed;      /* it is worth listing although it had none */
	uint8_t rule;     /* enum policy_override, if listed */
	uint32_t by;      /* the statement that set it aside */
};

/* The latest statement of the same subject matter that speaks about the use and is later than `s`. */
static uint32_t replaced_by(const struct policy__view *view, size_t at, unsigned use, policy_instant when)
{
	const struct policy_statement *s = policy__statement(view->rows, view->refs[at]);
	for (size_t i = 0; i < view->n_refs; i++) {
		const struct policy_statement *o = policy__statement(view->rows, view->refs[i]);
		if (view->bucket[i] == view->bucket[at] && o->subject == s->subject && policy__same_subject_matter(o, s) &&
		    policy__speech_before(o, s) && policy__in_force(o, when) && policy__spoken(o) >> use & 1)
			return view->refs[i];
	}
	return POLICY_NO_ROW;
}

static const struct policy_path *path_for(const struct policy__view *view, unsigned use)
{
	return &view->rows->paths[view->time_of[use]][view->rows->ask_of[use]][view->trace->member];
}

static struct standing set_aside(unsigned rule, uint32_t by)
{
	return (struct standing){false, true, (uint8_t)rule, by};
}

static struct standing standing_of(const struct policy__view *view, size_t at, unsigned use)
{
	const struct standing silent = {false, false, 0, POLICY_NO_ROW};
	const struct policy_program *program = view->program;
	const struct policy_statement *s = policy__statement(view->rows, view->refs[at]);
	policy_instant when = program->times[view->time_of[use]];
	if (!(policy__spoken(s) >> use & 1) || s->effect == POLICY_EFFECT_NONE || s->declared_at > program->spec.instant)
		return silent;
	if (view->bucket[at] == POLICY__DELEGATE && path_for(view, use)->decider != s->subject)
		return silent;
	if (s->declared_at > when)
		return set_aside(POLICY_BY_AFTER_CUTOFF, POLICY_NO_ROW);
	if (!policy__in_force(s, when))
		return set_aside(POLICY_BY_NOT_VALID, POLICY_NO_ROW);
	bool external = s->flags & POLICY_STATEMENT_EXTERNAL;
	uint32_t later = external ? POLICY_NO_ROW : replaced_by(view, at, use, when);
	if (later != POLICY_NO_ROW)
		return set_aside(POLICY_BY_LATER_ACT, later);
	if (!policy__purpose_applies(program, view->purpose_of[use], s))
		return set_aside(POLICY_BY_PURPOSE, POLICY_NO_ROW);
	if (!policy__audience_applies(program, s))
		return set_aside(POLICY_BY_AUDIENCE, POLICY_NO_ROW);
	if (external && s->effect != POLICY_EFFECT_DENY)
		return set_aside(POLICY_BY_EXTERNAL_ALLOW, POLICY_NO_ROW);
	if (view->bucket[at] == POLICY__DEFAULTS && !policy__hears_defaults(view->rows, view->trace->member, when))
		return set_aside(POLICY_BY_NOT_ACCEPTED, POLICY_NO_ROW);
	return (struct standing){true, false, 0, POLICY_NO_ROW};
}

/* Whether `s` is how a use was settled: right layer, right effect. */
static bool settles(const struct policy_statement *s, unsigned layer, unsigned effect)
{
	static const uint8_t effects[] = {[POLICY__ALLOW] = POLICY_EFFECT_ALLOW, [POLICY__ALLOW_IF] = POLICY_EFFECT_ALLOW_IF,
	                                  [POLICY__UNKNOWN] = POLICY_EFFECT_NONE, [POLICY__DENY] = POLICY_EFFECT_DENY};
	bool external = s->flags & POLICY_STATEMENT_EXTERNAL;
	if (s->effect != effects[effect])
		return false;
	return layer == POLICY_LAYER_COUNT ? external : !external && s->layer == layer;
}

static void list_override(struct policy__view *view, struct policy_overridden *list, uint32_t ref, unsigned use,
                          unsigned rule, uint32_t by)
{
	list[view->trace->n_overridden++] = (struct policy_overridden){ref, by, (uint8_t)rule, (uint8_t)use};
}

/* Those that counted and did not settle the use. */
static void compare(struct policy__view *view, struct policy_overridden *list, const struct policy__hearing *h,
                    uint32_t ref, unsigned use, unsigned layer, unsigned effect, bool tightened)
{
	const struct policy_statement *s = policy__statement(view->rows, ref);
	uint32_t by = view->trace->decided_by[use];
	const struct policy__said *own = &h->said[POLICY_LAYER_SUBJECT];
	if (s->flags & POLICY_STATEMENT_EXTERNAL) {
		if (effect != POLICY__DENY)
			list_override(view, list, ref, use, POLICY_BY_LIFTED, by);
		return;
	}
	if (s->layer == POLICY_LAYER_DELEGATE && (own->deny | own->allow_if | own->allow) >> use & 1 &&
	    own->when[use] >= s->declared_at) {
		list_override(view, list, ref, use, POLICY_BY_LATER_ACT, by);
		return;
	}
	if (effect == POLICY__DENY && !tightened && (layer <= POLICY_LAYER_SUBJECT || layer == POLICY_LAYER_COUNT)) {
		if (s->effect != POLICY_EFFECT_DENY)
			list_override(view, list, ref, use, POLICY_BY_FLOOR, by);
		return;
	}
	unsigned settled_by = tightened ? POLICY_LAYER_DELEGATE : layer;
	if (s->layer > settled_by)
		list_override(view, list, ref, use, POLICY_BY_NEAREST_LAYER, by);
	else if (s->layer < settled_by)
		list_override(view, list, ref, use, POLICY_BY_TIGHTENED, by);
	else
		list_override(view, list, ref, use, POLICY_BY_STRICTER, by);
}

/* Find the time and purpose at which a use was strictest. */
static void find_decisive(struct policy__view *view, unsigned use, struct policy__hearing *decisive, uint8_t *layer,
                          bool *tightened)
{
	unsigned strictest = 0;
	bool found = false;
	for (unsigned time = view->program->n_times; time-- > 0;)
		for (unsigned p = 0; p < view->program->n_purposes; p++) {
			const struct policy__case c = {.rows = view->rows, .member = view->trace->member,
			                               .kind = view->trace->word & 7, .time = (uint8_t)time, .item = view->item};
			struct policy__hearing h;
			uint16_t duties = 0;
			uint8_t l;
			bool t;
			policy__hearing_init(&h, view->program, view->program->times[time], p, c.kind);
			policy__hear_all(&c, view->rows->ask_of[use], &h);
			unsigned effect = policy__settle(&h, use, &duties, &l, &t);
			if (found && effect <= strictest)
				continue;
			found = true;
			strictest = effect;
			*decisive = h;
			*layer = l;
			*tightened = t;
			view->time_of[use] = (uint8_t)time;
			view->purpose_of[use] = (uint8_t)p;
		}
}

static void explain_use(struct policy__view *view, struct policy_overridden *list, unsigned use)
{
	static const uint8_t names[] = {[POLICY__ALLOW] = POLICY_EFFECT_ALLOW, [POLICY__ALLOW_IF] = POLICY_EFFECT_ALLOW_IF,
	                                [POLICY__UNKNOWN] = POLICY_EFFECT_NONE, [POLICY__DENY] = POLICY_EFFECT_DENY};
	struct policy__hearing h;
	uint16_t duties = 0;
	uint8_t layer;
	bool tightened;
	find_decisive(view, use, &h, &layer, &tightened);
	unsigned effect = policy__settle(&h, use, &duties, &layer, &tightened);
	view->trace->effect[use] = names[effect];
	unsigned settled_by = tightened ? POLICY_LAYER_DELEGATE : layer;
	for (size_t i = 0; i < view->n_refs && view->trace->decided_by[use] == POLICY_NO_ROW; i++)
		if (effect != POLICY__UNKNOWN && standing_of(view, i, use).counts &&
		    settles(policy__statement(view->rows, view->refs[i]), settled_by, effect))
			view->trace->decided_by[use] = view->refs[i];
	for (size_t i = 0; i < view->n_refs; i++) {
		struct standing standing = standing_of(view, i, use);
		if (standing.listed)
			list_override(view, list, view->refs[i], use, standing.rule, standing.by);
		else if (standing.counts && !settles(policy__statement(view->rows, view->refs[i]), settled_by, effect))
			compare(view, list, &h, view->refs[i], use, layer, effect, tightened);
	}
}

static enum policy_status explain_uses(struct policy__view *view)
{
	struct policy_trace *trace = view->trace;
	unsigned uses = (unsigned)__builtin_popcount(view->program->uses);
	struct policy_overridden *list = policy__alloc(view->mem, view->n_refs * uses, sizeof *list);
	if (!list)
		return POLICY_NO_MEMORY;
	trace->overridden = list;
	for (unsigned use = 0; view->has_people && use < POLICY_USE_COUNT; use++)
		if (view->program->uses >> use & 1)
			explain_use(view, list, use);
	return POLICY_OK;
}

/* ---- Causes ---------------------------------------------------------------------------------------------- */

static void cause(struct policy_trace *trace, struct policy_cause *list, unsigned reason, uint16_t uses,
                  uint32_t statement, uint32_t rule, policy_instant until)
{
	const struct policy_reason *row = policy_reason_get(reason);
	bool determining = row ? row->severity == trace->outcome : trace->outcome == POLICY_HOLD;
	list[trace->n_causes++] = (struct policy_cause){.reason = (uint8_t)reason, .gate = row ? row->gate : POLICY_GATE_ENGINE,
	                                                .uses = uses, .determining = determining, .statement = statement,
	                                                .rule = rule, .until = until};
}

static void cause_by_use(struct policy__view *view, struct policy_cause *list, unsigned reason, uint16_t uses)
{
	for (unsigned use = 0; use < POLICY_USE_COUNT; use++)
		if (uses >> use & 1)
			cause(view->trace, list, reason, (uint16_t)POLICY_BIT(use), view->trace->decided_by[use], POLICY_NO_ROW,
			      POLICY_NEVER);
}

static void cause_by_rule(struct policy__view *view, struct policy_cause *list, unsigned reason, unsigned effect)
{
	const struct policy_program *program = view->program;
	uint64_t holds[POLICY_NODES_MAX];
	size_t before = view->trace->n_causes;
	policy__nodes_eval(program->spec.nodes, program->marked, program->n_nodes, &view->trace->word, &view->trace->more, 1,
	                   holds);
	for (size_t r = 0; r < program->n_rules; r++) {
		const struct policy_rule *rule = &program->spec.rules[program->rules[r]];
		if (rule->effect == effect && holds[rule->root] & 1)
			cause(view->trace, list, reason, policy_uses_expand(rule->uses) & program->uses, POLICY_NO_ROW,
			      program->rules[r], POLICY_NEVER);
	}
	if (view->trace->n_causes == before)
		cause(view->trace, list, reason, 0, POLICY_NO_ROW, POLICY_NO_ROW, POLICY_NEVER);
}

static void cause_by_toggle(struct policy__view *view, struct policy_cause *list, unsigned reason, unsigned kind)
{
	const struct policy_spec *spec = &view->program->spec;
	uint64_t second = view->trace->word >> POLICY_ITEM_CREATED_SHIFT;
	size_t before = view->trace->n_causes;
	for (size_t i = 0; i < spec->n_toggles; i++) {
		const struct policy_toggle *t = &spec->toggles[i];
		bool touches = second >= policy__first_second(t->since) && second < policy__first_second(t->until) &&
		               t->kinds >> (view->trace->word & 7) & 1;
		if (t->kind == kind && touches)
			cause(view->trace, list, reason, kind == POLICY_TOGGLE_SHIFT ? policy_uses_expand(t->uses) & view->program->uses : 0,
			      POLICY_NO_ROW, (uint32_t)i, POLICY_NEVER);
	}
	if (view->trace->n_causes == before)
		cause(view->trace, list, reason, 0, POLICY_NO_ROW, POLICY_NO_ROW, POLICY_NEVER);
}

/* When the embargo on the item ends. */
static policy_instant embargo_end(const struct policy__view *view)
{
	if (policy__embargo_is_open(view))
		return POLICY_NEVER;
	policy_instant created = (policy_instant)(view->trace->word >> POLICY_ITEM_CREATED_SHIFT) * POLICY_SECOND;
	policy_instant end = view->program->spec.embargo ? policy__plus(created, view->program->spec.embargo) : POLICY_EVER;
	return view->item && view->item->embargo_until > end ? view->item->embargo_until : end;
}

static uint16_t uses_with(const struct policy_trace *trace, unsigned effect)
{
	uint16_t uses = 0;
	for (unsigned use = 0; use < POLICY_USE_COUNT; use++)
		if (trace->effect[use] == effect)
			uses |= (uint16_t)POLICY_BIT(use);
	return uses;
}

static void list_reason(struct policy__view *view, struct policy_cause *list, unsigned reason)
{
	const struct policy_program *program = view->program;
	struct policy_trace *trace = view->trace;
	uint16_t uses = program->uses;
	switch (reason) {
	case POLICY_REASON_NO_PREF_DENY:
		cause_by_use(view, list, reason, uses & uses_with(trace, POLICY_EFFECT_DENY));
		return;
	case POLICY_REASON_NO_PREF_CONDITIONAL:
		cause_by_use(view, list, reason, uses & program->spec.uses_conditional & uses_with(trace, POLICY_EFFECT_ALLOW_IF));
		return;
	case POLICY_REASON_NO_PREF_CONDITION_UNMET:
		uses &= (uint16_t)~program->spec.uses_conditional;
		cause_by_use(view, list, reason, uses & uses_with(trace, POLICY_EFFECT_ALLOW_IF));
		return;
	case POLICY_REASON_NO_PREF_UNKNOWN:
		uses = view->has_people ? uses & uses_with(trace, POLICY_EFFECT_NONE) : uses;
		cause(trace, list, reason, uses, POLICY_NO_ROW, POLICY_NO_ROW, POLICY_NEVER);
		return;
	case POLICY_REASON_NO_CHARTER_DENY:
		cause_by_rule(view, list, reason, POLICY_EXCLUDE);
		return;
	case POLICY_REASON_NO_CHARTER_HOLD:
		cause_by_rule(view, list, reason, POLICY_HOLD);
		return;
	case POLICY_REASON_NO_TOGGLE_FREEZE:
	case POLICY_REASON_NO_TOGGLE_EMBARGO:
	case POLICY_REASON_NO_TOGGLE_SHIFT:
	case POLICY_REASON_NO_TOGGLE_CAP:
		cause_by_toggle(view, list, reason, reason - POLICY_REASON_NO_TOGGLE_FREEZE);
		return;
	case POLICY_REASON_NO_ASSURANCE_UNMET:
		cause_by_toggle(view, list, reason, POLICY_TOGGLE_PLEDGE);
		return;
	case POLICY_REASON_NO_EMBARGO_UNTIL:
		cause(trace, list, reason, 0, POLICY_NO_ROW, POLICY_NO_ROW, embargo_end(view));
		return;
	default:
		cause(trace, list, reason, 0, POLICY_NO_ROW, POLICY_NO_ROW, POLICY_NEVER);
	}
}

/* Determining causes first; within each part by the number of the reason. */
static enum policy_status explain_reasons(struct policy__view *view)
{
	struct policy_trace *trace = view->trace;
	size_t most = 64 + 4 * POLICY_USE_COUNT + view->program->n_rules + view->program->spec.n_toggles;
	struct policy_cause *list = policy__alloc(view->mem, most, sizeof *list);
	if (!list)
		return POLICY_NO_MEMORY;
	trace->causes = list;
	for (int determining = 1; determining >= 0; determining--)
		for (unsigned reason = 0; reason < 64; reason++) {
			const struct policy_reason *row = policy_reason_get(reason);
			unsigned severity = row ? row->severity : POLICY_HOLD;
			if (trace->reasons >> reason & 1 && (severity == trace->outcome) == determining)
				list_reason(view, list, reason);
		}
	return POLICY_OK;
}

/* ---- Path, duties, digests --------------------------------------------------------------------------------- */

static enum policy_status explain_path(struct policy__view *view)
{
	const struct policy_rows *rows = view->rows;
	unsigned time = view->program->n_times - 1u;
	for (unsigned ask = 0; view->has_people && rows->edges_matter && ask < rows->n_asks; ask++) {
		const struct policy_path *paths = rows->paths[time][ask];
		if (paths[view->trace->member].edge == POLICY_NO_EDGE)
			continue;
		uint32_t *path = policy__alloc(view->mem, POLICY_DEPTH_MAX + 1, sizeof *path);
		if (!path)
			return POLICY_NO_MEMORY;
		view->trace->path = path;
		view->trace->n_path = policy_delegation_path(rows->facts.edges, paths, rows->facts.n_members, view->trace->member,
		                                             path, POLICY_DEPTH_MAX + 1);
		return POLICY_OK;
	}
	return POLICY_OK;
}

void policy_engine_digest(uint8_t out[32])
{
	struct policy__sha sha;
	policy__sha_init(&sha);
	policy__sha_text(&sha, POLICY_ENGINE, sizeof POLICY_ENGINE - 1);
	for (unsigned r = 0; r < POLICY_REASON_COUNT; r++) {
		const struct policy_reason *row = policy_reason_get(r);
		policy__sha_text(&sha, row->name, strlen(row->name));
		policy__sha_u64(&sha, (uint64_t)row->severity << 16 | (uint64_t)row->gate << 8 | row->fixer);
	}
	for (unsigned in = 0; in < POLICY_LICENCE_COUNT; in++) {
		const struct policy_licence *l = policy_licence_get(in);
		policy__sha_text(&sha, l->spdx, strlen(l->spdx));
		policy__sha_u64(&sha, (uint64_t)l->duties << 16 | (uint64_t)l->shares << 8 | (uint64_t)l->credit);
		for (unsigned o = 0; o < 16; o++)
			policy__sha_u64(&sha, policy_licence_cell(in, o));
	}
	policy__sha_end(&sha, out);
}

static void snapshot_digest(const struct policy__view *view, uint8_t out[32])
{
	struct policy__sha sha;
	policy__sha_init(&sha);
	policy__sha_add(&sha, view->rows->facts.data, 32);
	if (view->trace->member < view->rows->facts.n_members) {
		const struct policy_member *m = &view->rows->facts.members[view->trace->member];
		policy__sha_u64(&sha, (uint64_t)m->standing << 56 | (uint64_t)m->consent << 48 | (uint64_t)m->minor << 40 | m->group);
		policy__sha_u64(&sha, (uint64_t)m->notice << 32 | m->purposes);
		policy__sha_u64(&sha, (uint64_t)m->consent_given);
		policy__sha_u64(&sha, (uint64_t)m->consent_expires);
		policy__sha_u64(&sha, (uint64_t)m->defaults_accepted);
	}
	if (view->item) {
		policy__sha_u64(&sha, (uint64_t)view->item->embargo_until);
		policy__sha_u64(&sha, (uint64_t)view->item->retain_until);
	}
	policy__sha_u64(&sha, view->n_refs);
	for (size_t i = 0; i < view->n_refs; i++)
		policy__sha_statement(&sha, policy__statement(view->rows, view->refs[i]));
	policy__sha_end(&sha, out);
}

static void digest_fixes(struct policy__sha *sha, const struct policy_trace *t)
{
	policy__sha_u64(sha, t->n_fixes);
	for (size_t i = 0; i < t->n_fixes; i++) {
		policy__sha_u64(sha, t->fixes[i].n);
		for (size_t j = 0; j < t->fixes[i].n; j++) {
			const struct policy_step *step = &t->fixes[i].steps[j];
			policy__sha_u64(sha, (uint64_t)step->act << 56 | (uint64_t)step->fixer << 48 | (uint64_t)step->reason << 40 |
			                         (uint64_t)step->uses);
			policy__sha_u64(sha, step->statement);
			policy__sha_u64(sha, (uint64_t)step->until);
		}
	}
}

static void trace_digest(struct policy_trace *t)
{
	struct policy__sha sha;
	policy__sha_init(&sha);
	policy__sha_add(&sha, t->policy, 32);
	policy__sha_add(&sha, t->snapshot, 32);
	policy__sha_add(&sha, t->engine, 32);
	policy__sha_u64(&sha, (uint64_t)t->item << 32 | t->member);
	policy__sha_u64(&sha, t->word);
	policy__sha_u64(&sha, t->more);
	policy__sha_u64(&sha, t->set_reasons);
	policy__sha_u64(&sha, t->outcome);
	policy__sha_u64(&sha, t->reasons);
	for (unsigned use = 0; use < POLICY_USE_COUNT; use++)
		policy__sha_u64(&sha, (uint64_t)t->effect[use] << 32 | t->decided_by[use]);
	policy__sha_u64(&sha, t->n_causes);
	for (size_t i = 0; i < t->n_causes; i++) {
		const struct policy_cause *c = &t->causes[i];
		policy__sha_u64(&sha, (uint64_t)c->reason << 32 | (uint64_t)c->determining << 16 | c->uses);
		policy__sha_u64(&sha, (uint64_t)c->statement << 32 | c->rule);
		policy__sha_u64(&sha, (uint64_t)c->until);
	}
	policy__sha_u64(&sha, t->n_overridden);
	for (size_t i = 0; i < t->n_overridden; i++) {
		policy__sha_u64(&sha, (uint64_t)t->overridden[i].statement << 32 | t->overridden[i].by);
		policy__sha_u64(&sha, (uint64_t)t->overridden[i].rule << 8 | t->overridden[i].use);
	}
	policy__sha_u64(&sha, (uint64_t)t->conditions << 16 | t->duties);
	policy__sha_u64(&sha, t->n_path);
	for (size_t i = 0; i < t->n_path; i++)
		policy__sha_u64(&sha, t->path[i]);
	digest_fixes(&sha, t);
	policy__sha_u64(&sha, (uint64_t)t->retry_at);
	policy__sha_end(&sha, t->digest);
}

enum policy_status policy_explain(const struct policy_program *program, const struct policy_rows *rows, uint32_t item,
                                  uint64_t word, uint64_t more, uint32_t member, policy_reasons set_reasons,
                                  struct policy_mem *mem, struct policy_trace *out)
{
	struct policy__view view = {.program = program, .rows = rows, .item = policy__sparse_find(rows, item), .mem = mem,
	                            .trace = out};
	*out = (struct policy_trace){.item = item, .member = member, .word = word, .more = more, .set_reasons = set_reasons,
	                             .retry_at = POLICY_NEVER};
	for (unsigned use = 0; use < POLICY_USE_COUNT; use++)
		out->decided_by[use] = POLICY_NO_ROW;
	out->reasons = policy_decide_one(program, rows, item, word, more, member) | set_reasons;
	out->outcome = policy_outcome_of(out->reasons);
	out->duties = policy_item_duties(program, rows, item, word, member);
	out->conditions = view.item ? view.item->row.duties : policy_rows_get(rows, member, word & 7).duties;
	view.has_people = member < rows->facts.n_members && !rows->all_faulty && !(rows->faulty[member] & 1) &&
	                  (word & 7) < POLICY_KIND_COUNT &&
	                  !(view.item && (view.item->faulty || view.item->member != member || view.item->kind != (word & 7)));
	if (view.has_people)
		gather_all(&view);
	enum policy_status status = explain_uses(&view);
	if (status == POLICY_OK)
		status = explain_reasons(&view);
	if (status == POLICY_OK)
		status = explain_path(&view);
	if (status == POLICY_OK)
		status = policy__find_fixes(&view);
	if (status != POLICY_OK)
		return status;
	memcpy(out->policy, program->digest, 32);
	policy_engine_digest(out->engine);
	snapshot_digest(&view, out->snapshot);
	trace_digest(out);
	return POLICY_OK;
}

enum policy_status policy_replay(const struct policy_program *program, const struct policy_rows *rows,
                                 const struct policy_trace *trace, struct policy_mem *mem)
{
	struct policy_trace again;
	enum policy_status status = policy_explain(program, rows, trace->item, trace->word, trace->more, trace->member,
	                                           trace->set_reasons, mem, &again);
	if (status != POLICY_OK)
		return status;
	/* A trace that was altered after it was made must not pass for the one that its digest names. */
	struct policy_trace given = *trace;
	trace_digest(&given);
	bool same = memcmp(again.digest, trace->digest, 32) == 0 && memcmp(given.digest, trace->digest, 32) == 0;
	return same ? POLICY_OK : POLICY_DIFFERS;
}
