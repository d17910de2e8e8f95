#include "terms_internal.h"

#include "commonhold/policy_analysis.h"

/* Two charters side by side: field by field, what each says, what an agreement would take at the widest, and what of it leaves nothing to agree on. */

static const char *const verdicts[TERMS_VERDICT_COUNT] = { "same", "stricter", "blocks", "own" };

const char *terms_verdict_word(enum terms_verdict v)
{
	return (unsigned)v < TERMS_VERDICT_COUNT ? verdicts[v] : "unknown";
}

const char *licence_word(unsigned licence)
{
	return policy_licence_get(licence)->spdx;
}

/* Of durations as the engine counts them. */
int64_t span_of(struct duration d)
{
	return duration_add(0, d, 1);
}

static uint32_t rank_of(struct str word, const char *const *words, size_t n, uint32_t or_else)
{
	int no = str_which(word, words, n);
	return no < 0 ? or_else : (uint32_t)no;
}

int attribution_rank(struct str word)
{
	static const char *const words[] = { "anonymous", "pseudonym", "public" };
	return (int)rank_of(word, words, CH_LEN(words), 0);
}

const char *attribution_word(int attribution)
{
	return attribution == 2 ? "public" : attribution == 1 ? "pseudonym" : "anonymous";
}

int access_rank(struct str word)
{
	int no = word.p ? policy_audience_find(word.p, word.n) : -1;
	return no >= POLICY_AUDIENCE_GATED_MANUAL ? no : POLICY_AUDIENCE_GATED_MANUAL;
}

/* How closely contributions are looked at before they may be released: larger is closer. */
static uint32_t care_rank(struct str word)
{
	static const char *const words[] = { "approve", "hold", "reject" };
	return rank_of(word, words, CH_LEN(words), 2);
}

/* Whether what `home` lets pass could be something that `other` would look at first. */
static bool looks_less(const struct charter *home, const struct charter *other)
{
	uint32_t pii = care_rank(home->pii_action), wanted = care_rank(other->pii_action);
	return care_rank(home->moderation_mode) < care_rank(other->moderation_mode) || pii < wanted || (wanted > 0 && pii == wanted && home->pii_threshold > other->pii_threshold);
}

bool terms_one_looks_closer(const struct charter *a, const struct charter *b)
{
	return looks_less(a, b) || looks_less(b, a);
}

/* ---- What both allow ---- */

static uint32_t covered_by(uint32_t purposes, uint32_t wider)
{
	uint32_t bits = 0;
	for (unsigned no = 0; no < POLICY_PURPOSE_COUNT; no++)
		if ((purposes & POLICY_BIT(no)) && (policy_purpose_above(no) & wider))
			bits |= POLICY_BIT(no);
	return bits;
}

uint32_t terms_purposes_outside(uint32_t purposes, uint32_t wider)
{
	return purposes & ~covered_by(purposes, wider);
}

uint64_t terms_licences_of(const struct charter *c)
{
	uint64_t bits = 0;
	for (unsigned no = 1; no < POLICY_LICENCE_COUNT; no++) {
		if (!(c->licences_allowed & (UINT64_C(1) << no)))
			continue;
		bool goes = c->licence_mode == POLICY_COLLECTION ? c->outputs == 0 || (c->outputs & (1u << no)) : (policy_licence_outputs(no, POLICY_CELLS_PASS) & c->outputs) != 0;
		if (goes)
			bits |= UINT64_C(1) << no;
	}
	return bits;
}

static int64_t shorter_limit(int64_t a, int64_t b)
{
	if (a == 0 || b == 0)
		return a ? a : b;
	return a < b ? a : b;
}

/* What a joint release would be for, by the engine's own rules. */
static void joint_spec(const struct charter *c, struct policy_spec *out)
{
	policy_spec_init(out);
	out->uses = c->release_uses;
	out->purposes = c->release_purposes;
	out->kinds = c->kinds;
	out->audience = c->release_audience;
	out->audience_duties = policy_audience_duties(c->release_audience);
	out->licence_mode = (uint8_t)c->licence_mode;
	out->outputs = c->outputs;
	out->delegation_depth = (uint8_t)c->delegation_depth;
	out->volume_cap = POLICY_NO_CAP;
	memset(out->regions, 0xff, sizeof(out->regions));
}

