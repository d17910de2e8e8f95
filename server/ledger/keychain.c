/* Chains of keys, without a database: read, checked, lengthened, and asked who signs what. */
#include "commonhold/keychain.h"
#include "commonhold/ledger.h"

#define FINGERPRINT_DIGITS 64

/* ---- writing ---- */

/* keys.json of keys whose other members are set. */
static enum err chain_write(struct arena *a, struct keychain *c, struct error *e)
{
	struct buf b;
	struct json_writer w;
	buf_init(&b, KEYCHAIN_TEXT_MAX);
	jw_init(&w, &b);
	jw_object(&w);
	jw_key(&w, "keys");
	jw_array(&w);
	for (size_t i = 0; i < c->n; i++) {
		jw_object(&w);
		jw_kstr(&w, "key", str_hex(a, c->keys[i].public_key, 32));
		jw_kint(&w, "no", (int64_t)i + 1);
		if (i) {
			jw_key(&w, "rotation");
			jw_raw(&w, c->keys[i].rotation);
		}
		jw_end_object(&w);
	}
	jw_end_array(&w);
	jw_kstr(&w, "name", c->name);
	jw_kint(&w, "v", 1);
	jw_end_object(&w);
	c->text = buf_take(a, &b);
	return c->text.p ? ERR_OK : error_set(e, ERR_TOO_LARGE, "The chain of keys is longer than %d bytes.", KEYCHAIN_TEXT_MAX);
}

static struct keychain chain_new(struct arena *a, size_t n, const uint8_t first[32])
{
	struct keychain c = { .name = coop_key_name(a, first), .keys = ARENA_ARRAY(a, n, struct keychain_key), .n = n };
	memcpy(c.keys[0].public_key, first, 32);
	c.keys[0].from = INSTANT_NONE;
	c.keys[0].size = -1;
	return c;
}

struct keychain keychain_single(struct arena *a, const uint8_t public_key[32])
{
	struct error e = { 0 };
	struct keychain c = chain_new(a, 1, public_key);
	if (chain_write(a, &c, &e) != ERR_OK)
		c.text = STR_NONE;
	return c;
}

/* ---- a hand-over ---- */

static struct str statement_write(struct arena *a, const struct keychain *c, const struct keychain_key *old, const struct keychain_key *next, int64_t no)
{
	struct buf b;
	struct json_writer w;
	buf_init(&b, 1024);
	jw_init(&w, &b);
	jw_object(&w);
	jw_kstr(&w, "at", clock_format(a, next->from));
	jw_kstr(&w, "coop", c->name);
	jw_kstr(&w, "new", str_hex(a, next->public_key, 32));
	jw_kint(&w, "no", no);
	jw_kstr(&w, "old", str_hex(a, old->public_key, 32));
	jw_kint(&w, "size", next->size);
	jw_kint(&w, "v", 1);
	jw_end_object(&w);
	return buf_take(a, &b);
}

/* Time goes on and the log grows; an instance has no log, and its sizes are all 0. */
static bool follows(const struct keychain_key *old, const struct keychain_key *next)
{
	bool later = old->from == INSTANT_NONE || next->from > old->from;
	return later && next->size >= 0 && (next->size > old->size || (next->size == 0 && old->size == 0));
}

static bool is_repeated(const struct keychain *c, size_t i)
{
	for (size_t j = 0; j < i; j++)
		if (memcmp(c->keys[j].public_key, c->keys[i].public_key, 32) == 0)
			return true;
	return false;
}

static void signature_write(struct arena *a, struct json_writer *w, const uint8_t public_key[32], const struct json *signature)
{
	struct str raw;
	bool ok = str_unbase64(a, json_member_text(signature, "sig"), &raw);
	jw_object(w);
	jw_kstr(w, "keyid", key_id(a, public_key));
	jw_kstr(w, "sig", ok ? str_base64(a, raw.p, raw.n) : STR_NONE);
	jw_end_object(w);
}

/* An envelope has parts that nobody signs. There is one form of it: the old key's signature, then the new one's, and nothing else. */
static bool envelope_has_its_form(struct arena *a, const struct keychain_key *old, const struct keychain_key *next, struct str payload)
{
	struct error e = { 0 };
	const struct json *envelope;
	struct buf b;
	struct json_writer w;
	if (json_parse(a, next->rotation, &envelope, &e) != ERR_OK)
		return false;
	const struct json *first = json_at(envelope, "/signatures/0"), *second = json_at(envelope, "/signatures/1");
	buf_init(&b, next->rotation.n + 1024);
	jw_init(&w, &b);
	jw_object(&w);
	jw_kstr(&w, "payload", str_base64(a, payload.p, payload.n));
	jw_kz(&w, "payloadType", KEY_ROTATION_TYPE);
	jw_key(&w, "signatures");
	jw_array(&w);
	signature_write(a, &w, old->public_key, first);
	signature_write(a, &w, next->public_key, second);
	jw_end_array(&w);
	jw_end_object(&w);
	return str_eq(buf_take(a, &b), next->rotation);
}

