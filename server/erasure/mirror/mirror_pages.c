#include "server/erasure/erasure_web.h"

#include "commonhold/chart.h"
#include "commonhold/routes.h"
#include "commonhold/words.h"

/* Who keeps copies, for everybody; registering a mirror, and confirming what one owes, for those who have or keep one. */

static bool is_keeper(const struct request *rq, const struct mirror *m)
{
	return rq->coop.is_admin || (!uuid_is_nil(rq->call->actor.account) && uuid_eq(m->account, rq->call->actor.account));
}

static void state_write(struct json_writer *w, const struct mirror *m)
{
	bool suspended = m->state == MIRROR_SUSPENDED;
	jw_kz(w, "state", m->listed ? "overdue" : suspended ? "suspended" : m->owed ? "has to confirm" : "in step");
	jw_kz(w, "badge", m->listed ? "exclude" : suspended ? "neutral" : m->owed ? "hold" : "include");
}

static void mirror_write(struct json_writer *w, struct request *rq, const struct mirror *m, int64_t upto)
{
	static const char *const kinds[MIRROR_KIND_COUNT] = { "looks by itself", "is told", "kept by this server, in a bucket", "kept by this server, on a hub" };
	struct arena *a = rq->call->arena;
	jw_object(w);
	jw_kstr(w, "id", uuid_format(a, m->id));
	jw_kstr(w, "name", m->name);
	jw_kz(w, "kind", (unsigned)m->kind < MIRROR_KIND_COUNT ? kinds[m->kind] : "");
	jw_kstr(w, "since", words_day(a, m->registered_at));
	jw_kstr(w, "upto", upto < 0 ? STR("nothing was taken out yet") : m->seen_upto < 0 ? STR("none yet") : m->seen_upto >= upto ? STR("all") : str_fmt(a, "number %lld of %lld", (long long)m->seen_upto, (long long)upto));
	jw_kstr(w, "last", m->seen_at == INSTANT_NONE ? STR("none yet") : words_day(a, m->seen_at));
	jw_kbool(w, "keeper", is_keeper(rq, m));
	jw_kbool(w, "webhook", m->kind == MIRROR_WEBHOOK);
	jw_kbool(w, "placed", rq->coop.is_admin && (m->kind == MIRROR_S3 || m->kind == MIRROR_HUGGINGFACE));
	state_write(w, m);
	jw_end_object(w);
}

static struct str picture(struct arena *a, const struct mirror *mirrors, size_t n, int64_t upto)
{
	struct chart_bar *bars = ARENA_ARRAY(a, n + 1, struct chart_bar);
	for (size_t i = 0; i < n; i++)
		bars[i] = (struct chart_bar){ .label = mirrors[i].name, .value = mirrors[i].seen_upto + 1, .class = mirrors[i].listed ? "exclude" : mirrors[i].owed ? "hold" : "include",
			.text = mirrors[i].seen_upto >= upto ? STR("all") : str_fmt(a, "%lld of %lld", (long long)mirrors[i].seen_upto + 1, (long long)upto + 1) };
	return upto < 0 || n > LIMIT_PAGE_DEFAULT ? STR_NONE : chart_parts(a, "Tombstones that each mirror has confirmed", bars, n, upto + 1);
}

static enum err mirrors_write(struct json_writer *w, struct request *rq)
{
	struct call *c = rq->call;
	struct mirror *mirrors;
	struct str head;
	size_t n, keeping = 0;
	int64_t upto;
	TRY(tombstone_head(c, rq->coop.id, &head, &upto, NULL));
	TRY(mirror_list(c, rq->coop.id, &mirrors, &n));
	jw_kbool(w, "any", n > 0);
	jw_kstr(w, "picture", n ? picture(c->arena, mirrors, n, upto) : STR_NONE);
	jw_key(w, "mirrors");
	jw_array(w);
	for (size_t i = 0; i < n; i++) {
		mirror_write(w, rq, &mirrors[i], upto);
		keeping += is_keeper(rq, &mirrors[i]);
	}
	jw_end_array(w);
	jw_kbool(w, "any_keeper", keeping > 0);
	return ERR_OK;
}