static void *take_memory(void *arena, size_t size)
{
	return arena_take(arena, size);
}

static bool joint_possible(struct arena *a, const struct charter *ours, const struct charter *theirs, uint32_t *outputs)
{
	struct policy_spec one, other, both;
	struct policy_mem mem = { take_memory, a };
	const struct policy_program *program;
	joint_spec(ours, &one);
	joint_spec(theirs, &other);
	if (policy_spec_merge(&one, &other, &mem, &both) != POLICY_OK)
		return false;
	*outputs = both.outputs;
	return policy_compile(&both, &mem, &program, NULL) == POLICY_OK;
}

static void common_of(const struct charter *ours, const struct charter *theirs, struct terms_common *out)
{
	*out = (struct terms_common){
		.uses = (uint16_t)(policy_uses_expand(ours->release_uses) & policy_uses_expand(theirs->release_uses)),
		.purposes = covered_by(ours->release_purposes, theirs->release_purposes) | covered_by(theirs->release_purposes, ours->release_purposes),
		.kinds = ours->kinds & theirs->kinds,
		.licences = terms_licences_of(ours) & terms_licences_of(theirs),
		.audience = ours->release_audience < theirs->release_audience ? ours->release_audience : theirs->release_audience,
		.licence_mode = ours->licence_mode > theirs->licence_mode ? ours->licence_mode : theirs->licence_mode,
		.k = ours->k_contributors > theirs->k_contributors ? ours->k_contributors : theirs->k_contributors,
		.retention = shorter_limit(span_of(ours->retention_raw), span_of(theirs->retention_raw)),
		.moderation_both = terms_one_looks_closer(ours, theirs),
	};
	int64_t wait = span_of(ours->embargo), their_wait = span_of(theirs->embargo);
	int access = access_rank(ours->access), their_access = access_rank(theirs->access);
	int named = attribution_rank(ours->attribution), their_named = attribution_rank(theirs->attribution);
	out->embargo = wait > their_wait ? wait : their_wait;
	out->access = access < their_access ? access : their_access;
	out->attribution = named < their_named ? named : their_named;
	out->floor = (uint16_t)((policy_uses_expand(ours->ai_deny) | policy_uses_expand(theirs->ai_deny)) & ~out->uses);
}

/* ---- Field by field ---- */

/* What goes into judging one field that the two say differently. */
struct side { const struct charter *ours, *theirs; const struct terms_common *common; struct arena *a; };

/* Sets verdict, taken and why. */
typedef void (*judge_fn)(const struct side *s, struct terms_line *line);

static void narrower_list(struct terms_line *line, struct str taken, bool empty, const char *blocked)
{
	line->verdict = empty ? TERMS_BLOCKS : TERMS_STRICTER;
	line->taken = empty ? STR_NONE : taken;
	line->why = empty ? str_of(blocked) : STR("Only what both allow.");
}

static void judge_kinds(const struct side *s, struct terms_line *line)
{
	narrower_list(line, words_list(s->a, s->common->kinds, POLICY_KIND_COUNT, words_kind), s->common->kinds == 0, "There is no kind of contribution that both take.");
}

static void judge_licences(const struct side *s, struct terms_line *line)
{
	narrower_list(line, words_list(s->a, s->common->licences, POLICY_LICENCE_COUNT, licence_word), s->common->licences == 0,
		"There is no licence under which contributions could be in the releases of both.");
}

static void judge_uses(const struct side *s, struct terms_line *line)
{
	narrower_list(line, words_list(s->a, s->common->uses, POLICY_USE_COUNT, words_use), s->common->uses == 0, "There is no use that the releases of both are for.");
}

static void judge_purposes(const struct side *s, struct terms_line *line)
{
	narrower_list(line, words_list(s->a, s->common->purposes, POLICY_PURPOSE_COUNT, words_purpose), s->common->purposes == 0, "There is no purpose that the releases of both serve.");
}

static void judge_outputs(const struct side *s, struct terms_line *line)
{
	uint32_t outputs = s->common->outputs;
	if (outputs == 0 || outputs == 1u << POLICY_LICENCE_UNKNOWN)
		*line = (struct terms_line){ line->pointer, line->group, line->label, line->ours, line->theirs, STR_NONE, outputs ? TERMS_BLOCKS : TERMS_STRICTER,
			outputs ? STR("There is no licence under which a joint release could be published.") : STR("Only what both allow.") };
	else
		narrower_list(line, words_list(s->a, outputs, POLICY_LICENCE_COUNT, licence_word), false, NULL);
}

