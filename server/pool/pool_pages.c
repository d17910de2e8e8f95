/* pool_pages.c - the form to contribute, and the admins' queue. My contributions and their decisions are pages of release/. */
#include "server/pool/pool_internal.h"

#include "commonhold/control.h"
#include "commonhold/routes.h"
#include "commonhold/words.h"

#define UPLOAD_MAX (4 * MIB)      /* without a script; with it a file is streamed to the API */
#define QUEUE_PAGE 10             /* items shown with their content */
#define SHOWN_TEXT 6000           /* bytes of one text on the moderation page; the rest is said to be there */
#define SHOWN_WHERE 200           /* bytes of the name of its place */
#define SHOWN_ITEM (60 * KIB)     /* page data of one item's texts, so that no contribution makes the queue unreadable */
#define TURNS 3                   /* question and answer pairs in the form for a chat */

/* ---- Contributing ---- */

static struct str field(const struct request *rq, const char *name)
{
	struct str value = request_form(rq, name);
	return value.p && str_trim(value).n ? value : STR_NONE;
}

static void keep(struct json_writer *w, const struct request *rq, const char *key, const char *name)
{
	if (field(rq, name).p)
		jw_kstr(w, key, field(rq, name));
}

static void write_example(struct json_writer *w, const struct request *rq)
{
	keep(w, rq, "title", "title");
	keep(w, rq, "context", "context");
	keep(w, rq, "input", "input");
	keep(w, rq, "output", "output");
	keep(w, rq, "follow_up", "follow_up");
}

static void write_message(struct json_writer *w, const char *role, struct str text)
{
	if (str_trim(text).n == 0)
		return;
	jw_object(w);
	jw_kz(w, "role", role);
	jw_kstr(w, "content", text);
	jw_end_object(w);
}

static void write_chat(struct json_writer *w, const struct request *rq)
{
	struct str *users = NULL, *assistants = NULL;
	size_t n = request_form_all(rq, "user", &users), m = request_form_all(rq, "assistant", &assistants);
	keep(w, rq, "title", "title");
	jw_key(w, "messages");
	jw_array(w);
	for (size_t i = 0; i < n || i < m; i++) {
		if (i < n)
			write_message(w, "user", users[i]);
		if (i < m)
			write_message(w, "assistant", assistants[i]);
	}
	jw_end_array(w);
}

static void write_feedback(struct json_writer *w, const struct request *rq)
{
	jw_key(w, "target");
	jw_object(w);
	keep(w, rq, "system", "system");
	keep(w, rq, "id", "target_id");
	jw_end_object(w);
	keep(w, rq, "input", "input");
	keep(w, rq, "output", "output");
	keep(w, rq, "comment", "comment");
	keep(w, rq, "correction", "correction");
}

/* The kinds that the form knows, each with its own fields. */
static const struct form_kind { enum policy_kind kind; const char *text; void (*write)(struct json_writer *w, const struct request *rq); } form_kinds[] = {
	{ POLICY_KIND_EXAMPLE, "A prompt or an example", write_example },
	{ POLICY_KIND_CHAT, "A conversation", write_chat },
	{ POLICY_KIND_FEEDBACK, "Feedback on an answer", write_feedback },
};

static const struct form_kind *kind_asked(struct str word)
{
	for (size_t i = 0; i < CH_LEN(form_kinds); i++)
		if (word.p && str_is(word, contribution_kind_word(form_kinds[i].kind)))
			return &form_kinds[i];
	return &form_kinds[0];
}

static enum err submission_of_form(struct request *rq, const struct form_kind *kind, const struct json **out)
{
	struct call *c = rq->call;
	struct json_writer w;
	struct buf b;
	buf_init(&b, LIMIT_BODY_ITEM * 2);
	jw_init(&w, &b);
	jw_object(&w);
	jw_kz(&w, "kind", contribution_kind_word(kind->kind));
	keep(&w, rq, "lang", "content_lang");
	keep(&w, rq, "licence", "licence");
	keep(&w, rq, "attribution", "attribution");
	keep(&w, rq, "ai_preferences", "ai_preferences");
	jw_key(&w, "content");
	jw_object(&w);
	kind->write(&w, rq);
	jw_end_object(&w);
	jw_end_object(&w);
	struct str text = buf_take(c->arena, &b);
	return text.p ? json_parse(c->arena, text, out, &c->error) : fail(c, ERR_TOO_LARGE, "This is more than one contribution may hold.");
}

