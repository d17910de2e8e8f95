/* pool_api.c - the pool over HTTP: one contribution, a batch, an import, one's own, moderation. */
#include "server/pool/pool_internal.h"

#include "commonhold/routes.h"

#define READ_BYTES (64 * KIB) /* of a streamed body at a time */

static void write_findings(struct json_writer *w, unsigned findings)
{
	jw_key(w, "findings");
	jw_array(w);
	for (unsigned k = 0; k < PII_KIND_COUNT; k++)
		if (findings >> k & 1)
			jw_z(w, pii_kind_word(k));
	jw_end_array(w);
}

/* The members of it alone, inside an object that is open. */
static void contribution_write_members(struct json_writer *w, struct arena *a, const struct contribution *item)
{
	jw_kstr(w, "id", uuid_format(a, item->id));
	jw_kstr(w, "rid", item->rid);
	jw_kz(w, "kind", contribution_kind_word(item->kind));
	jw_kz(w, "licence", policy_licence_get(item->licence)->spdx);
	jw_kstr(w, "lang", item->lang);
	jw_kstr(w, "content_sha256", sha256_hex(a, item->content_sha256));
	jw_kint(w, "bytes", item->bytes);
	jw_kstr(w, "submitted_at", clock_format(a, item->submitted_at));
	jw_kstr(w, "status", item->status);
	if (item->embargo_until != INSTANT_NONE)
		jw_kstr(w, "embargo_until", clock_format(a, item->embargo_until));
	jw_kbool(w, "duplicate_of_another", (item->word & POLICY_ITEM_DUPLICATE) != 0);
	write_findings(w, item->findings);
	jw_key(w, "circumstances");
	jw_raw(w, item->facts);
	jw_kint(w, "leaf", item->leaf);
	jw_kstr(w, "contributor", item->contributor);
}

/* As schemas/contribution_view.json says, without content and decisions. */
static void contribution_write(struct json_writer *w, struct arena *a, const struct contribution *item)
{
	jw_object(w);
	contribution_write_members(w, a, item);
	jw_end_object(w);
}

static void receipt_members(struct json_writer *w, struct arena *a, const struct receipt *r)
{
	jw_kstr(w, "id", uuid_format(a, r->id));
	jw_kstr(w, "rid", r->rid);
	jw_kstr(w, "content_sha256", sha256_hex(a, r->content_sha256));
	jw_kstr(w, "status", r->status);
	jw_key(w, "reasons");
	jw_array(w);
	for (size_t i = 0; i < r->n_reasons; i++)
		jw_str(w, r->reasons[i]);
	jw_end_array(w);
	jw_kbool(w, "duplicate", r->duplicate);
	jw_kstr(w, "submitted_at", clock_format(a, r->submitted_at));
	jw_kint(w, "leaf", r->leaf);
}

/* As schemas/receipt.json says. */
static void receipt_write(struct json_writer *w, struct arena *a, const struct receipt *r)
{
	jw_object(w);
	receipt_members(w, a, r);
	jw_kstr(w, "proof", r->proof);
	jw_end_object(w);
}

static enum err submit_ahead(struct request *rq)
{
	struct pool_asked_intake *asked;
	TRY(pool_ask_intake(rq->call, &asked));
	rq->ahead = asked;
	return ERR_OK;
}

static enum err submit(struct request *rq, struct response *rs)
{
	struct receipt r;
	TRY(pool_submit_asked(rq->call, rq->coop.id, rq->ahead, rq->json, &r));
	rs->status = r.duplicate ? 200 : 201;
	response_header(rs, "Location", str_cat(rq->call->arena, STR("/api/v1/coops/"), rq->coop.name, STR("/contributions/"), uuid_format(rq->call->arena, r.id)));
	struct json_writer w = response_json(rs);
	receipt_write(&w, rq->call->arena, &r);
	return ERR_OK;
}

/* ---- Batches ---- */

/* A batch on its way in: verdicts go out while lines come in. */
struct stream {
	struct request *rq;
	struct buf out;               /* one verdict */
	bool faults_only;             /* the client asked for bad lines alone */
	int64_t approved, pending, duplicates, refused;
};

static void write_problem(struct json_writer *w, const struct error *e)
{
	jw_key(w, "problem");
	jw_object(w);
	jw_kz(w, "code", err_code(e->code));
	if (e->reason[0])
		jw_kz(w, "reason", e->reason);
	jw_kz(w, "detail", e->message[0] ? e->message : err_text(e->code));
	jw_key(w, "errors");
	jw_array(w);
	for (const struct fault *f = e->faults; f; f = f->next) {
		jw_object(w);
		jw_kstr(w, "pointer", f->pointer.p ? f->pointer : STR(""));
		jw_kstr(w, "detail", f->message);
		jw_end_object(w);
	}
	jw_end_array(w);
	jw_end_object(w);
}

