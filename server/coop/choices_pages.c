#include "server/coop/choices.h"

#include "commonhold/db.h"
#include "commonhold/words.h"

#include <stdio.h>

/* My choices: consent, what may be done with my contributions, licence, credit. Nothing is ticked that was not said. */

#define CREDIT POLICY_BIT(POLICY_DUTY_CREDIT)

/* ---- The page ---- */

/* What a member has said about one use for all their contributions: the newest that stands. */
static const struct statement *said_about(const struct statement *s, size_t n, unsigned use)
{
	for (size_t i = 0; i < n; i++)
		if (s[i].layer == POLICY_LAYER_SUBJECT && !s[i].kind.p && !s[i].purpose.p && !s[i].audience.p && !s[i].external && (s[i].uses & POLICY_BIT(use)))
			return &s[i];
	return NULL;
}

static const char *co_op_word(const struct charter *charter, unsigned use)
{
	uint16_t bit = (uint16_t)POLICY_BIT(use);
	if (charter->ai_deny & bit)
		return "no";
	if (charter->ai_allow_if & bit)
		return "yes, on conditions";
	if (charter->ai_allow & bit)
		return "yes";
	return charter->share_by_default && (policy_uses_expand(charter->release_uses) & bit) ? "yes, by default" : "nothing";
}

static void use_row(struct json_writer *w, const struct charter *charter, const struct statement *said, unsigned use)
{
	jw_object(w);
	jw_kz(w, "id", policy_use_name(use));
	jw_kz(w, "words", words_use(use));
	jw_kz(w, "co_op", co_op_word(charter, use));
	jw_kbool(w, "said", said != NULL);
	jw_kbool(w, "is_allow", said && str_is(said->effect, "allow"));
	jw_kbool(w, "is_allow_if", said && str_is(said->effect, "allow_if") && said->duties == CREDIT);
	jw_kbool(w, "is_deny", said && str_is(said->effect, "deny"));
	jw_kbool(w, "other_duties", said && str_is(said->effect, "allow_if") && said->duties != CREDIT);
	jw_kbool(w, "only_stricter", !(charter->member_may_change >> use & 1));
	jw_end_object(w);
}

/* The uses that releases are for, or the others. True when something was said about one of them. */
static bool use_rows(struct json_writer *w, const char *key, bool released_for, const struct charter *charter, const struct statement *s, size_t n)
{
	uint16_t released = policy_uses_expand(charter->release_uses);
	bool any = false;
	jw_key(w, key);
	jw_array(w);
	for (unsigned use = 0; use < POLICY_USE_COUNT; use++) {
		const struct statement *said = said_about(s, n, use);
		if ((released >> use & 1) != released_for)
			continue;
		use_row(w, charter, said, use);
		any |= said != NULL;
	}
	jw_end_array(w);
	return any;
}

static bool has_purpose(const struct consent *consent, const char *name)
{
	for (size_t i = 0; i < consent->n_purposes; i++)
		if (str_is(consent->purposes[i], name))
			return true;
	return false;
}

/* The purposes that releases need, or the others. True when one of them is agreed to. */
static bool purpose_rows(struct json_writer *w, const char *key, bool released_for, const struct charter *charter, const struct consent *consent)
{
	bool any = false;
	jw_key(w, key);
	jw_array(w);
	for (unsigned no = 0; no < POLICY_PURPOSE_COUNT; no++) {
		bool chosen = consent && has_purpose(consent, policy_purpose_name(no));
		if ((charter->release_purposes >> no & 1) != released_for)
			continue;
		jw_object(w);
		jw_kz(w, "id", policy_purpose_name(no));
		jw_kz(w, "words", words_purpose(no));
		jw_kbool(w, "chosen", chosen);
		jw_end_object(w);
		any |= chosen;
	}
	jw_end_array(w);
	return any;
}

