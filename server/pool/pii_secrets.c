/* pii_secrets.c - keys, tokens and passwords: issuers' well-known prefixes, JWT (RFC 7519), PEM (RFC 7468), and values assigned to telling names. */
#include "server/pool/pii_secrets.h"

#define PEM_BYTES (16 * (size_t)1024) /* how far the end of a key is looked for */
#define VALUE_BYTES 256               /* longest value of an assignment that is looked at */

static bool token_char(unsigned char c)
{
	return pii_alnum(c) || c == '_' || c == '-';
}

/* What follows a prefix: how many characters at least, and at most (0: no limit). */
struct token_form {
	const char *prefix;
	uint16_t min, max;
	uint8_t confidence;
};

static const struct token_form token_forms[] = {
	{ "AKIA", 16, 16, 95 },        { "ASIA", 16, 16, 95 },      { "AIza", 35, 35, 95 },       { "ghp_", 36, 36, 95 },
	{ "gho_", 36, 36, 95 },        { "ghu_", 36, 36, 95 },      { "ghs_", 36, 36, 95 },       { "ghr_", 36, 76, 95 },
	{ "github_pat_", 40, 90, 95 }, { "glpat-", 20, 60, 95 },    { "gldt-", 20, 60, 95 },      { "xoxb-", 20, 200, 95 },
	{ "xoxp-", 20, 200, 95 },      { "xoxa-", 20, 200, 95 },    { "xoxr-", 20, 200, 95 },     { "xoxs-", 20, 200, 95 },
	{ "xapp-", 20, 200, 95 },      { "sk-ant-", 20, 200, 95 },  { "sk-proj-", 20, 300, 95 },  { "sk-", 32, 300, 80 },
	{ "sk_live_", 16, 120, 95 },   { "rk_live_", 16, 120, 95 }, { "sk_test_", 16, 120, 80 },  { "whsec_", 24, 80, 95 },
	{ "npm_", 36, 36, 95 },        { "pypi-", 50, 0, 95 },      { "hf_", 30, 40, 95 },        { "dop_v1_", 64, 64, 95 },
	{ "shpat_", 32, 32, 95 },      { "key-", 32, 32, 80 },      { "lin_api_", 32, 60, 95 },   { "tskey-", 20, 80, 95 },
	{ "ch_", 43, 80, 80 },         { "AGE-SECRET-KEY-1", 50, 60, 95 },
};

/* Digits and letters mixed as chance mixes them, and no place-holder such as XXXX or your_key_here. */
static bool looks_random(struct str s)
{
	uint64_t seen[2] = { 0, 0 };
	size_t digits = 0, letters = 0, same = 0;
	for (size_t i = 0; i < s.n; i++) {
		unsigned char c = (unsigned char)s.p[i] & 127;
		seen[c / 64] |= UINT64_C(1) << (c % 64);
		digits += pii_digit(c);
		letters += pii_letter(c);
		same = i > 0 && s.p[i] == s.p[i - 1] ? same + 1 : same;
	}
	int distinct = __builtin_popcountll(seen[0]) + __builtin_popcountll(seen[1]);
	return digits > 0 && letters > 0 && distinct >= (s.n < 16 ? 6 : 8) && same * 3 < s.n;
}

static bool match_jwt(struct str t, size_t from, size_t to, struct pii_match *m)
{
	if (to - from < 10 || memcmp(t.p + from, "eyJ", 3) != 0 || pii_at(t, to) != '.')
		return false;
	size_t payload = to + 1, i = payload;
	if (t.n - payload < 3 || memcmp(t.p + payload, "eyJ", 3) != 0)
		return false;
	while (i < t.n && token_char((unsigned char)t.p[i]))
		i++;
	if (pii_at(t, i) != '.')
		return false;
	i++;
	while (i < t.n && token_char((unsigned char)t.p[i]))
		i++;
	*m = (struct pii_match){ PII_SECRET, 95, from, i, true };
	return true;
}

