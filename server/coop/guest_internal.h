/* guest_internal.h - what the files of server/coop share about guests. Of server/coop only. */
#ifndef COMMONHOLD_GUEST_INTERNAL_H
#define COMMONHOLD_GUEST_INTERNAL_H

#include "commonhold/db.h"
#include "commonhold/guest.h"

/* Facts of the co-op for the policy engine, with its guests or without. As coop_policy_facts. */
CH_CHECK enum err coop_facts(struct call *c, struct uuid coop, bool guests, uint32_t (*item_position)(void *arg, struct uuid item), void *arg, struct policy_facts *out);

/* The number of a word as it comes from the database, or -1; and of "a,b" the bits. A word that is none sets `unknown`, a bit that no vocabulary has, so that the engine reports the fault instead of
 * reading less than was said. */
int facts_word(struct copy_field f, int (*find)(const char *name, size_t len));
uint32_t facts_bits(struct copy_field f, int (*find)(const char *name, size_t len), uint32_t unknown);

/* Guests on their way into the engine's facts. */
struct guest_group;
struct guest_facts {
	bool any;                     /* the co-op has or had guests: the rest is set */
	int64_t changes;              /* guest_head.changes */
	struct guest_source *sources; /* in order of agreement */
	size_t n_sources;             /* how many */
	uint32_t *numbers;            /* guests by number … */
	uint16_t *source_of;          /* … and the source of each */
	size_t n_guests;              /* how many */
	struct guest_group *groups;   /* what is said for them, as subgroups */
	size_t n_groups;              /* how many */
	size_t room;                  /* statements that this will come to at most */
};
/* Sets the guests' places among the members. Inside. */
CH_CHECK enum err guest_facts_members(struct call *c, struct uuid coop, struct policy_member *members, size_t n_members, struct guest_facts *out);
/* Appends what guests say, what is said for them and what their agreements deny; at most `room`. Inside. */
CH_CHECK enum err guest_facts_statements(struct call *c, struct uuid coop, const struct guest_facts *facts, uint32_t (*item_position)(void *arg, struct uuid item), void *arg,
	struct policy_statement *statements, size_t *n);

/* Something that decisions hold to has changed; inside. */
CH_CHECK enum err guest_head_move(struct call *c, struct uuid coop);
/* Whether what was heard from a source counts at an instant. */
bool guest_source_counts(const struct guest_source *source, instant now);
/* Uses that an agreement allows: with all that they contain, without what its floor denies and all that that contains. */
uint16_t guest_source_allowed(const struct guest_source *source);
/* Uses that it denies: those that are not allowed and contain nothing that is. */
uint16_t guest_source_denied(const struct guest_source *source);
/* What is said for people, as it is kept (guest_spoken.words): canonical JSON, and back. */
struct str spoken_write(struct arena *a, const struct guest_word *words, size_t n);
CH_CHECK bool spoken_read(struct arena *a, struct str json, struct guest_word **out, size_t *n);

#endif
