/*
 * pref.c - preference strings of the world outside: AIPREF by revision, CC signals, RSL, TDMRep.
 *
 * A label means what its revision says. Parents hand their value down to children that say nothing, in the
 * revisions that had a hierarchy. Whatever is not understood is unknown.
 */
#include <stdio.h>

#include "policy/internal.h"

#define NAME(sym, no, name) [no] = (name),
static const char *const dialects[] = {POLICY_DIALECTS(NAME)};
#undef NAME

const char *policy_dialect_name(unsigned dialect)
{
	return dialect < POLICY_DIALECT_COUNT ? dialects[dialect] : NULL;
}

int policy_dialect_find(const char *name, size_t len)
{
	for (int i = 0; i < POLICY_DIALECT_COUNT; i++)
		if (strlen(dialects[i]) == len && memcmp(dialects[i], name, len) == 0)
			return i;
	return -1;
}

#define U(use) POLICY_BIT(POLICY_USE_##use)
enum { LABELS_MAX = 5, NO_PARENT = 0xff };

/* A label of one revision: what it is about by itself, and whose value it takes when it says nothing. */
struct label {
	const char *name; /* as written */
	uint16_t uses;    /* our uses */
	uint8_t parent;   /* position in the same vocabulary, before its own; NO_PARENT for none */
};
struct vocabulary {
	struct label labels[LABELS_MAX]; /* parents first */
	uint8_t n;                       /* how many */
};

/* Sources: draft-ietf-aipref-vocab-02 to -07; CC signals 0.1 uses the labels of -03. */
static const struct vocabulary vocabularies[] = {
	[POLICY_DIALECT_AIPREF_02] = {{{"all", U(MINE), NO_PARENT},
	                               {"train-ai", U(TRAIN_OTHER), 0},
	                               {"train-genai", U(TRAIN_GEN), 1},
	                               {"ai-use", U(INFER_SYSTEM) | U(INFER_USER), 0},
	                               {"search", U(SEARCH), 0}},
	                              5},
	[POLICY_DIALECT_AIPREF_03] = {{{"bots", U(MINE), NO_PARENT},
	                               {"train-ai", U(TRAIN_OTHER), 0},
	                               {"train-genai", U(TRAIN_GEN), 1},
	                               {"search", U(SEARCH), 0}},
	                              4},
	[POLICY_DIALECT_AIPREF_04] = {{{"bots", U(MINE), NO_PARENT},
	                               {"train-ai", U(TRAIN_GEN) | U(TRAIN_OTHER), 0},
	                               {"ai-output", U(INFER_SYSTEM) | U(INFER_USER), 0},
	                               {"search", U(SEARCH), 2}},
	                              4},
	[POLICY_DIALECT_AIPREF_05] = {{{"train-ai", U(TRAIN_GEN) | U(TRAIN_OTHER), NO_PARENT}, {"search", U(SEARCH), NO_PARENT}}, 2},
	[POLICY_DIALECT_AIPREF_06] = {{{"train-ai", U(TRAIN_GEN), NO_PARENT}, {"search", U(SEARCH), NO_PARENT}}, 2},
	[POLICY_DIALECT_AIPREF_07] = {{{"train-ai", U(TRAIN_GEN), NO_PARENT}, {"search", U(SEARCH), NO_PARENT}}, 2},
	[POLICY_DIALECT_CC_SIGNALS_01] = {{{"bots", U(MINE), NO_PARENT},
	                                   {"train-ai", U(TRAIN_OTHER), 0},
	                                   {"train-genai", U(TRAIN_GEN), 1},
	                                   {"search", U(SEARCH), 0}},
	                                  4},
};

static bool is(struct policy_text text, const char *word)
{
	return text.len == strlen(word) && memcmp(text.at, word, text.len) == 0;
}

/* ---- Reading dictionaries ------------------------------------------------------------------------------------ */

enum value { SAYS_NOTHING, SAYS_YES, SAYS_NO };

