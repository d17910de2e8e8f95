/* log_page.h - one page of the log, as the API and the pages show it. */
#ifndef COMMONHOLD_LEDGER_LOG_PAGE_H
#define COMMONHOLD_LEDGER_LOG_PAGE_H

#include "commonhold/http.h"
#include "commonhold/ledger.h"

struct log_page {
	struct log_entry *entries; /* newest first */
	size_t n;
	struct str next;           /* cursor of the page after; absent on the last */
	struct str origin;
	struct str verifier_key;
	int64_t size;              /* of the log */
	struct sha256 root;
};
/* The head of the log and the entries below the cursor, in one transaction. */
CH_CHECK enum err log_page_read(struct request *rq, struct str cursor, int limit, struct log_page *out);

#endif
