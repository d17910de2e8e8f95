/* Recording what came in, splitting it, taking it back. */
#include "server/benefit/benefit_internal.h"

#include "commonhold/ledger.h"
#include "commonhold/notify.h"
#include "commonhold/release.h"

#include <stdlib.h>

#define INCOME_COLUMNS \
	"i.id, i.release_id, r.version, i.kind, i.amount, i.currency, i.source, i.note, i.reverses, b.id, i.charter, i.ballot_id, i.contributors, i.commons, i.weight, " \
	"i.weight_total, i.shares, s.amount, i.shares_root, i.recorded_at"
#define INCOME_FROM \
	" FROM benefit_income i JOIN release r ON r.coop_id = i.coop_id AND r.id = i.release_id " \
	"JOIN benefit_share s ON s.coop_id = i.coop_id AND s.income_id = i.id AND s.no = 0 " \
	"LEFT JOIN benefit_income b ON b.coop_id = i.coop_id AND b.reverses = i.id "

SQL(lock_take, "SELECT pg_advisory_xact_lock(hashtextextended('benefit ' || $1::uuid::text, 0)) IS NULL");
SQL(income_by_id, "SELECT " INCOME_COLUMNS INCOME_FROM "WHERE i.coop_id = $1 AND i.id = $2");
SQL(income_page,
	"SELECT " INCOME_COLUMNS INCOME_FROM "WHERE i.coop_id = $1 AND ($2::timestamptz IS NULL OR (i.recorded_at, i.id) < ($2, $3)) ORDER BY i.recorded_at DESC, i.id DESC LIMIT $4");
SQL(income_insert,
	"INSERT INTO benefit_income (coop_id, id, release_id, kind, amount, currency, source, note, reverses, charter, ballot_id, contributors, commons, weight, weight_total, shares, "
	"shares_root, recorded_by, recorded_at) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, commonhold_now())");
SQL(income_of_ballot, "SELECT EXISTS (SELECT FROM benefit_income WHERE coop_id = $1 AND ballot_id = $2 AND reverses IS NULL)");
SQL(shares_mirror,
	"INSERT INTO benefit_share (coop_id, income_id, no, member_id, weight, amount, salt) "
	"SELECT coop_id, $3, no, member_id, weight, -amount, salt FROM benefit_share WHERE coop_id = $1 AND income_id = $2");
SQL(share_list,
	"SELECT s.no, s.member_id, " BENEFIT_WHO ", s.weight, s.amount, s.salt FROM benefit_share s LEFT JOIN membership m ON m.coop_id = s.coop_id AND m.id = s.member_id "
	"WHERE s.coop_id = $1 AND s.income_id = $2 ORDER BY s.no");
SQL(sharers,
	"SELECT array_agg(m.account_id), (SELECT slug FROM coop WHERE id = $1) FROM benefit_share s JOIN membership m ON m.coop_id = s.coop_id AND m.id = s.member_id "
	"WHERE s.coop_id = $1 AND s.income_id = $2");
SQL(member_numbers, "SELECT number, id FROM membership WHERE coop_id = $1 ORDER BY number");

static const struct db_constraint constraints[] = {
	{ "income_is_reversed_once", ERR_STATE, NULL, "This entry was reversed already." },
	DB_CONSTRAINTS_END
};

enum err benefit_lock(struct call *c, struct uuid coop)
{
	db_constraints(constraints);
	return db_exec(c, lock_take, A_UUID(coop));
}

static struct benefit_income income_of_row(const struct rows *r, int i, struct uuid coop)
{
	return (struct benefit_income){
		.coop = coop, .id = row_uuid(r, i, 0), .release = row_uuid(r, i, 1), .release_version = row_str(r, i, 2), .kind = row_str(r, i, 3), .amount = row_int(r, i, 4),
		.currency = row_str(r, i, 5), .source = row_str(r, i, 6), .note = row_str(r, i, 7), .reverses = row_uuid(r, i, 8), .reversed_by = row_uuid(r, i, 9),
		.charter = (int)row_int(r, i, 10), .ballot = row_uuid(r, i, 11), .contributors = (int)row_int(r, i, 12), .commons = (int)row_int(r, i, 13), .weight = row_str(r, i, 14),
		.weight_total = row_int(r, i, 15), .shares = row_int(r, i, 16), .commons_amount = row_int(r, i, 17), .shares_root = sha256_load(row_bytes(r, i, 18)),
		.recorded_at = row_time(r, i, 19),
	};
}

