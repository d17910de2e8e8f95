/* message_internal.h - what the files that carry messages share. Of server/merge only. */
#ifndef COMMONHOLD_MERGE_MESSAGE_INTERNAL_H
#define COMMONHOLD_MERGE_MESSAGE_INTERNAL_H

#include "commonhold/coop.h"
#include "commonhold/db.h"
#include "commonhold/message.h"
#include "commonhold/peer.h"

/* Signs a waiting message if it has not been, or not with the key in force; gives its envelope. Inside. */
struct waiting { struct uuid id; struct str type, body, envelope; instant made_at; int attempts; };
CH_CHECK enum err message_seal(struct call *c, struct uuid coop, const struct peer *peer, struct waiting *m);
/* Reads what an envelope says, before anybody is believed: its form alone. */
CH_CHECK enum err message_read(struct call *c, struct str envelope, struct message *m);
/* Whether an error means that what was sent is not taken, rather than that nobody could take it just now. */
bool merge_is_refusal(enum err e);
CH_CHECK enum err message_queue_delivery(struct call *c, struct uuid coop, struct uuid peer, instant due);

#endif
