#include "server/coop/guest_internal.h"

/* What a co-op tells others of its own people: what stands of each one's own words, and what the co-op's engine says for those who said nothing.
 *
 * The engine is asked twice for every purpose and audience in question: once with everybody's voice (delegates, the co-op's defaults), once with people's own alone. Where the first is
 * stricter than the second, a delegate has tightened what somebody said, and that goes among their words; where the second is silent, the first is what is said for them. */

SQL(items_spoken_about,
	"SELECT c.id, c.item_no FROM contribution c WHERE c.coop_id = $1 AND (c.word & 4096) = 0 AND c.id IN (SELECT item_id FROM statement WHERE coop_id = $1 AND item_id IS NOT NULL) ORDER BY c.id");
SQL(names_for_credit, "SELECT number, public_name FROM membership WHERE coop_id = $1 AND attribution = 'public' AND public_name IS NOT NULL");

#define QUESTIONS_MAX 48 /* purposes times audiences */

/* One purpose and audience, as the engine answers for everybody. */
struct answer {
	uint8_t purpose, audience;      /* policy_purpose, policy_audience */
	const struct policy_rows *full; /* everybody heard; of the strictest audience first, the others follow */
	const struct policy_rows *own;  /* people's own words alone */
};

/* What is said for people, kept once for all who have the same. */
struct intern { struct guest_word *words; size_t n; uint64_t hash; };

struct asking {
	struct call *call;
	struct arena *arena;
	struct policy_mem mem;
	const struct charter *charter;
	const struct guest_scope *scope;
	struct policy_facts facts;       /* all, without words on items */
	struct policy_facts own;         /* the same without delegates */
	struct answer answers[QUESTIONS_MAX];
	size_t n_answers;                /* those of one purpose stand side by side */
	const struct rows *items;        /* items_spoken_about */
	instant now;
	uint32_t notice_min;
	struct intern *interned;         /* open addressing */
	size_t n_interned, cap_interned;
};

static void *from_arena(void *arena, size_t size)
{
	return arena_alloc(arena, size);
}

static uint32_t item_place(void *arg, struct uuid item)
{
	const struct rows *r = arg;
	int low = 0, high = r->n;
	while (low < high) {
		int middle = (low + high) / 2, order = uuid_cmp(row_uuid(r, middle, 0), item);
		if (order == 0)
			return (uint32_t)middle;
		if (order < 0)
			low = middle + 1;
		else
			high = middle;
	}
	return POLICY_NO_ITEM;
}

/* ---- Asking the engine ---- */

static enum err ask_one(struct asking *k, unsigned purpose, unsigned audience, bool own, const struct policy_rows **out)
{
	struct policy_spec spec;
	const struct policy_program *program;
	struct policy_rows *rows;
	struct policy_fault places[4];
	struct policy_faults faults = { places, CH_LEN(places), 0 };
	policy_spec_init(&spec);
	spec.uses = k->scope->uses;
	spec.uses_conditional = POLICY_USES_ALL;
	spec.audience = (uint8_t)audience;
	spec.audience_duties = POLICY_DUTIES_ALL;
	spec.purposes = POLICY_BIT(purpose);
	spec.delegation_depth = (uint8_t)k->charter->delegation_depth;
	spec.delegation_cap = k->charter->delegation_cap;
	spec.cutoff = spec.instant = k->now;
	if (!own) {
		spec.defaults = k->charter->defaults;
		spec.n_defaults = k->charter->n_defaults;
	}
	enum policy_status status = policy_compile(&spec, &k->mem, &program, &faults);
	if (status == POLICY_OK)
		status = policy_rows_build(program, own ? &k->own : &k->facts, &k->mem, &rows, &faults);
	*out = status == POLICY_OK ? rows : NULL;
	if (status == POLICY_NO_MEMORY)
		return fail(k->call, ERR_NO_MEMORY, "There is no memory to say what all members say.");
	return status == POLICY_OK ? ERR_OK : fail(k->call, ERR_INTERNAL, "The policy engine refused to say what members say.");
}

