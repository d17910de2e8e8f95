#include "commonhold/ballot.h"
#include "commonhold/chart.h"
#include "commonhold/routes.h"
#include "commonhold/words.h"

static const char *const state_badges[] = {
	[BALLOT_NOTICE] = "info", [BALLOT_OPEN] = "conditional", [BALLOT_PASSED] = "include", [BALLOT_FAILED] = "exclude", [BALLOT_CANCELLED] = "neutral",
};
static const char *const state_words[] = {
	[BALLOT_NOTICE] = "opens soon", [BALLOT_OPEN] = "open", [BALLOT_PASSED] = "passed", [BALLOT_FAILED] = "not passed", [BALLOT_CANCELLED] = "cancelled",
};

/* ---- Counts ---- */

/* A count with its word, as rows of tables and bars of charts show it. */
struct line { const char *text, *class; int n; };

static void write_lines(struct json_writer *w, const char *key, const struct line *lines, size_t n)
{
	jw_key(w, key);
	jw_array(w);
	for (size_t i = 0; i < n; i++) {
		if (lines[i].n == 0 && !lines[i].class)
			continue;
		jw_object(w);
		jw_kz(w, "text", lines[i].text);
		jw_kint(w, "n", lines[i].n);
		jw_end_object(w);
	}
	jw_end_array(w);
}

static struct str chart_of(struct arena *a, const char *title, const struct line *lines, size_t n, int roll)
{
	struct chart_bar *bars = ARENA_ARRAY(a, n, struct chart_bar);
	for (size_t i = 0; i < n; i++)
		bars[i] = (struct chart_bar){ .label = str_of(lines[i].text), .value = lines[i].n, .class = lines[i].class, .text = str_fmt(a, "%d of %d", lines[i].n, roll) };
	return chart_parts(a, title, bars, n, roll);
}

static void write_reasons(struct json_writer *w, const struct ballot_tally *t)
{
	static const struct { enum policy_via via; const char *text; } words[] = {
		{ POLICY_VIA_NONE, "did not vote, and let nobody decide" }, { POLICY_VIA_SILENT, "their delegate did not decide" }, { POLICY_VIA_NOBODY, "asked that nobody decide" },
		{ POLICY_VIA_CYCLE, "the delegations lead in a circle" }, { POLICY_VIA_DEPTH, "the chain is longer than the charter allows" },
		{ POLICY_VIA_CAP, "the delegate already decides for as many as the charter allows" }, { POLICY_VIA_EXPIRED, "the delegation had ended or not begun" },
		{ POLICY_VIA_REVOKED, "the delegation was revoked" }, { POLICY_VIA_SCOPE, "their delegations are about other ballots" },
		{ POLICY_VIA_UNACCEPTED, "the delegate had not accepted" }, { POLICY_VIA_FAULTY, "the delegation contradicts itself" },
	};
	struct line lines[CH_LEN(words)];
	int any = 0;
	for (size_t i = 0; i < CH_LEN(words); i++) {
		lines[i] = (struct line){ words[i].text, NULL, t->undecided_by[words[i].via] };
		any += lines[i].n;
	}
	jw_kbool(w, "any_reasons", any > 0);
	write_lines(w, "reasons", lines, CH_LEN(lines));
}

static void tally_of(struct json_writer *w, struct arena *a, const char *who, const struct ballot *b, const struct ballot_tally *t, bool members)
{
	const struct line outcome[] = {
		{ "For", "include", t->yes }, { "Against", "exclude", t->no }, { "Abstained", "info", t->abstain }, { "Not decided", "neutral", t->undecided },
	};
	const struct line turnout[] = {
		{ "In person", "s1", t->in_person }, { "By a delegate", "s2", t->by_delegates }, { "By the board", "s3", t->by_board }, { "By nobody", "neutral", t->undecided },
	};
	bool over = b->state == BALLOT_PASSED || b->state == BALLOT_FAILED;
	jw_object(w);
	jw_kz(w, "who", who);
	jw_kint(w, "roll", t->roll);
	jw_kbool(w, "shown", b->tally_shown);
	jw_kbool(w, "any_turnout", over && members);
	if (b->tally_shown) {
		write_lines(w, "rows", outcome, CH_LEN(outcome));
		jw_kstr(w, "outcome_chart", chart_of(a, members ? "Outcome among members" : "Outcome among admins", outcome, CH_LEN(outcome), t->roll));
		write_lines(w, "turnout", turnout, CH_LEN(turnout));
		jw_kstr(w, "turnout_chart", chart_of(a, "Turnout", turnout, CH_LEN(turnout), t->roll));
		write_reasons(w, t);
	}
	jw_end_object(w);
}

