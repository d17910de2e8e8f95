#include "server/coop/charter.h"

#include "commonhold/words.h"

/* What differs between two charters, field by field, in words; and what of it touches choices that members have made. */

#define LONG_SHOWN 4000 /* characters of a changed passage */

const char *charter_line_name(enum charter_line line)
{
	static const char *const names[CHARTER_LINE_COUNT] = { "", "consent", "sharing", "licence", "delegations" };
	return (unsigned)line < CHARTER_LINE_COUNT ? names[line] : "";
}

/* ---- Values in words ---- */

typedef struct str (*value_words)(struct arena *a, const struct json *v);

static struct str say_text(struct arena *a, const struct json *v)
{
	(void)a;
	struct str text = str_trim(json_text(v));
	return text.n ? text : STR("nothing");
}

static struct str say_number(struct arena *a, const struct json *v)
{
	return words_count(a, json_int(v, 0));
}

static struct str say_per_cent(struct arena *a, const struct json *v)
{
	return str_fmt(a, "%lld per cent", (long long)json_int(v, 0));
}

static struct str say_more_than(struct arena *a, const struct json *v)
{
	(void)a;
	return json_bool(v, true) ? STR("yes, more than that") : STR("no, at least that");
}

static struct str say_duration(struct arena *a, const struct json *v)
{
	struct duration d;
	return duration_parse(json_text(v), &d) ? duration_words(a, d) : json_text(v);
}

static struct str say_rule(struct arena *a, const struct json *v)
{
	struct str words = ballot_rule_words(a, v);
	return str_fmt(a, "when %.*s", STR_ARG(words));
}

static struct str say_instant(struct arena *a, const struct json *v)
{
	instant t;
	return clock_parse(json_text(v), &t) ? words_minute(a, t) : json_text(v);
}

static struct str say_bits(struct arena *a, const struct json *names, unsigned count, int (*find)(const char *name, size_t len), const char *(*word)(unsigned no))
{
	uint64_t bits = 0;
	json_each(name, names) {
		int no = json_is(name, JSON_STRING) ? find(name->text.p, name->text.n) : -1;
		if (no >= 0)
			bits |= UINT64_C(1) << no;
	}
	return bits ? words_list(a, bits, count, word) : STR("none");
}

static struct str say_uses(struct arena *a, const struct json *v)
{
	return say_bits(a, v, POLICY_USE_COUNT, policy_use_find, words_use);
}

static struct str say_purposes(struct arena *a, const struct json *v)
{
	return say_bits(a, v, POLICY_PURPOSE_COUNT, policy_purpose_find, words_purpose);
}

static struct str say_kinds(struct arena *a, const struct json *v)
{
	return say_bits(a, v, POLICY_KIND_COUNT, policy_kind_find, words_kind);
}

/* Texts as they are, or the names of objects, one after the other. */
static struct str say_list(struct arena *a, const struct json *v)
{
	struct buf b;
	buf_init(&b, LIMIT_BODY_SMALL);
	json_each(item, v) {
		struct str text = item->type == JSON_OBJECT ? json_member_text(item, "name") : json_text(item);
		if (!text.p)
			text = item->key;
		buf_add_z(&b, b.n ? ", " : "");
		buf_add_str(&b, text);
		if (str_is(json_member_text(item, "effect"), "hold"))
			buf_add_z(&b, " (held for review)");
	}
	struct str words = b.n ? buf_take(a, &b) : STR("none");
	if (!b.n)
		buf_release(&b);
	return words;
}

static struct str say_languages(struct arena *a, const struct json *v)
{
	struct str words = STR("");
	json_each(tag, v)
		words = str_fmt(a, "%.*s%s%.*s", STR_ARG(words), words.n ? ", " : "", STR_ARG(words_language(a, json_text(tag))));
	return words.n ? words : STR("none");
}

