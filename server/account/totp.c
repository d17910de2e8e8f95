#include "server/base/openssl.h"

#include "server/account/totp.h"

#include "commonhold/crypto.h"

#include <openssl/hmac.h>
#include <stdio.h>

int64_t totp_step(instant t)
{
	return t / CLOCK_SECOND / TOTP_STEP;
}

/* RFC 4226 section 5.3: dynamic truncation. */
uint32_t hotp(struct str secret, uint64_t counter, int digits)
{
	static const uint32_t power[] = { [6] = 1000000, [7] = 10000000, [8] = 100000000 };
	uint8_t message[8], mac[20] = { 0 };
	unsigned n = sizeof(mac);
	for (int i = 0; i < 8; i++)
		message[i] = (uint8_t)(counter >> (56 - 8 * i));
	if (!HMAC(EVP_sha1(), secret.p, (int)secret.n, message, sizeof(message), mac, &n))
		return UINT32_MAX;
	unsigned at = mac[19] & 15;
	uint32_t value = (uint32_t)(mac[at] & 0x7f) << 24 | (uint32_t)mac[at + 1] << 16 | (uint32_t)mac[at + 2] << 8 | mac[at + 3];
	return value % power[digits];
}

int64_t totp_match(struct str secret, struct str code, instant now)
{
	int64_t found = -1, step = totp_step(now);
	for (int64_t s = step - 1; s <= step + 1; s++) {
		char right[16];
		snprintf(right, sizeof(right), "%06u", hotp(secret, (uint64_t)s, 6));
		if (s >= 0 && secret_eq(code, str_of(right)))
			found = s;
	}
	return found;
}

struct str base32(struct arena *a, struct str bytes)
{
	static const char letters[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567";
	size_t n = (bytes.n * 8 + 4) / 5;
	char *to = arena_alloc(a, n + 1);
	for (size_t i = 0; i < n; i++) {
		size_t bit = i * 5, at = bit / 8;
		unsigned window = (unsigned)(uint8_t)bytes.p[at] << 8 | (at + 1 < bytes.n ? (uint8_t)bytes.p[at + 1] : 0);
		to[i] = letters[window >> (11 - bit % 8) & 31];
	}
	return str_make(to, n);
}

struct str totp_uri(struct arena *a, struct str issuer, struct str account, struct str secret)
{
	struct str who = str_url_encode(a, issuer);
	return str_fmt(a, "otpauth://totp/%.*s:%.*s?secret=%.*s&issuer=%.*s&algorithm=SHA1&digits=6&period=%d", STR_ARG(who), STR_ARG(str_url_encode(a, account)),
		STR_ARG(base32(a, secret)), STR_ARG(who), TOTP_STEP);
}
