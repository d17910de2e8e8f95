/* What a mirror says of itself, signed with its own key: up to which tombstone it has dealt with everything, how, and what it holds now. */
#include "sync_internal.h"

#include "commonhold/file.h"
#include "commonhold/ledger.h"
#include "commonhold/limits.h"
#include "commonhold/mirror.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#define RECEIPT_MAX (1 * MIB)

/* ---- the key ---- */

static enum err key_make(const char *path, struct sign_key *out, struct error *e)
{
	uint8_t seed[32];
	char text[66];
	random_bytes(seed, sizeof(seed));
	for (size_t i = 0; i < sizeof(seed); i++)
		snprintf(text + 2 * i, 3, "%02x", seed[i]);
	text[64] = '\n';
	int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
	bool ok = fd >= 0 && file_write_all(fd, text, 65) && fsync(fd) == 0;
	int number = errno;
	if (fd >= 0)
		close(fd);
	sign_key_from_seed(out, seed);
	secret_wipe(seed, sizeof(seed));
	secret_wipe(text, sizeof(text));
	return ok ? ERR_OK : error_set(e, ERR_IO, "The key %s cannot be written: %s.", path, strerrorname_np(number));
}

static enum err key_read(int fd, const char *path, struct sign_key *out, struct error *e)
{
	char text[65];
	uint8_t seed[32];
	struct stat st;
	if (fstat(fd, &st) != 0 || !S_ISREG(st.st_mode) || (st.st_mode & 077) != 0)
		return error_hint(e, ERR_REFUSED, "Give the file mode 0600.", "The key %s can be read by others.", path);
	ssize_t n = read(fd, text, sizeof(text));
	if (n < 64 || !str_unhex(str_make(text, 64), seed, 32))
		return error_set(e, ERR_CORRUPT, "The key %s cannot be understood.", path);
	sign_key_from_seed(out, seed);
	secret_wipe(seed, sizeof(seed));
	secret_wipe(text, sizeof(text));
	return ERR_OK;
}

enum err mirror_key_open(struct arena *a, const char *path, bool make, struct sign_key *out, struct error *e)
{
	(void)a;
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
	if (fd < 0 && errno == ENOENT && make) {
		TRY(file_make_parents(path, e));
		return key_make(path, out, e);
	}
	if (fd < 0)
		return error_set(e, ERR_NOT_FOUND, "The key %s cannot be read: %s.", path, strerrorname_np(errno));
	enum err result = key_read(fd, path, out, e);
	close(fd);
	return result;
}

/* ---- the receipt ---- */

static bool same_names(const struct names *a, const struct names *b)
{
	for (size_t i = 0; i < a->n; i++)
		if (!names_has(b, a->at[i]))
			return false;
	return a->n == b->n;
}

/* Canonical: members in order, no spaces. */
static struct str receipt_text(struct sync *s, const struct sign_key *key, const struct names *held, instant at)
{
	struct buf b;
	struct json_writer w;
	buf_init(&b, RECEIPT_MAX);
	jw_init(&w, &b);
	jw_object(&w);
	jw_kstr(&w, "at", clock_format(s->arena, at));
	jw_kstr(&w, "key", key_id(s->arena, key->public_key));
	jw_kstr(&w, "method", s->state.method.p ? s->state.method : STR("never-held"));
	jw_kstr(&w, "mirror", s->state.mirror);
	if (s->o->models.p)
		jw_kstr(&w, "models_affected", s->o->models);
	jw_key(&w, "releases");
	jw_array(&w);
	for (size_t i = 0; i < held->n; i++)
		jw_str(&w, held->at[i]);
	jw_end_array(&w);
	jw_kint(&w, "upto", s->chain.upto);
	jw_end_object(&w);
	return buf_take(s->arena, &b);
}

/* A server that has this one already answers 409. */
static bool is_on_record(struct sync *s)
{
	return strstr(s->e->message, " 409 ") != NULL;
}

static enum err receipt_try(struct sync *s, const struct names *held)
{
	struct sign_key key;
	struct document got;
	const char *path = s->o->receipt_key ? s->o->receipt_key : folder_path(s, "mirror.key").p;
	instant now = clock_now_whole(CLOCK_SECOND);
	if (s->state.receipt_at != INSTANT_NONE && now <= s->state.receipt_at)
		now = s->state.receipt_at + 1; /* each is later than the one before */
	TRY(mirror_key_open(s->arena, path, false, &key, s->e));
	struct str text = receipt_text(s, &key, held, now);
	struct str envelope = text.p ? dsse_sign(s->arena, &key, 1, STR(MIRROR_RECEIPT_TYPE), text) : STR_NONE;
	secret_wipe(&key, sizeof(key));
	if (!envelope.p)
		return error_set(s->e, ERR_TOO_LARGE, "The receipt is too long.");
	enum err e = remote_post(s, str_fmt(s->arena, "/mirrors/%.*s/receipts", STR_ARG(s->state.mirror)), envelope, "application/json", &got);
	if (e != ERR_OK && !is_on_record(s))
		return e;
	s->state.receipt_at = now;
	s->state.receipt_upto = s->chain.upto;
	s->state.receipt_held = *held;
	s->state.method = STR_NONE;
	return state_save(s);
}

void receipt_send(struct sync *s)
{
	struct names held;
	if (!s->state.mirror.p || folder_versions(s, &held) != ERR_OK)
		return;
	bool nothing_ever = s->state.receipt_upto == -2 && s->chain.upto < 0 && held.n == 0;
	if (nothing_ever || (s->state.receipt_upto == s->chain.upto && same_names(&held, &s->state.receipt_held)))
		return;
	s->out->receipt = "sent";
	if (receipt_try(s, &held) == ERR_OK)
		return;
	s->out->receipt = "failed";
	s->out->receipt_why = str_copy(s->arena, str_of(s->e->message));
	error_clear(s->e);
}
