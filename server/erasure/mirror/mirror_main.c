/* commonhold mirror sync DIR URL, commonhold mirror key DIR */
#include "commonhold/check.h"
#include "commonhold/config.h"
#include "commonhold/fetch.h"
#include "commonhold/json.h"
#include "commonhold/limits.h"
#include "commonhold/mirror.h"
#include "commonhold/mirror_sync.h"

#include <signal.h>
#include <stdio.h>
#include <unistd.h>

#define MIRROR_ARENA (1024 * MIB)   /* the largest manifest, its envelope and their trees; ids that tombstones name */

static volatile sig_atomic_t asked_to_stop;

static const char usage_text[] =
	"usage: commonhold mirror sync DIR URL [OPTIONS]\n"
	"       commonhold mirror key DIR [--coop NAME] [--receipt-key FILE] [--json]\n\n"
	"sync keeps DIR in step with a co-op's releases: fetches the newest usable version, applies redactions as patches, checks everything, deletes what was withdrawn, and says so in a\n"
	"signed receipt. DIR/current leads to the newest version. URL is the co-op's API, https://host/api/v1/coops/NAME, or with --coop the instance's address.\n"
	"key makes and shows the mirror's own key, DIR/mirror.key; with --coop also the proof that registering it asks for.\n\n"
	"  --coop NAME         the co-op's name in its instance's addresses\n"
	"  --key KEY           the co-op's public key, as minisign writes it (RW...) or 64 hexadecimal digits; needed once, remembered from then on\n"
	"  --trust-first       instead: believe the key that the server names, the first time\n"
	"  --token-file FILE   personal token, for releases that are gated\n"
	"  --mirror ID         the id that this mirror is registered under; receipts are sent from then on\n"
	"  --receipt-key FILE  the mirror's key; DIR/mirror.key unless given\n"
	"  --models TEXT       said in receipts: which models were trained on what was deleted\n"
	"  --prune             delete older versions once a newer one is in place\n"
	"  --verify-all        read and check the held version again, byte for byte\n"
	"  --loop SECONDS      go on, with so much time between runs, until told to stop\n"
	"  --tries N           attempts at what fails for a passing reason (4)\n"
	"  --patience SECONDS  how long less than 1 KiB a second may come (30)\n"
	"  --ca FILE           certificates of authorities to trust in place of the system's\n"
	"  --allow-http        ask other machines without TLS\n"
	"  --json              one JSON object a run on standard output\n\n"
	"Exit status: 0 in step, 1 something failed, 2 wrong usage.\n";

static int usage(FILE *to)
{
	fprintf(to, "%s", usage_text);
	return to == stdout ? 0 : 2;
}

/* What stands on the command line. */
struct arguments {
	const char *command, *dir, *url, *coop, *key, *token_file, *mirror, *receipt_key, *models, *ca;
	int64_t loop, tries, patience;
	bool trust_first, prune, verify_all, allow_http, json, help;
};

/* The option's value, as "--name value" or "--name=value"; NULL when it is another option or has none. */
static const char *value_of(const char *name, int argc, char **argv, int *i)
{
	size_t n = strlen(name);
	if (strncmp(argv[*i], name, n) == 0 && argv[*i][n] == '=')
		return argv[*i] + n + 1;
	return strcmp(argv[*i], name) == 0 && *i + 1 < argc ? argv[++*i] : NULL;
}

static bool text_option(struct arguments *a, int argc, char **argv, int *i)
{
	const struct { const char *name; const char **to; } options[] = {
		{ "--coop", &a->coop }, { "--key", &a->key }, { "--token-file", &a->token_file }, { "--mirror", &a->mirror }, { "--receipt-key", &a->receipt_key }, { "--models", &a->models },
		{ "--ca", &a->ca },
	};
	for (size_t k = 0; k < CH_LEN(options); k++) {
		const char *value = value_of(options[k].name, argc, argv, i);
		if (value) {
			*options[k].to = value;
			return true;
		}
	}
	return false;
}

static bool number_option(struct arguments *a, int argc, char **argv, int *i)
{
	const struct { const char *name; int64_t *to, max; } options[] = { { "--loop", &a->loop, 30 * 86400 }, { "--tries", &a->tries, 100 }, { "--patience", &a->patience, 3600 } };
	for (size_t k = 0; k < CH_LEN(options); k++) {
		const char *value = value_of(options[k].name, argc, argv, i);
		if (value)
			return str_to_i64(str_of(value), 1, options[k].max, options[k].to);
	}
	return false;
}

static bool flag_option(struct arguments *a, const char *arg)
{
	const struct { const char *name; bool *to; } options[] = {
		{ "--trust-first", &a->trust_first }, { "--prune", &a->prune }, { "--verify-all", &a->verify_all }, { "--allow-http", &a->allow_http }, { "--json", &a->json }, { "--help", &a->help },
		{ "-h", &a->help },
	};
	for (size_t k = 0; k < CH_LEN(options); k++)
		if (strcmp(arg, options[k].name) == 0)
			return *options[k].to = true;
	return false;
}

