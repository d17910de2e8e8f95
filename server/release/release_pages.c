#include "commonhold/chart.h"
#include "commonhold/pool.h"
#include "commonhold/release_api.h"

#include "release_internal.h"

#define PAGE_MAX (2 * MIB)

static const struct { const char *word, *badge; } states[] = {
	[RELEASE_SCHEDULED] = { "scheduled", "neutral" }, [RELEASE_FROZEN] = { "frozen", "info" }, [RELEASE_NOTICE] = { "in its notice", "info" },
	[RELEASE_OPEN] = { "ballot open", "conditional" }, [RELEASE_PASSED] = { "passed", "include" }, [RELEASE_FAILED] = { "not released", "exclude" },
	[RELEASE_COOLING_OFF] = { "cooling off", "info" }, [RELEASE_BUILDING] = { "being built", "info" }, [RELEASE_PUBLISHED] = { "published", "include" },
	[RELEASE_SUPERSEDED] = { "superseded", "neutral" }, [RELEASE_WITHDRAWN] = { "withdrawn", "exclude" }, [RELEASE_EXPIRED] = { "expired", "neutral" },
	[RELEASE_CANCELLED] = { "cancelled", "neutral" },
};

static const char *const outcome_words[] = {
	[POLICY_INCLUDE] = "Released", [POLICY_CONDITIONAL] = "Released with conditions", [POLICY_HOLD] = "Held back", [POLICY_EXCLUDE] = "Left out",
};

struct str size_words(struct arena *a, int64_t bytes)
{
	static const char *const units[] = { "B", "kB", "MB", "GB", "TB" };
	size_t u = 0;
	double v = (double)bytes;
	while (v >= 1000 && u + 1 < CH_LEN(units)) {
		v /= 1000;
		u++;
	}
	return u == 0 ? str_fmt(a, "%lld B", (long long)bytes) : str_fmt(a, "%.1f %s", v, units[u]);
}

static struct str day_text(struct arena *a, instant t)
{
	return t == INSTANT_NONE ? STR_NONE : str_sub(clock_format(a, t), 0, 10);
}

static void release_facts(struct json_writer *w, struct request *rq, const struct release *r)
{
	struct arena *a = rq->call->arena;
	bool built = r->state == RELEASE_PUBLISHED || r->state == RELEASE_SUPERSEDED || r->state == RELEASE_WITHDRAWN;
	jw_kstr(w, "id", uuid_format(a, r->id));
	jw_kstr(w, "coop", rq->coop.slug);
	jw_kstr(w, "name", r->version.p ? r->version : day_text(a, r->cutoff_at));
	jw_kstr(w, "version", r->version);
	jw_kz(w, "state", states[r->state].word);
	jw_kz(w, "badge", states[r->state].badge);
	jw_kbool(w, "built", built);
	jw_kbool(w, "usable", r->state == RELEASE_PUBLISHED || r->state == RELEASE_SUPERSEDED);
	jw_kbool(w, "frozen", r->frozen_at != INSTANT_NONE);
	jw_kstr(w, "cutoff", day_text(a, r->cutoff_at));
	jw_kstr(w, "published", day_text(a, r->published_at));
	jw_kint(w, "candidates", r->candidates);
	jw_kint(w, "included", built ? r->built_items : r->included);
	jw_kint(w, "contributors", r->contributors);
	jw_kstr(w, "failure", r->failure);
	jw_kstr(w, "ballot", uuid_is_nil(r->ballot) ? STR_NONE : uuid_format(a, r->ballot));
}

static enum err releases_page(struct request *rq, struct response *rs)
{
	struct release *releases;
	struct str next;
	struct buf b;
	struct json_writer w;
	size_t n;
	TRY(release_list(rq->call, rq->coop.id, STR_NONE, request_query(rq, "cursor"), LIMIT_PAGE_DEFAULT, &releases, &n, &next));
	buf_init(&b, PAGE_MAX);
	jw_init(&w, &b);
	jw_object(&w);
	jw_kz(&w, "title", "Releases");
	jw_kstr(&w, "coop", rq->coop.slug);
	jw_kstr(&w, "next", next);
	jw_kbool(&w, "any", n > 0);
	jw_key(&w, "releases");
	jw_array(&w);
	for (size_t i = 0; i < n; i++) {
		jw_object(&w);
		release_facts(&w, rq, &releases[i]);
		jw_end_object(&w);
	}
	jw_end_array(&w);
	jw_end_object(&w);
	return response_page_text(rq, rs, "page/releases", &b);
}

