/* submit.c - one contribution at a time, and its receipt. */
#include "server/pool/intake_rules.h"

#include "commonhold/db.h"
#include "commonhold/ledger.h"

/* The proof of a leaf that was there before, against a checkpoint over what is committed by now. */
static enum err add_proof(struct call *c, struct uuid coop, struct receipt *r)
{
	TRY(db_begin_in(c, coop, DB_READ));
	TRY(ledger_prove_inclusion(c, coop, r->leaf, &r->proof));
	return db_commit(c);
}

/* Where the shard key is new to this process, as on the first of a month: in a transaction of its own. */
static enum err write_alone(struct call *c, struct single *s)
{
	TRY(db_begin_in(c, s->in->coop, DB_WRITE));
	TRY(items_write(c, s->in, s->at, &s->fate, 1));
	return db_commit(c);
}

/* Who may contribute under which charter was read before the body was: it is looked at again when the item is written, and if that says otherwise the item is made anew. */
static enum err submit_once(struct call *c, struct uuid coop, const struct pool_asked_intake *asked, const struct json *submission, struct receipt *out, bool *again)
{
	struct intake in;
	struct item item;
	struct single s = { .in = &in, .item = &item, .at = clock_now(), .fate.item = &item };
	TRY(intake_take(c, coop, asked, &in));
	enum err err = item_prepare(c->arena, c->arena, &in, s.at, submission, &item, &c->error);
	secret_wipe(&in.key, sizeof(in.key));
	TRY(err);
	if (shard_recall(coop, shard_key_of(item.kind, item.licence, s.at), &item.shard))
		TRY(single_write(c, &s));
	else
		TRY(write_alone(c, &s));
	*again = s.again;
	if (s.again)
		return ERR_OK;
	if (s.fate.err != ERR_OK)
		return fail_reason(c, s.fate.err, "erased", "You had this very content erased. It is not taken again.");
	receipt_of(c->arena, in.coop_name, &s.fate, out);
	out->proof = s.proof;
	return s.proof.p ? ERR_OK : add_proof(c, coop, out);
}

enum err pool_submit_asked(struct call *c, struct uuid coop, const struct pool_asked_intake *asked, const struct json *submission, struct receipt *out)
{
	bool again = false;
	TRY(submit_once(c, coop, asked, submission, out, &again));
	if (again)
		TRY(submit_once(c, coop, NULL, submission, out, &again));
	return again ? fail(c, ERR_RETRY, "%s", err_text(ERR_RETRY)) : ERR_OK;
}

enum err pool_submit(struct call *c, struct uuid coop, const struct json *submission, struct receipt *out)
{
	return pool_submit_asked(c, coop, NULL, submission, out);
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
