#include "server/notify/message.h"

#define MESSAGE_MAX ((size_t)4 << 20)
#define WORD_BYTES 42  /* text of one encoded word: base64 makes 56 of it, beside 12 for the frame; RFC 2047 allows 75 */
#define BODY_LINE 76   /* RFC 2045: quoted-printable, with the soft break's = */

bool mail_address_ok(struct str address)
{
	ptrdiff_t at = str_index(address, '@');
	if (at <= 0 || at > 64 || address.n > 254 || !str_is_utf8(address))
		return false;
	struct str domain = str_sub(address, (size_t)at + 1, address.n);
	for (size_t i = 0; i < address.n; i++) {
		unsigned char b = (unsigned char)address.p[i];
		if (b <= ' ' || b == 0x7f || strchr("<>()[]\\,;:\"", b))
			return false;
	}
	return domain.n && str_index(domain, '@') < 0;
}

static void add_word(char *out, size_t size, struct str word)
{
	size_t used = strlen(out);
	bool address = str_index(word, '@') >= 0;
	if (used + (address ? 3 : word.n) + 2 > size)
		return;
	if (used)
		out[used++] = ' ';
	if (address) {
		memcpy(out + used, "...", 4);
		return;
	}
	for (size_t i = 0; i < word.n; i++)
		out[used++] = word.p[i] > ' ' && word.p[i] < 0x7f ? word.p[i] : '?';
	out[used] = '\0';
}

void mail_words_keep(struct str said, char *out, size_t size)
{
	struct str word;
	out[0] = '\0';
	said = str_trim(said);
	while (str_split(&said, ' ', &word))
		if (word.n)
			add_word(out, size, word);
}

struct str mail_words_only(struct arena *a, struct str said)
{
	char out[200];
	mail_words_keep(said, out, sizeof(out));
	return str_copy(a, str_of(out));
}

bool mail_sender_read(struct arena *a, struct str sender, struct str *name, struct str *address)
{
	sender = str_trim(sender);
	ptrdiff_t open = str_index(sender, '<');
	*name = STR_NONE;
	*address = sender;
	if (open >= 0) {
		if (!str_ends(sender, ">"))
			return false;
		*name = str_trim(str_sub(sender, 0, (size_t)open));
		*address = str_sub(sender, (size_t)open + 1, sender.n - (size_t)open - 2);
		if (name->n >= 2 && str_starts(*name, "\"") && str_ends(*name, "\""))
			*name = str_sub(*name, 1, name->n - 2);
	}
	*address = str_copy(a, *address);
	return mail_address_ok(*address);
}

/* One line of text, whatever was given: controls and line ends of any kind become spaces. */
static struct str one_line(struct arena *a, struct str s)
{
	char *p = arena_alloc(a, s.n + 1);
	for (size_t i = 0; i < s.n; i++)
		p[i] = (unsigned char)s.p[i] < ' ' || s.p[i] == 0x7f ? ' ' : s.p[i];
	return str_trim(str_make(p, s.n));
}

static bool is_plain(struct str s, size_t max)
{
	bool plain = s.n <= max;
	for (size_t i = 0; plain && i < s.n; i++)
		plain = s.p[i] >= ' ' && s.p[i] < 0x7f;
	return plain && !memmem(s.p ? s.p : "", s.n, "=?", 2);
}

/* How much of the text fits one encoded word without cutting a character; what is no UTF-8 is cut anywhere. */
static size_t word_length(struct str s)
{
	size_t most = s.n < WORD_BYTES ? s.n : WORD_BYTES, n = most;
	while (n < s.n && n > 0 && ((unsigned char)s.p[n] & 0xc0) == 0x80)
		n--;
	return n ? n : most;
}

static void add_encoded(struct buf *b, struct arena *a, struct str s)
{
	for (bool first = true; s.n || first; first = false) {
		size_t n = word_length(s);
		buf_addf(b, "%s=?utf-8?B?%.*s?=", first ? "" : "\r\n ", STR_ARG(str_base64(a, s.p ? s.p : "", n)));
		s = str_sub(s, n, s.n);
	}
}

/* Free text of a header: as it is when it is short ASCII, else as encoded words, which are folded (RFC 2047). */
static void add_text(struct buf *b, struct arena *a, struct str text)
{
	text = one_line(a, text);
	if (is_plain(text, 60))
		buf_add_str(b, text);
	else
		add_encoded(b, a, text);
}

/* A name before an address: atoms, a quoted string, or encoded words. */
static void add_name(struct buf *b, struct arena *a, struct str name)
{
	name = one_line(a, name);
	if (!name.n)
		return;
	if (!is_plain(name, 60)) {
		add_encoded(b, a, name);
		buf_add_z(b, "\r\n ");
		return;
	}
	buf_add_byte(b, '"');
	for (size_t i = 0; i < name.n; i++) {
		if (name.p[i] == '"' || name.p[i] == '\\')
			buf_add_byte(b, '\\');
		buf_add_byte(b, name.p[i]);
	}
	buf_add_z(b, "\" ");
}

