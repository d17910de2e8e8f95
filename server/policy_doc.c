#include "policy_doc.h"

#include "commonhold/clock.h"
#include "commonhold/crypto.h"

#include <string.h>

/* Reading under way: faults gather in `e`. */
struct doc_reader {
	struct arena *a;         /* everything's memory */
	struct error *e;         /* what is wrong */
	struct policy_doc *out;  /* what is being read */
};

typedef int (*find_fn)(const char *name, size_t len);

static void *arena_block(void *ctx, size_t size)
{
	return arena_alloc(ctx, size);
}

struct policy_mem policy_doc_mem(struct arena *a)
{
	return (struct policy_mem){ arena_block, a };
}

static void fault(struct doc_reader *r, const struct json *v, const char *what)
{
	error_fault(r->e, r->a, json_pointer(r->a, v), "%s", what);
}

static int word(struct doc_reader *r, const struct json *v, find_fn find, int or_else)
{
	if (!v)
		return or_else;
	struct str name = json_text(v);
	int found = name.p ? find(name.p, name.n) : -1;
	if (found >= 0)
		return found;
	fault(r, v, "is not a word that the policy engine knows");
	return or_else;
}

static uint32_t words_of(struct doc_reader *r, const struct json *list, find_fn find, uint32_t or_else)
{
	uint32_t bits = 0;
	if (!list)
		return or_else;
	if (!json_is(list, JSON_ARRAY))
		fault(r, list, "must be a list of words");
	json_each (v, list) {
		int bit = word(r, v, find, -1);
		if (bit >= 0 && bit < 32)
			bits |= 1u << bit;
	}
	return bits;
}

static int64_t number(struct doc_reader *r, const struct json *o, const char *key, int64_t least, int64_t most, int64_t or_else)
{
	const struct json *v = json_get(o, key);
	if (!v)
		return or_else;
	int64_t n = json_int(v, INT64_MIN);
	if (n >= least && n <= most)
		return n;
	fault(r, v, "must be an integer in range");
	return or_else;
}

static policy_instant instant_of(struct doc_reader *r, const struct json *o, const char *key, policy_instant or_else)
{
	const struct json *v = json_get(o, key);
	instant t;
	if (!v || json_is(v, JSON_NULL))
		return or_else;
	if (clock_parse(json_text(v), &t))
		return t;
	fault(r, v, "must be a date and time as in 2026-11-22T10:00:00Z");
	return or_else;
}

static int64_t duration_of(struct doc_reader *r, const struct json *o, const char *key)
{
	const struct json *v = json_get(o, key);
	struct duration d;
	if (!v || json_is(v, JSON_NULL))
		return 0;
	if (duration_parse(json_text(v), &d))
		return duration_add(0, d, 1);
	fault(r, v, "must be a duration as in P30D");
	return 0;
}

static int licence_no(const char *name, size_t len)
{
	unsigned no = policy_licence_find(name, len);
	return no == POLICY_LICENCE_UNKNOWN ? -1 : (int)no;
}

static struct policy_text text_of(struct str s)
{
	return (struct policy_text){ s.p, s.n };
}

/* The position of an identifier in a list; -1 if it is not there. */
static int64_t position(const struct str *ids, size_t n, struct str id)
{
	for (size_t i = 0; i < n; i++)
		if (str_eq(ids[i], id))
			return (int64_t)i;
	return -1;
}

static uint32_t member_of(struct doc_reader *r, const struct json *v, bool special)
{
	struct str id = json_text(v);
	if (special && str_is(id, "board"))
		return POLICY_BOARD;
	if (special && str_is(id, "nobody"))
		return POLICY_NOBODY;
	int64_t at = position(r->out->member_ids, r->out->facts.n_members, id);
	if (at >= 0)
		return (uint32_t)at;
	if (v)
		fault(r, v, "is not one of the members");
	return POLICY_NO_MEMBER;
}

/* ---- Statements --------------------------------------------------------------------------------------------------------- */

static uint32_t subject_of(struct doc_reader *r, const struct json *v, unsigned layer)
{
	if (layer >= POLICY_LAYER_COOP)
		return 0;
	if (layer == POLICY_LAYER_SUBGROUP)
		return (uint32_t)number(r, v, "group", 1, UINT32_MAX, 0);
	const struct json *subject = json_get(v, "subject");
	if (!subject)
		fault(r, v, "needs a subject");
	return member_of(r, subject, layer == POLICY_LAYER_DELEGATE);
}

