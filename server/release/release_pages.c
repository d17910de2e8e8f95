#include "commonhold/chart.h"
#include "commonhold/pool.h"
#include "commonhold/release_api.h"
#include "commonhold/words.h"

#include "release_internal.h"

static const struct { const char *word, *badge; } states[] = {
	[RELEASE_SCHEDULED] = { "scheduled", "neutral" }, [RELEASE_FROZEN] = { "frozen", "info" }, [RELEASE_NOTICE] = { "in its notice", "info" },
	[RELEASE_OPEN] = { "ballot open", "conditional" }, [RELEASE_PASSED] = { "passed", "include" }, [RELEASE_FAILED] = { "not released", "exclude" },
	[RELEASE_COOLING_OFF] = { "cooling off", "info" }, [RELEASE_BUILDING] = { "being built", "info" }, [RELEASE_PUBLISHED] = { "published", "include" },
	[RELEASE_SUPERSEDED] = { "superseded", "neutral" }, [RELEASE_WITHDRAWN] = { "withdrawn", "exclude" }, [RELEASE_EXPIRED] = { "expired", "neutral" },
	[RELEASE_CANCELLED] = { "cancelled", "neutral" }, [RELEASE_REDACTING] = { "being made again", "info" },
	[RELEASE_JOINED] = { "published by a partner", "include" }, [RELEASE_LEFT] = { "withdrawn", "exclude" },
};

static void release_facts(struct json_writer *w, struct request *rq, const struct release *r)
{
	struct arena *a = rq->call->arena;
	bool built = r->state == RELEASE_PUBLISHED || r->state == RELEASE_SUPERSEDED || r->state == RELEASE_WITHDRAWN;
	jw_kstr(w, "id", uuid_format(a, r->id));
	jw_kstr(w, "coop", rq->coop.slug);
	jw_kstr(w, "name", r->version.p ? r->version : words_day(a, r->cutoff_at));
	jw_kbool(w, "versioned", r->version.p != NULL);
	jw_kstr(w, "version", r->version);
	jw_kz(w, "state", states[r->state].word);
	jw_kz(w, "badge", states[r->state].badge);
	jw_kbool(w, "built", built);
	jw_kbool(w, "usable", r->state == RELEASE_PUBLISHED || r->state == RELEASE_SUPERSEDED);
	jw_kbool(w, "made_again", !uuid_is_nil(r->redacts));
	jw_kbool(w, "frozen", r->frozen_at != INSTANT_NONE);
	jw_kstr(w, "cutoff", words_day(a, r->cutoff_at));
	jw_kstr(w, "cutoff_iso", words_day_iso(a, r->cutoff_at));
	jw_kstr(w, "published", words_day(a, r->published_at));
	jw_kstr(w, "published_iso", words_day_iso(a, r->published_at));
	jw_kstr(w, "candidates", words_count(a, r->candidates));
	jw_kstr(w, "included", words_count(a, built ? r->built_items : r->included));
	jw_kstr(w, "contributors", words_count(a, r->contributors));
	jw_kstr(w, "failure", r->failure);
	jw_kstr(w, "ballot", uuid_format_or_none(a, r->ballot));
}

static enum err releases_page(struct request *rq, struct response *rs)
{
	struct release *releases;
	struct str next;
	struct buf b;
	size_t n;
	TRY(release_list(rq->call, rq->coop.id, STR_NONE, request_query(rq, "cursor"), LIMIT_PAGE_DEFAULT, &releases, &n, &next));
	struct json_writer w = page_begin(&b);
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
	return page_end(rq, rs, "page/releases", &b, &w, control_page_data(rq->call, rq->coop.id, INSTANT_NONE, &w));
}

static const char *class_of(unsigned outcome)
{
	static const char *const classes[] = { "include", "conditional", "hold", "exclude" };
	return outcome < CH_LEN(classes) ? classes[outcome] : "neutral";
}

static bool is_in(unsigned outcome)
{
	return outcome == POLICY_INCLUDE || outcome == POLICY_CONDITIONAL;
}

