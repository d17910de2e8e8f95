/* The partner's signature of a redaction that did not wait for it: a file beside the manifest, so that nothing that was published changes. */
#include "commonhold/verify.h"
#include "commonhold/file.h"

#include "joint_internal.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>

SQL(joint_redaction_of,
	"SELECT id FROM release WHERE coop_id = $1 AND joint_id = $2 AND manifest_sha256 = $3 AND redacts_id IS NOT NULL AND state IN ('published', 'superseded', 'withdrawn') LIMIT 1");

/* `fresh`: where it is written first, outside of what is published. */
static enum err write_whole(struct call *c, struct str fresh, const char *path, struct str content)
{
	int fd = open(fresh.p, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0644);
	bool ok = fd >= 0 && file_write_all(fd, content.p, content.n) && fsync(fd) == 0;
	int why = errno;
	if (fd >= 0)
		close(fd);
	if (ok && rename(fresh.p, path) == 0)
		return ERR_OK;
	unlink(fresh.p);
	return fail(c, ERR_IO, "The partner's signature cannot be put beside the release: %s.", strerrorname_np(ok ? errno : why));
}

enum err release_joint_seal(struct call *c, struct uuid coop, struct uuid id)
{
	struct release_joint j;
	struct rows r;
	struct dsse_signature s;
	TRY(db_begin_in(c, coop, DB_READ));
	TRY(release_joint_get(c, coop, id, &j));
	TRY(db_query(c, joint_redaction_of, &r, A_UUID(coop), A_UUID(id), A_BYTES(str_make(j.manifest_sha256.b, 32))));
	TRY(db_commit(c));
	if (r.n == 0 || !j.maker || j.signature.n != sizeof(s.bytes))
		return ERR_OK;
	memcpy(s.public_key, j.partner_key, sizeof(s.public_key));
	memcpy(s.bytes, j.signature.p, sizeof(s.bytes));
	struct str dir = release_dir(c->arena, coop, row_uuid(&r, 0, 0));
	return write_whole(c, str_fmt(c->arena, "%.*s.seal", STR_ARG(dir)), str_fmt(c->arena, "%.*s/" JOINT_PARTNER_SEAL, STR_ARG(dir)).p, dsse_write(c->arena, &s, 1, STR(RELEASE_PAYLOAD_TYPE), j.manifest));
}
