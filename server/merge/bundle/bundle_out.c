/* Bundles of ours that wait for a partner: listing them, taking them away, writing the next one in time. */
#include "bundle_internal.h"

#include "commonhold/agreement.h"
#include "commonhold/db.h"
#include "commonhold/log.h"
#include "commonhold/message.h"

SQL(out_list, "SELECT seq, digest, manifest, state, made_at FROM bundle_out WHERE coop_id = $1 AND agreement_id = $2 AND seq > $3 ORDER BY seq LIMIT 1000");
SQL(out_taken, "UPDATE bundle_out SET state = 'taken' WHERE coop_id = $1 AND agreement_id = $2 AND seq <= $3 AND state <> 'taken' RETURNING seq");
SQL(flow_taken,
	"UPDATE bundle_flow SET taken_seq = $3, taken_at = commonhold_now(), whole_next = whole_next AND $3 < seq WHERE coop_id = $1 AND agreement_id = $2 AND taken_seq < $3 AND $3 <= seq");
/* What waited too long, and what follows it up to the next whole one: nobody could take that without it. */
SQL(out_expired,
	"UPDATE bundle_out b SET state = 'gone' WHERE coop_id = $1 AND state = 'ready' AND EXISTS (SELECT FROM bundle_out late WHERE late.coop_id = $1 AND late.agreement_id = b.agreement_id "
	"AND late.seq <= b.seq AND late.state = 'ready' AND late.made_at < $2 AND NOT EXISTS (SELECT FROM bundle_out whole WHERE whole.coop_id = $1 AND whole.agreement_id = b.agreement_id "
	"AND whole.seq > late.seq AND whole.seq <= b.seq AND whole.manifest::json ->> 'prev' IS NULL)) RETURNING agreement_id, seq");
SQL(flow_lost, "UPDATE bundle_flow SET whole_next = true WHERE coop_id = $1 AND agreement_id = $2");
SQL(out_last, "SELECT made_at FROM bundle_out WHERE coop_id = $1 AND agreement_id = $2 ORDER BY seq DESC LIMIT 1");
SQL(in_last, "SELECT taken_at FROM bundle_in WHERE coop_id = $1 AND agreement_id = $2 ORDER BY seq DESC LIMIT 1");
SQL(coops_with_flows, "SELECT id FROM coop ORDER BY id");

enum err bundle_list(struct call *c, struct uuid coop, struct uuid agreement, int64_t after, struct bundle_row **out, size_t *n)
{
	struct rows r;
	TRY(db_begin_in(c, coop, DB_READ));
	TRY(db_finish(c, out_list, &r, A_UUID(coop), A_UUID(agreement), A_I64(after)));
	*n = (size_t)r.n;
	*out = ARENA_ARRAY(c->arena, *n + 1, struct bundle_row);
	for (int i = 0; i < r.n; i++)
		(*out)[i] = (struct bundle_row){ row_int(&r, i, 0), sha256_load(row_bytes(&r, i, 1)), row_str(&r, i, 2), row_str(&r, i, 3), row_time(&r, i, 4) };
	return ERR_OK;
}

enum err bundle_taken_upto(struct call *c, struct uuid coop, struct uuid agreement, int64_t seq)
{
	struct rows r;
	TRY(db_begin_in(c, coop, DB_WRITE));
	TRY(db_exec(c, flow_taken, A_UUID(coop), A_UUID(agreement), A_I64(seq)));
	TRY(db_finish(c, out_taken, &r, A_UUID(coop), A_UUID(agreement), A_I64(seq)));
	for (int i = 0; i < r.n; i++)
		bundle_folder_remove(bundle_dir(c->arena, coop, agreement, row_int(&r, i, 0)).p);
	return ERR_OK;
}

/* Contents that were erased since must not lie about for longer: what waited in vain goes, and everything is told anew. */
static enum err expire(struct call *c, struct uuid coop)
{
	struct rows r;
	TRY(db_begin_in(c, coop, DB_WRITE));
	TRY(db_query(c, out_expired, &r, A_UUID(coop), A_TIME(clock_now() - BUNDLE_KEPT)));
	for (int i = 0; i < r.n; i++)
		TRY(db_exec(c, flow_lost, A_UUID(coop), A_UUID(row_uuid(&r, i, 0))));
	TRY(db_commit(c));
	for (int i = 0; i < r.n; i++)
		bundle_folder_remove(bundle_dir(c->arena, coop, row_uuid(&r, i, 0), row_int(&r, i, 1)).p);
	return ERR_OK;
}

/* ---- Jobs ---- */

