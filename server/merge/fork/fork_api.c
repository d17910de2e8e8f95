#include "server/merge/fork/fork_internal.h"

#include "commonhold/routes.h"

/* Forks and lineage over JSON. */

/* As schemas/fork.json. */
static void offer_write(struct json_writer *w, struct arena *a, const struct fork_offer *o)
{
	jw_object(w);
	jw_kstr(w, "id", uuid_format(a, o->id));
	jw_kstr(w, "title", o->title);
	jw_kstr(w, "place", o->place);
	jw_kstr(w, "reason", o->reason);
	jw_kstr(w, "by", uuid_format(a, o->by));
	jw_kstr(w, "by_name", o->by_name);
	jw_kstr(w, "offered_at", clock_format(a, o->offered_at));
	jw_kstr(w, "closes_at", clock_format(a, o->closes_at));
	jw_kz(w, "state", fork_state_word(o->state));
	jw_kstr(w, "state_at", clock_format(a, o->state_at));
	jw_kz(w, "says", fork_state_sentence(o->state));
	jw_kint(w, "yes", o->yes);
	jw_kint(w, "members", o->members);
	jw_kint(w, "items", o->items);
	jw_kint(w, "size", o->size);
	jw_kstr(w, "root", sha256_hex_or_none(a, o->root));
	jw_kstr(w, "fork", o->fork_name);
	jw_kstr(w, "url", o->fork_url);
	jw_kbool(w, "answered", o->answered);
	jw_kbool(w, "mine", o->mine);
	jw_kint(w, "my_items", o->my_items);
	jw_end_object(w);
}

static enum err answer_offer(struct request *rq, struct response *rs, const struct fork_offer *offer)
{
	struct json_writer w = response_json(rs);
	offer_write(&w, rq->call->arena, offer);
	return ERR_OK;
}

static enum err list_forks(struct request *rq, struct response *rs)
{
	struct fork_offer *offers;
	size_t n;
	TRY(fork_offer_list(rq->call, rq->coop.id, &offers, &n));
	struct json_writer w = response_list(rs);
	for (size_t i = 0; i < n; i++)
		offer_write(&w, rq->call->arena, &offers[i]);
	response_list_end(&w);
	return ERR_OK;
}

static enum err offer_fork(struct request *rq, struct response *rs)
{
	struct call *c = rq->call;
	struct fork_offer offer;
	struct fork_draft draft = { .title = json_member_text(rq->json, "title"), .place = json_member_text(rq->json, "place"), .reason = json_member_text(rq->json, "reason") };
	if (!clock_parse(json_member_text(rq->json, "closes_at"), &draft.closes_at))
		return fail_field(c, "/closes_at", "This is no instant.");
	TRY(fork_offer_make(c, rq->coop.id, &draft, &offer));
	struct str id = uuid_format(c->arena, offer.id);
	response_header(rs, "Location", str_fmt(c->arena, "/api/v1/coops/%.*s/forks/%.*s", STR_ARG(rq->coop.slug), STR_ARG(id)));
	return answer_offer(rq, rs, &offer);
}

static enum err read_fork(struct request *rq, struct response *rs)
{
	struct uuid id;
	struct fork_offer offer;
	TRY(request_param_uuid(rq, 1, &id));
	TRY(fork_offer_read(rq->call, rq->coop.id, id, &offer));
	return answer_offer(rq, rs, &offer);
}

static enum err withdraw_fork(struct request *rq, struct response *rs)
{
	struct uuid id;
	struct fork_offer offer;
	TRY(request_param_uuid(rq, 1, &id));
	TRY(fork_offer_withdraw(rq->call, rq->coop.id, id, &offer));
	return answer_offer(rq, rs, &offer);
}

static enum err answer_fork(struct request *rq, struct response *rs)
{
	struct uuid id;
	struct fork_offer offer;
	struct str claim;
	TRY(request_param_uuid(rq, 1, &id));
	TRY(fork_answer(rq->call, rq->coop.id, id, json_bool(json_get(rq->json, "yes"), false), &offer, &claim));
	struct json_writer w = response_json(rs);
	jw_object(&w);
	jw_key(&w, "fork");
	offer_write(&w, rq->call->arena, &offer);
	jw_kstr(&w, "claim", claim);
	jw_end_object(&w);
	return ERR_OK;
}

