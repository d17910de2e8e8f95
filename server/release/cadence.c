#include "commonhold/release.h"

#include <libical/ical.h>

/* A rule that meets no date for so many steps of its own is not a cadence. */
#define CADENCE_STEPS 20000

static struct icaltimetype ical_of(instant t)
{
	struct civil v = clock_civil(t);
	struct icaltimetype out = icaltime_null_time();
	out.year = v.year;
	out.month = v.month;
	out.day = v.day;
	out.hour = v.hour;
	out.minute = v.minute;
	out.second = v.second;
	out.zone = icaltimezone_get_utc_timezone();
	return out;
}

static instant instant_of(struct icaltimetype t)
{
	return clock_of_civil((struct civil){ .year = t.year, .month = t.month, .day = t.day, .hour = t.hour, .minute = t.minute, .second = t.second });
}

enum err cadence_after(struct arena *a, struct str rrule, instant start, instant after, size_t max, instant **out, size_t *n, struct error *e)
{
	*n = 0;
	*out = ARENA_ARRAY(a, max, instant);
	struct icalrecurrencetype rule = icalrecurrencetype_from_string(str_z(a, rrule));
	if (rule.freq == ICAL_NO_RECURRENCE || rule.freq < ICAL_DAILY_RECURRENCE)
		return error_set(e, ERR_INVALID, "The cadence is not a recurrence rule (RFC 5545) of days, weeks, months or years, such as \"FREQ=MONTHLY;BYMONTHDAY=1\".");
	icalrecur_iterator *it = icalrecur_iterator_new(rule, ical_of(start));
	if (!it)
		return error_set(e, ERR_INVALID, "The cadence's rule cannot be followed from its start.");
	arena_defer(a, (void (*)(void *))icalrecur_iterator_free, it);
	for (int step = 0; step < CADENCE_STEPS && *n < max; step++) {
		struct icaltimetype next = icalrecur_iterator_next(it);
		if (icaltime_is_null_time(next))
			break;
		instant t = instant_of(next);
		if (t > after)
			(*out)[(*n)++] = t;
	}
	return ERR_OK;
}