/* The outcomes as a chart, and every reason that keeps items out as a chart with its table. */
static void reason_charts(struct json_writer *w, struct arena *a, const struct reason_count *counts, size_t n)
{
	struct chart_bar outcomes[POLICY_OUTCOME_COUNT], reasons[POLICY_REASON_COUNT];
	size_t n_outcomes = 0, n_reasons = 0;
	int64_t all = 0, in = 0;
	for (unsigned o = 0; o < POLICY_OUTCOME_COUNT; o++)
		for (size_t i = 0; i < n; i++)
			if (str_is(counts[i].reason, policy_outcome_name(o))) {
				outcomes[n_outcomes++] = (struct chart_bar){ .label = str_of(words_outcome(o)), .value = counts[i].items, .class = class_of(o) };
				all += counts[i].items;
				in += is_in(o) ? counts[i].items : 0;
			}
	jw_kstr(w, "pool_items", words_count(a, all));
	jw_kstr(w, "in_items", words_count(a, in));
	jw_kbool(w, "any_outcome", all > 0);
	jw_key(w, "reasons");
	jw_array(w);
	for (size_t i = 0; i < n; i++) {
		int no = policy_reason_find(counts[i].reason.p, counts[i].reason.n);
		if (no < 0 || n_reasons == CH_LEN(reasons))
			continue;
		const struct policy_reason *reason = policy_reason_get((unsigned)no);
		if (is_in(reason->severity))
			continue;
		reasons[n_reasons++] = (struct chart_bar){ .label = str_of(words_reason((unsigned)no)), .value = counts[i].items, .class = class_of(reason->severity) };
		jw_object(w);
		jw_kz(w, "reason", reason->name);
		jw_kz(w, "words", words_reason((unsigned)no));
		jw_kz(w, "who", words_who(reason->fixer));
		jw_kz(w, "badge", class_of(reason->severity));
		jw_kz(w, "severity", words_outcome(reason->severity));
		jw_kstr(w, "items", words_count(a, counts[i].items));
		jw_end_object(w);
	}
	jw_end_array(w);
	jw_kstr(w, "outcome_chart", chart_bars(a, "Contributions by outcome", outcomes, n_outcomes));
	jw_kstr(w, "reason_chart", chart_bars(a, "Contributions by reason for not being in the release", reasons, n_reasons));
	jw_kbool(w, "any_reason", n_reasons > 0);
}

static void step_write(struct json_writer *w, const char *text, const char *class)
{
	jw_object(w);
	jw_kz(w, "text", text);
	jw_kz(w, "class", class);
	jw_end_object(w);
}

/* Of a release that takes the place of an earlier one. */
static void redaction_steps(struct json_writer *w, const struct release *r)
{
	bool published = r->version.p != NULL, under_way = r->state == RELEASE_REDACTING;
	jw_key(w, "steps");
	jw_array(w);
	step_write(w, "Items of an earlier release were erased; that one was withdrawn", "done");
	step_write(w, "Made again without them, and checked", published ? "done" : under_way ? "current" : "");
	step_write(w, "Published", published ? "done" : "");
	jw_end_array(w);
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
		step_write(w, steps[i].text, steps[i].state == at && at != RELEASE_PUBLISHED ? "current" : steps[i].state <= at && at <= RELEASE_PUBLISHED ? "done" : "");
	}
	jw_end_array(w);
}

/* The rows by kind, and what stands beside them. */
static void file_kinds(struct json_writer *w, struct arena *a, const struct release_file *files, size_t n)
{
	struct { int64_t files, rows, bytes; } sums[POLICY_KIND_COUNT + 1] = { 0 };
	for (size_t i = 0; i < n; i++) {
		struct str rest = files[i].path, folder = STR_NONE, kind = STR_NONE;
		int no = -1;
		if (str_split(&rest, '/', &folder) && str_is(folder, "data") && rest.p && str_split(&rest, '/', &kind))
			no = policy_kind_find(kind.p, kind.n);
		size_t at = no < 0 ? POLICY_KIND_COUNT : (size_t)no;
		sums[at].files++;
		sums[at].rows += files[i].rows;
		sums[at].bytes += files[i].size;
	}
	jw_kstr(w, "n_files", words_count(a, (int64_t)n));
	jw_key(w, "kinds");
	jw_array(w);
	for (size_t k = 0; k <= POLICY_KIND_COUNT; k++) {
		if (!sums[k].files)
			continue;
		jw_object(w);
		jw_kz(w, "kind", k < POLICY_KIND_COUNT ? words_kind((unsigned)k) : "Licences, card, report and the like");
		jw_kstr(w, "files", words_count(a, sums[k].files));
		jw_kstr(w, "rows", sums[k].rows ? words_count(a, sums[k].rows) : STR("–"));
		jw_kstr(w, "size", words_size(a, sums[k].bytes));
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
		jw_kstr(w, "size", words_size(a, files[i].size));
		jw_kstr(w, "rows", files[i].rows ? words_count(a, files[i].rows) : STR("–"));
		jw_kstr(w, "sha256", sha256_hex(a, files[i].sha256));
		jw_end_object(w);
	}
	jw_end_array(w);
}

