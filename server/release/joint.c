/* The rows of joint releases, and what two co-ops say of them to each other. */
#include "commonhold/ballot.h"
#include "commonhold/verify.h"

#include "joint_internal.h"

#define JOINT_COLUMNS \
	"joint_id, release_id, agreement_id, maker, partner, partner_key, partner_keys, document, document_sha256, partner_charter, ours, theirs, their_leaves, differs, partner_state, " \
	"partner_ballot, partner_version, partner_url, manifest, manifest_sha256, signature, published_at, heard_at, our_leaves, narrows, without, left_out, ended_at IS NOT NULL"

SQL(joint_by_id, "SELECT " JOINT_COLUMNS " FROM release_joint WHERE coop_id = $1 AND joint_id = $2");
SQL(joint_for_update, "SELECT " JOINT_COLUMNS " FROM release_joint WHERE coop_id = $1 AND joint_id = $2 FOR UPDATE");
SQL(joint_newest, "SELECT " JOINT_COLUMNS " FROM release_joint WHERE coop_id = $1 ORDER BY made_at DESC, joint_id LIMIT $2");
SQL(joint_insert,
	"INSERT INTO release_joint (coop_id, joint_id, release_id, agreement_id, maker, partner, partner_key, partner_keys, document, document_sha256, partner_charter, partner_state, made_at) "
	"VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, 'proposed', commonhold_now())");
SQL(joint_release_insert,
	"INSERT INTO release (coop_id, id, charter, cutoff_at, state, state_at, spec, seed, joint_id) VALUES ($1, $2, $3, $4, 'scheduled', commonhold_now(), $5, $6, $7) "
	"ON CONFLICT (coop_id, cutoff_at) WHERE redacts_id IS NULL DO NOTHING");
SQL(joint_note_ours, "UPDATE release_joint SET ours = $3, our_leaves = $4, differs = $5 WHERE coop_id = $1 AND joint_id = $2");
SQL(joint_note_without, "UPDATE release_joint SET without = coalesce($3, without), left_out = coalesce($4, left_out) WHERE coop_id = $1 AND joint_id = $2");
SQL(joint_note_narrows, "UPDATE release_joint SET narrows = true WHERE coop_id = $1 AND joint_id = $2");
SQL(joint_note_word,
	"UPDATE release_joint SET partner_state = $3, theirs = coalesce($4, theirs), their_leaves = CASE WHEN $13 THEN their_leaves ELSE $5 END, partner_ballot = coalesce($6, partner_ballot), differs = coalesce($7, differs), "
	"partner_version = coalesce($8, partner_version), partner_url = coalesce($9, partner_url), partner_key = $10, partner_keys = $11, heard_at = $12, "
	"published_at = CASE WHEN $3 = 'published' THEN coalesce(published_at, commonhold_now()) ELSE published_at END WHERE coop_id = $1 AND joint_id = $2");
SQL(joint_note_manifest, "UPDATE release_joint SET manifest = $3, manifest_sha256 = $4, signature = NULL, differs = NULL WHERE coop_id = $1 AND joint_id = $2");
SQL(joint_note_signature, "UPDATE release_joint SET signature = $3, differs = NULL WHERE coop_id = $1 AND joint_id = $2");
SQL(joint_note_leaves, "UPDATE release_joint SET their_leaves = $3 WHERE coop_id = $1 AND joint_id = $2");
SQL(joint_note_ended, "UPDATE release_joint SET ended_at = coalesce(ended_at, commonhold_now()) WHERE coop_id = $1 AND joint_id = $2");
SQL(joint_made, "SELECT id FROM release WHERE coop_id = $1 AND joint_id = $2 AND state IN ('published', 'superseded', 'withdrawn', 'redacting') ORDER BY leaf");
SQL(joint_redacting, "SELECT 1 FROM release WHERE coop_id = $1 AND joint_id = $2 AND state = 'redacting'");
SQL(joint_again, "SELECT id FROM release WHERE coop_id = $1 AND joint_id = $2 AND state = 'published' AND redacts_id IS NOT NULL ORDER BY leaf DESC LIMIT 1");
SQL(release_set_failure, "UPDATE release SET failure = $3 WHERE coop_id = $1 AND id = $2");
SQL(release_set_published, "UPDATE release SET published_at = coalesce(published_at, commonhold_now()), failure = NULL WHERE coop_id = $1 AND id = $2");
SQL(ballot_end, "SELECT closed_at FROM ballot WHERE coop_id = $1 AND id = $2");

