/* ballot_api.h - a ballot as JSON. */
#ifndef COMMONHOLD_BALLOT_API_H
#define COMMONHOLD_BALLOT_API_H

#include "ballot.h"
#include "http.h"
#include "routes.h"

/* As schemas/ballot.json. */
void ballot_write(struct json_writer *w, struct arena *a, const struct ballot *b);

#endif
