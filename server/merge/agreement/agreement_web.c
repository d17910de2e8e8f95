#include "agreement_web.h"

enum err agreement_param(struct request *rq, struct sha256 *out)
{
	return sha256_parse(rq->param[1], out) ? ERR_OK : fail(rq->call, ERR_NOT_FOUND, "There is no such agreement.");
}

enum err agreement_param_id(struct request *rq, struct uuid *out)
{
	struct agreement g;
	struct sha256 digest;
	TRY(agreement_param(rq, &digest));
	TRY(agreement_read(rq->call, rq->coop.id, digest, &g));
	*out = g.id;
	return ERR_OK;
}

enum err agreement_words_write(struct json_writer *w, struct arena *a, const char *key, const struct agreement *g)
{
	struct agreement_words *lines;
	size_t n;
	TRY(agreement_terms_words(a, &g->terms, g->us, &lines, &n));
	jw_key(w, key);
	jw_array(w);
	for (size_t i = 0; i < n; i++) {
		jw_object(w);
		jw_kz(w, "heading", lines[i].heading);
		jw_kstr(w, "text", lines[i].text);
		jw_end_object(w);
	}
	jw_end_array(w);
	return ERR_OK;
}
