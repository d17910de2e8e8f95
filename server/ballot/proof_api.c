#include "commonhold/ballot_proof.h"
#include "commonhold/routes.h"

/* The headers go out with the first line: what is refused before that has an ordinary answer. */
struct answering { struct request *rq; struct response *rs; bool begun; };

static enum err write_bundle(void *arg, const void *p, size_t n)
{
	struct answering *a = arg;
	if (!a->begun) {
		TRY(stream_begin(a->rq, a->rs, 200, "application/x-ndjson", -1));
		a->begun = true;
	}
	return stream_write(a->rq, p, n);
}

static enum err read_bundle(struct request *rq, struct response *rs)
{
	struct uuid id;
	struct answering a = { rq, rs, false };
	TRY(request_param_uuid(rq, 1, &id));
	response_header(rs, "Content-Disposition", str_fmt(rq->call->arena, "attachment; filename=\"ballot-%.*s.ndjson\"", STR_ARG(uuid_format(rq->call->arena, id))));
	TRY(ballot_bundle_write(rq->call, rq->coop.id, id, write_bundle, &a));
	return stream_end(rq);
}

static void write_path(struct json_writer *w, struct arena *a, const char *key, const struct sha256 *path, size_t n)
{
	jw_key(w, key);
	jw_array(w);
	for (size_t i = 0; i < n; i++)
		jw_str(w, sha256_hex(a, path[i]));
	jw_end_array(w);
}

static enum err read_own(struct request *rq, struct response *rs)
{
	struct arena *a = rq->call->arena;
	struct uuid id;
	struct ballot_own_proof own;
	struct ballot_seal seal;
	TRY(request_param_uuid(rq, 1, &id));
	TRY(ballot_own_proof(rq->call, rq->coop.id, id, &own));
	TRY(ballot_seal_read(rq->call, rq->coop.id, id, &seal));
	struct json_writer w = response_json(rs);
	jw_object(&w);
	jw_kstr(&w, "ballot", uuid_format(a, id));
	jw_kstr(&w, "member", uuid_format(a, rq->coop.member));
	jw_kint(&w, "place", own.place);
	jw_kstr(&w, "salt", str_hex(a, own.salt, sizeof(own.salt)));
	jw_kstr(&w, "commitment", sha256_hex(a, own.commitment));
	jw_kstr(&w, "person", own.person);
	write_path(&w, a, "person_path", own.person_path, own.n_person_path);
	jw_kstr(&w, "outcome", own.outcome);
	jw_kint(&w, "outcome_index", (int64_t)own.outcome_index);
	write_path(&w, a, "outcome_path", own.outcome_path, own.n_outcome_path);
	jw_kstr(&w, "header", seal.header);
	jw_end_object(&w);
	return ERR_OK;
}

const struct route ballot_proof_routes[] = {
	{ "GET", "/api/v1/coops/{coop}/ballots/{ballot}/proof", "ballot_proof", PERM_OPTIONAL, 0, NULL, "application/x-ndjson", 200, read_bundle,
		"A closed ballot's bundle: every vote, delegation and outcome without names, for `commonhold audit verify-ballot`", ROUTE_EXPENSIVE },
	{ "GET", "/api/v1/coops/{coop}/ballots/{ballot}/proof/mine", "ballot_own_proof", PERM_MEMBER, 0, NULL, "ballot_own_proof", 200, read_own,
		"The actor's own lines of the bundle, the salt that shows that they are theirs, and their paths", ROUTE_EXPENSIVE },
	ROUTE_TABLE_END,
};
