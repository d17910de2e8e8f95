#include "store.h"
#include "commonhold/log.h"
#include "commonhold/turn.h"

#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <time.h>

#define RETRY_PAUSE_MS 50      /* between attempts to reach a server that is starting */
#define OUTAGE_FAST_FAIL_MS 250 /* after a failed attempt, others fail at once for this long instead of queueing up behind timeouts */

/* Who waits for a connection; on their stack. */
struct waiter {
	struct turn turn;
	struct db *given;               /* what pool_return hands over */
	struct waiter *next;            /* who came later */
};

struct db_pool {
	char *url;                      /* libpq connection string */
	int size;                       /* connections */
	struct db *all;                 /* every connection */
	struct db **free;               /* those not taken, last returned on top: a warm connection is used first */
	int free_count;
	pthread_mutex_t lock;           /* guards free, free_count, first, end, waiting, waits, timeouts */
	pthread_cond_t returned;        /* signalled when free grows, for who closes the pool */
	struct waiter *first, **end;    /* callers in pool_take's wait, in the order in which they came; none while there are free ones */
	int waiting;                    /* how many */
	int64_t waits;                  /* calls of pool_take that waited */
	int64_t timeouts;               /* and gave up */
	_Atomic int64_t connects;       /* connections made */
	_Atomic int64_t queries;        /* statements sent */
	_Atomic unsigned generation;    /* raised to have all connections remade */
	_Atomic int64_t fail_fast_until;/* clock_tick until which an unreachable server is not tried again */
};

static struct db_pool *content_pool, *keys_pool;

void db_use_pool(struct db_pool *content, struct db_pool *keys)
{
	content_pool = content;
	keys_pool = keys;
}

struct db_pool *db_content_pool(void) { return content_pool; }
struct db_pool *db_keys_pool(void) { return keys_pool; }

static void pool_free(struct db_pool *p)
{
	for (int i = 0; i < p->size && p->all; i++) {
		conn_close(&p->all[i]);
		free(p->all[i].prepared);
	}
	pthread_cond_destroy(&p->returned);
	pthread_mutex_destroy(&p->lock);
	free(p->free);
	free(p->all);
	free(p->url);
	free(p);
}

static void pool_init_locks(struct db_pool *p)
{
	pthread_condattr_t attributes;
	pthread_condattr_init(&attributes);
	pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
	pthread_cond_init(&p->returned, &attributes);
	pthread_condattr_destroy(&attributes);
	pthread_mutex_init(&p->lock, NULL);
}

enum err db_pool_open(struct db_pool **out, const char *url, int size, struct error *e)
{
	char *fault = NULL;
	PQconninfoOption *options = PQconninfoParse(url, &fault);
	if (!options) {
		PQfreemem(fault);
		return error_hint(e, ERR_CONFIG, "It looks like postgresql://user@host:5432/name?sslmode=verify-full.", "The database URL cannot be understood.");
	}
	PQconninfoFree(options);
	struct db_pool *p = calloc(1, sizeof(*p));
	if (!p)
		return error_set(e, ERR_NO_MEMORY, "%s", err_text(ERR_NO_MEMORY));
	pool_init_locks(p);
	p->end = &p->first;
	p->url = strdup(url);
	p->all = calloc((size_t)size, sizeof(*p->all));
	p->free = calloc((size_t)size, sizeof(struct db *));
	p->size = size;
	if (!p->url || !p->all || !p->free) {
		pool_free(p);
		return error_set(e, ERR_NO_MEMORY, "%s", err_text(ERR_NO_MEMORY));
	}
	for (int i = size - 1; i >= 0; i--) {
		p->all[i].pool = p;
		p->free[p->free_count++] = &p->all[i];
	}
	*out = p;
	return ERR_OK;
}

static struct timespec deadline_in(int ms)
{
	struct timespec t;
	clock_gettime(CLOCK_MONOTONIC, &t);
	t.tv_sec += ms / 1000;
	t.tv_nsec += (long)(ms % 1000) * 1000000;
	if (t.tv_nsec >= 1000000000) {
		t.tv_sec++;
		t.tv_nsec -= 1000000000;
	}
	return t;
}

