#include "server/merge/merge_pages.h"

#include "commonhold/words.h"

/* Drafting an agreement, or the next revision of one: a form that begins with the widest that both charters allow, and says beside its fields what neither would. */

/* What the form begins with, and what it may offer. */
struct offer {
	struct peer peer;
	struct charter ours, theirs;
	struct terms_diff diff;
	struct str envelope;         /* their signed charter as it was brought along; absent: asked for */
	struct uuid renews;          /* nil: a new agreement */
	struct agreement_terms usual;
	const char *flow, *joint;    /* words of schemas/agreement_draft.json */
	bool sent;                   /* the form was filled in: what it says stands, not what is usual */
};

/* ---- What is usual ---- */

static void widest(struct offer *o)
{
	const struct terms_common *k = &o->diff.common;
	o->usual = (struct agreement_terms){ .uses = k->uses, .floor = k->floor, .purposes = k->purposes, .kinds = k->kinds, .licences = k->licences, .audience = k->audience, .access = k->access,
		.attribution = k->attribution, .k = k->k ? k->k : 1, .embargo = k->embargo, .retention = k->retention, .licence_mode = k->licence_mode, .moderation_both = k->moderation_both,
		.cadence = 7 * CLOCK_DAY, .freshness = 30 * CLOCK_DAY, .notice = 30 * CLOCK_DAY, .near_loss = 20, .ending = AGREEMENT_ERASE };
	o->flow = "both";
	o->joint = "none";
}

/* A renewal begins with what stands, as far as both charters still allow it. */
static void as_it_stands(struct offer *o, const struct agreement *g)
{
	struct agreement_terms *u = &o->usual;
	const struct terms_common *k = &o->diff.common;
	*u = g->terms;
	u->uses &= k->uses;
	u->floor = (uint16_t)((u->floor | k->floor) & ~u->uses);
	u->purposes &= k->purposes;
	u->kinds &= k->kinds;
	u->licences &= k->licences;
	u->audience = u->audience < k->audience ? u->audience : k->audience;
	u->access = u->access < k->access ? u->access : k->access;
	u->attribution = u->attribution < k->attribution ? u->attribution : k->attribution;
	u->k = u->k > k->k ? u->k : k->k;
	u->embargo = u->embargo > k->embargo ? u->embargo : k->embargo;
	u->retention = u->retention == 0 || (k->retention && k->retention < u->retention) ? k->retention : u->retention;
	u->licence_mode = u->licence_mode > k->licence_mode ? u->licence_mode : k->licence_mode;
	u->moderation_both |= k->moderation_both;
	o->flow = g->we_send && g->we_receive ? "both" : g->we_send ? "send" : "receive";
	o->joint = !u->joint.p || !o->diff.joint ? "none" : str_eq(u->joint, u->parties[g->us]) ? "us" : "them";
}

static enum err offer_read(struct request *rq, struct offer *o)
{
	struct call *c = rq->call;
	struct uuid id;
	struct agreement g;
	bool posted = str_is(rq->method, "POST");
	struct str renews = posted ? request_form(rq, "renews") : request_query(rq, "renews");
	*o = (struct offer){ .envelope = posted ? form_filled(rq, "signed_charter") : STR_NONE, .sent = posted && !str_is(request_form(rq, "act"), "open") };
	TRY(request_param_uuid(rq, 1, &id));
	TRY(peer_read(c, rq->coop.id, id, &o->peer));
	TRY(terms_diff_with_peer(c, rq->coop.id, id, o->envelope, &o->ours, &o->theirs, &o->diff));
	widest(o);
	if (renews.n && uuid_parse(renews, &o->renews)) {
		TRY(agreement_read_current(c, rq->coop.id, o->renews, &g));
		as_it_stands(o, &g);
	}
	return ERR_OK;
}

/* ---- Fields ---- */

/* A box for each of `mask`. */
static void boxes(struct request *rq, const struct offer *o, struct json_writer *w, const char *field, uint64_t mask, uint64_t usual, unsigned count, const char *(*name)(unsigned no),
	const char *(*words)(unsigned no))
{
	form_boxes(rq, w, &(struct form_boxes){ field, field, mask, usual, count, name, words, o->sent });
}

