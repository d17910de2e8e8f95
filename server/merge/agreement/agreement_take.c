#include "agreement_internal.h"
#include "terms_internal.h"

#include "commonhold/ballot.h"
#include "commonhold/bundle.h"
#include "commonhold/ledger.h"
#include "commonhold/merge.h"

/* What the partner says about agreements. Whoever sent it is a confirmed peer that signed it; what it says is still held against everything that is known here, and can loosen nothing. */

#define PROPOSALS_OPEN 10 /* of one peer at once, so that admins can still see the others */

SQL(proposals_open,
	"SELECT count(*) FROM agreement_revision r JOIN agreement a ON a.coop_id = r.coop_id AND a.id = r.agreement_id "
	"WHERE r.coop_id = $1 AND a.peer_id = $2 AND NOT r.proposed_here AND r.state = 'proposed'");
SQL(agreement_peer, "SELECT peer_id FROM agreement WHERE coop_id = $1 AND id = $2");

static struct str canonical_member(struct call *c, const struct json *body, const char *name, size_t most)
{
	struct buf b;
	const struct json *v = json_get(body, name);
	if (!json_is(v, JSON_OBJECT))
		return STR_NONE;
	buf_init(&b, most);
	json_canonical(&b, v, false);
	return buf_take(c->arena, &b);
}

/* ---- Proposals ---- */

static enum err check_parties(struct call *c, const struct agreement_terms *t, const struct message *m, int *us)
{
	*us = str_eq(t->parties[1], m->to);
	if (!str_eq(t->parties[*us], m->to) || !str_eq(t->parties[!*us], m->from))
		return fail_reason(c, ERR_REFUSED, "other_parties", "It is an agreement between other co-ops.");
	return ERR_OK;
}

static enum err check_charters(struct call *c, struct uuid coop, const struct agreement_terms *t, int us, struct str theirs, struct charter *charter_theirs)
{
	struct charter ours;
	TRY(charter_current(c, coop, &ours));
	if (!theirs.p || !sha256_eq(sha256(theirs), t->charters[!us]))
		return fail_reason(c, ERR_REFUSED, "charter_digest", "The charter that came with it is not the one that it names.");
	if (!sha256_eq(ours.digest, t->charters[us]))
		return fail_reason(c, ERR_REFUSED, "charter_changed", "It was written under another charter of ours than the one in force.");
	TRY(charter_parse(c->arena, theirs, charter_theirs, &c->error));
	if (!str_eq(t->names[us], ours.name) || !str_eq(t->names[!us], charter_theirs->name) || t->charter_versions[us] != ours.version)
		return fail_reason(c, ERR_REFUSED, "names", "It calls a co-op by another name, or a charter by another number, than its charter has.");
	enum err fits = agreement_terms_fit(c->arena, t, &ours, &c->error);
	if (fits == ERR_OK)
		fits = agreement_terms_fit(c->arena, t, charter_theirs, &c->error);
	if (fits != ERR_OK) {
		const struct fault *f = c->error.faults;
		return fail_reason(c, ERR_REFUSED, "looser", "%s", f ? str_z(c->arena, f->message) : "It is looser than a charter.");
	}
	struct terms_diff diff;
	TRY(terms_diff(c->arena, &ours, charter_theirs, &diff, &c->error));
	if (!t->moderation_both && diff.common.moderation_both)
		return fail_reason(c, ERR_REFUSED, "looser", "One of the co-ops looks closer at contributions than the other: each must look at what it takes.");
	if (t->joint.p && !diff.joint)
		return fail_reason(c, ERR_REFUSED, "looser", "The charters leave nothing that a joint release could be for.");
	if (t->joint.p && !(t->flow[0] && t->flow[1]))
		return fail_reason(c, ERR_REFUSED, "one_way_joint", AGREEMENT_JOINT_ONE_WAY);
	return ERR_OK;
}

