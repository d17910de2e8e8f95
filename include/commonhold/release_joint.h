/* release_joint.h - what a release has to know of the other co-op when two co-ops release together; the acts between the two are merge/joint.c's.
 *
 * Each co-op has a release of its own for it, with the same joint id, cut-off and document: the maker's becomes an artefact, the partner's ends in `joined`. Each decides its own pool by the
 * document's rules, which are the stricter of both charters and of the agreement; how people speak (defaults, delegations, consent) is their home's business on each side. Both must come to
 * the same set before anybody votes, and to the same set again when it is built.
 *
 * The set is compared by federated ids, never by item numbers: an item is a leaf SHA-256("commonhold/joint/item/1\n" rid "\n" content hash), an exact duplicate one leaf for each of
 * its origins. Leaves are sorted and cut into 256 buckets by their first byte; the set's digest is over the document's digest and the buckets'. A difference so has a place.
 *
 * In a collection a row goes to the shard of the licence under which all of its origins may go out by the table of licences, the lowest where there are several; where there is none the row is
 * left out with LIC_INCOMPATIBLE and counted. Each origin keeps saying what it was given under.
 *
 * Sets that go on differing do not end it: the maker's admins can go on with what both have. The leaves that only one of the sets has are told, at most JOINT_WITHOUT_MAX, and both leave their items
 * out with PARTNER_DIFFERS, until the sets are the same. The ballots are about what is left, and their question says how many are not in it.
 *
 * The document is canonical JSON (schemas/joint_document.json), the same in both: {"agreement":HEX,"audience","charters":[{"coop","digest","name","version"},…] by key name,"cutoff","embargo":seconds,
 * "id","k","kinds":[…],"licence_mode","maker":key name,"outputs":[SPDX…],"purposes":[…],"retention":seconds,"seed":HEX,"uses":[…],"uses_conditional":[…],"v":1}.
 *
 * A redaction of it only leaves out, so that nobody votes again: the partner is asked for its signature, checks that every item of the redaction was in what it signed and has not been erased at its
 * home's word since, and signs. What was erased does not wait for it: after JOINT_REDACTION_WAITS the redaction is published with the maker's signature alone, says so, and the partner's is put
 * beside it as partner.dsse.json when it comes.
 *
 * Who withdraws it withdraws what was made of it, too: the release or the redaction that stands, and one under way. Nothing is published in its place, and the partner signs nothing more of it. That is
 * told as `final`; a release that gives way to a redaction is withdrawn without it.
 *
 * Leaves and manifests that are too long for a message are told by their digest, and the other gets them (joint.h).
 *
 * This half never sends anything and never decides for the other co-op; what must be told queues the job "joint.tell".
 */
#ifndef COMMONHOLD_RELEASE_JOINT_H
#define COMMONHOLD_RELEASE_JOINT_H

#include "release.h"

#define JOINT_REDACTION_WAITS CLOCK_HOUR         /* for the partner's signature */
#define JOINT_PARTNER_SEAL "partner.dsse.json"   /* beside a redaction that was published before it */
#define JOINT_LEAVES_MAX ((size_t)2 << 20)       /* that are told at all: where sets differ in more, only in which parts */
#define JOINT_LEAVES_TOLD 8192                   /* in a message; more are got */
#define JOINT_MANIFEST_TOLD (400 * KIB)          /* the same for a manifest */
#define JOINT_WITHOUT_MAX 4096                   /* leaves that are left out for being in one set alone */
/* Other numbers for the two before; tests make the others get what is small. */
void joint_tell_at_most(size_t leaves, size_t manifest);
/* And for this one. */
void joint_leave_out_at_most(size_t leaves);

