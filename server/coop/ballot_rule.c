#include "server/coop/charter.h"

/* The rules by which ballots pass, from a charter's JSON to what policy_ballot_decide counts with, and to words. */

static const struct { const char *name; uint8_t op; bool ratio; } kinds[] = {
	{ "majority", POLICY_RULE_MAJORITY, true },
	{ "approval_quorum", POLICY_RULE_APPROVAL_QUORUM, true },
	{ "turnout_quorum", POLICY_RULE_TURNOUT_QUORUM, true },
	{ "objection_cap", POLICY_RULE_OBJECTION_CAP, true },
	{ "n_of_m_admins", POLICY_RULE_N_OF_M_ADMINS, false },
	{ "all_of", POLICY_RULE_ALL_OF, false },
	{ "any_of", POLICY_RULE_ANY_OF, false },
};

/* The charter's field for each kind of ballot; a charter names its rules by these fields too. */
static const struct { const char *kind, *field; } fields[] = {
	{ "release", "gate" }, { "charter", "amendment" }, { "merge", "merge" }, { "toggle", "toggle" }, { "admin", "amendment" }, { "benefit", "amendment" },
	{ "appeal", "appeal" },
	{ "gate", "gate" }, { "amendment", "amendment" },
};

/* What charters from before there was this field mean. */
#define APPEAL_DEFAULT "{\"rule\":\"majority\",\"roll\":\"members\"}"
#define RATIO_MAX 1000000 /* of either part of a ratio, and of a number of admins */

static int kind_of(struct str name)
{
	for (size_t i = 0; i < CH_LEN(kinds); i++)
		if (str_is(name, kinds[i].name))
			return (int)i;
	return -1;
}

/* A fault at a member of the rule, whether it is there or not. */
static void fault_at(struct arena *a, const struct json *rule, const char *member, struct error *e, const char *text)
{
	error_fault(e, a, str_fmt(a, "%.*s/%s", STR_ARG(json_pointer(a, rule)), member), "%s", text);
}

static int64_t number_at(struct arena *a, const struct json *rule, const char *member, struct error *e)
{
	int64_t n = json_int(json_get(rule, member), 0);
	if (n < 1 || n > RATIO_MAX) {
		fault_at(a, rule, member, e, "This must be a whole number from 1 to 1000000.");
		return 1;
	}
	return n;
}

static void read_ratio(struct arena *a, const struct json *rule, struct policy_quorum *out, struct error *e)
{
	if (out->op == POLICY_RULE_MAJORITY && !json_get(rule, "n") && !json_get(rule, "d")) {
		if (json_get(rule, "strict"))
			fault_at(a, rule, "strict", e, "Strict goes with a ratio: give n and d too.");
		return;
	}
	out->num = (uint32_t)number_at(a, rule, "n", e);
	out->den = (uint32_t)number_at(a, rule, "d", e);
	if (out->num > out->den)
		fault_at(a, rule, "n", e, "A part cannot be more than the whole: n must be at most d.");
	if (out->op != POLICY_RULE_MAJORITY)
		return;
	out->strict = json_bool(json_get(rule, "strict"), true);
	if (out->strict && out->num == out->den)
		fault_at(a, rule, "n", e, "More than all of the votes is never reached.");
	if ((uint64_t)out->num * 2 < out->den)
		fault_at(a, rule, "n", e, "A majority cannot be less than half.");
}

/* Members that the rule has no use for would be read by a person as if they meant something. */
static void refuse_strangers(struct arena *a, const struct json *rule, unsigned op, struct error *e)
{
	bool of = op == POLICY_RULE_ALL_OF || op == POLICY_RULE_ANY_OF, admins = op == POLICY_RULE_N_OF_M_ADMINS;
	json_each(member, rule) {
		bool known = str_is(member->key, "rule") || (str_is(member->key, "of") && of) || (str_is(member->key, "n") && !of) ||
			((str_is(member->key, "d") || str_is(member->key, "roll")) && !of && !admins) || (str_is(member->key, "strict") && op == POLICY_RULE_MAJORITY);
		if (!known)
			error_fault(e, a, json_pointer(a, member), "This rule has no such field.");
	}
}

