/* What members are owed and what was paid. */
#include "server/benefit/benefit_internal.h"

#include "commonhold/ledger.h"
#include "commonhold/notify.h"

/* A share and a payment in one order of time. */
SQL(statement_lines,
	"SELECT at, payment, income, version, text, currency, amount, weight, weight_total, no, salt FROM ("
	"SELECT i.recorded_at AS at, false AS payment, i.id AS income, r.version, i.source AS text, i.currency, s.amount, s.weight, i.weight_total, s.no, s.salt, i.seq "
	"FROM benefit_share s JOIN benefit_income i ON i.coop_id = s.coop_id AND i.id = s.income_id JOIN release r ON r.coop_id = i.coop_id AND r.id = i.release_id "
	"WHERE s.coop_id = $1 AND s.member_id = $2 "
	"UNION ALL SELECT recorded_at, true, NULL, NULL, reference, currency, -amount, 0, 0, 0, NULL, seq FROM benefit_payment WHERE coop_id = $1 AND member_id = $2) l "
	"WHERE ($3::timestamptz IS NULL OR at >= $3) AND ($4::timestamptz IS NULL OR at < $4) ORDER BY at, payment, seq");
SQL(balance_of,
	"SELECT coalesce((SELECT sum(s.amount) FROM benefit_share s JOIN benefit_income i ON i.coop_id = s.coop_id AND i.id = s.income_id "
	"  WHERE s.coop_id = $1 AND s.member_id IS NOT DISTINCT FROM $2 AND i.currency = $3), 0)::bigint "
	"- coalesce((SELECT sum(amount) FROM benefit_payment WHERE coop_id = $1 AND member_id IS NOT DISTINCT FROM $2 AND currency = $3), 0)::bigint");
SQL(payment_insert,
	"INSERT INTO benefit_payment (coop_id, id, member_id, amount, currency, reference, ballot_id, recorded_by, recorded_at) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, commonhold_now())");
SQL(payment_of_ballot, "SELECT EXISTS (SELECT FROM benefit_payment WHERE coop_id = $1 AND ballot_id = $2)");
SQL(payment_page,
	"SELECT p.id, p.member_id, p.ballot_id, " BENEFIT_WHO ", p.amount, p.currency, p.reference, p.recorded_at FROM benefit_payment p "
	"LEFT JOIN membership m ON m.coop_id = p.coop_id AND m.id = p.member_id WHERE p.coop_id = $1 AND ($2::timestamptz IS NULL OR (p.recorded_at, p.id) < ($2, $3)) "
	"ORDER BY p.recorded_at DESC, p.id DESC LIMIT $4");
SQL(member_account, "SELECT account_id, (SELECT slug FROM coop WHERE id = $1) FROM membership WHERE coop_id = $1 AND id = $2");
SQL(totals_read,
	"SELECT currency, sum(income)::bigint, sum(commons)::bigint, sum(members)::bigint, sum(commons_paid)::bigint, sum(members_paid)::bigint FROM ("
	"SELECT i.currency, i.amount AS income, s.amount AS commons, i.amount - s.amount AS members, 0 AS commons_paid, 0 AS members_paid "
	"FROM benefit_income i JOIN benefit_share s ON s.coop_id = i.coop_id AND s.income_id = i.id AND s.no = 0 WHERE i.coop_id = $1 "
	"UNION ALL SELECT currency, 0, 0, 0, CASE WHEN member_id IS NULL THEN amount ELSE 0 END, CASE WHEN member_id IS NULL THEN 0 ELSE amount END "
	"FROM benefit_payment WHERE coop_id = $1) l GROUP BY currency ORDER BY currency");
SQL(owed_list,
	"SELECT m.id, " BENEFIT_WHO ", o.currency, o.amount FROM ("
	"SELECT member_id, currency, sum(amount)::bigint AS amount FROM ("
	"SELECT s.member_id, i.currency, s.amount FROM benefit_share s JOIN benefit_income i ON i.coop_id = s.coop_id AND i.id = s.income_id WHERE s.coop_id = $1 AND s.no > 0 "
	"UNION ALL SELECT member_id, currency, -amount FROM benefit_payment WHERE coop_id = $1 AND member_id IS NOT NULL) l GROUP BY member_id, currency HAVING sum(amount) > 0) o "
	"JOIN membership m ON m.coop_id = $1 AND m.id = o.member_id ORDER BY o.amount DESC, m.id LIMIT $2");

/* ---- Statements ---- */

static struct benefit_balance *balance_for(struct benefit_statement *s, struct str currency)
{
	for (size_t i = 0; i < s->n_balances; i++)
		if (str_eq(s->balances[i].currency, currency))
			return &s->balances[i];
	s->balances[s->n_balances] = (struct benefit_balance){ .currency = currency };
	return &s->balances[s->n_balances++];
}

