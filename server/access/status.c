/* The signed status: what a mirror asks for at least once a day, because a log can prove history but not that there is no newer one. */
#include "access_internal.h"

#include "commonhold/json.h"
#include "commonhold/ledger.h"
#include "commonhold/tombstone.h"

#define STATUS_MAX (1 * MIB)

SQL(versions_of_coop,
	"SELECT version, state FROM release WHERE coop_id = $1 AND state IN ('published', 'superseded', 'withdrawn') AND version IS NOT NULL ORDER BY leaf, published_at");

static bool is_usable(const struct rows *r, int i)
{
	return !str_is(row_str(r, i, 1), "withdrawn");
}

static void write_versions(struct json_writer *w, const char *key, const struct rows *r, bool usable)
{
	jw_key(w, key);
	jw_array(w);
	for (int i = 0; i < r->n; i++)
		if (is_usable(r, i) == usable)
			jw_str(w, row_str(r, i, 0));
	jw_end_array(w);
}

/* Below this version nothing may be used any more: the oldest that was not withdrawn. */
static struct str min_usable(const struct rows *r)
{
	for (int i = 0; i < r->n; i++)
		if (is_usable(r, i))
			return row_str(r, i, 0);
	return STR_NONE;
}

static void write_status(struct json_writer *w, struct arena *a, struct str origin, int64_t size, struct sha256 root, int64_t tombstones, const struct rows *versions)
{
	instant now = clock_now_whole(CLOCK_SECOND);
	jw_object(w);
	jw_kstr(w, "created", clock_format(a, now));
	jw_kstr(w, "expires", clock_format(a, now + STATUS_LIFE));
	jw_kstr(w, "log", origin);
	jw_kstr(w, "min_usable", min_usable(versions));
	jw_kstr(w, "root", sha256_hex(a, root));
	jw_kint(w, "size", size);
	jw_kint(w, "tombstones_upto", tombstones);
	write_versions(w, "usable", versions, true);
	jw_kint(w, "v", 1);
	write_versions(w, "withdrawn", versions, false);
	jw_end_object(w);
}

enum err status_read(struct call *c, struct uuid coop, struct str *envelope)
{
	struct rows versions;
	struct sign_key key;
	struct sha256 root;
	struct str origin;
	struct buf b;
	struct json_writer w;
	int64_t size, tombstones;
	TRY(db_begin_in(c, coop, DB_READ));
	TRY(ledger_origin(c, coop, &origin));
	TRY(ledger_head(c, coop, &size, &root));
	TRY(db_query(c, versions_of_coop, &versions, A_UUID(coop)));
	TRY(tombstone_upto(c, coop, &tombstones, NULL));
	TRY(ledger_key(c, coop, &key));
	TRY(db_commit(c));
	buf_init(&b, STATUS_MAX);
	jw_init(&w, &b);
	write_status(&w, c->arena, origin, size, root, tombstones, &versions);
	struct str payload = buf_take(c->arena, &b);
	if (payload.p)
		*envelope = dsse_sign(c->arena, &key, 1, STR(STATUS_PAYLOAD_TYPE), payload);
	secret_wipe(&key, sizeof(key));
	return payload.p ? ERR_OK : fail(c, ERR_TOO_LARGE, "There are more releases than a status can name.");
}
