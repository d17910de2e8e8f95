/* What a handler may ask about its request: headers, cookies, query, page limits, preconditions. */
#include "server/web/web.h"

struct str exchange_header(const struct exchange *x, const char *name)
{
	for (size_t i = 0; i < x->field_count; i++) {
		if (str_eq_nocase(x->fields[i].name, name))
			return x->fields[i].value;
	}
	return STR_NONE;
}

struct str request_header(const struct request *rq, const char *name)
{
	return exchange_header(exchange_of(rq), name);
}

struct str exchange_cookie(const struct exchange *x, struct str name)
{
	for (size_t i = 0; i < x->field_count; i++) {
		if (!str_eq_nocase(x->fields[i].name, "Cookie"))
			continue;
		struct str rest = x->fields[i].value, pair;
		while (str_split(&rest, ';', &pair)) {
			pair = str_trim(pair);
			ptrdiff_t at = str_index(pair, '=');
			if (at >= 0 && str_eq(str_sub(pair, 0, (size_t)at), name))
				return str_sub(pair, (size_t)at + 1, pair.n);
		}
	}
	return STR_NONE;
}

size_t request_query_all(const struct request *rq, const char *name, struct str *out, size_t cap)
{
	struct str rest = rq->query, pair;
	size_t n = 0;
	while (n < cap && str_split(&rest, '&', &pair)) {
		ptrdiff_t at = str_index(pair, '=');
		struct str key = at < 0 ? pair : str_sub(pair, 0, (size_t)at);
		if (!str_is(key, name))
			continue;
		if (!str_url_decode(rq->call->arena, at < 0 ? STR("") : str_sub(pair, (size_t)at + 1, pair.n), true, &out[n]))
			return n;
		n++;
	}
	return n;
}

struct str request_query(const struct request *rq, const char *name)
{
	struct str value;
	return request_query_all(rq, name, &value, 1) ? value : STR_NONE;
}

/* The entry for a parameter in a route's list ("state=open|closed"); STR_NONE when it is not listed. */
static struct str query_entry(const char *list, struct str name)
{
	struct str rest = str_of(list), entry;
	while (str_split(&rest, ' ', &entry)) {
		ptrdiff_t at = str_index(entry, '=');
		if (entry.n && str_eq(at < 0 ? entry : str_sub(entry, 0, (size_t)at), name))
			return entry;
	}
	return STR_NONE;
}

static bool query_value_listed(struct str entry, struct str value)
{
	ptrdiff_t at = str_index(entry, '=');
	if (at < 0)
		return true;
	struct str rest = str_sub(entry, (size_t)at + 1, entry.n), choice;
	while (str_split(&rest, '|', &choice)) {
		if (str_eq(choice, value))
			return true;
	}
	return false;
}

static enum err query_check_pair(struct exchange *x, struct str pair)
{
	struct call *c = &x->call;
	ptrdiff_t at = str_index(pair, '=');
	struct str name = at < 0 ? pair : str_sub(pair, 0, (size_t)at), value = STR("");
	bool sound = str_url_decode(c->arena, at < 0 ? STR("") : str_sub(pair, (size_t)at + 1, pair.n), true, &value) && str_is_utf8(value);
	struct str pointer = str_fmt(c->arena, "query/%.*s", STR_ARG(str_sub(name, 0, 64)));
	if (!sound) {
		error_fault(&c->error, c->arena, pointer, "The value is not percent-encoded UTF-8.");
		return ERR_BAD_REQUEST;
	}
	if (!x->rq.route->query && exchange_is_page(x))
		return ERR_OK;
	struct str entry = x->rq.route->query ? query_entry(x->rq.route->query, name) : STR_NONE;
	if (!entry.p) {
		error_fault(&c->error, c->arena, pointer, "There is no such parameter here.");
		return ERR_BAD_REQUEST;
	}
	if (!query_value_listed(entry, value)) {
		error_fault(&c->error, c->arena, pointer, "This must be one of %.*s.", STR_ARG(str_sub(entry, (size_t)str_index(entry, '=') + 1, entry.n)));
		return ERR_BAD_REQUEST;
	}
	return ERR_OK;
}

enum err request_check_query(struct exchange *x)
{
	struct str rest = x->rq.query, pair;
	bool wrong = false;
	while (str_split(&rest, '&', &pair)) {
		if (pair.n)
			wrong |= query_check_pair(x, pair) != ERR_OK;
	}
	return wrong ? error_set(&x->call.error, ERR_BAD_REQUEST, "The query is not right.") : ERR_OK;
}

enum err request_param_uuid(struct request *rq, size_t i, struct uuid *out)
{
	return uuid_parse(rq->param[i], out) ? ERR_OK : fail(rq->call, ERR_NOT_FOUND, "%s", err_text(ERR_NOT_FOUND));
}

enum err request_page(struct request *rq, struct str *cursor, int *limit)
{
	struct call *c = rq->call;
	*cursor = request_query(rq, "cursor");
	struct str text = request_query(rq, "limit");
	int64_t n = LIMIT_PAGE_DEFAULT;
	bool wrong = false;
	if (text.p && !str_to_i64(text, 1, LIMIT_PAGE, &n)) {
		error_fault(&c->error, c->arena, STR("query/limit"), "This must be a number from 1 to %d.", LIMIT_PAGE);
		wrong = true;
	}
	if (cursor->p && (cursor->n == 0 || cursor->n > 512)) {
		error_fault(&c->error, c->arena, STR("query/cursor"), "This is no cursor of ours.");
		wrong = true;
	}
	*limit = (int)n;
	return wrong ? error_set(&c->error, ERR_BAD_REQUEST, "The query is not right.") : ERR_OK;
}

enum err request_read(struct request *rq, void *to, size_t n, size_t *got)
{
	struct exchange *x = exchange_of(rq);
	*got = engine_read(x, to, n);
	if (*got == 0 && x->body_read < x->content_length)
		return fail(rq->call, ERR_TIMEOUT, "The body came too slowly or ended early.");
	return ERR_OK;
}

struct str request_base_url(const struct request *rq)
{
	return exchange_of(rq)->server->base_url;
}

enum err request_if_match(struct request *rq, struct str tag)
{
	struct str list = request_header(rq, "If-Match");
	if (list.p && !etag_listed(list, tag, false))
		return fail(rq->call, ERR_STALE, "%s", err_text(ERR_STALE));
	return ERR_OK;
}
