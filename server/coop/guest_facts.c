#include "server/coop/guest_internal.h"

#include <stdlib.h>

/* Guests as the policy engine is told of them: members with a standing, a consent and words like others, whose words reach as far as the agreement does. Nothing of the co-op's own speaks
 * for them, and nothing that is not in their home's latest line. */

SQL(guests_changed, "SELECT h.changes, (SELECT count(*) FROM guest WHERE coop_id = $1), (SELECT count(*) FROM guest_statement WHERE coop_id = $1) FROM guest_head h WHERE h.coop_id = $1");
SQL(spoken_of, "SELECT no, words FROM guest_spoken WHERE coop_id = $1 AND no = ANY ($2::bigint[]) ORDER BY no");

static const char guests_sql[] =
	"COPY (SELECT number, agreement_id, standing, consent, array_to_string(purposes, ','), consent_given, consent_expires, spoken FROM guest WHERE coop_id = $1) TO STDOUT (FORMAT binary)";
/* A word on an item counts where the item is here and theirs, as a row or as an origin of one. */
static const char words_sql[] =
	"COPY (SELECT s.seq, g.number, s.layer, s.kind, s.item_id, array_to_string(s.uses, ','), s.purpose, s.audience, s.effect, array_to_string(s.duties, ','), "
	"s.declared_at, s.valid_from, s.valid_to, s.external::int "
	"FROM guest_statement s JOIN guest g ON g.coop_id = s.coop_id AND g.id = s.guest_id WHERE s.coop_id = $1 AND (s.item_id IS NULL "
	"OR EXISTS (SELECT FROM contribution c WHERE c.coop_id = s.coop_id AND c.id = s.item_id AND c.member_id = s.guest_id) "
	"OR EXISTS (SELECT FROM item_origin o WHERE o.coop_id = s.coop_id AND o.id = s.item_id AND o.member_id = s.guest_id)) ORDER BY s.seq) TO STDOUT (FORMAT binary)";

/* Numbers of statements that are no row of `statement`, for explanations. */
#define ID_OF_GUEST (UINT64_C(1) << 62)
#define ID_OF_AGREEMENT (UINT64_C(1) << 63)
#define ID_SPOKEN (ID_OF_GUEST | ID_OF_AGREEMENT)

#define DENIALS_EACH 2 /* statements that an agreement adds for each guest, at most */

/* What is said for some guests of one source. */
struct guest_group {
	uint16_t source;          /* whose limits it is read under */
	uint32_t no;              /* guest_spoken.no */
	struct guest_word *words; /* of that */
	size_t n;                 /* how many */
};

/* ---- What an agreement leaves of words ---- */

bool guest_source_counts(const struct guest_source *source, instant now)
{
	return source->state == GUEST_SOURCE_IN_EFFECT && now < source->fresh_until;
}

uint16_t guest_source_allowed(const struct guest_source *source)
{
	return (uint16_t)(policy_uses_expand(source->uses) & ~policy_uses_expand(source->floor));
}

uint16_t guest_source_denied(const struct guest_source *source)
{
	uint16_t allowed = guest_source_allowed(source), denied = 0;
	for (unsigned use = 0; use < POLICY_USE_COUNT; use++)
		if (!(policy_uses_expand((uint16_t)POLICY_BIT(use)) & allowed))
			denied |= (uint16_t)POLICY_BIT(use);
	return denied;
}

uint32_t purposes_both(uint32_t a, uint32_t b)
{
	uint32_t both = 0;
	for (unsigned p = 0; p < POLICY_PURPOSE_COUNT; p++)
		if (a & policy_purpose_above(p) && b & policy_purpose_above(p))
			both |= POLICY_BIT(p);
	return both;
}

/* A permission as far as the agreement reaches; a denial as it is. False where nothing is left. Nothing else of a word is touched: what it is limited to says which other word it replaces. */
static bool within(const struct guest_source *source, struct policy_statement *s)
{
	if (s->effect != POLICY_EFFECT_DENY)
		s->uses &= guest_source_allowed(source);
	return s->uses != 0;
}

/* ---- Members ---- */

struct members {
	struct call *call;
	struct policy_member *members;
	size_t n_members, cap;
	struct guest_facts *out;
	uint32_t *spoken;      /* by guest, in the order in which they came */
	instant now;
};

