/* Previews and dry runs: made, sent, taken, kept. */
#include "preview_internal.h"

#include "commonhold/db.h"
#include "commonhold/json.h"
#include "commonhold/ledger.h"
#include "commonhold/message.h"
#include "commonhold/peer.h"
#include "server/merge/agreement/agreement_internal.h"

#define SMALL ((size_t)64 * KIB) /* goes with the message; base64 makes it a third longer */
#define LATE CLOCK_HOUR /* between the state that a preview tells of and its being kept, and between clocks */
#define TRY_ARENA ((size_t)2048 * MIB)

SQL(member_ids, "SELECT number, id FROM membership WHERE coop_id = $1");
SQL(preview_put,
	"INSERT INTO merge_preview (coop_id, agreement_id, agreement, ours, digest, as_of, items, people, size, body, people_no, kept_at) "
	"VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, commonhold_now()) "
	"ON CONFLICT (coop_id, agreement_id, ours) DO UPDATE SET agreement = EXCLUDED.agreement, digest = EXCLUDED.digest, as_of = EXCLUDED.as_of, items = EXCLUDED.items, "
	"people = EXCLUDED.people, size = EXCLUDED.size, body = EXCLUDED.body, people_no = EXCLUDED.people_no, kept_at = EXCLUDED.kept_at");
SQL(preview_last_put,
	"INSERT INTO preview_last (coop_id, agreement, ours, digest, as_of, kept_at) VALUES ($1, $2, $3, $4, $5, commonhold_now()) "
	"ON CONFLICT (coop_id, agreement, ours) DO UPDATE SET digest = EXCLUDED.digest, as_of = EXCLUDED.as_of, kept_at = EXCLUDED.kept_at");
SQL(preview_last_of, "SELECT digest, as_of, kept_at FROM preview_last WHERE coop_id = $1 AND agreement = $2 AND ours = $3");
SQL(preview_rows, "SELECT digest, as_of, items, people, size, kept_at, ours FROM merge_preview WHERE coop_id = $1 AND agreement = $2 ORDER BY ours DESC");
SQL(preview_body, "SELECT body, people_no FROM merge_preview WHERE coop_id = $1 AND agreement = $2 AND ours = $3");
SQL(preview_kept_of, "SELECT digest, as_of, items, people, size, kept_at FROM merge_preview WHERE coop_id = $1 AND agreement = $2 AND ours = $3");
#define DRY_RUN_COLUMNS "id, at, ours, theirs, document, digest"
SQL(dry_run_insert,
	"INSERT INTO dry_run (coop_id, id, agreement, at, ours, theirs, document, digest) VALUES ($1, $2, $3, commonhold_now(), $4, $5, $6, $7) "
	"ON CONFLICT (coop_id, agreement, ours, theirs) DO NOTHING");
SQL(dry_run_of, "SELECT " DRY_RUN_COLUMNS " FROM dry_run WHERE coop_id = $1 AND agreement = $2 AND ours = $3 AND theirs = $4");
SQL(dry_run_found, "SELECT " DRY_RUN_COLUMNS " FROM dry_run WHERE coop_id = $1 AND agreement = $2 AND ($3::bytea IS NULL OR digest = $3) ORDER BY at DESC, id LIMIT 1");
SQL(own_clear,
	"DELETE FROM dry_run_member m USING dry_run d WHERE m.coop_id = $1 AND d.coop_id = $1 AND d.id = m.dry_run_id AND d.agreement = $2 AND d.id <> $3 "
	"AND NOT EXISTS (SELECT FROM ballot_dry_run b WHERE b.coop_id = $1 AND b.dry_run_id = d.id)");
SQL(dry_run_of_previews,
	"SELECT d.id FROM dry_run d JOIN merge_preview o ON o.coop_id = $1 AND o.agreement = $2 AND o.ours AND o.digest = d.ours "
	"JOIN merge_preview t ON t.coop_id = $1 AND t.agreement = $2 AND NOT t.ours AND t.digest = d.theirs WHERE d.coop_id = $1 AND d.agreement = $2");
