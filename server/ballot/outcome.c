#include "commonhold/ballot_outcome.h"
#include "commonhold/limits.h"
#include "commonhold/str.h"

#include <stdlib.h>
#include <string.h>

static const char *const choice_names[BALLOT_CHOICE_COUNT] = { "undecided", "for", "against", "abstain" };

const char *ballot_choice_name(unsigned choice)
{
	return choice < BALLOT_CHOICE_COUNT ? choice_names[choice] : "unknown";
}

int ballot_choice_find(const char *name, size_t len)
{
	struct str word = str_make(name, len);
	return str_is(word, "none") ? BALLOT_NONE : str_which(word, choice_names, BALLOT_CHOICE_COUNT);
}

static void *engine_alloc(void *arena, size_t size)
{
	return arena_alloc(arena, size);
}

/* ---- Votes for one principal in particular ---- */

/* A vote on behalf that stands on its principal's path. */
struct candidate {
	policy_instant accepted_at; /* of the principal's own edge: whose turn it is when the cap is short */
	uint64_t edge;              /* that edge */
	uint32_t principal;         /* for whom */
	uint32_t delegate;          /* who cast it */
	uint8_t choice;             /* enum ballot_choice */
	uint8_t hop;                /* where on the path the delegate stands, from 1 */
};

/* Of one principal the nearest delegate first; principals in the order in which they were represented. */
static int candidate_order(const void *x, const void *y)
{
	const struct candidate *a = x, *b = y;
	if (a->accepted_at != b->accepted_at)
		return a->accepted_at < b->accepted_at ? -1 : 1;
	if (a->edge != b->edge)
		return a->edge < b->edge ? -1 : 1;
	return (a->hop > b->hop) - (a->hop < b->hop);
}

/* At which hop of the principal's path the delegate stands; 0: nowhere before the way ends, which is where somebody has decided or the charter's depth is reached. */
static uint8_t hop_of(const struct ballot_facts *f, const struct policy_path *paths, const struct ballot_mandate *m)
{
	uint32_t at = m->principal;
	for (uint8_t hop = 1; hop <= f->ask.depth && paths[at].edge != POLICY_NO_EDGE; hop++) {
		at = f->edges[paths[at].edge].delegate;
		if (at == m->delegate)
			return hop;
		if (at >= f->n || f->choice[at] != BALLOT_NONE)
			return 0;
	}
	return 0;
}

static bool mandate_sound(const struct ballot_facts *f, const struct ballot_mandate *m)
{
	return m->principal < f->n && m->delegate < f->n && m->principal != m->delegate && m->choice > BALLOT_NONE && m->choice < BALLOT_CHOICE_COUNT;
}

static void apply_candidate(const struct ballot_facts *f, const struct candidate *c, uint32_t *load, struct ballot_voice *voice)
{
	bool new_weight = voice->via != POLICY_VIA_DECIDED || voice->decider != c->delegate;
	if (new_weight && f->ask.cap && load[c->delegate] >= f->ask.cap) {
		*voice = (struct ballot_voice){ .decider = POLICY_NO_DECIDER, .via = POLICY_VIA_CAP, .reason = POLICY_VIA_CAP, .hops = c->hop };
		return;
	}
	load[c->delegate] += new_weight;
	*voice = (struct ballot_voice){ .decider = c->delegate, .choice = c->choice, .via = POLICY_VIA_DECIDED, .reason = POLICY_VIA_OWN, .hops = c->hop, .on_behalf = true };
}

static enum err apply_mandates(struct arena *a, const struct ballot_facts *f, struct ballot_outcome *o)
{
	struct candidate *list = ARENA_ARRAY(a, f->n_mandates + 1, struct candidate);
	uint32_t *load = ARENA_ARRAY(a, f->n + 1, uint32_t);
	size_t n = 0;
	if (!list || !load)
		return ERR_NO_MEMORY;
	for (size_t i = 0; i < f->n_mandates; i++) {
		const struct ballot_mandate *m = &f->mandates[i];
		if (!mandate_sound(f, m))
			return ERR_INVALID;
		uint8_t hop = f->roll[m->principal] && f->choice[m->principal] == BALLOT_NONE ? hop_of(f, o->paths, m) : 0;
		if (!hop)
			continue;
		const struct policy_edge *edge = &f->edges[o->paths[m->principal].edge];
		list[n++] = (struct candidate){ edge->accepted_at, edge->id, m->principal, m->delegate, m->choice, hop };
	}
	if (n == 0)
		return ERR_OK;
	for (size_t m = 0; m < f->n; m++)
		if (o->voices[m].via == POLICY_VIA_DECIDED && o->voices[m].decider < f->n)
			load[o->voices[m].decider]++;
	qsort(list, n, sizeof(list[0]), candidate_order);
	for (size_t i = 0; i < n; i++)
		if (i == 0 || list[i].principal != list[i - 1].principal)
			apply_candidate(f, &list[i], load, &o->voices[list[i].principal]);
	return ERR_OK;
}

