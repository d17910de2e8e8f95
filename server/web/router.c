/* The router: the tables of routes as a tree of segments, checked when it is made. Literal segments win over parameters, parameters over the rest of a path; the walk
 * keeps its alternatives on a small stack of its own, as deep as the deepest route and no deeper.
 */
#include "server/web/web.h"

enum { METHOD_COUNT = 5, SEGMENTS = 24, ALTERNATIVES = 64 };

static const char *const methods[METHOD_COUNT] = { "GET", "POST", "PUT", "PATCH", "DELETE" };

/* One place in the tree of paths. */
struct node {
	struct node *next;      /* sibling */
	struct node *literals;  /* children that are one fixed segment */
	struct node *params;    /* children that take one segment, perhaps with fixed text around; longest fixed text first */
	struct node *rest;      /* child that takes all that is left */
	struct str before;      /* the fixed segment, or the text before the parameter */
	struct str after;       /* the text after the parameter */
	int route[METHOD_COUNT];/* place of the route in the list, or -1 */
	struct str allow;       /* "GET, HEAD, POST, OPTIONS"; absent when no route ends here */
};

struct router {
	struct node *root;
	const struct route **routes; /* all tables, one after the other */
	size_t count;
};

size_t router_count(const struct router *r) { return r->count; }
const struct route *router_at(const struct router *r, size_t i) { return r->routes[i]; }

static int method_index(struct str method)
{
	return str_which(method, methods, METHOD_COUNT);
}

static struct node *node_new(struct arena *a)
{
	struct node *n = ARENA_NEW(a, struct node);
	for (int i = 0; i < METHOD_COUNT; i++)
		n->route[i] = -1;
	return n;
}

/* A segment of a route's path taken apart. */
struct pattern {
	enum { PATTERN_LITERAL, PATTERN_PARAM, PATTERN_REST } kind;
	struct str before, name, after;
};

static bool pattern_parse(struct str segment, struct pattern *out)
{
	ptrdiff_t open = str_index(segment, '{'), close = str_index(segment, '}');
	*out = (struct pattern){ .kind = PATTERN_LITERAL, .before = segment };
	if (open < 0 && close < 0)
		return segment.n > 0;
	if (open < 0 || close < open + 2)
		return false;
	out->before = str_sub(segment, 0, (size_t)open);
	out->name = str_sub(segment, (size_t)open + 1, (size_t)(close - open) - 1);
	out->after = str_sub(segment, (size_t)close + 1, segment.n);
	out->kind = PATTERN_PARAM;
	if (str_ends(out->name, "*")) {
		out->name.n--;
		out->kind = PATTERN_REST;
		return out->before.n == 0 && out->after.n == 0 && out->name.n > 0;
	}
	return str_index(out->after, '{') < 0;
}

size_t route_params(const struct route *route, struct str names[LIMIT_PATH_PARAMS])
{
	struct str rest = str_of(route->path + 1), segment;
	struct pattern p;
	size_t n = 0;
	while (str_split(&rest, '/', &segment)) {
		if (pattern_parse(segment, &p) && p.kind != PATTERN_LITERAL && n < LIMIT_PATH_PARAMS)
			names[n++] = p.name;
	}
	return n;
}

static struct node *node_literal(struct arena *a, struct node *at, struct str text)
{
	for (struct node *n = at->literals; n; n = n->next) {
		if (str_eq(n->before, text))
			return n;
	}
	struct node *n = node_new(a);
	n->before = text;
	n->next = at->literals;
	at->literals = n;
	return n;
}

static struct node *node_param(struct arena *a, struct node *at, const struct pattern *p)
{
	struct node **link = &at->params;
	for (; *link; link = &(*link)->next) {
		if (str_eq((*link)->before, p->before) && str_eq((*link)->after, p->after))
			return *link;
		if ((*link)->before.n + (*link)->after.n < p->before.n + p->after.n)
			break;
	}
	struct node *n = node_new(a);
	n->before = p->before;
	n->after = p->after;
	n->next = *link;
	*link = n;
	return n;
}

static struct node *node_step(struct arena *a, struct node *at, const struct pattern *p)
{
	if (p->kind == PATTERN_LITERAL)
		return node_literal(a, at, p->before);
	if (p->kind == PATTERN_PARAM)
		return node_param(a, at, p);
	if (!at->rest)
		at->rest = node_new(a);
	return at->rest;
}

static void node_allow(struct arena *a, struct node *n)
{
	n->allow = STR("OPTIONS");
	for (int i = METHOD_COUNT - 1; i >= 0; i--) {
		if (n->route[i] >= 0)
			n->allow = str_fmt(a, "%s%s, %.*s", methods[i], i == 0 ? ", HEAD" : "", STR_ARG(n->allow));
	}
}

