/* Previews and dry runs over JSON. */
#include "preview_internal.h"
#include "server/merge/agreement/agreement_web.h"

#include "commonhold/db.h"
#include "commonhold/json.h"
#include "commonhold/routes.h"
#include "server/merge/bundle/partner.h"

/* As schemas/merge_preview.json. */
static void preview_json(struct json_writer *w, struct arena *a, const struct preview_kept *k)
{
	jw_object(w);
	jw_kstr(w, "as_of", clock_format(a, k->as_of));
	jw_kint(w, "items", k->items);
	jw_kstr(w, "kept_at", clock_format(a, k->kept_at));
	jw_kbool(w, "ours", k->ours);
	jw_kint(w, "people", k->people);
	jw_kstr(w, "sha256", sha256_hex(a, k->digest));
	jw_kint(w, "size", k->size);
	jw_end_object(w);
}

static enum err answer_preview(struct request *rq, struct response *rs, const struct preview_kept *k)
{
	struct json_writer w = response_json(rs);
	preview_json(&w, rq->call->arena, k);
	return ERR_OK;
}

static enum err make(struct request *rq, struct response *rs)
{
	struct sha256 digest;
	struct preview_kept kept;
	TRY(agreement_param(rq, &digest));
	TRY(preview_make(rq->call, rq->coop.id, digest, &kept));
	return answer_preview(rq, rs, &kept);
}

static enum err list(struct request *rq, struct response *rs)
{
	struct sha256 digest;
	struct preview_kept kept[2];
	size_t n;
	TRY(agreement_param(rq, &digest));
	TRY(preview_list(rq->call, rq->coop.id, digest, kept, &n));
	struct json_writer w = response_list(rs);
	for (size_t i = 0; i < n; i++)
		preview_json(&w, rq->call->arena, &kept[i]);
	response_list_end(&w);
	return ERR_OK;
}

static enum err export(struct request *rq, struct response *rs)
{
	struct sha256 digest;
	struct str file;
	TRY(agreement_param(rq, &digest));
	TRY(preview_export(rq->call, rq->coop.id, digest, &file));
	/* A slow reader must not hold one of the few connections. */
	db_release(rq->call);
	TRY(stream_begin(rq, rs, 200, "application/x-ndjson", (int64_t)file.n));
	TRY(stream_write(rq, file.p, file.n));
	return stream_end(rq);
}

static enum err import(struct request *rq, struct response *rs)
{
	struct sha256 digest;
	struct preview_kept kept;
	TRY(agreement_param(rq, &digest));
	TRY(preview_import(rq->call, rq->coop.id, digest, json_member_text(rq->json, "lines"), &kept));
	return answer_preview(rq, rs, &kept);
}

void dry_run_write(struct json_writer *w, struct arena *a, const struct dry_run *run)
{
	jw_object(w);
	jw_kstr(w, "at", clock_format(a, run->at));
	jw_key(w, "document");
	jw_raw(w, run->document);
	jw_kstr(w, "id", uuid_format(a, run->id));
	jw_kstr(w, "ours", sha256_hex(a, run->ours));
	jw_kstr(w, "sha256", sha256_hex(a, run->digest));
	jw_kstr(w, "theirs", sha256_hex(a, run->theirs));
	jw_end_object(w);
}

static enum err answer_run(struct request *rq, struct response *rs, const struct dry_run *run)
{
	struct json_writer w = response_json(rs);
	dry_run_write(&w, rq->call->arena, run);
	return ERR_OK;
}

static enum err run_now(struct request *rq, struct response *rs)
{
	struct sha256 digest;
	struct dry_run run;
	TRY(agreement_param(rq, &digest));
	TRY(dry_run_make(rq->call, rq->coop.id, digest, &run));
	return answer_run(rq, rs, &run);
}

/* The one that is asked for by the digest of its document; NULL: the newest. */
static enum err which_of(struct request *rq, struct sha256 *room, const struct sha256 **which)
{
	struct str run = request_query(rq, "run");
	*which = run.p ? room : NULL;
	return !run.p || sha256_parse(run, room) ? ERR_OK : fail_field(rq->call, "query/run", "The SHA-256 of a dry run's document.");
}

