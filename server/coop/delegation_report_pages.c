#include "commonhold/chart.h"
#include "commonhold/words.h"
#include "server/coop/delegation_web.h"

/* How decisions concentrate: who holds how much, drawn and as tables. */

#define DRAWN 6 /* delegates with a band of their own */

static int undecided_in_all(const struct delegation_report *r)
{
	int sum = 0;
	for (unsigned via = 0; via < POLICY_VIA_COUNT; via++)
		sum += r->undecided[via];
	return sum;
}

/* From how members stand to who decides: those who decide themselves, those who have delegated, and what became of it. */
static struct str flow_svg(struct arena *a, const struct delegation_report *r)
{
	static const char *const classes[DRAWN] = { "s1", "s2", "s3", "s4", "s5", "s6" };
	size_t n = r->n_top < DRAWN ? r->n_top : DRAWN, n_links = 0;
	int undecided = undecided_in_all(r), own = r->members - r->represented - undecided, rest_own = own, rest_for = r->represented;
	struct chart_node left[] = {
		{ STR("decide themselves"), own, "info" }, { STR("have delegated"), r->represented, "conditional" }, { STR("nobody decides"), undecided, "neutral" },
	};
	struct chart_node *right = ARENA_ARRAY(a, n + 2, struct chart_node);
	struct chart_link *links = ARENA_ARRAY(a, 2 * n + 3, struct chart_link);
	for (size_t i = 0; i < n; i++) {
		int self = uuid_is_nil(r->top[i].member) ? 0 : 1;
		right[i] = (struct chart_node){ r->top[i].name, r->top[i].weight, classes[i] };
		links[n_links++] = (struct chart_link){ 0, i, self };
		links[n_links++] = (struct chart_link){ 1, i, r->top[i].weight - self };
		rest_own -= self;
		rest_for -= r->top[i].weight - self;
	}
	right[n] = (struct chart_node){ STR("all others"), rest_own + rest_for, "info" };
	links[n_links++] = (struct chart_link){ 0, n, rest_own };
	links[n_links++] = (struct chart_link){ 1, n, rest_for };
	right[n + 1] = (struct chart_node){ STR("nobody"), undecided, "neutral" };
	links[n_links++] = (struct chart_link){ 2, n + 1, undecided };
	return chart_flow(a, &(struct chart_flow){ .title = "Members by who decides for them", .left = left, .n_left = undecided ? 3 : 2, .right = right, .n_right = undecided ? n + 2 : n + 1,
		.links = links, .n_links = n_links });
}

static struct str weights_svg(struct arena *a, const struct delegation_report *r)
{
	struct chart_bar *bars = ARENA_ARRAY(a, r->n_top + 1, struct chart_bar);
	for (size_t i = 0; i < r->n_top; i++)
		bars[i] = (struct chart_bar){ .label = r->top[i].name, .value = r->top[i].weight, .class = r->top[i].pivotal ? "s2" : "s1" };
	return chart_bars(a, "Members that each of the heaviest decides for, themselves included", bars, r->n_top);
}

static struct str share(struct arena *a, int part, int whole)
{
	return whole > 0 ? str_fmt(a, "%d %%", (int)((int64_t)part * 100 / whole)) : STR("0 %");
}

static void top_rows(struct json_writer *w, struct arena *a, const struct delegation_report *r)
{
	jw_kbool(w, "any_top", r->n_top > 0);
	jw_key(w, "top");
	jw_array(w);
	for (size_t i = 0; i < r->n_top; i++) {
		const struct delegation_weight *t = &r->top[i];
		jw_object(w);
		jw_kstr(w, "name", t->name);
		jw_kstr(w, "weight", words_count(a, t->weight));
		jw_kstr(w, "share", share(a, t->weight, r->members));
		jw_kstr(w, "direct", words_count(a, t->direct));
		jw_kstr(w, "stale", words_count(a, t->stale));
		jw_kbool(w, "pivotal", t->pivotal);
		jw_end_object(w);
	}
	jw_end_array(w);
}

static void undecided_rows(struct json_writer *w, struct arena *a, const struct delegation_report *r)
{
	jw_key(w, "undecided");
	jw_array(w);
	for (unsigned via = 0; via < POLICY_VIA_COUNT; via++) {
		if (!r->undecided[via])
			continue;
		jw_object(w);
		jw_kz(w, "why", policy_via_text(via));
		jw_kstr(w, "members", words_count(a, r->undecided[via]));
		jw_end_object(w);
	}
	jw_end_array(w);
}

static enum err report_data(struct request *rq, struct json_writer *w)
{
	struct arena *a = rq->call->arena;
	struct delegation_report r;
	enum policy_question q = str_is(request_query(rq, "question"), "consent") ? POLICY_QUESTION_CONSENT : POLICY_QUESTION_VOTE;
	struct str word = request_query(rq, "topic");
	int topic = !word.n ? 0 : q == POLICY_QUESTION_VOTE ? policy_ballot_find(word.p, word.n) : policy_use_find(word.p, word.n);
	if (topic < 0)
		return fail(rq->call, ERR_NOT_FOUND, "There is no such matter.");
	TRY(delegation_report(rq->call, rq->coop.id, q, (unsigned)topic, &r));
	jw_kbool(w, "is_vote", q == POLICY_QUESTION_VOTE);
	jw_key(w, "topics");
	jw_array(w);
	for (unsigned no = 0; no < delegation_topic_count(q); no++) {
		jw_object(w);
		jw_kz(w, "id", delegation_topic_name(q, no));
		jw_kz(w, "words", delegation_topic_words(q, no));
		jw_kbool(w, "chosen", no == (unsigned)topic);
		jw_end_object(w);
	}
	jw_end_array(w);
	int undecided = undecided_in_all(&r);
	jw_kstr(w, "members", words_count(a, r.members));
	jw_kstr(w, "own", words_count(a, r.members - r.represented - undecided));
	jw_kstr(w, "represented", words_count(a, r.represented));
	jw_kstr(w, "represented_share", share(a, r.represented, r.members));
	jw_kstr(w, "nobody", words_count(a, undecided));
	jw_kstr(w, "edges", words_count(a, r.edges));
	jw_kstr(w, "stale", words_count(a, r.stale));
	jw_kstr(w, "asked", words_count(a, r.asked));
	jw_kstr(w, "suspended", words_count(a, r.suspended));
	jw_kstr(w, "majority_of", words_count(a, r.majority_of));
	jw_kbool(w, "majority_of_one", r.majority_of == 1);
	top_rows(w, a, &r);
	undecided_rows(w, a, &r);
	jw_kbool(w, "any_undecided", undecided > 0);
	jw_kstr(w, "flow", flow_svg(a, &r));
	jw_kstr(w, "weights", weights_svg(a, &r));
	return ERR_OK;
}

enum err delegation_report_page(struct request *rq, struct response *rs)
{
	struct buf b;
	struct json_writer w = delegation_page_begin(rq, &b, "How decisions concentrate");
	enum err e = report_data(rq, &w);
	return page_end(rq, rs, "page/delegation_report", &b, &w, e);
}