static struct str say_audience(struct arena *a, const struct json *v)
{
	struct str word = json_text(v);
	int no = word.p ? policy_audience_find(word.p, word.n) : -1;
	(void)a;
	return no < 0 ? word : str_of(audience_words((unsigned)no));
}

static struct str plain_word(struct str word)
{
	static const struct { const char *word, *words; } table[] = {
		{ "share_by_default", "share by default" }, { "not_share_by_default", "do not share by default" }, { "collection", "every contribution keeps its own licence" },
		{ "adaptation", "the whole gets one licence" }, { "approve", "taken at once" }, { "hold", "an admin looks at it first" }, { "reject", "refused" },
		{ "open", "anyone may join" }, { "approval", "an admin decides" }, { "invitation", "by invitation" }, { "ch", "the Swiss limit of nine" },
		{ "de", "the German limit of two" }, { "custom", "the co-op’s own" }, { "included_items", "by items that are in a release" }, { "per_contributor", "evenly by person" },
		{ "anonymous", "not named" }, { "pseudonym", "by a random name" }, { "public", "by a public name" }, { "members", "every member" }, { "admins", "any admin" },
		{ "ballot", "a ballot alone" }, { "coop", "everything" }, { "topic", "a topic" }, { "target", "one ballot or release" },
		{ "pre_submission", "before it is sent" }, { "on_submission", "when it is sent" }, { "post_submission", "afterwards" }, { "pre_publication", "before a release" },
		{ "on_demand", "when asked" },
	};
	for (size_t i = 0; i < CH_LEN(table); i++)
		if (str_is(word, table[i].word))
			return str_of(table[i].words);
	return word;
}

static struct str say_word(struct arena *a, const struct json *v)
{
	(void)a;
	return plain_word(json_text(v));
}

static struct str say_words(struct arena *a, const struct json *v)
{
	struct str words = STR("");
	json_each(item, v)
		words = str_fmt(a, "%.*s%s%.*s", STR_ARG(words), words.n ? ", " : "", STR_ARG(say_word(a, item)));
	return words.n ? words : STR("nothing");
}

static struct str say_preference(struct arena *a, const struct json *v)
{
	struct str effect = json_member_text(v, "effect");
	if (!v)
		return STR("left open");
	if (str_is(effect, "allow_if"))
		return str_fmt(a, "yes on conditions: %.*s", STR_ARG(say_list(a, json_get(v, "duties"))));
	return str_is(effect, "allow") ? STR("yes") : STR("no");
}

/* ---- Fields ---- */

/* Whether a change asks more of members than they agreed to. */
typedef bool (*widens_fn)(const struct charter *before, const struct charter *after);

static bool wider_uses(const struct charter *before, const struct charter *after)
{
	return policy_uses_expand(after->release_uses) & ~policy_uses_expand(before->release_uses);
}

/* A purpose that no former one covers. */
static bool wider_purposes(const struct charter *before, const struct charter *after)
{
	for (unsigned no = 0; no < POLICY_PURPOSE_COUNT; no++)
		if ((after->release_purposes & POLICY_BIT(no)) && !(policy_purpose_above(no) & before->release_purposes))
			return true;
	return false;
}

static bool wider_audience(const struct charter *before, const struct charter *after)
{
	return after->release_audience > before->release_audience;
}

static bool wider_access(const struct charter *before, const struct charter *after)
{
	return policy_audience_find(after->access.p, after->access.n) > policy_audience_find(before->access.p, before->access.n);
}

/* What the co-op says for the silent about a use: how much of a yes (none, on conditions, outright), and on which conditions. */
struct default_said { int yes; uint16_t duties; };

static struct default_said default_of(const struct charter *c, unsigned use)
{
	struct default_said most = { 0 };
	for (size_t i = 0; i < c->n_defaults; i++) {
		const struct policy_statement *s = &c->defaults[i];
		int yes = s->effect == POLICY_EFFECT_ALLOW ? 2 : s->effect == POLICY_EFFECT_ALLOW_IF ? 1 : 0;
		if (s->uses & POLICY_BIT(use) && yes > most.yes)
			most = (struct default_said){ yes, s->duties };
	}
	return most;
}