static enum err send_line(struct stream *s)
{
	buf_add_byte(&s->out, '\n');
	if (s->out.failed)
		return fail(s->rq->call, ERR_NO_MEMORY, "A verdict is too long.");
	return stream_write(s->rq, s->out.p, s->out.n);
}

static void count(struct stream *s, const struct verdict *v)
{
	if (v->err != ERR_OK)
		s->refused++;
	else if (v->receipt->duplicate)
		s->duplicates++;
	else if (str_is(v->receipt->status, "approved"))
		s->approved++;
	else
		s->pending++;
}

static enum err send_verdict(void *arg, const struct verdict *v)
{
	struct stream *s = arg;
	struct json_writer w;
	count(s, v);
	if (s->faults_only && v->err == ERR_OK)
		return ERR_OK;
	buf_clear(&s->out);
	jw_init(&w, &s->out);
	jw_object(&w);
	jw_kint(&w, "line", v->line);
	if (v->receipt) {
		receipt_members(&w, s->rq->call->arena, v->receipt);
	} else {
		jw_kz(&w, "status", "refused");
		write_problem(&w, v->error);
	}
	jw_end_object(&w);
	return send_line(s);
}

/* The last line: what became of all, and whether all were reached. */
static enum err send_summary(struct stream *s, const struct error *failed)
{
	struct json_writer w;
	buf_clear(&s->out);
	jw_init(&w, &s->out);
	jw_object(&w);
	jw_kbool(&w, "done", failed == NULL);
	jw_kint(&w, "approved", s->approved);
	jw_kint(&w, "pending", s->pending);
	jw_kint(&w, "duplicates", s->duplicates);
	jw_kint(&w, "refused", s->refused);
	if (failed)
		write_problem(&w, failed);
	jw_end_object(&w);
	return send_line(s);
}

/* Cuts what was read into lines. Of a line that is too long only so much is kept that the batch says so. */
struct lines { struct pool_batch *batch; struct buf partial; };

static enum err lines_add(struct lines *l, const char *p, size_t n)
{
	size_t room = LIMIT_BODY_ITEM + 1 - l->partial.n;
	buf_add(&l->partial, p, n < room ? n : room);
	return ERR_OK;
}

static enum err lines_feed(struct lines *l, const char *p, size_t n)
{
	const char *end = p + n, *newline;
	while ((newline = memchr(p, '\n', (size_t)(end - p))) != NULL) {
		if (l->partial.n) {
			TRY(lines_add(l, p, (size_t)(newline - p)));
			TRY(pool_batch_line(l->batch, buf_str(&l->partial)));
			buf_clear(&l->partial);
		} else {
			TRY(pool_batch_line(l->batch, str_make(p, (size_t)(newline - p))));
		}
		p = newline + 1;
	}
	return lines_add(l, p, (size_t)(end - p));
}

static enum err read_lines(struct request *rq, struct lines *l, char *block)
{
	for (;;) {
		size_t got;
		TRY(request_read(rq, block, READ_BYTES, &got));
		if (got == 0)
			break;
		TRY(lines_feed(l, block, got));
	}
	if (l->partial.n)
		TRY(pool_batch_line(l->batch, buf_str(&l->partial)));
	return pool_batch_end(l->batch);
}

static void release_buf(void *b)
{
	buf_release(b);
}

static struct buf *request_buf(struct request *rq, struct buf *b, size_t max)
{
	buf_init(b, max);
	arena_defer(rq->call->arena, release_buf, b);
	return b;
}

static enum err submit_batch(struct request *rq, struct response *rs)
{
	struct arena *a = rq->call->arena;
	struct stream *s = ARENA_NEW(a, struct stream);
	struct lines *l = ARENA_NEW(a, struct lines);
	s->rq = rq;
	s->faults_only = str_is(request_query(rq, "verdicts"), "faults");
	request_buf(rq, &s->out, MIB);
	request_buf(rq, &l->partial, LIMIT_BODY_ITEM + READ_BYTES);
	TRY(pool_batch_begin(rq->call, rq->coop.id, send_verdict, s, &l->batch));
	TRY(stream_begin(rq, rs, 200, "application/x-ndjson", -1));
	enum err err = read_lines(rq, l, arena_alloc(a, READ_BYTES));
	metric_add("commonhold_contributions_total", "", s->approved + s->pending);
	if (err == ERR_TIMEOUT || err == ERR_IO)
		return err; /* nobody is there any more */
	TRY(send_summary(s, err == ERR_OK ? NULL : &rq->call->error));
	return stream_end(rq);
}

