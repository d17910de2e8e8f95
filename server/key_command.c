/* commonhold key: fingerprints to read out to others, and new keys. */
#include "app.h"

#include "commonhold/coop.h"
#include "commonhold/db.h"
#include "commonhold/keychain.h"

#include <stdio.h>

static const char usage[] =
	"usage: commonhold key show [--coop CO-OP | --instance] [--json]\n"
	"       commonhold key rotate --coop CO-OP | --instance [--yes]\n\n"
	"show prints the key in force, its fingerprint and the chain that leads to it: read the fingerprint to whoever wants to know your co-op as a peer.\n"
	"rotate makes a new key and hands over to it, for good. Both keys sign that; whoever knows the old one follows. A lost or stolen key cannot be undone by it:\n"
	"whoever has the old key can show another chain to people who have not seen this one.\n\n"
	"  --coop CO-OP  address or name of a co-op of this instance\n"
	"  --instance    the instance's own key\n"
	"  --json        keys.json as it is served\n"
	"  --yes         do not ask\n";

struct key_request {
	struct str action, coop;
	bool instance, json, yes;
};

static bool read_arguments(int argc, char **argv, struct key_request *q)
{
	for (int i = 2; i < argc; i++) {
		struct str arg = str_of(argv[i]);
		if (str_is(arg, "--instance"))
			q->instance = true;
		else if (str_is(arg, "--json"))
			q->json = true;
		else if (str_is(arg, "--yes"))
			q->yes = true;
		else if (str_is(arg, "--coop") && i + 1 < argc)
			q->coop = str_of(argv[++i]);
		else
			return false;
	}
	bool one = q->instance != (q->coop.p != NULL);
	return (str_is(q->action, "rotate") && one) || (str_is(q->action, "show") && !(q->instance && q->coop.p));
}

static void print_chain(struct call *c, const char *whose, struct str name, const struct keychain *chain)
{
	const uint8_t *key = keychain_current(chain);
	struct str shown = keychain_fingerprint(c->arena, key), minisign = minisign_public_key(c->arena, key), hex = str_hex(c->arena, key, 32);
	printf("%s%s%.*s\n", whose, name.n ? " " : "", STR_ARG(name));
	printf("  name         %.*s\n", STR_ARG(chain->name));
	printf("  fingerprint  %.*s\n", STR_ARG(shown));
	printf("  minisign     %.*s\n", STR_ARG(minisign));
	printf("  hex          %.*s\n", STR_ARG(hex));
	if (chain->n == 1)
		printf("  key 1, never replaced\n");
	for (size_t i = 1; i < chain->n; i++)
		printf("  key %zu since %.*s\n", i + 1, STR_ARG(clock_format(c->arena, chain->keys[i].from)));
}

static enum err find(struct call *c, const struct key_request *q, struct uuid *id, struct str *title)
{
	struct coop coop;
	*id = (struct uuid){ { 0 } };
	*title = STR("");
	if (q->instance)
		return ERR_OK;
	TRY(coop_find(c, q->coop, &coop));
	*id = coop.id;
	*title = coop.slug;
	return ERR_OK;
}

static void print_one(struct call *c, const struct key_request *q, struct str title, const struct keychain *chain)
{
	if (q->json)
		printf("%.*s\n", STR_ARG(chain->text));
	else
		print_chain(c, q->instance ? "The instance" : "The co-op", title, chain);
}

static enum err show_all(struct call *c)
{
	struct uuid nil = { { 0 } };
	struct keychain chain;
	struct coop *coops;
	size_t n;
	struct coop_filter page = { .limit = LIMIT_PAGE };
	struct str next = STR_NONE;
	TRY(db_begin(c, DB_READ));
	TRY(keychain_of(c, nil, &chain));
	TRY(db_commit(c));
	print_chain(c, "The instance", STR(""), &chain);
	do {
		page.cursor = next;
		TRY(coop_list(c, &page, &coops, &n, &next));
		TRY(db_begin(c, DB_READ));
		for (size_t i = 0; i < n; i++) {
			TRY(keychain_of(c, coops[i].id, &chain));
			print_chain(c, "The co-op", coops[i].slug, &chain);
		}
		TRY(db_commit(c));
	} while (next.p);
	return ERR_OK;
}

static enum err show(struct call *c, const struct key_request *q)
{
	struct uuid id;
	struct str title;
	struct keychain chain;
	if (!q->instance && !q->coop.p && !q->json)
		return show_all(c);
	struct key_request of = *q;
	of.instance = !q->coop.p;
	TRY(db_begin(c, DB_READ));
	TRY(find(c, &of, &id, &title));
	TRY(keychain_of(c, id, &chain));
	TRY(db_commit(c));
	print_one(c, &of, title, &chain);
	return ERR_OK;
}

static bool sure(struct str title)
{
	char answer[8];
	printf("A new key signs for %s%.*s from now on, for good. Go on? (yes/no) ", title.n ? "" : "the instance", STR_ARG(title));
	fflush(stdout);
	return fgets(answer, sizeof(answer), stdin) && str_is(str_trim(str_of(answer)), "yes");
}

static enum err rotate(struct call *c, const struct key_request *q)
{
	struct uuid id;
	struct str title;
	struct keychain chain;
	TRY(db_begin(c, DB_READ));
	TRY(find(c, q, &id, &title));
	TRY(db_commit(c));
	if (!q->yes && !sure(title))
		return fail(c, ERR_STATE, "Nothing was changed.");
	TRY(q->instance ? keychain_rotate(c, id, &chain) : coop_key_rotate(c, id, &chain));
	print_one(c, q, title, &chain);
	return ERR_OK;
}

int key_main(int argc, char **argv)
{
	struct key_request q = { .action = argc > 1 ? str_of(argv[1]) : STR_NONE };
	struct app *app = NULL;
	struct error error = { 0 };
	int status = 0;
	if (str_is(q.action, "--help") || str_is(q.action, "-h")) {
		printf("%s", usage);
		return 0;
	}
	if (!read_arguments(argc, argv, &q)) {
		fprintf(stderr, "%s", usage);
		return 2;
	}
	if (app_open(&app, &error) != ERR_OK) {
		status = command_failed("key", &error);
	} else {
		struct call *c = app_call();
		if (!c || (str_is(q.action, "show") ? show(c, &q) : rotate(c, &q)) != ERR_OK)
			status = command_failed("key", c ? &c->error : &error);
		app_call_end(c);
	}
	app_close(app);
	return status;
}
