/* archive_import.c - contributions of an archive taken into another co-op, as new ones of whoever brings it.
 *
 * The archive is looked through and held against its manifest before anything is taken. Then part after part: what became of each item there, and its line, are read together; where
 * it came from is noted in it; after its part is written, what was denied there is denied here. Begun again after a failure, what is there already is found, and denied again. */
#include "server/erasure/holdings/archive_internal.h"

#include "commonhold/db.h"
#include "commonhold/pool.h"

#include <stdlib.h>
#include <sys/stat.h>

#define PART_MAX (12 * MIB)      /* a part as it is written is 2 MiB and a page */
#define ROWS_MAX (64 * MIB)      /* of statements and licences, read line by line */
#define DENY_AT_ONCE 192         /* statements said together: under the limit of one call */
#define STEPS_MAX 49             /* of the processing log, so that ours still fits */

/* What an item's row says of it there. */
struct there { struct str rid; struct uuid id; unsigned kind; bool takes; /* its state lets it be taken */ };

struct work {
	struct call *c;
	struct uuid coop;
	int fd;
	const struct archive_import *how;
	const struct archive_info *info;
	const struct archive_coop *from;
	struct archive_report *report;
	struct denials *denials;
	char licence[65];            /* chosen there last; empty: never */
	bool has_public_name;        /* the member may be named publicly here */
	/* of the part that is being read */
	struct tar_file items, lines;
	struct there *there;         /* by line, from 0 */
	struct uuid *here;           /* the same item here; nil: not taken */
	size_t n;
	int64_t *place;              /* of each line that was given to the batch, by its number there: index of `there` */
	size_t given;
};

static void problem(struct work *w, int64_t line, struct str code, struct str message)
{
	struct archive_report *r = w->report;
	if (r->n_problems == ARCHIVE_PROBLEMS)
		return;
	struct archive_problem *p = &r->problems[r->n_problems++];
	p->line = line;
	snprintf(p->code, sizeof(p->code), "%.*s", STR_ARG(code));
	while (message.n >= sizeof(p->message) || (message.n && !str_is_utf8(message)))
		message.n = message.n >= sizeof(p->message) ? sizeof(p->message) - 1 : message.n - 1;
	snprintf(p->message, sizeof(p->message), "%.*s", STR_ARG(message));
}

/* ---- Lines ---- */

/* The next line of a text, without its end; false after the last. */
static bool line_next(struct str *rest, struct str *line)
{
	if (rest->n == 0)
		return false;
	const char *end = memchr(rest->p, '\n', rest->n);
	size_t n = end ? (size_t)(end - rest->p) : rest->n;
	*line = str_make(rest->p, n);
	*rest = str_make(rest->p + n + (end ? 1 : 0), rest->n - n - (end ? 1 : 0));
	return true;
}

typedef enum err (*row_fn)(struct work *w, const struct json *row);

/* Every row of a file; they may be many, but not more than memory can hold as text. */
static enum err each_row(struct work *w, const struct tar_file *f, row_fn fn)
{
	struct call *c = w->c;
	struct arena_mark mark = arena_mark(c->arena);
	struct str rest, line;
	TRY(archive_bytes(c, w->fd, f, ROWS_MAX, &rest));
	while (line_next(&rest, &line)) {
		struct arena_mark at = arena_mark(c->arena);
		const struct json *row;
		TRY(json_parse(c->arena, line, &row, &c->error));
		TRY(fn(w, row));
		arena_rewind(c->arena, at);
	}
	arena_rewind(c->arena, mark);
	return ERR_OK;
}

static enum err take_statement(struct work *w, const struct json *row)
{
	return denials_add(w->denials, row, &w->c->error);
}

static enum err take_licence(struct work *w, const struct json *row)
{
	if (str_is(json_member_text(row, "what"), "licence"))
		snprintf(w->licence, sizeof(w->licence), "%.*s", STR_ARG(json_member_text(row, "licence")));
	return ERR_OK;
}

/* ---- A part ---- */

static enum err take_item(struct work *w, const struct json *row)
{
	int64_t line = json_int(json_get(row, "line"), 0);
	struct str status = json_member_text(row, "status"), kind = json_member_text(row, "kind"), coop;
	if (line == 0)
		return ERR_OK;
	if (line < 1 || (size_t)line > w->n)
		return fail(w->c, ERR_CORRUPT, "An item of the archive is on no line of its part.");
	struct there *t = &w->there[line - 1];
	t->takes = !str_is(status, "withdrawn") && !str_is(status, "restricted") && !str_is(status, "embargoed") && !str_is(status, "erased");
	int no = policy_kind_find(kind.p, kind.n);
	t->kind = no < 0 ? 0 : (unsigned)no;
	if (!rid_parse(json_member_text(row, "rid"), &coop, &t->id))
		return fail(w->c, ERR_CORRUPT, "An item of the archive has no id.");
	return ERR_OK;
}

