#include "server/coop/choices.h"

#include "commonhold/control.h"
#include "commonhold/crypto.h"
#include "commonhold/db.h"
#include "commonhold/markdown.h"
#include "commonhold/routes.h"
#include "commonhold/waiting.h"
#include "commonhold/words.h"

/* The directory, a co-op and its charter. */

const char *standing_in_words(enum policy_standing s)
{
	static const char *const words[POLICY_STANDING_COUNT] = { "has applied", "active", "active, checkup due", "checkup overdue", "lapsed", "has left", "removed" };
	return s < POLICY_STANDING_COUNT ? words[s] : "unknown";
}

static const char *admission_words(struct str admission)
{
	if (str_is(admission, "open"))
		return "Anyone may join.";
	return str_is(admission, "approval") ? "You apply, and an admin decides." : "One joins by invitation.";
}

/* ---- The front page ---- */

static void coop_card(struct json_writer *w, struct arena *a, const struct coop *coop)
{
	jw_object(w);
	jw_kstr(w, "slug", coop->slug);
	jw_kstr(w, "coop_name", coop->name);
	jw_kstr(w, "domain", coop->domain);
	jw_kstr(w, "region", coop->region.n ? coop->region : STR_NONE);
	jw_key(w, "languages");
	jw_array(w);
	for (size_t i = 0; i < coop->n_languages; i++)
		jw_str(w, words_language(a, coop->languages[i]));
	jw_end_array(w);
	jw_kstr(w, "members", words_count(a, coop->members));
	jw_kbool(w, "one_member", coop->members == 1);
	jw_kstr(w, "contributions", words_count(a, coop->contributions));
	jw_kstr(w, "releases", words_count(a, coop->releases));
	jw_kbool(w, "one_release", coop->releases == 1);
	jw_kz(w, "admission", admission_words(coop->admission));
	jw_end_object(w);
}

#define OWN_SHOWN 20 /* of one's co-ops on the front page */

static enum err own_coops(struct request *rq, struct json_writer *w)
{
	struct member *members;
	size_t n, shown = 0;
	if (uuid_is_nil(rq->call->actor.account))
		return ERR_OK;
	TRY(member_mine(rq->call, &members, &n));
	jw_key(w, "own");
	jw_array(w);
	for (size_t i = 0; i < n && shown < OWN_SHOWN; i++) {
		struct coop coop;
		if (members[i].state == POLICY_STANDING_LEFT || members[i].state == POLICY_STANDING_REMOVED)
			continue;
		TRY(coop_read(rq->call, members[i].coop, &coop));
		jw_object(w);
		jw_kstr(w, "slug", coop.slug);
		jw_kstr(w, "coop_name", coop.name);
		jw_kz(w, "state", standing_in_words(members[i].state));
		jw_kbool(w, "is_admin", members[i].is_admin);
		if (members[i].state == POLICY_STANDING_ACTIVE || members[i].state == POLICY_STANDING_DUE || members[i].state == POLICY_STANDING_GRACE)
			TRY(waiting_write(rq->call, w, coop.id, coop.slug, members[i].id, members[i].is_admin));
		jw_end_object(w);
		shown++;
	}
	jw_end_array(w);
	jw_kbool(w, "any_own", shown > 0);
	return ERR_OK;
}

/* The text of a search field; an empty one filters nothing. */
static struct str filter_text(struct request *rq, const char *name)
{
	struct str v = str_trim(request_query(rq, name));
	return v.n ? v : STR_NONE;
}

static enum err home_data(struct request *rq, struct json_writer *w)
{
	struct coop *coops;
	struct str next;
	size_t n;
	struct coop_filter filter = {
		.domain = filter_text(rq, "domain"), .region = filter_text(rq, "region"), .language = filter_text(rq, "language"), .text = filter_text(rq, "text"),
		.cursor = request_query(rq, "cursor"), .limit = 24,
	};
	bool filtered = filter.domain.p || filter.region.p || filter.language.p || filter.text.p;
	TRY(own_coops(rq, w));
	TRY(coop_list(rq->call, &filter, &coops, &n, &next));
	jw_kbool(w, "signed_in", !uuid_is_nil(rq->call->actor.account));
	jw_kbool(w, "filtered", filtered);
	jw_key(w, "filter");
	jw_object(w);
	jw_kstr(w, "text", filter.text);
	jw_kstr(w, "domain", filter.domain);
	jw_kstr(w, "region", filter.region);
	jw_kstr(w, "language", filter.language);
	jw_end_object(w);
	jw_kbool(w, "any", n > 0);
	jw_key(w, "coops");
	jw_array(w);
	for (size_t i = 0; i < n; i++)
		coop_card(w, rq->call->arena, &coops[i]);
	jw_end_array(w);
	if (next.p)
		jw_kstr(w, "next", str_fmt(rq->call->arena, "?cursor=%.*s&text=%.*s&domain=%.*s&region=%.*s&language=%.*s", STR_ARG(str_url_encode(rq->call->arena, next)),
			STR_ARG(str_url_encode(rq->call->arena, filter.text)), STR_ARG(str_url_encode(rq->call->arena, filter.domain)),
			STR_ARG(str_url_encode(rq->call->arena, filter.region)), STR_ARG(str_url_encode(rq->call->arena, filter.language))));
	return ERR_OK;
}

