/* apply.c - a checked bundle into the co-op, in one transaction.
 *
 * What takes long (statements, contents, rows, origins) goes before the pool's lock, so that others contribute meanwhile. Under it come, in this order: tombstones, the end of taking records, what is
 * no longer passed on, labels, and the mark that the bundle was applied. When something that came into the pool meanwhile makes a finding wrong, all of it is done again.
 */
#include "server/merge/merge_internal.h"

#include "commonhold/coop.h"
#include "commonhold/ledger.h"
#include "commonhold/onward.h"

#include <stdarg.h>
#include <stdio.h>

#define ATTEMPTS 3
#define TOMBSTONES_AT_ONCE 500

/* One bundle at a time in a co-op: two would wait for each other's rows. */
SQL(apply_alone, "SELECT pg_advisory_xact_lock(hashtextextended('merge ' || $1::text, 0))");
SQL(applied_find, "SELECT digest FROM merge_applied WHERE coop_id = $1 AND agreement_id = $2 AND seq = $3");
SQL(applied_last, "SELECT coalesce(max(seq), 0) FROM merge_applied WHERE coop_id = $1 AND agreement_id = $2");
SQL(applied_insert, "INSERT INTO merge_applied (coop_id, agreement_id, seq, digest, home, applied_at, report) VALUES ($1, $2, $3, $4, $5, commonhold_now(), $6)");

/* ---- The report ---- */

struct str merge_report_json(struct arena *a, const struct merge_report *r)
{
	struct buf b;
	struct json_writer w;
	buf_init(&b, LIMIT_BODY_SMALL);
	jw_init(&w, &b);
	jw_object(&w);
	jw_kint(&w, "back", r->back);
	jw_kint(&w, "contributors", r->contributors);
	jw_kint(&w, "erased", r->erased);
	jw_kint(&w, "known", r->known);
	jw_kint(&w, "labels", r->labels);
	jw_kint(&w, "origins", r->origins);
	jw_kint(&w, "out", r->out);
	jw_kint(&w, "quarantined", r->quarantined);
	jw_kint(&w, "records", r->records);
	jw_kbool(&w, "repeated", r->repeated);
	jw_kint(&w, "rows", r->rows);
	jw_kint(&w, "signals", r->signals);
	jw_kint(&w, "statements", r->statements);
	jw_kint(&w, "tombstones", r->tombstones);
	jw_kint(&w, "unmapped", r->unmapped);
	jw_end_object(&w);
	return buf_take(a, &b);
}

/* ---- Refusing ---- */

enum err apply_refuse(struct applying *a, enum bundle_reason reason, const struct bundle_lines *at, const char *fmt, ...)
{
	char message[400];
	va_list args;
	va_start(args, fmt);
	vsnprintf(message, sizeof(message), fmt, args);
	va_end(args);
	(void)fail_reason(a->call, ERR_REFUSED, bundle_reason_code(reason), "%s", message);
	if (at)
		snprintf(a->call->error.detail, sizeof(a->call->error.detail), "%.*s", STR_ARG(bundle_lines_place(a->call->arena, at)));
	return ERR_REFUSED;
}

/* What the server itself cannot do stays what it is; what is wrong with the bundle is a refusal. */
enum err apply_refuse_error(struct applying *a, const struct bundle_lines *at, const struct error *e)
{
	struct call *c = a->call;
	bool ours = e->code == ERR_NO_MEMORY || e->code == ERR_IO || e->code == ERR_DB || e->code == ERR_INTERNAL || e->code == ERR_UNAVAILABLE || e->code == ERR_CORRUPT;
	struct error kept = *e;
	const struct fault *fault = e->faults;
	kept.faults = NULL;
	c->error = kept;
	if (ours)
		return e->code;
	c->error.code = ERR_REFUSED;
	if (!c->error.reason[0])
		snprintf(c->error.reason, sizeof(c->error.reason), "%s", bundle_reason_code(e->code == ERR_REFUSED ? BUNDLE_REASON_OUTSIDE : BUNDLE_REASON_MALFORMED));
	if (at)
		snprintf(c->error.detail, sizeof(c->error.detail), "%.*s%s%.*s", STR_ARG(bundle_lines_place(c->arena, at)), fault ? ", " : "", STR_ARG(fault ? fault->pointer : STR("")));
	return ERR_REFUSED;
}

/* ---- Beginning ---- */

