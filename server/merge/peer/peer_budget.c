/* What a partner may make us keep or do: counted by co-op, partner and kind, in windows that begin with the first of them. */
#include "commonhold/db.h"
#include "commonhold/peer.h"

#define FORGET_AFTER (400 * CLOCK_DAY) /* longer than any window */

SQL(spend,
	"INSERT INTO peer_spent AS s (coop_id, who, what, since, spent) VALUES ($1, $2, $3, $6, $4) "
	"ON CONFLICT (coop_id, who, what) DO UPDATE SET since = CASE WHEN s.since <= $7 THEN excluded.since ELSE s.since END, spent = CASE WHEN s.since <= $7 THEN 0 ELSE s.spent END + excluded.spent "
	"WHERE CASE WHEN s.since <= $7 THEN 0 ELSE s.spent END + excluded.spent <= $5 RETURNING spent");
SQL(spent_forget, "DELETE FROM peer_spent WHERE coop_id = $1 AND since < $2");

static const struct { const char *word; int64_t most, within; const char *what; } budgets[PEER_BUDGET_COUNT] = {
#define X(name, word, most, within, what) [PEER_BUDGET_##name] = { word, most, within, what },
	PEER_BUDGETS(X)
#undef X
};

const char *peer_budget_word(enum peer_budget what)
{
	return (unsigned)what < PEER_BUDGET_COUNT ? budgets[what].word : "";
}

int64_t peer_budget_most(enum peer_budget what)
{
	return (unsigned)what < PEER_BUDGET_COUNT ? budgets[what].most : 0;
}

enum err peer_may_spend(struct call *c, struct uuid coop, struct str who, enum peer_budget what, int64_t n, bool *may)
{
	struct rows r;
	instant now = clock_now();
	*may = n <= budgets[what].most;
	if (!*may || n <= 0)
		return ERR_OK;
	TRY(db_query(c, spend, &r, A_UUID(coop), A_STR(who), A_Z(budgets[what].word), A_I64(n), A_I64(budgets[what].most), A_TIME(now), A_TIME(now - budgets[what].within)));
	*may = r.n == 1;
	return ERR_OK;
}

enum err peer_spend(struct call *c, struct uuid coop, struct str who, enum peer_budget what, int64_t n)
{
	bool may;
	TRY(peer_may_spend(c, coop, who, what, n, &may));
	return may ? ERR_OK : fail_reason(c, ERR_TOO_MANY, "peer_budget", "More %s come from this co-op than are taken in %lld hours (%lld).", budgets[what].word,
		(long long)(budgets[what].within + CLOCK_HOUR - 1) / CLOCK_HOUR, (long long)budgets[what].most);
}

enum err peer_spent_forget(struct call *c, struct uuid coop)
{
	return db_exec(c, spent_forget, A_UUID(coop), A_TIME(clock_now() - FORGET_AFTER));
}
