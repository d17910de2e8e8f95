/* log.h - one JSON line per event on standard error: time, level, event, request id, and fields.
 *
 * Never personal data, content or secrets: log ids, counts, codes and durations. An error is logged once, where it is
 * handled.
 */
#ifndef COMMONHOLD_LOG_H
#define COMMONHOLD_LOG_H

#include "str.h"

enum log_level { LOG_DEBUG, LOG_INFO, LOG_WARN, LOG_ERROR };

/* Below `level` nothing is written. For people at a terminal `plain` writes "hh:mm:ss event key=value". */
void log_configure(enum log_level level, bool plain);
CH_CHECK bool log_level_parse(struct str s, enum log_level *out);
/* A field: either text or a number. */
struct log_field { const char *key; struct str text; int64_t number; bool is_number; };
#define LOG_S(k, s) ((struct log_field){ (k), (s), 0, false })
#define LOG_Z(k, z) ((struct log_field){ (k), str_of(z), 0, false })
#define LOG_N(k, v) ((struct log_field){ (k), STR_NONE, (int64_t)(v), true })
void log_write(enum log_level level, const char *event, struct str request_id, const struct log_field *fields, size_t n);
#define log_event(level, event, ...) \
	log_write((level), (event), STR_NONE, (struct log_field[]){ __VA_ARGS__ }, sizeof((struct log_field[]){ __VA_ARGS__ }) / sizeof(struct log_field))

#endif