static void consent_data(struct json_writer *w, struct arena *a, const struct charter *charter, const struct consent *consent)
{
	bool stands = consent && (str_is(consent->state, "given") || str_is(consent->state, "renewed"));
	bool expired = stands && consent->expires_at <= clock_now();
	jw_kbool(w, "consent_stands", stands);
	jw_kbool(w, "consent_expired", expired);
	jw_kbool(w, "consent_none", !consent);
	if (consent) {
		jw_kstr(w, "consent_at", words_day(a, consent->at));
		jw_kstr(w, "consent_until", words_day(a, consent->expires_at));
		jw_kbool(w, "newer_words", consent->notice < charter->version);
	}
	purpose_rows(w, "purposes", true, charter, stands ? consent : NULL);
	jw_kbool(w, "more_chosen", purpose_rows(w, "more_purposes", false, charter, stands ? consent : NULL));
	jw_kbool(w, "defaults_yes", stands && consent->defaults);
	jw_kbool(w, "defaults_no", stands && !consent->defaults);
	jw_kbool(w, "share_by_default", charter->share_by_default);
}

static void licence_data(struct json_writer *w, const struct charter *charter, unsigned licence, bool own)
{
	jw_kz(w, "licence_default", policy_licence_get(charter->licence_default)->spdx);
	jw_kbool(w, "licence_own", own);
	jw_key(w, "licences");
	jw_array(w);
	for (unsigned no = 1; no < POLICY_LICENCE_COUNT; no++) {
		const struct policy_licence *l = policy_licence_get(no);
		if (!(charter->licences_allowed >> no & 1))
			continue;
		jw_object(w);
		jw_kz(w, "spdx", l->spdx);
		jw_kz(w, "licence_name", l->name);
		jw_kz(w, "url", l->url);
		jw_kbool(w, "chosen", own && no == licence);
		jw_end_object(w);
	}
	jw_end_array(w);
}

static enum err choices_data(struct request *rq, struct response *rs, enum err refused, struct json_writer *w)
{
	struct call *c = rq->call;
	struct charter charter;
	struct member me;
	struct consent consent;
	struct statement *statements;
	size_t n;
	unsigned licence;
	bool own;
	TRY(page_form_refused(rq, rs, refused, w));
	TRY(charter_view(c, rq->coop.id, 0, &charter));
	TRY(member_mine_in(c, rq->coop.id, &me));
	enum err said = consent_current(c, rq->coop.id, &consent);
	if (said == ERR_NOT_FOUND) {
		db_rollback(c);
		error_clear(&c->error);
	} else {
		TRY(said);
	}
	TRY(statement_list(c, rq->coop.id, true, &statements, &n));
	TRY(licence_current(c, rq->coop.id, &licence, &own));
	jw_kstr(w, "coop", rq->coop.slug);
	jw_kstr(w, "coop_name", charter.name);
	jw_kint(w, "charter", charter.version);
	jw_kbool(w, "applicant", me.state == POLICY_STANDING_APPLIED);
	consent_data(w, c->arena, &charter, said == ERR_OK ? &consent : NULL);
	use_rows(w, "uses", true, &charter, statements, n);
	jw_kbool(w, "said_more", use_rows(w, "more_uses", false, &charter, statements, n));
	licence_data(w, &charter, licence, own);
	jw_kstr(w, "pseudonym", me.pseudonym);
	jw_kstr(w, "public_name", me.public_name);
	jw_kbool(w, "by_anonymous", str_is(me.attribution, "anonymous"));
	jw_kbool(w, "by_pseudonym", str_is(me.attribution, "pseudonym"));
	jw_kbool(w, "by_public", str_is(me.attribution, "public"));
	jw_kstr(w, "due", words_day(c->arena, me.due_at));
	return ERR_OK;
}

static enum err choices_form(struct request *rq, struct response *rs, enum err refused)
{
	struct buf b;
	struct json_writer w = page_begin(&b);
	jw_kz(&w, "title", "My choices");
	enum err e = choices_data(rq, rs, refused, &w);
	return page_end(rq, rs, "page/choices", &b, &w, e);
}

enum err choices_page(struct request *rq, struct response *rs)
{
	return choices_form(rq, rs, ERR_OK);
}

/* ---- What the forms do ---- */

/* Back to the page with a message, or the page again with what was wrong. */
static enum err done(struct request *rq, struct response *rs, enum err e, struct str message)
{
	if (e != ERR_OK)
		return choices_form(rq, rs, e);
	return response_done(rq, rs, message, coop_place(rq, "choices"));
}

