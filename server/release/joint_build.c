/* Building a joint release: the maker's artefact with both votes and both signatures, and the partner's look at it before it signs. */
#include "commonhold/config.h"
#include "commonhold/log.h"
#include "commonhold/verify.h"

#include "joint_internal.h"

#define LOOK_AGAIN CLOCK_HOUR
#define LOOK_FOR (30 * CLOCK_DAY) /* at a redaction that is not what it should be */

SQL(joint_ask, "UPDATE release_joint SET manifest = $3, manifest_sha256 = $4, signature = NULL WHERE coop_id = $1 AND joint_id = $2 AND manifest_sha256 IS DISTINCT FROM $4");
SQL(joint_sign, "UPDATE release_joint SET signature = $3, ours = $4, differs = NULL WHERE coop_id = $1 AND joint_id = $2");
SQL(ballot_end, "SELECT closed_at FROM ballot WHERE coop_id = $1 AND id = $2");

/* ---- the maker ---- */

enum err joint_may_build(struct call *c, const struct release *r, bool *go)
{
	struct release_joint j;
	TRY(joint_of(c, r, &j));
	*go = j.maker && j.partner_state == JOINT_PASSED;
	return release_queue(c, r, "release.build", clock_now() + (*go ? LOOK_AGAIN : CLOCK_DAY)); /* for what is not heard, and for the end of the time to build it in */
}


enum err joint_artefact(struct artefact *a)
{
	struct call *c = a->c;
	struct rows rows;
	a->joint = ARENA_NEW(c->arena, struct artefact_joint);
	TRY(joint_of(c, a->release, &a->joint->j));
	TRY(joint_set_of(c, a->d, &a->joint->j, a->base ? a->kept : NULL, &a->joint->set));
	TRY(db_one(c, ballot_end, &rows, A_UUID(a->release->coop), A_UUID(a->release->ballot)));
	a->joint->closed_at = row_time(&rows, 0, 0);
	return ERR_OK;
}

enum err joint_documents(struct artefact *a)
{
	const struct release_joint *j = &a->joint->j;
	struct buf b;
	buf_init(&b, LIMIT_MANIFEST);
	buf_add_z(&b, "{\"document\":");
	buf_add_str(&b, j->document);
	buf_add_z(&b, ",\"partner_charter\":");
	buf_add_str(&b, j->partner_charter);
	buf_add_z(&b, "}");
	TRY(artefact_write_canonical(a, "joint.json", buf_take(a->d->arena, &b), true, NULL));
	return artefact_write_canonical(a, "partner.keys.json", j->partner_keys, true, NULL);
}

bool joint_waits(const struct artefact *a)
{
	if (!a->joint || a->joint->signed_by_both)
		return false;
	return !a->base || clock_now() < a->release->build_after + JOINT_REDACTION_WAITS;
}

/* What one co-op decided: its ballot and the key that signs for it. */
struct party { struct str coop, charter; const uint8_t *key; struct str ballot, closed_at; };

static void write_party(struct artefact *a, struct json_writer *w, const struct party *p)
{
	struct arena *arena = a->d->arena;
	jw_object(w);
	jw_key(w, "ballot");
	jw_object(w);
	jw_kstr(w, "closed_at", p->closed_at);
	jw_kstr(w, "digest", sha256_hex(arena, a->release->candidates_sha256));
	jw_kstr(w, "id", p->ballot);
	jw_kz(w, "result", "passed");
	jw_end_object(w);
	jw_kstr(w, "charter_sha256", p->charter);
	jw_kstr(w, "coop", p->coop);
	jw_kstr(w, "key", str_hex(arena, p->key, 32));
	jw_end_object(w);
}

void joint_manifest(struct artefact *a, struct json_writer *w)
{
	struct arena *arena = a->d->arena;
	const struct release_joint *j = &a->joint->j;
	const struct json *ballot = NULL, *document = NULL;
	struct error ignored = { 0 };
	if (json_parse(arena, j->partner_ballot, &ballot, &ignored) != ERR_OK || json_parse(arena, j->document, &document, &ignored) != ERR_OK)
		ballot = NULL; /* written as nothing, which the check of the staged release refuses */
	struct party ours = { a->coop.key_name, sha256_hex(arena, a->d->charter.digest), a->key.public_key, uuid_format(arena, a->release->ballot), clock_format(arena, a->joint->closed_at) };
	struct party theirs = { j->partner, sha256_hex(arena, sha256(j->partner_charter)), j->partner_key, json_member_text(ballot, "id"), json_member_text(ballot, "closed_at") };
	jw_key(w, "joint");
	jw_object(w);
	jw_kstr(w, "agreement_sha256", json_member_text(document, "agreement"));
	jw_kstr(w, "document_sha256", sha256_hex(arena, j->document_sha256));
	jw_kstr(w, "id", uuid_format(arena, j->id));
	jw_kstr(w, "items_sha256", sha256_hex(arena, a->joint->set.digest));
	jw_key(w, "parties"); /* the maker first */
	jw_array(w);
	write_party(a, w, &ours);
	write_party(a, w, &theirs);
	jw_end_array(w);
	jw_end_object(w);
}