SQL(preview_sides, "SELECT coalesce(bool_or(ours), false), coalesce(bool_or(NOT ours), false) FROM merge_preview WHERE coop_id = $1 AND agreement = $2");
SQL(voted_insert, "INSERT INTO ballot_dry_run (coop_id, ballot_id, dry_run_id, without, at) VALUES ($1, $2, $3, $4, commonhold_now())");
SQL(voted_of_ballot, "SELECT dry_run_id, without FROM ballot_dry_run WHERE coop_id = $1 AND ballot_id = $2");
SQL(dry_run_by_id, "SELECT " DRY_RUN_COLUMNS " FROM dry_run WHERE coop_id = $1 AND id = $2");
SQL(own_insert, "INSERT INTO dry_run_member (coop_id, dry_run_id, member_no, items, in_alone, in_joint, at_partner, lost) VALUES ($1, $2, $3, $4, $5, $6, $7, $8)");
SQL(own_read, "SELECT items, in_alone, in_joint, at_partner, lost FROM dry_run_member WHERE coop_id = $1 AND dry_run_id = $2 AND member_no = $3");

static struct str digest_bytes(const struct sha256 *h)
{
	return str_make(h->b, sizeof(h->b));
}

/* Large memory that goes with the call. */
static void free_arena(void *arena)
{
	arena_free(arena);
}

struct arena *preview_arena(struct call *c)
{
	struct arena *a = arena_new(TRY_ARENA);
	return a && arena_defer(c->arena, free_arena, a) ? a : NULL;
}

static enum err no_memory(struct call *c)
{
	return fail(c, ERR_NO_MEMORY, "There is no memory to try the agreement out.");
}

enum err preview_find(struct call *c, struct uuid coop, struct sha256 digest, struct agreement *out)
{
	TRY(agreement_by_digest(c, coop, digest, out));
	return agreement_over(out->state) ? fail(c, ERR_STATE, "This agreement is over: there is nothing to try out.") : ERR_OK;
}

static struct preview_kept kept_row(const struct rows *r, int i, bool ours)
{
	return (struct preview_kept){ .ours = ours, .digest = sha256_load(row_bytes(r, i, 0)), .as_of = row_time(r, i, 1), .items = row_int(r, i, 2), .people = row_int(r, i, 3), .size = row_int(r, i, 4),
		.kept_at = row_time(r, i, 5) };
}

/* ---- ours ---- */

/* All that a preview is written from but the pool. Inside. */
struct making {
	struct agreement g;
	struct coop coop;
	struct charter ours, theirs;
	struct uuid *members;
	size_t n_members;
	uint8_t key[32];
	struct sign_key sign;
};

static enum err members_load(struct call *c, struct making *m)
{
	struct rows r;
	TRY(db_query(c, member_ids, &r, A_UUID(m->coop.id)));
	for (int i = 0; i < r.n; i++)
		if ((size_t)row_int(&r, i, 0) >= m->n_members)
			m->n_members = (size_t)row_int(&r, i, 0) + 1;
	m->members = ARENA_ARRAY(c->arena, m->n_members + 1, struct uuid);
	for (int i = 0; i < r.n; i++)
		m->members[row_int(&r, i, 0)] = row_uuid(&r, i, 1);
	return ERR_OK;
}

/* What a partner can find out by guessing grows with each preview that it gets. */
static enum err not_too_soon(struct call *c, const struct agreement *g)
{
	struct rows r;
	TRY(db_query(c, preview_last_of, &r, A_UUID(g->coop), A_BYTES(digest_bytes(&g->terms.digest)), A_BOOL(true)));
	if (r.n && clock_now() < row_time(&r, 0, 2) + PREVIEW_INTERVAL)
		return fail_reason(c, ERR_STATE, "preview_too_soon", "A preview of this agreement was made less than a day ago. It can be made anew after %.*s.",
			STR_ARG(clock_format(c->arena, row_time(&r, 0, 2) + PREVIEW_INTERVAL)));
	return ERR_OK;
}

static enum err making_load(struct call *c, struct uuid coop, struct sha256 agreement, struct making *m)
{
	*m = (struct making){ 0 };
	TRY(db_begin_in(c, coop, DB_READ));
	TRY(member_require_admin(c, coop));
	TRY(preview_find(c, coop, agreement, &m->g));
	TRY(not_too_soon(c, &m->g));
	TRY(coop_get(c, coop, &m->coop));
	TRY(charter_current(c, coop, &m->ours));
	TRY(agreement_charter_theirs(c, coop, agreement, &m->theirs));
	m->theirs.version = m->g.terms.charter_versions[!m->g.us];
	if (!sha256_eq(m->ours.digest, m->g.terms.charters[m->g.us]))
		return fail_reason(c, ERR_STATE, "charter_changed", "The charter was amended since the agreement was written. Renew the agreement, then try that out.");
	TRY(members_load(c, m));
	TRY(agreement_key(c, coop, m->g.id, m->key));
	TRY(ledger_key(c, coop, &m->sign));
	return db_commit(c);
}

