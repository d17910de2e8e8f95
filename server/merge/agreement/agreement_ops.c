#include "agreement_internal.h"

#include "commonhold/ballot.h"
#include "commonhold/config.h"
#include "commonhold/preview.h"

#include <stdio.h>

/* What admins do with agreements. Each is one transaction; the partner is told in it, so that it hears exactly of what happened. */

#define NOTICE_SHORTEST (7 * CLOCK_DAY) /* governance.md: the shortest that is allowed */
#define REASON_MOST LIMIT_TEXT_NOTE

SQL(ballot_live, "SELECT id FROM ballot WHERE coop_id = $1 AND id = $2 AND state IN ('notice', 'open') FOR UPDATE");

static enum err begin(struct call *c, struct uuid coop)
{
	TRY(db_begin_in(c, coop, DB_WRITE));
	TRY(member_require_admin(c, coop));
	return agreement_lock(c, coop);
}

static enum err check_reason(struct call *c, struct str reason)
{
	return call_check_text(c, "/reason", reason.p ? reason : STR(""), 3, REASON_MOST);
}

/* ---- Drafting ---- */

/* What the next revision follows: the newest of the agreement, which must not itself be under way. */
static enum err before(struct call *c, struct uuid coop, struct uuid renews, struct uuid peer, struct agreement *out)
{
	TRY(agreement_newest(c, coop, renews, out));
	if (!uuid_eq(out->peer, peer))
		return fail_field(c, "/renews", "That agreement is with another co-op.");
	if (!(AGREEMENT_BIT(out->state) & AGREEMENT_LIVE) && !agreement_over(out->state))
		return fail_reason(c, ERR_STATE, "revision_under_way", "Revision %d of it is %s: one revision at a time.", out->terms.revision, agreement_state_name(out->state));
	struct agreement live;
	TRY(agreement_get(c, coop, renews, &live));
	if (!(AGREEMENT_BIT(live.state) & AGREEMENT_LIVE))
		return fail_reason(c, ERR_STATE, "agreement_over", "That agreement is over. Make a new one.");
	return ERR_OK;
}

enum err agreement_draft(struct call *c, struct uuid coop, struct uuid peer_id, const struct json *draft, struct uuid renews, struct str charter, struct agreement *out)
{
	struct coop own;
	struct peer peer;
	struct charter ours, theirs;
	struct agreement last;
	struct str document;
	TRY(db_begin_in(c, coop, DB_READ));
	TRY(member_require_admin(c, coop));
	TRY(db_commit(c));
	TRY(charter_exchange_read(c, coop, peer_id, charter, &peer, &theirs));
	TRY(begin(c, coop));
	TRY(coop_get(c, coop, &own));
	TRY(peer_get(c, coop, peer_id, &peer));
	TRY(peer_require_confirmed(c, &peer));
	TRY(charter_current(c, coop, &ours));
	bool renewal = !uuid_is_nil(renews);
	if (renewal)
		TRY(before(c, coop, renews, peer_id, &last));
	struct agreement_party parties[2] = { { own.key_name, str_of(config()->base_url), &ours }, { peer.name, peer.url, &theirs } };
	*out = (struct agreement){ .coop = coop, .id = renewal ? renews : uuid_new(), .peer = peer_id, .state = AGREEMENT_DRAFTED, .proposed_here = true };
	TRY(agreement_terms_check(c->arena, draft, parties, out->id, renewal ? last.terms.revision + 1 : 1, renewal ? &last.terms.digest : NULL, clock_now(), &document, &c->error));
	TRY(agreement_terms_parse(c->arena, document, &out->terms, &c->error));
	TRY(agreement_insert(c, out, theirs.document, "admin", "It is drafted."));
	return db_commit(c);
}

/* ---- Proposing, and taking back ---- */

static enum err open_one(struct call *c, struct uuid coop, struct sha256 digest, struct agreement *out)
{
	TRY(begin(c, coop));
	return agreement_by_digest(c, coop, digest, out);
}

static enum err require_partner(struct call *c, const struct agreement *g)
{
	struct peer peer;
	TRY(peer_get(c, g->coop, g->peer, &peer));
	return peer_require_confirmed(c, &peer);
}

/* The charter must still be one that this fits. */
static enum err require_fit(struct call *c, const struct agreement *g, struct charter *charter)
{
	TRY(charter_current(c, g->coop, charter));
	return agreement_terms_fit(c->arena, &g->terms, charter, &c->error);
}

