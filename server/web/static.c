/* The style sheet, the script and the images of the pages, built into the program. A link made by pages.c carries the content's digest as ?v=, and such an answer may be kept
 * for a year; any other is asked for again.
 */
#include "server/web/web.h"

#include "commonhold/assets.h"

static const char *static_type(struct str path)
{
	static const struct { const char *end, *type; } types[] = {
		{ ".css", "text/css; charset=utf-8" }, { ".js", "text/javascript; charset=utf-8" }, { ".svg", "image/svg+xml" }, { ".png", "image/png" },
		{ ".ico", "image/x-icon" }, { ".woff2", "font/woff2" }, { ".txt", "text/plain; charset=utf-8" },
	};
	for (size_t i = 0; i < CH_LEN(types); i++) {
		if (str_ends(path, types[i].end))
			return types[i].type;
	}
	return "application/octet-stream";
}

struct str static_tag(struct arena *a, struct str content)
{
	struct sha256 digest = sha256(content);
	return str_hex(a, digest.b, 8);
}

struct str static_link(struct arena *a, const char *name)
{
	struct str content = asset_find(str_fmt(a, "templates/static/%s", name));
	return str_fmt(a, "/static/%s?v=%.*s", name, STR_ARG(static_tag(a, content)));
}

enum err static_file(struct request *rq, struct response *rs)
{
	struct arena *a = rq->call->arena;
	struct str content = asset_find(str_fmt(a, "templates/static/%.*s", STR_ARG(rq->param[0])));
	if (!content.p)
		return fail(rq->call, ERR_NOT_FOUND, "There is nothing at this address.");
	struct str tag = static_tag(a, content);
	struct str version = request_query(rq, "v");
	bool pinned = version.p && str_eq(version, tag);
	response_header(rs, "Cache-Control", pinned ? STR("public, max-age=31536000, immutable") : STR("no-cache"));
	rs->content_type = static_type(rq->param[0]);
	if (!response_not_modified(rq, rs, tag))
		buf_add_str(&rs->body, content);
	return ERR_OK;
}
