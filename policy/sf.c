/*
 * sf.c - RFC 9651 dictionaries, by the parsing algorithms of its section 4.2.
 *
 * Nothing is copied: members point into the caller's text. Everything is checked to the letter, since a
 * dictionary that fails to parse must be ignored as a whole.
 */
#include "policy/internal.h"

/* The text still to be read. */
struct in {
	const char *at;  /* next byte */
	const char *end; /* one past the last */
};

static bool more(const struct in *in)
{
	return in->at < in->end;
}

static int peek(const struct in *in)
{
	return more(in) ? (unsigned char)*in->at : -1;
}

static bool eat(struct in *in, char c)
{
	if (peek(in) != (unsigned char)c)
		return false;
	in->at++;
	return true;
}

static void skip(struct in *in, const char *set)
{
	while (more(in) && *in->at && strchr(set, *in->at))
		in->at++;
}

static bool is_digit(int c)
{
	return c >= '0' && c <= '9';
}

static bool is_lower(int c)
{
	return c >= 'a' && c <= 'z';
}

static bool is_alpha(int c)
{
	return is_lower(c) || (c >= 'A' && c <= 'Z');
}

static bool is_one_of(int c, const char *set)
{
	return c > 0 && strchr(set, c) != NULL;
}

static struct policy_text text_from(const char *from, const struct in *in)
{
	return (struct policy_text){from, (size_t)(in->at - from)};
}

static bool read_key(struct in *in, struct policy_text *key)
{
	const char *from = in->at;
	if (!is_lower(peek(in)) && peek(in) != '*')
		return false;
	while (is_lower(peek(in)) || is_digit(peek(in)) || is_one_of(peek(in), "_-.*"))
		in->at++;
	*key = text_from(from, in);
	return true;
}

static bool read_number(struct in *in, uint8_t *type)
{
	size_t before = 0, after = 0;
	eat(in, '-');
	for (; is_digit(peek(in)); in->at++)
		before++;
	*type = POLICY_SF_INTEGER;
	if (before == 0 || before > 15)
		return false;
	if (!eat(in, '.'))
		return true;
	*type = POLICY_SF_DECIMAL;
	for (; is_digit(peek(in)); in->at++)
		after++;
	return before <= 12 && after >= 1 && after <= 3;
}

static bool read_string(struct in *in, struct policy_text *value)
{
	const char *from = ++in->at;
	for (int c; (c = peek(in)) >= 0; in->at++) {
		if (c == '"') {
			*value = text_from(from, in);
			in->at++;
			return true;
		}
		if (c == '\\') {
			in->at++;
			c = peek(in);
			if (c != '"' && c != '\\')
				return false;
		} else if (c < 0x20 || c >= 0x7f) {
			return false;
		}
	}
	return false;
}

static bool read_token(struct in *in)
{
	if (!is_alpha(peek(in)) && peek(in) != '*')
		return false;
	while (is_alpha(peek(in)) || is_digit(peek(in)) || is_one_of(peek(in), "!#$%&'*+-.^_`|~:/"))
		in->at++;
	return true;
}

static bool read_bytes(struct in *in, struct policy_text *value)
{
	const char *from = ++in->at;
	size_t digits = 0, pads = 0;
	for (int c; (c = peek(in)) >= 0; in->at++) {
		if (c == ':') {
			*value = text_from(from, in);
			in->at++;
			return pads <= 2 && digits % 4 != 1 && (pads == 0 || (digits + pads) % 4 == 0);
		}
		if (c == '=')
			pads++;
		else if ((is_alpha(c) || is_digit(c) || c == '+' || c == '/') && pads == 0)
			digits++;
		else
			return false;
	}
	return false;
}

