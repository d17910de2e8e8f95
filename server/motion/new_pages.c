#include "motion_pages.h"

#include "commonhold/form.h"
#include "commonhold/release.h"
#include "commonhold/words.h"

/* Forms to propose a control, its end, an admin, or what becomes of money: one question a page, no script needed. */

#define PEOPLE_OFFERED LIMIT_PAGE   /* members in the list to choose from */
#define RELEASES_OFFERED 20         /* newest published ones */

static const char *const what_for[CONTROL_KIND_COUNT] = {
	"Withhold preferences, feedback and signals: what makes a model better is held back, while the rest goes on.",
	"Pause releases altogether, or let new contributions go into releases for evaluation alone.",
	"New contributions say no to some uses, whatever their contributors say.",
	"Of what is contributed in each month, only so many may be released.",
	"New contributions are sealed until enough members have joined; then they may be released together.",
};

static struct str sent(struct request *rq, const char *field)
{
	struct str v = request_form(rq, field);
	if (!v.p)
		v = request_query(rq, field);
	return v.p ? str_trim(v) : STR("");
}

static void boxes(struct request *rq, struct json_writer *w, const char *field, uint64_t mask, uint64_t usual, unsigned count, const char *(*name)(unsigned no),
	const char *(*words)(unsigned no))
{
	form_boxes(rq, w, &(struct form_boxes){ field, field, mask, usual, count, name, words, str_is(rq->method, "POST") });
}

/* ---- From the form to the document ---- */

/* A date as the instant at which that day begins. */
static void day_of(struct request *rq, struct json_writer *w, const char *field)
{
	struct str v = sent(rq, field);
	if (v.n)
		jw_kstr(w, field, v.n == 10 ? str_fmt(rq->call->arena, "%.*sT00:00:00Z", STR_ARG(v)) : v);
}

static enum err document_of(struct request *rq, struct str kind, const struct json **out)
{
	static const char *const texts[] = { "act", "control", "mode", "member", "release", "currency", "source", "note", "weight", "reference" };
	struct arena *a = rq->call->arena;
	struct buf b;
	struct json_writer w;
	buf_init(&b, LIMIT_BODY_SMALL);
	jw_init(&w, &b);
	jw_object(&w);
	for (size_t i = 0; i < CH_LEN(texts); i++)
		form_text(&w, texts[i], sent(rq, texts[i]));
	if (request_form(rq, "kinds").p)
		form_list(rq, &w, "kinds", "kinds");
	if (request_form(rq, "uses").p)
		form_list(rq, &w, "uses", "uses");
	day_of(rq, &w, "until");
	form_number(&w, "contributors", sent(rq, "contributors"));
	if (str_is(kind, "benefit"))
		form_text(&w, "amount", sent(rq, "amount"));
	else
		form_number(&w, "amount", sent(rq, "amount"));
	jw_end_object(&w);
	struct str text = buf_take(a, &b);
	return text.p ? json_parse(a, text, out, &rq->call->error) : fail(rq->call, ERR_TOO_LARGE, "This is too much.");
}

/* ---- The page ---- */

static void control_choices(struct json_writer *w)
{
	jw_key(w, "choices");
	jw_array(w);
	for (unsigned k = 0; k < CONTROL_KIND_COUNT; k++) {
		jw_object(w);
		jw_kz(w, "id", control_kind_name(k));
		jw_kz(w, "words", control_title(k));
		jw_kz(w, "for", what_for[k]);
		jw_end_object(w);
	}
	jw_end_array(w);
}

static void control_form(struct request *rq, struct json_writer *w, unsigned kind)
{
	const uint32_t labels = POLICY_BIT(POLICY_KIND_PREFERENCE) | POLICY_BIT(POLICY_KIND_FEEDBACK) | POLICY_BIT(POLICY_KIND_SIGNAL);
	jw_kz(w, "heading", control_title(kind));
	jw_kz(w, "what_for", what_for[kind]);
	jw_kbool(w, "wants_mode", kind == CONTROL_SELECTIVE_EMBARGO);
	jw_kbool(w, "mode_pause", str_is(sent(rq, "mode"), "pause"));
	jw_kbool(w, "mode_eval", str_is(sent(rq, "mode"), "evaluation_only"));
	jw_kbool(w, "wants_uses", kind == CONTROL_PREFERENCE_SHIFT);
	jw_kbool(w, "wants_items", kind == CONTROL_RATE_LIMIT);
	jw_kbool(w, "wants_members", kind == CONTROL_ASSURANCE);
	boxes(rq, w, "kinds", POLICY_KINDS_ALL, kind == CONTROL_QUALITY_FREEZE ? labels : POLICY_KINDS_ALL, POLICY_KIND_COUNT, policy_kind_name, words_kind);
	boxes(rq, w, "uses", POLICY_USES_ALL, 0, POLICY_USE_COUNT, policy_use_name, words_use);
}