static bool arguments_parse(int argc, char **argv, struct arguments *out)
{
	*out = (struct arguments){ 0 };
	for (int i = 1; i < argc; i++) {
		if (argv[i][0] == '-') {
			if (!flag_option(out, argv[i]) && !text_option(out, argc, argv, &i) && !number_option(out, argc, argv, &i))
				return false;
			continue;
		}
		const char **place = !out->command ? &out->command : !out->dir ? &out->dir : !out->url ? &out->url : NULL;
		if (!place)
			return false;
		*place = argv[i];
	}
	return true;
}

/* ---- sync ---- */

static void stop(int number)
{
	(void)number;
	asked_to_stop = 1;
}

static bool go_on(void *arg)
{
	(void)arg;
	return !asked_to_stop;
}

static void show_progress(void *arg, const char *what, int64_t done, int64_t total)
{
	(void)arg;
	if (total > 0)
		fprintf(stderr, "\r\033[K%s: %lld of %lld", what, (long long)done, (long long)total);
	else
		fprintf(stderr, "\r\033[K%s ...", what);
}

static void print_json(const struct mirror_sync_result *r, const struct error *e)
{
	struct buf b;
	struct json_writer w;
	buf_init(&b, MIB);
	jw_init(&w, &b);
	jw_object(&w);
	jw_kstr(&w, "before", r->before);
	jw_key(&w, "deleted");
	jw_array(&w);
	for (size_t i = 0; i < r->n_deleted; i++)
		jw_str(&w, r->deleted[i]);
	jw_end_array(&w);
	jw_kint(&w, "downloaded", r->downloaded);
	jw_key(&w, "error");
	if (e->code) {
		jw_object(&w);
		jw_kz(&w, "message", e->message);
		jw_kz(&w, "reason", e->reason[0] ? e->reason : err_code(e->code));
		jw_end_object(&w);
	} else {
		jw_null(&w);
	}
	jw_kz(&w, "how", mirror_sync_how_name(r->how));
	jw_kbool(&w, "ok", !e->code);
	jw_kint(&w, "patched", r->patched);
	jw_kz(&w, "receipt", r->receipt);
	jw_kstr(&w, "receipt_why", r->receipt_why);
	jw_kint(&w, "reused", r->reused);
	jw_kint(&w, "rows_dropped", r->rows_dropped);
	jw_kint(&w, "shards", r->shards);
	jw_kint(&w, "tombstones_upto", r->upto);
	jw_kstr(&w, "version", r->version);
	jw_end_object(&w);
	printf("%.*s\n", STR_ARG(buf_str(&b)));
	fflush(stdout);
	buf_release(&b);
}

static void print_lines(const struct mirror_sync_result *r, const struct error *e)
{
	static const char *const came[] = { "is held already", "was fetched whole", "was fetched, with what it shares taken from what is held", "was made from what is held by the co-op's patch" };
	for (size_t i = 0; i < r->n_deleted; i++)
		printf("Version %.*s was withdrawn and is deleted here.\n", STR_ARG(r->deleted[i]));
	if (r->version.p && !e->code)
		printf("Version %.*s %s; %lld bytes came, %lld files were taken over, %lld of %lld shards patched.\n", STR_ARG(r->version), came[r->how], (long long)r->downloaded,
			(long long)r->reused, (long long)r->patched, (long long)r->shards);
	else if (!e->code)
		printf("There is no version that may be used.\n");
	if (strcmp(r->receipt, "sent") == 0)
		printf("A receipt up to tombstone %lld was sent.\n", (long long)r->upto);
	fflush(stdout);
	if (strcmp(r->receipt, "failed") == 0)
		fprintf(stderr, "commonhold mirror: the receipt could not be sent and is tried again next time: %.*s\n", STR_ARG(r->receipt_why));
	if (e->code)
		fprintf(stderr, "commonhold mirror: %s\n", e->message[0] ? e->message : err_text(e->code));
	if (e->code && e->hint[0])
		fprintf(stderr, "  %s\n", e->hint);
}

static int sync_once(const struct mirror_sync_options *o, bool json)
{
	struct mirror_sync_result result;
	struct error e = { 0 };
	struct arena *a = arena_new(MIRROR_ARENA);
	if (!a)
		return 1;
	enum err done = mirror_sync(a, o, &result, &e);
	if (o->progress)
		fprintf(stderr, "\r\033[K");
	if (done == ERR_OK)
		error_clear(&e);
	if (json)
		print_json(&result, &e);
	else
		print_lines(&result, &e);
	bool receipt_failed = strcmp(result.receipt, "failed") == 0;
	arena_free(a);
	return done == ERR_OK && !receipt_failed ? 0 : 1;
}

static void rest(int64_t seconds)
{
	for (int64_t i = 0; i < seconds * 10 && !asked_to_stop; i++)
		usleep(100 * 1000);
}

static int sync_loop(const struct mirror_sync_options *o, const struct arguments *args)
{
	int status;
	do {
		status = sync_once(o, args->json);
		if (args->loop)
			rest(args->loop);
	} while (args->loop && !asked_to_stop);
	return args->loop && asked_to_stop ? 0 : status;
}

