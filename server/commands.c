#include "app.h"

#include "commonhold/account.h"
#include "commonhold/coop.h"
#include "commonhold/db.h"
#include "commonhold/log.h"
#include "commonhold/notify.h"
#include "commonhold/pool.h"
#include "commonhold/release.h"
#include "commonhold/sign_in.h"

#include <getopt.h>
#include <stdio.h>
#include <unistd.h>

/* A command's work inside the opened program. */
typedef enum err (*command_fn)(struct call *c, void *arg);

/* Opens the program, does the work, closes it, and says what went wrong. */
static int with_app(const char *command, command_fn fn, void *arg)
{
	struct app *app = NULL;
	struct error error = { 0 };
	enum err e = app_open(&app, &error);
	struct call *c = e == ERR_OK ? app_call() : NULL;
	int status = 0;
	if (e != ERR_OK)
		status = command_failed(command, &error);
	else if (!c)
		status = 1;
	else if (fn(c, arg) != ERR_OK)
		status = command_failed(command, &c->error);
	app_call_end(c);
	app_close(app);
	return status;
}

static bool wants_help(int argc, char **argv)
{
	return argc > 1 && (str_is(str_of(argv[1]), "--help") || str_is(str_of(argv[1]), "-h"));
}

static int wrong_usage(const char *text)
{
	fprintf(stderr, "%s", text);
	return 2;
}

int serve_main(int argc, char **argv)
{
	static const char usage[] = "usage: commonhold serve\n\nAnswers requests and runs jobs until interrupted. Settings come from the environment.\n";
	struct app *app = NULL;
	struct error error = { 0 };
	if (wants_help(argc, argv)) {
		printf("%s", usage);
		return 0;
	}
	if (argc > 1)
		return wrong_usage(usage);
	int status = 0;
	if (app_open(&app, &error) != ERR_OK || app_serve(app, &error) != ERR_OK) {
		status = command_failed("serve", &error);
	} else {
		log_event(LOG_INFO, "server.ready", LOG_N("port", app_port(app)), LOG_Z("url", config()->base_url));
		app_wait();
		log_event(LOG_INFO, "server.stopping", LOG_N("port", app_port(app)));
	}
	if (app)
		app_drain(app);
	app_close(app);
	return status;
}

static enum err migrated(struct call *c, void *arg)
{
	(void)c;
	(void)arg;
	printf("The database is up to date.\n");
	return ERR_OK;
}

int migrate_main(int argc, char **argv)
{
	static const char usage[] = "usage: commonhold migrate\n\nBrings the database up to this program's schema; safe to repeat, and with several processes.\n";
	if (wants_help(argc, argv)) {
		printf("%s", usage);
		return 0;
	}
	return argc > 1 ? wrong_usage(usage) : with_app("migrate", migrated, NULL);
}

/* What the configuration names on other machines. */
static enum err neighbours_answer(struct call *c)
{
	const struct oidc_provider *providers;
	if (notify_mail_on()) {
		TRY(notify_mail_check(c->arena, &c->error));
		printf("mail            the mail server takes mail from us\n");
	}
	if (oidc_providers(&providers)) {
		TRY(oidc_check(c));
		printf("sign-in         %.*s says where to sign in, and shows its keys\n", STR_ARG(providers[0].name));
	}
	return ERR_OK;
}

/* Whether a restored backup has brought back what was erased, and whether backups are kept for longer than charters promise. */
static enum err erased_stays_erased(struct call *c)
{
	struct pool_reconciled found;
	struct pool_overlong *overlong;
	size_t n;
	TRY(pool_reconcile(c, true, &found));
	if (found.brought_back)
		return fail(c, ERR_STATE, "%lld erased contributions are there again, as after restoring a backup. `commonhold serve` erases them again when it starts.", (long long)found.brought_back);
	printf("erasure         %lld marks of what was erased, none of it is back\n", (long long)found.marks);
	TRY(pool_backups_overlong(c, &overlong, &n));
	for (size_t i = 0; i < n; i++)
		printf("backups         are kept %d days, but the charter of %.*s promises %lld: set COMMONHOLD_BACKUP_CONTENT_DAYS and backup.sh --content-days to that\n",
			config()->backup_content_days_n, STR_ARG(overlong[i].coop_name), (long long)overlong[i].days);
	return ERR_OK;
}

