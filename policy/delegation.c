/*
 * delegation.c - linear colouring of the graph of delegations.
 *
 * Every member has at most one effective edge, so following edges from anyone ends in a decision, in
 * silence or in a circle. Each member is visited once; what was found is written back along the way.
 */
#include "policy/internal.h"

static const struct {
	const char *name; /* stable word */
	const char *text; /* a clause for people */
} via_words[POLICY_VIA_COUNT] = {
#define X(sym, name, text) [POLICY_VIA_##sym] = {name, text},
	POLICY_VIAS(X)
#undef X
};

const char *policy_via_name(unsigned via)
{
	return via < POLICY_VIA_COUNT ? via_words[via].name : NULL;
}

const char *policy_via_text(unsigned via)
{
	return via < POLICY_VIA_COUNT ? via_words[via].text : NULL;
}

/* Where the way from a member ends, as those who delegate to it see it. */
struct end {
	uint32_t decider; /* who decided, if `via` is DECIDED */
	uint8_t via;      /* DECIDED, SILENT or CYCLE; NONE while not visited */
	uint8_t far;      /* hops to the end, at most 255 */
	uint8_t on_way;   /* 1 while it lies on the way being followed */
};

bool policy__edge_sound(const struct policy_edge *edge, size_t n)
{
	return edge->principal < n && edge->principal != edge->delegate &&
	       (edge->delegate < n || edge->delegate == POLICY_BOARD || edge->delegate == POLICY_NOBODY) &&
	       edge->scope < POLICY_SCOPE_COUNT && (edge->scope != POLICY_SCOPE_TOPIC || edge->topics != 0) &&
	       edge->starts < edge->ends;
}

static bool covers(const struct policy_edge *edge, const struct policy_ask *ask)
{
	switch (edge->scope) {
	case POLICY_SCOPE_COOP:
		return true;
	case POLICY_SCOPE_TOPIC:
		return ask->topic < 32 && edge->topics >> ask->topic & 1;
	default:
		return edge->target == ask->target;
	}
}

/* Why an edge does not count, or NONE if it does. */
static enum policy_via dropped_by(const struct policy_edge *edge, const struct policy_voices *voices,
                                  const struct policy_ask *ask)
{
	if (edge->revoked_at <= ask->at)
		return POLICY_VIA_REVOKED;
	if (edge->starts > ask->at || edge->ends <= ask->at)
		return POLICY_VIA_EXPIRED;
	if (edge->accepted_at > ask->at)
		return POLICY_VIA_UNACCEPTED;
	if (edge->delegate == POLICY_BOARD && !ask->board_active)
		return POLICY_VIA_EXPIRED;
	if (voices->active && (!voices->active[edge->principal] ||
	                       (edge->delegate < voices->n && !voices->active[edge->delegate])))
		return POLICY_VIA_EXPIRED;
	return covers(edge, ask) ? POLICY_VIA_NONE : POLICY_VIA_SCOPE;
}

/* Whether edge a goes before edge b: more specific, later accepted, higher id. */
static bool goes_before(const struct policy_edge *a, const struct policy_edge *b)
{
	if (a->scope != b->scope)
		return a->scope > b->scope;
	if (a->accepted_at != b->accepted_at)
		return a->accepted_at > b->accepted_at;
	return a->id > b->id;
}

/* A fault outranks everything; an edge that reaches this question outranks one that does not. */
static bool drop_goes_before(const struct policy_edge *edges, uint32_t a, enum policy_via why_a, uint32_t b,
                             enum policy_via why_b)
{
	if ((why_a == POLICY_VIA_FAULTY) != (why_b == POLICY_VIA_FAULTY))
		return why_a == POLICY_VIA_FAULTY;
	if ((why_a == POLICY_VIA_SCOPE) != (why_b == POLICY_VIA_SCOPE))
		return why_b == POLICY_VIA_SCOPE;
	return goes_before(&edges[a], &edges[b]);
}

