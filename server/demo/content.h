/* content.h - what one made-up contribution says; generate.c decides who says it, when and under which circumstances. */
#ifndef DEMO_CONTENT_H
#define DEMO_CONTENT_H

#include "commonhold/json.h"
#include "server/demo/phrases.h"
#include "server/demo/random.h"

/* What was made. */
struct demo_content {
	unsigned coop;         /* whose pool it fits */
	enum policy_kind kind; /* its kind */
	const char *lang;      /* BCP 47 */
	unsigned pii;          /* bits of what was planted */
};

/* Writes the content of the stream `r` as a JSON object. The same stream gives the same content. */
void demo_content_write(struct demo_random r, struct json_writer *w, struct demo_content *out);

#endif