static const char *licence_name(unsigned no)
{
	return policy_licence_get(no)->spdx;
}

struct choice { const char *id, *words; };

/* One of several: those that `allowed` has as bits. */
static void choices(struct request *rq, const struct offer *o, struct json_writer *w, const char *field, const struct choice *of, size_t n, unsigned allowed, const char *usual)
{
	struct str sent = o->sent ? request_form(rq, field) : STR_NONE;
	jw_key(w, field);
	jw_array(w);
	for (size_t i = 0; i < n; i++) {
		if (!(allowed >> i & 1))
			continue;
		jw_object(w);
		jw_kz(w, "id", of[i].id);
		jw_kz(w, "words", of[i].words);
		jw_kbool(w, "chosen", sent.p ? str_is(sent, of[i].id) : !strcmp(usual, of[i].id));
		jw_end_object(w);
	}
	jw_end_array(w);
}

static void typed(struct request *rq, const struct offer *o, struct json_writer *w, const char *field, struct str usual)
{
	jw_kstr(w, field, o->sent && request_form(rq, field).p ? request_form(rq, field) : usual);
}

static struct str days(struct arena *a, int64_t span, bool up)
{
	return str_fmt(a, "%lld", (long long)((span + (up ? CLOCK_DAY - 1 : 0)) / CLOCK_DAY));
}

static unsigned up_to(int most)
{
	return most < 0 ? 1 : (2u << most) - 1;
}

static void choices_write(struct request *rq, const struct offer *o, struct json_writer *w)
{
	static const struct choice flows[] = { { "both", "Both send and both receive" }, { "send", "We send, they receive" }, { "receive", "They send, we receive" } };
	static const struct choice audiences[] = { { "members", "members of the co-op" }, { "gated_manual", "whom an admin admits" }, { "gated_auto", "whoever accepts the terms" }, { "public", "anyone" } };
	static const struct choice accesses[] = { { "gated_manual", "whom an admin admits" }, { "gated_auto", "whoever accepts the terms" }, { "public", "anyone" } };
	static const struct choice names[] = { { "anonymous", "no names" }, { "pseudonym", "a random name, the same towards nobody else" }, { "public", "the public name of those who chose one" } };
	static const struct choice moderations[] = { { "home", "What its home has let pass is good enough" }, { "both", "The receiver looks at what it takes, too" } };
	static const struct choice joints[] = { { "none", "There are none" }, { "us", "We make them" }, { "them", "They make them" } };
	static const struct choice modes[] = { { "collection", "Every contribution keeps its own licence" }, { "adaptation", "The whole gets one licence" } };
	static const struct choice endings[] = { { "erase", "The receiver erases what it holds" }, { "keep", "The receiver keeps it out of new releases" } };
	const struct terms_common *k = &o->diff.common;
	const struct agreement_terms *u = &o->usual;
	choices(rq, o, w, "flow", flows, CH_LEN(flows), 7, o->flow);
	choices(rq, o, w, "audience", audiences, CH_LEN(audiences), up_to((int)k->audience - POLICY_AUDIENCE_MEMBERS), policy_audience_name(u->audience));
	choices(rq, o, w, "access", accesses, CH_LEN(accesses), up_to(k->access - POLICY_AUDIENCE_GATED_MANUAL), policy_audience_name((unsigned)u->access));
	choices(rq, o, w, "attribution", names, CH_LEN(names), up_to(k->attribution), attribution_word(u->attribution));
	choices(rq, o, w, "moderation", moderations, CH_LEN(moderations), k->moderation_both ? 2 : 3, u->moderation_both ? "both" : "home");
	choices(rq, o, w, "joint", joints, CH_LEN(joints), o->diff.joint ? 7 : 1, o->joint);
	choices(rq, o, w, "licence_mode", modes, CH_LEN(modes), k->licence_mode == POLICY_ADAPTATION ? 2 : 3, u->licence_mode == POLICY_ADAPTATION ? "adaptation" : "collection");
	choices(rq, o, w, "ending", endings, CH_LEN(endings), 3, u->ending == AGREEMENT_ERASE ? "erase" : "keep");
}

