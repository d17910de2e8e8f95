#include "release_internal.h"

SQL(reasons_of, "SELECT reason, items FROM release_reason WHERE coop_id = $1 AND release_id = $2 AND stage = $3 ORDER BY items DESC, reason");
SQL(files_of, "SELECT path, size, sha256, coalesce(rows, 0)::bigint FROM release_file WHERE coop_id = $1 AND release_id = $2 ORDER BY path");
SQL(file_of, "SELECT path, size, sha256, coalesce(rows, 0)::bigint FROM release_file WHERE coop_id = $1 AND release_id = $2 AND path = $3");
SQL(releases_of_coop,
	"SELECT id FROM release WHERE coop_id = $1 AND state IN ('published', 'superseded', 'withdrawn') ORDER BY published_at DESC");
SQL(item_place,
	"SELECT c.item_no, m.account_id = commonhold_account(), EXISTS (SELECT FROM membership a WHERE a.coop_id = c.coop_id AND a.account_id = commonhold_account() AND a.is_admin) "
	"FROM contribution c LEFT JOIN membership m ON m.coop_id = c.coop_id AND m.id = c.member_id WHERE c.coop_id = $1 AND c.id = $2");
SQL(segment_of_item, "SELECT items, sets, codes FROM release_segment WHERE coop_id = $1 AND release_id = $2 AND stage = $3 AND no = $4");
SQL(segments_of_items, "SELECT no, items, sets, codes FROM release_segment WHERE coop_id = $1 AND release_id = $2 AND stage = $3 AND no = ANY($4::bigint[]) ORDER BY no");

enum err release_reasons(struct call *c, struct uuid coop, struct uuid release, const char *stage, struct reason_count **out, size_t *n)
{
	struct rows r;
	TRY(db_begin_in(c, coop, DB_READ));
	TRY(db_query(c, reasons_of, &r, A_UUID(coop), A_UUID(release), A_Z(stage)));
	*n = (size_t)r.n;
	*out = ARENA_ARRAY(c->arena, *n, struct reason_count);
	for (int i = 0; i < r.n; i++)
		(*out)[i] = (struct reason_count){ row_str(&r, i, 0), row_int(&r, i, 1) };
	return db_commit(c);
}

static struct release_file file_of_row(const struct rows *r, int i)
{
	return (struct release_file){ .path = row_str(r, i, 0), .size = row_int(r, i, 1), .sha256 = sha256_load(row_bytes(r, i, 2)), .rows = row_int(r, i, 3) };
}

enum err release_files(struct call *c, struct uuid coop, struct uuid release, struct release_file **out, size_t *n)
{
	struct rows r;
	TRY(db_begin_in(c, coop, DB_READ));
	TRY(db_query(c, files_of, &r, A_UUID(coop), A_UUID(release)));
	*n = (size_t)r.n;
	*out = ARENA_ARRAY(c->arena, *n, struct release_file);
	for (int i = 0; i < r.n; i++)
		(*out)[i] = file_of_row(&r, i);
	return db_commit(c);
}

enum err release_file_find(struct call *c, struct uuid coop, struct uuid release, struct str path, struct release_file *out)
{
	struct rows r;
	TRY(db_begin_in(c, coop, DB_READ));
	TRY(db_finish(c, file_of, &r, A_UUID(coop), A_UUID(release), A_STR(path)));
	if (r.n != 1)
		return fail(c, ERR_NOT_FOUND, "The release has no such file.");
	*out = file_of_row(&r, 0);
	return ERR_OK;
}

/* The reasons at one place of a stored segment; AFTER_CUTOFF for an item that came later. */
static uint64_t stored_reasons(int64_t items, struct str sets, struct str codes, int64_t at)
{
	uint16_t code;
	uint64_t reasons;
	if (at >= items || (size_t)at * 2 + 2 > codes.n)
		return POLICY_REASON(AFTER_CUTOFF);
	memcpy(&code, codes.p + at * 2, 2);
	if ((size_t)code * 8 + 8 > sets.n)
		return POLICY_REASON(ENGINE_ERROR);
	memcpy(&reasons, sets.p + (size_t)code * 8, 8);
	return reasons;
}

enum err release_stored_reasons(struct call *c, struct uuid coop, struct uuid release, const char *stage, int64_t item_no, uint64_t *reasons)
{
	struct rows r;
	TRY(db_query(c, segment_of_item, &r, A_UUID(coop), A_UUID(release), A_Z(stage), A_I64(item_no / POOL_SEGMENT)));
	*reasons = r.n ? stored_reasons(row_int(&r, 0, 0), row_bytes(&r, 0, 1), row_bytes(&r, 0, 2), item_no % POOL_SEGMENT) : POLICY_REASON(AFTER_CUTOFF);
	return ERR_OK;
}

