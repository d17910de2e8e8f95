/*
 * predicate.c - the charter's predicates over items.
 *
 * Children stand after their parents, so evaluating the nodes from last to first needs neither recursion
 * nor a stack. A block of 64 items is evaluated at once: each node yields one word, a bit an item.
 */
#include "policy/internal.h"

/* Where an attribute sits. */
static const struct {
	uint8_t more;  /* 1: in the second word */
	uint8_t shift; /* lowest bit */
} places[POLICY_ATTR_COUNT] = {
	[POLICY_ATTR_KIND] = {0, 0},
	[POLICY_ATTR_LICENCE] = {0, POLICY_ITEM_LICENCE_SHIFT},
	[POLICY_ATTR_MODERATION] = {0, POLICY_ITEM_MODERATION_SHIFT},
	[POLICY_ATTR_PII] = {0, 11},
	[POLICY_ATTR_DUPLICATE] = {0, 16},
	[POLICY_ATTR_MINOR] = {0, 17},
	[POLICY_ATTR_SPECIAL] = {0, 18},
	[POLICY_ATTR_THIRD_PARTY] = {0, 19},
	[POLICY_ATTR_ATTRIBUTED] = {0, 20},
	[POLICY_ATTR_REGION] = {0, POLICY_ITEM_REGION_SHIFT},
	[POLICY_ATTR_CREATED] = {0, POLICY_ITEM_CREATED_SHIFT},
	[POLICY_ATTR_LANGUAGE] = {1, 0},
	[POLICY_ATTR_QUALITY] = {1, POLICY_MORE_QUALITY_SHIFT},
	[POLICY_ATTR_PROMPTED] = {1, POLICY_MORE_PROMPTED_SHIFT},
	[POLICY_ATTR_FRICTION] = {1, POLICY_MORE_FRICTION_SHIFT},
	[POLICY_ATTR_ORIGIN] = {1, POLICY_MORE_ORIGIN_SHIFT},
	[POLICY_ATTR_APPLICATION] = {1, POLICY_MORE_APPLICATION_SHIFT},
	[POLICY_ATTR_LENGTH] = {1, POLICY_MORE_LENGTH_SHIFT},
};

static uint64_t mask_of(unsigned attribute)
{
	return (UINT64_C(1) << policy_attribute_bits(attribute)) - 1;
}

bool policy__attribute_in_more(unsigned attribute)
{
	return attribute < POLICY_ATTR_COUNT && places[attribute].more;
}

bool policy__node_sound(const struct policy_node *nodes, size_t n, size_t at)
{
	const struct policy_node *node = &nodes[at];
	switch (node->op) {
	case POLICY_NODE_NOT:
		if (node->count != 1)
			return false;
		/* fall through */
	case POLICY_NODE_ALL:
	case POLICY_NODE_ANY:
		return node->count == 0 || (node->first > at && (size_t)node->first + node->count <= n);
	case POLICY_NODE_TEST:
		return node->attribute < POLICY_ATTR_COUNT && node->compare < POLICY_COMPARE_COUNT && node->value >= 0 &&
		       (uint64_t)node->value <= mask_of(node->attribute);
	case POLICY_NODE_IN:
		if (node->attribute >= POLICY_ATTR_COUNT || policy_attribute_bits(node->attribute) > 6)
			return false;
		return policy_attribute_bits(node->attribute) == 6 ||
		       node->set >> (UINT64_C(1) << policy_attribute_bits(node->attribute)) == 0;
	default:
		return false;
	}
}

/* One loop a comparison, so that each can be vectorised. */
#define EACH(condition)                                   \
	do                                                    \
		for (size_t i = 0; i < n_items; i++) {            \
			uint64_t v = column[i] >> shift & mask;       \
			held |= (uint64_t)(condition) << i;           \
		}                                                 \
	while (0)

static uint64_t eval_leaf(const struct policy_node *node, const uint64_t *words, const uint64_t *more, size_t n_items)
{
	const uint64_t *column = places[node->attribute].more ? more : words;
	const unsigned shift = places[node->attribute].shift;
	const uint64_t mask = mask_of(node->attribute), x = (uint64_t)node->value, set = node->set;
	uint64_t held = 0;
	if (node->op == POLICY_NODE_IN)
		EACH(set >> v & 1);
	else if (node->compare == POLICY_EQ)
		EACH(v == x);
	else if (node->compare == POLICY_NE)
		EACH(v != x);
	else if (node->compare == POLICY_LT)
		EACH(v < x);
	else if (node->compare == POLICY_LE)
		EACH(v <= x);
	else if (node->compare == POLICY_GT)
		EACH(v > x);
	else
		EACH(v >= x);
	return held;
}

void policy__nodes_eval(const struct policy_node *nodes, const uint8_t *marked, size_t n, const uint64_t *words,
                        const uint64_t *more, size_t n_items, uint64_t *out)
{
	for (size_t at = n; at-- > 0;) {
		const struct policy_node *node = &nodes[at];
		if (!marked[at])
			continue;
		switch (node->op) {
		case POLICY_NODE_ALL:
			out[at] = UINT64_MAX;
			for (size_t c = 0; c < node->count; c++)
				out[at] &= out[node->first + c];
			break;
		case POLICY_NODE_ANY:
			out[at] = 0;
			for (size_t c = 0; c < node->count; c++)
				out[at] |= out[node->first + c];
			break;
		case POLICY_NODE_NOT:
			out[at] = ~out[node->first];
			break;
		default:
			out[at] = eval_leaf(node, words, more, n_items);
		}
	}
}
