#include "server/merge/merge_pages.h"

#include "commonhold/chart.h"
#include "commonhold/db.h"
#include "commonhold/preview.h"
#include "commonhold/routes.h"
#include "commonhold/words.h"

/* What an agreement would do, before anybody votes: both pools alone and together, by outcome and reason, and what it would mean for the contributions of whoever looks. */

#define LIVE_SECONDS "4" /* while the partner's preview, or the computing, is awaited */

static struct str count_at(struct arena *a, const struct json *o, const char *key)
{
	return words_count(a, json_int(json_get(o, key), 0));
}

/* People are told as a number only where they are not too few. */
static struct str people_at(struct arena *a, const struct json *o, const char *key)
{
	return json_is(json_get(o, key), JSON_NULL) ? STR("too few to tell") : count_at(a, o, key);
}

static const char *reason_words(struct str name)
{
	int no = name.p ? policy_reason_find(name.p, name.n) : -1;
	return no >= 0 ? words_reason((unsigned)no) : "Another reason";
}

/* ---- Pictures, each with the numbers behind ---- */

static const char *outcome_class(unsigned outcome)
{
	return outcome == POLICY_INCLUDE ? "include" : outcome == POLICY_CONDITIONAL ? "conditional" : outcome == POLICY_HOLD ? "hold" : outcome == POLICY_EXCLUDE ? "exclude" : "neutral";
}

/* Both pools alone, together and with the partner, by outcome. */
static void outcomes_write(struct json_writer *w, struct arena *a, const struct json *sides[2], const struct str names[2])
{
	static const struct { const char *key, *words; } ways[] = { { "alone", "alone" }, { "joint", "together" }, { "at_partner", "with the partner" } };
	struct chart_part parts[POLICY_OUTCOME_COUNT];
	struct chart_stack rows[CH_LEN(ways) * 2];
	int64_t values[CH_LEN(ways) * 2][POLICY_OUTCOME_COUNT];
	for (unsigned o = 0; o < POLICY_OUTCOME_COUNT; o++)
		parts[o] = (struct chart_part){ words_outcome(o), outcome_class(o) };
	size_t n = 0;
	for (int s = 0; s < 2; s++)
		for (size_t k = 0; k < CH_LEN(ways); k++, n++) {
			const struct json *counts = json_get(sides[s], ways[k].key);
			for (unsigned o = 0; o < POLICY_OUTCOME_COUNT; o++)
				values[n][o] = json_int(json_get(counts, policy_outcome_name(o)), 0);
			rows[n] = (struct chart_stack){ .label = str_fmt(a, "%.*s, %s", STR_ARG(names[s]), ways[k].words), .parts = values[n] };
		}
	jw_kstr(w, "outcomes_picture", chart_stacks(a, &(struct chart_stacks){ "Contributions by outcome", parts, POLICY_OUTCOME_COUNT, rows, n }));
	jw_key(w, "outcomes");
	jw_array(w);
	for (unsigned o = 0; o < POLICY_OUTCOME_COUNT; o++) {
		jw_object(w);
		jw_kz(w, "words", words_outcome(o));
		jw_kz(w, "class", outcome_class(o));
		jw_end_object(w);
	}
	jw_end_array(w);
	jw_key(w, "outcome_rows");
	jw_array(w);
	for (size_t i = 0; i < n; i++) {
		jw_object(w);
		jw_kstr(w, "label", rows[i].label);
		jw_key(w, "cells");
		jw_array(w);
		for (unsigned o = 0; o < POLICY_OUTCOME_COUNT; o++) {
			jw_object(w);
			jw_kz(w, "words", words_outcome(o));
			jw_kstr(w, "value", words_count(a, values[i][o]));
			jw_end_object(w);
		}
		jw_end_array(w);
		jw_end_object(w);
	}
	jw_end_array(w);
}

