#include "server/coop/charter.h"
#include "server/coop/choices.h"

#include "commonhold/words.h"

#include <stdarg.h>
#include <stdio.h>

/* The charter as a person would tell it: a list of {"heading", "lines"} for pages. */

struct teller {
	struct arena *arena;
	struct json_writer *w;
};

static void heading(struct teller *t, const char *text)
{
	jw_object(t->w);
	jw_kz(t->w, "heading", text);
	jw_key(t->w, "lines");
	jw_array(t->w);
}

static void end_part(struct teller *t)
{
	jw_end_array(t->w);
	jw_end_object(t->w);
}

static void line(struct teller *t, const char *fmt, ...) CH_PRINTF(2, 3);
static void line(struct teller *t, const char *fmt, ...)
{
	char text[2048];
	va_list args;
	va_start(args, fmt);
	int n = vsnprintf(text, sizeof text, fmt, args);
	va_end(args);
	jw_str(t->w, str_make(text, n < 0 ? 0 : (size_t)n < sizeof text ? (size_t)n : sizeof text - 1));
}

/* ---- Small words ---- */

static void add_count(struct buf *b, int64_t n, const char *unit)
{
	if (n)
		buf_addf(b, "%s%lld %s%s", b->n ? ", " : "", (long long)n, unit, n == 1 ? "" : "s");
}

struct str duration_words(struct arena *a, struct duration d)
{
	struct buf b;
	buf_init(&b, KIB);
	add_count(&b, d.years, "year");
	add_count(&b, d.months, "month");
	add_count(&b, d.days, "day");
	add_count(&b, d.seconds / 3600, "hour");
	add_count(&b, d.seconds / 60 % 60, "minute");
	add_count(&b, d.seconds % 60, "second");
	struct str words = b.n ? str_copy(a, buf_str(&b)) : STR("no time");
	buf_release(&b);
	return words;
}

const char *audience_words(unsigned audience)
{
	static const char *const words[POLICY_AUDIENCE_COUNT] = { "anyone", "members only", "people whom an admin admits", "people who accept the terms", "anyone" };
	return audience < POLICY_AUDIENCE_COUNT ? words[audience] : "nobody";
}

static const char *licence_words(unsigned licence)
{
	return policy_licence_get(licence)->spdx;
}

static const char *recurrence_words(struct str rrule)
{
	static const struct { const char *freq, *words; } table[] = { { "FREQ=DAILY", "daily" }, { "FREQ=WEEKLY", "weekly" }, { "FREQ=MONTHLY", "monthly" }, { "FREQ=YEARLY", "yearly" } };
	struct str rest = rrule, part;
	const char *words = "regularly";
	while (str_split(&rest, ';', &part)) {
		for (size_t i = 0; i < CH_LEN(table); i++)
			if (str_is(part, table[i].freq))
				words = table[i].words;
		if (str_starts(part, "INTERVAL=") && !str_is(part, "INTERVAL=1"))
			return "regularly";
	}
	return words;
}

/* ---- Parts ---- */

static void tell_scope(struct teller *t, const struct charter *c)
{
	struct buf b;
	buf_init(&b, 4 * KIB);
	for (size_t i = 0; i < c->n_languages; i++)
		buf_addf(&b, "%s%.*s", i == 0 ? "" : i + 1 == c->n_languages ? " and " : ", ", STR_ARG(words_language(t->arena, c->languages[i])));
	heading(t, "Who it is for");
	line(t, "The co-op is about %.*s%s%.*s. Its languages are %.*s.", STR_ARG(c->domain), c->region.n ? ", in " : "", STR_ARG(c->region), STR_ARG(buf_str(&b)));
	if (c->kinds != POLICY_KINDS_ALL)
		line(t, "It takes contributions of these kinds: %.*s.", STR_ARG(words_list(t->arena, c->kinds, POLICY_KIND_COUNT, words_kind)));
	end_part(t);
	buf_release(&b);
}

