/* guest.h - people of other co-ops whose items are here under an agreement, and what a co-op tells others of its own people.
 *
 * A guest has a number out of the same sequence as members and a content key, and is nothing else: no account, no vote, on no roll, in no list or count of members. What they say is what
 * their home co-op signed: its latest word (greatest rev) replaces the one before. The policy engine sees guests as members whose words are
 *
 *   said        their own words, layers 1 and 2; permissions only of uses that the agreement allows
 *   spoken_for  what their home resolved where they said nothing: layer 4, a subgroup for each distinct one
 *   the agreement's limits: a denial in layer 0, which nobody lifts, of every use that it does not allow, of its floor and of wider audiences; purposes intersect
 *   standing    as at home; lapsed while the source is suspended, ended, or was not heard of in time
 *
 * The co-op's own defaults never speak for a guest: silence is held. Nothing here may ever loosen what a home said.
 */
#ifndef COMMONHOLD_GUEST_H
#define COMMONHOLD_GUEST_H

#include "call.h"
#include "coop.h"

/* ---- Sources: what an agreement allows with what comes in under it ---- */

enum guest_source_state { GUEST_SOURCE_IN_EFFECT, GUEST_SOURCE_SUSPENDED, GUEST_SOURCE_ENDED };
struct guest_source {
	struct uuid agreement;   /* the same over its renewals */
	struct str home;         /* key name of the partner */
	struct str title;        /* what it is called, for people: "a guest of X" */
	uint16_t uses;           /* allowed, bits of policy_use; any other is denied */
	uint16_t floor;          /* denied whatever anybody says, bits */
	uint32_t purposes;       /* allowed, bits of policy_purpose */
	uint8_t audience;        /* policy_audience: the widest; ANY for no limit */
	uint32_t k;              /* fewest contributors in a release that holds something from there */
	int64_t embargo;         /* microseconds after an item was made; 0: none */
	int64_t retention;       /* microseconds an item may be kept after it was made; 0: no limit */
	struct str access;       /* public, gated_auto, gated_manual: the widest for such a release */
	struct str attribution;  /* anonymous, pseudonym, public: the most that is said of who contributed */
	enum guest_source_state state;
	instant fresh_until;     /* guests from there are held after it, until they are heard of again */
	struct uuid under;       /* of those whom the partner passes on: its agreement with us, while `agreement` names their source alone; nil: the agreement itself */
};
/* Writes what an agreement allows, in place of what was written before. Inside. ERR_INVALID when a word is out of range. */
CH_CHECK enum err guest_source_put(struct call *c, struct uuid coop, const struct guest_source *source);
/* A bundle was taken: what was heard counts until then, for those whom the partner passes on, too. Never moves it back. Inside. */
CH_CHECK enum err guest_source_heard(struct call *c, struct uuid coop, struct uuid agreement, instant fresh_until);
/* ERR_NOT_FOUND. Inside. */
CH_CHECK enum err guest_source_get(struct call *c, struct uuid coop, struct uuid agreement, struct guest_source *out);
/* All of a co-op, by partner; inside. */
CH_CHECK enum err guest_source_list(struct call *c, struct uuid coop, struct guest_source **out, size_t *n);

/* ---- Words: a statement line, typed ---- */

/* One thing said by a person, or for them. */
struct guest_word {
	uint8_t effect;        /* policy_effect: ALLOW, ALLOW_IF or DENY */
	bool has_kind;         /* limited to `kind`; false: all (always so for an item) */
	uint8_t kind;          /* policy_kind */
	uint8_t purpose;       /* policy_purpose; ANY: no limit */
	uint8_t audience;      /* policy_audience; ANY: no limit. `said` alone */
	bool external;         /* a denial that only a later word on the item itself lifts. `said` alone */
	uint16_t uses;         /* bits; in the line `spoken_for` has one use an entry */
	uint16_t duties;       /* for ALLOW_IF */
	struct uuid item;      /* `said` in layer 1: uuid of an item of theirs, of their home's; nil: a default of theirs */
	instant declared_at;   /* INSTANT_NONE: since ever. For `spoken_for`: since when; set by guest_put, whatever is given */
	instant valid_from, valid_to; /* INSTANT_NONE: from the beginning; INSTANT_NEVER: without end. `said` alone */
	struct str verbatim;   /* preference string that it came as; absent: none */
};
/* All that a home says of one contributor at one moment. */
struct guest_words {
	struct str home;                /* key name */
	uint8_t contributor[16];        /* pseudonym, made by the home */
	int64_t rev;                    /* size of the home's log: the greatest stands */
	instant as_of;                  /* when the home said so (bundle.json's as_of) */
	uint8_t standing;               /* policy_standing */
	uint8_t consent;                /* policy_consent */
	uint32_t purposes;              /* consented to, bits */
	instant consent_given;          /* INSTANT_NEVER: none stands */
	instant consent_expires;        /* INSTANT_NEVER: open */
	const struct guest_word *said;
	size_t n_said;
	const struct guest_word *spoken_for;
	size_t n_spoken;
	struct str name;                /* name for credits; absent: none */
	struct str line;                /* the signed line, verbatim; guest_put alone */
};
/* The values of the members "consent", "said" and "spoken_for" of a statement line, canonical. `home` of the words: the key name that its items' rids have; set for guest_said_write. */
struct json_writer;
void guest_consent_write(struct json_writer *w, struct arena *a, const struct guest_words *words);  /* the value of "consent" */
void guest_said_write(struct json_writer *w, struct arena *a, const struct guest_words *words);  /* of "said" */
void guest_spoken_write(struct json_writer *w, const struct guest_words *words);     /* of "spoken_for" */
/* Reads a statement line ("out" and "back" lines are none) into words; strict: an unknown word, a permission from outside, an item of another home, a missing member or one too many is
 * ERR_INVALID with a pointer. `as_of` is the caller's to set. Pure. */
