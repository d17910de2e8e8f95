/* What a co-op knows when a bundle comes: the agreement and its partner, the bundles before it, the logs of other co-ops; and noting a bundle as taken. */
#include "bundle_internal.h"

#include "commonhold/agreement.h"
#include "commonhold/coop.h"
#include "commonhold/db.h"
#include "commonhold/guest.h"
#include "commonhold/merge.h"
#include "commonhold/onward.h"
#include "commonhold/peer.h"


#define LEAVES 4096 /* of a row of origin_leaf */

SQL(coop_key_name_read, "SELECT key_name FROM coop WHERE id = $1");
SQL(bundle_last, "SELECT seq, digest, size, frontier, origin, tombstones, chain FROM bundle_in WHERE coop_id = $1 AND agreement_id = $2 ORDER BY seq DESC LIMIT 1");
SQL(bundle_same, "SELECT digest FROM bundle_in WHERE coop_id = $1 AND agreement_id = $2 AND seq = $3");
SQL(bundle_insert,
	"INSERT INTO bundle_in (coop_id, agreement_id, seq, digest, home, manifest, size, root, frontier, origin, tombstones, chain, taken_at) "
	"VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, commonhold_now())");
SQL(log_known, "SELECT origin, size, root, checkpoint FROM origin_log WHERE coop_id = $1 AND home = $2");
SQL(log_put,
	"INSERT INTO origin_log (coop_id, home, origin, size, root, checkpoint, checked_at) VALUES ($1, $2, $3, $4, $5, $6, commonhold_now()) "
	"ON CONFLICT (coop_id, home) DO UPDATE SET origin = excluded.origin, size = excluded.size, root = excluded.root, checkpoint = excluded.checkpoint, checked_at = excluded.checked_at "
	"WHERE excluded.size > origin_log.size");
SQL(passed_before, "SELECT EXISTS (SELECT FROM onward_source WHERE coop_id = $1 AND agreement_id = $2)");
SQL(heads_shown, "SELECT via, size, root, checkpoint FROM onward_head WHERE coop_id = $1 AND home = $2 ORDER BY via");
SQL(leaves_last, "SELECT no, hashes FROM origin_leaf WHERE coop_id = $1 AND home = $2 ORDER BY no DESC LIMIT 1");
SQL(leaves_row, "SELECT hashes FROM origin_leaf WHERE coop_id = $1 AND home = $2 AND no = $3");
SQL(leaves_put, "INSERT INTO origin_leaf (coop_id, home, no, hashes) VALUES ($1, $2, $3, $4) ON CONFLICT (coop_id, home, no) DO UPDATE SET hashes = excluded.hashes");

enum err origin_log_get(struct call *c, struct uuid coop, struct str home, struct origin_log *out)
{
	struct rows r;
	*out = (struct origin_log){ .size = 0 };
	TRY(db_query(c, log_known, &r, A_UUID(coop), A_STR(home)));
	if (r.n)
		*out = (struct origin_log){ row_str(&r, 0, 0), row_str(&r, 0, 3), row_int(&r, 0, 1), sha256_load(row_bytes(&r, 0, 2)) };
	return ERR_OK;
}

/* ---- Expecting ---- */

static bool builder_load(struct str frontier, int64_t size, struct merkle_builder *out)
{
	size_t n = frontier.n / 32;
	if (frontier.n % 32 || n > CH_LEN(out->stack) || (int)n != __builtin_popcountll((uint64_t)size))
		return false;
	memcpy(out->stack, frontier.p, frontier.n);
	out->depth = (unsigned)n;
	out->size = (uint64_t)size;
	return true;
}

static enum err expect_last(struct call *c, struct uuid coop, const struct bundle *b, struct bundle_expected *out)
{
	struct rows last, same;
	TRY(db_query(c, bundle_last, &last, A_UUID(coop), A_UUID(b->agreement_id)));
	TRY(db_query(c, bundle_same, &same, A_UUID(coop), A_UUID(b->agreement_id), A_I64(b->seq)));
	out->again = same.n > 0;
	if (same.n)
		out->again_digest = sha256_load(row_bytes(&same, 0, 0));
	if (last.n == 0)
		return ERR_OK;
	out->seq = row_int(&last, 0, 0);
	out->digest = sha256_load(row_bytes(&last, 0, 1));
	out->origin = row_str(&last, 0, 4);
	out->chain = (struct tombstone_chain){ row_int(&last, 0, 5), sha256_load(row_bytes(&last, 0, 6)) };
	return builder_load(row_bytes(&last, 0, 3), row_int(&last, 0, 2), &out->log) ? ERR_OK : fail(c, ERR_CORRUPT, "What is kept of a bundle that was taken is damaged.");
}

