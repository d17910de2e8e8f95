#include "commonhold/markdown.h"

#include <cmark.h>
#include <stdlib.h>

struct str markdown_html(struct arena *a, struct str markdown)
{
	char *html = cmark_markdown_to_html(markdown.p ? markdown.p : "", markdown.n, CMARK_OPT_DEFAULT | CMARK_OPT_VALIDATE_UTF8);
	return html && arena_defer(a, free, html) ? str_of(html) : STR_NONE;
}
