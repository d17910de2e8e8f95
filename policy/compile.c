/*
 * compile.c - from a specification to tables.
 *
 * Everything about an item that does not depend on people becomes a table lookup: by its low bits (kind,
 * licence, moderation), by its flags, by its region, by the interval of time in which it was made.
 */
#include "policy/internal.h"

void policy_spec_init(struct policy_spec *spec)
{
	*spec = (struct policy_spec){
		.kinds = POLICY_KINDS_ALL,
		.delegation_depth = 1,
		.volume_cap = POLICY_NO_CAP,
		.regions = {UINT64_MAX, UINT64_MAX, UINT64_MAX, UINT64_MAX},
	};
}

bool policy__statement_sound(const struct policy_statement *s)
{
	if (s->uses == 0 || s->uses & ~POLICY_USES_ALL || s->effect >= POLICY_EFFECT_COUNT ||
	    s->layer >= POLICY_LAYER_COUNT || s->selector >= POLICY_SELECTOR_COUNT || s->purpose >= POLICY_PURPOSE_COUNT ||
	    s->audience >= POLICY_AUDIENCE_COUNT || s->flags & ~POLICY_STATEMENT_EXTERNAL || s->valid_from >= s->valid_to)
		return false;
	if (s->selector == POLICY_SELECT_KIND && s->kind >= POLICY_KIND_COUNT)
		return false;
	if (s->effect == POLICY_EFFECT_ALLOW_IF ? s->duties == 0 || s->duties & ~POLICY_DUTIES_ALL : s->duties != 0)
		return false;
	if (s->layer == POLICY_LAYER_LAW && s->effect != POLICY_EFFECT_DENY && s->effect != POLICY_EFFECT_NONE)
		return false;
	bool on_item = s->selector == POLICY_SELECT_ITEM;
	if (on_item != (s->item != POLICY_NO_ITEM) || (s->layer == POLICY_LAYER_ITEM && !on_item) ||
	    (on_item && s->layer > POLICY_LAYER_ITEM))
		return false;
	bool own = s->layer == POLICY_LAYER_ITEM || s->layer == POLICY_LAYER_SUBJECT;
	return own || !(s->flags & POLICY_STATEMENT_EXTERNAL);
}

void policy__sha_statement(struct policy__sha *sha, const struct policy_statement *s)
{
	policy__sha_u64(sha, s->id);
	policy__sha_u64(sha, (uint64_t)s->subject << 32 | s->item);
	policy__sha_u64(sha, (uint64_t)s->uses << 48 | (uint64_t)s->duties << 32 | (uint64_t)s->effect << 24 |
	                         (uint64_t)s->layer << 16 | (uint64_t)s->selector << 8 | s->kind);
	policy__sha_u64(sha, (uint64_t)s->purpose << 48 | (uint64_t)s->audience << 40 | (uint64_t)s->flags << 32 | s->revision);
	policy__sha_u64(sha, s->declared_by);
	policy__sha_u64(sha, s->via);
	policy__sha_u64(sha, (uint64_t)s->declared_at);
	policy__sha_u64(sha, (uint64_t)s->valid_from);
	policy__sha_u64(sha, (uint64_t)s->valid_to);
	policy__sha_text(sha, s->verbatim.at, s->verbatim.len);
}

policy_instant policy__minus(policy_instant a, int64_t b)
{
	policy_instant out;
	if (!__builtin_sub_overflow(a, b, &out))
		return out;
	return b > 0 ? POLICY_EVER : POLICY_NEVER;
}

policy_instant policy__plus(policy_instant a, int64_t b)
{
	policy_instant out;
	if (!__builtin_add_overflow(a, b, &out))
		return out;
	return b > 0 ? POLICY_NEVER : POLICY_EVER;
}

uint64_t policy__first_second(policy_instant at)
{
	const uint64_t never = UINT64_C(1) << 32;
	if (at <= 0)
		return 0;
	uint64_t second = ((uint64_t)at + POLICY_SECOND - 1) / POLICY_SECOND;
	return second < never ? second : never;
}