static enum err healthy(struct call *c, void *arg)
{
	SQL(versions, "SELECT current_setting('server_version'), (SELECT count(*) FROM commonhold_migration), (SELECT count(*) FROM coop), (SELECT count(*) FROM account)");
	struct rows r;
	(void)arg;
	TRY(db_begin(c, DB_READ));
	TRY(db_query0(c, versions, &r));
	printf("database        PostgreSQL %.*s, %lld migrations, %lld co-ops, %lld accounts\n", STR_ARG(row_str(&r, 0, 0)), (long long)row_int(&r, 0, 1),
		(long long)row_int(&r, 0, 2), (long long)row_int(&r, 0, 3));
	TRY(db_commit(c));
	TRY(erased_stays_erased(c));
	return neighbours_answer(c);
}

static void print_settings(void)
{
	struct setting s;
	for (size_t i = 0; config_setting(i, &s); i++) {
		struct str name = str_of(s.variable);
		bool secret = str_ends(name, "_TOKEN") || str_ends(name, "_PASSWORD") || str_ends(name, "_SECRET") || str_ends(name, "_URL");
		const char *shown = secret && s.value[0] && !str_is(str_of(s.variable), "COMMONHOLD_BASE_URL") ? "(set)" : s.value;
		printf("%-30s %-24s %s\n", s.variable, shown, s.text);
	}
}

int doctor_main(int argc, char **argv)
{
	static const char usage[] = "usage: commonhold doctor [--settings]\n\nChecks configuration, keys and database and says what to mend; --settings only lists the settings.\n";
	struct error error = { 0 };
	if (wants_help(argc, argv)) {
		printf("%s", usage);
		return 0;
	}
	if (argc > 2 || (argc == 2 && !str_is(str_of(argv[1]), "--settings")))
		return wrong_usage(usage);
	if (config_load(&error) != ERR_OK)
		return command_failed("doctor", &error);
	print_settings();
	if (argc == 2)
		return 0;
	if (geteuid() == 0)
		printf("user            root: the database runs as postgres; in production run Commonhold as a user of its own (see server/deploy)\n");
	if (str_starts(str_of(config()->base_url), "http://") && !str_starts(str_of(config()->base_url), "http://127.") && !str_starts(str_of(config()->base_url), "http://localhost"))
		printf("base URL        is http: put nginx with TLS in front (see server/deploy) and set COMMONHOLD_BASE_URL to its https address\n");
	if (!notify_mail_on())
		printf("mail            none is sent: set COMMONHOLD_SMTP_URL and COMMONHOLD_MAIL_FROM, or people are told in their inboxes alone\n");
	int status = with_app("doctor", healthy, NULL);
	printf(status == 0 ? "Everything is in order.\n" : "Mend what is said above, then run it again.\n");
	return status;
}

/* ---- account ---- */

struct account_request { struct str action, email, name; };

static enum err account_work(struct call *c, void *arg)
{
	const struct account_request *q = arg;
	struct account account;
	struct str secret;
	if (str_is(q->action, "create")) {
		uint8_t bytes[15];
		random_bytes(bytes, sizeof(bytes));
		struct str password = str_base64url(c->arena, bytes, sizeof(bytes));
		TRY(account_register(c, q->email, q->name, password, &account));
		printf("account=%.*s\npassword=%.*s\n", STR_ARG(uuid_format(c->arena, account.id)), STR_ARG(password));
		return ERR_OK;
	}
	if (str_is(q->action, "verify")) {
		TRY(account_vouch_email(c, q->email, &account));
		printf("account=%.*s\n", STR_ARG(uuid_format(c->arena, account.id)));
		return ERR_OK;
	}
	TRY(account_find(c, q->email, &account));
	struct token_row token;
	c->actor.account = account.id;
	TRY(token_create(c, q->name.p ? q->name : STR("command line"), INSTANT_NONE, &token, &secret));
	printf("token=%.*s\n", STR_ARG(secret));
	return ERR_OK;
}