static enum err run_read(struct request *rq, struct response *rs)
{
	struct sha256 digest, room;
	const struct sha256 *which;
	struct dry_run run;
	TRY(agreement_param(rq, &digest));
	TRY(which_of(rq, &room, &which));
	TRY(dry_run_read(rq->call, rq->coop.id, digest, which, &run));
	return answer_run(rq, rs, &run);
}

static enum err run_mine(struct request *rq, struct response *rs)
{
	struct sha256 digest, room;
	const struct sha256 *which;
	struct dry_run_own own;
	TRY(agreement_param(rq, &digest));
	TRY(which_of(rq, &room, &which));
	TRY(dry_run_mine(rq->call, rq->coop.id, digest, which, &own));
	struct json_writer w = response_json(rs);
	jw_object(&w);
	jw_kint(&w, "at_partner", own.at_partner);
	jw_kint(&w, "in_alone", own.in_alone);
	jw_kint(&w, "in_joint", own.in_joint);
	jw_kint(&w, "items", own.items);
	jw_key(&w, "lost");
	jw_raw(&w, own.lost);
	jw_kstr(&w, "run", uuid_format(rq->call->arena, own.id));
	jw_end_object(&w);
	return ERR_OK;
}

/* For the partner alone. */
static enum err send_to_partner(struct request *rq, struct response *rs)
{
	struct agreement g;
	struct sha256 digest;
	int64_t taken, size;
	int fd;
	TRY(partner_proved(rq, &g, &taken));
	if (!sha256_parse(rq->param[2], &digest))
		return fail(rq->call, ERR_NOT_FOUND, "There is no such preview.");
	TRY(preview_open(rq->call, rq->coop.id, g.terms.digest, digest, &fd, &size));
	db_release(rq->call); /* whoever reads slowly holds no connection to the database */
	return response_file(rq, rs, fd, size, "application/x-ndjson", rq->param[2]);
}

#define ONE "/api/v1/coops/{coop}/agreements/{agreement}"
const struct route preview_routes[] = {
	{ "GET", ONE "/previews", "preview_list", PERM_ACTIVE, 0, NULL, "merge_preview_list", 200, list, "The previews of both pools that there are, without content: what a dry run is of." },
	{ "POST", ONE "/previews", "preview_make", PERM_ADMIN, 0, NULL, "merge_preview", 201, make, "Makes the preview of our pool anew and tells the partner.", ROUTE_EXPENSIVE },
	{ "GET", ONE "/previews/ours", "preview_export", PERM_ADMIN, 0, NULL, "application/x-ndjson", 200, export, "Our preview as a file, for a partner that cannot be reached." },
	{ "POST", ONE "/previews/theirs", "preview_import", PERM_ADMIN, LIMIT_BODY_ITEM * 8, "message_import", "merge_preview", 200, import, "Takes the partner's preview from its file.", ROUTE_EXPENSIVE },
	{ "GET", ONE "/dry-run", "dry_run_read", PERM_ACTIVE, 0, NULL, "dry_run", 200, run_read, "What the agreement would do to both pools, by the newest previews, or the dry run that is asked for: both sides get the same document.",
	  0, "run" },
	{ "POST", ONE "/dry-run", "dry_run_make", PERM_ADMIN, 0, NULL, "dry_run", 200, run_now, "Computes it now.", ROUTE_EXPENSIVE },
	{ "GET", ONE "/dry-run/mine", "dry_run_mine", PERM_ACTIVE, 0, NULL, "dry_run_own", 200, run_mine, "What it would mean for one's own items.", 0, "run" },
	{ "GET", "/api/v1/coops/{coop}/merge/agreements/{agreement}/previews/{sha256}", "preview_file", PERM_PUBLIC, 0, NULL, "application/x-ndjson", 200, send_to_partner,
	  "The preview that was announced to the partner, whole or in part, for the partner, who proves itself by the header Commonhold-Proof" },
	ROUTE_TABLE_END
};