int apply_home(const struct applying *a, struct str key_name)
{
	for (size_t i = 0; i < a->n_homes; i++)
		if (str_eq(a->homes[i].key_name, key_name))
			return (int)i;
	return -1;
}

bool apply_drops(const struct applying *a, struct str key_name)
{
	for (size_t i = 0; i < a->n_dropped; i++)
		if (str_eq(a->dropped[i], key_name))
			return true;
	return false;
}

/* A home whose records are passed on by the sender. */
static enum err home_take(struct applying *a, const struct bundle_home *h)
{
	bool quarantined = h->contradicts.p != NULL;
	const struct agreement_terms *t = h->terms;
	if (!h->ours && !quarantined)
		TRY(onward_quarantined(a->call, a->coop, h->home, &quarantined));
	if (h->ours || quarantined || !t) {
		a->dropped[a->n_dropped++] = h->home;
		return ERR_OK;
	}
	TRY(onward_source_put(a->call, &a->agreement, h, &a->sources[a->n_homes]));
	a->terms[a->n_homes] = t;
	a->homes[a->n_homes++] = (struct foreign_home){ h->home, str_eq(t->parties[0], h->home) ? t->names[0] : t->names[1] };
	return ERR_OK;
}

static enum err homes_take(struct applying *a)
{
	const struct bundle *b = a->bundle;
	struct arena *arena = a->call->arena;
	a->homes = ARENA_ARRAY(arena, b->n_homes + 1, struct foreign_home);
	a->terms = ARENA_ARRAY(arena, b->n_homes + 1, const struct agreement_terms *);
	a->sources = ARENA_ARRAY(arena, b->n_homes + 1, struct uuid);
	a->dropped = ARENA_ARRAY(arena, b->n_homes + 1, struct str);
	a->terms[0] = &a->agreement.terms;
	a->sources[0] = a->agreement.id;
	a->homes[a->n_homes++] = (struct foreign_home){ b->from, a->agreement.partner_title };
	for (size_t i = 0; i < b->n_homes; i++)
		TRY(home_take(a, &b->homes[i]));
	return ERR_OK;
}

static enum err rules_take(struct applying *a)
{
	struct charter charter;
	TRY(charter_current(a->call, a->coop, &charter));
	a->rules = (struct foreign_rules){
		.moderates = a->agreement.terms.moderation_both, .holds = !str_is(charter.moderation_mode, "approve"), .findings_hold = !str_is(charter.pii_action, "approve"),
		.findings_reject = str_is(charter.pii_action, "reject"), .findings_from = (unsigned)(charter.pii_threshold > 0 ? charter.pii_threshold : 1),
	};
	return ERR_OK;
}

/* Whether this bundle's turn has come; *repeated when it was applied before. */
static enum err turn_check(struct applying *a, bool *repeated)
{
	struct call *c = a->call;
	const struct bundle *b = a->bundle;
	struct rows r;
	TRY(db_query(c, applied_find, &r, A_UUID(a->coop), A_UUID(b->agreement_id), A_I64(b->seq)));
	if (r.n) {
		*repeated = sha256_eq(sha256_load(row_bytes(&r, 0, 0)), b->digest);
		return *repeated ? ERR_OK : apply_refuse(a, BUNDLE_REASON_ROLLBACK, NULL, "Another bundle of this number was applied before.");
	}
	TRY(db_one(c, applied_last, &r, A_UUID(a->coop), A_UUID(b->agreement_id)));
	if (b->seq <= row_int(&r, 0, 0))
		return apply_refuse(a, BUNDLE_REASON_ROLLBACK, NULL, "A later bundle was applied before.");
	if (b->seq != row_int(&r, 0, 0) + 1 && !b->whole)
		return fail_reason(c, ERR_STATE, bundle_reason_code(BUNDLE_REASON_GAP), "A bundle before this one is missing.");
	return ERR_OK;
}

static enum err apply_begin(struct applying *a, bool *repeated)
{
	struct call *c = a->call;
	const struct bundle *b = a->bundle;
	*repeated = false;
	TRY(db_begin_in(c, a->coop, DB_WRITE));
	TRY(db_exec(c, apply_alone, A_UUID(a->coop)));
	TRY(turn_check(a, repeated));
	if (*repeated)
		return ERR_OK;
	TRY(agreement_get(c, a->coop, b->agreement_id, &a->agreement));
	if (!agreement_flows(&a->agreement) || !a->agreement.we_receive || !str_eq(a->agreement.partner, b->from))
		return fail_reason(c, ERR_STATE, bundle_reason_code(BUNDLE_REASON_AGREEMENT), "The agreement lets nothing in from this co-op now.");
	TRY(homes_take(a));
	return rules_take(a);
}

