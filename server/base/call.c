#include "commonhold/call.h"

enum err page_cursor_read(struct call *c, struct str text, struct page_cursor *out)
{
	struct str bytes;
	*out = (struct page_cursor){ .at = INSTANT_NONE };
	if (!text.p)
		return ERR_OK;
	if (!str_unbase64url(c->arena, text, &bytes) || bytes.n != sizeof(out->at) + sizeof(out->id)) {
		error_fault(&c->error, c->arena, STR("query/cursor"), "is not a cursor that this list gave out");
		return ERR_INVALID;
	}
	memcpy(&out->at, bytes.p, sizeof(out->at));
	memcpy(&out->id, bytes.p + sizeof(out->at), sizeof(out->id));
	return ERR_OK;
}

struct str page_cursor_write(struct arena *a, instant at, struct uuid id)
{
	char bytes[sizeof(at) + sizeof(id)];
	memcpy(bytes, &at, sizeof(at));
	memcpy(bytes + sizeof(at), &id, sizeof(id));
	return str_base64url(a, bytes, sizeof(bytes));
}

enum err call_check_text(struct call *c, const char *pointer, struct str text, size_t least, size_t most)
{
	if (!str_is_utf8(text))
		return fail_field(c, pointer, "This is not text.");
	size_t n = 0;
	for (size_t i = 0; i < text.n; i++)
		n += ((unsigned char)text.p[i] & 0xC0) != 0x80;
	if (n < least || n > most)
		return fail_field(c, pointer, "This has %zu to %zu characters.", least, most);
	return ERR_OK;
}
