/* domain.c - the items that a specification can tell apart, as a finite list. */
#include "policy/internal.h"

static void add(struct policy__domain *d, unsigned attribute, uint64_t value)
{
	uint16_t n = d->n[attribute], at = 0;
	uint32_t *values = d->values[attribute];
	if (value >> policy_attribute_bits(attribute) || n == POLICY__VALUES)
		return;
	while (at < n && values[at] < value)
		at++;
	if (at < n && values[at] == value)
		return;
	memmove(&values[at + 1], &values[at], (size_t)(n - at) * sizeof *values);
	values[at] = (uint32_t)value;
	d->n[attribute]++;
}

static void add_range(struct policy__domain *d, unsigned attribute, unsigned n)
{
	for (unsigned v = 0; v < n; v++)
		add(d, attribute, v);
}

static void add_sides(struct policy__domain *d, unsigned attribute, uint64_t value)
{
	if (value)
		add(d, attribute, value - 1);
	add(d, attribute, value);
	add(d, attribute, value + 1);
}

/* How many values of a small attribute mean something. */
static unsigned meaningful(unsigned attribute)
{
	switch (attribute) {
	case POLICY_ATTR_KIND:
		return POLICY_KIND_COUNT;
	case POLICY_ATTR_LICENCE:
		return POLICY_LICENCE_COUNT;
	case POLICY_ATTR_MODERATION:
		return POLICY_MODERATION_COUNT;
	default:
		return 1u << policy_attribute_bits(attribute);
	}
}

static void add_rules(struct policy__domain *d, const struct policy_program *program)
{
	for (size_t i = 0; i < program->spec.n_nodes; i++) {
		const struct policy_node *node = &program->spec.nodes[i];
		if (node->op != POLICY_NODE_TEST && node->op != POLICY_NODE_IN)
			continue;
		if (policy_attribute_bits(node->attribute) <= 6)
			add_range(d, node->attribute, meaningful(node->attribute));
		else
			add_sides(d, node->attribute, (uint64_t)node->value);
	}
	for (size_t i = 0; i < program->n_breaks; i++)
		if (program->breaks[i] != UINT64_MAX)
			add_sides(d, POLICY_ATTR_CREATED, program->breaks[i]);
}

/* Where no rule looks: a value that lets an item pass, if there is one. */
static void add_harmless(struct policy__domain *d, const struct policy_program *program)
{
	add_range(d, POLICY_ATTR_KIND, POLICY_KIND_COUNT);
	for (unsigned l = 0; d->n[POLICY_ATTR_LICENCE] == 0 && l < POLICY_LICENCE_COUNT; l++)
		if (policy__licence_reasons(&program->spec, l) == 0)
			add(d, POLICY_ATTR_LICENCE, l);
	bool any_region = false;
	for (unsigned r = 0; r < 256 && !any_region; r++)
		if (program->by_region[r] == 0) {
			add(d, POLICY_ATTR_REGION, r);
			any_region = true;
		}
	if (d->n[POLICY_ATTR_MODERATION] == 0)
		add(d, POLICY_ATTR_MODERATION, POLICY_MODERATION_APPROVED);
	if (d->n[POLICY_ATTR_ATTRIBUTED] == 0)
		add(d, POLICY_ATTR_ATTRIBUTED, 1);
}

bool policy__domain_init(struct policy__domain *d, const struct policy_program *a, const struct policy_program *b, bool whole)
{
	memset(d, 0, sizeof *d);
	add_rules(d, a);
	if (b)
		add_rules(d, b);
	if (whole) {
		add_range(d, POLICY_ATTR_KIND, POLICY_KIND_COUNT);
		add_range(d, POLICY_ATTR_LICENCE, POLICY_LICENCE_COUNT);
		add_range(d, POLICY_ATTR_ATTRIBUTED, 2);
		for (unsigned r = 0; b && r < 256; r++)
			if (a->by_region[r] != b->by_region[r])
				add(d, POLICY_ATTR_REGION, r);
	}
	add_harmless(d, a);
	d->cases = 1;
	for (unsigned i = 0; i < POLICY_ATTR_COUNT; i++) {
		if (d->n[i] == 0)
			add(d, i, 0);
		d->cases *= d->n[i];
		if (d->cases > POLICY__CASES_MAX)
			return false;
	}
	return true;
}

void policy__domain_case(const struct policy__domain *d, uint64_t no, uint64_t *word, uint64_t *more)
{
	static const uint8_t shifts[POLICY_ATTR_COUNT] = {
		[POLICY_ATTR_LICENCE] = POLICY_ITEM_LICENCE_SHIFT, [POLICY_ATTR_MODERATION] = POLICY_ITEM_MODERATION_SHIFT,
		[POLICY_ATTR_PII] = 11, [POLICY_ATTR_DUPLICATE] = 16, [POLICY_ATTR_MINOR] = 17, [POLICY_ATTR_SPECIAL] = 18,
		[POLICY_ATTR_THIRD_PARTY] = 19, [POLICY_ATTR_ATTRIBUTED] = 20, [POLICY_ATTR_REGION] = POLICY_ITEM_REGION_SHIFT,
		[POLICY_ATTR_CREATED] = POLICY_ITEM_CREATED_SHIFT, [POLICY_ATTR_QUALITY] = POLICY_MORE_QUALITY_SHIFT,
		[POLICY_ATTR_PROMPTED] = POLICY_MORE_PROMPTED_SHIFT, [POLICY_ATTR_FRICTION] = POLICY_MORE_FRICTION_SHIFT,
		[POLICY_ATTR_ORIGIN] = POLICY_MORE_ORIGIN_SHIFT, [POLICY_ATTR_APPLICATION] = POLICY_MORE_APPLICATION_SHIFT,
		[POLICY_ATTR_LENGTH] = POLICY_MORE_LENGTH_SHIFT};
	*word = *more = 0;
	for (unsigned i = 0; i < POLICY_ATTR_COUNT; i++) {
		uint64_t value = d->values[i][no % d->n[i]];
		no /= d->n[i];
		*(policy__attribute_in_more(i) ? more : word) |= value << shifts[i];
	}
}