/* Members by number up to what the trial knows; guests have none. */
static const struct uuid *by_number(struct arena *a, const struct making *m, size_t n)
{
	struct uuid *ids = ARENA_ARRAY(a, n + 1, struct uuid);
	if (ids && m->n_members)
		memcpy(ids, m->members, (n < m->n_members ? n : m->n_members) * sizeof(*ids));
	return ids;
}

static enum err write_ours(struct call *c, struct making *m, struct arena *a, struct str *file, struct str *people_no, struct preview_kept *out)
{
	const struct charter *charters[2] = { m->g.us ? &m->theirs : &m->ours, m->g.us ? &m->ours : &m->theirs };
	struct release_joint together = { .partner_charter = m->theirs.document };
	struct release_trial trial;
	struct outline written;
	uint32_t *who;
	TRY(joint_document(c->arena, &m->g.terms, charters, &(struct joint_when){ .cutoff = clock_now() }, &together.document, &c->error));
	TRY(release_try(c, m->coop.id, &together, &trial));
	struct preview_source from = { &m->g.terms, m->coop.key_name, m->g.partner, &m->ours, &trial, m->key, by_number(a, m, trial.n_members), &m->sign };
	random_bytes(from.blind, sizeof(from.blind));
	if (!from.members)
		return no_memory(c);
	TRY(preview_write(a, &from, file, &who, &c->error));
	TRY(preview_read(a, *file, &written, &c->error));
	uint32_t *numbers = ARENA_ARRAY(a, written.n_people + 1, uint32_t);
	for (size_t i = 0; numbers && i < trial.n_members; i++)
		if (who[i] < written.n_people)
			numbers[who[i]] = (uint32_t)i;
	*people_no = str_make(numbers, written.n_people * sizeof(*numbers));
	*out = (struct preview_kept){ .ours = true, .digest = written.digest, .as_of = written.as_of, .items = (int64_t)written.n_items, .people = (int64_t)written.n_people,
		.size = (int64_t)file->n, .kept_at = clock_now() };
	return numbers ? ERR_OK : no_memory(c);
}

static enum err keep(struct call *c, const struct agreement *g, const struct preview_kept *k, struct str file, struct str people_no)
{
	TRY(db_queue(c, preview_last_put, A_UUID(g->coop), A_BYTES(digest_bytes(&g->terms.digest)), A_BOOL(k->ours), A_BYTES(digest_bytes(&k->digest)), A_TIME(k->as_of)));
	return db_exec(c, preview_put, A_UUID(g->coop), A_UUID(g->id), A_BYTES(digest_bytes(&g->terms.digest)), A_BOOL(k->ours), A_BYTES(digest_bytes(&k->digest)), A_TIME(k->as_of),
		A_I64(k->items), A_I64(k->people), A_I64(k->size), A_BYTES(file), A_BYTES(people_no));
}

/* Tries the agreement out once both previews are there. */
static enum err queue_try(struct call *c, const struct agreement *g)
{
	struct str digest = sha256_hex(c->arena, g->terms.digest), coop = uuid_format(c->arena, g->coop);
	return job_queue(c, "preview.try", str_fmt(c->arena, "%.*s %.*s", STR_ARG(coop), STR_ARG(digest)),
		str_fmt(c->arena, "{\"agreement\":\"%.*s\",\"coop\":\"%.*s\"}", STR_ARG(digest), STR_ARG(coop)), clock_now());
}

static enum err tell_ready(struct call *c, const struct agreement *g, const struct preview_kept *k, struct str file)
{
	struct buf b;
	struct json_writer w;
	buf_init(&b, MESSAGE_MAX / 2);
	jw_init(&w, &b);
	jw_object(&w);
	jw_kstr(&w, "agreement", sha256_hex(c->arena, g->terms.digest));
	jw_kstr(&w, "file", file.n <= SMALL ? str_base64(c->arena, file.p, file.n) : STR_NONE);
	jw_kstr(&w, "preview_sha256", sha256_hex(c->arena, k->digest));
	jw_kint(&w, "size", k->size);
	jw_end_object(&w);
	return message_send(c, g->coop, g->peer, "preview.ready", sha256_hex(c->arena, g->terms.digest), buf_take(c->arena, &b));
}

