/*
 * speech.c - the kernel: from statements to one effect for each use.
 *
 * Within one author and subject matter the latest statement counts. Within a layer deny > allow_if > allow.
 * Between layers: a denial in layers 0-2 or from outside is floor; else the nearest layer that has spoken;
 * a delegate that spoke later may tighten the member's default, never loosen it, never touch an item act.
 */
#include "policy/internal.h"

uint16_t policy__spoken(const struct policy_statement *s)
{
	bool reaches = s->effect == POLICY_EFFECT_DENY || s->effect == POLICY_EFFECT_NONE;
	return reaches ? policy_uses_expand(s->uses) : s->uses;
}

bool policy__in_force(const struct policy_statement *s, policy_instant at)
{
	return s->declared_at <= at && s->valid_from <= at && at < s->valid_to;
}

/* A grant for the purpose or an ancestor covers it; a denial of an ancestor, itself or a descendant denies it. */
bool policy__purpose_applies(const struct policy_program *program, unsigned purpose, const struct policy_statement *s)
{
	uint32_t bearing = s->effect == POLICY_EFFECT_DENY ? program->related[purpose] : program->above[purpose];
	return bearing >> s->purpose & 1;
}

bool policy__audience_applies(const struct policy_program *program, const struct policy_statement *s)
{
	if (s->audience == POLICY_AUDIENCE_ANY)
		return true;
	return s->effect == POLICY_EFFECT_DENY ? program->spec.audience >= s->audience
	                                       : program->spec.audience <= s->audience;
}

/* The subject matter as one number. */
static uint64_t matter(const struct policy_statement *s)
{
	uint64_t kind = s->selector == POLICY_SELECT_KIND ? s->kind : 0;
	return (uint64_t)s->layer << 48 | (uint64_t)s->selector << 40 | kind << 32 | (uint64_t)s->purpose << 24 |
	       (uint64_t)s->audience << 16 | s->flags;
}

bool policy__same_subject_matter(const struct policy_statement *a, const struct policy_statement *b)
{
	return matter(a) == matter(b);
}

bool policy__speech_before(const struct policy_statement *a, const struct policy_statement *b)
{
	if (matter(a) != matter(b))
		return matter(a) < matter(b);
	if (a->declared_at != b->declared_at)
		return a->declared_at > b->declared_at;
	return a->revision > b->revision;
}

void policy__hearing_init(struct policy__hearing *h, const struct policy_program *program, policy_instant at,
                          unsigned purpose, unsigned kind)
{
	*h = (struct policy__hearing){.program = program, .at = at, .purpose = (uint8_t)purpose, .kind = (uint8_t)kind};
}

/* Uses about which the layer has said anything that counts. */
static uint16_t spoke(const struct policy__said *said)
{
	return said->deny | said->allow_if | said->allow;
}

/* Uses on which the member's own default is no older than `when`: the member's later act wins at once, so
 * what the delegate said by then does not count. The member is heard before the delegate. */
static uint16_t settled_since(const struct policy__hearing *h, policy_instant when)
{
	const struct policy__said *own = &h->said[POLICY_LAYER_SUBJECT];
	uint16_t uses = 0;
	for (unsigned u = 0; u < POLICY_USE_COUNT; u++)
		if (spoke(own) >> u & 1 && own->when[u] >= when)
			uses |= (uint16_t)POLICY_BIT(u);
	return uses;
}

