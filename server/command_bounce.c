/* commonhold bounce: what a mail server pipes delivery reports into. */
#include "app.h"

#include "commonhold/notify.h"

#include <errno.h>
#include <stdio.h>
#include <unistd.h>

#define REPORT_MAX (2 * MIB)

static enum err read_report(struct call *c, int fd, struct str *out)
{
	struct buf b;
	buf_init(&b, REPORT_MAX);
	for (;;) {
		char *to = buf_reserve(&b, 64 * KIB);
		ssize_t got = to ? read(fd, to, 64 * KIB) : 0;
		if (got < 0 && errno == EINTR)
			continue;
		if (got <= 0)
			break;
		b.n += (size_t)got;
	}
	*out = buf_take(c->arena, &b);
	return out->p ? ERR_OK : fail(c, ERR_TOO_LARGE, "The report is longer than a report may be.");
}

static enum err take_note(struct call *c, int fd)
{
	struct str message;
	bool recorded;
	TRY(read_report(c, fd, &message));
	TRY(notify_bounce(c, message, &recorded));
	printf(recorded ? "The refusal is recorded.\n" : "The report changes nothing: no refusal, or known already.\n");
	return ERR_OK;
}

int bounce_main(int argc, char **argv)
{
	static const char usage[] =
		"usage: commonhold bounce <REPORT\n\n"
		"Reads a delivery report (RFC 3464) and records the refusal at the mail that it is about. For an alias of the mail server, such as\n"
		"  bounces: \"|/usr/bin/commonhold bounce\"\n";
	struct app *app = NULL;
	struct error error = { 0 };
	int status = 0;
	if (argc > 1) {
		bool help = str_is(str_of(argv[1]), "--help") || str_is(str_of(argv[1]), "-h");
		fprintf(help ? stdout : stderr, "%s", usage);
		return help ? 0 : 2;
	}
	if (app_open(&app, &error) != ERR_OK) {
		status = command_failed("bounce", &error);
	} else {
		struct call *c = app_call();
		if (!c || take_note(c, STDIN_FILENO) != ERR_OK)
			status = command_failed("bounce", c ? &c->error : &error);
		app_call_end(c);
	}
	app_close(app);
	return status;
}