static void choose_edges(const struct policy_edge *edges, size_t n_edges, const struct policy_voices *voices,
                         const struct policy_ask *ask, uint32_t *drops, struct policy_path *out)
{
	for (size_t i = 0; i < n_edges; i++) {
		const struct policy_edge *edge = &edges[i];
		if (edge->question != ask->question || edge->principal >= voices->n)
			continue;
		struct policy_path *path = &out[edge->principal];
		enum policy_via why = POLICY_VIA_FAULTY;
		if (policy__edge_sound(edge, voices->n)) {
			why = dropped_by(edge, voices, ask);
			if (why != POLICY_VIA_NONE && why != POLICY_VIA_SCOPE && !covers(edge, ask))
				continue;
		}
		if (why == POLICY_VIA_NONE) {
			if (path->edge == POLICY_NO_EDGE || goes_before(edge, &edges[path->edge]))
				path->edge = (uint32_t)i;
			continue;
		}
		uint32_t *drop = &drops[edge->principal];
		if (*drop == POLICY_NO_EDGE || drop_goes_before(edges, (uint32_t)i, why, *drop, path->dropped)) {
			*drop = (uint32_t)i;
			path->dropped = (uint8_t)why;
		}
	}
}

static uint8_t one_further(uint8_t far)
{
	return far < UINT8_MAX ? (uint8_t)(far + 1) : far;
}

/* Where a member's way goes on: a member's number, or why it goes no further. Kept apart from the edges so that
 * following a way touches four bytes a hop. */
enum { STOP_SILENT = -1, STOP_DECIDED = -2, TO_BOARD = -3 };

static void find_nexts(const struct policy_edge *edges, const struct policy_voices *voices,
                       const struct policy_path *paths, int32_t *next)
{
	for (size_t m = 0; m < voices->n; m++) {
		uint32_t delegate = paths[m].edge == POLICY_NO_EDGE ? POLICY_NOBODY : edges[paths[m].edge].delegate;
		if (voices->decided && voices->decided[m])
			next[m] = STOP_DECIDED;
		else if (delegate == POLICY_NOBODY)
			next[m] = STOP_SILENT;
		else
			next[m] = delegate == POLICY_BOARD ? TO_BOARD : (int32_t)delegate;
	}
}

static struct end board_end(const struct policy_voices *voices)
{
	bool decided = voices->decided && voices->decided[voices->n];
	return (struct end){POLICY_BOARD, decided ? POLICY_VIA_DECIDED : POLICY_VIA_SILENT, 0, 0};
}

static void colour(const struct policy_voices *voices, const int32_t *next, uint32_t *way, struct end *ends)
{
	for (uint32_t start = 0; start < voices->n; start++) {
		size_t len = 0;
		uint32_t at = start;
		struct end end;
		for (;;) {
			if (ends[at].on_way) {
				end = (struct end){POLICY_NO_DECIDER, POLICY_VIA_CYCLE, 0, 0};
				break;
			}
			if (ends[at].via != POLICY_VIA_NONE) {
				end = ends[at];
				break;
			}
			int32_t to = next[at];
			if (to == STOP_SILENT || to == STOP_DECIDED) {
				end = (struct end){at, to == STOP_DECIDED ? POLICY_VIA_DECIDED : POLICY_VIA_SILENT, 0, 0};
				ends[at] = end;
				break;
			}
			ends[at].on_way = 1;
			way[len++] = at;
			if (to == TO_BOARD) {
				end = board_end(voices);
				break;
			}
			at = (uint32_t)to;
		}
		while (len-- > 0) {
			end.far = one_further(end.far);
			ends[way[len]] = end;
		}
	}
}

