#include "server/coop/choices.h"

#include "commonhold/notify.h"
#include "commonhold/words.h"

/* The members: faces for members, decisions for admins. */

static void member_row(struct json_writer *w, struct request *rq, const struct member *m)
{
	struct arena *a = rq->call->arena;
	bool applied = m->state == POLICY_STANDING_APPLIED, standing = in_good_standing(m->state);
	bool admin = rq->coop.is_admin;
	jw_object(w);
	jw_kstr(w, "id", uuid_format(a, m->id));
	jw_kstr(w, "display", member_display(m));
	jw_kstr(w, "account_name", admin ? m->account_name : STR_NONE);
	jw_kstr(w, "other_name", admin && !str_eq(m->account_name, member_display(m)) ? m->account_name : STR_NONE);
	jw_kz(w, "state", standing_in_words(m->state));
	jw_kz(w, "badge", applied ? "hold" : standing ? "include" : "neutral");
	jw_kbool(w, "is_admin", m->is_admin);
	jw_kbool(w, "is_self", uuid_eq(m->id, rq->coop.member));
	jw_kstr(w, "since", words_day(a, m->joined_at != INSTANT_NONE ? m->joined_at : m->applied_at));
	jw_kint(w, "contributed", m->contributed);
	jw_kbool(w, "may_admit", admin && applied);
	jw_kbool(w, "may_return", admin && m->state == POLICY_STANDING_REMOVED);
	jw_kbool(w, "may_make_admin", admin && standing && !m->is_admin);
	jw_kbool(w, "may_unmake_admin", admin && m->is_admin);
	jw_kbool(w, "may_remove", admin && (standing || m->state == POLICY_STANDING_LAPSED) && !uuid_eq(m->id, rq->coop.member));
	jw_end_object(w);
}

static void rows_of(struct json_writer *w, struct request *rq, const char *key, const struct member *members, size_t n)
{
	jw_key(w, key);
	jw_array(w);
	for (size_t i = 0; i < n; i++)
		member_row(w, rq, &members[i]);
	jw_end_array(w);
}

/* How mail about the co-op fared, for its admins: counts, never whose. */
static enum err mail_data(struct request *rq, struct json_writer *w)
{
	struct notify_mail_count mail;
	if (!rq->coop.is_admin || !notify_mail_on())
		return ERR_OK;
	TRY(notify_mail_counts(rq->call, rq->coop.id, &mail));
	jw_key(w, "mail");
	jw_object(w);
	jw_kstr(w, "sent", words_count(rq->call->arena, mail.sent));
	if (mail.refused)
		jw_kstr(w, "refused", words_count(rq->call->arena, mail.refused));
	jw_kstr(w, "people", mail.people_refused == 1 ? STR("1 person") : str_fmt(rq->call->arena, "%lld people", (long long)mail.people_refused));
	jw_end_object(w);
	return ERR_OK;
}

static enum err members_data(struct request *rq, struct response *rs, enum err refused, struct json_writer *w)
{
	struct member *members, *applicants;
	struct str next, more, state = request_query(rq, "state");
	size_t n, n_applicants = 0;
	TRY(page_form_refused(rq, rs, refused, w));
	bool all = rq->coop.is_admin && str_is(state, "all");
	TRY(member_list(rq->call, rq->coop.id, all ? STR_NONE : STR("active"), request_query(rq, "cursor"), LIMIT_PAGE_DEFAULT, &members, &n, &next));
	if (rq->coop.is_admin)
		TRY(member_list(rq->call, rq->coop.id, STR("applied"), STR_NONE, LIMIT_PAGE, &applicants, &n_applicants, &more));
	jw_kstr(w, "coop", rq->coop.slug);
	jw_kbool(w, "is_admin", rq->coop.is_admin);
	jw_kbool(w, "all", all);
	jw_kbool(w, "any_applicants", n_applicants > 0);
	if (n_applicants)
		rows_of(w, rq, "applicants", applicants, n_applicants);
	jw_kbool(w, "any", n > 0);
	rows_of(w, rq, "members", members, n);
	TRY(mail_data(rq, w));
	if (next.p)
		jw_kstr(w, "next", str_fmt(rq->call->arena, "?cursor=%.*s%s", STR_ARG(str_url_encode(rq->call->arena, next)), all ? "&state=all" : ""));
	return ERR_OK;
}

static enum err members_form(struct request *rq, struct response *rs, enum err refused)
{
	struct buf b;
	struct json_writer w = page_begin(&b);
	jw_kz(&w, "title", "Members");
	enum err e = members_data(rq, rs, refused, &w);
	return page_end(rq, rs, "page/members", &b, &w, e);
}

enum err members_page(struct request *rq, struct response *rs)
{
	return members_form(rq, rs, ERR_OK);
}

static enum err done(struct request *rq, struct response *rs, enum err e, struct str message)
{
	if (e != ERR_OK)
		return members_form(rq, rs, e);
	return response_done(rq, rs, message, coop_place(rq, "members"));
}

enum err members_act(struct request *rq, struct response *rs)
{
	struct uuid id;
	struct member member;
	struct call *c = rq->call;
	struct str act = request_form(rq, "act"), reason = request_form(rq, "reason");
	if (!uuid_parse(request_form(rq, "id"), &id))
		return fail(c, ERR_NOT_FOUND, "There is no such member.");
	if (str_is(act, "admit"))
		return done(rq, rs, member_admit(c, rq->coop.id, id, true, reason, &member), STR("Admitted."));
	if (str_is(act, "refuse"))
		return done(rq, rs, member_admit(c, rq->coop.id, id, false, reason, &member), STR("Refused."));
	if (str_is(act, "make_admin"))
		return done(rq, rs, member_set_admin(c, rq->coop.id, id, true, &member), STR("Made an admin."));
	if (str_is(act, "unmake_admin"))
		return done(rq, rs, member_set_admin(c, rq->coop.id, id, false, &member), STR("No longer an admin."));
	if (str_is(act, "remove"))
		return done(rq, rs, member_remove(c, rq->coop.id, id, reason, &member), STR("Removed. The log says so, without the reason."));
	return members_form(rq, rs, fail_field(c, "/act", "There is no such act."));
}

enum err members_invite(struct request *rq, struct response *rs)
{
	return done(rq, rs, member_invite(rq->call, rq->coop.id, request_form(rq, "email")), STR("Invited. Tell them: whoever joins with this address is a member at once."));
}