static void write_kinds(struct json_writer *w, struct request *rq, const struct pool_terms *t, const struct form_kind *chosen)
{
	jw_key(w, "kinds");
	jw_array(w);
	for (size_t i = 0; i < CH_LEN(form_kinds); i++) {
		if (!(t->kinds >> form_kinds[i].kind & 1))
			continue;
		jw_object(w);
		jw_kstr(w, "href", str_fmt(rq->call->arena, "/coops/%.*s/contribute?kind=%s", STR_ARG(rq->coop.slug), contribution_kind_word(form_kinds[i].kind)));
		jw_kz(w, "text", form_kinds[i].text);
		jw_kbool(w, "current", &form_kinds[i] == chosen);
		jw_end_object(w);
	}
	jw_end_array(w);
}

static void write_licences(struct json_writer *w, const struct request *rq, const struct pool_terms *t)
{
	struct str said = field(rq, "licence");
	jw_key(w, "licences");
	jw_array(w);
	for (unsigned i = 1; i < POLICY_LICENCE_COUNT; i++) {
		if (!(t->licences >> i & 1))
			continue;
		const struct policy_licence *licence = policy_licence_get(i);
		jw_object(w);
		jw_kz(w, "id", licence->spdx);
		jw_kz(w, "name", licence->name);
		jw_kbool(w, "chosen", said.p ? str_is(said, licence->spdx) : i == t->licence);
		jw_end_object(w);
	}
	jw_end_array(w);
}

static void write_formats(struct json_writer *w)
{
	static const char *const names[] = {
		[IMPORT_JSONL] = "Contributions, one JSON a line", [IMPORT_OPENASSISTANT] = "OpenAssistant messages or trees", [IMPORT_SHAREGPT] = "ShareGPT conversations",
		[IMPORT_PREFERENCE] = "Pairs with prompt, chosen and rejected", [IMPORT_OPENAI] = "OpenAI account export (conversations.json)",
		[IMPORT_ANTHROPIC] = "Anthropic account export (conversations.json)",
	};
	jw_key(w, "formats");
	jw_array(w);
	for (unsigned i = 0; i < CH_LEN(names); i++) {
		jw_object(w);
		jw_kz(w, "id", import_format_word(i));
		jw_kz(w, "name", names[i]);
		jw_end_object(w);
	}
	jw_end_array(w);
}

/* What was typed comes back with the page. */
static void write_values(struct json_writer *w, const struct request *rq, const struct form_kind *kind)
{
	static const char *const names[] = { "title", "context", "input", "output", "follow_up", "system", "target_id", "comment", "correction", "content_lang", "ai_preferences" };
	struct str *users = NULL, *assistants = NULL;
	size_t n = request_form_all(rq, "user", &users), m = request_form_all(rq, "assistant", &assistants);
	jw_key(w, "value");
	jw_object(w);
	for (size_t i = 0; i < CH_LEN(names); i++)
		jw_kstr(w, names[i], request_form(rq, names[i]).p ? request_form(rq, names[i]) : STR(""));
	jw_end_object(w);
	jw_kbool(w, "is_example", kind->kind == POLICY_KIND_EXAMPLE);
	jw_kbool(w, "is_feedback", kind->kind == POLICY_KIND_FEEDBACK);
	jw_kbool(w, "is_chat", kind->kind == POLICY_KIND_CHAT);
	jw_key(w, "turns");
	jw_array(w);
	for (size_t i = 0; i < TURNS; i++) {
		jw_object(w);
		jw_kint(w, "number", (int64_t)i + 1);
		jw_kstr(w, "user", i < n ? users[i] : STR(""));
		jw_kstr(w, "assistant", i < m ? assistants[i] : STR(""));
		jw_kbool(w, "first", i == 0);
		jw_end_object(w);
	}
	jw_end_array(w);
}

/* The last part of a pointer, as a person would call the field. */
static struct str field_words(struct arena *a, struct str pointer)
{
	struct str rest = pointer, part, last = STR_NONE;
	while (str_split(&rest, '/', &part))
		if (part.n && !(part.p[0] >= '0' && part.p[0] <= '9'))
			last = part;
	struct str words = str_copy(a, last);
	for (size_t i = 0; i < words.n; i++)
		if (words.p[i] == '_')
			((char *)words.p)[i] = ' ';
	return words;
}

