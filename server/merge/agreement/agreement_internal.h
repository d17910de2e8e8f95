/* agreement_internal.h - what the files that keep agreements share. Of server/merge only. */
#ifndef COMMONHOLD_MERGE_AGREEMENT_INTERNAL_H
#define COMMONHOLD_MERGE_AGREEMENT_INTERNAL_H

#include "commonhold/agreement.h"
#include "commonhold/db.h"
#include "commonhold/message.h"
#include "commonhold/peer.h"

#define ASSENT_TYPE "application/vnd.commonhold.assent+json" /* DSSE's payload type of an assent */
#define SIGN_WITHIN (90 * CLOCK_DAY)                          /* from the draft, or its coming in, until both must have signed */

/* Holds the co-op's agreements still until the transaction ends; before the first look at one that is to change. Inside. */
CH_CHECK enum err agreement_lock(struct call *c, struct uuid coop);
/* A new revision in its first state, with its event; `g` is filled but for what the database makes. Inside. */
CH_CHECK enum err agreement_insert(struct call *c, struct agreement *g, struct str charter_theirs, const char *by, const char *note);
/* The one mutator of a revision's state: takes an edge of the table (anything else is ERR_STATE), writes event and leaf, and tells those who build on a live agreement. `g` follows. Inside; takes
 * the log's lock, so last. */
CH_CHECK enum err agreement_move(struct call *c, struct agreement *g, enum agreement_state to, const char *by, struct str note);
/* Something worth an event that is no change of state. Inside. */
CH_CHECK enum err agreement_note(struct call *c, const struct agreement *g, const char *by, struct str note);
/* Writes the columns besides the state: ballot, assents, who suspended, ends_at. Inside. */
CH_CHECK enum err agreement_store(struct call *c, const struct agreement *g);
/* The newest revision, whatever its state; ERR_NOT_FOUND. Inside. */
CH_CHECK enum err agreement_newest(struct call *c, struct uuid coop, struct uuid id, struct agreement *out);
/* By its ballot; ERR_NOT_FOUND. Inside. */
CH_CHECK enum err agreement_of_ballot(struct call *c, struct uuid coop, struct uuid ballot, struct agreement *out);

/* What follows when both assents may be there: puts it into effect if they are and its time has come. Inside. */
CH_CHECK enum err agreement_try_effect(struct call *c, struct agreement *g);
/* Signs what passed, if it still fits; own transactions. */
CH_CHECK enum err agreement_sign(struct call *c, struct uuid coop, struct uuid ballot);
/* Holds a live one against the charter in force, and the partner's keys: suspends, or lifts what the charter suspended. Inside. */
CH_CHECK enum err agreement_hold_against_charter(struct call *c, struct agreement *g);
/* Lifts the suspension when nobody wants it any more. Inside. */
CH_CHECK enum err agreement_try_resume(struct call *c, struct agreement *g, const char *by, struct str note);
/* Everything that time does; own transactions. */
CH_CHECK enum err agreement_step(struct call *c, struct uuid coop);

/* Cancels its ballot if it is not over. Inside. */
CH_CHECK enum err agreement_cancel_ballot(struct call *c, const struct agreement *g, const char *reason);
/* What the agreement allows with what comes in, as coop's policy reads it (guest.h). Inside. */
CH_CHECK enum err agreement_write_source(struct call *c, const struct agreement *g);

/* Telling the partner: {"agreement":HEX, …more}; `more` begins with a comma or is empty. Inside. */
CH_CHECK enum err agreement_send(struct call *c, const struct agreement *g, const char *type, struct str more);
/* Telling members, or admins alone; once per key of kind and digest. Inside. */
CH_CHECK enum err agreement_tell(struct call *c, const struct agreement *g, bool admins, const char *kind, struct str title, struct str text);

#endif