/* The root over the first leaves of a log whose leaves are all known; *found is false where they are not. */
static enum err root_at(struct call *c, struct uuid coop, struct str home, int64_t size, struct sha256 *root, bool *found)
{
	struct merkle_builder log = { .size = 0 };
	*found = false;
	for (int64_t no = 0; (int64_t)log.size < size; no++) {
		struct arena_mark mark = arena_mark(c->arena);
		struct rows r;
		TRY(db_query(c, leaves_row, &r, A_UUID(coop), A_STR(home), A_I64(no)));
		struct str hashes = r.n ? row_bytes(&r, 0, 0) : STR("");
		for (size_t i = 0; i < hashes.n / 32 && (int64_t)log.size < size; i++)
			merkle_add(&log, sha256_load(str_sub(hashes, i * 32, 32)));
		bool whole = hashes.n == (size_t)LEAVES * 32 || (int64_t)log.size == size;
		arena_rewind(c->arena, mark);
		if (!whole)
			return ERR_OK;
	}
	*root = merkle_builder_root(&log);
	*found = true;
	return ERR_OK;
}

enum err origin_log_contradicts(struct call *c, struct uuid coop, struct str home, int64_t size, struct sha256 root, bool *contradicts)
{
	struct origin_log known;
	struct sha256 ours;
	bool found = false;
	TRY(origin_log_get(c, coop, home, &known));
	*contradicts = false;
	if (size == known.size && size > 0) {
		ours = known.root;
		found = true;
	} else if (size > 0 && size < known.size) {
		TRY(root_at(c, coop, home, size, &ours, &found));
	}
	*contradicts = found && !sha256_eq(root, ours);
	return ERR_OK;
}

/* Heads of a home's log that partners have shown; *shown: the size of the one that `via` has. */
static enum err heads_read(struct call *c, struct uuid coop, struct str home, struct str via, struct bundle_head **out, size_t *n, int64_t *shown)
{
	struct rows r;
	TRY(db_query(c, heads_shown, &r, A_UUID(coop), A_STR(home)));
	*out = ARENA_ARRAY(c->arena, (size_t)r.n + 2, struct bundle_head); /* two more may follow */
	*n = (size_t)r.n;
	*shown = 0;
	for (int i = 0; i < r.n; i++) {
		(*out)[i] = (struct bundle_head){ row_int(&r, i, 1), sha256_load(row_bytes(&r, i, 2)), row_str(&r, i, 3) };
		if (str_eq(row_str(&r, i, 0), via))
			*shown = row_int(&r, i, 1);
	}
	return ERR_OK;
}

static enum err expect_log(struct call *c, struct uuid coop, const struct bundle *b, struct bundle_expected *out)
{
	struct origin_log known;
	int64_t shown;
	bool found;
	out->known_at_head = -1;
	TRY(origin_log_get(c, coop, b->from, &known));
	TRY(heads_read(c, coop, b->from, b->from, &out->heads, &out->n_heads, &shown));
	out->known_size = known.size;
	out->known_root = known.root;
	out->known_checkpoint = known.checkpoint;
	if (known.size && !out->origin.p)
		out->origin = known.origin;
	if (known.size <= b->head_size)
		return ERR_OK;
	TRY(root_at(c, coop, b->from, b->head_size, &out->known_head_root, &found));
	out->known_at_head = found ? b->head_size : -1;
	return ERR_OK;
}

