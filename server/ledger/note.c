/* C2SP signed notes (c2sp.org/signed-note), Ed25519 alone, and checkpoints (c2sp.org/tlog-checkpoint).
 *
 *     <text, ending in a newline>
 *
 *     — <key name> base64(key id 4 || signature 64)
 */
#include "commonhold/ledger.h"

#define ED25519_TYPE "\x01"
#define DASH "\xe2\x80\x94 "
#define SIGNATURE_LINES_MAX 64

/* First four bytes of SHA-256(name || newline || type || key). */
static void note_key_id(struct str name, const uint8_t public_key[32], uint8_t id[4])
{
	struct str parts[] = { name, STR("\n" ED25519_TYPE), str_make(public_key, 32) };
	struct sha256 digest = sha256_of(parts, CH_LEN(parts));
	memcpy(id, digest.b, 4);
}

struct str note_verifier_key(struct arena *a, struct str origin, const uint8_t public_key[32])
{
	uint8_t id[4], key[33] = { 1 };
	note_key_id(origin, public_key, id);
	memcpy(key + 1, public_key, 32);
	struct str hex = str_hex(a, id, sizeof(id)), text = str_base64(a, key, sizeof(key));
	return str_fmt(a, "%.*s+%.*s+%.*s", STR_ARG(origin), STR_ARG(hex), STR_ARG(text));
}

static bool name_ok(struct str name)
{
	for (size_t i = 0; i < name.n; i++)
		if ((unsigned char)name.p[i] <= ' ' || name.p[i] == '+' || name.p[i] == 0x7f)
			return false;
	return name.n > 0 && name.n <= 255 && str_is_utf8(name);
}

bool note_verifier_parse(struct arena *a, struct str key, struct str *origin, uint8_t public_key[32])
{
	struct str rest = key, name, hex, bytes;
	uint8_t id[4], expected[4];
	/* base64 may hold '+': everything after the second one is the key */
	if (key.n > 512 || !str_split(&rest, '+', &name) || !str_split(&rest, '+', &hex) || !rest.p || !name_ok(name))
		return false;
	if (!str_unhex(hex, id, sizeof(id)) || !str_unbase64(a, rest, &bytes) || bytes.n != 33 || bytes.p[0] != 1)
		return false;
	memcpy(public_key, bytes.p + 1, 32);
	note_key_id(name, public_key, expected);
	*origin = name;
	return memcmp(id, expected, sizeof(id)) == 0;
}

static struct str note_sign(struct arena *a, struct str text, struct str name, const struct sign_key *k)
{
	uint8_t blob[4 + 64];
	note_key_id(name, k->public_key, blob);
	sign_bytes(k, text, blob + 4);
	struct str signature = str_base64(a, blob, sizeof(blob));
	return str_cat(a, text, STR("\n" DASH), name, STR(" "), signature, STR("\n"));
}

struct str checkpoint_sign(struct arena *a, struct str origin, uint64_t size, struct sha256 root, const struct sign_key *k)
{
	struct str hash = str_base64(a, root.b, sizeof(root.b));
	return note_sign(a, str_fmt(a, "%.*s\n%llu\n%.*s\n", STR_ARG(origin), (unsigned long long)size, STR_ARG(hash)), origin, k);
}

static bool note_clean(struct str note)
{
	for (size_t i = 0; i < note.n; i++)
		if ((unsigned char)note.p[i] < ' ' && note.p[i] != '\n')
			return false;
	return note.n > 0 && note.p[note.n - 1] == '\n' && str_is_utf8(note);
}

/* Cuts at the last empty line: the text with its final newline, and the signature lines. */
static bool note_cut(struct str note, struct str *text, struct str *signatures)
{
	for (size_t i = note.n; i >= 2; i--) {
		if (note.p[i - 1] == '\n' && note.p[i - 2] == '\n') {
			*text = str_sub(note, 0, i - 1);
			*signatures = str_sub(note, i, note.n);
			return signatures->n > 0;
		}
	}
	return false;
}

/* Whether the line is a signature of this key: 1 and valid, 0 and somebody else's, -1 and wrong. */
static int signature_line(struct arena *a, struct str line, struct str text, struct str name, const uint8_t id[4], const uint8_t public_key[32])
{
	struct str who, bytes, rest;
	if (!str_starts(line, DASH))
		return -1;
	rest = str_sub(line, strlen(DASH), line.n);
	if (!str_split(&rest, ' ', &who) || !name_ok(who) || !rest.p || !str_unbase64(a, rest, &bytes) || bytes.n < 5)
		return -1;
	if (!str_eq(who, name) || memcmp(bytes.p, id, 4) != 0)
		return 0;
	return bytes.n == 4 + 64 && verify_bytes(public_key, text, (const uint8_t *)bytes.p + 4) ? 1 : -1;
}

/* The text, when the key has signed it. Others' signatures (witnesses) are passed over; a wrong one of this key spoils the note. */
static bool note_open(struct arena *a, struct str note, struct str name, const uint8_t public_key[32], struct str *text)
{
	struct str signatures, line;
	uint8_t id[4];
	size_t lines = 0, valid = 0;
	if (note.n > LIMIT_NOTE || !note_clean(note) || !note_cut(note, text, &signatures))
		return false;
	note_key_id(name, public_key, id);
	struct str rest = str_sub(signatures, 0, signatures.n - 1);
	while (str_split(&rest, '\n', &line)) {
		int found = signature_line(a, line, *text, name, id, public_key);
		if (found < 0 || ++lines > SIGNATURE_LINES_MAX)
			return false;
		valid += (size_t)found;
	}
	return valid > 0;
}

static bool parse_size(struct str s, uint64_t *out)
{
	int64_t v;
	if (s.n == 0 || s.p[0] < '0' || s.p[0] > '9' || (s.p[0] == '0' && s.n > 1) || !str_to_i64(s, 0, INT64_MAX, &v))
		return false;
	*out = (uint64_t)v;
	return true;
}

/* Origin, size and root; extension lines are passed over, but must not be empty. */
static bool checkpoint_parse(struct arena *a, struct str text, struct str origin, uint64_t *size, struct sha256 *root)
{
	struct str rest = str_sub(text, 0, text.n - 1), line, hash;
	if (!str_split(&rest, '\n', &line) || !str_eq(line, origin) || !str_split(&rest, '\n', &line) || !parse_size(line, size))
		return false;
	if (!str_split(&rest, '\n', &line) || !str_unbase64(a, line, &hash) || hash.n != 32)
		return false;
	memcpy(root->b, hash.p, 32);
	while (str_split(&rest, '\n', &line))
		if (line.n == 0)
			return false;
	return true;
}

enum err checkpoint_verify(struct arena *a, struct str note, struct str origin, const uint8_t public_key[32], uint64_t *size, struct sha256 *root, struct error *e)
{
	struct str text;
	if (!note_open(a, note, origin, public_key, &text))
		return error_set(e, ERR_INVALID, "The checkpoint is not signed by the log's key.");
	if (!checkpoint_parse(a, text, origin, size, root))
		return error_set(e, ERR_INVALID, "The checkpoint is not one of this log, or not well-formed.");
	return ERR_OK;
}
