#include "server/merge/merge_internal.h"
#include "server/merge/merge_pages.h"

#include "commonhold/chart.h"
#include "commonhold/origin.h"
#include "commonhold/routes.h"
#include "commonhold/words.h"

/* What merging could not settle by rule, for admins: the queue, one conflict with its proof and how it is decided, and what is known of near duplicates. */

#define CLUSTERS_SHOWN 10
#define TEXTS_SHOWN 5 /* of each group */
#define REASON_MAX 1000 /* characters, as the operation has it */

static const char *const titles[MERGE_CONFLICT_KIND_COUNT] = {
	[MERGE_EQUIVOCATION] = "Two signed versions", [MERGE_SUPPRESSED] = "Was erased here", [MERGE_UNMAPPED] = "Schema without a mapping", [MERGE_ID_TAKEN] = "Id is taken", [MERGE_NEAR_LOSS] = "Near duplicates cost too much",
};

static const struct { const char *word, *words; } decisions[] = {
	{ "keep_out", "Keep it out" }, { "keep_raw", "Keep the records as they came" }, { "leave_out", "Leave the records out of releases" }, { "keep_all", "Keep the near duplicates in" },
	{ "accept_loss", "Accept the loss" },
};

static struct str decision_words(struct str word)
{
	for (size_t i = 0; i < CH_LEN(decisions); i++)
		if (str_is(word, decisions[i].word))
			return str_of(decisions[i].words);
	return word;
}

/* What the members of a detail are called; one that is not here is for programs. */
static const struct { const char *name, *words; } details[] = {
	{ "schema", "Schema" }, { "records", "Records of it" }, { "licence", "Licence" }, { "leaf", "Place in its home’s log" }, { "lost", "Would be left out" }, { "texts", "Of its texts" },
};

static const char *detail_words(struct str name)
{
	for (size_t i = 0; i < CH_LEN(details); i++)
		if (str_is(name, details[i].name))
			return details[i].words;
	return NULL;
}

/* The members of a canonical object that people have words for, one a line of a list; nothing where it is none. */
static void detail_write(struct json_writer *w, struct arena *a, const char *name, const struct json *tree)
{
	jw_key(w, name);
	jw_array(w);
	json_each(member, tree && tree->type == JSON_OBJECT ? tree : NULL) {
		const char *words = detail_words(member->key);
		if (!words || (member->type != JSON_STRING && member->type != JSON_NUMBER))
			continue;
		jw_object(w);
		jw_kz(w, "name", words);
		jw_kstr(w, "value", member->type == JSON_STRING ? member->text : words_count(a, json_int(member, 0)));
		jw_end_object(w);
	}
	jw_end_array(w);
}

static const struct json *parsed(struct arena *a, struct str text)
{
	const struct json *tree;
	struct error e = { 0 };
	return text.n && json_parse(a, text, &tree, &e) == ERR_OK ? tree : NULL;
}

static void conflict_members(struct json_writer *w, struct request *rq, const struct origin_names *names, const struct merge_conflict *k)
{
	struct arena *a = rq->call->arena;
	const struct json *detail = parsed(a, k->detail);
	struct str home;
	struct uuid item;
	bool of_log = str_is(json_member_text(detail, "about"), "log");
	jw_kstr(w, "id", uuid_format(a, k->id));
	jw_kz(w, "kind", of_log ? "A rewritten log" : titles[k->kind]);
	jw_kz(w, "means", of_log ? "The home has signed two states of its log that cannot both be true. Nothing more is taken from it until somebody has looked." : merge_conflict_text(k->kind));
	jw_kstr(w, "home", k->home.n ? home_called(names, k->home, rq->coop.title) : STR_NONE);
	jw_kstr(w, "rid", k->rid.n ? k->rid : STR_NONE);
	jw_kstr(w, "item", k->kind == MERGE_EQUIVOCATION && k->rid.n && rid_parts(k->rid, &home, &item) ? uuid_format(a, item) : STR_NONE);
	jw_kstr(w, "found", words_minute(a, k->found_at));
	jw_kbool(w, "open", !k->decision.p);
	jw_kstr(w, "decided", k->decision.p ? decision_words(k->decision) : STR_NONE);
	jw_kstr(w, "decided_on", k->decision.p ? words_minute(a, k->decided_at) : STR_NONE);
	jw_kstr(w, "why", k->reason);
	jw_kstr(w, "raw_detail", k->detail.n ? k->detail : STR_NONE);
	detail_write(w, a, "detail", detail);
}