enum err benefit_get(struct call *c, struct uuid coop, struct uuid income, struct benefit_income *out)
{
	struct rows r;
	TRY(db_one(c, income_by_id, &r, A_UUID(coop), A_UUID(income)));
	*out = income_of_row(&r, 0, coop);
	return ERR_OK;
}

/* ---- The public line ---- */

static struct sha256 commitment_of(struct arena *a, struct uuid member, const uint8_t salt[32])
{
	return ledger_commitment(salt, sha256(uuid_format(a, member)));
}

/* Members are in canonical order already, and amounts are whole: this is RFC 8785. */
struct str benefit_line(struct arena *a, const struct benefit_share *s)
{
	struct str who = s->no ? str_fmt(a, "\"%.*s\"", STR_ARG(sha256_hex(a, s->commitment))) : STR("null");
	return str_fmt(a, "{\"amount\":%lld,\"commitment\":%.*s,\"no\":%d,\"weight\":%lld}", (long long)s->amount, STR_ARG(who), s->no, (long long)s->weight);
}

static struct sha256 root_of(struct arena *a, const struct benefit_share *shares, size_t n)
{
	struct merkle_builder b = { 0 };
	for (size_t i = 0; i < n; i++) {
		struct arena_mark mark = arena_mark(a);
		merkle_add(&b, merkle_leaf(benefit_line(a, &shares[i])));
		arena_rewind(a, mark);
	}
	return merkle_builder_root(&b);
}

/* ---- Splitting ---- */

static int by_commitment(const void *a, const void *b)
{
	const struct benefit_share *x = a, *y = b;
	return memcmp(x->commitment.b, y->commitment.b, 32);
}

/* Who has something in the release, with what it weighs, in the order of their commitments; place 0 is the commons'. */
static enum err contributors_of(struct call *c, struct uuid coop, const struct benefit_draft *in, struct str weight, struct benefit_share **out, size_t *n)
{
	struct rows r;
	TRY(db_query(c, member_numbers, &r, A_UUID(coop)));
	size_t numbers = r.n ? (size_t)row_int(&r, r.n - 1, 0) + 1 : 0;
	int64_t *items = ARENA_ARRAY(c->arena, numbers + 1, int64_t);
	struct benefit_share *shares = ARENA_ARRAY(c->arena, (size_t)r.n + 1, struct benefit_share);
	if (!items || !shares)
		return fail(c, ERR_NO_MEMORY, "%s", err_text(ERR_NO_MEMORY));
	TRY(release_weights(c, coop, in->release, numbers, items));
	size_t found = 1;
	for (int i = 0; i < r.n; i++) {
		int64_t held = items[row_int(&r, i, 0)];
		if (!held)
			continue;
		struct benefit_share *s = &shares[found++];
		*s = (struct benefit_share){ .member = row_uuid(&r, i, 1), .weight = str_is(weight, "per_contributor") ? 1 : held };
		random_bytes(s->salt, sizeof s->salt);
		s->commitment = commitment_of(c->arena, s->member, s->salt);
	}
	qsort(shares + 1, found - 1, sizeof(*shares), by_commitment);
	for (size_t i = 1; i < found; i++)
		shares[i].no = (int)i;
	shares[0] = (struct benefit_share){ 0 };
	random_bytes(shares[0].salt, sizeof shares[0].salt);
	*out = shares;
	*n = found;
	return ERR_OK;
}

/* The commons' per cent first, then the rest among the contributors; without any, all is the commons'. */
static enum err split(struct call *c, int64_t amount, int contributors, struct benefit_share *shares, size_t n, int64_t *weight_total)
{
	struct money_part halves[2] = { { .weight = (uint64_t)contributors }, { .weight = (uint64_t)(100 - contributors) } };
	struct money_part *parts = ARENA_ARRAY(c->arena, n, struct money_part);
	if (!parts || !money_split(c->arena, amount, halves, 2))
		return fail(c, ERR_INTERNAL, "An income cannot be split.");
	*weight_total = 0;
	for (size_t i = 1; i < n; i++) {
		parts[i - 1].weight = (uint64_t)shares[i].weight;
		*weight_total += shares[i].weight;
	}
	shares[0].amount = halves[1].amount;
	if (!money_split(c->arena, halves[0].amount, parts, n - 1))
		shares[0].amount += halves[0].amount;
	for (size_t i = 1; i < n; i++)
		shares[i].amount = parts[i - 1].amount;
	return ERR_OK;
}