/* ---- Faults ------------------------------------------------------------------------------------ */

static void check_scalars(const struct policy_spec *spec, struct policy_faults *faults)
{
	if (spec->uses == 0 || spec->uses & ~POLICY_USES_ALL)
		policy__fault(faults, POLICY_FAULT_SPEC_USES, 0);
	if (spec->uses_conditional & ~POLICY_USES_ALL)
		policy__fault(faults, POLICY_FAULT_SPEC_CONDITIONAL, 0);
	if (spec->audience_duties & ~POLICY_DUTIES_ALL)
		policy__fault(faults, POLICY_FAULT_SPEC_DUTIES, 0);
	if (spec->audience == POLICY_AUDIENCE_ANY || spec->audience >= POLICY_AUDIENCE_COUNT)
		policy__fault(faults, POLICY_FAULT_SPEC_AUDIENCE, 0);
	if (spec->licence_mode >= POLICY_LICENCE_MODE_COUNT)
		policy__fault(faults, POLICY_FAULT_SPEC_MODE, 0);
	if (spec->purposes == 0 || spec->purposes & ~POLICY_PURPOSES_ALL || spec->purposes & 1u << POLICY_PURPOSE_ANY)
		policy__fault(faults, POLICY_FAULT_SPEC_PURPOSES, 0);
	uint32_t possible = spec->licence_mode == POLICY_ADAPTATION ? POLICY_OUTPUTS_ALL : (1u << POLICY_LICENCE_COUNT) - 2;
	if (spec->outputs & ~possible || (spec->licence_mode == POLICY_ADAPTATION && spec->outputs == 0))
		policy__fault(faults, POLICY_FAULT_SPEC_OUTPUTS, 0);
	if (spec->kinds == 0 || spec->kinds & ~POLICY_KINDS_ALL)
		policy__fault(faults, POLICY_FAULT_SPEC_KINDS, 0);
	if (spec->delegation_depth < 1 || spec->delegation_depth > POLICY_DEPTH_MAX)
		policy__fault(faults, POLICY_FAULT_SPEC_DEPTH, 0);
	if (spec->instant < spec->cutoff || spec->cutoff == POLICY_EVER || spec->instant == POLICY_NEVER)
		policy__fault(faults, POLICY_FAULT_SPEC_INSTANT, 0);
	if (spec->embargo < 0 || spec->retention < 0)
		policy__fault(faults, POLICY_FAULT_SPEC_DURATION, 0);
}

static bool toggle_sound(const struct policy_toggle *t)
{
	if (t->kind >= POLICY_TOGGLE_COUNT || t->kinds == 0 || t->kinds & ~POLICY_KINDS_ALL || t->uses & ~POLICY_USES_ALL ||
	    t->since >= t->until)
		return false;
	return (t->kind != POLICY_TOGGLE_SHIFT || t->uses != 0) && (t->kind != POLICY_TOGGLE_PLEDGE || t->cap != 0);
}

static void check_arrays(const struct policy_spec *spec, struct policy_faults *faults)
{
	for (size_t i = 0; i < spec->n_defaults; i++) {
		const struct policy_statement *s = &spec->defaults[i];
		if (!policy__statement_sound(s) || s->layer < POLICY_LAYER_COOP)
			policy__fault(faults, POLICY_FAULT_SPEC_DEFAULT, i);
	}
	if (spec->n_toggles > POLICY_TOGGLES_MAX || spec->n_rules > POLICY_RULES_MAX || spec->n_nodes > POLICY_NODES_MAX ||
	    spec->n_defaults >= POLICY_REF_ADDED - POLICY_REF_DEFAULTS) {
		policy__fault(faults, POLICY_FAULT_SPEC_SIZE, 0);
		return;
	}
	for (size_t i = 0; i < spec->n_toggles; i++)
		if (!toggle_sound(&spec->toggles[i]))
			policy__fault(faults, POLICY_FAULT_SPEC_TOGGLE, i);
	for (size_t i = 0; i < spec->n_rules; i++) {
		const struct policy_rule *rule = &spec->rules[i];
		if (rule->uses == 0 || rule->uses & ~POLICY_USES_ALL || rule->root >= spec->n_nodes ||
		    (rule->effect != POLICY_EXCLUDE && rule->effect != POLICY_HOLD))
			policy__fault(faults, POLICY_FAULT_SPEC_RULE, i);
	}
	for (size_t i = 0; i < spec->n_nodes; i++)
		if (!policy__node_sound(spec->nodes, spec->n_nodes, i))
			policy__fault(faults, POLICY_FAULT_SPEC_NODE, i);
}