static struct benefit_statement_line line_of_row(const struct rows *r, int i)
{
	struct benefit_statement_line l = {
		.at = row_time(r, i, 0), .payment = row_bool(r, i, 1), .income = row_uuid(r, i, 2), .release_version = row_str(r, i, 3), .text = row_str(r, i, 4),
		.currency = row_str(r, i, 5), .amount = row_int(r, i, 6), .weight = row_int(r, i, 7), .weight_total = row_int(r, i, 8), .no = (int)row_int(r, i, 9),
	};
	struct str salt = row_bytes(r, i, 10);
	if (salt.n == sizeof(l.salt))
		memcpy(l.salt, salt.p, sizeof(l.salt));
	return l;
}

enum err benefit_statement_of(struct call *c, struct uuid coop, struct uuid member, instant from, instant to, struct benefit_statement *out)
{
	struct rows r;
	TRY(db_query(c, statement_lines, &r, A_UUID(coop), A_UUID(member), A_TIME(from), A_TIME(to)));
	*out = (struct benefit_statement){ .n = (size_t)r.n };
	out->lines = ARENA_ARRAY(c->arena, out->n + 1, struct benefit_statement_line);
	out->balances = ARENA_ARRAY(c->arena, out->n + 1, struct benefit_balance);
	for (int i = 0; i < r.n; i++) {
		out->lines[i] = line_of_row(&r, i);
		struct benefit_balance *b = balance_for(out, out->lines[i].currency);
		if (out->lines[i].payment)
			b->paid -= out->lines[i].amount;
		else
			b->earned += out->lines[i].amount;
	}
	return ERR_OK;
}

enum err benefit_statement_mine(struct call *c, struct uuid coop, struct benefit_statement *out)
{
	struct member me;
	TRY(db_begin_in(c, coop, DB_READ));
	TRY(member_of_actor(c, coop, &me));
	TRY(benefit_statement_of(c, coop, me.id, INSTANT_NONE, INSTANT_NONE, out));
	return db_commit(c);
}

/* ---- Payments ---- */

/* `member` nil: the commons. */
static enum err check_owed(struct call *c, struct uuid coop, struct uuid member, int64_t amount, struct str currency)
{
	struct rows r;
	TRY(db_one(c, balance_of, &r, A_UUID(coop), A_UUID_OR_NULL(member), A_STR(currency)));
	int64_t owed = row_int(&r, 0, 0);
	if (amount <= owed)
		return ERR_OK;
	struct str left = money_words(c->arena, owed > 0 ? owed : 0, currency);
	return uuid_is_nil(member) ? fail_reason(c, ERR_REFUSED, "more_than_there_is", "The commons hold %.*s.", STR_ARG(left))
		: fail_reason(c, ERR_REFUSED, "more_than_owed", "This member is owed %.*s.", STR_ARG(left));
}

/* The log says that something was paid and how much, not to whom. */
static enum err store_payment(struct call *c, struct uuid coop, const struct benefit_payment *p)
{
	TRY(check_owed(c, coop, p->member, p->amount, p->currency));
	TRY(db_exec(c, payment_insert, A_UUID(coop), A_UUID(p->id), A_UUID_OR_NULL(p->member), A_I64(p->amount), A_STR(p->currency), A_STR(p->reference), A_UUID_OR_NULL(p->ballot),
		A_UUID_OR_NULL(c->actor.account)));
	struct str id = uuid_format(c->arena, p->id), from = uuid_is_nil(p->member) ? STR("commons") : STR("members");
	struct str facts = str_fmt(c->arena, "{\"amount\":%lld,\"currency\":\"%.*s\",\"from\":\"%.*s\",\"payment\":\"%.*s\"}", (long long)p->amount, STR_ARG(p->currency), STR_ARG(from),
		STR_ARG(id));
	return ledger_append(c, coop, &(struct leaf){ .type = "benefit.paid", .data = facts }, NULL);
}

static enum err check_payment(struct call *c, int64_t amount, struct str reference)
{
	if (amount <= 0 || amount > MONEY_MAX)
		return fail_field(c, "/amount", "This is no amount that can be paid.");
	return call_check_text(c, "/reference", reference.p ? reference : STR(""), 1, LIMIT_TEXT_NOTE);
}

