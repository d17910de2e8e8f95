/* vocab.c - names of everything in policy_vocab.h, the registry of reasons, and the purpose graph. */
#include "policy/internal.h"

#define NAME(sym, no, name) [no] = (name),
static const char *const use_names[] = {POLICY_USES(NAME)};
static const char *const duty_names[] = {POLICY_DUTIES(NAME)};
static const char *const kind_names[] = {POLICY_KINDS(NAME)};
static const char *const audience_names[] = {POLICY_AUDIENCES(NAME)};
static const char *const effect_names[] = {POLICY_EFFECTS(NAME)};
static const char *const layer_names[] = {POLICY_LAYERS(NAME)};
static const char *const standing_names[] = {POLICY_STANDINGS(NAME)};
static const char *const outcome_names[] = {POLICY_OUTCOMES(NAME)};
static const char *const gate_names[] = {POLICY_GATES(NAME)};
static const char *const fixer_names[] = {POLICY_FIXERS(NAME)};
#undef NAME

#define NAME(sym, no, name, parents, iri) [no] = (name),
static const char *const purpose_names[] = {POLICY_PURPOSES(NAME)};
#undef NAME
#define IRI(sym, no, name, parents, iri) [no] = (iri),
static const char *const purpose_iris[] = {POLICY_PURPOSES(IRI)};
#undef IRI
#define PARENTS(sym, no, name, parents, iri) [no] = (parents),
static const uint32_t purpose_parents[] = {POLICY_PURPOSES(PARENTS)};
#undef PARENTS
#define NAME(sym, no, name, iri) [no] = (name),
static const char *const consent_names[] = {POLICY_CONSENTS(NAME)};
#undef NAME
#define IRI(sym, no, name, iri) [no] = (iri),
static const char *const consent_iris[] = {POLICY_CONSENTS(IRI)};
#undef IRI
#define NAME(sym, no, name, bits) [no] = (name),
static const char *const attribute_names[] = {POLICY_ATTRIBUTES(NAME)};
#undef NAME
#define BITS(sym, no, name, bits) [no] = (bits),
static const uint8_t attribute_bits[] = {POLICY_ATTRIBUTES(BITS)};
#undef BITS