static enum err home_page(struct request *rq, struct response *rs)
{
	struct buf b;
	struct json_writer w = page_begin(&b);
	jw_kz(&w, "title", "Data co-operatives");
	enum err e = home_data(rq, &w);
	return page_end(rq, rs, "page/home", &b, &w, e);
}

/* ---- A co-op ---- */

static void standing_data(struct request *rq, const struct coop *coop, const struct member *me, struct json_writer *w)
{
	bool signed_in = !uuid_is_nil(rq->call->actor.account), invited_only = str_is(coop->admission, "invitation");
	bool none = !me || me->state == POLICY_STANDING_LEFT;
	jw_kbool(w, "signed_in", signed_in);
	jw_kbool(w, "is_member", rq->coop.is_active);
	jw_kbool(w, "has_applied", me && me->state == POLICY_STANDING_APPLIED);
	jw_kbool(w, "may_join", signed_in && none);
	jw_kbool(w, "by_approval", str_is(coop->admission, "approval"));
	jw_kbool(w, "invited_only", invited_only);
	if (me && !none)
		jw_kz(w, "standing", standing_in_words(me->state));
}

static enum err coop_data(struct request *rq, const struct coop *coop, struct json_writer *w)
{
	struct arena *a = rq->call->arena;
	struct charter charter;
	struct member me;
	bool known = false;
	TRY(charter_view(rq->call, rq->coop.id, 0, &charter));
	if (!uuid_is_nil(rq->coop.member)) {
		TRY(member_mine_in(rq->call, rq->coop.id, &me));
		known = true;
	}
	TRY(control_page_data(rq->call, rq->coop.id, INSTANT_NONE, w));
	jw_key(w, "coop");
	coop_card(w, a, coop);
	standing_data(rq, coop, known ? &me : NULL, w);
	jw_key(w, "words");
	jw_json(w, charter_words(a, &charter));
	jw_kint(w, "version", charter.version);
	jw_kstr(w, "founded", words_day(a, coop->founded_at));
	jw_kstr(w, "key_name", coop->key_name);
	jw_kstr(w, "public_key", minisign_public_key(a, coop->public_key));
	return rq->coop.is_active ? waiting_write(rq->call, w, rq->coop.id, rq->coop.slug, rq->coop.member, rq->coop.is_admin) : ERR_OK;
}

static enum err coop_page(struct request *rq, struct response *rs)
{
	struct coop coop;
	struct buf b;
	TRY(coop_read(rq->call, rq->coop.id, &coop));
	struct json_writer w = page_begin(&b);
	jw_kstr(&w, "title", coop.name);
	enum err e = coop_data(rq, &coop, &w);
	return page_end(rq, rs, "page/coop", &b, &w, e);
}

static enum err join_submit(struct request *rq, struct response *rs)
{
	struct arena *a = rq->call->arena;
	struct member member;
	enum err e = member_join(rq->call, rq->coop.id, &member);
	if (e == ERR_EXISTS || e == ERR_REFUSED) {
		struct str message = str_copy(a, str_of(rq->call->error.message));
		db_rollback(rq->call);
		error_clear(&rq->call->error);
		return response_done(rq, rs, message, str_fmt(a, "/coops/%.*s", STR_ARG(rq->coop.slug)));
	}
	TRY(e);
	if (member.state == POLICY_STANDING_APPLIED) {
		response_flash(rq, rs, STR("You have applied. An admin will decide."));
		response_redirect(rs, str_fmt(a, "/coops/%.*s", STR_ARG(rq->coop.slug)));
	} else {
		response_flash(rq, rs, STR("Welcome. You are a member. Nothing of yours is shared until you say so here."));
		response_redirect(rs, coop_place(rq, "choices"));
	}
	return ERR_OK;
}

/* ---- The charter ---- */