/* Its place in the row of revisions: the first of a new one, or the next of one with the same partner. */
static enum err check_revision(struct call *c, struct uuid coop, const struct agreement_terms *t, struct uuid peer)
{
	struct rows r;
	struct agreement last;
	TRY(db_query(c, agreement_peer, &r, A_UUID(coop), A_UUID(t->id)));
	if (r.n == 0)
		return t->revision == 1 ? ERR_OK : fail_reason(c, ERR_REFUSED, "unknown_agreement", "It renews an agreement that is not known here.");
	if (!uuid_eq(row_uuid(&r, 0, 0), peer))
		return fail_reason(c, ERR_REFUSED, "other_parties", "That agreement is with another co-op.");
	TRY(agreement_newest(c, coop, t->id, &last));
	if (t->revision != last.terms.revision + 1 || !sha256_eq(t->replaces, last.terms.digest))
		return fail_reason(c, ERR_REFUSED, "revision", "It does not follow the last revision that is known here.");
	if (!(AGREEMENT_BIT(last.state) & AGREEMENT_LIVE) && !agreement_over(last.state))
		return fail_reason(c, ERR_REFUSED, "revision_under_way", "Another revision of it is under way.");
	return ERR_OK;
}

enum err agreement_take_proposed(struct call *c, struct uuid coop, const struct message *m)
{
	struct agreement g = { .coop = coop, .peer = m->peer, .state = AGREEMENT_PROPOSED };
	struct agreement known;
	struct charter theirs;
	struct rows r;
	int us;
	struct str document = canonical_member(c, m->body, "agreement", AGREEMENT_DOCUMENT_MAX), charter = canonical_member(c, m->body, "charter", LIMIT_CHARTER_FILLED);
	if (!document.p)
		return fail_reason(c, ERR_REFUSED, "no_agreement", "There is no agreement in it.");
	TRY(agreement_terms_parse(c->arena, document, &g.terms, &c->error));
	struct str digest = sha256_hex(c->arena, g.terms.digest);
	if (!str_eq(json_member_text(m->body, "sha256"), digest))
		return fail_reason(c, ERR_REFUSED, "digest", "The agreement is not the one whose digest is given.");
	TRY(agreement_lock(c, coop));
	if (agreement_by_digest(c, coop, g.terms.digest, &known) == ERR_OK)
		return ERR_OK;
	error_clear(&c->error);
	TRY(check_parties(c, &g.terms, m, &us));
	if (g.terms.ends <= clock_now())
		return fail_reason(c, ERR_REFUSED, "over", "Its time is over.");
	TRY(check_charters(c, coop, &g.terms, us, charter, &theirs));
	TRY(check_revision(c, coop, &g.terms, m->peer));
	TRY(db_one(c, proposals_open, &r, A_UUID(coop), A_UUID(m->peer)));
	if (row_int(&r, 0, 0) >= PROPOSALS_OPEN)
		return fail_reason(c, ERR_REFUSED, "too_many_open", "There are %d proposals of this partner open already.", PROPOSALS_OPEN);
	g.id = g.terms.id;
	TRY(agreement_insert(c, &g, charter, "partner", "The partner proposes it."));
	return agreement_tell(c, &g, true, "agreement.proposed", str_fmt(c->arena, "%.*s proposes an agreement", STR_ARG(g.partner_title)),
		STR("Look at what it says. When you put it to the vote, the members decide under our own rule."));
}

/* ---- Assents ---- */

/* The one that a message is about: with this very partner. */
static enum err named(struct call *c, struct uuid coop, const struct message *m, struct agreement *out)
{
	struct sha256 digest;
	if (!sha256_parse(json_member_text(m->body, "agreement"), &digest))
		return fail_reason(c, ERR_REFUSED, "no_agreement", "It names no agreement.");
	TRY(agreement_lock(c, coop));
	enum err found = agreement_by_digest(c, coop, digest, out);
	if (found == ERR_NOT_FOUND || (found == ERR_OK && !uuid_eq(out->peer, m->peer)))
		return fail_reason(c, ERR_REFUSED, "unknown_agreement", "There is no such agreement with this partner.");
	return found;
}

static enum err forged(struct call *c, const char *why)
{
	return fail_reason(c, ERR_REFUSED, "assent", "The partner’s assent was not taken: %s", why);
}

