/* smtp.h - one connection to the mail server, through libcurl. TLS is required unless the server is this machine; secrets never leave this file. */
#ifndef COMMONHOLD_NOTIFY_SMTP_H
#define COMMONHOLD_NOTIFY_SMTP_H

#include "commonhold/error.h"
#include "commonhold/str.h"

/* What became of a mail. */
enum smtp_outcome {
	SMTP_TAKEN,    /* the server has it */
	SMTP_NOBODY,   /* refused for good, because of the address */
	SMTP_REFUSED,  /* refused for good, because of the message */
	SMTP_LATER,    /* not now: this mail is tried again */
	SMTP_DOWN,     /* nothing can be sent: no connection, no TLS, no sign-in */
};

/* What the server said, for people: no address, printable ASCII. */
struct smtp_reply {
	enum smtp_outcome outcome;
	int code;          /* of the last reply; 0 when there was none */
	char said[200];    /* its text; libcurl's own words when there was none */
};

struct smtp;
/* Nothing is connected before the first mail. NULL when memory is short. */
struct smtp *smtp_new(void);
void smtp_free(struct smtp *s);
/* Addresses without angle brackets, which mail_address_ok; the message as mail_compose made it. */
struct smtp_reply smtp_send(struct smtp *s, struct str from, struct str to, struct str message);
/* Connects, secures and signs in, and leaves again. */
struct smtp_reply smtp_try(struct smtp *s);
/* Whether a URL of the settings names this machine, where no TLS is asked for. */
bool smtp_is_here(const char *url);

#endif
