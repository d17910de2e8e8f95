/* bundle_proof_api.h - a request of the partner of an agreement proves itself; for routes with {coop} and {agreement} first. Of server/merge only. */
#ifndef COMMONHOLD_BUNDLE_PROOF_API_H
#define COMMONHOLD_BUNDLE_PROOF_API_H

#include "commonhold/routes.h"

struct agreement;
/* The agreement of the path, once the caller has proved to be its partner; *taken: the last bundle that it says it has. ERR_UNAUTHENTICATED, whether or not there is one. */
CH_CHECK enum err bundle_partner_proved(struct request *rq, struct agreement *g, int64_t *taken);

#endif
