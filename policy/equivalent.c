/*
 * equivalent.c - do two charters decide alike?
 *
 * What an item says of itself and what its people say are OR-ed, so the two sides are compared one at a time, each
 * against the other side at its best. On the people's side a specification enters only through its uses,
 * purposes, audience, duties, times and defaults; one statement over a silent and over a willing member probes
 * each of them.
 */
#include "policy/internal.h"

/* The comparison under way. */
struct pair {
	const struct policy_program *a; /* first */
	const struct policy_program *b; /* second */
	struct policy_mem *mem;         /* the caller's */
	uint8_t *scratch;               /* for the rows of one member */
	size_t size;                    /* its size */
	struct policy_witness *out;     /* where a case is written */
	uint64_t good_word;             /* an item without reasons under both, if there is one */
	uint64_t good_more;             /* its second word */
};

static policy_reasons rules_say(const struct policy_program *program, uint64_t word, uint64_t more)
{
	uint64_t holds[POLICY_NODES_MAX];
	policy_reasons reasons = policy__item_reasons(program, word);
	policy__nodes_eval(program->spec.nodes, program->marked, program->n_nodes, &word, &more, 1, holds);
	for (size_t r = 0; r < program->n_rules; r++) {
		const struct policy_rule *rule = &program->spec.rules[program->rules[r]];
		if (holds[rule->root] & 1)
			reasons |= rule->effect == POLICY_EXCLUDE ? POLICY_REASON(CHARTER_DENY) : POLICY_REASON(CHARTER_HOLD);
	}
	return reasons;
}

static bool differ(struct pair *pair, policy_reasons a, policy_reasons b)
{
	pair->out->a = a;
	pair->out->b = b;
	return policy__outcome(a) != policy__outcome(b);
}

/* The next cap by vote from `at`; NULL after the last. */
static const struct policy_toggle *next_cap(const struct policy_spec *spec, size_t *at)
{
	while (*at < spec->n_toggles)
		if (spec->toggles[(*at)++].kind == POLICY_TOGGLE_CAP)
			return &spec->toggles[*at - 1];
	return NULL;
}

/* Caps by vote draw lots one after the other, so their order counts too. */
static bool caps_differ(const struct policy_spec *x, const struct policy_spec *y)
{
	size_t at_x = 0, at_y = 0;
	bool any = false;
	for (;;) {
		const struct policy_toggle *a = next_cap(x, &at_x), *b = next_cap(y, &at_y);
		if (!a || !b)
			return a != b || (any && memcmp(x->seed, y->seed, sizeof x->seed) != 0);
		if (a->kinds != b->kinds || a->cap != b->cap || a->since != b->since || a->until != b->until)
			return true;
		any = true;
	}
}

/* Rules over the set, and limits of delegation: compared as values. */
static bool limits_differ(const struct policy_program *a, const struct policy_program *b)
{
	const struct policy_spec *x = &a->spec, *y = &b->spec;
	uint32_t k_x = x->k_contributors > 1 ? x->k_contributors : 0, k_y = y->k_contributors > 1 ? y->k_contributors : 0;
	uint32_t s_x = x->k_stratum > 1 ? x->k_stratum : 0, s_y = y->k_stratum > 1 ? y->k_stratum : 0;
	bool chooses = x->licence_mode == POLICY_ADAPTATION && (x->outputs & (x->outputs - 1)) != 0;
	return k_x != k_y || s_x != s_y || x->assurance != y->assurance || a->cap != b->cap || caps_differ(x, y) ||
	       x->delegation_depth != y->delegation_depth || x->delegation_cap != y->delegation_cap ||
	       x->release_id != y->release_id || (chooses && x->outputs != y->outputs) ||
	       (a->cap != POLICY_NO_CAP && memcmp(x->seed, y->seed, sizeof x->seed) != 0);
}

static bool items_differ(struct pair *pair, const struct policy__domain *domain, bool *any_good)
{
	*any_good = false;
	for (uint64_t no = 0; no < domain->cases; no++) {
		uint64_t word, more;
		policy__domain_case(domain, no, &word, &more);
		policy_reasons a = rules_say(pair->a, word, more), b = rules_say(pair->b, word, more);
		if (differ(pair, a, b)) {
			pair->out->word = word;
			pair->out->more = more;
			return true;
		}
		if (a == 0 && b == 0) {
			pair->good_word = word;
			pair->good_more = more;
			*any_good = true;
		}
	}
	return false;
}

