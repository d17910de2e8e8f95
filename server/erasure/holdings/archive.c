/* archive.c - everything held about a person, as one tar that is written as it is read.
 *
 * No transaction is open and no connection held while bytes go to a person, who may be slow: rows are spooled to a file without a name first, contributions are read page by page. What is
 * sealed is opened in memory alone and never spooled. Every file is as of the moment when it was read. */
#include "server/erasure/holdings/archive_internal.h"
#include "commonhold/tar.h"

#include "commonhold/config.h"
#include "commonhold/db.h"
#include "commonhold/keychain.h"
#include "commonhold/file.h"
#include "commonhold/ledger.h"
#include "commonhold/notify.h"
#include "commonhold/pii.h"
#include "commonhold/policy_licence.h"
#include "commonhold/pool.h"
#include "commonhold/sign_in.h"
#include "commonhold/words.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

#define PART_BYTES (2 * MIB)     /* contributions of one part, about */
#define CHUNK (64 * KIB)
#define MANIFEST_MAX (16 * MIB)  /* some 100,000 parts */

SQL(taken_count, "SELECT count(*) FROM archive_taken WHERE account_id = $1 AND at > commonhold_now() - interval '1 day'");
SQL(taken_insert, "INSERT INTO archive_taken (account_id, id, about_coop, at) VALUES ($1, $2, $3, commonhold_now())");
#define KEY_IN_FORCE "(SELECT encode(s.public_key, 'hex') FROM signing_key s WHERE s.coop_id = k.id ORDER BY s.no DESC LIMIT 1)"
SQL(memberships_own, "SELECT m.coop_id, m.id, m.number, k.key_name, k.slug, (SELECT h.name FROM charter h WHERE h.coop_id = k.id ORDER BY h.version DESC LIMIT 1), " KEY_IN_FORCE " "
	"FROM membership m JOIN coop k ON k.id = m.coop_id WHERE m.account_id = $1 ORDER BY m.applied_at, m.coop_id");
SQL(coops_all, "SELECT k.id, k.key_name, k.slug, (SELECT h.name FROM charter h WHERE h.coop_id = k.id ORDER BY h.version DESC LIMIT 1), " KEY_IN_FORCE " FROM coop k ORDER BY k.id");
SQL(used_here,
	"SELECT EXISTS (SELECT FROM access_request WHERE coop_id = $1 AND account_id = $2) OR EXISTS (SELECT FROM access_log WHERE coop_id = $1 AND account_id = $2) "
	"OR EXISTS (SELECT FROM mirror WHERE coop_id = $1 AND account_id = $2) OR EXISTS (SELECT FROM erasure WHERE coop_id = $1 AND account_id = $2) "
	"OR EXISTS (SELECT FROM agent WHERE coop_id = $1 AND account_id = $2)");

static const char readme[] =
	"This is everything that a Commonhold server held about you when you asked.\n\n"
	"archive.json        what is in here, with the SHA-256 of every file, and the table of what is held: on what ground, until when, and what is not in here and why\n"
	"archive.dsse.json   the same, signed by the server\n"
	"account.jsonl, sign-in.jsonl, settings.jsonl, notices.jsonl, deletions.jsonl   you, on that server\n"
	"coops/NAME/         you, in one co-op. contributions-*.jsonl are your contributions, one a line, as every Commonhold server takes them in;\n"
	"                    items-*.jsonl say what became of each; recipients.jsonl says who has them\n\n"
	"Each file has a JSON object a line; \"what\" says what it is. Times are UTC or carry their offset (RFC 3339).\n"
	"To take your contributions elsewhere: commonhold import --format commonhold-archive --coop CO-OP --as E-MAIL archive.tar\n"
	"The format is described in docs/archive.md of Commonhold.\n";

/* An archive that is being written. */
struct work {
	struct call *c;
	const struct archive_sink *sink;
	instant at;              /* of every file */
	int64_t bytes;           /* written so far */
	struct buf list;         /* manifest's members, as JSON */
	struct json_writer members;
	struct buf coops;        /* and its co-ops */
	struct json_writer of_coops;
	int64_t contributions;   /* in all */
};

