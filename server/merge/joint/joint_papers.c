#include "server/merge/joint/joint_papers.h"

#include "commonhold/agreement.h"
#include "commonhold/config.h"
#include "commonhold/db.h"
#include "commonhold/fetch.h"
#include "commonhold/json.h"
#include "commonhold/ledger.h"
#include "commonhold/message.h"
#include "commonhold/peer.h"

#include "server/merge/bundle/partner.h"

/* Papers that are told by their digests: serving ours, getting the other's. */

#define PAPER_MAX (JOINT_LEAVES_MAX * sizeof(struct sha256))

static struct str paper_of(const struct release_joint *j, struct str name)
{
	return str_is(name, "manifest") ? j->manifest : str_is(name, "leaves") ? j->our_leaves : STR_NONE;
}

enum err joint_paper(struct call *c, struct uuid coop, struct uuid agreement, struct uuid joint, struct str name, struct str *out)
{
	struct release_joint j;
	TRY(db_begin_in(c, coop, DB_READ));
	TRY(release_joint_get(c, coop, joint, &j));
	TRY(db_commit(c));
	*out = uuid_eq(j.agreement, agreement) ? paper_of(&j, name) : STR_NONE;
	return out->p ? ERR_OK : fail(c, ERR_NOT_FOUND, "There is no such paper of this joint release.");
}

/* Where papers are got from. */
struct source {
	struct peer peer;
	struct str joint;            /* its id */
	struct str agreement;        /* digest of its terms */
	struct str proof;            /* who we are; absent where nobody is asked */
};

static struct str proof_of(struct call *c, const struct source *s, struct str us, const struct sign_key *key)
{
	struct str at = clock_format(c->arena, clock_now());
	struct str said = str_fmt(c->arena, "{\"agreement\":\"%.*s\",\"at\":\"%.*s\",\"from\":\"%.*s\",\"taken\":0,\"to\":\"%.*s\",\"v\":1}", STR_ARG(s->agreement), STR_ARG(at), STR_ARG(us),
		STR_ARG(s->peer.name));
	struct str envelope = dsse_sign(c->arena, key, 1, STR(PARTNER_REQUEST_TYPE), said);
	return str_base64url(c->arena, envelope.p, envelope.n);
}

static enum err source_of(struct call *c, struct uuid coop, struct uuid id, struct source *s)
{
	struct release_joint j;
	struct agreement g;
	struct sign_key key;
	struct coop here;
	TRY(db_begin_in(c, coop, DB_READ));
	TRY(release_joint_get(c, coop, id, &j));
	TRY(agreement_get(c, coop, j.agreement, &g));
	TRY(peer_get(c, coop, g.peer, &s->peer));
	TRY(peer_require_confirmed(c, &s->peer));
	TRY(coop_get(c, coop, &here));
	TRY(ledger_key(c, coop, &key));
	s->joint = uuid_format(c->arena, id);
	s->agreement = sha256_hex(c->arena, g.terms.digest);
	s->proof = proof_of(c, s, here.key_name, &key);
	secret_wipe(&key, sizeof(key));
	return db_commit(c);
}

static enum err get_here(struct call *c, const struct source *s, struct uuid joint, const char *name, struct str *out)
{
	struct release_joint j;
	struct uuid before = c->coop;
	c->coop = (struct uuid){ { 0 } };
	TRY(db_begin_in(c, s->peer.here, DB_READ));
	TRY(release_joint_get(c, s->peer.here, joint, &j));
	TRY(db_commit(c));
	c->coop = before;
	*out = paper_of(&j, str_of(name));
	return ERR_OK;
}

static enum err get_there(struct call *c, const struct source *s, const char *name, struct str *out)
{
	struct fetch_answer answer;
	struct fetch_header header = { STR(PARTNER_PROOF_HEADER), s->proof };
	struct fetch_request request = {
		.url = str_fmt(c->arena, "%.*s/api/v1/coops/%.*s/merge/agreements/%.*s/joint-releases/%.*s/%s", STR_ARG(s->peer.url), STR_ARG(s->peer.name), STR_ARG(s->agreement), STR_ARG(s->joint), name),
		.headers = &header, .n_headers = 1, .allow_private = config()->allow_private_on, .allow_http = config()->allow_private_on, .max_bytes = PAPER_MAX,
	};
	db_release(c);
	TRY(fetch(NULL, c->arena, &request, &answer, &c->error));
	*out = answer.body;
	return answer.status == 200 ? ERR_OK : fail(c, ERR_UNAVAILABLE, "The partner's instance does not give out what it told of a joint release: it answers %ld.", answer.status);
}

static enum err get(struct call *c, const struct source *s, struct uuid joint, const char *name, struct str wanted, struct str *out)
{
	struct sha256 digest;
	*out = STR_NONE;
	if (!sha256_parse(wanted, &digest))
		return ERR_OK; /* not asked for */
	TRY(uuid_is_nil(s->peer.here) ? get_there(c, s, name, out) : get_here(c, s, joint, name, out));
	if (!out->p || !sha256_eq(sha256(*out), digest))
		return fail_reason(c, ERR_RETRY, "joint_paper", "What the partner gives out of a joint release is not what it told.");
	return ERR_OK;
}

enum err joint_fetch_job(struct call *c, const struct json *args)
{
	struct uuid coop, id;
	struct source s;
	struct str manifest, leaves;
	TRY(job_args_read(c, args, "joint", &coop, &id));
	TRY(source_of(c, coop, id, &s));
	TRY(get(c, &s, id, "manifest", json_member_text(args, "manifest"), &manifest));
	TRY(get(c, &s, id, "leaves", json_member_text(args, "leaves"), &leaves));
	if (leaves.n % sizeof(struct sha256))
		return fail(c, ERR_INVALID, "The partner's leaves of a joint release are not whole.");
	TRY(db_begin_in(c, coop, DB_WRITE));
	TRY(release_joint_papers(c, coop, id, manifest, leaves));
	return db_commit(c);
}