static const struct policy_reason registry[POLICY_REASON_COUNT] = {
#define X(sym, bit, severity, gate, fixer, message, reference) \
	[bit] = {#sym, message, reference, POLICY_##severity, POLICY_GATE_##gate, POLICY_FIXER_##fixer},
	POLICY_REASONS(X)
#undef X
};

#define COUNT(array) (sizeof(array) / sizeof(array)[0])

static const char *name_at(const char *const *names, size_t n, unsigned value)
{
	return value < n ? names[value] : NULL;
}

static int name_find(const char *const *names, size_t n, const char *name, size_t len)
{
	for (size_t i = 0; i < n; i++)
		if (names[i] && strlen(names[i]) == len && memcmp(names[i], name, len) == 0)
			return (int)i;
	return -1;
}

const char *policy_use_name(unsigned use) { return name_at(use_names, COUNT(use_names), use); }
const char *policy_duty_name(unsigned duty) { return name_at(duty_names, COUNT(duty_names), duty); }
const char *policy_purpose_name(unsigned purpose) { return name_at(purpose_names, COUNT(purpose_names), purpose); }
const char *policy_purpose_iri(unsigned purpose) { return name_at(purpose_iris, COUNT(purpose_iris), purpose); }
const char *policy_kind_name(unsigned kind) { return name_at(kind_names, COUNT(kind_names), kind); }
const char *policy_audience_name(unsigned audience) { return name_at(audience_names, COUNT(audience_names), audience); }
const char *policy_effect_name(unsigned effect) { return name_at(effect_names, COUNT(effect_names), effect); }
const char *policy_layer_name(unsigned layer) { return name_at(layer_names, COUNT(layer_names), layer); }
const char *policy_standing_name(unsigned standing) { return name_at(standing_names, COUNT(standing_names), standing); }
const char *policy_consent_name(unsigned consent) { return name_at(consent_names, COUNT(consent_names), consent); }
const char *policy_consent_iri(unsigned consent) { return name_at(consent_iris, COUNT(consent_iris), consent); }
const char *policy_outcome_name(unsigned outcome) { return name_at(outcome_names, COUNT(outcome_names), outcome); }
const char *policy_gate_name(unsigned gate) { return name_at(gate_names, COUNT(gate_names), gate); }
const char *policy_fixer_name(unsigned fixer) { return name_at(fixer_names, COUNT(fixer_names), fixer); }
const char *policy_attribute_name(unsigned a) { return name_at(attribute_names, COUNT(attribute_names), a); }

int policy_use_find(const char *name, size_t len) { return name_find(use_names, COUNT(use_names), name, len); }
int policy_duty_find(const char *name, size_t len) { return name_find(duty_names, COUNT(duty_names), name, len); }
int policy_kind_find(const char *name, size_t len) { return name_find(kind_names, COUNT(kind_names), name, len); }
int policy_audience_find(const char *name, size_t len)
{
	return name_find(audience_names, COUNT(audience_names), name, len);
}
int policy_effect_find(const char *name, size_t len) { return name_find(effect_names, COUNT(effect_names), name, len); }
int policy_layer_find(const char *name, size_t len) { return name_find(layer_names, COUNT(layer_names), name, len); }
int policy_standing_find(const char *name, size_t len)
{
	return name_find(standing_names, COUNT(standing_names), name, len);
}
int policy_outcome_find(const char *name, size_t len)
{
	return name_find(outcome_names, COUNT(outcome_names), name, len);
}
int policy_attribute_find(const char *name, size_t len)
{
	return name_find(attribute_names, COUNT(attribute_names), name, len);
}

int policy_purpose_find(const char *name_or_iri, size_t len)
{
	int found = name_find(purpose_names, COUNT(purpose_names), name_or_iri, len);
	return found >= 0 ? found : name_find(purpose_iris, COUNT(purpose_iris), name_or_iri, len);
}

int policy_consent_find(const char *name_or_iri, size_t len)
{
	int found = name_find(consent_names, COUNT(consent_names), name_or_iri, len);
	return found >= 0 ? found : name_find(consent_iris, COUNT(consent_iris), name_or_iri, len);
}

unsigned policy_attribute_bits(unsigned attribute)
{
	return attribute < COUNT(attribute_bits) ? attribute_bits[attribute] : 0;
}

const struct policy_reason *policy_reason_get(unsigned no)
{
	return no < POLICY_REASON_COUNT ? &registry[no] : NULL;
}

int policy_reason_find(const char *name, size_t len)
{
	for (int i = 0; i < POLICY_REASON_COUNT; i++)
		if (strlen(registry[i].name) == len && memcmp(registry[i].name, name, len) == 0)
			return i;
	return -1;
}

enum policy_outcome policy_outcome_of(policy_reasons reasons)
{
	return (enum policy_outcome)policy__outcome(reasons);
}

uint16_t policy_uses_expand(uint16_t uses)
{
	return uses & POLICY_BIT(POLICY_USE_MINE) ? (uint16_t)(uses | POLICY_USES_MINED) : uses;
}

uint32_t policy_purpose_above(unsigned purpose)
{
	if (purpose >= POLICY_PURPOSE_COUNT)
		return 0;
	uint32_t above = 1u << purpose;
	/* Numbers do not say who is above whom, so repeat until nothing is added. */
	for (uint32_t before = 0; before != above;) {
		before = above;
		for (unsigned p = 0; p < POLICY_PURPOSE_COUNT; p++)
			if (above >> p & 1)
				above |= purpose_parents[p];
	}
	return above;
}

uint32_t policy_purpose_below(unsigned purpose)
{
	if (purpose >= POLICY_PURPOSE_COUNT)
		return 0;
	uint32_t below = 0;
	for (unsigned p = 0; p < POLICY_PURPOSE_COUNT; p++)
		if (policy_purpose_above(p) >> purpose & 1)
			below |= 1u << p;
	return below;
}

/* The public can be held to what a licence or a label can carry; whoever signs terms, to everything. */
uint16_t policy_audience_duties(unsigned audience)
{
	const uint16_t public = POLICY_BIT(POLICY_DUTY_CREDIT) | POLICY_BIT(POLICY_DUTY_SHARE_ALIKE) |
	                        POLICY_BIT(POLICY_DUTY_NOTICE) | POLICY_BIT(POLICY_DUTY_OPEN);
	switch (audience) {
	case POLICY_AUDIENCE_MEMBERS:
	case POLICY_AUDIENCE_GATED_MANUAL:
		return POLICY_DUTIES_ALL;
	case POLICY_AUDIENCE_GATED_AUTO:
		return public | POLICY_BIT(POLICY_DUTY_REPORT) | POLICY_BIT(POLICY_DUTY_DELETE_BY) |
		       POLICY_BIT(POLICY_DUTY_PUBLISH_RESULTS);
	case POLICY_AUDIENCE_PUBLIC:
		return public;
	default:
		return 0;
	}
}