/* What is known of a home's keys, and why nothing of it is taken where that is so. */
static enum err expect_home_keys(struct call *c, struct uuid coop, struct bundle_known *h)
{
	struct peer peer;
	enum err said = peer_by_name(c, coop, h->home, &peer);
	if (said == ERR_NOT_FOUND) {
		error_clear(&c->error);
		return onward_known_keys(c, coop, h->home, &h->keys);
	}
	TRY(said);
	if (peer.state == PEER_REFUSED)
		h->why_not = STR("an admin here has refused that co-op.");
	else if (peer.state == PEER_SUSPECT)
		h->why_not = STR("the keys of that co-op are not what they were, and nobody here has looked at that yet.");
	return peer_keys(c, &peer, &h->keys);
}

static enum err expect_homes(struct call *c, struct uuid coop, const struct bundle *b, struct bundle_expected *out)
{
	out->homes = ARENA_ARRAY(c->arena, b->n_homes + 1, struct bundle_known);
	for (size_t i = 0; i < b->n_homes; i++) {
		struct bundle_known *h = &out->homes[out->n_homes++];
		struct origin_log known;
		struct sha256 root;
		bool found = false;
		int64_t size = bundle_note_size(b->homes[i].checkpoint);
		h->home = b->homes[i].home;
		h->why_not = STR_NONE;
		TRY(expect_home_keys(c, coop, h));
		TRY(heads_read(c, coop, h->home, b->from, &h->heads, &h->n_heads, &h->shown));
		TRY(origin_log_get(c, coop, h->home, &known));
		if (known.size)
			h->heads[h->n_heads++] = (struct bundle_head){ known.size, known.root, known.checkpoint };
		if (size && size < known.size)
			TRY(root_at(c, coop, h->home, size, &root, &found));
		if (found)
			h->heads[h->n_heads++] = (struct bundle_head){ size, root, known.checkpoint };
	}
	return ERR_OK;
}

/* The agreement as the sender names it, or why there is none that lets them send. A revision that was renewed since still covers what was written under it. */
static enum err expect_agreement(struct call *c, struct uuid coop, const struct peer *peer, struct bundle *b, struct bundle_expected *out)
{
	struct rows r;
	struct agreement named, now;
	enum err said = agreement_by_digest(c, coop, b->agreement, &named);
	if (said == ERR_NOT_FOUND) {
		error_clear(&c->error);
		out->why_not = STR("No agreement here has this digest.");
		return ERR_OK;
	}
	TRY(said);
	TRY(agreement_get(c, coop, named.id, &now));
	b->agreement_id = named.id;
	out->kinds = named.terms.kinds;
	out->licences = named.terms.licences;
	out->onward = named.terms.onward;
	TRY(db_one(c, passed_before, &r, A_UUID(coop), A_UUID(named.id)));
	out->passed = named.terms.onward || row_bool(&r, 0, 0);
	b->fresh_until = b->as_of + now.terms.freshness;
	bool revision_counted = named.terms.revision == now.terms.revision || named.state == AGREEMENT_RENEWED;
	if (!uuid_eq(named.peer, peer->id))
		out->why_not = STR("The agreement is with another co-op.");
	else if (!agreement_flows(&now) || !revision_counted)
		out->why_not = STR("The agreement is not in effect.");
	else if (!named.we_receive)
		out->why_not = STR("The agreement lets them send nothing to us.");
	else
		out->known = true;
	return ERR_OK;
}

static enum err expect(struct call *c, struct uuid coop, struct bundle *b, struct bundle_expected *out)
{
	struct rows r;
	struct peer peer;
	TRY(db_one(c, coop_key_name_read, &r, A_UUID(coop)));
	out->us = row_str(&r, 0, 0);
	enum err said = peer_by_name(c, coop, b->from, &peer);
	if (said == ERR_NOT_FOUND)
		error_clear(&c->error);
	else
		TRY(said);
	if (said != ERR_OK)
		return ERR_OK;
	b->peer = peer.id;
	if (peer.state != PEER_CONFIRMED)
		return ERR_OK;
	TRY(peer_keys(c, &peer, &out->keys));
	TRY(expect_agreement(c, coop, &peer, b, out));
	if (!out->known)
		return ERR_OK;
	TRY(expect_last(c, coop, b, out));
	TRY(expect_log(c, coop, b, out));
	TRY(merge_in_doubt(c, coop, b->from, &out->in_doubt));
	return expect_homes(c, coop, b, out);
}

