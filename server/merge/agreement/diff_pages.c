#include "server/merge/merge_pages.h"

#include "commonhold/chart.h"
#include "commonhold/routes.h"
#include "commonhold/words.h"

/* Two charters side by side, for people: what stands in the way first, then what would be taken, what each keeps, and what is the same. */

static const struct { const char *key, *class, *label, *means; } verdicts[TERMS_VERDICT_COUNT] = {
	[TERMS_SAME] = { "same", "include", "The same in both", "Both charters say it alike." },
	[TERMS_STRICTER] = { "stricter", "hold", "The stricter of both is taken", "They differ; an agreement takes what is stricter." },
	[TERMS_BLOCKS] = { "blocks", "exclude", "In the way", "Nothing is left that both allow: one of them would have to change." },
	[TERMS_OWN] = { "own", "info", "Each keeps its own", "It is about how a co-op governs itself." },
};

static void lines_write(struct json_writer *w, const struct terms_diff *d, enum terms_verdict verdict)
{
	const char *group = "";
	jw_key(w, "lines");
	jw_array(w);
	for (size_t i = 0; i < d->n; i++) {
		const struct terms_line *l = &d->lines[i];
		if (l->verdict != verdict)
			continue;
		jw_object(w);
		jw_kz(w, "group", strcmp(group, l->group) ? l->group : NULL);
		jw_kz(w, "label", l->label);
		jw_kstr(w, "ours", l->ours.n ? l->ours : STR("nothing"));
		jw_kstr(w, "theirs", l->theirs.n ? l->theirs : STR("nothing"));
		jw_kstr(w, "taken", l->taken.n ? l->taken : STR("nothing"));
		jw_kstr(w, "why", l->why);
		jw_end_object(w);
		group = l->group;
	}
	jw_end_array(w);
}

static void numbers_write(struct json_writer *w, struct arena *a, const struct terms_diff *d)
{
	const size_t count[TERMS_VERDICT_COUNT] = { d->n - d->differ, d->stricter, d->blocks, d->differ - d->stricter - d->blocks };
	static const enum terms_verdict order[] = { TERMS_BLOCKS, TERMS_STRICTER, TERMS_OWN, TERMS_SAME };
	struct chart_bar bars[TERMS_VERDICT_COUNT];
	jw_key(w, "numbers");
	jw_array(w);
	for (size_t i = 0; i < CH_LEN(order); i++) {
		enum terms_verdict v = order[i];
		bars[i] = (struct chart_bar){ .label = str_of(verdicts[v].label), .value = (int64_t)count[v], .class = verdicts[v].class };
		jw_object(w);
		jw_kz(w, "label", verdicts[v].label);
		jw_kint(w, "count", (int64_t)count[v]);
		jw_kz(w, "means", verdicts[v].means);
		jw_end_object(w);
	}
	jw_end_array(w);
	jw_kstr(w, "picture", chart_parts(a, "Fields of the two charters", bars, CH_LEN(order), (int64_t)d->n));
	for (int v = 0; v < TERMS_VERDICT_COUNT; v++) {
		if (!count[v])
			continue;
		jw_key(w, verdicts[v].key);
		jw_object(w);
		lines_write(w, d, (enum terms_verdict)v);
		jw_end_object(w);
	}
}

static void charter_write(struct json_writer *w, struct arena *a, const char *key, const struct charter *charter)
{
	jw_key(w, key);
	jw_object(w);
	jw_kstr(w, "name", charter->name);
	jw_kstr(w, "version", charter->version ? str_fmt(a, "version %d", charter->version) : STR_NONE);
	jw_kstr(w, "digest", sha256_hex(a, charter->digest));
	jw_end_object(w);
}

static enum err diff_data(struct json_writer *w, struct request *rq, struct response *rs, struct str envelope)
{
	struct call *c = rq->call;
	struct uuid id;
	struct peer peer;
	struct charter ours, theirs;
	struct terms_diff d;
	TRY(request_param_uuid(rq, 1, &id));
	TRY(peer_read(c, rq->coop.id, id, &peer));
	jw_kstr(w, "title", str_fmt(c->arena, "Our charter and that of %.*s", STR_ARG(peer_called(&peer))));
	jw_kstr(w, "coop", rq->coop.slug);
	jw_kstr(w, "peer", uuid_format(c->arena, id));
	jw_kstr(w, "called", peer_called(&peer));
	enum err e = terms_diff_with_peer(c, rq->coop.id, id, envelope, &ours, &theirs, &d);
	if (e != ERR_OK)
		return page_form_said(rq, rs, e, w);
	jw_key(w, "diff");
	jw_object(w);
	charter_write(w, c->arena, "ours", &ours);
	charter_write(w, c->arena, "theirs", &theirs);
	jw_kstr(w, "words", d.words);
	jw_kbool(w, "possible", d.possible);
	jw_kbool(w, "joint", d.joint);
	numbers_write(w, c->arena, &d);
	jw_kbool(w, "may_draft", d.possible && rq->coop.is_admin && peer.state == PEER_CONFIRMED);
	jw_kbool(w, "must_confirm", d.possible && rq->coop.is_admin && peer.state != PEER_CONFIRMED);
	jw_kstr(w, "envelope", envelope);
	jw_end_object(w);
	return ERR_OK;
}

static enum err show(struct request *rq, struct response *rs, struct str envelope)
{
	struct buf b;
	struct json_writer w = page_begin(&b);
	return page_end(rq, rs, "page/merge_diff", &b, &w, diff_data(&w, rq, rs, envelope));
}

static enum err diff_page(struct request *rq, struct response *rs)
{
	return show(rq, rs, STR_NONE);
}

static enum err diff_file(struct request *rq, struct response *rs)
{
	struct form_file file;
	return show(rq, rs, request_file(rq, "charter", &file) && file.content.n ? file.content : STR("{}"));
}

#define ONE "/coops/{coop}/peers/{peer}"
const struct route merge_diff_page_routes[] = {
	{ "GET", ONE "/diff", "page_merge_diff", PERM_ACTIVE, 0, NULL, "text/html", 200, diff_page, "Our charter beside a partner's", ROUTE_EXPENSIVE },
	{ "POST", ONE "/diff", "page_merge_diff_file", PERM_ACTIVE, LIMIT_BODY_ITEM, "form", "text/html", 200, diff_file, "The same with its signed charter from a file", ROUTE_EXPENSIVE },
	{ "GET", ONE "/draft", "page_agreement_draft", PERM_ADMIN, 0, NULL, "text/html", 200, draft_page, "The form to draft an agreement", ROUTE_EXPENSIVE },
	{ "POST", ONE "/draft", "page_agreement_draft_submit", PERM_ADMIN, LIMIT_BODY_ITEM, "form", "text/html", 303, draft_submit, "Drafts an agreement", ROUTE_EXPENSIVE },
	ROUTE_TABLE_END
};
