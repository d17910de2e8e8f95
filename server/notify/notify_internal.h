/* notify_internal.h - what the files of notify/ share. Nothing outside notify/ includes it. */
#ifndef COMMONHOLD_NOTIFY_INTERNAL_H
#define COMMONHOLD_NOTIFY_INTERNAL_H

#include "commonhold/crypto.h"
#include "commonhold/db.h"
#include "commonhold/json.h"
#include "commonhold/notify.h"

#define NOTIFY_KEEP_DAYS 90       /* settled mail is kept for the counts that people see, then forgotten */
#define NOTIFY_DIGEST_ITEMS 40    /* notices told one by one in a digest; the rest is counted */

/* What holds for a person who chose nothing. */
enum notify_how notify_topic_default(enum notify_topic t);
/* An address that may stand in a message and in an SMTP command: one @, printable ASCII or UTF-8 without spaces, controls, brackets, quotes or commas. */
bool mail_address_ok(struct str address);
/* What an address is called in mail_trouble. */
struct sha256 mail_address_hash(struct arena *a, struct str address);
/* HMAC under a key of the instance that serves one purpose ("unsubscribe", "message"). */
struct sha256 notify_mac(const char *purpose, struct str message);
/* The context that mail's content is sealed with. */
struct str mail_seal_context(struct arena *a, struct uuid mail);

#endif
