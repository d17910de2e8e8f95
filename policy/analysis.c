/*
 * analysis.c - what can be said of a charter's rules without any item.
 *
 * Every case that the rules can tell apart is listed and decided, 64 at a time; what holds for all of them holds
 * for every item there will ever be.
 */
#include "policy/internal.h"

static const struct {
	const char *name; /* stable word */
	const char *text; /* a clause for people */
} finding_words[POLICY_FINDING_COUNT] = {
#define X(sym, name, text) [POLICY_FINDING_##sym] = {name, text},
	POLICY_FINDINGS(X)
#undef X
};

const char *policy_finding_name(unsigned code)
{
	return code < POLICY_FINDING_COUNT ? finding_words[code].name : NULL;
}

const char *policy_finding_text(unsigned code)
{
	return code < POLICY_FINDING_COUNT ? finding_words[code].text : NULL;
}

/* What was learnt of the rules over all cases. Bits are rules. */
struct facts {
	uint64_t meets[POLICY_RULES_MAX + 1];        /* one past: cases that pass the gates about items */
	uint64_t witness_word[POLICY_RULES_MAX];     /* a case that the rule meets */
	uint64_t witness_more[POLICY_RULES_MAX];     /* its second word */
	uint64_t alone[POLICY_RULES_MAX];            /* rules that in some case do not meet what this one does */
	uint64_t together[POLICY_RULES_MAX];         /* rules with which this one leaves some admissible case */
	bool uncovered[POLICY_RULES_MAX];            /* some case that it meets and nobody as strict does */
	uint64_t active;                             /* rules that concern the release */
	uint64_t always;                             /* rules that meet every case */
	bool passes;                                 /* some case passes everything */
};

/* The findings being written. */
struct findings {
	struct policy_finding *at; /* places */
	size_t cap;                /* how many */
	size_t n;                  /* how many there would be */
};

static void find(struct findings *f, unsigned code, size_t index, size_t other, uint64_t word, uint64_t more)
{
	if (f->n < f->cap)
		f->at[f->n] = (struct policy_finding){code, (uint32_t)index, (uint32_t)other, word, more};
	f->n++;
}

static uint64_t as_strict_as(const struct policy_spec *spec, size_t rule)
{
	uint64_t set = 0;
	for (size_t i = 0; i < spec->n_rules; i++)
		if (i != rule && spec->rules[i].effect >= spec->rules[rule].effect)
			set |= UINT64_C(1) << i;
	return set;
}

static void learn_case(const uint64_t *strict, uint64_t hit, bool admissible,
                       uint64_t word, uint64_t more, struct facts *facts)
{
	for (uint64_t left = hit; left; left &= left - 1) {
		unsigned r = (unsigned)__builtin_ctzll(left);
		if (facts->meets[r]++ == 0) {
			facts->witness_word[r] = word;
			facts->witness_more[r] = more;
		}
		facts->alone[r] |= ~hit;
		facts->uncovered[r] |= !(hit & strict[r]);
	}
	facts->always &= hit;
	if (!admissible)
		return;
	facts->passes |= hit == 0;
	for (uint64_t left = facts->active & ~hit; left; left &= left - 1)
		facts->together[__builtin_ctzll(left)] |= ~hit;
}

static void learn(const struct policy_program *program, const struct policy__domain *domain, struct facts *facts)
{
	const struct policy_spec *spec = &program->spec;
	uint64_t strict[POLICY_RULES_MAX], words[POLICY__BLOCK], more[POLICY__BLOCK], holds[POLICY_NODES_MAX];
	*facts = (struct facts){0};
	for (size_t i = 0; i < program->n_rules; i++)
		facts->active |= UINT64_C(1) << program->rules[i];
	for (size_t i = 0; i < spec->n_rules; i++)
		strict[i] = as_strict_as(spec, i) & facts->active;
	facts->always = facts->active;
	for (uint64_t base = 0; base < domain->cases; base += POLICY__BLOCK) {
		size_t n = domain->cases - base < POLICY__BLOCK ? (size_t)(domain->cases - base) : POLICY__BLOCK;
		for (size_t i = 0; i < n; i++)
			policy__domain_case(domain, base + i, &words[i], &more[i]);
		policy__nodes_eval(spec->nodes, program->marked, program->n_nodes, words, more, n, holds);
		for (size_t i = 0; i < n; i++) {
			uint64_t hit = 0;
			for (size_t r = 0; r < program->n_rules; r++)
				hit |= (holds[spec->rules[program->rules[r]].root] >> i & 1) << program->rules[r];
			learn_case(strict, hit, policy__item_reasons(program, words[i]) == 0, words[i], more[i], facts);
		}
	}
}

/* Rules that each by themselves cover what `rule` meets; of two that cover each other the first stays. */
static uint64_t covers(const struct policy_spec *spec, const struct facts *facts, size_t rule)
{
	uint64_t covering = as_strict_as(spec, rule) & facts->active & ~facts->alone[rule];
	for (size_t i = rule + 1; i < spec->n_rules; i++)
		if (covering >> i & 1 && spec->rules[i].effect == spec->rules[rule].effect && !(facts->alone[i] >> rule & 1))
			covering &= ~(UINT64_C(1) << i);
	return covering;
}