/* What is being read. */
struct reading {
	const struct vocabulary *vocabulary; /* whose labels */
	bool exceptions;                     /* whether the dialect knows `exceptions` */
	uint8_t value[LABELS_MAX];           /* enum value, by label */
	uint16_t duties[LABELS_MAX];         /* exceptions to a `n`, by label; 0 if none or not understood */
};

/* The signals of CC signals 0.1 as duties. */
static const struct {
	const char *name; /* as written */
	uint16_t duty;    /* ours */
} signals[] = {
	{"cc-cr", POLICY_BIT(POLICY_DUTY_CREDIT)},
	{"cc-dc", POLICY_BIT(POLICY_DUTY_CONTRIBUTE_DIRECT)},
	{"cc-ec", POLICY_BIT(POLICY_DUTY_CONTRIBUTE_ECOSYSTEM)},
	{"cc-op", POLICY_BIT(POLICY_DUTY_OPEN)},
};

/* The next word of a list separated by blanks, commas or plus signs; empty at the end. */
static struct policy_text next_word(struct policy_text *rest)
{
	while (rest->len && strchr(" ,+\t\r\n", *rest->at)) {
		rest->at++;
		rest->len--;
	}
	struct policy_text word = {rest->at, 0};
	while (rest->len && !strchr(" ,+\t\r\n", *rest->at)) {
		rest->at++;
		rest->len--;
		word.len++;
	}
	return word;
}

/* Duties of a list of signals; 0 if one of them is not understood, for then the exception is not either. */
static uint16_t signal_duties(struct policy_text list)
{
	uint16_t duties = 0;
	for (struct policy_text word = next_word(&list); word.len; word = next_word(&list)) {
		uint16_t duty = 0;
		for (size_t i = 0; i < sizeof signals / sizeof signals[0]; i++)
			if (is(word, signals[i].name))
				duty = signals[i].duty;
		if (duty == 0)
			return 0;
		duties |= duty;
	}
	return duties;
}

static void on_param(void *ctx, const struct policy_sf_param *param)
{
	if (is(param->key, "exceptions"))
		*(uint16_t *)ctx = param->type == POLICY_SF_TOKEN || param->type == POLICY_SF_STRING ? signal_duties(param->value) : 0;
}

static void on_member(void *ctx, const struct policy_sf_member *member)
{
	struct reading *reading = ctx;
	for (size_t i = 0; i < reading->vocabulary->n; i++) {
		if (!is(member->key, reading->vocabulary->labels[i].name))
			continue;
		bool token = member->type == POLICY_SF_TOKEN;
		reading->value[i] = token && is(member->value, "y")   ? SAYS_YES
		                    : token && is(member->value, "n") ? SAYS_NO
		                                                      : SAYS_NOTHING;
		reading->duties[i] = 0;
		if (reading->exceptions && reading->value[i] == SAYS_NO)
			policy_sf_params(member->params.at, member->params.len, on_param, &reading->duties[i]);
	}
}

static void read_dictionary(unsigned dialect, const char *text, size_t len, struct policy_pref *out)
{
	struct reading r = {.vocabulary = &vocabularies[dialect], .exceptions = dialect == POLICY_DIALECT_CC_SIGNALS_01};
	if (!policy_sf_dictionary(text, len, on_member, &r))
		return;
	out->parsed = true;
	for (size_t i = 0; i < r.vocabulary->n; i++) {
		const struct label *label = &r.vocabulary->labels[i];
		if (r.value[i] == SAYS_NOTHING && label->parent != NO_PARENT) {
			r.value[i] = r.value[label->parent];
			r.duties[i] = r.duties[label->parent];
		}
		if (r.value[i] == SAYS_YES)
			out->allow |= label->uses;
		if (r.value[i] == SAYS_NO)
			out->deny |= label->uses;
		if (r.duties[i]) {
			out->allow_if |= label->uses;
			out->duties |= r.duties[i];
		}
	}
}

/* ---- Reading RSL ---------------------------------------------------------------------------------------------- */