/* Of a withdrawn release: why, and where its holders move to. Of a redaction: what it takes the place of, and the patch that leads to it. */
static enum err withdrawal_facts(struct json_writer *w, struct call *c, const struct release *r)
{
	struct release other = { 0 };
	struct str patch = STR_NONE;
	bool withdrawn = r->state == RELEASE_WITHDRAWN;
	if (!withdrawn && uuid_is_nil(r->redacts))
		return ERR_OK;
	TRY(db_begin_in(c, r->coop, DB_READ));
	enum err e = withdrawn ? release_move_to(c, r, &other, &patch) : release_get(c, r->coop, r->redacts, &other);
	if (e != ERR_OK && e != ERR_NOT_FOUND)
		return e;
	error_clear(&c->error);
	TRY(db_commit(c));
	if (!withdrawn)
		patch = r->version.p ? patch_path(c->arena, other.version, r->version) : STR_NONE;
	jw_key(w, withdrawn ? "withdrawn" : "redacts");
	jw_object(w);
	jw_kstr(w, "why", r->withdrawn_why);
	jw_kstr(w, "on", words_day(c->arena, r->withdrawn_at));
	jw_kstr(w, "on_iso", words_day_iso(c->arena, r->withdrawn_at));
	jw_kstr(w, "cleared", r->cleared_at == INSTANT_NONE ? STR_NONE : words_day(c->arena, r->cleared_at));
	jw_kstr(w, "other", other.version);
	jw_kstr(w, "other_id", uuid_format_or_none(c->arena, other.id));
	jw_kstr(w, "patch", patch);
	jw_end_object(w);
	return ERR_OK;
}

static enum err release_page(struct request *rq, struct response *rs)
{
	struct call *c = rq->call;
	struct release r;
	struct reason_count *counts;
	struct release_file *files;
	struct coop coop;
	struct buf b;
	size_t n, n_files;
	TRY(release_of_request(rq, 1, &r));
	bool built = r.version.p != NULL;
	TRY(release_reasons(c, rq->coop.id, r.id, built ? "built" : "frozen", &counts, &n));
	TRY(release_files(c, rq->coop.id, r.id, &files, &n_files));
	TRY(coop_read(c, rq->coop.id, &coop));
	struct json_writer w = page_begin(&b);
	jw_kstr(&w, "title", str_fmt(c->arena, "Release %s%.*s", built ? "" : "of ", STR_ARG(built ? r.version : words_day(c->arena, r.cutoff_at))));
	release_facts(&w, rq, &r);
	jw_kstr(&w, "coop_name", coop.name);
	jw_kbool(&w, "admin", rq->coop.is_admin);
	jw_kbool(&w, "member", rq->coop.is_member);
	jw_kbool(&w, "active", rq->coop.is_active);
	jw_kbool(&w, "can_cancel", rq->coop.is_admin && r.state < RELEASE_BUILDING && r.state != RELEASE_FAILED);
	jw_kstr(&w, "digest", r.frozen_at == INSTANT_NONE ? STR_NONE : sha256_hex(c->arena, r.candidates_sha256));
	jw_kstr(&w, "manifest", built ? sha256_hex(c->arena, r.manifest_sha256) : STR_NONE);
	jw_kstr(&w, "public_key", minisign_public_key(c->arena, coop.public_key));
	if (uuid_is_nil(r.redacts))
		life_steps(&w, &r);
	else
		redaction_steps(&w, &r);
	reason_charts(&w, c->arena, counts, n);
	file_kinds(&w, c->arena, files, n_files);
	file_rows(&w, c->arena, files, n_files);
	enum err e = withdrawal_facts(&w, c, &r);
	/* Those that it was decided by; of one that is still to be cut, those that stand. */
	return page_end(rq, rs, "page/release", &b, &w, e != ERR_OK ? e : control_page_data(c, rq->coop.id, r.frozen_at == INSTANT_NONE ? INSTANT_NONE : r.cutoff_at, &w));
}

