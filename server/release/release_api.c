#include "commonhold/db.h"
#include "commonhold/release_api.h"
#include "commonhold/words.h"

#include <stdatomic.h>

static void withdrawal_write(struct json_writer *w, struct arena *a, const struct release *r)
{
	jw_key(w, "withdrawn");
	if (r->state != RELEASE_WITHDRAWN) {
		jw_null(w);
		return;
	}
	jw_object(w);
	jw_kstr(w, "at", clock_format_or_none(a, r->withdrawn_at));
	jw_kstr(w, "reason", r->withdrawn_why);
	jw_key(w, "tombstones");
	if (r->tombstones_from >= 0) {
		jw_object(w);
		jw_kint(w, "from", r->tombstones_from);
		jw_kint(w, "upto", r->tombstones_upto);
		jw_end_object(w);
	} else {
		jw_null(w);
	}
	jw_kstr(w, "cleared_at", clock_format_or_none(a, r->cleared_at));
	jw_end_object(w);
}

/* As schemas/release.json. */
static void release_write(struct json_writer *w, struct request *rq, const struct release *r)
{
	struct arena *a = rq->call->arena;
	jw_object(w);
	jw_kstr(w, "id", uuid_format(a, r->id));
	jw_kstr(w, "rid", rid_format(a, rq->coop.name, r->id));
	jw_kz(w, "state", release_state_name(r->state));
	jw_kstr(w, "state_at", clock_format_or_none(a, r->state_at));
	jw_kstr(w, "version", r->version);
	jw_kstr(w, "cutoff_at", clock_format(a, r->cutoff_at));
	jw_kstr(w, "frozen_at", clock_format_or_none(a, r->frozen_at));
	jw_kstr(w, "build_after", clock_format_or_none(a, r->build_after));
	jw_kstr(w, "published_at", clock_format_or_none(a, r->published_at));
	jw_kint(w, "charter", r->charter);
	jw_kstr(w, "ballot", uuid_format_or_none(a, r->ballot));
	jw_kstr(w, "previous", uuid_format_or_none(a, r->previous));
	jw_kint(w, "candidates", r->candidates);
	jw_kint(w, "included", r->included);
	jw_kint(w, "contributors", r->contributors);
	jw_kint(w, "rows", r->built_items);
	jw_kstr(w, "candidates_sha256", sha256_hex_or_none(a, r->candidates_sha256));
	jw_kstr(w, "manifest_sha256", sha256_hex_or_none(a, r->manifest_sha256));
	jw_key(w, "spec");
	if (r->spec.n)
		jw_raw(w, r->spec);
	else
		jw_null(w);
	jw_kstr(w, "failure", r->failure);
	jw_kstr(w, "redacts", uuid_format_or_none(a, r->redacts));
	withdrawal_write(w, a, r);
	jw_key(w, "log_leaf");
	if (r->leaf >= 0)
		jw_int(w, r->leaf);
	else
		jw_null(w);
	jw_end_object(w);
}

static bool is_outcome(struct str name)
{
	return policy_outcome_find(name.p, name.n) >= 0;
}

/* {outcomes: {...}, reasons: [...]} members of the open object. */
static void reasons_write(struct json_writer *w, const struct reason_count *reasons, size_t n)
{
	jw_key(w, "outcomes");
	jw_object(w);
	for (size_t i = 0; i < n; i++) {
		if (is_outcome(reasons[i].reason)) {
			jw_key_str(w, reasons[i].reason);
			jw_int(w, reasons[i].items);
		}
	}
	jw_end_object(w);
	jw_key(w, "reasons");
	jw_array(w);
	for (size_t i = 0; i < n; i++) {
		int no = policy_reason_find(reasons[i].reason.p, reasons[i].reason.n);
		if (no < 0)
			continue;
		const struct policy_reason *reason = policy_reason_get((unsigned)no);
		jw_object(w);
		jw_kz(w, "reason", reason->name);
		jw_kint(w, "items", reasons[i].items);
		jw_kz(w, "message", words_reason((unsigned)no));
		jw_kz(w, "gate", policy_gate_name(reason->gate));
		jw_kz(w, "who_can_change_it", policy_fixer_name(reason->fixer));
		jw_end_object(w);
	}
	jw_end_array(w);
}

enum err release_of_request(struct request *rq, size_t param, struct release *out)
{
	return release_find(rq->call, rq->coop.id, rq->param[param], out);
}

static enum err list_releases(struct request *rq, struct response *rs)
{
	struct release *releases;
	struct str cursor, next;
	size_t n;
	int limit;
	TRY(request_page(rq, &cursor, &limit));
	TRY(release_list(rq->call, rq->coop.id, request_query(rq, "state"), cursor, limit, &releases, &n, &next));
	struct json_writer w = response_list(rs);
	for (size_t i = 0; i < n; i++)
		release_write(&w, rq, &releases[i]);
	response_list_end_page(&w, next);
	return ERR_OK;
}

