/* A release that two co-ops made together: that both agreed to this very set, that both signed, and that the rows are that set. */
#include "verify_internal.h"

#include "commonhold/keychain.h"
#include "commonhold/release_joint.h"

#include <stdlib.h>

#define SET_MAX (256 * MIB) /* of leaves: eight million items */

bool joint_begin(struct verifying *v)
{
	v->joint = json_get(v->manifest, "joint");
	if (!v->joint)
		return true;
	if (pthread_mutex_init(&v->leaves_lock, NULL) != 0)
		return verify_bad(v, "There is no memory to verify with.");
	buf_init(&v->leaves, SET_MAX);
	v->has_lock = true;
	return true;
}

void joint_release(struct verifying *v)
{
	buf_release(&v->leaves);
	if (v->has_lock)
		pthread_mutex_destroy(&v->leaves_lock);
}

void joint_row(struct verifying *v, const struct json *row, struct buf *scratch)
{
	if (!v->joint)
		return;
	buf_clear(scratch);
	json_canonical(scratch, json_get(row, "content"), true);
	struct sha256 content = sha256(buf_str(scratch));
	json_each(origin, json_get(row, "origins")) {
		struct sha256 leaf = joint_leaf(json_member_text(origin, "rid"), content);
		pthread_mutex_lock(&v->leaves_lock);
		buf_add(&v->leaves, leaf.b, sizeof(leaf.b));
		pthread_mutex_unlock(&v->leaves_lock);
	}
}

static bool document_check(struct verifying *v, const struct json **document)
{
	const struct json *file;
	struct str text;
	struct error e = { 0 };
	struct buf canonical;
	struct sha256 claimed;
	if (!files_read(v, "joint.json", LIMIT_MANIFEST, &text))
		return false;
	if (json_parse(v->arena, text, &file, &e) != ERR_OK)
		return verify_bad(v, "joint.json is not JSON: %s", e.message);
	*document = json_get(file, "document");
	buf_init(&canonical, text.n + 1);
	json_canonical(&canonical, *document ? *document : file, true);
	bool same = !canonical.failed && sha256_parse(json_member_text(v->joint, "document_sha256"), &claimed) && sha256_eq(sha256(buf_str(&canonical)), claimed);
	buf_release(&canonical);
	if (!same)
		return verify_bad(v, "joint.json is not the document that the manifest names.");
	if (!str_eq(json_member_text(*document, "maker"), json_text(json_get(v->manifest, "coops")->child)))
		return verify_bad(v, "The document names another co-op as the one that makes the release.");
	return true;
}

static const struct json *charter_of(const struct json *document, struct str coop)
{
	json_each(charter, json_get(document, "charters"))
		if (str_eq(json_member_text(charter, "coop"), coop))
			return charter;
	return NULL;
}

/* Both votes are about the set that was frozen, under the charters that the document names. */
static bool votes_check(struct verifying *v, const struct json *document)
{
	struct str frozen = json_member_text(v->manifest, "candidates_sha256");
	json_each(party, json_get(v->joint, "parties")) {
		struct str coop = json_member_text(party, "coop");
		const struct json *charter = charter_of(document, coop);
		if (!charter || !str_eq(json_member_text(charter, "digest"), json_member_text(party, "charter_sha256")))
			return verify_bad(v, "The co-op %.*s is not one of the two that the document is between, or under another charter.", STR_ARG(coop));
		if (!str_eq(json_text(json_at(party, "/ballot/digest")), frozen))
			return verify_bad(v, "The ballot of %.*s was about another set than the one that was frozen.", STR_ARG(coop));
	}
	const struct json *maker = json_at(v->joint, "/parties/0");
	if (!str_eq(json_text(json_at(maker, "/ballot/id")), json_text(json_at(v->manifest, "/ballot/id"))))
		return verify_bad(v, "The maker's ballot is another one than the manifest's.");
	return true;
}

/* The partner's key: the one that it is named after, or one that its chain leads to from there. */
static bool partner_key(struct verifying *v, const struct json *partner, uint8_t key[32])
{
	struct str text, name = json_member_text(partner, "coop");
	struct keychain chain;
	struct error e = { 0 };
	if (!str_unhex(json_member_text(partner, "key"), key, 32))
		return verify_bad(v, "The partner's key is not one.");
	if (!files_read(v, "partner.keys.json", KEYCHAIN_TEXT_MAX, &text))
		return false;
	if (keychain_read(v->arena, text, &chain, &e) != ERR_OK)
		return verify_bad(v, "partner.keys.json: %s", e.message);
	if (!str_eq(chain.name, name))
		return verify_bad(v, "partner.keys.json is about %.*s; the partner is %.*s.", STR_ARG(chain.name), STR_ARG(name));
	return memcmp(keychain_current(&chain), key, 32) == 0 ? true : verify_bad(v, "The partner's key is not the one that its chain of keys leads to.");
}