#define JOINT_BUCKETS 256
/* A set of items that both co-ops can come to by themselves. */
struct joint_set {
	struct sha256 *leaves;                /* sorted after joint_set_seal */
	size_t n;                             /* how many */
	struct sha256 buckets[JOINT_BUCKETS]; /* of the sorted leaves with that first byte; zeros for an empty one */
	struct sha256 digest;                 /* of "commonhold/joint/set/1\n", the document's digest and the buckets' */
};
struct sha256 joint_leaf(struct str rid, struct sha256 content);
/* Sorts, drops what is there twice, digests. */
void joint_set_seal(struct joint_set *set, struct sha256 document);
/* The set as it is told: 32 bytes of its digest and 32 a bucket. And the digest of such a text, when the buckets are those that it is of; false otherwise. */
#define JOINT_SET_BYTES (32 * (JOINT_BUCKETS + 1))
struct str joint_set_bytes(struct arena *a, const struct joint_set *set);
CH_CHECK bool joint_set_read(struct str bytes, struct sha256 document, struct sha256 *digest);

/* The rules of a release by such a document: both charters' and the document's, the stricter of each; only how people speak is `ours`. Pure: `mem` holds what is joined. */
struct json;
CH_CHECK enum err joint_rules(const struct charter *ours, const struct charter *theirs, const struct json *document, instant cutoff, instant at, struct policy_mem *mem, struct policy_spec *out,
	struct error *e);
/* A charter's rules for a release of its own, at an instant. Pure. */
void release_rules(const struct charter *charter, instant at, struct policy_spec *out);

struct release_joint;
/* Every item of a co-op's own as it would be decided now: by its charter alone, and by such a document. The rules over the set (k, licences of the pool) are not applied: they are about both pools. */
struct release_trial {
	instant at;
	size_t n;                           /* items, in order of their number */
	const uint64_t *words, *more;       /* policy words; tombstones and guests' items among them */
	const uint32_t *members;
	const uint8_t (*ids)[16], (*hashes)[32];
	const policy_reasons *alone, *joint; /* by item */
	size_t n_members;                   /* member numbers there are */
	const struct policy_member *people; /* by number */
	const struct policy_row *rows;      /* by number * POLICY_KIND_COUNT + kind: what each says about the document's uses */
	uint32_t notice_min;                /* oldest words on which consent counts */
};
/* `together` gives document and partner_charter. Memory of the call's arena. Opens its own transactions. */
CH_CHECK enum err release_try(struct call *c, struct uuid coop, const struct release_joint *together, struct release_trial *out);

/* What the other co-op last said of it. */
#define JOINT_STATES(X) \
	X(PROPOSED, "proposed")   /* scheduled there; its set may be known */ \
	X(FROZEN, "frozen")       /* both sets are the same: the vote is under way there */ \
	X(PASSED, "passed")       /* its members have agreed, and its cooling-off is over */ \
	X(FAILED, "failed")       /* they have not, or too little was left */ \
	X(PUBLISHED, "published") \
	X(WITHDRAWN, "withdrawn") \
	X(CANCELLED, "cancelled")
enum joint_state {
#define X(name, text) JOINT_##name,
	JOINT_STATES(X)
#undef X
	JOINT_STATE_COUNT
};
const char *joint_state_name(enum joint_state s);
CH_CHECK bool joint_state_parse(struct str word, enum joint_state *out);
/* What a release's state is called towards the other co-op. */
enum joint_state joint_state_of(enum release_state s);