static enum err toggle_data(struct request *rq, struct json_writer *w)
{
	struct uuid id;
	struct control k;
	int kind = control_kind_find(sent(rq, "control"));
	jw_kz(w, "control_limits", control_limits());
	struct str which = sent(rq, "lift").n ? sent(rq, "lift") : sent(rq, "control");
	bool lift = sent(rq, "lift").n || str_is(sent(rq, "act"), "lift");
	if (lift && uuid_parse(which, &id)) {
		TRY(control_read(rq->call, rq->coop.id, id, &k));
		jw_kbool(w, "lifts", true);
		jw_kz(w, "heading", "Lift a control");
		jw_key(w, "lifted");
		control_page_write(w, rq->call->arena, &k);
	} else if (kind >= 0) {
		jw_kbool(w, "sets", true);
		control_form(rq, w, (unsigned)kind);
	} else {
		jw_kbool(w, "chooses", true);
		jw_kz(w, "heading", "Propose a collective control");
		control_choices(w);
	}
	return ERR_OK;
}

static struct str name_of(const struct member *m)
{
	return str_is(m->attribution, "public") && m->public_name.n ? m->public_name : m->pseudonym;
}

static enum err admin_data(struct request *rq, struct json_writer *w)
{
	struct member *members;
	struct str next, chosen = sent(rq, "member");
	size_t n;
	TRY(member_list(rq->call, rq->coop.id, STR("active"), STR_NONE, PEOPLE_OFFERED, &members, &n, &next));
	jw_kz(w, "heading", "Make or unmake an admin");
	jw_kbool(w, "of_admins", true);
	jw_kbool(w, "act_add", !str_is(sent(rq, "act"), "remove"));
	jw_kbool(w, "act_remove", str_is(sent(rq, "act"), "remove"));
	jw_key(w, "people");
	jw_array(w);
	for (size_t i = 0; i < n; i++) {
		struct str id = uuid_format(rq->call->arena, members[i].id);
		jw_object(w);
		jw_kstr(w, "id", id);
		jw_kstr(w, "words", name_of(&members[i]));
		jw_kbool(w, "is_admin", members[i].is_admin);
		jw_kbool(w, "chosen", str_eq(id, chosen));
		jw_end_object(w);
	}
	jw_end_array(w);
	return ERR_OK;
}

static enum err benefit_data(struct request *rq, struct json_writer *w)
{
	struct release *releases;
	struct str next, chosen = sent(rq, "release");
	size_t n;
	bool spend = str_is(sent(rq, "act"), "spend");
	TRY(release_list(rq->call, rq->coop.id, STR_NONE, STR_NONE, RELEASES_OFFERED, &releases, &n, &next));
	jw_kz(w, "heading", spend ? "Spend from the commons" : "Split what a release earned");
	jw_kbool(w, "of_money", true);
	jw_kbool(w, "spends", spend);
	jw_kbool(w, "splits", !spend);
	jw_kbool(w, "by_person", str_is(sent(rq, "weight"), "per_contributor"));
	jw_kbool(w, "by_items", !str_is(sent(rq, "weight"), "per_contributor"));
	jw_key(w, "releases");
	jw_array(w);
	for (size_t i = 0; i < n; i++) {
		struct str id = uuid_format(rq->call->arena, releases[i].id);
		if (!releases[i].version.n)
			continue;
		jw_object(w);
		jw_kstr(w, "id", id);
		jw_kstr(w, "words", releases[i].version);
		jw_kbool(w, "chosen", str_eq(id, chosen));
		jw_end_object(w);
	}
	jw_end_array(w);
	return ERR_OK;
}

static enum err new_data(struct request *rq, struct response *rs, enum err refused, struct json_writer *w)
{
	static const char *const fields[] = { "reason", "amount", "until", "currency", "source", "note", "contributors", "reference", "control", "act" };
	struct str kind = sent(rq, "kind");
	TRY(page_form_refused(rq, rs, refused, w));
	jw_kstr(w, "coop", rq->coop.slug);
	jw_kstr(w, "kind", kind);
	jw_key(w, "value");
	jw_object(w);
	for (size_t i = 0; i < CH_LEN(fields); i++)
		jw_kstr(w, fields[i], sent(rq, fields[i]));
	jw_end_object(w);
	if (str_is(kind, "toggle"))
		return toggle_data(rq, w);
	if (str_is(kind, "admin"))
		return admin_data(rq, w);
	if (str_is(kind, "benefit"))
		return benefit_data(rq, w);
	jw_kz(w, "heading", "Propose something");
	jw_kbool(w, "asks_kind", true);
	return ERR_OK;
}

static enum err new_form(struct request *rq, struct response *rs, enum err refused)
{
	struct buf b;
	struct json_writer w = page_begin(&b);
	jw_kz(&w, "title", "Propose");
	enum err e = new_data(rq, rs, refused, &w);
	return page_end(rq, rs, "page/motion_new", &b, &w, e);
}

enum err motion_new_page(struct request *rq, struct response *rs)
{
	return new_form(rq, rs, ERR_OK);
}

enum err motion_new_submit(struct request *rq, struct response *rs)
{
	struct str kind = sent(rq, "kind");
	const struct json *document;
	struct motion m;
	enum err e = document_of(rq, kind, &document);
	if (e == ERR_OK)
		e = motion_propose(rq->call, rq->coop.id, kind, document, sent(rq, "reason"), &m);
	if (e != ERR_OK)
		return new_form(rq, rs, e);
	response_flash(rq, rs, m.state == MOTION_SEEKING ? STR("It is proposed, and now looks for seconders.") : STR("It is proposed. Everybody is told, and voting begins after the notice."));
	motion_redirect(rq, rs, m.id);
	return ERR_OK;
}
