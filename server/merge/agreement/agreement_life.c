#include "agreement_internal.h"

#include "commonhold/ballot.h"
#include "commonhold/guest.h"
#include "commonhold/link.h"
#include "commonhold/ledger.h"
#include "commonhold/log.h"
#include "commonhold/onward.h"
#include "commonhold/words.h"

/* What becomes of agreements without an admin's doing: ballots that close, assents, time, and charters that change. */

SQL(ballot_result, "SELECT result, kind = 'merge' AND state = 'passed' FROM ballot WHERE coop_id = $1 AND id = $2");
SQL(coops_with_agreements, "SELECT id FROM coop WHERE id > $1 ORDER BY id LIMIT $2");
SQL(alive_of_coop,
	"SELECT digest FROM agreement_revision WHERE coop_id = $1 AND state NOT IN ('drafted', 'ended', 'rejected', 'withdrawn', 'expired', 'renewed') ORDER BY agreement_id, revision");

/* ---- Coming into effect ---- */

enum err agreement_write_source(struct call *c, const struct agreement *g)
{
	const struct agreement_terms *t = &g->terms;
	struct guest_source was = { .fresh_until = INSTANT_NONE };
	if (!g->we_receive)
		return ERR_OK;
	enum err found = guest_source_get(c, g->coop, g->id, &was);
	if (found != ERR_OK && found != ERR_NOT_FOUND)
		return found;
	error_clear(&c->error);
	struct guest_source s = {
		.agreement = g->id, .home = g->partner, .title = g->partner_title, .uses = t->uses, .floor = t->floor, .purposes = t->purposes, .audience = t->audience, .k = t->k,
		.embargo = t->embargo, .retention = t->retention, .access = str_of(policy_audience_name((unsigned)t->access)), .attribution = str_of(attribution_word(t->attribution)),
		.state = agreement_flows(g) ? GUEST_SOURCE_IN_EFFECT : agreement_over(g->state) ? GUEST_SOURCE_ENDED : GUEST_SOURCE_SUSPENDED,
		.fresh_until = was.fresh_until != INSTANT_NONE ? was.fresh_until : clock_now() + t->freshness,
	};
	TRY(guest_source_put(c, g->coop, &s));
	return onward_sources_follow(c, g);
}

/* The revision before, where it counts: it gives its place. */
static enum err give_way(struct call *c, const struct agreement *to)
{
	struct agreement old;
	TRY(agreement_get(c, to->coop, to->id, &old));
	if (old.terms.revision == to->terms.revision || !(AGREEMENT_BIT(old.state) & AGREEMENT_LIVE))
		return ERR_OK;
	return agreement_move(c, &old, AGREEMENT_RENEWED, "partner", str_fmt(c->arena, "Revision %d takes its place.", to->terms.revision));
}

enum err agreement_try_effect(struct call *c, struct agreement *g)
{
	instant now = clock_now();
	if (g->state != AGREEMENT_SIGNED || !g->assent_theirs.p || !g->assent_ours.p || now < g->terms.starts || now >= g->terms.ends)
		return agreement_store(c, g);
	TRY(give_way(c, g));
	TRY(agreement_move(c, g, AGREEMENT_IN_EFFECT, "ballot", STR("Both co-ops have passed and signed it.")));
	TRY(agreement_tell(c, g, false, "agreement.in_effect", str_fmt(c->arena, "The agreement with %.*s is in effect", STR_ARG(g->partner_title)),
		str_fmt(c->arena, "Both co-ops have passed and signed it. It lasts until %.*s.", STR_ARG(words_day(c->arena, g->ends_at)))));
	return agreement_hold_against_charter(c, g);
}

static enum err assent_text(struct call *c, const struct agreement *g, struct str checkpoint, struct str *envelope)
{
	struct rows r;
	struct buf b;
	struct json_writer w;
	struct sign_key key;
	TRY(db_one(c, ballot_result, &r, A_UUID(g->coop), A_UUID(g->ballot)));
	if (!row_bool(&r, 0, 1))
		return fail(c, ERR_STATE, "Nothing is signed that no ballot has passed.");
	buf_init(&b, 16 * KIB);
	jw_init(&w, &b);
	jw_object(&w);
	jw_kstr(&w, "agreement", sha256_hex(c->arena, g->terms.digest));
	jw_kstr(&w, "at", clock_format(c->arena, clock_now()));
	jw_key(&w, "ballot");
	jw_object(&w);
	jw_kstr(&w, "id", uuid_format(c->arena, g->ballot));
	jw_kstr(&w, "result", sha256_hex(c->arena, sha256(row_str(&r, 0, 0))));
	jw_end_object(&w);
	jw_kstr(&w, "checkpoint", checkpoint);
	jw_kstr(&w, "coop", g->terms.parties[g->us]);
	jw_kstr(&w, "id", uuid_format(c->arena, g->id));
	jw_kint(&w, "revision", g->terms.revision);
	jw_kint(&w, "v", 1);
	jw_end_object(&w);
	struct str payload = buf_take(c->arena, &b);
	TRY(ledger_key(c, g->coop, &key));
	*envelope = payload.p ? dsse_sign(c->arena, &key, 1, STR(ASSENT_TYPE), payload) : STR_NONE;
	secret_wipe(&key, sizeof(key));
	return envelope->p ? ERR_OK : fail(c, ERR_INTERNAL, "The assent cannot be written.");
}