static enum err store_shares(struct call *c, struct uuid coop, struct uuid income, const struct benefit_share *shares, size_t n)
{
	struct copy_in *to;
	int64_t rows;
	TRY(db_copy_into(c, "benefit_share", "coop_id, income_id, no, member_id, weight, amount, salt", &to));
	for (size_t i = 0; i < n; i++) {
		copy_in_row(to, 7);
		copy_in_uuid(to, coop);
		copy_in_uuid(to, income);
		copy_in_int4(to, shares[i].no);
		if (i)
			copy_in_uuid(to, shares[i].member);
		else
			copy_in_null(to);
		copy_in_i64(to, shares[i].weight);
		copy_in_i64(to, shares[i].amount);
		copy_in_str(to, str_make(shares[i].salt, 32));
		TRY(copy_in_flush(to));
	}
	return db_copy_in_end(to, &rows);
}

static enum err income_leaf(struct call *c, const char *type, const struct benefit_income *in)
{
	struct arena *a = c->arena;
	struct buf b;
	struct json_writer w;
	buf_init(&b, 16 * KIB);
	jw_init(&w, &b);
	jw_object(&w);
	jw_kint(&w, "amount", in->amount);
	jw_kint(&w, "charter", in->charter);
	jw_kint(&w, "contributors", in->contributors);
	jw_kstr(&w, "currency", in->currency);
	jw_kstr(&w, "income", uuid_format(a, in->id));
	jw_kstr(&w, "release", uuid_format(a, in->release));
	jw_kint(&w, "shares", in->shares);
	jw_kstr(&w, "shares_root", sha256_hex(a, in->shares_root));
	jw_kstr(&w, "weight", in->weight);
	jw_kint(&w, "weight_total", in->weight_total);
	if (!uuid_is_nil(in->ballot))
		jw_kstr(&w, "ballot", uuid_format(a, in->ballot));
	if (!uuid_is_nil(in->reverses))
		jw_kstr(&w, "reverses", uuid_format(a, in->reverses));
	jw_end_object(&w);
	struct str text = str_copy(a, buf_str(&b));
	buf_release(&b);
	return ledger_append(c, in->coop, &(struct leaf){ .type = type, .data = text }, NULL);
}

static enum err store_income(struct call *c, const struct benefit_income *in)
{
	return db_exec(c, income_insert, A_UUID(in->coop), A_UUID(in->id), A_UUID(in->release), A_STR(in->kind), A_I64(in->amount), A_STR(in->currency), A_STR(in->source), A_STR(in->note),
		A_UUID_OR_NULL(in->reverses), A_INT(in->charter), A_UUID_OR_NULL(in->ballot), A_INT(in->contributors), A_INT(in->commons), A_STR(in->weight), A_I64(in->weight_total),
		A_INT((int)in->shares), A_BYTES(str_make(in->shares_root.b, 32)), A_UUID_OR_NULL(c->actor.account));
}

/* ---- Telling ---- */

struct str benefit_notice(struct arena *a, const char *title, struct str text, struct str slug, struct str amount, struct str release)
{
	struct buf b;
	struct json_writer w;
	buf_init(&b, 16 * KIB);
	jw_init(&w, &b);
	jw_object(&w);
	jw_kz(&w, "title", title);
	jw_kstr(&w, "text", text);
	jw_kstr(&w, "url", str_fmt(a, "/coops/%.*s/benefits", STR_ARG(slug)));
	jw_kstr(&w, "amount", amount);
	if (release.p)
		jw_kstr(&w, "release", release);
	jw_end_object(&w);
	return buf_take(a, &b);
}