static enum err recognise_fork(struct request *rq, struct response *rs)
{
	struct uuid id;
	struct fork_offer offer;
	struct buf b;
	const struct json *lineage = json_get(rq->json, "lineage");
	TRY(request_param_uuid(rq, 1, &id));
	buf_init(&b, LIMIT_BODY_BATCH);
	if (lineage)
		json_canonical(&b, lineage, true);
	TRY(fork_recognise(rq->call, rq->coop.id, id, lineage ? buf_take(rq->call->arena, &b) : STR_NONE, &offer));
	return answer_offer(rq, rs, &offer);
}

static enum err tell_fork(struct request *rq, struct response *rs)
{
	struct call *c = rq->call;
	struct uuid id;
	instant at;
	struct sha256 proof;
	struct str envelope;
	int64_t since = json_int(json_get(rq->json, "since"), 0);
	TRY(request_param_uuid(rq, 1, &id));
	if (!clock_parse(json_member_text(rq->json, "at"), &at))
		return fail_field(c, "/at", "This is no instant.");
	if (!sha256_parse(json_member_text(rq->json, "proof"), &proof))
		return fail_field(c, "/proof", "A proof has 64 hexadecimal digits.");
	TRY(fork_words_asked(c, rq->coop.id, id, at, since, &proof));
	TRY(fork_words_tell(c, rq->coop.id, id, since, &envelope));
	struct json_writer w = response_json(rs);
	jw_raw(&w, envelope);
	return ERR_OK;
}

static enum err claim_fork(struct request *rq, struct response *rs)
{
	int64_t items;
	TRY(fork_claim(rq->call, rq->coop.id, json_member_text(rq->json, "claim"), &items));
	struct json_writer w = response_json(rs);
	jw_object(&w);
	jw_kint(&w, "items", items);
	jw_end_object(&w);
	return ERR_OK;
}

static enum err lineage_answer(struct request *rq, struct response *rs)
{
	struct lineage_node *nodes;
	size_t n;
	TRY(lineage_read(rq->call, rq->coop.id, &nodes, &n));
	struct json_writer w = response_json(rs);
	lineage_write(&w, rq->call->arena, nodes, n);
	return ERR_OK;
}

static enum err lineage_signed_answer(struct request *rq, struct response *rs)
{
	struct str text;
	TRY(lineage_signed(rq->call, rq->coop.id, &text));
	struct json_writer w = response_json(rs);
	jw_raw(&w, text);
	return ERR_OK;
}

static enum err list_kin(struct request *rq, struct response *rs)
{
	struct arena *a = rq->call->arena;
	struct lineage_kin *kin;
	size_t n;
	TRY(lineage_kin_read(rq->call, rq->coop.id, &kin, &n));
	struct json_writer w = response_list(rs);
	for (size_t i = 0; i < n; i++) {
		const struct lineage_kin *k = &kin[i];
		jw_object(&w);
		jw_kstr(&w, "name", k->name);
		jw_kz(&w, "kin", lineage_kin_word(k->kin));
		jw_kstr(&w, "title", k->title);
		jw_kstr(&w, "url", k->url.n ? k->url : STR_NONE);
		jw_kint(&w, "size", k->size);
		jw_kstr(&w, "root", sha256_hex(a, k->root));
		jw_kstr(&w, "claimed_by", k->claimed_by);
		jw_kz(&w, "state", lineage_kin_state_word(k->state));
		jw_kbool(&w, "names_us", k->names_us);
		jw_kstr(&w, "since", k->since == INSTANT_NONE ? STR_NONE : clock_format(a, k->since));
		jw_kstr(&w, "verified_at", k->verified_at == INSTANT_NONE ? STR_NONE : clock_format(a, k->verified_at));
		jw_kstr(&w, "looked_at", k->looked_at == INSTANT_NONE ? STR_NONE : clock_format(a, k->looked_at));
		jw_kstr(&w, "why", k->why);
		jw_end_object(&w);
	}
	response_list_end(&w);
	return ERR_OK;
}

