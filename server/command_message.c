#include "app.h"

#include "commonhold/coop.h"
#include "commonhold/db.h"
#include "commonhold/file.h"
#include "commonhold/message.h"
#include "commonhold/peer.h"

#include <stdio.h>

/* `commonhold message`: messages between co-ops whose instances cannot reach each other, as files. */

#define FILE_MOST (32 * MIB)

static const char usage[] =
	"usage: commonhold message export CO-OP [PEER] > FILE\n"
	"       commonhold message import CO-OP FILE\n\n"
	"export writes what waits to be delivered to other co-ops (to PEER alone, by its key name), a signed message a line. import takes such a file, with the checks that\n"
	"messages by HTTP get: what is refused is listed for the co-op's admins.\n";

struct message_request { struct str action, coop, what; };

static enum err export(struct call *c, struct uuid coop, struct str name)
{
	struct str lines;
	struct peer peer = { .id = { { 0 } } };
	if (name.p) {
		TRY(db_begin_in(c, coop, DB_READ));
		TRY(peer_by_name(c, coop, name, &peer));
		TRY(db_commit(c));
	}
	TRY(message_export(c, coop, peer.id, &lines));
	return fwrite(lines.p, 1, lines.n, stdout) == lines.n ? ERR_OK : fail(c, ERR_IO, "The messages could not be written.");
}

static enum err import(struct call *c, struct uuid coop, struct str path)
{
	struct str lines;
	struct message_import done;
	TRY(file_read(c->arena, "The file of messages", str_z(c->arena, path), FILE_MOST, &lines, &c->error));
	TRY(message_import(c, coop, lines, &done));
	printf("taken=%d\nagain=%d\nrefused=%d\n", done.taken, done.again, done.refused);
	return done.refused ? fail(c, ERR_REFUSED, "Some messages were refused: the co-op's admins see why.") : ERR_OK;
}

static enum err work(struct call *c, const struct message_request *q)
{
	struct coop coop;
	TRY(db_begin(c, DB_READ));
	TRY(coop_find(c, q->coop, &coop));
	TRY(db_commit(c));
	return str_is(q->action, "export") ? export(c, coop.id, q->what) : import(c, coop.id, q->what);
}

int message_main(int argc, char **argv)
{
	struct app *app = NULL;
	struct error error = { 0 };
	int status = 0;
	struct message_request q = { argc > 1 ? str_of(argv[1]) : STR_NONE, argc > 2 ? str_of(argv[2]) : STR_NONE, argc > 3 ? str_of(argv[3]) : STR_NONE };
	if (str_is(q.action, "--help") || str_is(q.action, "-h")) {
		printf("%s", usage);
		return 0;
	}
	if (!(str_is(q.action, "export") && (argc == 3 || argc == 4)) && !(str_is(q.action, "import") && argc == 4)) {
		fprintf(stderr, "%s", usage);
		return 2;
	}
	if (app_open(&app, &error) != ERR_OK)
		status = command_failed("message", &error);
	else {
		struct call *c = app_call();
		if (!c || work(c, &q) != ERR_OK)
			status = command_failed("message", c ? &c->error : &error);
		app_call_end(c);
	}
	app_close(app);
	return status;
}
