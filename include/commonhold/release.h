/* release.h - a release from its schedule to its publication: freeze, ballot, build, publish.
 *
 * scheduled -> frozen -> notice -> open -> passed -> cooling_off -> building -> published -> superseded | withdrawn; also failed, expired, cancelled. Each arrow is a row of a table
 * with its guard and sentence (release.c). Freezing decides every item at the cut-off and the ballot is about the digest of that set. Building decides again inside its own
 * transaction, with grants up to the cut-off and withdrawals up to now, so it can only remove; the artefact is a function of what was decided: the same bytes after any crash.
 */
#ifndef COMMONHOLD_RELEASE_H
#define COMMONHOLD_RELEASE_H

#include "call.h"
#include "coop.h"
#include "job.h"
#include "ledger.h"
#include "policy_analysis.h"

#define RELEASE_STATES(X) \
	X(SCHEDULED, "scheduled") X(FROZEN, "frozen") X(NOTICE, "notice") X(OPEN, "open") X(PASSED, "passed") X(FAILED, "failed") \
	X(COOLING_OFF, "cooling_off") X(BUILDING, "building") X(PUBLISHED, "published") X(SUPERSEDED, "superseded") X(WITHDRAWN, "withdrawn") \
	X(EXPIRED, "expired") X(CANCELLED, "cancelled")
enum release_state {
#define X(name, text) RELEASE_##name,
	RELEASE_STATES(X)
#undef X
	RELEASE_STATE_COUNT
};
const char *release_state_name(enum release_state s);
/* Every state can be reached and every edge is whole; checked at start. */
bool release_table_ok(void);

struct release {
	struct uuid id, coop;
	struct uuid ballot;               /* nil: none yet */
	struct uuid previous;             /* the last one published when it was built; nil: none */
	int charter;                      /* version whose rules it is under */
	enum release_state state;
	instant cutoff_at, state_at;      /* state_at: of the last change of state */
	instant frozen_at, build_after, published_at; /* INSTANT_NONE until then; build_after ends the cooling-off */
	struct str version;               /* "1.2.0"; absent until it is built */
	struct str spec;                  /* what it is for, from the charter when it was scheduled: canonical JSON */
	struct str failure;               /* why it failed, a sentence; absent otherwise */
	int64_t candidates, included, contributors; /* as frozen: items looked at, let in, and by how many people */
	int64_t built_items;              /* rows of the artefact */
	struct sha256 candidates_sha256;  /* of what was frozen: what the ballot is about; zeros before */
	struct sha256 manifest_sha256;    /* of the artefact; zeros before */
	struct sha256 seed;               /* of every order that a cap selects by */
	int64_t leaf;                     /* entry "release.published" in the log, or of the change just made; -1: none */
};

/* Makes the next release of the co-op's cadence known (job "release.schedule"): one per cut-off. `out` may be NULL. */
CH_CHECK enum err release_schedule_next(struct call *c, struct uuid coop, struct release *out);
/* The cut-offs of a charter after an instant, by RFC 5545 (libical). Pure. */
CH_CHECK enum err cadence_after(struct arena *a, struct str rrule, instant start, instant after, size_t max, instant **out, size_t *n, struct error *e);
/* Freezes at the cut-off (job "release.freeze"), opens the notice and creates the ballot. Repeating it changes nothing. */
CH_CHECK enum err release_freeze(struct call *c, struct uuid coop, struct uuid release);
/* Builds, verifies as an outsider would, logs, publishes (job "release.build"). Resumes after a crash at any point. */
CH_CHECK enum err release_build(struct call *c, struct uuid coop, struct uuid release);
/* Admin: cancel before it is built. */
CH_CHECK enum err release_cancel(struct call *c, struct uuid coop, struct uuid release, struct str reason, struct release *out);