static enum err answer(struct request *rq, struct response *rs, const struct release *r)
{
	struct json_writer w = response_json(rs);
	release_write(&w, rq, r);
	return ERR_OK;
}

static enum err schedule_release(struct request *rq, struct response *rs)
{
	struct release r, full;
	TRY(release_schedule_next(rq->call, rq->coop.id, &r));
	TRY(release_read(rq->call, rq->coop.id, r.id, &full));
	return answer(rq, rs, &full);
}

static enum err read_release(struct request *rq, struct response *rs)
{
	struct release r;
	TRY(release_of_request(rq, 1, &r));
	return answer(rq, rs, &r);
}

static enum err cancel_release(struct request *rq, struct response *rs)
{
	struct release r;
	TRY(release_of_request(rq, 1, &r));
	TRY(release_cancel(rq->call, rq->coop.id, r.id, json_member_text(rq->json, "reason"), &r));
	return answer(rq, rs, &r);
}

static enum err read_report(struct request *rq, struct response *rs)
{
	struct release r;
	struct reason_count *reasons;
	size_t n;
	TRY(release_of_request(rq, 1, &r));
	const char *stage = r.version.p ? "built" : "frozen";
	TRY(release_reasons(rq->call, rq->coop.id, r.id, stage, &reasons, &n));
	struct json_writer w = response_json(rs);
	jw_object(&w);
	jw_kz(&w, "stage", stage);
	reasons_write(&w, reasons, n);
	jw_end_object(&w);
	return ERR_OK;
}

static enum err read_preview(struct request *rq, struct response *rs)
{
	struct preview p;
	TRY(release_preview(rq->call, rq->coop.id, &p));
	struct json_writer w = response_json(rs);
	jw_object(&w);
	jw_kint(&w, "candidates", p.candidates);
	jw_kint(&w, "included", p.included);
	jw_kint(&w, "contributors", p.contributors);
	reasons_write(&w, p.reasons, p.n_reasons);
	jw_end_object(&w);
	return ERR_OK;
}

static enum err list_files(struct request *rq, struct response *rs)
{
	struct release r;
	struct release_file *files;
	size_t n;
	TRY(release_of_request(rq, 1, &r));
	TRY(release_files(rq->call, rq->coop.id, r.id, &files, &n));
	struct json_writer w = response_json(rs);
	jw_object(&w);
	jw_kstr(&w, "version", r.version);
	jw_key(&w, "items");
	jw_array(&w);
	for (size_t i = 0; i < n; i++) {
		jw_object(&w);
		jw_kstr(&w, "path", files[i].path);
		jw_kint(&w, "size", files[i].size);
		jw_kstr(&w, "sha256", sha256_hex(rq->call->arena, files[i].sha256));
		jw_kint(&w, "rows", files[i].rows);
		jw_end_object(&w);
	}
	jw_end_array(&w);
	jw_end_object(&w);
	return ERR_OK;
}

static void write_digests(struct json_writer *w, struct arena *a, const struct decision *d)
{
	jw_key(w, "digests");
	jw_object(w);
	jw_kstr(w, "policy", sha256_hex(a, d->policy));
	jw_kstr(w, "snapshot", sha256_hex(a, d->snapshot));
	jw_kstr(w, "engine", sha256_hex(a, d->engine));
	jw_kstr(w, "trace", sha256_hex(a, d->trace));
	jw_end_object(w);
}

static enum err explain_item(struct request *rq, struct response *rs)
{
	struct call *c = rq->call;
	struct uuid item;
	struct release r = { 0 };
	struct decision d;
	struct str which = request_query(rq, "release");
	TRY(request_param_uuid(rq, 1, &item));
	if (which.p && !str_is(which, "next"))
		TRY(release_find(c, rq->coop.id, which, &r));
	TRY(release_explain(c, rq->coop.id, item, r.id, &d));
	struct json_writer w = response_json(rs);
	jw_object(&w);
	jw_kstr(&w, "contribution", uuid_format(c->arena, item));
	jw_kstr(&w, "release", uuid_format_or_none(c->arena, r.id));
	jw_kz(&w, "outcome", policy_outcome_name(d.outcome));
	jw_key(&w, "reasons");
	jw_array(&w);
	for (size_t i = 0; i < d.n_lines; i++) {
		jw_object(&w);
		jw_kstr(&w, "reason", d.lines[i].reason);
		jw_kstr(&w, "text", d.lines[i].text);
		if (!uuid_is_nil(d.lines[i].control))
			jw_kstr(&w, "control", uuid_format(rq->call->arena, d.lines[i].control));
		jw_kstr(&w, "gate", d.lines[i].gate);
		jw_kbool(&w, "determining", d.lines[i].determining);
		jw_kstr(&w, "who_can_change_it", d.lines[i].who);
		jw_end_object(&w);
	}
	jw_end_array(&w);
	jw_key(&w, "delegates");
	jw_array(&w);
	for (size_t i = 0; i < d.n_delegates; i++)
		jw_str(&w, d.delegates[i]);
	jw_end_array(&w);
	if (d.n_elsewhere) {
		jw_key(&w, "elsewhere");
		jw_array(&w);
		for (size_t i = 0; i < d.n_elsewhere; i++)
			jw_str(&w, d.elsewhere[i]);
		jw_end_array(&w);
	}
	jw_key(&w, "what_would_change_it");
	jw_array(&w);
	for (size_t i = 0; i < d.n_fixes; i++)
		jw_str(&w, d.fixes[i]);
	jw_end_array(&w);
	jw_kstr(&w, "retry_at", clock_format_or_none(c->arena, d.retry_at));
	jw_knames(&w, "duties", d.duties, POLICY_DUTY_COUNT, policy_duty_name);
	write_digests(&w, c->arena, &d);
	jw_end_object(&w);
	return ERR_OK;
}

