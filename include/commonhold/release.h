/* release.h - a release from its schedule to its publication: freeze, ballot, build, publish.
 *
 * scheduled -> frozen -> notice -> open -> passed -> cooling_off -> building -> published -> superseded | withdrawn; also failed, expired, cancelled. Each arrow is a row of a table
 * with its guard and sentence (release.c). A redaction release begins at `redacting`, from where it is published, failed or
 * cancelled: it is an earlier one without what was erased since, and needs no ballot. Freezing decides every item at the cut-off and the ballot is about the digest of that set. Building decides again inside its own
 * transaction, with grants up to the cut-off and withdrawals up to now, so it can only remove; the artefact is a function of what was decided: the same bytes after any crash.
 */
#ifndef COMMONHOLD_RELEASE_H
#define COMMONHOLD_RELEASE_H

#include "call.h"
#include "coop.h"
#include "job.h"
#include "ledger.h"
#include "lifecycle.h"
#include "policy_analysis.h"

#define RELEASE_STATES(X) \
	X(SCHEDULED, "scheduled") X(FROZEN, "frozen") X(NOTICE, "notice") X(OPEN, "open") X(PASSED, "passed") X(FAILED, "failed") \
	X(COOLING_OFF, "cooling_off") X(BUILDING, "building") X(PUBLISHED, "published") X(SUPERSEDED, "superseded") X(WITHDRAWN, "withdrawn") \
	X(EXPIRED, "expired") X(CANCELLED, "cancelled") X(REDACTING, "redacting") X(JOINED, "joined") X(LEFT, "left")
enum release_state {
#define X(name, text) RELEASE_##name,
	RELEASE_STATES(X)
#undef X
	RELEASE_STATE_COUNT
};
const char *release_state_name(enum release_state s);
/* The table of a release's life; every edge but the first ones has its leaf. */
extern const struct lifecycle release_life;

struct release {
	struct uuid id, coop;
	struct uuid ballot;               /* nil: none yet */
	struct uuid joint;                /* of two co-ops together (release_joint.h); nil: of this one alone */
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
	struct uuid redacts;              /* the release that this one is without what was erased; nil: an ordinary one */
	instant withdrawn_at, cleared_at; /* INSTANT_NONE: not withdrawn; its data are still on disk */
	struct str withdrawn_why;         /* a sentence; absent unless it was withdrawn */
	int64_t tombstones_from, tombstones_upto; /* withdrawn for some of these tombstones, all that were made in the same hours; -1: for none */
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
	struct str *elsewhere;           /* what other contributors of the same content say in other co-ops that keeps it back, as of now: sentences */
	size_t n_elsewhere;
	struct sha256 policy, snapshot, engine, trace;
};
CH_CHECK enum err release_explain(struct call *c, struct uuid coop, struct uuid contribution, struct uuid release, struct decision *out);
/* In which published releases a contribution is, and the decision in those where it is not. */
struct item_release { struct release release; enum policy_outcome outcome; uint64_t reasons; };
CH_CHECK enum err release_of_item(struct call *c, struct uuid coop, struct uuid contribution, struct item_release **out, size_t *n);
/* The same for a page of items and the latest release: outcomes by position. */
CH_CHECK enum err release_outcomes(struct call *c, struct uuid coop, struct uuid release, const int64_t *item_nos, size_t n, uint64_t *reasons);

