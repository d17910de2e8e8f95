/* Forms that come back: what was wrong, beside the fields it is about. */
#include "commonhold/db.h"
#include "commonhold/http.h"

static bool mendable(enum err e)
{
	return e == ERR_INVALID || e == ERR_REFUSED || e == ERR_EXISTS || e == ERR_STATE || e == ERR_CONFLICT || e == ERR_BAD_CREDENTIALS || e == ERR_BAD_JSON ||
		e == ERR_TOO_MANY || e == ERR_RETRY;
}

/* "/charter/cadence/notice" is about the field "notice", and so is "/charter/cadence/notice/0". */
static struct str last_part(struct str pointer)
{
	struct str rest = pointer, part, name = STR("");
	int64_t index;
	while (str_split(&rest, '/', &part))
		if (part.n && !str_to_i64(part, 0, INT32_MAX, &index))
			name = part;
	return name;
}

static bool told_before(const struct fault *first, const struct fault *f)
{
	for (; first != f; first = first->next)
		if (str_eq(last_part(first->pointer), last_part(f->pointer)))
			return true;
	return false;
}

enum err page_form_refused(struct request *rq, struct response *rs, enum err refused, struct json_writer *w)
{
	if (refused == ERR_OK)
		return ERR_OK;
	return mendable(refused) ? page_form_said(rq, rs, refused, w) : refused;
}

enum err page_form_said(struct request *rq, struct response *rs, enum err refused, struct json_writer *w)
{
	struct call *c = rq->call;
	if (refused == ERR_OK)
		return ERR_OK;
	if (err_status(refused) >= 500 && refused != ERR_UNAVAILABLE && refused != ERR_RETRY)
		return refused;
	rs->status = err_status(refused);
	jw_kz(w, "problem", c->error.message[0] ? c->error.message : err_text(refused));
	jw_kz(w, "problem_code", c->error.reason[0] ? c->error.reason : err_code(refused));
	jw_key(w, "wrong");
	jw_object(w);
	for (const struct fault *f = c->error.faults; f; f = f->next)
		if (last_part(f->pointer).n && !told_before(c->error.faults, f)) {
			jw_key_str(w, last_part(f->pointer));
			jw_str(w, f->message);
		}
	jw_end_object(w);
	jw_key(w, "faults");
	jw_array(w);
	for (const struct fault *f = c->error.faults; f; f = f->next) {
		jw_object(w);
		jw_kstr(w, "pointer", f->pointer);
		jw_kstr(w, "message", f->message);
		jw_end_object(w);
	}
	jw_end_array(w);
	db_rollback(c);
	error_clear(&c->error);
	return ERR_OK;
}