static void write_steps(struct work *w, struct json_writer *j, const struct json *steps, const struct there *t)
{
	struct arena *a = w->c->arena;
	jw_key(j, "processing");
	jw_array(j);
	unsigned skip = steps && steps->count > STEPS_MAX ? steps->count - STEPS_MAX : 0;
	json_each (step, steps)
		if (skip == 0)
			jw_json(j, step);
		else
			skip--;
	jw_object(j);
	jw_kstr(j, "at", clock_format(a, clock_now()));
	jw_kstr(j, "note", str_fmt(a, "Taken over from %.*s of %.*s, out of an archive of %.10s.", STR_ARG(t->rid), STR_ARG(w->info->instance), clock_format(a, w->info->made_at).p));
	jw_kz(j, "processor", "commonhold-archive");
	jw_kz(j, "stage", "pre_submission");
	jw_kz(j, "version", "1");
	jw_end_object(j);
	jw_end_array(j);
}

/* The line with its provenance in it. A public name that the member has not given here is not used. */
static struct str line_here(struct work *w, const struct json *line, const struct there *t)
{
	struct buf b;
	struct json_writer j;
	buf_init(&b, 2 * LIMIT_BODY_ITEM);
	jw_init(&j, &b);
	jw_object(&j);
	json_each (member, line) {
		if (str_is(member->key, "processing") || (str_is(member->key, "attribution") && str_is(json_text(member), "public") && !w->has_public_name))
			continue;
		jw_key_str(&j, member->key);
		jw_json(&j, member);
	}
	write_steps(w, &j, json_get(line, "processing"), t);
	if (!json_get(line, "source")) {
		jw_key(&j, "source");
		jw_object(&j);
		jw_key(&j, "ids");
		jw_array(&j);
		jw_str(&j, t->rid);
		jw_end_array(&j);
		jw_kz(&j, "system", "commonhold");
		jw_kstr(&j, "url", w->info->instance);
		jw_end_object(&j);
	}
	jw_end_object(&j);
	return buf_take(w->c->arena, &b);
}

static enum err take_verdict(void *arg, const struct verdict *v)
{
	struct work *w = arg;
	struct archive_report *r = w->report;
	int64_t line = w->place[v->line - 1] + 1;
	if (v->err != ERR_OK) {
		const struct fault *f = v->error->faults;
		r->refused++;
		problem(w, line, str_of(err_code(v->err)), f ? f->message : str_of(v->error->message));
		return ERR_OK;
	}
	w->here[line - 1] = v->receipt->id;
	if (v->receipt->duplicate)
		r->duplicates++;
	else if (str_is(v->receipt->status, "approved"))
		r->approved++;
	else
		r->pending++;
	return ERR_OK;
}

static enum err give_lines(struct work *w, struct pool_batch *batch, struct str rest)
{
	struct call *c = w->c;
	struct str line;
	for (size_t i = 0; line_next(&rest, &line); i++) {
		struct arena_mark mark = arena_mark(c->arena);
		const struct json *v;
		w->report->seen++;
		if (!w->there[i].takes) {
			w->report->refused++;
			problem(w, (int64_t)i + 1, STR("withheld_there"), STR("It was withdrawn or held back there, so it is not taken over by itself. Contribute it anew if you want it here."));
			continue;
		}
		TRY(json_parse(c->arena, line, &v, &c->error));
		struct str text = line_here(w, v, &w->there[i]);
		if (!text.p)
			return fail(c, ERR_TOO_LARGE, "A contribution of the archive is too large.");
		w->place[w->given++] = (int64_t)i;
		TRY(pool_batch_line(batch, text));
		arena_rewind(c->arena, mark);
	}
	return ERR_OK;
}

/* What was denied there, of the items of a part that are here now. */
static enum err deny_part(struct work *w)
{
	struct statement say[DENY_AT_ONCE + DENIALS_OF_ITEM], *said;
	size_t n = 0;
	for (size_t i = 0; i < w->n; i++) {
		if (!uuid_is_nil(w->here[i]))
			n += denials_of(w->denials, w->there[i].id, w->there[i].kind, w->here[i], &say[n]);
		if (n == 0 || (n + DENIALS_OF_ITEM <= DENY_AT_ONCE && i + 1 < w->n))
			continue;
		TRY(statement_make(w->c, w->coop, say, n, &said));
		w->report->denials += (int64_t)n;
		n = 0;
	}
	return ERR_OK;
}

static size_t count_lines(struct str text)
{
	size_t n = 0;
	for (struct str line; line_next(&text, &line);)
		n++;
	return n;
}