/* SendGrid: "SG", a run of 22, a run of 43; the run that is looked at is the second. */
static bool match_dotted(struct str t, size_t from, size_t to, struct pii_match *m)
{
	if (to - from != 22 || from < 3 || memcmp(t.p + from - 3, "SG.", 3) != 0 || pii_at(t, to) != '.')
		return false;
	size_t i = to + 1;
	while (i < t.n && token_char((unsigned char)t.p[i]))
		i++;
	if (i - to - 1 != 43)
		return false;
	*m = (struct pii_match){ PII_SECRET, 95, from - 3, i, true };
	return true;
}

static bool match_bearer(struct str t, size_t from, size_t to, struct pii_match *m)
{
	if (from < 7 || (memcmp(t.p + from - 7, "Bearer ", 7) != 0 && memcmp(t.p + from - 7, "bearer ", 7) != 0))
		return false;
	if (to - from < 20 || !looks_random(str_make(t.p + from, to - from)))
		return false;
	*m = (struct pii_match){ PII_SECRET, 80, from, to, true };
	return true;
}

void pii_match_token(struct str t, size_t from, size_t to, struct pii_match *m)
{
	*m = (struct pii_match){ .from = from, .to = to };
	if (match_jwt(t, from, to, m) || match_dotted(t, from, to, m) || match_bearer(t, from, to, m))
		return;
	struct str run = str_make(t.p + from, to - from);
	for (size_t i = 0; i < CH_LEN(token_forms); i++) {
		const struct token_form *form = &token_forms[i];
		if (form->prefix[0] != run.p[0] || !str_starts(run, form->prefix))
			continue;
		size_t left = run.n - strlen(form->prefix);
		if (left < form->min || (form->max && left > form->max))
			continue;
		if (!looks_random(str_sub(run, run.n - left, left)))
			continue;
		*m = (struct pii_match){ PII_SECRET, form->confidence, from, to, true };
		return;
	}
}

void pii_match_pem(struct str t, size_t at, struct pii_match *m)
{
	static const char begin[] = "-----BEGIN ", end[] = "-----END ", what[] = "PRIVATE KEY";
	size_t from = at;
	while (from > 0 && t.p[from - 1] == '-' && at - from < 5)
		from--;
	*m = (struct pii_match){ .from = at, .to = at + 3 };
	if (t.n - from < sizeof(begin) - 1 || memcmp(t.p + from, begin, sizeof(begin) - 1) != 0)
		return;
	struct str label = str_sub(t, from + sizeof(begin) - 1, 40);
	const char *dashes = memmem(label.p, label.n, "-----", 5), *word = memmem(label.p, label.n, what, sizeof(what) - 1);
	if (!dashes || !word || word > dashes)
		return;
	struct str rest = str_sub(t, (size_t)(dashes - t.p) + 5, PEM_BYTES);
	/* the next dashes close the key, or begin another one */
	const char *close = memmem(rest.p, rest.n, "-----", 5);
	size_t to = (size_t)(rest.p - t.p);
	if (close && str_starts(str_make(close, (size_t)(rest.p + rest.n - close)), end)) {
		const char *tail = memmem(close + 5, (size_t)(rest.p + rest.n - close) - 5, "-----", 5);
		to = (size_t)((tail ? tail + 5 : rest.p + rest.n) - t.p);
	}
	*m = (struct pii_match){ PII_SECRET, 95, from, to, true };
}

/* Names that say that what follows is secret; those with `weak` values are what people choose themselves. */
static const struct { const char *name; bool weak; } secret_names[] = {
	{ "password", true }, { "passwd", true }, { "passwort", true }, { "passphrase", true }, { "pwd", true }, { "secret", false }, { "token", false },
	{ "api_key", false }, { "apikey", false }, { "api-key", false }, { "access_key", false }, { "private_key", false }, { "secret_key", false },
	{ "client_secret", false }, { "auth_key", false }, { "encryption_key", false }, { "accesskey", false }, { "secretkey", false },
};

/* The telling name that ends just before `end` (quotes and blanks skipped); -1 when there is none. */
static int name_before(struct str t, size_t end)
{
	size_t i = end;
	while (i > 0 && end - i < 4 && (t.p[i - 1] == ' ' || t.p[i - 1] == '"' || t.p[i - 1] == '\'' || t.p[i - 1] == ']'))
		i--;
	if (i < 3)
		return -1;
	/* the last letters of all the names; nearly every ':' and '=' ends here */
	switch (t.p[i - 1] | 32) {
	case 'd': case 't': case 'e': case 'n': case 'y':
		break;
	default:
		return -1;
	}
	for (size_t k = 0; k < CH_LEN(secret_names); k++) {
		size_t n = strlen(secret_names[k].name);
		if (n <= i && strncasecmp(t.p + i - n, secret_names[k].name, n) == 0)
			return (int)k;
	}
	return -1;
}

