/* joint.h - releases that two co-ops make together over their merged pools: proposed, frozen alike, voted on in each, built by one, signed by both.
 *
 *   propose    an admin of the maker named in the agreement asks for one; both co-ops schedule a release with the same cut-off and document
 *   freeze     at the cut-off each decides its own pool by the document and tells the other the digests of its set. They go on when the digests are equal; until then each says in
 *              which places they differ, and tries again when a bundle has come
 *   vote       each co-op holds its own ballot of kind `release` under its own rule on that one digest. Where one fails, the release ends in both
 *   build      after the longer cooling-off the maker builds, the partner decides once more, compares the set that was built with its own and signs the manifest, or says why not
 *   publish    DSSE with both signatures; the partner lists it. Either can withdraw it
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
	struct uuid id;              /* the same in both */
	struct uuid release;         /* the co-op's own release for it */
	struct uuid agreement;       /* the co-op's row of the agreement */
	bool maker;                  /* this co-op builds and publishes it */
	struct str partner;          /* key name of the other */
	struct str document;         /* canonical JSON: what it is made by, the same in both */
	struct sha256 digest;        /* of the set that both froze: what both ballots are about; zeros before */
	struct str differs;          /* where the two sets differ, or why the partner does not sign: a sentence; absent: nowhere */
	struct str state;            /* of the release (release_state_name) */
	struct str partner_state;    /* what the partner last said: proposed, frozen, passed, failed, signed, published, withdrawn, cancelled */
	struct str version;          /* the maker's version of it; absent before it is published */
	struct str url;              /* where the maker serves it; absent before */
	instant cutoff_at, published_at, withdrawn_at; /* INSTANT_NONE until then */
};

#endif
