#include "server/merge/merge_pages.h"

#include "commonhold/chart.h"
#include "commonhold/lineage.h"
#include "commonhold/routes.h"
#include "commonhold/words.h"

/* Where a co-op comes from and what came from it, as a picture and as a table; for members also with whom it shares its pool now. */

static struct str called(const struct lineage_node *node)
{
	return node->title.n ? node->title : node->name;
}

static const char *kin_words(int depth)
{
	return depth > 1 ? "forebear" : depth == 1 ? "parent" : depth == 0 ? "this co-op" : "fork of it";
}

/* What the picture and the table say of the day: of a parent, when its child left it. */
static struct str day_words(struct arena *a, const struct lineage_node *node)
{
	return str_fmt(a, "%s %.*s", node->depth > 0 ? "forked on" : node->depth == 0 ? "founded on" : "left on", STR_ARG(words_day(a, node->at)));
}

/* Agreements in effect, which only members see. */
struct partners { struct agreement *rows; size_t n; };

/* The agreement by which a relative shares its pool again; NULL: none. */
static const struct agreement *merged(const struct partners *p, const struct lineage_node *node)
{
	for (size_t i = 0; i < p->n; i++)
		if (node->depth != 0 && str_eq(p->rows[i].partner, node->name))
			return &p->rows[i];
	return NULL;
}

static struct str picture(struct arena *a, const struct lineage_node *nodes, size_t n, const struct partners *partners)
{
	struct chart_branch *branches = ARENA_ARRAY(a, n * 2 + 1, struct chart_branch);
	unsigned here = 0;
	size_t drawn = 0;
	for (size_t i = 0; i < n; i++) {
		const struct agreement *again = merged(partners, &nodes[i]);
		unsigned depth = nodes[i].depth < 0 ? here + 1 : (unsigned)i;
		branches[drawn++] = (struct chart_branch){ .label = called(&nodes[i]), .class = nodes[i].depth == 0 ? "include" : nodes[i].depth > 0 ? "neutral" : "info",
			.text = day_words(a, &nodes[i]), .depth = depth };
		if (again)
			branches[drawn++] = (struct chart_branch){ .label = STR("shares its pool again"), .class = "include", .text = str_fmt(a, "since %.*s", STR_ARG(words_day(a, again->effect_at))), .depth = depth + 1 };
		if (nodes[i].depth == 0)
			here = (unsigned)i;
	}
	return chart_tree(a, "Where the co-op comes from, its forks, and what was merged again", branches, drawn);
}

static void nodes_write(struct json_writer *w, struct arena *a, const struct lineage_node *nodes, size_t n, const struct partners *partners)
{
	jw_key(w, "nodes");
	jw_array(w);
	for (size_t i = 0; i < n; i++) {
		bool shares = nodes[i].depth != 0;
		jw_object(w);
		jw_kstr(w, "called", called(&nodes[i]));
		jw_kz(w, "kin", kin_words(nodes[i].depth));
		const struct agreement *again = merged(partners, &nodes[i]);
		jw_kstr(w, "merged", again ? sha256_hex(a, again->terms.digest) : STR_NONE);
		jw_kstr(w, "merged_on", again ? words_day(a, again->effect_at) : STR_NONE);
		jw_kstr(w, "url", nodes[i].url.n ? nodes[i].url : STR_NONE);
		jw_kstr(w, "key_name", nodes[i].name);
		jw_kstr(w, "day", day_words(a, &nodes[i]));
		jw_kstr(w, "leaves", shares ? words_count(a, nodes[i].size) : STR_NONE);
		jw_kstr(w, "root", shares ? sha256_hex(a, nodes[i].root) : STR_NONE);
		jw_kstr(w, "charter", nodes[i].charter ? str_fmt(a, "version %d", nodes[i].charter) : STR_NONE);
		jw_kstr(w, "checkpoint", nodes[i].checkpoint);
		jw_end_object(w);
	}
	jw_end_array(w);
}

static enum err partners_read(struct request *rq, struct partners *out)
{
	struct str next;
	*out = (struct partners){ 0 };
	return rq->coop.is_active ? agreement_list(rq->call, rq->coop.id, STR("in_effect"), STR_NONE, LIMIT_PAGE, &out->rows, &out->n, &next) : ERR_OK;
}

static void partners_write(struct json_writer *w, struct arena *a, const struct partners *partners)
{
	jw_kbool(w, "any_agreements", partners->n > 0);
	jw_key(w, "agreements");
	jw_array(w);
	for (size_t i = 0; i < partners->n; i++)
		agreement_row_write(w, a, &partners->rows[i]);
	jw_end_array(w);
}