enum err agreement_propose(struct call *c, struct uuid coop, struct sha256 digest, struct agreement *out)
{
	struct charter charter;
	struct buf b;
	struct json_writer w;
	TRY(open_one(c, coop, digest, out));
	if (out->state == AGREEMENT_PROPOSED && out->proposed_here)
		return db_commit(c);
	TRY(require_partner(c, out));
	TRY(require_fit(c, out, &charter));
	if (!sha256_eq(charter.digest, out->terms.charters[out->us]))
		return fail_reason(c, ERR_STALE, "charter_changed", "The charter has changed since this was drafted. Draft it again.");
	buf_init(&b, MESSAGE_MAX / 2);
	jw_init(&w, &b);
	jw_object(&w);
	jw_key(&w, "agreement");
	jw_raw(&w, out->terms.document);
	jw_key(&w, "charter");
	jw_raw(&w, charter.document);
	jw_kstr(&w, "sha256", sha256_hex(c->arena, digest));
	jw_end_object(&w);
	struct str body = buf_take(c->arena, &b);
	if (!body.p)
		return fail(c, ERR_TOO_LARGE, "The agreement and the charter are too large to be sent.");
	TRY(message_send(c, coop, out->peer, out->terms.revision > 1 ? "agreement.renewal" : "agreement.proposed", STR_NONE, body));
	TRY(agreement_move(c, out, AGREEMENT_PROPOSED, "admin", STR_NONE));
	return db_commit(c);
}

enum err agreement_cancel_ballot(struct call *c, const struct agreement *g, const char *reason)
{
	struct rows r;
	if (uuid_is_nil(g->ballot))
		return ERR_OK;
	TRY(db_query(c, ballot_live, &r, A_UUID(g->coop), A_UUID(g->ballot)));
	return r.n ? ballot_cancel(c, g->coop, g->ballot, str_of(reason)) : ERR_OK;
}

enum err agreement_withdraw(struct call *c, struct uuid coop, struct sha256 digest, struct str reason, struct agreement *out)
{
	TRY(check_reason(c, reason));
	TRY(open_one(c, coop, digest, out));
	if ((AGREEMENT_BIT(out->state) & AGREEMENT_LIVE) || (out->state == AGREEMENT_SIGNED && out->assent_theirs.p))
		return fail_reason(c, ERR_STATE, "both_signed", "Both co-ops have signed it: suspend it, or give notice.");
	bool told = out->state != AGREEMENT_DRAFTED;
	enum agreement_state to = out->proposed_here ? AGREEMENT_WITHDRAWN : AGREEMENT_REJECTED;
	TRY(agreement_cancel_ballot(c, out, "The agreement was taken back."));
	TRY(agreement_move(c, out, to, "admin", reason));
	if (told)
		TRY(agreement_send(c, out, "agreement.ended", str_fmt(c->arena, ",\"how\":\"%s\"", agreement_state_name(to))));
	return db_commit(c);
}

/* ---- The ballot ---- */

enum err agreement_open_ballot(struct call *c, struct uuid coop, struct sha256 digest, struct str no_dry_run, struct agreement *out)
{
	struct charter charter;
	struct member me;
	struct ballot_rule rule;
	const struct json *json;
	TRY(open_one(c, coop, digest, out));
	if (out->state != AGREEMENT_PROPOSED)
		return fail_reason(c, ERR_STATE, "not_proposed", "Only what is proposed is put to the vote; this agreement is %s.", agreement_state_name(out->state));
	TRY(require_partner(c, out));
	TRY(require_fit(c, out, &charter));
	TRY(member_of_actor(c, coop, &me));
	TRY(charter_rule(c->arena, &charter, "merge", &rule, &c->error));
	TRY(json_parse(c->arena, rule.json, &json, &c->error));
	instant soonest = clock_now() + NOTICE_SHORTEST, opens = duration_add(clock_now(), charter.notice, 1);
	if (opens < soonest)
		opens = soonest;
	struct ballot_draft draft = {
		.kind = "merge", .subject = out->id, .digest = digest, .rule = json, .charter = charter.version, .proposer = me.id, .opens_at = opens,
		.closes_at = duration_add(opens, charter.voting, 1),
		.title = str_fmt(c->arena, "%s with %.*s", out->terms.revision > 1 ? "Renew the agreement" : "Share the pool", STR_ARG(out->partner_title)),
		.question = str_fmt(c->arena, "Shall we agree with %.*s on sharing our pools, exactly as written?", STR_ARG(out->partner_title)),
	};
	if (draft.closes_at >= out->terms.ends || draft.closes_at >= out->made_at + SIGN_WITHIN)
		return fail_reason(c, ERR_STATE, "too_late", "The vote would end after the agreement does, or after the time to sign it. Draft it again.");
	TRY(ballot_create(c, coop, &draft, &out->ballot));
	TRY(dry_run_fix(c, coop, digest, out->ballot, no_dry_run));
	TRY(agreement_move(c, out, AGREEMENT_VOTING, "admin", no_dry_run.p ? str_fmt(c->arena, "No dry run: %.*s", STR_ARG(no_dry_run)) : STR_NONE));
	return db_commit(c);
}