static uint16_t rsl_uses(struct policy_text list)
{
	static const struct {
		const char *name; /* as written */
		uint16_t uses;    /* ours */
	} usages[] = {
		{"all", U(MINE) | POLICY_USES_MINED | U(SEARCH)},
		{"ai-all", POLICY_USES_MINED},
		{"ai-train", U(TRAIN_GEN) | U(TRAIN_OTHER)},
		{"ai-input", U(INFER_SYSTEM) | U(INFER_USER)},
		{"ai-index", U(INFER_SYSTEM)},
		{"search", U(SEARCH)},
	};
	uint16_t uses = 0;
	for (struct policy_text word = next_word(&list); word.len; word = next_word(&list))
		for (size_t i = 0; i < sizeof usages / sizeof usages[0]; i++)
			if (is(word, usages[i].name))
				uses |= usages[i].uses;
	return uses;
}

static const char *find(const char *at, const char *end, const char *word)
{
	size_t len = strlen(word);
	for (; (size_t)(end - at) >= len; at++)
		if (memcmp(at, word, len) == 0)
			return at;
	return NULL;
}

/* One element's opening tag: its local name, and whether it says type="usage". */
static void read_tag(const char *at, const char *close, struct policy_text *name, bool *usage)
{
	const char *end = at;
	while (end < close && !strchr(" \t\r\n/>", *end))
		end++;
	for (const char *colon = at; colon < end; colon++)
		if (*colon == ':')
			at = colon + 1;
	*name = (struct policy_text){at, (size_t)(end - at)};
	*usage = find(end, close, "type=\"usage\"") || find(end, close, "type='usage'");
}

/* Enough XML for RSL: elements in order, comments and instructions skipped. Anything else is not RSL. */
static void read_rsl(const char *text, size_t len, struct policy_pref *out)
{
	const char *end = text + len;
	bool in_rsl = false;
	for (const char *at = find(text, end, "<"); at; at = find(at, end, "<")) {
		if ((size_t)(end - at) >= 4 && memcmp(at, "<!--", 4) == 0) {
			at = find(at + 4, end, "-->");
			if (!at)
				break;
			continue;
		}
		const char *close = find(at, end, ">");
		if (!close)
			break;
		struct policy_text name;
		bool usage;
		read_tag(at + 1, close, &name, &usage);
		in_rsl |= is(name, "rsl");
		bool permits = is(name, "permits"), prohibits = is(name, "prohibits");
		at = close + 1;
		if (!in_rsl || !usage || !(permits || prohibits) || close[-1] == '/')
			continue;
		const char *stop = find(at, end, "<");
		if (!stop)
			break;
		uint16_t uses = rsl_uses((struct policy_text){at, (size_t)(stop - at)});
		if (prohibits)
			out->deny |= uses;
		else
			out->allow |= uses;
	}
	out->parsed = in_rsl;
	out->allow &= (uint16_t)~policy_uses_expand(out->deny);
}

/* ---- Reading TDMRep -------------------------------------------------------------------------------------------- */

/* The header's value, a header or meta line, or tdmrep.json, of which any reserved location counts. */
static void read_tdmrep(const char *text, size_t len, struct policy_pref *out)
{
	const char *end = text + len, *at = text;
	bool reserved = false, open = false;
	while (at < end && strchr(" \t\r\n", *at))
		at++;
	if (at < end && (*at == '0' || *at == '1')) {
		reserved = *at == '1';
		open = !reserved;
		for (at++; at < end; at++)
			if (!strchr(" \t\r\n", *at))
				return;
	}
	for (at = find(text, end, "tdm-reservation"); at; at = find(at, end, "tdm-reservation")) {
		at += strlen("tdm-reservation");
		const char *value = at;
		while (value < end && *value && strchr("\"' \t:=", *value))
			value++;
		if (find(value, end, "content=") == value)
			value += strlen("content=") + 1;
		if (value >= end || (value + 1 < end && *(value + 1) >= '0' && *(value + 1) <= '9'))
			continue;
		reserved |= *value == '1';
		open |= *value == '0';
	}
	out->parsed = reserved || open;
	if (reserved)
		out->deny = U(MINE) | POLICY_USES_MINED;
	else if (open)
		out->allow = U(MINE);
}