/* Reads the i-th rotation: both have signed, and it says exactly what it must, since it is written again from what it says and compared. */
static enum err rotation_check(struct arena *a, struct keychain *c, size_t i, struct error *e)
{
	struct keychain_key *next = &c->keys[i];
	const struct keychain_key *old = next - 1;
	struct error why = { 0 };
	uint8_t both[2][32];
	struct str payload;
	const struct json *said;
	memcpy(both[0], old->public_key, 32);
	memcpy(both[1], next->public_key, 32);
	if (is_repeated(c, i))
		return error_set(e, ERR_CORRUPT, "Key %zu of the chain was there before.", i + 1);
	if (dsse_verify(a, next->rotation, (const uint8_t(*)[32])both, 2, 2, STR(KEY_ROTATION_TYPE), &payload, &why) != ERR_OK || json_parse(a, payload, &said, &why) != ERR_OK)
		return error_set(e, ERR_CORRUPT, "The hand-over to key %zu is not signed by the key before and by itself.", i + 1);
	next->size = json_int(json_get(said, "size"), -1);
	if (!clock_parse(json_member_text(said, "at"), &next->from) || !follows(old, next))
		return error_set(e, ERR_CORRUPT, "The hand-over to key %zu does not come after the one before it.", i + 1);
	if (!str_eq(payload, statement_write(a, c, old, next, (int64_t)i + 1)) || !envelope_has_its_form(a, old, next, payload))
		return error_set(e, ERR_CORRUPT, "The hand-over to key %zu is about other keys, or not in canonical form.", i + 1);
	return ERR_OK;
}

enum err keychain_extend(struct arena *a, const struct keychain *chain, const struct sign_key *old, const struct sign_key *next, instant at, int64_t size, struct keychain *out,
	struct error *e)
{
	struct sign_key both[2] = { *old, *next };
	if (chain->n >= KEYCHAIN_KEYS_MAX)
		return error_set(e, ERR_REFUSED, "There have been %d keys already: that is as many as there may be.", KEYCHAIN_KEYS_MAX);
	if (memcmp(old->public_key, keychain_current(chain), 32) != 0)
		return error_set(e, ERR_INVALID, "The key that hands over is not the one in force.");
	struct keychain c = chain_new(a, chain->n + 1, keychain_first(chain));
	memcpy(c.keys, chain->keys, chain->n * sizeof(*c.keys));
	struct keychain_key *last = &c.keys[chain->n];
	*last = (struct keychain_key){ .from = at, .size = size };
	memcpy(last->public_key, next->public_key, 32);
	last->rotation = dsse_sign(a, both, 2, STR(KEY_ROTATION_TYPE), statement_write(a, &c, last - 1, last, (int64_t)c.n));
	secret_wipe(both, sizeof(both));
	if (rotation_check(a, &c, chain->n, e) != ERR_OK)
		return error_set(e, ERR_INVALID, "The new key cannot follow: it was there before, or no time has passed.");
	TRY(chain_write(a, &c, e));
	*out = c;
	return ERR_OK;
}

/* ---- reading ---- */

static bool text_is_canonical(struct arena *a, const struct json *tree, struct str text, struct str *canonical)
{
	struct buf b;
	buf_init(&b, KEYCHAIN_TEXT_MAX + 1);
	json_canonical(&b, tree, false);
	*canonical = buf_take(a, &b);
	return canonical->p && (!text.p || str_eq(*canonical, text));
}

/* One entry; that it has no other members shows when the document is written again and compared. */
static bool entry_read(struct arena *a, const struct json *entry, size_t i, struct keychain_key *out)
{
	const struct json *rotation = json_get(entry, "rotation");
	struct str text = json_member_text(entry, "key");
	*out = (struct keychain_key){ .from = INSTANT_NONE, .size = -1 };
	if (text.n != 64 || !str_unhex(text, out->public_key, 32) || (i > 0) != json_is(rotation, JSON_OBJECT))
		return false;
	return i == 0 || text_is_canonical(a, rotation, STR_NONE, &out->rotation);
}