enum err preview_make(struct call *c, struct uuid coop, struct sha256 agreement, struct preview_kept *out)
{
	struct making m;
	struct str file, people_no;
	struct arena *a = preview_arena(c);
	if (!a)
		return no_memory(c);
	TRY(making_load(c, coop, agreement, &m));
	enum err e = write_ours(c, &m, a, &file, &people_no, out);
	secret_wipe(m.key, sizeof(m.key));
	secret_wipe(&m.sign, sizeof(m.sign));
	TRY(e);
	TRY(db_begin_in(c, coop, DB_WRITE));
	TRY(keep(c, &m.g, out, file, people_no));
	TRY(agreement_tell(c, &m.g, false, "agreement.previewed", str_fmt(c->arena, "%.*s is shown what we would share", STR_ARG(m.g.partner_title)),
		STR("To try the agreement out before a vote, the other co-op gets a line for each contribution that would go to it: kind, licence, language, month and size, and no content, name or id. Whoever there has a text "
		    "already can find out whether it is among them. See the dry run for what it would mean for yours.")));
	TRY(tell_ready(c, &m.g, out, file));
	TRY(queue_try(c, &m.g));
	return db_commit(c);
}

/* ---- the partner's ---- */

enum err preview_take(struct call *c, struct arena *a, const struct agreement *g, struct str file, struct preview_kept *out)
{
	struct peer peer;
	struct keychain chain;
	struct outline o;
	struct rows r;
	TRY(preview_read(a, file, &o, &c->error));
	TRY(peer_get(c, g->coop, g->peer, &peer));
	TRY(peer_require_confirmed(c, &peer));
	TRY(peer_keys(c, &peer, &chain));
	if (memcmp(o.key, keychain_current(&chain), 32) != 0)
		return fail_reason(c, ERR_REFUSED, "preview_signature", "The preview is not signed by the key that the other co-op signs with.");
	if (!sha256_eq(o.agreement, g->terms.digest) || !str_eq(o.from, g->partner) || !str_eq(o.to, g->terms.parties[g->us]))
		return fail_reason(c, ERR_REFUSED, "preview_of_another", "The preview is about another agreement, or of another co-op.");
	if (!sha256_eq(sha256(o.charter), g->terms.charters[!g->us]))
		return fail_reason(c, ERR_REFUSED, "charter_changed", "The preview was made under another charter than the one that the agreement was written under.");
	if (o.as_of > clock_now() + MESSAGE_AHEAD)
		return fail_reason(c, ERR_REFUSED, "preview_ahead", "The preview is from the future.");
	TRY(db_query(c, preview_kept_of, &r, A_UUID(g->coop), A_BYTES(digest_bytes(&g->terms.digest)), A_BOOL(false)));
	if (r.n && sha256_eq(sha256_load(row_bytes(&r, 0, 0)), o.digest)) { /* the same again */
		*out = kept_row(&r, 0, false);
		return ERR_OK;
	}
	TRY(db_query(c, preview_last_of, &r, A_UUID(g->coop), A_BYTES(digest_bytes(&g->terms.digest)), A_BOOL(false)));
	if (r.n && row_time(&r, 0, 1) > o.as_of)
		return fail_reason(c, ERR_STALE, "preview_old", "A newer preview of the other co-op is there already.");
	if (r.n && !sha256_eq(sha256_load(row_bytes(&r, 0, 0)), o.digest) && o.as_of < row_time(&r, 0, 1) + PREVIEW_INTERVAL - LATE)
		return fail_reason(c, ERR_REFUSED, "preview_too_soon", "The other co-op sends previews of the same agreement more often than once a day.");
	*out = (struct preview_kept){ .digest = o.digest, .as_of = o.as_of, .items = (int64_t)o.n_items, .people = (int64_t)o.n_people, .size = (int64_t)file.n, .kept_at = clock_now() };
	TRY(keep(c, g, out, file, STR_NONE));
	return queue_try(c, g);
}

