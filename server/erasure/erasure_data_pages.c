#include "server/erasure/erasure_web.h"

#include "commonhold/chart.h"
#include "commonhold/words.h"

/* What templates are given about a request: its stages, where its items went, and the pictures of both. */

#define FLOW_NODES 8  /* releases, and recipients, that the picture names; more are put together */
#define NAME_SHOWN 24 /* bytes of a name in the picture; the table has it whole */

static const char *asker_words(const struct erasure *e)
{
	static const char *const mine[ERASURE_ASKER_COUNT] = { [ERASURE_AGENT] = "asked by somebody whom you let", [ERASURE_SUBJECT] = "about you, contributed by somebody else", [ERASURE_RULE] = "by the charter's rule on how long things are kept", [ERASURE_PARTNER] = "by the co-op that it came from" };
	static const char *const others[ERASURE_ASKER_COUNT] = { [ERASURE_MEMBER] = "a member", [ERASURE_AGENT] = "somebody for a member", [ERASURE_SUBJECT] = "a person whom it is about", [ERASURE_RULE] = "the charter's rule on how long things are kept", [ERASURE_PARTNER] = "the co-op that it came from" };
	return (unsigned)e->asker >= ERASURE_ASKER_COUNT ? NULL : e->mine ? mine[e->asker] : others[e->asker];
}

void erasure_write(struct json_writer *w, struct arena *a, const struct erasure *e)
{
	jw_kstr(w, "id", uuid_format(a, e->id));
	jw_kstr(w, "what", erasure_what(a, e));
	jw_kz(w, "by_words", asker_words(e));
	jw_kz(w, "state", erasure_state_words(e));
	jw_kz(w, "badge", erasure_badge(e));
	jw_kstr(w, "asked", words_day(a, e->received_at));
	jw_kstr(w, "asked_iso", words_day_iso(a, e->received_at));
	jw_kstr(w, "due", words_day(a, e->due_at));
	jw_kstr(w, "due_iso", words_day_iso(a, e->due_at));
	jw_kbool(w, "ended", erasure_over(e->state));
	jw_kbool(w, "late", !erasure_over(e->state) && e->effective_at == INSTANT_NONE && clock_now() > e->due_at);
	jw_kstr(w, "until", words_day(a, e->until));
	jw_kstr(w, "key_gone", words_minute(a, e->key_gone_at));
	jw_kstr(w, "backups_until", words_day(a, e->backups_until));
	jw_kstr(w, "extended_reason", e->extended_reason.n ? e->extended_reason : STR_NONE);
	jw_kstr(w, "count_words", e->n_items == 1 ? STR("One item") : str_fmt(a, "%.*s items", STR_ARG(words_count(a, e->n_items))));
	jw_kstr(w, "held", e->n_held ? words_count(a, e->n_held) : STR_NONE);
	jw_kstr(w, "reason_words", erasure_reason_words(e->reason_code) ? str_of(erasure_reason_words(e->reason_code)) : STR_NONE);
	jw_kstr(w, "tombstones", e->first_idx < 0 ? STR_NONE : e->first_idx == e->last_idx ? str_fmt(a, "number %lld", (long long)e->first_idx)
		: str_fmt(a, "between numbers %lld and %lld", (long long)e->first_idx, (long long)e->last_idx));
}

void erasure_write_row(struct json_writer *w, struct arena *a, const struct erasure *e)
{
	jw_object(w);
	erasure_write(w, a, e);
	jw_kz(w, "asker", asker_words(e) ? asker_words(e) : "you");
	jw_kbool(w, "decide", e->state == ERASURE_VERIFIED);
	jw_end_object(w);
}

/* ---- Stages ---- */

struct stage { const char *label; instant at; const char *means; };