/* Without a slash at its end; with --coop the address of an instance. */
static struct str address(struct arena *a, const struct arguments *args)
{
	struct str url = str_of(args->url);
	while (url.n && url.p[url.n - 1] == '/')
		url.n--;
	return args->coop ? str_fmt(a, "%.*s/api/v1/coops/%.*s", STR_ARG(url), STR_ARG(str_url_encode(a, str_of(args->coop)))) : url;
}

static int wrong(const char *text)
{
	fprintf(stderr, "commonhold mirror: %s\n", text);
	return 2;
}

static int sync_command(struct arena *a, const struct arguments *args)
{
	uint8_t key[32];
	struct uuid id;
	struct error e = { 0 };
	struct mirror_sync_options o = {
		.dir = args->dir, .url = address(a, args), .trust_first = args->trust_first, .token_file = args->token_file, .mirror = args->mirror ? str_of(args->mirror) : STR_NONE,
		.receipt_key = args->receipt_key, .models = args->models ? str_of(args->models) : STR_NONE, .ca_file = args->ca, .prune = args->prune, .verify_all = args->verify_all,
		.allow_http = args->allow_http, .tries = (int)args->tries, .patience_seconds = (long)args->patience, .go_on = go_on, .progress = isatty(STDERR_FILENO) ? show_progress : NULL,
	};
	if (args->key && !check_key_parse(a, args->key, key))
		return wrong("the key is neither minisign's form nor 64 hexadecimal digits.");
	if (args->key)
		o.key = key;
	if (o.mirror.p && !uuid_parse(o.mirror, &id))
		return wrong("the id of the mirror is none.");
	if (fetch_url_check(a, o.url, true, o.allow_http || url_is_loopback(o.url), NULL, &e) != ERR_OK)
		return wrong(e.message);
	if (str_index(o.url, '?') >= 0 || str_index(o.url, '#') >= 0)
		return wrong("the address must end with the co-op's name.");
	return sync_loop(&o, args);
}

/* ---- key ---- */

static struct str proof_make(struct arena *a, const struct sign_key *key, const char *coop)
{
	struct buf b;
	struct json_writer w;
	buf_init(&b, 64 * KIB);
	jw_init(&w, &b);
	jw_object(&w);
	jw_kstr(&w, "at", clock_format(a, clock_now()));
	jw_kz(&w, "coop", coop);
	jw_kstr(&w, "key", key_id(a, key->public_key));
	jw_end_object(&w);
	struct str text = buf_take(a, &b);
	return text.p ? dsse_sign(a, key, 1, STR(MIRROR_KEY_TYPE), text) : STR_NONE;
}

static int key_command(struct arena *a, const struct arguments *args)
{
	struct sign_key key;
	struct error e = { 0 };
	const char *path = args->receipt_key ? args->receipt_key : str_fmt(a, "%s/mirror.key", args->dir).p;
	if (!crypto_start() || mirror_key_open(a, path, true, &key, &e) != ERR_OK) {
		fprintf(stderr, "commonhold mirror: %s%s%s\n", e.message, e.hint[0] ? " " : "", e.hint);
		return 1;
	}
	struct str hex = str_hex(a, key.public_key, 32), proof = args->coop ? proof_make(a, &key, args->coop) : STR_NONE;
	secret_wipe(&key, sizeof(key));
	if (args->json) {
		struct buf b;
		struct json_writer w;
		buf_init(&b, MIB);
		jw_init(&w, &b);
		jw_object(&w);
		jw_key(&w, "proof");
		if (proof.p)
			jw_raw(&w, proof);
		else
			jw_null(&w);
		jw_kstr(&w, "public_key", hex);
		jw_end_object(&w);
		printf("%.*s\n", STR_ARG(buf_str(&b)));
		buf_release(&b);
	} else {
		printf("public key  %.*s\n", STR_ARG(hex));
		if (proof.p)
			printf("proof       %.*s\n", STR_ARG(proof));
	}
	return 0;
}

int mirror_main(int argc, char **argv)
{
	struct arguments args;
	struct error e = { 0 };
	/* Asked twice, it ends at once: a run may be ended anywhere. */
	struct sigaction on_stop = { .sa_handler = stop, .sa_flags = (int)SA_RESETHAND };
	if (!arguments_parse(argc, argv, &args))
		return usage(stderr);
	if (args.help)
		return usage(stdout);
	bool sync = args.command && strcmp(args.command, "sync") == 0, key = args.command && strcmp(args.command, "key") == 0;
	if (!args.dir || !(sync ? args.url != NULL : key && !args.url))
		return usage(stderr);
	if (config_load(&e) != ERR_OK)
		return wrong(e.message);
	signal(SIGPIPE, SIG_IGN);
	sigaction(SIGTERM, &on_stop, NULL);
	sigaction(SIGINT, &on_stop, NULL);
	struct arena *a = arena_new(64 * MIB);
	if (!a)
		return 1;
	int status = sync ? sync_command(a, &args) : key_command(a, &args);
	arena_free(a);
	return status;
}