/* ---- Tables ------------------------------------------------------------------------------------- */

policy_reasons policy__licence_reasons(const struct policy_spec *spec, unsigned licence)
{
	if (licence >= POLICY_LICENCE_COUNT)
		return POLICY_REASON(LIC_UNKNOWN) | POLICY_REASON(ENGINE_ERROR);
	if (licence == POLICY_LICENCE_UNKNOWN)
		return POLICY_REASON(LIC_UNKNOWN);
	if (spec->licence_mode == POLICY_COLLECTION) {
		if (spec->outputs != 0 && !(spec->outputs >> licence & 1))
			return POLICY_REASON(LIC_INCOMPATIBLE);
		return policy_licence_get(licence)->shares ? 0 : POLICY_REASON(LIC_REVIEW);
	}
	if (policy_licence_outputs(licence, POLICY_CELLS_PASS) & spec->outputs)
		return 0;
	policy_reasons reasons = 0;
	if (policy_licence_outputs(licence, 1u << POLICY_CELL_REVIEW) & spec->outputs)
		reasons |= POLICY_REASON(LIC_REVIEW);
	if (policy_licence_outputs(licence, 1u << POLICY_CELL_WAIVER) & spec->outputs)
		reasons |= POLICY_REASON(LIC_WAIVER);
	return reasons ? reasons : POLICY_REASON(LIC_INCOMPATIBLE);
}

static policy_reasons low_reasons(const struct policy_spec *spec, unsigned low)
{
	unsigned kind = low & 7, licence = low >> POLICY_ITEM_LICENCE_SHIFT & 63, moderation = low >> POLICY_ITEM_MODERATION_SHIFT;
	policy_reasons reasons = policy__licence_reasons(spec, licence);
	if (kind >= POLICY_KIND_COUNT)
		reasons |= POLICY_REASON(ENGINE_ERROR);
	else if (!(spec->kinds >> kind & 1))
		reasons |= POLICY_REASON(KIND_NOT_ACCEPTED);
	switch (moderation) {
	case POLICY_MODERATION_APPROVED:
		return reasons;
	case POLICY_MODERATION_PENDING:
		return reasons | POLICY_REASON(MODERATION_PENDING);
	case POLICY_MODERATION_REJECTED:
		return reasons | POLICY_REASON(MODERATION_REJECTED);
	default:
		return reasons | POLICY_REASON(ENGINE_ERROR);
	}
}

static policy_reasons flag_reasons(uint32_t flags)
{
	static const struct {
		uint32_t flag;          /* bit of the word */
		policy_reasons reason;  /* what it means */
	} meanings[] = {
		{POLICY_ITEM_PII, POLICY_REASON(PII_REVIEW)},
		{POLICY_ITEM_TOMBSTONED, POLICY_REASON(TOMBSTONED)},
		{POLICY_ITEM_ERASURE, POLICY_REASON(ERASURE_PENDING)},
		{POLICY_ITEM_RESTRICTED, POLICY_REASON(RESTRICTED)},
		{POLICY_ITEM_LEGAL_HOLD, POLICY_REASON(LEGAL_HOLD)},
		{POLICY_ITEM_DUPLICATE, POLICY_REASON(DUPLICATE_OF)},
		{POLICY_ITEM_MINOR, POLICY_REASON(MINOR)},
		{POLICY_ITEM_SPECIAL, POLICY_REASON(SPECIAL_CATEGORY)},
		{POLICY_ITEM_THIRD_PARTY, POLICY_REASON(THIRD_PARTY)},
		{POLICY_ITEM_WITHDRAWN, POLICY_REASON(CONSENT_WITHDRAWN)},
		{POLICY_ITEM_EMBARGOED, POLICY_REASON(EMBARGO_UNTIL)},
		{POLICY_ITEM_RESERVED, POLICY_REASON(ENGINE_ERROR)},
	};
	policy_reasons reasons = 0;
	for (size_t i = 0; i < sizeof meanings / sizeof meanings[0]; i++)
		if (flags & meanings[i].flag)
			reasons |= meanings[i].reason;
	return reasons;
}