static enum err take_part(struct work *w)
{
	struct call *c = w->c;
	struct arena_mark mark = arena_mark(c->arena);
	struct pool_batch *batch;
	struct str items, lines, line;
	TRY(archive_bytes(c, w->fd, &w->items, PART_MAX, &items));
	TRY(archive_bytes(c, w->fd, &w->lines, PART_MAX, &lines));
	w->n = count_lines(lines);
	w->given = 0;
	w->there = ARENA_ARRAY(c->arena, w->n, struct there);
	w->here = ARENA_ARRAY(c->arena, w->n, struct uuid);
	w->place = ARENA_ARRAY(c->arena, w->n, int64_t);
	while (line_next(&items, &line)) {
		const struct json *row;
		TRY(json_parse(c->arena, line, &row, &c->error));
		TRY(take_item(w, row));
	}
	for (size_t i = 0; i < w->n; i++)
		w->there[i].rid = rid_format(c->arena, w->from->key_name, w->there[i].id);
	TRY(pool_batch_begin(c, w->coop, take_verdict, w, &batch));
	enum err e = give_lines(w, batch, lines);
	struct error why = c->error;
	enum err ended = pool_batch_end(batch);
	if (e != ERR_OK) {
		c->error = why;
		return e;
	}
	TRY(ended);
	TRY(deny_part(w));
	arena_rewind(c->arena, mark);
	if (w->how->progress)
		w->how->progress(w->how->arg, w->report->seen);
	return ERR_OK;
}

/* ---- The whole ---- */

/* Whether a file is `<folder><stem>-<digits>.jsonl` of the co-op that is taken from. */
static bool is_part(const struct work *w, const struct tar_file *f, const char *stem)
{
	struct str start = str_fmt(w->c->arena, "coops/%.*s/%s-", STR_ARG(w->from->key_name), stem);
	return str_starts(str_of(f->name), start.p);
}

static bool is_file(const struct work *w, const struct tar_file *f, const char *name)
{
	struct str whole = str_fmt(w->c->arena, "coops/%.*s/%s", STR_ARG(w->from->key_name), name);
	return str_eq(str_of(f->name), whole);
}

/* What was said comes first in an archive, then the parts: one pass. */
static enum err take_file(struct work *w, const struct tar_file *f)
{
	if (is_file(w, f, "statements.jsonl"))
		return each_row(w, f, take_statement);
	if (is_file(w, f, "licences.jsonl"))
		return each_row(w, f, take_licence);
	if (is_part(w, f, ARCHIVE_ITEMS)) {
		w->items = *f;
		return ERR_OK;
	}
	if (!is_part(w, f, ARCHIVE_CONTRIBUTIONS))
		return ERR_OK;
	if (w->items.size < 0)
		return fail(w->c, ERR_CORRUPT, "%s comes without its items.", f->name);
	denials_settle(w->denials);
	w->lines = *f;
	enum err e = take_part(w);
	w->items.size = -1;
	return e;
}

static enum err pick_coop(struct call *c, const struct archive_info *info, struct str from, const struct archive_coop **out)
{
	*out = NULL;
	for (size_t i = 0; i < info->n_coops; i++)
		if (from.p ? str_eq(info->coops[i].key_name, from) || str_eq(info->coops[i].slug, from) : info->coops[i].contributions > 0 || info->n_coops == 1) {
			if (*out)
				return fail_field(c, "query/from", "The archive is of several co-ops. Say which one's contributions are meant.");
			*out = &info->coops[i];
		}
	return *out ? ERR_OK : fail_field(c, "query/from", "The archive has nothing of this co-op.");
}

static enum err add_licence(struct work *w, struct archive_report *out)
{
	if (!w->licence[0])
		return ERR_OK;
	struct buf b;
	struct json_writer j;
	buf_init(&b, 1 * KIB);
	jw_init(&j, &b);
	jw_object(&j);
	jw_kz(&j, "licence", w->licence);
	jw_end_object(&j);
	out->offers[out->n_offers++] = (struct archive_offer){ .kind = STR("licence"), .json = buf_take(w->c->arena, &b), .stricter = false,
		.words = str_fmt(w->c->arena, "You chose %s for new contributions.", w->licence) };
	return ERR_OK;
}

static enum err take_all(struct work *w)
{
	struct stat st;
	struct tar_file f;
	bool found = true;
	if (fstat(w->fd, &st) != 0)
		return fail(w->c, ERR_IO, "The archive cannot be read.");
	for (int64_t at = 0; found;) {
		TRY(tar_next(w->fd, st.st_size, &at, &f, &found, &w->c->error));
		if (found)
			TRY(take_file(w, &f));
	}
	return ERR_OK;
}

enum err archive_import(struct call *c, struct uuid coop, int fd, const struct archive_import *how, struct archive_report *out)
{
	struct archive_info info;
	struct pool_terms terms;
	struct work w = { .c = c, .coop = coop, .fd = fd, .how = how, .info = &info, .report = out, .items.size = -1 };
	*out = (struct archive_report){ .problems = ARENA_ARRAY(c->arena, ARCHIVE_PROBLEMS, struct archive_problem) };
	TRY(archive_check(c, fd, how->key, &info));
	TRY(pick_coop(c, &info, how->from, &w.from));
	TRY(pool_terms(c, coop, &terms));
	w.has_public_name = terms.has_public_name;
	TRY(denials_new(c, &w.denials));
	TRY(archive_refused(c, take_all(&w)));
	denials_settle(w.denials);
	TRY(denials_offers(c, w.denials, &out->offers, &out->n_offers));
	return add_licence(&w, out);
}
