#include "commonhold/ballot.h"

#include "joint_internal.h"

SQL(release_set_frozen,
	"UPDATE release SET frozen_at = commonhold_now(), candidates = $3, included = $4, contributors = $5, candidates_sha256 = $6 WHERE coop_id = $1 AND id = $2");
SQL(release_set_terms, "UPDATE release SET charter = $3, spec = $4 WHERE coop_id = $1 AND id = $2");
SQL(release_set_ballot, "UPDATE release SET ballot_id = $3 WHERE coop_id = $1 AND id = $2");
SQL(release_set_failure, "UPDATE release SET failure = $3 WHERE coop_id = $1 AND id = $2");

static struct str frozen_facts(struct call *c, const struct release *r)
{
	struct str id = uuid_format(c->arena, r->id), digest = sha256_hex(c->arena, r->candidates_sha256);
	return str_fmt(c->arena, "{\"candidates\":%lld,\"candidates_sha256\":\"%.*s\",\"included\":%lld,\"release\":\"%.*s\"}", (long long)r->candidates, STR_ARG(digest),
		(long long)r->included, STR_ARG(id));
}

static struct str date_words(struct arena *a, instant t)
{
	static const char *const months[] = { "January", "February", "March", "April", "May", "June", "July", "August", "September", "October", "November", "December" };
	struct civil v = clock_civil(t);
	return str_fmt(a, "%d %s %d", v.day, months[v.month - 1], v.year);
}

/* The members or admins are asked about exactly the set that was frozen. */
static enum err ask(struct call *c, struct release *r, const struct charter *charter)
{
	struct ballot_rule rule;
	TRY(charter_rule(c->arena, charter, "gate", &rule, &c->error));
	const struct json *json;
	TRY(json_parse(c->arena, rule.json, &json, &c->error));
	struct str when = date_words(c->arena, r->cutoff_at);
	instant opens = duration_add(clock_now(), charter->notice, 1);
	struct ballot_draft draft = {
		.kind = "release", .subject = r->id, .digest = r->candidates_sha256, .rule = json, .charter = charter->version, .opens_at = opens,
		.closes_at = duration_add(opens, charter->voting, 1),
		.title = str_fmt(c->arena, "Release of %.*s", STR_ARG(when)),
		.question = str_fmt(c->arena, "Shall the %lld contributions by %lld members that were fixed on %.*s be released?", (long long)r->included,
			(long long)r->contributors, STR_ARG(when)),
	};
	if (!uuid_is_nil(r->joint))
		TRY(joint_question(c, r, when, &draft.title, &draft.question));
	TRY(ballot_create(c, r->coop, &draft, &r->ballot));
	TRY(db_exec(c, release_set_ballot, A_UUID(r->coop), A_UUID(r->id), A_UUID(r->ballot)));
	return release_queue(c, r, "release.opened", opens);
}

/* Whether releases were paused by a vote when this one was to be cut. Then it is not; the next one is scheduled when the pause is lifted. */
static enum err stop_if_paused(struct call *c, struct release *r, bool *paused)
{
	struct control *controls;
	size_t n;
	TRY(control_at(c, r->coop, r->cutoff_at, &controls, &n));
	const struct control *pausing = control_pausing(controls, n);
	*paused = pausing != NULL;
	if (!pausing)
		return ERR_OK;
	struct str why = str_fmt(c->arena, "Releases were paused by a vote of the members: %.*s", STR_ARG(pausing->reason));
	TRY(db_exec(c, release_set_failure, A_UUID(r->coop), A_UUID(r->id), A_STR(why)));
	return release_move(c, r, RELEASE_CANCELLED, STR_NONE);
}

/* It is cut under the charter in force at its cut-off: an amendment adopted since it was announced counts, and the ballot is still to come. */
static enum err take_charter_in_force(struct call *c, struct release *r)
{
	struct charter charter;
	TRY(charter_current(c, r->coop, &charter));
	r->charter = charter.version;
	return ERR_OK;
}

/* Decides, and keeps what was decided. A joint release is frozen only when the other co-op has come to the same set. */
static enum err fix(struct call *c, struct release *r, bool *fixed)
{
	struct decided d;
	TRY(decide_pool(c, r->coop, r, r->cutoff_at, r->cutoff_at, NULL, 0, &d));
	TRY(db_exec(c, release_set_terms, A_UUID(r->coop), A_UUID(r->id), A_INT(r->charter), A_STR(release_spec_json(c->arena, &d.charter, r->cutoff_at, &d))));
	r->candidates = (int64_t)d.n;
	r->included = decided_included(&d);
	r->contributors = (int64_t)d.report.contributors;
	*fixed = uuid_is_nil(r->joint);
	if (*fixed)
		r->candidates_sha256 = decided_digest(&d);
	else
		TRY(joint_compare(c, r, &d, fixed));
	TRY(db_exec(c, release_set_frozen, A_UUID(r->coop), A_UUID(r->id), A_I64(r->candidates), A_I64(r->included), A_I64(r->contributors),
		A_BYTES(str_make(r->candidates_sha256.b, 32))));
	return decided_store(c, r, "frozen", &d);
}

enum err release_freeze(struct call *c, struct uuid coop, struct uuid release)
{
	struct release r;
	struct charter charter;
	enum joint_step step = JOINT_DECIDE;
	bool paused, fixed;
	TRY(decide_pack(c, coop));
	TRY(db_begin_in(c, coop, DB_SERIAL));
	TRY(release_take(c, coop, release, &r));
	if (r.state != RELEASE_SCHEDULED)
		return db_commit(c);
	if (clock_now() < r.cutoff_at)
		return fail(c, ERR_STATE, "The cut-off has not come yet.");
	TRY(stop_if_paused(c, &r, &paused));
	if (paused)
		return db_commit(c);
	TRY(take_charter_in_force(c, &r));
	if (!uuid_is_nil(r.joint))
		TRY(joint_look(c, &r, &step));
	fixed = step == JOINT_AGREE;
	if (step == JOINT_DECIDE)
		TRY(fix(c, &r, &fixed));
	if (!fixed)
		return db_commit(c);
	TRY(charter_version(c, coop, r.charter, &charter));
	TRY(release_move(c, &r, RELEASE_FROZEN, frozen_facts(c, &r)));
	if (r.included == 0) {
		TRY(db_exec(c, release_set_failure, A_UUID(coop), A_UUID(release), A_Z("At the cut-off there was nothing that may be released.")));
		TRY(release_move(c, &r, RELEASE_FAILED, STR_NONE));
		return db_commit(c);
	}
	TRY(ask(c, &r, &charter));
	TRY(release_move(c, &r, RELEASE_NOTICE, STR_NONE));
	return db_commit(c);
}
