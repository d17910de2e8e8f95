/* Releases that two co-ops make together, over JSON. */
#include "commonhold/agreement.h"
#include "commonhold/file.h"
#include "commonhold/joint.h"
#include "commonhold/json.h"
#include "commonhold/routes.h"

#include "server/merge/bundle/partner.h"
#include "server/merge/joint/joint_papers.h"

#include <sys/mman.h>
#include <unistd.h>

/* As schemas/joint_release.json. `admin`: who may see which items the two do not agree on. */
static void joint_json(struct json_writer *w, struct arena *a, const struct joint *x, bool admin)
{
	const struct release_joint *j = &x->j;
	jw_object(w);
	jw_kstr(w, "agreement", uuid_format(a, j->agreement));
	jw_kstr(w, "ballot", uuid_format_or_none(a, x->release.ballot));
	jw_kstr(w, "candidates_sha256", sha256_hex_or_none(a, x->release.candidates_sha256));
	jw_kstr(w, "cutoff_at", clock_format(a, x->release.cutoff_at));
	jw_kstr(w, "differs", admin ? j->differs : STR_NONE);
	jw_key(w, "document");
	jw_raw(w, j->document);
	jw_kstr(w, "id", uuid_format(a, j->id));
	jw_kstr(w, "left_out", admin ? j->left_out : STR_NONE);
	jw_kbool(w, "maker", j->maker);
	jw_kbool(w, "narrows", j->narrows || j->without.n);
	jw_kstr(w, "partner", j->partner);
	jw_kz(w, "partner_state", joint_state_name(j->partner_state));
	jw_kstr(w, "partner_title", x->partner_title);
	jw_kstr(w, "release", uuid_format(a, j->release));
	jw_kbool(w, "signed", j->signature.p != NULL);
	jw_kz(w, "state", release_state_name(x->release.state));
	jw_kstr(w, "url", x->url);
	jw_kstr(w, "version", x->version);
	jw_kstr(w, "why", x->release.failure.p ? x->release.failure : x->release.withdrawn_why);
	jw_end_object(w);
}

static enum err answer(struct request *rq, struct response *rs, const struct joint *x)
{
	struct json_writer w = response_json(rs);
	joint_json(&w, rq->call->arena, x, rq->coop.is_admin);
	return ERR_OK;
}

static enum err list(struct request *rq, struct response *rs)
{
	struct joint *rows;
	size_t n;
	TRY(joint_list(rq->call, rq->coop.id, &rows, &n));
	struct json_writer w = response_list(rs);
	for (size_t i = 0; i < n; i++)
		joint_json(&w, rq->call->arena, &rows[i], rq->coop.is_admin);
	response_list_end(&w);
	return ERR_OK;
}

static enum err propose(struct request *rq, struct response *rs)
{
	struct call *c = rq->call;
	struct str when = json_member_text(rq->json, "cutoff");
	instant cutoff = INSTANT_NONE;
	struct uuid agreement;
	struct joint x;
	if (!uuid_parse(json_member_text(rq->json, "agreement"), &agreement))
		return fail_field(c, "/agreement", "This is no agreement's id.");
	if (when.p && !clock_parse(when, &cutoff))
		return fail_field(c, "/cutoff", "This is no instant.");
	TRY(joint_propose(c, rq->coop.id, agreement, cutoff, &x));
	return answer(rq, rs, &x);
}

static enum err read_one(struct request *rq, struct response *rs)
{
	struct uuid id;
	struct joint x;
	TRY(request_param_uuid(rq, 1, &id));
	TRY(joint_read(rq->call, rq->coop.id, id, &x));
	return answer(rq, rs, &x);
}

/* For the partner, who proves itself as for bundles. */
static enum err paper(struct request *rq, struct response *rs)
{
	struct agreement g;
	struct uuid id;
	struct str text;
	int64_t taken;
	TRY(partner_proved(rq, &g, &taken));
	TRY(request_param_uuid(rq, 2, &id));
	TRY(joint_paper(rq->call, rq->coop.id, g.id, id, rq->param[3], &text));
	int fd = memfd_create("joint", MFD_CLOEXEC); /* it may be longer than an answer that is held in memory twice */
	if (fd < 0 || !file_write_all(fd, text.p, text.n)) {
		if (fd >= 0)
			close(fd);
		return fail(rq->call, ERR_IO, "The paper cannot be handed out.");
	}
	return response_file(rq, rs, fd, (int64_t)text.n, "application/octet-stream", sha256_hex(rq->call->arena, sha256(text)));
}

static enum err narrow(struct request *rq, struct response *rs)
{
	struct uuid id;
	struct joint x;
	TRY(request_param_uuid(rq, 1, &id));
	TRY(joint_narrow(rq->call, rq->coop.id, id, &x));
	return answer(rq, rs, &x);
}

static enum err withdraw(struct request *rq, struct response *rs)
{
	struct uuid id;
	struct joint x;
	TRY(request_param_uuid(rq, 1, &id));
	TRY(joint_withdraw(rq->call, rq->coop.id, id, json_member_text(rq->json, "reason"), &x));
	return answer(rq, rs, &x);
}

#define COOP "/api/v1/coops/{coop}"
const struct route joint_routes[] = {
	{ "GET", COOP "/joint-releases", "joint_list", PERM_OPTIONAL, 0, NULL, "joint_release_list", 200, list, "Releases made together with other co-ops, by us or by them, newest first." },
	{ "POST", COOP "/joint-releases", "joint_propose", PERM_ADMIN, LIMIT_BODY_SMALL, "joint_release_new", "joint_release", 201, propose,
	  "Proposes a release together with a partner, by the co-op that makes them under the agreement." },
	{ "GET", COOP "/joint-releases/{joint}", "joint_read", PERM_OPTIONAL, 0, NULL, "joint_release", 200, read_one, "One of them: how far it is here and there; to admins also where the two sets differ." },
	{ "POST", COOP "/joint-releases/{joint}/withdraw", "joint_withdraw", PERM_ADMIN, LIMIT_BODY_SMALL, "agreement_reason", "joint_release", 200, withdraw,
	  "Ends it before it is published, withdraws it after. The other co-op follows." },
	{ "POST", COOP "/joint-releases/{joint}/narrow", "joint_narrow", PERM_ADMIN, 0, NULL, "joint_release", 200, narrow,
	  "Goes on with what both sets have, by the co-op that makes it: what only one of the two has is left out on both sides and listed." },
	{ "GET", COOP "/merge/agreements/{agreement}/joint-releases/{joint}/{paper}", "joint_paper", PERM_PUBLIC, 0, NULL, "application/octet-stream", 200, paper,
	  "What was told of a joint release by its digest, for the partner, who proves itself by the header Commonhold-Proof", 0 },
	ROUTE_TABLE_END
};