/* From what to what the contributions of one side move. */
static void moves_write(struct json_writer *w, struct arena *a, const struct json *side)
{
	struct chart_bar bars[POLICY_OUTCOME_COUNT * POLICY_OUTCOME_COUNT];
	size_t n = 0;
	jw_key(w, "moves");
	jw_array(w);
	for (unsigned from = 0; from < POLICY_OUTCOME_COUNT; from++)
		for (unsigned to = 0; to < POLICY_OUTCOME_COUNT; to++) {
			int64_t items = json_int(json_get(json_get(json_get(side, "moved"), policy_outcome_name(from)), policy_outcome_name(to)), 0);
			if (!items)
				continue;
			bars[n++] = (struct chart_bar){ .value = items, .class = outcome_class(to),
				.label = from == to ? str_fmt(a, "%s, as before", words_outcome(to)) : str_fmt(a, "%s → %s", words_outcome(from), words_outcome(to)) };
			jw_object(w);
			jw_kz(w, "from", words_outcome(from));
			jw_kz(w, "to", words_outcome(to));
			jw_kstr(w, "items", words_count(a, items));
			jw_end_object(w);
		}
	jw_end_array(w);
	jw_kbool(w, "any_moves", n > 0);
	jw_kstr(w, "moves_picture", n ? chart_bars(a, "From a release of its own to a joint one", bars, n) : STR_NONE);
}

static void reasons_write(struct json_writer *w, struct arena *a, const struct json *counts, const char *title, const char *class)
{
	struct chart_bar *bars = ARENA_ARRAY(a, POLICY_REASON_COUNT + 1, struct chart_bar);
	size_t n = 0;
	jw_object(w);
	jw_kz(w, "heading", title);
	jw_key(w, "rows");
	jw_array(w);
	json_each(r, counts) {
		if (n >= POLICY_REASON_COUNT)
			break;
		bars[n] = (struct chart_bar){ .label = str_of(reason_words(r->key)), .value = json_int(r, 0), .class = class };
		jw_object(w);
		jw_kstr(w, "words", bars[n].label);
		jw_kstr(w, "items", words_count(a, bars[n].value));
		jw_end_object(w);
		n++;
	}
	jw_end_array(w);
	jw_kstr(w, "picture", n ? chart_bars(a, title, bars, n) : STR_NONE);
	jw_end_object(w);
}

/* ---- Parts ---- */

static void side_write(struct json_writer *w, struct arena *a, const struct json *side, struct str name)
{
	jw_object(w);
	jw_kstr(w, "name", name);
	jw_kstr(w, "candidates", words_things(a, json_int(json_get(side, "candidates"), 0), "contribution", "contributions"));
	jw_kstr(w, "gained", count_at(a, side, "items_gained"));
	jw_kstr(w, "lost", count_at(a, side, "items_lost"));
	jw_kstr(w, "people", people_at(a, side, "people"));
	jw_kstr(w, "people_gained", people_at(a, side, "people_gained"));
	jw_kstr(w, "people_lost", people_at(a, side, "people_lost"));
	moves_write(w, a, side);
	jw_key(w, "reasons");
	jw_array(w);
	if (json_get(side, "reasons_gained") && json_get(side, "reasons_gained")->count)
		reasons_write(w, a, json_get(side, "reasons_gained"), "What would keep contributions out together that does not alone", "exclude");
	if (json_get(side, "reasons_lost") && json_get(side, "reasons_lost")->count)
		reasons_write(w, a, json_get(side, "reasons_lost"), "What keeps contributions out alone that would not together", "include");
	if (json_get(side, "at_partner_reasons") && json_get(side, "at_partner_reasons")->count)
		reasons_write(w, a, json_get(side, "at_partner_reasons"), "What would keep them out of the partner’s own releases", "hold");
	jw_end_array(w);
	jw_end_object(w);
}

static struct str list_at(struct arena *a, const struct json *names)
{
	struct buf b;
	bool any = false;
	buf_init(&b, 16 * KIB);
	json_each(name, names) {
		buf_add_z(&b, any ? ", " : "");
		buf_add_str(&b, name->text);
		any = true;
	}
	return any ? buf_take(a, &b) : (buf_release(&b), STR_NONE);
}

static void licences_write(struct json_writer *w, struct arena *a, const struct json *plan)
{
	bool any = false;
	jw_key(w, "shards");
	jw_array(w);
	json_each(s, json_get(plan, "shards")) {
		jw_object(w);
		jw_kstr(w, "output", json_member_text(s, "output"));
		jw_kstr(w, "licences", list_at(a, json_get(s, "licences")));
		jw_kstr(w, "items", count_at(a, s, "items"));
		jw_end_object(w);
		any = true;
	}
	jw_end_array(w);
	jw_kbool(w, "any_shards", any);
	jw_kstr(w, "outcast", list_at(a, json_get(plan, "outcast")));
	jw_key(w, "blockers");
	jw_array(w);
	json_each(b, json_get(plan, "blockers"))
		jw_str(w, list_at(a, json_get(b, "licences")));
	jw_end_array(w);
	jw_kbool(w, "any_blockers", json_get(plan, "blockers") && json_get(plan, "blockers")->count > 0);
}

