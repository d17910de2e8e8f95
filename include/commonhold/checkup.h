/* checkup.h - the annual checkup: once a year a person goes over every standing choice, and gets a signed receipt.
 *
 * Nothing is pre-ticked, silence is never an answer, and nobody answers for somebody else: the checkup cannot be delegated. An answer counts only for lines that were
 * shown as they stand: a token from the showing proves it, and lines that changed in between are shown anew. The whole of an answer is one transaction.
 *
 * The daily job that moves memberships (active, due, grace, lapsed) and reminds people is coop's ("membership.daily"); here is what a person does about it.
 */
#ifndef COMMONHOLD_CHECKUP_H
#define COMMONHOLD_CHECKUP_H

#include "call.h"
#include "coop.h"
#include "job.h"

/* What may be answered to a line, as bits. */
enum checkup_answer { CHECKUP_UNSAID = 0, CHECKUP_CONFIRM = 1, CHECKUP_CHANGE = 2, CHECKUP_END = 4 };
const char *checkup_answer_name(enum checkup_answer a);
CH_CHECK bool checkup_answer_parse(struct str text, enum checkup_answer *out);

/* One standing choice. */
struct checkup_line {
	struct str id;          /* "membership", "consent", "use.train.gen", "use.search.chat", "licence", "attribution", "default", "delegation.<uuid>": a path-safe key */
	struct str title;       /* what it is about: "Training of generative models" */
	struct str words;       /* what stands, as a sentence */
	struct str why;         /* why it is asked out of turn; absent otherwise */
	struct str acts;        /* what the delegate did in the year; absent for other lines */
	struct str value;       /* canonical JSON of what stands: part of the fingerprint and of the receipt */
	unsigned answers;       /* which enum checkup_answer it takes */
	bool suspended;         /* rests until it is answered: counts as unsaid */
	instant since;          /* INSTANT_NONE: never said */
	enum checkup_answer given; /* in a receipt or a form that is shown again */
};

/* What happened with one's data since the last checkup. */
struct checkup_release {
	struct uuid id;
	struct str version;
	instant published_at;
	int64_t items;             /* of mine in it */
};
struct checkup_access {
	struct str recipient;      /* organisation; may be empty */
	struct str purpose;        /* policy_vocab.h */
	instant since;             /* when it was granted */
};
struct checkup_money {
	struct str currency;       /* ISO 4217 */
	int64_t cents;             /* earned, whether paid out or not */
};
struct checkup_year {
	instant from, to;          /* since the last checkup, until now */
	struct checkup_release *releases; /* with items of mine, newest first */
	size_t n_releases;
	struct checkup_access *accesses;  /* to releases with items of mine, newest first */
	size_t n_accesses;
	struct checkup_money *money;      /* a currency each */
	size_t n_money;
};

enum checkup_kind { CHECKUP_NONE, CHECKUP_ANNUAL, CHECKUP_OFF_CYCLE };
const char *checkup_kind_name(enum checkup_kind k);

/* A checkup as it is shown. */
struct checkup {
	struct member member;      /* whose it is */
	struct str coop_name, coop_slug; /* where */
	enum checkup_kind kind;    /* what can be answered now */
	int charter;               /* version whose words are shown */
	int cycle;                 /* which one it is, from 1 */
	instant opens_at, due_at, lapses_at; /* from when it can be done, until when it should, and when the membership lapses without; INSTANT_NONE for applicants */
	struct checkup_line *lines; /* every standing choice; off cycle those that are asked. NULL for applicants */
	size_t n_lines;
	struct checkup_year year;  /* what happened since the last */
	struct str fingerprint;    /* of the lines as they stand: the ETag */
	struct uuid last_receipt;  /* the newest one; nil: none */
	struct str shown;          /* token that proves that they were shown; absent when there is nothing to answer */
};

/* One answer to a line; `value` is what it is changed to (an object as the line's schema says; NULL otherwise). */
struct checkup_reply { struct str line; enum checkup_answer answer; const struct json *value; };

struct checkup_receipt {
	struct uuid coop, id, member; /* id: random, receipt_id in the document */
	int cycle, charter;        /* which checkup it was, and the version whose words were shown */
	enum checkup_kind kind;
	instant issued_at;
	struct str document;       /* canonical JSON: the bytes that are signed */
	struct sha256 sha256;      /* of them */
	struct str signature;      /* the .minisig text, by the co-op's key */
};

/* The lines of the acting member in a co-op, and what happened. */
CH_CHECK enum err checkup_read(struct call *c, struct uuid coop, struct checkup *out);
/* Where the actor stands in every co-op of theirs; with the lines where there is something to answer. */
CH_CHECK enum err checkup_list(struct call *c, struct checkup **out, size_t *n);
/* Answers every line. `shown` is the token of the showing. ERR_INVALID with a pointer to each line left or wrong; ERR_STALE when the lines are not those that were shown;
 * ERR_STATE when nothing is to be answered. */
CH_CHECK enum err checkup_answer(struct call *c, struct uuid coop, struct str shown, const struct checkup_reply *replies, size_t n, struct checkup_receipt *out);
/* Confirms every line as it was shown. */
CH_CHECK enum err checkup_as_before(struct call *c, struct uuid coop, struct str shown, struct checkup_receipt *out);

/* The actor's receipts in a co-op, newest first, without documents; and one with its document. */
CH_CHECK enum err checkup_receipt_list(struct call *c, struct uuid coop, struct checkup_receipt **out, size_t *n);
CH_CHECK enum err checkup_receipt_read(struct call *c, struct uuid coop, struct uuid id, struct checkup_receipt *out);

/* Asks lines again out of turn, for everybody; the handler of the job "checkup.off_cycle", which modules below queue: args
 * {"coop": uuid, "ballot": uuid or absent, "charter": version, "lines": [{"line": "consent"|"default"|"licence"|"delegations"|"board",
 * "reason": "purpose"|"recipients"|"default"|"licence"|"delegate", "words": "…"}]}. Until a member answers, what they said on older words counts as unsaid. */
extern const struct job_kind checkup_jobs[]; /* with "checkup.count": what each member has in a published release */

#endif