CH_CHECK enum err release_read(struct call *c, struct uuid coop, struct uuid release, struct release *out);
/* The same inside an open transaction. */
CH_CHECK enum err release_get(struct call *c, struct uuid coop, struct uuid release, struct release *out);
/* By version, id, manifest digest (its 64 hex digits, or the first 40) or "latest". */
CH_CHECK enum err release_find(struct call *c, struct uuid coop, struct str name, struct release *out);
CH_CHECK enum err release_list(struct call *c, struct uuid coop, struct str state, struct str cursor, int limit, struct release **out, size_t *n, struct str *next_cursor);
/* Counts by outcome and reason at a stage ("frozen", "built"). */
struct reason_count { struct str reason; int64_t items; };
CH_CHECK enum err release_reasons(struct call *c, struct uuid coop, struct uuid release, const char *stage, struct reason_count **out, size_t *n);
/* What the next release would hold if it were cut now: counts, without writing anything. */
struct preview { int64_t candidates, included, contributors; struct reason_count *reasons; size_t n_reasons; };
CH_CHECK enum err release_preview(struct call *c, struct uuid coop, struct preview *out);

/* The same items decided under the charter in force and under one that is proposed (charter_as_adopted), without writing anything. `confirmed`: as if everybody whose consent
 * the proposal supersedes had confirmed it. */
struct what_if {
	instant at;                    /* as of when */
	int64_t candidates;            /* items looked at */
	int64_t included, contributors;             /* as the charter stands */
	int64_t included_after, contributors_after; /* under the proposal */
	struct policy_change change;   /* what moved, and why */
};
CH_CHECK enum err release_what_if(struct call *c, struct uuid coop, const struct charter *proposed, bool confirmed, struct what_if *out);

/* Files of a built release: path inside it, bytes, rows (0 for what is no shard). */
struct release_file { struct str path; int64_t size; struct sha256 sha256; int64_t rows; };
CH_CHECK enum err release_files(struct call *c, struct uuid coop, struct uuid release, struct release_file **out, size_t *n);
/* One of them by its exact path; ERR_NOT_FOUND. */
CH_CHECK enum err release_file_find(struct call *c, struct uuid coop, struct uuid release, struct str path, struct release_file *out);
/* Where a published release lies on disk. */
struct str release_dir(struct arena *a, struct uuid coop, struct uuid release);

/* How many items of each member, by number, a built release holds; `items` has n_members places. Inside. */
CH_CHECK enum err release_weights(struct call *c, struct uuid coop, struct uuid release, size_t n_members, int64_t *items);

/* The decision on one contribution in one release (or, with a nil release, if the next were cut now), explained in words. The actor's own items, or any for an admin. */
struct decision_line {
	struct str text;    /* a sentence in the policy's own terms */
	struct str reason;  /* its stable name … */
	unsigned no;        /* … and number */
	uint16_t uses;      /* bits: the uses it is about; 0: the item as a whole */
	struct str gate;
	bool determining;   /* it decides the outcome */
	struct str who;     /* who can change it */
	struct uuid control; /* the collective control that it is about; nil: none */
	struct str control_words; /* what that does, why, and until when; part of `text` too. Absent: none */
};
struct decision {
	enum policy_outcome outcome;
	struct release release;          /* nil id for the preview */
	struct decision_line *lines;
	size_t n_lines;
	struct str *fixes;               /* each a sentence: what, by whom */
	size_t n_fixes;
	instant retry_at;                /* INSTANT_NONE when time alone does not help */
	uint16_t duties;
	struct str *delegates;           /* who speaks for the contributor about the first use decided by a delegation, nearest first */
	size_t n_delegates;
	struct sha256 policy, snapshot, engine, trace;
};
CH_CHECK enum err release_explain(struct call *c, struct uuid coop, struct uuid contribution, struct uuid release, struct decision *out);
/* In which published releases a contribution is, and the decision in those where it is not. */
struct item_release { struct release release; enum policy_outcome outcome; uint64_t reasons; };
CH_CHECK enum err release_of_item(struct call *c, struct uuid coop, struct uuid contribution, struct item_release **out, size_t *n);
/* The same for a page of items and the latest release: outcomes by position. */
CH_CHECK enum err release_outcomes(struct call *c, struct uuid coop, struct uuid release, const int64_t *item_nos, size_t n, uint64_t *reasons);

extern const struct job_kind release_jobs[];

#endif