/* ---- Near duplicates ---- */

static void losses_write(struct json_writer *w, struct request *rq, const struct origin_names *names, const struct merge_near_run *run)
{
	struct arena *a = rq->call->arena;
	struct chart_bar *bars = ARENA_ARRAY(a, run->n_losses + 1, struct chart_bar);
	jw_key(w, "losses");
	jw_array(w);
	for (size_t i = 0; i < run->n_losses; i++) {
		const struct merge_near_loss *l = &run->losses[i];
		struct str share = str_fmt(a, "%.1f %%", l->texts ? 100.0 * (double)l->lost / (double)l->texts : 0.0);
		struct str who = l->coop ? home_called(names, l->who, rq->coop.title) : l->who;
		bars[i] = (struct chart_bar){ .label = who, .value = l->texts ? l->lost * 1000 / l->texts : 0, .class = l->fair ? "neutral" : "exclude", .text = share };
		jw_object(w);
		jw_kstr(w, "who", who);
		jw_kz(w, "what", l->coop ? "a co-op" : "a contributor");
		jw_kstr(w, "texts", words_count(a, l->texts));
		jw_kstr(w, "lost", words_count(a, l->lost));
		jw_kstr(w, "share", share);
		jw_kbool(w, "fair", l->fair);
		jw_end_object(w);
	}
	jw_end_array(w);
	jw_kbool(w, "any_losses", run->n_losses > 0);
	jw_kstr(w, "picture", run->n_losses ? chart_parts(a, "Share of its texts that each would lose", bars, run->n_losses, 1000) : STR_NONE);
}

/* The first few of a group, by what they say. */
static void cluster_write(struct json_writer *w, struct request *rq, const struct origin_names *names, const struct merge_near_cluster *cluster)
{
	struct arena *a = rq->call->arena;
	jw_object(w);
	jw_kstr(w, "no", words_count(a, cluster->no + 1));
	jw_kstr(w, "size", words_count(a, (int64_t)cluster->n));
	jw_kstr(w, "more", cluster->n > TEXTS_SHOWN ? words_count(a, (int64_t)(cluster->n - TEXTS_SHOWN)) : STR_NONE);
	jw_key(w, "texts");
	jw_array(w);
	for (size_t i = 0; i < cluster->n && i < TEXTS_SHOWN; i++) {
		struct str home, excerpt;
		struct uuid id;
		if (!rid_parts(cluster->rids[i], &home, &id))
			continue;
		excerpt = item_excerpt(rq->call, rq->coop.id, id);
		jw_object(w);
		jw_kstr(w, "id", uuid_format(a, id));
		jw_kstr(w, "home", home_called(names, home, rq->coop.title));
		jw_kstr(w, "excerpt", excerpt.p ? excerpt : STR("Its content is gone."));
		jw_end_object(w);
	}
	jw_end_array(w);
	jw_end_object(w);
}

static enum err near_write(struct json_writer *w, struct request *rq, const struct origin_names *names)
{
	struct arena *a = rq->call->arena;
	struct merge_near_run run;
	struct merge_near_cluster *clusters;
	struct str next;
	size_t n;
	TRY(merge_near_read(rq->call, rq->coop.id, request_query(rq, "near"), CLUSTERS_SHOWN, &run, &clusters, &n, &next));
	jw_kstr(w, "near_at", words_minute(a, run.at));
	jw_kstr(w, "texts", words_count(a, run.texts));
	jw_kstr(w, "clusters_found", words_count(a, run.clusters));
	jw_kstr(w, "near", words_count(a, run.near));
	jw_kint(w, "per_cent", run.per_cent);
	jw_kbool(w, "fair", run.fair);
	losses_write(w, rq, names, &run);
	jw_kbool(w, "any_clusters", n > 0);
	jw_kstr(w, "near_next", next);
	jw_key(w, "clusters");
	jw_array(w);
	for (size_t i = 0; i < n; i++)
		cluster_write(w, rq, names, &clusters[i]);
	jw_end_array(w);
	return ERR_OK;
}

/* ---- The queue ---- */

