/* control.h - collective controls: what the members decided together to withhold from future items, why, and until when.
 *
 * A control is set by a passed ballot only, and lifted by another, by its date, or, a pledge, when enough members have joined. It touches items contributed from when it was set;
 * while it stands the policy engine holds or denies them (gate G9), so decisions, explanations, previews and replays carry it. It never reaches what was released before: a control
 * cannot undo a licence, and every page that shows one says so.
 */
#ifndef COMMONHOLD_CONTROL_H
#define COMMONHOLD_CONTROL_H

#include "call.h"
#include "job.h"
#include "json.h"
#include "policy.h"

enum control_kind {
	CONTROL_QUALITY_FREEZE,    /* labels and corrections (preference, feedback, signal) are withheld */
	CONTROL_SELECTIVE_EMBARGO, /* releases pause, or new items go into releases for evaluation alone */
	CONTROL_PREFERENCE_SHIFT,  /* new items deny some uses */
	CONTROL_RATE_LIMIT,        /* of what is contributed in a calendar month, at most so many items may be released */
	CONTROL_ASSURANCE,         /* a pledge: new items are sealed until so many members have joined it; then they are released together */
	CONTROL_KIND_COUNT
};
const char *control_kind_name(unsigned kind);   /* "quality_freeze" … */
int control_kind_find(struct str name);         /* -1: none */

#define CONTROLS_MAX 8 /* standing at once in a co-op */

struct control {
	struct uuid id;
	enum control_kind kind;
	bool pauses;           /* an embargo that pauses releases altogether */
	uint8_t kinds;         /* kinds of contribution that it touches, as bits */
	uint16_t uses;         /* uses that a preference shift denies, as bits */
	int64_t amount;        /* items a month of a rate limit, members of a pledge; 0 for others */
	struct str reason;     /* public */
	instant until;         /* lifts by itself then; INSTANT_NEVER: by a ballot only (a pledge: when it is reached) */
	struct uuid ballot;    /* that set it */
	instant set_at;        /* items contributed from then on are touched */
	instant lifted_at;     /* INSTANT_NONE while it stands */
	struct str lift_cause; /* ballot, date or pledge; absent while it stands */
	struct uuid lift_ballot; /* that lifted it; nil */
	int64_t pledged;       /* members who have joined a pledge; 0 for others */
	bool joined;           /* the actor has */
};

/* What stands now, oldest first; inside. A control whose date has come does not, whether or not the job has noted it. */
CH_CHECK enum err control_current(struct call *c, struct uuid coop, struct control **out, size_t *n);
/* What stood at an instant: what a release with that cut-off is decided by; inside. */
CH_CHECK enum err control_at(struct call *c, struct uuid coop, instant at, struct control **out, size_t *n);
/* The same as operations of their own: those that stand, or all that ever were, newest first. */
CH_CHECK enum err control_list(struct call *c, struct uuid coop, bool all, struct control **out, size_t *n);
CH_CHECK enum err control_read(struct call *c, struct uuid coop, struct uuid control, struct control *out);
/* The one that pauses releases, or NULL. */
const struct control *control_pausing(const struct control *controls, size_t n);

/* Sets what a ballot passed; inside, once a ballot (repeating gives the same one). Leaf "control.set". Only a motion's handler calls it. */
CH_CHECK enum err control_set(struct call *c, struct uuid coop, const struct control *in, struct control *out);
/* Lifts one by ballot; inside. Lifting what is lifted changes nothing. Leaf "control.lifted". */
CH_CHECK enum err control_lift_by_ballot(struct call *c, struct uuid coop, struct uuid control, struct uuid ballot);
/* The actor joins a pledge, or takes that back before it is reached; the last one needed lifts it. */
CH_CHECK enum err control_pledge_join(struct call *c, struct uuid coop, struct uuid control, bool join, struct control *out);

/* What the engine is told about controls for a release with this cut-off: fills `out` (room for POLICY_TOGGLES_MAX) and returns how many. A toggle's id is the control's place + 1.
 * `seed` is replaced where a rate limit draws lots, so that every release draws the same ones. Pure. */
size_t control_toggles(const struct control *controls, size_t n, instant cutoff, struct policy_toggle *out, uint8_t seed[32]);

/* In plain words: the name of a kind ("Freeze of labels and corrections"), what it does, when it ends, and the limit that holds for all. */
const char *control_title(unsigned kind);
struct str control_effect(struct arena *a, const struct control *control);
struct str control_end(struct arena *a, const struct control *control);
const char *control_limits(void);
/* As JSON, for the API and for pages alike (schemas/control.json, with the words). */
void control_write(struct json_writer *w, struct arena *a, const struct control *control);
/* The same with what pages need besides. */
void control_page_write(struct json_writer *w, struct arena *a, const struct control *control);
/* {"controls":[…]} for partial/controls: members of a page's data that tell what stands (INSTANT_NONE), or stood at an instant, each with words; an empty list when nothing does. An operation of its own. */
CH_CHECK enum err control_page_data(struct call *c, struct uuid coop, instant at, struct json_writer *w);

/* "control.lift": lifts what its date ended. */
extern const struct job_kind control_jobs[];

#endif