/* Whether anything that anybody said is limited to a purpose, or to an audience: if nothing is, one question answers for all. */
static void limits_said(const struct asking *k, bool *purposes, bool *audiences)
{
	*purposes = *audiences = false;
	for (size_t i = 0; i < k->facts.n_statements; i++) {
		*purposes |= k->facts.statements[i].purpose != POLICY_PURPOSE_ANY;
		*audiences |= k->facts.statements[i].audience != POLICY_AUDIENCE_ANY;
	}
	for (size_t i = 0; i < k->charter->n_defaults; i++) {
		*purposes |= k->charter->defaults[i].purpose != POLICY_PURPOSE_ANY;
		*audiences |= k->charter->defaults[i].audience != POLICY_AUDIENCE_ANY;
	}
}

/* All purposes that these cover, as bits. */
static uint32_t purposes_below(uint32_t purposes)
{
	uint32_t below = 0;
	for (unsigned p = 0; p < POLICY_PURPOSE_COUNT; p++)
		if (purposes >> p & 1)
			below |= policy_purpose_below(p);
	return below & POLICY_PURPOSES_ALL & ~POLICY_BIT(POLICY_PURPOSE_ANY);
}

static enum err ask_all(struct asking *k)
{
	bool by_purpose, by_audience;
	limits_said(k, &by_purpose, &by_audience);
	unsigned widest = k->scope->audience == POLICY_AUDIENCE_ANY ? POLICY_AUDIENCE_PUBLIC : k->scope->audience;
	unsigned narrowest = by_audience ? POLICY_AUDIENCE_MEMBERS : widest;
	bool any = !by_purpose && k->scope->purposes & POLICY_BIT(POLICY_PURPOSE_ANY);
	uint32_t purposes = any ? POLICY_BIT(POLICY_PURPOSE_RESEARCH) : by_purpose ? purposes_below(k->scope->purposes) : k->scope->purposes & POLICY_PURPOSES_ALL;
	for (unsigned p = 1; p < POLICY_PURPOSE_COUNT; p++) {
		if (!(purposes >> p & 1))
			continue;
		size_t first = k->n_answers;
		for (unsigned audience = narrowest; audience <= widest; audience++) {
			struct answer *answer = &k->answers[k->n_answers++];
			if (by_purpose || first == 0) {
				TRY(ask_one(k, p, audience, false, &answer->full));
				TRY(ask_one(k, p, audience, true, &answer->own));
			} else {
				*answer = k->answers[audience - narrowest];
			}
			answer->purpose = any ? POLICY_PURPOSE_ANY : (uint8_t)p;
			answer->audience = (uint8_t)audience;
		}
	}
	return ERR_OK;
}

/* ---- From answers to words ---- */

/* How strict an answer is about one use: the engine's own order. */
enum said { SAID_ALLOW, SAID_ALLOW_IF, SAID_NOTHING, SAID_DENY };

static enum said said_of(const struct policy_row *row, unsigned use)
{
	if (row->deny >> use & 1)
		return SAID_DENY;
	if (row->unknown >> use & 1)
		return SAID_NOTHING;
	return row->allow_if >> use & 1 ? SAID_ALLOW_IF : SAID_ALLOW;
}

/* What is said about one purpose and one kind, over all audiences: the strictest, and where people's own words are not all of it. */
struct resolved {
	uint8_t full[POLICY_USE_COUNT];      /* enum said, the strictest */
	uint16_t spoke, silent;              /* uses about which they have said something themselves towards some audience; nothing */
	uint8_t tightened_to[POLICY_USE_COUNT]; /* the widest audience towards which somebody made a condition of their yes, or a further one; ANY: none */
	uint16_t duties;
};

/* What holds a release whatever else is said. Who relies on such a chain says nothing to others, for any purpose: a yes for one covers those below it. */
#define BROKEN_CHAIN (POLICY_REASON(DELEGATION_CYCLE) | POLICY_REASON(DELEGATION_DEPTH) | POLICY_REASON(DELEGATION_CAP) | POLICY_REASON(ENGINE_ERROR))

static bool broken(const struct asking *k, uint32_t member)
{
	for (size_t i = 0; i < k->n_answers; i++)
		for (unsigned kind = 0; kind < POLICY_KIND_COUNT; kind++)
			if (policy_rows_get(k->answers[i].full, member, kind).reasons & BROKEN_CHAIN)
				return true;
	return false;
}