static void judge_rule(const struct policy_spec *spec, const struct facts *facts, size_t r, struct findings *out)
{
	uint64_t word = facts->witness_word[r], more = facts->witness_more[r];
	if (!(facts->active >> r & 1) || facts->meets[r] == 0) {
		find(out, POLICY_FINDING_NEVER_APPLIES, r, POLICY_NO_ROW, 0, 0);
		return;
	}
	if (facts->always >> r & 1)
		find(out, POLICY_FINDING_ALWAYS_APPLIES, r, POLICY_NO_ROW, word, more);
	uint64_t covering = covers(spec, facts, r);
	if (covering)
		find(out, POLICY_FINDING_SHADOWED, r, (size_t)__builtin_ctzll(covering), word, more);
	else if (!facts->uncovered[r] && !(as_strict_as(spec, r) & facts->active & ~facts->alone[r]))
		find(out, POLICY_FINDING_SHADOWED, r, POLICY_NO_ROW, word, more);
	for (size_t other = r + 1; other < spec->n_rules; other++) {
		uint64_t both = UINT64_C(1) << r | UINT64_C(1) << other;
		if ((facts->active & both) == both && !(facts->always & both) && facts->meets[other] &&
		    !(facts->together[r] >> other & 1))
			find(out, POLICY_FINDING_CONTRADICTS, r, other, word, more);
	}
}

/* ---- Defaults and controls -------------------------------------------------------------------------------------- */

static const struct policy_statement *speech(const void *ctx, uint32_t ref)
{
	return &((const struct policy_program *)ctx)->spec.defaults[ref];
}

static bool before(const void *ctx, uint32_t a, uint32_t b)
{
	return policy__speech_before(speech(ctx, a), speech(ctx, b));
}

/* Whether leaving the default out changes what the defaults come to for any kind, purpose, time and use. */
static bool decides(const struct policy_program *program, const uint32_t *order, uint32_t *without, size_t n, uint32_t which)
{
	size_t m = 0;
	for (size_t i = 0; i < n; i++)
		if (order[i] != which)
			without[m++] = order[i];
	for (unsigned time = 0; time < program->n_times; time++)
		for (unsigned p = 0; p < program->n_purposes; p++)
			for (unsigned kind = 0; kind < POLICY_KIND_COUNT; kind++) {
				struct policy__hearing with, sans;
				policy__hearing_init(&with, program, program->times[time], p, kind);
				policy__hearing_init(&sans, program, program->times[time], p, kind);
				policy__hear(&with, order, n, speech, program);
				policy__hear(&sans, without, m, speech, program);
				for (unsigned use = 0; use < POLICY_USE_COUNT; use++) {
					uint16_t duties_with = 0, duties_sans = 0;
					uint8_t layer;
					bool tightened;
					if (program->uses >> use & 1 &&
					    (policy__settle(&with, use, &duties_with, &layer, &tightened) !=
					         policy__settle(&sans, use, &duties_sans, &layer, &tightened) ||
					     duties_with != duties_sans))
						return true;
				}
			}
	return false;
}

static enum policy_status judge_defaults(const struct policy_program *program, struct policy_mem *mem, struct findings *out)
{
	size_t n = program->spec.n_defaults;
	uint32_t *order = policy__alloc(mem, n, sizeof *order), *without = policy__alloc(mem, n, sizeof *without);
	if (!order || !without)
		return POLICY_NO_MEMORY;
	for (uint32_t i = 0; i < n; i++)
		order[i] = i;
	policy__sort(order, n, before, program);
	for (uint32_t i = 0; i < n; i++)
		if (!decides(program, order, without, n, i))
			find(out, POLICY_FINDING_DEFAULT_SHADOWED, i, POLICY_NO_ROW, 0, 0);
	return POLICY_OK;
}

static bool inert(const struct policy_program *program, const struct policy_toggle *t)
{
	if (t->kind == POLICY_TOGGLE_CAP && t->cap >= program->spec.volume_cap)
		return true;
	if (!(t->kinds & program->spec.kinds) || policy__first_second(t->since) > policy__first_second(program->spec.cutoff) ||
	    policy__first_second(t->since) >= policy__first_second(t->until))
		return true;
	if (t->kind == POLICY_TOGGLE_SHIFT)
		return !(policy_uses_expand(t->uses) & program->uses);
	const uint16_t eval = POLICY_BIT(POLICY_USE_EVAL);
	return t->kind == POLICY_TOGGLE_EMBARGO && program->uses == eval && t->uses & eval;
}

enum policy_status policy_analyse(const struct policy_spec *spec, struct policy_mem *mem, struct policy_finding *at,
                                  size_t cap, size_t *n)
{
	const struct policy_program *program;
	struct findings out = {at, cap, 0};
	*n = 0;
	enum policy_status status = policy_compile(spec, mem, &program, NULL);
	if (status != POLICY_OK)
		return status;
	struct policy__domain *domain = policy__alloc(mem, 1, sizeof *domain);
	struct facts *facts = policy__alloc(mem, 1, sizeof *facts);
	if (!domain || !facts)
		return POLICY_NO_MEMORY;
	if (policy__domain_init(domain, program, NULL, false)) {
		learn(program, domain, facts);
		for (size_t r = 0; r < spec->n_rules; r++)
			judge_rule(spec, facts, r, &out);
		if (!facts->passes || program->cap == 0)
			find(&out, POLICY_FINDING_DENIES_ALL, POLICY_NO_ROW, POLICY_NO_ROW, 0, 0);
	} else {
		find(&out, POLICY_FINDING_TOO_LARGE, POLICY_NO_ROW, POLICY_NO_ROW, 0, 0);
	}
	for (size_t i = 0; i < spec->n_toggles; i++)
		if (inert(program, &spec->toggles[i]))
			find(&out, POLICY_FINDING_TOGGLE_INERT, i, POLICY_NO_ROW, 0, 0);
	status = judge_defaults(program, mem, &out);
	*n = out.n < cap ? out.n : cap;
	return status;
}
