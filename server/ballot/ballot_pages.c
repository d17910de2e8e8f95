#include "commonhold/ballot.h"
#include "commonhold/routes.h"
#include "commonhold/words.h"

static const char *const state_badges[] = {
	[BALLOT_NOTICE] = "info", [BALLOT_OPEN] = "conditional", [BALLOT_PASSED] = "include", [BALLOT_FAILED] = "exclude", [BALLOT_CANCELLED] = "neutral",
};
static const char *const state_words[] = {
	[BALLOT_NOTICE] = "opens soon", [BALLOT_OPEN] = "open", [BALLOT_PASSED] = "passed", [BALLOT_FAILED] = "not passed", [BALLOT_CANCELLED] = "cancelled",
};

static int percent(int part, int whole)
{
	return whole > 0 ? (int)((int64_t)part * 100 / whole) : 0;
}

static void tally_row(struct json_writer *w, const char *text, const char *class, int n, int roll)
{
	jw_object(w);
	jw_kz(w, "text", text);
	jw_kz(w, "class", class);
	jw_kint(w, "n", n);
	jw_kint(w, "percent", percent(n, roll));
	jw_end_object(w);
}

static void tally_of(struct json_writer *w, const char *who, struct ballot_tally t, bool shown)
{
	jw_object(w);
	jw_kz(w, "who", who);
	jw_kint(w, "roll", t.roll);
	jw_kbool(w, "shown", shown);
	jw_key(w, "rows");
	jw_array(w);
	if (shown) {
		tally_row(w, "For", "include", t.yes, t.roll);
		tally_row(w, "Against", "exclude", t.no, t.roll);
		tally_row(w, "Abstained", "info", t.abstain, t.roll);
		tally_row(w, "Not decided", "neutral", t.undecided, t.roll);
	}
	jw_end_array(w);
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

/* A ballot as a page shows it. */
static enum err ballot_page_data(struct json_writer *w, struct request *rq, const struct ballot *b)
{
	struct arena *a = rq->call->arena;
	const struct json *rule;
	TRY(json_parse(a, b->rule, &rule, &rq->call->error));
	jw_object(w);
	jw_kstr(w, "title", b->title);
	jw_kstr(w, "id", uuid_format(a, b->id));
	jw_kstr(w, "coop", rq->coop.slug);
	jw_kstr(w, "question", b->question);
	jw_kstr(w, "rule_words", ballot_rule_words(a, rule));
	jw_kstr(w, "digest", sha256_hex(a, b->digest));
	jw_kbool(w, "is_release", str_is(b->kind, "release"));
	jw_kbool(w, "of_motion", !str_is(b->kind, "release") && !str_is(b->kind, "merge"));
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
	if (b->members.roll > b->admins.roll)
		tally_of(w, "Members", b->members, b->tally_shown);
	tally_of(w, "Admins", b->admins, b->tally_shown);
	jw_end_array(w);
	jw_end_object(w);
	return ERR_OK;
}

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
	for (size_t i = 0; i < n && e == ERR_OK; i++)
		e = ballot_page_data(&w, rq, &ballots[i]);
	jw_end_array(&w);
	return page_end(rq, rs, "page/ballots", &b, &w, e);
}

static enum err ballot_page(struct request *rq, struct response *rs)
{
	struct uuid id;
	struct ballot ballot;
	struct buf b;
	struct json_writer w;
	TRY(request_param_uuid(rq, 1, &id));
	TRY(ballot_read(rq->call, rq->coop.id, id, &ballot));
	buf_init(&b, LIMIT_PAGE_DATA);
	jw_init(&w, &b);
	enum err e = ballot_page_data(&w, rq, &ballot);
	if (e != ERR_OK) {
		buf_release(&b);
		return e;
	}
	return response_page_text(rq, rs, "page/ballot", &b);
}

static enum err vote_form(struct request *rq, struct response *rs)
{
	struct uuid id;
	struct ballot ballot;
	struct str said = request_form(rq, "choice");
	TRY(request_param_uuid(rq, 1, &id));
	if (!str_is(said, "for") && !str_is(said, "against") && !str_is(said, "abstain") && !str_is(said, "none"))
		return fail_field(rq->call, "form/choice", "Choose for, against or abstain.");
	TRY(ballot_cast_vote(rq->call, rq->coop.id, id, said, &ballot));
	response_flash(rq, rs, str_is(said, "none") ? STR("Your vote was taken back.") : STR("Your vote was counted. You may change it until the ballot closes."));
	response_redirect(rs, rq->path.n > 5 && str_ends(rq->path, "/vote") ? str_sub(rq->path, 0, rq->path.n - 5) : rq->path);
	return ERR_OK;
}

const struct route ballot_page_routes[] = {
	{ "GET", "/coops/{coop}/ballots", "page_ballots", PERM_ACTIVE, 0, NULL, "text/html", 200, ballots_page, NULL },
	{ "GET", "/coops/{coop}/ballots/{ballot}", "page_ballot", PERM_ACTIVE, 0, NULL, "text/html", 200, ballot_page, NULL },
	{ "POST", "/coops/{coop}/ballots/{ballot}/vote", "page_ballot_vote", PERM_ACTIVE, LIMIT_BODY_SMALL, "form", "text/html", 303, vote_form, NULL },
	ROUTE_TABLE_END,
};
