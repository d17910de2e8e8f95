#include "commonhold/check.h"

#include "commonhold/crypto.h"
#include "commonhold/file.h"
#include "commonhold/keychain.h"
#include "commonhold/limits.h"

#include <stdio.h>
#include <unistd.h>

/* A line for each; in colours on a terminal. */
static void checks_print(const struct check *checks)
{
	bool colours = isatty(STDOUT_FILENO);
	for (const struct check *c = checks; c; c = c->next)
		printf("%s%s%s  %-14s  %.*s\n", colours ? (c->ok ? "\033[32m" : "\033[31m") : "", c->ok ? "ok  " : "FAIL", colours ? "\033[0m" : "", c->id, STR_ARG(c->text));
}

void checks_write(struct json_writer *w, const struct check *checks)
{
	jw_key(w, "checks");
	jw_array(w);
	for (const struct check *c = checks; c; c = c->next) {
		jw_object(w);
		jw_kz(w, "id", c->id);
		jw_kbool(w, "ok", c->ok);
		jw_kstr(w, "text", c->text);
		jw_end_object(w);
	}
	jw_end_array(w);
}

bool check_key_parse(struct arena *a, const char *text, uint8_t key[32])
{
	return str_unhex(str_of(text), key, 32) || minisign_parse_key(a, str_of(text), key);
}

/* The command line as it was typed. */
struct typed {
	const char *path, *key, *keys, *base;
	bool json, help;
};

static bool typed_parse(int argc, char **argv, int from, const struct check_command *command, struct typed *out)
{
	*out = (struct typed){ .path = NULL };
	for (int i = from; i < argc; i++) {
		struct str arg = str_of(argv[i]);
		if (str_is(arg, "--json"))
			out->json = true;
		else if (str_is(arg, "--help") || str_is(arg, "-h"))
			out->help = true;
		else if (str_is(arg, "--key") && i + 1 < argc)
			out->key = argv[++i];
		else if (str_starts(arg, "--key="))
			out->key = argv[i] + 6;
		else if (str_is(arg, "--keys") && i + 1 < argc)
			out->keys = argv[++i];
		else if (str_starts(arg, "--keys="))
			out->keys = argv[i] + 7;
		else if (command->base && str_is(arg, "--base") && i + 1 < argc)
			out->base = argv[++i];
		else if ((str_starts(arg, "-") && !(command->standard_input && arg.n == 1)) || out->path)
			return false;
		else
			out->path = argv[i];
	}
	return out->help || out->path;
}

static void print_json(const struct check_command *command, const struct check_report *r)
{
	struct buf out;
	struct json_writer w;
	buf_init(&out, 1 * MIB);
	jw_init(&w, &out);
	jw_object(&w);
	command->write(&w, r);
	jw_end_object(&w);
	printf("%.*s\n", STR_ARG(buf_str(&out)));
	buf_release(&out);
}

static bool keys_read(struct arena *a, const char *path, struct keychain *out, struct error *e)
{
	struct str text;
	return file_read(a, "The chain of keys", path, KEYCHAIN_TEXT_MAX + 1, &text, e) == ERR_OK && keychain_read(a, text, out, e) == ERR_OK;
}

static int look_and_print(struct arena *a, const struct check_command *command, const struct typed *typed)
{
	uint8_t key[32];
	struct keychain known;
	struct check_arguments args = { .path = typed->path, .public_key = typed->key ? key : NULL, .known = typed->keys ? &known : NULL, .base = typed->base };
	struct check_report report = { .checks = NULL };
	struct error e = { 0 };
	if (typed->key && !check_key_parse(a, typed->key, key)) {
		fprintf(stderr, "commonhold %s: the key is neither minisign's form nor 64 hexadecimal digits.\n", command->name);
		return 2;
	}
	if (typed->keys && !keys_read(a, typed->keys, &known, &e)) {
		fprintf(stderr, "commonhold %s: %s: %s\n", command->name, typed->keys, e.message);
		return 2;
	}
	if (command->look(a, &args, &report, &e) != ERR_OK) {
		fprintf(stderr, "commonhold %s: %s\n", command->name, e.message);
		return 1;
	}
	if (typed->json) {
		print_json(command, &report);
	} else {
		checks_print(report.checks);
		printf("%s\n", report.verdict);
	}
	return report.ok ? 0 : 1;
}

int check_main(int argc, char **argv, int from, const struct check_command *command)
{
	struct typed typed;
	if (!typed_parse(argc, argv, from, command, &typed)) {
		fputs(command->usage, stderr);
		return 2;
	}
	if (typed.help) {
		fputs(command->usage, stdout);
		return 0;
	}
	struct arena *a = arena_new(command->memory);
	if (!a)
		return 1;
	int status = look_and_print(a, command, &typed);
	arena_free(a);
	return status;
}
