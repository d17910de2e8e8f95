/* Pages: a template rendered with the handler's data inside the layout, which knows who is signed in, where in the site we are, and the one-time message of the page before. */
#include "server/web/web.h"

#include "commonhold/assets.h"
#include "commonhold/template.h"

#define TEMPLATES_MAX 512
#define FLASH_MAX 600

struct pages {
	struct template_set *set;
	struct str css, js, icon; /* links to the static files, with their digests */
};

struct sources {
	struct template_source at[TEMPLATES_MAX];
	size_t n;
};

static void source_add(void *arg, const struct asset *asset)
{
	struct sources *s = arg;
	struct str path = str_of(asset->path), folder = STR("templates/"), end = STR(".mustache");
	if (str_ends(path, end.p) && s->n < TEMPLATES_MAX)
		s->at[s->n++] = (struct template_source){ .name = str_sub(path, folder.n, path.n - folder.n - end.n), .text = asset->content };
}

enum err pages_load(struct arena *a, struct pages **out, struct error *e)
{
	struct sources *sources = ARENA_NEW(a, struct sources);
	struct pages *p = ARENA_NEW(a, struct pages);
	asset_each("templates/", source_add, sources);
	TRY(template_compile(a, sources->at, sources->n, true, &p->set, e));
	p->css = static_link(a, "commonhold.css");
	p->js = static_link(a, "commonhold.js");
	p->icon = static_link(a, "icon.svg");
	*out = p;
	return ERR_OK;
}

/* A tree put together by hand: parsing a text of it again would cost more than the page. */
static struct json *node_add(struct arena *a, struct json *parent, enum json_type type, const char *key)
{
	struct json *n = ARENA_NEW(a, struct json);
	const struct json **last = &parent->child;
	while (*last)
		last = (const struct json **)&(*last)->next;
	n->type = type;
	n->key = str_of(key);
	n->parent = parent;
	*last = n;
	parent->count++;
	return n;
}

static void node_text(struct arena *a, struct json *parent, const char *key, struct str text)
{
	if (text.p)
		node_add(a, parent, JSON_STRING, key)->text = text;
}

static void node_bool(struct arena *a, struct json *parent, const char *key, bool v)
{
	node_add(a, parent, v ? JSON_TRUE : JSON_FALSE, key);
}

static void node_adopt(struct arena *a, struct json *parent, const struct json *data)
{
	json_each(member, data) {
		struct json *n = node_add(a, parent, member->type, "");
		const struct json *next = n->next;
		*n = *member;
		n->next = next;
		n->parent = parent;
	}
}

/* The places of the site, in the order of the navigation. */
struct place {
	const char *path; /* from the root, or from the co-op's page */
	const char *text;
	enum { SEEN_BY_ALL, SEEN_SIGNED_IN, SEEN_BY_MEMBERS, SEEN_BY_ACTIVE, SEEN_BY_ADMINS } seen;
	const char *also[9]; /* paths that belong there, too; NULL ends them */
};

static const struct place site_places[] = {
	{ "/", "Co-ops", SEEN_BY_ALL },
	{ "/checkup", "Checkup", SEEN_SIGNED_IN },
	{ "/inbox", "Inbox", SEEN_SIGNED_IN },
	{ "/me", "My account", SEEN_SIGNED_IN },
};

static const struct place coop_places[] = {
	{ "", "Overview", SEEN_BY_ALL },
	{ "/charter", "Charter", SEEN_BY_ALL },
	{ "/releases", "Releases", SEEN_BY_ALL },
	{ "/access", "Access", SEEN_BY_ALL },
	{ "/benefits", "Benefits", SEEN_BY_ALL },
	{ "/ballots", "Ballots", SEEN_BY_ACTIVE },
	{ "/motions", "Proposals", SEEN_BY_ACTIVE },
	{ "/contributions", "My contributions", SEEN_BY_MEMBERS },
	{ "/choices", "My choices", SEEN_BY_MEMBERS, { "/links" } },
	{ "/delegations", "Delegations", SEEN_BY_MEMBERS },
	{ "/members", "Members", SEEN_BY_ACTIVE },
	{ "/moderation", "Moderation", SEEN_BY_ADMINS },
	{ "/deletions", "Deletions", SEEN_BY_ALL },
	{ "/peers", "Partners and merges", SEEN_BY_ACTIVE, { "/agreements", "/joint-releases", "/refusals", "/messages", "/conflicts", "/items", "/lineage", "/forks" } },
	{ "/log", "Log", SEEN_BY_ALL },
};