static enum err charter_data(struct request *rq, struct json_writer *w)
{
	struct arena *a = rq->call->arena;
	struct charter charter;
	struct charter_row *rows;
	size_t n;
	int64_t version = 0;
	struct str wanted = request_query(rq, "version");
	if (wanted.p && !str_to_i64(wanted, 1, INT32_MAX, &version))
		return fail(rq->call, ERR_NOT_FOUND, "The charter has no such version.");
	TRY(charter_view(rq->call, rq->coop.id, (int)version, &charter));
	TRY(charter_list(rq->call, rq->coop.id, &rows, &n));
	jw_kstr(w, "coop", rq->coop.slug);
	jw_kbool(w, "may_amend", rq->coop.is_active);
	jw_kstr(w, "coop_name", charter.name);
	jw_kint(w, "version", charter.version);
	jw_kbool(w, "current_version", n > 0 && rows[0].version == charter.version);
	jw_kstr(w, "adopted", words_day(a, charter.adopted_at));
	jw_kstr(w, "digest", sha256_hex(a, charter.digest));
	jw_key(w, "words");
	jw_json(w, charter_words(a, &charter));
	jw_kstr(w, "bylaws", charter.bylaws.n ? markdown_html(a, charter.bylaws) : STR_NONE);
	jw_kstr(w, "terms", markdown_html(a, charter.terms));
	jw_kbool(w, "several", n > 1);
	jw_key(w, "versions");
	jw_array(w);
	for (size_t i = 0; i < n; i++) {
		jw_object(w);
		jw_kint(w, "version", rows[i].version);
		jw_kstr(w, "adopted", words_day(a, rows[i].adopted_at));
		jw_kbool(w, "shown", rows[i].version == charter.version);
		jw_end_object(w);
	}
	jw_end_array(w);
	return ERR_OK;
}

static enum err charter_page(struct request *rq, struct response *rs)
{
	struct buf b;
	struct json_writer w = page_begin(&b);
	jw_kz(&w, "title", "Charter");
	enum err e = charter_data(rq, &w);
	return page_end(rq, rs, "page/charter", &b, &w, e);
}

#define COOP "/coops/{coop}"
#define FORM LIMIT_BODY_SMALL, "form", "text/html", 303
const struct route coop_page_routes[] = {
	{ "GET", "/", "page_home", PERM_OPTIONAL, 0, NULL, "text/html", 200, home_page, "The directory of co-ops." },
	{ "GET", "/compare", "page_compare", PERM_OPTIONAL, 0, NULL, "text/html", 200, compare_page, "Charters side by side." },
	{ "GET", "/coops/new", "page_found", PERM_ACCOUNT, 0, NULL, "text/html", 200, found_page, "The form to found a co-op." },
	{ "POST", "/coops/new", "page_found_submit", PERM_ACCOUNT, LIMIT_BODY_CHARTER, "form", "text/html", 303, found_submit, "Founds a co-op.", ROUTE_EXPENSIVE },
	{ "GET", COOP, "page_coop", PERM_OPTIONAL, 0, NULL, "text/html", 200, coop_page, "A co-op." },
	{ "POST", COOP "/join", "page_join", PERM_ACCOUNT, FORM, join_submit, "Joins or applies." },
	{ "GET", COOP "/charter", "page_charter", PERM_OPTIONAL, 0, NULL, "text/html", 200, charter_page, "The charter in plain words." },
	{ "GET", COOP "/choices", "page_choices", PERM_MEMBER, 0, NULL, "text/html", 200, choices_page, "What one shares, and how." },
	{ "POST", COOP "/choices/consent", "page_consent", PERM_MEMBER, FORM, choices_save_consent, "Gives or renews consent." },
	{ "POST", COOP "/choices/withdraw", "page_withdraw", PERM_MEMBER, FORM, choices_end_consent, "Withdraws consent." },
	{ "POST", COOP "/choices/statements", "page_statements", PERM_MEMBER, FORM, choices_save_statements, "Says what others may do." },
	{ "POST", COOP "/choices/licence", "page_licence", PERM_MEMBER, FORM, choices_save_licence, "Chooses a licence." },
	{ "POST", COOP "/choices/attribution", "page_attribution", PERM_MEMBER, FORM, choices_save_attribution, "Chooses how one is credited." },
	{ "POST", COOP "/choices/leave", "page_leave", PERM_MEMBER, FORM, choices_leave, "Leaves the co-op." },
	{ "GET", COOP "/members", "page_members", PERM_ACTIVE, 0, NULL, "text/html", 200, members_page, "The members." },
	{ "POST", COOP "/members/act", "page_member_act", PERM_ADMIN, FORM, members_act, "Admits, refuses, removes, makes an admin." },
	{ "POST", COOP "/members/invite", "page_invite", PERM_ADMIN, FORM, members_invite, "Invites an address." },
	ROUTE_TABLE_END
};