/* Whoever has a share is told that there is one; how much it is stands in their statement. */
static enum err tell_sharers(struct call *c, const struct benefit_income *in)
{
	struct rows r;
	struct uuid *accounts;
	TRY(db_one(c, sharers, &r, A_UUID(in->coop), A_UUID(in->id)));
	size_t n = row_uuids(c->arena, &r, 0, 0, &accounts);
	if (n == 0)
		return ERR_OK;
	struct str amount = money_words(c->arena, in->amount, in->currency);
	struct str text = str_fmt(c->arena, "Release %.*s, which holds something of yours, earned %.*s. Your share is in your statement.", STR_ARG(in->release_version), STR_ARG(amount));
	struct notice notice = { .kind = "benefit.recorded", .coop = in->coop, .key = uuid_format(c->arena, in->id),
		.data = benefit_notice(c->arena, "A release has earned something", text, row_str(&r, 0, 1), amount, in->release_version) };
	return notify_many(c, &notice, accounts, n);
}

/* ---- Recording ---- */

static enum err check_draft(struct call *c, const struct benefit_draft *in)
{
	if (!str_is(in->kind, "money") && !str_is(in->kind, "grant"))
		return fail_field(c, "/kind", "This is money or a grant.");
	if (in->amount <= 0 || in->amount > MONEY_MAX)
		return fail_field(c, "/amount", "This is no amount that can be split.");
	if (!uuid_is_nil(in->ballot) && (in->contributors < 0 || in->contributors > 100))
		return fail_field(c, "/contributors", "This is a per cent, 0 to 100.");
	TRY(call_check_text(c, "/source", in->source, 1, LIMIT_TEXT_NAME));
	return call_check_text(c, "/note", in->note.p ? in->note : STR(""), 0, LIMIT_TEXT_NOTE);
}

/* Only what was published earns something. */
static enum err earning_release(struct call *c, struct uuid coop, struct uuid id, struct release *out)
{
	TRY(release_get(c, coop, id, out));
	if (out->state == RELEASE_PUBLISHED || out->state == RELEASE_SUPERSEDED || out->state == RELEASE_WITHDRAWN)
		return ERR_OK;
	return fail_reason(c, ERR_STATE, "not_published", "This release is %s: only a published one earns something.", release_state_name(out->state));
}

static enum err record(struct call *c, struct uuid coop, const struct benefit_draft *in, struct benefit_income *out)
{
	struct release release;
	struct charter charter;
	struct benefit_share *shares = NULL;
	size_t n = 0;
	TRY(benefit_lock(c, coop));
	TRY(earning_release(c, coop, in->release, &release));
	TRY(charter_version(c, coop, release.charter, &charter));
	bool decided = !uuid_is_nil(in->ballot);
	int contributors = decided ? in->contributors : charter.benefit_contributors;
	*out = (struct benefit_income){
		.coop = coop, .id = uuid_new(), .release = in->release, .release_version = release.version, .kind = in->kind, .amount = in->amount, .currency = in->currency,
		.source = in->source, .note = in->note.p ? in->note : STR(""), .charter = release.charter, .ballot = in->ballot, .contributors = contributors, .commons = 100 - contributors,
		.weight = decided ? in->weight : charter.benefit_weight, .recorded_at = clock_now(),
	};
	TRY(contributors_of(c, coop, in, out->weight, &shares, &n));
	TRY(split(c, in->amount, contributors, shares, n, &out->weight_total));
	out->shares = (int64_t)n - 1;
	out->commons_amount = shares[0].amount;
	out->shares_root = root_of(c->arena, shares, n);
	TRY(store_income(c, out));
	TRY(store_shares(c, coop, out->id, shares, n));
	TRY(tell_sharers(c, out));
	return income_leaf(c, "benefit.recorded", out);
}

enum err benefit_record(struct call *c, struct uuid coop, const struct benefit_draft *in, struct benefit_income *out)
{
	struct benefit_draft mine = *in;
	mine.ballot = (struct uuid){ { 0 } };
	TRY(check_draft(c, &mine));
	TRY(db_begin_in(c, coop, DB_WRITE));
	TRY(member_require_admin(c, coop));
	TRY(record(c, coop, &mine, out));
	return db_commit(c);
}

enum err benefit_record_decided(struct call *c, struct uuid coop, const struct benefit_draft *in)
{
	struct benefit_income out;
	struct rows r;
	TRY(check_draft(c, in));
	TRY(benefit_lock(c, coop));
	TRY(db_one(c, income_of_ballot, &r, A_UUID(coop), A_UUID(in->ballot)));
	return row_bool(&r, 0, 0) ? ERR_OK : record(c, coop, in, &out);
}

