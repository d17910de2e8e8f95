/* pii.c - the scan: finds the bytes that matter and hands them to the matchers. */
#include "commonhold/pii.h"
#include "server/pool/pii_secrets.h"

#ifdef __SSE2__
#include <emmintrin.h>
#endif

#define BLOCK 16
#define LOCAL_PART 64  /* RFC 5321 */
#define DOMAIN_PART 253

const char *pii_kind_word(unsigned kind)
{
	static const char *const words[] = {
#define X(name, word, what) word,
		PII_KINDS(X)
#undef X
	};
	return kind < PII_KIND_COUNT ? words[kind] : NULL;
}

const char *pii_kind_text(unsigned kind)
{
	static const char *const texts[] = {
#define X(name, word, what) what,
		PII_KINDS(X)
#undef X
	};
	return kind < PII_KIND_COUNT ? texts[kind] : NULL;
}

static bool local_char(unsigned char c)
{
	return pii_alnum(c) || c == '.' || c == '_' || c == '%' || c == '+' || c == '-' || c == '\'' || c >= 0x80;
}

/* Last labels that are a picture's name rather than a domain ("logo@2x.png"). */
static bool is_file_ending(struct str tld)
{
	static const char *const endings[] = { "png", "jpg", "jpeg", "gif", "webp", "svg", "css", "js", "ts", "json", "html", "md" };
	for (size_t i = 0; i < CH_LEN(endings); i++)
		if (str_eq_nocase(tld, endings[i]))
			return true;
	return false;
}

/* RFC 2606 and 6761: addresses there reach nobody. */
static bool is_reserved_domain(struct str domain)
{
	static const char *const names[] = { "example.com", "example.org", "example.net", ".example", ".test", ".invalid", ".localhost" };
	for (size_t i = 0; i < CH_LEN(names); i++) {
		size_t n = strlen(names[i]);
		if (domain.n >= n && str_eq_nocase(str_sub(domain, domain.n - n, n), names[i]))
			return true;
	}
	return false;
}

/* End of the domain that begins at `from`: past the last label of two or more ASCII letters that follows a dot; `from` when there is none. */
static size_t domain_end(struct str t, size_t from)
{
	size_t end = from, label = from, i = from;
	for (; i <= t.n && i - from <= DOMAIN_PART; i++) {
		unsigned char c = pii_at(t, i);
		if (pii_alnum(c) || c == '-' || c >= 0x80)
			continue;
		size_t letters = 0;
		while (letters < i - label && pii_letter((unsigned char)t.p[label + letters]))
			letters++;
		if (i == label || t.p[label] == '-')
			break;
		bool tail = label > from && letters >= 2 && letters <= 24;
		if (tail && (letters == i - label || (unsigned char)t.p[label + letters] >= 0x80))
			end = label + letters;
		if (c != '.')
			break;
		label = i + 1;
	}
	return end;
}

static void match_email(struct str t, size_t at, struct pii_match *m)
{
	*m = (struct pii_match){ .from = at, .to = at + 1 };
	size_t from = at;
	while (from > 0 && at - from <= LOCAL_PART && local_char((unsigned char)t.p[from - 1]))
		from--;
	while (from < at && (t.p[from] == '.' || t.p[from] == '\'' || t.p[from] == '-'))
		from++;
	if (from == at || at - from > LOCAL_PART || t.p[at - 1] == '.')
		return;
	size_t end = domain_end(t, at + 1);
	if (end == at + 1)
		return;
	struct str domain = str_make(t.p + at + 1, end - at - 1), local = str_make(t.p + from, at - from), tld = domain;
	while (str_index(tld, '.') >= 0)
		tld = str_sub(tld, (size_t)str_index(tld, '.') + 1, tld.n);
	/* git@host:path is where a repository lies, not a person */
	if (is_file_ending(tld) || (str_is(local, "git") && (pii_at(t, end) == ':' || pii_at(t, end) == '/')))
		return;
	*m = (struct pii_match){ PII_EMAIL, is_reserved_domain(domain) ? 60 : 95, from, end, true };
}