static bool value_char(unsigned char c)
{
	return c > ' ' && c < 127 && c != '"' && c != '\'' && c != '`' && c != ',' && c != ';' && c != '<' && c != '>' && c != '(' && c != ')' && c != '{' &&
	       c != '}' && c != '[' && c != ']' && c != '\\' && c != '|';
}

/* Words by which people show where a secret would stand. */
static bool is_placeholder(struct str v)
{
	static const char *const words[] = { "example", "your", "xxx", "changeme", "change_me", "placeholder", "secret", "password", "dummy", "sample",
		"environ", "process.env", "getenv", "config.", "settings.", "test", "foobar", "1234", "abcd", "insert", "${", "$(", "%s" };
	for (size_t i = 0; i < CH_LEN(words); i++)
		for (size_t k = 0; k + strlen(words[i]) <= v.n; k++)
			if (strncasecmp(v.p + k, words[i], strlen(words[i])) == 0)
				return true;
	return v.p[0] == '$' || v.p[0] == '/' || v.p[0] == '.';
}

/* A word or a path of names, as code has them, rather than characters that somebody threw together. */
static bool is_identifier(struct str v)
{
	bool digit = false, mark = false;
	for (size_t i = 0; i < v.n; i++) {
		digit = digit || pii_digit((unsigned char)v.p[i]);
		mark = mark || strchr("!@#$%^&*+?~", v.p[i]);
	}
	return !digit && !mark;
}

static bool url_credentials(struct str t, size_t at, struct pii_match *m)
{
	if (pii_at(t, at + 1) != '/' || pii_at(t, at + 2) != '/')
		return false;
	size_t i = at + 3, colon = 0;
	while (i < t.n && i - at < VALUE_BYTES && (token_char((unsigned char)t.p[i]) || strchr(".:%!$&*+~=", t.p[i]))) {
		if (t.p[i] == ':' && colon == 0)
			colon = i;
		i++;
	}
	if (colon == 0 || pii_at(t, i) != '@' || i - colon < 7)
		return false;
	if (is_placeholder(str_make(t.p + colon + 1, i - colon - 1)))
		return false;
	*m = (struct pii_match){ PII_SECRET, 80, at + 3, i + 1, true };
	return true;
}

void pii_match_assignment(struct str t, size_t at, struct pii_match *m)
{
	*m = (struct pii_match){ .from = at, .to = at + 1 };
	if (t.p[at] == ':' && pii_at(t, at + 1) == '/') {
		url_credentials(t, at, m);
		return;
	}
	int name = name_before(t, at);
	if (name < 0)
		return;
	size_t i = at + 1;
	while (i < t.n && i - at < 6 && (t.p[i] == ' ' || t.p[i] == '=' || t.p[i] == '>'))
		i++;
	unsigned char quote = pii_at(t, i) == '"' || pii_at(t, i) == '\'' || pii_at(t, i) == '`' ? (unsigned char)t.p[i] : 0;
	i += quote != 0;
	size_t from = i;
	while (i < t.n && i - from < VALUE_BYTES && value_char((unsigned char)t.p[i]))
		i++;
	while (i > from && !quote && (t.p[i - 1] == '.' || t.p[i - 1] == ':' || t.p[i - 1] == '!' || t.p[i - 1] == '?'))
		i--;
	struct str value = str_make(t.p + from, i - from);
	bool weak = secret_names[name].weak;
	if (value.n < (weak ? 8U : 16U) || value.n >= VALUE_BYTES || (quote && pii_at(t, i) != quote) || (!quote && pii_at(t, i) == '('))
		return;
	if (is_placeholder(value) || is_identifier(value) || (!weak && !looks_random(value)))
		return;
	*m = (struct pii_match){ PII_SECRET, (uint8_t)(quote ? 80 : 60), from, i, true };
}
