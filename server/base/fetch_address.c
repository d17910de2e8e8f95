/* Where a request may lead: which addresses are of the public internet, and which URLs are asked at all. */
#include "commonhold/fetch.h"

#include <arpa/inet.h>
#include <curl/curl.h>
#include <netinet/in.h>
#include <stdio.h>
#include <sys/socket.h>

#define URL_MAX 8000

/* IANA's special-purpose registry for IPv4, and one service of a cloud that stands on a public address. */
static const struct net4 { uint32_t net; unsigned bits; } special4[] = {
	{ 0x00000000, 8 },  /* this host */
	{ 0x0a000000, 8 },  /* private */
	{ 0x64400000, 10 }, /* carrier-grade NAT; Alibaba's metadata at 100.100.100.200 */
	{ 0x7f000000, 8 },  /* loopback */
	{ 0xa83f8110, 32 }, /* Azure's wire server, 168.63.129.16 */
	{ 0xa9fe0000, 16 }, /* link-local; most clouds' metadata at 169.254.169.254 */
	{ 0xac100000, 12 }, /* private */
	{ 0xc0000000, 24 }, /* IETF protocol assignments; Oracle's metadata at 192.0.0.192 */
	{ 0xc0000200, 24 }, /* documentation */
	{ 0xc0586300, 24 }, /* 6to4 relays */
	{ 0xc0a80000, 16 }, /* private */
	{ 0xc6120000, 15 }, /* benchmarks */
	{ 0xc6336400, 24 }, /* documentation */
	{ 0xcb007100, 24 }, /* documentation */
	{ 0xe0000000, 4 },  /* multicast */
	{ 0xf0000000, 4 },  /* reserved, and broadcast */
};
/* What is not for everybody within 2000::/3, outside which nothing is but what carries an IPv4 address. */
static const struct net6 { uint8_t net[16]; unsigned bits; } special6[] = {
	{ { 0x20, 0x01 }, 23 },             /* IETF protocol assignments, Teredo among them */
	{ { 0x20, 0x01, 0x0d, 0xb8 }, 32 }, /* documentation */
	{ { 0x20, 0x02 }, 16 },             /* 6to4: an IPv4 address behind a relay */
	{ { 0x3f, 0xff }, 20 },             /* documentation */
};
static const struct net6 global6 = { { 0x20 }, 3 }, mapped6 = { { [10] = 0xff, [11] = 0xff }, 96 }, nat64 = { { 0x00, 0x64, 0xff, 0x9b }, 96 };

static bool public4(uint32_t address)
{
	for (size_t i = 0; i < CH_LEN(special4); i++)
		if ((address ^ special4[i].net) >> (32 - special4[i].bits) == 0)
			return false;
	return true;
}

static bool in6(const uint8_t *address, const struct net6 *net)
{
	unsigned whole = net->bits / 8, rest = net->bits % 8;
	return memcmp(address, net->net, whole) == 0 && (rest == 0 || (address[whole] ^ net->net[whole]) >> (8 - rest) == 0);
}

static bool public6(const uint8_t *address)
{
	if (in6(address, &mapped6) || in6(address, &nat64))
		return public4((uint32_t)address[12] << 24 | (uint32_t)address[13] << 16 | (uint32_t)address[14] << 8 | address[15]);
	for (size_t i = 0; i < CH_LEN(special6); i++)
		if (in6(address, &special6[i]))
			return false;
	return in6(address, &global6);
}

bool fetch_address_is_public(const struct sockaddr *address)
{
	struct sockaddr_in v4;
	struct sockaddr_in6 v6;
	if (address->sa_family == AF_INET) {
		memcpy(&v4, address, sizeof(v4));
		return public4(ntohl(v4.sin_addr.s_addr));
	}
	if (address->sa_family != AF_INET6)
		return false;
	memcpy(&v6, address, sizeof(v6));
	return public6(v6.sin6_addr.s6_addr);
}

/* A host that is an address already: libcurl has put every spelling of IPv4 (octal, one number) into the common form. */
static bool literal_is_private(struct str host)
{
	char text[INET6_ADDRSTRLEN + 2];
	struct sockaddr_in v4 = { .sin_family = AF_INET };
	struct sockaddr_in6 v6 = { .sin6_family = AF_INET6 };
	bool bracketed = str_starts(host, "[") && str_ends(host, "]");
	struct str bare = bracketed ? str_sub(host, 1, host.n - 2) : host;
	snprintf(text, sizeof(text), "%.*s", STR_ARG(bare));
	if (inet_pton(AF_INET, text, &v4.sin_addr) == 1)
		return !fetch_address_is_public((const struct sockaddr *)&v4);
	if (bracketed)
		return inet_pton(AF_INET6, text, &v6.sin6_addr) != 1 || !fetch_address_is_public((const struct sockaddr *)&v6);
	return str_eq_nocase(host, "localhost") || str_eq_nocase(host, "localhost.") || (host.n > 10 && str_eq_nocase(str_sub(host, host.n - 10, 10), ".localhost"));
}

static enum err refused(struct error *e, const char *reason, const char *text)
{
	error_set(e, ERR_REFUSED, "%s", text);
	snprintf(e->reason, sizeof(e->reason), "%s", reason);
	return ERR_REFUSED;
}

/* Written so that every reader of it finds the same scheme and host. */
static bool is_plain(struct str url)
{
	size_t scheme = str_starts(url, "https://") ? 8 : str_starts(url, "http://") ? 7 : 0;
	for (size_t i = 0; i < url.n; i++)
		if ((uint8_t)url.p[i] <= 0x20 || (uint8_t)url.p[i] >= 0x7f || url.p[i] == '\\')
			return false;
	return url.n <= URL_MAX && scheme && url.n > scheme && url.p[scheme] != '/';
}

/* A part of the address as libcurl, which will ask it, understands it. */
static struct str part_of(struct arena *a, CURLU *url, CURLUPart which)
{
	char *text = NULL;
	struct str part = STR_NONE;
	if (curl_url_get(url, which, &text, 0) == CURLUE_OK)
		part = str_copy(a, str_of(text));
	curl_free(text);
	return part;
}

struct parts { struct str scheme, host, user, password; };

static bool parts_read(struct arena *a, struct str url, struct parts *out)
{
	CURLU *parsed = curl_url();
	bool ok = parsed && curl_url_set(parsed, CURLUPART_URL, str_z(a, url), 0) == CURLUE_OK;
	if (ok)
		*out = (struct parts){ part_of(a, parsed, CURLUPART_SCHEME), part_of(a, parsed, CURLUPART_HOST), part_of(a, parsed, CURLUPART_USER), part_of(a, parsed, CURLUPART_PASSWORD) };
	curl_url_cleanup(parsed);
	return ok && out->scheme.p && out->host.n;
}

enum err fetch_url_check(struct arena *a, struct str url, bool allow_private, bool allow_http, struct str *host, struct error *e)
{
	struct parts p = { 0 };
	if (!is_plain(url) || !parts_read(a, url, &p))
		return refused(e, "url_refused", "This is no web address.");
	if (!str_is(p.scheme, "https") && !(allow_http && str_is(p.scheme, "http")))
		return refused(e, "url_refused", allow_http ? "The address must begin with https:// or http://." : "The address must begin with https://.");
	if (p.user.p || p.password.p)
		return refused(e, "url_refused", "The address must not hold a user's name or a password.");
	if (!allow_private && literal_is_private(p.host))
		return refused(e, "address_refused", "The address is one of this machine, of a private network or for special use.");
	if (host)
		*host = p.host;
	return ERR_OK;
}
