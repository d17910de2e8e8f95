#include "server/coop/charter.h"

static struct str member(const struct json *object, const char *key)
{
	struct str s = json_member_text(object, key);
	return s.p ? s : STR("");
}

static void fault(struct arena *a, struct error *e, const struct json *at, const char *text)
{
	error_fault(e, a, at ? json_pointer(a, at) : STR(""), "%s", text);
}

/* Longest duration that a charter may name: nobody plans further, and adding it stays within the clock's years. */
#define DURATION_YEARS 100

static struct duration read_duration(struct arena *a, const struct json *object, const char *key, struct error *e)
{
	struct duration d = { 0 };
	const struct json *v = json_get(object, key);
	if (!duration_parse(json_text(v), &d))
		fault(a, e, v ? v : object, "This must be an ISO 8601 duration such as P30D or PT1H.");
	else if (d.years > DURATION_YEARS || d.months > DURATION_YEARS * 12 || d.days > DURATION_YEARS * 366 || d.seconds > (int64_t)DURATION_YEARS * 366 * 86400)
		fault(a, e, v, "This is longer than a hundred years.");
	else
		return d;
	return (struct duration){ 0 };
}

int64_t duration_length(struct duration d)
{
	instant start = clock_of_civil((struct civil){ .year = 2026, .month = 1, .day = 1 });
	return duration_add(start, d, 1) - start;
}

/* Names as bits of a vocabulary. A name that is not in it cannot pass the schema; if one does, it is a fault here. */
static uint32_t read_bits(struct arena *a, const struct json *names, int (*find)(const char *name, size_t len), struct error *e)
{
	uint32_t bits = 0;
	json_each(name, names) {
		int no = name->type == JSON_STRING ? find(name->text.p, name->text.n) : -1;
		if (no < 0)
			fault(a, e, name, "This is not a known word.");
		else
			bits |= POLICY_BIT(no);
	}
	return bits;
}

static unsigned read_licence(struct arena *a, const struct json *v, struct error *e)
{
	unsigned no = json_is(v, JSON_STRING) ? policy_licence_find(v->text.p, v->text.n) : 0;
	if (no == POLICY_LICENCE_UNKNOWN)
		fault(a, e, v, "This server knows no licence of this name. Use an SPDX identifier such as CC-BY-4.0.");
	return no;
}

static uint64_t read_licences(struct arena *a, const struct json *names, struct error *e)
{
	uint64_t bits = 0;
	json_each(name, names) {
		unsigned no = read_licence(a, name, e);
		if (no)
			bits |= UINT64_C(1) << no;
	}
	return bits;
}

static void read_scope(struct arena *a, const struct json *root, struct charter *out, struct error *e)
{
	const struct json *scope = json_get(root, "scope"), *languages = json_get(scope, "language");
	out->name = member(root, "name");
	out->domain = member(scope, "domain");
	out->region = member(scope, "region");
	out->bylaws = member(root, "bylaws");
	out->languages = ARENA_ARRAY(a, languages ? languages->count + 1 : 1, struct str);
	json_each(language, languages)
		out->languages[out->n_languages++] = json_text(language);
	if (str_trim(out->name).n == 0)
		fault(a, e, json_get(root, "name"), "Give the co-op a name.");
	if (str_trim(out->domain).n == 0)
		fault(a, e, json_get(scope, "domain"), "Say what the co-op's data is about.");
}

/* Layer 5 speaks for members who accepted the co-op's defaults and said nothing. */
static struct policy_statement co_op_says(uint16_t uses, uint8_t effect, uint16_t duties)
{
	return (struct policy_statement){
		.uses = uses, .effect = effect, .duties = duties, .layer = POLICY_LAYER_COOP, .selector = POLICY_SELECT_ALL, .item = POLICY_NO_ITEM,
		.purpose = POLICY_PURPOSE_ANY, .audience = POLICY_AUDIENCE_ANY, .declared_by = POLICY_NO_MEMBER,
		.declared_at = POLICY_EVER, .valid_from = POLICY_EVER, .valid_to = POLICY_NEVER,
	};
}

