/* Delays: a few tries are free, then each one doubles the wait, up to a maximum. The key of a password's delay is address and network together, so that whoever guesses
 * from elsewhere makes nobody but themselves wait; a second factor is asked for only after a first step, so there the account alone counts.
 */
#include "server/account/account_internal.h"

SQL(delay_try,
	"INSERT INTO sign_in_delay AS d (bucket, attempts, last_at, open_at) VALUES ($1, 1, commonhold_now(), commonhold_now()) "
	"ON CONFLICT (bucket) DO UPDATE SET last_at = commonhold_now(), "
	"attempts = CASE WHEN d.last_at < commonhold_now() - make_interval(secs => $5) THEN 1 ELSE d.attempts + 1 END, "
	"open_at = commonhold_now() + CASE WHEN d.last_at < commonhold_now() - make_interval(secs => $5) OR d.attempts + 1 < $2 THEN interval '0' "
	"ELSE make_interval(secs => least($4::float8, $3 * 2.0 ^ least(d.attempts + 1 - $2, 30))) END "
	"WHERE d.open_at <= commonhold_now() RETURNING attempts");
SQL(delay_open, "SELECT open_at FROM sign_in_delay WHERE bucket = $1");
SQL(delay_end, "DELETE FROM sign_in_delay WHERE bucket = $1");

/* What is counted, and how. */
static const struct policy {
	const char *name;
	const char *reason;   /* the stable code of a refusal */
	int free;             /* tries before the first wait */
	int first, most;      /* seconds of the first wait, and of the longest */
	int forget;           /* seconds of quiet after which counting begins anew */
	const char *sentence; /* what is refused; the wait is added */
} policies[] = {
	[DELAY_PASSWORD] = { "password", "password_limit", 5, 1, 900, 86400, "Too many tries to sign in to this account from here." },
	[DELAY_CODE] = { "code", "factor_limit", 5, 30, 900, 86400, "Too many wrong codes." },
	[DELAY_LINK_TO] = { "link to", "link_limit", 3, 60, 3600, 86400, "Several mails have gone to this address. Look for them, also among the unwanted." },
	[DELAY_LINK_FROM] = { "link from", "link_limit", 20, 30, 3600, 7200, "Too many mails were asked for from here." },
	[DELAY_LINK_OPEN] = { "link open", "link_limit", 5, 5, 900, 86400, "Too many tries with this link." },
	[DELAY_OIDC] = { "oidc", "oidc_limit", 30, 5, 600, 3600, "Too many sign-ins were begun from here." },
};

struct sha256 account_mac(struct call *c, const char *what, struct str first, struct str second)
{
	const struct seal_key *key = instance_keys() ? instance_seal_key(instance_keys()) : NULL;
	struct str text = str_fmt(c->arena, "sign-in %s|%zu|%.*s|%.*s", what, first.n, STR_ARG(first), STR_ARG(second));
	return hmac_sha256(key ? str_make(key->b, sizeof(key->b)) : STR("no key"), text);
}

static struct str bucket_of(struct call *c, enum delay_kind kind, struct str target, struct str from)
{
	struct sha256 mac = account_mac(c, policies[kind].name, str_hex(c->arena, target.p, target.n), str_hex(c->arena, from.p, from.n));
	return str_copy(c->arena, str_make(mac.b, sizeof(mac.b)));
}

static enum err wait_longer(struct call *c, const struct policy *p, instant until)
{
	int64_t seconds = (until - clock_now() + CLOCK_SECOND - 1) / CLOCK_SECOND;
	if (seconds < 1)
		seconds = 1;
	if (seconds < 90)
		return fail_reason(c, ERR_TOO_MANY, p->reason, "%s Wait %lld seconds.", p->sentence, (long long)seconds);
	return fail_reason(c, ERR_TOO_MANY, p->reason, "%s Wait %lld minutes.", p->sentence, (long long)((seconds + 59) / 60));
}

enum err delay_take(struct call *c, enum delay_kind kind, struct str target, struct str from)
{
	const struct policy *p = &policies[kind];
	struct rows r;
	struct str bucket = bucket_of(c, kind, target, from);
	TRY(db_begin(c, DB_WRITE));
	TRY(db_finish(c, delay_try, &r, A_BYTES(bucket), A_INT(p->free), A_INT(p->first), A_INT(p->most), A_INT(p->forget)));
	if (r.n == 1)
		return ERR_OK;
	TRY(db_begin(c, DB_READ));
	TRY(db_finish(c, delay_open, &r, A_BYTES(bucket)));
	return wait_longer(c, p, r.n == 1 ? row_time(&r, 0, 0) : clock_now());
}

enum err delay_clear(struct call *c, enum delay_kind kind, struct str target, struct str from)
{
	return db_queue(c, delay_end, A_BYTES(bucket_of(c, kind, target, from)));
}
