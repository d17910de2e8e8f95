/* release_joint.h - what a release has to know of the other co-op when two co-ops release together; the acts between the two are merge/joint.c's.
 *
 * Each co-op has a release of its own for it, with the same joint id, cut-off and document: the maker's becomes an artefact, the partner's ends in `joined`. Each decides its own pool by the
 * document's rules, which are the stricter of both charters and of the agreement. Both must come to the same set before anybody votes, and to the same set again when it is built.
 *
 * The set is compared by federated ids, never by item numbers: an item is a leaf SHA-256("commonhold/joint/item/1\n" rid "\n" content hash), an exact duplicate one leaf for each of
 * its origins. Leaves are sorted and cut into 256 buckets by their first byte; the set's digest is over the document's digest and the buckets'. A difference so has a place.
 * This half never sends anything and never decides for the other co-op.
 */
#ifndef COMMONHOLD_RELEASE_JOINT_H
#define COMMONHOLD_RELEASE_JOINT_H

#include "release.h"

#define JOINT_BUCKETS 256
/* A set of items that both co-ops can come to by themselves. */
struct joint_set {
	struct sha256 *leaves;                /* sorted after joint_set_seal */
	size_t n, cap;                        /* how many, and places there are */
	struct sha256 buckets[JOINT_BUCKETS]; /* of the sorted leaves with that first byte; zeros for an empty one */
	struct sha256 digest;                 /* of "commonhold/joint/set/1\n", the document's digest and the buckets' */
};
struct sha256 joint_leaf(struct str rid, struct sha256 content);
/* Sorts, drops what is there twice, digests. */
void joint_set_seal(struct joint_set *set, struct sha256 document);

#endif