static void read_preferences(struct arena *a, const struct json *preferences, struct charter *out, struct error *e)
{
	out->defaults = ARENA_ARRAY(a, POLICY_USE_COUNT + 1, struct policy_statement);
	json_each(preference, preferences) {
		int use = policy_use_find(preference->key.p, preference->key.n);
		if (use < 0)
			continue;
		struct str word = json_member_text(preference, "effect");
		int effect = policy_effect_find(word.p ? word.p : "", word.n);
		uint16_t bit = (uint16_t)POLICY_BIT(use), duties = (uint16_t)read_bits(a, json_get(preference, "duties"), policy_duty_find, e);
		if (effect <= POLICY_EFFECT_NONE)
			fault(a, e, preference, "This must be allow, allow_if or deny.");
		else if ((effect == POLICY_EFFECT_ALLOW_IF) != (duties != 0))
			error_fault(e, a, str_fmt(a, "%.*s/duties", STR_ARG(json_pointer(a, preference))), "%s",
				duties ? "Duties go with allow_if only." : "Say on which conditions: allow_if needs duties.");
		else {
			*(effect == POLICY_EFFECT_ALLOW ? &out->ai_allow : effect == POLICY_EFFECT_DENY ? &out->ai_deny : &out->ai_allow_if) |= bit;
			out->defaults[out->n_defaults++] = co_op_says(bit, (uint8_t)effect, duties);
		}
	}
	out->member_may_change = (uint16_t)read_bits(a, json_get(preferences, "member_may_change"), policy_use_find, e);
}

/* Sharing by default answers yes for every use of the releases that ai_preferences leave open. */
static void add_sharing(struct charter *out)
{
	uint16_t open = (uint16_t)(policy_uses_expand(out->release_uses) & ~(out->ai_allow | out->ai_allow_if | policy_uses_expand(out->ai_deny)));
	if (out->share_by_default && open)
		out->defaults[out->n_defaults++] = co_op_says(open, POLICY_EFFECT_ALLOW, 0);
	for (size_t i = 0; i < out->n_defaults; i++)
		out->defaults[i].id = i + 1;
}

static void read_release(struct arena *a, const struct json *release, struct charter *out, struct error *e)
{
	struct str audience = member(release, "audience");
	int audience_no = policy_audience_find(audience.p, audience.n);
	out->release_uses = (uint16_t)read_bits(a, json_get(release, "uses"), policy_use_find, e);
	out->release_uses_conditional = (uint16_t)read_bits(a, json_get(release, "uses_conditional"), policy_use_find, e);
	out->release_purposes = read_bits(a, json_get(release, "purposes"), policy_purpose_find, e);
	out->release_audience = audience_no > 0 ? (uint8_t)audience_no : POLICY_AUDIENCE_MEMBERS;
	out->licence_mode = str_is(member(release, "mode"), "adaptation") ? POLICY_ADAPTATION : POLICY_COLLECTION;
	out->outputs = (uint32_t)read_licences(a, json_get(release, "output_licences"), e);
	out->k_contributors = (uint32_t)json_int(json_get(release, "k_contributors"), 1);
}

static void read_cadence(struct arena *a, const struct json *cadence, struct charter *out, struct error *e)
{
	out->rrule = member(cadence, "rrule");
	if (!clock_parse(member(cadence, "start"), &out->cadence_start))
		fault(a, e, json_get(cadence, "start"), "This must be an instant such as 2026-01-01T00:00:00Z.");
	out->lead = read_duration(a, cadence, "lead", e);
	out->notice = read_duration(a, cadence, "notice", e);
	out->voting = read_duration(a, cadence, "voting", e);
	out->cooling_off = read_duration(a, cadence, "cooling_off", e);
}

