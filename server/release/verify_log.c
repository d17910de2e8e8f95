/* The log: the checkpoint is signed by the co-op, and the proof leads from the leaf that names this manifest to the checkpoint's root. */
#include "verify_internal.h"

static bool leaf_is_ours(struct verifying *v, struct str entry)
{
	const struct json *leaf, *data;
	struct error e = { 0 };
	if (!entry.p || json_parse(v->arena, entry, &leaf, &e) != ERR_OK)
		return verify_bad(v, "release.tlog-proof does not carry the leaf that it proves.");
	data = json_get(leaf, "data");
	if (!str_is(json_member_text(leaf, "t"), "release.published"))
		return verify_bad(v, "The leaf that is proven is not one of a published release.");
	if (!str_eq(json_member_text(data, "manifest_sha256"), sha256_hex(v->arena, v->manifest_sha256)))
		return verify_bad(v, "The leaf that is proven speaks of another manifest.");
	if (!str_eq(json_member_text(data, "release"), v->result->release) || !str_eq(json_member_text(data, "version"), v->result->version))
		return verify_bad(v, "The leaf that is proven speaks of another release.");
	return true;
}

bool log_check(struct verifying *v)
{
	struct str note, text, origin = json_text(json_at(v->manifest, "/log/origin"));
	struct tlog_proof proof;
	struct sha256 root;
	uint64_t size;
	struct error e = { 0 };
	if (!files_read(v, "checkpoint", LIMIT_NOTE, &note) || !files_read(v, "release.tlog-proof", LIMIT_PROOF, &text))
		return false;
	if (checkpoint_verify(v->arena, note, origin, v->key, &size, &root, &e) != ERR_OK)
		return verify_bad(v, "%s", e.message);
	if (size > INT64_MAX || !keychain_signs_size(&v->chain, v->key_no, (int64_t)size))
		return verify_bad(v, "The checkpoint of %llu leaves is signed by key %zu of the co-op, which does not sign for a log of that size: another was in force.", (unsigned long long)size,
			v->key_no + 1);
	if (tlog_proof_read(v->arena, text, &proof, &e) != ERR_OK)
		return verify_bad(v, "release.tlog-proof: %s", e.message);
	if (!str_eq(proof.checkpoint, note))
		return verify_bad(v, "release.tlog-proof leads to another checkpoint.");
	if (!leaf_is_ours(v, proof.entry))
		return false;
	int64_t claimed = json_int(json_at(v->manifest, "/log/leaf_index"), -1);
	if (claimed >= 0 && (uint64_t)claimed != proof.index)
		return verify_bad(v, "The leaf is not at the place that the manifest names.");
	if (!merkle_inclusion_ok(merkle_leaf(proof.entry), proof.index, size, proof.path, proof.n, root))
		return verify_bad(v, "The proof does not lead from the leaf to the checkpoint's root.");
	return verify_good(v, "Leaf %llu of the log \"%.*s\" (%llu leaves, signed) names this manifest.", (unsigned long long)proof.index, STR_ARG(origin), (unsigned long long)size);
}
