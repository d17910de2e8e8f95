#include "agreement_internal.h"
#include "server/merge/merge_pages.h"

#include "commonhold/preview.h"
#include "commonhold/ballot.h"
#include "commonhold/chart.h"
#include "commonhold/routes.h"
#include "commonhold/words.h"

/* One revision of an agreement: what it says, how far it is, who has voted and signed, what comes next, and what an admin may do. */

#define LIVE_SECONDS "4" /* while something is about to follow by itself */

static const char *const state_words[AGREEMENT_STATE_COUNT] = {
	"draft", "proposed", "being voted on", "passed here", "signed here", "in effect", "suspended", "ending", "ended", "turned down", "taken back", "not signed in time", "renewed",
};
static const char *const state_badges[AGREEMENT_STATE_COUNT] = {
	"neutral", "info", "info", "info", "conditional", "include", "hold", "hold", "neutral", "exclude", "neutral", "neutral", "neutral",
};

const char *agreement_state_words(enum agreement_state s)
{
	return state_words[s];
}

const char *agreement_state_badge(enum agreement_state s)
{
	return state_badges[s];
}

void agreement_row_write(struct json_writer *w, struct arena *a, const struct agreement *g)
{
	jw_object(w);
	jw_kstr(w, "digest", sha256_hex(a, g->terms.digest));
	jw_kstr(w, "partner", g->partner_title.n ? g->partner_title : g->partner);
	jw_kint(w, "revision", g->terms.revision);
	jw_kbool(w, "renewal", g->terms.revision > 1);
	jw_kz(w, "state_words", state_words[g->state]);
	jw_kz(w, "badge", state_badges[g->state]);
	jw_kstr(w, "since", words_day(a, g->state_at));
	jw_kstr(w, "until", words_day(a, g->ends_at));
	jw_end_object(w);
}

struct str agreement_place(struct request *rq, struct sha256 digest, const char *more)
{
	return str_fmt(rq->call->arena, "/coops/%.*s/agreements/%.*s%s", STR_ARG(rq->coop.slug), STR_ARG(sha256_hex(rq->call->arena, digest)), more);
}

/* ---- Its life as a picture ---- */

/* When it came to a state; INSTANT_NONE: it did not. */
static instant came_to(const struct agreement_event *events, size_t n, enum agreement_state s)
{
	for (size_t i = 0; i < n; i++)
		if (events[i].state.p && str_is(events[i].state, agreement_state_name(s)))
			return events[i].at;
	return INSTANT_NONE;
}

static void stage_add(struct chart_stage *stages, size_t *n, const char *label, struct str text, const char *class)
{
	stages[(*n)++] = (struct chart_stage){ .label = str_of(label), .text = text, .class = class };
}

/* What is expected of a stage that was not reached. */
static struct str expected(struct arena *a, const struct agreement *g, enum agreement_state stage, instant closes)
{
	if (stage == AGREEMENT_PASSED && closes != INSTANT_NONE)
		return str_fmt(a, "until %.*s", STR_ARG(words_day(a, closes)));
	if (stage == AGREEMENT_IN_EFFECT && g->terms.starts > clock_now())
		return str_fmt(a, "from %.*s", STR_ARG(words_day(a, g->terms.starts)));
	if (stage == AGREEMENT_ENDED)
		return str_fmt(a, "on %.*s", STR_ARG(words_day(a, g->ends_at)));
	return STR("");
}