static void read_access(struct arena *a, const struct json *access, struct charter *out, struct error *e)
{
	out->access = member(access, "mode");
	out->terms = member(access, "terms");
	out->token_life = read_duration(a, access, "token_life", e);
	out->grant_life = read_duration(a, access, "grant_life", e);
	out->purge_days = (int)json_int(json_get(access, "purge_days"), 30);
}

/* Documents from before there were these fields mean their defaults. */
static void read_deletion(struct arena *a, const struct json *deletion, struct charter *out, struct error *e)
{
	out->redact_within = (struct duration){ .days = 7 };
	if (json_get(deletion, "gather"))
		out->gather = read_duration(a, deletion, "gather", e);
	if (json_get(deletion, "redact_within"))
		out->redact_within = read_duration(a, deletion, "redact_within", e);
}

static void read_keeping(struct arena *a, const struct json *root, struct charter *out, struct error *e)
{
	const struct json *moderation = json_get(root, "moderation"), *retention = json_get(root, "retention");
	out->moderation_mode = member(moderation, "mode");
	out->pii_action = member(json_get(moderation, "pii"), "action");
	out->pii_threshold = (int)json_int(json_at(moderation, "/pii/threshold"), 1);
	out->retention_raw = read_duration(a, retention, "raw", e);
	out->retention_access_log = read_duration(a, retention, "access_log", e);
	out->retention_backups = read_duration(a, retention, "backups", e);
	out->retention_quarantine = read_duration(a, retention, "quarantine", e);
	out->embargo = read_duration(a, root, "embargo", e);
	read_deletion(a, json_get(root, "deletion"), out, e);
}

/* Two halves that disagree must not both be the board; a document from before there was this field means a majority of all admins. */
static void read_board(struct arena *a, const struct json *board, struct charter *out, struct error *e)
{
	out->board_n = (uint32_t)json_int(json_get(board, "n"), 1);
	out->board_d = (uint32_t)json_int(json_get(board, "d"), 2);
	out->board_strict = json_bool(json_get(board, "strict"), true);
	if (out->board_d == 0 || out->board_n > out->board_d)
		fault(a, e, json_get(board, "n"), "A part cannot be more than the whole: n must be at most d.");
	else if (2 * (uint64_t)out->board_n < out->board_d)
		fault(a, e, json_get(board, "n"), "A board that less than half of the admins can speak for could say two things at once.");
	else if (out->board_strict && out->board_n == out->board_d)
		fault(a, e, json_get(board, "strict"), "More than all of the admins are never found.");
}

static void read_people(struct arena *a, const struct json *root, struct charter *out, struct error *e)
{
	const struct json *membership = json_get(root, "membership"), *delegation = json_get(root, "delegation"), *benefit = json_get(root, "benefit");
	out->admission = member(membership, "admission");
	out->checkup_every = read_duration(a, membership, "checkup_every", e);
	out->window = read_duration(a, membership, "window", e);
	out->grace = read_duration(a, membership, "grace", e);
	out->attribution = member(root, "attribution");
	json_each(scope, json_get(delegation, "scopes")) {
		out->delegate_coop |= str_is(json_text(scope), "coop");
		out->delegate_topic |= str_is(json_text(scope), "topic");
		out->delegate_target |= str_is(json_text(scope), "target");
	}
	out->delegation_depth = (int)json_int(json_get(delegation, "depth"), 1);
	out->delegation_cap = (unsigned)json_int(json_get(delegation, "cap"), 9);
	out->delegation_profile = member(delegation, "profile");
	read_board(a, json_get(root, "board"), out, e);
	out->benefit_contributors = (int)json_int(json_get(benefit, "contributors"), 70);
	out->benefit_commons = (int)json_int(json_get(benefit, "commons"), 30);
	out->benefit_weight = json_member_text(benefit, "weight");
	const struct json *proposals = json_get(root, "proposals");
	out->admins_propose = str_is(member(proposals, "who"), "admins");
	out->seconders = (int)json_int(json_get(proposals, "seconders"), 0);
	out->motions_open = (int)json_int(json_get(proposals, "per_member_open"), 3);
	out->admins_by_ballot = str_is(member(root, "admins"), "ballot");
}

