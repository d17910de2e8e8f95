/* clock.h - the only source of time. Instants are microseconds since 1970-01-01T00:00:00Z.
 *
 * No other code calls time(), clock_gettime() or SQL now(): a test moves this clock by a year in an instant, and
 * the database follows, since every transaction tells it the time (commonhold_now() in SQL).
 * Durations of work (for logs and metrics) use clock_tick, which is monotonic and never injected.
 */
#ifndef COMMONHOLD_CLOCK_H
#define COMMONHOLD_CLOCK_H

#include "str.h"

typedef int64_t instant; /* microseconds since the epoch, UTC */

#define CLOCK_SECOND INT64_C(1000000)
#define CLOCK_MINUTE (60 * CLOCK_SECOND)
#define CLOCK_HOUR (60 * CLOCK_MINUTE)
#define CLOCK_DAY (24 * CLOCK_HOUR)
#define INSTANT_NONE INT64_MIN /* no instant: SQL NULL */
#define INSTANT_NEVER INT64_MAX /* SQL infinity */

/* The present, or what a test set. */
instant clock_now(void);
/* The same without what is finer than `unit` (CLOCK_SECOND, CLOCK_HOUR …), since the epoch. The clock moves on between two questions: never subtract a remainder asked for anew. */
instant clock_now_whole(int64_t unit);
/* Fixes the clock at t, or lets it run again (INSTANT_NONE). With offset it runs on from there. */
void clock_set(instant t);
void clock_shift(int64_t offset);
/* Monotonic microseconds, for measuring. */
int64_t clock_tick(void);

/* RFC 3339 in UTC, "2026-11-22T10:00:00Z", with microseconds only when there are any; without a NUL. Hands out its length. */
#define CLOCK_TEXT 48
size_t clock_write(instant t, char out[CLOCK_TEXT]);
/* The same in the arena. */
struct str clock_format(struct arena *a, instant t);
/* The same; absent for INSTANT_NONE, which JSON writers write as null. */
struct str clock_format_or_none(struct arena *a, instant t);
/* "Sun, 06 Nov 1994 08:49:37 GMT" (RFC 9110); 30 bytes with the NUL, in a roomy buffer. */
void clock_http_date(instant t, char out[48]);
/* RFC 3339 date-time with any offset; false when it is anything else or out of the years 1970-9999. */
CH_CHECK bool clock_parse(struct str s, instant *out);
/* Only what clock_write writes, byte for byte; faster. */
CH_CHECK bool clock_parse_written(struct str s, instant *out);

/* The civil (proleptic Gregorian, UTC) date of an instant, and back. */
struct civil { int year, month, day, hour, minute, second, micro, weekday /* 0 = Sunday */; };
struct civil clock_civil(instant t);
instant clock_of_civil(struct civil c);

/* ISO 8601 durations "P1Y2M3DT4H5M6S", "P2W"; years and months are calendar steps. */
struct duration { int years, months, days; int64_t seconds; };
CH_CHECK bool duration_parse(struct str s, struct duration *out);
/* t plus (or, with sign -1, minus) d: months first, clamped to the month's last day, then days, then seconds.
 * No instant and never stay what they are. */
instant duration_add(instant t, struct duration d, int sign);

#endif