/* ---- Imports ---- */

/* The body as a source; a fault of reading is kept, since a source cannot say it. */
struct upload { struct request *rq; enum err err; };

static ptrdiff_t read_upload(void *arg, void *to, size_t n)
{
	struct upload *u = arg;
	size_t got;
	u->err = request_read(u->rq, to, n, &got);
	return u->err == ERR_OK ? (ptrdiff_t)got : -1;
}

static enum err import_how(struct request *rq, struct pool_import *how)
{
	struct call *c = rq->call;
	struct str mapping = request_query(rq, "mapping");
	int format = import_format_find(request_query(rq, "format"));
	if (format < 0) {
		error_fault(&c->error, c->arena, STR("query/format"), "Say which format it is.");
		return ERR_INVALID;
	}
	*how = (struct pool_import){ .format = (enum import_format)format, .lang = request_query(rq, "lang"), .licence = request_query(rq, "licence") };
	if (!mapping.p)
		return ERR_OK;
	if (json_parse(c->arena, mapping, &how->mapping, &c->error) == ERR_OK)
		return ERR_OK;
	error_fault(&c->error, c->arena, STR("query/mapping"), "This is not a mapping of columns as JSON.");
	return c->error.code;
}

static void write_report(struct json_writer *w, const struct pool_import_report *r)
{
	uint64_t deleted = r->counts.refused[IMPORT_REASON_DELETED] + r->counts.refused[IMPORT_REASON_UNDER_DELETED];
	jw_object(w);
	jw_kint(w, "rows", (int64_t)r->counts.rows);
	jw_kint(w, "emitted", (int64_t)r->counts.emitted);
	jw_kint(w, "approved", r->approved);
	jw_kint(w, "pending", r->pending);
	jw_kint(w, "duplicates", r->duplicates);
	jw_kint(w, "refused", r->refused);
	jw_kint(w, "deleted_at_source", (int64_t)deleted);
	jw_key(w, "problems");
	jw_array(w);
	for (size_t i = 0; i < r->n_problems; i++) {
		jw_object(w);
		jw_kint(w, "line", r->problems[i].line);
		jw_kz(w, "code", r->problems[i].code);
		jw_kz(w, "pointer", r->problems[i].pointer);
		jw_kz(w, "detail", r->problems[i].message);
		jw_end_object(w);
	}
	jw_end_array(w);
	jw_end_object(w);
}

static enum err submit_import(struct request *rq, struct response *rs)
{
	struct pool_import how;
	struct pool_import_report report;
	struct upload upload = { rq, ERR_OK };
	struct import_source source = { read_upload, &upload, 0 };
	TRY(import_how(rq, &how));
	enum err err = pool_import(rq->call, rq->coop.id, &how, &source, &report);
	if (err != ERR_OK)
		return err;
	metric_add("commonhold_contributions_total", "", report.approved + report.pending);
	struct json_writer w = response_json(rs);
	write_report(&w, &report);
	return ERR_OK;
}

/* ---- Reading ---- */

static void write_list(struct request *rq, struct response *rs, const struct contribution *items, size_t n, struct str next)
{
	struct json_writer w = response_list(rs);
	for (size_t i = 0; i < n; i++)
		contribution_write(&w, rq->call->arena, &items[i]);
	response_list_end_page(&w, next);
}

static enum err list_mine(struct request *rq, struct response *rs)
{
	struct contribution *items;
	struct str cursor, next;
	size_t n;
	int limit;
	TRY(request_page(rq, &cursor, &limit));
	TRY(pool_list_mine(rq->call, rq->coop.id, request_query(rq, "kind"), cursor, limit, &items, &n, &next));
	write_list(rq, rs, items, n, next);
	return ERR_OK;
}

static enum err list_waiting(struct request *rq, struct response *rs)
{
	struct contribution *items;
	struct str cursor, next;
	size_t n;
	int limit;
	TRY(request_page(rq, &cursor, &limit));
	TRY(pool_queue(rq->call, rq->coop.id, cursor, limit, &items, &n, &next));
	write_list(rq, rs, items, n, next);
	return ERR_OK;
}

static void write_history(struct json_writer *w, struct arena *a, const struct moderation *m, size_t n)
{
	jw_key(w, "decisions");
	jw_array(w);
	for (size_t i = 0; i < n; i++) {
		jw_object(w);
		jw_kstr(w, "decision", m[i].decision);
		jw_kstr(w, "stage", m[i].stage);
		jw_kbool(w, "by_person", m[i].by_person);
		jw_kstr(w, "at", clock_format(a, m[i].at));
		jw_kstr(w, "reason", m[i].reason);
		jw_end_object(w);
	}
	jw_end_array(w);
}