static size_t leaves_told = JOINT_LEAVES_TOLD, manifest_told = JOINT_MANIFEST_TOLD;

void joint_tell_at_most(size_t leaves, size_t manifest)
{
	leaves_told = leaves;
	manifest_told = manifest;
}

static const char *const state_words[] = {
#define X(name, text) [JOINT_##name] = text,
	JOINT_STATES(X)
#undef X
};

const char *joint_state_name(enum joint_state s)
{
	return (unsigned)s < JOINT_STATE_COUNT ? state_words[s] : "unknown";
}

bool joint_state_parse(struct str word, enum joint_state *out)
{
	int no = str_which(word, state_words, JOINT_STATE_COUNT);
	if (no >= 0)
		*out = (enum joint_state)no;
	return no >= 0;
}

enum joint_state joint_state_of(enum release_state s)
{
	static const enum joint_state words[RELEASE_STATE_COUNT] = {
		[RELEASE_SCHEDULED] = JOINT_PROPOSED, [RELEASE_FROZEN] = JOINT_FROZEN, [RELEASE_NOTICE] = JOINT_FROZEN, [RELEASE_OPEN] = JOINT_FROZEN, [RELEASE_PASSED] = JOINT_FROZEN,
		[RELEASE_COOLING_OFF] = JOINT_FROZEN, [RELEASE_BUILDING] = JOINT_PASSED, [RELEASE_FAILED] = JOINT_FAILED, [RELEASE_EXPIRED] = JOINT_FAILED,
		[RELEASE_CANCELLED] = JOINT_CANCELLED, [RELEASE_PUBLISHED] = JOINT_PUBLISHED, [RELEASE_SUPERSEDED] = JOINT_PUBLISHED, [RELEASE_JOINED] = JOINT_PUBLISHED,
		[RELEASE_WITHDRAWN] = JOINT_WITHDRAWN, [RELEASE_LEFT] = JOINT_WITHDRAWN, [RELEASE_REDACTING] = JOINT_WITHDRAWN,
	};
	return words[s];
}

/* ---- rows ---- */

static enum err joint_row(struct call *c, struct uuid coop, const struct rows *r, int i, struct release_joint *out)
{
	*out = (struct release_joint){
		.coop = coop, .id = row_uuid(r, i, 0), .release = row_uuid(r, i, 1), .agreement = row_uuid(r, i, 2), .maker = row_bool(r, i, 3), .partner = row_str(r, i, 4),
		.partner_keys = row_str(r, i, 6), .document = row_str(r, i, 7), .document_sha256 = sha256_load(row_bytes(r, i, 8)), .partner_charter = row_str(r, i, 9),
		.ours = row_bytes(r, i, 10), .theirs = row_bytes(r, i, 11), .their_leaves = row_bytes(r, i, 12), .differs = row_str(r, i, 13), .partner_ballot = row_str(r, i, 15),
		.partner_version = row_str(r, i, 16), .partner_url = row_str(r, i, 17), .manifest = row_str(r, i, 18), .manifest_sha256 = sha256_load(row_bytes(r, i, 19)),
		.signature = row_bytes(r, i, 20), .published_at = row_time(r, i, 21), .heard_at = row_time(r, i, 22), .our_leaves = row_bytes(r, i, 23), .narrows = row_bool(r, i, 24), .without = row_bytes(r, i, 25), .left_out = row_str(r, i, 26), .ended = row_bool(r, i, 27),
	};
	struct str key = row_bytes(r, i, 5);
	if (key.n != 32 || !joint_state_parse(row_str(r, i, 14), &out->partner_state))
		return fail(c, ERR_CORRUPT, "A joint release is stored in a form that is not known.");
	memcpy(out->partner_key, key.p, 32);
	return ERR_OK;
}