/* One scan's state. */
struct scan {
	struct str text;           /* what is scanned */
	const struct json *at;     /* the string that it is, for findings */
	struct pii_report *report; /* where findings go */
	size_t done;               /* bytes before this need no further look */
	size_t first;              /* the report's first finding of this scan */
};

static void report(struct scan *s, const struct pii_match *m)
{
	if (!m->found)
		return;
	struct pii_report *r = s->report;
	r->mask |= 1U << m->kind;
	r->count[m->kind]++;
	if (r->kept < PII_FINDINGS)
		r->finding[r->kept++] = (struct pii_finding){ m->kind, m->confidence, (uint32_t)m->from, (uint32_t)(m->to - m->from), s->at };
}

/* Looks closer at a byte that the prefilter stopped at. */
static void look(struct scan *s, size_t i)
{
	struct pii_match m;
	if (i < s->done)
		return;
	switch (s->text.p[i]) {
	case '@':
		match_email(s->text, i, &m);
		break;
	case ':':
	case '=':
		pii_match_assignment(s->text, i, &m);
		break;
	case '-':
		pii_match_pem(s->text, i, &m);
		break;
	default:
		pii_match_number(s->text, i, &m);
		break;
	}
	report(s, &m);
	s->done = m.to > i ? m.to : i + 1;
}

/* Bits of the bytes of one block that look() should see. */
#ifdef __SSE2__
static unsigned triggers(const char *p)
{
	const __m128i v = _mm_loadu_si128((const __m128i *)(const void *)p);
	/* digits and ':' are 0x30-0x3a; '=' and '@' singly; three '-' in a row begin a PEM line wherever the block cuts it */
	const __m128i low = _mm_cmpeq_epi8(_mm_max_epu8(_mm_min_epu8(v, _mm_set1_epi8(0x3a)), _mm_set1_epi8(0x30)), v);
	const __m128i marks = _mm_or_si128(_mm_cmpeq_epi8(v, _mm_set1_epi8('@')), _mm_cmpeq_epi8(v, _mm_set1_epi8('=')));
	unsigned dashes = (unsigned)_mm_movemask_epi8(_mm_cmpeq_epi8(v, _mm_set1_epi8('-')));
	return (unsigned)_mm_movemask_epi8(_mm_or_si128(low, marks)) | (dashes & dashes >> 1 & dashes >> 2);
}
#else
static unsigned triggers(const char *p)
{
	unsigned bits = 0, dashes = 0;
	for (unsigned i = 0; i < BLOCK; i++) {
		unsigned char c = (unsigned char)p[i];
		bits |= (unsigned)((c >= '0' && c <= ':') || c == '@' || c == '=') << i;
		dashes |= (unsigned)(c == '-') << i;
	}
	return bits | (dashes & dashes >> 1 & dashes >> 2);
}
#endif

static void scan_triggers(struct scan *s)
{
	size_t n = s->text.n;
	for (size_t at = 0; at < n; at += BLOCK) {
		char tail[BLOCK] = { 0 };
		const char *p = s->text.p + at;
		if (n - at < BLOCK) {
			memcpy(tail, p, n - at);
			p = tail;
		}
		for (unsigned bits = triggers(p); bits; bits &= bits - 1)
			look(s, at + (unsigned)__builtin_ctz(bits));
	}
}

/* Letters, digits, '_' and '-': what tokens are made of. */
static const uint8_t token_class[256] = {
	['-'] = 1, ['_'] = 1, ['0' ... '9'] = 1, ['A' ... 'Z'] = 1, ['a' ... 'z'] = 1,
};