/* ---- Tombstones ---- */

static int by_uuid(const void *a, const void *b)
{
	return memcmp(a, b, sizeof(struct uuid));
}

bool apply_is_gone(const struct applying *a, struct uuid id)
{
	return a->n_gone && bsearch(&id, a->gone, a->n_gone, sizeof(id), by_uuid);
}

enum err apply_tombstones_look(struct applying *a)
{
	struct call *c = a->call;
	struct bundle_lines *lines;
	struct str line, home;
	if (a->bundle->counts.tombstones == 0)
		return ERR_OK;
	a->gone = ARENA_ARRAY(c->arena, (size_t)a->bundle->counts.tombstones, struct uuid);
	TRY(bundle_lines_open(c->arena, a->bundle, BUNDLE_TOMBSTONES, &lines, &c->error));
	for (;;) {
		struct onward_line said;
		struct uuid id;
		TRY(bundle_lines_next(lines, &line, &c->error));
		if (!line.p)
			break;
		struct arena_mark mark = arena_mark(c->arena);
		if (onward_line_read(c->arena, line, &a->bundle->keys, &said, &c->error) != ERR_OK)
			return apply_refuse(a, BUNDLE_REASON_TOMBSTONES, lines, "A tombstone is not one of the sender's.");
		if (tombstone_purges(said.said.kind) && rid_parse(said.said.rid, &home, &id) && a->n_gone < (size_t)a->bundle->counts.tombstones)
			a->gone[a->n_gone++] = id;
		arena_rewind(c->arena, mark);
	}
	qsort(a->gone, a->n_gone, sizeof(*a->gone), by_uuid);
	return ERR_OK;
}

static enum err tombstones_take(struct applying *a, const struct onward_line *lines, size_t n)
{
	struct onward_taken taken;
	TRY(onward_take(a->call, a->coop, a->bundle->from, a->bundle->from, lines, n, &taken));
	a->report.tombstones += taken.kept;
	return ERR_OK;
}

enum err apply_tombstones(struct applying *a)
{
	struct call *c = a->call;
	struct bundle_lines *lines;
	size_t n = 0;
	if (a->bundle->counts.tombstones == 0)
		return ERR_OK;
	struct onward_line *read = ARENA_ARRAY(c->arena, TOMBSTONES_AT_ONCE, struct onward_line);
	TRY(bundle_lines_open(c->arena, a->bundle, BUNDLE_TOMBSTONES, &lines, &c->error));
	struct arena_mark mark = arena_mark(c->arena);
	for (;;) {
		struct str line;
		TRY(bundle_lines_next(lines, &line, &c->error));
		if (line.p)
			TRY(onward_line_read(c->arena, str_copy(c->arena, line), &a->bundle->keys, &read[n++], &c->error));
		if (n && (n == TOMBSTONES_AT_ONCE || !line.p)) {
			TRY(tombstones_take(a, read, n));
			n = 0;
			arena_rewind(c->arena, mark);
		}
		if (!line.p)
			return ERR_OK;
	}
}

/* ---- Ending ---- */

static enum err note_unmapped(struct applying *a)
{
	struct call *c = a->call;
	for (size_t i = 0; i < a->n_unmapped; i++) {
		const struct unmapped *u = &a->unmapped[i];
		struct buf b;
		struct json_writer w;
		buf_init(&b, LIMIT_BODY_SMALL);
		jw_init(&w, &b);
		jw_object(&w);
		jw_kint(&w, "records", u->records);
		jw_kz(&w, "schema", u->schema);
		jw_end_object(&w);
		TRY(merge_conflict_add(c, a->coop, a->agreement.id, MERGE_UNMAPPED, u->home, str_of(u->schema), buf_take(c->arena, &b), STR_NONE));
	}
	return ERR_OK;
}