int account_main(int argc, char **argv)
{
	static const char usage[] =
		"usage: commonhold account create E-MAIL NAME\n"
		"       commonhold account token E-MAIL [NAME OF THE TOKEN]\n"
		"       commonhold account verify E-MAIL\n\n"
		"create makes an account and prints a password for it; token makes a personal token for programs; verify vouches that the address is the person's,\n"
		"as the link mailed to it would show, for instances that send no mail.\n";
	if (wants_help(argc, argv)) {
		printf("%s", usage);
		return 0;
	}
	struct account_request q = { .action = argc > 1 ? str_of(argv[1]) : STR_NONE, .email = argc > 2 ? str_of(argv[2]) : STR_NONE, .name = argc > 3 ? str_of(argv[3]) : STR_NONE };
	bool create = str_is(q.action, "create") && argc == 4, token = str_is(q.action, "token") && (argc == 3 || argc == 4), verify = str_is(q.action, "verify") && argc == 3;
	return create || token || verify ? with_app("account", account_work, &q) : wrong_usage(usage);
}

/* ---- release ---- */

struct release_request { struct str action, coop; };

static enum err print_releases(struct call *c, struct uuid coop)
{
	struct release *releases;
	struct str next;
	size_t n;
	TRY(release_list(c, coop, STR_NONE, STR_NONE, LIMIT_PAGE, &releases, &n, &next));
	for (size_t i = 0; i < n; i++)
		printf("%-12.*s %-11s cut-off %.*s  %lld of %lld items%s%.*s\n", STR_ARG(releases[i].version.p ? releases[i].version : STR("-")),
			release_state_name(releases[i].state), STR_ARG(clock_format(c->arena, releases[i].cutoff_at)), (long long)releases[i].included,
			(long long)releases[i].candidates, releases[i].failure.p ? "  " : "", STR_ARG(releases[i].failure));
	return ERR_OK;
}

static enum err release_work(struct call *c, void *arg)
{
	const struct release_request *q = arg;
	struct coop coop;
	struct error error = { 0 };
	int ran;
	if (str_is(q->action, "run")) {
		enum err e = job_run_due(app_jobs(), &ran, &error);
		c->error = error;
		if (e == ERR_OK)
			printf("%d jobs done.\n", ran);
		return e;
	}
	TRY(db_begin(c, DB_READ));
	TRY(coop_find(c, q->coop, &coop));
	TRY(db_commit(c));
	if (str_is(q->action, "schedule"))
		TRY(release_schedule_next(c, coop.id, NULL));
	return print_releases(c, coop.id);
}

int release_main(int argc, char **argv)
{
	static const char usage[] =
		"usage: commonhold release list CO-OP\n"
		"       commonhold release schedule CO-OP\n"
		"       commonhold release run\n\n"
		"list shows a co-op's releases; schedule makes sure the next one is scheduled; run does now whatever is due (freezing, opening, closing, building).\n";
	if (wants_help(argc, argv)) {
		printf("%s", usage);
		return 0;
	}
	struct release_request q = { .action = argc > 1 ? str_of(argv[1]) : STR_NONE, .coop = argc > 2 ? str_of(argv[2]) : STR_NONE };
	bool named = (str_is(q.action, "list") || str_is(q.action, "schedule")) && argc == 3;
	return named || (str_is(q.action, "run") && argc == 2) ? with_app("release", release_work, &q) : wrong_usage(usage);
}
