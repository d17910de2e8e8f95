/* holdings_web.h - the archive over HTTP, as its page and its API do it alike. */
#ifndef COMMONHOLD_HOLDINGS_WEB_H
#define COMMONHOLD_HOLDINGS_WEB_H

#include "commonhold/holdings.h"
#include "commonhold/http.h"

/* The co-op of a name; nil for no name. */
CH_CHECK enum err archive_coop_named(struct call *c, struct str name, struct uuid *out);
/* Streams the actor's archive as a file to be kept; archive_permit has said yes. */
CH_CHECK enum err archive_send(struct request *rq, struct response *rs, struct uuid coop);
/* An open file without a name, for an archive that is brought: gone with the call. */
CH_CHECK enum err archive_spool(struct call *c, int *fd);
CH_CHECK enum err archive_spool_write(struct call *c, int fd, const void *p, size_t n);

#endif