static enum err overdue_write(struct json_writer *w, struct request *rq)
{
	struct arena *a = rq->call->arena;
	struct duty *duties;
	size_t n;
	TRY(mirror_overdue(rq->call, rq->coop.id, &duties, &n));
	jw_kbool(w, "any_overdue", n > 0);
	jw_key(w, "overdue");
	jw_array(w);
	for (size_t i = 0; i < n; i++) {
		jw_object(w);
		jw_kstr(w, "name", duties[i].name);
		jw_kz(w, "role", duties[i].partner.p ? "another co-op" : uuid_is_nil(duties[i].mirror) ? "downloaded it" : "mirror");
		jw_kstr(w, "since", words_day(a, duties[i].due_at));
		jw_kstr(w, "since_iso", words_day_iso(a, duties[i].due_at));
		jw_kz(w, "step", duties[i].step >= DUTY_REVOKED ? "access was revoked" : duties[i].step >= DUTY_BLOCKED ? "gets no new access" : "was reminded");
		jw_end_object(w);
	}
	jw_end_array(w);
	return ERR_OK;
}

/* What the actor still has to confirm as the holder of a grant; mirrors confirm with their key. */
static enum err owed_write(struct json_writer *w, struct request *rq)
{
	struct arena *a = rq->call->arena;
	struct duty *duties;
	size_t n, shown = 0;
	TRY(mirror_owed(rq->call, rq->coop.id, &duties, &n));
	jw_key(w, "owed");
	jw_array(w);
	for (size_t i = 0; i < n; i++) {
		if (uuid_is_nil(duties[i].grant))
			continue;
		jw_object(w);
		jw_kstr(w, "grant", uuid_format(a, duties[i].grant));
		jw_kstr(w, "by", words_day(a, duties[i].due_at));
		jw_kbool(w, "late", clock_now() > duties[i].due_at);
		jw_key(w, "versions");
		jw_array(w);
		for (size_t k = 0; k < duties[i].n_releases; k++)
			jw_str(w, duties[i].releases[k]);
		jw_end_array(w);
		jw_end_object(w);
		shown++;
	}
	jw_end_array(w);
	jw_kbool(w, "any_owed", shown > 0);
	return ERR_OK;
}

static void typed_write(struct json_writer *w, struct request *rq)
{
	static const char *const names[] = { "name", "public_key", "url", "proof" };
	jw_key(w, "typed");
	jw_object(w);
	for (size_t i = 0; i < CH_LEN(names); i++)
		jw_kstr(w, names[i], rq->body.n && request_form(rq, names[i]).p ? request_form(rq, names[i]) : STR(""));
	jw_end_object(w);
}

static enum err mirrors_data(struct json_writer *w, struct request *rq, struct response *rs, enum err refused, struct str secret)
{
	bool signed_in = !uuid_is_nil(rq->call->actor.account);
	TRY(page_form_refused(rq, rs, refused, w));
	jw_kz(w, "title", "Who keeps copies");
	jw_kstr(w, "coop", rq->coop.slug);
	jw_kstr(w, "secret", secret);
	jw_kbool(w, "signed_in", signed_in);
	jw_kbool(w, "admin", rq->coop.is_admin);
	typed_write(w, rq);
	TRY(overdue_write(w, rq));
	TRY(mirrors_write(w, rq));
	return signed_in ? owed_write(w, rq) : ERR_OK;
}

static enum err show(struct request *rq, struct response *rs, enum err refused, struct str secret)
{
	struct buf b;
	struct json_writer w = page_begin(&b);
	return page_end(rq, rs, "page/mirrors", &b, &w, mirrors_data(&w, rq, rs, refused, secret));
}

