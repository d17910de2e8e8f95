/* report.h - what a delivery report (RFC 3464) says. Whatever it is read from was written by strangers: nothing of it is believed before an id in it proves ours. */
#ifndef COMMONHOLD_NOTIFY_REPORT_H
#define COMMONHOLD_NOTIFY_REPORT_H

#include "commonhold/arena.h"
#include "commonhold/error.h"
#include "commonhold/limits.h"

#define MAIL_REPORT_MAX (2 * MIB)
#define MAIL_REPORT_TAGS 16 /* an envelope's recipient stands in several headers */

struct mail_report {
	bool has_status;                    /* there was a delivery-status part */
	bool failed;                        /* of a recipient: given up for good */
	struct str status;                  /* enhanced status code, "5.1.1"; "5.0.0" where the report has none */
	struct str diagnostic;              /* what the other server said; may be absent */
	struct str tags[MAIL_REPORT_TAGS];  /* what could be an id of ours, unchecked */
	size_t n_tags;                      /* how many */
};
/* ERR_BAD_REQUEST for what is no report. Texts point into the message or the arena. */
CH_CHECK enum err mail_report_read(struct arena *a, struct str message, struct mail_report *out, struct error *e);

#endif
