/* minisign's text formats (jedisct1.github.io/minisign, "Signature format"):
 *     untrusted comment: <anything>
 *     base64("ED" || key id 8 || Ed25519 signature of BLAKE2b-512(file) 64)
 *     trusted comment: <text>
 *     base64(Ed25519 signature of (the 64 signature bytes || text of the trusted comment))
 * "ED" means prehashed; the older "Ed" (whole file signed) is neither written nor accepted.
 */
#include "commonhold/crypto.h"

#include <sodium.h>

#define KEY_ID_BYTES 8
#define BLOB_BYTES (2 + KEY_ID_BYTES + 64)
#define UNTRUSTED "untrusted comment: "
#define TRUSTED "trusted comment: "
#define COMMENT_MAX 4096

static void minisign_key_id(const uint8_t public_key[32], uint8_t out[KEY_ID_BYTES])
{
	struct sha256 digest = sha256(str_make(public_key, 32));
	memcpy(out, digest.b, KEY_ID_BYTES);
}

struct str minisign_public_key(struct arena *a, const uint8_t public_key[32])
{
	uint8_t blob[2 + KEY_ID_BYTES + 32] = { 'E', 'd' };
	minisign_key_id(public_key, blob + 2);
	memcpy(blob + 2 + KEY_ID_BYTES, public_key, 32);
	return str_base64(a, blob, sizeof(blob));
}

bool minisign_parse_key(struct arena *a, struct str line, uint8_t public_key[32])
{
	struct str blob;
	if (line.n != 56 || !str_unbase64(a, line, &blob) || blob.n != 2 + KEY_ID_BYTES + 32 || !str_starts(blob, "Ed"))
		return false;
	memcpy(public_key, blob.p + 2 + KEY_ID_BYTES, 32);
	return true;
}

static void minisign_digest(struct str message, uint8_t digest[64])
{
	crypto_generichash(digest, 64, (const unsigned char *)message.p, message.n, NULL, 0);
}

/* What the global signature covers. */
static struct str signed_comment(struct arena *a, const uint8_t signature[64], struct str trusted_comment)
{
	char *p = arena_alloc(a, 64 + trusted_comment.n);
	memcpy(p, signature, 64);
	if (trusted_comment.n)
		memcpy(p + 64, trusted_comment.p, trusted_comment.n);
	return str_make(p, 64 + trusted_comment.n);
}

struct str minisign_sign(struct arena *a, const struct sign_key *k, struct str message, struct str trusted_comment)
{
	uint8_t digest[64], blob[BLOB_BYTES] = { 'E', 'D' }, global[64];
	minisign_digest(message, digest);
	minisign_key_id(k->public_key, blob + 2);
	sign_bytes(k, str_make(digest, sizeof(digest)), blob + 2 + KEY_ID_BYTES);
	sign_bytes(k, signed_comment(a, blob + 2 + KEY_ID_BYTES, trusted_comment), global);
	struct str signature = str_base64(a, blob, sizeof(blob)), outer = str_base64(a, global, sizeof(global));
	return str_fmt(a, UNTRUSTED "signature by a Commonhold key\n%.*s\n" TRUSTED "%.*s\n%.*s\n", STR_ARG(signature), STR_ARG(trusted_comment), STR_ARG(outer));
}

static bool take_line(struct str *rest, const char *prefix, struct str *line)
{
	if (!str_split(rest, '\n', line) || !rest->p || line->n > COMMENT_MAX || !str_starts(*line, prefix))
		return false;
	*line = str_sub(*line, strlen(prefix), line->n);
	return true;
}

bool minisign_verify(struct arena *a, const uint8_t public_key[32], struct str message, struct str minisig)
{
	struct str rest = minisig, untrusted, comment, first, second, blob, global;
	if (!take_line(&rest, UNTRUSTED, &untrusted) || !take_line(&rest, "", &first) || !take_line(&rest, TRUSTED, &comment) || !take_line(&rest, "", &second) || rest.n)
		return false;
	if (!str_unbase64(a, first, &blob) || blob.n != BLOB_BYTES || !str_starts(blob, "ED") || !str_unbase64(a, second, &global) || global.n != 64)
		return false;
	uint8_t id[KEY_ID_BYTES], digest[64];
	minisign_key_id(public_key, id);
	if (memcmp(id, blob.p + 2, KEY_ID_BYTES) != 0)
		return false;
	const uint8_t *signature = (const uint8_t *)blob.p + 2 + KEY_ID_BYTES;
	minisign_digest(message, digest);
	return verify_bytes(public_key, str_make(digest, sizeof(digest)), signature) &&
		verify_bytes(public_key, signed_comment(a, signature, comment), (const uint8_t *)global.p);
}