static void numbers_write(struct request *rq, const struct offer *o, struct json_writer *w)
{
	struct arena *a = rq->call->arena;
	const struct agreement_terms *u = &o->usual;
	const struct terms_common *k = &o->diff.common;
	jw_key(w, "value");
	jw_object(w);
	typed(rq, o, w, "k", str_fmt(a, "%u", u->k));
	typed(rq, o, w, "embargo", days(a, u->embargo, true));
	typed(rq, o, w, "retention", days(a, u->retention, false));
	typed(rq, o, w, "cadence", days(a, u->cadence, true));
	typed(rq, o, w, "freshness", days(a, u->freshness, true));
	typed(rq, o, w, "notice", days(a, u->notice, false));
	typed(rq, o, w, "near_loss", str_fmt(a, "%d", u->near_loss));
	typed(rq, o, w, "starts", STR(""));
	typed(rq, o, w, "ends", STR(""));
	jw_kbool(w, "onward", o->sent ? request_form(rq, "onward").n > 0 : u->onward);
	jw_end_object(w);
	jw_kstr(w, "k_least", k->k > 1 ? str_fmt(a, "At least %u: a charter says so.", k->k) : STR("At least 1."));
	jw_kstr(w, "embargo_least", k->embargo ? str_fmt(a, "At least %.*s: a charter says so.", STR_ARG(days(a, k->embargo, true))) : STR("0 for no wait."));
	jw_kstr(w, "retention_most", k->retention ? str_fmt(a, "At most %.*s: a charter says so.", STR_ARG(days(a, k->retention, false))) : STR("0 for as long as what its own members contributed."));
}

static enum err draft_data(struct json_writer *w, struct request *rq, struct response *rs, enum err refused)
{
	struct call *c = rq->call;
	struct offer *o = ARENA_NEW(c->arena, struct offer);
	struct uuid id;
	struct peer peer;
	/* What was refused is told first: the form that follows asks anew, and may itself have something to say. */
	TRY(page_form_said(rq, rs, refused, w));
	TRY(request_param_uuid(rq, 1, &id));
	TRY(peer_read(c, rq->coop.id, id, &peer));
	enum err e = offer_read(rq, o);
	jw_kstr(w, "title", str_fmt(c->arena, "%s with %.*s", uuid_is_nil(o->renews) ? "An agreement" : "Renew the agreement", STR_ARG(peer_called(&peer))));
	jw_kstr(w, "coop", rq->coop.slug);
	jw_kstr(w, "peer", uuid_format(c->arena, id));
	jw_kstr(w, "called", peer_called(&peer));
	if (e != ERR_OK && refused == ERR_OK)
		return page_form_said(rq, rs, e, w);
	TRY(e);
	jw_kbool(w, "blocked", !o->diff.possible);
	jw_kbool(w, "unconfirmed", peer.state != PEER_CONFIRMED);
	if (!o->diff.possible || peer.state != PEER_CONFIRMED)
		return ERR_OK;
	const struct terms_common *k = &o->diff.common;
	const struct agreement_terms *u = &o->usual;
	jw_key(w, "form");
	jw_object(w);
	jw_kstr(w, "renews", uuid_format_or_none(c->arena, o->renews));
	jw_kstr(w, "envelope", o->envelope);
	boxes(rq, o, w, "kinds", k->kinds, u->kinds, POLICY_KIND_COUNT, policy_kind_name, words_kind);
	boxes(rq, o, w, "uses", k->uses, u->uses, POLICY_USE_COUNT, policy_use_name, words_use);
	boxes(rq, o, w, "floor", POLICY_USES_ALL, u->floor, POLICY_USE_COUNT, policy_use_name, words_use);
	boxes(rq, o, w, "purposes", k->purposes, u->purposes, POLICY_PURPOSE_COUNT, policy_purpose_name, words_purpose);
	boxes(rq, o, w, "licences", k->licences, u->licences, POLICY_LICENCE_COUNT, licence_name, licence_name);
	choices_write(rq, o, w);
	numbers_write(rq, o, w);
	jw_end_object(w);
	return ERR_OK;
}

