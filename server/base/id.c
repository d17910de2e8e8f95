#include "commonhold/id.h"
#include "commonhold/arena.h"

#include <sodium.h>
#include <stdlib.h>

struct uuid uuid_new(void)
{
	struct uuid u;
	randombytes_buf(u.b, sizeof(u.b));
	return uuid_of_random(u);
}

struct uuid uuid_of_random(struct uuid u)
{
	u.b[6] = (uint8_t)((u.b[6] & 0x0f) | 0x40);
	u.b[8] = (uint8_t)((u.b[8] & 0x3f) | 0x80);
	return u;
}

bool uuid_parse(struct str s, struct uuid *out)
{
	static const uint8_t groups[] = { 4, 2, 2, 2, 6 };
	if (s.n != 36)
		return false;
	size_t at = 0, byte = 0;
	for (size_t g = 0; g < sizeof(groups); g++) {
		if (g && s.p[at++] != '-')
			return false;
		if (!str_unhex(str_sub(s, at, (size_t)groups[g] * 2), out->b + byte, groups[g]))
			return false;
		at += (size_t)groups[g] * 2;
		byte += groups[g];
	}
	return true;
}

void uuid_write(struct uuid u, char out[UUID_TEXT])
{
	static const char digits[] = "0123456789abcdef";
	size_t n = 0;
	for (size_t i = 0; i < 16; i++) {
		if (i == 4 || i == 6 || i == 8 || i == 10)
			out[n++] = '-';
		out[n++] = digits[u.b[i] >> 4];
		out[n++] = digits[u.b[i] & 15];
	}
}

struct str uuid_format(struct arena *a, struct uuid u)
{
	char *text = arena_alloc(a, UUID_TEXT);
	if (!text)
		return STR_NONE;
	uuid_write(u, text);
	return str_make(text, UUID_TEXT);
}

bool uuid_is_nil(struct uuid u)
{
	static const struct uuid nil;
	return uuid_eq(u, nil);
}

struct str uuid_format_or_none(struct arena *a, struct uuid u)
{
	return uuid_is_nil(u) ? STR_NONE : uuid_format(a, u);
}

struct str coop_key_name(struct arena *a, const uint8_t public_key[32])
{
	static const char alphabet[] = "abcdefghijklmnopqrstuvwxyz234567";
	uint8_t hash[crypto_hash_sha256_BYTES];
	crypto_hash_sha256(hash, public_key, 32);
	char *name = arena_alloc(a, 17);
	if (!name)
		return STR_NONE;
	for (size_t i = 0; i < 16; i++) {
		size_t bit = i * 5;
		unsigned pair = (unsigned)hash[bit / 8] << 8 | hash[bit / 8 + 1];
		name[i] = alphabet[pair >> (11 - bit % 8) & 31];
	}
	return str_make(name, 16);
}

struct str rid_format(struct arena *a, struct str coop_name, struct uuid u)
{
	char id[UUID_TEXT];
	uuid_write(u, id);
	return str_cat(a, STR("dc:"), coop_name, STR(":"), str_make(id, sizeof(id)));
}

bool rid_parse(struct str s, struct str *coop_name, struct uuid *u)
{
	if (s.n != 3 + 16 + 1 + 36 || !str_starts(s, "dc:") || s.p[19] != ':')
		return false;
	struct str name = str_sub(s, 3, 16);
	for (size_t i = 0; i < name.n; i++)
		if (!((name.p[i] >= 'a' && name.p[i] <= 'z') || (name.p[i] >= '2' && name.p[i] <= '7')))
			return false;
	/* One spelling for one item: in signed lists and hashes capitals would make another. */
	for (size_t i = 20; i < s.n; i++)
		if (s.p[i] >= 'A' && s.p[i] <= 'F')
			return false;
	*coop_name = name;
	return uuid_parse(str_sub(s, 20, 36), u);
}