static void choice(struct json_writer *w, const struct ballot *b, const char *value, const char *text)
{
	jw_object(w);
	jw_kz(w, "value", value);
	jw_kz(w, "text", text);
	jw_kbool(w, "chosen", str_is(b->my_choice, value));
	jw_end_object(w);
}

/* ---- The ballot ---- */

static const char *visibility_words(struct str visibility)
{
	if (str_is(visibility, "open"))
		return "Counts can be seen while voting goes on, and each person what their delegate cast for them.";
	if (str_is(visibility, "restricted"))
		return "Counts are hidden until the end. Each person sees only what was cast for them.";
	return "Counts and choices are hidden until the end.";
}

static void write_about(struct json_writer *w, struct arena *a, const struct ballot *b)
{
	const struct ballot_tally *m = &b->members;
	bool asks_members = m->roll > b->admins.roll;
	struct str admins = str_fmt(a, "%d admin%s", b->admins.roll, b->admins.roll == 1 ? "" : "s");
	jw_kstr(w, "roll_words", asks_members ? str_fmt(a, "%s members, of these %s", str_z(a, words_count(a, m->roll)), str_z(a, admins)) : admins);
	if ((b->members_last_year + 1) / 2 > m->roll)
		jw_kint(w, "floor", (b->members_last_year + 1) / 2);
	jw_kz(w, "visibility_words", visibility_words(b->visibility));
	jw_kbool(w, "lapse_warning", b->lapse_warning);
	jw_kint(w, "lapsing", b->lapsing);
	jw_kbool(w, "extended", b->first_closes_at != INSTANT_NONE && b->state == BALLOT_OPEN);
	jw_kstr(w, "first_closes_at", words_minute(a, b->first_closes_at));
	jw_kbool(w, "closed_early", b->closed_at != INSTANT_NONE && b->closed_at < b->closes_at && b->state != BALLOT_CANCELLED);
	jw_kstr(w, "closed_at", words_minute(a, b->closed_at));
}

/* Whether the rule counts these people. */
static bool asks(const struct ballot_rule *rule, enum policy_electorate who)
{
	for (size_t i = 0; i < rule->n; i++)
		if (rule->nodes[i].op != POLICY_RULE_ALL_OF && rule->nodes[i].op != POLICY_RULE_ANY_OF && rule->nodes[i].electorate == who)
			return true;
	return false;
}

