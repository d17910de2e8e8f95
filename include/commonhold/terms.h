/* terms.h - what two charters have in common, and what an agreement between two co-ops says.
 *
 * Two questions, both pure: what would become of two charters if the pools were shared (terms_diff), and whether an agreement's document is one that neither charter forbids
 * (agreement_terms_check). The document is canonical JSON (schemas/agreement.json); its SHA-256 is what both co-ops vote on and sign.
 *
 * Nothing in an agreement may be looser than either charter. It must never read a database, a clock or the network: whoever calls brings the charters, and has made sure whose they are.
 */
#ifndef COMMONHOLD_TERMS_H
#define COMMONHOLD_TERMS_H

#include "coop.h"

/* ---- Two charters side by side ---- */

enum terms_verdict {
	TERMS_SAME,     /* both say the same */
	TERMS_STRICTER, /* they differ, and what would be taken is the stricter of both */
	TERMS_BLOCKS,   /* nothing is left that both allow: no agreement until one of them changes */
	TERMS_OWN,      /* each co-op keeps its own: it is about how a co-op governs itself */
	TERMS_VERDICT_COUNT
};
const char *terms_verdict_word(enum terms_verdict v); /* "same", "stricter", "blocks", "own" */

/* One field of the charters, in words for people. */
struct terms_line {
	const char *pointer;         /* "/release/uses" */
	const char *group, *label;   /* "Releases", "Uses" */
	struct str ours, theirs;     /* what each says */
	struct str taken;            /* what an agreement would take at the widest; absent where each keeps its own or nothing is left */
	enum terms_verdict verdict;
	struct str why;              /* a sentence */
};

/* The widest that both charters allow: what a draft begins with. */
struct terms_common {
	uint16_t uses;               /* bits, with what `mine` contains written out */
	uint16_t floor;              /* uses that either denies for those who are silent */
	uint32_t purposes;           /* of either that the other covers */
	uint8_t kinds, audience, licence_mode;
	uint64_t licences;           /* that contributions may have */
	uint32_t outputs;            /* that joint releases may have; 0 in collection mode: all that permit passing on */
	uint32_t k;
	int64_t embargo, retention;  /* microseconds; retention 0: no limit */
	int access;                  /* enum policy_audience of the stricter access mode */
	int attribution;             /* 0 anonymous, 1 pseudonym, 2 public: the stricter */
	bool moderation_both;        /* one looks closer at contributions than the other */
};

struct terms_diff {
	struct terms_line *lines;    /* in the charter's order; the same ones too */
	size_t n;
	size_t stricter, blocks, differ; /* how many lines; differ: with those that each keeps */
	bool possible;               /* something is left to exchange */
	bool joint;                  /* a joint release would have something to be for (policy_spec_merge compiles) */
	struct terms_common common;  /* nothing to rely on unless it is possible */
	struct str words;            /* the whole in two or three sentences */
};
/* Lays two charters side by side. Pure. */
CH_CHECK enum err terms_diff(struct arena *a, const struct charter *ours, const struct charter *theirs, struct terms_diff *out, struct error *e);

/* ---- What an agreement says ---- */

#define AGREEMENT_DOCUMENT_MAX (64 * KIB) /* bytes of a document */

enum agreement_ending { AGREEMENT_ERASE, AGREEMENT_KEEP };