static void judge_conditional(const struct side *s, struct terms_line *line)
{
	uint16_t uses = s->ours->release_uses_conditional & s->theirs->release_uses_conditional;
	line->verdict = TERMS_STRICTER;
	line->taken = words_list(s->a, uses, POLICY_USE_COUNT, words_use);
	line->why = STR("A yes on conditions is enough only where both say so.");
}

/* Of two that are ordered: the words of the stricter one. */
static void stricter(struct terms_line *line, bool ours_is, const char *why)
{
	line->verdict = TERMS_STRICTER;
	line->taken = ours_is ? line->ours : line->theirs;
	line->why = str_of(why);
}

static void judge_audience(const struct side *s, struct terms_line *line)
{
	stricter(line, s->ours->release_audience < s->theirs->release_audience, "The narrower audience.");
}

static void judge_access(const struct side *s, struct terms_line *line)
{
	stricter(line, access_rank(s->ours->access) < access_rank(s->theirs->access), "The narrower way in.");
}

static void judge_mode(const struct side *s, struct terms_line *line)
{
	stricter(line, s->ours->licence_mode > s->theirs->licence_mode, "One licence for the whole, where either wants that.");
}

static void judge_k(const struct side *s, struct terms_line *line)
{
	stricter(line, s->ours->k_contributors > s->theirs->k_contributors, "The larger number.");
}

static void judge_retention(const struct side *s, struct terms_line *line)
{
	stricter(line, s->common->retention == span_of(s->ours->retention_raw), "The shorter time.");
}

static void judge_embargo(const struct side *s, struct terms_line *line)
{
	stricter(line, s->common->embargo == span_of(s->ours->embargo), "The longer wait.");
}

static void judge_attribution(const struct side *s, struct terms_line *line)
{
	stricter(line, attribution_rank(s->ours->attribution) < attribution_rank(s->theirs->attribution), "People are named no further than both name them.");
}

static void judge_care(const struct side *s, struct terms_line *line)
{
	(void)s;
	line->verdict = TERMS_STRICTER;
	line->taken = STR("each looks at what it takes from the other, too");
	line->why = STR("One looks closer at contributions than the other.");
}

static void judge_default(const struct side *s, struct terms_line *line)
{
	int use = policy_use_find(line->pointer + strlen("/ai_preferences/"), strlen(line->pointer) - strlen("/ai_preferences/"));
	bool denied = use >= 0 && ((policy_uses_expand(s->ours->ai_deny) | policy_uses_expand(s->theirs->ai_deny)) & POLICY_BIT(use));
	line->verdict = denied ? TERMS_STRICTER : TERMS_OWN;
	line->taken = denied ? STR("no") : STR_NONE;
	line->why = denied ? STR("A no of either co-op stands for those who are silent in both.") : STR("What a co-op says for the silent binds its own members alone.");
}

static void judge_rules(const struct side *s, struct terms_line *line)
{
	(void)s;
	line->verdict = TERMS_STRICTER;
	line->taken = STR("the rules of both");
	line->why = STR("Whatever either keeps out stays out of joint releases; in its own releases each applies its own.");
}

static void judge_records(const struct side *s, struct terms_line *line)
{
	(void)s;
	line->verdict = TERMS_OWN;
	line->why = STR("An agreement can say how records of one read at the other; what it does not say is kept as it came.");
}

static const struct { const char *pointer; judge_fn judge; } judges[] = {
	{ "/kinds", judge_kinds }, { "/licence/allowed", judge_licences }, { "/release/uses", judge_uses }, { "/release/purposes", judge_purposes },
	{ "/release/output_licences", judge_outputs }, { "/release/uses_conditional", judge_conditional }, { "/release/audience", judge_audience }, { "/access/mode", judge_access },
	{ "/release/mode", judge_mode }, { "/release/k_contributors", judge_k }, { "/retention/raw", judge_retention }, { "/embargo", judge_embargo },
	{ "/attribution", judge_attribution }, { "/moderation/mode", judge_care }, { "/moderation/pii/action", judge_care }, { "/moderation/pii/threshold", judge_care },
	{ "/rules", judge_rules }, { "/records", judge_records },
};

