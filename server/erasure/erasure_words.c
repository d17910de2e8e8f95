#include "server/erasure/erasure_web.h"

#include "commonhold/words.h"

/* The words of a request's life, for people. */

static struct str items_words(struct arena *a, int64_t n)
{
	return n == 1 ? STR("one contribution") : str_fmt(a, "%.*s contributions", STR_ARG(words_count(a, n)));
}

struct str erasure_what(struct arena *a, const struct erasure *e)
{
	struct str items = e->scope == ERASURE_ACCOUNT ? STR("everything, with the account") : e->scope == ERASURE_COOP ? STR("everything in this co-op") : items_words(a, e->n_items);
	switch (e->kind) {
	case ERASURE_WITHDRAW_FUTURE:
		return str_fmt(a, "Keep %.*s out of new releases", STR_ARG(items));
	case ERASURE_EMBARGO:
		return str_fmt(a, "Keep %.*s back until %.*s", STR_ARG(items), STR_ARG(words_day(a, e->until)));
	case ERASURE_CORRECT:
		return STR("Put something better in the place of one contribution");
	default:
		return str_fmt(a, "Erase %.*s", STR_ARG(items));
	}
}

const char *erasure_state_words(const struct erasure *e)
{
	switch (e->state) {
	case ERASURE_RECEIVED:
		return "waits for a yes";
	case ERASURE_VERIFIED:
		return "waits for an admin";
	case ERASURE_EFFECTIVE:
		return "in force";
	case ERASURE_PURGED:
		return "erased here";
	case ERASURE_PROPAGATING:
		return "carried to copies";
	case ERASURE_COMPLETED:
		return e->kind == ERASURE_EMBARGO ? clock_now() < e->until ? "kept back" : "over" : e->kind == ERASURE_WITHDRAW_FUTURE ? "in force" : "done";
	case ERASURE_DENIED:
		return "turned down";
	case ERASURE_CANCELLED:
		return e->kind == ERASURE_EMBARGO && e->effective_at != INSTANT_NONE ? "ended early" : "taken back";
	default:
		return "";
	}
}

const char *erasure_badge(const struct erasure *e)
{
	static const char *const badges[ERASURE_STATE_COUNT] = {
		[ERASURE_RECEIVED] = "hold", [ERASURE_VERIFIED] = "hold", [ERASURE_EFFECTIVE] = "info", [ERASURE_PURGED] = "info", [ERASURE_PROPAGATING] = "info",
		[ERASURE_COMPLETED] = "include", [ERASURE_DENIED] = "exclude", [ERASURE_CANCELLED] = "neutral",
	};
	if (e->state == ERASURE_COMPLETED && e->kind == ERASURE_EMBARGO)
		return clock_now() < e->until ? "conditional" : "neutral";
	return (unsigned)e->state < ERASURE_STATE_COUNT ? badges[e->state] : "neutral";
}

static struct str waiting_words(struct arena *a, const struct where *where)
{
	int64_t open = where->counts.total - where->counts.confirmed;
	if (!where->counts.total)
		return STR("Nobody outside the co-op has to confirm anything.");
	if (!open)
		return STR("Everybody who had to confirm has.");
	struct str late = !where->counts.overdue ? STR("none is") : where->counts.overdue == 1 ? STR("one is") : str_fmt(a, "%lld are", (long long)where->counts.overdue);
	return str_fmt(a, "%.*s of %.*s who must confirm have; %.*s overdue.", STR_ARG(words_count(a, where->counts.confirmed)), STR_ARG(words_count(a, where->counts.total)), STR_ARG(late));
}

static struct str force_words(struct arena *a, const struct erasure *e)
{
	struct str since = words_minute(a, e->effective_at);
	switch (e->kind) {
	case ERASURE_WITHDRAW_FUTURE:
		return str_fmt(a, "In no new release since %.*s.", STR_ARG(since));
	case ERASURE_EMBARGO:
		return str_fmt(a, "In no new release since %.*s, until %.*s.", STR_ARG(since), STR_ARG(words_day(a, e->until)));
	default:
		return str_fmt(a, "In no decision and no new release since %.*s.", STR_ARG(since));
	}
}

struct str erasure_now_words(struct arena *a, const struct erasure *e, const struct where *where)
{
	switch (e->state) {
	case ERASURE_RECEIVED:
		return STR("Nothing has happened yet: it waits for a yes.");
	case ERASURE_VERIFIED:
		return STR("It is held back from every release since it was asked for. An admin of the co-op decides about it.");
	case ERASURE_EFFECTIVE:
		return erasure_purges(e->kind) ? str_fmt(a, "%.*s The content is being destroyed now.", STR_ARG(force_words(a, e))) : force_words(a, e);
	case ERASURE_PURGED:
		return str_fmt(a, "%.*s Its content is gone from this server.", STR_ARG(force_words(a, e)));
	case ERASURE_PROPAGATING:
		return str_fmt(a, "%s %.*s", erasure_purges(e->kind) ? "Its content is gone from this server, and whoever had a copy was told." : "Whoever had a copy was told.", STR_ARG(waiting_words(a, where)));
	case ERASURE_COMPLETED:
		return str_fmt(a, "%s %.*s", erasure_purges(e->kind) ? "Its content is gone from this server." : force_words(a, e).p, STR_ARG(waiting_words(a, where)));
	case ERASURE_DENIED:
		return STR("It was turned down.");
	default:
		return e->effective_at == INSTANT_NONE ? STR("It was taken back before anything happened.") : STR("It was ended: the items can be released again.");
	}
}