static size_t stages_of(const struct erasure *e, struct stage out[6])
{
	bool purges = erasure_purges(e->kind);
	size_t n = 0;
	out[n++] = (struct stage){ "Asked", e->received_at, "The request was received. The month that the law gives begins on the day after." };
	if (e->asker == ERASURE_AGENT || e->asker == ERASURE_SUBJECT || e->verified_at == INSTANT_NONE)
		out[n++] = (struct stage){ "Verified", e->verified_at, e->asker == ERASURE_SUBJECT ? "It is known who asks. The item is held back until an admin has decided." : "It is known that the person themselves wants it." };
	if (e->state == ERASURE_DENIED || e->state == ERASURE_CANCELLED) {
		bool denied = e->state == ERASURE_DENIED;
		out[n++] = (struct stage){ denied ? "Turned down" : "Taken back", denied ? e->denied_at : e->cancelled_at, denied ? "The reason is below." : "Nothing more happens." };
		return n;
	}
	out[n++] = (struct stage){ "In force", e->effective_at, "Out of every decision and every release that is made from then on, also of those that were being made." };
	if (purges)
		out[n++] = (struct stage){ "Erased here", e->purged_at, "Content, salts, whatever was derived from it, and the files of releases that held it are gone." };
	if (purges || e->propagating_at != INSTANT_NONE)
		out[n++] = (struct stage){ "Copies told", e->propagating_at, "Mirrors, and everybody who downloaded it, know what to delete and by when to confirm." };
	out[n++] = (struct stage){ "Done", e->completed_at, "Everybody has confirmed, or all that follows for those who do not has been done." };
	return n;
}

static struct str stage_text(struct arena *a, const struct erasure *e, const struct where *where, const struct stage *s, bool last)
{
	if (s->at != INSTANT_NONE)
		return words_day(a, s->at);
	if (last && where && where->counts.total && e->state == ERASURE_PROPAGATING)
		return str_fmt(a, "%lld of %lld confirmed", (long long)where->counts.confirmed, (long long)where->counts.total);
	return STR_NONE;
}

void erasure_write_stages(struct json_writer *w, struct arena *a, const struct erasure *e, const struct where *where)
{
	struct stage stages[6];
	struct chart_stage drawn[6];
	size_t n = stages_of(e, stages);
	bool here = false;
	jw_key(w, "stages");
	jw_array(w);
	for (size_t i = 0; i < n; i++) {
		bool reached = stages[i].at != INSTANT_NONE, ended = i + 1 == n && (e->state == ERASURE_DENIED || e->state == ERASURE_CANCELLED);
		drawn[i] = (struct chart_stage){ str_of(stages[i].label), stage_text(a, e, where, &stages[i], i + 1 == n), ended ? "exclude" : reached ? "include" : here ? "neutral" : "info" };
		here |= !reached;
		jw_object(w);
		jw_kz(w, "label", stages[i].label);
		jw_kstr(w, "when", words_minute(a, stages[i].at));
		jw_kz(w, "means", stages[i].means);
		jw_end_object(w);
	}
	jw_end_array(w);
	jw_kstr(w, "picture", chart_stages(a, "How far this request is", drawn, n));
}

/* ---- Where it went ---- */

static void write_release(struct json_writer *w, struct arena *a, const struct release *r, const struct where *where)
{
	bool withdrawn = r->state == RELEASE_WITHDRAWN;
	jw_object(w);
	jw_kstr(w, "release_id", uuid_format(a, r->id));
	jw_kstr(w, "version", r->version);
	jw_kstr(w, "published", words_day(a, r->published_at));
	jw_kz(w, "state", !withdrawn ? "still to be had" : r->cleared_at == INSTANT_NONE ? "withdrawn" : "withdrawn, files deleted");
	jw_kz(w, "badge", withdrawn ? "exclude" : "include");
	jw_kstr(w, "use", withdrawn ? where->use : STR_NONE);
	jw_end_object(w);
}

static void write_copy(struct json_writer *w, struct arena *a, const struct where_copy *copy)
{
	const struct duty *d = &copy->duty;
	bool confirmed = d->confirmed_at != INSTANT_NONE;
	static const struct sha256 none;
	struct str versions = STR_NONE;
	for (size_t i = 0; i < d->n_releases; i++)
		versions = str_fmt(a, "%.*s%s%.*s", STR_ARG(versions), i ? ", " : "", STR_ARG(d->releases[i]));
	jw_object(w);
	jw_kstr(w, "name", d->name);
	jw_kstr(w, "role", d->partner.p ? str_of(d->through.p ? "another co-op, by way of a partner" : "another co-op, which holds the items")
		: str_fmt(a, "%s, %.*s", uuid_is_nil(d->mirror) ? "downloaded it" : "mirror", STR_ARG(versions)));
	jw_kz(w, "state", duty_state_words(d));
	jw_kz(w, "badge", duty_badge(d));
	jw_kstr(w, "by", words_day(a, d->due_at));
	jw_kstr(w, "said", duty_said(a, d));
	jw_kstr(w, "receipt", confirmed && !sha256_eq(copy->receipt, none) ? sha256_hex(a, copy->receipt) : STR_NONE);
	jw_end_object(w);
}