static void write_faults(struct json_writer *w, struct request *rq, const struct error *e)
{
	jw_kbool(w, "wrong", e->code != ERR_OK);
	jw_kz(w, "wrong_message", e->message);
	jw_key(w, "faults");
	jw_array(w);
	for (const struct fault *f = e->faults; f; f = f->next) {
		jw_object(w);
		jw_kstr(w, "field", field_words(rq->call->arena, f->pointer));
		jw_kstr(w, "message", f->message);
		jw_end_object(w);
	}
	jw_end_array(w);
}

/* By the reader of the file or by the pool, but for what the source itself has deleted. */
static int64_t rows_not_taken(const struct pool_import_report *r)
{
	int64_t n = r->refused;
	for (unsigned reason = 0; reason < IMPORT_REASON_COUNT; reason++)
		if (reason != IMPORT_REASON_DELETED && reason != IMPORT_REASON_UNDER_DELETED)
			n += (int64_t)r->counts.refused[reason];
	return n;
}

static void write_import(struct json_writer *w, const struct pool_import_report *r)
{
	jw_key(w, "imported");
	jw_object(w);
	jw_kint(w, "approved", r->approved);
	jw_kint(w, "pending", r->pending);
	jw_kint(w, "duplicates", r->duplicates);
	jw_kint(w, "refused", rows_not_taken(r));
	jw_kbool(w, "any_problem", r->n_problems > 0);
	jw_key(w, "problems");
	jw_array(w);
	for (size_t i = 0; i < r->n_problems && i < 20; i++) {
		jw_object(w);
		jw_kint(w, "line", r->problems[i].line);
		jw_kbool(w, "says_line", strncmp(r->problems[i].message, "Line ", 5) == 0);
		jw_kz(w, "message", r->problems[i].message);
		jw_end_object(w);
	}
	jw_end_array(w);
	jw_end_object(w);
}

/* The page, with what is wrong (`said`) or what an import brought. */
static enum err show_form(struct request *rq, struct response *rs, const struct form_kind *kind, const struct error *said, const struct pool_import_report *report)
{
	struct pool_terms terms;
	struct buf b;
	TRY(pool_terms(rq->call, rq->coop.id, &terms));
	struct json_writer w = page_begin(&b);
	jw_kz(&w, "title", "Contribute");
	jw_kstr(&w, "coop", rq->coop.slug);
	jw_kz(&w, "kind", contribution_kind_word(kind->kind));
	jw_kbool(&w, "holds", terms.holds);
	jw_kbool(&w, "holds_findings", !terms.holds && terms.holds_findings);
	jw_kbool(&w, "has_public_name", terms.has_public_name);
	write_kinds(&w, rq, &terms, kind);
	write_licences(&w, rq, &terms);
	write_formats(&w);
	write_values(&w, rq, kind);
	write_faults(&w, rq, said);
	if (report)
		write_import(&w, report);
	if (said->code != ERR_OK)
		rs->status = err_status(said->code);
	return page_end(rq, rs, "page/contribute", &b, &w, control_page_data(rq->call, rq->coop.id, INSTANT_NONE, &w));
}

static const struct error nothing_wrong;

static enum err contribute_page(struct request *rq, struct response *rs)
{
	return show_form(rq, rs, kind_asked(request_query(rq, "kind")), &nothing_wrong, NULL);
}

/* What the person can mend is shown beside the form; everything else is the router's. */
static bool mendable(enum err err)
{
	return err == ERR_INVALID || err == ERR_REFUSED || err == ERR_BAD_JSON || err == ERR_BAD_UTF8 || err == ERR_TOO_LARGE || err == ERR_GONE;
}

static enum err submit_form(struct request *rq, const struct form_kind *kind, struct receipt *out)
{
	const struct json *submission;
	TRY(submission_of_form(rq, kind, &submission));
	return pool_submit(rq->call, rq->coop.id, submission, out);
}

static enum err try_again(struct request *rq, struct response *rs, const struct form_kind *kind)
{
	struct call *c = rq->call;
	struct error said = c->error;
	pool_give_up(c);
	return show_form(rq, rs, kind, &said, NULL);
}

static enum err contribute_form(struct request *rq, struct response *rs)
{
	const struct form_kind *kind = kind_asked(request_form(rq, "kind"));
	struct receipt r;
	enum err err = submit_form(rq, kind, &r);
	if (err != ERR_OK)
		return mendable(err) ? try_again(rq, rs, kind) : err;
	return response_done(rq, rs, r.duplicate ? STR("You had contributed the same before: nothing was added.")
		: str_is(r.status, "pending") ? STR("Thank you. An admin looks at it before it can be released.") : STR("Thank you. Your contribution is in the pool."), str_fmt(rq->call->arena, "/coops/%.*s/contributions/%.*s", STR_ARG(rq->coop.slug), STR_ARG(uuid_format(rq->call->arena, r.id))));
}

