/* Bundles over HTTP: for the partner alone, who proves with each request that it comes from its key. */
#include "bundle_internal.h"
#include "partner.h"

#include "commonhold/agreement.h"
#include "commonhold/db.h"
#include "commonhold/json.h"
#include "commonhold/peer.h"
#include "commonhold/routes.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

static enum err list_bundles(struct request *rq, struct response *rs)
{
	struct call *c = rq->call;
	struct agreement g;
	struct bundle_row *rows;
	size_t n;
	int64_t taken, after = 0;
	struct str from = request_query(rq, "after");
	TRY(partner_proved(rq, &g, &taken));
	if (from.p && !str_to_i64(from, 0, INT64_MAX, &after))
		return fail_field(c, "query/after", "A number of a bundle.");
	if (taken > 0)
		TRY(bundle_taken_upto(c, rq->coop.id, g.id, taken));
	TRY(bundle_list(c, rq->coop.id, g.id, after, &rows, &n));
	struct json_writer w = response_list(rs);
	for (size_t i = 0; i < n; i++) {
		jw_object(&w);
		jw_kint(&w, "seq", rows[i].seq);
		jw_kstr(&w, "digest", sha256_hex(c->arena, rows[i].digest));
		jw_kstr(&w, "state", rows[i].state);
		jw_kstr(&w, "made_at", clock_format(c->arena, rows[i].made_at));
		jw_end_object(&w);
	}
	response_list_end(&w);
	return ERR_OK;
}

/* The digest that the manifest gives a file; the manifest itself and its signature have none, and get the bundle's. False for a name that is not listed. */
static bool file_digest(struct call *c, const struct bundle_row *row, struct str name, struct str *out)
{
	const struct json *manifest;
	*out = sha256_hex(c->arena, row->digest);
	if (str_is(name, "bundle.json") || str_is(name, "bundle.dsse.json"))
		return true;
	if (json_parse(c->arena, row->manifest, &manifest, &c->error) != ERR_OK)
		return false;
	json_each (file, json_get(manifest, "files")) {
		if (str_eq(json_member_text(file, "path"), name)) {
			*out = json_member_text(file, "sha256");
			return true;
		}
	}
	return false;
}

static enum err send_file(struct request *rq, struct response *rs)
{
	struct call *c = rq->call;
	struct agreement g;
	struct bundle_row *rows;
	struct str tag;
	struct stat st;
	size_t n;
	int64_t taken, seq;
	TRY(partner_proved(rq, &g, &taken));
	if (!str_to_i64(rq->param[2], 1, INT64_MAX, &seq))
		return fail(c, ERR_NOT_FOUND, "There is no such bundle.");
	TRY(bundle_list(c, rq->coop.id, g.id, seq - 1, &rows, &n));
	if (n == 0 || rows[0].seq != seq || !file_digest(c, &rows[0], rq->param[3], &tag))
		return fail(c, ERR_NOT_FOUND, "There is no such bundle, or no such file in it.");
	if (!agreement_flows(&g) && g.state != AGREEMENT_RENEWED)
		return fail(c, ERR_STATE, "The agreement does not let anything pass now.");
	struct str path = str_fmt(c->arena, "%.*s/%.*s", STR_ARG(bundle_dir(c->arena, rq->coop.id, g.id, seq)), STR_ARG(rq->param[3]));
	int fd = open(path.p, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
	if (fd < 0 || fstat(fd, &st) != 0) {
		if (fd >= 0)
			close(fd);
		return fail(c, ERR_GONE, "The files of this bundle are gone. A whole one will be written.");
	}
	/* A slow reader must not hold one of the few connections. */
	db_release(c);
	return response_file(rq, rs, fd, st.st_size, "application/octet-stream", tag);
}

#define AT "/api/v1/coops/{coop}/merge/agreements/{agreement}/bundles"
const struct route bundle_routes[] = {
	{ "GET", AT, "bundle_list", PERM_PUBLIC, 0, NULL, "bundle_list", 200, list_bundles, "Bundles that wait for the partner, who proves itself by the header Commonhold-Proof", 0, "after" },
	{ "GET", AT "/{seq}/{file}", "bundle_file", PERM_PUBLIC, 0, NULL, "application/octet-stream", 200, send_file, "A file of a bundle, whole or in part, for the partner", 0 },
	ROUTE_TABLE_END,
};