/* Waits for those still out, as long as a request may wait for a connection; a leak must not hang the stop. */
void db_pool_close(struct db_pool *p)
{
	if (!p)
		return;
	struct timespec deadline = deadline_in(LIMIT_DB_WAIT_MS);
	pthread_mutex_lock(&p->lock);
	int waited = 0;
	while (p->free_count < p->size && waited == 0)
		waited = pthread_cond_timedwait(&p->returned, &p->lock, &deadline);
	int out = p->size - p->free_count;
	pthread_mutex_unlock(&p->lock);
	if (content_pool == p)
		content_pool = NULL;
	if (keys_pool == p)
		keys_pool = NULL;
	if (out > 0) {
		log_event(LOG_ERROR, "db.pool_closed_in_use", LOG_N("connections", out));
		return;
	}
	pool_free(p);
}

/* False when a connection was handed over in the meantime. */
static bool waiter_leave(struct db_pool *p, struct waiter *w)
{
	pthread_mutex_lock(&p->lock);
	struct waiter **at = &p->first;
	while (*at && *at != w)
		at = &(*at)->next;
	bool waits = *at == w;
	if (waits) {
		*at = w->next;
		if (!*at)
			p->end = at;
		p->waiting--;
		p->timeouts++;
	}
	pthread_mutex_unlock(&p->lock);
	return waits;
}

/* With the lock, which is given back. A connection is handed from who returns it to who has waited longest, so that nobody takes it in between and nobody wakes up in vain. */
static enum err pool_wait(struct db_pool *p, struct db **out, struct error *e)
{
	struct waiter w = { .given = NULL };
	*p->end = &w;
	p->end = &w.next;
	p->waits++;
	p->waiting++;
	pthread_mutex_unlock(&p->lock);
	if (!turn_await(&w.turn, LIMIT_DB_WAIT_MS) && waiter_leave(p, &w))
		return error_set(e, ERR_UNAVAILABLE, "The service is busy: no database connection became free in time. Try again shortly.");
	/* it may be on its way still */
	turn_await(&w.turn, -1);
	*out = w.given;
	return ERR_OK;
}

enum err pool_take(struct db_pool *p, struct db **out, struct error *e)
{
	if (!p)
		return error_set(e, ERR_CONFIG, "No database is configured.");
	pthread_mutex_lock(&p->lock);
	if (!p->free_count)
		return pool_wait(p, out, e);
	*out = p->free[--p->free_count];
	pthread_mutex_unlock(&p->lock);
	return ERR_OK;
}

struct db *pool_take_spare(struct db_pool *p)
{
	pthread_mutex_lock(&p->lock);
	struct db *db = p->free_count * 2 > p->size ? p->free[--p->free_count] : NULL;
	pthread_mutex_unlock(&p->lock);
	return db;
}

void pool_return(struct db *db)
{
	struct db_pool *p = db->pool;
	if (db->stale)
		conn_close(db);
	pthread_mutex_lock(&p->lock);
	struct waiter *w = p->first;
	if (w) {
		p->first = w->next;
		if (!p->first)
			p->end = &p->first;
		p->waiting--;
		w->given = db;
	} else {
		p->free[p->free_count++] = db;
		pthread_cond_signal(&p->returned);
	}
	pthread_mutex_unlock(&p->lock);
	if (w)
		turn_give(&w->turn);
}

void pool_renew(struct db_pool *p)
{
	atomic_fetch_add(&p->generation, 1);
}

void pool_count_queries(struct db_pool *p, int n)
{
	atomic_fetch_add_explicit(&p->queries, n, memory_order_relaxed);
}

struct db_pool_stats db_pool_stats(struct db_pool *p)
{
	pthread_mutex_lock(&p->lock);
	struct db_pool_stats s = {
		.size = p->size, .in_use = p->size - p->free_count, .waiting = p->waiting, .waits = p->waits, .timeouts = p->timeouts,
		.connects = atomic_load(&p->connects), .queries = atomic_load(&p->queries),
	};
	pthread_mutex_unlock(&p->lock);
	return s;
}