/* Where one is, or was, a member, or was seen otherwise. */
struct seat {
	struct uuid coop, member;  /* member: nil where one was none */
	int number;                /* -1 */
	struct str key_name, slug, name, public_key;
};

/* ---- Files of the tar ---- */

static enum err put(struct work *w, const void *p, size_t n)
{
	w->bytes += (int64_t)n;
	return w->sink->write(w->sink->arg, p, n, &w->c->error);
}

static void note_member(struct work *w, struct str name, int64_t size, int64_t rows, struct sha256 digest)
{
	jw_object(&w->members);
	jw_kstr(&w->members, "path", name);
	if (rows >= 0)
		jw_kint(&w->members, "rows", rows);
	jw_kstr(&w->members, "sha256", sha256_hex(w->c->arena, digest));
	jw_kint(&w->members, "size", size);
	jw_end_object(&w->members);
}

static enum err put_header(struct work *w, struct str name, int64_t size)
{
	uint8_t block[TAR_BLOCK];
	if (!tar_header(block, name, size, w->at))
		return fail(w->c, ERR_INTERNAL, "An archive's file has no name that fits, or is too large.");
	return put(w, block, TAR_BLOCK);
}

static enum err put_padding(struct work *w, int64_t size)
{
	static const uint8_t zeros[TAR_BLOCK];
	return tar_padding(size) ? put(w, zeros, tar_padding(size)) : ERR_OK;
}

static enum err put_file(struct work *w, struct str name, struct str bytes)
{
	TRY(put_header(w, name, (int64_t)bytes.n));
	TRY(put(w, bytes.p, bytes.n));
	return put_padding(w, (int64_t)bytes.n);
}

/* ---- Rows ---- */

/* Rows on their way to a file whose size nobody knows yet. */
struct spool {
	int fd;
	struct buf buf;
	struct hasher *hasher;
	int64_t size, rows;
	struct error *error;
};

static void spool_end(void *arg)
{
	struct spool *s = arg;
	if (s->fd >= 0)
		close(s->fd);
	buf_release(&s->buf);
}

static enum err spool_flush(struct spool *s)
{
	if (!file_write_all(s->fd, s->buf.p, s->buf.n))
		return error_set(s->error, ERR_IO, "The archive cannot be put together: %s.", strerrorname_np(errno));
	hasher_add(s->hasher, s->buf.p, s->buf.n);
	s->size += (int64_t)s->buf.n;
	buf_clear(&s->buf);
	return ERR_OK;
}

static enum err spool_row(void *arg, const struct copy_field *fields, int n)
{
	struct spool *s = arg;
	(void)n;
	buf_add(&s->buf, fields[0].p, (size_t)fields[0].n);
	buf_add_byte(&s->buf, '\n');
	s->rows++;
	if (s->buf.failed)
		return error_set(s->error, ERR_TOO_LARGE, "A row is too large for the archive.");
	return s->buf.n >= CHUNK ? spool_flush(s) : ERR_OK;
}

/* A file without a name: gone when it is closed. */
static enum err spool_begin(struct call *c, struct spool *s)
{
	char *path = (char *)str_fmt(c->arena, "%s/archive-XXXXXX", config()->dir).p;
	*s = (struct spool){ .fd = mkostemp(path, O_CLOEXEC), .hasher = hasher_new(c->arena), .error = &c->error };
	if (s->fd < 0)
		return fail(c, ERR_IO, "The archive cannot be put together: %s.", strerrorname_np(errno));
	unlink(path);
	buf_init(&s->buf, LIMIT_RESPONSE);
	return arena_defer(c->arena, spool_end, s) ? ERR_OK : fail(c, ERR_NO_MEMORY, "%s", err_text(ERR_NO_MEMORY));
}

