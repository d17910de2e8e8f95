/* What a person sees of it: the inbox, the settings, and what is known of their address. */
#include "server/notify/notify_internal.h"

SQL(inbox,
	"SELECT n.id, n.about_coop, n.kind, n.topic, n.data, n.mail, n.essential, n.at, n.read_at, co.slug,"
	"  (SELECT ch.name FROM charter ch WHERE ch.coop_id = n.about_coop ORDER BY ch.version DESC LIMIT 1)"
	" FROM notice n LEFT JOIN coop co ON co.id = n.about_coop"
	" WHERE n.account_id = $1 AND ($2::timestamptz IS NULL OR (n.at, n.id) < ($2, $3)) AND (NOT $4 OR n.read_at IS NULL)"
	" ORDER BY n.at DESC, n.id DESC LIMIT $5");
SQL(unread, "SELECT count(*) FROM notice WHERE account_id = $1 AND read_at IS NULL");
SQL(read_one, "UPDATE notice SET read_at = coalesce(read_at, commonhold_now()) WHERE account_id = $1 AND id = $2 RETURNING id");
SQL(read_until, "UPDATE notice SET read_at = commonhold_now() WHERE account_id = $1 AND read_at IS NULL AND at <= $2");
SQL(settings, "SELECT topic, how FROM notice_setting WHERE account_id = $1");
SQL(address_of, "SELECT email FROM account WHERE id = $1");
SQL(mail_of,
	"SELECT count(*) FILTER (WHERE state = 'waiting'), count(*) FILTER (WHERE state = 'sent'), count(*) FILTER (WHERE state = 'refused')"
	" FROM mail WHERE account_id = $1 AND queued_at > commonhold_now() - $2 * interval '1 day'");
SQL(trouble, "SELECT refusals, unreachable, status, said, last_at FROM mail_trouble WHERE address_hash = $1");
SQL(choose,
	"INSERT INTO notice_setting (account_id, topic, how, set_at) SELECT $1, topic, how, commonhold_now() FROM unnest($2, $3) c (topic, how)"
	" ON CONFLICT (account_id, topic) DO UPDATE SET how = excluded.how, set_at = excluded.set_at");
SQL(mail_about,
	"SELECT count(*) FILTER (WHERE state = 'sent'), count(*) FILTER (WHERE state = 'refused'), count(DISTINCT account_id) FILTER (WHERE state = 'refused')"
	" FROM mail WHERE about_coop = $1 AND settled_at > commonhold_now() - $2 * interval '1 day'");

/* ---- The inbox ---- */

static void read_row(struct call *c, const struct rows *r, int i, struct notice_row *out)
{
	const struct json *data = notice_data_read(c->arena, row_str(r, i, 4));
	struct str title = json_member_text(data, "title");
	*out = (struct notice_row){
		.id = row_uuid(r, i, 0), .coop = row_uuid(r, i, 1), .kind = row_str(r, i, 2), .topic = row_str(r, i, 3), .mail = row_str(r, i, 5),
		.essential = row_bool(r, i, 6), .at = row_time(r, i, 7), .read_at = row_time(r, i, 8), .coop_slug = row_str(r, i, 9), .coop_name = row_str(r, i, 10),
		.title = title.n ? title : row_str(r, i, 2), .text = json_member_text(data, "text"), .url = notify_path(json_member_text(data, "url")),
	};
}

static void read_page(struct call *c, const struct rows *r, int limit, struct notice_page *out)
{
	size_t n = (size_t)(r->n < limit ? r->n : limit);
	out->rows = ARENA_ARRAY(c->arena, n + 1, struct notice_row);
	for (; out->n < n; out->n++)
		read_row(c, r, (int)out->n, &out->rows[out->n]);
	if (r->n > limit)
		out->next = page_cursor_write(c->arena, out->rows[n - 1].at, out->rows[n - 1].id);
}

enum err notify_inbox(struct call *c, bool unread_only, struct str cursor, int limit, struct notice_page *out)
{
	struct rows r, count;
	struct page_cursor from;
	*out = (struct notice_page){ 0 };
	TRY(page_cursor_read(c, cursor, &from));
	TRY(db_begin(c, DB_READ));
	TRY(db_query(c, inbox, &r, A_UUID(c->actor.account), A_TIME(from.at), A_UUID(from.id), A_BOOL(unread_only), A_INT(limit + 1)));
	TRY(db_finish(c, unread, &count, A_UUID(c->actor.account)));
	out->unread = row_int(&count, 0, 0);
	read_page(c, &r, limit, out);
	return ERR_OK;
}