void policy_pref_read(unsigned dialect, const char *text, size_t len, struct policy_pref *out)
{
	*out = (struct policy_pref){.dialect = (uint8_t)dialect, .verbatim = {text, len}};
	if (len == 0)
		text = "";
	switch (dialect) {
	case POLICY_DIALECT_RSL_10:
		read_rsl(text, len, out);
		break;
	case POLICY_DIALECT_TDMREP:
		read_tdmrep(text, len, out);
		break;
	default:
		if (dialect < sizeof vocabularies / sizeof vocabularies[0])
			read_dictionary(dialect, text, len, out);
	}
}

void policy_pref_combine(struct policy_pref *into, const struct policy_pref *other)
{
	/* What one denies outright and the other on conditions is denied outright. */
	uint16_t outright = (into->deny & (uint16_t)~into->allow_if) | (other->deny & (uint16_t)~other->allow_if);
	into->deny |= other->deny;
	into->allow = (into->allow | other->allow) & (uint16_t)~into->deny;
	into->allow_if = (into->allow_if | other->allow_if) & (uint16_t)~outright;
	into->duties = into->allow_if ? into->duties | other->duties : 0;
	into->parsed |= other->parsed;
}

bool policy_pref_statement(const struct policy_pref *pref, uint32_t subject, uint32_t item, policy_instant declared_at,
                           struct policy_statement *out)
{
	bool on_item = item != POLICY_NO_ITEM;
	if (!pref->parsed || pref->deny == 0)
		return false;
	*out = (struct policy_statement){.subject = subject, .item = item, .uses = pref->deny, .effect = POLICY_EFFECT_DENY,
	                                 .layer = on_item ? POLICY_LAYER_ITEM : POLICY_LAYER_SUBJECT,
	                                 .selector = on_item ? POLICY_SELECT_ITEM : POLICY_SELECT_ALL,
	                                 .flags = POLICY_STATEMENT_EXTERNAL, .declared_by = POLICY_NO_MEMBER,
	                                 .declared_at = declared_at, .valid_from = POLICY_EVER, .valid_to = POLICY_NEVER,
	                                 .verbatim = pref->verbatim};
	return true;
}

/* ---- Writing ------------------------------------------------------------------------------------------------------ */

/* Text into a buffer of any size, counting what it would take. */
struct out {
	char *at;    /* buffer; may be NULL if size is 0 */
	size_t size; /* its size */
	size_t len;  /* bytes wanted so far */
};

static void put(struct out *out, const char *word)
{
	for (; *word; word++, out->len++)
		if (out->len + 1 < out->size)
			out->at[out->len] = *word;
}

static bool denies(const uint8_t effect[POLICY_USE_COUNT], unsigned use)
{
	if (effect[POLICY_USE_MINE] == POLICY_EFFECT_DENY && POLICY_USES_MINED >> use & 1)
		return true;
	return effect[use] == POLICY_EFFECT_DENY;
}

/* What a label about `uses` says: no if one of them is denied or conditional, yes if all are allowed. */
static enum value summary(const uint8_t effect[POLICY_USE_COUNT], uint16_t uses, bool *conditional)
{
	bool all = true, no = false;
	*conditional = true;
	for (unsigned use = 0; use < POLICY_USE_COUNT; use++) {
		if (!(uses >> use & 1))
			continue;
		bool denied = denies(effect, use);
		no |= denied || effect[use] == POLICY_EFFECT_ALLOW_IF;
		*conditional &= !denied && effect[use] == POLICY_EFFECT_ALLOW_IF;
		all &= !denied && effect[use] == POLICY_EFFECT_ALLOW;
	}
	return no ? SAYS_NO : all ? SAYS_YES : SAYS_NOTHING;
}