static enum err put_spool(struct work *w, struct spool *s, struct str name)
{
	char chunk[CHUNK];
	TRY(spool_flush(s));
	if (s->rows == 0)
		return ERR_OK;
	TRY(put_header(w, name, s->size));
	for (int64_t at = 0; at < s->size;) {
		ssize_t n = pread(s->fd, chunk, CHUNK, at);
		if (n <= 0)
			return fail(w->c, ERR_IO, "The archive cannot be put together: %s.", strerrorname_np(errno));
		TRY(put(w, chunk, (size_t)n));
		at += n;
	}
	note_member(w, name, s->size, s->rows, hasher_end(s->hasher));
	return put_padding(w, s->size);
}

static enum err spool_file(struct work *w, const struct archive_rows *rows, size_t n, const struct seat *seat, struct spool *s)
{
	struct call *c = w->c;
	const struct db_arg args[ARCHIVE_ARGS] = { A_UUID(seat->coop), A_UUID(seat->member), A_INT(seat->number), A_UUID(c->actor.account) };
	TRY(spool_begin(c, s));
	TRY(db_begin_in(c, seat->coop, DB_READ));
	for (size_t i = 0; i < n; i++)
		TRY(db_copy_out(c, rows[i].sql, args, ARCHIVE_ARGS, spool_row, s));
	return db_commit(c);
}

/* Every file of a table of rows. */
static enum err put_rows(struct work *w, const struct archive_rows *table, const struct seat *seat, const char *folder)
{
	for (size_t i = 0, n; table[i].file; i += n) {
		struct arena_mark mark = arena_mark(w->c->arena);
		struct spool *s = ARENA_NEW(w->c->arena, struct spool);
		for (n = 1; table[i + n].file && str_is(str_of(table[i].file), table[i + n].file);)
			n++;
		TRY(spool_file(w, &table[i], n, seat, s));
		db_release(w->c);
		TRY(put_spool(w, s, str_fmt(w->c->arena, "%s%s", folder, table[i].file)));
		arena_rewind(w->c->arena, mark);
	}
	return ERR_OK;
}

/* ---- Contributions ---- */

/* One part: what can be contributed again, and beside it what became of each item. */
struct part { struct buf lines, items; int64_t n, n_items; int no; };

static void part_end(void *arg)
{
	struct part *p = arg;
	buf_release(&p->lines);
	buf_release(&p->items);
}

/* As contribution.json has it. What the co-op made the licence is said in every case, so that it is no other elsewhere. */
static enum err write_line(struct call *c, struct part *p, const struct pool_own *own)
{
	const struct json *facts;
	struct json_writer w;
	TRY(json_parse(c->arena, own->item.facts, &facts, &c->error));
	jw_init(&w, &p->lines);
	jw_object(&w);
	jw_key(&w, "content");
	jw_raw(&w, own->content);
	jw_kz(&w, "kind", policy_kind_name(own->item.kind));
	json_each (member, facts) {
		if (str_is(member->key, "licence") || str_is(member->key, "lang"))
			continue;
		jw_key_str(&w, member->key);
		jw_json(&w, member);
	}
	if (!str_is(own->item.lang, "und"))
		jw_kstr(&w, "lang", own->item.lang);
	jw_kz(&w, "licence", policy_licence_get(own->item.licence)->spdx);
	jw_end_object(&w);
	buf_add_byte(&p->lines, '\n');
	return ERR_OK;
}

static void write_item(struct call *c, struct part *p, const struct pool_own *own, int64_t line)
{
	const struct contribution *i = &own->item;
	struct json_writer w;
	jw_init(&w, &p->items);
	jw_object(&w);
	jw_kint(&w, "bytes", i->bytes);
	jw_kstr(&w, "content_sha256", line ? sha256_hex(c->arena, i->content_sha256) : STR_NONE);
	jw_key(&w, "decisions");
	jw_raw(&w, own->decisions.p ? own->decisions : STR("[]"));
	jw_kstr(&w, "embargo_until", clock_format_or_none(c->arena, i->embargo_until));
	jw_knames(&w, "findings", i->findings, PII_KIND_COUNT, pii_kind_word);
	jw_kz(&w, "kind", policy_kind_name(i->kind));
	jw_kint(&w, "leaf", i->leaf);
	jw_kz(&w, "licence", policy_licence_get(i->licence)->spdx);
	jw_key(&w, "line"); /* in the part of contributions with the same number */
	if (line)
		jw_int(&w, line);
	else
		jw_null(&w);
	jw_kstr(&w, "rid", i->rid);
	jw_kstr(&w, "status", i->status);
	jw_kstr(&w, "submitted_at", clock_format(c->arena, i->submitted_at));
	jw_kz(&w, "what", "item");
	jw_end_object(&w);
	buf_add_byte(&p->items, '\n');
}