static enum err chain_check(struct arena *a, struct keychain *c, struct str name, struct error *e)
{
	c->name = coop_key_name(a, c->keys[0].public_key);
	if (!str_eq(c->name, name))
		return error_set(e, ERR_CORRUPT, "The first key of the chain is not the one that its name is made from.");
	for (size_t i = 1; i < c->n; i++)
		TRY(rotation_check(a, c, i, e));
	return ERR_OK;
}

enum err keychain_read_json(struct arena *a, const struct json *value, struct keychain *out, struct error *e)
{
	const struct json *keys = json_get(value, "keys");
	struct str canonical;
	size_t n = 0;
	if (!json_is(keys, JSON_ARRAY) || keys->count == 0 || keys->count > KEYCHAIN_KEYS_MAX || json_int(json_get(value, "v"), 0) != 1)
		return error_set(e, ERR_CORRUPT, "This is no chain of keys, or one of more than %d.", KEYCHAIN_KEYS_MAX);
	struct keychain c = { .keys = ARENA_ARRAY(a, keys->count, struct keychain_key), .n = keys->count };
	json_each(entry, keys) {
		if (!entry_read(a, entry, n, &c.keys[n]))
			return error_set(e, ERR_CORRUPT, "Key %zu of the chain cannot be read.", n + 1);
		n++;
	}
	TRY(chain_check(a, &c, json_member_text(value, "name"), e));
	TRY(chain_write(a, &c, e));
	if (!text_is_canonical(a, value, STR_NONE, &canonical) || !str_eq(canonical, c.text))
		return error_set(e, ERR_CORRUPT, "The chain of keys says more than it must.");
	*out = c;
	return ERR_OK;
}

enum err keychain_read(struct arena *a, struct str text, struct keychain *out, struct error *e)
{
	const struct json *value;
	struct str said = text.n && text.p[text.n - 1] == '\n' ? str_sub(text, 0, text.n - 1) : text;
	if (text.n > KEYCHAIN_TEXT_MAX)
		return error_set(e, ERR_TOO_LARGE, "The chain of keys is longer than %d bytes.", KEYCHAIN_TEXT_MAX);
	if (json_parse(a, said, &value, e) != ERR_OK)
		return error_set(e, ERR_CORRUPT, "The chain of keys is not JSON.");
	TRY(keychain_read_json(a, value, out, e));
	return str_eq(out->text, said) ? ERR_OK : error_set(e, ERR_CORRUPT, "The chain of keys is not in canonical form.");
}

enum err keychain_make(struct arena *a, const struct str *public_keys, const struct str *rotations, size_t n, struct keychain *out, struct error *e)
{
	if (n == 0 || n > KEYCHAIN_KEYS_MAX)
		return error_set(e, ERR_CORRUPT, "A chain has 1 to %d keys.", KEYCHAIN_KEYS_MAX);
	struct keychain c = { .keys = ARENA_ARRAY(a, n, struct keychain_key), .n = n };
	for (size_t i = 0; i < n; i++) {
		if (public_keys[i].n != 32)
			return error_set(e, ERR_CORRUPT, "A key of the chain has the wrong length.");
		c.keys[i] = (struct keychain_key){ .from = INSTANT_NONE, .size = -1, .rotation = rotations[i] };
		memcpy(c.keys[i].public_key, public_keys[i].p, 32);
	}
	TRY(chain_check(a, &c, coop_key_name(a, c.keys[0].public_key), e));
	TRY(chain_write(a, &c, e));
	*out = c;
	return ERR_OK;
}

/* ---- asking ---- */

ptrdiff_t keychain_find(const struct keychain *c, const uint8_t public_key[32])
{
	for (size_t i = 0; i < c->n; i++)
		if (memcmp(c->keys[i].public_key, public_key, 32) == 0)
			return (ptrdiff_t)i;
	return -1;
}

bool keychain_continues(const struct keychain *longer, const struct keychain *shorter)
{
	for (size_t i = 0; i < shorter->n; i++)
		if (i >= longer->n || memcmp(longer->keys[i].public_key, shorter->keys[i].public_key, 32) != 0 || longer->keys[i].from != shorter->keys[i].from ||
			longer->keys[i].size != shorter->keys[i].size)
			return false;
	return true;
}

bool keychain_in_force(const struct keychain *c, size_t i, instant from, instant to)
{
	if (i >= c->n || (i > 0 && c->keys[i].from > to))
		return false;
	return i + 1 == c->n || c->keys[i + 1].from >= from;
}

bool keychain_signs_size(const struct keychain *c, size_t i, int64_t size)
{
	return i < c->n && size > c->keys[i].size && (i + 1 == c->n || size <= c->keys[i + 1].size);
}