static const char *class_of(unsigned outcome)
{
	static const char *const classes[] = { "include", "conditional", "hold", "exclude" };
	return outcome < CH_LEN(classes) ? classes[outcome] : "neutral";
}

/* The outcomes as a chart, and every reason as a chart with its table. */
static void reason_charts(struct json_writer *w, struct arena *a, const struct reason_count *counts, size_t n)
{
	struct chart_bar outcomes[POLICY_OUTCOME_COUNT], reasons[POLICY_REASON_COUNT];
	size_t n_outcomes = 0, n_reasons = 0;
	for (unsigned o = 0; o < POLICY_OUTCOME_COUNT; o++)
		for (size_t i = 0; i < n; i++)
			if (str_is(counts[i].reason, policy_outcome_name(o)))
				outcomes[n_outcomes++] = (struct chart_bar){ str_of(outcome_words[o]), counts[i].items, class_of(o) };
	jw_key(w, "reasons");
	jw_array(w);
	for (size_t i = 0; i < n; i++) {
		int no = policy_reason_find(counts[i].reason.p, counts[i].reason.n);
		if (no < 0 || n_reasons == CH_LEN(reasons))
			continue;
		const struct policy_reason *reason = policy_reason_get((unsigned)no);
		reasons[n_reasons++] = (struct chart_bar){ str_of(reason->name), counts[i].items, class_of(reason->severity) };
		jw_object(w);
		jw_kz(w, "reason", reason->name);
		jw_kz(w, "message", reason->message);
		jw_kz(w, "who", policy_fixer_name(reason->fixer));
		jw_kz(w, "badge", class_of(reason->severity));
		jw_kz(w, "severity", outcome_words[reason->severity]);
		jw_kint(w, "items", counts[i].items);
		jw_end_object(w);
	}
	jw_end_array(w);
	jw_kstr(w, "outcome_chart", chart_bars(a, "Items by outcome", outcomes, n_outcomes));
	jw_kstr(w, "reason_chart", chart_bars(a, "Items by reason for not being in the release", reasons, n_reasons));
	jw_kbool(w, "any_reason", n_reasons > 0);
}

static void life_steps(struct json_writer *w, const struct release *r)
{
	static const struct { enum release_state state; const char *text; } steps[] = {
		{ RELEASE_SCHEDULED, "Scheduled" }, { RELEASE_NOTICE, "Frozen at the cut-off; notice to members" }, { RELEASE_OPEN, "Ballot" },
		{ RELEASE_COOLING_OFF, "Cooling off" }, { RELEASE_BUILDING, "Built and checked" }, { RELEASE_PUBLISHED, "Published" },
	};
	enum release_state at = r->state == RELEASE_SUPERSEDED || r->state == RELEASE_WITHDRAWN ? RELEASE_PUBLISHED : r->state == RELEASE_FROZEN ? RELEASE_NOTICE
		: r->state == RELEASE_PASSED ? RELEASE_COOLING_OFF : r->state;
	jw_key(w, "steps");
	jw_array(w);
	for (size_t i = 0; i < CH_LEN(steps); i++) {
		jw_object(w);
		jw_kz(w, "text", steps[i].text);
		jw_kz(w, "class", steps[i].state == at && at != RELEASE_PUBLISHED ? "current" : steps[i].state <= at && at <= RELEASE_PUBLISHED ? "done" : "");
		jw_end_object(w);
	}
	jw_end_array(w);
}

static void file_rows(struct json_writer *w, struct arena *a, const struct release_file *files, size_t n)
{
	jw_key(w, "files");
	jw_array(w);
	for (size_t i = 0; i < n; i++) {
		jw_object(w);
		jw_kstr(w, "path", files[i].path);
		jw_kstr(w, "size", size_words(a, files[i].size));
		jw_key(w, "rows");
		if (files[i].rows)
			jw_int(w, files[i].rows);
		else
			jw_null(w);
		jw_kstr(w, "sha256", sha256_hex(a, files[i].sha256));
		jw_end_object(w);
	}
	jw_end_array(w);
}

