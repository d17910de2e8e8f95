/* Writing a bundle: what changed for a partner since the last one, from one snapshot of the co-op. The files are whole on the disk before the row that says so is committed. */
#include "bundle_internal.h"
#include "bundle_manifest.h"

#include "commonhold/agreement.h"
#include "commonhold/config.h"
#include "commonhold/coop.h"
#include "commonhold/db.h"
#include "commonhold/fork.h"
#include "commonhold/guest.h"
#include "commonhold/onward.h"
#include "commonhold/peer.h"
#include "commonhold/pool.h"
#include "commonhold/release_scope.h"
#include "commonhold/tar.h"

#include "bundle_scope.h"

#include <errno.h>
#include <stdio.h>
#include <unistd.h>

SQL(flow_make, "INSERT INTO bundle_flow (coop_id, agreement_id) VALUES ($1, $2) ON CONFLICT DO NOTHING");
SQL(flow_lock, "SELECT seq, digest, size, root, tombstones, whole_next FROM bundle_flow WHERE coop_id = $1 AND agreement_id = $2 FOR UPDATE");
SQL(flow_move, "UPDATE bundle_flow SET seq = $3, digest = $4, size = $5, root = $6, tombstones = $7, whole_next = false WHERE coop_id = $1 AND agreement_id = $2");
SQL(out_insert, "INSERT INTO bundle_out (coop_id, agreement_id, seq, digest, manifest, state, made_at) VALUES ($1, $2, $3, $4, $5, 'ready', commonhold_now())");
SQL(coop_names, "SELECT k.key_name, h.version, h.digest FROM coop k JOIN charter h ON h.coop_id = k.id WHERE k.id = $1 ORDER BY h.version DESC LIMIT 1");
SQL(sent_load, "SELECT no, ever, now FROM bundle_sent WHERE coop_id = $1 AND agreement_id = $2 ORDER BY no");
SQL(sent_to_others, "SELECT no, ever FROM bundle_sent WHERE coop_id = $1 AND agreement_id <> $2");
SQL(sent_put,
	"INSERT INTO bundle_sent (coop_id, agreement_id, no, ever, now) VALUES ($1, $2, $3, $4, $5) ON CONFLICT (coop_id, agreement_id, no) DO UPDATE SET ever = excluded.ever, now = excluded.now");

struct str bundle_dir(struct arena *a, struct uuid coop, struct uuid agreement, int64_t seq)
{
	struct str k = uuid_format(a, coop), g = uuid_format(a, agreement);
	return str_fmt(a, "%s/bundles/%.*s/%.*s/%08lld", config()->dir, STR_ARG(k), STR_ARG(g), (long long)seq);
}

enum err bundle_contributor(struct call *c, struct uuid coop, struct uuid member, uint8_t out[16])
{
	uint8_t secret[32];
	TRY(bundle_contributor_secret(c, coop, secret));
	bundle_contributor_of(secret, member, out);
	secret_wipe(secret, sizeof(secret));
	return ERR_OK;
}

/* ---- Where the last one ended ---- */

static enum err flow_begin(struct writing *k)
{
	struct call *c = k->c;
	struct rows r;
	TRY(db_exec(c, flow_make, A_UUID(k->coop), A_UUID(k->agreement.id)));
	TRY(db_one(c, flow_lock, &r, A_UUID(k->coop), A_UUID(k->agreement.id)));
	k->last_seq = row_int(&r, 0, 0);
	k->prev = sha256_load(row_bytes(&r, 0, 1));
	k->base_size = row_int(&r, 0, 2);
	k->base_root = sha256_load(row_bytes(&r, 0, 3));
	k->tombstones_seen = row_int(&r, 0, 4);
	k->whole |= k->last_seq == 0 || row_bool(&r, 0, 5);
	if (!k->whole)
		return ERR_OK;
	k->prev = (struct sha256){ { 0 } };
	k->base_size = 0;
	k->base_root = sha256(STR(""));
	k->tombstones_seen = -1;
	return ERR_OK;
}