static enum err joint_one(struct call *c, const struct db_stmt *s, struct uuid coop, struct uuid id, struct release_joint *out)
{
	struct rows r;
	TRY(db_run_one(c, s, &r, (struct db_arg[]){ A_UUID(coop), A_UUID(id) }, 2));
	return joint_row(c, coop, &r, 0, out);
}

enum err release_joint_get(struct call *c, struct uuid coop, struct uuid id, struct release_joint *out)
{
	return joint_one(c, &joint_by_id, coop, id, out);
}

enum err release_joint_take(struct call *c, struct uuid coop, struct uuid id, struct release_joint *out)
{
	return joint_one(c, &joint_for_update, coop, id, out);
}

enum err joint_of(struct call *c, const struct release *r, struct release_joint *out)
{
	return release_joint_get(c, r->coop, r->joint, out);
}

enum err release_joint_list(struct call *c, struct uuid coop, struct release_joint **out, size_t *n)
{
	struct rows r;
	TRY(db_query(c, joint_newest, &r, A_UUID(coop), A_INT(LIMIT_PAGE)));
	*n = (size_t)r.n;
	*out = ARENA_ARRAY(c->arena, *n + 1, struct release_joint);
	for (int i = 0; i < r.n; i++)
		TRY(joint_row(c, coop, &r, i, &(*out)[i]));
	return ERR_OK;
}

enum err joint_set_ours(struct call *c, const struct release_joint *j, struct str ours, struct str leaves, struct str differs)
{
	return db_exec(c, joint_note_ours, A_UUID(j->coop), A_UUID(j->id), A_BYTES(ours), A_BYTES(leaves), A_STR(differs));
}

enum err joint_set_without(struct call *c, const struct release_joint *j, struct str without, struct str left_out)
{
	return db_exec(c, joint_note_without, A_UUID(j->coop), A_UUID(j->id), A_BYTES(without), A_STR(left_out));
}

enum err release_joint_narrow(struct call *c, const struct release_joint *j)
{
	struct release r;
	TRY(release_get(c, j->coop, j->release, &r));
	bool both = j->ours.n == JOINT_SET_BYTES && j->theirs.n == JOINT_SET_BYTES;
	if (!j->maker || r.state != RELEASE_SCHEDULED || !both || memcmp(j->ours.p, j->theirs.p, 32) == 0)
		return fail(c, ERR_STATE, "Only the co-op that makes a joint release can go on with what both have, while the two sets are known to differ.");
	struct joint_apart apart = joint_apart(c->arena, j, j->ours, j->our_leaves);
	if (apart.found == JOINT_APART_TOO_MANY)
		return fail_reason(c, ERR_REFUSED, "joint_too_different", "%s", str_z(c->arena, joint_too_many(c->arena, j, &apart)));
	TRY(db_exec(c, joint_note_narrows, A_UUID(j->coop), A_UUID(j->id)));
	return release_queue(c, &r, "release.freeze", clock_now());
}

/* ---- scheduling ---- */

enum err release_joint_schedule(struct call *c, const struct release_joint *in, struct release *out)
{
	const struct json *document;
	struct charter charter;
	struct sha256 seed;
	struct rows r;
	TRY(json_parse(c->arena, in->document, &document, &c->error));
	*out = (struct release){ .id = uuid_new(), .coop = in->coop, .joint = in->id, .state = RELEASE_SCHEDULED };
	if (!clock_parse(json_member_text(document, "cutoff"), &out->cutoff_at) || !sha256_parse(json_member_text(document, "seed"), &seed))
		return fail(c, ERR_INVALID, "The document of the joint release has no cut-off or no seed.");
	TRY(charter_current(c, in->coop, &charter));
	out->charter = charter.version;
	TRY(db_query(c, joint_release_insert, &r, A_UUID(in->coop), A_UUID(out->id), A_INT(charter.version), A_TIME(out->cutoff_at),
		A_STR(release_spec_json(c->arena, &charter, out->cutoff_at, NULL)), A_BYTES(str_make(seed.b, 32)), A_UUID(in->id)));
	if (r.affected != 1)
		return fail(c, ERR_EXISTS, "Another release of this co-op has the same cut-off. Choose another moment.");
	TRY(db_exec(c, joint_insert, A_UUID(in->coop), A_UUID(in->id), A_UUID(out->id), A_UUID(in->agreement), A_BOOL(in->maker), A_STR(in->partner),
		A_BYTES(str_make(in->partner_key, 32)), A_STR(in->partner_keys), A_STR(in->document), A_BYTES(str_make(in->document_sha256.b, 32)), A_STR(in->partner_charter)));
	struct str id = uuid_format(c->arena, out->id), when = clock_format(c->arena, out->cutoff_at), digest = sha256_hex(c->arena, in->document_sha256);
	TRY(ledger_append(c, in->coop, &(struct leaf){ .type = "release.scheduled",
		.data = str_fmt(c->arena, "{\"cutoff\":\"%.*s\",\"joint\":\"%.*s\",\"maker\":%s,\"partner\":\"%.*s\",\"release\":\"%.*s\"}", STR_ARG(when), STR_ARG(digest), in->maker ? "true" : "false",
			STR_ARG(in->partner), STR_ARG(id)) }, NULL));
	TRY(release_queue(c, out, "release.freeze", out->cutoff_at));
	return release_queue(c, out, "release.tell", clock_now());
}

