/* What a mirror remembers: mirror.json, replaced as a whole. It is what makes going back in time visible, so that one that cannot be read is no reason to start anew. */
#include "sync_internal.h"

#include "commonhold/file.h"
#include "commonhold/limits.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>

#define STATE_MAX (8 * MIB)

void names_add(struct arena *a, struct names *to, struct str name)
{
	if (to->n == to->cap) {
		size_t cap = to->cap ? to->cap * 2 : 16;
		struct str *grown = ARENA_ARRAY(a, cap, struct str);
		if (to->n)
			memcpy((void *)grown, to->at, to->n * sizeof(*grown));
		to->at = grown;
		to->cap = cap;
	}
	to->at[to->n++] = name;
}

bool names_has(const struct names *in, struct str name)
{
	for (size_t i = 0; i < in->n; i++)
		if (str_eq(in->at[i], name))
			return true;
	return false;
}

static bool names_read(struct arena *a, const struct json *list, struct names *out)
{
	json_each(name, list) {
		if (!version_ok(json_text(name)))
			return false;
		names_add(a, out, json_text(name));
	}
	return true;
}

static instant instant_read(const struct json *v)
{
	instant at;
	return clock_parse(json_text(v), &at) ? at : INSTANT_NONE;
}

static bool hash_read(const struct json *v, struct sha256 *out)
{
	return sha256_parse(json_text(v), out);
}

static bool state_read(struct sync *s, const struct json *j)
{
	struct sync_state *st = &s->state;
	const struct json *receipt = json_get(j, "receipt");
	struct error ignored = { 0 };
	st->origin = json_member_text(j, "origin");
	st->size = json_int(json_at(j, "/log/size"), -1);
	st->created = instant_read(json_get(j, "status_created"));
	st->status_upto = json_int(json_get(j, "status_upto"), -1);
	st->chain.upto = json_int(json_at(j, "/chain/upto"), -1);
	st->mirror = json_member_text(j, "mirror");
	st->receipt_upto = json_int(json_get(receipt, "upto"), -2);
	st->receipt_at = instant_read(json_get(receipt, "at"));
	st->method = json_member_text(j, "method");
	st->base_until = instant_read(json_get(j, "base_until"));
	if (json_int(json_get(j, "v"), 0) != 1 || !str_unhex(json_member_text(j, "key"), st->key, 32))
		return false;
	if (json_is(json_get(j, "keys"), JSON_OBJECT) && (keychain_read_json(s->arena, json_get(j, "keys"), &st->keys, &ignored) != ERR_OK || keychain_find(&st->keys, st->key) < 0))
		return false;
	json_each(one, json_get(j, "named")) {
		names_add(s->arena, &st->named, json_member_text(one, "rid"));
		names_add(s->arena, &st->named_in, json_member_text(one, "version"));
	}
	st->named_more = json_bool(json_get(j, "named_more"), false);
	if (!names_read(s->arena, json_get(j, "withdrawn"), &st->withdrawn) || !names_read(s->arena, json_get(receipt, "held"), &st->receipt_held))
		return false;
	return !st->origin.p || (st->size >= 0 && st->created != INSTANT_NONE && hash_read(json_at(j, "/log/root"), &st->root) && hash_read(json_at(j, "/chain/digest"), &st->chain.digest));
}

enum err state_load(struct sync *s)
{
	struct str text;
	const struct json *j;
	struct error e = { 0 };
	s->state = (struct sync_state){ .receipt_upto = -2, .receipt_at = INSTANT_NONE, .created = INSTANT_NONE, .base_until = INSTANT_NONE, .status_upto = -1, .chain.upto = -1 };
	if (faccessat(s->dir, "mirror.json", F_OK, AT_SYMLINK_NOFOLLOW) != 0 && errno == ENOENT)
		return ERR_OK;
	if (file_read(s->arena, "The file", folder_path(s, "mirror.json").p, STATE_MAX, &text, &e) != ERR_OK || json_parse(s->arena, text, &j, &e) != ERR_OK || !state_read(s, j))
		return sync_fail(s, ERR_CORRUPT, "state", "mirror.json in the folder cannot be understood, and without it going back in time would not show. Restore it, or begin in an empty folder.");
	s->state.seen = true;
	return ERR_OK;
}

static void write_names(struct json_writer *w, const char *key, const struct names *names)
{
	jw_key(w, key);
	jw_array(w);
	for (size_t i = 0; i < names->n; i++)
		jw_str(w, names->at[i]);
	jw_end_array(w);
}

static void state_write(struct sync *s, struct json_writer *w)
{
	const struct sync_state *st = &s->state;
	struct arena *a = s->arena;
	jw_object(w);
	jw_kstr(w, "base_until", clock_format_or_none(a, st->base_until));
	jw_key(w, "chain");
	jw_object(w);
	jw_kstr(w, "digest", sha256_hex(a, st->chain.digest));
	jw_kint(w, "upto", st->chain.upto);
	jw_end_object(w);
	jw_kstr(w, "key", str_hex(a, st->key, 32));
	if (st->keys.n) {
		jw_key(w, "keys");
		jw_raw(w, st->keys.text);
	}
	jw_key(w, "log");
	jw_object(w);
	jw_kstr(w, "root", sha256_hex(a, st->root));
	jw_kint(w, "size", st->size);
	jw_end_object(w);
	jw_kstr(w, "method", st->method);
	jw_kstr(w, "mirror", st->mirror);
	jw_key(w, "named");
	jw_array(w);
	for (size_t i = 0; i < st->named.n; i++) {
		jw_object(w);
		jw_kstr(w, "rid", st->named.at[i]);
		jw_kstr(w, "version", st->named_in.at[i]);
		jw_end_object(w);
	}
	jw_end_array(w);
	jw_kbool(w, "named_more", st->named_more);
	jw_kstr(w, "origin", st->origin);
	jw_key(w, "receipt");
	jw_object(w);
	jw_kstr(w, "at", clock_format_or_none(a, st->receipt_at));
	write_names(w, "held", &st->receipt_held);
	jw_kint(w, "upto", st->receipt_upto);
	jw_end_object(w);
	jw_kstr(w, "status_created", clock_format_or_none(a, st->created));
	jw_kint(w, "status_upto", st->status_upto);
	jw_kstr(w, "url", s->o->url);
	jw_kint(w, "v", 1);
	write_names(w, "withdrawn", &st->withdrawn);
	jw_end_object(w);
}

enum err state_save(struct sync *s)
{
	struct buf b;
	struct json_writer w;
	buf_init(&b, STATE_MAX);
	jw_init(&w, &b);
	state_write(s, &w);
	buf_add_byte(&b, '\n');
	struct str text = buf_take(s->arena, &b);
	if (!text.p)
		return sync_fail(s, ERR_TOO_LARGE, "state", "There are more versions than a mirror can remember.");
	return folder_write(s, "mirror.json", text, 0644);
}

enum err folder_write(struct sync *s, const char *name, struct str content, unsigned mode)
{
	static const char temporary[] = ".mirror/new";
	int fd = openat(s->dir, temporary, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, mode);
	bool ok = fd >= 0 && file_write_all(fd, content.p, content.n) && fsync(fd) == 0;
	if (fd >= 0)
		ok = close(fd) == 0 && ok;
	if (!ok || renameat(s->dir, temporary, s->dir, name) != 0)
		return sync_fail(s, ERR_IO, "disk", "%s cannot be written: %s.", name, strerrorname_np(errno));
	return folder_sync(s, ".");
}
