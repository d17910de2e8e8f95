#include "commonhold/markdown.h"

#include <cmark.h>
#include <stdlib.h>

/* For every link, cmark 0.30 goes back over all image openers that wait for their end, which takes seconds for 200 KB of them. Further ones are written as they stand. */
#define IMAGES_MAX 500

/* The text with the bracket of every image after the first IMAGES_MAX made an ordinary character. */
static struct str images_bounded(struct arena *a, struct str markdown)
{
	size_t images = 0, n = 0;
	for (size_t i = 0; i + 1 < markdown.n; i++)
		images += markdown.p[i] == '!' && markdown.p[i + 1] == '[';
	if (images <= IMAGES_MAX)
		return markdown;
	char *to = arena_alloc(a, markdown.n + images);
	if (!to)
		return STR_NONE;
	images = 0;
	for (size_t i = 0; i < markdown.n; i++) {
		to[n++] = markdown.p[i];
		if (markdown.p[i] == '!' && i + 1 < markdown.n && markdown.p[i + 1] == '[' && ++images > IMAGES_MAX)
			to[n++] = '\\';
	}
	return str_make(to, n);
}

struct str markdown_html(struct arena *a, struct str markdown)
{
	markdown = images_bounded(a, markdown);
	char *html = cmark_markdown_to_html(markdown.p ? markdown.p : "", markdown.n, CMARK_OPT_DEFAULT | CMARK_OPT_VALIDATE_UTF8);
	return html && arena_defer(a, free, html) ? str_of(html) : STR_NONE;
}