/* A person's line takes the place of every earlier one at whoever gets it, so it has what they said of each item that can have come there by another way: from somebody whom it was given to, or with a fork. */
static enum err given_read(struct writing *k)
{
	struct rows r;
	int64_t *items;
	size_t n, bytes = k->scoped.n / 8 + POOL_SEGMENT / 8 + 1;
	k->given = arena_alloc(k->c->arena, bytes);
	memcpy(k->given, k->ever, bytes);
	TRY(db_query(k->c, sent_to_others, &r, A_UUID(k->coop), A_UUID(k->agreement.id)));
	for (int i = 0; i < r.n; i++) {
		size_t at = (size_t)row_int(&r, i, 0) * (POOL_SEGMENT / 8);
		struct str ever = row_bytes(&r, i, 1);
		for (size_t b = 0; b < ever.n && at + b < bytes; b++)
			k->given[at + b] |= (uint8_t)ever.p[b];
	}
	TRY(fork_moved_spoken(k->c, k->coop, &items, &n));
	for (size_t i = 0; i < n; i++)
		if ((size_t)items[i] / 8 < bytes)
			k->given[items[i] / 8] |= (uint8_t)(1 << items[i] % 8);
	return ERR_OK;
}

static enum err sent_read(struct writing *k)
{
	struct rows r;
	size_t bytes = k->scoped.n / 8 + POOL_SEGMENT / 8 + 1;
	k->ever = arena_alloc(k->c->arena, bytes);
	k->now = arena_alloc(k->c->arena, bytes);
	TRY(db_query(k->c, sent_load, &r, A_UUID(k->coop), A_UUID(k->agreement.id)));
	for (int i = 0; i < r.n; i++) {
		size_t at = (size_t)row_int(&r, i, 0) * (POOL_SEGMENT / 8);
		struct str ever = row_bytes(&r, i, 1), now = row_bytes(&r, i, 2);
		if (at + POOL_SEGMENT / 8 > bytes)
			return fail(k->c, ERR_CORRUPT, "What is kept of bundles names items that are not there.");
		memcpy(k->ever + at, ever.p, ever.n);
		memcpy(k->now + at, now.p, now.n);
	}
	return given_read(k);
}

/* Only segments in which something changes are written again. */
static enum err sent_write(struct writing *k)
{
	uint8_t ever[POOL_SEGMENT / 8], now[POOL_SEGMENT / 8];
	size_t bytes = k->scoped.n / 8 + 1;
	for (size_t at = 0; at < bytes; at += sizeof(ever)) {
		size_t n = bytes - at < sizeof(ever) ? bytes - at : sizeof(ever);
		memset(ever, 0, sizeof(ever));
		memset(now, 0, sizeof(now));
		for (size_t i = 0; i < n; i++) {
			ever[i] = (uint8_t)(k->ever[at + i] | k->scoped.in[at + i]);
			now[i] = k->scoped.in[at + i];
		}
		if (memcmp(ever, k->ever + at, n) != 0 || memcmp(now, k->now + at, n) != 0)
			TRY(db_queue(k->c, sent_put, A_UUID(k->coop), A_UUID(k->agreement.id), A_I64((int64_t)(at / sizeof(ever))), A_BYTES(str_make(ever, sizeof(ever))),
				A_BYTES(str_make(now, sizeof(now)))));
	}
	return ERR_OK;
}

/* ---- The manifest ---- */

static void write_files(struct json_writer *w, struct arena *a, const struct bundle_writer *files)
{
	jw_key(w, "files");
	jw_array(w);
	for (size_t i = 0; i < files->n_files; i++) {
		const struct bundle_file *f = &files->files[i];
		manifest_file_write(w, a, f->path, f->lines, &(struct zst_result){ f->size, f->raw_size, f->sha256, f->raw_sha256 });
	}
	jw_end_array(w);
}

static void write_homes(struct json_writer *w, const struct writing *k)
{
	jw_key(w, "homes");
	jw_array(w);
	for (size_t i = 0; i < k->n_homes; i++) {
		if (!k->home_goes[i])
			continue;
		jw_object(w);
		jw_key(w, "agreement");
		jw_raw(w, k->homes[i].document);
		jw_key(w, "assent");
		jw_raw(w, k->homes[i].assent);
		jw_kstr(w, "checkpoint", k->homes[i].checkpoint);
		jw_kstr(w, "home", k->homes[i].home);
		jw_key(w, "keys");
		jw_raw(w, k->homes[i].keys.text);
		jw_end_object(w);
	}
	jw_end_array(w);
}

