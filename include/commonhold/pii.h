/* pii.h - finds personal data and secrets in text, so that an item is held for a person's eye.
 *
 * Detectors are precise rather than greedy: check digits are computed, phone numbers must have a plausible country or trunk form, addresses of networks
 * that belong to nobody (version numbers, private and documentation ranges) are not reported. They promise no completeness and the pages say so.
 *
 * The scan reads text once at memory speed (16 bytes at a time) and looks closer only at bytes that can begin or be inside a finding; there is no
 * backtracking anywhere, so no input makes it slow. Hand-written matchers over tables, not regular expressions: every pattern here is a prefix, a
 * class and a length, or a checksum. It never logs, copies or returns what it found, only where.
 */
#ifndef COMMONHOLD_PII_H
#define COMMONHOLD_PII_H

#include "json.h"

/* X(name, word, what it is) The numbers are bits of a stored mask: append, never renumber. */
#define PII_KINDS(X) \
	X(EMAIL, "email", "an e-mail address") \
	X(PHONE, "phone", "a telephone number") \
	X(IBAN, "iban", "a bank account (IBAN, check digits right)") \
	X(CARD, "card", "a payment card (check digit right)") \
	X(IP, "ip", "the public IP address of a machine") \
	X(SECRET, "secret", "a key, token or password")

enum pii_kind {
#define X(name, word, what) PII_##name,
	PII_KINDS(X)
#undef X
	PII_KIND_COUNT
};
const char *pii_kind_word(unsigned kind);
const char *pii_kind_text(unsigned kind);

#define PII_FINDINGS 64 /* kept per report; further ones are only counted */

/* One finding. */
struct pii_finding {
	enum pii_kind kind;      /* what it seems to be */
	uint8_t confidence;      /* percent: 95 checksum or unmistakable form, 80 typical form, 60 form that other things have too */
	uint32_t offset;         /* byte in the decoded string */
	uint32_t length;         /* bytes */
	const struct json *at;   /* the string (json_pointer tells where); NULL for plain text */
};

/* What a scan found. Start with { 0 }; scans add up. */
struct pii_report {
	unsigned mask;                             /* 1 << kind for every kind found */
	uint32_t count[PII_KIND_COUNT];            /* findings of each kind, also beyond those kept */
	struct pii_finding finding[PII_FINDINGS];  /* the first ones */
	size_t kept;                               /* of them filled */
};

/* One text; anything over 4 GiB is not looked at past that. Thread-safe, allocates nothing. */
void pii_scan(struct str text, struct pii_report *report);
/* Every string value below `content` (member names are not looked at). */
void pii_scan_tree(const struct json *content, struct pii_report *report);

#endif
