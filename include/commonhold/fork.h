/* fork.h - some members of a co-op go on by themselves: the offer, who goes along, the export, the founding of the fork, and its lineage.
 *
 * A fork takes along what is public anyway, the charter and the whole log, and the items of those who say yes. Each says it for themselves: silence is no, a delegate cannot say it, no
 * ballot stands in for it, and it is taken back at will until the export is made. The rest of the pool stays where it is.
 *
 * The fork's log begins with the leaves of its parent, byte for byte, so that anybody can prove the common prefix against a checkpoint that the parent signed; the leaf after them is
 * "coop.forked". What was moved stays the parent's to speak of: in the fork its people are guests (guest.h), under the word that the parent signed for them, until they prove that an account
 * there is theirs (link.h, or the claim that they were given when they said yes). A later merge of fork and parent is an agreement like any other.
 *
 * Never: moves anything of somebody who did not say yes; loosens what they said; gives the fork the parent's key, or a key under which its content was sealed.
 */
#ifndef COMMONHOLD_FORK_H
#define COMMONHOLD_FORK_H

#include "call.h"
#include "coop.h"
#include "crypto.h"
#include "job.h"

/* ---- The offer ---- */

/* X(name, word, sentence) */
#define FORK_STATES(X) \
	X(OPEN, "open", "Members are being asked.") \
	X(CLOSED, "closed", "The time to answer is over. It can be exported.") \
	X(EXPORTING, "exporting", "It is being exported: nobody joins it and nobody leaves it any more.") \
	X(EXPORTED, "exported", "Charter, log and the items of those who said yes were handed over.") \
	X(FOUNDED, "founded", "The fork stands.") \
	X(WITHDRAWN, "withdrawn", "Who offered it took it back.")
enum fork_state {
#define X(name, word, sentence) FORK_##name,
	FORK_STATES(X)
#undef X
	FORK_STATE_COUNT
};
const char *fork_state_word(unsigned state);
const char *fork_state_sentence(unsigned state);

#define FORK_TITLE_MAX 120     /* characters */
#define FORK_PLACE_MAX 300     /* bytes of an instance's address */
#define FORK_REASON_MAX 8000   /* characters */
#define FORK_ASK_MIN (7 * CLOCK_DAY)   /* members are asked at least so long … */
#define FORK_ASK_MAX (90 * CLOCK_DAY)  /* … and at most so long */
#define FORKS_OPEN 3           /* offers that may stand open in a co-op at once … */
#define FORKS_A_MONTH 3        /* … and that one member makes within 30 days, also those that they took back: each is told to every member */

/* What is offered. */
struct fork_draft {
	struct str title;      /* what the fork is to be called */
	struct str place;      /* https address of the instance where it is to live */
	struct str reason;     /* why, and what will be different: plain text */
	instant closes_at;     /* until when members are asked */
};
/* An offer as it stands. */
struct fork_offer {
	struct uuid coop, id;
	struct str title, place, reason;
	struct uuid by;           /* member who offers it */
	struct str by_name;       /* their pseudonym or public name */
	instant offered_at, closes_at, state_at;
	enum fork_state state;
	int64_t yes;              /* members who go along */
	int64_t members, items;   /* EXPORTED on: whose items, and how many, were handed over */
	int64_t size;             /* EXPORTED on: leaves of the log that fork and parent share */
	struct sha256 root;       /* EXPORTED on: over them */
	struct str fork_name;     /* EXPORTED on: the key name that it was exported for */
	struct str fork_url;      /* FOUNDED: where it is served from */
	bool answered, mine;      /* the acting member said something; what they said (silence is no) */
	int64_t my_items;         /* how many of theirs would go, or went, along */
};
/* Any member may, where members may put motions, and an admin where only they may; announced to every member at once. ERR_REFUSED "forks_open" where enough are open. */
CH_CHECK enum err fork_offer_make(struct call *c, struct uuid coop, const struct fork_draft *draft, struct fork_offer *out);
/* Members see the offers of their co-op; newest first. */
CH_CHECK enum err fork_offer_list(struct call *c, struct uuid coop, struct fork_offer **out, size_t *n);
CH_CHECK enum err fork_offer_read(struct call *c, struct uuid coop, struct uuid id, struct fork_offer *out);
/* Who offered it, or an admin, takes it back before it is exported. */
CH_CHECK enum err fork_offer_withdraw(struct call *c, struct uuid coop, struct uuid id, struct fork_offer *out);

