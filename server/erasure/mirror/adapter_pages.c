#include "server/erasure/erasure_web.h"

#include "commonhold/adapter.h"
#include "commonhold/db.h"
#include "commonhold/mirror.h"
#include "commonhold/routes.h"
#include "commonhold/words.h"

/* Where this server keeps a mirror's copy: for admins. Credentials go in here and never come out. */

static const struct { const char *badge, *text; } looks[ADAPTER_STATE_COUNT] = {
	[ADAPTER_WAITING] = { "neutral", "Nothing was done yet." },
	[ADAPTER_WORKING] = { "info", "It is being brought in step." },
	[ADAPTER_CURRENT] = { "include", "What should be there is there, and nothing else." },
	[ADAPTER_RETRYING] = { "hold", "The last attempt did not get through. It is repeated." },
	[ADAPTER_REFUSED] = { "exclude", "It may not go there as things stand. Change what follows, or the place itself." },
	[ADAPTER_DEAD] = { "exclude", "It was tried as often as it may be. Have it tried again when the place works." },
};
static const struct { const char *name, *text; } audiences[] = {
	{ "members", "Members of the co-op alone: nobody else has an account there" },
	{ "gated_manual", "Whom a person has admitted" },
	{ "gated_auto", "Whoever has accepted the terms" },
	{ "public", "Everybody" },
};

static void copy_write(struct json_writer *w, struct arena *a, const struct adapter_copy *p)
{
	static const struct { const char *badge, *word; } words[ADAPTER_COPY_STATE_COUNT] = {
		[ADAPTER_COPY_UPLOADING] = { "info", "going up" }, [ADAPTER_COPY_PUBLISHED] = { "include", "there" }, [ADAPTER_COPY_ERASING] = { "hold", "being erased" },
		[ADAPTER_COPY_ERASED] = { "neutral", "erased, and found gone" },
	};
	instant at = p->state == ADAPTER_COPY_ERASED ? p->erased_at : p->published_at != INSTANT_NONE ? p->published_at : p->begun_at;
	jw_object(w);
	jw_kstr(w, "version", p->version);
	jw_kz(w, "badge", words[p->state].badge);
	jw_kz(w, "state", words[p->state].word);
	jw_kstr(w, "at", words_day(a, at));
	jw_kstr(w, "at_iso", words_day_iso(a, at));
	jw_kstr(w, "files", p->state == ADAPTER_COPY_ERASED ? STR("none") : str_fmt(a, "%lld of %lld", (long long)p->files_done, (long long)p->files));
	jw_end_object(w);
}

/* What was typed, or what stands. */
static struct str value_of(struct request *rq, const char *name, struct str stands)
{
	struct str typed = rq->body.n ? request_form(rq, name) : STR_NONE;
	return typed.p ? typed : stands.p ? stands : STR("");
}

static void form_write(struct json_writer *w, struct request *rq, const struct mirror *m, const struct adapter_target *t, bool is_set)
{
	struct str audience = value_of(rq, "audience", is_set ? str_of(policy_audience_name(t->audience)) : STR_NONE);
	jw_key(w, "typed");
	jw_object(w);
	jw_kstr(w, "endpoint", value_of(rq, "endpoint", is_set ? t->endpoint : m->kind == MIRROR_S3 ? STR_NONE : STR("https://huggingface.co")));
	jw_kstr(w, "place", value_of(rq, "place", t->place));
	jw_kstr(w, "prefix", value_of(rq, "prefix", t->prefix));
	jw_kstr(w, "region", value_of(rq, "region", t->region));
	jw_kstr(w, "key_id", value_of(rq, "key_id", STR_NONE));
	jw_kbool(w, "recreate", rq->body.n ? request_form(rq, "recreate").p != NULL : t->recreate);
	jw_end_object(w);
	jw_key(w, "audiences");
	jw_array(w);
	for (size_t i = 0; i < CH_LEN(audiences); i++) {
		jw_object(w);
		jw_kz(w, "name", audiences[i].name);
		jw_kz(w, "text", audiences[i].text);
		jw_kbool(w, "chosen", str_is(audience, audiences[i].name));
		jw_end_object(w);
	}
	jw_end_array(w);
}

