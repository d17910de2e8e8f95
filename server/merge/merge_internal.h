/* merge_internal.h - what the files of applying share. */
#ifndef COMMONHOLD_MERGE_INTERNAL_H
#define COMMONHOLD_MERGE_INTERNAL_H

#include "commonhold/agreement.h"
#include "commonhold/bundle.h"
#include "commonhold/db.h"
#include "commonhold/guest.h"
#include "commonhold/merge.h"
#include "commonhold/origin_take.h"

/* Words of the decisions that a kind of conflict may have, with blanks between. */
const char *merge_conflict_decisions(enum merge_conflict_kind kind);
/* The mapping of a foreign schema; NULL where there is none. Pure. */
const struct json *merge_map_find(const struct json *mappings, struct str home, struct str schema);
/* Takes the records that an unmapped conflict is about out of releases. Inside. */
CH_CHECK enum err merge_leave_out_schema(struct call *c, struct uuid coop, const struct merge_conflict *k);

/* ---- Applying one bundle ---- */

/* Schemas of records that nothing maps, each once; more than these are told together. */
#define UNMAPPED_MAX 64
struct unmapped { struct str home; char schema[64]; int64_t records; };

/* Records of which it may have changed whether they are kept out. */
struct touched_one { char home[20]; struct uuid id; };
struct touched { struct touched_one *one; size_t n, room; };
CH_CHECK bool touched_add(struct touched *t, struct str home, struct uuid id);
void touched_free(struct touched *t);

struct applying {
	struct call *call;
	struct uuid coop;
	struct bundle *bundle;
	struct agreement agreement;
	struct foreign_rules rules;    /* moderation */
	struct foreign_home *homes;    /* the sender, and those whose records it passes on */
	const struct agreement_terms **terms; /* of each: what it agreed to with whoever has it from there */
	struct uuid *sources;          /* of each: guest_source of its people who come this way */
	size_t n_homes;
	struct str *dropped;           /* homes of which nothing is taken: we ourselves, and who signed two logs */
	size_t n_dropped;
	struct uuid *gone;             /* ids that the bundle's own tombstones erase, in order */
	size_t n_gone;
	struct unmapped unmapped[UNMAPPED_MAX];
	size_t n_unmapped;
	struct touched touched;
	struct merge_report report;
};

/* What stands here under a rid: its commitment, place in the log and licence. Inside. */
struct merge_standing { struct str commitment, licence; int64_t leaf; };
CH_CHECK enum err merge_standing_of(struct call *c, struct uuid coop, int64_t item_no, struct uuid id, struct merge_standing *out);

/* Place of a home among them; -1. */
int apply_home(const struct applying *a, struct str key_name);
/* Whether what is of this home is passed over. */
bool apply_drops(const struct applying *a, struct str key_name);
/* ERR_REFUSED with the reason of a bundle's refusal, and the place. */
enum err apply_refuse(struct applying *a, enum bundle_reason reason, const struct bundle_lines *at, const char *fmt, ...) CH_PRINTF(4, 5);
/* The same for what is wrong in `e`, which says it already. */
enum err apply_refuse_error(struct applying *a, const struct bundle_lines *at, const struct error *e);
bool apply_is_gone(const struct applying *a, struct uuid id);

/* Remembers records of schemas that nothing maps. */
CH_CHECK enum err unmapped_note(struct call *c, struct uuid coop, const struct str *homes, const struct uuid *ids, const struct str *schemas, size_t n);

/* The parts, inside the one transaction and in this order. */
CH_CHECK enum err apply_tombstones_look(struct applying *a);   /* which ids they name: no lock is needed for that */
CH_CHECK enum err apply_statements(struct applying *a);
/* Words that came without a bundle, of distinct contributors, from people who stay with their source. Call, co-op and agreement.id (for contradictions) of `a` alone are used. */
CH_CHECK enum err apply_words_of(struct applying *a, struct uuid source, const struct guest_words *words, size_t n);
CH_CHECK enum err apply_records(struct applying *a, struct origin_taking *taking);
CH_CHECK enum err apply_tombstones(struct applying *a);        /* takes the pool's lock */
CH_CHECK enum err apply_passing(struct applying *a);           /* "out" and "back", to rows that are here by now; under the pool's lock */
CH_CHECK enum err apply_labels(struct applying *a);

/* ---- One record, pure ---- */

/* What a worker makes of a line. */
struct record_made {
	struct foreign foreign;
	struct bundle_record record;   /* views into the line */
	int home;                      /* place of its home */
	struct str schema;             /* of a record: the schema's name; absent for others */
	struct error *error;           /* it is not as it should be; the rest is nothing to rely on */
};
/* Reads and prepares a record but for its contributor. `scratch` may be reset afterwards; `keep` holds what outlives that. */
CH_CHECK enum err record_make(const struct applying *a, struct arena *keep, struct arena *scratch, struct str line, struct record_made *out, struct error *e);
/* Whether what a home says of a person is looser than it may be: beyond the person's own words, or beyond the agreement. Pure. */
CH_CHECK enum err words_check(const struct guest_words *words, const struct agreement_terms *terms, struct error *e);

#endif
