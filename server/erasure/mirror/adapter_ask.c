/* Exchanges of an adapter with its place: what they may cost, what an answer means for the run, and what of it may be told. Nothing that a place says is repeated but a short code: services
 * like to answer with what they were sent, key id and signature included. */
#include "adapter_internal.h"

#include "commonhold/config.h"
#include "commonhold/json.h"

#include "server/base/openssl.h"
#include <stdarg.h>
#include <stdio.h>
#include <unistd.h>

#define LOOK_EVERY (2 * 1000 * 1000) /* microseconds between looks whether the run may go on */
#define SLOW_SECONDS 30
#define WAIT_MAX (6 * 3600)          /* a place that asks for more patience than this is asked again after it */

bool adapter_goes_on(struct adapter_run *run)
{
	if (run->stopped != ERR_OK)
		return false;
	int64_t now = clock_tick();
	if (now - run->asked_at < LOOK_EVERY)
		return true;
	run->asked_at = now;
	run->stopped = job_extend(run->c);
	return run->stopped == ERR_OK;
}

static bool watch_goes_on(void *arg)
{
	return adapter_goes_on(((struct adapter_watch *)arg)->run);
}

bool adapter_hash_sink(void *arg, const void *p, size_t n)
{
	struct adapter_watch *w = arg;
	hasher_add(w->hash, p, n);
	w->bytes += (int64_t)n;
	return true;
}

enum err adapter_fail(struct adapter_run *run, bool final, const char *fmt, ...)
{
	char text[512];
	va_list args;
	va_start(args, fmt);
	vsnprintf(text, sizeof(text), fmt, args);
	va_end(args);
	run->remote = true;
	run->final = final;
	return fail(run->c, final ? ERR_REFUSED : ERR_RETRY, "%s", text);
}

/* What a place calls its refusal: letters and digits, nothing else, since it goes into errors. */
static struct str code_clean(struct str code)
{
	for (size_t i = 0; i < code.n; i++)
		if (!((code.p[i] >= 'a' && code.p[i] <= 'z') || (code.p[i] >= 'A' && code.p[i] <= 'Z') || (code.p[i] >= '0' && code.p[i] <= '9')) || i == 48)
			return STR_NONE;
	return code.n ? code : STR_NONE;
}

enum err adapter_odd(struct adapter_run *run, const struct fetch_answer *answer, struct str code, const char *what)
{
	code = code_clean(code);
	bool tells = code.p != NULL;
	return adapter_fail(run, answer->status >= 400 && answer->status < 500, "The place answered %ld%s%.*s%s when asked to %s.", answer->status, tells ? " (" : "", STR_ARG(code), tells ? ")" : "", what);
}

static bool is_later(long status)
{
	return status == 408 || status == 425 || status == 429 || status == 500 || status == 502 || status == 503 || status == 504;
}

/* `"api";r=0;t=55`: nothing is left, and more in so many seconds. */
static int64_t ratelimit_reset(struct str value)
{
	int64_t left = -1, seconds = 0;
	struct str rest = value, part;
	while (str_split(&rest, ';', &part)) {
		part = str_trim(part);
		if (str_starts(part, "r=") && !str_to_i64(str_sub(part, 2, part.n), 0, INT32_MAX, &left))
			left = -1;
		if (str_starts(part, "t=") && !str_to_i64(str_sub(part, 2, part.n), 0, INT32_MAX, &seconds))
			seconds = 0;
	}
	return left == 0 ? seconds : 0;
}

static enum err later(struct adapter_run *run, const struct fetch_answer *answer, const char *what)
{
	int64_t wait = fetch_retry_after(answer, 0);
	if (wait == 0)
		wait = ratelimit_reset(fetch_header_get(answer, "RateLimit"));
	run->wait_seconds = wait < WAIT_MAX ? wait : WAIT_MAX;
	return adapter_fail(run, false, "The place answered %ld, later perhaps, when asked to %s.", answer->status, what);
}

/* What kept an exchange from ending. The client's own sentence names the host alone. */
static enum err broken(struct adapter_run *run, enum err e)
{
	if (run->stopped != ERR_OK)
		return run->stopped;
	if (e == ERR_NO_MEMORY)
		return e;
	run->remote = true;
	run->final = e == ERR_REFUSED;
	return e;
}

enum err adapter_ask(struct adapter_run *run, struct fetch_request *q, struct fetch_answer *out, const char *what)
{
	struct adapter_watch plain = { .run = run };
	q->allow_private = q->allow_http = config()->allow_private_on;
	q->go_on = watch_goes_on;
	if (!q->arg)
		q->arg = &plain;
	q->total_ms = FETCH_FOREVER;
	if (!q->slow_seconds)
		q->slow_seconds = SLOW_SECONDS;
	/* Others need the connection while this waits. */
	db_release(run->c);
	enum err e = fetch(run->fetcher, run->c->arena, q, out, &run->c->error);
	if (q->arg == &plain)
		q->arg = NULL;
	if (e != ERR_OK)
		return broken(run, e);
	return is_later(out->status) ? later(run, out, what) : ERR_OK;
}

static enum err digest_loop(struct adapter_run *run, int fd, int64_t offset, int64_t size, struct hasher *h, EVP_MD_CTX *md5)
{
	uint8_t *block = arena_take(run->c->arena, 256 * KIB);
	while (size > 0) {
		size_t want = size < (int64_t)(256 * KIB) ? (size_t)size : 256 * KIB;
		ssize_t got = pread(fd, block, want, (off_t)offset);
		if (got <= 0)
			return fail(run->c, ERR_IO, "A file of a release cannot be read.");
		hasher_add(h, block, (size_t)got);
		if (EVP_DigestUpdate(md5, block, (size_t)got) != 1)
			return fail(run->c, ERR_INTERNAL, "MD5 is not to be had.");
		offset += got;
		size -= got;
		if (!adapter_goes_on(run))
			return run->stopped;
	}
	return ERR_OK;
}

/* MD5 is what an ETag is; nothing is trusted to it alone. */
enum err adapter_digest(struct adapter_run *run, int fd, int64_t offset, int64_t size, struct adapter_digests *out)
{
	struct arena_mark mark = arena_mark(run->c->arena);
	struct hasher *h = hasher_new(run->c->arena);
	EVP_MD_CTX *md5 = EVP_MD_CTX_new();
	enum err e = md5 && EVP_DigestInit_ex(md5, EVP_md5(), NULL) == 1 ? digest_loop(run, fd, offset, size, h, md5) : fail(run->c, ERR_INTERNAL, "MD5 is not to be had.");
	if (e == ERR_OK) {
		out->sha256 = hasher_end(h);
		if (EVP_DigestFinal_ex(md5, out->md5, NULL) != 1)
			e = fail(run->c, ERR_INTERNAL, "MD5 is not to be had.");
	}
	EVP_MD_CTX_free(md5);
	arena_rewind(run->c->arena, mark);
	return e;
}

void adapter_note(struct adapter_run *run, const char *what, struct str of, int64_t found)
{
	struct json_writer w;
	if (run->checked.n)
		buf_add_byte(&run->checked, ',');
	jw_init(&w, &run->checked);
	jw_object(&w);
	jw_kint(&w, "found", found);
	jw_kstr(&w, "of", of);
	jw_kz(&w, "what", what);
	jw_end_object(&w);
}
