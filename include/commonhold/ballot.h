/* ballot.h - one engine for every question a co-op decides: notice, roll, votes, close, result.
 *
 * The roll freezes at opening; at close every person on it gets a stored resolution, and for + against + abstain + undecided = roll is a constraint. Closing is idempotent under
 * concurrent workers. A passed or failed ballot queues the job "<kind>.decided" with {"coop","ballot","subject","passed"}: what follows is the business of the subject's module.
 */
#ifndef COMMONHOLD_BALLOT_H
#define COMMONHOLD_BALLOT_H

#include "ballot_outcome.h"
#include "call.h"
#include "coop.h"
#include "job.h"
#include "lifecycle.h"

enum ballot_state { BALLOT_NOTICE, BALLOT_OPEN, BALLOT_PASSED, BALLOT_FAILED, BALLOT_CANCELLED };
const char *ballot_state_name(enum ballot_state s);
CH_CHECK bool ballot_state_parse(struct str text, enum ballot_state *out);
/* The table of a ballot's life; every edge but the first has its leaf. */
extern const struct lifecycle ballot_life;

/* Counts of people: roll is the sum of the others. */
struct ballot_tally {
	int roll, yes, no, abstain, undecided;
	int undecided_by[POLICY_VIA_COUNT];      /* undecided, by reason */
	int in_person, by_delegates, by_board;   /* of the decided: by whom */
};

struct ballot {
	struct uuid id, coop;
	struct uuid subject;     /* what it is about, of its kind: a release, a charter … */
	struct uuid proposer;    /* membership; nil: the schedule */
	struct str kind;         /* "release", "charter" …: the module that hears of the decision, and the topic of delegations */
	struct str title, question;
	struct str rule;         /* the charter's, as canonical JSON */
	struct str visibility;   /* who sees counts and choices before the close */
	struct sha256 digest;    /* of exactly what is decided */
	int charter;             /* version whose rule, depth, cap and board it is decided by */
	enum ballot_state state;
	instant created_at, opens_at, closes_at;
	instant first_closes_at; /* before it was extended; INSTANT_NONE: it was not */
	instant closed_at;       /* end of voting: closes_at, or earlier where no vote could change the outcome; INSTANT_NONE until then */
	int members_last_year, admins_last_year; /* floors of the quorum base */
	int lapsing;             /* people whose checkup falls due or whose membership lapses before it closes */
	bool lapse_warning;      /* those are a tenth of the roll or more */
	struct ballot_tally members, admins; /* at close; before, only what its visibility shows */
	bool tally_shown;        /* the tallies may be shown to this actor now */
	bool on_roll;            /* the actor is on the roll */
	bool is_admin;           /* … as an admin: may say what the board should resolve */
	bool may_vote;           /* on the roll, and the ballot is open */
	struct str my_choice;    /* the actor's own last vote; absent: none */
	struct str board_choice; /* what the board has resolved; absent: nothing (yet) */
};

/* A ballot to be held; the fields are those of struct ballot. */
struct ballot_draft {
	const char *kind;
	struct uuid subject;
	struct sha256 digest;
	struct str title, question;
	const struct json *rule;      /* from the charter */
	int charter;
	struct str visibility;        /* absent: closed */
	struct uuid proposer;         /* membership; nil: the schedule */
	instant opens_at, closes_at;
};
/* Creates it in notice (or opens it at once when opens_at has come), and tells the members; inside. */
CH_CHECK enum err ballot_create(struct call *c, struct uuid coop, const struct ballot_draft *in, struct uuid *id);
CH_CHECK enum err ballot_read(struct call *c, struct uuid coop, struct uuid ballot, struct ballot *out);
CH_CHECK enum err ballot_list(struct call *c, struct uuid coop, struct str state, struct str cursor, int limit, struct ballot **out, size_t *n, struct str *next_cursor);
/* Opens what is due to open and closes what is due to close; the handler of the jobs "ballot.open" and "ballot.close". Votes and delegations count as they stood at the end of
 * the window, however late the job runs. */
CH_CHECK enum err ballot_advance(struct call *c, struct uuid coop, struct uuid ballot);
/* Cancels a ballot that is not closed; inside. */
CH_CHECK enum err ballot_cancel(struct call *c, struct uuid coop, struct uuid ballot, struct str reason);

/* ---- Voting ---- */

/* Casts, changes or (choice "none") takes back the acting member's own vote. Every version is kept, the last before the close counts, and it goes before any delegation. Refused
 * with a reason: ballot_not_open, not_on_roll, not_a_member. */
CH_CHECK enum err ballot_cast_vote(struct call *c, struct uuid coop, struct uuid ballot, struct str choice, struct ballot *out);
/* Votes for some of those whom the actor represents, who may differ from the actor's own vote; "none" takes it back. Counts at the close only if the delegation still stands
 * then and the principal has not voted. Refused as above and with not_represented (names the first who is not). At most LIMIT_PAGE principals at once. */