static void conflicts_write(struct json_writer *w, struct arena *a, const struct json *doc)
{
	const struct json *conflicts = json_get(doc, "conflicts");
	jw_kstr(w, "duplicates", count_at(a, doc, "duplicates"));
	jw_kstr(w, "differ_permission", count_at(a, conflicts, "permission"));
	jw_kstr(w, "differ_licence", count_at(a, conflicts, "licence"));
	jw_kstr(w, "differ_kind", count_at(a, conflicts, "kind"));
}

static enum err own_write(struct json_writer *w, struct request *rq, struct sha256 digest, const struct sha256 *which)
{
	struct call *c = rq->call;
	struct dry_run_own own;
	const struct json *lost;
	enum err e = dry_run_mine(c, rq->coop.id, digest, which, &own);
	if (e == ERR_NOT_FOUND) {
		db_rollback(c);
		error_clear(&c->error);
		return ERR_OK;
	}
	TRY(e);
	TRY(json_parse(c->arena, own.lost, &lost, &c->error));
	struct chart_bar bars[] = {
		{ .label = STR("Yours that were looked at"), .value = own.items, .class = "neutral" },
		{ .label = STR("In a release of this co-op alone"), .value = own.in_alone, .class = "include" },
		{ .label = STR("In a joint release"), .value = own.in_joint, .class = "include" },
		{ .label = STR("In a release of the partner"), .value = own.at_partner, .class = "info" },
	};
	jw_key(w, "own");
	jw_object(w);
	jw_kstr(w, "goes", words_things(c->arena, own.at_partner, "contribution", "contributions"));
	jw_kbool(w, "any_goes", own.at_partner > 0);
	jw_kstr(w, "picture", chart_bars(c->arena, "What it would mean for yours", bars, CH_LEN(bars)));
	jw_key(w, "rows");
	jw_array(w);
	for (size_t i = 0; i < CH_LEN(bars); i++) {
		jw_object(w);
		jw_kstr(w, "label", bars[i].label);
		jw_kstr(w, "value", words_count(c->arena, bars[i].value));
		jw_end_object(w);
	}
	jw_end_array(w);
	jw_kbool(w, "any_lost", lost->count > 0);
	jw_key(w, "lost");
	jw_array(w);
	json_each(r, lost) {
		jw_object(w);
		jw_kz(w, "words", reason_words(r->key));
		jw_kstr(w, "items", words_count(c->arena, json_int(r, 0)));
		jw_end_object(w);
	}
	jw_end_array(w);
	jw_end_object(w);
	return ERR_OK;
}

/* A dry run's document and its two sides, ours first. */
static enum err document_read(struct call *c, const struct agreement *g, const struct dry_run *run, const struct json **doc, const struct json *sides[2])
{
	sides[0] = sides[1] = NULL;
	TRY(json_parse(c->arena, run->document, doc, &c->error));
	json_each(side, json_get(*doc, "parties"))
		sides[!str_eq(json_member_text(side, "coop"), g->terms.parties[g->us])] = side;
	return ERR_OK;
}

static int64_t let_in(const struct json *outcomes)
{
	return json_int(json_get(outcomes, policy_outcome_name(POLICY_INCLUDE)), 0) + json_int(json_get(outcomes, policy_outcome_name(POLICY_CONDITIONAL)), 0);
}