static enum err queue_data(struct json_writer *w, struct request *rq)
{
	struct merge_conflict *found;
	struct origin_names names;
	struct str next;
	size_t n;
	bool all = str_is(request_query(rq, "all"), "true");
	jw_kz(w, "title", "Conflicts of merging");
	jw_kstr(w, "coop", rq->coop.slug);
	jw_kbool(w, "all", all);
	TRY(home_names(rq->call, rq->coop.id, &names));
	TRY(merge_conflict_list(rq->call, rq->coop.id, all, request_query(rq, "cursor"), LIMIT_PAGE_DEFAULT, &found, &n, &next));
	jw_kbool(w, "any", n > 0);
	jw_kstr(w, "next", next);
	jw_key(w, "conflicts");
	jw_array(w);
	for (size_t i = 0; i < n; i++) {
		jw_object(w);
		conflict_members(w, rq, &names, &found[i]);
		jw_end_object(w);
	}
	jw_end_array(w);
	return near_write(w, rq, &names);
}

static enum err queue_page(struct request *rq, struct response *rs)
{
	struct buf b;
	struct json_writer w = page_begin(&b);
	return page_end(rq, rs, "page/conflicts", &b, &w, queue_data(&w, rq));
}

/* ---- One ---- */

static void choices_write(struct json_writer *w, struct request *rq, enum merge_conflict_kind kind)
{
	struct str rest = str_of(merge_conflict_decisions(kind)), word, typed = rq->body.n ? request_form(rq, "decision") : STR_NONE;
	jw_key(w, "choices");
	jw_array(w);
	while (str_split(&rest, ' ', &word)) {
		jw_object(w);
		jw_kstr(w, "word", word);
		jw_kstr(w, "words", decision_words(word));
		jw_kbool(w, "chosen", typed.p && str_eq(typed, word));
		jw_end_object(w);
	}
	jw_end_array(w);
}

static enum err one_data(struct json_writer *w, struct request *rq, struct response *rs, enum err refused)
{
	struct uuid id;
	struct origin_names names;
	struct merge_conflict k;
	TRY(page_form_said(rq, rs, refused, w));
	TRY(request_param_uuid(rq, 1, &id));
	TRY(merge_conflict_get(rq->call, rq->coop.id, id, &k));
	TRY(home_names(rq->call, rq->coop.id, &names));
	const struct json *proof = parsed(rq->call->arena, k.proof), *first = json_get(proof, "first"), *second = json_get(proof, "second");
	jw_kz(w, "title", titles[k.kind]);
	jw_kstr(w, "coop", rq->coop.slug);
	jw_kstr(w, "proof", k.proof.n ? k.proof : STR_NONE);
	jw_kbool(w, "two", json_is(first, JSON_OBJECT) && json_is(second, JSON_OBJECT));
	detail_write(w, rq->call->arena, "first", first);
	detail_write(w, rq->call->arena, "second", second);
	jw_kint(w, "reason_max", REASON_MAX);
	jw_kstr(w, "typed_reason", rq->body.n && request_form(rq, "reason").p ? request_form(rq, "reason") : STR(""));
	conflict_members(w, rq, &names, &k);
	choices_write(w, rq, k.kind);
	return ERR_OK;
}

static enum err one_form(struct request *rq, struct response *rs, enum err refused)
{
	struct buf b;
	struct json_writer w = page_begin(&b);
	return page_end(rq, rs, "page/conflict", &b, &w, one_data(&w, rq, rs, refused));
}

static enum err one_page(struct request *rq, struct response *rs)
{
	return one_form(rq, rs, ERR_OK);
}

static enum err decide_form(struct request *rq, struct response *rs)
{
	struct uuid id;
	struct merge_conflict k;
	struct str decision = form_filled(rq, "decision"), reason = form_filled(rq, "reason");
	TRY(request_param_uuid(rq, 1, &id));
	enum err e = !decision.p ? fail_field(rq->call, "/decision", "Say what is to be done.") : !reason.p ? fail_field(rq->call, "/reason", "Say why.")
		: merge_conflict_decide(rq->call, rq->coop.id, id, decision, reason, &k);
	return e == ERR_OK ? response_done(rq, rs, STR("Decided."), coop_place(rq, "conflicts")) : one_form(rq, rs, e);
}

#define ALL "/coops/{coop}/conflicts"
const struct route conflict_page_routes[] = {
	{ "GET", ALL, "page_conflicts", PERM_ADMIN, 0, NULL, "text/html", 200, queue_page, "What merging could not settle, and near duplicates" },
	{ "GET", ALL "/{conflict}", "page_conflict", PERM_ADMIN, 0, NULL, "text/html", 200, one_page, "One conflict" },
	{ "POST", ALL "/{conflict}/decide", "page_conflict_decide", PERM_ADMIN, LIMIT_BODY_SMALL, "form", "text/html", 303, decide_form, "Decide it" },
	ROUTE_TABLE_END
};
