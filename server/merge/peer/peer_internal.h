/* peer_internal.h - what the files about peers share: one look at another co-op, from outside. */
#ifndef COMMONHOLD_MERGE_PEER_INTERNAL_H
#define COMMONHOLD_MERGE_PEER_INTERNAL_H

#include "commonhold/peer.h"

/* What another co-op shows of itself. Only `keys` is more than its word. */
struct peer_look {
	struct str url;         /* of its instance; empty: not known */
	struct str slug, title; /* empty: not said */
	struct keychain keys;   /* checked in itself, and of the name that was asked for */
	bool asked;             /* its instance said so just now, or it is on this one */
};
/* Asks the instance at `url` for a co-op, by slug or key name; of this instance, itself. ERR_CORRUPT when what it says cannot be: keys that do not hold together. Holds no transaction. */
CH_CHECK enum err peer_look_at(struct call *c, struct str url, struct str name, struct peer_look *out);
/* "https://host" out of what people copy from their browser; a fault at /url. Absent and empty give empty where that is allowed. */
CH_CHECK enum err peer_url_clean(struct call *c, struct str url, bool may_be_empty, struct str *out);

#endif