static enum err target_data(struct json_writer *w, struct request *rq, struct response *rs, struct uuid mirror, enum err refused)
{
	struct call *c = rq->call;
	struct arena *a = c->arena;
	struct mirror m;
	struct adapter_target t = { 0 };
	struct adapter_copy *copies = NULL;
	size_t n = 0;
	TRY(page_form_refused(rq, rs, refused, w));
	TRY(mirror_read(c, rq->coop.id, mirror, &m));
	if (m.kind != MIRROR_S3 && m.kind != MIRROR_HUGGINGFACE)
		return fail(c, ERR_NOT_FOUND, "This mirror is kept by somebody else.");
	enum err read = adapter_read(c, rq->coop.id, mirror, &t, &copies, &n);
	if (read != ERR_OK && read != ERR_NOT_FOUND)
		return read;
	if (read == ERR_NOT_FOUND) {
		db_rollback(c);
		error_clear(&c->error);
		t = (struct adapter_target){ 0 };
		n = 0;
	}
	bool is_set = read == ERR_OK;
	jw_kstr(w, "title", str_cat(a, STR("Where "), m.name, STR(" is kept")));
	jw_kstr(w, "coop", rq->coop.slug);
	jw_kstr(w, "mirror", uuid_format(a, mirror));
	jw_kbool(w, "bucket", m.kind == MIRROR_S3);
	jw_kbool(w, "is_set", is_set);
	if (is_set) {
		jw_kz(w, "badge", looks[t.state].badge);
		jw_kz(w, "state", adapter_state_name(t.state));
		jw_kz(w, "state_means", looks[t.state].text);
		jw_kstr(w, "error", t.error);
		jw_kstr(w, "latest", t.latest);
		jw_kstr(w, "next", t.next_at == INSTANT_NONE ? STR_NONE : clock_format(a, t.next_at));
	}
	jw_kbool(w, "any", n > 0);
	jw_key(w, "copies");
	jw_array(w);
	for (size_t i = 0; i < n; i++)
		copy_write(w, a, &copies[i]);
	jw_end_array(w);
	form_write(w, rq, &m, &t, is_set);
	return ERR_OK;
}

static enum err show(struct request *rq, struct response *rs, struct uuid mirror, enum err refused)
{
	struct buf b;
	struct json_writer w = page_begin(&b);
	return page_end(rq, rs, "page/mirror_target", &b, &w, target_data(&w, rq, rs, mirror, refused));
}

static enum err target_page(struct request *rq, struct response *rs)
{
	struct uuid mirror;
	TRY(request_param_uuid(rq, 1, &mirror));
	return show(rq, rs, mirror, ERR_OK);
}

static enum err back(struct request *rq, struct response *rs, struct uuid mirror, const char *flash)
{
	struct str id = uuid_format(rq->call->arena, mirror);
	return response_done(rq, rs, str_of(flash), str_fmt(rq->call->arena, "/coops/%.*s/mirrors/%.*s/target", STR_ARG(rq->coop.slug), STR_ARG(id)));
}

static struct str filled(struct request *rq, const char *name)
{
	struct str value = request_form(rq, name);
	value = value.p ? str_trim(value) : value;
	return value.n ? value : STR_NONE;
}

/* What the form does not ask for stays as it is. */
static enum err keep_rest(struct request *rq, struct adapter_target *in)
{
	struct adapter_target before;
	struct adapter_copy *copies;
	size_t n;
	enum err e = adapter_read(rq->call, in->coop, in->mirror, &before, &copies, &n);
	if (e == ERR_NOT_FOUND) {
		db_rollback(rq->call);
		error_clear(&rq->call->error);
		return ERR_OK;
	}
	TRY(e);
	in->path_style = before.path_style;
	in->part_bytes = before.part_bytes;
	return ERR_OK;
}