static void read_statement(struct doc_reader *r, const struct json *v, int layer_or_else, struct policy_statement *s)
{
	unsigned layer = (unsigned)word(r, json_get(v, "layer"), policy_layer_find, layer_or_else);
	const struct json *item = json_get(v, "item"), *kind = json_get(v, "kind");
	*s = (struct policy_statement){
		.id = (uint64_t)number(r, v, "id", 0, INT64_MAX, 0),
		.subject = subject_of(r, v, layer),
		.item = POLICY_NO_ITEM,
		.uses = (uint16_t)words_of(r, json_get(v, "uses"), policy_use_find, POLICY_USES_ALL),
		.duties = (uint16_t)words_of(r, json_get(v, "duties"), policy_duty_find, 0),
		.effect = (uint8_t)word(r, json_get(v, "effect"), policy_effect_find, POLICY_EFFECT_NONE),
		.layer = (uint8_t)layer,
		.selector = item ? POLICY_SELECT_ITEM : kind ? POLICY_SELECT_KIND : POLICY_SELECT_ALL,
		.kind = (uint8_t)word(r, kind, policy_kind_find, 0),
		.purpose = (uint8_t)word(r, json_get(v, "purpose"), policy_purpose_find, POLICY_PURPOSE_ANY),
		.audience = (uint8_t)word(r, json_get(v, "audience"), policy_audience_find, POLICY_AUDIENCE_ANY),
		.flags = json_bool(json_get(v, "external"), false) ? POLICY_STATEMENT_EXTERNAL : 0,
		.revision = (uint32_t)number(r, v, "revision", 0, UINT32_MAX, 0),
		.declared_by = POLICY_NO_MEMBER,
		.declared_at = instant_of(r, v, "declared_at", POLICY_EVER),
		.valid_from = instant_of(r, v, "valid_from", POLICY_EVER),
		.valid_to = instant_of(r, v, "valid_to", POLICY_NEVER),
		.verbatim = text_of(json_member_text(v, "verbatim")),
	};
	if (!item)
		return;
	int64_t at = position(r->out->ids, r->out->n, json_text(item));
	if (at < 0)
		fault(r, item, "is not one of the items");
	s->item = at < 0 ? POLICY_NO_ITEM : (uint32_t)at;
}

static struct policy_statement *read_statements(struct doc_reader *r, const struct json *list, int layer_or_else, size_t *n)
{
	struct policy_statement *all = ARENA_ARRAY(r->a, list ? list->count + 1 : 1, struct policy_statement);
	*n = 0;
	json_each (v, list)
		read_statement(r, v, layer_or_else, &all[(*n)++]);
	return all;
}

/* ---- Rules ---------------------------------------------------------------------------------------------------------------- */

static int compare_no(const char *name, size_t len)
{
	static const char *const names[] = { "eq", "ne", "lt", "le", "gt", "ge" };
	for (int i = 0; i < (int)CH_LEN(names); i++)
		if (strlen(names[i]) == len && memcmp(names[i], name, len) == 0)
			return i;
	return -1;
}

/* The operand of a test: a word of the attribute's vocabulary, an instant, yes or no, or a number. */
static int64_t operand(struct doc_reader *r, const struct json *v, int attribute)
{
	instant t;
	if (json_is(v, JSON_STRING) && attribute == POLICY_ATTR_KIND)
		return word(r, v, policy_kind_find, 0);
	if (json_is(v, JSON_STRING) && attribute == POLICY_ATTR_LICENCE)
		return word(r, v, licence_no, 0);
	if (json_is(v, JSON_STRING) && attribute == POLICY_ATTR_CREATED && clock_parse(json_text(v), &t))
		return t / POLICY_SECOND;
	if (json_is(v, JSON_TRUE) || json_is(v, JSON_FALSE))
		return json_is(v, JSON_TRUE);
	int64_t n = json_int(v, -1);
	if (n < 0)
		fault(r, v, "must be a number or a word of the attribute");
	return n < 0 ? 0 : n;
}

static void read_test(struct doc_reader *r, const struct json *v, struct policy_node *node)
{
	const struct json *in = json_get(v, "in"), *value = json_get(v, "value");
	int attribute = word(r, json_get(v, "attribute"), policy_attribute_find, POLICY_ATTR_KIND);
	*node = (struct policy_node){ .op = in ? POLICY_NODE_IN : POLICY_NODE_TEST, .attribute = (uint8_t)attribute };
	if (!json_get(v, "attribute") || (!in && !value)) {
		fault(r, v, "must be all, any, not, or an attribute with a value or a list");
		return;
	}
	if (!in) {
		node->compare = (uint8_t)word(r, json_get(v, "is"), compare_no, POLICY_EQ);
		node->value = operand(r, value, attribute);
		return;
	}
	json_each (one, in) {
		int64_t bit = operand(r, one, attribute);
		if (bit < 64)
			node->set |= UINT64_C(1) << bit;
	}
}

