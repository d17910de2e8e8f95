#include "server/coop/charter.h"

#include "commonhold/contribution.h"
#include "commonhold/packed.h"

#define RULE_DEPTH 16 /* levels of one predicate: nobody reads more */

/* The charter's predicates over items, compiled to policy_node: breadth first, so that children stand side by side after their parent and nothing recurses. */

enum value_type { VALUE_WORD, VALUE_FLAG, VALUE_NUMBER, VALUE_INSTANT };

/* A place in the queue of what is still to be compiled. */
struct place {
	const struct json *predicate; /* NULL where the node is done already (expanded lists) */
	unsigned depth;               /* levels above it */
};

struct compiler {
	struct arena *arena;
	struct error *error;
	struct policy_node *nodes;    /* POLICY_NODES_MAX of them */
	struct place *places;         /* beside them */
	size_t n;                     /* nodes taken */
};

static enum value_type type_of(unsigned attribute)
{
	switch (attribute) {
	case POLICY_ATTR_PII: case POLICY_ATTR_DUPLICATE: case POLICY_ATTR_MINOR: case POLICY_ATTR_SPECIAL: case POLICY_ATTR_THIRD_PARTY: case POLICY_ATTR_ATTRIBUTED:
		return VALUE_FLAG;
	case POLICY_ATTR_QUALITY: case POLICY_ATTR_LENGTH:
		return VALUE_NUMBER;
	case POLICY_ATTR_CREATED:
		return VALUE_INSTANT;
	default:
		return VALUE_WORD;
	}
}

static int word_among(struct str word, const char *(*word_of)(unsigned no))
{
	for (unsigned i = 0; i < 8; i++) {
		const char *w = word_of(i);
		if (w && *w && str_is(word, w))
			return (int)i;
	}
	return -1;
}

static const char *moderation_word(unsigned no)
{
	static const char *const words[] = { "pending", "approved", "rejected" };
	return no < CH_LEN(words) ? words[no] : NULL;
}

/* The stored number of a word; -1 when the attribute has no such value. */
static int64_t word_number(unsigned attribute, struct str word)
{
	unsigned no;
	switch (attribute) {
	case POLICY_ATTR_KIND: return policy_kind_find(word.p, word.n);
	case POLICY_ATTR_LICENCE:
		no = policy_licence_find(word.p, word.n);
		return no || str_is(word, "unknown") ? (int64_t)no : -1;
	case POLICY_ATTR_MODERATION: return word_among(word, moderation_word);
	case POLICY_ATTR_PROMPTED: return word_among(word, contribution_prompted_word);
	case POLICY_ATTR_FRICTION: return word_among(word, contribution_friction_word);
	case POLICY_ATTR_LANGUAGE:
		no = packed_language(word);
		return str_is(word, "und") ? 0 : no && no != PACKED_OTHER ? (int64_t)no : -1;
	case POLICY_ATTR_REGION:
		no = packed_region(word);
		return no ? (int64_t)no : -1;
	case POLICY_ATTR_APPLICATION:
		no = packed_application(word);
		return no ? (int64_t)no : -1;
	default: return -1;
	}
}

static bool scalar_number(struct compiler *k, unsigned attribute, const struct json *value, int64_t *out)
{
	instant at;
	int64_t n = 0;
	const char *problem = NULL;
	switch (type_of(attribute)) {
	case VALUE_FLAG:
		if (value->type != JSON_TRUE && value->type != JSON_FALSE)
			problem = "This is compared with true or false.";
		n = value->type == JSON_TRUE;
		break;
	case VALUE_NUMBER:
		n = json_int(value, -1);
		if (n < 0)
			problem = "This is compared with a whole number.";
		else if (attribute == POLICY_ATTR_QUALITY && n > 100)
			problem = "Quality goes from 0 to 100.";
		else if (attribute == POLICY_ATTR_LENGTH)
			n = packed_length((uint64_t)n);
		break;
	case VALUE_INSTANT:
		if (!clock_parse(json_text(value), &at))
			problem = "This is compared with an instant such as 2026-01-31T12:00:00Z.";
		else if ((n = at / CLOCK_SECOND) < 0 || n > UINT32_MAX)
			problem = "This instant is out of range.";
		break;
	case VALUE_WORD:
		n = value->type == JSON_STRING ? word_number(attribute, value->text) : -1;
		if (n < 0)
			problem = "The attribute has no such value.";
		break;
	}
	if (problem)
		error_fault(k->error, k->arena, json_pointer(k->arena, value), "%s", problem);
	*out = n;
	return !problem;
}

/* `count` places side by side; false when there is no more room. */
static bool take_places(struct compiler *k, const struct json *where, unsigned count, uint16_t *first)
{
	if (k->n + count > POLICY_NODES_MAX) {
		error_fault(k->error, k->arena, json_pointer(k->arena, where), "The rules have more than %d parts altogether.", POLICY_NODES_MAX);
		return false;
	}
	*first = (uint16_t)k->n;
	k->n += count;
	return true;
}

