/* waiting.h - what waits for a person in a co-op, counted: shown on the front page, on the co-op's own, and with its partners.
 *
 * The pages that show it lie below the domains that know it: those say how to count, once, at start. It must never count what the person may not see or cannot do anything about.
 */
#ifndef COMMONHOLD_WAITING_H
#define COMMONHOLD_WAITING_H

#include "call.h"
#include "json.h"

#define WAITING_MAX 12 /* kinds of things that can wait */

struct waiting {
	const char *one, *many; /* behind the number: "ballot is open, and you have not voted", "ballots are open, …" */
	const char *place;      /* where to go, from the co-op's page: "/ballots" */
	int64_t count;          /* at least one */
};
/* Writes what waits for a member, of whom it is known whether they are an admin; opens a transaction of its own. */
typedef enum err (*waiting_fn)(struct call *c, struct uuid coop, struct uuid member, bool admin, struct waiting *out, size_t *n);

/* Who counts; set once at start, before any thread runs. Until then nothing waits for anybody. */
void waiting_use(waiting_fn fn);
/* The members "any_waiting", "waiting_total" (absent: nothing waits) and "waiting": [{"text","href"}]. */
CH_CHECK enum err waiting_write(struct call *c, struct json_writer *w, struct uuid coop, struct str slug, struct uuid member, bool admin);

#endif