static enum err tell_paid(struct call *c, struct uuid coop, const struct benefit_payment *p, struct uuid account, struct str slug)
{
	struct str amount = money_words(c->arena, p->amount, p->currency);
	struct str text = str_fmt(c->arena, "An admin has recorded that you were paid %.*s: %.*s", STR_ARG(amount), STR_ARG(str_sub(p->reference, 0, 500)));
	struct notice notice = { .kind = "benefit.paid", .account = account, .coop = coop, .key = uuid_format(c->arena, p->id),
		.data = benefit_notice(c->arena, "You were paid", text, slug, amount, STR_NONE) };
	return notify_send(c, &notice);
}

enum err benefit_pay(struct call *c, struct uuid coop, struct uuid member, int64_t amount, struct str currency, struct str reference, struct benefit_payment *out)
{
	struct rows r;
	*out = (struct benefit_payment){ .id = uuid_new(), .member = member, .amount = amount, .currency = currency, .reference = reference, .at = clock_now() };
	TRY(check_payment(c, amount, reference));
	TRY(db_begin_in(c, coop, DB_WRITE));
	TRY(member_require_admin(c, coop));
	TRY(benefit_lock(c, coop));
	TRY(db_query(c, member_account, &r, A_UUID(coop), A_UUID(member)));
	if (r.n != 1)
		return fail_field(c, "/member", "There is no such member.");
	TRY(store_payment(c, coop, out));
	TRY(tell_paid(c, coop, out, row_uuid(&r, 0, 0), row_str(&r, 0, 1)));
	return db_commit(c);
}

enum err benefit_spend(struct call *c, struct uuid coop, struct uuid ballot, int64_t amount, struct str currency, struct str reference)
{
	struct benefit_payment p = { .id = uuid_new(), .ballot = ballot, .amount = amount, .currency = currency, .reference = reference };
	struct rows r;
	TRY(check_payment(c, amount, reference));
	TRY(benefit_lock(c, coop));
	TRY(db_one(c, payment_of_ballot, &r, A_UUID(coop), A_UUID(ballot)));
	return row_bool(&r, 0, 0) ? ERR_OK : store_payment(c, coop, &p);
}

enum err benefit_payments(struct call *c, struct uuid coop, struct str cursor, int limit, struct benefit_payment **out, size_t *n, struct str *next_cursor)
{
	struct page_cursor from;
	struct rows r;
	TRY(page_cursor_read(c, cursor, &from));
	TRY(db_begin_in(c, coop, DB_READ));
	TRY(member_require_admin(c, coop));
	TRY(db_finish(c, payment_page, &r, A_UUID(coop), A_TIME(from.at), A_UUID_OR_NULL(from.id), A_INT(limit + 1)));
	*n = (size_t)(r.n > limit ? limit : r.n);
	*out = ARENA_ARRAY(c->arena, *n + 1, struct benefit_payment);
	for (int i = 0; (size_t)i < *n; i++)
		(*out)[i] = (struct benefit_payment){ row_uuid(&r, i, 0), row_uuid(&r, i, 1), row_uuid(&r, i, 2), row_str(&r, i, 3), row_int(&r, i, 4), row_str(&r, i, 5), row_str(&r, i, 6),
			row_time(&r, i, 7) };
	*next_cursor = r.n > limit ? page_cursor_write(c->arena, (*out)[*n - 1].at, (*out)[*n - 1].id) : STR_NONE;
	return ERR_OK;
}

/* ---- Sums ---- */

enum err benefit_totals(struct call *c, struct uuid coop, struct benefit_total **out, size_t *n)
{
	struct rows r;
	TRY(db_begin_in(c, coop, DB_READ));
	TRY(db_finish(c, totals_read, &r, A_UUID(coop)));
	*n = (size_t)r.n;
	*out = ARENA_ARRAY(c->arena, *n + 1, struct benefit_total);
	for (int i = 0; i < r.n; i++)
		(*out)[i] = (struct benefit_total){ row_str(&r, i, 0), row_int(&r, i, 1), row_int(&r, i, 2), row_int(&r, i, 3), row_int(&r, i, 4), row_int(&r, i, 5) };
	return ERR_OK;
}

enum err benefit_owed_list(struct call *c, struct uuid coop, int limit, struct benefit_owed **out, size_t *n)
{
	struct rows r;
	TRY(db_begin_in(c, coop, DB_READ));
	TRY(member_require_admin(c, coop));
	TRY(db_finish(c, owed_list, &r, A_UUID(coop), A_INT(limit)));
	*n = (size_t)r.n;
	*out = ARENA_ARRAY(c->arena, *n + 1, struct benefit_owed);
	for (int i = 0; i < r.n; i++)
		(*out)[i] = (struct benefit_owed){ row_uuid(&r, i, 0), row_str(&r, i, 1), row_str(&r, i, 2), row_int(&r, i, 3) };
	return ERR_OK;
}