static enum err set_form(struct request *rq, struct response *rs)
{
	struct adapter_target out, in = { .coop = rq->coop.id, .endpoint = filled(rq, "endpoint"), .place = filled(rq, "place"), .prefix = filled(rq, "prefix"), .region = filled(rq, "region"),
		.path_style = true, .recreate = request_form(rq, "recreate").p != NULL };
	struct adapter_credentials credentials = { filled(rq, "key_id"), filled(rq, "secret") };
	struct str audience = request_form(rq, "audience");
	int no = audience.p ? policy_audience_find(audience.p, audience.n) : -1;
	in.audience = no > 0 ? (uint8_t)no : POLICY_AUDIENCE_ANY;
	TRY(request_param_uuid(rq, 1, &in.mirror));
	TRY(keep_rest(rq, &in));
	enum err e = adapter_set(rq->call, &in, &credentials, str_is(request_form(rq, "confirm"), "yes"), &out);
	return e == ERR_OK ? back(rq, rs, in.mirror, "The place is set. It is being brought in step.") : show(rq, rs, in.mirror, e);
}

static enum err retry_form(struct request *rq, struct response *rs)
{
	struct uuid mirror;
	struct adapter_target t;
	TRY(request_param_uuid(rq, 1, &mirror));
	TRY(adapter_retry(rq->call, rq->coop.id, mirror, &t));
	return back(rq, rs, mirror, "It is being tried again.");
}

static enum err end_form(struct request *rq, struct response *rs)
{
	struct uuid mirror;
	bool erase = str_is(request_form(rq, "erase"), "yes");
	TRY(request_param_uuid(rq, 1, &mirror));
	TRY(adapter_end(rq->call, rq->coop.id, mirror, erase));
	return back(rq, rs, mirror, erase ? "What lies there is being erased. The place is forgotten then." : "The place is forgotten. What lies there stays.");
}

/* A mirror that this server keeps has no key of its own: it is made here, and its place is said next. */
static enum err kept_form(struct request *rq, struct response *rs)
{
	struct mirror m;
	struct str secret;
	struct mirror_draft draft = { .name = filled(rq, "name"), .kind = str_is(request_form(rq, "kind"), "huggingface") ? MIRROR_HUGGINGFACE : MIRROR_S3 };
	enum err e = mirror_register(rq->call, rq->coop.id, &draft, &m, &secret);
	if (e == ERR_OK)
		return back(rq, rs, m.id, "The mirror is registered. Say where it is to be kept.");
	response_flash(rq, rs, str_of(rq->call->error.faults ? "Give the mirror a name that no other has." : rq->call->error.message));
	db_rollback(rq->call);
	error_clear(&rq->call->error);
	response_redirect(rs, coop_place(rq, "mirrors"));
	return ERR_OK;
}

#define PAGE "/coops/{coop}/mirrors/{mirror}/target"

const struct route adapter_page_routes[] = {
	{ "GET", PAGE, "page_adapter", PERM_ADMIN, 0, NULL, "text/html", 200, target_page, "Where this server keeps a mirror's copy" },
	{ "POST", PAGE, "page_adapter_set", PERM_ADMIN, LIMIT_BODY_SMALL, "form", "text/html", 303, set_form, "Say where this server keeps a mirror's copy" },
	{ "POST", PAGE "/retry", "page_adapter_retry", PERM_ADMIN, LIMIT_BODY_SMALL, "form", "text/html", 303, retry_form, "Try again" },
	{ "POST", PAGE "/end", "page_adapter_end", PERM_ADMIN, LIMIT_BODY_SMALL, "form", "text/html", 303, end_form, "Forget the place" },
	{ "POST", "/coops/{coop}/mirrors/kept", "page_mirror_kept", PERM_ADMIN, LIMIT_BODY_SMALL, "form", "text/html", 303, kept_form, "Register a mirror that this server keeps" },
	ROUTE_TABLE_END,
};
