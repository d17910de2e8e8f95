/* notify_internal.h - what the files of notify/ share. Nothing outside notify/ includes it. */
#ifndef COMMONHOLD_NOTIFY_INTERNAL_H
#define COMMONHOLD_NOTIFY_INTERNAL_H

#include "commonhold/crypto.h"
#include "commonhold/db.h"
#include "commonhold/json.h"
#include "commonhold/notify.h"
#include "server/notify/message.h"

#define NOTIFY_KEEP_DAYS 90       /* settled mail is kept for the counts that people see, then forgotten */
#define NOTIFY_DIGEST_ITEMS 40    /* notices told one by one in a digest; the rest is counted */

/* The end of a statement whose CTE "queued" inserted mail: wakes the sender. The job's key is the transaction: however many notices an act gives, it wakes the sender
 * once, and acts that run at the same time do not wait for each other. */
#define NOTIFY_WAKE \
	" INSERT INTO job (id, kind, key, args, state, due, queued_at)" \
	"  SELECT gen_random_uuid(), 'notify.send', 'after ' || pg_current_xact_id(), '{}', 'waiting', commonhold_now(), commonhold_now() FROM queued LIMIT 1" \
	" ON CONFLICT DO NOTHING"

/* What holds for a person who chose nothing. */
enum notify_how notify_topic_default(enum notify_topic t);
/* All topics and their defaults, for statements. */
void notify_topic_words(struct str words[NOTIFY_TOPIC_COUNT], struct str defaults[NOTIFY_TOPIC_COUNT]);
/* What an address is called in mail_trouble. */
struct sha256 mail_address_hash(struct arena *a, struct str address);
/* HMAC under a key of the instance that serves one purpose ("unsubscribe", "message"). */
struct sha256 notify_mac(const char *purpose, struct str message);
/* The context that mail's content is sealed with. */
struct str mail_seal_context(struct arena *a, struct uuid mail);

/* The data of a notice; NULL for what is no JSON: one bad notice must not close an inbox. */
const struct json *notice_data_read(struct arena *a, struct str data);

/* render.c. What a mail's layout says around its content. */
struct mail_frame {
	struct str title;         /* of the mail, and its subject */
	struct str name;          /* of the person; absent: not addressed by name */
	struct str coop_name;     /* absent: about no co-op */
	struct str unsubscribe;   /* URL; absent: cannot be switched off */
	bool to_account;          /* there are settings to point to */
	bool essential;           /* it is sent whatever they say */
};
/* Both parts of a mail of a kind; the generic templates where the kind has none. */
CH_CHECK enum err mail_render(struct arena *a, const char *kind, const struct mail_frame *f, const struct json *data, struct str *text, struct str *html, struct error *e);
/* The instance's address without a slash behind it; a path of this site below it, absent for anything else; and the path alone. */
struct str notify_base_url(void);
struct str notify_link(struct arena *a, struct str url);
struct str notify_path(struct str url);

/* unsubscribe.c. The topic NOTIFY_TOPIC_COUNT stands for whatever comes in summaries. */
struct str unsubscribe_link(struct arena *a, struct uuid account, enum notify_topic topic);
/* What a link is about, and doing it: ERR_NOT_FOUND for what we did not sign. Each a transaction of its own. */
CH_CHECK enum err unsubscribe_read(struct call *c, struct str link, enum notify_topic *topic);
CH_CHECK enum err unsubscribe_do(struct call *c, struct str link);

/* address.c: what is known of addresses. Inside the open transaction. */
struct mail_refusal { struct str status, said; const char *told_by; bool nobody; /* there is no such address: it is given up at once */ };
CH_CHECK enum err mail_address_refused(struct call *c, struct sha256 address, const struct mail_refusal *r);
bool mail_status_is_nobody(struct str status, int code);
CH_CHECK enum err mail_address_delivered(struct call *c, struct str address);

/* digest.c: what a digest says. Inside the open transaction. */
CH_CHECK enum err digest_data(struct call *c, struct uuid mail, struct str *data, struct str *title, bool *empty);
CH_CHECK enum err digest_run(struct call *c, const struct json *args);

/* deliver.c: the ids that a bounce finds a mail by, in Message-ID and return path: the mail's id with a MAC, 52 characters of base32. */
struct str mail_tag(struct arena *a, struct uuid mail);
CH_CHECK bool mail_tag_read(struct str tag, struct uuid *mail);
CH_CHECK enum err deliver_run(struct call *c, const struct json *args);

#endif