CH_CHECK enum err ballot_vote_for(struct call *c, struct uuid coop, struct uuid ballot, const struct uuid *principals, size_t n, struct str choice);
/* An admin says what the board should resolve; "none" takes it back. Refused with not_board. */
CH_CHECK enum err ballot_board_say(struct call *c, struct uuid coop, struct uuid ballot, struct str choice);
/* The board on one ballot: its rule (more than n of d of the admins, or at least) and what was said. Visible to every member. */
struct ballot_board {
	int admins;                       /* on the roll */
	int said[BALLOT_CHOICE_COUNT];    /* admins by what they say now */
	int needed;                       /* how many must say the same */
	enum ballot_choice choice;        /* resolved; BALLOT_NONE: nothing yet */
	struct str mine;                  /* the actor's own word; absent: none */
	struct str rule;                  /* in words */
};
CH_CHECK enum err ballot_board_read(struct call *c, struct uuid coop, struct uuid ballot, struct ballot_board *out);

/* ---- What becomes of a voice ---- */

/* One edge of a path: the version of the delegation that was followed, and whom it leads to. */
struct ballot_step { struct uuid delegation; struct uuid member; /* nil: the board */ struct str name; };
/* What became of a member's voice, read from what was stored at the close; of an open ballot, what would become of it now. */
struct ballot_explained {
	bool stored;               /* closed: read as stored; else a preview that any vote may change */
	bool on_roll;              /* false: nothing else is told */
	bool choice_shown;         /* the ballot's visibility lets the member see the choice now */
	struct str choice;         /* for, against, abstain, undecided; absent when not shown */
	enum policy_via via;
	enum policy_via reason;    /* why undecided; OWN otherwise */
	struct uuid decider;       /* membership; nil: nobody or the board */
	bool by_board, on_behalf;  /* the board decided; the delegate voted for this member in particular */
	struct str decider_name;   /* absent: nobody */
	struct ballot_step *steps; /* nearest first */
	size_t n_steps;            /* how many */
	struct str why;            /* a sentence for the member */
};
/* The actor's own voice. */
CH_CHECK enum err ballot_explain(struct call *c, struct uuid coop, struct uuid ballot, struct ballot_explained *out);
/* Every version of the actor's vote, and of those that were cast for them by delegates where the ballot's visibility shows them; oldest first. */
struct ballot_vote {
	instant at;
	struct str choice;          /* "none": taken back */
	struct uuid by;             /* membership of who cast it */
	struct uuid on_behalf_of;   /* nil: an own vote */
	struct str by_name, on_behalf_name; /* for people; absent for the actor's own */
};
CH_CHECK enum err ballot_history(struct call *c, struct uuid coop, struct uuid ballot, struct ballot_vote **out, size_t *n);
/* Whom the actor represents on this ballot now, directly or over others, and who of them has voted (and so overrides). At most LIMIT_PAGE, by number. */
struct ballot_principal {
	struct uuid member;
	struct str name;
	int hops;              /* 1: delegates to the actor directly */
	bool voted;            /* has voted in person: the actor's vote does not count for them */
	struct str choice;     /* what the actor cast for them in particular; absent: the actor's own vote goes for them */
};
CH_CHECK enum err ballot_represented(struct call *c, struct uuid coop, struct uuid ballot, struct ballot_principal **out, size_t *n);

/* What a delegate did on one ballot that closed. */
struct ballot_act {
	struct uuid ballot;
	struct str kind, title;
	instant closed_at;
	bool took_part;        /* cast a vote */
	bool for_principal;    /* decided for the principal */
	struct str choice;     /* for the principal; else the delegate's own, where the ballot's visibility shows it; absent: hidden or none */
	bool passed;
};
struct ballot_acts {
	int ballots;           /* closed between the two instants with the delegate on the roll */
	int took_part;         /* of these, those in which the delegate voted */
	int decided;           /* of these, those in which that decided for the principal */
	int yes, no, abstain;  /* how, of those decided for the principal */
	struct ballot_act *acts; /* newest first, at most LIMIT_PAGE */
	size_t n_acts;
};
/* What a delegate (nil: the board) did between two instants, as far as the principal may know; for the checkup. Inside. */
CH_CHECK enum err ballot_acts_of_delegate(struct call *c, struct uuid coop, struct uuid delegate, struct uuid principal, instant from, instant to, struct ballot_acts *out);

/* What a ballot's page shows of its subject, besides the question: members of the page's data, written by the module above that knows the subject. Set once at start. */
struct json_writer;
typedef enum err (*ballot_subject_fn)(struct call *c, const struct ballot *b, struct json_writer *w);
void ballot_use_subject(ballot_subject_fn show);
/* What a ballot's API says of its subject: the value of its member "about". */
void ballot_use_about(ballot_subject_fn say);

extern const struct job_kind ballot_jobs[];

#endif
