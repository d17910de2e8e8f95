#include "commonhold/json.h"
#include "server/base/json_order.h"
#include "server/base/json_number.h"
#include "server/base/utf8.h"

#include <stdlib.h>

const struct json *json_get_str(const struct json *o, struct str key)
{
	if (!json_is(o, JSON_OBJECT))
		return NULL;
	json_each(member, o)
		if (str_eq(member->key, key))
			return member;
	return NULL;
}

const struct json *json_get(const struct json *o, const char *key)
{
	return json_get_str(o, str_of(key));
}

static const struct json *json_element(const struct json *array, struct str index)
{
	int64_t at;
	if (index.n == 0 || index.p[0] == '+' || index.p[0] == '-' || (index.n > 1 && index.p[0] == '0') || !str_to_i64(index, 0, LIMIT_JSON_NODES, &at))
		return NULL;
	const struct json *v = array->child;
	while (v && at-- > 0)
		v = v->next;
	return v;
}

/* Whether a reference token of a JSON Pointer, with its ~0 and ~1, names this key. */
static bool token_is(struct str token, struct str key)
{
	size_t at = 0;
	for (size_t i = 0; i < token.n; i++) {
		char c = token.p[i];
		if (c == '~') {
			if (++i == token.n || (token.p[i] != '0' && token.p[i] != '1'))
				return false;
			c = token.p[i] == '0' ? '~' : '/';
		}
		if (at == key.n || key.p[at++] != c)
			return false;
	}
	return at == key.n;
}

static const struct json *json_member_of_token(const struct json *object, struct str token)
{
	json_each(member, object)
		if (token_is(token, member->key))
			return member;
	return NULL;
}

const struct json *json_at(const struct json *root, const char *pointer)
{
	struct str rest = str_of(pointer), token;
	if (rest.n == 0)
		return root;
	if (rest.p[0] != '/')
		return NULL;
	rest = str_make(rest.p + 1, rest.n - 1);
	while (root && str_split(&rest, '/', &token)) {
		if (root->type == JSON_OBJECT)
			root = json_member_of_token(root, token);
		else if (root->type == JSON_ARRAY)
			root = json_element(root, token);
		else
			root = NULL;
	}
	return root;
}

struct str json_text(const struct json *v)
{
	return json_is(v, JSON_STRING) ? v->text : STR_NONE;
}

int64_t json_int(const struct json *v, int64_t or_else)
{
	int64_t n;
	return json_is(v, JSON_NUMBER) && number_is_integer_text(v->text) && str_to_i64(v->text, INT64_MIN, INT64_MAX, &n) ? n : or_else;
}

bool json_bool(const struct json *v, bool or_else)
{
	return json_is(v, JSON_TRUE) || (or_else && !json_is(v, JSON_FALSE));
}

static size_t index_of(const struct json *v)
{
	size_t at = 0;
	for (const struct json *other = v->parent->child; other && other != v; other = other->next)
		at++;
	return at;
}

static struct str pointer_token(struct arena *a, const struct json *v)
{
	if (v->parent->type == JSON_ARRAY)
		return str_fmt(a, "%zu", index_of(v));
	char *p = arena_alloc(a, v->key.n * 2 + 1);
	size_t n = 0;
	for (size_t i = 0; p && i < v->key.n; i++) {
		char c = v->key.p[i];
		if (c == '~' || c == '/') {
			p[n++] = '~';
			c = c == '~' ? '0' : '1';
		}
		p[n++] = c;
	}
	return str_make(p, n);
}

const struct json *json_next(const struct json *v)
{
	return json_next_in(NULL, v);
}

const struct json *json_next_in(const struct json *root, const struct json *v)
{
	if (v->child)
		return v->child;
	while (v != root && !v->next)
		v = v->parent;
	return v == root ? NULL : v->next;
}

struct str json_pointer(struct arena *a, const struct json *v)
{
	struct str tokens[LIMIT_JSON_DEPTH + 1];
	size_t count = 0, n = 0;
	for (; v && v->parent && count < CH_LEN(tokens); v = v->parent) {
		tokens[count] = pointer_token(a, v);
		n += tokens[count++].n + 1;
	}
	char *p = arena_alloc(a, n + 1), *to = p;
	while (p && count > 0) {
		struct str token = tokens[--count];
		*to++ = '/';
		if (token.n)
			memcpy(to, token.p, token.n);
		to += token.n;
	}
	return str_make(p ? p : "", p ? n : 0);
}

/* Bytes order text by code points; UTF-16 puts the supplementary planes (lead bytes F0 to F4) before U+E000..U+FFFF (EE and EF). */
int json_key_cmp(struct str a, struct str b)
{
	size_t n = a.n < b.n ? a.n : b.n, i = 0;
	while (i < n && a.p[i] == b.p[i])
		i++;
	if (i == n)
		return a.n < b.n ? -1 : a.n > b.n;
	unsigned char left = (unsigned char)a.p[i], right = (unsigned char)b.p[i];
	if (left >= 0xee && right >= 0xee && (left >= 0xf0) != (right >= 0xf0))
		return left >= 0xf0 ? -1 : 1;
	return left < right ? -1 : 1;
}

bool json_members_in_order(const struct json *object)
{
	for (const struct json *m = object->child; m && m->next; m = m->next)
		if (json_key_cmp(m->key, m->next->key) >= 0)
			return false;
	return true;
}

static int members_cmp(const void *a, const void *b)
{
	const struct json *const *left = a, *const *right = b;
	return json_key_cmp((*left)->key, (*right)->key);
}

void json_members_sort(const struct json *object, const struct json **out)
{
	size_t n = 0;
	json_each(member, object)
		out[n++] = member;
	qsort(out, n, sizeof(*out), members_cmp);
}