/* ---- saying ---- */

/* Our ballot, once our part is done. */
static enum err ballot_word(struct call *c, const struct release *r, struct str *out)
{
	struct rows rows;
	TRY(db_one(c, ballot_end, &rows, A_UUID(r->coop), A_UUID(r->ballot)));
	struct str at = clock_format(c->arena, row_time(&rows, 0, 0)), id = uuid_format(c->arena, r->ballot);
	*out = str_fmt(c->arena, "{\"closed_at\":\"%.*s\",\"id\":\"%.*s\"}", STR_ARG(at), STR_ARG(id));
	return ERR_OK;
}

/* The release that stands for ours now: itself, or what was published after it without what was erased. */
static enum err standing(struct call *c, const struct release_joint *j, struct release *r)
{
	struct rows again;
	TRY(release_get(c, j->coop, j->release, r));
	if (r->state != RELEASE_WITHDRAWN)
		return ERR_OK;
	TRY(db_query(c, joint_again, &again, A_UUID(j->coop), A_UUID(j->id)));
	return again.n ? release_get(c, j->coop, row_uuid(&again, 0, 0), r) : ERR_OK;
}

enum err release_joint_word(struct call *c, const struct release_joint *j, struct joint_word *out)
{
	struct release r;
	TRY(standing(c, j, &r));
	*out = (struct joint_word){ .state = joint_state_of(r.state), .set = j->ours, .version = r.version, .final = j->ended };
	if (j->our_leaves.n <= leaves_told * sizeof(struct sha256))
		out->leaves = j->our_leaves;
	else
		out->leaves_sha256 = sha256(j->our_leaves);
	if (j->maker)
		out->without = j->without;
	if (out->state == JOINT_PASSED || out->state == JOINT_PUBLISHED)
		TRY(ballot_word(c, &r, &out->ballot));
	if (r.failure.p || r.withdrawn_why.p)
		out->why = r.failure.p ? r.failure : r.withdrawn_why;
	if (out->state == JOINT_FAILED || out->state == JOINT_CANCELLED || out->state == JOINT_FROZEN)
		return ERR_OK;
	out->differs = j->differs;
	if (!j->maker) {
		out->signature = j->signature;
		out->manifest_sha256 = j->manifest_sha256;
	} else if (j->manifest.p && !j->signature.p) {
		out->manifest_sha256 = j->manifest_sha256;
		if (j->manifest.n <= manifest_told)
			out->manifest = j->manifest;
	}
	return ERR_OK;
}

/* ---- hearing ---- */

/* One release of those that were made of it: out of sight, and nothing is made of it any more. */
static enum err end_made(struct call *c, struct uuid coop, struct uuid release, struct str why)
{
	struct release r;
	TRY(release_take(c, coop, release, &r));
	if (r.state == RELEASE_REDACTING)
		TRY(release_move(c, &r, RELEASE_CANCELLED, STR_NONE));
	else if (r.state != RELEASE_WITHDRAWN)
		TRY(release_withdraw(c, coop, release, why, -1, -1));
	return db_exec(c, release_set_failure, A_UUID(coop), A_UUID(release), A_STR(why)); /* one with a failure is no base of a redaction */
}

