/* Digests: what waits is gathered into one mail per person, and one more for what delegates did; and old mail is forgotten. */
#include "server/notify/notify_internal.h"

#include "commonhold/words.h"

#define KEEP_NOTICES_DAYS 730
#define KEEP_TROUBLE_DAYS 365

/* How somebody wants to be told now decides when what waits is due, not how it was when it was written. Each period ends at a boundary of the calendar (UTC), and
 * what was given before it goes out however late this runs. */
SQL(gather,
	"WITH chosen AS MATERIALIZED (SELECT n.account_id, n.id, n.topic = 'delegates' AS of_delegates"
	"  FROM notice n JOIN unnest($1, $2) d (topic, how) ON d.topic = n.topic LEFT JOIN notice_setting s ON s.account_id = n.account_id AND s.topic = n.topic"
	"  WHERE n.mail = 'digest' AND n.digest_id IS NULL"
	"   AND n.at < CASE coalesce(s.how, d.how) WHEN 'now' THEN $3 WHEN 'daily' THEN $3 WHEN 'weekly' THEN $4 WHEN 'quarterly' THEN $5 END FOR UPDATE OF n SKIP LOCKED),"
	" mails AS MATERIALIZED (SELECT account_id, of_delegates, gen_random_uuid() AS id FROM (SELECT DISTINCT account_id, of_delegates FROM chosen) g),"
	" gathered AS (UPDATE notice SET digest_id = m.id FROM mails m JOIN chosen c ON c.account_id = m.account_id AND c.of_delegates = m.of_delegates"
	"  WHERE notice.account_id = c.account_id AND notice.id = c.id),"
	" queued AS (INSERT INTO mail (id, kind, account_id, due, queued_at)"
	"  SELECT id, CASE WHEN of_delegates THEN 'delegation.digest' ELSE 'digest' END, account_id, commonhold_now(), commonhold_now() FROM mails RETURNING id)"
	NOTIFY_WAKE);
SQL(never_mind,
	"UPDATE notice n SET mail = 'none' FROM notice_setting s WHERE n.mail = 'digest' AND n.digest_id IS NULL AND s.account_id = n.account_id AND s.topic = n.topic"
	" AND s.how = 'inbox'");
SQL(forget_mail, "DELETE FROM mail WHERE settled_at < commonhold_now() - $1 * interval '1 day'");
SQL(forget_notices, "DELETE FROM notice WHERE at < commonhold_now() - $1 * interval '1 day'");
SQL(forget_trouble, "DELETE FROM mail_trouble WHERE last_at < commonhold_now() - $1 * interval '1 day'");

/* What was read in the inbox is not told again, but the summary of what delegates did is whole. */
SQL(items,
	"SELECT n.topic, n.data, n.at, (SELECT ch.name FROM charter ch WHERE ch.coop_id = n.about_coop ORDER BY ch.version DESC LIMIT 1), count(*) OVER ()"
	" FROM notice n WHERE n.digest_id = $1 AND (n.read_at IS NULL OR n.topic = 'delegates') ORDER BY array_position($2, n.topic), n.at, n.id LIMIT $3");

static instant quarter_start(instant t)
{
	struct civil c = clock_civil(t);
	return clock_of_civil((struct civil){ .year = c.year, .month = c.month - (c.month - 1) % 3, .day = 1 });
}

static enum err gather_all(struct call *c)
{
	struct str words[NOTIFY_TOPIC_COUNT], defaults[NOTIFY_TOPIC_COUNT];
	instant now = clock_now(), today = now - now % CLOCK_DAY;
	instant monday = today - (clock_civil(today).weekday + 6) % 7 * CLOCK_DAY;
	notify_topic_words(words, defaults);
	return db_queue(c, gather, A_TEXTS(words, NOTIFY_TOPIC_COUNT), A_TEXTS(defaults, NOTIFY_TOPIC_COUNT), A_TIME(today), A_TIME(monday), A_TIME(quarter_start(now)));
}

enum err digest_run(struct call *c, const struct json *args)
{
	(void)args;
	TRY(db_begin(c, DB_WRITE));
	TRY(db_queue0(c, never_mind));
	if (notify_mail_on())
		TRY(gather_all(c));
	TRY(db_queue(c, forget_mail, A_INT(NOTIFY_KEEP_DAYS)));
	TRY(db_queue(c, forget_notices, A_INT(KEEP_NOTICES_DAYS)));
	return db_finish(c, forget_trouble, NULL, A_INT(KEEP_TROUBLE_DAYS));
}

static void write_item(struct call *c, struct json_writer *w, const struct rows *r, int i)
{
	const struct json *data = notice_data_read(c->arena, row_str(r, i, 1));
	jw_object(w);
	jw_kstr(w, "title", json_member_text(data, "title"));
	jw_kstr(w, "text", json_member_text(data, "text"));
	jw_kstr(w, "link", notify_link(c->arena, json_member_text(data, "url")));
	jw_kstr(w, "coop", row_str(r, i, 3));
	jw_kstr(w, "day", words_day(c->arena, row_time(r, i, 2)));
	jw_end_object(w);
}

/* Items in a list for each topic. */
static void write_items(struct call *c, struct json_writer *w, const struct rows *r)
{
	struct str before = STR_NONE;
	for (int i = 0; i < r->n; i++) {
		struct str word = row_str(r, i, 0);
		enum notify_topic topic = NOTIFY_TOPIC_COUNT - 1;
		if (!before.p || !str_eq(word, before)) {
			if (before.p) {
				jw_end_array(w);
				jw_end_object(w);
			}
			before = word;
			jw_object(w);
			jw_kz(w, "topic", notify_topic_read(word, &topic) ? notify_topic_text(topic) : "Other");
			jw_key(w, "items");
			jw_array(w);
		}
		write_item(c, w, r, i);
	}
	jw_end_array(w);
	jw_end_object(w);
}

enum err digest_data(struct call *c, struct uuid mail, struct str *data, struct str *title, bool *empty)
{
	struct rows r;
	struct buf b;
	struct json_writer w;
	struct str words[NOTIFY_TOPIC_COUNT], defaults[NOTIFY_TOPIC_COUNT];
	notify_topic_words(words, defaults);
	TRY(db_query(c, items, &r, A_UUID(mail), A_TEXTS(words, NOTIFY_TOPIC_COUNT), A_INT(NOTIFY_DIGEST_ITEMS)));
	*empty = r.n == 0;
	if (!r.n)
		return ERR_OK;
	int64_t all = row_int(&r, 0, 4);
	bool of_delegates = str_is(row_str(&r, 0, 0), "delegates");
	*title = of_delegates ? STR("What your delegates did for you") : str_fmt(c->arena, "Your summary: %lld %s", (long long)all, all == 1 ? "notice" : "notices");
	buf_init(&b, 1 * MIB);
	jw_init(&w, &b);
	jw_object(&w);
	jw_key(&w, "topics");
	jw_array(&w);
	write_items(c, &w, &r);
	jw_end_array(&w);
	if (all > r.n)
		jw_kint(&w, "more", all - r.n);
	jw_end_object(&w);
	*data = buf_take(c->arena, &b);
	return data->p ? ERR_OK : fail(c, ERR_TOO_LARGE, "A digest says more than a mail may.");
}