/* More of a yes, or the same on fewer conditions: nobody who accepted a default with its conditions accepted one without them. */
static bool wider_default(const struct charter *before, const struct charter *after, unsigned use)
{
	struct default_said was = default_of(before, use), is = default_of(after, use);
	return is.yes > was.yes || (is.yes == 1 && was.yes == 1 && (was.duties & ~is.duties));
}

static bool wider_defaults(const struct charter *before, const struct charter *after)
{
	for (unsigned use = 0; use < POLICY_USE_COUNT; use++)
		if (wider_default(before, after, use))
			return true;
	return false;
}

static bool longer_kept(const struct charter *before, const struct charter *after)
{
	int64_t was = duration_length(before->retention_raw), is = duration_length(after->retention_raw);
	return was != 0 && (is == 0 || is > was);
}

static bool deeper_delegation(const struct charter *before, const struct charter *after)
{
	return after->delegation_depth > before->delegation_depth;
}

static bool always(const struct charter *before, const struct charter *after)
{
	(void)before;
	(void)after;
	return true;
}

/* What each field is called, how its value is told, and what choice of a member's a change of it touches. */
static const struct field {
	const char *pointer, *group, *label;
	value_words words;          /* NULL: a long text, of which the changed passage is shown */
	enum charter_line line;     /* NONE: no choice */
	widens_fn material;         /* whether this change touches it */
} fields[] = {
	{ "/name", "Who it is for", "Name", say_text, 0, NULL },
	{ "/scope/domain", "Who it is for", "What its data is about", say_text, 0, NULL },
	{ "/scope/region", "Who it is for", "Region", say_text, 0, NULL },
	{ "/scope/language", "Who it is for", "Languages", say_languages, 0, NULL },
	{ "/bylaws", "Who it is for", "Bylaws", NULL, 0, NULL },
	{ "/sharing", "Sharing", "What silence means", say_word, CHARTER_LINE_SHARING, wider_defaults },
	{ "/kinds", "Sharing", "Kinds of contribution", say_kinds, 0, NULL },
	{ "/licence/default", "Licences and credit", "Licence of new contributions", say_text, CHARTER_LINE_LICENCE, always },
	{ "/licence/allowed", "Licences and credit", "Licences a member may choose", say_list, CHARTER_LINE_LICENCE, always },
	{ "/ai_preferences/train.gen", "Sharing", "For the silent: training generative models", say_preference, CHARTER_LINE_SHARING, wider_defaults },
	{ "/ai_preferences/train.other", "Sharing", "For the silent: training other models", say_preference, CHARTER_LINE_SHARING, wider_defaults },
	{ "/ai_preferences/infer.system", "Sharing", "For the silent: use by a system at run time", say_preference, CHARTER_LINE_SHARING, wider_defaults },
	{ "/ai_preferences/infer.user", "Sharing", "For the silent: use at a user’s request", say_preference, CHARTER_LINE_SHARING, wider_defaults },
	{ "/ai_preferences/search", "Sharing", "For the silent: search", say_preference, CHARTER_LINE_SHARING, wider_defaults },
	{ "/ai_preferences/mine", "Sharing", "For the silent: automated analysis", say_preference, CHARTER_LINE_SHARING, wider_defaults },
	{ "/ai_preferences/eval", "Sharing", "For the silent: evaluating models", say_preference, CHARTER_LINE_SHARING, wider_defaults },
	{ "/ai_preferences/redistribute", "Sharing", "For the silent: passing the data on", say_preference, CHARTER_LINE_SHARING, wider_defaults },
	{ "/ai_preferences/aggregate", "Sharing", "For the silent: figures about the whole", say_preference, CHARTER_LINE_SHARING, wider_defaults },
	{ "/ai_preferences/member_may_change", "Sharing", "Where a member may be more generous", say_uses, 0, NULL },
	{ "/release/uses", "Releases", "Uses", say_uses, CHARTER_LINE_SHARING, wider_uses },
	{ "/release/purposes", "Releases", "Purposes", say_purposes, CHARTER_LINE_CONSENT, wider_purposes },
	{ "/release/audience", "Releases", "Who they are for", say_audience, CHARTER_LINE_CONSENT, wider_audience },
	{ "/release/output_licences", "Releases", "Licences of releases", say_list, CHARTER_LINE_LICENCE, always },
	{ "/release/mode", "Releases", "Licence of the whole", say_word, CHARTER_LINE_LICENCE, always },
	{ "/release/k_contributors", "Releases", "Fewest people in a release", say_number, 0, NULL },
	{ "/release/uses_conditional", "Releases", "Uses for which a conditional yes is enough", say_uses, 0, NULL },
	{ "/cadence/rrule", "Releases", "How often they are cut", say_text, 0, NULL },
	{ "/cadence/start", "Releases", "First cut-off", say_instant, 0, NULL },
	{ "/cadence/lead", "Releases", "Announced how long before", say_duration, 0, NULL },
	{ "/cadence/notice", "Releases", "Notice before voting", say_duration, 0, NULL },
	{ "/cadence/voting", "Releases", "Time to vote", say_duration, 0, NULL },
	{ "/cadence/cooling_off", "Releases", "Time to think again", say_duration, 0, NULL },
	{ "/gate", "Decisions", "Rule for releases", say_rule, 0, NULL },
	{ "/amendment", "Decisions", "Rule for amendments and admins", say_rule, 0, NULL },
	{ "/merge", "Decisions", "Rule for joining with another co-op", say_rule, 0, NULL },
	{ "/toggle", "Decisions", "Rule for collective controls", say_rule, 0, NULL },
	{ "/appeal", "Decisions", "Rule for appeals against a refused deletion", say_rule, 0, NULL },
	{ "/proposals/who", "Decisions", "Who may propose", say_word, 0, NULL },
	{ "/proposals/seconders", "Decisions", "Seconders a motion needs", say_number, 0, NULL },
	{ "/proposals/per_member_open", "Decisions", "Open motions of one member", say_number, 0, NULL },
	{ "/admins", "Decisions", "Who makes admins", say_word, 0, NULL },
	{ "/board/n", "Decisions", "The board speaks by this part of the admins: upper number", say_number, CHARTER_LINE_DELEGATIONS, always },
	{ "/board/d", "Decisions", "The board speaks by this part of the admins: lower number", say_number, CHARTER_LINE_DELEGATIONS, always },
	{ "/board/strict", "Decisions", "More than that part of them", say_more_than, CHARTER_LINE_DELEGATIONS, always },
	{ "/access/mode", "Who gets a release", "Who gets a release", say_audience, CHARTER_LINE_CONSENT, wider_access },
	{ "/access/terms", "Who gets a release", "Terms", NULL, 0, NULL },
	{ "/access/token_life", "Who gets a release", "Life of a download token", say_duration, 0, NULL },
	{ "/access/grant_life", "Who gets a release", "Life of a permission", say_duration, 0, NULL },
	{ "/access/purge_days", "Who gets a release", "Days to delete what was deleted here", say_number, 0, NULL },
	{ "/moderation/mode", "Care for contributions", "Before a contribution may be released", say_word, 0, NULL },
	{ "/moderation/pii/action", "Care for contributions", "When personal data is found", say_word, 0, NULL },
	{ "/moderation/pii/threshold", "Care for contributions", "Findings from which that applies", say_number, 0, NULL },
	{ "/moderation/stages", "Care for contributions", "Where processing happens", say_words, 0, NULL },
	{ "/retention/raw", "Care for contributions", "How long contributions are kept", say_duration, CHARTER_LINE_CONSENT, longer_kept },
	{ "/retention/access_log", "Care for contributions", "How long the log of downloads is kept", say_duration, 0, NULL },
	{ "/retention/backups", "Care for contributions", "How long backups are kept", say_duration, 0, NULL },
	{ "/retention/quarantine", "Care for contributions", "How long what was held or refused is kept", say_duration, 0, NULL },
	{ "/deletion/gather", "Care for contributions", "How long deletions are gathered", say_duration, 0, NULL },
	{ "/deletion/redact_within", "Care for contributions", "Within what time a release is made anew without what was deleted", say_duration, 0, NULL },
	{ "/embargo", "Releases", "Wait before a contribution may be released", say_duration, 0, NULL },
	{ "/membership/admission", "Membership", "How one becomes a member", say_word, 0, NULL },
	{ "/membership/checkup_every", "Membership", "Time between checkups", say_duration, 0, NULL },
	{ "/membership/window", "Membership", "How early a checkup may be done", say_duration, 0, NULL },
	{ "/membership/grace", "Membership", "Grace after a checkup is due", say_duration, 0, NULL },
	{ "/delegation/scopes", "Decisions", "What may be delegated", say_words, 0, NULL },
	{ "/delegation/depth", "Decisions", "Hands a decision may pass through", say_number, CHARTER_LINE_DELEGATIONS, deeper_delegation },
	{ "/delegation/cap", "Decisions", "Members one delegate may decide for (0: no limit)", say_number, 0, NULL },
	{ "/delegation/profile", "Decisions", "Law of delegations", say_word, 0, NULL },
	{ "/benefit/contributors", "Membership", "Earnings for contributors", say_per_cent, 0, NULL },
	{ "/benefit/commons", "Membership", "Earnings for the co-op as a whole", say_per_cent, 0, NULL },
	{ "/benefit/weight", "Membership", "How contributors share", say_word, 0, NULL },
	{ "/attribution", "Licences and credit", "How a new member is named", say_word, 0, NULL },
	{ "/records", "Care for contributions", "Shapes of records", say_list, 0, NULL },
	{ "/rules", "Care for contributions", "Rules over contributions", say_list, 0, NULL },
};