/* An agreement as code uses it. Text points into the document. Arrays of two follow `parties`. */
struct agreement_terms {
	struct str document;         /* canonical JSON */
	struct sha256 digest;        /* of it */
	struct uuid id;              /* the same in every revision */
	int revision;                /* from 1 */
	struct sha256 replaces;      /* digest of the revision before; zeros in the first */
	struct str parties[2];       /* the co-ops' key names, in order */
	struct str names[2];         /* what their charters call them */
	struct str urls[2];          /* base addresses of their instances */
	struct sha256 charters[2];   /* digests of the charters it was written under … */
	int charter_versions[2];     /* … and their versions */
	bool flow[2];                /* parties[i] sends to the other; at least one does */
	uint8_t kinds;               /* bits of policy_kind that are exchanged */
	uint16_t uses;               /* bits of policy_use that exchanged items may serve */
	uint32_t purposes;           /* bits of policy_purpose */
	uint64_t licences;           /* bits of policy_licence_no that exchanged items may have */
	uint8_t audience;            /* widest audience of a release with exchanged items */
	uint16_t floor;              /* uses that are denied for exchanged items whatever anybody says; none of `uses` */
	uint32_t k;                  /* fewest contributors of a release that holds exchanged items */
	int64_t embargo;             /* microseconds an exchanged item waits from when it was contributed; 0: none */
	int64_t retention;           /* microseconds the receiver may keep it from when it was contributed; 0: as its own */
	int64_t cadence;             /* microseconds between bundles */
	int64_t freshness;           /* microseconds from the last bundle after which what came counts as lapsed */
	int access;                  /* enum policy_audience: loosest access mode of such a release (GATED_MANUAL, GATED_AUTO, PUBLIC) */
	bool moderation_both;        /* the receiver moderates what it takes too; else the home's word is enough */
	int attribution;             /* at most: 0 anonymous, 1 pseudonym, 2 public name */
	bool onward;                 /* the receiver may pass items on to its own partners */
	const struct json *schemas;  /* how records of one co-op read at the other, as merge_map_record takes it (merge.h); NULL: all are kept raw */
	int near_loss;               /* per cent of texts that a contributor or co-op may lose if near duplicates were dropped */
	struct str joint;            /* key name of the co-op that makes joint releases; absent: there are none */
	uint8_t licence_mode;        /* enum policy_licence_mode of joint releases */
	instant starts, ends;        /* in effect between; at most a year */
	int64_t notice;              /* microseconds from a notice of ending to the end */
	enum agreement_ending ending; /* what the receiver does with what it holds then: erases it, or keeps it out of new releases */
};
static inline bool agreement_has_flow_from(const struct agreement_terms *t, struct str party)
{
	return (t->flow[0] && str_eq(t->parties[0], party)) || (t->flow[1] && str_eq(t->parties[1], party));
}

/* Who a draft is between. */
struct agreement_party {
	struct str coop;             /* key name */
	struct str url;              /* base address of the instance */
	const struct charter *charter;
};

/* Makes the document of a draft (schemas/agreement_draft.json: every field may be left out; the widest that both charters allow is taken) between two co-ops. `id` and `revision` name it,
 * `replaces` (may be NULL) is the revision before. One fault per JSON Pointer for what is looser than either charter, contradicts itself or is no draft. Pure. */
CH_CHECK enum err agreement_terms_check(struct arena *a, const struct json *draft, const struct agreement_party parties[2], struct uuid id, int revision, const struct sha256 *replaces, instant now,
	struct str *document, struct error *e);
/* Reads a canonical document; ERR_INVALID with faults when it is none, is not canonical or contradicts itself. Says nothing about charters. Pure. */
CH_CHECK enum err agreement_terms_parse(struct arena *a, struct str document, struct agreement_terms *out, struct error *e);
/* Whether terms are looser than a charter of one of the parties: faults at the fields that are (ERR_INVALID), each with a sentence. Pure. */
CH_CHECK enum err agreement_terms_fit(struct arena *a, const struct agreement_terms *t, const struct charter *charter, struct error *e);

/* The terms in plain words, for ballots and pages: lines of heading and sentence. `us` is which party reads (0, 1), -1: nobody in particular. */
struct agreement_words { const char *heading; struct str text; };
CH_CHECK enum err agreement_terms_words(struct arena *a, const struct agreement_terms *t, int us, struct agreement_words **out, size_t *n);
const char *attribution_word(int attribution);  /* "anonymous", "pseudonym", "public" */

#endif
