/* The rate limit: a generic cell rate algorithm per account, or per address where there is none. Each process counts for itself, which costs no database trip; expensive
 * routes (password hashing, exports) are counted in the database as well, over all processes, so that guessing does not get cheaper with every server added.
 */
#include "server/web/web.h"

#include "commonhold/db.h"

#include <arpa/inet.h>
#include <pthread.h>

enum { SETS = 4096, WAYS = 4, LOCKS = 64 };

#define WINDOW_US (60 * CLOCK_SECOND)

SQL(rate_limit_count,
	"INSERT INTO rate_limit (bucket, window_start, used) VALUES ($1, date_trunc('minute', commonhold_now()), $2) "
	"ON CONFLICT (bucket, window_start) DO UPDATE SET used = rate_limit.used + excluded.used RETURNING used");
SQL(rate_limit_forget, "DELETE FROM rate_limit WHERE window_start < commonhold_now() - interval '10 minutes'");

/* One caller. The table is a cache with a fixed number of places: who has been quiet longest makes room. */
struct caller {
	uint64_t key;  /* keyed digest of the account or address; 0 when empty */
	int64_t until; /* when the caller's debt will be paid (clock_tick) */
};

struct ratelimit {
	int per_minute;
	pthread_mutex_t lock[LOCKS];
	struct caller callers[SETS][WAYS];
};

enum err ratelimit_new(struct arena *a, int per_minute, struct ratelimit **out, struct error *e)
{
	*out = NULL;
	if (per_minute <= 0)
		return ERR_OK;
	struct ratelimit *l = ARENA_NEW(a, struct ratelimit);
	if (!l)
		return error_set(e, ERR_NO_MEMORY, "%s", err_text(ERR_NO_MEMORY));
	l->per_minute = per_minute;
	for (int i = 0; i < LOCKS; i++)
		pthread_mutex_init(&l->lock[i], NULL);
	*out = l;
	return ERR_OK;
}

/* An IPv6 caller has at least a /64 to choose addresses from: that network counts. */
static struct str address_network(struct arena *a, struct str address)
{
	struct in6_addr v6;
	if (address.n > 45 || str_index(address, ':') < 0 || inet_pton(AF_INET6, str_z(a, address), &v6) != 1)
		return address;
	return str_copy(a, str_make(&v6, 8));
}

struct str request_network(const struct request *rq)
{
	return address_network(rq->call->arena, exchange_of(rq)->address);
}

static struct sha256 caller_digest(const struct exchange *x)
{
	const struct actor *actor = &x->call.actor;
	struct str secret = str_make(x->server->secret, sizeof(x->server->secret));
	/* Where anyone may do what is expensive, such as trying a password, the address counts: accounts are to be had there for the asking. */
	bool anyone = x->rq.route->permission == PERM_PUBLIC && (x->rq.route->flags & ROUTE_EXPENSIVE);
	bool account = !anyone && !uuid_is_nil(actor->account);
	return hmac_sha256(secret, account ? str_make(actor->account.b, sizeof(actor->account.b)) : address_network(x->call.arena, x->address));
}

static struct caller *caller_find(struct caller set[WAYS], uint64_t key)
{
	struct caller *quietest = &set[0];
	for (int i = 0; i < WAYS; i++) {
		if (set[i].key == key)
			return &set[i];
		if (set[i].until < quietest->until)
			quietest = &set[i];
	}
	*quietest = (struct caller){ .key = key };
	return quietest;
}

static enum err refuse(struct exchange *x, int64_t wait_us)
{
	x->retry_after = (wait_us + CLOCK_SECOND - 1) / CLOCK_SECOND;
	if (x->retry_after < 1)
		x->retry_after = 1;
	return fail(&x->call, ERR_TOO_MANY, "Too many requests. Wait %lld seconds.", (long long)x->retry_after);
}

static enum err take_here(struct exchange *x, uint64_t key, int cost)
{
	struct ratelimit *l = x->server->limiter;
	size_t set = (size_t)(key % SETS);
	int64_t now = clock_tick(), step = WINDOW_US / l->per_minute, wait = 0;
	pthread_mutex_lock(&l->lock[set % LOCKS]);
	struct caller *caller = caller_find(l->callers[set], key);
	int64_t until = (caller->until > now ? caller->until : now) + cost * step;
	if (until - now > WINDOW_US)
		wait = until - now - WINDOW_US;
	else
		caller->until = until;
	int64_t debt = caller->until > now ? caller->until - now : 0;
	pthread_mutex_unlock(&l->lock[set % LOCKS]);
	x->rate_limit = l->per_minute;
	x->rate_left = (WINDOW_US - debt) / step;
	x->rate_reset = (debt + CLOCK_SECOND - 1) / CLOCK_SECOND;
	return wait ? refuse(x, wait) : ERR_OK;
}

static enum err take_everywhere(struct exchange *x, const struct sha256 *digest, int cost)
{
	struct call *c = &x->call;
	struct rows rows;
	struct str bucket = str_hex(c->arena, digest->b, 16);
	TRY(db_begin(c, DB_WRITE));
	if (digest->b[31] == 0 || x->started % 64 == 0)
		TRY(db_queue_run(c, &rate_limit_forget, NULL, 0));
	TRY(db_finish(c, rate_limit_count, &rows, A_STR(bucket), A_INT(cost)));
	return row_int(&rows, 0, 0) > x->server->limiter->per_minute ? refuse(x, WINDOW_US / 2) : ERR_OK;
}

enum err ratelimit_take(struct exchange *x, int cost)
{
	if (!x->server->limiter || (x->rq.route->flags & ROUTE_FREE))
		return ERR_OK;
	struct sha256 digest = caller_digest(x);
	uint64_t key;
	memcpy(&key, digest.b, sizeof(key));
	TRY(take_here(x, key | 1, cost));
	if (cost > 1 && db_content_pool())
		return take_everywhere(x, &digest, cost);
	return ERR_OK;
}