static int hex(int c)
{
	if (is_digit(c))
		return c - '0';
	return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* One step of a UTF-8 check: how many bytes are still due, and the least and most that the next may be. */
struct utf8 {
	unsigned due;  /* continuation bytes expected */
	unsigned low;  /* least value of the next one */
	unsigned high; /* most */
};

static bool utf8_step(struct utf8 *u, unsigned byte)
{
	if (u->due) {
		if (byte < u->low || byte > u->high)
			return false;
		*u = (struct utf8){u->due - 1, 0x80, 0xbf};
		return true;
	}
	if (byte < 0x80)
		return true;
	if (byte >= 0xc2 && byte <= 0xdf)
		*u = (struct utf8){1, 0x80, 0xbf};
	else if (byte >= 0xe0 && byte <= 0xef)
		*u = (struct utf8){2, byte == 0xe0 ? 0xa0 : 0x80, byte == 0xed ? 0x9f : 0xbf};
	else if (byte >= 0xf0 && byte <= 0xf4)
		*u = (struct utf8){3, byte == 0xf0 ? 0x90 : 0x80, byte == 0xf4 ? 0x8f : 0xbf};
	else
		return false;
	return true;
}

static bool read_display(struct in *in, struct policy_text *value)
{
	struct utf8 utf8 = {0};
	in->at++;
	if (!eat(in, '"'))
		return false;
	const char *from = in->at;
	for (int c; (c = peek(in)) >= 0; in->at++) {
		if (c < 0x20 || c >= 0x7f)
			return false;
		unsigned byte = (unsigned)c;
		if (c == '"') {
			*value = text_from(from, in);
			in->at++;
			return utf8.due == 0;
		}
		if (c == '%') {
			if (in->end - in->at < 3 || hex(in->at[1]) < 0 || hex(in->at[2]) < 0)
				return false;
			byte = (unsigned)(hex(in->at[1]) * 16 + hex(in->at[2]));
			in->at += 2;
		}
		if (!utf8_step(&utf8, byte))
			return false;
	}
	return false;
}

static bool read_boolean(struct in *in)
{
	in->at++;
	return eat(in, '0') || eat(in, '1');
}

static bool read_date(struct in *in)
{
	uint8_t type;
	in->at++;
	return read_number(in, &type) && type == POLICY_SF_INTEGER;
}

static bool read_item(struct in *in, uint8_t *type, struct policy_text *value)
{
	const char *from = in->at;
	int c = peek(in);
	bool read;
	if (c == '"') {
		*type = POLICY_SF_STRING;
		return read_string(in, value);
	}
	if (c == ':') {
		*type = POLICY_SF_BYTES;
		return read_bytes(in, value);
	}
	if (c == '%') {
		*type = POLICY_SF_DISPLAY;
		return read_display(in, value);
	}
	if (c == '-' || is_digit(c)) {
		read = read_number(in, type);
	} else if (c == '?') {
		*type = POLICY_SF_BOOLEAN;
		read = read_boolean(in);
	} else if (c == '@') {
		*type = POLICY_SF_DATE;
		read = read_date(in);
	} else {
		*type = POLICY_SF_TOKEN;
		read = read_token(in);
	}
	*value = text_from(from, in);
	return read;
}

static bool read_params(struct in *in, void (*each)(void *ctx, const struct policy_sf_param *param), void *ctx)
{
	while (eat(in, ';')) {
		struct policy_sf_param param = {.type = POLICY_SF_BOOLEAN};
		skip(in, " ");
		if (!read_key(in, &param.key))
			return false;
		if (eat(in, '=') && !read_item(in, &param.type, &param.value))
			return false;
		if (each)
			each(ctx, &param);
	}
	return true;
}

static bool read_list(struct in *in)
{
	in->at++;
	for (;;) {
		uint8_t type;
		struct policy_text value;
		skip(in, " ");
		if (eat(in, ')'))
			return true;
		if (!read_item(in, &type, &value) || !read_params(in, NULL, NULL))
			return false;
		if (peek(in) != ' ' && peek(in) != ')')
			return false;
	}
}

static bool read_member(struct in *in, struct policy_sf_member *member)
{
	*member = (struct policy_sf_member){.type = POLICY_SF_BOOLEAN};
	if (!read_key(in, &member->key))
		return false;
	const char *from = in->at;
	if (eat(in, '=')) {
		from = in->at;
		if (peek(in) == '(') {
			member->type = POLICY_SF_LIST;
			if (!read_list(in))
				return false;
			member->value = text_from(from, in);
		} else if (!read_item(in, &member->type, &member->value)) {
			return false;
		}
		from = in->at;
	}
	if (!read_params(in, NULL, NULL))
		return false;
	member->params = text_from(from, in);
	return true;
}

bool policy_sf_dictionary(const char *text, size_t len, void (*each)(void *ctx, const struct policy_sf_member *member),
                          void *ctx)
{
	struct in in = {text, text + len};
	skip(&in, " ");
	while (more(&in)) {
		struct policy_sf_member member;
		if (!read_member(&in, &member))
			return false;
		each(ctx, &member);
		skip(&in, " \t");
		if (!more(&in))
			return true;
		if (!eat(&in, ','))
			return false;
		skip(&in, " \t");
		if (!more(&in))
			return false;
	}
	return true;
}

bool policy_sf_params(const char *text, size_t len, void (*each)(void *ctx, const struct policy_sf_param *param), void *ctx)
{
	struct in in = {text, text + len};
	return read_params(&in, each, ctx) && !more(&in);
}