static judge_fn judge_of(const char *pointer)
{
	if (strncmp(pointer, "/ai_preferences/", 16) == 0 && strcmp(pointer, "/ai_preferences/member_may_change") != 0)
		return judge_default;
	for (size_t i = 0; i < CH_LEN(judges); i++)
		if (strcmp(pointer, judges[i].pointer) == 0)
			return judges[i].judge;
	return NULL;
}

/* Licences can leave nothing although both charters say the same, where their releases cannot take what they allow. */
static void judge_same(const struct side *s, struct terms_line *line)
{
	line->verdict = TERMS_SAME;
	line->taken = line->ours;
	line->why = STR("Both say the same.");
	if (strcmp(line->pointer, "/licence/allowed") == 0 && s->common->licences == 0)
		judge_licences(s, line);
}

static void judge(const struct side *s, struct terms_line *line, bool same)
{
	judge_fn fn = judge_of(line->pointer);
	if (same)
		judge_same(s, line);
	else if (fn)
		fn(s, line);
	else {
		line->verdict = TERMS_OWN;
		line->why = STR("Each co-op keeps its own.");
	}
}

static void count(struct terms_diff *d)
{
	for (size_t i = 0; i < d->n; i++) {
		d->stricter += d->lines[i].verdict == TERMS_STRICTER;
		d->blocks += d->lines[i].verdict == TERMS_BLOCKS;
		d->differ += d->lines[i].verdict != TERMS_SAME;
	}
}

static struct str summary(struct arena *a, const struct terms_diff *d)
{
	const struct terms_common *k = &d->common;
	struct str counts = str_fmt(a, "The charters say the same in %zu of %zu points.", d->n - d->differ, d->n);
	if (!d->possible)
		return str_fmt(a, "%.*s No agreement is possible until one of them changes: there is nothing left that both allow in %zu point%s.", STR_ARG(counts), d->blocks, d->blocks == 1 ? "" : "s");
	struct str uses = words_list(a, k->uses, POLICY_USE_COUNT, words_use), purposes = words_list(a, k->purposes, POLICY_PURPOSE_COUNT, words_purpose);
	return str_fmt(a, "%.*s An agreement is possible: at the widest for %.*s, and for %.*s. In %zu point%s the stricter of both would be taken.%s", STR_ARG(counts), STR_ARG(uses), STR_ARG(purposes),
		d->stricter, d->stricter == 1 ? "" : "s", d->joint ? "" : " A joint release is not possible: its purposes or licences have nothing in common.");
}

enum err terms_diff(struct arena *a, const struct charter *ours, const struct charter *theirs, struct terms_diff *out, struct error *e)
{
	struct charter_term *terms;
	struct charter_field field;
	struct str *here, *there;
	size_t n, n_here, n_there;
	*out = (struct terms_diff){ .possible = false };
	TRY(charter_compare(a, ours, theirs, &terms, &n, e));
	TRY(charter_values(a, ours, &here, &n_here, e));
	TRY(charter_values(a, theirs, &there, &n_there, e));
	common_of(ours, theirs, &out->common);
	out->joint = joint_possible(a, ours, theirs, &out->common.outputs);
	out->lines = ARENA_ARRAY(a, n_here, struct terms_line);
	struct side side = { ours, theirs, &out->common, a };
	for (size_t i = 0, next = 0; i < n_here && charter_field(i, &field); i++) {
		bool differs = next < n && strcmp(terms[next].pointer, field.pointer) == 0;
		struct terms_line *line = &out->lines[out->n++];
		*line = (struct terms_line){ .pointer = field.pointer, .group = field.group, .label = field.label, .ours = differs ? terms[next].before : here[i],
			.theirs = differs ? terms[next].after : there[i] };
		if (!line->ours.p)
			line->ours = line->theirs = STR("the same text");
		judge(&side, line, !differs);
		next += differs;
	}
	count(out);
	const struct terms_common *k = &out->common;
	out->possible = k->uses && k->purposes && k->kinds && k->licences;
	out->words = summary(a, out);
	return ERR_OK;
}
