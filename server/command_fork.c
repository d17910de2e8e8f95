#include "app.h"

#include "commonhold/account.h"
#include "commonhold/coop.h"
#include "commonhold/db.h"
#include "commonhold/file.h"
#include "commonhold/fork.h"
#include "commonhold/words.h"

#include <getopt.h>
#include <stdio.h>

/* Forks from the command line: the request of the new instance, the export of the old one, looking through it, founding. */

struct fork_work {
	struct str action;
	const char *coop, *offer, *request, *out, *path, *slug, *email, *parent, *name;
	bool json;
};

static void print_report(const struct fork_work *w, struct call *c, const char *what, const struct fork_report *r)
{
	struct str manifest = sha256_hex(c->arena, r->manifest);
	if (w->json)
		printf("{\"charters\":%lld,\"coop\":\"%.*s\",\"items\":%lld,\"leaves\":%lld,\"members\":%lld,\"sha256\":\"%.*s\"}\n", (long long)r->charters, STR_ARG(r->name), (long long)r->items,
			(long long)r->leaves, (long long)r->members, STR_ARG(manifest));
	else
		printf("%s %.*s: %.*s of its log, %.*s, %.*s of %.*s\nsha256=%.*s\n", what, STR_ARG(r->name), STR_ARG(words_things(c->arena, r->leaves, "leaf", "leaves")),
			STR_ARG(words_things(c->arena, r->charters, "charter", "charters")), STR_ARG(words_things(c->arena, r->items, "item", "items")),
			STR_ARG(words_things(c->arena, r->members, "member", "members")), STR_ARG(manifest));
}

static enum err do_request(struct call *c)
{
	struct fork_request request;
	TRY(fork_request_make(c, &request));
	printf("%.*s\n", STR_ARG(request.text));
	fprintf(stderr, "The fork will be called %.*s. Give this request to the co-op that it comes from.\n", STR_ARG(request.key_name));
	return ERR_OK;
}

static enum err do_export(struct call *c, const struct fork_work *w)
{
	struct coop coop;
	struct uuid offer;
	struct str request;
	struct fork_report report;
	if (!uuid_parse(str_of(w->offer), &offer))
		return fail(c, ERR_INVALID, "--offer takes the id of the offer, as its page shows it.");
	TRY(file_read(c->arena, "The request", w->request, FORK_REQUEST_MAX, &request, &c->error));
	TRY(db_begin(c, DB_READ));
	TRY(coop_find(c, str_of(w->coop), &coop));
	TRY(db_commit(c));
	TRY(fork_export(c, coop.id, offer, str_trim(request), w->out, &report));
	print_report(w, c, "exported", &report);
	return ERR_OK;
}

static enum err do_check(struct call *c, const struct fork_work *w)
{
	struct fork_report report;
	TRY(fork_check(c, w->path, &report));
	print_report(w, c, "sound, from", &report);
	return ERR_OK;
}

static enum err do_found(struct call *c, const struct fork_work *w)
{
	struct account account;
	struct coop coop;
	struct fork_report report;
	struct fork_founding how = { .slug = str_of(w->slug), .name = w->name ? str_of(w->name) : STR_NONE, .parent = str_of(w->parent) };
	TRY(account_find(c, str_of(w->email), &account));
	c->actor = (struct actor){ .kind = AUTH_SYSTEM, .account = account.id, .email = account.email, .name = account.name };
	TRY(fork_found(c, w->path, &how, &coop, &report));
	print_report(w, c, "founded from", &report);
	if (!w->json)
		printf("coop=%.*s\nslug=%.*s\n", STR_ARG(coop.key_name), STR_ARG(coop.slug));
	return ERR_OK;
}

static enum err fork_do(struct call *c, const struct fork_work *w)
{
	if (str_is(w->action, "request"))
		return do_request(c);
	if (str_is(w->action, "export"))
		return do_export(c, w);
	return str_is(w->action, "check") ? do_check(c, w) : do_found(c, w);
}

static int fork_usage(FILE *to)
{
	fprintf(to,
		"usage: commonhold fork request\n"
		"       commonhold fork export --coop CO-OP --offer ID --request FILE [--json] OUT\n"
		"       commonhold fork check [--json] EXPORT\n"
		"       commonhold fork found --slug SLUG --as E-MAIL --parent KEY-NAME [--name NAME] [--json] EXPORT\n\n"
		"request, on the instance where the fork is to live, makes its key and prints a request that it signs. export, on the parent's, writes the charters, the whole log and the items of\n"
		"those who said yes into a new folder or .tar, for that key alone. check looks through an export. found founds the fork from it; --parent is the key name of the co-op that it\n"
		"comes from, as that told it by another way than the export.\n");
	return to == stdout ? 0 : 2;
}

static bool complete(const struct fork_work *w, int left)
{
	if (str_is(w->action, "request"))
		return left == 0;
	if (str_is(w->action, "export"))
		return left == 1 && w->coop && w->offer && w->request;
	if (str_is(w->action, "found"))
		return left == 1 && w->slug && w->email && w->parent;
	return str_is(w->action, "check") && left == 1;
}

int fork_main(int argc, char **argv)
{
	static const struct option options[] = {
		{ "coop", required_argument, NULL, 'c' }, { "offer", required_argument, NULL, 'o' }, { "request", required_argument, NULL, 'r' }, { "slug", required_argument, NULL, 's' },
		{ "as", required_argument, NULL, 'a' }, { "parent", required_argument, NULL, 'p' }, { "name", required_argument, NULL, 'n' }, { "json", no_argument, NULL, 'j' },
		{ "help", no_argument, NULL, 'h' }, { 0 },
	};
	struct fork_work w = { .action = argc > 1 ? str_of(argv[1]) : STR_NONE };
	if (str_is(w.action, "--help") || str_is(w.action, "-h"))
		return fork_usage(stdout);
	optind = 2;
	for (int o; (o = getopt_long(argc, argv, "h", options, NULL)) != -1;) {
		switch (o) {
		case 'c': w.coop = optarg; break;
		case 'o': w.offer = optarg; break;
		case 'r': w.request = optarg; break;
		case 's': w.slug = optarg; break;
		case 'a': w.email = optarg; break;
		case 'p': w.parent = optarg; break;
		case 'n': w.name = optarg; break;
		case 'j': w.json = true; break;
		case 'h': return fork_usage(stdout);
		default: return fork_usage(stderr);
		}
	}
	if (argc < 2 || !complete(&w, argc - optind))
		return fork_usage(stderr);
	w.path = w.out = optind < argc ? argv[optind] : NULL;
	struct app *app = NULL;
	struct error error = { 0 };
	int status = 0;
	if (app_open(&app, &error) != ERR_OK) {
		status = command_failed("fork", &error);
	} else {
		struct call *c = app_call();
		if (!c || fork_do(c, &w) != ERR_OK)
			status = command_failed("fork", c ? &c->error : &error);
		app_call_end(c);
	}
	app_close(app);
	return status;
}
