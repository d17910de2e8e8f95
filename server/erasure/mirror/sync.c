/* The order of a run. First everything that is to be believed, then the new version, then what must go, whatever became of the new one, then what is remembered and said. */
#include "sync_internal.h"

#include "commonhold/file.h"
#include "commonhold/limits.h"

#include <dirent.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#define TOKEN_FILE_MAX (8 * KIB)
#define NAMED_MAX 10000
#define BASE_LIFE (8 * CLOCK_DAY)   /* a day more than a co-op takes for a redaction release by default */

const char *mirror_sync_how_name(enum mirror_sync_how h)
{
	static const char *const names[] = { "none", "whole", "update", "patch" };
	return (unsigned)h < CH_LEN(names) ? names[h] : "none";
}

enum err sync_fail(struct sync *s, enum err code, const char *reason, const char *fmt, ...)
{
	char text[sizeof(s->e->message)];
	va_list args;
	va_start(args, fmt);
	vsnprintf(text, sizeof(text), fmt, args);
	va_end(args);
	error_set(s->e, code, "%s", text);
	snprintf(s->e->reason, sizeof(s->e->reason), "%s", reason);
	return code;
}

bool sync_stopped(struct sync *s)
{
	return s->o->go_on && !s->o->go_on(s->o->arg);
}

void sync_progress(struct sync *s, const char *what, int64_t done, int64_t total)
{
	if (s->o->progress)
		s->o->progress(s->o->arg, what, done, total);
}

static enum err token_read(struct sync *s)
{
	struct str text;
	s->token = STR_NONE;
	if (!s->o->token_file)
		return ERR_OK;
	if (file_read(s->arena, "The token", s->o->token_file, TOKEN_FILE_MAX, &text, s->e) != ERR_OK)
		return s->e->code;
	s->token = str_trim(text);
	return s->token.n ? ERR_OK : sync_fail(s, ERR_BAD_REQUEST, "token", "The file %s holds no token.", s->o->token_file);
}

/* ---- what is to be ---- */

static bool must_go(const struct sync *s, struct str version)
{
	return names_has(&s->status.withdrawn, version) || names_has(&s->state.withdrawn, version) || names_has(&s->doomed, version);
}

static struct str newest_usable(struct sync *s)
{
	struct str best = STR_NONE;
	for (size_t i = 0; i < s->status.usable.n; i++) {
		struct str v = s->status.usable.at[i];
		if (!must_go(s, v) && (!best.p || version_compare(v, best) > 0))
			best = v;
	}
	return best;
}

/* A version that is held and neither usable nor withdrawn was never said to be over: the status is not one that follows those before. */
static enum err nothing_vanished(struct sync *s)
{
	if (s->current.p && !must_go(s, s->current) && !names_has(&s->status.usable, s->current))
		return sync_fail(s, ERR_CORRUPT, "rollback", "The co-op's status does not know version %.*s, which is held.", STR_ARG(s->current));
	return ERR_OK;
}

static enum err bring_up_to_date(struct sync *s)
{
	struct str target = newest_usable(s);
	if (target.p && s->current.p && str_eq(target, s->current))
		return s->o->verify_all ? recheck(s, target) : ERR_OK;
	if (!target.p || (s->current.p && !must_go(s, s->current) && version_compare(target, s->current) < 0))
		return ERR_OK;
	TRY(held_load(s));
	return acquire(s, target);
}

/* ---- what must go ---- */

static void deleted_add(struct sync *s, struct str version)
{
	struct names list = { s->out->deleted, s->out->n_deleted, s->out->n_deleted };
	names_add(s->arena, &list, version);
	s->out->deleted = list.at;
	s->out->n_deleted = list.n;
}

/* Out of sight first, then away; of one without a successor yet, what need not go is set aside. */
static enum err withdraw(struct sync *s, struct str version)
{
	bool was_current = s->current.p && str_eq(version, s->current);
	if (was_current) {
		TRY(folder_switch(s, STR_NONE));
		if (!s->held.n)
			TRY(held_load(s));
		base_keep(s, version);
		s->state.base_until = clock_now() + BASE_LIFE;
	}
	TRY(folder_remove(s, version));
	deleted_add(s, version);
	return ERR_OK;
}

/* What was begun of versions that must go, and what came of files of which nobody can tell whose they were. */
static void beginnings_clear(struct sync *s)
{
	DIR *d = opendir(folder_path(s, ".mirror/incoming").p);
	struct dirent *entry;
	bool any = s->out->n_deleted || s->doomed.n;
	while (d && (entry = readdir(d))) {
		struct str name = str_of(entry->d_name);
		ptrdiff_t dash = str_index(name, '-');
		if (dash > 0 && must_go(s, str_sub(name, 0, (size_t)dash))) {
			folder_clear(s, str_fmt(s->arena, ".mirror/incoming/%s", entry->d_name));
			any = true;
		}
	}
	if (d)
		closedir(d);
	if (any) {
		folder_clear(s, STR(".mirror/parts"));
		(void)mkdirat(s->dir, ".mirror/parts", 0755);
	}
}