/* ---- Voices and counts ---- */

static struct ballot_voice voice_of(const struct ballot_facts *f, const struct policy_path *path)
{
	struct ballot_voice v = { .decider = POLICY_NO_DECIDER, .via = path->via, .reason = path->via == POLICY_VIA_NONE ? path->dropped : path->via, .hops = path->hops };
	if (path->via == POLICY_VIA_NOBODY)
		v.hops = 1;
	if (path->via != POLICY_VIA_OWN && path->via != POLICY_VIA_DECIDED)
		return v;
	v.decider = path->decider;
	v.choice = f->choice[path->decider == POLICY_BOARD ? f->n : path->decider];
	v.reason = POLICY_VIA_OWN;
	return v;
}

static void count_voice(struct policy_tally *t, uint8_t choice, uint8_t reason)
{
	t->roll++;
	switch (choice) {
	case BALLOT_FOR: t->yes++; break;
	case BALLOT_AGAINST: t->no++; break;
	case BALLOT_ABSTAIN: t->abstain++; break;
	default: t->undecided[reason]++;
	}
}

static void count_all(const struct ballot_facts *f, struct ballot_outcome *o)
{
	struct policy_tally *members = &o->count.of[POLICY_MEMBERS], *admins = &o->count.of[POLICY_ADMINS];
	members->roll_last_year = f->members_last_year;
	admins->roll_last_year = f->admins_last_year;
	for (size_t m = 0; m < f->n; m++) {
		const struct ballot_voice *v = &o->voices[m];
		if (!f->roll[m])
			continue;
		count_voice(members, v->choice, v->reason);
		if (!(f->roll[m] & BALLOT_ROLL_ADMIN))
			continue;
		bool in_person = v->via == POLICY_VIA_OWN;
		count_voice(admins, in_person ? v->choice : BALLOT_NONE, v->choice != BALLOT_NONE ? POLICY_VIA_NONE : v->reason);
		if (m == f->proposer && in_person && v->choice == BALLOT_FOR)
			admins->proposer_yes = 1;
	}
}

static bool facts_sound(const struct ballot_facts *f)
{
	for (size_t m = 0; m <= f->n; m++)
		if (f->choice[m] >= BALLOT_CHOICE_COUNT || (m < f->n && f->choice[m] != BALLOT_NONE && !f->roll[m]))
			return false;
	return f->ask.question == POLICY_QUESTION_VOTE && f->ask.depth >= 1 && f->ask.depth <= POLICY_DEPTH_MAX;
}

enum err ballot_outcome_of(struct arena *a, const struct ballot_facts *f, struct ballot_outcome *out)
{
	*out = (struct ballot_outcome){ .verdict = POLICY_FAILED };
	if (!facts_sound(f))
		return ERR_INVALID;
	uint8_t *decided = ARENA_ARRAY(a, f->n + 1, uint8_t);
	out->paths = ARENA_ARRAY(a, f->n + 1, struct policy_path);
	out->voices = ARENA_ARRAY(a, f->n + 1, struct ballot_voice);
	if (!decided || !out->paths || !out->voices)
		return ERR_NO_MEMORY;
	for (size_t m = 0; m <= f->n; m++)
		decided[m] = f->choice[m] != BALLOT_NONE;
	struct policy_mem mem = { engine_alloc, a };
	struct policy_voices voices = { .n = f->n, .active = f->active, .decided = decided };
	enum policy_status status = policy_delegation_resolve(f->edges, f->n_edges, &voices, &f->ask, &mem, out->paths);
	if (status != POLICY_OK)
		return status == POLICY_NO_MEMORY ? ERR_NO_MEMORY : ERR_INVALID;
	for (size_t m = 0; m < f->n; m++)
		out->voices[m] = voice_of(f, &out->paths[m]);
	if (f->n_mandates > 0) {
		enum err err = apply_mandates(a, f, out);
		if (err != ERR_OK)
			return err;
	}
	count_all(f, out);
	out->verdict = policy_ballot_decide(f->rule, f->n_rule, &out->count);
	return ERR_OK;
}

static bool been_there(const uint32_t *edges, size_t n, uint32_t edge)
{
	for (size_t i = 0; i < n; i++)
		if (edges[i] == edge)
			return true;
	return false;
}