/* Made by the partner's key in force then, about exactly this, with its log to show for it. */
static enum err check_assent(struct call *c, const struct agreement *g, struct str envelope)
{
	struct peer peer;
	struct keychain chain;
	struct str payload, origin;
	struct sha256 root, result;
	struct uuid ballot;
	const struct json *said;
	struct error why = { 0 };
	uint64_t size;
	size_t which;
	instant at;
	TRY(peer_get(c, g->coop, g->peer, &peer));
	TRY(peer_keys(c, &peer, &chain));
	if (keychain_dsse_verify(c->arena, &chain, envelope, STR(ASSENT_TYPE), &payload, &which, &why) != ERR_OK)
		return forged(c, "it is not signed with the partner’s key.");
	TRY(json_parse(c->arena, payload, &said, &c->error));
	if (!clock_parse(json_member_text(said, "at"), &at) || at > clock_now() + MESSAGE_AHEAD || !keychain_in_force(&chain, which, at, at))
		return forged(c, "its key was not in force when it was signed.");
	if (!str_eq(json_member_text(said, "coop"), g->partner))
		return forged(c, "it is another co-op’s.");
	if (!str_eq(json_member_text(said, "agreement"), sha256_hex(c->arena, g->terms.digest)))
		return forged(c, "it is about another agreement.");
	if (!uuid_parse(json_text(json_at(said, "/ballot/id")), &ballot) || !sha256_parse(json_text(json_at(said, "/ballot/result")), &result))
		return forged(c, "it names no ballot.");
	struct str checkpoint = json_member_text(said, "checkpoint"), rest = checkpoint;
	if (!checkpoint.p || !str_split(&rest, '\n', &origin) || keychain_checkpoint_verify(c->arena, &chain, checkpoint, origin, &size, &root, &why) != ERR_OK ||
		!str_ends(origin, str_z(c->arena, g->partner)))
		return forged(c, "the checkpoint of its log is not signed with the partner’s key.");
	return ERR_OK;
}

/* The checkpoint in it against what is known of the partner's log. A contradiction is kept as a proof; the yes is one all the same. */
static enum err check_log(struct call *c, const struct agreement *g, struct str envelope)
{
	struct peer peer;
	struct keychain chain;
	struct origin_log known;
	struct str payload, origin;
	struct sha256 root;
	const struct json *said;
	uint64_t size;
	size_t which;
	bool contradicts;
	TRY(peer_get(c, g->coop, g->peer, &peer));
	TRY(peer_keys(c, &peer, &chain));
	TRY(keychain_dsse_verify(c->arena, &chain, envelope, STR(ASSENT_TYPE), &payload, &which, &c->error));
	TRY(json_parse(c->arena, payload, &said, &c->error));
	struct str checkpoint = json_member_text(said, "checkpoint"), rest = checkpoint;
	if (!str_split(&rest, '\n', &origin))
		return forged(c, "it has no checkpoint.");
	TRY(keychain_checkpoint_verify(c->arena, &chain, checkpoint, origin, &size, &root, &c->error));
	TRY(origin_log_contradicts(c, g->coop, g->partner, (int64_t)size, root, &contradicts));
	if (!contradicts)
		return ERR_OK;
	TRY(origin_log_get(c, g->coop, g->partner, &known));
	return merge_equivocation_in(c, g->coop, g->id, g->partner, "log", STR_NONE, known.checkpoint, checkpoint);
}

enum err agreement_take_assent(struct call *c, struct uuid coop, const struct message *m)
{
	struct agreement g;
	TRY(named(c, coop, m, &g));
	struct str envelope = canonical_member(c, m->body, "assent", 64 * KIB);
	if (!envelope.p)
		return forged(c, "there is none.");
	TRY(check_assent(c, &g, envelope));
	TRY(check_log(c, &g, envelope));
	if (g.assent_theirs.p)
		return ERR_OK;
	if (agreement_over(g.state) || g.state == AGREEMENT_DRAFTED)
		return fail_reason(c, ERR_REFUSED, "not_open", "That agreement is %s here.", agreement_state_name(g.state));
	g.assent_theirs = envelope;
	TRY(agreement_note(c, &g, "partner", STR("The partner’s members said yes, and it has signed.")));
	return agreement_try_effect(c, &g);
}

/* ---- Suspension, and the end ---- */

static enum err require_live(struct call *c, const struct agreement *g)
{
	return AGREEMENT_BIT(g->state) & AGREEMENT_LIVE ? ERR_OK : fail_reason(c, ERR_REFUSED, "not_in_effect", "That agreement is %s here.", agreement_state_name(g->state));
}