static enum err import_upload(struct request *rq, struct pool_import_report *report)
{
	struct call *c = rq->call;
	struct form_file file;
	int format = import_format_find(request_form(rq, "format"));
	if (format < 0 || format == IMPORT_CSV)
		return fail_field(c, "form/format", "Choose what kind of file it is.");
	if (!request_file(rq, "file", &file) || file.content.n == 0)
		return fail_field(c, "form/file", "Choose a file.");
	struct import_memory memory = { file.content, 0 };
	struct import_source source = import_from_memory(&memory);
	struct pool_import how = { .format = (enum import_format)format, .lang = field(rq, "lang"), .licence = field(rq, "licence") };
	return pool_import(c, rq->coop.id, &how, &source, report);
}

static enum err import_form(struct request *rq, struct response *rs)
{
	struct pool_import_report report;
	enum err err = import_upload(rq, &report);
	if (err != ERR_OK)
		return mendable(err) ? try_again(rq, rs, &form_kinds[0]) : err;
	return show_form(rq, rs, &form_kinds[0], &nothing_wrong, &report);
}

/* ---- Moderation ---- */

/* As much of a text as fits, not ending inside a character. */
static struct str shown(struct str text, size_t most)
{
	if (text.n <= most)
		return text;
	size_t n = most;
	while (n && ((unsigned char)text.p[n] & 0xc0) == 0x80)
		n--;
	return str_sub(text, 0, n);
}

static void write_piece(struct json_writer *w, struct str text, const char *found)
{
	if (text.n == 0)
		return;
	jw_object(w);
	jw_kstr(w, "text", text);
	jw_kz(w, "found", found);
	jw_end_object(w);
}

/* A text in pieces, those that were found marked. Findings come in order of reading; what overlaps the one before is within its mark. */
static void write_text(struct json_writer *w, struct arena *a, const struct json *node, struct str text, const struct pii_report *report)
{
	size_t at = 0;
	struct str visible = shown(text, SHOWN_TEXT);
	jw_object(w);
	jw_kstr(w, "where", shown(words_field(a, json_pointer(a, node)), SHOWN_WHERE));
	jw_kbool(w, "cut", visible.n < text.n);
	jw_key(w, "pieces");
	jw_array(w);
	for (size_t i = 0; i < report->kept; i++) {
		const struct pii_finding *f = &report->finding[i];
		size_t end = (size_t)f->offset + f->length;
		if (f->at != node || f->offset < at || end > visible.n)
			continue;
		write_piece(w, str_sub(visible, at, f->offset - at), NULL);
		write_piece(w, str_sub(visible, f->offset, f->length), pii_kind_text(f->kind));
		at = end;
	}
	write_piece(w, str_sub(visible, at, visible.n - at), NULL);
	jw_end_array(w);
	jw_end_object(w);
}

/* Facts about a file that no moderator reads. */
static bool is_technical(struct str key)
{
	return str_is(key, "sha256") || str_is(key, "size") || str_is(key, "media_type");
}

static bool is_marked(const struct pii_report *report, const struct json *node)
{
	for (size_t i = 0; i < report->kept; i++)
		if (report->finding[i].at == node)
			return true;
	return false;
}

/* Half of the room is for texts in which something was found, wherever they stand. */
static void write_texts(struct json_writer *w, struct arena *a, const struct json *content)
{
	struct pii_report report = { 0 };
	size_t from = w->out->n;
	bool more = false;
	pii_scan_tree(content, &report);
	jw_key(w, "texts");
	jw_array(w);
	for (const struct json *v = content; v; v = json_next(v)) {
		if ((v->type != JSON_STRING && v->type != JSON_NUMBER) || is_technical(v->key))
			continue;
		if (w->out->n - from < SHOWN_ITEM / 2 || (w->out->n - from < SHOWN_ITEM && is_marked(&report, v)))
			write_text(w, a, v, v->text, &report);
		else
			more = true;
	}
	jw_end_array(w);
	jw_kbool(w, "more_texts", more);
}

