/* merge.h - taking in what another co-op sends: a checked bundle is applied as a whole or not at all, whatever comes twice or late changes nothing, and what contradicts itself waits for people.
 *
 * What is merged is a union: append-only words of a single writer each (the home of a record or a guest), of which the latest stands, and tombstones, which win for ever. So the state that
 * two co-ops come to does not depend on the order in which their bundles arrived, nor on how often. Decisions are never taken over: each co-op's own engine decides over the union.
 *
 * It must never take anything that bundle_check (bundle.h) has not let pass, loosen what a person or their home said, bring back what was erased, average two people's labels, or choose
 * between two versions that one home has signed.
 */
#ifndef COMMONHOLD_MERGE_H
#define COMMONHOLD_MERGE_H

#include "call.h"
#include "crypto.h"
#include "job.h"
#include "json.h"

struct bundle; /* bundle.h */

/* ---- Applying ---- */

/* What became of a bundle's lines. */
struct merge_report {
	int64_t tombstones;    /* lines of the feed that were new here */
	int64_t statements;    /* words of contributors that were newer than what was known */
	int64_t out, back;     /* records that their home no longer passes on, and does again */
	int64_t records;       /* lines of records, of which: */
	int64_t rows;          /* new here */
	int64_t origins;       /* the same content as an item that stands here: a further origin of it */
	int64_t known;         /* here already, to the byte */
	int64_t erased;        /* erased by their home, or content that was erased here: not taken */
	int64_t quarantined;   /* contradict what the same home has signed before, or take an id that is another's */
	int64_t unmapped;      /* of a record schema that the agreement does not map; taken as they are */
	int64_t labels, signals; /* new or newer */
	int64_t contributors;  /* guests that were new here */
	bool repeated;         /* the whole bundle had been applied before: nothing was done */
};
/* Applies a bundle that bundle_check has let pass: tombstones, then statements, then records, then labels. Everybody sees all of it or nothing: it is one transaction, whose rows go
 * in ahead of the pool's lock under numbers given beforehand (origin_take.h): others contribute meanwhile. A process that ends in the middle leaves what was there before. Applying the same again answers `repeated`;
 * ERR_STATE when an earlier bundle of the same sender is missing, or the agreement is not in effect; ERR_REFUSED with the line's place where something in it may not be (outside the
 * agreement, or looser than its own home says). The bundle belongs to the caller. Outside a transaction. */
CH_CHECK enum err merge_apply(struct call *c, struct uuid coop, struct bundle *b, struct merge_report *out);
/* The report as it is kept and shown: canonical JSON. */
struct str merge_report_json(struct arena *a, const struct merge_report *r);

/* ---- The state that both sides come to ---- */

/* What was exchanged under an agreement, whoever sent it: over the sorted set of records (rid, commitment or "tombstone", licence) and of the latest word of each contributor (home,
 * contributor, digest of the signed line); a record that is passed on no longer is none of them. Records of others that one passes on to the other count; their
 * contributors' words, which are those of a third, do not. Equal on both sides when each has applied all that the other sent. `agreement` nil: the records that this co-op
 * exchanged with anybody, and no words: what a home says of its people depends on the agreement. */
struct merge_state {
	struct sha256 digest;
	int64_t records, tombstones, statements;
};
/* Own transaction. */
CH_CHECK enum err merge_state_digest(struct call *c, struct uuid coop, struct uuid agreement, struct merge_state *out);

/* Has the pages count what waits for a person (waiting.h); once, at start. */
void merge_use_waiting(void);

/* ---- Conflicts: what people look at ---- */

/* X(name, word, what an admin reads, decisions) */
#define MERGE_CONFLICTS(X) \
	X(EQUIVOCATION, "equivocation", "The home of this record has signed two things that cannot both be true. Neither is released; both proofs are kept.", "keep_out") \
	X(SUPPRESSED, "suppressed", "The content of this record was erased here. It is not taken again.", "keep_out") \
	X(UNMAPPED, "unmapped", "The agreement has no mapping for the schema of these records. They are kept as they came.", "keep_raw leave_out") \
	X(ID_TAKEN, "id_taken", "The record has an id that an item of another co-op has here. It is not taken.", "keep_out") \
	X(NEAR_LOSS, "near_loss", "Leaving out near duplicates would take more of this source than the agreement accepts.", "keep_all accept_loss")
enum merge_conflict_kind {
#define X(name, word, text, decisions) MERGE_##name,
	MERGE_CONFLICTS(X)
#undef X
	MERGE_CONFLICT_KIND_COUNT
};
const char *merge_conflict_word(enum merge_conflict_kind kind);
const char *merge_conflict_text(enum merge_conflict_kind kind);
CH_CHECK bool merge_conflict_parse(struct str word, enum merge_conflict_kind *out);