static void conclude(const struct policy_edge *edges, const struct policy_voices *voices,
                     const struct policy_ask *ask, const struct end *ends, struct policy_path *out)
{
	for (uint32_t m = 0; m < voices->n; m++) {
		struct policy_path *path = &out[m];
		if (voices->decided && voices->decided[m] && !voices->beyond_own) {
			path->via = POLICY_VIA_OWN;
			path->decider = m;
			continue;
		}
		if (path->edge == POLICY_NO_EDGE)
			continue;
		uint32_t delegate = edges[path->edge].delegate;
		if (delegate == POLICY_NOBODY) {
			path->via = POLICY_VIA_NOBODY;
			continue;
		}
		struct end end = delegate == POLICY_BOARD ? board_end(voices) : ends[delegate];
		end.far = one_further(end.far);
		if (end.via == POLICY_VIA_DECIDED && end.decider == m)
			end.via = POLICY_VIA_CYCLE; /* the chain of someone who has decided leads back to them */
		path->hops = end.far;
		path->via = end.via != POLICY_VIA_CYCLE && end.far > ask->depth ? POLICY_VIA_DEPTH : end.via;
		if (path->via == POLICY_VIA_DECIDED)
			path->decider = end.decider;
	}
}

/* When a representation came to be: the latest acceptance on its path, then its length, then its own edge.
 * Whoever is represented through another comes after them, so a cut never leaves a chain hanging. */
struct seniority {
	policy_instant latest; /* latest acceptance on the path */
	uint64_t latest_id;    /* that edge */
	policy_instant own;    /* acceptance of the member's own edge */
	uint64_t own_id;       /* that edge */
	uint32_t decider;      /* whom it counts against */
	uint32_t member;       /* who is represented */
	uint8_t hops;          /* length of the path */
};

static bool is_senior(const void *ctx, uint32_t a, uint32_t b)
{
	const struct seniority *x = (const struct seniority *)ctx + a, *y = (const struct seniority *)ctx + b;
	if (x->decider != y->decider)
		return x->decider < y->decider;
	if (x->latest != y->latest)
		return x->latest < y->latest;
	if (x->latest_id != y->latest_id)
		return x->latest_id < y->latest_id;
	if (x->hops != y->hops)
		return x->hops < y->hops;
	if (x->own != y->own)
		return x->own < y->own;
	if (x->own_id != y->own_id)
		return x->own_id < y->own_id;
	return x->member < y->member;
}

static struct seniority seniority_of(const struct policy_edge *edges, const struct policy_path *paths, uint32_t member)
{
	const struct policy_edge *own = &edges[paths[member].edge], *edge = own;
	struct seniority s = {own->accepted_at, own->id, own->accepted_at, own->id, paths[member].decider, member,
	                      paths[member].hops};
	for (unsigned hop = 1; hop < paths[member].hops; hop++) {
		edge = &edges[paths[edge->delegate].edge];
		if (edge->accepted_at > s.latest || (edge->accepted_at == s.latest && edge->id > s.latest_id)) {
			s.latest = edge->accepted_at;
			s.latest_id = edge->id;
		}
	}
	return s;
}

static bool represented(const struct policy_path *path)
{
	return path->via == POLICY_VIA_DECIDED && path->decider != POLICY_BOARD;
}

static enum policy_status cut_overflow(const struct policy_edge *edges, size_t n, uint32_t cap,
                                       struct policy_mem *mem, struct policy_path *out)
{
	uint32_t *load = policy__zalloc(mem, n, sizeof *load);
	if (!load)
		return POLICY_NO_MEMORY;
	for (size_t m = 0; m < n; m++)
		if (represented(&out[m]))
			load[out[m].decider]++;
	size_t many = 0;
	for (size_t m = 0; m < n; m++)
		many += represented(&out[m]) && load[out[m].decider] > cap;
	if (many == 0)
		return POLICY_OK;
	struct seniority *line = policy__alloc(mem, many, sizeof *line);
	uint32_t *order = policy__alloc(mem, many, sizeof *order);
	if (!line || !order)
		return POLICY_NO_MEMORY;
	many = 0;
	for (uint32_t m = 0; m < n; m++)
		if (represented(&out[m]) && load[out[m].decider] > cap) {
			order[many] = (uint32_t)many;
			line[many++] = seniority_of(edges, out, m);
		}
	policy__sort(order, many, is_senior, line);
	uint32_t taken = 0;
	for (size_t i = 0; i < many; i++) {
		if (i > 0 && line[order[i]].decider != line[order[i - 1]].decider)
			taken = 0;
		if (taken++ >= cap) {
			struct policy_path *path = &out[line[order[i]].member];
			path->via = POLICY_VIA_CAP;
			path->decider = POLICY_NO_DECIDER;
		}
	}
	return POLICY_OK;
}

