#include "server/coop/coop_internal.h"

/* Renewing a membership, and when: due dates, windows and what the clock alone makes of a state. */

/* One anniversary on. Steps of whole months keep the day of the month that was meant, where the month has it. */
static instant anniversary_after(instant due, struct duration every, int day)
{
	if (every.days || every.seconds || day == 0)
		return duration_add(due, every, 1);
	struct civil c = clock_civil(due);
	struct duration months = { .months = c.month - 1 + every.years * 12 + every.months };
	c.month = 1; /* has every day that there is */
	c.day = day;
	return duration_add(clock_of_civil(c), months, 1);
}

instant membership_next_due(const struct member *m, struct duration every, instant now)
{
	if (m->state == POLICY_STANDING_LAPSED || m->due_at == INSTANT_NONE)
		return duration_add(now, every, 1);
	instant due = m->due_at, before;
	do {
		before = due;
		due = anniversary_after(due, every, m->due_day);
	} while (due <= now && due > before);
	return due;
}

instant membership_window_opens(const struct member *m, const struct charter *charter)
{
	return duration_add(m->due_at, charter->window, -1);
}

instant membership_lapses(const struct member *m, const struct charter *charter)
{
	return duration_add(m->due_at, charter->grace, 1);
}

enum policy_standing membership_standing_at(enum policy_standing state, instant due, struct duration grace, instant now)
{
	if (!in_good_standing(state) || due == INSTANT_NONE || now < due)
		return state;
	return now < duration_add(due, grace, 1) ? POLICY_STANDING_GRACE : POLICY_STANDING_LAPSED;
}

enum err membership_renew(struct call *c, struct uuid coop, struct member *out)
{
	struct charter charter;
	int64_t steps, looked;
	TRY(membership_lock(c, coop));
	TRY(require_member(c, coop, out));
	TRY(charter_current(c, coop, &charter));
	TRY(membership_steps(c, &charter, out->id, 1, &steps, &looked));
	TRY(member_of_id(c, coop, out->id, out));
	if (out->state == POLICY_STANDING_APPLIED)
		return fail(c, ERR_STATE, "You have applied to join. The first checkup comes a while after you are admitted.");
	if (out->state == POLICY_STANDING_ACTIVE)
		return fail(c, ERR_STATE, "Your next checkup opens on %.10s.", clock_format(c->arena, membership_window_opens(out, &charter)).p);
	return membership_move(c, out, POLICY_STANDING_ACTIVE, MOVER_SELF, out->id, membership_next_due(out, charter.checkup_every, clock_now()), STR_NONE);
}