enum err dry_run_summary_write(struct json_writer *w, struct call *c, const struct agreement *g, const struct dry_run *run)
{
	struct arena *a = c->arena;
	const struct json *doc, *sides[2];
	const struct str names[2] = { g->terms.names[g->us], g->terms.names[!g->us] };
	TRY(document_read(c, g, run, &doc, sides));
	const struct json *joint = json_get(doc, "joint");
	jw_key(w, "run");
	jw_object(w);
	jw_kstr(w, "at", words_minute(a, run->at));
	jw_kstr(w, "sha256", sha256_hex(a, run->digest));
	jw_kstr(w, "released", words_count(a, let_in(json_get(joint, "outcomes"))));
	jw_kstr(w, "contributors", people_at(a, joint, "contributors"));
	conflicts_write(w, a, doc);
	jw_key(w, "sides");
	jw_array(w);
	for (int i = 0; i < 2; i++) {
		jw_object(w);
		jw_kstr(w, "name", names[i]);
		jw_kstr(w, "alone", words_count(a, let_in(json_get(sides[i], "alone"))));
		jw_kstr(w, "joint", words_count(a, let_in(json_get(sides[i], "joint"))));
		jw_kstr(w, "at_partner", words_count(a, let_in(json_get(sides[i], "at_partner"))));
		jw_kstr(w, "gained", count_at(a, sides[i], "items_gained"));
		jw_kstr(w, "lost", count_at(a, sides[i], "items_lost"));
		jw_kstr(w, "people", people_at(a, sides[i], "people"));
		jw_end_object(w);
	}
	jw_end_array(w);
	licences_write(w, a, json_get(doc, "licences"));
	jw_end_object(w);
	return ERR_OK;
}

static enum err run_write(struct json_writer *w, struct request *rq, const struct agreement *g, const struct dry_run *run)
{
	struct arena *a = rq->call->arena;
	const struct json *doc, *sides[2];
	const struct str names[2] = { g->terms.names[g->us], g->terms.names[!g->us] };
	TRY(document_read(rq->call, g, run, &doc, sides));
	const struct json *joint = json_get(doc, "joint"), *outcomes = json_get(joint, "outcomes");
	jw_key(w, "run");
	jw_object(w);
	jw_kstr(w, "at", words_minute(a, run->at));
	jw_kstr(w, "digest", sha256_hex(a, run->digest));
	jw_kstr(w, "agreement", sha256_hex(a, g->terms.digest));
	jw_kstr(w, "released", words_count(a, let_in(outcomes)));
	jw_kstr(w, "contributors", people_at(a, joint, "contributors"));
	jw_kint(w, "k", json_int(json_get(joint, "k"), 0));
	conflicts_write(w, a, doc);
	outcomes_write(w, a, sides, names);
	jw_key(w, "sides");
	jw_array(w);
	for (int i = 0; i < 2; i++)
		side_write(w, a, sides[i], names[i]);
	jw_end_array(w);
	licences_write(w, a, json_get(doc, "licences"));
	jw_end_object(w);
	return ERR_OK;
}

/* ---- Previews ---- */

static void preview_row(struct json_writer *w, struct arena *a, struct str name, const struct preview_kept *k)
{
	jw_object(w);
	jw_kstr(w, "name", name);
	if (k) {
		jw_kstr(w, "as_of", words_minute(a, k->as_of));
		jw_kstr(w, "items", words_count(a, k->items));
		jw_kstr(w, "people", words_count(a, k->people));
		jw_kstr(w, "size", words_size(a, k->size));
		jw_kstr(w, "digest", sha256_hex(a, k->digest));
	}
	jw_end_object(w);
}

static enum err previews_write(struct json_writer *w, struct request *rq, const struct agreement *g, const struct dry_run *run)
{
	struct arena *a = rq->call->arena;
	struct preview_kept kept[2];
	const struct preview_kept *ours = NULL, *theirs = NULL;
	size_t n;
	TRY(preview_list(rq->call, rq->coop.id, g->terms.digest, kept, &n));
	for (size_t i = 0; i < n; i++)
		*(kept[i].ours ? &ours : &theirs) = &kept[i];
	jw_key(w, "previews");
	jw_array(w);
	preview_row(w, a, g->terms.names[g->us], ours);
	preview_row(w, a, g->terms.names[!g->us], theirs);
	jw_end_array(w);
	jw_kbool(w, "have_ours", ours != NULL);
	bool up_to_date = run && ours && theirs && sha256_eq(run->ours, ours->digest) && sha256_eq(run->theirs, theirs->digest);
	bool computing = ours && theirs && !up_to_date;
	jw_kz(w, "waits", ours && !theirs ? "for the partner" : computing ? "for the computing" : NULL);
	jw_kbool(w, "waits_partner", ours && !theirs);
	jw_kbool(w, "waits_computing", computing);
	jw_kbool(w, "partner_waits", theirs && !ours);
	jw_kz(w, "refresh", (ours && !theirs) || computing ? LIVE_SECONDS : NULL);
	return ERR_OK;
}

/* ---- The page ---- */