struct str erasure_next_words(struct arena *a, const struct erasure *e, const struct where *where)
{
	struct str due = words_day(a, e->due_at);
	switch (e->state) {
	case ERASURE_RECEIVED:
		return STR("With a yes it counts at once. Without one it lapses after fourteen days.");
	case ERASURE_VERIFIED:
		return str_fmt(a, "An admin accepts it or turns it down by %.*s. Until then it is in no release.", STR_ARG(due));
	case ERASURE_EFFECTIVE:
		return erasure_purges(e->kind) ? STR("Content, hashes and everything made of them are destroyed; releases that hold it are withdrawn. This takes minutes. You need not stay here.")
			: e->kind == ERASURE_EMBARGO ? STR("When the day comes it can be released again, by what you say about its use then.") : STR("Whoever holds a release with it is told not to carry it on.");
	case ERASURE_PURGED:
		return STR("Mirrors and everybody who downloaded it are told, and get a day by which to confirm.");
	case ERASURE_PROPAGATING:
		return where->counts.next_due == INSTANT_NONE || where->counts.next_due < clock_now() ? STR("What follows for those who are overdue is listed on this page. You are told when everybody has confirmed, or when nothing more can be done.")
			: str_fmt(a, "The next receipt is due on %.*s. You are told when everybody has confirmed, or when nothing more can be done.", STR_ARG(words_day(a, where->counts.next_due)));
	case ERASURE_DENIED:
		return e->appeal_until != INSTANT_NONE && uuid_is_nil(e->appeal_ballot) && clock_now() <= e->appeal_until
			? str_fmt(a, "It can be taken to a vote of the members until %.*s, and to the data protection authority at any time.", STR_ARG(words_day(a, e->appeal_until)))
			: STR("You can turn to the data protection authority of where you live.");
	default:
		return STR_NONE;
	}
}

const char *duty_state_words(const struct duty *d)
{
	if (d->confirmed_at != INSTANT_NONE)
		return d->doubtful ? "confirmed, in doubt" : "confirmed";
	return clock_now() > d->due_at ? "overdue" : "waiting";
}

const char *duty_badge(const struct duty *d)
{
	if (d->confirmed_at != INSTANT_NONE)
		return d->doubtful ? "conditional" : "include";
	return clock_now() > d->due_at ? "exclude" : "hold";
}

/* What follows for a co-op that has no account here. */
static const char *partner_step_words(const struct duty *d)
{
	if (d->through.p)
		return "Their partner, who passed it on, presses them.";
	if (d->step >= DUTY_REVOKED)
		return "The agreement with them is suspended.";
	return d->step >= DUTY_BLOCKED ? "Nothing more is sent to them until they confirm." : "They were told again.";
}

struct str duty_said(struct arena *a, const struct duty *d)
{
	static const struct { const char *method, *words; } said[] = {
		{ "patched", "The rows were taken out of their copy" }, { "deleted", "Their copy was deleted" }, { "never-held", "They never held it" },
		{ "held-back", "They keep it out of their releases" },
	};
	struct str words = STR_NONE;
	for (size_t i = 0; i < CH_LEN(said); i++)
		if (str_is(d->method, said[i].method))
			words = str_of(said[i].words);
	if (!words.p)
		return clock_now() > d->due_at ? str_of(d->partner.p ? partner_step_words(d) : duty_step_text(d->step)) : STR_NONE;
	words = str_fmt(a, "%.*s, %.*s.", STR_ARG(words), STR_ARG(words_minute(a, d->confirmed_at)));
	if (d->doubtful)
		words = str_fmt(a, "%.*s A download of theirs is on record all the same.", STR_ARG(words));
	return d->models.n ? str_fmt(a, "%.*s About models they say: %.*s", STR_ARG(words), STR_ARG(d->models)) : words;
}

bool form_day(struct str text, instant *out)
{
	char at[32];
	if (text.n != 10)
		return false;
	snprintf(at, sizeof at, "%.*sT00:00:00Z", STR_ARG(text));
	return clock_parse(str_of(at), out);
}

struct str erasure_path(struct arena *a, struct str slug, const struct erasure *e)
{
	return str_fmt(a, "/coops/%.*s/deletions/%.*s", STR_ARG(slug), STR_ARG(uuid_format(a, e->id)));
}
