/* Telling webhooks that there is something to pull: Standard Webhooks (standardwebhooks.com), at least once.
 *
 * There is at most one open delivery to a mirror. Its message is written when it is first sent and is the same, under the same webhook-id, in every later attempt, unless something new
 * has come up in between: then the next attempt is a new message that covers both. An attempt is told to the database before it begins, under a lease: when this process dies, or cannot
 * write down what came of it, the lease runs out and the message is sent again.
 *
 * A mirror may be as slow as it likes: each attempt has a thread of its own, so that the job that starts it ends at once, and a maximum of time. */
#include "mirror_internal.h"
#include "push.h"

#include "commonhold/config.h"
#include "commonhold/fetch.h"
#include "commonhold/log.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <time.h>

#define SENDERS_MAX 16                    /* attempts under way at once in one process */
#define SENDER_ARENA (2 * MIB)            /* memory of one */
#define LEASE (60 * CLOCK_SECOND)         /* of an attempt: several times what it may take */
#define CONNECT_MS 5000L
#define TOTAL_MS 10000L                   /* an attempt: Standard Webhooks suggests 15 to 30 s, but nothing is worth waiting for in the answer */
#define ANSWER_MAX (16 * 1024)            /* bytes of the answer that are read; nothing in it is looked at */
#define BUSY_AGAIN (2 * CLOCK_SECOND)     /* when all senders are taken */
#define DELAY_FIRST (10 * CLOCK_SECOND)
#define DELAY_MAX (12 * CLOCK_HOUR)
#define PATIENCE_MAX CLOCK_DAY            /* the longest Retry-After that is believed */
#define RECORD_TRIES 3                    /* to write down what came of an attempt, a second apart */
#define PUSH_ATTEMPTS_MAX 12              /* about two days */

SQL(news,
	"INSERT INTO delivery AS d (coop_id, id, mirror_id, message_id, upto, wanted, news, state, next_at, created_at) "
	"SELECT $1, gen_random_uuid(), m.id, gen_random_uuid(), t.upto, t.upto, true, 'waiting', commonhold_now(), commonhold_now() FROM mirror m, "
	"  (SELECT coalesce(max(idx), -1) AS upto FROM tombstone WHERE coop_id = $1) t "
	"WHERE m.coop_id = $1 AND m.kind = 'webhook' AND m.state = 'active' AND ($2::uuid IS NULL OR m.id = $2) ORDER BY m.id "
	"ON CONFLICT (coop_id, mirror_id) WHERE state IN ('waiting', 'sending') DO UPDATE SET wanted = greatest(d.wanted, excluded.wanted), news = true RETURNING mirror_id");
SQL(drop, "UPDATE delivery SET state = 'dropped', lease = NULL, lease_until = NULL, ended_at = commonhold_now() WHERE coop_id = $1 AND mirror_id = $2 AND state IN ('waiting', 'sending')");
SQL(open_one,
	"SELECT d.id, d.message_id, d.wanted, d.news OR d.body IS NULL, d.body, CASE d.state WHEN 'sending' THEN d.lease_until ELSE d.next_at END, m.url, m.secret, o.slug, "
	"(SELECT r.version FROM release r WHERE r.coop_id = d.coop_id AND r.state = 'published' ORDER BY r.published_at DESC LIMIT 1), d.attempts "
	"FROM delivery d JOIN mirror m ON m.coop_id = d.coop_id AND m.id = d.mirror_id JOIN coop o ON o.id = d.coop_id "
	"WHERE d.coop_id = $1 AND d.mirror_id = $2 AND d.state IN ('waiting', 'sending') FOR UPDATE OF d");
SQL(begin_attempt,
	"UPDATE delivery SET state = 'sending', lease = $3, lease_until = $4, attempts = attempts + 1, message_id = $5, upto = $6, body = $7, news = false WHERE coop_id = $1 AND id = $2");
SQL(end_delivered,
	"UPDATE delivery SET state = 'delivered', lease = NULL, lease_until = NULL, ended_at = commonhold_now(), last_status = $4, last_error = NULL "
	"WHERE coop_id = $1 AND id = $2 AND lease = $3 RETURNING news");
SQL(end_failed,
	"UPDATE delivery SET state = CASE WHEN $7 THEN 'dead' ELSE 'waiting' END, lease = NULL, lease_until = NULL, ended_at = CASE WHEN $7 THEN commonhold_now() END, last_status = $4, "
	"last_error = $5, next_at = $6 WHERE coop_id = $1 AND id = $2 AND lease = $3 RETURNING 1");

/* What came of attempts so far in this process. */
static _Atomic int64_t outcomes[PUSH_OUTCOME_COUNT];
/* Senders under way. */
static struct { pthread_mutex_t lock; pthread_cond_t idle; int count; } senders = { .lock = PTHREAD_MUTEX_INITIALIZER, .idle = PTHREAD_COND_INITIALIZER };