static enum err release_page(struct request *rq, struct response *rs)
{
	struct call *c = rq->call;
	struct release r;
	struct reason_count *counts;
	struct release_file *files;
	struct coop coop;
	struct buf b;
	struct json_writer w;
	size_t n, n_files;
	TRY(release_of_request(rq, 1, &r));
	bool built = r.version.p != NULL;
	TRY(release_reasons(c, rq->coop.id, r.id, built ? "built" : "frozen", &counts, &n));
	TRY(release_files(c, rq->coop.id, r.id, &files, &n_files));
	TRY(coop_read(c, rq->coop.id, &coop));
	buf_init(&b, PAGE_MAX);
	jw_init(&w, &b);
	jw_object(&w);
	jw_kstr(&w, "title", str_fmt(c->arena, "Release %.*s", STR_ARG(built ? r.version : day_text(c->arena, r.cutoff_at))));
	release_facts(&w, rq, &r);
	jw_kstr(&w, "coop_name", coop.name);
	jw_kbool(&w, "admin", rq->coop.is_admin);
	jw_kbool(&w, "can_cancel", rq->coop.is_admin && r.state < RELEASE_BUILDING && r.state != RELEASE_FAILED);
	jw_kstr(&w, "digest", r.frozen_at == INSTANT_NONE ? STR_NONE : sha256_hex(c->arena, r.candidates_sha256));
	jw_kstr(&w, "manifest", built ? sha256_hex(c->arena, r.manifest_sha256) : STR_NONE);
	jw_kstr(&w, "public_key", minisign_public_key(c->arena, coop.public_key));
	life_steps(&w, &r);
	reason_charts(&w, c->arena, counts, n);
	file_rows(&w, c->arena, files, n_files);
	jw_end_object(&w);
	return response_page_text(rq, rs, "page/release", &b);
}

static enum err cancel_form(struct request *rq, struct response *rs)
{
	struct release r;
	struct str reason = str_trim(request_form(rq, "reason"));
	if (reason.n < 3)
		return fail_field(rq->call, "form/reason", "Say why it is cancelled; members will read it.");
	TRY(release_of_request(rq, 1, &r));
	TRY(release_cancel(rq->call, rq->coop.id, r.id, reason, &r));
	response_flash(rq, rs, STR("The release was cancelled."));
	response_redirect(rs, str_fmt(rq->call->arena, "/coops/%.*s/releases", STR_ARG(rq->coop.slug)));
	return ERR_OK;
}

/* ---- my contributions, with what became of each ---- */

static void item_facts(struct json_writer *w, struct request *rq, const struct contribution *item)
{
	struct arena *a = rq->call->arena;
	jw_kstr(w, "id", uuid_format(a, item->id));
	jw_kstr(w, "rid", item->rid);
	jw_kz(w, "kind", policy_kind_name(item->kind));
	jw_kz(w, "licence", policy_licence_get(item->licence)->spdx);
	jw_kstr(w, "lang", item->lang);
	jw_kstr(w, "status", item->status);
	jw_kz(w, "status_badge", str_is(item->status, "approved") ? "include" : str_is(item->status, "rejected") ? "exclude" : "hold");
	jw_kstr(w, "day", day_text(a, item->submitted_at));
	jw_kstr(w, "size", size_words(a, item->bytes));
	jw_kstr(w, "sha256", sha256_hex(a, item->content_sha256));
	jw_kint(w, "leaf", item->leaf);
	jw_kstr(w, "coop", rq->coop.slug);
}

static void outcome_facts(struct json_writer *w, uint64_t reasons)
{
	enum policy_outcome o = policy_outcome_of(reasons);
	jw_kz(w, "outcome", outcome_words[o]);
	jw_kz(w, "outcome_badge", class_of(o));
	jw_key(w, "why");
	jw_array(w);
	for (unsigned no = 0; no < POLICY_REASON_COUNT; no++)
		if (reasons >> no & 1 && policy_reason_get(no)->severity == o)
			jw_z(w, policy_reason_get(no)->name);
	jw_end_array(w);
}

static enum err my_outcomes(struct request *rq, const struct contribution *items, size_t n, struct release *latest, uint64_t **reasons)
{
	struct call *c = rq->call;
	int64_t *numbers = ARENA_ARRAY(c->arena, n, int64_t);
	enum err e = release_find(c, rq->coop.id, STR("latest"), latest);
	*reasons = NULL;
	if (e == ERR_NOT_FOUND) {
		db_rollback(c);
		error_clear(&c->error);
		return ERR_OK;
	}
	TRY(e);
	for (size_t i = 0; i < n; i++)
		numbers[i] = items[i].item_no;
	*reasons = ARENA_ARRAY(c->arena, n, uint64_t);
	return release_outcomes(c, rq->coop.id, latest->id, numbers, n, *reasons);
}