struct str joint_envelope(struct artefact *a, struct str manifest, struct sha256 digest)
{
	struct artefact_joint *joint = a->joint;
	struct dsse_signature both[2];
	struct arena *arena = a->d->arena;
	joint->manifest = manifest;
	dsse_signature_make(arena, &a->key, STR(RELEASE_PAYLOAD_TYPE), manifest, &both[0]);
	joint->signed_by_both = joint->j.signature.n == sizeof(both[1].bytes) && sha256_eq(digest, joint->j.manifest_sha256);
	if (joint->signed_by_both) {
		memcpy(both[1].public_key, joint->j.partner_key, sizeof(both[1].public_key));
		memcpy(both[1].bytes, joint->j.signature.p, sizeof(both[1].bytes));
	}
	return dsse_write(arena, both, joint->signed_by_both ? 2 : 1, STR(RELEASE_PAYLOAD_TYPE), manifest);
}

enum err joint_ask_signature(struct artefact *a, struct sha256 digest)
{
	struct call *c = a->c;
	const struct release_joint *j = &a->joint->j;
	TRY(db_exec(c, joint_ask, A_UUID(j->coop), A_UUID(j->id), A_STR(a->joint->manifest), A_BYTES(str_make(digest.b, 32))));
	const struct joint_set *set = &a->joint->set;
	struct str leaves = a->base && set->n <= JOINT_LEAVES_MAX ? str_make(set->leaves, set->n * sizeof(*set->leaves)) : STR_NONE;
	TRY(joint_set_ours(c, j, joint_set_bytes(c->arena, set), leaves, j->differs));
	return sha256_eq(digest, j->manifest_sha256) ? ERR_OK : release_queue(c, a->release, "joint.tell", clock_now());
}

/* ---- the partner ---- */

/* What the manifest says, held against what this co-op knows by itself. Says why it is not signed, or nothing. `again`: it is a redaction of what was signed before. */
static enum err read_manifest(struct call *c, const struct release *r, const struct release_joint *j, const struct sign_key *key, bool again, struct sha256 *items, struct str *why)
{
	const struct json *m, *joint, *own;
	struct str maker;
	struct uuid id;
	TRY(json_parse(c->arena, j->manifest, &m, &c->error));
	joint = json_get(m, "joint");
	own = json_at(joint, "/parties/1");
	*why = STR_NONE;
	if (!rid_parse(json_member_text(m, "release"), &maker, &id) || !str_eq(maker, j->partner))
		*why = STR("It is not a release of the co-op that makes this one.");
	else if (!str_eq(json_member_text(joint, "document_sha256"), sha256_hex(c->arena, j->document_sha256)))
		*why = STR("It was made by another document than the one that both agreed on.");
	else if (!str_eq(json_member_text(m, "candidates_sha256"), sha256_hex(c->arena, r->candidates_sha256)))
		*why = STR("It is about another set than the one that both voted on.");
	else if ((json_get(m, "redacts") != NULL) != again)
		*why = again ? STR("It is no redaction of the release that both signed.") : STR("It is a redaction of a release that was never signed.");
	else if (!str_eq(json_text(json_at(own, "/ballot/id")), uuid_format(c->arena, r->ballot)))
		*why = STR("It names another ballot of this co-op than the one that was held.");
	else if (!str_eq(json_member_text(own, "key"), str_hex(c->arena, key->public_key, 32)))
		*why = STR("It names another key of this co-op than the one that signs.");
	else if (!sha256_parse(json_member_text(joint, "items_sha256"), items))
		*why = STR("It does not say which items are in it.");
	return ERR_OK;
}

/* Decides now as the maker did, never more than at the cut-off. */
static enum err decide_again(struct call *c, const struct release *r, const struct release_joint *j, struct sha256 items, struct joint_set *set, struct str *why)
{
	struct decided d;
	policy_reasons *frozen;
	size_t n;
	instant now = clock_now();
	TRY(decided_load(c, r->coop, r->id, "frozen", &frozen, &n));
	TRY(decide_pool(c, r->coop, r, r->cutoff_at, now > r->cutoff_at ? now : r->cutoff_at, frozen, n, &d));
	TRY(joint_set_of(c, &d, j, NULL, set));
	if (!sha256_eq(set->digest, items)) {
		TRY(joint_difference(c, &d, j, set, why));
		if (!why->p)
			*why = STR("What was built is not what this co-op comes to.");
	}
	if (!why->p) { /* what redactions are held against */
		TRY(decided_store(c, r, "built", &d));
		TRY(kept_store(c, r->id, &d));
	}
	set->leaves = NULL;
	decided_release(&d);
	return ERR_OK;
}

