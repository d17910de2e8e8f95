/* state.c - the state that co-ops come to by exchanging bundles, as a digest that does not depend on what came in which order.
 *
 * Each record, each tombstone and each contributor's latest word is a line; a line is hashed, the hashes are sorted, equal ones count once, and the digest is over them. A record that was
 * not taken here because its content was erased, or because its id was another's, counts as exchanged all the same: its commitment was kept.
 */
#include "merge_internal.h"

#include "commonhold/ledger.h"

#include <stdlib.h>

#define STATE_RECORDS_MAX ((size_t)64000000)

/* What a home erased is a tombstone from then on, whether or not it is purged here already. */
#define NOT_ERASED(id) \
	"NOT EXISTS (SELECT FROM onward_word w WHERE w.coop_id = $1 AND w.home = h.key_name AND w.id = " id " AND w.counts AND w.feed = w.home AND w.kind IN ('erase', 'correct'))"

/* What is given here as things stand, by the partner $2 or (NULL) by anybody: it came that way, and the giver has not taken it back. No way is written of what came from its home alone. */
#define TAKEN_BACK(home, id, via) "EXISTS (SELECT FROM merge_passing p WHERE p.coop_id = $1 AND p.home = " home " AND p.id = " id " AND p.by_home = " via " AND p.out)"
#define GIVEN(home, id) \
	"(EXISTS (SELECT FROM onward_way y WHERE y.coop_id = $1 AND y.id = " id " AND y.home = " home " AND ($2::text IS NULL OR y.via = $2) AND NOT " TAKEN_BACK(home, id, "y.via") ") " \
	"OR (($2::text IS NULL OR $2 = " home ") AND NOT EXISTS (SELECT FROM onward_way y WHERE y.coop_id = $1 AND y.id = " id " AND y.home = " home ") AND NOT " TAKEN_BACK(home, id, home) "))"
/* Records that a partner is given (any partner, where no agreement is named): own ones, and those that are passed on; and foreign ones here. */
static const char sent_copy[] =
	"COPY (SELECT c.id, c.salt, c.content_sha256, c.licence, (c.more >> 24 & 255)::smallint FROM contribution c LEFT JOIN origin_coop h ON h.coop_id = c.coop_id AND h.no = (c.more >> 24 & 255) "
	"WHERE c.coop_id = $1 AND (c.word & 4096) = 0 AND EXISTS (SELECT FROM bundle_sent s "
	"WHERE s.coop_id = $1 AND ($2::uuid IS NULL OR s.agreement_id = $2) AND s.no = (c.item_no >> 12)::integer "
	"AND get_bit(s.now, (c.item_no & 4095)::integer) = 1) AND NOT EXISTS (SELECT FROM tombstone t WHERE t.coop_id = $1 AND t.contribution_id = c.id AND t.kind IN ('erase', 'correct')) "
	"AND (h.no IS NULL OR " NOT_ERASED("c.id") ")) TO STDOUT (FORMAT binary)";
static const char rows_copy[] =
	"COPY (SELECT c.id, c.salt, c.content_sha256, c.licence, (c.more >> 24 & 255)::smallint FROM contribution c "
	"JOIN origin_coop h ON h.coop_id = c.coop_id AND h.no = (c.more >> 24 & 255) WHERE c.coop_id = $1 AND (c.word & 4096) = 0 AND " NOT_ERASED("c.id") " AND " GIVEN("h.key_name", "c.id") ") TO STDOUT (FORMAT binary)";
static const char origins_copy[] =
	"COPY (SELECT o.id, o.salt, c.content_sha256, o.licence, o.origin FROM item_origin o JOIN contribution c ON c.coop_id = o.coop_id AND c.item_no = o.item_no "
	"JOIN origin_coop h ON h.coop_id = o.coop_id AND h.no = o.origin WHERE o.coop_id = $1 AND (c.word & 4096) = 0 AND " NOT_ERASED("o.id") " AND " GIVEN("h.key_name", "o.id") ") TO STDOUT (FORMAT binary)";
static const char not_taken_copy[] =
	"COPY (SELECT k.home, k.rid, k.detail::json ->> 'commitment', k.detail::json ->> 'licence' FROM merge_conflict k "
	"WHERE k.coop_id = $1 AND k.kind IN ('suppressed', 'id_taken') AND " GIVEN("k.home", "right(k.rid, 36)::uuid") ") TO STDOUT (FORMAT binary)";
/* The feed has lines about foreign records, too; each says whose it is. */
static const char own_tombstones_copy[] =
	"COPY (SELECT DISTINCT t.contribution_id FROM tombstone t WHERE t.coop_id = $1 AND t.kind IN ('erase', 'correct') AND strpos(t.line, '\"rid\":[\"dc:' || $2 || ':') > 0) "
	"TO STDOUT (FORMAT binary)";
