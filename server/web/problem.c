/* Errors as answers: problem+json (RFC 9457), or a page where a person looks at pages. Written straight into buffers of the worker, never into the request's arena:
 * it may be the arena that ran out.
 */
#include "server/web/web.h"

#include "commonhold/log.h"

static void problem_faults(struct json_writer *w, const struct fault *faults)
{
	jw_key(w, "errors");
	jw_array(w);
	for (const struct fault *f = faults; f; f = f->next) {
		jw_object(w);
		jw_kstr(w, "pointer", f->pointer);
		jw_kstr(w, "detail", f->message);
		jw_end_object(w);
	}
	jw_end_array(w);
}

void problem_json(struct buf *out, const struct error *e, struct str request_id)
{
	int status = err_status(e->code);
	bool ours = status >= 500 && e->code != ERR_UNAVAILABLE && e->code != ERR_RETRY;
	struct json_writer w;
	jw_init(&w, out);
	jw_object(&w);
	jw_key(&w, "type");
	char type[160];
	snprintf(type, sizeof(type), "urn:commonhold:problem:%s", err_code(e->code));
	jw_z(&w, type);
	jw_kz(&w, "title", err_text(e->code));
	jw_kint(&w, "status", status);
	jw_kz(&w, "code", err_code(e->code));
	if (e->reason[0])
		jw_kz(&w, "reason", e->reason);
	/* What went wrong inside is for the log, not for whoever asked. */
	if (!ours && e->message[0])
		jw_kz(&w, "detail", e->message);
	if (e->hint[0])
		jw_kz(&w, "hint", e->hint);
	jw_kstr(&w, "instance", request_id);
	if (e->more_name) {
		jw_key(&w, e->more_name);
		jw_raw(&w, e->more);
	}
	if (e->faults)
		problem_faults(&w, e->faults);
	jw_end_object(&w);
}

static bool wants_page(const struct exchange *x)
{
	if (x->rq.route)
		return exchange_is_page(x);
	struct str accept = exchange_header(x, "Accept");
	return accept.p && memmem(accept.p, accept.n, "text/html", 9) && !str_starts(x->rq.path, "/api/");
}

/* A person who is not signed in and opens a page is taken to the sign-in page and back afterwards. */
static bool sign_in_instead(struct exchange *x)
{
	if (x->call.error.code != ERR_UNAUTHENTICATED || !x->rq.route || !exchange_is_page(x) || !str_is(x->rq.method, "GET"))
		return false;
	response_redirect(&x->rs, str_fmt(x->call.arena, "/sign-in?next=%.*s", STR_ARG(str_url_encode(x->call.arena, x->rq.path))));
	return true;
}

static void problem_log(const struct exchange *x)
{
	const struct error *e = &x->call.error;
	if (err_status(e->code) < 500 || e->code == ERR_UNAVAILABLE)
		return;
	const struct log_field fields[] = {
		LOG_Z("route", x->rq.route ? x->rq.route->id : ""), LOG_Z("code", err_code(e->code)), LOG_Z("message", e->message), LOG_Z("detail", e->detail),
	};
	log_write(LOG_ERROR, "request_failed", str_of(x->request_id), fields, CH_LEN(fields));
}

void problem_answer(struct exchange *x)
{
	struct error *e = &x->call.error;
	struct response *rs = &x->rs;
	problem_log(x);
	int status = err_status(e->code);
	if ((e->code == ERR_UNAVAILABLE || e->code == ERR_RETRY || e->code == ERR_NO_MEMORY) && x->retry_after == 0)
		x->retry_after = 1;
	response_clear(rs);
	if (sign_in_instead(x))
		return;
	rs->status = status;
	if (status == 401 && !wants_page(x))
		response_header(rs, "WWW-Authenticate", STR("Bearer"));
	if (wants_page(x) && page_error(x, status))
		return;
	buf_clear(&rs->body);
	rs->content_type = "application/problem+json";
	problem_json(&rs->body, e, str_of(x->request_id));
}