/* Both keys, and the envelope over the manifest. */
static bool signers(struct verifying *v, uint8_t keys[2][32], struct str *envelope)
{
	memcpy(keys[0], v->key, 32);
	return partner_key(v, json_at(v->joint, "/parties/1"), keys[1]) && files_read(v, "manifest.dsse.json", 2 * LIMIT_MANIFEST, envelope);
}

static bool signature_check(struct verifying *v)
{
	const struct json *partner = json_at(v->joint, "/parties/1");
	struct str envelope, payload, name = json_member_text(partner, "coop");
	struct error e = { 0 };
	uint8_t keys[2][32];
	if (!signers(v, keys, &envelope))
		return false;
	if (memcmp(keys[0], keys[1], 32) == 0)
		return verify_bad(v, "Both co-ops are said to sign with the same key.");
	if (dsse_verify(v->arena, envelope, (const uint8_t (*)[32])keys, 2, 2, STR(RELEASE_PAYLOAD_TYPE), &payload, &e) != ERR_OK)
		return verify_bad(v, "The manifest is not signed by %.*s, the co-op that the release was made with.", STR_ARG(name));
	return true;
}

/* A redaction goes out with the maker's signature alone when the partner's does not come in time; its file lies beside the manifest then, once it has come. */
static bool redaction_check(struct verifying *v, struct str name)
{
	struct str envelope, payload, manifest, beside;
	struct error e = { 0 }, ignored = { 0 };
	const struct json *signatures;
	uint8_t keys[2][32];
	size_t signed_by = 0;
	if (!signers(v, keys, &envelope) || !files_read(v, "manifest.json", LIMIT_MANIFEST, &manifest))
		return false;
	if (json_parse(v->arena, envelope, &signatures, &ignored) == ERR_OK)
		signed_by = json_get(signatures, "signatures") ? json_get(signatures, "signatures")->count : 0;
	if (signed_by > 1) {
		if (!signature_check(v))
			return false;
	} else if (!files_find(v, STR(JOINT_PARTNER_SEAL))) {
		return verify_good(v, "Made together with %.*s from an earlier release by leaving out, and signed by one of the two: %.*s has not signed it yet. Give --base to check that nothing was added.",
			STR_ARG(name), STR_ARG(name));
	} else if (!files_read(v, JOINT_PARTNER_SEAL, 2 * LIMIT_MANIFEST, &beside)) {
		return false;
	} else if (dsse_verify(v->arena, beside, (const uint8_t (*)[32]) & keys[1], 1, 1, STR(RELEASE_PAYLOAD_TYPE), &payload, &e) != ERR_OK || !str_eq(payload, manifest)) {
		return verify_bad(v, JOINT_PARTNER_SEAL " is not a signature of this manifest by %.*s.", STR_ARG(name));
	}
	return verify_good(v, "Made together with %.*s from an earlier release by leaving out, and both signed it. Give --base to check that nothing was added.", STR_ARG(name));
}

static bool set_check(struct verifying *v, int64_t not_read)
{
	struct joint_set set = { 0 };
	struct sha256 document, claimed;
	if (not_read)
		return true;
	if (v->leaves.failed)
		return verify_bad(v, "The release has more items than can be compared with the set that both agreed on.");
	if (!sha256_parse(json_member_text(v->joint, "document_sha256"), &document) || !sha256_parse(json_member_text(v->joint, "items_sha256"), &claimed))
		return verify_bad(v, "The manifest lacks digests of the joint release.");
	set.leaves = (struct sha256 *)(void *)v->leaves.p;
	set.n = v->leaves.n / sizeof(*set.leaves);
	joint_set_seal(&set, document);
	return sha256_eq(set.digest, claimed) ? true : verify_bad(v, "The rows are not the set that both co-ops came to.");
}

bool joint_check(struct verifying *v)
{
	const struct json *document;
	if (!v->joint && files_find(v, STR(JOINT_PARTNER_SEAL)))
		return verify_bad(v, "There is a partner's signature, but the manifest names no partner.");
	if (!v->joint)
		return verify_good(v, "It was made by one co-op.");
	int64_t not_read = json_int(json_at(v->manifest, "/counts/items"), 0) - v->result->rows;
	if (!document_check(v, &document) || !votes_check(v, document) || !set_check(v, not_read))
		return false;
	struct str partner = json_text(json_at(v->joint, "/parties/1/coop"));
	if (v->options->staged)
		return verify_good(v, "The partner %.*s has not signed yet.", STR_ARG(partner));
	if (json_get(v->manifest, "redacts"))
		return redaction_check(v, partner);
	return signature_check(v) && verify_good(v, "Made together with %.*s: both voted on this set, and both signed.", STR_ARG(partner));
}
