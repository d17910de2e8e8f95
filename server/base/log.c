#include "commonhold/log.h"
#include "commonhold/clock.h"
#include "commonhold/json.h"

#include <stdatomic.h>
#include <stdio.h>
#include <unistd.h>

/* Set once at the start; read by every thread. */
static _Atomic enum log_level threshold = LOG_INFO;
static atomic_bool for_people;

static const char *const level_names[] = { "debug", "info", "warn", "error" };

void log_configure(enum log_level level, bool plain)
{
	threshold = level;
	for_people = plain;
}

bool log_level_parse(struct str s, enum log_level *out)
{
	int no = str_which(s, level_names, CH_LEN(level_names));
	if (no >= 0)
		*out = (enum log_level)no;
	return no >= 0;
}

static void log_time(char out[40], instant t)
{
	struct civil c = clock_civil(t);
	snprintf(out, 40, "%04d-%02d-%02dT%02d:%02d:%02d.%03dZ", c.year, c.month, c.day, c.hour, c.minute, c.second, c.micro / 1000);
}

/* For a terminal: nothing in a field may move its cursor. */
static void log_plain_text(struct buf *line, struct str text)
{
	for (size_t i = 0; i < text.n; i++)
		buf_add_byte(line, (unsigned char)text.p[i] < 0x20 || text.p[i] == 0x7f ? '?' : text.p[i]);
}

static void log_plain(struct buf *line, const char *event, const struct log_field *fields, size_t n)
{
	struct civil c = clock_civil(clock_now());
	buf_addf(line, "%02d:%02d:%02d %s", c.hour, c.minute, c.second, event);
	for (size_t i = 0; i < n; i++) {
		if (fields[i].is_number) {
			buf_addf(line, " %s=%lld", fields[i].key, (long long)fields[i].number);
		} else {
			buf_addf(line, " %s=", fields[i].key);
			log_plain_text(line, fields[i].text);
		}
	}
}

static void log_json(struct buf *line, enum log_level level, const char *event, struct str request_id, const struct log_field *fields, size_t n)
{
	char when[40];
	log_time(when, clock_now());
	struct json_writer w;
	jw_init(&w, line);
	jw_object(&w);
	jw_kz(&w, "at", when);
	jw_kz(&w, "level", level_names[level]);
	jw_kz(&w, "event", event);
	if (request_id.p)
		jw_kstr(&w, "request", request_id);
	for (size_t i = 0; i < n; i++) {
		if (fields[i].is_number)
			jw_kint(&w, fields[i].key, fields[i].number);
		else
			jw_kstr(&w, fields[i].key, fields[i].text);
	}
	jw_end_object(&w);
}

void log_write(enum log_level level, const char *event, struct str request_id, const struct log_field *fields, size_t n)
{
	if (level < threshold)
		return;
	struct buf line;
	buf_init(&line, 16 * 1024);
	if (for_people)
		log_plain(&line, event, fields, n);
	else
		log_json(&line, level, event, request_id, fields, n);
	buf_add_byte(&line, '\n');
	/* One write a line, so that threads and processes do not mix their lines. */
	if (!line.failed && write(STDERR_FILENO, line.p, line.n) < 0)
		threshold = LOG_ERROR;
	buf_release(&line);
}
