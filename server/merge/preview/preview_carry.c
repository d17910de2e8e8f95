/* Previews too large for a message: given to the partner in parts, and got from it by the same way as the files of bundles. */
#include "preview_internal.h"

#include "commonhold/config.h"
#include "commonhold/db.h"
#include "commonhold/file.h"
#include "commonhold/json.h"
#include "commonhold/message.h"
#include "server/merge/bundle/bundle_internal.h"
#include "server/merge/bundle/partner.h"
#include "server/merge/peer/message_internal.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#define CHUNK ((int)MIB) /* of a body, from the database */

SQL(ours_size, "SELECT size FROM merge_preview WHERE coop_id = $1 AND agreement = $2 AND ours AND digest = $3");
SQL(ours_chunk, "SELECT substring(body FROM $4::int FOR $5::int) FROM merge_preview WHERE coop_id = $1 AND agreement = $2 AND ours AND digest = $3");

static struct str digest_bytes(const struct sha256 *h)
{
	return str_make(h->b, sizeof(h->b));
}

/* ---- Giving ---- */

/* A file of nobody's but the descriptor's. */
static enum err nameless(struct call *c, int *fd)
{
	char *path = (char *)str_fmt(c->arena, "%s/preview-XXXXXX", config()->dir).p;
	*fd = mkostemp(path, O_CLOEXEC);
	if (*fd < 0)
		return fail(c, ERR_IO, "There is no room for the preview: %s.", strerror(errno));
	unlink(path);
	return ERR_OK;
}

static enum err copy_out(struct call *c, struct uuid coop, struct sha256 agreement, struct sha256 digest, int fd, int64_t size)
{
	for (int64_t at = 0; at < size; at += CHUNK) {
		struct rows r;
		TRY(db_one(c, ours_chunk, &r, A_UUID(coop), A_BYTES(digest_bytes(&agreement)), A_BYTES(digest_bytes(&digest)), A_INT((int)at + 1), A_INT(CHUNK)));
		struct str part = row_bytes(&r, 0, 0);
		if (!file_write_all(fd, part.p, part.n))
			return fail(c, ERR_IO, "The preview cannot be copied: %s.", strerror(errno));
	}
	return ERR_OK;
}

enum err preview_open(struct call *c, struct uuid coop, struct sha256 agreement, struct sha256 digest, int *fd, int64_t *size)
{
	struct agreement g;
	struct rows r;
	TRY(db_begin_in(c, coop, DB_READ));
	TRY(preview_find(c, coop, agreement, &g));
	TRY(db_query(c, ours_size, &r, A_UUID(coop), A_BYTES(digest_bytes(&agreement)), A_BYTES(digest_bytes(&digest))));
	if (r.n == 0)
		return fail(c, ERR_GONE, "This preview is not the one that counts any more.");
	*size = row_int(&r, 0, 0);
	TRY(nameless(c, fd));
	enum err e = copy_out(c, coop, agreement, digest, *fd, *size);
	if (e == ERR_OK)
		e = db_commit(c);
	if (e != ERR_OK)
		close(*fd);
	return e;
}

/* ---- Getting ---- */

/* What was announced. */
struct announced { struct uuid coop; struct sha256 agreement, digest; int64_t size; };

enum err preview_queue_fetch(struct call *c, struct uuid coop, struct sha256 agreement, struct sha256 digest, int64_t size)
{
	struct arena *a = c->arena;
	struct str hex = sha256_hex(a, agreement), id = uuid_format(a, coop), file = sha256_hex(a, digest);
	return job_queue(c, "preview.fetch", str_fmt(a, "%.*s %.*s", STR_ARG(id), STR_ARG(file)),
		str_fmt(a, "{\"agreement\":\"%.*s\",\"coop\":\"%.*s\",\"sha256\":\"%.*s\",\"size\":%lld}", STR_ARG(hex), STR_ARG(id), STR_ARG(file), (long long)size), clock_now());
}

static enum err announced_read(struct call *c, const struct json *args, struct announced *out)
{
	out->size = json_int(json_get(args, "size"), -1);
	if (!uuid_parse(json_member_text(args, "coop"), &out->coop) || !sha256_parse(json_member_text(args, "agreement"), &out->agreement) ||
		!sha256_parse(json_member_text(args, "sha256"), &out->digest) || out->size < 1)
		return fail(c, ERR_INTERNAL, "A job does not name its preview.");
	return ERR_OK;
}