static enum err applied_leaf(struct applying *a)
{
	struct call *c = a->call;
	struct buf b;
	struct json_writer w;
	buf_init(&b, LIMIT_BODY_SMALL);
	jw_init(&w, &b);
	jw_object(&w);
	jw_kstr(&w, "agreement", sha256_hex(c->arena, a->bundle->agreement));
	jw_kstr(&w, "bundle", sha256_hex(c->arena, a->bundle->digest));
	jw_kstr(&w, "from", a->bundle->from);
	jw_key(&w, "report");
	jw_raw(&w, merge_report_json(c->arena, &a->report));
	jw_kint(&w, "seq", a->bundle->seq);
	jw_end_object(&w);
	struct leaf leaf = { .type = "merge.applied", .data = buf_take(c->arena, &b) };
	return ledger_append(c, a->coop, &leaf, NULL);
}

static enum err applied_note(struct applying *a)
{
	struct call *c = a->call;
	const struct bundle *b = a->bundle;
	TRY(bundle_note_taken(c, a->coop, a->bundle));
	TRY(db_queue(c, applied_insert, A_UUID(a->coop), A_UUID(b->agreement_id), A_I64(b->seq), A_BYTES(str_make(b->digest.b, 32)), A_STR(b->from),
		A_STR(merge_report_json(c->arena, &a->report))));
	if (a->report.rows)
		TRY(job_queue(c, "merge.near", uuid_format(c->arena, a->coop), str_fmt(c->arena, "{\"coop\":\"%.*s\"}", STR_ARG(uuid_format(c->arena, a->coop))), clock_now()));
	return applied_leaf(a);
}

/* ---- The whole ---- */

static enum err apply_once(struct applying *a)
{
	struct call *c = a->call;
	struct origin_taking *taking = NULL;
	int64_t first, rows, origins;
	bool repeated;
	TRY(apply_begin(a, &repeated));
	if (repeated) {
		a->report.repeated = true;
		return db_commit(c);
	}
	TRY(apply_tombstones_look(a));
	TRY(apply_statements(a));
	if (a->bundle->counts.records) {
		TRY(origin_taking_begin(c, a->coop, a->homes, a->n_homes, a->bundle->counts.records, &taking));
		TRY(apply_records(a, taking));
	}
	TRY(apply_tombstones(a));
	if (taking)
		TRY(origin_taking_end(taking, &first, &rows, &origins));
	TRY(note_unmapped(a));
	TRY(apply_passing(a));
	TRY(onward_settle(c, a->coop, NULL));
	TRY(apply_labels(a));
	TRY(applied_note(a));
	return db_commit(c);
}

static enum err pack(struct call *c, struct uuid coop)
{
	int64_t packed;
	TRY(db_begin_in(c, coop, DB_WRITE));
	TRY(pool_pack(c, coop, &packed));
	return db_commit(c);
}

/* The parts take memory that has no place in the arena; each attempt begins without any. */
static enum err attempt(struct call *c, struct uuid coop, struct bundle *b, struct merge_report *out)
{
	struct arena_mark mark = arena_mark(c->arena);
	struct applying *a = ARENA_NEW(c->arena, struct applying);
	a->call = c;
	a->coop = coop;
	a->bundle = b;
	enum err err = apply_once(a);
	*out = a->report;
	if (err != ERR_OK)
		db_rollback(c);
	touched_free(&a->touched);
	arena_rewind(c->arena, mark);
	return err;
}

/* Numbers that it was given go back at once where they can; where not, whoever packs the pool next sees to it. What the failure was is what counts. */
static void settle_failed(struct call *c, struct uuid coop)
{
	struct error why = c->error;
	error_clear(&c->error);
	if (origin_taking_settle(c, coop) != ERR_OK)
		db_rollback(c);
	c->error = why;
}

enum err merge_apply(struct call *c, struct uuid coop, struct bundle *b, struct merge_report *out)
{
	enum err err = ERR_OK;
	if (!b->checked && !b->repeated)
		return fail(c, ERR_INTERNAL, "A bundle was to be applied before it was checked.");
	for (int n = 0; n < ATTEMPTS; n++) {
		err = attempt(c, coop, b, out);
		/* what came in meanwhile has another's key or id: then the next look finds it */
		if (err != ERR_RETRY && err != ERR_EXISTS)
			break;
		if (n + 1 < ATTEMPTS)
			error_clear(&c->error);
	}
	if (err != ERR_OK)
		settle_failed(c, coop);
	if (err == ERR_EXISTS)
		return fail_reason(c, ERR_REFUSED, bundle_reason_code(BUNDLE_REASON_MALFORMED), "The bundle has a record twice.");
	if (err == ERR_OK && out->rows)
		return pack(c, coop);
	return err;
}
