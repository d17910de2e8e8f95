/* Asking a partner's instance, and being asked by one. */
#include "bundle_internal.h"
#include "partner.h"

#include "commonhold/config.h"
#include "commonhold/db.h"
#include "commonhold/file.h"
#include "commonhold/json.h"
#include "commonhold/ledger.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#define PROOF_LIFE (5 * CLOCK_MINUTE) /* either way: clocks differ */
#define FILE_MS 10000 /* for each file, however small */

static const struct bundle_fetch_limits usual = { .least_speed = 4096, .slow_seconds = 20, .pace = 32 * 1024, .run_ms = 30 * 60 * 1000, .total = (int64_t)64 << 30, .room = (int64_t)256 << 20, .bundles = 100 };
static struct bundle_fetch_limits other;
static const struct bundle_fetch_limits *limits = &usual;

void bundle_fetch_limits_use(const struct bundle_fetch_limits *used)
{
	other = used ? *used : usual;
	limits = &other;
}

const struct bundle_fetch_limits *bundle_fetch_limits(void)
{
	return limits;
}

/* ---- Asking ---- */

static void partner_end(void *arg)
{
	struct partner *f = arg;
	fetcher_free(f->fetcher);
	secret_wipe(&f->key, sizeof(f->key));
}

enum err partner_begin(struct call *c, const struct agreement *g, const char *what, struct partner *p)
{
	struct keychain ours;
	*p = (struct partner){ .c = c, .coop = g->coop, .agreement = *g };
	TRY(peer_get(c, g->coop, g->peer, &p->peer));
	TRY(peer_keys(c, &p->peer, &p->keys));
	TRY(keychain_of(c, g->coop, &ours));
	p->us = ours.name;
	p->fetcher = fetcher_new();
	p->until = clock_tick() + limits->run_ms * 1000;
	if (!arena_defer(c->arena, partner_end, p) || !p->fetcher)
		return fail(c, ERR_NO_MEMORY, "%s", err_text(ERR_NO_MEMORY));
	TRY(ledger_key(c, g->coop, &p->key));
	struct str digest = sha256_hex(c->arena, g->terms.digest);
	p->base = str_fmt(c->arena, "%.*s/api/v1/coops/%.*s/merge/agreements/%.*s/%s", STR_ARG(p->peer.url), STR_ARG(p->peer.name), STR_ARG(digest), what);
	return ERR_OK;
}

static struct str request_proof(struct partner *f, int64_t taken)
{
	struct arena *a = f->c->arena;
	struct str digest = sha256_hex(a, f->agreement.terms.digest), at = clock_format(a, clock_now());
	struct str said = str_fmt(a, "{\"agreement\":\"%.*s\",\"at\":\"%.*s\",\"from\":\"%.*s\",\"taken\":%lld,\"to\":\"%.*s\",\"v\":1}", STR_ARG(digest), STR_ARG(at), STR_ARG(f->us), (long long)taken,
		STR_ARG(f->peer.name));
	struct str envelope = dsse_sign(a, &f->key, 1, STR(PARTNER_REQUEST_TYPE), said);
	return str_base64url(a, envelope.p, envelope.n);
}

/* How long so many bytes may take. */
static long whole_ms(int64_t bytes)
{
	return (long)(FILE_MS + bytes * 1000 / limits->pace);
}

int64_t partner_left_ms(const struct partner *f)
{
	int64_t left = (f->until - clock_tick()) / 1000;
	return left > 0 ? left : 0;
}

static bool still_wanted(void *arg)
{
	struct partner *f = arg;
	return partner_left_ms(f) > 0 && (!f->c->job || job_extend(f->c) == ERR_OK);
}

enum err partner_ask(struct partner *f, int64_t taken, struct fetch_request *request, struct fetch_answer *answer)
{
	struct call *c = f->c;
	struct fetch_header headers[2] = { { STR(PARTNER_PROOF_HEADER), request_proof(f, taken) } };
	size_t n = 1;
	if (request->n_headers)
		headers[n++] = request->headers[0];
	request->headers = headers;
	request->n_headers = n;
	request->allow_private = config()->allow_private_on;
	request->allow_http = config()->allow_private_on || url_is_loopback(request->url);
	request->allow_private |= url_is_loopback(request->url) && url_is_loopback(str_of(config()->base_url));
	request->least_speed = limits->least_speed;
	request->slow_seconds = limits->slow_seconds;
	if (request->total_ms == 0)
		request->total_ms = whole_ms(request->max_bytes);
	if (!request->go_on) {
		request->go_on = still_wanted;
		request->arg = f;
	}
	db_release(c);
	TRY(fetch(f->fetcher, c->arena, request, answer, &c->error));
	if (answer->status == 200 || answer->status == 206)
		return ERR_OK;
	return fail_reason(c, answer->status >= 500 || answer->status == 429 ? ERR_UNAVAILABLE : ERR_REFUSED, "partner_refuses", "The partner's instance answered %ld.", answer->status);
}

