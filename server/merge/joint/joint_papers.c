#include "server/merge/joint/joint_papers.h"

#include "commonhold/agreement.h"
#include "commonhold/db.h"
#include "commonhold/json.h"
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

/* Whom papers are got from. */
static enum err source_of(struct call *c, struct uuid coop, struct uuid id, struct partner *p)
{
	struct release_joint j;
	struct agreement g;
	TRY(db_begin_in(c, coop, DB_READ));
	TRY(release_joint_get(c, coop, id, &j));
	TRY(agreement_get(c, coop, j.agreement, &g));
	TRY(partner_begin(c, &g, "joint-releases", p));
	TRY(peer_require_confirmed(c, &p->peer));
	return db_commit(c);
}

static enum err get_here(struct partner *p, struct uuid joint, const char *name, struct str *out)
{
	struct call *c = p->c;
	struct release_joint j;
	struct uuid before = c->coop;
	c->coop = (struct uuid){ { 0 } };
	TRY(db_begin_in(c, p->peer.here, DB_READ));
	TRY(release_joint_get(c, p->peer.here, joint, &j));
	TRY(db_commit(c));
	c->coop = before;
	*out = paper_of(&j, str_of(name));
	return ERR_OK;
}

static enum err get_there(struct partner *p, struct uuid joint, const char *name, struct str *out)
{
	struct arena *a = p->c->arena;
	struct fetch_answer answer;
	struct fetch_request request = { .url = str_fmt(a, "%.*s/%.*s/%s", STR_ARG(p->base), STR_ARG(uuid_format(a, joint)), name), .max_bytes = PAPER_MAX };
	TRY(partner_ask(p, 0, &request, &answer));
	*out = answer.body;
	return ERR_OK;
}

static enum err get(struct partner *p, struct uuid joint, const char *name, struct str wanted, struct str *out)
{
	struct sha256 digest;
	*out = STR_NONE;
	if (!sha256_parse(wanted, &digest))
		return ERR_OK; /* not asked for */
	TRY(uuid_is_nil(p->peer.here) ? get_there(p, joint, name, out) : get_here(p, joint, name, out));
	if (!out->p || !sha256_eq(sha256(*out), digest))
		return fail_reason(p->c, ERR_RETRY, "joint_paper", "What the partner gives out of a joint release is not what it told.");
	return ERR_OK;
}

static enum err get_all(struct partner *p, struct uuid joint, const struct json *args, struct str *manifest, struct str *leaves)
{
	TRY(get(p, joint, "manifest", json_member_text(args, "manifest"), manifest));
	TRY(get(p, joint, "leaves", json_member_text(args, "leaves"), leaves));
	return leaves->n % sizeof(struct sha256) ? fail_reason(p->c, ERR_INVALID, "joint_paper", "The partner's leaves of a joint release are not whole.") : ERR_OK;
}

enum err joint_fetch_job(struct call *c, const struct json *args)
{
	struct uuid coop, id;
	struct partner *p = ARENA_NEW(c->arena, struct partner);
	struct str manifest, leaves;
	TRY(job_args_read(c, args, "joint", &coop, &id));
	TRY(source_of(c, coop, id, p));
	TRY(get_all(p, id, args, &manifest, &leaves));
	TRY(db_begin_in(c, coop, DB_WRITE));
	TRY(release_joint_papers(c, coop, id, manifest, leaves));
	return db_commit(c);
}