/* ---- People ------------------------------------------------------------------------------------------------------ */

static policy_reasons row_of(struct pair *pair, const struct policy_program *program, const struct policy_witness *w)
{
	struct policy_area area;
	struct policy_rows *rows;
	const struct policy_facts facts = {.members = &w->member, .n_members = 1, .statements = w->said, .n_statements = w->n_said};
	policy_area_init(&area, pair->scratch, pair->size);
	if (policy_rows_build(program, &facts, &area.mem, &rows, NULL) != POLICY_OK)
		return POLICY_REASON(ENGINE_ERROR);
	policy_reasons reasons = 0;
	for (unsigned kind = 0; kind < POLICY_KIND_COUNT; kind++)
		if (program->spec.kinds >> kind & 1 && kind == (pair->good_word & 7))
			reasons = policy_rows_get(rows, 0, kind).reasons;
	return reasons;
}

static bool people_differ_in(struct pair *pair)
{
	return differ(pair, row_of(pair, pair->a, pair->out), row_of(pair, pair->b, pair->out));
}

static struct policy_member willing_member(void)
{
	return (struct policy_member){.standing = POLICY_STANDING_ACTIVE, .consent = POLICY_CONSENT_GIVEN, .notice = UINT32_MAX,
	                              .purposes = 1u << POLICY_PURPOSE_ANY, .consent_given = POLICY_EVER,
	                              .consent_expires = POLICY_NEVER, .defaults_accepted = POLICY_NEVER};
}

static struct policy_statement grant(uint16_t uses)
{
	return (struct policy_statement){.item = POLICY_NO_ITEM, .uses = uses, .effect = POLICY_EFFECT_ALLOW,
	                                 .layer = POLICY_LAYER_SUBJECT, .declared_at = POLICY_EVER, .valid_from = POLICY_EVER,
	                                 .valid_to = POLICY_NEVER};
}

/* Instants on both sides of every time that a program or its defaults know. */
enum { TIMES_MAX = 64 };
static void add_time(policy_instant *at, size_t *n, policy_instant t)
{
	for (int64_t side = 0; side <= 1 && *n < TIMES_MAX; side++)
		at[(*n)++] = policy__plus(t, side);
}

static size_t list_times(const struct pair *pair, policy_instant at[TIMES_MAX])
{
	size_t n = 0;
	add_time(at, &n, pair->a->spec.cutoff);
	add_time(at, &n, pair->a->spec.instant);
	add_time(at, &n, pair->b->spec.cutoff);
	add_time(at, &n, pair->b->spec.instant);
	return n;
}

/* Consent: purposes, notice, times, and whether the defaults were accepted. Everyone here allows everything, or
 * says nothing and leaves it to the defaults. */
static bool consents_differ(struct pair *pair, const policy_instant *times, size_t n_times)
{
	struct policy_witness *w = pair->out;
	const uint32_t notices[] = {pair->a->spec.notice_min, pair->b->spec.notice_min};
	for (int speaks = 0; speaks <= 1; speaks++) {
		w->said[0] = grant(POLICY_USES_ALL);
		w->n_said = (size_t)speaks;
		w->member = willing_member();
		for (uint32_t purposes = 0; speaks && purposes <= POLICY_PURPOSES_ALL; purposes++) {
			w->member.purposes = purposes;
			policy_reasons a = policy__member_reasons(pair->a, &w->member), b = policy__member_reasons(pair->b, &w->member);
			if (policy__outcome(a) != policy__outcome(b) && people_differ_in(pair))
				return true;
		}
		for (int i = 0; i < 4; i++) {
			w->member = willing_member();
			w->member.notice = notices[i / 2] - (uint32_t)(i % 2 && notices[i / 2]);
			if (people_differ_in(pair))
				return true;
		}
		for (size_t t = 0; t < n_times; t++)
			for (int field = 0; field < 3; field++) {
				w->member = willing_member();
				*(policy_instant *[]){&w->member.consent_given, &w->member.consent_expires,
				                      &w->member.defaults_accepted}[field] = times[t];
				if (people_differ_in(pair))
					return true;
			}
		w->member = willing_member();
		w->member.defaults_accepted = POLICY_EVER;
		if (people_differ_in(pair))
			return true;
	}
	return false;
}