CH_CHECK enum err guest_words_read(struct arena *a, struct str line, const struct json *json, struct guest_words *out, struct error *e);
#define GUEST_SAID_MAX 20000   /* entries of `said` in one line */
#define GUEST_SPOKEN_MAX 1024  /* of `spoken_for`: kinds x uses x purposes */

/* ---- What a co-op says of its own people (for bundles) ---- */

/* About which uses, towards whom. */
struct guest_scope {
	uint16_t uses;       /* the agreement's, bits */
	uint32_t purposes;   /* the agreement's, bits; those below them are asked about as well */
	uint8_t audience;    /* the widest that it allows */
	/* Whether an item is one that the partner is told of: words on other items stay here. NULL: on none. */
	bool (*told)(void *arg, int64_t item_no, struct uuid item);
	void *arg;
};
/* The words of all members of the co-op by number, as of now; `by_number[i].standing` is POLICY_STANDING_REMOVED for numbers without a member (guests' among them). home, contributor, rev,
 * line stay unset; name is set for those credited publicly. Own words are what stands of them; where a delegate made one stricter, that stands among them. `spoken_for` is what the
 * co-op's engine says where people said nothing. Arrays are shared between people who have the same. Inside; memory from the call's arena, in proportion to the co-op. */
CH_CHECK enum err guest_words_of_members(struct call *c, struct uuid coop, const struct guest_scope *scope, struct guest_words **by_number, size_t *n);

/* ---- Guests ---- */

struct guest {
	struct uuid id;             /* contribution.member_id of their items; whose key it is */
	int number;                 /* contribution.member_no */
	struct str home;            /* key name */
	struct str home_title;      /* what their home is called */
	uint8_t contributor[16];
	struct uuid agreement;      /* under which they came */
	int64_t rev;
	enum policy_standing standing; /* as their home said */
	struct str name;            /* absent: none given */
	struct uuid linked;         /* membership of the same person here; nil: none */
};
/* Takes words: makes the guests that are new, with their keys, and replaces the words of those whose rev is greater than what stands; others are left as they are. What a home says to us itself goes
 * before what it said to a partner who passes it on, whichever came first. Every one of `out` (n places, in their order) is the guest as it stands. Entries must be of distinct (home, contributor). Inside, DB_WRITE: holds membership_lock from here on. The words are believed: that
 * they are signed and within the agreement is for the caller to have made sure of. */
CH_CHECK enum err guest_put(struct call *c, struct uuid coop, struct uuid agreement, const struct guest_words *words, size_t n, struct guest *out);
/* By number, by (home, contributor), by id; ERR_NOT_FOUND. Inside. */
CH_CHECK enum err guest_of_number(struct call *c, struct uuid coop, int number, struct guest *out);
CH_CHECK enum err guest_find(struct call *c, struct uuid coop, struct str home, const uint8_t contributor[16], struct guest *out);
CH_CHECK enum err guest_of_id(struct call *c, struct uuid coop, struct uuid id, struct guest *out);
/* The same for many numbers at once; present[i] false where there is none. Inside. */
CH_CHECK enum err guests_of_numbers(struct call *c, struct uuid coop, const int64_t *numbers, size_t n, struct guest *out, bool *present);
/* The signed lines of a source's guests by number after `after` (-1: from the first), verbatim; inside. */
CH_CHECK enum err guest_lines(struct call *c, struct uuid coop, struct uuid agreement, int after, size_t limit, struct guest **guests, struct str **lines, size_t *n);
/* Says that a guest and a member of this co-op are one person, proved at both; from then on a "no" of either is one of both, and they count once. Nil: takes it back. Inside. */
CH_CHECK enum err guest_link(struct call *c, struct uuid coop, struct uuid guest, struct uuid member);
/* Who counts as whom: numbers of guests that are linked, and of the member each is. Inside. */
struct guest_pair { uint32_t guest, member; };
CH_CHECK enum err guest_pairs(struct call *c, struct uuid coop, struct guest_pair **out, size_t *n);

/* ---- What decisions hold to, besides the engine ---- */

/* What a guest's items are under, by number; filled for guests alone. */
struct guest_limits {
	int64_t embargo, retention; /* microseconds; 0: none */
	uint8_t attribution;        /* 0 anonymous, 1 pseudonym, 2 public */
	uint8_t access;             /* widest for a release that holds something of theirs: 0 public, 1 gated_auto, 2 gated_manual */
	bool is_guest;
	bool ended;                 /* the source has: their origins do not speak any more */
};
/* By number, for numbers below *n (none without guests: NULL and 0). `k`: the greatest of the sources that are in effect and have guests (0: none). Inside. */
CH_CHECK enum err guest_limits_load(struct call *c, struct uuid coop, struct guest_limits **by_number, size_t *n, uint32_t *k);
/* Purposes that two sets both cover. Pure. */
uint32_t purposes_both(uint32_t a, uint32_t b);
/* "public", "gated_auto", "gated_manual". */
const char *guest_access_name(unsigned access);

#endif