static enum err list_charters(struct request *rq, struct response *rs)
{
	struct arena *a = rq->call->arena;
	struct lineage_charter *charters;
	size_t n;
	TRY(lineage_charters(rq->call, rq->coop.id, &charters, &n));
	struct json_writer w = response_list(rs);
	for (size_t i = 0; i < n; i++) {
		jw_object(&w);
		jw_kstr(&w, "coop", charters[i].name);
		jw_kint(&w, "version", charters[i].version);
		jw_kstr(&w, "sha256", sha256_hex(a, charters[i].digest));
		jw_kstr(&w, "adopted_at", clock_format(a, charters[i].adopted_at));
		jw_key(&w, "charter");
		jw_raw(&w, charters[i].document);
		jw_end_object(&w);
	}
	response_list_end(&w);
	return ERR_OK;
}

#define COOP "/api/v1/coops/{coop}"
const struct route fork_routes[] = {
	{ "GET", COOP "/forks", "fork_list", PERM_ACTIVE, 0, NULL, "fork_list", 200, list_forks, "Forks that were offered to the members, newest first." },
	{ "POST", COOP "/forks", "fork_offer", PERM_ACTIVE, LIMIT_BODY_SMALL, "fork_new", "fork", 201, offer_fork,
	  "Offers the members to go on elsewhere; each is asked, and says yes for themselves or stays.", ROUTE_IDEMPOTENT },
	{ "GET", COOP "/forks/{fork}", "fork_read", PERM_ACTIVE, 0, NULL, "fork", 200, read_fork, "Reads an offer, with what one said oneself." },
	{ "DELETE", COOP "/forks/{fork}", "fork_withdraw", PERM_ACTIVE, 0, NULL, "fork", 200, withdraw_fork, "Takes an offer back before it is exported: who made it, or an admin." },
	{ "POST", COOP "/forks/{fork}/answer", "fork_answer", PERM_ACTIVE, LIMIT_BODY_SMALL, "fork_answer", "fork_answered", 200, answer_fork,
	  "Says for oneself whether one goes along. A yes is answered with a claim, shown once, by which one shows the fork what is one's own." },
	{ "POST", COOP "/forks/{fork}/founded", "fork_recognise", PERM_ADMIN, LIMIT_BODY_CHARTER, "fork_founded", "fork", 200, recognise_fork,
	  "Notes that a fork stands, held against the lineage that it signed: given here, or asked of its instance.", ROUTE_EXPENSIVE },
	{ "POST", COOP "/forks/{fork}/words", "fork_words", PERM_PUBLIC, LIMIT_BODY_SMALL, "fork_words", "dsse", 200, tell_fork,
	  "What those who went along with a fork say now, for the fork alone, which proves itself: the lines that are new to it, each signed, in an envelope by the co-op's key." },
	{ "POST", COOP "/claims", "fork_claim", PERM_ACTIVE, LIMIT_BODY_SMALL, "fork_claim", "fork_claimed", 200, claim_fork,
	  "In a fork: shows with the claim that one was given at its parent that what came of one's own is one's own." },
	{ "GET", COOP "/lineage", "lineage_read", PERM_OPTIONAL, 0, NULL, "lineage", 200, lineage_answer,
	  "Where the co-op comes from, with the checkpoints that its parents signed over the leaves that its log begins with, and which forks of it stand." },
	{ "GET", COOP "/lineage/signed", "lineage_signed", PERM_OPTIONAL, 0, NULL, "dsse", 200, lineage_signed_answer, "The same, signed by the co-op." },
	{ "GET", COOP "/lineage/kin", "lineage_kin", PERM_OPTIONAL, 0, NULL, "lineage_kin_list", 200, list_kin,
	  "Its relatives, as daily looks at what they sign themselves found them: what is verified and since when, what is only claimed, what was refused and why." },
	{ "GET", COOP "/lineage/charters", "lineage_charters", PERM_OPTIONAL, 0, NULL, "lineage_charter_list", 200, list_charters, "The charters that its parents had, each as their log names it." },
	ROUTE_TABLE_END
};