static bool statement_differs(struct pair *pair, unsigned use, unsigned effect, bool accepted)
{
	struct policy_witness *w = pair->out;
	struct policy_statement *s = &w->said[1];
	for (unsigned purpose = 0; purpose < POLICY_PURPOSE_COUNT; purpose++)
		for (unsigned audience = 0; audience < POLICY_AUDIENCE_COUNT; audience++) {
			w->member = willing_member();
			w->member.defaults_accepted = accepted ? POLICY_EVER : POLICY_NEVER;
			w->said[0] = grant(POLICY_USES_ALL & (uint16_t)~POLICY_BIT(use));
			*s = grant((uint16_t)POLICY_BIT(use));
			s->effect = (uint8_t)effect;
			s->duties = effect == POLICY_EFFECT_ALLOW_IF ? POLICY_BIT(POLICY_DUTY_CREDIT) : 0;
			s->purpose = (uint8_t)purpose;
			s->audience = (uint8_t)audience;
			w->n_said = effect == POLICY_EFFECT_NONE ? 1 : 2;
			if (people_differ_in(pair))
				return true;
		}
	return false;
}

static bool speeches_differ(struct pair *pair, const policy_instant *times, size_t n_times)
{
	struct policy_witness *w = pair->out;
	for (unsigned use = 0; use < POLICY_USE_COUNT; use++) {
		for (unsigned effect = 0; effect < POLICY_EFFECT_COUNT; effect++)
			for (int accepted = 0; accepted <= 1; accepted++)
				if (statement_differs(pair, use, effect, accepted))
					return true;
		w->member = willing_member();
		w->n_said = 2;
		for (unsigned duty = 0; duty < POLICY_DUTY_COUNT; duty++) {
			w->said[1] = grant((uint16_t)POLICY_BIT(use));
			w->said[1].effect = POLICY_EFFECT_ALLOW_IF;
			w->said[1].duties = (uint16_t)POLICY_BIT(duty);
			if (people_differ_in(pair))
				return true;
		}
		for (size_t t = 0; t < n_times; t++)
			for (unsigned effect = POLICY_EFFECT_ALLOW; effect <= POLICY_EFFECT_DENY; effect += 2) {
				w->said[1] = grant((uint16_t)POLICY_BIT(use));
				w->said[1].effect = (uint8_t)effect;
				w->said[1].declared_at = times[t];
				if (people_differ_in(pair))
					return true;
			}
	}
	return false;
}

enum policy_status policy_equivalent(const struct policy_spec *a, const struct policy_spec *b, struct policy_mem *mem,
                                     struct policy_witness *out)
{
	struct pair pair = {.mem = mem, .out = out, .size = sizeof(struct policy_rows) + ((size_t)1 << 19)};
	memset(out, 0, sizeof *out);
	enum policy_status status = policy_compile(a, mem, &pair.a, NULL);
	if (status == POLICY_OK)
		status = policy_compile(b, mem, &pair.b, NULL);
	if (status != POLICY_OK)
		return status;
	pair.size += 64 * (a->n_defaults + b->n_defaults);
	struct policy__domain *domain = policy__alloc(mem, 1, sizeof *domain);
	pair.scratch = policy__alloc(mem, pair.size, 1);
	if (!domain || !pair.scratch)
		return POLICY_NO_MEMORY;
	if (limits_differ(pair.a, pair.b))
		return POLICY_DIFFERS;
	if (!policy__domain_init(domain, pair.a, pair.b, true))
		return POLICY_NO_ROOM;
	out->member = willing_member();
	out->said[0] = grant(POLICY_USES_ALL);
	out->n_said = 1;
	bool any_good;
	if (items_differ(&pair, domain, &any_good))
		return POLICY_DIFFERS;
	if (!any_good) {
		memset(out, 0, sizeof *out);
		return POLICY_OK; /* neither lets any item in, so who contributes it cannot matter */
	}
	out->word = pair.good_word;
	out->more = pair.good_more;
	policy_instant times[TIMES_MAX];
	size_t n_times = list_times(&pair, times);
	if (consents_differ(&pair, times, n_times) || speeches_differ(&pair, times, n_times))
		return POLICY_DIFFERS;
	memset(out, 0, sizeof *out);
	return POLICY_OK;
}