static enum err dry_run_data(struct json_writer *w, struct request *rq, struct response *rs, enum err refused)
{
	struct call *c = rq->call;
	struct agreement g;
	struct sha256 digest, asked;
	struct dry_run run;
	struct str which = request_query(rq, "run");
	TRY(page_form_said(rq, rs, refused, w));
	if (which.p && !sha256_parse(which, &asked))
		return fail(c, ERR_NOT_FOUND, "There is no such dry run.");
	TRY(agreement_param(rq, &digest));
	TRY(agreement_read(c, rq->coop.id, digest, &g));
	jw_kstr(w, "title", str_fmt(c->arena, "What sharing with %.*s would do", STR_ARG(g.partner_title)));
	jw_kstr(w, "coop", rq->coop.slug);
	jw_kstr(w, "digest", sha256_hex(c->arena, digest));
	jw_kstr(w, "partner", g.partner_title);
	jw_kbool(w, "admin", rq->coop.is_admin);
	jw_kbool(w, "is_draft", g.state == AGREEMENT_DRAFTED);
	jw_kbool(w, "may_make", rq->coop.is_admin && g.state != AGREEMENT_DRAFTED && !agreement_over(g.state));
	jw_kbool(w, "voted_on", which.p != NULL);
	enum err e = dry_run_read(c, rq->coop.id, digest, which.p ? &asked : NULL, &run);
	if (e == ERR_NOT_FOUND) {
		db_rollback(c);
		error_clear(&c->error);
		return previews_write(w, rq, &g, NULL);
	}
	TRY(e);
	TRY(previews_write(w, rq, &g, &run));
	TRY(own_write(w, rq, digest, &run.digest));
	return run_write(w, rq, &g, &run);
}

static enum err show(struct request *rq, struct response *rs, enum err refused)
{
	struct buf b;
	struct json_writer w = page_begin(&b);
	return page_end(rq, rs, "page/dry_run", &b, &w, dry_run_data(&w, rq, rs, refused));
}

static enum err dry_run_page(struct request *rq, struct response *rs)
{
	return show(rq, rs, ERR_OK);
}

/* Once both are there the dry run is computed at once, so that nobody has to ask for it. */
static enum err try_out(struct request *rq, struct sha256 digest)
{
	struct dry_run run;
	enum err e = dry_run_make(rq->call, rq->coop.id, digest, &run);
	if (e == ERR_STATE) {
		db_rollback(rq->call);
		error_clear(&rq->call->error);
		return ERR_OK;
	}
	return e;
}

static enum err make_form(struct request *rq, struct response *rs)
{
	struct sha256 digest;
	struct preview_kept kept;
	TRY(agreement_param(rq, &digest));
	enum err e = preview_make(rq->call, rq->coop.id, digest, &kept);
	if (e == ERR_OK)
		e = try_out(rq, digest);
	return e == ERR_OK ? response_done(rq, rs, STR("Our preview is made, and the partner is told."), agreement_place(rq, digest, "/dry-run")) : show(rq, rs, e);
}

static enum err import_form(struct request *rq, struct response *rs)
{
	struct sha256 digest;
	struct preview_kept kept;
	struct form_file file;
	TRY(agreement_param(rq, &digest));
	enum err e = request_file(rq, "preview", &file) && file.content.n ? preview_import(rq->call, rq->coop.id, digest, file.content, &kept)
		: fail_field(rq->call, "/preview", "Choose the file that the partner gave you.");
	if (e == ERR_OK)
		e = try_out(rq, digest);
	return e == ERR_OK ? response_done(rq, rs, STR("The partner’s preview is taken."), agreement_place(rq, digest, "/dry-run")) : show(rq, rs, e);
}

#define ONE "/coops/{coop}/agreements/{agreement}/dry-run"
const struct route dry_run_page_routes[] = {
	{ "GET", ONE, "page_dry_run", PERM_ACTIVE, 0, NULL, "text/html", 200, dry_run_page, "What an agreement would do", 0, "run" },
	{ "POST", ONE, "page_preview_make", PERM_ADMIN, LIMIT_BODY_SMALL, "form", "text/html", 303, make_form, "Make our preview", ROUTE_EXPENSIVE },
	{ "POST", ONE "/partner", "page_preview_import", PERM_ADMIN, LIMIT_BODY_ITEM * 8, "form", "text/html", 303, import_form, "Take the partner's preview from a file", ROUTE_EXPENSIVE },
	ROUTE_TABLE_END
};