/* It passed, and the charter has moved on since: nobody signs what their own charter forbids. */
static enum err cannot_sign(struct call *c, struct agreement *g)
{
	const struct fault *f = c->error.faults;
	struct str why = str_copy(c->arena, f ? f->message : str_of(c->error.message));
	error_clear(&c->error);
	TRY(agreement_send(c, g, "agreement.ended", STR(",\"how\":\"rejected\"")));
	TRY(agreement_tell(c, g, true, "agreement.rejected", str_fmt(c->arena, "The agreement with %.*s passed, and could not be signed", STR_ARG(g->partner_title)), why));
	TRY(agreement_move(c, g, AGREEMENT_REJECTED, "charter", why));
	return db_commit(c);
}

enum err agreement_sign(struct call *c, struct uuid coop, struct uuid ballot)
{
	struct agreement g;
	struct charter charter;
	struct str checkpoint;
	TRY(ledger_checkpoint(c, coop, &checkpoint));
	TRY(db_begin_in(c, coop, DB_WRITE));
	TRY(agreement_lock(c, coop));
	TRY(agreement_of_ballot(c, coop, ballot, &g));
	if (g.state != AGREEMENT_PASSED)
		return db_commit(c);
	TRY(charter_current(c, coop, &charter));
	if (agreement_terms_fit(c->arena, &g.terms, &charter, &c->error) != ERR_OK)
		return cannot_sign(c, &g);
	TRY(assent_text(c, &g, checkpoint, &g.assent_ours));
	TRY(agreement_send(c, &g, "agreement.assent", str_fmt(c->arena, ",\"assent\":%.*s", STR_ARG(g.assent_ours))));
	TRY(agreement_move(c, &g, AGREEMENT_SIGNED, "ballot", STR_NONE));
	TRY(agreement_try_effect(c, &g));
	return db_commit(c);
}

static enum err decided_run(struct call *c, const struct json *args)
{
	struct uuid coop, ballot;
	struct agreement g;
	bool passed = json_bool(json_get(args, "passed"), false);
	TRY(job_args_read(c, args, "ballot", &coop, &ballot));
	TRY(db_begin_in(c, coop, DB_WRITE));
	TRY(agreement_lock(c, coop));
	TRY(agreement_of_ballot(c, coop, ballot, &g));
	if (g.state == AGREEMENT_VOTING && passed)
		TRY(agreement_move(c, &g, AGREEMENT_PASSED, "ballot", STR_NONE));
	else if (g.state == AGREEMENT_VOTING) {
		TRY(agreement_send(c, &g, "agreement.ended", STR(",\"how\":\"rejected\"")));
		TRY(agreement_move(c, &g, AGREEMENT_REJECTED, "ballot", STR("The ballot did not pass.")));
	}
	TRY(db_commit(c));
	return g.state == AGREEMENT_PASSED ? agreement_sign(c, coop, ballot) : ERR_OK;
}

/* ---- Charters, and keys in question ---- */

enum err agreement_try_resume(struct call *c, struct agreement *g, const char *by, struct str note)
{
	bool suspended = g->suspended_here || g->suspended_there || g->suspended_by_charter;
	if (suspended || g->state != AGREEMENT_SUSPENDED) {
		TRY(agreement_store(c, g));
		TRY(agreement_note(c, g, by, note.p ? note : STR("One side lifts its suspension.")));
		return agreement_write_source(c, g);
	}
	TRY(agreement_tell(c, g, false, "agreement.resumed", str_fmt(c->arena, "The agreement with %.*s is in effect again", STR_ARG(g->partner_title)), STR("Nobody wants it suspended any more.")));
	return agreement_move(c, g, AGREEMENT_IN_EFFECT, by, note);
}

static enum err suspend_for(struct call *c, struct agreement *g, const char *by, struct str why)
{
	TRY(agreement_send(c, g, "agreement.suspended", str_fmt(c->arena, ",\"by\":\"%s\"", by)));
	TRY(agreement_tell(c, g, false, "agreement.suspended", str_fmt(c->arena, "The agreement with %.*s rests", STR_ARG(g->partner_title)), why));
	if (g->state == AGREEMENT_IN_EFFECT)
		return agreement_move(c, g, AGREEMENT_SUSPENDED, by, why);
	TRY(agreement_store(c, g));
	TRY(agreement_note(c, g, by, why));
	return agreement_write_source(c, g);
}