static enum err put_part(struct work *w, struct part *p, const char *folder)
{
	if (p->lines.failed || p->items.failed)
		return fail(w->c, ERR_TOO_LARGE, "A contribution is too large for the archive.");
	if (p->n_items == 0)
		return ERR_OK;
	struct str items = str_fmt(w->c->arena, "%s" ARCHIVE_ITEMS "-%05d.jsonl", folder, p->no), lines = str_fmt(w->c->arena, "%s" ARCHIVE_CONTRIBUTIONS "-%05d.jsonl", folder, p->no);
	note_member(w, items, (int64_t)p->items.n, p->n_items, sha256(buf_str(&p->items)));
	TRY(put_file(w, items, buf_str(&p->items)));
	if (p->n > 0) {
		note_member(w, lines, (int64_t)p->lines.n, p->n, sha256(buf_str(&p->lines)));
		TRY(put_file(w, lines, buf_str(&p->lines)));
	}
	w->contributions += p->n;
	buf_clear(&p->lines);
	buf_clear(&p->items);
	p->n = p->n_items = 0;
	p->no++;
	return ERR_OK;
}

static enum err add_page(struct work *w, struct part *p, const struct pool_own *own, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		bool here = own[i].content.p && !str_is(own[i].item.status, "erased");
		if (here)
			TRY(write_line(w->c, p, &own[i]));
		write_item(w->c, p, &own[i], here ? ++p->n : 0);
		p->n_items++;
	}
	return ERR_OK;
}

static enum err put_contributions(struct work *w, const struct seat *seat, const char *folder)
{
	struct call *c = w->c;
	struct arena_mark all = arena_mark(c->arena);
	struct part *p = ARENA_NEW(c->arena, struct part);
	int64_t after = -1;
	p->no = 1;
	buf_init(&p->lines, 4 * LIMIT_RESPONSE);
	buf_init(&p->items, 4 * LIMIT_RESPONSE);
	if (!arena_defer(c->arena, part_end, p))
		return fail(c, ERR_NO_MEMORY, "%s", err_text(ERR_NO_MEMORY));
	for (size_t n = 1; n > 0;) {
		struct arena_mark mark = arena_mark(c->arena);
		struct pool_own *own;
		TRY(pool_own_page(c, seat->coop, seat->number, after, &own, &n));
		db_release(c);
		TRY(add_page(w, p, own, n));
		if (n > 0)
			after = own[n - 1].item.item_no;
		if (n == 0 || p->lines.n + p->items.n >= PART_BYTES)
			TRY(put_part(w, p, folder));
		arena_rewind(c->arena, mark);
	}
	arena_rewind(c->arena, all);
	return ERR_OK;
}

/* ---- The whole ---- */

static enum err put_coop(struct work *w, const struct seat *seat)
{
	const char *folder = str_fmt(w->c->arena, "coops/%.*s/", STR_ARG(seat->key_name)).p;
	int64_t before = w->contributions;
	TRY(put_rows(w, archive_of_coop, seat, folder));
	if (seat->number >= 0)
		TRY(put_contributions(w, seat, folder));
	struct json_writer *j = &w->of_coops;
	jw_object(j);
	jw_kint(j, "contributions", w->contributions - before);
	jw_kstr(j, "key_name", seat->key_name);
	jw_kstr(j, "member", uuid_format_or_none(w->c->arena, seat->member));
	jw_kstr(j, "name", seat->name);
	jw_kstr(j, "public_key", seat->public_key);
	jw_kstr(j, "slug", seat->slug);
	jw_end_object(j);
	return ERR_OK;
}