/* One at a time: a partner that announces ever others and finishes none fills no disk. */
static enum err place(struct call *c, const struct announced *x, struct uuid agreement, const char **dir, const char **path)
{
	struct arena *a = c->arena;
	struct str coop = uuid_format(a, x->coop), id = uuid_format(a, agreement), name = sha256_hex(a, x->digest);
	bool strange = false;
	*dir = str_fmt(a, "%s/previews-in/%.*s/%.*s", config()->dir, STR_ARG(coop), STR_ARG(id)).p;
	*path = str_fmt(a, "%s/%.*s", *dir, STR_ARG(name)).p;
	DIR *all = opendir(*dir);
	for (struct dirent *entry; all && (entry = readdir(all));)
		strange |= entry->d_name[0] != '.' && !str_is(name, entry->d_name);
	if (all)
		closedir(all);
	if (strange)
		bundle_folder_remove(*dir);
	return file_make_parents(*path, &c->error);
}

/* The file with the digest that was announced, whole. */
static enum err get(struct call *c, struct arena *a, const struct announced *x, struct partner *p, struct str *file, const char **dir)
{
	const char *path;
	TRY(place(c, x, p->agreement.id, dir, &path));
	TRY(partner_room_check(p, str_of(*dir), x->size));
	TRY(partner_get_file(p, 0, str_fmt(c->arena, "%.*s/%.*s", STR_ARG(p->base), STR_ARG(sha256_hex(c->arena, x->digest))), path, x->size));
	TRY(file_read(a, "The preview", path, PREVIEW_MAX, file, &c->error));
	return sha256_eq(sha256(*file), x->digest) ? ERR_OK : fail_reason(c, ERR_REFUSED, "preview_digest", "The partner's preview is not the one that it announced: its SHA-256 is another.");
}

static enum err fetch_and_take(struct call *c, struct arena *a, const struct announced *x, const struct agreement *g, struct partner *p)
{
	struct preview_kept kept;
	struct str file;
	const char *dir = NULL;
	enum err e = !uuid_is_nil(p->peer.here) ? preview_body_of(c, p->peer.here, x->agreement, x->digest, &file) : get(c, a, x, p, &file, &dir);
	if (e == ERR_OK) {
		TRY(db_begin_in(c, x->coop, DB_WRITE));
		e = preview_take(c, a, g, file, &kept);
		if (e == ERR_OK)
			e = db_commit(c);
	}
	if (dir && (e == ERR_OK || merge_is_refusal(e)))
		bundle_folder_remove(dir);
	return e;
}

/* What was refused is known to the admins, and will not be any better in a minute: the job is done. */
enum err preview_fetch_job(struct call *c, const struct json *args)
{
	struct announced x;
	struct agreement g;
	struct partner *p = ARENA_NEW(c->arena, struct partner);
	struct arena *a = preview_arena(c);
	if (!a)
		return fail(c, ERR_NO_MEMORY, "%s", err_text(ERR_NO_MEMORY));
	TRY(announced_read(c, args, &x));
	TRY(db_begin_in(c, x.coop, DB_READ));
	TRY(agreement_by_digest(c, x.coop, x.agreement, &g));
	TRY(partner_begin(c, &g, "previews", p));
	TRY(db_commit(c));
	if (agreement_over(g.state) || p->peer.state != PEER_CONFIRMED)
		return ERR_OK;
	if (uuid_is_nil(p->peer.here) && p->peer.url.n == 0) {
		merge_refuse(c, x.coop, g.peer, STR("preview"), STR("preview_by_file"), STR("The other co-op's preview is too large for a message, and its instance has no address. Take it as a file."));
		return ERR_OK;
	}
	enum err e = fetch_and_take(c, a, &x, &g, p);
	if (e == ERR_TIMEOUT) /* tried again, and seen all the same */
		merge_refuse_error(c, x.coop, g.peer, STR("preview"));
	if (e == ERR_OK || !(merge_is_refusal(e) || partner_at_fault(&c->error)))
		return e;
	db_rollback(c);
	merge_refuse_error(c, x.coop, g.peer, STR("preview"));
	return ERR_OK;
}
