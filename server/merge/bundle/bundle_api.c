/* Bundles over HTTP: for the partner alone, who proves with each request that it comes from its key. */
#include "bundle_proof_api.h"

#include "bundle_internal.h"

#include "commonhold/agreement.h"
#include "commonhold/db.h"
#include "commonhold/json.h"
#include "commonhold/peer.h"
#include "commonhold/routes.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#define PROOF_LIFE (5 * CLOCK_MINUTE) /* either way: clocks differ */

static enum err not_proved(struct call *c)
{
	return fail_reason(c, ERR_UNAUTHENTICATED, "not_the_partner", "The request does not prove that it comes from the partner of this agreement.");
}

/* What a caller said, and that it is for this co-op, under this agreement, now. */
static bool said_now(const struct json *said, struct str digest, struct str to, struct str from)
{
	instant at;
	if (!said || json_int(json_get(said, "v"), 0) != 1 || !str_eq(json_member_text(said, "agreement"), digest) || !str_eq(json_member_text(said, "to"), to) ||
		!str_eq(json_member_text(said, "from"), from) || !clock_parse(json_member_text(said, "at"), &at))
		return false;
	instant now = clock_now();
	return at > now - PROOF_LIFE && at < now + PROOF_LIFE;
}

/* The agreement of the path, once the caller has proved to be its partner; *taken: the last bundle that it says it has. A caller who proves nothing does not learn whether there is one. */
enum err bundle_partner_proved(struct request *rq, struct agreement *g, int64_t *taken)
{
	struct call *c = rq->call;
	struct peer peer;
	struct keychain keys;
	struct sha256 digest;
	struct str header = request_header(rq, BUNDLE_PROOF_HEADER), envelope, payload;
	struct error why = { 0 };
	const struct json *said = NULL;
	size_t which;
	if (!sha256_parse(rq->param[1], &digest) || header.n == 0 || header.n > 16 * KIB || !str_unbase64url(c->arena, header, &envelope))
		return not_proved(c);
	TRY(db_begin_in(c, rq->coop.id, DB_READ));
	enum err found = agreement_by_digest(c, rq->coop.id, digest, g);
	if (found == ERR_NOT_FOUND)
		return not_proved(c);
	TRY(found);
	TRY(peer_get(c, rq->coop.id, g->peer, &peer));
	TRY(peer_keys(c, &peer, &keys));
	TRY(db_commit(c));
	bool proved = peer.state == PEER_CONFIRMED && keychain_dsse_verify(c->arena, &keys, envelope, STR(BUNDLE_REQUEST_TYPE), &payload, &which, &why) == ERR_OK && which == keys.n - 1;
	if (!proved || json_parse(c->arena, payload, &said, &why) != ERR_OK || !said_now(said, rq->param[1], rq->coop.name, peer.name))
		return not_proved(c);
	*taken = json_int(json_get(said, "taken"), 0);
	return ERR_OK;
}

static enum err list_bundles(struct request *rq, struct response *rs)
{
	struct call *c = rq->call;
	struct agreement g;
	struct bundle_row *rows;
	size_t n;
	int64_t taken, after = 0;
	struct str from = request_query(rq, "after");
	TRY(bundle_partner_proved(rq, &g, &taken));
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
	TRY(bundle_partner_proved(rq, &g, &taken));
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