/* A ballot as lists and its own page show it: members of an object. */
static enum err ballot_page_data(struct json_writer *w, struct request *rq, const struct ballot *b)
{
	struct arena *a = rq->call->arena;
	const struct json *rule;
	struct ballot_rule compiled;
	TRY(json_parse(a, b->rule, &rule, &rq->call->error));
	TRY(ballot_rule_parse(a, rule, &compiled, &rq->call->error));
	jw_kstr(w, "title", b->title);
	jw_kstr(w, "id", uuid_format(a, b->id));
	jw_kstr(w, "coop", rq->coop.slug);
	jw_kstr(w, "question", b->question);
	jw_kstr(w, "rule_words", ballot_rule_words(a, rule));
	jw_kstr(w, "digest", sha256_hex(a, b->digest));
	jw_kbool(w, "is_release", str_is(b->kind, "release"));
	jw_kbool(w, "of_motion", !str_is(b->kind, "release") && !str_is(b->kind, "merge") && !str_is(b->kind, "appeal"));
	jw_kbool(w, "of_charter", str_is(b->kind, "charter"));
	jw_kstr(w, "subject", uuid_format(a, b->subject));
	jw_kz(w, "state", state_words[b->state]);
	jw_kz(w, "badge", state_badges[b->state]);
	jw_kbool(w, "in_notice", b->state == BALLOT_NOTICE);
	jw_kbool(w, "is_open", b->state == BALLOT_OPEN);
	jw_kbool(w, "is_over", b->state == BALLOT_PASSED || b->state == BALLOT_FAILED);
	jw_kstr(w, "opens_at", words_minute(a, b->opens_at));
	jw_kstr(w, "closes_at", words_minute(a, b->closes_at));
	jw_kstr(w, "opens_iso", clock_format(a, b->opens_at));
	jw_kstr(w, "closes_iso", clock_format(a, b->closes_at));
	jw_kbool(w, "on_roll", b->on_roll);
	jw_kbool(w, "may_vote", b->may_vote);
	jw_kbool(w, "has_voted", b->my_choice.p != NULL);
	jw_key(w, "choices");
	jw_array(w);
	choice(w, b, "for", "For");
	choice(w, b, "against", "Against");
	choice(w, b, "abstain", "Abstain");
	jw_end_array(w);
	jw_kbool(w, "tally_shown", b->tally_shown);
	jw_key(w, "tallies");
	jw_array(w);
	bool members = asks(&compiled, POLICY_MEMBERS);
	if (members)
		tally_of(w, a, "Members", b, &b->members, true);
	if (asks(&compiled, POLICY_ADMINS))
		tally_of(w, a, members ? "Admins, in person" : "Admins", b, &b->admins, false);
	jw_end_array(w);
	write_about(w, a, b);
	return ERR_OK;
}

/* ---- What it is to the reader ---- */

static const char *choice_words(struct str choice)
{
	if (str_is(choice, "for"))
		return "for";
	if (str_is(choice, "against"))
		return "against";
	return str_is(choice, "abstain") ? "abstain" : "taken back";
}

/* A reader whose delegation leads somewhere may vote themselves in one step. */
static enum err write_voice(struct json_writer *w, struct request *rq, const struct ballot *b)
{
	struct ballot_explained e;
	if (!b->on_roll || b->state == BALLOT_NOTICE || b->state == BALLOT_CANCELLED)
		return ERR_OK;
	TRY(ballot_explain(rq->call, rq->coop.id, b->id, &e));
	jw_kbool(w, "may_override", b->may_vote && e.n_steps > 0 && e.via != POLICY_VIA_OWN);
	jw_key(w, "voice");
	jw_object(w);
	jw_kbool(w, "stored", e.stored);
	jw_kstr(w, "why", e.why);
	jw_kbool(w, "any_steps", e.n_steps > 0);
	jw_key(w, "steps");
	jw_array(w);
	for (size_t i = 0; i < e.n_steps; i++) {
		jw_object(w);
		jw_kstr(w, "name", e.steps[i].name);
		jw_kz(w, "class", i + 1 < e.n_steps ? "done" : "current");
		jw_end_object(w);
	}
	jw_end_array(w);
	jw_end_object(w);
	return ERR_OK;
}

static struct str who_words(struct arena *a, const struct ballot_vote *v)
{
	if (uuid_is_nil(v->on_behalf_of))
		return STR("by me, for myself");
	if (v->on_behalf_name.p)
		return str_fmt(a, "by me, for %.*s", STR_ARG(v->on_behalf_name));
	return str_fmt(a, "by %.*s, for me", STR_ARG(v->by_name));
}

static enum err write_history(struct json_writer *w, struct request *rq, const struct ballot *b)
{
	struct arena *a = rq->call->arena;
	struct ballot_vote *votes;
	size_t n;
	TRY(ballot_history(rq->call, rq->coop.id, b->id, &votes, &n));
	jw_kbool(w, "any_history", n > 0);
	jw_key(w, "history");
	jw_array(w);
	for (size_t i = 0; i < n; i++) {
		jw_object(w);
		jw_kstr(w, "at", words_minute(a, votes[i].at));
		jw_kstr(w, "at_iso", clock_format(a, votes[i].at));
		jw_kz(w, "choice", choice_words(votes[i].choice));
		jw_kstr(w, "who", who_words(a, &votes[i]));
		jw_end_object(w);
	}
	jw_end_array(w);
	return ERR_OK;
}

