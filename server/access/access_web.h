/* access_web.h - the download handler, which the API's and the Hub's addresses share. */
#ifndef COMMONHOLD_ACCESS_WEB_H
#define COMMONHOLD_ACCESS_WEB_H

#include "access_internal.h"

#include "commonhold/http.h"

/* A download: checks, notes, sends. `extra` sets headers of its own once the file is known. */
typedef void (*download_headers)(struct request *rq, struct response *rs, const struct release *release, const struct access_file *file);
CH_CHECK enum err download_file(struct request *rq, struct response *rs, const struct release *release, struct str path, download_headers extra);

#endif
