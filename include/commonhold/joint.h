/* joint.h - releases that two co-ops make together over their merged pools: proposed, frozen alike, voted on in each, built by one, signed by both.
 *
 *   propose    an admin of the maker named in the agreement asks for one; both co-ops schedule a release with the same cut-off and document
 *   freeze     at the cut-off each decides its own pool by the document and tells the other the digests of its set. They go on when the digests are equal; until then each says in
 *              which places they differ, and tries again
 *   vote       each co-op holds its own ballot of kind `release` under its own rule on that one digest. Where one fails, the release ends in both
 *   build      after the longer cooling-off the maker builds, the partner decides once more, compares the set that was built with its own and signs the manifest, or says why not
 *   publish    DSSE with both signatures; the partner lists it. Either can withdraw it
 *
 * Two messages carry all of it: "joint.proposed" {"charter","document"}, and "joint.state", which always says the whole of what there is to say, so that the last word is enough:
 * {"ballot","differs","final","joint","leaves","leaves_sha256","manifest","manifest_sha256","set","signature","state","url","version","why","without"}.
 *
 * What is too long for a message is told by its digest alone; the other gets it at GET /coops/{coop}/merge/agreements/{agreement}/joint-releases/{joint}/{manifest|leaves}, where it proves itself as
 * for bundles (job "joint.fetch").
 *
 * Who did not agree to a release never signs it: the partner's key signs only a manifest whose set it has computed itself. Nothing here changes what a person has said.
 */
#ifndef COMMONHOLD_JOINT_H
#define COMMONHOLD_JOINT_H

#include "call.h"
#include "crypto.h"
#include "job.h"
#include "release_joint.h"

/* A joint release as one of the two co-ops sees it. */
struct joint {
	struct release_joint j;      /* as kept */
	struct release release;      /* the co-op's own part of it */
	struct str partner_title;    /* what the other is called */
	struct str version, url;     /* where it is published; absent before */
};

/* Admin of the maker: proposes one under an agreement in effect. `cutoff` INSTANT_NONE: as soon as both charters' leads allow. ERR_REFUSED with the reason "not_maker", "no_joint_releases",
 * "charter_changed"; ERR_INVALID at /cutoff when that is sooner than the longer lead. */
CH_CHECK enum err joint_propose(struct call *c, struct uuid coop, struct uuid agreement, instant cutoff, struct joint *out);
/* Admin of the maker, while the two sets differ: goes on with what both have. What only one has is left out on both sides and listed. ERR_STATE otherwise; ERR_REFUSED
 * "joint_too_different" where that is more than JOINT_WITHOUT_MAX leaves, with what to do. */
CH_CHECK enum err joint_narrow(struct call *c, struct uuid coop, struct uuid id, struct joint *out);
/* Admin of either: ends it before it is published, withdraws it after, with the redactions that took its place; the other follows. */
CH_CHECK enum err joint_withdraw(struct call *c, struct uuid coop, struct uuid id, struct str reason, struct joint *out);
CH_CHECK enum err joint_read(struct call *c, struct uuid coop, struct uuid id, struct joint *out);
/* Newest first, at most LIMIT_PAGE. */
CH_CHECK enum err joint_list(struct call *c, struct uuid coop, struct joint **out, size_t *n);

/* Messages. */
struct message;
CH_CHECK enum err joint_take_proposed(struct call *c, struct uuid coop, const struct message *m);
CH_CHECK enum err joint_take_state(struct call *c, struct uuid coop, const struct message *m);

/* "joint.tell" {"coop","release"}: tells the other how it stands here. "joint.sign": looks at what was built, and signs it. "joint.ended" {"coop","agreement"}: ends what was not published yet when
 * the agreement is suspended or over. */
extern const struct job_kind joint_jobs[];

#endif