static void tell_sharing(struct teller *t, const struct charter *c)
{
	heading(t, "Sharing");
	if (c->share_by_default)
		line(t, "The co-op shares by default: where a member who accepted this says nothing, their contributions go into releases.");
	else
		line(t, "The co-op does not share by default: where a member says nothing, their contributions stay out of releases.");
	if (c->ai_allow)
		line(t, "For members who accepted its defaults and say nothing, it says yes to %.*s.", STR_ARG(words_list(t->arena, c->ai_allow, POLICY_USE_COUNT, words_use)));
	if (c->ai_allow_if)
		line(t, "It says yes on conditions to %.*s.", STR_ARG(words_list(t->arena, c->ai_allow_if, POLICY_USE_COUNT, words_use)));
	if (c->ai_deny)
		line(t, "It says no to %.*s.", STR_ARG(words_list(t->arena, c->ai_deny, POLICY_USE_COUNT, words_use)));
	uint16_t fixed = (uint16_t)(POLICY_USES_ALL & ~c->member_may_change);
	if (fixed)
		line(t, "A member may always say no. About %.*s a member may not say more than the co-op does.", STR_ARG(words_list(t->arena, fixed, POLICY_USE_COUNT, words_use)));
	else
		line(t, "What a member says about their own contributions always counts, and a no is never overridden.");
	end_part(t);
}

static void tell_licences(struct teller *t, const struct charter *c)
{
	heading(t, "Licences and credit");
	line(t, "New contributions are under %s unless their contributor chooses another of %.*s.", licence_words(c->licence_default),
		STR_ARG(words_list(t->arena, c->licences_allowed, POLICY_LICENCE_COUNT, licence_words)));
	if (c->licence_mode == POLICY_ADAPTATION)
		line(t, "A release is published as a whole under one licence, out of %.*s.", STR_ARG(words_list(t->arena, c->outputs, POLICY_LICENCE_COUNT, licence_words)));
	else
		line(t, "In a release every contribution keeps its own licence.");
	line(t, "Until they choose otherwise, members are %s.", str_is(c->attribution, "anonymous") ? "not named" : "named by a random pseudonym that is theirs in this co-op");
	end_part(t);
}

static void tell_releases(struct teller *t, const struct charter *c)
{
	struct arena *a = t->arena;
	heading(t, "Releases");
	line(t, "Releases are made for %.*s, for %.*s.", STR_ARG(words_list(a, c->release_uses, POLICY_USE_COUNT, words_use)),
		STR_ARG(words_list(a, c->release_purposes, POLICY_PURPOSE_COUNT, words_purpose)));
	line(t, "They are for %s.", audience_words(c->release_audience));
	if (c->k_contributors > 1)
		line(t, "A release holds contributions of at least %u people.", c->k_contributors);
	line(t, "Releases are cut %s, and announced %.*s before.", recurrence_words(c->rrule), STR_ARG(duration_words(a, c->lead)));
	line(t, "After the cut there are %.*s of notice, %.*s to vote and %.*s to think again. Whoever says no until the very end is not in it.", STR_ARG(duration_words(a, c->notice)),
		STR_ARG(duration_words(a, c->voting)), STR_ARG(duration_words(a, c->cooling_off)));
	if (duration_length(c->embargo))
		line(t, "A contribution waits %.*s before it may be released.", STR_ARG(duration_words(a, c->embargo)));
	end_part(t);
}

static void tell_rule(struct teller *t, const struct charter *c, const char *field, const char *what)
{
	line(t, "%s when %.*s.", what, STR_ARG(ballot_rule_words(t->arena, charter_rule_json(t->arena, c, field))));
}

static void tell_decisions(struct teller *t, const struct charter *c)
{
	heading(t, "Decisions");
	tell_rule(t, c, "gate", "A release passes");
	tell_rule(t, c, "amendment", "This charter is changed");
	tell_rule(t, c, "merge", "The co-op joins with another");
	tell_rule(t, c, "toggle", "A collective control, such as an embargo, is set");
	tell_rule(t, c, "appeal", "A deletion that an admin refused is done all the same");
	if (c->seconders)
		line(t, "%s may propose such things; %d other member%s must second it before it is put to the vote.", c->admins_propose ? "An admin" : "Every member", c->seconders,
			c->seconders == 1 ? "" : "s");
	else
		line(t, "%s may propose such things, and admins to be made or unmade.", c->admins_propose ? "An admin" : "Every member");
	line(t, "%s", c->admins_by_ballot ? "Admins are made and unmade by ballot alone." : "Any admin may make or unmake an admin; so may a ballot.");
	if (!c->delegate_coop && !c->delegate_topic && !c->delegate_target)
		line(t, "Votes are not delegated.");
	else if (c->delegation_cap)
		line(t, "A member may let another decide for them; one delegate decides for at most %u members%s.", c->delegation_cap,
			c->delegation_depth == 1 ? ", and may not pass it on" : "");
	else
		line(t, "A member may let another decide for them%s.", c->delegation_depth == 1 ? ", who may not pass it on" : "");
	if (c->delegation_depth > 1)
		line(t, "Such a decision may pass through %d hands.", c->delegation_depth);
	if (c->delegate_coop || c->delegate_topic || c->delegate_target)
		line(t, "The board, too, may decide for a member: it says what %.*s say.", STR_ARG(charter_board_words(t->arena, c)));
	end_part(t);
}