static struct str manifest_text(struct writing *k)
{
	struct arena *a = k->c->arena;
	struct buf b;
	struct json_writer w;
	buf_init(&b, BUNDLE_MANIFEST_MAX);
	jw_init(&w, &b);
	jw_object(&w);
	jw_kstr(&w, "agreement", sha256_hex(a, k->agreement.terms.digest));
	jw_kstr(&w, "as_of", clock_format(a, k->as_of));
	manifest_head_write(&w, a, "base", k->base_size, k->base_root);
	jw_key(&w, "charter");
	jw_object(&w);
	jw_kstr(&w, "digest", sha256_hex(a, k->charter));
	jw_kint(&w, "version", k->charter_version);
	jw_end_object(&w);
	manifest_counts_write(&w, &k->counts);
	jw_kstr(&w, "created", clock_format(a, clock_now()));
	write_files(&w, a, &k->files);
	jw_kstr(&w, "from", k->key_name);
	manifest_head_write(&w, a, "head", k->head_size, k->head_root);
	write_homes(&w, k);
	jw_kstr(&w, "prev", sha256_hex_or_none(a, k->prev));
	jw_kint(&w, "seq", k->last_seq + 1);
	jw_kstr(&w, "to", k->agreement.partner);
	jw_key(&w, "tombstones");
	jw_object(&w);
	jw_kint(&w, "from", k->tombstones_seen + 1);
	jw_kint(&w, "upto", k->tombstones_upto);
	jw_end_object(&w);
	jw_kint(&w, "v", 1);
	jw_end_object(&w);
	return buf_take(a, &b);
}

/* ---- The parts ---- */

static struct bundle_stream *stream(struct writing *k, const char *stem, bool numbered, bool plain)
{
	struct bundle_stream *s = ARENA_NEW(k->c->arena, struct bundle_stream);
	bundle_stream_begin(&k->files, s, stem, numbered, plain);
	return s;
}

static enum err event_line(void *arg, int64_t index, struct str entry)
{
	struct writing *k = arg;
	k->events_next = index + 1;
	k->counts.events++;
	return bundle_stream_line(k->events, entry.p, entry.n);
}

static void events_begin(struct writing *k)
{
	k->events = stream(k, "events", true, false);
	k->events_next = k->base_size;
}

enum err bundle_events_upto(struct writing *k, int64_t leaf)
{
	if (leaf <= k->events_next)
		return ERR_OK;
	struct arena_mark mark = arena_mark(k->c->arena);
	TRY(ledger_slice(k->c, k->coop, k->events_next, leaf, event_line, k));
	arena_rewind(k->c->arena, mark);
	return ERR_OK;
}

static enum err events_end(struct writing *k)
{
	TRY(bundle_events_upto(k, k->head_size));
	return bundle_stream_end(k->events);
}

static enum err write_consistency(struct writing *k)
{
	struct sha256 *path = NULL;
	size_t n = 0;
	struct buf b;
	buf_init(&b, 64 * KIB);
	TRY(ledger_prove_consistency(k->c, k->coop, k->base_size, k->head_size, &path, &n));
	for (size_t i = 0; i < n; i++) {
		buf_add_str(&b, str_base64(k->c->arena, path[i].b, 32));
		buf_add_byte(&b, '\n');
	}
	return bundle_writer_text(&k->files, "consistency.proof", buf_take(k->c->arena, &b), true);
}

static enum err write_tombstones(struct writing *k)
{
	struct bundle_stream *s = stream(k, "tombstones.jsonl", false, true);
	struct buf b;
	int64_t last = k->tombstones_seen;
	buf_init(&b, 128 * (TOMBSTONE_LINE_MAX + 1));
	while (last < k->tombstones_upto) {
		struct arena_mark mark = arena_mark(k->c->arena);
		int64_t from = last + 1;
		buf_clear(&b);
		enum err said = tombstone_lines(k->c, k->coop, from, k->tombstones_upto, 128, &b, &last);
		struct str rest = buf_str(&b), line;
		while (said == ERR_OK && rest.n && str_split(&rest, '\n', &line) && line.n) {
			k->counts.tombstones++;
			said = bundle_stream_line(s, line.p, line.n);
		}
		if (said == ERR_OK && last < from)
			said = fail(k->c, ERR_CORRUPT, "A tombstone is missing.");
		if (said != ERR_OK) {
			buf_release(&b);
			return said;
		}
		arena_rewind(k->c->arena, mark); /* a plain stream keeps nothing there */
	}
	buf_release(&b);
	return bundle_stream_end(s);
}