/* A token that stands in an assignment was found there already: it counts once, with the better confidence. */
static bool known_secret(struct scan *s, const struct pii_match *m)
{
	for (size_t i = s->first; m->found && i < s->report->kept; i++) {
		struct pii_finding *f = &s->report->finding[i];
		if (f->kind != PII_SECRET || f->offset >= m->to || f->offset + f->length <= m->from)
			continue;
		if (m->confidence > f->confidence)
			f->confidence = m->confidence;
		return true;
	}
	return false;
}

_Static_assert(PII_TOKEN_RUN == BLOCK, "a run is looked for in two blocks");

/* Bits of the bytes of one block that are of tokens. */
#ifdef __SSE2__
static __m128i between(__m128i v, char low, char high)
{
	return _mm_cmpeq_epi8(_mm_max_epu8(_mm_min_epu8(v, _mm_set1_epi8(high)), _mm_set1_epi8(low)), v);
}

static unsigned token_bits(const char *p)
{
	const __m128i v = _mm_loadu_si128((const __m128i *)(const void *)p);
	const __m128i words = _mm_or_si128(between(_mm_or_si128(v, _mm_set1_epi8(0x20)), 'a', 'z'), between(v, '0', '9'));
	const __m128i marks = _mm_or_si128(_mm_cmpeq_epi8(v, _mm_set1_epi8('-')), _mm_cmpeq_epi8(v, _mm_set1_epi8('_')));
	return (unsigned)_mm_movemask_epi8(_mm_or_si128(words, marks));
}
#else
static unsigned token_bits(const char *p)
{
	unsigned bits = 0;
	for (unsigned i = 0; i < BLOCK; i++)
		bits |= (unsigned)token_class[(unsigned char)p[i]] << i;
	return bits;
}
#endif

/* Whether a run of PII_TOKEN_RUN characters may cover byte i: those up to it and those behind it that belong together are enough. Near the end nothing is ruled out. */
static bool run_may_cover(const char *p, size_t i, size_t n)
{
	unsigned upto = ~token_bits(p + i + 1 - BLOCK) & 0xffff;
	if (upto == 0 || n - i <= BLOCK)
		return token_class[(unsigned char)p[i]];
	unsigned before = (unsigned)__builtin_clz(upto) - BLOCK;
	if (before == 0)
		return false;
	return before + (unsigned)__builtin_ctz(~token_bits(p + i + 1)) >= PII_TOKEN_RUN;
}

/* A run of PII_TOKEN_RUN characters or more covers one of every so many bytes: only there is looked to both sides. */
static void scan_tokens(struct scan *s)
{
	const char *p = s->text.p;
	size_t n = s->text.n;
	for (size_t i = PII_TOKEN_RUN - 1; i < n; i += PII_TOKEN_RUN) {
		if (!run_may_cover(p, i, n))
			continue;
		size_t from = i, to = i + 1;
		while (from > 0 && i - from < PII_TOKEN_RUN && token_class[(unsigned char)p[from - 1]])
			from--;
		while (to < n && token_class[(unsigned char)p[to]])
			to++;
		if (to - from < PII_TOKEN_RUN)
			continue;
		struct pii_match m;
		pii_match_token(s->text, from, to, &m);
		if (!known_secret(s, &m))
			report(s, &m);
		i = m.to / PII_TOKEN_RUN * PII_TOKEN_RUN - 1;
	}
}

static void scan(struct str text, const struct json *at, struct pii_report *r)
{
	if (text.n > UINT32_MAX)
		text.n = UINT32_MAX;
	struct scan s = { text, at, r, 0, r->kept };
	scan_triggers(&s);
	scan_tokens(&s);
}

void pii_scan(struct str text, struct pii_report *r)
{
	scan(text, NULL, r);
}

void pii_scan_tree(const struct json *content, struct pii_report *r)
{
	for (const struct json *v = content; v; v = json_next_in(content, v))
		if (v->type == JSON_STRING)
			scan(v->text, v, r);
}
