/* Giving notices: one statement writes the inbox rows, queues mail for those who want it at once, and wakes the sender. */
#include "server/notify/notify_internal.h"

#include "commonhold/config.h"

/* The queue is in the order of what is due: mail that somebody waits for, such as a sign-in link, passes thousands of others. */
#define DUE_FIRST(hurried) "CASE WHEN " hurried " THEN commonhold_now() - interval '1 day' ELSE commonhold_now() END"

/* In the order of accounts, so that two acts that tell the same people do not wait for each other crosswise. */
SQL(give,
	"WITH given AS (INSERT INTO notice (account_id, id, kind, topic, about_coop, key, data, essential, mail, at)"
	"  SELECT w.account, gen_random_uuid(), $2, $3, $4, $5, $6, $7,"
	"   CASE WHEN NOT $9 THEN 'none' WHEN $7 THEN 'now' ELSE CASE coalesce(s.how, $8) WHEN 'now' THEN 'now' WHEN 'inbox' THEN 'none' ELSE 'digest' END END, commonhold_now()"
	"  FROM (SELECT DISTINCT unnest($1) AS account) w LEFT JOIN notice_setting s ON s.account_id = w.account AND s.topic = $3 ORDER BY w.account"
	"  ON CONFLICT DO NOTHING RETURNING account_id, id, mail),"
	" queued AS (INSERT INTO mail (id, kind, account_id, notice_id, about_coop, due, queued_at)"
	"  SELECT gen_random_uuid(), $2, account_id, id, $4, " DUE_FIRST("$7") ", commonhold_now() FROM given WHERE mail = 'now' RETURNING id)"
	NOTIFY_WAKE);
SQL(mail_to,
	"WITH queued AS (INSERT INTO mail (id, kind, sealed, due, queued_at) VALUES ($1, $2, $3, " DUE_FIRST("true") ", commonhold_now()) RETURNING id)"
	NOTIFY_WAKE);

static const struct topic {
	const char *word;
	enum notify_how how; /* the default */
	const char *kinds;   /* what names of its kinds begin with, separated by blanks */
	const char *text;
} topics[NOTIFY_TOPIC_COUNT] = {
#define X(name, how, kinds, text) { #name, NOTIFY_##how, kinds, text },
	NOTIFY_TOPICS(X)
#undef X
};

static const char *const hows[NOTIFY_HOW_COUNT] = { "now", "daily", "weekly", "quarterly", "inbox" };

bool notify_mail_on(void)
{
	return config()->smtp_url[0] != '\0';
}

enum notify_topic notify_topic_of(const char *kind)
{
	for (int t = 0; t < NOTIFY_TOPIC_COUNT - 1; t++) {
		struct str rest = str_of(topics[t].kinds), begin;
		while (str_split(&rest, ' ', &begin))
			if (strncmp(kind, begin.p, begin.n) == 0)
				return t;
	}
	return NOTIFY_TOPIC_COUNT - 1;
}

const char *notify_topic_word(enum notify_topic t)
{
	return topics[t].word;
}

const char *notify_topic_text(enum notify_topic t)
{
	return topics[t].text;
}

enum notify_how notify_topic_default(enum notify_topic t)
{
	return topics[t].how;
}

void notify_topic_words(struct str words[NOTIFY_TOPIC_COUNT], struct str defaults[NOTIFY_TOPIC_COUNT])
{
	for (int t = 0; t < NOTIFY_TOPIC_COUNT; t++) {
		words[t] = str_of(topics[t].word);
		defaults[t] = str_of(hows[topics[t].how]);
	}
}

const char *notify_how_word(enum notify_how h)
{
	return hows[h];
}

bool notify_topic_read(struct str word, enum notify_topic *out)
{
	for (int t = 0; t < NOTIFY_TOPIC_COUNT; t++)
		if (str_is(word, topics[t].word)) {
			*out = t;
			return true;
		}
	return false;
}

bool notify_how_read(struct str word, enum notify_how *out)
{
	int no = str_which(word, hows, NOTIFY_HOW_COUNT);
	if (no >= 0)
		*out = no;
	return no >= 0;
}

enum err notify_send(struct call *c, const struct notice *n)
{
	return notify_many(c, n, &n->account, 1);
}

enum err notify_many(struct call *c, const struct notice *n, const struct uuid *accounts, size_t n_accounts)
{
	enum notify_topic topic = notify_topic_of(n->kind);
	if (!n_accounts)
		return ERR_OK;
	return db_queue(c, give, A_UUIDS(accounts, n_accounts), A_Z(n->kind), A_Z(topics[topic].word), A_UUID_OR_NULL(n->coop), A_STR(n->key), A_STR(n->data),
		A_BOOL(n->essential), A_Z(hows[topics[topic].how]), A_BOOL(notify_mail_on()));
}

enum err notify_mail_to(struct call *c, struct str address, const char *kind, struct str data)
{
	struct uuid id = uuid_new();
	struct buf b;
	struct json_writer w;
	if (!notify_mail_on())
		return fail_reason(c, ERR_UNAVAILABLE, "no_mail", "This instance sends no mail.");
	if (!mail_address_ok(address))
		return fail_field(c, "/email", "This is not an e-mail address.");
	buf_init(&b, LIMIT_BODY_SMALL * 2);
	jw_init(&w, &b);
	jw_object(&w);
	jw_kstr(&w, "address", address);
	jw_key(&w, "data");
	jw_raw(&w, data);
	jw_end_object(&w);
	struct str plain = buf_take(c->arena, &b);
	if (!plain.p)
		return fail(c, ERR_INTERNAL, "A mail says more than a mail may.");
	struct str sealed = seal(c->arena, instance_seal_key(instance_keys()), mail_seal_context(c->arena, id), plain);
	return db_queue(c, mail_to, A_UUID(id), A_Z(kind), A_BYTES(sealed));
}

const struct json *notice_data_read(struct arena *a, struct str data)
{
	const struct json *tree;
	struct error ignored = { 0 };
	return json_parse(a, data, &tree, &ignored) == ERR_OK ? tree : NULL;
}

struct sha256 notify_mac(const char *purpose, struct str message)
{
	struct sha256 key = hmac_sha256(str_make(instance_seal_key(instance_keys())->b, sizeof(struct seal_key)), str_of(purpose));
	struct sha256 mac = hmac_sha256(str_make(key.b, sizeof(key.b)), message);
	secret_wipe(&key, sizeof(key));
	return mac;
}

struct sha256 mail_address_hash(struct arena *a, struct str address)
{
	return notify_mac("notify address", str_lower(a, address));
}

struct str mail_seal_context(struct arena *a, struct uuid mail)
{
	return str_fmt(a, "mail %.*s", STR_ARG(uuid_format(a, mail)));
}