enum err benefit_reverse(struct call *c, struct uuid coop, struct uuid income, struct str reason, struct benefit_income *out)
{
	struct benefit_income was;
	struct benefit_share *shares;
	size_t n;
	TRY(call_check_text(c, "/reason", reason.p ? reason : STR(""), 3, LIMIT_TEXT_NOTE));
	TRY(db_begin_in(c, coop, DB_WRITE));
	TRY(member_require_admin(c, coop));
	TRY(benefit_lock(c, coop));
	TRY(benefit_get(c, coop, income, &was));
	if (!uuid_is_nil(was.reverses))
		return fail_reason(c, ERR_STATE, "is_a_reversal", "This entry takes another one back. Record the income again instead.");
	if (!uuid_is_nil(was.reversed_by))
		return fail_reason(c, ERR_STATE, "reversed", "This entry was reversed already.");
	TRY(benefit_shares_in(c, coop, income, true, &shares, &n));
	for (size_t i = 0; i < n; i++)
		shares[i].amount = -shares[i].amount;
	*out = was;
	out->id = uuid_new();
	out->amount = -was.amount;
	out->commons_amount = -was.commons_amount;
	out->note = reason;
	out->reverses = was.id;
	out->recorded_at = clock_now();
	out->shares_root = root_of(c->arena, shares, n);
	TRY(store_income(c, out));
	TRY(db_exec(c, shares_mirror, A_UUID(coop), A_UUID(was.id), A_UUID(out->id)));
	TRY(income_leaf(c, "benefit.reversed", out));
	return db_commit(c);
}

/* ---- Reading ---- */

enum err benefit_read(struct call *c, struct uuid coop, struct uuid income, struct benefit_income *out)
{
	TRY(db_begin_in(c, coop, DB_READ));
	TRY(benefit_get(c, coop, income, out));
	return db_commit(c);
}

enum err benefit_list(struct call *c, struct uuid coop, struct str cursor, int limit, struct benefit_income **out, size_t *n, struct str *next_cursor)
{
	struct page_cursor from;
	struct rows r;
	TRY(page_cursor_read(c, cursor, &from));
	TRY(db_begin_in(c, coop, DB_READ));
	TRY(db_finish(c, income_page, &r, A_UUID(coop), A_TIME(from.at), A_UUID_OR_NULL(from.id), A_INT(limit + 1)));
	*n = (size_t)(r.n > limit ? limit : r.n);
	*out = ARENA_ARRAY(c->arena, *n, struct benefit_income);
	for (size_t i = 0; i < *n; i++)
		(*out)[i] = income_of_row(&r, (int)i, coop);
	*next_cursor = r.n > limit ? page_cursor_write(c->arena, (*out)[*n - 1].recorded_at, (*out)[*n - 1].id) : STR_NONE;
	return ERR_OK;
}

enum err benefit_shares_in(struct call *c, struct uuid coop, struct uuid income, bool names, struct benefit_share **out, size_t *n)
{
	struct rows r;
	TRY(db_query(c, share_list, &r, A_UUID(coop), A_UUID(income)));
	*n = (size_t)r.n;
	*out = ARENA_ARRAY(c->arena, *n + 1, struct benefit_share);
	for (int i = 0; i < r.n; i++) {
		struct benefit_share *s = &(*out)[i];
		struct str salt = row_bytes(&r, i, 5);
		struct uuid member = row_uuid(&r, i, 1);
		*s = (struct benefit_share){ .no = (int)row_int(&r, i, 0), .weight = row_int(&r, i, 3), .amount = row_int(&r, i, 4) };
		if (s->no && salt.n == 32)
			s->commitment = commitment_of(c->arena, member, (const uint8_t *)salt.p);
		if (!names)
			continue;
		s->member = member;
		s->who = row_str(&r, i, 2);
		memcpy(s->salt, salt.p, 32);
	}
	return ERR_OK;
}

enum err benefit_shares(struct call *c, struct uuid coop, struct uuid income, struct benefit_share **out, size_t *n)
{
	struct benefit_income known;
	bool admin;
	TRY(db_begin_in(c, coop, DB_READ));
	TRY(member_is_admin(c, coop, &admin));
	TRY(benefit_get(c, coop, income, &known));
	TRY(benefit_shares_in(c, coop, income, admin, out, n));
	return db_commit(c);
}