static void tell_access(struct teller *t, const struct charter *c)
{
	heading(t, "Who gets a release");
	if (str_is(c->access, "public"))
		line(t, "Anyone may download a release.");
	else if (str_is(c->access, "gated_auto"))
		line(t, "Whoever states a purpose and accepts the terms may download a release.");
	else
		line(t, "Whoever states a purpose and accepts the terms asks, and an admin decides.");
	line(t, "A permission lasts %.*s. Whoever has copies deletes what was deleted here within %d days.", STR_ARG(duration_words(t->arena, c->grant_life)), c->purge_days);
	end_part(t);
}

static void tell_care(struct teller *t, const struct charter *c)
{
	heading(t, "Care for contributions");
	if (str_is(c->moderation_mode, "hold"))
		line(t, "An admin looks at every contribution before it may be released.");
	else if (str_is(c->moderation_mode, "reject"))
		line(t, "Nothing is taken in at present.");
	if (!str_is(c->pii_action, "approve"))
		line(t, "When personal data is found in a contribution, %s.", str_is(c->pii_action, "reject") ? "it is refused" : "an admin looks at it first");
	line(t, "When something is deleted, the release that held it can no longer be downloaded, and is made anew without it within %.*s.",
		STR_ARG(duration_words(t->arena, c->redact_within)));
	if (duration_length(c->retention_raw))
		line(t, "Contributions are kept for %.*s.", STR_ARG(duration_words(t->arena, c->retention_raw)));
	else
		line(t, "Contributions are kept as long as their contributors leave them there.");
	json_each(rule, json_get(c->json, "rules")) {
		struct str name = json_member_text(rule, "name");
		line(t, "%s: %.*s.", str_is(json_member_text(rule, "effect"), "hold") ? "Held for review by a rule" : "Kept out by a rule", STR_ARG(name));
	}
	end_part(t);
}

static void tell_membership(struct teller *t, const struct charter *c)
{
	heading(t, "Membership");
	if (str_is(c->admission, "open"))
		line(t, "Whoever wants to may join.");
	else if (str_is(c->admission, "approval"))
		line(t, "Whoever wants to join asks, and an admin decides.");
	else
		line(t, "One joins by invitation of an admin.");
	line(t, "Every %.*s a member goes over their choices. Whoever has not done so %.*s after that is no longer a member, and can come back.",
		STR_ARG(duration_words(t->arena, c->checkup_every)), STR_ARG(duration_words(t->arena, c->grace)));
	line(t, "What a release earns goes to its contributors for %d per cent and to the co-op as a whole for %d per cent.", c->benefit_contributors, c->benefit_commons);
	end_part(t);
}

const struct json *charter_words(struct arena *a, const struct charter *charter)
{
	struct buf b;
	struct json_writer w;
	buf_init(&b, MIB);
	jw_init(&w, &b);
	struct teller t = { a, &w };
	jw_array(&w);
	tell_scope(&t, charter);
	tell_sharing(&t, charter);
	tell_licences(&t, charter);
	tell_releases(&t, charter);
	tell_decisions(&t, charter);
	tell_access(&t, charter);
	tell_care(&t, charter);
	tell_membership(&t, charter);
	jw_end_array(&w);

	const struct json *words = NULL;
	struct error e = { 0 };
	if (b.failed || json_parse(a, str_copy(a, buf_str(&b)), &words, &e) != ERR_OK)
		words = NULL;
	buf_release(&b);
	return words;
}
