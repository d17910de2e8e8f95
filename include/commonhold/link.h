/* link.h - one person in two co-ops: who proves both accounts is one person from then on, and one "no" of theirs counts in both; and which co-op holds what of a person.
 *
 * Nobody is ever linked by a name, an address or a likeness. A person signs in at one co-op and is shown a code, of which the other co-op hears nothing; signs in at the other and types it there.
 * That one proves to the first, by a key that only the code gives and bound to both co-ops and to the contributor, that it was typed there and by whom (link.brought); the first, which alone can
 * tell, answers with its own proof (link.proved). So a co-op can link nobody who was not signed in at it with the code in hand, and neither can name another contributor afterwards. Then, in each of the
 * two, the guest and the member are read as one person (guest.h): the stricter word wins, counted once.
 *
 * Never: tells one co-op the account, address or name that a person has in the other; acts for one account in the other; loosens anything.
 */
#ifndef COMMONHOLD_LINK_H
#define COMMONHOLD_LINK_H

#include "call.h"
#include "coop.h"
#include "crypto.h"
#include "json.h"

#define LINK_CODE_TEXT 29              /* as fork.h's claim: six groups of four letters and digits */
#define LINK_CODE_LIFE (1 * CLOCK_HOUR) /* from being shown to being typed at the other co-op */
#define LINK_WORD_LIFE (7 * CLOCK_DAY)  /* from then on until both have heard of it: messages may go as files */
#define LINK_TRIES 3                    /* wrong proofs by the other co-op, from which a code is void */
#define LINKS_OPEN 5                    /* codes that one member may have out at once … */
#define LINKS_A_DAY 20                  /* … and that they are given within a day, also those that they took back: each is kept */

/* X(name, word, sentence) */
#define LINK_STATES(X) \
	X(OFFERED, "offered", "A code was given here; it has not been brought to the other co-op yet.") \
	X(BROUGHT, "brought", "You brought the code of the other co-op; it has not answered yet.") \
	X(STANDING, "standing", "Proved at both. One no of yours counts in both.") \
	X(ENDED, "ended", "You ended it.") \
	X(EXPIRED, "expired", "It ran out before both co-ops had seen the code.") \
	X(DECLINED, "declined", "Nothing came of it: no such code was given, it was over or used, or one of the accounts is linked with another. Take a new one.")
enum link_state {
#define X(name, word, sentence) LINK_##name,
	LINK_STATES(X)
#undef X
	LINK_STATE_COUNT
};
const char *link_state_word(unsigned state);
const char *link_state_sentence(unsigned state);

struct link {
	struct uuid coop, id;
	struct uuid peer;         /* the other co-op (peer.h); nil for a claim of a fork, which needs no message */
	struct str home;          /* its key name */
	struct str title;         /* what it is called */
	struct str contributor;   /* 32 hexadecimal digits: who the person is there, towards us; absent until it is proved */
	bool ours;                /* the code was given here */
	enum link_state state;
	instant at, state_at, expires_at;
	int64_t items;            /* that are here from there, as far as this guest's are */
};
/* The acting member of this co-op begins: shows the code, once; nothing is told to anybody. ERR_NOT_FOUND for a peer that is not known, ERR_REFUSED for one that is not confirmed. */
CH_CHECK enum err link_offer(struct call *c, struct uuid coop, struct uuid peer, struct link *out, struct str *code);
/* The acting member brings a code of the other co-op, which alone can tell whether it is one: LINK_BROUGHT until it answers. ERR_REFUSED "link_code" for one that was brought before. */
CH_CHECK enum err link_prove(struct call *c, struct uuid coop, struct uuid peer, struct str code, struct link *out);
/* The acting member's links; and ending one, here and there. What each account said itself stands on. */
CH_CHECK enum err link_list(struct call *c, struct uuid coop, struct link **out, size_t *n);
CH_CHECK enum err link_end(struct call *c, struct uuid coop, struct uuid id, struct link *out);
/* Somebody has shown otherwise (the claim of a fork) that a contributor of a home is a member of ours. ERR_EXISTS where that one is linked with somebody else. Inside. */
CH_CHECK enum err link_claimed(struct call *c, struct uuid coop, struct str home, const uint8_t contributor[16], struct uuid member);

/* Forgets the keys of codes that nobody can prove any more; a transaction of its own. */
CH_CHECK enum err link_forget(struct call *c, struct uuid coop);

/* Messages "link.brought", "link.proved", "link.declined", "link.ended" (message.h), inside the inbox's transaction. */
struct message;
CH_CHECK enum err link_take_brought(struct call *c, struct uuid coop, const struct message *m);
CH_CHECK enum err link_take_proved(struct call *c, struct uuid coop, const struct message *m);
CH_CHECK enum err link_take_declined(struct call *c, struct uuid coop, const struct message *m);
CH_CHECK enum err link_take_ended(struct call *c, struct uuid coop, const struct message *m);

/* ---- Which co-op holds what of mine ---- */

/* X(name, word): why something of a person is there */
#define HOLDS_HOWS(X) \
	X(HOME, "home")     /* the acting member contributed it here */ \
	X(SENT, "sent")     /* it went there under an agreement */ \
	X(MOVED, "moved")   /* it went along with a fork */ \
	X(GUEST, "guest")   /* it is here, from the person's account there */
enum holds_how {
#define X(name, word) HOLDS_##name,
	HOLDS_HOWS(X)
#undef X
	HOLDS_HOW_COUNT
};
const char *holds_how_word(unsigned how);
/* One co-op that holds something of the acting member's. */
struct holds {
	enum holds_how how;
	struct str name, title, url;  /* of that co-op; url may be absent */
	struct uuid under;            /* agreement, offer of a fork or link; nil for HOME */
	int64_t items;                /* how many */
	int64_t erased;               /* of them, erased here since, so that it was told to erase them too */
	int64_t confirmed;            /* of those, confirmed by it */
	instant since;                /* first of them */
	bool ended;                   /* nothing more goes there: the agreement or link is over */
};
/* The co-op itself first. Inside. */
CH_CHECK enum err holds_get(struct call *c, struct uuid coop, struct uuid member, struct holds **out, size_t *n);
/* Of the acting member. */
CH_CHECK enum err holds_mine(struct call *c, struct uuid coop, struct holds **out, size_t *n);
/* As schemas/holds.json has them. */
void holds_write(struct json_writer *w, struct arena *a, const struct holds *holds, size_t n);

#endif