enum err preview_import(struct call *c, struct uuid coop, struct sha256 agreement, struct str file, struct preview_kept *out)
{
	struct agreement g;
	struct arena *a = preview_arena(c);
	if (!a)
		return no_memory(c);
	TRY(db_begin_in(c, coop, DB_WRITE));
	TRY(member_require_admin(c, coop));
	TRY(preview_find(c, coop, agreement, &g));
	enum err e = preview_take(c, a, &g, file, out);
	if (e == ERR_OK)
		return db_commit(c);
	db_rollback(c);
	merge_refuse_error(c, coop, g.peer, STR("preview"));
	return e;
}

enum err preview_take_ready(struct call *c, struct uuid coop, const struct message *m)
{
	struct sha256 digest;
	struct agreement g;
	struct preview_kept kept;
	struct str file, encoded = json_member_text(m->body, "file");
	if (!sha256_parse(json_member_text(m->body, "agreement"), &digest))
		return fail(c, ERR_INVALID, "The message does not name an agreement.");
	TRY(preview_find(c, coop, digest, &g));
	if (!uuid_eq(g.peer, m->peer))
		return fail(c, ERR_REFUSED, "The agreement is with another co-op.");
	if (encoded.p) {
		struct arena *a = preview_arena(c);
		if (!a)
			return no_memory(c);
		if (!str_unbase64(c->arena, encoded, &file))
			return fail(c, ERR_INVALID, "The preview in the message is not base64.");
		return preview_take(c, a, &g, file, &kept);
	}
	int64_t size = json_int(json_get(m->body, "size"), -1);
	struct sha256 announced;
	if (!sha256_parse(json_member_text(m->body, "preview_sha256"), &announced) || size < 1)
		return fail(c, ERR_INVALID, "The message does not say which preview is ready.");
	if (size > (int64_t)PREVIEW_MAX)
		return fail_reason(c, ERR_REFUSED, "preview_too_large", "The other co-op's preview is larger than the %d MiB that one may have.", (int)(PREVIEW_MAX / MIB));
	return preview_queue_fetch(c, coop, digest, announced, size);
}

/* Of a partner on this instance: its own side of the same agreement has it. */
enum err preview_body_of(struct call *c, struct uuid partner, struct sha256 agreement, struct sha256 digest, struct str *file)
{
	struct rows r;
	TRY(db_begin_in(c, partner, DB_READ));
	TRY(db_query(c, preview_body, &r, A_UUID(partner), A_BYTES(digest_bytes(&agreement)), A_BOOL(true)));
	if (r.n == 0 || !sha256_eq(sha256(row_bytes(&r, 0, 0)), digest))
		return fail_reason(c, ERR_REFUSED, "preview_digest", "The partner has another preview by now than the one that it announced.");
	*file = row_bytes(&r, 0, 0);
	return db_commit(c);
}

/* ---- reading ---- */

enum err preview_list(struct call *c, struct uuid coop, struct sha256 agreement, struct preview_kept out[2], size_t *n)
{
	struct agreement g;
	struct rows r;
	TRY(db_begin_in(c, coop, DB_READ));
	TRY(agreement_by_digest(c, coop, agreement, &g));
	TRY(db_query(c, preview_rows, &r, A_UUID(coop), A_BYTES(digest_bytes(&agreement))));
	*n = (size_t)r.n;
	for (int i = 0; i < r.n && i < 2; i++)
		out[i] = kept_row(&r, i, row_bool(&r, i, 6));
	return db_commit(c);
}

enum err preview_export(struct call *c, struct uuid coop, struct sha256 agreement, struct str *file)
{
	struct rows r;
	TRY(db_begin_in(c, coop, DB_READ));
	TRY(member_require_admin(c, coop));
	TRY(db_one(c, preview_body, &r, A_UUID(coop), A_BYTES(digest_bytes(&agreement)), A_BOOL(true)));
	*file = row_bytes(&r, 0, 0);
	return db_commit(c);
}

/* ---- dry runs ---- */

static struct dry_run dry_run_row(const struct rows *r)
{
	return (struct dry_run){ .id = row_uuid(r, 0, 0), .at = row_time(r, 0, 1), .ours = sha256_load(row_bytes(r, 0, 2)), .theirs = sha256_load(row_bytes(r, 0, 3)),
		.document = row_str(r, 0, 4), .digest = sha256_load(row_bytes(r, 0, 5)) };
}