enum err keychain_dsse_verify(struct arena *a, const struct keychain *c, struct str envelope, struct str payload_type, struct str *payload, size_t *which, struct error *e)
{
	for (size_t i = c->n; i-- > 0;) {
		struct error why = { 0 };
		uint8_t one[1][32];
		memcpy(one[0], c->keys[i].public_key, 32);
		if (dsse_verify(a, envelope, (const uint8_t(*)[32])one, 1, 1, payload_type, payload, &why) == ERR_OK) {
			*which = i;
			return ERR_OK;
		}
	}
	return error_set(e, ERR_INVALID, "The envelope is not signed by any key of %.*s, or holds another type of payload.", STR_ARG(c->name));
}

bool keychain_signed(const struct keychain *c, struct str message, const uint8_t signature[64], size_t *which)
{
	for (size_t i = c->n; i-- > 0;)
		if (verify_bytes(c->keys[i].public_key, message, signature)) {
			*which = i;
			return true;
		}
	return false;
}

enum err keychain_checkpoint_verify(struct arena *a, const struct keychain *c, struct str note, struct str origin, uint64_t *size, struct sha256 *root, struct error *e)
{
	struct error why = { 0 };
	for (size_t i = c->n; i-- > 0;) {
		error_clear(&why);
		if (checkpoint_verify(a, note, origin, c->keys[i].public_key, size, root, &why) != ERR_OK)
			continue;
		if (*size <= INT64_MAX && keychain_signs_size(c, i, (int64_t)*size))
			return ERR_OK;
		return error_set(e, ERR_INVALID, "The checkpoint of %llu leaves is signed by key %zu, which does not sign for a log of that size: another was in force.", (unsigned long long)*size,
			i + 1);
	}
	return error_set(e, ERR_INVALID, "The checkpoint is not one of this log, or not signed by its key.");
}

/* The longer of two that agree. */
static enum err longer_of(const struct keychain *known, const struct keychain *carried, const struct keychain **out, struct error *e)
{
	*out = known ? known : carried;
	if (!known || !carried)
		return ERR_OK;
	if (keychain_continues(known, carried))
		return ERR_OK;
	*out = carried;
	return keychain_continues(carried, known) ? ERR_OK : error_set(e, ERR_INVALID, "carries another chain of keys than the one you gave: one of them was rewritten");
}

enum err keychain_settle(struct arena *a, const struct keychain_trust *trust, const struct keychain *carried, struct str name, const uint8_t claimed[32], struct keychain *out, size_t *which,
	bool *pinned, struct error *e)
{
	const struct keychain *chain;
	TRY(longer_of(trust->known, carried, &chain, e));
	*out = chain ? *chain : keychain_single(a, claimed);
	*pinned = trust->pin || trust->known;
	ptrdiff_t at = keychain_find(out, claimed);
	bool named = !name.p || str_eq(out->name, name);
	if (trust->pin && keychain_find(out, trust->pin) < 0)
		return error_set(e, ERR_INVALID, "names another key than the one you gave, and no chain of keys leads from one to the other");
	if (at < 0)
		return error_set(e, ERR_INVALID, "names a key that is not in the co-op's chain of keys");
	if (!named && (!trust->pin || chain))
		return error_set(e, ERR_INVALID, "names a key that is not the one that the co-op %.*s is named after, and does not come from it", STR_ARG(name));
	*which = (size_t)at;
	return ERR_OK;
}

struct str keychain_fingerprint(struct arena *a, const uint8_t public_key[32])
{
	struct str hex = key_id(a, public_key);
	char text[FINGERPRINT_DIGITS / 4 * 5];
	size_t n = 0;
	for (size_t i = 0; i < FINGERPRINT_DIGITS; i++) {
		if (i && i % 4 == 0)
			text[n++] = ' ';
		text[n++] = hex.p[i];
	}
	return str_copy(a, str_make(text, n));
}

bool keychain_fingerprint_is(struct str typed, const uint8_t public_key[32])
{
	struct sha256 wanted = sha256(str_make(public_key, 32)), given;
	char digits[FINGERPRINT_DIGITS];
	size_t n = 0;
	for (size_t i = 0; i < typed.n; i++) {
		char c = typed.p[i];
		if (c == ' ' || c == '-' || c == ':' || c == '\n' || c == '\r' || c == '\t')
			continue;
		if (n == sizeof(digits))
			return false;
		digits[n++] = c >= 'A' && c <= 'F' ? (char)(c - 'A' + 'a') : c;
	}
	return n == sizeof(digits) && sha256_parse(str_make(digits, n), &given) && sha256_eq(given, wanted);
}