static bool duty_names(const struct duty *d, struct str version)
{
	for (size_t i = 0; i < d->n_releases; i++)
		if (str_eq(d->releases[i], version))
			return true;
	return false;
}

/* As much of a name as fits, not ending inside a character. */
static struct str shortened(struct arena *a, struct str name)
{
	size_t n = NAME_SHOWN;
	if (name.n <= n)
		return name;
	while (n && ((unsigned char)name.p[n] & 0xc0) == 0x80)
		n--;
	return str_fmt(a, "%.*s…", (int)n, name.p);
}

static const char *const grouped[] = { "include", "conditional", "hold", "exclude" };
static const char *const grouped_words[] = { "Confirmed", "In doubt", "Waiting", "Overdue" };

static size_t group_of(const struct duty *d)
{
	for (size_t i = 0; i < CH_LEN(grouped); i++)
		if (str_is(str_of(duty_badge(d)), grouped[i]))
			return i;
	return 2;
}

/* Releases on the left, who has copies on the right: each by name while they are few, otherwise by how far they are. */
static struct str flow_picture(struct arena *a, const struct where *where)
{
	bool few = where->n_copies <= FLOW_NODES;
	size_t n_left = where->n_releases < FLOW_NODES ? where->n_releases : FLOW_NODES, n_right = few ? where->n_copies : CH_LEN(grouped), n_links = 0;
	struct chart_node *left = ARENA_ARRAY(a, n_left + 1, struct chart_node), *right = ARENA_ARRAY(a, n_right + 1, struct chart_node);
	struct chart_link *links = ARENA_ARRAY(a, n_left * n_right + 1, struct chart_link);
	for (size_t i = 0; i < n_left; i++)
		left[i] = (struct chart_node){ .label = where->releases[where->n_releases - n_left + i].version, .class = "s1", .text = STR("") };
	for (size_t k = 0; k < n_right; k++) {
		const struct duty *d = few ? &where->copies[k].duty : NULL;
		right[k] = few ? (struct chart_node){ .label = shortened(a, d->name), .class = duty_badge(d), .text = str_of(duty_state_words(d)) } : (struct chart_node){ .label = str_of(grouped_words[k]), .class = grouped[k] };
	}
	for (size_t i = 0; i < n_left; i++)
		for (size_t k = 0; k < n_right; k++) {
			int64_t value = 0;
			for (size_t j = 0; j < where->n_copies; j++)
				value += (few ? j == k : group_of(&where->copies[j].duty) == k) && duty_names(&where->copies[j].duty, left[i].label);
			if (!value)
				continue;
			links[n_links++] = (struct chart_link){ i, k, value };
			left[i].value += value;
			right[k].value += value;
		}
	return chart_flow(a, &(struct chart_flow){ "Releases that held it, and who has copies of them", left, right, n_left, n_right, links, n_links });
}

/* What follows for those who do not confirm, step by step. */
static void write_ladder(struct json_writer *w, struct arena *a)
{
	static const struct { int days; const char *text; } steps[] = {
#define X(name, days, word, text) { days, text },
		DUTY_STEPS(X)
#undef X
	};
	jw_key(w, "ladder");
	jw_array(w);
	for (size_t i = 0; i < CH_LEN(steps); i++) {
		int days = steps[i].days < 0 ? -steps[i].days : steps[i].days;
		jw_object(w);
		jw_kstr(w, "when", !days ? STR("On the day") : str_fmt(a, "%d days %s", days, steps[i].days < 0 ? "before" : "after"));
		jw_kz(w, "what", steps[i].text);
		jw_end_object(w);
	}
	jw_end_array(w);
}

