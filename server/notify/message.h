/* message.h - one mail as text: RFC 5322 with a text and an HTML part (RFC 2046 multipart/alternative). Pure: no clock, no database, no network. */
#ifndef COMMONHOLD_NOTIFY_MESSAGE_H
#define COMMONHOLD_NOTIFY_MESSAGE_H

#include "commonhold/arena.h"
#include "commonhold/clock.h"
#include "commonhold/error.h"

/* What goes into it. Whatever any text holds, it stays within its header or part. */
struct mail_message {
	struct str from_name;     /* of the sender; may be absent */
	struct str from;          /* address; mail_address_ok */
	struct str to;            /* address; mail_address_ok */
	struct str subject;       /* one line; other white space and controls become spaces */
	struct str id;            /* without angle brackets: made by us, ASCII */
	struct str boundary;      /* of the parts: ASCII letters and digits, unlike for each message */
	struct str unsubscribe;   /* URL of the one-click link (RFC 8058); absent: none */
	instant at;               /* for Date */
	struct str text, html;    /* the parts, UTF-8 */
};
/* Lines end in CRLF; no line is longer than 998 bytes. ERR_INVALID for addresses, ids or URLs that cannot stand in a header. */
CH_CHECK enum err mail_compose(struct arena *a, const struct mail_message *m, struct str *out, struct error *e);

/* "Commonhold <mail@coop.example>" or an address alone. */
CH_CHECK bool mail_sender_read(struct arena *a, struct str sender, struct str *name, struct str *address);
/* An address that may stand in a message and in an SMTP command: one @, UTF-8 without spaces, controls, brackets, quotes or commas. */
bool mail_address_ok(struct str address);
/* What a mail server said, fit to be kept and shown: words with an @ become an ellipsis, so that it names nobody, and what is not printable ASCII a question mark.
 * As much as fits, with a NUL. */
void mail_words_keep(struct str said, char *out, size_t size);
struct str mail_words_only(struct arena *a, struct str said);

#endif