bool charter_field(size_t i, struct charter_field *out)
{
	if (i >= CH_LEN(fields))
		return false;
	*out = (struct charter_field){ fields[i].pointer, fields[i].group, fields[i].label };
	return true;
}

struct str charter_word(const char *pointer, struct str word)
{
	int audience = word.p ? policy_audience_find(word.p, word.n) : -1;
	bool of_people = strcmp(pointer, "/release/audience") == 0 || strcmp(pointer, "/access/mode") == 0;
	return of_people && audience >= 0 ? str_of(audience_words((unsigned)audience)) : plain_word(word);
}

bool charter_field_is_compared(struct str pointer)
{
	for (size_t i = 0; i < CH_LEN(fields); i++)
		if (str_is(pointer, fields[i].pointer))
			return true;
	return false;
}

/* The passage of a long text that differs from the other: whole lines, without those at both ends that are the same. */
static struct str changed_passage(struct arena *a, struct str text, struct str other)
{
	size_t head = 0, tail = 0, least = text.n < other.n ? text.n : other.n;
	for (size_t i = 0; i < least && text.p[i] == other.p[i]; i++)
		if (text.p[i] == '\n')
			head = i + 1;
	for (size_t i = 1; i + head <= least && text.p[text.n - i] == other.p[other.n - i]; i++)
		if (text.p[text.n - i] == '\n')
			tail = i;
	struct str passage = str_trim(str_sub(text, head, text.n - head - tail));
	if (!passage.n)
		return STR("nothing");
	if (passage.n <= LONG_SHOWN)
		return passage;
	size_t cut = LONG_SHOWN;
	while (cut && ((unsigned char)passage.p[cut] & 0xc0) == 0x80)
		cut--;
	return str_fmt(a, "%.*s …", (int)cut, passage.p);
}

