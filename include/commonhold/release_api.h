/* release_api.h - a release as JSON, and the release that a request names. */
#ifndef COMMONHOLD_RELEASE_API_H
#define COMMONHOLD_RELEASE_API_H

#include "http.h"
#include "routes.h"
#include "release.h"

/* As schemas/release.json. */
void release_write(struct json_writer *w, struct request *rq, const struct release *r);
/* {outcomes: {...}, reasons: [...]} members of the open object. */
void reasons_write(struct json_writer *w, const struct reason_count *reasons, size_t n);
/* The release that the path's {release} names, by id, version or "latest". */
CH_CHECK enum err release_of_request(struct request *rq, size_t param, struct release *out);

#endif
