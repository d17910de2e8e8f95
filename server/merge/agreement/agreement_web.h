/* agreement_web.h - what the API and the pages of agreements share: which agreement a path names, and its terms in words. Of server/merge only. */
#ifndef COMMONHOLD_MERGE_AGREEMENT_WEB_H
#define COMMONHOLD_MERGE_AGREEMENT_WEB_H

#include "commonhold/agreement.h"
#include "commonhold/http.h"

/* The digest that the path names; ERR_NOT_FOUND when that is none. */
CH_CHECK enum err agreement_param(struct request *rq, struct sha256 *out);
/* The agreement that it is a revision of: what an older revision names is the same one. Own transaction. */
CH_CHECK enum err agreement_param_id(struct request *rq, struct uuid *out);
/* As member `key`: [{"heading","text"}]. */
CH_CHECK enum err agreement_words_write(struct json_writer *w, struct arena *a, const char *key, const struct agreement *g);

#endif