/* Withdrawn for good: the maker's release, the redactions that took its place, and one under way. */
static enum err end_published(struct call *c, const struct release_joint *j, struct release *r, struct str why)
{
	struct rows made;
	TRY(db_exec(c, joint_note_ended, A_UUID(j->coop), A_UUID(j->id)));
	TRY(release_queue(c, r, "joint.tell", clock_now()));
	if (!j->maker) {
		TRY(db_exec(c, release_set_failure, A_UUID(r->coop), A_UUID(r->id), A_STR(why)));
		return r->state == RELEASE_JOINED ? release_move(c, r, RELEASE_LEFT, STR_NONE) : ERR_OK;
	}
	TRY(db_query(c, joint_made, &made, A_UUID(j->coop), A_UUID(j->id)));
	for (int i = 0; i < made.n; i++)
		TRY(end_made(c, j->coop, row_uuid(&made, i, 0), why));
	return ERR_OK;
}

enum err release_joint_end(struct call *c, const struct release_joint *j, struct str why, bool final)
{
	struct release r;
	TRY(ledger_lock(c, j->coop));
	TRY(release_take(c, j->coop, j->release, &r));
	enum joint_state here = joint_state_of(r.state);
	bool balloting = r.state == RELEASE_NOTICE || r.state == RELEASE_OPEN;
	if (j->ended)
		return ERR_OK;
	if (final && (here == JOINT_PUBLISHED || here == JOINT_WITHDRAWN))
		return end_published(c, j, &r, why);
	switch (here) {
	case JOINT_PUBLISHED:
		if (r.state != RELEASE_JOINED)
			return ERR_OK; /* the partner only follows what was withdrawn here */
		TRY(db_exec(c, release_set_failure, A_UUID(r.coop), A_UUID(r.id), A_STR(why)));
		return release_move(c, &r, RELEASE_LEFT, STR_NONE);
	case JOINT_PROPOSED:
	case JOINT_FROZEN:
	case JOINT_PASSED:
		TRY(db_exec(c, release_set_failure, A_UUID(r.coop), A_UUID(r.id), A_STR(why)));
		TRY(release_move(c, &r, RELEASE_CANCELLED, STR_NONE));
		return balloting ? ballot_cancel(c, r.coop, r.ballot, why) : ERR_OK;
	default:
		return ERR_OK; /* it has ended already */
	}
}

/* The partner's release follows the maker's to its publication, and back to it after a redaction. */
static enum err heard_published(struct call *c, const struct release_joint *j)
{
	struct release r;
	TRY(release_take(c, j->coop, j->release, &r));
	if (j->ended)
		return ERR_OK; /* withdrawn here meanwhile, of which the other hears */
	if (j->maker || (r.state != RELEASE_BUILDING && r.state != RELEASE_LEFT))
		return ERR_OK;
	if (r.state == RELEASE_BUILDING && !j->signature.p)
		return fail(c, ERR_REFUSED, "A joint release is said to be published that this co-op has not signed.");
	TRY(db_exec(c, release_set_published, A_UUID(r.coop), A_UUID(r.id)));
	return release_move(c, &r, RELEASE_JOINED, STR_NONE);
}

/* What the maker leaves out so that both come to the same: less of what was decided, never more. */
static enum err heard_without(struct call *c, const struct release_joint *j, const struct joint_word *word)
{
	struct release r;
	TRY(release_get(c, j->coop, j->release, &r));
	if (j->maker || r.state != RELEASE_SCHEDULED || !word->without.n || str_eq(word->without, j->without))
		return ERR_OK;
	if (word->without.n % sizeof(struct sha256) || word->without.n > JOINT_WITHOUT_MAX * sizeof(struct sha256))
		return fail(c, ERR_INVALID, "What is to be left out of the joint release is not as it must be.");
	TRY(joint_set_without(c, j, word->without, STR_NONE));
	return release_queue(c, &r, "release.freeze", clock_now() > r.cutoff_at ? clock_now() : r.cutoff_at);
}