static struct str lost_json(struct arena *a, const struct dry_run_person *p)
{
	struct buf b;
	struct json_writer w;
	buf_init(&b, 8 * KIB);
	jw_init(&w, &b);
	jw_object(&w);
	for (unsigned no = 0; no < POLICY_REASON_COUNT; no++)
		if (p->lost[no])
			jw_kint(&w, policy_reason_get(no)->name, p->lost[no]);
	jw_end_object(&w);
	return buf_take(a, &b);
}

static enum err keep_own(struct call *c, const struct agreement *g, struct uuid run, const struct dry_run_person *own, size_t n, struct str people_no)
{
	TRY(db_exec(c, own_clear, A_UUID(g->coop), A_BYTES(digest_bytes(&g->terms.digest)), A_UUID(run)));
	for (size_t i = 0; i < n && (i + 1) * 4 <= people_no.n; i++) {
		uint32_t number;
		memcpy(&number, people_no.p + i * 4, sizeof(number));
		TRY(db_queue(c, own_insert, A_UUID(g->coop), A_UUID(run), A_I64(number), A_I64(own[i].items), A_I64(own[i].in_alone), A_I64(own[i].in_joint), A_I64(own[i].at_partner),
			A_STR(lost_json(c->arena, &own[i]))));
	}
	return ERR_OK;
}

static enum err read_both(struct call *c, struct arena *a, const struct agreement *g, struct outline outlines[2], struct str *people_no)
{
	for (int i = 0; i < 2; i++) {
		struct rows r;
		bool ours = i == g->us;
		TRY(db_query(c, preview_body, &r, A_UUID(g->coop), A_BYTES(digest_bytes(&g->terms.digest)), A_BOOL(ours)));
		if (r.n == 0)
			return fail_reason(c, ERR_STATE, "preview_missing", ours ? "There is no preview of this co-op's pool yet." : "The other co-op's preview has not come yet.");
		if (ours)
			*people_no = row_bytes(&r, 0, 1);
		TRY(preview_read(a, row_bytes(&r, 0, 0), &outlines[i], &c->error));
	}
	return ERR_OK;
}

enum err dry_run_make(struct call *c, struct uuid coop, struct sha256 agreement, struct dry_run *out)
{
	struct agreement g;
	struct outline outlines[2];
	struct str document, people_no = STR_NONE;
	struct dry_run_person *own;
	struct rows r;
	struct arena *a = preview_arena(c);
	if (!a)
		return no_memory(c);
	TRY(db_begin_in(c, coop, DB_WRITE));
	TRY(member_require_admin(c, coop));
	TRY(agreement_by_digest(c, coop, agreement, &g));
	TRY(read_both(c, a, &g, outlines, &people_no));
	const struct outline *both[2] = { &outlines[0], &outlines[1] };
	TRY(dry_run_compute(a, &g.terms, both, g.us, &document, &own, &c->error));
	struct sha256 digest = sha256(document);
	struct uuid id = uuid_new();
	const struct sha256 *ours = &outlines[g.us].digest, *theirs = &outlines[!g.us].digest;
	TRY(db_query(c, dry_run_insert, &r, A_UUID(coop), A_UUID(id), A_BYTES(digest_bytes(&agreement)), A_BYTES(digest_bytes(ours)), A_BYTES(digest_bytes(theirs)), A_STR(document),
		A_BYTES(digest_bytes(&digest))));
	if (r.affected == 1)
		TRY(keep_own(c, &g, id, own, outlines[g.us].n_people, people_no));
	TRY(db_one(c, dry_run_of, &r, A_UUID(coop), A_BYTES(digest_bytes(&agreement)), A_BYTES(digest_bytes(ours)), A_BYTES(digest_bytes(theirs))));
	*out = dry_run_row(&r);
	return db_commit(c);
}

static struct str which_bytes(const struct sha256 *which)
{
	return which ? digest_bytes(which) : STR_NONE;
}

enum err dry_run_read(struct call *c, struct uuid coop, struct sha256 agreement, const struct sha256 *which, struct dry_run *out)
{
	struct rows r;
	TRY(db_begin_in(c, coop, DB_READ));
	TRY(db_one(c, dry_run_found, &r, A_UUID(coop), A_BYTES(digest_bytes(&agreement)), A_BYTES(which_bytes(which))));
	*out = dry_run_row(&r);
	return db_commit(c);
}

