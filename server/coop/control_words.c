#include "commonhold/control.h"

#include "commonhold/crypto.h"
#include "commonhold/words.h"
#include "server/coop/coop_internal.h"

/* What a control is to the engine, to people and to programs. Pure, but for the last function. */

#define MONTHS_APART 24 /* months of a rate limit that draw their own lots; those before share theirs */

/* ---- For the engine ---- */

static instant month_start(instant t, int later)
{
	struct civil v = clock_civil(t);
	instant first = clock_of_civil((struct civil){ .year = v.year, .month = v.month, .day = 1 });
	return duration_add(first, (struct duration){ .months = later }, 1);
}

static int months_between(instant from, instant to)
{
	struct civil a = clock_civil(from), b = clock_civil(to);
	return (b.year - a.year) * 12 + b.month - a.month;
}

/* A rate limit is a cap a month: those of the last two years each by itself, the months before them together. */
static size_t limit_toggles(const struct control *k, uint32_t id, instant cutoff, struct policy_toggle *out)
{
	int months = months_between(k->set_at, cutoff) + 1, before = months > MONTHS_APART ? months - MONTHS_APART : 0;
	size_t n = 0;
	struct policy_toggle t = { .kind = POLICY_TOGGLE_CAP, .kinds = k->kinds, .id = id };
	for (int m = before ? before - 1 : 0; m < months; m++) {
		t.since = n == 0 ? k->set_at : month_start(k->set_at, m);
		t.until = month_start(k->set_at, m + 1);
		t.cap = (uint64_t)k->amount * (n == 0 && before ? (uint64_t)before : 1);
		if (t.since < t.until)
			out[n++] = t;
	}
	return n;
}

size_t control_toggles(const struct control *controls, size_t n, instant cutoff, struct policy_toggle *out, uint8_t seed[32])
{
	static const uint8_t kinds[CONTROL_KIND_COUNT] = { POLICY_TOGGLE_FREEZE, POLICY_TOGGLE_EMBARGO, POLICY_TOGGLE_SHIFT, POLICY_TOGGLE_CAP, POLICY_TOGGLE_PLEDGE };
	size_t made = 0;
	for (size_t i = 0; i < n; i++) {
		const struct control *k = &controls[i];
		uint32_t id = (uint32_t)i + 1;
		if (made + (k->kind == CONTROL_RATE_LIMIT ? MONTHS_APART + 1 : 1) > POLICY_TOGGLES_MAX)
			break;
		if (k->kind == CONTROL_RATE_LIMIT) {
			made += limit_toggles(k, id, cutoff, out + made);
			uint8_t of[16 + 24] = "commonhold/rate limit\n";
			memcpy(of + 24, k->id.b, 16);
			struct sha256 lots = sha256(str_make(of, sizeof of));
			memcpy(seed, lots.b, 32);
			continue;
		}
		out[made++] = (struct policy_toggle){
			.kind = kinds[k->kind], .kinds = k->kinds, .uses = k->kind == CONTROL_SELECTIVE_EMBARGO ? (k->pauses ? 0 : POLICY_BIT(POLICY_USE_EVAL)) : k->uses, .id = id,
			.cap = k->kind == CONTROL_ASSURANCE ? (uint64_t)k->amount : 0, .since = k->pauses ? POLICY_EVER : k->set_at, .until = k->until,
		};
	}
	return made;
}

/* ---- For people ---- */

const char *control_title(unsigned kind)
{
	static const char *const titles[CONTROL_KIND_COUNT] = { "Freeze of labels and corrections", "Embargo", "Preference shift", "Rate limit", "Pledge" };
	return kind < CONTROL_KIND_COUNT ? titles[kind] : "Control";
}

const char *control_limits(void)
{
	return "A control touches only what is contributed while it stands. It cannot undo a licence that was granted, nor call back copies of earlier releases.";
}

/* "Contributions", or the kinds when they are not all: "Contributions (Feedback and Signal)". */
static struct str what_words(struct arena *a, const struct control *k)
{
	if (k->kinds == POLICY_KINDS_ALL)
		return STR("Contributions");
	struct str kinds = words_list(a, k->kinds, POLICY_KIND_COUNT, words_kind);
	return str_fmt(a, "Contributions of the kinds %.*s", STR_ARG(kinds));
}