/* Why the partner's admin suspended it, in their words where they gave any that can be shown. A suspension counts without. */
static struct str suspended_why(struct call *c, const struct message *m)
{
	struct str reason = json_member_text(m->body, "reason");
	if (str_is(json_member_text(m->body, "by"), "charter"))
		return STR("It no longer fits the partner’s charter.");
	bool said = reason.n && call_check_text(c, "/reason", reason, 1, LIMIT_TEXT_NOTE) == ERR_OK;
	error_clear(&c->error);
	return said ? str_fmt(c->arena, "The partner suspended it, and says why: %.*s", STR_ARG(reason)) : STR("The partner suspended it.");
}

enum err agreement_take_suspended(struct call *c, struct uuid coop, const struct message *m)
{
	struct agreement g;
	TRY(named(c, coop, m, &g));
	if (agreement_over(g.state) || g.suspended_there)
		return ERR_OK;
	TRY(require_live(c, &g));
	struct str why = suspended_why(c, m);
	g.suspended_there = true;
	if (g.state == AGREEMENT_IN_EFFECT) {
		TRY(agreement_tell(c, &g, false, "agreement.suspended", str_fmt(c->arena, "The agreement with %.*s rests", STR_ARG(g.partner_title)), why));
		return agreement_move(c, &g, AGREEMENT_SUSPENDED, "partner", why);
	}
	TRY(agreement_store(c, &g));
	TRY(agreement_note(c, &g, "partner", why));
	return agreement_write_source(c, &g);
}

enum err agreement_take_resumed(struct call *c, struct uuid coop, const struct message *m)
{
	struct agreement g;
	TRY(named(c, coop, m, &g));
	if (agreement_over(g.state) || !g.suspended_there)
		return ERR_OK;
	TRY(require_live(c, &g));
	g.suspended_there = false;
	return agreement_try_resume(c, &g, "partner", STR("The partner lifts its suspension."));
}

/* A notice: the end may come sooner than the document says, never later. */
static enum err take_notice(struct call *c, struct agreement *g, const struct message *m)
{
	instant ends;
	TRY(require_live(c, g));
	if (!clock_parse(json_member_text(m->body, "ends_at"), &ends))
		return fail_reason(c, ERR_REFUSED, "no_end", "It does not say when it ends.");
	if (ends < g->ends_at)
		g->ends_at = ends;
	if (g->state == AGREEMENT_ENDING)
		return agreement_store(c, g);
	TRY(agreement_tell(c, g, false, "agreement.ending", str_fmt(c->arena, "The agreement with %.*s will end", STR_ARG(g->partner_title)), STR("The partner gave notice.")));
	return agreement_move(c, g, AGREEMENT_ENDING, "partner", STR("The partner gave notice."));
}

enum err agreement_take_ended(struct call *c, struct uuid coop, const struct message *m)
{
	struct agreement g;
	TRY(named(c, coop, m, &g));
	struct str how = json_member_text(m->body, "how");
	if (agreement_over(g.state))
		return ERR_OK;
	if (str_is(how, "notice"))
		return take_notice(c, &g, m);
	bool withdrawn = str_is(how, "withdrawn"), expired = str_is(how, "expired");
	if (!withdrawn && !expired && !str_is(how, "rejected"))
		return fail_reason(c, ERR_REFUSED, "how", "It does not say how it ended.");
	if (AGREEMENT_BIT(g.state) & AGREEMENT_LIVE) /* our messages crossed: what one side takes back is not in effect */
		return agreement_move(c, &g, AGREEMENT_ENDED, "partner", STR("The partner took it back before it knew of our assent."));
	TRY(agreement_cancel_ballot(c, &g, "The partner took the agreement back."));
	enum agreement_state to = withdrawn && !g.proposed_here ? AGREEMENT_WITHDRAWN : expired ? AGREEMENT_EXPIRED : AGREEMENT_REJECTED;
	TRY(agreement_tell(c, &g, true, "agreement.closed", str_fmt(c->arena, "%.*s does not make the agreement", STR_ARG(g.partner_title)),
		withdrawn ? STR("The partner takes it back.") : expired ? STR("It was not signed in time.") : STR("The partner declined it, or its ballot did not pass.")));
	return agreement_move(c, &g, to, "partner", withdrawn ? STR("The partner takes it back.") : expired ? STR("It was not signed in time.") : STR("The partner said no."));
}