/* One attempt: everything in its own arena. */
struct attempt {
	struct arena *arena;
	struct uuid coop, mirror, delivery, lease, message;
	struct str url, body, slug;
	uint8_t secret[64];
	size_t secret_n;
	int number;               /* this one counted */
	instant at;               /* when it began */
};

int64_t push_outcome_count(enum push_outcome o)
{
	return o < PUSH_OUTCOME_COUNT ? atomic_load(&outcomes[o]) : 0;
}

/* ---- something has come up ---- */

static enum err queue_push(struct call *c, struct uuid coop, struct uuid mirror, instant due)
{
	return job_queue(c, "mirror.push", uuid_format(c->arena, mirror), job_args(c->arena, coop, "mirror", mirror), due);
}

enum err push_news(struct call *c, struct uuid coop, struct uuid mirror)
{
	struct rows r;
	TRY(db_query(c, news, &r, A_UUID(coop), A_UUID_OR_NULL(mirror)));
	for (int i = 0; i < r.n; i++)
		TRY(queue_push(c, coop, row_uuid(&r, i, 0), clock_now()));
	return ERR_OK;
}

enum err push_drop(struct call *c, struct uuid coop, struct uuid mirror)
{
	return db_exec(c, drop, A_UUID(coop), A_UUID(mirror));
}

enum err push_again(struct call *c, struct uuid coop, struct uuid mirror)
{
	return queue_push(c, coop, mirror, clock_now());
}

/* ---- an attempt ---- */

int64_t push_delay(int attempts, int64_t asked)
{
	int64_t delay = DELAY_FIRST;
	for (int i = 1; i < attempts && delay < DELAY_MAX; i++)
		delay *= 3;
	if (delay > DELAY_MAX)
		delay = DELAY_MAX;
	uint32_t random;
	random_bytes(&random, sizeof(random));
	delay = delay / 2 + delay / 2000 * (int64_t)random / UINT32_MAX * 1000;
	if (asked > PATIENCE_MAX)
		asked = PATIENCE_MAX;
	return asked > delay ? asked : delay;
}

struct str push_signature(struct arena *a, struct str secret, struct str id, int64_t seconds, struct str body)
{
	struct sha256 mac = hmac_sha256(secret, str_fmt(a, "%.*s.%lld.%.*s", STR_ARG(id), (long long)seconds, STR_ARG(body)));
	return str_fmt(a, "v1,%.*s", STR_ARG(str_base64(a, mac.b, sizeof(mac.b))));
}

/* Where to look, and how far the list goes: neither ids nor content. */
static struct str message_write(struct arena *a, struct str slug, struct str latest, int64_t upto)
{
	struct buf b;
	struct json_writer w;
	struct str api = str_fmt(a, "%s/api/v1/coops/%.*s", config()->base_url, STR_ARG(slug));
	buf_init(&b, 64 * KIB);
	jw_init(&w, &b);
	jw_object(&w);
	jw_key(&w, "data");
	jw_object(&w);
	jw_kstr(&w, "coop", slug);
	jw_kstr(&w, "feed", str_fmt(a, "%.*s/tombstones", STR_ARG(api)));
	jw_kstr(&w, "latest", latest);
	jw_kstr(&w, "status", str_fmt(a, "%.*s/status.json", STR_ARG(api)));
	jw_kint(&w, "upto", upto);
	jw_end_object(&w);
	jw_kstr(&w, "timestamp", clock_format(a, clock_now()));
	jw_kz(&w, "type", "tombstones.changed");
	jw_end_object(&w);
	return buf_take(a, &b);
}

static bool sender_take(void)
{
	pthread_mutex_lock(&senders.lock);
	bool free_one = senders.count < SENDERS_MAX;
	if (free_one)
		senders.count++;
	pthread_mutex_unlock(&senders.lock);
	return free_one;
}

static void sender_give_back(void)
{
	pthread_mutex_lock(&senders.lock);
	if (--senders.count == 0)
		pthread_cond_broadcast(&senders.idle);
	pthread_mutex_unlock(&senders.lock);
}

void mirror_push_drain(void)
{
	pthread_mutex_lock(&senders.lock);
	while (senders.count > 0)
		pthread_cond_wait(&senders.idle, &senders.lock);
	pthread_mutex_unlock(&senders.lock);
}

static void attempt_free(struct attempt *t)
{
	secret_wipe(t->secret, sizeof(t->secret));
	arena_free(t->arena);
}

/* ---- what came of it ---- */

struct verdict {
	enum push_outcome outcome;
	int status;               /* 0: no answer */
	struct str why;           /* absent: delivered */
	int64_t asked;            /* microseconds that the other side wants to be left alone */
	bool final;               /* no further attempt will change it */
};

