/* suppress.c - what a member had erased is not taken from them again.
 *
 * Only a keyed digest of the content's hash is kept: who has the database alone cannot try out which content it was. The key is derived from the instance's seal key, which is
 * in no database.
 */
#include "server/pool/suppress.h"

SQL(marks_found, "SELECT d.no::integer FROM unnest($2) WITH ORDINALITY AS d(mark, no) JOIN suppression s ON s.coop_id = $1 AND s.mark = d.mark");
SQL(marks_insert,
	"WITH put AS (INSERT INTO suppression (coop_id, mark) SELECT $1, unnest($2) ON CONFLICT DO NOTHING RETURNING 1) "
	"UPDATE pool_head SET suppressed = suppressed + (SELECT count(*) FROM put) WHERE coop_id = $1");

static enum err mark_key(struct call *c, struct sha256 *out)
{
	const struct instance_keys *keys = instance_keys();
	if (!keys)
		return fail(c, ERR_CONFIG, "The instance's keys are not loaded.");
	*out = hmac_sha256(str_make(instance_seal_key(keys)->b, 32), STR("commonhold suppression v1"));
	return ERR_OK;
}

static struct sha256 mark_of(const struct sha256 *key, struct uuid coop, struct uuid member, struct sha256 hash)
{
	uint8_t what[64];
	memcpy(what, coop.b, 16);
	memcpy(what + 16, member.b, 16);
	memcpy(what + 32, hash.b, 32);
	return hmac_sha256(str_make(key->b, 32), str_make(what, sizeof(what)));
}

/* The marks of all, as parameters. */
static enum err marks_make(struct call *c, struct uuid coop, const struct suppressed *what, size_t n, struct str **out)
{
	struct sha256 key, *marks = ARENA_ARRAY(c->arena, n, struct sha256);
	*out = ARENA_ARRAY(c->arena, n, struct str);
	TRY(mark_key(c, &key));
	for (size_t i = 0; i < n; i++) {
		marks[i] = mark_of(&key, coop, what[i].member, what[i].hash);
		(*out)[i] = str_make(marks[i].b, 32);
	}
	secret_wipe(&key, sizeof(key));
	return ERR_OK;
}

enum err suppress(struct call *c, struct uuid coop, const struct suppressed *what, size_t n)
{
	struct str *marks;
	TRY(marks_make(c, coop, what, n, &marks));
	return db_queue(c, marks_insert, A_UUID(coop), A_BYTEAS(marks, n));
}

enum err suppressed_find(struct call *c, struct uuid coop, const struct suppressed *what, size_t n, bool *found)
{
	struct rows r;
	struct str *marks;
	memset(found, 0, n * sizeof(*found));
	if (n == 0)
		return ERR_OK;
	TRY(marks_make(c, coop, what, n, &marks));
	TRY(db_query(c, marks_found, &r, A_UUID(coop), A_BYTEAS(marks, n)));
	for (int row = 0; row < r.n; row++)
		found[row_int(&r, row, 0) - 1] = true;
	return ERR_OK;
}