enum policy_status policy_delegation_resolve(const struct policy_edge *edges, size_t n_edges,
                                             const struct policy_voices *voices, const struct policy_ask *ask,
                                             struct policy_mem *mem, struct policy_path *out)
{
	size_t n = voices->n;
	if (n >= POLICY_MEMBERS_MAX || n_edges >= POLICY_NO_EDGE || ask->depth < 1 || ask->depth > POLICY_DEPTH_MAX)
		return POLICY_INVALID;
	uint32_t *scratch = policy__alloc(mem, n, sizeof *scratch);
	int32_t *next = policy__alloc(mem, n, sizeof *next);
	struct end *ends = policy__zalloc(mem, n, sizeof *ends);
	if (!scratch || !next || !ends)
		return POLICY_NO_MEMORY;
	for (size_t m = 0; m < n; m++) {
		out[m] = (struct policy_path){POLICY_NO_DECIDER, POLICY_NO_EDGE, POLICY_VIA_NONE, 0, POLICY_VIA_NONE, 0};
		scratch[m] = POLICY_NO_EDGE;
	}
	choose_edges(edges, n_edges, voices, ask, scratch, out);
	find_nexts(edges, voices, out, next);
	colour(voices, next, scratch, ends);
	conclude(edges, voices, ask, ends, out);
	return ask->cap ? cut_overflow(edges, n, ask->cap, mem, out) : POLICY_OK;
}

size_t policy_delegation_path(const struct policy_edge *edges, const struct policy_path *paths, size_t n,
                              uint32_t member, uint32_t *out, size_t cap)
{
	if (member >= n || paths[member].edge == POLICY_NO_EDGE || paths[member].via == POLICY_VIA_OWN)
		return 0;
	size_t limit = paths[member].via != POLICY_VIA_CYCLE && paths[member].hops < cap ? paths[member].hops : cap;
	size_t len = 0;
	for (uint32_t at = member; len < limit && at < n && paths[at].edge != POLICY_NO_EDGE;) {
		at = edges[paths[at].edge].delegate;
		if (at == POLICY_NOBODY)
			break;
		out[len++] = at;
		if (at == member)
			break;
	}
	return len;
}

bool policy_delegation_would_cycle(const struct policy_edge *edges, const struct policy_path *paths, size_t n,
                                   const struct policy_edge *edge)
{
	uint32_t at = edge->delegate;
	for (size_t steps = 0; steps <= n && at < n; steps++) {
		if (at == edge->principal)
			return true;
		if (paths[at].edge == POLICY_NO_EDGE)
			return false;
		at = edges[paths[at].edge].delegate;
	}
	return false;
}

enum policy_status policy_delegation_concentration(const struct policy_path *paths, size_t n,
                                                   struct policy_mem *mem, struct policy_concentration *out)
{
	*out = (struct policy_concentration){.delegate = POLICY_NO_DECIDER};
	uint32_t *load = policy__zalloc(mem, n + 1, sizeof *load);
	uint8_t *decides = policy__zalloc(mem, n + 1, sizeof *decides);
	if (!load || !decides)
		return POLICY_NO_MEMORY;
	for (size_t m = 0; m < n; m++) {
		if (paths[m].decider == POLICY_NO_DECIDER)
			continue;
		size_t who = paths[m].decider < n ? paths[m].decider : n;
		decides[who] = 1;
		if (paths[m].via == POLICY_VIA_DECIDED) {
			load[who]++;
			out->delegated++;
		}
	}
	for (size_t who = 0; who <= n; who++) {
		out->deciders += decides[who];
		if (load[who] > out->largest) {
			out->largest = load[who];
			out->delegate = who < n ? (uint32_t)who : POLICY_BOARD;
		}
	}
	return POLICY_OK;
}