static int source_find(const struct guest_facts *f, struct uuid agreement)
{
	size_t low = 0, high = f->n_sources;
	while (low < high) {
		size_t middle = low + (high - low) / 2;
		int order = uuid_cmp(f->sources[middle].agreement, agreement);
		if (order == 0)
			return (int)middle;
		if (order < 0)
			low = middle + 1;
		else
			high = middle;
	}
	return -1;
}

static enum err take_guest(void *arg, const struct copy_field *f, int n)
{
	struct members *k = arg;
	int64_t number = n == 8 ? copy_int(f[0]) : -1;
	int source = n == 8 ? source_find(k->out, copy_uuid(f[1])) : -1;
	if (number < 0 || (size_t)number >= k->n_members || source < 0 || k->out->n_guests == k->cap)
		return fail(k->call, ERR_CORRUPT, "The guests of a co-op changed while they were read.");
	const struct guest_source *s = &k->out->sources[source];
	int standing = facts_word(f[2], policy_standing_find), consent = facts_word(f[3], policy_consent_find);
	bool given = consent == POLICY_CONSENT_GIVEN || consent == POLICY_CONSENT_RENEWED;
	k->members[number] = (struct policy_member){
		.standing = standing < 0 ? UINT8_MAX : !guest_source_counts(s, k->now) ? POLICY_STANDING_LAPSED : (uint8_t)standing,
		.consent = consent < 0 ? UINT8_MAX : (uint8_t)consent, .notice = UINT32_MAX, .purposes = purposes_both(facts_bits(f[4], policy_purpose_find, 0), s->purposes),
		.consent_given = given && f[5].n >= 0 ? copy_time(f[5]) : POLICY_NEVER, .consent_expires = copy_time(f[6]), .defaults_accepted = POLICY_NEVER,
	};
	k->out->numbers[k->out->n_guests] = (uint32_t)number;
	k->out->source_of[k->out->n_guests] = (uint16_t)source;
	k->spoken[k->out->n_guests++] = (uint32_t)copy_int(f[7]);
	return ERR_OK;
}

/* ---- Subgroups ---- */

static int group_order(const void *x, const void *y)
{
	const struct guest_group *a = x, *b = y;
	return a->no != b->no ? (a->no < b->no ? -1 : 1) : (int)a->source - (int)b->source;
}

static size_t groups_distinct(struct guest_group *groups, size_t n)
{
	size_t kept = 0;
	qsort(groups, n, sizeof(*groups), group_order);
	for (size_t i = 0; i < n; i++)
		if (kept == 0 || group_order(&groups[kept - 1], &groups[i]) != 0)
			groups[kept++] = groups[i];
	return kept;
}

/* The words of each, read once whoever's limits they are read under. */
static enum err groups_read(struct call *c, struct uuid coop, struct guest_facts *f)
{
	struct rows r;
	int64_t *wanted = ARENA_ARRAY(c->arena, f->n_groups, int64_t);
	for (size_t i = 0; i < f->n_groups; i++)
		wanted[i] = f->groups[i].no;
	TRY(db_query(c, spoken_of, &r, A_UUID(coop), A_I64S(wanted, f->n_groups)));
	int row = 0;
	for (size_t i = 0; i < f->n_groups; i++) {
		struct guest_group *g = &f->groups[i];
		while (row < r.n && row_int(&r, row, 0) < g->no)
			row++;
		if (i && f->groups[i - 1].no == g->no) {
			g->words = f->groups[i - 1].words;
			g->n = f->groups[i - 1].n;
		} else if (row == r.n || row_int(&r, row, 0) != g->no || !spoken_read(c->arena, row_str(&r, row, 1), &g->words, &g->n)) {
			return fail(c, ERR_CORRUPT, "What is said for a guest is not as it should be.");
		}
		f->room += g->n;
	}
	return ERR_OK;
}

static enum err make_groups(struct call *c, struct uuid coop, struct members *k)
{
	struct guest_facts *f = k->out;
	size_t n = 0;
	f->groups = ARENA_ARRAY(c->arena, f->n_guests, struct guest_group);
	for (size_t i = 0; i < f->n_guests; i++)
		if (k->spoken[i])
			f->groups[n++] = (struct guest_group){ .source = f->source_of[i], .no = k->spoken[i] };
	f->n_groups = groups_distinct(f->groups, n);
	if (f->n_groups == 0)
		return ERR_OK;
	TRY(groups_read(c, coop, f));
	for (size_t i = 0; i < f->n_guests; i++) {
		const struct guest_group wanted = { .source = f->source_of[i], .no = k->spoken[i] };
		const struct guest_group *found = wanted.no ? bsearch(&wanted, f->groups, f->n_groups, sizeof(wanted), group_order) : NULL;
		if (found)
			k->members[f->numbers[i]].group = (uint32_t)(found - f->groups) + 1;
	}
	return ERR_OK;
}

