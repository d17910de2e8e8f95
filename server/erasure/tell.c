#include "erasure_internal.h"

#include "commonhold/notify.h"

/* Telling people about requests. Nobody is told more than they may know: admins not who asked, contributors not who claimed. */

SQL(told_place, "SELECT slug FROM coop WHERE id = $1");
SQL(told_member, "SELECT account_id FROM membership WHERE coop_id = $1 AND id = $2");
SQL(told_admins, "SELECT account_id FROM membership WHERE coop_id = $1 AND is_admin AND state IN ('active', 'due', 'grace')");

struct str day_words(struct arena *a, instant t)
{
	static const char *const months[] = { "January", "February", "March", "April", "May", "June", "July", "August", "September", "October", "November", "December" };
	struct civil d = clock_civil(t);
	return str_fmt(a, "%d %s %d", d.day, months[d.month - 1], d.year);
}

struct str items_words(struct arena *a, const struct erasure *e)
{
	if (e->scope != ERASURE_ITEMS)
		return STR("everything contributed here");
	return e->n_items == 1 ? STR("one item") : str_fmt(a, "%lld items", (long long)e->n_items);
}

/* What templates say of a request besides the text (notify.h); nothing that names anybody. */
static void write_fields(struct json_writer *w, struct arena *a, const struct erasure *e, bool reasons)
{
	jw_kstr(w, "due", day_words(a, e->due_at));
	jw_kstr(w, "what", items_words(a, e));
	if (reasons && e->denial_code.p) {
		jw_kstr(w, "reason", e->denial_reason);
		if (e->appeal_until != INSTANT_NONE)
			jw_kstr(w, "until", day_words(a, e->appeal_until));
	} else if (reasons && e->extended_reason.p) {
		jw_kstr(w, "reason", e->extended_reason);
	}
}

static struct str notice_data(struct arena *a, const char *title, struct str text, struct str url, const struct erasure *e, bool reasons)
{
	struct buf b;
	struct json_writer w;
	buf_init(&b, LIMIT_BODY_SMALL);
	jw_init(&w, &b);
	jw_object(&w);
	if (e)
		write_fields(&w, a, e, reasons);
	jw_kstr(&w, "text", text);
	jw_kz(&w, "title", title);
	if (url.p)
		jw_kstr(&w, "url", url);
	jw_end_object(&w);
	return buf_take(a, &b);
}

static enum err send(struct call *c, struct uuid account, struct uuid coop, const char *kind, struct str key, struct str data)
{
	if (uuid_is_nil(account))
		return ERR_OK;
	struct notice notice = { .kind = kind, .account = account, .coop = coop, .key = key, .data = data, .essential = true };
	return notify_send(c, &notice);
}

enum err tell_account(struct call *c, struct uuid account, struct uuid coop, const char *kind, struct str key, const char *title, struct str text, struct str url)
{
	return send(c, account, coop, kind, key, notice_data(c->arena, title, text, url, NULL, false));
}

static enum err url_of(struct call *c, const struct erasure *e, struct str *out)
{
	struct rows r;
	TRY(db_one(c, told_place, &r, A_UUID(e->coop)));
	*out = str_fmt(c->arena, "/coops/%.*s/deletions/%.*s", STR_ARG(row_str(&r, 0, 0)), STR_ARG(uuid_format(c->arena, e->id)));
	return ERR_OK;
}

enum err tell_asker(struct call *c, const struct erasure *e, const char *kind, const char *title, struct str text)
{
	struct str url;
	TRY(url_of(c, e, &url));
	return send(c, e->account, e->coop, kind, uuid_format(c->arena, e->id), notice_data(c->arena, title, text, url, e, true));
}

enum err tell_member(struct call *c, const struct erasure *e, const char *kind, const char *title, struct str text)
{
	struct str url;
	struct rows r;
	if (uuid_is_nil(e->member))
		return ERR_OK;
	TRY(url_of(c, e, &url));
	TRY(db_one(c, told_member, &r, A_UUID(e->coop), A_UUID(e->member)));
	return send(c, row_uuid(&r, 0, 0), e->coop, kind, uuid_format(c->arena, e->id), notice_data(c->arena, title, text, url, e, false));
}

enum err tell_admins(struct call *c, const struct erasure *e, const char *kind, const char *title, struct str text)
{
	struct str url;
	struct rows r;
	TRY(url_of(c, e, &url));
	TRY(db_query(c, told_admins, &r, A_UUID(e->coop)));
	struct uuid *accounts = ARENA_ARRAY(c->arena, (size_t)r.n + 1, struct uuid);
	for (int i = 0; i < r.n; i++)
		accounts[i] = row_uuid(&r, i, 0);
	struct notice notice = { .kind = kind, .coop = e->coop, .key = uuid_format(c->arena, e->id), .data = notice_data(c->arena, title, text, url, e, false), .essential = true };
	return notify_many(c, &notice, accounts, (size_t)r.n);
}