/* Reads a filled document into the typed form; a fault for everything that is no known word, licence, duration or predicate. */
static enum err charter_read(struct arena *a, const struct json *root, struct charter *out, struct error *e)
{
	static const char *const rules[] = { "gate", "amendment", "merge", "toggle", "appeal" };
	const struct json *licence = json_get(root, "licence");
	struct error found = { .code = ERR_OK };
	*out = (struct charter){ .json = root };
	read_scope(a, root, out, &found);
	out->share_by_default = str_is(member(root, "sharing"), "share_by_default");
	out->kinds = (uint8_t)read_bits(a, json_get(root, "kinds"), policy_kind_find, &found);
	out->licence_default = read_licence(a, json_get(licence, "default"), &found);
	out->licences_allowed = read_licences(a, json_get(licence, "allowed"), &found);
	read_release(a, json_get(root, "release"), out, &found);
	read_preferences(a, json_get(root, "ai_preferences"), out, &found);
	add_sharing(out);
	read_cadence(a, json_get(root, "cadence"), out, &found);
	read_access(a, json_get(root, "access"), out, &found);
	read_keeping(a, root, out, &found);
	read_people(a, root, out, &found);
	charter_compile_rules(a, json_get(root, "rules"), out, &found);
	for (size_t i = 0; i < CH_LEN(rules); i++) {
		struct ballot_rule rule;
		if (ballot_rule_parse(a, charter_rule_json(a, out, rules[i]), &rule, &found) != ERR_OK)
			continue; /* the fault is told; the others are looked at too */
	}
	for (const struct fault *f = found.faults; f; f = f->next)
		error_fault(e, a, f->pointer, "%.*s", STR_ARG(f->message));
	return found.code == ERR_OK ? ERR_OK : ERR_INVALID;
}

static struct str canonical(struct arena *a, const struct json *v)
{
	struct buf b;
	buf_init(&b, LIMIT_CHARTER_FILLED);
	json_canonical(&b, v, false);
	return buf_take(a, &b);
}

/* What the schema says in numbers, said so that one sees what is wrong with it. */
static void explain_ratios(struct arena *a, struct error *e)
{
	for (struct fault *f = e->faults; f; f = f->next)
		if (str_ends(f->pointer, "/d") && str_is(f->message, "must be at least 1"))
			f->message = str_copy(a, STR("A part of nothing is no part: the lower number of a ratio must be at least 1."));
}

enum err charter_check(struct arena *a, const struct json *draft, struct str *document, struct error *e)
{
	const struct charter_schema *schema = charter_schema(e);
	if (!schema)
		return e->code;
	error_clear(e);
	enum err shape = json_schema_check(a, schema->compiled, draft, e);
	explain_ratios(a, e);
	TRY(shape);
	const struct json *filled;
	TRY(charter_fill(a, schema->document, draft, &filled, e));

	struct charter charter;
	enum err read = charter_read(a, filled, &charter, e);
	charter_contradictions(a, &charter, e);
	if (read != ERR_OK || e->code != ERR_OK)
		return error_set(e, ERR_INVALID, "The charter cannot be adopted as it stands.");
	*document = canonical(a, filled);
	return document->p ? ERR_OK : error_set(e, ERR_TOO_LARGE, "The charter is too large.");
}

enum err charter_parse(struct arena *a, struct str document, struct charter *out, struct error *e)
{
	const struct json *root;
	TRY(json_parse(a, document, &root, e));
	TRY(charter_read(a, root, out, e));
	out->document = document;
	out->digest = sha256(document);
	return ERR_OK;
}