enum err agreement_hold_against_charter(struct call *c, struct agreement *g)
{
	struct charter charter;
	struct peer peer;
	TRY(peer_get(c, g->coop, g->peer, &peer));
	if (peer.state != PEER_CONFIRMED && !g->suspended_here) {
		g->suspended_here = true;
		return suspend_for(c, g, "clock", STR("The partner is not a confirmed peer any more."));
	}
	TRY(charter_current(c, g->coop, &charter));
	enum err fits = agreement_terms_fit(c->arena, &g->terms, &charter, &c->error);
	const struct fault *f = c->error.faults;
	struct str why = fits == ERR_OK ? STR_NONE : str_copy(c->arena, f ? f->message : str_of(c->error.message));
	error_clear(&c->error);
	if (fits != ERR_OK && !g->suspended_by_charter) {
		g->suspended_by_charter = true;
		return suspend_for(c, g, "charter", why);
	}
	if (fits == ERR_OK && g->suspended_by_charter) {
		g->suspended_by_charter = false;
		TRY(agreement_send(c, g, "agreement.resumed", STR(",\"by\":\"charter\"")));
		return agreement_try_resume(c, g, "charter", STR("It fits the charter again."));
	}
	return ERR_OK;
}

/* ---- Time ---- */

static enum err end_now(struct call *c, struct agreement *g)
{
	TRY(agreement_tell(c, g, false, "agreement.ended", str_fmt(c->arena, "The agreement with %.*s has ended", STR_ARG(g->partner_title)),
		g->terms.ending == AGREEMENT_ERASE ? STR("What the other co-op holds of ours is erased there, and so is what we hold of theirs.") :
			STR("What was exchanged is kept out of new releases.")));
	return agreement_move(c, g, AGREEMENT_ENDED, "clock", STR_NONE);
}

static enum err expire(struct call *c, struct agreement *g)
{
	TRY(agreement_cancel_ballot(c, g, "The agreement was not signed in time."));
	TRY(agreement_send(c, g, "agreement.ended", STR(",\"how\":\"expired\"")));
	return agreement_move(c, g, AGREEMENT_EXPIRED, "clock", STR("It was not signed by both in time."));
}

/* One revision, as the clock has it. */
static enum err step_one(struct call *c, struct uuid coop, struct sha256 digest)
{
	struct agreement g;
	instant now = clock_now();
	TRY(db_begin_in(c, coop, DB_WRITE));
	TRY(agreement_lock(c, coop));
	TRY(agreement_by_digest(c, coop, digest, &g));
	if (AGREEMENT_BIT(g.state) & AGREEMENT_LIVE) {
		if (now >= g.ends_at)
			TRY(end_now(c, &g));
		else
			TRY(agreement_hold_against_charter(c, &g));
	} else if (!agreement_over(g.state) && g.state != AGREEMENT_DRAFTED) {
		bool both = g.assent_ours.p && g.assent_theirs.p;
		if (now >= g.terms.ends || (!both && now >= g.made_at + SIGN_WITHIN))
			TRY(expire(c, &g));
		else if (g.state == AGREEMENT_SIGNED)
			TRY(agreement_try_effect(c, &g));
	}
	TRY(db_commit(c));
	return g.state == AGREEMENT_PASSED ? agreement_sign(c, coop, g.ballot) : ERR_OK;
}

enum err agreement_step(struct call *c, struct uuid coop)
{
	struct rows r;
	TRY(db_begin_in(c, coop, DB_READ));
	TRY(db_finish(c, alive_of_coop, &r, A_UUID(coop)));
	for (int i = 0; i < r.n; i++)
		TRY(step_one(c, coop, sha256_load(row_bytes(&r, i, 0))));
	TRY(link_forget(c, coop));
	return message_forget(c, coop);
}

#define COOPS_AT_ONCE 500

/* Every co-op; one's trouble is not the others'. */
static enum err step_all(struct call *c)
{
	struct uuid last = { { 0 } };
	struct error failed = { 0 };
	int n;
	do {
		struct rows r;
		TRY(db_begin(c, DB_READ));
		TRY(db_finish(c, coops_with_agreements, &r, A_UUID(last), A_I64(COOPS_AT_ONCE)));
		n = r.n;
		for (int i = 0; i < n; i++) {
			struct arena_mark mark = arena_mark(c->arena);
			last = row_uuid(&r, i, 0);
			enum err e = agreement_step(c, last);
			if (e == ERR_UNAVAILABLE)
				return e;
			if (e != ERR_OK) {
				db_rollback(c);
				failed = c->error;
				failed.faults = NULL;
				error_clear(&c->error);
			}
			arena_rewind(c->arena, mark);
		}
	} while (n == COOPS_AT_ONCE);
	c->error = failed;
	return failed.code;
}

static enum err daily_run(struct call *c, const struct json *args)
{
	struct uuid coop;
	return uuid_parse(json_member_text(args, "coop"), &coop) ? agreement_step(c, coop) : step_all(c);
}

const struct job_kind agreement_jobs[] = {
	{ "merge.decided", decided_run, 20, 120 },
	{ "charter.changed", daily_run, 20, 120 },
	{ "agreement.daily", daily_run, 20, 300 },
	JOB_TABLE_END,
};
