/* submit.c - one contribution at a time, and its receipt. */
#include "server/pool/intake_rules.h"

#include "commonhold/db.h"
#include "commonhold/ledger.h"

/* The proof is against a checkpoint over what is committed, so it is made afterwards. */
static enum err add_proof(struct call *c, struct uuid coop, struct receipt *r)
{
	TRY(db_begin_in(c, coop, DB_READ));
	TRY(ledger_prove_inclusion(c, coop, r->leaf, &r->proof));
	return db_commit(c);
}

static enum err submit_write(struct call *c, struct uuid coop, const struct json *submission, struct receipt *out)
{
	struct intake in;
	struct item item;
	struct fate fate = { .item = &item };
	instant at = clock_now();
	TRY(intake_open(c, coop, &in));
	TRY(item_prepare(c->arena, c->arena, &in, at, submission, &item, &c->error));
	TRY(items_write(c, &in, at, &fate, 1));
	if (fate.err != ERR_OK)
		return fail_reason(c, fate.err, "erased", "You had this very content erased. It is not taken again.");
	TRY(db_commit(c));
	receipt_of(c->arena, in.coop_name, &fate, out);
	return ERR_OK;
}

enum err pool_submit(struct call *c, struct uuid coop, const struct json *submission, struct receipt *out)
{
	TRY(db_begin_in(c, coop, DB_WRITE));
	TRY(submit_write(c, coop, submission, out));
	return add_proof(c, coop, out);
}

enum err pool_receipt(struct call *c, struct uuid coop, struct uuid id, struct receipt *out)
{
	struct contribution item;
	TRY(pool_read(c, coop, id, &item, NULL));
	*out = (struct receipt){
		.id = item.id, .rid = item.rid, .content_sha256 = item.content_sha256, .status = item.status, .submitted_at = item.submitted_at, .leaf = item.leaf,
	};
	item_reasons(c->arena, item.word, item.findings, &out->reasons, &out->n_reasons);
	return add_proof(c, coop, out);
}

enum err pool_terms(struct call *c, struct uuid coop, struct pool_terms *out)
{
	struct intake in;
	TRY(db_begin_in(c, coop, DB_WRITE));
	TRY(intake_open(c, coop, &in));
	TRY(db_commit(c));
	secret_wipe(&in.key, sizeof(in.key));
	*out = (struct pool_terms){
		.kinds = in.rules->kinds, .licences = in.rules->licences, .licence = in.licence, .has_public_name = in.has_public_name,
		.holds = in.rules->mode != INTAKE_APPROVE, .holds_findings = in.rules->pii_action != INTAKE_APPROVE,
	};
	return ERR_OK;
}