static enum err route_place(struct arena *a, struct router *r, int number, struct error *e)
{
	const struct route *route = r->routes[number];
	struct str rest = str_of(route->path + 1), segment;
	struct node *at = r->root;
	struct pattern p;
	size_t params = 0, segments = 0;
	while (str_split(&rest, '/', &segment)) {
		if (segment.n == 0 && !rest.p && segments == 0)
			break; /* "/" itself */
		if (!pattern_parse(segment, &p) || (p.kind == PATTERN_REST && rest.p))
			return error_set(e, ERR_CONFIG, "Route %s: the path %s is not well-formed.", route->id, route->path);
		params += p.kind != PATTERN_LITERAL;
		segments++;
		at = node_step(a, at, &p);
	}
	if (params > LIMIT_PATH_PARAMS || segments > SEGMENTS)
		return error_set(e, ERR_CONFIG, "Route %s: the path %s is too long.", route->id, route->path);
	int method = method_index(str_of(route->method));
	if (method < 0)
		return error_set(e, ERR_CONFIG, "Route %s: the method %s is not known.", route->id, route->method);
	if (at->route[method] >= 0)
		return error_set(e, ERR_CONFIG, "Routes %s and %s answer to the same %s %s.", route->id, r->routes[at->route[method]]->id, route->method, route->path);
	at->route[method] = number;
	node_allow(a, at);
	return ERR_OK;
}

static bool route_has_coop(const struct route *route)
{
	return strstr(route->path, "{coop}") != NULL;
}

static enum err route_check_body(const struct http_server *s, const struct route *r, struct error *e)
{
	bool stream = r->request && str_starts(str_of(r->request), "stream:");
	bool form = r->request && str_is(str_of(r->request), "form");
	if (stream != ((r->flags & ROUTE_STREAM_BODY) != 0))
		return error_set(e, ERR_CONFIG, "Route %s: a body of stream:… goes with ROUTE_STREAM_BODY.", r->id);
	if (r->request && r->body_max == 0)
		return error_set(e, ERR_CONFIG, "Route %s takes a body but says no cap.", r->id);
	if (!stream && r->body_max > LIMIT_REQUEST_ARENA / 2)
		return error_set(e, ERR_CONFIG, "Route %s: a body of this size must be streamed.", r->id);
	if (r->request && !stream && !form && !schema_find(s->schemas, str_of(r->request)))
		return error_set(e, ERR_CONFIG, "Route %s: there is no schemas/%s.json.", r->id, r->request);
	if (r->response && !strchr(r->response, '/') && !schema_find(s->schemas, str_of(r->response)))
		return error_set(e, ERR_CONFIG, "Route %s: there is no schemas/%s.json.", r->id, r->response);
	return ERR_OK;
}

static enum err route_check(const struct http_server *s, const struct route *r, struct error *e)
{
	if (!r->id || !*r->id || !r->path || r->path[0] != '/' || !r->handler)
		return error_set(e, ERR_CONFIG, "A route lacks its id, path or handler (%s %s).", r->method, r->path ? r->path : "?");
	bool page = str_starts(str_of(r->id), "page_");
	if (!page && (!r->summary || !*r->summary))
		return error_set(e, ERR_CONFIG, "Route %s has no summary.", r->id);
	if ((unsigned)r->permission > PERM_GRANT)
		return error_set(e, ERR_CONFIG, "Route %s: the permission is not known.", r->id);
	bool of_coop = r->permission == PERM_MEMBER || r->permission == PERM_ACTIVE || r->permission == PERM_ADMIN || r->permission == PERM_GRANT;
	if (of_coop && !route_has_coop(r))
		return error_set(e, ERR_CONFIG, "Route %s asks for a role in a co-op, but its path has no {coop}.", r->id);
	if (r->status < 200 || r->status > 399)
		return error_set(e, ERR_CONFIG, "Route %s: %d is no status of success.", r->id, r->status);
	return route_check_body(s, r, e);
}

static enum err routes_unique_ids(const struct router *r, struct error *e)
{
	for (size_t i = 0; i < r->count; i++) {
		for (size_t k = 0; k < i; k++) {
			if (strcmp(r->routes[i]->id, r->routes[k]->id) == 0)
				return error_set(e, ERR_CONFIG, "Two routes have the id %s.", r->routes[i]->id);
		}
	}
	return ERR_OK;
}

enum err router_new(struct arena *a, const struct http_server *s, struct router **out, struct error *e)
{
	struct router *r = ARENA_NEW(a, struct router);
	r->root = node_new(a);
	for (const struct route *const *table = s->tables; *table; table++) {
		for (const struct route *row = *table; row->method; row++)
			r->count++;
	}
	r->routes = ARENA_ARRAY(a, r->count, const struct route *);
	size_t n = 0;
	for (const struct route *const *table = s->tables; *table; table++) {
		for (const struct route *row = *table; row->method; row++)
			r->routes[n++] = row;
	}
	for (size_t i = 0; i < r->count; i++) {
		TRY(route_check(s, r->routes[i], e));
		TRY(route_place(a, r, (int)i, e));
	}
	TRY(routes_unique_ids(r, e));
	*out = r;
	return ERR_OK;
}

