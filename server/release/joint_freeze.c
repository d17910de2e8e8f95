/* Freezing a joint release: both co-ops must come to the same set before anybody votes. */
#include "commonhold/words.h"

#include "joint_internal.h"

#define TRY_AGAIN (15 * CLOCK_MINUTE)
#define GIVE_UP (14 * CLOCK_DAY) /* after the cut-off */

SQL(release_set_failure, "UPDATE release SET failure = $3 WHERE coop_id = $1 AND id = $2");

static struct str charter_of(const struct json *document, struct str coop)
{
	json_each(charter, json_get(document, "charters"))
		if (str_eq(json_member_text(charter, "coop"), coop))
			return json_member_text(charter, "digest");
	return STR_NONE;
}

/* Whether the charter that the document was written under is still the one in force. */
static enum err charter_stands(struct call *c, const struct release *r, const struct release_joint *j, bool *stands)
{
	const struct json *document;
	struct charter charter;
	struct coop coop;
	TRY(json_parse(c->arena, j->document, &document, &c->error));
	TRY(coop_get(c, r->coop, &coop));
	TRY(charter_current(c, r->coop, &charter));
	*stands = str_eq(charter_of(document, coop.key_name), sha256_hex(c->arena, charter.digest));
	return ERR_OK;
}

static bool known_and_equal(const struct release_joint *j)
{
	return j->ours.n == JOINT_SET_BYTES && j->theirs.n == JOINT_SET_BYTES && memcmp(j->ours.p, j->theirs.p, 32) == 0;
}

static enum err give_up(struct call *c, struct release *r, struct str why)
{
	TRY(db_exec(c, release_set_failure, A_UUID(r->coop), A_UUID(r->id), A_STR(why)));
	return release_move(c, r, RELEASE_CANCELLED, STR_NONE);
}

enum err joint_look(struct call *c, struct release *r, enum joint_step *out)
{
	struct release_joint j;
	bool stands;
	TRY(joint_of(c, r, &j));
	TRY(charter_stands(c, r, &j, &stands));
	*out = known_and_equal(&j) ? JOINT_AGREE : j.ours.p && !j.theirs.p ? JOINT_WAIT : JOINT_DECIDE;
	if (!stands || (*out != JOINT_AGREE && clock_now() > r->cutoff_at + GIVE_UP)) {
		*out = JOINT_OVER;
		return give_up(c, r, !stands ? STR("The charter was amended since the release was proposed. It can be proposed again.")
			: j.differs.p ? STR("The two co-ops did not come to the same set within 14 days.") : STR("The other co-op did not say what it would release."));
	}
	if (*out == JOINT_WAIT)
		return release_queue(c, r, "release.freeze", clock_now() + CLOCK_DAY);
	if (*out != JOINT_AGREE)
		return ERR_OK;
	r->candidates_sha256 = sha256_load(str_sub(j.ours, 0, 32));
	return joint_set_ours(c, &j, j.ours, j.our_leaves, STR_NONE);
}

enum err joint_compare(struct call *c, struct release *r, struct decided *d, bool *agreed)
{
	struct release_joint j;
	struct joint_set set;
	struct str differs;
	TRY(joint_of(c, r, &j));
	TRY(joint_set_of(c, d, &j, NULL, &set));
	TRY(joint_difference(c, d, &j, &set, &differs));
	struct str ours = joint_set_bytes(c->arena, &set), leaves = joint_leaves_of_difference(c->arena, &j, &set);
	struct str without = STR_NONE, left_out;
	if (j.narrows && differs.p) {
		struct joint_apart apart = joint_apart(c->arena, &j, ours, leaves);
		without = apart.without;
		if (apart.found == JOINT_APART_TOO_MANY)
			differs = str_fmt(c->arena, "%.*s %.*s", STR_ARG(joint_too_many(c->arena, &j, &apart)), STR_ARG(differs));
	}
	TRY(joint_left_out(c, d, &left_out));
	TRY(joint_set_without(c, &j, without, left_out));
	bool news = without.p || !str_eq(ours, j.ours) || !str_eq(leaves, j.our_leaves) || !leaves.p != !j.our_leaves.p;
	TRY(joint_set_ours(c, &j, ours, leaves, differs));
	r->candidates_sha256 = set.digest;
	*agreed = j.theirs.p && !differs.p;
	if (news)
		TRY(release_queue(c, r, "joint.tell", clock_now()));
	return *agreed ? ERR_OK : release_queue(c, r, "release.freeze", clock_now() + (without.p ? 0 : TRY_AGAIN));
}

enum err joint_question(struct call *c, const struct release *r, struct str when, struct str *title, struct str *question)
{
	struct release_joint j;
	struct str partner = STR_NONE;
	const struct json *document;
	TRY(joint_of(c, r, &j));
	TRY(json_parse(c->arena, j.document, &document, &c->error));
	json_each(charter, json_get(document, "charters"))
		if (str_eq(json_member_text(charter, "coop"), j.partner))
			partner = json_member_text(charter, "name");
	*title = str_fmt(c->arena, "Release of %.*s together with %.*s", STR_ARG(when), STR_ARG(partner));
	struct str rest = j.without.n ? str_fmt(c->arena, " What the two do not agree on is left out: %zu of what they have.", j.without.n / sizeof(struct sha256)) : STR("");
	*question = str_fmt(c->arena, "Shall the %lld contributions by %lld members of both co-ops that were fixed on %.*s be released together with %.*s, which votes on the same set?%.*s",
		(long long)r->included, (long long)r->contributors, STR_ARG(when), STR_ARG(partner), STR_ARG(rest));
	return ERR_OK;
}