/* What was signed and is not erased here, as the maker would tell it. */
static enum err left_of_signed(struct call *c, const struct release *r, const struct release_joint *j, struct decided *d, struct joint_set *out)
{
	const policy_reasons gone = POLICY_REASON(TOMBSTONED) | POLICY_REASON(ERASURE_PENDING);
	policy_reasons *built;
	struct kept kept;
	size_t n;
	instant now = clock_now();
	TRY(decided_load(c, r->coop, r->id, "built", &built, &n));
	TRY(kept_load(c, r->coop, r->id, &kept));
	TRY(decide_pool(c, r->coop, r, r->cutoff_at, now > r->cutoff_at ? now : r->cutoff_at, NULL, 0, d));
	for (size_t i = 0; i < d->n; i++) {
		bool in = i < n && outcome_is_in((uint8_t)policy_outcome_of(built[i])) && !(d->reasons[i] & gone);
		d->outcomes[i] = in ? POLICY_INCLUDE : POLICY_EXCLUDE;
	}
	return joint_set_of(c, d, j, &kept, out);
}

/* A redaction may hold only what is in the release that both signed, and nothing that has been erased. */
static enum err only_leaves_out(struct call *c, const struct release *r, const struct release_joint *j, struct sha256 items, struct joint_set *redacted, struct str *why)
{
	struct decided d;
	struct joint_set left;
	size_t strange = 0;
	*redacted = (struct joint_set){ .n = j->their_leaves.n / sizeof(struct sha256), .leaves = ARENA_ARRAY(c->arena, j->their_leaves.n / sizeof(struct sha256) + 1, struct sha256) };
	memcpy(redacted->leaves, j->their_leaves.p, redacted->n * sizeof(struct sha256));
	joint_set_seal(redacted, j->document_sha256);
	if (!sha256_eq(redacted->digest, items)) {
		*why = STR("Which items it holds has not been told yet.");
		return ERR_OK;
	}
	TRY(left_of_signed(c, r, j, &d, &left));
	for (size_t i = 0; i < redacted->n; i++)
		strange += !joint_set_has(left.leaves, left.n, redacted->leaves[i]);
	if (strange)
		*why = str_fmt(c->arena, "It holds %zu items that were not in the release that both signed, or that have been erased since.", strange);
	redacted->leaves = NULL;
	decided_release(&d);
	return ERR_OK;
}

static enum err sign(struct call *c, const struct release *r, const struct release_joint *j, const struct sign_key *key)
{
	struct joint_set set;
	struct sha256 items;
	struct str why;
	bool again = r->state != RELEASE_BUILDING;
	TRY(read_manifest(c, r, j, key, again, &items, &why));
	if (!why.p)
		TRY(again ? only_leaves_out(c, r, j, items, &set, &why) : decide_again(c, r, j, items, &set, &why));
	if (why.p) {
		TRY(joint_set_ours(c, j, j->ours, j->our_leaves, why));
		if (!again || clock_now() < j->heard_at + LOOK_FOR)
			TRY(release_queue(c, r, "joint.sign", clock_now() + LOOK_AGAIN));
		return release_queue(c, r, "joint.tell", clock_now());
	}
	struct dsse_signature s;
	dsse_signature_make(c->arena, key, STR(RELEASE_PAYLOAD_TYPE), j->manifest, &s);
	TRY(db_exec(c, joint_sign, A_UUID(j->coop), A_UUID(j->id), A_BYTES(str_make(s.bytes, sizeof(s.bytes))), A_BYTES(joint_set_bytes(c->arena, &set))));
	struct str id = uuid_format(c->arena, j->id), digest = sha256_hex(c->arena, j->manifest_sha256);
	TRY(ledger_append(c, j->coop, &(struct leaf){ .type = "release.signed",
		.data = str_fmt(c->arena, "{\"joint\":\"%.*s\",\"maker\":\"%.*s\",\"manifest_sha256\":\"%.*s\"}", STR_ARG(id), STR_ARG(j->partner), STR_ARG(digest)) }, NULL));
	return release_queue(c, r, "joint.tell", clock_now());
}

enum err release_joint_sign(struct call *c, struct uuid coop, struct uuid id)
{
	struct release_joint j;
	struct release r;
	struct sign_key key;
	TRY(decide_pack(c, coop));
	TRY(db_begin_in(c, coop, DB_SERIAL));
	TRY(release_joint_take(c, coop, id, &j));
	TRY(release_get(c, coop, j.release, &r));
	bool may = r.state == RELEASE_BUILDING || r.state == RELEASE_JOINED || r.state == RELEASE_LEFT;
	if (j.maker || j.ended || !may || !j.manifest.p || j.signature.p)
		return db_commit(c);
	TRY(ledger_key(c, coop, &key));
	enum err e = sign(c, &r, &j, &key);
	secret_wipe(&key, sizeof(key));
	TRY(e);
	return db_commit(c);
}
