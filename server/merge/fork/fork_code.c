#include "server/merge/fork/fork_internal.h"

/* Base32 as in RFC 4648: no digit that is read as a letter. */
static const char alphabet[] = "abcdefghijklmnopqrstuvwxyz234567";

static struct sha256 code_hash(const char *what, const char chars[CODE_CHARS])
{
	return sha256_of((struct str[]){ STR("commonhold/code/1\n"), str_of(what), STR("\n"), str_make(chars, CODE_CHARS) }, 4);
}

struct str code_new(struct arena *a, const char *what, struct sha256 *hash)
{
	uint8_t random[CODE_CHARS];
	char chars[CODE_CHARS], text[CODE_CHARS + CODE_CHARS / 4 - 1];
	random_bytes(random, sizeof(random));
	for (size_t i = 0, at = 0; i < CODE_CHARS; i++) {
		if (i && i % 4 == 0)
			text[at++] = '-';
		text[at++] = chars[i] = alphabet[random[i] & 31];
	}
	*hash = code_hash(what, chars);
	struct str out = str_copy(a, str_make(text, sizeof(text)));
	secret_wipe(chars, sizeof(chars));
	secret_wipe(text, sizeof(text));
	secret_wipe(random, sizeof(random));
	return out;
}

bool code_read(struct str typed, const char *what, struct sha256 *hash)
{
	char chars[CODE_CHARS];
	size_t n = 0;
	for (size_t i = 0; i < typed.n; i++) {
		char ch = typed.p[i];
		if (ch == '-' || ch == ' ')
			continue;
		if (ch >= 'A' && ch <= 'Z')
			ch = (char)(ch - 'A' + 'a');
		bool known = (ch >= 'a' && ch <= 'z') || (ch >= '2' && ch <= '7');
		if (!known || n == CODE_CHARS)
			return false;
		chars[n++] = ch;
	}
	*hash = code_hash(what, chars);
	secret_wipe(chars, sizeof(chars));
	return n == CODE_CHARS;
}