struct merge_conflict {
	struct uuid id;
	enum merge_conflict_kind kind;
	struct uuid agreement;    /* under which it arose; nil: under none in particular */
	struct str home, rid;     /* whose record, and which; absent where it is about more than one */
	struct str detail;        /* canonical JSON: digests, schema, counts; never content */
	struct str proof;         /* equivocation: canonical JSON with both signed things; absent in lists */
	instant found_at;
	struct str decision;      /* absent: open */
	struct str reason;        /* of the decision */
	instant decided_at;
};
/* Notes one, once for the same kind, home and key, and tells the admins. `key` is what makes it the same: a rid, a schema. `proof` may be absent. Inside. */
CH_CHECK enum err merge_conflict_add(struct call *c, struct uuid coop, struct uuid agreement, enum merge_conflict_kind kind, struct str home, struct str key, struct str detail, struct str proof);
/* Admin: those that wait (or all), newest first; one with its proof; deciding, with one of its kind's decisions. Own transactions. ERR_STATE where it is decided. */
CH_CHECK enum err merge_conflict_list(struct call *c, struct uuid coop, bool all, struct str cursor, int limit, struct merge_conflict **out, size_t *n, struct str *next_cursor);
CH_CHECK enum err merge_conflict_get(struct call *c, struct uuid coop, struct uuid id, struct merge_conflict *out);
CH_CHECK enum err merge_conflict_decide(struct call *c, struct uuid coop, struct uuid id, struct str decision, struct str reason, struct merge_conflict *out);

/* Keeps the proof that a home's log was forked or rewritten: two checkpoints that it signed and that no log can both have (or two leaves). What stands of that home stays, nothing further is
 * taken from it until people have looked. Own transaction. */
CH_CHECK enum err merge_equivocation_of_log(struct call *c, struct uuid coop, struct uuid agreement, struct str home, struct str first, struct str second);

/* The same for anything that one home has signed twice: `about` "log", "tombstones" or "words", `key` what makes it the same conflict (absent: the proof). Inside. */
CH_CHECK enum err merge_equivocation_in(struct call *c, struct uuid coop, struct uuid agreement, struct str home, const char *about, struct str key, struct str first, struct str second);
/* For tombstones: keeps the first of these lines, each signed by the co-op whose feed it is, that says something else than the line known at its place. Own transaction. */
struct onward_line;
CH_CHECK enum err merge_equivocation_of_feed(struct call *c, struct uuid coop, struct uuid agreement, struct str feed, const struct onward_line *lines, size_t n, bool *found);
/* Whether a home's log or tombstones contradict themselves, and no admin has looked yet. Inside. */
CH_CHECK enum err merge_in_doubt(struct call *c, struct uuid coop, struct str home, bool *out);
/* After a bundle was refused, while c->error says for what: keeps the proof where its sender contradicts what it had signed before. The error stays. Own transactions; what cannot be kept is logged. */
struct bundle_expected;
void merge_look_for_equivocation(struct call *c, struct uuid coop, struct bundle *b, const struct bundle_expected *x);

/* ---- Schema mappings ---- */

/* What the agreement says about records of a foreign schema: {"version":1,"maps":[{"from":"theirs","home":KEY NAME,"to":"ours","fields":{"ours":"theirs"|{"is":"theirs","values":{…}}}}]}.
 * Records themselves are never rewritten: their bytes are what their home has signed. Gives the content in our schema's words; ERR_NOT_FOUND where nothing maps it. Pure. */
CH_CHECK enum err merge_map_record(struct arena *a, const struct json *mappings, struct str home, const struct json *content, struct str *out, struct error *e);
/* What is wrong with such a table, for drafting an agreement. Pure. */
CH_CHECK enum err merge_mappings_check(struct arena *a, const struct json *mappings, struct error *e);

/* ---- Near duplicates ---- */

/* What the last run found. Advice: no item is kept out for it. */
struct merge_near_loss { struct str who; bool coop; int64_t texts, lost; bool fair; }; /* a contributor's pseudonym, or a co-op's key name */
struct merge_near_run {
	instant at;                     /* INSTANT_NONE: there was none */
	int64_t texts, clusters, near;  /* texts looked at, clusters, texts in them */
	int per_cent;                   /* the loss that is still accepted */
	bool fair;                      /* nobody would lose more */
	struct merge_near_loss *losses; /* those who would lose anything, the greatest share first; at most 100 */
	size_t n_losses;
};
struct merge_near_cluster { int64_t no; struct str *rids; size_t n; };
/* Clusters anew, as a job does after a bundle that brought rows; works through the contents of what stands. Outside a transaction. */
CH_CHECK enum err merge_near_run(struct call *c, struct uuid coop);
/* Admin. */
CH_CHECK enum err merge_near_read(struct call *c, struct uuid coop, struct str cursor, int limit, struct merge_near_run *run, struct merge_near_cluster **out, size_t *n, struct str *next_cursor);

extern const struct job_kind merge_jobs[]; /* ends with an empty entry */

#endif
