#include "server/merge/fork/fork_internal.h"

#include "commonhold/config.h"
#include "commonhold/db.h"
#include "commonhold/fetch.h"

/* At the parent: that the fork stands, held against what the fork itself has signed. */

SQL(offer_key, "SELECT request FROM fork_offer WHERE coop_id = $1 AND id = $2");
SQL(offer_founded, "UPDATE fork_offer SET state = 'founded', state_at = commonhold_now(), fork_url = $3 WHERE coop_id = $1 AND id = $2");

/* A fork that lives on this instance says it without being asked over the network. */
static enum err lineage_here(struct call *c, const struct fork_offer *offer, struct str *out)
{
	struct coop fork;
	struct uuid before = c->coop;
	TRY(db_begin(c, DB_READ));
	enum err e = coop_find(c, offer->fork_name, &fork);
	db_rollback(c);
	error_clear(&c->error);
	*out = STR_NONE;
	if (e != ERR_OK)
		return ERR_OK;
	e = lineage_signed(c, fork.id, out);
	db_rollback(c);
	c->coop = before;
	return e;
}

/* The fork's answer, or what was handed over. */
static enum err lineage_get_text(struct call *c, const struct fork_offer *offer, struct str given, struct str *out)
{
	struct fetch_answer answer;
	*out = given;
	if (!given.n)
		TRY(lineage_here(c, offer, out));
	if (out->n)
		return ERR_OK;
	db_release(c);
	struct fetch_request request = {
		.url = str_fmt(c->arena, "%.*s/api/v1/coops/%.*s/lineage/signed", STR_ARG(offer->fork_url), STR_ARG(offer->fork_name)),
		.allow_private = config()->allow_private_on, .allow_http = config()->allow_private_on,
	};
	TRY(fetch(NULL, c->arena, &request, &answer, &c->error));
	*out = answer.body;
	return answer.status == 200 ? ERR_OK : fail(c, ERR_UNAVAILABLE, "The fork's instance does not show its lineage: it answers %ld.", answer.status);
}

/* What the fork says of us must be what was exported: the same leaves of the same log. */
static enum err lineage_hold(struct call *c, const struct fork_offer *offer, struct str us, struct str text, const struct fork_request *request, struct str *url)
{
	const struct json *said;
	struct str payload;
	struct lineage_node *nodes;
	size_t n;
	bool ours = false, itself = false;
	if (dsse_verify(c->arena, text, (const uint8_t (*)[32])request->public_key, 1, 1, STR(LINEAGE_TYPE), &payload, &c->error) != ERR_OK)
		return fail_reason(c, ERR_REFUSED, "signature", "The lineage is not signed by the key that the fork was exported for.");
	TRY(json_parse(c->arena, payload, &said, &c->error));
	TRY(lineage_nodes_read(c->arena, json_get(said, "nodes"), &nodes, &n, &c->error));
	for (size_t i = 0; i < n; i++) {
		if (nodes[i].depth == 1)
			ours = str_eq(nodes[i].name, us) && nodes[i].size == offer->size && sha256_eq(nodes[i].root, offer->root);
		if (nodes[i].depth == 0) {
			itself = str_eq(nodes[i].name, offer->fork_name);
			*url = nodes[i].url;
		}
	}
	if (itself && !fork_url_ok(c->arena, *url))
		return fail_reason(c, ERR_REFUSED, "lineage", "The fork names no address of its instance.");
	return ours && itself ? ERR_OK : fail_reason(c, ERR_REFUSED, "lineage", "The fork does not say that it comes from what was exported here.");
}

enum err fork_recognise(struct call *c, struct uuid coop, struct uuid id, struct str lineage, struct fork_offer *out)
{
	struct rows r;
	struct coop us;
	struct fork_request request;
	struct str text, url = STR_NONE;
	TRY(db_begin_in(c, coop, DB_READ));
	TRY(member_require_admin(c, coop));
	TRY(fork_offer_get(c, coop, id, out));
	TRY(coop_get(c, coop, &us));
	TRY(db_one(c, offer_key, &r, A_UUID(coop), A_UUID(id)));
	struct str asked = row_str(&r, 0, 0);
	TRY(db_commit(c));
	if (out->state != FORK_EXPORTED && out->state != FORK_FOUNDED)
		return fail_reason(c, ERR_STATE, "fork_state", "%s", fork_state_sentence(out->state));
	TRY(fork_request_read(c->arena, asked, &request, &c->error));
	TRY(lineage_get_text(c, out, lineage, &text));
	TRY(lineage_hold(c, out, us.key_name, text, &request, &url));

	TRY(db_begin_in(c, coop, DB_WRITE));
	TRY(fork_lock(c, coop));
	TRY(fork_offer_get(c, coop, id, out));
	bool first = out->state == FORK_EXPORTED;
	TRY(db_exec(c, offer_founded, A_UUID(coop), A_UUID(id), A_STR(url)));
	if (first)
		TRY(fork_leaf(c, coop, "fork.founded", id, (struct uuid){ { 0 } }, str_fmt(c->arena, ",\"fork\":\"%.*s\"", STR_ARG(out->fork_name))));
	TRY(fork_offer_get(c, coop, id, out));
	return db_commit(c);
}