static enum err clear_away(struct sync *s)
{
	struct names there;
	bool base_hit = s->state.base_until != INSTANT_NONE && (s->state.base_until <= clock_now() || s->doomed.n);
	if (base_hit) {
		base_clear(s);
		s->state.base_until = INSTANT_NONE;
	}
	TRY(folder_versions(s, &there));
	for (size_t i = 0; i < there.n; i++) {
		if (must_go(s, there.at[i]))
			TRY(withdraw(s, there.at[i]));
		else if (s->o->prune && s->current.p && version_compare(there.at[i], s->current) < 0)
			TRY(folder_remove(s, there.at[i]));
	}
	beginnings_clear(s);
	return ERR_OK;
}

/* ---- what is remembered ---- */

static void method_note(struct sync *s)
{
	bool redacted = s->out->how == MIRROR_SYNC_PATCH && s->out->n_deleted;
	if (redacted && !str_is(s->state.method, "deleted"))
		s->state.method = STR("patched");
	else if (s->out->n_deleted && !redacted)
		s->state.method = STR("deleted");
}

/* What tombstones name in the version held, and is in it all the same: it must not be in the next. */
static void named_keep(struct sync *s)
{
	struct sync_state *st = &s->state;
	bool was_more = st->named_more && s->out->how == MIRROR_SYNC_NOTHING;
	st->named = st->named_in = (struct names){ 0 };
	for (size_t i = 0; i < s->named.n && s->current.p && st->named.n < NAMED_MAX; i++)
		if (version_compare(s->named_in.at[i], s->current) >= 0) {
			names_add(s->arena, &st->named, s->named.at[i]);
			names_add(s->arena, &st->named_in, s->named_in.at[i]);
		}
	st->named_more = was_more || st->named.n == NAMED_MAX;
}

static enum err remember(struct sync *s)
{
	struct sync_state *st = &s->state;
	const struct sync_status *now = &s->status;
	st->origin = now->origin;
	st->size = now->size;
	st->root = now->root;
	st->created = now->created;
	st->status_upto = now->upto;
	st->chain = s->chain;
	if (s->o->mirror.p)
		st->mirror = s->o->mirror;
	for (size_t i = 0; i < now->withdrawn.n; i++)
		if (!names_has(&st->withdrawn, now->withdrawn.at[i]))
			names_add(s->arena, &st->withdrawn, now->withdrawn.at[i]);
	for (size_t i = 0; i < s->doomed.n; i++)
		if (!names_has(&st->withdrawn, s->doomed.at[i]))
			names_add(s->arena, &st->withdrawn, s->doomed.at[i]);
	method_note(s);
	named_keep(s);
	TRY(folder_write(s, "status.json", now->envelope, 0644));
	TRY(state_save(s));
	s->out->upto = s->chain.upto;
	return ERR_OK;
}

static enum err run(struct sync *s)
{
	struct error first = { 0 };
	TRY(folder_open(s));
	s->out->before = s->out->version = s->current;
	TRY(token_read(s));
	TRY(state_load(s));
	s->out->upto = s->state.chain.upto;
	TRY(key_settle(s));
	TRY(status_fetch(s));
	TRY(feed_fetch(s));
	TRY(nothing_vanished(s));
	enum err brought = bring_up_to_date(s);
	if (brought != ERR_OK)
		first = *s->e;
	error_clear(s->e);
	TRY(clear_away(s));
	TRY(remember(s));
	receipt_send(s);
	if (brought != ERR_OK)
		*s->e = first;
	return brought;
}

enum err mirror_sync(struct arena *a, const struct mirror_sync_options *o, struct mirror_sync_result *out, struct error *e)
{
	struct sync s = { .arena = a, .o = o, .out = out, .e = e, .dir = -1, .lock = -1 };
	jmp_buf no_memory;
	volatile enum err result = ERR_NO_MEMORY;
	*out = (struct mirror_sync_result){ .upto = -1, .receipt = "none" };
	error_clear(e);
	s.fetcher = fetcher_new();
	if (!s.fetcher || !crypto_start() || !fetch_start())
		return error_set(e, ERR_NO_MEMORY, "The libraries that a mirror needs cannot be started.");
	if (setjmp(no_memory) == 0) {
		arena_guard(a, &no_memory);
		result = run(&s);
	} else {
		error_set(e, ERR_NO_MEMORY, "The co-op's lists are larger than can be looked at.");
	}
	arena_guard(a, NULL);
	out->version = s.current;
	fetcher_free(s.fetcher);
	folder_close(&s);
	return result;
}