static void read_roll(struct arena *a, const struct json *rule, struct policy_quorum *out, struct error *e)
{
	const struct json *roll = json_get(rule, "roll");
	out->electorate = str_is(json_text(roll), "admins") ? POLICY_ADMINS : POLICY_MEMBERS;
	if (roll && out->electorate == POLICY_MEMBERS && !str_is(json_text(roll), "members"))
		fault_at(a, rule, "roll", e, "This must be members or admins.");
}

/* One node; its children are given places behind all that are taken already. */
static void read_node(struct arena *a, const struct json *rule, struct ballot_rule *out, const struct json **places, size_t at, struct error *e)
{
	struct policy_quorum *node = &out->nodes[at];
	int kind = kind_of(json_member_text(rule, "rule"));
	if (kind < 0) {
		fault_at(a, rule, "rule", e, "There is no such rule.");
		return;
	}
	node->op = kinds[kind].op;
	refuse_strangers(a, rule, node->op, e);
	if (kinds[kind].ratio) {
		read_roll(a, rule, node, e);
		read_ratio(a, rule, node, e);
	} else if (node->op == POLICY_RULE_N_OF_M_ADMINS) {
		node->electorate = POLICY_ADMINS;
		node->num = (uint32_t)number_at(a, rule, "n", e);
	} else {
		const struct json *of = json_get(rule, "of");
		if (!json_is(of, JSON_ARRAY) || of->count == 0) {
			fault_at(a, rule, "of", e, "Name at least one rule.");
			return;
		}
		if (out->n + of->count > POLICY_QUORUM_MAX) {
			fault_at(a, rule, "of", e, "A rule may consist of at most 32 parts.");
			return;
		}
		node->first = (uint16_t)out->n;
		node->count = (uint16_t)of->count;
		json_each(child, of)
			places[out->n++] = child;
	}
}

enum err ballot_rule_parse(struct arena *a, const struct json *rule, struct ballot_rule *out, struct error *e)
{
	*out = (struct ballot_rule){ .json = STR_NONE };
	if (!json_is(rule, JSON_OBJECT)) {
		error_fault(e, a, rule ? json_pointer(a, rule) : STR(""), "A rule is an object such as {\"rule\":\"majority\"}.");
		return ERR_INVALID;
	}
	struct error found = { .code = ERR_OK };
	const struct json *places[POLICY_QUORUM_MAX] = { rule };
	out->n = 1;
	for (size_t at = 0; at < out->n; at++)
		read_node(a, places[at], out, places, at, &found);
	if (found.code == ERR_OK && !policy_quorum_valid(out->nodes, out->n))
		error_fault(&found, a, json_pointer(a, rule), "This rule is not sound.");
	for (const struct fault *f = found.faults; f; f = f->next)
		error_fault(e, a, f->pointer, "%.*s", STR_ARG(f->message));
	if (found.code != ERR_OK)
		return ERR_INVALID;

	struct buf b;
	buf_init(&b, LIMIT_BODY_SMALL);
	json_canonical(&b, rule, false);
	out->json = buf_take(a, &b);
	return out->json.p ? ERR_OK : error_set(e, ERR_TOO_LARGE, "The rule is too large.");
}

const struct json *charter_rule_json(struct arena *a, const struct charter *charter, const char *field)
{
	const struct json *rule = json_get(charter->json, field);
	struct error ignored = { 0 };
	if (!rule && strcmp(field, "appeal") == 0 && json_parse(a, STR(APPEAL_DEFAULT), &rule, &ignored) != ERR_OK)
		return NULL;
	return rule;
}

enum err charter_rule(struct arena *a, const struct charter *charter, const char *which, struct ballot_rule *out, struct error *e)
{
	for (size_t i = 0; i < CH_LEN(fields); i++)
		if (strcmp(fields[i].kind, which) == 0)
			return ballot_rule_parse(a, charter_rule_json(a, charter, fields[i].field), out, e);
	return error_set(e, ERR_INTERNAL, "no rule is called %s", which);
}

/* ---- Words ---- */