/* ---- In effect ---- */

static enum err open_current(struct call *c, struct uuid coop, struct uuid id, struct agreement *out)
{
	TRY(begin(c, coop));
	TRY(agreement_get(c, coop, id, out));
	if (!(AGREEMENT_BIT(out->state) & AGREEMENT_LIVE))
		return fail_reason(c, ERR_STATE, "not_in_effect", "This agreement is %s: only what is in effect can be suspended, resumed or ended.", agreement_state_name(out->state));
	return ERR_OK;
}

/* The partner reads why, as our own members do. */
static enum err send_suspended(struct call *c, const struct agreement *g, struct str reason)
{
	struct buf b;
	struct json_writer w;
	buf_init(&b, LIMIT_BODY_SMALL);
	jw_init(&w, &b);
	jw_str(&w, reason);
	struct str quoted = buf_take(c->arena, &b);
	return agreement_send(c, g, "agreement.suspended", str_fmt(c->arena, ",\"by\":\"admin\",\"reason\":%.*s", STR_ARG(quoted)));
}

enum err agreement_suspend(struct call *c, struct uuid coop, struct uuid id, struct str reason, struct agreement *out)
{
	TRY(check_reason(c, reason));
	TRY(open_current(c, coop, id, out));
	if (out->suspended_here)
		return db_commit(c);
	out->suspended_here = true;
	if (out->state == AGREEMENT_IN_EFFECT) {
		TRY(agreement_tell(c, out, false, "agreement.suspended", str_fmt(c->arena, "The agreement with %.*s rests", STR_ARG(out->partner_title)), reason));
		TRY(send_suspended(c, out, reason));
		TRY(agreement_move(c, out, AGREEMENT_SUSPENDED, "admin", reason));
	} else {
		TRY(agreement_store(c, out));
		TRY(agreement_note(c, out, "admin", reason));
		TRY(agreement_write_source(c, out));
		TRY(send_suspended(c, out, reason));
	}
	return db_commit(c);
}

enum err agreement_resume(struct call *c, struct uuid coop, struct uuid id, struct agreement *out)
{
	struct charter charter;
	TRY(open_current(c, coop, id, out));
	if (!out->suspended_here && !out->suspended_by_charter)
		return fail_reason(c, ERR_STATE, "not_ours", out->suspended_there ? "The partner suspended it, and only the partner lifts that." : "It is not suspended.");
	TRY(require_partner(c, out));
	TRY(require_fit(c, out, &charter));
	out->suspended_here = out->suspended_by_charter = false;
	TRY(agreement_send(c, out, "agreement.resumed", STR("")));
	TRY(agreement_try_resume(c, out, "admin", STR_NONE));
	return db_commit(c);
}

enum err agreement_end(struct call *c, struct uuid coop, struct uuid id, struct str reason, struct agreement *out)
{
	TRY(check_reason(c, reason));
	TRY(open_current(c, coop, id, out));
	if (out->state == AGREEMENT_ENDING)
		return db_commit(c);
	instant until = clock_now_whole(CLOCK_SECOND) + out->terms.notice;
	if (until < out->ends_at)
		out->ends_at = until;
	struct str at = clock_format(c->arena, out->ends_at);
	TRY(agreement_tell(c, out, false, "agreement.ending", str_fmt(c->arena, "The agreement with %.*s will end", STR_ARG(out->partner_title)), reason));
	TRY(agreement_send(c, out, "agreement.ended", str_fmt(c->arena, ",\"ends_at\":\"%.*s\",\"how\":\"notice\"", STR_ARG(at))));
	TRY(agreement_move(c, out, AGREEMENT_ENDING, "admin", reason));
	return db_commit(c);
}
