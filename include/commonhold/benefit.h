/* benefit.h - the benefit ledger: what came in for a release, how the charter's rule split it to the cent, what was paid out.
 *
 * Amounts are whole numbers of the currency's smallest unit; nothing is rounded, and the shares of an income make it up (a constraint). Entries are for ever: a mistake is
 * reversed by an entry of its own. The public sees weights and amounts with salted commitments to people, so that anyone can split again and find the same; a member sees which
 * line is theirs. The server moves no money: a payment recorded here says that an admin made it elsewhere.
 *
 * Every operation is one transaction of its own unless it says "inside".
 */
#ifndef COMMONHOLD_BENEFIT_H
#define COMMONHOLD_BENEFIT_H

#include "call.h"
#include "crypto.h"
#include "json.h"

/* ---- Money ---- */

#define MONEY_MAX INT64_C(1000000000000000) /* smallest units in one entry: ten million million in most currencies */

/* "1234.5" of a currency (ISO 4217, three capital letters) in smallest units, 1 to MONEY_MAX; false for more decimals than it has and anything else that is no such amount. */
CH_CHECK bool money_parse(struct str text, struct str currency, int64_t *units);
/* "1234.50", with a minus where it is negative: for programs. */
struct str money_format(struct arena *a, int64_t units, struct str currency);
/* "CHF 1,234.50": for people. */
struct str money_words(struct arena *a, int64_t units, struct str currency);

/* One who has a part in an amount. */
struct money_part {
	uint64_t weight; /* in: 0 gets nothing */
	int64_t amount;  /* out: smallest units */
};
/* Splits by the largest remainder (Hamilton's method): everybody gets the whole units that the weight is worth, and what is left goes, a unit each, to the largest remainders,
 * among equal ones to who stands first. False when there is no weight at all, or their sum does not fit 63 bits. Pure; scratch from the arena. */
CH_CHECK bool money_split(struct arena *a, int64_t amount, struct money_part *parts, size_t n);

/* ---- The ledger ---- */

/* What came in for a release. */
struct benefit_income {
	struct uuid coop, id;
	struct uuid release;
	struct str release_version;  /* "1.2.0" */
	struct str kind;             /* money, grant */
	int64_t amount;              /* negative: takes back the entry it reverses */
	struct str currency;
	struct str source, note;     /* public: who gave it, what for */
	struct uuid reverses;        /* nil: an income */
	struct uuid reversed_by;     /* nil: it stands */
	int charter;                 /* version whose rule split it: that of the release */
	struct uuid ballot;          /* that decided another split; nil: the charter's */
	int contributors, commons;   /* per cent */
	struct str weight;           /* included_items, per_contributor */
	int64_t weight_total;        /* of all contributors */
	int64_t shares;              /* how many contributors */
	int64_t commons_amount;      /* the co-op's part: its per cent, and what has no contributor */
	struct sha256 shares_root;   /* over the public lines */
	instant recorded_at;
};

/* An income to be recorded. */
struct benefit_draft {
	struct uuid release;         /* published */
	struct str kind, currency, source, note;
	int64_t amount;
	struct uuid ballot;          /* nil: the charter's split; otherwise the ballot that decided the next two */
	int contributors;            /* per cent; with a ballot only */
	struct str weight;
};
/* Admin: records an income and splits it by the rule of the charter that the release was made under. Leaf "benefit.recorded". */
CH_CHECK enum err benefit_record(struct call *c, struct uuid coop, const struct benefit_draft *in, struct benefit_income *out);
/* Admin: takes an entry back by one that mirrors it. Leaf "benefit.reversed". */
CH_CHECK enum err benefit_reverse(struct call *c, struct uuid coop, struct uuid income, struct str reason, struct benefit_income *out);
CH_CHECK enum err benefit_read(struct call *c, struct uuid coop, struct uuid income, struct benefit_income *out);
/* Newest first. */
CH_CHECK enum err benefit_list(struct call *c, struct uuid coop, struct str cursor, int limit, struct benefit_income **out, size_t *n, struct str *next_cursor);