static void resolve_audience(const struct asking *k, const struct answer *answer, uint32_t member, unsigned kind, struct resolved *r)
{
	struct policy_row full = policy_rows_get(answer->full, member, kind), own = policy_rows_get(answer->own, member, kind);
	/* Duties are known for all uses together: where there are several, a delegate may have added to one what another has already. */
	bool more = full.duties & ~own.duties || (k->facts.n_edges && own.allow_if & (own.allow_if - 1));
	r->duties |= full.duties;
	for (unsigned use = 0; use < POLICY_USE_COUNT; use++) {
		enum said f = said_of(&full, use), o = said_of(&own, use);
		uint16_t bit = (uint16_t)POLICY_BIT(use);
		r->full[use] = f > r->full[use] ? (uint8_t)f : r->full[use];
		*(o == SAID_NOTHING ? &r->silent : &r->spoke) |= bit;
		if (f == SAID_ALLOW_IF && (o == SAID_ALLOW || (o == SAID_ALLOW_IF && more)))
			r->tightened_to[use] = answer->audience > r->tightened_to[use] ? answer->audience : r->tightened_to[use];
	}
}

static struct resolved resolve(const struct asking *k, size_t from, size_t to, uint32_t member, unsigned kind)
{
	struct resolved r = { 0 };
	for (size_t i = from; i < to; i++)
		resolve_audience(k, &k->answers[i], member, kind, &r);
	return r;
}

/* Uses of which the same is said, as words to write down. */
struct sayings { uint16_t allow, allow_if, deny, duties; /* for them */ uint16_t tight_deny, tight_if[POLICY_AUDIENCE_COUNT]; /* stricter than their own; by audience */ };

static struct sayings sayings_of(const struct resolved *r, uint16_t uses, bool mute)
{
	struct sayings s = { .duties = r->duties };
	for (unsigned use = 0; use < POLICY_USE_COUNT; use++) {
		uint16_t bit = (uint16_t)(POLICY_BIT(use) & uses);
		if (r->full[use] == SAID_DENY) {
			*(r->spoke & bit ? &s.tight_deny : &s.deny) |= bit;
			continue;
		}
		if (r->full[use] <= SAID_ALLOW_IF && r->silent & bit && !mute)
			*(r->full[use] == SAID_ALLOW_IF ? &s.allow_if : &s.allow) |= bit;
		if (r->tightened_to[use])
			s.tight_if[r->tightened_to[use]] |= bit;
	}
	return s;
}

/* Words being written. */
struct list { struct guest_word *at; size_t n; };

static void word_add(struct list *l, struct guest_word model, uint8_t effect, uint16_t uses, uint16_t duties)
{
	if (!uses)
		return;
	model.effect = effect;
	model.uses = uses;
	model.duties = effect == POLICY_EFFECT_ALLOW_IF ? duties : 0;
	l->at[l->n++] = model;
}

/* What is said of one purpose: once for all kinds where it is the same for all. A release of the strictest audience comes first, but any of them counts. */
static void words_of_purpose(const struct asking *k, size_t from, size_t to, uint32_t member, bool mute, struct list *spoken, struct list *tightened)
{
	struct sayings by_kind[POLICY_KIND_COUNT];
	uint16_t uses = policy_uses_expand(k->scope->uses);
	bool alike = true;
	for (unsigned kind = 0; kind < POLICY_KIND_COUNT; kind++) {
		struct resolved r = resolve(k, from, to, member, kind);
		by_kind[kind] = sayings_of(&r, uses, mute);
		alike &= memcmp(&by_kind[kind], &by_kind[0], sizeof(by_kind[0])) == 0;
	}
	for (unsigned kind = 0; kind < (alike ? 1u : (unsigned)POLICY_KIND_COUNT); kind++) {
		const struct sayings *s = &by_kind[kind];
		struct guest_word model = { .has_kind = !alike, .kind = alike ? 0 : (uint8_t)kind, .purpose = k->answers[from].purpose, .declared_at = INSTANT_NONE,
			.valid_from = INSTANT_NONE, .valid_to = INSTANT_NEVER };
		word_add(spoken, model, POLICY_EFFECT_ALLOW, s->allow, 0);
		word_add(spoken, model, POLICY_EFFECT_ALLOW_IF, s->allow_if, s->duties);
		word_add(spoken, model, POLICY_EFFECT_DENY, s->deny, 0);
		/* Since ever, so that what they say of an item itself stands against it, as it does against a delegate. */
		model.external = true;
		word_add(tightened, model, POLICY_EFFECT_DENY, s->tight_deny, 0);
		model.external = false;
		model.declared_at = k->now;
		for (model.audience = POLICY_AUDIENCE_MEMBERS; model.audience < POLICY_AUDIENCE_COUNT; model.audience++)
			word_add(tightened, model, POLICY_EFFECT_ALLOW_IF, s->tight_if[model.audience], s->duties);
	}
}