/* ---- taking back (holding.c, redact.c, patch.c) ----
 *
 * A version that holds an erased item is withdrawn in the transaction that writes the tombstone, and answers 410 from then on. Job "release.redact" then makes, from the last version ever
 * published if that was withdrawn for tombstones, a redaction release: same cut-off, charter, ballot and shards, only without what may no longer be in it. Older versions get none:
 * their holders move to the newest. When it is published, or cannot be, the data of the withdrawn versions go from disk.
 *
 * Where things are served (PATHS is /api/v1/coops/{coop}/releases/{version}/files/, gated like all files of that version; Hub: /datasets/{coop}/releases/resolve/{version}/):
 *   PATHSpatches/<from>--<to>.redact.jsonl    of version <to>: what turns the shards of <from> into its own
 *   PATHSdata/<kind>/….jsonl.gz               its shards;  PATHSmanifest.json, manifest.dsse.json, SHA256SUMS, SHA256SUMS.minisig, checkpoint, release.tlog-proof, tombstones.jsonl, README.md …
 *   GET /api/v1/coops/{coop}/releases/{version}/files     the list of all of them (release_files)
 *   GET /api/v1/coops/{coop}/status.json      signed: usable, withdrawn, min_usable, tombstones_upto
 * Any file of a withdrawn version answers 410, problem+json with the members "withdrawn": {"version","reason","at","tombstones":{"from","upto"} or null,"feed": path of the tombstones since then,
 * "move_to": version or null,"patch": path of the patch from the withdrawn version to move_to, or null}.
 *
 * A patch is NDJSON of canonical JSON, one line for each shard of <from> that changes, in byte order of path; shards that it does not name are the same file, byte for byte, in both:
 *
 *   {"path":P,"path_after":P or null,"raw_sha256":HEX,"raw_sha256_after":HEX or null,"rows":[0,17,…],"sha256_after":HEX or null,"size_after":N or null}
 *
 *   path         shard of <from>;  raw_sha256: of its lines before, uncompressed, as in the manifest of <from>
 *   rows         numbers of the lines that go, from 0, ascending, none twice, at least one
 *   path_after   the shard in <to>: always the same path, since the cut is kept; null: nothing is left of it, so rows names all of its lines and there is no such file in <to>
 *   *_after      the lines that stay, in their order, and the file, as the manifest of <to> gives them: gzip as gz_writer makes it (level 6, gzip.h), so that applying gives the very file
 * All files outside data/ are <to>'s own, and are fetched. The shards of <to> are exactly those of <from> that the patch does not name and those that it names with a path_after.
 */

/* Which versions hold which of some items. */
struct release_holding {
	struct release *releases;  /* published, superseded or withdrawn ones that hold at least one of the items, oldest first */
	size_t n;                  /* how many */
	uint64_t *bits;            /* item i is in release r: bit r % 64 of bits[i * words + r / 64] */
	size_t words, n_items;     /* words an item; items asked about */
};
/* Asks by item number, reading the stored decisions of only those segments that an item is in. Inside. */
CH_CHECK enum err release_holding(struct call *c, struct uuid coop, const int64_t *items, size_t n, struct release_holding *out);
/* The versions that hold the item at place i of those asked about, oldest first. */
size_t release_holding_versions(struct arena *a, const struct release_holding *h, size_t i, struct str **out);
static inline bool release_holds(const struct release_holding *h, size_t item, size_t release) { return h->bits[item * h->words + release / 64] >> release % 64 & 1; }

/* Withdraws a published or superseded version: event, leaf "release.withdrawn", notice to the members. `why` is a sentence for people; [from, upto] the tombstones that it is withdrawn for
 * (-1, -1: none). Once more for a version that was withdrawn already widens that range and nothing else. Inside; the log is locked from here on. */
CH_CHECK enum err release_withdraw(struct call *c, struct uuid coop, struct uuid release, struct str why, int64_t from, int64_t upto);
/* Queues job "release.redact" of the co-op for `due` (deletion.gather after the erasure); an earlier one that waits is kept. Inside. */
CH_CHECK enum err release_redact(struct call *c, struct uuid coop, instant due);
/* What the job does: builds and publishes the redaction release if one is due, or finds that there can be none and says so in the withdrawn version's `failure`; then deletes the data
 * of every withdrawn version. Resumes after a crash at any point; repeating it changes nothing. Opens its own transactions. */
CH_CHECK enum err release_redact_now(struct call *c, struct uuid coop);
/* Deletes the data of a withdrawn version from disk (its manifest, signatures, proofs and documents stay, for audits). Refused while a usable version holds what it was withdrawn for. Own transactions. */
CH_CHECK enum err release_clear(struct call *c, struct uuid coop, struct uuid release);
/* How many versions that were withdrawn for tombstones up to `upto` still have data on disk: 0 when the files are gone. Inside. */
CH_CHECK enum err release_not_cleared(struct call *c, struct uuid coop, int64_t upto, int64_t *n);
/* The version that holders of a withdrawn one move to: the newest published; ERR_NOT_FOUND: none. *patch is the path of the patch in it that leads there from `from`, absent when there is none.
 * Inside. */
CH_CHECK enum err release_move_to(struct call *c, const struct release *from, struct release *to, struct str *patch);
/* Versions of all co-ops withdrawn for tombstones longer ago than their charters' deletion.redact_within whose data are still on disk: gauge commonhold_redactions_overdue. */
CH_CHECK enum err release_redactions_overdue(struct call *c, int64_t *n);

extern const struct job_kind release_jobs[];

#endif
