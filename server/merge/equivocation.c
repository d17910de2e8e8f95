/* equivocation.c - two things that one home has signed and that cannot both be true: found where something was refused for it, and kept with both as the proof. */
#include "merge_internal.h"

#include "commonhold/log.h"
#include "commonhold/message.h"
#include "commonhold/onward.h"
#include "commonhold/peer.h"

#define LINES_AT_ONCE 1000

SQL(in_doubt,
	"SELECT EXISTS (SELECT FROM merge_conflict WHERE coop_id = $1 AND home = $2 AND kind = 'equivocation' AND decision IS NULL AND rid IS NULL AND detail::json ->> 'about' IN ('log', 'tombstones'))");
SQL(feed_other,
	"SELECT u.no::integer, w.line FROM unnest($3::bigint[]) WITH ORDINALITY AS u(idx, no) JOIN onward_word w ON w.coop_id = $1 AND w.feed = $2 AND w.idx = u.idx AND w.digest <> ($4::bytea[])[u.no] "
	"ORDER BY 1 LIMIT 1");

enum err merge_in_doubt(struct call *c, struct uuid coop, struct str home, bool *out)
{
	struct rows r;
	TRY(db_one(c, in_doubt, &r, A_UUID(coop), A_STR(home)));
	*out = row_bool(&r, 0, 0);
	return ERR_OK;
}

static struct str both(struct arena *a, struct str first, struct str second)
{
	struct buf b;
	struct json_writer w;
	buf_init(&b, 4 * BUNDLE_MANIFEST_MAX);
	jw_init(&w, &b);
	jw_object(&w);
	jw_kstr(&w, "first", first);
	jw_kstr(&w, "second", second);
	jw_end_object(&w);
	return buf_take(a, &b);
}

enum err merge_equivocation_in(struct call *c, struct uuid coop, struct uuid agreement, struct str home, const char *about, struct str key, struct str first, struct str second)
{
	struct str proof = both(c->arena, first, second);
	if (!key.p)
		key = sha256_hex(c->arena, sha256(proof));
	return merge_conflict_add(c, coop, agreement, MERGE_EQUIVOCATION, home, key, str_fmt(c->arena, "{\"about\":\"%s\"}", about), proof);
}

enum err merge_equivocation_of_log(struct call *c, struct uuid coop, struct uuid agreement, struct str home, struct str first, struct str second)
{
	TRY(db_begin_in(c, coop, DB_WRITE));
	TRY(merge_equivocation_in(c, coop, agreement, home, "log", STR_NONE, first, second));
	return db_commit(c);
}

/* ---- Lists of tombstones ---- */

enum err merge_equivocation_of_feed(struct call *c, struct uuid coop, struct uuid agreement, struct str feed, const struct onward_line *lines, size_t n, bool *found)
{
	struct rows r;
	int64_t *idx = ARENA_ARRAY(c->arena, n + 1, int64_t);
	struct str *digests = ARENA_ARRAY(c->arena, n + 1, struct str);
	*found = false;
	for (size_t i = 0; i < n; i++) {
		struct sha256 *digest = ARENA_NEW(c->arena, struct sha256);
		*digest = sha256(lines[i].line);
		idx[i] = lines[i].said.idx;
		digests[i] = str_make(digest->b, 32);
	}
	TRY(db_begin_in(c, coop, DB_WRITE));
	TRY(db_query(c, feed_other, &r, A_UUID(coop), A_STR(feed), A_I64S(idx, n), A_BYTEAS(digests, n)));
	*found = r.n == 1;
	if (*found)
		TRY(merge_equivocation_in(c, coop, agreement, feed, "tombstones", STR_NONE, row_str(&r, 0, 1), lines[row_int(&r, 0, 0) - 1].line));
	return db_commit(c);
}

/* Those of a bundle, as far as they are the sender's. */
static enum err feed_of_bundle(struct call *c, struct uuid coop, struct bundle *b)
{
	struct bundle_lines *lines;
	struct onward_line *read = ARENA_ARRAY(c->arena, LINES_AT_ONCE, struct onward_line);
	struct arena_mark mark = arena_mark(c->arena);
	bool found = false, more = true;
	TRY(bundle_lines_open(c->arena, b, BUNDLE_TOMBSTONES, &lines, &c->error));
	for (size_t n = 0; more && !found;) {
		struct str line;
		struct error why = { 0 };
		TRY(bundle_lines_next(lines, &line, &c->error));
		more = line.p != NULL;
		if (more && onward_line_read(c->arena, str_copy(c->arena, line), &b->keys, &read[n], &why) == ERR_OK)
			n++;
		if (n && (n == LINES_AT_ONCE || !more)) {
			TRY(merge_equivocation_of_feed(c, coop, b->agreement_id, b->from, read, n, &found));
			n = 0;
			arena_rewind(c->arena, mark);
		}
	}
	return ERR_OK;
}

/* ---- Logs ---- */

/* The new note against the one that is kept, both signed; or, where the new one is of a longer log, what the sender has signed of its beginning: bundle.json names the base. Leaves that differ are found
 * by bundle_check itself (b->contradicts). */
static struct str log_second(struct call *c, const struct bundle *b, const struct bundle_expected *x)
{
	struct error why = { 0 };
	struct sha256 root;
	uint64_t size;
	if (keychain_checkpoint_verify(c->arena, &b->keys, b->checkpoint, b->origin, &size, &root, &why) != ERR_OK)
		return STR_NONE;
	bool other = (int64_t)size == x->known_size ? !sha256_eq(root, x->known_root) : (int64_t)size == x->known_at_head && !sha256_eq(root, x->known_head_root);
	if (other)
		return b->checkpoint;
	bool base = b->base_size == x->known_size && !sha256_eq(b->base_root, x->known_root);
	return base ? b->envelope : STR_NONE;
}

static enum err look(struct call *c, struct uuid coop, struct bundle *b, const struct bundle_expected *x)
{
	const char *reason = c->error.reason;
	bool log = strcmp(reason, bundle_reason_code(BUNDLE_REASON_LOG)) == 0 || strcmp(reason, bundle_reason_code(BUNDLE_REASON_ROLLBACK)) == 0;
	bool feed = strcmp(reason, bundle_reason_code(BUNDLE_REASON_TOMBSTONES)) == 0 || strcmp(reason, "feed_rewritten") == 0;
	struct str second = log && x->known_checkpoint.n && x->known_size > 0 && !x->in_doubt && !b->contradicts.p ? log_second(c, b, x) : STR_NONE;
	error_clear(&c->error);
	if (second.p)
		TRY(merge_equivocation_of_log(c, coop, b->agreement_id, b->from, x->known_checkpoint, second));
	return feed ? feed_of_bundle(c, coop, b) : ERR_OK;
}

void merge_look_for_equivocation(struct call *c, struct uuid coop, struct bundle *b, const struct bundle_expected *x)
{
	struct error said = c->error;
	db_rollback(c);
	if (x->keys.n && b->keys.n && look(c, coop, b, x) != ERR_OK) {
		db_rollback(c);
		log_event(LOG_WARN, "merge.proof_lost", LOG_S("home", b->from), LOG_Z("error", err_code(c->error.code)));
	}
	c->error = said;
}