/* What would only answer "no" is not offered. */
static bool place_seen(const struct exchange *x, const struct place *place)
{
	switch (place->seen) {
	case SEEN_SIGNED_IN:
		return x->session.p;
	case SEEN_BY_MEMBERS:
		return x->rq.coop.is_member;
	case SEEN_BY_ACTIVE:
		return x->rq.coop.is_active;
	case SEEN_BY_ADMINS:
		return x->rq.coop.is_admin;
	default:
		return true;
	}
}

/* Whether a path is a place or, unless that is a root of others, below it. */
static bool under(struct str path, struct str place, bool root)
{
	return str_eq(path, place) || (!root && path.n > place.n && memcmp(path.p, place.p, place.n) == 0 && path.p[place.n] == '/');
}

static void nav_add(struct arena *a, struct json *list, const struct exchange *x, const struct place *place, struct str base)
{
	if (!place_seen(x, place))
		return;
	struct json *n = node_add(a, list, JSON_OBJECT, "");
	struct str href = str_fmt(a, "%.*s%s", STR_ARG(base), place->path);
	bool here = under(x->rq.path, href, href.n == 1 || !*place->path);
	for (size_t i = 0; i < CH_LEN(place->also) && place->also[i]; i++)
		here |= under(x->rq.path, str_fmt(a, "%.*s%s", STR_ARG(base), place->also[i]), false);
	node_text(a, n, "href", href);
	node_text(a, n, "text", str_of(place->text));
	node_bool(a, n, "current", here);
}

static void chrome_coop(struct arena *a, struct json *root, const struct exchange *x)
{
	const struct coop_ref *coop = &x->rq.coop;
	if (uuid_is_nil(coop->id))
		return;
	struct json *c = node_add(a, root, JSON_OBJECT, "at_coop");
	struct str base = str_fmt(a, "/coops/%.*s", STR_ARG(coop->slug));
	node_text(a, c, "href", base);
	node_text(a, c, "slug", coop->slug);
	node_text(a, c, "name", coop->title.n ? coop->title : coop->slug);
	node_bool(a, c, "is_member", coop->is_member);
	node_bool(a, c, "is_active", coop->is_active);
	node_bool(a, c, "is_admin", coop->is_admin);
	struct json *nav = node_add(a, c, JSON_ARRAY, "nav");
	for (size_t i = 0; i < CH_LEN(coop_places); i++)
		nav_add(a, nav, x, &coop_places[i], base);
}

static void chrome_account(struct arena *a, struct json *root, const struct exchange *x)
{
	if (!x->session.p)
		return;
	struct json *account = node_add(a, root, JSON_OBJECT, "account");
	struct str name = x->call.actor.name.n ? x->call.actor.name : x->call.actor.email;
	node_text(a, account, "name", name.p ? name : STR(""));
}

static struct sha256 flash_mac(const struct http_server *s, struct str text)
{
	struct sha256 inner = sha256(text);
	uint8_t message[38] = "flash:";
	memcpy(message + 6, inner.b, sizeof(inner.b));
	return hmac_sha256(str_make(s->secret, sizeof(s->secret)), str_make(message, sizeof(message)));
}

void response_flash(struct request *rq, struct response *rs, struct str message)
{
	struct exchange *x = exchange_of(rq);
	struct arena *a = rq->call->arena;
	message = str_sub(message, 0, FLASH_MAX);
	struct sha256 mac = flash_mac(x->server, message);
	struct str line = str_fmt(a, "%.*s=%.*s.%.*s; Path=/; HttpOnly; SameSite=Lax; Max-Age=60%s", STR_ARG(x->server->flash_cookie),
		STR_ARG(str_base64url(a, message.p, message.n)), STR_ARG(str_base64url(a, mac.b, 16)), x->server->https ? "; Secure" : "");
	response_header(rs, "Set-Cookie", line);
}

struct str coop_place(struct request *rq, const char *place)
{
	return str_fmt(rq->call->arena, "/coops/%.*s/%s", STR_ARG(rq->coop.slug), place);
}

enum err response_done(struct request *rq, struct response *rs, struct str message, struct str to)
{
	response_flash(rq, rs, message);
	response_redirect(rs, to);
	return ERR_OK;
}