static enum err write_small(struct writing *k)
{
	TRY(bundle_writer_text(&k->files, "keys.json", k->keys.text, true));
	TRY(bundle_writer_text(&k->files, "checkpoint", k->checkpoint, true));
	return write_consistency(k);
}

static bool anything(const struct writing *k)
{
	const struct bundle_counts *n = &k->counts;
	return k->whole || n->records || n->statements || n->tombstones || n->out || n->back || n->labels;
}

/* ---- The whole ---- */

static bool takes(void *arg, uint32_t member)
{
	const struct writing *k = arg;
	return member < k->n_people && k->people[member].goes;
}

/* To a partner who does not confirm a deletion: what they have already, words and tombstones, and no record more. */
static enum err nothing_new_while_blocked(struct writing *k)
{
	bool blocked;
	TRY(onward_blocked(k->c, k->coop, k->agreement.partner, &blocked));
	for (size_t i = 0; blocked && i < k->scoped.n / 8 + 1; i++)
		k->scoped.in[i] &= k->ever[i];
	return ERR_OK;
}

static enum err prepare(struct writing *k, struct uuid agreement)
{
	struct call *c = k->c;
	struct rows r;
	TRY(agreement_get(c, k->coop, agreement, &k->agreement));
	if (!agreement_flows(&k->agreement) || !k->agreement.we_send)
		return fail(c, ERR_STATE, "The agreement does not let this co-op send anything now.");
	TRY(flow_begin(k));
	TRY(db_one(c, coop_names, &r, A_UUID(k->coop)));
	k->key_name = row_str(&r, 0, 0);
	k->charter_version = (int)row_int(&r, 0, 1);
	k->charter = sha256_load(row_bytes(&r, 0, 2));
	TRY(ledger_checkpoint_seen(c, k->coop, &k->head_size, &k->head_root, &k->checkpoint));
	TRY(keychain_of(c, k->coop, &k->keys));
	TRY(ledger_key(c, k->coop, &k->key));
	TRY(tombstone_upto(c, k->coop, &k->tombstones_upto, NULL));
	k->as_of = clock_now();
	TRY(bundle_people_load(k));
	const struct agreement_terms *t = &k->agreement.terms;
	struct release_scope scope = { t->uses, t->purposes, t->audience, t->kinds, t->licences, takes, k };
	instant second = (k->as_of + CLOCK_SECOND - 1) / CLOCK_SECOND * CLOCK_SECOND; /* items carry whole seconds, rounded up */
	TRY(release_scope_decide(c, k->coop, &scope, second, &k->scoped));
	TRY(bundle_onward_limit(k));
	TRY(sent_read(k));
	TRY(nothing_new_while_blocked(k));
	return bundle_people_keys(k);
}

static enum err write_parts(struct writing *k)
{
	TRY(write_tombstones(k));
	TRY(bundle_statements_write(k));
	events_begin(k); /* some between the records, so that both are compressed at the same time */
	return bundle_records_write(k);
}

