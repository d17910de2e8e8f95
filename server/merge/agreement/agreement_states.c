#include "agreement_internal.h"

/* The words of agreements, and the table of a revision's life: the one place that says what may follow what. */

static const char *const states[AGREEMENT_STATE_COUNT] = {
	"drafted", "proposed", "voting", "passed", "signed", "in_effect", "suspended", "ending", "ended", "rejected", "withdrawn", "expired", "renewed",
};

#define BEGINNING (-1)

static const struct edge {
	int from;                /* BEGINNING, or enum agreement_state */
	enum agreement_state to;
	const char *guard;       /* when it may be taken */
	const char *sentence;    /* what happens, for people */
} edges[] = {
	{ BEGINNING, AGREEMENT_DRAFTED, "an admin writes it, with a confirmed peer, no looser than either charter", "It is drafted here; the partner does not know of it." },
	{ BEGINNING, AGREEMENT_PROPOSED, "a confirmed peer proposes it, no looser than either charter", "The partner proposes it." },
	{ AGREEMENT_DRAFTED, AGREEMENT_PROPOSED, "an admin says so", "It is proposed to the partner." },
	{ AGREEMENT_DRAFTED, AGREEMENT_WITHDRAWN, "an admin says so", "The draft is put away." },
	{ AGREEMENT_PROPOSED, AGREEMENT_VOTING, "an admin says so, and it still fits the charter", "The members are asked." },
	{ AGREEMENT_PROPOSED, AGREEMENT_REJECTED, "an admin declines it, on either side, or the partner’s ballot failed", "It is declined." },
	{ AGREEMENT_PROPOSED, AGREEMENT_WITHDRAWN, "the side that proposed it takes it back", "It is taken back." },
	{ AGREEMENT_PROPOSED, AGREEMENT_EXPIRED, "not signed by both in time", "It was not signed in time." },
	{ AGREEMENT_VOTING, AGREEMENT_PASSED, "the ballot passed", "The members said yes." },
	{ AGREEMENT_VOTING, AGREEMENT_REJECTED, "the ballot failed, here or at the partner’s", "The members said no." },
	{ AGREEMENT_VOTING, AGREEMENT_WITHDRAWN, "the side that proposed it takes it back", "It is taken back, and the ballot is cancelled." },
	{ AGREEMENT_VOTING, AGREEMENT_EXPIRED, "not signed by both in time", "It was not signed in time." },
	{ AGREEMENT_PASSED, AGREEMENT_SIGNED, "it still fits the charter", "This co-op’s assent is signed and sent." },
	{ AGREEMENT_PASSED, AGREEMENT_REJECTED, "it does not fit the charter any more, or the partner declined it", "It passed and could not be signed." },
	{ AGREEMENT_PASSED, AGREEMENT_WITHDRAWN, "the side that proposed it takes it back", "It is taken back." },
	{ AGREEMENT_PASSED, AGREEMENT_EXPIRED, "not signed by both in time", "It was not signed in time." },
	{ AGREEMENT_SIGNED, AGREEMENT_IN_EFFECT, "both assents are there and the first day has come", "It is in effect." },
	{ AGREEMENT_SIGNED, AGREEMENT_REJECTED, "the partner declined it", "The partner’s co-op said no." },
	{ AGREEMENT_SIGNED, AGREEMENT_WITHDRAWN, "either side takes it back before it is in effect", "It is taken back." },
	{ AGREEMENT_SIGNED, AGREEMENT_EXPIRED, "not signed by both in time", "It was not signed in time." },
	{ AGREEMENT_IN_EFFECT, AGREEMENT_SUSPENDED, "an admin on either side says so, or it is looser than a charter that has changed", "It rests: nothing is sent or taken." },
	{ AGREEMENT_IN_EFFECT, AGREEMENT_ENDING, "either side gives notice", "It will end when the notice is over." },
	{ AGREEMENT_IN_EFFECT, AGREEMENT_ENDED, "its last day has come, or the partner took it back before both had signed", "It has ended." },
	{ AGREEMENT_IN_EFFECT, AGREEMENT_RENEWED, "both have signed the next revision and its first day has come", "A later revision takes its place." },
	{ AGREEMENT_SUSPENDED, AGREEMENT_IN_EFFECT, "nobody wants it suspended any more, and it fits both charters", "It is in effect again." },
	{ AGREEMENT_SUSPENDED, AGREEMENT_ENDING, "either side gives notice", "It will end when the notice is over." },
	{ AGREEMENT_SUSPENDED, AGREEMENT_ENDED, "its last day has come", "It has ended." },
	{ AGREEMENT_SUSPENDED, AGREEMENT_RENEWED, "both have signed the next revision and its first day has come", "A later revision takes its place." },
	{ AGREEMENT_ENDING, AGREEMENT_ENDED, "the notice is over", "It has ended." },
	{ AGREEMENT_ENDING, AGREEMENT_RENEWED, "both have signed the next revision and its first day has come", "A later revision takes its place." },
};

const char *agreement_state_name(enum agreement_state s)
{
	return (unsigned)s < AGREEMENT_STATE_COUNT ? states[s] : "unknown";
}

bool agreement_state_parse(struct str word, enum agreement_state *out)
{
	for (int i = 0; i < AGREEMENT_STATE_COUNT; i++)
		if (str_is(word, states[i])) {
			*out = (enum agreement_state)i;
			return true;
		}
	return false;
}

bool agreement_over(enum agreement_state s)
{
	return s >= AGREEMENT_ENDED;
}

bool agreement_edge_exists(enum agreement_state from, enum agreement_state to)
{
	for (size_t i = 0; i < CH_LEN(edges); i++)
		if (edges[i].from == (int)from && edges[i].to == to)
			return true;
	return false;
}

size_t agreement_edge_count(void)
{
	return CH_LEN(edges);
}

const char *agreement_edge_sentence(size_t i, const char **from, const char **to, const char **guard)
{
	if (i >= CH_LEN(edges))
		return NULL;
	*from = edges[i].from == BEGINNING ? "" : states[edges[i].from];
	*to = states[edges[i].to];
	*guard = edges[i].guard;
	return edges[i].sentence;
}

bool agreement_table_ok(void)
{
	bool entered[AGREEMENT_STATE_COUNT] = { false }, left[AGREEMENT_STATE_COUNT] = { false };
	for (size_t i = 0; i < CH_LEN(edges); i++) {
		if (edges[i].from < BEGINNING || edges[i].from >= AGREEMENT_STATE_COUNT || (unsigned)edges[i].to >= AGREEMENT_STATE_COUNT || edges[i].from == (int)edges[i].to)
			return false;
		if (edges[i].from != BEGINNING && agreement_over((enum agreement_state)edges[i].from))
			return false;
		for (size_t j = 0; j < i; j++)
			if (edges[j].from == edges[i].from && edges[j].to == edges[i].to)
				return false;
		entered[edges[i].to] = true;
		if (edges[i].from != BEGINNING)
			left[edges[i].from] = true;
	}
	for (int s = 0; s < AGREEMENT_STATE_COUNT; s++)
		if (!entered[s] || (!left[s] && !agreement_over((enum agreement_state)s)))
			return false;
	return true;
}