/* What a rule about time says of items made within seconds [from, to). */
struct span {
	uint64_t from;          /* first second */
	uint64_t to;            /* first second after */
	uint8_t kinds;          /* kinds it touches, as bits of the packed word */
	policy_reasons reason;  /* what it says */
};

static policy_reasons toggle_reason(const struct policy_program *program, const struct policy_toggle *t)
{
	switch (t->kind) {
	case POLICY_TOGGLE_FREEZE:
		return POLICY_REASON(TOGGLE_FREEZE);
	case POLICY_TOGGLE_EMBARGO: {
		const uint16_t eval = POLICY_BIT(POLICY_USE_EVAL);
		return program->uses == eval && t->uses & eval ? 0 : POLICY_REASON(TOGGLE_EMBARGO);
	}
	case POLICY_TOGGLE_SHIFT:
		return policy_uses_expand(t->uses) & program->uses ? POLICY_REASON(TOGGLE_SHIFT) : 0;
	case POLICY_TOGGLE_PLEDGE:
		return POLICY_REASON(ASSURANCE_UNMET);
	default:
		return 0; /* a cap is a rule over the set */
	}
}

static size_t list_spans(const struct policy_program *program, struct span spans[POLICY__BREAKS])
{
	const struct policy_spec *spec = &program->spec;
	const uint64_t never = UINT64_C(1) << 32;
	size_t n = 0;
	spans[n++] = (struct span){policy__first_second(policy__plus(spec->cutoff, 1)), never, 0xff, POLICY_REASON(AFTER_CUTOFF)};
	if (spec->embargo)
		spans[n++] = (struct span){policy__first_second(policy__plus(policy__minus(spec->instant, spec->embargo), 1)), never,
		                           0xff, POLICY_REASON(EMBARGO_UNTIL)};
	if (spec->retention)
		spans[n++] = (struct span){0, policy__first_second(policy__plus(policy__minus(spec->instant, spec->retention), 1)), 0xff,
		                           POLICY_REASON(RETENTION_PASSED)};
	for (size_t i = 0; i < spec->n_toggles; i++) {
		const struct policy_toggle *t = &spec->toggles[i];
		policy_reasons reason = toggle_reason(program, t);
		if (reason)
			spans[n++] = (struct span){policy__first_second(t->since), policy__first_second(t->until), t->kinds, reason};
	}
	return n;
}

static void add_break(struct policy_program *program, uint64_t second)
{
	size_t n = program->n_breaks, at = 0;
	if (second == 0 || second >= UINT64_C(1) << 32)
		return;
	while (at < n && program->breaks[at] < second)
		at++;
	if (at < n && program->breaks[at] == second)
		return;
	memmove(&program->breaks[at + 1], &program->breaks[at], (n - at) * sizeof program->breaks[0]);
	program->breaks[at] = second;
	program->n_breaks++;
}