static enum err cancel_form(struct request *rq, struct response *rs)
{
	struct release r;
	struct str reason = str_trim(request_form(rq, "reason"));
	if (reason.n < 3)
		return fail_field(rq->call, "form/reason", "Say why it is cancelled; members will read it.");
	TRY(release_of_request(rq, 1, &r));
	TRY(release_cancel(rq->call, rq->coop.id, r.id, reason, &r));
	return response_done(rq, rs, STR("The release was cancelled."), coop_place(rq, "releases"));
}

/* ---- my contributions, with what became of each ---- */

static void item_facts(struct json_writer *w, struct request *rq, const struct contribution *item)
{
	struct arena *a = rq->call->arena;
	jw_kstr(w, "id", uuid_format(a, item->id));
	jw_kstr(w, "rid", item->rid);
	jw_kz(w, "kind", words_kind(item->kind));
	jw_kz(w, "licence", policy_licence_get(item->licence)->spdx);
	jw_kstr(w, "language", words_language(a, item->lang));
	jw_kstr(w, "status", str_is(item->status, "pending") ? STR("waits for an admin") : str_is(item->status, "embargoed") ? str_fmt(a, "embargoed until %.*s", STR_ARG(words_day(a, item->embargo_until)))
		: item->status);
	jw_kz(w, "status_badge", str_is(item->status, "approved") ? "include" : str_is(item->status, "rejected") || str_is(item->status, "erased") || str_is(item->status, "withdrawn") ? "exclude" : "hold");
	jw_kstr(w, "day", words_day(a, item->submitted_at));
	jw_kstr(w, "day_iso", words_day_iso(a, item->submitted_at));
	jw_kstr(w, "size", words_size(a, item->bytes));
	jw_kstr(w, "sha256", sha256_hex(a, item->content_sha256));
	jw_kint(w, "leaf", item->leaf);
	jw_kbool(w, "gone", str_is(item->status, "erased"));
	jw_kstr(w, "coop", rq->coop.slug);
}

static void outcome_facts(struct json_writer *w, uint64_t reasons)
{
	enum policy_outcome o = policy_outcome_of(reasons);
	jw_kz(w, "outcome", words_outcome(o));
	jw_kz(w, "outcome_badge", class_of(o));
	jw_key(w, "why");
	jw_array(w);
	for (unsigned no = 0; no < POLICY_REASON_COUNT; no++)
		if (reasons >> no & 1 && policy_reason_get(no)->severity == o)
			jw_z(w, words_reason(no));
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
	size_t n;
	TRY(pool_list_mine(c, rq->coop.id, request_query(rq, "kind"), request_query(rq, "cursor"), LIMIT_PAGE_DEFAULT, &items, &n, &next));
	TRY(my_outcomes(rq, items, n, &latest, &reasons));
	struct json_writer w = page_begin(&b);
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
	return page_end(rq, rs, "page/contributions", &b, &w, ERR_OK);
}

/* With a capital and a full stop. */
static struct str sentence(struct arena *a, struct str s)
{
	if (!s.n)
		return s;
	char first = s.p[0] >= 'a' && s.p[0] <= 'z' ? (char)(s.p[0] - 'a' + 'A') : s.p[0];
	return str_fmt(a, "%c%.*s.", first, STR_ARG(str_sub(s, 1, s.n)));
}

/* Every text and number of a contribution with where it stands, to be read by the one who gave it. */
static enum err content_facts(struct json_writer *w, struct call *c, struct str content)
{
	const struct json *json = NULL;
	if (content.p)
		TRY(json_parse(c->arena, content, &json, &c->error));
	jw_kstr(w, "json", content);
	jw_key(w, "texts");
	jw_array(w);
	for (const struct json *v = json; v; v = json_next(v)) {
		if (v->type != JSON_STRING && v->type != JSON_NUMBER)
			continue;
		jw_object(w);
		jw_kstr(w, "where", words_field(c->arena, json_pointer(c->arena, v)));
		jw_kstr(w, "text", v->text);
		jw_end_object(w);
	}
	jw_end_array(w);
	return ERR_OK;
}