/* Predicates breadth first, so that children stand side by side after their parent. */
static void read_predicate(struct doc_reader *r, const struct json *root, struct policy_node *nodes, const struct json **from, size_t *n)
{
	size_t done = *n;
	if (*n == POLICY_NODES_MAX)
		return;
	from[(*n)++] = root;
	for (; done < *n; done++) {
		const struct json *v = from[done], *all = json_get(v, "all"), *any = json_get(v, "any"), *not = json_get(v, "not");
		const struct json *list = all ? all : any;
		if (!list && !not) {
			read_test(r, v, &nodes[done]);
			continue;
		}
		size_t count = list ? list->count : 1;
		if (*n + count > POLICY_NODES_MAX) {
			fault(r, v, "has more parts than a charter may");
			return;
		}
		nodes[done] = (struct policy_node){ .op = all ? POLICY_NODE_ALL : any ? POLICY_NODE_ANY : POLICY_NODE_NOT,
			.first = (uint16_t)*n, .count = (uint16_t)count };
		if (not && !list)
			from[(*n)++] = not;
		json_each (child, list)
			from[(*n)++] = child;
	}
}

static void read_rules(struct doc_reader *r, const struct json *list)
{
	struct policy_spec *spec = &r->out->spec;
	struct policy_node *nodes = ARENA_ARRAY(r->a, POLICY_NODES_MAX, struct policy_node);
	const struct json **from = ARENA_ARRAY(r->a, POLICY_NODES_MAX, const struct json *);
	struct policy_rule *rules = ARENA_ARRAY(r->a, list ? list->count + 1 : 1, struct policy_rule);
	json_each (v, list) {
		struct str effect = json_member_text(v, "effect");
		rules[spec->n_rules++] = (struct policy_rule){
			.id = (uint32_t)number(r, v, "id", 0, UINT32_MAX, 0),
			.uses = (uint16_t)words_of(r, json_get(v, "uses"), policy_use_find, POLICY_USES_ALL),
			.root = (uint16_t)spec->n_nodes,
			.effect = str_is(effect, "hold") ? POLICY_HOLD : POLICY_EXCLUDE,
			.name = text_of(json_member_text(v, "name")),
		};
		if (!json_get(v, "when"))
			fault(r, v, "needs a predicate, when");
		else
			read_predicate(r, json_get(v, "when"), nodes, from, &spec->n_nodes);
	}
	spec->nodes = nodes;
	spec->rules = rules;
}

/* ---- The release ------------------------------------------------------------------------------------------------------------ */

static int toggle_no(const char *name, size_t len)
{
	static const char *const names[] = { "quality_freeze", "selective_embargo", "preference_shift", "rate_limit", "assurance" };
	for (int i = 0; i < (int)CH_LEN(names); i++)
		if (strlen(names[i]) == len && memcmp(names[i], name, len) == 0)
			return i;
	return -1;
}

static void read_toggles(struct doc_reader *r, const struct json *list)
{
	struct policy_spec *spec = &r->out->spec;
	struct policy_toggle *toggles = ARENA_ARRAY(r->a, list ? list->count + 1 : 1, struct policy_toggle);
	json_each (v, list)
		toggles[spec->n_toggles++] = (struct policy_toggle){
			.kind = (uint8_t)word(r, json_get(v, "kind"), toggle_no, POLICY_TOGGLE_COUNT),
			.kinds = (uint8_t)words_of(r, json_get(v, "kinds"), policy_kind_find, POLICY_KINDS_ALL),
			.uses = (uint16_t)words_of(r, json_get(v, "uses"), policy_use_find, 0),
			.id = (uint32_t)number(r, v, "id", 0, UINT32_MAX, 0),
			.cap = (uint64_t)number(r, v, "cap", 0, INT64_MAX, 0),
			.since = instant_of(r, v, "since", POLICY_EVER),
			.until = instant_of(r, v, "until", POLICY_NEVER),
		};
	spec->toggles = toggles;
}