static void fill_times(struct policy_program *program)
{
	struct span spans[POLICY__BREAKS];
	size_t n = list_spans(program, spans);
	for (size_t i = 0; i < n; i++) {
		add_break(program, spans[i].from);
		add_break(program, spans[i].to);
	}
	for (size_t segment = 0; segment <= program->n_breaks; segment++) {
		uint64_t second = segment ? program->breaks[segment - 1] : 0;
		for (size_t i = 0; i < n; i++)
			for (unsigned kind = 0; kind < POLICY__KINDS; kind++)
				if (second >= spans[i].from && second < spans[i].to && spans[i].kinds >> kind & 1)
					program->by_time[segment][kind] |= spans[i].reason;
	}
	while (program->n_breaks % 4 != 0)
		program->breaks[program->n_breaks++] = UINT64_MAX;
}

static void fill_rules(struct policy_program *program)
{
	const struct policy_spec *spec = &program->spec;
	for (size_t i = 0; i < spec->n_rules; i++)
		if (policy_uses_expand(spec->rules[i].uses) & program->uses) {
			program->rules[program->n_rules++] = (uint8_t)i;
			program->marked[spec->rules[i].root] = 1;
		}
	for (size_t at = 0; at < spec->n_nodes; at++) {
		const struct policy_node *node = &spec->nodes[at];
		if (!program->marked[at])
			continue;
		program->n_nodes = at + 1;
		if (node->op == POLICY_NODE_TEST || node->op == POLICY_NODE_IN)
			program->needs_more |= policy__attribute_in_more(node->attribute);
		else
			for (size_t c = 0; c < node->count; c++)
				program->marked[node->first + c] = 1;
	}
}

static void fill_purposes(struct policy_program *program)
{
	for (unsigned p = 0; p < POLICY_PURPOSE_COUNT; p++)
		if (program->spec.purposes >> p & 1) {
			program->above[program->n_purposes] = policy_purpose_above(p);
			program->related[program->n_purposes] = policy_purpose_above(p) | policy_purpose_below(p);
			program->purposes[program->n_purposes++] = (uint8_t)p;
		}
}

static void fill_items(struct policy_program *program)
{
	const struct policy_spec *spec = &program->spec;
	for (unsigned low = 0; low < 2048; low++)
		program->by_low[low] = low_reasons(spec, low);
	for (uint32_t flags = 0; flags < 512; flags++)
		program->by_flags[flags] = flag_reasons(flags << 11);
	for (uint32_t flags = 0; flags < 8; flags++)
		program->by_high[flags] = flag_reasons(flags << 21);
	for (unsigned region = 0; region < 256; region++) {
		program->by_region[region] = spec->regions[region / 64] >> region % 64 & 1 ? 0 : POLICY_REASON(REGION);
		program->regions_matter |= program->by_region[region] != 0;
	}
	for (unsigned i = 0; i < POLICY_LICENCE_COUNT; i++)
		program->credit |= (uint64_t)policy_licence_get(i)->credit << i;
	program->cap = spec->volume_cap;
	for (size_t i = 0; i < spec->n_toggles; i++) {
		const struct policy_toggle *t = &spec->toggles[i];
		bool of_all = t->kinds == POLICY_KINDS_ALL && t->since == POLICY_EVER && t->until == POLICY_NEVER;
		if (t->kind == POLICY_TOGGLE_CAP && of_all && t->cap < program->cap)
			program->cap = t->cap;
	}
}

/* ---- Digest -------------------------------------------------------------------------------------- */

