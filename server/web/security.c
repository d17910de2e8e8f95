/* The headers that bound what a browser may do with an answer. A handler's own Cache-Control stands; otherwise nothing is stored. */
#include "server/web/web.h"

static bool has_header(const struct response *rs, const char *name)
{
	struct str all = buf_str(&rs->headers), line;
	size_t n = strlen(name);
	while (str_split(&all, '\n', &line)) {
		if (line.n > n && line.p[n] == ':' && str_eq_nocase(str_sub(line, 0, n), name))
			return true;
	}
	return false;
}

static const char for_pages[] =
	"Content-Security-Policy: default-src 'none'; style-src 'self'; script-src 'self'; img-src 'self' data:; connect-src 'self'; form-action 'self'; "
	"base-uri 'none'; frame-ancestors 'none'\r\n"
	"Permissions-Policy: camera=(), geolocation=(), microphone=(), payment=(), usb=(), interest-cohort=()\r\n"
	"Cross-Origin-Opener-Policy: same-origin\r\n";

static const char for_data[] = "Content-Security-Policy: default-src 'none'; frame-ancestors 'none'\r\n";

/* same-origin, not no-referrer: with the latter a browser says "Origin: null" on our own forms and the origin check could not hold. */
static const char for_all[] =
	"X-Content-Type-Options: nosniff\r\n"
	"Referrer-Policy: same-origin\r\n"
	"Cross-Origin-Resource-Policy: same-origin\r\n";

void security_headers(const struct exchange *x, struct buf *out, bool html)
{
	if (html)
		buf_add(out, for_pages, sizeof(for_pages) - 1);
	else
		buf_add(out, for_data, sizeof(for_data) - 1);
	buf_add(out, for_all, sizeof(for_all) - 1);
	if (x->server->https)
		buf_add_z(out, "Strict-Transport-Security: max-age=31536000; includeSubDomains\r\n");
	if (x->rs.headers.n == 0 || !has_header(&x->rs, "Cache-Control"))
		buf_add_z(out, "Cache-Control: no-store\r\n");
}