static struct str copies_words(struct arena *a, const struct where *where)
{
	const struct duty_counts *n = &where->counts;
	struct str open = str_fmt(a, "%.*s wait%s", STR_ARG(words_count(a, n->total - n->confirmed - n->overdue)), n->total - n->confirmed - n->overdue == 1 ? "s" : "");
	return str_fmt(a, "%.*s must confirm: %.*s confirmed, %.*s, %.*s overdue.%s", STR_ARG(words_count(a, n->total)), STR_ARG(words_count(a, n->confirmed)), STR_ARG(open),
		STR_ARG(words_count(a, n->overdue)), n->total > (int64_t)where->n_copies ? " Those due first are named here." : "");
}

static bool any_public(const struct where *where)
{
	static const char audience[] = "\"audience\":\"public\"";
	for (size_t i = 0; i < where->n_releases; i++)
		if (where->releases[i].spec.n && memmem(where->releases[i].spec.p, where->releases[i].spec.n, audience, sizeof audience - 1))
			return true;
	return false;
}

/* Why nobody is named; absent where somebody is, or where it ended before anybody could be. */
static struct str no_copies_words(struct arena *a, const struct erasure *e, const struct where *where)
{
	if (where->n_copies || e->state == ERASURE_DENIED || e->state == ERASURE_CANCELLED)
		return STR_NONE;
	if (!erasure_purges(e->kind))
		return STR("Copies of releases that are out may stay, so nobody has to confirm anything.");
	if (e->propagating_at == INSTANT_NONE && e->state != ERASURE_COMPLETED)
		return STR("Who has copies of them is worked out when the content is gone here.");
	return str_fmt(a, "No mirror that we know holds them, and nobody downloaded them with access of their own, so nobody has to confirm.%s",
		any_public(where) ? " They could be had without asking: who did so is not known." : "");
}

void erasure_write_where(struct json_writer *w, struct arena *a, const struct erasure *e, const struct where *where)
{
	jw_kbool(w, "any_release", where->n_releases > 0);
	jw_kstr(w, "no_release", where->n_releases || e->state == ERASURE_RECEIVED ? STR_NONE : where->n_copies ? STR("It was in no release.") : STR("It was in no release. Nobody outside the co-op got it from us."));
	jw_kstr(w, "use", where->use);
	jw_key(w, "releases");
	jw_array(w);
	for (size_t i = 0; i < where->n_releases; i++)
		write_release(w, a, &where->releases[i], where);
	jw_end_array(w);
	jw_kbool(w, "any_copy", where->n_copies > 0);
	jw_kstr(w, "no_copies", where->n_releases ? no_copies_words(a, e, where) : STR_NONE);
	jw_kstr(w, "copies_words", copies_words(a, where));
	write_ladder(w, a);
	jw_kstr(w, "flow", where->n_copies && where->n_releases ? flow_picture(a, where) : STR_NONE);
	jw_key(w, "copies");
	jw_array(w);
	for (size_t i = 0; i < where->n_copies; i++)
		write_copy(w, a, &where->copies[i]);
	jw_end_array(w);
}

enum err erasure_write_items(struct json_writer *w, struct request *rq, const struct erasure *e, int limit, bool linked)
{
	struct arena *a = rq->call->arena;
	struct erasure_item *items;
	size_t n;
	TRY(erasure_items(rq->call, e->coop, e->id, -1, limit, &items, &n));
	jw_kbool(w, "items_any", n > 0);
	jw_kbool(w, "few", n <= 5);
	jw_kbool(w, "more_items", e->n_items > (int64_t)n);
	jw_kint(w, "shown", (int64_t)n);
	jw_key(w, "items");
	jw_array(w);
	for (size_t i = 0; i < n; i++) {
		jw_object(w);
		jw_kstr(w, "rid", items[i].rid);
		jw_kstr(w, "href", linked ? str_fmt(a, "/coops/%.*s/contributions/%.*s", STR_ARG(rq->coop.slug), STR_ARG(uuid_format(a, items[i].contribution))) : STR_NONE);
		jw_kbool(w, "on_hold", items[i].held);
		jw_end_object(w);
	}
	jw_end_array(w);
	return ERR_OK;
}
