/* Whether a text is in canonical form already: one pass, no tree, no memory. It must say what parsing and writing again would say, to the byte. */
#include "commonhold/json.h"
#include "server/base/json_order.h"
#include "server/base/utf8.h"

/* A container that is not closed yet. */
struct level {
	struct str key;  /* name of its newest member, as it is written */
	bool object;     /* or an array */
	bool first;      /* no member came before this one */
	bool escaped;    /* that name holds an escape */
};

struct scan {
	const char *p, *end;
	size_t depth, nodes;
	struct level levels[LIMIT_JSON_DEPTH];
};

/* An escape as the canonical form has it: the short one where there is one, else \u00XX for a control. */
static size_t escape_length(const char *p, const char *end)
{
	size_t n = (size_t)(end - p);
	if (n < 2)
		return 0;
	if (p[1] != 'u')
		return memchr("\"\\bfnrt", p[1], 7) ? 2 : 0;
	if (n < 6 || p[2] != '0' || p[3] != '0' || (p[4] != '0' && p[4] != '1'))
		return 0;
	bool digit = p[5] >= '0' && p[5] <= '9';
	if (!digit && (p[5] < 'a' || p[5] > 'f'))
		return 0;
	int c = (p[4] - '0') * 16 + (digit ? p[5] - '0' : p[5] - 'a' + 10);
	return c == 0 || (c >= 8 && c <= 13 && c != 11) ? 0 : 6;
}

/* A string, with s->p at its opening quote; what stands between the quotes. */
static bool take_string(struct scan *s, struct str *raw, bool *escaped)
{
	const char *from = ++s->p;
	*escaped = false;
	for (;;) {
		size_t n;
		s->p = utf8_skip_plain(s->p, s->end);
		if (s->p == s->end)
			return false;
		if (*s->p == '"')
			break;
		if ((unsigned char)*s->p >= 0x80) {
			n = utf8_sequence(s->p, s->end);
		} else {
			n = *s->p == '\\' ? escape_length(s->p, s->end) : 0;
			*escaped = true;
		}
		if (n == 0)
			return false;
		s->p += n;
	}
	*raw = str_make(from, (size_t)(s->p++ - from));
	return true;
}

static const char *digits_end(const char *p, const char *end)
{
	while (p < end && *p >= '0' && *p <= '9')
		p++;
	return p;
}

/* Numbers keep their text, but for a zero with a sign. */
static bool take_number(struct scan *s)
{
	const char *from = s->p, *whole = from + (*from == '-'), *p = digits_end(whole, s->end), *digits;
	if (p == whole || (*whole == '0' && p - whole > 1))
		return false;
	if (p < s->end && *p == '.') {
		digits = ++p;
		p = digits_end(p, s->end);
		if (p == digits)
			return false;
	}
	if (p < s->end && (*p == 'e' || *p == 'E')) {
		p++;
		p += p < s->end && (*p == '+' || *p == '-');
		digits = p;
		p = digits_end(p, s->end);
		if (p == digits)
			return false;
	}
	s->p = p;
	return p - from != 2 || from[0] != '-' || from[1] != '0';
}

static bool take_word(struct scan *s, const char *word, size_t n)
{
	bool there = (size_t)(s->end - s->p) >= n && memcmp(s->p, word, n) == 0;
	s->p += there ? n : 0;
	return there;
}

/* The next byte of a name, without its escape. Only bytes below 0x80 are escaped. */
static unsigned char name_byte(const char **p)
{
	static const char names[] = "\"\\bfnrt", meant[] = "\"\\\b\f\n\r\t";
	const char *at = *p;
	if (*at != '\\') {
		*p = at + 1;
		return (unsigned char)*at;
	}
	if (at[1] != 'u') {
		*p = at + 2;
		return (unsigned char)meant[strchr(names, at[1]) - names];
	}
	*p = at + 6;
	return (unsigned char)((at[4] - '0') * 16 + (at[5] <= '9' ? at[5] - '0' : at[5] - 'a' + 10));
}

/* json_key_cmp of two names that are written with escapes. */
static bool names_ascend(struct str a, struct str b)
{
	const char *p = a.p, *q = b.p, *p_end = a.p + a.n, *q_end = b.p + b.n;
	while (p < p_end && q < q_end) {
		char left = (char)name_byte(&p), right = (char)name_byte(&q);
		if (left != right)
			return json_key_cmp(str_make(&left, 1), str_make(&right, 1)) < 0;
	}
	return p == p_end && q < q_end;
}

/* A member's name and its colon, which must come behind the member before it. */
static bool take_name(struct scan *s)
{
	struct level *l = &s->levels[s->depth - 1];
	struct str key;
	bool escaped;
	if (s->p == s->end || *s->p != '"' || !take_string(s, &key, &escaped) || s->p == s->end || *s->p++ != ':')
		return false;
	bool right = l->first || (escaped || l->escaped ? names_ascend(l->key, key) : json_key_cmp(l->key, key) < 0);
	*l = (struct level){ .key = key, .object = true, .escaped = escaped };
	return right;
}

/* *inside: a container with something in it begins here, whose first value comes next. */
static bool take_value(struct scan *s, bool *inside)
{
	struct str raw;
	bool escaped, object;
	*inside = false;
	if (s->p == s->end || s->nodes++ == LIMIT_JSON_NODES)
		return false;
	switch (*s->p) {
	case '"':
		return take_string(s, &raw, &escaped);
	case 't':
		return take_word(s, "true", 4);
	case 'f':
		return take_word(s, "false", 5);
	case 'n':
		return take_word(s, "null", 4);
	case '{':
	case '[':
		if (s->depth == LIMIT_JSON_DEPTH)
			return false;
		object = *s->p++ == '{';
		if (s->p < s->end && *s->p == (object ? '}' : ']')) {
			s->p++;
			return true;
		}
		s->levels[s->depth++] = (struct level){ .object = object, .first = true };
		*inside = true;
		return !object || take_name(s);
	default:
		return take_number(s);
	}
}

bool json_is_canonical(struct str text)
{
	struct scan s;
	bool inside;
	s.p = text.p ? text.p : "";
	s.end = s.p + text.n;
	s.depth = s.nodes = 0;
	for (;;) {
		if (!take_value(&s, &inside))
			return false;
		if (inside)
			continue;
		while (s.depth && s.p < s.end && *s.p == (s.levels[s.depth - 1].object ? '}' : ']')) {
			s.p++;
			s.depth--;
		}
		if (s.depth == 0)
			return s.p == s.end;
		if (s.p == s.end || *s.p++ != ',' || (s.levels[s.depth - 1].object && !take_name(&s)))
			return false;
	}
}
