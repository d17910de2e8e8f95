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

static struct str picture(struct arena *a, const struct lineage_node *nodes, size_t n)
{
	struct chart_branch *branches = ARENA_ARRAY(a, n + 1, struct chart_branch);
	unsigned here = 0;
	for (size_t i = 0; i < n; i++) {
		struct str day = day_words(a, &nodes[i]);
		branches[i].label = called(&nodes[i]);
		branches[i].class = nodes[i].depth == 0 ? "include" : nodes[i].depth > 0 ? "neutral" : "info";
		branches[i].text = day;
		branches[i].depth = nodes[i].depth < 0 ? here + 1 : (unsigned)i;
		if (nodes[i].depth == 0)
			here = (unsigned)i;
	}
	return chart_tree(a, "Where the co-op comes from, and its forks", branches, n);
}

static void nodes_write(struct json_writer *w, struct arena *a, const struct lineage_node *nodes, size_t n)
{
	jw_key(w, "nodes");
	jw_array(w);
	for (size_t i = 0; i < n; i++) {
		bool shares = nodes[i].depth != 0;
		jw_object(w);
		jw_kstr(w, "called", called(&nodes[i]));
		jw_kz(w, "kin", kin_words(nodes[i].depth));
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

/* Only members see with whom there are agreements. */
static enum err partners_write(struct json_writer *w, struct request *rq)
{
	struct agreement *rows = NULL;
	struct str next;
	size_t n = 0;
	if (rq->coop.is_active)
		TRY(agreement_list(rq->call, rq->coop.id, STR("in_effect"), STR_NONE, LIMIT_PAGE, &rows, &n, &next));
	jw_kbool(w, "any_agreements", n > 0);
	jw_key(w, "agreements");
	jw_array(w);
	for (size_t i = 0; i < n; i++)
		agreement_row_write(w, rq->call->arena, &rows[i]);
	jw_end_array(w);
	return ERR_OK;
}

static enum err lineage_data(struct json_writer *w, struct request *rq)
{
	struct lineage_node *nodes;
	size_t n;
	TRY(lineage_read(rq->call, rq->coop.id, &nodes, &n));
	jw_kz(w, "title", "Lineage");
	jw_kstr(w, "coop", rq->coop.slug);
	jw_kbool(w, "member", rq->coop.is_active);
	jw_kbool(w, "alone", n < 2);
	jw_kstr(w, "picture", picture(rq->call->arena, nodes, n));
	nodes_write(w, rq->call->arena, nodes, n);
	return partners_write(w, rq);
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