static enum err draft_form(struct request *rq, struct response *rs, enum err refused)
{
	struct buf b;
	struct json_writer w = page_begin(&b);
	return page_end(rq, rs, "page/agreement_draft", &b, &w, draft_data(&w, rq, rs, refused));
}

enum err draft_page(struct request *rq, struct response *rs)
{
	return draft_form(rq, rs, ERR_OK);
}

/* ---- From the form to the draft ---- */

/* Days as a duration; what is no number is left for the check to refuse. */
static void days_of(struct request *rq, struct json_writer *w, const char *field)
{
	struct str v = form_filled(rq, field);
	int64_t n;
	if (v.p)
		jw_kstr(w, field, str_to_i64(v, 0, 36600, &n) ? str_fmt(rq->call->arena, "P%lldD", (long long)n) : v);
}

static void day_of(struct request *rq, struct json_writer *w, const char *field)
{
	struct str v = form_filled(rq, field);
	if (v.p)
		jw_kstr(w, field, v.n == 10 ? str_fmt(rq->call->arena, "%.*sT00:00:00Z", STR_ARG(v)) : v);
}

static enum err draft_of(struct request *rq, const struct json *schemas, const struct json **out)
{
	static const char *const lists[] = { "kinds", "uses", "floor", "purposes", "licences" }, *const texts[] = { "flow", "audience", "access", "attribution", "moderation", "licence_mode", "ending" };
	static const char *const spans[] = { "embargo", "retention", "cadence", "freshness", "notice" };
	struct buf b;
	struct json_writer w;
	struct str joint = form_filled(rq, "joint");
	buf_init(&b, AGREEMENT_DOCUMENT_MAX);
	jw_init(&w, &b);
	jw_object(&w);
	for (size_t i = 0; i < CH_LEN(lists); i++)
		form_list(rq, &w, lists[i], lists[i]);
	for (size_t i = 0; i < CH_LEN(texts); i++)
		form_text(&w, texts[i], form_filled(rq, texts[i]));
	for (size_t i = 0; i < CH_LEN(spans); i++)
		days_of(rq, &w, spans[i]);
	form_number(&w, "k", form_filled(rq, "k"));
	form_number(&w, "near_loss", form_filled(rq, "near_loss"));
	day_of(rq, &w, "starts");
	day_of(rq, &w, "ends");
	jw_kbool(&w, "onward", request_form(rq, "onward").n > 0);
	jw_kstr(&w, "joint", joint.p && !str_is(joint, "none") ? joint : STR_NONE);
	if (schemas) {
		jw_key(&w, "schemas");
		jw_json(&w, schemas);
	}
	jw_end_object(&w);
	struct str text = buf_take(rq->call->arena, &b);
	return text.p ? json_parse(rq->call->arena, text, out, &rq->call->error) : fail(rq->call, ERR_TOO_LARGE, "This is too much.");
}

static enum err draft_take(struct request *rq, struct agreement *out)
{
	struct uuid peer, renews = { { 0 } };
	const struct json *draft;
	struct agreement before = { 0 };
	struct str text = form_filled(rq, "renews");
	TRY(request_param_uuid(rq, 1, &peer));
	if (text.p && uuid_parse(text, &renews))
		TRY(agreement_read_current(rq->call, rq->coop.id, renews, &before));
	TRY(draft_of(rq, before.terms.schemas, &draft));
	return agreement_draft(rq->call, rq->coop.id, peer, draft, renews, form_filled(rq, "signed_charter"), out);
}

enum err draft_submit(struct request *rq, struct response *rs)
{
	struct agreement g;
	if (str_is(request_form(rq, "act"), "open"))
		return draft_form(rq, rs, ERR_OK);
	enum err e = draft_take(rq, &g);
	return e == ERR_OK ? response_done(rq, rs, STR("It is drafted. The partner does not know of it until you propose it."), agreement_place(rq, g.terms.digest, "")) : draft_form(rq, rs, e);
}