/* A path cut at its slashes. */
struct cut {
	struct str path;
	size_t start[SEGMENTS + 1]; /* where each segment begins */
	size_t count;               /* segments, at most SEGMENTS */
	bool more;                  /* there were more */
};

static void path_cut(struct str path, struct cut *c)
{
	*c = (struct cut){ .path = path };
	if (path.n <= 1)
		return;
	c->start[c->count++] = 1;
	for (size_t i = 1; i < path.n; i++) {
		if (path.p[i] != '/')
			continue;
		if (c->count == SEGMENTS) {
			c->more = true;
			return;
		}
		c->start[c->count++] = i + 1;
	}
	c->start[c->count] = path.n + 1;
}

static struct str cut_segment(const struct cut *c, size_t i)
{
	return str_sub(c->path, c->start[i], c->start[i + 1] - c->start[i] - 1);
}

/* A way not yet tried: at this node, before this segment. */
struct way {
	const struct node *node;
	size_t segment, params;
	struct str raw[LIMIT_PATH_PARAMS];
};

/* The ways of a walk that are still open; a route table cannot be so bushy as to fill it, and what does not fit is not tried. */
struct ways {
	struct way at[ALTERNATIVES];
	size_t count;
};

static void way_push(struct ways *w, const struct way *from, const struct node *node, size_t segment, struct str param)
{
	if (w->count == ALTERNATIVES)
		return;
	struct way *to = &w->at[w->count++];
	*to = *from;
	to->node = node;
	to->segment = segment;
	if (param.p && to->params < LIMIT_PATH_PARAMS)
		to->raw[to->params++] = param;
}

static bool param_takes(const struct node *n, struct str segment, struct str *value)
{
	size_t fixed = n->before.n + n->after.n;
	if (segment.n <= fixed || memcmp(segment.p, n->before.p ? n->before.p : "", n->before.n) != 0)
		return false;
	if (n->after.n && memcmp(segment.p + segment.n - n->after.n, n->after.p, n->after.n) != 0)
		return false;
	*value = str_sub(segment, n->before.n, segment.n - fixed);
	return true;
}

/* Opens the ways that lead on from one, the best last so that it is tried first. */
static void way_open(struct ways *w, const struct cut *c, const struct way *from)
{
	if (from->segment >= c->count)
		return;
	size_t begin = c->start[from->segment];
	if (from->node->rest && begin < c->path.n)
		way_push(w, from, from->node->rest, SIZE_MAX, str_sub(c->path, begin, c->path.n));
	if (c->more && from->segment + 1 >= c->count)
		return;
	struct str segment = cut_segment(c, from->segment), value;
	size_t first = w->count;
	for (const struct node *n = from->node->params; n; n = n->next) {
		if (param_takes(n, segment, &value))
			way_push(w, from, n, from->segment + 1, value);
	}
	for (size_t i = first, k = w->count; i + 1 < k; i++) { /* longest fixed text is first in the list and must be tried first */
		k--;
		struct way swap = w->at[i];
		w->at[i] = w->at[k];
		w->at[k] = swap;
	}
	for (const struct node *n = from->node->literals; n; n = n->next) {
		if (str_eq(n->before, segment)) {
			way_push(w, from, n, from->segment + 1, STR_NONE);
			break;
		}
	}
}

/* Takes the way's end as the answer; true when the method is there too. */
static bool way_arrive(const struct router *r, const struct way *at, int method, struct route_match *out)
{
	if (!out->path_known || (method >= 0 && at->node->route[method] >= 0)) {
		out->path_known = true;
		out->allow = at->node->allow;
	}
	if (method < 0 || at->node->route[method] < 0)
		return false;
	out->number = (size_t)at->node->route[method];
	out->route = r->routes[out->number];
	out->params = at->params;
	memcpy(out->raw, at->raw, sizeof(out->raw));
	return true;
}

void router_match(const struct router *r, struct str method, struct str path, struct route_match *out)
{
	*out = (struct route_match){ .route = NULL };
	int wanted = method_index(str_is(method, "HEAD") ? STR("GET") : method);
	struct cut cut;
	path_cut(path, &cut);
	struct ways ways;
	ways.count = 1;
	ways.at[0] = (struct way){ .node = r->root };
	while (ways.count) {
		struct way at = ways.at[--ways.count];
		bool end = at.segment == SIZE_MAX || (at.segment == cut.count && !cut.more);
		if (end && at.node->allow.p && way_arrive(r, &at, wanted, out))
			return;
		if (at.segment != SIZE_MAX)
			way_open(&ways, &cut, &at);
	}
}