static void read_release(struct doc_reader *r, const struct json *v)
{
	struct policy_spec *s = &r->out->spec;
	const struct json *licence = json_get(v, "licence"), *delegation = json_get(v, "delegation");
	policy_spec_init(s);
	s->uses = (uint16_t)words_of(r, json_get(v, "uses"), policy_use_find, 0);
	s->uses_conditional = (uint16_t)words_of(r, json_get(v, "uses_conditional"), policy_use_find, 0);
	s->audience = (uint8_t)word(r, json_get(v, "audience"), policy_audience_find, POLICY_AUDIENCE_PUBLIC);
	s->audience_duties = (uint16_t)words_of(r, json_get(v, "audience_duties"), policy_duty_find, policy_audience_duties(s->audience));
	s->purposes = words_of(r, json_get(v, "purposes"), policy_purpose_find, 0);
	s->licence_mode = str_is(json_member_text(licence, "mode"), "adaptation") ? POLICY_ADAPTATION : POLICY_COLLECTION;
	s->outputs = words_of(r, json_get(licence, "outputs"), licence_no, 0);
	s->kinds = (uint8_t)words_of(r, json_get(v, "kinds"), policy_kind_find, POLICY_KINDS_ALL);
	s->delegation_depth = (uint8_t)number(r, delegation, "depth", 1, POLICY_DEPTH_MAX, 1);
	s->delegation_cap = (uint32_t)number(r, delegation, "cap", 0, UINT32_MAX, 0);
	s->release_id = (uint64_t)number(r, v, "id", 0, INT64_MAX, 0);
	s->notice_min = (uint32_t)number(r, v, "notice_min", 0, UINT32_MAX, 0);
	s->k_contributors = (uint32_t)number(r, v, "k_contributors", 0, UINT32_MAX, 0);
	s->assurance = (uint32_t)number(r, v, "assurance", 0, UINT32_MAX, 0);
	s->volume_cap = (uint64_t)number(r, v, "volume_cap", 0, INT64_MAX, -1);
	s->cutoff = instant_of(r, v, "cutoff", POLICY_EVER);
	s->instant = instant_of(r, v, "instant", s->cutoff);
	s->embargo = duration_of(r, v, "embargo");
	s->retention = duration_of(r, v, "retention");
	s->defaults = read_statements(r, json_get(v, "defaults"), POLICY_LAYER_COOP, &s->n_defaults);
	read_toggles(r, json_get(v, "toggles"));
	read_rules(r, json_get(v, "rules"));
}

/* ---- People and items ------------------------------------------------------------------------------------------------------- */

static void read_members(struct doc_reader *r, const struct json *list)
{
	struct policy_doc *out = r->out;
	struct policy_member *members = ARENA_ARRAY(r->a, list ? list->count + 1 : 1, struct policy_member);
	out->member_ids = ARENA_ARRAY(r->a, list ? list->count + 1 : 1, struct str);
	json_each (v, list) {
		out->member_ids[out->facts.n_members] = json_member_text(v, "id");
		members[out->facts.n_members++] = (struct policy_member){
			.standing = (uint8_t)word(r, json_get(v, "standing"), policy_standing_find, POLICY_STANDING_ACTIVE),
			.consent = (uint8_t)word(r, json_get(v, "consent"), policy_consent_find, POLICY_CONSENT_UNKNOWN),
			.minor = json_bool(json_get(v, "minor"), false),
			.group = (uint32_t)number(r, v, "group", 0, UINT32_MAX, 0),
			.notice = (uint32_t)number(r, v, "notice", 0, UINT32_MAX, 0),
			.purposes = words_of(r, json_get(v, "purposes"), policy_purpose_find, 0),
			.consent_given = instant_of(r, v, "consent_given", POLICY_NEVER),
			.consent_expires = instant_of(r, v, "consent_expires", POLICY_NEVER),
			.defaults_accepted = instant_of(r, v, "defaults_accepted", POLICY_NEVER),
		};
	}
	out->facts.members = members;
}

static int scope_no(const char *name, size_t len)
{
	static const char *const names[] = { "coop", "topic", "target" };
	for (int i = 0; i < (int)CH_LEN(names); i++)
		if (strlen(names[i]) == len && memcmp(names[i], name, len) == 0)
			return i;
	return -1;
}

static void read_delegations(struct doc_reader *r, const struct json *list)
{
	struct policy_edge *edges = ARENA_ARRAY(r->a, list ? list->count + 1 : 1, struct policy_edge);
	json_each (v, list)
		edges[r->out->facts.n_edges++] = (struct policy_edge){
			.id = (uint64_t)number(r, v, "id", 0, INT64_MAX, 0),
			.target = (uint64_t)number(r, v, "target", 0, INT64_MAX, 0),
			.principal = member_of(r, json_get(v, "principal"), false),
			.delegate = member_of(r, json_get(v, "delegate"), true),
			.topics = words_of(r, json_get(v, "uses"), policy_use_find, POLICY_USES_ALL),
			.question = POLICY_QUESTION_CONSENT,
			.scope = (uint8_t)word(r, json_get(v, "scope"), scope_no, POLICY_SCOPE_COOP),
			.accepted_at = instant_of(r, v, "accepted_at", POLICY_NEVER),
			.starts = instant_of(r, v, "starts", POLICY_EVER),
			.ends = instant_of(r, v, "ends", POLICY_NEVER),
			.revoked_at = instant_of(r, v, "revoked_at", POLICY_NEVER),
		};
	r->out->facts.edges = edges;
}

