/* guest_kit.h - guests for tests: words of people elsewhere, an agreement that they come under, and what the engine makes of them. */
#ifndef COMMONHOLD_TESTS_GUEST_KIT_H
#define COMMONHOLD_TESTS_GUEST_KIT_H

#include "world.h"

#include "commonhold/guest.h"

#define KIT_HOME "aaaaaaaaaaaaaaa2" /* key name of an imagined home */

/* An agreement in effect that allows training generative models, for research, to whoever is let in; fresh for a year. Written for `coop`. */
struct guest_source kit_source(struct call *c, struct uuid coop, const char *home);
/* Writes it again after a change. */
void kit_source_put(struct call *c, struct uuid coop, const struct guest_source *source);
/* Somebody active who consented to research and says `effect` of training generative models by their own default (NULL: nothing). Contributor `no`. */
struct guest_words kit_words(struct call *c, const char *home, unsigned no, const char *effect);
/* Puts them, in a transaction. */
struct guest kit_put(struct call *c, struct uuid coop, const struct guest_source *source, const struct guest_words *words);
/* A statement line of these words, as a home writes it (with any signature), read back. */
struct guest_words kit_through_line(struct call *c, const struct guest_words *words);

#endif