static struct verdict verdict_of(struct arena *a, enum err code, const struct fetch_answer *answer, const struct error *e)
{
	struct verdict v = { .status = (int)answer->status };
	bool good = answer->status >= 200 && answer->status < 300;
	if (good && (code == ERR_OK || code == ERR_TOO_LARGE)) {
		v.outcome = PUSH_DELIVERED;
		return v;
	}
	v.outcome = code == ERR_REFUSED ? PUSH_REFUSED : PUSH_FAILED;
	if (code != ERR_OK) {
		v.why = str_copy(a, str_of(e->message[0] ? e->message : err_text(code)));
		return v;
	}
	if (answer->status >= 300 && answer->status < 400)
		v.why = str_fmt(a, "It answered with a redirect (%ld), which is not followed.", answer->status);
	else
		v.why = str_fmt(a, "It answered %ld.", answer->status);
	if (answer->status == 429 || answer->status == 503)
		v.asked = fetch_retry_after(answer, 0) * CLOCK_SECOND;
	v.final = answer->status == 410;
	return v;
}

static enum err tell_dead(struct call *c, const struct attempt *t, const struct verdict *v)
{
	struct uuid *admins;
	struct str slug;
	size_t n;
	TRY(mirror_admins(c, t->coop, &admins, &n, &slug));
	struct notice notice = { .kind = "deletion.undelivered", .coop = t->coop, .key = uuid_format(c->arena, t->message),
		.data = mirror_notice(c->arena, "A mirror could not be told",
			str_fmt(c->arena, "Its webhook was tried %d times. %.*s It can be tried again from the list of deliveries; what the mirror owes stays owed.", t->number, STR_ARG(v->why)), slug) };
	return n ? notify_many(c, &notice, admins, n) : ERR_OK;
}

static enum err record_failed(struct call *c, const struct attempt *t, const struct verdict *v)
{
	struct rows r;
	bool dead = v->final || t->number >= PUSH_ATTEMPTS_MAX;
	instant next = clock_now() + push_delay(t->number, v->asked);
	TRY(db_query(c, end_failed, &r, A_UUID(t->coop), A_UUID(t->delivery), A_UUID(t->lease), v->status ? A_INT(v->status) : (struct db_arg){ .type = DB_INT4, .null = true },
		A_STR(v->why), A_TIME(next), A_BOOL(dead)));
	if (r.n == 0)
		return ERR_OK;
	if (dead) {
		atomic_fetch_add(&outcomes[PUSH_DEAD], 1);
		TRY(mirror_measure(c, t->coop));
		return tell_dead(c, t, v);
	}
	return queue_push(c, t->coop, t->mirror, next);
}

static enum err record(struct call *c, const struct attempt *t, const struct verdict *v)
{
	struct rows r;
	TRY(db_begin_in(c, t->coop, DB_WRITE));
	if (v->outcome != PUSH_DELIVERED) {
		TRY(record_failed(c, t, v));
		return db_commit(c);
	}
	TRY(db_query(c, end_delivered, &r, A_UUID(t->coop), A_UUID(t->delivery), A_UUID(t->lease), A_INT(v->status)));
	if (r.n && row_bool(&r, 0, 0))
		TRY(push_news(c, t->coop, t->mirror));
	return db_commit(c);
}

/* While the database is away nothing is lost: the lease runs out, and the message is sent again under the same id. */
static void record_somehow(const struct attempt *t, const struct verdict *v)
{
	enum err code = ERR_UNAVAILABLE;
	for (int i = 0; i < RECORD_TRIES && code != ERR_OK; i++) {
		if (i)
			nanosleep(&(struct timespec){ .tv_sec = 1 }, NULL);
		struct call c = { .arena = t->arena, .actor.kind = AUTH_SYSTEM, .locale = STR("en"), .request_id = STR("mirror.push") };
		code = record(&c, t, v);
		db_release(&c);
		if (code != ERR_OK)
			log_event(LOG_WARN, "mirror.push_not_recorded", LOG_Z("code", err_code(code)), LOG_Z("message", c.error.message));
	}
	if (code == ERR_OK)
		job_wake();
}

static void send_one(struct attempt *t)
{
	struct str id = str_fmt(t->arena, "msg_%.*s", STR_ARG(uuid_format(t->arena, t->message)));
	int64_t seconds = t->at / CLOCK_SECOND;
	struct fetch_header headers[] = {
		{ STR("Content-Type"), STR("application/json") },
		{ STR("webhook-id"), id },
		{ STR("webhook-timestamp"), str_fmt(t->arena, "%lld", (long long)seconds) },
		{ STR("webhook-signature"), push_signature(t->arena, str_make(t->secret, t->secret_n), id, seconds, t->body) },
	};
	struct fetch_request request = {
		.method = "POST", .url = t->url, .headers = headers, .n_headers = CH_LEN(headers), .body = t->body, .max_bytes = ANSWER_MAX, .connect_ms = CONNECT_MS, .total_ms = TOTAL_MS,
		.allow_private = config()->allow_private_on, .allow_http = config()->allow_private_on,
	};
	struct fetch_answer answer = { 0 };
	struct error e = { 0 };
	enum err code = fetch(NULL, t->arena, &request, &answer, &e);
	struct verdict v = verdict_of(t->arena, code, &answer, &e);
	atomic_fetch_add(&outcomes[v.outcome], 1);
	record_somehow(t, &v);
}