/* Whether everything below a label speaks for itself. */
static bool speaks_below(const struct vocabulary *v, size_t top, const uint8_t *effect)
{
	bool below[LABELS_MAX] = {false}, ignored;
	for (size_t i = top + 1; i < v->n; i++) {
		below[i] = v->labels[i].parent == top || (v->labels[i].parent != NO_PARENT && below[v->labels[i].parent]);
		if (below[i] && summary(effect, v->labels[i].uses, &ignored) == SAYS_NOTHING)
			return false;
	}
	return true;
}

static void put_exceptions(struct out *out, uint16_t duties)
{
	const char *before = ";exceptions=";
	bool several = duties & (duties - 1);
	if (several)
		before = ";exceptions=\"";
	for (size_t i = 0; i < sizeof signals / sizeof signals[0]; i++)
		if (duties & signals[i].duty) {
			put(out, before);
			put(out, signals[i].name);
			before = " ";
		}
	if (several)
		put(out, "\"");
}

/* A label speaks for those below it that say nothing, so it is written only when all of them say something. */
static void write_dictionary(unsigned dialect, const uint8_t *effect, uint16_t duties, struct out *out)
{
	const struct vocabulary *v = &vocabularies[dialect];
	const uint16_t sayable = POLICY_BIT(POLICY_DUTY_CREDIT) | POLICY_BIT(POLICY_DUTY_CONTRIBUTE_DIRECT) |
	                         POLICY_BIT(POLICY_DUTY_CONTRIBUTE_ECOSYSTEM) | POLICY_BIT(POLICY_DUTY_OPEN);
	for (size_t i = 0; i < v->n; i++) {
		bool conditional;
		enum value says = summary(effect, v->labels[i].uses, &conditional);
		if (says == SAYS_NOTHING || !speaks_below(v, i, effect))
			continue;
		put(out, out->len ? ", " : "");
		put(out, v->labels[i].name);
		put(out, says == SAYS_YES ? "=y" : "=n");
		if (dialect == POLICY_DIALECT_CC_SIGNALS_01 && says == SAYS_NO && conditional && duties && !(duties & ~sayable))
			put_exceptions(out, duties);
	}
}

static void write_rsl(const uint8_t *effect, struct out *out)
{
	static const struct {
		const char *name; /* as written */
		uint16_t uses;    /* ours */
	} usages[] = {{"ai-train", U(TRAIN_GEN) | U(TRAIN_OTHER)}, {"ai-input", U(INFER_SYSTEM) | U(INFER_USER)}, {"search", U(SEARCH)}};
	bool any = false, conditional;
	for (int no = 0; no < 2; no++) {
		bool first = true;
		for (size_t i = 0; i < sizeof usages / sizeof usages[0]; i++) {
			if (summary(effect, usages[i].uses, &conditional) != (no ? SAYS_NO : SAYS_YES))
				continue;
			if (!any)
				put(out, "<rsl xmlns=\"https://rslstandard.org/rsl\"><content url=\"/\"><license>");
			if (first)
				put(out, no ? "<prohibits type=\"usage\">" : "<permits type=\"usage\">");
			put(out, first ? "" : " ");
			put(out, usages[i].name);
			any = true;
			first = false;
		}
		if (!first)
			put(out, no ? "</prohibits>" : "</permits>");
	}
	if (any)
		put(out, "</license></content></rsl>");
}

size_t policy_pref_write(unsigned dialect, const uint8_t effect[POLICY_USE_COUNT], uint16_t duties, char *at, size_t size)
{
	struct out out = {at, size, 0};
	bool conditional;
	if (dialect == POLICY_DIALECT_RSL_10) {
		write_rsl(effect, &out);
	} else if (dialect == POLICY_DIALECT_TDMREP) {
		enum value says = summary(effect, U(MINE) | POLICY_USES_MINED, &conditional);
		if (says != SAYS_NOTHING)
			put(&out, says == SAYS_NO ? "tdm-reservation: 1" : "tdm-reservation: 0");
	} else if (dialect < sizeof vocabularies / sizeof vocabularies[0]) {
		write_dictionary(dialect, effect, duties, &out);
	}
	if (size)
		at[out.len < size ? out.len : size - 1] = '\0';
	return out.len;
}