/* The message of the page before, if we wrote it. */
static struct str flash_take(struct request *rq, struct response *rs)
{
	struct exchange *x = exchange_of(rq);
	struct arena *a = rq->call->arena;
	struct str cookie = exchange_cookie(x, x->server->flash_cookie), text, mac;
	ptrdiff_t dot = str_index(cookie, '.');
	if (!cookie.n || dot < 0 || x->flash_shown)
		return STR_NONE;
	x->flash_shown = true;
	response_header(rs, "Set-Cookie", str_fmt(a, "%.*s=; Path=/; HttpOnly; SameSite=Lax; Max-Age=0%s", STR_ARG(x->server->flash_cookie),
		x->server->https ? "; Secure" : ""));
	if (!str_unbase64url(a, str_sub(cookie, 0, (size_t)dot), &text) || !str_unbase64url(a, str_sub(cookie, (size_t)dot + 1, cookie.n), &mac))
		return STR_NONE;
	struct sha256 right = flash_mac(x->server, text);
	return secret_eq(mac, str_make(right.b, 16)) && str_is_utf8(text) ? text : STR_NONE;
}

static void chrome_add(struct request *rq, struct response *rs, struct json *root, struct str title)
{
	struct exchange *x = exchange_of(rq);
	struct arena *a = rq->call->arena;
	const struct pages *p = x->server->pages;
	node_text(a, root, "lang", rq->call->locale);
	node_text(a, root, "css", p->css);
	node_text(a, root, "js", p->js);
	node_text(a, root, "icon", p->icon);
	node_text(a, root, "csrf", request_csrf(rq));
	node_text(a, root, "path", rq->path);
	node_text(a, root, "path_encoded", str_url_encode(a, rq->path));
	node_text(a, root, "base_url", x->server->base_url);
	node_bool(a, root, "signed_in", x->session.p != NULL);
	node_text(a, root, "flash", flash_take(rq, rs));
	struct json *nav = node_add(a, root, JSON_ARRAY, "nav");
	for (size_t i = 0; i < CH_LEN(site_places); i++)
		nav_add(a, nav, x, &site_places[i], STR(""));
	chrome_account(a, root, x);
	chrome_coop(a, root, x);
	node_text(a, root, "title", title.n ? title : STR("Commonhold"));
}

static void content_release(void *content)
{
	buf_release(content);
}

enum err response_page(struct request *rq, struct response *rs, const char *name, const struct json *data)
{
	struct exchange *x = exchange_of(rq);
	struct call *c = rq->call;
	struct json *root = ARENA_NEW(c->arena, struct json), *layout = ARENA_NEW(c->arena, struct json);
	root->type = layout->type = JSON_OBJECT;
	/* What a page calls its things ("lang", "name", "content") is not what the layout means by them. */
	chrome_add(rq, rs, layout, json_member_text(data, "title"));
	node_text(c->arena, layout, "refresh", json_member_text(data, "refresh"));
	node_adopt(c->arena, root, data);
	node_adopt(c->arena, root, layout);
	struct buf *content = ARENA_NEW(c->arena, struct buf);
	buf_init(content, LIMIT_RESPONSE);
	arena_defer(c->arena, content_release, content);
	TRY(template_render(x->server->pages->set, c->arena, name, root, content, &c->error));
	if (content->failed)
		return fail(c, ERR_INTERNAL, "The page is larger than a page may be.");
	node_text(c->arena, layout, "content", buf_str(content));
	rs->content_type = "text/html; charset=utf-8";
	buf_clear(&rs->body);
	return template_render(x->server->pages->set, c->arena, "layout", layout, &rs->body, &c->error);
}

bool page_error(struct exchange *x, int status)
{
	struct arena *a = x->call.arena;
	const struct error *e = &x->call.error;
	if (!x->server->pages || !template_exists(x->server->pages->set, "page/error"))
		return false;
	struct error said = *e;
	struct json *data = ARENA_NEW(a, struct json);
	data->type = JSON_OBJECT;
	node_text(a, data, "title", str_copy(a, str_of(status_text(status))));
	node_text(a, data, "status", str_fmt(a, "%d", status));
	node_text(a, data, "message", str_copy(a, str_of(status < 500 && e->message[0] ? e->message : err_text(e->code))));
	if (e->hint[0])
		node_text(a, data, "hint", str_copy(a, str_of(e->hint)));
	node_text(a, data, "request_id", str_of(x->request_id));
	struct json *faults = node_add(a, data, JSON_ARRAY, "faults");
	for (const struct fault *f = e->faults; f; f = f->next) {
		struct json *n = node_add(a, faults, JSON_OBJECT, "");
		node_text(a, n, "pointer", f->pointer);
		node_text(a, n, "message", f->message);
	}
	node_bool(a, data, "has_faults", e->faults != NULL);
	enum err failed = response_page(&x->rq, &x->rs, "page/error", data);
	x->call.error = said;
	x->rs.status = status;
	return failed == ERR_OK && !x->rs.body.failed;
}