static enum err seal_and_move(struct writing *k, struct bundle_report *out)
{
	struct call *c = k->c;
	TRY(events_end(k));
	TRY(write_small(k));
	bundle_writer_sort(&k->files);
	struct str manifest = manifest_text(k);
	if (!manifest.p || k->files.n_files > BUNDLE_FILES_MAX)
		return fail(c, ERR_TOO_LARGE, "The bundle would have more files than a bundle may.");
	struct str envelope = dsse_sign(c->arena, &k->key, 1, STR(BUNDLE_TYPE), manifest);
	TRY(bundle_writer_text(&k->files, "bundle.json", manifest, false));
	TRY(bundle_writer_text(&k->files, "bundle.dsse.json", envelope, false));
	out->seq = k->last_seq + 1;
	out->digest = sha256(manifest);
	out->counts = k->counts;
	out->size = k->files.size;
	out->raw_size = k->files.raw_size;
	out->whole = k->whole;
	TRY(sent_write(k));
	TRY(bundle_statements_note(k));
	TRY(db_exec(c, flow_move, A_UUID(k->coop), A_UUID(k->agreement.id), A_I64(out->seq), A_BYTES(str_make(out->digest.b, 32)), A_I64(k->head_size), A_BYTES(str_make(k->head_root.b, 32)),
		A_I64(k->tombstones_upto)));
	TRY(db_exec(c, out_insert, A_UUID(k->coop), A_UUID(k->agreement.id), A_I64(out->seq), A_BYTES(str_make(out->digest.b, 32)), A_STR(manifest)));
	struct str to = bundle_dir(c->arena, k->coop, k->agreement.id, out->seq);
	bundle_folder_remove(to.p); /* of an attempt that ended between here and its commit */
	if (rename(k->files.dir.p, to.p) != 0)
		return fail(c, ERR_IO, "The folder %s cannot be put in its place: %s.", to.p, strerror(errno));
	out->dir = to;
	return db_commit(c);
}

static enum err pack_tar(struct call *c, const struct bundle_writer *files, struct str dir, const char *tar)
{
	struct str *names = ARENA_ARRAY(c->arena, files->n_files + 2, struct str);
	names[0] = STR("bundle.json");
	names[1] = STR("bundle.dsse.json");
	for (size_t i = 0; i < files->n_files; i++)
		names[i + 2] = files->files[i].path;
	return tar_pack(tar, dir.p, names, files->n_files + 2, clock_now(), &c->error);
}

/* That it went out is a leaf. So a bundle's revision (the size of the log that it ends with) is later than that of every bundle before it, even where nothing happened here but that time went by:
 * two things said at one revision are a contradiction to whoever hears both. Of its own transaction: the log stays unlocked while a bundle is written. */
static enum err note_sent(struct writing *k, const struct bundle_report *out)
{
	struct call *c = k->c;
	struct str facts = str_fmt(c->arena, "{\"agreement\":\"%.*s\",\"seq\":%lld,\"sha256\":\"%.*s\"}", STR_ARG(sha256_hex(c->arena, k->agreement.terms.digest)), (long long)out->seq,
		STR_ARG(sha256_hex(c->arena, out->digest)));
	TRY(db_begin_in(c, k->coop, DB_WRITE));
	TRY(ledger_append(c, k->coop, &(struct leaf){ .type = "bundle.made", .data = facts }, NULL));
	return db_commit(c);
}

static enum err write_all_of_it(struct writing *k, struct uuid agreement, const struct bundle_how *how, struct bundle_report *out)
{
	struct call *c = k->c;
	TRY(db_begin_in(c, k->coop, DB_SERIAL));
	TRY(prepare(k, agreement));
	struct str part = str_fmt(c->arena, "%s.part", bundle_dir(c->arena, k->coop, agreement, k->last_seq + 1).p);
	TRY(bundle_writer_begin(c, part, &k->files));
	TRY(write_parts(k));
	if (!anything(k) && !how->even_empty)
		return db_commit(c);
	TRY(seal_and_move(k, out));
	TRY(note_sent(k, out));
	return how->tar ? pack_tar(c, &k->files, out->dir, how->tar) : ERR_OK;
}

enum err bundle_write(struct call *c, struct uuid coop, struct uuid agreement, const struct bundle_how *how, struct bundle_report *out)
{
	struct writing *k = ARENA_NEW(c->arena, struct writing);
	*out = (struct bundle_report){ .seq = 0 };
	*k = (struct writing){ .c = c, .coop = coop, .whole = how->whole };
	TRY(release_scope_pack(c, coop));
	enum err said = write_all_of_it(k, agreement, how, out);
	secret_wipe(&k->key, sizeof(k->key));
	bundle_people_wipe(k);
	if (k->files.dir.p)
		bundle_folder_remove(k->files.dir.p); /* nothing is left there after it was moved */
	return said;
}
