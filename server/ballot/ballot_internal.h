/* ballot_internal.h - what the files of ballot/ share. */
#ifndef COMMONHOLD_BALLOT_INTERNAL_H
#define COMMONHOLD_BALLOT_INTERNAL_H

#include "commonhold/ballot.h"

/* ballot_read inside an open transaction. */
CH_CHECK enum err ballot_find(struct call *c, struct uuid coop, struct uuid id, struct ballot *out);

#endif