enum err guest_facts_members(struct call *c, struct uuid coop, struct policy_member *members, size_t n_members, struct guest_facts *out)
{
	struct rows r;
	*out = (struct guest_facts){ 0 };
	TRY(db_query(c, guests_changed, &r, A_UUID(coop)));
	if (r.n == 0)
		return ERR_OK;
	size_t guests = (size_t)row_int(&r, 0, 1);
	out->any = true;
	out->changes = row_int(&r, 0, 0);
	out->room = guests * DENIALS_EACH + (size_t)row_int(&r, 0, 2);
	out->numbers = ARENA_ARRAY(c->arena, guests, uint32_t);
	out->source_of = ARENA_ARRAY(c->arena, guests, uint16_t);
	struct members k = { .call = c, .members = members, .n_members = n_members, .cap = guests, .out = out, .spoken = ARENA_ARRAY(c->arena, guests, uint32_t), .now = clock_now() };
	if (guests && (!out->numbers || !out->source_of || !k.spoken))
		return fail(c, ERR_NO_MEMORY, "The facts about the guests do not fit into memory.");
	TRY(guest_source_list(c, coop, &out->sources, &out->n_sources));
	TRY(db_copy_out(c, guests_sql, &A_UUID(coop), 1, take_guest, &k));
	return make_groups(c, coop, &k);
}

/* ---- Statements ---- */

struct words {
	struct call *call;
	const struct guest_facts *facts;
	int32_t *source_by_number;         /* -1: no guest */
	size_t n_numbers;
	uint32_t (*item_position)(void *arg, struct uuid item);
	void *arg;
	struct policy_statement *out;
	size_t *n;
	size_t left;                       /* words on their way */
};

static instant since(struct copy_field f)
{
	return f.n < 0 ? POLICY_EVER : copy_time(f);
}

static enum err take_word(void *arg, const struct copy_field *f, int n)
{
	struct words *k = arg;
	uint32_t number = n == 14 ? (uint32_t)copy_int(f[1]) : UINT32_MAX;
	int32_t source = number < k->n_numbers ? k->source_by_number[number] : -1;
	if (source < 0 || k->left == 0)
		return fail(k->call, ERR_CORRUPT, "The guests of a co-op changed while they were read.");
	bool about_item = f[4].n == 16;
	uint32_t item = about_item ? k->item_position(k->arg, copy_uuid(f[4])) : POLICY_NO_ITEM;
	if (about_item && item == POLICY_NO_ITEM)
		return ERR_OK;
	int kind = facts_word(f[3], policy_kind_find), purpose = facts_word(f[6], policy_purpose_find), audience = facts_word(f[7], policy_audience_find), effect = facts_word(f[8], policy_effect_find);
	struct policy_statement s = {
		.id = ID_OF_GUEST | (uint64_t)copy_int(f[0]), .subject = number, .item = item, .uses = (uint16_t)facts_bits(f[5], policy_use_find, UINT32_C(1) << 15),
		.duties = (uint16_t)facts_bits(f[9], policy_duty_find, UINT32_C(1) << 15), .effect = effect < 0 ? UINT8_MAX : (uint8_t)effect, .layer = (uint8_t)copy_int(f[2]),
		.selector = about_item ? POLICY_SELECT_ITEM : f[3].n >= 0 ? POLICY_SELECT_KIND : POLICY_SELECT_ALL, .kind = f[3].n < 0 ? 0 : kind < 0 ? UINT8_MAX : (uint8_t)kind,
		.purpose = f[6].n < 0 ? POLICY_PURPOSE_ANY : purpose < 0 ? UINT8_MAX : (uint8_t)purpose,
		.audience = f[7].n < 0 ? POLICY_AUDIENCE_ANY : audience < 0 ? UINT8_MAX : (uint8_t)audience, .flags = copy_int(f[13]) ? POLICY_STATEMENT_EXTERNAL : 0,
		.revision = (uint32_t)copy_int(f[0]), .declared_by = number, .declared_at = since(f[10]), .valid_from = since(f[11]),
		.valid_to = f[12].n < 0 ? POLICY_NEVER : copy_time(f[12]),
	};
	if (!within(&k->facts->sources[source], &s))
		return ERR_OK;
	k->left--;
	k->out[(*k->n)++] = s;
	return ERR_OK;
}

