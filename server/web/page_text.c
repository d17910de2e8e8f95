/* Page data is most easily written as JSON; this reads it back for the templates. */
#include "commonhold/http.h"

enum err response_page_text(struct request *rq, struct response *rs, const char *name, struct buf *data)
{
	struct call *c = rq->call;
	bool failed = data->failed;
	struct str text = str_copy(c->arena, buf_str(data));
	const struct json *tree;
	buf_release(data);
	if (failed)
		return fail(c, ERR_TOO_LARGE, "There is more on this page than a page may hold.");
	TRY(json_parse(c->arena, text, &tree, &c->error));
	return response_page(rq, rs, name, tree);
}

struct json_writer page_begin(struct buf *b)
{
	struct json_writer w;
	buf_init(b, LIMIT_PAGE_DATA);
	jw_init(&w, b);
	jw_object(&w);
	return w;
}

enum err page_end(struct request *rq, struct response *rs, const char *name, struct buf *b, struct json_writer *w, enum err e)
{
	if (e != ERR_OK) {
		buf_release(b);
		return e;
	}
	jw_end_object(w);
	return response_page_text(rq, rs, name, b);
}