static enum err tell_ready(struct call *c, struct uuid coop, const struct agreement *g, int64_t seq)
{
	struct str id = uuid_format(c->arena, g->id), digest = sha256_hex(c->arena, g->terms.digest);
	TRY(db_begin_in(c, coop, DB_WRITE));
	TRY(message_send(c, coop, g->peer, "bundle.ready", id, str_fmt(c->arena, "{\"agreement\":\"%.*s\",\"seq\":%lld}", STR_ARG(digest), (long long)seq)));
	TRY(db_commit(c));
	job_wake();
	return ERR_OK;
}

enum err bundle_export_job(struct call *c, const struct json *args)
{
	struct uuid coop, id;
	struct agreement g;
	struct bundle_report report;
	const struct bundle_how how = { .even_empty = true };
	TRY(job_args_read(c, args, "agreement", &coop, &id));
	TRY(agreement_read_current(c, coop, id, &g));
	if (!agreement_flows(&g) || !g.we_send)
		return ERR_OK;
	TRY(expire(c, coop));
	TRY(bundle_write(c, coop, id, &how, &report));
	return report.seq ? tell_ready(c, coop, &g, report.seq) : ERR_OK;
}

static enum err queue_at(struct call *c, const char *kind, struct uuid coop, struct uuid agreement, instant at)
{
	struct str a = uuid_format(c->arena, coop), b = uuid_format(c->arena, agreement);
	return job_queue(c, kind, str_cat(c->arena, a, STR("/"), b), job_args(c->arena, coop, "agreement", agreement), at);
}

static enum err queue_for(struct call *c, const char *kind, struct uuid coop, struct uuid agreement)
{
	return queue_at(c, kind, coop, agreement, clock_now());
}

enum err bundle_fetch_later(struct call *c, struct uuid coop, struct uuid agreement, instant at)
{
	return queue_at(c, "merge.fetch", coop, agreement, at);
}

enum err bundle_take_ready(struct call *c, struct uuid coop, const struct message *m)
{
	struct sha256 digest;
	struct agreement g;
	if (!sha256_parse(json_member_text(m->body, "agreement"), &digest))
		return fail_reason(c, ERR_INVALID, "malformed", "The message does not say under which agreement there is a bundle.");
	TRY(agreement_by_digest(c, coop, digest, &g));
	if (!uuid_eq(g.peer, m->peer) || !g.we_receive)
		return fail_reason(c, ERR_REFUSED, "unknown_agreement", "There is no agreement by which they send to us.");
	return queue_for(c, "merge.fetch", coop, g.id);
}

static enum err due(struct call *c, const struct db_stmt *last, struct uuid coop, const struct agreement *g, bool *is)
{
	struct rows r;
	TRY(db_run(c, last, &r, (struct db_arg[]){ A_UUID(coop), A_UUID(g->id) }, 2));
	*is = r.n == 0 || row_time(&r, 0, 0) + g->terms.cadence <= clock_now();
	return ERR_OK;
}

static enum err queue_of_coop(struct call *c, struct uuid coop)
{
	struct agreement *all;
	struct uuid anybody = { { 0 } };
	size_t n;
	bool is;
	TRY(expire(c, coop));
	TRY(db_begin_in(c, coop, DB_WRITE));
	TRY(agreement_all(c, coop, anybody, AGREEMENT_LIVE, &all, &n));
	for (size_t i = 0; i < n; i++) {
		if (!agreement_flows(&all[i]))
			continue;
		if (all[i].we_send) {
			TRY(due(c, &out_last, coop, &all[i], &is));
			if (is)
				TRY(queue_for(c, "merge.export", coop, all[i].id));
		}
		if (all[i].we_receive) {
			TRY(due(c, &in_last, coop, &all[i], &is));
			if (is)
				TRY(queue_for(c, "merge.fetch", coop, all[i].id));
		}
	}
	return db_commit(c);
}

/* Every co-op by itself: one whose rows make trouble holds up none of the others. */
enum err bundle_tick_job(struct call *c, const struct json *args)
{
	struct rows r;
	struct uuid nobody = { { 0 } };
	enum err first = ERR_OK;
	(void)args;
	TRY(db_enter_coop(c, nobody));
	TRY(db_begin(c, DB_READ));
	TRY(db_finish0(c, coops_with_flows, &r));
	for (int i = 0; i < r.n; i++) {
		struct arena_mark mark = arena_mark(c->arena);
		enum err said = queue_of_coop(c, row_uuid(&r, i, 0));
		if (said != ERR_OK) {
			db_rollback(c);
			first = first ? first : said;
		}
		arena_rewind(c->arena, mark);
	}
	return first;
}