/* The other's set: ours is frozen when it is the same. After that it may not change any more. */
static enum err heard_set(struct call *c, const struct release_joint *j, const struct joint_word *word)
{
	struct release r;
	struct sha256 digest;
	if (!joint_set_read(word->set, j->document_sha256, &digest))
		return fail(c, ERR_INVALID, "The set of the joint release does not have the digest that it names.");
	TRY(release_get(c, j->coop, j->release, &r));
	bool by_digest = !sha256_eq(word->leaves_sha256, (struct sha256){ { 0 } });
	bool same_leaves = by_digest ? sha256_eq(word->leaves_sha256, sha256(j->their_leaves)) : !word->leaves.p == !j->their_leaves.p && str_eq(word->leaves, j->their_leaves);
	if (r.state == RELEASE_SCHEDULED && str_eq(word->set, j->theirs) && same_leaves)
		return ERR_OK; /* nothing new: two that differ would go on telling each other */
	if (r.state == RELEASE_SCHEDULED)
		return release_queue(c, &r, "release.freeze", clock_now() > r.cutoff_at ? clock_now() : r.cutoff_at);
	bool voting = joint_state_of(r.state) == JOINT_FROZEN;
	if (voting && word->state <= JOINT_FROZEN && !sha256_eq(digest, r.candidates_sha256))
		return release_joint_end(c, j, STR("The other co-op's pool has changed since both were frozen, so that the votes would be about different sets. It can be proposed again."), false);
	return ERR_OK;
}

static bool partner_signed(struct call *c, const struct release_joint *j, const struct joint_word *word)
{
	struct dsse_signature s;
	if (word->signature.n != sizeof(s.bytes))
		return false;
	memcpy(s.public_key, word->key, sizeof(s.public_key));
	memcpy(s.bytes, word->signature.p, sizeof(s.bytes));
	return dsse_signature_holds(c->arena, &s, STR(RELEASE_PAYLOAD_TYPE), j->manifest);
}

/* The signature that was asked for: of what is being built, of a redaction that waits for it, or of one that did not wait. */
static enum err heard_signature(struct call *c, const struct release_joint *j, const struct release *r)
{
	struct rows redacting;
	if (r->state == RELEASE_BUILDING)
		return release_queue(c, r, "release.build", clock_now());
	TRY(db_query(c, joint_redacting, &redacting, A_UUID(j->coop), A_UUID(j->id)));
	return redacting.n ? release_redact(c, j->coop, clock_now()) : release_queue(c, r, "joint.seal", clock_now());
}

static enum err note_manifest(struct call *c, const struct release_joint *j, const struct release *r, struct str manifest)
{
	struct sha256 digest = sha256(manifest);
	TRY(db_exec(c, joint_note_manifest, A_UUID(j->coop), A_UUID(j->id), A_STR(manifest), A_BYTES(str_make(digest.b, 32))));
	return release_queue(c, r, "joint.sign", clock_now());
}

/* A manifest to be signed by us, or the signature of one of ours. */
static enum err heard_manifest(struct call *c, const struct release_joint *j, const struct joint_word *word)
{
	struct release r;
	TRY(release_get(c, j->coop, j->release, &r));
	if (!j->maker && word->manifest.p && !sha256_eq(word->manifest_sha256, j->manifest_sha256)) { /* the same again is looked at when its time comes */
		if (!sha256_eq(sha256(word->manifest), word->manifest_sha256))
			return fail(c, ERR_INVALID, "The manifest to be signed does not have the digest that it is said to have.");
		return note_manifest(c, j, &r, word->manifest);
	}
	if (j->maker && word->signature.p && !j->signature.p && j->manifest.p && sha256_eq(word->manifest_sha256, j->manifest_sha256)) {
		if (!partner_signed(c, j, word))
			return fail(c, ERR_INVALID, "The other co-op's signature does not hold over the manifest.");
		TRY(db_exec(c, joint_note_signature, A_UUID(j->coop), A_UUID(j->id), A_BYTES(word->signature)));
		return heard_signature(c, j, &r);
	}
	return ERR_OK;
}