static const char tombstones_copy[] =
	"COPY (SELECT DISTINCT w.home, w.id FROM onward_word w WHERE w.coop_id = $1 AND w.counts AND w.feed = w.home AND w.kind IN ('erase', 'correct')) TO STDOUT (FORMAT binary)";
static const char guests_copy[] =
	"COPY (SELECT g.home, g.contributor, g.line FROM guest g JOIN guest_source s ON s.coop_id = g.coop_id AND s.agreement_id = g.agreement_id WHERE g.coop_id = $1 AND s.under IS NULL) "
	"TO STDOUT (FORMAT binary)";
SQL(state_name, "SELECT key_name FROM coop WHERE id = $1");
SQL(state_words,
	"SELECT m.id, s.digest FROM bundle_said s JOIN membership m ON m.coop_id = s.coop_id AND m.number = s.number WHERE s.coop_id = $1 AND s.agreement_id = $2");

struct gathered {
	struct call *call;
	struct uuid coop;
	struct origin_names names;
	struct str us, them;       /* key names; them absent: everybody */
	struct sha256 *line;
	size_t n, room;
};

static enum err add(struct gathered *g, const struct str *parts, size_t n)
{
	if (g->n == g->room) {
		size_t room = g->room ? g->room * 2 : 4096;
		struct sha256 *more = room > STATE_RECORDS_MAX ? NULL : realloc(g->line, room * sizeof(*more));
		if (!more)
			return fail(g->call, ERR_NO_MEMORY, "There is no memory for the state of a merge.");
		g->line = more;
		g->room = room;
	}
	g->line[g->n++] = sha256_of(parts, n);
	return ERR_OK;
}

static bool concerns(const struct gathered *g, struct str home)
{
	return !g->them.p || str_eq(home, g->us) || str_eq(home, g->them);
}

static enum err add_record(struct gathered *g, struct str home, struct str id, struct str commitment, struct str licence)
{
	const struct str parts[] = { STR("record\n"), home, STR("\n"), id, STR("\n"), commitment, STR("\n"), licence };
	return add(g, parts, CH_LEN(parts));
}

static enum err record_row(void *arg, const struct copy_field *f, int n)
{
	struct gathered *g = arg;
	char id[UUID_TEXT];
	if (n != 5 || f[0].n != 16 || f[2].n != 32)
		return fail(g->call, ERR_CORRUPT, "A contribution's row is not as it should be.");
	struct str home = g->names.key_name[copy_int(f[4]) & 0xff];
	struct sha256 commitment = f[1].n == 32 ? ledger_commitment(f[1].p, sha256_load(copy_bytes(f[2]))) : (struct sha256){ 0 };
	struct arena_mark mark = arena_mark(g->call->arena);
	uuid_write(copy_uuid(f[0]), id);
	enum err err = add_record(g, home, str_make(id, UUID_TEXT), sha256_hex(g->call->arena, commitment), str_of(policy_licence_get((unsigned)copy_int(f[3]))->spdx));
	arena_rewind(g->call->arena, mark);
	return err;
}

static enum err not_taken_row(void *arg, const struct copy_field *f, int n)
{
	struct gathered *g = arg;
	struct str home;
	struct uuid id;
	char text[UUID_TEXT];
	if (n != 4 || !rid_parse(copy_bytes(f[1]), &home, &id))
		return ERR_OK;
	uuid_write(id, text);
	return add_record(g, copy_bytes(f[0]), str_make(text, UUID_TEXT), copy_bytes(f[2]), copy_bytes(f[3]));
}

static enum err add_tombstone(struct gathered *g, struct str home, struct uuid id)
{
	char text[UUID_TEXT];
	uuid_write(id, text);
	const struct str parts[] = { STR("tombstone\n"), home, STR("\n"), str_make(text, UUID_TEXT) };
	return concerns(g, home) ? add(g, parts, CH_LEN(parts)) : ERR_OK;
}

static enum err own_tombstone_row(void *arg, const struct copy_field *f, int n)
{
	struct gathered *g = arg;
	return n == 1 ? add_tombstone(g, g->us, copy_uuid(f[0])) : ERR_OK;
}

static enum err tombstone_row(void *arg, const struct copy_field *f, int n)
{
	return n == 2 ? add_tombstone(arg, copy_bytes(f[0]), copy_uuid(f[1])) : ERR_OK;
}