static void decision_facts(struct json_writer *w, struct arena *a, const struct decision *d)
{
	jw_kz(w, "outcome", words_outcome(d->outcome));
	jw_kz(w, "outcome_badge", class_of(d->outcome));
	jw_kstr(w, "retry", words_day(a, d->retry_at));
	jw_kstr(w, "trace", sha256_hex(a, d->trace));
	jw_kbool(w, "any_line", d->n_lines + d->n_elsewhere > 0);
	jw_key(w, "lines");
	jw_array(w);
	for (size_t i = 0; i < d->n_lines; i++) {
		jw_object(w);
		jw_kz(w, "text", words_reason(d->lines[i].no));
		jw_kstr(w, "uses", d->lines[i].uses ? words_list(a, d->lines[i].uses, POLICY_USE_COUNT, words_use) : STR_NONE);
		jw_kstr(w, "reason", d->lines[i].reason);
		jw_kstr(w, "who", d->lines[i].who);
		jw_kstr(w, "by_vote", d->lines[i].control_words);
		jw_kbool(w, "determining", d->lines[i].determining);
		jw_end_object(w);
	}
	jw_end_array(w);
	struct str chain = STR_NONE;
	for (size_t i = 0; i < d->n_delegates; i++)
		chain = str_fmt(a, "%.*s%s%.*s", STR_ARG(chain), i ? ", and through them " : "", STR_ARG(d->delegates[i]));
	jw_kstr(w, "chain", chain);
	jw_key(w, "elsewhere");
	jw_array(w);
	for (size_t i = 0; i < d->n_elsewhere; i++)
		jw_str(w, d->elsewhere[i]);
	jw_end_array(w);
	jw_kbool(w, "any_fix", d->n_fixes > 0);
	jw_key(w, "fixes");
	jw_array(w);
	for (size_t i = 0; i < d->n_fixes; i++)
		jw_str(w, sentence(a, d->fixes[i]));
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
	size_t n;
	TRY(request_param_uuid(rq, 1, &id));
	TRY(pool_read(c, rq->coop.id, id, &item, &content));
	TRY(release_of_item(c, rq->coop.id, id, &in, &n));
	TRY(release_explain(c, rq->coop.id, id, (struct uuid){ { 0 } }, &next));
	struct json_writer w = page_begin(&b);
	jw_kstr(&w, "title", str_fmt(c->arena, "%s of %.*s", words_kind(item.kind), STR_ARG(words_day(c->arena, item.submitted_at))));
	item_facts(&w, rq, &item);
	jw_kbool(&w, "own", uuid_eq(item.member, rq->coop.member));
	enum err read = content_facts(&w, c, content);
	if (read != ERR_OK) {
		buf_release(&b);
		return read;
	}
	jw_key(&w, "next");
	jw_object(&w);
	decision_facts(&w, c->arena, &next);
	jw_end_object(&w);
	size_t shown = 0;
	jw_key(&w, "releases");
	jw_array(&w);
	for (size_t i = 0; i < n; i++) {
		/* A release that was out before this was given says nothing about it. */
		if (in[i].release.published_at < item.submitted_at)
			continue;
		shown++;
		jw_object(&w);
		jw_kstr(&w, "version", in[i].release.version);
		jw_kstr(&w, "published", words_day(c->arena, in[i].release.published_at));
		outcome_facts(&w, in[i].reasons);
		jw_end_object(&w);
	}
	jw_end_array(&w);
	jw_kbool(&w, "any_release", shown > 0);
	return page_end(rq, rs, "page/contribution", &b, &w, ERR_OK);
}

const struct route release_page_routes[] = {
	{ "GET", "/coops/{coop}/releases", "page_releases", PERM_OPTIONAL, 0, NULL, "text/html", 200, releases_page, NULL },
	{ "GET", "/coops/{coop}/releases/{release}", "page_release", PERM_OPTIONAL, 0, NULL, "text/html", 200, release_page, NULL },
	{ "POST", "/coops/{coop}/releases/{release}/cancel", "page_release_cancel", PERM_ADMIN, LIMIT_BODY_SMALL, "form", "text/html", 303, cancel_form, NULL },
	{ "GET", "/coops/{coop}/contributions", "page_contributions", PERM_MEMBER, 0, NULL, "text/html", 200, contributions_page, NULL },
	{ "GET", "/coops/{coop}/contributions/{contribution}", "page_contribution", PERM_MEMBER, 0, NULL, "text/html", 200, contribution_page, NULL },
	ROUTE_TABLE_END,
};