static enum err answer_item(struct request *rq, struct response *rs, struct uuid id, const struct pool_asked_item *asked)
{
	struct pool_item it;
	TRY(pool_read_item(rq->call, rq->coop.id, id, asked, &it));
	struct json_writer w = response_json(rs);
	jw_object(&w);
	contribution_write_members(&w, rq->call->arena, &it.item);
	jw_key(&w, "content");
	if (it.content.p)
		jw_raw(&w, it.content);
	else
		jw_null(&w);
	write_history(&w, rq->call->arena, it.history, it.n_history);
	jw_end_object(&w);
	return ERR_OK;
}

static enum err read_item_ahead(struct request *rq)
{
	struct uuid id;
	struct pool_asked_item *asked;
	if (!uuid_parse(rq->param[1], &id))
		return ERR_OK; /* the handler says so */
	TRY(pool_ask_item(rq->call, id, &asked));
	rq->ahead = asked;
	return ERR_OK;
}

static enum err read_item(struct request *rq, struct response *rs)
{
	struct uuid id;
	TRY(request_param_uuid(rq, 1, &id));
	return answer_item(rq, rs, id, rq->ahead);
}

static enum err read_receipt(struct request *rq, struct response *rs)
{
	struct uuid id;
	struct receipt r;
	TRY(request_param_uuid(rq, 1, &id));
	TRY(pool_receipt(rq->call, rq->coop.id, id, &r));
	struct json_writer w = response_json(rs);
	receipt_write(&w, rq->call->arena, &r);
	return ERR_OK;
}

static enum err moderate(struct request *rq, struct response *rs)
{
	struct uuid id;
	struct contribution item;
	TRY(request_param_uuid(rq, 1, &id));
	TRY(pool_moderate(rq->call, rq->coop.id, id, str_is(json_member_text(rq->json, "decision"), "approve"), json_member_text(rq->json, "reason"), &item));
	return answer_item(rq, rs, id, NULL);
}

#define BASE "/api/v1/coops/{coop}/"
const struct route pool_routes[] = {
	{ "POST", BASE "contributions", "contribution_submit", PERM_ACTIVE, LIMIT_BODY_ITEM, "contribution", "receipt", 201, submit,
		"Contribute one thing; the same content again answers the first receipt with 200", ROUTE_IDEMPOTENT | ROUTE_OR_THERE,
		.ahead = submit_ahead },
	{ "POST", BASE "contributions/batch", "contribution_submit_batch", PERM_ACTIVE, LIMIT_BODY_BATCH, "stream:application/x-ndjson", "application/x-ndjson", 200,
		submit_batch, "Contribute many things, one a line (contribution.json); a verdict a line comes back (verdict.json) while they arrive, then a summary",
		ROUTE_STREAM_BODY, "verdicts=all|faults" },
	{ "POST", BASE "contributions/import", "contribution_import", PERM_ACTIVE, LIMIT_BODY_BATCH, "stream:*/*", "import_report", 200, submit_import,
		"Contribute what is in a file of another system", ROUTE_STREAM_BODY,
		"format=jsonl|openassistant|sharegpt|preference|openai|anthropic|csv mapping lang licence" },
	{ "GET", BASE "contributions", "contribution_list", PERM_MEMBER, 0, NULL, "contribution_list", 200, list_mine, "The actor's own contributions, newest first", 0,
		"cursor limit kind=chat|preference|example|feedback|signal|bundle|record" },
	{ "GET", BASE "contributions/{contribution}", "contribution_read", PERM_MEMBER, 0, NULL, "contribution_view", 200, read_item,
		"One contribution with its content: the actor's own, or any for an admin", .ahead = read_item_ahead },
	{ "GET", BASE "contributions/{contribution}/receipt", "contribution_receipt", PERM_MEMBER, 0, NULL, "receipt", 200, read_receipt,
		"Its receipt, with a fresh proof that its commitment is in the log" },
	{ "GET", BASE "moderation", "moderation_list", PERM_ADMIN, 0, NULL, "contribution_list", 200, list_waiting, "What waits for an admin's decision, oldest first", 0,
		"cursor limit" },
	{ "POST", BASE "moderation/{contribution}", "moderation_decide", PERM_ADMIN, LIMIT_BODY_SMALL, "moderation", "contribution_view", 200, moderate,
		"Approve or reject a contribution" },
	ROUTE_TABLE_END,
};