static void ignore_notice(void *arg, const char *message)
{
	(void)arg;
	(void)message;
}

/* The URL comes last, so that what it says wins over these. A peer that has silently gone is noticed within half a minute. */
static PGconn *connection_open(const char *url)
{
	static const char *const keys[] = { "connect_timeout", "target_session_attrs", "fallback_application_name", "client_encoding", "keepalives_idle",
		"keepalives_interval", "keepalives_count", "tcp_user_timeout", "dbname", NULL };
	const char *values[] = { "5", "read-write", "commonhold", "UTF8", "15", "5", "3", "30000", url, NULL };
	PGconn *pg = PQconnectdbParams(keys, values, 1);
	if (pg)
		PQsetNoticeProcessor(pg, ignore_notice, NULL);
	return pg;
}

static enum err connection_refused(struct error *e, const PGconn *pg)
{
	enum err code = error_set(e, ERR_UNAVAILABLE, "The database cannot be reached. Try again shortly.");
	if (pg) {
		const char *message = PQerrorMessage(pg);
		snprintf(e->detail, sizeof(e->detail), "%.*s", (int)strcspn(message, "\n"), message);
	}
	return code;
}

PGconn *pool_owner_connection(struct db_pool *p, struct error *e)
{
	PGconn *pg = connection_open(p->url);
	if (pg && PQstatus(pg) == CONNECTION_OK)
		return pg;
	(void)connection_refused(e, pg);
	PQfinish(pg);
	return NULL;
}

/* Settings that this server does not know are left out: a distributed PostgreSQL may lack some. The role comes last and only where it exists. */
static const char session_settings[] =
	"SELECT set_config(v.name, v.value, false) FROM (VALUES"
	" ('timezone', 'UTC'), ('datestyle', 'ISO'), ('search_path', 'public'),"
	" ('statement_timeout', '15s'), ('lock_timeout', '5s'), ('idle_in_transaction_session_timeout', '30s'),"
	" ('client_connection_check_interval', '2s')) v (name, value)"
	" WHERE EXISTS (SELECT FROM pg_settings s WHERE lower(s.name) = v.name);"
	"SELECT set_config('role', rolname, false) FROM pg_roles"
	" WHERE rolname = 'commonhold_app' AND pg_has_role(current_user, oid, 'MEMBER')";

static bool connection_settle(PGconn *pg)
{
	PGresult *r = PQexec(pg, session_settings);
	bool ok = PQresultStatus(r) == PGRES_TUPLES_OK;
	PQclear(r);
	return ok;
}

void conn_close(struct db *db)
{
	PQfinish(db->pg);
	PQfreemem(db->copy_row);
	db->pg = NULL;
	db->copy_row = NULL;
	db->owed = db->copying = db->stale = false;
	db->op_count = 0;
	db->prepared_count = 0;
	if (db->prepared)
		memset(db->prepared, 0, db->prepared_cap * sizeof(*db->prepared));
}

static void pause_ms(int ms)
{
	struct timespec t = { 0, (long)ms * 1000000 };
	nanosleep(&t, NULL);
}

/* A server that restarts is waited for as long as a request may wait for a connection. While it stays away, those who come later fail at once. */
static enum err conn_open(struct db *db, struct error *e)
{
	struct db_pool *p = db->pool;
	int64_t give_up = clock_tick() + (int64_t)LIMIT_DB_WAIT_MS * 1000;
	unsigned generation = atomic_load(&p->generation);
	for (;;) {
		if (clock_tick() < atomic_load(&p->fail_fast_until))
			return connection_refused(e, NULL);
		db->pg = connection_open(p->url);
		if (db->pg && PQstatus(db->pg) == CONNECTION_OK && connection_settle(db->pg))
			break;
		enum err code = connection_refused(e, db->pg);
		conn_close(db);
		if (clock_tick() >= give_up) {
			atomic_store(&p->fail_fast_until, clock_tick() + OUTAGE_FAST_FAIL_MS * 1000);
			return code;
		}
		pause_ms(RETRY_PAUSE_MS);
	}
	error_clear(e);
	db->generation = generation;
	atomic_fetch_add(&p->connects, 1);
	return ERR_OK;
}