/* Digest of a line without what changes when nothing was said: its revision and signature. Nothing but the members themselves reads like this: in a text the quotes are escaped. */
static enum err words_digest(struct call *c, struct str line, struct sha256 *out)
{
	const char *end = line.p + line.n, *rev = memmem(line.p, line.n, ",\"rev\":", 7), *said = rev ? memmem(rev, (size_t)(end - rev), ",\"said\":", 8) : NULL;
	const char *sig = said ? memmem(said, (size_t)(end - said), ",\"sig\":\"", 8) : NULL, *spoken = sig ? memmem(sig, (size_t)(end - sig), ",\"spoken_for\":", 14) : NULL;
	if (!spoken)
		return fail(c, ERR_CORRUPT, "A guest's line is not as it should be.");
	const struct str parts[] = { str_make(line.p, (size_t)(rev - line.p)), str_make(said, (size_t)(sig - said)), str_make(spoken, (size_t)(end - spoken)) };
	*out = sha256_of(parts, CH_LEN(parts));
	return ERR_OK;
}

static enum err add_words(struct gathered *g, struct str home, struct str contributor, struct str digest)
{
	const struct str parts[] = { STR("words\n"), home, STR("\n"), contributor, STR("\n"), digest };
	return concerns(g, home) ? add(g, parts, CH_LEN(parts)) : ERR_OK;
}

static enum err guest_row(void *arg, const struct copy_field *f, int n)
{
	struct gathered *g = arg;
	struct call *c = g->call;
	struct sha256 digest;
	if (n != 3)
		return ERR_OK;
	TRY(words_digest(c, copy_bytes(f[2]), &digest));
	return add_words(g, copy_bytes(f[0]), copy_bytes(f[1]), str_make(digest.b, 32));
}

static enum err own_words(struct gathered *g, struct uuid agreement)
{
	struct call *c = g->call;
	struct rows r;
	TRY(db_query(c, state_words, &r, A_UUID(g->coop), A_UUID(agreement)));
	for (int i = 0; i < r.n; i++) {
		uint8_t contributor[16];
		TRY(bundle_contributor(c, g->coop, row_uuid(&r, i, 0), contributor));
		TRY(add_words(g, g->us, str_make(contributor, 16), row_bytes(&r, i, 1)));
	}
	return ERR_OK;
}

static int by_bytes(const void *a, const void *b)
{
	return memcmp(a, b, 32);
}

/* Counts once what is there twice, from `from` on. */
static void settle(struct gathered *g, size_t from)
{
	size_t to = from;
	if (g->n - from > 1)
		qsort(g->line + from, g->n - from, sizeof(*g->line), by_bytes);
	for (size_t i = from; i < g->n; i++)
		if (i == from || !sha256_eq(g->line[i], g->line[to - 1]))
			g->line[to++] = g->line[i];
	g->n = to;
}

static enum err gather(struct gathered *g, struct uuid agreement, struct merge_state *out)
{
	struct call *c = g->call;
	const struct db_arg coop[] = { A_UUID(g->coop) }, both[] = { A_UUID(g->coop), A_UUID_OR_NULL(agreement) }, theirs[] = { A_UUID(g->coop), A_STR(g->them) }, named[] = { A_UUID(g->coop), A_STR(g->us) };
	TRY(db_copy_out(c, sent_copy, both, 2, record_row, g));
	TRY(db_copy_out(c, rows_copy, theirs, 2, record_row, g));
	TRY(db_copy_out(c, origins_copy, theirs, 2, record_row, g));
	TRY(db_copy_out(c, not_taken_copy, theirs, 2, not_taken_row, g));
	settle(g, 0);
	size_t records = g->n;
	TRY(db_copy_out(c, own_tombstones_copy, named, 2, own_tombstone_row, g));
	TRY(db_copy_out(c, tombstones_copy, coop, 1, tombstone_row, g));
	settle(g, records);
	size_t tombstones = g->n;
	if (!uuid_is_nil(agreement)) {
		/* what a home says of its people depends on the agreement that it says it under: only its two sides can have the same */
		TRY(db_copy_out(c, guests_copy, coop, 1, guest_row, g));
		TRY(own_words(g, agreement));
	}
	settle(g, tombstones);
	*out = (struct merge_state){ .records = (int64_t)records, .tombstones = (int64_t)(tombstones - records), .statements = (int64_t)(g->n - tombstones) };
	return ERR_OK;
}

enum err merge_state_digest(struct call *c, struct uuid coop, struct uuid agreement, struct merge_state *out)
{
	struct rows r;
	struct agreement terms;
	struct gathered g = { .call = c, .coop = coop, .them = STR_NONE };
	TRY(db_begin_in(c, coop, DB_SERIAL));
	TRY(db_one(c, state_name, &r, A_UUID(coop)));
	g.us = row_str(&r, 0, 0);
	if (!uuid_is_nil(agreement)) {
		TRY(agreement_get(c, coop, agreement, &terms));
		g.them = terms.partner;
	}
	TRY(origin_names_load(c, coop, &g.names));
	enum err err = gather(&g, agreement, out);
	if (err == ERR_OK) {
		settle(&g, 0);
		out->digest = sha256(str_make(g.n ? (const void *)g.line : "", g.n * sizeof(*g.line)));
		err = db_commit(c);
	}
	free(g.line);
	return err;
}
