/* intake_rules.h - what a charter says to submissions, typed. Of intake.c, which makes and keeps them, and prepare.c, which applies them. */
#ifndef COMMONHOLD_INTAKE_RULES_H
#define COMMONHOLD_INTAKE_RULES_H

#include "server/pool/pool_internal.h"

#define INTAKE_RULES_BYTES (8 * MIB) /* a charter of LIMIT_BODY_CHARTER, parsed, and its schemas */

/* Strictest last: the stricter of two applies. */
enum intake_verdict { INTAKE_APPROVE, INTAKE_HOLD, INTAKE_REJECT };

struct intake_record { struct str name; const struct json_schema *schema; };

struct intake_rules {
	struct arena *arena;           /* everything here, this struct included */
	int refs;                      /* holders; freed by the last */
	struct uuid coop;
	int version;                   /* of the charter */
	uint8_t kinds;                 /* accepted, as bits */
	unsigned licence_default;
	uint64_t licences;             /* allowed, as bits */
	enum intake_verdict mode;      /* for everything */
	enum intake_verdict pii_action;/* from pii_threshold findings on */
	unsigned pii_threshold;
	bool records_registered;       /* the charter has a list of record schemas */
	struct intake_record *records;
	size_t n_records;
};

#endif
