/* phrases.h - what the made-up people of the demo say, by language. {t} is one of the things, {n} a small number, {x} planted personal data. */
#ifndef DEMO_PHRASES_H
#define DEMO_PHRASES_H

#include "commonhold/demo_data.h"

struct demo_phrases {
	const char *lang;         /* BCP 47 */
	const char *things[10];   /* what it is about, as a title */
	const char *questions[6]; /* the first message */
	const char *openers[5];   /* how an answer begins */
	const char *bodies[14];   /* its sentences, in any order */
	const char *closers[5];   /* how it ends */
	const char *followups[6]; /* the next message */
	const char *comments[5];  /* what a contributor says about an answer */
	const char *worse[4];     /* answers that nobody prefers */
	const char *reach;        /* a sentence that gives something away */
	const char *phrase[20];   /* the same twenty phrases in every language: for translations */
};

extern const struct demo_phrases demo_phrases[DEMO_LANGUAGES];

/* A person's name as written and as in an address. */
struct demo_name { const char *written, *plain; };
extern const struct demo_name demo_first_names[64], demo_last_names[64];

#endif