/* What was told by its digest alone is to be got. */
static enum err heard_digests(struct call *c, const struct release_joint *j, const struct joint_word *word)
{
	const struct sha256 none = { { 0 } };
	bool manifest = !j->maker && !word->manifest.p && !sha256_eq(word->manifest_sha256, none) && !sha256_eq(word->manifest_sha256, j->manifest_sha256);
	bool leaves = !sha256_eq(word->leaves_sha256, none) && !sha256_eq(word->leaves_sha256, sha256(j->their_leaves));
	if (!manifest && !leaves)
		return ERR_OK;
	struct str id = uuid_format(c->arena, j->id), coop = uuid_format(c->arena, j->coop), both = str_fmt(c->arena, "\"manifest\":\"%.*s\",\"leaves\":\"%.*s\"",
		STR_ARG(manifest ? sha256_hex(c->arena, word->manifest_sha256) : STR("")), STR_ARG(leaves ? sha256_hex(c->arena, word->leaves_sha256) : STR("")));
	return job_queue(c, "joint.fetch", sha256_hex(c->arena, sha256(both)), str_fmt(c->arena, "{\"coop\":\"%.*s\",\"joint\":\"%.*s\",%.*s}", STR_ARG(coop), STR_ARG(id), STR_ARG(both)), clock_now());
}

enum err release_joint_papers(struct call *c, struct uuid coop, struct uuid id, struct str manifest, struct str leaves)
{
	struct release_joint j;
	struct release r;
	TRY(release_joint_take(c, coop, id, &j));
	TRY(release_get(c, coop, j.release, &r));
	if (leaves.p)
		TRY(db_exec(c, joint_note_leaves, A_UUID(coop), A_UUID(id), A_BYTES(leaves)));
	if (manifest.p && !j.maker)
		return note_manifest(c, &j, &r, manifest);
	if (leaves.p && r.state == RELEASE_SCHEDULED)
		return release_queue(c, &r, "release.freeze", clock_now() > r.cutoff_at ? clock_now() : r.cutoff_at);
	return leaves.p && !j.maker ? release_queue(c, &r, "joint.sign", clock_now()) : ERR_OK;
}

static struct str words_of_end(struct call *c, const struct joint_word *word)
{
	const char *what = word->state == JOINT_WITHDRAWN ? "withdrew it" : word->state == JOINT_FAILED ? "did not agree to it" : "cancelled it";
	struct str why = word->why.p ? str_utf8_head(word->why, 300) : STR("");
	return str_fmt(c->arena, "The other co-op %s.%s%.*s", what, why.n ? " It says: " : "", STR_ARG(why));
}

enum err release_joint_hear(struct call *c, struct uuid coop, struct uuid id, const struct joint_word *word)
{
	struct release_joint j;
	struct release r;
	TRY(release_joint_take(c, coop, id, &j));
	if (word->at < j.heard_at)
		return ERR_OK;
	TRY(release_get(c, coop, j.release, &r));
	struct str differs = joint_state_of(r.state) == JOINT_FROZEN ? STR_NONE : word->differs; /* said before it had heard that ours is the same */
	TRY(db_exec(c, joint_note_word, A_UUID(coop), A_UUID(id), A_Z(joint_state_name(word->state)), A_BYTES(word->set), A_BYTES(word->leaves), A_STR(word->ballot), A_STR(differs),
		A_STR(j.maker ? STR_NONE : word->version), A_STR(j.maker ? STR_NONE : word->url), A_BYTES(str_make(word->key, 32)), A_STR(word->keys), A_TIME(word->at),
		A_BOOL(!sha256_eq(word->leaves_sha256, (struct sha256){ { 0 } }))));
	TRY(heard_without(c, &j, word));
	if (word->set.p)
		TRY(heard_set(c, &j, word));
	TRY(heard_manifest(c, &j, word));
	TRY(heard_digests(c, &j, word));
	TRY(release_get(c, coop, j.release, &r));
	switch (word->state) {
	case JOINT_PASSED:
		return j.maker && r.state == RELEASE_BUILDING && j.partner_state != JOINT_PASSED ? release_queue(c, &r, "release.build", clock_now()) : ERR_OK;
	case JOINT_PUBLISHED:
		return heard_published(c, &j);
	case JOINT_FAILED:
	case JOINT_CANCELLED:
	case JOINT_WITHDRAWN:
		return release_joint_end(c, &j, words_of_end(c, word), word->final);
	default:
		return ERR_OK;
	}
}