static struct str picture(struct arena *a, const struct agreement *g, const struct agreement_event *events, size_t n, instant closes)
{
	static const struct { enum agreement_state state; const char *label; } way[] = {
		{ AGREEMENT_PROPOSED, "Proposed" }, { AGREEMENT_PASSED, "Voted on here" }, { AGREEMENT_SIGNED, "Signed here" }, { AGREEMENT_IN_EFFECT, "In effect" }, { AGREEMENT_ENDED, "Ends" },
	};
	struct chart_stage stages[CH_LEN(way) + 2];
	size_t count = 0;
	bool now_said = false, in_effect = AGREEMENT_BIT(g->state) & (AGREEMENT_BIT(AGREEMENT_IN_EFFECT) | AGREEMENT_BIT(AGREEMENT_SUSPENDED));
	if (g->proposed_here)
		stage_add(stages, &count, "Drafted", words_day(a, g->made_at), "include");
	for (size_t i = 0; i < CH_LEN(way); i++) {
		instant at = came_to(events, n, way[i].state);
		if (at != INSTANT_NONE) {
			stage_add(stages, &count, way[i].state == AGREEMENT_ENDED ? "Ended" : way[i].label, words_day(a, at), "include");
			continue;
		}
		if (agreement_over(g->state)) {
			stage_add(stages, &count, g->state == AGREEMENT_RENEWED ? "Renewed" : g->state == AGREEMENT_REJECTED ? "Turned down" : g->state == AGREEMENT_WITHDRAWN ? "Taken back" : "Not in time",
				words_day(a, g->state_at), g->state == AGREEMENT_RENEWED ? "include" : "exclude");
			break;
		}
		stage_add(stages, &count, way[i].label, expected(a, g, way[i].state, closes), now_said || in_effect ? "neutral" : "info");
		now_said = true;
	}
	return chart_stages(a, "How far the agreement is", stages, count);
}

static const char *by_words(struct str by)
{
	return str_is(by, "admin") ? "an admin here" : str_is(by, "ballot") ? "the members here" : str_is(by, "partner") ? "the partner" : str_is(by, "charter") ? "a charter that changed" : "time";
}

static void events_write(struct json_writer *w, struct arena *a, const struct agreement_event *events, size_t n)
{
	jw_key(w, "events");
	jw_array(w);
	for (size_t i = 0; i < n; i++) {
		enum agreement_state s;
		bool moved = events[i].state.p && agreement_state_parse(events[i].state, &s);
		jw_object(w);
		jw_kstr(w, "at", words_minute(a, events[i].at));
		jw_kz(w, "state_words", moved ? state_words[s] : NULL);
		jw_kz(w, "badge", moved ? state_badges[s] : NULL);
		jw_kz(w, "by", by_words(events[i].by));
		jw_kstr(w, "note", events[i].note);
		jw_end_object(w);
	}
	jw_end_array(w);
}

/* ---- What comes next ---- */

static struct str suspended_next(struct arena *a, const struct agreement *g)
{
	if (g->suspended_here)
		return STR("It rests because an admin here said so; an admin here can lift that.");
	if (g->suspended_by_charter)
		return STR("It rests because it no longer fits our charter. It goes on when it is renewed, or fits again.");
	return str_fmt(a, "It rests because %.*s said so, and only they can lift that.", STR_ARG(g->partner_title));
}

static struct str next_words(struct arena *a, const struct agreement *g, const struct ballot *b)
{
	struct str who = g->partner_title, by = words_day(a, g->made_at + SIGN_WITHIN), ends = words_day(a, g->ends_at);
	switch (g->state) {
	case AGREEMENT_DRAFTED:
		return str_fmt(a, "An admin proposes it to %.*s. Both co-ops have to have signed it by %.*s.", STR_ARG(who), STR_ARG(by));
	case AGREEMENT_PROPOSED:
		return str_fmt(a, "An admin puts it to the vote here; %.*s votes on the same text under its own charter. Both have to have signed it by %.*s.", STR_ARG(who), STR_ARG(by));
	case AGREEMENT_VOTING:
		return !b ? STR("The members vote.") : b->opens_at > clock_now() ? str_fmt(a, "Voting begins on %.*s and ends on %.*s.", STR_ARG(words_minute(a, b->opens_at)), STR_ARG(words_minute(a, b->closes_at)))
			: str_fmt(a, "The members vote until %.*s.", STR_ARG(words_minute(a, b->closes_at)));
	case AGREEMENT_PASSED:
		return STR("The members said yes. It is being signed.");
	case AGREEMENT_SIGNED:
		return !g->assent_theirs.p ? str_fmt(a, "%.*s has not signed yet. It has until %.*s.", STR_ARG(who), STR_ARG(by))
			: str_fmt(a, "Both have signed. It comes into effect on %.*s.", STR_ARG(words_day(a, g->terms.starts)));
	case AGREEMENT_IN_EFFECT:
		return str_fmt(a, "It lasts until %.*s, unless it is renewed, or ended sooner by notice.", STR_ARG(ends));
	case AGREEMENT_SUSPENDED:
		return suspended_next(a, g);
	case AGREEMENT_ENDING:
		return str_fmt(a, "It ends on %.*s. %s", STR_ARG(words_minute(a, g->ends_at)),
			g->terms.ending == AGREEMENT_ERASE ? "Then the receiver erases what it holds from the other." : "Then the receiver keeps what it holds out of new releases.");
	case AGREEMENT_RENEWED:
		return STR("A later revision has taken its place.");
	default:
		return STR("Nothing more comes of it.");
	}
}