/* One share. The public line is {"amount":…,"commitment":…,"no":…,"weight":…} in canonical JSON, and benefit_income.shares_root is the Merkle root (RFC 6962) over the lines. */
struct benefit_share {
	int no;                      /* 0: the commons; then members, in the order of their commitments */
	struct uuid member;          /* nil: the commons, or not for this reader */
	struct str who;              /* pseudonym or public name, "anonymous", for admins */
	int64_t weight, amount;
	uint8_t salt[32];
	struct sha256 commitment;    /* ledger_commitment(salt, SHA-256(the member's id)); zeros for the commons */
};
struct str benefit_line(struct arena *a, const struct benefit_share *s);
/* All shares of an income, in order. Members' names for admins only. */
CH_CHECK enum err benefit_shares(struct call *c, struct uuid coop, struct uuid income, struct benefit_share **out, size_t *n);

/* What a member is owed and got, oldest first. */
struct benefit_statement_line {
	instant at;
	bool payment;                /* otherwise a share */
	struct uuid income;          /* of a share */
	struct str release_version, text; /* of a share: its release, and the source; of a payment: the reference */
	struct str currency;
	int64_t amount;              /* payments count down */
	int64_t weight, weight_total;
	int no;                      /* which line of the income's shares … */
	uint8_t salt[32];            /* … and what proves it is theirs */
};
struct benefit_balance { struct str currency; int64_t earned, paid; };
struct benefit_statement {
	struct benefit_statement_line *lines;
	size_t n;
	struct benefit_balance *balances;   /* a currency each, of the lines' period */
	size_t n_balances;
};
/* From an instant (inclusive) to another (exclusive); INSTANT_NONE and INSTANT_NEVER leave a side open. Inside. */
CH_CHECK enum err benefit_statement_of(struct call *c, struct uuid coop, struct uuid member, instant from, instant to, struct benefit_statement *out);
/* The actor's own. */
CH_CHECK enum err benefit_statement_mine(struct call *c, struct uuid coop, struct benefit_statement *out);

/* A payment to a member, or out of the commons. */
struct benefit_payment { struct uuid id, member, ballot; struct str who; int64_t amount; struct str currency, reference; instant at; };
/* Admin: records that a member was paid; ERR_REFUSED beyond what is owed. Leaf "benefit.paid". */
CH_CHECK enum err benefit_pay(struct call *c, struct uuid coop, struct uuid member, int64_t amount, struct str currency, struct str reference, struct benefit_payment *out);
/* A ballot's decision to spend from the commons; inside. Repeating it changes nothing. */
CH_CHECK enum err benefit_spend(struct call *c, struct uuid coop, struct uuid ballot, int64_t amount, struct str currency, struct str reference);
/* benefit_record for a ballot's decision; inside. Repeating it changes nothing. */
CH_CHECK enum err benefit_record_decided(struct call *c, struct uuid coop, const struct benefit_draft *in);
/* What was paid, newest first, by cursor; for admins: members see their own in their statement. */
CH_CHECK enum err benefit_payments(struct call *c, struct uuid coop, struct str cursor, int limit, struct benefit_payment **out, size_t *n, struct str *next_cursor);

/* Sums by currency over all time: what came in, what of it is the commons' and the members', and what was paid to either. */
struct benefit_total { struct str currency; int64_t income, commons, members, commons_paid, members_paid; };
CH_CHECK enum err benefit_totals(struct call *c, struct uuid coop, struct benefit_total **out, size_t *n);
/* Whom the co-op owes, for the admin's list of payments: members with an open balance, most first, at most `limit`. */
struct benefit_owed { struct uuid member; struct str who, currency; int64_t amount; };
CH_CHECK enum err benefit_owed_list(struct call *c, struct uuid coop, int limit, struct benefit_owed **out, size_t *n);

#endif