static enum err contributions_page(struct request *rq, struct response *rs)
{
	struct call *c = rq->call;
	struct contribution *items;
	struct release latest = { 0 };
	struct str next;
	uint64_t *reasons;
	struct buf b;
	struct json_writer w;
	size_t n;
	TRY(pool_list_mine(c, rq->coop.id, request_query(rq, "kind"), request_query(rq, "cursor"), LIMIT_PAGE_DEFAULT, &items, &n, &next));
	TRY(my_outcomes(rq, items, n, &latest, &reasons));
	buf_init(&b, PAGE_MAX);
	jw_init(&w, &b);
	jw_object(&w);
	jw_kz(&w, "title", "My contributions");
	jw_kstr(&w, "coop", rq->coop.slug);
	jw_kstr(&w, "latest", reasons ? latest.version : STR_NONE);
	jw_kstr(&w, "next", next);
	jw_kbool(&w, "any", n > 0);
	jw_key(&w, "items");
	jw_array(&w);
	for (size_t i = 0; i < n; i++) {
		jw_object(&w);
		item_facts(&w, rq, &items[i]);
		if (reasons)
			outcome_facts(&w, reasons[i]);
		jw_end_object(&w);
	}
	jw_end_array(&w);
	jw_end_object(&w);
	return response_page_text(rq, rs, "page/contributions", &b);
}

static void decision_facts(struct json_writer *w, struct arena *a, const struct decision *d)
{
	jw_kz(w, "outcome", outcome_words[d->outcome]);
	jw_kz(w, "outcome_badge", class_of(d->outcome));
	jw_kstr(w, "retry", d->retry_at == INSTANT_NONE ? STR_NONE : day_text(a, d->retry_at));
	jw_kstr(w, "trace", sha256_hex(a, d->trace));
	jw_kbool(w, "any_line", d->n_lines > 0);
	jw_key(w, "lines");
	jw_array(w);
	for (size_t i = 0; i < d->n_lines; i++) {
		jw_object(w);
		jw_kstr(w, "text", d->lines[i].text);
		jw_kstr(w, "reason", d->lines[i].reason);
		jw_kstr(w, "who", d->lines[i].who);
		jw_kbool(w, "determining", d->lines[i].determining);
		jw_end_object(w);
	}
	jw_end_array(w);
	jw_kbool(w, "any_fix", d->n_fixes > 0);
	jw_key(w, "fixes");
	jw_array(w);
	for (size_t i = 0; i < d->n_fixes; i++)
		jw_str(w, d->fixes[i]);
	jw_end_array(w);
}

static enum err contribution_page(struct request *rq, struct response *rs)
{
	struct call *c = rq->call;
	struct contribution item;
	struct str content;
	struct item_release *in;
	struct decision next;
	struct uuid id;
	struct buf b;
	struct json_writer w;
	size_t n;
	if (!uuid_parse(rq->param[1], &id))
		return fail(c, ERR_NOT_FOUND, "%s", err_text(ERR_NOT_FOUND));
	TRY(pool_read(c, rq->coop.id, id, &item, &content));
	TRY(release_of_item(c, rq->coop.id, id, &in, &n));
	TRY(release_explain(c, rq->coop.id, id, (struct uuid){ { 0 } }, &next));
	buf_init(&b, PAGE_MAX);
	jw_init(&w, &b);
	jw_object(&w);
	jw_kz(&w, "title", "A contribution");
	item_facts(&w, rq, &item);
	jw_kstr(&w, "content", content);
	jw_key(&w, "next");
	jw_object(&w);
	decision_facts(&w, c->arena, &next);
	jw_end_object(&w);
	jw_kbool(&w, "any_release", n > 0);
	jw_key(&w, "releases");
	jw_array(&w);
	for (size_t i = 0; i < n; i++) {
		jw_object(&w);
		jw_kstr(&w, "version", in[i].release.version);
		jw_kstr(&w, "published", day_text(c->arena, in[i].release.published_at));
		outcome_facts(&w, in[i].reasons);
		jw_end_object(&w);
	}
	jw_end_array(&w);
	jw_end_object(&w);
	return response_page_text(rq, rs, "page/contribution", &b);
}

const struct route release_page_routes[] = {
	{ "GET", "/coops/{coop}/releases", "page_releases", PERM_OPTIONAL, 0, NULL, "text/html", 200, releases_page, NULL },
	{ "GET", "/coops/{coop}/releases/{release}", "page_release", PERM_OPTIONAL, 0, NULL, "text/html", 200, release_page, NULL },
	{ "POST", "/coops/{coop}/releases/{release}/cancel", "page_release_cancel", PERM_ADMIN, LIMIT_BODY_SMALL, "form", "text/html", 303, cancel_form, NULL },
	{ "GET", "/coops/{coop}/contributions", "page_contributions", PERM_MEMBER, 0, NULL, "text/html", 200, contributions_page, NULL },
	{ "GET", "/coops/{coop}/contributions/{contribution}", "page_contribution", PERM_MEMBER, 0, NULL, "text/html", 200, contribution_page, NULL },
	ROUTE_TABLE_END,
};
