/* s3_xml.h - the little XML that S3 answers with: elements by name, text without markup. Never a parser for anything else: no namespaces, no entities but the five and numbers. */
#ifndef COMMONHOLD_S3_XML_H
#define COMMONHOLD_S3_XML_H

#include "commonhold/arena.h"
#include "commonhold/str.h"

/* Whether the document's root is called so. */
bool s3_xml_is(struct str document, const char *root);
/* The inside of the next element of that name, from *rest on, which then begins behind it; false when there is none that is closed. An element is not looked for inside itself. */
bool s3_xml_next(struct str *rest, const char *name, struct str *inside);
/* The text of the first element of that name; absent when there is none, or its text is not well-formed. */
struct str s3_xml_text(struct arena *a, struct str document, const char *name);
/* Writes text as content of an element. */
void s3_xml_add(struct buf *out, struct str text);

#endif