/* An idle connection that has something to say, or whose peer has hung up, is looked at before it is used. */
static bool conn_alive(struct db *db, bool trusted)
{
	if (!tx_fetch_owed(db))
		return false;
	if (trusted)
		return true;
	struct pollfd fd = { .fd = PQsocket(db->pg), .events = POLLIN | POLLRDHUP };
	if (poll(&fd, 1, 0) == 0)
		return true;
	if (fd.revents & (POLLRDHUP | POLLHUP | POLLERR | POLLNVAL))
		return false;
	return PQconsumeInput(db->pg) && PQstatus(db->pg) == CONNECTION_OK;
}

enum err conn_ensure(struct db *db, bool first_trip_repeats, struct error *e)
{
	if (db->pg && (db->stale || db->generation != atomic_load(&db->pool->generation) || !conn_alive(db, first_trip_repeats)))
		conn_close(db);
	return db->pg ? ERR_OK : conn_open(db, e);
}

static size_t prepared_slot(const struct db *db, uint64_t key)
{
	size_t i = key & (db->prepared_cap - 1);
	while (db->prepared[i] && db->prepared[i] != key)
		i = (i + 1) & (db->prepared_cap - 1);
	return i;
}

bool prepared_has(const struct db *db, uint64_t key)
{
	return db->prepared_cap && db->prepared[prepared_slot(db, key)] == key;
}

/* When memory is short the key is forgotten and the connection closed after use, since preparing again under the name would fail. */
void prepared_add(struct db *db, uint64_t key)
{
	if (db->prepared_count * 2 >= db->prepared_cap) {
		size_t old_cap = db->prepared_cap;
		uint64_t *old = db->prepared, *grown = calloc(old_cap ? old_cap * 2 : 64, sizeof(*grown));
		if (!grown) {
			db->stale = true;
			return;
		}
		db->prepared = grown;
		db->prepared_cap = old_cap ? old_cap * 2 : 64;
		for (size_t i = 0; i < old_cap; i++)
			if (old[i])
				db->prepared[prepared_slot(db, old[i])] = old[i];
		free(old);
	}
	db->prepared[prepared_slot(db, key)] = key;
	db->prepared_count++;
}

/* The keys database's name is the content database's with "_keys" behind it; everything else stays. */
static void option_add(struct buf *b, const char *key, const char *value)
{
	buf_addf(b, "%s%s='", b->n ? " " : "", key);
	for (const char *v = value; *v; v++) {
		if (*v == '\'' || *v == '\\')
			buf_add_byte(b, '\\');
		buf_add_byte(b, *v);
	}
	buf_add_byte(b, '\'');
}

struct str db_keys_url(struct arena *a, const char *url)
{
	char *fault = NULL;
	PQconninfoOption *options = PQconninfoParse(url, &fault);
	PQfreemem(fault);
	if (!options)
		return STR_NONE;
	const char *user = NULL;
	for (const PQconninfoOption *o = options; o->keyword; o++)
		if (strcmp(o->keyword, "user") == 0)
			user = o->val;
	struct buf b;
	buf_init(&b, 16 * KIB);
	for (const PQconninfoOption *o = options; o->keyword; o++) {
		char name[256];
		if (strcmp(o->keyword, "dbname") == 0) {
			const char *base = o->val ? o->val : user ? user : "commonhold";
			snprintf(name, sizeof(name), "%s_keys", base);
			option_add(&b, o->keyword, name);
		} else if (o->val) {
			option_add(&b, o->keyword, o->val);
		}
	}
	PQconninfoFree(options);
	struct str copy = b.failed ? STR_NONE : str_of(str_z(a, buf_str(&b)));
	buf_release(&b);
	return copy;
}
