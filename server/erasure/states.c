#include "commonhold/erasure.h"

/* The words of requests, and the table of their life: the one place that says what may follow what. */

static const char *const kinds[ERASURE_KIND_COUNT] = { "erase", "withdraw_future", "embargo", "correct" };
static const char *const scopes[ERASURE_SCOPE_COUNT] = { "items", "coop", "account" };
static const char *const askers[ERASURE_ASKER_COUNT] = { "member", "agent", "subject", "rule", "partner" };
static const char *const states[ERASURE_STATE_COUNT] = { "received", "verified", "effective", "purged", "propagating", "completed", "denied", "cancelled" };

#define BEGINNING (-1)

static const struct edge {
	int from;             /* BEGINNING, or enum erasure_state */
	enum erasure_state to;
	const char *guard;    /* when it may be taken */
	const char *sentence; /* what happens, for people */
} edges[] = {
	{ BEGINNING, ERASURE_RECEIVED, "always", "Somebody asks." },
	{ ERASURE_RECEIVED, ERASURE_VERIFIED, "an account says that an item is about them: at once", "The items of a claim are restricted, and an admin answers within the month." },
	{ ERASURE_RECEIVED, ERASURE_EFFECTIVE, "it is sure that the person wants it: at once where they ask themselves, or let an agent act alone; otherwise when they confirm in time",
	  "It counts in every decision from then on." },
	{ ERASURE_RECEIVED, ERASURE_DENIED, "the confirmation did not come in time, or an admin says why not", "It is denied with a code and a reason." },
	{ ERASURE_RECEIVED, ERASURE_CANCELLED, "asked by whoever asked, or by the person", "It is taken back." },
	{ ERASURE_VERIFIED, ERASURE_EFFECTIVE, "an admin accepts", "The claim is accepted, and counts from then on." },
	{ ERASURE_VERIFIED, ERASURE_DENIED, "an admin denies, with a code and a reason", "The claim is denied; it can be taken to a ballot." },
	{ ERASURE_VERIFIED, ERASURE_CANCELLED, "asked by whoever claimed", "The claim is taken back, and the restriction ends." },
	{ ERASURE_DENIED, ERASURE_EFFECTIVE, "a ballot on the appeal passed", "The members overrule the denial, and it counts from then on." },
	{ ERASURE_EFFECTIVE, ERASURE_PURGED, "content goes, and all of it that the law lets go is gone", "The content, what was derived from it and the files that held it are gone here." },
	{ ERASURE_EFFECTIVE, ERASURE_PROPAGATING, "content stays, only its future is decided", "Recipients are told." },
	{ ERASURE_PURGED, ERASURE_PROPAGATING, "always", "Recipients are told to delete it too." },
	{ ERASURE_PROPAGATING, ERASURE_COMPLETED, "every recipient has confirmed, or what can be done about those who did not is done", "It is completed." },
	{ ERASURE_EFFECTIVE, ERASURE_CANCELLED, "an embargo, asked by whoever it is about", "The embargo ends before its day." },
	{ ERASURE_PROPAGATING, ERASURE_CANCELLED, "an embargo, asked by whoever it is about", "The embargo ends before its day." },
	{ ERASURE_COMPLETED, ERASURE_CANCELLED, "an embargo, asked by whoever it is about", "The embargo ends before its day." },
};

static const char *name_of(const char *const *names, size_t n, unsigned no)
{
	return no < n ? names[no] : "unknown";
}

static bool find(const char *const *names, size_t n, struct str word, int *out)
{
	for (size_t i = 0; i < n; i++)
		if (str_is(word, names[i])) {
			*out = (int)i;
			return true;
		}
	return false;
}

const char *erasure_kind_name(enum erasure_kind k)
{
	return name_of(kinds, CH_LEN(kinds), (unsigned)k);
}

const char *erasure_scope_name(enum erasure_scope s)
{
	return name_of(scopes, CH_LEN(scopes), (unsigned)s);
}

const char *erasure_asker_name(enum erasure_asker a)
{
	return name_of(askers, CH_LEN(askers), (unsigned)a);
}

const char *erasure_state_name(enum erasure_state s)
{
	return name_of(states, CH_LEN(states), (unsigned)s);
}

bool erasure_kind_parse(struct str word, enum erasure_kind *out)
{
	int no = 0;
	bool found = find(kinds, CH_LEN(kinds), word, &no);
	*out = (enum erasure_kind)no;
	return found;
}

bool erasure_state_parse(struct str word, enum erasure_state *out)
{
	int no = 0;
	bool found = find(states, CH_LEN(states), word, &no);
	*out = (enum erasure_state)no;
	return found;
}

const char *erasure_reason_words(struct str code)
{
#define X(word, text) if (str_is(code, #word)) return text;
	ERASURE_REASONS(X)
#undef X
	return NULL;
}

const char *erasure_denial_words(struct str code)
{
#define X(word, text) if (str_is(code, #word)) return text;
	ERASURE_DENIALS(X)
#undef X
	return NULL;
}

bool erasure_over(enum erasure_state s)
{
	return s == ERASURE_COMPLETED || s == ERASURE_DENIED || s == ERASURE_CANCELLED;
}

bool erasure_edge_exists(enum erasure_state from, enum erasure_state to)
{
	for (size_t i = 0; i < CH_LEN(edges); i++)
		if (edges[i].from == (int)from && edges[i].to == to)
			return true;
	return false;
}

size_t erasure_edge_count(void)
{
	return CH_LEN(edges);
}

const char *erasure_edge_sentence(size_t i, const char **from, const char **to, const char **guard)
{
	if (i >= CH_LEN(edges))
		return NULL;
	*from = edges[i].from == BEGINNING ? "" : states[edges[i].from];
	*to = states[edges[i].to];
	*guard = edges[i].guard;
	return edges[i].sentence;
}

bool erasure_table_ok(void)
{
	bool entered[ERASURE_STATE_COUNT] = { false }, left[ERASURE_STATE_COUNT] = { false };
	for (size_t i = 0; i < CH_LEN(edges); i++) {
		if (edges[i].from < BEGINNING || edges[i].from >= ERASURE_STATE_COUNT || (unsigned)edges[i].to >= ERASURE_STATE_COUNT || edges[i].from == (int)edges[i].to)
			return false;
		for (size_t j = 0; j < i; j++)
			if (edges[j].from == edges[i].from && edges[j].to == edges[i].to)
				return false;
		entered[edges[i].to] = true;
		if (edges[i].from != BEGINNING)
			left[edges[i].from] = true;
	}
	for (int s = 0; s < ERASURE_STATE_COUNT; s++)
		if (!entered[s] || (!left[s] && !erasure_over((enum erasure_state)s)))
			return false;
	return true;
}