/* Write down a statement that counts, for the uses for which it does. */
static void note(struct policy__hearing *h, const struct policy_statement *s, uint16_t uses)
{
	if (s->flags & POLICY_STATEMENT_EXTERNAL) {
		if (s->effect != POLICY_EFFECT_DENY)
			return;
		for (unsigned u = 0; u < POLICY_USE_COUNT; u++)
			if (uses >> u & 1 && (!(h->external >> u & 1) || s->declared_at > h->external_at[u]))
				h->external_at[u] = s->declared_at;
		h->external |= uses;
		return;
	}
	if (s->layer == POLICY_LAYER_DELEGATE)
		uses &= (uint16_t)~settled_since(h, s->declared_at);
	struct policy__said *said = &h->said[s->layer];
	for (unsigned u = 0; u < POLICY_USE_COUNT; u++) {
		if (!(uses >> u & 1))
			continue;
		if (!(spoke(said) >> u & 1) || s->declared_at > said->when[u])
			said->when[u] = s->declared_at;
		if (s->effect == POLICY_EFFECT_ALLOW_IF)
			said->duties[u] |= s->duties;
	}
	if (s->effect == POLICY_EFFECT_DENY)
		said->deny |= uses;
	else if (s->effect == POLICY_EFFECT_ALLOW_IF)
		said->allow_if |= uses;
	else
		said->allow |= uses;
}

/* Statements come by subject matter, the latest first: within one matter a statement counts for the uses
 * that nothing later speaks about. Equal times and revisions stand side by side. External statements
 * neither replace nor are replaced. */
void policy__hear(struct policy__hearing *h, const uint32_t *refs, size_t n, policy__speech *speech, const void *ctx)
{
	const struct policy_statement *last = NULL;
	uint16_t later = 0, level = 0;
	for (size_t i = 0; i < n; i++) {
		const struct policy_statement *s = speech(ctx, refs[i]);
		if (!policy__in_force(s, h->at))
			continue;
		if (!last || !policy__same_subject_matter(last, s)) {
			later = level = 0;
		} else if (policy__speech_before(last, s)) {
			later |= level;
			level = 0;
		}
		last = s;
		uint16_t uses = policy__spoken(s);
		level |= uses;
		if (!(s->flags & POLICY_STATEMENT_EXTERNAL))
			uses &= (uint16_t)~later;
		if (s->selector == POLICY_SELECT_KIND && s->kind != h->kind)
			continue;
		if (s->effect != POLICY_EFFECT_NONE && policy__purpose_applies(h->program, h->purpose, s) &&
		    policy__audience_applies(h->program, s))
			note(h, s, uses);
	}
}

/* Whether a denial from outside still stands: only a later act of the subject on the item lifts it. */
static bool external_stands(const struct policy__hearing *h, unsigned use)
{
	const struct policy__said *item = &h->said[POLICY_LAYER_ITEM];
	if (!(h->external >> use & 1))
		return false;
	return !((item->allow | item->allow_if) >> use & 1) || item->when[use] <= h->external_at[use];
}

static unsigned effect_of(const struct policy__said *said, unsigned use, uint16_t *duties)
{
	if (said->deny >> use & 1)
		return POLICY__DENY;
	if (said->allow_if >> use & 1) {
		*duties |= said->duties[use];
		return POLICY__ALLOW_IF;
	}
	return POLICY__ALLOW;
}

unsigned policy__settle(const struct policy__hearing *h, unsigned use, uint16_t *duties, uint8_t *layer,
                        bool *tightened)
{
	*tightened = false;
	for (unsigned l = POLICY_LAYER_LAW; l <= POLICY_LAYER_SUBJECT; l++)
		if (h->said[l].deny >> use & 1) {
			*layer = (uint8_t)l;
			return POLICY__DENY;
		}
	*layer = POLICY_LAYER_COUNT;
	if (external_stands(h, use))
		return POLICY__DENY;
	unsigned l = POLICY_LAYER_ITEM;
	while (l < POLICY_LAYER_COUNT && !(spoke(&h->said[l]) >> use & 1))
		l++;
	if (l == POLICY_LAYER_COUNT)
		return POLICY__UNKNOWN;
	*layer = (uint8_t)l;
	unsigned effect = effect_of(&h->said[l], use, duties);
	const struct policy__said *delegate = &h->said[POLICY_LAYER_DELEGATE];
	if (l != POLICY_LAYER_SUBJECT || !((delegate->deny | delegate->allow_if) >> use & 1))
		return effect;
	*tightened = true;
	return effect_of(delegate, use, duties);
}
