#include "commonhold/words.h"
#include "server/coop/delegation_web.h"

#include <stdio.h>

/* Speaking for others about uses: as a delegate, and as one of the admins for the board. */

#define CREDIT POLICY_BIT(POLICY_DUTY_CREDIT)

/* ---- To speak as a delegate ---- */

static const struct statement *said_about(const struct statement *s, size_t n, unsigned use)
{
	for (size_t i = 0; i < n; i++)
		if (!s[i].kind.p && !s[i].purpose.p && !s[i].audience.p && (s[i].uses & POLICY_BIT(use)))
			return &s[i];
	return NULL;
}

static void effect_data(struct json_writer *w, struct str effect)
{
	jw_kbool(w, "is_allow", str_is(effect, "allow"));
	jw_kbool(w, "is_allow_if", str_is(effect, "allow_if"));
	jw_kbool(w, "is_deny", str_is(effect, "deny"));
}

static enum err speak_data(struct request *rq, struct response *rs, enum err refused, struct json_writer *w)
{
	struct statement *said;
	struct delegation *represented;
	size_t n, n_represented, people = 0;
	TRY(page_form_refused(rq, rs, refused, w));
	TRY(statement_list_as_delegate(rq->call, rq->coop.id, true, &said, &n));
	TRY(delegation_list_represented(rq->call, rq->coop.id, false, &represented, &n_represented));
	for (size_t i = 0; i < n_represented; i++)
		people += represented[i].question == POLICY_QUESTION_CONSENT && represented[i].counts;
	jw_kint(w, "people", (int64_t)people);
	jw_kbool(w, "one", people == 1);
	jw_key(w, "uses");
	jw_array(w);
	for (unsigned use = 0; use < POLICY_USE_COUNT; use++) {
		const struct statement *s = said_about(said, n, use);
		jw_object(w);
		jw_kz(w, "id", policy_use_name(use));
		jw_kz(w, "words", words_use(use));
		jw_kbool(w, "said", s != NULL);
		effect_data(w, s ? s->effect : STR_NONE);
		jw_end_object(w);
	}
	jw_end_array(w);
	return ERR_OK;
}

static enum err speak_again(struct request *rq, struct response *rs, enum err refused)
{
	struct buf b;
	struct json_writer w = delegation_page_begin(rq, &b, "What I say as a delegate");
	enum err e = speak_data(rq, rs, refused, &w);
	return page_end(rq, rs, "page/delegation_speak", &b, &w, e);
}

enum err delegation_speak_page(struct request *rq, struct response *rs)
{
	return speak_again(rq, rs, ERR_OK);
}

/* Only what differs from what stands is said again. */
static bool says_more(const struct statement *s, const struct statement *before)
{
	return !before ? !str_is(s->effect, "none") : !str_eq(s->effect, before->effect) || s->duties != before->duties;
}

/* The answers of the form about each use, without those that repeat what stands. */
static enum err said_of_form(struct request *rq, const struct statement *before, size_t n_before, struct statement in[POLICY_USE_COUNT], size_t *n)
{
	*n = 0;
	for (unsigned use = 0; use < POLICY_USE_COUNT; use++) {
		char field[32];
		snprintf(field, sizeof field, "use.%s", policy_use_name(use));
		struct str v = request_form(rq, field);
		if (!v.n)
			continue;
		bool credited = str_is(v, "credit");
		if (!credited && !str_is(v, "allow") && !str_is(v, "deny") && !str_is(v, "none"))
			return fail_field(rq->call, "/statements", "Say yes, yes if credited, or no.");
		in[*n] = (struct statement){ .layer = POLICY_LAYER_DELEGATE, .uses = (uint16_t)POLICY_BIT(use), .effect = credited ? STR("allow_if") : v, .duties = credited ? CREDIT : 0,
			.valid_from = INSTANT_NONE, .valid_to = INSTANT_NONE };
		*n += says_more(&in[*n], said_about(before, n_before, use));
	}
	return ERR_OK;
}