/* What we made ourselves and put between angle brackets. */
static bool token_ok(struct str s, size_t max)
{
	bool ok = s.n > 0 && s.n <= max;
	for (size_t i = 0; ok && i < s.n; i++)
		ok = s.p[i] > ' ' && s.p[i] < 0x7f && s.p[i] != '<' && s.p[i] != '>';
	return ok;
}

static void add_date(struct buf *b, instant at)
{
	static const char days[7][4] = { "Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat" };
	static const char months[12][4] = { "Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec" };
	struct civil c = clock_civil(at);
	buf_addf(b, "Date: %s, %02d %s %04d %02d:%02d:%02d +0000\r\n", days[c.weekday], c.day, months[c.month - 1], c.year, c.hour, c.minute, c.second);
}

static void add_headers(struct buf *b, struct arena *a, const struct mail_message *m)
{
	buf_add_z(b, "From: ");
	add_name(b, a, m->from_name);
	buf_addf(b, "<%.*s>\r\nTo: <%.*s>\r\nSubject: ", STR_ARG(m->from), STR_ARG(m->to));
	add_text(b, a, m->subject);
	buf_add_z(b, "\r\n");
	add_date(b, m->at);
	buf_addf(b, "Message-ID: <%.*s>\r\nAuto-Submitted: auto-generated\r\n", STR_ARG(m->id));
	if (m->unsubscribe.p)
		buf_addf(b, "List-Unsubscribe: <%.*s>\r\nList-Unsubscribe-Post: List-Unsubscribe=One-Click\r\n", STR_ARG(m->unsubscribe));
	buf_addf(b, "MIME-Version: 1.0\r\nContent-Type: multipart/alternative;\r\n boundary=\"=_%.*s\"\r\n\r\n", STR_ARG(m->boundary));
}

/* The end of a line at `i`: how many bytes it takes, 0 where there is none. */
static size_t line_end(struct str s, size_t i)
{
	if (s.p[i] == '\n')
		return 1;
	if (s.p[i] != '\r')
		return 0;
	return i + 1 < s.n && s.p[i + 1] == '\n' ? 2 : 1;
}

/* Quoted-printable of text: line ends become CRLF, "=" and all but printable ASCII are written in hex, and so is a blank before a line's end. */
static void add_quoted(struct buf *b, struct str s)
{
	size_t column = 0;
	for (size_t i = 0; i < s.n; i++) {
		size_t end = line_end(s, i);
		if (end) {
			buf_add_z(b, "\r\n");
			column = 0;
			i += end - 1;
			continue;
		}
		unsigned char c = (unsigned char)s.p[i];
		bool last = i + 1 == s.n || line_end(s, i + 1);
		bool plain = (c > ' ' && c < 0x7f && c != '=') || ((c == ' ' || c == '\t') && !last);
		size_t width = plain ? 1 : 3;
		if (column + width > BODY_LINE - 1) {
			buf_add_z(b, "=\r\n");
			column = 0;
		}
		if (plain)
			buf_add_byte(b, (char)c);
		else
			buf_addf(b, "=%02X", c);
		column += width;
	}
	buf_add_z(b, "\r\n");
}

static void add_part(struct buf *b, struct str boundary, const char *type, struct str content)
{
	buf_addf(b, "--=_%.*s\r\nContent-Type: %s; charset=utf-8\r\nContent-Transfer-Encoding: quoted-printable\r\n\r\n", STR_ARG(boundary), type);
	add_quoted(b, content);
}

enum err mail_compose(struct arena *a, const struct mail_message *m, struct str *out, struct error *e)
{
	struct buf b;
	if (!mail_address_ok(m->from) || !mail_address_ok(m->to))
		return error_set(e, ERR_INVALID, "An address of a mail cannot stand in a header.");
	if (!token_ok(m->id, 250) || !token_ok(m->boundary, 60) || (m->unsubscribe.p && !token_ok(m->unsubscribe, 900)))
		return error_set(e, ERR_INVALID, "An id or a link of a mail cannot stand in a header.");
	buf_init(&b, MESSAGE_MAX);
	add_headers(&b, a, m);
	add_part(&b, m->boundary, "text/plain", m->text);
	add_part(&b, m->boundary, "text/html", m->html);
	buf_addf(&b, "--=_%.*s--\r\n", STR_ARG(m->boundary));
	*out = buf_take(a, &b);
	return out->p ? ERR_OK : error_set(e, ERR_TOO_LARGE, "A mail is longer than a mail may be.");
}
