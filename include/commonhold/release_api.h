/* release_api.h - a release as JSON, and the release that a request names. */
#ifndef COMMONHOLD_RELEASE_API_H
#define COMMONHOLD_RELEASE_API_H

#include "http.h"
#include "routes.h"
#include "release.h"

/* The release that the path's {release} names, by id, version or "latest". */
CH_CHECK enum err release_of_request(struct request *rq, size_t param, struct release *out);
/* Sets the gauges of releases; the count of redactions overdue is taken at most once a minute. */
void release_gauges(void);

#endif
