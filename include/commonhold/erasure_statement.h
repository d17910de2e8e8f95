/* erasure_statement.h - the signed statement about a request for deletion: what was asked, done and not done, for the person to keep and anybody to check.
 *
 * A DSSE envelope of ERASURE_STATEMENT_TYPE over canonical JSON (schemas/erasure_statement.json), by the co-op's key. It says what is so when it is made: a later one may say more.
 * It never names whose items they were, and never claims what nobody can know: what became of models and of copies that were never told of.
 */
#ifndef COMMONHOLD_ERASURE_STATEMENT_H
#define COMMONHOLD_ERASURE_STATEMENT_H

#include "call.h"
#include "check.h"
#include "keychain.h"

#define ERASURE_STATEMENT_TYPE "application/vnd.commonhold.erasure-statement+json"

/* For whoever may read the request. Own transactions. */
CH_CHECK enum err erasure_statement(struct call *c, struct uuid coop, struct uuid id, struct str *envelope);
/* The sentences about what it does not claim; NULL past the last. */
const char *erasure_statement_limit(size_t i);

/* ---- without a database ---- */

struct erasure_statement_result {
	struct check *checks;  /* in the order of looking */
	bool ok;               /* all hold */
	bool pinned;           /* by a key that the reader gave */
	struct str request, state; /* which request, and how far it was */
	int64_t items;         /* in all */
};
/* Checks the text of a statement: its signature, that the head of the tombstone feed and the log's checkpoint in it are by the same key and of the same log, and that it does not
 * contradict itself. Without trust: by the key that it names itself, which shows damage but not who made it. Fails only when it cannot be read at all. */
CH_CHECK enum err erasure_statement_check(struct arena *a, struct str text, const struct keychain_trust *trust, struct erasure_statement_result *out, struct error *e);
/* commonhold statement FILE [--key KEY] [--json] */
int erasure_statement_main(int argc, char **argv);

#endif
