/* turn.h - one thread waits until another says that it is its turn: the cheapest way to hand something over. One word, no lock, one wake-up.
 *
 * A turn is waited for by one thread and given by one, once. It may lie on the stack of who waits: who gives it touches it no more once the other can go on.
 */
#ifndef COMMONHOLD_TURN_H
#define COMMONHOLD_TURN_H

#include "str.h"

#include <stdatomic.h>

struct turn { _Atomic uint32_t given; };

/* What the giver wrote before is seen by who waited. */
void turn_give(struct turn *t);
/* Waits at most `ms` (negative: for ever); false when the time is over. It may be waited for again then. */
bool turn_await(struct turn *t, int ms);

#endif