static void *sender_main(void *arg)
{
	struct attempt *t = arg;
	jmp_buf where;
	if (setjmp(where) == 0) {
		arena_guard(t->arena, &where);
		send_one(t);
	} else {
		log_event(LOG_ERROR, "mirror.push_no_memory");
	}
	arena_guard(t->arena, NULL);
	attempt_free(t);
	sender_give_back();
	return NULL;
}

/* Detached: nobody waits for it but mirror_push_drain. */
static bool sender_start(struct attempt *t)
{
	pthread_attr_t attributes;
	pthread_t thread;
	pthread_attr_init(&attributes);
	pthread_attr_setstacksize(&attributes, LIMIT_WORKER_STACK);
	pthread_attr_setdetachstate(&attributes, PTHREAD_CREATE_DETACHED);
	bool started = pthread_create(&thread, &attributes, sender_main, t) == 0;
	pthread_attr_destroy(&attributes);
	return started;
}

/* ---- the job ---- */

/* Takes what is due under a lease and copies it into the attempt's own memory. *due is false when nothing is. */
static enum err attempt_begin(struct call *c, struct uuid coop, struct uuid mirror, struct attempt *t, bool *due)
{
	struct rows r;
	struct str secret;
	*due = false;
	TRY(db_begin_in(c, coop, DB_WRITE));
	TRY(db_query(c, open_one, &r, A_UUID(coop), A_UUID(mirror)));
	if (r.n == 0)
		return db_commit(c);
	instant now = clock_now(), next = row_time(&r, 0, 5);
	if (next > now) {
		TRY(queue_push(c, coop, mirror, next));
		return db_commit(c);
	}
	*due = true;
	t->coop = coop;
	t->mirror = mirror;
	t->delivery = row_uuid(&r, 0, 0);
	t->lease = uuid_new();
	t->number = (int)row_int(&r, 0, 10) + 1;
	t->at = now;
	t->slug = str_copy(t->arena, row_str(&r, 0, 8));
	t->url = str_copy(t->arena, row_str(&r, 0, 6));
	bool fresh = row_bool(&r, 0, 3);
	int64_t upto = row_int(&r, 0, 2);
	t->message = fresh ? uuid_new() : row_uuid(&r, 0, 1);
	t->body = fresh ? message_write(t->arena, t->slug, row_str(&r, 0, 9), upto) : str_copy(t->arena, row_str(&r, 0, 4));
	if (!unseal(c->arena, instance_seal_key(instance_keys()), mirror_secret_context(c->arena, coop, mirror), row_bytes(&r, 0, 7), &secret) || secret.n > sizeof(t->secret))
		return fail(c, ERR_CORRUPT, "The secret of this webhook cannot be unsealed with the instance's key. Make a new one.");
	memcpy(t->secret, secret.p, secret.n);
	t->secret_n = secret.n;
	TRY(queue_push(c, coop, mirror, now + LEASE));
	return db_finish(c, begin_attempt, NULL, A_UUID(coop), A_UUID(t->delivery), A_UUID(t->lease), A_TIME(now + LEASE), A_UUID(t->message), A_I64(upto), A_STR(t->body));
}

static enum err push_with_sender(struct call *c, struct uuid coop, struct uuid mirror)
{
	bool due;
	struct arena *arena = arena_new(SENDER_ARENA);
	if (!arena)
		return fail(c, ERR_NO_MEMORY, "%s", err_text(ERR_NO_MEMORY));
	struct attempt *t = ARENA_NEW(arena, struct attempt);
	t->arena = arena;
	enum err code = attempt_begin(c, coop, mirror, t, &due);
	if (code == ERR_OK && due && sender_start(t))
		return ERR_OK;
	attempt_free(t);
	sender_give_back();
	return code == ERR_OK && due ? fail(c, ERR_NO_MEMORY, "No thread can be started to send.") : code;
}

enum err push_job(struct call *c, const struct json *args)
{
	struct uuid coop, mirror;
	TRY(job_args_read(c, args, "mirror", &coop, &mirror));
	if (sender_take())
		return push_with_sender(c, coop, mirror);
	TRY(db_begin_in(c, coop, DB_WRITE));
	TRY(queue_push(c, coop, mirror, clock_now() + BUSY_AGAIN));
	return db_commit(c);
}