/* Memberships, of one co-op or all; then co-ops that one only used. */
static enum err seats_of(struct call *c, struct uuid coop, struct seat **out, size_t *n)
{
	struct rows own, all;
	struct uuid nobody = { { 0 } };
	TRY(db_enter_coop(c, nobody));
	TRY(db_begin(c, DB_READ));
	TRY(db_query(c, memberships_own, &own, A_UUID(c->actor.account)));
	TRY(db_query0(c, coops_all, &all));
	TRY(db_commit(c));
	*n = 0;
	*out = ARENA_ARRAY(c->arena, own.n + all.n, struct seat);
	for (int i = 0; i < own.n; i++)
		if (uuid_is_nil(coop) || uuid_eq(coop, row_uuid(&own, i, 0)))
			(*out)[(*n)++] = (struct seat){ .coop = row_uuid(&own, i, 0), .member = row_uuid(&own, i, 1), .number = (int)row_int(&own, i, 2), .key_name = row_str(&own, i, 3),
				.slug = row_str(&own, i, 4), .name = row_str(&own, i, 5), .public_key = row_str(&own, i, 6) };
	size_t members = *n;
	for (int i = 0; i < all.n; i++) {
		struct seat seat = { .coop = row_uuid(&all, i, 0), .number = -1, .key_name = row_str(&all, i, 1), .slug = row_str(&all, i, 2), .name = row_str(&all, i, 3), .public_key = row_str(&all, i, 4) };
		struct rows used;
		bool known = !uuid_is_nil(coop) && !uuid_eq(coop, seat.coop);
		for (size_t k = 0; k < members; k++)
			known |= uuid_eq((*out)[k].coop, seat.coop);
		if (known)
			continue;
		TRY(db_begin_in(c, seat.coop, DB_READ));
		TRY(db_finish(c, used_here, &used, A_UUID(seat.coop), A_UUID(c->actor.account)));
		if (row_bool(&used, 0, 0))
			(*out)[(*n)++] = seat;
	}
	return ERR_OK;
}

static struct str manifest_of(struct work *w, struct uuid coop, const struct sign_key *key)
{
	struct arena *a = w->c->arena;
	struct buf b;
	struct json_writer j;
	jw_end_array(&w->members);
	jw_end_array(&w->of_coops);
	buf_init(&b, MANIFEST_MAX + LIMIT_RESPONSE);
	jw_init(&j, &b);
	jw_object(&j);
	jw_key(&j, "coops");
	jw_raw(&j, buf_str(&w->coops));
	jw_kz(&j, "format", ARCHIVE_FORMAT);
	jw_key(&j, "holdings");
	holdings_write(&j);
	jw_kz(&j, "instance", config()->base_url);
	jw_kstr(&j, "key", str_hex(a, key->public_key, 32));
	jw_kstr(&j, "made_at", clock_format(a, w->at));
	jw_key(&j, "members");
	jw_raw(&j, buf_str(&w->list));
	jw_kz(&j, "scope", uuid_is_nil(coop) ? "account" : "coop");
	jw_kstr(&j, "subject", uuid_format(a, w->c->actor.account));
	jw_end_object(&j);
	if (w->list.failed || w->coops.failed)
		b.failed = true;
	return buf_take(a, &b);
}