/* What daily looks found of a relative, as a sentence. */
static struct str found_words(struct arena *a, const struct lineage_kin *k)
{
	static const char *const proved[] = { [KIN_FOREBEAR] = "its signed checkpoint is in our log’s history", [KIN_PARENT] = "its signed checkpoint is in our log’s history", [KIN_FORK] = "it signed its request and its lineage" };
	if (k->state == KIN_VERIFIED && !k->why.n)
		return str_fmt(a, "Its keys and the lineage that it signs agree with ours, at every look since %.*s; last on %.*s.%s", STR_ARG(words_day(a, k->since)), STR_ARG(words_day(a, k->verified_at)),
			k->kin == KIN_PARENT ? k->names_us ? " It names us as its fork." : " It does not name us as its fork yet." : "");
	if (k->state == KIN_VERIFIED)
		return str_fmt(a, "Agreed at every look that was answered since %.*s; last on %.*s. The latest look got no answer: %.*s", STR_ARG(words_day(a, k->since)), STR_ARG(words_day(a, k->verified_at)), STR_ARG(k->why));
	if (k->state == KIN_REFUSED)
		return str_fmt(a, "Refused: %.*s", STR_ARG(k->why));
	struct str by = k->kin == KIN_SIBLING ? STR("Our parent says that it is a fork of it") : str_fmt(a, "When it was forked, %s", proved[k->kin]);
	return k->why.n ? str_fmt(a, "%.*s. It has not answered itself yet: %.*s", STR_ARG(by), STR_ARG(k->why)) : str_fmt(a, "%.*s. It was not looked at yet.", STR_ARG(by));
}

/* What each shows of itself, held against what is known. */
static enum err kin_write(struct json_writer *w, struct request *rq)
{
	static const char *const badges[] = { [KIN_CLAIMED] = "hold", [KIN_VERIFIED] = "include", [KIN_REFUSED] = "exclude" };
	static const char *const kins[] = { [KIN_FOREBEAR] = "forebear", [KIN_PARENT] = "parent", [KIN_SIBLING] = "sibling: another fork of the parent", [KIN_FORK] = "fork of it" };
	static const char *const states[] = { [KIN_CLAIMED] = "only claimed", [KIN_VERIFIED] = "verified", [KIN_REFUSED] = "refused" };
	struct arena *a = rq->call->arena;
	struct lineage_kin *kin;
	size_t n;
	TRY(lineage_kin_read(rq->call, rq->coop.id, &kin, &n));
	jw_kbool(w, "any_kin", n > 0);
	jw_key(w, "relatives");
	jw_array(w);
	for (size_t i = 0; i < n; i++) {
		jw_object(w);
		jw_kstr(w, "called", kin[i].title.n ? kin[i].title : kin[i].name);
		jw_kz(w, "kin", kins[kin[i].kin]);
		jw_kz(w, "badge", badges[kin[i].state]);
		jw_kz(w, "state_words", states[kin[i].state]);
		jw_kstr(w, "found", found_words(a, &kin[i]));
		jw_end_object(w);
	}
	jw_end_array(w);
	return ERR_OK;
}

static enum err lineage_data(struct json_writer *w, struct request *rq)
{
	struct arena *a = rq->call->arena;
	struct partners partners;
	struct lineage_node *nodes;
	size_t n;
	TRY(lineage_read(rq->call, rq->coop.id, &nodes, &n));
	TRY(partners_read(rq, &partners));
	jw_kz(w, "title", "Lineage");
	jw_kstr(w, "coop", rq->coop.slug);
	jw_kbool(w, "member", rq->coop.is_active);
	jw_kbool(w, "alone", n < 2);
	jw_kstr(w, "picture", picture(a, nodes, n, &partners));
	nodes_write(w, a, nodes, n, &partners);
	TRY(kin_write(w, rq));
	partners_write(w, a, &partners);
	return ERR_OK;
}

static enum err lineage_page(struct request *rq, struct response *rs)
{
	struct buf b;
	struct json_writer w = page_begin(&b);
	return page_end(rq, rs, "page/lineage", &b, &w, lineage_data(&w, rq));
}

const struct route lineage_page_routes[] = {
	{ "GET", "/coops/{coop}/lineage", "page_lineage", PERM_OPTIONAL, 0, NULL, "text/html", 200, lineage_page, "Where the co-op comes from, and its forks" },
	ROUTE_TABLE_END
};