enum err choices_save_consent(struct request *rq, struct response *rs)
{
	struct str *purposes, defaults = request_form(rq, "defaults");
	size_t n = request_form_all(rq, "purpose", &purposes);
	if (!str_is(defaults, "yes") && !str_is(defaults, "no"))
		return choices_form(rq, rs, fail_field(rq->call, "/defaults", "Say whether the co-op's default may speak where you are silent."));
	int64_t shown;
	if (!str_to_i64(request_form(rq, "charter"), 1, INT32_MAX, &shown))
		return choices_form(rq, rs, fail(rq->call, ERR_STATE, "The form does not say which version of the charter it is about. Look at it again, and send it from here."));
	return done(rq, rs, consent_give_shown(rq->call, rq->coop.id, (int)shown, purposes, n, str_is(defaults, "yes")), STR("Your consent is noted. You can withdraw it here at any time."));
}

enum err choices_end_consent(struct request *rq, struct response *rs)
{
	return done(rq, rs, consent_withdraw(rq->call, rq->coop.id), STR("Your consent is withdrawn. Nothing of yours goes into further releases."));
}

static enum err statement_of_form(struct request *rq, unsigned use, struct statement *s, bool *said)
{
	char field[32];
	snprintf(field, sizeof field, "use.%s", policy_use_name(use));
	struct str v = request_form(rq, field);
	*said = v.n > 0 && !str_is(v, "keep");
	if (!*said)
		return ERR_OK;
	bool credited = str_is(v, "credit");
	if (!credited && !str_is(v, "allow") && !str_is(v, "deny") && !str_is(v, "none"))
		return fail_field(rq->call, "/statements", "Say yes, yes if credited, or no.");
	*s = (struct statement){
		.layer = POLICY_LAYER_SUBJECT, .uses = (uint16_t)POLICY_BIT(use), .effect = credited ? STR("allow_if") : v, .duties = credited ? CREDIT : 0,
		.valid_from = INSTANT_NONE, .valid_to = INSTANT_NONE,
	};
	return ERR_OK;
}

/* Only what differs from what stands is said again. */
static bool says_more(const struct statement *s, const struct statement *before)
{
	return !before ? !str_is(s->effect, "none") : !str_eq(s->effect, before->effect) || s->duties != before->duties;
}

enum err choices_save_statements(struct request *rq, struct response *rs)
{
	struct statement said[POLICY_USE_COUNT], *before, *out;
	size_t n = 0, n_before;
	TRY(statement_list(rq->call, rq->coop.id, true, &before, &n_before));
	for (unsigned use = 0; use < POLICY_USE_COUNT; use++) {
		bool given;
		enum err e = statement_of_form(rq, use, &said[n], &given);
		if (e != ERR_OK)
			return choices_form(rq, rs, e);
		n += given && says_more(&said[n], said_about(before, n_before, use));
	}
	if (n == 0)
		return done(rq, rs, ERR_OK, STR("Nothing was changed."));
	return done(rq, rs, statement_make(rq->call, rq->coop.id, said, n, &out), STR("What you said is noted. It counts from the next release on."));
}

enum err choices_save_licence(struct request *rq, struct response *rs)
{
	return done(rq, rs, licence_choose(rq->call, rq->coop.id, request_form(rq, "licence")), STR("Your licence for new contributions is noted."));
}

enum err choices_save_attribution(struct request *rq, struct response *rs)
{
	struct member member;
	return done(rq, rs, member_set_attribution(rq->call, rq->coop.id, request_form(rq, "attribution"), request_form(rq, "public_name"), &member),
		STR("How you are credited is noted."));
}

enum err choices_leave(struct request *rq, struct response *rs)
{
	struct member member;
	if (!str_is(request_form(rq, "sure"), "yes"))
		return choices_form(rq, rs, fail_field(rq->call, "/sure", "Tick that you want to leave."));
	enum err e = member_leave(rq->call, rq->coop.id, &member);
	if (e != ERR_OK)
		return choices_form(rq, rs, e);
	return response_done(rq, rs, STR("You have left. Nothing of yours goes into further releases of this co-op."), str_fmt(rq->call->arena, "/coops/%.*s", STR_ARG(rq->coop.slug)));
}