/* A group's words, under its source's limits. */
static void speak_for(const struct guest_facts *f, size_t at, struct words *k)
{
	const struct guest_group *g = &f->groups[at];
	for (size_t i = 0; i < g->n; i++) {
		const struct guest_word *word = &g->words[i];
		struct policy_statement s = {
			.id = ID_SPOKEN | (uint64_t)g->no << 16 | i, .subject = (uint32_t)at + 1, .item = POLICY_NO_ITEM, .uses = word->uses, .duties = word->duties, .effect = word->effect,
			.layer = POLICY_LAYER_SUBGROUP, .selector = word->has_kind ? POLICY_SELECT_KIND : POLICY_SELECT_ALL, .kind = word->kind, .purpose = word->purpose,
			.audience = POLICY_AUDIENCE_ANY, .declared_by = POLICY_NO_MEMBER, .declared_at = word->effect == POLICY_EFFECT_DENY ? POLICY_EVER : word->declared_at,
			.valid_from = POLICY_EVER, .valid_to = POLICY_NEVER,
		};
		if (within(&f->sources[g->source], &s))
			k->out[(*k->n)++] = s;
	}
}

/* A denial of some uses towards an audience and all wider ones, in the layer that nobody's word lifts: between co-ops the agreement is law. */
static struct policy_statement denial(uint32_t guest, uint16_t source, uint16_t uses, unsigned audience)
{
	return (struct policy_statement){
		.id = ID_OF_AGREEMENT | source, .subject = guest, .item = POLICY_NO_ITEM, .uses = uses, .effect = POLICY_EFFECT_DENY, .layer = POLICY_LAYER_LAW, .selector = POLICY_SELECT_ALL,
		.purpose = POLICY_PURPOSE_ANY, .audience = (uint8_t)audience, .declared_by = POLICY_NO_MEMBER, .declared_at = POLICY_EVER,
		.valid_from = POLICY_EVER, .valid_to = POLICY_NEVER,
	};
}

/* What the agreement denies of each of its guests, whatever they say. */
static void deny_outside(const struct guest_facts *f, struct words *k)
{
	for (size_t i = 0; i < f->n_guests; i++) {
		const struct guest_source *source = &f->sources[f->source_of[i]];
		uint16_t denied = guest_source_denied(source);
		if (denied)
			k->out[(*k->n)++] = denial(f->numbers[i], f->source_of[i], denied, POLICY_AUDIENCE_ANY);
		if (source->audience != POLICY_AUDIENCE_ANY && source->audience + 1u < POLICY_AUDIENCE_COUNT)
			k->out[(*k->n)++] = denial(f->numbers[i], f->source_of[i], POLICY_USES_ALL, source->audience + 1u);
	}
}

enum err guest_facts_statements(struct call *c, struct uuid coop, const struct guest_facts *facts, uint32_t (*item_position)(void *arg, struct uuid item), void *arg,
	struct policy_statement *statements, size_t *n)
{
	uint32_t highest = 0;
	size_t groups = 0;
	for (size_t i = 0; i < facts->n_guests; i++)
		highest = facts->numbers[i] > highest ? facts->numbers[i] : highest;
	for (size_t i = 0; i < facts->n_groups; i++)
		groups += facts->groups[i].n;
	struct words k = { .call = c, .facts = facts, .n_numbers = facts->n_guests ? (size_t)highest + 1 : 0, .item_position = item_position, .arg = arg, .out = statements, .n = n,
		.left = facts->room - facts->n_guests * DENIALS_EACH - groups };
	k.source_by_number = ARENA_ARRAY(c->arena, k.n_numbers, int32_t);
	memset(k.source_by_number, 0xff, k.n_numbers * sizeof(*k.source_by_number));
	for (size_t i = 0; i < facts->n_guests; i++)
		k.source_by_number[facts->numbers[i]] = facts->source_of[i];
	TRY(db_copy_out(c, words_sql, &A_UUID(coop), 1, take_word, &k));
	for (size_t i = 0; i < facts->n_groups; i++)
		speak_for(facts, i, &k);
	deny_outside(facts, &k);
	return ERR_OK;
}