enum err release_outcomes(struct call *c, struct uuid coop, struct uuid release, const int64_t *item_nos, size_t n, uint64_t *reasons)
{
	struct rows r;
	int64_t *segments = ARENA_ARRAY(c->arena, n, int64_t);
	for (size_t i = 0; i < n; i++) {
		segments[i] = item_nos[i] / POOL_SEGMENT;
		reasons[i] = POLICY_REASON(AFTER_CUTOFF);
	}
	TRY(db_begin_in(c, coop, DB_READ));
	TRY(db_query(c, segments_of_items, &r, A_UUID(coop), A_UUID(release), A_Z("built"), A_I64S(segments, n)));
	for (size_t i = 0; i < n; i++)
		for (int k = 0; k < r.n; k++)
			if (row_int(&r, k, 0) == segments[i])
				reasons[i] = stored_reasons(row_int(&r, k, 1), row_bytes(&r, k, 2), row_bytes(&r, k, 3), item_nos[i] % POOL_SEGMENT);
	return db_commit(c);
}

enum err release_item(struct call *c, struct uuid coop, struct uuid contribution, int64_t *item_no)
{
	struct rows r;
	TRY(db_one(c, item_place, &r, A_UUID(coop), A_UUID(contribution)));
	if (!row_bool(&r, 0, 1) && !row_bool(&r, 0, 2) && c->actor.kind != AUTH_SYSTEM)
		return fail(c, ERR_NOT_FOUND, "%s", err_text(ERR_NOT_FOUND));
	*item_no = row_int(&r, 0, 0);
	return ERR_OK;
}

enum err release_of_item(struct call *c, struct uuid coop, struct uuid contribution, struct item_release **out, size_t *n)
{
	struct rows r;
	int64_t item_no;
	TRY(db_begin_in(c, coop, DB_READ));
	TRY(release_item(c, coop, contribution, &item_no));
	TRY(db_query(c, releases_of_coop, &r, A_UUID(coop)));
	*n = (size_t)r.n;
	*out = ARENA_ARRAY(c->arena, *n, struct item_release);
	for (int i = 0; i < r.n; i++) {
		struct item_release *at = &(*out)[i];
		TRY(release_get(c, coop, row_uuid(&r, i, 0), &at->release));
		TRY(release_stored_reasons(c, coop, at->release.id, "built", item_no, &at->reasons));
		at->outcome = policy_outcome_of(at->reasons);
	}
	return db_commit(c);
}

instant release_preview_cutoff(void)
{
	instant now = clock_now();
	return now + (CLOCK_SECOND - now % CLOCK_SECOND) % CLOCK_SECOND;
}

enum err release_preview(struct call *c, struct uuid coop, struct preview *out)
{
	struct decided d;
	instant now = release_preview_cutoff();
	TRY(decide_pack(c, coop));
	TRY(db_begin_in(c, coop, DB_READ));
	TRY(decide_outcomes(c, coop, NULL, now, now, NULL, 0, &d));
	*out = (struct preview){ .candidates = (int64_t)d.n, .included = decided_included(&d), .contributors = (int64_t)d.report.contributors };
	out->reasons = ARENA_ARRAY(c->arena, POLICY_OUTCOME_COUNT + POLICY_REASON_COUNT, struct reason_count);
	for (unsigned o = 0; o < POLICY_OUTCOME_COUNT; o++)
		if (d.report.outcomes[o])
			out->reasons[out->n_reasons++] = (struct reason_count){ str_of(policy_outcome_name(o)), (int64_t)d.report.outcomes[o] };
	for (unsigned no = 0; no < POLICY_REASON_COUNT; no++)
		if (d.report.reasons[no])
			out->reasons[out->n_reasons++] = (struct reason_count){ str_of(policy_reason_get(no)->name), (int64_t)d.report.reasons[no] };
	decided_release(&d);
	return db_commit(c);
}

enum err release_what_if(struct call *c, struct uuid coop, const struct charter *proposed, bool confirmed, struct what_if *out)
{
	struct decided before, after;
	struct charter charter = *proposed;
	instant now = release_preview_cutoff();
	if (confirmed)
		charter.notice_min = 0;
	TRY(decide_pack(c, coop));
	TRY(db_begin_in(c, coop, DB_SERIAL));
	TRY(decide_as_if(c, coop, NULL, now, false, &before));
	TRY(decide_as_if(c, coop, &charter, now, false, &after));
	*out = (struct what_if){
		.at = now, .candidates = (int64_t)before.n, .included = decided_included(&before), .contributors = (int64_t)before.report.contributors,
		.included_after = decided_included(&after), .contributors_after = (int64_t)after.report.contributors,
	};
	if (after.n != before.n)
		return fail(c, ERR_CORRUPT, "The pool's packed columns do not match the pool. Run `commonhold doctor`.");
	enum policy_status status = policy_what_if(before.members, before.reasons, after.reasons, before.n, before.facts.n_members, &before.mem, NULL, 0, &out->change);
	decided_release(&before);
	decided_release(&after);
	return status == POLICY_OK ? db_commit(c) : fail(c, ERR_NO_MEMORY, "The pool is too large to compare two charters with the memory allowed.");
}