#define WORDS_OF_ONE (POLICY_PURPOSE_COUNT * POLICY_KIND_COUNT * 5) /* of each list: tightened to four audiences and denied */

static uint64_t words_hash(const struct guest_word *words, size_t n)
{
	struct sha256 h = sha256(str_make(words, n * sizeof(*words)));
	uint64_t out;
	memcpy(&out, h.b, sizeof(out));
	return out + (out == 0);
}

static struct intern *intern_place(struct intern *table, size_t cap, uint64_t hash, const struct guest_word *words, size_t n)
{
	size_t at = (size_t)hash & (cap - 1);
	while (table[at].hash && (table[at].hash != hash || table[at].n != n || memcmp(table[at].words, words, n * sizeof(*words)) != 0))
		at = (at + 1) & (cap - 1);
	return &table[at];
}

/* The one copy of these words. */
static const struct guest_word *intern(struct asking *k, const struct guest_word *words, size_t n)
{
	if (n == 0)
		return NULL;
	if (k->n_interned * 2 >= k->cap_interned) {
		size_t cap = k->cap_interned ? k->cap_interned * 2 : 64;
		struct intern *table = ARENA_ARRAY(k->call->arena, cap, struct intern);
		for (size_t i = 0; i < k->cap_interned; i++)
			if (k->interned[i].hash)
				*intern_place(table, cap, k->interned[i].hash, k->interned[i].words, k->interned[i].n) = k->interned[i];
		k->interned = table;
		k->cap_interned = cap;
	}
	uint64_t hash = words_hash(words, n);
	struct intern *place = intern_place(k->interned, k->cap_interned, hash, words, n);
	if (!place->hash) {
		*place = (struct intern){ ARENA_ARRAY(k->call->arena, n, struct guest_word), n, hash };
		memcpy(place->words, words, n * sizeof(*words));
		k->n_interned++;
	}
	return place->words;
}

/* ---- Own words ---- */

/* Statements of one person, the order of the engine: by subject matter, the latest first. */
static int speech_order(const void *x, const void *y)
{
	const struct policy_statement *a = x, *b = y;
	if (a->subject != b->subject)
		return a->subject < b->subject ? -1 : 1;
	const uint64_t left = (uint64_t)a->layer << 56 | (uint64_t)a->selector << 48 | (uint64_t)(a->selector == POLICY_SELECT_KIND ? a->kind : 0) << 40 | (uint64_t)a->purpose << 32
		| (uint64_t)a->audience << 24 | a->flags;
	const uint64_t right = (uint64_t)b->layer << 56 | (uint64_t)b->selector << 48 | (uint64_t)(b->selector == POLICY_SELECT_KIND ? b->kind : 0) << 40 | (uint64_t)b->purpose << 32
		| (uint64_t)b->audience << 24 | b->flags;
	if (left != right)
		return left < right ? -1 : 1;
	if (a->item != b->item)
		return a->item < b->item ? -1 : 1;
	if (a->declared_at != b->declared_at)
		return a->declared_at > b->declared_at ? -1 : 1;
	return a->revision > b->revision ? -1 : a->revision < b->revision;
}

static bool same_matter(const struct policy_statement *a, const struct policy_statement *b)
{
	return a->layer == b->layer && a->selector == b->selector && (a->selector != POLICY_SELECT_KIND || a->kind == b->kind) && a->purpose == b->purpose && a->audience == b->audience
		&& a->flags == b->flags && a->item == b->item;
}