static enum err write_principals(struct json_writer *w, struct request *rq, const struct ballot *b)
{
	struct ballot_principal *p;
	size_t n;
	if (!b->may_vote)
		return ERR_OK;
	TRY(ballot_represented(rq->call, rq->coop.id, b->id, &p, &n));
	jw_kbool(w, "any_principals", n > 0);
	jw_key(w, "principals");
	jw_array(w);
	for (size_t i = 0; i < n; i++) {
		jw_object(w);
		jw_kstr(w, "id", uuid_format(rq->call->arena, p[i].member));
		jw_kstr(w, "name", p[i].name);
		jw_kbool(w, "direct", p[i].hops == 1);
		jw_kint(w, "hops", p[i].hops);
		jw_kbool(w, "voted", p[i].voted);
		jw_kstr(w, "choice", p[i].choice);
		jw_end_object(w);
	}
	jw_end_array(w);
	return ERR_OK;
}

static enum err write_board(struct json_writer *w, struct request *rq, const struct ballot *b)
{
	struct ballot_board board;
	bool over = b->state == BALLOT_PASSED || b->state == BALLOT_FAILED;
	if (b->state == BALLOT_NOTICE || b->state == BALLOT_CANCELLED)
		return ERR_OK;
	TRY(ballot_board_read(rq->call, rq->coop.id, b->id, &board));
	struct str said = over ? b->board_choice : board.choice == BALLOT_NONE ? STR_NONE : str_of(ballot_choice_name(board.choice));
	jw_key(w, "board");
	jw_object(w);
	jw_kbool(w, "resolved", said.p != NULL);
	jw_kstr(w, "choice", said);
	jw_kstr(w, "rule", board.rule);
	jw_kint(w, "needed", board.needed);
	jw_kint(w, "admins", board.admins);
	jw_kint(w, "for", board.said[BALLOT_FOR]);
	jw_kint(w, "against", board.said[BALLOT_AGAINST]);
	jw_kint(w, "abstain", board.said[BALLOT_ABSTAIN]);
	jw_kstr(w, "mine", board.mine);
	jw_kbool(w, "may_say", b->may_vote && b->is_admin);
	jw_end_object(w);
	return ERR_OK;
}

static ballot_subject_fn show_subject; /* NULL: the question is all there is */

void ballot_use_subject(ballot_subject_fn show)
{
	show_subject = show;
}

static enum err whole_page(struct json_writer *w, struct request *rq, const struct ballot *b)
{
	TRY(ballot_page_data(w, rq, b));
	if (show_subject)
		TRY(show_subject(rq->call, b, w));
	TRY(write_voice(w, rq, b));
	TRY(write_history(w, rq, b));
	TRY(write_principals(w, rq, b));
	return write_board(w, rq, b);
}

/* ---- Pages ---- */

static enum err ballots_page(struct request *rq, struct response *rs)
{
	struct ballot *ballots;
	struct str next;
	size_t n;
	TRY(ballot_list(rq->call, rq->coop.id, STR_NONE, request_query(rq, "cursor"), LIMIT_PAGE_DEFAULT, &ballots, &n, &next));
	struct buf b;
	struct json_writer w = page_begin(&b);
	jw_kz(&w, "title", "Ballots");
	jw_kstr(&w, "coop", rq->coop.slug);
	jw_kstr(&w, "next", next);
	jw_kbool(&w, "any", n > 0);
	jw_key(&w, "ballots");
	jw_array(&w);
	enum err e = ERR_OK;
	for (size_t i = 0; i < n && e == ERR_OK; i++) {
		jw_object(&w);
		e = ballot_page_data(&w, rq, &ballots[i]);
		jw_end_object(&w);
	}
	jw_end_array(&w);
	return page_end(rq, rs, "page/ballots", &b, &w, e);
}

