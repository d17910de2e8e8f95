/* Proofs of leaves that were appended just now, from what is remembered of it. A proof of such a leaf needs hashes of new leaves, and of subtrees that hold old leaves alone: of the
 * latter only those that have a new sibling, and these are the frontier of the log as it was before. */
#include "server/ledger/ledger.h"

/* The perfect subtrees of the old log from `begin` on, as a builder that goes on with new leaves. `begin` is where one of them begins, or the end of the old log. */
static void builder_from(const struct merkle_builder *before, uint64_t begin, struct merkle_builder *out)
{
	uint64_t at = 0;
	*out = (struct merkle_builder){ .size = before->size - begin };
	for (unsigned i = 0; i < before->depth; i++) {
		uint64_t left = before->size - at;
		if (at >= begin)
			out->stack[out->depth++] = before->stack[i];
		at += UINT64_C(1) << (63 - __builtin_clzll(left));
	}
}

/* merkle_hash_fn: the root of 2^level leaves, the last of which is new, or which are the sibling of such. */
static enum err remembered_hash(void *arg, unsigned level, uint64_t index, struct sha256 *out)
{
	const struct ledger_appended *in = *(const struct ledger_appended **)arg;
	uint64_t begin = index << level, end = begin + (UINT64_C(1) << level), old = in->before.size;
	struct merkle_builder b = { .size = 0 };
	if (begin < old)
		builder_from(&in->before, begin, &b);
	if (begin < old && end <= old) {
		*out = b.stack[0];
		return b.depth ? ERR_OK : ERR_CORRUPT;
	}
	for (uint64_t i = begin > old ? begin : old; i < end; i++)
		merkle_add(&b, in->hashes[i - old]);
	*out = merkle_builder_root(&b);
	return ERR_OK;
}

enum err ledger_appended_sign(struct call *c, struct uuid coop, const struct ledger_appended *appended, struct str *checkpoint)
{
	struct log_head head = { .origin = appended->origin, .size = appended->after.size, .builder = appended->after };
	memcpy(head.public_key, appended->public_key, sizeof(head.public_key));
	return log_head_sign(c, coop, &head, checkpoint);
}

enum err ledger_appended_prove(struct arena *a, const struct ledger_appended *appended, size_t i, struct str checkpoint, struct str *tlog_proof)
{
	struct sha256 *path;
	struct tlog_proof proof = { .entry = appended->entries[i], .index = appended->before.size + i, .checkpoint = checkpoint };
	TRY(merkle_inclusion(a, proof.index, appended->after.size, remembered_hash, &appended, &path, &proof.n));
	proof.path = path;
	*tlog_proof = tlog_proof_write(a, &proof);
	return tlog_proof->p ? ERR_OK : ERR_NO_MEMORY;
}