/* What stands of a statement whose later ones speak about `later`, as a word; false where nothing does. What is not in force yet stands, and what has ended does not. */
static bool standing_word(const struct asking *k, const struct policy_statement *s, uint16_t later, struct guest_word *out)
{
	bool external = s->flags & POLICY_STATEMENT_EXTERNAL, reaches = s->effect == POLICY_EFFECT_DENY;
	uint16_t uses = reaches ? policy_uses_expand(s->uses) : s->uses;
	if (!external)
		uses &= (uint16_t)~later;
	if (s->effect == POLICY_EFFECT_NONE || (external && s->effect != POLICY_EFFECT_DENY) || uses == 0 || s->valid_to <= k->now)
		return false;
	struct uuid item = { 0 };
	if (s->item != POLICY_NO_ITEM) {
		item = row_uuid(k->items, (int)s->item, 0);
		if (!k->scope->told || !k->scope->told(k->scope->arg, row_int(k->items, (int)s->item, 1), item))
			return false;
	}
	*out = (struct guest_word){
		.effect = s->effect, .has_kind = s->selector == POLICY_SELECT_KIND, .kind = s->selector == POLICY_SELECT_KIND ? s->kind : 0, .purpose = s->purpose, .audience = s->audience,
		.external = external, .uses = uses, .duties = s->duties, .item = item, .declared_at = s->declared_at,
		.valid_from = s->valid_from == POLICY_EVER ? INSTANT_NONE : s->valid_from, .valid_to = s->valid_to,
	};
	return true;
}

/* The words of those whose statements stand at [from, to), which are one person's. Something later that is not in force yet does not take away what it will replace. */
static void own_words(const struct asking *k, const struct policy_statement *s, size_t n, struct list *out)
{
	uint16_t later = 0, level = 0;
	for (size_t i = 0; i < n; i++) {
		if (i == 0 || !same_matter(&s[i - 1], &s[i])) {
			later = level = 0;
		} else if (s[i].declared_at != s[i - 1].declared_at || s[i].revision != s[i - 1].revision) {
			later |= level;
			level = 0;
		}
		if (standing_word(k, &s[i], later, &out->at[out->n]))
			out->n++;
		bool reaches = s[i].effect == POLICY_EFFECT_DENY || s[i].effect == POLICY_EFFECT_NONE;
		if (s[i].valid_from <= k->now && k->now < s[i].valid_to)
			level |= reaches ? policy_uses_expand(s[i].uses) : s[i].uses;
	}
}

/* ---- The whole ---- */

/* Facts for the engine: without words on items, which are told one by one; and the same with nobody's voice but people's own. */
static enum err split_facts(struct asking *k, const struct policy_facts *all, struct policy_statement **own, size_t *n_own)
{
	struct policy_statement *heard = ARENA_ARRAY(k->arena, all->n_statements + 1, struct policy_statement);
	struct policy_statement *own_only = ARENA_ARRAY(k->arena, all->n_statements + 1, struct policy_statement);
	*own = ARENA_ARRAY(k->arena, all->n_statements + 1, struct policy_statement);
	if (!heard || !own_only || !*own)
		return fail(k->call, ERR_NO_MEMORY, "There is no memory to say what all members say.");
	size_t n_heard = 0, n_only = 0;
	*n_own = 0;
	for (size_t i = 0; i < all->n_statements; i++) {
		const struct policy_statement *s = &all->statements[i];
		if (s->layer <= POLICY_LAYER_SUBJECT)
			(*own)[(*n_own)++] = *s;
		if (s->item != POLICY_NO_ITEM)
			continue;
		heard[n_heard++] = *s;
		if (s->layer <= POLICY_LAYER_SUBJECT)
			own_only[n_only++] = *s;
	}
	qsort(*own, *n_own, sizeof(**own), speech_order);
	k->facts = *all;
	k->facts.statements = heard;
	k->facts.n_statements = n_heard;
	k->own = k->facts;
	k->own.statements = own_only;
	k->own.n_statements = n_only;
	k->own.n_edges = 0;
	return ERR_OK;
}