/* A charter's document with the defaults that its version of the schema did not know. */
static enum err filled(struct arena *a, const struct charter *c, const struct json **out, struct error *e)
{
	const struct charter_schema *schema = charter_schema(e);
	if (!schema)
		return e->code;
	return charter_fill(a, schema->document, c->json, out, e);
}

enum err charter_values(struct arena *a, const struct charter *charter, struct str **out, size_t *n, struct error *e)
{
	const struct json *is;
	TRY(filled(a, charter, &is, e));
	*n = CH_LEN(fields);
	*out = ARENA_ARRAY(a, *n, struct str);
	for (size_t i = 0; i < *n; i++)
		(*out)[i] = fields[i].words ? fields[i].words(a, json_at(is, fields[i].pointer)) : STR_NONE;
	return ERR_OK;
}

/* What comes after a beginning; absent when it does not begin so. */
static struct str str_after(const char *text, const char *beginning)
{
	size_t n = strlen(beginning);
	return strncmp(text, beginning, n) == 0 ? str_of(text + n) : STR_NONE;
}

static bool both_absent_or_equal(const struct json *a, const struct json *b)
{
	return (!a && !b) || (a && b && json_equal(a, b));
}

enum err charter_compare(struct arena *a, const struct charter *before, const struct charter *after, struct charter_term **out, size_t *n, struct error *e)
{
	const struct json *was, *is;
	TRY(filled(a, before, &was, e));
	TRY(filled(a, after, &is, e));
	*out = ARENA_ARRAY(a, CH_LEN(fields), struct charter_term);
	*n = 0;
	for (size_t i = 0; i < CH_LEN(fields); i++) {
		const struct field *f = &fields[i];
		const struct json *v = json_at(was, f->pointer), *u = json_at(is, f->pointer);
		if (both_absent_or_equal(v, u))
			continue;
		struct charter_term *t = &(*out)[(*n)++];
		*t = (struct charter_term){ .pointer = f->pointer, .group = f->group, .label = f->label };
		if (f->words) {
			t->before = f->words(a, v);
			t->after = f->words(a, u);
		} else {
			t->before = changed_passage(a, json_text(v), json_text(u));
			t->after = changed_passage(a, json_text(u), json_text(v));
		}
		struct str name = str_after(f->pointer, "/ai_preferences/");
		int use = name.p ? policy_use_find(name.p, name.n) : -1;
		bool material = f->material && (use < 0 ? f->material(before, after) : wider_default(before, after, (unsigned)use));
		t->line = material ? f->line : CHARTER_LINE_NONE;
		t->widens = material && (f->line == CHARTER_LINE_CONSENT || f->line == CHARTER_LINE_SHARING);
	}
	return ERR_OK;
}

