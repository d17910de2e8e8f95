#include "terms_internal.h"

/* An agreement in plain words, as people see it before they vote. */

#define LINES_MAX 24

struct str span_words(struct arena *a, int64_t span)
{
	long long days = (long long)(span / CLOCK_DAY), hours = (long long)(span % CLOCK_DAY / CLOCK_HOUR), minutes = (long long)(span % CLOCK_HOUR / CLOCK_MINUTE);
	if (span < CLOCK_MINUTE)
		return STR("no time");
	struct str text = days ? str_fmt(a, "%lld day%s", days, days == 1 ? "" : "s") : STR("");
	if (hours)
		text = str_fmt(a, "%.*s%s%lld hour%s", STR_ARG(text), text.n ? ", " : "", hours, hours == 1 ? "" : "s");
	if (minutes)
		text = str_fmt(a, "%.*s%s%lld minute%s", STR_ARG(text), text.n ? ", " : "", minutes, minutes == 1 ? "" : "s");
	return text;
}

/* The lines as they are written. */
struct lines { struct arena *a; const struct agreement_terms *t; int us; struct agreement_words *at; size_t n; };

static void say(struct lines *l, const char *heading, struct str text)
{
	if (l->n < LINES_MAX)
		l->at[l->n++] = (struct agreement_words){ heading, text };
}

static void say_flow(struct lines *l)
{
	const struct agreement_terms *t = l->t;
	if (t->flow[0] && t->flow[1])
		say(l, "Direction", str_fmt(l->a, "%.*s and %.*s send each other what their members let pass.", STR_ARG(t->names[0]), STR_ARG(t->names[1])));
	else {
		int from = t->flow[0] ? 0 : 1;
		say(l, "Direction", str_fmt(l->a, "%.*s sends to %.*s; nothing goes the other way.", STR_ARG(t->names[from]), STR_ARG(t->names[!from])));
	}
	struct str each = t->cadence == CLOCK_DAY ? STR("day") : span_words(l->a, t->cadence);
	say(l, "How often", str_fmt(l->a, "Every %.*s. What came counts as lapsed when nothing new has arrived for %.*s.", STR_ARG(each), STR_ARG(span_words(l->a, t->freshness))));
}

static void say_what(struct lines *l)
{
	const struct agreement_terms *t = l->t;
	say(l, "Kinds", words_list(l->a, t->kinds, POLICY_KIND_COUNT, words_kind));
	say(l, "For", str_fmt(l->a, "%.*s; for %.*s", STR_ARG(words_list(l->a, t->uses, POLICY_USE_COUNT, words_use)), STR_ARG(words_list(l->a, t->purposes, POLICY_PURPOSE_COUNT, words_purpose))));
	if (t->floor)
		say(l, "Never for", str_fmt(l->a, "%.*s, whatever anybody says", STR_ARG(words_list(l->a, t->floor, POLICY_USE_COUNT, words_use))));
	say(l, "Licences", words_list(l->a, t->licences, POLICY_LICENCE_COUNT, licence_word));
}

static void say_releases(struct lines *l)
{
	const struct agreement_terms *t = l->t;
	struct str audience = charter_word("/release/audience", str_of(policy_audience_name(t->audience))), access = charter_word("/access/mode", str_of(policy_audience_name((unsigned)t->access)));
	say(l, "Who gets it", str_fmt(l->a, "Releases that hold what was exchanged are for %.*s at the widest, and are given to %.*s.", STR_ARG(audience), STR_ARG(access)));
	if (t->k > 1)
		say(l, "Fewest people", str_fmt(l->a, "Such a release holds contributions of at least %u people.", t->k));
	say(l, "Names", t->attribution == 0 ? STR("The other co-op learns no names of contributors.") :
		t->attribution == 1 ? STR("Contributors are known to the other co-op by a random name, the same towards nobody else.") :
		STR("Contributors who chose a public name are named by it; others by a random name."));
	say(l, "Joint releases", !t->joint.p ? STR("None: each co-op makes its own.") :
		str_fmt(l->a, "%.*s makes them, under the stricter rules of both; each needs a ballot in both co-ops. %s", STR_ARG(t->names[str_eq(t->joint, t->parties[1])]),
			t->licence_mode == POLICY_ADAPTATION ? "The whole gets one licence." : "Every contribution keeps its own licence."));
}

static void say_keeping(struct lines *l)
{
	const struct agreement_terms *t = l->t;
	if (t->embargo)
		say(l, "Wait", str_fmt(l->a, "A contribution waits %.*s before the other co-op may release it.", STR_ARG(span_words(l->a, t->embargo))));
	say(l, "Kept", t->retention ? str_fmt(l->a, "%.*s at most from when it was contributed.", STR_ARG(span_words(l->a, t->retention))) : STR("As long as what its own members contributed."));
	say(l, "Moderation", t->moderation_both ? STR("Each co-op looks at what it takes from the other, by its own rules.") : STR("What its home has let pass is good enough."));
	say(l, "Passing on", t->onward ? STR("What was taken may be passed on to the receiver’s own partners. They are held to these terms as well, are shown them, and pass nothing on themselves. Whose a record is and under which licence, they have by the receiver’s word.") : STR("What was taken is passed on to nobody."));
	say(l, "Near duplicates", str_fmt(l->a, "Nobody may lose more than %d per cent of their texts if near duplicates were left out.", t->near_loss));
	if (t->schemas)
		say(l, "Records", str_fmt(l->a, "How records of one co-op read at the other is laid down, version %lld.", (long long)json_int(json_get(t->schemas, "version"), 1)));
}

static void say_time(struct lines *l)
{
	const struct agreement_terms *t = l->t;
	say(l, "Time", str_fmt(l->a, "From %.*s, when both co-ops have passed and signed it, until %.*s. Either can suspend it at once, or end it with %.*s’ notice.",
		STR_ARG(words_day(l->a, t->starts)), STR_ARG(words_day(l->a, t->ends)), STR_ARG(span_words(l->a, t->notice))));
	say(l, "At the end", t->ending == AGREEMENT_ERASE ? STR("The receiver erases what it holds from the other.") :
		STR("The receiver keeps what it holds out of new releases; what was released stays as it is."));
	if (t->revision > 1)
		say(l, "Renewal", str_fmt(l->a, "This is revision %d and takes the place of the one before.", t->revision));
	if (l->us >= 0)
		say(l, "What stays", STR("Whoever says no, withdraws or has something erased in one co-op has done so for both. A no is never lifted by this agreement."));
}

enum err agreement_terms_words(struct arena *a, const struct agreement_terms *t, int us, struct agreement_words **out, size_t *n)
{
	struct lines l = { a, t, us, ARENA_ARRAY(a, LINES_MAX, struct agreement_words), 0 };
	say_flow(&l);
	say_what(&l);
	say_releases(&l);
	say_keeping(&l);
	say_time(&l);
	*out = l.at;
	*n = l.n;
	return ERR_OK;
}