static int moderation_no(const char *name, size_t len)
{
	static const char *const names[] = { "pending", "approved", "rejected" };
	for (int i = 0; i < (int)CH_LEN(names); i++)
		if (strlen(names[i]) == len && memcmp(names[i], name, len) == 0)
			return i;
	return -1;
}

/* The bit of the packed word that a flag's name stands for, counted from POLICY_ITEM_PII. */
static int flag_no(const char *name, size_t len)
{
	static const char *const names[] = { "pii", "tombstoned", "erasure", "restricted", "legal_hold", "duplicate", "minor",
		"special_category", "third_party", "attributed", "withdrawn", "embargoed" };
	for (int i = 0; i < (int)CH_LEN(names); i++)
		if (strlen(names[i]) == len && memcmp(names[i], name, len) == 0)
			return i;
	return -1;
}

static void read_item(struct doc_reader *r, const struct json *v, struct policy_item_fact *fact)
{
	struct policy_doc *out = r->out;
	const struct json *licence = json_get(v, "licence");
	const struct policy_item item = {
		.member = member_of(r, json_get(v, "member"), false),
		.flags = words_of(r, json_get(v, "flags"), flag_no, 0) << 11,
		.kind = (uint8_t)word(r, json_get(v, "kind"), policy_kind_find, 0),
		.licence = licence ? (uint8_t)policy_licence_find(json_text(licence).p ? json_text(licence).p : "", json_text(licence).n) : 0,
		.moderation = (uint8_t)word(r, json_get(v, "moderation"), moderation_no, POLICY_MODERATION_PENDING),
		.region = (uint8_t)number(r, v, "region", 0, 255, 0),
		.created = instant_of(r, v, "created", 0),
	};
	size_t i = out->n++;
	out->ids[i] = json_member_text(v, "id");
	struct sha256 hash = sha256(out->ids[i]);
	memcpy(out->keys[i], hash.b, sizeof(out->keys[i]));
	out->members[i] = item.member;
	out->words[i] = policy_item_pack(&item);
	out->more[i] = (uint64_t)number(r, v, "language", 0, 255, 0) | (uint64_t)number(r, v, "quality", 0, 255, 0) << POLICY_MORE_QUALITY_SHIFT;
	*fact = (struct policy_item_fact){ .item = (uint32_t)i, .member = item.member, .kind = item.kind,
		.embargo_until = instant_of(r, v, "embargo_until", POLICY_EVER), .retain_until = instant_of(r, v, "retain_until", POLICY_NEVER) };
}

static void read_items(struct doc_reader *r, const struct json *list)
{
	struct policy_doc *out = r->out;
	size_t n = list ? list->count + 1 : 1;
	struct policy_item_fact *facts = ARENA_ARRAY(r->a, n, struct policy_item_fact);
	out->ids = ARENA_ARRAY(r->a, n, struct str);
	out->words = ARENA_ARRAY(r->a, n, uint64_t);
	out->more = ARENA_ARRAY(r->a, n, uint64_t);
	out->members = ARENA_ARRAY(r->a, n, uint32_t);
	out->keys = arena_array(r->a, n, sizeof *out->keys);
	json_each (v, list)
		read_item(r, v, &facts[out->n]);
	out->facts.items = facts;
	out->facts.n_items = out->n;
}

enum err policy_doc_read(struct arena *a, const struct json *root, bool whole, struct policy_doc *out, struct error *e)
{
	struct doc_reader r = { a, e, out };
	*out = (struct policy_doc){ 0 };
	if (!json_is(json_get(root, "release"), JSON_OBJECT))
		return error_set(e, ERR_INVALID, "The document needs a \"release\".");
	read_release(&r, json_get(root, "release"));
	if (whole) {
		read_members(&r, json_get(root, "members"));
		read_items(&r, json_get(root, "items"));
		out->facts.statements = read_statements(&r, json_get(root, "statements"), POLICY_LAYER_SUBJECT, &out->facts.n_statements);
		read_delegations(&r, json_get(root, "delegations"));
		out->facts.board_active = json_bool(json_get(root, "board"), false);
	}
	return e->code;
}
