#include "commonhold/check.h"

#include "commonhold/crypto.h"

#include <stdio.h>
#include <unistd.h>

void checks_print(const struct check *checks)
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

bool check_arguments_parse(int argc, char **argv, int from, bool standard_input, struct check_arguments *out)
{
	*out = (struct check_arguments){ .path = NULL };
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
		else if (str_is(arg, "--base") && i + 1 < argc)
			out->base = argv[++i];
		else if ((str_starts(arg, "-") && !(standard_input && arg.n == 1)) || out->path)
			return false;
		else
			out->path = argv[i];
	}
	return out->help || out->path;
}

bool check_key_parse(struct arena *a, const char *text, uint8_t key[32])
{
	return str_unhex(str_of(text), key, 32) || minisign_parse_key(a, str_of(text), key);
}
