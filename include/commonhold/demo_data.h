/* demo_data.h - made-up but life-like data for `make demo` and tests: two co-ops, their members and their contributions.
 *
 * Deterministic: the same seed and the same end give the same bytes, on any machine. Nothing in it is anybody's: names are combined from lists, every address is
 * under example.org, example.com or example.net, and the personal data planted in some items uses ranges that are reserved for examples.
 * No database here: whoever asks gets one fact after the other.
 */
#ifndef COMMONHOLD_DEMO_DATA_H
#define COMMONHOLD_DEMO_DATA_H

#include "arena.h"
#include "clock.h"
#include "error.h"
#include "policy_vocab.h"

#define DEMO_COOPS 2
#define DEMO_LANGUAGES 8 /* en de fr es it pl tr rm */

/* A co-op, with the facts that a person would write into its charter. */
struct demo_coop {
	struct str slug;          /* for addresses: "surselva" */
	struct str name;          /* as people call it */
	struct str domain;        /* what it is about */
	struct str region;        /* where; may be empty */
	struct str languages[DEMO_LANGUAGES]; /* BCP 47, main one first */
	size_t language_count;    /* how many */
	struct str purpose;       /* a sentence for the front page */
	struct str bylaws;        /* Markdown */
	struct str licence;       /* default for new contributions */
	bool share_by_default;    /* its answer to silence */
	unsigned admins;          /* the first so many members are its admins */
	struct str record_name;   /* name of the schema that its records have */
	struct str record_schema; /* that JSON Schema, for the charter */
};

/* How a member is disposed: what the demo makes them state. */
enum demo_choice {
	DEMO_CHOICE_SHARE,     /* says yes to the releases */
	DEMO_CHOICE_DEFAULT,   /* says nothing: the co-op's default applies if they accepted it */
	DEMO_CHOICE_NO_TRAIN,  /* yes to search and research, no to training */
	DEMO_CHOICE_CREDIT,    /* yes, if credited */
	DEMO_CHOICE_WITHHOLD,  /* says no */
	DEMO_CHOICE_COUNT
};

struct demo_member {
	unsigned coop;            /* index of the co-op */
	unsigned index;           /* number within it, from 0 */
	struct str name;          /* as they call themselves */
	struct str email;         /* unique over all co-ops */
	struct str lang;          /* BCP 47 */
	instant joined;           /* before everything that they contribute */
	enum demo_choice choice;  /* see above */
	struct str licence;       /* their own choice; STR_NONE: the co-op's default */
	struct str attribution;   /* anonymous, pseudonym, public */
	bool accepts_defaults;    /* accepted the co-op's defaults on joining */
};

struct demo_contribution {
	unsigned coop;            /* index of the co-op */
	unsigned member;          /* index of the member within it */
	enum policy_kind kind;    /* its kind */
	struct str json;          /* canonical, valid under contribution.json */
	instant submitted;        /* not before the member joined, not after the end */
	unsigned pii;             /* bits of what was planted, 1 << enum pii_kind; 0: none */
	bool duplicate;           /* planted: its content equals that of an earlier one, by another member or the same */
};

/* Who listens. Each may be NULL; an error ends the run. What is passed lives until the callback returns, co-ops and members to the end of the run. */
struct demo_listener {
	enum err (*coop)(void *arg, unsigned index, const struct demo_coop *coop, struct error *e);
	enum err (*member)(void *arg, const struct demo_member *member, struct error *e);
	enum err (*contribution)(void *arg, const struct demo_contribution *contribution, struct error *e); /* in order of time */
	void *arg;
};

struct demo_options {
	uint64_t seed;            /* 1 is the demo's */
	instant end;              /* the present of the data: nothing is later */
	unsigned months;          /* how far back it reaches: 1 to 24, 0 means 6 */
	unsigned members;         /* over both co-ops: 10 to 5,000, 0 means 200 */
	unsigned contributions;   /* over both: 0 means 5,000; at most 10,000,000, for benchmarks */
};

/* Co-ops first, then members, then contributions. */
CH_CHECK enum err demo_generate(const struct demo_options *options, const struct demo_listener *listener, struct error *e);
/* What a co-op is, without running anything; NULL past the last. */
const struct demo_coop *demo_coop(unsigned index);

#endif