/* What a member says about it, for themselves alone: ERR_FORBIDDEN for whoever does not act in a session or with a token of their own. A yes comes with a claim: 24 characters by which
 * they will show the fork that what came of theirs is theirs, even if the parent is gone by then; it is shown once, and only its hash is kept. Taken back until the export. */
#define FORK_CLAIM_TEXT 29 /* six groups of four, with hyphens between them */
CH_CHECK enum err fork_answer(struct call *c, struct uuid coop, struct uuid id, bool yes, struct fork_offer *out, struct str *claim);

/* ---- Export and founding ---- */

/* What the instance where the fork is to live asks with: the key that the fork will sign with, made there and never leaving it. Signed by that key. */
struct fork_request {
	struct uuid coop;          /* id that the fork will have */
	uint8_t public_key[32];    /* its first key */
	struct str key_name;       /* of it */
	struct str url;            /* base address of its instance */
	struct str text;           /* the signed request, as it is handed over */
};
#define FORK_REQUEST_TYPE "application/vnd.commonhold.fork-request+json"
#define FORK_REQUEST_MAX (16 * KIB)
#define FORK_TYPE "application/vnd.commonhold.fork+json" /* of fork.dsse.json, over the bytes of fork.json */
/* Makes the key of a fork that is to be founded here. */
CH_CHECK enum err fork_request_make(struct call *c, struct fork_request *out);
CH_CHECK enum err fork_request_read(struct arena *a, struct str text, struct fork_request *out, struct error *e);

/* What was handed over, or taken in. */
struct fork_report {
	struct str name;         /* key name of the co-op that it is about */
	int64_t leaves;          /* of the log */
	int64_t charters;        /* versions */
	int64_t members, items;  /* who goes along, and what */
	struct sha256 manifest;  /* of fork.json */
};
/* Exports a closed offer for who asks, into a new folder or (ending in .tar) file; an admin, or the operator. Own transactions; constant memory. Made again for the same request
 * it is the same fork with what stands now; for another one it is ERR_STATE. */
CH_CHECK enum err fork_export(struct call *c, struct uuid coop, struct uuid offer, struct str request, const char *path, struct fork_report *out);
/* Looks through an export without founding anything: signatures, the whole log against the checkpoint, charters against the log, every file against the manifest. */
CH_CHECK enum err fork_check(struct call *c, const char *path, struct fork_report *out);
/* Items (numbers) of those who went along with a fork of ours on which somebody said something: the words go wherever the fork may pass the item on. Inside. */
CH_CHECK enum err fork_moved_spoken(struct call *c, struct uuid coop, int64_t **items, size_t *n);

struct fork_founding {
	struct str slug;       /* its readable name here */
	struct str name;       /* what it is called in its charter; absent: as it was offered */
	struct str parent;     /* key name that the parent must have, as the founder was told it by other means */
};
/* Founds the fork from an export that was made for a request of this instance; the acting account is its first admin. The co-op with its log is there as a whole or not at all, and then so are the items:
 * where that was cut off, founding it again goes on with them. ERR_EXISTS "founded" once all is done. */
CH_CHECK enum err fork_found(struct call *c, const char *path, const struct fork_founding *how, struct coop *out, struct fork_report *report);
/* At the parent: the fork stands. Held against the lineage that the fork signed. Admin. */
CH_CHECK enum err fork_recognise(struct call *c, struct uuid coop, struct uuid offer, struct str lineage, struct fork_offer *out);
/* The acting member of a fork shows with the claim that they were given at the parent that a guest is they. ERR_NOT_FOUND for a claim that is nobody's. */
CH_CHECK enum err fork_claim(struct call *c, struct uuid coop, struct str claim, int64_t *items);

/* "fork.tell", "fork.close", "fork.feed" (daily): what the parent's people erase at the parent goes from the fork, agreement or not. */
extern const struct job_kind fork_jobs[];

#endif
