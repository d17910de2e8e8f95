/* preview_internal.h - what the files about previews and dry runs share. */
#ifndef COMMONHOLD_MERGE_PREVIEW_INTERNAL_H
#define COMMONHOLD_MERGE_PREVIEW_INTERNAL_H

#include "commonhold/agreement.h"
#include "commonhold/preview.h"
#include "commonhold/release_joint.h"

/* ---- joint_document.c ---- */

/* The document of a release that two co-ops make together under an agreement (release_joint.h); `charters` in the order of the terms' parties. For a dry run `id` is nil and there is neither cut-off nor
 * seed. Pure. */
struct joint_when { struct uuid id; instant cutoff; struct sha256 seed; };
CH_CHECK enum err joint_document(struct arena *a, const struct agreement_terms *terms, const struct charter *const charters[2], const struct joint_when *when, struct str *out, struct error *e);

/* ---- preview_read.c ---- */

/* One person of a preview. */
struct preview_person {
	uint32_t purposes;              /* consented to, bits */
	instant consent_expires;        /* INSTANT_NEVER: open */
	struct policy_row said[POLICY_KIND_COUNT]; /* about the uses of the document; reasons are not told */
};
/* One item of a preview. */
struct preview_item {
	struct sha256 h;                /* HMAC of its content hash */
	uint32_t who;                   /* place among the people */
	uint8_t kind, licence;
	int month;                      /* year * 12 + month - 1 */
	int64_t bytes;                  /* a power of two */
	policy_reasons alone, joint;    /* as its home decides it, before the rules over the set */
};
/* A preview, read. */
struct outline {
	struct sha256 agreement;        /* digest of the terms */
	struct str from, to;            /* key names */
	instant as_of;
	struct str charter;             /* document */
	int charter_version;
	int64_t candidates;             /* items of its own in the pool, listed or not */
	int64_t unlisted[64];           /* reasons of those that are not listed, as its charter alone has them */
	struct preview_person *people;
	size_t n_people;
	struct preview_item *items;     /* by h, none twice */
	size_t n_items;
	struct sha256 digest;           /* of the file */
	uint8_t key[32];                /* that it is signed with; whose that is, is for the caller to ask */
};
/* Reads a file and checks its form and that the key that it names has signed it. ERR_INVALID with the number of the line, ERR_TOO_LARGE past PREVIEW_MAX. Pure. */
CH_CHECK enum err preview_read(struct arena *a, struct str file, struct outline *out, struct error *e);

/* ---- preview.c ---- */

/* Memory for the largest of pools, that goes with the call; NULL: there is none. */
struct arena *preview_arena(struct call *c);
/* An agreement that may still be tried out: what is over need not be. Inside. */
CH_CHECK enum err preview_find(struct call *c, struct uuid coop, struct sha256 agreement, struct agreement *out);
/* Checks that it is the partner's about this agreement, newer than what is there and not too soon after it; keeps it. The same again changes nothing. Inside. */
CH_CHECK enum err preview_take(struct call *c, struct arena *a, const struct agreement *g, struct str file, struct preview_kept *out);
/* The file of another co-op of this instance; ERR_REFUSED where it is not the one with this digest. A transaction of its own. */
CH_CHECK enum err preview_body_of(struct call *c, struct uuid coop, struct sha256 agreement, struct sha256 digest, struct str *file);

/* ---- preview_carry.c ---- */

/* Ours with this digest as a file to be sent, for the partner that has proved itself; ERR_GONE where another counts by now. */
CH_CHECK enum err preview_open(struct call *c, struct uuid coop, struct sha256 agreement, struct sha256 digest, int *fd, int64_t *size);
/* The partner says that it has one ready. Inside. */
CH_CHECK enum err preview_queue_fetch(struct call *c, struct uuid coop, struct sha256 agreement, struct sha256 digest, int64_t size);
CH_CHECK enum err preview_fetch_job(struct call *c, const struct json *args);

/* ---- preview_write.c ---- */

/* What a preview is written from. */
struct preview_source {
	const struct agreement_terms *terms;
	struct str from, to;
	const struct charter *charter;
	const struct release_trial *trial;
	const uint8_t *key;             /* pairwise, 32 bytes */
	const struct uuid *members;     /* by number; nil for numbers without a member */
	const struct sign_key *sign;
	uint8_t blind[32];              /* random: key of the numbers of what would not go */
};
/* Writes the file, and says which person each member is in it (UINT32_MAX: none), by number. Pure. */
CH_CHECK enum err preview_write(struct arena *a, const struct preview_source *from, struct str *file, uint32_t **who, struct error *e);

/* ---- dry_run.c ---- */

/* Computes the document; both previews and charters in the order of the terms' parties. Pure. `own` (may be NULL) gets a line for each person of party `us`. */
struct dry_run_person { int64_t items, in_alone, in_joint, at_partner; int64_t lost[64]; };
CH_CHECK enum err dry_run_compute(struct arena *a, const struct agreement_terms *terms, const struct outline *const previews[2], int us, struct str *document, struct dry_run_person **own,
	struct error *e);

#endif