static enum err ballot_page(struct request *rq, struct response *rs)
{
	struct uuid id;
	struct ballot ballot;
	struct buf b;
	TRY(request_param_uuid(rq, 1, &id));
	TRY(ballot_read(rq->call, rq->coop.id, id, &ballot));
	struct json_writer w = page_begin(&b);
	return page_end(rq, rs, "page/ballot", &b, &w, whole_page(&w, rq, &ballot));
}

/* Back to the ballot from an address that is one step below it. */
static void back(struct request *rq, struct response *rs, struct str message)
{
	size_t n = rq->path.n;
	while (n > 0 && rq->path.p[n - 1] != '/')
		n--;
	response_flash(rq, rs, message);
	response_redirect(rs, str_sub(rq->path, 0, n > 1 ? n - 1 : rq->path.n));
}

static enum err form_choice(struct request *rq, struct uuid *id, struct str *said)
{
	*said = request_form(rq, "choice");
	TRY(request_param_uuid(rq, 1, id));
	bool known = str_is(*said, "for") || str_is(*said, "against") || str_is(*said, "abstain") || str_is(*said, "none");
	return known ? ERR_OK : fail_field(rq->call, "form/choice", "Choose for, against or abstain.");
}

static enum err vote_form(struct request *rq, struct response *rs)
{
	struct uuid id;
	struct ballot ballot;
	struct str said;
	TRY(form_choice(rq, &id, &said));
	TRY(ballot_cast_vote(rq->call, rq->coop.id, id, said, &ballot));
	back(rq, rs, str_is(said, "none") ? STR("Your vote was taken back.") : STR("Your vote was counted. You may change it until the ballot closes."));
	return ERR_OK;
}

static enum err represented_form(struct request *rq, struct response *rs)
{
	struct uuid id;
	struct str said, *marked;
	TRY(form_choice(rq, &id, &said));
	size_t n = request_form_all(rq, "principal", &marked);
	if (n == 0) {
		back(rq, rs, STR("Mark the people for whom you want to vote."));
		return ERR_OK;
	}
	struct uuid *principals = ARENA_ARRAY(rq->call->arena, n, struct uuid);
	for (size_t i = 0; i < n; i++)
		if (!uuid_parse(marked[i], &principals[i]))
			return fail_field(rq->call, "form/principal", "These are ids of memberships.");
	TRY(ballot_vote_for(rq->call, rq->coop.id, id, principals, n, said));
	back(rq, rs, str_is(said, "none") ? STR("Your own vote goes for them again.")
		: str_fmt(rq->call->arena, "You voted for %zu %s. It counts if they do not vote themselves.", n, n == 1 ? "person" : "people"));
	return ERR_OK;
}

static enum err board_form(struct request *rq, struct response *rs)
{
	struct uuid id;
	struct str said;
	TRY(form_choice(rq, &id, &said));
	TRY(ballot_board_say(rq->call, rq->coop.id, id, said));
	back(rq, rs, STR("What you say the board should resolve was noted."));
	return ERR_OK;
}

const struct route ballot_page_routes[] = {
	{ "GET", "/coops/{coop}/ballots", "page_ballots", PERM_ACTIVE, 0, NULL, "text/html", 200, ballots_page, NULL },
	{ "GET", "/coops/{coop}/ballots/{ballot}", "page_ballot", PERM_ACTIVE, 0, NULL, "text/html", 200, ballot_page, NULL },
	{ "POST", "/coops/{coop}/ballots/{ballot}/vote", "page_ballot_vote", PERM_ACTIVE, LIMIT_BODY_SMALL, "form", "text/html", 303, vote_form, NULL },
	{ "POST", "/coops/{coop}/ballots/{ballot}/represented", "page_ballot_represented", PERM_ACTIVE, LIMIT_BODY_SMALL, "form", "text/html", 303, represented_form, NULL },
	{ "POST", "/coops/{coop}/ballots/{ballot}/board", "page_ballot_board", PERM_ACTIVE, LIMIT_BODY_SMALL, "form", "text/html", 303, board_form, NULL },
	ROUTE_TABLE_END,
};