static enum err put_end(struct work *w, struct uuid coop, struct archive_made *out)
{
	static const uint8_t zeros[TAR_END_BYTES];
	struct call *c = w->c;
	struct sign_key key;
	TRY(instance_key(c, &key));
	struct str manifest = manifest_of(w, coop, &key), envelope = manifest.p ? dsse_sign(c->arena, &key, 1, STR(ARCHIVE_PAYLOAD_TYPE), manifest) : STR_NONE;
	secret_wipe(&key, sizeof(key));
	if (!manifest.p)
		return fail(c, ERR_TOO_LARGE, "The archive has more parts than its manifest can name.");
	TRY(put_file(w, STR("archive.json"), manifest));
	TRY(put_file(w, STR("archive.dsse.json"), envelope));
	TRY(put(w, zeros, TAR_END_BYTES));
	*out = (struct archive_made){ .bytes = w->bytes, .contributions = w->contributions, .manifest = sha256(manifest) };
	return ERR_OK;
}

static enum err put_all(struct work *w, struct uuid coop, struct archive_made *out)
{
	struct seat *seats, nowhere = { .number = -1 };
	size_t n;
	TRY(seats_of(w->c, coop, &seats, &n));
	note_member(w, STR("README.txt"), (int64_t)(sizeof(readme) - 1), -1, sha256(str_of(readme)));
	TRY(put_file(w, STR("README.txt"), str_of(readme)));
	if (uuid_is_nil(coop))
		TRY(put_rows(w, archive_of_account, &nowhere, ""));
	for (size_t i = 0; i < n; i++)
		TRY(put_coop(w, &seats[i]));
	return put_end(w, coop, out);
}

enum err archive_write(struct call *c, struct uuid coop, const struct archive_sink *sink, struct archive_made *out)
{
	struct work w = { .c = c, .sink = sink, .at = clock_now_whole(CLOCK_SECOND) };
	if (uuid_is_nil(c->actor.account))
		return fail(c, ERR_UNAUTHENTICATED, "Sign in first.");
	if (!instance_keys())
		return fail(c, ERR_CONFIG, "The instance's keys are not loaded.");
	buf_init(&w.list, MANIFEST_MAX);
	buf_init(&w.coops, LIMIT_RESPONSE);
	jw_init(&w.members, &w.list);
	jw_array(&w.members);
	jw_init(&w.of_coops, &w.coops);
	jw_array(&w.of_coops);
	enum err e = put_all(&w, coop, out);
	buf_release(&w.list);
	buf_release(&w.coops);
	return e;
}

/* ---- Whether ---- */

static enum err tell(struct call *c)
{
	struct buf b;
	struct json_writer w;
	buf_init(&b, 4 * KIB);
	jw_init(&w, &b);
	jw_object(&w);
	jw_kstr(&w, "text", str_fmt(c->arena, "On %.*s somebody who was signed in as you, and proved it, took a copy of everything that is held about you. If that was not you, ask for a new password on the "
		"sign-in page at once.", STR_ARG(words_minute(c->arena, clock_now()))));
	jw_kz(&w, "title", "A copy of your data was taken");
	jw_kz(&w, "url", "/me");
	jw_end_object(&w);
	return notify_send(c, &(struct notice){ .kind = "account.archive_taken", .account = c->actor.account, .data = buf_take(c->arena, &b), .essential = true });
}

enum err archive_permit(struct call *c, const struct proof *proof, struct uuid coop)
{
	struct rows r;
	struct uuid nobody = { { 0 } }, at = c->coop;
	if (c->actor.kind != AUTH_SESSION)
		return fail_reason(c, ERR_FORBIDDEN, "session_needed", "An archive is taken in a browser that is signed in, not with a token.");
	TRY(proof_check(c, proof));
	TRY(db_enter_coop(c, nobody));
	TRY(db_begin(c, DB_WRITE));
	TRY(db_one(c, taken_count, &r, A_UUID(c->actor.account)));
	if (row_int(&r, 0, 0) >= ARCHIVES_A_DAY)
		return fail_reason(c, ERR_TOO_MANY, "archives_a_day", "An archive can be taken %d times a day. Try again tomorrow.", ARCHIVES_A_DAY);
	TRY(db_exec(c, taken_insert, A_UUID(c->actor.account), A_UUID(uuid_new()), A_UUID_OR_NULL(coop)));
	TRY(tell(c));
	TRY(db_commit(c));
	return db_enter_coop(c, at);
}