/* A consent given on words that the charter has left behind does not stand towards others either. */
static void consent_of(const struct asking *k, const struct policy_member *m, struct guest_words *out)
{
	out->standing = m->standing < POLICY_STANDING_COUNT ? m->standing : POLICY_STANDING_REMOVED;
	out->consent = m->consent < POLICY_CONSENT_COUNT ? m->consent : POLICY_CONSENT_UNKNOWN;
	out->purposes = m->purposes & POLICY_PURPOSES_ALL;
	out->consent_given = m->consent_given;
	out->consent_expires = m->consent_expires;
	bool stands = out->consent == POLICY_CONSENT_GIVEN || out->consent == POLICY_CONSENT_RENEWED;
	if (stands && (m->notice < k->notice_min || m->purposes != out->purposes)) {
		out->consent = POLICY_CONSENT_INVALIDATED;
		out->consent_given = INSTANT_NEVER;
	}
}

static void words_of(struct asking *k, uint32_t member, const struct policy_statement *own, size_t n_own, struct guest_word *spoken_room, struct guest_words *out)
{
	struct list spoken = { spoken_room, 0 };
	struct list said = { ARENA_ARRAY(k->arena, n_own + WORDS_OF_ONE, struct guest_word), 0 };
	bool mute = broken(k, member);
	consent_of(k, &k->facts.members[member], out);
	own_words(k, own, n_own, &said);
	memset(spoken_room, 0, WORDS_OF_ONE * sizeof(*spoken_room));
	for (size_t from = 0, to; from < k->n_answers; from = to) {
		for (to = from + 1; to < k->n_answers && k->answers[to].purpose == k->answers[from].purpose; to++)
			;
		words_of_purpose(k, from, to, member, mute, &spoken, &said);
	}
	out->said = intern(k, said.at, said.n);
	out->n_said = said.n;
	out->spoken_for = intern(k, spoken.at, spoken.n);
	out->n_spoken = spoken.n;
}

static void free_arena(void *slot)
{
	arena_free(*(struct arena **)slot);
}

static enum err name_people(struct call *c, struct uuid coop, struct guest_words *words, size_t n)
{
	struct rows r;
	TRY(db_query(c, names_for_credit, &r, A_UUID(coop)));
	for (int i = 0; i < r.n; i++)
		if (row_int(&r, i, 0) < (int64_t)n)
			words[row_int(&r, i, 0)].name = row_str(&r, i, 1);
	return ERR_OK;
}

enum err guest_words_of_members(struct call *c, struct uuid coop, const struct guest_scope *scope, struct guest_words **by_number, size_t *n)
{
	struct charter charter;
	struct policy_facts all;
	struct policy_statement *own;
	size_t n_own = 0;
	int consent_words, defaults_words;
	struct arena **slot = ARENA_NEW(c->arena, struct arena *);
	*slot = arena_new(LIMIT_DECIDE_ARENA);
	if (!*slot)
		return fail(c, ERR_NO_MEMORY, "There is no memory to say what all members say.");
	arena_defer(c->arena, free_arena, slot);
	struct rows *items = ARENA_NEW(c->arena, struct rows);
	struct asking *k = ARENA_NEW(c->arena, struct asking);
	*k = (struct asking){ .call = c, .arena = *slot, .mem = { from_arena, *slot }, .charter = &charter, .scope = scope, .items = items, .now = clock_now() };
	TRY(charter_current(c, coop, &charter));
	TRY(demand_oldest_words(c, coop, charter.version, &consent_words, &defaults_words));
	k->notice_min = (uint32_t)(consent_words > charter.notice_min ? consent_words : charter.notice_min);
	TRY(db_query(c, items_spoken_about, items, A_UUID(coop)));
	TRY(coop_facts(c, coop, false, item_place, items, &all));
	TRY(split_facts(k, &all, &own, &n_own));
	TRY(ask_all(k));
	*n = all.n_members;
	*by_number = ARENA_ARRAY(c->arena, *n + 1, struct guest_words);
	struct guest_word *room = ARENA_ARRAY(k->arena, WORDS_OF_ONE, struct guest_word);
	for (size_t m = 0, at = 0; m < *n; m++) {
		size_t from = at;
		while (at < n_own && own[at].subject == m)
			at++;
		struct arena_mark mark = arena_mark(k->arena);
		words_of(k, (uint32_t)m, own + from, at - from, room, &(*by_number)[m]);
		arena_rewind(k->arena, mark);
	}
	return name_people(c, coop, *by_number, *n);
}