/* A circle is followed once round: how the engine came upon it is of no account. */
size_t ballot_outcome_path(const struct ballot_facts *f, const struct ballot_outcome *o, uint32_t member, uint32_t out[POLICY_DEPTH_MAX])
{
	const struct ballot_voice *v = &o->voices[member];
	size_t n = 0, most = v->hops < POLICY_DEPTH_MAX && v->via != POLICY_VIA_CYCLE ? v->hops : POLICY_DEPTH_MAX;
	for (uint32_t at = member; n < most && at < f->n && o->paths[at].edge != POLICY_NO_EDGE && !been_there(out, n, o->paths[at].edge); at = f->edges[o->paths[at].edge].delegate)
		out[n++] = o->paths[at].edge;
	return n;
}

enum ballot_choice ballot_board_choice(const uint32_t said[BALLOT_CHOICE_COUNT], uint32_t admins, uint32_t n, uint32_t d, bool strict)
{
	enum ballot_choice found = BALLOT_NONE;
	for (unsigned i = BALLOT_FOR; i < BALLOT_CHOICE_COUNT; i++) {
		uint64_t have = (uint64_t)said[i] * d, want = (uint64_t)n * admins;
		if (said[i] == 0 || (strict ? have <= want : have < want))
			continue;
		if (found != BALLOT_NONE)
			return BALLOT_NONE; /* two halves that disagree resolve nothing */
		found = (enum ballot_choice)i;
	}
	return found;
}

/* ---- From versions of votes to what counts ---- */

static int cast_order(const void *x, const void *y)
{
	const struct ballot_cast *a = x, *b = y;
	if (a->principal != b->principal)
		return a->principal < b->principal ? -1 : 1;
	if (a->member != b->member)
		return a->member < b->member ? -1 : 1;
	return (a->seq > b->seq) - (a->seq < b->seq);
}

/* Gives how many votes on behalf of others there are by then. */
static size_t fold_own(const struct ballot_cast *casts, size_t n_casts, int64_t at, int64_t *last, uint8_t *choice)
{
	size_t behalf = 0;
	for (size_t i = 0; i < n_casts; i++) {
		const struct ballot_cast *v = &casts[i];
		if (v->at > at)
			continue;
		if (v->principal != POLICY_NO_DECIDER) {
			behalf++;
		} else if (v->seq >= last[v->member]) {
			last[v->member] = v->seq;
			choice[v->member] = v->choice;
		}
	}
	return behalf;
}

bool ballot_fold_casts(struct arena *a, const struct ballot_cast *casts, size_t n_casts, size_t n, int64_t at, uint8_t *choice, struct ballot_mandate **mandates,
	size_t *n_mandates)
{
	int64_t *last = ARENA_ARRAY(a, n + 1, int64_t);
	*n_mandates = 0;
	if (!last)
		return false;
	for (size_t m = 0; m < n; m++)
		last[m] = INT64_MIN;
	memset(choice, BALLOT_NONE, n);
	size_t room = fold_own(casts, n_casts, at, last, choice), behalf = 0;
	struct ballot_cast *list = ARENA_ARRAY(a, room + 1, struct ballot_cast);
	*mandates = ARENA_ARRAY(a, room + 1, struct ballot_mandate);
	if (!list || !*mandates)
		return false;
	for (size_t i = 0; i < n_casts; i++)
		if (casts[i].at <= at && casts[i].principal != POLICY_NO_DECIDER)
			list[behalf++] = casts[i];
	qsort(list, behalf, sizeof(list[0]), cast_order);
	for (size_t i = 0; i < behalf; i++) {
		bool latest = i + 1 == behalf || list[i + 1].principal != list[i].principal || list[i + 1].member != list[i].member;
		if (latest && list[i].choice != BALLOT_NONE)
			(*mandates)[(*n_mandates)++] = (struct ballot_mandate){ list[i].member, list[i].principal, list[i].choice };
	}
	return true;
}

enum ballot_choice ballot_board_at(struct arena *a, const struct ballot_stance *stances, size_t n_stances, const uint8_t *roll, size_t n, int64_t at, uint32_t num, uint32_t den,
	bool strict)
{
	uint8_t *word = n_stances ? ARENA_ARRAY(a, n + 1, uint8_t) : NULL;
	uint32_t said[BALLOT_CHOICE_COUNT] = { 0 }, admins = 0;
	if (!word)
		return BALLOT_NONE;
	memset(word, BALLOT_NONE, n);
	for (size_t i = 0; i < n_stances; i++)
		if (stances[i].at <= at && stances[i].member < n)
			word[stances[i].member] = stances[i].choice;
	for (size_t m = 0; m < n; m++) {
		if (!(roll[m] & BALLOT_ROLL_ADMIN))
			continue;
		admins++;
		said[word[m]]++;
	}
	return ballot_board_choice(said, admins, num, den, strict);
}