enum err bundle_expect(struct call *c, struct uuid coop, struct bundle *b, struct bundle_expected *out)
{
	*out = (struct bundle_expected){ .chain = { .upto = -1 }, .known_at_head = -1, .now = clock_now(), .origin = STR_NONE, .known_checkpoint = STR_NONE, .why_not = STR("There is none.") };
	TRY(db_begin_in(c, coop, DB_READ));
	TRY(expect(c, coop, b, out));
	return db_commit(c);
}

/* ---- Noting what was taken ---- */

/* A row of leaf hashes as it grows. */
struct packing { struct call *c; struct uuid coop; struct str home; int64_t no; uint8_t *hashes; size_t n; };

static enum err packing_put(struct packing *p)
{
	return p->n ? db_exec(p->c, leaves_put, A_UUID(p->coop), A_STR(p->home), A_I64(p->no), A_BYTES(str_make(p->hashes, p->n * 32))) : ERR_OK;
}

static enum err packing_add(struct packing *p, struct sha256 hash)
{
	memcpy(p->hashes + p->n++ * 32, hash.b, 32);
	if (p->n < LEAVES)
		return ERR_OK;
	TRY(packing_put(p));
	p->no++;
	p->n = 0;
	return ERR_OK;
}

/* The leaf hashes that are not known yet, as long as they go on from those that are. */
static enum err note_leaves(struct call *c, struct uuid coop, struct bundle *b)
{
	struct rows r;
	struct bundle_lines *lines;
	struct str entry;
	struct packing p = { .c = c, .coop = coop, .home = b->from, .hashes = arena_alloc(c->arena, (size_t)LEAVES * 32) };
	TRY(db_query(c, leaves_last, &r, A_UUID(coop), A_STR(b->from)));
	if (r.n) {
		struct str there = row_bytes(&r, 0, 1);
		p.no = row_int(&r, 0, 0);
		p.n = there.n / 32;
		memcpy(p.hashes, there.p, there.n);
		if (p.n == LEAVES) {
			p.no++;
			p.n = 0;
		}
	}
	int64_t known = p.no * LEAVES + (int64_t)p.n, at = b->base_size;
	if (known < at || known >= b->head_size)
		return ERR_OK;
	struct bundle_entries *entries;
	TRY(bundle_entries_begin(c, coop, b, known, &entries));
	TRY(bundle_lines_open(c->arena, b, BUNDLE_EVENTS, &lines, &c->error));
	for (;; at++) {
		TRY(bundle_lines_next(lines, &entry, &c->error));
		if (!entry.p)
			break;
		if (at < known)
			continue;
		TRY(packing_add(&p, merkle_leaf(entry)));
		TRY(bundle_entries_add(entries, entry));
	}
	TRY(packing_put(&p));
	return bundle_entries_end(entries);
}

enum err bundle_note_taken(struct call *c, struct uuid coop, struct bundle *b)
{
	if (!b->checked || b->repeated)
		return fail(c, ERR_INTERNAL, "A bundle that was not checked cannot be taken.");
	struct sha256 root = merkle_builder_root(&b->log);
	TRY(db_exec(c, bundle_insert, A_UUID(coop), A_UUID(b->agreement_id), A_I64(b->seq), A_BYTES(str_make(b->digest.b, 32)), A_STR(b->from), A_STR(b->manifest), A_I64(b->head_size),
		A_BYTES(str_make(root.b, 32)), A_BYTES(str_make(b->log.stack, b->log.depth * sizeof(b->log.stack[0]))), A_STR(b->origin), A_I64(b->chain.upto),
		A_BYTES(str_make(b->chain.digest.b, 32))));
	TRY(db_exec(c, log_put, A_UUID(coop), A_STR(b->from), A_STR(b->origin), A_I64(b->head_size), A_BYTES(str_make(root.b, 32)), A_STR(b->checkpoint)));
	for (size_t i = 0; i < b->n_homes; i++)
		if (!b->homes[i].ours && !b->homes[i].contradicts.p)
			TRY(onward_head_seen(c, coop, b->from, &b->homes[i]));
	TRY(note_leaves(c, coop, b));
	return guest_source_heard(c, coop, b->agreement_id, b->fresh_until);
}
