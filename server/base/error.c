#include "commonhold/error.h"
#include "commonhold/arena.h"
#include "commonhold/call.h"
#include "commonhold/limits.h"
#include "server/base/utf8.h"

#include <stdarg.h>
#include <stdio.h>

static const struct { const char *code; const char *text; int status; } errors[] = {
	[ERR_OK] = { "ok", "", 200 },
#define X(name, http, stable, words) [ERR_##name] = { stable, words, http },
	ERRORS(X)
#undef X
};

static size_t error_row(enum err e)
{
	return (unsigned)e < ERR_COUNT ? (size_t)e : ERR_INTERNAL;
}

const char *err_code(enum err e) { return errors[error_row(e)].code; }
const char *err_text(enum err e) { return errors[error_row(e)].text; }
int err_status(enum err e) { return errors[error_row(e)].status; }

void error_clear(struct error *e)
{
	*e = (struct error){ 0 };
}

/* Formats, and where the room ends cuts between characters; returns the length. */
static size_t say(char *out, size_t room, const char *fmt, va_list args)
{
	int wanted = vsnprintf(out, room, fmt, args);
	size_t n = wanted < 0 ? 0 : (size_t)wanted < room ? (size_t)wanted : room - 1;
	if (n < (size_t)(wanted < 0 ? 0 : wanted)) {
		size_t head = n;
		while (head && utf8_is_tail(out[head - 1]))
			head--;
		if (head && (unsigned char)out[head - 1] >= 0x80 && utf8_sequence(out + head - 1, out + n) == 0)
			n = head - 1;
	}
	out[n] = '\0';
	return n;
}

/* The arguments may point into what was said before. */
static void error_say(struct error *e, enum err code, const char *fmt, va_list args)
{
	struct fault *faults = e->faults;
	char message[sizeof(e->message)];
	say(message, sizeof(message), fmt, args);
	error_clear(e);
	e->faults = faults;
	e->code = code;
	memcpy(e->message, message, sizeof(message));
}

enum err error_set(struct error *e, enum err code, const char *fmt, ...)
{
	va_list args;
	va_start(args, fmt);
	error_say(e, code, fmt, args);
	va_end(args);
	return code;
}

enum err error_hint(struct error *e, enum err code, const char *hint, const char *fmt, ...)
{
	va_list args;
	va_start(args, fmt);
	error_say(e, code, fmt, args);
	va_end(args);
	snprintf(e->hint, sizeof(e->hint), "%s", hint);
	return code;
}

static void error_add_fault(struct error *e, struct arena *a, struct str pointer, const char *fmt, va_list args)
{
	size_t count = 0;
	struct fault **last = &e->faults;
	for (; *last; last = &(*last)->next)
		count++;
	if (count >= LIMIT_FAULTS)
		return;
	char text[512];
	size_t length = say(text, sizeof(text), fmt, args);
	struct fault *fault = ARENA_NEW(a, struct fault);
	if (!fault) {
		e->code = e->code == ERR_OK ? ERR_NO_MEMORY : e->code;
		return;
	}
	fault->pointer = str_copy(a, pointer);
	fault->message = str_copy(a, str_make(text, length));
	*last = fault;
	if (e->code == ERR_OK) {
		e->code = ERR_INVALID;
		snprintf(e->message, sizeof(e->message), "%s", err_text(ERR_INVALID));
	}
}

void error_fault(struct error *e, struct arena *a, struct str pointer, const char *fmt, ...)
{
	va_list args;
	va_start(args, fmt);
	error_add_fault(e, a, pointer, fmt, args);
	va_end(args);
}

enum err fail_reason(struct call *c, enum err code, const char *reason, const char *fmt, ...)
{
	va_list args;
	va_start(args, fmt);
	error_say(&c->error, code, fmt, args);
	va_end(args);
	snprintf(c->error.reason, sizeof(c->error.reason), "%s", reason);
	return code;
}

enum err fail_field(struct call *c, const char *pointer, const char *fmt, ...)
{
	va_list args;
	va_start(args, fmt);
	error_add_fault(&c->error, c->arena, str_of(pointer), fmt, args);
	va_end(args);
	return ERR_INVALID;
}
