#include "bundle.h"

#include <stdarg.h>
#include <stdio.h>

const char *bundle_part_name(unsigned part)
{
	static const char *const names[BUNDLE_PART_COUNT] = { "people", "votes", "stances", "delegations", "outcomes" };
	return part < BUNDLE_PART_COUNT ? names[part] : "unknown";
}

/* ---- Lines ----
 *
 * Members are written in the order of RFC 8785 and every value is a whole number, a word or a digest: the text is canonical as it stands. Instants are microseconds since 1970. */

#define LINE_MAX_BYTES 1024 /* no line but the header comes near */

struct line { char text[LINE_MAX_BYTES]; size_t n; };

static void add(struct line *l, const char *fmt, ...) CH_PRINTF(2, 3);
static void add(struct line *l, const char *fmt, ...)
{
	va_list args;
	va_start(args, fmt);
	int n = vsnprintf(l->text + l->n, sizeof(l->text) - l->n, fmt, args);
	va_end(args);
	l->n += n > 0 && (size_t)n < sizeof(l->text) - l->n ? (size_t)n : 0;
}

static void add_instant(struct line *l, const char *key, policy_instant t)
{
	if (t == POLICY_NEVER || t == POLICY_EVER)
		add(l, "\"%s\":null", key);
	else
		add(l, "\"%s\":%lld", key, (long long)t);
}

static void add_digest(struct line *l, const char *key, struct sha256 d)
{
	add(l, "\"%s\":\"", key);
	for (size_t i = 0; i < sizeof(d.b); i++)
		add(l, "%02x", d.b[i]);
	add(l, "\"");
}

static const char *truth(bool v)
{
	return v ? "true" : "false";
}

static enum err give(struct line *l, enum bundle_part part, bundle_line_fn fn, void *arg)
{
	return fn(arg, part, str_make(l->text, l->n));
}

static enum err people_lines(const struct bundle_source *s, bundle_line_fn fn, void *arg)
{
	for (uint32_t i = 0; i < s->n_people; i++) {
		uint32_t m = s->people[i];
		uint8_t roll = s->facts->roll[m];
		struct line l = { .n = 0 };
		add(&l, "{\"active\":%s,\"admin\":%s,", truth(s->facts->active[m]), truth(roll & BALLOT_ROLL_ADMIN));
		add_digest(&l, "c", s->commitments[i]);
		add(&l, ",\"i\":%u,\"roll\":%s,\"t\":\"person\"}", i, truth(roll & BALLOT_ON_ROLL));
		TRY(give(&l, BUNDLE_PEOPLE, fn, arg));
	}
	return ERR_OK;
}

static const char *vote_word(uint8_t choice)
{
	return choice == BALLOT_NONE ? "none" : ballot_choice_name(choice);
}

static enum err vote_lines(const struct bundle_source *s, bundle_line_fn fn, void *arg)
{
	for (size_t i = 0; i < s->n_votes; i++) {
		const struct ballot_cast *v = &s->votes[i];
		struct line l = { .n = 0 };
		add(&l, "{\"at\":%lld,\"by\":%u,", (long long)v->at, s->place[v->member]);
		add_digest(&l, "c", s->vote_commitments[i]);
		add(&l, ",\"choice\":\"%s\",", vote_word(v->choice));
		if (v->principal == POLICY_NO_DECIDER)
			add(&l, "\"for\":null,");
		else
			add(&l, "\"for\":%u,", s->place[v->principal]);
		add(&l, "\"i\":%zu,\"t\":\"vote\"}", i);
		TRY(give(&l, BUNDLE_VOTES, fn, arg));
	}
	return ERR_OK;
}

static enum err stance_lines(const struct bundle_source *s, bundle_line_fn fn, void *arg)
{
	for (size_t i = 0; i < s->n_stances; i++) {
		const struct ballot_stance *v = &s->stances[i];
		struct line l = { .n = 0 };
		add(&l, "{\"at\":%lld,\"by\":%u,\"choice\":\"%s\",\"i\":%zu,\"t\":\"stance\"}", (long long)v->at, s->place[v->member], vote_word(v->choice), i);
		TRY(give(&l, BUNDLE_STANCES, fn, arg));
	}
	return ERR_OK;
}

static void add_delegate(struct line *l, const char *key, uint32_t delegate, const struct bundle_source *s)
{
	if (delegate == POLICY_BOARD || delegate == POLICY_NOBODY)
		add(l, "\"%s\":\"%s\"", key, delegate == POLICY_BOARD ? "board" : "nobody");
	else
		add(l, "\"%s\":%u", key, s->place[delegate]);
}

static enum err delegation_lines(const struct bundle_source *s, bundle_line_fn fn, void *arg)
{
	static const char *const scopes[POLICY_SCOPE_COUNT] = { "coop", "topic", "target" };
	for (size_t i = 0; i < s->facts->n_edges; i++) {
		const struct policy_edge *e = &s->facts->edges[i];
		struct line l = { .n = 0 };
		add(&l, "{");
		add_instant(&l, "accepted", e->accepted_at);
		add(&l, ",");
		add_delegate(&l, "delegate", e->delegate, s);
		add(&l, ",\"edge\":%llu,", (unsigned long long)e->id);
		add_instant(&l, "ends", e->ends);
		add(&l, ",\"from\":%u,\"i\":%zu,", s->place[e->principal], i);
		add_instant(&l, "revoked", e->revoked_at);
		add(&l, ",\"scope\":\"%s\",", scopes[e->scope < POLICY_SCOPE_COUNT ? e->scope : 0]);
		add_instant(&l, "starts", e->starts);
		add(&l, ",\"t\":\"delegation\",\"target\":\"%016llx\",\"topics\":%u}", (unsigned long long)e->target, e->topics);
		TRY(give(&l, BUNDLE_DELEGATIONS, fn, arg));
	}
	return ERR_OK;
}

static enum err outcome_lines(const struct bundle_source *s, bundle_line_fn fn, void *arg)
{
	for (uint32_t i = 0; i < s->n_people; i++) {
		uint32_t m = s->people[i], path[POLICY_DEPTH_MAX];
		if (!(s->facts->roll[m] & BALLOT_ON_ROLL))
			continue;
		const struct ballot_voice *v = &s->outcome->voices[m];
		size_t hops = ballot_outcome_path(s->facts, s->outcome, m, path);
		struct line l = { .n = 0 };
		add(&l, "{\"choice\":\"%s\",", ballot_choice_name(v->choice));
		if (v->decider == POLICY_NO_DECIDER)
			add(&l, "\"decider\":null");
		else
			add_delegate(&l, "decider", v->decider, s);
		add(&l, ",\"i\":%u,\"on_behalf\":%s,\"path\":[", i, truth(v->on_behalf));
		for (size_t h = 0; h < hops; h++)
			add(&l, "%s%llu", h ? "," : "", (unsigned long long)s->facts->edges[path[h]].id);
		if (v->choice == BALLOT_NONE)
			add(&l, "],\"reason\":\"%s\",", policy_via_name(v->reason));
		else
			add(&l, "],\"reason\":null,");
		add(&l, "\"t\":\"outcome\",\"via\":\"%s\"}", policy_via_name(v->via));
		TRY(give(&l, BUNDLE_OUTCOMES, fn, arg));
	}
	return ERR_OK;
}

enum err bundle_lines(const struct bundle_source *s, bundle_line_fn fn, void *arg)
{
	TRY(people_lines(s, fn, arg));
	TRY(vote_lines(s, fn, arg));
	TRY(stance_lines(s, fn, arg));
	TRY(delegation_lines(s, fn, arg));
	return outcome_lines(s, fn, arg);
}
