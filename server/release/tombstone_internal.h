/* tombstone_internal.h - what those who write tombstones and those who read them share. */
#ifndef COMMONHOLD_RELEASE_TOMBSTONE_INTERNAL_H
#define COMMONHOLD_RELEASE_TOMBSTONE_INTERNAL_H

#include "commonhold/tombstone.h"

#define TOMBSTONE_SIGNED_PREFIX "commonhold/tombstone/1\n"
/* What is signed of a line: all of it but the member "sig", which stands between the two parts with its comma. */
struct str tombstone_signed_text(struct arena *a, struct str before_sig, struct str after_sig);

#endif
