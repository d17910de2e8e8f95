/* checkup_internal.h - what the files of server/checkup share. Of server/checkup only. */
#ifndef COMMONHOLD_CHECKUP_INTERNAL_H
#define COMMONHOLD_CHECKUP_INTERNAL_H

#include "commonhold/checkup.h"
#include "commonhold/db.h"
#include "commonhold/delegation.h"

/* Everything that stands, as it is read once for the lines and once more when they are answered. */
struct standing {
	struct member member;          /* as read with the rest */
	struct charter charter;        /* in force */
	struct consent consent;        /* state absent: never said */
	bool consented;                /* it stands and has not run out */
	struct statement *statements;  /* defaults, newest first */
	size_t n_statements;
	int64_t on_items;              /* single contributions spoken about */
	unsigned licence;              /* of new contributions: policy_licence_no */
	bool own_licence;              /* chosen, not the charter's default */
	struct delegation *delegations; /* those that are not over */
	size_t n_delegations;
	struct demand *demands;        /* asked out of turn and not answered */
	size_t n_demands;
};

/* Reads it all; inside, in the co-op. `m` is the member. */
CH_CHECK enum err standing_read(struct call *c, const struct member *m, struct standing *out);
/* What can be answered now. */
enum checkup_kind standing_kind(const struct standing *s);
/* The lines, of those that `kind` asks; with what delegates did where `with_acts`. */
CH_CHECK enum err lines_make(struct call *c, const struct standing *s, enum checkup_kind kind, bool with_acts, instant from, struct checkup_line **out, size_t *n);
/* The digest of what was shown: words that change nothing in substance (what delegates did meanwhile) do not count. */
struct str lines_fingerprint(struct arena *a, const struct standing *s, enum checkup_kind kind, const struct checkup_line *lines, size_t n);
/* The token of a showing, and what it was of: ERR_INVALID for one that is not ours, ERR_STALE for one too old or of other lines. */
struct str shown_token(struct arena *a, const struct member *m, struct str fingerprint);
CH_CHECK enum err shown_check(struct call *c, const struct member *m, struct str token, struct str fingerprint);
/* The statement that a line "use.…" is about; NULL for other lines. */
const struct statement *line_statement(struct arena *a, const struct standing *s, struct str line, unsigned *use);

/* Does what one answer to each line says; inside. `replies[i]` belongs to `lines[i]`. */
CH_CHECK enum err answers_apply(struct call *c, struct standing *s, enum checkup_kind kind, struct checkup_line *lines, const struct checkup_reply *replies, size_t n);

/* Counts the shares of a published release: the handler of "checkup.count". */
CH_CHECK enum err count_release(struct call *c, struct uuid coop, struct uuid release);
/* What happened since `from`; inside. */
CH_CHECK enum err year_read(struct call *c, const struct member *m, instant from, struct checkup_year *out);

/* The newest receipt of a member, nil without one; inside. */
CH_CHECK enum err receipt_newest(struct call *c, const struct member *m, struct uuid *out);
/* Issues the receipt of what was answered: document, signature, row, leaf, notice; inside. `before` are the lines as shown with the answers given, `after` what stands now. */
CH_CHECK enum err receipt_issue(struct call *c, const struct standing *after, enum checkup_kind kind, int cycle, const struct checkup_line *before, size_t n, struct checkup_receipt *out);

#endif