static enum err list_item_releases(struct request *rq, struct response *rs)
{
	struct call *c = rq->call;
	struct uuid item;
	struct item_release *in;
	size_t n;
	TRY(request_param_uuid(rq, 1, &item));
	TRY(release_of_item(c, rq->coop.id, item, &in, &n));
	struct json_writer w = response_list(rs);
	for (size_t i = 0; i < n; i++) {
		jw_object(&w);
		jw_kstr(&w, "release", uuid_format(c->arena, in[i].release.id));
		jw_kstr(&w, "version", in[i].release.version);
		jw_kz(&w, "outcome", policy_outcome_name(in[i].outcome));
		jw_key(&w, "reasons");
		jw_array(&w);
		for (unsigned no = 0; no < POLICY_REASON_COUNT; no++)
			if (in[i].reasons >> no & 1)
				jw_z(&w, policy_reason_get(no)->name);
		jw_end_array(&w);
		jw_end_object(&w);
	}
	response_list_end(&w);
	return ERR_OK;
}

#define STATES "scheduled|frozen|notice|open|passed|failed|cooling_off|building|published|superseded|withdrawn|expired|cancelled|redacting|joined|left"

const struct route release_routes[] = {
	{ "GET", "/api/v1/coops/{coop}/releases", "release_list", PERM_OPTIONAL, 0, NULL, "release_list", 200, list_releases, "The co-op's releases, latest cut-off first", 0,
		"cursor limit state=" STATES },
	{ "POST", "/api/v1/coops/{coop}/releases", "release_schedule", PERM_ADMIN, 0, NULL, "release", 201, schedule_release,
		"Schedule the release of the cadence's next cut-off that has none yet" },
	{ "GET", "/api/v1/coops/{coop}/releases/preview", "release_preview", PERM_ADMIN, 0, NULL, "release_preview", 200, read_preview,
		"What a release would hold if it were cut now", ROUTE_EXPENSIVE },
	{ "GET", "/api/v1/coops/{coop}/releases/{release}", "release_read", PERM_OPTIONAL, 0, NULL, "release", 200, read_release,
		"One release, by id, version or `latest`" },
	{ "POST", "/api/v1/coops/{coop}/releases/{release}/cancel", "release_cancel", PERM_ADMIN, LIMIT_BODY_SMALL, "cancel", "release", 200, cancel_release,
		"Cancel a release that is not built yet" },
	{ "GET", "/api/v1/coops/{coop}/releases/{release}/report", "release_report", PERM_OPTIONAL, 0, NULL, "release_report", 200, read_report,
		"What became of every item, with every reason and count" },
	{ "GET", "/api/v1/coops/{coop}/releases/{release}/files", "release_files", PERM_OPTIONAL, 0, NULL, "release_files", 200, list_files, "The files of a built release" },
	{ "GET", "/api/v1/coops/{coop}/contributions/{contribution}/decision", "contribution_decision", PERM_MEMBER, 0, NULL, "decision", 200, explain_item,
		"Why a contribution is, or is not, in a release; without one, in the next", 0, "release" },
	{ "GET", "/api/v1/coops/{coop}/contributions/{contribution}/releases", "contribution_releases", PERM_MEMBER, 0, NULL, "item_releases", 200, list_item_releases,
		"In which releases a contribution is" },
	ROUTE_TABLE_END,
};

void release_gauges(void)
{
	static _Atomic int64_t next;
	int64_t now = clock_tick(), due = atomic_load(&next), overdue;
	if (now < due || !atomic_compare_exchange_strong(&next, &due, now + CLOCK_MINUTE))
		return;
	struct call c = { .arena = arena_new(LIMIT_REQUEST_ARENA), .actor.kind = AUTH_SYSTEM };
	if (!c.arena)
		return;
	/* While the database is away the gauge keeps its last value: readiness says the rest. */
	if (release_redactions_overdue(&c, &overdue) == ERR_OK)
		metric_set("commonhold_redactions_overdue", "", overdue);
	db_release(&c);
	arena_free(c.arena);
}
