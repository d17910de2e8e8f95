/* markdown.h - what people wrote in Markdown, as HTML for pages. Never raw HTML of theirs and never a dangerous link: cmark leaves both out. */
#ifndef COMMONHOLD_MARKDOWN_H
#define COMMONHOLD_MARKDOWN_H

#include "arena.h"
#include "str.h"

/* Absent when there is no memory for it; the text of an absent Markdown is empty. */
struct str markdown_html(struct arena *a, struct str markdown);

#endif
