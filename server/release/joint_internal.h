/* joint_internal.h - what the files about joint releases share with those that make releases. */
#ifndef COMMONHOLD_RELEASE_JOINT_INTERNAL_H
#define COMMONHOLD_RELEASE_JOINT_INTERNAL_H

#include "commonhold/release_joint.h"

#include "release_internal.h"

/* ---- joint.c ---- */

/* The joint release that a release is its co-op's part of. Inside. */
CH_CHECK enum err joint_of(struct call *c, const struct release *r, struct release_joint *out);
/* Notes what this co-op decided, and its leaves where the other's differ (absent: nowhere). Inside. */
CH_CHECK enum err joint_set_ours(struct call *c, const struct release_joint *j, struct str ours, struct str leaves, struct str differs);
/* Notes what both leave out, and which of ours these are; absent ones are left as they are. Inside. */
CH_CHECK enum err joint_set_without(struct call *c, const struct release_joint *j, struct str without, struct str left_out);

/* ---- joint_decide.c ---- */

/* The specification and the charter's numbers of `d`, made those of a joint release with this document and this partner's charter. `r` may be NULL. */
CH_CHECK enum err joint_spec(struct call *c, const struct release_joint *j, const struct release *r, instant cutoff, instant at, struct decided *d);
/* The same for the one that r is part of. */
CH_CHECK enum err joint_spec_of(struct call *c, const struct release *r, instant cutoff, instant at, struct decided *d);
/* decide.c: every item now, before the rules over the set, by the charter alone or (`together`: document and partner's charter) as in a joint release. */
CH_CHECK enum err decide_trial(struct call *c, struct uuid coop, const struct release_joint *together, instant at, struct decided *d);
/* decide.c: adds PARTNER_DIFFERS to the items that d->without names. Inside. */
CH_CHECK enum err joint_leave_out(struct call *c, struct decided *d);
/* Which items these are and what else keeps them back, in words; absent: none. Inside. */
CH_CHECK enum err joint_left_out(struct call *c, struct decided *d, struct str *out);
/* joint_narrow.c: what only one of the two sets has. */
struct joint_apart {
	enum { JOINT_APART_UNKNOWN, JOINT_APART_KNOWN, JOINT_APART_TOO_MANY } found; /* not all of it is known yet; it is; it is more than may be left out */
	size_t n;             /* leaves that one alone has, unless unknown */
	struct str without;   /* these with what was left out before, ascending, where known */
};
struct joint_apart joint_apart(struct arena *a, const struct release_joint *j, struct str ours, struct str our_leaves);
/* That it is too many, and what to do. */
struct str joint_too_many(struct arena *a, const struct release_joint *j, const struct joint_apart *apart);
/* The set of what was decided to be in; of a redaction with the origins that its base names (`kept`; NULL or not known: those that stand now). */
CH_CHECK enum err joint_set_of(struct call *c, struct decided *d, const struct release_joint *j, const struct kept *kept, struct joint_set *out);
/* Whether a leaf is among sorted ones. */
bool joint_set_has(const struct sha256 *leaves, size_t n, struct sha256 leaf);
/* Our leaves in the parts where the other's set differs; absent where nothing does, or where they are more than are told. */
struct str joint_leaves_of_difference(struct arena *a, const struct release_joint *j, const struct joint_set *ours);
/* Where our set and the other's differ, a sentence; absent where they do not. `theirs` as told. */
CH_CHECK enum err joint_difference(struct call *c, struct decided *d, const struct release_joint *j, const struct joint_set *ours, struct str *out);

/* ---- joint_freeze.c ---- */

/* What there is to do at the cut-off, or when the other was heard. Of a release that may not be frozen any more, the end is noted. Inside. */
enum joint_step {
	JOINT_DECIDE,  /* decide, and tell the other */
	JOINT_WAIT,    /* decided and told; the other was not heard yet */
	JOINT_AGREE,   /* the other came to the same set: r->candidates_sha256 */
	JOINT_OVER,    /* it was cancelled just now: the charter has changed, or they never came to the same set */
};
CH_CHECK enum err joint_look(struct call *c, struct release *r, enum joint_step *out);
/* Compares what was decided now with what the other said, and gives the digest that both vote on; tries again later where they differ. Inside. */
CH_CHECK enum err joint_compare(struct call *c, struct release *r, struct decided *d, bool *agreed);
/* Title and question of the ballot. Inside. */
CH_CHECK enum err joint_question(struct call *c, const struct release *r, struct str when, struct str *title, struct str *question);

/* ---- joint_build.c ---- */

/* Whether the release may be built here now: the maker's, once the partner's members have agreed too. Inside. */
CH_CHECK enum err joint_may_build(struct call *c, const struct release *r, bool *go);
/* What the manifest of a joint release needs: the other's side and the set that was built. Into a->joint. Inside. */
CH_CHECK enum err joint_artefact(struct artefact *a);
/* joint.json and partner.keys.json, among the documents. */
CH_CHECK enum err joint_documents(struct artefact *a);
/* The manifest's member "joint". */
void joint_manifest(struct artefact *a, struct json_writer *w);
/* The envelope over the manifest: with the partner's signature where it signed this very one (a->joint->signed_by_both). */
struct str joint_envelope(struct artefact *a, struct str manifest, struct sha256 digest);
/* Whether what was staged waits for the partner's signature: a release for as long as it takes, a redaction for a while. */
bool joint_waits(const struct artefact *a);
/* Asks the partner to sign what was staged. Inside. */
CH_CHECK enum err joint_ask_signature(struct artefact *a, struct sha256 digest);

/* What an artefact knows of its other co-op. */
struct artefact_joint {
	struct release_joint j;
	struct joint_set set;      /* of what is built */
	instant closed_at;         /* of our ballot */
	struct str manifest;       /* as written */
	bool signed_by_both;
};

#endif
