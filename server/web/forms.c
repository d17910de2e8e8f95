/* Forms: urlencoded bodies taken apart by our own parser (the engine's spins for ever on a NUL), and what handlers ask of any form. Every text is UTF-8 without NUL. */
#include "server/web/web.h"

enum err form_add(struct call *c, struct form *f, struct str name, struct str value)
{
	if (f->count++ >= LIMIT_FORM_FIELDS)
		return fail(c, ERR_TOO_LARGE, "A form may have at most %d fields.", LIMIT_FORM_FIELDS);
	if (!str_is_utf8(name) || !str_is_utf8(value)) {
		bool sayable = str_is_utf8(name) && name.n < 64;
		error_fault(&c->error, c->arena, sayable ? str_fmt(c->arena, "form/%.*s", STR_ARG(name)) : STR("form"), "This is not UTF-8 text.");
		return fail(c, ERR_BAD_UTF8, "%s", err_text(ERR_BAD_UTF8));
	}
	struct form_value *v = ARENA_NEW(c->arena, struct form_value);
	v->name = name;
	v->value = value;
	*f->last = v;
	f->last = &v->next;
	return ERR_OK;
}

static enum err urlencoded_parse(struct call *c, struct str body, struct form *f)
{
	struct str rest = body, pair, name, value;
	while (str_split(&rest, '&', &pair)) {
		if (!pair.n)
			continue;
		ptrdiff_t at = str_index(pair, '=');
		struct str raw = at < 0 ? STR("") : str_sub(pair, (size_t)at + 1, pair.n);
		bool named = str_url_decode(c->arena, at < 0 ? pair : str_sub(pair, 0, (size_t)at), true, &name);
		if (!named || !str_url_decode(c->arena, raw, true, &value)) {
			error_fault(&c->error, c->arena, named ? str_fmt(c->arena, "form/%.*s", STR_ARG(str_sub(name, 0, 64))) : STR("form"), "This is not percent-encoded UTF-8.");
			return error_set(&c->error, ERR_BAD_REQUEST, "A field of the form is not percent-encoded UTF-8.");
		}
		TRY(form_add(c, f, name, value));
	}
	return ERR_OK;
}

/* Steps over one quoted string of a header, from its opening quote; gives its text without backslashes. */
static struct str quoted_take(struct arena *a, struct str *rest)
{
	char *to = arena_alloc(a, rest->n);
	size_t n = 0, i = 1;
	for (; i < rest->n && rest->p[i] != '"'; i++) {
		if (rest->p[i] == '\\' && i + 1 < rest->n)
			i++;
		to[n++] = rest->p[i];
	}
	*rest = str_sub(*rest, i + 1, rest->n);
	return str_make(to, n);
}

struct str header_parameter(struct arena *a, struct str value, const char *name)
{
	ptrdiff_t first = str_index(value, ';');
	struct str rest = first < 0 ? STR("") : str_sub(value, (size_t)first + 1, value.n);
	while (rest.n) {
		rest = str_trim(rest);
		ptrdiff_t equals = str_index(rest, '='), semicolon = str_index(rest, ';');
		if (equals < 0)
			return STR_NONE;
		if (semicolon >= 0 && semicolon < equals) {
			rest = str_sub(rest, (size_t)semicolon + 1, rest.n);
			continue;
		}
		struct str key = str_trim(str_sub(rest, 0, (size_t)equals)), text;
		rest = str_sub(rest, (size_t)equals + 1, rest.n);
		if (rest.n && rest.p[0] == '"') {
			text = quoted_take(a, &rest);
			semicolon = str_index(rest, ';');
		} else {
			semicolon = str_index(rest, ';');
			text = str_trim(semicolon < 0 ? rest : str_sub(rest, 0, (size_t)semicolon));
		}
		if (str_eq_nocase(key, name))
			return text;
		rest = semicolon < 0 ? STR("") : str_sub(rest, (size_t)semicolon + 1, rest.n);
	}
	return STR_NONE;
}

enum err form_parse(struct call *c, struct str content_type, struct str body, struct form **out)
{
	struct form *f = ARENA_NEW(c->arena, struct form);
	f->last = &f->values;
	f->last_upload = &f->uploads;
	*out = f;
	if (body.n == 0)
		return ERR_OK;
	ptrdiff_t semicolon = str_index(content_type, ';');
	struct str type = str_trim(semicolon < 0 ? content_type : str_sub(content_type, 0, (size_t)semicolon));
	if (str_eq_nocase(type, "multipart/form-data"))
		return multipart_parse(c, header_parameter(c->arena, content_type, "boundary"), body, f);
	return urlencoded_parse(c, body, f);
}

struct str request_form(const struct request *rq, const char *name)
{
	const struct form *f = exchange_of(rq)->form;
	for (const struct form_value *v = f ? f->values : NULL; v; v = v->next) {
		if (str_is(v->name, name))
			return v->value;
	}
	return STR_NONE;
}

size_t request_form_all(const struct request *rq, const char *name, struct str **out)
{
	const struct form *f = exchange_of(rq)->form;
	size_t n = 0;
	for (const struct form_value *v = f ? f->values : NULL; v; v = v->next)
		n += str_is(v->name, name);
	*out = ARENA_ARRAY(rq->call->arena, n, struct str);
	n = 0;
	for (const struct form_value *v = f ? f->values : NULL; v; v = v->next) {
		if (str_is(v->name, name))
			(*out)[n++] = v->value;
	}
	return n;
}

bool request_file(const struct request *rq, const char *name, struct form_file *out)
{
	const struct form *f = exchange_of(rq)->form;
	for (const struct form_upload *u = f ? f->uploads : NULL; u; u = u->next) {
		if (str_is(u->name, name)) {
			*out = u->file;
			return true;
		}
	}
	return false;
}