static enum err write_waiting(struct json_writer *w, struct request *rq, const struct contribution *item)
{
	struct call *c = rq->call;
	struct contribution read;
	struct str content;
	const struct json *json = NULL;
	TRY(pool_read(c, rq->coop.id, item->id, &read, &content));
	if (content.p)
		TRY(json_parse(c->arena, content, &json, &c->error));
	jw_object(w);
	jw_kstr(w, "id", uuid_format(c->arena, item->id));
	jw_kz(w, "kind", words_kind(item->kind));
	jw_kstr(w, "language", words_language(c->arena, item->lang));
	jw_kz(w, "licence", policy_licence_get(item->licence)->spdx);
	jw_kstr(w, "contributor", item->contributor);
	jw_kstr(w, "submitted", words_minute(c->arena, item->submitted_at));
	jw_kstr(w, "submitted_iso", clock_format(c->arena, item->submitted_at));
	jw_kbool(w, "any_found", item->findings != 0);
	jw_key(w, "found");
	jw_array(w);
	for (unsigned k = 0; k < PII_KIND_COUNT; k++)
		if (item->findings >> k & 1)
			jw_z(w, pii_kind_text(k));
	jw_end_array(w);
	write_texts(w, c->arena, json);
	jw_end_object(w);
	return ERR_OK;
}

static enum err moderation_page(struct request *rq, struct response *rs)
{
	struct contribution *items;
	struct str next;
	struct buf b;
	size_t n;
	TRY(pool_queue(rq->call, rq->coop.id, request_query(rq, "cursor"), QUEUE_PAGE, &items, &n, &next));
	struct json_writer w = page_begin(&b);
	jw_kz(&w, "title", "Moderation");
	jw_kstr(&w, "coop", rq->coop.slug);
	jw_kbool(&w, "any", n > 0);
	jw_kstr(&w, "next", next);
	jw_key(&w, "items");
	jw_array(&w);
	enum err err = ERR_OK;
	for (size_t i = 0; i < n && err == ERR_OK; i++) {
		struct arena_mark mark = arena_mark(rq->call->arena);
		err = write_waiting(&w, rq, &items[i]);
		if (err == ERR_OK)
			arena_rewind(rq->call->arena, mark);
	}
	jw_end_array(&w);
	return page_end(rq, rs, "page/moderation", &b, &w, err);
}

static enum err moderation_form(struct request *rq, struct response *rs)
{
	struct call *c = rq->call;
	struct uuid id;
	struct contribution item;
	struct str decision = request_form(rq, "decision");
	TRY(request_param_uuid(rq, 1, &id));
	if (!decision.p || (!str_is(decision, "approve") && !str_is(decision, "reject")))
		return fail_field(c, "form/decision", "Approve or reject it.");
	enum err err = pool_moderate(c, rq->coop.id, id, str_is(decision, "approve"), request_form(rq, "reason"), &item);
	if (err == ERR_INVALID || err == ERR_STATE || err == ERR_GONE) {
		struct str message = c->error.faults ? c->error.faults->message : str_copy(c->arena, str_of(c->error.message));
		pool_give_up(c);
		response_flash(rq, rs, message);
	} else if (err != ERR_OK) {
		return err;
	} else {
		response_flash(rq, rs, str_is(decision, "approve") ? STR("Approved.") : STR("Rejected; the contributor reads your reason."));
	}
	response_redirect(rs, coop_place(rq, "moderation"));
	return ERR_OK;
}

const struct route pool_page_routes[] = {
	{ "GET", "/coops/{coop}/contribute", "page_contribute", PERM_ACTIVE, 0, NULL, "text/html", 200, contribute_page, NULL, 0, "kind=example|chat|feedback" },
	{ "POST", "/coops/{coop}/contribute", "page_contribute_form", PERM_ACTIVE, LIMIT_BODY_ITEM * 2, "form", "text/html", 303, contribute_form, NULL },
	{ "POST", "/coops/{coop}/contribute/import", "page_contribute_import", PERM_ACTIVE, UPLOAD_MAX, "form", "text/html", 200, import_form, NULL },
	{ "GET", "/coops/{coop}/moderation", "page_moderation", PERM_ADMIN, 0, NULL, "text/html", 200, moderation_page, NULL },
	{ "POST", "/coops/{coop}/moderation/{contribution}", "page_moderation_form", PERM_ADMIN, LIMIT_BODY_SMALL, "form", "text/html", 303, moderation_form, NULL },
	ROUTE_TABLE_END,
};