/* ---- Votes and signatures ---- */

/* What an assent says; signatures were checked when it was made or taken in. NULL: there is none. */
static const struct json *assent_read(struct arena *a, struct str envelope)
{
	const struct json *tree, *said;
	struct error e = { 0 };
	struct str payload;
	if (!envelope.p || json_parse(a, envelope, &tree, &e) != ERR_OK || !str_unbase64(a, json_member_text(tree, "payload"), &payload))
		return NULL;
	return json_parse(a, payload, &said, &e) == ERR_OK ? said : NULL;
}

/* How our own members voted, in words. */
static struct str vote_words(struct arena *a, const struct ballot *b)
{
	static const char *const words[] = { [BALLOT_NOTICE] = "announced", [BALLOT_OPEN] = "open", [BALLOT_PASSED] = "passed", [BALLOT_FAILED] = "not passed", [BALLOT_CANCELLED] = "cancelled" };
	if (!b)
		return STR("no vote yet");
	if (b->state == BALLOT_PASSED || b->state == BALLOT_FAILED)
		return str_fmt(a, "%s, %d for and %d against", words[b->state], b->members.yes, b->members.no);
	return str_of(words[b->state]);
}

static void side_write(struct json_writer *w, struct arena *a, struct str name, bool ours, const struct agreement *g, const struct ballot *b)
{
	const struct json *said = assent_read(a, ours ? g->assent_ours : g->assent_theirs);
	instant at;
	jw_object(w);
	jw_kstr(w, "name", name);
	jw_kstr(w, "vote", ours ? vote_words(a, b) : str_of(said ? "passed" : agreement_over(g->state) ? "nothing was heard" : "not heard yet"));
	jw_kstr(w, "ballot", ours && b ? uuid_format(a, b->id) : STR_NONE);
	jw_kstr(w, "ballot_id", ours ? STR_NONE : json_text(json_at(said, "/ballot/id")));
	jw_kstr(w, "result", json_text(json_at(said, "/ballot/result")));
	jw_kstr(w, "signed_at", clock_parse(json_member_text(said, "at"), &at) ? words_minute(a, at) : STR_NONE);
	jw_end_object(w);
}

/* ---- The page ---- */

static void may_write(struct json_writer *w, const struct request *rq, const struct agreement *g)
{
	bool admin = rq->coop.is_admin, live = (AGREEMENT_BIT(g->state) & AGREEMENT_LIVE) != 0, both = g->assent_ours.p && g->assent_theirs.p;
	jw_kbool(w, "may_propose", admin && g->state == AGREEMENT_DRAFTED);
	jw_kbool(w, "may_open", admin && g->state == AGREEMENT_PROPOSED);
	jw_kbool(w, "may_withdraw", admin && !live && !agreement_over(g->state) && !both);
	jw_kz(w, "withdraw_words", g->proposed_here ? "Take it back" : "Turn it down");
	jw_kbool(w, "may_suspend", admin && live && g->current && !g->suspended_here);
	jw_kbool(w, "may_resume", admin && live && g->current && (g->suspended_here || g->suspended_by_charter));
	jw_kbool(w, "may_renew", admin && live && g->current);
	jw_kbool(w, "may_end", admin && live && g->current && g->state != AGREEMENT_ENDING);
	jw_kbool(w, "may_anything", admin && !agreement_over(g->state) && (!live || g->current));
	jw_kbool(w, "may_joint", admin && g->state == AGREEMENT_IN_EFFECT && g->terms.joint.p && str_eq(g->terms.joint, g->terms.parties[g->us]));
}

