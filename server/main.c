#include "commonhold/ballot_proof.h"
#include "commonhold/mirror_sync.h"
#include "commonhold/erasure_statement.h"
#include "commonhold/verify.h"

#include "app.h"

#include <stdio.h>

static const struct command {
	const char *name;
	int (*run)(int argc, char **argv);
	const char *summary;
} commands[] = {
	{ "serve", serve_main, "answer requests and run jobs until interrupted" },
	{ "migrate", migrate_main, "bring the database up to this program's schema" },
	{ "demo", demo_main, "fill two co-ops and carry a release through to verification" },
	{ "import", import_main, "add contributions from a file to a member's pool" },
	{ "fork", fork_main, "take the items of those who say yes to an instance of their own" },
	{ "release", release_main, "schedule and list a co-op's releases, run what is due" },
	{ "key", key_main, "show the keys of the instance and its co-ops, or change to a new one" },
	{ "message", message_main, "carry messages between co-ops as files" },
	{ "bundle", bundle_main, "carry what an agreement lets pass between two co-ops as a file" },
	{ "mirror", mirror_main, "keep a copy of a co-op's releases in step" },
	{ "verify", verify_main, "check a downloaded release, offline" },
	{ "audit", audit_main, "recount a ballot from its bundle, offline" },
	{ "statement", erasure_statement_main, "check a signed statement about a deletion, offline" },
	{ "account", account_main, "make accounts and personal tokens" },
	{ "bounce", bounce_main, "take note of a delivery report: mail that came back" },
	{ "explain", explain_main, "say why an item of a policy document is in a release, held or out" },
	{ "policy", policy_main, "check a release's rules, compare two, try one out" },
	{ "doctor", doctor_main, "check the configuration and say what to mend" },
};

static int usage(FILE *to)
{
	fprintf(to, "usage: commonhold COMMAND [ARGUMENTS]\n\n");
	for (size_t i = 0; i < CH_LEN(commands); i++)
		fprintf(to, "  %-9s  %s\n", commands[i].name, commands[i].summary);
	fprintf(to, "\n`commonhold COMMAND --help` says more. Settings come from the environment; `commonhold doctor` lists them.\n");
	return to == stdout ? 0 : 2;
}

int command_failed(const char *command, const struct error *e)
{
	fprintf(stderr, "commonhold %s: %s\n", command, e->message[0] ? e->message : err_text(e->code));
	if (e->detail[0])
		fprintf(stderr, "  %s\n", e->detail);
	for (const struct fault *f = e->faults; f; f = f->next)
		fprintf(stderr, "  %.*s: %.*s\n", STR_ARG(f->pointer), STR_ARG(f->message));
	if (e->hint[0])
		fprintf(stderr, "  %s\n", e->hint);
	return 1;
}

int main(int argc, char **argv)
{
	struct str name = argc > 1 ? str_of(argv[1]) : STR_NONE;
	if (str_is(name, "--help") || str_is(name, "-h") || str_is(name, "help"))
		return usage(stdout);
	for (size_t i = 0; i < CH_LEN(commands); i++)
		if (str_is(name, commands[i].name))
			return commands[i].run(argc - 1, argv + 1);
	if (name.n)
		fprintf(stderr, "commonhold: there is no command \"%.*s\".\n", STR_ARG(name));
	return usage(stderr);
}
