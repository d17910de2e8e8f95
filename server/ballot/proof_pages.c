#include "commonhold/ballot_proof.h"
#include "commonhold/crypto.h"
#include "commonhold/db.h"
#include "commonhold/routes.h"
#include "commonhold/words.h"

static enum err own_data(struct json_writer *w, struct request *rq, struct uuid id)
{
	struct call *c = rq->call;
	struct ballot_own_proof own;
	enum err e = rq->coop.is_member ? ballot_own_proof(c, rq->coop.id, id, &own) : ERR_NOT_FOUND;
	if (e == ERR_NOT_FOUND) {
		db_rollback(c);
		error_clear(&c->error);
		return ERR_OK;
	}
	TRY(e);
	jw_key(w, "own");
	jw_object(w);
	jw_kint(w, "place", own.place);
	jw_kstr(w, "member", uuid_format(c->arena, rq->coop.member));
	jw_kstr(w, "salt", str_hex(c->arena, own.salt, sizeof(own.salt)));
	jw_kstr(w, "person", own.person);
	jw_kstr(w, "outcome", own.outcome);
	jw_end_object(w);
	return ERR_OK;
}

static enum err proof_data(struct json_writer *w, struct request *rq)
{
	struct call *c = rq->call;
	struct arena *a = c->arena;
	struct uuid id;
	struct ballot_seal seal;
	struct coop coop;
	const struct json *header;
	TRY(request_param_uuid(rq, 1, &id));
	TRY(ballot_seal_read(c, rq->coop.id, id, &seal));
	TRY(coop_read(c, rq->coop.id, &coop));
	TRY(json_parse(a, seal.header, &header, &c->error));
	const struct json *sizes = json_get(header, "sizes");
	jw_kz(w, "title", "Proof of the count");
	jw_kstr(w, "coop", rq->coop.slug);
	jw_kstr(w, "id", uuid_format(a, id));
	jw_kstr(w, "ballot_title", json_member_text(header, "title"));
	jw_kstr(w, "people", words_count(a, json_int(json_get(sizes, "outcomes"), 0)));
	jw_kstr(w, "votes", words_count(a, json_int(json_get(sizes, "votes"), 0)));
	jw_kstr(w, "delegations", words_count(a, json_int(json_get(sizes, "delegations"), 0)));
	jw_kstr(w, "sealed", words_minute(a, seal.sealed_at));
	jw_kint(w, "leaf", seal.leaf);
	jw_kstr(w, "digest", sha256_hex(a, seal.digest));
	jw_kstr(w, "public_key", minisign_public_key(a, coop.public_key));
	jw_kbool(w, "is_active", rq->coop.is_active);
	return own_data(w, rq, id);
}

static enum err proof_page(struct request *rq, struct response *rs)
{
	struct buf b;
	struct json_writer w = page_begin(&b);
	enum err e = proof_data(&w, rq);
	return page_end(rq, rs, "page/ballot_proof", &b, &w, e);
}

const struct route ballot_proof_page_routes[] = {
	{ "GET", "/coops/{coop}/ballots/{ballot}/proof", "page_ballot_proof", PERM_OPTIONAL, 0, NULL, "text/html", 200, proof_page, NULL },
	ROUTE_TABLE_END,
};