enum err delegation_speak_submit(struct request *rq, struct response *rs)
{
	struct statement in[POLICY_USE_COUNT], *before, *out;
	size_t n, n_before;
	TRY(statement_list_as_delegate(rq->call, rq->coop.id, true, &before, &n_before));
	enum err e = said_of_form(rq, before, n_before, in, &n);
	if (e == ERR_OK && n == 0)
		return delegation_page_done(rq, rs, STR("Nothing was changed."));
	if (e == ERR_OK)
		e = statement_make_as_delegate(rq->call, rq->coop.id, in, n, &out);
	return e == ERR_OK ? delegation_page_done(rq, rs, STR("What you said as a delegate is noted, and those you speak for are told.")) : speak_again(rq, rs, e);
}

/* ---- The board ---- */

static const char *effect_words(struct str effect)
{
	return str_is(effect, "allow") ? "yes" : str_is(effect, "allow_if") ? "yes, on conditions" : str_is(effect, "deny") ? "no" : NULL;
}

static enum err board_data(struct request *rq, struct response *rs, enum err refused, struct json_writer *w)
{
	struct statement *said;
	struct board_stances stances;
	size_t n;
	TRY(page_form_refused(rq, rs, refused, w));
	TRY(statement_list_of_board(rq->call, rq->coop.id, &said, &n));
	TRY(statement_board_stances(rq->call, rq->coop.id, &stances));
	jw_kint(w, "admins", stances.admins);
	jw_kint(w, "needed", stances.needed);
	jw_key(w, "uses");
	jw_array(w);
	for (unsigned use = 0; use < POLICY_USE_COUNT; use++) {
		const struct statement *s = said_about(said, n, use);
		const struct board_stance *mine = &stances.of[use];
		jw_object(w);
		jw_kz(w, "id", policy_use_name(use));
		jw_kz(w, "words", words_use(use));
		jw_kz(w, "board", s ? effect_words(s->effect) : NULL);
		if (mine->mine.p && !str_is(mine->mine, "none"))
			jw_kint(w, "same", mine->same);
		effect_data(w, mine->mine);
		jw_end_object(w);
	}
	jw_end_array(w);
	return ERR_OK;
}

static enum err board_again(struct request *rq, struct response *rs, enum err refused)
{
	struct buf b;
	struct json_writer w = delegation_page_begin(rq, &b, "What the board says");
	enum err e = board_data(rq, rs, refused, &w);
	return page_end(rq, rs, "page/delegation_board", &b, &w, e);
}

enum err delegation_board_page(struct request *rq, struct response *rs)
{
	return board_again(rq, rs, ERR_OK);
}

enum err delegation_board_submit(struct request *rq, struct response *rs)
{
	struct statement in[POLICY_USE_COUNT], *out;
	struct board_stances stances;
	size_t n, n_out = 0;
	struct statement before[POLICY_USE_COUNT];
	TRY(statement_board_stances(rq->call, rq->coop.id, &stances));
	for (unsigned use = 0; use < POLICY_USE_COUNT; use++)
		before[use] = (struct statement){ .uses = (uint16_t)POLICY_BIT(use), .effect = stances.of[use].mine.p ? stances.of[use].mine : STR("none"),
			.duties = str_is(stances.of[use].mine, "allow_if") ? CREDIT : 0 };
	enum err e = said_of_form(rq, before, POLICY_USE_COUNT, in, &n);
	if (e == ERR_OK && n == 0)
		return delegation_page_done(rq, rs, STR("Nothing was changed."));
	if (e == ERR_OK)
		e = statement_say_for_board(rq->call, rq->coop.id, in, n, &out, &n_out);
	if (e != ERR_OK)
		return board_again(rq, rs, e);
	return delegation_page_done(rq, rs, n_out ? STR("Noted, and with it the board has resolved: those who let it speak are told.") : STR("Noted. The board says so once enough of the admins do."));
}