enum err notify_read(struct call *c, struct uuid notice)
{
	struct rows r;
	TRY(db_begin(c, DB_WRITE));
	TRY(db_finish(c, read_one, &r, A_UUID(c->actor.account), A_UUID(notice)));
	return r.n ? ERR_OK : fail(c, ERR_NOT_FOUND, "There is no such notice in your inbox.");
}

enum err notify_read_all(struct call *c, instant until)
{
	TRY(db_begin(c, DB_WRITE));
	return db_finish(c, read_until, NULL, A_UUID(c->actor.account), A_TIME(until));
}

/* ---- Settings ---- */

static void read_choices(const struct rows *r, struct notify_settings *out)
{
	enum notify_topic t;
	enum notify_how how;
	for (int i = 0; i < NOTIFY_TOPIC_COUNT; i++)
		out->how[i] = notify_topic_default(i);
	for (int i = 0; i < r->n; i++)
		if (notify_topic_read(row_str(r, i, 0), &t) && notify_how_read(row_str(r, i, 1), &how)) {
			out->how[t] = how;
			out->chosen[t] = true;
		}
}

static enum err read_trouble(struct call *c, struct notify_settings *out)
{
	struct rows r;
	struct sha256 hash = mail_address_hash(c->arena, out->address);
	TRY(db_query(c, trouble, &r, A_BYTES(str_make(hash.b, sizeof(hash.b)))));
	out->last_refused = INSTANT_NONE;
	if (!r.n)
		return ERR_OK;
	out->refusals = row_int(&r, 0, 0);
	out->unreachable = row_bool(&r, 0, 1);
	out->status = row_str(&r, 0, 2);
	out->said = row_str(&r, 0, 3);
	out->last_refused = row_time(&r, 0, 4);
	return ERR_OK;
}

enum err notify_settings_read(struct call *c, struct notify_settings *out)
{
	struct rows chosen, mail, account;
	*out = (struct notify_settings){ 0 };
	TRY(db_begin(c, DB_READ));
	TRY(db_query(c, settings, &chosen, A_UUID(c->actor.account)));
	TRY(db_one(c, mail_of, &mail, A_UUID(c->actor.account), A_INT(NOTIFY_KEEP_DAYS)));
	TRY(db_one(c, address_of, &account, A_UUID(c->actor.account)));
	read_choices(&chosen, out);
	out->waiting = row_int(&mail, 0, 0);
	out->sent = row_int(&mail, 0, 1);
	out->refused = row_int(&mail, 0, 2);
	out->address = row_str(&account, 0, 0);
	TRY(read_trouble(c, out));
	return db_commit(c);
}

enum err notify_settings_write(struct call *c, const struct notify_settings *s)
{
	struct str words[NOTIFY_TOPIC_COUNT], how[NOTIFY_TOPIC_COUNT];
	size_t n = 0;
	for (int t = 0; t < NOTIFY_TOPIC_COUNT; t++)
		if (s->chosen[t]) {
			words[n] = str_of(notify_topic_word(t));
			how[n++] = str_of(notify_how_word(s->how[t]));
		}
	TRY(db_begin(c, DB_WRITE));
	return db_finish(c, choose, NULL, A_UUID(c->actor.account), A_TEXTS(words, n), A_TEXTS(how, n));
}

enum err notify_address_retry(struct call *c)
{
	struct rows r;
	TRY(db_begin(c, DB_WRITE));
	TRY(db_one(c, address_of, &r, A_UUID(c->actor.account)));
	TRY(mail_address_delivered(c, row_str(&r, 0, 0)));
	return db_commit(c);
}

enum err notify_mail_counts(struct call *c, struct uuid coop, struct notify_mail_count *out)
{
	struct rows r;
	TRY(db_begin(c, DB_READ));
	TRY(db_finish(c, mail_about, &r, A_UUID(coop), A_INT(NOTIFY_KEEP_DAYS)));
	*out = (struct notify_mail_count){ row_int(&r, 0, 0), row_int(&r, 0, 1), row_int(&r, 0, 2) };
	return ERR_OK;
}
