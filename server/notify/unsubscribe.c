/* The link that ends mail about a topic without signing in (RFC 8058): whose and which, signed by the instance. It does not expire, since mail is read late. */
#include "server/notify/notify_internal.h"

#define LINK_BYTES 33 /* account, topic, half of a MAC */

/* One topic, or whatever comes in summaries. */
SQL(stop,
	"INSERT INTO notice_setting (account_id, topic, how, set_at)"
	" SELECT $1, t.topic, 'inbox', commonhold_now() FROM unnest($2, $3) t (topic, how) LEFT JOIN notice_setting s ON s.account_id = $1 AND s.topic = t.topic"
	" WHERE (t.topic = $4 OR ($4 IS NULL AND coalesce(s.how, t.how) IN ('daily', 'weekly', 'quarterly')))"
	"  AND EXISTS (SELECT FROM account WHERE id = $1 AND closed_at IS NULL)"
	" ON CONFLICT (account_id, topic) DO UPDATE SET how = 'inbox', set_at = excluded.set_at");
SQL(is_open, "SELECT FROM account WHERE id = $1 AND closed_at IS NULL");

static void sign(uint8_t link[LINK_BYTES])
{
	struct sha256 mac = notify_mac("unsubscribe", str_make(link, 17));
	memcpy(link + 17, mac.b, 16);
}

struct str unsubscribe_link(struct arena *a, struct uuid account, enum notify_topic topic)
{
	uint8_t link[LINK_BYTES];
	memcpy(link, account.b, 16);
	link[16] = (uint8_t)topic;
	sign(link);
	return str_fmt(a, "%.*s/unsubscribe/%.*s", STR_ARG(notify_base_url()), STR_ARG(str_base64url(a, link, sizeof(link))));
}

/* Whose link it is, and for which topic; ERR_NOT_FOUND for anything that we did not sign. */
static enum err link_read(struct call *c, struct str text, struct uuid *account, enum notify_topic *topic)
{
	uint8_t right[LINK_BYTES];
	struct str link;
	if (!str_unbase64url(c->arena, text, &link) || link.n != LINK_BYTES)
		return fail(c, ERR_NOT_FOUND, "This link is not complete. Copy all of it from the mail.");
	memcpy(right, link.p, LINK_BYTES);
	sign(right);
	if (!secret_eq(link, str_make(right, LINK_BYTES)) || right[16] > NOTIFY_TOPIC_COUNT)
		return fail(c, ERR_NOT_FOUND, "This link is not complete. Copy all of it from the mail.");
	memcpy(account->b, right, 16);
	*topic = right[16];
	return ERR_OK;
}

enum err unsubscribe_read(struct call *c, struct str link, enum notify_topic *topic)
{
	struct rows r;
	struct uuid account;
	TRY(link_read(c, link, &account, topic));
	TRY(db_begin(c, DB_READ));
	TRY(db_finish(c, is_open, &r, A_UUID(account)));
	return r.n ? ERR_OK : fail(c, ERR_GONE, "That account is closed: it gets no mail.");
}

enum err unsubscribe_do(struct call *c, struct str link)
{
	struct uuid account;
	enum notify_topic topic;
	struct str words[NOTIFY_TOPIC_COUNT], defaults[NOTIFY_TOPIC_COUNT];
	TRY(link_read(c, link, &account, &topic));
	notify_topic_words(words, defaults);
	TRY(db_begin(c, DB_WRITE));
	return db_finish(c, stop, NULL, A_UUID(account), A_TEXTS(words, NOTIFY_TOPIC_COUNT), A_TEXTS(defaults, NOTIFY_TOPIC_COUNT),
		A_STR(topic == NOTIFY_TOPIC_COUNT ? STR_NONE : words[topic]));
}