struct str control_effect(struct arena *a, const struct control *k)
{
	struct str what = what_words(a, k), amount = words_count(a, k->amount);
	struct str since = k->set_at ? words_minute(a, k->set_at) : STR("the ballot’s close"); /* a control that is only proposed has no beginning yet */
	switch (k->kind) {
	case CONTROL_QUALITY_FREEZE:
		return str_fmt(a, "%.*s made since %.*s are withheld from releases.", STR_ARG(what), STR_ARG(since));
	case CONTROL_SELECTIVE_EMBARGO:
		if (k->pauses)
			return STR("Releases pause: none is scheduled, and none is cut.");
		return str_fmt(a, "%.*s made since %.*s go only into releases that are for evaluation alone.", STR_ARG(what), STR_ARG(since));
	case CONTROL_PREFERENCE_SHIFT:
		return str_fmt(a, "%.*s made since %.*s say no to %.*s, whatever their contributors say.", STR_ARG(what), STR_ARG(since),
			STR_ARG(words_list(a, k->uses, POLICY_USE_COUNT, words_use)));
	case CONTROL_RATE_LIMIT:
		return str_fmt(a, "%.*s made since %.*s: of each month’s, at most %.*s may be released. Which ones is drawn by a lot that anyone can check.", STR_ARG(what), STR_ARG(since),
			STR_ARG(amount));
	case CONTROL_ASSURANCE:
		return str_fmt(a, "%.*s made since %.*s stay sealed until %.*s members have joined this pledge; then they may be released together.", STR_ARG(what), STR_ARG(since),
			STR_ARG(amount));
	default:
		return STR("");
	}
}

struct str control_end(struct arena *a, const struct control *k)
{
	struct str day = words_day(a, k->until);
	if (k->lifted_at != INSTANT_NONE && k->lifted_at != 0) {
		struct str on = words_minute(a, k->lifted_at);
		const char *by = str_is(k->lift_cause, "ballot") ? "a ballot" : str_is(k->lift_cause, "pledge") ? "enough members, who joined," : "its own date";
		return str_fmt(a, "It was lifted by %s on %.*s.", by, STR_ARG(on));
	}
	if (k->kind == CONTROL_ASSURANCE && k->until != INSTANT_NEVER)
		return str_fmt(a, "It lifts when enough have joined, on %.*s, or by a ballot before.", STR_ARG(day));
	if (k->kind == CONTROL_ASSURANCE)
		return STR("It lifts when enough have joined, or by a ballot.");
	if (k->until != INSTANT_NEVER)
		return str_fmt(a, "It lifts on %.*s, or by a ballot before.", STR_ARG(day));
	return STR("It stands until a ballot lifts it.");
}

/* ---- For programs and pages ---- */

static struct str instant_or_none(struct arena *a, instant t)
{
	return t == INSTANT_NEVER ? STR_NONE : clock_format_or_none(a, t);
}

/* The members of schemas/control.json. */
static void control_members(struct json_writer *w, struct arena *a, const struct control *k)
{
	jw_kstr(w, "id", uuid_format(a, k->id));
	jw_kz(w, "kind", control_kind_name(k->kind));
	jw_kz(w, "title", control_title(k->kind));
	jw_kstr(w, "effect", control_effect(a, k));
	jw_kstr(w, "ends", control_end(a, k));
	jw_kbool(w, "stands", k->lifted_at == INSTANT_NONE);
	jw_kbool(w, "pauses_releases", k->pauses);
	jw_knames(w, "kinds", k->kinds, POLICY_KIND_COUNT, policy_kind_name);
	jw_knames(w, "uses", k->uses, POLICY_USE_COUNT, policy_use_name);
	if (k->amount)
		jw_kint(w, "amount", k->amount);
	jw_kstr(w, "reason", k->reason);
	jw_kstr(w, "until", instant_or_none(a, k->until));
	jw_kstr(w, "ballot", uuid_format(a, k->ballot));
	jw_kstr(w, "set_at", clock_format(a, k->set_at));
	jw_kstr(w, "lifted_at", clock_format_or_none(a, k->lifted_at));
	jw_kstr(w, "lift_cause", k->lift_cause);
	jw_kstr(w, "lift_ballot", uuid_format_or_none(a, k->lift_ballot));
	if (k->kind == CONTROL_ASSURANCE) {
		jw_kint(w, "pledged", k->pledged);
		jw_kbool(w, "joined", k->joined);
	}
}

void control_write(struct json_writer *w, struct arena *a, const struct control *control)
{
	jw_object(w);
	control_members(w, a, control);
	jw_end_object(w);
}

void control_page_write(struct json_writer *w, struct arena *a, const struct control *control)
{
	jw_object(w);
	control_members(w, a, control);
	jw_kbool(w, "is_pledge", control->kind == CONTROL_ASSURANCE);
	jw_kbool(w, "may_join", control->kind == CONTROL_ASSURANCE && control->lifted_at == INSTANT_NONE);
	jw_kstr(w, "since", words_minute(a, control->set_at));
	jw_end_object(w);
}

enum err control_page_data(struct call *c, struct uuid coop, instant at, struct json_writer *w)
{
	struct control *controls;
	size_t n;
	TRY(db_begin_in(c, coop, DB_READ));
	TRY(control_at(c, coop, at, &controls, &n));
	TRY(db_commit(c));
	jw_kbool(w, "any_controls", n > 0);
	jw_kz(w, "control_limits", control_limits());
	jw_key(w, "controls");
	jw_array(w);
	for (size_t i = 0; i < n; i++)
		control_page_write(w, c->arena, &controls[i]);
	jw_end_array(w);
	return ERR_OK;
}
