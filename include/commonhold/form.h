/* form.h - pages' forms: what was written in a field, fields as members of the document that they make, and boxes to tick as they stand.
 *
 * Nothing is checked here: what makes no sense goes into the document as it was written, and the operation that takes the document says what is wrong with it.
 */
#ifndef COMMONHOLD_FORM_H
#define COMMONHOLD_FORM_H

#include "http.h"
#include "json.h"

/* A field without white space at both ends; absent where nothing was written. */
struct str form_filled(const struct request *rq, const char *field);

/* All values of a field as an array, empty where there is none. */
void form_list(struct request *rq, struct json_writer *w, const char *key, const char *field);
/* What was written as text; no member where nothing was. */
void form_text(struct json_writer *w, const char *key, struct str written);
/* The same as a whole number; what is none stays text. */
void form_number(struct json_writer *w, const char *key, struct str written);

/* Boxes to tick, of one field. */
struct form_boxes {
	const char *key, *field;             /* member that they become in the page's data; field of the form */
	uint64_t mask;                       /* numbers that there is a box for */
	uint64_t usual;                      /* those chosen before the form was sent */
	unsigned count;                      /* numbers are below it */
	const char *(*name)(unsigned no);    /* what is sent for a number */
	const char *(*words)(unsigned no);   /* what people read */
	bool sent;                           /* the form came back: chosen is what it has */
};
/* [{"id","words","chosen"}] */
void form_boxes(struct request *rq, struct json_writer *w, const struct form_boxes *b);

#endif
