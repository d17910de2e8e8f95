/* pool_import.c - an importer's contributions as one batch, with a report of bounded size. */
#include "server/pool/pool_internal.h"

/* Items that may be between the importer and their verdict: all groups of a batch, and one that is being filled. */
#define IN_FLIGHT (4 * POOL_GROUP)

struct work {
	struct call *call;
	const struct pool_import *how;
	struct pool_batch *batch;
	struct pool_import_report *report;
	int64_t *line;          /* where each item stood at the source, by its number modulo IN_FLIGHT */
	int64_t items;          /* given to the batch */
};

static void problem_add(struct pool_import_report *r, int64_t line, struct str code, struct str pointer, struct str message)
{
	if (r->n_problems == POOL_IMPORT_PROBLEMS)
		return;
	struct pool_import_problem *p = &r->problems[r->n_problems++];
	p->line = line;
	snprintf(p->code, sizeof(p->code), "%.*s", STR_ARG(code));
	snprintf(p->pointer, sizeof(p->pointer), "%.*s", STR_ARG(pointer));
	/* not in the middle of a character */
	while (message.n >= sizeof(p->message) || (message.n && !str_is_utf8(message)))
		message.n = message.n >= sizeof(p->message) ? sizeof(p->message) - 1 : message.n - 1;
	snprintf(p->message, sizeof(p->message), "%.*s", STR_ARG(message));
}

static enum err take_verdict(void *arg, const struct verdict *v)
{
	struct work *w = arg;
	struct pool_import_report *r = w->report;
	if (v->err != ERR_OK) {
		const struct fault *f = v->error->faults;
		r->refused++;
		problem_add(r, w->line[v->line % IN_FLIGHT], str_of(err_code(v->err)), f ? f->pointer : STR_NONE, f ? f->message : str_of(v->error->message));
		return ERR_OK;
	}
	if (v->receipt->duplicate)
		r->duplicates++;
	else if (str_is(v->receipt->status, "approved"))
		r->approved++;
	else
		r->pending++;
	return ERR_OK;
}

static enum err give_item(void *arg, const struct import_item *item, struct error *e)
{
	struct work *w = arg;
	(void)e;
	w->items++;
	w->line[w->items % IN_FLIGHT] = (int64_t)item->line;
	return pool_batch_line(w->batch, item->json);
}

static void row_refused(void *arg, const struct import_verdict *v)
{
	struct work *w = arg;
	if (v->reason != IMPORT_REASON_DELETED && v->reason != IMPORT_REASON_UNDER_DELETED)
		problem_add(w->report, (int64_t)v->line, str_of(import_reason_word(v->reason)), v->pointer, v->message.p ? v->message : str_of(import_reason_text(v->reason)));
}

static void progress(void *arg, const struct import_counts *counts)
{
	const struct work *w = arg;
	if (w->how->progress)
		w->how->progress(w->how->arg, counts);
}

/* Authors' pseudonyms differ between co-ops and cannot be guessed back without the instance's key. */
static enum err options_of(struct call *c, struct uuid coop, const struct pool_import *how, struct import_options *out)
{
	*out = (struct import_options){ .format = how->format, .mapping = how->mapping, .lang = how->lang, .licence = how->licence };
	if (how->licence.p && policy_licence_find(how->licence.p, how->licence.n) == POLICY_LICENCE_UNKNOWN)
		return fail_field(c, "query/licence", "This server knows no licence of this name. Use an SPDX identifier such as CC-BY-4.0.");
	if (!instance_keys())
		return fail(c, ERR_CONFIG, "The instance's keys are not loaded.");
	struct sha256 key = hmac_sha256(str_make(instance_seal_key(instance_keys())->b, 32), str_make(coop.b, 16));
	memcpy(out->pseudonym_key, key.b, 32);
	return pool_schemas(&out->schemas, &c->error);
}

enum err pool_import(struct call *c, struct uuid coop, const struct pool_import *how, const struct import_source *source, struct pool_import_report *out)
{
	struct import_options options;
	struct work w = { .call = c, .how = how, .report = out, .line = ARENA_ARRAY(c->arena, IN_FLIGHT, int64_t) };
	struct import_sink sink = { give_item, row_refused, progress, &w };
	*out = (struct pool_import_report){ .problems = ARENA_ARRAY(c->arena, POOL_IMPORT_PROBLEMS, struct pool_import_problem) };
	TRY(options_of(c, coop, how, &options));
	TRY(pool_batch_begin(c, coop, take_verdict, &w, &w.batch));
	enum err imported = import_run(&options, source, &sink, &out->counts, &c->error);
	struct error why = c->error;
	enum err ended = pool_batch_end(w.batch);
	if (imported == ERR_OK)
		return ended;
	c->error = why;
	return imported;
}