/* A joint release as one of the two co-ops sees it. */
struct release_joint {
	struct uuid coop, id, release, agreement; /* release: the co-op's own for it */
	bool maker;                    /* this co-op builds and publishes it */
	struct str partner;            /* key name of the other */
	uint8_t partner_key[32];       /* that it signs with now */
	struct str partner_keys;       /* its keys.json, which leads there from its name */
	struct str document;           /* canonical JSON */
	struct sha256 document_sha256; /* of it */
	struct str partner_charter;    /* the other's charter, canonical JSON */
	struct str ours, theirs;       /* sets as told (joint_set_bytes); absent: not known yet */
	struct str our_leaves;         /* to be told, where the sets differ */
	struct str their_leaves;       /* of the parts that differ, 32 bytes each; absent: not asked for */
	struct str differs;            /* where the sets differ, or why the other does not sign; absent: nothing */
	bool narrows;                  /* it goes on with what both sets have */
	struct str without;            /* leaves that are left out for that, ascending; absent: none */
	struct str left_out;           /* which items of ours these are and why, in words; absent: none */
	enum joint_state partner_state;
	struct str partner_ballot;     /* JSON {"closed_at","id"} of the other's ballot; absent until it passed */
	struct str partner_version, partner_url; /* the maker's version, and where it is; absent until it is published */
	struct str manifest;           /* to be signed by the partner; absent: none yet */
	struct sha256 manifest_sha256; /* of it; zeros */
	struct str signature;          /* the partner's, 64 bytes; absent: none */
	bool ended;                    /* one of the two withdrew it for good: nothing of it is published any more, nor made of it */
	instant heard_at;              /* INSTANT_NONE: nothing was heard */
	instant published_at;          /* INSTANT_NONE until then */
};
/* Both inside; ERR_NOT_FOUND. */
CH_CHECK enum err release_joint_get(struct call *c, struct uuid coop, struct uuid id, struct release_joint *out);
CH_CHECK enum err release_joint_take(struct call *c, struct uuid coop, struct uuid id, struct release_joint *out); /* locked for a change */
/* Newest first, at most LIMIT_PAGE; inside. */
CH_CHECK enum err release_joint_list(struct call *c, struct uuid coop, struct release_joint **out, size_t *n);

/* Schedules the co-op's release for it; the fields of `in` up to partner_charter are given. ERR_EXISTS where another release has that cut-off. Inside. */
CH_CHECK enum err release_joint_schedule(struct call *c, const struct release_joint *in, struct release *out);
/* What the other has said, noted; what follows from it is queued or done: a set lets the freezing be tried again, `passed` lets the maker build, an end ends ours with the sentence `why`. Inside. */
struct joint_word {
	enum joint_state state;
	instant at;                    /* when it was written: what was written before the last word heard is not heard */
	struct str set, leaves;        /* absent: not said */
	struct str without;            /* of the maker: what is left out; absent */
	struct str ballot;             /* JSON; absent */
	struct str manifest;           /* to be signed; absent */
	struct str signature;          /* of the manifest with this digest; absent */
	struct sha256 manifest_sha256;
	struct sha256 leaves_sha256;   /* of leaves that are not said here, since they are too many; zeros */
	struct str differs;            /* why it goes on trying; absent */
	uint8_t key[32];               /* that the other signs with now */
	struct str keys;               /* and its keys.json */
	struct str version, url;       /* absent */
	struct str why;                /* of an end; absent */
	bool final;                    /* withdrawn for good, by one of the two; not until a redaction takes its place */
};
CH_CHECK enum err release_joint_hear(struct call *c, struct uuid coop, struct uuid id, const struct joint_word *word);
/* What there is to say now. Inside. */
CH_CHECK enum err release_joint_word(struct call *c, const struct release_joint *j, struct joint_word *out);
/* Decides once more, compares with the manifest that the maker asks to have signed, and signs it or notes why not (job "joint.sign"). Opens its own transactions. */
CH_CHECK enum err release_joint_sign(struct call *c, struct uuid coop, struct uuid id);
/* Papers that were got from the other by the digests that it told; absent ones are left. What follows is queued. Inside. */
CH_CHECK enum err release_joint_papers(struct call *c, struct uuid coop, struct uuid id, struct str manifest, struct str leaves);
/* Puts the partner's signature beside a redaction that was published without it (job "joint.seal"). Opens its own transaction. */
CH_CHECK enum err release_joint_seal(struct call *c, struct uuid coop, struct uuid id);
/* The maker goes on with what both sets have; ERR_STATE unless both are known and differ. Inside. */
CH_CHECK enum err release_joint_narrow(struct call *c, const struct release_joint *j);
/* Ends ours: cancelled before it is published, withdrawn after, with all that was made of it where that is `final`. Inside. */
CH_CHECK enum err release_joint_end(struct call *c, const struct release_joint *j, struct str why, bool final);

#endif