static struct str part_words(struct arena *a, int64_t n, int64_t d)
{
	static const struct { int n, d; const char *words; } common[] = {
		{ 1, 2, "half" }, { 1, 3, "a third" }, { 2, 3, "two thirds" }, { 1, 4, "a quarter" }, { 3, 4, "three quarters" },
		{ 1, 5, "a fifth" }, { 1, 10, "a tenth" }, { 1, 1, "all" },
	};
	for (size_t i = 0; i < CH_LEN(common); i++)
		if (n * common[i].d == d * common[i].n)
			return str_of(common[i].words);
	return str_fmt(a, "%lld/%lld", (long long)n, (long long)d);
}

struct str charter_board_words(struct arena *a, const struct charter *charter)
{
	bool whole = charter->board_n == charter->board_d;
	return whole ? STR("all admins") : str_fmt(a, "%s %.*s of the admins", charter->board_strict ? "more than" : "at least",
		STR_ARG(part_words(a, charter->board_n, charter->board_d)));
}

static struct str number_words(struct arena *a, int64_t n)
{
	static const char *const words[] = { "no", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve" };
	return n >= 0 && n < (int64_t)CH_LEN(words) ? str_of(words[n]) : str_fmt(a, "%lld", (long long)n);
}

/* A rule that counts, in a clause. */
static struct str counting_words(struct arena *a, const struct json *rule)
{
	struct str name = json_member_text(rule, "rule"), roll = json_member_text(rule, "roll");
	int64_t n = json_int(json_get(rule, "n"), 0), d = json_int(json_get(rule, "d"), 0);
	const char *who = str_is(roll, "admins") ? "admins" : "members";
	struct str part = part_words(a, n, d ? d : 1);
	bool whole = n == d;
	if (str_is(name, "majority")) {
		if (!d)
			return str_fmt(a, "more %s vote for it than against it", who);
		return str_fmt(a, "%s %.*s of the votes of %s for and against are for it", json_bool(json_get(rule, "strict"), true) ? "more than" : "at least", STR_ARG(part), who);
	}
	if (str_is(name, "approval_quorum"))
		return whole ? str_fmt(a, "all %s vote for it", who) : str_fmt(a, "at least %.*s of all %s vote for it", STR_ARG(part), who);
	if (str_is(name, "turnout_quorum"))
		return whole ? str_fmt(a, "all %s vote", who) : str_fmt(a, "at least %.*s of all %s vote", STR_ARG(part), who);
	if (str_is(name, "objection_cap"))
		return str_fmt(a, "at most %.*s of the votes that %s cast are against it", STR_ARG(part), who);
	if (str_is(name, "n_of_m_admins"))
		return str_fmt(a, "%.*s admin%s other than the proposer %s for it", STR_ARG(number_words(a, n)), n == 1 ? "" : "s", n == 1 ? "votes" : "vote");
	return STR("an unknown rule holds");
}

struct str ballot_rule_words(struct arena *a, const struct json *rule)
{
	struct { const struct json *rule, *child; } open[LIMIT_JSON_DEPTH];
	size_t depth = 0;
	struct buf b;
	buf_init(&b, LIMIT_BODY_SMALL);
	const struct json *at = rule;
	for (;;) {
		/* One rule: its clause, or the way into a compound one. */
		const struct json *of = json_get(at, "of");
		if (json_is(of, JSON_ARRAY) && of->child && depth < CH_LEN(open)) {
			if (depth > 0 && of->count > 1)
				buf_add_z(&b, "(");
			if (of->count > 1)
				buf_add_z(&b, str_is(json_member_text(at, "rule"), "any_of") ? "either " : of->count == 2 ? "both " : "");
			open[depth].rule = at;
			open[depth++].child = of->child;
			at = of->child;
			continue;
		}
		buf_add_str(&b, counting_words(a, at));
		/* On to the next one, closing what is finished. */
		while (depth > 0 && !open[depth - 1].child->next) {
			depth--;
			if (depth > 0 && json_get(open[depth].rule, "of")->count > 1)
				buf_add_z(&b, ")");
		}
		if (depth == 0)
			break;
		at = open[depth - 1].child = open[depth - 1].child->next;
		buf_add_z(&b, str_is(json_member_text(open[depth - 1].rule, "rule"), "any_of") ? ", or " : ", and ");
	}
	struct str words = b.failed ? STR("a rule too long to tell") : str_copy(a, buf_str(&b));
	buf_release(&b);
	return words;
}
