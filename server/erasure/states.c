#include "commonhold/erasure.h"

/* The words of requests, and the table of their life: the one place that says what may follow what. */

static const char *const kinds[ERASURE_KIND_COUNT] = { "erase", "withdraw_future", "embargo", "correct" };
static const char *const scopes[ERASURE_SCOPE_COUNT] = { "items", "coop", "account" };
static const char *const askers[ERASURE_ASKER_COUNT] = { "member", "agent", "subject", "rule", "partner" };
static const char *const states[ERASURE_STATE_COUNT] = { "received", "verified", "effective", "purged", "propagating", "completed", "denied", "cancelled" };

/* What happens, and when it may. */
static const struct lifecycle_edge edges[] = {
	{ LIFECYCLE_BEGINNING, ERASURE_RECEIVED, "Somebody asks.", "always" },
	{ ERASURE_RECEIVED, ERASURE_VERIFIED, "The items of a claim are restricted, and an admin answers within the month.", "an account says that an item is about them: at once" },
	{ ERASURE_RECEIVED, ERASURE_EFFECTIVE, "It counts in every decision from then on.",
	  "it is sure that the person wants it: at once where they ask themselves, or let an agent act alone; otherwise when they confirm in time" },
	{ ERASURE_RECEIVED, ERASURE_DENIED, "It is denied with a code and a reason.", "the confirmation did not come in time, or an admin says why not" },
	{ ERASURE_RECEIVED, ERASURE_CANCELLED, "It is taken back.", "asked by whoever asked, or by the person" },
	{ ERASURE_VERIFIED, ERASURE_EFFECTIVE, "The claim is accepted, and counts from then on.", "an admin accepts" },
	{ ERASURE_VERIFIED, ERASURE_DENIED, "The claim is denied; it can be taken to a ballot.", "an admin denies, with a code and a reason" },
	{ ERASURE_VERIFIED, ERASURE_CANCELLED, "The claim is taken back, and the restriction ends.", "asked by whoever claimed" },
	{ ERASURE_DENIED, ERASURE_EFFECTIVE, "The members overrule the denial, and it counts from then on.", "a ballot on the appeal passed" },
	{ ERASURE_EFFECTIVE, ERASURE_PURGED, "The content, what was derived from it and the files that held it are gone here.", "content goes, and all of it that the law lets go is gone" },
	{ ERASURE_EFFECTIVE, ERASURE_PROPAGATING, "Recipients are told.", "content stays, only its future is decided" },
	{ ERASURE_PURGED, ERASURE_PROPAGATING, "Recipients are told to delete it too.", "always" },
	{ ERASURE_PROPAGATING, ERASURE_COMPLETED, "It is completed.", "every recipient has confirmed, or what can be done about those who did not is done" },
	{ ERASURE_EFFECTIVE, ERASURE_CANCELLED, "The embargo ends before its day.", "an embargo, asked by whoever it is about" },
	{ ERASURE_PROPAGATING, ERASURE_CANCELLED, "The embargo ends before its day.", "an embargo, asked by whoever it is about" },
	{ ERASURE_COMPLETED, ERASURE_CANCELLED, "The embargo ends before its day.", "an embargo, asked by whoever it is about" },
};

const struct lifecycle erasure_life = { .thing = "This request", .reason = "wrong_state", LIFECYCLE_TABLE(states, edges), .final = LIFECYCLE_BIT(ERASURE_CANCELLED) };

static const char *name_of(const char *const *names, size_t n, unsigned no)
{
	return no < n ? names[no] : "unknown";
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
	return lifecycle_word(&erasure_life, (int)s);
}

bool erasure_kind_parse(struct str word, enum erasure_kind *out)
{
	int kind = str_which(word, kinds, CH_LEN(kinds));
	*out = kind < 0 ? ERASURE_ERASE : (enum erasure_kind)kind;
	return kind >= 0;
}

bool erasure_state_parse(struct str word, enum erasure_state *out)
{
	int state = lifecycle_state(&erasure_life, word);
	*out = state < 0 ? ERASURE_RECEIVED : (enum erasure_state)state;
	return state >= 0;
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