static void digest_arrays(struct policy__sha *sha, const struct policy_spec *spec)
{
	policy__sha_u64(sha, spec->n_defaults);
	for (size_t i = 0; i < spec->n_defaults; i++)
		policy__sha_statement(sha, &spec->defaults[i]);
	policy__sha_u64(sha, spec->n_toggles);
	for (size_t i = 0; i < spec->n_toggles; i++) {
		const struct policy_toggle *t = &spec->toggles[i];
		policy__sha_u64(sha, (uint64_t)t->kind << 56 | (uint64_t)t->kinds << 48 | (uint64_t)t->uses << 32 | t->id);
		policy__sha_u64(sha, t->cap);
		policy__sha_u64(sha, (uint64_t)t->since);
		policy__sha_u64(sha, (uint64_t)t->until);
	}
	policy__sha_u64(sha, spec->n_rules);
	for (size_t i = 0; i < spec->n_rules; i++) {
		const struct policy_rule *r = &spec->rules[i];
		policy__sha_u64(sha, (uint64_t)r->effect << 48 | (uint64_t)r->uses << 32 | r->id);
		policy__sha_u64(sha, r->root);
		policy__sha_text(sha, r->name.at, r->name.len);
	}
	policy__sha_u64(sha, spec->n_nodes);
	for (size_t i = 0; i < spec->n_nodes; i++) {
		const struct policy_node *n = &spec->nodes[i];
		policy__sha_u64(sha, (uint64_t)n->op << 56 | (uint64_t)n->attribute << 48 | (uint64_t)n->compare << 40);
		policy__sha_u64(sha, (uint64_t)n->first << 16 | n->count);
		policy__sha_u64(sha, (uint64_t)n->value);
		policy__sha_u64(sha, n->set);
	}
}

static void digest(const struct policy_spec *spec, uint8_t out[32])
{
	struct policy__sha sha;
	policy__sha_init(&sha);
	policy__sha_text(&sha, POLICY_ENGINE, sizeof POLICY_ENGINE - 1);
	policy__sha_u64(&sha, (uint64_t)spec->uses << 48 | (uint64_t)spec->uses_conditional << 32 |
	                          (uint64_t)spec->audience_duties << 16 | (uint64_t)spec->audience << 8 | spec->licence_mode);
	policy__sha_u64(&sha, (uint64_t)spec->purposes << 32 | spec->outputs);
	policy__sha_u64(&sha, (uint64_t)spec->kinds << 40 | (uint64_t)spec->delegation_depth << 32 | spec->delegation_cap);
	policy__sha_u64(&sha, spec->release_id);
	policy__sha_u64(&sha, (uint64_t)spec->notice_min << 32 | spec->k_contributors);
	policy__sha_u64(&sha, (uint64_t)spec->k_stratum << 32 | spec->assurance);
	policy__sha_u64(&sha, spec->volume_cap);
	policy__sha_u64(&sha, (uint64_t)spec->cutoff);
	policy__sha_u64(&sha, (uint64_t)spec->instant);
	policy__sha_u64(&sha, (uint64_t)spec->embargo);
	policy__sha_u64(&sha, (uint64_t)spec->retention);
	for (size_t i = 0; i < 4; i++)
		policy__sha_u64(&sha, spec->regions[i]);
	policy__sha_add(&sha, spec->seed, sizeof spec->seed);
	digest_arrays(&sha, spec);
	policy__sha_end(&sha, out);
}

/* ------------------------------------------------------------------------------------------------- */

enum policy_status policy_compile(const struct policy_spec *spec, struct policy_mem *mem,
                                  const struct policy_program **out, struct policy_faults *faults)
{
	struct policy_faults own = {NULL, 0, 0};
	if (!faults)
		faults = &own;
	size_t before = faults->n;
	*out = NULL;
	check_scalars(spec, faults);
	check_arrays(spec, faults);
	if (faults->n != before)
		return POLICY_INVALID;
	struct policy_program *program = policy__zalloc(mem, 1, sizeof *program);
	if (!program)
		return POLICY_NO_MEMORY;
	program->spec = *spec;
	program->uses = policy_uses_expand(spec->uses);
	program->times[0] = spec->cutoff;
	program->times[1] = spec->instant;
	program->n_times = spec->cutoff == spec->instant ? 1 : 2;
	fill_purposes(program);
	fill_items(program);
	fill_times(program);
	fill_rules(program);
	digest(spec, program->digest);
	*out = program;
	return POLICY_OK;
}

void policy_program_digest(const struct policy_program *program, uint8_t out[32])
{
	memcpy(out, program->digest, 32);
}

bool policy_program_needs_more(const struct policy_program *program)
{
	return program->needs_more;
}