enum err dry_run_mine(struct call *c, struct uuid coop, struct sha256 agreement, const struct sha256 *which, struct dry_run_own *out)
{
	struct member m;
	struct rows r;
	TRY(db_begin_in(c, coop, DB_READ));
	TRY(member_of_actor(c, coop, &m));
	TRY(db_one(c, dry_run_found, &r, A_UUID(coop), A_BYTES(digest_bytes(&agreement)), A_BYTES(which_bytes(which))));
	struct uuid id = row_uuid(&r, 0, 0);
	TRY(db_one(c, own_read, &r, A_UUID(coop), A_UUID(id), A_I64(m.number)));
	*out = (struct dry_run_own){ .id = id, .items = row_int(&r, 0, 0), .in_alone = row_int(&r, 0, 1), .in_joint = row_int(&r, 0, 2), .at_partner = row_int(&r, 0, 3), .lost = row_str(&r, 0, 4) };
	return db_commit(c);
}

/* ---- what voters see ---- */

static enum err nothing_tried(struct call *c, struct uuid coop, struct sha256 agreement)
{
	struct rows r;
	TRY(db_one(c, preview_sides, &r, A_UUID(coop), A_BYTES(digest_bytes(&agreement))));
	bool ours = row_bool(&r, 0, 0), theirs = row_bool(&r, 0, 1);
	const char *what = ours && theirs ? "Both previews are here and the numbers are being computed: wait for them." :
		ours ? "Our preview is made. Wait for the partner's, or take it as a file." : theirs ? "The partner's preview is here. Make ours." : "Make our preview, and ask the partner for theirs.";
	return fail_reason(c, ERR_STATE, "dry_run_missing",
		"Nobody votes on an agreement that was not tried out on both pools. %s It is done on the page of its dry run. If the partner cannot or will not send a preview, say why: the voters will read it.", what);
}

enum err dry_run_fix(struct call *c, struct uuid coop, struct sha256 agreement, struct uuid ballot, struct str without)
{
	struct rows r;
	struct uuid run = { { 0 } };
	if (without.p)
		TRY(call_check_text(c, "/reason", without, 3, LIMIT_TEXT_NOTE));
	TRY(db_query(c, dry_run_of_previews, &r, A_UUID(coop), A_BYTES(digest_bytes(&agreement))));
	if (r.n && without.p)
		return fail_reason(c, ERR_STATE, "dry_run_there", "There is a dry run of this agreement: the members vote with it before their eyes, and no reason against one is needed.");
	if (!r.n && !without.p)
		return nothing_tried(c, coop, agreement);
	if (r.n)
		run = row_uuid(&r, 0, 0);
	return db_exec(c, voted_insert, A_UUID(coop), A_UUID(ballot), A_UUID_OR_NULL(run), A_STR(without));
}

enum err dry_run_voted(struct call *c, struct uuid coop, struct uuid ballot, struct dry_run_voted *out)
{
	struct rows r, run;
	TRY(db_one(c, voted_of_ballot, &r, A_UUID(coop), A_UUID(ballot)));
	*out = (struct dry_run_voted){ .tried = !row_null(&r, 0, 0), .without = row_str(&r, 0, 1) };
	if (!out->tried)
		return ERR_OK;
	TRY(db_one(c, dry_run_by_id, &run, A_UUID(coop), A_UUID(row_uuid(&r, 0, 0))));
	out->run = dry_run_row(&run);
	return ERR_OK;
}

/* ---- jobs ---- */

static enum err args_read(struct call *c, const struct json *args, struct uuid *coop, struct sha256 *agreement)
{
	if (!uuid_parse(json_member_text(args, "coop"), coop) || !sha256_parse(json_member_text(args, "agreement"), agreement))
		return fail(c, ERR_INTERNAL, "A job does not name its agreement.");
	return ERR_OK;
}

static enum err job_try(struct call *c, const struct json *args)
{
	struct uuid coop;
	struct sha256 agreement;
	struct dry_run run;
	TRY(args_read(c, args, &coop, &agreement));
	enum err e = dry_run_make(c, coop, agreement, &run);
	if (e != ERR_STATE)
		return e;
	db_rollback(c); /* one of the two is still missing: when it comes, this is queued again */
	error_clear(&c->error);
	return ERR_OK;
}

const struct job_kind preview_jobs[] = {
	{ "preview.fetch", preview_fetch_job, 20, 3600 },
	{ "preview.try", job_try, 10, 300 },
	JOB_TABLE_END,
};
