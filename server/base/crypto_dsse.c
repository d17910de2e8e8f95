/* DSSE envelopes (github.com/secure-systems-lab/dsse, protocol and envelope v1), Ed25519. */
#include "commonhold/crypto.h"
#include "commonhold/json.h"

#define SIGNATURES_MAX 64

/* Pre-authentication encoding: "DSSEv1" SP LEN(type) SP type SP LEN(body) SP body. */
static struct str dsse_pae(struct arena *a, struct str type, struct str body)
{
	struct str head = str_fmt(a, "DSSEv1 %zu %.*s %zu ", type.n, STR_ARG(type), body.n);
	char *p = arena_alloc(a, head.n + body.n);
	memcpy(p, head.p, head.n);
	if (body.n)
		memcpy(p + head.n, body.p, body.n);
	return str_make(p, head.n + body.n);
}

void dsse_signature_make(struct arena *a, const struct sign_key *k, struct str payload_type, struct str payload, struct dsse_signature *out)
{
	memcpy(out->public_key, k->public_key, sizeof(out->public_key));
	sign_bytes(k, dsse_pae(a, payload_type, payload), out->bytes);
}

bool dsse_signature_holds(struct arena *a, const struct dsse_signature *s, struct str payload_type, struct str payload)
{
	return verify_bytes(s->public_key, dsse_pae(a, payload_type, payload), s->bytes);
}

struct str dsse_write(struct arena *a, const struct dsse_signature *signatures, size_t n, struct str payload_type, struct str payload)
{
	struct str encoded = str_base64(a, payload.p, payload.n);
	struct buf out;
	buf_init(&out, encoded.n + payload_type.n * 6 + n * 256 + 256);
	struct json_writer w;
	jw_init(&w, &out);
	jw_object(&w);
	jw_kstr(&w, "payload", encoded);
	jw_kstr(&w, "payloadType", payload_type);
	jw_key(&w, "signatures");
	jw_array(&w);
	for (size_t i = 0; i < n; i++) {
		jw_object(&w);
		jw_kstr(&w, "keyid", key_id(a, signatures[i].public_key));
		jw_kstr(&w, "sig", str_base64(a, signatures[i].bytes, sizeof(signatures[i].bytes)));
		jw_end_object(&w);
	}
	jw_end_array(&w);
	jw_end_object(&w);
	return buf_take(a, &out);
}

struct str dsse_sign(struct arena *a, const struct sign_key *keys, size_t n, struct str payload_type, struct str payload)
{
	struct dsse_signature *signatures = ARENA_ARRAY(a, n + 1, struct dsse_signature);
	for (size_t i = 0; i < n; i++)
		dsse_signature_make(a, &keys[i], payload_type, payload, &signatures[i]);
	return dsse_write(a, signatures, n, payload_type, payload);
}

static bool signed_by(struct arena *a, const struct json *signature, const uint8_t public_key[32], struct str message)
{
	struct str bytes;
	struct str id = json_member_text(signature, "keyid");
	if (id.p && !str_eq(id, key_id(a, public_key)))
		return false;
	return str_unbase64(a, json_member_text(signature, "sig"), &bytes) && bytes.n == 64 && verify_bytes(public_key, message, (const uint8_t *)bytes.p);
}

/* How many of the keys have signed: a key counts once, however often it signed. */
static size_t count_signers(struct arena *a, const struct json *signatures, const uint8_t (*public_keys)[32], size_t n, struct str message)
{
	size_t signers = 0;
	for (size_t i = 0; i < n; i++) {
		bool repeated = false, found = false;
		for (size_t j = 0; j < i && !repeated; j++)
			repeated = memcmp(public_keys[i], public_keys[j], 32) == 0;
		if (repeated)
			continue;
		json_each(signature, signatures)
			if (!found && signed_by(a, signature, public_keys[i], message))
				found = true;
		signers += found;
	}
	return signers;
}

enum err dsse_verify(struct arena *a, struct str envelope, const uint8_t (*public_keys)[32], size_t n, size_t threshold, struct str payload_type, struct str *payload,
	struct error *e)
{
	const struct json *root;
	TRY(json_parse(a, envelope, &root, e));
	const struct json *signatures = json_get(root, "signatures");
	if (!json_is(signatures, JSON_ARRAY) || signatures->count == 0 || signatures->count > SIGNATURES_MAX)
		return error_set(e, ERR_INVALID, "The envelope has no signatures, or too many.");
	if (!str_eq(json_member_text(root, "payloadType"), payload_type))
		return error_set(e, ERR_INVALID, "The envelope holds another type of payload.");
	struct str body, encoded = json_member_text(root, "payload");
	if (!encoded.p || !str_unbase64(a, encoded, &body))
		return error_set(e, ERR_INVALID, "The envelope's payload is not base64.");
	size_t signers = count_signers(a, signatures, public_keys, n, dsse_pae(a, payload_type, body));
	if (threshold == 0 || signers < threshold)
		return error_set(e, ERR_INVALID, "The envelope has %zu valid signatures of the %zu needed.", signers, threshold);
	*payload = body;
	return ERR_OK;
}