/* Whether there is a dry run to vote with. */
static enum err tried_write(struct json_writer *w, struct request *rq, const struct agreement *g)
{
	struct dry_run run;
	enum err e = dry_run_read(rq->call, rq->coop.id, g->terms.digest, NULL, &run);
	jw_kbool(w, "tried", e == ERR_OK);
	if (e == ERR_NOT_FOUND) {
		db_rollback(rq->call);
		error_clear(&rq->call->error);
		return ERR_OK;
	}
	return e;
}

static enum err one_data(struct json_writer *w, struct request *rq, struct response *rs, enum err refused)
{
	struct call *c = rq->call;
	struct arena *a = c->arena;
	struct agreement g;
	struct agreement_event *events;
	struct ballot ballot;
	struct sha256 digest;
	size_t n;
	TRY(page_form_said(rq, rs, refused, w));
	TRY(agreement_param(rq, &digest));
	TRY(agreement_read(c, rq->coop.id, digest, &g));
	TRY(agreement_history(c, rq->coop.id, digest, &events, &n));
	bool voted = !uuid_is_nil(g.ballot);
	if (voted)
		TRY(ballot_read(c, rq->coop.id, g.ballot, &ballot));
	jw_kstr(w, "title", str_fmt(a, "Sharing the pool with %.*s", STR_ARG(g.partner_title)));
	jw_kstr(w, "coop", rq->coop.slug);
	jw_kstr(w, "digest", sha256_hex(a, digest));
	jw_kstr(w, "id", uuid_format(a, g.id));
	jw_kstr(w, "peer", uuid_format(a, g.peer));
	jw_kstr(w, "partner", g.partner_title);
	jw_kz(w, "state_words", state_words[g.state]);
	jw_kz(w, "badge", state_badges[g.state]);
	jw_kstr(w, "revision", g.terms.revision > 1 ? str_fmt(a, "revision %d", g.terms.revision) : STR_NONE);
	jw_kbool(w, "draft", g.state == AGREEMENT_DRAFTED);
	jw_kstr(w, "note", g.note);
	jw_kstr(w, "typed_reason", rq->body.n && request_form(rq, "reason").p ? request_form(rq, "reason") : STR(""));
	jw_kstr(w, "typed_no_dry_run", rq->body.n && request_form(rq, "no_dry_run").p ? request_form(rq, "no_dry_run") : STR(""));
	TRY(tried_write(w, rq, &g));
	jw_kstr(w, "next_words", next_words(a, &g, voted ? &ballot : NULL));
	jw_kz(w, "refresh", g.state == AGREEMENT_PASSED || (g.state == AGREEMENT_SIGNED && g.assent_theirs.p && g.terms.starts <= clock_now()) ? LIVE_SECONDS : NULL);
	jw_kstr(w, "picture", picture(a, &g, events, n, voted && ballot.closed_at == INSTANT_NONE ? ballot.closes_at : INSTANT_NONE));
	events_write(w, a, events, n);
	jw_key(w, "sides");
	jw_array(w);
	side_write(w, a, g.terms.names[g.us], true, &g, voted ? &ballot : NULL);
	side_write(w, a, g.terms.names[!g.us], false, &g, NULL);
	jw_end_array(w);
	may_write(w, rq, &g);
	return agreement_words_write(w, a, "lines", &g);
}

static enum err one_form(struct request *rq, struct response *rs, enum err refused)
{
	struct buf b;
	struct json_writer w = page_begin(&b);
	return page_end(rq, rs, "page/agreement", &b, &w, one_data(&w, rq, rs, refused));
}