/* What is there already is counted once more: it is little to what must stay free. */
enum err partner_room_check(struct partner *f, struct str dir, int64_t bytes)
{
	struct statvfs there;
	if (statvfs(dir.p, &there) != 0)
		return fail(f->c, ERR_IO, "The folder %s cannot be looked at: %s.", dir.p, strerror(errno));
	if ((int64_t)there.f_bavail * (int64_t)there.f_frsize - bytes >= limits->room)
		return ERR_OK;
	return fail_reason(f->c, ERR_UNAVAILABLE, "no_room", "There is no room for the %lld bytes that the partner has for us.", (long long)bytes);
}

/* A file on its way to the disk. */
struct sinking { struct partner *f; int fd; int64_t from; bool resumed; };

static bool sink_head(void *arg, const struct fetch_answer *answer)
{
	struct sinking *s = arg;
	s->resumed = answer->status == 206;
	/* the whole file again: from the start */
	return s->resumed || (ftruncate(s->fd, 0) == 0 && lseek(s->fd, 0, SEEK_SET) == 0);
}

static bool sink_write(void *arg, const void *p, size_t n)
{
	return file_write_all(((struct sinking *)arg)->fd, p, n);
}

static bool sink_go_on(void *arg)
{
	return still_wanted(((struct sinking *)arg)->f);
}

enum err partner_get_file(struct partner *f, int64_t taken, struct str url, const char *path, int64_t size)
{
	struct call *c = f->c;
	struct fetch_answer answer;
	struct stat st;
	struct sinking s = { f, open(path, O_WRONLY | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600), 0, false };
	if (s.fd < 0 || fstat(s.fd, &st) != 0)
		return fail(c, ERR_IO, "The file %s cannot be written: %s.", path, strerror(errno));
	s.from = st.st_size;
	if (s.from > size) {
		s.from = 0;
		if (ftruncate(s.fd, 0) != 0)
			s.from = -1;
	}
	enum err said = ERR_OK;
	if (s.from != size) {
		struct fetch_header range = { STR("Range"), str_fmt(c->arena, "bytes=%lld-", (long long)s.from) };
		struct fetch_request request = { .url = url, .headers = &range, .n_headers = s.from > 0, .sink = sink_write,
			.head = sink_head, .arg = &s, .max_bytes = size, .total_ms = whole_ms(size - s.from) };
		lseek(s.fd, s.from, SEEK_SET);
		request.go_on = sink_go_on;
		said = partner_ask(f, taken, &request, &answer);
	}
	if (said == ERR_OK && (fstat(s.fd, &st) != 0 || st.st_size != size || fsync(s.fd) != 0))
		said = fail_reason(c, ERR_REFUSED, "files", "The partner's instance sends %s in another size than it says.", strrchr(path, '/') + 1);
	close(s.fd);
	return said;
}

bool partner_at_fault(const struct error *e)
{
	return e->code == ERR_TOO_LARGE || strcmp(e->reason, "partner_refuses") == 0 || strcmp(e->reason, "address_refused") == 0 || strcmp(e->reason, "redirect_refused") == 0;
}

/* ---- Being asked ---- */

static enum err not_proved(struct call *c)
{
	return fail_reason(c, ERR_UNAUTHENTICATED, "not_the_partner", "The request does not prove that it comes from the partner of this agreement.");
}

/* What a caller said, and that it is for this co-op, under this agreement, now. */
static bool said_now(const struct json *said, struct str digest, struct str to, struct str from)
{
	instant at;
	if (!said || json_int(json_get(said, "v"), 0) != 1 || !str_eq(json_member_text(said, "agreement"), digest) || !str_eq(json_member_text(said, "to"), to) ||
		!str_eq(json_member_text(said, "from"), from) || !clock_parse(json_member_text(said, "at"), &at))
		return false;
	instant now = clock_now();
	return at > now - PROOF_LIFE && at < now + PROOF_LIFE;
}

enum err partner_proved(struct request *rq, struct agreement *g, int64_t *taken)
{
	struct call *c = rq->call;
	struct peer peer;
	struct keychain keys;
	struct sha256 digest;
	struct str header = request_header(rq, PARTNER_PROOF_HEADER), envelope, payload;
	struct error why = { 0 };
	const struct json *said = NULL;
	size_t which;
	if (!sha256_parse(rq->param[1], &digest) || header.n == 0 || header.n > 16 * KIB || !str_unbase64url(c->arena, header, &envelope))
		return not_proved(c);
	TRY(db_begin_in(c, rq->coop.id, DB_READ));
	enum err found = agreement_by_digest(c, rq->coop.id, digest, g);
	if (found == ERR_NOT_FOUND)
		return not_proved(c);
	TRY(found);
	TRY(peer_get(c, rq->coop.id, g->peer, &peer));
	TRY(peer_keys(c, &peer, &keys));
	TRY(db_commit(c));
	bool proved = peer.state == PEER_CONFIRMED && keychain_dsse_verify(c->arena, &keys, envelope, STR(PARTNER_REQUEST_TYPE), &payload, &which, &why) == ERR_OK && which == keys.n - 1;
	if (!proved || json_parse(c->arena, payload, &said, &why) != ERR_OK || !said_now(said, rq->param[1], rq->coop.name, peer.name))
		return not_proved(c);
	*taken = json_int(json_get(said, "taken"), 0);
	return ERR_OK;
}