/* A list of words: a set of bits where the attribute is narrow, else any of several comparisons. */
static void compile_in(struct compiler *k, struct policy_node *node, const struct json *value)
{
	bool narrow = policy_attribute_bits(node->attribute) <= 6;
	uint16_t first = 0;
	if (value->type != JSON_ARRAY || value->count == 0) {
		error_fault(k->error, k->arena, json_pointer(k->arena, value), "With in goes a list of values.");
		return;
	}
	if (!narrow && !take_places(k, value, value->count, &first))
		return;
	size_t at = 0;
	json_each(one, value) {
		int64_t n = 0;
		if (!scalar_number(k, node->attribute, one, &n))
			continue;
		if (narrow)
			node->set |= UINT64_C(1) << n;
		else
			k->nodes[first + at++] = (struct policy_node){ .op = POLICY_NODE_TEST, .attribute = node->attribute, .compare = POLICY_EQ, .value = n };
	}
	node->op = narrow ? POLICY_NODE_IN : POLICY_NODE_ANY;
	if (!narrow) {
		node->attribute = 0;
		node->first = first;
		node->count = (uint16_t)value->count;
	}
}

static void compile_test(struct compiler *k, struct policy_node *node, const struct json *predicate)
{
	static const char *const compares[] = { "eq", "ne", "lt", "le", "gt", "ge" };
	struct str name = json_member_text(predicate, "attribute"), op = json_member_text(predicate, "op");
	const struct json *value = json_get(predicate, "value");
	int attribute = name.p ? policy_attribute_find(name.p, name.n) : -1;
	if (attribute < 0 || !value) {
		error_fault(k->error, k->arena, json_pointer(k->arena, predicate), "A condition has all, any, not, or an attribute with op and value.");
		return;
	}
	node->attribute = (uint8_t)attribute;
	enum value_type type = type_of((unsigned)attribute);
	if (str_is(op, "in")) {
		if (type != VALUE_WORD)
			error_fault(k->error, k->arena, json_pointer(k->arena, value), "A list goes with attributes that are words.");
		else
			compile_in(k, node, value);
		return;
	}
	node->op = POLICY_NODE_TEST;
	for (size_t i = 0; i < CH_LEN(compares); i++)
		if (str_is(op, compares[i]))
			node->compare = (uint8_t)i;
	if (node->compare > POLICY_NE && (type == VALUE_WORD || type == VALUE_FLAG))
		error_fault(k->error, k->arena, json_pointer(k->arena, json_get(predicate, "op")), "This attribute has no order: compare it with eq, ne or in.");
	(void)scalar_number(k, node->attribute, value, &node->value);
}

static void compile_place(struct compiler *k, size_t at)
{
	const struct json *predicate = k->places[at].predicate;
	if (!predicate)
		return;
	struct policy_node *node = &k->nodes[at];
	const struct json *all = json_get(predicate, "all"), *any = json_get(predicate, "any"), *not = json_get(predicate, "not");
	const struct json *list = all ? all : any;
	if (!list && !not) {
		compile_test(k, node, predicate);
		return;
	}
	if (k->places[at].depth + 2 >= RULE_DEPTH) { /* a list of words takes one more level */
		error_fault(k->error, k->arena, json_pointer(k->arena, predicate), "Conditions may be nested at most %d deep.", RULE_DEPTH - 2);
		return;
	}
	node->op = all ? POLICY_NODE_ALL : any ? POLICY_NODE_ANY : POLICY_NODE_NOT;
	node->count = (uint16_t)(list ? list->count : 1);
	if (!take_places(k, predicate, node->count, &node->first))
		return;
	size_t child_at = node->first;
	if (not)
		k->places[child_at] = (struct place){ not, k->places[at].depth + 1 };
	json_each(child, list)
		k->places[child_at++] = (struct place){ child, k->places[at].depth + 1 };
}

static uint16_t uses_of(const struct json *names)
{
	uint16_t uses = 0;
	json_each(name, names) {
		int use = policy_use_find(name->text.p, name->text.n);
		if (use >= 0)
			uses |= (uint16_t)POLICY_BIT(use);
	}
	return uses;
}

void charter_compile_rules(struct arena *a, const struct json *rules, struct charter *out, struct error *e)
{
	out->n_rules = rules ? rules->count : 0;
	if (out->n_rules == 0)
		return;
	struct compiler k = { .arena = a, .error = e, .nodes = ARENA_ARRAY(a, POLICY_NODES_MAX, struct policy_node), .places = ARENA_ARRAY(a, POLICY_NODES_MAX, struct place) };
	struct policy_rule *compiled = ARENA_ARRAY(a, out->n_rules, struct policy_rule);
	size_t no = 0;
	json_each(rule, rules) {
		uint16_t root;
		struct str name = json_member_text(rule, "name");
		if (!take_places(&k, rule, 1, &root))
			break;
		k.places[root] = (struct place){ json_get(rule, "when"), 0 };
		for (size_t at = root; at < k.n; at++)
			compile_place(&k, at);
		compiled[no] = (struct policy_rule){
			.id = (uint32_t)no + 1, .uses = uses_of(json_get(rule, "uses")), .root = root,
			.effect = str_is(json_member_text(rule, "effect"), "hold") ? POLICY_HOLD : POLICY_EXCLUDE, .name = { name.p, name.n },
		};
		no++;
	}
	out->rules = compiled;
	out->nodes = k.nodes;
	out->n_nodes = k.n;
}