static enum err one_page(struct request *rq, struct response *rs)
{
	return one_form(rq, rs, ERR_OK);
}

/* ---- Acts ---- */

static enum err done(struct request *rq, struct response *rs, enum err e, const char *flash)
{
	struct sha256 digest;
	if (e != ERR_OK)
		return one_form(rq, rs, e);
	TRY(agreement_param(rq, &digest));
	return response_done(rq, rs, str_of(flash), agreement_place(rq, digest, ""));
}

static struct str reason_of(struct request *rq)
{
	struct str reason = form_filled(rq, "reason");
	return reason.p ? reason : STR("");
}

static enum err propose_form(struct request *rq, struct response *rs)
{
	struct agreement g;
	struct sha256 digest;
	TRY(agreement_param(rq, &digest));
	return done(rq, rs, agreement_propose(rq->call, rq->coop.id, digest, &g), "It is on its way to the partner. Now both co-ops can put it to the vote.");
}

static enum err ballot_form(struct request *rq, struct response *rs)
{
	struct agreement g;
	struct sha256 digest;
	TRY(agreement_param(rq, &digest));
	return done(rq, rs, agreement_open_ballot(rq->call, rq->coop.id, digest, form_filled(rq, "no_dry_run"), &g), "The members are told. Voting begins after the notice.");
}

static enum err withdraw_form(struct request *rq, struct response *rs)
{
	struct agreement g;
	struct sha256 digest;
	TRY(agreement_param(rq, &digest));
	return done(rq, rs, agreement_withdraw(rq->call, rq->coop.id, digest, reason_of(rq), &g), "Done. The partner is told.");
}

static enum err suspend_form(struct request *rq, struct response *rs)
{
	struct agreement g;
	struct uuid id;
	TRY(agreement_param_id(rq, &id));
	return done(rq, rs, agreement_suspend(rq->call, rq->coop.id, id, reason_of(rq), &g), "It rests from now on. The partner is told.");
}

static enum err resume_form(struct request *rq, struct response *rs)
{
	struct agreement g;
	struct uuid id;
	TRY(agreement_param_id(rq, &id));
	return done(rq, rs, agreement_resume(rq->call, rq->coop.id, id, &g), "Our suspension is lifted. The partner is told.");
}

static enum err end_form(struct request *rq, struct response *rs)
{
	struct agreement g;
	struct uuid id;
	TRY(agreement_param_id(rq, &id));
	return done(rq, rs, agreement_end(rq->call, rq->coop.id, id, reason_of(rq), &g), "Notice is given. The partner is told.");
}

#define ONE "/coops/{coop}/agreements/{agreement}"
const struct route agreement_page_routes[] = {
	{ "GET", ONE, "page_agreement", PERM_ACTIVE, 0, NULL, "text/html", 200, one_page, "One agreement" },
	{ "POST", ONE "/propose", "page_agreement_propose", PERM_ADMIN, LIMIT_BODY_SMALL, "form", "text/html", 303, propose_form, "Propose it" },
	{ "POST", ONE "/ballot", "page_agreement_ballot", PERM_ADMIN, LIMIT_BODY_SMALL, "form", "text/html", 303, ballot_form, "Put it to the vote" },
	{ "POST", ONE "/withdraw", "page_agreement_withdraw", PERM_ADMIN, LIMIT_BODY_SMALL, "form", "text/html", 303, withdraw_form, "Take it back, or turn it down" },
	{ "POST", ONE "/suspend", "page_agreement_suspend", PERM_ADMIN, LIMIT_BODY_SMALL, "form", "text/html", 303, suspend_form, "Suspend it" },
	{ "POST", ONE "/resume", "page_agreement_resume", PERM_ADMIN, LIMIT_BODY_SMALL, "form", "text/html", 303, resume_form, "Lift our suspension" },
	{ "POST", ONE "/end", "page_agreement_end", PERM_ADMIN, LIMIT_BODY_SMALL, "form", "text/html", 303, end_form, "Give notice" },
	ROUTE_TABLE_END
};