/* ---- Amending again ---- */

enum err charter_amendable(struct arena *a, const struct charter *charter, int members, int admins, struct error *e)
{
	struct ballot_rule rule;
	TRY(charter_rule(a, charter, "amendment", &rule, e));
	/* The best case: everybody votes for it. A proposer who is an admin does not count among the n admins that a rule may want. */
	bool by_admin = charter->admins_propose || members == admins;
	struct policy_count count = { 0 };
	count.of[POLICY_MEMBERS] = (struct policy_tally){ .roll = (uint32_t)members, .yes = (uint32_t)members };
	count.of[POLICY_ADMINS] = (struct policy_tally){ .roll = (uint32_t)admins, .yes = (uint32_t)admins, .proposer_yes = by_admin };
	if (policy_ballot_decide(rule.nodes, rule.n, &count) != POLICY_PASSED)
		error_fault(e, a, STR("/amendment"), "Nobody could change the charter again: even if all %d members and all %d admins voted for it, no amendment would pass under this rule.",
			members, admins);
	if (charter->seconders >= members)
		error_fault(e, a, STR("/proposals/seconders"), "Nobody could propose anything again: the co-op has %d member%s, and a motion would need %d others.", members,
			members == 1 ? "" : "s", charter->seconders);
	return e->code == ERR_OK ? ERR_OK : ERR_INVALID;
}