static enum err mirrors_page(struct request *rq, struct response *rs)
{
	return show(rq, rs, ERR_OK, STR_NONE);
}

static enum err back(struct request *rq, struct response *rs, const char *flash)
{
	return response_done(rq, rs, str_of(flash), coop_place(rq, "mirrors"));
}

static struct str filled(struct request *rq, const char *name)
{
	struct str value = request_form(rq, name);
	value = value.p ? str_trim(value) : value;
	return value.n ? value : STR_NONE;
}

/* The secret is shown once and kept nowhere in the clear, so there is nothing to come back to. */
static enum err register_form(struct request *rq, struct response *rs)
{
	struct mirror m;
	struct str secret = STR_NONE, url = filled(rq, "url");
	struct mirror_draft draft = { .name = filled(rq, "name"), .kind = url.p ? MIRROR_WEBHOOK : MIRROR_PULL, .url = url, .public_key = filled(rq, "public_key"), .proof = filled(rq, "proof"),
		.names = { uuid_format(rq->call->arena, rq->coop.id), rq->coop.name, rq->coop.slug } };
	enum err e = mirror_register(rq->call, rq->coop.id, &draft, &m, &secret);
	if (e != ERR_OK)
		return show(rq, rs, e == ERR_FORBIDDEN ? fail(rq->call, ERR_REFUSED, "%s", rq->call->error.message) : e, STR_NONE);
	return secret.p ? show(rq, rs, ERR_OK, secret) : back(rq, rs, "The mirror is registered.");
}

static enum err end_form(struct request *rq, struct response *rs)
{
	struct uuid id;
	struct mirror m;
	TRY(request_param_uuid(rq, 1, &id));
	TRY(mirror_set_state(rq->call, rq->coop.id, id, MIRROR_ENDED, STR("Ended on its page."), &m));
	return back(rq, rs, "The mirror has ended. What it owes stays owed.");
}

static enum err secret_form(struct request *rq, struct response *rs)
{
	struct uuid id;
	struct str secret;
	TRY(request_param_uuid(rq, 1, &id));
	TRY(mirror_new_secret(rq->call, rq->coop.id, id, &secret));
	return show(rq, rs, ERR_OK, secret);
}

static enum err confirm_form(struct request *rq, struct response *rs)
{
	struct uuid grant;
	struct purge_receipt receipt;
	if (!uuid_parse(request_form(rq, "grant"), &grant))
		return fail(rq->call, ERR_NOT_FOUND, "There is no such grant.");
	enum err e = receipt_of_grantee(rq->call, rq->coop.id, grant, request_form(rq, "method"), filled(rq, "models"), &receipt);
	return e == ERR_OK ? back(rq, rs, "Thank you. Your confirmation is on record.") : show(rq, rs, e, STR_NONE);
}

const struct route mirror_page_routes[] = {
	{ "GET", "/coops/{coop}/mirrors", "page_mirrors", PERM_OPTIONAL, 0, NULL, "text/html", 200, mirrors_page, "Who keeps copies, and who is overdue" },
	{ "POST", "/coops/{coop}/mirrors", "page_mirror_register", PERM_ACCOUNT, LIMIT_BODY_SMALL, "form", "text/html", 303, register_form, "Register a mirror" },
	{ "POST", "/coops/{coop}/mirrors/{mirror}/end", "page_mirror_end", PERM_ACCOUNT, LIMIT_BODY_SMALL, "form", "text/html", 303, end_form, "End a mirror" },
	{ "POST", "/coops/{coop}/mirrors/{mirror}/secret", "page_mirror_secret", PERM_ACCOUNT, LIMIT_BODY_SMALL, "form", "text/html", 200, secret_form, "A new secret for its webhook" },
	{ "POST", "/coops/{coop}/mirrors/confirmations", "page_mirror_confirm", PERM_ACCOUNT, LIMIT_BODY_SMALL, "form", "text/html", 303, confirm_form, "Confirm as the holder of a grant" },
	ROUTE_TABLE_END,
};
