#include "agreement_internal.h"

/* The words of agreements, and the table of a revision's life: the one place that says what may follow what. */

static const char *const states[AGREEMENT_STATE_COUNT] = {
	"drafted", "proposed", "voting", "passed", "signed", "in_effect", "suspended", "ending", "ended", "rejected", "withdrawn", "expired", "renewed",
};

#define OVER (LIFECYCLE_BIT(AGREEMENT_ENDED) | LIFECYCLE_BIT(AGREEMENT_REJECTED) | LIFECYCLE_BIT(AGREEMENT_WITHDRAWN) | LIFECYCLE_BIT(AGREEMENT_EXPIRED) | LIFECYCLE_BIT(AGREEMENT_RENEWED))

/* What happens, and when it may. */
static const struct lifecycle_edge edges[] = {
	{ LIFECYCLE_BEGINNING, AGREEMENT_DRAFTED, "It is drafted here; the partner does not know of it.", "an admin writes it, with a confirmed peer, no looser than either charter" },
	{ LIFECYCLE_BEGINNING, AGREEMENT_PROPOSED, "The partner proposes it.", "a confirmed peer proposes it, no looser than either charter" },
	{ AGREEMENT_DRAFTED, AGREEMENT_PROPOSED, "It is proposed to the partner.", "an admin says so" },
	{ AGREEMENT_DRAFTED, AGREEMENT_WITHDRAWN, "The draft is put away.", "an admin says so" },
	{ AGREEMENT_PROPOSED, AGREEMENT_VOTING, "The members are asked.", "an admin says so, and it still fits the charter" },
	{ AGREEMENT_PROPOSED, AGREEMENT_REJECTED, "It is declined.", "an admin declines it, on either side, or the partner’s ballot failed" },
	{ AGREEMENT_PROPOSED, AGREEMENT_WITHDRAWN, "It is taken back.", "the side that proposed it takes it back" },
	{ AGREEMENT_PROPOSED, AGREEMENT_EXPIRED, "It was not signed in time.", "not signed by both in time" },
	{ AGREEMENT_VOTING, AGREEMENT_PASSED, "The members said yes.", "the ballot passed" },
	{ AGREEMENT_VOTING, AGREEMENT_REJECTED, "The members said no.", "the ballot failed, here or at the partner’s" },
	{ AGREEMENT_VOTING, AGREEMENT_WITHDRAWN, "It is taken back, and the ballot is cancelled.", "the side that proposed it takes it back" },
	{ AGREEMENT_VOTING, AGREEMENT_EXPIRED, "It was not signed in time.", "not signed by both in time" },
	{ AGREEMENT_PASSED, AGREEMENT_SIGNED, "This co-op’s assent is signed and sent.", "it still fits the charter" },
	{ AGREEMENT_PASSED, AGREEMENT_REJECTED, "It passed and could not be signed.", "it does not fit the charter any more, or the partner declined it" },
	{ AGREEMENT_PASSED, AGREEMENT_WITHDRAWN, "It is taken back.", "the side that proposed it takes it back" },
	{ AGREEMENT_PASSED, AGREEMENT_EXPIRED, "It was not signed in time.", "not signed by both in time" },
	{ AGREEMENT_SIGNED, AGREEMENT_IN_EFFECT, "It is in effect.", "both assents are there and the first day has come" },
	{ AGREEMENT_SIGNED, AGREEMENT_REJECTED, "The partner’s co-op said no.", "the partner declined it" },
	{ AGREEMENT_SIGNED, AGREEMENT_WITHDRAWN, "It is taken back.", "either side takes it back before it is in effect" },
	{ AGREEMENT_SIGNED, AGREEMENT_EXPIRED, "It was not signed in time.", "not signed by both in time" },
	{ AGREEMENT_IN_EFFECT, AGREEMENT_SUSPENDED, "It rests: nothing is sent or taken.", "an admin on either side says so, or it is looser than a charter that has changed" },
	{ AGREEMENT_IN_EFFECT, AGREEMENT_ENDING, "It will end when the notice is over.", "either side gives notice" },
	{ AGREEMENT_IN_EFFECT, AGREEMENT_ENDED, "It has ended.", "its last day has come, or the partner took it back before both had signed" },
	{ AGREEMENT_IN_EFFECT, AGREEMENT_RENEWED, "A later revision takes its place.", "both have signed the next revision and its first day has come" },
	{ AGREEMENT_SUSPENDED, AGREEMENT_IN_EFFECT, "It is in effect again.", "nobody wants it suspended any more, and it fits both charters" },
	{ AGREEMENT_SUSPENDED, AGREEMENT_ENDING, "It will end when the notice is over.", "either side gives notice" },
	{ AGREEMENT_SUSPENDED, AGREEMENT_ENDED, "It has ended.", "its last day has come" },
	{ AGREEMENT_SUSPENDED, AGREEMENT_RENEWED, "A later revision takes its place.", "both have signed the next revision and its first day has come" },
	{ AGREEMENT_ENDING, AGREEMENT_ENDED, "It has ended.", "the notice is over" },
	{ AGREEMENT_ENDING, AGREEMENT_RENEWED, "A later revision takes its place.", "both have signed the next revision and its first day has come" },
};

const struct lifecycle agreement_life = { .thing = "This agreement", .reason = "agreement_state", LIFECYCLE_TABLE(states, edges), .final = OVER };

const char *agreement_state_name(enum agreement_state s)
{
	return lifecycle_word(&agreement_life, (int)s);
}

bool agreement_state_parse(struct str word, enum agreement_state *out)
{
	int state = lifecycle_state(&agreement_life, word);
	if (state >= 0)
		*out = (enum agreement_state)state;
	return state >= 0;
}

bool agreement_over(enum agreement_state s)
{
	return (OVER & LIFECYCLE_BIT(s)) != 0;
}
